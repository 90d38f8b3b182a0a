//! Held-out noise seeds that were inspected or sampled by hand. Every later report names them, because a result on seeds
//! that somebody has looked at is no longer a result on unseen ones.
//!
//! `seen_seeds.jsonl` in the run's directory has one line per look; see [`NoiseSeeds`] for the ranges.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::run_dir::RunDir;
use crate::config::noise_seeds::NoiseSeeds;

#[derive(Serialize, Deserialize)]
struct Look {
    /// First seed, and one past the last.
    seeds: (u64, u64),
    /// The command.
    by: String,
}

/// Records the held-out seeds among `seeds`, if there are any.
///
/// # Errors
/// The run's directory cannot be written.
pub fn record(run: &RunDir, seeds: &Range<u64>, by: &str) -> io::Result<()> {
    let held_out = NoiseSeeds::held_out_among(seeds);
    if held_out.is_empty() {
        return Ok(());
    }
    let look = Look { seeds: (held_out.start, held_out.end), by: by.to_owned() };
    let line = format!("{}\n", serde_json::to_string(&look)?);
    let mut file = OpenOptions::new().append(true).create(true).open(run.seen_seeds_path())?;
    file.write_all(line.as_bytes())
}

/// Every held-out seed that was looked at, as disjoint ranges in increasing order. Lines that cannot be read do not count.
pub fn read(run: &RunDir) -> Vec<Range<u64>> {
    let text = std::fs::read_to_string(run.seen_seeds_path()).unwrap_or_default();
    let looks = text.lines().filter_map(|line| serde_json::from_str::<Look>(line).ok());
    let mut ranges: Vec<Range<u64>> = looks.map(|look| look.seeds.0..look.seeds.1).collect();
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_held_out_seeds_are_recorded_and_ranges_are_merged() {
        let place = tempfile::tempdir().unwrap();
        let run = RunDir::open(place.path());
        assert_eq!(read(&run), []);
        record(&run, &(0..16), "sample").unwrap();
        assert!(!run.seen_seeds_path().exists());
        for seeds in [1010..1012, 900..1002, 1003..1004, 1002..1003] {
            record(&run, &seeds, "inspect").unwrap();
        }
        std::fs::write(
            run.seen_seeds_path(),
            std::fs::read_to_string(run.seen_seeds_path()).unwrap() + "{\"seeds\":[10",
        )
        .unwrap();
        assert_eq!(read(&run), [1000..1004, 1010..1012]);
    }
}
