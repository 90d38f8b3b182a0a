//! A dashboard with fixed runs, curves and pictures.

use mosaic_lab::config::Experiment;
use mosaic_lab::hardware::system_load::{Gpu, Reading, Used, WorkerUse};
use mosaic_lab::image::{ImageBatch, ImageShape};
use mosaic_lab::random::noise_seeds;
use mosaic_lab::runs::alive_silent_or_lost::Health;
use mosaic_lab::runs::control_holder::Steering;
use mosaic_lab::runs::event::{
    AttentionAtLevel, AttentionMetrics, Event, EventBody, Metrics, NoticeLevel,
};
use mosaic_lab::runs::format_versions::RUN_FORMAT;
use mosaic_lab::runs::note_and_tags::About;
use mosaic_lab::runs::preview_files::{Label, Preview};
use mosaic_lab::runs::process_identity::ProcessId;
use mosaic_lab::runs::run_dir::RunDir;
use mosaic_lab::runs::runs_dir::RunSummary;
use mosaic_lab::runs::status_json::{RunState, Status};
use mosaic_lab::tui::messages_and_effects::{Effect, Message, RunEffect, RunMessage};
use mosaic_lab::tui::screen_layout::view;
use mosaic_lab::tui::state::App;
use mosaic_lab::tui::update::update;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

pub const RUN: &str = "glyphs-attention-3abcde";

/// Two separate experiments, so that editing lab.toml does not change any screen.
pub fn experiments() -> Vec<Experiment> {
    let describe = |name: &str, words: &str| Experiment {
        description: words.into(),
        ..Experiment::named(name).unwrap()
    };
    vec![
        describe(
            "glyphs-attention",
            "four glyphs of one hue; CNN with a final self-attention layer",
        ),
        describe("glyphs-cnn", "the twin without attention"),
    ]
}

pub fn status(state: RunState) -> Status {
    Status {
        step: 1500,
        worker: ProcessId { pid: 1, start_ticks: 2, boot_id: "b".into(), pid_namespace: None },
        host: None,
        steps_per_s: 25.0,
        eta_s: Some(180.0),
        device: "cpu (2 threads)".into(),
        loss: Some(0.0231),
        ..Status::new(state, 6000)
    }
}

pub fn run(id: &str, state: RunState, health: Health) -> RunSummary {
    RunSummary {
        id: id.into(),
        dir: RunDir::open(id),
        status: Some(status(state)),
        health,
        experiment: "glyphs-attention".into(),
        created_ms: 0,
        about: About::default(),
        steering: Steering::Free,
        newer: None,
    }
}

pub fn event(step: u64, body: EventBody) -> Event {
    Event { v: RUN_FORMAT, time_ms: 0, step, body }
}

pub fn metrics(step: u64, loss: Option<f64>) -> Event {
    let (learning_rate, steps_per_s, images_per_s) = (1e-3, 25.0, 400.0);
    let metrics = Metrics { loss, grad_norm: None, learning_rate, steps_per_s, images_per_s };
    event(step, EventBody::Metrics(metrics))
}

pub fn attention(step: u64) -> Event {
    let levels = [0.1, 0.5, 0.9].map(|t| AttentionAtLevel {
        t,
        entropy_nats: vec![5.5 - t * step as f64 / 1500.0, 5.4],
        distance_pixels: vec![6.0, 6.0],
        largest_logit: vec![4.0, 5.0],
        sink: vec![0.1, 0.1],
    });
    event(step, EventBody::Attention(AttentionMetrics { n_pixels: 256, levels: levels.to_vec() }))
}

