//! Which settings the settings tab lists.

use super::app::App;
use super::open_run::OpenRun;
use crate::config::{Experiment, SettingEntry};

impl App {
    /// The open run, then the other marked runs, as far as their settings are known.
    pub fn runs_with_settings(&self) -> Vec<&OpenRun> {
        self.compared_runs().filter(|run| run.experiment.is_some()).collect()
    }

    /// The keys of the listed settings: all settings of a single run, or those that differ between several.
    pub fn listed_settings(&self) -> Vec<&'static str> {
        let runs = self.runs_with_settings();
        let all: Vec<Vec<SettingEntry>> = runs
            .iter()
            .filter_map(|run| run.experiment.as_ref())
            .map(Experiment::entries)
            .collect();
        let Some((first, others)) = all.split_first() else { return Vec::new() };
        let differs = |&(row, entry): &(usize, &SettingEntry)| {
            others.is_empty() || others.iter().any(|other| other[row].value != entry.value)
        };
        first.iter().enumerate().filter(differs).map(|(_, entry)| entry.key).collect()
    }
}
