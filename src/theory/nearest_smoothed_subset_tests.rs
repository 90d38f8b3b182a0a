//! `nearest`, `smoothed` and `subset` against their formulas in plain loops, and their limits.

use std::sync::Arc;

use proptest::prelude::*;

use super::machine_names::DEFAULT_SMOOTHING;
use super::machine_spec::{MachineKind, MachineSpec, PatchSize, Smoothing};
use super::subset_of_images::n_of_subset;
use super::{Machine, Precision, TheoryError, TrainingImages};
use crate::diffusion::{Denoised, Denoiser, NoiseLevel, Schedule};
use crate::image::{ImageBatch, ImageShape};
use crate::random::{Purpose, fill_normal, noise_seeds, stream};

/// Images and queries with sides below 8 pixels, at which the coarse distances of `subset` are exact.
#[derive(Clone, Debug)]
struct Problem {
    shape: ImageShape,
    images: Vec<f64>,
    x: ImageBatch,
    level: NoiseLevel,
}

fn problems(n_images: std::ops::Range<usize>) -> impl Strategy<Value = Problem> {
    (1..4_usize, 1..6_usize, 2..6_usize, n_images, 0.05..0.95_f64, 0..1000_u64).prop_map(
        |(c, h, w, n, t, seed)| {
            let shape = ImageShape::new(c, h, w);
            let images = noise_seeds(seed, 0, n, shape).values().to_vec();
            Problem::new(shape, images, noise_seeds(seed, 5000, 2, shape), t)
        },
    )
}

impl Problem {
    fn new(shape: ImageShape, images: Vec<f64>, x: ImageBatch, t: f64) -> Self {
        Self { shape, images, x, level: Schedule::Cosine.level(t) }
    }

    fn machine(&self, kind: MachineKind) -> Result<Machine, TheoryError> {
        let images = TrainingImages::from_values(self.shape, self.images.clone()).unwrap();
        let spec = MachineSpec::new(kind, PatchSize::Fixed(1));
        Machine::new(spec, Arc::new(images), Precision::F64, None)
    }

    fn run(&self, kind: MachineKind) -> Denoised {
        let machine = self.machine(kind).unwrap().with_posterior(true);
        machine.denoise(&self.x, self.level).unwrap()
    }

    fn all(&self) -> Vec<&[f64]> {
        self.images.chunks_exact(self.shape.n_values()).collect()
    }

    /// Squared distances of `z` to the images times `scale`, in plain loops.
    fn distances(&self, z: &[f64], scale: f64) -> Vec<f64> {
        let to = |phi: &&[f64]| -> f64 {
            z.iter().zip(*phi).map(|(z, phi)| (z - scale * phi).powi(2)).sum()
        };
        self.all().iter().map(to).collect()
    }

    /// The mean of the images at `which` with weights `exp(-distance / (2 variance))`.
    fn mean(&self, which: &[usize], distances: &[f64], variance: f64) -> Vec<f64> {
        let least = which.iter().map(|&n| distances[n]).fold(f64::INFINITY, f64::min);
        let weight = |n: usize| (-(distances[n] - least) / (2.0 * variance)).exp();
        let total: f64 = which.iter().map(|&n| weight(n)).sum();
        let value = |j| which.iter().map(|&n| weight(n) * self.all()[n][j]).sum::<f64>() / total;
        (0..self.shape.n_values()).map(value).collect()
    }

    fn scaled(&self, query: usize) -> Vec<f64> {
        self.x.image(query).iter().map(|x| x / self.level.signal()).collect()
    }
}

fn order_by(distances: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..distances.len()).collect();
    order.sort_by(|&a, &b| distances[a].total_cmp(&distances[b]));
    order
}

