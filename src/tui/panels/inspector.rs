//! The inspector of a noise seed: a row for the network and for each machine, with the attention and provenance of one
//! pixel.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph, Wrap};

use super::picture_row::{self, Picture};
use crate::evaluation::inspect::pixel_picture_and_film::{At, View};
use crate::evaluation::inspect::{Actor, Trace};
use crate::tui::number_and_text_format::padded;
use crate::tui::pictures::Placement;
use crate::tui::state::{App, Inspector};

/// Draws the inspector and returns where its pictures belong.
pub fn panel(app: &App, inspector: &Inspector, frame: &mut Frame, area: Rect) -> Vec<Placement> {
    let block = Block::bordered().title(title(inspector));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let Some(trace) = &inspector.trace else {
        let words = format!(
            "Tracing noise seed {} through the network and every machine of {}, step by step. This takes some seconds; Esc goes back.",
            inspector.seed, inspector.run
        );
        frame.render_widget(Paragraph::new(words).wrap(Wrap { trim: true }), inner);
        return Vec::new();
    };
    rows(app, inspector, trace, frame, inner)
}

fn title(inspector: &Inspector) -> String {
    let Some(trace) = &inspector.trace else { return format!(" inside seed {} ", inspector.seed) };
    format!(
        " inside seed {}, training step {}: t = {:.3} (step {} of {}), pixel {},{} ",
        inspector.seed,
        trace.step,
        trace.levels[inspector.at.index],
        inspector.at.index + 1,
        trace.n_steps(),
        inspector.at.pixel.0,
        inspector.at.pixel.1
    )
}

/// Columns and rows of a picture: the largest with which all rows and pictures fit, or else two rows of four pictures, or
/// else one row of three.
fn cell(trace: &Trace, area: Rect) -> (u16, u16) {
    let size = |scale, divisor| picture_row::cells(trace.shape, (scale, divisor), (6, 3));
    let n_views = trace.actors.iter().map(|actor| trace.views(actor).len()).max().unwrap_or(1);
    let fits = |(w, h): (u16, u16), views: u16, actors: u16| {
        u32::from(w + 1) * u32::from(views) <= u32::from(area.width) + 1
            && u32::from(h + 1) * u32::from(actors) <= u32::from(area.height)
    };
    let views = (n_views as u16).min(7);
    let actors = (trace.actors.len() as u16).min(4);
    let large = (1..=6).rev().map(|scale| size(scale, 1));
    let small = [size(1, 1), size(1, 2), size(1, 4)];
    large
        .clone()
        .find(|cell| fits(*cell, views, actors))
        .or_else(|| large.clone().find(|cell| fits(*cell, 4, 2)))
        .or_else(|| small.into_iter().find(|cell| fits(*cell, 3, 1)))
        .unwrap_or(small[2])
}

fn rows(
    app: &App,
    inspector: &Inspector,
    trace: &Trace,
    frame: &mut Frame,
    area: Rect,
) -> Vec<Placement> {
    let (width, height) = cell(trace, area);
    let n_columns = usize::from((area.width + 1) / (width + 1));
    let n_rows = usize::from(area.height / (height + 1));
    let mut placements = Vec::new();
    let actors = trace.actors.iter().skip(inspector.first_actor).take(n_rows);
    for (row, actor) in actors.enumerate() {
        let views = trace.views(actor);
        // The estimate is always shown: it identifies the row.
        let rest = views.iter().copied().filter(|view| *view != View::Estimate);
        let n_rest = views.len().saturating_sub(1);
        let first = inspector.first_view.min(n_rest.saturating_sub(n_columns.saturating_sub(1)));
        let shown: Vec<View> =
            std::iter::once(View::Estimate).chain(rest.skip(first)).take(n_columns).collect();
        let top = area.y + row as u16 * (height + 1);
        let line = |texts: Vec<String>| -> String {
            let width = usize::from(width);
            let cells = texts.iter().map(|text| padded(text, width));
            cells.collect::<Vec<_>>().join(" ")
        };
        let names = shown.iter().map(|view| caption(trace, actor, *view, inspector.at));
        let head = Rect { y: top, height: 1, ..area }.intersection(area);
        frame.render_widget(Line::styled(line(names.collect()), app.theme.faint()), head);
        let pictures: Vec<Option<Picture>> = shown
            .iter()
            .map(|view| {
                let image = trace.view(actor, *view, inspector.at)?;
                Some(Picture { image, mark: trace.mark(actor, *view, inspector.at) })
            })
            .collect();
        let place = Rect { y: top + 1, height, ..area }.intersection(area);
        let identity =
            (&inspector.run, inspector.seed, trace.step, &actor.name, inspector.at, &shown);
        placements.extend(picture_row::draw(
            app,
            frame,
            place,
            (width, height),
            &pictures,
            identity,
        ));
    }
    placements
}

/// Name and figure of a view, short enough for the width of a picture.
fn caption(trace: &Trace, actor: &Actor, view: View, at: At) -> String {
    let figure = trace.figure(actor, view, at);
    match (view, figure) {
        (View::Estimate, _) => actor.name.replace("attention-", "att-"),
        (View::Attention(head), Some(figure)) => format!("h{head} {figure}"),
        (View::Provenance, Some(figure)) => format!("from {figure}"),
        (View::Entropy, Some(figure)) => format!("ent. {figure}"),
        (View::Leading(_), Some(figure)) => figure,
        (view, _) => view.name(),
    }
}
