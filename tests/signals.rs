//! Effects of signals on workers, on commands that follow them, on the queue and on studies: none, or a
//! checkpoint and the state *stopped*.
//!
//! `MOSAIC_SIGNALS` requests more than the few signals of a normal test run, `MOSAIC_SEED` other ones.

#[path = "common/campaign.rs"]
mod campaign;
mod common;
#[path = "common/run.rs"]
mod run;
#[path = "common/skip.rs"]
mod skip;

use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use campaign::number;
use common::{Lab, TINY, stderr, stdout, wait_for};
use mosaic_lab::random::{Purpose, stream};
use mosaic_lab::runs::alive_silent_or_lost::Health;
use mosaic_lab::runs::process_identity::ProcessId;
use mosaic_lab::runs::run_dir::RunDir;
use mosaic_lab::runs::runs_dir::RunsDir;
use mosaic_lab::runs::status_json::RunState;
use mosaic_lab::training::checkpoint;
use rand::RngExt;
use run::{state, weights};
use skip::skip;

const TERM: i32 = 15;
const HUP: i32 = 1;
const INT: i32 = 2;
/// TERM, INT, HUP, QUIT, USR1, USR2, XCPU, XFSZ, ALRM, VTALRM, PROF, IO, PWR, STKFLT, PIPE, TSTP, TTIN, ABRT,
/// systemd's real-time signal and another one.
const SIGNALS: [i32; 20] =
    [TERM, INT, HUP, 3, 10, 12, 24, 25, 14, 26, 27, 29, 30, 16, 13, 20, 21, 6, 37, 64];
/// Signals that a worker ignores.
const HARMLESS: [i32; 5] = [HUP, 25, 13, 20, 21];

const STEPS: u64 = 400;
const SETTINGS: [&str; 7] = [
    "training.steps=400",
    "training.checkpoint_every=37",
    "preview.every=100",
    "theory.machines=[\"els\"]",
    "calibrate.seeds=2",
    "compare.seeds=16",
    "compare.samples=16",
];
const ENDLESS: [&str; 3] =
    ["training.steps=1000000", "training.checkpoint_every=1000000", "preview.every=0"];

/// Sends a signal with the `kill` command, which accepts every number.
fn send(pid: u32, signal: i32) {
    let done = Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).output();
    done.unwrap();
}

/// Launches a run into the queue.
fn queue(lab: &Lab, settings: &[&str]) -> RunDir {
    let output = lab.run("glyphs-attention", settings, &["--detach", "--queue"]);
    assert!(output.status.success(), "{}", stderr(&output));
    RunDir::open(lab.runs().join(stdout(&output).trim()))
}

/// True if a process has a handler for a signal (`SigCgt` of proc_pid_status(5)).
fn catches(pid: u32, signal: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (signal - 1)) != 0
}

fn newest(run: &RunDir) -> u64 {
    let found = checkpoint::latest_valid(&run.state_path()).unwrap().found;
    found.map_or(0, |(place, _)| place.step)
}

fn resume(lab: &Lab, run: &RunDir) {
    let resumed = lab.mosaic(&["resume", &run.id()]);
    assert!(resumed.status.success(), "{}", stderr(&resumed));
}

