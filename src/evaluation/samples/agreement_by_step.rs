//! Machines against the network step by step: x0hat on trajectories of their own, at the network's states and at the
//! machine's, and attention where a machine predicts attention from the training images alone.

use std::sync::atomic::AtomicBool;

use rayon::prelude::*;
use strum::{IntoStaticStr, VariantArray};

use super::attention_agreement::{MapAgreement, compare_maps, mean, mean_map};
use super::machine_set::MachineSet;
use super::network_for_sampling::{recording_maps, with_classes};
use super::network_trajectory::NetworkTrajectory;
use super::sample_network_and_machines::{MachineStep, SampleSet};
use super::step_seconds::StepSeconds;
use super::values_outside_pixel_range::OutsideRange;
use crate::analysis::agreement::PooledRSquared;
use crate::analysis::agreement_over_seeds::ImageAgreement;
use crate::diffusion::{DenoiseError, Denoiser};
use crate::evaluation::attention_entropy_by_noise_level::AttentionByLevel;
use crate::evaluation::network_or_recorded_model::Model;
use crate::evaluation::stop_flag::check_stop;
use crate::image::ImageBatch;

/// Every machine against the network along the network's trajectories.
#[derive(Clone, Debug, Default)]
pub struct AgreementByStep {
    /// Time of each step, cleanest first.
    pub times: Vec<f64>,
    pub machines: Vec<StepAgreement>,
    /// By step, the values of the network's estimates that were clamped; cleanest step first.
    pub clamped: Vec<OutsideRange>,
    /// Of the network, its attention maps recorded if it has some.
    pub network_seconds: StepSeconds,
    /// Number of noise seeds on which the network was asked at the machines' states.
    pub n_asked: usize,
}

/// The noisy states at which x0hat of network and machine are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum StatesOf {
    /// Each at its own: along two trajectories from one noise seed.
    Own,
    /// Both at the network's.
    Network,
    /// Both at the machine's.
    Machine,
}

/// One machine against the network; cleanest step first.
#[derive(Clone, Debug)]
pub struct StepAgreement {
    pub machine: String,
    pub steps: Vec<StepFigures>,
    /// Of the machine's own trajectories.
    pub seconds: StepSeconds,
}

/// One step, over all seeds.
#[derive(Clone, Debug, PartialEq)]
pub struct StepFigures {
    pub t: f64,
    /// x0hat against the network's at its states, seed by seed.
    pub at_network: Vec<ImageAgreement>,
    /// The same, each at the states of its own trajectory.
    pub at_own: Vec<ImageAgreement>,
    /// The same, the network asked at the machine's states, on the first seeds.
    pub at_machine: Vec<ImageAgreement>,
    /// `R^2` of x0hat of all seeds together, at the network's states.
    pub pooled_r_squared: PooledRSquared,
    /// Seed by seed, for machines that predict attention of a network that has some.
    pub attention: Vec<MapAgreement>,
    /// Values of the machine's x0hat outside the pixel range.
    pub outside: OutsideRange,
}

/// One step, means over seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepMean {
    pub t: f64,
    /// `R^2` of x0hat.
    pub r_squared: f64,
    /// Number of seeds for which `R^2` is defined.
    pub n_seeds: usize,
    /// For machines that predict attention of a network that has some.
    pub attention: Option<MapAgreement>,
}

impl StepFigures {
    /// Of noise level `t`, without seeds.
    fn of_time(t: f64) -> Self {
        Self {
            t,
            at_network: Vec::new(),
            at_own: Vec::new(),
            at_machine: Vec::new(),
            pooled_r_squared: PooledRSquared::default(),
            attention: Vec::new(),
            outside: OutsideRange::default(),
        }
    }

    /// The agreement of x0hat, seed by seed.
    pub fn at(&self, states: StatesOf) -> &[ImageAgreement] {
        match states {
            StatesOf::Own => &self.at_own,
            StatesOf::Network => &self.at_network,
            StatesOf::Machine => &self.at_machine,
        }
    }
}

