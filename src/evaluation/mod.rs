//! Evaluation of networks and score machines: samples, calibration, comparison, reports, inspection, studies.
//!
//! Reading order: [`samples`] (network and machines from the same seeds), [`calibration`], [`compare`], [`report`];
//! [`inspect`] records one seed in detail, [`studies`] compares whole runs. Pictures: [`png_charts`] draws plots,
//! [`picture_text`] writes on pictures, [`inspect::picture`] draws traces. Attention: [`attention_probe`] measures it
//! during training, [`attention_by_level`] averages it, [`samples::attention_agreement`] compares predicted
//! with measured maps.
//!
//! Deliberately absent: training, processes and terminals.

pub mod open_devices;
pub mod loading;
pub mod stop;
pub mod floors;
pub mod picture_text;
pub mod table;
pub mod png_charts;
pub mod attention_by_level;
pub mod calibration;
pub mod samples;
pub mod network_calibration;
pub mod trained_run;
pub mod theory_samples;
pub mod metrics;
pub mod attention_probe;
pub mod collapse;
pub mod mosaics;
pub mod preview_request;
pub mod preview_maker;
pub mod compare;
pub mod report;
pub mod summary;
pub mod studies;
pub mod inspect;
