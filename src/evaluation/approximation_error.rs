//! How far an approximate machine (`subset`) is from the exact one, measured on noised training images.

use std::sync::atomic::AtomicBool;

use anyhow::Result;
use serde::Serialize;

use super::floors::floors_file::LEVELS;
use super::floors::noised_images::{NoisedImages, Translation};
use super::stop_flag::check_stop;
use crate::dataset::Dataset;
use crate::diffusion::{Denoiser, NoiseLevel, Schedule};
use crate::theory::machine_spec::{MachineKind, MachineSpec};
use crate::theory::subset_of_images::n_of_subset;
use crate::theory::{Machine, Precision};

/// Most and fewest noised images per noise level.
const DRAWS: [usize; 2] = [32, 4];
/// Values that may be compared at one level; larger data sets get fewer draws.
const COMPARISONS_MAX: usize = 1_000_000_000;

/// The difference of an approximate machine's estimates from those of the machine that it approximates.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ApproximationError {
    #[serde(skip)]
    pub machine: String,
    /// The exact machine.
    pub of: String,
    /// Noised training images per level.
    pub draws: usize,
    pub levels: Vec<LevelError>,
}

/// The difference at one noise level.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LevelError {
    pub t: f64,
    /// Root mean square of `x0hat - exact x0hat` per value, for images in [-1, 1].
    pub rms: f64,
    /// Training images compared with, as a share of all.
    pub images: f64,
}

impl ApproximationError {
    /// Measures the machine `name`, given over the training images of each class of `dataset` or over all of them; `None`
    /// if it is not approximate. The exact machine computes in double precision. The same `seed` gives the same draws.
    ///
    /// # Errors
    ///
    /// If a machine fails, or once `stop` is set.
    pub fn measure(
        name: &str,
        by_class: &[Machine],
        dataset: &Dataset,
        schedule: Schedule,
        seed: u64,
        stop: &AtomicBool,
    ) -> Result<Option<Self>> {
        let Some(spec) = by_class.first().map(Machine::spec) else { return Ok(None) };
        let Some(exact) = spec.kind.approximates() else { return Ok(None) };
        let exact_spec = MachineSpec::new(exact, spec.k.clone());
        let exact = |machine: &Machine| {
            Machine::new(exact_spec.clone(), machine.images().clone(), Precision::F64, None)
        };
        let exact = by_class.iter().map(exact).collect::<Result<Vec<_>, _>>()?;
        let pairs: Vec<(&Machine, &Machine)> = by_class.iter().zip(&exact).collect();
        let draws = n_draws(dataset);
        let mut levels = Vec::new();
        for t in LEVELS {
            let level = schedule.level(t);
            let noised = NoisedImages::draw(dataset, level, draws, Translation::None, seed);
            check_stop(stop)?;
            let rms = rms_difference(&pairs, &noised)?;
            levels.push(LevelError { t, rms, images: share_of_images(by_class, level) });
        }
        Ok(Some(Self { machine: name.to_owned(), of: exact_spec.column(), draws, levels }))
    }

    /// One line: the figures of all levels.
    pub fn words(&self) -> String {
        let level = |level: &LevelError| {
            format!("{} {:.1e} ({:.2}%)", level.t, level.rms, 100.0 * level.images)
        };
        let levels: Vec<String> = self.levels.iter().map(level).collect();
        format!(
            "{} is approximate: rms difference of x0hat per value from {}, the exact posterior mean, on {} noised training images per level, by t (training images compared with): {}",
            self.machine,
            self.of,
            self.draws,
            levels.join(", ")
        )
    }
}

fn n_draws(dataset: &Dataset) -> usize {
    let [most, fewest] = DRAWS;
    let values = (dataset.len() * dataset.shape().n_values()).max(1);
    (COMPARISONS_MAX / values).clamp(fewest, most)
}

