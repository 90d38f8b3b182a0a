//! A network as a [`Denoiser`]: turns `eps_hat` into `x0hat`.
//!
//! `x0hat = (x - sigma eps_hat) / sqrt(abar)`, clamped to the pixel range if configured. Noisy states are passed in
//! double precision and rounded to that of the network. Large batches run in pieces, whose size changes no result
//! because every operation treats images one by one.

use std::sync::Arc;

use candle_core::{DType, Tensor};

use super::attention_layer::{AttentionDetail, AttentionRecord};
use super::network_model::Network;
use super::ops::attention_statistics::N_FIGURES;
use super::parameters::NetworkError;
use crate::diffusion::{
    Attending, AttentionMaps, AttentionStatistics, DenoiseError, Denoised, Denoiser, Grid,
    NoiseLevel,
};
use crate::image::ImageBatch;

/// Values of activations (or of attention maps) that one piece may hold at a time.
const PIECE_VALUES: usize = 1 << 24;

const NAME: &str = "network";

/// A frozen network as a [`Denoiser`]. Cheap to clone.
#[derive(Clone)]
pub struct NetworkDenoiser {
    network: Arc<Network>,
    /// One class per image of a batch.
    labels: Option<Arc<[u32]>>,
    detail: AttentionDetail,
    clamp: bool,
}

