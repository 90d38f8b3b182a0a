//! Progress bars on standard error if lines can be overwritten there; otherwise the caller prints plain lines.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::console::{self, terminal_abilities};

/// A bar of `length` steps; `None` if standard error is a file, a pipe or a terminal without cursor movement.
pub fn bar(template: &str, length: u64) -> Option<ProgressBar> {
    terminal_abilities::can_overwrite_lines()
        .then(|| ProgressBar::new(length).with_style(style(template)))
}

/// One bar for each name and length, with the name in front.
pub fn bars(template: &str, of: &[(String, u64)]) -> Option<(MultiProgress, Vec<ProgressBar>)> {
    if !terminal_abilities::can_overwrite_lines() {
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
