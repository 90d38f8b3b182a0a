//! Takes a screenshot of the dashboard.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;

use super::pictures::{Depth, Protocol};
use super::screenshot::Screenshot;
use super::state::{App, Pane};
use super::view::view;

/// Draws a pane, or the whole screen, as if it had `width` x `height` cells, all colours, and pictures as half-blocks.
pub fn capture(app: &mut App, (width, height): (u16, u16), pane: Option<Pane>) -> Screenshot {
    let Ok(mut terminal) = Terminal::new(TestBackend::new(width, height));
    let usual = (app.display.protocol, app.display.depth);
    (app.display.protocol, app.display.depth) = (Protocol::Blocks, Depth::Truecolour);
    let mut regions = Vec::new();
    let Ok(drawn) = terminal.draw(|frame| regions = view(app, frame).regions);
    (app.display.protocol, app.display.depth) = usual;
    let found = regions.iter().rev().find(|region| Some(region.pane) == pane);
    let area = found.map_or(drawn.area, |region| region.area).intersection(drawn.area);
    let mut buffer = Buffer::empty(area);
    area.positions().for_each(|place| buffer[place] = drawn.buffer[place].clone());
    Screenshot { buffer, is_light: app.theme.is_light() }
}
