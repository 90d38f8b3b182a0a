//! The charts: one quantity above, at first the loss; below it the attention entropy, or for a network without attention its
//! agreement with theory.
//!
//! The raw curve is drawn faint under its moving average. Values that are not finite break the line and are marked at the
//! bottom. Entropy is drawn per noise level, as the mean over heads, with the entropy of uniform attention, `ln(H W)`, as a
//! reference line.

use std::sync::Arc;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph, Wrap};

use super::{crosshair_readings, entropy_map};
use crate::diffusion::Schedule;
use crate::runs::event::{AttentionAtLevel, AttentionMetrics};
use crate::tui::chart_arithmetic::bounds;
use crate::tui::colour_theme::{CurveColour, Strokes};
use crate::tui::curve_points::VisibleCurve;
use crate::tui::number_and_text_format::number;
use crate::tui::recorded_curves::Quantity;
use crate::tui::state::chart_curves::{ChartCurve, full_range};
use crate::tui::state::{App, OpenRun};
use crate::tui::tabs::Tab;
use crate::tui::terminal_plot::{Curve, Plot};

/// Floors below this share of the loss are not drawn.
const FLOOR_SHARE_MIN: f64 = 0.05;

/// Dots of a character across: a curve needs its smallest and largest value in each, and no more.
const DOTS_PER_CELL: usize = 2;

/// Draws both charts, with the readings of the crosshair between them.
pub fn charts(app: &App, frame: &mut Frame, area: Rect) {
    let halves = [Constraint::Percentage(55), Constraint::Min(0)];
    let [above, below] = Layout::vertical(halves).areas(area);
    let Some(open) = &app.open_run else {
        frame.render_widget(Block::bordered().title(" loss "), above);
        frame.render_widget(Block::bordered().title(" attention entropy "), below);
        return;
    };
    quantity(app, open, app.charts.quantity, frame, above);
    let below = match app.charts.crosshair {
        Some(crosshair) if app.screen.tab == Tab::Charts => {
            crosshair_readings::panel(app, crosshair, frame, below)
        }
        _ => below,
    };
    if below.height < 3 {
        return;
    }
    match (app.lower_quantity(), app.charts.entropy_map && !open.attention.is_empty()) {
        (Quantity::Entropy, true) => entropy_map::entropy(app, open, frame, below),
        (Quantity::Entropy, false) => entropy(app, open, frame, below),
        (lower, _) => quantity(app, open, lower, frame, below),
    }
}

/// Draws the curves of a quantity.
fn quantity(app: &App, open: &OpenRun, quantity: Quantity, frame: &mut Frame, area: Rect) {
    let smoothing = app.charts.smoothing_of(quantity);
    let has_log_scale = !app.charts.linear_scale && quantity.has_log_scale();
    let average = match (quantity.is_smoothed(), smoothing > 0.0) {
        (false, _) => String::new(),
        (true, true) => format!("(m: average over ~{:.0} points) ", 1.0 / (1.0 - smoothing)),
        (true, false) => "(m: not smoothed) ".to_owned(),
    };
    let mut block = Block::bordered().title(format!(" {} {average}", quantity.name()));
    let mut free = area.width;
    if matches!(quantity, Quantity::Loss | Quantity::LossByLevel | Quantity::Excess)
        && let Some((_, excess)) = open.excess.last()
    {
        let word: &str = excess.convergence.into();
        let words = Line::from(format!(" {word} relative to {} ", excess.class_floor));
        free = free.saturating_sub(words.width() as u16);
        block = block.title_bottom(words.right_aligned());
    }
    if quantity == Quantity::Loss {
        block = block.title_bottom(by_level(open, free));
    }
    let chart_curves = app.curves_of(quantity);
    // A window of training steps does not apply to a chart over t.
    let x = match quantity.is_calibrated() == app.charts.quantity.is_calibrated() {
        true => app.visible_range(&chart_curves),
        false => full_range(&chart_curves),
    };
    let n_columns = DOTS_PER_CELL * usize::from(area.width);
    let mut curves = floors(app, open, quantity, x);
    for curve in &chart_curves {
        if curve.colour == CurveColour::OpenRun && smoothing > 0.0 {
            let visible = curve.series.visible(0.0, x, n_columns);
            curves.push(Curve::faint("", app.theme, visible));
        }
        curves.push(Curve {
            name: curve.name.clone(),
            letter: curve.letter,
            style: app.theme.curve_colour(curve.colour),
            strokes: Strokes::of(curve.colour),
            is_faint: false,
            visible: curve.series.visible(smoothing, x, n_columns),
        });
    }
    let is_read = app.screen.tab == Tab::Charts && quantity == app.charts.quantity;
    let at = app.charts.crosshair.filter(|_| is_read);
    let plot = Plot {
        curves,
        x,
        has_log_scale,
        dots: app.charts.dots,
        crosshair: at.map(|crosshair| crosshair.x),
        anchor: at.and_then(|crosshair| crosshair.anchor),
    };
    if chart_curves.is_empty() {
        let words = format!("not recorded: {}", quantity.source());
        return say(app, frame, area, block, &words);
    }
    draw(app, frame, area, block, &plot);
}

