//! Contact sheets: one row per seed, `seed | network | machines ... | differences ...`.

use ::image::RgbImage;

use crate::image::ImageBatch;
use crate::image::grid::{self, Grid};

/// Cells are enlarged by integer factors to at least this size, so that pixels stay visible as pixels.
const CELL_PIXELS_MIN: u32 = 64;
const GAP: u32 = 4;
const BACKGROUND: [u8; 3] = [32; 3];

/// Draws the first `rows_max` seeds. Columns are in the order of the arguments; after the machines come their
/// differences from the network, in the same order.
pub fn with_differences(
    seeds: &ImageBatch,
    network: &ImageBatch,
    machines: &[(String, ImageBatch)],
    rows_max: usize,
) -> RgbImage {
    let shape = seeds.shape();
    let rows: Vec<Vec<RgbImage>> = (0..seeds.len().min(rows_max))
        .map(|row| {
            let mut cells = vec![of_seed(seeds, row), grid::to_rgb(network.image(row), shape)];
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

/// Draws the first `rows_max` seeds, one row each: `seed | column ...`.
pub fn columns(seeds: &ImageBatch, columns: &[(String, ImageBatch)], rows_max: usize) -> RgbImage {
    let shape = seeds.shape();
    let row = |row: usize| {
        let others = columns.iter().map(|(_, batch)| grid::to_rgb(batch.image(row), shape));
        std::iter::once(of_seed(seeds, row)).chain(others).collect()
    };
    let rows: Vec<Vec<RgbImage>> = (0..seeds.len().min(rows_max)).map(row).collect();
    compose(&rows, shape.width as u32, shape.height as u32)
}

/// Seeds exceed the pixel range; scaled by a third, most values fit.
fn of_seed(seeds: &ImageBatch, row: usize) -> RgbImage {
    let seed: Vec<f64> = seeds.image(row).iter().map(|value| value / 3.0).collect();
    grid::to_rgb(&seed, seeds.shape())
}

/// Draws images alone, at least eight per row, and as many as make the picture about square.
pub fn gallery(images: &ImageBatch) -> RgbImage {
    let columns = (images.len() as f64).sqrt().ceil().max(8.0) as usize;
    let shape = images.shape();
    let cells: Vec<RgbImage> = images.iter().map(|image| grid::to_rgb(image, shape)).collect();
    let rows: Vec<Vec<RgbImage>> = cells.chunks(columns).map(<[RgbImage]>::to_vec).collect();
    compose(&rows, shape.width as u32, shape.height as u32)
}

fn compose(rows: &[Vec<RgbImage>], width: u32, height: u32) -> RgbImage {
    let upscale = CELL_PIXELS_MIN.div_ceil(width.min(height).max(1)).max(1);
    Grid { upscale, gap: GAP, background: BACKGROUND }.compose(rows)
}
