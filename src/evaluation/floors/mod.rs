//! Floors: the mean squared error that theory allows a denoiser at each noise level, and how far a network is above it.
//!
//! ```text
//! noised_images   clean images with noise added at a level: what a denoiser is tested on
//! squared_error   E || phi - x0hat ||^2 per value, by Monte Carlo, with its standard error
//! machines        the machines whose errors are floors: ideal, es, els or bbels
//! run_floors      the floors of one run, on disk
//! excess          a network's error beside the floor of its class ([`crate::analysis::excess`] has the word for it)
//! trained         all of it for a trained run
//! ```
//!
//! A network of a given class (local, equivariant) cannot have a smaller expected error on its training images than the
//! optimum of that class, which for a CNN is `els` (circular padding) or `bbels` (zero padding) at the CNN's receptive
//! field, and never a smaller one than `ideal` (docs/theory.md, "Floors").

pub mod noised_images;
pub mod squared_error;
pub mod machines;
pub mod run_floors;
pub mod excess;
pub mod trained;

pub use excess::{class_floor, network_excess};
pub use machines::{FloorMachine, LevelFloor, draws_for};
pub use noised_images::NoisedImages;
pub use run_floors::RunFloors;
pub use squared_error::squared_errors;
pub use trained::NetworkFloors;
