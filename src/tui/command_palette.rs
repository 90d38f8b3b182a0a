//! The entries of the palette: actions, runs and experiments, found by words of their name or explanation.
//!
//! Actions are read from the key tables, so every bound action is listed. Only entries that would do something now are
//! offered.

use super::key_table::{Action, BINDINGS, Binding, INSPECTOR_BINDINGS, InspectorAction};
use super::state::App;

/// One line of the palette.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub name: String,
    pub help: String,
    /// The key that does the same; empty if there is none.
    pub key: &'static str,
    pub choice: Choice,
}

/// What an entry does.
#[derive(Clone, Debug, PartialEq)]
pub enum Choice {
    Action(Action),
    Inspector(InspectorAction),
    /// Opens the run of this id.
    OpenRun(String),
    /// Launches the experiment of this index.
    Launch(usize),
}

/// The entries that contain all typed words, best first: names that start with them, names, then explanations.
pub fn matching(app: &App, typed: &str) -> Vec<Entry> {
    let typed = typed.to_lowercase();
    let has_all = |text: &str| typed.split_whitespace().all(|word| text.contains(word));
    let rank = |entry: &Entry| {
        let name = entry.name.to_lowercase();
        if name.starts_with(typed.trim()) {
            Some(0)
        } else if has_all(&name) {
            Some(1)
        } else {
            has_all(&format!("{name} {}", entry.help.to_lowercase())).then_some(2)
        }
    };
    let ranked = entries(app).into_iter().filter_map(|entry| Some((rank(&entry)?, entry)));
    let mut ranked: Vec<(u8, Entry)> = ranked.collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, entry)| entry).collect()
}

/// The first key of each action.
fn of_actions<A: PartialEq>(rows: &[Binding<A>]) -> impl Iterator<Item = &Binding<A>> {
    let is_first = |(index, row): &(usize, &Binding<A>)| {
        rows[..*index].iter().all(|other| other.action != row.action)
    };
    rows.iter().enumerate().filter(is_first).map(|(_, row)| row)
}

fn entries(app: &App) -> Vec<Entry> {
    // The keys of the inspector hide the usual meaning of those keys.
    let inspector = if app.inspector.is_some() { INSPECTOR_BINDINGS } else { &[] };
    let inspecting = of_actions(inspector).map(|row| Entry {
        name: format!("inside: {}", row.action),
        help: row.help.to_owned(),
        key: row.label,
        choice: Choice::Inspector(row.action),
    });
    let rows = of_actions(BINDINGS).filter(|row| {
        let is_free = inspector.iter().all(|other| other.code != row.code);
        let is_offered = row.action != Action::Palette && app.is_available(row.action);
        is_offered && is_free
    });
    let actions = rows.map(|row| Entry {
        name: name(row.action),
        help: row.help.to_owned(),
        key: row.label,
        choice: Choice::Action(row.action),
    });
    let runs = app.runs.all.iter().map(|run| Entry {
        name: format!("run {}", run.id),
        help: run.listed_state().word().to_owned(),
        key: "",
        choice: Choice::OpenRun(run.id.clone()),
    });
    let experiments =
        app.experiments.iter().enumerate().filter(|_| app.is_available(Action::Launch));
    let launches = experiments.map(|(index, experiment)| Entry {
        name: format!("launch {}", experiment.name),
        help: experiment.description.to_string(),
        key: "",
        choice: Choice::Launch(index),
    });
    inspecting.chain(actions).chain(runs).chain(launches).collect()
}

/// The name of an action: its variant in words, such as `log-scale`; `show` and the title for a tab.
fn name(action: Action) -> String {
    match action {
        Action::Tab(tab) => format!("show {}", tab.title()),
        action => action.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Experiment;
    use crate::tui::tabs::Tab;

    fn names(app: &App, typed: &str) -> Vec<String> {
        matching(app, typed).into_iter().map(|entry| entry.name).collect()
    }

    #[test]
    fn names_that_start_so_come_first_and_only_what_would_work_is_offered() {
        let app = App::new(vec![Experiment::named("glyphs-cnn").unwrap()], String::new());
        assert_eq!(names(&app, "la")[0], "launch");
        assert!(names(&app, "launch gl").contains(&"launch glyphs-cnn".to_owned()));
        // There is no run to pause.
        assert!(!names(&app, "").contains(&"pause".to_owned()));
        assert!(names(&app, "no such thing").is_empty());
    }

    #[test]
    fn whoever_only_looks_is_offered_nothing_that_steers() {
        let mut app = App::new(vec![Experiment::named("glyphs-cnn").unwrap()], String::new());
        app.read_only = true;
        assert!(names(&app, "launch").is_empty());
    }

    #[test]
    fn names_are_words_with_hyphens() {
        assert_eq!(name(Action::LogScale), "log-scale");
        assert_eq!(name(Action::Tab(Tab::Samples)), "show samples");
    }
}
