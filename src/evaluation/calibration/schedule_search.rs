//! The search: schedules fitted along the network's trajectories and along each machine's own, constant schedules,
//! and the final samples of all of them.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::calibration_file::{Calibrated, Candidate, Origin, StepFit};
use super::machine_schedule::StepSettings;
use super::patch_side_growth::bootstrap_error;
use super::schedule_ranking::{mean, ranked};
use super::setting_errors::{Errors, MachinesByClass, errors, estimate, mean_squared_error};
use crate::analysis::{agreement::agreement, confidence_intervals::quartiles};
use crate::config::CalibrationGrid;
use crate::diffusion::{AttentionMaps, Ddim, DenoiseError, Denoised, Sampling};
use crate::evaluation::stop_flag::check_stop;
use crate::image::ImageBatch;
use crate::theory::machine_spec::AttentionSource;

/// Factors on fitted lambdas that compete: a schedule fitted where the network is already consistent asks for too little
/// sharing where a machine is not.
const BOOSTS: [f64; 4] = [1.0, 1.5, 2.0, 4.0];

/// Constant (lambda, gamma) of the pooled machine that compete. Step by step, the least error is a hedge between the
/// images that a seed may become, which is as consistent as none of them; a machine that never hedges can only be found
/// by its samples.
const POOLED_SHARING: [(f64, f64); 7] =
    [(0.0, 0.0), (0.05, 0.1), (0.05, 0.2), (0.1, 0.1), (0.1, 0.2), (0.2, 0.1), (0.2, 0.2)];

/// A schedule before it is sampled.
struct Entry {
    origin: Origin,
    boost: f64,
    settings: Vec<StepSettings>,
}

/// The denoiser that machines are calibrated against, with attention maps if it has attention.
pub struct Target<'a> {
    pub denoiser: &'a dyn Sampling,
    pub ddim: Ddim,
    /// Noise of the calibration seeds, `[B, C, H, W]`.
    pub seeds: ImageBatch,
}

/// A machine to calibrate.
pub struct Subject<'a> {
    pub name: String,
    pub source: Option<AttentionSource>,
    pub machines: MachinesByClass<'a>,
}

