//! The ways to show a picture in a terminal.

use crate::config::lab_settings::ImageChoice;

/// A way to show a picture in a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Kitty,
    Iterm,
    Sixel,
    /// Two pixels per cell, made of the upper-half-block character.
    Blocks,
    Off,
}

impl Protocol {
    /// All protocols, best first: the order of automatic choice and of cycling.
    pub const ALL: [Protocol; 5] =
        [Protocol::Kitty, Protocol::Iterm, Protocol::Sixel, Protocol::Blocks, Protocol::Off];

    /// The name used in lab.toml.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Kitty => "kitty",
            Protocol::Iterm => "iterm",
            Protocol::Sixel => "sixel",
            Protocol::Blocks => "blocks",
            Protocol::Off => "off",
        }
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

    /// The protocol that a setting names; `None` for `auto`.
    pub fn of_setting(choice: ImageChoice) -> Option<Protocol> {
        match choice {
            ImageChoice::Auto => None,
            ImageChoice::Kitty => Some(Protocol::Kitty),
            ImageChoice::Iterm => Some(Protocol::Iterm),
            ImageChoice::Sixel => Some(Protocol::Sixel),
            ImageChoice::Blocks => Some(Protocol::Blocks),
            ImageChoice::Off => Some(Protocol::Off),
        }
    }
}
