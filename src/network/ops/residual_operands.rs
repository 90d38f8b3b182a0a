//! The operands of residual layers, shared by [`super::residual_layers`] and its gradient.

use super::padded_images::Geometry;

/// The parameters as slices.
pub struct Parameters<'a, T> {
    /// `[O, I, k, k]` of each layer.
    pub weights: Vec<&'a [T]>,
    /// `[O]` of each layer.
    pub biases: Vec<&'a [T]>,
    /// `[layers, B, O]`
    pub addends: &'a [T],
}

impl<'a, T> Parameters<'a, T> {
    /// Splits the weights of all layers, and their biases followed by the addends.
    pub fn split(geometries: &[Geometry], mut weights: &'a [T], mut biases: &'a [T]) -> Self {
        let mut split = Self { weights: Vec::new(), biases: Vec::new(), addends: &[] };
        for geometry in geometries {
            let (weight, more_weights) = weights.split_at(geometry.c_out * geometry.depth());
            let (bias, more_biases) = biases.split_at(geometry.c_out);
            split.weights.push(weight);
            split.biases.push(bias);
            (weights, biases) = (more_weights, more_biases);
        }
        Self { addends: biases, ..split }
    }

    /// What layer `index` adds to image `image`, of a batch of `batch`.
    pub fn addend(&self, index: usize, image: usize, batch: usize) -> &'a [T] {
        let channels = self.addends.len() / (self.biases.len() * batch);
        &self.addends[(index * batch + image) * channels..][..channels]
    }
}

/// What the gradients of an image need of its forward pass.
pub struct SavedImage<T> {
    /// `h_0` to `h_{L-1}`, `[P, lanes]` each.
    pub states: Vec<T>,
    /// Where the argument of each ReLU is above zero, `[L, P, lanes]`.
    pub is_active: Vec<bool>,
}
