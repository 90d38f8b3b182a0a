//! The state of the dashboard: what was read about runs, and where the user looks.

use std::collections::HashSet;

use super::chart::Window;
use super::charted::Crosshair;
use super::curves::{Curves, Quantity};
use super::forms::Fields;
use super::keys::Action;
use super::listing::Order;
use super::look::Look;
use super::pictures::Depth;
use super::plot::Dots;
use super::pointer::{Pane, Region};
use super::probe::Protocol;
use super::theme::Theme;
use super::typed::Typed;
use crate::analysis::agreement::{Agreement, agreement};
use crate::config::Experiment;
use crate::hardware::system::Reading;
use crate::runs::event::{
    AttentionMetrics, Event, EventBody, LossByLevel, Metrics, NoticeLevel, PreviewSummary,
};
use crate::runs::liveness::Health;
use crate::runs::preview::Preview;
use crate::runs::runs_dir::RunSummary;
use crate::runs::status::RunState;

pub use super::series::HISTORY_POINTS_MAX;

/// Looks at the machine that are kept: five minutes of them.
const LOOKS_MAX: usize = 150;
/// Lines of notices kept.
const NOTICES_MAX: usize = 200;

/// What the screen shows on a small terminal, or in the middle of a large one.
pub const TABS: [&str; 6] = ["overview", "charts", "samples", "settings", "system", "log"];

/// Places of tabs in [`TABS`].
pub const CHARTS: usize = 1;
pub const SAMPLES: usize = 2;
pub const SETTINGS: usize = 3;
pub const SYSTEM: usize = 4;
pub const LOG: usize = 5;

/// How much of the past the smoothed loss remembers, as a share per point.
pub const SMOOTHINGS: [f64; 4] = [0.9, 0.98, 0.995, 0.0];

/// Everything the dashboard knows.
pub struct App {
    pub experiments: Vec<Experiment>,
    /// Where runs are, for people.
    pub runs_dir: String,
    pub runs: Vec<RunSummary>,
    pub watched: Option<OpenRun>,
    /// Runs whose curves and settings stand beside those of the one on screen.
    pub marked: Vec<OpenRun>,
    /// Runs of which a process of its own makes a preview now.
    pub making: HashSet<String>,
    /// Runs and seeds that are being followed now.
    pub tracing: HashSet<(String, u64)>,
    /// Words that a run must have to be listed.
    pub filter: Typed,
    pub order: Order,
    pub tab: usize,
    /// The runs alone, where the overview has room for more.
    pub expanded: bool,
    /// The panel that keys are for, where there are several.
    pub focus: Pane,
    pub popup: Popup,
    /// The form whose run is being launched; it opens again if that fails.
    pub draft: Option<Box<Form>>,
    /// The look inside a seed, in place of the tabs.
    pub look: Option<Look>,
    pub log_scale: bool,
    /// What the upper chart shows.
    pub quantity: Quantity,
    /// What curves are made of.
    pub dots: Dots,
    pub crosshair: Option<Crosshair>,
    /// Attention entropy as a map over training steps and t, not as curves.
    pub as_map: bool,
    /// What of the run the curves show.
    pub window: Window,
    /// Index into [`SMOOTHINGS`].
    pub smoothing: usize,
    /// Samples: first of the columns behind the network, and first seed.
    pub first_column: usize,
    pub first_seed: usize,
    /// Cursor among the listed settings.
    pub setting: usize,
    /// Entries of news and lines of the log that are newer than the last one shown.
    pub news_back: usize,
    pub log_back: usize,
    /// Looks at the machine, the newest last.
    pub system: Vec<Reading>,
    pub protocol: Protocol,
    pub protocols: Vec<Protocol>,
    /// Pixels of a cell, as the terminal answered.
    pub cell: Option<(u32, u32)>,
    pub theme: Theme,
    /// Colours of half-blocks.
    pub depth: Depth,
    /// Nothing can be launched or steered from here.
    pub read_only: bool,
    /// Clicks and wheel are ours, not the terminal's.
    pub mouse: bool,
    /// What lay where when the screen was drawn last.
    pub regions: Vec<Region>,
    /// What was written to the terminal so far.
    pub output: Output,
    /// The last thing said to the user.
    pub said: Option<(NoticeLevel, String)>,
}

/// What was written to the terminal, pictures included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Output {
    pub frames: u64,
    pub bytes: u64,
    /// Of the last frame.
    pub last_bytes: u64,
}

