//! Machines against the network at the network's own states, step by step: x0hat, and attention where a machine
//! predicts attention from the training images alone.

use std::sync::atomic::AtomicBool;

use rayon::prelude::*;

use super::attention_agreement::{MapAgreement, compare_maps, mean, mean_map};
use super::machine_set::MachineSet;
use super::network_for_sampling::{recording_maps, with_classes};
use super::network_trajectory::NetworkTrajectory;
use super::sample_network_and_machines::SampleSet;
use super::values_outside_pixel_range::OutsideRange;
use crate::analysis::agreement::{PooledRSquared, agreement};
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
}

/// One machine against the network along the network's trajectories; cleanest step first.
#[derive(Clone, Debug)]
pub struct StepAgreement {
    pub machine: String,
    pub steps: Vec<StepFigures>,
}

/// One step, over all seeds.
#[derive(Clone, Debug, PartialEq)]
pub struct StepFigures {
    pub t: f64,
    /// `R^2` of x0hat against the network's, seed by seed where it is defined.
    pub r_squared: Vec<f64>,
    /// `R^2` of x0hat of all seeds together.
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

impl MachineSet {
    /// Samples `seeds` with the network and every machine, and compares every machine with the network at the states of
    /// the network's trajectories. The first seed is noise seed `first_seed`, which decides the classes; `attention`
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
        attention: &mut Option<AttentionByLevel>,
        stop: &AtomicBool,
    ) -> Result<(SampleSet, AgreementByStep), DenoiseError> {
        let mut set = self.without_samples(seeds);
        let mut found = self.without_steps();
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
            let recorded = has_attention.then(|| trajectory.recorded(0, seeds.len()));
            self.sample_machines(
                network,
                &seeds,
                first,
                recorded.as_ref(),
                stop,
                |index, more| {
                    set.machines[index].1.append(more);
                },
            )?;
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
        let step = |&t: &f64| StepFigures {
            t,
            r_squared: Vec::new(),
            pooled_r_squared: PooledRSquared::default(),
            attention: Vec::new(),
            outside: OutsideRange::default(),
        };
        let steps: Vec<StepFigures> = times.iter().map(step).collect();
        let empty = |name: &str| StepAgreement { machine: name.to_owned(), steps: steps.clone() };
        let clamped = vec![OutsideRange::default(); self.ddim.n_steps];
        AgreementByStep { machines: self.names().map(empty).collect(), times, clamped }
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
                    figures.r_squared.extend(agreement(machine, network).cod);
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
    }
}

impl StepAgreement {
    /// Adds the same machine's figures of more seeds.
    fn append(&mut self, other: &Self) {
        for (all, more) in self.steps.iter_mut().zip(&other.steps) {
            all.r_squared.extend(&more.r_squared);
            all.pooled_r_squared.append(more.pooled_r_squared);
            all.attention.extend(&more.attention);
            all.outside.append(more.outside);
        }
    }

    /// `R^2` of x0hat of all seeds and steps together; `None` if the network's estimates have no deviation.
    pub fn pooled_r_squared(&self) -> Option<f64> {
        let mut all = PooledRSquared::default();
        self.steps.iter().for_each(|step| all.append(step.pooled_r_squared));
        all.value()
    }

    /// Means over seeds, cleanest step first.
    pub fn means(&self) -> Vec<StepMean> {
        let of = |step: &StepFigures| StepMean {
            t: step.t,
            r_squared: mean(step.r_squared.iter().copied()),
            n_seeds: step.r_squared.len(),
            attention: mean_map(&step.attention),
        };
        self.steps.iter().map(of).collect()
    }
}
