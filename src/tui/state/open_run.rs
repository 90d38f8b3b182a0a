//! What was read of one run: the run on screen, or a marked run that is compared with it.

use crate::analysis::agreement::{Agreement, agreement};
use crate::config::Experiment;
use crate::evaluation::report::written_report::WrittenReport;
use crate::image::ImageBatch;
use crate::runs::event::{
    AttentionMetrics, Event, EventBody, ExcessByLevel, FloorFigures, LossByLevel, NoticeLevel,
    PreviewSummary,
};
use crate::runs::listed_run_state::ListedState;
use crate::runs::preview_files::Preview;
use crate::runs::run_toml::Origin;
use crate::tui::curve_points::HISTORY_POINTS_MAX;
use crate::tui::recorded_curves::Curves;

/// News entries kept per run.
const NEWS_MAX: usize = 200;

/// A run whose events are read.
#[derive(Default)]
pub struct OpenRun {
    pub id: String,
    pub experiment: Option<Experiment>,
    /// Where its network comes from.
    pub origin: Origin,
    /// Everything that is drawn over training steps.
    pub curves: Curves,
    /// Attention statistics by training step.
    pub attention: Vec<(f64, AttentionMetrics)>,
    /// The attention statistics that machines predict for the same images, by machine.
    pub predicted_attention: Vec<(String, AttentionMetrics)>,
    /// The latest loss of each range of t.
    pub loss_by_level: LossByLevel,
    /// The floors of its data set and network class, once they are known.
    pub floors: FloorFigures,
    /// The network's excess over the floor of its class, by training step.
    pub excess: Vec<(f64, ExcessByLevel)>,
    /// Training steps of the previews on disk, in increasing order.
    pub preview_steps: Vec<u64>,
    /// The worker's figures for its previews, by training step.
    pub preview_summaries: Vec<(u64, PreviewSummary)>,
    pub preview: Option<ScoredPreview>,
    /// Its report, or why it cannot be read; `None` if there is none.
    pub report: Option<Result<WrittenReport, String>>,
    /// The samples of the report.
    pub results: Option<ScoredPreview>,
    /// The training step of the preview that the user chose; `None` shows the samples of the report, or the newest preview.
    pub pinned_step: Option<u64>,
    /// The training step of the preview that was requested last.
    pub requested_step: Option<u64>,
    /// The time of its first event, in milliseconds since 1970.
    pub started_ms: Option<u64>,
    pub news: Vec<News>,
    /// The end of its worker's log, or why it cannot be read.
    pub log: Option<Result<String, String>>,
}

/// A notice of the run, or a change of its state.
#[derive(Clone, Debug, PartialEq)]
pub struct News {
    pub time_ms: u64,
    pub step: u64,
    pub level: NoticeLevel,
    pub text: String,
}

/// A preview with the agreement between network and machines.
pub struct ScoredPreview {
    pub preview: Preview,
    /// By machine, then by seed.
    pub agreement: Vec<Vec<Agreement>>,
}

impl ScoredPreview {
    pub fn new(preview: Preview) -> Self {
        let network = &preview.network;
        let of = |machine: &ImageBatch| {
            machine.iter().zip(network.iter()).map(|(m, n)| agreement(m, n)).collect()
        };
        let all = preview.machines.iter().map(|(_, samples)| of(samples)).collect();
        Self { agreement: all, preview }
    }
}

impl OpenRun {
    pub fn new(id: String) -> Self {
        Self { id, ..Self::default() }
    }

    /// The part that a marked run needs: its curves and settings, no pictures and no news.
    pub fn for_comparison(&self) -> Self {
        Self {
            id: self.id.clone(),
            experiment: self.experiment.clone(),
            origin: self.origin.clone(),
            curves: self.curves.clone(),
            attention: self.attention.clone(),
            predicted_attention: self.predicted_attention.clone(),
            loss_by_level: self.loss_by_level.clone(),
            floors: self.floors.clone(),
            excess: self.excess.clone(),
            ..Self::default()
        }
    }

