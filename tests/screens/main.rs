//! The dashboard's screens after sequences of messages, and its state after sequences of keys.

mod charts;
mod events;
mod fixture;

use mosaic_lab::config::lab_settings::ThemeChoice;
use std::sync::Arc;

use half::f16;
use mosaic_lab::evaluation::inspect::pixel_picture_and_film::At;
use mosaic_lab::evaluation::inspect::{Actor, AttentionTrace, N_LEADING, PosteriorTrace, Trace};
use mosaic_lab::evaluation::preview_request::PreviewRequest;
use mosaic_lab::image::ImageShape;
use mosaic_lab::random::{Purpose, stream};
use mosaic_lab::runs::alive_silent_or_lost::Health;
use mosaic_lab::runs::control_messages::Command;
use mosaic_lab::runs::event::{EventBody, NoticeLevel};
use mosaic_lab::runs::note_and_tags::About;
use mosaic_lab::runs::status_json::RunState;
use mosaic_lab::tui::colour_theme::Theme;
use mosaic_lab::tui::export::exported_tables_and_curves::Content;
use mosaic_lab::tui::key_table::BINDINGS;
use mosaic_lab::tui::key_table::INSPECTOR_BINDINGS;
use mosaic_lab::tui::messages_and_effects::{Effect, Message, RunEffect, RunMessage};
use mosaic_lab::tui::screen_layout::view;
use mosaic_lab::tui::state::{App, Popup};
use mosaic_lab::tui::tabs::Tab;
use mosaic_lab::tui::update::update;
use rand::RngExt;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::{Color, Modifier};

use fixture::*;

#[test]
fn screens_of_every_size_look_as_agreed() {
    let mut app = watching();
    for (width, height) in [(59, 15), (80, 24), (120, 36), (200, 60)] {
        insta::assert_snapshot!(format!("overview-{width}x{height}"), screen(&app, width, height));
    }
    press(&mut app, KeyCode::Char('2'));
    insta::assert_snapshot!("charts-80x24", screen(&app, 80, 24));
    press(&mut app, KeyCode::Char('3'));
    insta::assert_snapshot!("samples-80x24", screen(&app, 80, 24));
    press(&mut app, KeyCode::Char('4'));
    insta::assert_snapshot!("settings-80x24", screen(&app, 80, 24));
    press(&mut app, KeyCode::Char('5'));
    insta::assert_snapshot!("system-80x24", screen(&app, 80, 24));
    press(&mut app, KeyCode::Char('?'));
    insta::assert_snapshot!("help-80x24", screen(&app, 80, 24));
}

#[test]
fn the_setting_that_is_looked_at_is_explained_and_edited() {
    let mut app = watching();
    press(&mut app, KeyCode::Char('4'));
    insta::assert_snapshot!("settings-120x36", screen(&app, 120, 36));
    (0..200).for_each(|_| drop(press(&mut app, KeyCode::Down)));
    assert!(screen(&app, 80, 24).contains("calibrate.seeds"), "{}", screen(&app, 80, 24));
    let last = app.open_run.as_ref().unwrap().experiment.as_ref().unwrap().entries().len() - 1;
    assert_eq!(app.cursors.setting, last);
    (0..3).for_each(|_| drop(press(&mut app, KeyCode::Up)));
    press(&mut app, KeyCode::Char('e'));
    let Some(Popup::Edit(form)) = &app.popup else { panic!("no form") };
    assert_eq!(form.cursor, last - 3);
    press(&mut app, KeyCode::Esc);
    // Of runs that do not differ there is nothing to look at.
    press(&mut app, KeyCode::Char(' '));
    press(&mut app, KeyCode::Char('1'));
    let other = "glyphs-cnn-3abcd0";
    press(&mut app, KeyCode::Down);
    let twin = Ok(Box::new(experiments().remove(0)));
    update(&mut app, Message::OfRun(other.into(), RunMessage::Experiment(twin)));
    press(&mut app, KeyCode::Char('4'));
    assert!(screen(&app, 80, 24).contains("all settings are the same"));
    press(&mut app, KeyCode::Down);
    assert_eq!(app.cursors.setting, 0);
}

#[test]
fn keys_are_for_one_panel_of_several_and_z_shows_it_alone() {
    let mut app = watching();
    seen(&mut app, 120, 36);
    let title = |app: &App| {
        let mut terminal = Terminal::new(TestBackend::new(120, 36)).unwrap();
        terminal.draw(|frame| drop(view(app, frame))).unwrap();
        let row = (0..120).map(|x| terminal.backend().buffer()[(x, 1)].clone());
        let turned = row.filter(|cell| cell.modifier.contains(Modifier::REVERSED));
        turned.map(|cell| cell.symbol().to_owned()).collect::<String>()
    };
    assert_eq!(title(&app), " runs (2) ");
    assert_eq!(press(&mut app, KeyCode::Down).len(), 1, "another run is open");
    press(&mut app, KeyCode::Up);
    let mut app = watching();
    seen(&mut app, 120, 36);
    press(&mut app, KeyCode::Tab);
    assert!(title(&app).starts_with(" loss "), "{}", title(&app));
    press(&mut app, KeyCode::Char('+'));
    let before = app.charts.window;
    press(&mut app, KeyCode::Left);
    assert_ne!(app.charts.window, before, "the charts move, not the samples");
    press(&mut app, KeyCode::Char('z'));
    assert_eq!(app.screen.tab, Tab::Charts);
    seen(&mut app, 120, 36);
    press(&mut app, KeyCode::Char('z'));
    assert_eq!(app.screen.tab, Tab::Overview);
    seen(&mut app, 120, 36);
    press(&mut app, KeyCode::Tab);
    assert!(title(&app).starts_with(" samples, step 1500"), "{}", title(&app));
    press(&mut app, KeyCode::Down);
    assert_eq!(app.cursors.first_seed, 1);
    press(&mut app, KeyCode::Char('z'));
    assert_eq!(app.screen.tab, Tab::Samples);
    press(&mut app, KeyCode::Char('1'));
    seen(&mut app, 120, 36);
    press(&mut app, KeyCode::Tab);
    press(&mut app, KeyCode::Char('z'));
    assert!(
        app.screen.is_expanded && app.screen.tab == Tab::Overview,
        "round again: the runs alone"
    );
    seen(&mut app, 120, 36);
    assert_eq!(title(&app), "", "there is no choice");
    press(&mut app, KeyCode::BackTab);
    assert_eq!(app.screen.tab, Tab::Log, "so the tab is turned");
}

