//! The ways to show a picture in a terminal, and which one a terminal gets. What a terminal offers is found out in
//! [`crate::tui::terminal_probe`].

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

impl Protocol {
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
