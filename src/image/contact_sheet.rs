//! Contact sheets: one row per seed, `seed | network | machines ... | differences ...`.

use ::image::RgbImage;

use crate::image::{ImageBatch, ImageShape, grid};

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
    rows(seeds, rows_max, |row| {
        let network = network.image(row);
        let samples = machines.iter().map(|(_, batch)| batch.image(row));
        let mut cells = vec![grid::to_rgb(network, shape)];
        cells.extend(samples.clone().map(|sample| grid::to_rgb(sample, shape)));
        cells.extend(samples.map(|sample| grid::difference(sample, network, shape)));
        cells
    })
}

/// Draws the first `rows_max` seeds, one row each: `seed | column ...`.
pub fn columns(seeds: &ImageBatch, columns: &[(String, ImageBatch)], rows_max: usize) -> RgbImage {
    let cell = |batch: &ImageBatch, row| grid::to_rgb(batch.image(row), seeds.shape());
    rows(seeds, rows_max, |row| columns.iter().map(|(_, batch)| cell(batch, row)).collect())
}

/// Rows of a seed and further cells.
fn rows(seeds: &ImageBatch, rows_max: usize, cells: impl Fn(usize) -> Vec<RgbImage>) -> RgbImage {
    let seed = |row| grid::seed_to_rgb(seeds.image(row), seeds.shape());
    let row = |row| [vec![seed(row)], cells(row)].concat();
    let rows: Vec<Vec<RgbImage>> = (0..seeds.len().min(rows_max)).map(row).collect();
    compose(&rows, seeds.shape())
}

/// Draws images alone, at least eight per row, and as many as make the picture about square.
pub fn gallery(images: &ImageBatch) -> RgbImage {
    let columns = (images.len() as f64).sqrt().ceil().max(8.0) as usize;
    let shape = images.shape();
    let cells: Vec<RgbImage> = images.iter().map(|image| grid::to_rgb(image, shape)).collect();
    let rows: Vec<Vec<RgbImage>> = cells.chunks(columns).map(<[RgbImage]>::to_vec).collect();
    compose(&rows, shape)
}

fn compose(rows: &[Vec<RgbImage>], shape: ImageShape) -> RgbImage {
    let side = shape.width.min(shape.height) as u32;
    let upscale = CELL_PIXELS_MIN.div_ceil(side.max(1)).max(1);
    grid::compose(rows, upscale, GAP, BACKGROUND)
}
