//! Previews made alongside training: one thread with a latest-wins slot.
//!
//! Machines can take longer than the steps between two previews. A newer snapshot then replaces the waiting
//! one, so that previews stay recent and no queue builds up. Previews share the cores with training while a dashboard
//! shows the run, and take what training leaves while nobody looks.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use rayon::ThreadPool;

use super::prepare_training::Probe;
use crate::analysis::creativity_judge::Judge;
use crate::diffusion::DenoiseError;
use crate::evaluation::attention_entropy_probe::predict_attention;
use crate::evaluation::make_preview::PreviewMaker;
use crate::evaluation::noise_source::NoiseSource;
use crate::evaluation::preview_request::PreviewRequest;
use crate::evaluation::samples::MachineSet;
use crate::network::NetworkDenoiser;
use crate::runs::event::{EventBody, NoticeLevel};
use crate::runs::run_dir::RunDir;
use crate::runs::status_and_heartbeat::StatusBoard;
use crate::runs::watching_dashboards::is_watched;

/// Added to the niceness of previews that nobody waits for, so that training keeps its cores.
pub(super) const BACKGROUND_NICENESS: i32 = 10;

/// Inputs common to all previews of a run.
pub struct PreviewKit {
    pub run: RunDir,
    pub noise_seed: u64,
    pub machine_set: Arc<MachineSet>,
    pub judge: Option<Judge>,
    pub board: Arc<StatusBoard>,
    pub stop: Arc<AtomicBool>,
    /// `Some` for networks with attention.
    pub probe: Option<Probe>,
}

/// A snapshot of the network and the preview to make of it.
pub struct Request {
    /// Training step.
    pub step: u64,
    pub network: NetworkDenoiser,
    pub request: PreviewRequest,
}

/// Handle of the preview thread.
pub struct PreviewThread {
    slot: Arc<Slot>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Slot {
    content: Mutex<Content>,
    changed: Condvar,
}

#[derive(Default)]
struct Content {
    waiting: Option<Request>,
    closed: bool,
}

impl PreviewThread {
    /// Starts the thread that makes previews.
    ///
    /// # Errors
    ///
    /// If the system refuses to start a thread.
    pub fn open(kit: PreviewKit) -> std::io::Result<Self> {
        let slot = Arc::new(Slot::default());
        let inbox = slot.clone();
        // Separate pools: in the shared one, training's short tasks would queue behind the machines' long
        // ones, and training would stall while a preview is made.
        let (at_once, in_background) = (pool(0)?, pool(BACKGROUND_NICENESS)?);
        let work = move || {
            let mut predicted = BTreeSet::new();
            in_background.install(|| predict(&kit, &mut predicted));
            while let Some(request) = inbox.take() {
                in_background.install(|| predict(&kit, &mut predicted));
                let pool = if is_watched(&kit.run) { &at_once } else { &in_background };
                pool.install(|| serve(&kit, &request));
            }
        };
        let thread = thread::Builder::new().name("previews".to_owned()).spawn(work)?;
        Ok(Self { slot, thread: Some(thread) })
    }

    /// Requests a preview of this snapshot, replacing a request that is still waiting.
    pub fn request(&self, request: Request) {
        self.slot.lock().waiting = Some(request);
        self.slot.changed.notify_one();
    }
}

/// Threads for previews and floors, half as many as training has.
pub(super) fn pool(niceness: i32) -> std::io::Result<ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads((rayon::current_num_threads() / 2).max(1))
        .thread_name(|index| format!("previews {index}"))
        .start_handler(move |_| {
            // On Linux, of the calling thread alone. If it is refused, previews compete with training.
            let _ = rustix::process::nice(niceness);
        })
        .build()
        .map_err(std::io::Error::other)
}

impl Drop for PreviewThread {
    /// Waits for the last request to be served (or cancelled by the stop flag) and ends the thread.
    fn drop(&mut self) {
        self.slot.lock().closed = true;
        self.slot.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // `serve` catches panics, so the join carries no information.
            let _ = thread.join();
        }
    }
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a request; `None` once the thread is to end and none is waiting.
    fn take(&self) -> Option<Request> {
        let mut content = self.lock();
        loop {
            if let Some(request) = content.waiting.take() {
                return Some(request);
            }
            if content.closed {
                return None;
            }
            content = self.changed.wait(content).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Reports what machines predict for the network's attention, of each machine once, as soon as it is solved; a failure
/// does not affect training.
fn predict(kit: &PreviewKit, predicted: &mut BTreeSet<String>) {
    let Some(Probe { network, images, labels }) = &kit.probe else { return };
    let work = || {
        let machines = kit.machine_set.solved_except(predicted).map_err(anyhow::Error::from)?;
        predicted.extend(machines.names().map(str::to_owned));
        Ok::<_, anyhow::Error>(predict_attention(
            network,
            &machines,
            images,
            labels,
            kit.noise_seed,
        )?)
    };
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(found)) => {
            for (machine, metrics) in found {
                kit.board.emit(EventBody::PredictedAttention { machine, metrics });
            }
        }
        Ok(Err(error)) => {
            kit.board
                .notice(NoticeLevel::Warning, format!("predicting attention failed: {error:#}"));
        }
        Err(_) => {
            let words = "predicting attention failed (internal error); see the log";
            kit.board.notice(NoticeLevel::Error, words.to_owned());
        }
    }
}

fn serve(kit: &PreviewKit, request: &Request) {
    let step = request.step;
    let outcome = catch_unwind(AssertUnwindSafe(|| make(kit, request)));
    let complaint = match outcome {
        Ok(Ok(())) => return,
        Ok(Err(error)) => match error.downcast_ref::<DenoiseError>() {
            Some(DenoiseError::Cancelled) => return,
            _ => format!("the preview of step {step} failed: {error:#}"),
        },
        Err(_) => format!("the preview of step {step} failed (internal error); see the log"),
    };
    kit.board.notice(NoticeLevel::Error, complaint);
}

fn make(kit: &PreviewKit, request: &Request) -> anyhow::Result<()> {
    let maker = PreviewMaker {
        previews: &kit.run.previews_path(),
        machine_set: &kit.machine_set.solved_except(&BTreeSet::new())?,
        judge: kit.judge.as_ref(),
        noise: &NoiseSource::Drawn(kit.noise_seed),
        stop: &kit.stop,
    };
    let summary = maker.make(request.step, &request.network.clone().into(), &request.request)?;
    kit.board.emit_at(request.step, EventBody::Preview(Box::new(summary)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn previews_in_the_background_yield_to_training() {
        let niceness = |niceness: i32| {
            pool(niceness).unwrap().install(|| {
                let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
                // The name in parentheses may hold blanks; niceness is the 19th field.
                let fields: Vec<&str> =
                    stat.rsplit(')').next().unwrap().split_whitespace().collect();
                fields[16].parse::<i32>().unwrap()
            })
        };
        assert_eq!(niceness(BACKGROUND_NICENESS) - niceness(0), BACKGROUND_NICENESS);
    }
}