#[test]
fn news_and_log_are_scrolled_back_and_follow() {
    let mut app = watching();
    let lines: Vec<String> = (0..60).map(|i| format!("line {i} of the log")).collect();
    update(&mut app, Message::OfRun(RUN.into(), RunMessage::Log(Ok(lines.join("\n")))));
    let mut events: Vec<_> = (0..30).map(|i| metrics(1500 + i, None)).collect();
    for (i, event) in events.iter_mut().enumerate() {
        event.time_ms = 60_000 * i as u64;
        let text = format!(
            "a notice, the {i}th, with more words than eighty columns have room for in one line"
        );
        event.body = EventBody::Notice { level: NoticeLevel::Warning, text };
    }
    update(&mut app, Message::OfRun(RUN.into(), RunMessage::Events(events)));
    press(&mut app, KeyCode::Char('6'));
    insta::assert_snapshot!("log-80x24", seen(&mut app, 80, 24));
    press(&mut app, KeyCode::Up);
    press(&mut app, KeyCode::Tab);
    (0..2).for_each(|_| drop(press(&mut app, KeyCode::Up)));
    let back = seen(&mut app, 80, 24);
    assert!(back.contains("line 57") && !back.contains("line 58"), "{back}");
    assert!(back.contains("(1 newer below)") && back.contains("(2 newer below)"), "{back}");
    (0..100).for_each(|_| drop(press(&mut app, KeyCode::Up)));
    assert!(seen(&mut app, 80, 24).contains("line 0 of"), "the first line is the end");
    (0..100).for_each(|_| drop(press(&mut app, KeyCode::Down)));
    let log = Ok((lines.join("\n")) + "\nthe newest");
    update(&mut app, Message::OfRun(RUN.into(), RunMessage::Log(log)));
    assert!(seen(&mut app, 80, 24).contains("the newest"));
    let log = Err("reading 'worker.log': it is gone".to_owned());
    update(&mut app, Message::OfRun(RUN.into(), RunMessage::Log(log)));
    assert!(seen(&mut app, 80, 24).contains("it is gone"));
}

#[test]
fn marked_runs_stand_beside_the_one_on_screen() {
    let mut app = watching();
    let effects = press(&mut app, KeyCode::Char(' '));
    assert_eq!(effects, [Effect::FollowMarked(vec![RUN.into()])]);
    let other = "glyphs-cnn-3abcd0";
    assert_eq!(press(&mut app, KeyCode::Down), [Effect::OnRun(other.into(), RunEffect::Open)]);
    let mut twin = experiments().remove(1);
    twin.set("network.attention", "none").unwrap();
    twin.set("training.learning_rate", "0.001").unwrap();
    update(&mut app, Message::OfRun(other.into(), RunMessage::Experiment(Ok(Box::new(twin)))));
    let events = (1..150).map(|i| metrics(i * 10, Some(2.0 / i as f64))).collect();
    update(&mut app, Message::OfRun(other.into(), RunMessage::Events(events)));
    // News of a marked run that is not on screen is taken in too.
    let n = app.marked[0].curves.all()[0].series.len();
    update(
        &mut app,
        Message::OfRun(RUN.into(), RunMessage::Events(vec![metrics(1500, Some(0.1))])),
    );
    assert_eq!(app.marked[0].curves.all()[0].series.len(), n + 1);
    insta::assert_snapshot!("marked-120x36", screen(&app, 120, 36));
    press(&mut app, KeyCode::Char('4'));
    insta::assert_snapshot!("differing-80x24", screen(&app, 80, 24));
    press(&mut app, KeyCode::Char('1'));
    press(&mut app, KeyCode::Char(' '));
    press(&mut app, KeyCode::Up);
    assert_eq!(press(&mut app, KeyCode::Char(' ')), [Effect::FollowMarked(vec![other.into()])]);
}

