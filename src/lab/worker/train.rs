//! The training loop around the trainer: commands between steps, and maintenance once per step.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::prepare::Workshop;
use super::previews::{PreviewDesk, PreviewKit};
use crate::analysis::consistency::Judge;
use crate::lab::command::Command;
use crate::lab::control::ControlServer;
use crate::lab::event::{EventBody, Metrics, NoticeLevel};
use crate::lab::figures;
use crate::lab::status::RunState;
use crate::lab::status_board::StatusBoard;
use crate::training::{StepReport, TrainingError};

/// At most this many metrics events a second.
const METRICS_INTERVAL: Duration = Duration::from_millis(200);
/// The attention probe runs at most this often, and takes at most a tenth of the time.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);
const PROBE_SHARE: u32 = 10;
/// The first preview comes this early, so that there is something to look at.
const FIRST_PREVIEW_STEP: u64 = 25;
/// Steps in a row without a finite loss after which training is given up.
const NON_FINITE_MAX: usize = 50;
/// The final loss is the mean of this many last steps; a single step's is mostly noise.
const FINAL_LOSS_STEPS: usize = 100;

/// How training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Done,
    Stopped,
}

/// Trains until the last step or until told to stop; a checkpoint is written either way.
pub fn train(
    workshop: &mut Workshop,
    board: &Arc<StatusBoard>,
    control: &ControlServer,
    stop: &Arc<AtomicBool>,
) -> Result<Ending> {
    let steps = workshop.experiment.training.steps as u64;
    let desk = PreviewDesk::open(PreviewKit {
        run: workshop.run.clone(),
        seeds: workshop.preview_seeds.clone(),
        contestants: workshop.contestants.clone(),
        judge: Judge::new(&workshop.dataset),
        board: board.clone(),
        stop: stop.clone(),
    })
    .context("starting the preview thread")?;
    let mut loop_state = Loop {
        meter: Meter::new(workshop.experiment.training.batch),
        preview_every: workshop.experiment.preview.every as u64,
        next_probe: Instant::now(),
        saved_step: None,
        preview_step: None,
        last_losses: VecDeque::new(),
        n_non_finite: 0,
        workshop,
        board,
        desk: &desk,
    };
    board.set_state(RunState::Training, None);
    let ending = loop {
        if loop_state.workshop.trainer.n_steps_done() >= steps {
            break Ending::Done;
        }
        if stop.load(Ordering::SeqCst) || loop_state.obey(control, stop)? {
            break Ending::Stopped;
        }
        loop_state.step()?;
    };
    loop_state.finish(ending)?;
    desk.close();
    Ok(ending)
}

struct Loop<'a> {
    workshop: &'a mut Workshop,
    board: &'a Arc<StatusBoard>,
    desk: &'a PreviewDesk,
    meter: Meter,
    preview_every: u64,
    next_probe: Instant,
    /// The step of the newest checkpoint of this process.
    saved_step: Option<u64>,
    /// The step of the newest preview that was asked for.
    preview_step: Option<u64>,
    last_losses: VecDeque<f64>,
    n_non_finite: usize,
}

