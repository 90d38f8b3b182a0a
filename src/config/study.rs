//! `[study.NAME]`: a claim of the theory, the runs that test it, and how their reports are evaluated.
//!
//! A study runs its experiments with every combination of the values that it varies. Its `quick` table modifies
//! the full plan into one that takes a few minutes.

use strum::{EnumString, IntoStaticStr, VariantNames};

use std::path::Path;

use super::error::SettingError;
use super::experiment_settings::Experiment;
use super::find_setting::{self, Setting};
use super::nearest_name::nearest;
use super::setting_value::Value;

/// How the reports of a study's runs are evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum Analysis {
    /// Networks with attention against the same networks without it: are samples consistent and creative?
    Consistency,
    /// Which machine predicts which network?
    Theory,
    /// What must attention be able to do?
    Ablations,
    /// Do networks compute local posterior means, and with which patches?
    Locality,
    /// Does the optimum of a class predict what each variant of attention and each readout does?
    AttentionVariants,
    /// Do samples follow attention maps, and when is their global feature decided?
    Interventions,
    /// When do networks copy their training images?
    Copying,
    /// When during training do networks copy their training images?
    Memorisation,
    /// Do networks of disjoint halves of a set make the same images?
    DisjointHalves,
}

/// Differences up to which figures count as equal, in statements that say that something has no effect or happens as often.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Margins {
    /// Of shares, such as consistent samples or copies.
    pub rate: f64,
    /// Of Pearson's r between a machine's and the network's samples.
    pub r: f64,
}

impl Default for Margins {
    fn default() -> Self {
        Self { rate: 0.1, r: 0.05 }
    }
}

/// A study of `lab.toml`.
#[derive(Clone, Debug, PartialEq)]
pub struct Study {
    pub name: String,
    pub claim: String,
    pub analysis: Analysis,
    pub margins: Margins,
    pub full: Plan,
    /// The full plan with the changes of the study's `quick` table.
    pub quick: Plan,
}

/// The runs of a study.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub experiments: Vec<String>,
    /// Settings common to all runs.
    pub set: Vec<(&'static str, Value)>,
    /// Settings that vary; every combination is a run.
    pub vary: Vec<(&'static str, Vec<Value>)>,
}

/// One run of a study.
#[derive(Clone, Debug, PartialEq)]
pub struct Arm {
    /// Named after the varied settings.
    pub experiment: Experiment,
    /// The experiment in `lab.toml` that this is a variation of.
    pub base: String,
    /// What tells its run from others of the experiment, if the experiment's name does not.
    pub label: String,
    /// The varied settings and their values.
    pub varied: Vec<(&'static str, String)>,
}

impl Plan {
    /// The runs of the plan, omitting those with the same settings as another.
    ///
    /// # Errors
    ///
    /// If an experiment or a setting is unknown, or if the settings of a run cannot work together.
    pub fn arms(&self, experiments: &[Experiment]) -> Result<Vec<Arm>, SettingError> {
        let mut arms: Vec<Arm> = Vec::new();
        for name in &self.experiments {
            let names = || experiments.iter().map(|experiment| &*experiment.name);
            let base = experiments.iter().find(|experiment| *experiment.name == **name);
            let base = base.ok_or_else(|| SettingError::Value {
                key: "experiments".to_owned(),
                found: format!("'{name}'"),
                accepted: "names of experiments".to_owned(),
                nearest: nearest(name, names()).map(str::to_owned),
            })?;
            let mut first = Arm {
                experiment: base.clone(),
                base: name.clone(),
                label: String::new(),
                varied: Vec::new(),
            };
            for (key, value) in &self.set {
                first.put(find_setting::find(key)?, value);
            }
            let mut combinations = vec![first];
            for (key, values) in &self.vary {
                let setting = find_setting::find(key)?;
                let each = |arm: &Arm| {
                    let with = |value: &Value| arm.clone().varying(setting, value);
                    values.iter().map(with).collect::<Vec<_>>()
                };
                combinations = combinations.iter().flat_map(each).collect();
            }
            for arm in combinations {
                arm.experiment.check()?;
                if !arms.iter().any(|other| same_settings(&other.experiment, &arm.experiment)) {
                    arms.push(arm);
                }
            }
        }
        Ok(arms)
    }
}

impl Arm {
    fn put(&mut self, setting: &'static Setting, value: &Value) {
        (setting.set)(&mut self.experiment, value);
        self.experiment.lines.remove(setting.key);
    }

    fn varying(mut self, setting: &'static Setting, value: &Value) -> Self {
        self.put(setting, value);
        let words = value.plain();
        let (_, short) = setting.key.rsplit_once('.').unwrap_or(("", setting.key));
        // A number needs the name of its setting; a word is clear by itself.
        let suffix = match value {
            Value::Text(_) => words.clone(),
            _ => format!("{short}{}", words.trim_matches(|c: char| !c.is_ascii_alphanumeric())),
        };
        self.experiment.name = self.experiment.name.with_suffix(&suffix);
        self.varied.push((setting.key, words));
        self
    }

    /// Description of the varied settings, or the experiment's name if nothing varies.
    pub fn words(&self) -> String {
        let varied = self.varied.iter().map(|(key, value)| format!("{key} {value}"));
        let words: Vec<String> = std::iter::once(self.base.clone()).chain(varied).collect();
        words.join(", ")
    }
}

/// True if two experiments lead to the same run: all settings are equal, whatever the names.
pub fn same_settings(a: &Experiment, b: &Experiment) -> bool {
    // Paths are relative to where an experiment was read.
    let path = |experiment: &Experiment, value: &Value| match value {
        Value::Text(path) if !path.is_empty() => {
            std::path::absolute(experiment.path(Path::new(path))).ok()
        }
        _ => None,
    };
    find_setting::all().all(|setting| {
        let (x, y) = ((setting.get)(a), (setting.get)(b));
        let are_paths = matches!(setting.key, "dataset.path" | "dataset.labels");
        match are_paths.then(|| (path(a, &x), path(b, &y))) {
            Some((Some(x), Some(y))) => x == y,
            _ => x == y,
        }
    })
}
