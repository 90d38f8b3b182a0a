//! Sums over distinct patches against the specification, over random shapes, pools, patch sides and repetition.

use std::sync::Arc;

use proptest::prelude::*;

use super::image_table::ImageTables;
use super::patch_table::DistinctPatches;
use super::posteriors::patch_posteriors;
use super::{DistinctCache, Tables};
use crate::image::ImageShape;
use crate::random::noise_seeds;
use crate::simd::{Lane, Real};
use crate::theory::cpu_kernels::test_case::Case;
use crate::theory::cpu_kernels::{PatchQuery, reference};
use crate::theory::cpu_posteriors;
use crate::theory::patch_pools_ls_els_bbels::Pool;
use crate::theory::patch_window::PatchWindow;
use crate::theory::training_pixels::{ImagePixels, Storage};

/// Images whose pixels have 1 to 4 values, or any; the last few images repeat the first.
fn cases() -> impl Strategy<Value = Case> {
    let pools = prop::sample::select(Pool::ALL.to_vec());
    let sizes = (1..5_usize, 1..8_usize, 1..8_usize, 1..12_usize, 0..7_usize);
    (sizes, pools, -2.0..2.0_f64, 0..5_usize, 0..4_usize).prop_flat_map(
        |((c, h, w, n, half), pool, log_scale, n_levels, n_again)| {
            let shape = ImageShape::new(c, h, w);
            let largest = if pool == Pool::Interior { (h.min(w) - 1) / 2 } else { half };
            let values = |n| prop::collection::vec(-1.5..1.5_f64, n);
            (values(shape.n_values()), values(n * shape.n_values())).prop_map(
                move |(x, mut images)| {
                    if n_levels > 0 {
                        let level = |v: &f64| (v * n_levels as f64 / 3.0).round();
                        images = images.iter().map(level).collect();
                    }
                    let again = images[..n_again.min(n) * shape.n_values()].to_vec();
                    images.extend(again);
                    let k = 2 * half.min(largest) + 1;
                    let window = PatchWindow::Square;
                    Case { shape, pool, k, window, logit_scale: log_scale.exp(), x, images }
                },
            )
        },
    )
}

impl Case {
    fn query_values<T: Real>(&self) -> Vec<T> {
        self.x.iter().map(|v| T::from_f64(*v)).collect()
    }

    fn pixels(&self) -> ImagePixels {
        ImagePixels::new(self.shape, Storage::Values(self.images.clone())).unwrap()
    }

    /// Checks both kinds of tables against the specification.
    fn check<T: Lane>(&self, tolerance: f64) -> Result<(), TestCaseError> {
        let images = self.pixels();
        let of_all = DistinctPatches::of(&images, self.pool, self.k);
        let of_each = ImageTables::of(&images, self.pool, self.k);
        for tables in [Tables::AllImages(of_all), Tables::EachImage(of_each)] {
            self.check_posteriors::<T>(&tables, &images, tolerance)?;
            self.check_evidence::<T>(&tables, &images, tolerance)?;
        }
        Ok(())
    }

    fn check_posteriors<T: Lane>(
        &self,
        tables: &Tables,
        images: &ImagePixels,
        tolerance: f64,
    ) -> Result<(), TestCaseError> {
        let (x, n_pixels) = (self.query_values::<T>(), self.shape.n_pixels());
        let plain = self.plain(&self.images, 0);
        let found = tables.patch_posteriors(images, &[self.query(&x[..])]).remove(0);
        for (a, b) in found.mean().iter().zip(plain.mean()) {
            prop_assert!((a - b).abs() < tolerance, "mean {a} {b}");
        }
        for p in 0..n_pixels {
            let (a, b) = (found.log_sum(p), plain.log_sum(p));
            prop_assert!((a - b).abs() < tolerance * (1.0 + b.abs()), "log sum {a} {b}");
            let (a, b) = (found.entropy(p), plain.entropy(p));
            prop_assert!((a - b).abs() < 10.0 * tolerance, "entropy {a} {b}");
            // Provenance is as near as the nearest patch.
            let best = found.best[p];
            let place = |p: usize| (p / self.shape.width, p % self.shape.width);
            let training = (usize::from(best.row), usize::from(best.column));
            let image = self.image(best.image as usize);
            let query = self.query(&self.x);
            let distance = reference::squared_distance(&query, image, place(p), training);
            let nearest = -plain.max[p] / self.logit_scale;
            prop_assert!((distance - nearest).abs() < tolerance * (1.0 + nearest));
        }
        Ok(())
    }

