//! What a run had to tell: its news over the end of its worker's log. The newest stands last.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph, Wrap};

use crate::console;
use crate::tui::state::app::App;
use crate::tui::words::{duration, lines_of};

/// Where news and log are drawn.
pub fn places(area: Rect) -> [Rect; 2] {
    Layout::vertical([Constraint::Percentage(45), Constraint::Min(0)]).areas(area)
}

/// States and notices, each with the time since the run began and the training step.
pub fn news(app: &App, frame: &mut Frame, area: Rect) {
    let entries = app.open_run.iter().flat_map(|open| {
        open.news.iter().map(|news| {
            let since = news.time_ms.saturating_sub(open.started_ms.unwrap_or(news.time_ms));
            let text = format!("{:>8}  step {}: {}", since_begun(since), news.step, news.text);
            (text, app.display.theme.notice(news.level))
        })
    });
    let entries: Vec<_> = entries.collect();
    list(
        app,
        frame,
        area,
        "news, by time since launch",
        "no news yet",
        &entries,
        app.cursors.news_back,
    );
}

fn since_begun(milliseconds: u64) -> String {
    duration(milliseconds as f64 / 1000.0)
}

/// The end of what the worker printed.
pub fn log(app: &App, frame: &mut Frame, area: Rect) {
    let entries: Vec<(String, Style)> = match app.open_run.as_ref().and_then(|run| run.log.as_ref())
    {
        Some(Ok(text)) => text.lines().map(|line| (line.to_owned(), Style::new())).collect(),
        Some(Err(problem)) => vec![(problem.clone(), app.display.theme.bad())],
        None => Vec::new(),
    };
    let none = "the log is empty: the worker had nothing to complain of";
    list(app, frame, area, "worker's log", none, &entries, app.cursors.log_back);
}

/// The last entries but the newest `back`, as many as fit.
fn list(
    app: &App,
    frame: &mut Frame,
    area: Rect,
    title: &str,
    none: &str,
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
        frame.render_widget(
            Paragraph::new(format!(" {none}")).style(app.display.theme.faint()),
            inner,
        );
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
        // Its beginning is better than nothing.
        shown.extend(entries[..end].last());
    }
    let lines = shown.into_iter().rev();
    // Control characters of a foreign log must not reach the terminal.
    let lines = lines.map(|(text, style)| Line::styled(console::line(text).into_owned(), *style));
    frame
        .render_widget(Paragraph::new(lines.collect::<Vec<_>>()).wrap(Wrap { trim: false }), inner);
}
