//! Limits and invariants of the machine `attention-optimal` on a small set: two squares in the image's colour.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::diffusion::{Attending, AttentionMaps, DenoiseError, Denoiser, NoiseLevel, Schedule};
use crate::image::{ImageBatch, ImageShape};
use crate::optimum::CachedSolver;
use crate::optimum::cached_solver::Watcher;
use crate::optimum::noised_draws::NoisedDraws;
use crate::theory::attention_optimal::AttentionClass;
use crate::theory::machine_spec::{MachineKind, MachineSpec, PatchSize};
use crate::theory::patch_pools_ls_els_bbels::Pool;
use crate::theory::{Machine, Precision, TheoryError, TrainingImages};

const K: usize = 3;
/// Updates of a descent: enough for a small set.
const N_UPDATES: usize = 300;

/// A red and a green image of two squares each.
fn plain_images() -> TrainingImages {
    let shape = ImageShape::new(3, 8, 8);
    let mut values = vec![-1.0; 2 * shape.n_values()];
    for (image, corner) in [(0, 0), (0, 4), (1, 0), (1, 4)] {
        let plane = &mut values[(image * 3 + image) * 64..][..64];
        for line in plane.chunks_exact_mut(8).skip(corner).take(3) {
            line[corner..corner + 3].fill(1.0);
        }
    }
    TrainingImages::from_values(shape, values).unwrap()
}

/// Those images, with a solver that keeps its solutions in `folder`.
fn images(folder: &Path) -> Arc<TrainingImages> {
    let solver = CachedSolver::new(folder.to_path_buf()).with_updates(N_UPDATES);
    Arc::new(plain_images().with_optimum_solver(Arc::new(solver)))
}

fn machine(kind: MachineKind, images: &Arc<TrainingImages>) -> Machine {
    let spec = MachineSpec::new(kind, PatchSize::Fixed(K));
    Machine::new(spec, images.clone(), Precision::F32, None).unwrap()
}

fn optimal(pool: Pool, heads: usize, weights: &'static str) -> MachineKind {
    let class = AttentionClass {
        pool,
        heads,
        head_width: 4,
        weights,
        normalise: true,
        joint_readout: false,
        clamp: false,
    };
    MachineKind::OptimalAttention(class)
}

fn level() -> NoiseLevel {
    Schedule::Cosine.level(0.7)
}

/// New noisy images: draws that solving does not use.
fn draws(images: &TrainingImages, n: usize, moves: bool) -> [ImageBatch; 2] {
    let draws = NoisedDraws { images: images.pixels(), moves, seed: 99 };
    let draws = draws.draw(0, n, Some(level()));
    [draws.clean, draws.noisy]
}

/// Squared error of each image.
fn errors(machine: &Machine, [clean, noisy]: &[ImageBatch; 2]) -> Vec<f64> {
    let x0 = machine.denoise(noisy, level()).unwrap().x0;
    let pairs = x0.iter().zip(clean.iter());
    pairs.map(|(a, b)| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()).collect()
}

/// Mean and standard error of the difference of two paired lists.
fn difference(a: &[f64], b: &[f64]) -> (f64, f64) {
    let all: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    let n = all.len() as f64;
    let mean = all.iter().sum::<f64>() / n;
    let squares: f64 = all.iter().map(|v| (v - mean).powi(2)).sum();
    (mean, (squares / (n * (n - 1.0))).sqrt())
}

