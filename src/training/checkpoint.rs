//! Checkpoints: complete and verified, or absent.
//!
//! ```text
//! state/step-000120/  weights.safetensors  ema.safetensors  optimizer.safetensors  manifest.json
//! ```
//!
//! All files are written to a hidden directory next to it, each file and the directory are synced to disk, and
//! a single rename makes the checkpoint appear. The manifest records the size and CRC-32 of every file, and its
//! own CRC-32; CRC-32 detects every change within 32 adjacent bits, hence any single damaged byte. Random state
//! needs no file: every draw is a function of seed and step. The worker asks for a checkpoint every
//! `training.checkpoint_every` updates; [`super::trainer::Trainer::save`] writes it and deletes those that
//! [`super::checkpoints_to_keep`] does not keep.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::checkpoint_format_1::IdentityV1;
use super::checkpoint_settings::{Identity, SavedIdentity};
use super::early_end_of_training::Progress;
use crate::files::if_there;
use crate::network::TensorMap;

/// Version of the layout; a reader refuses a newer one. Format 1 has an [`IdentityV1`].
const FORMAT: u32 = 2;
const MANIFEST: &str = "manifest.json";
const WEIGHTS: &str = "weights.safetensors";
const EMA: &str = "ema.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const PARTIAL: &str = ".partial-";

/// Reason why a checkpoint could not be written or read.
#[derive(Debug, Error)]
pub enum CheckpointError {
    #[error("could not {attempt} '{path}'")]
    Io { attempt: &'static str, path: PathBuf, source: io::Error },
    #[error("checkpoint file '{path}' is damaged: {problem}; use an earlier checkpoint")]
    Damaged { path: PathBuf, problem: String },
    #[error(
        "checkpoint '{path}' has format '{found}', but this version reads formats up to '{FORMAT}'"
    )]
    Format { path: PathBuf, found: u32 },
    #[error("could not encode the checkpoint's tensors: {problem}")]
    Encode { problem: String },
}

impl CheckpointError {
    /// True if waiting for disk space may help.
    pub fn is_full_disk(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Self::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
    }
}

/// The complete state from which training continues.
#[derive(Clone, Debug)]
pub struct Contents {
    /// Steps done, including skipped ones.
    pub step: u64,
    /// Updates made by the optimiser.
    pub n_updates: u64,
    pub progress: Progress,
    pub identity: SavedIdentity,
    pub weights: TensorMap,
    pub ema: TensorMap,
    pub optimizer: TensorMap,
}

/// The manifest as stored: its body and the CRC-32 of the body's compact JSON.
#[derive(Serialize, Deserialize)]
struct Sealed {
    crc32: u32,
    manifest: Manifest,
}

#[derive(Clone, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    step: u64,
    n_updates: u64,
    #[serde(default, skip_serializing_if = "Progress::is_fresh")]
    progress: Progress,
    /// Present in format 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    echo: Option<IdentityV1>,
    /// Present from format 2 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identity: Option<Identity>,
    files: BTreeMap<String, FileRecord>,
}

#[derive(Clone, Serialize, Deserialize)]
struct FileRecord {
    bytes: u64,
    crc32: u32,
}

/// Location of a checkpoint whose content has not been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub step: u64,
    pub path: PathBuf,
}

