//! A denoiser whose attention maps are replaced by others.

use crate::diffusion::{Attending, AttentionMaps, DenoiseError, Denoised, Denoiser, NoiseLevel};
use crate::image::ImageBatch;

/// What takes the place of a denoiser's own attention maps, in every head.
#[derive(Clone, Copy)]
pub enum NewMaps<'a> {
    /// Every pixel attends to all pixels alike.
    Uniform,
    /// Every pixel attends to itself alone.
    Identity,
    /// Its own maps with all logits multiplied by this number: weights `A^s`, normalised.
    ScaledLogits(f64),
    /// The maps of another denoiser at the same state; where that does not attend, nothing is changed.
    Of(&'a dyn Attending),
    /// Its own maps along other trajectories, by the step of the same t.
    Along(&'a RecordedStates),
}

/// The noisy states of trajectories from `B` noise seeds.
#[derive(Clone, Default)]
pub struct RecordedStates {
    /// t and `[B, C, H, W]`, noisiest first.
    steps: Vec<(f64, ImageBatch)>,
}

impl RecordedStates {
    /// Adds the next step.
    pub fn push(&mut self, level: NoiseLevel, states: ImageBatch) {
        self.steps.push((level.t, states));
    }

    /// The states of the step whose t is nearest; `None` if nothing was recorded.
    pub fn at(&self, level: NoiseLevel) -> Option<&ImageBatch> {
        let distance = |step: &&(f64, ImageBatch)| (step.0 - level.t).abs();
        let nearest = self.steps.iter().min_by(|a, b| distance(a).total_cmp(&distance(b)));
        nearest.map(|(_, states)| states)
    }

    /// The same states, each of the next seed of the same class: see [`turned`].
    pub fn turned(&self, by: usize) -> Self {
        let turn = |(t, states): &(f64, ImageBatch)| (*t, turned(states, by));
        Self { steps: self.steps.iter().map(turn).collect() }
    }
}

/// The batch in which image `i` is the former image `i + by`; after the last such comes the first, `i mod by`. With `by`
/// classes in turn, images stay in their class.
pub fn turned(batch: &ImageBatch, by: usize) -> ImageBatch {
    let n = batch.len();
    let mut all = ImageBatch::zeros(batch.shape(), 0);
    for i in 0..n {
        let from = if i + by < n { i + by } else { i % by };
        all.append(&batch.slice(from, 1));
    }
    all
}

/// A range of t: above the one end, up to the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    pub above: f64,
    pub up_to: f64,
}

impl Window {
    /// Every step of sampling.
    pub const ALL: Self = Self { above: 0.0, up_to: 1.0 };

    fn holds(self, level: NoiseLevel) -> bool {
        // Times of steps are rounded.
        level.t > self.above + 1e-9 && level.t <= self.up_to + 1e-9
    }
}

/// A denoiser with changed attention. Its estimates come with the maps in place of its own.
pub struct ChangedAttention<'a> {
    pub denoiser: &'a dyn Attending,
    pub maps: NewMaps<'a>,
    pub window: Window,
}

impl ChangedAttention<'_> {
    /// The maps to compute with at state `x`; `None`: the denoiser's own.
    fn maps(
        &self,
        x: &ImageBatch,
        level: NoiseLevel,
    ) -> Result<Option<AttentionMaps>, DenoiseError> {
        match self.maps {
            NewMaps::Of(other) => other.own_maps(x, level),
            NewMaps::Along(recorded) => match recorded.at(level) {
                Some(states) => self.denoiser.own_maps(states, level),
                None => Ok(None),
            },
            NewMaps::ScaledLogits(factor) => {
                Ok(self.denoiser.own_maps(x, level)?.map(|own| scaled(&own, factor)))
            }
            NewMaps::Uniform => Ok(self.like_own(x, level, |_, _, n| 1.0 / n as f32)?),
            NewMaps::Identity => {
                Ok(self.like_own(x, level, |p, r, _| f32::from(u8::from(p == r)))?)
            }
        }
    }

    /// Maps of the size of its own whose weight from pixel p to r of n is `weight(p, r, n)`.
    fn like_own(
        &self,
        x: &ImageBatch,
        level: NoiseLevel,
        weight: impl Fn(usize, usize, usize) -> f32,
    ) -> Result<Option<AttentionMaps>, DenoiseError> {
        let Some(own) = self.denoiser.own_maps(x, level)? else { return Ok(None) };
        let n = own.n_pixels();
        let map: Vec<f32> = (0..n * n).map(|i| weight(i / n, i % n, n)).collect();
        Ok(Some(AttentionMaps::new(own.n_heads(), n, map.repeat(own.n_heads() * own.len()))))
    }
}

impl Denoiser for ChangedAttention<'_> {
    fn denoise(&self, x: &ImageBatch, level: NoiseLevel) -> Result<Denoised, DenoiseError> {
        if !self.window.holds(level) {
            return self.denoiser.denoise(x, level);
        }
        match self.maps(x, level)? {
            Some(maps) => {
                let denoised = self.denoiser.denoise_with_maps(x, level, &maps)?;
                Ok(Denoised { attention: Some(maps), ..denoised })
            }
            None => self.denoiser.denoise(x, level),
        }
    }
}

