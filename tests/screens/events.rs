//! The mouse, news of runs, and ten thousand random events.

use mosaic_lab::runs::alive_silent_or_lost::Health;
use mosaic_lab::runs::control_holder::Steering;
use mosaic_lab::runs::event::NoticeLevel;
use mosaic_lab::runs::format_versions::NewerFormat;
use mosaic_lab::runs::runs_dir::RunSummary;
use mosaic_lab::runs::status_json::RunState;
use mosaic_lab::tui::key_table::INSPECTOR_BINDINGS;
use mosaic_lab::tui::key_table::{Action, BINDINGS};
use mosaic_lab::tui::messages_and_effects::{Effect, Message, RunEffect, RunMessage};
use mosaic_lab::tui::state::{App, Notice, Popup};
use mosaic_lab::tui::tabs::Tab;
use mosaic_lab::tui::update::update;
use proptest::prelude::*;
use ratatui::crossterm::event::{
    KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};

use crate::fixture::*;

/// As the shell does: what was drawn is what the mouse points at.
fn click(app: &mut App, size: (u16, u16), at: (u16, u16), kind: MouseEventKind) -> Vec<Effect> {
    seen(app, size.0, size.1);
    let (column, row) = at;
    update(app, Message::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }))
}

#[test]
fn the_mouse_chooses_runs_and_tabs_and_turns_what_is_under_it() {
    let mut app = watching();
    let down = MouseEventKind::Down(MouseButton::Left);
    let size = (200, 60);
    let effects = click(&mut app, size, (5, 3), down);
    assert_eq!(effects, [Effect::OnRun("glyphs-cnn-3abcd0".into(), RunEffect::Open)]);
    assert_eq!(click(&mut app, size, (5, 3), down), [], "it is on screen already");
    assert_eq!(click(&mut app, size, (5, 4), down), [], "there is no third run");
    let effects = click(&mut app, size, (5, 3), MouseEventKind::ScrollUp);
    assert_eq!(effects, [Effect::OnRun(RUN.into(), RunEffect::Open)]);
    click(&mut app, size, (80, 20), MouseEventKind::ScrollUp);
    assert_eq!(app.charts.window.zoom, 1);
    let head = screen(&app, 200, 60);
    let tab = head.lines().next().unwrap().find("4 settings").unwrap() as u16;
    click(&mut app, size, (tab, 0), down);
    assert_eq!(app.screen.tab, Tab::Settings);
    let experiment = Ok(Box::new(experiments().remove(0)));
    update(&mut app, Message::OfRun(RUN.into(), RunMessage::Experiment(experiment)));
    click(&mut app, size, (80, 20), MouseEventKind::ScrollDown);
    assert_eq!(app.cursors.setting, 1);
    // A popup takes the wheel, and no click goes through it.
    press(&mut app, KeyCode::Char('?'));
    click(&mut app, size, (80, 20), MouseEventKind::ScrollDown);
    assert_eq!(app.popup, Some(Popup::Help { first: 1 }));
    assert_eq!(click(&mut app, size, (5, 3), down), []);
    assert_eq!(app.popup, Some(Popup::Help { first: 1 }));
}

#[test]
fn the_end_of_a_run_is_told_once_and_only_if_it_was_at_work() {
    let mut app = watching();
    let now = |state, health| Message::Runs(vec![run(RUN, state, health)]);
    let rung =
        |effects: Vec<Effect>| effects.iter().any(|effect| matches!(effect, Effect::Ring(_)));
    let words = format!("mosaic: {RUN} finished");
    let effects = update(&mut app, now(RunState::Finished, Health::Over));
    assert_eq!(effects, [Effect::Ring(words)]);
    assert!(!rung(update(&mut app, now(RunState::Finished, Health::Over))));
    assert!(!rung(update(&mut app, now(RunState::Training, Health::Alive))));
    assert!(rung(update(&mut app, now(RunState::Training, Health::Lost))));
    update(&mut app, now(RunState::Training, Health::Alive));
    assert!(
        !rung(update(&mut app, now(RunState::Stopped, Health::Over))),
        "whoever stopped it knows"
    );
}

