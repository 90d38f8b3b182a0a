//! Pictures in the terminal: half-blocks into ratatui's buffer, real images behind its back.
//!
//! This is the only file that prints. viuer writes to standard output after the frame, so the cells
//! under a real image are marked to be skipped by ratatui, and a picture is printed only when it, its
//! place or the protocol changed. Kitty images float over text: they are deleted before anything else is
//! printed in their place, on a popup, a tab change and on leaving.

use std::io::{self, Write};
use std::sync::Arc;

use ::image::{DynamicImage, RgbImage};
use ratatui::buffer::{Buffer, CellDiffOption};
use ratatui::crossterm::terminal::{BeginSynchronizedUpdate, EndSynchronizedUpdate};
use ratatui::crossterm::{cursor, queue};
use ratatui::layout::Rect;
use ratatui::style::Color;

use super::probe::Protocol;

/// A picture and the cells it belongs in.
#[derive(Clone, Debug)]
pub struct Placement {
    pub area: Rect,
    pub image: Arc<RgbImage>,
    /// Stands for the content: equal keys are equal pictures.
    pub key: u64,
}

/// Deletes all kitty images and frees their memory, without an answer.
const KITTY_DELETE: &[u8] = b"\x1b_Ga=d,d=A,q=2\x1b\\";
const UPPER_HALF: &str = "▀";

/// Prints real images, and knows what is on the screen.
#[derive(Debug, Default)]
pub struct Printer {
    shown: Vec<(Rect, u64)>,
    protocol: Option<Protocol>,
}

impl Printer {
    /// Whether pictures that are going away would be left on the screen: sixel and iTerm2 images are
    /// gone only when every cell under them is written again.
    pub fn leaves_traces(&self, protocol: Protocol, placements: &[Placement]) -> bool {
        let painted = matches!(self.protocol, Some(Protocol::Sixel | Protocol::Iterm));
        painted && !self.shown.is_empty() && !self.shows(protocol, placements)
    }

    fn shows(&self, protocol: Protocol, placements: &[Placement]) -> bool {
        let wanted = placements.iter().map(|p| (p.area, p.key));
        self.protocol == Some(protocol) && self.shown.iter().copied().eq(wanted)
    }

    /// Brings the screen to `placements`; call it after each frame.
    pub fn show(
        &mut self,
        protocol: Protocol,
        placements: &[Placement],
        out: &mut impl Write,
    ) -> io::Result<()> {
        if self.shows(protocol, placements) {
            return Ok(());
        }
        self.clear(out)?;
        if !placements.is_empty() {
            queue!(out, BeginSynchronizedUpdate, cursor::SavePosition)?;
            out.flush()?;
            let printed = placements.iter().try_for_each(|placement| print(protocol, placement));
            queue!(out, cursor::RestorePosition, EndSynchronizedUpdate)?;
            out.flush()?;
            printed?;
        }
        self.shown = placements.iter().map(|p| (p.area, p.key)).collect();
        self.protocol = Some(protocol);
        Ok(())
    }

    /// Takes kitty images away; those of other protocols are overwritten by the next frame's text.
    pub fn clear(&mut self, out: &mut impl Write) -> io::Result<()> {
        if self.protocol == Some(Protocol::Kitty) && !self.shown.is_empty() {
            out.write_all(KITTY_DELETE)?;
            out.flush()?;
        }
        self.shown.clear();
        Ok(())
    }
}

fn print(protocol: Protocol, placement: &Placement) -> io::Result<()> {
    let Rect { x, y, width, height } = placement.area;
    if placement.area.is_empty() {
        return Ok(());
    }
    // Exactly one protocol, or viuer chooses by its own lights.
    let config = viuer::Config {
        x,
        y: i16::try_from(y).map_err(io::Error::other)?,
        absolute_offset: true,
        restore_cursor: false,
        width: Some(u32::from(width)),
        height: Some(u32::from(height)),
        use_kitty: protocol == Protocol::Kitty,
        use_iterm: protocol == Protocol::Iterm,
        use_sixel: protocol == Protocol::Sixel,
        ..viuer::Config::default()
    };
    let image = DynamicImage::ImageRgb8(RgbImage::clone(&placement.image));
    viuer::print(&image, &config).map(drop).map_err(io::Error::other)
}

/// Keeps ratatui from writing into the cells of a real image.
pub fn reserve(area: Rect, buffer: &mut Buffer) {
    for position in area.intersection(buffer.area).positions() {
        if let Some(cell) = buffer.cell_mut(position) {
            cell.set_diff_option(CellDiffOption::Skip);
        }
    }
}

