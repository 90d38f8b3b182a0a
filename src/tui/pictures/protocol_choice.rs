//! The ways to show a picture in a terminal, and which one a terminal gets. What a terminal reports is found out by
//! [`crate::tui::terminal_probe`], which only parses its answers.

use strum::VariantArray;

use crate::config::lab_settings::ImageChoice;
use crate::tui::multiplexer::Multiplexer;

/// A way to show a picture in a terminal, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum Protocol {
    Kitty,
    Iterm,
    Sixel,
    /// Two pixels per cell, made of the upper-half-block character.
    Blocks,
    Off,
}

/// Names of terminals that show iTerm2's pictures, in their answer to XTVERSION.
const ITERM_SPEAKERS: [&[u8]; 3] = [b"iTerm2", b"WezTerm", b"mintty"];

/// The pictures that a terminal reports in its answers to queries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    /// kitty's graphics query was accepted.
    pub kitty: bool,
    /// The terminal's name is that of one that shows iTerm2's pictures.
    pub iterm: bool,
    /// The attributes of DA1 contain sixel.
    pub sixel: bool,
}

impl Reported {
    /// Whether a terminal shows iTerm2's pictures, by its name and version.
    pub fn shows_iterm(name: &[u8]) -> bool {
        ITERM_SPEAKERS.iter().any(|speaker| name.starts_with(speaker))
    }
}

impl Protocol {
    /// The protocols that can show pictures in a terminal, best first; the last are always blocks and off.
    ///
    /// kitty's and iTerm2's pictures are not used in tmux and screen, even if these pass the terminal's answers on,
    /// because the pictures would not belong to a pane.
    pub fn available(reported: Reported, multiplexer: Option<Multiplexer>) -> Vec<Self> {
        let has_panes = matches!(multiplexer, Some(Multiplexer::Tmux | Multiplexer::Screen));
        let all = [
            (Self::Kitty, reported.kitty && !has_panes),
            (Self::Iterm, reported.iterm && !has_panes),
            (Self::Sixel, reported.sixel),
            (Self::Blocks, true),
            (Self::Off, true),
        ];
        all.into_iter().filter(|(_, is_shown)| *is_shown).map(|(protocol, _)| protocol).collect()
    }

    /// The name used in lab.toml.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The protocol after this one in `available`; the first follows the last, and one that is not available.
    pub fn next(self, available: &[Protocol]) -> Protocol {
        let following = match available.iter().position(|&one| one == self) {
            Some(index) => (index + 1) % available.len(),
            None => 0,
        };
        available.get(following).copied().unwrap_or(self)
    }

    /// Whether pictures are pixels, which are printed after the frame, not cells.
    pub fn is_graphical(self) -> bool {
        matches!(self, Protocol::Kitty | Protocol::Iterm | Protocol::Sixel)
    }

    /// The protocol for a setting in a terminal that offers `available`, best first; and a note if it is not what was
    /// set, or was not offered.
    pub fn choose(
        choice: ImageChoice,
        available: &[Protocol],
        multiplexer: Option<Multiplexer>,
    ) -> (Protocol, Option<String>) {
        let best = available.first().copied().unwrap_or(Protocol::Blocks);
        let is_named = |protocol: &&Self| protocol.name() == <&str>::from(choice);
        let Some(&named) = Self::VARIANTS.iter().find(is_named) else { return (best, None) };
        if available.contains(&named) {
            return (named, None);
        }
        // The pictures would be dropped, or taken for window titles.
        if let (Some(inside), Protocol::Kitty | Protocol::Iterm) = (multiplexer, named) {
            let (inside, shown) = (inside.name(), best.name());
            let note = format!("no '{choice}' pictures inside {inside}; showing '{shown}'");
            return (best, Some(note));
        }
        let note = format!("images = '{choice}' as set, though this terminal did not offer it");
        (named, Some(note))
    }
}

#[cfg(test)]
mod tests {
    use super::Protocol::{Blocks, Iterm, Kitty, Off, Sixel};
    use super::*;

    #[test]
    fn the_setting_is_honoured_and_an_unoffered_one_is_noted() {
        let available = [Sixel, Blocks, Off];
        let chosen = |wanted, multiplexer| {
            let (protocol, note) = Protocol::choose(wanted, &available, multiplexer);
            (protocol, note.is_some())
        };
        assert_eq!(chosen(ImageChoice::Auto, None), (Sixel, false));
        assert_eq!(chosen(ImageChoice::Blocks, None), (Blocks, false));
        assert_eq!(chosen(ImageChoice::Off, None), (Off, false));
        assert_eq!(chosen(ImageChoice::Kitty, None), (Kitty, true));
        for inside in [Multiplexer::Tmux, Multiplexer::Zellij, Multiplexer::Neovim] {
            assert_eq!(chosen(ImageChoice::Kitty, Some(inside)), (Sixel, true));
        }
    }

    #[test]
    fn only_sixel_and_blocks_are_available_in_programs_with_panes() {
        let reported = Reported { kitty: true, iterm: true, sixel: true };
        let all = Protocol::available(reported, None);
        assert_eq!(all, [Kitty, Iterm, Sixel, Blocks, Off]);
        for inside in [Multiplexer::Tmux, Multiplexer::Screen] {
            assert_eq!(Protocol::available(reported, Some(inside)), [Sixel, Blocks, Off]);
        }
        assert_eq!(Protocol::available(reported, Some(Multiplexer::Zellij)), all);
    }

    #[test]
    fn cycling_visits_each_and_returns() {
        let available = [Kitty, Blocks, Off];
        assert_eq!(Kitty.next(&available), Blocks);
        assert_eq!(Off.next(&available), Kitty);
        assert_eq!(Sixel.next(&available), Kitty);
        assert_eq!(Sixel.next(&[]), Sixel);
    }
}
