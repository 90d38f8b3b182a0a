//! The launch form (key `n`): keys while a list of experiments is open from which one is launched, queued or edited first,
//! with one training seed or with several.

use ratatui::crossterm::event::{KeyCode, KeyEvent};

use crate::config::Experiment;
use crate::config::training_seed_group::{group, parse_training_seeds};
use crate::evaluation::studies::enqueue_training_seeds::Enqueued;
use crate::tui::key_table::moved;
use crate::tui::messages_and_effects::Effect;
use crate::tui::state::{App, EditForm, LaunchForm, Notice, Popup};
use crate::tui::update::open_and_mark_runs::open_run;

/// Most training seeds that the dashboard launches at once: each waits in a process of its own.
const SEEDS_MAX: usize = 32;

/// Handles a key while the launch form is open.
pub fn on_key(app: &mut App, key: KeyEvent, mut form: LaunchForm) -> Vec<Effect> {
    if form.is_typing {
        on_seeds_key(&mut form, key);
        app.popup = Some(Popup::Launch(form));
        return Vec::new();
    }
    let last = app.experiments.len().saturating_sub(1);
    let chosen = app.experiments.get(form.cursor).cloned();
    match key.code {
        KeyCode::Enter | KeyCode::Char('w') => {
            let Some(experiment) = chosen else { return Vec::new() };
            return launch(app, experiment, form, key.code == KeyCode::Char('w'));
        }
        KeyCode::Char('e') => {
            if let Some(experiment) = chosen {
                app.popup = Some(Popup::Edit(Box::new(EditForm::new(String::new(), experiment))));
            }
        }
        KeyCode::Esc | KeyCode::Char('q') => {}
        KeyCode::Char('s') => {
            form.is_typing = true;
            app.popup = Some(Popup::Launch(form));
        }
        code => {
            form.cursor = moved(code, form.cursor).unwrap_or(form.cursor).min(last);
            app.popup = Some(Popup::Launch(form));
        }
    }
    Vec::new()
}

/// Handles a key while training seeds are typed.
fn on_seeds_key(form: &mut LaunchForm, key: KeyEvent) {
    match key.code {
        KeyCode::Esc => {
            *form = LaunchForm { cursor: form.cursor, ..LaunchForm::default() };
        }
        KeyCode::Enter => {
            form.error = match form.seeds.text().trim() {
                "" => None,
                text => parse_training_seeds(text).err(),
            };
            form.is_typing = form.error.is_some();
        }
        _ => drop(form.seeds.on_key(key)),
    }
}

fn launch(
    app: &mut App,
    experiment: Experiment,
    mut form: LaunchForm,
    queued: bool,
) -> Vec<Effect> {
    let word = if queued { "queueing" } else { "launching" };
    let text = form.seeds.text().trim();
    if text.is_empty() {
        app.notify(Notice::info(format!("{word} {}", experiment.name)));
        return vec![Effect::Launch { experiment: Box::new(experiment), parent: None, queued }];
    }
    let arms = parse_training_seeds(text)
        .and_then(|seeds| group(&experiment, "", &seeds).map_err(|error| error.to_string()));
    let problem = match arms {
        Ok(arms) if arms.len() <= SEEDS_MAX => {
            let n = arms.len();
            app.notify(Notice::info(format!("{word} {n} training seeds of {}", experiment.name)));
            return vec![Effect::LaunchSeeds { arms, queued }];
        }
        Ok(arms) => {
            let n = arms.len();
            format!(
                "{n} training seeds: at most {SEEDS_MAX} here; 'mosaic run --training-seeds' takes more"
            )
        }
        Err(problem) => problem,
    };
    form.error = Some(problem);
    form.is_typing = true;
    app.popup = Some(Popup::Launch(form));
    Vec::new()
}

/// Training seeds were launched: the first of them is opened.
pub fn on_enqueued(app: &mut App, done: Enqueued) -> Vec<Effect> {
    let effects = done.runs.first().map_or_else(Vec::new, |run| open_run(app, run.clone()));
    let mut words = match done.runs.as_slice() {
        [] => "nothing new was launched".to_owned(),
        [run] => format!("launched {run}"),
        [run, others @ ..] => format!("launched {run} and queued {} more", others.len()),
    };
    if done.n_existing > 0 {
        words += &format!("; {} had a run already", done.n_existing);
    }
    app.notify(match done.problem {
        Some(problem) => Notice::error(format!("{words}; the rest failed: {problem}")),
        None => Notice::info(words + "; 'mosaic run --training-seeds' compares them"),
    });
    effects
}
