//! Why an action is refused: the dashboard is read-only (`attach --read-only`), or the run has no worker, or has one.

use crate::runs::alive_silent_or_lost::Health;
use crate::tui::key_table::Action;
use crate::tui::state::{App, Notice};

/// Why an action is refused at once, before anything is typed for it.
pub fn refusal(app: &App, action: Action) -> Option<Notice> {
    if app.read_only && action.steers() {
        let words = "this dashboard is read-only; start 'mosaic' without --read-only";
        return Some(Notice::warning(words));
    }
    let run = app.open_summary()?;
    let words = match (action, run.health) {
        (
            Action::Pause | Action::Stop | Action::Kill | Action::Take,
            Health::Over | Health::Lost,
        ) => {
            let advice = if app.is_available(Action::Resume) { "; r starts one" } else { "" };
            format!("{} has no worker{advice}", run.id)
        }
        (Action::Rename | Action::Delete, Health::Alive | Health::Silent) => {
            format!("{} has a worker; x stops it", run.id)
        }
        _ => return None,
    };
    Some(Notice::warning(words).about(&run.id))
}
