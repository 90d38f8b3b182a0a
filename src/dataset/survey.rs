//! Survey of a folder of images: its files, its sub-folders, and everything else.
//!
//! Hidden entries and litter ([`super::litter`]) are skipped silently, everything else that is not an image is counted
//! by kind ([`LeftOut`]). Nothing is opened that could block (pipes, devices), and links below class folders are not
//! followed, so that a survey always ends.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::file_kind::FileKind;
use super::left_out::{Kind, LeftOut};
use super::litter::is_litter;
use super::mapped::special_kind;

/// Most entries below class folders that are examined to count images there.
const DEEPER_MAX: usize = 100_000;
/// Bytes of a file without the name of an image that are read to see whether it is one.
const SNIFFED: u64 = 1 << 10;

/// The images and sub-folders of a folder, by name.
#[derive(Default)]
pub struct Listed {
    pub images: Vec<PathBuf>,
    pub folders: Vec<PathBuf>,
}

/// The survey of a folder and its sub-folders.
pub struct Survey<'a> {
    root: &'a Path,
    pub left_out: LeftOut,
    /// Entries that cannot be read.
    pub failures: Vec<(PathBuf, String)>,
}

impl<'a> Survey<'a> {
    pub fn new(root: &'a Path) -> Self {
        Self { root, left_out: LeftOut::default(), failures: Vec::new() }
    }

    /// A path as it is named in notices.
    pub fn relative(&self, path: &Path) -> PathBuf {
        path.strip_prefix(self.root).unwrap_or(path).to_owned()
    }

    /// The images of a class folder; `None` if it cannot be read. Images further below are counted.
    pub fn class(&mut self, folder: &Path) -> Option<Vec<PathBuf>> {
        match self.listed(folder) {
            Ok(Listed { images, folders }) => {
                for deeper in folders {
                    self.count_deeper(deeper);
                }
                Some(images)
            }
            Err(error) => {
                self.failures.push((folder.to_owned(), error.to_string()));
                None
            }
        }
    }

    /// The images and sub-folders of a folder; everything else is counted.
    pub fn listed(&mut self, folder: &Path) -> io::Result<Listed> {
        let mut found = Listed::default();
        for path in entries(folder)? {
            match fs::metadata(&path) {
                Err(error) if fs::symlink_metadata(&path).is_ok_and(|about| about.is_symlink()) => {
                    // A link to nowhere, or to itself.
                    let what = match error.kind() {
                        io::ErrorKind::PermissionDenied => "links that may not be followed",
                        _ => "dangling links",
                    };
                    self.left_out.add(what, self.relative(&path));
                }
                Err(error) => self.failures.push((path, error.to_string())),
                Ok(about) if about.is_dir() => found.folders.push(path),
                Ok(about) if !about.is_file() => {
                    let what = format!("special files ({})", special_kind(about.file_type()));
                    self.left_out.add(what, self.relative(&path));
                }
                Ok(_) if is_image(&path) => found.images.push(path),
                Ok(_) => self.left_out.add_file(kind_of_file(&path), self.relative(&path)),
            }
        }
        Ok(found)
    }

    /// Counts images below a sub-folder of a class, without following links.
    fn count_deeper(&mut self, folder: PathBuf) {
        let (mut pending, mut n_looked_at) = (vec![folder], 0);
        while let Some(folder) = pending.pop() {
            if fs::symlink_metadata(&folder).is_ok_and(|about| about.is_symlink()) {
                self.left_out
                    .add("links to folders below the class folders", self.relative(&folder));
                continue;
            }
            // One that cannot be listed is as much left out as what it holds.
            let Ok(entries) = entries(&folder) else {
                self.left_out
                    .add("unreadable folders below the class folders", self.relative(&folder));
                continue;
            };
            for path in entries {
                n_looked_at += 1;
                if n_looked_at > DEEPER_MAX {
                    self.left_out.add("folders too large to be counted", self.relative(&folder));
                    return;
                }
                if path.is_dir() {
                    pending.push(path);
                } else if is_image(&path) {
                    self.left_out.add("images deeper than the class folders", self.relative(&path));
                }
            }
        }
    }
}

/// The entries of a folder by name, without hidden ones and litter.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !is_litter(&entry.file_name().to_string_lossy()) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

fn ending(path: &Path) -> String {
    path.extension().map(|end| end.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}

fn is_image(path: &Path) -> bool {
    ["png", "jpg", "jpeg"].contains(&ending(path).as_str())
}

/// The kind of a file without the name of an image, by its content or else by its extension.
fn kind_of_file(path: &Path) -> Kind {
    let mut start = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(SNIFFED).read_to_end(&mut start));
    let end = ending(path);
    let name = if end.is_empty() { "no ending".to_owned() } else { format!(".{end}") };
    match FileKind::of(&start) {
        FileKind::Png | FileKind::Jpeg if read.is_ok() => Kind::Misnamed(name),
        FileKind::Known(words) if words.ends_with("image") => {
            Kind::Unread(words.trim_start_matches("a ").trim_start_matches("an ").to_owned())
        }
        FileKind::Npy | FileKind::Npz => Kind::Unread("NumPy array".to_owned()),
        _ if UNREAD.contains(&end.as_str()) => Kind::Unread(name),
        _ => Kind::Other(name),
    }
}

/// Extensions of images that the lab does not read.
const UNREAD: [&str; 31] = [
    "gif", "bmp", "webp", "tif", "tiff", "npy", "npz", "pgm", "ppm", "pbm", "pnm", "pfm", "tga",
    "ico", "heic", "heif", "avif", "jxl", "jp2", "j2k", "svg", "psd", "exr", "hdr", "dcm", "dng",
    "cr2", "nef", "jfif", "jpe", "apng",
];
