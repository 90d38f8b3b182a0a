//! The best denoiser of a network's class, solved on the training images alone: the machine `attention-optimal`.
//!
//! The class is in [`crate::theory::attention_optimal`], the derivation in docs/theory.md section 12. No trained network
//! enters, only what its layers could compute.
//!
//! ```text
//! class_of_network   the class, of a network that has one
//! noised_draws       training images with fresh noise: what errors are averaged over
//! local_features     exact posterior moments of each noisy patch
//! function_of_class  one function of the class: the network's own layers, 1x1, on those moments
//! descent            gradient descent on its parameters, over all noise levels together
//! solution           the function found, and the noise levels at which it is better than the local machine
//! solution_file      a solution, or a descent that is not finished, on disk
//! cached_solver      solves each problem when it is first asked for, and keeps the solution
//! ```

pub mod class_of_network;
pub mod noised_draws;
pub mod local_features;
pub mod function_of_class;
pub mod solution;
pub mod descent;
pub mod solution_file;
pub mod cached_solver;

#[cfg(test)]
mod optimum_tests;

pub use cached_solver::CachedSolver;
pub use class_of_network::class_of_network;
