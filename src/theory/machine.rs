//! A score machine: one [`MachineSpec`] over one dictionary, as a [`Denoiser`].

use std::sync::Arc;

use rayon::prelude::*;

use super::attention_of_network_or_file::{AttentionProvider, check_rows};
use super::attention_optimal::{AttentionClass, AttentionQuery};
use super::attention_sources::AttentionWeights;
use super::cpu_kernels::{PatchQuery, logit_scale};
use super::dictionary_sums_on_gpu_or_cpu::Backend;
use super::error::TheoryError;
use super::estimate_of_one_image::Estimate;
use super::evidence_in_portions::Portions;
use super::ls_wiener::{MaskCache, Masks};
use super::machine_spec::{
    AttentionSettings, AttentionSource, MachineKind, MachineSpec, Scheduled, Smoothing,
};
use super::nearest_image::nearest_images;
use super::patch_pools_ls_els_bbels::Pool;
use super::patch_window::PatchWindow;
use super::smoothed_ideal::smoothed_estimates;
use super::subset_of_images::{CoarseImages, n_of_subset};
use super::training_images::TrainingImages;
use super::training_pixels::LARGEST_VALUE;
use super::wiener::Wiener;
use super::wiener_circulant::CirculantWiener;
use crate::diffusion::{
    Attending, AttentionMaps, DenoiseError, Denoised, Denoiser, NoiseLevel, Posterior, Provenance,
};
use crate::image::{ImageBatch, ImageShape};
use crate::simd::Lane;

/// Precision of a machine's inner loops: squared differences, logits and weights. Running sums and evidence are `f64`
/// in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Several times as fast as `F64`. The score stays within 1e-3 of the largest score (see
    /// `tests/parity.rs` for the bound that is checked).
    #[default]
    F32,
    F64,
}

/// A machine ready to denoise.
#[derive(Clone)]
pub struct Machine {
    spec: MachineSpec,
    images: Arc<TrainingImages>,
    precision: Precision,
    provider: Option<Arc<dyn AttentionProvider>>,
    wiener: Option<Arc<Wiener>>,
    circulant: Option<Arc<CirculantWiener>>,
    coarse: Option<Arc<CoarseImages>>,
    masks: Arc<MaskCache>,
    with_posterior: bool,
}

