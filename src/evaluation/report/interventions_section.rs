//! A report's interventions: what changed attention, exchanged denoisers and stochastic branches do to samples.

use crate::analysis::confidence_intervals::Interval;
use crate::evaluation::chart_panels::{Panel, Series};
use crate::evaluation::interventions::intervention_figures::Estimate;
use crate::evaluation::interventions::{Change, ChangeFigures, InterventionFigures};
use crate::evaluation::markdown_table::{Table, cell, text_or};

fn shown(found: Option<Estimate>) -> String {
    cell(found.map(|[estimate, low, high]| Interval { estimate, low, high }))
}

/// The section of `report.md`; empty without interventions.
pub(super) fn section(found: Option<&InterventionFigures>) -> String {
    let Some(found) = found else { return String::new() };
    let head = [
        "whose samples",
        "changed",
        "t",
        "r with its own",
        "r with the other",
        "nearer the other",
        "consistent",
        "same feature",
    ];
    let mut table =
        Table::new("Interventions (mean or share, with 95% intervals over seeds)", &head);
    for change in &found.changes {
        table.rows.push(vec![
            change.subject.clone(),
            change.change.words().to_owned(),
            cell(change.t.map(|t| format!("{t:.2}"))),
            shown(change.r_own),
            shown(change.r_other),
            shown(change.follows_other),
            shown(change.consistent),
            shown(change.same_feature),
        ]);
    }
    let head = ["whose samples", "changed", "figure", "critical t"];
    let mut times = Table::new("Critical times: the t at which samples are decided", &head);
    for time in &found.critical_times {
        times.rows.push(vec![
            time.subject.clone(),
            time.change.words().to_owned(),
            time.figure.clone(),
            text_or(time.t.map(|t| shown(Some(t))), "not crossed"),
        ]);
    }
    table.section()
        + &format!(
            "\n{} held-out noise seeds; the network and `{}`, each changed in the same ways. Its own: the sample of the same denoiser from the same seed without a change; of branches, the other branch. The other: the sample whose influence is asked for, of the seed that the maps come from or of the other denoiser. Same feature: pairs of branches of the same global feature (leading hue or texture). Also in interventions.png and interventions.csv.\n\n",
            found.n_seeds, found.theory
        )
        + &times.section()
        + "\nUniform maps and branches: where the figure is midway between its values at both ends. The other denoiser above t: where half of the samples are nearer to the other denoiser's sample than to its own. Linear between thresholds; percentile intervals over resampled seeds.\n\n"
}

/// `interventions.csv`: a line per change.
pub(super) fn csv(found: &InterventionFigures) -> String {
    const FIGURES: [&str; 6] =
        ["r_own", "r_other", "follows_other", "consistent", "valid", "same_feature"];
    let mut text = "subject,change,t".to_owned();
    FIGURES.iter().for_each(|name| text += &format!(",{name},{name}_low95,{name}_high95"));
    text += "\n";
    for change in &found.changes {
        let word: &str = change.change.into();
        let t = text_or(change.t.map(|t| format!("{t:.4}")), "");
        text += &format!("{},{word},{t}", change.subject);
        for figure in [
            change.r_own,
            change.r_other,
            change.follows_other,
            change.consistent,
            change.valid,
            change.same_feature,
        ] {
            let cells = figure.map_or_else(
                || ",,,".to_owned(),
                |each| each.map(|value| format!(",{value:.6}")).concat(),
            );
            text += &cells;
        }
        text += "\n";
    }
    text
}

/// A figure of a change.
type Pick = fn(&ChangeFigures) -> Option<Estimate>;

/// `interventions.png`.
pub(super) fn panels(found: &InterventionFigures) -> Vec<Panel> {
    let subjects = ["network", &found.theory];
    let panel = |title: &str, change: Change, pick: Pick| {
        let lines = subjects.iter().enumerate().map(|(colour, subject)| {
            let rows = found.changes.iter().filter(|row| row.subject == **subject);
            let rows = rows.filter(|row| row.change == change);
            let points: Vec<(f64, Estimate)> =
                rows.filter_map(|row| Some((row.t?, pick(row)?))).collect();
            let line = points.iter().map(|&(t, [estimate, ..])| (t, estimate)).collect();
            let mut series = Series::line(subject, colour, line);
            series.band = points.iter().map(|&(_, [_, low, high])| (low, high)).collect();
            series
        });
        let series = lines.filter(|series| !series.points.is_empty()).collect();
        Panel { y_range: Some((0.0, 1.0)), ..Panel::over_time(title.to_owned(), series) }
    };
    let is_judged = found.changes.iter().any(|row| row.consistent.is_some());
    let quality: (&str, Pick) = match is_judged {
        true => ("consistent samples", |row| row.consistent),
        false => ("r with its own sample", |row| row.r_own),
    };
    let has_feature = found.changes.iter().any(|row| row.same_feature.is_some());
    let branches: (&str, Pick) = match has_feature {
        true => ("pairs of branches from t with the same global feature", |row| row.same_feature),
        false => ("r between two branches from t", |row| row.r_own),
    };
    let all = [
        panel(&format!("uniform maps above t: {}", quality.0), Change::UniformAbove, quality.1),
        panel(&format!("uniform maps up to t: {}", quality.0), Change::UniformUpTo, quality.1),
        panel("the other denoiser above t: nearer to its sample", Change::OtherAbove, |row| {
            row.follows_other
        }),
        panel(branches.0, Change::Branches, branches.1),
    ];
    all.into_iter().filter(|panel| !panel.series.is_empty()).collect()
}
