//! `data fetch`: the files of a well-known data set, from the web, a mirror or a directory, checked by SHA-256.

use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::data_fetch_lab_lines::{lab_lines, users};
use super::data_fetch_listing::{self, explain_by_hand};
use super::data_fetch_progress::FileProgress;
use super::exit_codes::STOPPED;
use super::lab_and_runs_dir_options::LabPaths;
use crate::dataset::published_sets::{self, PublishedFile, PublishedSet, PublishedSets};
use crate::download::proxy_settings::ProxySettings;
use crate::download::{
    DownloadError, Existing, FailureKind, Found, Outcome, Source, TransferSettings, WantedFile,
    fetch,
};
use crate::files::make_folder;
use crate::runs::catch_signals::{self, Signals, Terminal};
use crate::{console, errorln};

#[derive(Clone, Debug, Args)]
pub struct FetchArgs {
    /// A data set; --list shows them.
    #[arg(required_unless_present = "list")]
    pub name: Option<String>,
    /// Directory for its files [default: datasets/NAME beside the lab file].
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// Take the files from here instead: the URL of a directory (a mirror), file:///DIR, or a directory.
    #[arg(long, value_name = "URL|DIR")]
    pub from: Option<String>,
    /// List the data sets, or with NAME its files with their URLs and checksums; nothing is fetched.
    #[arg(long)]
    pub list: bool,
    /// A list of data sets instead of the built-in one, in the same form (src/dataset/published_sets.toml).
    #[arg(long, value_name = "FILE")]
    pub sets: Option<PathBuf>,
    /// Replace other files of the same names.
    #[arg(long)]
    pub force: bool,
    /// Attempts in a row that bring next to nothing before a source is given up.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub tries: u32,
    /// Seconds without a byte before a connection is given up.
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = seconds)]
    pub stall: f64,
}

impl FetchArgs {
    fn settings(&self) -> TransferSettings {
        TransferSettings {
            n_tries: self.tries,
            stall: Duration::from_secs_f64(self.stall),
            proxies: ProxySettings::of_environment(),
            ..TransferSettings::default()
        }
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "it is no number".to_owned())?;
    (0.1..=86_400.0).contains(&seconds).then_some(seconds).ok_or("give 0.1 to 86400".to_owned())
}

/// Fetches a data set, or lists what can be fetched.
///
/// # Errors
///
/// If the name is not in the list, if the directory cannot be made, if signals cannot be caught, or if a file cannot be
/// fetched.
pub fn run(paths: &LabPaths, args: &FetchArgs) -> Result<ExitCode> {
    let own = args.sets.as_deref().map(own_list).transpose()?;
    let sets = own.as_ref().unwrap_or(published_sets::all());
    let set = args.name.as_deref().map(|name| data_fetch_listing::find(sets, name)).transpose()?;
    let Some(set) = set.filter(|_| !args.list) else {
        match set {
            Some(set) => data_fetch_listing::describe(set)?,
            None => data_fetch_listing::list(sets)?,
        }
        return Ok(ExitCode::SUCCESS);
    };
    let root = lab_root(paths);
    let folder = args.to.clone().unwrap_or_else(|| root.join(published_sets::folder_of(set)));
    let folder = std::path::absolute(&folder)
        .with_context(|| format!("finding the directory '{}'", folder.display()))?;
    if folder.to_str().is_none() {
        bail!(
            "'{}' is not UTF-8, so that lab.toml could not name it; choose another --to",
            folder.display()
        );
    }
    let sources =
        set.files.iter().map(|file| sources(set, file, args)).collect::<Result<Vec<_>>>()?;
    let settings = args.settings();
    let signals = catch_signals::catch(Terminal::Ends).context("listening for signals")?;
    make_folder(&folder)
        .with_context(|| format!("making the directory '{}' for {}", folder.display(), set.name))?;
    for (file, sources) in set.files.iter().zip(&sources) {
        let existing = if args.force { Existing::Replace } else { Existing::Keep };
        let fetched = fetch_one(file, &folder, sources, existing, &settings, &signals);
        match fetched {
            Ok(Outcome::Stopped { n_bytes }) => {
                let (name, length) = (&file.name, file.bytes);
                let by = signals.name().unwrap_or_else(|| "a signal".to_owned());
                errorln!(
                    "stopped by {by} at {n_bytes} of the {length} bytes of '{name}'; the same command goes on from there"
                );
                return Ok(ExitCode::from(STOPPED));
            }
            Ok(Outcome::WasThere | Outcome::Fetched) => {}
            Err(error) => {
                advise(&error, set, &folder, args, &settings);
                let place = folder.display();
                return Err(error).with_context(|| {
                    format!("fetching '{}' of {} to '{place}'", file.name, set.name)
                });
            }
        }
    }
    print_use(paths, set, &folder, &root)?;
    Ok(ExitCode::SUCCESS)
}

