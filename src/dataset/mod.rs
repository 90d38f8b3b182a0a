//! Training images: crafted sets that come with a rule, and files of real images.
//!
//! A [`Dataset`] holds bytes, because nearly every source is 8-bit (arrays of floats are rounded, which is stated): compact (60,000 images of 32x32 take 61
//! MB) and exact in any precision that a machine computes in. Bytes map to [-1, 1] by `b / 127.5 - 1`
//! ([`crate::image::from_byte`]). Nothing here knows about noise or networks.

mod image_set;
pub mod glyph_shapes;
pub mod crafted_rule;
pub mod crafted_glyphs_mirror_stripes;
pub mod error;
pub mod ignored_system_files;
pub mod gzip_and_tar;
pub mod idx;
pub mod cifar;
pub mod bilinear_resize_of_idx_and_cifar;
pub mod fit_to_square;
mod integer_labels;
pub mod array_layout;
pub mod value_range;
mod choose_arrays;
pub mod array_images;
mod jpeg_completeness;
mod jpeg_bits;
mod picture_metadata;
pub mod png_jpeg_webp;
mod pictures_to_pixels;
mod left_out_images;
mod folder_survey;
mod folder_classes;
mod folder_split;
mod parquet_shards;
mod parquet_columns;
mod parquet_pages;
pub mod parquet_images;
pub mod image_folder;
pub mod half;
pub mod open_dataset;
pub mod published_sets;
pub mod batch_order;

pub use batch_order::Batches;
pub use crafted_glyphs_mirror_stripes::{CraftedKind, CraftedSet, Glyphs, Stripes};
pub use crafted_rule::Rule;
pub use error::DatasetError;
pub use half::Half;
pub use image_set::Dataset;
pub use open_dataset::{DatasetSource, Selection, open, open_held_out};
