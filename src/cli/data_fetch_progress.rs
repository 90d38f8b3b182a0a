//! Progress of `data fetch`: a bar with rate and time left, or a line from time to time where lines cannot be overwritten.

use std::time::{Duration, Instant};

use indicatif::{DecimalBytes, HumanDuration, ProgressBar};

use super::progress_bar;
use crate::console;
use crate::download::Event;
use crate::errorln;

/// Time between two lines.
const BETWEEN_LINES: Duration = Duration::from_secs(10);
const TEMPLATE: &str =
    "{prefix} {wide_bar} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} eta {eta}";

/// Shows the progress of one file.
pub struct FileProgress {
    name: String,
    length: u64,
    bar: Option<ProgressBar>,
    /// Time and bytes at the beginning of the current transfer.
    started: (Instant, u64),
    last_line: Instant,
}

impl FileProgress {
    /// Of a file of `length` bytes.
    pub fn new(name: &str, length: u64) -> Self {
        let now = Instant::now();
        Self { name: name.to_owned(), length, bar: None, started: (now, 0), last_line: now }
    }

    pub fn show(&mut self, event: &Event<'_>) {
        let name = &self.name;
        match event {
            Event::Started { source, from } => {
                let rest = match from {
                    0 => String::new(),
                    from => format!(" from byte {from} on"),
                };
                let length = DecimalBytes(self.length);
                self.say(&format!("{name}: fetching {length}{rest} from {source}"));
                self.started = (Instant::now(), *from);
                self.last_line = self.started.0;
                let bar = self.bar.take().or_else(|| progress_bar::bar(TEMPLATE, self.length));
                if let Some(bar) = &bar {
                    bar.set_prefix(console::shown(name));
                    bar.set_position(*from);
                    bar.reset_eta();
                }
                self.bar = bar;
            }
            Event::Progress { n_bytes } => match &self.bar {
                Some(bar) => bar.set_position(*n_bytes),
                None => self.line(*n_bytes),
            },
            Event::Pausing { source, failure, pause, n_failed, n_tries } => self.say(&format!(
                "{name}: {source}: {}; trying again in {} s (attempt {} of {n_tries})",
                failure.words,
                pause.as_secs_f64(),
                n_failed + 1
            )),
            Event::GivenUp { source, failure } => {
                self.say(&format!("{name}: {source}: {}; asking the next source", failure.words));
            }
            Event::Dropped { n_bytes } => self.say(&format!(
                "{name}: the {n_bytes} bytes of an interrupted transfer are not those of the file; starting anew"
            )),
            Event::Checking => {
                if let Some(bar) = self.bar.take() {
                    bar.finish_and_clear();
                }
            }
        }
    }

    /// A message above the bar.
    fn say(&self, message: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| errorln!("{message}")),
            None => errorln!("{message}"),
        }
    }

    /// Rate and time left, if it is time for a line again and a transfer has begun.
    fn line(&mut self, n_bytes: u64) {
        let (since, at_start) = self.started;
        if self.last_line.elapsed() < BETWEEN_LINES || n_bytes <= at_start {
            return;
        }
        self.last_line = Instant::now();
        let rate = (n_bytes - at_start) as f64 / since.elapsed().as_secs_f64().max(1e-3);
        let left = Duration::from_secs_f64((self.length.saturating_sub(n_bytes)) as f64 / rate);
        errorln!(
            "{}: {} of {}, {}/s, {} left",
            self.name,
            DecimalBytes(n_bytes),
            DecimalBytes(self.length),
            DecimalBytes(rate as u64),
            HumanDuration(left)
        );
    }
}

impl Drop for FileProgress {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
