//! Events reported by a worker: one JSON object per line in `events.jsonl`, append-only.
//!
//! These are wire types: they carry a format version and are kept apart from domain types. A reader skips event
//! kinds it does not know (written by a newer worker) and tolerates a torn last line (the worker crashed).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::status_json::RunState;
use crate::analysis::excess_over_floor::{
    Convergence, LevelExcess, MeanSquaredError, mean_between,
};
use crate::diffusion::Schedule;

/// One line of `events.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The writer's [`super::format_versions::RUN_FORMAT`].
    pub v: u32,
    /// Milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Training step that the event belongs to.
    pub step: u64,
    pub body: EventBody,
}

/// Content of an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventBody {
    State {
        state: RunState,
        reason: Option<String>,
    },
    Metrics(Metrics),
    Attention(AttentionMetrics),
    /// Attention that a machine, which needs no network, predicts for the same images and noise levels.
    PredictedAttention {
        machine: String,
        metrics: AttentionMetrics,
    },
    /// The loss at each noise level.
    LossByLevel(LossByLevel),
    /// The floors of the run's data set and network class; once, when they are known.
    Floors(FloorFigures),
    /// The network's error above the floor of its class.
    Excess(ExcessByLevel),
    Preview(Box<PreviewSummary>),
    Checkpoint {
        path: String,
        seconds: f64,
    },
    Notice {
        level: NoticeLevel,
        text: String,
    },
    /// Final figures of the comparison, one per machine.
    Agreement {
        figures: Vec<AgreementFigure>,
    },
    /// An event kind that this version does not know.
    #[serde(other)]
    Unknown,
}

/// Training metrics, averaged over the steps since the previous event of this kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Mean squared error of the predicted noise; `None` if it was not finite.
    pub loss: Option<f64>,
    pub grad_norm: Option<f64>,
    pub learning_rate: f64,
    pub steps_per_s: f64,
    pub images_per_s: f64,
}

/// Mean loss per range of t (equal widths), over the steps since the previous event of this kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LossByLevel {
    /// Entry i covers `[i / n, (i + 1) / n)` of n; `None` if no image fell into it.
    pub loss: Vec<Option<f64>>,
}

impl LossByLevel {
    /// The upper end and the loss of each range that has a loss.
    pub fn ranges(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let n = self.loss.len() as f64;
        let range = move |(i, loss): (usize, &Option<f64>)| Some(((i + 1) as f64 / n, (*loss)?));
        self.loss.iter().enumerate().filter_map(range)
    }
}

/// Mean squared errors of the machines whose errors are floors, by noise level.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FloorFigures {
    /// In increasing t.
    pub levels: Vec<FloorLevel>,
}

/// Floors at one noise level: errors of the clean estimate per value, for images in [-1, 1].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FloorLevel {
    pub t: f64,
    /// By machine: `ideal`, `es`, and `els` or `bbels`.
    pub floors: BTreeMap<String, MeanSquaredError>,
}

impl FloorFigures {
    /// The floor of the training loss by the machine called `name`: the mean over t in `[from, to]` of its error of the
    /// predicted noise, `abar / sigma^2` times that of the clean estimate. Between levels it is interpolated linearly
    /// (docs/theory.md, section 10, compares this with logarithms), below the lowest level it is taken as constant.
    pub fn loss_floor(&self, name: &str, schedule: Schedule, from: f64, to: f64) -> Option<f64> {
        let mut points: Vec<(f64, f64)> = Vec::new();
        for level in &self.levels {
            let floor = level.floors.get(name)?.of_noise(schedule.level(level.t));
            points.push((level.t, floor.mse));
        }
        mean_between(&points, from, to)
    }
}

/// A network's error above the floor of its class, by noise level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExcessByLevel {
    /// The machine whose error is the floor.
    pub class_floor: String,
    pub convergence: Convergence,
    /// In increasing t.
    pub levels: Vec<LevelExcess>,
}

