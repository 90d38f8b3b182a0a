//! The machines of papers L and N, compared with their formulas in plain loops, and their limits.

use std::sync::Arc;

use mosaic_lab::diffusion::{Denoised, Denoiser, NoiseLevel, Schedule};
use mosaic_lab::image::{ImageBatch, ImageShape};
use mosaic_lab::theory::machine_spec::{MachineKind, MachineSpec, PatchSize};
use mosaic_lab::theory::{Machine, Precision, TrainingImages};
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Problem {
    shape: ImageShape,
    images: Vec<f64>,
    x: Vec<f64>,
    t: f64,
}

fn problems(n_images: std::ops::Range<usize>) -> impl Strategy<Value = Problem> {
    (1..4_usize, 3..7_usize, 3..7_usize, n_images, 0.05..0.95_f64).prop_flat_map(
        |(c, h, w, n, t)| {
            let shape = ImageShape::new(c, h, w);
            let values = |n| prop::collection::vec(-1.0..1.0_f64, n);
            (values(n * shape.n_values()), values(shape.n_values()))
                .prop_map(move |(images, x)| Problem { shape, images, x, t })
        },
    )
}

impl Problem {
    fn level(&self) -> NoiseLevel {
        Schedule::Cosine.level(self.t)
    }

    fn machine(&self, kind: MachineKind, k: usize) -> Machine {
        let images = TrainingImages::from_values(self.shape, self.images.clone()).unwrap();
        let spec = MachineSpec::new(kind, PatchSize::Fixed(k));
        Machine::new(spec, Arc::new(images), Precision::F64, None).unwrap().with_posterior(true)
    }

    fn run(&self, kind: MachineKind, k: usize) -> Denoised {
        self.run_at(kind, k, self.level())
    }

    fn run_at(&self, kind: MachineKind, k: usize, level: NoiseLevel) -> Denoised {
        let x = ImageBatch::new(self.shape, self.x.clone());
        self.machine(kind, k).denoise(&x, level).unwrap()
    }

    fn n(&self) -> usize {
        self.images.len() / self.shape.n_values()
    }

    fn image(&self, n: usize) -> &[f64] {
        &self.images[n * self.shape.n_values()..(n + 1) * self.shape.n_values()]
    }

    fn mean(&self) -> Vec<f64> {
        let d = self.shape.n_values();
        let sum = |j| (0..self.n()).map(|n| self.image(n)[j]).sum::<f64>();
        (0..d).map(|j| sum(j) / self.n() as f64).collect()
    }

    /// Squared difference between `x / sqrt(abar)` and image n at one coordinate.
    fn square(&self, n: usize, j: usize) -> f64 {
        (self.x[j] / self.level().signal() - self.image(n)[j]).powi(2)
    }
}