fn smoothed(sigma: f64, n_copies: usize) -> MachineKind {
    MachineKind::Smoothed(Smoothing { sigma, n_copies })
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// The noise of copy `m`, as the machine draws it.
fn noise(m: usize, n_values: usize) -> Vec<f64> {
    let mut noise = vec![0.0_f32; n_values];
    fill_normal(&mut stream(0, Purpose::SmoothingNoise, m as u64), &mut noise);
    noise.into_iter().map(f64::from).collect()
}

proptest! {
    #[test]
    fn nearest_is_the_image_at_the_least_distance(problem in problems(1..40)) {
        let found = problem.run(MachineKind::Nearest);
        let posterior = found.posterior.unwrap();
        prop_assert!(posterior.entropy_nats.iter().all(|&nats| nats == 0.0));
        for query in 0..problem.x.len() {
            let n = order_by(&problem.distances(&problem.scaled(query), 1.0))[0];
            prop_assert_eq!(found.x0.image(query), problem.all()[n]);
            let n_pixels = problem.shape.n_pixels();
            let places = &posterior.provenance[query * n_pixels..(query + 1) * n_pixels];
            prop_assert!(places.iter().all(|place| place.image == n as u32));
        }
    }

    #[test]
    fn ideal_is_nearest_as_noise_vanishes(problem in problems(2..40)) {
        // The images' squared distances differ by far more than twice the variance.
        let level = NoiseLevel { t: 1e-3, abar: 1.0 - 1e-8 };
        let problem = Problem { level, ..problem };
        let (nearest, ideal) = (problem.run(MachineKind::Nearest), problem.run(MachineKind::Ideal));
        for query in 0..problem.x.len() {
            let mut distances = problem.distances(&problem.scaled(query), 1.0);
            distances.sort_by(f64::total_cmp);
            if distances[1] - distances[0] > 1e-6 {
                let difference = largest_difference(nearest.x0.image(query), ideal.x0.image(query));
                prop_assert!(difference < 1e-9, "{difference}");
            }
        }
    }

    #[test]
    fn smoothed_is_the_papers_formula(problem in problems(1..20), sigma in 0.01..5.0_f64) {
        let found = problem.run(smoothed(sigma, 7));
        prop_assert!(found.posterior.is_none());
        // The paper's z = tau phi + (1 - tau) eps.
        let (signal, amplitude) = (problem.level.signal(), problem.level.sigma());
        let tau = signal / (signal + amplitude);
        let all: Vec<usize> = (0..problem.all().len()).collect();
        for query in 0..problem.x.len() {
            let mut mean = vec![0.0; problem.shape.n_values()];
            for m in 0..7 {
                let pairs = problem.x.image(query).iter().zip(noise(m, mean.len()));
                let z: Vec<f64> =
                    pairs.map(|(x, eps)| x / (signal + amplitude) + sigma * eps).collect();
                let closed = problem.mean(&all, &problem.distances(&z, tau), (1.0 - tau).powi(2));
                mean.iter_mut().zip(closed).for_each(|(mean, k)| *mean += k / 7.0);
            }
            let difference = largest_difference(found.x0.image(query), &mean);
            prop_assert!(difference < 1e-8, "{difference}");
        }
    }

    #[test]
    fn smoothed_without_noise_is_ideal(problem in problems(1..20)) {
        let ideal = problem.run(MachineKind::Ideal);
        let found = problem.run(smoothed(0.0, 5));
        prop_assert_eq!(found.x0.values(), ideal.x0.values());
        let problem = Problem { level: Schedule::Cosine.level(0.6), ..problem };
        let (ideal, found) = (problem.run(MachineKind::Ideal), problem.run(smoothed(1e-9, 5)));
        let difference = largest_difference(found.x0.values(), ideal.x0.values());
        prop_assert!(difference < 1e-6, "{difference}");
    }

    #[test]
    fn very_smooth_shows_the_images_that_are_extreme_in_random_directions(
        problem in problems(1..12),
    ) {
        let found = problem.run(smoothed(1e6, 16));
        let mut mean = vec![0.0; problem.shape.n_values()];
        for m in 0..16 {
            let eps = noise(m, mean.len());
            let along = |phi: &&[f64]| -> f64 { -phi.iter().zip(&eps).map(|(a, b)| a * b).sum::<f64>() };
            let n = order_by(&problem.all().iter().map(along).collect::<Vec<_>>())[0];
            mean.iter_mut().zip(problem.all()[n]).for_each(|(mean, phi)| *mean += phi / 16.0);
        }
        for query in 0..problem.x.len() {
            let difference = largest_difference(found.x0.image(query), &mean);
            prop_assert!(difference < 1e-6, "{difference}");
        }
    }

    #[test]
    fn an_estimate_does_not_depend_on_its_batch(problem in problems(1..70)) {
        for kind in [smoothed(0.7, 5), MachineKind::Subset { size: 0.1 }, MachineKind::Nearest] {
            let together = problem.run(kind.clone());
            for query in 0..problem.x.len() {
                let x = ImageBatch::new(problem.shape, problem.x.image(query).to_vec());
                let alone = Problem { x, ..problem.clone() }.run(kind.clone());
                prop_assert_eq!(alone.x0.values(), together.x0.image(query));
            }
        }
    }

    #[test]
    fn subset_is_ideal_over_the_nearest_images(problem in problems(2..60), size in 0.01..1.0_f64) {
        let found = problem.run(MachineKind::Subset { size });
        let n = n_of_subset(size, problem.all().len(), problem.level);
        let ideal = problem.run(MachineKind::Ideal);
        let variance = problem.level.variance() / problem.level.abar;
        let largest = problem.images.iter().fold(0.0_f64, |most, v| most.max(v.abs()));
        for query in 0..problem.x.len() {
            let distances = problem.distances(&problem.scaled(query), 1.0);
            let order = order_by(&distances);
            let plain = problem.mean(&order[..n], &distances, variance);
            let difference = largest_difference(found.x0.image(query), &plain);
            prop_assert!(difference < 1e-9, "{difference}");
            // What is left out cannot count for more than its share of the posterior.
            let weights: Vec<f64> = order
                .iter()
                .map(|&n| (-(distances[n] - distances[order[0]]) / (2.0 * variance)).exp())
                .collect();
            let left_out = weights[n..].iter().sum::<f64>() / weights.iter().sum::<f64>();
            let error = largest_difference(found.x0.image(query), ideal.x0.image(query));
            prop_assert!(error <= 2.0 * left_out * largest + 1e-9, "{error} {left_out}");
        }
    }

    #[test]
    fn subset_of_all_images_is_ideal(problem in problems(1..60)) {
        let ideal = problem.run(MachineKind::Ideal);
        for size in [1.0, 60.0] {
            let found = problem.run(MachineKind::Subset { size });
            prop_assert_eq!(found.x0.values(), ideal.x0.values());
            let (found, ideal) = (found.posterior.unwrap(), ideal.posterior.as_ref().unwrap());
            prop_assert_eq!(&found.entropy_nats, &ideal.entropy_nats);
            prop_assert_eq!(&found.provenance, &ideal.provenance);
        }
    }
}

/// One pixel, so that `ideal` is a function of one number.
fn one_pixel(images: &[f64], x: f64, t: f64) -> Problem {
    let shape = ImageShape::new(1, 1, 1);
    Problem::new(shape, images.to_vec(), ImageBatch::new(shape, vec![x]), t)
}

#[test]
fn many_copies_converge_to_the_mean_over_all_noise() {
    let problem = one_pixel(&[-0.8, 0.8], 0.15, 0.3);
    let (sigma, level) = (0.9, problem.level);
    // Of two images +-a, the closed form is a tanh(a y / variance).
    let variance = level.variance() / level.abar;
    let ideal = |y: f64| 0.8 * (0.8 * y / variance).tanh();
    let amplitude = sigma * (1.0 + level.sigma() / level.signal());
    let density = |eps: f64| (-0.5 * eps * eps).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let grid = (-8000..=8000).map(|i| f64::from(i) * 1e-3);
    let moment = |power| -> f64 {
        let value = |eps| ideal(0.15 / level.signal() + amplitude * eps).powi(power);
        grid.clone().map(|eps| 1e-3 * density(eps) * value(eps)).sum()
    };
    let (mean, square) = (moment(1), moment(2));
    for n_copies in [100, 10_000] {
        let found = problem.run(smoothed(sigma, n_copies)).x0.values()[0];
        let standard_error = ((square - mean * mean) / n_copies as f64).sqrt();
        let error = (found - mean).abs();
        assert!(error < 4.0 * standard_error, "{n_copies}: {error} {standard_error}");
    }
}

#[test]
fn very_smooth_is_the_mean_image_of_two_but_not_of_any_set() {
    let (n_copies, bound) = (4096, 4.0 / 64.0);
    let of_two = one_pixel(&[-1.0, 0.4], 0.2, 0.5).run(smoothed(1e6, n_copies));
    assert!((of_two.x0.values()[0] + 0.3).abs() < 0.7 * bound);
    // The image between the two others is never the nearest one: 0, not the mean of 0.3.
    let of_three = one_pixel(&[-1.0, 0.9, 1.0], 0.2, 0.5).run(smoothed(1e6, n_copies));
    assert!(of_three.x0.values()[0].abs() < bound);
}

#[test]
fn a_subset_names_images_by_their_numbers_in_the_unfiltered_set() {
    let shape = ImageShape::new(1, 1, 1);
    let images = TrainingImages::from_values(shape, vec![0.0, 0.1, 0.5, 0.9]).unwrap();
    let odd = images.with_labels(vec![1, 2, 1, 2]).unwrap().only_label(2).unwrap();
    for kind in [MachineKind::Subset { size: 1e-6 }, MachineKind::Nearest] {
        let spec = MachineSpec::new(kind, PatchSize::Fixed(1));
        let machine = Machine::new(spec, Arc::new(odd.select(&[0, 1])), Precision::F64, None);
        let machine = machine.unwrap().with_posterior(true);
        let x = ImageBatch::new(shape, vec![0.85]);
        let found = machine.denoise(&x, Schedule::Cosine.level(0.01)).unwrap();
        assert_eq!(found.x0.values(), [0.9]);
        assert_eq!(found.posterior.unwrap().provenance[0].image, 3);
    }
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let problem = one_pixel(&[0.0], 0.0, 0.5);
    let refused = |kind| problem.machine(kind).err().unwrap().to_string();
    assert!(refused(smoothed(-1.0, 3)).contains("the smoothing is '-1'"));
    let none = Smoothing { n_copies: 0, ..DEFAULT_SMOOTHING };
    assert!(refused(MachineKind::Smoothed(none)).contains("must be at least 1"));
    assert!(refused(MachineKind::Subset { size: 0.0 }).contains("must be a finite number above 0"));
}
