//! One function of the class (C) of `attention-optimal`, with its parameters at one noise level.
//!
//! ```text
//! f = [ psi, relu(W psi + b) ]                   psi: scaled local features of a pixel
//! x0hat(p) = local(p) + g f(p) + sum_h sum_r A_h[p,r] U_h f(r)      A of q f and k f, both linear
//! ```
//!
//! `local` is the estimate of `els` or `bbels`, so g and U start at zero and the first function is that machine. Attention
//! is the network's own layer ([`AttentionLayer`]): its features are f and C further channels, to which its output
//! projection, fixed, adds the first C values of each head. So its values are `U_h f`, and all of the network's variants
//! of attention can be solved.

use candle_core::{DType, Device, Result, Tensor, Var};

use super::local_features::LocalFeatures;
use crate::network::attention_layer::AttentionLayer;
use crate::network::network_config::{AttentionConfig, Padding};
use crate::network::ops::convolution::{Form, convolve};
use crate::network::parameters::{Builder, Initial, NetworkError, Source};
use crate::network::{AttentionRecord, Mode, TensorMap};

/// Channels of the hidden layer: what makes functions of a patch more than linear in its moments.
pub const HIDDEN: usize = 64;

/// Parameters of the layer that are not solved for.
const FIXED: [&str; 3] = ["attention.o.weight", "attention.o.bias", "attention.v.bias"];

/// Sizes of a function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemberSizes {
    /// Moments of a pixel.
    pub n_moments: usize,
    /// Channels of an image, C; at most `attention.head_width`.
    pub n_channels: usize,
    pub attention: AttentionConfig,
}

/// A function of the class.
pub struct ClassMember {
    sizes: MemberSizes,
    hidden: [Tensor; 2],
    local: [Tensor; 2],
    layer: AttentionLayer,
    parameters: Vec<(String, Tensor)>,
}

impl ClassMember {
    /// The function before any step: `els` or `bbels`, with random queries and keys.
    ///
    /// # Errors
    ///
    /// If a tensor operation fails.
    pub fn initial(sizes: MemberSizes, seed: u64) -> std::result::Result<Self, NetworkError> {
        let drawn = Self::build(sizes, Source::Seed(seed))?;
        let mut parameters: TensorMap = drawn.parameters.into_iter().collect();
        let zeros = ["attention.v.weight", "attention.v.bias", "attention.o.bias"];
        for name in zeros {
            if let Some(tensor) = parameters.get_mut(name) {
                *tensor = tensor.zeros_like()?;
            }
        }
        parameters.insert("attention.o.weight".to_owned(), sizes.output_projection()?);
        Self::build(sizes, Source::Stored(&parameters))
    }

    /// The function with these parameters, to be improved.
    ///
    /// # Errors
    ///
    /// If a parameter is missing or of another shape.
    pub fn continued(
        sizes: MemberSizes,
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
        sizes: MemberSizes,
        parameters: &TensorMap,
    ) -> std::result::Result<Self, NetworkError> {
        Self::build(sizes, Source::Frozen(parameters))
    }

    fn build(sizes: MemberSizes, source: Source<'_>) -> std::result::Result<Self, NetworkError> {
        let MemberSizes { n_moments, n_channels, attention } = sizes;
        let mut builder = Builder::new(source, DType::F32, &Device::Cpu);
        let mut layer = |name: &str, [from, to]: [usize; 2], initial| {
            let weight =
                builder.parameter(&format!("{name}.weight"), &[to, from, 1, 1], initial)?;
            let bias = builder.parameter(&format!("{name}.bias"), &[to], initial)?;
            Ok::<_, NetworkError>([weight, bias])
        };
        let uniform = Initial::Uniform { fan_in: n_moments };
        let hidden = layer("hidden", [n_moments, HIDDEN], uniform)?;
        let local = layer("local", [sizes.n_features(), n_channels], Initial::Constant(0.0))?;
        let width = sizes.n_features() + n_channels;
        // The layer's padding only matters for distances, which are not asked for.
        let layer = AttentionLayer::new(&mut builder, attention, width, Padding::Circular)?;
        let parameters = builder.finish()?;
        Ok(Self { sizes, hidden, local, layer, parameters })
    }

    /// The parameters to solve for.
    ///
    /// # Errors
    ///
    /// If a tensor operation fails.
    pub fn variables(&self) -> Result<Vec<(String, Var)>> {
        let free = self.parameters.iter().filter(|(name, _)| !FIXED.contains(&name.as_str()));
        free.map(|(name, tensor)| Ok((name.clone(), Var::from_tensor(tensor)?))).collect()
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
    ) -> Result<(Tensor, AttentionRecord)> {
        let LocalFeatures { local, scaled } = features;
        let pointwise = |x: &Tensor, [weight, bias]: &[Tensor; 2], form| {
            convolve(x, weight, bias, None, Padding::Zeros, form)
        };
        let hidden = pointwise(scaled, &self.hidden, Form::Relu)?;
        let all = Tensor::cat(&[scaled, &hidden], 1)?;
        let own = pointwise(&all, &self.local, Form::Plain)?;
        let wide = Tensor::cat(&[&all, &local.zeros_like()?], 1)?;
        let (attended, record) = self.layer.forward(&wide, mode)?;
        let attended = attended.narrow(1, self.sizes.n_features(), self.sizes.n_channels)?;
        Ok((((local + own)? + attended)?, record))
    }
}

