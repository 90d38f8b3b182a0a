//! Image batches, and their conversion to bytes and pictures.

mod batch;
pub mod augmentation;
pub mod grid;
pub mod picture_file;
pub mod picture_text;
pub mod contact_sheet;

pub use augmentation::{Augmentation, Symmetry};
pub use batch::{ImageBatch, ImageShape, from_byte, to_byte};
