//! The readings of the crosshair: a line per curve with its value, its moving average, and the difference from the anchor.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph};

use crate::tui::number_and_text_format::{clipped, clipped_name, padded, precise};
use crate::tui::state::chart_curves::{CurveReading, Value};
use crate::tui::state::{App, Crosshair};

/// Columns of a curve's name, and of a figure.
const NAME: usize = 24;
const FIGURE: usize = 12;

/// Draws the readings at the top of `area` and returns the rest of it.
pub fn panel(app: &App, crosshair: Crosshair, frame: &mut Frame, area: Rect) -> Rect {
    let readings = app.crosshair_readings();
    // The chart below stays if there is room for both.
    let request = readings.len() as u16 + 3;
    let height = if area.height >= request + 8 { request } else { area.height };
    let [here, rest] =
        Layout::vertical([Constraint::Length(height), Constraint::Min(0)]).areas(area);
    let axis = if app.charts.quantity.is_calibrated() { "t =" } else { "step" };
    let title = match crosshair.anchor {
        None => format!(" at {axis} {} ", precise(crosshair.x)),
        Some(anchor) => {
            format!(" at {axis} {}, against {} ", precise(crosshair.x), precise(anchor))
        }
    };
    let block = Block::bordered().title(title);
    let rows = usize::from(block.inner(here).height);
    let mut lines = vec![Line::styled(head(&readings), app.theme.faint())];
    // The last line is either a reading or says how many are left out.
    let n_shown = if readings.len() < rows { readings.len() } else { rows.saturating_sub(2) };
    lines.extend(readings.iter().take(n_shown).map(|reading| line(app, crosshair, reading)));
    if n_shown < readings.len() {
        let words = format!("and {} more (z: more room)", readings.len() - n_shown);
        lines.push(Line::styled(words, app.theme.faint()));
    }
    frame.render_widget(Paragraph::new(lines).block(block), here);
    rest
}

fn head(readings: &[CurveReading<'_>]) -> String {
    let mut text = format!("{} {}", padded("", NAME), padded("value", FIGURE));
    if readings.iter().any(|reading| reading.here.is_some_and(|here| here.smoothed.is_some())) {
        text += &padded("smoothed", FIGURE);
    }
    if readings.iter().any(|reading| reading.anchor.is_some()) {
        text += "difference";
    }
    text
}

fn line(app: &App, crosshair: Crosshair, reading: &CurveReading<'_>) -> Line<'static> {
    let style = app.theme.curve_colour(reading.curve.colour);
    let letter = reading.curve.letter.unwrap_or('─');
    let name = match reading.curve.name.as_str() {
        "" => app.charts.quantity.name(),
        name => name,
    };
    let name = clipped_name(name, NAME - 2);
    let mut spans = vec![Span::styled(padded(&format!("{letter} {name}"), NAME), style)];
    let Some(here) = reading.here else {
        spans.push(Span::styled(" not recorded here", app.theme.faint()));
        return Line::from(spans);
    };
    spans.push(Span::raw(format!(" {}", padded(&precise(here.raw), FIGURE))));
    if let Some(value) = here.smoothed {
        spans.push(Span::raw(padded(&precise(value), FIGURE)));
    }
    if let Some(anchor) = reading.anchor {
        // Differences of averages if there are some: raw values are too noisy.
        let value = |value: Value| value.smoothed.unwrap_or(value.raw);
        let difference = value(here) - value(anchor);
        let sign = if difference >= 0.0 { "+" } else { "" };
        spans.push(Span::raw(padded(&format!("{sign}{}", precise(difference)), FIGURE)));
    }
    if here.x != crosshair.x {
        let words = format!("recorded at {}", precise(here.x));
        spans.push(Span::styled(clipped(&words, 24), app.theme.faint()));
    }
    Line::from(spans)
}
