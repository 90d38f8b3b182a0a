//! The architecture of a network: settings that have been checked.

use strum::{EnumString, IntoStaticStr, VariantNames};

use crate::diffusion::{Grid, Schedule};
use crate::image::ImageShape;

/// Side of the kernel of a ResNet's first convolution.
pub const FIRST_KERNEL_RESNET: usize = 3;

/// Name of the layer of [`Readout::Relu`].
pub const READOUT: &str = "readout";

/// How a network reads what its attention layer brought.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantNames,
)]
#[strum(serialize_all = "lowercase")]
pub enum Readout {
    /// The last convolution alone: the estimate is linear in what attention brings.
    #[default]
    Linear,
    /// A convolution of 1x1 with a ReLU before it: the estimate is a function of own patch and attended values jointly.
    Relu,
}

/// A network's architecture and the images it works on.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkConfig {
    pub image: ImageShape,
    /// The noise schedule that the network is trained on: it gives t its meaning.
    pub schedule: Schedule,
    pub architecture: Architecture,
    pub padding: Padding,
    /// Group normalisation after convolutions and embeddings, as KG's option.
    pub group_norm: bool,
    /// Kernel of the last convolution: 3, or 1 to make the last layer pointwise.
    pub last_kernel: usize,
    /// What lies between the attention layer and the last convolution.
    pub readout: Readout,
    /// Number of classes of a class-conditional network.
    pub n_classes: Option<usize>,
    /// The final self-attention layer (paper F), before the last convolution.
    pub attention: Option<AttentionConfig>,
    /// The quantity that the last convolution predicts.
    pub output: Output,
    /// Factor on t before its sines and cosines; 1 in KG's networks.
    pub time_scale: f64,
    /// Whether `x0hat` is held to the pixel range [-1, 1] when denoising.
    pub clamp: bool,
}

/// The quantity that the last convolution predicts; the network returns `eps_hat` in either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum Output {
    /// `eps_hat` itself, as KG's networks do.
    Noise,
    /// `v = sqrt(abar) eps - sigma x0` (Salimans & Ho, arXiv 2202.00512), so that
    /// `eps_hat = sigma x + sqrt(abar) v`: at high noise the network need not copy its input,
    /// which makes short training far better.
    Velocity,
}

/// The convolutional body.
#[derive(Clone, Debug, PartialEq)]
pub enum Architecture {
    /// KG's MinimalResNet: 3x3 in-convolution, then one residual layer per kernel.
    ResNet {
        width: usize,
        /// One odd kernel per residual layer; 1 adds capacity without widening the receptive field.
        kernels: Vec<usize>,
    },
    /// KG's MinimalUNet: one resolution per width.
    UNet { widths: Vec<usize>, embedding: usize },
}

/// How convolutions continue images beyond the border.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum Padding {
    Zeros,
    Circular,
}

/// The final self-attention layer over all pixels, without positional encoding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionConfig {
    pub variant: AttentionVariant,
    pub heads: usize,
    /// Channels per head of queries, keys and values.
    pub head_width: usize,
    /// Whether queries and keys are computed from features normalised over channels at each pixel. Attention then
    /// becomes selective several times earlier in training.
    pub normalise: bool,
}

/// How attention weights are computed; all but `Softmax` are ablations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum AttentionVariant {
    Softmax,
    /// One-hot on the largest logit; straight-through Gumbel-softmax while training.
    Top1,
    /// The same weight for all pixels.
    Uniform,
    /// All weight on the pixel itself.
    Identity,
}

impl NetworkConfig {
    /// The pixel grid, for distances between pixels.
    pub fn grid(&self) -> Grid {
        let ImageShape { height, width, .. } = self.image;
        Grid { height, width, circular: self.padding == Padding::Circular }
    }

    /// Channels of the features that attention and the last convolution see.
    pub fn n_features(&self) -> usize {
        match &self.architecture {
            Architecture::ResNet { width, .. } => *width,
            Architecture::UNet { widths, .. } => widths.first().copied().unwrap_or(0),
        }
    }

    /// Width of the embedding of time and class.
    pub fn embedding_width(&self) -> usize {
        match &self.architecture {
            Architecture::ResNet { width, .. } => *width,
            Architecture::UNet { embedding, .. } => *embedding,
        }
    }

    /// Side of the square of input pixels that the convolutional body lets one output pixel see
    /// (attention, which sees everything, not counted). A UNet's pooling makes it approximate.
    pub fn receptive_field(&self) -> usize {
        let radius = match &self.architecture {
            Architecture::ResNet { kernels, .. } => {
                let radii = kernels.iter().chain([&FIRST_KERNEL_RESNET]).map(|k| k / 2);
                radii.sum::<usize>() + self.last_kernel / 2
            }
            Architecture::UNet { widths, .. } => {
                // Two 3x3 convolutions per block; each level doubles the reach of what lies below.
                let levels = widths.len();
                let down: usize = (0..levels).map(|level| 2 << level).sum();
                let up: usize = (0..levels.saturating_sub(1)).map(|level| 3 << level).sum();
                down + up + self.last_kernel / 2
            }
        };
        2 * radius + 1
    }
}
