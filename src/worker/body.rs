//! The process body: from a run directory to an exit code.

use std::any::Any;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::last_words;
use super::prepare::{RunContext, prepare};
use super::train::{Ending, train};
use crate::diffusion::DenoiseError;
use crate::evaluation::calibration::Calibration;
use crate::evaluation::compare::{HeldOut, compare};
use crate::evaluation::mosaics::Mosaics;
use crate::evaluation::network_calibration::NetworkCalibration;
use crate::evaluation::preview_request::PreviewRequest;
use crate::evaluation::report::{Report, ReportContext};
use crate::hardware::resource_limits::{in_words, start_threads};
use crate::network::NetworkDenoiser;
use crate::runs::command::{Command, Reply};
use crate::runs::control::{ControlServer, Steered};
use crate::runs::event::{EventBody, LossByLevel, NoticeLevel};
use crate::runs::holder::Holder;
use crate::runs::liveness::{self, TAKEOVER_LOOK};
use crate::runs::queue::{self, Turn};
use crate::runs::run_dir::RunDir;
use crate::runs::run_lock::{RunLock, Whereabouts};
use crate::runs::run_toml;
use crate::runs::runs_dir::RunsDir;
use crate::runs::signals::{self, Signals, Terminal};
use crate::runs::status::{RunState, Status};
use crate::runs::status_board::{StatusBoard, log};

/// How often a queued run looks whether it is its turn.
const LOOK_AT_QUEUE: Duration = Duration::from_secs(1);

/// How soon a worker tries again to look, when another does.
const LOOK_AT_LOCK: Duration = Duration::from_millis(200);

/// Exit code of a worker that could not do its work; the reason is in the status and the log.
const FAILED: u8 = 1;

/// Does all the work of the run in `path`; the answer is the process's exit code.
pub fn run(path: &Path) -> u8 {
    // First of all: a signal before this would end the process without a word.
    let signals = match signals::catch(Terminal::None) {
        Ok(signals) => signals,
        Err(error) => {
            log(&format!("error: listening for signals: {error}"));
            return FAILED;
        }
    };
    // A session of our own: no terminal's end reaches us. It fails only for a group leader, which
    // has been given what it needs by whoever started it so.
    let _ = rustix::process::setsid();
    // The name of its program's link, which it was started from, says nothing to who looks for it.
    let _ = rustix::thread::set_name(c"mosaic");
    leave_time_for_a_checkpoint();
    // With a stack of a known size, whatever `ulimit -s` says.
    let run = RunDir::open(path);
    let work = thread::Builder::new().name("worker".to_owned()).stack_size(STACK_BYTES);
    let outcome = thread::scope(|scope| -> Result<u8> {
        let work = work.spawn_scoped(scope, || start(&run, &signals));
        work.context("starting the thread of the worker")?
            .join()
            .unwrap_or_else(|panic| bail!("a defect of mosaic: {}", words(&*panic)))
    });
    outcome.unwrap_or_else(|error| {
        log(&format!("error: {}", in_words(&error)));
        FAILED
    })
}

/// As the system gives a first thread where nothing is limited.
const STACK_BYTES: usize = 8 << 20;
/// Processor seconds that are kept back for a checkpoint where processor time is limited, at most.
const LAST_CPU_SECONDS: u64 = 30;

/// A limit on processor time (`ulimit -t`) kills without a warning where the warning's limit is the same, as shells set it.
fn leave_time_for_a_checkpoint() {
    let limits = getrlimit(Resource::Cpu);
    if let (Some(warning), Some(end)) = (limits.current, limits.maximum)
        && warning == end
    {
        let current = end - (end / 4).clamp(1, LAST_CPU_SECONDS).min(end);
        // What may not be changed stays as it is.
        let _ = setrlimit(Resource::Cpu, Rlimit { current: Some(current), maximum: Some(end) });
    }
}