/// Root mean square of the difference of two machines' estimates per value, over all draws.
fn rms_difference(pairs: &[(&Machine, &Machine)], noised: &NoisedImages) -> Result<f64> {
    let mut sum = 0.0;
    for (class, (machine, exact)) in pairs.iter().enumerate() {
        let of_class = |draw: &usize| match &noised.classes {
            Some(classes) if pairs.len() > 1 => classes[*draw] as usize == class,
            _ => true,
        };
        let draws: Vec<usize> = (0..noised.len()).filter(of_class).collect();
        if draws.is_empty() {
            continue;
        }
        let some = noised.select(&draws);
        let [found, exact] = [machine, exact].map(|one| one.denoise(&some.noisy, some.level));
        let (found, exact) = (found?.x0, exact?.x0);
        let differences = found.values().iter().zip(exact.values()).map(|(a, b)| (a - b).powi(2));
        sum += differences.sum::<f64>();
    }
    Ok((sum / noised.clean.values().len() as f64).sqrt())
}

/// The share of training images that `subset` compares with at a noise level.
fn share_of_images(by_class: &[Machine], level: NoiseLevel) -> f64 {
    let compared = |machine: &Machine| match machine.spec().kind {
        MachineKind::Subset { size } => n_of_subset(size, machine.images().len(), level),
        _ => machine.images().len(),
    };
    let all: usize = by_class.iter().map(|machine| machine.images().len()).sum();
    by_class.iter().map(compared).sum::<usize>() as f64 / all as f64
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::image::ImageShape;
    use crate::theory::TrainingImages;
    use crate::theory::machine_spec::PatchSize;

    static NEVER: AtomicBool = AtomicBool::new(false);

    /// 40 images of 2 classes.
    fn dataset() -> Dataset {
        let shape = ImageShape::new(2, 4, 4);
        let pixels: Vec<u8> = (0..40 * shape.n_values()).map(|i| (i * i % 251) as u8).collect();
        Dataset::new("test", shape, pixels, Some((0..40).map(|i| i % 2).collect()))
    }

    fn measure(kind: MachineKind, n_classes: Option<usize>) -> Option<ApproximationError> {
        let dataset = dataset();
        let images = Arc::new(TrainingImages::from_dataset(&dataset).unwrap());
        let spec = MachineSpec::new(kind, PatchSize::Fixed(1));
        let build = |images: Arc<TrainingImages>| {
            Machine::new(spec.clone(), images, Precision::F32, None).unwrap()
        };
        let machines: Vec<Machine> =
            images.by_class(n_classes).unwrap().into_iter().map(build).collect();
        ApproximationError::measure("m", &machines, &dataset, Schedule::Cosine, 3, &NEVER).unwrap()
    }

    #[test]
    fn fewer_images_err_more_and_all_images_not_at_all() {
        for n_classes in [None, Some(2)] {
            let rms = |size| {
                let found = measure(MachineKind::Subset { size }, n_classes).unwrap();
                assert_eq!((found.of.as_str(), found.draws, found.levels.len()), ("ideal", 32, 10));
                found.levels.iter().map(|level| level.rms).fold(0.0, f64::max)
            };
            let [few, more, all] = [0.025, 0.5, 1.0].map(rms);
            assert!(few > more && more > 0.0, "{few} {more}");
            assert_eq!(all, 0.0);
        }
    }

    #[test]
    fn the_share_of_images_counts_all_classes() {
        let found = measure(MachineKind::Subset { size: 1.0 }, Some(2)).unwrap();
        assert!(found.levels.iter().all(|level| level.images == 1.0));
        let found = measure(MachineKind::Subset { size: 2.0 }, Some(2)).unwrap();
        assert!((found.levels[0].images - 4.0 / 40.0).abs() < 1e-9, "{:?}", found.levels[0]);
        let words = found.words();
        assert!(words.starts_with("m is approximate: rms difference") && words.contains("0.1 "));
    }

    #[test]
    fn an_exact_machine_has_no_error() {
        assert_eq!(measure(MachineKind::Ideal, None), None);
    }
}
