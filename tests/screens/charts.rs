//! Charts: the crosshair, what they turn through, letters and dots, and what of them becomes files.

use mosaic_lab::config::lab_settings::ThemeChoice;
use mosaic_lab::evaluation::calibration::{
    Calibrated, Calibration, Candidate, Origin, StepFit, StepSettings,
};
use mosaic_lab::runs::alive_silent_or_lost::Health;
use mosaic_lab::runs::status_json::RunState;
use mosaic_lab::tui::colour_theme::Theme;
use mosaic_lab::tui::messages_and_effects::{Effect, Message, RunEffect, RunMessage};
use mosaic_lab::tui::recorded_curves::{Quantity, UPPER_CHART};
use mosaic_lab::tui::screen_layout::view;
use mosaic_lab::tui::state::{App, OpenRun};
use mosaic_lab::tui::tabs::Tab;
use mosaic_lab::tui::update::update;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::fixture::*;

fn shifted(app: &mut App, code: KeyCode) {
    update(app, Message::Key(KeyEvent::new(code, KeyModifiers::SHIFT)));
}

fn cells(app: &App, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| drop(view(app, frame))).unwrap();
    terminal.backend().buffer().clone()
}

#[test]
fn the_crosshair_reads_recorded_values_and_differences() {
    let mut app = watching();
    press(&mut app, KeyCode::Char('2'));
    press(&mut app, KeyCode::Char('c'));
    let reading = |app: &App| {
        let all = app.crosshair_readings();
        assert_eq!(all.len(), 1);
        let here = all[0].here.unwrap();
        (here.x, here.raw, all[0].anchor.map(|anchor| anchor.x))
    };
    assert_eq!(reading(&app), (1490.0, 1.0 / 149.0, None));
    press(&mut app, KeyCode::Left);
    assert_eq!(reading(&app), (1480.0, 1.0 / 148.0, None));
    shifted(&mut app, KeyCode::Left);
    shifted(&mut app, KeyCode::Char('H'));
    assert_eq!(reading(&app).0, 1280.0, "twenty points");
    press(&mut app, KeyCode::Char('c'));
    press(&mut app, KeyCode::Char('h'));
    assert_eq!(reading(&app), (1270.0, 1.0 / 127.0, Some(1280.0)));
    insta::assert_snapshot!("crosshair-80x24", screen(&app, 80, 24));
    // The line stands at its step's share of the axis, whatever the size.
    for (width, height) in [(80, 24), (120, 36), (200, 60)] {
        let buffer = cells(&app, width, height);
        let find = |symbol| (8..width - 1).find(|x| buffer[(*x, 3)].symbol() == symbol);
        let (line, anchor) = (find("│").unwrap(), find("┊").unwrap_or(find("│").unwrap()));
        let share = f64::from(line - 7) / f64::from(width - 9);
        assert!((share - 1260.0 / 1480.0).abs() < 0.02 && line <= anchor, "{share} at {width}");
    }
    // The broken value is read as what it is.
    (0..52).for_each(|_| drop(press(&mut app, KeyCode::Left)));
    assert!(reading(&app).0 == 750.0 && reading(&app).1.is_nan());
    assert!(screen(&app, 80, 24).contains("not finite"));
    assert_eq!(press(&mut app, KeyCode::Char('L')), [], "faster, not the log");
    press(&mut app, KeyCode::Char('c'));
    assert!(app.charts.crosshair.is_none());
    press(&mut app, KeyCode::Char('L'));
    assert_eq!(app.screen.tab, Tab::Log, "the log");
}

#[test]
fn the_crosshair_stays_within_the_window_and_ends_with_escape() {
    let mut app = watching();
    press(&mut app, KeyCode::Char('c'));
    assert_eq!(app.screen.tab, Tab::Charts, "it shows the charts");
    press(&mut app, KeyCode::Char('+'));
    for _ in 0..200 {
        press(&mut app, KeyCode::Left);
    }
    assert_eq!(app.charts.crosshair.unwrap().x, 750.0, "half of the steps are seen");
    press(&mut app, KeyCode::Esc);
    assert!(app.charts.crosshair.is_none());
    let mut empty = App::new(experiments(), "checkpoints".into());
    press(&mut empty, KeyCode::Char('c'));
    assert!(empty.charts.crosshair.is_none() && empty.notice.is_some());
}

