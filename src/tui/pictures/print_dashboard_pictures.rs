//! Prints pictures of pixels after a frame, and only when they changed.
//!
//! This is the only file that writes behind ratatui's back; the cells below were reserved ([`super::placement::reserve`]).

use std::io::{self, Write};

use ratatui::crossterm::cursor::{MoveTo, RestorePosition, SavePosition};
use ratatui::crossterm::terminal::{BeginSynchronizedUpdate, EndSynchronizedUpdate, size};
use ratatui::crossterm::{execute, queue};
use ratatui::layout::{Rect, Size};

use super::half_blocks::shrunk;
use super::placement::Placement;
use super::protocol_choice::Protocol;
use super::{kitty_and_iterm2, sixel};

const DELETE_KITTY_PICTURES: &[u8] = b"\x1b_Ga=d,d=A,q=2\x1b\\";

/// Keys and areas of the pictures on the screen.
type Shown = Vec<(u64, Rect)>;

/// Prints pictures after a frame, and only when they changed.
#[derive(Debug, Default)]
pub struct Printer {
    shown: Option<(Protocol, Shown)>,
    /// Pixels of a cell, if the terminal reported them.
    cell: Option<(u32, u32)>,
}

impl Printer {
    /// `cell` is the size of a cell in pixels, if the terminal reported it.
    pub fn new(cell: Option<(u32, u32)>) -> Self {
        Self { shown: None, cell }
    }

    /// Prints `placements` in place of the pictures on the screen, if they changed. To be called after each frame. `Blocks`
    /// and `Off` only remove the pictures of another protocol.
    ///
    /// # Errors
    ///
    /// If the size of the screen is unknown, a picture cannot be encoded, or writing to `out` fails.
    pub fn show(
        &mut self,
        protocol: Protocol,
        placements: &[Placement],
        out: &mut impl Write,
    ) -> io::Result<()> {
        let screen = size()?.into();
        let placed = placed(protocol, placements, screen);
        let request = identity(&placed);
        if !self.must_print(protocol, &request) {
            return Ok(());
        }
        // Reserved cells still show their former content: text of another tab, or the edge of a larger picture.
        let erase: Vec<Rect> =
            placed.iter().map(|(one, _)| above_last_row(one.area, screen)).collect();
        let cell = sixel::cell_size(self.cell);
        execute!(out, BeginSynchronizedUpdate, SavePosition)?;
        let printed = self.remove_kitty(out).and_then(|()| blank(&erase, out)).and_then(|()| {
            placed.iter().try_for_each(|(one, area)| match protocol {
                Protocol::Sixel => sixel::print(&one.image, *area, cell, out),
                _ => kitty_and_iterm2::print(protocol, &one.image, *area, out),
            })
        });
        execute!(out, RestorePosition, EndSynchronizedUpdate)?;
        self.shown = (!request.is_empty()).then_some((protocol, request));
        printed
    }

    /// Removes the pictures, so that the next [`Printer::show`] prints all of them.
    ///
    /// # Errors
    ///
    /// If writing to `out` fails.
    pub fn clear(&mut self, out: &mut impl Write) -> io::Result<()> {
        let result = self.remove_kitty(out);
        self.shown = None;
        result
    }

    /// Whether the next [`Printer::show`] replaces or removes pictures that are part of the cells (sixel, iTerm2). The caller
    /// should clear the screen then.
    pub fn leaves_traces(&self, protocol: Protocol, placements: &[Placement]) -> bool {
        let in_cells = matches!(self.shown, Some((Protocol::Sixel | Protocol::Iterm, _)));
        let changed = |screen: (u16, u16)| {
            self.must_print(protocol, &identity(&placed(protocol, placements, screen.into())))
        };
        in_cells && size().is_ok_and(changed)
    }

    fn must_print(&self, protocol: Protocol, request: &Shown) -> bool {
        match &self.shown {
            Some((before, shown)) => *before != protocol || shown != request,
            None => !request.is_empty(),
        }
    }

    fn remove_kitty(&self, out: &mut impl Write) -> io::Result<()> {
        if matches!(self.shown, Some((Protocol::Kitty, _))) {
            out.write_all(DELETE_KITTY_PICTURES)?;
        }
        out.flush()
    }
}

fn identity(placed: &[(&Placement, Rect)]) -> Shown {
    placed.iter().map(|(one, area)| (one.key, *area)).collect()
}

/// The placements that can be printed, each with the exact cells it will fill.
fn placed(protocol: Protocol, placements: &[Placement], screen: Size) -> Vec<(&Placement, Rect)> {
    if !protocol.is_graphical() {
        return Vec::new();
    }
    let fitted = |one| Some((one, fit(one, above_last_row(one.area, screen))?));
    placements.iter().filter_map(fitted).collect()
}

