//! The line at the top: the run on screen, its progress, and the tabs.

use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use strum::VariantArray;

use crate::runs::alive_silent_or_lost::Health;
use crate::runs::control_holder::Steering;
use crate::runs::status_json::RunState;
use crate::tui::number_and_text_format::{clipped_name, columns, duration, number};
use crate::tui::state::App;
use crate::tui::tabs::{TABS, Tab, TabRow};

/// How much the header shows of each tab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TabLabels {
    /// Numbers and titles of all tabs.
    Named,
    /// All numbers, and the title of the tab on screen.
    Short,
    Numbers,
}

/// The label of each tab, in the order of [`TABS`].
fn tab_labels(app: &App, kind: TabLabels) -> Vec<String> {
    let label = |&TabRow { tab, key, title, .. }: &TabRow| match (tab == app.screen.tab, kind) {
        (true, TabLabels::Numbers) => format!("[{key}]"),
        (true, _) => format!("[{key} {title}]"),
        (false, TabLabels::Named) => format!(" {key} {title} "),
        (false, TabLabels::Short) => format!(" {key} "),
        (false, TabLabels::Numbers) => format!(" {key}"),
    };
    TABS.iter().map(label).collect()
}

/// The tab whose label is at column `x` of a header of this width.
pub fn tab_at(app: &App, width: u16, x: u16) -> Option<Tab> {
    let head = Head::new(app, width.into());
    let mut left = x.checked_sub(head.tabs_start? as u16)?;
    let found = head.tabs.iter().position(|label| {
        let is_here = left < label.len() as u16;
        left = left.saturating_sub(label.len() as u16);
        is_here
    });
    found.map(|index| TABS[index].tab)
}

/// How far the header is shortened: each step also omits what the steps before it do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::VariantArray)]
enum Omitted {
    Nothing,
    Device,
    Share,
    Rate,
    /// The word before the training step.
    Step,
    /// The program's name.
    Mosaic,
    TimeLeft,
    Loss,
}

/// The longest header that fits.
struct Head {
    words: Vec<Span<'static>>,
    tabs: Vec<String>,
    tabs_start: Option<usize>,
}

impl Head {
    /// Columns to which a run's name may be clipped.
    const NAME_MIN: usize = 16;

    fn new(app: &App, width: usize) -> Self {
        use Omitted::{Device, Loss, Mosaic, Nothing, Rate, Share, Step, TimeLeft};
        let name = app.open_summary().map_or(0, |run| columns(&run.id));
        let tiers = [
            (TabLabels::Named, Nothing, name),
            (TabLabels::Short, Nothing, name),
            (TabLabels::Short, Device, name),
            (TabLabels::Short, Share, name),
            (TabLabels::Numbers, Share, name),
            (TabLabels::Numbers, Rate, name),
            (TabLabels::Numbers, Step, name),
            (TabLabels::Numbers, Step, Self::NAME_MIN),
            (TabLabels::Numbers, Mosaic, Self::NAME_MIN),
            (TabLabels::Numbers, TimeLeft, Self::NAME_MIN),
            (TabLabels::Numbers, Loss, Self::NAME_MIN),
        ];
        for (kind, omitted, name_min) in tiers {
            let tabs = tab_labels(app, kind);
            let length: usize = tabs.iter().map(String::len).sum();
            let Some(start) = width.checked_sub(length) else { continue };
            let used = used(&header_words(app, omitted, name));
            // The name is clipped by no more columns than are missing.
            let room = name.saturating_sub((used + 1).saturating_sub(start));
            if room >= name_min.min(name) {
                let words = header_words(app, omitted, room);
                return Self { words, tabs, tabs_start: Some(start) };
            }
        }
        let mut all = Omitted::VARIANTS.iter().map(|omitted| header_words(app, *omitted, name));
        let words = all.find(|words| used(words) <= width);
        let words = words.unwrap_or_else(|| header_words(app, Loss, name));
        Self { words, tabs: Vec::new(), tabs_start: None }
    }
}

fn used(spans: &[Span<'_>]) -> usize {
    spans.iter().map(Span::width).sum()
}

/// The line at the top: program, run, its progress, and the tabs.
pub fn header(app: &App, width: u16) -> Line<'static> {
    let Head { words: mut spans, tabs, tabs_start } = Head::new(app, width.into());
    if let Some(start) = tabs_start {
        let used = used(&spans);
        spans.push(Span::raw(" ".repeat(start.saturating_sub(used))));
        spans.push(Span::styled(tabs.concat(), app.theme.faint()));
    }
    Line::from(spans)
}

fn header_words(app: &App, omitted: Omitted, name_room: usize) -> Vec<Span<'static>> {
    let theme = app.theme;
    let name = match (app.read_only, omitted < Omitted::Mosaic) {
        (true, true) => " mosaic, read-only ",
        (true, false) => " looking only ",
        (false, true) => " mosaic ",
        (false, false) => "",
    };
    let mut spans = vec![Span::styled(name, theme.strong().add_modifier(Modifier::REVERSED))];
    let Some(run) = app.open_summary() else { return spans };
    let state = run.listed_state();
    spans.push(Span::raw(format!(" {}  ", clipped_name(&run.id, name_room))));
    spans.push(Span::styled(state.word(), theme.listed_state(state)));
    match run.steering {
        // A dead worker is steered by nobody.
        _ if !matches!(run.health, Health::Alive | Health::Silent) => {}
        Steering::Free => {}
        Steering::Mine => spans.push(Span::styled(", yours", theme.good())),
        Steering::Theirs(_) => spans.push(Span::styled(", steered", theme.warning())),
    }
    let Some(status) = &run.status else { return spans };
    let word = if omitted < Omitted::Step { "step " } else { "" };
    let mut words = format!("  {word}{}/{}", status.step, status.steps);
    if omitted < Omitted::Share {
        let share = 100.0 * status.step as f64 / status.steps.max(1) as f64;
        words += &format!(" ({share:.0}%)");
    }
    if let Some(loss) = status.loss.filter(|_| omitted < Omitted::Loss) {
        words += &format!("  loss {}", number(loss));
    }
    // The rate that a run had once says nothing of one that does not train now.
    let is_alive = run.health == Health::Alive;
    if status.state == RunState::Training && is_alive && omitted < Omitted::Rate {
        words += &format!("  {:.1} it/s", status.steps_per_s);
    }
    let is_under_way = is_alive && !status.state.is_over() && omitted < Omitted::TimeLeft;
    if let Some(seconds) = status.eta_s.filter(|_| is_under_way) {
        words += &format!("  {} left", duration(seconds));
    }
    if omitted < Omitted::Device {
        words += &format!("  {}", status.device);
    }
    spans.push(Span::raw(words));
    spans
}