/// Calibrates every subject against the target; `progress` is called with a description of each subject before it.
///
/// # Errors
/// If a denoiser fails, or [`DenoiseError::Cancelled`] once `stop` is set.
pub fn calibrate(
    target: &Target<'_>,
    subjects: &[Subject<'_>],
    grid: &CalibrationGrid,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Calibrated>, DenoiseError> {
    let trajectory = &Trajectory::of(target, stop)?;
    let mut found = Vec::with_capacity(subjects.len());
    for (index, subject) in subjects.iter().enumerate() {
        progress(&format!("{} ({} of {})", subject.name, index + 1, subjects.len()));
        found.push(Search { target, trajectory, subject, grid, stop }.calibrate()?);
    }
    Ok(found)
}

/// Estimates of the network are kept if they take no more than this, and made again otherwise.
const KEPT_BYTES: usize = 1 << 30;

/// The network's trajectories from all seeds.
struct Trajectory {
    /// Entry `i` is the state at `t = i / T`; the first holds the samples.
    states: Vec<ImageBatch>,
    /// What the network makes of states 1 and up; empty if it is made again when it is needed.
    estimates: Vec<Denoised>,
}

impl Trajectory {
    fn of(target: &Target<'_>, stop: &AtomicBool) -> Result<Self, DenoiseError> {
        let n_steps = target.ddim.n_steps;
        let (mut states, mut estimates) = (Vec::with_capacity(n_steps + 1), Vec::new());
        let mut keeps = true;
        let samples = target.denoiser.sample(target.ddim, &target.seeds, &mut |step| {
            let attention = step.denoised.attention.as_ref();
            let bytes = size_of_val(step.denoised.x0.values())
                + attention.map_or(0, |maps| size_of_val(maps.weights()));
            // All or none of the steps.
            keeps &= bytes * n_steps <= KEPT_BYTES;
            if keeps {
                estimates.push(step.denoised.clone());
            } else {
                estimates.clear();
            }
            states.push(step.state.clone());
            check_stop(stop)
        })?;
        states.push(samples);
        states.reverse();
        estimates.reverse();
        Ok(Self { states, estimates })
    }
}

/// The search for one subject's schedule.
struct Search<'a> {
    target: &'a Target<'a>,
    trajectory: &'a Trajectory,
    subject: &'a Subject<'a>,
    grid: &'a CalibrationGrid,
    stop: &'a AtomicBool,
}

impl Search<'_> {
    fn calibrate(&self) -> Result<Calibrated, DenoiseError> {
        let along_network = self.along_network()?;
        let mut entries = self.fitted(&along_network)?;
        entries.extend(self.constant(&along_network)?);
        let candidates = ranked(self.compete(entries)?);
        let steps = self.quality(&candidates[0].settings, &along_network)?;
        let is_plain = self.subject.source.is_none();
        Ok(Calibrated {
            machine: self.subject.name.clone(),
            sides: self.subject.machines.sides(self.grid),
            variant: self.subject.machines.variant(),
            candidates,
            steps,
            patch_growth_error: is_plain
                .then(|| bootstrap_error(&along_network, &self.times()))
                .flatten(),
        })
    }

    fn n_steps(&self) -> usize {
        self.target.ddim.n_steps
    }

    /// Time of each step, cleanest first.
    fn times(&self) -> Vec<f64> {
        (1..=self.n_steps()).map(|index| self.target.ddim.level(index).t).collect()
    }

    /// The network's estimate at its own states of step `index`.
    fn estimate_at(&self, index: usize) -> Result<Cow<'_, Denoised>, DenoiseError> {
        check_stop(self.stop)?;
        let Trajectory { states, estimates } = self.trajectory;
        if let Some(kept) = estimates.get(index - 1) {
            return Ok(Cow::Borrowed(kept));
        }
        let level = self.target.ddim.level(index);
        Ok(Cow::Owned(self.target.denoiser.denoise(&states[index], level)?))
    }

    /// The attention maps that the machine uses at step `index`, at its own `states`; `network` is the network's estimate
    /// at that step.
    fn maps<'n>(
        &self,
        network: &'n Denoised,
        states: &ImageBatch,
        index: usize,
    ) -> Result<Option<Cow<'n, AttentionMaps>>, DenoiseError> {
        match self.subject.source {
            Some(AttentionSource::Trajectory) => Ok(network.attention.as_ref().map(Cow::Borrowed)),
            Some(AttentionSource::Measured) => {
                let level = self.target.ddim.level(index);
                Ok(self.target.denoiser.denoise(states, level)?.attention.map(Cow::Owned))
            }
            _ => Ok(None),
        }
    }

    /// The schedules that fit best step by step, with their lambdas multiplied by every factor of [`BOOSTS`].
    fn fitted(&self, along_network: &[Errors]) -> Result<Vec<Entry>, DenoiseError> {
        let fits =
            [(Origin::Network, Self::best_of(along_network)), (Origin::Own, self.along_itself()?)];
        let boosts = if self.subject.source.is_some() { &BOOSTS[..] } else { &BOOSTS[..1] };
        let mut entries = Vec::new();
        for (origin, fit) in fits {
            for &boost in boosts {
                let mut settings = fit.clone();
                settings.iter_mut().for_each(|step| step.lambda *= boost);
                entries.push(Entry { origin, boost, settings });
            }
        }
        Ok(entries)
    }

    /// The same settings at every step: for each patch side those that fit best over all steps. For the pooled machine
    /// also a few sharings with the patch sides that fit best without any.
    fn constant(&self, along_network: &[Errors]) -> Result<Vec<Entry>, DenoiseError> {
        let entry = |settings| Entry { origin: Origin::Constant, boost: 1.0, settings };
        let all = constant_settings(along_network).into_iter();
        let mut entries: Vec<Entry> =
            all.map(|settings| entry(vec![settings; self.n_steps()])).collect();
        if self.subject.source == Some(AttentionSource::Pooled) {
            let grid = CalibrationGrid { lambda: vec![0.0], gamma: vec![0.0], ..self.grid.clone() };
            // Without sharing all sources are the same; this one needs no likelihoods of pooled estimates.
            let source = AttentionSource::Uniform;
            let subject = Subject {
                name: self.subject.name.clone(),
                source: Some(source),
                machines: self.subject.machines.with_source(source),
            };
            let search = Search { grid: &grid, subject: &subject, ..*self };
            let plain = Self::best_of(&search.along_network()?);
            let schedule = |(lambda, gamma): (f64, f64)| {
                let step = |step: &StepSettings| StepSettings { lambda, gamma, ..*step };
                entry(plain.iter().map(step).collect())
            };
            entries.extend(POOLED_SHARING.into_iter().map(schedule));
        }
        Ok(entries)
    }

    /// Samples every entry from the calibration seeds and compares with the network's samples.
    fn compete(&self, entries: Vec<Entry>) -> Result<Vec<Candidate>, DenoiseError> {
        let all_samples = self.samples(&entries)?;
        let compete = |(Entry { origin, boost, settings }, samples): (Entry, Arc<ImageBatch>)| {
            let pairs = || samples.iter().zip(self.trajectory.states[0].iter());
            let errors: Vec<f64> = pairs().map(|(a, b)| mean_squared_error(a, b)).collect();
            let r: Vec<f64> = pairs().map(|(a, b)| agreement(a, b).r.unwrap_or(0.0)).collect();
            let (error, r_mean) = (mean(&errors), mean(&r));
            let r_median = quartiles(&r).map(|q| q.median);
            Candidate { origin, boost, error, r: r_median, r_mean, settings }
        };
        Ok(entries.into_iter().zip(all_samples).map(compete).collect())
    }

    /// The machine's samples from the calibration seeds under each schedule. Schedules that agree from the noise down to
    /// some step are sampled once down to there.
    fn samples(&self, entries: &[Entry]) -> Result<Vec<Arc<ImageBatch>>, DenoiseError> {
        let noise = Arc::new(self.target.seeds.clone());
        let mut states: Vec<Arc<ImageBatch>> = entries.iter().map(|_| noise.clone()).collect();
        for index in (1..=self.n_steps()).rev() {
            let setting = |entry: usize| entries[entry].settings[index - 1];
            let mut next: Vec<Arc<ImageBatch>> = Vec::with_capacity(entries.len());
            for entry in 0..entries.len() {
                let is_same = |other: &usize| {
                    Arc::ptr_eq(&states[*other], &states[entry])
                        && setting(*other) == setting(entry)
                };
                next.push(match (0..entry).find(is_same) {
                    Some(other) => next[other].clone(),
                    None => Arc::new(self.sampled(index, &states[entry], setting(entry))?),
                });
            }
            states = next;
        }
        Ok(states)
    }

    /// The states after step `index` of a sample that takes the network's maps from its trajectory, if any.
    fn sampled(
        &self,
        index: usize,
        states: &ImageBatch,
        settings: StepSettings,
    ) -> Result<ImageBatch, DenoiseError> {
        let network = match self.subject.source {
            Some(AttentionSource::Trajectory) => self.estimate_at(index)?,
            _ => {
                check_stop(self.stop)?;
                Cow::Owned(Denoised::plain(ImageBatch::zeros(states.shape(), 0)))
            }
        };
        let maps = self.maps(&network, states, index)?;
        self.advance(index, states, maps.as_deref(), settings)
    }

    /// How well a schedule fits at the network's states, cleanest step first. `along_network` holds the errors there of a
    /// grid of settings; those of others are computed.
    fn quality(
        &self,
        settings: &[StepSettings],
        along_network: &[Errors],
    ) -> Result<Vec<StepFit>, DenoiseError> {
        let step = |index: usize| {
            let t = self.target.ddim.level(index).t;
            let found = &along_network[index - 1];
            if let Some(at) = found.settings.iter().position(|s| *s == settings[index - 1]) {
                return Ok(step_fit(found, at, t));
            }
            let (network, states) = (self.estimate_at(index)?, &self.trajectory.states[index]);
            let maps = self.maps(&network, states, index)?;
            let grid = CalibrationGrid::one(settings[index - 1]);
            let found = self.errors(index, states, maps.as_deref(), &network, &grid)?;
            Ok(step_fit(&found, 0, t))
        };
        (1..=self.n_steps()).map(step).collect()
    }

    /// The errors of all settings at the network's states, cleanest step first.
    fn along_network(&self) -> Result<Vec<Errors>, DenoiseError> {
        let step = |index: usize| {
            let (network, states) = (self.estimate_at(index)?, &self.trajectory.states[index]);
            let maps = self.maps(&network, states, index)?;
            self.errors(index, states, maps.as_deref(), &network, self.grid)
        };
        (1..=self.n_steps()).map(step).collect()
    }

    /// The settings that fit best at each step.
    fn best_of(steps: &[Errors]) -> Vec<StepSettings> {
        steps.iter().map(Errors::best).collect()
    }

    /// The settings that fit best at the states that the machine itself reaches with the settings of the steps before,
    /// cleanest step first.
    fn along_itself(&self) -> Result<Vec<StepSettings>, DenoiseError> {
        let mut steps = Vec::with_capacity(self.n_steps());
        let mut states = self.target.seeds.clone();
        for index in (1..=self.n_steps()).rev() {
            let network = self.estimate_at(index)?;
            let maps = self.maps(&network, &states, index)?;
            let found = self.errors(index, &states, maps.as_deref(), &network, self.grid)?;
            let fit = found.best();
            states = self.advance(index, &states, maps.as_deref(), fit)?;
            steps.push(fit);
        }
        steps.reverse();
        Ok(steps)
    }

    /// The errors of a grid of settings at the states of step `index`.
    fn errors(
        &self,
        index: usize,
        states: &ImageBatch,
        maps: Option<&AttentionMaps>,
        network: &Denoised,
        grid: &CalibrationGrid,
    ) -> Result<Errors, DenoiseError> {
        let level = self.target.ddim.level(index);
        errors(&self.subject.machines, states, level, maps, &network.x0, grid)
    }

    /// The states after step `index` of the machine under the given settings.
    fn advance(
        &self,
        index: usize,
        states: &ImageBatch,
        maps: Option<&AttentionMaps>,
        settings: StepSettings,
    ) -> Result<ImageBatch, DenoiseError> {
        let level = self.target.ddim.level(index);
        let made = estimate(&self.subject.machines, states, level, maps, settings)?;
        Ok(self.target.ddim.advance(index, states, &made))
    }
}

