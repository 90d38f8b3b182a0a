//! The solution of a problem: the function that descent ended at, where it is better than the local machine.

use candle_core::{DType, Tensor};

use super::function_of_class::FunctionOfClass;
use super::local_features::LocalFeatures;
use super::noised_draws::T_MIN;
use crate::diffusion::{AttentionMaps, Denoised, NoiseLevel, Schedule};
use crate::image::ImageBatch;
use crate::network::{AttentionDetail, Mode, NetworkError};
use crate::theory::attention_optimal::AttentionQuery;
use crate::theory::distinct_patches::patch_moments::PatchMoments;

/// Levels t = 1/N, 2/N, ..., 1 of the cosine schedule at which the function is compared with the local machine.
pub const N_LEVELS: usize = 20;
/// Images that are computed together.
pub const PIECE: usize = 32;

/// The best function found.
pub struct Solution {
    /// `None` if the local machine is the best of the class.
    pub function: Option<FunctionOfClass>,
    /// Whether the function's error at each of the [`N_LEVELS`] levels is below that of the local machine, which is used
    /// otherwise.
    pub is_better: [bool; N_LEVELS],
}

impl Solution {
    /// The local machine at every level.
    pub const LOCAL: Self = Self { function: None, is_better: [false; N_LEVELS] };

    /// The function, if it is used at `level`: not at less noise than it was solved for.
    fn function_at(&self, level: NoiseLevel) -> Option<&FunctionOfClass> {
        let t = Schedule::cosine_time(level);
        let nearest = (t * N_LEVELS as f64).round().clamp(1.0, N_LEVELS as f64);
        let is_used = t >= T_MIN && self.is_better[nearest as usize - 1];
        self.function.as_ref().filter(|_| is_used)
    }

    /// The estimates `x0hat` of `noisy` images, `[B, C, H, W]`, with the attention maps if asked for, or with others in
    /// their place; where the solution does not attend at this level, there are none and others change nothing.
    ///
    /// # Errors
    ///
    /// If a tensor operation fails.
    pub fn denoise(
        &self,
        moments: &PatchMoments,
        (noisy, level): (&ImageBatch, NoiseLevel),
        asked: AttentionQuery<'_>,
    ) -> Result<Denoised, NetworkError> {
        let function = self.function_at(level);
        let detail = match asked {
            AttentionQuery::Own => AttentionDetail::Maps,
            _ => AttentionDetail::Nothing,
        };
        let mut values = Vec::with_capacity(noisy.values().len());
        let mut weights: Vec<f32> = Vec::new();
        let mut n_heads = 0;
        for first in (0..noisy.len()).step_by(PIECE) {
            let some = noisy.slice(first, PIECE.min(noisy.len() - first));
            let features = LocalFeatures::new(moments, &some, vec![level; some.len()])?;
            let x0 = match (function, asked) {
                (Some(function), AttentionQuery::Given(maps)) => {
                    function.forward_with_maps(&features, &maps.slice(first, some.len()))?
                }
                (Some(function), _) => {
                    let (x0, record) = function.forward(&features, Mode::Evaluate(detail))?;
                    if let Some(maps) = record.maps {
                        n_heads = maps.dim(1)?;
                        weights.extend(maps.flatten_all()?.to_vec1::<f32>()?);
                    }
                    x0
                }
                (None, _) => features.local,
            };
            values.extend(doubles(&x0)?);
        }
        let n_pixels = noisy.shape().n_pixels();
        let attention = (n_heads > 0).then(|| AttentionMaps::new(n_heads, n_pixels, weights));
        let x0 = ImageBatch::new(noisy.shape(), values);
        Ok(Denoised { attention, ..Denoised::plain(x0) })
    }
}

fn doubles(tensor: &Tensor) -> candle_core::Result<Vec<f64>> {
    tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1()
}
