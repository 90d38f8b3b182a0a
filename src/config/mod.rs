//! `lab.toml`: the experiments and the settings of the lab.
//!
//! Each setting is defined once ([`experiment`]): a field of an [`Experiment`] with its default, the values that it
//! accepts and its explanation. The table of all of them ([`settings`]) is used to read `lab.toml` and `--set key=value`, to
//! write the resolved `run.toml`, and for the dashboard's edit form and `mosaic experiments`, so that a key means the same
//! everywhere. Opening data sets and building networks is not done here; the worker does that from what
//! [`resolve`] returns.
//!
//! Reading order: [`value`] (values of a key), [`accepted`] (which of them it takes), [`field`] (their Rust types), [`setting`] (one key), [`noise_seeds`] (ranges with a purpose),
//! [`experiment`] (the settings of one experiment), [`settings`] (the table), [`renamed`] (old keys), [`lab_settings`] (`[lab]`), [`mod@file`] (the TOML
//! text), [`study`] (its studies), [`resolve`] (into domain types).

pub mod value;
pub mod accepted;
pub mod field;
pub mod setting;
pub mod noise_seeds;
pub mod experiment;
pub mod renamed;
pub mod settings;
mod set_argument;
mod setting_entries;
pub mod fixed_by_training;
pub mod error;
mod toml_text;
pub mod lab_settings;
mod experiment_sections;
pub mod study;
mod study_sections;
pub mod file;
pub mod resolve;

pub use error::{ConfigError, SettingError};
pub use experiment::{
    CalibrateSettings, CalibrationGrid, CompareSettings, DatasetSettings, Experiment,
    NetworkSettings, PreviewSettings, TheorySettings,
};
pub use file::{BUILT_IN, Lab, load};
pub use lab_settings::LabSettings;
pub use resolve::NamedMachine;
pub use setting_entries::SettingEntry;
pub use study::{Analysis, Arm, Plan, Study};
