//! The text of `lab.toml`: sections `[lab]`, `[experiment.NAME]` and (in [`super::study`]) `[study.NAME]`, read
//! with the place of every key.
//!
//! TOML's spanned tables are walked by hand rather than through serde, because a stranger's mistake
//! must be answered with file, line, key, what was found and what is accepted.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, SettingError};
use super::experiment::Experiment;
use super::settings::{self, SETTINGS};
use super::study::Study;
use super::value::{Accepted, Value, nearest};
use crate::hardware::device::{ACCEPTED, DeviceRequest};

/// The `lab.toml` that is used where there is none.
pub const BUILT_IN: &str = include_str!("../../lab.toml");

/// A `lab.toml` that was read and found right.
#[derive(Clone, Debug, PartialEq)]
pub struct Lab {
    pub settings: LabSettings,
    /// In the file's order.
    pub experiments: Vec<Experiment>,
    /// In the file's order.
    pub studies: Vec<Study>,
    /// `None`: the built-in text.
    pub path: Option<PathBuf>,
}

/// `[lab]`
#[derive(Clone, Debug, PartialEq)]
pub struct LabSettings {
    /// Where runs are kept.
    pub runs_dir: PathBuf,
    /// As [`crate::hardware::device::DeviceRequest`] reads it.
    pub device: String,
    /// `auto`, `dark` or `light`.
    pub theme: String,
    /// `auto`, `kitty`, `iterm`, `sixel`, `blocks` or `off`.
    pub images: String,
    /// `auto`, `truecolour`, `256` or `16`.
    pub colours: String,
    /// `off` or `on`.
    pub mouse: String,
    /// `bell`, `osc9`, `both` or `off`.
    pub notify: String,
}

/// Keys of `[lab]` with what they accept and their defaults.
const LAB_KEYS: [(&str, Accepted, &str); 7] = [
    ("runs_dir", Accepted::Text, "checkpoints"),
    ("device", Accepted::Text, "auto"),
    ("theme", Accepted::Choice(&["auto", "dark", "light"]), "auto"),
    ("images", Accepted::Choice(&["auto", "kitty", "iterm", "sixel", "blocks", "off"]), "auto"),
    ("colours", Accepted::Choice(&["auto", "truecolour", "256", "16"]), "auto"),
    ("mouse", Accepted::Choice(&["off", "on"]), "off"),
    ("notify", Accepted::Choice(&["bell", "osc9", "both", "off"]), "bell"),
];

impl Lab {
    /// The experiment of that name.
    pub fn experiment(&self, name: &str) -> Result<&Experiment, ConfigError> {
        let names = || self.experiments.iter().map(|experiment| experiment.name.as_str());
        self.experiments.iter().find(|experiment| experiment.name == name).ok_or_else(|| {
            ConfigError::NoExperiment {
                path: self.path.clone().unwrap_or_else(|| PathBuf::from("the built-in lab.toml")),
                name: name.to_owned(),
                nearest: nearest(name, names()).map(str::to_owned),
                known: names().collect::<Vec<_>>().join(", "),
            }
        })
    }
}

/// Reads `path`, or else `lab.toml` here, or else the built-in one.
pub fn load(path: Option<&Path>) -> Result<Lab, ConfigError> {
    let here = Path::new("lab.toml");
    let path = match path {
        Some(path) => path,
        None if here.exists() => here,
        None => return read(BUILT_IN, Path::new("lab.toml (built in)"), Path::new("."), None),
    };
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    let root = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    read(&text, path, root, Some(path))
}

/// Reads `text`, which came from `origin`; relative paths in it start at `root`.
pub fn read(
    text: &str,
    origin: &Path,
    root: &Path,
    path: Option<&Path>,
) -> Result<Lab, ConfigError> {
    let reader = Reader { text, origin, root };
    let table = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
        path: origin.to_owned(),
        line: error.span().map_or(1, |span| reader.line(&span)),
        problem: error.message().to_owned(),
    })?;
    let mut settings = reader.lab_settings(None)?;
    let (mut sections, mut studies) = (Vec::new(), Vec::new());
    for (key, value) in table.get_ref() {
        match key.get_ref().as_ref() {
            "lab" => settings = reader.lab_settings(Some(value))?,
            "experiment" => sections = reader.sections(value)?,
            "study" => studies = reader.studies(value)?,
            // What the lab itself writes into `run.toml`; read by `run_toml`.
            "run" => {}
            other => {
                let nearest = nearest(other, ["lab", "experiment", "study"].into_iter());
                let problem = SettingError::Unknown {
                    key: other.to_owned(),
                    nearest: nearest.map(str::to_owned),
                };
                return Err(reader.at(&key.span(), problem));
            }
        }
    }
    sections.sort_by_key(|section| section.span.start);
    let experiments = sections
        .iter()
        .map(|section| reader.experiment(section, &sections))
        .collect::<Result<Vec<_>, _>>()?;
    let studies = reader.check_studies(studies, &experiments)?;
    Ok(Lab { settings, experiments, studies, path: path.map(Path::to_owned) })
}

