//! Actions on the open run, or a warning if there is none.

use crate::tui::messages_and_effects::{Effect, RunEffect};
use crate::tui::state::{App, Notice};

/// The warning when an action needs a run and none is open.
pub const NO_OPEN_RUN: &str = "there is no run on screen; n launches one";

/// Shows a warning, without any effect.
pub fn warn(app: &mut App, words: &str) -> Vec<Effect> {
    app.notify(Notice::warning(words));
    Vec::new()
}

/// The effect on the open run, or a warning that no run is open.
pub fn on_open_run(app: &mut App, effect: RunEffect) -> Vec<Effect> {
    let Some(run) = app.open_summary() else { return warn(app, NO_OPEN_RUN) };
    vec![Effect::OnRun(run.id.clone(), effect)]
}
