//! Draws the dashboard from its state and changes nothing. Any size is drawn, down to 1x1.
//!
//! ```text
//! at least 100x30          header                       smaller: one tab at a time
//!            runs     | loss               | samples    under 60x16: a summary in words
//!            facts    | attention entropy  |
//!            machine, message, footer
//! ```
//!
//! Pictures of pixels are not drawn here: panels return placements, and `pictures::printer` prints them.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Modifier;
use ratatui::widgets::{Paragraph, Wrap};

use super::number_and_text_format::{clipped, number};
use super::panels::footer::{footer, message, message_lines};
use super::panels::header::header;
use super::panels::{charts, inspector, log, popups, results, runs, samples, settings, system};
use super::pictures::Placement;
use super::pictures::placement::release;
use super::state::focus_and_panes::focused_region;
use super::state::{App, Pane, Popup, Region};
use super::tabs::Tab;
use crate::console::{self, escaped_text};

/// Smallest size at which the panels are drawn side by side.
const WIDE: (u16, u16) = (100, 30);
/// Smallest size at which panels are drawn; below, a run is summarised in words.
const SMALL: (u16, u16) = (60, 16);

/// Smallest height at which there is a line on this computer.
const MACHINE_HEIGHT: u16 = 24;

/// What a frame has besides its cells.
#[derive(Debug, Default)]
pub struct Drawn {
    /// Pictures to print over reserved cells.
    pub placements: Vec<Placement>,
    /// Where panes were drawn, for keys and the mouse.
    pub regions: Vec<Region>,
}

/// Draws the whole screen.
pub fn view(app: &App, frame: &mut Frame) -> Drawn {
    let mut drawn = draw(app, frame);
    // Pictures of some protocols cover text, so a popup takes them away.
    if !matches!(app.popup, None | Some(Popup::Filter)) {
        drawn.placements.clear();
        release(frame.buffer_mut());
    }
    app.display.depth.reduce(app.theme.is_light(), frame.buffer_mut());
    disarm(frame.buffer_mut());
    drawn
}

/// Removes everything from cells that a terminal would obey, such as an escape sequence in a run's name or note.
fn disarm(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        if cell.symbol().chars().any(escaped_text::is_harmful) {
            // An escape would need more cells than this one.
            let clean: String =
                cell.symbol().chars().filter(|letter| !escaped_text::is_harmful(*letter)).collect();
            cell.set_symbol(if clean.is_empty() { "\u{fffd}" } else { &clean });
        }
    }
}

fn draw(app: &App, frame: &mut Frame) -> Drawn {
    let area = frame.area();
    let machine = u16::from(area.width >= SMALL.0 && area.height >= MACHINE_HEIGHT);
    let line = Constraint::Length(1);
    let message = message(app);
    let is_low = area.height < SMALL.1;
    let lines = if is_low { 1 } else { message_lines(app, &message, area.width) };
    let lines = Constraint::Length(lines);
    let rows = [line, Constraint::Min(0), Constraint::Length(machine), lines, line];
    let [head, body, machine, message_area, foot] = Layout::vertical(rows).areas(area);
    frame.render_widget(system::strip(app, area.width), machine);
    frame.render_widget(header(app, area.width), head);
    frame.render_widget(Paragraph::new(message).wrap(Wrap { trim: false }), message_area);
    frame.render_widget(footer(app, area.width), foot);
    let mut drawn = Drawn::default();
    drawn.region(Pane::Header, head);
    if app.runs.all.is_empty() && app.open_run.is_none() {
        popups::welcome(app, frame, body);
    } else if area.width < SMALL.0 || area.height < SMALL.1 {
        frame.render_widget(summary(app), body);
    } else if let Some(inspector) = &app.inspector {
        drawn.placements = inspector::panel(app, inspector, frame, body);
    } else {
        panels(app, frame, body, area, &mut drawn);
    }
    // The keys of a popup are in the last line.
    let over =
        Rect { height: area.height - foot.height.min(area.height.saturating_sub(1)), ..area };
    if let Some(popup) = &app.popup {
        popups::popup(app, popup, frame, over);
    }
    drawn
}

impl Drawn {
    fn region(&mut self, pane: Pane, area: Rect) {
        self.regions.push(Region { pane, area });
    }
}

