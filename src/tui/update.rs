//! How a message changes the dashboard. No input, no output: what must be done is returned.

use std::collections::HashSet;

use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::app::{App, LOG, OpenRun, Popup, SMOOTHINGS, Shown, TABS};
use super::chart::Window;
use super::forms::{self, Purpose};
use super::keys::{self, Action};
use super::look;
use super::message::{Effect, Message};
use super::notify;
use super::panels::{log, settings};
use super::pointer::{self, Pane};
use super::popups;
use super::sampling;
use super::typed::Typed;
use super::words::run_state;
use crate::runs::command::Command;
use crate::runs::event::{EventBody, NoticeLevel};
use crate::runs::holder::Steering;
use crate::runs::liveness::Health;
use crate::runs::runs_dir::RunSummary;

/// Takes in a message.
pub fn update(app: &mut App, message: Message) -> Vec<Effect> {
    match message {
        Message::Key(key) => return on_key(app, key),
        Message::Pasted(text) => popups::paste(app, &text),
        // A terminal that was another size for a moment has lost what it showed, even if it is back at the size of the last frame.
        Message::Resized => return vec![Effect::Redraw],
        Message::Mouse(event) => return pointer::on_mouse(app, event),
        Message::Suspend { group } => return vec![Effect::Suspend { group }],
        Message::Continued => return vec![Effect::ComeBack],
        Message::Ended(signal) => return vec![Effect::End(signal)],
        Message::Runs(runs) => return on_runs(app, runs),
        Message::System(reading) => app.look_at(*reading),
        Message::Launched(Ok(id)) => {
            app.draft = None;
            let effects = watch(app, id.clone());
            app.say(NoticeLevel::Info, format!("launched {id}; q leaves it running"));
            return effects;
        }
        // What was typed is not lost, such as for a file that is not there.
        Message::Launched(Err(problem)) if app.draft.is_some() && app.popup == Popup::None => {
            let draft = app.draft.take();
            app.popup = draft.map_or(Popup::None, |mut form| {
                form.error = Some(problem);
                Popup::Edit(form)
            });
        }
        Message::Launched(Err(problem)) | Message::Done(Err(problem)) => {
            app.say(NoticeLevel::Error, problem);
        }
        Message::Done(Ok(words)) => app.say(NoticeLevel::Info, words),
        Message::Log { run, log } => {
            if let Some(watched) = watched(app, &run) {
                watched.log = Some(log);
            }
        }
        Message::Trace { run, seed, trace } => look::take(app, &run, seed, trace),
        Message::Events { run, events } => {
            for followed in app.followed(&run) {
                events.iter().for_each(|event| followed.take(event.clone()));
            }
            let mut effects = load_preview(app);
            // Machines are calibrated when training is over.
            if events.iter().any(|event| matches!(event.body, EventBody::State { .. })) {
                effects.extend(load_calibration(app));
            }
            return effects;
        }
        Message::Calibration { run, calibration } => match calibration {
            Ok(calibration) => {
                if let (Some(watched), Some(found)) = (watched(app, &run), calibration) {
                    watched.curves.calibrate(&found);
                }
            }
            Err(problem) => app.say(NoticeLevel::Error, problem),
        },
        Message::Experiment { run, experiment } => match experiment {
            Ok(experiment) => {
                for followed in app.followed(&run) {
                    followed.experiment = Some((*experiment).clone());
                }
            }
            Err(problem) => app.say(NoticeLevel::Error, problem),
        },
        Message::PreviewSteps { run, steps } => {
            if let Some(watched) = watched(app, &run) {
                watched.preview_steps = steps;
            }
            return load_preview(app);
        }
        Message::Renamed { from, renamed } => match renamed {
            Ok(to) => {
                app.say(NoticeLevel::Info, format!("{from} is now {to}"));
                let mut effects = unmark(app, |run| run.id == from);
                if app.watched.as_ref().is_some_and(|watched| watched.id == from) {
                    let said = app.said.take();
                    effects.extend(watch(app, to));
                    app.said = said;
                }
                return effects;
            }
            Err(problem) => app.say(NoticeLevel::Error, problem),
        },
        Message::Previewed { run, made } => {
            app.making.remove(&run);
            match made {
                Ok(()) => app.say(NoticeLevel::Info, format!("{run}: the preview is made")),
                Err(problem) => app.say(NoticeLevel::Error, problem),
            }
            if let Some(watched) = watched(app, &run) {
                // It may have replaced the one on screen.
                watched.asked = None;
            }
            return load_preview(app);
        }
        Message::Preview { run, preview } => match preview {
            Ok(preview) => {
                if let Some(watched) = watched(app, &run) {
                    let last = preview.seeds.len().saturating_sub(1);
                    watched.preview = Some(Shown::new(*preview));
                    app.first_seed = app.first_seed.min(last);
                }
            }
            Err(problem) => app.say(NoticeLevel::Warning, problem),
        },
    }
    Vec::new()
}

