//! How a message changes the dashboard. No input, no output: what must be done is returned.

use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::app::{App, HISTORY_POINTS_MAX, Popup};
use super::keys::{self, Action};
use super::message::{Effect, Message};
use crate::lab::command::Command;
use crate::lab::event::{Event, EventBody};
use crate::lab::status::RunState;

pub fn update(app: &mut App, message: Message) -> Vec<Effect> {
    match message {
        Message::Key(key) => return on_key(app, key),
        Message::Runs(runs) => {
            app.runs = runs;
            if app.run().is_none() {
                let live = app
                    .runs
                    .iter()
                    .find(|r| !r.lost && r.status.as_ref().is_some_and(|s| !s.state.is_over()));
                if let Some(id) = live.or(app.runs.first()).map(|run| run.id.clone()) {
                    app.select(id);
                }
            }
        }
        Message::Events { run, events } if Some(&run) == app.selected.as_ref() => {
            events.into_iter().for_each(|event| on_event(app, event));
        }
        Message::Events { .. } => {}
        Message::Experiments(experiments) => app.experiments = experiments,
        Message::Launched(id) => {
            app.said = format!("launched {id}");
            app.select(id);
        }
        Message::Said(words) => app.said = words,
    }
    Vec::new()
}

fn on_event(app: &mut App, event: Event) {
    let step = event.step as f64;
    match event.body {
        EventBody::Metrics(metrics) => {
            push(&mut app.loss, (step, metrics.loss.unwrap_or(f64::NAN)))
        }
        EventBody::Attention(attention) => push(&mut app.attention, (step, attention)),
        EventBody::Preview(preview) => {
            let figures = preview.figures.into_iter();
            app.agreement = figures.map(|f| (f.machine, median_square(&f.r))).collect();
        }
        EventBody::Notice { text, .. } => app.said = text,
        _ => {}
    }
}

fn push<T>(history: &mut Vec<T>, value: T) {
    if history.len() >= HISTORY_POINTS_MAX {
        history.drain(..HISTORY_POINTS_MAX / 2);
    }
    history.push(value);
}

/// The median of r^2 over seeds; of an even number the upper one.
fn median_square(r: &[Option<f64>]) -> Option<f64> {
    let mut squares: Vec<f64> = r.iter().flatten().map(|r| r * r).collect();
    squares.sort_by(f64::total_cmp);
    squares.get(squares.len() / 2).copied()
}

fn on_key(app: &mut App, key: KeyEvent) -> Vec<Effect> {
    let action = keys::action(key);
    // Detaching and redrawing work everywhere, so that nobody is ever stuck in a popup.
    match (action, std::mem::take(&mut app.popup)) {
        (Some(Action::Detach), _) => vec![Effect::Detach],
        (Some(Action::Redraw), popup) => {
            app.popup = popup;
            vec![Effect::Redraw]
        }
        (action, Popup::None) => action.map(|action| on_action(app, action)).unwrap_or_default(),
        (_, Popup::Help) => Vec::new(),
        (_, Popup::ConfirmStop { run }) => match key.code {
            KeyCode::Char('y') | KeyCode::Enter => {
                vec![Effect::Send { run, command: Command::Stop }]
            }
            _ => Vec::new(),
        },
        (action, Popup::Launch { cursor }) => on_launch_key(app, action, key.code, cursor),
    }
}

fn on_launch_key(
    app: &mut App,
    action: Option<Action>,
    code: KeyCode,
    cursor: usize,
) -> Vec<Effect> {
    let last = app.experiments.len().saturating_sub(1);
    match (action, code) {
        (_, KeyCode::Enter) => {
            return app
                .experiments
                .get(cursor)
                .map(|(name, _)| Effect::Launch(name.clone()))
                .into_iter()
                .collect();
        }
        (_, KeyCode::Esc) => {}
        (Some(Action::Next), _) => app.popup = Popup::Launch { cursor: (cursor + 1).min(last) },
        (Some(Action::Previous), _) => {
            app.popup = Popup::Launch { cursor: cursor.saturating_sub(1) }
        }
        _ => app.popup = Popup::Launch { cursor },
    }
    Vec::new()
}

fn on_action(app: &mut App, action: Action) -> Vec<Effect> {
    match action {
        Action::Help => app.popup = Popup::Help,
        Action::Launch => app.popup = Popup::Launch { cursor: 0 },
        Action::LogScale => app.log_scale = !app.log_scale,
        Action::Smooth => app.smooth = !app.smooth,
        Action::Next => step_selection(app, 1),
        Action::Previous => step_selection(app, -1),
        Action::Stop => {
            app.popup = app.run().map_or(Popup::None, |r| Popup::ConfirmStop { run: r.id.clone() })
        }
        Action::Restart => {
            return app.run().map(|r| Effect::Resume(r.id.clone())).into_iter().collect();
        }
        Action::Sample => return send(app, Command::Sample),
        Action::PauseResume => {
            let paused = app
                .run()
                .and_then(|r| r.status.as_ref())
                .is_some_and(|s| s.state == RunState::Paused);
            return send(app, if paused { Command::Resume } else { Command::Pause });
        }
        Action::Redraw | Action::Detach => {}
    }
    Vec::new()
}

fn send(app: &App, command: Command) -> Vec<Effect> {
    app.run().map(|run| Effect::Send { run: run.id.clone(), command }).into_iter().collect()
}

fn step_selection(app: &mut App, by: isize) {
    let Some(last) = app.runs.len().checked_sub(1) else { return };
    let next = app.position().unwrap_or(0).saturating_add_signed(by).min(last);
    app.select(app.runs[next].id.clone());
}
