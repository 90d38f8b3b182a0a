//! Frames of the dashboard: ten runs of 100,000 points each, drawn together at 200x60.
//!
//! `still` draws again what did not change; `live` after every run got a point; `moved` after the charts were zoomed.
//! `cargo bench --bench dashboard`; a frame must take less than 16 ms.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use mosaic_lab::runs::event::{Event, EventBody, Metrics};
use mosaic_lab::runs::format_versions::RUN_FORMAT;
use mosaic_lab::tui::curve_points::HISTORY_POINTS_MAX;
use mosaic_lab::tui::messages_and_effects::{Message, RunMessage};
use mosaic_lab::tui::screen_layout::view;
use mosaic_lab::tui::state::{App, OpenRun};
use mosaic_lab::tui::tabs::Tab;
use mosaic_lab::tui::update::update;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent};

const N_RUNS: usize = 10;
const SIZE: (u16, u16) = (200, 60);

fn name(run: usize) -> String {
    format!("glyphs-attention-3abcd{run}")
}

/// A loss that falls in noise, with a gap now and then.
fn metrics(run: usize, step: usize) -> Event {
    let noise = ((step * 7919 + run * 104_729) % 1000) as f64 / 1000.0;
    let loss = (1.0 + 0.3 * noise) / (1.0 + 0.001 * step as f64) + 0.01 * run as f64;
    let metrics = Metrics {
        loss: (!(step + run).is_multiple_of(9973)).then_some(loss),
        grad_norm: Some(1.0 + noise),
        learning_rate: 1e-3,
        steps_per_s: 25.0,
        images_per_s: 400.0,
    };
    Event { v: RUN_FORMAT, time_ms: 0, step: step as u64, body: EventBody::Metrics(metrics) }
}

fn press(app: &mut App, key: char) {
    update(app, Message::Key(KeyEvent::from(KeyCode::Char(key))));
}

fn app() -> App {
    let mut app = App::new(Vec::new(), "checkpoints".to_owned());
    app.open_run = Some(OpenRun::new(name(0)));
    app.marked = (1..N_RUNS).map(|run| OpenRun::new(name(run))).collect();
    for run in 0..N_RUNS {
        let events = (0..HISTORY_POINTS_MAX).map(|step| metrics(run, step)).collect();
        update(&mut app, Message::OfRun(name(run), RunMessage::Events(events)));
    }
    app
}

fn frames(c: &mut Criterion) {
    let mut terminal =
        Terminal::new(TestBackend::new(SIZE.0, SIZE.1)).expect("a backend in memory");
    let mut draw = |app: &App| {
        terminal.draw(|frame| drop(black_box(view(app, frame)))).expect("a backend in memory");
    };
    let mut app = app();
    let mut group = c.benchmark_group("frame");
    for (tab, place) in [(Tab::Overview, "overview"), (Tab::Charts, "charts")] {
        app.screen.tab = tab;
        group.bench_function(format!("{place} still"), |bencher| bencher.iter(|| draw(&app)));
        group.bench_function(format!("{place} moved"), |bencher| {
            let mut keys = ['+', '-'].into_iter().cycle();
            bencher.iter(|| {
                keys.next().into_iter().for_each(|key| press(&mut app, key));
                draw(&app);
            });
        });
        press(&mut app, '0');
        group.bench_function(format!("{place} live"), |bencher| {
            bencher.iter(|| {
                for run in 0..N_RUNS {
                    // The last point anew: a history that only grew would be thinned to half now and then.
                    let events = vec![metrics(run, HISTORY_POINTS_MAX - 1)];
                    update(&mut app, Message::OfRun(name(run), RunMessage::Events(events)));
                }
                draw(&app);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, frames);
criterion_main!(benches);