fn calibration() -> Calibration {
    let settings = |attention: bool, step: usize| StepSettings {
        k: 3 + 2 * step,
        lambda: if attention { 0.5 * step as f64 } else { 0.0 },
        gamma: 0.25,
        tau: 1.0,
    };
    let machine = |name: &str| Calibrated {
        sides: vec![3, 5, 7, 9],
        machine: name.to_owned(),
        candidates: vec![Candidate {
            origin: Origin::Own,
            boost: 1.0,
            error: 0.1,
            r: Some(0.9),
            r_mean: 0.9,
            settings: (0..4).map(|step| settings(name.starts_with("att"), step)).collect(),
        }],
        steps: (1..=4)
            .map(|step| StepFit {
                t: f64::from(step) / 4.0,
                cosine: 0.9,
                r_squared: 0.8,
                r_squared_sd: 0.1,
            })
            .collect(),
        variant: String::new(),
        patch_growth_error: None,
    };
    Calibration {
        format: 1,
        step: 1500,
        noise_seed: 1,
        first_seed: 500,
        n_seeds: 8,
        n_steps: 4,
        machines: vec![machine("els"), machine("attention-similarity")],
    }
}

#[test]
fn charts_turn_through_every_quantity_and_say_what_was_not_recorded() {
    let mut app = watching();
    press(&mut app, KeyCode::Char('2'));
    let mut asked = Vec::new();
    for &quantity in UPPER_CHART {
        assert_eq!(app.charts.quantity, quantity);
        let shown = screen(&app, 80, 24);
        let is_recorded = app.open_run.as_ref().unwrap().curves.of(quantity).next().is_some();
        assert!(shown.contains(quantity.name()), "{quantity:?}");
        assert_eq!(shown.contains("not recorded"), !is_recorded, "{quantity:?}");
        asked.extend(press(&mut app, KeyCode::Char('g')));
    }
    assert_eq!(
        asked,
        vec![Effect::OnRun(RUN.into(), RunEffect::LoadCalibration); 4],
        "read when it is looked at"
    );
    // Gradient norms were not measured here, and no machine was calibrated yet.
    app.charts.quantity = Quantity::GradientNorm;
    assert!(screen(&app, 80, 24).contains("not recorded: it comes with the first metrics"));
    app.charts.quantity = Quantity::Votes;
    let found =
        Message::OfRun(RUN.into(), RunMessage::Calibration(Ok(Some(Box::new(calibration())))));
    update(&mut app, found);
    insta::assert_snapshot!("calibrated-80x24", screen(&app, 80, 24));
    app.charts.quantity = Quantity::PatchSide;
    let names: Vec<String> = app.chart_curves().into_iter().map(|curve| curve.name).collect();
    assert_eq!(names, ["els", "attention-similarity"]);
    assert_eq!(
        app.chart_curves()[0].series[..],
        [(0.25, 3.0), (0.5, 5.0), (0.75, 7.0), (1.0, 9.0)]
    );
}

fn ten_runs() -> App {
    let mut app = watching();
    let id = |number: usize| format!("glyphs-cnn-3abcd{number}");
    let mut runs = vec![run(RUN, RunState::Training, Health::Alive)];
    runs.extend((0..10).map(|number| run(&id(number), RunState::Finished, Health::Over)));
    update(&mut app, Message::Runs(runs));
    app.marked = (0..10).map(|number| OpenRun::new(id(number))).collect();
    for number in 0..10 {
        let loss = |i: u64| Some((1.0 + number as f64) / i as f64);
        let events = (1..150).map(|i| metrics(i * 10, loss(i))).collect();
        update(&mut app, Message::OfRun(id(number), RunMessage::Events(events)));
    }
    app
}

#[test]
fn ten_curves_are_told_apart_without_colour_by_the_letters_of_the_list() {
    let mut app = ten_runs();
    app.theme = Theme::new(ThemeChoice::Dark, true, None);
    let list = screen(&app, 200, 60);
    press(&mut app, KeyCode::Char('2'));
    let charts = screen(&app, 200, 60);
    for (number, letter) in ('A'..='J').enumerate() {
        assert!(
            list.contains(&format!("✓{letter} glyphs-cnn-3abcd{number}")),
            "{letter} in the list"
        );
        assert!(
            charts.contains(&format!("{letter} glyphs-cnn-3abcd{number}")),
            "{letter} in the legend"
        );
        let n = charts.lines().skip(2).filter(|line| {
            let graph: String = line.chars().skip(8).take(150).collect();
            graph.contains(letter)
        });
        assert!(n.count() >= 1, "{letter} along its curve");
    }
    for cell in &cells(&app, 200, 60).content {
        assert!(cell.fg == ratatui::style::Color::Reset && cell.bg == ratatui::style::Color::Reset);
    }
    press(&mut app, KeyCode::Char('c'));
    insta::assert_snapshot!("ten-runs-120x36", screen(&app, 120, 36));
}