/// Writes `contents` as `state_dir/step-N`, replacing a checkpoint of the same step.
///
/// # Errors
///
/// If a directory or file cannot be written, flushed, moved or removed, or a tensor cannot be encoded.
pub fn write(state_dir: &Path, contents: &Contents) -> Result<Checkpoint, CheckpointError> {
    fs::create_dir_all(state_dir).map_err(io_error("create", state_dir))?;
    remove_partial(state_dir)?;
    let name = format!("step-{:06}", contents.step);
    let partial = state_dir.join(format!("{PARTIAL}{name}"));
    fs::create_dir(&partial).map_err(io_error("create", &partial))?;
    let mut files = BTreeMap::new();
    let Contents { weights, ema, optimizer, .. } = contents;
    for (file, tensors) in [(WEIGHTS, weights), (EMA, ema), (OPTIMIZER, optimizer)] {
        let bytes = encode(tensors)?;
        write_flushed(&partial.join(file), &bytes)?;
        let record = FileRecord { bytes: bytes.len() as u64, crc32: crc32fast::hash(&bytes) };
        files.insert(file.to_owned(), record);
    }
    let (format, echo, identity) = match contents.identity.clone() {
        SavedIdentity::V1(old) => (1, Some(old), None),
        SavedIdentity::V2(identity) => (FORMAT, None, Some(identity)),
    };
    let manifest = Manifest {
        format,
        step: contents.step,
        n_updates: contents.n_updates,
        progress: contents.progress,
        echo,
        identity,
        files,
    };
    write_flushed(&partial.join(MANIFEST), seal(manifest)?.as_bytes())?;
    flush_directory(&partial)?;
    let path = state_dir.join(name);
    if path.exists() {
        let replaced = state_dir.join(format!("{PARTIAL}replaced"));
        fs::rename(&path, &replaced).map_err(io_error("move aside", &path))?;
    }
    fs::rename(&partial, &path).map_err(io_error("put in place", &path))?;
    flush_directory(state_dir)?;
    remove_partial(state_dir)?;
    Ok(Checkpoint { step: contents.step, path })
}

/// The checkpoints of a run, newest first; none if the directory does not exist.
///
/// # Errors
///
/// If the directory exists but cannot be listed.
pub fn list(state_dir: &Path) -> Result<Vec<Checkpoint>, CheckpointError> {
    let entries = if_there(fs::read_dir(state_dir)).map_err(io_error("list", state_dir))?;
    let mut found = Vec::new();
    for entry in entries.into_iter().flatten() {
        let entry = entry.map_err(io_error("list", state_dir))?;
        let name = entry.file_name();
        let step = name.to_str().and_then(|name| name.strip_prefix("step-")?.parse().ok());
        found.extend(step.map(|step| Checkpoint { step, path: entry.path() }));
    }
    found.sort_by_key(|checkpoint| std::cmp::Reverse(checkpoint.step));
    Ok(found)
}

/// Result of [`latest_valid`].
#[derive(Debug, Default)]
pub struct Latest {
    /// The newest intact checkpoint, if there is one.
    pub found: Option<(Checkpoint, Contents)>,
    /// Errors of the newer checkpoints, to be shown as notices.
    pub refused: Vec<CheckpointError>,
}

/// Finds the newest intact checkpoint, skipping damaged ones.
///
/// # Errors
///
/// If the directory exists but cannot be listed; damaged checkpoints are in [`Latest::refused`].
pub fn latest_valid(state_dir: &Path) -> Result<Latest, CheckpointError> {
    let mut latest = Latest::default();
    for checkpoint in list(state_dir)? {
        match checkpoint.load() {
            Ok(contents) => {
                latest.found = Some((checkpoint, contents));
                break;
            }
            Err(error) => latest.refused.push(error),
        }
    }
    Ok(latest)
}

/// Deletes one checkpoint atomically: a reader never sees part of it.
///
/// # Errors
///
/// If the checkpoint's directory cannot be renamed or removed.
pub fn delete(checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
    let doomed = checkpoint.path.with_file_name(format!("{PARTIAL}deleted-{}", checkpoint.step));
    fs::rename(&checkpoint.path, &doomed).map_err(io_error("delete", &checkpoint.path))?;
    fs::remove_dir_all(&doomed).map_err(io_error("delete", &doomed))
}

impl Checkpoint {
    /// Reads and verifies all parts.
    ///
    /// # Errors
    ///
    /// If a file is missing or fails its checksum, or if the format is newer than this version.
    pub fn load(&self) -> Result<Contents, CheckpointError> {
        let manifest = self.manifest()?;
        let [weights, ema, optimizer] =
            [WEIGHTS, EMA, OPTIMIZER].map(|file| self.read(&manifest, file));
        Ok(Contents {
            step: manifest.step,
            n_updates: manifest.n_updates,
            progress: manifest.progress,
            identity: self.identity(&manifest)?,
            weights: weights?,
            ema: ema?,
            optimizer: optimizer?,
        })
    }

