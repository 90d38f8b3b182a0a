//! Refuses data sets whose files are missing or of another kind, with advice where to get them.

use std::path::Path;
use std::{fs, io};

use super::enum_settings::DatasetKind;
use super::error::ConfigError;
use super::experiment_settings::Experiment;
use crate::dataset::published_sets;

impl Experiment {
    /// Refuses data sets whose files are missing, giving the line that names them.
    ///
    /// # Errors
    ///
    /// If a path does not exist, is of the wrong kind or is not UTF-8.
    pub fn check_files(&self) -> Result<(), ConfigError> {
        for (key, full_key, text) in [
            ("path", "dataset.path", &self.dataset.path),
            ("labels", "dataset.labels", &self.dataset.labels),
        ] {
            let Some(text) = text else { continue };
            let path = self.path(text);
            let kind = if key == "labels" { DatasetKind::Idx } else { self.dataset.kind };
            let problem = problem_of(&path, kind);
            // `run.toml` will hold the absolute path, so that one has to be UTF-8.
            let is_utf8 = std::path::absolute(&path).is_ok_and(|path| path.to_str().is_some());
            if problem.is_none() && is_utf8 {
                continue;
            };
            let place = match self.lines.get(full_key) {
                Some(line) => format!("{}:{line}", self.origin.display()),
                None => full_key.to_owned(),
            };
            let Some((problem, of_kind)) = problem else {
                let name = self.name.to_string();
                return Err(ConfigError::NotUtf8 { place, name, key, found: path });
            };
            let advice = match of_kind {
                Some(advice) => advice.to_owned(),
                None => self.how_to_get(&path, self.dataset.kind),
            };
            return Err(ConfigError::MissingDataset {
                place,
                name: self.name.to_string(),
                key,
                found: path,
                problem: format!("{problem}{advice}").into(),
            });
        }
        Ok(())
    }

    /// Advice where to get the file at `path`, which does not exist.
    fn how_to_get(&self, path: &Path, kind: DatasetKind) -> String {
        let Some(set) = published_sets::all().of_path(path, &kind.to_string()) else {
            return "; paths start at the directory of the lab file".to_owned();
        };
        let fetch = format!("mosaic data fetch {}", set.name);
        let (folder, name) = (path.parent(), path.file_name().and_then(|name| name.to_str()));
        let is_one = set.files.iter().any(|file| Some(&*file.name) == name);
        match folder {
            // Where the command puts it if it is not told.
            Some(folder) if is_one && folder == self.path(&published_sets::folder_of(set)) => {
                format!("; fetch it with '{fetch}'")
            }
            Some(folder) if is_one => {
                format!("; fetch it with: {fetch} --to '{}'", folder.display())
            }
            _ => format!("; '{fetch}' fetches '{}': name that in dataset.path", set.path),
        }
    }
}

/// The reason why `path` is not a data set of that kind, with advice if something else is there.
fn problem_of(path: &Path, kind: DatasetKind) -> Option<(&'static str, Option<&'static str>)> {
    let about = match fs::metadata(path) {
        Ok(about) => about,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Some(("which cannot be accessed", Some("; check its permissions")));
        }
        Err(_) if path.is_symlink() => {
            return Some(("which is a broken link", Some("; correct or remove the link")));
        }
        Err(_) => return Some(("which does not exist", None)),
    };
    use DatasetKind::{Arrays, Cifar, Folder, Parquet};
    match kind {
        Folder if about.is_dir() => None,
        Cifar | Parquet if about.is_dir() || about.is_file() => None,
        Folder if about.is_file() => Some((
            "which is a file",
            Some("; files are read with dataset.kind idx, cifar, arrays or parquet"),
        )),
        Folder | Cifar | Parquet => {
            Some(("which is neither a directory nor a file", Some("; name another")))
        }
        _ if about.is_file() => None,
        Arrays if about.is_dir() => {
            Some(("which is a directory", Some("; name one .npz, .npy or .safetensors file in it")))
        }
        _ if about.is_dir() => Some((
            "which is a directory",
            Some("; directories are read with dataset.kind folder, cifar or parquet"),
        )),
        _ => Some((
            "which is a pipe or a device",
            Some("; name a file, which can be read more than once"),
        )),
    }
}
