//! Owns the terminal: feeds messages to `update`, draws, and carries out effects of the terminal. Effects on runs go to
//! the lab thread ([`super::carry_out_effects_thread`]).
//!
//! Frames are drawn on change, at most thirty times a second.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};
use std::{panic, thread};

use ratatui::Terminal;
use ratatui::crossterm::event::{DisableMouseCapture, EnableMouseCapture};
use ratatui::crossterm::terminal::{BeginSynchronizedUpdate, EndSynchronizedUpdate};
use ratatui::crossterm::{execute, queue};
use ratatui::layout::Rect;
use ratatui::prelude::CrosstermBackend;

use super::carry_out_effects_thread::{self, POLL};
use super::input::decoder::Decoder;
use super::input::reader::{self, PendingAnswer};
use super::messages_and_effects::{Effect, Message, RunEffect};
use super::notifications::Bell;
use super::pictures::print_dashboard_pictures::Printer;
use super::screen_layout::{Drawn, view};
use super::screenshot::capture;
use super::state::terminal_display::Output;
use super::state::{App, Notice};
use super::terminal::{self, Raw};
use super::update::handle_messages::update;
use crate::hardware::device_request::DeviceRequest;
use crate::runs::runs_dir::RunsDir;

/// The number of a frame at which to panic, for tests.
const PANIC_AT: &str = "MOSAIC_PANIC_AT_FRAME";
/// The notice on Ctrl-Z if the process cannot be stopped.
const NO_JOB_CONTROL: &str = "cannot suspend: no job-control shell started this dashboard; q quits";
/// Shortest time between two frames.
const FRAME: Duration = Duration::from_millis(33);

/// How the dashboard was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    Detached,
    /// By a signal of this number.
    Signalled(u8),
}

/// Shows the dashboard until the user leaves or a signal ends it. `runs` are shown, and launched on
/// `device`; `decoder` has read what came from the terminal so far.
/// The terminal is restored on every path.
///
/// # Errors
///
/// If the terminal cannot be written to, or a thread cannot be started.
pub fn run(
    app: &mut App,
    (runs, device): (RunsDir, DeviceRequest),
    bell: Bell,
    mut raw: Raw,
    decoder: Decoder,
) -> anyhow::Result<Left> {
    let (messages, inbox) = mpsc::channel();
    let (orders, received) = mpsc::channel();
    if let Some(open) = &app.open_run {
        orders.send(Effect::OnRun(open.id.clone(), RunEffect::Open))?;
    }
    raw.send_signals(messages.clone())?;
    let pending_answer = reader::spawn(decoder, messages.clone())?;
    restore_on_panic(pending_answer.clone());
    let left = terminal::show_screen()
        .and_then(|()| {
            carry_out_effects_thread::spawn(
                messages,
                received,
                runs,
                device,
                app.experiments.clone(),
            )
        })
        .and_then(|()| Shell::new(app, orders, bell, pending_answer.clone())?.serve(&inbox));
    terminal::restore(&pending_answer);
    Ok(left?)
}

/// A panic of the main thread restores the terminal before its message; in other threads it is caught
/// and shown on the screen, which must not be torn down under the dashboard.
fn restore_on_panic(pending_answer: PendingAnswer) {
    let main = thread::current().id();
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if thread::current().id() == main {
            terminal::restore(&pending_answer);
            usual(info);
        }
    }));
}

type Screen = Terminal<CrosstermBackend<Counted>>;

/// The main loop's state.
struct Shell<'a> {
    app: &'a mut App,
    orders: Sender<Effect>,
    bell: Bell,
    pending_answer: PendingAnswer,
    terminal: Screen,
    printer: Printer,
    /// Bytes written to the terminal.
    written: Arc<AtomicU64>,
    /// When the last frame was drawn.
    drawn: Instant,
    /// Whether the state may have changed since the last frame.
    changed: bool,
    /// Whether the next frame draws every cell: the terminal's content is unknown.
    anew: bool,
    /// Whether the terminal sends mouse events.
    mouse: bool,
    /// Whether another program has the terminal: from a stop until SIGCONT.
    is_away: bool,
}

impl<'a> Shell<'a> {
    fn new(
        app: &'a mut App,
        orders: Sender<Effect>,
        bell: Bell,
        pending_answer: PendingAnswer,
    ) -> io::Result<Self> {
        let written = Arc::new(AtomicU64::new(0));
        let out = BufWriter::with_capacity(FRAME_BYTES, io::stdout());
        let out = Counted { out, bytes: written.clone() };
        let mut terminal = Terminal::new(CrosstermBackend::new(out))?;
        wipe(&mut terminal)?;
        Ok(Self {
            printer: Printer::new(app.display.cell_pixels),
            app,
            orders,
            bell,
            pending_answer,
            terminal,
            written,
            drawn: Instant::now() - FRAME,
            changed: true,
            anew: false,
            mouse: false,
            is_away: false,
        })
    }

