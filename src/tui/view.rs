//! Draws the dashboard from its state and changes nothing. Any size is drawn, down to 1x1.
//!
//! ```text
//! at least 100x30          header                       smaller: one tab at a time
//!            runs     | loss               | samples    under 60x16: a summary in words
//!            facts    | attention entropy  |
//!            machine, message, footer
//! ```
//!
//! Pictures are not drawn here: panels return placements, and only `pictures` prints.

use std::borrow::Cow;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

use super::app::{App, Popup, TABS};
use super::keys::BINDINGS;
use super::look::LOOK_BINDINGS;
use super::panels::{look, overlay, runs, samples, settings, system, training};
use super::pictures::{Placement, release};
use super::pointer::{Pane, Region};
use super::words::{clipped, duration, harmless, number, run_state};
use crate::lab::holder::Steering;
use crate::lab::run_dir::{Health, RunSummary};
use crate::lab::status::RunState;

/// Smallest size at which the panels stand side by side.
const WIDE: (u16, u16) = (100, 30);
/// Below this only words fit.
const SMALL: (u16, u16) = (60, 16);

/// From here on there is a line for the machine.
const MACHINE_HEIGHT: u16 = 24;

/// What the screen needs besides its cells.
#[derive(Debug, Default)]
pub struct Drawn {
    /// Which pictures belong where.
    pub placements: Vec<Placement>,
    /// What the mouse may point at.
    pub regions: Vec<Region>,
}

/// Draws everything.
pub fn view(app: &App, frame: &mut Frame) -> Drawn {
    let mut drawn = draw(app, frame);
    // Pictures of some protocols cover text, so a popup takes them away.
    if !matches!(app.popup, Popup::None | Popup::Filter) {
        drawn.placements.clear();
        release(frame.buffer_mut());
    }
    app.depth.reduce(app.theme.is_light(), frame.buffer_mut());
    disarm(frame.buffer_mut());
    drawn
}

/// Whatever a file put into a name or note: nothing that a terminal would obey is left in any cell.
fn disarm(buffer: &mut Buffer) {
    for cell in buffer.content.iter_mut().filter(|cell| !cell.symbol().is_ascii()) {
        if let Cow::Owned(clean) = harmless(cell.symbol()) {
            cell.set_symbol(if clean.is_empty() { " " } else { &clean });
        }
    }
}

fn draw(app: &App, frame: &mut Frame) -> Drawn {
    let area = frame.area();
    let machine = u16::from(area.width >= SMALL.0 && area.height >= MACHINE_HEIGHT);
    let line = Constraint::Length(1);
    let rows = [line, Constraint::Min(0), Constraint::Length(machine), line, line];
    let [head, body, machine, message, foot] = Layout::vertical(rows).areas(area);
    frame.render_widget(system::strip(app, area.width), machine);
    frame.render_widget(header(app, area.width), head);
    frame.render_widget(said(app), message);
    frame.render_widget(footer(app, area.width), foot);
    let mut drawn = Drawn::default();
    drawn.region(Pane::Header, head);
    if app.runs.is_empty() && app.watched.is_none() {
        overlay::welcome(app, frame, body);
    } else if area.width < SMALL.0 || area.height < SMALL.1 {
        frame.render_widget(summary(app), body);
    } else if let Some(inside) = &app.look {
        drawn.placements = look::panel(app, inside, frame, body);
    } else {
        panels(app, frame, body, area, &mut drawn);
    }
    overlay::popup(app, frame, area);
    drawn
}

impl Drawn {
    fn region(&mut self, pane: Pane, area: Rect) {
        self.regions.push(Region { pane, area });
    }
}

