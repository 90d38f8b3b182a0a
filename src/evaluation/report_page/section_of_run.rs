//! What a page says of one run.

use std::fmt::Write;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::calendar_date::calendar_date;
use super::charts_and_pictures::{CHARTS, chart, loss, picture};
use super::html_text::{escape, markdown};
use super::settings_and_commands::{commands, settings};
use crate::config::lab_file::Lab;
use crate::evaluation::report::verdict_in_words::{QUOTE, verdict};
use crate::runs::event_log::EventTail;
use crate::runs::run_toml;
use crate::runs::runs_dir::RunSummary;

/// The paragraph of a report that says what its picture of samples shows.
const OF_SAMPLES: &str = "`samples.png`: ";

/// The section of a run, from the files of its report; with a title of its own unless it is the only one.
///
/// # Errors
///
/// If the run has no report or it cannot be read.
pub fn section(run: &RunSummary, lab: &Lab, is_alone: bool) -> Result<String> {
    let folder = run.dir.report_path();
    if !folder.join("report.md").exists() {
        bail!(
            "run '{}' has no report yet: it is {}; the report is written when the run finishes, and by 'mosaic compare {}'",
            run.id,
            run.listed_state().word(),
            run.id
        );
    }
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read_to_string(&path).with_context(|| format!("reading '{}'", path.display()))
    };
    let (text, json) = (read("report.md")?, read("report.json")?);
    let report: Value = serde_json::from_str(&json)
        .with_context(|| format!("reading '{}'", folder.join("report.json").display()))?;
    let description = run_toml::read(&run.dir.run_toml_path())?;
    let mut page = String::new();
    let _ = writeln!(page, "<section class=\"run\" id=\"{}\">", anchor(&run.id));
    if !is_alone {
        let _ = writeln!(page, "<h2>{}</h2>", escape(&run.id));
    }
    let verdict = markdown(&verdict(&report), 0);
    let _ = writeln!(page, "<div class=\"verdict\">{verdict}</div>");
    let _ = writeln!(
        page,
        "<p class=\"about\">Created {} by mosaic-lab {}, experiment <code>{}</code>.{}</p>",
        calendar_date(description.created_ms),
        escape(&description.version),
        escape(&description.experiment.name),
        note(run)
    );
    let mut charts: Vec<_> = CHARTS.iter().map(Some).collect();
    let (introduction, sections) = parts(&text);
    // It begins with the verdict.
    let introduction = introduction.lines().filter(|line| !line.starts_with(QUOTE));
    page += &markdown(&introduction.collect::<Vec<_>>().join("\n"), 2);
    let events = EventTail::new(run.dir.events_path()).poll().unwrap_or_default();
    page += &loss(&events).unwrap_or_default();
    let mut caption = "Samples of the network and of the machines.".to_owned();
    // The page has all words at its end.
    for section in sections.into_iter().filter(|section| !section.starts_with("## Words\n")) {
        let of_samples = section.lines().find_map(|line| line.strip_prefix(OF_SAMPLES));
        if let Some(words) = of_samples {
            caption = capitalised(words);
        }
        let lines: Vec<&str> =
            section.lines().filter(|line| !line.starts_with(OF_SAMPLES)).collect();
        page += &markdown(&lines.join("\n"), 1);
        for slot in &mut charts {
            let belongs =
                slot.is_some_and(|found| section.starts_with(&format!("## {}", found.section)));
            if let Some(found) = slot.take_if(|_| belongs) {
                page += &chart(&folder, found.name, found.caption).unwrap_or_default();
            }
        }
    }
    for left in charts.into_iter().flatten() {
        page += &chart(&folder, left.name, left.caption).unwrap_or_default();
    }
    page += &picture(&folder.join("samples.png"), &caption).unwrap_or_default();
    page += &settings(&description.experiment);
    let base = lab.experiment(&description.experiment.name).ok();
    page += &commands(&run.id, &description, base, report["n_seeds"].as_u64());
    page += "</section>\n";
    Ok(page)
}

/// The name of a section within the page.
pub fn anchor(run: &str) -> String {
    let letter = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    format!("run-{}", run.chars().map(letter).collect::<String>())
}

/// A report without its title: what precedes the first section, and the sections.
fn parts(text: &str) -> (&str, Vec<&str>) {
    let text = match text.strip_prefix("# ").and_then(|rest| rest.split_once('\n')) {
        Some((_, rest)) => rest,
        None => text,
    };
    let starts: Vec<usize> = text.match_indices("\n## ").map(|(at, _)| at + 1).collect();
    let first = starts.first().copied().unwrap_or(text.len());
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    (&text[..first], starts.iter().zip(ends).map(|(&start, end)| &text[start..end]).collect())
}

fn capitalised(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

fn note(run: &RunSummary) -> String {
    let tags: Vec<String> = run.about.tags.iter().map(|tag| escape(tag)).collect();
    let note = match run.about.note.as_str() {
        "" => String::new(),
        note => format!(" Note: {}", escape(note)),
    };
    let tags = if tags.is_empty() { String::new() } else { format!(" Tags: {}", tags.join(", ")) };
    note + &tags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_falls_into_its_sections() {
        let (introduction, sections) = parts("# a\n\nwords\n\n## b\n\nx\n## c\ny\n");
        assert_eq!(introduction, "\nwords\n\n");
        assert_eq!(sections, ["## b\n\nx\n", "## c\ny\n"]);
        assert_eq!(parts("no heading").0, "no heading");
        assert_eq!(anchor("glyphs-<a>.1"), "run-glyphs--a--1");
    }
}
