//! The list of runs, and what is known of the one on screen.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Wrap};

use crate::analysis::summary::quartiles;
use crate::lab::event::{Rate, Rates};
use crate::tui::app::{App, Watched};
use crate::tui::words::{clipped, clipped_name, columns, mark, number, run_state};

pub fn list(app: &App, frame: &mut Frame, area: Rect) {
    let rows = usize::from(area.height.saturating_sub(2));
    let width = usize::from(area.width.saturating_sub(2));
    let first = first_row(app, rows);
    let line = |(index, run): (usize, &crate::lab::run_dir::RunSummary)| {
        let state = run_state(run);
        let share = run.status.as_ref().filter(|s| !s.state.is_over()).map_or(String::new(), |s| {
            format!(" {:.0}%", 100.0 * s.step as f64 / s.steps.max(1) as f64)
        });
        let tags: String = run.about.tags.iter().map(|tag| format!(" #{tag}")).collect();
        // Half of what is left beside the state is the name's; tags may have the rest.
        let room = width.saturating_sub(4 + share.len());
        let name = clipped_name(&run.id, room.saturating_sub(columns(&tags)).max(room / 2));
        let tags = clipped(&tags, room.saturating_sub(columns(&name)));
        // A star, in the colour of its curve.
        let marked = match app.marked.iter().position(|marked| marked.id == run.id) {
            Some(number) => Span::styled("*", app.theme.curve(number + 1)),
            None => Span::raw(" "),
        };
        let line = Line::from(vec![
            Span::styled(mark(run), app.theme.state(state)),
            marked,
            Span::raw(name),
            Span::styled(share, app.theme.faint()),
            Span::styled(tags, app.theme.good()),
        ]);
        if Some(index) == app.position() { line.style(app.theme.selected()) } else { line }
    };
    let shown = app.shown();
    let n = shown.len();
    let lines: Vec<Line> = shown.into_iter().enumerate().skip(first).take(rows).map(line).collect();
    let title = match app.filter.as_str() {
        "" => format!(" runs ({n}) "),
        filter => format!(" runs /{filter} ({n} of {}) ", app.runs.len()),
    };
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(title)), area);
}

/// The first run that is listed, so that the one on screen is among `rows` of them.
fn first_row(app: &App, rows: usize) -> usize {
    (app.position().unwrap_or(0) + 1).saturating_sub(rows)
}

/// The run in line `y` of the screen, of a list drawn into `area`.
pub fn row_at(app: &App, area: Rect, y: u16) -> Option<String> {
    let rows = usize::from(area.height.saturating_sub(2));
    let row = usize::from(y.checked_sub(area.y + 1)?);
    let shown = app.shown();
    let run = shown.get(first_row(app, rows) + row).filter(|_| row < rows)?;
    Some(run.id.clone())
}

pub fn facts(app: &App, frame: &mut Frame, area: Rect) {
    let block = Block::bordered().title(" this run ");
    let Some(watched) = &app.watched else {
        frame.render_widget(block, area);
        return;
    };
    let mut lines = Vec::new();
    if let Some(about) = app.run().map(|run| &run.about).filter(|about| !about.note.is_empty()) {
        lines.push(Line::raw(about.note.clone()));
    }
    settings(watched, &mut lines);
    agreement(app, watched, &mut lines);
    if let Some((step, Some(rates))) =
        watched.summaries.last().map(|(step, summary)| (step, summary.rates.as_ref()))
    {
        lines.push(heading(app, format!("judged at step {step}, n = {}", rates.n_samples)));
        lines.extend(rate_lines(rates));
    }
    notices(app, watched, &mut lines);
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }).block(block), area);
}

fn heading(app: &App, text: String) -> Line<'static> {
    Line::styled(text, app.theme.strong())
}

/// The few settings that say what this run is.
fn settings(watched: &Watched, lines: &mut Vec<Line<'static>>) {
    let Some(experiment) = &watched.experiment else { return };
    let network = &experiment.network;
    let body = match network.body.as_str() {
        "unet" => format!("unet {:?}", network.widths),
        _ => format!("resnet {} x {:?}", network.width, network.kernels),
    };
    let heads = if network.attention == "none" {
        "no attention".to_owned()
    } else {
        format!("{} attention, {} heads", network.attention, network.heads)
    };
    lines.push(Line::raw(format!("{} n={}", experiment.dataset.kind, experiment.dataset.n)));
    lines.push(Line::raw(body));
    lines.push(Line::raw(heads));
    lines.push(Line::raw(format!(
        "batch {}, rate {}",
        experiment.training.batch,
        number(experiment.training.rate)
    )));
}

fn agreement(app: &App, watched: &Watched, lines: &mut Vec<Line<'static>>) {
    let Some(shown) = &watched.preview else { return };
    lines.push(heading(app, format!("r^2 | R^2, step {}", shown.preview.step)));
    for ((name, _), found) in shown.preview.machines.iter().zip(&shown.agreement) {
        let median = |values: Vec<f64>| {
            quartiles(&values).map_or("  -".into(), |q| format!("{:5.2}", q.median))
        };
        let squares = median(found.iter().filter_map(|a| a.r_squared).collect());
        let cods = median(found.iter().filter_map(|a| a.cod).collect());
        lines.push(Line::raw(format!("{squares} {cods} {name}")));
    }
}

pub fn rate_lines(rates: &Rates) -> Vec<Line<'static>> {
    let line = |(name, rate): (&str, Rate)| {
        let Rate { value, low, high } = rate;
        Line::raw(format!(
            "{:<11}{:3.0}% [{:.0}-{:.0}]",
            name.replace('_', " "),
            100.0 * value,
            100.0 * low,
            100.0 * high.min(1.0)
        ))
    };
    // What is left out is in the report.
    rates.named().into_iter().filter(|(name, _)| *name != "consistent_of_valid").map(line).collect()
}

fn notices(app: &App, watched: &Watched, lines: &mut Vec<Line<'static>>) {
    if watched.notices.is_empty() {
        return;
    }
    lines.push(heading(app, "news".to_owned()));
    for (step, level, text) in watched.notices.iter().rev().take(12) {
        lines.push(Line::styled(format!("{step}: {text}"), app.theme.notice(*level)));
    }
}
