//! The key table of the dashboard. Dispatch, help, palette and footer are all read from it.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::tabs::{TABS, Tab, TabRow};

/// What a key does. The palette lists actions under the names of these variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "kebab-case")]
pub enum Action {
    Help,
    Glossary,
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
    PageUp,
    PageDown,
    Launch,
    Edit,
    Pause,
    Stop,
    Kill,
    Resume,
    Take,
    Compare,
    Calibrate,
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
                | Self::Compare
                | Self::Calibrate
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

/// A row for a key that is not a character, or whose label is not that character.
pub const fn key<A: Copy>(
    code: KeyCode,
    action: A,
    label: &'static str,
    help: &'static str,
) -> Binding<A> {
    Binding { code, modifiers: KeyModifiers::NONE, action, label, help, footer: "" }
}

/// A row for the ASCII character that is its label.
pub const fn letter<A: Copy>(label: &'static str, action: A, help: &'static str) -> Binding<A> {
    key(KeyCode::Char(label.as_bytes()[0] as char), action, label, help)
}

impl<A: Copy> Binding<A> {
    /// The same row with a word in the footer.
    const fn footer(self, footer: &'static str) -> Self {
        Self { footer, ..self }
    }

    /// The same row for the key with Ctrl.
    const fn with_control(self) -> Self {
        Self { modifiers: KeyModifiers::CONTROL, ..self }
    }
}

const fn tab_key(row: &TabRow) -> Binding<Action> {
    letter(row.key, Action::Tab(row.tab), row.help)
}

/// The keys outside popups.
pub const BINDINGS: &[Binding<Action>] = {
    use Action::*;
    &[
        letter("?", Help, "this list").footer("help"),
        letter("G", Glossary, "what the words on the screen mean"),
        letter(":", Palette, "everything by name: actions, runs, experiments"),
        letter("n", Launch, "launch an experiment").footer("launch"),
        letter("p", Pause, "pause the run, or resume a paused or queued one").footer("pause"),
        letter("s", Sample, "make a preview now").footer("sample"),
        letter("S", SampleChosen, "make a preview of chosen seeds and sampling steps"),
        letter("C", Compare, "compare the network with the machines again: a new report"),
        letter("K", Calibrate, "calibrate the machines against the network again"),
        letter("x", Stop, "checkpoint and stop the run (asks first)").footer("stop"),
        letter("r", Resume, "resume the run (stopped, failed, lost or paused)").footer("resume"),
        letter("e", Edit, "edit the run's settings and launch them as a new run").footer("edit"),
        letter("X", Kill, "kill the worker (asks for the run's name)"),
        letter("T", Take, "take control of the run, or give it up"),
        letter("a", Describe, "edit the run's note and tags"),
        letter("R", Rename, "rename the run"),
        letter("D", Delete, "delete the run (asks for its name)"),
        key(
            KeyCode::Char(' '),
            Mark,
            "Space",
            "mark the run: curves of marked runs are drawn together",
        )
        .footer("mark"),
        letter("/", Filter, "filter the list of runs").footer("filter"),
        letter("o", Order, "change the sort order"),
        key(KeyCode::Tab, NextTab, "Tab", "next panel or tab").footer("next"),
        key(KeyCode::BackTab, PreviousTab, "S-Tab", "previous panel or tab"),
        tab_key(&TABS[0]),
        tab_key(&TABS[1]),
        tab_key(&TABS[2]),
        tab_key(&TABS[3]),
        tab_key(&TABS[4]),
        tab_key(&TABS[5]),
        tab_key(&TABS[6]),
        key(KeyCode::Up, Up, "Up", "previous run, setting or seed; older news"),
        letter("k", Up, "the same"),
        key(KeyCode::Down, Down, "Down", "next run, setting or seed; newer news"),
        letter("j", Down, "the same"),
        key(KeyCode::Left, Left, "Left", "earlier columns of samples, earlier part of charts"),
        letter("h", Left, "the same"),
        key(KeyCode::Right, Right, "Right", "later columns of samples, later part of charts"),
        letter("l", Right, "the same"),
        key(KeyCode::PageUp, PageUp, "PgUp", "ten runs, settings, seeds or lines back"),
        key(KeyCode::PageDown, PageDown, "PgDn", "ten runs, settings, seeds or lines on"),
        letter("[", Older, "older preview"),
        letter("]", Newer, "newer preview"),
        letter("f", Follow, "follow the newest preview"),
        key(
            KeyCode::Enter,
            Look,
            "Enter",
            "look inside the first seed: attention and provenance of any pixel",
        )
        .footer("inside"),
        letter("+", ZoomIn, "charts: half as many steps, at the newest end"),
        letter("-", ZoomOut, "charts: twice as many steps"),
        letter("0", ZoomAll, "charts: all steps"),
        letter("y", LogScale, "logarithmic axis of losses, gradients and rates"),
        letter("v", AsMap, "entropy as curves, or as a map next to theory's"),
        letter("m", Smoothing, "more or less smoothing of noisy curves"),
        letter("g", Quantity, "charts: the next quantity (loss, gradient, rates, agreement, ...)"),
        letter("c", Crosshair, "charts: crosshair; Left, Right, H, L move it; again: differences"),
        letter("E", Export, "export the tab: figures as CSV, pictures as PNG, screen as text"),
        letter("b", Dots, "charts in braille, blocks or dots"),
        letter("z", Expand, "overview: the focused panel alone, or all panels again"),
        letter("i", Images, "next image protocol"),
        letter("M", Mouse, "mouse on or off"),
        letter("L", Log, "the worker's log"),
        key(KeyCode::Char('l'), Redraw, "Ctrl-L", "redraw the screen").with_control(),
        key(
            KeyCode::Char('z'),
            Suspend,
            "Ctrl-Z",
            "suspend the dashboard (fg resumes it); runs continue",
        )
        .with_control(),
        letter("q", Detach, "quit the dashboard; runs continue").footer("leave"),
        key(KeyCode::Char('c'), Detach, "Ctrl-C", "the same").with_control(),
    ]
};

/// What a key does in the inspector. The palette lists actions under the names of these variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "kebab-case")]
pub enum InspectorAction {
    Up,
    Down,
    Left,
    Right,
    Noisier,
    Cleaner,
    NextViews,
    NextActor,
    PreviousActor,
    Export,
    Close,
}

/// The keys of the inspector; other keys keep their usual meaning.
pub const INSPECTOR_BINDINGS: &[Binding<InspectorAction>] = {
    use InspectorAction::*;
    &[
        key(KeyCode::Up, Up, "Up", "the pixel above"),
        letter("k", Up, "the same"),
        key(KeyCode::Down, Down, "Down", "the pixel below"),
        letter("j", Down, "the same"),
        key(KeyCode::Left, Left, "Left", "the pixel on the left"),
        letter("h", Left, "the same"),
        key(KeyCode::Right, Right, "Right", "the pixel on the right"),
        key(KeyCode::Char('l'), Right, "hjkl", "the same").footer("pixel"),
        letter("[", Noisier, "previous sampling step (noisier)").footer("noisier"),
        letter("]", Cleaner, "next sampling step (cleaner)").footer("cleaner"),
        key(KeyCode::Tab, NextViews, "Tab", "more pictures of each row").footer("more"),
        key(KeyCode::PageDown, NextActor, "PgDn", "more machines").footer("machines"),
        key(KeyCode::PageUp, PreviousActor, "PgUp", "previous machines"),
        letter("E", Export, "export: pixel as CSV and PNG, all steps as PNG, screen as text")
            .footer("export"),
        key(KeyCode::Esc, Close, "Esc", "back to the samples").footer("back"),
    ]
};

/// The action of a key in a key table, if it has one.
pub fn action_of<A: Copy>(bindings: &[Binding<A>], event: KeyEvent) -> Option<A> {
    // Shift is part of the character already.
    let modifiers = event.modifiers.difference(KeyModifiers::SHIFT);
    let row = bindings.iter().find(|row| row.code == event.code && row.modifiers == modifiers);
    row.map(|row| row.action)
}

/// The position after a key that moves; `None` for other keys. The caller bounds it by the length of the list.
pub fn moved(code: KeyCode, position: usize) -> Option<usize> {
    match code {
        KeyCode::Down | KeyCode::Char('j') => Some(position + 1),
        KeyCode::Up | KeyCode::Char('k') => Some(position.saturating_sub(1)),
        KeyCode::PageDown | KeyCode::Char(' ') => Some(position + 10),
        KeyCode::PageUp => Some(position.saturating_sub(10)),
        _ => None,
    }
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
        let inside = INSPECTOR_BINDINGS.iter().map(|row| row.help);
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
