//! The reverse process: deterministic DDIM from t = 1 down to 0, inclusive.
//!
//! Step i = T..1 goes from the time of step i to that of step i - 1, which the schedule gives ([`Schedule::step_time`]; `i/T`
//! but for `edm`). Song et al., arXiv 2010.02502, eq. 12 with eta = 0:
//!
//! ```text
//! x_{i-1} = sqrt(abar_{i-1}) x0hat + sigma_{i-1} eps_hat,   eps_hat = (x_i - sqrt(abar_i) x0hat) / sigma_i
//! ```
//!
//! Networks and machines take the same T steps from the same noise seed. (Kamb & Ganguli's public theory sampler starts
//! one step later than their network sampler; `start_step` reproduces that for the parity tests.)

use super::denoiser::{DenoiseError, Denoised, Denoiser};
use super::noise_schedule::{NoiseLevel, Schedule};
use crate::image::ImageBatch;

/// The deterministic sampler with `n_steps` steps of a schedule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ddim {
    pub schedule: Schedule,
    pub n_steps: usize,
}

/// One step of a trajectory, shown to an observer before the state moves on.
#[derive(Debug)]
pub struct SampleStep<'a> {
    /// `i` in T..=1.
    pub index: usize,
    pub level: NoiseLevel,
    /// The noisy state `x_t`.
    pub state: &'a ImageBatch,
    /// The estimate of the denoiser.
    pub denoised: &'a Denoised,
}

/// Called at every step of sampling; an error stops it.
pub type Observer<'a> = dyn FnMut(SampleStep<'_>) -> Result<(), DenoiseError> + 'a;

/// A denoiser with samples of its own: computed with [`Ddim::sample`], or recorded before.
pub trait Sampling: Denoiser {
    /// Samples of the noise `seeds`, `[B, C, H, W]`; `observe` is called at every step that is known.
    ///
    /// # Errors
    ///
    /// Those of the denoiser and of `observe`.
    fn sample(
        &self,
        ddim: Ddim,
        seeds: &ImageBatch,
        observe: &mut Observer<'_>,
    ) -> Result<ImageBatch, DenoiseError>;
}

impl Ddim {
    /// A sampler with `n_steps` steps.
    ///
    /// # Panics
    ///
    /// If `n_steps` is 0.
    pub fn new(schedule: Schedule, n_steps: usize) -> Self {
        assert!(n_steps > 0, "a sampler needs at least one step");
        Self { schedule, n_steps }
    }

    /// The noise level before step `index`; clean at 0.
    pub fn level(&self, index: usize) -> NoiseLevel {
        self.schedule.level(self.schedule.step_time(index, self.n_steps))
    }