/// The floor of the network's class as level lines under the open run's loss; in the chart by noise level, in the colours
/// of the levels.
fn floors(app: &App, open: &OpenRun, quantity: Quantity, x: [f64; 2]) -> Vec<Curve> {
    let Some((_, excess)) = open.excess.last() else { return Vec::new() };
    let schedule = open.experiment.as_ref().map_or(Schedule::default(), |e| e.schedule);
    let n_ranges = match quantity {
        Quantity::Loss => 1,
        Quantity::LossByLevel => open.loss_by_level.loss.len(),
        _ => 0,
    };
    let line = |range: usize| {
        let end = |i: usize| i as f64 / n_ranges as f64;
        let name = &excess.class_floor;
        let floor = open.floors.loss_floor(name, schedule, end(range), end(range + 1))?;
        // A floor far below the curve would stretch a logarithmic axis until nothing else can be seen.
        let loss = open.loss_by_level.loss.get(range).copied().flatten();
        if n_ranges > 1 && loss.is_some_and(|loss| floor < FLOOR_SHARE_MIN * loss) {
            return None;
        }
        let pieces = vec![x.map(|step| (step, floor)).to_vec()];
        let visible = Arc::new(VisibleCurve { pieces, broken: Vec::new() });
        let name = if n_ranges == 1 { format!("floor ({name})") } else { String::new() };
        let mut curve = Curve::faint(&name, app.theme, visible);
        if n_ranges > 1 {
            curve.style = app.theme.curve_colour(CurveColour::Level { index: range, n: n_ranges });
        }
        Some(curve)
    };
    (0..n_ranges).filter_map(line).collect()
}

/// Draws a text in place of curves.
fn say(app: &App, frame: &mut Frame, area: Rect, block: Block<'_>, words: &str) {
    let words = Paragraph::new(words.to_owned()).style(app.theme.faint());
    frame.render_widget(words.wrap(Wrap { trim: true }).block(block), area);
}

fn draw(app: &App, frame: &mut Frame, area: Rect, block: Block<'_>, plot: &Plot) {
    if plot.is_empty() {
        return say(app, frame, area, block, "no figures yet");
    }
    let inner = block.inner(area);
    frame.render_widget(block, area);
    plot.draw(app.theme, inner, frame.buffer_mut());
}

/// The latest loss of each range of t, with the ends of the ranges if there is room.
fn by_level(open: &OpenRun, width: u16) -> String {
    let words =
        |word: fn((f64, f64)) -> String| open.loss_by_level.ranges().map(word).collect::<Vec<_>>();
    let long = words(|(end, loss)| format!("t<{end:.1} {}", number(loss))).join("  ");
    let short = words(|(_, loss)| number(loss)).join(" ");
    match open.loss_by_level.loss.is_empty() {
        true => String::new(),
        false if long.len() + 4 <= usize::from(width) => format!(" {long} "),
        false => format!(" by t: {short} "),
    }
}

/// Draws attention entropy as curves, one per noise level.
fn entropy(app: &App, open: &OpenRun, frame: &mut Frame, area: Rect) {
    let Some((_, last)) = open.attention.last() else {
        let block = Block::bordered().title(" attention entropy ");
        return say(app, frame, area, block, "no figures yet");
    };
    let ends = [open.attention.first(), open.attention.last()];
    // While calibrated settings are shown, the window is one of t and not of training steps.
    let window =
        if app.charts.quantity.is_calibrated() { Default::default() } else { app.charts.window };
    let x = window.of(bounds(ends.into_iter().flatten().map(|point| point.0), 0.0));
    let n_columns = DOTS_PER_CELL * usize::from(area.width);
    let level = |curve: ChartCurve<'_>| Curve {
        visible: curve.series.visible(0.0, x, n_columns),
        letter: curve.letter,
        style: app.theme.curve_colour(curve.colour),
        strokes: Strokes::of(curve.colour),
        is_faint: false,
        name: curve.name,
    };
    let mut curves: Vec<Curve> = app.curves_of(Quantity::Entropy).into_iter().map(level).collect();
    let most = (last.n_pixels as f64).ln();
    let pieces = vec![x.map(|step| (step, most)).to_vec()];
    let visible = Arc::new(VisibleCurve { pieces, broken: Vec::new() });
    curves.push(Curve::faint("uniform", app.theme, visible));
    let long = format!(" attention entropy, nats (uniform {most:.2}) ");
    let title = match long.len() + 2 <= usize::from(area.width) {
        true => long,
        false => format!(" entropy, nats (uniform {most:.2}) "),
    };
    let block = Block::bordered().title(title).title_bottom(extremes(last));
    let crosshair =
        app.charts.crosshair.filter(|_| app.screen.tab == Tab::Charts).map(|crosshair| crosshair.x);
    let plot = Plot { curves, x, dots: app.charts.dots, crosshair, ..Plot::default() };
    draw(app, frame, area, block, &plot);
}

/// The largest logit, and the largest sink (share of attention that one pixel receives), over heads and noise levels.
fn extremes(attention: &AttentionMetrics) -> String {
    let largest = |values: fn(&AttentionAtLevel) -> &[f64]| {
        attention.levels.iter().flat_map(values).copied().reduce(f64::max)
    };
    let logit = largest(|level| &level.largest_logit);
    let sink = largest(|level| &level.sink);
    let words = [
        logit.map(|logit| format!("largest logit {logit:.1}")),
        sink.map(|sink| format!("sink {:.1}%", 100.0 * sink)),
    ];
    let words: Vec<String> = words.into_iter().flatten().collect();
    if words.is_empty() { String::new() } else { format!(" {} ", words.join("  ")) }
}
