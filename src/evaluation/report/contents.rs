//! The figures of a report, computed once for all of its formats.

use crate::analysis::summary::{Quartiles, quartiles};
use crate::config::{Experiment, NamedMachine};
use crate::evaluation::calibration::Calibration;
use crate::evaluation::compare::Comparison;
use crate::evaluation::samples::{StepAgreement, StepFigures};
use crate::runs::event::{AgreementFigure, AttentionMetrics, LossByLevel, Rates};

/// Rows of the contact sheet `samples.png`.
pub const SHEET_ROWS: usize = 12;

/// The run that a comparison is of, and its settings.
pub struct ReportContext<'a> {
    pub run: String,
    pub experiment: &'a Experiment,
    pub machines: &'a [NamedMachine],
    pub final_loss: Option<f64>,
    /// Over the last steps.
    pub loss_by_level: &'a LossByLevel,
    /// Training steps done: fewer than planned if training ended early.
    pub n_steps: u64,
    pub device: String,
    pub n_parameters: usize,
    pub n_training_images: usize,
    /// The source of the machines' settings, if they were calibrated.
    pub calibration: Option<&'a Calibration>,
}

/// Everything that a report says, before it is put into a format.
pub struct Report<'a> {
    pub context: &'a ReportContext<'a>,
    pub comparison: &'a Comparison,
    /// In the order of the comparison.
    pub machines: Vec<MachineReport<'a>>,
    /// Index of the machine that the others are measured against; see [`baseline`].
    pub baseline: Option<usize>,
    /// Judged rates by name, the network first; empty without a judge.
    pub rates: Vec<(&'a str, &'a Rates)>,
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
    /// R^2 of x0hat along the network's trajectories, cleanest step first.
    pub by_step: Vec<StepMean>,
    /// Mean of [`Self::by_step`].
    pub r_squared_along_network: Option<f64>,
    /// Pearson's r over steps of predicted and measured attention entropy.
    pub r_of_predicted_entropy: Option<f64>,
    /// Predicted and measured attention, cleanest step first; empty for machines that predict none.
    pub predicted_attention: Vec<PredictedAttention>,
}

/// R^2 of x0hat at one sampling step.
pub struct StepMean {
    pub t: f64,
    /// Mean over seeds.
    pub r_squared: f64,
    pub n_seeds: usize,
}

/// Attention at one sampling step, means over seeds.
pub struct PredictedAttention {
    pub t: f64,
    pub predicted_nats: f64,
    pub measured_nats: f64,
    /// Pearson's r of the logarithms of all weights.
    pub r_of_logs: Option<f64>,
}

impl<'a> Report<'a> {
    pub fn new(context: &'a ReportContext<'a>, comparison: &'a Comparison) -> Self {
        let baseline = baseline(&comparison.figures);
        let machine = |(index, agreement): (usize, &'a AgreementFigure)| {
            let steps = comparison.by_step.get(index);
            machine_report(agreement, steps, baseline.map(|at| &comparison.figures[at]))
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
            attention: comparison.attention.as_ref().map(|sum| sum.metrics()),
        }
    }

    /// The name of the machine that the others are measured against.
    pub fn baseline_name(&self) -> Option<&'a str> {
        self.baseline.map(|at| self.machines[at].name)
    }

    /// Machines that predict attention.
    pub fn predictors(&self) -> impl Iterator<Item = &MachineReport<'a>> {
        self.machines.iter().filter(|machine| !machine.predicted_attention.is_empty())
    }
}

fn machine_report<'a>(
    agreement: &'a AgreementFigure,
    steps: Option<&StepAgreement>,
    baseline: Option<&AgreementFigure>,
) -> MachineReport<'a> {
    let r: Vec<f64> = agreement.r.iter().flatten().copied().collect();
    let squares: Vec<f64> = r.iter().map(|r| r * r).collect();
    let cod: Vec<f64> = agreement.r_squared_cod.iter().flatten().copied().collect();
    let predicting = steps.filter(|steps| steps.predicts_attention());
    let (by_step, along_network) = steps.map(StepAgreement::mean).unzip();
    let step_mean = |((t, r_squared), step): ((f64, f64), &StepFigures)| StepMean {
        t,
        r_squared,
        n_seeds: step.r_squared.len(),
    };
    let by_step = by_step.into_iter().flatten().zip(steps.iter().flat_map(|found| &found.steps));
    let predicted = |step: &StepFigures| PredictedAttention {
        t: step.t,
        predicted_nats: step.mean_map(|map| map.predicted_nats),
        measured_nats: step.mean_map(|map| map.measured_nats),
        r_of_logs: step.mean_r_of_logs(),
    };
    MachineReport {
        name: &agreement.machine,
        agreement,
        r: quartiles(&r),
        r2: quartiles(&squares),
        cod: quartiles(&cod),
        n_seeds: cod.len(),
        n_seeds_r: r.len(),
        won: baseline.and_then(|baseline| share_won(agreement, baseline)),
        by_step: by_step.map(step_mean).collect(),
        r_squared_along_network: along_network,
        r_of_predicted_entropy: steps.and_then(StepAgreement::r_of_entropies),
        predicted_attention: predicting
            .map_or_else(Vec::new, |found| found.steps.iter().map(predicted).collect()),
    }
}

/// The machine without attention that the others are measured against: the first of those that pair with a network's
/// padding; without any of them, the first machine.
fn baseline(figures: &[AgreementFigure]) -> Option<usize> {
    let named = |name: &str| figures.iter().position(|figure| figure.machine == name);
    let found = ["els", "bbels", "els-interior", "ls"].into_iter().find_map(named);
    found.or((!figures.is_empty()).then_some(0))
}

/// Share of seeds for which the r of `figure` is larger than that of `other`, of those where both are defined.
fn share_won(figure: &AgreementFigure, other: &AgreementFigure) -> Option<f64> {
    let pairs = figure.r.iter().zip(&other.r).filter_map(|(a, b)| Some(((*a)?, (*b)?)));
    let (won, n) = pairs.fold((0, 0), |(won, n), (a, b)| (won + usize::from(a > b), n + 1));
    (n > 0).then(|| won as f64 / n as f64)
}
