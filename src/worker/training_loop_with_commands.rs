//! The training of a run: the worker's loop around the trainer, with commands between steps (pause, checkpoint,
//! preview), and maintenance once per step.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::full_disk::{Control, wait_for_space};
use super::loss_and_speed_meters::{LevelMeter, Meter};
use super::measure_floors::FloorThread;
use super::non_finite_loss_rollback::NonFiniteLosses;
use super::prepare_training::{Probe, RunContext};
use super::preview_thread::{PreviewKit, PreviewThread, Request};
use crate::analysis::creativity_judge::Judge;
use crate::evaluation::attention_entropy_collapse::CollapseWatch;
use crate::evaluation::attention_entropy_probe::probe_attention;
use crate::evaluation::preview_request::PreviewRequest;
use crate::runs::control_messages::Command;
use crate::runs::control_socket::ControlServer;
use crate::runs::event::{EventBody, LossByLevel, NoticeLevel};
use crate::runs::status_and_heartbeat::StatusBoard;
use crate::runs::status_json::RunState;
use crate::training::TrainingError;

/// The attention probe has this minimum interval, and takes at most a tenth of the time.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);
const PROBE_SHARE: u32 = 10;
/// Steps of previews before the first regular one: the network changes most at the beginning, and there is something to look
/// at soon.
const EARLY_PREVIEW_STEPS: [u64; 4] = [25, 100, 250, 500];
/// The final loss is averaged over this many last steps; a single step's loss is mostly noise.
const FINAL_LOSS_STEPS: usize = 100;

/// Trains until the last step or a stop request, and writes a checkpoint in both cases. Returns the loss at each
/// noise level over the last steps; `None` if training was stopped.
///
/// # Errors
///
/// If the preview thread cannot be started, if a training step, a checkpoint, a snapshot of the network or an
/// attention measurement fails, or if rollbacks do not restore a finite loss.
pub fn train(
    context: &mut RunContext,
    board: &Arc<StatusBoard>,
    control: &ControlServer,
    stop: &Arc<AtomicBool>,
) -> Result<Option<LossByLevel>> {
    let steps = context.experiment.training.steps as u64;
    let previews = PreviewThread::open(PreviewKit {
        run: context.run.clone(),
        noise_seed: context.experiment.noise_seed,
        machine_set: context.machine_set.clone(),
        judge: Judge::new(&context.dataset),
        board: board.clone(),
        stop: stop.clone(),
        probe: context.probe.clone(),
    })
    .context("starting the preview thread")?;
    let floors = FloorThread::start(context, board).context("starting the thread for floors")?;
    let mut loop_state = Loop {
        meter: Meter::new(context.experiment.training.batch),
        preview_every: context.experiment.preview.every.map_or(0, |n| n.get() as u64),
        next_probe: Instant::now(),
        saved_step: None,
        preview_step: None,
        last_losses: VecDeque::new(),
        levels: LevelMeter::default(),
        non_finite: NonFiniteLosses::default(),
        collapse: CollapseWatch::default(),
        put_off: VecDeque::new(),
        control,
        stop,
        context,
        board,
        previews: &previews,
        floors: &floors,
    };
    board.set_state(RunState::Training, None);
    let is_done = loop {
        let n_done = loop_state.context.trainer.n_steps_done();
        if n_done >= steps {
            break true;
        }
        if let Some(reason) = loop_state.context.trainer.early_end() {
            board.notice(NoticeLevel::Info, format!("training ends at step {n_done}: {reason}"));
            break true;
        }
        if stop.load(Ordering::SeqCst) || loop_state.obey()? {
            break false;
        }
        loop_state.step()?;
    };
    let levels = loop_state.finish(is_done)?;
    if is_done {
        // Commands are decided by this state from here on, even if the last preview is still in progress.
        board.set_state(RunState::Comparing, None);
    }
    drop((previews, floors));
    Ok(is_done.then_some(levels))
}

