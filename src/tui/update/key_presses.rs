//! Which layer of the screen a key goes to: the popup, the inspector, the crosshair, or the key table.

use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::{crosshair, inspector, key_actions, popup_keys};
use crate::runs::event::NoticeLevel;
use crate::tui::key_table::{Action, BINDINGS, INSPECTOR_BINDINGS, action_of};
use crate::tui::messages_and_effects::Effect;
use crate::tui::state::App;

/// Handles a key.
pub fn on_key(app: &mut App, key: KeyEvent) -> Vec<Effect> {
    let action = action_of(BINDINGS, key);
    // Ctrl-C, Ctrl-L and Ctrl-Z work in every layer, so that nobody is stuck in a popup.
    let is_control = matches!(action, Some(Action::Redraw | Action::Suspend))
        || (action == Some(Action::Detach) && !key.modifiers.is_empty());
    if app.popup.is_some() && !is_control {
        return popup_keys::on_key(app, key);
    }
    dismiss_notice(app, key);
    let is_for_inspector = INSPECTOR_BINDINGS.iter().any(|row| row.code == key.code);
    if app.inspector.is_some() && is_for_inspector && !is_control {
        let action = action_of(INSPECTOR_BINDINGS, key);
        return action.map(|action| inspector::perform(app, action)).unwrap_or_default();
    }
    if crosshair::on_key(app, key) {
        return Vec::new();
    }
    action.map(|action| key_actions::perform(app, action)).unwrap_or_default()
}

/// Esc removes any notice, and every other key an answer, which was read by then. The help on the crosshair stays as long
/// as there is one.
fn dismiss_notice(app: &mut App, key: KeyEvent) {
    let is_answer = app.notice.as_ref().is_some_and(|notice| notice.level == NoticeLevel::Info);
    if key.code == KeyCode::Esc || is_answer && app.charts.crosshair.is_none() {
        app.notice = None;
    }
}
