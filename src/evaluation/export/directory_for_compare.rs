//! The `external.toml` beside exported arrays, with which `mosaic compare --external` reads their directory as the record of a
//! model.

use std::path::Path;

use crate::config::Experiment;
use crate::evaluation::external::external_toml::{Channels, ExternalToml, Values};

/// Sections of settings on which a comparison depends.
const SECTIONS: [&str; 6] =
    ["dataset.", "network.", "diffusion.", "theory.", "compare.", "calibrate."];

/// The description of the samples of `run`, in the file `arrays`; the first `n_calibration` are those of calibration seeds.
///
/// All settings are named, so that it stays true when the experiment called `base` in the lab file changes. A path is made
/// absolute.
pub fn description(
    run: &str,
    experiment: &Experiment,
    base: &str,
    arrays: &Path,
    n_calibration: usize,
) -> ExternalToml {
    let entries = experiment.entries().into_iter();
    let entries =
        entries.filter(|entry| SECTIONS.iter().any(|section| entry.key.starts_with(section)));
    let pair = |key: &str, value: String| {
        let is_path = matches!(key, "dataset.path" | "dataset.labels") && !value.is_empty();
        let value = match is_path {
            true => experiment.root.join(value).to_string_lossy().into_owned(),
            false => value,
        };
        format!("{key}={value}")
    };
    ExternalToml {
        name: run.to_owned(),
        experiment: base.to_owned(),
        set: entries.map(|entry| pair(entry.key, entry.value)).collect(),
        arrays: vec![arrays.to_owned()],
        value_range: Some(Values::Signed),
        channels: Channels::First,
        calibration: Some(n_calibration),
        directory: None,
        digest: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_of_the_description_make_the_experiment_again() {
        let mut experiment = Experiment::default();
        experiment.set("network.kernels", "3,5,1").unwrap();
        experiment.set("theory.machines", "els,ls").unwrap();
        experiment.set("dataset.path", "images with spaces, and a comma").unwrap();
        experiment.set("calibrate.seeds", "0").unwrap();
        experiment.root = "/some/place".into();
        let found = description("a", &experiment, "b", Path::new("x.npz"), 3);
        let mut again = Experiment::default();
        again.set("network.kernels", "7").unwrap();
        again.set("dataset.split", "train").unwrap();
        again.set_pairs(&found.set).unwrap();
        let value = |key: &str| again.get(key).unwrap().plain();
        assert_eq!(value("dataset.path"), "/some/place/images with spaces, and a comma");
        again.set("dataset.path", "images with spaces, and a comma").unwrap();
        assert_eq!(again.entries(), experiment.entries());
        assert_eq!((found.name.as_str(), found.calibration), ("a", Some(3)));
    }
}
