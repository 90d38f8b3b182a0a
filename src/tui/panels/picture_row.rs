//! A row of equally large pictures, as half-blocks or as one bitmap.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use ::image::{Rgb, RgbImage, imageops};
use ratatui::Frame;
use ratatui::layout::Rect;

use crate::evaluation::inspect::pixel_picture_and_film::enlarged;
use crate::image::ImageShape;
use crate::tui::pictures::half_blocks::draw_blocks;
use crate::tui::pictures::placement::reserve;
use crate::tui::pictures::{Placement, Protocol};
use crate::tui::state::App;

/// Pixels of a cell in composed bitmaps, across and down; terminals scale them to their own cells.
const CELL: (u32, u32) = (8, 16);

/// A picture, and the pixel that is marked in it.
pub struct Picture {
    pub image: RgbImage,
    /// Row and column.
    pub mark: Option<(usize, usize)>,
}

impl From<RgbImage> for Picture {
    fn from(image: RgbImage) -> Self {
        Self { image, mark: None }
    }
}

/// The columns and rows, at least `least`, of a picture that is enlarged `scale` and shrunk `divisor` times; at one to one, a
/// column is a pixel wide and a row two pixels high.
pub fn cells(shape: ImageShape, (scale, divisor): (usize, usize), least: (u16, u16)) -> (u16, u16) {
    let columns = (shape.width * scale).div_ceil(divisor) as u16;
    let rows = (shape.height * scale).div_ceil(2 * divisor) as u16;
    (columns.max(least.0), rows.max(least.1))
}

/// Draws `pictures` from the upper left corner of `area`, each `width` x `height` cells, with a free column after it.
/// `None` leaves a gap. Equal values of `identity` must mean equal pictures, wherever they are drawn.
pub fn draw(
    app: &App,
    frame: &mut Frame,
    area: Rect,
    (width, height): (u16, u16),
    pictures: &[Option<Picture>],
    identity: impl Hash,
) -> Option<Placement> {
    let n = pictures.len() as u16;
    let strip = Rect::new(area.x, area.y, n * (width + 1), height).intersection(area);
    match app.display.protocol {
        Protocol::Off => None,
        Protocol::Blocks => {
            for (i, picture) in pictures.iter().enumerate() {
                let Some(Picture { image, mark }) = picture else { continue };
                let mut image = image.clone();
                if let Some((row, column)) = *mark
                    && (row as u32) < image.height()
                    && (column as u32) < image.width()
                {
                    image.put_pixel(column as u32, row as u32, MARK);
                }
                let x = area.x + i as u16 * (width + 1);
                let cell = Rect::new(x, area.y, width, height).intersection(area);
                draw_blocks(app.display.depth, &image, cell, frame.buffer_mut());
            }
            None
        }
        _ => {
            reserve(strip, frame.buffer_mut());
            let image = Arc::new(bitmap(app, strip.width, (width, height), pictures));
            let mut hasher = DefaultHasher::new();
            (identity, width, height, pictures.len()).hash(&mut hasher);
            Some(Placement { area: strip, image, key: hasher.finish() })
        }
    }
}

/// The colour of a marked pixel.
const MARK: Rgb<u8> = Rgb([255, 0, 255]);

/// The row as one bitmap.
fn bitmap(
    app: &App,
    strip_width: u16,
    (width, height): (u16, u16),
    pictures: &[Option<Picture>],
) -> RgbImage {
    // Neither black nor white, so that the edges of mostly black or white pictures are visible.
    let ground = if app.theme.is_light() { [215; 3] } else { [40; 3] };
    let size = (u32::from(strip_width) * CELL.0, u32::from(height) * CELL.1);
    let mut sheet = RgbImage::from_pixel(size.0, size.1, Rgb(ground));
    let room = (u32::from(width) * CELL.0, u32::from(height) * CELL.1);
    for (i, picture) in pictures.iter().enumerate() {
        let Some(Picture { image, mark }) = picture else { continue };
        // Enlarging by a whole number keeps pixels square and sharp.
        let scale = (room.0 / image.width().max(1)).min(room.1 / image.height().max(1)).max(1);
        let side = image.width().max(image.height()) * scale;
        let x = i64::from(i as u32 * (u32::from(width) + 1) * CELL.0);
        imageops::replace(&mut sheet, &enlarged(image, *mark, side), x, 0);
    }
    sheet
}
