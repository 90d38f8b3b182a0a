//! The palette: everything that can be asked for, found by a few letters of its name or of what it does.
//!
//! Actions come from the table of keys, so nothing can be bound and not listed; runs to look at and experiments to
//! launch follow. Only what would do something now is offered.

use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::app::{App, Popup, TABS};
use super::keys::{Action, BINDINGS};
use super::look::{self, LOOK_BINDINGS, LookAction};
use super::message::Effect;
use super::typed::Typed;
use super::update::{on_action, watch};

/// One thing that can be chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub name: String,
    pub help: String,
    /// The key that does the same, if there is one.
    pub key: &'static str,
    pub choice: Choice,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Choice {
    Act(Action),
    /// Inside a seed.
    Look(LookAction),
    /// Show this run.
    Watch(String),
    /// Launch the experiment of this number.
    Launch(usize),
}

/// What matches the typed words, best first: names that start so, then names, then explanations.
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

fn entries(app: &App) -> Vec<Entry> {
    let is_first =
        |index: usize| !BINDINGS[..index].iter().any(|row| row.action == BINDINGS[index].action);
    // Inside a seed, its keys come before their usual meanings.
    let inside = if app.look.is_some() { LOOK_BINDINGS } else { &[] };
    let rows = BINDINGS.iter().enumerate().filter(|(index, row)| {
        let is_free = inside.iter().all(|other| other.code != row.code);
        is_first(*index) && row.action != Action::Palette && app.can(row.action) && is_free
    });
    let is_new =
        |index: &usize| !inside[..*index].iter().any(|row| row.action == inside[*index].action);
    let looks = (0..inside.len()).filter(is_new).map(|index| Entry {
        name: format!("inside: {}", words(inside[index].action)),
        help: inside[index].help.to_owned(),
        key: inside[index].label,
        choice: Choice::Look(inside[index].action),
    });
    let actions = rows.map(|(_, row)| Entry {
        name: name(row.action),
        help: row.help.to_owned(),
        key: row.label,
        choice: Choice::Act(row.action),
    });
    let runs = app.runs.iter().map(|run| Entry {
        name: format!("run {}", run.id),
        help: super::words::run_state(run).to_owned(),
        key: "",
        choice: Choice::Watch(run.id.clone()),
    });
    let experiments = app.experiments.iter().enumerate().filter(|_| app.can(Action::Launch));
    let launches = experiments.map(|(index, experiment)| Entry {
        name: format!("launch {}", experiment.name),
        help: experiment.description.to_string(),
        key: "",
        choice: Choice::Launch(index),
    });
    looks.chain(actions).chain(runs).chain(launches).collect()
}

/// `LogScale` is `log-scale`; tabs have their own names.
fn name(action: Action) -> String {
    if let Action::Tab(tab) = action {
        return format!("show {}", TABS[tab]);
    }
    words(action)
}

fn words(action: impl std::fmt::Debug) -> String {
    let mut name = String::new();
    for letter in format!("{action:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

/// A key while the palette is open.
pub fn on_key(app: &mut App, key: KeyEvent, mut typed: Typed, mut cursor: usize) -> Vec<Effect> {
    let found = matching(app, typed.text());
    let last = found.len().saturating_sub(1);
    match key.code {
        KeyCode::Esc => return Vec::new(),
        KeyCode::Enter => {
            return match found.into_iter().nth(cursor) {
                Some(entry) => choose(app, entry.choice),
                None => Vec::new(),
            };
        }
        KeyCode::Down => cursor = (cursor + 1).min(last),
        KeyCode::Up => cursor = cursor.saturating_sub(1),
        KeyCode::Tab => {
            if let Some(entry) = found.get(cursor) {
                typed = entry.name.as_str().into();
                cursor = 0;
            }
        }
        _ if typed.on_key(key) => cursor = 0,
        _ => {}
    }
    app.popup = Popup::Palette { typed, cursor };
    Vec::new()
}

fn choose(app: &mut App, choice: Choice) -> Vec<Effect> {
    match choice {
        Choice::Act(action) => on_action(app, action),
        Choice::Look(action) => look::act(app, action),
        Choice::Watch(run) => watch(app, run),
        Choice::Launch(index) => match app.experiments.get(index).cloned() {
            Some(experiment) => {
                vec![Effect::Launch {
                    experiment: Box::new(experiment),
                    parent: None,
                    queued: false,
                }]
            }
            None => Vec::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Experiment;

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
        assert_eq!(name(Action::Tab(2)), "show samples");
    }
}