#[test]
fn random_signals_at_random_moments_lose_nothing() {
    let lab = Lab::new();
    let whole = lab.detach(&SETTINGS);
    wait_for("the undisturbed run", || state(&whole) == Some(RunState::Finished));
    let mut random = stream(number("MOSAIC_SEED", 1) as u64, Purpose::Subset, 0);
    let mut n_left = number("MOSAIC_SIGNALS", 14);
    let mut met = std::collections::BTreeMap::<String, usize>::new();
    while n_left > 0 {
        // Every third run is queued behind an endless one when it gets its first signal.
        let is_queued = random.random_range(0..3) == 0;
        let mut ahead = is_queued.then(|| lab.detach(&ENDLESS));
        let run = if is_queued { queue(&lab, &SETTINGS) } else { lab.detach(&SETTINGS) };
        while state(&run) != Some(RunState::Finished) {
            if n_left == 0 {
                // A queued run would wait for ever for an endless one.
                if let Some(ahead) = ahead.take() {
                    assert!(lab.mosaic(&["stop", &ahead.id()]).status.success());
                }
                wait_for("the end", || run.health() != Health::Alive);
                break;
            }
            // In such a short run, calibrating and comparing take most of the time.
            std::thread::sleep(Duration::from_millis(random.random_range(0..1500)));
            let Some(status) = run.status().filter(|status| !status.state.is_over()) else {
                continue;
            };
            n_left -= 1;
            *met.entry(format!("{:?}", status.state)).or_default() += 1;
            let signal = SIGNALS[random.random_range(0..SIGNALS.len())];
            let followed = random.random_range(0..3) == 0;
            send(status.worker.pid, signal);
            if followed {
                send(status.worker.pid, HUP);
            }
            if HARMLESS.contains(&signal) {
                std::thread::sleep(Duration::from_millis(100));
                assert_ne!(run.health(), Health::Lost, "signal {signal} ended the worker");
                continue;
            }
            wait_for("the end", || run.health() != Health::Alive);
            assert_eq!(run.health(), Health::Over, "signal {signal} at {:?}", status.state);
            let after = run.status().unwrap();
            if after.state == RunState::Finished {
                break;
            }
            assert_eq!(after.state, RunState::Stopped, "signal {signal}: {:?}", after.message);
            assert!(after.message.unwrap().contains("stopped by"));
            assert_eq!(newest(&run), after.step, "signal {signal}: a step is in no checkpoint");
            assert!(after.step >= status.step);
            if let Some(ahead) = &ahead {
                assert!(ahead.health().is_at_work(), "a signal to one run ended another");
            }
            resume(&lab, &run);
        }
        if let Some(ahead) = ahead {
            assert!(lab.mosaic(&["stop", &ahead.id()]).status.success());
        }
        wait_for("the end", || run.health() == Health::Over);
        if state(&run) == Some(RunState::Finished) {
            assert_eq!(weights(&run, STEPS), weights(&whole, STEPS));
        } else {
            resume(&lab, &run);
            wait_for("the end", || state(&run) == Some(RunState::Finished));
            assert_eq!(weights(&run, STEPS), weights(&whole, STEPS));
        }
    }
    eprintln!("signals by state of the run: {met:?}");
}

/// Starts a command in the foreground; returns it with the run that it launched.
fn in_foreground(lab: &Lab, settings: &[&str], program: &[&str]) -> (Child, RunDir) {
    let known: Vec<String> =
        RunsDir::new(lab.runs()).list().into_iter().map(|run| run.id).collect();
    let mut arguments: Vec<&str> = vec!["run", "glyphs-attention"];
    for setting in TINY.iter().chain(settings) {
        arguments.extend(["--set", setting]);
    }
    let mut command = match program {
        [] => Command::new(env!("CARGO_BIN_EXE_mosaic")),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(env!("CARGO_BIN_EXE_mosaic"));
            command
        }
    };
    command.args(arguments).arg("--runs-dir").arg(lab.runs()).current_dir(lab.place.path());
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = child.spawn().unwrap();
    let new = || {
        let runs = RunsDir::new(lab.runs()).list();
        runs.into_iter().find(|run| !known.contains(&run.id)).map(|run| run.dir)
    };
    wait_for("training", || new().is_some_and(|run| state(&run) == Some(RunState::Training)));
    (child, new().unwrap())
}