impl Machine {
    /// A machine over `images`; `provider` serves the attention sources `trajectory` and `measured`.
    ///
    /// # Errors
    ///
    /// If there are no images, if a setting is out of range or does not suit their shape, or if the attention source
    /// needs a provider and there is none.
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
            circulant: None,
            coarse: None,
            masks: Arc::default(),
            with_posterior: false,
        };
        machine.checked()
    }

    /// Checks the settings against the dictionary, and computes the Wiener filter if the machine needs it.
    fn checked(mut self) -> Result<Self, TheoryError> {
        let spec = &self.spec;
        if self.images.is_empty() {
            return Err(TheoryError::EmptyDictionary { machine: spec.column() });
        }
        if spec.kind.uses_patches() {
            check_patches(spec, self.images.shape())?;
        }
        if let PatchWindow::Gaussian { width } = spec.window
            && !(width.is_finite() && width > 0.0)
        {
            return Err(wrong("the window's width", width, "be a finite number above 0"));
        }
        match &spec.kind {
            MachineKind::Attention { settings, .. } => {
                check_attention(settings, self.provider.is_some())?;
            }
            MachineKind::OptimalAttention(_) if self.images.optimum_solver().is_none() => {
                return Err(TheoryError::NoSolver { machine: spec.column() });
            }
            MachineKind::Masked { threshold } if !(*threshold > 0.0 && *threshold <= 1.0) => {
                let limits = "lie above 0 and at most at 1";
                return Err(wrong("the mask's threshold", *threshold, limits));
            }
            MachineKind::Smoothed(Smoothing { sigma, .. })
                if !(sigma.is_finite() && *sigma >= 0.0) =>
            {
                return Err(wrong("the smoothing", *sigma, "be a finite number of at least 0"));
            }
            MachineKind::Smoothed(Smoothing { n_copies: 0, .. }) => {
                return Err(wrong("the number of smoothing samples", 0.0, "be at least 1"));
            }
            MachineKind::Subset { size } if !(size.is_finite() && *size > 0.0) => {
                return Err(wrong("the size of the subset", *size, "be a finite number above 0"));
            }
            _ => {}
        }
        let needs_filter = matches!(spec.kind, MachineKind::Wiener | MachineKind::Masked { .. });
        if needs_filter && self.wiener.is_none() {
            self.wiener = Some(Arc::new(Wiener::new(&self.images)?));
        }
        if spec.kind == MachineKind::WienerCirculant && self.circulant.is_none() {
            self.circulant = Some(Arc::new(CirculantWiener::new(&self.images)?));
        }
        if matches!(spec.kind, MachineKind::Subset { .. }) && self.coarse.is_none() {
            self.coarse = Some(Arc::new(CoarseImages::new(self.images.pixels())));
        }
        Ok(self)
    }

    /// Sets whether estimates come with entropy, provenance and (attention machines) the attention that was used.
    pub fn with_posterior(mut self, wanted: bool) -> Self {
        self.with_posterior = wanted;
        self
    }

    /// A machine with other settings over the same dictionary; reuses the Wiener filter.
    ///
    /// # Errors
    ///
    /// As [`Machine::new`].
    pub fn with_spec(&self, spec: MachineSpec) -> Result<Self, TheoryError> {
        Self { spec, masks: Arc::default(), ..self.clone() }.checked()
    }

    /// Whether the machine can denoise at once; `attention-optimal` has to be solved first.
    pub fn is_solved(&self) -> bool {
        let (MachineKind::OptimalAttention(class), Some(solver)) =
            (&self.spec.kind, self.images.optimum_solver())
        else {
            return true;
        };
        let sides = self.spec.k.all();
        sides.iter().all(|&k| solver.is_solved(class, k, self.images.pixels()))
    }

    /// The settings.
    pub fn spec(&self) -> &MachineSpec {
        &self.spec
    }

    /// The dictionary.
    pub fn images(&self) -> &Arc<TrainingImages> {
        &self.images
    }

    /// The patch side at a noise level, in pixels; meaningless for machines without patches.
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

    fn estimates<T: Lane>(
        &self,
        x: &ImageBatch,
        level: NoiseLevel,
    ) -> Result<Vec<Estimate>, DenoiseError> {
        let backend = Backend::new::<T>(&self.images);
        let patches = |pool| {
            Ok(self.patch_estimates(
                backend.for_window(self.spec.window),
                &scaled::<T>(x, level),
                pool,
                level,
            ))
        };
        let whole = |shifts| {
            let (queries, logit_scale) = (scaled(x, level), logit_scale(level));
            Ok(backend.whole_images(&queries, shifts, logit_scale, self.with_posterior))
        };
        match &self.spec.kind {
            MachineKind::Ideal => whole(false),
            MachineKind::Nearest => {
                let images = self.images.pixels();
                Ok(nearest_images(images, &scaled(x, level), logit_scale(level)))
            }
            MachineKind::Smoothed(smoothing) => {
                let ideal = |queries: &[Vec<f64>]| {
                    backend.whole_images(queries, false, logit_scale(level), false)
                };
                Ok(smoothed_estimates(&scaled(x, level), *smoothing, level, ideal))
            }
            MachineKind::Subset { size } => {
                let coarse = self.coarse.as_ref().expect("`checked` made it for this machine");
                let (images, queries) = (self.images.pixels(), scaled(x, level));
                let n = n_of_subset(*size, images.len(), level);
                Ok(coarse.estimates(images, &queries, n, logit_scale(level)))
            }
            MachineKind::EquivariantIdeal => whole(true),
            MachineKind::Local => patches(Pool::SamePlace),
            MachineKind::LocalWrapped => patches(Pool::SamePlaceWrapped),
            MachineKind::EquivariantLocal => patches(Pool::Wrap),
            MachineKind::EquivariantLocalInterior => patches(Pool::Interior),
            MachineKind::BoundaryBroken => patches(Pool::SameBorder),
            MachineKind::Masked { threshold } => {
                let masks = || Masks::new(self.filter(), self.images.shape(), level, *threshold);
                let masks = self.masks.get(level, masks);
                Ok(backend.masked(&scaled(x, level), &masks, logit_scale(level)))
            }
            MachineKind::Composite => {
                let k = self.patch_side(level);
                Ok(backend.composites(&scaled(x, level), k, logit_scale(level)))
            }
            MachineKind::Wiener => Ok(linear(x, |x| self.filter().denoise(x, level))),
            MachineKind::WienerCirculant => {
                let filter = self.circulant.as_ref().expect("`checked` made it for this machine");
                Ok(linear(x, |x| filter.denoise(x, level)))
            }
            MachineKind::Attention { pool, settings } => {
                let queries = scaled::<T>(x, level);
                self.attention_estimates(&queries, *pool, settings.at(level.t), x, level)
            }
            MachineKind::OptimalAttention(class) => {
                let asked = match self.with_posterior {
                    true => AttentionQuery::Own,
                    false => AttentionQuery::None,
                };
                let found = self.optimum(class, x, level, asked)?;
                let attention = |i| found.attention.as_ref().map(|maps| maps.slice(i, 1));
                let estimate = |(i, x0): (usize, &[f64])| Estimate {
                    x0: x0.to_vec(),
                    attention: attention(i),
                    ..Estimate::default()
                };
                Ok(found.x0.iter().enumerate().map(estimate).collect())
            }
        }
    }

    /// The estimates of `attention-optimal`.
    fn optimum(
        &self,
        class: &AttentionClass,
        x: &ImageBatch,
        level: NoiseLevel,
        asked: AttentionQuery<'_>,
    ) -> Result<Denoised, DenoiseError> {
        let solver = self.images.optimum_solver().expect("`checked` looked for one");
        solver.denoise(class, self.patch_side(level), self.images.pixels(), x, level, asked)
    }

    /// The class of `attention-optimal`.
    fn class(&self) -> Result<&AttentionClass, DenoiseError> {
        match &self.spec.kind {
            MachineKind::OptimalAttention(class) => Ok(class),
            _ => Err(DenoiseError::Unusable {
                denoiser: self.spec.column(),
                problem: "its attention cannot be replaced; that of attention-optimal can"
                    .to_owned(),
            }),
        }
    }

    /// The dense Wiener filter of the machines that need one.
    fn filter(&self) -> &Wiener {
        self.wiener.as_ref().expect("`checked` made the filter of every machine that needs one")
    }

    fn patch_estimates<T: Lane>(
        &self,
        backend: Backend<'_>,
        queries: &[Vec<T>],
        pool: Pool,
        level: NoiseLevel,
    ) -> Vec<Estimate> {
        let shape = self.images.shape();
        let (k, window, logit_scale) =
            (self.patch_side(level), self.spec.window, logit_scale(level));
        let queries: Vec<PatchQuery<'_, T>> =
            queries.iter().map(|x| PatchQuery { shape, pool, k, window, x, logit_scale }).collect();
        let sums = backend.patch_posteriors(&queries, self.with_posterior);
        sums.iter().map(Estimate::from_pixels).collect()
    }

    fn attention_estimates<T: Lane>(
        &self,
        queries: &[Vec<T>],
        pool: Pool,
        settings: &AttentionSettings,
        x: &ImageBatch,
        level: NoiseLevel,
    ) -> Result<Vec<Estimate>, DenoiseError> {
        let given = self.given_maps(settings, x, level)?;
        let (shape, k, logit_scale) =
            (self.images.shape(), self.patch_side(level), logit_scale(level));
        let window = self.spec.window;
        let estimate = |(index, x_scaled): (usize, &Vec<T>)| {
            let query = PatchQuery { shape, pool, k, window, x: x_scaled, logit_scale };
            let portions = Portions::new(&self.images, query);
            let maps = given.as_ref().map(|given| given.exact(index, x.len())).transpose()?;
            let weights = AttentionWeights::of_source(settings.source, &portions, maps);
            let attention = self.with_posterior.then(|| match &given {
                Some(given) => given.maps.slice(index, 1),
                None => weights.to_maps(shape.n_pixels()),
            });
            Ok(Estimate { attention, ..weights.estimate(&portions, settings) })
        };
        if let (AttentionSource::Pooled, Some(x)) = (settings.source, queries.first()) {
            // Fitted before queries run side by side: each of them would fit it.
            let query = PatchQuery { shape, pool, k, window, x, logit_scale };
            Portions::new(&self.images, query).pooled_model();
        }
        if Portions::<T>::is_small(&self.images) {
            return queries.par_iter().enumerate().map(estimate).collect();
        }
        queries.iter().enumerate().map(estimate).collect()
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
        check_rows(n_pixels, maps.weights())?;
        Ok(Some(GivenMaps { provider: provider.as_ref(), maps }))
    }

    /// A place in the dictionary by the number of its image, and the pixel there, in the set without copies.
    fn named(&self, place: Provenance) -> Provenance {
        let (at, shape) = (place.image as usize, self.images.shape());
        let of_copy = (usize::from(place.row), usize::from(place.column));
        let (row, column) = self.images.symmetry(at).source((shape.height, shape.width), of_copy);
        Provenance { image: self.images.origin(at), row: row as u16, column: column as u16 }
    }

    fn assemble(&self, shape: ImageShape, estimates: Vec<Estimate>) -> Denoised {
        let has_posterior = self.with_posterior && self.spec.kind.has_posterior();
        let mut posterior = Posterior::default();
        let mut x0 = Vec::with_capacity(estimates.len() * shape.n_values());
        let mut attention: Option<(usize, Vec<f32>)> = None;
        for estimate in estimates {
            x0.extend(estimate.x0);
            posterior.entropy_nats.extend(estimate.entropy_nats);
            if self.images.n_copies() > 1 {
                let symmetry = |place: &Provenance| self.images.symmetry(place.image as usize);
                posterior.symmetries.extend(estimate.provenance.iter().map(symmetry));
            }
            posterior.provenance.extend(estimate.provenance.iter().map(|place| self.named(*place)));
            if let Some(maps) = estimate.attention {
                let all = attention.get_or_insert((maps.n_heads(), Vec::new()));
                all.1.extend_from_slice(maps.weights());
            }
        }
        Denoised {
            posterior: has_posterior.then_some(posterior),
            attention: attention
                .map(|(n_heads, weights)| AttentionMaps::new(n_heads, shape.n_pixels(), weights)),
            ..Denoised::plain(ImageBatch::new(shape, x0))
        }
    }
}

