//! The list of runs, and facts on the open run.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Wrap};

use crate::analysis::agreement::Agreement;
use crate::analysis::confidence_intervals::quartiles;
use crate::config::enum_settings::ArchitectureKind;
use crate::console;
use crate::evaluation::report::written_report::{MachineAgreement, WrittenReport};
use crate::runs::alive_silent_or_lost::Health;
use crate::runs::event::{RATES_MIN, Rate, Rates};
use crate::runs::listed_run_state::ListedState;
use crate::runs::run_toml::Origin;
use crate::runs::runs_dir::RunSummary;
use crate::runs::status_json::RunState;
use crate::tui::chart_arithmetic::letter;
use crate::tui::number_and_text_format::{clipped, clipped_name, columns, duration, number};
use crate::tui::state::{App, OpenRun};

/// Draws the list of runs.
pub fn list(app: &App, frame: &mut Frame, area: Rect) {
    let rows = usize::from(area.height.saturating_sub(2));
    let width = usize::from(area.width.saturating_sub(2));
    let first = first_row(app, rows);
    let has_columns = width >= COLUMNS_FROM;
    let line = |(index, run): (usize, &RunSummary)| {
        let state = run.listed_state();
        let figures = if has_columns { figures(run) } else { String::new() };
        let moving = run.status.as_ref().filter(|s| !has_columns && !s.state.is_over());
        let share = moving.map_or(String::new(), |s| {
            format!(" {:.0}%", 100.0 * s.step as f64 / s.steps.max(1) as f64)
        });
        let tags: String = run.about.tags.iter().map(|tag| format!(" #{tag}")).collect();
        // The name takes at least half of the room; tags take the rest.
        let room = width.saturating_sub(4 + usize::from(!app.marked.is_empty()) + share.len());
        let room = room.saturating_sub(figures.len());
        let name = clipped_name(&run.id, room.saturating_sub(columns(&tags)).max(room / 2));
        let tags = clipped(&tags, room.saturating_sub(columns(&name)));
        let filling =
            if has_columns { room.saturating_sub(columns(&name) + columns(&tags)) } else { 0 };
        // The letter and colour of its curve.
        let marked = match app.marked.iter().position(|marked| marked.id == run.id) {
            Some(number) => Span::styled(letter(number).to_string(), app.theme.curve(number + 1)),
            None => Span::raw(" "),
        };
        let line = Line::from(vec![
            Span::styled(state_symbol(state), app.theme.listed_state(state)),
            marked,
            Span::raw(if app.marked.is_empty() { "" } else { " " }),
            Span::raw(name),
            Span::styled(share, app.theme.faint()),
            Span::styled(tags, app.theme.good()),
            Span::raw(" ".repeat(filling)),
            Span::styled(figures, app.theme.faint()),
        ]);
        if Some(index) == app.open_index() { line.style(app.theme.selected()) } else { line }
    };
    let shown = app.runs.listed();
    let n = shown.len();
    let lines: Vec<Line> = shown.into_iter().enumerate().skip(first).take(rows).map(line).collect();
    let title = match app.runs.filter.text() {
        "" => format!(" runs ({n}) "),
        filter => format!(" runs /{filter} ({n} of {}) ", app.runs.all.len()),
    };
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(title)), area);
}

/// Smallest width of the list at which it has columns of figures.
const COLUMNS_FROM: usize = 70;

/// State, step and loss of a run, in columns.
fn figures(run: &RunSummary) -> String {
    let status = run.status.as_ref();
    let step =
        status.map_or_else(String::new, |status| format!("{}/{}", status.step, status.steps));
    let loss = status.and_then(|status| status.loss).map_or_else(String::new, number);
    format!("  {:<9} {step:>15} {loss:>9}", run.listed_state().word())
}

/// Index of the first run on screen, such that the open run is among `rows` of them.
fn first_row(app: &App, rows: usize) -> usize {
    (app.open_index().unwrap_or(0) + 1).saturating_sub(rows)
}

/// The run in row `y` of the screen, for a list drawn into `area`.
pub fn row_at(app: &App, area: Rect, y: u16) -> Option<String> {
    let rows = usize::from(area.height.saturating_sub(2));
    let row = usize::from(y.checked_sub(area.y + 1)?);
    let shown = app.runs.listed();
    let run = shown.get(first_row(app, rows) + row).filter(|_| row < rows)?;
    Some(run.id.clone())
}

/// Smallest width at which names of machines fit behind three figures.
const NAMES_FROM: usize = 36;
/// Smallest width at which results are drawn beside the settings, not below.
const BESIDE: u16 = 60;

