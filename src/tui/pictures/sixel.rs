//! Sixel pictures that fill exactly their cells, so that captions are below their pictures.
//!
//! This needs the size of a cell: common encoders assume 6x12 pixels, which is right in no terminal that was tested.

use std::io::{self, Write};

use icy_sixel::{EncodeOptions, SixelImage};
use image::{RgbImage, imageops};
use ratatui::crossterm::cursor::MoveTo;
use ratatui::crossterm::queue;
use ratatui::crossterm::terminal::window_size;
use ratatui::layout::Rect;

/// Widest picture that xterm draws by default (`maxGraphicSize`).
const WIDTH_MAX: u32 = 1000;
/// Smaller than usual cells: a picture that is too small does not cover other cells.
const SMALL_CELL: (u32, u32) = (6, 12);

/// Pixels of a cell, across and down: as the system reports them, or else as the terminal answered.
pub fn cell_size(answered: Option<(u32, u32)>) -> (u32, u32) {
    let of = |pixels: u16, cells: u16| u32::from(pixels).checked_div(cells.into());
    let reported = window_size()
        .ok()
        .and_then(|size| Some((of(size.width, size.columns)?, of(size.height, size.rows)?)));
    let is_known = |cell: &(u32, u32)| cell.0 > 0 && cell.1 > 0;
    reported.filter(is_known).or(answered.filter(is_known)).unwrap_or(SMALL_CELL)
}

/// Prints a picture over the cells of `area`, in parts that every terminal accepts. The cursor's position is undefined
/// afterwards.
///
/// # Errors
///
/// If a part of the picture cannot be encoded, or if writing to `out` fails.
pub fn print(
    image: &RgbImage,
    area: Rect,
    cell: (u32, u32),
    out: &mut impl Write,
) -> io::Result<()> {
    let whole = filling(image, area, cell);
    let step = (WIDTH_MAX / cell.0).max(1);
    for first in (0..u32::from(area.width)).step_by(step as usize) {
        let n_columns = step.min(u32::from(area.width) - first);
        let part =
            imageops::crop_imm(&whole, first * cell.0, 0, n_columns * cell.0, whole.height());
        // Both are below the width of a terminal.
        queue!(out, MoveTo(area.x + first as u16, area.y))?;
        out.write_all(encode(&part.to_image())?.as_bytes())?;
    }
    out.flush()
}

/// A picture with as many pixels as these cells have.
pub fn filling(image: &RgbImage, area: Rect, cell: (u32, u32)) -> RgbImage {
    let (width, height) = (u32::from(area.width) * cell.0, u32::from(area.height) * cell.1);
    imageops::resize(image, width, height, imageops::FilterType::Nearest)
}

/// A picture as one sixel sequence of its own size.
///
/// # Errors
///
/// If a side of the picture is zero, or if the encoder fails.
pub fn encode(image: &RgbImage) -> io::Result<String> {
    let (width, height) = image.dimensions();
    let pixels = image.pixels().flat_map(|pixel| [pixel[0], pixel[1], pixel[2], u8::MAX]).collect();
    // Dithering would add noise between the pixels.
    let options = EncodeOptions { diffusion: 0.0, ..EncodeOptions::default() };
    SixelImage::try_from_rgba(pixels, width as usize, height as usize)
        .and_then(|sixel| sixel.encode_with(&options))
        .map_err(|error| {
            io::Error::other(format!("encoding a picture of {width}x{height}: {error}"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    fn parts(text: &str) -> Vec<(&str, SixelImage)> {
        let ends = text.split_inclusive("\x1b\\");
        ends.map(|part| {
            let (place, _) = part.split_once("\x1bP").unwrap();
            (place, SixelImage::decode(&part.as_bytes()[place.len()..]).unwrap())
        })
        .collect()
    }

    #[test]
    fn a_picture_fills_its_cells_and_keeps_its_colours() {
        let colours = [Rgb([255, 0, 0]), Rgb([0, 0, 255]), Rgb([255, 255, 255])];
        let image = RgbImage::from_fn(3, 1, |x, _| colours[x as usize]);
        let mut out = Vec::new();
        print(&image, Rect::new(4, 2, 3, 1), (7, 14), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let [(place, decoded)] = &parts(&text)[..] else { panic!("{text}") };
        assert_eq!(*place, "\x1b[3;5H");
        assert!(text.contains("\"1;1;21;14"), "{text}");
        // Bands are six pixels high; nothing is drawn below the picture.
        assert_eq!((decoded.width, decoded.height), (21, 18));
        assert!(decoded.pixels[4 * 14 * 21..].iter().all(|&value| value == 0));
        for (x, colour) in [(0, colours[0]), (6, colours[0]), (7, colours[1]), (20, colours[2])] {
            let at = 4 * (13 * decoded.width + x);
            assert_eq!(decoded.pixels[at..at + 3], colour.0, "column {x}");
        }
    }

    #[test]
    fn a_wide_picture_comes_in_parts_that_meet() {
        let image = RgbImage::new(300, 2);
        let mut out = Vec::new();
        print(&image, Rect::new(1, 0, 150, 1), (10, 20), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let found: Vec<_> = parts(&text).iter().map(|(at, part)| (*at, part.width)).collect();
        assert_eq!(found, [("\x1b[1;2H", 1000), ("\x1b[1;102H", 500)]);
    }
}
