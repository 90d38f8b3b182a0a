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

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

use super::app::{App, CHARTS, LOG, Popup, SAMPLES, SYSTEM, TABS};
use super::focus;
use super::keys::{Action, BINDINGS};
use super::look::LOOK_BINDINGS;
use super::panels::{log, look, overlay, runs, samples, settings, system, training};
use super::pictures::{Placement, release};
use super::pointer::{Pane, Region};
use super::words::{clipped, clipped_name, columns, duration, lines_of, number, run_state};
use crate::console::{self, plain};
use crate::runs::event::NoticeLevel;
use crate::runs::holder::Steering;
use crate::runs::liveness::Health;
use crate::runs::status::RunState;

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
    for cell in &mut buffer.content {
        if cell.symbol().chars().any(plain::is_harmful) {
            // An escape would need more cells than this one.
            let clean: String =
                cell.symbol().chars().filter(|letter| !plain::is_harmful(*letter)).collect();
            cell.set_symbol(if clean.is_empty() { "\u{fffd}" } else { &clean });
        }
    }
}

fn draw(app: &App, frame: &mut Frame) -> Drawn {
    let area = frame.area();
    let machine = u16::from(area.width >= SMALL.0 && area.height >= MACHINE_HEIGHT);
    let line = Constraint::Length(1);
    let said = said(app);
    let lines = Constraint::Length(said_lines(app, &said, area));
    let rows = [line, Constraint::Min(0), Constraint::Length(machine), lines, line];
    let [head, body, machine, message, foot] = Layout::vertical(rows).areas(area);
    frame.render_widget(system::strip(app, area.width), machine);
    frame.render_widget(header(app, area.width), head);
    frame.render_widget(Paragraph::new(said).wrap(Wrap { trim: false }), message);
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
    // Its keys stand in the last line.
    let over =
        Rect { height: area.height - foot.height.min(area.height.saturating_sub(1)), ..area };
    overlay::popup(app, frame, over);
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
        (CHARTS, _) => charts(app, frame, body, drawn),
        (SAMPLES, _) => samples(app, frame, body, drawn),
        (SYSTEM, _) => system::panel(app, frame, body),
        (LOG, _) => {
            let [news, log] = log::places(body);
            drawn.region(Pane::News, news);
            log::news(app, frame, news);
            drawn.region(Pane::Log, log);
            log::log(app, frame, log);
        }
        _ => {
            drawn.region(Pane::Settings, body);
            settings::list(app, frame, body);
        }
    }
    if let Some(chosen) = focus::chosen(&drawn.regions, app.focus) {
        emphasize(frame.buffer_mut(), chosen.area);
    }
}

/// Turns the title of a panel round: keys are for it.
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

/// How much the header says of each tab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tabs {
    /// Number and name of each.
    Named,
    /// The name of the one on screen.
    Short,
    Numbers,
}

/// The tabs as the header has them.
fn tabs(app: &App, kind: Tabs) -> Vec<String> {
    let named = TABS.iter().enumerate();
    named
        .map(|(i, name)| match (i == app.tab, kind) {
            (true, Tabs::Numbers) => format!("[{}]", i + 1),
            (true, _) => format!("[{} {name}]", i + 1),
            (false, Tabs::Named) => format!(" {} {name} ", i + 1),
            (false, Tabs::Short) => format!(" {} ", i + 1),
            (false, Tabs::Numbers) => format!(" {}", i + 1),
        })
        .collect()
}

/// The tab at column `x` of a header of this width.
pub fn tab_at(app: &App, width: u16, x: u16) -> Option<usize> {
    let head = Head::new(app, width.into());
    let mut left = x.checked_sub(head.tabs_start? as u16)?;
    head.tabs.iter().position(|tab| {
        let here = left < tab.len() as u16;
        left = left.saturating_sub(tab.len() as u16);
        here
    })
}

/// What the header leaves out where there is little room, the least important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Without {
    Nothing,
    Device,
    Share,
    Rate,
    /// The word before the step.
    Step,
    /// Our own name.
    Mosaic,
    TimeLeft,
    Loss,
}

/// A header that fits.
struct Head {
    words: Vec<Span<'static>>,
    tabs: Vec<String>,
    tabs_start: Option<usize>,
}

impl Head {
    /// A name is clipped to no less than this.
    const NAME_MIN: usize = 16;

