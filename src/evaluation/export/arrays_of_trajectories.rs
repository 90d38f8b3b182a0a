//! Trajectories as arrays of N rows and T steps, cleanest step first: those of the network under plain names, as
//! `mosaic compare --external` reads them, those of a machine under `MACHINE/NAME`.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

use super::export_parts::ExportPart;
use super::sampled_trajectories::{NETWORK, Sampled, Shown};
use crate::arrays::{ArraySpool, Numbers};
use crate::diffusion::Posterior;
use crate::image::{ImageBatch, ImageShape};

/// Samples and writes `noise`, `seeds`, with classes `labels`, and what is in `parts`: `samples [N, C, H, W]`, `states` and `x0hat`
/// `[N, T, C, H, W]`, `attention [N, T, heads, P, P]`, `provenance [N, T, H, W, 3]` (training image, row, column) with `entropy
/// [N, T, H, W]` in nats; with steps also `t` and `abar` `[T]`.
///
/// # Errors
///
/// As [`Sampled::show`], and if an array cannot be written.
pub fn write(
    sampled: &Sampled<'_>,
    parts: &BTreeSet<ExportPart>,
    spool: &mut ArraySpool,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize),
) -> Result<()> {
    let ddim = sampled.machines.ddim();
    let (n, n_steps) = (sampled.n_seeds(), ddim.n_steps);
    write_seeds(sampled, spool).context("writing the noise seeds")?;
    if parts.iter().any(|part| part.needs_steps()) {
        let levels: Vec<_> = (1..=n_steps).map(|index| ddim.level(index)).collect();
        let t = levels.iter().map(|level| level.t).collect();
        spool.put("t", &[n_steps], Numbers::F64(t))?;
        let abar = levels.iter().map(|level| level.abar).collect();
        spool.put("abar", &[n_steps], Numbers::F64(abar))?;
    }
    sampled.show(stop, progress, &mut |name, row, shown| {
        let mut writer = Writer { spool: &mut *spool, prefix: prefix(name), n, n_steps };
        match shown {
            Shown::Samples(samples) if parts.contains(&ExportPart::Samples) => {
                writer.samples(row, samples)
            }
            Shown::Samples(_) => Ok(()),
            Shown::Step { step, maps } => {
                if parts.contains(&ExportPart::States) {
                    writer.step("states", (row, step.index), step.state)?;
                }
                if parts.contains(&ExportPart::X0hat) {
                    writer.step("x0hat", (row, step.index), &step.denoised.x0)?;
                }
                if let (true, Some(maps)) = (parts.contains(&ExportPart::Maps), maps) {
                    let item = [maps.n_heads(), maps.n_pixels(), maps.n_pixels()];
                    let each = item.iter().product();
                    for (i, weights) in maps.weights().chunks_exact(each).enumerate() {
                        let numbers = Numbers::F32(weights.to_vec());
                        writer.put("attention", (row + i, step.index), &item, numbers)?;
                    }
                }
                match (&step.denoised.posterior, parts.contains(&ExportPart::Provenance)) {
                    (Some(posterior), true) => {
                        writer.posterior((row, step.index), posterior, step.state.shape())
                    }
                    _ => Ok(()),
                }
            }
        }
    })
}

fn write_seeds(sampled: &Sampled<'_>, spool: &mut ArraySpool) -> Result<()> {
    let noise = sampled.noise()?;
    let seeds: Vec<i64> =
        sampled.seeds.iter().flat_map(Clone::clone).map(|seed| seed as i64).collect();
    let ImageShape { channels, height, width } = noise.shape();
    let sizes = [noise.len(), channels, height, width];
    spool.put("noise", &sizes, Numbers::F32(singles(noise.values())))?;
    if let Some(n_classes) = sampled.trained.network.config().n_classes {
        let labels = seeds.iter().map(|seed| seed % n_classes as i64).collect();
        spool.put("labels", &[seeds.len()], Numbers::I64(labels))?;
    }
    Ok(spool.put("seeds", &[seeds.len()], Numbers::I64(seeds))?)
}

fn prefix(name: &str) -> String {
    if name == NETWORK { String::new() } else { format!("{name}/") }
}

fn singles(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

fn sizes(shape: ImageShape) -> [usize; 3] {
    [shape.channels, shape.height, shape.width]
}

/// Writes the arrays of one denoiser.
struct Writer<'a> {
    spool: &'a mut ArraySpool,
    prefix: String,
    n: usize,
    n_steps: usize,
}

impl Writer<'_> {
    /// Writes what belongs to a row at sampling step `index`, from 1.
    fn put(
        &mut self,
        name: &str,
        (row, index): (usize, usize),
        item: &[usize],
        numbers: Numbers,
    ) -> io::Result<()> {
        let name = format!("{}{name}", self.prefix);
        let place = row * self.n_steps + index - 1;
        self.spool.put_item(&name, (&[self.n, self.n_steps], place), item, numbers)
    }

    fn samples(&mut self, row: usize, samples: &ImageBatch) -> io::Result<()> {
        let name = format!("{}samples", self.prefix);
        for (i, image) in samples.iter().enumerate() {
            let numbers = Numbers::F32(singles(image));
            self.spool.put_item(&name, (&[self.n], row + i), &sizes(samples.shape()), numbers)?;
        }
        Ok(())
    }

    fn step(
        &mut self,
        name: &str,
        (row, index): (usize, usize),
        images: &ImageBatch,
    ) -> io::Result<()> {
        for (i, image) in images.iter().enumerate() {
            let numbers = Numbers::F32(singles(image));
            self.put(name, (row + i, index), &sizes(images.shape()), numbers)?;
        }
        Ok(())
    }

    fn posterior(
        &mut self,
        (row, index): (usize, usize),
        found: &Posterior,
        shape: ImageShape,
    ) -> io::Result<()> {
        let n_pixels = shape.n_pixels();
        let each = found.provenance.chunks_exact(n_pixels);
        for (i, (places, nats)) in each.zip(found.entropy_nats.chunks_exact(n_pixels)).enumerate() {
            let places = places.iter();
            let places = places.flat_map(|place| {
                [place.image as i32, i32::from(place.row), i32::from(place.column)]
            });
            let (at, size) = ((row + i, index), [shape.height, shape.width]);
            let of_places = [shape.height, shape.width, 3];
            self.put("provenance", at, &of_places, Numbers::I32(places.collect()))?;
            self.put("entropy", at, &size, Numbers::F32(singles(nats)))?;
        }
        Ok(())
    }
}
