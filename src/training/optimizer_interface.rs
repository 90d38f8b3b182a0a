//! What the trainer needs of an optimiser: updates, and a state that can be saved and restored.
//! [`super::adamw`] and [`super::soap`] are the two.

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor};

/// Hyperparameters of one update.
#[derive(Clone, Copy, Debug)]
pub struct Update {
    pub rate: f64,
    pub weight_decay: f64,
    /// Factor applied to all gradients, from [`super::gradient_clipping::clip_factor`].
    pub gradient_factor: f64,
}

/// An optimiser with its state for a list of parameters.
pub trait Optimizer: Send {
    /// Number of updates made so far.
    fn n_updates(&self) -> u64;

    /// Updates every parameter that has a gradient.
    ///
    /// # Errors
    ///
    /// If a tensor operation fails.
    fn update(&mut self, gradients: &GradStore, update: Update) -> Result<()>;

    /// Copies the state into named tensors, all of which [`Self::restore`] needs.
    ///
    /// # Errors
    ///
    /// If a tensor operation fails.
    fn state(&self) -> Result<Vec<(String, Tensor)>>;

    /// Restores the output of [`Self::state`] after `n_updates`; `take` returns the tensor of a name.
    ///
    /// # Errors
    ///
    /// Names the tensor that is missing or has another shape.
    fn restore(
        &mut self,
        n_updates: u64,
        take: &mut dyn FnMut(&str) -> Option<Tensor>,
    ) -> std::result::Result<(), String>;
}
