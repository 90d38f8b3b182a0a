//! Interventions on the attention of a network and of a theory, and exchanges between the two, from held-out noise seeds.
//!
//! Every change is applied to the network and to the theory: `attention-optimal` if it is among the machines, otherwise the
//! machine without attention that the network is compared with. Trajectories up to a threshold are sampled once and
//! continued from its state.

use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

use super::changed_attention::{ChangedAttention, NewMaps, RecordedStates, Window, turned};
use super::denoiser_of_classes::MachineOfClasses;
use super::intervention_figures::{
    Change, ChangeFigures, CriticalTime, InterventionFigures, PerSeed, of_interval,
};
use crate::analysis::creativity_judge::Judge;
use crate::analysis::critical_time::{AtTime, Crossed, critical_time};
use crate::config::noise_seed_purposes::NoiseSeeds;
use crate::diffusion::{Attending, Ddim, DenoiseError, Denoiser};
use crate::evaluation::network_and_machines_of_run::Trained;
use crate::evaluation::samples::{MachineSet, with_classes};
use crate::evaluation::stop_flag::check_stop;
use crate::image::ImageBatch;
use crate::network::network_config::Padding;
use crate::random::{branch_noise, noise_seeds};

/// Thresholds in t.
const N_THRESHOLDS: usize = 10;
/// The machine of networks with attention.
const OPTIMAL: &str = "attention-optimal";
/// Machines that can be the theory, the first that is there, for each padding.
const THEORIES: [(Padding, [&str; 5]); 2] = [
    (Padding::Circular, [OPTIMAL, "els", "els-interior", "bbels", "ls"]),
    (Padding::Zeros, [OPTIMAL, "bbels", "ls", "els-interior", "els"]),
];

/// A denoiser that is changed.
struct Subject<'a> {
    name: &'a str,
    denoiser: &'a dyn Attending,
    /// Whether it has attention to be changed.
    attends: bool,
    states: RecordedStates,
    samples: ImageBatch,
}

/// What all interventions of a run share.
struct Setup<'a> {
    ddim: Ddim,
    noise_seed: u64,
    seeds: NoiseSeeds,
    noise: ImageBatch,
    judge: Option<&'a Judge>,
    /// Seed i takes the maps of seed i + this: of the same class.
    next: usize,
    stop: &'a AtomicBool,
}

