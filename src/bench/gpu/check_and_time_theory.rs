//! Patch machines on GPUs.

use std::hint::black_box;
use std::sync::Arc;

use anyhow::Result;
use rand::RngExt;
use rayon::prelude::*;

use super::differences_from_cpu::{
    ENTROPY_NATS, EQUAL_DISTANCES, ESTIMATE, SHARED_FACTOR, largest_difference,
};
use super::result_types::{Check, Row};
use crate::bench::Times;
use crate::bench::pytorch_times::Peer;
use crate::bench::time_one_score_machine::{fixed, n_pairs, queries};
use crate::diffusion::{Denoiser, NoiseLevel, Posterior, Provenance, Schedule};
use crate::evaluation::choose_gpu_or_cpu::with_gpus;
use crate::image::{ImageBatch, ImageShape};
use crate::random::{Purpose, stream};
use crate::theory::cpu_kernels::PatchQuery;
use crate::theory::cpu_kernels::reference::squared_distance;
use crate::theory::gpu::Gpus;
use crate::theory::ls_wiener::DEFAULT_THRESHOLD;
use crate::theory::machine_spec::{
    AttentionSettings, AttentionSource, MachineKind, MachineSpec, Scheduled,
};
use crate::theory::patch_pools_ls_els_bbels::Pool;
use crate::theory::patch_window::PatchWindow;
use crate::theory::{Machine, Precision, TrainingImages};

/// Smooth images: a few waves and some noise.
fn images(shape: ImageShape, n: usize, seed: u64) -> TrainingImages {
    let mut bytes = vec![0_u8; n * shape.n_values()];
    let planes = bytes.par_chunks_mut(shape.n_pixels()).enumerate();
    planes.for_each(|(plane, bytes)| {
        let mut random = stream(seed, Purpose::Weights, plane as u64);
        let waves: [[f32; 4]; 3] =
            [(); 3].map(|()| [(); 4].map(|()| random.random_range(-0.6..0.6_f32)));
        for (p, byte) in bytes.iter_mut().enumerate() {
            let (y, x) = ((p / shape.width) as f32, (p % shape.width) as f32);
            let wave = |[a, b, c, d]: [f32; 4]| d * (a * x + b * y + 10.0 * c).sin();
            let noise = random.random_range(0.0..0.1_f32);
            let value = waves.into_iter().map(wave).sum::<f32>() + noise;
            *byte = (127.5 + 100.0 * value).clamp(0.0, 255.0) as u8;
        }
    });
    TrainingImages::from_bytes(shape, bytes).expect("as many bytes as pixels")
}

/// Seed of the noise on the queries.
const QUERY_SEED: u64 = 5;
const MASKED: MachineKind = MachineKind::Masked { threshold: DEFAULT_THRESHOLD };

const KINDS: [MachineKind; 12] = [
    MachineKind::Ideal,
    MachineKind::EquivariantIdeal,
    MachineKind::Local,
    MachineKind::EquivariantLocal,
    MachineKind::EquivariantLocalInterior,
    MachineKind::BoundaryBroken,
    MASKED,
    MachineKind::Composite,
    attention(AttentionSource::Uniform),
    attention(AttentionSource::CoOrigin),
    attention(AttentionSource::Similarity { tau: 0.3 }),
    attention(AttentionSource::Pooled),
];

const fn attention(source: AttentionSource) -> MachineKind {
    let settings = AttentionSettings { lambda: 1.0, gamma: 0.3, source };
    MachineKind::Attention { pool: Pool::Wrap, settings: Scheduled::Fixed(settings) }
}