#[test]
fn a_marked_run_that_is_deleted_or_renamed_loses_its_mark() {
    let other = "glyphs-cnn-3abcd0";
    let marked = || {
        let mut app = watching();
        press(&mut app, KeyCode::Char(' '));
        press(&mut app, KeyCode::Down);
        let both = [Effect::FollowMarked(vec![RUN.into(), other.into()])];
        assert_eq!(press(&mut app, KeyCode::Char(' ')), both);
        app
    };
    let mut app = marked();
    let left = vec![run(other, RunState::Training, Health::Lost)];
    let effects = update(&mut app, Message::Runs(left.clone()));
    assert_eq!(effects, [Effect::FollowMarked(vec![other.into()])]);
    assert!(!screen(&app, 120, 36).contains(RUN), "nothing is left of it");
    assert_eq!(update(&mut app, Message::Runs(left)), []);

    // The one on screen goes: another is shown, and that is said once.
    let mut app = marked();
    app.notice = None;
    let left = vec![run(RUN, RunState::Training, Health::Alive)];
    let effects = update(&mut app, Message::Runs(left.clone()));
    assert_eq!(effects[0], Effect::FollowMarked(vec![RUN.into()]));
    // What the list has not got yet may still come, so long as nothing is known of it.
    assert_eq!(app.open_run.as_ref().unwrap().id, other);
    let experiment = Ok(Box::new(experiments().remove(0)));
    update(&mut app, Message::OfRun(other.into(), RunMessage::Experiment(experiment)));
    let effects = update(&mut app, Message::Runs(left.clone()));
    assert_eq!(effects, [Effect::OnRun(RUN.into(), RunEffect::Open)]);
    let words = format!("{other} no longer exists; showing another run");
    assert_eq!(app.notice.take().unwrap().text, words);
    update(&mut app, Message::Runs(left));
    assert_eq!(app.notice, None);

    let mut app = marked();
    let renamed = Message::OfRun(RUN.into(), RunMessage::Renamed(Ok("baseline-3abcde".into())));
    assert_eq!(update(&mut app, renamed), [Effect::FollowMarked(vec![other.into()])]);
}

#[test]
fn answers_go_with_the_next_key_and_errors_when_they_are_waved_away() {
    let mut app = watching();
    press(&mut app, KeyCode::Char('o'));
    assert!(app.notice.is_some());
    let mut busy = run(RUN, RunState::Comparing, Health::Alive);
    busy.status.as_mut().unwrap().message = Some("comparing on held-out seeds: 4 of 20".into());
    update(&mut app, Message::Runs(vec![busy]));
    assert!(screen(&app, 120, 36).contains("  comparing on held-out seeds: 4 of 20"));
    press(&mut app, KeyCode::Char('y'));
    assert_eq!(app.notice, None);
    update(&mut app, Message::Notice(Notice::error("the disk is full")));
    press(&mut app, KeyCode::Char('y'));
    assert!(screen(&app, 80, 24).contains("the disk is full"));
    press(&mut app, KeyCode::Esc);
    assert_eq!(app.notice, None);
}

#[test]
fn an_answer_that_has_come_true_goes() {
    let mut app = watching();
    let pausing = Notice::info(format!("{RUN}: pausing after this step"));
    update(&mut app, Message::Notice(pausing.about_command(RUN)));
    update(&mut app, Message::Runs(vec![run(RUN, RunState::Training, Health::Alive)]));
    assert!(app.notice.is_some(), "it is not paused yet");
    update(&mut app, Message::Runs(vec![run(RUN, RunState::Paused, Health::Alive)]));
    assert_eq!(app.notice, None);
    update(&mut app, Message::Launched(Ok(RUN.into())));
    update(&mut app, Message::Runs(vec![run(RUN, RunState::Training, Health::Alive)]));
    assert!(app.notice.is_some(), "how to leave is not said in vain");
}

