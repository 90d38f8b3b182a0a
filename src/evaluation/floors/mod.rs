//! Floors: the mean squared error that theory allows a denoiser at each noise level, and how far a network is above it.
//!
//! ```text
//! noised_images           clean images with noise added at a level: what a denoiser is tested on
//! squared_error           E || phi - x0hat ||^2 per value, by Monte Carlo, with its standard error
//! floor_machines          the machines whose errors are floors: ideal, es, els or bbels
//! floors_file             the floors of one run, on disk
//! network_error_by_level  a network's error beside the floor of its class
//! floors_of_trained_run   all of it for a trained run
//! floors_chart            errors and floors by noise level, as a picture
//! ```
//!
//! A network of a given class (local, equivariant) cannot have a smaller expected error on its training images than the
//! optimum of that class, which for a CNN is `els` (circular padding) or `bbels` (zero padding) at the CNN's receptive
//! field, and never a smaller one than `ideal` (docs/theory.md section 10). [`crate::analysis::excess_over_floor`] has the word for a network.

pub mod noised_images;
pub mod squared_error;
pub mod floor_machines;
pub mod floors_file;
pub mod network_error_by_level;
pub mod floors_of_trained_run;
pub(super) mod floors_chart;

pub use floor_machines::{DRAWS_MAX, Draws, FloorMachine, LevelFloor, floor_dictionaries};
pub use floors_file::RunFloors;
pub use floors_of_trained_run::NetworkFloors;
pub use network_error_by_level::{class_floor, network_excess};
pub use noised_images::NoisedImages;
pub use squared_error::squared_errors;
