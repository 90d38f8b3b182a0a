//! `lab.toml`: sections `[lab]`, `[experiment.NAME]` and `[study.NAME]`.

use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::error::ConfigError;
use super::experiment_settings::Experiment;
use super::lab_settings::LabSettings;
use super::nearest_name::nearest;
use super::study::Study;
use super::toml_reader::{OldNames, Reader};

/// The default `lab.toml`, used if there is none.
pub const BUILT_IN: &str = include_str!("../../lab.toml");

/// A validated `lab.toml`.
#[derive(Clone, Debug, PartialEq)]
pub struct Lab {
    pub settings: LabSettings,
    /// In the order of the file.
    pub experiments: Vec<Experiment>,
    /// In the order of the file.
    pub studies: Vec<Study>,
    /// `None` for the built-in text.
    pub path: Option<PathBuf>,
}

impl Lab {
    /// Finds the experiment with this name.
    ///
    /// # Errors
    ///
    /// If there is none; the error gives the nearest name.
    pub fn experiment(&self, name: &str) -> Result<&Experiment, ConfigError> {
        let names = || self.experiments.iter().map(|experiment| &*experiment.name);
        self.experiments.iter().find(|experiment| *experiment.name == *name).ok_or_else(|| {
            ConfigError::NoExperiment {
                path: self.path.clone().unwrap_or_else(|| PathBuf::from("the built-in lab.toml")),
                name: name.to_owned(),
                nearest: nearest(name, names()).map(str::to_owned),
                known: names().collect::<Vec<_>>().join(", "),
            }
        })
    }
}

/// Reads `path` if given, otherwise `lab.toml` in the current directory, otherwise the built-in text.
///
/// # Errors
///
/// If the file cannot be read, or holds an unknown key or an invalid value.
pub fn load(path: Option<&Path>) -> Result<Lab, ConfigError> {
    let here = Path::new("lab.toml");
    let path = match path {
        Some(path) => path,
        None if here.exists() => here,
        None => return read(BUILT_IN, Path::new("lab.toml (built in)"), Path::new("."), None),
    };
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    let root = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    read(&text, path, root, Some(path))
}

/// Parses the text of a lab file read from `origin`; relative paths in it are relative to `root`.
///
/// # Errors
///
/// If the text is not valid TOML, or if a section, key or value in it is not accepted.
pub fn read(
    text: &str,
    origin: &Path,
    root: &Path,
    path: Option<&Path>,
) -> Result<Lab, ConfigError> {
    let reader = Reader { text, origin, root, old_names: OldNames::Refused };
    Ok(Lab { path: path.map(Path::to_owned), ..read_with(&reader)? })
}

/// Parses the single experiment of a `run.toml`, possibly written by an earlier version; `None` if it does not
/// hold exactly one.
///
/// # Errors
///
/// As [`read`], but old names of settings are accepted.
pub fn read_run(text: &str, origin: &Path, root: &Path) -> Result<Option<Experiment>, ConfigError> {
    let reader = Reader { text, origin, root, old_names: OldNames::Read };
    let mut experiments = read_with(&reader)?.experiments;
    Ok(experiments.pop().filter(|_| experiments.is_empty()))
}

fn read_with(reader: &Reader<'_>) -> Result<Lab, ConfigError> {
    let table = DeTable::parse(reader.text).map_err(|error| ConfigError::Syntax {
        path: reader.origin.to_owned(),
        line: error.span().map_or(1, |span| reader.line(&span)),
        problem: error.message().to_owned(),
    })?;
    let mut settings = LabSettings::default();
    let (mut experiments, mut studies) = (Vec::new(), Vec::new());
    for (key, value) in table.get_ref() {
        match key.get_ref().as_ref() {
            "lab" => settings = reader.lab_settings(value)?,
            "experiment" => experiments = reader.experiments(value)?,
            "study" => studies = reader.studies(value)?,
            // Belongs to `run.toml`; written and read by `runs::run_toml`.
            "run" => {}
            other => return Err(reader.unknown(key, other, ["lab", "experiment", "study"])),
        }
    }
    let studies = reader.check_studies(studies, &experiments)?;
    Ok(Lab { settings: settings.below(reader.root), experiments, studies, path: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_of_runs_starts_at_the_lab_file() {
        for (text, expected) in [
            ("", "sub/checkpoints"),
            ("[lab]\ndevice = \"cpu\"\n", "sub/checkpoints"),
            ("[lab]\nruns_dir = \"runs\"\n", "sub/runs"),
            ("[lab]\nruns_dir = \"/runs\"\n", "/runs"),
        ] {
            let lab = read(text, Path::new("sub/lab.toml"), Path::new("sub"), None).unwrap();
            assert_eq!(lab.settings.runs_dir, Path::new(expected), "{text}");
        }
    }

    fn read_text(text: &str) -> Result<Lab, ConfigError> {
        read(text, Path::new("lab.toml"), Path::new("."), None)
    }

    #[test]
    fn the_built_in_file_is_right() {
        let lab = read_text(BUILT_IN).unwrap();
        for name in ["glyphs-attention", "glyphs-cnn", "digits-attention", "fashion-attention"] {
            lab.experiment(name).unwrap();
        }
    }

    #[test]
    fn the_twin_differs_only_in_having_no_attention() {
        let lab = read_text(BUILT_IN).unwrap();
        for suffix in ["", "-full"] {
            let twin = lab.experiment(&format!("glyphs-cnn{suffix}")).unwrap();
            let with = lab.experiment(&format!("glyphs-attention{suffix}")).unwrap();
            let pairs = with.entries().into_iter().zip(twin.entries());
            let differing: Vec<_> =
                pairs.filter(|(a, b)| a.value != b.value).map(|(a, _)| a.key).collect();
            assert_eq!(differing, ["network.attention"], "{suffix}");
        }
    }

    #[test]
    fn dotted_keys_and_tables_mean_the_same() {
        let dotted = read_text("[experiment.a]\ntraining.steps = 5\n").unwrap();
        let table = read_text("[experiment.a.training]\nsteps = 5\n").unwrap();
        assert_eq!(dotted.experiments[0].training, table.experiments[0].training);
        assert_eq!(dotted.experiments[0].training.steps, 5);
    }

    #[test]
    fn a_resolved_experiment_reads_back_as_itself() {
        let lab = read_text(BUILT_IN).unwrap();
        for experiment in lab.experiments {
            let again = read_text(&experiment.to_toml()).unwrap().experiments.remove(0);
            assert_eq!(again.entries(), experiment.entries());
            assert_eq!(again.description, experiment.description);
        }
    }

    #[test]
    fn a_base_is_inherited_and_a_circle_is_refused() {
        let lab = read_text(
            "[experiment.b]\nbase = 'a'\ntraining.batch = 2\n[experiment.a]\ntraining.steps = 7\n",
        )
        .unwrap();
        assert_eq!(lab.experiment("b").unwrap().training.steps, 7);
        let error =
            read_text("[experiment.a]\nbase = 'b'\n[experiment.b]\nbase = 'a'\n").unwrap_err();
        assert!(error.to_string().contains("cycle"), "{error}");
    }
}
