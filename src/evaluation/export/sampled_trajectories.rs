//! Samples noise seeds with a run's network and machines and shows every step to whoever writes it down.

use std::io;
use std::ops::Range;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, ensure};

use crate::diffusion::{AttentionMaps, DenoiseError, SampleStep, Sampling};
use crate::evaluation::network_and_machines_of_run::Trained;
use crate::evaluation::network_or_recorded_model::Model;
use crate::evaluation::samples::maps_of_machines::own_maps;
use crate::evaluation::samples::{MachineSet, recording_maps, with_classes};
use crate::evaluation::stop_flag::check_stop;
use crate::image::ImageBatch;
use crate::theory::RecordedAttention;

/// Name of the network among the denoisers.
pub const NETWORK: &str = "network";
/// Attention maps of the seeds that are sampled together may take this much memory.
const MAPS_BYTES_MAX: usize = 320 << 20;
const TOGETHER_MAX: usize = 16;

/// What is sampled.
pub struct Sampled<'a> {
    pub trained: &'a Trained,
    /// Under the settings that are meant.
    pub machines: &'a MachineSet,
    /// Noise seeds, in the order of their rows.
    pub seeds: &'a [Range<u64>],
    /// Whether machines report the training patch behind each pixel.
    pub with_provenance: bool,
}

/// What is shown of one denoiser.
pub enum Shown<'a> {
    /// One step of all rows that are sampled together; maps are the denoiser's own.
    Step { step: &'a SampleStep<'a>, maps: Option<&'a AttentionMaps> },
    /// The samples of these rows.
    Samples(&'a ImageBatch),
}

/// Called with the name of a denoiser and the first row.
pub type Show<'a> = dyn FnMut(&str, usize, Shown<'_>) -> io::Result<()> + 'a;

impl Sampled<'_> {
    /// Number of noise seeds.
    pub fn n_seeds(&self) -> usize {
        self.seeds.iter().map(|range| (range.end - range.start) as usize).sum()
    }

    /// The noise of all seeds, `[N, C, H, W]`.
    ///
    /// # Errors
    ///
    /// If the record of a model has no noise for a seed.
    pub fn noise(&self) -> Result<ImageBatch> {
        let shape = self.trained.dataset.shape();
        let mut all = ImageBatch::zeros(shape, 0);
        for range in self.seeds {
            let n = (range.end - range.start) as usize;
            let found = self.trained.noise.images(range.start, n, shape);
            ensure!(
                found.len() == n,
                "the record of {} has {} of the noise seeds {}..{}; ask for those with --seeds",
                self.trained.run.id(),
                found.len(),
                range.start,
                range.end
            );
            all.append(&found);
        }
        Ok(all)
    }

    /// Samples all seeds, the network first; `progress` is called with the number of rows that are done.
    ///
    /// # Errors
    ///
    /// If a denoiser fails, if `show` fails, or if `stop` is set.
    pub fn show(
        &self,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(usize),
        show: &mut Show<'_>,
    ) -> Result<()> {
        let noise = self.noise()?;
        let mut row = 0;
        for range in self.seeds {
            let n = (range.end - range.start) as usize;
            for at in (0..n).step_by(self.n_together()) {
                let together = self.n_together().min(n - at);
                let first = range.start + at as u64;
                self.show_rows(first, (&noise.slice(row, together), row), stop, show)?;
                row += together;
                progress(row);
            }
        }
        Ok(())
    }

    /// How many seeds are sampled together.
    fn n_together(&self) -> usize {
        let n_pixels = self.trained.dataset.shape().n_pixels();
        let heads = self.trained.network.config().attention.map_or(0, |layer| layer.heads);
        let each = self.machines.ddim().n_steps * heads * n_pixels * n_pixels * size_of::<f32>();
        match self.machines.dictionaries().len() {
            1 => (MAPS_BYTES_MAX / each.max(1)).clamp(1, TOGETHER_MAX),
            // Each seed has the training images of its class.
            _ => 1,
        }
    }

    fn show_rows(
        &self,
        first_seed: u64,
        (noise, row): (&ImageBatch, usize),
        stop: &AtomicBool,
        show: &mut Show<'_>,
    ) -> Result<()> {
        let ddim = self.machines.ddim();
        let network = with_classes(&self.trained.network, first_seed, noise.len());
        let recorded = self.show_network(&network, (noise, row), stop, show)?;
        let machines = self.machines.built_for(&network, first_seed, recorded);
        for (name, machine) in machines.context("building the machines")? {
            let machine = machine.with_posterior(self.with_provenance);
            let samples = ddim.sample(&machine, noise, &mut |step| {
                let maps = own_maps(&machine.spec().kind, step.denoised);
                show(&name, row, Shown::Step { step: &step, maps: maps.as_deref() })
                    .map_err(failed)?;
                check_stop(stop)
            });
            let samples = samples.with_context(|| format!("sampling '{name}'"))?;
            show(&name, row, Shown::Samples(&samples))?;
        }
        Ok(())
    }

    /// The network's attention along its trajectory, if it has any.
    fn show_network(
        &self,
        network: &Model,
        (noise, row): (&ImageBatch, usize),
        stop: &AtomicBool,
        show: &mut Show<'_>,
    ) -> Result<Option<RecordedAttention>> {
        let mut recorded = RecordedAttention::new();
        let samples = recording_maps(network.clone())
            .sample(self.machines.ddim(), noise, &mut |step| {
                let maps = step.denoised.attention.as_ref();
                if let Some(maps) = maps {
                    recorded.push(step.level, maps.clone());
                }
                show(NETWORK, row, Shown::Step { step: &step, maps }).map_err(failed)?;
                check_stop(stop)
            })
            .context("sampling the network")?;
        show(NETWORK, row, Shown::Samples(&samples))?;
        Ok(network.config().attention.is_some().then_some(recorded))
    }
}

fn failed(error: io::Error) -> DenoiseError {
    DenoiseError::Failed { denoiser: "writing down a step".to_owned(), source: Box::new(error) }
}