    fn new(app: &App, width: usize) -> Self {
        use Without::{Device, Loss, Mosaic, Nothing, Rate, Share, Step, TimeLeft};
        let name = app.run().map_or(0, |run| columns(&run.id));
        let tiers = [
            (Tabs::Named, Nothing, name),
            (Tabs::Short, Nothing, name),
            (Tabs::Short, Device, name),
            (Tabs::Short, Share, name),
            (Tabs::Numbers, Share, name),
            (Tabs::Numbers, Rate, name),
            (Tabs::Numbers, Step, name),
            (Tabs::Numbers, Step, Self::NAME_MIN),
            (Tabs::Numbers, Mosaic, Self::NAME_MIN),
            (Tabs::Numbers, TimeLeft, Self::NAME_MIN),
            (Tabs::Numbers, Loss, Self::NAME_MIN),
        ];
        for (kind, without, name_min) in tiers {
            let tabs = tabs(app, kind);
            let length: usize = tabs.iter().map(String::len).sum();
            let Some(start) = width.checked_sub(length) else { continue };
            let used = used(&header_words(app, without, name));
            // A name gives up only what is missing.
            let room = name.saturating_sub((used + 1).saturating_sub(start));
            if room >= name_min.min(name) {
                let words = header_words(app, without, room);
                return Self { words, tabs, tabs_start: Some(start) };
            }
        }
        let all = [Nothing, Device, Share, Rate, Step, Mosaic, TimeLeft, Loss];
        let words = all.map(|without| header_words(app, without, name));
        let last = words.len() - 1;
        let fitting = words.iter().position(|words| used(words) <= width).unwrap_or(last);
        Self { words: words[fitting].clone(), tabs: Vec::new(), tabs_start: None }
    }
}

fn used(spans: &[Span<'_>]) -> usize {
    spans.iter().map(Span::width).sum()
}

fn header(app: &App, width: u16) -> Line<'static> {
    let Head { words: mut spans, tabs, tabs_start } = Head::new(app, width.into());
    if let Some(start) = tabs_start {
        let used = used(&spans);
        spans.push(Span::raw(" ".repeat(start.saturating_sub(used))));
        spans.push(Span::styled(tabs.concat(), app.theme.faint()));
    }
    Line::from(spans)
}

fn header_words(app: &App, without: Without, name_room: usize) -> Vec<Span<'static>> {
    let theme = app.theme;
    let name = match (app.read_only, without < Without::Mosaic) {
        (true, true) => " mosaic, looking only ",
        (true, false) => " looking only ",
        (false, true) => " mosaic ",
        (false, false) => "",
    };
    let mut spans = vec![Span::styled(name, theme.strong().add_modifier(Modifier::REVERSED))];
    let Some(run) = app.run() else { return spans };
    let state = run_state(run);
    spans.push(Span::raw(format!(" {}  ", clipped_name(&run.id, name_room))));
    spans.push(Span::styled(state, theme.state(state)));
    match run.steering {
        // A dead worker is steered by nobody.
        _ if !matches!(run.health, Health::Alive | Health::Silent) => {}
        Steering::Free => {}
        Steering::Mine => spans.push(Span::styled(", yours", theme.good())),
        Steering::Theirs(_) => spans.push(Span::styled(", steered", theme.warning())),
    }
    let Some(status) = &run.status else { return spans };
    let word = if without < Without::Step { "step " } else { "" };
    let mut words = format!("  {word}{}/{}", status.step, status.steps);
    if without < Without::Share {
        let share = 100.0 * status.step as f64 / status.steps.max(1) as f64;
        words += &format!(" ({share:.0}%)");
    }
    if let Some(loss) = status.loss.filter(|_| without < Without::Loss) {
        words += &format!("  loss {}", number(loss));
    }
    // The rate that a run had once says nothing of one that does not train now.
    let is_alive = run.health == Health::Alive;
    if status.state == RunState::Training && is_alive && without < Without::Rate {
        words += &format!("  {:.1} it/s", status.steps_per_s);
    }
    let is_under_way = is_alive && !status.state.is_over() && without < Without::TimeLeft;
    if let Some(seconds) = status.eta_s.filter(|_| is_under_way) {
        words += &format!("  {} left", duration(seconds));
    }
    if without < Without::Device {
        words += &format!("  {}", status.device);
    }
    spans.push(Span::raw(words));
    spans
}

