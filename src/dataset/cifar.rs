//! CIFAR-10 and CIFAR-100 in their binary version (Krizhevsky 2009): records of labels and one 32x32 colour image.
//!
//! ```text
//! CIFAR-10:  label (0 to 9)                          3 x 1024 bytes: red, green, blue, row-major
//! CIFAR-100: coarse (0 to 19), fine label (0 to 99)  the same
//! ```
//!
//! A path names the directory with the training files, the archive that it came in, or one file. Directory and
//! archive: `data_batch_*.bin` or `train.bin`, in the order of their names. Files do not say which of the two they are;
//! their lengths do, and labels in range are what shows that a file is CIFAR at all. The Python version is pickled
//! code, which the lab does not run.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use tar::Archive;

use super::source::DatasetError;
use super::{Dataset, mapped};
use crate::image::ImageShape;

/// Of all images.
pub const SHAPE: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };

/// Labels before an image: how many, and how many values each has; the last is the class.
const CIFAR_10: &[u8] = &[10];
const CIFAR_100: &[u8] = &[20, 100];

/// Reads all training images that `path` names, with their classes (CIFAR-100: the fine ones).
pub fn read(name: &str, path: &Path) -> Result<Dataset, DatasetError> {
    let failed = |source| DatasetError::Read { path: path.to_owned(), source };
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    let mut take = |file: &[u8], path: &Path| parse(file, path, &mut pixels, &mut labels);
    if path.is_dir() {
        let entries = fs::read_dir(path).map_err(failed)?;
        let mut files = Vec::new();
        for entry in entries {
            let file = entry.map_err(failed)?.path();
            if is_training_file(&file) {
                files.push(file);
            }
        }
        files.sort();
        for file in &files {
            let bytes = mapped::read(file)
                .map_err(|source| DatasetError::Read { path: file.clone(), source })?;
            take(&bytes, file)?;
        }
    } else {
        let file = mapped::read(path).map_err(failed)?;
        if file.starts_with(&[0x1f, 0x8b]) {
            for (name, bytes) in unpack(&file).map_err(failed)? {
                take(&bytes, &path.join(name))?;
            }
        } else {
            take(&file, path)?;
        }
    }
    if labels.is_empty() {
        return Err(DatasetError::NoCifar { path: path.to_owned() });
    }
    Ok(Dataset::new(name, SHAPE, pixels, Some(labels)))
}

fn is_training_file(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
    name == "train.bin" || (name.starts_with("data_batch_") && name.ends_with(".bin"))
}

/// Whether a directory or the name of a file looks like CIFAR.
pub fn is_likely(path: &Path) -> bool {
    if path.is_dir() {
        return fs::read_dir(path)
            .is_ok_and(|entries| entries.flatten().any(|entry| is_training_file(&entry.path())));
    }
    let name = path.to_string_lossy();
    [".bin", ".tar.gz", ".tgz"].iter().any(|end| name.ends_with(end))
}

/// The training files of a gzipped archive. Files with holes, whose size an archive may claim without a byte of them, are
/// no training files, and more than memory should hold is refused before it is unpacked.
fn unpack(archive: &[u8]) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut files = Vec::new();
    let mut left = mapped::in_memory_max();
    for entry in Archive::new(MultiGzDecoder::new(archive)).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        if is_training_file(&path) && entry.header().entry_type().is_file() {
            left = left.checked_sub(entry.size()).ok_or_else(|| {
                let (path, size) = (path.display(), entry.size());
                io::Error::other(format!(
                    "'{path}' in it claims {size} bytes, more than memory can hold"
                ))
            })?;
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            files.push((path, bytes));
        }
    }
    files.sort();
    Ok(files)
}

