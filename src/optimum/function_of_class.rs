//! One function of the class (C) of `attention-optimal`, at every noise level.
//!
//! ```text
//! h_0 = W psi + b                                       psi: scaled local features of a pixel
//! h_{i+1} = h_i + relu( W_i (h_i + e_i(t)) + b_i )      i = 0..N_LAYERS
//! f = h + e(t)        f' = f + o( A v(f) )              the network's own attention layer
//! f' := f' + relu( R f' + b )                           with a joint readout (network.readout relu)
//! x0hat = local + sigma down(f')
//! ```
//!
//! These are the network's own layers with convolutions of 1x1, on exact moments of the posterior over patches in place of
//! pixels; the sum in the readout only spares descent from passing everything through the ReLU. `local` is the estimate of
//! `els` or `bbels`, so g is `local + sigma down(f)` and the u of a head is its part of
//! `sigma down o v(f)`. `down` starts at zero: the first function is the local machine.

use candle_core::{DType, Device, Result, Tensor, Var};

use super::local_features::LocalFeatures;
use crate::diffusion::{AttentionMaps, NoiseLevel};
use crate::network::attention_layer::AttentionLayer;
use crate::network::basic_layers::Conv;
use crate::network::network_config::{AttentionConfig, Padding, READOUT, Readout};
use crate::network::ops::convolution::Form;
use crate::network::ops::rows_bf16::Factors;
use crate::network::parameters::{Builder, NetworkError, Source};
use crate::network::resnet::{BodySizes, ResNet};
use crate::network::time_and_class_embedding::Embedding;
use crate::network::{AttentionRecord, Mode, TensorMap};

/// Channels of f.
pub const WIDTH: usize = 96;
/// Residual layers.
const N_LAYERS: usize = 2;
/// Factor on t before its sines and cosines.
const TIME_SCALE: f64 = 10.0;

/// Layers of 1x1 do not reach beyond the border.
const PADDING: Padding = Padding::Zeros;

/// Sizes of a function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FunctionSizes {
    /// Moments of a pixel.
    pub n_moments: usize,
    /// Channels of an image.
    pub n_channels: usize,
    pub attention: AttentionConfig,
    pub readout: Readout,
}

/// A function of the class.
pub struct FunctionOfClass {
    embedding: Embedding,
    body: ResNet,
    attention: AttentionLayer,
    readout: Option<Conv>,
    down: Conv,
    parameters: Vec<(String, Tensor)>,
}

impl FunctionOfClass {
    /// The function before any step: `els` or `bbels`, with random features.
    ///
    /// # Errors
    ///
    /// If a tensor operation fails.
    pub fn initial(sizes: FunctionSizes, seed: u64) -> std::result::Result<Self, NetworkError> {
        let drawn = Self::build(sizes, Source::Seed(seed))?;
        let mut parameters: TensorMap = drawn.parameters.into_iter().collect();
        for (name, tensor) in &mut parameters {
            if name.starts_with(DOWN) {
                *tensor = tensor.zeros_like()?;
            }
        }
        Self::continued(sizes, &parameters)
    }

    /// The function with these parameters, to be improved.
    ///
    /// # Errors
    ///
    /// If a parameter is missing or of another shape.
    pub fn continued(
        sizes: FunctionSizes,
        parameters: &TensorMap,
    ) -> std::result::Result<Self, NetworkError> {
        Self::build(sizes, Source::Stored(parameters))
    }

    /// The function with these parameters, which do not change any more.
    ///
    /// # Errors
    ///
    /// If a parameter is missing or of another shape.
    pub fn frozen(
        sizes: FunctionSizes,
        parameters: &TensorMap,
    ) -> std::result::Result<Self, NetworkError> {
        Self::build(sizes, Source::Frozen(parameters))
    }

    fn build(sizes: FunctionSizes, source: Source<'_>) -> std::result::Result<Self, NetworkError> {
        let FunctionSizes { n_moments, n_channels, attention, readout } = sizes;
        let place = (DType::F32, &Device::Cpu);
        let mut builder = Builder::new(source, place.0, place.1);
        let embedding = Embedding::new(&mut builder, WIDTH, TIME_SCALE, None, place)?;
        let body = BodySizes {
            channels: n_moments,
            width: WIDTH,
            first_kernel: 1,
            kernels: &[1; N_LAYERS],
            padding: PADDING,
            group_norm: false,
        };
        let body = ResNet::new(&mut builder, body)?;
        let attention = AttentionLayer::new(&mut builder, attention, WIDTH, PADDING)?;
        let widths = (WIDTH, WIDTH);
        let relu = || Conv::new(&mut builder, READOUT, widths, 1, PADDING);
        let readout = (readout == Readout::Relu).then(relu).transpose()?;
        let down = Conv::new(&mut builder, DOWN, (WIDTH, n_channels), 1, PADDING)?;
        let parameters = builder.finish()?;
        Ok(Self { embedding, body, attention, readout, down, parameters })
    }

