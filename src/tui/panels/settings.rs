//! The settings of the open run, with those that differ from the default in bold; or, beside marked runs, the settings that
//! differ between runs.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Wrap};

use crate::config::SettingEntry;
use crate::tui::chart_arithmetic::letter;
use crate::tui::number_and_text_format::{clipped, clipped_name, padded};
use crate::tui::state::{App, OpenRun};

/// Columns of a key, and of a value with an explanation beside it.
const KEY: usize = 28;
const VALUE: usize = 34;
/// Fewest and most columns of a value beside those of other runs.
const BESIDE: [usize; 2] = [8, 24];
/// Fewest columns of an explanation beside its value.
const DOC_MIN: usize = 40;
/// Lines of the explanation of a setting, or of an error.
pub const WORDS: u16 = 3;

/// Draws the list of settings, and the explanation of the selected one.
pub fn list(app: &App, frame: &mut Frame, area: Rect) {
    let runs = app.known_settings();
    let Some((_, entries)) = runs.first() else {
        frame.render_widget(Block::bordered().title(" settings "), area);
        return;
    };
    let room = usize::from(area.width).saturating_sub(KEY + 4);
    let shown = runs.len().min(room / (BESIDE[0] + 1)).max(1);
    let rows = app.listed_settings();
    let (title, head, lines) = match runs.len() {
        1 => {
            let title =
                " settings (bold: not the default; e edits, launches a new run) ".to_owned();
            (title, None, all(app, entries, room))
        }
        n => {
            let fit = if n == shown { String::new() } else { format!("({shown} of {n} fit) ") };
            let (head, lines) = differing(app, &runs[..shown], &rows, room);
            (format!("{TITLE} {fit}"), Some(head), lines)
        }
    };
    let block = Block::bordered().title(title);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let n_head = u16::from(head.is_some());
    let n_words = if inner.height > 6 { WORDS } else { 0 };
    let heights = [Constraint::Length(n_head), Constraint::Min(0), Constraint::Length(n_words)];
    let [head_place, list, words] = Layout::vertical(heights).areas(inner);
    frame.render_widget(Paragraph::new(head.unwrap_or_default()), head_place);
    if rows.is_empty() {
        let same = Line::styled(" all settings are the same", app.theme.faint());
        frame.render_widget(same, list);
        return;
    }
    let cursor = app.cursors.setting.min(rows.len() - 1);
    let first = (cursor + 1).saturating_sub(list.height.into());
    let lines = lines.into_iter().enumerate().skip(first).take(list.height.into());
    let lines = lines.map(|(index, line)| match index == cursor {
        true => line.style(app.theme.selected()),
        false => line,
    });
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), list);
    let entry = entries.iter().find(|entry| entry.key == rows[cursor]);
    let explained = Paragraph::new(entry.map_or(Line::default(), |entry| explained(app, entry)));
    frame.render_widget(explained.wrap(Wrap { trim: true }), words);
}

/// The explanation of a setting and its accepted values.
pub fn explained(app: &App, entry: &SettingEntry) -> Line<'static> {
    Line::styled(format!("{} ({})", entry.doc, entry.accepted), app.theme.faint())
}

/// A line per setting of one run.
fn all(app: &App, entries: &[SettingEntry], room: usize) -> Vec<Line<'static>> {
    let has_docs = room >= VALUE + 1 + DOC_MIN;
    let value_room = if has_docs { VALUE } else { room };
    let lines = entries.iter().map(|entry| {
        let style = if entry.is_default { app.theme.faint() } else { app.theme.strong() };
        let mut spans = vec![
            Span::raw(format!(" {:<KEY$} ", clipped(entry.key, KEY))),
            Span::styled(padded(&entry.value, value_room), style),
        ];
        if has_docs {
            let words = format!(" {}", clipped(entry.doc, room - VALUE - 1));
            spans.push(Span::styled(words, app.theme.faint()));
        }
        Line::from(spans)
    });
    lines.collect()
}

const TITLE: &str = " where the settings of marked runs differ";

/// The head, and a row per setting with a column per run.
fn differing(
    app: &App,
    runs: &[(&OpenRun, Vec<SettingEntry>)],
    rows: &[&str],
    room: usize,
) -> (Line<'static>, Vec<Line<'static>>) {
    let width = (room / runs.len()).saturating_sub(1).clamp(BESIDE[0], BESIDE[1]);
    let names = runs.iter().map(|(run, _)| {
        // The letter of its curve identifies a name that is cut.
        let letter = app.marked.iter().position(|marked| marked.id == run.id).map(letter);
        let letter = letter.map_or(String::new(), |letter| format!("{letter} "));
        let name = clipped_name(&run.id, width.saturating_sub(letter.len()));
        format!(" {}", padded(&(letter + &name), width))
    });
    let head = format!(" {:<KEY$}{}", "", names.collect::<String>());
    let line = |key: &&str| {
        let found = runs.iter().map(|(_, all)| all.iter().find(|entry| entry.key == *key));
        let values = found.map(|entry| entry.map_or("", |entry| entry.value.as_str()));
        let cells: String = values.map(|value| format!(" {}", padded(value, width))).collect();
        Line::raw(format!(" {:<KEY$}{cells}", clipped(key, KEY)))
    };
    (Line::styled(head, app.theme.strong()), rows.iter().map(line).collect())
}