/// Reads `--sets`.
fn own_list(path: &Path) -> Result<PublishedSets> {
    let reading = || format!("reading the list of data sets '{}'", path.display());
    let text = fs::read_to_string(path).with_context(reading)?;
    published_sets::parse(&text).with_context(reading)
}

/// Fetches one file, and says what became of it.
fn fetch_one(
    file: &PublishedFile,
    folder: &Path,
    sources: &[Source],
    existing: Existing,
    settings: &TransferSettings,
    signals: &Signals,
) -> Result<Outcome, DownloadError> {
    let wanted = wanted(file, folder);
    let mut progress = FileProgress::new(&file.name, file.bytes);
    let mut report = |event: crate::download::Event<'_>| progress.show(&event);
    let outcome = fetch(&wanted, sources, existing, settings, &signals.stop, &mut report)?;
    drop(progress);
    match &outcome {
        Outcome::WasThere => errorln!("{}: is there, with the right checksum", file.name),
        Outcome::Fetched => errorln!("{}: fetched, with the right checksum", file.name),
        Outcome::Stopped { .. } => {}
    }
    Ok(outcome)
}

fn wanted(file: &PublishedFile, folder: &Path) -> WantedFile {
    let (path, sha256) = (folder.join(&file.name), file.sha256.clone());
    WantedFile { path, length: file.bytes, sha256 }
}

/// The files of a set that are not there.
fn missing<'a>(set: &'a PublishedSet, folder: &Path) -> Vec<&'a PublishedFile> {
    let is_missing = |file: &&PublishedFile| {
        !wanted(file, folder).found().is_ok_and(|found| found == Found::Right)
    };
    set.files.iter().filter(is_missing).collect()
}

/// Says what may help if no source has a file.
fn advise(
    error: &DownloadError,
    set: &PublishedSet,
    folder: &Path,
    args: &FetchArgs,
    settings: &TransferSettings,
) {
    match error {
        _ if is_offline(error) && args.from.is_none() => {
            explain_by_hand(set, &missing(set, folder), folder, &settings.proxies);
        }
        DownloadError::NoSource { .. } => errorln!(
            "--from takes a mirror or a directory; 'mosaic data fetch {} --list' shows URLs and checksums",
            set.name
        ),
        _ => {}
    }
}

/// True if no source could be reached at all.
fn is_offline(error: &DownloadError) -> bool {
    match error {
        DownloadError::NoSource { failures } => {
            failures.iter().all(|(_, failure)| failure.kind == FailureKind::Unreachable)
        }
        _ => false,
    }
}

/// Where a file may come from: `--from`, or the URLs of the list.
fn sources(set: &PublishedSet, file: &PublishedFile, args: &FetchArgs) -> Result<Vec<Source>> {
    let names: Vec<&str> = set.files.iter().map(|file| &file.name[..]).collect();
    let parse = |base: &str, option: &str| {
        Source::in_directory(base, &file.name, &names)
            .map_err(|problem| anyhow::anyhow!("{option} '{base}' cannot be used: {problem}"))
    };
    match &args.from {
        Some(from) => Ok(vec![parse(from, "--from")?]),
        None => set.urls.iter().map(|url| parse(url, "the URL")).collect(),
    }
}

/// The directory from which relative paths in the lab file start, even if that file is invalid.
fn lab_root(paths: &LabPaths) -> PathBuf {
    let parent = paths.lab.as_deref().and_then(Path::parent);
    parent.filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

/// Prints an experiment that uses the set, and the ones that do already.
fn print_use(paths: &LabPaths, set: &PublishedSet, folder: &Path, root: &Path) -> Result<()> {
    let lab = paths
        .lab()
        .map_err(|error| errorln!("warning: the lab file cannot be read: {error:#}"))
        .ok();
    let mut words = String::new();
    let users = users(folder, lab.as_ref());
    if !users.is_empty() {
        let _ = writeln!(words, "# used by {}", users.join(", "));
    }
    words += &lab_lines(set, folder, root, lab.as_ref());
    errorln!("{} is in '{}'; an experiment for lab.toml:", set.name, folder.display());
    writeln!(console::stdout(), "{}", console::lines(&words))?;
    Ok(())
}
