//! temporary
use super::probe::Protocol;
use ::image::RgbImage;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Color;
use std::io;
use std::sync::Arc;
pub struct Placement {
    pub area: Rect,
    pub image: Arc<RgbImage>,
    pub key: u64,
}
#[derive(Default)]
pub struct Printer;
impl Printer {
    pub fn show(
        &mut self,
        _p: Protocol,
        _pl: &[Placement],
        _out: &mut dyn io::Write,
    ) -> io::Result<()> {
        Ok(())
    }
    pub fn clear(&mut self, _out: &mut dyn io::Write) -> io::Result<()> {
        Ok(())
    }
}
pub fn reserve(_area: Rect, _buffer: &mut Buffer) {}
pub fn draw_blocks(image: &RgbImage, area: Rect, buffer: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let (w, h) = (u32::from(area.width), u32::from(area.height) * 2);
    for y in 0..area.height {
        for x in 0..area.width {
            let at = |row: u32| {
                let p =
                    image.get_pixel(u32::from(x) * image.width() / w, row * image.height() / h).0;
                Color::Rgb(p[0], p[1], p[2])
            };
            if let Some(cell) = buffer.cell_mut((area.x + x, area.y + y)) {
                cell.set_symbol("▀").set_fg(at(u32::from(y) * 2)).set_bg(at(u32::from(y) * 2 + 1));
            }
        }
    }
}