#[test]
fn attention_entropy_is_a_map_over_steps_and_levels_beside_theory() {
    let mut app = watching();
    let mut theory = attention(0);
    if let EventBody::Attention(metrics) = theory.body {
        let machine = "attention-similarity".to_owned();
        theory.body = EventBody::PredictedAttention { machine, metrics };
    }
    update(&mut app, Message::OfRun(RUN.into(), RunMessage::Events(vec![theory])));
    app.theme = Theme::new(ThemeChoice::Dark, true, None);
    press(&mut app, KeyCode::Char('2'));
    press(&mut app, KeyCode::Char('v'));
    insta::assert_snapshot!("entropy-map-80x24", screen(&app, 80, 24));
    app.theme = Theme::new(ThemeChoice::Dark, false, None);
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    terminal.draw(|frame| drop(view(&app, frame))).unwrap();
    // Entropy falls with training, most of all at the highest t: it ends darker than it began.
    let colour = |x: u16, y: u16| terminal.backend().buffer().cell((x, y)).unwrap().bg;
    let brightness = |colour: Color| match colour {
        Color::Rgb(r, g, b) => u32::from(r) + u32::from(g) + u32::from(b),
        other => panic!("{other:?} on the map"),
    };
    let (top, first, last) = (13, 8, 60);
    assert!(brightness(colour(first, top)) > brightness(colour(last, top)));
    assert!(brightness(colour(last, top + 4)) > brightness(colour(last, top)));
}

#[test]
fn seeds_and_steps_of_a_preview_can_be_chosen() {
    let mut app = watching();
    let own = Command::Sample { seeds: None, steps: None };
    let sent = |command| [Effect::OnRun(RUN.into(), RunEffect::Send(command))];
    assert_eq!(press(&mut app, KeyCode::Char('s')), sent(own));
    press(&mut app, KeyCode::Char('S'));
    press(&mut app, KeyCode::Backspace);
    press(&mut app, KeyCode::Char('x'));
    assert_eq!(press(&mut app, KeyCode::Enter), []);
    insta::assert_snapshot!("preview-form-80x24", screen(&app, 80, 24));
    press(&mut app, KeyCode::Backspace);
    "70".chars().for_each(|digit| drop(press(&mut app, KeyCode::Char(digit))));
    assert_eq!(press(&mut app, KeyCode::Enter), [], "70 seeds are too many");
    press(&mut app, KeyCode::Backspace);
    press(&mut app, KeyCode::Tab);
    press(&mut app, KeyCode::Char('0'));
    let command = Command::Sample { seeds: Some((0, 7)), steps: Some(200) };
    assert_eq!(press(&mut app, KeyCode::Enter), sent(command));
    // Without a worker, a process of its own is asked for.
    let over = run(RUN, RunState::Finished, Health::Over);
    update(&mut app, Message::Runs(vec![over]));
    let request = PreviewRequest::new(0..4, 20).unwrap();
    assert_eq!(
        press(&mut app, KeyCode::Char('s')),
        [Effect::OnRun(RUN.into(), RunEffect::MakePreview(request))]
    );
    // What it made may replace what is on screen, so that is read again.
    let made = Message::OfRun(RUN.into(), RunMessage::PreviewMade(Ok(())));
    assert_eq!(update(&mut app, made), [Effect::OnRun(RUN.into(), RunEffect::LoadPreview(1500))]);
}

#[test]
fn a_run_is_noted_tagged_renamed_and_deleted_by_name() {
    let mut app = watching();
    let typed = |app: &mut App, text: &str| {
        text.chars().for_each(|letter| drop(press(app, KeyCode::Char(letter))));
    };
    press(&mut app, KeyCode::Char('a'));
    typed(&mut app, "a lower rate");
    press(&mut app, KeyCode::Tab);
    typed(&mut app, "rates keep!");
    assert_eq!(press(&mut app, KeyCode::Enter), []);
    insta::assert_snapshot!("note-form-80x24", screen(&app, 80, 24));
    press(&mut app, KeyCode::Backspace);
    let about = About::new("a lower rate", "rates keep").unwrap();
    let expected = [Effect::OnRun(RUN.into(), RunEffect::Describe(about.clone()))];
    assert_eq!(press(&mut app, KeyCode::Enter), expected);
    let mut noted = run(RUN, RunState::Finished, Health::Over);
    noted.about = about;
    let wide = run("実験🙂-3abcd0", RunState::Failed, Health::Over);
    update(&mut app, Message::Runs(vec![noted, wide]));
    insta::assert_snapshot!("noted-80x24", screen(&app, 80, 24));
    app.runs.filter = "#keep".into();
    assert_eq!(app.runs.listed().len(), 1);
    app.runs.filter.clear();

    press(&mut app, KeyCode::Char('R'));
    "glyphs-attention".chars().for_each(|_| drop(press(&mut app, KeyCode::Backspace)));
    typed(&mut app, "baseline");
    let to = "baseline".to_owned();
    assert_eq!(press(&mut app, KeyCode::Enter), [Effect::OnRun(RUN.into(), RunEffect::Rename(to))]);
    let new = "baseline-3abcde".to_owned();
    let renamed = Message::OfRun(RUN.into(), RunMessage::Renamed(Ok(new.clone())));
    assert_eq!(update(&mut app, renamed), [Effect::OnRun(new.clone(), RunEffect::Open)]);
    update(&mut app, Message::Runs(vec![run(&new, RunState::Finished, Health::Over)]));

    press(&mut app, KeyCode::Char('D'));
    typed(&mut app, "baseline");
    assert_eq!(press(&mut app, KeyCode::Enter), [], "not its whole name");
    typed(&mut app, "-3abcde");
    assert_eq!(press(&mut app, KeyCode::Enter), [Effect::OnRun(new, RunEffect::Delete)]);
}

