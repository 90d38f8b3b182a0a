//! Analysis: what samples and maps say - agreement, judged creativity, provenance.
//!
//! Everything here is a pure function of arrays: nothing samples, trains, reads files or prints. Where
//! a quantity has no value (the correlation with a constant image) the answer is `None`, never NaN.

pub mod agreement;
pub mod summary;
pub mod consistency;
mod templates;
mod textures;
mod components;
pub mod provenance;
pub mod novelty;
