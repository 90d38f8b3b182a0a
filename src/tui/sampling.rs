//! Previews on demand: of the run's own seeds, or of chosen ones in chosen sampling steps.
//!
//! A live worker is asked; for a run without one a process of its own does the work.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::app::{App, Popup, SampleForm};
use super::message::Effect;
use super::update::on_run;
use crate::lab::command::Command;
use crate::lab::event::NoticeLevel;
use crate::lab::previewing::Wanted;
use crate::lab::run_dir::Health;

/// Asks for a preview of the run's own seeds.
pub(super) fn sample(app: &mut App) -> Vec<Effect> {
    match app.run().map(|run| run.health) {
        Some(Health::Alive) | None => on_run(app, |run| Effect::Send {
            run: run.id.clone(),
            command: Command::Sample { seeds: None, steps: None },
        }),
        Some(_) => {
            let experiment = app.watched.as_ref().and_then(|watched| watched.experiment.as_ref());
            match experiment.map(Wanted::of) {
                Some(wanted) => make(app, wanted),
                None => Vec::new(),
            }
        }
    }
}

/// Opens the form, on what is shown now.
pub(super) fn open(app: &mut App) {
    let Some(watched) = &app.watched else { return };
    let own = watched.experiment.as_ref().map(Wanted::of);
    let shown = watched.preview.as_ref().and_then(|shown| {
        let preview = &shown.preview;
        let seeds = preview.first_seed..preview.first_seed + preview.seeds.len() as u64;
        Wanted::new(seeds, preview.sampling_steps).ok()
    });
    let Some(Wanted { seeds, steps }) = shown.or(own) else { return };
    app.popup = Popup::Sample(SampleForm {
        run: watched.id.clone(),
        seeds: format!("{}..{}", seeds.start, seeds.end),
        steps: steps.to_string(),
        on_steps: false,
        error: None,
    });
}

/// A key while the form is open.
pub(super) fn on_key(app: &mut App, key: KeyEvent, mut form: SampleForm) -> Vec<Effect> {
    let text = if form.on_steps { &mut form.steps } else { &mut form.seeds };
    match key.code {
        KeyCode::Esc => return Vec::new(),
        KeyCode::Enter => match Wanted::parse(&form.seeds, &form.steps) {
            Ok(wanted) => return ask(app, &form.run, wanted),
            Err(problem) => form.error = Some(problem),
        },
        KeyCode::Tab | KeyCode::BackTab | KeyCode::Up | KeyCode::Down => {
            form.on_steps = !form.on_steps;
        }
        KeyCode::Backspace => drop(text.pop()),
        KeyCode::Char('u') if key.modifiers.contains(KeyModifiers::CONTROL) => text.clear(),
        KeyCode::Char(letter) => text.push(letter),
        _ => {}
    }
    app.popup = Popup::Sample(form);
    Vec::new()
}

fn ask(app: &mut App, run: &str, wanted: Wanted) -> Vec<Effect> {
    let health = app.runs.iter().find(|other| other.id == run).map(|run| run.health);
    match health {
        Some(Health::Alive) => {
            vec![Effect::Send { run: run.to_owned(), command: wanted.command() }]
        }
        _ => make(app, wanted),
    }
}

fn make(app: &mut App, wanted: Wanted) -> Vec<Effect> {
    app.say(NoticeLevel::Info, "making a preview of the newest checkpoint");
    on_run(app, |run| Effect::Preview { run: run.id.clone(), wanted: wanted.clone() })
}