fn panels(app: &App, frame: &mut Frame, body: Rect, area: Rect, drawn: &mut Drawn) {
    let wide = area.width >= WIDE.0 && area.height >= WIDE.1;
    match (app.tab, wide && !app.expanded) {
        (0, true) => overview(app, frame, body, drawn),
        (0, false) => {
            let height = (app.runs.len() as u16 + 2).clamp(4, body.height / 2);
            let [list, facts] =
                Layout::vertical([Constraint::Length(height), Constraint::Min(0)]).areas(body);
            runs(app, frame, [list, facts], drawn);
        }
        (1, _) => charts(app, frame, body, drawn),
        (2, _) => samples(app, frame, body, drawn),
        (4, _) => system::panel(app, frame, body),
        _ => {
            drawn.region(Pane::Settings, body);
            settings::list(app, frame, body);
        }
    }
}

fn overview(app: &App, frame: &mut Frame, body: Rect, drawn: &mut Drawn) {
    let left = (body.width / 5).clamp(24, 40);
    // As many picture columns as fit beside charts that can still be read.
    let right = (body.width * 11 / 24).max(52);
    let columns = [Constraint::Length(left), Constraint::Min(20), Constraint::Length(right)];
    let [left, middle, right] = Layout::horizontal(columns).areas(body);
    let height = (app.runs.len() as u16 + 2).clamp(5, body.height / 2);
    let [list, facts] =
        Layout::vertical([Constraint::Length(height), Constraint::Min(0)]).areas(left);
    runs(app, frame, [list, facts], drawn);
    charts(app, frame, middle, drawn);
    samples(app, frame, right, drawn);
}

fn runs(app: &App, frame: &mut Frame, [list, facts]: [Rect; 2], drawn: &mut Drawn) {
    drawn.region(Pane::Runs, list);
    runs::list(app, frame, list);
    runs::facts(app, frame, facts);
}

fn charts(app: &App, frame: &mut Frame, area: Rect, drawn: &mut Drawn) {
    drawn.region(Pane::Charts, area);
    training::charts(app, frame, area);
}

fn samples(app: &App, frame: &mut Frame, area: Rect, drawn: &mut Drawn) {
    drawn.region(Pane::Samples, area);
    drawn.placements = samples::gallery(app, frame, area);
}

/// The tabs as the header has them.
fn tabs(app: &App) -> Vec<String> {
    let named = TABS.iter().enumerate();
    named
        .map(|(i, name)| match i == app.tab {
            true => format!("[{} {name}]", i + 1),
            false => format!(" {} {name} ", i + 1),
        })
        .collect()
}

/// The tab at column `x` of a header of this width.
pub fn tab_at(app: &App, width: u16, x: u16) -> Option<usize> {
    let mut left = x.checked_sub(tabs_start(&header_words(app), &tabs(app), width)?)?;
    tabs(app).iter().position(|tab| {
        let here = left < tab.len() as u16;
        left = left.saturating_sub(tab.len() as u16);
        here
    })
}

/// Where the tabs begin, if there is room for them.
fn tabs_start(spans: &[Span<'_>], tabs: &[String], width: u16) -> Option<u16> {
    let used: usize = spans.iter().map(Span::width).sum();
    let length: usize = tabs.iter().map(String::len).sum();
    let start = usize::from(width).checked_sub(length)?;
    (start > used + 1).then_some(start as u16)
}

fn header(app: &App, width: u16) -> Line<'static> {
    let (mut spans, tabs) = (header_words(app), tabs(app));
    if let Some(start) = tabs_start(&spans, &tabs, width) {
        let used: usize = spans.iter().map(Span::width).sum();
        spans.push(Span::raw(" ".repeat(usize::from(start) - used)));
        spans.push(Span::styled(tabs.concat(), app.theme.faint()));
    }
    Line::from(spans)
}