/// Draws settings, agreement with machines, judged rates and news of the open run.
pub fn facts(app: &App, frame: &mut Frame, area: Rect) {
    let block = Block::bordered().title(" this run ");
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let Some(open) = &app.open_run else { return };
    let is_wide = inner.width >= BESIDE;
    let columns = match is_wide {
        true => [Constraint::Percentage(50), Constraint::Min(0)],
        false => [Constraint::Min(0), Constraint::Length(0)],
    };
    let [left, right] = Layout::horizontal(columns).areas(inner);
    let mut what = Vec::new();
    if let Some(about) =
        app.open_summary().map(|run| &run.about).filter(|about| !about.note.is_empty())
    {
        what.push(Line::raw(console::line(&about.note).into_owned()));
    }
    settings(open, pace(app), usize::from(left.width), &mut what);
    agreement(app, open, usize::from(left.width), &mut what);
    let mut found = Vec::new();
    match open.written_report() {
        Some(report) => result_rates(app, report, &mut found),
        None => {
            let last = open.preview_summaries.last();
            if let Some((step, Some(rates))) = last.map(|(step, one)| (step, one.judged_rates())) {
                found.push(heading(app, format!("judged at step {step}, n={}", rates.n_samples)));
                found.extend(rate_lines(rates));
            }
        }
    }
    notices(app, open, &mut found);
    let text = |lines| Paragraph::new::<Vec<Line>>(lines).wrap(Wrap { trim: false });
    if is_wide {
        frame.render_widget(text(found), right);
    } else {
        what.extend(found);
    }
    frame.render_widget(text(what), left);
}

fn heading(app: &App, text: String) -> Line<'static> {
    Line::styled(text, app.theme.strong())
}

/// Adds the most important settings and the pace. A pair that does not fit into one line takes two.
fn settings(
    open: &OpenRun,
    pace: Option<(String, String)>,
    width: usize,
    lines: &mut Vec<Line<'static>>,
) {
    let Some(experiment) = &open.experiment else { return };
    let network = &experiment.network;
    let (body, sizes) = match network.architecture {
        ArchitectureKind::UNet => ("unet".to_owned(), listed("widths", &network.widths)),
        ArchitectureKind::ResNet => {
            (format!("resnet {}", network.width), listed("kernels", &network.kernels))
        }
    };
    let (attention, heads) = match (network.attention.map(<&str>::from), network.heads) {
        (None, _) => ("no attention".to_owned(), String::new()),
        (Some(kind), 1) => (format!("{kind} attention"), "1 head".to_owned()),
        (Some(kind), n) => (format!("{kind} attention"), format!("{n} heads")),
    };
    let training = &experiment.training;
    let batch = format!("batch {}", training.batch);
    let n = experiment.dataset.n.map_or("all".to_owned(), |n| n.to_string());
    lines.push(Line::raw(format!("{} n={n}", experiment.dataset.kind)));
    let rate = format!("rate {}", number(training.learning_rate));
    let mut pairs = vec![(body, sizes), (attention, heads), (batch, rate)];
    match &open.origin {
        Origin::Trained => {}
        Origin::Imported(from) => {
            pairs[2] = (format!("weights of {}", file_name(&from.file)), String::new());
        }
        Origin::Recorded(directory) => {
            let name = file_name(&directory.to_string_lossy()).to_owned();
            pairs = vec![("no network".to_owned(), format!("arrays of {name}"))];
        }
    }
    for (one, other) in pairs.into_iter().chain(pace) {
        let both = format!("{one}, {other}");
        if other.is_empty() {
            lines.push(Line::raw(one));
        } else if columns(&both) <= width {
            lines.push(Line::raw(both));
        } else {
            lines.extend([Line::raw(one), Line::raw(format!("  {other}"))]);
        }
    }
}

/// The last part of a path.
fn file_name(path: &str) -> &str {
    path.rsplit('/').find(|part| !part.is_empty()).unwrap_or(path)
}

/// Steps per second and time left of a run that trains.
fn pace(app: &App) -> Option<(String, String)> {
    let run = app.open_summary().filter(|run| run.health == Health::Alive)?;
    let status = run.status.as_ref().filter(|status| status.state == RunState::Training)?;
    let left = status.eta_s.map_or(String::new(), |s| format!("{} left", duration(s)));
    Some((format!("{:.1} steps/s", status.steps_per_s), left))
}

fn listed(name: &str, values: &[usize]) -> String {
    let values: Vec<String> = values.iter().map(usize::to_string).collect();
    format!("{name} {}", values.join(" "))
}

