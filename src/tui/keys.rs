//! The one table of keys: dispatch, the help overlay and the footer all read it.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Help,
    Launch,
    PauseResume,
    Sample,
    Stop,
    Restart,
    Next,
    Previous,
    LogScale,
    Smooth,
    Redraw,
    Detach,
}

/// A key, what it does, and the words for it.
pub struct Binding {
    pub codes: &'static [KeyCode],
    pub control: bool,
    pub label: &'static str,
    pub words: &'static str,
    pub action: Action,
}

const fn key(
    codes: &'static [KeyCode],
    label: &'static str,
    words: &'static str,
    action: Action,
) -> Binding {
    Binding { codes, control: false, label, words, action }
}

pub const BINDINGS: &[Binding] = &[
    key(&[KeyCode::Char('?')], "?", "help", Action::Help),
    key(&[KeyCode::Char('n')], "n", "launch", Action::Launch),
    key(&[KeyCode::Char('p')], "p", "pause/resume", Action::PauseResume),
    key(&[KeyCode::Char('s')], "s", "sample now", Action::Sample),
    key(&[KeyCode::Char('x')], "x", "stop", Action::Stop),
    key(&[KeyCode::Char('r')], "r", "resume lost/stopped", Action::Restart),
    key(&[KeyCode::Char('j'), KeyCode::Down], "j", "next run", Action::Next),
    key(&[KeyCode::Char('k'), KeyCode::Up], "k", "previous run", Action::Previous),
    key(&[KeyCode::Char('y')], "y", "log scale", Action::LogScale),
    key(&[KeyCode::Char('m')], "m", "smoothing", Action::Smooth),
    key(&[KeyCode::Char('q')], "q", "detach", Action::Detach),
    Binding {
        codes: &[KeyCode::Char('c')],
        control: true,
        label: "^C",
        words: "detach",
        action: Action::Detach,
    },
    Binding {
        codes: &[KeyCode::Char('l')],
        control: true,
        label: "^L",
        words: "redraw",
        action: Action::Redraw,
    },
];

pub fn action(event: KeyEvent) -> Option<Action> {
    let control = event.modifiers.contains(KeyModifiers::CONTROL);
    BINDINGS
        .iter()
        .find(|b| b.control == control && b.codes.contains(&event.code))
        .map(|b| b.action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_bound_twice() {
        let all: Vec<_> =
            BINDINGS.iter().flat_map(|b| b.codes.iter().map(|c| (b.control, *c))).collect();
        for (i, one) in all.iter().enumerate() {
            assert!(!all[i + 1..].contains(one), "{one:?} is bound twice");
        }
    }
}