    /// Draws and handles messages until the dashboard is left.
    fn serve(mut self, inbox: &Receiver<Message>) -> io::Result<Left> {
        loop {
            let is_due = self.changed && !self.is_away;
            if is_due && self.drawn.elapsed() >= FRAME {
                self.set_mouse_capture()?;
                self.frame()?;
                self.drawn = Instant::now();
                self.changed = false;
            }
            let is_due = self.changed && !self.is_away;
            let wait = if is_due { FRAME.saturating_sub(self.drawn.elapsed()) } else { POLL * 20 };
            let message = match inbox.recv_timeout(wait) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return Ok(Left::Detached),
            };
            self.changed = true;
            for effect in update(self.app, message) {
                if let Some(left) = self.carry_out(effect)? {
                    return Ok(left);
                }
            }
        }
    }

    /// Carries out an effect of the terminal, or passes it to the lab thread. Returns how the dashboard is left, if it is.
    fn carry_out(&mut self, effect: Effect) -> io::Result<Option<Left>> {
        match effect {
            Effect::Detach => {
                self.printer.clear(&mut io::stdout())?;
                return Ok(Some(Left::Detached));
            }
            Effect::End(signal) => {
                // Pictures on a terminal that takes no more are not worth an error.
                let _ = self.printer.clear(&mut io::stdout());
                return Ok(Some(Left::Signalled(signal)));
            }
            Effect::Suspend { group } => self.suspend(group)?,
            Effect::ComeBack => self.come_back()?,
            Effect::Redraw => self.anew = true,
            Effect::Ring(words) => self.bell.ring(&words, &mut io::stdout())?,
            Effect::Export(mut export) => {
                let size = self.terminal.size()?;
                export.screen = capture(self.app, (size.width, size.height), export.pane);
                let _ = self.orders.send(Effect::Export(export));
            }
            effect => {
                // A lab thread that has ended has shown a notice.
                let _ = self.orders.send(effect);
            }
        }
        Ok(None)
    }

    /// Restores the terminal and stops this process until SIGCONT.
    fn suspend(&mut self, group: bool) -> io::Result<()> {
        if !terminal::can_stop() {
            // The system ignores SIGTSTP too; a user who pressed a key gets an answer.
            if group {
                self.app.notify(Notice::info(NO_JOB_CONTROL));
            }
            return Ok(());
        }
        self.printer.clear(&mut io::stdout())?;
        terminal::restore(&self.pending_answer);
        self.is_away = terminal::stop(group);
        if !self.is_away {
            self.come_back()?;
        }
        Ok(())
    }

    fn come_back(&mut self) -> io::Result<()> {
        terminal::come_back()?;
        (self.is_away, self.anew, self.mouse) = (false, true, false);
        Ok(())
    }

    fn set_mouse_capture(&mut self) -> io::Result<()> {
        if self.app.display.mouse == self.mouse {
            return Ok(());
        }
        self.mouse = self.app.display.mouse;
        match self.mouse {
            true => execute!(io::stdout(), EnableMouseCapture),
            false => execute!(io::stdout(), DisableMouseCapture),
        }
    }

    /// Draws once, in one synchronized update, which terminals that support it show at once.
    fn frame(&mut self) -> io::Result<()> {
        let Self { app, terminal, printer, .. } = self;
        queue!(terminal.backend_mut(), BeginSynchronizedUpdate)?;
        if std::mem::take(&mut self.anew) {
            printer.clear(terminal.backend_mut())?;
            wipe(terminal)?;
        }
        let Output { frames, bytes: before, .. } = app.display.output;
        // Tests check that a defect leaves a usable terminal behind.
        if std::env::var_os(PANIC_AT).is_some_and(|at| at == frames.to_string().as_str()) {
            panic!("{PANIC_AT} asked for this");
        }
        let mut found = Drawn::default();
        terminal.draw(|frame| found = view(app, frame))?;
        if printer.leaves_traces(app.display.protocol, &found.placements) {
            wipe(terminal)?;
            terminal.draw(|frame| found = view(app, frame))?;
        }
        printer.show(app.display.protocol, &found.placements, terminal.backend_mut())?;
        execute!(terminal.backend_mut(), EndSynchronizedUpdate)?;
        app.screen.regions = found.regions;
        let bytes = self.written.load(Ordering::Relaxed);
        app.display.output = Output { frames: frames + 1, bytes, last_bytes: bytes - before };
        Ok(())
    }
}

/// Standard output that counts its bytes.
#[derive(Debug)]
struct Counted {
    out: BufWriter<io::Stdout>,
    bytes: Arc<AtomicU64>,
}

/// Size of the buffer: one write to the terminal per frame, unless a frame is very large.
const FRAME_BYTES: usize = 1 << 16;

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