    /// The parameters to solve for.
    ///
    /// # Errors
    ///
    /// If a tensor operation fails.
    pub fn variables(&self) -> Result<Vec<(String, Var)>> {
        let variable =
            |(name, tensor): &(String, Tensor)| Ok((name.clone(), Var::from_tensor(tensor)?));
        self.parameters.iter().map(variable).collect()
    }

    /// Copies of all parameters.
    ///
    /// # Errors
    ///
    /// If a tensor operation fails.
    pub fn parameters(&self) -> Result<TensorMap> {
        let copy = |(name, tensor): &(String, Tensor)| Ok((name.clone(), tensor.detach().copy()?));
        self.parameters.iter().map(copy).collect()
    }

    /// The estimates `x0hat`, `[B, C, H, W]`, and the attention as far as `mode` asks for it.
    ///
    /// # Errors
    ///
    /// If a tensor operation fails.
    pub fn forward(
        &self,
        features: &LocalFeatures,
        mode: Mode,
    ) -> std::result::Result<(Tensor, AttentionRecord), NetworkError> {
        let (attended, record) = self.attention.forward(&self.body(features)?, mode)?;
        Ok((self.read_out(features, attended)?, record))
    }

    /// The estimates `x0hat`, `[B, C, H, W]`, with `maps` in place of its own.
    ///
    /// # Errors
    ///
    /// If a tensor operation fails, for instance because `maps` do not fit.
    pub fn forward_with_maps(
        &self,
        features: &LocalFeatures,
        maps: &AttentionMaps,
    ) -> std::result::Result<Tensor, NetworkError> {
        let n = maps.n_pixels();
        let sizes = (maps.len(), maps.n_heads(), n, n);
        let maps = Tensor::from_slice(maps.weights(), sizes, &Device::Cpu)?;
        let attended = self.attention.forward_with_maps(&self.body(features)?, &maps)?;
        self.read_out(features, attended)
    }

    /// f of the module's documentation, `[B, WIDTH, H, W]`.
    fn body(&self, features: &LocalFeatures) -> std::result::Result<Tensor, NetworkError> {
        let times: Vec<f64> = features.levels.iter().map(|&level| time_of(level)).collect();
        let embedding = self.embedding.forward(&times, None)?;
        Ok(self.body.forward(&features.scaled, &embedding, Factors::Full)?)
    }

    /// `x0hat` from f'.
    fn read_out(
        &self,
        features: &LocalFeatures,
        mut attended: Tensor,
    ) -> std::result::Result<Tensor, NetworkError> {
        if let Some(readout) = &self.readout {
            attended = readout.forward(&attended, None, Form::Residual)?;
        }
        let change = self.down.forward(&attended, None, Form::Plain)?;
        let sigmas: Vec<f32> = features.levels.iter().map(|level| level.sigma() as f32).collect();
        let sigmas = Tensor::from_vec(sigmas, (features.levels.len(), 1, 1, 1), &Device::Cpu)?;
        Ok((&features.local + change.broadcast_mul(&sigmas)?)?)
    }
}

/// Name of the last layer.
const DOWN: &str = "down_projection";