fn panels(app: &App, frame: &mut Frame, body: Rect, area: Rect, drawn: &mut Drawn) {
    let wide = area.width >= WIDE.0 && area.height >= WIDE.1;
    match (app.screen.tab, wide) {
        (Tab::Overview, true) if app.screen.is_expanded => match app.screen.focus {
            Pane::Charts => charts(app, frame, body, drawn),
            Pane::Samples => samples(app, frame, body, drawn),
            _ => runs_beside_facts(app, frame, body, drawn),
        },
        (Tab::Overview, true) => overview(app, frame, body, drawn),
        (Tab::Overview, false) => runs(app, frame, body, 4, drawn),
        (Tab::Charts, _) => charts(app, frame, body, drawn),
        (Tab::Samples, _) => samples(app, frame, body, drawn),
        (Tab::System, _) => system::panel(app, frame, body),
        (Tab::Results, _) => {
            drawn.region(Pane::Results, body);
            results::panel(app, frame, body);
        }
        (Tab::Log, _) => {
            let [news, log] = log::places(body);
            drawn.region(Pane::News, news);
            log::news(app, frame, news);
            drawn.region(Pane::Log, log);
            log::log(app, frame, log);
        }
        (Tab::Settings, _) => {
            drawn.region(Pane::Settings, body);
            settings::list(app, frame, body);
        }
    }
    if let Some(focused) = focused_region(&drawn.regions, app.screen.focus) {
        emphasize(frame.buffer_mut(), focused.area);
    }
}

/// Reverses the title of the pane that has the focus.
fn emphasize(buffer: &mut Buffer, panel: Rect) {
    let top = Rect { x: panel.x + 1, height: 1, width: panel.width.saturating_sub(2), ..panel };
    for position in top.intersection(buffer.area).positions() {
        let cell = &mut buffer[position];
        if matches!(cell.symbol(), "─" | "┐") {
            break;
        }
        cell.modifier.insert(Modifier::REVERSED);
    }
}

fn overview(app: &App, frame: &mut Frame, body: Rect, drawn: &mut Drawn) {
    let left = (body.width / 5).clamp(24, 40);
    // As many picture columns as fit beside charts that can still be read; three that lose no pixel, if half the screen will do.
    let three = samples::width_of(app, 3).filter(|width| *width <= body.width / 2);
    let right = (body.width * 11 / 24).max(52).max(three.unwrap_or(0));
    let columns = [Constraint::Length(left), Constraint::Min(20), Constraint::Length(right)];
    let [left, middle, right] = Layout::horizontal(columns).areas(body);
    runs(app, frame, left, 5, drawn);
    charts(app, frame, middle, drawn);
    samples(app, frame, right, drawn);
}

/// Draws the list of runs, on at least `least` lines, above the facts on the open run.
fn runs(app: &App, frame: &mut Frame, area: Rect, least: u16, drawn: &mut Drawn) {
    let height = (app.runs.all.len() as u16 + 2).clamp(least, area.height / 2);
    let heights = [Constraint::Length(height), Constraint::Min(0)];
    let [list, facts] = Layout::vertical(heights).areas(area);
    drawn.region(Pane::Runs, list);
    runs::list(app, frame, list);
    runs::facts(app, frame, facts);
}

/// Draws the list of runs, with more columns, beside the facts on the open run.
fn runs_beside_facts(app: &App, frame: &mut Frame, area: Rect, drawn: &mut Drawn) {
    let widths = [Constraint::Percentage(60), Constraint::Min(0)];
    let [list, facts] = Layout::horizontal(widths).areas(area);
    drawn.region(Pane::Runs, list);
    runs::list(app, frame, list);
    runs::facts(app, frame, facts);
}

fn charts(app: &App, frame: &mut Frame, area: Rect, drawn: &mut Drawn) {
    drawn.region(Pane::Charts, area);
    charts::charts(app, frame, area);
}

fn samples(app: &App, frame: &mut Frame, area: Rect, drawn: &mut Drawn) {
    drawn.region(Pane::Samples, area);
    drawn.placements = samples::gallery(app, frame, area);
}

/// The open run in words, for screens on which nothing else fits.
fn summary(app: &App) -> Paragraph<'static> {
    let Some(run) = app.open_summary() else { return Paragraph::new("no run chosen") };
    let mut text = format!("{}\n{}", console::line(&run.id), run.listed_state().word());
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
