//! The key table of the dashboard. Dispatch, help, palette and footer are all read from it.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::tab::{TABS, Tab, TabRow};

/// What a key does. The palette lists actions under the names of these variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Help,
    Palette,
    Filter,
    Order,
    Mark,
    NextTab,
    PreviousTab,
    Tab(Tab),
    Up,
    Down,
    Left,
    Right,
    Launch,
    Edit,
    Pause,
    Stop,
    Kill,
    Resume,
    Take,
    Sample,
    SampleChosen,
    Describe,
    Rename,
    Delete,
    LogScale,
    ZoomIn,
    ZoomOut,
    ZoomAll,
    AsMap,
    Quantity,
    Crosshair,
    Dots,
    Export,
    Smoothing,
    Expand,
    Images,
    Mouse,
    Older,
    Newer,
    Follow,
    Log,
    Look,
    Redraw,
    Suspend,
    Detach,
}

impl Action {
    /// Whether it changes a run or launches one; a read-only dashboard refuses such actions.
    pub fn steers(self) -> bool {
        matches!(
            self,
            Self::Launch
                | Self::Edit
                | Self::Pause
                | Self::Stop
                | Self::Kill
                | Self::Resume
                | Self::Take
                | Self::Sample
                | Self::SampleChosen
                | Self::Describe
                | Self::Rename
                | Self::Delete
        )
    }
}

/// One row of a table of keys.
#[derive(Clone, Copy, Debug)]
pub struct Binding<A> {
    pub code: KeyCode,
    pub modifiers: KeyModifiers,
    pub action: A,
    /// How the key is written in the help and the footer.
    pub label: &'static str,
    pub help: &'static str,
    /// One word for the footer; empty for keys that only the help overlay lists.
    pub footer: &'static str,
}

const fn key(
    code: KeyCode,
    action: Action,
    label: &'static str,
    help: &'static str,
    footer: &'static str,
) -> Binding<Action> {
    Binding { code, modifiers: KeyModifiers::NONE, action, label, help, footer }
}

const fn control(
    letter: char,
    action: Action,
    label: &'static str,
    help: &'static str,
) -> Binding<Action> {
    Binding {
        code: KeyCode::Char(letter),
        modifiers: KeyModifiers::CONTROL,
        action,
        label,
        help,
        footer: "",
    }
}

const fn tab_key(row: &TabRow) -> Binding<Action> {
    let digit = row.key.as_bytes()[0] as char;
    key(KeyCode::Char(digit), Action::Tab(row.tab), row.key, row.help, "")
}

