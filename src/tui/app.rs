//! The state of the dashboard: what was read about runs, and where the user looks.

use super::link::RunRow;
use crate::lab::event::AttentionMetrics;

/// Points of history kept per curve; the oldest half is dropped beyond it.
pub const HISTORY_POINTS_MAX: usize = 200_000;

#[derive(Clone, Debug, Default, PartialEq)]
pub enum Popup {
    #[default]
    None,
    Help,
    Launch {
        cursor: usize,
    },
    ConfirmStop {
        run: String,
    },
}

#[derive(Clone, Debug, Default)]
pub struct App {
    pub runs: Vec<RunRow>,
    /// Id of the run on screen.
    pub selected: Option<String>,
    pub experiments: Vec<(String, String)>,
    /// (step, loss); NaN where the loss was not finite.
    pub loss: Vec<(f64, f64)>,
    pub attention: Vec<(f64, AttentionMetrics)>,
    /// r^2 medians of the latest preview, in words.
    pub agreement: Vec<(String, Option<f64>)>,
    pub log_scale: bool,
    pub smooth: bool,
    pub popup: Popup,
    pub said: String,
}

impl App {
    pub fn run(&self) -> Option<&RunRow> {
        self.runs.iter().find(|run| Some(&run.id) == self.selected.as_ref())
    }

    pub fn position(&self) -> Option<usize> {
        self.runs.iter().position(|run| Some(&run.id) == self.selected.as_ref())
    }

    pub fn select(&mut self, id: String) {
        if self.selected.as_ref() != Some(&id) {
            self.selected = Some(id);
            self.loss.clear();
            self.attention.clear();
            self.agreement.clear();
        }
    }
}
