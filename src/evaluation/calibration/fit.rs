//! Errors of a grid of settings at given states.

use rayon::prelude::*;

use super::StepSettings;
use crate::config::CalibrationGrid;
use crate::diffusion::{AttentionMaps, DenoiseError, Denoised, Denoiser, NoiseLevel};
use crate::image::ImageBatch;
use crate::theory::patches::Pool;
use crate::theory::spec::{AttentionSource, MachineSpec, PatchSize};
use crate::theory::sweep::Sweep;
use crate::theory::{Machine, TrainingImages};

/// What is asked for estimates: one machine at every setting of a grid.
pub enum Family<'a> {
    Plain { machine: &'a Machine },
    Attention { pool: Pool, source: AttentionSource, images: &'a TrainingImages },
}

/// The machine of each seed: one a class, or one for all.
pub struct Families<'a> {
    /// Seed i's class is `(first_seed + i) mod n_classes`.
    pub first_seed: u64,
    pub by_class: Vec<Family<'a>>,
}

impl<'a> Families<'a> {
    /// The settings of a grid that these machines take.
    pub fn settings(&self, grid: &CalibrationGrid) -> Vec<StepSettings> {
        grid.settings(self.of(0))
    }

    /// Before seeds are looked at side by side.
    fn prepare(&self, level: NoiseLevel, grid: &CalibrationGrid) {
        for family in &self.by_class {
            let Family::Attention { pool, source, images } = family else { continue };
            let of_k = |&k| Sweep { images, pool: *pool, k, level, x: &[], maps: None };
            grid.k.iter().map(of_k).for_each(|sweep| sweep.prepare(*source));
        }
    }

    fn of(&self, seed: usize) -> &Family<'a> {
        &self.by_class[((self.first_seed + seed as u64) % self.by_class.len() as u64) as usize]
    }
}

/// One noisy image and what is known of the network there.
pub struct Look<'a> {
    pub x: &'a [f64],
    pub level: NoiseLevel,
    /// The network's maps, for the sources that need them.
    pub maps: Option<&'a AttentionMaps>,
}

/// How far each setting is from the network at some states: `[settings][seeds]`.
#[derive(Clone, Debug)]
pub struct Errors {
    pub settings: Vec<StepSettings>,
    pub squared: Vec<Vec<f64>>,
    pub cosine: Vec<Vec<f64>>,
    /// Variance of the network's x0hat, seed by seed.
    pub variance: Vec<f64>,
}

impl CalibrationGrid {
    /// A single setting.
    pub fn one(settings: StepSettings) -> Self {
        let StepSettings { k, lambda, gamma, tau } = settings;
        Self { k: vec![k], lambda: vec![lambda], gamma: vec![gamma], tau: vec![tau] }
    }

    /// The settings that a family takes, in the order of its estimates.
    fn settings(&self, family: &Family<'_>) -> Vec<StepSettings> {
        let plain = |&k: &usize| StepSettings { k, lambda: 0.0, gamma: 0.0, tau: 0.0 };
        let taus = match family {
            Family::Plain { .. } => return self.k.iter().map(plain).collect(),
            Family::Attention { source: AttentionSource::Similarity { .. }, .. } => &self.tau[..],
            Family::Attention { .. } => &[0.0],
        };
        let mut settings = Vec::new();
        for &k in &self.k {
            for &tau in taus {
                for &lambda in &self.lambda {
                    let step = |&gamma: &f64| StepSettings { k, lambda, gamma, tau };
                    settings.extend(self.gamma.iter().map(step));
                }
            }
        }
        settings
    }
}

