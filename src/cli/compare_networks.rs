//! `compare --with`: networks of runs against each other, without machines.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};

use crate::evaluation::network_and_machines_of_run::Trained;
use crate::evaluation::networks::network_against_network::compare_networks;
use crate::runs::runs_dir::RunSummary;
use crate::{console, errorln};

/// What is compared, and how.
pub struct NetworksRequest<'a> {
    pub runs: &'a [RunSummary],
    pub n_seeds: usize,
    pub settings: &'a [String],
    /// Folder of the files; `None`: the first run's report.
    pub out: Option<&'a Path>,
    pub json: bool,
}

/// Compares the networks, writes the files and prints the page or the JSON.
///
/// # Errors
///
/// If a run cannot be opened, the networks cannot be compared, or a file cannot be written.
pub fn run(request: &NetworksRequest<'_>, stop: &AtomicBool) -> Result<()> {
    let runs = request.runs;
    for (i, run) in runs.iter().enumerate() {
        if runs[..i].iter().any(|other| other.id == run.id) {
            bail!("run {} is named twice; name two different runs", run.id);
        }
    }
    // Machines have no part in this; any one will do.
    let settings: Vec<String> =
        request.settings.iter().cloned().chain(["theory.machines=ideal".to_owned()]).collect();
    let open = |run: &RunSummary| Trained::open(&run.dir, &settings);
    let all = runs.iter().map(open).collect::<Result<Vec<Trained>>>()?;
    let mut progress = |done, n| errorln!("{done} of {n} held-out seeds");
    let found = compare_networks(&all, request.n_seeds, stop, &mut progress)
        .context("comparing networks with each other")?;
    let folder = match request.out {
        Some(out) => out.to_owned(),
        None => runs[0].dir.report_path(),
    };
    found.write(&folder)?;
    match request.json {
        true => writeln!(console::stdout(), "{}", found.to_json())?,
        false => write!(console::stdout(), "{}", found.page())?,
    }
    errorln!("these figures are in '{}' (networks.*)", folder.display());
    Ok(())
}
