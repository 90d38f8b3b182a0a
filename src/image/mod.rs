//! Image batches, and their conversion to bytes and pictures.

mod batch;
pub mod grid;
pub mod picture;

pub use batch::{ImageBatch, ImageShape, from_byte, to_byte};
