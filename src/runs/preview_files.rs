//! Previews on disk: samples of the network and the machines from the same noise seeds at one training step.
//!
//! A preview is a directory that is written under a temporary name and then renamed, so that a reader finds all
//! of it or nothing:
//!
//! ```text
//! previews/step-000500/   samples.safetensors (seeds, network, machine/NAME ...)   preview.png
//! ```

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::io;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView};
use thiserror::Error;

use crate::analysis::creativity_judge::Judgement;
use crate::arrays::safetensors_file::{Array, TensorFile, to_bytes};
use crate::files::{FileError, directory_rename};
use crate::image::{ImageBatch, ImageShape, contact_sheet};

const SAMPLES: &str = "samples.safetensors";
const MACHINE_PREFIX: &str = "machine/";
/// Safetensors does not preserve the order of tensors; the header records that of the machines.
const ORDER_KEY: &str = "machines";
const STEP_KEY: &str = "step";
const SEED_KEY: &str = "first_seed";
const SAMPLING_KEY: &str = "sampling_steps";
/// Header key prefix for one machine's labels, separated by blanks.
const LABEL_PREFIX: &str = "labels/";
/// Name of the network in lists of machines.
pub const NETWORK: &str = "network";

/// Samples of the network and the machines from the same seeds.
#[derive(Clone, Debug, PartialEq)]
pub struct Preview {
    /// Training step of the network.
    pub step: u64,
    /// Index of the first noise seed.
    pub first_seed: u64,
    /// Number of sampling steps.
    pub sampling_steps: usize,
    pub seeds: ImageBatch,
    pub network: ImageBatch,
    /// Samples by machine name, in the order of `theory.machines`.
    pub machines: Vec<(String, ImageBatch)>,
    /// Verdicts of a crafted set's rule on every sample: by `network` or machine name, one per seed.
    pub labels: Vec<(String, Vec<Label>)>,
}

/// Verdict of a rule on one sample; see [`crate::analysis::creativity_judge`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Label {
    pub valid: bool,
    pub consistent: bool,
    pub novel: bool,
}

impl Label {
    fn parse(text: &str) -> Self {
        let has = |letter| text.contains(letter);
        Self { valid: has('v'), consistent: has('c'), novel: has('n') }
    }
}

/// Writes the initials of the properties that hold: `vcn`, `-c-`.
impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = [(self.valid, 'v'), (self.consistent, 'c'), (self.novel, 'n')];
        each.into_iter()
            .try_for_each(|(holds, letter)| f.write_char(if holds { letter } else { '-' }))
    }
}

impl From<Judgement> for Label {
    fn from(judgement: Judgement) -> Self {
        let Judgement { valid, consistent, novel, .. } = judgement;
        Self { valid, consistent, novel }
    }
}

#[derive(Debug, Error)]
pub enum PreviewError {
    #[error(transparent)]
    Io(#[from] FileError),
    #[error("'{}' is not a preview that this version can read: {problem}", path.display())]
    Format { path: PathBuf, problem: String },
}

/// The composed picture, next to a preview's tensors.
pub const PICTURE: &str = "preview.png";

/// A preview's directory name, e.g. `step-000500`.
pub fn directory_name(step: u64) -> String {
    format!("step-{step:06}")
}

/// Steps of the complete previews under `previews/`, in increasing order.
pub fn list(previews: &Path) -> Vec<(u64, PathBuf)> {
    let Ok(entries) = std::fs::read_dir(previews) else { return Vec::new() };
    let mut found: Vec<(u64, PathBuf)> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let step = entry.file_name().to_str()?.strip_prefix("step-")?.parse().ok()?;
            Some((step, entry.path()))
        })
        .collect();
    found.sort();
    found
}

impl Preview {
    /// Labels of the network or a machine; `None` if the set has no rule.
    pub fn labels_of(&self, name: &str) -> Option<&[Label]> {
        let found = self.labels.iter().find(|(other, _)| other == name);
        found.map(|(_, labels)| labels.as_slice())
    }

