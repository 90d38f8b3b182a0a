//! Data sets from files of arrays: `.npy`, `.npz` and safetensors.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::array_layout::ArrayLayout;
use super::choose_arrays;
use super::error::DatasetError;
use super::fit_to_square::Fit;
use super::image_set::Dataset;
use super::integer_labels::IntegerLabels;
use super::value_range::{Conversion, ValueRange};
use crate::arrays::{Array, ArrayFile, called};
use crate::image::ImageShape;

/// Where images and labels are, and how the images are to be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ArraySource {
    pub path: PathBuf,
    /// Another file with the labels.
    pub labels_path: Option<PathBuf>,
    /// Name of the array of images; recognised if `None`.
    pub array: Option<String>,
    /// Name of the array of labels, or `none`; recognised if `None`.
    pub label_array: Option<String>,
    pub layout: ArrayLayout,
    pub range: ValueRange,
    /// Images keep their size if `None`.
    pub fit: Option<Fit>,
}

/// Rounding to bytes by more than this share of a step is stated.
const ROUNDING_STATED: f64 = 0.01;
/// Maximum number of arrays named as not read.
const UNUSED_NAMED: usize = 12;

impl ArraySource {
    /// Reads the images that `choice` names, out of their number (`None`: all).
    ///
    /// # Errors
    ///
    /// If a file cannot be read, if it is not clear which arrays, which layout or which values are meant, or if they do
    /// not fit together.
    pub fn open(
        &self,
        name: &str,
        choice: &dyn Fn(usize) -> Option<Vec<usize>>,
    ) -> Result<Dataset, DatasetError> {
        let file = ArrayFile::open(&self.path)?;
        let refused = |problem| self.refused(problem);
        let chosen = match &self.array {
            Some(array) => array.clone(),
            None => choose_arrays::images(&file).map_err(refused)?.name.clone(),
        };
        let images = file.read(&chosen)?;
        let of_images = |problem| self.refused(format!("{}: {problem}", called(&chosen)));
        let (layout, shape) = self.layout.resolve(images.shape()).map_err(of_images)?;
        let n = images.shape()[0];
        if n == 0 {
            return Err(of_images(format!("its shape {:?} holds no images", images.shape())));
        }
        // Over all images, so that every subset is read alike.
        let conversion = self.range.resolve(&images).map_err(of_images)?;
        let mut facts = vec![format!(
            "{} {:?} of {}: {} ({layout}); {}",
            called(&chosen),
            images.shape(),
            images.element_type(),
            layout.axes(),
            conversion.in_words()
        )];
        if shape.channels == 3 {
            facts.push("three channels are taken as red, green, blue".to_owned());
        }
        let mut notices: Vec<String> = conversion.assumption.clone().into_iter().collect();
        let (labels, label_array) = self.labels(&file, &chosen, n, &mut facts)?;
        facts.extend(Self::unused(&file, &[Some(&chosen), label_array.as_deref()]));
        notices.extend(labels.notice);
        let indices = choice(n);
        let (images, labels) = match &indices {
            Some(indices) => (
                images.select(indices),
                labels.labels.map(|all| indices.iter().map(|&i| all[i]).collect()),
            ),
            None => (images, labels.labels),
        };
        let pixels = pixels(&images, layout, shape, &conversion, &mut facts);
        let (shape, pixels) = self.fitted(shape, pixels, &mut facts);
        notices.extend(not_read(&file));
        Ok(Dataset::new(name, shape, pixels, labels).with_notices(notices).with_facts(facts))
    }

    fn refused(&self, problem: String) -> DatasetError {
        DatasetError::Content { path: self.path.clone(), problem }
    }

    fn fitted(
        &self,
        shape: ImageShape,
        pixels: Bytes,
        facts: &mut Vec<String>,
    ) -> (ImageShape, Bytes) {
        let ImageShape { channels, height, width } = shape;
        let Some(fit) = self.fit.filter(|fit| (fit.size, fit.size) != (height, width)) else {
            return (shape, pixels);
        };
        facts.push(format!("images of {height}x{width}: {}", fit.in_words()));
        let planes = pixels.chunks_exact(height * width);
        let fitted: Vec<u8> = planes.flat_map(|plane| fit.plane(plane, height, width)).collect();
        (ImageShape::new(channels, fit.size, fit.size), fitted.into())
    }