impl NetworkDenoiser {
    /// A denoiser that returns nothing about attention.
    pub fn new(network: Arc<Network>) -> Self {
        let clamp = network.config().clamp;
        Self { network, labels: None, detail: AttentionDetail::Nothing, clamp }
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Sets what estimates return about attention, if the network has an attention layer.
    pub fn recording(mut self, detail: AttentionDetail) -> Self {
        self.detail = detail;
        self
    }

    /// Sets one class per image of a batch, for a class-conditional network.
    pub fn with_labels(mut self, labels: Vec<u32>) -> Self {
        self.labels = Some(labels.into());
        self
    }

    /// Sets whether estimates are clamped to the pixel range [-1, 1] (at first as `network.clamp` says).
    pub fn clamped(mut self, wanted: bool) -> Self {
        self.clamp = wanted;
        self
    }

    /// The attention maps of the network at a noisy state `x`, `[B, heads, P, P]`.
    ///
    /// # Errors
    ///
    /// If the network has no attention layer or denoising fails.
    pub fn attention(
        &self,
        x: &ImageBatch,
        level: NoiseLevel,
    ) -> Result<AttentionMaps, DenoiseError> {
        let denoised = self.clone().recording(AttentionDetail::Maps).denoise(x, level)?;
        denoised.attention.ok_or_else(without_attention)
    }

    /// Statistics of the attention at a noisy state `x`.
    ///
    /// # Errors
    ///
    /// If the network has no attention layer or denoising fails.
    pub fn attention_statistics(
        &self,
        x: &ImageBatch,
        level: NoiseLevel,
    ) -> Result<AttentionStatistics, DenoiseError> {
        let denoised = self.clone().recording(AttentionDetail::Statistics).denoise(x, level)?;
        denoised.attention_statistics.ok_or_else(without_attention)
    }

    fn labels(&self, n_images: usize) -> Result<Option<&[u32]>, DenoiseError> {
        match self.labels.as_deref() {
            Some(labels) if labels.len() != n_images => Err(DenoiseError::Unusable {
                denoiser: NAME.to_owned(),
                problem: format!("{} class labels for {n_images} images", labels.len()),
            }),
            labels => Ok(labels),
        }
    }

    /// Images per piece.
    fn piece(&self) -> usize {
        if let Some(n) = self.network.images_on_gpu(self.detail) {
            return n;
        }
        let config = self.network.config();
        let n_pixels = config.image.n_pixels();
        let features = config.n_features() * n_pixels;
        let maps = config.attention.map_or(0, |a| a.heads * n_pixels * n_pixels);
        (PIECE_VALUES / (8 * features + maps).max(1)).clamp(1, 256)
    }

    fn record(
        &self,
        record: &AttentionRecord,
    ) -> Result<(AttentionStatistics, Option<AttentionMaps>), DenoiseError> {
        let config = self.network.config();
        let (grid, heads) = (config.grid(), config.attention.map_or(0, |a| a.heads));
        let maps = record.maps.as_ref().map(|maps| host(maps, DType::F32)).transpose()?;
        let maps = maps.map(|weights| AttentionMaps::new(heads, grid.n_pixels(), weights));
        let statistics = match (&record.figures, &maps) {
            (Some(figures), _) => of_figures(&host(figures, DType::F64)?, heads, grid),
            (None, Some(maps)) => AttentionStatistics::of_maps(maps, grid).unwrap_or_default(),
            (None, None) => AttentionStatistics::default(),
        };
        Ok((statistics, maps))
    }

    /// Appends the estimates `x0hat` that belong to `eps_hat`, and counts the values that were clamped.
    fn extend_estimates(
        &self,
        x0: &mut Vec<f64>,
        n_clamped: &mut usize,
        x: &ImageBatch,
        eps: &[f64],
        level: NoiseLevel,
    ) {
        let (signal, sigma) = (level.signal(), level.sigma());
        x0.extend(x.values().iter().zip(eps).map(|(x, eps)| {
            let x0 = (x - sigma * eps) / signal;
            let is_outside = self.clamp && !(-1.0..=1.0).contains(&x0);
            *n_clamped += usize::from(is_outside);
            if is_outside { x0.clamp(-1.0, 1.0) } else { x0 }
        }));
    }

    fn check(&self, x: &ImageBatch, level: NoiseLevel) -> Result<(), DenoiseError> {
        let (expected, found) = (self.network.config().image, x.shape());
        if found != expected {
            return Err(DenoiseError::Shape { denoiser: NAME.to_owned(), expected, found });
        }
        if let Some((index, &value)) = x.values().iter().enumerate().find(|(_, v)| !v.is_finite()) {
            return Err(DenoiseError::NotFinite { denoiser: NAME.to_owned(), index, value });
        }
        if level.abar > 0.0 {
            return Ok(());
        }
        let problem = "no signal is left to estimate from (abar = 0)".to_owned();
        Err(DenoiseError::Level { denoiser: NAME.to_owned(), t: level.t, problem })
    }
}

impl Denoiser for NetworkDenoiser {
    fn denoise(&self, x: &ImageBatch, level: NoiseLevel) -> Result<Denoised, DenoiseError> {
        self.check(x, level)?;
        let labels = self.labels(x.len())?;
        let mut n_clamped = 0;
        let mut x0 = Vec::with_capacity(x.values().len());
        let mut weights: Vec<f32> = Vec::new();
        let mut statistics = AttentionStatistics::default();
        for start in (0..x.len()).step_by(self.piece()) {
            let n = self.piece().min(x.len() - start);
            let piece = x.slice(start, n);
            let labels = labels.map(|labels| &labels[start..start + n]);
            let found = self.network.predict(level.t, piece.values(), labels, self.detail);
            let prediction = found.map_err(failed)?;
            let eps = host::<f64>(&prediction.eps, DType::F64)?;
            self.extend_estimates(&mut x0, &mut n_clamped, &piece, &eps, level);
            let (some, maps) = self.record(&prediction.record)?;
            statistics.merge(&some);
            if let Some(maps) = maps.filter(|_| self.detail == AttentionDetail::Maps) {
                weights.extend_from_slice(maps.weights());
            }
        }
        let attention = self.network.config().attention.filter(|_| !weights.is_empty());
        let n_pixels = x.shape().n_pixels();
        let attention = attention.map(|a| AttentionMaps::new(a.heads, n_pixels, weights));
        Ok(Denoised {
            attention,
            attention_statistics: (statistics.n_images > 0).then_some(statistics),
            n_clamped,
            ..Denoised::plain(ImageBatch::new(x.shape(), x0))
        })
    }
}

impl Attending for NetworkDenoiser {
    fn own_maps(
        &self,
        x: &ImageBatch,
        level: NoiseLevel,
    ) -> Result<Option<AttentionMaps>, DenoiseError> {
        self.attention(x, level).map(Some)
    }

