//! Progress bars on standard error, where a line can be written over; plain lines are the caller's work elsewhere.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::console::{self, abilities};

/// A bar of `length` steps, or nothing where standard error is a file, a pipe or a terminal without a cursor to move.
pub fn bar(template: &str, length: u64) -> Option<ProgressBar> {
    abilities::can_overwrite_lines().then(|| ProgressBar::new(length).with_style(style(template)))
}

/// One bar a name and length, the name before it.
pub fn bars(template: &str, of: &[(String, u64)]) -> Option<(MultiProgress, Vec<ProgressBar>)> {
    if !abilities::can_overwrite_lines() {
        return None;
    }
    let all = MultiProgress::new();
    let bar = |(name, length): &(String, u64)| {
        let bar = all.add(ProgressBar::new(*length).with_style(style(template)));
        bar.set_prefix(console::shown(name));
        bar
    };
    let bars = of.iter().map(bar).collect();
    Some((all, bars))
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
