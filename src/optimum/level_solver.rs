//! Solves for the best function of a class at one noise level, by gradient descent on fresh draws.
//!
//! The error `E || phi - x0hat ||^2` is averaged over `BATCH` new draws at every update, so that no draw is fitted twice:
//! at high noise, functions fitted to some hundred draws are worse than `els` on others. All parameters descend together
//! (AdamW, without decay of weights), from the solution of a noisier level where there is one. The result is checked on
//! other draws, and the local machine is used instead if its error there is not larger; so the solution is no worse than
//! that machine within the error of `N_CHECKED` draws.
//!
//! The function is parametrised and its error is not convex, so it is an upper bound of the smallest error of the class.

use std::f64::consts::PI;

use candle_core::{DType, Device, Result, Tensor};

use super::function_of_class::{ClassMember, MemberSizes};
use super::local_features::{LocalFeatures, Scale};
use super::noised_draws::NoisedDraws;
use crate::diffusion::{AttentionMaps, Denoised, NoiseLevel};
use crate::image::ImageBatch;
use crate::network::network_config::AttentionVariant;
use crate::network::{AttentionDetail, Mode, NetworkError, TensorMap};
use crate::theory::distinct_patches::patch_moments::PatchMoments;
use crate::training::adamw::AdamW;
use crate::training::optimizer_interface::{Optimizer, Update};

/// Updates, draws of each, largest learning rate, and updates over which the rate rises to it.
const N_STEPS: usize = 120;
const BATCH: usize = 32;
const RATE: f64 = 0.02;
const N_WARMUP: usize = 20;
/// Draws from which the scale of the features is taken, and the error of the local machine.
const N_SCALE: usize = 64;
/// Draws on which the result is checked.
const N_CHECKED: usize = 256;
/// Images that are computed together when nothing is learned from them.
const PIECE: usize = 32;

/// Signal power below which nothing is solved: there the estimate is nearly the mean of the data, and sampling hardly
/// depends on it.
const ABAR_MIN: f64 = 0.01;
/// Error of the local machine below which nothing is solved: 0.16% of the pixel range.
const ERROR_MIN: f64 = 1e-5;

/// Where draws for the scale and the check start; those for descent start at 0.
const FIRST_OF_SCALE: u64 = 1 << 40;
const FIRST_CHECKED: u64 = 2 << 40;

/// The best function found at one noise level.
#[derive(Clone, Debug)]
pub enum LevelSolution {
    /// The local machine: nothing else was looked for.
    Local,
    Member(Box<SolvedMember>),
}

/// A function that was descended to.
#[derive(Clone, Debug)]
pub struct SolvedMember {
    pub scale: Scale,
    pub parameters: TensorMap,
    /// Whether its error is below that of the local machine, which is used otherwise; in any case the next level starts from
    /// it.
    pub is_better: bool,
}

/// One noise level to solve.
pub struct LevelProblem<'a> {
    pub draws: NoisedDraws<'a>,
    pub moments: &'a PatchMoments,
    pub sizes: MemberSizes,
}