fn header_words(app: &App) -> Vec<Span<'static>> {
    let theme = app.theme;
    let name = if app.read_only { " mosaic, looking only " } else { " mosaic " };
    let mut spans = vec![Span::styled(name, theme.strong().add_modifier(Modifier::REVERSED))];
    if let Some(run) = app.run() {
        let state = run_state(run);
        spans.push(Span::raw(format!(" {}  ", harmless(&run.id))));
        spans.push(Span::styled(state, theme.state(state)));
        match run.steering {
            Steering::Free => {}
            Steering::Mine => spans.push(Span::styled(", yours", theme.good())),
            Steering::Theirs(_) => spans.push(Span::styled(", steered", theme.warning())),
        }
        if let Some(status) = &run.status {
            let share = 100.0 * status.step as f64 / status.steps.max(1) as f64;
            let loss = status.loss.map_or(String::new(), |loss| format!("  loss {}", number(loss)));
            let eta = match status.eta_s {
                Some(seconds) if !status.state.is_over() && run.health == Health::Alive => {
                    format!("  {} left", duration(seconds))
                }
                _ => String::new(),
            };
            // The rate that a run had once says nothing of one that does not train now.
            let trains = status.state == RunState::Training && run.health == Health::Alive;
            let rate =
                if trains { format!("  {:.1} it/s", status.steps_per_s) } else { String::new() };
            spans.push(Span::raw(format!(
                "  step {}/{} ({share:.0}%){loss}{rate}{eta}  {}",
                status.step, status.steps, status.device
            )));
        }
    }
    spans
}

fn said(app: &App) -> Line<'static> {
    if app.popup == Popup::Filter {
        let words = "   Enter keeps, Esc lists all";
        return Line::from(vec![
            Span::styled(format!(" /{}_", app.filter), app.theme.strong()),
            Span::styled(words, app.theme.faint()),
        ]);
    }
    match &app.said {
        Some((level, text)) => {
            Line::styled(format!(" {}", harmless(text)), app.theme.notice(*level))
        }
        None => {
            let message = app.run().and_then(standing).unwrap_or_default();
            Line::styled(format!(" {}", harmless(&message)), app.theme.faint())
        }
    }
}

/// Why a run stands as it does: who steers it, an error, or what it is busy with.
fn standing(run: &RunSummary) -> Option<String> {
    let holder = match &run.steering {
        Steering::Theirs(name) => Some(format!("{name} steers this run; T takes control over")),
        Steering::Free | Steering::Mine => None,
    };
    let newer = run.newer.as_ref().map(|newer| format!("nothing is known of this run: {newer}"));
    let message = run.status.as_ref().and_then(|status| status.message.clone());
    let words: Vec<String> = [newer, message, holder].into_iter().flatten().collect();
    (!words.is_empty()).then(|| words.join("; "))
}

/// The keys that matter most, as many as fit; `?` has them all.
fn footer(app: &App, width: u16) -> Line<'static> {
    let looking =
        app.look.as_ref().map(|_| LOOK_BINDINGS.iter().map(|row| (row.label, row.footer)));
    let usual = BINDINGS
        .iter()
        .filter(|row| app.can(row.action) && (app.look.is_none() || row.label == "?"));
    let usual = usual.map(|row| (row.label, row.footer));
    let mut spans = Vec::new();
    let mut used = 0;
    for (label, word) in looking.into_iter().flatten().chain(usual) {
        if word.is_empty() {
            continue;
        }
        let n = label.chars().count() + word.chars().count() + 4;
        if used + n > usize::from(width) {
            break;
        }
        used += n;
        spans.push(Span::styled(format!(" {label} "), app.theme.selected()));
        spans.push(Span::raw(format!(" {word} ")));
    }
    Line::from(spans)
}

/// A run in words, for screens on which nothing else fits.
fn summary(app: &App) -> Paragraph<'static> {
    let Some(run) = app.run() else { return Paragraph::new("no run chosen") };
    let mut text = format!("{}\n{}", harmless(&run.id), run_state(run));
    if let Some(status) = &run.status {
        text += &format!("\nstep {}/{}", status.step, status.steps);
        if let Some(loss) = status.loss {
            text += &format!("\nloss {}", number(loss));
        }
        if let Some(message) = &status.message {
            text += &format!("\n{}", clipped(message, 200));
        }
    }
    Paragraph::new(text).wrap(Wrap { trim: true })
}
