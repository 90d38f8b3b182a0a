//! The dashboard on a real pseudo-terminal, with a terminal whose replies the test chooses.

#[path = "../common/mod.rs"]
mod common;
mod dashboard;
mod reports;
mod signals;
mod words;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::{Lab, stderr, wait_for};
use dashboard::{Dashboard, Manner, PLAIN, quiet};
use mosaic_lab::runs::alive_silent_or_lost::Health;
use mosaic_lab::runs::status_json::RunState;

/// Waits until a growing number stays constant, and returns it.
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
    dashboard.shows("paste works only in text fields");
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
    // Half an escape sequence, a key that would quit, and a capital C as a false end of a reply.
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
    let id = run.id();
    // The end of its name is always shown.
    let end = id[id.len() - 6..].to_owned();
    wait_for("training", || state() == Some(RunState::Training));
    let open = |name| {
        let dashboard = Dashboard::open_with(&lab.runs(), PLAIN, (120, 36), &[("USER", name)]);
        dashboard.shows(&end);
        dashboard.shows("training");
        dashboard
    };
    // In the first line, the steps follow at once if nobody has control.
    let is_free = |dashboard: &Dashboard| {
        let has_no_holder =
            || dashboard.text().lines().next().is_some_and(|head| head.contains("training  "));
        wait_for("a run that nobody steers", has_no_holder);
    };
    let (ana, mut ben) = (open("ana"), open("ben"));
    ana.press("p");
    ana.shows("paused, yours");
    ben.shows("paused, steered");
    ben.shows("ana@pts/");
    ben.press("p");
    ben.shows("T takes it");
    assert_eq!(state(), Some(RunState::Paused), "what is refused does nothing");
    // A command may not either, and killing needs the same permission.
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
    // Control can be taken from a holder that hangs, and one that dies no longer counts.
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
    is_free(&ana);
    ana.press("T");
    ana.shows("training, yours");
    ana.press("T");
    is_free(&ana);
    let stopped = lab.mosaic(&["stop", &id]);
    assert!(stopped.status.success(), "{}", stderr(&stopped));
    let log = String::from_utf8(lab.mosaic(&["logs", &id]).stdout).unwrap();
    for words in ["has control", "took control from ana@pts/", "gave up control"] {
        assert!(log.contains(words), "'{words}' in\n{log}");
    }
}

#[test]
fn a_hang_up_ends_the_dashboard_and_no_run() {
    let lab = Lab::new();
    let run = lab.detach(&ENDLESS);
    wait_for("training", || run.status().is_some_and(|status| status.step > 2));
    let mut dashboard = Dashboard::open(&lab.runs(), PLAIN, (100, 30));
    let id = run.id();
    dashboard.shows(&id[id.len() - 6..]);
    // A terminal is gone once its other end is closed everywhere, including the reader, which waits for a byte.
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
    // The expected screen, from a dashboard without resizes; the last lines, which show load and time, are left
    // out.
    let calm = Dashboard::open(&lab.runs(), PLAIN, (100, 30));
    calm.shows("leave");
    let upper = |dashboard: &Dashboard| {
        // Trailing spaces are written or not, depending on the previous content.
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
    // The start of a picture; continuation chunks of kitty start differently.
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
        // Behind pictures, no text of the previous tab remains that a popup could uncover.
        assert!(!dashboard.text().contains("this run"), "{name}:\n{}", dashboard.text());
        // Without a change nothing is sent again, and the header stays in place.
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
        dashboard.shows("dataset.kind");
        quiet();
        assert_eq!(dashboard.n(picture), first + shown, "{name}: a picture on another tab");
        if name == "kitty" {
            // Pictures are deleted behind the popup, and on the change of tabs.
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
    // Half blocks are ordinary cells; with 'off' there are none.
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
    dashboard.shows("dataset.kind");
    quiet();
    let tab = dashboard.n_bytes() - before;
    println!(
        "bytes to the terminal: start {before}, idle {} a second, settings tab {tab}",
        idle / 6
    );
    assert!(idle < 6 * 1024 && tab < 64 << 10, "idle {idle} bytes in 6 s, tab {tab}");
}