#[test]
fn the_filter_narrows_the_list_and_chooses_from_it() {
    let mut app = watching();
    press(&mut app, KeyCode::Char('/'));
    "cnn lost".chars().for_each(|letter| drop(press(&mut app, KeyCode::Char(letter))));
    insta::assert_snapshot!("filter-80x24", screen(&app, 80, 24));
    let effects = press(&mut app, KeyCode::Enter);
    assert_eq!(effects, [Effect::OnRun("glyphs-cnn-3abcd0".into(), RunEffect::Open)]);
    assert_eq!((app.popup.clone(), app.runs.filter.text()), (None, "cnn lost"));
    press(&mut app, KeyCode::Char('/'));
    press(&mut app, KeyCode::Esc);
    assert_eq!(app.runs.listed().len(), 2);
}

#[test]
fn settings_of_several_marked_runs_fit_beside_each_other_or_say_how_many_do() {
    let mut app = watching();
    let names: Vec<String> = (0..8).map(|n| format!("glyphs-{n}-3abcd{n}")).collect();
    let runs = names.iter().map(|id| run(id, RunState::Finished, Health::Over)).collect();
    update(&mut app, Message::Runs(runs));
    let mark = |app: &mut App, n: usize| {
        let mut experiment = experiments().remove(0);
        experiment.set("training.steps", &format!("{}00", n + 1)).unwrap();
        let run = names[n].clone();
        update(app, Message::OfRun(run, RunMessage::Experiment(Ok(Box::new(experiment)))));
        press(app, KeyCode::Char(' '));
        press(app, KeyCode::Down);
    };
    for n in 0..3 {
        mark(&mut app, n);
    }
    press(&mut app, KeyCode::Up);
    press(&mut app, KeyCode::Char('4'));
    let mut experiment = experiments().remove(0);
    experiment.set("training.steps", "300").unwrap();
    let (run, experiment) = (names[2].clone(), Ok(Box::new(experiment)));
    update(&mut app, Message::OfRun(run, RunMessage::Experiment(experiment)));
    let seen = screen(&app, 80, 24);
    let row = seen.lines().find(|line| line.contains("training.steps")).unwrap();
    assert!(["100", "200", "300"].iter().all(|value| row.contains(value)), "{seen}");
    for name in ["A glyph", "B glyph", "C glyph"] {
        assert!(seen.contains(name), "{seen}");
    }
    press(&mut app, KeyCode::Char('1'));
    press(&mut app, KeyCode::Down);
    for n in 3..8 {
        mark(&mut app, n);
    }
    press(&mut app, KeyCode::Char('4'));
    let seen = screen(&app, 80, 24);
    assert!(seen.contains("of marked runs differ (5 of 8 fit)"), "{seen}");
    assert!(!screen(&app, 200, 60).contains("fit)"));
}

#[test]
fn a_first_look_says_what_to_do() {
    let mut app = App::new(experiments(), "checkpoints".into());
    insta::assert_snapshot!("welcome-80x24", screen(&app, 80, 24));
    press(&mut app, KeyCode::Char('n'));
    insta::assert_snapshot!("launch-80x24", screen(&app, 80, 24));
    let effects = press(&mut app, KeyCode::Enter);
    assert!(matches!(&effects[..], [Effect::Launch { experiment, parent: None, queued: false }]
        if *experiment.name == *"glyphs-attention"));
    press(&mut app, KeyCode::Char('n'));
    press(&mut app, KeyCode::Down);
    let effects = press(&mut app, KeyCode::Char('w'));
    assert!(matches!(&effects[..], [Effect::Launch { experiment, parent: None, queued: true }]
        if *experiment.name == *"glyphs-cnn"));
}

#[test]
fn training_seeds_are_launched_as_a_group() {
    let mut app = App::new(experiments(), "checkpoints".into());
    let keys = |app: &mut App, text: &str| {
        text.chars().for_each(|letter| drop(press(app, KeyCode::Char(letter))));
    };
    keys(&mut app, "ns5..5");
    press(&mut app, KeyCode::Enter);
    assert!(screen(&app, 80, 24).contains("the range is empty"));
    press(&mut app, KeyCode::Esc);
    keys(&mut app, "s3..6");
    press(&mut app, KeyCode::Enter);
    insta::assert_snapshot!("launch-seeds-80x24", screen(&app, 80, 24));
    press(&mut app, KeyCode::Down);
    let effects = press(&mut app, KeyCode::Enter);
    let [Effect::LaunchSeeds { arms, queued: false }] = &effects[..] else { panic!("{effects:?}") };
    let seeds: Vec<u64> = arms.iter().map(|arm| arm.experiment.training.seed).collect();
    assert_eq!(seeds, [3, 4, 5]);
    assert!(arms.iter().all(|arm| *arm.experiment.name == *"glyphs-cnn"));
    // Hundreds of waiting processes are refused.
    keys(&mut app, "ns0..200");
    press(&mut app, KeyCode::Enter);
    assert!(press(&mut app, KeyCode::Char('w')).is_empty());
    assert!(screen(&app, 100, 30).contains("at most 32"));
}