impl Family<'_> {
    /// The estimate under each setting of the grid, in the order of [`CalibrationGrid::settings`].
    fn estimates(
        &self,
        look: &Look<'_>,
        grid: &CalibrationGrid,
        take: &mut dyn FnMut(Vec<f64>),
    ) -> Result<(), DenoiseError> {
        for &k in &grid.k {
            match self {
                Self::Plain { machine } => {
                    let spec =
                        MachineSpec { kind: machine.spec().kind.clone(), k: PatchSize::Fixed(k) };
                    let machine =
                        machine.with_spec(spec).map_err(|error| DenoiseError::Failed {
                            denoiser: machine.spec().column(),
                            source: Box::new(error),
                        })?;
                    let x = ImageBatch::new(machine.images().shape(), look.x.to_vec());
                    take(machine.denoise(&x, look.level)?.x0.into_values());
                }
                Self::Attention { pool, source, images } => {
                    let sources: Vec<AttentionSource> = match source {
                        AttentionSource::Similarity { .. } => grid
                            .tau
                            .iter()
                            .map(|&tau| AttentionSource::Similarity { tau })
                            .collect(),
                        other => vec![*other],
                    };
                    let Look { x, level, maps } = *look;
                    let sweep = Sweep { images, pool: *pool, k, level, x, maps };
                    for mixtures in sweep.mixtures(&sources, &grid.lambda) {
                        for mixture in mixtures {
                            grid.gamma.iter().for_each(|&gamma| take(mixture.estimate(gamma)));
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// The estimates of one setting at all states.
pub fn estimate(
    families: &Families<'_>,
    states: &ImageBatch,
    level: NoiseLevel,
    maps: Option<&AttentionMaps>,
    settings: StepSettings,
) -> Result<Denoised, DenoiseError> {
    let grid = CalibrationGrid::one(settings);
    let one = |seed: usize| {
        let maps = maps.map(|maps| maps.slice(seed, 1));
        let look = Look { x: states.image(seed), level, maps: maps.as_ref() };
        let mut x0 = Vec::new();
        families.of(seed).estimates(&look, &grid, &mut |found| x0 = found)?;
        Ok(x0)
    };
    families.prepare(level, &grid);
    let all = (0..states.len()).into_par_iter().map(one).collect::<Result<Vec<_>, _>>()?;
    Ok(Denoised::plain(ImageBatch::new(states.shape(), all.concat())))
}

/// The errors of a whole grid at all states against the network's `target` (x0hat).
pub fn errors(
    families: &Families<'_>,
    states: &ImageBatch,
    level: NoiseLevel,
    maps: Option<&AttentionMaps>,
    target: &ImageBatch,
    grid: &CalibrationGrid,
) -> Result<Errors, DenoiseError> {
    let one = |seed: usize| {
        let maps = maps.map(|maps| maps.slice(seed, 1));
        let (x, target) = (states.image(seed), target.image(seed));
        let look = Look { x, level, maps: maps.as_ref() };
        let mut found = Vec::new();
        families.of(seed).estimates(&look, grid, &mut |x0| {
            found.push((mean_squared_error(&x0, target), noise_cosine(x, &x0, target, level)));
        })?;
        Ok(found)
    };
    families.prepare(level, grid);
    let seeds = (0..states.len()).into_par_iter().map(one).collect::<Result<Vec<_>, _>>()?;
    let settings = if states.is_empty() { Vec::new() } else { families.settings(grid) };
    let by_setting = |pick: fn(&(f64, f64)) -> f64| {
        (0..settings.len()).map(|at| seeds.iter().map(|seed| pick(&seed[at])).collect()).collect()
    };
    Ok(Errors {
        squared: by_setting(|found| found.0),
        cosine: by_setting(|found| found.1),
        settings,
        variance: target.iter().map(variance).collect(),
    })
}

/// Mean of `(a - b)^2`.
pub fn mean_squared_error(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>() / a.len() as f64
}

/// The cosine of the angle between the noises that two estimates leave in `x`.
fn noise_cosine(x: &[f64], x0: &[f64], target: &[f64], level: NoiseLevel) -> f64 {
    let signal = level.signal();
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for ((x, a), b) in x.iter().zip(x0).zip(target) {
        let (a, b) = (x - signal * a, x - signal * b);
        aa += a * a;
        bb += b * b;
        ab += a * b;
    }
    // Without any noise left in either there is no angle.
    if aa * bb > 0.0 { ab / (aa * bb).sqrt() } else { 0.0 }
}

fn variance(image: &[f64]) -> f64 {
    let mean = image.iter().sum::<f64>() / image.len() as f64;
    image.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / image.len() as f64
}
