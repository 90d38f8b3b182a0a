//! The final self-attention layer of the networks: every pixel attends to all pixels of the image (Finn et al.,
//! arXiv 2506.17324).
//!
//! ```text
//! f' = f + o( A v(f) )        q, k, v, o: 1x1 convolutions; A = softmax(q^T k / sqrt(D)) per head,
//!                             q and k of f, or of f normalised over channels at each pixel
//! ```
//!
//! No positional encoding, so with circular padding the whole network commutes with circular shifts.
//! Ablations replace A: `Top1` by a one-hot row (while training a straight-through Gumbel-softmax,
//! Jang et al., arXiv 1611.01144, temperature 1), `Uniform` by 1/P, `Identity` by the unit matrix;
//! the last two have no queries and keys. Only the abstract of that paper was at hand: residual, head layout and
//! temperature are ours.

use candle_core::{D, DType, Device, Tensor};
use rand::RngExt;

use super::basic_layers::Conv;
use super::network_config::{AttentionConfig, AttentionVariant, Padding};
use super::ops::attention_statistics::attention_figures;
use super::ops::convolution::Form;
use super::ops::pixel_norm::pixel_norm;
use super::ops::projections::project;
use super::ops::softmax_attention::{attend, logits, mix, mix_values, weights};
use super::parameters::{Builder, NetworkError};
use crate::diffusion::Grid;
use crate::random::{Purpose, stream};

/// What a network returns about its attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttentionDetail {
    Nothing,
    /// [`crate::diffusion::Denoised::attention_statistics`]; no map is kept.
    Statistics,
    /// That and [`crate::diffusion::Denoised::attention`].
    Maps,
}

/// The mode in which a network runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Sampling.
    Evaluate(AttentionDetail),
    /// A training step: draws Gumbel noise for `Top1`.
    Train { seed: u64, step: u64 },
}

/// Attention of a batch as far as an [`AttentionDetail`] asks for it; then at least one field is set.
#[derive(Clone, Debug, Default)]
pub struct AttentionRecord {
    /// Maps [B, heads, P, P].
    pub maps: Option<Tensor>,
    /// The statistics of [`attention_figures`], `[B, heads, 4, P]`; softmax attention on the CPU only.
    pub figures: Option<Tensor>,
}

/// What a network predicts for a batch.
pub struct Prediction {
    /// Predicted noise `eps_hat`, `[B, C, H, W]`.
    pub eps: Tensor,
    /// Attention of the final layer, as far as the [`AttentionDetail`] of the call asks for it.
    pub record: AttentionRecord,
}

/// The attention layer.
pub struct AttentionLayer {
    config: AttentionConfig,
    /// Queries and keys, where the variant has them.
    looking: Option<[Conv; 2]>,
    value: Conv,
    out: Conv,
    /// Whether images wrap round; affects distances only.
    circular: bool,
}

impl AttentionLayer {
    /// The layer over features of `width` channels.
    ///
    /// # Errors
    ///
    /// If there are no heads or channels, or stored weights do not fit.
    pub fn new(
        builder: &mut Builder<'_>,
        config: AttentionConfig,
        width: usize,
        padding: Padding,
    ) -> Result<Self, NetworkError> {
        let inner = config.heads * config.head_width;
        if inner == 0 {
            let problem = "attention needs at least one head of at least one channel".to_owned();
            return Err(NetworkError::Config { problem });
        }
        let mut pointwise = |name: &str, channels| {
            Conv::new(builder, &format!("attention.{name}"), channels, 1, Padding::Zeros)
        };
        let looking = match config.variant {
            AttentionVariant::Softmax | AttentionVariant::Top1 => {
                Some([pointwise("q", (width, inner))?, pointwise("k", (width, inner))?])
            }
            AttentionVariant::Uniform | AttentionVariant::Identity => None,
        };
        let value = pointwise("v", (width, inner))?;
        let out = pointwise("o", (inner, width))?;
        Ok(Self { config, looking, value, out, circular: padding == Padding::Circular })
    }

    /// `f'` of `features`, both `[B, C, H, W]`, and the attention as far as `mode` asks for it.
    ///
    /// # Errors
    ///
    /// If the shape or number type of `features` does not fit, or a tensor operation fails.
    pub fn forward(
        &self,
        features: &Tensor,
        mode: Mode,
    ) -> candle_core::Result<(Tensor, AttentionRecord)> {
        let (batch, _, height, width) = features.dims4()?;
        let n_pixels = height * width;
        let grid = Grid { height, width, circular: self.circular };
        let (mixed, record) = match &self.looking {
            Some(looking) => self.look(&self.projected(features, looking)?, grid, mode)?,
            None => {
                let record = match mode {
                    Mode::Evaluate(AttentionDetail::Maps | AttentionDetail::Statistics) => {
                        let sizes = (batch, self.config.heads, n_pixels);
                        let (dtype, device) = (features.dtype(), features.device());
                        let maps = self.config.variant.fixed_maps(sizes, dtype, device)?;
                        AttentionRecord { maps: Some(maps), figures: None }
                    }
                    _ => AttentionRecord::default(),
                };
                (self.fixed(&self.value.forward(features, None, Form::Plain)?)?, record)
            }
        };
        let inner = self.config.heads * self.config.head_width;
        let mixed = mixed.reshape((batch, inner, height, width))?;
        Ok(((features + self.out.forward(&mixed, None, Form::Plain)?)?, record))
    }