/// Attention statistics of the final attention layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttentionMetrics {
    /// Number of pixels that can be attended to; uniform attention has entropy `ln(n_pixels)`.
    pub n_pixels: usize,
    /// One entry per noise level, in increasing t.
    pub levels: Vec<AttentionAtLevel>,
}

/// Attention statistics at one noise level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttentionAtLevel {
    pub t: f64,
    /// Row entropy in nats per head, averaged over queries and images.
    pub entropy_nats: Vec<f64>,
    /// Mean attention-weighted distance in pixels (shortest path on a circular image), per head.
    pub distance_pixels: Vec<f64>,
    /// Largest logit over queries, keys and images, per head; empty if unknown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub largest_logit: Vec<f64>,
    /// Share of the attention received by an image's most attended pixel, averaged over images, per head.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sink: Vec<f64>,
}

/// A preview that was written under `previews/`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PreviewSummary {
    /// Directory relative to the run directory, e.g. `previews/step-000500`.
    pub path: String,
    /// Number of noise seeds.
    pub n_seeds: usize,
    /// Agreement of the network with each machine.
    pub figures: Vec<AgreementFigure>,
    /// Judged rates of the network's samples on crafted sets.
    pub rates: Option<Rates>,
    pub seconds: f64,
}

/// Agreement of the network's samples with one machine's, from the same seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgreementFigure {
    /// Column name, e.g. `els` or `attention-similarity`.
    pub machine: String,
    /// Pearson's r per seed; `None` if undefined (a constant image).
    pub r: Vec<Option<f64>>,
    /// Coefficient of determination `R^2 = 1 - SS_res / SS_tot` per seed.
    pub r_squared_cod: Vec<Option<f64>>,
}

/// Fewest judged samples whose rates are shown: intervals of fewer span half of all values.
pub const RATES_MIN: usize = 32;

impl PreviewSummary {
    /// The rates, if they are of enough samples to be called rates.
    pub fn judged_rates(&self) -> Option<&Rates> {
        self.rates.as_ref().filter(|rates| rates.n_samples >= RATES_MIN)
    }
}

/// Shares of judged samples, in [0, 1], with 95% Wilson intervals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    pub n_samples: usize,
    pub valid: Rate,
    pub consistent: Rate,
    pub novel: Rate,
    pub creative: Rate,
    /// Rate of whole features among all components; its interval ignores that components share images.
    pub whole: Option<Rate>,
    /// Mean share of foreground in the leading hue, with a 95% interval of the mean.
    pub hue_purity: Option<Rate>,
    /// Rate of consistent samples among the valid ones.
    pub consistent_of_valid: Option<Rate>,
    /// The rate of `consistent` if these samples' features were assigned to images at random.
    pub chance: Option<f64>,
}

impl Rates {
    /// All available rates with their names in reports, in the order of the reports.
    pub fn named(&self) -> Vec<(&'static str, Rate)> {
        let all = [
            ("whole", self.whole),
            ("valid", Some(self.valid)),
            ("consistent", Some(self.consistent)),
            ("novel", Some(self.novel)),
            ("creative", Some(self.creative)),
            ("hue_purity", self.hue_purity),
            ("consistent_of_valid", self.consistent_of_valid),
        ];
        all.into_iter().filter_map(|(name, rate)| Some((name, rate?))).collect()
    }
}

/// A rate in [0, 1] with its 95% interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum NoticeLevel {
    Info,
    Warning,
    Error,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::format_versions::RUN_FORMAT;

    #[test]
    fn a_kind_from_a_newer_worker_is_read_as_unknown() {
        let line = r#"{"v":1,"time_ms":1,"step":2,"body":{"kind":"hologram","depth":3}}"#;
        let event: Event = serde_json::from_str(line).unwrap();
        assert_eq!(event.body, EventBody::Unknown);
    }

    #[test]
    fn events_survive_the_round_trip() {
        let body = EventBody::State { state: RunState::Paused, reason: None };
        let event = Event { v: RUN_FORMAT, time_ms: 5, step: 7, body };
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
    }
}
