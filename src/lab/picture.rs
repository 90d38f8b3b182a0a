//! The contact sheet: one row a seed, `seed | network | machines ... | differences ...`.

use ::image::{RgbImage, imageops};

use crate::image::ImageBatch;
use crate::image::grid;

/// Cells are enlarged by whole factors until at least this large, so that pixels stay pixels.
const CELL_PIXELS_MIN: u32 = 64;
const GAP: u32 = 4;
const BACKGROUND: ::image::Rgb<u8> = ::image::Rgb([32, 32, 32]);

/// Draws the first `rows_max` seeds. The order of columns is that of the arguments; after the
/// machines come their differences from the network, in the same order.
pub fn contact_sheet(
    seeds: &ImageBatch,
    network: &ImageBatch,
    machines: &[(String, ImageBatch)],
    rows_max: usize,
) -> RgbImage {
    let shape = seeds.shape();
    let rows: Vec<Vec<RgbImage>> = (0..seeds.len().min(rows_max))
        .map(|row| {
            // Seeds reach beyond the pixel range; a third of them shows most of the range.
            let seed: Vec<f64> = seeds.image(row).iter().map(|value| value / 3.0).collect();
            let mut cells =
                vec![grid::to_rgb(&seed, shape), grid::to_rgb(network.image(row), shape)];
            cells.extend(machines.iter().map(|(_, batch)| grid::to_rgb(batch.image(row), shape)));
            cells.extend(
                machines.iter().map(|(_, batch)| {
                    grid::difference(batch.image(row), network.image(row), shape)
                }),
            );
            cells
        })
        .collect();
    compose(&rows, shape.width as u32, shape.height as u32)
}

/// Draws images alone, eight a row.
pub fn gallery(images: &ImageBatch) -> RgbImage {
    let shape = images.shape();
    let cells: Vec<RgbImage> = images.iter().map(|image| grid::to_rgb(image, shape)).collect();
    let rows: Vec<Vec<RgbImage>> = cells.chunks(8).map(<[RgbImage]>::to_vec).collect();
    compose(&rows, shape.width as u32, shape.height as u32)
}

fn compose(rows: &[Vec<RgbImage>], width: u32, height: u32) -> RgbImage {
    let factor = CELL_PIXELS_MIN.div_ceil(width.min(height).max(1)).max(1);
    let (width, height) = (factor * width, factor * height);
    let n_columns = rows.first().map_or(0, Vec::len) as u32;
    let mut sheet = RgbImage::from_pixel(
        GAP + n_columns * (width + GAP),
        GAP + rows.len() as u32 * (height + GAP),
        BACKGROUND,
    );
    for (row, cells) in rows.iter().enumerate() {
        for (column, cell) in cells.iter().enumerate() {
            let cell = imageops::resize(cell, width, height, imageops::FilterType::Nearest);
            let x = i64::from(GAP + column as u32 * (width + GAP));
            let y = i64::from(GAP + row as u32 * (height + GAP));
            imageops::replace(&mut sheet, &cell, x, y);
        }
    }
    sheet
}
