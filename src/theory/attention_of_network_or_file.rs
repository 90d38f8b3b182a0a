//! Attention maps that are given to the attention machine: by a network or a file (source `measured`), or by a network's
//! recorded trajectory (source `trajectory`).
//!
//! `theory` does not know networks: the owner of one implements [`AttentionProvider`], and maps cross as plain arrays.
//! [`RecordedAttention`] replays the maps of a network's own trajectory (source `trajectory`); [`FixedAttention`]
//! returns the same maps at every noise level (a file).

use crate::diffusion::{AttentionMaps, DenoiseError, NoiseLevel};
use crate::image::ImageBatch;

/// Largest accepted difference of a row sum from 1; rounding of single precision over a few thousand pixels is far less.
pub const ROW_SUM_TOLERANCE: f64 = 1e-3;

/// Noise levels whose t differ by less are the same sampling step.
const SAME_TIME: f64 = 1e-6;

/// Returns the attention maps of noisy images.
pub trait AttentionProvider: Send + Sync {
    /// The maps of each image of `x`, `[B, heads, P, P]`.
    ///
    /// # Errors
    ///
    /// If there are no maps for this noise level or number of images.
    fn attention(&self, x: &ImageBatch, level: NoiseLevel) -> Result<AttentionMaps, DenoiseError>;

    /// The same maps in double precision, if the provider has them; they take precedence.
    fn exact(&self) -> Option<&FixedAttention> {
        None
    }
}

/// Maps of one batch of noise seeds at each sampling step, looked up by the t of the noise level.
#[derive(Clone, Debug, Default)]
pub struct RecordedAttention {
    steps: Vec<(f64, AttentionMaps)>,
}

impl RecordedAttention {
    /// No steps yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records the maps of one sampling step.
    pub fn push(&mut self, level: NoiseLevel, maps: AttentionMaps) {
        self.steps.push((level.t, maps));
    }

    /// The recorded steps as (t, maps), in the order they were recorded.
    pub fn steps(&self) -> &[(f64, AttentionMaps)] {
        &self.steps
    }

    /// The same steps with `change` of their maps.
    pub fn map(&self, change: impl Fn(&AttentionMaps) -> AttentionMaps) -> Self {
        Self { steps: self.steps.iter().map(|(t, maps)| (*t, change(maps))).collect() }
    }

    /// Images `start..start + n` of the recorded batch.
    pub fn slice(&self, start: usize, n: usize) -> Self {
        Self { steps: self.steps.iter().map(|(t, maps)| (*t, maps.slice(start, n))).collect() }
    }
}

impl AttentionProvider for RecordedAttention {
    fn attention(&self, x: &ImageBatch, level: NoiseLevel) -> Result<AttentionMaps, DenoiseError> {
        let found = self.steps.iter().find(|(t, _)| (t - level.t).abs() < SAME_TIME);
        match found {
            Some((_, maps)) if maps.len() == x.len() => Ok(maps.clone()),
            Some((_, maps)) => Err(unusable(format!(
                "maps of {} images were recorded, but the input has '{}'; sample the same seeds",
                maps.len(),
                x.len()
            ))),
            None => Err(unusable(format!(
                "none of the {} recorded steps lies at t = '{}'; sample with as many steps as were \
                 recorded",
                self.steps.len(),
                level.t
            ))),
        }
    }
}

/// One set of maps for every level, in double precision; a single map serves every image.
#[derive(Clone, Debug)]
pub struct FixedAttention {
    n_heads: usize,
    n_pixels: usize,
    weights: Vec<f64>,
}

impl FixedAttention {
    /// Maps with `weights`, `[B, heads, P, P]`.
    ///
    /// # Errors
    ///
    /// If `weights` are not a whole number of maps, or a row has a negative or non-finite weight or does not sum to 1.
    pub fn new(n_heads: usize, n_pixels: usize, weights: Vec<f64>) -> Result<Self, DenoiseError> {
        let per_image = n_heads * n_pixels * n_pixels;
        if per_image == 0 || weights.is_empty() || !weights.len().is_multiple_of(per_image) {
            return Err(unusable(format!(
                "'{}' weights are no whole number of {n_heads}x{n_pixels}x{n_pixels} maps",
                weights.len()
            )));
        }
        check_rows(n_pixels, &weights)?;
        Ok(Self { n_heads, n_pixels, weights })
    }

