//! All layers of a ResNet without normalisation in one operation.
//!
//! ```text
//! h_0 = conv(x; w_0) + b_0
//! h_{l+1} = h_l + relu( conv(h_l + e_l; w_{l+1}) + b_{l+1} )         l = 0 .. L - 1
//! y = h_L + e_L                                                      e_l: one value per image and channel
//! ```
//!
//! An image passes through all layers on one thread, in the cache and with channels last ([`super::pixel_rows`]). Layer
//! by layer, each would be a fork and join of the threads, two changes of the order of channels, and three more passes
//! over memory by candle's backward pass, which adds every gradient to a tensor of zeros.
//!
//! The gradients are in [`super::residual_gradient`]. [`super::convolution::convolve`] layer by layer is the
//! specification that tests compare with.

use std::any::Any;
use std::sync::OnceLock;

use candle_core::{Result, Shape, Storage, Tensor, bail};
use rayon::prelude::*;

use super::candle_numbers::Real;
use super::operation_times::{Work, timed};
use super::padded_images::Geometry;
use super::pixel_rows::{add_activation, add_row, add_row_in_place, padded_row};
use super::residual_gradient::backward;
use super::residual_operands::{Parameters, SavedImage};
use super::rows_bf16::Factors;
use super::rows_convolution::{Room, RowsConvolution};
use super::spare_buffers::SpareBuffers;
use super::tensor::{
    Computed, Gradients, Op, Operation, by_dtype, channels_first, channels_last, values,
};
use crate::network::network_config::Padding;
use crate::simd::lane::n_lanes;

/// The parameters of one layer: weight `[O, I, k, k]` and bias `[O]`.
pub type LayerParameters<'a> = [&'a Tensor; 2];

