//! Non-finite losses (NaN or infinite): after several in a row, the weights of the last checkpoint are restored.

use anyhow::{Context, Result, bail};

use super::prepare_training::RunContext;
use crate::runs::event::NoticeLevel;
use crate::runs::status_and_heartbeat::StatusBoard;
use crate::training::{TrainingError, checkpoint};

/// Number of times the last checkpoint is restored before training is abandoned.
const ROLLBACKS_MAX: usize = 3;

/// Counts steps without a finite loss, and rollbacks.
#[derive(Debug, Default)]
pub struct NonFiniteLosses {
    /// Steps without a finite loss since the last one with.
    n_in_a_row: usize,
    n_rollbacks: usize,
}

impl NonFiniteLosses {
    /// A step had a finite loss.
    pub fn end(&mut self) {
        self.n_in_a_row = 0;
    }

    /// A step ended with `error` because its loss was not finite.
    ///
    /// # Errors
    ///
    /// As [`Self::roll_back`], after `training.rollback_after` such steps in a row.
    pub fn add(
        &mut self,
        context: &mut RunContext,
        board: &StatusBoard,
        error: &TrainingError,
    ) -> Result<()> {
        self.n_in_a_row += 1;
        if self.n_in_a_row == 1 {
            board.notice(NoticeLevel::Warning, error.to_string());
        }
        if self.n_in_a_row >= context.experiment.training.rollback_after {
            let reason = format!("{} steps in a row had no finite loss", self.n_in_a_row);
            self.roll_back(context, board, &reason)?;
        }
        Ok(())
    }

    /// Restores the last checkpoint's weights; the following steps draw different data.
    ///
    /// # Errors
    ///
    /// If there is no checkpoint, if it cannot be restored, or if this was done three times before.
    pub fn roll_back(
        &mut self,
        context: &mut RunContext,
        board: &StatusBoard,
        reason: &str,
    ) -> Result<()> {
        let advice = "try a lower training.learning_rate";
        if self.n_rollbacks >= ROLLBACKS_MAX {
            bail!("{reason}, after restoring a checkpoint {ROLLBACKS_MAX} times; {advice}");
        }
        let latest = checkpoint::latest_valid(&context.run.state_path())?;
        let Some((place, saved)) = latest.found else {
            bail!("{reason}, and there is no checkpoint to restore; {advice}");
        };
        self.n_rollbacks += 1;
        self.n_in_a_row = 0;
        context.trainer.roll_back(saved).context("restoring a checkpoint")?;
        let text = format!("{reason}: restored the weights of step {}", place.step);
        board.notice(NoticeLevel::Warning, text);
        Ok(())
    }
}
