//! Everything that a run records over its training steps, as curves by quantity.
//!
//! A quantity that was never recorded has no curve: the screen says so and draws no flat line.

use strum::VariantArray;

use super::curve_points::Series;
use crate::analysis::confidence_intervals::quartiles;
use crate::evaluation::calibration::{Calibration, StepSettings};
use crate::runs::event::{AgreementFigure, Event, EventBody, Metrics, Rates};

/// A quantity that a chart can show, in the order in which a key cycles through them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, strum::VariantArray)]
pub enum Quantity {
    #[default]
    Loss,
    LossByLevel,
    Excess,
    GradientNorm,
    LearningRate,
    StepsPerSecond,
    ImagesPerSecond,
    Correlation,
    SquaredCorrelation,
    Determination,
    JudgedRates,
    EntropyByHead,
    PatchSide,
    Votes,
    ValueMixing,
    Temperature,
    /// The lower chart's: attention entropy at each noise level, the mean over heads.
    Entropy,
}

use Quantity::*;

/// Every quantity with its name on the screen and its name in files, in the order of the enum.
const NAMES: [(Quantity, &str, &str); Quantity::VARIANTS.len()] = [
    (Loss, "loss", "loss"),
    (LossByLevel, "loss by noise level", "loss-by-level"),
    (Excess, "error above the floor by noise level", "excess"),
    (GradientNorm, "gradient norm", "gradient-norm"),
    (LearningRate, "learning rate", "learning-rate"),
    (StepsPerSecond, "steps per second", "steps-per-second"),
    (ImagesPerSecond, "images per second", "images-per-second"),
    (Correlation, "r with each machine, median", "r"),
    (SquaredCorrelation, "r^2 with each machine, median", "r-squared"),
    (Determination, "R^2 with each machine, median", "determination"),
    (JudgedRates, "judged rates", "judged-rates"),
    (EntropyByHead, "attention entropy by head, nats", "entropy-by-head"),
    (PatchSide, "calibrated patch side k(t)", "patch-side"),
    (Votes, "calibrated votes lambda(t)", "votes"),
    (ValueMixing, "calibrated value mixing gamma(t)", "value-mixing"),
    (Temperature, "calibrated temperature tau(t)", "temperature"),
    (Entropy, "attention entropy, nats", "entropy"),
];

/// The quantities that the upper chart cycles through: all but the last, which is the lower chart's.
pub const UPPER_CHART: &[Quantity] = Quantity::VARIANTS.split_at(NAMES.len() - 1).0;

impl Quantity {
    /// The next quantity of the upper chart; the first follows the last.
    pub fn next(self) -> Self {
        UPPER_CHART[(self as usize + 1) % UPPER_CHART.len()]
    }

    pub fn name(self) -> &'static str {
        NAMES[self as usize].1
    }

    /// The name in files: words joined by hyphens.
    pub fn slug(self) -> &'static str {
        NAMES[self as usize].2
    }

    /// Where it comes from, for a chart that has nothing to show yet.
    pub fn source(self) -> &'static str {
        match self {
            Loss | GradientNorm | LearningRate | StepsPerSecond | ImagesPerSecond => {
                "it comes with the first metrics"
            }
            LossByLevel => "it comes with the first metrics of a worker of this version",
            Excess => "it comes once the floors are measured, beside training",
            Correlation | SquaredCorrelation | Determination => {
                "it comes with the first whole preview"
            }
            JudgedRates => {
                "it comes with previews of crafted sets that judge at least 32 samples \
                 (preview.seeds); the report has the final rates"
            }
            EntropyByHead | Entropy => "it comes from networks with attention",
            PatchSide | Votes | ValueMixing | Temperature => {
                "a finished run has it; 'mosaic calibrate RUN' makes it"
            }
        }
    }

    /// Whether a run has one curve of it, so that runs can be drawn together.
    pub fn is_single(self) -> bool {
        matches!(self, Loss | GradientNorm | LearningRate | StepsPerSecond | ImagesPerSecond)
    }

    /// Whether its curves are noise levels, in the order of t.
    pub fn is_by_level(self) -> bool {
        matches!(self, LossByLevel | Excess | Entropy)
    }

    /// Whether it is noisy from step to step, and drawn raw and smoothed.
    pub fn is_smoothed(self) -> bool {
        matches!(self, Loss | LossByLevel | GradientNorm | StepsPerSecond | ImagesPerSecond)
    }

    /// Whether it is positive and of many magnitudes, so that a logarithmic axis helps.
    pub fn has_log_scale(self) -> bool {
        matches!(self, Loss | LossByLevel | GradientNorm | LearningRate)
    }

    /// Whether it is a calibrated setting, over t instead of training steps.
    pub fn is_calibrated(self) -> bool {
        matches!(self, PatchSide | Votes | ValueMixing | Temperature)
    }
}

