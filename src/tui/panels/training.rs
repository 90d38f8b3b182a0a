//! Curves of a run: one quantity (the loss at first) over the attention entropy, or over the agreement with theory where a
//! network has no attention.
//!
//! The raw curve is drawn faint under the smoothed one; points that are not finite break the line and
//! are marked at the bottom, where the latest loss of each range of t stands too. Entropy is drawn per noise level, the mean over heads, under the line of
//! uniform attention, `ln(H W)`. What was not recorded is said to be so.

use std::sync::Arc;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::widgets::{Block, Paragraph, Wrap};

use super::{heat, readings};
use crate::runs::event::{AttentionAtLevel, AttentionMetrics};
use crate::tui::app::{App, CHARTS, OpenRun};
use crate::tui::charted::whole_part;
use crate::tui::curves::Quantity;
use crate::tui::plot::{Curve, Plot, bounds, letter};
use crate::tui::series::VisibleCurve;
use crate::tui::words::number;

/// Dots of a character from left to right: no curve can show more than its extremes in each.
const DOTS_PER_CELL: usize = 2;

pub fn charts(app: &App, frame: &mut Frame, area: Rect) {
    let halves = [Constraint::Percentage(55), Constraint::Min(0)];
    let [above, below] = Layout::vertical(halves).areas(area);
    let Some(watched) = &app.watched else {
        frame.render_widget(Block::bordered().title(" loss "), above);
        frame.render_widget(Block::bordered().title(" attention entropy "), below);
        return;
    };
    quantity(app, watched, app.quantity, frame, above);
    let below = match app.crosshair {
        Some(crosshair) if app.tab == CHARTS => readings::panel(app, crosshair, frame, below),
        _ => below,
    };
    if below.height < 3 {
        return;
    }
    let is_without = watched.experiment.as_ref().is_some_and(|e| e.network.attention.is_none());
    match (is_without, app.as_map && !watched.attention.is_empty()) {
        (true, _) if app.quantity == Quantity::SquaredCorrelation => {
            quantity(app, watched, Quantity::Loss, frame, below);
        }
        (true, _) => quantity(app, watched, Quantity::SquaredCorrelation, frame, below),
        (false, true) => heat::entropy(app, watched, frame, below),
        (false, false) => entropy(app, watched, frame, below),
    }
}

fn quantity(app: &App, watched: &OpenRun, quantity: Quantity, frame: &mut Frame, area: Rect) {
    let past = app.past(quantity);
    let has_log_scale = app.log_scale && quantity.has_log_scale();
    let title = match (quantity.is_smoothed(), past > 0.0) {
        (false, _) => format!(" {} ", quantity.name()),
        (true, true) => {
            format!(" {} (m: average over ~{:.0} points) ", quantity.name(), 1.0 / (1.0 - past))
        }
        (true, false) => format!(" {} (m: not smoothed) ", quantity.name()),
    };
    let mut block = Block::bordered().title(title);
    if quantity == Quantity::Loss {
        block = block.title_bottom(by_level(watched, area.width));
    }
    let charted = app.charted_of(quantity);
    // A window of steps is none of t.
    let x = match quantity.is_calibrated() == app.quantity.is_calibrated() {
        true => app.seen_part(&charted),
        false => whole_part(&charted),
    };
    let n_columns = DOTS_PER_CELL * usize::from(area.width);
    let mut curves = Vec::new();
    for curve in &charted {
        let style = match curve.colour {
            Some(index) => app.theme.curve(index),
            None => app.theme.strong(),
        };
        if curve.colour.is_none() && past > 0.0 {
            let seen = curve.series.seen(0.0, x, n_columns);
            let (name, letter) = (String::new(), None);
            curves.push(Curve { name, letter, style: app.theme.faint(), is_faint: true, seen });
        }
        let (name, letter) = (curve.name.clone(), curve.letter);
        let seen = curve.series.seen(past, x, n_columns);
        curves.push(Curve { name, letter, style, is_faint: false, seen });
    }
    let is_read = app.tab == CHARTS && quantity == app.quantity;
    let at = app.crosshair.filter(|_| is_read);
    let plot = Plot {
        curves,
        x,
        has_log_scale,
        dots: app.dots,
        crosshair: at.map(|crosshair| crosshair.x),
        anchor: at.and_then(|crosshair| crosshair.anchor),
    };
    if charted.is_empty() {
        let words = format!("not recorded: {}", quantity.source());
        return say(app, frame, area, block, &words);
    }
    draw(app, frame, area, block, &plot);
}

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

/// The latest loss of each range of t; where there is room, with the ranges' ends.
fn by_level(watched: &OpenRun, width: u16) -> String {
    let words =
        |word: fn((f64, f64)) -> String| watched.levels.ranges().map(word).collect::<Vec<_>>();
    let long = words(|(end, loss)| format!("t<{end:.1} {}", number(loss))).join("  ");
    let short = words(|(_, loss)| number(loss)).join(" ");
    match watched.levels.loss.is_empty() {
        true => String::new(),
        false if long.len() + 4 <= usize::from(width) => format!(" {long} "),
        false => format!(" by t: {short} "),
    }
}

fn entropy(app: &App, watched: &OpenRun, frame: &mut Frame, area: Rect) {
    let Some((_, last)) = watched.attention.last() else {
        let block = Block::bordered().title(" attention entropy ");
        return say(app, frame, area, block, "no figures yet");
    };
    let ends = [watched.attention.first(), watched.attention.last()];
    // Calibrated settings are over t: the window is not of steps.
    let window = if app.quantity.is_calibrated() { Default::default() } else { app.window };
    let x = window.of(bounds(ends.into_iter().flatten().map(|point| point.0), 0.0));
    let n_columns = DOTS_PER_CELL * usize::from(area.width);
    let level = |(index, recorded): (usize, &crate::tui::curves::Recorded)| Curve {
        name: recorded.name.clone(),
        letter: Some(letter(index)),
        style: app.theme.curve(index),
        is_faint: false,
        seen: recorded.series.seen(0.0, x, n_columns),
    };
    let mut curves: Vec<Curve> =
        watched.curves.of(Quantity::Entropy).enumerate().map(level).collect();
    let most = (last.n_pixels as f64).ln();
    let pieces = vec![x.map(|step| (step, most)).to_vec()];
    let seen = Arc::new(VisibleCurve { pieces, broken: Vec::new() });
    let style = app.theme.faint();
    curves.push(Curve { name: "uniform".to_owned(), letter: None, style, is_faint: true, seen });
    let long = format!(" attention entropy, nats (uniform {most:.2}) ");
    let title = match long.len() + 2 <= usize::from(area.width) {
        true => long,
        false => format!(" entropy, nats (uniform {most:.2}) "),
    };
    let block = Block::bordered().title(title).title_bottom(extremes(last));
    let crosshair = app.crosshair.filter(|_| app.tab == CHARTS).map(|crosshair| crosshair.x);
    let plot = Plot { curves, x, dots: app.dots, crosshair, ..Plot::default() };
    draw(app, frame, area, block, &plot);
}

/// The largest logit and sink (share of attention that one pixel receives) over heads and levels.
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

/// Mean over heads at one noise level.
pub(super) fn mean_at(attention: &AttentionMetrics, t: f64) -> Option<f64> {
    let level = attention.levels.iter().find(|level| level.t == t)?;
    let n = level.entropy_nats.len() as f64;
    Some(level.entropy_nats.iter().sum::<f64>() / n).filter(|mean| mean.is_finite())
}
