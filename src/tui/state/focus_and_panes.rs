//! Which tab is shown, which pane has the focus, and where panes were drawn.

use ratatui::layout::Rect;

use crate::tui::tabs::Tab;

/// The arrangement of the screen.
#[derive(Clone, Debug, Default)]
pub struct Screen {
    pub tab: Tab,
    /// Whether the overview shows the focused pane alone although there is room for all.
    pub is_expanded: bool,
    /// The pane that arrow keys go to, where several are shown.
    pub focus: Pane,
    /// Where panes were drawn in the last frame.
    pub regions: Vec<Region>,
}

impl Screen {
    /// The pane that arrow keys go to, on the screen as drawn last.
    pub fn focused_pane(&self) -> Pane {
        let alone = match self.tab {
            Tab::Charts => Pane::Charts,
            Tab::Samples => Pane::Samples,
            Tab::Settings => Pane::Settings,
            Tab::Log => Pane::Log,
            Tab::Results => Pane::Results,
            Tab::Overview if self.is_expanded => self.focus,
            Tab::Overview | Tab::System => Pane::Runs,
        };
        focused_region(&self.regions, self.focus).map_or(alone, |region| region.pane)
    }

    /// Moves the focus to the next pane, or back to the previous one. Returns false if there are not several panes.
    pub fn cycle_focus(&mut self, back: bool) -> bool {
        let panes = self.regions.iter().map(|region| region.pane);
        let panes: Vec<Pane> = panes.filter(|pane| pane.takes_keys()).collect();
        let focused = self.focused_pane();
        let Some(at) = panes.iter().position(|pane| *pane == focused).filter(|_| panes.len() > 1)
        else {
            return false;
        };
        let by = if back { panes.len() - 1 } else { 1 };
        self.focus = panes[(at + by) % panes.len()];
        true
    }

    /// Shows the focused pane of the overview alone, or all panes again. Returns false on other tabs, which show one anyway.
    pub fn toggle_expanded(&mut self) -> bool {
        if self.tab != Tab::Overview {
            return false;
        }
        self.focus = self.focused_pane();
        self.is_expanded = !self.is_expanded;
        true
    }
}

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
    Results,
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
