//! Well-known data sets that `mosaic data fetch` can fetch: `published_sets.toml`, which is part of the program.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde::Deserialize;
use thiserror::Error;

/// The list.
const LIST: &str = include_str!("published_sets.toml");

/// A data set whose files are known by their checksums.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedSet {
    pub name: String,
    /// What its images show.
    pub about: String,
    /// Number of training images.
    pub images: u32,
    /// Channels, height and width.
    pub size: [u32; 3],
    pub classes: u32,
    /// Authors, and where they publish it.
    pub by: String,
    pub licence: String,
    /// Where the checksums come from.
    pub checksums: String,
    /// `dataset.kind` that reads it.
    pub kind: String,
    /// The file for `dataset.path`.
    pub path: String,
    /// The file for `dataset.labels`, if labels have one of their own.
    pub labels: Option<String>,
    /// Directories on the web that hold all files, ending with a slash.
    pub urls: Vec<String>,
    #[serde(rename = "file")]
    pub files: Vec<PublishedFile>,
}

/// One of its files.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedFile {
    pub name: String,
    pub bytes: u64,
    /// 64 hexadecimal digits in small letters.
    pub sha256: String,
}

/// A data set that is not offered, and why.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotOffered {
    pub name: String,
    pub reason: String,
}

/// The whole list.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedSets {
    #[serde(rename = "set")]
    pub sets: Vec<PublishedSet>,
    #[serde(default)]
    pub not_offered: Vec<NotOffered>,
}

/// Why a text is no such list.
#[derive(Debug, Error)]
pub enum ListError {
    #[error("the list of data sets is no TOML of this form")]
    Toml(#[from] toml::de::Error),
    #[error("'{set}' in the list of data sets: {problem}")]
    Invalid { set: String, problem: &'static str },
}

/// The list of this program.
pub fn all() -> &'static PublishedSets {
    static ALL: LazyLock<PublishedSets> =
        LazyLock::new(|| parse(LIST).expect("a test reads the list that was compiled in"));
    &ALL
}

/// Where a set's files are unless somebody says otherwise, from the directory of the lab file.
pub fn folder_of(set: &PublishedSet) -> PathBuf {
    Path::new("datasets").join(&set.name)
}

/// Reads a list.
///
/// # Errors
///
/// If it is no such list; if a name occurs twice, a checksum is no SHA-256, a file's name leads elsewhere, a file that
/// the settings name is missing, or a set has no files or no place to fetch them from.
pub fn parse(text: &str) -> Result<PublishedSets, ListError> {
    let list: PublishedSets = toml::from_str(text)?;
    let names = || {
        let refused = list.not_offered.iter().map(|set| &set.name);
        list.sets.iter().map(|set| &set.name).chain(refused)
    };
    for (i, name) in names().enumerate() {
        let is_twice = names().take(i).any(|other| key_of(other) == key_of(name));
        if is_twice {
            let (set, problem) = (name.clone(), "it is there twice");
            return Err(ListError::Invalid { set, problem });
        }
    }
    for set in &list.sets {
        if let Some(problem) = set.problem() {
            return Err(ListError::Invalid { set: set.name.clone(), problem });
        }
    }
    Ok(list)
}

impl PublishedSets {
    /// The set of this name; capitals, hyphens and the like do not count.
    pub fn find(&self, name: &str) -> Option<&PublishedSet> {
        self.sets.iter().find(|set| key_of(&set.name) == key_of(name))
    }

    /// Why a set of this name is not offered, if the list says so.
    pub fn refusal(&self, name: &str) -> Option<&NotOffered> {
        self.not_offered.iter().find(|set| key_of(&set.name) == key_of(name))
    }

