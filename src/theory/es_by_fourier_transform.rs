//! `es` by correlations: the posterior over every circular shift of the training images, through Fourier transforms.
//!
//! With `<x, phi_n>(s) = sum_{c,p} x[c,p] phi_n[c,p+s]`, the formulas of [`super::ideal_and_es`] are correlations over shifts
//!
//! ```text
//! ||x - phi_n(. + s)||^2 = ||x||^2 + ||phi_n||^2 - 2 <x, phi_n>(s),   DFT_s <x, phi_n> = sum_c conj(X_c) Phi_nc
//! sums_c(p) = sum_{n,s} w[n,s] phi_n[c,p+s],                         DFT_p sums_c = sum_n conj(W_n) Phi_nc
//! ```
//!
//! so that an image costs two transforms of one plane instead of `2 C P^2` operations. Images are in the lanes of vectors.
//! `||x||^2` is common to all entries. Expanding the square cancels digits where there is little noise;
//! [`is_accurate`] tells where, and direct sums are used there.

use std::f64::consts::LOG2_E;

use faer::c64;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::cpu_kernels::posterior::pruned_nats;
use super::cpu_kernels::tile::Tile;
use super::image_dft::ImageDft;
use super::image_dft_of_lanes::{LanesDft, add_product};
use super::parallel_passes_over_dictionary::merged;
use super::posterior_weights::Accumulator;
use super::training_pixels::ImagePixels;
use crate::diffusion::Provenance;
use crate::image::ImageShape;
use crate::simd::{Buffer, Lane, lane::n_lanes};

/// Queries that share the transforms of the images.
const QUERIES_AT_ONCE: usize = 4;
/// Nats by which rounding may change a logit.
const LOGIT_ERROR_MAX: f64 = 1e-9;
/// Relative error of a correlation: some roundings per transform and product.
const CORRELATION_ERROR: f64 = 32.0 * f64::EPSILON;

/// Whether the expanded squares keep logits within 1e-9 nats. `x` is `x_t / sqrt(abar)`, `largest` the largest absolute
/// value of the images, `logit_scale` is `abar / (2 sigma^2)`.
pub fn is_accurate(x: &[f64], largest: f64, logit_scale: f64) -> bool {
    // |<x, phi>| is at most ||x|| ||phi||, and ||phi||^2 at most its largest square times the number of values.
    let norm = square(x).sqrt();
    let norm_of_image = largest * (x.len() as f64).sqrt();
    let size = 2.0 * norm * norm_of_image + norm_of_image * norm_of_image;
    logit_scale * size * CORRELATION_ERROR < LOGIT_ERROR_MAX
}

/// The posterior of each query over all images at every shift, which all pixels share: one pixel with the sums
/// `[C, H, W]` as its channels. Queries are `x_t / sqrt(abar)`, `[C, H, W]`.
pub fn posteriors_over_shifts(
    images: &ImagePixels,
    queries: &[&Vec<f64>],
    logit_scale: f64,
) -> Vec<Accumulator> {
    let shape = images.shape();
    let dft = ImageDft::new(shape.height, shape.width);
    let width = pruned_nats::<f64>(images.len() * shape.n_pixels()) / logit_scale;
    let queries: Vec<Query> = queries
        .par_iter()
        .map(|x| Query {
            logit_scale,
            width,
            square: square(x),
            spectra: x.chunks_exact(shape.n_pixels()).flat_map(|x| dft.forward(x)).collect(),
        })
        .collect();
    let groups: Vec<&[Query]> = queries.chunks(QUERIES_AT_ONCE).collect();
    let merge = |all: &mut Vec<Accumulator>, other: &Vec<Accumulator>| {
        all.iter_mut().zip(other).for_each(|(all, other)| all.merge(other));
    };
    let found = merged(merge, images.len(), &groups, |group, range| {
        let mut sums: Vec<ShiftSums<'_>> =
            group.iter().map(|query| ShiftSums::new(query, shape, &dft)).collect();
        let (mut tile, mut work) = (Tile::new(shape), Work::new(shape, &dft));
        for first in range.clone().step_by(n_lanes::<f64>()) {
            images.fill_tile(first..range.end, &mut tile);
            Arch::new().dispatch(AddTile { tile: &tile, work: &mut work, sums: &mut sums });
        }
        sums.into_iter().map(|sums| sums.finish(&dft)).collect::<Vec<_>>()
    });
    found.concat()
}

fn square(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum()
}

/// One noisy image.
struct Query {
    logit_scale: f64,
    /// An image is skipped if all its shifts are farther than the nearest entry by more than this squared distance.
    width: f64,
    /// `||x||^2`.
    square: f64,
    /// Transforms of its planes, `[C, F]`.
    spectra: Vec<c64>,
}

