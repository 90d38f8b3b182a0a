//! Makes previews: what network and machines make of some noise seeds, with labels and figures, as a directory.
//!
//! A worker makes them while it trains; for a run without a worker `mosaic preview` does.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::figures;
use super::samples::{MachineSet, SampleSet};
use crate::analysis::consistency::Judge;
use crate::config::Experiment;
use crate::image::ImageBatch;
use crate::network::NetworkDenoiser;
use crate::random::noise_seeds;
use crate::runs::command::Command;
use crate::runs::event::PreviewSummary;
use crate::runs::preview::{NETWORK, Preview, directory_name};

/// Time between two publications of one preview while its machines are at work.
const PUBLISH_EVERY: Duration = Duration::from_secs(2);
/// A preview is for looking at.
pub const SEEDS_MAX: u64 = 64;
pub const STEPS_MAX: usize = 1000;

/// What previews of a run are made with.
#[derive(Clone, Copy)]
pub struct Maker<'a> {
    pub previews: &'a Path,
    pub machine_set: &'a MachineSet,
    pub judge: Option<&'a Judge>,
    pub noise_seed: u64,
    pub stop: &'a AtomicBool,
}

/// Which noise seeds, in how many sampling steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviewRequest {
    pub seeds: Range<u64>,
    pub steps: usize,
}

impl PreviewRequest {
    /// A run's own.
    pub fn of(experiment: &Experiment) -> Self {
        let seeds = 0..experiment.preview.seeds as u64;
        Self { seeds, steps: experiment.ddim().n_steps }
    }

    /// Refuses what is no preview.
    pub fn new(seeds: Range<u64>, steps: usize) -> Result<Self, String> {
        if seeds.is_empty() || seeds.end - seeds.start > SEEDS_MAX {
            let Range { start, end } = seeds;
            return Err(format!(
                "seeds {start}..{end} are not 1 to {SEEDS_MAX} seeds; 0..4 are four"
            ));
        }
        if steps == 0 || steps > STEPS_MAX {
            return Err(format!("{steps} sampling steps; must be 1 to {STEPS_MAX}"));
        }
        Ok(Self { seeds, steps })
    }

    /// From what a person typed: `8..12` or `8`, and a number.
    pub fn parse(seeds: &str, steps: &str) -> Result<Self, String> {
        let number = |text: &str| text.trim().parse::<u64>().ok();
        let range = match seeds.split_once("..") {
            Some((first, end)) => number(first).zip(number(end)).map(|(first, end)| first..end),
            None => number(seeds).and_then(|seed| Some(seed..seed.checked_add(1)?)),
        };
        let range = range.ok_or_else(|| {
            format!("seeds '{seeds}': must be one such as 8, or a range such as 8..12")
        })?;
        let steps = steps
            .trim()
            .parse()
            .map_err(|_| format!("sampling steps '{steps}': must be a whole number"))?;
        Self::new(range, steps)
    }

    /// As an order to a worker.
    pub fn command(&self) -> Command {
        Command::Sample { seeds: Some((self.seeds.start, self.seeds.end)), steps: Some(self.steps) }
    }

    /// What is left open by an order is `self`.
    pub fn or(&self, seeds: Option<(u64, u64)>, steps: Option<usize>) -> Result<Self, String> {
        if seeds.is_none() && steps.is_none() {
            return Ok(self.clone());
        }
        let seeds = seeds.map_or(self.seeds.clone(), |(first, end)| first..end);
        Self::new(seeds, steps.unwrap_or(self.steps))
    }
}

impl Maker<'_> {
    /// Makes the preview of training step `step`, in place of one that is there.
    pub fn make(
        &self,
        step: u64,
        network: &NetworkDenoiser,
        request: &PreviewRequest,
    ) -> Result<PreviewSummary> {
        let started = Instant::now();
        let name = directory_name(step);
        let place = self.previews.join(&name);
        let n = usize::try_from(request.seeds.end - request.seeds.start)?;
        let first = request.seeds.start;
        let machine_set =
            self.machine_set.in_steps(request.steps).context("taking the sampling steps")?;
        let seeds = noise_seeds(self.noise_seed, first, n, network.network().config().image);
        let mut published = started;
        let mut outcome = Ok(());
        let mut ready = |set: &SampleSet| {
            // Someone waits in front of a screen: what is there is shown before all machines are done.
            if outcome.is_ok() && published.elapsed() >= PUBLISH_EVERY {
                published = Instant::now();
                outcome = self.preview(step, request, done(set)).write(&place);
            }
        };
        let set = machine_set.sample(network, &seeds, first, &mut None, self.stop, &mut ready)?;
        outcome.context("keeping part of the preview")?;
        let figures = figures::agreement_figures(&set);
        let rates = self.judge.map(|judge| figures::rates(judge, &set.network));
        self.preview(step, request, set).write(&place).context("keeping the preview")?;
        Ok(PreviewSummary {
            path: format!("previews/{name}"),
            n_seeds: n,
            figures,
            rates,
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    fn preview(&self, step: u64, request: &PreviewRequest, set: SampleSet) -> Preview {
        let SampleSet { seeds, network, machines } = set;
        let named = machines.iter().map(|(name, samples)| (name.as_str(), samples));
        let named = std::iter::once((NETWORK, &network)).chain(named);
        let labels = match self.judge {
            Some(judge) => named
                .map(|(name, samples)| {
                    (
                        name.to_owned(),
                        samples.iter().map(|image| judge.judge(image).into()).collect(),
                    )
                })
                .collect(),
            None => Vec::new(),
        };
        let (first_seed, sampling_steps) = (request.seeds.start, request.steps);
        Preview { step, first_seed, sampling_steps, seeds, network, machines, labels }
    }
}

/// The network and the machines that have sampled all seeds.
fn done(set: &SampleSet) -> SampleSet {
    let done = |(_, samples): &&(String, ImageBatch)| samples.len() == set.seeds.len();
    SampleSet {
        seeds: set.seeds.clone(),
        network: set.network.clone(),
        machines: set.machines.iter().filter(done).cloned().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_and_steps_are_typed_as_people_do() {
        let request = |seeds: &str, steps: &str| PreviewRequest::parse(seeds, steps);
        assert_eq!(request("8..12", "20"), Ok(PreviewRequest { seeds: 8..12, steps: 20 }));
        assert_eq!(request(" 7", " 5 "), Ok(PreviewRequest { seeds: 7..8, steps: 5 }));
        for (seeds, steps, words) in [
            ("8-12", "20", "such as 8..12"),
            ("12..8", "20", "1 to 64 seeds"),
            ("0..65", "20", "1 to 64 seeds"),
            ("0..4", "0", "1 to 1000"),
            ("0..4", "many", "whole number"),
            ("18446744073709551615", "9", "such as 8..12"),
        ] {
            let problem = request(seeds, steps).unwrap_err();
            assert!(problem.contains(words), "{problem}");
        }
    }

    #[test]
    fn what_an_order_leaves_open_is_the_run_s_own() {
        let own = PreviewRequest { seeds: 0..4, steps: 20 };
        assert_eq!(own.or(None, None), Ok(own.clone()));
        assert_eq!(own.or(Some((3, 5)), None), Ok(PreviewRequest { seeds: 3..5, steps: 20 }));
        assert!(own.or(None, Some(100_000)).is_err());
    }
}