/// The run on screen, if it is the one that news came of.
fn watched<'a>(app: &'a mut App, run: &str) -> Option<&'a mut OpenRun> {
    app.watched.as_mut().filter(|watched| watched.id == run)
}

fn on_runs(app: &mut App, runs: Vec<RunSummary>) -> Vec<Effect> {
    let news = notify::news(&app.runs, &runs);
    if let Some(words) = notify::relieved(&app.runs, &runs) {
        app.say(NoticeLevel::Warning, words);
    }
    let state = |app: &App| app.run().map(|run| (run.id.clone(), run_state(run)));
    let before = state(app);
    app.runs = runs;
    if let (Some((id, was)), Some((_, is))) = (before, state(app)) {
        // An answer such as that a run is stopping has come true.
        let is_about = |(level, words): &(NoticeLevel, String)| {
            *level == NoticeLevel::Info && words.starts_with(&format!("{id}: "))
        };
        app.said = app.said.take().filter(|said| was == is || !is_about(said));
    }
    let mut effects: Vec<Effect> = news.map(Effect::Ring).into_iter().collect();
    // A marked run that is gone could not be unmarked any more.
    let listed: HashSet<String> = app.runs.iter().map(|run| run.id.clone()).collect();
    effects.extend(unmark(app, |run| !listed.contains(&run.id)));
    effects.extend(keep_watching(app));
    effects
}

/// Takes the marks of such runs away, and says so to the reader if there were any.
fn unmark(app: &mut App, is_gone: impl Fn(&OpenRun) -> bool) -> Vec<Effect> {
    let before = app.marked.len();
    app.marked.retain(|run| !is_gone(run));
    if app.marked.len() == before { Vec::new() } else { vec![follow(app)] }
}

fn follow(app: &App) -> Effect {
    Effect::Follow(app.marked.iter().map(|run| run.id.clone()).collect())
}

/// Shows another run if the one on screen is gone, or the first that there is.
fn keep_watching(app: &mut App) -> Vec<Effect> {
    if app.run().is_some() {
        return Vec::new();
    }
    // A run that was just launched may not be listed yet; one that was watched may be deleted.
    let gone = app.watched.as_ref().is_some_and(|watched| watched.experiment.is_some());
    if app.watched.is_some() && !gone {
        return Vec::new();
    }
    let live = app.runs.iter().find(|run| run.health == Health::Alive);
    match live.or(app.runs.first()).map(|run| run.id.clone()) {
        Some(id) => {
            let gone = app.watched.take().map(|watched| watched.id);
            let said = app.said.take();
            let effects = watch(app, id);
            // Such as that the other one is deleted; else nobody has said why another run is here.
            app.said = said.filter(|(_, words)| gone.as_ref().is_none_or(|id| words.contains(id)));
            if let (Some(id), None) = (gone, &app.said) {
                app.say(NoticeLevel::Warning, format!("{id} is gone; another run is shown"));
            }
            effects
        }
        None => {
            app.watched = None;
            app.look = None;
            (app.first_column, app.first_seed, app.setting) = (0, 0, 0);
            Vec::new()
        }
    }
}

/// Shows the first run that passes the filter if the one on screen does not.
pub(super) fn watch_shown(app: &mut App) -> Vec<Effect> {
    let first = app.shown().first().map(|run| run.id.clone());
    match first {
        Some(id) if app.position().is_none() => watch(app, id),
        _ => Vec::new(),
    }
}

