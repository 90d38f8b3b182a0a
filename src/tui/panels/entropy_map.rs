//! Attention entropy as a map: training steps to the right, noise level t upwards. The predictions of score machines for
//! the same images are drawn beside it in the same colours.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Block;

use crate::runs::event::AttentionMetrics;
use crate::tui::number_and_text_format::clipped;
use crate::tui::state::{App, OpenRun};

/// Columns of the labels on the left, and of a prediction with the gap before it.
const LABEL: u16 = 6;
const PREDICTION: u16 = 11;
/// Characters of rising entropy, used where there are no colours.
const SHADES: [&str; 5] = [" ", "░", "▒", "▓", "█"];
/// Five colours of the cividis map, which people with colour vision deficiency see as others do.
const COLOURS: [[u8; 3]; 5] =
    [[0, 34, 78], [66, 78, 108], [124, 123, 120], [187, 174, 108], [253, 231, 55]];

/// Draws the map of the open run.
pub fn entropy(app: &App, open: &OpenRun, frame: &mut Frame, area: Rect) {
    let Some((_, last)) = open.attention.last() else { return };
    let times: Vec<f64> = last.levels.iter().map(|level| level.t).collect();
    let all = open.attention.iter().map(|(_, at)| at);
    let all = all.chain(open.predicted_attention.iter().map(|(_, at)| at));
    let values = all.flat_map(|at| times.iter().filter_map(|t| mean_at(at, *t)));
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    // An empty range would show rounding errors.
    let low = low.min(high - 0.01);
    let most = (last.n_pixels as f64).ln();
    let title = " attention entropy, nats (v: curves) ";
    let scale = format!(" dark {low:.2}, bright {high:.2}; uniform {most:.2} ");
    let block = Block::bordered().title(title).title_bottom(scale);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let room = inner.width.saturating_sub(LABEL);
    // Predictions are left out before the map is.
    let n_shown = (room / 2 / PREDICTION).min(open.predicted_attention.len() as u16);
    let width = room.saturating_sub(n_shown * PREDICTION);
    let height = inner.height.saturating_sub(1);
    if width == 0 || height == 0 || times.is_empty() {
        return;
    }
    let lefts = (inner.x + LABEL + width + 1..).step_by(PREDICTION.into());
    let predictions = || lefts.clone().zip(open.predicted_attention.iter().take(n_shown.into()));
    let columns = columns(open, usize::from(width));
    let buffer = frame.buffer_mut();
    for row in 0..height {
        // The largest t is at the top.
        let band = usize::from(row) * times.len() / usize::from(height);
        let level = times.len() - 1 - band;
        let is_first =
            row == 0 || (usize::from(row) - 1) * times.len() / usize::from(height) != band;
        let y = inner.y + row;
        if is_first {
            let label = format!("t={:<3}", times[level]);
            buffer.set_stringn(inner.x, y, label, usize::from(LABEL), app.theme.faint());
        }
        let value = |at: &AttentionMetrics| mean_at(at, times[level]);
        for (x, at) in columns.iter().enumerate() {
            let place = (inner.x + LABEL + x as u16, y);
            paint(app, buffer, place, value(at), [low, high]);
        }
        for (left, (_, at)) in predictions() {
            for x in 0..PREDICTION - 1 {
                paint(app, buffer, (left + x, y), value(at), [low, high]);
            }
        }
    }
    let foot = inner.y + height;
    let steps = [open.attention.first(), open.attention.last()];
    let [first, end] = steps.map(|at| at.map_or(String::new(), |(step, _)| format!("{step:.0}")));
    let gap = usize::from(width).saturating_sub(first.len() + end.len());
    let line = Line::styled(format!("{first}{}{end}", " ".repeat(gap)), app.theme.faint());
    buffer.set_line(inner.x + LABEL, foot, &line, width);
    for (left, (machine, _)) in predictions() {
        let name = machine.strip_prefix("attention-").unwrap_or(machine);
        let room = usize::from(PREDICTION - 1);
        buffer.set_stringn(left, foot, clipped(name, room), room, app.theme.faint());
    }
}

/// The measurement that each column shows. Columns are evenly spaced in training steps; each shows the last measurement at
/// or before its step.
fn columns(open: &OpenRun, width: usize) -> Vec<&AttentionMetrics> {
    let all = &open.attention;
    let (Some(first), Some(last)) = (all.first(), all.last()) else { return Vec::new() };
    let at = |x: usize| {
        let share = if width > 1 { x as f64 / (width - 1) as f64 } else { 1.0 };
        let step = first.0 + share * (last.0 - first.0);
        let place = all.partition_point(|(other, _)| *other <= step).max(1) - 1;
        &all[place].1
    };
    (0..width).map(at).collect()
}

/// Colours a cell by its value; a dot marks a missing value.
fn paint(
    app: &App,
    buffer: &mut Buffer,
    place: (u16, u16),
    value: Option<f64>,
    [low, high]: [f64; 2],
) {
    let Some(cell) = buffer.cell_mut(place) else { return };
    let Some(value) = value else {
        cell.set_symbol("·");
        return;
    };
    let share = ((value - low) / (high - low)).clamp(0.0, 1.0);
    match app.theme.has_colours() {
        true => drop(cell.set_symbol(" ").set_bg(app.display.depth.colour(colour(share)))),
        false => {
            let shade = (share * (SHADES.len() - 1) as f64).round() as usize;
            cell.set_symbol(SHADES[shade]);
        }
    }
}

/// Linear interpolation between the five colours; `share` in [0, 1].
fn colour(share: f64) -> [u8; 3] {
    let place = share * (COLOURS.len() - 1) as f64;
    let below = (place as usize).min(COLOURS.len() - 2);
    let part = place - below as f64;
    std::array::from_fn(|c| {
        let (a, b) = (f64::from(COLOURS[below][c]), f64::from(COLOURS[below + 1][c]));
        (a + part * (b - a)).round() as u8
    })
}

/// Entropy at one noise level, the mean over heads.
fn mean_at(attention: &AttentionMetrics, t: f64) -> Option<f64> {
    let level = attention.levels.iter().find(|level| level.t == t)?;
    let n = level.entropy_nats.len() as f64;
    Some(level.entropy_nats.iter().sum::<f64>() / n).filter(|mean| mean.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_run_from_dark_to_bright_through_their_points() {
        assert_eq!([colour(0.0), colour(0.5), colour(1.0)], [COLOURS[0], COLOURS[2], COLOURS[4]]);
        let bright = |share: f64| colour(share).iter().map(|v| u32::from(*v)).sum::<u32>();
        assert!((0..20).all(|i| bright(f64::from(i) / 20.0) < bright(f64::from(i + 1) / 20.0)));
    }
}
