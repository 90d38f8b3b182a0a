//! `lab.toml`: the experiments and the settings of the lab.
//!
//! Each setting is defined once ([`experiment_settings`]): a field of an [`Experiment`] with its default, the values that it
//! accepts and its explanation. The list of all of them ([`find_setting`]) is used to read `lab.toml` and `--set
//! key=value`, to write the resolved `run.toml`, and for the dashboard's edit form and `mosaic experiments`, so that a
//! key means the same everywhere. Opening data sets and building networks is not done here; the worker does that from
//! what [`network_and_machines_of_experiment`] returns.
//!
//! Reading order: [`setting_value`] (values of a key), [`parse_and_check_value`] (which of them it takes), [`value_to_rust_type`]
//! (their Rust types), [`setting_definition`] (one key), [`noise_seed_purposes`] (ranges with a purpose),
//! [`enum_settings`] (settings that are words), [`experiment_name`], [`experiment_settings`] (the settings of one experiment),
//! [`find_setting`] (by key), [`renamed_settings`] (old keys),
//! [`lab_settings`] (`[lab]`), [`mod@lab_file`] (the TOML text), [`study`] (its studies),
//! `settings_that_fit_together` and `missing_data_files` (what is refused), [`network_and_machines_of_experiment`] (into
//! domain types), [`optimizers_for_cpu_only`] (where it can be trained).

pub mod setting_value;
pub mod nearest_name;
pub mod parse_and_check_value;
pub mod value_to_rust_type;
pub mod setting_definition;
pub mod noise_seed_purposes;
pub mod noise_seed_argument;
pub mod experiment_name;
pub mod enum_settings;
pub mod experiment_settings;
pub mod renamed_settings;
pub mod find_setting;
mod change_setting_by_key;
mod settings_listing;
pub mod name_of_changes;
pub mod settings_fixed_by_training;
pub mod error;
mod toml_reader;
pub mod lab_settings;
mod read_experiment_sections;
pub mod study;
pub mod training_seed_group;
mod read_study_sections;
pub mod lab_file;
mod settings_that_fit_together;
mod missing_data_files;
pub mod network_and_machines_of_experiment;
pub mod optimizers_for_cpu_only;

pub use enum_settings::LargestSide;
pub use error::{ConfigError, SettingError};
pub use experiment_settings::{
    CalibrateSettings, CalibrationGrid, CompareSettings, DatasetSettings, Experiment,
    NetworkSettings, PreviewSettings, TheorySettings,
};
pub use lab_file::{BUILT_IN, Lab, load};
pub use lab_settings::LabSettings;
pub use network_and_machines_of_experiment::NamedMachine;
pub use settings_listing::SettingEntry;
pub use study::{Analysis, Arm, Margins, Plan, Study};
