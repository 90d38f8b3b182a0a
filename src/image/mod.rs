//! Images: the batch that crosses every seam of the lab, its way to bytes and to pictures.

mod batch;
pub mod grid;
pub mod picture;

pub use batch::{ImageBatch, ImageShape, from_byte, to_byte};
