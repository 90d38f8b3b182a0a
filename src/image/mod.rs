//! Images: the batch that crosses every seam of the lab, and its way to bytes.

mod batch;

pub use batch::{ImageBatch, ImageShape, from_byte, to_byte};
