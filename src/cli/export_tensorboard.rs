//! `export --tensorboard`: the events of runs as files that TensorBoard reads.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::lab_and_runs_dir_options::LabPaths;
use crate::errorln;
use crate::evaluation::tensorboard::event_file_of_run;

/// Writes one folder per run into `logs`.
///
/// # Errors
///
/// If no run or several runs match a name, if a run cannot be read, or if a file cannot be written.
pub fn run(paths: &LabPaths, names: &[String], logs: &Path) -> Result<()> {
    ensure!(
        !logs.exists() || logs.is_dir(),
        "--tensorboard '{}' is a file; name a directory",
        logs.display()
    );
    let runs = names.iter().map(|name| paths.run(name)).collect::<Result<Vec<_>>>()?;
    for run in &runs {
        let written = event_file_of_run::write(&run.dir, logs)
            .with_context(|| format!("exporting the events of run '{}'", run.id))?;
        errorln!(
            "wrote {} scalars and {} pictures to '{}'",
            written.n_scalars,
            written.n_pictures,
            written.path.display()
        );
    }
    errorln!("tensorboard --logdir {} shows them", logs.display());
    Ok(())
}