    /// The maps of image `index` of a batch of `n`, `[heads, P, P]`.
    ///
    /// # Errors
    ///
    /// If there is neither one map per image nor a single one.
    pub fn maps(&self, index: usize, n: usize) -> Result<&[f64], DenoiseError> {
        let per_image = self.n_heads * self.n_pixels * self.n_pixels;
        let n_maps = self.weights.len() / per_image;
        if n_maps != 1 && n_maps != n {
            return Err(unusable(format!(
                "maps are given for {n_maps} images, but the input has '{n}'; give one map, or one \
                 per image"
            )));
        }
        let start = if n_maps == 1 { 0 } else { index * per_image };
        Ok(&self.weights[start..start + per_image])
    }
}

impl AttentionProvider for FixedAttention {
    fn attention(&self, x: &ImageBatch, _: NoiseLevel) -> Result<AttentionMaps, DenoiseError> {
        let mut weights = Vec::new();
        for index in 0..x.len() {
            weights.extend(self.maps(index, x.len())?.iter().map(|&w| w as f32));
        }
        Ok(AttentionMaps::new(self.n_heads, self.n_pixels, weights))
    }

    fn exact(&self) -> Option<&FixedAttention> {
        Some(self)
    }
}

/// Checks attention weights, rows of `n_pixels`.
///
/// # Errors
///
/// If a weight is negative or not finite, or a row does not sum to 1 within [`ROW_SUM_TOLERANCE`].
pub fn check_rows<T: Copy + Into<f64>>(n_pixels: usize, weights: &[T]) -> Result<(), DenoiseError> {
    for (row, weights) in weights.chunks(n_pixels).enumerate() {
        // In eight interleaved parts, which become vector instructions.
        let (mut sums, mut least) = ([0.0; 8], [f64::INFINITY; 8]);
        for chunk in weights.chunks(8) {
            for ((sum, least), &weight) in sums.iter_mut().zip(&mut least).zip(chunk) {
                let weight = weight.into();
                *sum += weight;
                *least = least.min(weight);
            }
        }
        let sum: f64 = sums.iter().sum();
        let is_negative = least.iter().any(|least| *least < -ROW_SUM_TOLERANCE);
        if is_negative || !sum.is_finite() {
            let is_wrong = |weight: &f64| !weight.is_finite() || *weight < -ROW_SUM_TOLERANCE;
            let mut all = weights.iter().map(|&weight| weight.into());
            if let Some(at) = all.clone().position(|weight| is_wrong(&weight)) {
                let weight = all.nth(at).unwrap_or(f64::NAN);
                let at = row * n_pixels + at;
                return Err(unusable(format!("attention weight {at} is '{weight}'")));
            }
        }
        if (sum - 1.0).abs() > ROW_SUM_TOLERANCE {
            return Err(unusable(format!(
                "row {row} of the attention maps sums to '{sum}' instead of 1; the last axis \
                 must be the attended pixels"
            )));
        }
    }
    Ok(())
}

fn unusable(problem: String) -> DenoiseError {
    DenoiseError::Unusable { denoiser: "attention".into(), problem }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::Schedule;
    use crate::image::ImageShape;

    #[test]
    fn recorded_maps_are_chosen_by_time() {
        let shape = ImageShape::new(1, 1, 2);
        let x = ImageBatch::zeros(shape, 1);
        let mut recorded = RecordedAttention::new();
        for (step, weight) in [(1.0, 0.25_f32), (0.5, 0.75)] {
            let maps = AttentionMaps::new(1, 2, vec![weight, 1.0 - weight, 0.0, 1.0]);
            recorded.push(Schedule::Cosine.level(step), maps);
        }
        let at = |t, x: &ImageBatch| recorded.attention(x, Schedule::Cosine.level(t));
        assert_eq!(at(0.5, &x).unwrap().weights()[0], 0.75);
        assert!(at(0.25, &x).unwrap_err().to_string().contains("t = '0.25'"));
        assert!(at(0.5, &ImageBatch::zeros(shape, 2)).is_err());
    }

    #[test]
    fn rows_must_sum_to_one() {
        let error = FixedAttention::new(1, 2, vec![0.5, 0.5, 0.5, 0.1]).unwrap_err().to_string();
        assert!(error.contains("row 1") && error.contains("'0.6'"), "{error}");
        assert!(FixedAttention::new(1, 2, vec![f64::NAN, 0.5, 0.5, 0.5]).is_err());
        assert!(FixedAttention::new(1, 2, vec![0.5; 3]).is_err());
    }
}
