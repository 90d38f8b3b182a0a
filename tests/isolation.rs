//! Commands affect only the run that they name: tested with two users, two PID namespaces, and copied,
//! hard-linked, moved and deleted directories.
//!
//! `MOSAIC_COMMANDS` requests more than the few commands of a normal test run, `MOSAIC_SEED` other ones.

#[path = "common/campaign.rs"]
mod campaign;
mod common;
#[path = "common/skip.rs"]
mod skip;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use campaign::number;
use common::{Lab, stderr, stdout, wait_for};
use mosaic_lab::random::{Purpose, stream};
use mosaic_lab::runs::process_identity::ProcessId;
use mosaic_lab::runs::run_dir::RunDir;
use mosaic_lab::runs::run_lock::{self, Lock};
use mosaic_lab::runs::status_json::RunState;
use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use skip::skip;

const ENDLESS: [&str; 3] =
    ["training.steps=1000000", "training.checkpoint_every=1000000", "preview.every=0"];
/// Another user of the computer; only root can switch to it.
const OTHER_USER: &str = "61004";

fn state(run: &RunDir) -> Option<RunState> {
    run.status().map(|status| status.state)
}

/// The user or container that runs a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Owner,
    OtherUser,
    InContainer,
}

/// State of a directory in the test's model.
#[derive(Clone, Debug, PartialEq)]
enum Kind {
    /// A live worker holds it.
    Live(ProcessId),
    /// No worker has it; metadata of its files.
    Idle(BTreeMap<PathBuf, (u64, i64, u32)>),
}

struct World {
    lab: Lab,
    random: ChaCha8Rng,
    can_become_others: bool,
    /// By directory name.
    runs: BTreeMap<String, Kind>,
    n_names: usize,
}

/// Size, modification time and checksum of every file under `folder`.
fn files(folder: &Path) -> BTreeMap<PathBuf, (u64, i64, u32)> {
    let mut found = BTreeMap::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let data = fs::symlink_metadata(entry.path()).unwrap();
            // Reading the lock creates this file, as may a worker that was refused.
            if entry.file_name() == ".worker.lock" {
                continue;
            }
            if data.is_dir() {
                pending.push(entry.path());
            } else {
                let sum = match data.is_file() {
                    true => crc32fast::hash(&fs::read(entry.path()).unwrap()),
                    false => 0,
                };
                found.insert(entry.path(), (data.size(), data.mtime_nsec() + data.mtime(), sum));
            }
        }
    }
    found
}

