//! The best denoiser of a network's class, solved on the training images alone: the machine `attention-optimal`.
//!
//! The class is in [`crate::theory::attention_optimal`], the derivation in docs/theory.md section 12. No trained network
//! enters, only what its layers could compute.
//!
//! ```text
//! noised_draws     training images with fresh noise: what errors are averaged over
//! local_features   exact posterior moments of each noisy patch, scaled for one noise level
//! function_of_class  one function of the class: g, u, q and k of those features, around the network's own attention layer
//! level_solver     gradient descent on its parameters at one noise level
//! solution_file    the parameters of one level on disk
//! cached_solver    solves each level when it is first asked for, and keeps it
//! ```
//!
//! A level starts from the solution at the next noisier one of twenty fixed levels, which is solved first, so that neither
//! the order in which levels are asked for nor an interruption changes a solution.

pub mod noised_draws;
pub mod local_features;
pub mod function_of_class;
pub mod level_solver;
pub mod solution_file;
pub mod cached_solver;

#[cfg(test)]
mod optimum_tests;

pub use cached_solver::CachedSolver;
