//! The only part of the dashboard that touches terminal and lab: it feeds messages to `update`, draws,
//! and has effects carried out.
//!
//! ```text
//! input thread (keys, sizes) --\                        /--> terminal
//!                               +--> update --> view --+
//! lab thread (runs, events) ---/   \--> effects --> lab thread
//! ```
//!
//! The lab thread does all that may block (sockets, files), so keys never wait. Draws happen on change
//! and at most thirty times a second.

use std::io::{self, BufWriter, Write};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::crossterm::event::{DisableMouseCapture, EnableMouseCapture};
use ratatui::crossterm::terminal::{BeginSynchronizedUpdate, EndSynchronizedUpdate};
use ratatui::crossterm::{execute, queue};
use ratatui::layout::Rect;
use ratatui::prelude::CrosstermBackend;

use super::app::{App, Output};
use super::input::{self, Decoder, Owed};
use super::link::Link;
use super::message::{Effect, Message};
use super::notify::Bell;
use super::pictures::Printer;
use super::screenshot::Screenshot;
use super::terminal::{self, Raw};
use super::update::update;
use super::view::{Drawn, view};
use crate::runs::command::{Act, Command};
use crate::runs::event::NoticeLevel;
use crate::runs::liveness::Health;
use crate::runs::runs_dir::RunSummary;

/// How often the lab is asked for news.
const POLL: Duration = Duration::from_millis(250);
/// How many such times pass between looks at the machine.
const POLLS_PER_LOOK: u32 = 8;
/// The number of a frame at which to panic, for tests.
const PANIC_AT: &str = "MOSAIC_PANIC_AT_FRAME";
/// What Ctrl-Z says where the process cannot be stopped.
const NO_JOB_CONTROL: &str =
    "no shell with job control started this dashboard, so nothing could continue it: q leaves";
/// Shortest time between two draws.
const FRAME: Duration = Duration::from_millis(33);

/// How the dashboard was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    Detached,
    Signalled(u8),
}

/// Shows the dashboard until the user detaches or a signal ends it; the terminal is restored on every path. `decoder` has read
/// what came so far.
pub fn run(
    app: &mut App,
    link: Box<dyn Link>,
    bell: Bell,
    mut raw: Raw,
    decoder: Decoder,
) -> anyhow::Result<Left> {
    let (messages, inbox) = mpsc::channel();
    let (effects, orders) = mpsc::channel();
    if let Some(watched) = &app.watched {
        effects.send(Effect::Watch(watched.id.clone()))?;
    }
    raw.send_signals(messages.clone())?;
    let owed = input::spawn(decoder, messages.clone())?;
    restore_on_panic(owed.clone());
    let served = terminal::show_screen()
        .and_then(|()| start(messages, orders, link))
        .and_then(|()| serve(app, &inbox, &effects, bell, &owed));
    terminal::restore(&owed);
    Ok(served?)
}

/// A panic of the main thread restores the terminal before its message; in other threads it is caught
/// and shown on the screen, which must not be torn down under the dashboard.
fn restore_on_panic(owed: Owed) {
    let main = thread::current().id();
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if thread::current().id() == main {
            terminal::restore(&owed);
            usual(info);
        }
    }));
}

fn start(
    messages: Sender<Message>,
    orders: Receiver<Effect>,
    link: Box<dyn Link>,
) -> io::Result<()> {
    thread::Builder::new().name("lab".to_owned()).spawn(move || {
        let mut runner = EffectRunner {
            link,
            watched: None,
            marked: Vec::new(),
            runs: Vec::new(),
            steps: Vec::new(),
            polls: 0,
        };
        let work = panic::AssertUnwindSafe(|| runner.work(&messages, &orders));
        if panic::catch_unwind(work).is_err() {
            let words = "the dashboard's reader broke (a bug of ours); leave with q and start again, runs go on";
            let _ = messages.send(Message::Done(Err(words.to_owned())));
        }
    })?;
    Ok(())
}

