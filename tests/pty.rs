//! The dashboard on a real pseudo-terminal, before a terminal that answers as a test wants it to.

mod common;

use std::io::{Read, Write};
use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Lab, stderr, wait_for};
use mosaic_lab::lab::liveness::Health;
use mosaic_lab::lab::status::RunState;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// What a terminal answers when it is asked what it can do; nothing: it is mute.
#[derive(Clone, Copy, Default)]
struct Manner {
    kitty: bool,
    attributes: Option<&'static str>,
    background: Option<&'static str>,
    iterm: bool,
    /// Typed before the first answer.
    typed_ahead: &'static str,
}

const PLAIN: Manner = Manner {
    kitty: false,
    attributes: Some("\x1b[?62;22c"),
    background: Some("\x1b]11;rgb:1e1e/1e1e/1e1e\x1b\\"),
    iterm: false,
    typed_ahead: "",
};

/// Everything that came out, and what it looks like.
struct Seen {
    bytes: Vec<u8>,
    screen: vt100::Parser,
}

struct Dashboard {
    child: Box<dyn Child + Send + Sync>,
    /// The reader lets go of the terminal at the next byte.
    letting_go: Arc<AtomicBool>,
    master: Option<Box<dyn MasterPty + Send>>,
    keys: Arc<Mutex<Box<dyn Write + Send>>>,
    seen: Arc<Mutex<Seen>>,
    /// Of the terminal before the dashboard came.
    settings: Option<String>,
}

fn size(columns: u16, rows: u16) -> PtySize {
    PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }
}

fn side(cells: u16) -> NonZero<u16> {
    NonZero::new(cells).unwrap()
}

/// The terminal's modes, in words.
fn settings(master: &dyn MasterPty) -> Option<String> {
    let modes = master.get_termios()?;
    Some(format!("{:?} {:?} {:?}", modes.input_flags, modes.output_flags, modes.local_flags))
}

impl Dashboard {
    fn open(runs: &Path, manner: Manner, (columns, rows): (u16, u16)) -> Self {
        Self::open_with(runs, manner, (columns, rows), &[])
    }