/// What lies over the screen.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Popup {
    #[default]
    None,
    /// The filter is being typed, and works at once.
    Filter,
    Palette {
        typed: Typed,
        cursor: usize,
    },
    Help {
        first: usize,
    },
    Launch {
        cursor: usize,
    },
    ConfirmStop {
        run: String,
    },
    Edit(Box<Form>),
    Fields(Fields),
}

/// Settings being edited for a relaunch.
#[derive(Clone, Debug, PartialEq)]
pub struct Form {
    pub parent: String,
    pub experiment: Experiment,
    pub cursor: usize,
    /// The new value while it is typed.
    pub typing: Option<Typed>,
    pub error: Option<String>,
}

/// The run on screen.
#[derive(Default)]
pub struct OpenRun {
    pub id: String,
    pub experiment: Option<Experiment>,
    /// Everything that is drawn over training steps.
    pub curves: Curves,
    pub attention: Vec<(f64, AttentionMetrics)>,
    /// What machines predict for the same images, by name.
    pub predicted: Vec<(String, AttentionMetrics)>,
    pub latest: Option<Metrics>,
    pub levels: LossByLevel,
    pub preview_steps: Vec<u64>,
    pub summaries: Vec<(u64, PreviewSummary)>,
    pub preview: Option<Shown>,
    /// A step chosen by hand; `None` follows the newest.
    pub pinned: Option<u64>,
    /// The step that was asked for last.
    pub asked: Option<u64>,
    /// The time of its first event.
    pub begun_ms: Option<u64>,
    pub notices: Vec<News>,
    /// The end of its worker's log, or why it cannot be read.
    pub log: Option<Result<String, String>>,
}

/// Something that a run had to tell.
#[derive(Clone, Debug, PartialEq)]
pub struct News {
    pub time_ms: u64,
    pub step: u64,
    pub level: NoticeLevel,
    pub text: String,
}

/// A preview with its agreements.
pub struct Shown {
    pub preview: Preview,
    /// Per machine, per seed.
    pub agreement: Vec<Vec<Agreement>>,
}

impl Shown {
    pub fn new(preview: Preview) -> Self {
        let network = &preview.network;
        let of = |machine: &crate::image::ImageBatch| {
            machine.iter().zip(network.iter()).map(|(m, n)| agreement(m, n)).collect()
        };
        let all = preview.machines.iter().map(|(_, samples)| of(samples)).collect();
        Self { agreement: all, preview }
    }
}

impl App {
    pub fn new(experiments: Vec<Experiment>, runs_dir: String) -> Self {
        Self {
            experiments,
            runs_dir,
            runs: Vec::new(),
            watched: None,
            marked: Vec::new(),
            making: HashSet::new(),
            tracing: HashSet::new(),
            filter: Typed::default(),
            order: Order::default(),
            tab: 0,
            expanded: false,
            focus: Pane::Runs,
            popup: Popup::None,
            draft: None,
            look: None,
            log_scale: true,
            quantity: Quantity::default(),
            dots: Dots::default(),
            crosshair: None,
            as_map: false,
            window: Window::default(),
            smoothing: 0,
            first_column: 0,
            first_seed: 0,
            setting: 0,
            news_back: 0,
            log_back: 0,
            system: Vec::new(),
            protocol: Protocol::Blocks,
            protocols: vec![Protocol::Blocks, Protocol::Off],
            cell: None,
            theme: Theme::default(),
            depth: Depth::Truecolour,
            read_only: false,
            mouse: false,
            regions: Vec::new(),
            output: Output::default(),
            said: None,
        }
    }

    /// The run on screen as the list knows it.
    pub fn run(&self) -> Option<&RunSummary> {
        let id = &self.watched.as_ref()?.id;
        self.runs.iter().find(|run| run.id == *id)
    }

    /// Its place among the listed ones.
    pub fn position(&self) -> Option<usize> {
        let id = &self.watched.as_ref()?.id;
        self.shown().iter().position(|run| run.id == *id)
    }

    /// The marked runs that are not on screen themselves, each with its number among all marked ones.
    pub fn beside(&self) -> impl Iterator<Item = (usize, &OpenRun)> {
        let on_screen = self.watched.as_ref().map(|watched| &watched.id);
        self.marked.iter().enumerate().filter(move |(_, run)| Some(&run.id) != on_screen)
    }

    /// The run of that name, wherever news of it belongs.
    pub fn followed(&mut self, run: &str) -> impl Iterator<Item = &mut OpenRun> {
        self.watched.iter_mut().chain(&mut self.marked).filter(move |other| other.id == run)
    }