    fn manifest(&self) -> Result<Manifest, CheckpointError> {
        let path = self.path.join(MANIFEST);
        let bytes = fs::read(&path).map_err(io_error("read", &path))?;
        let damaged = |problem: &str| CheckpointError::Damaged {
            path: path.clone(),
            problem: problem.to_owned(),
        };
        let sealed: Sealed =
            serde_json::from_slice(&bytes).map_err(|error| damaged(&error.to_string()))?;
        let found = sealed.manifest.format;
        if !(1..=FORMAT).contains(&found) {
            return Err(CheckpointError::Format { path, found });
        }
        if seal(sealed.manifest.clone())?.as_bytes() != bytes {
            return Err(damaged("its contents do not match its checksum"));
        }
        if sealed.manifest.step != self.step {
            return Err(damaged("it belongs to another step"));
        }
        Ok(sealed.manifest)
    }

    fn identity(&self, manifest: &Manifest) -> Result<SavedIdentity, CheckpointError> {
        let v1 = manifest.echo.clone().map(SavedIdentity::V1);
        let v2 = manifest.identity.clone().map(SavedIdentity::V2);
        v2.or(v1).ok_or_else(|| CheckpointError::Damaged {
            path: self.path.join(MANIFEST),
            problem: "it records no training settings".to_owned(),
        })
    }

    fn read(&self, manifest: &Manifest, file: &str) -> Result<TensorMap, CheckpointError> {
        let path = self.path.join(file);
        let bytes = fs::read(&path).map_err(io_error("read", &path))?;
        let damaged = |problem: String| CheckpointError::Damaged { path: path.clone(), problem };
        let record = manifest.files.get(file);
        let record = record.ok_or_else(|| damaged("the manifest does not know it".to_owned()))?;
        if bytes.len() as u64 != record.bytes {
            return Err(damaged(format!("{} bytes instead of {}", bytes.len(), record.bytes)));
        }
        if crc32fast::hash(&bytes) != record.crc32 {
            return Err(damaged("its checksum is wrong".to_owned()));
        }
        let tensors: HashMap<String, Tensor> =
            candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)
                .map_err(|error| damaged(error.to_string()))?;
        Ok(tensors.into_iter().collect())
    }
}

impl Contents {
    /// The first tensor that contains NaN or infinity.
    ///
    /// # Errors
    ///
    /// If a tensor operation fails.
    pub fn not_finite(&self) -> candle_core::Result<Option<String>> {
        for (name, tensor) in self.weights.iter().chain(&self.ema).chain(&self.optimizer) {
            // NaN or infinity times zero is NaN, and so is the sum.
            let zero = (tensor.detach() * 0.0)?.sum_all()?.to_dtype(DType::F64)?;
            if zero.to_scalar::<f64>()? != 0.0 {
                return Ok(Some(name.clone()));
            }
        }
        Ok(None)
    }
}

fn io_error(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CheckpointError {
    let path = path.to_owned();
    move |source| CheckpointError::Io { attempt, path, source }
}

fn encode(tensors: &TensorMap) -> Result<Vec<u8>, CheckpointError> {
    safetensors::serialize(tensors.iter(), None)
        .map_err(|error| CheckpointError::Encode { problem: error.to_string() })
}

fn seal(manifest: Manifest) -> Result<String, CheckpointError> {
    let encode_error =
        |error: serde_json::Error| CheckpointError::Encode { problem: error.to_string() };
    let body = serde_json::to_vec(&manifest).map_err(encode_error)?;
    let sealed = Sealed { crc32: crc32fast::hash(&body), manifest };
    serde_json::to_string_pretty(&sealed).map_err(encode_error)
}

fn write_flushed(path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(io_error("write", path))
}

/// Syncs a directory, which makes the names in it durable.
fn flush_directory(path: &Path) -> Result<(), CheckpointError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(io_error("flush", path))
}

