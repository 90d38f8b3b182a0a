//! Entry point of the worker process: from a run directory to an exit code.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::out_of_memory;
use super::prepare_training::{RunContext, prepare};
use super::training_loop_with_commands::train;
use crate::config::{CompareSettings, LargestSide};
use crate::console::escaped_stdout_and_stderr::panic_words;
use crate::diffusion::DenoiseError;
use crate::evaluation::calibration::Calibration;
use crate::evaluation::floors::floors_file::LEVELS;
use crate::evaluation::network_and_machines_of_run::Trained;
use crate::evaluation::preview_request::PreviewRequest;
use crate::evaluation::report::{NetworkMeasurements, Report, ReportContext};
use crate::hardware::resource_limits::{in_words, start_threads};
use crate::runs::alive_silent_or_lost::{self, TAKEOVER_LOOK};
use crate::runs::catch_signals::{self, Signals, Terminal};
use crate::runs::control_holder::Holder;
use crate::runs::control_messages::{Command, Reply};
use crate::runs::control_socket::{ControlServer, Steered};
use crate::runs::event::{EventBody, ExcessByLevel, LossByLevel, NoticeLevel};
use crate::runs::queue::{self, Turn};
use crate::runs::run_dir::RunDir;
use crate::runs::run_lock::{RunLock, Whereabouts};
use crate::runs::run_toml;
use crate::runs::runs_dir::RunsDir;
use crate::runs::status_and_heartbeat::{StatusBoard, log};
use crate::runs::status_json::{RunState, Status};

/// Interval at which a queued run checks whether it may start.
const LOOK_AT_QUEUE: Duration = Duration::from_secs(1);

/// Delay before retrying to lock the queue while another worker holds the lock.
const LOOK_AT_LOCK: Duration = Duration::from_millis(200);

/// Exit code of a worker that failed; the reason is in the status and the log.
const FAILED: u8 = 1;

/// Carries out the run in the directory `path` and returns the process's exit code.
pub fn run(path: &Path) -> u8 {
    // This comes first: an earlier signal would end the process without a report.
    let signals = match catch_signals::catch(Terminal::None) {
        Ok(signals) => signals,
        Err(error) => {
            log(&format!("error: listening for signals: {error}"));
            return FAILED;
        }
    };
    // A session of our own, so that closing a terminal does not affect us. It fails only for a group leader,
    // whose launcher has chosen its session.
    let _ = rustix::process::setsid();
    // The default thread name is that of the link that the program was started from, which tells users nothing.
    let _ = rustix::thread::set_name(c"mosaic");
    leave_time_for_a_checkpoint();
    // A stack of known size, whatever `ulimit -s` is.
    let run = RunDir::open(path);
    let work = thread::Builder::new().name("worker".to_owned()).stack_size(STACK_BYTES);
    let outcome = thread::scope(|scope| -> Result<u8> {
        let work = work.spawn_scoped(scope, || start(&run, &signals));
        work.context("starting the thread of the worker")?
            .join()
            .unwrap_or_else(|panic| bail!("internal error: {}", panic_words(&*panic)))
    });
    outcome.unwrap_or_else(|error| {
        log(&format!("error: {}", in_words(&error)));
        FAILED
    })
}

/// The default size of a main thread's stack.
const STACK_BYTES: usize = 8 << 20;
/// Maximum number of CPU seconds reserved for a checkpoint if CPU time is limited.
const LAST_CPU_SECONDS: u64 = 30;

/// Lowers the soft CPU limit (`ulimit -t`) below the hard one. Shells set both to the same value, and then the
/// kernel kills the process without the warning signal.
fn leave_time_for_a_checkpoint() {
    let limits = getrlimit(Resource::Cpu);
    if let (Some(warning), Some(end)) = (limits.current, limits.maximum)
        && warning == end
    {
        let current = end - (end / 4).clamp(1, LAST_CPU_SECONDS).min(end);
        // Limits that cannot be changed stay as they are.
        let _ = setrlimit(Resource::Cpu, Rlimit { current: Some(current), maximum: Some(end) });
    }
}