/// One `[experiment.NAME]` with its keys flattened: `training.steps` whether dotted or in a table.
struct Section<'a> {
    name: String,
    span: Range<usize>,
    base: Option<(String, Range<usize>)>,
    description: Option<String>,
    values: Vec<(String, Range<usize>, &'a DeValue<'a>)>,
}

pub(super) struct Reader<'a> {
    text: &'a str,
    origin: &'a Path,
    root: &'a Path,
}

impl<'a> Reader<'a> {
    fn line(&self, span: &Range<usize>) -> usize {
        let end = span.start.min(self.text.len());
        1 + self.text.as_bytes()[..end].iter().filter(|&&byte| byte == b'\n').count()
    }

    pub(super) fn at(&self, span: &Range<usize>, problem: SettingError) -> ConfigError {
        ConfigError::Setting {
            path: self.origin.to_owned(),
            line: self.line(span),
            problem: Box::new(problem),
        }
    }

    fn lab_settings(
        &self,
        value: Option<&Spanned<DeValue<'_>>>,
    ) -> Result<LabSettings, ConfigError> {
        let mut found: BTreeMap<&str, String> =
            LAB_KEYS.iter().map(|(key, _, default)| (*key, (*default).to_owned())).collect();
        if let Some(value) = value {
            let table = self.table(value, "lab")?;
            for (key, value) in table {
                let name = key.get_ref().as_ref();
                let Some((key_name, accepted, _)) = LAB_KEYS.iter().find(|(k, ..)| *k == name)
                else {
                    let near = nearest(name, LAB_KEYS.iter().map(|(key, ..)| *key));
                    let problem = SettingError::Unknown {
                        key: format!("lab.{name}"),
                        nearest: near.map(|key| format!("lab.{key}")),
                    };
                    return Err(self.at(&key.span(), problem));
                };
                let admitted = to_value(value.get_ref()).and_then(|value| accepted.admit(value));
                let Some(Value::Text(text)) = admitted else {
                    let problem = SettingError::Value {
                        key: format!("lab.{name}"),
                        found: in_words(value.get_ref()),
                        accepted: accepted.to_string(),
                        nearest: value
                            .get_ref()
                            .as_str()
                            .and_then(|v| accepted.nearest(v))
                            .map(str::to_owned),
                    };
                    return Err(self.at(&value.span(), problem));
                };
                if *key_name == "device" && text.parse::<DeviceRequest>().is_err() {
                    let problem = SettingError::Value {
                        key: "lab.device".to_owned(),
                        found: format!("'{text}'"),
                        accepted: ACCEPTED.to_owned(),
                        nearest: nearest(&text, ["auto", "cpu", "cuda:0"].into_iter())
                            .map(str::to_owned),
                    };
                    return Err(self.at(&value.span(), problem));
                }
                found.insert(*key_name, text);
            }
        }
        let mut take = |key: &str| found.remove(key).unwrap_or_default();
        Ok(LabSettings {
            runs_dir: self.root.join(take("runs_dir")),
            device: take("device"),
            theme: take("theme"),
            images: take("images"),
            colours: take("colours"),
            mouse: take("mouse"),
            notify: take("notify"),
        })
    }

