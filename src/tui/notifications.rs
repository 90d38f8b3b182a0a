//! Notifications: when a run finishes, fails or is lost, or when someone else takes control of it.
//!
//! The user is notified by a bell (BEL), which terminals and tmux turn into a flash, a sound or a mark on the window, or by
//! OSC 9, which many terminals turn into a desktop notification. tmux passes OSC 9 on only if `allow-passthrough` is on.

use crate::config::lab_settings::NotifyChoice;
use std::io::{self, Write};

use super::state::Notice;
use crate::console;
use crate::runs::control_holder::Steering;
use crate::runs::runs_dir::RunSummary;

/// How to notify a user who is not looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bell {
    choice: NotifyChoice,
    tmux: bool,
}

impl Bell {
    /// The notice of a setting.
    pub fn new(choice: NotifyChoice) -> Self {
        let tmux = std::env::var_os("TMUX").is_some_and(|value| !value.is_empty());
        Self { choice, tmux }
    }

    /// Rings the bell, with a text if the terminal can show one.
    ///
    /// # Errors
    ///
    /// If writing to `out` fails.
    pub fn ring(self, words: &str, out: &mut impl Write) -> io::Result<()> {
        if matches!(self.choice, NotifyChoice::Osc9 | NotifyChoice::Both) {
            let words = console::line(words);
            match self.tmux {
                true => write!(out, "\x1bPtmux;\x1b\x1b]9;{words}\x07\x1b\\")?,
                false => write!(out, "\x1b]9;{words}\x1b\\")?,
            }
        }
        if matches!(self.choice, NotifyChoice::Bell | NotifyChoice::Both) {
            out.write_all(b"\x07")?;
        }
        out.flush()
    }
}

/// Names the runs that were at work and have finished, failed or been lost; `None` if there are none. A run that someone
/// stopped is not named.
pub fn ended_runs(before: &[RunSummary], now: &[RunSummary]) -> Option<String> {
    let was_at_work =
        |id: &str| before.iter().any(|run| run.id == id && run.listed_state().is_at_work());
    let ended = now.iter().filter(|run| run.listed_state().has_ended() && was_at_work(&run.id));
    let words: Vec<String> =
        ended.map(|run| format!("{} {}", run.id, run.listed_state().word())).collect();
    (!words.is_empty()).then(|| format!("mosaic: {}", words.join(", ")))
}

/// A warning if another dashboard or command took control of a run that this one steered.
pub fn lost_control(before: &[RunSummary], now: &[RunSummary]) -> Option<Notice> {
    let was_mine =
        |id: &str| before.iter().any(|run| run.id == id && run.steering == Steering::Mine);
    now.iter().find_map(|run| match &run.steering {
        Steering::Theirs(name) if was_mine(&run.id) => {
            let text = format!("{name} took control of {} over; T takes it back", run.id);
            Some(Notice::warning(text).about(&run.id))
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