/// One curve and its quantity.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub quantity: Quantity,
    /// Which of several curves of the quantity it is: a machine, a head or a range of t; empty if there is only one.
    pub name: String,
    pub series: Series,
}

/// All curves of a run.
#[derive(Clone, Debug, Default)]
pub struct Curves {
    all: Vec<Recorded>,
}

impl Curves {
    /// The curves of a quantity, in the order in which they first appeared.
    pub fn of(&self, quantity: Quantity) -> impl Iterator<Item = &Recorded> {
        self.all.iter().filter(move |recorded| recorded.quantity == quantity)
    }

    pub fn all(&self) -> &[Recorded] {
        &self.all
    }

    pub fn push(&mut self, quantity: Quantity, name: &str, x: f64, y: f64) {
        let is_it = |other: &Recorded| other.quantity == quantity && other.name == name;
        let place = self.all.iter().position(is_it).unwrap_or_else(|| {
            let series = Series::default();
            self.all.push(Recorded { quantity, name: name.to_owned(), series });
            self.all.len() - 1
        });
        self.all[place].series.push(x, y);
    }

    /// Adds the values that an event records.
    pub fn apply(&mut self, event: &Event) {
        let step = event.step as f64;
        match &event.body {
            EventBody::Metrics(metrics) => self.metrics(step, metrics),
            EventBody::LossByLevel(levels) => {
                for (end, loss) in levels.ranges() {
                    self.push(LossByLevel, &format!("t<{end:.1}"), step, loss);
                }
            }
            EventBody::Excess(excess) => {
                for level in &excess.levels {
                    self.push(Excess, &format!("t={}", level.t), step, level.excess.mse);
                }
            }
            EventBody::Attention(attention) => {
                for level in &attention.levels {
                    let mean = mean(&level.entropy_nats);
                    self.push(Entropy, &format!("t={}", level.t), step, mean);
                }
                let n_heads = attention.levels.iter().map(|level| level.entropy_nats.len()).max();
                for head in 0..n_heads.unwrap_or(0) {
                    let values = attention.levels.iter().filter_map(|l| l.entropy_nats.get(head));
                    let values: Vec<f64> = values.copied().collect();
                    self.push(EntropyByHead, &format!("head {}", head + 1), step, mean(&values));
                }
            }
            EventBody::Preview(preview) => {
                preview.figures.iter().for_each(|figure| self.agreement(step, figure));
                for (name, rate) in preview.judged_rates().into_iter().flat_map(Rates::named) {
                    self.push(JudgedRates, &name.replace('_', " "), step, rate.value);
                }
            }
            _ => {}
        }
    }

    /// Replaces the calibrated settings, which are over t and not over training steps.
    pub fn calibrate(&mut self, found: &Calibration) {
        type Number = fn(&StepSettings) -> f64;
        let numbers: [(Quantity, Number); 4] = [
            (PatchSide, |settings| settings.k as f64),
            (Votes, |settings| settings.lambda),
            (ValueMixing, |settings| settings.gamma),
            (Temperature, |settings| settings.tau),
        ];
        self.all.retain(|recorded| !recorded.quantity.is_calibrated());
        for machine in &found.machines {
            for (quantity, number) in numbers {
                // Only the attention machine has the others.
                if quantity != PatchSide && !machine.machine.starts_with("attention") {
                    continue;
                }
                for (fit, settings) in machine.steps.iter().zip(machine.schedule()) {
                    self.push(quantity, &machine.machine, fit.t, number(settings));
                }
            }
        }
    }

    fn metrics(&mut self, step: f64, metrics: &Metrics) {
        self.push(Loss, "", step, metrics.loss.unwrap_or(f64::NAN));
        if let Some(norm) = metrics.grad_norm {
            self.push(GradientNorm, "", step, norm);
        }
        self.push(LearningRate, "", step, metrics.learning_rate);
        self.push(StepsPerSecond, "", step, metrics.steps_per_s);
        self.push(ImagesPerSecond, "", step, metrics.images_per_s);
    }

