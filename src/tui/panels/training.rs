//! Curves of a run: the loss over the attention entropy.
//!
//! The raw loss is drawn faint under the smoothed one; points that are not finite break the line and
//! are marked at the bottom, where the latest loss of each range of t stands too. Entropy is drawn per noise level, the mean over heads, under the line of
//! uniform attention, `ln(H W)`.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::symbols::Marker;
use ratatui::widgets::{Axis, Block, Chart, Dataset, GraphType, LegendPosition, Paragraph};

use super::heat;
use crate::lab::event::{AttentionAtLevel, AttentionMetrics};
use crate::tui::app::{App, SMOOTHINGS, Watched};
use crate::tui::chart::{Window, segments, smooth, thin};
use crate::tui::words::number;

/// One line of a chart.
struct Curve {
    name: String,
    points: Vec<(f64, f64)>,
    style: Style,
    kind: GraphType,
}

pub fn charts(app: &App, frame: &mut Frame, area: Rect) {
    let halves = [Constraint::Percentage(55), Constraint::Min(0)];
    let [above, below] = Layout::vertical(halves).areas(area);
    let Some(watched) = &app.watched else {
        frame.render_widget(Block::bordered().title(" loss "), above);
        frame.render_widget(Block::bordered().title(" attention entropy "), below);
        return;
    };
    loss(app, watched, frame, above);
    match app.as_map && !watched.attention.is_empty() {
        true => heat::entropy(app, watched, frame, below),
        false => entropy(app, watched, frame, below),
    }
}

fn loss(app: &App, watched: &Watched, frame: &mut Frame, area: Rect) {
    let scale = |y: f64| if app.log_scale { y.log10() } else { y };
    let raw: Vec<(f64, f64)> = watched.loss.iter().map(|&(x, y)| (x, scale(y))).collect();
    let beside = app.beside().flat_map(|(_, run)| &run.loss);
    let part = app.window.of(bounds(raw.iter().chain(beside).map(|point| point.0), 0.0));
    let past = SMOOTHINGS[app.smoothing];
    let buckets = usize::from(area.width);
    let mut curves = Vec::new();
    for segment in segments(Window::cut(&raw, part)) {
        let style = if past > 0.0 { app.theme.faint() } else { app.theme.strong() };
        curves.push(Curve::line(String::new(), thin(segment, buckets), style));
    }
    if past > 0.0 {
        // Smoothed as a whole: a closer look must not change the curve.
        for segment in segments(Window::cut(&smooth(&raw, past), part)) {
            curves.push(Curve::line(String::new(), thin(segment, buckets), app.theme.strong()));
        }
    }
    for (number, marked) in app.beside() {
        let curve: Vec<(f64, f64)> = marked.loss.iter().map(|&(x, y)| (x, scale(y))).collect();
        let mut name = marked.id.clone();
        for segment in segments(Window::cut(&smooth(&curve, past), part)) {
            // One entry of the legend a run.
            let name = std::mem::take(&mut name);
            curves.push(Curve::line(name, thin(segment, buckets), app.theme.curve(number + 1)));
        }
    }
    let broken: Vec<f64> =
        Window::cut(&raw, part).iter().filter(|p| !p.1.is_finite()).map(|p| p.0).collect();
    let title = match past > 0.0 {
        true => format!(" loss (m: average over ~{:.0} points) ", 1.0 / (1.0 - past)),
        false => " loss (m: not smoothed) ".to_owned(),
    };
    let block = Block::bordered().title(title).title_bottom(by_level(watched, area.width));
    draw(app, frame, area, block, curves, (part, &broken), app.log_scale);
}

/// The latest loss of each range of t; where there is room, with the ranges' ends.
fn by_level(watched: &Watched, width: u16) -> String {
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

fn entropy(app: &App, watched: &Watched, frame: &mut Frame, area: Rect) {
    let Some((_, last)) = watched.attention.last() else {
        let none = watched.experiment.as_ref().is_some_and(|e| e.network.attention == "none");
        let words = if none { "this network has no attention" } else { "no figures yet" };
        let block = Block::bordered().title(" attention entropy ");
        frame.render_widget(Paragraph::new(words).style(app.theme.faint()).block(block), area);
        return;
    };
    let buckets = usize::from(area.width);
    let part = app.window.of(bounds(watched.attention.iter().map(|point| point.0), 0.0));
    let mut curves: Vec<Curve> = last
        .levels
        .iter()
        .enumerate()
        .map(|(i, level)| {
            let points: Vec<(f64, f64)> = watched
                .attention
                .iter()
                .filter_map(|(step, at)| Some((*step, mean_at(at, level.t)?)))
                .collect();
            let points = thin(Window::cut(&points, part), buckets);
            Curve::line(format!("t={}", level.t), points, app.theme.curve(i))
        })
        .collect();
    let most = (last.n_pixels as f64).ln();
    let points = part.map(|step| (step, most)).to_vec();
    curves.push(Curve::line("uniform".to_owned(), points, app.theme.faint()));
    let title = format!(" attention entropy, nats (uniform {most:.2}) ");
    let block = Block::bordered().title(title).title_bottom(extremes(last));
    draw(app, frame, area, block, curves, (part, &[]), false);
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

impl Curve {
    fn line(name: String, points: Vec<(f64, f64)>, style: Style) -> Self {
        Self { name, points, style, kind: GraphType::Line }
    }
}

fn draw(
    app: &App,
    frame: &mut Frame,
    area: Rect,
    block: Block<'_>,
    mut curves: Vec<Curve>,
    (x, broken): ([f64; 2], &[f64]),
    log_scale: bool,
) {
    let all = || curves.iter().flat_map(|curve| &curve.points);
    if all().next().is_none() {
        let words = Paragraph::new("no figures yet").style(app.theme.faint());
        frame.render_widget(words.block(block), area);
        return;
    }
    let y = bounds(all().map(|point| point.1), 0.05);
    if !broken.is_empty() {
        let points = broken.iter().map(|&step| (step, y[0])).collect();
        let name = "not finite".to_owned();
        curves.push(Curve { name, points, style: app.theme.bad(), kind: GraphType::Scatter });
    }
    let sets = curves.iter().map(|curve| {
        let marker = match curve.kind {
            GraphType::Scatter => Marker::Dot,
            _ => Marker::Braille,
        };
        let set = Dataset::default().data(&curve.points).marker(marker).graph_type(curve.kind);
        let set = set.style(curve.style);
        if curve.name.is_empty() { set } else { set.name(curve.name.as_str()) }
    });
    let shown = |value: f64| number(if log_scale { 10_f64.powf(value) } else { value });
    let labels = [y[0], f64::midpoint(y[0], y[1]), y[1]].map(shown);
    let chart = Chart::new(sets.collect())
        .block(block)
        .legend_position(Some(LegendPosition::TopRight))
        .hidden_legend_constraints((Constraint::Percentage(60), Constraint::Percentage(60)))
        .x_axis(Axis::default().bounds(x).labels(x.map(|step| format!("{step:.0}"))))
        .y_axis(Axis::default().bounds(y).labels(labels).style(app.theme.faint()));
    frame.render_widget(chart, area);
}

/// Smallest and largest with a margin; never empty.
fn bounds(values: impl Iterator<Item = f64>, margin: f64) -> [f64; 2] {
    let (low, high) = values
        .filter(|value| value.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return [0.0, 1.0];
    }
    let room = margin * (high - low);
    if high > low { [low - room, high + room] } else { [low - 0.5, low + 0.5] }
}
