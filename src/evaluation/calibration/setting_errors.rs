//! Errors of a machine's x0hat against the network's, for every setting of a grid, at given states.

use rayon::prelude::*;

use super::calibration_file::variant_in_words;
use super::machine_schedule::StepSettings;
use super::schedule_ranking::mean;
use crate::config::CalibrationGrid;
use crate::diffusion::{AttentionMaps, DenoiseError, Denoised, Denoiser, NoiseLevel};
use crate::image::ImageBatch;
use crate::theory::attention_machine::Mixture;
use crate::theory::attention_settings_sweep::Sweep;
use crate::theory::machine_spec::{AttentionSource, MachineSpec, PatchSize};
use crate::theory::patch_pools_ls_els_bbels::Pool;
use crate::theory::patch_window::PatchWindow;
use crate::theory::{Machine, TrainingImages};

/// One kind of machine, which makes estimates under every setting of a grid.
pub enum MachineFamily<'a> {
    Plain {
        machine: &'a Machine,
    },
    Attention {
        pool: Pool,
        window: PatchWindow,
        source: AttentionSource,
        images: &'a TrainingImages,
    },
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

    /// The same machines; those with attention take it from `source`.
    pub fn with_source(&self, source: AttentionSource) -> Self {
        let change = |family: &MachineFamily<'a>| match *family {
            MachineFamily::Plain { machine } => MachineFamily::Plain { machine },
            MachineFamily::Attention { pool, window, images, .. } => {
                MachineFamily::Attention { pool, window, source, images }
            }
        };
        Self { first_seed: self.first_seed, by_class: self.by_class.iter().map(change).collect() }
    }

    /// The patch sides of the grid that apply to these machines.
    pub fn sides(&self, grid: &CalibrationGrid) -> Vec<usize> {
        self.of(0).sides(grid).to_vec()
    }

    /// The window and the copies of the dictionary, in words.
    pub fn variant(&self) -> String {
        match self.of(0) {
            MachineFamily::Plain { machine } => {
                variant_in_words(machine.spec().window, machine.images().augmentation())
            }
            MachineFamily::Attention { window, images, .. } => {
                variant_in_words(*window, images.augmentation())
            }
        }
    }

    /// Computes what all seeds share, before they run in parallel.
    fn prepare(&self, level: NoiseLevel, grid: &CalibrationGrid) {
        for machine in &self.by_class {
            let &MachineFamily::Attention { pool, window, source, images } = machine else {
                continue;
            };
            let of_k = |&k| Sweep { images, pool, k, window, level, x: &[], maps: None };
            grid.k.iter().map(of_k).for_each(|sweep| sweep.prepare(source));
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

impl Errors {
    pub fn n_seeds(&self) -> usize {
        self.variance.len()
    }

    /// The setting with the least mean squared error over all seeds; the first of equals, which are those with less
    /// sharing.
    pub fn best(&self) -> StepSettings {
        self.first_of_least(self.squared.iter().map(|squared| mean(squared)))
    }

    /// As [`Errors::best`] over `seeds`, which may repeat.
    pub fn best_over(&self, seeds: &[usize]) -> StepSettings {
        let cost = |squared: &Vec<f64>| seeds.iter().map(|&seed| squared[seed]).sum();
        self.first_of_least(self.squared.iter().map(cost))
    }

    fn first_of_least(&self, costs: impl Iterator<Item = f64>) -> StepSettings {
        let costs: Vec<f64> = costs.collect();
        let least = costs.iter().copied().fold(f64::INFINITY, f64::min);
        self.settings[costs.iter().position(|&cost| cost == least).unwrap_or(0)]
    }
}

impl CalibrationGrid {
    /// A grid of a single setting.
    pub fn one(settings: StepSettings) -> Self {
        let StepSettings { k, lambda, gamma, tau } = settings;
        Self {
            k: vec![k],
            k_without_sharing: vec![k],
            lambda: vec![lambda],
            gamma: vec![gamma],
            tau: vec![tau],
        }
    }

    /// The settings that apply to a machine, in the order of its estimates.
    fn settings(&self, machine: &MachineFamily<'_>) -> Vec<StepSettings> {
        let plain = |&k: &usize| StepSettings { k, lambda: 0.0, gamma: 0.0, tau: 0.0 };
        let taus = match machine {
            MachineFamily::Plain { .. } => return machine.sides(self).iter().map(plain).collect(),
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
    /// The patch sides of the grid that apply to the machine.
    fn sides<'g>(&self, grid: &'g CalibrationGrid) -> &'g [usize] {
        match self {
            Self::Plain { machine } if machine.spec().kind.takes_covering_patches() => {
                &grid.k_without_sharing
            }
            _ => &grid.k,
        }
    }

    /// Passes the estimates under the settings of the grid to `take`, those that differ in gamma together, in the order
    /// of [`CalibrationGrid::settings`].
    fn estimates(
        &self,
        state: &State<'_>,
        grid: &CalibrationGrid,
        take: &mut dyn FnMut(Mixture, &[f64]),
    ) -> Result<(), DenoiseError> {
        for &k in self.sides(grid) {
            match self {
                Self::Plain { machine } => {
                    let spec = MachineSpec { k: PatchSize::Fixed(k), ..machine.spec().clone() };
                    let machine =
                        machine.with_spec(spec).map_err(|error| DenoiseError::Failed {
                            denoiser: machine.spec().column(),
                            source: Box::new(error),
                        })?;
                    let x = ImageBatch::new(machine.images().shape(), state.x.to_vec());
                    let z = machine.denoise(&x, state.level)?.x0.into_values();
                    take(Mixture { attended: z.clone(), z }, &[0.0]);
                }
                Self::Attention { pool, window, source, images } => {
                    let sources: Vec<AttentionSource> = match source {
                        AttentionSource::Similarity { .. } => grid
                            .tau
                            .iter()
                            .map(|&tau| AttentionSource::Similarity { tau })
                            .collect(),
                        other => vec![*other],
                    };
                    let State { x, level, maps } = *state;
                    let (pool, window) = (*pool, *window);
                    let sweep = Sweep { images, pool, k, window, level, x, maps };
                    let found = sweep.mixtures(&sources, &grid.lambda);
                    found.into_iter().flatten().for_each(|mixture| take(mixture, &grid.gamma));
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
        machines.of(seed).estimates(&state, &grid, &mut |found, gammas| {
            x0 = found.estimate(gammas[0]);
        })?;
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
        machines.of(seed).estimates(&state, grid, &mut |mixture, gammas| {
            let along = ErrorsAlongGamma::new(&mixture, x, target, level);
            found.extend(gammas.iter().map(|&g| (along.squared(g), along.noise_cosine(g))));
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

/// Dot products from which the errors of `z + gamma (attended - z)` follow for any gamma: with `d = attended - z`,
/// `e = z - target`, and the noises `a = x - signal z` and `b = x - signal target`.
#[derive(Default)]
struct ErrorsAlongGamma {
    n_values: f64,
    signal: f64,
    ee: f64,
    ed: f64,
    dd: f64,
    aa: f64,
    ad: f64,
    ab: f64,
    bb: f64,
    bd: f64,
}

impl ErrorsAlongGamma {
    fn new(mixture: &Mixture, x: &[f64], target: &[f64], level: NoiseLevel) -> Self {
        let (n_values, signal) = (x.len() as f64, level.signal());
        let mut all = Self { n_values, signal, ..Self::default() };
        let estimates = mixture.z.iter().zip(&mixture.attended);
        for ((x, target), (z, attended)) in x.iter().zip(target).zip(estimates) {
            let (e, d) = (z - target, attended - z);
            let (a, b) = (x - signal * z, x - signal * target);
            all.ee += e * e;
            all.ed += e * d;
            all.dd += d * d;
            all.aa += a * a;
            all.ad += a * d;
            all.ab += a * b;
            all.bb += b * b;
            all.bd += b * d;
        }
        all
    }

    /// Mean over values of the squared error.
    fn squared(&self, gamma: f64) -> f64 {
        // Where the estimate is the target, rounding may leave less than nothing.
        ((self.ee + gamma * (2.0 * self.ed + gamma * self.dd)) / self.n_values).max(0.0)
    }

    /// The cosine of the angle between the noises that the estimate and the target leave in `x`; 0 if either leaves
    /// none.
    fn noise_cosine(&self, gamma: f64) -> f64 {
        let step = gamma * self.signal;
        let aa = self.aa - step * (2.0 * self.ad - step * self.dd);
        let ab = self.ab - step * self.bd;
        if aa * self.bb > 0.0 { (ab / (aa * self.bb).sqrt()).clamp(-1.0, 1.0) } else { 0.0 }
    }
}

fn variance(image: &[f64]) -> f64 {
    let mean = image.iter().sum::<f64>() / image.len() as f64;
    image.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / image.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::Schedule;
    use crate::image::ImageShape;
    use crate::random::noise_seeds;

    #[test]
    fn errors_along_gamma_are_those_of_each_estimate() {
        let shape = ImageShape::new(3, 4, 4);
        let image = |seed| noise_seeds(seed, 0, 1, shape).into_values();
        let (x, target) = (image(1), image(2));
        let mixture = Mixture { z: image(3), attended: image(4) };
        let level = Schedule::Cosine.level(0.4);
        let along = ErrorsAlongGamma::new(&mixture, &x, &target, level);
        let noise = |x0: &[f64]| -> Vec<f64> {
            x.iter().zip(x0).map(|(x, x0)| x - level.signal() * x0).collect()
        };
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        for gamma in [0.0, 0.3, 1.0] {
            let x0 = mixture.estimate(gamma);
            let (a, b) = (noise(&x0), noise(&target));
            let cosine = dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt();
            assert!((along.squared(gamma) - mean_squared_error(&x0, &target)).abs() < 1e-12);
            assert!((along.noise_cosine(gamma) - cosine).abs() < 1e-12);
        }
        let mixture = Mixture { attended: target.clone(), ..mixture };
        let met = ErrorsAlongGamma::new(&mixture, &x, &target, level);
        assert!((0.0..1e-12).contains(&met.squared(1.0)));
        assert!((1.0 - 1e-12..=1.0).contains(&met.noise_cosine(1.0)));
    }
}
