//! A score machine: one choice of [`MachineSpec`] over one dictionary, behind the denoiser seam.

use std::sync::Arc;

use rayon::prelude::*;

use super::attention_provider::{AttentionProvider, check_rows};
use super::attention_machine::{Shared, Sharing};
use super::composite::{Composite, CropPosteriors, Mosaic, entropies, normalisers};
use super::error::TheoryError;
use super::evidence::Portions;
use super::gpu::placement::GpuPlacement;
use super::gpu::published;
use super::ideal::{WholeSums, expand};
use super::images::{LARGEST_VALUE, TrainingImages};
use super::kernels::tile::Tile;
use super::kernels::{PatchQuery, Precision};
use super::masked::{MaskCache, MaskedSums, Masks, by_pixel};
use super::passes::{Merge, each_tile, merged, patch_posteriors, posteriors_on};
use super::patches::Pool;
use super::spec::{AttentionSettings, AttentionSource, MachineKind, MachineSpec, Scheduled};
use super::weights::Accumulator;
use super::wiener::Wiener;
use crate::diffusion::{
    AttentionMaps, DenoiseError, Denoised, Denoiser, NoiseLevel, Posterior, Provenance,
};
use crate::image::{ImageBatch, ImageShape};
use crate::simd::Lane;
use crate::simd::lane::n_lanes;

/// A machine ready to denoise.
#[derive(Clone)]
pub struct Machine {
    spec: MachineSpec,
    images: Arc<TrainingImages>,
    precision: Precision,
    provider: Option<Arc<dyn AttentionProvider>>,
    wiener: Option<Arc<Wiener>>,
    masks: Arc<MaskCache>,
    with_posterior: bool,
}

/// What one image's estimate consists of.
struct Answer {
    x0: Vec<f64>,
    entropy_nats: Vec<f64>,
    provenance: Vec<Provenance>,
    attention: Option<AttentionMaps>,
}

impl Answer {
    /// From a posterior for each pixel.
    fn by_pixel(all: &Accumulator) -> Self {
        Self {
            x0: all.mean(),
            entropy_nats: (0..all.n_pixels()).map(|p| all.entropy(p)).collect(),
            provenance: all.best.clone(),
            attention: None,
        }
    }
}

impl Machine {
    /// Checks the settings against the dictionary; `provider` serves the attention sources
    /// `trajectory` and `measured`.
    pub fn new(
        spec: MachineSpec,
        images: Arc<TrainingImages>,
        precision: Precision,
        provider: Option<Arc<dyn AttentionProvider>>,
    ) -> Result<Self, TheoryError> {
        let machine = Self {
            spec,
            images,
            precision,
            provider,
            wiener: None,
            masks: Arc::default(),
            with_posterior: false,
        };
        machine.checked()
    }

    /// Itself, if its settings suit its dictionary, with the filter if it needs one.
    fn checked(mut self) -> Result<Self, TheoryError> {
        let spec = &self.spec;
        if self.images.is_empty() {
            return Err(TheoryError::EmptyDictionary { machine: spec.column() });
        }
        if spec.kind.uses_patches() {
            check_patches(spec, self.images.shape())?;
        }
        match &spec.kind {
            MachineKind::Attention { settings, .. } => {
                check_attention(settings, self.provider.is_some())?;
            }
            MachineKind::Masked { threshold } if !(*threshold > 0.0 && *threshold <= 1.0) => {
                return Err(TheoryError::Threshold { found: *threshold });
            }
            _ => {}
        }
        let needs_filter = matches!(spec.kind, MachineKind::Wiener | MachineKind::Masked { .. });
        if needs_filter && self.wiener.is_none() {
            self.wiener = Some(Arc::new(Wiener::new(&self.images)?));
        }
        Ok(self)
    }

    /// Whether to return entropy, provenance and (attention machine) the attention used.
    pub fn with_posterior(mut self, wanted: bool) -> Self {
        self.with_posterior = wanted;
        self
    }

    /// The same dictionary under other settings: nothing that still holds is computed again.
    pub fn with_spec(&self, spec: MachineSpec) -> Result<Self, TheoryError> {
        Self { spec, masks: Arc::default(), ..self.clone() }.checked()
    }

