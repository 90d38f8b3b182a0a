//! The part of a data set (`train/`, `val/`, `test/`) in a folder of its own, above the class folders.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::error::DatasetError;
use super::folder_classes::is_split;
use super::ignored_system_files::entries;

/// The folder of a part, and a notice if other parts number their classes differently.
///
/// # Errors
///
/// If the folder has no such sub-folder; the error lists those that it has.
pub fn find(path: &Path, split: &str) -> Result<(PathBuf, Option<String>), DatasetError> {
    let folders: Vec<PathBuf> = entries(path)
        .map_err(DatasetError::reading(path))?
        .into_iter()
        .filter(|entry| entry.is_dir())
        .collect();
    let is_name = Path::new(split).components().collect::<Vec<_>>().len() == 1
        && matches!(Path::new(split).components().next(), Some(Component::Normal(_)));
    let chosen = path.join(split);
    if !is_name || !fs::metadata(&chosen).is_ok_and(|about| about.is_dir()) {
        let names: Vec<String> =
            folders.iter().map(|folder| format!("'{}'", last(folder).to_string_lossy())).collect();
        let found = match names.is_empty() {
            true => "no sub-folders".to_owned(),
            false => names.join(", "),
        };
        return Err(DatasetError::NoSplit {
            path: path.to_owned(),
            split: split.to_owned(),
            found,
        });
    }
    let own = class_names(&chosen);
    let differs = |folder: &&PathBuf| {
        let other = class_names(folder);
        **folder != chosen && is_split(folder) && !other.is_empty() && other != own
    };
    let notice = folders.iter().find(differs).map(|other| {
        format!(
            "the class folders of '{split}' and '{}' have different names, so that their labels do not mean the same classes",
            last(other).to_string_lossy()
        )
    });
    Ok((chosen, notice))
}

fn last(folder: &Path) -> OsString {
    folder.file_name().unwrap_or_default().to_owned()
}

fn class_names(folder: &Path) -> BTreeSet<OsString> {
    let entries = entries(folder).unwrap_or_default();
    entries.iter().filter(|entry| entry.is_dir()).map(|entry| last(entry)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_and_those_that_are_missing_are_answered_with_a_list() {
        let place = tempfile::tempdir().unwrap();
        for folder in ["train/a", "train/b", "test/a", "test/b", "val/b", "notes"] {
            fs::create_dir_all(place.path().join(folder)).unwrap();
        }
        let (folder, notice) = find(place.path(), "train").unwrap();
        assert_eq!(folder, place.path().join("train"));
        assert!(notice.unwrap().contains("'train' and 'val'"));
        fs::remove_dir_all(place.path().join("val")).unwrap();
        assert_eq!(find(place.path(), "test").unwrap().1, None);
        for split in ["validation", "..", "train/a", "/tmp", ""] {
            let problem = find(place.path(), split).unwrap_err().to_string();
            assert!(problem.contains("'notes', 'test', 'train'"), "{split}: {problem}");
        }
    }
}
