//! A study's report: `report.md` for people, `report.json` for programs, `figures.png` and `figures.svg`.

use crate::evaluation::summary_over_runs::seen_line;
use std::num::NonZeroUsize;

use std::io;
use std::path::Path;

use serde_json::json;

use super::findings_text_and_json;
use super::run_results::RunResults;
use super::verdict_of_finding::Reading;
use crate::analysis::confidence_intervals::Interval;
use crate::config::{Arm, Margins, Study};
use crate::evaluation::chart_panels::{self, Marks, Panel, Series};
use crate::evaluation::markdown_table::Table;
use crate::files::{make_folder, write_output};

/// The study that a report is about.
pub struct Heading<'a> {
    pub study: &'a Study,
    pub is_quick: bool,
    /// Runs that are not in it, and why.
    pub missing: &'a [(Arm, String)],
}

/// Writes a study's report into `folder` and returns its page.
///
/// # Errors
///
/// If the folder cannot be made, the figures cannot be drawn, or a file cannot be written.
pub fn write(
    folder: &Path,
    heading: &Heading<'_>,
    runs: &[RunResults],
    reading: &Reading,
) -> io::Result<String> {
    make_folder(folder)?;
    let page = markdown(heading, runs, reading);
    let put = |name: &str, text: &str| write_output(&folder.join(name), text.as_bytes());
    if !reading.panels.is_empty() {
        chart_panels::write_png_and_svg(&reading.panels, 2, folder, "figures")
            .map_err(io::Error::other)?;
    }
    put("report.md", &page)?;
    put("report.json", &format!("{:#}\n", to_json(heading, runs, reading)))?;
    Ok(page)
}

fn markdown(heading: &Heading<'_>, runs: &[RunResults], reading: &Reading) -> String {
    let Heading { study, is_quick, missing } = heading;
    let form = if *is_quick { "quick form" } else { "full form" };
    let mut text = format!(
        "# {} ({form})\n\n**Claim.** {}\n\n**Found**: {}.\n\n{}\n\n",
        study.name,
        study.claim,
        findings_text_and_json::summary(&reading.findings),
        findings_text_and_json::method(&study.margins)
    );
    reading.findings.iter().for_each(|f| text += &findings_text_and_json::markdown(f));
    for table in &reading.tables {
        text += &format!("\n{}", table.section());
    }
    let mut table = Table::new("Runs", &["run", "settings", "training steps"]);
    table.rows.extend(runs.iter().map(|run| {
        let steps = run.arm.experiment.training.steps.to_string();
        vec![run.run.clone(), run.arm.words(), steps]
    }));
    table.rows.extend(
        missing
            .iter()
            .map(|(arm, reason)| vec!["-".to_owned(), arm.words(), format!("not run: {reason}")]),
    );
    text += &format!("\n{}", table.section());
    runs.iter().for_each(|run| text += &seen_line(&run.run, &run.report));
    let machine = "The attention machine (attention-*) is this lab's derivation (docs/theory.md), not a formula of a paper.";
    text + &format!("\nFigures: figures.png. Each run's own report has the rest. {machine}\n")
}

fn to_json(heading: &Heading<'_>, runs: &[RunResults], reading: &Reading) -> serde_json::Value {
    let findings: Vec<_> = reading.findings.iter().map(findings_text_and_json::to_json).collect();
    let Margins { rate, r } = heading.study.margins;
    let run = |run: &RunResults| json!({ "run": run.run, "varied": run.arm.varied });
    let missing = |(arm, reason): &(Arm, String)| json!({ "arm": arm.words(), "reason": reason });
    json!({
        "format": 1,
        "study": heading.study.name,
        "quick": heading.is_quick,
        "claim": heading.study.claim,
        "margins": { "rate": rate, "r": r },
        "findings": findings,
        "tables": reading.tables,
        "runs": runs.iter().map(run).collect::<Vec<_>>(),
        "missing": heading.missing.iter().map(missing).collect::<Vec<_>>(),
    })
}

/// A rate of every run with its interval: over the number of training images if that varies, side by side otherwise.
pub(super) fn rate_panel(
    title: &str,
    runs: &[RunResults],
    pick: impl Fn(&RunResults) -> Option<Interval>,
) -> Panel {
    let n = |run: &RunResults| run.arm.experiment.dataset.n.map_or(0, NonZeroUsize::get);
    let by_n = runs.iter().any(|run| n(run) != n(&runs[0]));
    let name = |run: &RunResults| {
        let varied = run.arm.varied.iter().filter(|(key, _)| !by_n || *key != "dataset.n");
        let words = varied.map(|(key, value)| {
            let (_, short) = key.rsplit_once('.').unwrap_or(("", key));
            format!("{short} {value}")
        });
        std::iter::once(run.arm.base.clone()).chain(words).collect::<Vec<_>>().join(", ")
    };
    let mut names: Vec<String> = Vec::new();
    let mut series: Vec<Series> = Vec::new();
    for (index, run) in runs.iter().enumerate() {
        let name = name(run);
        let colour = names.iter().position(|other| *other == name).unwrap_or_else(|| {
            names.push(name.clone());
            names.len() - 1
        });
        let Some(rate) = pick(run) else { continue };
        // Neighbours apart, so that their intervals do not cover each other.
        let x = if by_n { (n(run) as f64).log2() + 0.06 * colour as f64 } else { index as f64 };
        let of = |points, marks| Series::new(&name, colour, points, marks);
        series.push(of(vec![(x, rate.low), (x, rate.high)], Marks::Line));
        series.push(of(vec![(x, rate.estimate)], Marks::Dots));
    }
    let x =
        if by_n { "log2 of the number of training images" } else { "run, in the table's order" };
    Panel {
        title: title.to_owned(),
        x: x.to_owned(),
        y_range: Some((0.0, 1.0)),
        series,
        ..Panel::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::runs_for_tests::with_training_seeds;
    use super::*;
    use crate::config::{Analysis, Plan};

    #[test]
    fn a_page_says_what_was_claimed_found_and_left_out() {
        let study = Study {
            name: "s".into(),
            claim: "attention matters".into(),
            analysis: Analysis::Consistency,
            margins: Margins::default(),
            full: Plan::default(),
            quick: Plan::default(),
        };
        let runs = [
            with_training_seeds(&[], &[], [[0.8, 0.75, 0.85]; 3]),
            with_training_seeds(&["network.attention=none"], &[], [[0.1, 0.05, 0.15]; 3]),
        ]
        .concat();
        let missing = vec![(runs[0].arm.clone(), "no file".to_owned())];
        let heading = Heading { study: &study, is_quick: true, missing: &missing };
        let folder = tempfile::tempdir().unwrap();
        let reading = super::super::analysis_names::read(study.analysis, &study.margins, &runs);
        let page = write(folder.path(), &heading, &runs, &reading).unwrap();
        for words in [
            "attention matters",
            "2 statements; holds: 2",
            "by less than 0.1 of a share",
            "not run: no file",
        ] {
            assert!(page.contains(words), "{page}");
        }
        let json = std::fs::read_to_string(folder.path().join("report.json")).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["findings"][0]["verdict"], "holds");
        assert_eq!(json["margins"]["r"], 0.05);
        assert!(folder.path().join("figures.png").is_file());
        assert!(folder.path().join("figures.svg").is_file());
    }
}