    fn agreement(&mut self, step: f64, figure: &AgreementFigure) {
        let defined =
            |values: &[Option<f64>]| values.iter().copied().flatten().collect::<Vec<f64>>();
        let r = defined(&figure.r);
        let squares = r.iter().map(|r| r * r).collect();
        let cods = defined(&figure.r_squared_cod);
        for (quantity, values) in
            [(Correlation, r), (SquaredCorrelation, squares), (Determination, cods)]
        {
            if let Some(found) = quartiles(&values) {
                self.push(quantity, &figure.machine, step, found.median);
            }
        }
    }
}

/// The mean; NaN, which is a gap, of no values.
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::event::{
        AttentionAtLevel, AttentionMetrics, LossByLevel as Levels, PreviewSummary,
    };
    use crate::runs::format_versions::RUN_FORMAT;

    fn taken(bodies: Vec<EventBody>) -> Curves {
        let mut curves = Curves::default();
        for (step, body) in bodies.into_iter().enumerate() {
            curves.apply(&Event { v: RUN_FORMAT, time_ms: 0, step: step as u64, body });
        }
        curves
    }

    fn names(curves: &Curves, quantity: Quantity) -> Vec<&str> {
        curves.of(quantity).map(|recorded| recorded.name.as_str()).collect()
    }

    fn last(curves: &Curves, quantity: Quantity) -> Vec<f64> {
        curves.of(quantity).map(|recorded| recorded.series.last().unwrap().1).collect()
    }

    #[test]
    fn what_was_not_recorded_has_no_curve() {
        let metrics = Metrics {
            loss: None,
            grad_norm: None,
            learning_rate: 0.1,
            steps_per_s: 2.0,
            images_per_s: 8.0,
        };
        let curves = taken(vec![EventBody::Metrics(metrics)]);
        assert!(last(&curves, Loss)[0].is_nan(), "a loss that is not finite is a gap");
        assert_eq!(last(&curves, LearningRate), [0.1]);
        let absent = UPPER_CHART.iter().filter(|quantity| curves.of(**quantity).next().is_none());
        assert_eq!(absent.count(), UPPER_CHART.len() - 4);
    }

    #[test]
    fn agreement_is_the_median_over_seeds_and_r_squared_is_not_the_other_one() {
        let figure = AgreementFigure {
            machine: "els".into(),
            r: vec![Some(-0.9), Some(0.5), None, Some(0.6)],
            r_squared_cod: vec![Some(-1.0), Some(0.1), Some(0.2)],
        };
        let preview = PreviewSummary {
            path: String::new(),
            n_seeds: 4,
            figures: vec![figure],
            rates: None,
            seconds: 0.0,
        };
        let curves = taken(vec![EventBody::Preview(Box::new(preview))]);
        assert_eq!(names(&curves, Correlation), ["els"]);
        assert_eq!(last(&curves, Correlation), [0.5]);
        assert!((last(&curves, SquaredCorrelation)[0] - 0.36).abs() < 1e-12);
        assert_eq!(last(&curves, Determination), [0.1]);
        assert!(names(&curves, JudgedRates).is_empty());
    }

    #[test]
    fn entropy_is_a_curve_per_head_and_one_per_level() {
        let level = |t, heads: [f64; 2]| AttentionAtLevel {
            t,
            entropy_nats: heads.to_vec(),
            distance_pixels: vec![],
            largest_logit: vec![],
            sink: vec![],
        };
        let levels = vec![level(0.1, [1.0, 3.0]), level(0.9, [2.0, 5.0])];
        let attention = AttentionMetrics { n_pixels: 256, levels };
        let by_level = Levels { loss: vec![Some(0.1), None, Some(0.3)] };
        let curves = taken(vec![EventBody::Attention(attention), EventBody::LossByLevel(by_level)]);
        assert_eq!(
            (names(&curves, EntropyByHead), last(&curves, EntropyByHead)),
            (vec!["head 1", "head 2"], vec![1.5, 4.0])
        );
        assert_eq!(
            (names(&curves, Entropy), last(&curves, Entropy)),
            (vec!["t=0.1", "t=0.9"], vec![2.0, 3.5])
        );
        assert_eq!(names(&curves, LossByLevel).len(), 2);
    }

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        assert!(NAMES.iter().enumerate().all(|(index, row)| row.0 as usize == index));
    }

    #[test]
    fn turning_comes_round_through_everything() {
        let mut quantity = Loss;
        let mut seen = std::collections::HashSet::new();
        while seen.insert(quantity) {
            quantity = quantity.next();
        }
        assert_eq!((quantity, seen.len()), (Loss, UPPER_CHART.len()));
    }
}
