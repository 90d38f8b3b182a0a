//! Contact sheets: one row per seed, `seed | network | machines ... | differences ...`.

use std::io;
use std::path::Path;

use ::image::{ImageError, ImageFormat, RgbImage};

use crate::files::{OutputError, is_stream, write_output};
use crate::image::ImageBatch;
use crate::image::grid::{self, Grid};

/// Cells are enlarged by integer factors to at least this size, so that pixels stay visible as pixels.
const CELL_PIXELS_MIN: u32 = 64;
const GAP: u32 = 4;
const BACKGROUND: [u8; 3] = [32; 3];

/// Writes a picture to a path chosen by the user, as PNG or, by its extension, as JPEG.
///
/// # Errors
///
/// Those of [`write_output`], or if encoding fails.
pub fn write(picture: &RgbImage, path: &Path) -> Result<(), OutputError> {
    let mut bytes = io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format_of(path).unwrap_or(ImageFormat::Png)).map_err(|error| {
        let source = match error {
            ImageError::IoError(source) => source,
            other => io::Error::other(other),
        };
        OutputError::Io { attempt: "encoding the picture for", path: path.to_owned(), source }
    })?;
    write_output(path, &bytes.into_inner())
}

/// The picture format for a file name: by its extension, PNG for devices and pipes, `None` if the extension is
/// neither PNG's nor JPEG's.
pub fn format_of(path: &Path) -> Option<ImageFormat> {
    let extension = path.extension().map(|end| end.to_string_lossy().to_ascii_lowercase());
    match extension.as_deref() {
        Some("png") => Some(ImageFormat::Png),
        Some("jpg" | "jpeg") => Some(ImageFormat::Jpeg),
        _ => is_stream(path).then_some(ImageFormat::Png),
    }
}

/// Draws the first `rows_max` seeds. Columns are in the order of the arguments; after the machines come their
/// differences from the network, in the same order.
pub fn contact_sheet(
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