impl MemberSizes {
    /// Channels of f.
    fn n_features(&self) -> usize {
        self.n_moments + HIDDEN
    }

    /// Adds the first C values of each head to the last C channels.
    fn output_projection(&self) -> Result<Tensor> {
        let AttentionConfig { heads, head_width, .. } = self.attention;
        let (inner, n_features) = (heads * head_width, self.n_features());
        let mut weights = vec![0.0_f32; (n_features + self.n_channels) * inner];
        for (head, c) in (0..heads).flat_map(|h| (0..self.n_channels).map(move |c| (h, c))) {
            weights[(n_features + c) * inner + head * head_width + c] = 1.0;
        }
        let shape = (n_features + self.n_channels, inner, 1, 1);
        Tensor::from_vec(weights, shape, &Device::Cpu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::AttentionDetail;
    use crate::network::network_config::AttentionVariant;
    use crate::network::ops::tensor::check::pseudo_random;

    const N_PIXELS: usize = 6;

    fn sizes() -> MemberSizes {
        let variant = AttentionVariant::Softmax;
        let attention = AttentionConfig { variant, heads: 2, head_width: 4, normalise: false };
        MemberSizes { n_moments: 5, n_channels: 3, attention }
    }

    fn features() -> LocalFeatures {
        let random = |channels, seed| {
            let tensor = pseudo_random(&[1, channels, 2, 3], seed);
            tensor.to_dtype(DType::F32).unwrap()
        };
        LocalFeatures { local: random(3, 1), scaled: random(5, 2) }
    }

    fn doubles(tensor: &Tensor) -> Vec<f64> {
        tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    /// The formula of the module's documentation, by loops in double precision.
    fn plain(parameters: &TensorMap, features: &LocalFeatures) -> Vec<f64> {
        let apply = |name: &str, x: &[Vec<f64>]| -> Vec<Vec<f64>> {
            let weight = doubles(&parameters[&format!("{name}.weight")]);
            let bias = doubles(&parameters[&format!("{name}.bias")]);
            let row = |x: &Vec<f64>, o: usize| {
                let pairs = weight[o * weight.len() / bias.len()..].iter().zip(x);
                bias[o] + pairs.map(|(w, x)| w * x).sum::<f64>()
            };
            x.iter().map(|x| (0..bias.len()).map(|o| row(x, o)).collect()).collect()
        };
        let scaled = doubles(&features.scaled);
        let psi: Vec<Vec<f64>> = (0..N_PIXELS)
            .map(|p| scaled.iter().skip(p).step_by(N_PIXELS).copied().collect())
            .collect();
        let hidden = apply("hidden", &psi);
        let f: Vec<Vec<f64>> = psi
            .iter()
            .zip(&hidden)
            .map(|(psi, hidden)| {
                psi.iter().copied().chain(hidden.iter().map(|v| v.max(0.0))).collect()
            })
            .collect();
        // The layer sees C further channels, which are 0.
        let wide: Vec<Vec<f64>> =
            f.iter().map(|f| f.iter().copied().chain([0.0; 3]).collect()).collect();
        let [q, k, u] =
            ["attention.q", "attention.k", "attention.v"].map(|name| apply(name, &wide));
        let own = apply("local", &f);
        let local = doubles(&features.local);
        let mut x0 = vec![0.0; 3 * N_PIXELS];
        for p in 0..N_PIXELS {
            for c in 0..3 {
                x0[c * N_PIXELS + p] = local[c * N_PIXELS + p] + own[p][c];
            }
            for head in 0..2 {
                let channels = head * 4..(head + 1) * 4;
                let logit =
                    |r: usize| channels.clone().map(|d| q[p][d] * k[r][d]).sum::<f64>() / 2.0;
                let weights: Vec<f64> = (0..N_PIXELS).map(|r| logit(r).exp()).collect();
                let total: f64 = weights.iter().sum();
                for (r, c) in (0..N_PIXELS).flat_map(|r| (0..3).map(move |c| (r, c))) {
                    x0[c * N_PIXELS + p] += weights[r] / total * u[r][head * 4 + c];
                }
            }
        }
        x0
    }

    #[test]
    fn the_function_is_that_of_the_class() {
        let mut parameters = ClassMember::initial(sizes(), 3).unwrap().parameters().unwrap();
        for (seed, name) in ["local.weight", "attention.v.weight"].into_iter().enumerate() {
            let shape = parameters[name].dims().to_vec();
            let random = pseudo_random(&shape, seed as u64).to_dtype(DType::F32).unwrap();
            parameters.insert(name.to_owned(), random);
        }
        let member = ClassMember::frozen(sizes(), &parameters).unwrap();
        let features = features();
        let mode = Mode::Evaluate(AttentionDetail::Nothing);
        let (found, _) = member.forward(&features, mode).unwrap();
        for (a, b) in doubles(&found).iter().zip(plain(&parameters, &features)) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }

    #[test]
    fn the_first_function_is_the_local_machine() {
        let member = ClassMember::initial(sizes(), 3).unwrap();
        let features = features();
        let (found, _) =
            member.forward(&features, Mode::Evaluate(AttentionDetail::Nothing)).unwrap();
        assert_eq!(doubles(&found), doubles(&features.local));
        let free: Vec<String> =
            member.variables().unwrap().into_iter().map(|(name, _)| name).collect();
        assert!(free.iter().all(|name| !FIXED.contains(&name.as_str())), "{free:?}");
    }
}
