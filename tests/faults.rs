//! Fault tolerance of runs: kills at any moment, while training or queued, and a disk that fills up.

mod common;
#[path = "common/run.rs"]
mod run;
#[path = "common/skip.rs"]
mod skip;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Lab, stderr, stdout, wait_for};
use mosaic_lab::random::{Purpose, stream};
use mosaic_lab::runs::alive_silent_or_lost::Health;
use mosaic_lab::runs::event::EventBody;
use mosaic_lab::runs::event_log::EventTail;
use mosaic_lab::runs::preview_files;
use mosaic_lab::runs::run_dir::RunDir;
use mosaic_lab::runs::status_json::RunState;
use mosaic_lab::training::checkpoint;
use rand::RngExt;
use run::{state, weights};
use skip::skip;

/// Writes a checkpoint every few hundredths of a second, so that kills interrupt some of them.
const SETTINGS: [&str; 4] = [
    "training.steps=600",
    "training.checkpoint_every=4",
    "preview.every=0",
    "theory.machines=[\"wiener\"]",
];

/// `MOSAIC_KILLS` requests more kills than the few of a normal test run.
fn n_kills() -> usize {
    std::env::var("MOSAIC_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(8)
}

/// The step of the newest intact checkpoint; 0 without one.
fn newest(run: &RunDir) -> u64 {
    let found = checkpoint::latest_valid(&run.state_path()).unwrap().found;
    found.map_or(0, |(place, _)| place.step)
}

fn kill_worker(run: &RunDir) {
    let pid = run.status().unwrap().worker.pid;
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    // The process may have ended by itself.
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

#[test]
fn random_kills_cost_no_more_than_the_steps_since_the_last_checkpoint() {
    let lab = Lab::new();
    let whole = lab.detach(&SETTINGS);
    wait_for("the uninterrupted run", || state(&whole) == Some(RunState::Finished));
    let mut random = stream(1, Purpose::Subset, 0);
    let (mut n_left, mut n_attempts) = (n_kills(), 0);
    while n_left > 0 {
        n_attempts += 1;
        let run = lab.detach(&SETTINGS);
        while n_left > 0 && state(&run) != Some(RunState::Finished) {
            wait_for("training", || {
                matches!(state(&run), Some(RunState::Training | RunState::Finished))
            });
            let reached = newest(&run);
            std::thread::sleep(Duration::from_millis(random.random_range(0..400)));
            kill_worker(&run);
            wait_for("the worker's end", || run.health() != Health::Alive);
            if state(&run) == Some(RunState::Finished) {
                break;
            }
            n_left -= 1;
            assert!(newest(&run) >= reached, "a kill lost a checkpoint");
            let resumed = lab.mosaic(&["resume", &run.id()]);
            assert!(resumed.status.success(), "{}", stderr(&resumed));
        }
        wait_for("the end", || state(&run) == Some(RunState::Finished));
        assert_eq!(weights(&run, 600), weights(&whole, 600), "attempt {n_attempts}");
    }
}

/// A file system of a few megabytes; only root can create one.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(at: &'a Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=6m", "none"]).arg(at);
        let is_mounted = mount.output().is_ok_and(|output| output.status.success());
        is_mounted.then_some(Self(at))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).output();
    }
}

#[test]
fn a_full_disk_pauses_the_run_until_there_is_space() {
    let lab = Lab::new();
    std::fs::create_dir(lab.runs()).unwrap();
    let runs = lab.runs();
    let Some(_disk) = SmallDisk::mount(&runs) else {
        skip("a full disk", "mounting a small one needs the superuser");
        return;
    };
    let run = lab.detach(&SETTINGS);
    wait_for("a checkpoint", || newest(&run) > 0);
    // Fills the remaining space to the last page.
    let filler = runs.join("filler");
    let mut size = 1 << 20;
    let mut junk = std::fs::File::create(&filler).unwrap();
    while size > 0 {
        if std::io::Write::write_all(&mut junk, &vec![0; size]).is_err() {
            size /= 2;
        }
    }
    drop(junk);
    wait_for("the pause", || {
        let status = run.status();
        status.is_some_and(|status| {
            status.state == RunState::Paused
                && status.message.is_some_and(|message| message.contains("the disk is full"))
        })
    });
    // A request made meanwhile is carried out later; there are no automatic previews here.
    let asked = lab.mosaic(&["preview", &run.id()]);
    assert!(asked.status.success(), "{}", stderr(&asked));
    let paused = Instant::now();
    while paused.elapsed() < Duration::from_secs(4) {
        assert_ne!(run.health(), Health::Lost, "the worker went on waiting");
        std::thread::sleep(Duration::from_millis(100));
    }
    let reached = run.status().unwrap().step;
    assert!(reached < 600, "the disk was filled too late to tell anything");
    assert!(preview_files::list(&run.previews_path()).is_empty());
    std::fs::remove_file(&filler).unwrap();
    wait_for("the end", || state(&run) == Some(RunState::Finished));
    assert_eq!(preview_files::list(&run.previews_path()).len(), 1, "the one that was asked for");
    let checkpoint = &checkpoint::list(&run.state_path()).unwrap()[0];
    assert_eq!(checkpoint.step, 600);
    checkpoint.load().unwrap();
}

