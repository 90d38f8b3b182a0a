//! The tabs of the dashboard. Their keys, titles and order are said once, in [`TABS`].

/// What fills the screen on a small terminal, or its middle on a large one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tab {
    #[default]
    Overview,
    Charts,
    Samples,
    Settings,
    System,
    Log,
    Results,
}

/// One tab as the header, the key table and the help list it.
#[derive(Clone, Copy, Debug)]
pub struct TabRow {
    pub tab: Tab,
    /// The digit that shows it.
    pub key: &'static str,
    pub title: &'static str,
    pub help: &'static str,
}

const fn row(tab: Tab, key: &'static str, title: &'static str, help: &'static str) -> TabRow {
    TabRow { tab, key, title, help }
}

/// All tabs, in the order of the header and of the Tab key. The order is that of the enum.
pub const TABS: [TabRow; 7] = [
    row(Tab::Overview, "1", "overview", "overview, or runs on a small screen"),
    row(Tab::Charts, "2", "charts", "charts"),
    row(Tab::Samples, "3", "samples", "samples"),
    row(Tab::Settings, "4", "settings", "settings"),
    row(Tab::System, "5", "system", "processors, memory, disk, GPUs"),
    row(Tab::Log, "6", "log", "news of the run, and its worker's log"),
    row(Tab::Results, "7", "results", "the report: tables, verdict, files"),
];

impl Tab {
    pub fn title(self) -> &'static str {
        TABS[self as usize].title
    }

    /// The tab after this one; the first follows the last.
    pub fn next(self) -> Self {
        TABS[(self as usize + 1) % TABS.len()].tab
    }

    /// The tab before this one; the last precedes the first.
    pub fn previous(self) -> Self {
        TABS[(self as usize + TABS.len() - 1) % TABS.len()].tab
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        assert!(TABS.iter().enumerate().all(|(index, row)| row.tab as usize == index));
        assert_eq!((Tab::Results.next(), Tab::Overview.previous()), (Tab::Overview, Tab::Results));
    }
}
