//! Machines with Gaussian windows: limits, and that no fast path forgets the window.

use std::sync::Arc;

use super::cpu_kernels::{PatchQuery, logit_scale, reference};
use super::machine_spec::{
    AttentionSettings, AttentionSource, MachineKind, MachineSpec, PatchSize, Scheduled,
};
use super::patch_pools_ls_els_bbels::Pool;
use super::patch_window::PatchWindow;
use super::posterior_weights::Accumulator;
use super::{Machine, Precision, TheoryError, TrainingImages};
use crate::diffusion::{Denoiser, NoiseLevel, Schedule};
use crate::image::{ImageBatch, ImageShape};
use crate::random::noise_seeds;

const SHAPE: ImageShape = ImageShape { channels: 2, height: 7, width: 8 };

fn attention(pool: Pool, source: AttentionSource) -> MachineKind {
    let settings = AttentionSettings { lambda: 1.5, gamma: 0.3, source };
    MachineKind::Attention { pool, settings: Scheduled::Fixed(settings) }
}

fn windowed_machines() -> Vec<MachineKind> {
    vec![
        MachineKind::Local,
        MachineKind::LocalWrapped,
        MachineKind::EquivariantLocal,
        MachineKind::EquivariantLocalInterior,
        MachineKind::BoundaryBroken,
        attention(Pool::Wrap, AttentionSource::CoOrigin),
        attention(Pool::SameBorder, AttentionSource::Pooled),
    ]
}

fn images() -> Arc<TrainingImages> {
    let values = noise_seeds(21, 0, 5, SHAPE).into_values();
    Arc::new(TrainingImages::from_values(SHAPE, values).unwrap())
}

fn machine(
    kind: &MachineKind,
    k: usize,
    window: PatchWindow,
    images: Arc<TrainingImages>,
) -> Result<Machine, TheoryError> {
    let spec = MachineSpec { kind: kind.clone(), k: PatchSize::Fixed(k), window };
    Machine::new(spec, images, Precision::F64, None)
}

fn estimate(kind: &MachineKind, k: usize, window: PatchWindow, level: NoiseLevel) -> Vec<f64> {
    let machine = machine(kind, k, window, images()).unwrap();
    machine.denoise(&noise_seeds(22, 0, 1, SHAPE), level).unwrap().x0.into_values()
}

fn gap(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn a_wide_window_is_the_square_one_and_others_are_not() {
    for kind in windowed_machines() {
        for (k, t) in [(3, 0.3), (5, 0.7)] {
            let level = Schedule::Cosine.level(t);
            let of = |window| estimate(&kind, k, window, level);
            let square = of(PatchWindow::Square);
            let wide = of(PatchWindow::Gaussian { width: 1e5 });
            assert!(gap(&square, &wide) < 1e-8, "{kind:?}, k = {k}");
            let narrow = of(PatchWindow::Gaussian { width: 0.25 });
            assert!(gap(&square, &narrow) > 1e-3, "{kind:?}, k = {k}");
        }
    }
}

/// `bbels` and `els-interior` still compare with the places of their patches of side k.
#[test]
fn a_narrow_window_compares_single_pixels() {
    let narrow = PatchWindow::Gaussian { width: 0.01 };
    for kind in [MachineKind::Local, MachineKind::LocalWrapped, MachineKind::EquivariantLocal] {
        let level = Schedule::Cosine.level(0.4);
        let pixels = estimate(&kind, 1, PatchWindow::Square, level);
        assert!(gap(&estimate(&kind, 5, narrow, level), &pixels) < 1e-12, "{kind:?}");
    }
}

#[test]
fn a_machine_whose_patches_repeat_weighs_their_pixels_all_the_same() {
    // Two colours on a background: tables of distinct patches are the fast path of square windows.
    let (shape, n) = (ImageShape::new(1, 16, 16), 40);
    let dot = |n: usize, p: usize| [-1.0, 0.5, 1.0][if p % 37 == n % 37 { 1 + n % 2 } else { 0 }];
    let values: Vec<f64> = (0..n).flat_map(|n| (0..256).map(move |p| dot(n, p))).collect();
    let images = Arc::new(TrainingImages::from_values(shape, values.clone()).unwrap());
    assert!(images.distinct(Pool::Wrap, 5).is_some());
    let level = Schedule::Cosine.level(0.5);
    let x = noise_seeds(23, 0, 1, shape);
    let scaled: Vec<f64> = x.values().iter().map(|v| v / level.signal()).collect();
    for window in [PatchWindow::Square, PatchWindow::Gaussian { width: 0.2 }] {
        let query = PatchQuery {
            shape,
            pool: Pool::Wrap,
            k: 5,
            window,
            x: &scaled[..],
            logit_scale: logit_scale(level),
        };
        let mut expected = Accumulator::new(1, 256);
        reference::accumulate(&query, &values, 0, &mut expected);
        let els = machine(&MachineKind::EquivariantLocal, 5, window, images.clone()).unwrap();
        let found = els.denoise(&x, level).unwrap().x0;
        assert!(gap(found.values(), &expected.mean()) < 1e-9, "{window:?}");
        let identity = attention(Pool::Wrap, AttentionSource::Identity);
        let MachineKind::Attention { settings: Scheduled::Fixed(settings), .. } = identity else {
            unreachable!("just made");
        };
        let settings = Scheduled::Fixed(AttentionSettings { lambda: 0.0, ..settings });
        let alone = MachineKind::Attention { pool: Pool::Wrap, settings };
        let found = machine(&alone, 5, window, images.clone()).unwrap();
        let found = found.denoise(&x, level).unwrap().x0;
        assert!(gap(found.values(), &expected.mean()) < 1e-9, "evidence, {window:?}");
    }
}

#[test]
fn only_machines_that_compare_patches_take_a_window() {
    let gaussian = PatchWindow::Gaussian { width: 0.25 };
    for kind in windowed_machines() {
        let spec = MachineSpec::new(kind, PatchSize::Fixed(3)).with_window(gaussian);
        assert_eq!(spec.window, gaussian);
    }
    for kind in [MachineKind::Ideal, MachineKind::Composite, MachineKind::Wiener] {
        let spec = MachineSpec::new(kind, PatchSize::Fixed(3)).with_window(gaussian);
        assert_eq!(spec.window, PatchWindow::Square);
    }
}

#[test]
fn a_width_that_is_no_width_is_refused() {
    for width in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let window = PatchWindow::Gaussian { width };
        let error = machine(&MachineKind::EquivariantLocal, 3, window, images()).err().unwrap();
        assert!(error.to_string().contains("width"), "{error}");
    }
}

#[test]
fn the_estimate_commutes_with_circular_shifts() {
    let shape = SHAPE;
    let window = PatchWindow::Gaussian { width: 0.3 };
    let level = Schedule::Cosine.level(0.5);
    let els = machine(&MachineKind::EquivariantLocal, 5, window, images()).unwrap();
    let x = noise_seeds(24, 0, 1, shape);
    let roll = |image: &[f64]| -> Vec<f64> {
        let rows = image.chunks(shape.width);
        rows.flat_map(|row| [&row[3..], &row[..3]].concat()).collect()
    };
    let straight = els.denoise(&x, level).unwrap().x0;
    let rolled = els.denoise(&ImageBatch::new(shape, roll(x.image(0))), level).unwrap().x0;
    assert!(gap(rolled.values(), &roll(straight.image(0))) < 1e-12);
}