/// For each patch side the setting with the least squared error over all steps; the first of equals.
fn constant_settings(steps: &[Errors]) -> Vec<StepSettings> {
    let Some(first) = steps.first() else { return Vec::new() };
    let cost = |at: usize| steps.iter().map(|step| mean(&step.squared[at])).sum::<f64>();
    let mut best: Vec<(StepSettings, f64)> = Vec::new();
    for (at, &settings) in first.settings.iter().enumerate() {
        let cost = cost(at);
        match best.iter_mut().find(|(other, _)| other.k == settings.k) {
            Some(found) if cost < found.1 => *found = (settings, cost),
            Some(_) => {}
            None => best.push((settings, cost)),
        }
    }
    best.into_iter().map(|(settings, _)| settings).collect()
}

/// The fit of setting `at` at one step.
fn step_fit(found: &Errors, at: usize, t: f64) -> StepFit {
    let pairs = found.squared[at].iter().zip(&found.variance);
    let r_squared: Vec<f64> = pairs.map(|(error, variance)| 1.0 - error / variance).collect();
    let centre = mean(&r_squared);
    let spread: Vec<f64> = r_squared.iter().map(|r| (r - centre).powi(2)).collect();
    StepFit {
        t,
        cosine: median(&found.cosine[at]),
        r_squared: centre,
        r_squared_sd: mean(&spread).sqrt(),
    }
}