#[test]
fn charts_are_of_braille_blocks_or_dots() {
    let mut app = watching();
    press(&mut app, KeyCode::Char('2'));
    let is_braille = |symbol: char| ('\u{2801}'..='\u{28ff}').contains(&symbol);
    let count = |app: &App, is: &dyn Fn(char) -> bool| {
        screen(app, 80, 24).chars().filter(|c| is(*c)).count()
    };
    assert!(count(&app, &is_braille) > 50);
    press(&mut app, KeyCode::Char('b'));
    assert!(count(&app, &is_braille) == 0 && count(&app, &|c| "▘▝▖▗▀▄▌▐▚▞▙▛▜▟█".contains(c)) > 50);
    press(&mut app, KeyCode::Char('b'));
    assert!(count(&app, &is_braille) == 0 && count(&app, &|c| c == '•') > 50);
    press(&mut app, KeyCode::Char('b'));
    assert!(count(&app, &is_braille) > 50);
}

#[test]
fn nothing_that_a_name_note_or_message_holds_reaches_the_terminal_as_an_order() {
    let evil = "実験\u{1b}[2J\u{202e}👨\u{200d}👩\u{200d}👧\u{9b}31m\u{7}\u{200f}\r\n\t-3abcd0";
    let mut app = watching();
    let mut hostile = run(evil, RunState::Failed, Health::Over);
    hostile.about.note = format!("note {evil}");
    hostile.about.tags = vec![evil.into()];
    hostile.status.as_mut().unwrap().message = Some(format!("message {evil}"));
    hostile.status.as_mut().unwrap().device = evil.into();
    update(
        &mut app,
        Message::Runs(vec![hostile.clone(), run(RUN, RunState::Training, Health::Alive)]),
    );
    app.marked = vec![OpenRun::new(evil.into())];
    update(
        &mut app,
        Message::OfRun(
            evil.into(),
            RunMessage::Events(vec![metrics(10, Some(0.5)), metrics(1400, Some(0.1))]),
        ),
    );
    let sizes = [(59, 15), (80, 24), (120, 36), (200, 60)];
    let check = |app: &App, what: &str| {
        for (width, height) in sizes {
            let buffer = cells(app, width, height);
            for cell in &buffer.content {
                let is_order = |c: char| {
                    c.is_control()
                        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
                };
                assert!(
                    !cell.symbol().contains(is_order),
                    "{what}: {:?} at {width}",
                    cell.symbol()
                );
            }
        }
    };
    let column = |app: &App, y: u16| {
        let buffer = cells(app, 120, 36);
        (0..120)
            .filter(|x| matches!(buffer[(*x, y)].symbol(), "│" | "┐" | "┌"))
            .collect::<Vec<u16>>()
    };
    for key in "123456".chars() {
        press(&mut app, KeyCode::Char(key));
        check(&app, &format!("tab {key}"));
    }
    press(&mut app, KeyCode::Char('1'));
    assert_eq!(column(&app, 2)[..3], column(&app, 3)[..3], "the list's border is straight");
    app.open_run = Some(OpenRun::new(evil.into()));
    update(
        &mut app,
        Message::OfRun(evil.into(), RunMessage::Log(Ok(format!("line {evil}\n{evil}")))),
    );
    for key in "61:".chars() {
        press(&mut app, KeyCode::Char(key));
        check(&app, &format!("on screen, {key}"));
    }
    press(&mut app, KeyCode::Esc);
    for key in "XDRaxc".chars() {
        press(&mut app, KeyCode::Char(key));
        check(&app, &format!("popup {key}"));
        press(&mut app, KeyCode::Esc);
    }
}

#[test]
fn every_tab_is_exported_where_it_belongs() {
    let mut app = watching();
    let place = |effects: Vec<Effect>| match &effects[..] {
        [Effect::Export(export)] => (export.stem.clone(), export.run.is_some()),
        other => panic!("{other:?}"),
    };
    let expected = [
        ("mosaic-runs", false),
        ("charts-loss", true),
        ("samples-step-1500", true),
        ("settings", true),
        ("mosaic-machine", false),
    ];
    for (key, (stem, in_run)) in ('1'..='5').zip(expected) {
        press(&mut app, KeyCode::Char(key));
        assert_eq!(place(press(&mut app, KeyCode::Char('E'))), (stem.to_owned(), in_run));
    }
    press(&mut app, KeyCode::Char(':'));
    "export".chars().for_each(|letter| drop(press(&mut app, KeyCode::Char(letter))));
    assert_eq!(place(press(&mut app, KeyCode::Enter)).0, "mosaic-machine");
}
