//! `doctor`: reports what this computer and terminal support, and how to fix problems.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::lab_and_runs_dir_options::LabPaths;
use crate::config::lab_settings::{ColourChoice, ImageChoice};
use crate::console;
use crate::console::terminal_abilities;
use crate::evaluation::choose_gpu_or_cpu;
use crate::hardware::device_request::DeviceRequest;
use crate::hardware::system_load::{Gpu, Monitor, Used};
use crate::simd::bf16::Bf16Instructions;
use crate::tui::colour_theme::Background;
use crate::tui::multiplexer::Multiplexer;
use crate::tui::number_and_text_format::bytes;
use crate::tui::pictures::Depth;
use crate::tui::terminal_probe::{ProbedTerminal, Wish, probe_once};

/// Free disk space in bytes below which checkpoints and previews soon fill the disk.
const LITTLE_DISK: u64 = 2 << 30;
/// Interval long enough for a meaningful CPU share.
const LOOK: Duration = Duration::from_millis(250);

#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// Print the findings as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Good,
    /// It works, with limitations.
    Fair,
    /// A requested feature does not work.
    Bad,
}

#[derive(Clone, Debug, Serialize)]
struct Finding {
    about: &'static str,
    verdict: Verdict,
    found: String,
    /// How to fix the problem, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Finding {
    fn good(about: &'static str, found: impl Into<String>) -> Self {
        Self { about, verdict: Verdict::Good, found: found.into(), remedy: None }
    }

    fn fair(about: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        let remedy = Some(remedy.into());
        Self { about, verdict: Verdict::Fair, found: found.into(), remedy }
    }

    fn bad(about: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Bad, ..Self::fair(about, found, remedy) }
    }
}

/// Runs all checks and prints the findings; `false` if a requested feature does not work.
pub fn run(paths: &LabPaths, args: &DoctorArgs) -> Result<bool> {
    let mut findings = vec![Finding::good("version", version())];
    let lab = paths.lab();
    let settings = lab.as_ref().map(|lab| lab.settings.clone());
    findings.push(match &lab {
        Ok(lab) => {
            let n = lab.experiments.len();
            let init = "('mosaic init' writes it to ./lab.toml)";
            let built_in = format!("the built-in one, {n} experiments {init}");
            let of_path = |path: &PathBuf| format!("'{}', {n} experiments", path.display());
            Finding::good("lab file", lab.path.as_ref().map_or(built_in, of_path))
        }
        Err(error) => {
            let remedy = "fix the line named above, or move the file away";
            Finding::bad("lab file", format!("{error:#}"), remedy)
        }
    });
    let n_before = findings.len();
    let runs = paths.runs().map(|runs| runs.path().to_owned()).unwrap_or_else(|_| ".".into());
    let mut monitor = Monitor::new(&runs);
    monitor.read(None);
    std::thread::sleep(LOOK);
    let reading = monitor.read(None);
    findings.push(Finding::good(
        "processors",
        format!(
            "{}, {} busy; mosaic uses {} threads (RAYON_NUM_THREADS sets them); \
             training.compute_type 'bf16' {} on them",
            reading.n_cpus,
            reading.cpu_percent.map_or("n/a".to_owned(), |percent| format!("{percent:.0}%")),
            rayon::current_num_threads(),
            if Bf16Instructions::detect().is_ok() { "works" } else { "does not work" }
        ),
    ));
    findings.push(match reading.memory {
        Some(memory) => Finding::good("memory", free(memory)),
        None => Finding::fair("memory", "n/a", "nothing; only the dashboard's figure is missing"),
    });
    findings.push(disk(&runs, reading.disk.map(|disk| disk.left())));
    match &reading.gpus {
        Ok(gpus) => findings.extend(gpus.iter().map(gpu)),
        Err(why) => findings.push(Finding::good("gpu", why.clone())),
    }
    let wanted = settings.as_ref().map_or(&DeviceRequest::Auto, |settings| &settings.device);
    findings.push(opened(wanted, reading.gpus.is_ok()));
    // Queried last: late answers are awaited after everything has been printed.
    let images = settings.as_ref().map_or(ImageChoice::Auto, |settings| settings.images);
    let (of_terminal, _asked) = terminal(images);
    findings.splice(n_before..n_before, of_terminal);
    if args.json {
        writeln!(console::stdout(), "{:#}", serde_json::to_value(&findings)?)?;
    } else {
        findings.iter().try_for_each(say)?;
    }
    Ok(findings.iter().all(|finding| finding.verdict != Verdict::Bad))
}