fn start(run: &RunDir, signals: &Signals) -> Result<u8> {
    // Taken before any file of the run is touched: two workers would overwrite each other's files.
    let lock = RunLock::take(run.path()).context("taking the lock of the run's directory")?;
    let Some(lock) = lock else {
        bail!("run '{}' already has a worker; this one exits", run.id());
    };
    let lock = Arc::new(lock);
    let run = &run.anchored(&lock);
    run.unshare_files().context("making the files of the run its own")?;
    check_no_other(run)?;
    let description = run_toml::read(&run.run_toml_path()).context("reading what to run")?;
    let steps = description.experiment.training.steps as u64;
    let own = PreviewRequest::of(&description.experiment);
    let board = StatusBoard::open(run, steps).context("opening the run's status and events")?;
    out_of_memory::prepare(run);
    let stop = &signals.stop;
    if let Some(error) = &lock.refused {
        board.notice(NoticeLevel::Warning, format!("'{}' is on a file system without locks ({error}): a second worker cannot be prevented, and a lost worker is detected only by its heartbeat", run.path().display()));
    }
    // Reserved descriptors, closed to make room for the final report if the work fails for lack of descriptors.
    let spare = [0; 3].map(|_| File::open("/dev/null").ok());
    let mut heart = None;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let beating = board.beat(watch(&lock, run, &board, stop));
        heart = Some(beating.context("starting the heartbeat")?);
        let handler = CommandHandler { board: board.clone(), stop: stop.clone(), own };
        let control = ControlServer::start(run, Arc::new(handler))
            .unwrap_or_else(|error| without_control(run, &board, &error));
        if !wait_for_turn(run, &board, &control, stop)? {
            return Ok(RunState::Stopped);
        }
        work(run, &description, &board, &control, stop)
    }));
    // Previews in progress must not delay the final report.
    stop.store(true, Ordering::SeqCst);
    drop(spare);
    let (state, reason) = match outcome {
        Ok(Ok(RunState::Stopped)) => {
            let by_signal = || signals.name().map(|name| format!("stopped by {name}"));
            (RunState::Stopped, board.reason.get().cloned().or_else(by_signal))
        }
        Ok(Ok(state)) => (state, None),
        Ok(Err(error)) => (RunState::Failed, Some(in_words(&error))),
        Err(panic) => (RunState::Failed, Some(format!("internal error: {}", panic_words(&*panic)))),
    };
    if board.is_orphaned() {
        log(&format!("error: {}", board.reason.get().map_or(DELETED, String::as_str)));
        board.end();
        return Ok(FAILED);
    }
    if let Some(reason) = &reason {
        let word = if state == RunState::Failed { "error" } else { "stopped" };
        log(&format!("{word}: {}", run.in_words(reason)));
    }
    board.set_state(state, reason);
    board.end();
    if let Some(heart) = heart {
        heart.thread().unpark();
        // The heartbeat thread only sleeps; a failed join carries no information.
        let _ = heart.join();
    }
    Ok(if state == RunState::Failed { FAILED } else { 0 })
}

/// Message for a run whose directory was deleted while its worker was running.
const DELETED: &str =
    "the directory of the run was deleted; the worker exits and writes nothing more";

/// Number of heartbeats for which `run.toml` may be missing, as while an editor or a sync tool replaces it.
const MISSING_MAX: u32 = 4;

/// Returns the check made on every heartbeat: if the run's directory was moved or deleted, it stops the worker.
fn watch(
    lock: &Arc<RunLock>,
    run: &RunDir,
    board: &Arc<StatusBoard>,
    stop: &Arc<AtomicBool>,
) -> impl Fn() + Send + 'static {
    let (lock, run, board, stop) = (lock.clone(), run.clone(), board.clone(), stop.clone());
    let n_missing = AtomicU32::new(0);
    move || {
        let reason = match lock.whereabouts(run.path()) {
            Whereabouts::Here if run.run_toml_path().is_file() => {
                n_missing.store(0, Ordering::SeqCst);
                return;
            }
            Whereabouts::Here if run.state_path().is_dir() => {
                if n_missing.fetch_add(1, Ordering::SeqCst) < MISSING_MAX {
                    return;
                }
                format!(
                    "'{}' is missing: stopped after a checkpoint; restore it and continue with 'mosaic resume {}'",
                    run.path().join("run.toml").display(),
                    run.id()
                )
            }
            Whereabouts::Here | Whereabouts::Gone => {
                board.orphan();
                DELETED.to_owned()
            }
            Whereabouts::Moved(to) => format!(
                "the directory of the run was moved to '{}': stopped there after a checkpoint; continue with 'mosaic --runs-dir {} resume {}'",
                to.display(),
                to.parent().unwrap_or(&to).display(),
                to.file_name().unwrap_or_default().to_string_lossy(),
            ),
            Whereabouts::OutOfReach => format!(
                "the directory of the run is not at '{}' any more: stopped after a checkpoint where it is now",
                run.path().display()
            ),
        };
        let _ = board.reason.set(reason);
        stop.store(true, Ordering::SeqCst);
    }
}

