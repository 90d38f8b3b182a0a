//! Exports what is on screen.

use super::steering::warn;
use crate::tui::export::contents::collect;
use crate::tui::message::Effect;
use crate::tui::state::App;

/// Exports the tab or the inspector on screen, or warns that it is empty.
pub fn export(app: &mut App) -> Vec<Effect> {
    match collect(app) {
        Some(export) => vec![Effect::Export(Box::new(export))],
        None => warn(app, "there is nothing here yet to export"),
    }
}
