//! Every setting of the run on screen; what differs from the default stands out.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph};

use crate::tui::app::App;
use crate::tui::words::clipped;

/// Columns of keys and of values.
const KEY: usize = 28;
const VALUE: usize = 34;

pub fn list(app: &App, frame: &mut Frame, area: Rect) {
    let block =
        Block::bordered().title(" settings (bold: not the default; e edits and relaunches) ");
    let experiment = app.watched.as_ref().and_then(|watched| watched.experiment.as_ref());
    let Some(experiment) = experiment else {
        frame.render_widget(block, area);
        return;
    };
    let lines = experiment.entries().into_iter().skip(app.first_setting).map(|entry| {
        let style = if entry.is_default { app.theme.faint() } else { app.theme.strong() };
        Line::from(vec![
            Span::raw(format!(" {:<KEY$} ", clipped(entry.key, KEY))),
            Span::styled(format!("{:<VALUE$} ", clipped(&entry.value, VALUE)), style),
            Span::styled(entry.doc, app.theme.faint()),
        ])
    });
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()).block(block), area);
}
