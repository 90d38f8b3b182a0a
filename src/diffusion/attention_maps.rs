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
