//! What a run's directory could give back: files that can be made again, or that only its past needs.
//!
//! The newest checkpoint, the newest preview, the events, the report and everything a user wrote are never touched.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use strum::VariantArray;

use super::rename_and_delete_run::RunDirError;
use super::run_dir::RunDir;

/// A kind of files that can be deleted.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    strum::VariantArray,
    strum::VariantNames,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[strum(serialize_all = "lowercase")]
pub enum Prunable {
    /// All previews but the newest.
    Previews,
    /// Traces of noise seeds, which `mosaic inspect` makes again.
    Traces,
    /// All checkpoints but the newest: with them goes what `--step` and reports over training need.
    Checkpoints,
    /// Solutions of `attention-optimal`, which are computed again when they are needed.
    Solutions,
}

/// One file or directory that can be deleted, with the size of its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub kind: Prunable,
    pub path: PathBuf,
    pub bytes: u64,
}

/// What of these kinds `run` could give back.
pub fn find(run: &RunDir, kinds: &[Prunable]) -> Vec<Found> {
    let chosen = Prunable::VARIANTS.iter().filter(|kind| kinds.contains(kind));
    let found = chosen.flat_map(|&kind| {
        let entry = move |path: PathBuf| Found { kind, bytes: size(&path), path };
        paths(run, kind).into_iter().map(entry)
    });
    found.collect()
}

fn paths(run: &RunDir, kind: Prunable) -> Vec<PathBuf> {
    match kind {
        Prunable::Previews => older_steps(&run.previews_path()),
        Prunable::Checkpoints => older_steps(&run.state_path()),
        Prunable::Traces => entries(&run.path().join("traces")),
        Prunable::Solutions => entries(&run.path().join("attention-optimal")),
    }
}

/// The directories `step-N` in `folder` but that of the largest N.
fn older_steps(folder: &Path) -> Vec<PathBuf> {
    let step = |path: &PathBuf| -> Option<u64> {
        path.file_name()?.to_str()?.strip_prefix("step-")?.parse().ok()
    };
    let mut steps: Vec<(u64, PathBuf)> =
        entries(folder).into_iter().filter_map(|path| Some((step(&path)?, path))).collect();
    steps.sort();
    steps.pop();
    steps.into_iter().map(|(_, path)| path).collect()
}

/// What lies in a folder, sorted; nothing if it cannot be read.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let found = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = found.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Bytes of a file, or of all files in a directory. Links are not followed.
fn size(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(data) if data.is_dir() => entries(path).iter().map(|path| size(path)).sum(),
        Ok(data) => data.len(),
        Err(_) => 0,
    }
}

impl RunDir {
    /// Deletes what [`find`] has found, and returns the bytes.
    ///
    /// # Errors
    ///
    /// If the run has a worker or was written by a newer mosaic, or if something cannot be deleted; what was deleted before
    /// stays deleted.
    pub fn prune(&self, found: &[Found]) -> Result<u64, RunDirError> {
        let _lock = self.claim("pruning")?;
        let mut bytes = 0;
        for Found { path, bytes: n, .. } in found {
            let is_folder = fs::symlink_metadata(path).is_ok_and(|data| data.is_dir());
            let deleted = if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            match deleted {
                Ok(()) => bytes += n,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => {
                    let attempt = format!("deleting '{}'", path.display());
                    return Err(RunDirError::Io { attempt, source });
                }
            }
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::runs_dir::RunsDir;

    #[test]
    fn the_newest_of_each_stays_and_links_are_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let run = RunsDir::new(place.path().join("runs")).create("a").unwrap();
        let write = |path: &Path, bytes: usize| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![0; bytes]).unwrap();
        };
        for (step, bytes) in [(900, 5), (10_000, 7), (1_000, 11)] {
            write(&run.state_path().join(format!("step-{step:06}/weights")), bytes);
            write(&run.previews_path().join(format!("step-{step:06}/a")), 2 * bytes);
        }
        write(&run.path().join("traces/seed-1.safetensors"), 100);
        let outside = place.path().join("precious");
        write(&outside, 3);
        std::os::unix::fs::symlink(&outside, run.path().join("traces/link")).unwrap();
        write(&run.report_path().join("report.md"), 1);
        let found = find(&run, Prunable::VARIANTS);
        let of = |kind| found.iter().filter(|f| f.kind == kind).map(|f| f.bytes).sum::<u64>();
        assert_eq!((of(Prunable::Previews), of(Prunable::Checkpoints)), (32, 16));
        assert!(of(Prunable::Traces) >= 100 && of(Prunable::Solutions) == 0);
        assert!(find(&run, &[]).is_empty());
        assert!(run.prune(&found).unwrap() >= 148);
        assert_eq!(find(&run, Prunable::VARIANTS), []);
        assert!(run.state_path().join("step-010000/weights").exists());
        assert!(run.previews_path().join("step-010000/a").exists());
        assert!(outside.exists() && run.report_path().join("report.md").exists());
    }
}
