//! The figures of a report, computed once for all of its formats.

use std::ops::Range;

use anyhow::{Context, Result};

use super::clamp_section::ClampFigures;
use super::controls_section::{self, ControlFigures};
use super::published_tables_section::PublishedBeside;
use super::units_of_papers_section::PaperUnits;
use crate::analysis::agreement::agreement;
use crate::analysis::agreement::share_won;
use crate::analysis::confidence_intervals::{Interval, Quartiles, quartiles};
use crate::config::{Experiment, NamedMachine, noise_seed_purposes::NoiseSeeds};
use crate::evaluation::calibration::Calibration;
use crate::evaluation::checkpoints_over_training::CheckpointFigures;
use crate::evaluation::final_comparison_of_a_run::Comparison;
use crate::evaluation::floors::NetworkFloors;
use crate::evaluation::interventions::InterventionFigures;
use crate::evaluation::network_and_machines_of_run::Trained;
use crate::evaluation::novelty_by_chance::novelty_by_chance;
use crate::evaluation::published_tables::Conditions;
use crate::evaluation::samples::{MachineSet, MapAgreement, StepAgreement, StepMean};
use crate::runs::event::{AgreementFigure, AttentionMetrics, LossByLevel, Rates};
use crate::runs::seen_held_out_seeds;

/// Rows of the contact sheet `samples.png`.
pub const SHEET_ROWS: usize = 12;

/// The run that a comparison is of, and its settings.
pub struct ReportContext<'a> {
    pub run: String,
    pub experiment: &'a Experiment,
    pub machines: Vec<NamedMachine>,
    pub final_loss: Option<f64>,
    /// Over the last steps.
    pub loss_by_level: &'a LossByLevel,
    /// The network's error by noise level beside the floors of its class, if they were measured.
    pub floors: Option<&'a NetworkFloors>,
    /// The network's checkpoints, in order of training; empty if they were not looked at.
    pub over_training: &'a [CheckpointFigures],
    /// What changes of attention do, if any were made.
    pub interventions: Option<&'a InterventionFigures>,
    /// The share of the rule's arrangements that are novel; `None` without a rule.
    pub novel_by_chance: Option<Interval>,
    /// Training steps done: fewer than planned if training ended early.
    pub n_steps: u64,
    pub device: String,
    /// `None` of a record.
    pub n_parameters: Option<usize>,
    pub n_training_images: usize,
    /// The source of the machines' settings, if they were calibrated.
    pub calibration: Option<&'a Calibration>,
    /// Held-out seeds that were inspected or sampled by hand before, in increasing order.
    pub seen_seeds: Vec<Range<u64>>,
}

/// What is measured about a network besides its samples.
#[derive(Clone, Copy)]
pub struct NetworkMeasurements<'a> {
    pub floors: Option<&'a NetworkFloors>,
    pub over_training: &'a [CheckpointFigures],
    pub interventions: Option<&'a InterventionFigures>,
}

impl<'a> ReportContext<'a> {
    /// The context of a comparison of a run's network with the machines of `machine_set`.
    ///
    /// # Errors
    /// If the record of the seeds seen before cannot be read, or the images of the rule cannot be drawn.
    pub fn new(
        trained: &'a Trained,
        machine_set: &MachineSet,
        calibration: Option<&'a Calibration>,
        final_loss: Option<f64>,
        loss_by_level: &'a LossByLevel,
        measured: NetworkMeasurements<'a>,
    ) -> Result<Self> {
        let Trained { run, experiment, .. } = trained;
        let novel_by_chance = match &trained.judge {
            Some(judge) => novelty_by_chance(experiment, &trained.dataset, judge)?,
            None => None,
        };
        Ok(Self {
            run: run.id(),
            novel_by_chance,
            experiment,
            machines: machine_set.machines().cloned().collect(),
            final_loss,
            loss_by_level,
            floors: measured.floors,
            over_training: measured.over_training,
            interventions: measured.interventions,
            n_steps: trained.step,
            device: trained.device.clone(),
            n_parameters: trained.network.network().map(|network| network.network().n_parameters()),
            n_training_images: trained.dataset.len(),
            calibration,
            seen_seeds: seen_held_out_seeds::read(run, experiment.noise_seed)
                .context("reading which seeds were seen")?,
        })
    }
}

/// Everything that a report says, before it is put into a format.
pub struct Report<'a> {
    pub context: &'a ReportContext<'a>,
    pub comparison: &'a Comparison,
    /// In the order of the comparison.
    pub machines: Vec<MachineReport<'a>>,
    /// Index of the machine that the others are measured against: the first of els, bbels, els-interior, ls, or the first machine.
    pub baseline: Option<usize>,
    /// Judged rates by name, the network first; empty without a judge.
    pub rates: Vec<(&'a str, &'a Rates)>,
    /// Attention machines without sharing and with wrong maps; they decide nothing.
    pub controls: Vec<ControlFigures<'a>>,
    pub clamp: ClampFigures<'a>,
    pub paper_units: PaperUnits<'a>,
    pub published: PublishedBeside,
    /// The network's attention along its trajectories.
    pub attention: Option<AttentionMetrics>,
}

