//! Pictures as half-blocks in ratatui's buffer: ordinary cells, which work in every terminal and can be tested.
//!
//! A cell is taken to be twice as high as it is wide, so the upper-half-block character shows two square pixels.

use image::RgbImage;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::colour_depth::Depth;

const UPPER_HALF_BLOCK: &str = "\u{2580}";

/// Draws `image` as half-blocks, centred in `area`, in the colours of `depth`: enlarged by a whole
/// number if it fits, otherwise shrunk.
pub fn draw_blocks(depth: Depth, image: &RgbImage, area: Rect, buffer: &mut Buffer) {
    let area = area.intersection(buffer.area);
    let bounds = (u32::from(area.width), 2 * u32::from(area.height));
    let Some((width, height)) = block_size(image.dimensions(), bounds) else { return };
    let left = (bounds.0 - width) / 2;
    let top = (u32::from(area.height) - height.div_ceil(2)) / 2;
    let colour = |column, row| depth.colour(mean_of_part(image, (width, height), (column, row)));
    for row in 0..height.div_ceil(2) {
        for column in 0..width {
            let position = (offset(area.x, left + column), offset(area.y, top + row));
            let Some(cell) = buffer.cell_mut(position) else { continue };
            cell.reset();
            cell.set_symbol(UPPER_HALF_BLOCK).set_fg(colour(column, 2 * row));
            if 2 * row + 1 < height {
                cell.set_bg(colour(column, 2 * row + 1));
            }
        }
    }
}

/// A coordinate on the screen; these fit in 16 bits.
fn offset(origin: u16, distance: u32) -> u16 {
    origin.saturating_add(u16::try_from(distance).unwrap_or(u16::MAX))
}

/// The drawn size in half-block pixels, which are square; `None` if the picture or the area is empty.
fn block_size((width, height): (u32, u32), bounds: (u32, u32)) -> Option<(u32, u32)> {
    if width == 0 || height == 0 || bounds.0 == 0 || bounds.1 == 0 {
        return None;
    }
    match (bounds.0 / width).min(bounds.1 / height) {
        0 => Some(shrunk((width, height), bounds)),
        factor => Some((width * factor, height * factor)),
    }
}

/// The largest size of the same shape within `bounds`, each side at least 1. No argument may be zero.
pub fn shrunk((width, height): (u32, u32), bounds: (u32, u32)) -> (u32, u32) {
    let scaled = |side: u32, by: u32, of: u32| {
        let rounded = (u64::from(side) * u64::from(by) + u64::from(of) / 2) / u64::from(of);
        u32::try_from(rounded).unwrap_or(u32::MAX)
    };
    if u64::from(bounds.0) * u64::from(height) <= u64::from(bounds.1) * u64::from(width) {
        (bounds.0, scaled(height, bounds.0, width).clamp(1, bounds.1))
    } else {
        (scaled(width, bounds.1, height).clamp(1, bounds.0), bounds.1)
    }
}

/// The mean colour of the part of `image` that becomes the pixel `at` of an image of `size`; when enlarging by a whole
/// number, that part is one pixel.
fn mean_of_part(image: &RgbImage, size: (u32, u32), at: (u32, u32)) -> [u8; 3] {
    let part = |side: u32, count: u32, index: u32| {
        let start = u64::from(index) * u64::from(side) / u64::from(count);
        let end = (u64::from(index) + 1) * u64::from(side) / u64::from(count);
        // Both are at most `side`, a u32.
        (start as u32, end.max(start + 1) as u32)
    };
    let (left, right) = part(image.width(), size.0, at.0);
    let (top, bottom) = part(image.height(), size.1, at.1);
    let mut sums = [0_u64; 3];
    for y in top..bottom {
        for x in left..right {
            let pixel = image.get_pixel(x, y).0;
            sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += u64::from(value));
        }
    }
    let count = u64::from(right - left) * u64::from(bottom - top);
    // The mean of bytes fits in a byte.
    sums.map(|sum| ((sum + count / 2) / count) as u8)
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use ratatui::style::Color;

    use super::*;

    const RED: [u8; 3] = [255, 0, 0];
    const GREEN: [u8; 3] = [0, 255, 0];
    const BLUE: [u8; 3] = [0, 0, 255];
    const WHITE: [u8; 3] = [255; 3];

    fn picture(width: u32, pixels: &[[u8; 3]]) -> RgbImage {
        let height = pixels.len() as u32 / width;
        RgbImage::from_fn(width, height, |x, y| Rgb(pixels[(y * width + x) as usize]))
    }

    fn rgb([red, green, blue]: [u8; 3]) -> Color {
        Color::Rgb(red, green, blue)
    }

    #[test]
    fn two_by_two_fills_two_cells_with_its_four_colours() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 2, 1));
        draw_blocks(
            Depth::Truecolour,
            &picture(2, &[RED, GREEN, BLUE, WHITE]),
            buffer.area,
            &mut buffer,
        );
        assert_eq!((buffer[(0, 0)].fg, buffer[(0, 0)].bg), (rgb(RED), rgb(BLUE)));
        assert_eq!((buffer[(1, 0)].fg, buffer[(1, 0)].bg), (rgb(GREEN), rgb(WHITE)));
        assert_eq!(buffer[(0, 0)].symbol(), "▀");
    }

    #[test]
    fn enlargement_is_whole_and_centred() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 7, 4));
        draw_blocks(
            Depth::Truecolour,
            &picture(2, &[RED, GREEN, BLUE, WHITE]),
            Rect::new(1, 0, 6, 3),
            &mut buffer,
        );
        // Three times: 6 x 6 pixels, 6 x 3 cells; the middle row holds the border of the two halves.
        assert_eq!((buffer[(1, 1)].fg, buffer[(1, 1)].bg), (rgb(RED), rgb(BLUE)));
        assert_eq!((buffer[(6, 2)].fg, buffer[(6, 2)].bg), (rgb(WHITE), rgb(WHITE)));
        assert!((0..4).all(|y| buffer[(0, y)].symbol() == " "));
        let mut wide = Buffer::empty(Rect::new(0, 0, 6, 1));
        draw_blocks(
            Depth::Truecolour,
            &picture(2, &[RED, GREEN, BLUE, WHITE]),
            wide.area,
            &mut wide,
        );
        let drawn: Vec<bool> = (0..6).map(|x| wide[(x, 0)].symbol() == "▀").collect();
        assert_eq!(drawn, [false, false, true, true, false, false]);
    }

    #[test]
    fn an_odd_height_leaves_the_last_half_row_to_the_terminal() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 1, 2));
        draw_blocks(Depth::Truecolour, &picture(1, &[RED, GREEN, BLUE]), buffer.area, &mut buffer);
        assert_eq!((buffer[(0, 1)].fg, buffer[(0, 1)].bg), (rgb(BLUE), Color::Reset));
    }

    #[test]
    fn shrinking_averages() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 1, 1));
        let [black, white] = [[0; 3], WHITE];
        let image = picture(2, &[black, white, black, white, RED, RED, RED, RED]);
        draw_blocks(Depth::Truecolour, &image, buffer.area, &mut buffer);
        assert_eq!((buffer[(0, 0)].fg, buffer[(0, 0)].bg), (rgb([128; 3]), rgb(RED)));
    }
}
