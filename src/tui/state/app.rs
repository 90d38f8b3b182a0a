//! The whole state of the dashboard.

use std::collections::HashSet;

use super::chart_settings::ChartSettings;
use super::focus_and_panes::Screen;
use super::inspector::Inspector;
use super::notice::Notice;
use super::open_run::OpenRun;
use super::popup::{EditForm, Popup};
use super::run_list::RunList;
use super::terminal_display::Display;
use crate::config::{Experiment, SettingEntry};
use crate::hardware::system_load::Reading;
use crate::runs::alive_silent_or_lost::Health;
use crate::runs::runs_dir::RunSummary;
use crate::runs::status_json::RunState;
use crate::tui::colour_theme::Theme;
use crate::tui::key_table::Action;

/// Readings of this computer that are kept: five minutes of them.
const READINGS_MAX: usize = 150;

/// Everything the dashboard knows, and how it is shown.
#[derive(Default)]
pub struct App {
    /// The experiments of lab.toml.
    pub experiments: Vec<Experiment>,
    /// The path of the runs directory, for messages.
    pub runs_dir: String,
    /// Whether nothing can be launched or steered from here.
    pub read_only: bool,
    pub runs: RunList,
    /// The run on screen.
    pub open_run: Option<OpenRun>,
    /// Runs whose curves and settings are compared with those of the open run.
    pub marked: Vec<OpenRun>,
    /// Readings of this computer, newest last.
    pub readings: Vec<Reading>,
    pub pending: Pending,
    pub screen: Screen,
    pub charts: ChartSettings,
    pub cursors: Cursors,
    /// The inspector of a seed, in place of the tabs.
    pub inspector: Option<Inspector>,
    pub popup: Option<Popup>,
    pub notice: Option<Notice>,
    pub theme: Theme,
    pub display: Display,
}

/// Work in other processes whose result has not arrived.
#[derive(Clone, Debug, Default)]
pub struct Pending {
    /// Runs of which a preview is made by a process of its own.
    pub previews: HashSet<String>,
    /// Runs that are compared or calibrated by a process of their own.
    pub recomputed: HashSet<String>,
    /// Runs and noise seeds whose trace is computed.
    pub traces: HashSet<(String, u64)>,
    /// The form whose run is being launched; it opens again if that fails.
    pub launch: Option<Box<EditForm>>,
}

/// Positions within panes.
#[derive(Clone, Debug, Default)]
pub struct Cursors {
    /// Index of the first column of samples after the network's.
    pub first_column: usize,
    /// Index of the first seed of samples.
    pub first_seed: usize,
    /// Index of the selected setting among those listed.
    pub setting: usize,
    /// Entries of news that are newer than the last one shown.
    pub news_back: usize,
    /// Lines of the log that are newer than the last one shown.
    pub log_back: usize,
    /// Index of the first line of the report on screen, and of the first column of its tables.
    pub report: [usize; 2],
}

impl App {
    pub fn new(experiments: Vec<Experiment>, runs_dir: String) -> Self {
        Self { experiments, runs_dir, ..Self::default() }
    }

    /// The open run's entry in the list of runs.
    pub fn open_summary(&self) -> Option<&RunSummary> {
        self.runs.find(&self.open_run.as_ref()?.id)
    }

    /// The open run's index among the listed runs.
    pub fn open_index(&self) -> Option<usize> {
        let id = &self.open_run.as_ref()?.id;
        self.runs.listed().iter().position(|run| run.id == *id)
    }

    /// The open run, if it has this id.
    pub fn open_run_mut(&mut self, id: &str) -> Option<&mut OpenRun> {
        self.open_run.as_mut().filter(|run| run.id == id)
    }

    /// The open run and the marked run of this id: a run can be both.
    pub fn runs_mut(&mut self, id: &str) -> impl Iterator<Item = &mut OpenRun> {
        self.open_run.iter_mut().chain(&mut self.marked).filter(move |run| run.id == id)
    }

    /// The marked runs other than the open one, each with its index among all marked runs.
    pub fn other_marked(&self) -> impl Iterator<Item = (usize, &OpenRun)> {
        let open = self.open_run.as_ref().map(|run| &run.id);
        self.marked.iter().enumerate().filter(move |(_, run)| Some(&run.id) != open)
    }

    /// The settings of the open run, then of the other marked runs, as far as they are known.
    pub fn known_settings(&self) -> Vec<(&OpenRun, Vec<SettingEntry>)> {
        let runs = self.open_run.iter().chain(self.other_marked().map(|(_, run)| run));
        runs.filter_map(|run| Some((run, run.experiment.as_ref()?.entries()))).collect()
    }

    /// The keys of the listed settings: all settings of a single run, or those that differ between several.
    pub fn listed_settings(&self) -> Vec<&'static str> {
        let runs = self.known_settings();
        let Some(((_, first), others)) = runs.split_first() else { return Vec::new() };
        let differs = |&(row, entry): &(usize, &SettingEntry)| {
            others.is_empty() || others.iter().any(|(_, other)| other[row].value != entry.value)
        };
        first.iter().enumerate().filter(differs).map(|(_, entry)| entry.key).collect()
    }

    /// Whether an action would do something now; the footer and the palette offer only such actions.
    pub fn is_available(&self, action: Action) -> bool {
        if self.read_only && action.steers() {
            return false;
        }
        let Some(run) = self.open_summary() else {
            return match action {
                Action::Filter | Action::Order => !self.runs.all.is_empty(),
                Action::Help | Action::Glossary | Action::Palette => true,
                Action::Launch | Action::Detach => true,
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
            Action::Compare | Action::Calibrate => {
                matches!(run.health, Health::Lost | Health::Over)
                    && run.status.as_ref().is_some_and(|status| status.step > 0)
            }
            Action::Resume => {
                matches!(run.health, Health::Lost | Health::Over)
                    && state != Some(RunState::Finished)
            }
            _ => true,
        }
    }

    /// Whether the open run has a live worker that is paused or queued.
    pub fn is_waiting(&self) -> bool {
        let alive = self.open_summary().filter(|run| run.health == Health::Alive);
        let state = alive.and_then(|run| run.status.as_ref()).map(|status| status.state);
        matches!(state, Some(RunState::Paused | RunState::Queued))
    }

    /// Keeps a reading of this computer.
    pub fn add_reading(&mut self, reading: Reading) {
        if self.readings.len() >= READINGS_MAX {
            self.readings.remove(0);
        }
        self.readings.push(reading);
    }

    /// Shows a notice in place of the last one.
    pub fn notify(&mut self, notice: Notice) {
        self.notice = Some(notice);
    }
}
