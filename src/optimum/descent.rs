//! Solves for the best function of a class by gradient descent on fresh draws.
//!
//! The error `E || phi - x0hat ||^2 / sigma^2` is averaged over `BATCH` new draws at every update, so that no draw is
//! fitted twice: functions fitted to some hundred draws are worse than `els` on others. One function is solved for all
//! noise levels together, with the time as an input of its hidden layers: neighbouring levels have similar solutions, and
//! what is learned at one serves the others. (With one function per level, each started from the next noisier one, the
//! error fell less in four times the time.) All parameters descend together (SOAP).
//!
//! The result is compared with the local machine on other draws at fixed levels, and that machine is used around levels
//! where its error is not larger. So the solution is no worse than that machine within the error of 128 draws a level.
//! The function is parametrised and its error is not convex: it is an upper bound of the smallest error of the class.

use std::f64::consts::PI;

use candle_core::{Device, Result, Tensor};

use super::function_of_class::{FunctionOfClass, FunctionSizes};
use super::local_features::LocalFeatures;
use super::noised_draws::{Draws, NoisedDraws};
use super::solution::{N_LEVELS, PIECE, Solution};
use crate::diffusion::{NoiseLevel, Schedule};
use crate::network::network_config::AttentionVariant;
use crate::network::{AttentionDetail, Mode, NetworkError};
use crate::theory::distinct_patches::patch_moments::PatchMoments;
use crate::training::optimizer_interface::{Optimizer, Update};
use crate::training::soap::Soap;

/// Draws of an update, largest learning rate, and updates over which the rate rises to it.
const BATCH: usize = 16;
const RATE: f64 = 0.01;
const N_WARMUP: usize = 50;

/// Draws at each level on which function and local machine are compared.
const N_CHECKED: usize = 128;
/// Where those draws start; the draws for descent start at 0.
const FIRST_CHECKED: u64 = 1 << 40;

/// What is to be solved.
pub struct Problem<'a> {
    pub draws: NoisedDraws<'a>,
    pub moments: &'a PatchMoments,
    pub sizes: FunctionSizes,
    /// Updates of the descent.
    pub n_updates: usize,
}

/// A descent that has made some of its updates.
pub struct Descent {
    pub n_done: usize,
    pub function: FunctionOfClass,
    pub optimizer: Soap,
}

impl Problem<'_> {
    /// Whether the local machine is the best of the class, because attention brings a pixel nothing.
    pub fn is_local(&self) -> bool {
        self.sizes.attention.variant == AttentionVariant::Identity
    }

    /// The descent before its first update.
    ///
    /// # Errors
    ///
    /// If a tensor operation fails.
    pub fn start(&self) -> std::result::Result<Descent, NetworkError> {
        let function = FunctionOfClass::initial(self.sizes, self.draws.seed)?;
        let optimizer = Soap::new(function.variables()?);
        Ok(Descent { n_done: 0, function, optimizer })
    }

    /// Makes the next update. The same problem has the same solution, bit for bit, for any number of threads.
    ///
    /// # Errors
    ///
    /// If a tensor operation fails.
    pub fn advance(&self, descent: &mut Descent) -> std::result::Result<(), NetworkError> {
        let step = descent.n_done;
        let draws = self.draws.draw((step * BATCH) as u64, BATCH, None);
        let features = LocalFeatures::new(self.moments, &draws.noisy, draws.levels.clone())?;
        let mode = Mode::Train { seed: self.draws.seed, step: step as u64 };
        let (x0, _) = descent.function.forward(&features, mode)?;
        let gradients = scaled_error(&x0, &draws)?.mean_all()?.backward()?;
        let rate = RATE * ((step + 1) as f64 / N_WARMUP as f64).min(1.0);
        let rate = rate * 0.5 * (1.0 + (PI * step as f64 / self.n_updates as f64).cos());
        let update = Update { rate, weight_decay: 0.0, gradient_factor: 1.0 };
        descent.optimizer.update(&gradients, update)?;
        descent.n_done += 1;
        Ok(())
    }

    /// The solution that the finished descent ended at.
    ///
    /// # Errors
    ///
    /// If a tensor operation fails.
    pub fn finish(&self, descent: &Descent) -> std::result::Result<Solution, NetworkError> {
        let function = FunctionOfClass::frozen(self.sizes, &descent.function.parameters()?)?;
        let mut is_better = [false; N_LEVELS];
        for (i, is_better) in is_better.iter_mut().enumerate() {
            let level = Schedule::Cosine.level((i + 1) as f64 / N_LEVELS as f64);
            *is_better = self.gain(&function, level)? > 0.0;
        }
        Ok(Solution { function: Some(function), is_better })
    }

    /// By how much the error of `function` is below that of the local machine, on draws that are used for nothing else.
    fn gain(
        &self,
        function: &FunctionOfClass,
        level: NoiseLevel,
    ) -> std::result::Result<f64, NetworkError> {
        let mut gain = 0.0;
        for first in (0..N_CHECKED).step_by(PIECE) {
            let draws = self.draws.draw(FIRST_CHECKED + first as u64, PIECE, Some(level));
            let features = LocalFeatures::new(self.moments, &draws.noisy, draws.levels.clone())?;
            let mode = Mode::Evaluate(AttentionDetail::Nothing);
            let (x0, _) = function.forward(&features, mode)?;
            let [of_local, of_function] = [&features.local, &x0].map(|x0| {
                let error = scaled_error(x0, &draws)?.mean_all()?;
                error.to_scalar::<f32>().map(f64::from)
            });
            gain += of_local? - of_function?;
        }
        Ok(gain)
    }
}

/// `(phi - x0hat)^2 / sigma^2` of every value, `[B, C, H, W]`.
fn scaled_error(x0: &Tensor, draws: &Draws) -> Result<Tensor> {
    let clean: Vec<f32> = draws.clean.values().iter().map(|&v| v as f32).collect();
    let factors = draws.levels.iter().map(|level| (1.0 / level.sigma()) as f32);
    let factors =
        Tensor::from_iter(factors, &Device::Cpu)?.reshape((draws.levels.len(), 1, 1, 1))?;
    let clean = Tensor::from_vec(clean, x0.shape(), &Device::Cpu)?;
    (x0 - clean)?.broadcast_mul(&factors)?.sqr()
}
