//! Schedules against each other on a Gaussian, of which everything is known.
//!
//! For values of mean m and standard deviation s, with `a^2 = abar`, `sigma^2 = 1 - abar`:
//!
//! ```text
//! E[x0 | x_t] = m + a s^2 / v_t (x_t - a m),  v_t = a^2 s^2 + sigma^2       posterior mean
//! x_0         = m + s / sqrt(v_1) (x_1 - a_1 m)                             end of the probability flow from x_1
//! ```
//!
//! The flow keeps the number of standard deviations `(x_t - a m) / sqrt(v_t)`, because it is one-dimensional and carries the
//! distribution at each time to that at the next.

use super::denoiser::{DenoiseError, Denoised, Denoiser};
use super::noise_schedule::{NoiseLevel, Schedule};
use super::sampler::Ddim;
use crate::image::{ImageBatch, ImageShape};
use crate::random::noise_seeds;

const ALL: [Schedule; 3] = [Schedule::Cosine, Schedule::DdpmLinear, Schedule::Edm];

/// Mean and standard deviation of each of four pixels.
const PIXELS: [(f64, f64); 4] = [(0.4, 0.3), (-0.7, 0.1), (0.0, 0.8), (0.9, 1.0)];

struct Gaussian;

impl Gaussian {
    fn posterior_mean((mean, sd): (f64, f64), x: f64, level: NoiseLevel) -> f64 {
        let (a, variance) = (level.signal(), level.abar * sd * sd + level.variance());
        mean + a * sd * sd / variance * (x - a * mean)
    }

    /// The end of the flow from the noise `x` at t = 1.
    fn flow((mean, sd): (f64, f64), x: f64, noise: NoiseLevel) -> f64 {
        let variance = noise.abar * sd * sd + noise.variance();
        mean + sd / variance.sqrt() * (x - noise.signal() * mean)
    }
}

impl Denoiser for Gaussian {
    fn denoise(&self, x: &ImageBatch, level: NoiseLevel) -> Result<Denoised, DenoiseError> {
        let pixels = PIXELS.iter().cycle().zip(x.values());
        let x0 = pixels.map(|(&pixel, &x)| Self::posterior_mean(pixel, x, level)).collect();
        Ok(Denoised::plain(ImageBatch::new(x.shape(), x0)))
    }
}

fn seeds() -> ImageBatch {
    noise_seeds(5, 0, 16, ImageShape::new(1, 2, 2))
}

fn samples(schedule: Schedule, n_steps: usize) -> ImageBatch {
    Ddim::new(schedule, n_steps).sample(&Gaussian, &seeds(), &mut |_| Ok(())).unwrap()
}

fn ends(schedule: Schedule) -> Vec<f64> {
    let (seeds, noise) = (seeds(), schedule.level(1.0));
    let pixels = PIXELS.iter().cycle().zip(seeds.values());
    pixels.map(|(&pixel, &x)| Gaussian::flow(pixel, x, noise)).collect()
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn samples_of_every_schedule_converge_to_the_flow_with_order_one() {
    for schedule in ALL {
        let end = ends(schedule);
        let error = |n_steps| largest_difference(samples(schedule, n_steps).values(), &end);
        let errors = [125, 250, 500, 1000].map(error);
        for pair in errors.windows(2) {
            let ratio = pair[0] / pair[1];
            assert!((1.95..2.05).contains(&ratio), "{schedule:?}: {errors:?}");
        }
        assert!(errors[3] < 0.006, "{schedule:?}: {errors:?}");
    }
}

#[test]
fn the_flows_of_all_schedules_end_alike_but_for_the_signal_in_their_noise() {
    // What is left of the mean at t = 1, sqrt(abar), is .0125, .0064 and .0125; the ends shift by sd |mean| times that.
    let cosine = ends(Schedule::Cosine);
    for (schedule, limit) in [(Schedule::DdpmLinear, 0.0064), (Schedule::Edm, 0.0002)] {
        let difference = largest_difference(&ends(schedule), &cosine);
        assert!(difference > 0.0 && difference < limit, "{schedule:?}: {difference}");
    }
}

#[test]
fn ddim_is_the_euler_step_of_edm_in_its_own_units() {
    // Karras et al., algorithm 1 without its second-order correction: x += (s' - s) (x - D(x; s)) / s from x = s_max eps.
    let (schedule, n_steps) = (Schedule::Edm, 18);
    let levels: Vec<NoiseLevel> = (0..=n_steps)
        .rev()
        .map(|index| schedule.level(schedule.step_time(index, n_steps)))
        .collect();
    let first = levels[0].exploding_sigma();
    // A standard normal seed in variance-preserving units is this much in EDM's.
    let scale = (1.0 + first * first).sqrt();
    let mut x: Vec<f64> = seeds().values().iter().map(|eps| scale * eps).collect();
    for pair in levels.windows(2) {
        let [now, next] = [pair[0], pair[1]].map(|level| level.exploding_sigma());
        for (x, &(mean, sd)) in x.iter_mut().zip(PIXELS.iter().cycle()) {
            let denoised = (sd * sd * *x + now * now * mean) / (sd * sd + now * now);
            *x += (next - now) * (*x - denoised) / now;
        }
    }
    let difference = largest_difference(&x, samples(schedule, n_steps).values());
    assert!(difference < 1e-9, "{difference}");
}