    pub fn spec(&self) -> &MachineSpec {
        &self.spec
    }

    pub fn images(&self) -> &Arc<TrainingImages> {
        &self.images
    }

    /// The patch side at a level; for machines without patches it has no meaning.
    pub fn patch_side(&self, level: NoiseLevel) -> usize {
        *self.spec.k.at(level.t)
    }

    fn check(&self, x: &ImageBatch, level: NoiseLevel) -> Result<(), DenoiseError> {
        let denoiser = self.spec.column();
        let (expected, found) = (self.images.shape(), x.shape());
        if expected != found {
            return Err(DenoiseError::Shape { denoiser, expected, found });
        }
        if let Some(index) = x.values().iter().position(|v| !v.is_finite()) {
            return Err(DenoiseError::NotFinite { denoiser, index, value: x.values()[index] });
        }
        let largest = x.values().iter().fold(0.0_f64, |largest, v| largest.max(v.abs()));
        let problem = match level {
            NoiseLevel { abar, .. } if !(abar > 0.0 && abar <= 1.0) => {
                format!("signal power is '{abar}', but must lie in (0, 1)")
            }
            _ if level.variance() <= 0.0 => {
                "there is no noise to remove (sigma = '0' in double precision); ask at a larger t"
                    .to_owned()
            }
            _ if largest / level.signal() > LARGEST_VALUE => {
                format!(
                    "the input's values reach '{largest:e}', {:e} after division by sqrt(abar); the most \
                     that can be computed with is {LARGEST_VALUE:e}",
                    largest / level.signal()
                )
            }
            _ => return Ok(()),
        };
        Err(DenoiseError::Level { denoiser, t: level.t, problem })
    }

    fn answers<T: Lane>(
        &self,
        x: &ImageBatch,
        level: NoiseLevel,
    ) -> Result<Vec<Answer>, DenoiseError> {
        let signal = level.signal();
        let queries: Vec<Vec<T>> =
            x.iter().map(|x| x.iter().map(|v| T::from_f64(v / signal)).collect()).collect();
        let patches = |pool| Ok(self.patch_answers(&queries, pool, level));
        match &self.spec.kind {
            MachineKind::Ideal => Ok(self.whole_answers(x, false, level)),
            MachineKind::EquivariantIdeal => Ok(self.whole_answers(x, true, level)),
            MachineKind::Local => patches(Pool::SamePlace),
            MachineKind::EquivariantLocal => patches(Pool::Wrap),
            MachineKind::EquivariantLocalInterior => patches(Pool::Interior),
            MachineKind::BoundaryBroken => patches(Pool::SameBorder),
            MachineKind::Masked { threshold } => Ok(self.masked_answers(x, *threshold, level)),
            MachineKind::Composite => Ok(self.composite_answers(x, level)),
            MachineKind::Wiener => Ok(self.wiener_answers(x, level)),
            MachineKind::Attention { pool, settings } => {
                self.attention_answers(&queries, *pool, settings.at(level.t), x, level)
            }
        }
    }

    fn whole_answers(&self, x: &ImageBatch, shifts: bool, level: NoiseLevel) -> Vec<Answer> {
        let shape = self.images.shape();
        let precision = logit_scale(level);
        if let Some(answers) = self.whole_on_gpus(x, shifts, level) {
            return answers;
        }
        let n_lanes = n_lanes::<f64>();
        let n_entries = self.images.len() * if shifts { shape.n_pixels() } else { 1 };
        let sums = merged(&self.images, &scaled(x, level), |x, images| {
            let mut sums = WholeSums::new(shape, x, precision, shifts, n_lanes, n_entries);
            if shifts {
                each_tile(&self.images, images, |tile| sums.add_tile(tile));
            } else {
                let mut tile = Tile::new(shape, n_lanes);
                for first in images.clone().step_by(n_lanes) {
                    sums.add_images(&self.images, first..images.end, &mut tile);
                }
            }
            sums.finish()
        });
        let answer = |all: &Accumulator| {
            let (entropy_nats, provenance) = expand(all, shape);
            Answer { x0: all.mean(), entropy_nats, provenance, attention: None }
        };
        sums.iter().map(answer).collect()
    }