struct Loop<'a> {
    context: &'a mut RunContext,
    board: &'a Arc<StatusBoard>,
    previews: &'a PreviewThread,
    floors: &'a FloorThread,
    control: &'a ControlServer,
    stop: &'a AtomicBool,
    meter: Meter,
    preview_every: u64,
    next_probe: Instant,
    /// Step of the newest checkpoint written by this process.
    saved_step: Option<u64>,
    /// Step of the newest requested preview.
    preview_step: Option<u64>,
    last_losses: VecDeque<f64>,
    levels: LevelMeter,
    non_finite: NonFiniteLosses,
    collapse: CollapseWatch,
    /// Accepted commands that arrived while the disk was full.
    put_off: VecDeque<Command>,
}

impl Loop<'_> {
    /// Carries out pending commands; true if one of them was to stop.
    fn obey(&mut self) -> Result<bool> {
        while let Some(command) = self.put_off.pop_front().or_else(|| self.control.try_next()) {
            match command {
                Command::Stop => return Ok(true),
                Command::Pause => {
                    if self.pause()? {
                        return Ok(true);
                    }
                }
                other => self.carry_out(&other)?,
            }
        }
        Ok(false)
    }

    /// Waits for `Resume`. Writes a checkpoint first, because a pause may outlast the computer's uptime.
    /// Returns true if asked to stop instead.
    fn pause(&mut self) -> Result<bool> {
        // The status is updated only at intervals, but a paused run must show its exact step.
        let step = self.context.trainer.n_steps_done();
        self.board.update(|status| status.step = step);
        if let Some(metrics) = self.meter.take() {
            self.board.emit(EventBody::Metrics(metrics));
        }
        self.save()?;
        self.board.set_state(RunState::Paused, None);
        while !self.stop.load(Ordering::SeqCst) {
            let wait = || self.control.wait(Duration::from_millis(200));
            match self.put_off.pop_front().or_else(wait) {
                Some(Command::Stop) => return Ok(true),
                Some(Command::Resume) => {
                    self.meter.restart();
                    self.board.set_state(RunState::Training, None);
                    return Ok(false);
                }
                Some(other) => self.carry_out(&other)?,
                None => {}
            }
        }
        Ok(true)
    }

    fn carry_out(&mut self, command: &Command) -> Result<()> {
        match command {
            Command::Checkpoint => self.save(),
            Command::Sample { seeds, steps } => match self.own().or(*seeds, *steps) {
                Ok(request) => self.preview(request),
                // The control server has already refused it.
                Err(_) => Ok(()),
            },
            Command::PreviewEvery { steps } => {
                self.preview_every = *steps;
                Ok(())
            }
            // Handled by the caller.
            Command::Pause | Command::Resume | Command::Stop => Ok(()),
        }
    }

    fn step(&mut self) -> Result<()> {
        match self.context.trainer.step() {
            Ok(report) => {
                self.non_finite.end();
                self.meter.add(&report);
                self.levels.add(&report.errors);
                if self.last_losses.len() == FINAL_LOSS_STEPS {
                    self.last_losses.pop_front();
                }
                self.last_losses.push_back(report.loss);
            }
            Err(error @ TrainingError::NonFinite { .. }) => {
                self.meter.add_gap();
                self.non_finite.add(self.context, self.board, &error)?;
            }
            Err(error) => return Err(error).context("training"),
        }
        let step = self.context.trainer.n_steps_done();
        self.board_step(step);
        let is_early = step < self.preview_every && EARLY_PREVIEW_STEPS.contains(&step);
        if self.preview_every > 0 && (is_early || step.is_multiple_of(self.preview_every)) {
            self.preview(self.own())?;
        }
        if step.is_multiple_of(self.context.experiment.training.checkpoint_every as u64) {
            self.save()?;
        }
        if Instant::now() >= self.next_probe {
            self.probe()?;
        }
        Ok(())
    }

    fn board_step(&mut self, step: u64) {
        if !self.meter.is_due() {
            return;
        }
        let steps = self.context.experiment.training.steps as u64;
        if let Some(metrics) = self.meter.take() {
            self.board.update(|status| {
                status.step = step;
                status.loss = metrics.loss.or(status.loss);
                status.steps_per_s = metrics.steps_per_s;
                status.eta_s = (metrics.steps_per_s > 0.0)
                    .then(|| steps.saturating_sub(step) as f64 / metrics.steps_per_s);
            });
            self.board.emit_at(step, EventBody::Metrics(metrics));
        }
    }

    /// The run's regular previews.
    fn own(&self) -> PreviewRequest {
        PreviewRequest::of(&self.context.experiment)
    }

    fn preview(&mut self, request: PreviewRequest) -> Result<()> {
        let network = self.context.trainer.ema_denoiser().context("taking a snapshot")?;
        let step = self.context.trainer.n_steps_done();
        self.preview_step = Some(step);
        self.previews.request(Request { step, network, request });
        Ok(())
    }

    fn save(&mut self) -> Result<()> {
        let step = self.context.trainer.n_steps_done();
        if self.saved_step == Some(step) || self.board.is_orphaned() {
            return Ok(());
        }
        let started = Instant::now();
        let path = loop {
            match self.context.trainer.save(&self.context.run.state_path()) {
                Ok(path) => break path,
                Err(TrainingError::Checkpoint(error)) if error.is_full_disk() => {
                    let control = Control { server: self.control, stop: self.stop };
                    let run = &self.context.run;
                    let goes_on =
                        wait_for_space(run, self.board, control, &error, &mut self.put_off);
                    self.meter.restart();
                    if !goes_on {
                        return Err(error)
                            .context("stopping without a checkpoint of the last steps");
                    }
                }
                Err(error @ TrainingError::Poisoned { .. }) => {
                    return self.non_finite.roll_back(self.context, self.board, &error.to_string());
                }
                Err(error) => return Err(error).context("writing a checkpoint"),
            }
        };
        self.saved_step = Some(step);
        let path = self.context.run.relative(&path);
        let body = EventBody::Checkpoint {
            path: path.to_string_lossy().into_owned(),
            seconds: started.elapsed().as_secs_f64(),
        };
        self.board.emit_at(step, body);
        Ok(())
    }

    /// Measures the network beside training: its error above the floor, its attention, its loss by noise level.
    fn probe(&mut self) -> Result<()> {
        let started = Instant::now();
        self.measure_excess()?;
        let RunContext { network, probe, .. } = &*self.context;
        if let (Some(attention), Some(Probe { images, labels, .. })) = (network.attention, probe) {
            let network = self.context.trainer.ema_denoiser().context("taking a snapshot")?;
            let network = match &labels[..] {
                [] => network,
                labels => network.with_labels(labels.to_vec()),
            };
            let metrics = probe_attention(&network, images, self.context.experiment.noise_seed)
                .context("measuring attention")?;
            let step = self.context.trainer.n_steps_done();
            for text in self.collapse.look(attention.variant, &metrics) {
                self.board.notice(NoticeLevel::Warning, text);
            }
            self.board.emit_at(step, EventBody::Attention(metrics));
        }
        if let Some(levels) = self.levels.take() {
            self.board.emit(EventBody::LossByLevel(levels));
        }
        let pause = PROBE_INTERVAL.max(started.elapsed() * PROBE_SHARE);
        self.next_probe = Instant::now() + pause;
        Ok(())
    }

    /// Measures how far the network's error is above its floor, once that is known.
    fn measure_excess(&mut self) -> Result<()> {
        if !self.floors.are_known() {
            return Ok(());
        }
        let network = self.context.trainer.ema_denoiser().context("taking a snapshot")?;
        if let Some(excess) = self.floors.excess(self.context, &network)? {
            self.board.emit_at(self.context.trainer.n_steps_done(), EventBody::Excess(excess));
        }
        Ok(())
    }

    fn finish(&mut self, is_done: bool) -> Result<LossByLevel> {
        let step = self.context.trainer.n_steps_done();
        if let Some(metrics) = self.meter.take() {
            self.board.emit_at(step, EventBody::Metrics(metrics));
        }
        let n_losses = self.last_losses.len();
        let mean = self.last_losses.iter().sum::<f64>() / n_losses.max(1) as f64;
        self.board.update(|status| {
            status.step = step;
            status.loss = if n_losses > 0 { Some(mean) } else { status.loss };
        });
        let levels = self.levels.recent();
        self.save()?;
        if is_done {
            self.next_probe = Instant::now();
            self.probe()?;
            if self.preview_every > 0 && self.preview_step != Some(step) {
                self.preview(self.own())?;
            }
        }
        Ok(levels)
    }
}
