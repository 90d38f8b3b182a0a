//! Refuses data sets whose files are missing or of another kind, with advice where to get them.

use std::path::Path;
use std::{fs, io};

use super::enum_settings::DatasetKind;
use super::error::ConfigError;
use super::experiment_settings::Experiment;

/// Where to download Fashion-MNIST.
const FASHION_ADVICE: &str = "; Fashion-MNIST is free: download train-images-idx3-ubyte.gz from \
    https://github.com/zalandoresearch/fashion-mnist (data/fashion) into that directory";
/// Where to download CIFAR-10.
const CIFAR_ADVICE: &str = "; download https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz and unpack it \
    in the directory above, or name the archive itself";

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
            let advice = if let Some(advice) = of_kind {
                advice
            } else if text.to_string_lossy().contains("fashion-mnist") {
                FASHION_ADVICE
            } else if self.dataset.kind == DatasetKind::Cifar
                && text.to_string_lossy().contains("cifar-10")
            {
                CIFAR_ADVICE
            } else {
                "; paths start at the directory of the lab file"
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