/// The running posterior of one query. Distances are squared, less `||x||^2`.
struct ShiftSums<'q> {
    query: &'q Query,
    shape: ImageShape,
    /// Distance of the nearest entry, to which weights are relative.
    nearest: f64,
    best: Provenance,
    /// Sums of weights and of weights times bits.
    total: f64,
    spread: f64,
    /// Transforms of the weighted sums of the images, `[C, F, 2, lanes]`.
    sums: Buffer<f64>,
}

impl<'q> ShiftSums<'q> {
    /// A posterior without entries.
    fn new(query: &'q Query, shape: ImageShape, dft: &ImageDft) -> Self {
        let sums = Buffer::zeros(shape.channels * dft.n_frequencies() * 2 * n_lanes::<f64>());
        let best = Provenance::default();
        Self { query, shape, nearest: f64::INFINITY, best, total: 0.0, spread: 0.0, sums }
    }

    /// The posterior as one pixel with the sums `[C, H, W]` as its channels.
    fn finish(self, dft: &ImageDft) -> Accumulator {
        let (query, n_lanes) = (self.query, n_lanes::<f64>());
        let mut all = Accumulator::new(self.shape.n_values(), 1);
        all.max[0] = -query.logit_scale * (self.nearest + query.square);
        all.total[0] = self.total;
        all.spread[0] = self.spread * std::f64::consts::LN_2;
        all.best[0] = self.best;
        let parts: Vec<f64> = self.sums.chunks_exact(n_lanes).map(|v| v.iter().sum()).collect();
        let spectra: Vec<c64> =
            parts.as_chunks().0.iter().map(|&[re, im]| c64 { re, im }).collect();
        let planes = spectra.chunks_exact(dft.n_frequencies());
        all.sums = planes.flat_map(|spectrum| dft.inverse(spectrum)).collect();
        all
    }

    /// Takes the nearest entry of a tile for the reference of weights if it is nearer than those before. `distances` are
    /// `[P, lanes]`.
    fn note_nearest(&mut self, distances: &[f64], tile: &Tile<f64>) {
        let n_lanes = n_lanes::<f64>();
        for (shift, lanes) in distances.chunks_exact(n_lanes).enumerate() {
            for (lane, &distance) in lanes[..tile.n_images()].iter().enumerate() {
                if distance < self.nearest {
                    self.lower_reference(distance);
                    let (row, column) = (shift / self.shape.width, shift % self.shape.width);
                    let image = (tile.first + lane) as u32;
                    self.best = Provenance { image, row: row as u16, column: column as u16 };
                }
            }
        }
    }

    fn lower_reference(&mut self, nearest: f64) {
        let bits = (nearest - self.nearest) * self.query.logit_scale * LOG2_E;
        self.nearest = nearest;
        if self.total == 0.0 {
            return;
        }
        let factor = bits.exp2();
        self.spread = factor * (self.spread + self.total * bits);
        self.total *= factor;
        self.sums.iter_mut().for_each(|sum| *sum *= factor);
    }

    /// Adds the images of a tile whose transforms `work` holds.
    #[inline(always)]
    fn add<S: Simd>(&mut self, simd: S, tile: &Tile<f64>, work: &mut Work<'_>) {
        let n_frequencies = self.query.spectra.len() / self.shape.channels;
        let (zero, minus_two) = (simd.splat_f64s(0.0), simd.splat_f64s(-2.0));
        let product = f64::vectors_mut::<S>(&mut work.product);
        let distances = f64::vectors_mut::<S>(&mut work.distances);
        let images = f64::vectors::<S>(&work.spectra);
        product.fill(zero);
        let planes = images.chunks_exact(2 * n_frequencies);
        for (x, image) in self.query.spectra.chunks_exact(n_frequencies).zip(planes) {
            let frequencies = image.chunks_exact(2).zip(product.chunks_exact_mut(2));
            for (x, (image, sum)) in x.iter().zip(frequencies) {
                add_product::<S>(simd, (x.re, -x.im), image, sum);
            }
        }
        work.dft.inverse::<S>(simd, product, distances);
        let squares = f64::vectors::<S>(&work.squares)[0];
        let mut nearest = simd.splat_f64s(f64::INFINITY);
        for distance in &mut *distances {
            *distance = simd.mul_add_e_f64s(minus_two, *distance, squares);
            nearest = simd.min_f64s(nearest, *distance);
        }
        if f64::any_less(simd, nearest, simd.splat_f64s(self.nearest)) {
            self.note_nearest(&work.distances, tile);
        }
        let limit = simd.splat_f64s(self.nearest + self.query.width);
        if !f64::any_within(simd, nearest, limit) {
            return;
        }
        self.weigh(simd, work);
        let weights = f64::vectors::<S>(&work.distances);
        let transform = f64::vectors_mut::<S>(&mut work.product);
        work.dft.forward::<S>(simd, weights, 1, transform);
        let sums = f64::vectors_mut::<S>(&mut self.sums).chunks_exact_mut(2 * n_frequencies);
        let images = f64::vectors::<S>(&work.spectra).chunks_exact(2 * n_frequencies);
        for (sums, image) in sums.zip(images) {
            let frequencies = sums.chunks_exact_mut(2).zip(image.chunks_exact(2));
            for (weight, (sum, image)) in transform.chunks_exact(2).zip(frequencies) {
                let [re, im] = [weight[0], weight[1]];
                let minus_im = simd.neg_f64s(im);
                sum[0] = simd.mul_add_e_f64s(re, image[0], sum[0]);
                sum[0] = simd.mul_add_e_f64s(im, image[1], sum[0]);
                sum[1] = simd.mul_add_e_f64s(re, image[1], sum[1]);
                sum[1] = simd.mul_add_e_f64s(minus_im, image[0], sum[1]);
            }
        }
    }

