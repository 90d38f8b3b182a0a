//! Honest timings of the theory on this machine.
//!
//! One step is one posterior of every pixel of the queries against the whole dictionary. Times are
//! medians over repeats; CPU time counts all threads, so it hardly depends on who else is at work. Peak
//! memory is the process's high-water mark, reset before each row where the system can.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use pulp::{Arch, Simd, WithSimd};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::diffusion::{Denoiser, Schedule};
use crate::image::{ImageBatch, ImageShape};
use crate::random::noise_seeds;
use crate::theory::patches::Pool;
use crate::theory::spec::{MachineKind, MachineSpec, PatchSize};
use crate::theory::{Machine, Precision, TrainingImages};

/// Noise of the queries.
const QUERY_SEED: u64 = 1;

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TheoryTiming {
    pub machine: String,
    /// `None` for machines without patches.
    pub k: Option<usize>,
    pub n: usize,
    pub t: f64,
    pub queries: usize,
    pub wall_s: f64,
    pub cpu_s: f64,
    /// `None` where the system does not say.
    pub peak_rss_mb: Option<f64>,
    /// Pairs of a query pixel and a dictionary entry, per second of wall time.
    pub pairs_per_s: f64,
    /// The same per second of CPU time.
    pub pairs_per_cpu_s: f64,
    /// Share of the cores' measured multiply-add rate, were every pair weighed in full.
    pub share_of_peak: f64,
}

/// What to time.
#[derive(Clone, Debug)]
pub struct TheoryCase {
    pub spec: MachineSpec,
    pub t: f64,
    pub n_queries: usize,
    pub repeats: usize,
    /// Entropy and provenance too.
    pub posterior: bool,
}

/// Times one machine over one dictionary. Queries are the first training images in noise.
pub fn time_theory(
    images: &Arc<TrainingImages>,
    case: &TheoryCase,
    peak: f64,
) -> Result<TheoryTiming> {
    let (shape, n) = (images.shape(), images.len());
    let level = Schedule::Cosine.level(case.t);
    let clean = images.values(0..case.n_queries.min(n));
    let noise = noise_seeds(QUERY_SEED, 0, case.n_queries, shape);
    let pairs = clean.iter().cycle().zip(noise.values());
    let x = pairs.map(|(phi, eps)| level.signal() * phi + level.sigma() * eps).collect();
    let x = ImageBatch::new(shape, x);
    let machine = Machine::new(case.spec.clone(), images.clone(), Precision::F32, None)?
        .with_posterior(case.posterior);
    reset_peak_memory();
    let mut times: Vec<(f64, f64)> = Vec::with_capacity(case.repeats);
    for _ in 0..case.repeats.max(1) {
        let (wall, cpu) = (Instant::now(), cpu_seconds());
        black_box(machine.denoise(&x, level)?);
        times.push((wall.elapsed().as_secs_f64(), cpu_seconds() - cpu));
    }
    let median = |of: fn(&(f64, f64)) -> f64| {
        let mut all: Vec<f64> = times.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let (wall_s, cpu_s) = (median(|t| t.0), median(|t| t.1));
    let k = case.spec.kind.uses_patches().then(|| machine.patch_side(level));
    let pairs = n_pairs(&case.spec, shape, k.unwrap_or(1)) * n as f64 * case.n_queries as f64;
    Ok(TheoryTiming {
        machine: case.spec.column(),
        k,
        n,
        t: case.t,
        queries: case.n_queries,
        wall_s,
        cpu_s,
        peak_rss_mb: peak_memory_mb(),
        pairs_per_s: pairs / wall_s,
        pairs_per_cpu_s: pairs / cpu_s,
        share_of_peak: pairs * operations(&case.spec, shape) / cpu_s / peak,
    })
}

/// Pairs (p, q) of one query and one image.
fn n_pairs(spec: &MachineSpec, shape: ImageShape, k: usize) -> f64 {
    let pool = match spec.kind {
        MachineKind::Ideal | MachineKind::Wiener => return shape.n_pixels() as f64,
        MachineKind::EquivariantIdeal => return (shape.n_pixels() * shape.n_pixels()) as f64,
        MachineKind::Local => Pool::SamePlace,
        MachineKind::EquivariantLocal | MachineKind::Attention(_) => Pool::Wrap,
        MachineKind::EquivariantLocalInterior => Pool::Interior,
        MachineKind::BoundaryBroken => Pool::SameBorder,
    };
    let along = |len| pool.stretches(k, len).iter().map(|s| s.len as f64).sum::<f64>();
    along(shape.height) * along(shape.width)
}

/// Vector operations for one pair: squares, window sums, the exponential and the weighted sums.
fn operations(spec: &MachineSpec, shape: ImageShape) -> f64 {
    let channels = shape.channels as f64;
    if spec.kind.uses_patches() { 3.0 * channels + 6.0 + 15.0 } else { 3.0 * channels }
}

/// A spec with one patch side throughout.
pub fn fixed(kind: MachineKind, k: usize) -> MachineSpec {
    MachineSpec { kind, k: PatchSize::Fixed(k) }
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Asks Linux to count the high-water mark afresh; elsewhere it stays that of the whole process.
fn reset_peak_memory() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn peak_memory_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes / 1024.0)
}

/// Multiply-adds in single precision that one core of this machine makes in a second, measured.
pub fn multiply_adds_per_core() -> f64 {
    const ROUNDS: usize = 20_000_000;
    struct Loop;
    impl WithSimd for Loop {
        type Output = f64;

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> f64 {
            let (a, b) = (simd.splat_f32s(black_box(0.999_999)), simd.splat_f32s(black_box(1e-9)));
            // Enough independent chains to hide the latency of each.
            let mut chains = [simd.splat_f32s(1.0); 12];
            let start = cpu_seconds();
            for _ in 0..ROUNDS / chains.len() {
                for chain in &mut chains {
                    *chain = simd.mul_add_e_f32s(*chain, a, b);
                }
            }
            let seconds = cpu_seconds() - start;
            black_box(chains);
            (ROUNDS * S::F32_LANES) as f64 / seconds
        }
    }
    Arch::new().dispatch(Loop)
}

/// The file's images, or drawn ones, as a dictionary.
pub fn dictionary(dataset: &crate::dataset::Dataset) -> Result<Arc<TrainingImages>> {
    Ok(Arc::new(TrainingImages::from_dataset(dataset).context("reading the images")?))
}