impl World {
    fn new() -> Self {
        let lab = Lab::new();
        fs::set_permissions(lab.place.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut probe = Command::new("setpriv");
        let probe = probe.args(["--reuid", OTHER_USER, "--clear-groups", "unshare", "--version"]);
        let can_become_others =
            probe.output().is_ok_and(|output| output.status.success()) && in_container("true");
        if !can_become_others {
            skip("other users and containers", "becoming one needs the superuser");
        }
        let random = stream(number("MOSAIC_SEED", 1) as u64, Purpose::Subset, 1);
        Self { lab, random, can_become_others, runs: BTreeMap::new(), n_names: 0 }
    }

    fn dir(&self, name: &str) -> RunDir {
        RunDir::open(self.lab.runs().join(name))
    }

    /// Launches a run with a worker.
    fn launch(&mut self) {
        let run = self.lab.detach(&ENDLESS);
        wait_for("training", || state(&run) == Some(RunState::Training));
        self.runs.insert(run.id(), Kind::Live(run.status().unwrap().worker));
    }

    /// Updates the model of a run that a command named.
    fn look_again(&mut self, name: &str) {
        let run = self.dir(name);
        self.runs.remove(name);
        if !run.path().exists() {
            return;
        }
        // A worker's final report comes before it releases the lock.
        wait_for("a decision", || match run_lock::look(run.path()) {
            Lock::Held => run.health().is_at_work() && state(&run) != Some(RunState::Starting),
            Lock::Free | Lock::Refused => true,
        });
        let kind = match run.health().is_at_work() {
            true => Kind::Live(run.status().unwrap().worker),
            false => Kind::Idle(files(run.path())),
        };
        self.runs.insert(name.to_owned(), kind);
    }

    /// Checks that every run except `named` is unchanged.
    fn check_others(&self, named: &str, what: &str) {
        for (name, kind) in self.runs.iter().filter(|(name, _)| *name != named) {
            let run = self.dir(name);
            match kind {
                Kind::Live(worker) => {
                    let log = || fs::read_to_string(run.log_path()).unwrap_or_default();
                    let message = || run.status().and_then(|status| status.message);
                    assert!(
                        worker.pid_here().is_some(),
                        "{what}: the worker of {name} is gone: {:?}, {}",
                        message(),
                        log()
                    );
                    assert!(run.health().is_at_work(), "{what}: {name} looks {:?}", run.health());
                    let status = run.status().unwrap();
                    assert_eq!(status.state, RunState::Training, "{what}: {name} was steered");
                    assert_eq!(status.worker, *worker, "{what}: {name} has another worker");
                }
                Kind::Idle(before) => {
                    assert_eq!(files(run.path()), *before, "{what}: files of {name} changed");
                }
            }
        }
    }

    fn mosaic(&mut self, who: Who, arguments: &[&str]) -> Output {
        let program = env!("CARGO_BIN_EXE_mosaic");
        let mut command = match who {
            Who::Owner => Command::new(program),
            Who::OtherUser => {
                let mut command = Command::new("setpriv");
                command
                    .args(["--reuid", OTHER_USER, "--regid", OTHER_USER, "--clear-groups"])
                    .arg(program);
                command
            }
            Who::InContainer => {
                let mut command = Command::new("unshare");
                command.args(["--pid", "--fork", "--mount-proc"]).arg(program);
                command
            }
        };
        command.args(arguments).arg("--runs-dir").arg(self.lab.runs());
        command.current_dir(self.lab.place.path()).output().unwrap()
    }

    /// Runs one random command and checks its permitted and forbidden effects.
    fn step(&mut self) {
        let names: Vec<String> = self.runs.keys().cloned().collect();
        let name = names.choose(&mut self.random).unwrap().clone();
        let is_live = matches!(self.runs[&name], Kind::Live(_));
        match self.random.random_range(0..10) {
            0..2 if self.runs.len() < 7 => return self.copy(&name),
            2 if !is_live => return self.move_by_hand(&name),
            _ => {}
        }
        let who = match self.can_become_others {
            true => *[Who::Owner, Who::Owner, Who::OtherUser, Who::InContainer]
                .choose(&mut self.random)
                .unwrap(),
            false => Who::Owner,
        };
        // Live originals are controlled only now and then, so that some remain to be protected.
        let commands: &[&[&str]] = match is_live && self.random.random_range(0..8) > 0 {
            true => &[
                &["ls"],
                &["logs", "@"],
                &["rm", "@"],
                &["rename", "@", "other"],
                &["resume", "@"],
                &["report", "@"],
            ],
            false => &[
                &["stop", "@"],
                &["kill", "@"],
                &["kill", "@", "--force"],
                &["pause", "@"],
                &["rm", "@"],
                &["rename", "@", "other"],
                &["note", "@", "seen"],
                &["resume", "@"],
                &["logs", "@"],
                &["stop", "@", "--force"],
            ],
        };
        let chosen = *commands.choose(&mut self.random).unwrap();
        // A worker started in a container ends with it.
        if chosen[0] == "resume" && who == Who::InContainer {
            return;
        }
        let arguments: Vec<&str> =
            chosen.iter().map(|word| if *word == "@" { name.as_str() } else { word }).collect();
        let output = self.mosaic(who, &arguments);
        let what = format!("{who:?}: {arguments:?}: {}{}", stdout(&output), stderr(&output));
        assert!(!stderr(&output).contains("panicked"), "{what}");
        if chosen[0] == "stop" && output.status.success() {
            let run = self.dir(&name);
            wait_for("the stop", || !run.health().is_at_work());
        }
        if chosen[0] == "pause" && output.status.success() {
            let run = self.dir(&name);
            wait_for("the pause", || state(&run) == Some(RunState::Paused));
            assert!(self.lab.mosaic(&["resume", &name, "--force"]).status.success());
            wait_for("going on", || state(&run) == Some(RunState::Training));
        }
        if who == Who::OtherUser {
            assert!(chosen[0] == "ls" || !output.status.success(), "{what}: it is not theirs");
            self.check_others("", &what);
            return;
        }
        self.check_others(&name, &what);
        if chosen[0] == "rename" && output.status.success() {
            self.runs.remove(&name);
            let new = stdout(&output).trim().rsplit(' ').next().unwrap().to_owned();
            self.look_again(&new);
        } else {
            self.look_again(&name);
        }
        if !self.runs.values().any(|kind| matches!(kind, Kind::Live(_))) {
            self.launch();
        }
    }

    fn new_name(&mut self) -> String {
        self.n_names += 1;
        format!("by-hand-{}", self.n_names)
    }

    /// Copies a run as users do: with separate files, or as hard links.
    fn copy(&mut self, name: &str) {
        let to = self.new_name();
        let flag = *["-a", "-al"].choose(&mut self.random).unwrap();
        let mut copy = Command::new("cp");
        // A file that the worker replaces meanwhile may be missed.
        copy.arg(flag).arg(self.dir(name).path()).arg(self.dir(&to).path()).output().unwrap();
        let copied = self.dir(&to);
        if !copied.run_toml_path().is_file() {
            return;
        }
        // The log of a live run keeps growing, and a linked copy shares it until it is resumed; its own files
        // are recorded then.
        let is_live = matches!(self.runs[name], Kind::Live(_));
        if flag == "-al" && is_live {
            for file in [copied.events_path(), copied.log_path()] {
                let held = fs::read(&file).unwrap();
                fs::remove_file(&file).unwrap();
                fs::write(&file, held).unwrap();
            }
        }
        assert!(!copied.health().is_at_work(), "a copy has no worker");
        self.runs.insert(to.clone(), Kind::Idle(files(copied.path())));
        self.check_others(&to, &format!("cp {flag}"));
    }

    fn move_by_hand(&mut self, name: &str) {
        let to = self.new_name();
        fs::rename(self.dir(name).path(), self.dir(&to).path()).unwrap();
        self.runs.remove(name);
        self.look_again(&to);
        self.check_others(&to, "mv");
    }
}

fn in_container(program: &str) -> bool {
    let mut command = Command::new("unshare");
    let command = command.args(["--pid", "--fork", "--mount-proc", program]);
    command.output().is_ok_and(|output| output.status.success())
}

#[test]
fn no_command_touches_a_process_or_a_file_of_another_run() {
    let mut world = World::new();
    (0..2).for_each(|_| world.launch());
    for _ in 0..number("MOSAIC_COMMANDS", 40) {
        world.step();
    }
}

#[test]
fn a_run_whose_directory_is_moved_stops_there_and_one_that_is_deleted_writes_nothing() {
    let lab = Lab::new();
    let run = lab.detach(&ENDLESS);
    wait_for("training", || state(&run) == Some(RunState::Training));
    let worker = run.status().unwrap().worker;
    // Another run takes its name immediately.
    let moved = RunDir::open(lab.runs().join("moved"));
    let other = lab.runs().join("other");
    fs::create_dir(&other).unwrap();
    fs::copy(run.run_toml_path(), other.join("run.toml")).unwrap();
    fs::rename(run.path(), moved.path()).unwrap();
    fs::rename(&other, run.path()).unwrap();
    wait_for("the end", || !worker.is_running());
    assert_eq!(state(&moved), Some(RunState::Stopped));
    let message = moved.status().unwrap().message.unwrap();
    assert!(message.contains("was moved to") && message.contains("resume moved"), "{message}");
    assert_eq!(files(run.path()).len(), 1, "something was written into the other run");
    fs::remove_dir_all(run.path()).unwrap();
    assert!(lab.mosaic(&["resume", "moved"]).status.success());
    wait_for("training", || state(&moved) == Some(RunState::Training));
    let worker = moved.status().unwrap().worker;
    // While its files are removed, the worker may write another one.
    wait_for("its removal", || fs::remove_dir_all(moved.path()).is_ok() || !moved.path().exists());
    wait_for("the end", || !worker.is_running());
    assert!(!moved.path().exists(), "it came back");
}

#[test]
fn a_description_that_is_away_for_a_moment_ends_nothing_and_one_that_stays_away_loses_nothing() {
    let lab = Lab::new();
    let run = lab.detach(&ENDLESS);
    wait_for("training", || state(&run) == Some(RunState::Training));
    let worker = run.status().unwrap().worker;
    let aside = run.path().join("aside");
    fs::rename(run.run_toml_path(), &aside).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1500));
    fs::rename(&aside, run.run_toml_path()).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert_eq!((state(&run), worker.is_running()), (Some(RunState::Training), true));
    fs::rename(run.run_toml_path(), &aside).unwrap();
    wait_for("the end", || !worker.is_running());
    let status = run.status().unwrap();
    assert_eq!(status.state, RunState::Stopped);
    assert!(status.message.unwrap().contains("restore it"));
    fs::rename(&aside, run.run_toml_path()).unwrap();
    assert!(lab.mosaic(&["resume", &run.id()]).status.success());
    wait_for("training", || state(&run) == Some(RunState::Training));
}

