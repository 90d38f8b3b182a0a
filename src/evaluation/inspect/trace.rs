//! The trajectories of the network and of every machine from one noise seed, as arrays.

use half::f16;

use crate::image::{ImageShape, Symmetry};

/// Number of training images with the largest weights that are kept for each pixel.
pub const N_LEADING: usize = 6;

/// The trajectories of the network and of every machine from one noise seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    pub run: String,
    /// Training step of the network.
    pub step: u64,
    pub seed: u64,
    pub shape: ImageShape,
    /// t of each sampling step, cleanest first: `i / T` at `i - 1`.
    pub levels: Vec<f64>,
    /// The network first.
    pub actors: Vec<Actor>,
    /// Training images that any posterior refers to, by their number in the data set, in increasing order.
    pub images: Vec<(u32, Vec<f32>)>,
    /// Size of the data set.
    pub n_images: usize,
}

/// One denoiser along its own trajectory. The first axis of all arrays is the step, cleanest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Actor {
    pub name: String,
    /// `x_t`, `[T, C, P]`.
    pub states: Vec<f32>,
    /// `x0hat`, `[T, C, P]`.
    pub x0: Vec<f32>,
    /// What x0hat would be without attention at the same states, `[T, C, P]`: of `attention-optimal` only, otherwise empty.
    pub without_attention: Vec<f32>,
    /// The sample, `[C, P]`.
    pub sample: Vec<f32>,
    pub maps: Option<AttentionTrace>,
    pub posterior: Option<PosteriorTrace>,
}

/// Attention, measured or predicted.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionTrace {
    pub n_heads: usize,
    /// `[T, heads, P, P]`; a row sums to 1.
    pub weights: Vec<f16>,
}

/// A machine's posterior at each pixel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PosteriorTrace {
    /// Nats, `[T, P]`.
    pub entropy: Vec<f32>,
    /// The likeliest patch: image, row, column; `[T, P, 3]`.
    pub places: Vec<u32>,
    /// How the image of that patch was mirrored or turned, by [`Symmetry::number`], `[T, P]`; empty if the machine compares with
    /// no such copies.
    pub symmetries: Vec<u32>,
    /// The training images that weigh most, `[T, P, N_LEADING]`; empty for machines of whole images.
    pub leading: Vec<u32>,
    /// Their weights, which sum to at most 1; 0 where there are fewer images.
    pub weights: Vec<f32>,
}

impl Trace {
    pub fn n_steps(&self) -> usize {
        self.levels.len()
    }

    /// Image `index` of an array `[T, C, P]`.
    pub fn at<'a>(&self, values: &'a [f32], index: usize) -> &'a [f32] {
        let n = self.shape.n_values();
        &values[index * n..(index + 1) * n]
    }

    /// The training image with that number, if the trace holds it.
    pub fn image(&self, number: u32) -> Option<&[f32]> {
        let at = self.images.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(&self.images[at].1)
    }
}

impl AttentionTrace {
    /// The attention weights of pixel `p` at step `index` in one head, `[P]`.
    pub fn row(&self, n_pixels: usize, index: usize, head: usize, p: usize) -> Vec<f32> {
        let start = ((index * self.n_heads + head) * n_pixels + p) * n_pixels;
        self.weights[start..start + n_pixels].iter().map(|weight| weight.to_f32()).collect()
    }
}

impl PosteriorTrace {
    /// The likeliest patch of pixel `p` at step `index`: image, row, column.
    pub fn place(&self, n_pixels: usize, index: usize, p: usize) -> [u32; 3] {
        let start = (index * n_pixels + p) * 3;
        [self.places[start], self.places[start + 1], self.places[start + 2]]
    }

    /// How the likeliest patch of pixel `p` at step `index` was mirrored or turned, in words; empty if it was not.
    pub fn symmetry(&self, n_pixels: usize, index: usize, p: usize) -> String {
        let number = self.symmetries.get(index * n_pixels + p).copied().unwrap_or(0);
        let symmetry = u8::try_from(number).ok().and_then(Symmetry::from_number);
        symmetry.unwrap_or_default().words()
    }

    /// The images that weigh most at pixel `p` at step `index`, with their weights.
    pub fn leading(&self, n_pixels: usize, index: usize, p: usize) -> Vec<(u32, f32)> {
        let start = (index * n_pixels + p) * N_LEADING;
        let range = start..start + N_LEADING;
        let pairs = self.leading.get(range.clone()).zip(self.weights.get(range));
        let pairs = pairs.into_iter().flat_map(|(images, weights)| images.iter().zip(weights));
        pairs.map(|(image, weight)| (*image, *weight)).filter(|(_, weight)| *weight > 0.0).collect()
    }
}