    /// Arrays of the file that are neither images nor labels.
    fn unused(file: &ArrayFile, used: &[Option<&str>]) -> Option<String> {
        let names: Vec<String> = file
            .arrays()
            .filter(|info| !used.contains(&Some(info.name.as_str())))
            .map(|info| format!("'{}'", info.name))
            .take(UNUSED_NAMED)
            .collect();
        (!names.is_empty()).then(|| format!("arrays that are not read: {}", names.join(", ")))
    }

    /// The labels of `n` images, from the file that is named, or the array that is named, or one that is recognised; and the
    /// name of the array in `file`.
    fn labels(
        &self,
        file: &ArrayFile,
        images: &str,
        n: usize,
        facts: &mut Vec<String>,
    ) -> Result<(IntegerLabels, Option<String>), DatasetError> {
        let none = (IntegerLabels::default(), None);
        let other = self.labels_path.as_deref().map(ArrayFile::open).transpose()?;
        let (file, array) = match (&other, &self.label_array) {
            (None, Some(name)) if name == "none" => return Ok(none),
            (_, Some(name)) => (other.as_ref().unwrap_or(file), name.clone()),
            (Some(other), None) => {
                let names: Vec<&str> = other.arrays().map(|info| info.name.as_str()).collect();
                let [only] = names[..] else {
                    return Err(several(other));
                };
                (other, only.to_owned())
            }
            (None, None) => {
                let found = choose_arrays::labels(file, images, n);
                match found.map_err(|problem| self.refused(problem))? {
                    Some(info) => (file, info.name.clone()),
                    None => return Ok(none),
                }
            }
        };
        let labels = file.read(&array)?;
        let refused = |problem: String| DatasetError::Content {
            path: file.path().to_owned(),
            problem: format!("{}: {problem}", called(&array)),
        };
        if labels.shape() != [n] && labels.shape() != [n, 1] {
            return Err(refused(format!(
                "its shape is {:?}, but there are {n} images, so that [{n}] is needed for the labels",
                labels.shape()
            )));
        }
        let integers = labels.i64_values().map_err(refused)?;
        facts.push(format!(
            "labels: {} of '{}', numbers as they are",
            called(&array),
            file.path().display()
        ));
        let labels = IntegerLabels::new(&called(&array), &integers);
        Ok((labels, other.is_none().then_some(array)))
    }
}

fn several(file: &ArrayFile) -> DatasetError {
    DatasetError::Content {
        path: file.path().to_owned(),
        problem: format!(
            "it should hold one array of labels; set dataset.label_array to the name of one: {}",
            file.listing()
        ),
    }
}

/// Bytes `[N, C, H, W]`. Bytes in that order share memory with the file.
fn pixels(
    images: &Array,
    layout: ArrayLayout,
    shape: ImageShape,
    conversion: &Conversion,
    facts: &mut Vec<String>,
) -> Bytes {
    let bytes = match images.shared_bytes().filter(|_| conversion.is_identity()) {
        Some(bytes) => bytes,
        None => {
            let (bytes, rounding) = conversion.to_bytes(images);
            if rounding > ROUNDING_STATED {
                facts.push(format!(
                    "values are rounded to 256 steps, by up to {rounding:.2} of a step: the lab holds images as bytes"
                ));
            }
            bytes.into()
        }
    };
    match layout.is_channels_first(shape) {
        true => bytes,
        false => layout.to_channels_first(&bytes, shape).into(),
    }
}

/// A notice about members of an archive that are no arrays.
fn not_read(file: &ArrayFile) -> Option<String> {
    let others = file.others();
    let first = others.first()?;
    Some(format!(
        "left out: {} members of the archive that are no arrays ('{first}')",
        others.len()
    ))
}

/// True if a file has the ending of one of arrays.
pub fn is_likely(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    ending.is_some_and(|ending| ["npy", "npz", "safetensors"].contains(&ending.as_str()))
}

#[cfg(test)]
#[path = "array_images_tests.rs"]
mod tests;
