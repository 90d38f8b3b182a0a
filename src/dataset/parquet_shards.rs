//! Which files of a directory are the shards of a Parquet table, as the Hugging Face hub ships them:
//!
//! ```text
//! data/train-00000-of-00002.parquet   part, number, count; older ones end in -<hash>
//! train.parquet                       part
//! plain_text/test-00000-of-00001.parquet   in a directory that is called after a configuration
//! default/train/0000.parquet          the part is the directory
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::error::DatasetError;
use super::ignored_system_files::entries;

/// The files of a table in their order.
#[derive(Debug, PartialEq)]
pub struct Shards {
    pub files: Vec<PathBuf>,
    /// A notice if only some of a table's files are read.
    pub notice: Option<String>,
}

/// The name of a shard: the part that it belongs to, and its number and their count.
#[derive(Debug, PartialEq)]
struct ShardName {
    part: String,
    place: Option<(usize, usize)>,
}

impl ShardName {
    fn of(path: &Path) -> Self {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let pieces: Vec<&str> = stem.split('-').collect();
        let number = |text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| text.parse::<usize>().ok()).flatten()
        };
        let found = pieces.iter().enumerate().rev().find_map(|(at, piece)| {
            let (before, after) = (pieces.get(at.checked_sub(1)?)?, pieces.get(at + 1)?);
            let place = (*piece == "of").then_some((number(before)?, number(after)?))?;
            Some((at - 1, place))
        });
        match found {
            Some((at, place)) => Self { part: pieces[..at].join("-"), place: Some(place) },
            None => Self { part: stem, place: None },
        }
    }
}

/// Finds the files of the part `split` of a table; a file stands for itself.
///
/// # Errors
///
/// If there are none, if it is not clear which part is meant, or if shards are missing from a sequence.
pub fn find(path: &Path, split: Option<&str>) -> Result<Shards, DatasetError> {
    if !path.is_dir() {
        let place = ShardName::of(path).place.filter(|(_, count)| *count > 1);
        let notice = place.map(|(number, count)| {
            format!("only shard {number} of {count} is read; name its directory in dataset.path to read all")
        });
        return Ok(Shards { files: vec![path.to_owned()], notice });
    }
    let refused = |problem: String| DatasetError::Content { path: path.to_owned(), problem };
    let folders = [
        split.map(|split| path.join(split)),
        Some(path.to_owned()),
        Some(path.join("data")),
        split.map(|split| path.join("default").join(split)),
    ];
    let found = folders.into_iter().flatten().find_map(|folder| {
        let files = tables(&folder);
        (!files.is_empty()).then_some((folder, files))
    });
    let (folder, files) = match found {
        Some(found) => found,
        None => only_sub_directory(path).map_err(refused)?,
    };
    let is_part = split.is_some_and(|split| folder.ends_with(split)) && folder != path;
    let files = if is_part { files } else { of_part(files, split).map_err(refused)? };
    check_sequence(&files).map_err(refused)?;
    Ok(Shards { files, notice: None })
}

/// The only sub-directory with tables, and its tables.
fn only_sub_directory(path: &Path) -> Result<(PathBuf, Vec<PathBuf>), String> {
    let mut found: Vec<(PathBuf, Vec<PathBuf>)> = entries(path)
        .unwrap_or_default()
        .into_iter()
        .map(|folder| {
            let files = tables(&folder);
            (folder, files)
        })
        .filter(|(_, files)| !files.is_empty())
        .collect();
    if found.len() > 1 {
        let name = |(folder, _): &(PathBuf, Vec<PathBuf>)| {
            format!("'{}'", folder.file_name().unwrap_or_default().to_string_lossy())
        };
        let names: Vec<String> = found.iter().map(name).collect();
        return Err(format!(
            "several of its sub-directories hold tables; name one: {}",
            names.join(", ")
        ));
    }
    found.pop().ok_or_else(|| {
        "it holds no .parquet files, nor do its sub-directories; name the directory with the shards".to_owned()
    })
}

/// True if there are tables in a directory, or in one of its sub-directories.
pub fn has_tables(folder: &Path) -> bool {
    let below = || entries(folder).unwrap_or_default();
    !tables(folder).is_empty() || below().iter().any(|below| !tables(below).is_empty())
}

fn tables(folder: &Path) -> Vec<PathBuf> {
    let is_table = |path: &PathBuf| {
        path.extension().is_some_and(|ending| ending == "parquet") && path.is_file()
    };
    entries(folder).unwrap_or_default().into_iter().filter(is_table).collect()
}