    /// Whether an action would do something now; the footer shows only such keys.
    pub fn can(&self, action: Action) -> bool {
        if self.read_only && action.steers() {
            return false;
        }
        let Some(run) = self.run() else {
            return match action {
                Action::Filter | Action::Order => !self.runs.is_empty(),
                Action::Help | Action::Palette | Action::Launch | Action::Detach => true,
                Action::NextTab | Action::Tab(_) | Action::Images => true,
                Action::Redraw | Action::Suspend => true,
                _ => false,
            };
        };
        let state = run.status.as_ref().map(|status| status.state);
        let alive = run.health == Health::Alive;
        match action {
            Action::Pause => {
                alive
                    && matches!(
                        state,
                        Some(RunState::Training | RunState::Paused | RunState::Queued)
                    )
            }
            Action::Sample | Action::SampleChosen if state == Some(RunState::Queued) => false,
            Action::Sample | Action::SampleChosen => state != Some(RunState::Comparing) || !alive,
            Action::Stop | Action::Take => alive,
            Action::Resume => {
                matches!(run.health, Health::Lost | Health::Over)
                    && state != Some(RunState::Finished)
            }
            _ => true,
        }
    }

    /// Whether the run on screen has a worker that waits to be told to go on.
    pub fn waits(&self) -> bool {
        let alive = self.run().filter(|run| run.health == Health::Alive);
        let state = alive.and_then(|run| run.status.as_ref()).map(|status| status.state);
        matches!(state, Some(RunState::Paused | RunState::Queued))
    }

    /// Takes in a look at the machine.
    pub fn look_at(&mut self, reading: Reading) {
        if self.system.len() >= LOOKS_MAX {
            self.system.remove(0);
        }
        self.system.push(reading);
    }

    pub fn say(&mut self, level: NoticeLevel, text: impl Into<String>) {
        self.said = Some((level, text.into()));
    }
}

impl OpenRun {
    pub fn new(id: String) -> Self {
        Self { id, ..Self::default() }
    }

    /// What is kept of a run that is marked: its curves and settings, no pictures.
    pub fn to_mark(&self) -> Self {
        Self {
            id: self.id.clone(),
            experiment: self.experiment.clone(),
            curves: self.curves.clone(),
            attention: self.attention.clone(),
            predicted: self.predicted.clone(),
            latest: self.latest.clone(),
            levels: self.levels.clone(),
            ..Self::default()
        }
    }

    /// Takes in one event.
    pub fn take(&mut self, event: Event) {
        let step = event.step as f64;
        self.begun_ms.get_or_insert(event.time_ms);
        self.curves.take(&event);
        match event.body {
            EventBody::Metrics(metrics) => self.latest = Some(metrics),
            EventBody::Attention(attention) => push(&mut self.attention, (step, attention)),
            EventBody::PredictedAttention { machine, metrics } => {
                self.predicted.retain(|(other, _)| *other != machine);
                self.predicted.push((machine, metrics));
            }
            EventBody::LossByLevel(levels) => self.levels = levels,
            EventBody::Preview(summary) => {
                // It was published in part before; now it is whole.
                self.asked = self.asked.filter(|step| *step != event.step);
                self.summaries.push((event.step, *summary));
            }
            EventBody::Notice { level, text } => {
                self.note((event.time_ms, event.step), level, text)
            }
            EventBody::State { state, reason } => {
                let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
                let text = format!("{}{reason}", super::words::state(state));
                self.note((event.time_ms, event.step), NoticeLevel::Info, text);
            }
            EventBody::Checkpoint { .. } | EventBody::Agreement { .. } | EventBody::Unknown => {}
        }
    }

    fn note(&mut self, (time_ms, step): (u64, u64), level: NoticeLevel, text: String) {
        if self.notices.len() >= NOTICES_MAX {
            self.notices.remove(0);
        }
        self.notices.push(News { time_ms, step, level, text });
    }

    /// The preview that should be on screen.
    pub fn wanted_step(&self) -> Option<u64> {
        self.pinned.or(self.preview_steps.last().copied())
    }

    /// The worker's own figures for a preview.
    pub fn summary(&self, step: u64) -> Option<&PreviewSummary> {
        self.summaries.iter().rev().find(|(of, _)| *of == step).map(|(_, summary)| summary)
    }
}

/// Adds to a curve; a resumed run goes back to its checkpoint and overwrites what came after it.
fn push<T>(history: &mut Vec<(f64, T)>, value: (f64, T)) {
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
        push(&mut history, (2.0, 'd'));
        assert_eq!(history, [(1.0, 'a'), (2.0, 'd')]);
        (0..3 * HISTORY_POINTS_MAX).for_each(|i| push(&mut history, (i as f64, 'e')));
        assert!(history.len() <= HISTORY_POINTS_MAX && history.len() > HISTORY_POINTS_MAX / 4);
    }
}