#[test]
fn nobody_steers_a_dead_worker() {
    let mut app = watching();
    for steering in [Steering::Mine, Steering::Theirs("ana".into())] {
        let dead = RunSummary { steering, ..run(RUN, RunState::Training, Health::Lost) };
        update(&mut app, Message::Runs(vec![dead]));
        let seen = screen(&app, 120, 36);
        assert!(seen.contains("lost  step") && !seen.contains("steers this run"), "{seen}");
    }
}

#[test]
fn who_steers_is_shown_and_a_hand_over_is_told() {
    let mut app = watching();
    let held = |steering: &Steering| RunSummary {
        steering: steering.clone(),
        ..run(RUN, RunState::Training, Health::Alive)
    };
    let mut see = |steering: Steering| {
        update(&mut app, Message::Runs(vec![held(&steering)]));
        let seen = screen(&app, 120, 36);
        (seen, press(&mut app, KeyCode::Char('T')), app.notice.take())
    };
    let [hold, release] =
        [Effect::OnRun(RUN.into(), RunEffect::Hold), Effect::OnRun(RUN.into(), RunEffect::Release)]
            .map(|effect| vec![effect]);
    let (seen, effects, _) = see(Steering::Free);
    assert!(seen.contains("training  step"), "{seen}");
    assert_eq!(effects, hold);
    let (seen, effects, said) = see(Steering::Mine);
    assert!(seen.contains("training, yours  step"), "{seen}");
    assert_eq!((effects, said), (release, None));
    let ana = Steering::Theirs("ana@pts/3 (process 7)".to_owned());
    let (seen, effects, said) = see(ana.clone());
    assert!(seen.contains("training, steered  step"), "{seen}");
    assert!(seen.contains("ana@pts/3 (process 7) took control of"), "{seen}");
    assert_eq!((effects, said.unwrap().level), (hold, NoticeLevel::Warning));
    let (seen, _, said) = see(ana);
    assert!(seen.contains("ana@pts/3 (process 7) has control of this run; T takes it"), "{seen}");
    assert_eq!(said, None, "it is told once");
}

#[test]
fn a_run_of_a_newer_mosaic_says_so_and_offers_nothing() {
    let mut app = watching();
    let newer = NewerFormat { found: 7, known: 1, writer: Some("9.9.9".to_owned()) };
    let summary = RunSummary {
        status: None,
        newer: Some(newer),
        ..run(RUN, RunState::Training, Health::Newer)
    };
    update(&mut app, Message::Runs(vec![summary]));
    let seen = screen(&app, 200, 60);
    assert!(seen.contains("written by a newer mosaic (9.9.9) in format 7"), "{seen}");
    for action in [Action::Pause, Action::Stop, Action::Take, Action::Resume] {
        assert!(!app.is_available(action), "{action:?}");
    }
}

/// What can happen to the dashboard, at random.
#[derive(Clone, Debug)]
enum Happening {
    Key(KeyCode, KeyModifiers),
    Paste(String),
    Mouse(MouseEventKind, u16, u16),
    Size(u16, u16),
    Runs(usize),
    ReadOnly(bool),
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let keys: Vec<KeyCode> = BINDINGS
        .iter()
        .map(|row| row.code)
        .chain(INSPECTOR_BINDINGS.iter().map(|row| row.code))
        .collect();
    let others = [
        KeyCode::Enter,
        KeyCode::Esc,
        KeyCode::Backspace,
        KeyCode::PageDown,
        KeyCode::PageUp,
        KeyCode::BackTab,
    ];
    let keys: Vec<KeyCode> =
        keys.into_iter().chain(others).chain("aeuy09 é実".chars().map(KeyCode::Char)).collect();
    let modifiers = prop_oneof![9 => Just(KeyModifiers::NONE), 1 => Just(KeyModifiers::CONTROL), 1 => Just(KeyModifiers::SHIFT)];
    let kinds = prop::sample::select(vec![
        MouseEventKind::Down(MouseButton::Left),
        MouseEventKind::Down(MouseButton::Right),
        MouseEventKind::ScrollUp,
        MouseEventKind::ScrollDown,
        MouseEventKind::Moved,
    ]);
    let size = prop_oneof![
        (1_u16..12, 1_u16..12),
        (40_u16..130, 10_u16..45),
        Just((500, 200)),
        Just((80, 24))
    ];
    prop::collection::vec(
        prop_oneof![
            20 => (prop::sample::select(keys), modifiers).prop_map(|(code, modifiers)| Happening::Key(code, modifiers)),
            6 => (kinds, 0_u16..140, 0_u16..50).prop_map(|(kind, x, y)| Happening::Mouse(kind, x, y)),
            1 => "[ -~é実\n]{0,12}".prop_map(Happening::Paste),
            2 => size.prop_map(|(width, height)| Happening::Size(width, height)),
            1 => (0_usize..4).prop_map(Happening::Runs),
            1 => any::<bool>().prop_map(Happening::ReadOnly),
        ],
        160,
    )
}