fn start(run: &RunDir, signals: &Signals) -> Result<u8> {
    // Before anything of the run is touched: two workers would write each other's files.
    let lock = RunLock::take(run.path()).context("taking the lock of the run's directory")?;
    let Some(lock) = lock else {
        bail!("another worker is at work on run '{}'; this one leaves it alone", run.id());
    };
    let lock = Arc::new(lock);
    let run = &run.anchored(&lock);
    run.unshare_files().context("making the files of the run its own")?;
    check_no_other(run)?;
    let description = run_toml::read(&run.run_toml_path()).context("reading what to run")?;
    let steps = description.experiment.training.steps as u64;
    let own = PreviewRequest::of(&description.experiment);
    let board = StatusBoard::open(run, steps).context("opening the run's status and events")?;
    last_words::prepare(run);
    let stop = &signals.stop;
    if let Some(error) = &lock.refused {
        board.notice(NoticeLevel::Warning, format!("the file system of '{}' takes no locks ({error}): nothing keeps a second worker away from this run, and a lost worker is noticed by its heartbeat only", run.path().display()));
    }
    // Given up for the last word, should the work end for want of file descriptors.
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
    // Previews still under way must not delay the last word.
    stop.store(true, Ordering::SeqCst);
    drop(spare);
    let (state, reason) = match outcome {
        Ok(Ok(RunState::Stopped)) => (RunState::Stopped, why_stopped(&board, signals)),
        Ok(Ok(state)) => (state, None),
        Ok(Err(error)) => (RunState::Failed, Some(in_words(&error))),
        Err(panic) => (RunState::Failed, Some(format!("a defect of mosaic: {}", words(&*panic)))),
    };
    if board.is_orphaned() {
        log(&format!("error: {}", board.reason().unwrap_or_else(|| DELETED.to_owned())));
        board.end();
        return Ok(FAILED);
    }
    if let Some(reason) = &reason {
        log(&format!(
            "{}: {}",
            if state == RunState::Failed { "error" } else { "stopped" },
            run.in_words(reason)
        ));
    }
    board.set_state(state, reason);
    board.end();
    if let Some(heart) = heart {
        heart.thread().unpark();
        // The heart only sleeps; a failed join has nothing to tell.
        let _ = heart.join();
    }
    Ok(if state == RunState::Failed { FAILED } else { 0 })
}

/// What is said when the directory of a run is deleted under its worker.
const DELETED: &str =
    "the directory of the run was deleted; the worker ends and writes nothing more";

fn why_stopped(board: &StatusBoard, signals: &Signals) -> Option<String> {
    board.reason().or_else(|| signals.name().map(|name| format!("stopped by {name}")))
}

/// Beats that `run.toml` may be missing, as while an editor or a synchronising program replaces it.
const MISSING_MAX: u32 = 4;

/// What the heart does with every beat: looks whether the run's directory is where it was, and ends the worker if not.
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
                    "'{}' is missing: stopped after a checkpoint; put it back, and 'mosaic resume {}' goes on",
                    run.path().join("run.toml").display(),
                    run.id()
                )
            }
            Whereabouts::Here | Whereabouts::Gone => {
                board.orphan();
                DELETED.to_owned()
            }
            Whereabouts::Moved(to) => format!(
                "the directory of the run was moved to '{}': stopped there after a checkpoint; 'mosaic --runs-dir {} resume {}' goes on",
                to.display(),
                to.parent().unwrap_or(&to).display(),
                to.file_name().unwrap_or_default().to_string_lossy(),
            ),
            Whereabouts::OutOfReach => format!(
                "the directory of the run is not at '{}' any more: stopped after a checkpoint where it is now",
                run.path().display()
            ),
        };
        board.end_because(reason);
        stop.store(true, Ordering::SeqCst);
    }
}

/// Where a network file system shares no locks, the worker of another computer is known by its heartbeat.
fn check_no_other(run: &RunDir) -> Result<()> {
    let status = run.status().filter(|status| !status.state.is_over());
    let Some(status) = status else { return Ok(()) };
    if status.worker.is_of_this_boot() || liveness::is_local(run.path()) {
        return Ok(());
    }
    let since = Instant::now();
    while since.elapsed() < TAKEOVER_LOOK {
        let now = run.status().map(|status| status.heartbeat_ms);
        if now != Some(status.heartbeat_ms) {
            let host = status.host.as_deref().unwrap_or("another computer");
            bail!(
                "a worker on '{host}' is at work on run '{}'; this one leaves it alone",
                run.id()
            );
        }
        thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// Goes on without a control socket where the file system refuses one; signals still reach the worker.
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

/// Waits while the run is queued; false when told to stop instead. Nothing is loaded yet.
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
            // Another looks just now, or hangs: a stop must not wait for it.
            let words = "waits for the lock of the queue";
            if board.status().message.as_deref() != Some(words) {
                board.set_state(RunState::Queued, Some(words.to_owned()));
                said = None;
            }
            is_called |= control.wait(LOOK_AT_LOCK) == Some(Command::Resume);
            continue;
        };
        let ahead = queue::ahead(&runs, run);
        if ahead.is_empty() || is_called {
            // Under the lock, so that whoever looks next sees this run at work.
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

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it panicked")
}

/// What the control server sees of this worker.
struct CommandHandler {
    board: Arc<StatusBoard>,
    stop: Arc<AtomicBool>,
    own: PreviewRequest,
}

impl Steered for CommandHandler {
    /// Which commands make sense in which state; a stop also interrupts whatever is under way.
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
                refused("the run waits in the queue; resume starts it at once, stop takes it out")
            }
            (RunState::Comparing, _) => {
                refused("training is over and its samples are being compared; only stop works now")
            }
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
    let loss_by_level = match train(&mut context, board, control, stop)? {
        Ending::Stopped => return Ok(RunState::Stopped),
        Ending::Done(levels) => levels,
    };
    finish(run, &context, &loss_by_level, board, stop)
}

