//! Terminals that cannot show the dashboard get text instead, and no external text reaches a terminal
//! unescaped.

use std::fs;
use std::time::Duration;

use serde_json::json;

use crate::common::Lab;
use crate::dashboard::{Dashboard, Manner, PLAIN};

const EVIL: &str = "x\x1b]0;pwned\x07\rforged\u{9b}31m\u{202e}\x7f";

/// Environment variables.
type Variables<'a> = &'a [(&'a str, &'a str)];

/// Runs a command on a terminal that replies to DA1.
fn command(lab: &Lab, arguments: &[&str], size: (u16, u16), set: Variables) -> Dashboard {
    let runs = lab.runs();
    let program = [env!("CARGO_BIN_EXE_mosaic"), "--runs-dir", runs.to_str().unwrap()];
    let program = [&program[..], arguments].concat();
    Dashboard::start(&program, lab.place.path(), PLAIN, size, set)
}

fn output(mut dashboard: Dashboard) -> (u32, String) {
    let code = dashboard.exit_code();
    // The reader may not have received the last output yet.
    std::thread::sleep(Duration::from_millis(100));
    dashboard.check_restored();
    let bytes = dashboard.seen.lock().unwrap().bytes.clone();
    (code, String::from_utf8(bytes).unwrap())
}

#[test]
fn a_terminal_that_cannot_show_the_dashboard_gets_words() {
    let lab = Lab::new();
    fs::create_dir(lab.runs()).unwrap();
    let cases: [(Variables, (u16, u16), &str); 11] = [
        (&[("TERM", "unknown")], (80, 24), "'unknown'"),
        (&[("TERM", "emacs")], (80, 24), "'emacs'"),
        (&[("TERM", "network")], (80, 24), "'network'"),
        (&[("TERM", "dumb-emacs-ansi")], (80, 24), "'dumb-emacs-ansi'"),
        (&[("TERM", "vt52")], (80, 24), "'vt52'"),
        (&[("TERM", "dumb")], (80, 24), "'dumb'"),
        (&[("TERM", "")], (80, 24), "$TERM is not set"),
        (&[("LANG", "C")], (80, 24), "LANG='C'"),
        (&[("LC_ALL", "POSIX")], (80, 24), "LC_ALL='POSIX'"),
        (&[("LC_CTYPE", "de_DE.ISO-8859-1")], (80, 24), "ISO-8859-1"),
        (&[], (1, 1), "1x1"),
    ];
    for (set, size, reason) in cases {
        for arguments in [&[][..], &["attach"]] {
            let (code, text) = output(command(&lab, arguments, size, set));
            assert_eq!(code, 2, "{set:?} {text}");
            assert!(text.contains(reason) && text.contains("mosaic ls"), "{set:?} {text}");
            assert!(!text.contains('\x1b') && text.is_ascii(), "{set:?} {text}");
        }
        let (_, text) = output(command(&lab, &["doctor"], size, set));
        assert!(text.contains("fair") && text.contains(reason), "{set:?} {text}");
        assert!(!text.contains('\x1b'), "{set:?} {text:?}");
        if !set.is_empty() {
            for arguments in [&["--help"][..], &["--no-such"]] {
                let (_, text) = output(command(&lab, arguments, size, set));
                assert!(!text.contains('\x1b'), "{set:?} {text:?}");
            }
        }
    }
}

#[test]
fn pictures_are_only_shown_where_the_terminal_says_so() {
    let lab = Lab::new();
    fs::create_dir(lab.runs()).unwrap();
    let picture = lab.place.path().join("p.png");
    image::RgbImage::from_pixel(2, 2, image::Rgb([200, 30, 30])).save(&picture).unwrap();
    let sixel = Manner { attributes: Some("\x1b[?62;4c"), ..PLAIN };
    let iterm = Manner { iterm: true, ..PLAIN };
    let outer = [("TERM_PROGRAM", "WezTerm"), ("LC_TERMINAL", "iTerm2"), ("KITTY_WINDOW_ID", "1")];
    for (inside, manner, begins) in [
        (("ZELLIJ", "0"), sixel, "\x1bP"),
        (("ZELLIJ", "0"), PLAIN, "▀"),
        (("NVIM", "/run/nvim.0"), PLAIN, "▀"),
        (("VIM_TERMINAL", "901"), PLAIN, "▀"),
        (("INSIDE_EMACS", "29.1,vterm"), PLAIN, "▀"),
        (("TERM", "dvtm-256color"), PLAIN, "▀"),
        (("A_STRANGER", "1"), PLAIN, "▀"),
        (("A_STRANGER", "1"), iterm, "\x1b]1337;File="),
    ] {
        let set = [&outer[..], &[inside]].concat();
        let program = [env!("CARGO_BIN_EXE_mosaic"), "show", "p.png", "--width", "8"];
        let shown = Dashboard::start(&program, lab.place.path(), manner, (80, 24), &set);
        let (code, text) = output(shown);
        assert_eq!(code, 0, "{inside:?} {text}");
        assert!(text.contains(begins), "{inside:?} {text:?}");
        for other in ["\x1b]1337;File=", "\x1b_Ga=T", "\x1bP"] {
            assert_eq!(text.contains(other), other == begins, "{inside:?} {text:?}");
        }
    }
    // Block characters are not ASCII.
    let program = [env!("CARGO_BIN_EXE_mosaic"), "show", "p.png"];
    let shown = Dashboard::start(&program, lab.place.path(), PLAIN, (80, 24), &[("LC_ALL", "C")]);
    let (code, text) = output(shown);
    assert!(code == 1 && text.contains("UTF-8") && text.is_ascii(), "{text}");
    assert!(!text.contains('\x1b'), "{text:?}");
}