/// One machine's figures.
pub struct MachineReport<'a> {
    pub name: &'a str,
    /// Agreement of final samples, per seed.
    pub agreement: &'a AgreementFigure,
    /// Quartiles over seeds of r, r^2 and R^2 of final samples.
    pub r: Option<Quartiles>,
    pub r2: Option<Quartiles>,
    pub cod: Option<Quartiles>,
    /// Number of seeds for which R^2 is defined.
    pub n_seeds: usize,
    /// Number of seeds for which r is defined: it is undefined for constant images.
    pub n_seeds_r: usize,
    /// Share of seeds with a larger r than the baseline's.
    pub won: Option<f64>,
    /// x0hat and predicted attention along the network's trajectories, cleanest step first.
    pub by_step: Vec<StepMean>,
    /// R^2 of x0hat of all seeds and steps together, by the ratio of sums.
    pub r_squared_along_network: Option<f64>,
    /// Pearson's r over steps of predicted and measured attention entropy.
    pub r_of_predicted_entropy: Option<f64>,
}

impl<'a> Report<'a> {
    pub fn new(context: &'a ReportContext<'a>, comparison: &'a Comparison) -> Self {
        let baseline = baseline(&comparison.figures);
        let machine = |(index, figure): (usize, &'a AgreementFigure)| {
            let steps = comparison.by_step.machines.get(index);
            machine_report(figure, steps, baseline.map(|at| &comparison.figures[at]))
        };
        let network = comparison.rates.iter().map(|rates| ("network", rates));
        let machines = comparison.machine_rates.iter();
        let machines = machines.filter_map(|(name, rates)| Some((name.as_str(), rates.as_ref()?)));
        Self {
            context,
            comparison,
            machines: comparison.figures.iter().enumerate().map(machine).collect(),
            baseline,
            rates: network.chain(machines).collect(),
            controls: controls_section::figures(comparison),
            clamp: ClampFigures::new(comparison, &context.machines),
            paper_units: PaperUnits::new(
                comparison,
                &context.device,
                context.n_parameters.is_none(),
            ),
            published: PublishedBeside::new(&Conditions {
                run: &context.run,
                experiment: context.experiment,
                image: comparison.samples.network.shape(),
                n_training_images: context.n_training_images,
                n_samples: comparison.n_seeds,
            }),
            attention: comparison.attention.as_ref().map(|sum| sum.metrics()),
        }
    }

    /// The seeds of this comparison, judged ones included, that were inspected or sampled by hand before it.
    pub fn seen_seeds(&self) -> Vec<Range<u64>> {
        let comparison = self.comparison;
        let n_judged = comparison.rates.as_ref().map_or(0, |rates| rates.n_samples);
        let used = NoiseSeeds::held_out(comparison.n_seeds.max(n_judged)).range();
        let common = |seen: &Range<u64>| seen.start.max(used.start)..seen.end.min(used.end);
        let seen = self.context.seen_seeds.iter().map(common);
        seen.filter(|range| !range.is_empty()).collect()
    }

    /// The name of the machine that the others are measured against.
    pub fn baseline_name(&self) -> Option<&'a str> {
        self.baseline.map(|at| self.machines[at].name)
    }

    /// Machines that predict attention, each with its place among the machines.
    pub fn predictors(&self) -> impl Iterator<Item = (usize, &MachineReport<'a>)> {
        let machines = self.machines.iter().enumerate();
        machines.filter(|(_, machine)| machine.attention().next().is_some())
    }
}

impl MachineReport<'_> {
    /// Times and agreements of predicted attention, cleanest step first.
    pub fn attention(&self) -> impl Iterator<Item = (f64, MapAgreement)> {
        self.by_step.iter().filter_map(|step| Some((step.t, step.attention?)))
    }
}

fn machine_report<'a>(
    figure: &'a AgreementFigure,
    steps: Option<&StepAgreement>,
    baseline: Option<&AgreementFigure>,
) -> MachineReport<'a> {
    let r: Vec<f64> = figure.r.iter().flatten().copied().collect();
    let squares: Vec<f64> = r.iter().map(|r| r * r).collect();
    let cod: Vec<f64> = figure.r_squared_cod.iter().flatten().copied().collect();
    let by_step = steps.map_or_else(Vec::new, StepAgreement::means);
    let maps = by_step.iter().filter_map(|step| step.attention);
    let (predicted, measured): (Vec<f64>, Vec<f64>) =
        maps.map(|map| (map.predicted_nats, map.measured_nats)).unzip();
    MachineReport {
        name: &figure.machine,
        agreement: figure,
        r: quartiles(&r),
        r2: quartiles(&squares),
        cod: quartiles(&cod),
        n_seeds: cod.len(),
        n_seeds_r: r.len(),
        won: baseline
            .and_then(|baseline| share_won(&figure.r, &baseline.r))
            .map(|share| share.estimate),
        r_squared_along_network: steps.and_then(StepAgreement::pooled_r_squared),
        r_of_predicted_entropy: agreement(&predicted, &measured).r,
        by_step,
    }
}

/// The machine without attention that the others are measured against: the first of those that pair with a network's
/// padding; without any of them, the first machine.
fn baseline(figures: &[AgreementFigure]) -> Option<usize> {
    let named = |name: &str| figures.iter().position(|figure| figure.machine == name);
    let found = ["els", "bbels", "els-interior", "ls"].into_iter().find_map(named);
    found.or((!figures.is_empty()).then_some(0))
}
