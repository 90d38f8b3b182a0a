//! CIFAR-10 and CIFAR-100 in their binary version (Krizhevsky 2009): records of labels and one 32x32 colour
//! image.
//!
//! ```text
//! CIFAR-10:  label (0 to 9)                          3 x 1024 bytes: red, green, blue, row-major
//! CIFAR-100: coarse (0 to 19), fine label (0 to 99)  the same
//! ```
//!
//! A path names the directory with the training files, the original archive (tar, gzipped or not), or one file.
//! A directory or archive is searched for `data_batch_N.bin` or `train.bin`, read in the order of their names;
//! similar names are left out and reported in the notices. Files do not say which of the two sets they belong
//! to: the length of a file decides, and labels in range confirm that it is CIFAR at all. Both sets at once, or
//! one batch twice, are refused. The Python version is pickled code, which the lab does not run.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::error::DatasetError;
use super::gzip_and_tar::{self, Member, wrong_kind};
use super::ignored_system_files::entries;
use super::image_set::Dataset;
use crate::files::file_kind::{FileKind, is_tar};
use crate::files::read_or_map_file;
use crate::image::ImageShape;

/// Shape of all images.
pub const SHAPE: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };

/// Number of files with CIFAR-10's training images.
const BATCHES: usize = 5;
/// Number of images in each of them.
const BATCH_IMAGES: usize = 10_000;

/// The two data sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cifar {
    Ten,
    Hundred,
}

impl Cifar {
    const BOTH: [Self; 2] = [Self::Ten, Self::Hundred];

    /// The labels before each image: for each one its number of values. The last label is the class.
    fn labels(self) -> &'static [u8] {
        match self {
            Self::Ten => &[10],
            Self::Hundred => &[20, 100],
        }
    }

    fn record(self) -> usize {
        self.labels().len() + SHAPE.n_values()
    }
}

/// Reads all training images at `path`, with their classes (CIFAR-100: the fine ones).
///
/// # Errors
///
/// If a file belongs to neither set (the error says what it is instead), or if an archive or directory contains
/// too much.
pub fn read(name: &str, path: &Path) -> Result<Dataset, DatasetError> {
    let Found { files, mut notices, is_whole_set, was_packed } = find(path)?;
    refuse_twice(path, &files)?;
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    let mut sets: Vec<(Cifar, &Path)> = Vec::new();
    for file in &files {
        let set = parse(&file.bytes, &file.path, &mut pixels, &mut labels)
            .map_err(|error| by_kind(file, was_packed).unwrap_or(error))?;
        sets.push((set, &file.path));
        // Such records are valid black images, but usually left by a failed copy.
        if FileKind::of(&file.bytes) == FileKind::Zeros {
            notices.push(format!("'{}' holds nothing but zeros", file.path.display()));
        }
    }
    let of = |wanted| sets.iter().find(|(set, _)| *set == wanted).map(|(_, path)| path);
    if let (Some(ten), Some(hundred)) = (of(Cifar::Ten), of(Cifar::Hundred)) {
        let [ten, hundred] = [ten, hundred].map(|path| path.to_path_buf());
        return Err(DatasetError::CifarMixed { path: path.to_owned(), ten, hundred });
    }
    let records: Vec<usize> = sets.iter().map(|(set, _)| set.record()).collect();
    notices.extend(shared_records(path, &files, &records)?);
    if is_whole_set {
        notices.extend(missing(path, &files));
    }
    Ok(Dataset::new(name, SHAPE, pixels, Some(labels)).with_notices(notices))
}

/// The files found at a path.
struct Found {
    files: Vec<Member>,
    notices: Vec<String>,
    /// True if the path is a directory or an archive, which should contain a whole set.
    is_whole_set: bool,
    /// True if the path is a single gzipped file.
    was_packed: bool,
}