fn say(finding: &Finding) -> io::Result<()> {
    let mark = match finding.verdict {
        Verdict::Good => "ok  ",
        Verdict::Fair => "fair",
        Verdict::Bad => "BAD ",
    };
    let mut out = console::stdout();
    // A name with a line feed must not look like a separate finding.
    let within = |words: &str| words.replace('\n', &format!("\n{:18}", ""));
    writeln!(out, "{mark}  {:<11} {}", finding.about, within(&finding.found))?;
    match &finding.remedy {
        Some(remedy) => writeln!(out, "{:18}-> {}", "", within(remedy)),
        None => Ok(()),
    }
}

fn version() -> String {
    let features = match (cfg!(feature = "cuda"), cfg!(feature = "cudnn")) {
        (_, true) => "built with CUDA and cuDNN",
        (true, false) => "built with CUDA",
        (false, false) => "built for the CPU alone",
    };
    format!("mosaic {}, {features}", env!("CARGO_PKG_VERSION"))
}

/// Capabilities of the terminal, and the terminal itself if it was queried.
fn terminal(images: ImageChoice) -> (Vec<Finding>, Option<ProbedTerminal>) {
    let name = env::var("TERM").unwrap_or_else(|_| "unknown".to_owned());
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        let found = "stdin or stdout is not a terminal: pictures and colours cannot be checked";
        return (vec![Finding::good("terminal", found)], None);
    }
    let inside = Multiplexer::of(|name| env::var(name).ok())
        .map_or_else(String::new, |inside| format!(" inside {}", inside.name()));
    let locale = locale();
    if let Some(lack) = terminal_abilities::lack_of_screen() {
        let found = format!("'{name}'{inside}; no dashboard and no pictures: {lack}");
        let remedy = "commands still work ('mosaic --help'); progress is printed as lines";
        return (vec![Finding::fair("terminal", found, remedy), locale], None);
    }
    let size = ratatui::crossterm::terminal::size();
    let mut findings = vec![match size {
        Ok((width, height)) if width < 60 || height < 16 => Finding::fair(
            "terminal",
            format!("{name}{inside}, {width}x{height}"),
            "the dashboard shows only words below 60x16, one panel below 100x30",
        ),
        Ok((width, height)) => {
            Finding::good("terminal", format!("{name}{inside}, {width}x{height}"))
        }
        Err(error) => {
            let found = format!("{name}{inside}, size unknown: {error}");
            Finding::fair("terminal", found, "try another terminal")
        }
    }];
    findings.push(locale);
    findings.push(match Depth::new(ColourChoice::Auto) {
        Depth::Truecolour => Finding::good("colours", "24 bits"),
        Depth::Sixteen => Finding::fair(
            "colours",
            "16: $TERM names a terminal with no more",
            "if your terminal can do more: export TERM=xterm-256color, or colours = \"256\" under [lab] in lab.toml",
        ),
        Depth::Palette => Finding::fair(
            "colours",
            "256: $COLORTERM does not say more",
            "if your terminal can do more: export COLORTERM=truecolor (ssh does not forward it by default)",
        ),
    });
    let (found, asked) = probe_once(&Wish { pictures: images, background: true, cell: false });
    findings.push(match found.answers.background {
        Some(Background::Dark) => Finding::good("background", "dark"),
        Some(Background::Light) => Finding::good("background", "light"),
        None => Finding::fair(
            "background",
            "the terminal does not say; dark is assumed",
            "if it is light: theme = \"light\" under [lab] in lab.toml",
        ),
    });
    let ways: Vec<&str> = found.available.iter().map(|one| one.name()).collect();
    let words = format!("{} (of {}; images = '{images}')", found.protocol.name(), ways.join(", "));
    findings.push(match found.note {
        Some(note) => Finding::fair("pictures", words, note),
        None => Finding::good("pictures", words),
    });
    (findings, Some(asked))
}

