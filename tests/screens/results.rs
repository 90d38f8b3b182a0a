//! A finished run's results, the glossary, and the question before two runs train at once.

use mosaic_lab::evaluation::report::report_samples::ReportSamples;
use mosaic_lab::evaluation::report::written_report::{
    JudgedRates, MachineAgreement, WrittenReport,
};
use mosaic_lab::random::noise_seeds;
use mosaic_lab::runs::alive_silent_or_lost::Health;
use mosaic_lab::runs::control_messages::Command;
use mosaic_lab::runs::event::Rate;
use mosaic_lab::runs::status_json::RunState;
use mosaic_lab::tui::messages_and_effects::{Effect, Message, RunEffect, RunMessage};
use mosaic_lab::tui::update::update;
use ratatui::crossterm::event::KeyCode;

use super::fixture::*;

#[test]
fn a_paused_run_asks_before_it_trains_beside_another() {
    let mut app = watching();
    let other = "glyphs-cnn-3abcd0";
    let runs =
        |state| vec![run(RUN, RunState::Paused, Health::Alive), run(other, state, Health::Alive)];
    update(&mut app, Message::Runs(runs(RunState::Training)));
    let resume = Effect::OnRun(RUN.into(), RunEffect::Send(Command::Resume));
    for key in ['p', 'r'] {
        assert_eq!(press(&mut app, KeyCode::Char(key)), []);
        let shown = screen(&app, 80, 24);
        assert!(shown.contains(other) && shown.contains("trains as well"), "{shown}");
        assert_eq!(press(&mut app, KeyCode::Esc), []);
        press(&mut app, KeyCode::Char(key));
        assert_eq!(press(&mut app, KeyCode::Char('y')), std::slice::from_ref(&resume));
    }
    // Nobody else is at work.
    update(&mut app, Message::Runs(runs(RunState::Paused)));
    assert_eq!(press(&mut app, KeyCode::Char('p')), [resume]);
}

#[test]
fn a_finished_run_shows_its_report_and_the_samples_that_it_is_about() {
    let mut app = watching();
    let preview = preview();
    let batch = |seed| noise_seeds(seed, 0, 2, preview.network.shape());
    let machine = |name: &str, r| MachineAgreement {
        machine: name.to_owned(),
        r: Some(r),
        r2: Some(r * r),
        cod: Some(r - 0.5),
    };
    let names = ["attention-trajectory", "els"];
    let rates = |n_samples| {
        let whole = Rate { value: 0.9, low: 0.88, high: 0.92 };
        Some(JudgedRates { n_samples, rates: vec![("whole".into(), whole)] })
    };
    let report = WrittenReport {
        folder: "checkpoints/a/report".into(),
        files: vec!["report.json".into(), "report.md".into(), "samples.png".into()],
        text: "# The report\n\n## Agreement\n\n| machine | r | r^2 |\n| --- | --- | --- |\n| els | 0.61 | 0.37 |\n\nA *note* on `els`.\n".into(),
        verdict: "The network is **converged**. `attention-trajectory` predicts its samples best.".into(),
        step: 6000,
        n_seeds: 100,
        convergence: Some(("els".into(), "converged".into())),
        agreement: vec![machine(names[0], 0.81), machine(names[1], 0.61)],
        rates: rates(512),
        samples: Some(ReportSamples {
            first_seed: 1000,
            sampling_steps: 20,
            seeds: batch(1),
            network: batch(2),
            machines: names.iter().map(|name| ((*name).to_owned(), batch(3))).collect(),
        }),
    };
    let read = |report| Message::OfRun(RUN.into(), RunMessage::Report(Ok(report)));
    update(&mut app, read(Some(Box::new(report.clone()))));
    let shown = screen(&app, 120, 36);
    insta::assert_snapshot!("finished-120x36", shown);
    assert!(shown.contains("results, 100 seeds") && shown.contains("0.81"), "{shown}");
    assert!(shown.contains("results: held-out seeds 1000 to 1001"), "{shown}");
    // Previews are one step away, and are called previews.
    press(&mut app, KeyCode::Char('3'));
    press(&mut app, KeyCode::Char('['));
    assert!(screen(&app, 120, 36).contains("preview at step 1500 (2 of 2"));
    press(&mut app, KeyCode::Char(']'));
    assert!(screen(&app, 120, 36).contains("results: held-out seeds"));
    press(&mut app, KeyCode::Char('7'));
    let shown = screen(&app, 80, 24);
    insta::assert_snapshot!("results-80x24", shown);
    assert!(shown.contains("els      0.61") && shown.contains("samples.png"), "{shown}");
    press(&mut app, KeyCode::PageDown);
    assert!(!screen(&app, 80, 24).contains("The report"));
    // A report of few samples has no rates.
    let few = WrittenReport { rates: rates(4), ..report };
    update(&mut app, read(Some(Box::new(few))));
    press(&mut app, KeyCode::Char('1'));
    assert!(!screen(&app, 120, 36).contains("its samples, n="));
    // Without one it says what would write it.
    update(&mut app, read(None));
    press(&mut app, KeyCode::Char('7'));
    assert!(screen(&app, 80, 24).contains("no report"));
}

#[test]
fn the_words_on_the_screen_are_explained() {
    let mut app = watching();
    press(&mut app, KeyCode::Char('G'));
    insta::assert_snapshot!("glossary-80x24", screen(&app, 80, 24));
    (0..30).for_each(|_| drop(press(&mut app, KeyCode::PageDown)));
    assert!(screen(&app, 80, 24).contains("sink"));
    press(&mut app, KeyCode::Esc);
    assert_eq!(app.popup, None);
}
