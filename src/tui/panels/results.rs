//! The results tab: the report of the open run, as text with its tables aligned.
//!
//! `report.md` is shown as it is, so that the dashboard cannot contradict it. Paragraphs are wrapped; tables are wider than
//! most screens and are moved sideways.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph, Wrap};

use crate::console;
use crate::evaluation::report::verdict_in_words::QUOTE;
use crate::evaluation::report::written_report::WrittenReport;
use crate::runs::alive_silent_or_lost::Health;
use crate::tui::number_and_text_format::{clipped, columns, padded, wrapped};
use crate::tui::state::App;

/// Draws the report of the open run, or why there is none.
pub fn panel(app: &App, frame: &mut Frame, area: Rect) {
    let report = app.open_run.as_ref().and_then(|run| run.report.as_ref());
    let (title, words) = match report {
        Some(Ok(report)) => return whole(app, report, frame, area),
        Some(Err(problem)) => (" results ", problem.clone()),
        None => (" results ", why_there_is_none(app)),
    };
    let style = if report.is_some() { app.theme.bad() } else { app.theme.faint() };
    let words = console::line(&words).into_owned();
    let words = Paragraph::new(words).style(style).wrap(Wrap { trim: true });
    frame.render_widget(words.block(Block::bordered().title(title)), area);
}

fn why_there_is_none(app: &App) -> String {
    match app.open_summary() {
        Some(run) if run.health == Health::Alive => {
            "no report yet: it is written when training is over".to_owned()
        }
        Some(run) => format!("no report: 'mosaic compare {}' writes one", run.id),
        None => "no run is open".to_owned(),
    }
}

fn whole(app: &App, report: &WrittenReport, frame: &mut Frame, area: Rect) {
    let [first, column] = app.cursors.report;
    let title =
        format!(" results: report at step {}, {} held-out seeds ", report.step, report.n_seeds);
    let block = Block::bordered().title(title);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let files = files(report, usize::from(inner.width));
    let heights = [Constraint::Min(0), Constraint::Length(files.len() as u16)];
    let [text, below] = Layout::vertical(heights).areas(inner);
    let files = files.into_iter().map(|line| Line::styled(line, app.theme.faint()));
    frame.render_widget(Paragraph::new(files.collect::<Vec<_>>()), below);
    let width = usize::from(text.width);
    // The two sentences scroll away with the first line of the report.
    let verdict = wrapped(&without_marks(&console::line(&report.verdict)), width);
    let verdict = verdict.into_iter().chain([String::new()]);
    let verdict = verdict.map(|text| Shown { text, kind: Kind::Heading, source: 0 });
    let lines = lines(&report.text, width, column);
    let lines = verdict.chain(lines.into_iter().filter(|line| !line.text.starts_with(QUOTE)));
    let shown = lines.skip_while(|line| line.source < first);
    let shown = shown.take(text.height.into()).map(|line| {
        let style = match line.kind {
            Kind::Heading => app.theme.strong(),
            Kind::Head => app.theme.faint(),
            Kind::Text => Style::new(),
        };
        Line::styled(line.text, style)
    });
    frame.render_widget(Paragraph::new(shown.collect::<Vec<_>>()), text);
}

/// Where the files are, in at most three lines.
fn files(report: &WrittenReport, width: usize) -> Vec<String> {
    let names = report.files.join(" ");
    let all = format!("in {}: {names}", report.folder.display());
    let mut lines = wrapped(&console::line(&all), width);
    lines.truncate(3);
    lines
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Heading,
    /// The head of a table.
    Head,
    Text,
}

/// A line on the screen.
#[derive(Debug, PartialEq)]
struct Shown {
    text: String,
    kind: Kind,
    /// Index of its line in the Markdown text.
    source: usize,
}

/// Lines of at most `width` columns; tables begin at their column `column`.
fn lines(markdown: &str, width: usize, column: usize) -> Vec<Shown> {
    let mut all = Vec::new();
    let mut table: Vec<(usize, Vec<String>)> = Vec::new();
    for (source, line) in markdown.lines().chain([""]).enumerate() {
        let line = console::line(line);
        if let Some(row) = line.strip_prefix('|') {
            let row = row.strip_suffix('|').unwrap_or(row);
            table.push((source, row.split('|').map(|cell| cell.trim().to_owned()).collect()));
            continue;
        }
        add_table(&table, width, column, &mut all);
        table.clear();
        let (text, kind) = match line.trim_start_matches('#') {
            text if text.len() < line.len() => (text.trim().to_owned(), Kind::Heading),
            text => (without_marks(text), Kind::Text),
        };
        let parts = if text.is_empty() { vec![String::new()] } else { wrapped(&text, width) };
        all.extend(parts.into_iter().map(|text| Shown { text, kind, source }));
    }
    all
}

/// The text without the marks of bold and code.
fn without_marks(text: &str) -> String {
    text.replace("**", "").replace('`', "")
}

/// Adds the rows of a table with aligned columns, but for the line of dashes under its head.
fn add_table(rows: &[(usize, Vec<String>)], width: usize, column: usize, all: &mut Vec<Shown>) {
    let n = rows.iter().map(|(_, row)| row.len()).max().unwrap_or(0);
    let cells = |row: &Vec<String>| row.iter().map(|cell| without_marks(cell)).collect();
    let rows: Vec<(usize, Vec<String>)> = rows.iter().map(|(at, row)| (*at, cells(row))).collect();
    let is_rule = |row: &[String]| row.iter().all(|cell| cell.chars().all(|c| "-: ".contains(c)));
    let widths: Vec<usize> = (0..n)
        .map(|index| {
            let of = |(_, row): &(usize, Vec<String>)| row.get(index).map_or(0, |c| columns(c));
            rows.iter().map(of).max().unwrap_or(0)
        })
        .collect();
    for (index, (source, row)) in rows.iter().enumerate() {
        if index == 1 && is_rule(row) {
            continue;
        }
        // The first column stays: it says what the row is about.
        let mut cells = row.iter().zip(&widths).map(|(cell, width)| padded(cell, *width));
        let first = cells.next().unwrap_or_default();
        let rest: String = cells.map(|cell| format!("  {cell}")).collect();
        let rest: String = rest.chars().skip(column).collect();
        let text = clipped(&format!("{first}{rest}"), width).trim_end().to_owned();
        let kind = if index == 0 { Kind::Head } else { Kind::Text };
        all.push(Shown { text, kind, source: *source });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_and_moved_sideways_and_text_is_wrapped() {
        let markdown = "# A `b`\n\nFour short words here.\n\n| machine | r | note |\n| --- | --- | --- |\n| els | 0.5 | **a** |\n| ideal | -0.25 | |\n";
        let texts = |width, column| -> Vec<String> {
            lines(markdown, width, column).into_iter().map(|line| line.text).collect()
        };
        assert_eq!(
            texts(40, 0),
            [
                "A `b`",
                "",
                "Four short words here.",
                "",
                "machine  r      note",
                "els      0.5    a",
                "ideal    -0.25",
                "",
            ]
        );
        assert_eq!(texts(40, 9)[4..7], ["machinenote", "els    a", "ideal"]);
        assert_eq!(texts(11, 0)[2..4], ["Four short", "words here."]);
        assert!(texts(12, 0).iter().all(|line| columns(line) <= 12));
        let found = lines(markdown, 40, 0);
        assert_eq!((found[0].kind, found[4].kind, found[5].source), (Kind::Heading, Kind::Head, 6));
    }
}