#[test]
fn a_worker_whose_status_is_gone_can_be_killed() {
    let lab = Lab::new();
    let run = lab.detach(&ENDLESS);
    wait_for("training", || state(&run) == Some(RunState::Training));
    let worker = run.status().unwrap().worker;
    let stopped = Command::new("kill").args(["-STOP", &worker.pid.to_string()]).status();
    assert!(stopped.unwrap().success());
    fs::remove_file(run.status_path()).unwrap();
    let killed = lab.mosaic(&["kill", &run.id()]);
    assert!(killed.status.success(), "{}", stderr(&killed));
    assert!(!worker.is_running());
}

#[test]
fn a_follower_says_that_its_run_was_moved_whatever_took_its_place() {
    let lab = Lab::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mosaic"));
    command.args(["run", "glyphs-attention", "--runs-dir"]).arg(lab.runs());
    for setting in common::TINY.iter().chain(&ENDLESS) {
        command.args(["--set", setting]);
    }
    command.current_dir(lab.place.path()).stderr(std::process::Stdio::piped());
    let child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    let runs = mosaic_lab::runs::runs_dir::RunsDir::new(lab.runs());
    wait_for("training", || {
        runs.list().first().is_some_and(|run| state(&run.dir) == Some(RunState::Training))
    });
    let run = runs.list().remove(0).dir;
    let aside = RunDir::open(lab.runs().join("aside"));
    fs::rename(run.path(), aside.path()).unwrap();
    fs::create_dir(run.path()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(stderr(&output).contains("was moved or deleted"), "{}", stderr(&output));
    wait_for("the end", || state(&aside) == Some(RunState::Stopped));
}
