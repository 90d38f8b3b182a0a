//! The look inside one noise seed: which step and pixel is looked at, and the keys that move them.

use std::sync::Arc;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::app::App;
use super::keys::{Action, Binding};
use super::message::Effect;
use super::update::on_action;
use crate::evaluation::inspect::Trace;
use crate::evaluation::inspect::picture::At;
use crate::runs::event::NoticeLevel;

/// What is looked at.
#[derive(Debug)]
pub struct Look {
    pub run: String,
    pub seed: u64,
    /// Nothing while it is made, which takes seconds.
    pub trace: Option<Arc<Trace>>,
    pub at: At,
    /// First row and column of views on the screen.
    pub first_actor: usize,
    pub first_view: usize,
}

/// What a key does while looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookAction {
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

const fn key(
    code: KeyCode,
    action: LookAction,
    label: &'static str,
    help: &'static str,
    footer: &'static str,
) -> Binding<LookAction> {
    Binding { code, modifiers: KeyModifiers::NONE, action, label, help, footer }
}

/// Keys while looking inside.
pub const LOOK_BINDINGS: &[Binding<LookAction>] = &[
    key(KeyCode::Up, LookAction::Up, "Up", "the pixel above", ""),
    key(KeyCode::Char('k'), LookAction::Up, "k", "the same", ""),
    key(KeyCode::Down, LookAction::Down, "Down", "the pixel below", ""),
    key(KeyCode::Char('j'), LookAction::Down, "j", "the same", ""),
    key(KeyCode::Left, LookAction::Left, "Left", "the pixel on the left", ""),
    key(KeyCode::Char('h'), LookAction::Left, "h", "the same", ""),
    key(KeyCode::Right, LookAction::Right, "Right", "the pixel on the right", ""),
    key(KeyCode::Char('l'), LookAction::Right, "hjkl", "the same", "pixel"),
    key(
        KeyCode::Char('['),
        LookAction::Noisier,
        "[",
        "one step back, towards the noise",
        "noisier",
    ),
    key(KeyCode::Char(']'), LookAction::Cleaner, "]", "one step on, towards the sample", "cleaner"),
    key(KeyCode::Tab, LookAction::NextViews, "Tab", "further pictures of each row", "more"),
    key(KeyCode::PageDown, LookAction::NextActor, "PgDn", "further machines", "machines"),
    key(KeyCode::PageUp, LookAction::PreviousActor, "PgUp", "back to earlier ones", ""),
    key(
        KeyCode::Char('E'),
        LookAction::Export,
        "E",
        "export: the pixel as CSV and PNG, the way as PNG, screen as text",
        "export",
    ),
    key(KeyCode::Esc, LookAction::Close, "Esc", "back to the samples", "back"),
];

/// Opens the look inside the first seed on screen.
pub fn open(app: &mut App) -> Vec<Effect> {
    let Some(run) = app.watched.as_ref().map(|watched| watched.id.clone()) else {
        app.say(NoticeLevel::Warning, "there is no run on screen; n launches one");
        return Vec::new();
    };
    let first = app.watched.as_ref().and_then(|watched| watched.preview.as_ref());
    let seed = first.map_or(0, |shown| shown.preview.first_seed) + app.first_seed as u64;
    app.look = Some(Look {
        run: run.clone(),
        seed,
        trace: None,
        at: At { index: 0, pixel: (0, 0) },
        first_actor: 0,
        first_view: 0,
    });
    if !app.tracing.insert((run.clone(), seed)) {
        // Closed and opened again: what is under way will do.
        return Vec::new();
    }
    let may_compute = !app.read_only;
    vec![Effect::Trace { run, seed, may_compute }]
}

/// Takes in a trace, or why there is none.
pub fn take(app: &mut App, run: &str, seed: u64, trace: Result<Arc<Trace>, String>) {
    app.tracing.remove(&(run.to_owned(), seed));
    let Some(look) = app.look.as_mut().filter(|look| look.run == run && look.seed == seed) else {
        return;
    };
    match trace {
        Ok(trace) => {
            look.at = At {
                // Half way, where things are being decided.
                index: trace.n_steps() / 2,
                pixel: (trace.shape.height / 2, trace.shape.width / 2),
            };
            look.trace = Some(trace);
        }
        Err(problem) => {
            app.look = None;
            app.say(NoticeLevel::Error, problem);
        }
    }
}

/// A key while looking; nothing if it has no meaning there.
pub fn on_key(app: &mut App, key: KeyEvent) -> Vec<Effect> {
    let modifiers = key.modifiers.difference(KeyModifiers::SHIFT);
    let row = LOOK_BINDINGS.iter().find(|row| row.code == key.code && row.modifiers == modifiers);
    row.map(|row| act(app, row.action)).unwrap_or_default()
}

/// Does what a key asks for, if a seed is looked into.
pub fn act(app: &mut App, action: LookAction) -> Vec<Effect> {
    let Some(look) = app.look.as_mut() else { return Vec::new() };
    if action == LookAction::Close {
        app.look = None;
        return Vec::new();
    }
    let Some(trace) = &look.trace else { return Vec::new() };
    let (height, width) = (trace.shape.height, trace.shape.width);
    let (row, column) = &mut look.at.pixel;
    match action {
        LookAction::Up => *row = row.checked_sub(1).unwrap_or(height - 1),
        LookAction::Down => *row = (*row + 1) % height,
        LookAction::Left => *column = column.checked_sub(1).unwrap_or(width - 1),
        LookAction::Right => *column = (*column + 1) % width,
        LookAction::Noisier => look.at.index = (look.at.index + 1).min(trace.n_steps() - 1),
        LookAction::Cleaner => look.at.index = look.at.index.saturating_sub(1),
        LookAction::NextViews => {
            let most = trace.actors.iter().map(|actor| trace.views(actor).len()).max().unwrap_or(1);
            look.first_view = (look.first_view + 2) % most.max(1);
        }
        LookAction::NextActor => {
            look.first_actor = (look.first_actor + 1).min(trace.actors.len().saturating_sub(1));
        }
        LookAction::PreviousActor => look.first_actor = look.first_actor.saturating_sub(1),
        LookAction::Export => return on_action(app, Action::Export),
        LookAction::Close => {}
    }
    Vec::new()
}
