//! Held-out noise seeds that were inspected or sampled by hand. Every later report names them, because a result on seeds
//! that somebody has looked at is no longer a result on unseen ones.
//!
//! `seen_seeds.jsonl` in the run's directory has one line per look; see [`NoiseSeeds`] for the ranges.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::run_dir::RunDir;
use crate::config::noise_seed_purposes::NoiseSeeds;
use crate::files::if_there;

#[derive(Serialize, Deserialize)]
struct Look {
    /// First seed, and one past the last.
    seeds: (u64, u64),
    /// `diffusion.noise_seed`.
    noise_seed: u64,
    /// The command.
    by: String,
}

/// Records the held-out seeds among `seeds`, if there are any.
///
/// # Errors
/// The run's directory cannot be written.
pub fn record(run: &RunDir, noise_seed: u64, seeds: &Range<u64>, by: &str) -> io::Result<()> {
    let held_out = NoiseSeeds::held_out_among(seeds);
    if held_out.is_empty() {
        return Ok(());
    }
    run.unshare_files()?;
    let look = Look { seeds: (held_out.start, held_out.end), noise_seed, by: by.to_owned() };
    let line = serde_json::to_string(&look)?;
    let mut file = OpenOptions::new().append(true).create(true).open(run.seen_seeds_path())?;
    // On a line of its own, even behind one that a full disk cut off.
    file.write_all(format!("\n{line}\n").as_bytes())
}

/// Every held-out seed of `noise_seed` that was looked at, as disjoint ranges in increasing order. An incomplete line
/// does not count.
///
/// # Errors
/// The file exists but cannot be read.
pub fn read(run: &RunDir, noise_seed: u64) -> io::Result<Vec<Range<u64>>> {
    let text = if_there(std::fs::read_to_string(run.seen_seeds_path()))?.unwrap_or_default();
    let looks = text.lines().filter_map(|line| serde_json::from_str::<Look>(line).ok());
    let looks = looks.filter(|look| look.noise_seed == noise_seed);
    let mut ranges: Vec<Range<u64>> = looks.map(|look| look.seeds.0..look.seeds.1).collect();
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    Ok(merged)
}

/// The seeds as text, such as `1003, 1010 to 1011`.
pub fn in_words(seen: &[Range<u64>]) -> String {
    let one = |range: &Range<u64>| match range.end - range.start {
        1 => range.start.to_string(),
        _ => format!("{} to {}", range.start, range.end - 1),
    };
    seen.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_held_out_seeds_are_recorded_and_ranges_are_merged() {
        let place = tempfile::tempdir().unwrap();
        let run = RunDir::open(place.path());
        assert_eq!(read(&run, 0).unwrap(), []);
        record(&run, 0, &(0..16), "sample").unwrap();
        assert!(!run.seen_seeds_path().exists());
        for seeds in [1010..1012, 900..1002, 1003..1004, 1002..1003] {
            record(&run, 0, &seeds, "inspect").unwrap();
        }
        record(&run, 7, &(1500..1501), "sample").unwrap();
        let cut_off = std::fs::read_to_string(run.seen_seeds_path()).unwrap() + "{\"seeds\":[10";
        std::fs::write(run.seen_seeds_path(), cut_off).unwrap();
        record(&run, 0, &(1020..1021), "inspect").unwrap();
        assert_eq!(read(&run, 0).unwrap(), [1000..1004, 1010..1012, 1020..1021]);
        assert_eq!(read(&run, 7).unwrap().len(), 1);
        std::fs::write(run.seen_seeds_path(), [0xff]).unwrap();
        assert!(read(&run, 0).is_err());
    }
}
