//! Analysis of samples and maps: agreement, judged creativity, provenance.
//!
//! Everything here is a pure function of arrays: nothing samples, trains, reads files or prints. A quantity
//! without a value (the correlation with a constant image) is `None`, never NaN.

pub mod agreement;
pub mod intervals;
pub mod judge;
mod templates;
mod textures;
mod components;
pub mod provenance;
pub mod copies;
pub mod excess;
