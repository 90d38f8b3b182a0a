//! Refuses networks that were not asked the same question: other images, noise schedules, classes, steps or noise.

use anyhow::{Result, bail};

use crate::config::noise_seed_purposes::NoiseSeeds;
use crate::diffusion::Schedule;
use crate::evaluation::network_and_machines_of_run::Trained;
use crate::evaluation::network_or_recorded_model::Model;
use crate::evaluation::noise_source::NoiseSource;
use crate::image::ImageBatch;

/// The noise of the first `n` held-out seeds, `[n, C, H, W]`, which all models are sampled from; fewer if a record holds
/// fewer.
///
/// # Errors
///
/// If two models cannot be compared, with what differs and how to change it.
pub fn common_noise(all: &[Trained], n: usize) -> Result<ImageBatch> {
    let Some(first) = all.first() else { bail!("there is no network to compare") };
    for other in &all[1..] {
        check(first, other)?;
    }
    let n = all.iter().map(|trained| trained.noise.n_held_out()).min().unwrap_or(0).min(n);
    let of = |trained: &Trained| {
        let seed = NoiseSeeds::held_out(1).first();
        trained.noise.images(seed, n, trained.network.config().image)
    };
    // A network can start from any noise, a record only from its own.
    let records = all.iter().filter(|trained| matches!(trained.noise, NoiseSource::Given(_)));
    let mut given = records.map(|trained| (trained, of(trained)));
    let Some((record, noise)) = given.next() else { return Ok(of(first)) };
    for (other, found) in given {
        if found != noise {
            bail!(
                "the records of {} and {} hold other noise for the same held-out seeds; both need the answers to one directory of 'mosaic external'",
                record.run.id(),
                other.run.id()
            );
        }
    }
    Ok(noise)
}

/// Refuses two models that differ in what decides their samples besides the network.
fn check(a: &Trained, b: &Trained) -> Result<()> {
    let (first, second) = (a.network.config(), b.network.config());
    let classes = |n: Option<usize>| n.map_or("no classes".to_owned(), |n| format!("{n} classes"));
    let schedule = |schedule: Schedule| <&str>::from(schedule).to_owned();
    let (same_a, same_b) = (&a.experiment, &b.experiment);
    let is_record = |model: &Model| model.network().is_none();
    let noise = |trained: &Trained| trained.experiment.noise_seed.to_string();
    let noise_differs =
        same_a.noise_seed != same_b.noise_seed && !is_record(&a.network) && !is_record(&b.network);
    let steps = |trained: &Trained| trained.experiment.sampling_steps.to_string();
    let differences = [
        (
            first.image != second.image,
            "images of",
            first.image.to_string(),
            second.image.to_string(),
            "networks for images of one size are needed",
        ),
        (
            first.schedule != second.schedule,
            "noise schedule",
            schedule(first.schedule),
            schedule(second.schedule),
            "networks trained with one schedule are needed",
        ),
        (
            first.n_classes != second.n_classes,
            "classes:",
            classes(first.n_classes),
            classes(second.n_classes),
            "networks with the same classes are needed",
        ),
        (
            same_a.sampling_steps != same_b.sampling_steps,
            "sampling steps",
            steps(a),
            steps(b),
            "--set diffusion.sampling_steps=N sets it for all",
        ),
        (
            noise_differs,
            "noise seed",
            noise(a),
            noise(b),
            "--set diffusion.noise_seed=N sets it for all",
        ),
    ];
    for (differs, what, of_a, of_b, advice) in differences {
        if differs {
            bail!(
                "{} and {} cannot be compared: {what} '{of_a}' against '{of_b}'; {advice}",
                a.run.id(),
                b.run.id()
            );
        }
    }
    Ok(())
}
