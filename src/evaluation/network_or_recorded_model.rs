//! The model that is compared with theory: a network, or the record of a model from elsewhere.

use crate::diffusion::{
    Attending, AttentionMaps, Ddim, DenoiseError, Denoised, Denoiser, NoiseLevel, Observer,
    Sampling,
};
use crate::evaluation::external::recorded_model::RecordedModel;
use crate::image::ImageBatch;
use crate::network::network_config::NetworkConfig;
use crate::network::{AttentionDetail, NetworkDenoiser};

/// A network, which can be asked anything, or a record, which knows only what was asked before. Cheap to clone.
#[derive(Clone)]
pub enum Model {
    Network(NetworkDenoiser),
    Recorded(RecordedModel),
}

impl From<NetworkDenoiser> for Model {
    fn from(network: NetworkDenoiser) -> Self {
        Self::Network(network)
    }
}

impl Model {
    /// Images, schedule and class of the model.
    pub fn config(&self) -> &NetworkConfig {
        match self {
            Self::Network(network) => network.network().config(),
            Self::Recorded(record) => record.config(),
        }
    }

    /// The network, if it is one.
    pub fn network(&self) -> Option<&NetworkDenoiser> {
        match self {
            Self::Network(network) => Some(network),
            Self::Recorded(_) => None,
        }
    }

    /// Whether its estimates along its trajectories are known.
    pub fn has_steps(&self) -> bool {
        match self {
            Self::Network(_) => true,
            Self::Recorded(record) => record.has_steps(),
        }
    }

    /// Whether its estimates at given noised images are known.
    pub fn knows_noised_images(&self) -> bool {
        match self {
            Self::Network(_) => true,
            Self::Recorded(record) => record.has_noised(),
        }
    }

    /// Sets what a network's estimates return about attention; a record has what it has.
    pub fn recording(self, detail: AttentionDetail) -> Self {
        match self {
            Self::Network(network) => Self::Network(network.recording(detail)),
            record => record,
        }
    }

    /// Sets one class per image of a batch; a record's samples have theirs.
    pub fn with_labels(self, labels: Vec<u32>) -> Self {
        match self {
            Self::Network(network) => Self::Network(network.with_labels(labels)),
            record => record,
        }
    }

    /// Sets whether a network's estimates are clamped to the pixel range; those of a record stay as they are.
    pub fn clamped(self, wanted: bool) -> Self {
        match self {
            Self::Network(network) => Self::Network(network.clamped(wanted)),
            record => record,
        }
    }

    /// The attention maps at the noisy state `x`, `[B, heads, P, P]`.
    ///
    /// # Errors
    ///
    /// If there is no attention there, or denoising fails.
    pub fn attention(
        &self,
        x: &ImageBatch,
        level: NoiseLevel,
    ) -> Result<AttentionMaps, DenoiseError> {
        match self {
            Self::Network(network) => network.attention(x, level),
            Self::Recorded(record) => record.denoise(x, level)?.attention.ok_or_else(no_maps),
        }
    }
}

impl Sampling for Model {
    fn sample(
        &self,
        ddim: Ddim,
        seeds: &ImageBatch,
        observe: &mut Observer<'_>,
    ) -> Result<ImageBatch, DenoiseError> {
        match self {
            Self::Network(network) => ddim.sample(network, seeds, observe),
            Self::Recorded(record) => record.sample(ddim, seeds, observe),
        }
    }
}

impl Denoiser for Model {
    fn denoise(&self, x: &ImageBatch, level: NoiseLevel) -> Result<Denoised, DenoiseError> {
        match self {
            Self::Network(network) => network.denoise(x, level),
            Self::Recorded(record) => record.denoise(x, level),
        }
    }
}

impl Attending for Model {
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
        match self {
            Self::Network(network) => network.denoise_with_maps(x, level, maps),
            Self::Recorded(_) => Err(no_maps()),
        }
    }
}

fn no_maps() -> DenoiseError {
    DenoiseError::Unusable {
        denoiser: "the recorded model".to_owned(),
        problem: "its record holds no attention maps for this state".to_owned(),
    }
}
