//! The run's floors, measured once beside training, and the network's excess over them while it trains.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};

use super::prepare_training::RunContext;
use super::preview_thread::{BACKGROUND_NICENESS, pool};
use crate::analysis::excess_over_floor::Convergence;
use crate::dataset::Dataset;
use crate::evaluation::floors::{RunFloors, class_floor, floor_dictionaries, network_excess};
use crate::evaluation::network_or_recorded_model::Model;
use crate::network::NetworkDenoiser;
use crate::runs::event::{EventBody, ExcessByLevel, NoticeLevel};
use crate::runs::status_and_heartbeat::StatusBoard;

/// Draws per noise level on which the network is tested while it trains: as many as a batch has, within these limits.
const LIVE_DRAWS_MIN: usize = 16;
const LIVE_DRAWS_MAX: usize = 64;

/// The thread that measures the floors with what training leaves of the processors.
pub struct FloorThread {
    /// The training images with the copies that training draws.
    trained_on: Arc<Dataset>,
    floors: Arc<Mutex<Option<Arc<RunFloors>>>>,
    cancel: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FloorThread {
    /// Starts measuring, or reads the floors that an earlier worker measured. The board reports them. Nothing is done if
    /// compare.floor_draws is 0.
    ///
    /// # Errors
    ///
    /// If the system refuses to start a thread.
    pub fn start(context: &RunContext, board: &Arc<StatusBoard>) -> std::io::Result<Self> {
        let floors = Arc::new(Mutex::new(None));
        let cancel = Arc::new(AtomicBool::new(false));
        let watched = cancel.clone();
        context.solver.watch(Arc::new(move |_, _| !watched.load(Ordering::SeqCst)));
        let (result, stop, board) = (floors.clone(), cancel.clone(), board.clone());
        let augmentation = context.experiment.training.augment;
        let trained_on = Arc::new(context.dataset.augmented(augmentation));
        let (dataset, network) = (trained_on.clone(), context.network.clone());
        let machines = context.machine_set.clone();
        let n_draws = context.experiment.compare.floor_draws;
        let how = (n_draws.max(2), context.experiment.noise_seed);
        let path = context.run.floors_path();
        if n_draws == 0 {
            return Ok(Self { trained_on, floors, cancel, thread: None });
        }
        let pool = pool(BACKGROUND_NICENESS)?;
        let (measuring, told) = (stop.clone(), board.clone());
        let measure = move || -> Result<()> {
            // `attention-optimal` takes longest, because it is solved first; until then the network is compared with the
            // local machine.
            let optimal = machines.optimal_class();
            let dictionaries = floor_dictionaries(&dataset, augmentation, &machines)?;
            for class in [None, optimal].into_iter().take(1 + usize::from(optimal.is_some())) {
                let class = (&network, class);
                let stop = &measuring;
                let found = RunFloors::load_or_measure(
                    &path,
                    &dataset,
                    &dictionaries,
                    class,
                    how,
                    stop,
                    &mut |_| {},
                )?;
                told.emit(EventBody::Floors(found.figures()));
                *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(found));
            }
            Ok(())
        };
        let work = move || {
            // Without floors, training goes on; the comparison tries again and reports its error.
            let problem = match catch_unwind(AssertUnwindSafe(|| pool.install(measure))) {
                Ok(Ok(())) => return,
                Ok(Err(_)) if stop.load(Ordering::SeqCst) || board.is_orphaned() => return,
                Ok(Err(error)) => format!("measuring the floors failed: {error:#}"),
                Err(_) => "measuring the floors failed (internal error); see the log".to_owned(),
            };
            board.notice(NoticeLevel::Warning, problem);
        };
        let thread = thread::Builder::new().name("floors".to_owned()).spawn(work)?;
        Ok(Self { trained_on, floors, cancel, thread: Some(thread) })
    }

    /// The floors as far as they are known.
    fn known(&self) -> Option<Arc<RunFloors>> {
        self.floors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the floors are known.
    pub fn are_known(&self) -> bool {
        self.known().is_some()
    }

    /// The network's excess over the floors, on a few draws per level; `None` as long as the floors are not known.
    ///
    /// # Errors
    ///
    /// If the network fails.
    pub fn excess(
        &self,
        context: &RunContext,
        network: &NetworkDenoiser,
    ) -> Result<Option<ExcessByLevel>> {
        let Some(floors) = self.known() else { return Ok(None) };
        let floors = &*floors;
        let n = context.experiment.training.batch.clamp(LIVE_DRAWS_MIN, LIVE_DRAWS_MAX);
        let network = Model::from(network.clone());
        let levels = network_excess(&network, &self.trained_on, None, floors, n, &self.cancel)
            .context("measuring the network's error by noise level")?;
        Ok(Some(ExcessByLevel {
            class_floor: class_floor(&context.network, floors).0.to_owned(),
            convergence: Convergence::of(&levels, context.network.schedule),
            levels,
        }))
    }
}

impl Drop for FloorThread {
    /// Ends the thread: what it has not measured by then is left to the comparison.
    fn drop(&mut self) {
        self.cancel.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // The thread catches panics, so the join carries no information.
            let _ = thread.join();
        }
    }
}