#[test]
fn a_command_in_the_foreground_passes_on_the_end_and_waits_for_the_checkpoint() {
    let lab = Lab::new();
    for signals in [&[TERM][..], &[TERM, HUP], &[10], &[3, TERM]] {
        let (child, run) = in_foreground(&lab, &ENDLESS, &[]);
        signals.iter().for_each(|&signal| send(child.id(), signal));
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{signals:?}: {}", stderr(&output));
        assert_eq!(state(&run), Some(RunState::Stopped), "it ended before its worker");
        assert_eq!(newest(&run), run.status().unwrap().step);
    }
    // All processes of a batch job get the signal at once.
    let (child, run) = in_foreground(&lab, &ENDLESS, &[]);
    let worker = run.status().unwrap().worker.pid;
    send(worker, TERM);
    send(child.id(), TERM);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(3));
    assert_eq!(state(&run), Some(RunState::Stopped));
}

#[test]
fn ctrl_c_and_a_lost_terminal_leave_the_run_at_work() {
    let lab = Lab::new();
    for signal in [INT, HUP] {
        let (child, run) = in_foreground(&lab, &ENDLESS, &[]);
        send(child.id(), signal);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(stderr(&output).contains("continues in the background"), "{}", stderr(&output));
        assert_eq!(run.health(), Health::Alive);
        assert!(lab.mosaic(&["stop", &run.id()]).status.success());
        wait_for("the stop", || state(&run) == Some(RunState::Stopped));
    }
}

/// Starts a command as the first process of a PID namespace; requires root.
const CONTAINER: [&str; 5] = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];

fn has_namespaces() -> bool {
    let mut probe = Command::new(CONTAINER[0]);
    let can = probe.args(&CONTAINER[1..]).arg("true").output().is_ok_and(|o| o.status.success());
    if !can {
        skip("containers", "making PID namespaces needs the superuser");
    }
    can
}

#[test]
fn what_was_started_to_ignore_a_hang_up_goes_on_ignoring_it() {
    let lab = Lab::new();
    let nohup = ["sh", "-c", "trap '' HUP INT; exec \"$0\" \"$@\""];
    let (child, run) = in_foreground(&lab, &ENDLESS, &nohup);
    for signal in [HUP, INT] {
        send(child.id(), signal);
    }
    std::thread::sleep(Duration::from_millis(500));
    assert!(std::path::Path::new(&format!("/proc/{}", child.id())).exists());
    send(child.id(), TERM);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(3));
    assert_eq!(state(&run), Some(RunState::Stopped));
}

#[test]
fn a_limit_on_processor_time_leaves_time_for_a_checkpoint() {
    let lab = Lab::new();
    let (child, run) =
        in_foreground(&lab, &ENDLESS, &["sh", "-c", "ulimit -t 3; exec \"$0\" \"$@\""]);
    wait_for("the limit", || run.health() == Health::Over);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(3));
    let status = run.status().unwrap();
    assert_eq!((status.state, newest(&run)), (RunState::Stopped, status.step));
    assert!(status.message.unwrap().contains("SIGXCPU"));
}

#[test]
fn a_namespace_without_a_proc_of_its_own_loses_nothing_and_nested_shells_neither() {
    if !has_namespaces() {
        return;
    }
    let lab = Lab::new();
    let (child, run) =
        in_foreground(&lab, &ENDLESS, &["unshare", "--pid", "--fork", "--kill-child"]);
    send(first_inside(child.id()), TERM);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert_eq!((state(&run), newest(&run)), (Some(RunState::Stopped), run.status().unwrap().step));

    let script = "bash -c '\"$0\" \"$@\"; true' \"$0\" \"$@\"; true";
    let nested = [&CONTAINER[..], &["bash", "-c", script]].concat();
    let (child, run) = in_foreground(&lab, &ENDLESS, &nested);
    let command = run.status().unwrap().worker;
    let worker = command.pid_here().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{worker}/stat")).unwrap();
    let parent = stat.rsplit(')').next().unwrap().split_whitespace().nth(1).unwrap();
    send(parent.parse().unwrap(), INT);
    child.wait_with_output().unwrap();
    assert_eq!((state(&run), newest(&run)), (Some(RunState::Stopped), run.status().unwrap().step));
}