pub(super) fn watch(app: &mut App, id: String) -> Vec<Effect> {
    app.watched = Some(OpenRun::new(id.clone()));
    app.look = None;
    // What was said was about another run.
    app.said = None;
    app.first_column = 0;
    app.first_seed = 0;
    (app.news_back, app.log_back) = (0, 0);
    let mut effects = vec![Effect::Watch(id)];
    effects.extend(load_calibration(app));
    effects
}

/// Asks for the preview that should be on screen, once.
fn load_preview(app: &mut App) -> Vec<Effect> {
    let Some(watched) = &mut app.watched else { return Vec::new() };
    match watched.wanted_step() {
        Some(step) if watched.asked != Some(step) => {
            watched.asked = Some(step);
            vec![Effect::LoadPreview { run: watched.id.clone(), step }]
        }
        _ => Vec::new(),
    }
}

fn on_key(app: &mut App, key: KeyEvent) -> Vec<Effect> {
    let action = keys::action(key);
    let control = matches!(action, Some(Action::Redraw | Action::Suspend))
        || (action == Some(Action::Detach) && !key.modifiers.is_empty());
    // Ctrl-C, Ctrl-L and Ctrl-Z work everywhere, so that nobody is ever stuck in a popup.
    if app.popup != Popup::None && !control {
        return popups::on_key(app, key);
    }
    // An answer is read by the time of the next key, but what a crosshair is for; a problem stays until it is waved away.
    let is_read = matches!(app.said, Some((NoticeLevel::Info, _))) && app.crosshair.is_none();
    if is_read || key.code == KeyCode::Esc {
        app.said = None;
    }
    // Whatever has no other meaning while looking keeps its own.
    let is_for_look = look::LOOK_BINDINGS.iter().any(|row| row.code == key.code);
    if app.look.is_some() && is_for_look && !control {
        return look::on_key(app, key);
    }
    if app.crosshair_key(key) {
        return Vec::new();
    }
    action.map(|action| on_action(app, action)).unwrap_or_default()
}

