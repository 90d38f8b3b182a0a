//! The sources of data sets, and the function that opens them.

use std::path::{Path, PathBuf};

use super::batches::shuffled;
use super::crafted::CraftedSet;
use super::error::DatasetError;
use super::folder::Folder;
use super::resize::bilinear;
use super::set::Dataset;
use super::{cifar, idx};
use crate::image::ImageShape;
use crate::random::{Purpose, stream};

/// A data set before it is opened.
#[derive(Clone, Debug, PartialEq)]
pub enum DatasetSource {
    /// Drawn by the lab.
    Crafted(CraftedSet),
    /// Files of grey images, optionally resized to `size * size` (see [`super::resize`]).
    Idx { images: PathBuf, labels: Option<PathBuf>, size: Option<usize> },
    /// CIFAR-10 or CIFAR-100 (see [`super::cifar`]), optionally resized in the same way.
    Cifar { path: PathBuf, size: Option<usize> },
    /// A folder of PNG and JPEG images as squares of `size` pixels (see [`super::folder`]).
    Folder { path: PathBuf, size: usize },
}

/// Opens `source`. A `limit` below the number of images takes a random subset by the rng seed `subset_seed`, in the
/// order of the source: some copies of MNIST are sorted by class, so the first images are no sample.
///
/// # Errors
///
/// If the source cannot be read or a setting is out of range.
pub fn open(
    name: &str,
    source: &DatasetSource,
    limit: Option<usize>,
    subset_seed: u64,
) -> Result<Dataset, DatasetError> {
    if limit == Some(0) || matches!(source, DatasetSource::Crafted(set) if set.n == 0) {
        return Err(DatasetError::Setting { name: "n", value: 0, low: 1, high: u32::MAX as usize });
    }
    // Those of `n` images that are taken.
    let chosen = |n: usize| {
        let limit = limit.filter(|&limit| limit < n)?;
        let mut chosen = shuffled(n, &mut stream(subset_seed, Purpose::Subset, 0));
        chosen.truncate(limit);
        chosen.sort_unstable();
        Some(chosen)
    };
    let dataset = match source {
        DatasetSource::Crafted(set) => set.generate(name)?,
        DatasetSource::Idx { images, labels, size } => {
            check_size(*size)?;
            resized(open_idx(name, images, labels.as_ref())?, *size)
        }
        DatasetSource::Cifar { path, size } => {
            check_size(*size)?;
            resized(cifar::read(name, path)?, *size)
        }
        DatasetSource::Folder { path, size } => {
            check_size(Some(*size))?;
            let folder = Folder::list(path)?;
            let all = || (0..folder.n_images()).collect();
            folder.open(name, &chosen(folder.n_images()).unwrap_or_else(all), *size)?
        }
    };
    if matches!(source, DatasetSource::Crafted(_)) {
        return Ok(dataset);
    }
    let mut notices = dataset.notices().to_vec();
    notices.extend(monotony(&dataset));
    if let Some(limit) = limit.filter(|&limit| limit > dataset.len()) {
        notices.push(format!("only {} of the {limit} images asked for are there", dataset.len()));
    }
    let dataset = match chosen(dataset.len()) {
        Some(chosen) => dataset.select(&chosen),
        None => dataset,
    };
    Ok(dataset.with_notices(notices))
}

/// Values of an image that differ by no more than this are taken as equal.
const NEARLY: u8 = 7;

/// A notice if there is nothing to learn: all images have one brightness, or each of them has.
fn monotony(dataset: &Dataset) -> Option<String> {
    let range = |values: &[u8]| {
        values.iter().fold((u8::MAX, u8::MIN), |(low, high), &v| (low.min(v), high.max(v)))
    };
    let plane = dataset.shape().height * dataset.shape().width;
    let is_flat = |plane: &[u8]| {
        let (low, high) = range(plane);
        high - low <= NEARLY
    };
    if plane == 1 || dataset.is_empty() || !dataset.pixels().chunks(plane).all(is_flat) {
        return None;
    }
    let words = match range(dataset.pixels()) {
        (_, 0) => "all images are black".to_owned(),
        (255, _) => "all images are white".to_owned(),
        // Of a reader that knows better why.
        (0, 1) => return None,
        (low, high) if high - low <= NEARLY => {
            format!("all images are nearly of one value: of 0 to 255 there are {low} to {high}")
        }
        _ => "each image is nearly of one colour throughout".to_owned(),
    };
    Some(format!("{words}; perhaps their files are damaged"))
}

fn check_size(size: Option<usize>) -> Result<(), DatasetError> {
    match size {
        Some(value) if !(1..=256).contains(&value) => {
            Err(DatasetError::Setting { name: "size", value, low: 1, high: 256 })
        }
        _ => Ok(()),
    }
}

