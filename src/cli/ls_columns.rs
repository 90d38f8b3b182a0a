//! The columns that `mosaic ls --columns` chooses from, and what they are sorted by.

use std::cmp::Ordering;
use std::time::Duration;

use anyhow::{Result, bail};
use indicatif::HumanDuration;
use strum::VariantNames;

use crate::config::Experiment;
use crate::config::find_setting::{self, Setting};
use crate::config::nearest_name::nearest;
use crate::evaluation::report::written_report::{MachineAgreement, WrittenReport};
use crate::runs::run_toml;
use crate::runs::runs_dir::RunSummary;
use crate::runs::status_json::now_ms;

/// What a column shows.
#[derive(Clone, Debug)]
pub enum Column {
    Listed(Listed),
    /// Median r of a machine with the network, of the report.
    Correlation(String),
    Setting(&'static Setting),
}

/// Columns with names of their own.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::VariantNames, strum::IntoStaticStr,
)]
#[strum(serialize_all = "lowercase")]
pub enum Listed {
    Run,
    Experiment,
    State,
    Step,
    Loss,
    Age,
    Device,
    Convergence,
    Tags,
    Note,
}

/// A run with the files that columns need; a file that cannot be read leaves its columns empty.
pub struct ListedRun<'a> {
    pub run: &'a RunSummary,
    experiment: Option<Experiment>,
    report: Option<WrittenReport>,
}

impl<'a> ListedRun<'a> {
    /// Reads what these columns need.
    pub fn read(run: &'a RunSummary, columns: &[Column]) -> Self {
        let has = |needs: fn(&Column) -> bool| columns.iter().any(needs);
        let experiment = has(|column| matches!(column, Column::Setting(_)))
            .then(|| run_toml::read(&run.dir.run_toml_path()).ok().map(|found| found.experiment));
        let report = has(|column| {
            matches!(column, Column::Correlation(_) | Column::Listed(Listed::Convergence))
        })
        .then(|| WrittenReport::read_figures(&run.dir.report_path()).ok().flatten());
        Self { run, experiment: experiment.flatten(), report: report.flatten() }
    }
}

impl Column {
    /// The column of this name.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn named(name: &str) -> Result<Self> {
        if let Ok(listed) = name.parse() {
            return Ok(Self::Listed(listed));
        }
        if let Some(machine) = name.strip_prefix("r.").filter(|machine| !machine.is_empty()) {
            return Ok(Self::Correlation(machine.to_owned()));
        }
        if let Ok(setting) = find_setting::find(name) {
            return Ok(Self::Setting(setting));
        }
        let settings = find_setting::all().map(|setting| setting.key);
        let meant = nearest(name, Listed::VARIANTS.iter().copied().chain(settings));
        let meant = meant.map_or(String::new(), |meant| format!("; did you mean '{meant}'?"));
        bail!(
            "there is no column '{name}'{meant} Columns are {}, r.MACHINE (such as r.els), and every setting (such as \
             network.attention)",
            Listed::VARIANTS.join(", ")
        )
    }

    pub fn title(&self) -> String {
        match self {
            Self::Listed(listed) => <&str>::from(listed).to_owned(),
            Self::Correlation(machine) => format!("r.{machine}"),
            Self::Setting(setting) => setting.key.to_owned(),
        }
    }

    /// What the column shows of a run; empty if it is not known.
    pub fn cell(&self, listed: &ListedRun<'_>) -> String {
        let ListedRun { run, experiment, report } = listed;
        let status = run.status.as_ref();
        let found = match self {
            Self::Setting(setting) => {
                experiment.as_ref().map(|experiment| (setting.get)(experiment).plain())
            }
            Self::Correlation(machine) => report.as_ref().and_then(|report| {
                let is_it = |found: &&MachineAgreement| found.machine == *machine;
                report.agreement.iter().find(is_it)?.r.map(|r| format!("{r:.3}"))
            }),
            Self::Listed(Listed::Run) => Some(run.id.clone()),
            Self::Listed(Listed::Experiment) => Some(run.experiment.clone()),
            Self::Listed(Listed::State) => Some(run.listed_state().word().to_owned()),
            Self::Listed(Listed::Step) => status.map(|s| format!("{}/{}", s.step, s.steps)),
            Self::Listed(Listed::Loss) => {
                status.and_then(|status| status.loss).map(|loss| format!("{loss:.5}"))
            }
            Self::Listed(Listed::Age) => {
                let age = Duration::from_millis(now_ms().saturating_sub(run.created_ms));
                Some(HumanDuration(age).to_string())
            }
            Self::Listed(Listed::Device) => status.map(|status| status.device.clone()),
            Self::Listed(Listed::Convergence) => report
                .as_ref()
                .and_then(|report| report.convergence.as_ref().map(|(_, word)| word.clone())),
            Self::Listed(Listed::Tags) => Some(run.about.tags.join(" ")),
            Self::Listed(Listed::Note) => Some(run.about.note.clone()),
        };
        found.unwrap_or_default()
    }

    /// Whether its cells are aligned to the right.
    pub fn is_number(&self) -> bool {
        matches!(self, Self::Correlation(_) | Self::Listed(Listed::Step | Listed::Loss))
    }

    /// The order of two runs in this column: by number where both are numbers, else by text; what is not known last.
    pub fn compare(&self, one: &ListedRun<'_>, other: &ListedRun<'_>) -> Ordering {
        if let Self::Listed(Listed::Age) = self {
            return other.run.created_ms.cmp(&one.run.created_ms);
        }
        let cells = [self.cell(one), self.cell(other)];
        // Of steps, those done.
        let [a, b] =
            cells.each_ref().map(|cell| cell.split('/').next().unwrap_or(cell).parse::<f64>());
        match (a, b) {
            (Ok(a), Ok(b)) => a.total_cmp(&b),
            _ => (cells[0].is_empty(), &cells[0]).cmp(&(cells[1].is_empty(), &cells[1])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_named_settings_too_and_misspelt_ones_are_told() {
        let title = |name: &str| Column::named(name).map(|column| column.title());
        for name in ["run", "loss", "r.els", "network.attention", "convergence"] {
            assert_eq!(title(name).unwrap(), name);
        }
        let error = title("losss").unwrap_err().to_string();
        assert!(error.contains("did you mean 'loss'?") && error.contains("r.MACHINE"), "{error}");
        assert!(title("network.atention").unwrap_err().to_string().contains("network.attention"));
        assert!(title("r.").is_err());
    }
}
