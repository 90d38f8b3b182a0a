//! `export --what`: samples, trajectories, attention, provenance, calibration and data of a run, as arrays or tables.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, anyhow, bail, ensure};
use signal_hook::consts::SIGINT;

use super::export_arguments::ExportArgs;
use super::export_places::{Place, check_names, check_parts, names_of_files, place_and_format};
use super::lab_and_runs_dir_options::LabPaths;
use super::progress_bar;
use crate::arrays::{ArraySpool, FileFormat};
use crate::config::noise_seed_purposes::NoiseSeeds;
use crate::errorln;
use crate::evaluation::calibration::Calibration;
use crate::evaluation::export::export_parts::ExportPart;
use crate::evaluation::export::sampled_trajectories::Sampled;
use crate::evaluation::export::{
    arrays_of_run, arrays_of_trajectories, directory_for_compare, tables,
};
use crate::evaluation::external::external_toml;
use crate::evaluation::network_and_machines_of_run::Trained;
use crate::evaluation::samples::MachineSet;
use crate::evaluation::samples::maps_of_machines::has_own_maps;
use crate::files::{make_folder, write_atomically_by, write_output};
use crate::runs::{catch_signals, seen_held_out_seeds};

/// Exports the parts that the arguments name.
///
/// # Errors
///
/// If the arguments do not fit each other or the run, if it cannot be opened or sampled, or if an output cannot be written.
pub fn run(paths: &LabPaths, name: &str, args: &ExportArgs, out: &Path) -> Result<()> {
    let parts: BTreeSet<ExportPart> = args.what.iter().copied().collect();
    let (place, format) = place_and_format(out, args.format)?;
    check_parts(&parts, &place, format)?;
    let run = paths.run(name)?;
    if let Place::Directory(folder) = &place {
        make_folder(folder).with_context(|| format!("making '{}'", folder.display()))?;
    }
    let names = names_of_files(&parts, &place, format);
    check_names(&names, args.force)?;
    let trained = Trained::open_at(&run.dir, &[], args.step)?;
    let stop = catch_signals::stop_on(&[SIGINT]).context("listening for Ctrl-C")?;
    trained.solver.watch(progress_bar::of_solving(stop.clone()));
    let machines = machines(&trained, &args.machines)?;
    check_run(&trained, &machines, &parts)?;
    let for_compare = matches!(place, Place::Directory(_)) && parts.contains(&ExportPart::Samples);
    let (seeds, n_calibration) = seeds(&trained, args, for_compare)?;
    let needs_sampling = parts.iter().any(|part| part.needs_sampling());
    if needs_sampling {
        for range in &seeds {
            seen_held_out_seeds::record(&run.dir, trained.experiment.noise_seed, range, "export")
                .context("recording the seeds as seen")?;
        }
    }
    let sampled = Sampled {
        trained: &trained,
        machines: &machines,
        seeds: &seeds,
        with_provenance: parts.contains(&ExportPart::Provenance),
    };
    let export = Export { sampled, parts: &parts, calibration: calibration(&trained, &parts)? };
    match format.of_arrays() {
        Some(format) => export.arrays(&names[0], format, &stop)?,
        None => parts
            .iter()
            .zip(&names)
            .try_for_each(|(part, name)| export.table(*part, name, &stop))?,
    }
    if let (Place::Directory(folder), true) = (&place, for_compare) {
        describe(paths, &trained, folder, &names[0], n_calibration)?;
    }
    Ok(())
}

/// The machines that were named, under calibrated settings if the run has them.
fn machines(trained: &Trained, names: &[String]) -> Result<MachineSet> {
    let all = &trained.machine_set;
    let known: Vec<String> = all.names().map(str::to_owned).collect();
    let wanted = if names == ["all"] { known.clone() } else { names.to_vec() };
    if let Some(name) = wanted.iter().find(|name| !known.contains(name)) {
        let notes: String = trained.notes.iter().map(|note| format!("; {note}")).collect();
        bail!(
            "--machine '{name}' is none of {}'s machines: {}, or all{notes}",
            trained.run.id(),
            known.join(", ")
        );
    }
    let chosen = all.only(&wanted).context("choosing the machines")?;
    chosen.with_saved_calibration(&trained.run.calibration_path(), all.ddim().n_steps)
}

/// Refuses what the run does not have.
fn check_run(trained: &Trained, machines: &MachineSet, parts: &BTreeSet<ExportPart>) -> Result<()> {
    let id = trained.run.id();
    ensure!(
        trained.network.has_steps() || !parts.iter().any(|part| part.needs_steps()),
        "{id} is the record of samples alone, without trajectories; export samples or rates"
    );
    let kinds: Vec<_> = machines.machines().map(|machine| &machine.spec.kind).collect();
    ensure!(
        !parts.contains(&ExportPart::Provenance) || kinds.iter().any(|kind| kind.has_posterior()),
        "provenance is that of a machine which weighs training images or patches; name one with --machine, such as els (of {})",
        trained.machine_set.names().collect::<Vec<_>>().join(", ")
    );
    ensure!(
        !parts.contains(&ExportPart::Maps)
            || trained.network.config().attention.is_some()
            || kinds.iter().any(|kind| has_own_maps(kind)),
        "the network of {id} has no attention, and no machine with maps of its own is among --machine; leave out maps"
    );
    Ok(())
}