/// The encoding selected by the locale.
fn locale() -> Finding {
    match terminal_abilities::other_locale() {
        None => Finding::good("locale", "UTF-8"),
        Some(locale) => Finding::fair(
            "locale",
            format!("{locale}, not UTF-8: no dashboard, and text in ASCII"),
            "if the terminal shows UTF-8: export LC_ALL=C.UTF-8",
        ),
    }
}

fn disk(runs: &Path, left: Option<u64>) -> Finding {
    let shown = runs.display();
    // Runs would be created below the nearest existing folder.
    let there = runs.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
    if let Err(error) = tempfile_in(there) {
        let remedy = "choose another place with --runs-dir, or runs_dir in lab.toml";
        return Finding::bad("runs", format!("'{shown}' cannot be written: {error}"), remedy);
    }
    match left {
        Some(left) if left < LITTLE_DISK => Finding::fair(
            "runs",
            format!("'{shown}', {} left", bytes(left)),
            "free some space: runs pause on a full disk and continue when there is space",
        ),
        Some(left) => Finding::good("runs", format!("'{shown}', {} left", bytes(left))),
        None => Finding::good("runs", format!("'{shown}'")),
    }
}

/// Creates a file in `folder` and deletes it again.
fn tempfile_in(folder: &Path) -> io::Result<()> {
    let path = folder.join(format!(".mosaic-doctor-{}", std::process::id()));
    std::fs::write(&path, b"x").and_then(|()| std::fs::remove_file(&path))
}

fn free(memory: Used) -> String {
    format!("{} free of {}", bytes(memory.left()), bytes(memory.total))
}

fn gpu(gpu: &Gpu) -> Finding {
    let memory = gpu.memory.map_or("memory n/a".to_owned(), free);
    let parts = match gpu.parts.len() {
        0 => String::new(),
        n => format!(", cut into {n} MIG instances"),
    };
    Finding::good("gpu", format!("{}, {memory}{parts}", gpu.name))
}

fn opened(request: &DeviceRequest, has_gpu: bool) -> Finding {
    let about = "device";
    match choose_gpu_or_cpu::open(request, |_| {}).map(|opened| opened.words) {
        Ok(words) if has_gpu && !cfg!(feature = "cuda") => Finding::fair(
            about,
            format!("{words}, though there is a GPU"),
            "build with CUDA: cargo build --release --features cuda (docs/gpu.md)",
        ),
        Ok(words) => Finding::good(about, format!("{words} (device = '{request}')")),
        Err(error) => {
            Finding::bad(about, format!("{error:#}"), "device = 'cpu' in lab.toml works everywhere")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_cannot_be_written_is_bad_and_says_what_to_do() {
        let found = disk(std::path::Path::new("/proc/mosaic"), Some(1 << 40));
        assert_eq!(found.verdict, Verdict::Bad);
        assert!(found.remedy.unwrap().contains("--runs-dir"));
        let place = tempfile::tempdir().unwrap();
        assert_eq!(disk(&place.path().join("new"), Some(1 << 40)).verdict, Verdict::Good);
        assert_eq!(disk(place.path(), Some(1 << 20)).verdict, Verdict::Fair);
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_unknown_device_is_bad() {
        assert_eq!(opened(&DeviceRequest::Cuda(vec![99]), false).verdict, Verdict::Bad);
        assert_eq!(opened(&DeviceRequest::Cpu, false).verdict, Verdict::Good);
    }
}
