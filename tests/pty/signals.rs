//! Signals from other processes: the terminal is never left in the dashboard's modes.

use rustix::process::{Pid, Signal, kill_process};

use crate::common::{Lab, wait_for};
use crate::dashboard::{Dashboard, Manner, PLAIN, quiet};

fn pid(dashboard: &Dashboard) -> Pid {
    Pid::from_raw(dashboard.child.process_id().unwrap() as i32).unwrap()
}

/// Starts the dashboard as the only job of a shell with job control that reports its state.
fn as_a_job(lab: &Lab) -> (Dashboard, Pid) {
    std::fs::create_dir(lab.runs()).unwrap();
    let script = "\"$@\"; echo stopped here; read x; fg; echo \"left with $?\"";
    let runs = lab.runs();
    let mosaic = [env!("CARGO_BIN_EXE_mosaic"), "--runs-dir", runs.to_str().unwrap()];
    let command = [&["bash", "-mc", script, "sh"][..], &mosaic].concat();
    let dashboard = Dashboard::start(&command, lab.place.path(), PLAIN, (80, 24), &[]);
    dashboard.shows("help");
    let shell = dashboard.child.process_id().unwrap();
    let children = format!("/proc/{shell}/task/{shell}/children");
    let child = std::fs::read_to_string(children).unwrap().trim().parse().unwrap();
    (dashboard, Pid::from_raw(child).unwrap())
}

#[test]
fn a_signal_that_ends_the_dashboard_restores_the_terminal() {
    let lab = Lab::new();
    std::fs::create_dir(lab.runs()).unwrap();
    for (signal, keys) in [(Signal::TERM, ""), (Signal::INT, "M?"), (Signal::QUIT, "n")] {
        let mut dashboard = Dashboard::open(&lab.runs(), PLAIN, (80, 24));
        dashboard.shows("help");
        dashboard.press(keys);
        quiet();
        kill_process(pid(&dashboard), signal).unwrap();
        assert_eq!(dashboard.exit_code(), 128 + signal.as_raw() as u32);
        quiet();
        dashboard.check_restored();
    }
}

#[test]
fn a_signal_during_the_questions_at_the_start_restores_the_terminal() {
    let lab = Lab::new();
    std::fs::create_dir(lab.runs()).unwrap();
    let mut dashboard = Dashboard::open(&lab.runs(), Manner::default(), (80, 24));
    wait_for("the questions", || dashboard.n(b"\x1b[c") > 0);
    kill_process(pid(&dashboard), Signal::TERM).unwrap();
    assert_eq!(dashboard.exit_code(), 143);
    quiet();
    dashboard.check_restored();
    assert_eq!(dashboard.n(b"\x1b[?1049h"), 0);
}

#[test]
fn a_stopped_dashboard_gives_the_terminal_back_and_takes_it_again() {
    for key in ["", "\x1a"] {
        let lab = Lab::new();
        let (mut dashboard, child) = as_a_job(&lab);
        // With the mouse enabled and a popup open.
        dashboard.press("M?");
        dashboard.shows("any other key closes");
        match key {
            "" => kill_process(child, Signal::TSTP).unwrap(),
            key => dashboard.press(key),
        }
        dashboard.shows("stopped here");
        dashboard.check_restored();
        dashboard.resize(100, 30);
        dashboard.press("\n");
        dashboard.shows("any other key closes");
        {
            let seen = dashboard.seen.lock().unwrap();
            let screen = seen.screen.screen();
            assert!(screen.alternate_screen() && screen.bracketed_paste());
            assert_ne!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None);
        }
        // Another process may stop and continue it too, and change the terminal's modes meanwhile.
        kill_process(child, Signal::CONT).unwrap();
        dashboard.press("x");
        wait_for("the help gone", || !dashboard.text().contains("any other key closes"));
        dashboard.press("q");
        dashboard.shows("left with 0");
        dashboard.exit_code();
        quiet();
        dashboard.check_restored();
    }
}

#[test]
fn a_dashboard_that_nobody_could_continue_is_not_stopped() {
    let lab = Lab::new();
    std::fs::create_dir(lab.runs()).unwrap();
    let mut dashboard = Dashboard::open(&lab.runs(), PLAIN, (80, 24));
    dashboard.shows("help");
    kill_process(pid(&dashboard), Signal::TSTP).unwrap();
    dashboard.press("\x1a");
    dashboard.shows("no job-control shell");
    dashboard.press("q");
    assert_eq!(dashboard.exit_code(), 0);
    quiet();
    dashboard.check_restored();
}