/// Adds the median r, r^2 and R^2 of each machine with the network: those of the report, or of the newest preview.
fn agreement(app: &App, open: &OpenRun, width: usize, lines: &mut Vec<Line<'static>>) {
    let rows: Vec<(&str, [Option<f64>; 3])> = match (open.written_report(), &open.preview) {
        (Some(report), _) => {
            lines.push(heading(app, format!("results, {} seeds", report.n_seeds)));
            let row = |found: &'_ MachineAgreement| [found.r, found.r2, found.cod];
            report.agreement.iter().map(|found| (found.machine.as_str(), row(found))).collect()
        }
        (None, Some(shown)) => {
            let n = shown.preview.seeds.len();
            lines.push(heading(app, format!("preview, {n} seeds, step {}", shown.preview.step)));
            let median = |values: Vec<f64>| quartiles(&values).map(|found| found.median);
            let row = |found: &[Agreement]| {
                let of = |figure: fn(&Agreement) -> Option<f64>| {
                    median(found.iter().filter_map(figure).collect())
                };
                [of(|a| a.r), of(|a| a.r_squared), of(|a| a.cod)]
            };
            let machines = shown.preview.machines.iter().zip(&shown.agreement);
            machines.map(|((name, _), found)| (name.as_str(), row(found))).collect()
        }
        (None, None) => return,
    };
    // In a narrow panel names would be cut, and r^2 follows from r.
    let is_narrow = width < NAMES_FROM;
    let head = if is_narrow { "    r   R^2" } else { "    r   r^2   R^2" };
    lines.push(Line::styled(head, app.theme.faint()));
    for (name, [r, r2, cod]) in rows {
        let figure = |value: Option<f64>| value.map_or("    -".into(), |v| format!("{v:5.2}"));
        let shown = if is_narrow { vec![r, cod] } else { vec![r, r2, cod] };
        let figures: Vec<String> = shown.into_iter().map(figure).collect();
        let figures = figures.join(" ") + " ";
        let room = width.saturating_sub(figures.len());
        // If there is little room, the common prefix is left out first.
        let short = name.strip_prefix("attention-").filter(|_| columns(name) > room);
        lines.push(Line::raw(figures + &clipped(short.unwrap_or(name), room)));
    }
}

/// Adds whether the network is trained enough, and the network's judged rates, of the report.
fn result_rates(app: &App, report: &WrittenReport, lines: &mut Vec<Line<'static>>) {
    if let Some((floor, word)) = &report.convergence {
        lines.push(heading(app, format!("{word} (floor: {floor})")));
    }
    if let Some(judged) = report.rates.as_ref().filter(|judged| judged.n_samples >= RATES_MIN) {
        lines.push(heading(app, format!("its samples, n={}", judged.n_samples)));
        let shown = judged.rates.iter().filter(|(name, _)| name != "consistent_of_valid");
        lines.extend(shown.map(|(name, rate)| rate_line(name, *rate)));
    }
    lines.push(Line::styled("7: the whole report", app.theme.faint()));
}

/// A line per judged rate: name, value and confidence interval.
fn rate_lines(rates: &Rates) -> Vec<Line<'static>> {
    // The rate left out is in the report.
    let shown = rates.named().into_iter().filter(|(name, _)| *name != "consistent_of_valid");
    shown.map(|(name, rate)| rate_line(name, rate)).collect()
}

fn rate_line(name: &str, Rate { value, low, high }: Rate) -> Line<'static> {
    Line::raw(format!(
        "{:<10}{:4.0}% {:.0}-{:.0}",
        name.replace('_', " "),
        100.0 * value,
        100.0 * low,
        100.0 * high.min(1.0)
    ))
}

/// Adds the latest news.
fn notices(app: &App, open: &OpenRun, lines: &mut Vec<Line<'static>>) {
    if open.news.is_empty() {
        return;
    }
    lines.push(heading(app, "news".to_owned()));
    for news in open.news.iter().rev().take(12) {
        let text = format!("{}: {}", news.step, console::line(&news.text));
        lines.push(Line::styled(text, app.theme.notice(news.level)));
    }
}

/// A character that tells states apart without colour.
fn state_symbol(state: ListedState) -> &'static str {
    match state {
        ListedState::Training => "▶",
        ListedState::Comparing => "◆",
        ListedState::Queued => "⋯",
        ListedState::Paused => "‖",
        ListedState::Finished => "✓",
        ListedState::Stopped => "■",
        ListedState::Failed | ListedState::Lost => "✗",
        ListedState::Newer => "?",
        ListedState::Launching
        | ListedState::Checking
        | ListedState::Silent
        | ListedState::Starting => "…",
    }
}