fn gap(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// Softmax weights, and their entropy in nats.
fn softmax(logits: &[f64]) -> (Vec<f64>, f64) {
    let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = logits.iter().map(|l| (l - top).exp()).sum();
    let weights: Vec<f64> = logits.iter().map(|l| (l - top).exp() / total).collect();
    let entropy = weights.iter().filter(|w| **w > 0.0).map(|w| -w * w.ln()).sum();
    (weights, entropy)
}

/// Inverts a matrix by Gauss-Jordan elimination with pivoting.
fn inverse(mut a: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let d = a.len();
    for (i, row) in a.iter_mut().enumerate() {
        row.extend((0..d).map(|j| f64::from(u8::from(i == j))));
    }
    for i in 0..d {
        let pivot = (i..d).max_by(|&p, &q| a[p][i].abs().total_cmp(&a[q][i].abs())).unwrap();
        a.swap(i, pivot);
        let scale = a[i][i];
        a[i].iter_mut().for_each(|v| *v /= scale);
        let row = a[i].clone();
        for (_, line) in a.iter_mut().enumerate().filter(|(other, _)| *other != i) {
            let factor = line[i];
            line.iter_mut().zip(&row).for_each(|(v, r)| *v -= factor * r);
        }
    }
    a.into_iter().map(|row| row[d..].to_vec()).collect()
}

/// `|W[m,j] / W[m,m]|` with `W = S (S + s^2 I)^-1`.
fn shares(problem: &Problem) -> Vec<Vec<f64>> {
    let (d, mean) = (problem.shape.n_values(), problem.mean());
    let level = problem.level();
    let noise = level.variance() / level.abar;
    let covariance = |i: usize, j: usize| {
        let each = (0..problem.n()).map(|n| problem.image(n));
        each.map(|v| (v[i] - mean[i]) * (v[j] - mean[j])).sum::<f64>() / problem.n() as f64
    };
    let s: Vec<Vec<f64>> = (0..d).map(|i| (0..d).map(|j| covariance(i, j)).collect()).collect();
    let mut noisy = s.clone();
    (0..d).for_each(|i| noisy[i][i] += noise);
    let inverse = inverse(noisy);
    let w = |i: usize, j: usize| (0..d).map(|k| s[i][k] * inverse[k][j]).sum::<f64>();
    let diagonal = |i: usize| if w(i, i).abs() < 1e-6 { 1.0 } else { w(i, i) };
    (0..d).map(|i| (0..d).map(|j| (w(i, j) / diagonal(i)).abs()).collect()).collect()
}

/// Machine L in plain loops: the estimate and the entropies per pixel.
fn masked(problem: &Problem, threshold: f64) -> (Vec<f64>, Vec<f64>) {
    let shares = shares(problem);
    let largest = shares.iter().flatten().copied().fold(0.0, f64::max);
    let (d, p) = (problem.shape.n_values(), problem.shape.n_pixels());
    let level = problem.level();
    let precision = level.abar / (2.0 * level.variance());
    let mut x0 = vec![0.0; d];
    let mut entropy = vec![0.0; p];
    for m in 0..d {
        let sees = |j: &usize| *j == m || shares[m][*j] >= threshold * largest;
        let logit = |n| -precision * (0..d).filter(sees).map(|j| problem.square(n, j)).sum::<f64>();
        let (weights, h) = softmax(&(0..problem.n()).map(logit).collect::<Vec<_>>());
        x0[m] = weights.iter().enumerate().map(|(n, w)| w * problem.image(n)[m]).sum();
        entropy[m % p] += h / problem.shape.channels as f64;
    }
    (x0, entropy)
}

/// Machine N in plain loops: the estimate and the entropies per pixel.
fn composite(problem: &Problem, k: usize) -> (Vec<f64>, Vec<f64>) {
    let ImageShape { channels, height, width } = problem.shape;
    let (level, p) = (problem.level(), height * width);
    let precision = level.abar / (2.0 * level.variance());
    let mut x0 = vec![0.0; channels * p];
    let (mut entropy, mut count) = (vec![0.0; p], vec![0.0; p]);
    for top in 0..=height - k {
        for left in 0..=width - k {
            let pixels: Vec<usize> =
                (0..k * k).map(|i| (top + i / k) * width + left + i % k).collect();
            let values = || pixels.iter().flat_map(|&q| (0..channels).map(move |c| c * p + q));
            let logit = |n| -precision * values().map(|j| problem.square(n, j)).sum::<f64>();
            let (weights, h) = softmax(&(0..problem.n()).map(logit).collect::<Vec<_>>());
            for j in values() {
                x0[j] += (0..problem.n()).map(|n| weights[n] * problem.image(n)[j]).sum::<f64>();
            }
            pixels.iter().for_each(|&q| {
                entropy[q] += h;
                count[q] += 1.0;
            });
        }
    }
    x0.iter_mut().enumerate().for_each(|(j, v)| *v /= count[j % p]);
    entropy.iter_mut().zip(&count).for_each(|(h, n)| *h /= n);
    (x0, entropy)
}

/// The largest odd side that fits, at most `k`.
fn fitting(problem: &Problem, k: usize) -> usize {
    let side = problem.shape.height.min(problem.shape.width);
    k.min(side - usize::from(side.is_multiple_of(2)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn masked_is_its_formula(problem in problems(1..30), threshold in 0.01..1.0_f64) {
        // Skips cases with an entry so close to the threshold that rounding decides.
        let shares = shares(&problem);
        let largest = shares.iter().flatten().copied().fold(0.0, f64::max);
        let is_close = |v: &f64| (v / (threshold * largest) - 1.0).abs() < 1e-6;
        prop_assume!(!shares.iter().flatten().any(is_close));
        let found = problem.run(MachineKind::Masked { threshold }, 1);
        let (x0, entropy) = masked(&problem, threshold);
        prop_assert!(gap(found.x0.values(), &x0) < 1e-9);
        prop_assert!(gap(&found.posterior.unwrap().entropy_nats, &entropy) < 1e-8);
    }

    #[test]
    fn composite_is_its_formula(problem in problems(1..30), half in 0..3_usize) {
        let k = fitting(&problem, 2 * half + 1);
        let found = problem.run(MachineKind::Composite, k);
        let (x0, entropy) = composite(&problem, k);
        prop_assert!(gap(found.x0.values(), &x0) < 1e-10);
        prop_assert!(gap(&found.posterior.unwrap().entropy_nats, &entropy) < 1e-9);
    }

    #[test]
    fn masks_that_see_everything_make_the_ideal_machine(problem in problems(4..20)) {
        let ideal = problem.run(MachineKind::Ideal, 1);
        let found = problem.run(MachineKind::Masked { threshold: 1e-300 }, 1);
        prop_assert!(gap(found.x0.values(), ideal.x0.values()) < 1e-9);
    }

    #[test]
    fn patches_of_one_pixel_are_local_and_of_the_whole_image_ideal(problem in problems(1..20)) {
        let local = problem.run(MachineKind::Local, 1);
        let found = problem.run(MachineKind::Composite, 1);
        prop_assert!(gap(found.x0.values(), local.x0.values()) < 1e-10);
        let (found, local) = (found.posterior.unwrap(), local.posterior.unwrap());
        prop_assert!(gap(&found.entropy_nats, &local.entropy_nats) < 1e-9);
        prop_assert_eq!(found.provenance, local.provenance);
        let ImageShape { channels, .. } = problem.shape;
        let square = ImageShape::new(channels, 3, 3);
        let cut = |values: &[f64], n: usize| values[..n * square.n_values()].to_vec();
        let problem = Problem {
            shape: square,
            images: cut(&problem.images, problem.n()),
            x: cut(&problem.x, 1),
            t: problem.t,
        };
        let (ideal, found) = (problem.run(MachineKind::Ideal, 1), problem.run(MachineKind::Composite, 3));
        prop_assert!(gap(found.x0.values(), ideal.x0.values()) < 1e-10);
    }

    #[test]
    fn both_return_a_single_image_and_under_pure_noise_the_mean(problem in problems(1..8)) {
        for kind in [MachineKind::Masked { threshold: 0.02 }, MachineKind::Composite] {
            let one = Problem { images: problem.image(0).to_vec(), ..problem.clone() };
            prop_assert!(gap(one.run(kind.clone(), 3).x0.values(), &one.images) < 1e-12);
            let noise = NoiseLevel { t: 1.0, abar: 1e-12 };
            let found = problem.run_at(kind.clone(), 3, noise);
            prop_assert!(gap(found.x0.values(), &problem.mean()) < 1e-4);
        }
    }

    #[test]
    fn neither_the_order_of_images_nor_the_batch_matters(problem in problems(2..40)) {
        let d = problem.shape.n_values();
        let images: Vec<f64> = problem.images.chunks(d).rev().flatten().copied().collect();
        let turned = Problem { images, ..problem.clone() };
        let other = turned.images[..d].to_vec();
        for kind in [MachineKind::Masked { threshold: 0.3 }, MachineKind::Composite] {
            let alone = problem.run(kind.clone(), 3);
            prop_assert!(gap(alone.x0.values(), turned.run(kind.clone(), 3).x0.values()) < 1e-9);
            let both = ImageBatch::new(problem.shape, [other.clone(), problem.x.clone()].concat());
            let both = problem.machine(kind.clone(), 3).denoise(&both, problem.level()).unwrap();
            prop_assert_eq!(&both.x0.values()[d..], alone.x0.values());
        }
    }
}

#[test]
fn impossible_settings_are_refused_in_words() {
    let images =
        Arc::new(TrainingImages::from_values(ImageShape::new(1, 4, 4), vec![0.0; 32]).unwrap());
    let refusal = |kind, k| {
        let spec = MachineSpec::new(kind, PatchSize::Fixed(k));
        Machine::new(spec, images.clone(), Precision::F64, None).err().unwrap().to_string()
    };
    for threshold in [0.0, 2.0, f64::NAN] {
        let message = refusal(MachineKind::Masked { threshold }, 1);
        assert!(message.contains(&format!("threshold is '{threshold}'")), "{message}");
    }
    assert!(refusal(MachineKind::Composite, 4).contains("k = '4'"));
    assert!(refusal(MachineKind::Composite, 5).contains("use k up to 3"));
}
