//! Reads the `[study.NAME]` sections.

use std::ops::Range;

use strum::VariantNames;
use toml::Spanned;
use toml::de::DeValue;

use super::error::ConfigError;
use super::experiment_settings::Experiment;
use super::nearest_name::nearest;
use super::parse_and_check_value::Accepted;
use super::setting_value::Value;
use super::study::{Analysis, Margins, Plan, Study};
use super::toml_reader::{Reader, to_value};

/// A study and its position in the text, before its experiments are resolved.
pub(super) struct StudySection {
    study: Study,
    span: Range<usize>,
}

impl Reader<'_> {
    pub(super) fn studies(
        &self,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Vec<StudySection>, ConfigError> {
        let mut sections = Vec::new();
        for (key, value) in self.table(value, "study")? {
            let name = self.safe_name(key, "study")?;
            sections.push(StudySection {
                study: self.study(name.to_string(), value)?,
                span: key.span(),
            });
        }
        sections.sort_by_key(|section| section.span.start);
        Ok(sections)
    }

    /// Refuses studies whose runs cannot be built from `experiments`.
    pub(super) fn check_studies(
        &self,
        sections: Vec<StudySection>,
        experiments: &[Experiment],
    ) -> Result<Vec<Study>, ConfigError> {
        let check = |section: StudySection| {
            for (plan, form) in [(&section.study.full, ""), (&section.study.quick, ".quick")] {
                plan.arms(experiments).map_err(|problem| {
                    let place = format!("study.{}{form}", section.study.name);
                    self.at(&section.span, problem.under(&place))
                })?;
            }
            Ok(section.study)
        };
        sections.into_iter().map(check).collect()
    }

    fn study(&self, name: String, value: &Spanned<DeValue<'_>>) -> Result<Study, ConfigError> {
        const KEYS: [&str; 7] =
            ["claim", "analysis", "experiments", "set", "vary", "quick", "margin"];
        let path = format!("study.{name}");
        let (mut claim, mut analysis) = (None, None);
        let (mut full, mut quick) = (Changes::default(), Changes::default());
        let mut margins = Margins::default();
        for (key, value) in self.table(value, &path)? {
            let here = format!("{path}.{}", key.get_ref());
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("claim", DeValue::String(text)) => claim = Some(text.to_string()),
                ("analysis", DeValue::String(text)) => {
                    analysis = Some(text.parse::<Analysis>().map_err(|_| {
                        let words = Analysis::VARIANTS;
                        let accepted = format!("one of {}", words.join(", "));
                        self.refuse(value, &here, &accepted, nearest(text, words.iter().copied()))
                    })?);
                }
                ("margin", _) => margins = self.margins(value, &here)?,
                ("claim" | "analysis", _) => return Err(self.refuse(value, &here, "text", None)),
                ("quick", _) => {
                    for (key, value) in self.table(value, &here)? {
                        let inner = format!("{here}.{}", key.get_ref());
                        if !self.change(key.get_ref(), value, &inner, &mut quick)? {
                            return Err(self.unknown(key, &inner, KEYS[2..5].iter().copied()));
                        }
                    }
                }
                (word, _) => {
                    if !self.change(word, value, &here, &mut full)? {
                        return Err(self.unknown(key, &here, KEYS));
                    }
                }
            }
        }
        let missing = |key: &str, accepted: &str| {
            self.refuse(value, &format!("{path}.{key}"), accepted, None)
        };
        let full = full.over(&Plan::default());
        if full.experiments.is_empty() {
            return Err(missing("experiments", "a list of names of experiments"));
        }
        Ok(Study {
            claim: claim.ok_or_else(|| missing("claim", "text"))?,
            analysis: analysis.ok_or_else(|| missing("analysis", "text"))?,
            margins,
            quick: quick.over(&full),
            full,
            name,
        })
    }

    /// `margin.rate` and `margin.r`.
    fn margins(&self, value: &Spanned<DeValue<'_>>, path: &str) -> Result<Margins, ConfigError> {
        let accepted = Accepted::Number { min: 0.0, max: 1.0 };
        let mut margins = Margins::default();
        for (key, value) in self.table(value, path)? {
            let here = format!("{path}.{}", key.get_ref());
            let margin = match key.get_ref().as_ref() {
                "rate" => &mut margins.rate,
                "r" => &mut margins.r,
                _ => return Err(self.unknown(key, &here, ["rate", "r"])),
            };
            let found = to_value(value.get_ref()).and_then(|value| accepted.admit(value));
            *margin = found
                .and_then(Value::try_as_number)
                .ok_or_else(|| self.refuse(value, &here, &accepted.to_string(), None))?;
        }
        Ok(margins)
    }

    /// Handles a key that is allowed in both the full and the quick form of a study; returns false for any
    /// other key.
    fn change(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        path: &str,
        changes: &mut Changes,
    ) -> Result<bool, ConfigError> {
        match key {
            "experiments" => {
                let items = to_value(value.get_ref()).and_then(Value::try_as_list);
                let names =
                    items.and_then(|items| items.into_iter().map(Value::try_as_text).collect());
                let accepted = "a list of names of experiments";
                changes.experiments =
                    Some(names.ok_or_else(|| self.refuse(value, path, accepted, None))?);
            }
            "set" => changes.set.extend(self.each_setting(value, path, "", Accepted::admit)?),
            "vary" => {
                let admit = |accepted: &Accepted, value: Value| {
                    let items = value.try_as_list().filter(|items| !items.is_empty())?;
                    items.into_iter().map(|item| accepted.admit(item)).collect()
                };
                let settings = self.each_setting(value, path, "a list, each item ", admit)?;
                changes.vary.extend(settings);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Every setting of a table, written as `set.training.steps` or `set = { training = { steps = .. } }`, with what
    /// `admit` makes of its value; `form` introduces what is accepted in the error for another value.
    fn each_setting<T>(
        &self,
        value: &Spanned<DeValue<'_>>,
        path: &str,
        form: &str,
        admit: impl Fn(&Accepted, Value) -> Option<T>,
    ) -> Result<Vec<(&'static str, T)>, ConfigError> {
        let mut found = Vec::new();
        for (group, value) in self.table(value, path)? {
            let here = format!("{path}.{}", group.get_ref());
            for (key, value) in self.table(value, &here)? {
                let name = format!("{}.{}", group.get_ref(), key.get_ref());
                let setting =
                    self.setting(&name).map_err(|error| self.at(&key.span(), error.under(path)))?;
                let admitted = to_value(value.get_ref()).and_then(|v| admit(&setting.accepted, v));
                let admitted = admitted.ok_or_else(|| {
                    let place = format!("{here}.{}", key.get_ref());
                    self.refuse(value, &place, &format!("{form}{}", setting.accepted), None)
                })?;
                found.push((setting.key, admitted));
            }
        }
        Ok(found)
    }
}

/// Changes to the plan made by one form of a study.
#[derive(Default)]
struct Changes {
    experiments: Option<Vec<String>>,
    set: Vec<(&'static str, Value)>,
    vary: Vec<(&'static str, Vec<Value>)>,
}

impl Changes {
    fn over(self, plan: &Plan) -> Plan {
        let mut plan = plan.clone();
        if let Some(experiments) = self.experiments {
            plan.experiments = experiments;
        }
        // Varying a setting replaces its fixed value, and vice versa.
        for (key, value) in self.set {
            plan.vary.retain(|(other, _)| *other != key);
            plan.set.retain(|(other, _)| *other != key);
            plan.set.push((key, value));
        }
        for (key, values) in self.vary {
            plan.set.retain(|(other, _)| *other != key);
            match plan.vary.iter_mut().find(|(other, _)| *other == key) {
                Some((_, old)) => *old = values,
                None => plan.vary.push((key, values)),
            }
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::path::Path;

    use super::super::Lab;
    use super::super::lab_file::read;
    use super::*;

    fn lab(text: &str) -> Result<Lab, ConfigError> {
        read(text, Path::new("lab.toml"), Path::new("."), None)
    }

    const STUDY: &str = "[experiment.a]\n[study.s]\nclaim = 'c'\nanalysis = 'theory'\nexperiments = ['a']\nset.training.steps = 7\nvary.dataset.n = [8, 16]\nvary.network.attention = ['softmax', 'none']\nquick.vary.dataset.n = [4]\nquick.set.training.steps = 3\n";

    #[test]
    fn a_study_is_every_combination_and_its_quick_form_fewer() {
        let lab = lab(STUDY).unwrap();
        let study = &lab.studies[0];
        let arms = study.full.arms(&lab.experiments).unwrap();
        let names: Vec<&str> = arms.iter().map(|arm| &*arm.experiment.name).collect();
        assert_eq!(names, ["a-n8-softmax", "a-n8-none", "a-n16-softmax", "a-n16-none"]);
        assert!(arms.iter().all(|arm| arm.experiment.training.steps == 7));
        assert_eq!(arms[3].words(), "a, dataset.n 16, network.attention none");
        let quick = study.quick.arms(&lab.experiments).unwrap();
        assert_eq!((quick.len(), quick[1].experiment.dataset.n), (2, NonZeroUsize::new(4)));
        assert_eq!(quick[0].experiment.training.steps, 3);
    }

    #[test]
    fn margins_have_defaults() {
        let margins = |text: &str| lab(text).unwrap().studies[0].margins;
        assert_eq!(margins(STUDY), Margins { rate: 0.1, r: 0.05 });
        let text = STUDY.replace("experiments", "margin = { r = 0.02 }\nexperiments");
        assert_eq!(margins(&text), Margins { rate: 0.1, r: 0.02 });
    }

    #[test]
    fn runs_that_are_equal_are_made_once() {
        let text = STUDY.replace("['a']", "['a', 'b']") + "[experiment.b]\nbase = 'a'\n";
        let lab = lab(&text).unwrap();
        assert_eq!(lab.studies[0].full.arms(&lab.experiments).unwrap().len(), 4);
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let says = |from: &str, to: &str| lab(&STUDY.replace(from, to)).unwrap_err().to_string();
        assert_eq!(
            says("'theory'", "'theorie'"),
            "lab.toml:4: 'study.s.analysis' is the text 'theorie', but must be one of consistency, theory, ablations, locality, attention-variants, interventions, copying, memorisation, disjoint-halves; did you mean 'theory'?"
        );
        let error = says("[8, 16]", "[8, -1]");
        assert!(error.starts_with("lab.toml:7: 'study.s.vary.dataset.n' is the list"), "{error}");
        let error = says("set.training.steps = 7", "set.training.stepz = 7");
        assert!(error.contains("lab.toml:6:") && error.contains("training.steps'?"), "{error}");
        let error = says("['a']", "['aa']");
        assert!(error.starts_with("lab.toml:2: 'study.s.experiments' is 'aa'"), "{error}");
        let error = says("claim", "clame");
        assert!(error.contains("did you mean 'claim'?"), "{error}");
        let error = says("quick.vary", "quick.vari");
        assert!(error.contains("did you mean 'vary'?"), "{error}");
        let error = says("experiments", "margin.rate = -0.1\nexperiments");
        assert!(error.starts_with("lab.toml:5: 'study.s.margin.rate' is '-0.1'"), "{error}");
        let error = says("experiments", "margin.rates = 0.1\nexperiments");
        assert!(error.contains("did you mean 'rate'?"), "{error}");
    }
}
