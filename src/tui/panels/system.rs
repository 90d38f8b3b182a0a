//! The load of this computer: one line near the bottom of the screen, and a tab with the last minutes.
//!
//! Unknown figures are shown as `n/a`, or explained in words.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Sparkline};

use crate::hardware::system_load::{Gpu, Reading, Used, WorkerUse};
use crate::tui::number_and_text_format::{bytes, clipped};
use crate::tui::state::App;
use crate::tui::state::terminal_display::Output;

/// Free space below which the disk is marked: room for a few checkpoints and previews.
const LOW_DISK_BYTES: u64 = 2 << 30;
/// Used share above which memory or disk is marked.
const FULL: f64 = 0.95;
/// Columns of a bar.
const BAR: usize = 16;

/// One measured figure.
struct Row {
    name: String,
    /// Used share, in [0, 1].
    share: Option<f64>,
    words: String,
    /// The text in the line near the bottom of the screen.
    short: String,
    is_low: bool,
}

/// The figures in one line, as many as fit as a whole.
pub fn strip(app: &App, width: u16) -> Line<'static> {
    let Some(reading) = app.readings.last() else { return Line::default() };
    let mut spans = Vec::new();
    let mut used = 0;
    for row in rows(reading) {
        let text = format!(" {} ", row.short);
        let n = text.chars().count() + usize::from(!spans.is_empty());
        if used + n > usize::from(width) {
            break;
        }
        used += n;
        if !spans.is_empty() {
            spans.push(Span::styled("│", app.theme.faint()));
        }
        spans.push(Span::styled(text, style(app, &row)));
    }
    Line::from(spans)
}

fn style(app: &App, row: &Row) -> Style {
    if row.is_low { app.theme.warning() } else { app.theme.faint() }
}

/// Draws the tab.
pub fn panel(app: &App, frame: &mut Frame, area: Rect) {
    let block = Block::bordered().title(" machine ");
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let Some(reading) = app.readings.last() else {
        frame.render_widget(Paragraph::new("not looked at yet").style(app.theme.faint()), inner);
        return;
    };
    let mut rows = rows(reading);
    rows.extend(screen(app.display.output));
    let lines: Vec<Line> = rows.iter().map(|row| line(app, row)).collect();
    let heights = [Constraint::Length(lines.len() as u16 + 1), Constraint::Min(0)];
    let [figures, past] = Layout::vertical(heights).areas(inner);
    frame.render_widget(Paragraph::new(lines), figures);
    history(app, frame, past);
}

fn line(app: &App, row: &Row) -> Line<'static> {
    let style = if row.is_low { app.theme.warning() } else { Style::new() };
    let bar = match row.share {
        Some(share) => {
            let full = (share.clamp(0.0, 1.0) * BAR as f64).round() as usize;
            format!("{}{}", "█".repeat(full), "░".repeat(BAR - full))
        }
        None => " ".repeat(BAR),
    };
    Line::from(vec![
        Span::styled(format!(" {:<12} ", clipped(&row.name, 12)), app.theme.strong()),
        Span::styled(bar, style),
        Span::styled(format!("  {}", row.words), style),
    ])
}

/// Draws the figures of the last minutes, newest on the right.
fn history(app: &App, frame: &mut Frame, area: Rect) {
    type Figure = fn(&Reading) -> Option<f64>;
    let gpu: Figure = |reading| reading.gpus.as_ref().ok()?.first()?.percent;
    let cpu: Figure = |reading| reading.cpu_percent;
    let has_gpu = app.readings.iter().any(|reading| gpu(reading).is_some());
    let shown: Vec<(&str, Figure)> = match has_gpu {
        true => vec![("processors", cpu), ("first GPU", gpu)],
        false => vec![("processors", cpu)],
    };
    let parts = shown.iter().map(|_| Constraint::Max(10));
    let places = Layout::vertical(parts).split(area);
    for ((name, figure), place) in shown.into_iter().zip(places.iter()) {
        let block = Block::bordered().title(format!(" {name}, % of the last five minutes "));
        let width = usize::from(block.inner(*place).width);
        let first = app.readings.len().saturating_sub(width);
        let looks = app.readings[first..].iter();
        let percent: Vec<Option<u64>> =
            looks.map(|look| figure(look).map(|percent| percent.round() as u64)).collect();
        let line = Sparkline::default().data(percent).max(100).style(app.theme.strong());
        frame.render_widget(line.absent_value_symbol("·").block(block), *place);
    }
}

