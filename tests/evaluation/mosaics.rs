//! What samples are made of, against a plain search over all patches and shifts.

use mosaic_lab::dataset::Dataset;
use mosaic_lab::diffusion::Schedule;
use mosaic_lab::evaluation::copies_and_mosaics::Mosaics;
use mosaic_lab::image::{Augmentation, ImageBatch, ImageShape};
use mosaic_lab::network::network_config::{Architecture, NetworkConfig, Output, Padding, Readout};
use mosaic_lab::random::noise_seeds;

use crate::check_close;
use crate::plain::{mean, quantile, wilson};

const SIDE: usize = 8;
const N: usize = SIDE * SIDE;

/// The image that the nearest 3 x 3 patch (round the edges) comes from, and the value of its centre, by pixel.
fn nearest_patches(sample: &[f64], training: &[Vec<f64>]) -> Vec<(usize, f64)> {
    let at = |image: &[f64], p: usize, dr: usize, dc: usize| {
        image[(p / SIDE + dr + SIDE - 1) % SIDE * SIDE + (p % SIDE + dc + SIDE - 1) % SIDE]
    };
    let nearest = |p: usize| {
        let mut best = (f64::INFINITY, 0, 0.0);
        for (which, image) in training.iter().enumerate() {
            for q in 0..N {
                let window =
                    (0..9).map(|i| at(sample, p, i / 3, i % 3) - at(image, q, i / 3, i % 3));
                let distance: f64 = window.map(|d| d * d).sum();
                if distance < best.0 {
                    best = (distance, which, image[q]);
                }
            }
        }
        (best.1, best.2)
    };
    (0..N).map(nearest).collect()
}

/// Number of 4-connected regions of equal labels on a torus.
fn n_regions(labels: &[usize]) -> usize {
    let mut region: Vec<usize> = (0..N).collect();
    loop {
        let before = region.clone();
        for p in 0..N {
            let right = p / SIDE * SIDE + (p + 1) % SIDE;
            for q in [right, (p + SIDE) % N] {
                if labels[p] == labels[q] {
                    let least = region[p].min(region[q]);
                    (region[p], region[q]) = (least, least);
                }
            }
        }
        if region == before {
            return (0..N).filter(|&p| region[p] == p).count();
        }
    }
}

/// Distances to all training images at their best circular shifts, root mean square, nearest first.
fn distances(sample: &[f64], training: &[Vec<f64>]) -> Vec<f64> {
    let least = |image: &Vec<f64>| {
        let shifted = |s: usize| -> f64 {
            let value = |p: usize| {
                sample[(p / SIDE + s / SIDE) % SIDE * SIDE + (p % SIDE + s % SIDE) % SIDE]
            };
            (0..N).map(|p| (value(p) - image[p]).powi(2)).sum()
        };
        ((0..N).map(shifted).fold(f64::INFINITY, f64::min) / N as f64).sqrt()
    };
    let mut all: Vec<f64> = training.iter().map(least).collect();
    all.sort_by(|a, b| a.partial_cmp(b).unwrap());
    all
}

#[test]
fn figures_of_mosaics_are_those_of_a_search_over_all_patches() {
    let shape = ImageShape::new(1, SIDE, SIDE);
    let pixels: Vec<u8> =
        (0..4 * N as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let data = Dataset::new("noise", shape, pixels, None);
    let network = NetworkConfig {
        schedule: Schedule::default(),
        image: shape,
        architecture: Architecture::ResNet { width: 16, kernels: vec![] },
        padding: Padding::Circular,
        group_norm: false,
        last_kernel: 1,
        readout: Readout::Linear,
        n_classes: None,
        attention: None,
        output: Output::Noise,
        time_scale: 1.0,
        clamp: true,
    };
    let training: Vec<Vec<f64>> = data.batch(0, 4).iter().map(<[f64]>::to_vec).collect();
    // A shifted copy, two halves of images, three noisy ones, and noise.
    let shifted = (0..N).map(|p| training[2][(p + 3 * SIDE) % N]).collect();
    let halves = [&training[0][..N / 2], &training[3][N / 2..]].concat();
    let noise = noise_seeds(5, 0, 4, shape);
    let mut all: Vec<Vec<f64>> = vec![shifted, halves];
    for (i, strength) in [0.06, 0.3, 0.5].into_iter().enumerate() {
        let pairs = training[i].iter().zip(noise.image(i));
        all.push(pairs.map(|(v, eps)| v + strength * eps).collect());
    }
    all.push(noise.image(3).to_vec());

    let samples = ImageBatch::new(shape, all.concat());
    let mosaics = Mosaics::new(&data, &network, &[], Augmentation::None).unwrap();
    let found = mosaics.figures("them", &samples).unwrap();
    let (mut n_copies, mut nearest, mut n_centres) = (0, Vec::new(), 0);
    let (mut leading, mut used, mut areas) = (Vec::new(), Vec::new(), Vec::new());
    for sample in &all {
        let distances = distances(sample, &training);
        n_copies += usize::from(distances[0] / distances[1] < 1.0 / 3.0);
        nearest.push(distances[0]);
        let patches = nearest_patches(sample, &training);
        n_centres += patches.iter().zip(sample).filter(|((_, c), v)| (c - *v).abs() <= 0.1).count();
        let images: Vec<usize> = patches.iter().map(|(image, _)| *image).collect();
        let counts = [0, 1, 2, 3].map(|which| images.iter().filter(|i| **i == which).count());
        leading.push(*counts.iter().max().unwrap() as f64 / N as f64);
        used.push(counts.iter().filter(|count| **count > 0).count() as f64);
        areas.push(N as f64 / n_regions(&images) as f64);
    }
    assert!((2..5).contains(&n_copies), "some are copies: {n_copies}");
    for (found, expected) in found.copies.into_iter().zip(wilson(n_copies, all.len())) {
        check_close(found, expected, 1e-9, "copies");
    }
    let figures = [
        ("distance", found.distance.unwrap(), quantile(&nearest, 0.5)),
        ("centres", found.centres, n_centres as f64 / (all.len() * N) as f64),
        ("leading share", found.leading_share, mean(&leading)),
        ("images used", found.images_used, mean(&used)),
        ("region area", found.region_area, mean(&areas)),
    ];
    for (what, found, expected) in figures {
        check_close(found, expected, 1e-9, what);
    }
}