pub(super) fn on_action(app: &mut App, action: Action) -> Vec<Effect> {
    if app.read_only && action.steers() {
        let words = "this dashboard only looks; 'mosaic' without --read-only steers";
        app.say(NoticeLevel::Warning, words);
        return Vec::new();
    }
    if let Some(words) = refusal(app, action) {
        app.say(NoticeLevel::Warning, words);
        return Vec::new();
    }
    match action {
        Action::Help => app.popup = Popup::Help { first: 0 },
        Action::Launch => app.popup = Popup::Launch { cursor: 0 },
        Action::Edit => popups::open_form(app),
        Action::NextTab if app.turn_focus(false) => {}
        Action::NextTab => app.tab = (app.tab + 1) % TABS.len(),
        Action::PreviousTab if app.turn_focus(true) => {}
        Action::PreviousTab => app.tab = (app.tab + TABS.len() - 1) % TABS.len(),
        Action::Tab(tab) => {
            app.look = None;
            app.tab = tab;
        }
        Action::Up => return step_cursor(app, -1),
        Action::Down => return step_cursor(app, 1),
        Action::Left if app.focused() == Pane::Charts => app.window = app.window.earlier(),
        Action::Right if app.focused() == Pane::Charts => app.window = app.window.later(),
        Action::Left => app.first_column = app.first_column.saturating_sub(1),
        Action::Right => step_column(app),
        Action::Palette => app.popup = Popup::Palette { typed: Typed::default(), cursor: 0 },
        Action::Filter => app.popup = Popup::Filter,
        Action::Order => {
            app.order = app.order.next();
            app.say(NoticeLevel::Info, format!("runs: {}", app.order.words()));
        }
        Action::Mark => return mark(app),
        Action::AsMap => {
            app.as_map = !app.as_map;
            let has_attention = app.watched.as_ref().is_none_or(|run| !run.attention.is_empty());
            let words = match (app.as_map, has_attention) {
                (true, true) => "attention entropy as a map over steps and t",
                (true, false) => {
                    "attention entropy as a map, where a run has attention; this one has none"
                }
                (false, _) => "attention entropy as curves",
            };
            app.say(NoticeLevel::Info, words);
        }
        Action::Quantity => return turn_quantity(app),
        Action::Crosshair => app.turn_crosshair(),
        Action::Export => match app.export() {
            Some(export) => return vec![Effect::Export(Box::new(export))],
            None => app.say(NoticeLevel::Warning, "there is nothing here yet to export"),
        },
        Action::Dots => {
            app.dots = app.dots.next();
            app.say(NoticeLevel::Info, format!("charts of {}", app.dots.name()));
        }
        Action::ZoomIn => app.window = app.window.closer(),
        Action::ZoomOut => app.window = app.window.wider(),
        Action::ZoomAll => app.window = Window::default(),
        Action::LogScale => app.log_scale = !app.log_scale,
        Action::Smoothing => app.smoothing = (app.smoothing + 1) % SMOOTHINGS.len(),
        Action::Mouse => {
            app.mouse = !app.mouse;
            let words = match app.mouse {
                true => "mouse on: click and wheel work here; Shift selects text in most terminals",
                false => "mouse off: it selects text again",
            };
            app.say(NoticeLevel::Info, words);
        }
        Action::Expand => app.expand(),
        Action::Images => {
            app.protocol = app.protocol.next(&app.protocols);
            let name = app.protocol.name();
            app.say(NoticeLevel::Info, format!("images: {name}"));
        }
        Action::Older => return step_preview(app, -1),
        Action::Newer => return step_preview(app, 1),
        Action::Follow => {
            if let Some(watched) = &mut app.watched {
                watched.pinned = None;
            }
            return load_preview(app);
        }
        Action::Log => {
            app.look = None;
            (app.tab, app.focus) = (LOG, Pane::Log);
        }
        Action::Pause => return pause(app),
        Action::Take => return take_or_give_back(app),
        Action::Sample => return sampling::sample(app),
        Action::SampleChosen => forms::open(app, Purpose::Sample),
        Action::Describe => forms::open(app, Purpose::Describe),
        Action::Rename => forms::open(app, Purpose::Rename),
        Action::Delete => forms::open(app, Purpose::Delete),
        Action::Stop => {
            if let Some(run) = app.run().map(|run| run.id.clone()) {
                app.popup = Popup::ConfirmStop { run };
            }
        }
        Action::Kill => forms::open(app, Purpose::Kill),
        // Whoever says so to a paused run means that it should go on.
        Action::Resume if app.waits() => return send(app, Command::Resume),
        Action::Resume if !app.can(action) => {
            app.say(
                NoticeLevel::Warning,
                "there is nothing to resume: a worker is at work on it, or it is finished",
            );
        }
        Action::Resume => return on_run(app, |run| Effect::Resume(run.id.clone())),
        Action::Look => return look::open(app),
        Action::Redraw => return vec![Effect::Redraw],
        Action::Suspend => return vec![Effect::Suspend { group: true }],
        Action::Detach => return vec![Effect::Detach],
    }
    Vec::new()
}

/// Why an action cannot be done to the run on screen, before anything is asked or typed for it.
fn refusal(app: &App, action: Action) -> Option<String> {
    let run = app.run()?;
    match (action, run.health) {
        (
            Action::Pause | Action::Stop | Action::Kill | Action::Take,
            Health::Over | Health::Lost,
        ) => {
            let advice = if app.can(Action::Resume) { "; r starts one" } else { "" };
            Some(format!("no worker is at work on {}{advice}", run.id))
        }
        (Action::Rename | Action::Delete, Health::Alive | Health::Silent) => {
            Some(format!("a worker is at work on {}; x stops it", run.id))
        }
        _ => None,
    }
}

/// The upper chart shows something else; calibrated settings are read when they are asked for.
fn turn_quantity(app: &mut App) -> Vec<Effect> {
    let before = app.quantity;
    app.quantity = before.next();
    if before.is_calibrated() != app.quantity.is_calibrated() {
        // t is no training step.
        app.crosshair = None;
        app.window = Window::default();
    }
    app.say(NoticeLevel::Info, format!("chart: {}", app.quantity.name()));
    load_calibration(app)
}

/// Reads the calibrated settings of the run on screen if they are what is shown.
fn load_calibration(app: &App) -> Vec<Effect> {
    match &app.watched {
        Some(watched) if app.quantity.is_calibrated() => {
            vec![Effect::LoadCalibration(watched.id.clone())]
        }
        _ => Vec::new(),
    }
}

