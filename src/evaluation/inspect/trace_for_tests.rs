//! A trace for the tests of its files, pictures and tables.

use half::f16;

use super::trace::{Actor, AttentionTrace, PosteriorTrace, Trace};
use crate::image::ImageShape;

/// A network with two heads and one machine on 2x2 grey images, two steps.
pub fn example() -> Trace {
    let values = |n: usize, seed: usize| -> Vec<f32> {
        (0..n).map(|i| ((i * 7 + seed) % 11) as f32 / 5.5 - 1.0).collect()
    };
    let actor = |name: &str, seed| Actor {
        name: name.into(),
        states: values(8, seed),
        x0: values(8, seed + 1),
        sample: values(4, seed + 2),
        ..Actor::default()
    };
    let weights = (0..2 * 2 * 16).map(|i| f16::from_f32([0.5, 0.25, 0.25, 0.0][i % 4]));
    let mut network = actor("network", 0);
    network.maps = Some(AttentionTrace { n_heads: 2, weights: weights.collect() });
    let mut machine = actor("els", 3);
    machine.without_attention = values(8, 5);
    machine.posterior = Some(PosteriorTrace {
        entropy: values(8, 4),
        places: (0..8).flat_map(|i| [i % 3, i / 4, i % 2]).collect(),
        symmetries: (0..8).map(|i| u32::from(i == 7)).collect(),
        leading: (0..48).map(|i| i % 3).collect(),
        weights: (0..48).map(|i| [0.5, 0.3, 0.2, 0.0, 0.0, 0.0][i % 6]).collect(),
    });
    Trace {
        run: "a-000000".into(),
        step: 9,
        seed: 5,
        shape: ImageShape::new(1, 2, 2),
        levels: vec![0.5, 1.0],
        actors: vec![network, machine],
        images: (0..3).map(|n| (n, values(4, n as usize))).collect(),
        n_images: 64,
    }
}
