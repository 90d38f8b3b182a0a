//! Pictures for viewing: pixel values as RGB, signed differences, and grids of cells.
//!
//! Contrast is never scaled: -1 is black and 1 is white in every picture, so that pictures can be compared.
//! Cells are enlarged by integer factors without smoothing, because the pixels are the data.

use image::{Rgb, RgbImage};

use super::{ImageShape, to_byte};

/// Okabe & Ito's blue and vermilion, distinguishable with all common kinds of colour vision.
const NEGATIVE: [f64; 3] = [0.0, 114.0, 178.0];
const POSITIVE: [f64; 3] = [213.0, 94.0, 0.0];
const NEUTRAL: [f64; 3] = [255.0, 255.0, 255.0];

/// Converts one image (`[C, H, W]`, C = 1 or 3, values in [-1, 1]) to RGB, clamping values outside the range.
/// For any other number of channels, the first is shown in grey.
///
/// # Panics
///
/// If `image` is not one image of this shape.
pub fn to_rgb(image: &[f64], shape: ImageShape) -> RgbImage {
    assert_eq!(image.len(), shape.n_values(), "one {shape} image");
    let n = shape.n_pixels();
    picture(shape, |p| match shape.channels {
        3 => [0, 1, 2].map(|c| to_byte(image[c * n + p])),
        _ => [to_byte(image[p]); 3],
    })
}

/// Converts a noise seed to RGB. Noise exceeds the pixel range; scaled by a third, most values fit.
///
/// # Panics
///
/// If `seed` is not one image of this shape.
pub fn seed_to_rgb(seed: &[f64], shape: ImageShape) -> RgbImage {
    let scaled: Vec<f64> = seed.iter().map(|value| value / 3.0).collect();
    to_rgb(&scaled, shape)
}

/// Draws the signed difference `a - b`, averaged over channels: vermilion if `a` is larger, blue if it is
/// smaller, white if they agree; full colour at a difference of 1 (half the range), grey for NaN. Channels that
/// differ in opposite directions could cancel: the mean takes the sign of the largest difference and the mean
/// magnitude, so any difference shows.
///
/// # Panics
///
/// If `a` or `b` is not one image of this shape.
pub fn difference(a: &[f64], b: &[f64], shape: ImageShape) -> RgbImage {
    assert!(a.len() == shape.n_values() && b.len() == a.len(), "two {shape} images");
    let n = shape.n_pixels();
    picture(shape, |p| {
        let (mut size, mut largest) = (0.0, 0.0_f64);
        for c in 0..shape.channels {
            let d = a[c * n + p] - b[c * n + p];
            size += d.abs() / shape.channels as f64;
            if d.abs() > largest.abs() {
                largest = d;
            }
        }
        if size.is_nan() {
            return [128; 3];
        }
        let end = if largest < 0.0 { NEGATIVE } else { POSITIVE };
        let share = size.min(1.0);
        [0, 1, 2].map(|c| (NEUTRAL[c] + (end[c] - NEUTRAL[c]) * share).round() as u8)
    })
}

fn picture(shape: ImageShape, pixel: impl Fn(usize) -> [u8; 3]) -> RgbImage {
    RgbImage::from_fn(shape.width as u32, shape.height as u32, |x, y| {
        Rgb(pixel(y as usize * shape.width + x as usize))
    })
}

/// Composes rows of cells into one picture. Every pixel becomes `upscale * upscale` pixels, and gaps of `gap` pixels of the
/// background are between and around cells. Columns and rows are as wide and high as their largest cell; short rows are filled
/// with background, and each cell is aligned to the upper left.
pub fn compose(rows: &[Vec<RgbImage>], upscale: u32, gap: u32, background: [u8; 3]) -> RgbImage {
    let scale = upscale.max(1);
    let n_columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<u32> = (0..n_columns)
        .map(|c| rows.iter().filter_map(|r| r.get(c)).map(RgbImage::width).max().unwrap_or(0))
        .collect();
    let height_of = |row: &Vec<RgbImage>| row.iter().map(RgbImage::height).max().unwrap_or(0);
    let width = gap + widths.iter().map(|w| w * scale + gap).sum::<u32>();
    let height = gap + rows.iter().map(|r| height_of(r) * scale + gap).sum::<u32>();
    let mut sheet = RgbImage::from_pixel(width.max(1), height.max(1), Rgb(background));
    let mut top = gap;
    for row in rows {
        let mut left = gap;
        for (cell, column_width) in row.iter().zip(&widths) {
            for (x, y, pixel) in cell.enumerate_pixels() {
                for i in 0..scale * scale {
                    let (dx, dy) = (i % scale, i / scale);
                    sheet.put_pixel(left + x * scale + dx, top + y * scale + dy, *pixel);
                }
            }
            left += column_width * scale + gap;
        }
        top += height_of(row) * scale + gap;
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_and_colour_images_become_rgb() {
        let grey = to_rgb(&[-1.0, 1.0], ImageShape::new(1, 1, 2));
        assert_eq!((grey.get_pixel(0, 0).0, grey.get_pixel(1, 0).0), ([0; 3], [255; 3]));
        let colour = to_rgb(&[1.0, -1.0, f64::NAN], ImageShape::new(3, 1, 1));
        assert_eq!(colour.get_pixel(0, 0).0, [255, 0, 0]);
    }

    #[test]
    fn differences_are_neutral_at_zero_and_coloured_by_sign() {
        let shape = ImageShape::new(1, 1, 4);
        let picture = difference(&[0.5, 1.0, -1.0, f64::NAN], &[0.5, -1.0, 1.0, 0.0], shape);
        let pixels: Vec<[u8; 3]> = picture.pixels().map(|p| p.0).collect();
        assert_eq!(pixels, [[255; 3], [213, 94, 0], [0, 114, 178], [128; 3]]);
    }

    #[test]
    fn cells_stand_where_the_layout_says() {
        let cell = |v| RgbImage::from_pixel(2, 3, Rgb([v; 3]));
        let sheet = compose(&[vec![cell(1), cell(2)], vec![cell(3)]], 2, 1, [9; 3]);
        assert_eq!(sheet.dimensions(), (1 + 2 * 5, 1 + 2 * 7));
        let at = |x, y| sheet.get_pixel(x, y).0[0];
        assert_eq!((at(0, 0), at(1, 1), at(4, 6), at(5, 1), at(6, 1)), (9, 1, 1, 9, 2));
        assert_eq!((at(1, 8), at(6, 8)), (3, 9));
    }
}