    /// As [`Self::forward`] in evaluation, with the attention weights `maps`, `[B, heads, P, P]`, in place of its own.
    ///
    /// # Errors
    ///
    /// As [`Self::forward`], and if `maps` do not fit.
    pub fn forward_with_maps(
        &self,
        features: &Tensor,
        maps: &Tensor,
    ) -> candle_core::Result<Tensor> {
        let (batch, _, height, width) = features.dims4()?;
        let AttentionConfig { heads, head_width, .. } = self.config;
        let values = self.value.forward(features, None, Form::Plain)?;
        let values = values.reshape((batch, heads, head_width, height * width))?;
        let mixed =
            mix_values(maps, &values)?.reshape((batch, heads * head_width, height, width))?;
        features + self.out.forward(&mixed, None, Form::Plain)?
    }

    /// Queries, keys and values of `features`, `[B, 3, heads, D, P]`.
    fn projected(
        &self,
        features: &Tensor,
        [query, key]: &[Conv; 2],
    ) -> candle_core::Result<Tensor> {
        let AttentionConfig { heads, head_width, normalise, .. } = self.config;
        if features.device().is_cpu() {
            let parameters = [query, key, &self.value].map(Conv::parameters);
            return project(features, parameters, heads, normalise);
        }
        let normal = if normalise { pixel_norm(features)? } else { features.clone() };
        let q = query.forward(&normal, None, Form::Plain)?;
        let k = key.forward(&normal, None, Form::Plain)?;
        let v = self.value.forward(features, None, Form::Plain)?;
        let (batch, _, height, width) = features.dims4()?;
        Tensor::cat(&[&q, &k, &v], 1)?.reshape((batch, 3, heads, head_width, height * width))
    }

    /// Softmax and top-1 attention of `qkv`, `[B, 3, heads, D, P]`: mixed values, `[B, heads, D, P]`.
    fn look(
        &self,
        qkv: &Tensor,
        grid: Grid,
        mode: Mode,
    ) -> candle_core::Result<(Tensor, AttentionRecord)> {
        let is_asked =
            matches!(mode, Mode::Evaluate(AttentionDetail::Maps | AttentionDetail::Statistics));
        let has_figures = self.config.variant == AttentionVariant::Softmax && qkv.device().is_cpu();
        let figures = match is_asked && has_figures {
            true => Some(attention_figures(qkv, grid)?),
            false => None,
        };
        let maps = match (self.config.variant, mode) {
            (AttentionVariant::Top1, Mode::Train { seed, step }) => {
                let logits = logits(qkv)?;
                let noisy = (&logits + gumbel(&logits, seed, step)?)?;
                let soft = candle_nn::ops::softmax(&noisy, D::Minus1)?;
                // Straight through: the value of the one-hot row, the gradient of the soft one.
                let maps = ((one_hot(&noisy)? - soft.detach())? + &soft)?;
                return Ok((mix(&maps, qkv)?, AttentionRecord::default()));
            }
            (AttentionVariant::Top1, _) => {
                let maps = one_hot(&logits(qkv)?)?;
                let mixed = mix(&maps, qkv)?;
                return Ok((mixed, AttentionRecord { maps: is_asked.then_some(maps), figures }));
            }
            (_, Mode::Evaluate(AttentionDetail::Maps)) => Some(weights(qkv)?),
            (_, Mode::Evaluate(AttentionDetail::Statistics)) if !has_figures => Some(weights(qkv)?),
            _ => None,
        };
        Ok((attend(qkv)?, AttentionRecord { maps, figures }))
    }

    /// Uniform and identity attention of values [B, C, H, W].
    fn fixed(&self, value: &Tensor) -> candle_core::Result<Tensor> {
        if self.config.variant == AttentionVariant::Identity {
            return Ok(value.clone());
        }
        let flat = value.flatten_from(2)?;
        flat.mean_keepdim(2)?.broadcast_as(flat.shape())?.contiguous()
    }
}

impl AttentionVariant {
    /// Maps `[B, heads, P, P]` of a variant without queries: the unit matrix for `Identity`, otherwise 1/P.
    ///
    /// # Errors
    ///
    /// If a tensor operation fails, for instance because `device` has no room for the maps.
    pub fn fixed_maps(
        self,
        (batch, heads, n_pixels): (usize, usize, usize),
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let map = match self {
            Self::Identity => Tensor::eye(n_pixels, dtype, device)?,
            _ => Tensor::full(1.0 / n_pixels as f64, (n_pixels, n_pixels), device)?
                .to_dtype(dtype)?,
        };
        map.broadcast_as((batch, heads, n_pixels, n_pixels))?.contiguous()
    }
}

/// One at the first largest logit of each row.
fn one_hot(logits: &Tensor) -> candle_core::Result<Tensor> {
    let n_pixels = logits.dim(D::Minus1)?;
    let best = logits.detach().argmax_keepdim(D::Minus1)?;
    let positions = Tensor::arange(0, n_pixels as u32, logits.device())?;
    best.broadcast_eq(&positions.reshape((1, 1, 1, n_pixels))?)?.to_dtype(logits.dtype())
}

/// Standard Gumbel noise of the shape of `logits`, drawn on the CPU.
fn gumbel(logits: &Tensor, seed: u64, step: u64) -> candle_core::Result<Tensor> {
    let mut generator = stream(seed, Purpose::Gumbel, step);
    let draw = |_| {
        // (0, 1): the smallest value keeps both logarithms finite.
        let uniform: f32 = generator.random_range(f32::MIN_POSITIVE..1.0);
        -(-uniform.ln()).max(f32::MIN_POSITIVE).ln()
    };
    let noise: Vec<f32> = (0..logits.elem_count()).map(draw).collect();
    Tensor::from_vec(noise, logits.shape(), logits.device())?.to_dtype(logits.dtype())
}