/// Returns an error if another computer's worker has the run. Network file systems may not share locks, so it
/// is detected by its heartbeat.
fn check_no_other(run: &RunDir) -> Result<()> {
    let status = run.status().filter(|status| !status.state.is_over());
    let Some(status) = status else { return Ok(()) };
    if status.worker.is_of_this_boot() || alive_silent_or_lost::is_local(run.path()) {
        return Ok(());
    }
    let since = Instant::now();
    while since.elapsed() < TAKEOVER_LOOK {
        let now = run.status().map(|status| status.heartbeat_ms);
        if now != Some(status.heartbeat_ms) {
            let host = status.host.as_deref().unwrap_or("another computer");
            bail!("run '{}' already has a worker, on '{host}'; this one exits", run.id());
        }
        thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// Continues without a control socket if the file system does not support one; signals still reach the worker.
fn without_control(run: &RunDir, board: &StatusBoard, error: &std::io::Error) -> ControlServer {
    board.notice(
        NoticeLevel::Warning,
        format!(
            "no control socket can be made in '{}' ({error}): commands to pause, resume and preview do not reach this worker; 'mosaic stop' and 'mosaic kill' use signals, on this computer only",
            run.path().display()
        ),
    );
    ControlServer::deaf()
}

/// Waits while the run is queued; returns false if asked to stop. Nothing is loaded yet.
fn wait_for_turn(
    run: &RunDir,
    board: &StatusBoard,
    control: &ControlServer,
    stop: &AtomicBool,
) -> Result<bool> {
    if queue::ticket(run).is_none() {
        return Ok(true);
    }
    let place = run.path().parent().context("finding the directory of all runs")?;
    let runs = RunsDir::new(place);
    let mut said = None;
    let mut is_called = false;
    while !stop.load(Ordering::SeqCst) {
        let turn = Turn::try_take(place).context("taking the lock of the queue")?;
        let Some(turn) = turn else {
            // Another worker is checking the queue, or hangs; a stop request must not wait for it.
            let words = "waiting for the lock of the queue";
            if board.status().message.as_deref() != Some(words) {
                board.set_state(RunState::Queued, Some(words.to_owned()));
                said = None;
            }
            is_called |= control.wait(LOOK_AT_LOCK) == Some(Command::Resume);
            continue;
        };
        let ahead = queue::ahead(&runs, run);
        if ahead.is_empty() || is_called {
            // Set under the lock, so that the next worker to check sees this run as active.
            board.set_state(RunState::Starting, None);
            queue::leave(run).context("leaving the queue")?;
            return Ok(true);
        }
        drop(turn);
        let words = queue::words(&ahead);
        if said.as_ref() != Some(&words) {
            board.set_state(RunState::Queued, Some(words.clone()));
            said = Some(words);
        }
        is_called |= control.wait(LOOK_AT_QUEUE) == Some(Command::Resume);
    }
    queue::leave(run).context("leaving the queue")?;
    Ok(false)
}

/// The control server's view of this worker.
struct CommandHandler {
    board: Arc<StatusBoard>,
    stop: Arc<AtomicBool>,
    own: PreviewRequest,
}

impl Steered for CommandHandler {
    /// Decides which commands make sense in which state; a stop also interrupts the work in progress.
    fn decide(&self, command: &Command) -> Reply {
        let refused = |reason: &str| Reply::Refused { reason: reason.to_owned() };
        match (self.board.status().state, command) {
            (state, _) if state.is_over() => refused("the run is over"),
            (_, Command::Stop) => {
                self.stop.store(true, Ordering::SeqCst);
                Reply::Accepted
            }
            (RunState::Queued, Command::Resume) => Reply::Accepted,
            (RunState::Queued, _) => {
                refused("the run is queued; 'resume' starts it at once, 'stop' removes it")
            }
            (RunState::Comparing, _) => refused(
                "training has finished and samples are being compared; only 'stop' works now",
            ),
            (_, Command::Sample { seeds, steps }) => match self.own.or(*seeds, *steps) {
                Ok(_) => Reply::Accepted,
                Err(problem) => Reply::Refused { reason: problem },
            },
            (RunState::Paused, Command::Pause) => refused("the run is paused already"),
            (RunState::Training | RunState::Starting, Command::Resume) => {
                refused("the run is not paused")
            }
            _ => Reply::Accepted,
        }
    }

    fn handed_over(&self, holder: Option<&Holder>, words: &str) {
        self.board.update(|status| status.holder = holder.cloned());
        self.board.notice(NoticeLevel::Info, words);
    }
}

fn work(
    run: &RunDir,
    description: &run_toml::RunToml,
    board: &Arc<StatusBoard>,
    control: &ControlServer,
    stop: &Arc<AtomicBool>,
) -> Result<RunState> {
    start_threads()?;
    let mut context = prepare(run, description, board)?;
    match train(&mut context, board, control, stop)? {
        Some(loss_by_level) => finish(context, &loss_by_level, board, stop),
        None => Ok(RunState::Stopped),
    }
}

/// Compares network and machines on held-out seeds and writes the report.
fn finish(
    context: RunContext,
    loss_by_level: &LossByLevel,
    board: &Arc<StatusBoard>,
    stop: &Arc<AtomicBool>,
) -> Result<RunState> {
    let Status { loss, device, .. } = board.status();
    let trained = context.trained(device)?;
    let (told, stopped) = (board.clone(), stop.clone());
    trained.solver.watch(Arc::new(move |n_done, n_updates| {
        let share = 100 * n_done / n_updates;
        let message = format!("solving attention-optimal: {share}%");
        told.update(|status| status.message = Some(message));
        !stopped.load(Ordering::SeqCst)
    }));
    let calibration = match calibration(&trained, board, stop) {
        Err(error) if is_cancelled(&error) => return Ok(RunState::Stopped),
        other => other?,
    };
    let machine_set = trained.machine_set.calibrated(calibration.as_ref())?;
    let mut progress = |done| {
        let message = format!("measuring floors: {done} of {} noise levels", LEVELS.len());
        board.update(|status| status.message = Some(message));
    };
    let floors = match trained.floors(stop, &mut progress) {
        Err(error) if is_cancelled(&error) => return Ok(RunState::Stopped),
        other => other.context("measuring the floors")?,
    };
    if let Some(found) = &floors {
        // The whole measurement, after those on few images during training.
        board.emit(EventBody::Floors(found.floors.figures()));
        board.emit(EventBody::Excess(ExcessByLevel {
            class_floor: found.class_floor.to_owned(),
            convergence: found.convergence,
            levels: found.levels.clone(),
        }));
    }
    let mut progress = |done, n| {
        let message = format!("copies over training: {done} of {n} checkpoints");
        board.update(|status| status.message = Some(message));
    };
    let over_training = match trained.over_training(stop, &mut progress) {
        Err(error) if is_cancelled(&error) => return Ok(RunState::Stopped),
        other => other.context("looking at the checkpoints")?,
    };
    let mut progress = |done, n| {
        let message = format!("changing attention: {done} of {n} changes");
        board.update(|status| status.message = Some(message));
    };
    let interventions = match trained.intervene(&machine_set, stop, &mut progress) {
        Err(error) if is_cancelled(&error) => return Ok(RunState::Stopped),
        other => other.context("changing attention")?,
    };
    let measured = NetworkMeasurements {
        floors: floors.as_ref(),
        over_training: &over_training,
        interventions: interventions.as_ref(),
    };
    let context = ReportContext::new(
        &trained,
        &machine_set,
        calibration.as_ref(),
        loss,
        loss_by_level,
        measured,
    )?;
    let CompareSettings { seeds: n, samples: n_judged, .. } = trained.experiment.compare;
    let mut progress = |done| {
        let message = format!("comparing on held-out seeds: {done} of {n}");
        board.update(|status| status.message = Some(message));
    };
    let comparison = match trained.compare(&machine_set, n, n_judged, stop, &mut progress) {
        Err(error) if is_cancelled(&error) => return Ok(RunState::Stopped),
        other => other.context("comparing network and machines")?,
    };
    board.emit(EventBody::Agreement { figures: comparison.figures.clone() });
    let report = Report::new(&context, &comparison);
    report.write(&trained.run.report_path()).context("writing the report")?;
    board.notice(NoticeLevel::Info, "the report is written");
    Ok(RunState::Finished)
}

/// The calibration of the machines: the one that a stopped comparison has already written, or a new one.
fn calibration(
    trained: &Trained,
    board: &Arc<StatusBoard>,
    stop: &AtomicBool,
) -> Result<Option<Calibration>> {
    let run = &trained.run;
    let path = run.calibration_path();
    let saved = Calibration::read(&path).unwrap_or(None);
    let found = match saved.filter(|saved| trained.is_fitted_by(saved, LargestSide::Field)) {
        Some(saved) => saved,
        None => {
            let mut progress = |what: &str| {
                let message = format!("calibrating {what}");
                board.update(|status| status.message = Some(message));
            };
            let found = trained.calibrate(LargestSide::Field, None, stop, &mut progress);
            let Some(found) = found.context("calibrating the machines")? else { return Ok(None) };
            found.write(&path).with_context(|| format!("writing '{}'", path.display()))?;
            found
        }
    };
    std::fs::create_dir_all(run.report_path())?;
    found.draw(&run.report_path())?;
    Ok(Some(found))
}

fn is_cancelled(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<DenoiseError>(), Some(DenoiseError::Cancelled))
}
