//! Explicit SIMD vectors for the inner loops of theory and networks, in both precisions.
//!
//! [`f32_or_f64`] has the two floating-point types, [`lane`] their vectors on the processor of the host (16, 8 or 4 singles),
//! [`matrix_product`] the matrix product of convolutions and attention, and [`bf16`] that of factors in bfloat16.

pub mod f32_or_f64;
pub mod lane;
pub mod matrix_product;
pub mod bf16;

pub use f32_or_f64::Real;
pub use lane::{Buffer, Lane};
