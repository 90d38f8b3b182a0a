//! Contact sheets: one row per seed, `seed | network | machines ... | differences ...`, with a heading over each column and
//! the number of the seed beside each row.

use ::image::{GenericImage, Rgb, RgbImage};

use super::picture_text::{Label, with_light_labels};

use crate::image::{ImageBatch, ImageShape, grid};

/// Cells are enlarged by integer factors to at least this size, so that pixels stay visible as pixels.
const CELL_PIXELS_MIN: u32 = 64;
const GAP: u32 = 4;
/// Height of a line of a heading, size of its letters, and the width that is reckoned for a letter.
const LINE: u32 = 15;
const TEXT_SIZE: u32 = 13;
const LETTER: u32 = 7;
/// Width of the numbers beside the rows.
const MARGIN: u32 = 44;
const BACKGROUND: [u8; 3] = [32; 3];

/// Draws the first `rows_max` seeds, of which the first has the number `first_seed`. Columns are in the order of the arguments;
/// after the machines come their differences from the network, in the same order.
pub fn with_differences(
    (first_seed, seeds): (u64, &ImageBatch),
    network: &ImageBatch,
    machines: &[(String, ImageBatch)],
    rows_max: usize,
) -> RgbImage {
    let shape = seeds.shape();
    let sheet = rows(seeds, rows_max, |row| {
        let network = network.image(row);
        let samples = machines.iter().map(|(_, batch)| batch.image(row));
        let mut cells = vec![grid::to_rgb(network, shape)];
        cells.extend(samples.clone().map(|sample| grid::to_rgb(sample, shape)));
        cells.extend(samples.map(|sample| grid::difference(sample, network, shape)));
        cells
    });
    let names = machines.iter().map(|(name, _)| name.clone());
    let differences = machines.iter().map(|(name, _)| format!("{name}\n- network"));
    let columns = ["seed", "network"].map(str::to_owned).into_iter();
    let columns: Vec<String> = columns.chain(names).chain(differences).collect();
    with_headings(sheet, shape, &columns, first_seed..)
}

/// Draws the first `rows_max` seeds, of which the first has the number `first_seed`, one row each: `seed | column ...`.
pub fn columns(
    (first_seed, seeds): (u64, &ImageBatch),
    columns: &[(String, ImageBatch)],
    rows_max: usize,
) -> RgbImage {
    let cell = |batch: &ImageBatch, row| grid::to_rgb(batch.image(row), seeds.shape());
    let sheet =
        rows(seeds, rows_max, |row| columns.iter().map(|(_, batch)| cell(batch, row)).collect());
    let names = columns.iter().map(|(name, _)| name.clone());
    let names: Vec<String> = std::iter::once("seed".to_owned()).chain(names).collect();
    with_headings(sheet, seeds.shape(), &names, first_seed..)
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
    grid::compose(rows, upscale(shape), GAP, BACKGROUND)
}

fn upscale(shape: ImageShape) -> u32 {
    let side = shape.width.min(shape.height) as u32;
    CELL_PIXELS_MIN.div_ceil(side.max(1)).max(1)
}

/// Adds names above the columns and numbers beside the rows of a sheet.
fn with_headings(
    sheet: RgbImage,
    shape: ImageShape,
    columns: &[String],
    seeds: impl Iterator<Item = u64>,
) -> RgbImage {
    let cell = [shape.width, shape.height].map(|side| side as u32 * upscale(shape) + GAP);
    let n_letters = (cell[0] / LETTER) as usize;
    let lines = |name: &String| name.lines().flat_map(|line| broken(line, n_letters)).collect();
    let columns: Vec<Vec<String>> = columns.iter().map(lines).collect();
    let n_lines = columns.iter().map(Vec::len).max().unwrap_or(0) as u32;
    let (left, top) = (MARGIN, n_lines * LINE + GAP);
    let mut picture =
        RgbImage::from_pixel(sheet.width() + left, sheet.height() + top, Rgb(BACKGROUND));
    let copied = picture.copy_from(&sheet, left, top);
    let n_rows = sheet.height() / cell[1].max(1);
    let mut labels = Vec::new();
    for (column, lines) in (0..).zip(&columns) {
        // The last line is just above the column.
        let first = n_lines - lines.len() as u32;
        labels.extend((first..).zip(lines).map(|(line, text)| Label {
            text: text.clone(),
            at: (left + GAP + column * cell[0], GAP + line * LINE),
            size: TEXT_SIZE,
        }));
    }
    labels.extend((0..n_rows).zip(seeds).map(|(row, seed)| Label {
        text: seed.to_string(),
        at: (GAP, top + GAP + row * cell[1] + (cell[1] - GAP) / 2 - LINE / 2),
        size: TEXT_SIZE,
    }));
    match copied.map_err(anyhow::Error::from).and_then(|()| with_light_labels(picture, &labels)) {
        Ok(picture) => picture,
        // A sheet without words is better than none.
        Err(_) => sheet,
    }
}

/// A name in lines of at most `n_letters`, broken behind hyphens and blanks; longer parts are cut.
fn broken(name: &str, n_letters: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for part in name.split_inclusive(['-', ' ']) {
        let line = lines.last_mut().expect("there is a line from the start");
        match line.is_empty() || line.chars().count() + part.trim_end().chars().count() <= n_letters
        {
            true => *line += part,
            false => lines.push(part.to_owned()),
        }
    }
    let cut = |line: String| line.trim_end().chars().take(n_letters.max(1)).collect();
    lines.into_iter().map(cut).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_are_above_their_columns_and_numbers_beside_their_rows() {
        let shape = ImageShape::new(1, 16, 16);
        let black = || ImageBatch::new(shape, vec![-1.0; 3 * shape.n_values()]);
        let machines = [("attention-trajectory".to_owned(), black()), ("els".to_owned(), black())];
        let sheet = with_differences((1000, &black()), &black(), &machines, 2);
        // Seed, network, two machines, two differences; two rows.
        let cell = 64 + GAP;
        assert_eq!(sheet.width(), MARGIN + GAP + 6 * cell);
        let top = sheet.height() - (GAP + 2 * cell);
        assert!(top > 2 * LINE, "long names take several lines");
        let is_ink = |x: u32, y: u32| sheet.get_pixel(x, y).0[0] > 100;
        for column in 0..6 {
            let from = MARGIN + GAP + column * cell;
            assert!((0..top).any(|y| (from..from + 60).any(|x| is_ink(x, y))), "column {column}");
        }
        for row in 0..2 {
            let from = top + GAP + row * cell;
            assert!((from..from + 64).any(|y| (0..MARGIN).any(|x| is_ink(x, y))), "row {row}");
        }
    }

    #[test]
    fn names_are_broken_behind_hyphens_and_cut_if_they_must_be() {
        assert_eq!(
            broken("attention-trajectory - network", 11),
            ["attention-", "trajectory", "- network"]
        );
        assert_eq!(broken("els", 11), ["els"]);
        assert_eq!(broken("abcdefghijklmnop", 5), ["abcde"]);
    }
}
