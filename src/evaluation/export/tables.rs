//! Tables of a run as CSV, with a line of names first. Numbers that are undefined are empty.

use std::io::{self, Write};
use std::sync::atomic::AtomicBool;

use anyhow::Result;

use super::arrays_of_run::COLUMNS;
use super::sampled_trajectories::{NETWORK, Sampled, Shown};
use crate::analysis::agreement::agreement;
use crate::analysis::creativity_judge::Judgement;
use crate::dataset::Dataset;
use crate::evaluation::calibration::Calibration;
use crate::image::ImageBatch;

/// One line per training image: its number, its label, and its mean value from 0 to 255.
///
/// # Errors
///
/// If `out` cannot be written.
pub fn write_data(dataset: &Dataset, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "image,label,mean")?;
    for i in 0..dataset.len() {
        let label = dataset.labels().map_or(String::new(), |labels| labels[i].to_string());
        let pixels = dataset.image(i);
        let sum: u64 = pixels.iter().map(|&byte| u64::from(byte)).sum();
        writeln!(out, "{i},{label},{:.4}", sum as f64 / pixels.len() as f64)?;
    }
    Ok(())
}

/// One line per machine and sampling step, cleanest first.
///
/// # Errors
///
/// If `out` cannot be written.
pub fn write_calibration(calibration: &Calibration, out: &mut dyn Write) -> io::Result<()> {
    let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
    writeln!(out, "machine,step,t,{}", names.join(","))?;
    for machine in &calibration.machines {
        for (i, (fit, settings)) in machine.steps.iter().zip(machine.schedule()).enumerate() {
            write!(out, "{},{},{}", machine.machine, i + 1, fit.t)?;
            for (_, number) in COLUMNS {
                write!(out, ",{}", number(fit, settings))?;
            }
            writeln!(out)?;
        }
    }
    Ok(())
}

/// One line per noise seed and denoiser: what the judge says of the sample (empty without a judge), and its agreement with the
/// network's sample of the same seed.
///
/// # Errors
///
/// As [`Sampled::show`], and if `out` cannot be written.
pub fn write_rates(
    sampled: &Sampled<'_>,
    out: &mut dyn Write,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize),
) -> Result<()> {
    writeln!(
        out,
        "seed,denoiser,valid,consistent,novel,creative,hue_purity,components,valid_components,r,R2"
    )?;
    let seeds: Vec<u64> = sampled.seeds.iter().flat_map(Clone::clone).collect();
    let judge = sampled.trained.judge.as_ref();
    // The network's samples come first.
    let mut of_network = ImageBatch::zeros(sampled.trained.dataset.shape(), 0);
    sampled.show(stop, progress, &mut |name, row, shown| {
        let Shown::Samples(samples) = shown else { return Ok(()) };
        if name == NETWORK {
            of_network = samples.clone();
        }
        for (i, (image, target)) in samples.iter().zip(of_network.iter()).enumerate() {
            let judged = judge.map_or(",,,,,,".to_owned(), |judge| judged(&judge.judge(image)));
            let found = if name == NETWORK { None } else { Some(agreement(image, target)) };
            let r = number(found.and_then(|found| found.r));
            let cod = number(found.and_then(|found| found.cod));
            writeln!(out, "{},{name},{judged},{r},{cod}", seeds[row + i])?;
        }
        Ok(())
    })
}

fn judged(found: &Judgement) -> String {
    let [valid, consistent, novel, creative] =
        [found.valid, found.consistent, found.novel, found.creative].map(u8::from);
    let purity = number(found.hue_purity);
    let (n, n_valid) = (found.n_components, found.n_valid_components);
    format!("{valid},{consistent},{novel},{creative},{purity},{n},{n_valid}")
}

fn number(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| format!("{value:.6}"))
}

/// One line per noise seed, machine, sampling step and pixel: the training patch of the largest weight, by image and centre, and
/// the entropy of the weights in nats.
///
/// # Errors
///
/// As [`Sampled::show`], and if `out` cannot be written.
pub fn write_provenance(
    sampled: &Sampled<'_>,
    out: &mut dyn Write,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize),
) -> Result<()> {
    writeln!(out, "seed,machine,step,t,row,column,image,image_row,image_column,entropy")?;
    let seeds: Vec<u64> = sampled.seeds.iter().flat_map(Clone::clone).collect();
    let shape = sampled.trained.dataset.shape();
    let n_pixels = shape.n_pixels();
    sampled.show(stop, progress, &mut |name, row, shown| {
        let Shown::Step { step, .. } = shown else { return Ok(()) };
        let Some(found) = &step.denoised.posterior else { return Ok(()) };
        for (at, (place, nats)) in found.provenance.iter().zip(&found.entropy_nats).enumerate() {
            let (seed, pixel) = (seeds[row + at / n_pixels], at % n_pixels);
            let (r, c) = (pixel / shape.width, pixel % shape.width);
            write!(out, "{seed},{name},{},{},{r},{c}", step.index, step.level.t)?;
            writeln!(out, ",{},{},{},{nats:.6}", place.image, place.row, place.column)?;
        }
        Ok(())
    })
}