#[test]
fn a_queue_that_another_holds_locked_holds_up_no_stop() {
    let lab = Lab::new();
    std::fs::create_dir(lab.runs()).unwrap();
    let held = std::fs::File::open(lab.runs()).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let run = queue(&lab, &ENDLESS);
    wait_for("the queue", || state(&run) == Some(RunState::Queued));
    assert!(lab.mosaic(&["stop", &run.id()]).status.success());
    wait_for("the stop", || state(&run) == Some(RunState::Stopped));
}

#[test]
fn the_first_process_of_a_container_stops_its_worker_whatever_ends_it() {
    if !has_namespaces() {
        return;
    }
    let lab = Lab::new();
    for signal in [TERM, INT, HUP, 37] {
        let (child, run) = in_foreground(&lab, &ENDLESS, &CONTAINER);
        let worker = run.status().unwrap().worker;
        let host_pid = worker.pid_here().expect("a host sees into its containers");
        // From outside, the worker has another identity, yet only the worker itself is reached.
        assert_ne!(worker, ProcessId::of(host_pid).unwrap());
        assert_eq!(run.health(), Health::Alive);
        let first = first_inside(child.id());
        send(first, signal);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(3), "signal {signal}: {}", stderr(&output));
        assert_eq!(state(&run), Some(RunState::Stopped), "signal {signal}");
        assert_eq!(newest(&run), run.status().unwrap().step);
    }
    // Stop and kill from outside.
    let (child, run) = in_foreground(&lab, &ENDLESS, &CONTAINER);
    assert!(lab.mosaic(&["kill", &run.id()]).status.success());
    child.wait_with_output().unwrap();
    assert_eq!(run.health(), Health::Lost);
}

/// The child of `unshare`.
fn first_inside(unshare: u32) -> u32 {
    let children = std::fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children"));
    children.unwrap().split_whitespace().next().unwrap().parse().unwrap()
}

const ENDLESS_STUDY: &str = r#"
[experiment.tiny]
network.attention = "none"
network.width = 16
dataset.n = 16
training.steps = 1000000
training.batch = 4
training.checkpoint_every = 1000000
preview.every = 0
theory.machines = ["els"]
[study.endless]
claim = "Nothing ends."
analysis = "consistency"
experiments = ["tiny"]
vary.training.seed = [0, 1]
"#;

#[test]
fn a_study_that_is_ended_stops_its_workers() {
    let lab = Lab::new();
    std::fs::write(lab.place.path().join("lab.toml"), ENDLESS_STUDY).unwrap();
    let study = |signal: i32| -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mosaic"));
        command.args(["reproduce", "endless", "--jobs", "2", "--runs-dir"]).arg(lab.runs());
        command.current_dir(lab.place.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let training = || {
            let runs = RunsDir::new(lab.runs()).list();
            runs.iter().filter(|run| state(&run.dir) == Some(RunState::Training)).count()
        };
        wait_for("two runs at work", || training() == 2);
        wait_for("a handler", || catches(child.id(), signal));
        send(child.id(), signal);
        child.wait_with_output().unwrap()
    };
    let left = study(INT);
    assert_eq!(left.status.code(), Some(3), "{}", stderr(&left));
    assert!(stderr(&left).contains("the workers continue"), "{}", stderr(&left));
    let runs = || RunsDir::new(lab.runs()).list();
    assert!(runs().iter().all(|run| run.health == Health::Alive));
    let ended = study(TERM);
    assert_eq!(ended.status.code(), Some(3), "{}", stderr(&ended));
    assert!(stderr(&ended).contains("all workers have stopped"), "{}", stderr(&ended));
    assert_eq!(runs().len(), 2, "the second command took the runs of the first over");
    for run in runs() {
        assert_eq!(state(&run.dir), Some(RunState::Stopped));
        assert_eq!(newest(&run.dir), run.status.unwrap().step);
    }
    assert!(stdout(&ended).is_empty());
}
