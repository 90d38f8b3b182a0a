//! Errors of a machine's x0hat against the network's, for every setting of a grid, at given states.

use rayon::prelude::*;

use super::schedule::StepSettings;
use crate::config::CalibrationGrid;
use crate::diffusion::{AttentionMaps, DenoiseError, Denoised, Denoiser, NoiseLevel};
use crate::image::ImageBatch;
use crate::theory::patches::Pool;
use crate::theory::spec::{AttentionSource, MachineSpec, PatchSize};
use crate::theory::sweep::Sweep;
use crate::theory::{Machine, TrainingImages};

/// One kind of machine, which makes estimates under every setting of a grid.
pub enum MachineFamily<'a> {
    Plain { machine: &'a Machine },
    Attention { pool: Pool, source: AttentionSource, images: &'a TrainingImages },
}

/// The machine for each seed: one per class, or one for all.
pub struct MachinesByClass<'a> {
    /// Seed i's class is `(first_seed + i) mod n_classes`.
    pub first_seed: u64,
    pub by_class: Vec<MachineFamily<'a>>,
}

impl<'a> MachinesByClass<'a> {
    /// The settings of the grid that apply to these machines.
    pub fn settings(&self, grid: &CalibrationGrid) -> Vec<StepSettings> {
        grid.settings(self.of(0))
    }

    /// Computes what all seeds share, before they run in parallel.
    fn prepare(&self, level: NoiseLevel, grid: &CalibrationGrid) {
        for machine in &self.by_class {
            let MachineFamily::Attention { pool, source, images } = machine else { continue };
            let of_k = |&k| Sweep { images, pool: *pool, k, level, x: &[], maps: None };
            grid.k.iter().map(of_k).for_each(|sweep| sweep.prepare(*source));
        }
    }

    fn of(&self, seed: usize) -> &MachineFamily<'a> {
        &self.by_class[((self.first_seed + seed as u64) % self.by_class.len() as u64) as usize]
    }
}

/// One noisy image, with the network's attention there.
pub struct State<'a> {
    pub x: &'a [f64],
    pub level: NoiseLevel,
    /// The network's attention maps, for sources that need them.
    pub maps: Option<&'a AttentionMaps>,
}

/// Errors of every setting against the network at some states: `[settings][seeds]`.
#[derive(Clone, Debug)]
pub struct Errors {
    pub settings: Vec<StepSettings>,
    pub squared: Vec<Vec<f64>>,
    pub cosine: Vec<Vec<f64>>,
    /// Variance of the network's x0hat, per seed.
    pub variance: Vec<f64>,
}

impl CalibrationGrid {
    /// A grid of a single setting.
    pub fn one(settings: StepSettings) -> Self {
        let StepSettings { k, lambda, gamma, tau } = settings;
        Self { k: vec![k], lambda: vec![lambda], gamma: vec![gamma], tau: vec![tau] }
    }

    /// The settings that apply to a machine, in the order of its estimates.
    fn settings(&self, machine: &MachineFamily<'_>) -> Vec<StepSettings> {
        let plain = |&k: &usize| StepSettings { k, lambda: 0.0, gamma: 0.0, tau: 0.0 };
        let taus = match machine {
            MachineFamily::Plain { .. } => return self.k.iter().map(plain).collect(),
            MachineFamily::Attention { source: AttentionSource::Similarity { .. }, .. } => {
                &self.tau[..]
            }
            MachineFamily::Attention { .. } => &[0.0],
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

impl MachineFamily<'_> {
    /// Passes the estimate under each setting of the grid to `take`, in the order of [`CalibrationGrid::settings`].
    fn estimates(
        &self,
        state: &State<'_>,
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
                    let x = ImageBatch::new(machine.images().shape(), state.x.to_vec());
                    take(machine.denoise(&x, state.level)?.x0.into_values());
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
                    let State { x, level, maps } = *state;
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

/// The estimates (x0hat) of one setting at all states `[B, C, H, W]`.
pub fn estimate(
    machines: &MachinesByClass<'_>,
    states: &ImageBatch,
    level: NoiseLevel,
    maps: Option<&AttentionMaps>,
    settings: StepSettings,
) -> Result<Denoised, DenoiseError> {
    let grid = CalibrationGrid::one(settings);
    let one = |seed: usize| {
        let maps = maps.map(|maps| maps.slice(seed, 1));
        let state = State { x: states.image(seed), level, maps: maps.as_ref() };
        let mut x0 = Vec::new();
        machines.of(seed).estimates(&state, &grid, &mut |found| x0 = found)?;
        Ok(x0)
    };
    machines.prepare(level, &grid);
    let all = (0..states.len()).into_par_iter().map(one).collect::<Result<Vec<_>, _>>()?;
    Ok(Denoised::plain(ImageBatch::new(states.shape(), all.concat())))
}

/// The errors of a whole grid at all states `[B, C, H, W]` against the network's `target` (x0hat).
pub fn errors(
    machines: &MachinesByClass<'_>,
    states: &ImageBatch,
    level: NoiseLevel,
    maps: Option<&AttentionMaps>,
    target: &ImageBatch,
    grid: &CalibrationGrid,
) -> Result<Errors, DenoiseError> {
    let one = |seed: usize| {
        let maps = maps.map(|maps| maps.slice(seed, 1));
        let (x, target) = (states.image(seed), target.image(seed));
        let state = State { x, level, maps: maps.as_ref() };
        let mut found = Vec::new();
        machines.of(seed).estimates(&state, grid, &mut |x0| {
            found.push((mean_squared_error(&x0, target), noise_cosine(x, &x0, target, level)));
        })?;
        Ok(found)
    };
    machines.prepare(level, grid);
    let seeds = (0..states.len()).into_par_iter().map(one).collect::<Result<Vec<_>, _>>()?;
    let settings = if states.is_empty() { Vec::new() } else { machines.settings(grid) };
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

/// Mean over values of `(a - b)^2`.
pub fn mean_squared_error(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>() / a.len() as f64
}

/// The cosine of the angle between the noises that two estimates leave in `x`; 0 if either leaves none.
fn noise_cosine(x: &[f64], x0: &[f64], target: &[f64], level: NoiseLevel) -> f64 {
    let signal = level.signal();
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for ((x, a), b) in x.iter().zip(x0).zip(target) {
        let (a, b) = (x - signal * a, x - signal * b);
        aa += a * a;
        bb += b * b;
        ab += a * b;
    }
    if aa * bb > 0.0 { ab / (aa * bb).sqrt() } else { 0.0 }
}

fn variance(image: &[f64]) -> f64 {
    let mean = image.iter().sum::<f64>() / image.len() as f64;
    image.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / image.len() as f64
}
