//! `[experiment.NAME]` sections: their keys and the sections they inherit from.

use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::error::{ConfigError, SettingError};
use super::experiment_name::ExperimentName;
use super::experiment_settings::Experiment;
use super::find_setting;
use super::nearest_name::nearest;
use super::toml_reader::Reader;

/// One `[experiment.NAME]` with its keys flattened: `training.steps`, whether written dotted or in a table.
pub(super) struct Section<'a> {
    name: ExperimentName,
    span: Range<usize>,
    base: Option<(String, Range<usize>)>,
    description: Option<String>,
    values: Vec<(String, Range<usize>, &'a DeValue<'a>)>,
}

impl Reader<'_> {
    /// Reads all experiments of the table `experiment`, in the order of the text.
    pub(super) fn experiments(
        &self,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Vec<Experiment>, ConfigError> {
        let mut sections = self.sections(value)?;
        sections.sort_by_key(|section| section.span.start);
        sections.iter().map(|section| self.experiment(section, &sections)).collect()
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
                    ("base" | "description", _) => {
                        let key = format!("{path}.{}", key.get_ref());
                        return Err(self.refuse(value, &key, "text", None));
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

    /// The section and those it inherits from, nearest first.
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
                name: current.name.to_string(),
                base: base.clone(),
                problem,
                nearest: nearest.map(str::to_owned),
            };
            let Some(next) = all.iter().find(|candidate| *candidate.name == **base) else {
                let names = all.iter().map(|candidate| &*candidate.name);
                return Err(complaint("there is no such experiment", nearest(base, names)));
            };
            if lineage.iter().any(|seen| seen.name == next.name) {
                return Err(complaint("that makes a cycle of base experiments", None));
            }
            lineage.push(next);
            current = next;
        }
        Ok(lineage)
    }

    fn apply(&self, section: &Section<'_>, experiment: &mut Experiment) -> Result<(), ConfigError> {
        let path = format!("experiment.{}", section.name);
        if let Some(description) = &section.description {
            experiment.description = description.as_str().into();
        }
        for (key, span, value) in &section.values {
            let complain = |problem: SettingError| self.at(span, problem.under(&path));
            let setting =
                self.setting(key).map_err(|error| complain(self.with_base(key, error)))?;
            let value = self.admit(setting, value).map_err(complain)?;
            (setting.set)(experiment, &value);
            experiment.lines.insert(setting.key, self.line(span));
        }
        Ok(())
    }

    /// Adds `base` and `description`, which are not settings, to the candidates for a misspelt key.
    fn with_base(&self, key: &str, error: SettingError) -> SettingError {
        let candidates =
            find_setting::all().map(|setting| setting.key).chain(["base", "description"]);
        match error {
            SettingError::Unknown { key: name, .. } => SettingError::Unknown {
                key: name,
                nearest: nearest(key, candidates).map(str::to_owned),
            },
            other => other,
        }
    }
}