fn said(app: &App) -> Line<'static> {
    if app.popup == Popup::Filter {
        let words = "   Enter keeps, Esc lists all";
        let style = app.theme.strong();
        let mut spans = vec![Span::styled(" /", style)];
        spans.extend(app.filter.spans(FILTER_COLUMNS, style));
        spans.push(Span::styled(words, app.theme.faint()));
        return Line::from(spans);
    }
    match &app.said {
        Some((level, text)) => {
            let mut spans =
                vec![Span::styled(format!(" {}", console::line(text)), app.theme.notice(*level))];
            // An answer to a key does not hide for long what the run is busy with.
            if let (NoticeLevel::Info, Some(message)) = (level, standing(app)) {
                spans.push(Span::styled(
                    format!("  {}", console::line(&message)),
                    app.theme.faint(),
                ));
            }
            Line::from(spans)
        }
        None => {
            let message = standing(app).unwrap_or_default();
            Line::styled(format!(" {}", console::line(&message)), app.theme.faint())
        }
    }
}

/// Columns of the filter while it is typed.
const FILTER_COLUMNS: usize = 48;

/// What is said is said whole, in up to this many lines.
const SAID_LINES_MAX: u16 = 3;

/// The lines that what is said to the user has: one, unless it needs more and there is room.
fn said_lines(app: &App, said: &Line<'_>, area: Rect) -> u16 {
    if app.said.is_none() || app.popup == Popup::Filter || area.height < SMALL.1 || area.width == 0
    {
        return 1;
    }
    (lines_of(&said.to_string(), area.width.into()) as u16).clamp(1, SAID_LINES_MAX)
}

/// Why a run stands as it does: who steers it, an error, or what it is busy with.
fn standing(app: &App) -> Option<String> {
    let run = app.run()?;
    let holder = match &run.steering {
        Steering::Theirs(name) if matches!(run.health, Health::Alive | Health::Silent) => {
            let advice = if app.read_only { "" } else { "; T takes control over" };
            Some(format!("{name} steers this run{advice}"))
        }
        _ => None,
    };
    let newer = run.newer.as_ref().map(|newer| format!("nothing is known of this run: {newer}"));
    let message = run.status.as_ref().and_then(|status| status.message.clone());
    let words: Vec<String> = [newer, message, holder].into_iter().flatten().collect();
    (!words.is_empty()).then(|| words.join("; "))
}

/// The keys that matter most, as many as fit, and how to leave; `?` has them all. A popup has its own keys.
fn footer(app: &App, width: u16) -> Line<'static> {
    if let Some(keys) = popup_keys(&app.popup) {
        return Line::styled(format!(" {keys}"), app.theme.faint());
    }
    let looking =
        app.look.as_ref().map(|_| LOOK_BINDINGS.iter().map(|row| (row.label, row.footer)));
    let usual = BINDINGS
        .iter()
        .filter(|row| app.can(row.action) && (app.look.is_none() || row.label == "?"));
    let usual = usual.map(|row| match row.action {
        Action::Pause if app.waits() => (row.label, "go on"),
        _ => (row.label, row.footer),
    });
    let all = looking.into_iter().flatten().chain(usual).filter(|(_, word)| !word.is_empty());
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

/// The key that leaves; nobody should have to look for it.
const LEAVE: &str = "q";

/// What works while a popup is open, where the usual keys do not.
fn popup_keys(popup: &Popup) -> Option<&'static str> {
    Some(match popup {
        Popup::None | Popup::Filter => return None,
        Popup::Palette { .. } => "Up, Down choose   Tab completes   Enter does it   Esc closes",
        Popup::Help { .. } => "Up, Down, Space scroll   any other key closes",
        Popup::Launch { .. } => {
            "Up, Down choose   Enter starts   w queues   e edits first   Esc closes"
        }
        Popup::ConfirmStop { .. } => "y, Enter stop it   any other key does not",
        Popup::Edit(form) if form.typing.is_some() => {
            "Enter takes the value   arrows move   Ctrl-U empties   Esc leaves it"
        }
        Popup::Edit(_) => {
            "Up, Down choose   Enter edits   n launches a new run   w queues it   Esc closes"
        }
        Popup::Fields(_) => "Tab next field   Ctrl-U empties it   Enter does it   Esc closes",
    })
}

/// A run in words, for screens on which nothing else fits.
fn summary(app: &App) -> Paragraph<'static> {
    let Some(run) = app.run() else { return Paragraph::new("no run chosen") };
    let mut text = format!("{}\n{}", console::line(&run.id), run_state(run));
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
