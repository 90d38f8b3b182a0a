//! The box-sum path against the specification, over random shapes, pools and patch sides.

use proptest::prelude::*;

use super::*;
use crate::image::ImageShape;
use crate::theory::kernels::reference;
use crate::theory::patches::Pool;

#[derive(Debug, Clone)]
struct Case {
    shape: ImageShape,
    pool: Pool,
    k: usize,
    precision: f64,
    x: Vec<f64>,
    images: Vec<f64>,
}

fn cases() -> impl Strategy<Value = Case> {
    let pools =
        prop::sample::select(vec![Pool::Wrap, Pool::Interior, Pool::SamePlace, Pool::SameBorder]);
    let sizes = (1..3_usize, 2..8_usize, 2..8_usize, 1..4_usize, 0..7_usize);
    (sizes, pools, -2.0..2.0_f64).prop_flat_map(|((c, h, w, n, half), pool, log_precision)| {
        let shape = ImageShape::new(c, h, w);
        let largest = if pool == Pool::Interior { (h.min(w) - 1) / 2 } else { half };
        let values = |n| prop::collection::vec(-1.5..1.5_f64, n);
        (values(shape.n_values()), values(n * shape.n_values())).prop_map(move |(x, images)| Case {
            shape,
            pool,
            k: 2 * half.min(largest) + 1,
            precision: log_precision.exp(),
            x,
            images,
        })
    })
}

fn run<T: Real>(case: &Case, boxes: bool) -> Accumulator {
    let convert = |values: &[f64]| values.iter().map(|&v| T::from_f64(v)).collect::<Vec<T>>();
    let (x, images) = (convert(&case.x), convert(&case.images));
    let query = PatchQuery {
        shape: case.shape,
        pool: case.pool,
        k: case.k,
        x: &x,
        precision: case.precision,
    };
    let mut all = Accumulator::new(case.shape.channels, case.shape.n_pixels());
    if boxes {
        let mut sums = BoxSums::new(query, pruned_nats::<T>(1000), true);
        for (n, image) in images.chunks_exact(case.shape.n_values()).enumerate() {
            sums.add_image(image, n, &mut all);
        }
    } else {
        reference::accumulate(&query, &images, 0, &mut all);
    }
    all
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

proptest! {
    #[test]
    fn box_sums_equal_the_reference(case in cases()) {
        let (fast, plain) = (run::<f64>(&case, true), run::<f64>(&case, false));
        close(&fast, &plain, 1e-11)?;
        prop_assert_eq!(fast.best, plain.best);
    }

    #[test]
    fn single_precision_stays_close_to_double(case in cases()) {
        close(&run::<f32>(&case, true), &run::<f64>(&case, false), 2e-3)?;
    }
}