    /// The set that a path most likely belongs to: of this kind, with its name among the last three parts of the path.
    pub fn of_path(&self, path: &Path, kind: &str) -> Option<&PublishedSet> {
        let parts: Vec<_> = path.iter().collect();
        let last: PathBuf = parts[parts.len().saturating_sub(3)..].iter().collect();
        let key = key_of(&last.to_string_lossy());
        let is_named = |set: &&PublishedSet| key.contains(&key_of(&set.name));
        // 'mnist' is part of 'fashion-mnist', and 'cifar10' of 'cifar100'.
        self.sets
            .iter()
            .filter(|set| set.kind == kind)
            .filter(is_named)
            .max_by_key(|set| set.name.len())
    }
}

impl PublishedSet {
    /// The sum of its files' lengths.
    pub fn n_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    fn problem(&self) -> Option<&'static str> {
        let has = |name: &String| self.files.iter().any(|file| file.name == *name);
        let is_plain = |name: &str| {
            let mut letters = name.bytes();
            letters.all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
                && !name.starts_with('.')
        };
        let is_hex = |sum: &str| {
            sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        let twice = |i: usize| self.files[..i].iter().any(|file| file.name == self.files[i].name);
        match () {
            () if !is_plain(&self.name) || self.name.is_empty() => {
                Some("its name is no plain word")
            }
            () if self.files.is_empty() => Some("it has no files"),
            () if self.files.iter().any(|file| !is_plain(&file.name) || file.name.is_empty()) => {
                Some("a file's name is no plain name")
            }
            () if (0..self.files.len()).any(twice) => Some("a file is there twice"),
            () if self.files.iter().any(|file| !is_hex(&file.sha256)) => {
                Some("a checksum is no SHA-256 in small letters")
            }
            () if self.files.iter().any(|file| file.bytes == 0) => Some("a file is empty"),
            () if !has(&self.path) || self.labels.as_ref().is_some_and(|labels| !has(labels)) => {
                Some("path or labels is none of its files")
            }
            () if self.urls.is_empty() || self.urls.iter().any(|url| !is_directory(url)) => {
                Some("urls must hold directories, http or https, with a slash at the end")
            }
            () => None,
        }
    }
}

fn is_directory(url: &str) -> bool {
    let is_web = url.starts_with("https://") || url.starts_with("http://");
    is_web && url.ends_with('/') && url.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A name without what people write differently.
fn key_of(name: &str) -> String {
    name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_right() {
        let list = parse(LIST).unwrap();
        assert!(list.sets.len() >= 6 && !list.not_offered.is_empty());
        for set in &list.sets {
            assert!(set.n_bytes() > 1_000_000 && set.images > 0, "{}", set.name);
            assert!(["idx", "cifar", "arrays"].contains(&&set.kind[..]), "{}", set.name);
        }
    }

    #[test]
    fn names_are_found_however_they_are_written() {
        for (name, found) in [
            ("CIFAR-10", "cifar10"),
            ("fashion_mnist", "fashion-mnist"),
            ("cifar10.1", "cifar10.1"),
        ] {
            assert_eq!(all().find(name).unwrap().name, found);
        }
        assert!(all().find("cifar").is_none() && all().find("emnist").is_none());
        assert!(all().refusal("EMNIST").unwrap().reason.contains("zip"));
    }

    #[test]
    fn a_path_belongs_to_the_set_that_it_names() {
        let of = |path, kind| all().of_path(Path::new(path), kind).map(|set| &set.name[..]);
        assert_eq!(of("datasets/fashion-mnist/train.gz", "idx"), Some("fashion-mnist"));
        assert_eq!(of("MNIST/raw/train.gz", "idx"), Some("mnist"));
        assert_eq!(of("data/cifar-10-batches-bin", "cifar"), Some("cifar10"));
        assert_eq!(of("data/cifar-100-binary", "cifar"), Some("cifar100"));
        assert_eq!(of("data/mnist", "folder"), None);
        assert_eq!(of("photos/train.gz", "idx"), None);
        assert_eq!(of("/mnist/of/my/own/train.gz", "idx"), None);
    }

    #[test]
    fn a_wrong_list_is_refused_with_the_reason() {
        let change = |from: &str, to: &str| {
            let changed = LIST.replacen(from, to, 1);
            assert_ne!(changed, LIST, "{from}");
            parse(&changed).unwrap_err().to_string()
        };
        for (from, to, problem) in [
            ("bytes = 9912422", "bytes = 0", "empty"),
            ("bytes = 9912422", "bytes = -1", "no TOML"),
            ("\"440fcabf", "\"440fcab", "no SHA-256"),
            ("\"440fcabf", "\"440FCABF", "no SHA-256"),
            ("name = \"train-images", "name = \"../train-images", "no plain name"),
            ("path = \"train-images", "path = \"train-image", "none of its files"),
            ("cvdf-datasets/mnist/", "cvdf-datasets/mnist", "slash"),
            ("name = \"kmnist\"", "name = \"Fashion MNIST\"", "twice"),
            ("licence =", "license =", "no TOML"),
        ] {
            let error = change(from, to);
            assert!(error.contains(problem), "{from}: {error}");
        }
    }
}
