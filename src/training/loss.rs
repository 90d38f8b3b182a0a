//! Data and objective of one training step.
//!
//! ```text
//! phi ~ data, t ~ U(0, 1), eps ~ N(0, 1):   loss = mean w(t) || eps - eps_hat(sqrt(abar) phi + sigma eps, t) ||^2
//! ```
//!
//! All randomness is a function of the seed and the step number alone, so a resumed run sees exactly what an
//! uninterrupted one would have seen, without saved state. Times are stratified over the batch,
//! `t_i = (i + u_i) / B`: each is uniform on its stratum and together they cover [0, 1], which makes the loss
//! much less noisy. With `training.focus_share`, these are quantiles of a density that has more of some levels
//! ([`TrainingConfig::time_at`]). With `training.augment`, phi is a training image or a mirrored or turned copy of it.

use std::borrow::Cow;

use candle_core::{DType, Device, Tensor};
use rand::RngExt;

use super::training_config::TrainingConfig;
use crate::dataset::{Batches, Dataset};
use crate::diffusion::Schedule;
use crate::image::{ImageShape, Symmetry, from_byte};
use crate::network::{Mode, Network, NetworkError};
use crate::random::{Purpose, fill_normal, stream};

/// The smallest time; below it the noise is lost in the rounding of pixels to bytes.
const T_MIN: f64 = 1e-4;

/// One noised batch on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct HostBatch {
    /// Noisy images `x_t`, `[B, C, H, W]`.
    pub x: Vec<f32>,
    /// The noise in `x`, `[B, C, H, W]`.
    pub eps: Vec<f32>,
    /// Time of each image.
    pub t: Vec<f64>,
    pub labels: Option<Vec<u32>>,
}

/// One noised batch as tensors.
pub struct NoisyBatch {
    x: Tensor,
    eps: Tensor,
    t: Vec<f64>,
    labels: Option<Vec<u32>>,
}

/// Draws the noisy batch of update `step`, counted from 0, of which `config` gives the rng seed and the number of images.
pub fn noisy_batch(
    dataset: &Dataset,
    order: &mut Batches,
    config: &TrainingConfig,
    schedule: Schedule,
    step: u64,
) -> HostBatch {
    let (shape, batch, seed) = (dataset.shape(), config.batch, config.seed);
    // Seeking is free in sequence, and makes a resumed step identical.
    order.seek(step * batch as u64);
    let indices = order.next();
    let mut times = stream(seed, Purpose::TrainingTime, step);
    let stratum = |i: usize, u: f64| config.time_at((i as f64 + u) / batch as f64).max(T_MIN);
    let t: Vec<f64> = (0..batch).map(|i| stratum(i, times.random_range(0.0..1.0))).collect();
    let mut eps = vec![0.0_f32; batch * shape.n_values()];
    fill_normal(&mut stream(seed, Purpose::TrainingNoise, step), &mut eps);
    let mut x = Vec::with_capacity(eps.len());
    let images = drawn_copies(dataset, &indices, config, step);
    for ((image, eps), &t) in images.zip(eps.chunks_exact(shape.n_values())).zip(&t) {
        let level = schedule.level(t);
        let (signal, sigma) = (level.signal(), level.sigma());
        let noisy = |(&byte, &eps)| (signal * from_byte(byte) + sigma * f64::from(eps)) as f32;
        x.extend(image.iter().zip(eps).map(noisy));
    }
    let labels = dataset.labels().map(|all| indices.iter().map(|&i| u32::from(all[i])).collect());
    HostBatch { x, eps, t, labels }
}

/// The images at `indices`, each under a symmetry drawn for update `step`: mirrored, turned, or as it is.
fn drawn_copies<'a>(
    dataset: &'a Dataset,
    indices: &'a [usize],
    config: &TrainingConfig,
    step: u64,
) -> impl Iterator<Item = Cow<'a, [u8]>> {
    let symmetries = config.augment.symmetries();
    let mut generator = stream(config.seed, Purpose::TrainingCopies, step);
    indices.iter().map(move |&index| {
        let image = dataset.image(index);
        // Without augmentation nothing is drawn, and nothing copied.
        match symmetries[generator.random_range(0..symmetries.len() as u64) as usize] {
            symmetry if symmetry == Symmetry::default() => Cow::Borrowed(image),
            symmetry => Cow::Owned(symmetry.of_image(dataset.shape(), image).collect()),
        }
    })
}

impl HostBatch {
    /// Converts to tensors of `dtype` on a device, for images of `shape`.
    ///
    /// # Errors
    ///
    /// If the tensors cannot be created on the device or converted to `dtype`.
    pub fn tensors(
        &self,
        shape: ImageShape,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<NoisyBatch> {
        let dims = (self.t.len(), shape.channels, shape.height, shape.width);
        let tensor = |values: &[f32]| Tensor::from_slice(values, dims, device)?.to_dtype(dtype);
        let (t, labels) = (self.t.clone(), self.labels.clone());
        Ok(NoisyBatch { x: tensor(&self.x)?, eps: tensor(&self.eps)?, t, labels })
    }
}

impl NoisyBatch {
    /// Time of each image.
    pub fn times(&self) -> &[f64] {
        &self.t
    }

