//! The settings of a run as a table, and the commands that make the run again.

use super::html_text::escape;
use crate::config::Experiment;
use crate::config::SettingEntry;
use crate::runs::run_toml::{Origin, RunToml};

/// All settings, those that differ from their defaults first, to be opened by a click.
pub fn settings(experiment: &Experiment) -> String {
    let (same, other): (Vec<_>, Vec<_>) =
        experiment.entries().into_iter().partition(|entry| entry.is_default);
    let rows = |entries: &[SettingEntry]| -> String {
        let row = |entry: &SettingEntry| {
            let (key, value, doc) = (escape(entry.key), escape(&entry.value), escape(entry.doc));
            format!(
                "<tr><td><code>{key}</code></td><td><code>{value}</code></td><td>{doc}</td></tr>\n"
            )
        };
        entries.iter().map(row).collect()
    };
    let head = |title: &str, n: usize| {
        format!("<tr><th colspan=\"3\" scope=\"rowgroup\">{title} ({n})</th></tr>\n")
    };
    format!(
        "<details class=\"settings\"><summary>Settings: {} differ from their defaults, {} do not</summary>\n<div class=\"table\"><table>\n<thead><tr><th>setting</th><th>value</th><th>meaning</th></tr></thead>\n<tbody>{}{}{}{}</tbody></table></div></details>\n",
        other.len(),
        same.len(),
        head("Other than the default", other.len()),
        rows(&other),
        head("The default", same.len()),
        rows(&same),
    )
}

/// How to make the run and its report again. `base` is the experiment of this name in the lab file, if there is one.
pub fn commands(
    run: &str,
    description: &RunToml,
    base: Option<&Experiment>,
    n_seeds: Option<u64>,
) -> String {
    let experiment = &description.experiment;
    let (first, why) = match &description.origin {
        Origin::Trained => match base {
            Some(base) => (Some(run_command(experiment, base)), String::new()),
            None => (
                Some(format!("mosaic run {}", quoted(&experiment.name))),
                "The lab file needs the section below.".to_owned(),
            ),
        },
        Origin::Imported(from) => (
            None,
            format!("The weights were imported from '{}' (SHA-256 {}).", from.file, from.sha256),
        ),
        Origin::Recorded(directory) => (
            None,
            format!("The samples are those in '{}'; there is no network.", directory.display()),
        ),
    };
    let seeds = n_seeds.map_or(String::new(), |n| format!(" --seeds {n}"));
    let compare = format!("mosaic compare {}{seeds}", quoted(run));
    let lines: Vec<String> = first.into_iter().chain([compare]).collect();
    let why = if why.is_empty() { why } else { format!("<p>{}</p>\n", escape(&why)) };
    format!(
        "<details class=\"reproduce\"><summary>How to reproduce</summary>\n{why}<pre><code>{}</code></pre>\n<p>The experiment as a section of <code>lab.toml</code>, with every setting:</p>\n<pre><code>{}</code></pre></details>\n",
        escape(&lines.join("\n")),
        escape(&experiment.to_toml())
    )
}

/// The command that trains the experiment, with the settings in which it differs from that of the lab file.
fn run_command(experiment: &Experiment, base: &Experiment) -> String {
    let pairs = experiment.entries().into_iter().zip(base.entries());
    let changed = pairs.filter(|(own, other)| own.value != other.value);
    let set =
        changed.map(|(own, _)| format!(" --set {}", quoted(&format!("{}={}", own.key, own.value))));
    format!("mosaic run {}{}", quoted(&experiment.name), set.collect::<String>())
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./=,:+".contains(letter);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_names_what_differs_from_the_lab_file() {
        let base = Experiment::named("a").unwrap();
        let mut own = base.clone();
        own.set("training.steps", "30").unwrap();
        own.set("dataset.path", "it's here").unwrap();
        own.set("network.kernels", "3,1").unwrap();
        let command = run_command(&own, &base);
        assert_eq!(
            command,
            "mosaic run a --set 'dataset.path=it'\\''s here' --set 'network.kernels=[3, 1]' --set training.steps=30"
        );
    }

    #[test]
    fn settings_that_differ_come_first_and_are_escaped() {
        let mut own = Experiment::named("a").unwrap();
        own.set("dataset.path", "<script>").unwrap();
        let page = settings(&own);
        let (first, rest) = page.split_once("The default (").unwrap();
        assert!(first.contains("&lt;script&gt;") && !page.contains("<script>"), "{first}");
        assert!(!first.contains("training.batch") && rest.contains("training.batch"));
    }
}