fn median(values: &[f64]) -> f64 {
    quartiles(values).map_or(f64::NEG_INFINITY, |q| q.median)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::diffusion::Observer;
    use crate::diffusion::Schedule;
    use crate::evaluation::calibration::{MachineFamily, with_schedule};
    use crate::image::ImageShape;
    use crate::random::noise_seeds;
    use crate::theory::machine_spec::{
        AttentionSettings, MachineKind, MachineSpec, PatchSize, Scheduled,
    };
    use crate::theory::patch_pools_ls_els_bbels::Pool;
    use crate::theory::patch_window::PatchWindow;
    use crate::theory::{Machine, Precision, TrainingImages};

    const SHAPE: ImageShape = ImageShape { channels: 1, height: 6, width: 6 };

    /// A machine that plays the network.
    impl Sampling for Machine {
        fn sample(
            &self,
            ddim: Ddim,
            seeds: &ImageBatch,
            observe: &mut Observer<'_>,
        ) -> Result<ImageBatch, DenoiseError> {
            ddim.sample(self, seeds, observe)
        }
    }

    fn images() -> Arc<TrainingImages> {
        let values = noise_seeds(1, 0, 5, SHAPE).into_values();
        Arc::new(TrainingImages::from_values(SHAPE, values).unwrap())
    }

    fn machine(spec: MachineSpec) -> Machine {
        Machine::new(spec, images(), Precision::F32, None).unwrap()
    }

    fn ddim() -> Ddim {
        Ddim::new(Schedule::Cosine, 4)
    }

    fn step(k: usize, lambda: f64, gamma: f64, tau: f64) -> StepSettings {
        StepSettings { k, lambda, gamma, tau }
    }

    /// A machine that plays the network is found again, each step's settings at that step, and used so.
    fn check(spec: MachineSpec, expected: &[StepSettings]) {
        let target = machine(spec.clone());
        let plain = machine(MachineSpec { k: PatchSize::Fixed(3), ..spec.clone() });
        let (images, source) = (images(), spec.kind.attention_source());
        let machines = match source {
            Some(source) => {
                let (pool, window, images) = (Pool::Wrap, spec.window, &*images);
                MachineFamily::Attention { pool, window, source, images }
            }
            None => MachineFamily::Plain { machine: &plain },
        };
        let subject = Subject {
            name: "it".into(),
            source,
            machines: MachinesByClass { first_seed: 0, by_class: vec![machines] },
        };
        let seeds = noise_seeds(2, 0, 3, SHAPE);
        let target_network = Target { denoiser: &target, ddim: ddim(), seeds };
        let (lambda, gamma) = (vec![0.0, 0.5, 2.0], vec![0.0, 0.3, 0.6]);
        let grid = CalibrationGrid {
            k: vec![1, 3, 5],
            k_without_sharing: vec![1, 3, 5],
            lambda,
            gamma,
            tau: vec![0.2, 1.0],
        };
        let stop = AtomicBool::new(false);
        let found =
            calibrate(&target_network, &[subject], &grid, &stop, &mut |_| {}).unwrap().remove(0);

        assert_eq!(found.schedule(), expected);
        assert!(found.steps.iter().all(|step| step.r_squared > 1.0 - 1e-9), "{found:?}");
        let again = machine(with_schedule(plain.spec(), found.schedule()));
        let seeds = noise_seeds(3, 0, 2, SHAPE);
        let sample = |machine| ddim().sample(machine, &seeds, &mut |_| Ok(())).unwrap();
        let (a, b) = (sample(&target), sample(&again));
        assert!(mean_squared_error(a.values(), b.values()) < 1e-10);
    }

    #[test]
    fn patch_sides_are_found_at_the_steps_where_they_were_used() {
        let k = vec![3, 5, 1, 3];
        let expected: Vec<StepSettings> = k.iter().map(|&k| step(k, 0.0, 0.0, 0.0)).collect();
        let kind = MachineKind::EquivariantLocal;
        let spec = MachineSpec::new(kind, PatchSize::PerStep(k));
        check(spec.clone(), &expected);
        check(spec.with_window(PatchWindow::Gaussian { width: 0.3 }), &expected);
    }

    #[test]
    fn sharing_is_found_at_the_steps_where_it_was_used() {
        let expected = [
            step(3, 0.5, 0.3, 1.0),
            step(1, 2.0, 0.0, 0.2),
            step(5, 0.5, 0.6, 0.2),
            step(3, 2.0, 0.3, 1.0),
        ];
        let settings = |step: &StepSettings| AttentionSettings {
            lambda: step.lambda,
            gamma: step.gamma,
            source: AttentionSource::Similarity { tau: step.tau },
        };
        let settings = Scheduled::PerStep(expected.iter().map(settings).collect());
        let kind = MachineKind::Attention { pool: Pool::Wrap, settings };
        let k = PatchSize::PerStep(expected.iter().map(|step| step.k).collect());
        let spec = MachineSpec::new(kind, k);
        check(spec.clone(), &expected);
        check(spec.with_window(PatchWindow::Gaussian { width: 0.4 }), &expected);
    }
}