    /// Writes the preview to the directory `path`, replacing an existing one.
    ///
    /// # Errors
    ///
    /// If the samples cannot be serialised, or if the directory cannot be written or replaced.
    pub fn write(&self, path: &Path) -> Result<(), PreviewError> {
        let failed = |attempt| FileError::of(attempt, path);
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".tmp");
        let beside = path.with_file_name(name);
        if beside.exists() {
            std::fs::remove_dir_all(&beside).map_err(failed("clearing the way for"))?;
        }
        std::fs::create_dir(&beside).map_err(failed("making"))?;
        std::fs::write(beside.join(SAMPLES), self.to_bytes(path)?).map_err(failed("writing"))?;
        contact_sheet::with_differences(
            (self.first_seed, &self.seeds),
            &self.network,
            &self.machines,
            usize::MAX,
        )
        .save(beside.join(PICTURE))
        .map_err(|error| failed("drawing")(io::Error::other(error)))?;
        Ok(directory_rename::replace(&beside, path).map_err(failed("finishing"))?)
    }

    /// Reads the preview in the directory `path`.
    ///
    /// # Errors
    ///
    /// If the file is missing or invalid, or if its batches differ in size or shape.
    pub fn read(path: &Path) -> Result<Self, PreviewError> {
        let file = path.join(SAMPLES);
        let bytes = std::fs::read(&file).map_err(FileError::of("reading", &file))?;
        Self::from_bytes(&bytes).map_err(|problem| PreviewError::Format { path: file, problem })
    }

    fn to_bytes(&self, path: &Path) -> Result<Vec<u8>, PreviewError> {
        let tensors = [("seeds".to_owned(), &self.seeds), ("network".to_owned(), &self.network)]
            .into_iter()
            .chain(
                self.machines
                    .iter()
                    .map(|(name, batch)| (format!("{MACHINE_PREFIX}{name}"), batch)),
            );
        let names: Vec<&str> = self.machines.iter().map(|(name, _)| name.as_str()).collect();
        let mut header = HashMap::from([
            (STEP_KEY.to_owned(), self.step.to_string()),
            (SEED_KEY.to_owned(), self.first_seed.to_string()),
            (SAMPLING_KEY.to_owned(), self.sampling_steps.to_string()),
            (ORDER_KEY.to_owned(), names.join(",")),
        ]);
        for (name, labels) in &self.labels {
            let words: Vec<String> = labels.iter().map(Label::to_string).collect();
            header.insert(format!("{LABEL_PREFIX}{name}"), words.join(" "));
        }
        tensor_file(tensors, header)
            .map_err(|problem| PreviewError::Format { path: path.to_owned(), problem })
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let file = TensorFile::parse(bytes)?;
        let batch = |name: &str| to_batch(name, &file.tensor(name)?);
        let names = file.word(ORDER_KEY)?.split(',').filter(|name| !name.is_empty());
        let machines = names
            .map(|name| Ok((name.to_owned(), batch(&format!("{MACHINE_PREFIX}{name}"))?)))
            .collect::<Result<_, String>>()?;
        let number = |key: &str, text: &str| {
            text.parse().map_err(|_| format!("its {key} '{text}' is not a number"))
        };
        // Earlier versions recorded neither seed indices nor sampling steps.
        let or_zero = |key: &str| file.word(key).map_or(Ok(0), |text| number(key, text));
        let labels = |name: &str| {
            let text = file.word(&format!("{LABEL_PREFIX}{name}")).ok()?;
            Some((name.to_owned(), text.split(' ').map(Label::parse).collect()))
        };
        let machines: Vec<(String, ImageBatch)> = machines;
        let (seeds, network) = (batch("seeds")?, batch("network")?);
        let others = machines.iter().map(|(name, batch)| (name.as_str(), batch));
        for (name, batch) in std::iter::once((NETWORK, &network)).chain(others) {
            if batch.len() != seeds.len() || batch.shape() != seeds.shape() {
                return Err(format!(
                    "its samples of '{name}' are {} of {}, but its seeds are {} of {}",
                    batch.len(),
                    batch.shape(),
                    seeds.len(),
                    seeds.shape()
                ));
            }
        }
        if seeds.is_empty() {
            return Err("it holds no seeds".to_owned());
        }
        let all = std::iter::once(NETWORK).chain(machines.iter().map(|(name, _)| name.as_str()));
        Ok(Self {
            step: number(STEP_KEY, file.word(STEP_KEY)?)?,
            first_seed: or_zero(SEED_KEY)?,
            sampling_steps: or_zero(SAMPLING_KEY)? as usize,
            seeds,
            network,
            labels: all.filter_map(labels).collect(),
            machines,
        })
    }
}

