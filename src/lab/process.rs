//! Processes that can be told from others which were given the same number later.

use serde::{Deserialize, Serialize};

/// Which process one is; a pid alone may have been given to another one since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat`: start time in clock ticks since boot.
    pub start_ticks: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
}

impl ProcessId {
    /// This process.
    pub fn current() -> Self {
        let pid = std::process::id();
        Self { pid, start_ticks: start_ticks(pid).unwrap_or(0), boot_id: boot_id() }
    }

    /// A running process; `None` where there is none of that number.
    pub fn of(pid: u32) -> Option<Self> {
        Some(Self { pid, start_ticks: start_ticks(pid)?, boot_id: boot_id() })
    }

    /// Whether it belongs to another machine, or to this one before it was started anew.
    pub fn is_elsewhere(&self) -> bool {
        self.boot_id != boot_id()
    }

    /// True when this very process still runs: same pid, same start, same boot, and no zombie.
    pub fn is_running(&self) -> bool {
        self.boot_id == boot_id() && start_ticks(self.pid) == Some(self.start_ticks)
    }
}

/// Field 22 of `/proc/PID/stat`; `None` when there is no such process or it is a zombie.
fn start_ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses, which may itself hold spaces and parentheses.
    let fields: Vec<&str> = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().collect();
    if matches!(fields.first(), Some(&"Z" | &"X")) {
        return None;
    }
    fields.get(19)?.parse().ok()
}

fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_runs_and_its_namesakes_do_not() {
        let me = ProcessId::current();
        assert!(me.is_running());
        assert!(!ProcessId { start_ticks: me.start_ticks + 1, ..me.clone() }.is_running());
        assert_eq!(ProcessId::of(me.pid), Some(me.clone()));
        assert!(!ProcessId { boot_id: "another boot".to_owned(), ..me }.is_running());
    }
}
