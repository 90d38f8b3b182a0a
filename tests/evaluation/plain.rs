//! Statistics and the sampler, written down again from their definitions.

use std::f64::consts::FRAC_PI_2;

use mosaic_lab::diffusion::{AttentionMaps, Denoiser, NoiseLevel};
use mosaic_lab::image::ImageBatch;

pub fn level(t: f64) -> NoiseLevel {
    NoiseLevel { t, abar: (FRAC_PI_2 * t / 1.008).cos().powi(2) }
}

/// A trajectory of one seed; entry `i - 1` belongs to `t = i / T`.
pub struct Trajectory {
    pub states: Vec<ImageBatch>,
    pub x0: Vec<Vec<f64>>,
    pub maps: Vec<Option<AttentionMaps>>,
    pub sample: Vec<f64>,
}

/// Deterministic DDIM.
pub fn sample(denoiser: &dyn Denoiser, noise: &ImageBatch, n_steps: usize) -> Trajectory {
    sample_with(noise, n_steps, &mut |_, x, level| {
        let denoised = denoiser.denoise(x, level).unwrap();
        (denoised.x0.into_values(), denoised.attention)
    })
}

type Estimate = (Vec<f64>, Option<AttentionMaps>);

pub fn sample_with(
    noise: &ImageBatch,
    n_steps: usize,
    denoise: &mut dyn FnMut(usize, &ImageBatch, NoiseLevel) -> Estimate,
) -> Trajectory {
    let mut x = noise.clone();
    let mut way = Trajectory { states: vec![], x0: vec![], maps: vec![], sample: vec![] };
    for i in (1..=n_steps).rev() {
        let now = level(i as f64 / n_steps as f64).abar;
        let next = level((i - 1) as f64 / n_steps as f64).abar;
        let (x0, maps) = denoise(i, &x, level(i as f64 / n_steps as f64));
        let pairs = x.values().iter().zip(&x0);
        let moved = pairs.map(|(x, x0)| {
            let eps = (x - now.sqrt() * x0) / (1.0 - now).sqrt();
            next.sqrt() * x0 + (1.0 - next).sqrt() * eps
        });
        let moved = ImageBatch::new(x.shape(), moved.collect());
        way.states.insert(0, std::mem::replace(&mut x, moved));
        way.x0.insert(0, x0);
        way.maps.insert(0, maps);
    }
    way.sample = x.into_values();
    way
}

pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Quantile with linear interpolation between order statistics, numpy's default.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| a.partial_cmp(b).unwrap());
    let place = share * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    low * (1.0 - place.fract()) + high * place.fract()
}

pub fn pearson(a: &[f64], b: &[f64]) -> f64 {
    let (n, sa, sb) = (a.len() as f64, a.iter().sum::<f64>(), b.iter().sum::<f64>());
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (aa, bb) = (n * dot(a, a) - sa * sa, n * dot(b, b) - sb * sb);
    (n * dot(a, b) - sa * sb) / (aa * bb).sqrt()
}

/// `1 - SS_res / SS_tot`.
pub fn r_squared(prediction: &[f64], target: &[f64]) -> f64 {
    let centre = mean(target);
    let residual: f64 = prediction.iter().zip(target).map(|(p, t)| (t - p).powi(2)).sum();
    1.0 - residual / target.iter().map(|t| (t - centre).powi(2)).sum::<f64>()
}

pub fn squared_error(a: &[f64], b: &[f64]) -> f64 {
    mean(&a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).collect::<Vec<_>>())
}

/// A share with Wilson's 95% interval: estimate, low, high. Nothing is known without trials.
pub fn wilson(count: usize, n: usize) -> [f64; 3] {
    if n == 0 {
        return [0.0, 0.0, 1.0];
    }
    let (z, n, p) = (1.959963984540054_f64, n as f64, count as f64 / n as f64);
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let ends = [-1.0, 1.0].map(|sign| (p + z * z / (2.0 * n) + sign * half) / (1.0 + z * z / n));
    [p, ends[0].max(0.0), ends[1].min(1.0)]
}

/// The 97.5th percentile of Student's t: where the integral of the density (1 + x^2 / n)^(-(n + 1) / 2) from 0 is 95% of
/// the integral to infinity.
pub fn student_t(n: f64) -> f64 {
    // With x = sqrt(n) tan(a) the density becomes cos(a)^(n - 1) on [0, pi / 2].
    const STEPS: usize = 200_000;
    let width = FRAC_PI_2 / STEPS as f64;
    let density = |i: usize| ((i as f64 + 0.5) * width).cos().powf(n - 1.0);
    let whole: f64 = (0..STEPS).map(density).sum();
    let mut sum = 0.0;
    let reached = (0..STEPS).find(|&i| {
        sum += density(i);
        sum >= 0.95 * whole
    });
    let after = reached.unwrap() + 1;
    let too_much = (sum - 0.95 * whole) / density(after - 1);
    n.sqrt() * ((after as f64 - too_much) * width).tan()
}

/// A mean with its 95% interval by Student's t, cut off at 0 and 1.
pub fn mean_of_shares(values: &[f64]) -> [f64; 3] {
    let (n, centre) = (values.len() as f64, mean(values));
    let variance = values.iter().map(|v| (v - centre).powi(2)).sum::<f64>() / (n - 1.0);
    let half = if n > 1.0 { student_t(n - 1.0) * (variance / n).sqrt() } else { f64::INFINITY };
    [centre, (centre - half).max(0.0), (centre + half).min(1.0)]
}

/// Mean over rows of a `[P, P]` map of `-sum w ln w`.
pub fn map_entropy(map: &[f32]) -> f64 {
    let n = (map.len() as f64).sqrt();
    let terms = map.iter().map(|&w| f64::from(w)).filter(|w| *w > 0.0);
    -terms.map(|w| w * w.ln()).sum::<f64>() / n
}