/// Marks the run on screen, or takes its mark away.
fn mark(app: &mut App) -> Vec<Effect> {
    let Some(watched) = &app.watched else { return Vec::new() };
    match app.marked.iter().position(|run| run.id == watched.id) {
        Some(place) => drop(app.marked.remove(place)),
        None => app.marked.push(watched.to_mark()),
    }
    let n = app.marked.len();
    let words = match n {
        0 => "no run is marked".to_owned(),
        n => format!(
            "{n} marked: their losses are drawn together, 4 shows where their settings differ"
        ),
    };
    app.say(NoticeLevel::Info, words);
    vec![follow(app)]
}

pub(super) fn on_run(app: &mut App, effect: impl Fn(&RunSummary) -> Effect) -> Vec<Effect> {
    match app.run().map(effect) {
        Some(effect) => vec![effect],
        None => {
            app.say(NoticeLevel::Warning, "there is no run on screen; n launches one");
            Vec::new()
        }
    }
}

fn send(app: &mut App, command: Command) -> Vec<Effect> {
    on_run(app, |run| Effect::Send { run: run.id.clone(), command: command.clone() })
}

fn pause(app: &mut App) -> Vec<Effect> {
    let command = if app.waits() { Command::Resume } else { Command::Pause };
    send(app, command)
}

fn take_or_give_back(app: &mut App) -> Vec<Effect> {
    on_run(app, |run| match run.steering {
        Steering::Mine => Effect::Release(run.id.clone()),
        Steering::Free | Steering::Theirs(_) => Effect::Hold(run.id.clone()),
    })
}

/// Up and down move what the panel is about: runs, seeds, settings or news.
fn step_cursor(app: &mut App, by: isize) -> Vec<Effect> {
    match app.focused() {
        Pane::Samples => app.step_seed(by),
        Pane::Settings => app.step_setting(by),
        pane @ (Pane::News | Pane::Log) => app.scroll(pane, -by),
        Pane::Runs | Pane::Charts | Pane::Header => app.step_run(by),
    }
}

impl App {
    /// Shows a run further down the list, or further up.
    pub(super) fn step_run(&mut self, by: isize) -> Vec<Effect> {
        let shown = self.shown();
        let Some(last) = shown.len().checked_sub(1) else { return Vec::new() };
        let now = self.position();
        let next = now.map_or(0, |now| now.saturating_add_signed(by)).min(last);
        if now == Some(next) {
            return Vec::new();
        }
        let id = shown[next].id.clone();
        watch(self, id)
    }

    /// Begins the gallery with another seed.
    pub(super) fn step_seed(&mut self, by: isize) -> Vec<Effect> {
        let shown = self.watched.as_ref().and_then(|watched| watched.preview.as_ref());
        let last = shown.map_or(0, |shown| shown.preview.seeds.len().saturating_sub(1));
        self.first_seed = self.first_seed.saturating_add_signed(by).min(last);
        Vec::new()
    }

    /// Goes back in news or log, or forth.
    pub(super) fn scroll(&mut self, pane: Pane, back: isize) -> Vec<Effect> {
        let [n_news, n_lines] = log::lengths(self.watched.as_ref());
        let (place, n) = match pane {
            Pane::News => (&mut self.news_back, n_news),
            _ => (&mut self.log_back, n_lines),
        };
        *place = place.saturating_add_signed(back).min(n.saturating_sub(1));
        Vec::new()
    }

    /// Goes to another setting.
    pub(super) fn step_setting(&mut self, by: isize) -> Vec<Effect> {
        let last = settings::rows(self).len().saturating_sub(1);
        self.setting = self.setting.min(last).saturating_add_signed(by).min(last);
        Vec::new()
    }
}

/// Columns behind the network: machines, then differences.
fn step_column(app: &mut App) {
    let shown = app.watched.as_ref().and_then(|watched| watched.preview.as_ref());
    let last = shown.map_or(0, |shown| (2 * shown.preview.machines.len()).saturating_sub(1));
    app.first_column = (app.first_column + 1).min(last);
}

fn step_preview(app: &mut App, by: isize) -> Vec<Effect> {
    let Some(watched) = &mut app.watched else { return Vec::new() };
    let Some(request) = watched.wanted_step() else { return Vec::new() };
    let steps = &watched.preview_steps;
    let now = steps.partition_point(|step| *step < request);
    let next = now.saturating_add_signed(by).min(steps.len().saturating_sub(1));
    watched.pinned = steps.get(next).copied();
    load_preview(app)
}