impl Trained {
    /// Intervenes on the network and a machine of `machine_set`, on `compare.interventions` held-out seeds; `None` if that
    /// is 0 or there is no machine to compare with. `progress` is called with the number of changes done and their number.
    ///
    /// # Errors
    ///
    /// If a denoiser fails, or [`DenoiseError::Cancelled`] once `stop` is set.
    pub fn intervene(
        &self,
        machine_set: &MachineSet,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Option<InterventionFigures>> {
        let n = match self.network.network() {
            Some(_) => self.experiment.compare.interventions,
            // The attention of a record cannot be changed.
            None => 0,
        };
        let padding = self.network.config().padding;
        let theories = THEORIES.into_iter().find(|(of, _)| *of == padding);
        let found = theories.and_then(|(_, names)| {
            names.into_iter().find_map(|name| Some((name, machine_set.of_classes(name)?)))
        });
        let Some((theory, machines)) = found.filter(|_| n > 0) else { return Ok(None) };
        let seeds = NoiseSeeds::held_out(n);
        let first = seeds.first();
        let Some(machine) = MachineOfClasses::new(machines, first) else { return Ok(None) };
        let config = self.network.config();
        let setup = Setup {
            ddim: machine_set.ddim(),
            noise_seed: self.experiment.noise_seed,
            noise: noise_seeds(self.experiment.noise_seed, first, n, config.image),
            seeds,
            judge: self.judge.as_ref(),
            next: machine_set.dictionaries().len(),
            stop,
        };
        let network = with_classes(&self.network, first, n);
        let of_network = setup.subject("network", &network, config.attention.is_some());
        let of_network = of_network.context("sampling the network")?;
        let attends = theory == OPTIMAL;
        let of_theory = setup.subject(theory, &machine, attends);
        let of_theory = of_theory.with_context(|| format!("sampling {theory}"))?;
        let mut changes = Vec::new();
        let mut critical_times = Vec::new();
        let subjects = [(&of_network, &of_theory), (&of_theory, &of_network)];
        let n_changes: usize =
            subjects.iter().map(|(subject, other)| setup.n_changes(subject, other)).sum();
        for (subject, other) in subjects {
            let mut done = |row: ChangeFigures| {
                changes.push(row);
                progress(changes.len(), n_changes);
            };
            let times = setup.all_changes(subject, other, &mut done);
            critical_times
                .extend(times.with_context(|| format!("intervening on {}", subject.name))?);
        }
        Ok(Some(InterventionFigures {
            n_seeds: n,
            theory: theory.to_owned(),
            changes,
            critical_times,
        }))
    }
}

impl Setup<'_> {
    fn subject<'a>(
        &self,
        name: &'a str,
        denoiser: &'a dyn Attending,
        attends: bool,
    ) -> Result<Subject<'a>, DenoiseError> {
        let (states, samples) = self.recorded(denoiser)?;
        Ok(Subject { name, denoiser, attends, states, samples })
    }

    /// The trajectories of a denoiser from the noise seeds, and its samples.
    fn recorded(
        &self,
        denoiser: &dyn Denoiser,
    ) -> Result<(RecordedStates, ImageBatch), DenoiseError> {
        let mut states = RecordedStates::default();
        let samples = self.ddim.sample(denoiser, &self.noise, &mut |step| {
            states.push(step.level, step.state.clone());
            check_stop(self.stop)
        })?;
        Ok((states, samples))
    }

    /// Steps whose t are nearest to the thresholds between the ends, with their t.
    fn thresholds(&self) -> Vec<(usize, f64)> {
        let n_steps = self.ddim.n_steps;
        let step = |i: usize| ((i * n_steps) as f64 / N_THRESHOLDS as f64).round() as usize;
        let mut steps: Vec<usize> =
            (1..N_THRESHOLDS).map(step).filter(|step| (1..n_steps).contains(step)).collect();
        steps.dedup();
        steps.into_iter().map(|step| (step, self.ddim.level(step).t)).collect()
    }

    /// Whether every seed has another one of its class.
    fn has_other_seeds(&self) -> bool {
        self.noise.len() >= 2 * self.next
    }

    /// The number of changes of a subject.
    fn n_changes(&self, subject: &Subject<'_>, other: &Subject<'_>) -> usize {
        let n = self.thresholds().len();
        let whole = 3 + usize::from(other.attends) + usize::from(self.has_other_seeds());
        let of_attention = if subject.attends { whole + 2 * (n + 1) } else { 0 };
        1 + of_attention + n + (n + 1)
    }

    /// Samples of `denoiser` from the states of others at `step`.
    fn continued(
        &self,
        step: usize,
        states: &RecordedStates,
        denoiser: &dyn Denoiser,
    ) -> Result<ImageBatch, DenoiseError> {
        let state = states.at(self.ddim.level(step)).unwrap_or(&self.noise);
        self.ddim.sample_from(step, denoiser, state, &mut |_| check_stop(self.stop))
    }

    /// Every change of `subject`, and the times at which its samples are decided. `done` gets the figures of each.
    fn all_changes(
        &self,
        subject: &Subject<'_>,
        other: &Subject<'_>,
        done: &mut dyn FnMut(ChangeFigures),
    ) -> Result<Vec<CriticalTime>, DenoiseError> {
        let own = self.judged(&subject.samples, subject, Some(&other.samples));
        done(own.figures(subject.name, Change::None, None));
        let mut times = Vec::new();
        if subject.attends {
            self.whole_trajectories(subject, other, done)?;
            times.extend(self.uniform_windows(subject, &own, done)?);
        }
        times.push(self.exchange(subject, other, &own, done)?);
        times.extend(self.branches(subject, done)?);
        Ok(times)
    }

    fn judged(
        &self,
        samples: &ImageBatch,
        subject: &Subject<'_>,
        other: Option<&ImageBatch>,
    ) -> PerSeed {
        PerSeed::of_samples(samples, &subject.samples, other, self.judge)
    }

    /// Changes of the maps at every step.
    fn whole_trajectories(
        &self,
        subject: &Subject<'_>,
        other: &Subject<'_>,
        done: &mut dyn FnMut(ChangeFigures),
    ) -> Result<(), DenoiseError> {
        let along = subject.states.turned(self.next);
        let others_samples = turned(&subject.samples, self.next);
        let mut changes = vec![
            (Change::HalvedLogits, NewMaps::ScaledLogits(0.5), None),
            (Change::DoubledLogits, NewMaps::ScaledLogits(2.0), None),
            (Change::IdentityMaps, NewMaps::Identity, None),
        ];
        if other.attends {
            let maps = NewMaps::Of(other.denoiser);
            changes.push((Change::OthersMaps, maps, Some(&other.samples)));
        }
        if self.has_other_seeds() {
            let maps = NewMaps::Along(&along);
            changes.push((Change::OtherSeedsMaps, maps, Some(&others_samples)));
        }
        for (change, maps, influence) in changes {
            let changed =
                ChangedAttention { denoiser: subject.denoiser, maps, window: Window::ALL };
            let stopped = &mut |_: crate::diffusion::SampleStep<'_>| check_stop(self.stop);
            let samples = self.ddim.sample(&changed, &self.noise, stopped)?;
            done(self.judged(&samples, subject, influence).figures(subject.name, change, None));
        }
        Ok(())
    }

    /// Uniform maps above and up to every threshold.
    fn uniform_windows(
        &self,
        subject: &Subject<'_>,
        own: &PerSeed,
        done: &mut dyn FnMut(ChangeFigures),
    ) -> Result<Vec<CriticalTime>, DenoiseError> {
        let uniform = ChangedAttention {
            denoiser: subject.denoiser,
            maps: NewMaps::Uniform,
            window: Window::ALL,
        };
        let (states, samples) = self.recorded(&uniform)?;
        let everywhere = self.judged(&samples, subject, None);
        let mut times = Vec::new();
        for change in [Change::UniformAbove, Change::UniformUpTo] {
            let is_above = change == Change::UniformAbove;
            let (at_0, at_1) = if is_above { (&everywhere, own) } else { (own, &everywhere) };
            let mut curve = vec![(0.0, at_0.clone())];
            if is_above {
                done(everywhere.figures(subject.name, change, Some(0.0)));
            }
            for (step, t) in self.thresholds() {
                let samples = match is_above {
                    true => self.continued(step, &states, subject.denoiser)?,
                    false => self.continued(step, &subject.states, &uniform)?,
                };
                let found = self.judged(&samples, subject, None);
                done(found.figures(subject.name, change, Some(t)));
                curve.push((t, found));
            }
            if !is_above {
                done(everywhere.figures(subject.name, change, Some(1.0)));
            }
            curve.push((1.0, at_1.clone()));
            let crossed = if is_above { Crossed::RisingMidway } else { Crossed::FallingMidway };
            if self.judge.is_some() {
                let consistent = |found: &PerSeed| found.consistent.clone();
                times.push(self.time(subject, change, "consistent", crossed, &curve, consistent));
            }
            let r = |found: &PerSeed| found.r_own.clone();
            times.push(self.time(subject, change, "r", crossed, &curve, r));
        }
        Ok(times)
    }

    /// The other denoiser above every threshold: whose sample comes out?
    fn exchange(
        &self,
        subject: &Subject<'_>,
        other: &Subject<'_>,
        own: &PerSeed,
        done: &mut dyn FnMut(ChangeFigures),
    ) -> Result<CriticalTime, DenoiseError> {
        let of_other = self.judged(&other.samples, subject, Some(&other.samples));
        let mut curve = vec![(0.0, of_other)];
        for (step, t) in self.thresholds() {
            let samples = self.continued(step, &other.states, subject.denoiser)?;
            let found = self.judged(&samples, subject, Some(&other.samples));
            done(found.figures(subject.name, Change::OtherAbove, Some(t)));
            curve.push((t, found));
        }
        curve.push((1.0, own.clone()));
        let crossed = Crossed::FallingTo(0.5);
        let figure = "follows-other";
        Ok(self.time(subject, Change::OtherAbove, figure, crossed, &curve, PerSeed::follows_other))
    }

    /// Two stochastic continuations from the subject's own states.
    fn branches(
        &self,
        subject: &Subject<'_>,
        done: &mut dyn FnMut(ChangeFigures),
    ) -> Result<Vec<CriticalTime>, DenoiseError> {
        let mut curve = Vec::new();
        let batch = (self.seeds.first(), self.seeds.len());
        let end = (self.ddim.n_steps, 1.0);
        for (step, t) in self.thresholds().into_iter().chain([end]) {
            let state = subject.states.at(self.ddim.level(step)).unwrap_or(&self.noise);
            let branch = |which: u64| {
                let mut noise = |index: usize| {
                    check_stop(self.stop)?;
                    Ok(branch_noise(self.noise_seed, batch, (which, index), state.shape()))
                };
                self.ddim.sample_with_fresh_noise(step, subject.denoiser, state, &mut noise)
            };
            let found = PerSeed::of_branches([&branch(0)?, &branch(1)?], self.judge);
            done(found.figures(subject.name, Change::Branches, Some(t)));
            curve.push((t, found));
        }
        let crossed = Crossed::FallingMidway;
        let r = |found: &PerSeed| found.r_own.clone();
        let mut times = vec![self.time(subject, Change::Branches, "r", crossed, &curve, r)];
        if curve.iter().any(|(_, found)| found.same_feature.iter().any(|v| v.is_finite())) {
            let same = |found: &PerSeed| found.same_feature.clone();
            let change = Change::Branches;
            times.push(self.time(subject, change, "same-feature", crossed, &curve, same));
        }
        Ok(times)
    }

    fn time(
        &self,
        subject: &Subject<'_>,
        change: Change,
        figure: &str,
        crossed: Crossed,
        curve: &[(f64, PerSeed)],
        pick: impl Fn(&PerSeed) -> Vec<f64>,
    ) -> CriticalTime {
        let curve: Vec<AtTime> =
            curve.iter().map(|(t, found)| AtTime { t: *t, values: pick(found) }).collect();
        let t = critical_time(&curve, crossed, self.noise_seed).map(of_interval);
        CriticalTime { subject: subject.name.to_owned(), change, figure: figure.to_owned(), t }
    }
}