    /// Splits the batch into `n` equal consecutive pieces.
    ///
    /// # Errors
    ///
    /// If a tensor operation fails.
    pub fn pieces(&self, n: usize) -> candle_core::Result<Vec<NoisyBatch>> {
        let size = self.t.len() / n;
        let piece = |i: usize| {
            let some = i * size..(i + 1) * size;
            Ok(Self {
                x: self.x.narrow(0, some.start, size)?.contiguous()?,
                eps: self.eps.narrow(0, some.start, size)?.contiguous()?,
                t: self.t[some.clone()].to_vec(),
                labels: self.labels.as_ref().map(|labels| labels[some].to_vec()),
            })
        };
        (0..n).map(piece).collect()
    }
}

/// The loss in two forms: unweighted for reports, and weighted for the gradient.
pub struct Loss {
    /// Mean squared error of the predicted noise per image, `[B]`; comparable between runs.
    pub errors: Tensor,
    pub weighted: Tensor,
}

/// Computes the mean squared error of the predicted noise.
///
/// # Errors
///
/// If the network cannot compute its prediction, or a tensor operation fails.
pub fn noise_loss(
    network: &Network,
    batch: &NoisyBatch,
    config: &TrainingConfig,
    mode: Mode,
) -> Result<Loss, NetworkError> {
    let conditional = network.config().n_classes.is_some();
    let labels = batch.labels.as_deref().filter(|_| conditional);
    let eps = network.forward(&batch.t, &batch.x, labels, mode)?.eps;
    let errors = (eps - &batch.eps)?.sqr()?.flatten_from(1)?.mean(1)?;
    let schedule = network.config().schedule;
    let factors = batch.t.iter().map(|&t| config.loss_weight(schedule.level(t).abar));
    let factors = Tensor::from_iter(factors, network.device())?.to_dtype(network.dtype())?;
    Ok(Loss { weighted: (&errors * factors)?.mean_all()?, errors: errors.detach() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Augmentation;
    use crate::training::training_config::LossWeighting;

    #[test]
    fn velocity_weights_rise_with_noise_up_to_their_limit() {
        let weighted = |weighting| TrainingConfig {
            weighting,
            weighting_limit: 10.0,
            ..TrainingConfig::default()
        };
        let velocity = weighted(LossWeighting::Velocity);
        let factor = |t| velocity.loss_weight(Schedule::Cosine.level(t).abar);
        assert_eq!((factor(0.0), factor(1.0)), (1.0, 10.0));
        assert!(factor(0.5) > 1.9 && factor(0.5) < 2.1);
        assert_eq!(weighted(LossWeighting::Noise).loss_weight(0.1), 1.0);
    }

    /// The clean images of some batches of one image, without their noise.
    fn drawn(augment: Augmentation) -> Vec<Vec<u8>> {
        let shape = ImageShape::new(1, 2, 2);
        let dataset = Dataset::new("one", shape, vec![0, 60, 120, 240], None);
        let config = TrainingConfig { augment, batch: 8, ..TrainingConfig::default() };
        let mut order = Batches::new(1, 8, 0);
        let batch = |step| noisy_batch(&dataset, &mut order, &config, Schedule::Cosine, step);
        let clean = |batch: HostBatch| {
            let images = batch.x.chunks(4).zip(batch.eps.chunks(4)).zip(batch.t);
            let kept = images.filter(|(_, t)| *t < 0.7).map(|((x, eps), t)| {
                let level = Schedule::Cosine.level(t);
                let value = |(&x, &eps): (&f32, &f32)| {
                    let phi = (f64::from(x) - level.sigma() * f64::from(eps)) / level.signal();
                    (127.5 * (phi + 1.0)).round() as u8
                };
                x.iter().zip(eps).map(value).collect::<Vec<u8>>()
            });
            kept.collect::<Vec<_>>()
        };
        (0..40).map(batch).flat_map(clean).collect()
    }

    #[test]
    fn every_copy_is_drawn_about_equally_often_and_no_other_image() {
        let image = [0, 60, 120, 240];
        for augment in [Augmentation::None, Augmentation::Flip, Augmentation::Dihedral] {
            let found = drawn(augment);
            let shape = ImageShape::new(1, 2, 2);
            let mut left = found.len();
            for copy in augment.copies(shape, &image).chunks(4) {
                let n = found.iter().filter(|image| image[..] == *copy).count();
                let share = n as f64 * augment.n_copies() as f64 / found.len() as f64;
                assert!(
                    (0.5..1.5).contains(&share),
                    "{augment:?} {copy:?}: {n} of {}",
                    found.len()
                );
                left -= n;
            }
            assert_eq!(left, 0, "{augment:?}");
        }
    }
}