impl MachineSet {
    /// Samples `seeds` with the network and every machine, and compares every machine with the network at the states of
    /// the network's trajectories and of its own; the network itself is asked at the machine's states on the first `n_asked`
    /// seeds, if it is no record. The first seed is noise seed `first_seed`, which decides the classes; `attention`
    /// accumulates the network's attention.
    ///
    /// # Errors
    ///
    /// If a machine cannot be built, a denoiser fails, or [`DenoiseError::Cancelled`] once `stop` is set.
    pub fn sample_with_steps(
        &self,
        network: &Model,
        seeds: &ImageBatch,
        first_seed: u64,
        n_asked: usize,
        attention: &mut Option<AttentionByLevel>,
        stop: &AtomicBool,
    ) -> Result<(SampleSet, AgreementByStep), DenoiseError> {
        let mut set = self.without_samples(seeds);
        let mut found = self.without_steps();
        // A record has no answers at states that it did not visit.
        found.n_asked = network.network().map_or(0, |_| n_asked.min(seeds.len()));
        let has_attention = network.config().attention.is_some();
        // Maps of every step are held, whichever machines there are.
        let chunk = self.chunk_with_maps(network, seeds, has_attention);
        for start in (0..seeds.len()).step_by(chunk) {
            let seeds = seeds.slice(start, chunk.min(seeds.len() - start));
            let first = first_seed + start as u64;
            let conditioned = recording_maps(with_classes(network, first, seeds.len()));
            let trajectory = NetworkTrajectory::of(self.ddim, &conditioned, &seeds, stop)?;
            if let Some(sum) = attention.as_mut() {
                trajectory.add_attention(sum);
            }
            set.network.append(&trajectory.samples);
            found.network_seconds.append(&trajectory.seconds);
            let recorded = has_attention.then(|| trajectory.recorded(0, seeds.len()));
            let n_asked = found.n_asked.saturating_sub(start);
            let machines = &mut found.machines;
            let mut observe = |step: MachineStep<'_>| {
                check_stop(stop)?;
                machines[step.machine].add_own_step(&step, &trajectory, network, first, n_asked)
            };
            let take = |index: usize, more: &ImageBatch| set.machines[index].1.append(more);
            let recorded = recorded.as_ref();
            self.sample_machines(network, &seeds, first, recorded, &mut observe, take)?;
            for step in &trajectory.steps {
                let n_values = step.denoised.x0.values().len();
                let n_outside = step.denoised.n_clamped;
                found.clamped[step.index - 1].append(OutsideRange { n_outside, n_values });
            }
            for (index, found) in found.machines.iter_mut().enumerate() {
                self.compare_machine(index, network, &trajectory, first, found, stop)?;
            }
        }
        Ok((set, found))
    }

    /// Steps without figures, for every machine.
    fn without_steps(&self) -> AgreementByStep {
        let times: Vec<f64> =
            (1..=self.ddim.n_steps).map(|index| self.ddim.level(index).t).collect();
        let steps: Vec<StepFigures> = times.iter().map(|&t| StepFigures::of_time(t)).collect();
        let empty = |name: &str| StepAgreement {
            machine: name.to_owned(),
            steps: steps.clone(),
            seconds: StepSeconds::default(),
        };
        let clamped = vec![OutsideRange::default(); self.ddim.n_steps];
        let machines = self.names().map(empty).collect();
        AgreementByStep { machines, times, clamped, ..AgreementByStep::default() }
    }

    /// Adds one machine's figures at the network's states to `found`.
    fn compare_machine(
        &self,
        index: usize,
        network: &Model,
        trajectory: &NetworkTrajectory,
        first_seed: u64,
        found: &mut StepAgreement,
        stop: &AtomicBool,
    ) -> Result<(), DenoiseError> {
        let entry = &self.entries[index];
        let n = trajectory.samples.len();
        // With classes, machines know one image class each.
        let each = if self.dictionaries.len() > 1 { 1 } else { n };
        for at in (0..n).step_by(each.max(1)) {
            let seed = first_seed + at as u64;
            let recorded = trajectory.recorded(at, each);
            let conditioned = with_classes(network, seed, each);
            let machine = self.machine(entry, seed, conditioned, Some(recorded))?;
            let machine = machine.with_posterior(entry.predicts_attention());
            for step in &trajectory.steps {
                check_stop(stop)?;
                let made = machine.denoise(&step.states.slice(at, each), step.level)?;
                let figures = &mut found.steps[step.index - 1];
                figures.outside.append(OutsideRange::of(made.x0.values()));
                for (machine, network) in made.x0.iter().zip(step.denoised.x0.iter().skip(at)) {
                    figures.at_network.push(ImageAgreement::of(machine, network));
                    figures.pooled_r_squared.add(machine, network);
                }
                if let (Some(predicted), Some(measured)) =
                    (&made.attention, &step.denoised.attention)
                {
                    let one = |i: usize| compare_maps(predicted, i, measured, at + i);
                    figures.attention.par_extend((0..predicted.len()).into_par_iter().map(one));
                }
            }
        }
        Ok(())
    }
}

