//! Explicit SIMD vectors for the inner loops of theory and networks, in both precisions.
//!
//! [`real`] has the two floating-point types, [`lane`] their vectors on the processor of the host (16, 8 or 4 singles),
//! and [`matrix_product`] the matrix product of convolutions and attention.

pub mod real;
pub mod lane;
pub mod matrix_product;

pub use lane::{Buffer, Lane};
pub use real::Real;