/// A network with one head and a machine, three steps of 16x16 grey images.
fn trace() -> Trace {
    let shape = ImageShape::new(1, 16, 16);
    let (t, p) = (3, 256);
    let values = |n: usize| -> Vec<f32> { (0..n).map(|i| (i % 9) as f32 / 4.0 - 1.0).collect() };
    let actor = |name: &str| Actor {
        name: name.into(),
        states: values(t * p),
        x0: values(t * p),
        sample: values(p),
        ..Actor::default()
    };
    let weights = vec![f16::from_f32(1.0 / 256.0); t * p * p];
    let network = Actor { maps: Some(AttentionTrace { n_heads: 1, weights }), ..actor("network") };
    let inside = PosteriorTrace {
        entropy: vec![2.0; t * p],
        places: (0..t * p).flat_map(|i| [(i % 3) as u32, 1, 2]).collect(),
        symmetries: Vec::new(),
        leading: (0..t * p * N_LEADING).map(|i| (i % 3) as u32).collect(),
        weights: (0..t * p * N_LEADING)
            .map(|i| [0.6, 0.3, 0.1, 0.0][(i % N_LEADING).min(3)])
            .collect(),
    };
    let machine = Actor { posterior: Some(inside), ..actor("attention-pooled") };
    Trace {
        run: RUN.into(),
        step: 1500,
        seed: 1,
        shape,
        levels: vec![1.0 / 3.0, 2.0 / 3.0, 1.0],
        actors: vec![network, machine],
        images: (0..3).map(|n| (n, values(p))).collect(),
        n_images: 64,
    }
}

