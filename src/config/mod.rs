//! `lab.toml`: which experiments exist and how the lab behaves.
//!
//! One settings table ([`settings`]) names every key with its doc, default, accepted values and the
//! way into and out of an [`Experiment`]. It feeds the reading of `lab.toml`, `--set key=value`, the
//! resolved `run.toml`, the dashboard's edit form and the listing of `mosaic experiments`, so that a
//! key cannot mean two things. Deliberately absent: opening data sets or building networks (the
//! worker does that from what [`resolve`] returns).
//!
//! Reading order: [`value`] (what a key can hold), [`experiment`] (the settings of one experiment),
//! [`settings`] (the table), [`error`], [`mod@file`] (the TOML text), [`study`] (its studies), [`resolve`] (into domain types).

pub mod value;
pub mod experiment;
pub mod noise_seeds;
pub mod renamed;
pub mod settings;
mod edit;
mod identity;
pub mod error;
mod toml_text;
pub mod lab_settings;
mod experiment_sections;
pub mod study;
mod study_sections;
pub mod file;
pub mod resolve;

pub use edit::SettingEntry;
pub use error::{ConfigError, SettingError};
pub use experiment::{
    CalibrateSettings, CalibrationGrid, CompareSettings, DatasetSettings, Experiment,
    NetworkSettings, PreviewSettings, TheorySettings,
};
pub use file::{BUILT_IN, Lab, load};
pub use lab_settings::LabSettings;
pub use resolve::NamedMachine;
pub use study::{Analysis, Arm, Plan, Study};