impl Denoiser for Machine {
    fn denoise(&self, x: &ImageBatch, level: NoiseLevel) -> Result<Denoised, DenoiseError> {
        self.check(x, level)?;
        let estimates = match self.precision {
            Precision::F32 => self.estimates::<f32>(x, level)?,
            Precision::F64 => self.estimates::<f64>(x, level)?,
        };
        Ok(self.assemble(x.shape(), estimates))
    }
}

/// Of `attention-optimal` alone: other attention machines share evidence along their maps before they estimate.
impl Attending for Machine {
    fn own_maps(
        &self,
        x: &ImageBatch,
        level: NoiseLevel,
    ) -> Result<Option<AttentionMaps>, DenoiseError> {
        self.check(x, level)?;
        Ok(self.optimum(self.class()?, x, level, AttentionQuery::Own)?.attention)
    }

    fn denoise_with_maps(
        &self,
        x: &ImageBatch,
        level: NoiseLevel,
        maps: &AttentionMaps,
    ) -> Result<Denoised, DenoiseError> {
        self.check(x, level)?;
        self.optimum(self.class()?, x, level, AttentionQuery::Given(maps))
    }
}

/// Attention maps for one batch, from the provider.
struct GivenMaps<'a> {
    provider: &'a dyn AttentionProvider,
    maps: AttentionMaps,
}