    fn denoise_with_maps(
        &self,
        x: &ImageBatch,
        level: NoiseLevel,
        maps: &AttentionMaps,
    ) -> Result<Denoised, DenoiseError> {
        self.check(x, level)?;
        let heads = self.network.config().attention.ok_or_else(without_attention)?.heads;
        maps.check_sizes(NAME, (x.len(), heads, x.shape().n_pixels()))?;
        let labels = self.labels(x.len())?;
        let mut n_clamped = 0;
        let mut x0 = Vec::with_capacity(x.values().len());
        for start in (0..x.len()).step_by(self.piece()) {
            let n = self.piece().min(x.len() - start);
            let piece = x.slice(start, n);
            let (labels, maps) = (labels.map(|all| &all[start..start + n]), maps.slice(start, n));
            let found =
                self.network.predict_with_maps(level.t, piece.values(), labels, maps.weights());
            let eps = host::<f64>(&found.map_err(failed)?, DType::F64)?;
            self.extend_estimates(&mut x0, &mut n_clamped, &piece, &eps, level);
        }
        Ok(Denoised { n_clamped, ..Denoised::plain(ImageBatch::new(x.shape(), x0)) })
    }
}

/// Statistics from `[B, heads, 4, P]`, see [`crate::network::ops::attention_statistics`].
fn of_figures(figures: &[f64], heads: usize, grid: Grid) -> AttentionStatistics {
    let n = grid.n_pixels();
    let mut all = AttentionStatistics::default();
    for image in figures.chunks_exact(heads * N_FIGURES * n) {
        let mut one = AttentionStatistics { n_images: 1, ..AttentionStatistics::default() };
        for head in image.chunks_exact(N_FIGURES * n) {
            let mean = |which: usize| head[which * n..][..n].iter().sum::<f64>() / n as f64;
            let largest = |which: usize| {
                head[which * n..][..n].iter().copied().fold(f64::NEG_INFINITY, f64::max)
            };
            one.entropy_nats.push(mean(0));
            one.distance_pixels.push(mean(1));
            one.largest_logit.push(largest(2));
            one.sink.push(largest(3));
        }
        all.merge(&one);
    }
    all
}

fn without_attention() -> DenoiseError {
    let problem = "this network has no attention layer".to_owned();
    DenoiseError::Unusable { denoiser: NAME.to_owned(), problem }
}

fn failed(error: NetworkError) -> DenoiseError {
    DenoiseError::Failed { denoiser: NAME.to_owned(), source: Box::new(error) }
}

fn host<T: candle_core::WithDType>(tensor: &Tensor, dtype: DType) -> Result<Vec<T>, DenoiseError> {
    let values = tensor.to_dtype(dtype).and_then(|t| t.flatten_all()?.to_vec1::<T>());
    values.map_err(|error| failed(error.into()))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::diffusion::Schedule;
    use crate::image::ImageShape;
    use crate::network::network_config::{
        Architecture, AttentionConfig, AttentionVariant, NetworkConfig, Output, Padding, Readout,
    };
    use crate::random::noise_seeds;

    fn denoiser(clamp: bool) -> NetworkDenoiser {
        let config = NetworkConfig {
            schedule: Schedule::default(),
            image: ImageShape::new(3, 4, 4),
            architecture: Architecture::ResNet { width: 16, kernels: vec![3] },
            padding: Padding::Zeros,
            group_norm: false,
            last_kernel: 3,
            readout: Readout::Linear,
            n_classes: Some(4),
            attention: None,
            output: Output::Noise,
            time_scale: 1.0,
            clamp,
        };
        let network = Network::new(&config, 1, &Device::Cpu).unwrap();
        NetworkDenoiser::new(Arc::new(network.frozen().unwrap()))
    }

    fn seeds(n: usize) -> ImageBatch {
        noise_seeds(2, 0, n, ImageShape::new(3, 4, 4))
    }

    #[test]
    fn an_images_answer_does_not_depend_on_its_batch_or_piece() {
        let (denoiser, level) = (denoiser(false), Schedule::Cosine.level(0.6));
        let n = 300;
        assert!(denoiser.piece() < n, "the batch must be cut for this test");
        let labels: Vec<u32> = (0..n as u32).map(|i| i % 4).collect();
        let all = denoiser.clone().with_labels(labels).denoise(&seeds(n), level).unwrap().x0;
        for i in [0, 255, 256, 299] {
            let alone = denoiser.clone().with_labels(vec![i as u32 % 4]);
            let alone = alone.denoise(&seeds(n).slice(i, 1), level).unwrap().x0;
            for (a, b) in all.image(i).iter().zip(alone.values()) {
                assert!((a - b).abs() < 1e-5, "image {i}: {a} {b}");
            }
        }
    }

    #[test]
    fn statistics_are_those_of_the_maps_whichever_is_asked_for() {
        use AttentionVariant::{Identity, Softmax, Top1, Uniform};
        for variant in [Softmax, Top1, Uniform, Identity] {
            let network = NetworkConfig {
                n_classes: None,
                attention: Some(AttentionConfig {
                    variant,
                    heads: 2,
                    head_width: 3,
                    normalise: false,
                }),
                ..denoiser(false).network().config().clone()
            };
            let network = Network::new(&network, 5, &Device::Cpu).unwrap();
            let denoiser = NetworkDenoiser::new(Arc::new(network));
            let (x, level) = (seeds(3), Schedule::Cosine.level(0.5));
            let found = denoiser.attention_statistics(&x, level).unwrap();
            let maps = denoiser.attention(&x, level).unwrap();
            let grid = denoiser.network().config().grid();
            let expected = AttentionStatistics::of_maps(&maps, grid).unwrap();
            assert_eq!(found.n_images, 3);
            for (a, b) in [
                (&found.entropy_nats, &expected.entropy_nats),
                (&found.distance_pixels, &expected.distance_pixels),
                (&found.sink, &expected.sink),
            ] {
                assert_eq!(a.len(), 2);
                assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5), "{variant:?}");
            }
            let has_logits = variant == Softmax;
            assert_eq!(found.largest_logit.len(), if has_logits { 2 } else { 0 });
        }
    }

    #[test]
    fn estimates_with_the_networks_own_maps_are_its_own_and_with_others_are_not() {
        use AttentionVariant::{Identity, Softmax, Top1, Uniform};
        for variant in [Softmax, Top1, Uniform, Identity] {
            for readout in [Readout::Linear, Readout::Relu] {
                let config = NetworkConfig {
                    attention: Some(AttentionConfig {
                        variant,
                        heads: 2,
                        head_width: 3,
                        normalise: true,
                    }),
                    readout,
                    n_classes: None,
                    output: Output::Velocity,
                    ..denoiser(true).network().config().clone()
                };
                let network = Network::new(&config, 5, &Device::Cpu).unwrap();
                let denoiser = NetworkDenoiser::new(Arc::new(network.frozen().unwrap()));
                let (x, level) = (seeds(3), Schedule::Cosine.level(0.5));
                let maps = denoiser.own_maps(&x, level).unwrap().unwrap();
                let own = denoiser.denoise(&x, level).unwrap();
                let again = denoiser.denoise_with_maps(&x, level, &maps).unwrap();
                let gap = |a: &Denoised, b: &Denoised| {
                    let both = a.x0.values().iter().zip(b.x0.values());
                    both.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
                };
                assert!(gap(&own, &again) < 1e-5, "{variant:?} {readout:?}");
                assert_eq!(own.n_clamped, again.n_clamped);
                let turned: Vec<f32> = maps.weights().iter().rev().copied().collect();
                let turned = AttentionMaps::new(2, 16, turned);
                let other = denoiser.denoise_with_maps(&x, level, &turned).unwrap();
                let differs = matches!(variant, Softmax | Top1);
                assert!(!differs || gap(&own, &other) > 1e-4, "{variant:?} {readout:?}");
                let error = denoiser.denoise_with_maps(&seeds(2), level, &maps).unwrap_err();
                assert!(error.to_string().contains("of '3 images"), "{error}");
            }
        }
    }

    #[test]
    fn estimates_are_held_to_the_pixel_range_on_request() {
        let level = Schedule::Cosine.level(1.0);
        let estimate =
            |clamp| denoiser(clamp).with_labels(vec![0; 2]).denoise(&seeds(2), level).unwrap();
        let largest = |x0: &ImageBatch| x0.values().iter().fold(0.0_f64, |m, v| m.max(v.abs()));
        let (free, clamped) = (estimate(false), estimate(true));
        assert!(largest(&free.x0) > 1.0 && largest(&clamped.x0) == 1.0);
        let n_outside = free.x0.values().iter().filter(|v| v.abs() > 1.0).count();
        assert_eq!((free.n_clamped, clamped.n_clamped), (0, n_outside));
    }

    #[test]
    fn wrong_inputs_are_errors_that_say_why() {
        let (denoiser, level) = (denoiser(false), Schedule::Cosine.level(0.5));
        let error = |denoiser: &NetworkDenoiser, x: &ImageBatch| {
            let error = denoiser.denoise(x, level).unwrap_err();
            let source = std::error::Error::source(&error).map(ToString::to_string);
            format!("{error}: {}", source.unwrap_or_default())
        };
        let labelled = denoiser.clone().with_labels(vec![9]);
        assert!(
            error(&labelled, &seeds(1)).contains("class '9' is outside this network's 4 classes")
        );
        assert!(error(&denoiser, &seeds(2)).contains("2 images came with 0 class labels"));
        let other = noise_seeds(2, 0, 1, ImageShape::new(1, 4, 4));
        assert!(error(&denoiser, &other).contains("1x4x4"));
        let mut broken = seeds(1);
        broken.values_mut()[5] = f64::NAN;
        assert!(error(&denoiser, &broken).contains("pixel 5"));
        let attention = denoiser.attention(&seeds(1), level).unwrap_err().to_string();
        assert!(!attention.is_empty());
    }
}
