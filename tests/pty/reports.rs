//! A terminal's replies are never read as keys, however late or fragmented they arrive.

use std::time::Duration;

use mosaic_lab::runs::status_json::RunState;

use crate::common::{Lab, wait_for};
use crate::dashboard::{Dashboard, Manner, PLAIN, quiet};

/// Their letters include r (resume), n (launch), q (quit), x, p and digits.
const REPORTS: [&str; 12] = [
    "\x1b]11;rgb:1e1e/1e1e/2e2e\x1b\\",
    "\x1b]10;rgb:ffff/ffff/ffff\x07",
    "\x1b]4;1;rgb:cdcd/0000/0000\x1b\\",
    "\x1bP>|xterm quiet(388) nqr\x1b\\",
    "\x1bP1$r0;1m\x1b\\",
    "\x1bP1+r544e=787465726d\x1b\\",
    "\x1b_Gi=31;OK\x1b\\",
    "\x1b[?62;4;22c\x1b[>1;10;0c",
    "\x1b[24;80R\x1b[1;5R",
    "\x1b[0n\x1b[?997;1n",
    "\x1b[4;600;800t\x1b[6;14;7t",
    "\x1b[?1u\x1b[?2026;2$y\x1b[I\x1b[O",
];

#[test]
fn answers_after_the_start_or_in_the_middle_press_no_key() {
    let lab = Lab::new();
    let run = lab.detach(&["training.steps=1000000", "preview.every=0"]);
    let state = || run.status().map(|status| status.state);
    wait_for("training", || state() == Some(RunState::Training));
    assert!(lab.mosaic(&["stop", &run.id()]).status.success());
    wait_for("the stop", || state() == Some(RunState::Stopped));
    // Half of a reply arrives within the query time, the rest once the dashboard is shown.
    let manner = Manner { background: Some("\x1b]11;rgb:1e1e/1r"), ..Manner::default() };
    let mut dashboard = Dashboard::open(&lab.runs(), manner, (100, 30));
    dashboard.shows("stopped");
    dashboard.press("1e/2e2e\x1b\\\x1b[?62;22c");
    for report in REPORTS {
        dashboard.press(report);
    }
    quiet();
    let before = dashboard.text();
    // The same, byte by byte, while a line is being typed.
    dashboard.press(":abc");
    dashboard.shows("abc");
    let reports = REPORTS.concat();
    for byte in 0..reports.len() {
        dashboard.press(&reports[byte..=byte]);
        std::thread::sleep(Duration::from_millis(8));
    }
    dashboard.press("d");
    dashboard.shows("abcd");
    dashboard.press("\x1b");
    wait_for("the popup gone", || !dashboard.text().contains("abcd"));
    assert_eq!(state(), Some(RunState::Stopped), "{before}");
    dashboard.press("q");
    assert_eq!(dashboard.exit_code(), 0);
    quiet();
    dashboard.check_restored();
    let is_run = |path: &std::path::Path| path.join("run.toml").exists();
    let inside = std::fs::read_dir(lab.runs()).unwrap();
    let runs = inside.filter(|entry| is_run(&entry.as_ref().unwrap().path()));
    assert_eq!(runs.count(), 1, "nothing was launched");
}

/// True if input is left on the terminal after a command has ended, where a shell would read it.
fn typed_after(dashboard: &Dashboard) -> bool {
    use std::os::fd::BorrowedFd;
    let Some(master) = dashboard.master.as_ref().and_then(|master| master.tty_name()) else {
        panic!("the terminal has no name");
    };
    let terminal = std::fs::OpenOptions::new().read(true).open(master).unwrap();
    let terminal: BorrowedFd<'_> = std::os::fd::AsFd::as_fd(&terminal);
    // In canonical mode, an incomplete line cannot be read.
    let mut modes = rustix::termios::tcgetattr(terminal).unwrap();
    modes.local_modes -= rustix::termios::LocalModes::ICANON;
    rustix::termios::tcsetattr(terminal, rustix::termios::OptionalActions::Now, &modes).unwrap();
    rustix::io::ioctl_fionread(terminal).unwrap() > 0
}

#[test]
fn an_answer_that_comes_late_is_not_typed_into_the_shell() {
    let lab = Lab::new();
    std::fs::create_dir(lab.runs()).unwrap();
    let picture = lab.place.path().join("p.png");
    image::RgbImage::from_pixel(2, 2, image::Rgb([200, 30, 30])).save(&picture).unwrap();
    let runs = lab.runs();
    for arguments in [&["show", "p.png"][..], &["doctor"], &["--runs-dir", runs.to_str().unwrap()]]
    {
        let program = [&[env!("CARGO_BIN_EXE_mosaic")][..], arguments].concat();
        let mute = Manner::default();
        let mut command = Dashboard::start(&program, lab.place.path(), mute, (80, 24), &[]);
        wait_for("the question", || command.n(b"\x1b[c") == 1);
        std::thread::sleep(Duration::from_millis(1050));
        if arguments[0] == "--runs-dir" {
            command.shows("help");
            command.press("q");
            wait_for("the main screen", || {
                !command.seen.lock().unwrap().screen.screen().alternate_screen()
            });
        }
        std::thread::sleep(Duration::from_millis(200));
        command.press("\x1b]11;rgb:1e1e/1e1e/2e2e\x1b\\\x1b[?62;22c");
        assert_eq!(command.exit_code(), 0, "{arguments:?}");
        command.check_restored();
        assert!(!typed_after(&command), "{arguments:?}");
        // Replies must not be echoed either: the colour would be visible.
        assert!(!command.text().contains("rgb:"), "{arguments:?}\n{}", command.text());
    }
}

#[test]
fn a_paste_with_escape_sequences_is_still_a_paste() {
    let lab = Lab::new();
    std::fs::create_dir(lab.runs()).unwrap();
    let mut dashboard = Dashboard::open(&lab.runs(), PLAIN, (80, 24));
    dashboard.shows("help");
    dashboard.press(":\x1b[200~ab\x1b[A\x1b]11;rgb:q\x07");
    quiet();
    dashboard.press("cd\r\x1b[201~");
    dashboard.shows("ab[A]11;rgb:qcd");
    dashboard.press("\x1b");
    quiet();
    dashboard.press("q");
    assert_eq!(dashboard.exit_code(), 0);
}