    /// Updates the run from one event.
    pub fn apply(&mut self, event: Event) {
        let (time_ms, step) = (event.time_ms, event.step);
        self.started_ms.get_or_insert(time_ms);
        self.curves.apply(&event);
        match event.body {
            EventBody::Attention(attention) => {
                push_thinned(&mut self.attention, (step as f64, attention));
            }
            EventBody::PredictedAttention { machine, metrics } => {
                self.predicted_attention.retain(|(other, _)| *other != machine);
                self.predicted_attention.push((machine, metrics));
            }
            EventBody::LossByLevel(levels) => self.loss_by_level = levels,
            EventBody::Floors(floors) => self.floors = floors,
            EventBody::Excess(excess) => push_thinned(&mut self.excess, (step as f64, excess)),
            EventBody::Preview(summary) => {
                // Only a part of it was published before: request it again.
                self.requested_step = self.requested_step.filter(|other| *other != step);
                self.preview_summaries.push((step, *summary));
            }
            EventBody::Notice { level, text } => {
                self.add_news(News { time_ms, step, level, text });
            }
            EventBody::State { state, reason } => {
                let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
                let text = format!("{}{reason}", ListedState::from(state).word());
                self.add_news(News { time_ms, step, level: NoticeLevel::Info, text });
            }
            EventBody::Metrics(_)
            | EventBody::Checkpoint { .. }
            | EventBody::Agreement { .. }
            | EventBody::Unknown => {}
        }
    }

    fn add_news(&mut self, news: News) {
        if self.news.len() >= NEWS_MAX {
            self.news.remove(0);
        }
        self.news.push(news);
    }

    /// Takes over the report that was read.
    pub fn set_report(&mut self, report: Result<Option<WrittenReport>, String>) {
        let mut report = report.transpose();
        let samples = report.as_mut().and_then(|report| report.as_mut().ok()?.samples.take());
        let step = report.as_ref().and_then(|report| report.as_ref().ok()).map_or(0, |r| r.step);
        self.results = samples.map(|samples| {
            ScoredPreview::new(Preview {
                step,
                first_seed: samples.first_seed,
                sampling_steps: samples.sampling_steps,
                seeds: samples.seeds,
                network: samples.network,
                machines: samples.machines,
                labels: Vec::new(),
            })
        });
        self.report = report;
    }

    /// The report, if there is one that can be read.
    pub fn written_report(&self) -> Option<&WrittenReport> {
        self.report.as_ref()?.as_ref().ok()
    }

    /// The samples that should be on screen: those of the report, unless the user chose a preview.
    pub fn shown_samples(&self) -> Option<&ScoredPreview> {
        match self.pinned_step {
            None => self.results.as_ref().or(self.preview.as_ref()),
            Some(_) => self.preview.as_ref(),
        }
    }

    /// Whether the samples on screen are those of the report.
    pub fn shows_results(&self) -> bool {
        self.pinned_step.is_none() && self.results.is_some()
    }

    /// The training step of the preview that should be on screen.
    pub fn step_to_show(&self) -> Option<u64> {
        self.pinned_step.or(self.preview_steps.last().copied())
    }

    /// The worker's figures for the preview of a training step.
    pub fn preview_summary(&self, step: u64) -> Option<&PreviewSummary> {
        self.preview_summaries.iter().rev().find(|(of, _)| *of == step).map(|(_, summary)| summary)
    }

    /// Lines of the log that was read.
    pub fn n_log_lines(&self) -> usize {
        let text = self.log.as_ref().and_then(|log| log.as_ref().ok());
        text.map_or(0, |text| text.lines().count())
    }
}

/// Adds a value at a step. A resumed run goes back to its checkpoint, so later values are dropped; beyond
/// [`HISTORY_POINTS_MAX`] every second value is.
fn push_thinned<T>(history: &mut Vec<(f64, T)>, value: (f64, T)) {
    let kept = history.partition_point(|(step, _)| *step < value.0);
    history.truncate(kept);
    if history.len() >= HISTORY_POINTS_MAX {
        let mut index = 0;
        history.retain(|_| {
            index += 1;
            index % 2 == 0
        });
    }
    history.push(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_drawn_as_a_curve_goes_back_to_a_checkpoint_too_and_has_a_bound() {
        let mut history = vec![(1.0, 'a'), (2.0, 'b'), (3.0, 'c')];
        push_thinned(&mut history, (2.0, 'd'));
        assert_eq!(history, [(1.0, 'a'), (2.0, 'd')]);
        (0..3 * HISTORY_POINTS_MAX).for_each(|i| push_thinned(&mut history, (i as f64, 'e')));
        assert!(history.len() <= HISTORY_POINTS_MAX && history.len() > HISTORY_POINTS_MAX / 4);
    }
}
