//! All gradients of [`super::residual_layers`] in one pass over the images.
//!
//! ```text
//! dh_L = dy      dy_l = dh_{l+1} where ReLU is active      dz_l = the input gradient of convolution l + 1 of dy_l
//! dh_l = dh_{l+1} + dz_l      de_l = sum_p dz_l      db_{l+1} = sum_p dy_l      dw_{l+1} from (h_l + e_l, dy_l)
//! ```
//!
//! Weight gradients are sums over images in fixed groups, so their bits do not depend on the number of threads. A group
//! passes through the layers together: the sums of one layer stay in the cache for its images.

use pulp::Arch;
use rayon::prelude::*;

use super::candle_numbers::Real;
use super::convolution_gradient::n_groups;
use super::padded_images::Geometry;
use super::pixel_rows::{accumulate, add_column_sums, add_row, keep_active, padded_row};
use super::residual_operands::{Parameters, SavedImage};
use super::rows_bf16::Factors;
use super::rows_convolution::{Room, RowsConvolution};
use super::rows_weight_gradient::{RowsWeightGradient, WeightSums};
use super::spare_buffers::SpareBuffers;
use super::tensor::{channels_first, channels_last};
use crate::simd::lane::n_lanes;

/// The gradients.
pub struct Gradients<T> {
    /// Of the input, if it was asked for.
    pub dx: Option<Vec<T>>,
    /// Of the weights of all layers, one after the other.
    pub dweights: Vec<T>,
    /// Of the biases of all layers, then of the addends, `[layers, B, O]`.
    pub dbiases: Vec<T>,
}

/// The gradients from `dout`, `[B, O, P]`.
pub fn backward<T: Real>(
    x: &[T],
    dout: &[T],
    saved: &[SavedImage<T>],
    parameters: &Parameters<'_, T>,
    (geometries, factors): (&[Geometry], Factors),
    wants_dx: bool,
) -> Gradients<T> {
    let layers = Layers::new(x, dout, saved, parameters, (geometries, factors), wants_dx);
    let batch = saved.len();
    let per_group = batch.div_ceil(n_groups(batch));
    let spare = SpareBuffers::default();
    let groups: Vec<GroupSums<T>> = (0..batch.div_ceil(per_group))
        .into_par_iter()
        .map(|group| {
            let images = group * per_group..((group + 1) * per_group).min(batch);
            spare.with(|| Buffers::new(&layers), |buffers| layers.group(images, buffers))
        })
        .collect();
    let mut dweights = vec![T::ZERO; parameters.weights.iter().map(|weight| weight.len()).sum()];
    let mut rest = &mut dweights[..];
    for (layer, weight) in parameters.weights.iter().enumerate() {
        let (of_layer, others) = rest.split_at_mut(weight.len());
        let parts: Vec<&[T]> = groups.iter().map(|group| &group.dweights[layer][..]).collect();
        summed_channels_first(&parts, geometries[layer].depth(), layers.lanes, of_layer);
        rest = others;
    }
    let mut dbiases = Vec::with_capacity(dout.len() / geometries[0].n_pixels());
    for (layer, geometry) in geometries.iter().enumerate() {
        let total = sum(groups.iter().map(|group| &group.dbiases[layer]));
        dbiases.extend_from_slice(&total[..geometry.c_out]);
    }
    for (layer, geometry) in geometries.iter().enumerate() {
        for row in groups.iter().flat_map(|group| group.daddends[layer].chunks(layers.lanes)) {
            dbiases.extend_from_slice(&row[..geometry.c_out]);
        }
    }
    let dx = wants_dx.then(|| groups.iter().flat_map(|group| &group.dx).copied().collect());
    Gradients { dx, dweights, dbiases }
}