/// The part of `area` that is on the screen and not in its last row.
fn above_last_row(area: Rect, screen: Size) -> Rect {
    area.intersection(Rect::new(0, 0, screen.width, screen.height.saturating_sub(1)))
}

/// The largest centred rectangle of the picture's shape in `area`.
fn fit(placement: &Placement, area: Rect) -> Option<Rect> {
    let (width, height) = placement.image.dimensions();
    if area.is_empty() || width == 0 || height == 0 {
        return None;
    }
    let bounds = (u32::from(area.width), 2 * u32::from(area.height));
    let (across, down) = shrunk((width, height), bounds);
    // Both are within `area`, whose sides are u16.
    let (across, down) = (across as u16, down.div_ceil(2) as u16);
    let left = area.x + (area.width - across) / 2;
    let top = area.y + (area.height - down) / 2;
    Some(Rect::new(left, top, across, down))
}

fn blank(areas: &[Rect], out: &mut impl Write) -> io::Result<()> {
    if areas.is_empty() {
        return Ok(());
    }
    // Reset colours first: a frame may have ended in any of them.
    out.write_all(b"\x1b[0m")?;
    for area in areas {
        let line = " ".repeat(area.width.into());
        for row in area.rows() {
            queue!(out, MoveTo(row.x, row.y))?;
            out.write_all(line.as_bytes())?;
        }
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use image::RgbImage;
    use ratatui::buffer::Buffer;

    use super::super::colour_depth::Depth;
    use super::super::half_blocks::draw_blocks;
    use super::super::placement::reserve;
    use super::*;

    fn placement(area: Rect, key: u64) -> Placement {
        Placement { area, image: Arc::new(RgbImage::new(8, 8)), key }
    }

    #[test]
    fn no_size_of_picture_or_area_panics() {
        let image = |width, height| RgbImage::new(width, height);
        for sizes in [(0, 0), (0, 3), (3, 0), (1, 1), (100, 1), (1, 100), (33, 17)] {
            for (width, height) in [(0, 0), (1, 0), (0, 1), (1, 1), (2, 1), (200, 200)] {
                let mut buffer = Buffer::empty(Rect::new(3, 3, 5, 2));
                let area = Rect::new(2, 4, width, height);
                draw_blocks(Depth::Truecolour, &image(sizes.0, sizes.1), area, &mut buffer);
                draw_blocks(Depth::Palette, &image(sizes.0, sizes.1), area, &mut buffer);
                reserve(area, &mut buffer);
                let one = Placement { area, image: Arc::new(image(sizes.0, sizes.1)), key: 0 };
                for screen in [Size::new(0, 0), Size::new(1, 1), Size::new(80, 24)] {
                    for (_, filled) in placed(Protocol::Kitty, std::slice::from_ref(&one), screen) {
                        assert!(filled.bottom() < screen.height && filled.right() <= screen.width);
                        assert!(!filled.is_empty() && area.intersection(filled) == filled);
                    }
                }
            }
        }
    }

    #[test]
    fn printing_happens_only_on_a_change() {
        let screen = Size::new(80, 24);
        let wanted = |key, x| -> Shown {
            let one = placement(Rect::new(x, 2, 10, 5), key);
            placed(Protocol::Kitty, &[one], screen).iter().map(|(p, a)| (p.key, *a)).collect()
        };
        let printer = Printer { shown: Some((Protocol::Kitty, wanted(1, 0))), cell: None };
        assert!(!printer.must_print(Protocol::Kitty, &wanted(1, 0)));
        assert!(printer.must_print(Protocol::Kitty, &wanted(2, 0)));
        assert!(printer.must_print(Protocol::Kitty, &wanted(1, 1)));
        assert!(printer.must_print(Protocol::Sixel, &wanted(1, 0)));
        assert!(printer.must_print(Protocol::Blocks, &Shown::new()));
        assert!(!Printer::new(None).must_print(Protocol::Blocks, &Shown::new()));
    }

    #[test]
    fn clear_deletes_kitty_pictures_once_and_forgets() {
        let shown = vec![(1, Rect::new(0, 0, 2, 1))];
        let mut printer = Printer { shown: Some((Protocol::Kitty, shown.clone())), cell: None };
        let mut out = Vec::new();
        printer.clear(&mut out).unwrap();
        printer.clear(&mut out).unwrap();
        assert_eq!(out, DELETE_KITTY_PICTURES);
        assert!(printer.must_print(Protocol::Kitty, &shown));
    }
}