fn largest_gap(a: &ImageBatch, b: &ImageBatch) -> f64 {
    a.values().iter().zip(b.values()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn the_error_lies_between_those_of_whole_images_and_of_patches() {
    let folder = tempfile::tempdir().unwrap();
    let images = images(folder.path());
    for (pool, moves) in [(Pool::Wrap, true), (Pool::SameBorder, false)] {
        let (whole, local) = match pool {
            Pool::Wrap => (MachineKind::EquivariantIdeal, MachineKind::EquivariantLocal),
            _ => (MachineKind::Ideal, MachineKind::BoundaryBroken),
        };
        let draws = draws(&images, 1024, moves);
        let of = |kind| errors(&machine(kind, &images), &draws);
        let (whole, local) = (of(whole), of(local));
        let softmax = of(optimal(pool, 2, "softmax"));
        let (gain, se) = difference(&softmax, &local);
        assert!(gain < -3.0 * se, "{pool:?}: {gain} +- {se}");
        let (above, se) = difference(&softmax, &whole);
        assert!(above > -3.0 * se, "{pool:?}: {above} +- {se}");
        if pool == Pool::SameBorder {
            continue;
        }
        let more_heads = of(optimal(pool, 4, "softmax"));
        let (rise, se) = difference(&more_heads, &softmax);
        assert!(rise < 3.0 * se, "more heads: {rise} +- {se}");
        let uniform = of(optimal(pool, 2, "uniform"));
        let (rise, se) = difference(&uniform, &local);
        assert!(rise < 3.0 * se, "uniform: {rise} +- {se}");
    }
}

#[test]
fn attention_to_oneself_is_the_local_machine() {
    let folder = tempfile::tempdir().unwrap();
    let images = images(folder.path());
    let [_, noisy] = draws(&images, 4, true);
    let of = |kind| machine(kind, &images).denoise(&noisy, level()).unwrap().x0;
    let gap =
        largest_gap(&of(optimal(Pool::Wrap, 2, "identity")), &of(MachineKind::EquivariantLocal));
    assert!(gap < 1e-4, "{gap}");
}

#[test]
fn at_less_noise_than_it_is_solved_for_it_is_the_local_machine_whatever_the_schedule() {
    let folder = tempfile::tempdir().unwrap();
    let images = images(folder.path());
    let optimal = machine(optimal(Pool::Wrap, 2, "softmax"), &images);
    let local = machine(MachineKind::EquivariantLocal, &images);
    let draws = NoisedDraws { images: images.pixels(), moves: true, seed: 99 };
    let gap = |level: NoiseLevel| {
        let noisy = draws.draw(0, 4, Some(level)).noisy;
        let [a, b] = [&optimal, &local].map(|machine| machine.denoise(&noisy, level).unwrap().x0);
        largest_gap(&a, &b)
    };
    // s = .039, which the schedule "cosine" has at t = .025.
    assert!(gap(Schedule::Edm.level(0.15)) < 1e-4);
    // The same signal power as that of `level()`, at another time.
    let middle = NoiseLevel { t: 0.01, ..level() };
    assert!(gap(level()) > 1e-3);
    assert_eq!(gap(middle), gap(level()));
}

#[test]
fn the_machine_commutes_with_circular_shifts_and_its_attention_sums_to_one() {
    let folder = tempfile::tempdir().unwrap();
    let images = images(folder.path());
    let shape = images.shape();
    let [_, noisy] = draws(&images, 2, true);
    let shifted = |x: &ImageBatch| {
        let mut moved = x.values().to_vec();
        for plane in moved.chunks_exact_mut(64) {
            plane.rotate_right(2 * 8);
            plane.chunks_exact_mut(8).for_each(|line| line.rotate_right(3));
        }
        ImageBatch::new(shape, moved)
    };
    let machine = machine(optimal(Pool::Wrap, 2, "softmax"), &images).with_posterior(true);
    let first = machine.denoise(&noisy, level()).unwrap();
    let then = machine.denoise(&shifted(&noisy), level()).unwrap();
    let gap = largest_gap(&shifted(&first.x0), &then.x0);
    assert!(gap < 1e-3, "{gap}");
    let maps = first.attention.unwrap();
    assert_eq!((maps.len(), maps.n_heads(), maps.n_pixels()), (2, 2, 64));
    for row in maps.weights().chunks_exact(64) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-4);
    }
    // With its own maps, the estimate is its own; with those of another image, another one.
    assert_eq!(machine.own_maps(&noisy, level()).unwrap().unwrap(), maps);
    let own = machine.denoise_with_maps(&noisy, level(), &maps).unwrap();
    assert!(largest_gap(&own.x0, &first.x0) < 1e-5);
    let mut exchanged = maps.slice(1, 1).weights().to_vec();
    exchanged.extend_from_slice(maps.slice(0, 1).weights());
    let exchanged = AttentionMaps::new(2, 64, exchanged);
    let other = machine.denoise_with_maps(&noisy, level(), &exchanged).unwrap();
    assert!(largest_gap(&other.x0, &first.x0) > 1e-3);
    let refused = machine.denoise_with_maps(&noisy, level(), &maps.slice(0, 1)).unwrap_err();
    assert!(refused.to_string().contains("'1 images"), "{refused}");
}

#[test]
fn neither_threads_nor_an_interruption_change_a_solution() {
    let denoise = |folder: &Path, n_threads: usize, watcher: Option<Watcher>| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        let solver = CachedSolver::new(folder.to_path_buf()).with_updates(N_UPDATES);
        if let Some(watcher) = watcher {
            solver.watch(watcher);
        }
        let images = Arc::new(plain_images().with_optimum_solver(Arc::new(solver)));
        let [_, noisy] = draws(&images, 3, true);
        let machine = machine(optimal(Pool::Wrap, 2, "softmax"), &images);
        pool.install(|| machine.denoise(&noisy, level())).map(|found| found.x0.into_values())
    };
    let folders: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
    let first = denoise(folders[0].path(), 1, None).unwrap();
    let stop: Watcher = Arc::new(|n_done, of| n_done < of / 3);
    let stopped = denoise(folders[1].path(), 3, Some(stop));
    assert!(matches!(stopped, Err(DenoiseError::Cancelled)));
    let n_seen = Arc::new(AtomicUsize::new(0));
    let count: Watcher = Arc::new({
        let n_seen = n_seen.clone();
        move |_, _| n_seen.fetch_add(1, Ordering::SeqCst) < usize::MAX
    });
    let resumed = denoise(folders[1].path(), 3, Some(count)).unwrap();
    assert_eq!(first, resumed);
    assert_eq!(n_seen.load(Ordering::SeqCst), N_UPDATES - N_UPDATES / 3, "what was done is kept");
    let again = denoise(folders[1].path(), 2, Some(Arc::new(|_, _| false))).unwrap();
    assert_eq!(first, again, "from its file");
    assert_eq!(std::fs::read_dir(folders[1].path()).unwrap().count(), 1);
}

#[test]
fn a_machine_without_a_solver_is_refused() {
    let images = TrainingImages::from_values(ImageShape::new(1, 4, 4), vec![0.5; 16]).unwrap();
    let spec = MachineSpec::new(optimal(Pool::Wrap, 1, "softmax"), PatchSize::Fixed(3));
    let refused = Machine::new(spec, Arc::new(images), Precision::F32, None);
    assert!(matches!(refused.err(), Some(TheoryError::NoSolver { .. })));
}
