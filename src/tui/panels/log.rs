//! The log tab: the news of the open run, above the end of its worker's log. The newest line is the last.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph, Wrap};

use crate::console;
use crate::tui::number_and_text_format::{duration, lines_of};
use crate::tui::state::App;

/// The areas of news and log.
pub fn places(area: Rect) -> [Rect; 2] {
    Layout::vertical([Constraint::Percentage(45), Constraint::Min(0)]).areas(area)
}

/// Draws changes of state and notices, each with the time since launch and the training step.
pub fn news(app: &App, frame: &mut Frame, area: Rect) {
    let entries = app.open_run.iter().flat_map(|open| {
        open.news.iter().map(|news| {
            let since = news.time_ms.saturating_sub(open.started_ms.unwrap_or(news.time_ms));
            let text = format!(
                "{:>8}  step {}: {}",
                duration(since as f64 / 1000.0),
                news.step,
                news.text
            );
            (text, app.theme.notice(news.level))
        })
    });
    let entries: Vec<_> = entries.collect();
    let words = ["news, by time since launch", "no news yet"];
    list(app, frame, area, words, &entries, app.cursors.news_back);
}

/// Draws the end of the worker's log.
pub fn log(app: &App, frame: &mut Frame, area: Rect) {
    let entries: Vec<(String, Style)> = match app.open_run.as_ref().and_then(|run| run.log.as_ref())
    {
        Some(Ok(text)) => text.lines().map(|line| (line.to_owned(), Style::new())).collect(),
        Some(Err(problem)) => vec![(problem.clone(), app.theme.bad())],
        None => Vec::new(),
    };
    let words = ["worker's log", "the log is empty"];
    list(app, frame, area, words, &entries, app.cursors.log_back);
}

/// Draws as many entries as fit, without the newest `back`; `none` if there are no entries.
fn list(
    app: &App,
    frame: &mut Frame,
    area: Rect,
    [title, none]: [&str; 2],
    entries: &[(String, Style)],
    back: usize,
) {
    let title = match back.min(entries.len()) {
        0 => format!(" {title} "),
        back => format!(" {title} ({back} newer below) "),
    };
    let block = Block::bordered().title(title);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    if entries.is_empty() {
        frame.render_widget(Paragraph::new(format!(" {none}")).style(app.theme.faint()), inner);
        return;
    }
    let end = entries.len().saturating_sub(back).max(1);
    let mut left = usize::from(inner.height);
    let fits = |(text, _): &&(String, Style)| {
        let rest = left.checked_sub(lines_of(&console::line(text), inner.width.into()));
        left = rest.unwrap_or(0);
        rest.is_some()
    };
    let mut shown: Vec<_> = entries[..end].iter().rev().take_while(fits).collect();
    if shown.is_empty() {
        // The beginning of an entry is better than nothing.
        shown.extend(entries[..end].last());
    }
    let lines = shown.into_iter().rev();
    // Control characters of a log must not reach the terminal.
    let lines = lines.map(|(text, style)| Line::styled(console::line(text).into_owned(), *style));
    frame
        .render_widget(Paragraph::new(lines.collect::<Vec<_>>()).wrap(Wrap { trim: false }), inner);
}