/// Estimates, entropy and provenance of every patch machine on the GPUs against double precision on the CPU.
///
/// # Errors
///
/// If a machine cannot be built or cannot denoise its queries.
pub fn check(gpus: &Arc<Gpus>, quick: bool) -> Result<Vec<Check>> {
    let shapes = [
        (ImageShape::new(1, 9, 13), 150),
        (ImageShape::new(3, 9, 13), 150),
        (ImageShape::new(1, 28, 28), if quick { 40 } else { 300 }),
        (ImageShape::new(3, 32, 32), if quick { 20 } else { 150 }),
    ];
    let sides: &[usize] = if quick { &[1, 7] } else { &[1, 3, 7, 9] };
    let mut checks = Vec::new();
    for (shape, n) in shapes {
        let on_cpu = Arc::new(images(shape, n, 3));
        let dictionary = Arc::new(with_gpus(images(shape, n, 3), Some(gpus.clone())));
        for kind in KINDS {
            let sides = if kind.uses_patches() { sides } else { &sides[..1] };
            for &k in sides.iter().filter(|k| **k <= shape.height.min(shape.width)) {
                let spec = fixed(kind.clone(), k);
                let is_shared = matches!(kind, MachineKind::Attention { .. });
                let allowed = if is_shared { SHARED_FACTOR } else { 1.0 };
                let (mut mean, mut entropy, mut moved) = (0.0_f64, 0.0_f64, 0);
                let mut failure = None;
                for t in [0.05, 0.5, 0.95] {
                    let level = Schedule::Cosine.level(t);
                    let x = queries(&on_cpu, 3, level, QUERY_SEED);
                    let run = |images: &Arc<TrainingImages>, precision| {
                        Machine::new(spec.clone(), images.clone(), precision, None)?
                            .with_posterior(true)
                            .denoise(&x, level)
                            .map_err(anyhow::Error::from)
                    };
                    let (found, expected) =
                        (run(&dictionary, Precision::F32)?, run(&on_cpu, Precision::F64)?);
                    mean = mean.max(largest_difference(found.x0.values(), expected.x0.values()));
                    if let (Some(found), Some(expected)) = (found.posterior, expected.posterior) {
                        let nats = [&found.entropy_nats, &expected.entropy_nats];
                        entropy = entropy.max(largest_difference(nats[0], nats[1]));
                        // Which image wins the votes is another question than which patch is near.
                        if !is_shared {
                            moved += farther(&on_cpu, &spec, &x, level, (&found, &expected));
                        }
                    }
                    if gpus.is_out() {
                        failure = Some("the GPU failed");
                    }
                }
                checks.push(Check {
                    name: format!("{} k={k} {shape}", spec.column()),
                    passed: mean < allowed * ESTIMATE && entropy < allowed * ENTROPY_NATS && moved == 0 && failure.is_none(),
                    detail: format!(
                        "mean {mean:.1e} (< {:.0e}), entropy {entropy:.1e} (< {:.0e}), provenance is a farther \
                         patch at {moved} of {} pixels{}",
                        allowed * ESTIMATE,
                        allowed * ENTROPY_NATS,
                        9 * shape.n_pixels(),
                        failure.map_or(String::new(), |words| format!("; {words}")),
                    ),
                });
            }
        }
    }
    Ok(checks)
}

/// Pixels whose found patch is farther than the expected one. Patches are often equally near, above all small ones; then
/// either is right.
fn farther(
    images: &TrainingImages,
    spec: &MachineSpec,
    x: &ImageBatch,
    level: NoiseLevel,
    (found, expected): (&Posterior, &Posterior),
) -> usize {
    let shape = images.shape();
    let Some(pool) = spec.kind.pool() else { return 0 };
    let count = |(number, x): (usize, &[f64])| {
        let x: Vec<f64> = x.iter().map(|value| value / level.signal()).collect();
        let k = *spec.k.at(level.t);
        let query =
            PatchQuery { shape, pool, k, window: PatchWindow::Square, x: &x, logit_scale: 1.0 };
        let distance = |place: Provenance, p: usize| {
            let image: Vec<f64> = images.values(place.image as usize..place.image as usize + 1);
            let q = (usize::from(place.row), usize::from(place.column));
            squared_distance(&query, &image, (p / shape.width, p % shape.width), q)
        };
        let places = number * shape.n_pixels()..(number + 1) * shape.n_pixels();
        let pairs = found.provenance[places.clone()].iter().zip(&expected.provenance[places]);
        let is_farther = |(p, (found, expected)): (usize, (&Provenance, &Provenance))| {
            found != expected
                && distance(*found, p)
                    > distance(*expected, p) * (1.0 + EQUAL_DISTANCES) + EQUAL_DISTANCES
        };
        pairs.enumerate().filter(|pair| is_farther(*pair)).count()
    };
    x.iter().enumerate().map(count).sum()
}