    fn open_with(
        runs: &Path,
        manner: Manner,
        (columns, rows): (u16, u16),
        environment: &[(&str, &str)],
    ) -> Self {
        let pair = native_pty_system().openpty(size(columns, rows)).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_mosaic"));
        command.arg("--runs-dir");
        command.arg(runs);
        command.cwd(runs.parent().unwrap());
        command.env_clear();
        for name in ["PATH", "HOME"] {
            command.env(name, std::env::var_os(name).unwrap_or_default());
        }
        command.env("TERM", "xterm-256color");
        command.env("COLORTERM", "truecolor");
        if manner.iterm {
            command.env("TERM_PROGRAM", "iTerm.app");
        }
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
            let mut n_answered = [0; 3];
            while let Ok(n) = reader.read(&mut chunk) {
                if n == 0 || stopping.load(Ordering::SeqCst) {
                    return;
                }
                let mut seen = shared.lock().unwrap();
                seen.bytes.extend_from_slice(&chunk[..n]);
                seen.screen.process(&chunk[..n]);
                let kitty = manner.kitty.then_some("\x1b_Gi=31;OK\x1b\\");
                let asked: [(&[u8], Option<&str>); 3] = [
                    (b"\x1b_Gi=31", kitty),
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

    fn press(&self, keys: &str) {
        self.keys.lock().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    fn text(&self) -> String {
        self.seen.lock().unwrap().screen.screen().contents()
    }

    /// How often these bytes came out so far.
    fn n(&self, needle: &[u8]) -> usize {
        count(&self.seen.lock().unwrap().bytes, needle)
    }

    fn n_bytes(&self) -> usize {
        self.seen.lock().unwrap().bytes.len()
    }

    fn shows(&self, words: &str) {
        wait_for(&format!("'{words}' on the screen:\n{}", self.text()), || {
            self.text().contains(words)
        });
    }

    fn resize(&self, columns: u16, rows: u16) {
        self.master.as_ref().unwrap().resize(size(columns, rows)).unwrap();
        self.seen.lock().unwrap().screen.screen_mut().set_size(side(rows), side(columns));
    }

    fn exit_code(&mut self) -> u32 {
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

    /// The terminal is as it was: modes, cursor, main screen, mouse.
    fn check_restored(&self) {
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

fn count(bytes: &[u8], needle: &[u8]) -> usize {
    bytes.windows(needle.len()).filter(|window| *window == needle).count()
}

fn quiet() {
    std::thread::sleep(Duration::from_millis(700));
}

/// A number that grows, once it has stopped to.
fn settled(number: impl Fn() -> usize) -> usize {
    loop {
        let before = number();
        std::thread::sleep(Duration::from_secs(2));
        if number() == before {
            return before;
        }
    }
}

const ENDLESS: [&str; 2] = ["training.steps=1000000", "preview.every=0"];

#[test]
fn leaving_restores_the_terminal_whatever_was_open() {
    let lab = Lab::new();
    std::fs::create_dir(lab.runs()).unwrap();
    for keys in ["q", "\x03", "M:\x03"] {
        let mut dashboard = Dashboard::open(&lab.runs(), PLAIN, (80, 24));
        dashboard.shows("help");
        assert!(dashboard.seen.lock().unwrap().screen.screen().alternate_screen());
        dashboard.press(keys);
        assert_eq!(dashboard.exit_code(), 0, "{keys:?}");
        quiet();
        dashboard.check_restored();
    }
}

#[test]
fn what_is_pasted_leaves_nothing_and_launches_nothing() {
    let lab = Lab::new();
    std::fs::create_dir(lab.runs()).unwrap();
    let mut dashboard = Dashboard::open(&lab.runs(), PLAIN, (80, 24));
    dashboard.shows("help");
    assert!(dashboard.seen.lock().unwrap().screen.screen().bracketed_paste());
    dashboard.press("\x1b[200~n\rq\x1b[201~");
    dashboard.shows("pasted text is taken where something is typed");
    assert_eq!(std::fs::read_dir(lab.runs()).unwrap().count(), 0);
    dashboard.press("q");
    assert_eq!(dashboard.exit_code(), 0);
    quiet();
    dashboard.check_restored();
}

#[test]
fn a_panic_restores_the_terminal_and_says_what_happened() {
    let lab = Lab::new();
    std::fs::create_dir(lab.runs()).unwrap();
    let panic = [("MOSAIC_PANIC_AT_FRAME", "1")];
    let mut dashboard = Dashboard::open_with(&lab.runs(), PLAIN, (80, 24), &panic);
    assert_ne!(dashboard.exit_code(), 0);
    quiet();
    dashboard.check_restored();
    assert!(dashboard.text().contains("asked for this"), "{}", dashboard.text());
}

#[test]
fn a_mute_terminal_and_keys_typed_ahead_neither_hang_nor_mislead() {
    let lab = Lab::new();
    std::fs::create_dir(lab.runs()).unwrap();
    let mut dashboard = Dashboard::open(&lab.runs(), Manner::default(), (80, 24));
    dashboard.shows("help");
    dashboard.press("q");
    assert_eq!(dashboard.exit_code(), 0);
    // Half an escape sequence, a key that would leave, and a capital C as a false end of an answer.
    let manner = Manner { typed_ahead: "q\x1b[?62;4\x1b[Cnq", kitty: true, ..PLAIN };
    let mut dashboard = Dashboard::open(&lab.runs(), manner, (80, 24));
    dashboard.shows("help");
    dashboard.press("i");
    dashboard.shows("images: ");
    assert!(!dashboard.text().contains("images: sixel"), "{}", dashboard.text());
    dashboard.press("q");
    assert_eq!(dashboard.exit_code(), 0);
}

#[test]
fn one_of_two_dashboards_steers_until_the_other_takes_over() {
    let lab = Lab::new();
    let run = lab.detach(&ENDLESS);
    let state = || run.status().map(|status| status.state);
    let (id, prefix) = (run.id(), run.id()[..12].to_owned());
    wait_for("training", || state() == Some(RunState::Training));
    let open = |name| {
        let dashboard = Dashboard::open_with(&lab.runs(), PLAIN, (120, 36), &[("USER", name)]);
        dashboard.shows(&prefix);
        dashboard.shows("training");
        dashboard
    };
    let (ana, mut ben) = (open("ana"), open("ben"));
    ana.press("p");
    ana.shows("paused, yours");
    ben.shows("paused, steered");
    ben.shows("ana@pts/");
    ben.press("p");
    ben.shows("T takes control over");
    assert_eq!(state(), Some(RunState::Paused), "what is refused does nothing");
    // Neither may a command, and killing needs no less.
    for command in ["stop", "kill"] {
        let refused = lab.mosaic(&[command, &id]);
        assert!(!refused.status.success());
        let words = stderr(&refused);
        assert!(words.contains("ana@pts/") && words.contains("--force"), "{words}");
    }
    ben.press("T");
    ben.shows("paused, yours");
    ana.shows("took control of");
    ana.shows("ben@pts/");
    ben.press("p");
    ben.shows("training, yours");
    // A holder that hangs is relieved, and one that dies holds nothing.
    let pid = rustix::process::Pid::from_raw(ben.child.process_id().unwrap() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    ana.press("T");
    ana.shows("training, yours");
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    ben.shows("took control of");
    ben.press("T");
    ben.shows("training, yours");
    ana.shows("training, steered");
    ben.child.kill().unwrap();
    ben.child.wait().unwrap();
    ana.shows("training  step");
    ana.press("T");
    ana.shows("training, yours");
    ana.press("T");
    ana.shows("training  step");
    let stopped = lab.mosaic(&["stop", &id]);
    assert!(stopped.status.success(), "{}", stderr(&stopped));
    let log = String::from_utf8(lab.mosaic(&["logs", &id]).stdout).unwrap();
    for words in ["steers", "took control over from ana@pts/", "gave control back"] {
        assert!(log.contains(words), "'{words}' in\n{log}");
    }
}

#[test]
fn a_hang_up_ends_the_dashboard_and_no_run() {
    let lab = Lab::new();
    let run = lab.detach(&ENDLESS);
    wait_for("training", || run.status().is_some_and(|status| status.step > 2));
    let mut dashboard = Dashboard::open(&lab.runs(), PLAIN, (100, 30));
    dashboard.shows(&run.id()[..12]);
    // The terminal is gone when nobody holds its other end any more: not the reader, which waits for a byte.
    dashboard.letting_go.store(true, Ordering::SeqCst);
    dashboard.press("y");
    wait_for("the reader", || Arc::strong_count(&dashboard.seen) == 1);
    *dashboard.keys.lock().unwrap() = Box::new(std::io::sink());
    let started = Instant::now();
    drop(dashboard.master.take());
    dashboard.exit_code();
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    let step = run.status().unwrap().step;
    wait_for("the next steps", || run.status().is_some_and(|status| status.step > step));
    assert_eq!(run.health(), Health::Alive);
    assert!(lab.mosaic(&["stop", &run.id()]).status.success());
}

#[test]
fn a_storm_of_sizes_leaves_the_screen_of_the_last_one() {
    let lab = Lab::new();
    let done = lab.run("glyphs-attention", &[], &["--json"]);
    assert!(done.status.success(), "{}", stderr(&done));
    let dashboard = Dashboard::open(&lab.runs(), PLAIN, (120, 36));
    dashboard.shows("finished");
    let mut columns = 7_u16;
    for _ in 0..300 {
        columns = columns.wrapping_mul(75).wrapping_add(74) % 499 + 1;
        dashboard.resize(columns, columns % 199 + 1);
    }
    dashboard.resize(1, 1);
    dashboard.resize(500, 200);
    dashboard.resize(100, 30);
    // What it should look like now, from one that has seen no storm; the last lines are the machine's and the clock's.
    let calm = Dashboard::open(&lab.runs(), PLAIN, (100, 30));
    calm.shows("leave");
    let upper = |dashboard: &Dashboard| {
        // Spaces at a line's end are written or not, as what stood there before has it.
        dashboard.text().lines().take(27).map(|line| line.trim_end().to_owned()).collect::<Vec<_>>()
    };
    wait_for("the calm screen", || upper(&dashboard) == upper(&calm));
}

#[test]
fn pictures_are_sent_once_a_change_and_taken_away_behind_popups_and_tabs() {
    let lab = Lab::new();
    let done = lab.run("glyphs-attention", &[], &["--json"]);
    assert!(done.status.success(), "{}", stderr(&done));
    let kitty = Manner { kitty: true, ..PLAIN };
    let sixel = Manner { attributes: Some("\x1b[?62;4;22c"), ..PLAIN };
    let iterm = Manner { iterm: true, ..PLAIN };
    const DELETE: &[u8] = b"\x1b_Ga=d,d=A";
    // How a picture begins; continued chunks of kitty's begin otherwise.
    let ways: [(&str, Manner, &[u8]); 3] = [
        ("kitty", kitty, b"\x1b_Ga=T"),
        ("sixel", sixel, b"\x1bP"),
        ("iterm", iterm, b"\x1b]1337;File="),
    ];
    for (name, manner, picture) in ways {
        let mut dashboard = Dashboard::open(&lab.runs(), manner, (100, 30));
        dashboard.shows("finished");
        let before = settled(|| dashboard.n(picture));
        dashboard.press("3");
        dashboard.shows("network");
        let first = settled(|| dashboard.n(picture));
        let shown = first - before;
        assert!(shown > 0, "{name}: no picture:\n{}", dashboard.text());
        // Where pictures are, no text of the tab before is left, to come to light with a popup.
        assert!(!dashboard.text().contains("this run"), "{name}:\n{}", dashboard.text());
        // Nothing changed, nothing is sent again; the header has not moved.
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(dashboard.n(picture), first, "{name}");
        assert!(dashboard.text().starts_with(" mosaic"), "{name} scrolled:\n{}", dashboard.text());
        let n_deleted = dashboard.n(DELETE);
        dashboard.press("?");
        dashboard.shows("any other key closes");
        quiet();
        assert_eq!(dashboard.n(picture), first, "{name}: a picture over a popup");
        assert!(!dashboard.text().contains("this run"), "{name}:\n{}", dashboard.text());
        dashboard.press("\x1b");
        wait_for("the pictures again", || dashboard.n(picture) == first + shown);
        dashboard.press("4");
        dashboard.shows("network.kernels");
        quiet();
        assert_eq!(dashboard.n(picture), first + shown, "{name}: a picture on another tab");
        if name == "kitty" {
            // Behind the popup, and on the change of the tab.
            assert!(dashboard.n(DELETE) >= n_deleted + 2, "{} {n_deleted}", dashboard.n(DELETE));
        }
        let n_deleted = dashboard.n(DELETE);
        dashboard.press("3");
        wait_for("the pictures once more", || dashboard.n(picture) == first + 2 * shown);
        dashboard.press("q");
        assert_eq!(dashboard.exit_code(), 0);
        quiet();
        assert!(name != "kitty" || dashboard.n(DELETE) > n_deleted, "nothing is left behind");
        dashboard.check_restored();
    }
    // Blocks are cells like any others; off shows none.
    let dashboard = Dashboard::open(&lab.runs(), PLAIN, (100, 30));
    dashboard.shows("finished");
    dashboard.press("3");
    dashboard.shows("▀");
    dashboard.press("i");
    dashboard.shows("images: off");
    wait_for("no blocks", || !dashboard.text().contains('▀'));
    assert_eq!(dashboard.n(b"\x1b_Ga=T") + dashboard.n(b"\x1b]1337") + dashboard.n(b"\x1bP"), 0);
}

#[test]
fn little_is_written_when_nothing_happens_and_a_tab_is_one_small_frame() {
    let lab = Lab::new();
    let done = lab.run("glyphs-attention", &[], &["--json"]);
    assert!(done.status.success(), "{}", stderr(&done));
    let dashboard = Dashboard::open(&lab.runs(), PLAIN, (200, 60));
    dashboard.shows("finished");
    std::thread::sleep(Duration::from_secs(3));
    let before = dashboard.n_bytes();
    std::thread::sleep(Duration::from_secs(6));
    let idle = dashboard.n_bytes() - before;
    let before = dashboard.n_bytes();
    dashboard.press("4");
    dashboard.shows("network.kernels");
    quiet();
    let tab = dashboard.n_bytes() - before;
    println!(
        "bytes to the terminal: start {before}, idle {} a second, settings tab {tab}",
        idle / 6
    );
    assert!(idle < 6 * 1024 && tab < 64 << 10, "idle {idle} bytes in 6 s, tab {tab}");
}
