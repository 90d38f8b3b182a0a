//! The layers that both bodies are made of: convolution, linear map, group normalisation.

use candle_core::{Result, Tensor};

use super::network_config::Padding;
use super::ops::convolution::{Form, convolve};
use super::ops::group_norm::group_norm;
use super::ops::linear::linear;
use super::parameters::{Builder, Initial, NetworkError};

/// KG's number of groups.
pub const N_GROUPS: usize = 8;

/// A same-padding convolution.
pub struct Conv {
    weight: Tensor,
    bias: Tensor,
    padding: Padding,
}

impl Conv {
    /// The convolution called `name`, of `c_in` to `c_out` channels.
    ///
    /// # Errors
    ///
    /// If stored weights do not fit, or a tensor operation fails.
    pub fn new(
        builder: &mut Builder<'_>,
        name: &str,
        (c_in, c_out): (usize, usize),
        kernel: usize,
        padding: Padding,
    ) -> std::result::Result<Self, NetworkError> {
        let initial = Initial::Uniform { fan_in: c_in * kernel * kernel };
        let shape = [c_out, c_in, kernel, kernel];
        let weight = builder.parameter(&format!("{name}.weight"), &shape, initial)?;
        let bias = builder.parameter(&format!("{name}.bias"), &[c_out], initial)?;
        Ok(Self { weight, bias, padding })
    }

    /// Convolves `x`, `[B, C, H, W]`, with `addend`, `[B, C]`, if any, added to every pixel.
    ///
    /// # Errors
    ///
    /// If the shape or number type of `x` or `addend` does not fit, or a tensor operation fails.
    pub fn forward(&self, x: &Tensor, addend: Option<&Tensor>, form: Form) -> Result<Tensor> {
        convolve(x, &self.weight, &self.bias, addend, self.padding, form)
    }

    /// Weight, `[O, I, k, k]`, and bias, `[O]`.
    pub fn parameters(&self) -> [&Tensor; 2] {
        [&self.weight, &self.bias]
    }
}

/// A linear map of [B, in] to [B, out].
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// The linear map called `name`, of `n_in` to `n_out` values.
    ///
    /// # Errors
    ///
    /// If stored weights do not fit, or a tensor operation fails.
    pub fn new(
        builder: &mut Builder<'_>,
        name: &str,
        n_in: usize,
        n_out: usize,
    ) -> std::result::Result<Self, NetworkError> {
        let initial = Initial::Uniform { fan_in: n_in };
        let weight = builder.parameter(&format!("{name}.weight"), &[n_out, n_in], initial)?;
        let bias = builder.parameter(&format!("{name}.bias"), &[n_out], initial)?;
        Ok(Self { weight, bias })
    }

    /// Maps `x`, `[B, in]`.
    ///
    /// # Errors
    ///
    /// If the shape or number type of `x` does not fit, or a tensor operation fails.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        linear(x, &self.weight, &self.bias)
    }
}

/// Group normalisation with KG's eight groups.
pub struct Norm {
    gamma: Tensor,
    beta: Tensor,
}

impl Norm {
    /// The normalisation called `name`, of `channels` channels.
    ///
    /// # Errors
    ///
    /// If `channels` is no multiple of eight, if stored weights do not fit, or if a tensor operation fails.
    pub fn new(
        builder: &mut Builder<'_>,
        name: &str,
        channels: usize,
    ) -> std::result::Result<Self, NetworkError> {
        if !channels.is_multiple_of(N_GROUPS) {
            let problem = format!(
                "group normalisation needs a multiple of {N_GROUPS} channels, not '{channels}'"
            );
            return Err(NetworkError::Config { problem });
        }
        let gamma =
            builder.parameter(&format!("{name}.weight"), &[channels], Initial::Constant(1.0))?;
        let beta =
            builder.parameter(&format!("{name}.bias"), &[channels], Initial::Constant(0.0))?;
        Ok(Self { gamma, beta })
    }

    /// Normalises `x`, `[B, C, ...]`.
    ///
    /// # Errors
    ///
    /// If `x` has another number type than the layer, or a tensor operation fails.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        group_norm(x, &self.gamma, &self.beta, N_GROUPS)
    }
}
