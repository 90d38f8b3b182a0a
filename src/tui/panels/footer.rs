//! The last lines of the screen: a message, and the keys.

use ratatui::text::{Line, Span};

use crate::console;
use crate::runs::alive_silent_or_lost::Health;
use crate::runs::control_holder::Steering;
use crate::runs::event::NoticeLevel;
use crate::tui::key_table::{Action, BINDINGS, INSPECTOR_BINDINGS};
use crate::tui::number_and_text_format::lines_of;
use crate::tui::state::{App, Notice, Popup};

/// The filter while it is typed, the notice, or what the open run is busy with.
pub fn message(app: &App) -> Line<'static> {
    if app.popup == Some(Popup::Filter) {
        let words = "   Enter keeps, Esc lists all";
        let style = app.theme.strong();
        let mut spans = vec![Span::styled(" /", style)];
        spans.extend(app.runs.filter.spans(FILTER_COLUMNS, style));
        spans.push(Span::styled(words, app.theme.faint()));
        return Line::from(spans);
    }
    let of_run = run_message(app);
    let (of_run, faint) = (console::line(&of_run), app.theme.faint());
    let Some(Notice { level, text, .. }) = &app.notice else {
        return Line::styled(format!(" {of_run}"), faint);
    };
    let answer = format!(" {}", console::line(text));
    let mut spans = vec![Span::styled(answer, app.theme.notice(*level))];
    // An answer to a key does not hide what the run is busy with.
    if *level == NoticeLevel::Info && !of_run.is_empty() {
        spans.push(Span::styled(format!("  {of_run}"), faint));
    }
    Line::from(spans)
}

/// Columns of the filter, while it is typed.
const FILTER_COLUMNS: usize = 48;

/// Most lines of a notice.
const MESSAGE_LINES_MAX: u16 = 3;

/// The lines that the message takes: one, unless a notice needs more.
pub fn message_lines(app: &App, message: &Line<'_>, width: u16) -> u16 {
    if app.notice.is_none() || app.popup == Some(Popup::Filter) || width == 0 {
        return 1;
    }
    (lines_of(&message.to_string(), width.into()) as u16).clamp(1, MESSAGE_LINES_MAX)
}

/// What the open run is busy with, an error, and who steers it; empty if there is nothing to say.
fn run_message(app: &App) -> String {
    let Some(run) = app.open_summary() else { return String::new() };
    let holder = match &run.steering {
        Steering::Theirs(name) if matches!(run.health, Health::Alive | Health::Silent) => {
            let advice = if app.read_only { "" } else { "; T takes it" };
            Some(format!("{name} has control of this run{advice}"))
        }
        _ => None,
    };
    let newer = run.newer.as_ref().map(|newer| format!("this run cannot be read: {newer}"));
    let message = run.status.as_ref().and_then(|status| status.message.clone());
    let words: Vec<String> = [newer, message, holder].into_iter().flatten().collect();
    words.join("; ")
}

/// The line at the bottom: the most important keys that do something now, as many as fit, and the key that leaves. A popup
/// has its own keys.
pub fn footer(app: &App, width: u16) -> Line<'static> {
    if let Some(keys) = app.popup.as_ref().and_then(popup_keys) {
        return Line::styled(format!(" {keys}"), app.theme.faint());
    }
    let inspector = app.inspector.as_ref().map_or(&[][..], |_| INSPECTOR_BINDINGS);
    let inspecting = inspector.iter().map(|row| (row.label, row.footer));
    let usual = BINDINGS.iter().filter(|row| {
        app.is_available(row.action) && (app.inspector.is_none() || row.label == "?")
    });
    let usual = usual.map(|row| match row.action {
        Action::Pause if app.is_waiting() => (row.label, "go on"),
        _ => (row.label, row.footer),
    });
    let all = inspecting.chain(usual).filter(|(_, word)| !word.is_empty());
    let (last, all): (Vec<_>, Vec<_>) = all.partition(|(label, _)| *label == LEAVE);
    let length = |(label, word): &(&str, &str)| label.chars().count() + word.chars().count() + 4;
    let mut left = usize::from(width).saturating_sub(last.iter().map(length).sum());
    let fits = |key: &(&str, &str)| {
        let rest = left.checked_sub(length(key));
        left = rest.unwrap_or(0);
        rest.is_some()
    };
    let shown: Vec<_> = all.into_iter().take_while(fits).collect();
    let mut spans = Vec::new();
    for (label, word) in shown.into_iter().chain(last) {
        spans.push(Span::styled(format!(" {label} "), app.theme.selected()));
        spans.push(Span::raw(format!(" {word} ")));
    }
    Line::from(spans)
}

/// The key that leaves, which is always shown.
const LEAVE: &str = "q";

/// The keys of a popup; `None` if the usual keys are shown.
fn popup_keys(popup: &Popup) -> Option<&'static str> {
    Some(match popup {
        Popup::Filter => return None,
        Popup::Palette { .. } => "Up, Down choose   Tab completes   Enter does it   Esc closes",
        Popup::Glossary { .. } => "Up, Down, Space scroll   any other key closes",
        Popup::Help { .. } => "Up, Down, Space scroll   any other key closes",
        Popup::Launch(form) if form.is_typing => "Enter takes the seeds   Esc: a single run",
        Popup::Launch(_) => {
            "Up, Down   Enter starts   w queues   s training seeds   e edits   Esc closes"
        }
        Popup::ConfirmStop { .. } => "y, Enter stop it   any other key does not",
        Popup::ConfirmResume { .. } => "y, Enter lets it go on   any other key does not",
        Popup::Edit(form) if form.is_confirming => "y, Enter launch   w queue   any other key back",
        Popup::Edit(form) if form.typing.is_some() => {
            "Enter takes the value   arrows move   Ctrl-U empties   Esc leaves it"
        }
        Popup::Edit(_) => {
            "letters search   Up, Down choose   Enter edits   Ctrl-N launches   Esc closes"
        }
        Popup::Fields(_) => "Tab next field   Ctrl-U empties it   Enter does it   Esc closes",
    })
}