/// Removes leftovers of an interrupted write or deletion.
fn remove_partial(state_dir: &Path) -> Result<(), CheckpointError> {
    for entry in fs::read_dir(state_dir).map_err(io_error("list", state_dir))? {
        let entry = entry.map_err(io_error("list", state_dir))?;
        if entry.file_name().to_string_lossy().starts_with(PARTIAL) {
            let path = entry.path();
            fs::remove_dir_all(&path).map_err(io_error("remove", &path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(step: u64) -> Contents {
        let map = |value: f32| {
            let tensor = Tensor::new(&[value, 2.0, 3.0], &Device::Cpu).unwrap();
            TensorMap::from([("layer.weight".to_owned(), tensor)])
        };
        let identity = SavedIdentity::V2(Identity::default());
        let (weights, ema, optimizer) = (map(0.5), map(0.25), map(step as f32));
        let progress = Progress::default();
        Contents { step, n_updates: step, progress, identity, weights, ema, optimizer }
    }

    fn values(map: &TensorMap) -> Vec<f32> {
        map["layer.weight"].to_vec1().unwrap()
    }

    #[test]
    fn save_then_load_is_identity_and_rewriting_replaces() {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let checkpoint = write(folder.path(), &contents(7)).unwrap();
            let loaded = checkpoint.load().unwrap();
            assert_eq!((loaded.step, loaded.n_updates), (7, 7));
            assert_eq!(loaded.identity, contents(7).identity);
            assert_eq!(values(&loaded.weights), [0.5, 2.0, 3.0]);
            assert_eq!(values(&loaded.optimizer), [7.0, 2.0, 3.0]);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn every_changed_byte_of_every_file_is_detected() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = write(folder.path(), &contents(3)).unwrap();
        for entry in fs::read_dir(&checkpoint.path).unwrap() {
            let path = entry.unwrap().path();
            let whole = fs::read(&path).unwrap();
            for index in 0..whole.len() {
                let mut damaged = whole.clone();
                damaged[index] ^= 1 << (index % 8);
                fs::write(&path, &damaged).unwrap();
                assert!(checkpoint.load().is_err(), "byte {index} of {}", path.display());
            }
            fs::write(&path, &whole).unwrap();
        }
        checkpoint.load().unwrap();
    }

    #[test]
    fn truncated_and_missing_files_are_detected_and_the_previous_checkpoint_offered() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &contents(10)).unwrap();
        for file in ["weights.safetensors", "ema.safetensors", "optimizer.safetensors", MANIFEST] {
            for truncate in [true, false] {
                let newest = write(folder.path(), &contents(20)).unwrap();
                let path = newest.path.join(file);
                if truncate {
                    let whole = fs::read(&path).unwrap();
                    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
                } else {
                    fs::remove_file(&path).unwrap();
                }
                let Latest { found, refused } = latest_valid(folder.path()).unwrap();
                assert_eq!(found.unwrap().0.step, 10, "{file}");
                assert_eq!(refused.len(), 1);
                assert!(refused[0].to_string().contains(file), "{}", refused[0]);
            }
        }
    }

    #[test]
    fn an_interrupted_write_is_invisible_and_swept_up() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(".partial-step-000005")).unwrap();
        assert!(list(folder.path()).unwrap().is_empty());
        write(folder.path(), &contents(6)).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_newer_format_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = write(folder.path(), &contents(1)).unwrap();
        let mut manifest = checkpoint.manifest().unwrap();
        manifest.format = 9;
        fs::write(checkpoint.path.join(MANIFEST), seal(manifest).unwrap()).unwrap();
        let error = checkpoint.load().unwrap_err();
        assert!(matches!(error, CheckpointError::Format { found: 9, .. }), "{error}");
    }
}
