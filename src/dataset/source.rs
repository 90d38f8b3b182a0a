//! Where a data set comes from, and the one way to open it.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::batches::shuffled;
use super::crafted::CraftedSet;
use super::folder::Folder;
use super::resize::bilinear;
use super::{Dataset, cifar, idx};
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

/// Opens `source`. A `limit` below the number of images takes a random subset by `subset_seed`, in the
/// source's order: some copies of MNIST are sorted by class, so the first images are no sample.
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
            return folder.open(name, &chosen(folder.n_images()).unwrap_or_else(all), *size);
        }
    };
    Ok(match chosen(dataset.len()) {
        Some(chosen) => dataset.select(&chosen),
        None => dataset,
    })
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
    let file = idx::read(images, 3)?;
    let (n, height, width) = (file.sizes[0], file.sizes[1], file.sizes[2]);
    let labels = labels.map(|path| Ok((path, idx::read(path, 1)?.bytes))).transpose()?;
    if let Some((path, labels)) = labels.as_ref().filter(|(_, labels)| labels.len() != n) {
        return Err(DatasetError::Labels {
            path: (*path).clone(),
            images: images.to_path_buf(),
            found: labels.len(),
            expected: n,
        });
    }
    let labels = labels.map(|(_, labels)| labels.to_vec());
    Ok(Dataset::new(name, ImageShape::new(1, height, width), file.bytes, labels))
}

fn resized(dataset: Dataset, size: Option<usize>) -> Dataset {
    let ImageShape { channels, height, width } = dataset.shape();
    match size {
        Some(size) if (size, size) != (height, width) => {
            let planes = dataset.pixels().chunks_exact(height * width);
            let pixels: Vec<u8> =
                planes.flat_map(|plane| bilinear(plane, height, width, size)).collect();
            let labels = dataset.labels().map(<[u8]>::to_vec);
            Dataset::new(dataset.name, ImageShape::new(channels, size, size), pixels, labels)
        }
        _ => dataset,
    }
}

/// Why a data set could not be opened.
#[derive(Debug, Error)]
pub enum DatasetError {
    #[error("cannot read '{}'; check the path, which is relative to lab.toml", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "unpacking '{}' ({packed} bytes) broke off after '{found}' bytes; the file is truncated or \
         damaged, fetch it again", path.display()
    )]
    Gzip { path: PathBuf, packed: usize, found: usize, source: io::Error },
    #[error(
        "'{}' starts with the bytes '{found:?}' instead of '{expected:?}'; an IDX file of unsigned \
         bytes was expected ([0, 0, 8, 3] images, [0, 0, 8, 1] labels)", path.display()
    )]
    Magic { path: PathBuf, expected: [u8; 4], found: [u8; 4] },
    #[error(
        "'{}' should hold '{expected}' bytes by its header but holds '{found}'; the file is truncated \
         or no IDX file, fetch it again", path.display()
    )]
    Length { path: PathBuf, expected: u128, found: usize },
    #[error("'{}' holds no items; name a file with at least one", path.display())]
    Empty { path: PathBuf },
    #[error(
        "'{}' holds '{found}' labels but '{}' holds '{expected}' images; name two files that belong \
         together", path.display(), images.display()
    )]
    Labels { path: PathBuf, images: PathBuf, found: usize, expected: usize },
    #[error(
        "'{}' holds '{found}' bytes, which are no whole number of CIFAR records (3073 bytes in CIFAR-10, 3074 in \
         CIFAR-100); the file is truncated or another one, fetch the binary version again", path.display()
    )]
    CifarLength { path: PathBuf, found: usize },
    #[error(
        "record '{number}' of '{}' has the label '{found}', but CIFAR's are below '{kinds}'; name the \
         binary version of CIFAR-10 or CIFAR-100", path.display()
    )]
    CifarLabel { path: PathBuf, number: usize, found: u8, kinds: u8 },
    #[error(
        "'{}' holds neither 'data_batch_1.bin' nor 'train.bin'; name the directory or the archive of CIFAR's \
         binary version (https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz)", path.display()
    )]
    NoCifar { path: PathBuf },
    #[error(
        "'{}' holds no PNG or JPEG images, nor do its sub-folders; name a folder with images", path.display()
    )]
    NoImages { path: PathBuf },
    #[error(
        "cannot decode the image '{}'; repair or remove it", path.display()
    )]
    Image { path: PathBuf, source: ::image::ImageError },
    #[error("dataset setting '{name}' is '{value}'; choose a number from {low} to {high}")]
    Setting { name: &'static str, value: usize, low: usize, high: usize },
    #[error("the images cannot be laid out: {problem}")]
    Layout { problem: String },
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
}