/// Draws `image` with half-blocks, two pixels a cell, as large as fits in whole enlargements and in
/// the middle of `area`; one that is too large is thinned out.
pub fn draw_blocks(image: &RgbImage, area: Rect, buffer: &mut Buffer) {
    let area = area.intersection(buffer.area);
    let (width, height) = image.dimensions();
    let (wide, tall) = (u32::from(area.width), 2 * u32::from(area.height));
    if area.is_empty() || width == 0 || height == 0 {
        return;
    }
    let factor = (wide / width).min(tall / height);
    let drawn = match factor {
        // Kept in proportion: the side that is most too large decides.
        0 if wide * height < tall * width => (wide, (wide * height / width).max(1)),
        0 => ((tall * width / height).max(1), tall),
        factor => (width * factor, height * factor),
    };
    let left = area.x + ((wide - drawn.0) / 2) as u16;
    let top = area.y + ((tall - drawn.1) / 4) as u16;
    let colour = |column: u32, row: u32| {
        let (x, y) = (column * width / drawn.0, row * height / drawn.1);
        let [red, green, blue] = image.get_pixel(x.min(width - 1), y.min(height - 1)).0;
        Color::Rgb(red, green, blue)
    };
    for row in (0..drawn.1).step_by(2) {
        for column in 0..drawn.0 {
            let place = (left + column as u16, top + (row / 2) as u16);
            let Some(cell) = buffer.cell_mut(place) else { continue };
            cell.set_symbol(UPPER_HALF).set_fg(colour(column, row));
            // Below an odd last row lies the screen's own background.
            let below = if row + 1 < drawn.1 { colour(column, row + 1) } else { Color::Reset };
            cell.set_bg(below);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::image::Rgb;

    fn checkers(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([(x * 10) as u8, (y * 10) as u8, 7]))
    }

    #[test]
    fn two_pixels_share_a_cell() {
        let area = Rect::new(0, 0, 2, 1);
        let mut buffer = Buffer::empty(area);
        draw_blocks(&checkers(2, 2), area, &mut buffer);
        let cell = &buffer[(1, 0)];
        assert_eq!(cell.symbol(), UPPER_HALF);
        assert_eq!((cell.fg, cell.bg), (Color::Rgb(10, 0, 7), Color::Rgb(10, 10, 7)));
    }

    #[test]
    fn enlargement_is_whole_and_centred() {
        let area = Rect::new(0, 0, 7, 3);
        let mut buffer = Buffer::empty(area);
        draw_blocks(&checkers(3, 3), area, &mut buffer);
        // 3 pixels twice over are 6 columns and 3 cells; the seventh column is free.
        assert_eq!(buffer[(0, 0)].fg, buffer[(1, 0)].fg);
        assert_eq!(buffer[(6, 0)].symbol(), " ");
        assert_eq!(buffer[(5, 2)].bg, Color::Rgb(20, 20, 7));
    }

    #[test]
    fn any_area_and_picture_is_safe() {
        for (width, height) in [(0, 0), (1, 0), (0, 1), (1, 1), (3, 2), (40, 30)] {
            for picture in [(1, 1), (16, 16), (5, 9), (64, 3)] {
                let area = Rect::new(0, 0, width, height);
                let mut buffer = Buffer::empty(area);
                draw_blocks(&checkers(picture.0, picture.1), area, &mut buffer);
                draw_blocks(&checkers(picture.0, picture.1), Rect::new(2, 2, 90, 90), &mut buffer);
            }
        }
    }

    #[test]
    fn reserved_cells_are_left_to_the_printer() {
        let area = Rect::new(0, 0, 4, 2);
        let (before, mut after) = (Buffer::empty(area), Buffer::empty(area));
        reserve(Rect::new(0, 0, 2, 1), &mut after);
        after[(0, 0)].set_symbol("x");
        after[(3, 1)].set_symbol("y");
        let written: Vec<(u16, u16)> =
            before.diff(&after).iter().map(|(x, y, _)| (*x, *y)).collect();
        assert_eq!(written, [(3, 1)]);
    }

    #[test]
    fn kitty_images_are_deleted_once() {
        let mut printer =
            Printer { shown: vec![(Rect::new(0, 0, 4, 4), 1)], protocol: Some(Protocol::Kitty) };
        let mut out = Vec::new();
        printer.show(Protocol::Kitty, &[], &mut out).unwrap();
        assert_eq!(out, KITTY_DELETE);
        printer.clear(&mut out).unwrap();
        assert_eq!(out, KITTY_DELETE, "nothing is left to delete");
    }
}