/// `y` of `x`, `[B, I, H, W]`, on the CPU. `layers` are the first convolution and the residual ones; `addends`, `e_0` to
/// `e_L`, are `[B, O]` each, as many as `layers`. `factors` is the number format of the convolutions' factors. Returns
/// `[B, O, H, W]`.
///
/// # Errors
///
/// If the shapes do not fit, a kernel is even, or `x` is not on the CPU.
pub fn residual_layers(
    x: &Tensor,
    layers: &[LayerParameters<'_>],
    addends: &[Tensor],
    padding: Padding,
    factors: Factors,
) -> Result<Tensor> {
    let geometries = geometries(x, layers, padding)?;
    if addends.len() != layers.len() {
        bail!("{} vectors to add in {} layers", addends.len(), layers.len());
    }
    let shape = (x.dim(0)?, geometries[0].c_out);
    let flat = |tensors: Vec<&Tensor>| {
        let flat: Vec<Tensor> = tensors.iter().map(|t| t.flatten_all()).collect::<Result<_>>()?;
        Tensor::cat(&flat, 0)
    };
    for addend in addends {
        if addend.dims2()? != shape {
            bail!("a vector of {:?} to add where {shape:?} is needed", addend.shape());
        }
    }
    let weights = flat(layers.iter().map(|[weight, _]| *weight).collect())?;
    let biases = flat(layers.iter().map(|[_, bias]| *bias).chain(addends).collect())?;
    let is_tracked = x.track_op() || weights.track_op() || biases.track_op();
    let op = ResidualLayers { geometries, factors, is_tracked, saved: OnceLock::new() };
    x.contiguous()?.apply_op3(&weights, &biases, Op(op))
}

/// The geometry of each layer.
fn geometries(
    x: &Tensor,
    layers: &[LayerParameters<'_>],
    padding: Padding,
) -> Result<Vec<Geometry>> {
    let (_, mut c_in, height, width) = x.dims4()?;
    let mut geometries = Vec::with_capacity(layers.len());
    for (index, [weight, bias]) in layers.iter().enumerate() {
        let (c_out, expected, kernel, kernel_width) = weight.dims4()?;
        let is_square = kernel == kernel_width && kernel % 2 == 1;
        let is_residual = index == 0 || c_out == c_in;
        if expected != c_in || !is_square || !is_residual || bias.dims() != [c_out] {
            bail!("layer {index}: a {:?} kernel on {c_in} channels", weight.shape());
        }
        geometries.push(Geometry { c_in, c_out, height, width, kernel, padding });
        c_in = c_out;
    }
    if geometries.is_empty() {
        bail!("residual layers without a first convolution");
    }
    Ok(geometries)
}

struct ResidualLayers {
    geometries: Vec<Geometry>,
    factors: Factors,
    /// Whether a gradient may be asked for.
    is_tracked: bool,
    /// A `Vec<SavedImage<T>>` for the number type `T` of the inputs.
    saved: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Operation<3> for ResidualLayers {
    const NAME: &'static str = "residual-layers";
    const WORK: Option<Work> = Some(Work::Convolution);

    fn compute<T: Real>(
        &self,
        [x, weights, biases]: [&[T]; 3],
        [x_shape, ..]: [&Shape; 3],
    ) -> Computed<T> {
        let first = self.geometries[0];
        let parameters = Parameters::split(&self.geometries, weights, biases);
        let (out, saved) =
            forward(x, &parameters, (&self.geometries, self.factors), self.is_tracked);
        // Only ever set here; an operation runs once.
        let _ = self.saved.set(Box::new(saved));
        Ok((out, Shape::from((x_shape.dims4()?.0, first.c_out, first.height, first.width))))
    }

    fn gradients(
        &self,
        [x, weights, biases]: [&Tensor; 3],
        _out: &Tensor,
        dout: &Tensor,
    ) -> Gradients<3> {
        let _timer = timed(Work::ConvolutionGradient);
        let dout = dout.contiguous()?;
        let tensors = [x, weights, biases, &dout];
        let guards = tensors.map(|tensor| tensor.storage_and_layout());
        let [Some(x_of), Some(weights_of), Some(biases_of), Some(dout_of)] =
            guards.each_ref().map(|(storage, layout)| match &**storage {
                Storage::Cpu(storage) => Some((storage, *layout)),
                _ => None,
            })
        else {
            bail!("the gradient of residual layers was asked for on another device");
        };
        by_dtype!(x_of.0, T => {
            let saved = self.saved.get().and_then(|saved| saved.downcast_ref::<Vec<SavedImage<T>>>());
            let Some(saved) = saved.filter(|saved| !saved.is_empty()) else {
                bail!("residual layers ran without tracking gradients");
            };
            let weights_flat = values::<T>(weights_of.0, weights_of.1)?;
            let biases_flat = values::<T>(biases_of.0, biases_of.1)?;
            let parameters = Parameters::split(&self.geometries, weights_flat, biases_flat);
            let x_values = values::<T>(x_of.0, x_of.1)?;
            let dout = values::<T>(dout_of.0, dout_of.1)?;
            let found =
                backward(x_values, dout, saved, &parameters, (&self.geometries, self.factors), x.track_op());
            let tensor = |v: Vec<T>, like: &Tensor| Tensor::from_vec(v, like.shape(), like.device());
            let dx = found.dx.map(|dx| tensor(dx, x)).transpose()?;
            let (dw, db) = (tensor(found.dweights, weights)?, tensor(found.dbiases, biases)?);
            Ok([dx, Some(dw), Some(db)])
        })
    }
}

/// `y` of all images, and what the gradients need if `keeps`.
fn forward<T: Real>(
    x: &[T],
    parameters: &Parameters<'_, T>,
    (geometries, factors): (&[Geometry], Factors),
    keeps: bool,
) -> (Vec<T>, Vec<SavedImage<T>>) {
    let (first, last) = (geometries[0], geometries[geometries.len() - 1]);
    let batch = x.len() / first.n_in();
    let layers = Layers::new(parameters, (geometries, factors), batch);
    let mut out = vec![T::ZERO; batch * last.n_out()];
    let images = out.par_chunks_mut(last.n_out()).zip(x.par_chunks(first.n_in())).enumerate();
    let spare = SpareBuffers::default();
    let saved = images
        .map(|(index, (out, image))| {
            let make = || Buffers::new(&layers);
            spare.with(make, |buffers| layers.image(index, image, buffers, out, keeps))
        })
        .collect::<Vec<_>>();
    (out, saved.into_iter().flatten().collect())
}

/// The layers prepared for all images.
struct Layers<'a, T> {
    geometry: Geometry,
    parameters: &'a Parameters<'a, T>,
    batch: usize,
    lanes_in: usize,
    lanes: usize,
    convolutions: Vec<RowsConvolution<T>>,
    /// `[lanes]` of each layer.
    biases: Vec<Vec<T>>,
}

/// Buffers of a thread for one image: `[P + 1, lanes]` each.
struct Buffers<T> {
    image: Vec<T>,
    /// The input of a convolution, with a last row of zeros.
    input: Vec<T>,
    values: Vec<T>,
    state: Vec<T>,
    room: Room<T>,
}

impl<T: Real> Buffers<T> {
    fn new(layers: &Layers<'_, T>) -> Self {
        let rows = layers.geometry.n_pixels() + 1;
        let of_layer = || vec![T::ZERO; rows * layers.lanes];
        let image = vec![T::ZERO; rows * layers.lanes_in];
        let (input, values, state) = (of_layer(), of_layer(), of_layer());
        Self { image, input, values, state, room: Room::default() }
    }
}

impl<'a, T: Real> Layers<'a, T> {
    fn new(
        parameters: &'a Parameters<'a, T>,
        (geometries, factors): (&[Geometry], Factors),
        batch: usize,
    ) -> Self {
        let lanes_of = |channels: usize| channels.next_multiple_of(n_lanes::<T>());
        let (geometry, lanes) = (geometries[0], lanes_of(geometries[0].c_out));
        let weights = geometries.par_iter().zip(&parameters.weights).with_max_len(1);
        Self {
            geometry,
            parameters,
            batch,
            lanes_in: lanes_of(geometry.c_in),
            lanes,
            convolutions: weights
                .map(|(g, weight)| RowsConvolution::new(g, weight, factors))
                .collect(),
            biases: parameters.biases.iter().map(|bias| padded_row(bias, lanes)).collect(),
        }
    }

    /// `e_index` of image `image`, `[lanes]`.
    fn addend(&self, index: usize, image: usize) -> Vec<T> {
        padded_row(self.parameters.addend(index, image, self.batch), self.lanes)
    }

    /// Passes one image, `[I, P]`, through all layers into `out`, `[O, P]`.
    fn image(
        &self,
        index: usize,
        image: &[T],
        buffers: &mut Buffers<T>,
        out: &mut [T],
        keeps: bool,
    ) -> Option<SavedImage<T>> {
        let n_pixels = self.geometry.n_pixels();
        let n_residual = self.convolutions.len() - 1;
        let n = n_pixels * self.lanes;
        let Buffers { image: first, input, values, state, room } = buffers;
        let n_saved = if keeps { n_residual * n } else { 0 };
        let mut saved =
            SavedImage { states: Vec::with_capacity(n_saved), is_active: vec![false; n_saved] };
        channels_last(image, n_pixels, first, self.lanes_in);
        self.convolutions[0].convolve(first, room, state);
        add_row_in_place(&mut state[..n], &self.biases[0]);
        for layer in 0..n_residual {
            add_row(&state[..n], &self.addend(layer, index), input);
            self.convolutions[layer + 1].convolve(input, room, values);
            let mut is_active: &mut [bool] = &mut [];
            if keeps {
                saved.states.extend_from_slice(&state[..n]);
                is_active = &mut saved.is_active[layer * n..][..n];
            }
            add_activation(&values[..n], &self.biases[layer + 1], &mut state[..n], is_active);
        }
        add_row_in_place(&mut state[..n], &self.addend(n_residual, index));
        channels_first(state, n_pixels, self.lanes, out);
        keeps.then_some(saved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::ops::convolution::{Form, convolve};
    use crate::network::ops::relu_and_channel_sums::add_per_channel;
    use crate::network::ops::tensor::check;

    /// Inputs of layers with these kernels: x, then weight, bias and addend of each layer.
    fn inputs(
        [batch, c_in, channels, height, width]: [usize; 5],
        kernels: &[usize],
    ) -> Vec<Tensor> {
        let mut inputs = vec![check::pseudo_random(&[batch, c_in, height, width], 1)];
        for (index, &k) in kernels.iter().enumerate() {
            let (c_in, seed) = (if index == 0 { c_in } else { channels }, 10 * index as u64);
            inputs.push(check::pseudo_random(&[channels, c_in, k, k], seed + 2));
            inputs.push(check::pseudo_random(&[channels], seed + 3));
            inputs.push(check::pseudo_random(&[batch, channels], seed + 4));
        }
        inputs
    }

    fn in_one(v: &[Tensor], padding: Padding) -> Result<Tensor> {
        let layers: Vec<LayerParameters<'_>> = v[1..].chunks(3).map(|c| [&c[0], &c[1]]).collect();
        let addends: Vec<Tensor> = v[1..].chunks(3).map(|c| c[2].clone()).collect();
        residual_layers(&v[0], &layers, &addends, padding, Factors::Full)
    }

    fn layer_by_layer(v: &[Tensor], padding: Padding) -> Result<Tensor> {
        let layers: Vec<&[Tensor]> = v[1..].chunks(3).collect();
        let mut state = convolve(&v[0], &layers[0][0], &layers[0][1], None, padding, Form::Plain)?;
        for pair in layers.windows(2) {
            let (addend, [weight, bias, _]) = (&pair[0][2], pair[1]) else { unreachable!() };
            state = convolve(&state, weight, bias, Some(addend), padding, Form::Residual)?;
        }
        add_per_channel(&state, &layers[layers.len() - 1][2])
    }

    #[test]
    fn values_and_gradients_are_those_of_the_layers_one_by_one() {
        for (shape, kernels) in [
            ([3, 2, 5, 4, 7], vec![3, 3, 1]),
            ([1, 1, 1, 1, 1], vec![3, 3]),
            ([5, 3, 24, 6, 5], vec![3, 5, 1]),
            ([17, 1, 3, 5, 3], vec![1, 3]),
            ([2, 4, 9, 3, 3], vec![3]),
        ] {
            for padding in [Padding::Zeros, Padding::Circular] {
                check::same_values_and_gradients(
                    &inputs(shape, &kernels),
                    |v| in_one(v, padding),
                    |v| layer_by_layer(v, padding),
                );
            }
        }
    }

    #[test]
    fn gradients_are_the_slopes_of_the_layers() {
        for padding in [Padding::Zeros, Padding::Circular] {
            let inputs = inputs([2, 2, 3, 3, 2], &[3, 1, 3]);
            check::gradients_match_differences(&inputs, |v| in_one(v, padding));
        }
    }

    #[test]
    fn a_constant_input_and_constant_weights_need_no_gradient() {
        let v = inputs([2, 2, 3, 3, 4], &[3, 3]);
        check::same_values_and_gradients(
            &v[1..],
            |w| in_one(&[&v[..1], w].concat(), Padding::Zeros),
            |w| layer_by_layer(&[&v[..1], w].concat(), Padding::Zeros),
        );
        let out = in_one(&v, Padding::Zeros).unwrap();
        assert!(!out.track_op());
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let v = inputs([2, 2, 3, 3, 4], &[3, 3]);
        let refused = |change: fn(&mut Vec<Tensor>)| {
            let mut v = v.clone();
            change(&mut v);
            in_one(&v, Padding::Zeros).is_err()
        };
        assert!(refused(|v| v[4] = check::pseudo_random(&[3, 3, 2, 2], 1)));
        assert!(refused(|v| v[4] = check::pseudo_random(&[4, 3, 3, 3], 1)));
        assert!(refused(|v| v[2] = check::pseudo_random(&[2], 1)));
        assert!(refused(|v| v[3] = check::pseudo_random(&[1, 3], 1)));
        assert!(refused(|v| v.truncate(1)));
    }

    #[test]
    fn gradients_have_the_same_bits_on_any_number_of_threads() {
        let inputs = inputs([37, 2, 5, 6, 7], &[3, 3, 1]);
        let gradients = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| check::gradients(&inputs, |v| in_one(v, Padding::Zeros)))
        };
        for (one, three) in gradients(1).iter().zip(&gradients(3)) {
            check::assert_close(one, three, 0.0);
        }
    }
}