fn find(path: &Path) -> Result<Found, DatasetError> {
    if path.is_dir() {
        return directory(path);
    }
    let unpacked = gzip_and_tar::read(path)?;
    if !is_tar(&unpacked.bytes) {
        let was_packed = unpacked.was_packed;
        let files = vec![Member { path: path.to_owned(), bytes: unpacked.bytes }];
        return Ok(Found { files, notices: unpacked.notices, is_whole_set: false, was_packed });
    }
    let (members, notices) = gzip_and_tar::members(&unpacked.bytes, path)?;
    let names: Vec<PathBuf> = members.iter().map(|member| member.path.clone()).collect();
    let mut files: Vec<Member> =
        members.into_iter().filter(|member| is_training_file(&member.path)).collect();
    if files.is_empty() {
        return Err(no_cifar(path, &names));
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let notices = [unpacked.notices, notices, left_out(path, &names)].concat();
    Ok(Found { files, notices, is_whole_set: true, was_packed: false })
}

/// Reads the training files of a directory.
fn directory(path: &Path) -> Result<Found, DatasetError> {
    let names = entries(path).map_err(DatasetError::reading(path))?;
    let mut files = Vec::new();
    for file in names.iter().filter(|file| is_training_file(file)) {
        let bytes = read_or_map_file::read_regular(file).map_err(DatasetError::reading(file))?;
        files.push(Member { path: file.clone(), bytes });
    }
    if files.is_empty() {
        return Err(no_cifar(path, &names));
    }
    let notices = left_out(path, &names);
    Ok(Found { files, notices, is_whole_set: true, was_packed: false })
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or("")
}

fn is_training_file(path: &Path) -> bool {
    file_name(path) == "train.bin" || number(path).is_some()
}

/// The number of a batch file, in digits.
fn number(path: &Path) -> Option<&str> {
    let number = file_name(path).strip_prefix("data_batch_")?.strip_suffix(".bin")?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(number)
}

/// True if a file is not a training file but has a similar name in any spelling: copies, compressed files,
/// other versions.
fn is_lookalike(path: &Path) -> bool {
    let name: String =
        file_name(path).to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect();
    let is_other = ["test", "meta"].iter().any(|word| name.contains(word));
    !is_training_file(path) && !is_other && (name.contains("batch") || name.contains("train"))
}

/// A notice about those of `names` that look like training files but are not.
fn left_out(path: &Path, names: &[PathBuf]) -> Vec<String> {
    let names: Vec<&str> =
        names.iter().filter(|path| is_lookalike(path)).map(|path| file_name(path)).collect();
    match names.len() {
        0 => Vec::new(),
        n => vec![format!(
            "'{}': {n} files are left out that are not called 'data_batch_N.bin' or 'train.bin': '{}'{}",
            path.display(),
            names[..n.min(3)].join("', '"),
            if n > 3 { ", ..." } else { "" }
        )],
    }
}

/// The error for a file of some other kind.
fn by_kind(file: &Member, was_packed: bool) -> Option<DatasetError> {
    let is_known = !matches!(FileKind::of(&file.bytes), FileKind::Unknown(_));
    is_known.then(|| wrong_kind(&file.path, &file.bytes, was_packed, "CIFAR's binary version"))
}

fn no_cifar(path: &Path, names: &[PathBuf]) -> DatasetError {
    let has = |wanted: &[&str]| names.iter().any(|name| wanted.contains(&file_name(name)));
    let found = match () {
        () if has(&["data_batch_1", "train", "data_batch_2"]) => {
            ", but CIFAR's Python version, which is pickled"
        }
        () if has(&["data_batch_1.mat", "train.mat"]) => ", but CIFAR's MATLAB version",
        () if has(&["test_batch.bin", "test.bin"]) => ", but CIFAR's test images only",
        () if has(&["data_batch_1.bin.gz", "train.bin.gz"]) => {
            ", but packed files, which must be unpacked"
        }
        () if names.iter().any(|name| is_lookalike(name)) => {
            ", but files in another spelling, which must be called so"
        }
        () => "",
    };
    DatasetError::NoCifar { path: path.to_owned(), found }
}

/// A message about missing CIFAR-10 batches: gaps in the numbering and, if all files have the original size,
/// batches at the end.
fn missing(path: &Path, files: &[Member]) -> Option<String> {
    let numbers: BTreeSet<usize> =
        files.iter().filter_map(|file| number(&file.path)?.parse().ok()).collect();
    let is_original =
        files.iter().all(|file| file.bytes.len() == BATCH_IMAGES * Cifar::Ten.record());
    let last = *numbers.last()?.max(if is_original { &BATCHES } else { &1 });
    let missing: Vec<String> = (1..=last)
        .filter(|number| !numbers.contains(number))
        .map(|number| format!("'data_batch_{number}.bin'"))
        .take(BATCHES)
        .collect();
    (!missing.is_empty()).then(|| format!("'{}' lacks {}", path.display(), missing.join(", ")))
}

/// Refuses two files with the same name or the same content.
fn refuse_twice(path: &Path, files: &[Member]) -> Result<(), DatasetError> {
    for (i, second) in files.iter().enumerate() {
        let same = |first: &&Member| {
            file_name(&first.path) == file_name(&second.path)
                || (!second.bytes.is_empty() && first.bytes == second.bytes)
        };
        if let Some(first) = files[..i].iter().find(same) {
            let [first, second] = [first, second].map(|file| file.path.clone());
            return Err(DatasetError::CifarTwice { path: path.to_owned(), first, second });
        }
    }
    Ok(())
}

/// Refuses two files if one contains at least half of the other's records (labels and image). Returns a notice
/// for each pair that shares some, and for each file that repeats its own. Less than one in a hundred is
/// ignored: CIFAR has a few images twice.
fn shared_records(
    path: &Path,
    files: &[Member],
    lengths: &[usize],
) -> Result<Vec<String>, DatasetError> {
    let hasher = RandomState::new();
    let hashes = |(file, &length): (&Member, &usize)| -> Vec<u64> {
        file.bytes.chunks_exact(length).map(|record| hasher.hash_one(record)).collect()
    };
    let hashes: Vec<Vec<u64>> = files.par_iter().zip(lengths).map(hashes).collect();
    let distinct: Vec<HashSet<u64>> =
        hashes.iter().map(|all| all.iter().copied().collect()).collect();
    let is_few = |n: usize, all: usize| n * 100 < all || n == 0;
    let mut notices = Vec::new();
    for (i, second) in files.iter().enumerate() {
        let n_copies = hashes[i].len() - distinct[i].len();
        if !is_few(n_copies, hashes[i].len()) {
            notices.push(format!(
                "'{}': of {} images {n_copies} are copies of others in it",
                second.path.display(),
                hashes[i].len()
            ));
        }
        for (j, first) in files[..i].iter().enumerate() {
            let (fewer, more) = if distinct[j].len() < distinct[i].len() { (j, i) } else { (i, j) };
            let n_shared = distinct[fewer].intersection(&distinct[more]).count();
            let n = distinct[fewer].len();
            if n > 0 && n_shared * 2 >= n {
                let [first, second] = [first, second].map(|file| file.path.clone());
                return Err(DatasetError::CifarTwice { path: path.to_owned(), first, second });
            }
            if !is_few(n_shared, n) {
                notices.push(format!(
                    "'{}' and '{}' have {n_shared} images in common",
                    first.path.display(),
                    second.path.display()
                ));
            }
        }
    }
    Ok(notices)
}

/// True if a directory, or a file by its name or first bytes, looks like CIFAR.
pub fn is_likely(path: &Path) -> bool {
    if path.is_dir() {
        return fs::read_dir(path)
            .is_ok_and(|entries| entries.flatten().any(|entry| is_training_file(&entry.path())));
    }
    let name = path.to_string_lossy().to_lowercase();
    [".bin", ".bin.gz", ".tgz", ".tar"].iter().any(|end| name.ends_with(end))
        || name.contains(".tar.")
        || gzip_and_tar::start(path).is_some_and(|start| is_tar(&start))
}

fn parse(
    file: &[u8],
    path: &Path,
    pixels: &mut Vec<u8>,
    labels: &mut Vec<u8>,
) -> Result<Cifar, DatasetError> {
    let fits = |set: &Cifar| !file.is_empty() && file.len().is_multiple_of(set.record());
    // A length may fit both sets; then the labels decide.
    let mut refused = None;
    for set in Cifar::BOTH.into_iter().filter(fits) {
        match wrong_label(file, path, set) {
            None => {
                for record in file.chunks_exact(set.record()) {
                    let (before, image) = record.split_at(set.labels().len());
                    labels.extend(before.last());
                    pixels.extend_from_slice(image);
                }
                return Ok(set);
            }
            Some(error) => refused = refused.or(Some(error)),
        }
    }
    Err(refused.unwrap_or(DatasetError::CifarLength { path: path.to_owned(), found: file.len() }))
}

fn wrong_label(file: &[u8], path: &Path, set: Cifar) -> Option<DatasetError> {
    file.chunks_exact(set.record()).enumerate().find_map(|(number, record)| {
        let mut labels = record.iter().zip(set.labels());
        let (&found, &kinds) = labels.find(|(label, n)| label >= n)?;
        Some(DatasetError::CifarLabel { path: path.to_owned(), number, found, kinds })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tempfile::TempDir;

    /// Records whose images repeat the record's number.
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
        let short = folder(&[("data_batch_1.bin", vec![7; 3000])]);
        assert!(says(short.path()).contains("'3000'"), "{}", says(short.path()));
        let empty = folder(&[("data_batch_1.bin", vec![])]);
        assert!(says(empty.path()).contains("an empty file"), "{}", says(empty.path()));
        let zeros = folder(&[("data_batch_1.bin", vec![0; 3073])]);
        let notices = read("cifar", zeros.path()).unwrap().notices().join(", ");
        assert!(notices.contains("nothing but zeros"), "{notices}");
        let page = folder(&[("data_batch_1.bin", b"<!DOCTYPE html><p>Not found".to_vec())]);
        assert!(says(page.path()).contains("HTML page"), "{}", says(page.path()));
        let garbage = folder(&[("data_batch_1.bin", records(&[&[4], &[10]]))]);
        let error = says(garbage.path());
        assert!(error.contains("record '1'") && error.contains("'10'"), "{error}");
        let python = folder(&[("data_batch_1", vec![0x80, 2])]);
        assert!(says(python.path()).contains("Python version"), "{}", says(python.path()));
        assert!(!is_likely(python.path()));
        let missing = says(Path::new("/no/such/archive.tar.gz"));
        assert!(missing.contains("cannot read"), "{missing}");
        let broken = folder(&[("a.tar.gz", vec![0x1f, 0x8b, 8, 0, 0])]);
        assert!(says(&broken.path().join("a.tar.gz")).contains("fetch it again"));
    }

    /// A tar archive of these files.
    fn archive(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, bytes) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            archive.append_data(&mut header, name, &bytes[..]).unwrap();
        }
        archive.into_inner().unwrap()
    }

    #[test]
    fn plain_archives_and_packed_files_are_read_and_litter_is_passed_over() {
        let batch = records(&[&[3], &[9]]);
        let tar = archive(&[
            ("c/._data_batch_1.bin", b"\0\x05\x16\x07".to_vec()),
            ("__MACOSX/c/data_batch_1.bin", b"mac".to_vec()),
            ("c/PaxHeaders.7/data_batch_1.bin", b"pax".to_vec()),
            ("c/data_batch_1.bin", batch.clone()),
        ]);
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        std::io::Write::write_all(&mut packed, &batch).unwrap();
        let folder = folder(&[("c.tar", tar), ("one.bin.gz", packed.finish().unwrap())]);
        for name in ["c.tar", "one.bin.gz"] {
            let path = folder.path().join(name);
            assert!(is_likely(&path));
            assert_eq!(read("cifar", &path).unwrap().labels().unwrap(), [3, 9], "{name}");
        }
    }

    #[test]
    fn one_batch_twice_and_both_sets_at_once_are_refused() {
        let [ten, other] = [records(&[&[3]]), records(&[&[4]])];
        let hundred = records(&[&[1, 2], &[3, 4]]);
        let check = |files: &[(&str, Vec<u8>)], expected: &str| {
            let flat: Vec<(&str, Vec<u8>)> = files
                .iter()
                .map(|(name, bytes)| (name.rsplit('/').next().unwrap(), bytes.clone()))
                .collect();
            let as_folder = folder(&flat);
            fs::write(as_folder.path().join("c.tar"), archive(files)).unwrap();
            let error = read("c", &as_folder.path().join("c.tar")).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            let error = read("c", as_folder.path()).map(|_| "accepted".to_owned());
            error.unwrap_or_else(|error| error.to_string())
        };
        let both = [("a/data_batch_1.bin", ten.clone()), ("b/train.bin", hundred)];
        assert!(check(&both, "of CIFAR-10 (").contains("and of CIFAR-100 ("));
        let copied = [("a/data_batch_1.bin", ten.clone()), ("a/data_batch_2.bin", ten.clone())];
        assert!(check(&copied, "twice").contains("twice"));
        // A directory cannot contain one name twice.
        check(&[("a/data_batch_1.bin", ten), ("b/data_batch_1.bin", other)], "twice");
    }

    #[test]
    fn missing_and_copied_batches_are_said() {
        let folder = folder(&[
            ("data_batch_1.bin", records(&[&[3]])),
            ("data_batch_3.bin", records(&[&[4]])),
            ("data_batch_1 (1).bin", records(&[&[3]])),
        ]);
        let notices = read("cifar", folder.path()).unwrap().notices().join("\n");
        assert!(notices.contains("lacks 'data_batch_2.bin'"), "{notices}");
        assert!(notices.contains("'data_batch_1 (1).bin'"), "{notices}");
        let one = read("cifar", &folder.path().join("data_batch_1.bin")).unwrap();
        assert!(one.notices().is_empty(), "one file was asked for");
    }

    /// `n` distinct CIFAR-10 records, numbered from `first`.
    fn numbered(first: u32, n: u32) -> Vec<u8> {
        let record = |i: u32| [&[(i % 10) as u8][..], &i.to_le_bytes().repeat(768)].concat();
        (first..first + n).flat_map(record).collect()
    }

    #[test]
    fn records_that_two_files_share_are_refused_or_said() {
        let error = |files: &[(&str, Vec<u8>)]| {
            read("c", folder(files).path()).map(|data| data.notices().join("\n"))
        };
        let batches =
            [("data_batch_1.bin", numbered(0, 30)), ("data_batch_2.bin", numbered(30, 30))];
        let all = [batches.clone().to_vec(), vec![("train.bin", numbered(0, 60))]].concat();
        let holds_first = [batches[0].clone(), ("data_batch_2.bin", numbered(0, 60))];
        // The same batches in another order.
        let turned = [numbered(20, 10), numbered(10, 10), numbered(0, 10)].concat();
        let reordered = [batches[0].clone(), ("data_batch_2.bin", turned)];
        for files in [&all[..], &holds_first, &reordered] {
            let refused = error(files).unwrap_err().to_string();
            assert!(refused.contains("the same training images twice"), "{refused}");
        }
        assert!(!error(&batches).unwrap().contains("common"));
        let some = [batches[0].clone(), ("data_batch_2.bin", numbered(20, 30))];
        let notices = error(&some).unwrap();
        assert!(notices.contains("have 10 images in common"), "{notices}");
        let doubled = [("data_batch_1.bin", [numbered(0, 30), numbered(0, 30)].concat())];
        let notices = error(&doubled).unwrap();
        assert!(notices.contains("of 60 images 30 are copies"), "{notices}");
        // A few duplicates, as in CIFAR itself.
        let natural = [
            ("data_batch_1.bin", numbered(0, 300)),
            ("data_batch_2.bin", [numbered(299, 301), numbered(599, 1)].concat()),
        ];
        let notices = error(&natural).unwrap();
        assert!(!notices.contains("common") && !notices.contains("copies"), "{notices}");
    }

    #[test]
    fn other_spellings_are_counted() {
        let odd = ["DATA_BATCH_2.BIN", "data-batch-3.bin", "Data Batch 4.bin", "cifar_train.bin"];
        let with = |names: &[&'static str]| {
            let files: Vec<_> = names.iter().map(|name| (*name, numbered(9, 1))).collect();
            folder(&files)
        };
        let names =
            [&odd[..], &["data_batch_1.bin", "test_batch.bin", "batches.meta.txt"]].concat();
        let notices = read("c", with(&names).path()).unwrap().notices().join("\n");
        assert!(notices.contains("4 files are left out"), "{notices}");
        let error = read("c", with(&odd).path()).unwrap_err().to_string();
        assert!(error.contains("another spelling"), "{error}");
    }
}