#[test]
fn a_seed_is_looked_into_pixel_by_pixel_and_step_by_step() {
    let mut app = watching();
    press(&mut app, KeyCode::Char('3'));
    press(&mut app, KeyCode::Down);
    let request = [Effect::OnRun(RUN.into(), RunEffect::Trace { seed: 1, may_compute: true })];
    assert_eq!(press(&mut app, KeyCode::Enter), request);
    assert!(screen(&app, 80, 24).contains("Tracing noise seed 1"));
    assert_eq!(press(&mut app, KeyCode::Up), [], "keys wait for the trace");
    let other =
        Message::OfRun(RUN.into(), RunMessage::Trace { seed: 7, trace: Err("late".into()) });
    update(&mut app, other);
    assert!(app.inspector.is_some(), "news of another seed is passed over");
    let came =
        Message::OfRun(RUN.into(), RunMessage::Trace { seed: 1, trace: Ok(Arc::new(trace())) });
    update(&mut app, came);
    for (width, height) in [(80, 24), (120, 36)] {
        insta::assert_snapshot!(format!("look-{width}x{height}"), screen(&app, width, height));
    }
    for code in [KeyCode::Up, KeyCode::Left, KeyCode::Char('[')] {
        press(&mut app, code);
    }
    // Half way at first, then one step towards the noise; the pixel starts in the middle.
    let at = At { index: 2, pixel: (7, 7) };
    assert_eq!(app.inspector.as_ref().unwrap().at, at);
    (0..8).for_each(|_| drop(press(&mut app, KeyCode::Char('k'))));
    assert_eq!(app.inspector.as_ref().unwrap().at.pixel, (15, 7), "images wrap round");
    let at = app.inspector.as_ref().unwrap().at;
    let effects = press(&mut app, KeyCode::Char('E'));
    let [Effect::Export(export)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((export.run.as_deref(), &*export.stem), (Some(RUN), "seed-1-step-3-pixel-15-7"));
    assert_eq!(export.content, Content::Inside(Arc::new(trace()), at));
    press(&mut app, KeyCode::Char(':'));
    "noisier".chars().for_each(|letter| drop(press(&mut app, KeyCode::Char(letter))));
    assert!(screen(&app, 80, 24).contains("inside: noisier"));
    press(&mut app, KeyCode::Esc);
    press(&mut app, KeyCode::Char(':'));
    "inside: cl".chars().for_each(|letter| drop(press(&mut app, KeyCode::Char(letter))));
    press(&mut app, KeyCode::Enter);
    assert_eq!(app.inspector.as_ref().unwrap().at.index, 1, "one step towards the sample");
    assert_eq!(press(&mut app, KeyCode::Char('q')), [Effect::Detach], "q leaves from here too");
    press(&mut app, KeyCode::Esc);
    assert!(app.inspector.is_none());
    press(&mut app, KeyCode::Enter);
    let failed = Message::OfRun(
        RUN.into(),
        RunMessage::Trace { seed: 1, trace: Err("no checkpoint".into()) },
    );
    update(&mut app, failed);
    assert!(app.inspector.is_none() && screen(&app, 80, 24).contains("no checkpoint"));
}

#[test]
fn what_takes_long_is_asked_for_once() {
    let mut app = watching();
    update(&mut app, Message::Runs(vec![run(RUN, RunState::Finished, Health::Over)]));
    let request = PreviewRequest::new(0..4, 20).unwrap();
    let made = [Effect::OnRun(RUN.into(), RunEffect::MakePreview(request))];
    assert_eq!(press(&mut app, KeyCode::Char('s')), made);
    assert_eq!(press(&mut app, KeyCode::Char('s')), []);
    assert!(app.notice.take().unwrap().text.contains("a preview is already being made"));
    // The other way of asking is no way round.
    press(&mut app, KeyCode::Char('S'));
    assert_eq!(press(&mut app, KeyCode::Enter), []);
    let failed = Message::OfRun(RUN.into(), RunMessage::PreviewMade(Err("no checkpoint".into())));
    update(&mut app, failed);
    assert_eq!(press(&mut app, KeyCode::Char('s')), made, "once more, as the first try failed");

    let followed = [Effect::OnRun(RUN.into(), RunEffect::Trace { seed: 0, may_compute: true })];
    assert_eq!(press(&mut app, KeyCode::Enter), followed);
    press(&mut app, KeyCode::Esc);
    assert_eq!(press(&mut app, KeyCode::Enter), [], "it is under way");
    let trace = Ok(Arc::new(Trace { seed: 0, ..trace() }));
    update(&mut app, Message::OfRun(RUN.into(), RunMessage::Trace { seed: 0, trace }));
    assert!(app.inspector.as_ref().unwrap().trace.is_some(), "and shown when it comes");
}

#[test]
fn pasted_text_is_typed_where_something_is_typed_and_no_key_anywhere() {
    let mut app = watching();
    // As keys, these would stop the run.
    assert_eq!(update(&mut app, Message::Pasted("xy\n".into())), []);
    assert_eq!(app.popup, None);
    assert!(app.notice.as_ref().unwrap().text.contains("only in text fields"));
    press(&mut app, KeyCode::Char('x'));
    assert_eq!(update(&mut app, Message::Pasted("y\n".into())), []);
    assert!(matches!(app.popup, Some(Popup::ConfirmStop { .. })), "nothing was answered");
    press(&mut app, KeyCode::Esc);
    press(&mut app, KeyCode::Char('X'));
    assert_eq!(update(&mut app, Message::Pasted(format!("{RUN}\n"))), []);
    assert_eq!(press(&mut app, KeyCode::Enter), [Effect::OnRun(RUN.into(), RunEffect::Kill)]);
}

#[test]
fn a_value_is_edited_in_its_middle() {
    let mut app = watching();
    press(&mut app, KeyCode::Char('a'));
    "a lwer rate".chars().for_each(|letter| drop(press(&mut app, KeyCode::Char(letter))));
    (0..8).for_each(|_| drop(press(&mut app, KeyCode::Left)));
    press(&mut app, KeyCode::Char('o'));
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    terminal.draw(|frame| drop(view(&app, frame))).unwrap();
    let cells = &terminal.backend().buffer().content;
    let of_note = cells.iter().filter(|cell| cell.modifier.contains(Modifier::REVERSED));
    let seen: String = of_note.map(|cell| cell.symbol()).collect();
    assert!(seen.contains("a loer rate"), "the letter at the cursor stands out: {seen}");
    let effects = press(&mut app, KeyCode::Enter);
    let [Effect::OnRun(_, RunEffect::Describe(about))] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(about.note, "a lower rate");
}

#[test]
fn letters_with_control_do_nothing_in_popups() {
    let held = |letter, modifiers| Message::Key(KeyEvent::new(KeyCode::Char(letter), modifiers));
    // Each opens a popup in which the letters below would launch, queue or stop, or be typed.
    let lists = "nex?".chars().map(|opens| (opens, "nwyeqjk "));
    let lines = "/:aRXDS".chars().map(|opens| (opens, "nqj "));
    for (opens, letters) in lists.chain(lines) {
        let mut app = watching();
        press(&mut app, KeyCode::Char(opens));
        let before = app.popup.clone();
        for modifiers in [KeyModifiers::CONTROL, KeyModifiers::ALT] {
            for letter in letters.chars() {
                let effects = update(&mut app, held(letter, modifiers));
                assert_eq!(effects, [], "{opens}, then {letter}");
                assert_eq!(app.popup, before, "{opens}, then {letter}");
            }
        }
        assert_eq!(app.runs.filter.text(), "");
    }
    let mut app = watching();
    press(&mut app, KeyCode::Char('a'));
    press(&mut app, KeyCode::Char('b'));
    update(&mut app, held('u', KeyModifiers::CONTROL));
    let Some(Popup::Fields(form)) = &app.popup else { panic!("the form closed") };
    assert_eq!(form.values[0].text(), "", "Ctrl-U empties a field");
}

#[test]
fn what_cannot_be_done_is_refused_before_anything_is_typed() {
    let mut app = watching();
    let refused = |app: &mut App, key: char, words: &str| {
        assert_eq!(press(app, KeyCode::Char(key)), [], "{key}");
        assert_eq!(app.popup, None, "{key}");
        assert_eq!(app.notice.take().unwrap().text, words, "{key}");
    };
    for key in ['D', 'R'] {
        refused(&mut app, key, &format!("{RUN} has a worker; x stops it"));
    }
    update(&mut app, Message::Runs(vec![run(RUN, RunState::Training, Health::Lost)]));
    for key in ['p', 'x', 'X', 'T'] {
        refused(&mut app, key, &format!("{RUN} has no worker; r starts one"));
    }
    update(&mut app, Message::Runs(vec![run(RUN, RunState::Finished, Health::Over)]));
    refused(&mut app, 'x', &format!("{RUN} has no worker"));
}

#[test]
fn leaving_never_stops_a_run() {
    let mut app = watching();
    assert_eq!(press(&mut app, KeyCode::Char('q')), [Effect::Detach]);
    press(&mut app, KeyCode::Char('?'));
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(update(&mut app, Message::Key(interrupt)), [Effect::Detach], "also from a popup");
}

#[test]
fn charts_are_zoomed_and_moved_through() {
    let mut app = watching();
    press(&mut app, KeyCode::Char('2'));
    "++".chars().for_each(|key| drop(press(&mut app, KeyCode::Char(key))));
    press(&mut app, KeyCode::Left);
    insta::assert_snapshot!("zoomed-80x24", screen(&app, 80, 24));
    let zoomed = screen(&app, 80, 24);
    press(&mut app, KeyCode::Right);
    assert_ne!(screen(&app, 80, 24), zoomed);
    press(&mut app, KeyCode::Char('0'));
    let all = screen(&app, 80, 24);
    press(&mut app, KeyCode::Char('-'));
    assert_eq!(screen(&app, 80, 24), all);
}

#[test]
fn everything_can_be_asked_for_by_name() {
    let mut app = watching();
    press(&mut app, KeyCode::Char(':'));
    "pau".chars().for_each(|letter| drop(press(&mut app, KeyCode::Char(letter))));
    insta::assert_snapshot!("palette-80x24", screen(&app, 80, 24));
    let effects = press(&mut app, KeyCode::Enter);
    assert_eq!(effects, [Effect::OnRun(RUN.into(), RunEffect::Send(Command::Pause))]);
    assert_eq!(app.popup, None);
    press(&mut app, KeyCode::Char(':'));
    "cnn 3abcd0".chars().for_each(|letter| drop(press(&mut app, KeyCode::Char(letter))));
    assert_eq!(
        press(&mut app, KeyCode::Enter),
        [Effect::OnRun("glyphs-cnn-3abcd0".into(), RunEffect::Open)]
    );
    press(&mut app, KeyCode::Char(':'));
    "log-s".chars().for_each(|letter| drop(press(&mut app, KeyCode::Char(letter))));
    press(&mut app, KeyCode::Tab);
    assert_eq!(app.popup, Some(Popup::Palette { typed: "log-scale".into(), cursor: 0 }));
    press(&mut app, KeyCode::Enter);
    assert!(app.charts.linear_scale);
}

#[test]
fn who_only_looks_steers_nothing() {
    let mut app = watching();
    app.read_only = true;
    for key in "npsxrXe".chars() {
        assert_eq!(press(&mut app, KeyCode::Char(key)), [], "{key}");
        assert_eq!(app.popup, None, "{key}");
        assert!(app.notice.take().unwrap().text.contains("--read-only"), "{key}");
    }
    assert!(screen(&app, 80, 24).starts_with("\" looking only  glyphs"));
    assert!(!screen(&app, 80, 24).contains("pause"));
    press(&mut app, KeyCode::Char('L'));
    assert_eq!(app.screen.tab, Tab::Log);
    // Inside a seed: what is there already is shown, nothing is computed or written.
    let shown = [Effect::OnRun(RUN.into(), RunEffect::Trace { seed: 0, may_compute: false })];
    assert_eq!(press(&mut app, KeyCode::Enter), shown);
    let trace = Ok(Arc::new(Trace { seed: 0, ..trace() }));
    update(&mut app, Message::OfRun(RUN.into(), RunMessage::Trace { seed: 0, trace }));
    // What is exported goes to where the dashboard was started, not into the run.
    let effects = press(&mut app, KeyCode::Char('E'));
    assert!(matches!(&effects[..], [Effect::Export(export)] if export.run.is_none()));
}

#[test]
fn stopping_asks_first_and_killing_wants_the_name() {
    let mut app = watching();
    assert_eq!(press(&mut app, KeyCode::Char('x')), []);
    assert_eq!(press(&mut app, KeyCode::Char('n')), [], "no means no");
    press(&mut app, KeyCode::Char('x'));
    let stop = Effect::OnRun(RUN.into(), RunEffect::Send(Command::Stop));
    assert_eq!(press(&mut app, KeyCode::Char('y')), [stop]);

    press(&mut app, KeyCode::Char('X'));
    assert_eq!(press(&mut app, KeyCode::Enter), [], "no name was typed");
    RUN.chars().for_each(|letter| drop(press(&mut app, KeyCode::Char(letter))));
    assert_eq!(press(&mut app, KeyCode::Enter), [Effect::OnRun(RUN.into(), RunEffect::Kill)]);
}

#[test]
fn one_key_pauses_and_resumes() {
    let mut app = watching();
    let send = |command| [Effect::OnRun(RUN.into(), RunEffect::Send(command))];
    assert_eq!(press(&mut app, KeyCode::Char('p')), send(Command::Pause));
    update(&mut app, Message::Runs(vec![run(RUN, RunState::Paused, Health::Alive)]));
    assert_eq!(press(&mut app, KeyCode::Char('p')), send(Command::Resume));
    // The key that resumes lost runs means the same here.
    assert_eq!(press(&mut app, KeyCode::Char('r')), send(Command::Resume));
    assert!(screen(&app, 80, 24).contains(" p  go on "));
    update(&mut app, Message::Runs(vec![run(RUN, RunState::Training, Health::Alive)]));
    assert!(screen(&app, 80, 24).contains(" p  pause "));
    assert_eq!(press(&mut app, KeyCode::Char('r')), []);
    assert!(app.notice.unwrap().text.contains("nothing to resume"));
}

#[test]
fn a_bad_value_is_refused_in_the_form_and_a_good_one_is_launched() {
    let mut app = watching();
    press(&mut app, KeyCode::Char('e'));
    let Some(Popup::Edit(form)) = &app.popup else { panic!("no form") };
    let keys: Vec<_> = form.experiment.entries().iter().map(|entry| entry.key).collect();
    let steps = keys.iter().position(|key| *key == "training.steps").unwrap();
    (0..steps).for_each(|_| drop(press(&mut app, KeyCode::Down)));
    let clear = KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL);
    press(&mut app, KeyCode::Enter);
    update(&mut app, Message::Key(clear));
    "-3".chars().for_each(|letter| drop(press(&mut app, KeyCode::Char(letter))));
    press(&mut app, KeyCode::Enter);
    let Some(Popup::Edit(form)) = &app.popup else { panic!("the form closed") };
    assert!(form.error.as_ref().unwrap().contains("'training.steps' is '-3'"), "{:?}", form.error);
    update(&mut app, Message::Key(clear));
    "50".chars().for_each(|letter| drop(press(&mut app, KeyCode::Char(letter))));
    press(&mut app, KeyCode::Enter);
    let effects = press(&mut app, KeyCode::Char('n'));
    assert!(
        matches!(&effects[..], [Effect::Launch { experiment, parent: Some(parent), queued: false }]
        if experiment.training.steps == 50 && parent == RUN)
    );
}

