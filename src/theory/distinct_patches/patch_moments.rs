//! Posterior moments of the patch around each pixel: what a local denoiser can know about it, in few numbers.
//!
//! ```text
//! w[j,p]  posterior weights over distinct patches (the parent module), exact
//! psi[m,p] = sum_j w[j,p] M[j,m]      M: centre colour and its squares, leading principal components of the patch
//! ```
//!
//! and one that is no sum: the entropy of `w` in nats. The first `C` moments are the estimate `x0hat` of `els` or `bbels`. Principal components are those of all patches of the dictionary with a
//! border of zeros, as a network with zero padding sees them.

use faer::{Mat, Side};

use super::patch_table::{DistinctPatches, GroupTable};
use super::patch_weights::GroupQuery;
use crate::diffusion::NoiseLevel;
use crate::image::ImageShape;
use crate::simd::lane::n_lanes;
use crate::theory::cpu_kernels::{PatchQuery, logit_scale};
use crate::theory::error::TheoryError;
use crate::theory::patch_pools_ls_els_bbels::Pool;
use crate::theory::patch_window::PatchWindow;
use crate::theory::training_pixels::ImagePixels;

/// Deviations up to this are rounding errors of a constant moment.
const DEVIATION_MIN: f64 = 1e-9;

/// The distinct patches of a dictionary, with their moments in place of their centres.
#[derive(Debug)]
pub struct PatchMoments {
    patches: DistinctPatches,
    pool: Pool,
    k: usize,
    n_means: usize,
    scales: Vec<Scale>,
}

/// Mean and standard deviation of a moment over the patches of the dictionary; of the entropy, half its largest value
/// (twice).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    pub mean: f64,
    pub deviation: f64,
}

impl PatchMoments {
    /// The moments of patches of side `k` of `images` with at most `n_components` principal components.
    ///
    /// # Errors
    ///
    /// If the eigenvalues of the patches' covariance do not converge.
    pub fn new(
        images: &ImagePixels,
        pool: Pool,
        k: usize,
        n_components: usize,
    ) -> Result<Self, TheoryError> {
        let mut patches = DistinctPatches::of(images, pool, k);
        let shape = patches.shape;
        let components = principal_components(&patches, k, n_components)?;
        for (table, scores) in patches.groups.iter_mut().zip(&components) {
            let centres = std::mem::take(&mut table.centres);
            let n_scores = scores.len() / table.n_patches();
            let rows = centres.chunks_exact(shape.channels).zip(scores.chunks_exact(n_scores));
            table.centres = rows
                .flat_map(|(centre, scores)| {
                    let squares = centre.iter().map(|v| v * v);
                    centre.iter().copied().chain(squares).chain(scores.iter().copied())
                })
                .collect();
        }
        let n_means = patches.groups[0].centres.len() / patches.groups[0].n_patches();
        let scales = scales(&patches, n_means);
        Ok(Self { patches, pool, k, n_means, scales })
    }

    /// The scale of each moment, `M`; no deviation is 0.
    pub fn scales(&self) -> &[Scale] {
        &self.scales
    }

    /// Moments of a pixel, `M`.
    pub fn n_moments(&self) -> usize {
        self.n_means + 1
    }

    /// Distinct patches of all groups of pixels.
    pub fn n_patches(&self) -> usize {
        self.patches.groups.iter().map(GroupTable::n_patches).sum()
    }

    /// Shape of an image.
    pub fn shape(&self) -> ImageShape {
        self.patches.shape
    }

    /// The moments of every pixel of the noisy image `x`, `[C, H, W]`: `[M, P]`.
    pub fn of_image(&self, x: &[f64], level: NoiseLevel) -> Vec<f32> {
        let shape = self.patches.shape;
        let (n_pixels, signal) = (shape.n_pixels(), level.signal());
        let scaled: Vec<f32> = x.iter().map(|v| (v / signal) as f32).collect();
        let (pool, k, logit_scale) = (self.pool, self.k, logit_scale(level));
        let query =
            PatchQuery { shape, pool, k, window: PatchWindow::Square, x: &scaled, logit_scale };
        let mut all = vec![0.0; self.n_moments() * n_pixels];
        for table in &self.patches.groups {
            let group = GroupQuery::new(table, &query);
            let n_compared = table.n_compared(self.patches.n_images);
            let mut sums = group.no_sums();
            for at in 0..group.n_vectors() {
                group.weigh(&group.distances(at), &table.all, n_compared, &mut sums);
                for (lane, p) in table.query_pixels(at, n_lanes::<f32>(), shape.width) {
                    let total = sums.total(lane);
                    let mut put = |m: usize, value: f64| all[m * n_pixels + p] = value as f32;
                    (0..self.n_means).for_each(|m| put(m, sums.sum(lane, m) / total));
                    put(self.n_means, (total.ln() - sums.spread(lane) / total).max(0.0));
                }
            }
        }
        all
    }
}

