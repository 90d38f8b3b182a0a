//! Attention maps as plain arrays, and statistics of them.
//!
//! Networks produce maps and score machines use them. Neither depends on the other, so the type is defined here.

use std::ops::Range;
use std::sync::Arc;

/// The pixel grid of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    pub height: usize,
    pub width: usize,
    /// Whether the image wraps round.
    pub circular: bool,
}

impl Grid {
    /// Number of pixels, `P`.
    pub fn n_pixels(&self) -> usize {
        self.height * self.width
    }

    /// Euclidean distance of two pixels, the shortest one if the image wraps round.
    pub fn distance(&self, p: usize, q: usize) -> f64 {
        let along = |a: usize, b: usize, n: usize| {
            let straight = a.abs_diff(b);
            if self.circular { straight.min(n - straight) } else { straight }
        };
        let rows = along(p / self.width, q / self.width, self.height);
        let columns = along(p % self.width, q % self.width, self.width);
        (rows as f64).hypot(columns as f64)
    }
}

/// Attention weights over pixels, `[B, heads, P, P]` with `P = H * W`; rows (the last axis) sum to 1.
///
/// Kept in `f32`: one 32x32 map is 4 MB, and networks compute in single precision. Copies and slices share the weights.
#[derive(Clone, Debug)]
pub struct AttentionMaps {
    n_heads: usize,
    n_pixels: usize,
    shared: Arc<Vec<f32>>,
    /// Which of the shared weights are those of these maps.
    range: Range<usize>,
}

impl PartialEq for AttentionMaps {
    fn eq(&self, other: &Self) -> bool {
        let sizes = |maps: &Self| (maps.n_heads, maps.n_pixels);
        sizes(self) == sizes(other) && self.weights() == other.weights()
    }
}

impl AttentionMaps {
    /// Maps with `weights`, `[B, heads, P, P]`.
    ///
    /// # Panics
    ///
    /// If `weights` are not a whole number of maps.
    pub fn new(n_heads: usize, n_pixels: usize, weights: Vec<f32>) -> Self {
        let per_image = n_heads * n_pixels * n_pixels;
        assert!(per_image > 0 && weights.len().is_multiple_of(per_image), "ragged attention maps");
        let range = 0..weights.len();
        Self { n_heads, n_pixels, shared: Arc::new(weights), range }
    }

    /// Number of images, `B`.
    pub fn len(&self) -> usize {
        self.range.len() / (self.n_heads * self.n_pixels * self.n_pixels)
    }

    /// Whether there are no maps.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Number of heads.
    pub fn n_heads(&self) -> usize {
        self.n_heads
    }

    /// Number of pixels, `P`.
    pub fn n_pixels(&self) -> usize {
        self.n_pixels
    }

    /// All weights, `[B, heads, P, P]`.
    pub fn weights(&self) -> &[f32] {
        &self.shared[self.range.clone()]
    }

    /// The map of one head and image, `[P, P]`: row `p` has the weights of query pixel `p`.
    pub fn map(&self, image: usize, head: usize) -> &[f32] {
        let area = self.n_pixels * self.n_pixels;
        let start = (image * self.n_heads + head) * area;
        &self.weights()[start..start + area]
    }

    /// The maps of images `start..start + n`. They share the weights with `self`, which therefore stay in memory as long
    /// as one of them does.
    ///
    /// # Panics
    ///
    /// If there are fewer images.
    pub fn slice(&self, start: usize, n: usize) -> Self {
        let per_image = self.n_heads * self.n_pixels * self.n_pixels;
        assert!((start + n) * per_image <= self.range.len(), "a slice of maps that are there");
        let first = self.range.start + start * per_image;
        Self { range: first..first + n * per_image, ..self.clone() }
    }
}

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
