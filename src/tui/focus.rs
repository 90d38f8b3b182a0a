//! Which panel of several on the screen the arrow keys are for.

use super::app::{App, CHARTS, LOG, SAMPLES, SETTINGS};
use super::pointer::{Pane, Region};

impl Pane {
    /// Whether arrow keys do something in it.
    fn takes_keys(self) -> bool {
        self != Self::Header
    }
}

/// The panel that keys are for among those of a screen: the wanted one, or the first; `None` where there is no choice.
pub fn chosen(regions: &[Region], request: Pane) -> Option<Region> {
    let all: Vec<Region> =
        regions.iter().filter(|region| region.pane.takes_keys()).copied().collect();
    let found = all.iter().find(|region| region.pane == request).or(all.first()).copied();
    found.filter(|_| all.len() > 1)
}

impl App {
    /// The panel that keys are for, on the screen that was drawn last.
    pub(super) fn focused(&self) -> Pane {
        let alone = match self.tab {
            CHARTS => Pane::Charts,
            SAMPLES => Pane::Samples,
            SETTINGS => Pane::Settings,
            LOG => Pane::Log,
            _ => Pane::Runs,
        };
        chosen(&self.regions, self.focus).map_or(alone, |region| region.pane)
    }

    /// Gives keys to the next panel on the screen, or to the one before; whether there are several.
    pub(super) fn turn_focus(&mut self, back: bool) -> bool {
        let all: Vec<Pane> = self.regions.iter().map(|region| region.pane).collect();
        let all: Vec<Pane> = all.into_iter().filter(|pane| pane.takes_keys()).collect();
        let focused = self.focused();
        let Some(at) = all.iter().position(|pane| *pane == focused).filter(|_| all.len() > 1)
        else {
            return false;
        };
        let by = if back { all.len() - 1 } else { 1 };
        self.focus = all[(at + by) % all.len()];
        true
    }

    /// The focused panel alone, or what it was taken from again.
    pub(super) fn expand(&mut self) {
        let focused = self.focused();
        match (self.tab, focused) {
            (0, Pane::Charts) => self.tab = CHARTS,
            (0, Pane::Samples) => self.tab = SAMPLES,
            (0, _) => self.expanded = !self.expanded,
            _ => {
                self.tab = 0;
                self.expanded = false;
                self.focus = focused;
            }
        }
    }
}
