//! Interventions: what becomes of a sample if the attention of the network, or of the theory, is changed, and at which noise
//! level its global properties are decided.
//!
//! Reading order: [`changed_attention`] (a denoiser with other maps), [`change_by_hand`]
//! (as `mosaic inspect` reads it), [`denoiser_of_classes`], [`intervention_figures`]
//! (what is measured), [`intervene`] (all interventions on a run).

pub mod changed_attention;
pub mod change_by_hand;
pub mod denoiser_of_classes;
pub mod intervention_figures;
pub mod intervene;

pub use change_by_hand::ChangeByHand;
pub use intervention_figures::{Change, ChangeFigures, CriticalTime, InterventionFigures};
