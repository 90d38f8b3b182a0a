//! The ways to show a picture in a terminal.

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

    /// The protocol of that name.
    pub fn named(name: &str) -> Option<Protocol> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}