impl LevelProblem<'_> {
    /// Whether the level is not solved, because the local machine is the best of the class or hardly to be improved on.
    pub fn is_left_local(&self) -> bool {
        let is_identity = self.sizes.attention.variant == AttentionVariant::Identity;
        is_identity || self.draws.level.abar < ABAR_MIN
    }

    /// Solves the level, from the solution `before` of a noisier one; the same problem has the same solution, bit for bit,
    /// for any number of threads.
    ///
    /// # Errors
    ///
    /// If a tensor operation fails.
    pub fn solve(
        &self,
        before: &LevelSolution,
    ) -> std::result::Result<LevelSolution, NetworkError> {
        let level = self.draws.level;
        if self.is_left_local() {
            return Ok(LevelSolution::Local);
        }
        let [clean, noisy] = self.draws.draw(FIRST_OF_SCALE, N_SCALE);
        let scale = Scale::of(self.moments, &noisy, level);
        let features = LocalFeatures::new(self.moments, &scale, &noisy, level)?;
        if mean_square(&features.local, &clean)? < ERROR_MIN {
            return Ok(LevelSolution::Local);
        }
        let member = match before {
            LevelSolution::Local => ClassMember::initial(self.sizes, self.draws.seed)?,
            LevelSolution::Member(before) => {
                ClassMember::continued(self.sizes, &before.parameters)?
            }
        };
        self.descend(&member, &scale)?;
        let is_better = self.gain(&member, &scale)? > 0.0;
        let parameters = member.parameters()?;
        Ok(LevelSolution::Member(Box::new(SolvedMember { scale, parameters, is_better })))
    }

    /// The same problem at another level.
    pub fn at(&self, level: NoiseLevel) -> Self {
        let NoisedDraws { images, moves, seed, .. } = self.draws;
        Self { draws: NoisedDraws { images, moves, level, seed }, ..*self }
    }

    fn descend(&self, member: &ClassMember, scale: &Scale) -> Result<()> {
        let mut optimizer = AdamW::new(member.variables()?)?;
        for step in 0..N_STEPS {
            let [clean, noisy] = self.draws.draw((step * BATCH) as u64, BATCH);
            let features = LocalFeatures::new(self.moments, scale, &noisy, self.draws.level)?;
            let mode = Mode::Train { seed: self.draws.seed, step: step as u64 };
            let (x0, _) = member.forward(&features, mode)?;
            let error = (x0 - tensor(&clean)?)?.sqr()?.mean_all()?;
            let rate = RATE * (((step + 1) as f64 / N_WARMUP as f64).min(1.0));
            let rate = rate * 0.5 * (1.0 + (PI * step as f64 / N_STEPS as f64).cos());
            // AdamW divides by the gradients' size; errors may be small enough for its epsilon to matter.
            let gradient_factor = 1.0 / f64::from(error.to_scalar::<f32>()?).max(ERROR_MIN);
            let update = Update { rate, weight_decay: 0.0, gradient_factor };
            optimizer.update(&error.backward()?, update)?;
        }
        Ok(())
    }

    /// By how much the error of `member` is below that of the local machine, on draws that are used for nothing else.
    fn gain(&self, member: &ClassMember, scale: &Scale) -> Result<f64> {
        let mut gain = 0.0;
        for first in (0..N_CHECKED).step_by(PIECE) {
            let [clean, noisy] = self.draws.draw(FIRST_CHECKED + first as u64, PIECE);
            let features = LocalFeatures::new(self.moments, scale, &noisy, self.draws.level)?;
            let (x0, _) = member.forward(&features, Mode::Evaluate(AttentionDetail::Nothing))?;
            gain += mean_square(&features.local, &clean)? - mean_square(&x0, &clean)?;
        }
        Ok(gain)
    }
}

impl LevelSolution {
    /// The estimates `x0hat` of `noisy` images, with the attention maps if asked for and the solution attends.
    ///
    /// # Errors
    ///
    /// If the parameters do not fit, or a tensor operation fails.
    pub fn denoise(
        &self,
        moments: &PatchMoments,
        sizes: MemberSizes,
        (noisy, level): (&ImageBatch, NoiseLevel),
        with_maps: bool,
    ) -> std::result::Result<Denoised, NetworkError> {
        let plain =
            Scale { means: vec![0.0; sizes.n_moments], deviations: vec![1.0; sizes.n_moments] };
        let (scale, member) = match self {
            Self::Member(found) if found.is_better => {
                (&found.scale, Some(ClassMember::frozen(sizes, &found.parameters)?))
            }
            _ => (&plain, None),
        };
        let detail = if with_maps { AttentionDetail::Maps } else { AttentionDetail::Nothing };
        let mut values = Vec::with_capacity(noisy.values().len());
        let mut maps: Vec<f32> = Vec::new();
        for first in (0..noisy.len()).step_by(PIECE) {
            let some = noisy.slice(first, PIECE.min(noisy.len() - first));
            let features = LocalFeatures::new(moments, scale, &some, level)?;
            let x0 = match &member {
                Some(member) => {
                    let (x0, record) = member.forward(&features, Mode::Evaluate(detail))?;
                    if let Some(found) = record.maps {
                        maps.extend(found.flatten_all()?.to_vec1::<f32>()?);
                    }
                    x0
                }
                None => features.local,
            };
            values.extend(x0.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?);
        }
        let n_pixels = noisy.shape().n_pixels();
        let maps =
            (!maps.is_empty()).then(|| AttentionMaps::new(sizes.attention.heads, n_pixels, maps));
        let x0 = ImageBatch::new(noisy.shape(), values);
        Ok(Denoised { attention: maps, ..Denoised::plain(x0) })
    }
}

/// `[B, C, H, W]` in single precision.
fn tensor(images: &ImageBatch) -> Result<Tensor> {
    let shape = images.shape();
    let values: Vec<f32> = images.values().iter().map(|&v| v as f32).collect();
    let sizes = (images.len(), shape.channels, shape.height, shape.width);
    Tensor::from_vec(values, sizes, &Device::Cpu)
}

/// The mean squared difference.
fn mean_square(x0: &Tensor, clean: &ImageBatch) -> Result<f64> {
    Ok(f64::from((x0 - tensor(clean)?)?.sqr()?.mean_all()?.to_scalar::<f32>()?))
}