    pub(super) fn table<'b>(
        &self,
        value: &'b Spanned<DeValue<'b>>,
        key: &str,
    ) -> Result<&'b DeTable<'b>, ConfigError> {
        value.get_ref().as_table().ok_or_else(|| {
            let problem = SettingError::Value {
                key: key.to_owned(),
                found: in_words(value.get_ref()),
                accepted: format!("a table, [{key}]"),
                nearest: None,
            };
            self.at(&value.span(), problem)
        })
    }

    /// The name of a section, which names directories too.
    pub(super) fn safe_name<T: AsRef<str>>(
        &self,
        key: &Spanned<T>,
        kind: &str,
    ) -> Result<String, ConfigError> {
        let name = key.get_ref().as_ref();
        let is_safe = !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        if is_safe {
            return Ok(name.to_owned());
        }
        let problem = SettingError::Value {
            key: format!("{kind}.{name}"),
            found: format!("named '{name}'"),
            accepted: "named with letters, digits, '-' and '_' (it names directories)".to_owned(),
            nearest: None,
        };
        Err(self.at(&key.span(), problem))
    }

    fn sections<'b>(
        &self,
        value: &'b Spanned<DeValue<'b>>,
    ) -> Result<Vec<Section<'b>>, ConfigError> {
        let mut sections = Vec::new();
        for (key, value) in self.table(value, "experiment")? {
            let name = self.safe_name(key, "experiment")?;
            let path = format!("experiment.{name}");
            let mut section = Section {
                name,
                span: key.span(),
                base: None,
                description: None,
                values: Vec::new(),
            };
            for (key, value) in self.table(value, &path)? {
                match (key.get_ref().as_ref(), value.get_ref()) {
                    ("base", DeValue::String(base)) => {
                        section.base = Some((base.to_string(), value.span()));
                    }
                    ("description", DeValue::String(text)) => {
                        section.description = Some(text.to_string());
                    }
                    ("base" | "description", other) => {
                        let problem = SettingError::Value {
                            key: format!("{path}.{}", key.get_ref()),
                            found: in_words(other),
                            accepted: "text".to_owned(),
                            nearest: None,
                        };
                        return Err(self.at(&value.span(), problem));
                    }
                    (name, DeValue::Table(table)) => {
                        for (inner, value) in table {
                            let key = format!("{name}.{}", inner.get_ref());
                            section.values.push((key, inner.span(), value.get_ref()));
                        }
                    }
                    (name, value) => section.values.push((name.to_owned(), key.span(), value)),
                }
            }
            sections.push(section);
        }
        Ok(sections)
    }

    fn experiment(
        &self,
        section: &Section<'_>,
        all: &[Section<'_>],
    ) -> Result<Experiment, ConfigError> {
        let mut experiment = Experiment {
            name: section.name.clone(),
            root: self.root.to_owned(),
            origin: self.origin.to_owned(),
            ..Experiment::default()
        };
        for ancestor in self.lineage(section, all)?.into_iter().rev() {
            self.apply(ancestor, &mut experiment)?;
        }
        experiment.check().map_err(|problem| {
            let line = match &problem {
                SettingError::Combination { key, .. } => {
                    experiment.lines.get(key.as_str()).copied()
                }
                _ => None,
            };
            ConfigError::Setting {
                path: self.origin.to_owned(),
                line: line.unwrap_or_else(|| self.line(&section.span)),
                problem: Box::new(problem.under(&format!("experiment.{}", section.name))),
            }
        })?;
        Ok(experiment)
    }

    /// The section and what it is based on, nearest first.
    fn lineage<'s, 'b>(
        &self,
        section: &'s Section<'b>,
        all: &'s [Section<'b>],
    ) -> Result<Vec<&'s Section<'b>>, ConfigError> {
        let mut lineage = vec![section];
        let mut current = section;
        while let Some((base, span)) = &current.base {
            let complaint = |problem, nearest: Option<&str>| ConfigError::Base {
                path: self.origin.to_owned(),
                line: self.line(span),
                name: current.name.clone(),
                base: base.clone(),
                problem,
                nearest: nearest.map(str::to_owned),
            };
            let Some(next) = all.iter().find(|candidate| candidate.name == *base) else {
                let names = all.iter().map(|candidate| candidate.name.as_str());
                return Err(complaint("there is no such experiment", nearest(base, names)));
            };
            if lineage.iter().any(|seen| seen.name == next.name) {
                return Err(complaint("that makes a circle of bases", None));
            }
            lineage.push(next);
            current = next;
        }
        Ok(lineage)
    }

    fn apply(&self, section: &Section<'_>, experiment: &mut Experiment) -> Result<(), ConfigError> {
        let path = format!("experiment.{}", section.name);
        if let Some(description) = &section.description {
            experiment.description.clone_from(description);
        }
        for (key, span, value) in &section.values {
            let complain = |problem: SettingError| self.at(span, problem.under(&path));
            let setting =
                settings::find(key).map_err(|error| complain(self.with_base(key, error)))?;
            let admitted = to_value(value).and_then(|value| setting.accepted.admit(value));
            let Some(value) = admitted else {
                let word = first_refused_word(value, setting.accepted);
                return Err(complain(setting.refusal(&in_words(value), &word)));
            };
            (setting.set)(experiment, &value);
            experiment.lines.insert(setting.key, self.line(span));
        }
        Ok(())
    }

    /// `base` and `description` are no settings, but may be what was meant.
    fn with_base(&self, key: &str, error: SettingError) -> SettingError {
        let candidates = SETTINGS.iter().map(|setting| setting.key).chain(["base", "description"]);
        match error {
            SettingError::Unknown { key: name, .. } => SettingError::Unknown {
                key: name,
                nearest: nearest(key, candidates).map(str::to_owned),
            },
            other => other,
        }
    }
}

