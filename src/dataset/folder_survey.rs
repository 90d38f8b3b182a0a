//! Surveys a folder of images: its image files, its sub-folders, and everything else.
//!
//! Hidden entries and litter ([`super::ignored_system_files`]) are skipped silently; everything else is counted by kind
//! ([`LeftOut`]). Nothing that could block is opened (pipes, devices), and no link is followed below class
//! folders, so that the survey terminates wherever links lead.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::ignored_system_files::entries;
use super::left_out_images::{LeftOut, MISNAMED, OTHER, UNREAD};
use crate::files::file_kind::FileKind;
use crate::files::read_or_map_file::special_kind;

/// Maximum number of entries below class folders that are examined in order to count images there.
const DEEPER_MAX: usize = 100_000;
/// Number of bytes read from a file without an image extension to detect whether it is one.
const SNIFFED: u64 = 1 << 10;

/// A folder's images and sub-folders, sorted by name.
#[derive(Default)]
pub struct Listed {
    pub images: Vec<PathBuf>,
    pub folders: Vec<PathBuf>,
}

/// The survey of a folder and its sub-folders.
pub struct Survey<'a> {
    root: &'a Path,
    pub left_out: LeftOut,
    /// Entries that cannot be examined, with the reason.
    pub failures: Vec<(PathBuf, String)>,
}

impl<'a> Survey<'a> {
    pub fn new(root: &'a Path) -> Self {
        Self { root, left_out: LeftOut::default(), failures: Vec::new() }
    }

    /// A path as shown in notices.
    pub fn relative(&self, path: &Path) -> PathBuf {
        path.strip_prefix(self.root).unwrap_or(path).to_owned()
    }

    /// Counts a path that is left out; `reason` is a plural noun phrase.
    pub fn leave_out(&mut self, reason: impl Into<String>, path: &Path) {
        self.left_out.add(reason, self.relative(path));
    }

    /// The images of a class folder; `None` if it cannot be listed. Images in deeper folders are only counted.
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

    /// A folder's images and sub-folders; other entries are counted.
    pub fn listed(&mut self, folder: &Path) -> io::Result<Listed> {
        let mut found = Listed::default();
        for path in entries(folder)? {
            match fs::metadata(&path) {
                Err(error) if fs::symlink_metadata(&path).is_ok_and(|about| about.is_symlink()) => {
                    // A dangling link, or a link to itself.
                    let what = match error.kind() {
                        io::ErrorKind::PermissionDenied => "links that may not be followed",
                        _ => "dangling links",
                    };
                    self.leave_out(what, &path);
                }
                Err(error) => self.failures.push((path, error.to_string())),
                Ok(about) if about.is_dir() => found.folders.push(path),
                Ok(about) if !about.is_file() => {
                    let what = format!("special files ({})", special_kind(about.file_type()));
                    self.leave_out(what, &path);
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
                self.leave_out("links to folders below the class folders", &folder);
                continue;
            }
            // A folder that cannot be listed counts as left out, like the images in it.
            let Ok(entries) = entries(&folder) else {
                self.leave_out("unreadable folders below the class folders", &folder);
                continue;
            };
            for path in entries {
                n_looked_at += 1;
                if n_looked_at > DEEPER_MAX {
                    self.leave_out("folders too large to be counted", &folder);
                    return;
                }
                if path.is_dir() {
                    pending.push(path);
                } else if is_image(&path) {
                    self.leave_out("images deeper than the class folders", &path);
                }
            }
        }
    }
}

fn ending(path: &Path) -> String {
    path.extension().map(|end| end.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}

fn is_image(path: &Path) -> bool {
    ["png", "jpg", "jpeg", "webp"].contains(&ending(path).as_str())
}

/// The reason why a file is left out, and its kind: by its content, otherwise by its extension.
fn kind_of_file(path: &Path) -> (&'static str, String) {
    let mut start = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(SNIFFED).read_to_end(&mut start));
    let end = ending(path);
    let name = if end.is_empty() { "no ending".to_owned() } else { format!(".{end}") };
    match FileKind::of(&start) {
        FileKind::Png | FileKind::Jpeg | FileKind::WebP if read.is_ok() => (MISNAMED, name),
        FileKind::Known(words) if words.ends_with("image") => {
            (UNREAD, words.trim_start_matches("a ").trim_start_matches("an ").to_owned())
        }
        FileKind::Npy | FileKind::Npz => (UNREAD, "NumPy array".to_owned()),
        _ if NOT_READ.contains(&end.as_str()) => (UNREAD, name),
        _ => (OTHER, name),
    }
}

/// Extensions of image formats that the lab does not read.
const NOT_READ: [&str; 30] = [
    "gif", "bmp", "tif", "tiff", "npy", "npz", "pgm", "ppm", "pbm", "pnm", "pfm", "tga", "ico",
    "heic", "heif", "avif", "jxl", "jp2", "j2k", "svg", "psd", "exr", "hdr", "dcm", "dng", "cr2",
    "nef", "jfif", "jpe", "apng",
];