/// The sum of `parts`, `[depth, lanes]` each, in their order, as `[O, depth]`.
fn summed_channels_first<T: Real>(parts: &[&[T]], depth: usize, lanes: usize, out: &mut [T]) {
    let n = n_lanes::<T>();
    out.par_chunks_mut(n * depth).enumerate().for_each(|(block, planes)| {
        let mut sums = vec![T::ZERO; depth * n];
        Arch::new().dispatch(|| {
            for part in parts {
                let rows = part[block * n..].chunks(lanes);
                for (sums, row) in sums.chunks_exact_mut(n).zip(rows) {
                    sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += value);
                }
            }
        });
        channels_first(&sums, depth, n, planes);
    });
}

/// The sum of equally long slices, in their order.
fn sum<'a, T: Real>(mut parts: impl Iterator<Item = &'a Vec<T>>) -> Vec<T> {
    let mut total = parts.next().cloned().unwrap_or_default();
    parts.for_each(|part| accumulate(&mut total, part));
    total
}

/// Sums over a group of images.
struct GroupSums<T> {
    /// `[depth, lanes]` of each layer.
    dweights: Vec<Vec<T>>,
    /// `[lanes]` of each layer.
    dbiases: Vec<Vec<T>>,
    /// `[images, lanes]` of each layer.
    daddends: Vec<Vec<T>>,
    /// `[images, I, P]`, or empty.
    dx: Vec<T>,
}

/// What the gradients of all images share.
struct Layers<'a, T> {
    x: &'a [T],
    dout: &'a [T],
    saved: &'a [SavedImage<T>],
    parameters: &'a Parameters<'a, T>,
    geometries: &'a [Geometry],
    /// The convolutions that take output gradients to input gradients; for the first layer only if that is needed.
    back: Vec<Option<RowsConvolution<T>>>,
    weight_gradients: Vec<RowsWeightGradient>,
    lanes_in: usize,
    lanes: usize,
}

/// Buffers of a thread: `[P + 1, lanes]` each.
struct Buffers<T> {
    /// The input of a layer and its output gradient, both with a last row of zeros.
    image: Vec<T>,
    input: Vec<T>,
    dy: Vec<T>,
    /// The gradient of the input.
    dimage: Vec<T>,
    dz: Vec<T>,
    /// `dh` of each image of the group.
    dstates: Vec<Vec<T>>,
    sums: WeightSums<T>,
    room: Room<T>,
}

impl<T: Real> Buffers<T> {
    fn new(layers: &Layers<'_, T>) -> Self {
        let rows = layers.geometries[0].n_pixels() + 1;
        let zeros = |lanes: usize| vec![T::ZERO; rows * lanes];
        Self {
            image: zeros(layers.lanes_in),
            input: zeros(layers.lanes),
            dy: zeros(layers.lanes),
            dimage: zeros(layers.lanes_in),
            dz: zeros(layers.lanes),
            dstates: Vec::new(),
            sums: WeightSums::default(),
            room: Room::default(),
        }
    }
}