#[test]
fn a_launch_that_fails_opens_its_form_again_with_what_was_typed() {
    let mut app = watching();
    press(&mut app, KeyCode::Char('e'));
    (0..2).for_each(|_| drop(press(&mut app, KeyCode::Down)));
    press(&mut app, KeyCode::Enter);
    "/nowhere/labels".chars().for_each(|letter| drop(press(&mut app, KeyCode::Char(letter))));
    press(&mut app, KeyCode::Enter);
    assert_eq!(press(&mut app, KeyCode::Char('n')).len(), 1);
    assert_eq!(app.popup, None);
    let problem = "dataset.labels: names '/nowhere/labels', which does not exist; paths start at the directory of the lab file";
    update(&mut app, Message::Launched(Err(problem.into())));
    let seen = screen(&app, 80, 24);
    assert!(seen.contains("dataset.labels               /nowhere/labels"), "{seen}");
    assert!(seen.contains("which does not exist") && seen.contains("of the lab file"), "{seen}");
    // Whoever has opened something else meanwhile is told, and not interrupted.
    press(&mut app, KeyCode::Char('n'));
    press(&mut app, KeyCode::Char('?'));
    update(&mut app, Message::Launched(Err(problem.into())));
    assert_eq!(app.popup, Some(Popup::Help { first: 0 }));
    press(&mut app, KeyCode::Esc);
    let seen = screen(&app, 80, 24);
    assert!(seen.contains("of the lab file"), "a problem is said whole: {seen}");
    // What was launched otherwise brings no old form back.
    update(&mut app, Message::Launched(Ok("glyphs-attention-3abcdf".into())));
    update(&mut app, Message::Launched(Err(problem.into())));
    assert_eq!(app.popup, None);
}