    fn check_evidence<T: Lane>(
        &self,
        tables: &Tables,
        images: &ImagePixels,
        tolerance: f64,
    ) -> Result<(), TestCaseError> {
        let x = self.query_values::<T>();
        let (n_channels, n_pixels) = (self.shape.channels, self.shape.n_pixels());
        let log_pool: Vec<f64> = (0..n_pixels).map(|p| p as f64 / 7.0).collect();
        let first = self.n_images() / 2;
        let range = first..self.n_images();
        let found = tables.evidence(images, range.clone(), self.query(&x[..]), &log_pool);
        prop_assert_eq!(found.first, first);
        for (i, n) in range.enumerate() {
            let plain = self.plain(self.image(n), n);
            let means = &found.estimates[i * n_channels * n_pixels..];
            for (a, b) in means.iter().zip(plain.mean()) {
                prop_assert!((a - b).abs() < tolerance, "mean {a} {b}");
            }
            for (p, log_pool) in log_pool.iter().enumerate() {
                let at = i * n_pixels + p;
                let (a, b) = (found.log_evidence[at] + log_pool, plain.log_sum(p));
                prop_assert!((a - b).abs() < tolerance * (1.0 + b.abs()), "evidence {a} {b}");
                let (a, b) = (found.inner_entropy[at], plain.entropy(p));
                prop_assert!((a - b).abs() < 10.0 * tolerance, "entropy {a} {b}");
                let (place, log_weight) = found.inner_best[at];
                prop_assert!((log_weight + plain.total[p].ln()).abs() < 10.0 * tolerance);
                prop_assert_eq!(place.image as usize, n);
                let training = (usize::from(place.row), usize::from(place.column));
                let query = self.query(&self.x);
                let here = (p / self.shape.width, p % self.shape.width);
                let distance = reference::squared_distance(&query, self.image(n), here, training);
                let nearest = -plain.max[p] / self.logit_scale;
                prop_assert!((distance - nearest).abs() < tolerance * (1.0 + nearest));
            }
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn sums_over_distinct_patches_equal_the_reference(case in cases()) {
        case.check::<f64>(1e-10)?;
    }

    #[test]
    fn single_precision_stays_close_to_double(case in cases()) {
        case.check::<f32>(2e-3)?;
    }

    #[test]
    fn a_wrapped_patch_that_covers_the_image_holds_each_pixel_once(mut case in cases()) {
        let side = case.shape.height.max(case.shape.width);
        (case.pool, case.k) = (Pool::Wrap, case.k.max(side | 1));
        let images = case.pixels();
        let x = std::slice::from_ref(&case.x);
        let whole = cpu_posteriors::whole_images(&images, x, true, case.logit_scale).remove(0);
        let of_all = DistinctPatches::of(&images, case.pool, case.k);
        let of_each = ImageTables::of(&images, case.pool, case.k);
        for tables in [Tables::AllImages(of_all), Tables::EachImage(of_each)] {
            let found = tables.patch_posteriors(&images, &[case.query(&case.x)]).remove(0);
            for (a, b) in found.mean().iter().zip(&whole.x0) {
                prop_assert!((a - b).abs() < 1e-9, "mean {a} {b}");
            }
            for (p, entropy) in whole.entropy_nats.iter().enumerate() {
                prop_assert!((found.entropy(p) - entropy).abs() < 1e-8);
            }
        }
    }

    #[test]
    fn every_patch_is_counted_once(case in cases()) {
        let patches = DistinctPatches::of(&case.pixels(), case.pool, case.k);
        for table in &patches.groups {
            let n_compared = table.n_compared(patches.n_images);
            let counted: usize = table.all.iter().map(|entry| entry.count as usize).sum();
            prop_assert_eq!(counted, n_compared);
            let mut by_image = vec![0; table.n_patches()];
            for n in 0..patches.n_images {
                for entry in table.image(n).0 {
                    by_image[entry.patch as usize] += entry.count;
                }
            }
            let all: Vec<u32> = table.all.iter().map(|entry| entry.count).collect();
            prop_assert_eq!(by_image, all);
        }
        let tables = ImageTables::of(&case.pixels(), case.pool, case.k);
        for (n, image) in tables.images.iter().enumerate() {
            for ((group, table), all) in tables.groups.iter().zip(image).zip(&patches.groups) {
                let counts = table.patches.iter().map(|&(_, count)| u32::from(count));
                prop_assert_eq!(counts.clone().sum::<u32>() as usize, group.n_places());
                let of_all = all.image(n).0.iter().map(|entry| entry.count);
                prop_assert!(counts.eq(of_all));
            }
        }
    }
}

/// Images of noise, or of the given number of values.
fn images(n: usize, n_levels: usize) -> ImagePixels {
    let shape = ImageShape::new(1, 12, 12);
    let value = |v: f64| match n_levels {
        0 => v,
        n_levels => (v * n_levels as f64 / 4.0).round().clamp(-1.0, 1.0),
    };
    let values = noise_seeds(5, 0, n, shape).into_values().into_iter().map(value).collect();
    ImagePixels::new(shape, Storage::Values(values)).unwrap()
}

#[test]
fn a_table_is_made_where_patches_repeat() {
    let cache = DistinctCache::default();
    let found = cache.get(&images(200, 1), Pool::Wrap, 3).expect("patches that repeat");
    assert!(Arc::ptr_eq(&found, &cache.get(&images(1, 0), Pool::Wrap, 3).unwrap()));
    assert!(DistinctPatches::find(&images(200, 0), Pool::Wrap, 3).is_none());
    assert!(DistinctPatches::find(&images(200, 1), Pool::SamePlace, 3).is_none());
    assert!(DistinctPatches::find(&images(200, 1), Pool::SameBorder, 3).is_some());
}

#[test]
fn images_with_flat_parts_have_tables_of_their_own() {
    // Noise in the middle of flat images, more of it than fits into one table.
    let shape = ImageShape::new(1, 24, 24);
    let mut values = noise_seeds(6, 0, 600, shape).into_values();
    for (at, value) in values.iter_mut().enumerate() {
        let (row, column) = (at / 24 % 24, at % 24);
        if !(9..15).contains(&row) || !(9..15).contains(&column) {
            *value = -1.0;
        }
    }
    let images = ImagePixels::new(shape, Storage::Values(values)).unwrap();
    for pool in [Pool::Wrap, Pool::Interior, Pool::SameBorder] {
        assert!(matches!(Tables::find(&images, pool, 3), Some(Tables::EachImage(_))), "{pool:?}");
    }
    assert!(Tables::find(&images, Pool::SamePlace, 3).is_none());
    assert!(Tables::find(&images, Pool::SamePlaceWrapped, 3).is_none());
}

#[test]
fn of_patches_at_the_same_distance_the_first_is_named() {
    let shape = ImageShape::new(1, 1, 1);
    let images = ImagePixels::new(shape, Storage::Values(vec![-1.0, 1.0, 1.0])).unwrap();
    let patches = DistinctPatches::of(&images, Pool::Wrap, 1);
    let query = PatchQuery {
        shape,
        pool: Pool::Wrap,
        k: 1,
        window: PatchWindow::Square,
        x: &[0.0],
        logit_scale: 1.0,
    };
    assert_eq!(patch_posteriors(&patches, &[query])[0].best[0].image, 0);
}

#[test]
fn equal_images_have_the_patches_of_one() {
    let shape = ImageShape::new(2, 4, 5);
    let image: Vec<f64> = (0..40).map(|i| f64::from(i * i % 17)).collect();
    let images = ImagePixels::new(shape, Storage::Values(image.repeat(30))).unwrap();
    let patches = DistinctPatches::of(&images, Pool::Wrap, 3);
    assert!(patches.groups[0].all.iter().all(|entry| entry.count == 30));
    assert_eq!(patches.groups[0].n_patches(), 20);
}
