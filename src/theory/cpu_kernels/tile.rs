//! Training images side by side, one per vector lane: `[H W, C, lanes]`.
//!
//! One channel of a pixel of all images of a tile is one vector, so that sums over neighbouring pixels never shift lanes
//! and each lane can have the posterior of its own image.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use crate::image::ImageShape;
use crate::simd::{Buffer, Lane, lane::n_lanes};

/// Up to as many images as a vector has lanes.
#[derive(Debug)]
pub struct Tile<T> {
    n_lanes: usize,
    n_images: usize,
    /// Number of the first image.
    pub first: usize,
    values: Buffer<T>,
}

/// Sums to which the images of a tile can be added.
pub trait TileSums<T: Lane> {
    /// Adds the images of `tile` with the vectors of `simd`; see [`add_tile`]. To be marked `#[inline(always)]`.
    fn add<S: Simd>(&mut self, simd: S, tile: &Tile<T>);
}

/// Adds the images of `tile` to `sums`, compiled once per instruction set, which is chosen at run time. (A closure would
/// be compiled for the base instruction set.)
pub fn add_tile<T: Lane>(sums: &mut impl TileSums<T>, tile: &Tile<T>) {
    Arch::new().dispatch(AddTile { sums, tile });
}

struct AddTile<'a, A, T> {
    sums: &'a mut A,
    tile: &'a Tile<T>,
}

impl<T: Lane, A: TileSums<T>> WithSimd for AddTile<'_, A, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        assert_eq!(self.tile.n_lanes, T::n_lanes::<S>(), "tiles of vectors of this processor");
        self.sums.add(simd, self.tile);
    }
}

impl<T: Lane> Tile<T> {
    /// A tile for images of `shape`, without images.
    pub fn new(shape: ImageShape) -> Self {
        let n_lanes = n_lanes::<T>();
        let values = Buffer::zeros(shape.n_values() * n_lanes);
        Self { n_lanes, n_images: 0, first: 0, values }
    }

    /// Fills the tile with `images`, `[n, C, H, W]`, as many as fit; `first` is the number of the first one. Further
    /// lanes repeat the last image and do not count for [`Tile::n_images`].
    ///
    /// # Panics
    ///
    /// If there is no image.
    pub fn fill<V: Copy>(
        &mut self,
        shape: ImageShape,
        first: usize,
        images: &[V],
        value: impl Fn(V) -> T,
    ) {
        self.fill_pixels(shape, first, images, 0..shape.n_pixels(), value);
    }

    /// Like [`Tile::fill`] for some pixels only; the others keep their values.
    pub fn fill_pixels<V: Copy>(
        &mut self,
        shape: ImageShape,
        first: usize,
        images: &[V],
        pixels: Range<usize>,
        value: impl Fn(V) -> T,
    ) {
        let (n_channels, n_pixels, n_lanes) = (shape.channels, shape.n_pixels(), self.n_lanes);
        self.first = first;
        self.n_images = (images.len() / shape.n_values()).min(n_lanes);
        let image = |lane: usize| {
            let n = lane.min(self.n_images - 1);
            &images[n * shape.n_values()..(n + 1) * shape.n_values()]
        };
        for c in 0..n_channels {
            let planes: Vec<&[V]> =
                (0..n_lanes).map(|lane| &image(lane)[c * n_pixels..][pixels.clone()]).collect();
            let vectors = self.values.chunks_exact_mut(n_lanes);
            let vectors = vectors.skip(pixels.start * n_channels + c).step_by(n_channels);
            for (p, vector) in vectors.take(pixels.len()).enumerate() {
                for (to, plane) in vector.iter_mut().zip(&planes) {
                    *to = value(plane[p]);
                }
            }
        }
    }

    /// Number of images.
    pub fn n_images(&self) -> usize {
        self.n_images
    }

    /// The vectors of `pixels`, `[pixels, C]`.
    #[inline(always)]
    pub fn pixels(&self, pixels: Range<usize>, n_channels: usize) -> &[T] {
        let each = n_channels * self.n_lanes;
        &self.values[pixels.start * each..pixels.end * each]
    }
}