    /// Replaces the distances by weights and adds these to the sums; lanes without an image weigh nothing.
    #[inline(always)]
    fn weigh<S: Simd>(&mut self, simd: S, work: &mut Work<'_>) {
        // Nothing in doubles is left of what weighs less.
        let least_bits = simd.splat_f64s(-1000.0);
        let scale = simd.splat_f64s(self.query.logit_scale * LOG2_E);
        let reference = simd.splat_f64s(self.nearest);
        let counts = f64::vectors::<S>(&work.counts)[0];
        let zero = simd.splat_f64s(0.0);
        let (mut total, mut spread) = (zero, zero);
        for distance in f64::vectors_mut::<S>(&mut work.distances) {
            let bits = simd.mul_f64s(simd.sub_f64s(reference, *distance), scale);
            let bits = simd.max_f64s(bits, least_bits);
            let weight = simd.mul_f64s(<f64 as Lane>::exp2(simd, bits), counts);
            total = simd.add_f64s(total, weight);
            spread = simd.mul_add_e_f64s(weight, bits, spread);
            *distance = weight;
        }
        self.total += simd.reduce_sum_f64s(total);
        self.spread += simd.reduce_sum_f64s(spread);
    }
}

/// The transforms of a tile of images, and memory for one query.
struct Work<'a> {
    dft: LanesDft<'a>,
    /// `[C, F, 2, lanes]`.
    spectra: Buffer<f64>,
    /// `||phi||^2`, `[lanes]`.
    squares: Buffer<f64>,
    /// 1 in the lanes that hold an image, `[lanes]`.
    counts: Buffer<f64>,
    /// A transform, `[F, 2, lanes]`.
    product: Buffer<f64>,
    /// Distances or weights of all shifts, `[P, lanes]`.
    distances: Buffer<f64>,
}

impl<'a> Work<'a> {
    fn new(shape: ImageShape, dft: &'a ImageDft) -> Self {
        let (n_lanes, of_plane) = (n_lanes::<f64>(), 2 * dft.n_frequencies());
        Self {
            dft: LanesDft::new(dft),
            spectra: Buffer::zeros(shape.channels * of_plane * n_lanes),
            squares: Buffer::zeros(n_lanes),
            counts: Buffer::zeros(n_lanes),
            product: Buffer::zeros(of_plane * n_lanes),
            distances: Buffer::zeros(shape.n_pixels() * n_lanes),
        }
    }

    /// Transforms the images of `tile`.
    #[inline(always)]
    fn load<S: Simd>(&mut self, simd: S, tile: &Tile<f64>, shape: ImageShape) {
        let n_channels = shape.channels;
        let values = f64::vectors::<S>(tile.pixels(0..shape.n_pixels(), n_channels));
        let mut squares = simd.splat_f64s(0.0);
        for &value in values {
            squares = simd.mul_add_e_f64s(value, value, squares);
        }
        f64::vectors_mut::<S>(&mut self.squares)[0] = squares;
        for (lane, count) in self.counts.iter_mut().enumerate() {
            *count = if lane < tile.n_images() { 1.0 } else { 0.0 };
        }
        let spectra = f64::vectors_mut::<S>(&mut self.spectra);
        let each = spectra.len() / n_channels;
        for (c, spectrum) in spectra.chunks_exact_mut(each).enumerate() {
            self.dft.forward::<S>(simd, &values[c..], n_channels, spectrum);
        }
    }
}

struct AddTile<'s, 'q, 'a> {
    tile: &'s Tile<f64>,
    work: &'s mut Work<'a>,
    sums: &'s mut [ShiftSums<'q>],
}