fn serve(
    app: &mut App,
    inbox: &Receiver<Message>,
    effects: &Sender<Effect>,
    bell: Bell,
    owed: &Owed,
) -> io::Result<Left> {
    let written = Arc::new(AtomicU64::new(0));
    let mut terminal = Terminal::new(CrosstermBackend::new(Counted::new(written.clone())))?;
    let mut printer = Printer::new(app.cell);
    wipe(&mut terminal)?;
    let mut drawn = Instant::now() - FRAME;
    let mut changed = true;
    // Nothing that the terminal showed is relied on.
    let mut anew = false;
    let mut mouse = false;
    // The terminal is somebody else's: from the moment it was given back until SIGCONT has come.
    let mut is_away = false;
    loop {
        if changed && !is_away && drawn.elapsed() >= FRAME {
            if app.mouse != mouse {
                mouse = app.mouse;
                match mouse {
                    true => execute!(io::stdout(), EnableMouseCapture)?,
                    false => execute!(io::stdout(), DisableMouseCapture)?,
                }
            }
            frame(app, &mut terminal, &mut printer, &written, std::mem::take(&mut anew))?;
            drawn = Instant::now();
            changed = false;
        }
        let wait =
            if changed && !is_away { FRAME.saturating_sub(drawn.elapsed()) } else { POLL * 20 };
        let message = match inbox.recv_timeout(wait) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return Ok(Left::Detached),
        };
        changed = true;
        for effect in update(app, message) {
            match effect {
                Effect::Detach => {
                    return printer.clear(&mut io::stdout()).map(|()| Left::Detached);
                }
                Effect::End(signal) => {
                    // Pictures on a terminal that takes no more are not worth an error.
                    let _ = printer.clear(&mut io::stdout());
                    return Ok(Left::Signalled(signal));
                }
                Effect::Suspend { group } if terminal::can_stop() => {
                    printer.clear(&mut io::stdout())?;
                    terminal::restore(owed);
                    is_away = terminal::stop(group);
                    if !is_away {
                        terminal::come_back()?;
                        (anew, mouse) = (true, false);
                    }
                }
                // As the system does; whoever pressed a key is told.
                Effect::Suspend { group: false } => {}
                Effect::Suspend { group: true } => app.say(NoticeLevel::Info, NO_JOB_CONTROL),
                Effect::ComeBack => {
                    terminal::come_back()?;
                    (is_away, anew, mouse) = (false, true, false);
                }
                Effect::Redraw => anew = true,
                Effect::Ring(words) => bell.ring(&words, &mut io::stdout())?,
                Effect::Export(mut export) => {
                    let size = terminal.size()?;
                    let size = (size.width, size.height);
                    export.screen = Screenshot::take(app, size, export.pane);
                    let _ = effects.send(Effect::Export(export));
                }
                effect => {
                    // A lab thread that is gone has said so on the screen.
                    let _ = effects.send(effect);
                }
            }
        }
    }
}

/// Draws once, in one synchronized update: a terminal that knows them shows it whole.
fn frame(
    app: &mut App,
    terminal: &mut Screen,
    printer: &mut Printer,
    written: &AtomicU64,
    anew: bool,
) -> io::Result<()> {
    queue!(terminal.backend_mut(), BeginSynchronizedUpdate)?;
    if anew {
        printer.clear(terminal.backend_mut())?;
        wipe(terminal)?;
    }
    let mut found = Drawn::default();
    // Tests ask for a defect, to see that it leaves a usable terminal behind.
    if std::env::var_os(PANIC_AT).is_some_and(|at| at == app.output.frames.to_string().as_str()) {
        panic!("{PANIC_AT} asked for this");
    }
    terminal.draw(|frame| found = view(app, frame))?;
    if printer.leaves_traces(app.protocol, &found.placements) {
        wipe(terminal)?;
        terminal.draw(|frame| found = view(app, frame))?;
    }
    printer.show(app.protocol, &found.placements, terminal.backend_mut())?;
    execute!(terminal.backend_mut(), EndSynchronizedUpdate)?;
    app.regions = found.regions;
    let Output { frames, bytes: before, .. } = app.output;
    let bytes = written.load(Ordering::Relaxed);
    app.output = Output { frames: frames + 1, bytes, last_bytes: bytes - before };
    Ok(())
}