/// The time of this noise level, whatever the schedule: that of a cosine schedule without stretch.
fn time_of(level: NoiseLevel) -> f64 {
    level.signal().acos() / std::f64::consts::FRAC_PI_2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::Schedule;
    use crate::network::AttentionDetail;
    use crate::network::network_config::AttentionVariant;
    use crate::network::ops::tensor::check::pseudo_random;

    const N_PIXELS: usize = 6;
    const T: f64 = 0.4;

    fn sizes(normalise: bool, readout: Readout) -> FunctionSizes {
        let variant = AttentionVariant::Softmax;
        let attention = AttentionConfig { variant, heads: 2, head_width: 4, normalise };
        FunctionSizes { n_moments: 5, n_channels: 3, attention, readout }
    }

    fn features() -> LocalFeatures {
        let random = |channels, seed| {
            let tensor = pseudo_random(&[1, channels, 2, 3], seed);
            tensor.to_dtype(DType::F32).unwrap()
        };
        let levels = vec![Schedule::Cosine.level(T)];
        LocalFeatures { levels, local: random(3, 1), scaled: random(5, 2) }
    }

    fn doubles(tensor: &Tensor) -> Vec<f64> {
        tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    fn of_pixels(tensor: &Tensor) -> Vec<Vec<f64>> {
        let all = doubles(tensor);
        (0..N_PIXELS).map(|p| all.iter().skip(p).step_by(N_PIXELS).copied().collect()).collect()
    }

    fn relu(x: &[f64]) -> Vec<f64> {
        x.iter().map(|v| v.max(0.0)).collect()
    }

    fn sum(a: &[f64], b: &[f64]) -> Vec<f64> {
        a.iter().zip(b).map(|(a, b)| a + b).collect()
    }

    /// A linear layer by its definition.
    fn linear(parameters: &TensorMap, name: &str, x: &[f64]) -> Vec<f64> {
        let weight = doubles(&parameters[&format!("{name}.weight")]);
        let bias = doubles(&parameters[&format!("{name}.bias")]);
        let rows = weight.chunks_exact(x.len()).zip(&bias);
        rows.map(|(row, bias)| bias + row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>()).collect()
    }

    /// The vector e_i of the module's documentation: the network's time layer.
    fn time_vector(parameters: &TensorMap, i: usize) -> Vec<f64> {
        let time = time_of(Schedule::Cosine.level(T));
        let waves = crate::network::time_and_class_embedding::waves(&[time], WIDTH, TIME_SCALE);
        let before = linear(parameters, &format!("embs.{i}.0"), &waves);
        let [scale, shift] =
            ["weight", "bias"].map(|kind| doubles(&parameters[&format!("embs.{i}.1.{kind}")]));
        let normal: Vec<f64> = before
            .chunks_exact(WIDTH / 8)
            .flat_map(|group| {
                let n = group.len() as f64;
                let mean = group.iter().sum::<f64>() / n;
                let variance = group.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
                group.iter().map(move |v| (v - mean) / (variance + 1e-5).sqrt()).collect::<Vec<_>>()
            })
            .collect();
        let scaled: Vec<f64> = normal
            .iter()
            .zip(&scale)
            .zip(&shift)
            .map(|((v, scale), shift)| v * scale + shift)
            .collect();
        relu(&scaled)
    }

    /// The formula of the module's documentation, by loops in double precision.
    fn plain(parameters: &TensorMap, features: &LocalFeatures) -> Vec<f64> {
        let f: Vec<Vec<f64>> = of_pixels(&features.scaled)
            .iter()
            .map(|psi| {
                let mut h = linear(parameters, "up_projection", psi);
                for i in 0..N_LAYERS {
                    let told = sum(&h, &time_vector(parameters, i));
                    h = sum(&h, &relu(&linear(parameters, &format!("convs.{i}.0"), &told)));
                }
                sum(&h, &time_vector(parameters, N_LAYERS))
            })
            .collect();
        let [q, k, v] = ["q", "k", "v"].map(|name| {
            f.iter()
                .map(|f| linear(parameters, &format!("attention.{name}"), f))
                .collect::<Vec<_>>()
        });
        let local = of_pixels(&features.local);
        let sigma = Schedule::Cosine.level(T).sigma();
        let mut x0 = vec![0.0; 3 * N_PIXELS];
        for p in 0..N_PIXELS {
            let mut mixed = vec![0.0; 8];
            for head in 0..2 {
                let channels = head * 4..(head + 1) * 4;
                let logit =
                    |r: usize| channels.clone().map(|d| q[p][d] * k[r][d]).sum::<f64>() / 2.0;
                let weights: Vec<f64> = (0..N_PIXELS).map(|r| logit(r).exp()).collect();
                let total: f64 = weights.iter().sum();
                for (r, d) in (0..N_PIXELS).flat_map(|r| channels.clone().map(move |d| (r, d))) {
                    mixed[d] += weights[r] / total * v[r][d];
                }
            }
            let mut attended = sum(&f[p], &linear(parameters, "attention.o", &mixed));
            if parameters.contains_key("readout.weight") {
                attended = sum(&attended, &relu(&linear(parameters, "readout", &attended)));
            }
            let change = linear(parameters, DOWN, &attended);
            for c in 0..3 {
                x0[c * N_PIXELS + p] = local[p][c] + sigma * change[c];
            }
        }
        x0
    }

    #[test]
    fn the_function_is_that_of_the_class() {
        for readout in [Readout::Linear, Readout::Relu] {
            let sizes = sizes(false, readout);
            let mut parameters = FunctionOfClass::initial(sizes, 3).unwrap().parameters().unwrap();
            for (seed, name) in ["weight", "bias"].into_iter().enumerate() {
                let name = format!("{DOWN}.{name}");
                let shape = parameters[&name].dims().to_vec();
                let random = pseudo_random(&shape, seed as u64).to_dtype(DType::F32).unwrap();
                parameters.insert(name, random);
            }
            let function = FunctionOfClass::frozen(sizes, &parameters).unwrap();
            let features = features();
            let mode = Mode::Evaluate(AttentionDetail::Nothing);
            let (found, _) = function.forward(&features, mode).unwrap();
            for (a, b) in doubles(&found).iter().zip(plain(&parameters, &features)) {
                assert!((a - b).abs() < 1e-4, "{readout:?}: {a} {b}");
            }
        }
    }

    #[test]
    fn the_first_function_is_the_local_machine() {
        let function = FunctionOfClass::initial(sizes(true, Readout::Linear), 3).unwrap();
        let features = features();
        let (found, _) =
            function.forward(&features, Mode::Evaluate(AttentionDetail::Nothing)).unwrap();
        assert_eq!(doubles(&found), doubles(&features.local));
    }

    #[test]
    fn the_time_of_a_level_grows_with_the_noise() {
        let times = [0.0, 0.25, 0.5, 1.0].map(|t| time_of(Schedule::Cosine.level(t)));
        for (found, expected) in times.iter().zip([0.0, 0.25, 0.5, 1.0]) {
            assert!((found - expected / 1.008).abs() < 1e-12, "{times:?}");
        }
    }
}