impl GivenMaps<'_> {
    /// Number of heads and weights `[heads, P, P]` of one image of a batch of `n`, in double precision where the
    /// provider has them.
    fn exact(&self, index: usize, n: usize) -> Result<(usize, Vec<f64>), DenoiseError> {
        let n_heads = self.maps.n_heads();
        if let Some(exact) = self.provider.exact() {
            return Ok((n_heads, exact.maps(index, n)?.to_vec()));
        }
        let maps = self.maps.slice(index, 1);
        Ok((n_heads, maps.weights().iter().map(|&w| f64::from(w)).collect()))
    }
}

/// The estimates of a linear filter, image by image.
fn linear(x: &ImageBatch, filter: impl Fn(&[f64]) -> Vec<f64> + Send + Sync) -> Vec<Estimate> {
    let images: Vec<&[f64]> = x.iter().collect();
    let x0 = images.into_par_iter().map(filter);
    x0.map(|x0| Estimate { x0, ..Estimate::default() }).collect()
}

/// `x_t / sqrt(abar)`, image by image.
fn scaled<T: Lane>(x: &ImageBatch, level: NoiseLevel) -> Vec<Vec<T>> {
    let signal = level.signal();
    x.iter().map(|x| x.iter().map(|v| T::from_f64(v / signal)).collect()).collect()
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

fn wrong(name: &'static str, found: f64, limits: &'static str) -> TheoryError {
    TheoryError::Setting { name, found, limits }
}

fn check_step(settings: &AttentionSettings, provided: bool) -> Result<(), TheoryError> {
    let AttentionSettings { lambda, gamma, source } = *settings;
    if !(lambda.is_finite() && lambda >= 0.0) {
        return Err(wrong("lambda", lambda, "be a finite number of at least 0"));
    }
    if !(0.0..=1.0).contains(&gamma) {
        return Err(wrong("gamma", gamma, "lie in [0, 1]"));
    }
    match source {
        AttentionSource::Similarity { tau } if !(tau.is_finite() && tau > 0.0) => {
            Err(wrong("tau", tau, "be a finite number above 0"))
        }
        source if source.needs_provider() && !provided => {
            Err(TheoryError::NoAttention { source_name: source.name().to_owned() })
        }
        _ => Ok(()),
    }
}
