//! Arguments and results of the kernels that keep something per image and pixel (`kernels/evidence.cuh`).

use super::launch_arguments::{Found, Launch, N_OTHERS, accumulator};
use crate::diffusion::Provenance;
use crate::theory::image_evidence::ImageMixture;

/// Largest size of the temporary buffers of a launch.
const LAUNCH_BYTES: usize = 1 << 30;
/// Most images of a launch: they are blocks along the second axis.
pub const IMAGES_MAX: usize = u16::MAX as usize;

/// Evidence of `n` images, without the size of the pool; see [`crate::theory::image_evidence`].
#[derive(Clone, Debug, Default)]
pub struct FoundEvidence {
    /// `logsumexp_q L[n,q,p]` in nats, `[n, P]`.
    pub log_sums: Vec<f32>,
    /// Entropy of the patch weights within an image in nats, `[n, P]`.
    pub entropies: Vec<f32>,
    /// Estimates within each image, `[n, C, P]`.
    pub estimates: Vec<f32>,
    /// Logarithm of the largest patch weight within an image, `[n, P]`.
    pub log_weights: Vec<f32>,
    /// The training pixel of that patch, `[n, P]`.
    pub places: Vec<i32>,
}

/// Votes that are added to the evidence of images, times lambda, before the softmax over images.
#[derive(Clone, Copy, Debug)]
pub enum Votes<'a> {
    Nothing,
    /// The evidence itself: identity attention.
    Own,
    /// One number per image, `[N]`.
    Images(&'a [f32]),
    /// `sum_r W[r,p] E[n,r]`, W of `[P, P]`.
    Shared(&'a [f32]),
}

/// The coordinates (channels of pixels, pixel by pixel) that each coordinate sees; see [`crate::theory::ls_wiener`].
#[derive(Clone, Copy, Debug)]
pub struct Mask<'a> {
    /// `[d, ceil(d / 32)]`: bit `m % 32` of word `m / 32` of row j is set if m sees j.
    pub bits: &'a [u32],
    /// Nats per squared distance.
    pub logit_scale: f32,
}

impl Mask<'_> {
    /// The variance of the noise: the expected squared difference of a coordinate from its own image.
    pub fn typical(&self) -> f32 {
        0.5 / self.logit_scale
    }
}

/// The mixture of a launch's images from one block of sums in the layout of `mix_images`.
pub fn mixture(launch: &Launch, found: &Found) -> ImageMixture {
    let (n_channels, n_pixels) = (launch.plan.channels as usize, launch.n_pixels());
    mixture_of(found, n_channels, n_pixels, launch.plan.width as usize)
}

/// Like [`mixture`] for coordinates, each of which is a pixel in one long row.
pub fn mixture_by_coordinate(launch: &Launch, found: &Found) -> ImageMixture {
    mixture_of(found, 1, launch.n_values(), launch.n_values())
}

fn mixture_of(found: &Found, n_channels: usize, n_pixels: usize, width: usize) -> ImageMixture {
    let sizes = (n_channels + 1, n_pixels);
    let mixture = accumulator(&found.sums, &found.best, sizes, width);
    let top = |(p, &place): (usize, &Provenance)| match found.sums[p] {
        f64::INFINITY => (place, f64::NEG_INFINITY),
        _ => (place, -f64::from(found.nearest[p])),
    };
    let top = mixture.best.iter().enumerate().map(top).collect();
    ImageMixture { mixture, top }
}

/// Bytes of temporary buffers for one image.
pub fn bytes_of_image(n_channels: usize, n_pixels: usize) -> usize {
    let doubles = N_OTHERS + n_channels;
    let singles = n_channels + 8;
    n_pixels * (doubles * size_of::<f64>() + singles * size_of::<f32>())
}

/// Images of one launch, so that its temporary buffers stay below a gigabyte.
pub fn images_per_launch(n_channels: usize, n_pixels: usize) -> usize {
    (LAUNCH_BYTES / bytes_of_image(n_channels, n_pixels)).clamp(1, IMAGES_MAX)
}