/// The files of one part.
fn of_part(files: Vec<PathBuf>, split: Option<&str>) -> Result<Vec<PathBuf>, String> {
    let mut parts: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for file in files {
        let name = ShardName::of(&file);
        // Files that are only numbered are one part.
        let is_number = name.part.bytes().all(|byte| byte.is_ascii_digit());
        let part = if is_number { String::new() } else { name.part };
        parts.entry(part).or_default().push(file);
    }
    let names: Vec<String> = parts.keys().map(|part| format!("'{part}'")).collect();
    match split {
        Some(split) => parts.remove(split).ok_or_else(|| {
            format!(
                "it has no files of the part '{split}' (dataset.split); it has those of {}",
                names.join(", ")
            )
        }),
        None if parts.len() == 1 => Ok(parts.into_values().flatten().collect()),
        None => Err(format!(
            "it has files of several parts; set dataset.split to one of {}",
            names.join(", ")
        )),
    }
}

/// Refuses a sequence of shards with gaps, or of several counts.
fn check_sequence(files: &[PathBuf]) -> Result<(), String> {
    let places: Vec<Option<(usize, usize)>> =
        files.iter().map(|file| ShardName::of(file).place).collect();
    let counts: BTreeSet<Option<usize>> =
        places.iter().map(|place| place.map(|(_, count)| count)).collect();
    if counts.len() > 1 {
        let names: Vec<String> = files
            .iter()
            .take(5)
            .map(|file| format!("'{}'", file.file_name().unwrap_or_default().to_string_lossy()))
            .collect();
        return Err(format!(
            "its files are not of one sequence ({}, ...); remove those of another download",
            names.join(", ")
        ));
    }
    let Some(Some(count)) = counts.first() else { return Ok(()) };
    let numbers: BTreeSet<usize> = places.iter().flatten().map(|(number, _)| *number).collect();
    if numbers.len() < files.len() {
        return Err(
            "two of its files have the same number; remove those of another download".to_owned()
        );
    }
    if numbers.len() == *count {
        return Ok(());
    }
    let missing: Vec<String> = (0..*count)
        .filter(|number| !numbers.contains(number))
        .take(5)
        .map(|number| format!("{number:05}-of-{count:05}"))
        .collect();
    Err(format!(
        "it holds {} of {count} shards; {} are missing, among them {}; fetch them",
        numbers.len(),
        count.saturating_sub(numbers.len()),
        missing.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &[&str], path: &str, split: Option<&str>) -> Result<Vec<String>, String> {
        let place = tempfile::tempdir().unwrap();
        for name in names {
            let file = place.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        let shards = find(&place.path().join(path), split).map_err(|error| error.to_string())?;
        let relative = |file: &PathBuf| {
            file.strip_prefix(place.path()).unwrap().to_string_lossy().into_owned()
        };
        Ok(shards.files.iter().map(relative).collect())
    }

    #[test]
    fn parts_are_found_where_hubs_put_them() {
        let hub =
            ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "README.md"];
        assert_eq!(found(&hub, ".", None).unwrap(), hub[..2]);
        let both = [hub[0], hub[1], "data/test-00000-of-00001-b9ff3e.parquet"];
        assert_eq!(found(&both, "data", Some("test")).unwrap(), both[2..]);
        assert!(found(&both, ".", None).unwrap_err().contains("one of 'test', 'train'"));
        assert!(found(&both, ".", Some("val")).unwrap_err().contains("'test', 'train'"));
        let converted = ["default/train/0000.parquet", "default/train/0001.parquet"];
        assert_eq!(found(&converted, ".", Some("train")).unwrap(), converted);
        assert_eq!(found(&converted, "default/train", None).unwrap(), converted);
        assert_eq!(found(&["train.parquet"], ".", None).unwrap(), ["train.parquet"]);
        let named =
            ["plain_text/train-00000-of-00001.parquet", "plain_text/test-00000-of-00001.parquet"];
        assert_eq!(found(&named, ".", Some("train")).unwrap(), named[..1]);
        let several = ["fine/train.parquet", "coarse/train.parquet"];
        assert!(found(&several, ".", None).unwrap_err().contains("name one: 'coarse', 'fine'"));
        assert!(found(&["a.txt"], ".", None).unwrap_err().contains("no .parquet files"));
    }

    #[test]
    fn sequences_with_gaps_are_refused() {
        let shard = |i: usize, n: usize| format!("train-{i:05}-of-{n:05}.parquet");
        for (places, words) in [
            (&[(0, 3), (2, 3)][..], "2 of 3 shards; 1 are missing, among them 00001-of-00003"),
            (&[(0, 2), (1, 2), (0, 1)], "not of one sequence"),
            (&[(1, 2)], "00000-of-00002"),
        ] {
            let names: Vec<String> = places.iter().map(|&(i, n)| shard(i, n)).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let problem = found(&names, ".", None).unwrap_err();
            assert!(problem.contains(words), "{problem}");
        }
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join(shard(1, 2));
        std::fs::write(&file, "").unwrap();
        assert!(find(&file, None).unwrap().notice.unwrap().contains("only shard 1 of 2"));
    }
}