/// The scales of `n_means` means and of the entropy.
fn scales(patches: &DistinctPatches, n_means: usize) -> Vec<Scale> {
    let tables = || patches.groups.iter();
    let entries = |m: usize| {
        tables().flat_map(move |table| {
            let values = table.centres.iter().skip(m).step_by(n_means);
            values.zip(&table.all).map(|(&value, entry)| (value, f64::from(entry.count)))
        })
    };
    let of_moment = |m: usize| {
        let total: f64 = entries(m).map(|(_, count)| count).sum();
        let mean = entries(m).map(|(value, count)| count * value).sum::<f64>() / total;
        let squares = entries(m).map(|(value, count)| count * (value - mean).powi(2));
        let deviation = (squares.sum::<f64>() / total).sqrt();
        Scale { mean, deviation: if deviation > DEVIATION_MIN { deviation } else { 1.0 } }
    };
    let n_patches = tables().map(GroupTable::n_patches).max().unwrap_or(0).max(2);
    let half = (n_patches as f64).ln() / 2.0;
    (0..n_means).map(of_moment).chain([Scale { mean: half, deviation: half }]).collect()
}

/// The scores of every distinct patch along the leading principal components, `[K, components]` for each group.
fn principal_components(
    patches: &DistinctPatches,
    k: usize,
    n_components: usize,
) -> Result<Vec<Vec<f64>>, TheoryError> {
    let n_values = patches.shape.channels * k * k;
    let mut mean = vec![0.0; n_values];
    let mut total = 0.0;
    let each = |visit: &mut dyn FnMut(usize, f64, &[f64])| {
        for (group, table) in patches.groups.iter().enumerate() {
            for (patch, entry) in table.all.iter().enumerate() {
                let values = window_values(table, patch, patches.shape.channels, k);
                visit(group, f64::from(entry.count), &values);
            }
        }
    };
    each(&mut |_, count, values| {
        total += count;
        mean.iter_mut().zip(values).for_each(|(mean, v)| *mean += count * v);
    });
    mean.iter_mut().for_each(|mean| *mean /= total);
    let mut covariance = Mat::<f64>::zeros(n_values, n_values);
    each(&mut |_, count, values| {
        let share = count / total;
        let centred: Vec<f64> = values.iter().zip(&mean).map(|(v, mean)| v - mean).collect();
        for (j, b) in centred.iter().enumerate().filter(|(_, b)| **b != 0.0) {
            for (i, a) in centred.iter().enumerate() {
                covariance[(i, j)] += share * a * b;
            }
        }
    });
    let eigen = covariance
        .self_adjoint_eigen(Side::Lower)
        .map_err(|problem| TheoryError::Eigen { problem: format!("{problem:?}") })?;
    let n_components = n_components.min(n_values);
    let vectors = eigen.U();
    let mut scores = vec![Vec::new(); patches.groups.len()];
    each(&mut |group, _, values| {
        scores[group].extend((1..=n_components).map(|c| {
            let column = n_values - c;
            let pairs = values.iter().zip(&mean).enumerate();
            pairs.map(|(i, (v, mean))| vectors[(i, column)] * (v - mean)).sum::<f64>()
        }));
    });
    Ok(scores)
}

