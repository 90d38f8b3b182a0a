//! A word to whoever is not looking: when a run that was at work finishes, fails or is lost.
//!
//! A bell (BEL), which terminals and tmux turn into a flash, a sound or a mark on the window, or OSC 9, which many turn
//! into a notification of the desktop. Inside tmux OSC 9 goes through only where `allow-passthrough` is on.

use crate::config::lab_settings::NotifyChoice;
use std::io::{self, Write};

use super::words::run_state;
use crate::console;
use crate::runs::holder::Steering;
use crate::runs::runs_dir::RunSummary;

/// How to ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bell {
    bell: bool,
    osc9: bool,
    tmux: bool,
}

impl Bell {
    /// The notice of a setting.
    pub fn new(choice: NotifyChoice) -> Self {
        Self {
            bell: matches!(choice, NotifyChoice::Bell | NotifyChoice::Both),
            osc9: matches!(choice, NotifyChoice::Osc9 | NotifyChoice::Both),
            tmux: std::env::var_os("TMUX").is_some_and(|value| !value.is_empty()),
        }
    }

    /// Rings, with these words where words can be shown.
    pub fn ring(self, words: &str, out: &mut impl Write) -> io::Result<()> {
        if self.osc9 {
            let words = console::line(words);
            match self.tmux {
                true => write!(out, "\x1bPtmux;\x1b\x1b]9;{words}\x07\x1b\\")?,
                false => write!(out, "\x1b]9;{words}\x1b\\")?,
            }
        }
        if self.bell {
            out.write_all(b"\x07")?;
        }
        out.flush()
    }
}

/// What there is to say of the runs that were at work and are no longer; stopping one is no news to who did it.
pub fn news(before: &[RunSummary], now: &[RunSummary]) -> Option<String> {
    let at_work = |run: &RunSummary| {
        matches!(
            run_state(run),
            "queued" | "starting" | "training" | "comparing" | "paused" | "silent"
        )
    };
    let ended = now.iter().filter(|run| matches!(run_state(run), "finished" | "failed" | "lost"));
    let ended = ended.filter(|run| before.iter().any(|old| old.id == run.id && at_work(old)));
    let words: Vec<String> = ended.map(|run| format!("{} {}", run.id, run_state(run))).collect();
    (!words.is_empty()).then(|| format!("mosaic: {}", words.join(", ")))
}

/// What there is to say if someone took control of a run from this dashboard.
pub fn relieved(before: &[RunSummary], now: &[RunSummary]) -> Option<String> {
    let was_mine =
        |id: &str| before.iter().any(|run| run.id == id && run.steering == Steering::Mine);
    now.iter().find_map(|run| match &run.steering {
        Steering::Theirs(name) if was_mine(&run.id) => {
            Some(format!("{name} took control of {} over; T takes it back", run.id))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rung(bell: Bell, words: &str) -> String {
        let mut out = Vec::new();
        bell.ring(words, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_way_of_ringing_has_its_bytes_and_names_bring_none_of_their_own() {
        let plain = Bell { tmux: false, ..Bell::new(NotifyChoice::Both) };
        assert_eq!(rung(plain, "a finished"), "\x1b]9;a finished\x1b\\\x07");
        assert_eq!(rung(Bell { tmux: false, ..Bell::new(NotifyChoice::Bell) }, "a"), "\x07");
        assert_eq!(rung(Bell::new(NotifyChoice::Off), "a"), "");
        let inside = Bell { tmux: true, ..Bell::new(NotifyChoice::Osc9) };
        assert_eq!(
            rung(inside, "a\x1b[2J\x07b"),
            "\x1bPtmux;\x1b\x1b]9;a\\u001b[2J\\u0007b\x07\x1b\\"
        );
    }
}