/// One machine over one dictionary.
struct Case {
    kind: MachineKind,
    k: usize,
    n_queries: usize,
    t: f64,
}

/// Additions of a window sum, three along each axis, and a comparison; a channel adds a difference and a multiply-add. What
/// near pairs cost besides, an exponential and `C + 2` multiply-adds, depends on the noise and is not counted.
const WINDOW_SUMS: f64 = 7.0;

/// The same in PyTorch.
fn peer(case: &Case, shape: ImageShape, n: usize) -> Peer {
    Peer::equivariant_local(shape, n, case.k, case.n_queries, case.t).with("--repeats 1")
}

/// Times of patch machines over dictionaries of the sizes that the field uses; the images are synthetic.
///
/// # Errors
///
/// If a machine cannot be built or cannot denoise its queries.
pub fn time(gpus: &Arc<Gpus>, quick: bool) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let case = |kind, k, n_queries, t| Case { kind, k, n_queries, t };
    use MachineKind::{BoundaryBroken, Composite, EquivariantLocal, Local};
    let mut cifar: Vec<Case> =
        [0.2, 0.5, 0.9].into_iter().map(|t| case(EquivariantLocal, 7, 1, t)).collect();
    cifar.push(case(EquivariantLocal, 7, 8, 0.5));
    cifar.push(case(attention(AttentionSource::Similarity { tau: 0.3 }), 7, 1, 0.5));
    if !quick {
        for k in [3, 15] {
            cifar.push(case(EquivariantLocal, k, 1, 0.5));
        }
        cifar.push(case(Local, 7, 1, 0.5));
        cifar.push(case(BoundaryBroken, 7, 1, 0.5));
        cifar.push(case(attention(AttentionSource::CoOrigin), 7, 1, 0.5));
        cifar.push(case(MASKED, 7, 1, 0.5));
        cifar.push(case(Composite, 7, 1, 0.5));
    }
    let mnist = vec![case(EquivariantLocal, 7, 1, 0.5), case(MASKED, 7, 1, 0.5)];
    for (shape, n, cases) in
        [(ImageShape::new(3, 32, 32), 50_000, cifar), (ImageShape::new(1, 28, 28), 60_000, mnist)]
    {
        let dictionary = Arc::new(with_gpus(images(shape, n, 4), Some(gpus.clone())));
        for case in cases {
            let spec = fixed(case.kind.clone(), case.k);
            let level = Schedule::Cosine.level(case.t);
            let x = queries(&dictionary, case.n_queries, level, QUERY_SEED);
            let machine = Machine::new(spec.clone(), dictionary.clone(), Precision::F32, None)?;
            let mut times = Times::default();
            black_box(machine.denoise(&x, level)?);
            for _ in 0..if quick { 3 } else { 5 } {
                times.take(|| Ok(black_box(machine.denoise(&x, level)?)))?;
            }
            let median_ms = times.median_wall_s() * 1e3 / case.n_queries as f64;
            let pairs = n_pairs(&spec, shape, case.k) * n as f64;
            let (operations, operations_each) = match spec.kind {
                // A product of squares with masks.
                MachineKind::Masked { .. } => {
                    (2.0 * (n * shape.n_values() * shape.n_values()) as f64, 2.0)
                }
                _ => (pairs * (2.0 * shape.channels as f64 + WINDOW_SUMS), 1.0),
            };
            rows.push(Row {
                what: format!(
                    "{} k={} {n} x {shape} t={} queries={}",
                    spec.column(),
                    case.k,
                    case.t,
                    case.n_queries
                ),
                median_ms,
                rate: format!("{:.0}e9 pairs/s", pairs / median_ms * 1e-6),
                operations,
                operations_each,
                bytes: (n * shape.n_values()) as f64 / case.n_queries as f64,
                peer: (spec.kind == MachineKind::EquivariantLocal).then(|| peer(&case, shape, n)),
                ..Row::default()
            });
        }
    }
    Ok(rows)
}