    /// Whole images are patches that cover them: at the same place, or, shifted, anywhere.
    fn whole_on_gpus(
        &self,
        x: &ImageBatch,
        shifts: bool,
        level: NoiseLevel,
    ) -> Option<Vec<Answer>> {
        let shape = self.images.shape();
        let (pool, k) = (
            if shifts { Pool::Wrap } else { Pool::SamePlace },
            2 * shape.height.max(shape.width) - 1,
        );
        let precision = logit_scale(level);
        let gpus = self.gpus()?;
        let scaled = scaled(x, level);
        let queries: Vec<PatchQuery<'_, f64>> =
            scaled.iter().map(|x| PatchQuery { shape, pool, k, x, precision }).collect();
        let sums = posteriors_on(gpus, &self.images, &queries, self.with_posterior)?;
        Some(sums.iter().map(Answer::by_pixel).collect())
    }

    fn patch_answers<T: Lane>(
        &self,
        queries: &[Vec<T>],
        pool: Pool,
        level: NoiseLevel,
    ) -> Vec<Answer> {
        let shape = self.images.shape();
        let (k, precision) = (self.patch_side(level), logit_scale(level));
        let queries: Vec<PatchQuery<'_, T>> =
            queries.iter().map(|x| PatchQuery { shape, pool, k, x, precision }).collect();
        let sums = patch_posteriors(&self.images, &queries, self.with_posterior);
        sums.iter().map(Answer::by_pixel).collect()
    }

    fn masked_answers(&self, x: &ImageBatch, threshold: f64, level: NoiseLevel) -> Vec<Answer> {
        let (shape, n_lanes) = (self.images.shape(), n_lanes::<f64>());
        let n_entries = self.images.len();
        let wiener = self.wiener.as_ref().expect("a masked machine is built with its filter");
        let masks = self.masks.get(level, || Masks::new(wiener, shape, level, threshold));
        let (queries, precision) = (scaled(x, level), logit_scale(level));
        let gpu_placement = self
            .gpus()
            .and_then(|gpus| published::masked(gpus, &self.images, &queries, &masks, precision));
        let sums = gpu_placement.unwrap_or_else(|| {
            merged(&self.images, &queries, |x, images| {
                let mut sums = MaskedSums::new(shape, &masks, x, precision, n_lanes, n_entries);
                each_tile(&self.images, images, |tile| sums.add_tile(tile));
                sums.finish()
            })
        });
        let answer = |all: &Accumulator| {
            let (x0, entropy_nats, provenance) = by_pixel(all, shape);
            Answer { x0, entropy_nats, provenance, attention: None }
        };
        sums.iter().map(answer).collect()
    }

    /// GPUs compute in single precision.
    fn gpus(&self) -> Option<&GpuPlacement> {
        self.images.gpu_placement().filter(|_| self.precision == Precision::F32)
    }

    fn composite_answers(&self, x: &ImageBatch, level: NoiseLevel) -> Vec<Answer> {
        let (shape, n_lanes) = (self.images.shape(), n_lanes::<f64>());
        let (k, precision) = (self.patch_side(level), logit_scale(level));
        let queries = scaled(x, level);
        let gpu_placement = self
            .gpus()
            .and_then(|gpus| published::composites(gpus, &self.images, &queries, k, precision));
        if let Some(found) = gpu_placement {
            let answer = |found: published::Composed| {
                let published::Composed { x0, entropy_nats, provenance } = found;
                Answer { x0, entropy_nats, provenance, attention: None }
            };
            return found.into_iter().map(answer).collect();
        }
        let crops = merged(&self.images, &queries, |x, images| {
            let n = self.images.len();
            let mut pass = CropPosteriors::new(shape, k, x, precision, n_lanes, n);
            each_tile(&self.images, images, |tile| pass.add_tile(tile));
            pass.finish()
        });
        let normalised = crops.iter().map(|crops| normalisers(crops, precision));
        let queries: Vec<(Vec<f64>, Vec<f64>)> = queries.into_iter().zip(normalised).collect();
        let mosaics = merged(&self.images, &queries, |(x, normalisers), images| {
            let mut pass = Composite::new(shape, k, x, precision, n_lanes, normalisers);
            each_tile(&self.images, images, |tile| pass.add_tile(tile));
            pass.finish()
        });
        let answer = |(crops, mosaic): (&Accumulator, &Mosaic)| Answer {
            x0: mosaic.mean(),
            entropy_nats: entropies(|y, x| crops.entropy(y * (shape.width + 1 - k) + x), shape, k),
            provenance: mosaic.provenance(shape.width),
            attention: None,
        };
        crops.iter().zip(&mosaics).map(answer).collect()
    }