/// Compares on held-out seeds and writes the report.
fn finish(
    run: &RunDir,
    context: &RunContext,
    loss_by_level: &LossByLevel,
    board: &Arc<StatusBoard>,
    stop: &Arc<AtomicBool>,
) -> Result<RunState> {
    let experiment = &context.experiment;
    let n = experiment.compare.seeds;
    let network = context.trainer.ema_denoiser().context("taking the averaged weights")?;
    let step = context.trainer.n_steps_done();
    let calibration = match calibration(run, context, &network, step, board, stop) {
        Err(error) if is_cancelled(&error) => return Ok(RunState::Stopped),
        other => other?,
    };
    let machine_set = context.machine_set.calibrated(calibration.as_ref())?;
    let machines: Vec<_> = context.machine_set.machines().cloned().collect();
    let mosaics = Mosaics::new(&context.dataset, &context.network, &machines)
        .context("building the search for copies")?;
    let result = compare(
        &machine_set,
        &network,
        context.judge.as_ref(),
        &mosaics,
        HeldOut { noise_seed: experiment.noise_seed, n, n_judged: experiment.compare.samples },
        stop,
        &mut |done| {
            let message = format!("comparing on held-out seeds: {done} of {n}");
            board.update(|status| status.message = Some(message));
        },
    );
    let comparison = match result {
        Err(DenoiseError::Cancelled) => return Ok(RunState::Stopped),
        other => other.context("comparing network and machines")?,
    };
    board.emit(EventBody::Agreement { figures: comparison.figures.clone() });
    let Status { loss, device, .. } = board.status();
    let machines: Vec<_> = machine_set.machines().cloned().collect();
    let context = ReportContext {
        run: run.id(),
        experiment,
        machines: &machines,
        final_loss: loss,
        loss_by_level,
        n_steps: context.trainer.n_steps_done(),
        device,
        n_parameters: network.network().n_parameters(),
        n_training_images: context.dataset.len(),
        calibration: calibration.as_ref(),
    };
    let report = Report::new(&context, &comparison);
    report.write(&run.report_path()).context("writing the report")?;
    board.notice(NoticeLevel::Info, "the report is written");
    Ok(RunState::Finished)
}

/// The calibration of the machines: the one that a stopped comparison has already written, or a new one.
fn calibration(
    run: &RunDir,
    context: &RunContext,
    network: &NetworkDenoiser,
    step: u64,
    board: &Arc<StatusBoard>,
    stop: &AtomicBool,
) -> Result<Option<Calibration>> {
    let path = run.calibration_path();
    let (experiment, machine_set) = (&context.experiment, &context.machine_set);
    let calibration = NetworkCalibration { experiment, machine_set, network, step };
    let saved = Calibration::read(&path).unwrap_or(None);
    let found = match saved.filter(|saved| calibration.matches(saved)) {
        Some(saved) => saved,
        None => {
            let mut progress = |what: &str| {
                let message = format!("calibrating {what}");
                board.update(|status| status.message = Some(message));
            };
            let found = calibration.calibrate(stop, &mut progress);
            let Some(found) = found.context("calibrating the machines")? else { return Ok(None) };
            found.write(&path).with_context(|| format!("writing '{}'", path.display()))?;
            found
        }
    };
    std::fs::create_dir_all(run.report_path())?;
    found.draw(&run.report_path().join("calibration.png"))?;
    Ok(Some(found))
}

fn is_cancelled(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<DenoiseError>(), Some(DenoiseError::Cancelled))
}
