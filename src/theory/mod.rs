//! Score machines: what analytic theory says a network must make of a noisy image.
//!
//! Deliberately absent: networks (a sibling; their attention maps arrive as plain arrays), training.

pub mod spec;
