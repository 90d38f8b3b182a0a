//! Entropy of attention in nats, and its other statistics: distance, largest logit, attention sinks.

use super::attention_maps::{AttentionMaps, Grid};

/// Statistics of attention, one entry per head.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AttentionStatistics {
    pub n_images: usize,
    /// `-sum_r A[p, r] ln A[p, r]` in nats, mean over queries and images; `ln P` where uniform.
    pub entropy_nats: Vec<f64>,
    /// `sum_r A[p, r] |p - r|` in pixels, mean over queries and images.
    pub distance_pixels: Vec<f64>,
    /// Largest logit of all queries, keys and images; empty if logits are unknown.
    pub largest_logit: Vec<f64>,
    /// The share of all attention that the most attended pixel of an image receives, mean over images: `1 / P` for
    /// uniform attention, 1 if all pixels attend to the same one (an attention sink).
    pub sink: Vec<f64>,
}

impl AttentionStatistics {
    /// Statistics of maps over the pixels of `grid`; `None` without maps or if sizes differ.
    pub fn of_maps(maps: &AttentionMaps, grid: Grid) -> Option<Self> {
        let n = maps.n_pixels();
        if maps.is_empty() || n != grid.n_pixels() {
            return None;
        }
        let distances: Vec<f64> = (0..n * n).map(|i| grid.distance(i / n, i % n)).collect();
        let mut all = Self { n_images: maps.len(), ..Self::default() };
        let n_rows = (maps.len() * n) as f64;
        for head in 0..maps.n_heads() {
            let (mut entropy, mut distance, mut sink) = (0.0, 0.0, 0.0);
            for image in 0..maps.len() {
                let map = maps.map(image, head);
                entropy += map.chunks_exact(n).map(row_entropy).sum::<f64>();
                let pairs = map.iter().zip(&distances);
                distance += pairs.map(|(&w, d)| f64::from(w) * d).sum::<f64>();
                let received =
                    |r: usize| map[r..].iter().step_by(n).map(|&w| f64::from(w)).sum::<f64>();
                sink += (0..n).map(received).fold(0.0, f64::max) / n as f64;
            }
            all.entropy_nats.push(entropy / n_rows);
            all.distance_pixels.push(distance / n_rows);
            all.sink.push(sink / maps.len() as f64);
        }
        Some(all)
    }

    /// Adds the statistics of other images, of the same heads.
    pub fn merge(&mut self, other: &Self) {
        if self.n_images == 0 || other.n_images == 0 {
            if self.n_images == 0 {
                *self = other.clone();
            }
            return;
        }
        let (a, b) = (self.n_images as f64, other.n_images as f64);
        let means = [
            (&mut self.entropy_nats, &other.entropy_nats),
            (&mut self.distance_pixels, &other.distance_pixels),
            (&mut self.sink, &other.sink),
        ];
        for (ours, theirs) in means {
            let pairs = ours.iter_mut().zip(theirs);
            pairs.for_each(|(x, y)| *x = (*x * a + y * b) / (a + b));
        }
        let pairs = self.largest_logit.iter_mut().zip(&other.largest_logit);
        pairs.for_each(|(x, &y)| *x = x.max(y));
        self.n_images += other.n_images;
    }
}

/// Entropy of one row of weights in nats; weights of zero contribute nothing.
pub fn row_entropy(row: &[f32]) -> f64 {
    row.iter().map(|&w| f64::from(w)).filter(|&w| w > 0.0).map(|w| -w * w.ln()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(side: usize, circular: bool) -> Grid {
        Grid { height: side, width: side, circular }
    }

    #[test]
    fn uniform_attention_has_the_logarithm_of_the_pixels() {
        let maps = AttentionMaps::new(2, 16, vec![1.0 / 16.0; 2 * 256]);
        let s = AttentionStatistics::of_maps(&maps, grid(4, true)).unwrap();
        assert!((s.entropy_nats[1] - 16_f64.ln()).abs() < 1e-6);
        assert!((s.sink[0] - 1.0 / 16.0).abs() < 1e-9);
        // Offsets per axis on a ring of four: 0, 1, 2, 1.
        let axis = [0.0_f64, 1.0, 2.0, 1.0];
        let mean = axis.iter().flat_map(|a| axis.map(|b| a.hypot(b))).sum::<f64>() / 16.0;
        assert!((s.distance_pixels[0] - mean).abs() < 1e-6);
    }

    #[test]
    fn the_identity_has_neither_entropy_nor_distance_nor_a_sink() {
        let eye = (0..81).map(|i| if i % 10 == 0 { 1.0 } else { 0.0 }).collect();
        let maps = AttentionMaps::new(1, 9, eye);
        let s = AttentionStatistics::of_maps(&maps, grid(3, false)).unwrap();
        assert_eq!((s.entropy_nats[0], s.distance_pixels[0], s.sink[0]), (0.0, 0.0, 1.0 / 9.0));
    }

    #[test]
    fn a_pixel_that_all_look_at_is_a_sink() {
        let maps = AttentionMaps::new(1, 4, [1.0, 0.0, 0.0, 0.0].repeat(4));
        assert_eq!(AttentionStatistics::of_maps(&maps, grid(2, false)).unwrap().sink, [1.0]);
    }

    #[test]
    fn maps_of_another_size_have_no_statistics() {
        let maps = AttentionMaps::new(1, 4, vec![0.25; 16]);
        assert!(AttentionStatistics::of_maps(&maps, grid(3, true)).is_none());
    }

    #[test]
    fn merged_statistics_are_those_of_all_images() {
        let weights: Vec<f32> = (0..48).map(|i| if i % 4 == i / 16 { 0.7 } else { 0.1 }).collect();
        let all = AttentionMaps::new(1, 4, weights);
        let of = |maps: &AttentionMaps| {
            let mut found = AttentionStatistics::of_maps(maps, grid(2, true)).unwrap();
            found.largest_logit = vec![maps.weights()[0].into()];
            found
        };
        let mut merged = AttentionStatistics::default();
        merged.merge(&of(&all.slice(1, 2)));
        merged.merge(&of(&all.slice(0, 1)));
        let whole = of(&all);
        assert_eq!((merged.n_images, &merged.largest_logit), (3, &whole.largest_logit));
        let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(close(merged.entropy_nats[0], whole.entropy_nats[0]));
        assert!(close(merged.distance_pixels[0], whole.distance_pixels[0]));
        assert!(close(merged.sink[0], whole.sink[0]));
    }
}