fn open_idx(name: &str, images: &Path, labels: Option<&PathBuf>) -> Result<Dataset, DatasetError> {
    let file = idx::read(images, idx::Purpose::Images)?;
    let (n, height, width) = (file.sizes[0], file.sizes[1], file.sizes[2]);
    let labels = match labels {
        Some(path) => Some((path, idx::read(path, idx::Purpose::Labels)?)),
        None => None,
    };
    if let Some((path, labels)) = labels.as_ref().filter(|(_, labels)| labels.bytes.len() != n) {
        return Err(DatasetError::Labels {
            path: (*path).clone(),
            images: images.to_path_buf(),
            found: labels.bytes.len(),
            expected: n,
        });
    }
    let mut notices = file.notices;
    let is_binary = file.bytes.iter().all(|&byte| byte <= 1) && file.bytes.contains(&1);
    if is_binary {
        notices.push(format!(
            "'{}': all bytes are 0 or 1, but 0 to 255 is expected (0 becomes -1 and 255 becomes 1), so that its images are \
             all but black; multiply them by 255",
            images.display()
        ));
    }
    let labels = labels.map(|(_, labels)| {
        notices.extend(labels.notices);
        labels.bytes.to_vec()
    });
    Ok(Dataset::new(name, ImageShape::new(1, height, width), file.bytes, labels)
        .with_notices(notices))
}

fn resized(dataset: Dataset, size: Option<usize>) -> Dataset {
    let ImageShape { channels, height, width } = dataset.shape();
    match size {
        Some(size) if (size, size) != (height, width) => {
            let planes = dataset.pixels().chunks_exact(height * width);
            let pixels: Vec<u8> =
                planes.flat_map(|plane| bilinear(plane, height, width, size)).collect();
            let labels = dataset.labels().map(<[u8]>::to_vec);
            let notices = dataset.notices().to_vec();
            Dataset::new(dataset.name, ImageShape::new(channels, size, size), pixels, labels)
                .with_notices(notices)
        }
        _ => dataset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(size: Option<usize>) -> DatasetSource {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("datasets/digits");
        DatasetSource::Idx {
            images: folder.join("images-idx3-ubyte.gz"),
            labels: Some(folder.join("labels-idx1-ubyte.gz")),
            size,
        }
    }

    #[test]
    fn the_shipped_digits_open() {
        let data = open("digits", &digits(None), None, 0).unwrap();
        assert_eq!((data.len(), data.shape()), (1797, ImageShape::new(1, 8, 8)));
        let labels = data.labels().unwrap();
        assert!((0..10).all(|d| labels.iter().filter(|&&l| l == d).count() >= 170));
        assert_eq!(data.pixels().iter().max(), Some(&255));
    }

    #[test]
    fn a_limit_takes_a_seeded_sample_with_its_labels() {
        let all = open("digits", &digits(None), None, 0).unwrap();
        let some = open("digits", &digits(None), Some(100), 1).unwrap();
        assert_eq!(some.pixels(), open("d", &digits(None), Some(100), 1).unwrap().pixels());
        assert_ne!(some.pixels(), open("d", &digits(None), Some(100), 2).unwrap().pixels());
        let place = (0..all.len()).find(|&i| all.image(i) == some.image(7)).unwrap();
        assert_eq!(all.labels().unwrap()[place], some.labels().unwrap()[7]);
    }

    #[test]
    fn resized_digits_have_the_asked_size() {
        let data = open("digits", &digits(Some(16)), Some(3), 0).unwrap();
        assert_eq!(data.shape(), ImageShape::new(1, 16, 16));
    }

    /// Grey images of 2x2 pixels.
    fn of_pixels(pixels: &[u8]) -> (tempfile::NamedTempFile, DatasetSource) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let n = (pixels.len() as u32 / 4).to_be_bytes();
        let header = [&[0, 0, 8, 3][..], &n, &[0, 0, 0, 2, 0, 0, 0, 2]].concat();
        std::fs::write(file.path(), [&header, pixels].concat()).unwrap();
        let images = file.path().to_owned();
        (file, DatasetSource::Idx { images, labels: None, size: None })
    }

    #[test]
    fn fewer_images_than_asked_for_are_said() {
        for (limit, is_said) in
            [(None, false), (Some(3), false), (Some(1797), false), (Some(1800), true)]
        {
            let notices = open("digits", &digits(None), limit, 0).unwrap().notices().join("\n");
            assert_eq!(
                notices.contains("only 1797 of the 1800 images asked for"),
                is_said,
                "{notices}"
            );
        }
        let folder = tempfile::tempdir().unwrap();
        let image = ::image::GrayImage::from_fn(4, 4, |x, y| ::image::Luma([(90 * x + y) as u8]));
        image.save(folder.path().join("1.png")).unwrap();
        let source = DatasetSource::Folder { path: folder.path().to_owned(), size: 4 };
        let notices = open("mine", &source, Some(2), 0).unwrap().notices().join("\n");
        assert!(notices.contains("only 1 of the 2 images asked for"), "{notices}");
    }

    #[test]
    fn images_without_anything_on_them_are_said() {
        for (pixels, expected) in [
            ([0; 8], "all images are black"),
            ([255; 8], "all images are white"),
            ([70, 71, 72, 73, 70, 70, 70, 74], "there are 70 to 74"),
            ([3, 3, 3, 3, 200, 200, 201, 200], "each image is nearly of one colour"),
            ([0, 0, 0, 0, 0, 0, 0, 200], ""),
            ([1, 0, 0, 0, 0, 0, 0, 1], "multiply them by 255"),
        ] {
            let (_file, source) = of_pixels(&pixels);
            let notices = open("x", &source, None, 0).unwrap().notices().to_vec();
            assert_eq!(notices.len(), usize::from(!expected.is_empty()), "{notices:?}");
            assert!(notices.iter().all(|one| one.contains(expected)), "{notices:?}");
        }
    }
}