#[test]
fn nothing_from_files_or_arguments_reaches_a_terminal_raw() {
    let lab = Lab::new();
    let run = lab.runs().join("a-000001");
    fs::create_dir_all(&run).unwrap();
    let write = |name: &str, text: String| fs::write(run.join(name), text).unwrap();
    write(
        "status.json",
        json!({
            "v": 1, "version": "0", "state": "failed", "step": 1, "steps": 2,
            "worker": {"pid": 1, "start_ticks": 1, "boot_id": "x"}, "heartbeat_ms": 1,
            "steps_per_s": 0.0, "eta_s": null, "device": "cpu", "loss": null, "message": EVIL
        })
        .to_string(),
    );
    write("about.json", json!({"v": 1, "note": EVIL, "tags": [EVIL]}).to_string());
    write("worker.log", format!("{EVIL}\tkept\n"));
    let body = json!({"kind": "notice", "level": "info", "text": EVIL});
    let event = json!({"v": 1, "time_ms": 1, "step": 1, "body": body});
    write("events.jsonl", format!("{event}\n"));
    let description = serde_json::to_string(&EVIL.replace('\u{7f}', "")).unwrap();
    let lab_file =
        format!("[experiment.e]\ndescription = {description}\nnetwork.attention = \"none\"\n");
    fs::write(lab.place.path().join("lab.toml"), lab_file).unwrap();
    fs::write(lab.place.path().join("bad.toml"), format!("[lab]\n\"{}\" = 1\n", "k\u{9b}\u{202e}"))
        .unwrap();
    fs::create_dir(lab.place.path().join("d\x1b]0;pwned\x07")).unwrap();
    for arguments in [
        &["ls"][..],
        &["ls", "--json"],
        &["logs", "a-000001"],
        &["logs", "a-000001", "--json"],
        &["logs", "a-000001", "--worker"],
        &["note", "a-000001"],
        &["experiments"],
        &["experiments", "e"],
        &["experiments", "--json"],
        &["experiments", EVIL],
        &["data", "show", "d\x1b]0;pwned\x07"],
        &["show", EVIL],
        &["run", "e", "--set", EVIL],
        &["--lab", "bad.toml", "experiments"],
        &["--lab", EVIL, "ls"],
        &[EVIL],
        &["report", "a-000001"],
        &["show", "a", "b\x1b]0;pwned\x07.png"],
        &["run", "e", "--device", "\x1b]0;x\x07"],
        &["bench", "train", "\x1b]0;x\x07"],
        &["completions", "\x1b]0;x\x07"],
        &["resume", "a", "\x1b]0;x\x07"],
    ] {
        for set in [&[][..], &[("LC_ALL", "C")]] {
            let (_, text) = output(command(&lab, arguments, (200, 50), set));
            // Removes the carriage returns that the terminal adds before line feeds.
            let text = text.replace("\r\n", "\n");
            let is_raw = |c: char| (c.is_control() && c != '\n' && c != '\t') || c == '\u{202e}';
            assert!(!text.contains(is_raw), "{arguments:?} {set:?}: {text:?}");
            assert!(set.is_empty() || text.is_ascii(), "{arguments:?}: {text:?}");
        }
    }
    // A line feed in an argument must not forge a line.
    let (_, text) = output(command(&lab, &["show", "a", "b\nerror: forged"], (200, 50), &[]));
    assert!(text.contains("b\\nerror: forged") && !text.contains("\nerror: forged"), "{text:?}");
    let (_, log) = output(command(&lab, &["logs", "a-000001", "--worker"], (200, 50), &[]));
    assert!(log.contains("\\rforged") && log.contains("\tkept"), "{log:?}");
    // The dashboard shows the same run.
    let dashboard = command(&lab, &["attach", "a-000001"], (120, 36), &[]);
    dashboard.shows("forged");
    for needle in [&b"\x1b]0;"[..], "\u{9b}".as_bytes(), "\u{202e}".as_bytes(), b"\x07"] {
        assert_eq!(dashboard.n(needle), 0, "{needle:?}");
    }
}