#[test]
fn tabs_and_the_way_out_are_on_every_screen_with_panels() {
    let mut app = watching();
    for tab in 0..5_usize {
        press(&mut app, KeyCode::Char(char::from(b'1' + tab as u8)));
        for width in [70, 80, 99, 100, 120, 140, 200] {
            let seen = screen(&app, width, 40);
            let head = seen.lines().next().unwrap();
            assert!(head.contains(&format!("[{}", tab + 1)), "{head}");
            assert!(head.contains("training") && head.contains("1500/6000"), "{head}");
            assert!(head.contains(if width < 80 { "3abcde" } else { "loss 0.023" }), "{head}");
            assert!(seen.lines().last().unwrap().contains("q  leave"), "{seen}");
        }
    }
    // While a popup is open its keys are the ones that work.
    press(&mut app, KeyCode::Char('n'));
    let seen = screen(&app, 80, 24);
    let foot = seen.lines().last().unwrap();
    assert!(foot.contains("w queues") && !foot.contains("leave"), "{foot}");
}

#[test]
fn a_terminal_that_changed_its_size_is_drawn_anew() {
    assert_eq!(update(&mut watching(), Message::Resized), [Effect::Redraw]);
}

#[test]
fn previews_are_stepped_through_and_followed() {
    let mut app = watching();
    let load = |step| [Effect::OnRun(RUN.into(), RunEffect::LoadPreview(step))];
    assert_eq!(press(&mut app, KeyCode::Char('[')), load(500));
    assert_eq!(press(&mut app, KeyCode::Char('[')), [], "there is no older one");
    let more = Message::OfRun(RUN.into(), RunMessage::PreviewSteps(vec![500, 1500, 2000]));
    assert_eq!(update(&mut app, more), [], "a held preview stays");
    assert_eq!(press(&mut app, KeyCode::Char('f')), load(2000));
}

#[test]
fn no_sequence_of_keys_at_any_size_panics() {
    let mut random = stream(1, Purpose::Subset, 0);
    let sizes = [(1, 1), (2, 3), (20, 5), (59, 15), (80, 24), (100, 30), (120, 36), (500, 200)];
    for filled in [false, true] {
        let mut app =
            if filled { watching() } else { App::new(experiments(), "checkpoints".into()) };
        for _ in 0..3000 {
            let code = match random.random_range(0..4) {
                1 => INSPECTOR_BINDINGS[random.random_range(0..INSPECTOR_BINDINGS.len())].code,
                0 => [KeyCode::Enter, KeyCode::Esc, KeyCode::Backspace, KeyCode::PageDown]
                    [random.random_range(0..4)],
                _ => BINDINGS[random.random_range(0..BINDINGS.len())].code,
            };
            for effect in press(&mut app, code) {
                match effect {
                    Effect::OnRun(run, RunEffect::Open) => {
                        let preview = Ok(Box::new(preview()));
                        update(&mut app, Message::OfRun(run, RunMessage::Preview(preview)));
                    }
                    Effect::OnRun(run, RunEffect::Trace { seed, .. })
                        if random.random_range(0..4) > 0 =>
                    {
                        let trace = Ok(Arc::new(Trace { seed, ..trace() }));
                        update(&mut app, Message::OfRun(run, RunMessage::Trace { seed, trace }));
                    }
                    _ => {}
                }
            }
            if random.random_range(0..8) == 0 {
                let (width, height) = sizes[random.random_range(0..sizes.len())];
                screen(&app, width, height);
            }
        }
    }
}
