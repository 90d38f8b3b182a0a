//! The real binary on a pseudo-terminal, and an emulation of the terminal.

use std::io::{Read, Write};
use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::common::wait_for;

/// The terminal's replies to capability queries; by default it does not reply at all.
#[derive(Clone, Copy, Default)]
pub struct Manner {
    pub kitty: bool,
    pub attributes: Option<&'static str>,
    pub background: Option<&'static str>,
    pub iterm: bool,
    /// Typed before the first reply.
    pub typed_ahead: &'static str,
}

pub const PLAIN: Manner = Manner {
    kitty: false,
    attributes: Some("\x1b[?62;22c"),
    background: Some("\x1b]11;rgb:1e1e/1e1e/1e1e\x1b\\"),
    iterm: false,
    typed_ahead: "",
};

/// All output so far, and the resulting screen.
pub struct Seen {
    pub bytes: Vec<u8>,
    pub screen: vt100::Parser,
}

pub struct Dashboard {
    pub child: Box<dyn Child + Send + Sync>,
    /// Tells the reader to close the terminal at the next byte.
    pub letting_go: Arc<AtomicBool>,
    pub master: Option<Box<dyn MasterPty + Send>>,
    pub keys: Arc<Mutex<Box<dyn Write + Send>>>,
    pub seen: Arc<Mutex<Seen>>,
    /// The terminal's modes before the dashboard started.
    settings: Option<String>,
}

fn size(columns: u16, rows: u16) -> PtySize {
    PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }
}

fn side(cells: u16) -> NonZero<u16> {
    NonZero::new(cells).unwrap()
}

/// The terminal's modes as text.
fn settings(master: &dyn MasterPty) -> Option<String> {
    let modes = master.get_termios()?;
    Some(format!("{:?} {:?} {:?}", modes.input_flags, modes.output_flags, modes.local_flags))
}

impl Dashboard {
    pub fn open(runs: &Path, manner: Manner, (columns, rows): (u16, u16)) -> Self {
        Self::open_with(runs, manner, (columns, rows), &[])
    }

    pub fn open_with(
        runs: &Path,
        manner: Manner,
        (columns, rows): (u16, u16),
        environment: &[(&str, &str)],
    ) -> Self {
        let runs_dir = runs.to_str().unwrap();
        let command = [env!("CARGO_BIN_EXE_mosaic"), "--runs-dir", runs_dir];
        Self::start(&command, runs.parent().unwrap(), manner, (columns, rows), environment)
    }

    /// Starts any program in a directory.
    pub fn start(
        program: &[&str],
        place: &Path,
        manner: Manner,
        (columns, rows): (u16, u16),
        environment: &[(&str, &str)],
    ) -> Self {
        let pair = native_pty_system().openpty(size(columns, rows)).unwrap();
        let mut command = CommandBuilder::new(program[0]);
        command.args(&program[1..]);
        command.cwd(place);
        command.env_clear();
        for name in ["PATH", "HOME"] {
            command.env(name, std::env::var_os(name).unwrap_or_default());
        }
        command.env("TERM", "xterm-256color");
        command.env("COLORTERM", "truecolor");
        command.env("LANG", "C.UTF-8");
        environment.iter().for_each(|(name, value)| command.env(name, value));
        let settings = settings(&*pair.master);
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let keys = Arc::new(Mutex::new(pair.master.take_writer().unwrap()));
        let screen = vt100::Parser::new(side(rows), side(columns), 0);
        let seen = Arc::new(Mutex::new(Seen { bytes: Vec::new(), screen }));
        let mut reader = pair.master.try_clone_reader().unwrap();
        let letting_go = Arc::new(AtomicBool::new(false));
        let (shared, answers, stopping) = (seen.clone(), keys.clone(), letting_go.clone());
        std::thread::spawn(move || {
            let mut chunk = [0; 65536];
            let mut n_answered = [0; 4];
            while let Ok(n) = reader.read(&mut chunk) {
                if n == 0 || stopping.load(Ordering::SeqCst) {
                    return;
                }
                let mut seen = shared.lock().unwrap();
                seen.bytes.extend_from_slice(&chunk[..n]);
                seen.screen.process(&chunk[..n]);
                let kitty = manner.kitty.then_some("\x1b_Gi=31;OK\x1b\\");
                let version = manner.iterm.then_some("\x1bP>|iTerm2 3.5.4\x1b\\");
                let asked: [(&[u8], Option<&str>); 4] = [
                    (b"\x1b_Gi=31", kitty),
                    (b"\x1b[>0q", version),
                    (b"\x1b]11;?", manner.background),
                    (b"\x1b[c", manner.attributes),
                ];
                for (at, (question, answer)) in asked.into_iter().enumerate() {
                    let n_asked = count(&seen.bytes, question);
                    while n_answered[at] < n_asked {
                        let mut out = answers.lock().unwrap();
                        if n_answered.iter().sum::<usize>() == 0 {
                            out.write_all(manner.typed_ahead.as_bytes()).unwrap();
                        }
                        n_answered[at] += 1;
                        out.write_all(answer.unwrap_or_default().as_bytes()).unwrap();
                    }
                }
            }
        });
        Self { child, letting_go, master: Some(pair.master), keys, seen, settings }
    }

    pub fn press(&self, keys: &str) {
        self.keys.lock().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    pub fn text(&self) -> String {
        self.seen.lock().unwrap().screen.screen().contents()
    }

    /// The number of occurrences of these bytes in the output so far.
    pub fn n(&self, needle: &[u8]) -> usize {
        count(&self.seen.lock().unwrap().bytes, needle)
    }

    pub fn n_bytes(&self) -> usize {
        self.seen.lock().unwrap().bytes.len()
    }

    pub fn shows(&self, words: &str) {
        wait_for(&format!("'{words}' on the screen:\n{}", self.text()), || {
            self.text().contains(words)
        });
    }

    pub fn resize(&self, columns: u16, rows: u16) {
        self.master.as_ref().unwrap().resize(size(columns, rows)).unwrap();
        self.seen.lock().unwrap().screen.screen_mut().set_size(side(rows), side(columns));
    }

    pub fn exit_code(&mut self) -> u32 {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.exit_code();
            }
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "it does not end:\n{}",
                self.text()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Checks that the terminal was restored: modes, cursor, main screen, mouse.
    pub fn check_restored(&self) {
        assert_eq!(settings(&**self.master.as_ref().unwrap()), self.settings);
        let seen = self.seen.lock().unwrap();
        let screen = seen.screen.screen();
        assert!(!screen.alternate_screen() && !screen.hide_cursor());
        assert!(!screen.bracketed_paste());
        assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None);
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn count(bytes: &[u8], needle: &[u8]) -> usize {
    bytes.windows(needle.len()).filter(|window| *window == needle).count()
}

pub fn quiet() {
    std::thread::sleep(Duration::from_millis(700));
}