    fn wiener_answers(&self, x: &ImageBatch, level: NoiseLevel) -> Vec<Answer> {
        let wiener = self.wiener.as_ref().expect("a Wiener machine is built with its filter");
        let denoise = |x| Answer {
            x0: wiener.denoise(x, level),
            entropy_nats: Vec::new(),
            provenance: Vec::new(),
            attention: None,
        };
        let images: Vec<&[f64]> = x.iter().collect();
        images.into_par_iter().map(denoise).collect()
    }

    fn attention_answers<T: Lane>(
        &self,
        queries: &[Vec<T>],
        pool: Pool,
        settings: &AttentionSettings,
        x: &ImageBatch,
        level: NoiseLevel,
    ) -> Result<Vec<Answer>, DenoiseError> {
        let n_pixels = self.images.shape().n_pixels();
        let given = self.given_maps(settings, x, level)?;
        let mut answers = Vec::with_capacity(queries.len());
        let (shape, precision) = (self.images.shape(), logit_scale(level));
        let k = self.patch_side(level);
        for (index, scaled) in queries.iter().enumerate() {
            let query = PatchQuery { shape, pool, k, x: scaled, precision };
            let portions = Portions::new(&self.images, query);
            let maps = given.as_ref().map(|given| given.exact(index, x.len())).transpose()?;
            let sharing = Sharing::of_source(settings.source, &portions, maps);
            let Shared { x0, entropy_nats, provenance } = sharing.estimate(&portions, settings);
            let attention = self.with_posterior.then(|| match &given {
                Some(given) => given.maps.slice(index, 1),
                None => sharing.to_maps(n_pixels),
            });
            answers.push(Answer { x0, entropy_nats, provenance, attention });
        }
        Ok(answers)
    }

    fn given_maps(
        &self,
        settings: &AttentionSettings,
        x: &ImageBatch,
        level: NoiseLevel,
    ) -> Result<Option<GivenMaps<'_>>, DenoiseError> {
        let Some(provider) = self.provider.as_ref().filter(|_| settings.source.needs_provider())
        else {
            return Ok(None);
        };
        let maps = provider.attention(x, level)?;
        let n_pixels = self.images.shape().n_pixels();
        if maps.n_pixels() != n_pixels || maps.len() != x.len() {
            let problem = format!(
                "attention maps are '{} x {} pixels', but the input is {} x {n_pixels}",
                maps.len(),
                maps.n_pixels(),
                x.len()
            );
            return Err(DenoiseError::Unusable { denoiser: self.spec.column(), problem });
        }
        check_rows(n_pixels, maps.weights().iter().map(|&w| f64::from(w)))?;
        Ok(Some(GivenMaps { provider: provider.as_ref(), maps }))
    }

    fn assemble(&self, shape: ImageShape, answers: Vec<Answer>) -> Denoised {
        let wiener = self.spec.kind == MachineKind::Wiener;
        let mut posterior = Posterior::default();
        let mut x0 = Vec::with_capacity(answers.len() * shape.n_values());
        let mut attention: Option<(usize, Vec<f32>)> = None;
        for answer in answers {
            x0.extend(answer.x0);
            posterior.entropy_nats.extend(answer.entropy_nats);
            posterior.provenance.extend(answer.provenance.into_iter().map(|place| Provenance {
                image: self.images.origin(place.image as usize),
                ..place
            }));
            if let Some(maps) = answer.attention {
                let all = attention.get_or_insert((maps.n_heads(), Vec::new()));
                all.1.extend_from_slice(maps.weights());
            }
        }
        Denoised {
            posterior: (self.with_posterior && !wiener).then_some(posterior),
            attention: attention
                .map(|(n_heads, weights)| AttentionMaps::new(n_heads, shape.n_pixels(), weights)),
            ..Denoised::plain(ImageBatch::new(shape, x0))
        }
    }
}

