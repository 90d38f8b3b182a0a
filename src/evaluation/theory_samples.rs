//! Samples of score machines without a network, kept in a folder and resumed after an interruption.
//!
//! ```text
//! NAME.safetensors           samples [B, C, H, W], once all steps are done
//! NAME.partial.safetensors   until then the state after every step, with the number of steps left in its header
//! ```
//!
//! Both are f64, because a trajectory that resumes from rounded states ends elsewhere, and carry the settings
//! that they were made with: samples of other settings are neither resumed nor replaced.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use safetensors::tensor::Dtype;
use thiserror::Error;

use crate::arrays::safetensors_file::{TensorFile, to_bytes};
use crate::diffusion::{Ddim, DenoiseError, Denoiser};
use crate::files::{FileError, if_there, write_output};
use crate::image::{ImageBatch, ImageShape};

const TENSOR: &str = "samples";
const SETTINGS_KEY: &str = "settings";
const STEP_KEY: &str = "step";

/// The settings that samples depend on, by name: two folders with the same settings hold the same samples.
pub type Settings = BTreeMap<String, String>;

#[derive(Debug, Error)]
pub enum TheorySamplesError {
    #[error(transparent)]
    Io(#[from] FileError),
    #[error(
        "'{}' holds samples of other settings: {difference}; name another folder with --out, or delete it",
        path.display()
    )]
    Other { path: PathBuf, difference: String },
    #[error("'{}' is not a samples file or is damaged ({problem}); delete it to start over", path.display())]
    Damaged { path: PathBuf, problem: String },
    #[error(transparent)]
    Denoise(#[from] DenoiseError),
}

/// One machine's samples of some seeds.
pub struct TheorySamples<'a> {
    pub folder: &'a Path,
    /// Names the files.
    pub name: &'a str,
    pub settings: &'a Settings,
    pub ddim: Ddim,
    pub seeds: &'a ImageBatch,
}

/// How sampling went.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Done(ImageBatch),
    /// Stopped by `observe` with this many steps left.
    Stopped {
        n_left: usize,
    },
}

impl TheorySamples<'_> {
    /// The path of the finished samples.
    pub fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.safetensors", self.name))
    }

    fn partial_path(&self) -> PathBuf {
        self.folder.join(format!("{}.partial.safetensors", self.name))
    }

    /// Reads finished samples or computes the missing steps. `observe` is called with the number of steps left before
    /// each step and at the end, and returns whether to continue. A finished step is never computed again.
    ///
    /// # Errors
    /// If the machine fails, or a file cannot be read or written or is of other settings.
    pub fn make(
        &self,
        machine: &dyn Denoiser,
        observe: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Outcome, TheorySamplesError> {
        if let Some((_, samples)) = self.read(&self.path())? {
            observe(0);
            return Ok(Outcome::Done(samples));
        }
        let (start, mut state) = match self.read(&self.partial_path())? {
            Some(found) => found,
            None => (self.ddim.n_steps, self.seeds.clone()),
        };
        for index in (1..=start).rev() {
            if !observe(index) {
                return Ok(Outcome::Stopped { n_left: index });
            }
            state = self.ddim.step(index, machine, &state, &mut |_| Ok(()))?;
            if index > 1 {
                self.write(&self.partial_path(), index - 1, &state)?;
            }
        }
        self.write(&self.path(), 0, &state)?;
        let partial = self.partial_path();
        if_there(fs::remove_file(&partial)).map_err(FileError::of("removing", &partial))?;
        observe(0);
        Ok(Outcome::Done(state))
    }

    fn write(&self, path: &Path, step: usize, x: &ImageBatch) -> Result<(), TheorySamplesError> {
        let shape = x.shape();
        let sizes = vec![x.len(), shape.channels, shape.height, shape.width];
        let bytes: Vec<u8> = x.values().iter().flat_map(|v| v.to_le_bytes()).collect();
        let write = || -> io::Result<()> {
            let settings = serde_json::to_string(self.settings)?;
            let header = HashMap::from([
                (SETTINGS_KEY.to_owned(), settings),
                (STEP_KEY.to_owned(), step.to_string()),
            ]);
            let arrays = [(TENSOR.to_owned(), Dtype::F64, sizes, bytes)];
            let bytes = to_bytes(&arrays, Some(header)).map_err(io::Error::other)?;
            Ok(write_output(path, &bytes)?)
        };
        Ok(write().map_err(FileError::of("writing", path))?)
    }

    /// The step and the state of a file of these settings, if it is there.
    fn read(&self, path: &Path) -> Result<Option<(usize, ImageBatch)>, TheorySamplesError> {
        let bytes = if_there(fs::read(path)).map_err(FileError::of("reading", path))?;
        let Some(bytes) = bytes else { return Ok(None) };
        let damaged = |problem: String| TheorySamplesError::Damaged { path: path.into(), problem };
        let parse = || -> Result<(Settings, usize, ImageBatch), String> {
            let file = TensorFile::parse(&bytes)?;
            let settings =
                serde_json::from_str(file.word(SETTINGS_KEY)?).map_err(|e| e.to_string())?;
            let step =
                file.word(STEP_KEY)?.parse().map_err(|_| "its step is no number".to_owned())?;
            let tensor = file.tensor(TENSOR)?;
            let (&[_, channels, height, width], Dtype::F64) = (tensor.shape(), tensor.dtype())
            else {
                return Err(format!("tensor '{TENSOR}' is no batch of f64 images"));
            };
            let shape = ImageShape::of_file(channels, height, width)
                .ok_or_else(|| format!("tensor '{TENSOR}' is of {:?}", tensor.shape()))?;
            let numbers = tensor.data().as_chunks().0;
            let values = numbers.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect();
            Ok((settings, step, ImageBatch::new(shape, values)))
        };
        let (settings, step, state) = parse().map_err(damaged)?;
        if let Some(difference) = difference(&settings, self.settings) {
            return Err(TheorySamplesError::Other { path: path.into(), difference });
        }
        let fits = state.shape() == self.seeds.shape() && state.len() == self.seeds.len();
        if !fits || step > self.ddim.n_steps {
            return Err(damaged("its images do not fit its settings".to_owned()));
        }
        Ok(Some((step, state)))
    }
}

