//! `run.toml`: the resolved experiment of a run and its origin, written once at launch.
//!
//! It has the sections of a `lab.toml` with every value written out, and a `[run]` section that only the lab
//! writes. A resumed worker reads its settings from here.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::format_versions::{self, NewerFormat, RUN_TOML_FORMAT};
use crate::config::setting_value::Value;
use crate::config::{ConfigError, Experiment, lab_file};
use crate::files::write_atomically;
use crate::hardware::device_request::{DeviceRequest, UnknownDevice};

/// A run's `run.toml`.
#[derive(Clone, Debug, PartialEq)]
pub struct RunToml {
    /// The run that this one was edited from.
    pub parent: Option<String>,
    pub created_ms: u64,
    /// Version of `mosaic-lab` at launch.
    pub version: String,
    /// The requested device; the status has the one in use.
    pub device: DeviceRequest,
    pub origin: Origin,
    pub experiment: Experiment,
}

/// Where a run's network comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// It is trained here.
    #[default]
    Trained,
    /// Its weights were imported.
    Imported(ImportedFrom),
    /// There is no network: the run is the record of a model from elsewhere, in this directory.
    Recorded(PathBuf),
}

/// A file of weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedFrom {
    pub file: String,
    /// In hexadecimal.
    pub sha256: String,
}

#[derive(Debug, Error)]
pub enum RunTomlError {
    #[error("reading '{}'", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("reading '{}'", path.display())]
    Newer { path: PathBuf, source: NewerFormat },
    #[error("'{}' has no valid [run] section: {problem}", path.display())]
    Header { path: PathBuf, problem: String },
}

/// Writes `run.toml`.
///
/// # Errors
///
/// If the experiment's root cannot be made absolute, or if the file cannot be written.
pub fn write(path: &Path, run: &RunToml) -> io::Result<()> {
    // Paths in the experiment are relative to its root, which must not depend on the worker's working
    // directory.
    let root = std::path::absolute(&run.experiment.root)?;
    let text = |text: &str| Value::Text(text.to_owned());
    let parent = run.parent.as_deref().unwrap_or_default();
    let origin = match &run.origin {
        Origin::Trained => String::new(),
        Origin::Imported(from) => {
            let (file, sha256) = (text(&from.file), text(&from.sha256));
            format!("imported_from = {file}\nimported_sha256 = {sha256}\n")
        }
        Origin::Recorded(directory) => {
            format!("recorded_in = {}\n", text(&directory.to_string_lossy()))
        }
    };
    let content = format!(
        "# Resolved configuration of this run; written by mosaic at launch.\n[run]\nformat = {RUN_TOML_FORMAT}\ncreated_ms = {}\nversion = {}\ndevice = {}\nparent = {}\nroot = {}\n{origin}\n{}",
        run.created_ms,
        text(&run.version),
        text(&run.device.to_string()),
        text(parent),
        text(&root.to_string_lossy()),
        run.experiment.to_toml(),
    );
    write_atomically(path, content.as_bytes())
}

/// Reads `run.toml`.
///
/// # Errors
///
/// If the file cannot be read, is invalid, has a newer format, or does not hold exactly one experiment.
pub fn read(path: &Path) -> Result<RunToml, RunTomlError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| RunTomlError::Read { path: path.to_owned(), source })?;
    let bad =
        |problem: &str| RunTomlError::Header { path: path.to_owned(), problem: problem.to_owned() };
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| bad(error.message()))?;
    let header = table.get("run").and_then(toml::Value::as_table);
    let header = header.ok_or_else(|| bad("no [run]"))?;
    let format = header.get("format").and_then(toml::Value::as_integer);
    let format = format.and_then(|format| u32::try_from(format).ok());
    let writer = header.get("version").and_then(toml::Value::as_str);
    format_versions::check(format.unwrap_or(RUN_TOML_FORMAT), RUN_TOML_FORMAT, writer)
        .map_err(|source| RunTomlError::Newer { path: path.to_owned(), source })?;
    let word = |key: &str| {
        let value = header.get(key).and_then(toml::Value::as_str);
        value.map(str::to_owned).ok_or_else(|| bad(&format!("no '{key}'")))
    };
    let root = PathBuf::from(word("root")?);
    let experiment = lab_file::read_run(&text, path, &root)?;
    let experiment = experiment.ok_or_else(|| bad("not exactly one experiment"))?;
    let created = header.get("created_ms").and_then(toml::Value::as_integer).unwrap_or(0);
    let origin = match (word("imported_from"), word("recorded_in")) {
        (Ok(file), _) => {
            let sha256 = word("imported_sha256").unwrap_or_default();
            Origin::Imported(ImportedFrom { file, sha256 })
        }
        (_, Ok(directory)) => Origin::Recorded(directory.into()),
        _ => Origin::Trained,
    };
    Ok(RunToml {
        origin,
        parent: Some(word("parent")?).filter(|parent| !parent.is_empty()),
        created_ms: u64::try_from(created).unwrap_or(0),
        version: word("version")?,
        device: word("device")?.parse().map_err(|error: UnknownDevice| bad(&error.to_string()))?,
        experiment,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_launched_is_what_is_read() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("run.toml");
        let mut experiment = Experiment::named("a-b").unwrap();
        experiment.set("training.steps", "17").unwrap();
        experiment.description = "quotes \" and 'ticks'".into();
        let run = RunToml {
            parent: Some("a-b-000000".to_owned()),
            created_ms: 5,
            version: "0".to_owned(),
            device: DeviceRequest::Cpu,
            origin: Origin::Imported(ImportedFrom {
                file: "a \"b\".pt".to_owned(),
                sha256: "00ff".to_owned(),
            }),
            experiment,
        };
        write(&path, &run).unwrap();
        let again = read(&path).unwrap();
        assert_eq!(again.experiment.entries(), run.experiment.entries());
        assert_eq!(again.experiment.description, run.experiment.description);
        assert!(again.experiment.root.is_absolute());
        assert_eq!((again.parent, again.device), (run.parent, run.device));
        assert_eq!(again.origin, run.origin);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("format = 2", "format = 7\nwings = 2")).unwrap();
        assert!(matches!(read(&path), Err(RunTomlError::Newer { .. })), "format before all else");
    }
}