impl Denoiser for Machine {
    fn denoise(&self, x: &ImageBatch, level: NoiseLevel) -> Result<Denoised, DenoiseError> {
        self.check(x, level)?;
        let answers = match self.precision {
            Precision::F32 => self.answers::<f32>(x, level)?,
            Precision::F64 => self.answers::<f64>(x, level)?,
        };
        Ok(self.assemble(x.shape(), answers))
    }
}

/// Maps of a network or a file for one batch.
struct GivenMaps<'a> {
    provider: &'a dyn AttentionProvider,
    maps: AttentionMaps,
}

impl GivenMaps<'_> {
    /// Heads and weights of one image's maps, as exact as the provider has them.
    fn exact(&self, index: usize, n: usize) -> Result<(usize, Vec<f64>), DenoiseError> {
        let n_heads = self.maps.n_heads();
        if let Some(exact) = self.provider.exact() {
            return Ok((n_heads, exact.maps(index, n)?.to_vec()));
        }
        let maps = self.maps.slice(index, 1);
        Ok((n_heads, maps.weights().iter().map(|&w| f64::from(w)).collect()))
    }
}

/// `x_t / sqrt(abar)`, image by image.
fn scaled(x: &ImageBatch, level: NoiseLevel) -> Vec<Vec<f64>> {
    x.iter().map(|x| x.iter().map(|v| v / level.signal()).collect()).collect()
}

impl Merge for Mosaic {
    fn merge(&mut self, other: &Self) {
        self.merge(other);
    }
}

/// `abar / (2 sigma^2)`: logits are minus this times squared distances to `x_t / sqrt(abar)`.
pub(super) fn logit_scale(level: NoiseLevel) -> f64 {
    level.abar / (2.0 * level.variance())
}

fn check_patches(spec: &MachineSpec, shape: ImageShape) -> Result<(), TheoryError> {
    let machine = || spec.column();
    let sides = spec.k.all();
    if sides.is_empty() {
        return Err(TheoryError::EmptySchedule { machine: machine() });
    }
    if let Some(&k) = sides.iter().find(|k| k.is_multiple_of(2)) {
        return Err(TheoryError::PatchSide { machine: machine(), k });
    }
    let side = shape.height.min(shape.width);
    match sides.iter().find(|&&k| k > side) {
        Some(&k)
            if matches!(
                spec.kind,
                MachineKind::EquivariantLocalInterior
                    | MachineKind::Composite
                    | MachineKind::Attention { pool: Pool::Interior, .. }
            ) =>
        {
            // The largest odd number that fits.
            let largest = side - usize::from(side.is_multiple_of(2));
            Err(TheoryError::PatchTooLarge { machine: machine(), k, shape, largest })
        }
        _ => Ok(()),
    }
}

fn check_attention(
    settings: &Scheduled<AttentionSettings>,
    provided: bool,
) -> Result<(), TheoryError> {
    let machine = || "attention".to_owned();
    if settings.all().is_empty() {
        return Err(TheoryError::EmptySchedule { machine: machine() });
    }
    settings.all().iter().try_for_each(|settings| check_step(settings, provided))
}

fn check_step(settings: &AttentionSettings, provided: bool) -> Result<(), TheoryError> {
    let AttentionSettings { lambda, gamma, source } = *settings;
    if !(lambda.is_finite() && lambda >= 0.0) {
        return Err(TheoryError::Lambda { found: lambda });
    }
    if !(0.0..=1.0).contains(&gamma) {
        return Err(TheoryError::Gamma { found: gamma });
    }
    match source {
        AttentionSource::Similarity { tau } if !(tau.is_finite() && tau > 0.0) => {
            Err(TheoryError::Tau { found: tau })
        }
        source if source.needs_provider() && !provided => {
            Err(TheoryError::NoAttention { source_name: source.name().to_owned() })
        }
        _ => Ok(()),
    }
}