    /// Samples from the standard-normal noise seeds `seeds`; `observe` is called at every step and may stop with an
    /// error.
    ///
    /// # Errors
    ///
    /// Those of the denoiser and of `observe`.
    pub fn sample(
        &self,
        denoiser: &dyn Denoiser,
        seeds: &ImageBatch,
        observe: &mut dyn FnMut(SampleStep<'_>) -> Result<(), DenoiseError>,
    ) -> Result<ImageBatch, DenoiseError> {
        self.sample_from(self.n_steps, denoiser, seeds, observe)
    }

    /// Like [`Ddim::sample`], from `state` at the level of step `start_step`.
    ///
    /// # Errors
    ///
    /// As [`Ddim::sample`].
    ///
    /// # Panics
    ///
    /// If `start_step` exceeds the number of steps.
    pub fn sample_from(
        &self,
        start_step: usize,
        denoiser: &dyn Denoiser,
        state: &ImageBatch,
        observe: &mut dyn FnMut(SampleStep<'_>) -> Result<(), DenoiseError>,
    ) -> Result<ImageBatch, DenoiseError> {
        assert!(start_step <= self.n_steps, "step {start_step} of {}", self.n_steps);
        let mut x = state.clone();
        for index in (1..=start_step).rev() {
            x = self.step(index, denoiser, &x, observe)?;
        }
        Ok(x)
    }

    /// One step: from the state at the level of step `index` to that of step `index - 1`.
    ///
    /// # Errors
    ///
    /// As [`Ddim::sample`].
    pub fn step(
        &self,
        index: usize,
        denoiser: &dyn Denoiser,
        x: &ImageBatch,
        observe: &mut dyn FnMut(SampleStep<'_>) -> Result<(), DenoiseError>,
    ) -> Result<ImageBatch, DenoiseError> {
        let level = self.level(index);
        let denoised = denoiser.denoise(x, level)?;
        observe(SampleStep { index, level, state: x, denoised: &denoised })?;
        Ok(self.advance(index, x, &denoised))
    }

    /// The state at the level of step `index - 1`, given the state `x` at that of step `index` and its estimate.
    pub fn advance(&self, index: usize, x: &ImageBatch, denoised: &Denoised) -> ImageBatch {
        let (from, to) = (self.level(index), self.level(index - 1));
        let mut next = denoised.eps(x, from);
        let (signal, sigma) = (to.signal(), to.sigma());
        for (value, x0) in next.values_mut().iter_mut().zip(denoised.x0.values()) {
            *value = signal * x0 + sigma * *value;
        }
        next
    }
}

impl Ddim {
    /// As [`Ddim::sample_from`], with fresh noise at every step: DDIM with eta = 1, which is DDPM's sampler (Song et al.,
    /// eq. 12 and 16),
    ///
    /// ```text
    /// x_{i-1} = sqrt(abar_{i-1}) x0hat + sqrt(sigma_{i-1}^2 - s^2) eps_hat + s z
    /// s = sigma_{i-1} / sigma_i  sqrt(1 - abar_i / abar_{i-1})
    /// ```
    ///
    /// `noise` gives the standard normal z of step `index`, shaped as the state.
    ///
    /// # Errors
    ///
    /// Those of the denoiser and of `noise`.
    ///
    /// # Panics
    ///
    /// If `start_step` exceeds the number of steps.
    pub fn sample_with_fresh_noise(
        &self,
        start_step: usize,
        denoiser: &dyn Denoiser,
        state: &ImageBatch,
        noise: &mut dyn FnMut(usize) -> Result<ImageBatch, DenoiseError>,
    ) -> Result<ImageBatch, DenoiseError> {
        assert!(start_step <= self.n_steps, "step {start_step} of {}", self.n_steps);
        let mut x = state.clone();
        for index in (1..=start_step).rev() {
            let (from, to) = (self.level(index), self.level(index - 1));
            let denoised = denoiser.denoise(&x, from)?;
            let eps = denoised.eps(&x, from);
            let fresh = to.sigma() / from.sigma() * (1.0 - from.abar / to.abar).max(0.0).sqrt();
            let kept = (to.variance() - fresh * fresh).max(0.0).sqrt();
            let z = noise(index)?;
            let all = denoised.x0.values().iter().zip(eps.values()).zip(z.values());
            let next = all.map(|((x0, eps), z)| to.signal() * x0 + kept * eps + fresh * z);
            x = ImageBatch::new(x.shape(), next.collect());
        }
        Ok(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::ImageShape;
    use crate::random::noise_seeds;

    /// The exact denoiser of a standard normal: `E[x0 | x_t] = sqrt(abar) x_t`.
    struct StandardNormal;

    impl Denoiser for StandardNormal {
        fn denoise(&self, x: &ImageBatch, level: NoiseLevel) -> Result<Denoised, DenoiseError> {
            let x0 = x.values().iter().map(|v| v * level.signal()).collect();
            Ok(Denoised::plain(ImageBatch::new(x.shape(), x0)))
        }
    }

    #[test]
    fn a_gaussian_is_carried_to_itself() {
        // The probability flow of a standard normal is the identity; DDIM is exact only as T grows.
        let seeds = noise_seeds(3, 0, 2, ImageShape::new(1, 4, 4));
        let ddim = Ddim::new(Schedule::Cosine, 2000);
        let samples = ddim.sample(&StandardNormal, &seeds, &mut |_| Ok(())).unwrap();
        for (a, b) in samples.values().iter().zip(seeds.values()) {
            assert!((a - b).abs() < 2e-3 * (1.0 + b.abs()), "{a} {b}");
        }
    }

    #[test]
    fn every_step_from_one_down_to_the_last_is_taken() {
        let seeds = noise_seeds(3, 0, 1, ImageShape::new(1, 2, 2));
        let mut times = Vec::new();
        Ddim::new(Schedule::Cosine, 4)
            .sample(&StandardNormal, &seeds, &mut |step| {
                times.push((step.index, step.level.t));
                Ok(())
            })
            .unwrap();
        assert_eq!(times, [(4, 1.0), (3, 0.75), (2, 0.5), (1, 0.25)]);
    }

    #[test]
    fn fresh_noise_keeps_the_distribution_and_forgets_the_state() {
        let shape = ImageShape::new(1, 4, 4);
        let n = 400;
        let seeds = noise_seeds(3, 0, n, shape);
        let ddim = Ddim::new(Schedule::Cosine, 200);
        let run = |seed: u64| {
            let mut noise = |index: usize| Ok(noise_seeds(seed, 1000 * index as u64, n, shape));
            ddim.sample_with_fresh_noise(200, &StandardNormal, &seeds, &mut noise).unwrap()
        };
        let (a, b) = (run(7), run(8));
        let mean = |values: &mut dyn Iterator<Item = f64>| {
            values.sum::<f64>() / seeds.values().len() as f64
        };
        // Of 6400 values: standard errors of .018 and .0125.
        let variance = mean(&mut a.values().iter().map(|v| v * v));
        let product = mean(&mut a.values().iter().zip(b.values()).map(|(a, b)| a * b));
        assert!((variance - 1.0).abs() < 0.07, "{variance}");
        assert!(product.abs() < 0.06, "{product}");
        // From the last step, both are the estimate.
        let mut none = |_| Ok(noise_seeds(9, 0, n, shape));
        let last = ddim.sample_with_fresh_noise(1, &StandardNormal, &seeds, &mut none).unwrap();
        let expected = StandardNormal.denoise(&seeds, ddim.level(1)).unwrap().x0;
        for (a, b) in last.values().iter().zip(expected.values()) {
            assert!((a - b).abs() < 1e-9);
        }
    }

    #[test]
    fn an_observer_can_cancel() {
        let seeds = noise_seeds(3, 0, 1, ImageShape::new(1, 2, 2));
        let ddim = Ddim::new(Schedule::Cosine, 4);
        let result = ddim.sample(&StandardNormal, &seeds, &mut |_| Err(DenoiseError::Cancelled));
        assert!(matches!(result, Err(DenoiseError::Cancelled)));
    }
}