/// Serialises batches as a safetensors file, `[B, C, H, W]` in f32: the precision networks compute in, and
/// enough for viewing.
///
/// # Errors
///
/// If a batch or the header cannot be serialised.
pub fn tensor_file<'a>(
    batches: impl Iterator<Item = (String, &'a ImageBatch)>,
    header: HashMap<String, String>,
) -> Result<Vec<u8>, String> {
    let array = |(name, batch): (String, &ImageBatch)| {
        let shape = batch.shape();
        let sizes = vec![batch.len(), shape.channels, shape.height, shape.width];
        let bytes = batch.values().iter().flat_map(|&v| (v as f32).to_le_bytes()).collect();
        (name, Dtype::F32, sizes, bytes)
    };
    let arrays: Vec<Array> = batches.map(array).collect();
    to_bytes(&arrays, Some(header)).map_err(|error| error.to_string())
}

fn to_batch(name: &str, tensor: &TensorView<'_>) -> Result<ImageBatch, String> {
    let &[_, channels, height, width] = tensor.shape() else {
        return Err(format!("tensor '{name}' has shape {:?}, not four axes", tensor.shape()));
    };
    let shape = ImageShape::of_file(channels, height, width);
    let Some(shape) = shape.filter(|_| tensor.dtype() == Dtype::F32) else {
        return Err(format!("tensor '{name}' holds no f32 images"));
    };
    let (numbers, _) = tensor.data().as_chunks::<4>();
    let values = numbers.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect();
    Ok(ImageBatch::new(shape, values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::noise_seeds;

    #[test]
    fn a_preview_survives_the_disk_and_junk_beside_it() {
        let place = tempfile::tempdir().unwrap();
        let shape = ImageShape::new(3, 8, 8);
        let batch = |seed| noise_seeds(seed, 0, 2, shape);
        let preview = Preview {
            step: 40,
            first_seed: 7,
            sampling_steps: 20,
            seeds: batch(1),
            network: batch(2),
            machines: vec![("wiener".to_owned(), batch(3)), ("els".to_owned(), batch(4))],
            labels: vec![
                (NETWORK.to_owned(), vec![Label { valid: true, ..Label::default() }; 2]),
                ("els".to_owned(), vec![Label { novel: true, consistent: true, valid: false }; 2]),
            ],
        };
        let path = place.path().join(directory_name(40));
        preview.write(&path).unwrap();
        preview.write(&path).unwrap();
        std::fs::create_dir(place.path().join("step-000041.tmp")).unwrap();
        assert_eq!(list(place.path()), [(40, path.clone())]);
        assert_eq!(Preview::read(&path).unwrap(), preview);
    }

    #[test]
    fn a_file_whose_parts_do_not_fit_each_other_is_refused_and_named() {
        let place = tempfile::tempdir().unwrap();
        let shape = ImageShape::new(3, 8, 8);
        let batch = |n, shape| noise_seeds(1, 0, n, shape);
        let file = place.path().join(SAMPLES);
        let refused = |seeds: ImageBatch, network: ImageBatch, machine: ImageBatch| {
            let machines = vec![("els".to_owned(), machine)];
            let (step, first_seed, sampling_steps, labels) = (40, 0, 20, Vec::new());
            let preview =
                Preview { step, first_seed, sampling_steps, seeds, network, machines, labels };
            std::fs::write(&file, preview.to_bytes(&file).unwrap()).unwrap();
            let error = Preview::read(place.path()).unwrap_err();
            assert!(error.to_string().contains(&file.display().to_string()), "{error}");
            match error {
                PreviewError::Format { problem, .. } => problem,
                error @ PreviewError::Io(_) => panic!("{error}"),
            }
        };
        let few = refused(batch(2, shape), batch(1, shape), batch(2, shape));
        assert_eq!(few, "its samples of 'network' are 1 of 3x8x8, but its seeds are 2 of 3x8x8");
        let small = refused(batch(2, shape), batch(2, shape), batch(2, ImageShape::new(3, 4, 4)));
        assert_eq!(small, "its samples of 'els' are 2 of 3x4x4, but its seeds are 2 of 3x8x8");
        let none = ImageBatch::new(shape, Vec::new());
        assert_eq!(refused(none.clone(), none.clone(), none), "it holds no seeds");
    }

    #[test]
    fn a_torn_file_is_an_error_not_a_panic() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join(SAMPLES), b"\x10\0\0\0\0\0\0\0{\"a\":").unwrap();
        assert!(matches!(Preview::read(place.path()), Err(PreviewError::Format { .. })));
    }
}