/// A description of the settings that differ; `None` if they are equal.
fn difference(theirs: &Settings, ours: &Settings) -> Option<String> {
    let keys = theirs.keys().chain(ours.keys().filter(|key| !theirs.contains_key(*key)));
    let value = |of: &Settings, key| of.get(key).cloned().unwrap_or_else(|| "nothing".to_owned());
    let each = keys.filter(|key| theirs.get(*key) != ours.get(*key));
    let words: Vec<String> = each
        .map(|key| {
            format!("{key} is '{}' there and '{}' here", value(theirs, key), value(ours, key))
        })
        .collect();
    (!words.is_empty()).then(|| words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::{Denoised, NoiseLevel, Schedule};
    use crate::random::noise_seeds;

    /// Shrinks what it is given; good enough to tell trajectories apart.
    struct Shrink;

    impl Denoiser for Shrink {
        fn denoise(&self, x: &ImageBatch, level: NoiseLevel) -> Result<Denoised, DenoiseError> {
            let x0 = x.values().iter().map(|v| (v * level.signal()).tanh()).collect();
            Ok(Denoised::plain(ImageBatch::new(x.shape(), x0)))
        }
    }

    fn settings(k: usize) -> Settings {
        Settings::from([("k".to_owned(), k.to_string()), ("machine".to_owned(), "a".to_owned())])
    }

    fn make(
        folder: &Path,
        settings: &Settings,
        n_steps: usize,
    ) -> Result<Outcome, TheorySamplesError> {
        let seeds = noise_seeds(1, 0, 2, ImageShape::new(1, 3, 3));
        let ddim = Ddim::new(Schedule::Cosine, 6);
        let samples = TheorySamples { folder, name: "a", settings, ddim, seeds: &seeds };
        let mut asked = 0;
        samples.make(&Shrink, &mut |_| {
            asked += 1;
            asked <= n_steps
        })
    }

    #[test]
    fn interrupted_samples_are_those_of_an_uninterrupted_run_bit_for_bit() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let whole = make(one.path(), &settings(3), 99).unwrap();
        assert_eq!(make(other.path(), &settings(3), 2).unwrap(), Outcome::Stopped { n_left: 4 });
        assert_eq!(make(other.path(), &settings(3), 1).unwrap(), Outcome::Stopped { n_left: 3 });
        assert_eq!(make(other.path(), &settings(3), 0).unwrap(), Outcome::Stopped { n_left: 3 });
        assert_eq!(make(other.path(), &settings(3), 99).unwrap(), whole);
        // Now they are there.
        assert_eq!(make(other.path(), &settings(3), 0).unwrap(), whole);
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 1);
    }

    #[test]
    fn samples_of_other_settings_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), &settings(3), 2).unwrap();
        let error = make(folder.path(), &settings(5), 99).unwrap_err().to_string();
        assert!(error.contains("k is '3' there and '5' here"), "{error}");
        make(folder.path(), &settings(3), 99).unwrap();
        assert!(matches!(
            make(folder.path(), &settings(5), 99),
            Err(TheorySamplesError::Other { .. })
        ));
    }

    #[test]
    fn a_torn_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.partial.safetensors"), b"\x08\0\0\0\0\0\0\0{").unwrap();
        assert!(matches!(
            make(folder.path(), &settings(3), 9),
            Err(TheorySamplesError::Damaged { .. })
        ));
    }
}