/// Weights to the power of `factor`, normalised: softmax of the logits times `factor`.
fn scaled(maps: &AttentionMaps, factor: f64) -> AttentionMaps {
    let n = maps.n_pixels();
    let mut weights = Vec::with_capacity(maps.weights().len());
    for row in maps.weights().chunks_exact(n) {
        // Relative to the largest, which cannot underflow.
        let largest = row.iter().fold(f32::MIN_POSITIVE, |a, b| a.max(*b));
        let powers = row.iter().map(|w| f64::from(w / largest).powf(factor));
        let powers: Vec<f64> = powers.collect();
        let total: f64 = powers.iter().sum();
        weights.extend(powers.iter().map(|power| (power / total) as f32));
    }
    AttentionMaps::new(maps.n_heads(), n, weights)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::diffusion::Schedule;
    use crate::image::ImageShape;

    /// Attends to pixels by `softmax(x)`, and answers with the attended value at every pixel.
    struct Mean {
        asked: Mutex<Vec<f64>>,
    }

    impl Mean {
        fn new() -> Self {
            Self { asked: Mutex::new(Vec::new()) }
        }
    }

    fn maps_of(x: &ImageBatch) -> AttentionMaps {
        let mut weights = Vec::new();
        for image in x.iter() {
            let powers: Vec<f64> = image.iter().map(|v| v.exp()).collect();
            let total: f64 = powers.iter().sum();
            for _ in image {
                weights.extend(powers.iter().map(|power| (power / total) as f32));
            }
        }
        AttentionMaps::new(1, x.shape().n_pixels(), weights)
    }

    impl Denoiser for Mean {
        fn denoise(&self, x: &ImageBatch, level: NoiseLevel) -> Result<Denoised, DenoiseError> {
            self.denoise_with_maps(x, level, &maps_of(x))
        }
    }

    impl Attending for Mean {
        fn own_maps(
            &self,
            x: &ImageBatch,
            level: NoiseLevel,
        ) -> Result<Option<AttentionMaps>, DenoiseError> {
            self.asked.lock().unwrap().push(x.values()[0]);
            Ok((level.t < 0.9).then(|| maps_of(x)))
        }

        fn denoise_with_maps(
            &self,
            x: &ImageBatch,
            _level: NoiseLevel,
            maps: &AttentionMaps,
        ) -> Result<Denoised, DenoiseError> {
            let n = x.shape().n_pixels();
            let rows = maps.weights().chunks_exact(n).enumerate();
            let values = rows.map(|(at, row)| {
                let image = x.image(at / n);
                row.iter().zip(image).map(|(w, v)| f64::from(*w) * v).sum()
            });
            Ok(Denoised::plain(ImageBatch::new(x.shape(), values.collect())))
        }
    }

    fn batch(values: &[f64]) -> ImageBatch {
        ImageBatch::new(ImageShape::new(1, 1, 2), values.to_vec())
    }

    fn changed(maps: NewMaps<'_>, x: &[f64], t: f64) -> Vec<f64> {
        let denoiser = Mean::new();
        let changed = ChangedAttention { denoiser: &denoiser, maps, window: Window::ALL };
        changed.denoise(&batch(x), Schedule::Cosine.level(t)).unwrap().x0.into_values()
    }

    fn check(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 1e-6, "{found:?} {expected:?}");
        }
    }

    #[test]
    fn each_change_has_the_maps_that_it_says() {
        let x = [0.0, 1.0, 2.0, 6.0];
        check(&changed(NewMaps::Uniform, &x, 0.5), &[0.5, 0.5, 4.0, 4.0]);
        check(&changed(NewMaps::Identity, &x, 0.5), &x);
        let own = |a: f64, b: f64, scale: f64| {
            let w = 1.0 / (1.0 + (scale * (a - b)).exp());
            a * (1.0 - w) + b * w
        };
        let twice = [own(0.0, 1.0, 2.0), own(2.0, 6.0, 2.0)];
        check(
            &changed(NewMaps::ScaledLogits(2.0), &x, 0.5),
            &[twice[0], twice[0], twice[1], twice[1]],
        );
        check(&changed(NewMaps::ScaledLogits(0.0), &x, 0.5), &[0.5, 0.5, 4.0, 4.0]);
    }

    #[test]
    fn nothing_is_changed_where_there_is_no_attention() {
        let x = [0.0, 1.0];
        let own = changed(NewMaps::ScaledLogits(1.0), &x, 0.5);
        check(&changed(NewMaps::Uniform, &x, 0.95), &own);
    }

    #[test]
    fn a_window_takes_its_upper_end_and_not_its_lower_one() {
        let denoiser = Mean::new();
        let window = Window { above: 0.3, up_to: 0.6 };
        let changed = ChangedAttention { denoiser: &denoiser, maps: NewMaps::Identity, window };
        let x = batch(&[0.0, 1.0]);
        for (t, is_changed) in [(0.3, false), (0.35, true), (0.6, true), (0.65, false)] {
            let found = changed.denoise(&x, Schedule::Cosine.level(t)).unwrap();
            assert_eq!(found.x0.values() == x.values(), is_changed, "{t}");
            assert_eq!(found.attention.is_some(), is_changed, "{t}");
        }
    }

    #[test]
    fn maps_along_another_trajectory_are_those_of_its_state_at_the_same_time() {
        let mut recorded = RecordedStates::default();
        for (t, value) in [(0.8, 5.0), (0.4, 7.0)] {
            recorded.push(Schedule::Cosine.level(t), batch(&[value, value, 0.0, 60.0]));
        }
        let turned = recorded.turned(1);
        let x = [0.0, 1.0, 2.0, 6.0];
        // Image 0 gets the maps of image 1, which attend to the second pixel; image 1 those of image 0, which are uniform.
        check(&changed(NewMaps::Along(&turned), &x, 0.45), &[1.0, 1.0, 4.0, 4.0]);
        let denoiser = Mean::new();
        let maps = NewMaps::Along(&recorded);
        let changed = ChangedAttention { denoiser: &denoiser, maps, window: Window::ALL };
        changed.denoise(&batch(&x), Schedule::Cosine.level(0.45)).unwrap();
        assert_eq!(*denoiser.asked.lock().unwrap(), [7.0]);
    }
}
