//! Progress bars on standard error if lines can be overwritten there; otherwise the caller prints plain lines.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::console::{self, terminal_abilities};
use crate::errorln;
use crate::optimum::cached_solver::Watcher;

/// Shows how far solving for `attention-optimal` is, from its first update on, and stops it once `stop` is set.
pub fn of_solving(stop: Arc<AtomicBool>) -> Watcher {
    const TEMPLATE: &str = "solving attention-optimal {wide_bar} {percent}% eta {eta}";
    let shown: OnceLock<Option<ProgressBar>> = OnceLock::new();
    Arc::new(move |n_done, n_updates| {
        let bar = shown.get_or_init(|| {
            let bar = bar(TEMPLATE, n_updates as u64);
            if bar.is_none() {
                errorln!("solving attention-optimal, once for these images and this class");
            }
            bar
        });
        if let Some(bar) = bar {
            bar.set_position(n_done as u64);
            if n_done == n_updates {
                bar.finish_and_clear();
            }
        }
        !stop.load(Ordering::SeqCst)
    })
}

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