/// The keys outside popups.
pub const BINDINGS: &[Binding<Action>] = &[
    key(KeyCode::Char('?'), Action::Help, "?", "this list", "help"),
    key(
        KeyCode::Char(':'),
        Action::Palette,
        ":",
        "everything by name: actions, runs, experiments",
        "",
    ),
    key(KeyCode::Char('n'), Action::Launch, "n", "launch an experiment", "launch"),
    key(
        KeyCode::Char('p'),
        Action::Pause,
        "p",
        "pause the run, or let a paused or queued one go on",
        "pause",
    ),
    key(KeyCode::Char('s'), Action::Sample, "s", "make a preview now", "sample"),
    key(
        KeyCode::Char('S'),
        Action::SampleChosen,
        "S",
        "make a preview of chosen seeds, in chosen sampling steps",
        "",
    ),
    key(KeyCode::Char('x'), Action::Stop, "x", "checkpoint and stop the run (asks first)", "stop"),
    key(
        KeyCode::Char('r'),
        Action::Resume,
        "r",
        "new worker on a stopped, failed or lost run; a paused one goes on",
        "resume",
    ),
    key(
        KeyCode::Char('e'),
        Action::Edit,
        "e",
        "edit the run's settings and launch them as a new run",
        "edit",
    ),
    key(KeyCode::Char('X'), Action::Kill, "X", "kill the worker (asks for the run's name)", ""),
    key(
        KeyCode::Char('T'),
        Action::Take,
        "T",
        "take control of the run from whoever steers it, or give it back",
        "",
    ),
    key(KeyCode::Char('a'), Action::Describe, "a", "write a note and tags to the run", ""),
    key(KeyCode::Char('R'), Action::Rename, "R", "give the run another name", ""),
    key(KeyCode::Char('D'), Action::Delete, "D", "delete the run (asks for its name)", ""),
    key(
        KeyCode::Char(' '),
        Action::Mark,
        "Space",
        "mark the run: curves of marked runs are drawn together",
        "mark",
    ),
    key(KeyCode::Char('/'), Action::Filter, "/", "list only runs with these words", "filter"),
    key(KeyCode::Char('o'), Action::Order, "o", "other order of the list", ""),
    key(
        KeyCode::Tab,
        Action::NextTab,
        "Tab",
        "the next panel on the screen, or the next tab",
        "next",
    ),
    key(KeyCode::BackTab, Action::PreviousTab, "S-Tab", "the panel or tab before", ""),
    tab_key(&TABS[0]),
    tab_key(&TABS[1]),
    tab_key(&TABS[2]),
    tab_key(&TABS[3]),
    tab_key(&TABS[4]),
    tab_key(&TABS[5]),
    key(KeyCode::Up, Action::Up, "Up", "previous run, setting or seed; older news", ""),
    key(KeyCode::Char('k'), Action::Up, "k", "the same", ""),
    key(KeyCode::Down, Action::Down, "Down", "next run, setting or seed; newer news", ""),
    key(KeyCode::Char('j'), Action::Down, "j", "the same", ""),
    key(
        KeyCode::Left,
        Action::Left,
        "Left",
        "earlier columns of samples, earlier part of charts",
        "",
    ),
    key(KeyCode::Char('h'), Action::Left, "h", "the same", ""),
    key(
        KeyCode::Right,
        Action::Right,
        "Right",
        "later columns of samples, later part of charts",
        "",
    ),
    key(KeyCode::Char('l'), Action::Right, "l", "the same", ""),
    key(KeyCode::Char('['), Action::Older, "[", "older preview", ""),
    key(KeyCode::Char(']'), Action::Newer, "]", "newer preview", ""),
    key(KeyCode::Char('f'), Action::Follow, "f", "follow the newest preview", ""),
    key(
        KeyCode::Enter,
        Action::Look,
        "Enter",
        "look inside the first seed: attention and provenance of any pixel",
        "inside",
    ),
    key(
        KeyCode::Char('+'),
        Action::ZoomIn,
        "+",
        "charts: half as many steps, at the newest end",
        "",
    ),
    key(KeyCode::Char('-'), Action::ZoomOut, "-", "charts: twice as many steps", ""),
    key(KeyCode::Char('0'), Action::ZoomAll, "0", "charts: all steps", ""),
    key(
        KeyCode::Char('y'),
        Action::LogScale,
        "y",
        "logarithmic axis of losses, gradients and rates",
        "",
    ),
    key(
        KeyCode::Char('v'),
        Action::AsMap,
        "v",
        "entropy as curves, or as a map over steps and t, theory's beside",
        "",
    ),
    key(KeyCode::Char('m'), Action::Smoothing, "m", "more or less smoothing of noisy curves", ""),
    key(
        KeyCode::Char('g'),
        Action::Quantity,
        "g",
        "charts: the next quantity (loss, gradient, rates, agreement, ...)",
        "",
    ),
    key(
        KeyCode::Char('c'),
        Action::Crosshair,
        "c",
        "charts: crosshair; Left, Right, H, L move it; again: differences",
        "",
    ),
    key(
        KeyCode::Char('E'),
        Action::Export,
        "E",
        "export the tab: figures as CSV, pictures as PNG, screen as text",
        "",
    ),
    key(KeyCode::Char('b'), Action::Dots, "b", "charts of braille, blocks or dots", ""),
    key(KeyCode::Char('z'), Action::Expand, "z", "the panel alone, or the overview again", ""),
    key(KeyCode::Char('i'), Action::Images, "i", "next way of drawing images", ""),
    key(KeyCode::Char('M'), Action::Mouse, "M", "mouse on or off", ""),
    key(KeyCode::Char('L'), Action::Log, "L", "the worker's log", ""),
    control('l', Action::Redraw, "Ctrl-L", "draw the screen anew"),
    control('z', Action::Suspend, "Ctrl-Z", "stop the dashboard until the shell's fg; runs go on"),
    key(KeyCode::Char('q'), Action::Detach, "q", "leave; runs go on", "leave"),
    control('c', Action::Detach, "Ctrl-C", "the same"),
];

/// The action of a key in a key table, if it has one.
pub fn action_of<A: Copy>(bindings: &[Binding<A>], event: KeyEvent) -> Option<A> {
    // Shift is part of the character already.
    let modifiers = event.modifiers.difference(KeyModifiers::SHIFT);
    let row = bindings.iter().find(|row| row.code == event.code && row.modifiers == modifiers);
    row.map(|row| row.action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things() {
        for (i, row) in BINDINGS.iter().enumerate() {
            let twin =
                BINDINGS[..i].iter().find(|o| (o.code, o.modifiers) == (row.code, row.modifiers));
            assert!(twin.is_none(), "{} is bound twice", row.label);
        }
    }

    #[test]
    fn help_fits_a_screen_of_eighty_columns() {
        let inside = crate::tui::inspector_keys::INSPECTOR_BINDINGS.iter().map(|row| row.help);
        for help in BINDINGS.iter().map(|row| row.help).chain(inside) {
            assert!(help.len() <= 66, "{} columns: {help}", help.len());
        }
    }

    #[test]
    fn shifted_letters_are_found() {
        let event = KeyEvent::new(KeyCode::Char('X'), KeyModifiers::SHIFT);
        assert_eq!(action_of(BINDINGS, event), Some(Action::Kill));
        assert_eq!(action_of(BINDINGS, KeyEvent::from(KeyCode::F(12))), None);
    }
}
