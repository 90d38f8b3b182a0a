//! Times score machines.
//!
//! One step is one posterior of every pixel of the queries against the whole dictionary.

use std::hint::black_box;
use std::sync::Arc;

use anyhow::Result;
use serde::Serialize;

use super::peak_rates::PeakRates;
use super::pytorch_times::{Peer, PeerTiming};
use super::{Times, peak_memory_mb, reset_peak_memory};
use crate::diffusion::{Denoiser, NoiseLevel, Schedule};
use crate::image::{ImageBatch, ImageShape};
use crate::random::noise_seeds;
use crate::theory::machine_spec::{MachineKind, MachineSpec, PatchSize};
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
    /// `None` where the system does not report it.
    pub peak_rss_mb: Option<f64>,
    /// Pairs of a query pixel and a dictionary entry, per second of wall time.
    pub pairs_per_s: f64,
    /// The same per second of CPU time.
    pub pairs_per_cpu_s: f64,
    /// The least arithmetic that the pairs need (`operations`), as a share of a core's peak; `None` for machines whose
    /// pairs have no such cost. It exceeds 1 where patches repeat, because each distinct one is computed once.
    pub arithmetic_share: Option<f64>,
    /// Bytes of the dictionary read per second of CPU time, as a share of a core's peak. Neither share is known where
    /// GPUs compute.
    pub memory_share: Option<f64>,
    /// The same in PyTorch, on as many threads, where it was asked for.
    pub peer: Option<PeerTiming>,
}

/// One case to time.
#[derive(Clone, Debug)]
pub struct TheoryCase {
    pub spec: MachineSpec,
    pub t: f64,
    pub n_queries: usize,
    pub repeats: usize,
    /// Entropy and provenance too.
    pub posterior: bool,
}

impl TheoryCase {
    /// The same in PyTorch on the CPU; only `els` has a peer, which computes the mean alone.
    pub fn peer(&self, images: &TrainingImages) -> Option<Peer> {
        let is_els = self.spec.kind == MachineKind::EquivariantLocal;
        if !is_els || self.posterior || images.gpu_placement().is_some() {
            return None;
        }
        let k = *self.spec.k.at(self.t);
        Some(Peer::equivariant_local(images.shape(), images.len(), k, self.n_queries, self.t))
    }
}

/// Times one machine over one dictionary. Queries are the first training images with noise.
///
/// # Errors
/// If the machine cannot be built or fails.
pub fn time_theory(
    images: &Arc<TrainingImages>,
    case: &TheoryCase,
    peak_rates: &PeakRates,
) -> Result<TheoryTiming> {
    let (shape, n) = (images.shape(), images.len());
    let level = Schedule::Cosine.level(case.t);
    let x = queries(images, case.n_queries, level, QUERY_SEED);
    let machine = Machine::new(case.spec.clone(), images.clone(), Precision::F32, None)?
        .with_posterior(case.posterior);
    reset_peak_memory();
    let mut times = Times::default();
    for _ in 0..case.repeats.max(1) {
        times.take(|| Ok(black_box(machine.denoise(&x, level)?)))?;
    }
    let (wall_s, cpu_s) = (times.median_wall_s(), times.median_cpu_s());
    let k = case.spec.kind.uses_patches().then(|| machine.patch_side(level));
    let pairs = n_pairs(&case.spec, shape, k.unwrap_or(1)) * n as f64 * case.n_queries as f64;
    let arithmetic = operations(&case.spec, shape.channels).map(|(each, is_double)| {
        let limit = if is_double { peak_rates.f64_per_s } else { peak_rates.f32_per_s };
        each * pairs / cpu_s / limit
    });
    let on_cpu = images.gpu_placement().is_none();
    let bytes = (shape.n_values() * n * case.n_queries) as f64;
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
        arithmetic_share: arithmetic.filter(|_| on_cpu),
        memory_share: on_cpu.then(|| bytes / cpu_s / peak_rates.bytes_per_s),
        peer: None,
    })
}

/// The operations that every pair needs, and whether they are in double precision: squared differences of C channels, window
/// sums along lines and down rows (three additions each), one comparison. The additional cost of near
/// pairs, an exponential and `C + 2` multiply-adds, depends on the noise and is not counted.
fn operations(spec: &MachineSpec, channels: usize) -> Option<(f64, bool)> {
    let squares = 3.0 * channels as f64;
    match spec.kind {
        MachineKind::Local
        | MachineKind::LocalWrapped
        | MachineKind::EquivariantLocal
        | MachineKind::EquivariantLocalInterior
        | MachineKind::BoundaryBroken
        | MachineKind::Attention { .. } => Some((squares + 7.0, false)),
        MachineKind::Ideal
        | MachineKind::Nearest
        | MachineKind::Smoothed(_)
        | MachineKind::EquivariantIdeal => Some((squares, true)),
        // Twice, and the weights' sums over the patches that hold a pixel.
        MachineKind::Composite => Some((2.0 * (squares + 6.0) + 6.0, true)),
        MachineKind::Subset { .. }
        | MachineKind::Masked { .. }
        | MachineKind::Wiener
        | MachineKind::WienerCirculant
        | MachineKind::OptimalAttention(_) => None,
    }
}

/// Pairs (p, q) of one query and one image.
pub fn n_pairs(spec: &MachineSpec, shape: ImageShape, k: usize) -> f64 {
    let n_pixels = shape.n_pixels() as f64;
    let Some(pool) = spec.kind.pool() else {
        return match spec.kind {
            MachineKind::EquivariantIdeal => n_pixels * n_pixels,
            MachineKind::Smoothed(smoothing) => n_pixels * smoothing.n_copies as f64,
            _ => n_pixels,
        };
    };
    let along = |len| pool.stretches(k, len).iter().map(|s| s.len as f64).sum::<f64>();
    along(shape.height) * along(shape.width)
}

/// The first training images in noise.
pub(super) fn queries(
    images: &TrainingImages,
    n: usize,
    level: NoiseLevel,
    seed: u64,
) -> ImageBatch {
    let shape = images.shape();
    let clean = images.values(0..n.min(images.len()));
    let noise = noise_seeds(seed, 0, n, shape);
    let pairs = clean.iter().cycle().zip(noise.values());
    let x = pairs.map(|(phi, eps)| level.signal() * phi + level.sigma() * eps).collect();
    ImageBatch::new(shape, x)
}

/// A spec with one patch side throughout.
pub fn fixed(kind: MachineKind, k: usize) -> MachineSpec {
    MachineSpec::new(kind, PatchSize::Fixed(k))
}