impl Loop<'_> {
    /// Carries out the commands that have come; true when one of them was to stop.
    fn obey(&mut self, control: &ControlServer, stop: &AtomicBool) -> Result<bool> {
        while let Some(command) = control.try_next() {
            match command {
                Command::Stop => return Ok(true),
                Command::Pause => {
                    if self.pause(control, stop)? {
                        return Ok(true);
                    }
                }
                other => self.carry_out(&other)?,
            }
        }
        Ok(false)
    }

    /// Waits for `Resume`; a checkpoint first, because a pause may outlive the machine. True when
    /// told to stop instead.
    fn pause(&mut self, control: &ControlServer, stop: &AtomicBool) -> Result<bool> {
        self.meter.flush(self.board);
        self.save()?;
        self.board.set_state(RunState::Paused, None);
        while !stop.load(Ordering::SeqCst) {
            match control.wait(Duration::from_millis(200)) {
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
            Command::Sample => self.preview(),
            Command::PreviewEvery { steps } => {
                self.preview_every = *steps;
                Ok(())
            }
            // Handled where they come in.
            Command::Pause | Command::Resume | Command::Stop => Ok(()),
        }
    }

    fn step(&mut self) -> Result<()> {
        match self.workshop.trainer.step() {
            Ok(report) => {
                self.n_non_finite = 0;
                self.meter.add(&report);
                if self.last_losses.len() == FINAL_LOSS_STEPS {
                    self.last_losses.pop_front();
                }
                self.last_losses.push_back(report.loss);
            }
            Err(error @ TrainingError::NonFinite { .. }) => self.note_non_finite(&error)?,
            Err(error) => return Err(error).context("training"),
        }
        let step = self.workshop.trainer.n_steps_done();
        self.board_step(step);
        if self.preview_every > 0
            && (step.is_multiple_of(self.preview_every)
                || step == FIRST_PREVIEW_STEP.min(self.preview_every))
        {
            self.preview()?;
        }
        if step.is_multiple_of(self.workshop.experiment.training.checkpoint_every as u64) {
            self.save()?;
        }
        if Instant::now() >= self.next_probe {
            self.probe()?;
        }
        Ok(())
    }

    fn note_non_finite(&mut self, error: &TrainingError) -> Result<()> {
        self.n_non_finite += 1;
        self.meter.add_gap();
        if self.n_non_finite == 1 {
            self.board.notice(NoticeLevel::Warning, error.to_string());
        }
        if self.n_non_finite >= NON_FINITE_MAX {
            bail!("{NON_FINITE_MAX} steps in a row had no finite loss; try a lower training.rate");
        }
        Ok(())
    }

    fn board_step(&mut self, step: u64) {
        if !self.meter.is_due() {
            return;
        }
        let steps = self.workshop.experiment.training.steps as u64;
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

    fn preview(&mut self) -> Result<()> {
        let network = self.workshop.trainer.ema_denoiser().context("taking a snapshot")?;
        let step = self.workshop.trainer.n_steps_done();
        self.preview_step = Some(step);
        self.desk.request(step, network);
        Ok(())
    }

    fn save(&mut self) -> Result<()> {
        let step = self.workshop.trainer.n_steps_done();
        if self.saved_step == Some(step) {
            return Ok(());
        }
        let started = Instant::now();
        let path = self.workshop.trainer.save(&self.workshop.run.state_path())?;
        self.saved_step = Some(step);
        let path = path.strip_prefix(self.workshop.run.path()).unwrap_or(&path);
        let body = EventBody::Checkpoint {
            path: path.to_string_lossy().into_owned(),
            seconds: started.elapsed().as_secs_f64(),
        };
        self.board.emit_at(step, body);
        Ok(())
    }

    /// Measures attention on the probe images at a few noise levels.
    fn probe(&mut self) -> Result<()> {
        let started = Instant::now();
        if self.workshop.network.attention.is_some() {
            let network = self.workshop.trainer.ema_denoiser().context("taking a snapshot")?;
            let network = match &self.workshop.probe_labels[..] {
                [] => network,
                labels => network.with_labels(labels.to_vec()),
            };
            let metrics = figures::probe_attention(
                &network,
                &self.workshop.probe,
                self.workshop.experiment.noise_seed,
            )
            .context("measuring attention")?;
            let step = self.workshop.trainer.n_steps_done();
            self.board.emit_at(step, EventBody::Attention(metrics));
        }
        let pause = PROBE_INTERVAL.max(started.elapsed() * PROBE_SHARE);
        self.next_probe = Instant::now() + pause;
        Ok(())
    }

    fn finish(&mut self, ending: Ending) -> Result<()> {
        let step = self.workshop.trainer.n_steps_done();
        if let Some(metrics) = self.meter.take() {
            self.board.emit_at(step, EventBody::Metrics(metrics));
        }
        let n_losses = self.last_losses.len();
        let mean = self.last_losses.iter().sum::<f64>() / n_losses.max(1) as f64;
        self.board.update(|status| {
            status.step = step;
            status.loss = if n_losses > 0 { Some(mean) } else { status.loss };
        });
        self.save()?;
        if ending == Ending::Done {
            self.next_probe = Instant::now();
            self.probe()?;
            if self.preview_every > 0 && self.preview_step != Some(step) {
                self.preview()?;
            }
        }
        Ok(())
    }
}

/// Averages steps between two metrics events.
struct Meter {
    batch: usize,
    since: Instant,
    n_steps: usize,
    n_finite: usize,
    loss: f64,
    grad_norm: f64,
    learning_rate: f64,
}

impl Meter {
    fn new(batch: usize) -> Self {
        Self {
            batch,
            since: Instant::now(),
            n_steps: 0,
            n_finite: 0,
            loss: 0.0,
            grad_norm: 0.0,
            learning_rate: 0.0,
        }
    }

    fn restart(&mut self) {
        *self = Self::new(self.batch);
    }

    fn add(&mut self, report: &StepReport) {
        self.n_steps += 1;
        self.n_finite += 1;
        self.loss += report.loss;
        self.grad_norm += report.gradient_norm;
        self.learning_rate = report.learning_rate;
    }

    /// A step without a finite loss.
    fn add_gap(&mut self) {
        self.n_steps += 1;
    }

    fn is_due(&self) -> bool {
        self.since.elapsed() >= METRICS_INTERVAL
    }

    fn take(&mut self) -> Option<Metrics> {
        if self.n_steps == 0 {
            return None;
        }
        let seconds = self.since.elapsed().as_secs_f64().max(1e-9);
        let mean = |sum: f64| (self.n_finite > 0).then(|| sum / self.n_finite as f64);
        let steps_per_s = self.n_steps as f64 / seconds;
        let metrics = Metrics {
            loss: mean(self.loss),
            grad_norm: mean(self.grad_norm),
            learning_rate: self.learning_rate,
            steps_per_s,
            images_per_s: steps_per_s * self.batch as f64,
        };
        self.restart();
        Some(metrics)
    }

    fn flush(&mut self, board: &StatusBoard) {
        if let Some(metrics) = self.take() {
            board.emit(EventBody::Metrics(metrics));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_without_a_finite_loss_count_as_steps_but_not_as_losses() {
        let mut meter = Meter::new(2);
        assert_eq!(meter.take(), None);
        let report = StepReport { step: 1, loss: 4.0, gradient_norm: 1.0, learning_rate: 0.1 };
        meter.add(&report);
        meter.add_gap();
        let metrics = meter.take().unwrap();
        assert_eq!(metrics.loss, Some(4.0));
        meter.add_gap();
        assert_eq!(meter.take().unwrap().loss, None);
    }
}
