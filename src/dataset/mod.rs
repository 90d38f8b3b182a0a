//! Training images: crafted sets that come with a rule, and files of real images.
//!
//! A [`Dataset`] holds bytes, because every supported source is 8-bit: compact (60,000 images of 32x32 take 61
//! MB) and exact in any precision that a machine computes in. Bytes map to [-1, 1] by `b / 127.5 - 1`
//! ([`crate::image::from_byte`]). Nothing here knows about noise or networks.

mod set;
pub mod shapes;
pub mod rule;
pub mod crafted;
pub mod error;
pub mod private_copy;
pub mod file_kind;
pub mod tensor_file;
pub mod litter;
pub mod compressed;
pub mod idx;
pub mod cifar;
mod jpeg;
mod jpeg_bits;
mod metadata;
pub mod picture;
mod left_out;
mod survey;
mod folder_classes;
pub mod folder;
pub mod resize;
pub mod source;
pub mod batches;

pub use batches::Batches;
pub use crafted::{CraftedKind, CraftedSet, Glyphs, Stripes};
pub use error::DatasetError;
pub use rule::Rule;
pub use set::Dataset;
pub use source::{DatasetSource, open, open_held_out};