impl WithSimd for AddTile<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { tile, work, sums } = self;
        let Some(first) = sums.first() else { return };
        work.load(simd, tile, first.shape);
        sums.iter_mut().for_each(|sums| sums.add(simd, tile, work));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::cpu_posteriors::whole_images;
    use super::super::training_pixels::Storage;
    use super::*;
    use crate::random::noise_seeds;

    /// The definition, entry by entry.
    fn direct(images: &ImagePixels, x: &[f64], logit_scale: f64) -> Accumulator {
        let shape = images.shape();
        let (height, width, n_pixels) = (shape.height, shape.width, shape.n_pixels());
        let mut all = Accumulator::new(shape.n_values(), 1);
        for n in 0..images.len() {
            let image = images.values(n..n + 1);
            for shift in 0..n_pixels {
                let (down, along) = (shift / width, shift % width);
                let value = |at: usize| {
                    let (c, p) = (at / n_pixels, at % n_pixels);
                    let (row, column) = ((p / width + down) % height, (p % width + along) % width);
                    image[c * n_pixels + row * width + column]
                };
                let squares = x.iter().enumerate().map(|(at, x)| (x - value(at)).powi(2));
                let logit = -logit_scale * squares.sum::<f64>();
                let (row, column) = (down as u16, along as u16);
                all.add(0, logit, Provenance { image: n as u32, row, column }, value);
            }
        }
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn it_is_the_posterior_over_every_shift(
            (c, h, w) in (1..4_usize, 1..7_usize, 1..8_usize),
            n in 1..41_usize,
            n_queries in 1..11_usize,
            scale in -3.0..4.0_f64,
            seed in 0..99_u64,
        ) {
            let (shape, logit_scale) = (ImageShape::new(c, h, w), scale.exp());
            let values = noise_seeds(seed, 0, n, shape).into_values();
            let images = ImagePixels::new(shape, Storage::Values(values)).unwrap();
            let queries = noise_seeds(seed + 1, 0, n_queries, shape);
            let queries: Vec<Vec<f64>> = queries.iter().map(<[f64]>::to_vec).collect();
            let each: Vec<&Vec<f64>> = queries.iter().collect();
            let found = posteriors_over_shifts(&images, &each, logit_scale);
            prop_assert_eq!(found.len(), n_queries);
            for (found, x) in found.iter().zip(&queries) {
                let expected = direct(&images, x, logit_scale);
                for (a, b) in found.mean().iter().zip(expected.mean()) {
                    prop_assert!((a - b).abs() < 1e-9, "mean {a} {b}");
                }
                let (a, b) = (found.log_sum(0), expected.log_sum(0));
                prop_assert!((a - b).abs() < 1e-9 * (1.0 + b.abs()), "log sum {a} {b}");
                prop_assert!((found.entropy(0) - expected.entropy(0)).abs() < 1e-8);
                prop_assert_eq!(found.best[0], expected.best[0]);
            }
        }
    }

    #[test]
    fn a_query_has_the_same_posterior_whatever_others_there_are() {
        let shape = ImageShape::new(2, 5, 4);
        let values = noise_seeds(1, 0, 70, shape).into_values();
        let images = ImagePixels::new(shape, Storage::Values(values)).unwrap();
        let queries: Vec<Vec<f64>> =
            noise_seeds(2, 0, 19, shape).iter().map(<[f64]>::to_vec).collect();
        let all = posteriors_over_shifts(&images, &queries.iter().collect::<Vec<_>>(), 0.4);
        let alone = posteriors_over_shifts(&images, &[&queries[12]], 0.4);
        assert_eq!(all[12].sums, alone[0].sums);
    }

    #[test]
    fn queries_by_either_way_keep_their_order() {
        let shape = ImageShape::new(2, 5, 4);
        let values = noise_seeds(1, 0, 9, shape).into_values();
        let images = ImagePixels::new(shape, Storage::Values(values)).unwrap();
        // The second is too large for expanded squares.
        let mut queries: Vec<Vec<f64>> =
            noise_seeds(2, 0, 3, shape).iter().map(<[f64]>::to_vec).collect();
        queries[1].iter_mut().for_each(|v| *v *= 1e7);
        let accurate: Vec<bool> =
            queries.iter().map(|x| is_accurate(x, images.largest(), 0.4)).collect();
        assert_eq!(accurate, [true, false, true]);
        for (x, found) in queries.iter().zip(whole_images(&images, &queries, true, 0.4)) {
            let expected = direct(&images, x, 0.4).mean();
            assert!(found.x0.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-9));
        }
    }

    #[test]
    fn squares_are_not_expanded_where_that_cancels_digits() {
        let x = vec![0.5; 972];
        assert!(is_accurate(&x, 1.0, 10.0) && !is_accurate(&x, 1.0, 1e6));
        assert!(!is_accurate(&[1e9; 4], 1e9, 1.0));
    }
}
