//! `external.toml`: what a directory of arrays is the record of.
//!
//! ```toml
//! name = "unet-attention"            # the run's name
//! experiment = "fashion-small"       # of lab.toml: data set, machines, comparison
//! set = ["theory.patch_size=7"]      # changes of its settings, as with --set
//! arrays = ["answers.npz"]           # files with the arrays; without it, all of the directory
//! value_range = "-1..1"              # black and white of images: -1..1, 0..1 or 0..255
//! channels = "first"                 # [N, C, H, W]; "last": [N, H, W, C]
//! calibration = 16                   # so many of the first samples calibrate machines, the others are held out
//! ```

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

/// The name of the file.
pub const FILE: &str = "external.toml";
/// The name of the file of questions, without its ending.
pub const QUESTIONS: &str = "questions";

/// The content of `external.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalToml {
    pub name: String,
    pub experiment: String,
    #[serde(default)]
    pub set: Vec<String>,
    #[serde(default)]
    pub arrays: Vec<PathBuf>,
    /// `None`: -1..1, unless the samples look like another range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_range: Option<Values>,
    #[serde(default)]
    pub channels: Channels,
    /// `None`: an eighth of the samples, at most as many as calibrate.seeds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<usize>,
    /// Where the arrays are, in the copy that a run keeps; `None`: beside this file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
    /// Sizes and times of the files of arrays, in the copy that a run keeps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// The values of images that stand for black and white.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum Values {
    #[default]
    #[serde(rename = "-1..1")]
    Signed,
    #[serde(rename = "0..1")]
    Unit,
    #[serde(rename = "0..255")]
    Bytes,
}

impl Values {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Signed => "-1..1",
            Self::Unit => "0..1",
            Self::Bytes => "0..255",
        }
    }

    /// A value of an image of the model in [-1, 1].
    pub fn to_signed(self, value: f64) -> f64 {
        match self {
            Self::Signed => value,
            Self::Unit => 2.0 * value - 1.0,
            Self::Bytes => value / 127.5 - 1.0,
        }
    }
}

/// Where the axis of channels is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    #[default]
    First,
    Last,
}

impl ExternalToml {
    /// The same, to be kept elsewhere, with what tells these arrays from later ones.
    ///
    /// # Errors
    ///
    /// As [`Self::files`].
    pub fn in_directory(self, directory: &Path) -> Result<Self> {
        let digest = Some(self.digest_of(directory)?);
        Ok(Self { directory: Some(directory.to_owned()), digest, ..self })
    }

    /// Names, sizes and times of the files of arrays in `directory`.
    ///
    /// # Errors
    ///
    /// As [`Self::files`], and if a file cannot be read.
    pub fn digest_of(&self, directory: &Path) -> Result<String> {
        let mut words = Vec::new();
        for path in self.files(directory)? {
            let reading = || format!("reading '{}'", path.display());
            let about = std::fs::metadata(&path).with_context(reading)?;
            let changed = about.modified().with_context(reading)?;
            let nanoseconds =
                changed.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            words.push(format!("{name} {} {nanoseconds}", about.len()));
        }
        Ok(words.join(", "))
    }

    /// Reads the file in `directory`.
    ///
    /// # Errors
    ///
    /// If it is not there, is not TOML, or has an unknown key or value.
    pub fn read(directory: &Path) -> Result<Self> {
        let path = directory.join(FILE);
        let reading = || format!("reading '{}'", path.display());
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(
                "'{}' has no {FILE}, which says what its arrays are the record of; 'mosaic external {} --experiment NAME' \
                 writes one",
                directory.display(),
                directory.display()
            ),
            Err(error) => return Err(error).with_context(reading),
        };
        let found: Self = toml::from_str(&text).with_context(reading)?;
        ensure!(
            found.arrays.iter().all(|name| name.is_relative() || name.exists()),
            "{}: a file of 'arrays' is not there",
            path.display()
        );
        Ok(found)
    }

    /// The files of arrays: those that are named, or all of the directory but the questions.
    ///
    /// # Errors
    ///
    /// If the directory cannot be read or has none.
    pub fn files(&self, directory: &Path) -> Result<Vec<PathBuf>> {
        if !self.arrays.is_empty() {
            return Ok(self.arrays.iter().map(|name| directory.join(name)).collect());
        }
        let reading = || format!("reading '{}'", directory.display());
        let mut found = Vec::new();
        for entry in std::fs::read_dir(directory).with_context(reading)? {
            let path = entry.with_context(reading)?.path();
            let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
            let is_questions = path.file_stem().is_some_and(|stem| stem == QUESTIONS);
            if matches!(ending, "npz" | "npy" | "safetensors") && !is_questions {
                found.push(path);
            }
        }
        found.sort();
        ensure!(
            !found.is_empty(),
            "'{}' has no .npz, .npy or .safetensors with the model's samples",
            directory.display()
        );
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ExternalToml> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), text).unwrap();
        ExternalToml::read(folder.path())
    }

    #[test]
    fn two_lines_are_enough_and_wrong_ones_are_named() {
        let found = read("name = \"a\"\nexperiment = \"b\"\n").unwrap();
        assert_eq!((found.value_range, found.channels), (None, Channels::First));
        for (text, words) in [
            ("name = \"a\"", "experiment"),
            ("name = \"a\"\nexperiment = \"b\"\nvalues = 1", "values"),
            ("name = \"a\"\nexperiment = \"b\"\nvalue_range = \"1..2\"", "1..2"),
            ("name = \"a\"\nexperiment = \"b\"\nchannels = \"middle\"", "middle"),
            ("name = ", "reading"),
        ] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains(words) && error.contains(FILE), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        let error = format!("{:#}", ExternalToml::read(folder.path()).unwrap_err());
        assert!(error.contains("mosaic external"), "{error}");
    }

    #[test]
    fn values_of_images_become_signed() {
        assert_eq!(Values::Unit.to_signed(0.25), -0.5);
        assert_eq!(Values::Bytes.to_signed(255.0), 1.0);
        assert_eq!(Values::Signed.to_signed(0.3), 0.3);
    }

    #[test]
    fn all_arrays_of_the_directory_count_but_the_questions() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.npz", "a.npy", "questions.npz", "notes.txt", "external.toml"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let toml: ExternalToml = toml::from_str("name = \"a\"\nexperiment = \"b\"").unwrap();
        let found = toml.files(folder.path()).unwrap();
        let names: Vec<_> = found.iter().filter_map(|path| path.file_name()?.to_str()).collect();
        assert_eq!(names, ["a.npy", "b.npz"]);
        let named = ExternalToml { arrays: vec!["b.npz".into()], ..toml };
        assert_eq!(named.files(folder.path()).unwrap(), [folder.path().join("b.npz")]);
    }
}
