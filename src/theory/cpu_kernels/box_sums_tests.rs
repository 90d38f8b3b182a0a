//! The box-sum path against the specification, over random shapes, pools and patch sides.

use proptest::prelude::*;

use super::*;
use crate::image::ImageShape;
use crate::simd::lane::n_lanes;
use crate::theory::cpu_kernels::posterior_over_all_images::AllImages;
use crate::theory::cpu_kernels::test_case::Case;
use crate::theory::patch_pools_ls_els_bbels::Pool;
use crate::theory::patch_window::PatchWindow;
use crate::theory::posterior_weights::Accumulator;

fn cases() -> impl Strategy<Value = Case> {
    let pools = prop::sample::select(Pool::ALL.to_vec());
    let sizes = (1..5_usize, 1..8_usize, 1..8_usize, 1..40_usize, 0..7_usize);
    let windows = prop_oneof![
        Just(PatchWindow::Square),
        (0.05..2.0_f64).prop_map(|width| PatchWindow::Gaussian { width }),
    ];
    let what = (sizes, pools, windows, -2.0..2.0_f64);
    what.prop_flat_map(|((c, h, w, n, half), pool, window, log_scale)| {
        let shape = ImageShape::new(c, h, w);
        let largest = if pool == Pool::Interior { (h.min(w) - 1) / 2 } else { half };
        let values = |n| prop::collection::vec(-1.5..1.5_f64, n);
        (values(shape.n_values()), values(n * shape.n_values())).prop_map(move |(x, images)| Case {
            shape,
            pool,
            k: 2 * half.min(largest) + 1,
            window,
            logit_scale: log_scale.exp(),
            x,
            images,
        })
    })
}

/// The case's query and dictionary in one precision.
struct Values<T> {
    x: Vec<T>,
    images: Vec<T>,
}

impl<T: Lane> Values<T> {
    fn of(case: &Case) -> Self {
        let convert = |values: &[f64]| values.iter().map(|&v| T::from_f64(v)).collect();
        Self { x: convert(&case.x), images: convert(&case.images) }
    }

    fn tiles(&self, case: &Case) -> Vec<Tile<T>> {
        let n_lanes = n_lanes::<T>();
        let fill = |(i, images): (usize, &[T])| {
            let mut tile = Tile::new(case.shape);
            tile.fill(case.shape, i * n_lanes, images, |v| v);
            tile
        };
        self.images.chunks(n_lanes * case.shape.n_values()).enumerate().map(fill).collect()
    }
}

fn fast<T: Lane>(case: &Case) -> Accumulator {
    let values = Values::<T>::of(case);
    let mut sums = BoxSums::<T, AllImages>::new(case.query(&values.x), 1000, true);
    values.tiles(case).iter().for_each(|tile| add_tile(&mut sums, tile));
    sums.posterior.finish()
}

fn close(a: &Accumulator, b: &Accumulator, tolerance: f64) -> Result<(), TestCaseError> {
    for (a, b) in a.mean().iter().zip(b.mean()) {
        prop_assert!((a - b).abs() < tolerance, "mean {a} {b}");
    }
    for p in 0..a.n_pixels() {
        let (x, y) = (a.log_sum(p), b.log_sum(p));
        prop_assert!((x - y).abs() < tolerance * (1.0 + y.abs()), "log sum {x} {y}");
        let (x, y) = (a.entropy(p), b.entropy(p));
        prop_assert!((x - y).abs() < 10.0 * tolerance, "entropy {x} {y}");
    }
    Ok(())
}

/// The evidence of every image equals a posterior over that image alone.
fn check_per_image<T: Lane>(case: &Case, tolerance: f64) -> Result<(), TestCaseError> {
    let values = Values::<T>::of(case);
    let mut sums = BoxSums::per_image(case.query(&values.x));
    let each = case.shape.n_values();
    for tile in values.tiles(case) {
        sums.weigh_tile(&tile);
        for lane in 0..tile.n_images() {
            let n = tile.first + lane;
            let one =
                Case { images: case.images[n * each..(n + 1) * each].to_vec(), ..case.clone() };
            let expected = one.plain(&one.images, 0);
            let mean = expected.mean();
            for p in 0..case.shape.n_pixels() {
                let mut found = Vec::new();
                let (evidence, place) = sums.evidence(&tile, lane, p, |v| found.push(v));
                for (c, found) in found.iter().enumerate() {
                    prop_assert!((found - mean[c * case.shape.n_pixels() + p]).abs() < tolerance);
                }
                let log_sum = expected.log_sum(p);
                prop_assert!(
                    (evidence.log_sum - log_sum).abs() < tolerance * (1.0 + log_sum.abs())
                );
                prop_assert!(
                    (evidence.entropy_nats - expected.entropy(p)).abs() < 10.0 * tolerance
                );
                let log_weight = -expected.total[p].ln();
                prop_assert!(
                    (evidence.log_weight - log_weight).abs() < tolerance * (1.0 + log_sum.abs())
                );
                if tolerance < 1e-6 {
                    prop_assert_eq!(place, Provenance { image: n as u32, ..expected.best[p] });
                }
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn box_sums_equal_the_reference(case in cases()) {
        let (fast, plain) = (fast::<f64>(&case), case.plain(&case.images, 0));
        close(&fast, &plain, 1e-11)?;
        prop_assert_eq!(fast.best, plain.best);
    }

    #[test]
    fn single_precision_stays_close_to_double(case in cases()) {
        close(&fast::<f32>(&case), &case.plain(&case.images, 0), 2e-3)?;
    }

    #[test]
    fn images_apart_equal_posteriors_of_their_own(case in cases()) {
        check_per_image::<f64>(&case, 1e-10)?;
        check_per_image::<f32>(&case, 2e-3)?;
    }
}

#[test]
fn entries_that_tie_all_count_however_large_their_logits() {
    check_ties(PatchWindow::Square);
    check_ties(PatchWindow::Gaussian { width: 0.3 });
}

fn check_ties(window: PatchWindow) {
    let shape = ImageShape::new(1, 6, 6);
    let case = Case {
        shape,
        pool: Pool::Wrap,
        k: 5,
        window,
        logit_scale: 1e9,
        x: vec![0.5; 36],
        images: vec![-1.0; 40 * 36],
    };
    let expected = (40.0 * 36.0_f64).ln();
    for all in [fast::<f64>(&case), fast::<f32>(&case)] {
        assert!((all.entropy(7) - expected).abs() < 1e-4, "{}", all.entropy(7));
    }
}
