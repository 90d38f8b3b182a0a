//! Explicit vectors for the inner loops of theory and networks, in both precisions.
//!
//! [`lane`] is the vector of a number type on the machine the program finds itself on (16, 8 or 4
//! singles), [`product`] the one matrix product, of networks and of shared evidence.

pub mod real;
pub mod lane;
pub mod product;

pub use lane::{Buffer, Lane};
pub use real::Real;