impl AgreementByStep {
    /// Adds the same machines' figures of more seeds.
    pub fn append(&mut self, other: Self) {
        if self.machines.is_empty() && self.clamped.is_empty() {
            *self = other;
            return;
        }
        self.machines.iter_mut().zip(&other.machines).for_each(|(all, more)| all.append(more));
        self.clamped.iter_mut().zip(&other.clamped).for_each(|(all, more)| all.append(*more));
        self.network_seconds.append(&other.network_seconds);
        self.n_asked += other.n_asked;
    }
}

impl StepAgreement {
    /// Adds the same machine's figures of more seeds.
    fn append(&mut self, other: &Self) {
        for (all, more) in self.steps.iter_mut().zip(&other.steps) {
            all.at_network.extend(&more.at_network);
            all.at_own.extend(&more.at_own);
            all.at_machine.extend(&more.at_machine);
            all.pooled_r_squared.append(more.pooled_r_squared);
            all.attention.extend(&more.attention);
            all.outside.append(more.outside);
        }
        self.seconds.append(&other.seconds);
    }

    /// Adds a step of the machine's own trajectories: against the network's along its own, and against the network at the
    /// machine's states for the images before number `n_asked`. `first_seed` is the noise seed of the first image of
    /// `trajectory`.
    fn add_own_step(
        &mut self,
        machine: &MachineStep<'_>,
        trajectory: &NetworkTrajectory,
        network: &Model,
        first_seed: u64,
        n_asked: usize,
    ) -> Result<(), DenoiseError> {
        let (at, step) = (machine.at, &machine.step);
        let x0 = &step.denoised.x0;
        self.seconds.add(x0.len(), machine.seconds);
        let figures = &mut self.steps[step.index - 1];
        let same = trajectory.steps.iter().find(|own| own.index == step.index);
        if let Some(own) = same {
            let pairs = x0.iter().zip(own.denoised.x0.iter().skip(at));
            figures.at_own.extend(pairs.map(|(made, own)| ImageAgreement::of(made, own)));
        }
        let n_asked = n_asked.saturating_sub(at).min(x0.len());
        if n_asked > 0 {
            let network = with_classes(network, first_seed + at as u64, n_asked);
            let own = network.denoise(&step.state.slice(0, n_asked), step.level)?;
            let pairs = x0.iter().zip(own.x0.iter());
            figures.at_machine.extend(pairs.map(|(made, own)| ImageAgreement::of(made, own)));
        }
        Ok(())
    }

    /// `R^2` of x0hat of all seeds and steps together; `None` if the network's estimates have no deviation.
    pub fn pooled_r_squared(&self) -> Option<f64> {
        let mut all = PooledRSquared::default();
        self.steps.iter().for_each(|step| all.append(step.pooled_r_squared));
        all.value()
    }

    /// Means over seeds, cleanest step first.
    pub fn means(&self) -> Vec<StepMean> {
        let of = |step: &StepFigures| {
            let defined = step.at_network.iter().filter_map(|image| image.cod);
            StepMean {
                t: step.t,
                r_squared: mean(defined.clone()),
                n_seeds: defined.count(),
                attention: mean_map(&step.attention),
            }
        };
        self.steps.iter().map(of).collect()
    }
}
