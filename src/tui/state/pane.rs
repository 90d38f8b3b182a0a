//! The parts of the screen that react to keys and the mouse, and where they were drawn.

use ratatui::layout::Rect;

/// A part of the screen that reacts to keys or the mouse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pane {
    Header,
    #[default]
    Runs,
    Charts,
    Samples,
    Settings,
    News,
    Log,
}

/// Where a pane was drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    pub pane: Pane,
    pub area: Rect,
}

impl Pane {
    /// Whether arrow keys do something in it.
    pub fn takes_keys(self) -> bool {
        self != Self::Header
    }
}

/// The region that arrow keys go to: that of `preferred` if it is on the screen, otherwise the first one. `None` if
/// there are not several to choose from.
pub fn focused_region(regions: &[Region], preferred: Pane) -> Option<Region> {
    let all: Vec<Region> =
        regions.iter().filter(|region| region.pane.takes_keys()).copied().collect();
    let found = all.iter().find(|region| region.pane == preferred).or(all.first()).copied();
    found.filter(|_| all.len() > 1)
}