/// A GPU divided by MIG, and a disk that is nearly full.
pub fn machine(cpu_percent: f64) -> Reading {
    let used = |used: u64, total: u64| Some(Used { used: used << 20, total: total << 20 });
    let part = Gpu {
        name: "NVIDIA H200 MIG 1g.18gb".into(),
        percent: None,
        memory: used(2048, 18_432),
        celsius: None,
        watts: None,
        watts_limit: None,
        parts: Vec::new(),
    };
    let gpu = Gpu {
        name: "NVIDIA H200".into(),
        memory: used(4096, 143_771),
        celsius: Some(54),
        watts: Some(301.0),
        watts_limit: Some(700.0),
        parts: vec![part.clone()],
        ..part
    };
    Reading {
        cpu_percent: Some(cpu_percent),
        n_cpus: 16,
        memory: used(12_600, 131_072),
        disk: used(99_000, 100_000),
        gpus: Ok(vec![gpu]),
        worker: Some(WorkerUse { pid: 4711, cpu_percent: Some(210.0), memory_bytes: 812 << 20 }),
    }
}

/// Four flat pictures per seed, so that text snapshots of the screen are stable.
pub fn preview() -> Preview {
    let shape = ImageShape::new(3, 16, 16);
    let seeds = noise_seeds(1, 0, 2, shape);
    let network =
        ImageBatch::new(shape, seeds.values().iter().map(|v| v.clamp(-1.0, 1.0)).collect());
    let machines = vec![
        ("els".to_owned(), seeds.clone()),
        ("attention-similarity".to_owned(), network.clone()),
    ];
    let label = |valid, novel| Label { valid, consistent: true, novel };
    let labels = vec![
        ("network".to_owned(), vec![label(true, true), label(false, false)]),
        ("els".to_owned(), vec![label(false, true), label(false, false)]),
    ];
    Preview { step: 1500, first_seed: 0, sampling_steps: 20, seeds, network, machines, labels }
}

/// A dashboard showing a run with curves, a gap in the loss, and a preview.
pub fn watching() -> App {
    let mut app = App::new(experiments(), "checkpoints".into());
    let other = run("glyphs-cnn-3abcd0", RunState::Training, Health::Lost);
    let effects =
        update(&mut app, Message::Runs(vec![run(RUN, RunState::Training, Health::Alive), other]));
    assert_eq!(effects, [Effect::OnRun(RUN.into(), RunEffect::Open)]);
    let experiment = experiments().remove(0);
    update(&mut app, Message::OfRun(RUN.into(), RunMessage::Experiment(Ok(Box::new(experiment)))));
    let mut events: Vec<Event> =
        (1..150).map(|i| metrics(i * 10, (i != 75).then(|| 1.0 / i as f64))).collect();
    events.extend((1..15).map(|i| attention(i * 100)));
    for i in 0..40 {
        update(&mut app, Message::System(Box::new(machine(f64::from(i * 2)))));
    }
    let text = "machines use the whole data set".to_owned();
    events.push(event(1490, EventBody::Notice { level: NoticeLevel::Info, text }));
    update(&mut app, Message::OfRun(RUN.into(), RunMessage::Events(events)));
    let effects =
        update(&mut app, Message::OfRun(RUN.into(), RunMessage::PreviewSteps(vec![500, 1500])));
    assert_eq!(effects, [Effect::OnRun(RUN.into(), RunEffect::LoadPreview(1500))]);
    update(&mut app, Message::OfRun(RUN.into(), RunMessage::Preview(Ok(Box::new(preview())))));
    app
}

pub fn press(app: &mut App, code: KeyCode) -> Vec<Effect> {
    update(app, Message::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

/// Presses a letter with Ctrl.
pub fn press_control(app: &mut App, letter: char) -> Vec<Effect> {
    update(app, Message::Key(KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL)))
}

pub fn screen(app: &App, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| drop(view(app, frame))).unwrap();
    terminal.backend().to_string()
}

/// Draws the screen and passes the layout to the app, as after a frame of the dashboard.
pub fn seen(app: &mut App, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let mut regions = Vec::new();
    terminal.draw(|frame| regions = view(app, frame).regions).unwrap();
    app.screen.regions = regions;
    terminal.backend().to_string()
}