pub(super) fn to_value(value: &DeValue<'_>) -> Option<Value> {
    Some(match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(integer) => {
            Value::Integer(i64::from_str_radix(integer.as_str(), integer.radix()).ok()?)
        }
        DeValue::Float(float) => Value::Number(float.as_str().parse().ok()?),
        DeValue::Boolean(flag) => Value::Boolean(*flag),
        DeValue::Array(items) => {
            Value::List(items.iter().map(|item| to_value(item.get_ref())).collect::<Option<_>>()?)
        }
        DeValue::Datetime(_) | DeValue::Table(_) => return None,
    })
}

/// A value as a person sees it in the file, with its type where that is the likely mistake.
pub(super) fn in_words(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text '{text}'"),
        DeValue::Integer(integer) => format!("'{}'", integer.as_str()),
        DeValue::Float(float) => format!("'{}'", float.as_str()),
        DeValue::Boolean(flag) => format!("'{flag}'"),
        DeValue::Datetime(date) => format!("the date '{date}'"),
        DeValue::Array(_) => match to_value(value) {
            Some(list) => format!("the list {list}"),
            None => "a list of something else".to_owned(),
        },
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// The word that most likely was misspelt.
fn first_refused_word(value: &DeValue<'_>, accepted: Accepted) -> String {
    let words: Vec<String> = match value {
        DeValue::String(text) => vec![text.to_string()],
        DeValue::Array(items) => {
            items.iter().filter_map(|item| item.get_ref().as_str()).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    };
    let refused = |word: &&String| match accepted {
        Accepted::Words(choices) => !choices.contains(&word.as_str()),
        _ => true,
    };
    words.iter().find(refused).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Lab, ConfigError> {
        read(text, Path::new("lab.toml"), Path::new("."), None)
    }

    #[test]
    fn the_built_in_file_is_right() {
        let lab = read_text(BUILT_IN).unwrap();
        for name in ["glyphs-attention", "glyphs-cnn", "digits-attention", "fashion-attention"] {
            lab.experiment(name).unwrap();
        }
    }

    #[test]
    fn the_twin_differs_only_in_having_no_attention() {
        let lab = read_text(BUILT_IN).unwrap();
        for suffix in ["", "-full"] {
            let twin = lab.experiment(&format!("glyphs-cnn{suffix}")).unwrap();
            let with = lab.experiment(&format!("glyphs-attention{suffix}")).unwrap();
            let pairs = with.entries().into_iter().zip(twin.entries());
            let differing: Vec<_> =
                pairs.filter(|(a, b)| a.value != b.value).map(|(a, _)| a.key).collect();
            assert_eq!(differing, ["network.attention"], "{suffix}");
        }
    }

    #[test]
    fn dotted_keys_and_tables_mean_the_same() {
        let dotted = read_text("[experiment.a]\ntraining.steps = 5\n").unwrap();
        let table = read_text("[experiment.a.training]\nsteps = 5\n").unwrap();
        assert_eq!(dotted.experiments[0].training, table.experiments[0].training);
        assert_eq!(dotted.experiments[0].training.steps, 5);
    }

    #[test]
    fn a_resolved_experiment_reads_back_as_itself() {
        let lab = read_text(BUILT_IN).unwrap();
        for experiment in lab.experiments {
            let again = read_text(&experiment.to_toml()).unwrap().experiments.remove(0);
            assert_eq!(again.entries(), experiment.entries());
            assert_eq!(again.description, experiment.description);
        }
    }

    #[test]
    fn a_base_is_inherited_and_a_circle_is_refused() {
        let lab = read_text(
            "[experiment.b]\nbase = 'a'\ntraining.batch = 2\n[experiment.a]\ntraining.steps = 7\n",
        )
        .unwrap();
        assert_eq!(lab.experiment("b").unwrap().training.steps, 7);
        let error =
            read_text("[experiment.a]\nbase = 'b'\n[experiment.b]\nbase = 'a'\n").unwrap_err();
        assert!(error.to_string().contains("circle"), "{error}");
    }
}