fn parse(
    file: &[u8],
    path: &Path,
    pixels: &mut Vec<u8>,
    labels: &mut Vec<u8>,
) -> Result<(), DatasetError> {
    let record = |kinds: &[u8]| kinds.len() + SHAPE.n_values();
    let fits = |kinds: &&&[u8]| !file.is_empty() && file.len().is_multiple_of(record(kinds));
    let Some(kinds) = [CIFAR_10, CIFAR_100].iter().find(fits) else {
        let found = file.len();
        return Err(DatasetError::CifarLength { path: path.to_owned(), found });
    };
    for (number, record) in file.chunks_exact(record(kinds)).enumerate() {
        let (before, image) = record.split_at(kinds.len());
        if let Some((&found, &kinds)) = before.iter().zip(*kinds).find(|(label, n)| label >= n) {
            return Err(DatasetError::CifarLabel { path: path.to_owned(), number, found, kinds });
        }
        labels.extend(before.last());
        pixels.extend_from_slice(image);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tempfile::TempDir;

    /// Records whose images are their number over and over.
    fn records(labels: &[&[u8]]) -> Vec<u8> {
        let record = |(i, labels): (usize, &&[u8])| [labels.to_vec(), vec![i as u8; 3072]].concat();
        labels.iter().enumerate().flat_map(record).collect()
    }

    fn folder(files: &[(&str, Vec<u8>)]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        folder
    }

    #[test]
    fn directories_archives_and_single_files_hold_the_same() {
        let [first, second] = [records(&[&[3], &[9]]), records(&[&[0]])];
        let files = [
            ("data_batch_2.bin", second.clone()),
            ("data_batch_1.bin", first.clone()),
            ("test_batch.bin", records(&[&[1]])),
            ("readme.html", b"<html>".to_vec()),
        ];
        let folder = folder(&files);
        let all = read("cifar", folder.path()).unwrap();
        assert_eq!((all.len(), all.shape(), all.labels().unwrap()), (3, SHAPE, &[3, 9, 0][..]));
        assert_eq!([0, 1, 2].map(|i| all.image(i)[3071]), [0, 1, 0]);
        assert!(is_likely(folder.path()));

        let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        archive.append_dir_all("cifar-10-batches-bin", folder.path()).unwrap();
        let packed = folder.path().join("cifar-10-binary.tar.gz");
        fs::write(&packed, archive.into_inner().unwrap().finish().unwrap()).unwrap();
        let unpacked = read("cifar", &packed).unwrap();
        assert_eq!((unpacked.pixels(), unpacked.labels()), (all.pixels(), all.labels()));

        let one = read("cifar", &folder.path().join("test_batch.bin")).unwrap();
        assert_eq!((one.len(), one.labels().unwrap()), (1, &[1][..]));
    }

    #[test]
    fn cifar_100_is_told_by_its_length_and_gives_the_fine_classes() {
        let folder = folder(&[("train.bin", records(&[&[19, 99], &[0, 7]]))]);
        assert_eq!(read("cifar", folder.path()).unwrap().labels().unwrap(), [99, 7]);
    }

    #[test]
    fn what_is_not_cifar_is_refused_with_what_was_found() {
        let says = |path: &Path| read("cifar", path).unwrap_err().to_string();
        let short = folder(&[("data_batch_1.bin", vec![0; 3000])]);
        assert!(says(short.path()).contains("'3000'"), "{}", says(short.path()));
        let empty = folder(&[("data_batch_1.bin", vec![])]);
        assert!(says(empty.path()).contains("'0'"), "{}", says(empty.path()));
        let garbage = folder(&[("data_batch_1.bin", records(&[&[4], &[10]]))]);
        let error = says(garbage.path());
        assert!(error.contains("record '1'") && error.contains("'10'"), "{error}");
        let python = folder(&[("data_batch_1", vec![0x80, 2])]);
        assert!(says(python.path()).contains("binary version"), "{}", says(python.path()));
        assert!(!is_likely(python.path()));
        let missing = says(Path::new("/no/such/archive.tar.gz"));
        assert!(missing.contains("cannot read"), "{missing}");
        let broken = folder(&[("a.tar.gz", vec![0x1f, 0x8b, 8, 0, 0])]);
        assert!(says(&broken.path().join("a.tar.gz")).contains("cannot read"));
    }
}