impl<'a, T: Real> Layers<'a, T> {
    fn new(
        x: &'a [T],
        dout: &'a [T],
        saved: &'a [SavedImage<T>],
        parameters: &'a Parameters<'a, T>,
        (geometries, factors): (&'a [Geometry], Factors),
        wants_dx: bool,
    ) -> Self {
        let lanes_of = |channels: usize| channels.next_multiple_of(n_lanes::<T>());
        let back = |(layer, geometry): (usize, &Geometry)| {
            let weight = parameters.weights[layer];
            (layer > 0 || wants_dx).then(|| RowsConvolution::back(geometry, weight, factors))
        };
        Self {
            x,
            dout,
            saved,
            parameters,
            geometries,
            back: geometries.par_iter().enumerate().with_max_len(1).map(back).collect(),
            weight_gradients: geometries
                .iter()
                .map(|g| RowsWeightGradient::new::<T>(g, factors))
                .collect(),
            lanes_in: lanes_of(geometries[0].c_in),
            lanes: lanes_of(geometries[0].c_out),
        }
    }

    /// The sums of one group.
    fn group(&self, images: std::ops::Range<usize>, buffers: &mut Buffers<T>) -> GroupSums<T> {
        let (n_pixels, n_out) = (self.geometries[0].n_pixels(), self.geometries[0].n_out());
        let n_layers = self.geometries.len();
        let zeros = || vec![vec![T::ZERO; self.lanes]; n_layers];
        let mut sums = GroupSums {
            dweights: vec![Vec::new(); n_layers],
            dbiases: zeros(),
            daddends: vec![vec![T::ZERO; images.len() * self.lanes]; n_layers],
            dx: vec![T::ZERO; self.wants_dx() as usize * images.len() * self.geometries[0].n_in()],
        };
        buffers.dstates.resize_with(images.len(), || vec![T::ZERO; (n_pixels + 1) * self.lanes]);
        for (dstate, image) in buffers.dstates.iter_mut().zip(images.clone()) {
            channels_last(&self.dout[image * n_out..][..n_out], n_pixels, dstate, self.lanes);
        }
        let last = sums.daddends[n_layers - 1].chunks_exact_mut(self.lanes);
        for (dstate, daddend) in buffers.dstates.iter().zip(last) {
            add_column_sums(&dstate[..n_pixels * self.lanes], daddend);
        }
        for layer in (0..n_layers).rev() {
            self.weight_gradients[layer].start(&mut buffers.sums);
            for (i, image) in images.clone().enumerate() {
                match layer {
                    0 => self.first_layer(i, image, buffers, &mut sums),
                    _ => self.residual_layer(layer, (i, image), buffers, &mut sums),
                }
            }
            let Buffers { sums: weight_sums, room, .. } = &mut *buffers;
            sums.dweights[layer] = self.weight_gradients[layer].finish(room, weight_sums);
        }
        sums
    }

    fn wants_dx(&self) -> bool {
        self.back[0].is_some()
    }

    /// Takes image `image`, number `i` of its group, back through a residual layer.
    fn residual_layer(
        &self,
        layer: usize,
        (i, image): (usize, usize),
        buffers: &mut Buffers<T>,
        sums: &mut GroupSums<T>,
    ) {
        let n = self.geometries[0].n_pixels() * self.lanes;
        let Buffers { input, dy, dz, dstates, sums: weight_sums, room, .. } = buffers;
        let dstate = &mut dstates[i];
        let saved = &self.saved[image];
        let here = (layer - 1) * n..layer * n;
        keep_active(&dstate[..n], &saved.is_active[here.clone()], dy);
        add_column_sums(&dy[..n], &mut sums.dbiases[layer]);
        let addend = self.parameters.addend(layer - 1, image, self.saved.len());
        add_row(&saved.states[here], &padded_row(addend, self.lanes), input);
        self.weight_gradients[layer].add(input, dy, room, weight_sums);
        if let Some(back) = &self.back[layer] {
            back.convolve(dy, room, dz);
            add_column_sums(
                &dz[..n],
                &mut sums.daddends[layer - 1][i * self.lanes..][..self.lanes],
            );
            accumulate(&mut dstate[..n], &dz[..n]);
        }
    }

    /// Takes image `image`, number `i` of its group, back through the first convolution.
    fn first_layer(
        &self,
        i: usize,
        image: usize,
        buffers: &mut Buffers<T>,
        sums: &mut GroupSums<T>,
    ) {
        let geometry = &self.geometries[0];
        let (n_pixels, n_in) = (geometry.n_pixels(), geometry.n_in());
        let Buffers { image: input, dimage, dstates, sums: weight_sums, room, .. } = buffers;
        let dy = &dstates[i];
        add_column_sums(&dy[..n_pixels * self.lanes], &mut sums.dbiases[0]);
        channels_last(&self.x[image * n_in..][..n_in], n_pixels, input, self.lanes_in);
        self.weight_gradients[0].add(input, dy, room, weight_sums);
        if let Some(back) = &self.back[0] {
            back.convolve(dy, room, dimage);
            channels_first(dimage, n_pixels, self.lanes_in, &mut sums.dx[i * n_in..][..n_in]);
        }
    }
}
