//! What a page says of one run.

use std::fmt::Write;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::calendar_date::calendar_date;
use super::charts_and_pictures::{CHARTS, chart, loss, picture};
use super::html_text::{escape, markdown};
use super::settings_and_commands::{commands, settings};
use crate::analysis::excess_over_floor::{Bound, Convergence};
use crate::config::lab_file::Lab;
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
    page += &verdict(&report);
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
    page += &markdown(introduction, 2);
    let events = EventTail::new(run.dir.events_path()).poll().unwrap_or_default();
    page += &loss(&events).unwrap_or_default();
    let mut caption = "Samples of the network and of the machines.".to_owned();
    for section in sections {
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

/// In words: whether the network is trained enough, and which machine predicts it best.
fn verdict(report: &Value) -> String {
    let floors = &report["floors"];
    let convergence = serde_json::from_value::<Convergence>(floors["convergence"].clone()).ok();
    let bound = serde_json::from_value::<Bound>(floors["bound"].clone()).ok();
    let trained = match (convergence, bound, floors["class_floor"].as_str()) {
        (Some(found), Some(bound), Some(class)) => {
            let word: &str = found.into();
            format!("The network is **{word}**: {}.", found.meaning(class, bound))
        }
        _ => "Whether the network is trained enough was not measured.".to_owned(),
    };
    let r = |machine: &Value| machine["r"].as_f64();
    let machines = report["agreement"].as_object().into_iter().flatten();
    let best = machines
        .filter_map(|(name, machine)| Some((name, r(machine)?)))
        .max_by(|a, b| a.1.total_cmp(&b.1));
    let baseline = report["baseline"].as_str();
    let best = match best {
        Some((name, best)) => {
            let n = report["n_seeds"].as_u64().unwrap_or(0);
            let other = baseline.filter(|baseline| baseline != name);
            let other = other.and_then(|name| Some((name, r(&report["agreement"][name])?)));
            let other = other
                .map_or(String::new(), |(name, r)| format!("; `{name}`, the baseline, has {r:.3}"));
            format!(
                " From the same noise seeds `{name}` predicts its samples best: median r {best:.3} over {n} held-out noise seeds{other}."
            )
        }
        None => " No machine's agreement is defined.".to_owned(),
    };
    format!("<div class=\"verdict\">{}</div>\n", markdown(&format!("{trained}{best}"), 0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_falls_into_its_sections() {
        let (introduction, sections) = parts("# a\n\nwords\n\n## b\n\nx\n## c\ny\n");
        assert_eq!(introduction, "\nwords\n\n");
        assert_eq!(sections, ["## b\n\nx\n", "## c\ny\n"]);
        assert_eq!(parts("no heading").0, "no heading");
        assert_eq!(anchor("glyphs-<a>.1"), "run-glyphs--a--1");
    }

    #[test]
    fn the_verdict_says_what_was_measured() {
        let report = json!({
            "floors": { "convergence": "close", "bound": "exact", "class_floor": "els" },
            "agreement": { "els": { "r": 0.7 }, "<b>": { "r": 0.9 }, "ls": { "r": null } },
            "baseline": "els", "n_seeds": 32,
        });
        let words = verdict(&report);
        assert!(
            words.contains("<strong>close</strong>: ") && words.contains("&lt;b&gt;"),
            "{words}"
        );
        assert!(words.contains("median r 0.900 over 32") && words.contains("has 0.700"), "{words}");
        let none = verdict(&json!({}));
        assert!(none.contains("not measured") && none.contains("No machine"), "{none}");
    }
}