type Screen = Terminal<CrosstermBackend<Counted>>;

/// Standard output that knows how much went through.
#[derive(Debug)]
struct Counted {
    out: BufWriter<io::Stdout>,
    bytes: Arc<AtomicU64>,
}

/// One write to the terminal a frame, unless the frame is very large.
const FRAME_BYTES: usize = 1 << 16;

impl Counted {
    fn new(bytes: Arc<AtomicU64>) -> Self {
        Self { out: BufWriter::with_capacity(FRAME_BYTES, io::stdout()), bytes }
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.bytes.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Clears the screen so that the next draw writes every cell.
///
/// Not `Terminal::clear`, which asks the terminal where its cursor is: the input thread would swallow
/// the answer, and the question fails after two seconds. Resizing to the same size clears without it.
fn wipe(terminal: &mut Screen) -> io::Result<()> {
    let size = terminal.size()?;
    terminal.resize(Rect::new(0, 0, size.width, size.height))
}

/// The lab thread: carries out effects and looks for news.
struct EffectRunner {
    link: Box<dyn Link>,
    watched: Option<String>,
    /// Runs whose events are read beside those of the watched one.
    marked: Vec<String>,
    /// What was sent last, so that nothing is drawn when nothing changed.
    runs: Vec<RunSummary>,
    steps: Vec<u64>,
    /// Since the last look at the machine.
    polls: u32,
}

impl EffectRunner {
    fn work(&mut self, messages: &Sender<Message>, orders: &Receiver<Effect>) {
        loop {
            for message in self.news() {
                if messages.send(message).is_err() {
                    return;
                }
            }
            match orders.recv_timeout(POLL) {
                Ok(effect) => {
                    for message in self.carry_out(effect, messages) {
                        if messages.send(message).is_err() {
                            return;
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn news(&mut self) -> Vec<Message> {
        let mut news = Vec::new();
        let runs = self.link.runs();
        if runs != self.runs {
            self.runs.clone_from(&runs);
            news.push(Message::Runs(runs));
        }
        if self.polls == 0 {
            news.push(Message::System(Box::new(self.link.system(self.worker()))));
        }
        self.polls = (self.polls + 1) % POLLS_PER_LOOK;
        for run in self.marked.iter().filter(|run| Some(*run) != self.watched.as_ref()) {
            let events = self.link.events(run);
            if !events.is_empty() {
                news.push(Message::Events { run: run.clone(), events });
            }
        }
        if let Some(run) = self.watched.clone() {
            let events = self.link.events(&run);
            if !events.is_empty() {
                news.push(Message::Events { run: run.clone(), events });
            }
            if let Some(log) = self.link.log(&run) {
                news.push(Message::Log { run: run.clone(), log });
            }
            let steps = self.link.preview_steps(&run);
            if steps != self.steps {
                self.steps.clone_from(&steps);
                news.push(Message::PreviewSteps { run, steps });
            }
        }
        news
    }

    /// The process that works on the run on screen.
    fn worker(&self) -> Option<u32> {
        let run = self.runs.iter().find(|run| Some(&run.id) == self.watched.as_ref())?;
        let status = run.status.as_ref().filter(|_| run.health == Health::Alive)?;
        status.worker.pid_here()
    }

    fn carry_out(&mut self, effect: Effect, messages: &Sender<Message>) -> Vec<Message> {
        let link = &mut self.link;
        let done =
            |result: Result<(), String>, words: String| vec![Message::Done(result.map(|()| words))];
        match effect {
            Effect::Watch(run) => {
                if let Some(old) = self.watched.replace(run.clone())
                    && !self.marked.contains(&old)
                {
                    link.forget(&old);
                }
                // The screen knows nothing of it yet, whatever was read of it as a marked one.
                link.forget(&run);
                self.steps.clear();
                let experiment = link.experiment(&run).map(Box::new);
                vec![Message::Experiment { run, experiment }]
            }
            Effect::Follow(runs) => {
                let gone = self.marked.iter().filter(|run| !runs.contains(run));
                for run in gone.filter(|run| Some(*run) != self.watched.as_ref()) {
                    link.forget(run);
                }
                self.marked = runs;
                Vec::new()
            }
            Effect::LoadPreview { run, step } => {
                let preview = link.preview(&run, step).map(Box::new);
                vec![Message::Preview { run, preview }]
            }
            Effect::LoadCalibration(run) => {
                let calibration = link.calibration(&run).map(|found| found.map(Box::new));
                vec![Message::Calibration { run, calibration }]
            }
            Effect::Export(export) => {
                let work = link.export(*export);
                aside(messages, work, Message::Done)
            }
            Effect::Trace { run, seed, may_compute } => {
                let work = link.trace(&run, seed, may_compute);
                aside(messages, work, move |trace| {
                    let trace = trace.map(Arc::new);
                    Message::Trace { run, seed, trace }
                })
            }
            Effect::Preview { run, request } => {
                let work = link.make_preview(&run, &request);
                aside(messages, work, move |made| Message::Previewed { run, made })
            }
            Effect::Launch { experiment, parent, queued } => {
                vec![Message::Launched(link.launch(&experiment, parent.as_deref(), queued))]
            }
            Effect::Resume(run) => done(link.resume(&run), format!("a new worker for {run}")),
            Effect::Describe { run, about } => {
                done(link.describe(&run, &about), format!("{run}: noted"))
            }
            Effect::Rename { run, to } => {
                let renamed = link.rename(&run, &to);
                vec![Message::Renamed { from: run, renamed }]
            }
            Effect::Delete(run) => done(link.delete(&run), format!("{run} is deleted")),
            Effect::Kill(run) => done(link.kill(&run), format!("killed the worker of {run}")),
            Effect::Send { run, command } => {
                let words = format!("{run}: {}", order(&command));
                done(link.send(&run, Act::Steer { command, take: false }), words)
            }
            Effect::Hold(run) => {
                let words = format!("{run}: you steer it now");
                done(link.send(&run, Act::Hold), words)
            }
            Effect::Release(run) => {
                let words = format!("{run}: control is given back");
                done(link.send(&run, Act::Release), words)
            }
            Effect::Detach
            | Effect::End(_)
            | Effect::Suspend { .. }
            | Effect::ComeBack
            | Effect::Redraw
            | Effect::Ring(_) => Vec::new(),
        }
    }
}

/// What work comes to; a panic in it is a failure as any other, not a screen that waits for ever.
fn caught<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(format!("a defect of mosaic: {}", words.unwrap_or_else(|| "it panicked".to_owned())))
    })
}

/// Seconds of work, which must not hold up the news: its message comes when it is done.
fn aside<T>(
    messages: &Sender<Message>,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
    told: impl FnOnce(Result<T, String>) -> Message + Clone + Send + 'static,
) -> Vec<Message> {
    let (messages, refused) = (messages.clone(), told.clone());
    let begun = thread::Builder::new().name("aside".to_owned()).spawn(move || {
        // Nobody listens when the dashboard has been left.
        let _ = messages.send(told(caught(work)));
    });
    match begun {
        Ok(_) => Vec::new(),
        Err(error) => vec![refused(Err(format!("starting a thread: {error}")))],
    }
}

/// A command as the message line says it.
fn order(command: &crate::runs::command::Command) -> &'static str {
    match command {
        Command::Pause => "pausing after this step",
        Command::Resume => "going on",
        Command::Stop => "writing a checkpoint, then stopping",
        Command::Checkpoint => "writing a checkpoint",
        Command::Sample { .. } => "making a preview",
        Command::PreviewEvery { .. } => "preview cadence changed",
    }
}
