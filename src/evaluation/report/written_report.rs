//! A report on disk, as far as the dashboard shows it: its text, its most important figures and its samples.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::report_samples::{self, ReportSamples};
use super::verdict_in_words::verdict;
use crate::files::FileError;
use crate::runs::event::Rate;

/// A finished run's report.
#[derive(Clone, Debug, PartialEq)]
pub struct WrittenReport {
    pub folder: PathBuf,
    /// Names of the report's files, sorted.
    pub files: Vec<String>,
    /// `report.md`.
    pub text: String,
    /// The report in two sentences.
    pub verdict: String,
    /// Training step of the network.
    pub step: u64,
    /// Number of held-out noise seeds.
    pub n_seeds: usize,
    /// The machine whose error is compared with the network's, and one word on how near the network came.
    pub convergence: Option<(String, String)>,
    /// Medians over the held-out seeds, by machine, best r first.
    pub agreement: Vec<MachineAgreement>,
    /// Of the network; `None` for sets without a rule.
    pub rates: Option<JudgedRates>,
    /// The samples that the figures are of; `None` if they were not written or cannot be read.
    pub samples: Option<ReportSamples>,
}

/// Median agreement of a machine's samples with the network's. `None` where it is not defined.
#[derive(Clone, Debug, PartialEq)]
pub struct MachineAgreement {
    pub machine: String,
    pub r: Option<f64>,
    pub r2: Option<f64>,
    pub cod: Option<f64>,
}

/// Shares of the network's judged samples.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgedRates {
    pub n_samples: usize,
    /// By name, in the order of the names.
    pub rates: Vec<(String, Rate)>,
}

impl WrittenReport {
    /// The report in `folder`, or `None` if there is none.
    ///
    /// # Errors
    ///
    /// If its text or `report.json` cannot be read.
    pub fn read(folder: &Path) -> Result<Option<Self>, FileError> {
        let Some(mut report) = Self::read_figures(folder)? else { return Ok(None) };
        let path = folder.join("report.md");
        report.text = std::fs::read_to_string(&path).map_err(FileError::of("reading", &path))?;
        report.files = files(folder);
        let agreement = &report.agreement;
        report.samples = report_samples::read_all(folder).map(|mut samples| {
            let place = |name: &str| agreement.iter().position(|found| found.machine == name);
            samples.machines.sort_by_key(|(name, _)| place(name).unwrap_or(usize::MAX));
            samples
        });
        Ok(Some(report))
    }

    /// The figures of the report in `folder`, without text, files and samples; `None` if there is no report.
    ///
    /// # Errors
    ///
    /// If `report.json` cannot be read.
    pub fn read_figures(folder: &Path) -> Result<Option<Self>, FileError> {
        // Written last: whoever finds it finds the others.
        let path = folder.join("report.json");
        let json = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(FileError::of("reading", &path))?,
        };
        let json: Value = serde_json::from_slice(&json)
            .map_err(std::io::Error::other)
            .map_err(FileError::of("reading", &path))?;
        let word = |key: &str| Some(json["floors"][key].as_str()?.to_owned());
        Ok(Some(Self {
            files: Vec::new(),
            folder: folder.to_owned(),
            text: String::new(),
            verdict: verdict(&json),
            step: json["steps"].as_u64().unwrap_or(0),
            n_seeds: json["n_seeds"].as_u64().unwrap_or(0) as usize,
            convergence: word("class_floor").zip(word("convergence")),
            agreement: agreement(&json),
            rates: rates(&json["rates"]),
            samples: None,
        }))
    }
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn agreement(json: &Value) -> Vec<MachineAgreement> {
    let machines = json["agreement"].as_object().into_iter().flatten();
    let mut all: Vec<MachineAgreement> = machines
        .map(|(machine, found)| MachineAgreement {
            machine: machine.clone(),
            r: found["r"].as_f64(),
            r2: found["r2"].as_f64(),
            cod: found["R2"].as_f64(),
        })
        .collect();
    let key = |found: &MachineAgreement| found.r.unwrap_or(f64::NEG_INFINITY);
    all.sort_by(|a, b| key(b).total_cmp(&key(a)));
    all
}

fn rates(json: &Value) -> Option<JudgedRates> {
    let n_samples = json["n_samples"].as_u64()? as usize;
    let intervals = json["intervals95"].as_object()?;
    let rate = |(name, interval): (&String, &Value)| {
        let value = json[name].as_f64()?;
        Some((
            name.clone(),
            Rate { value, low: interval[0].as_f64()?, high: interval[1].as_f64()? },
        ))
    };
    Some(JudgedRates { n_samples, rates: intervals.iter().filter_map(rate).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_as_far_as_it_goes() {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(WrittenReport::read(place.path()).unwrap(), None);
        let write = |name: &str, text: &str| std::fs::write(place.path().join(name), text).unwrap();
        write("report.md", "# a\n");
        write(
            "report.json",
            r#"{"steps": 50, "n_seeds": 8,
                "floors": {"class_floor": "els", "convergence": "far"},
                "agreement": {"els": {"r": 0.25, "r2": 0.1, "R2": null}, "ideal": {"r": null}, "es": {"r": 0.5}},
                "rates": {"n_samples": 8, "valid": 0.5, "chance": 0.1, "intervals95": {"valid": [0.2, 0.8]}}}"#,
        );
        let report = WrittenReport::read(place.path()).unwrap().unwrap();
        let order: Vec<_> = report.agreement.iter().map(|found| found.machine.as_str()).collect();
        assert_eq!(order, ["es", "els", "ideal"]);
        assert_eq!((report.agreement[1].r2, report.agreement[1].cod), (Some(0.1), None));
        assert_eq!(report.convergence, Some(("els".to_owned(), "far".to_owned())));
        let rates = vec![("valid".to_owned(), Rate { value: 0.5, low: 0.2, high: 0.8 })];
        assert_eq!(report.rates, Some(JudgedRates { n_samples: 8, rates }));
        assert_eq!((report.step, report.n_seeds, report.samples), (50, 8, None));
        assert_eq!(report.files, ["report.json", "report.md"]);
        write("report.json", "{");
        let error = WrittenReport::read(place.path()).unwrap_err().to_string();
        assert!(error.contains("reading '") && error.contains("report.json'"), "{error}");
    }
}