/// The noise seeds, and how many of them are the first for calibration: in a directory that `compare --external` reads those of
/// the run's calibration, on which it fits machines.
fn seeds(
    trained: &Trained,
    args: &ExportArgs,
    for_compare: bool,
) -> Result<(Vec<Range<u64>>, usize)> {
    let noise = &trained.noise;
    let n_held_out = trained.experiment.compare.seeds.min(noise.n_held_out());
    let asked = args.seeds.clone().unwrap_or(NoiseSeeds::held_out(n_held_out).range());
    ensure!(!asked.is_empty(), "--seeds names no seed");
    let wanted = trained.experiment.calibrate.seeds.map_or(0, std::num::NonZeroUsize::get);
    let calibration = NoiseSeeds::calibration(wanted.min(noise.n_calibration()));
    if !for_compare || calibration.is_empty() {
        return Ok((vec![asked], 0));
    }
    ensure!(
        asked.end <= calibration.first() || asked.start > calibration.last(),
        "--seeds {}..{} holds seeds of the calibration ({} to {}), with which the arrays in a directory begin; name a file, or other \
         seeds",
        asked.start,
        asked.end,
        calibration.first(),
        calibration.last()
    );
    Ok((vec![calibration.range(), asked], calibration.len()))
}

fn calibration(trained: &Trained, parts: &BTreeSet<ExportPart>) -> Result<Option<Calibration>> {
    if !parts.contains(&ExportPart::Calibration) {
        return Ok(None);
    }
    let found = Calibration::read(&trained.run.calibration_path())?;
    let id = trained.run.id();
    found
        .map(Some)
        .ok_or_else(|| anyhow!("{id} has no calibration; 'mosaic calibrate {id}' makes one"))
}

/// What is written.
struct Export<'a> {
    sampled: Sampled<'a>,
    parts: &'a BTreeSet<ExportPart>,
    /// There if it was asked for.
    calibration: Option<Calibration>,
}

impl Export<'_> {
    fn arrays(&self, path: &Path, format: FileFormat, stop: &AtomicBool) -> Result<()> {
        let trained = self.sampled.trained;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut spool = ArraySpool::new(folder.unwrap_or(Path::new(".")));
        spool.word("run", &trained.run.id());
        spool.word("step", &trained.step.to_string());
        spool.word("noise_seed", &trained.experiment.noise_seed.to_string());
        let writing = || format!("writing '{}'", path.display());
        if self.parts.contains(&ExportPart::Data) {
            arrays_of_run::write_data(&trained.dataset, &mut spool).with_context(writing)?;
        }
        if let Some(calibration) = &self.calibration {
            arrays_of_run::write_calibration(calibration, &mut spool).with_context(writing)?;
        }
        if self.parts.iter().any(|part| part.needs_sampling()) {
            let mut progress = self.progress();
            arrays_of_trajectories::write(
                &self.sampled,
                self.parts,
                &mut spool,
                stop,
                &mut progress,
            )
            .with_context(writing)?;
        }
        let (n, n_bytes) = (spool.names().count(), spool.n_bytes());
        spool.finish(format, &followed(path)).with_context(writing)?;
        errorln!("wrote {n} arrays, {:.2} MB, to '{}'", n_bytes as f64 / 1e6, path.display());
        Ok(())
    }

    fn table(&self, part: ExportPart, path: &Path, stop: &AtomicBool) -> Result<()> {
        let mut failed = None;
        let written = write_atomically_by(&followed(path), |file| {
            let mut out = BufWriter::new(file);
            // The cause may be another than that of writing.
            if let Err(error) = self.write_table(part, &mut out, stop) {
                failed = Some(error);
                return Err(std::io::ErrorKind::Other.into());
            }
            out.flush()
        });
        let written = match failed {
            Some(error) => Err(error),
            None => written.map_err(Into::into),
        };
        written.with_context(|| format!("writing '{}'", path.display()))?;
        errorln!("wrote '{}'", path.display());
        Ok(())
    }

    fn write_table(
        &self,
        part: ExportPart,
        out: &mut BufWriter<&mut File>,
        stop: &AtomicBool,
    ) -> Result<()> {
        let (sampled, mut progress) = (&self.sampled, self.progress());
        match (part, &self.calibration) {
            (ExportPart::Data, _) => Ok(tables::write_data(&sampled.trained.dataset, out)?),
            (ExportPart::Calibration, Some(calibration)) => {
                Ok(tables::write_calibration(calibration, out)?)
            }
            (ExportPart::Provenance, _) => {
                tables::write_provenance(sampled, out, stop, &mut progress)
            }
            (ExportPart::Rates, _) => tables::write_rates(sampled, out, stop, &mut progress),
            (part, _) => bail!("'{part}' is no table"),
        }
    }

    fn progress(&self) -> impl FnMut(usize) {
        let n = self.sampled.n_seeds();
        let bar = progress_bar::bar("sampling {wide_bar} {pos}/{len} noise seeds", n as u64);
        move |done| match &bar {
            Some(bar) => bar.set_position(done as u64),
            None => errorln!("{done} of {n} noise seeds"),
        }
    }
}

/// The file that a link leads to, so that the link stays.
fn followed(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Writes `external.toml`.
fn describe(
    paths: &LabPaths,
    trained: &Trained,
    folder: &Path,
    arrays: &Path,
    n_calibration: usize,
) -> Result<()> {
    let lab = paths.lab()?;
    let own = trained.experiment.name.to_string();
    let base = match lab.experiment(&own) {
        Ok(_) => own,
        Err(_) => lab.experiments.first().map_or(own, |first| first.name.to_string()),
    };
    let arrays = PathBuf::from(arrays.file_name().unwrap_or_default());
    let description = directory_for_compare::description(
        &trained.run.id(),
        &trained.experiment,
        &base,
        &arrays,
        n_calibration,
    );
    let path = folder.join(external_toml::FILE);
    write_output(&path, toml::to_string(&description)?.as_bytes())
        .with_context(|| format!("writing '{}'", path.display()))?;
    errorln!("'mosaic compare --external {}' compares them with theory", folder.display());
    Ok(())
}
