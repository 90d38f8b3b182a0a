//! Makes previews: samples chosen noise seeds with the network and every machine, and writes them as a
//! [`Preview`] with labels and figures.
//!
//! A worker makes previews while it trains; `mosaic preview` makes them for a run without a worker.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::agreement_and_rates::{agreement_figures, rates};
use super::noise_source::NoiseSource;
use super::preview_request::PreviewRequest;
use super::samples::{MachineSet, SampleSet};
use crate::analysis::creativity_judge::Judge;
use crate::evaluation::network_or_recorded_model::Model;
use crate::image::ImageBatch;
use crate::runs::event::PreviewSummary;
use crate::runs::preview_files::{NETWORK, Preview, directory_name};

/// Time between two publications of one preview while its machines are at work.
const PUBLISH_EVERY: Duration = Duration::from_secs(2);

/// Everything that the previews of one run have in common.
#[derive(Clone, Copy)]
pub struct PreviewMaker<'a> {
    pub previews: &'a Path,
    pub machine_set: &'a MachineSet,
    pub judge: Option<&'a Judge>,
    pub noise: &'a NoiseSource,
    pub stop: &'a AtomicBool,
}

impl PreviewMaker<'_> {
    /// Makes the preview of training step `step`, replacing one that is there.
    ///
    /// # Errors
    /// If sampling fails or is stopped, or the preview cannot be written.
    pub fn make(
        &self,
        step: u64,
        network: &Model,
        request: &PreviewRequest,
    ) -> Result<PreviewSummary> {
        let started = Instant::now();
        let name = directory_name(step);
        let place = self.previews.join(&name);
        let (first, n) = (request.seeds.first(), request.seeds.len());
        let machine_set =
            self.machine_set.in_steps(request.steps).context("taking the sampling steps")?;
        let seeds = self.noise.images(first, n, network.config().image);
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
        let figures = agreement_figures(&set);
        let rates = self.judge.map(|judge| rates(judge, &set.network));
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
        let (first_seed, sampling_steps) = (request.seeds.first(), request.steps);
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
