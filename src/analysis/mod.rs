//! Analysis of samples and maps: agreement, judged creativity, provenance; tests of claims about them.
//!
//! Everything here is a pure function of arrays: nothing samples, trains, reads files or prints. A quantity
//! without a value (the correlation with a constant image) is `None`, never NaN.

pub mod confidence_intervals;
pub mod paired_differences;
pub mod holm_correction;
pub mod claim_tests;
pub mod glossary;
pub mod agreement;
pub mod agreement_over_seeds;
pub mod creativity_judge;
mod glyph_finder;
mod texture_finder;
mod connected_components;
pub mod provenance_statistics;
pub mod nearest_training_image;
pub mod training_time_scales;
pub mod critical_time;
pub mod excess_over_floor;
pub mod agreement_ceiling;
