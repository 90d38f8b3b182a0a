//! What is computed about networks and score machines: samples, calibration, comparison, reports, inspection, studies.
//!
//! Deliberately absent: training, processes and terminals.

pub mod devices;
pub mod loading;
pub mod entropy;
pub mod samples;
pub mod figures;
pub mod previewing;
pub mod collapse;
pub mod charts;
pub mod calibration;
pub mod theory_samples;
pub mod mosaics;
pub mod compare;
pub mod report;
pub mod summary;
pub mod trained;
pub mod studies;
pub mod inspect;