/// The values of a patch in a window of `k` by `k` pixels, `[C, k, k]`: 0 where it is cut.
fn window_values(table: &GroupTable, patch: usize, n_channels: usize, k: usize) -> Vec<f64> {
    let (h, w) = (table.rows.n_offsets, table.columns.n_offsets);
    let (down, right) = (k / 2 - table.rows.before, k / 2 - table.columns.before);
    let mut values = vec![0.0; n_channels * k * k];
    for (row, strip) in table.patches[patch * h..(patch + 1) * h].iter().enumerate() {
        let strip = &table.strips[*strip as usize * n_channels * w..][..n_channels * w];
        for (c, line) in strip.chunks_exact(w).enumerate() {
            values[(c * k + down + row) * k + right..][..w].copy_from_slice(line);
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::diffusion::{Denoiser, Schedule};
    use crate::image::ImageBatch;
    use crate::random::noise_seeds;
    use crate::theory::machine_spec::{MachineKind, MachineSpec, PatchSize};
    use crate::theory::{Machine, Precision, TrainingImages};

    /// Images of two values, so that patches repeat.
    fn images(shape: ImageShape) -> Arc<TrainingImages> {
        let noise = noise_seeds(3, 0, 3, shape).into_values();
        let values = noise.into_iter().map(|v| if v > 1.0 { 1.0 } else { -0.5 }).collect();
        Arc::new(TrainingImages::from_values(shape, values).unwrap())
    }

    #[test]
    fn moments_are_those_of_the_posterior_over_all_patches() {
        let shape = ImageShape::new(2, 5, 6);
        let images = images(shape);
        let (x, level) = (noise_seeds(8, 0, 1, shape), Schedule::Cosine.level(0.6));
        let kinds = [MachineKind::EquivariantLocal, MachineKind::BoundaryBroken];
        for (kind, pool) in kinds.into_iter().zip([Pool::Wrap, Pool::SameBorder]) {
            let moments = PatchMoments::new(images.pixels(), pool, 3, 4).unwrap();
            let found = moments.of_image(x.values(), level);
            let n_pixels = shape.n_pixels();
            let spec = MachineSpec::new(kind, PatchSize::Fixed(3));
            let machine = Machine::new(spec.clone(), images.clone(), Precision::F64, None).unwrap();
            let exact = machine.with_posterior(true).denoise(&x, level).unwrap();
            let scale = moments.scales()[0];
            let red: Vec<f64> =
                images.values(0..3).chunks(60).flat_map(|v| v[..30].to_vec()).collect();
            let mean = red.iter().sum::<f64>() / red.len() as f64;
            assert!((scale.mean - mean).abs() < 1e-12 && scale.deviation > 0.1, "{scale:?} {mean}");
            let squares = images.values(0..3).iter().map(|v| v * v).collect();
            // Whole images of squares at the same weights: values of a patch other than its centre do not matter.
            let check = |name: &str, m: usize, expected: &[f64]| {
                let found = &found[m * n_pixels..][..expected.len()];
                for (p, (a, b)) in found.iter().zip(expected).enumerate() {
                    assert!((f64::from(*a) - b).abs() < 1e-4, "{pool:?}, {name} at {p}: {a} {b}");
                }
            };
            check("centre", 0, exact.x0.values());
            let entropy = exact.posterior.unwrap().entropy_nats;
            check("entropy", moments.n_means, &entropy);
            let squares: Vec<f64> = squares_of(&images, squares, pool, &x, level);
            check("square", shape.channels, &squares);
        }
    }

    /// The posterior means of the squares of centres, by the definition: loops over all patches of all images.
    fn squares_of(
        images: &TrainingImages,
        squares: Vec<f64>,
        pool: Pool,
        x: &ImageBatch,
        level: NoiseLevel,
    ) -> Vec<f64> {
        let shape = images.shape();
        let (h, w, n_pixels) = (shape.height, shape.width, shape.n_pixels());
        let values = images.values(0..images.len());
        let mut means = vec![0.0; shape.n_values()];
        for p in 0..n_pixels {
            let mut sums = vec![0.0; shape.channels + 1];
            for n in 0..images.len() {
                for q in 0..n_pixels {
                    let shift = |p: usize, q: usize, len: usize| (q + len - p) % len;
                    let is_compared = pool.accepts(3, h, p / w, shift(p / w, q / w, h))
                        && pool.accepts(3, w, p % w, shift(p % w, q % w, w));
                    if !is_compared {
                        continue;
                    }
                    let mut distance = 0.0;
                    for c in 0..shape.channels {
                        for (dr, dc) in (0..9).map(|i| (i / 3, i % 3)) {
                            let is_cut = pool == Pool::SameBorder
                                && (!(1..=h).contains(&(p / w + dr))
                                    || !(1..=w).contains(&(p % w + dc)));
                            if is_cut {
                                continue;
                            }
                            let at = |p: usize| {
                                let (r, c) = ((p / w + h + dr - 1) % h, (p % w + w + dc - 1) % w);
                                r * w + c
                            };
                            let a = x.values()[c * n_pixels + at(p)] / level.signal();
                            let b = values[(n * shape.channels + c) * n_pixels + at(q)];
                            distance += (a - b).powi(2);
                        }
                    }
                    let weight = (-logit_scale(level) * distance).exp();
                    sums[shape.channels] += weight;
                    for c in 0..shape.channels {
                        sums[c] += weight * squares[(n * shape.channels + c) * n_pixels + q];
                    }
                }
            }
            for c in 0..shape.channels {
                means[c * n_pixels + p] = sums[c] / sums[shape.channels];
            }
        }
        means
    }

    #[test]
    fn components_are_uncorrelated_and_largest_first() {
        let shape = ImageShape::new(2, 5, 6);
        let patches = DistinctPatches::of(images(shape).pixels(), Pool::SameBorder, 3);
        let scores = principal_components(&patches, 3, 5).unwrap();
        let mut second = [[0.0; 5]; 5];
        for (table, scores) in patches.groups.iter().zip(&scores) {
            for (entry, scores) in table.all.iter().zip(scores.chunks_exact(5)) {
                for (i, j) in (0..25).map(|at| (at / 5, at % 5)) {
                    second[i][j] += f64::from(entry.count) * scores[i] * scores[j];
                }
            }
        }
        for (i, j) in (0..25).map(|at| (at / 5, at % 5)).filter(|(i, j)| i != j) {
            assert!(second[i][j].abs() < 1e-9 * second[0][0], "{i} {j}");
        }
        assert!(second.windows(2).enumerate().all(|(i, pair)| pair[0][i] > pair[1][i + 1]));
    }
}
