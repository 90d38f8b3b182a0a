//! Pictures of one size as the pixels of a data set, with what was done to them in words.

use super::fit_to_square::Fit;
use super::png_jpeg_webp::Picture;
use crate::image::ImageShape;

/// Maximum number of class names in a sentence.
const CLASSES_NAMED: usize = 12;

/// Shape and bytes `[N, C, H, W]`; there is one channel if every picture is grey.
pub fn stacked(pictures: &[Picture], fit: Fit) -> (ImageShape, Vec<u8>) {
    let is_grey = pictures.iter().all(|picture| picture.is_grey);
    let shape = ImageShape::new(if is_grey { 1 } else { 3 }, fit.size, fit.size);
    let mut pixels = Vec::with_capacity(pictures.len() * shape.n_values());
    for picture in pictures {
        pixels.extend_from_slice(&picture.planes[..shape.n_values()]);
    }
    (shape, pixels)
}

/// The sizes of the pictures, and what was done if they are not that of the squares.
pub fn sizes(pictures: &[Picture], fit: Fit) -> Option<String> {
    let wanted = (fit.size as u32, fit.size as u32);
    if pictures.iter().all(|picture| picture.original == wanted) {
        return None;
    }
    let by_area = |&(width, height): &(u32, u32)| u64::from(width) * u64::from(height);
    let all = || pictures.iter().map(|picture| picture.original);
    let (small, large) = (all().min_by_key(by_area)?, all().max_by_key(by_area)?);
    let range = match small == large {
        true => format!("images of {}x{} pixels", small.0, small.1),
        false => format!("images of {}x{} to {}x{} pixels", small.0, small.1, large.0, large.1),
    };
    Some(format!("{range}: {}", fit.in_words()))
}

/// The class of each label, and in `source` how they were numbered; `None` if there are no classes.
pub fn classes_in_words(source: &str, names: &[String]) -> Option<String> {
    let numbered: Vec<String> = names
        .iter()
        .take(CLASSES_NAMED)
        .enumerate()
        .map(|(i, name)| format!("{i} '{name}'"))
        .collect();
    let more = match names.len().saturating_sub(CLASSES_NAMED) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    (!names.is_empty()).then(|| format!("labels: {source}: {}{more}", numbered.join(", ")))
}

/// Notices about what was lost or changed when images became squares of bytes.
pub fn given_up(pictures: &[Picture]) -> Vec<String> {
    let all = pictures.len();
    let count = |is: fn(&Picture) -> bool| pictures.iter().filter(|picture| is(picture)).count();
    [
        (count(|p| p.was_cropped), "not square, of which only the square in the middle is taken"),
        (
            count(|p| p.was_transparent),
            "with transparent pixels, whose colours are taken as if they were opaque",
        ),
        (count(|p| p.was_deep), "with 16 bits a channel, of which 8 are taken"),
        (
            count(|p| p.metadata.is_turned()),
            "stored turned or mirrored (EXIF orientation), which are taken upright, as viewers show them",
        ),
        (
            count(|p| p.metadata.has_more),
            "with further frames or pictures in the same file, of which the first is taken",
        ),
    ]
    .into_iter()
    .filter(|(n, _)| *n > 0)
    .map(|(n, words)| format!("of {all} images {n} {words}"))
    .collect()
}