/// What must hold whatever happened.
fn check(app: &App, effects: &[Effect], was_read_only: bool) {
    assert!(app.charts.window.zoom <= 12);
    let seeds = app
        .open_run
        .as_ref()
        .and_then(|run| run.preview.as_ref())
        .map_or(0, |s| s.preview.seeds.len());
    assert!(
        app.cursors.first_seed == 0 || app.cursors.first_seed < seeds,
        "{} of {seeds} seeds",
        app.cursors.first_seed
    );
    if let Some(Popup::Launch(form)) = &app.popup {
        assert!(form.cursor < app.experiments.len());
    }
    let mut marked: Vec<&str> = app.marked.iter().map(|run| run.id.as_str()).collect();
    marked.sort_unstable();
    marked.dedup();
    assert_eq!(marked.len(), app.marked.len(), "a run is marked twice");
    let steers = |effect: &Effect| {
        matches!(
            effect,
            Effect::Launch { .. }
                | Effect::LaunchSeeds { .. }
                | Effect::OnRun(_, RunEffect::Resume)
                | Effect::OnRun(_, RunEffect::Kill)
                | Effect::OnRun(_, RunEffect::Send(_))
                | Effect::OnRun(_, RunEffect::MakePreview(_))
                | Effect::OnRun(_, RunEffect::Describe(_))
                | Effect::OnRun(_, RunEffect::Rename(_))
                | Effect::OnRun(_, RunEffect::Delete)
        )
    };
    assert!(!was_read_only || !effects.iter().any(steers), "{effects:?} by one who only looks");
}

proptest! {
    // 64 sequences of 160 happenings: ten thousand of them.
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn ten_thousand_random_events_leave_a_sound_state(all in happenings()) {
        let mut app = watching();
        let mut size = (80, 24);
        for happening in all {
            // A form that was opened before is no longer one's own to send.
            let was_read_only = app.read_only && app.popup.is_none();
            let effects = match happening {
                Happening::Key(code, modifiers) => update(&mut app, Message::Key(KeyEvent::new(code, modifiers))),
                Happening::Paste(text) => {
                    let effects = update(&mut app, Message::Pasted(text));
                    prop_assert!(effects.is_empty());
                    effects
                }
                Happening::Mouse(kind, x, y) => click(&mut app, size, (x, y), kind),
                Happening::Size(width, height) => {
                    let before = (app.screen.tab, app.cursors.first_seed, app.open_index());
                    size = (width, height);
                    update(&mut app, Message::Resized);
                    seen(&mut app, width, height);
                    prop_assert_eq!(before, (app.screen.tab, app.cursors.first_seed, app.open_index()));
                    Vec::new()
                }
                Happening::Runs(n) => {
                    let names = [RUN, "glyphs-cnn-3abcd0", "実験🙂-3abcd1"];
                    let states = [RunState::Training, RunState::Finished, RunState::Queued];
                    let runs = names.into_iter().zip(states).take(n);
                    let health = |state: RunState| if state.is_over() { Health::Over } else { Health::Alive };
                    let runs = runs.map(|(id, state)| run(id, state, health(state))).collect();
                    update(&mut app, Message::Runs(runs))
                }
                Happening::ReadOnly(request) => {
                    app.read_only = request;
                    Vec::new()
                }
            };
            check(&app, &effects, was_read_only);
        }
        screen(&app, size.0, size.1);
    }
}
