//! Shared by tests that run the real binary: a place for runs, a tiny experiment, and waiting.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use mosaic_lab::runs::launch_resume_kill_worker;
use mosaic_lab::runs::run_dir::RunDir;
use mosaic_lab::runs::runs_dir::RunsDir;

/// Takes a second or two, with attention, previews and a comparison.
pub const TINY: &[&str] = &[
    "training.steps=40",
    "training.batch=4",
    "training.warmup=5",
    "training.checkpoint_every=10",
    "dataset.n=16",
    "network.width=16",
    "network.head_width=4",
    "diffusion.sampling_steps=4",
    "preview.every=20",
    "preview.seeds=2",
    "compare.seeds=4",
    "compare.floor_draws=4",
    "calibrate.seeds=2",
];

/// A test that waits longer than this is considered hung.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Lab {
    pub place: tempfile::TempDir,
}

impl Lab {
    pub fn new() -> Self {
        Self { place: tempfile::tempdir().unwrap() }
    }

    pub fn runs(&self) -> PathBuf {
        self.place.path().join("runs")
    }

    pub fn mosaic(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_mosaic"))
            .args(arguments)
            .arg("--runs-dir")
            .arg(self.runs())
            .current_dir(self.place.path())
            .output()
            .unwrap()
    }

    pub fn run(&self, experiment: &str, settings: &[&str], flags: &[&str]) -> Output {
        let mut arguments = vec!["run", experiment];
        for setting in TINY.iter().chain(settings) {
            arguments.extend(["--set", setting]);
        }
        arguments.extend(flags);
        self.mosaic(&arguments)
    }

    /// Launches a run in the background and returns its directory.
    pub fn detach(&self, settings: &[&str]) -> RunDir {
        let output = self.run("glyphs-attention", settings, &["--detach"]);
        assert!(output.status.success(), "{}", stderr(&output));
        RunDir::open(self.runs().join(stdout(&output).trim()))
    }
}

impl Drop for Lab {
    /// Kills all workers, so that a failed test leaves none behind.
    fn drop(&mut self) {
        for run in RunsDir::new(self.runs()).list() {
            let _ = launch_resume_kill_worker::kill(&run.dir, true);
        }
    }
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