fn rows(reading: &Reading) -> Vec<Row> {
    let cpu = percent(reading.cpu_percent);
    let mut rows = vec![Row {
        share: reading.cpu_percent.map(|percent| percent / 100.0),
        ..Row::new("cpu", format!("{cpu} of {}", reading.n_cpus), format!("cpu {cpu}"))
    }];
    rows.push(amount("memory", reading.memory, |memory| {
        let words = of(memory.used, memory.total);
        let short = format!("memory {words}");
        (words, short, memory.share() > FULL)
    }));
    rows.push(amount("disk", reading.disk, |disk| {
        let left = bytes(disk.left());
        let words = format!("{left} of {} left", bytes(disk.total));
        let is_low = disk.left() < LOW_DISK_BYTES || disk.share() > FULL;
        (words, format!("disk {left} left"), is_low)
    }));
    match &reading.gpus {
        Err(why) => rows.push(Row::new("gpu", why.clone(), "no gpu".to_owned())),
        Ok(gpus) => {
            for (index, gpu) in gpus.iter().enumerate() {
                rows.push(gpu_row(format!("gpu {index}"), gpu));
                let parts = gpu.parts.iter().enumerate();
                rows.extend(parts.map(|(part, gpu)| gpu_row(format!("gpu {index}.{part}"), gpu)));
            }
        }
    }
    if let Some(WorkerUse { pid, cpu_percent, memory_bytes }) = reading.worker {
        let cores = cpu_percent.map_or("n/a".to_owned(), |p| format!("{:.1}", p / 100.0));
        let words = format!("{cores} cores, {}, process {pid}", bytes(memory_bytes));
        let short = format!("worker {cores} cores {}", bytes(memory_bytes));
        rows.push(Row::new("worker", words, short));
    }
    rows
}

/// The bytes that the dashboard writes to the terminal.
fn screen(output: Output) -> Option<Row> {
    let Output { frames, bytes: all, last_bytes } = output;
    let words = format!(
        "{} in {frames} frames, {} per frame, last {}",
        bytes(all),
        bytes(all.checked_div(frames)?),
        bytes(last_bytes)
    );
    Some(Row::new("to terminal", words, String::new()))
}

impl Row {
    fn new(name: &str, words: String, short: String) -> Self {
        Self { name: name.to_owned(), share: None, words, short, is_low: false }
    }
}

/// `12.3/128 GiB`, or both with units if these differ.
fn of(used: u64, total: u64) -> String {
    let (used, total) = (bytes(used), bytes(total));
    match (used.split_once(' '), total.split_once(' ')) {
        (Some((number, unit)), Some((_, other))) if unit == other => format!("{number}/{total}"),
        _ => format!("{used}/{total}"),
    }
}

fn amount(name: &str, found: Option<Used>, words: impl Fn(Used) -> (String, String, bool)) -> Row {
    let unknown = || ("n/a".to_owned(), format!("{name} n/a"), false);
    let (said, short, is_low) = found.map_or_else(unknown, words);
    Row { share: found.map(Used::share), is_low, ..Row::new(name, said, short) }
}

fn percent(value: Option<f64>) -> String {
    value.map_or("n/a".to_owned(), |value| format!("{value:.0}%"))
}

fn gpu_row(name: String, gpu: &Gpu) -> Row {
    let memory = gpu.memory.map_or("memory n/a".to_owned(), |m| of(m.used, m.total));
    let mut figures = vec![percent(gpu.percent), memory];
    figures.extend(gpu.celsius.map(|celsius| format!("{celsius}°C")));
    let short = format!("{name} {}", figures.join(" "));
    figures.extend(gpu.watts.map(|watts| {
        let limit = gpu.watts_limit.map_or(String::new(), |limit| format!("/{limit:.0}"));
        format!("{watts:.0}{limit} W")
    }));
    figures.push(gpu.name.clone());
    Row { share: gpu.percent.map(|p| p / 100.0), ..Row::new(&name, figures.join(", "), short) }
}
