//! Training: the loop, its loss, optimiser state and checkpoints.
//!
//! Deliberately absent: who listens to a run, and what the numbers mean (`analysis`, a sibling).

pub mod config;
