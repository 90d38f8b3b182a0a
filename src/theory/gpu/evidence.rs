//! What training images say about the pixels of one query, image by image, as GPUs tell it; see
//! [`crate::theory::evidence`] and `kernels/evidence.cuh`.

use super::plan::{Found, Launch, N_OTHERS};
use crate::diffusion::Provenance;
use crate::theory::evidence::ImageMixture;

/// Bytes that a launch may take for what is known of each image and pixel.
const LAUNCH_BYTES: usize = 1 << 30;
/// Blocks along the second axis, which are images.
pub const IMAGES_MAX: usize = u16::MAX as usize;

/// What some images say, in the order of the images.
#[derive(Clone, Debug, Default)]
pub struct FoundEvidence {
    /// `logsumexp_q L[n,q,p]` in nats, `[n, P]`.
    pub log_sums: Vec<f32>,
    /// Of the patch weights within an image, in nats, `[n, P]`.
    pub entropies: Vec<f32>,
    /// `[n, C, P]`.
    pub estimates: Vec<f32>,
    /// Logarithm of the largest patch weight within an image, `[n, P]`.
    pub log_weights: Vec<f32>,
    /// The training pixel that has it, `[n, P]`.
    pub places: Vec<i32>,
}

/// What is added to images' evidence, times lambda, before they are weighed against each other.
#[derive(Clone, Copy, Debug)]
pub enum Votes<'a> {
    Nothing,
    /// The evidence itself.
    Own,
    /// A number an image of the dictionary.
    Images(&'a [f32]),
    /// `sum_r W[r,p] E[n,r]`, W of `[P, P]`.
    Shared(&'a [f32]),
}

/// Which coordinates (channels of pixels, pixel by pixel) each of them sees; see [`crate::theory::masked`].
#[derive(Clone, Copy, Debug)]
pub struct Mask<'a> {
    /// `[d, ceil(d / 32)]`: bit `m % 32` of word `m / 32` of row j, where m sees j.
    pub bits: &'a [u32],
    /// Nats per squared distance.
    pub logit_scale: f32,
}

impl Mask<'_> {
    /// The variance of the noise, which is what a coordinate's squared difference from its own image is typically.
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
    let mut all = ImageMixture::new(n_channels, n_pixels);
    for p in 0..n_pixels {
        let sum = |which: usize| found.sums[which * n_pixels + p];
        if sum(0) == f64::INFINITY {
            continue;
        }
        let mixture = &mut all.mixture;
        mixture.max[p] = -std::f64::consts::LN_2 * sum(0);
        mixture.total[p] = sum(1);
        mixture.spread[p] = std::f64::consts::LN_2 * sum(2);
        for c in 0..=n_channels {
            mixture.sums[c * n_pixels + p] = sum(N_OTHERS + c);
        }
        let (image, pixel) = (found.best[p] as u32, found.best[n_pixels + p] as usize);
        let (row, column) = ((pixel / width) as u16, (pixel % width) as u16);
        let place = Provenance { image, row, column };
        mixture.best[p] = place;
        all.top[p] = (place, -f64::from(found.nearest[p]));
    }
    all
}

/// Bytes that a GPU needs for what is known of each pixel of one image.
pub fn bytes_of_image(n_channels: usize, n_pixels: usize) -> usize {
    let doubles = N_OTHERS + n_channels;
    let singles = n_channels + 8;
    n_pixels * (doubles * size_of::<f64>() + singles * size_of::<f32>())
}

/// Images of one launch, so that what is known of each image and pixel fits.
pub fn images_per_launch(n_channels: usize, n_pixels: usize) -> usize {
    (LAUNCH_BYTES / bytes_of_image(n_channels, n_pixels)).clamp(1, IMAGES_MAX)
}