/// Runs until it is stopped.
const ENDLESS: [&str; 2] = ["training.steps=1000000", "preview.every=0"];

#[test]
fn a_second_worker_refuses_a_run_and_the_first_goes_on_undisturbed() {
    let lab = Lab::new();
    let run = lab.detach(&ENDLESS);
    wait_for("training", || state(&run) == Some(RunState::Training));
    let first = run.status().unwrap().worker;
    let mut second = Command::new(env!("CARGO_BIN_EXE_mosaic"));
    let second = second.arg("worker").arg(run.path()).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let words = format!("run '{}' already has a worker; this one exits", run.id());
    assert!(stderr(&second).contains(&words), "{}", stderr(&second));
    // A command does not start a second worker either.
    let resumed = lab.mosaic(&["resume", &run.id()]);
    let words = format!("already has a worker (process {}); nothing to resume", first.pid);
    assert!(stderr(&resumed).contains(&words), "{}", stderr(&resumed));
    let step = run.status().unwrap().step;
    wait_for("further steps", || run.status().is_some_and(|status| status.step > step));
    assert_eq!((run.status().unwrap().worker, run.health()), (first, Health::Alive));
    let states = |run: &RunDir| {
        let events = EventTail::new(run.events_path()).poll().unwrap();
        events.iter().filter(|event| matches!(event.body, EventBody::State { .. })).count()
    };
    let before = states(&run);
    // It still replies, and obeys the stop.
    assert!(lab.mosaic(&["stop", &run.id()]).status.success());
    wait_for("the stop", || state(&run) == Some(RunState::Stopped));
    wait_for("the event of the stop", || states(&run) > before);
    assert_eq!(states(&run), before + 1, "the second one wrote of itself");
}

fn queued(lab: &Lab, settings: &[&str]) -> RunDir {
    let output = lab.run("glyphs-attention", settings, &["--detach", "--queue"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let run = RunDir::open(lab.runs().join(stdout(&output).trim()));
    wait_for("a place in the queue", || run.status().is_some());
    run
}

fn message(run: &RunDir) -> String {
    run.status().and_then(|status| status.message).unwrap_or_default()
}

#[test]
fn queued_runs_start_in_order_as_those_ahead_end_die_or_pause() {
    let lab = Lab::new();
    let first = lab.detach(&ENDLESS);
    wait_for("training", || state(&first) == Some(RunState::Training));
    let [second, third, fourth, fifth] = [0; 4].map(|_| queued(&lab, &ENDLESS));
    let last = queued(&lab, &ENDLESS);
    wait_for("the queue", || message(&last).contains("and 4 more"));
    // It says so between two looks at the queue, during which it waits for the lock of the queue.
    let words = format!("waiting for {}", first.id());
    wait_for("the second to name the first", || message(&second) == words);
    let only = |at_work: &RunDir, waiting: &[&RunDir]| {
        wait_for("its turn", || state(at_work) == Some(RunState::Training));
        // No other run has started with it.
        assert!(waiting.iter().all(|run| state(run) == Some(RunState::Queued)));
    };

    // A stop, a kill while training, a kill while queued and a pause each let the next run start.
    let paused = lab.mosaic(&["pause", &second.id()]);
    assert!(stderr(&paused).contains("the run is queued"), "{}", stderr(&paused));
    assert!(lab.mosaic(&["stop", &first.id()]).status.success());
    only(&second, &[&third, &fourth, &fifth, &last]);
    assert!(lab.mosaic(&["kill", &third.id()]).status.success());
    wait_for("the loss of the third", || third.health() == Health::Lost);
    assert!(lab.mosaic(&["kill", &second.id()]).status.success());
    only(&fourth, &[&fifth, &last]);
    assert!(lab.mosaic(&["pause", &fourth.id()]).status.success());
    only(&fifth, &[&last]);
    assert_eq!(state(&fourth), Some(RunState::Paused));

    // A lost run takes its old place in the queue again, ahead of the last.
    assert!(lab.mosaic(&["resume", &third.id()]).status.success());
    wait_for("its new worker", || third.health() == Health::Alive && third.socket_path().exists());
    wait_for("the last to see it", || message(&last).contains("and 1 more"));
    assert!(lab.mosaic(&["stop", &third.id()]).status.success());
    wait_for("the way out of the queue", || state(&third) == Some(RunState::Stopped));

    // On request, a queued run starts next to the active one.
    assert!(lab.mosaic(&["resume", &last.id()]).status.success());
    wait_for("the last at work", || state(&last) == Some(RunState::Training));
    assert_eq!(state(&fifth), Some(RunState::Training));
    for run in [&fourth, &fifth, &last] {
        assert!(lab.mosaic(&["stop", &run.id()]).status.success());
        wait_for("the stop", || state(run) == Some(RunState::Stopped));
    }
}
