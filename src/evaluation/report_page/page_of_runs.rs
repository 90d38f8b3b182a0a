//! The page: a head, the runs side by side if there are several, a section for each, and the words that reports use.

use std::fmt::Write;

use anyhow::{Context, Result};

use super::calendar_date::calendar_date;
use super::charts_and_pictures::drawn;
use super::html_text::{escape, markdown};
use super::section_of_run::{anchor, section};
use crate::analysis::glossary::GLOSSARY;
use crate::config::lab_file::Lab;
use crate::evaluation::chart_panels::{Panel, svg};
use crate::evaluation::summary_over_runs::{Row, summary};
use crate::runs::runs_dir::RunSummary;
use crate::runs::status_json::now_ms;

const STYLE: &str = include_str!("page_style.css");

/// The reports of runs as one HTML page, which refers to nothing outside of it.
///
/// # Errors
///
/// If a run has no report, or its files cannot be read.
pub fn page(runs: &[RunSummary], lab: &Lab) -> Result<String> {
    let title = match runs {
        [run] => format!("{}: network and theory", run.id),
        _ => format!("{} runs: networks and theory", runs.len()),
    };
    let title = escape(&title);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<header>\n<h1>{title}</h1>\n<p class=\"about\">Written {} by mosaic-lab {}.</p>\n",
        calendar_date(now_ms()),
        env!("CARGO_PKG_VERSION")
    );
    if runs.len() > 1 {
        let item = |run: &RunSummary| {
            format!("<li><a href=\"#{}\">{}</a></li>", anchor(&run.id), escape(&run.id))
        };
        let _ = writeln!(
            page,
            "<nav aria-label=\"runs\"><ul>{}</ul></nav>",
            runs.iter().map(item).collect::<String>()
        );
    }
    page += "</header>\n";
    if runs.len() > 1 {
        let rows = runs.iter().map(|run| {
            Row::read(&run.dir).with_context(|| format!("reading the report of run '{}'", run.id))
        });
        let found = summary(&rows.collect::<Result<Vec<_>>>()?);
        let _ = writeln!(
            page,
            "<section class=\"summary\">\n{}{}</section>",
            markdown(&found.page, 1),
            floors(found.floor_panels())
        );
    }
    for run in runs {
        page += &section(run, lab, runs.len() == 1)?;
    }
    let _ = writeln!(
        page,
        "<section class=\"words\">\n<h2>Words</h2>\n{}</section>",
        markdown(&words(), 1)
    );
    page += "</main>\n</body>\n</html>\n";
    Ok(page)
}

/// The floors of the groups of training seeds as a figure; nothing without groups.
fn floors(panels: &[Panel]) -> String {
    let caption = "Errors and floors by noise level, and the excess over the floor of the networks' class: means over training seeds with 95% intervals.";
    match panels {
        [] => String::new(),
        panels => svg(panels, 2).map_or(String::new(), |svg| drawn(&svg, caption)),
    }
}

/// The table of words.
fn words() -> String {
    let rows = GLOSSARY.iter().map(|(word, meaning)| format!("| {word} | {meaning} |\n"));
    format!("| word | meaning |\n| --- | --- |\n{}", rows.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_style_asks_for_nothing_from_outside() {
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import") && !STYLE.contains("</"));
    }
}
