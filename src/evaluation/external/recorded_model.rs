//! A model that is known by its record alone: its trajectories from recorded noise, and its estimates at recorded states and
//! noised images.

use std::collections::HashMap;
use std::sync::Arc;

use super::recorded_arrays::RecordedArrays;
use crate::diffusion::{
    AttentionMaps, AttentionStatistics, Ddim, DenoiseError, Denoised, Denoiser, NoiseLevel,
    Observer, SampleStep, Sampling,
};
use crate::image::ImageBatch;
use crate::network::network_config::NetworkConfig;

const NAME: &str = "the recorded model";

/// A record, and where its images are. Cheap to clone.
#[derive(Clone)]
pub struct RecordedModel {
    record: Arc<Record>,
}

struct Record {
    config: NetworkConfig,
    arrays: RecordedArrays,
    /// Rows of `noise` by their values.
    noise: HashMap<u64, usize>,
    /// Known estimates by time and values of the noisy image: places in `x0hat` or in `noised_x0hat`.
    estimates: HashMap<(u32, u64), Place>,
}

#[derive(Clone, Copy)]
enum Place {
    /// A sample and a step's place in the arrays.
    Step(usize, usize),
    Noised(usize),
}

/// A hash of the values in single precision (FNV-1a).
fn key_of(values: impl Iterator<Item = f32>) -> u64 {
    values.flat_map(|value| value.to_le_bytes()).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

fn key_of_doubles(values: &[f64]) -> u64 {
    key_of(values.iter().map(|&value| value as f32))
}

/// Times that are equal but for rounding.
fn key_of_time(t: f64) -> u32 {
    (t * 1e5).round() as u32
}

impl RecordedModel {
    /// The model of a record; `config` describes the images, the schedule and the class of the model.
    pub fn new(arrays: RecordedArrays, config: NetworkConfig) -> Self {
        let n = arrays.shape.n_values();
        let rows = |values: &'_ [f32]| {
            values.chunks_exact(n).map(|row| key_of(row.iter().copied())).collect::<Vec<u64>>()
        };
        let noise = rows(&arrays.noise).into_iter().enumerate().map(|(i, key)| (key, i)).collect();
        let mut estimates = HashMap::new();
        if let Some(steps) = &arrays.steps {
            let n_steps = steps.order.len();
            let ddim = Ddim::new(config.schedule, n_steps);
            let keys = rows(&steps.states);
            for sample in 0..arrays.n_samples {
                for (i, &place) in steps.order.iter().enumerate() {
                    let t = key_of_time(ddim.level(i + 1).t);
                    let key = keys[sample * n_steps + place];
                    estimates.insert((t, key), Place::Step(sample, place));
                }
            }
        }
        if let Some(noised) = &arrays.noised {
            for (i, (key, t)) in rows(&noised.images).into_iter().zip(&noised.t).enumerate() {
                estimates.insert((key_of_time(*t), key), Place::Noised(i));
            }
        }
        Self { record: Arc::new(Record { config, arrays, noise, estimates }) }
    }

    /// What is known of the model's class, its images and its schedule.
    pub fn config(&self) -> &NetworkConfig {
        &self.record.config
    }

    /// Whether there are trajectories, not samples alone.
    pub fn has_steps(&self) -> bool {
        self.record.arrays.steps.is_some()
    }

    /// Whether there are attention maps along the trajectories.
    pub fn has_maps(&self) -> bool {
        self.record.arrays.steps.as_ref().is_some_and(|steps| steps.attention.is_some())
    }

    /// Whether there are estimates at given noised images.
    pub fn has_noised(&self) -> bool {
        self.record.arrays.noised.is_some()
    }

    fn batch(&self, values: &[f32], rows: impl Iterator<Item = usize>) -> ImageBatch {
        let shape = self.record.arrays.shape;
        let n = shape.n_values();
        let values = rows.flat_map(|row| values[row * n..][..n].iter().map(|&v| f64::from(v)));
        ImageBatch::new(shape, values.collect())
    }
}

/// The recorded samples; the observer is never called if there are no trajectories. An error if an image of the noise seeds is
/// none of the recorded noise, or the sampler's steps are others.
impl Sampling for RecordedModel {
    fn sample(
        &self,
        ddim: Ddim,
        seeds: &ImageBatch,
        observe: &mut Observer<'_>,
    ) -> Result<ImageBatch, DenoiseError> {
        let arrays = &self.record.arrays;
        let row = |image: &[f64]| self.record.noise.get(&key_of_doubles(image)).copied();
        let rows: Option<Vec<usize>> = seeds.iter().map(row).collect();
        let rows = rows.ok_or_else(|| {
            unusable("a noise seed was asked for that its record does not hold".to_owned())
        })?;
        if let Some(steps) = &arrays.steps {
            let n_steps = steps.order.len();
            if ddim.n_steps != n_steps {
                return Err(unusable(format!(
                    "its trajectories have {n_steps} steps, but '{}' were asked for",
                    ddim.n_steps
                )));
            }
            for index in (1..=n_steps).rev() {
                let place = steps.order[index - 1];
                let at = |values: &[f32]| {
                    self.batch(values, rows.iter().map(|&row| row * n_steps + place))
                };
                let attention = steps.attention.as_ref().map(|all| {
                    let heads = all.shape()[2];
                    let weights = rows.iter().flat_map(|&row| all.item(2, row * n_steps + place));
                    AttentionMaps::new(heads, arrays.shape.n_pixels(), weights.collect())
                });
                let grid = self.record.config.grid();
                let attention_statistics =
                    attention.as_ref().and_then(|maps| AttentionStatistics::of_maps(maps, grid));
                let x0 = at(&steps.x0hat);
                let denoised = Denoised { attention, attention_statistics, ..Denoised::plain(x0) };
                let state = at(&steps.states);
                let level = ddim.level(index);
                observe(SampleStep { index, level, state: &state, denoised: &denoised })?;
            }
        }
        Ok(self.batch(&arrays.samples, rows.into_iter()))
    }
}

impl Denoiser for RecordedModel {
    fn denoise(&self, x: &ImageBatch, level: NoiseLevel) -> Result<Denoised, DenoiseError> {
        let arrays = &self.record.arrays;
        let n = arrays.shape.n_values();
        let mut x0 = Vec::with_capacity(x.values().len());
        let mut weights: Vec<f32> = Vec::new();
        let mut n_heads = 0;
        for image in x.iter() {
            let key = (key_of_time(level.t), key_of_doubles(image));
            let found = match (self.record.estimates.get(&key), &arrays.steps, &arrays.noised) {
                (Some(&Place::Step(sample, place)), Some(steps), _) => {
                    let at = sample * steps.order.len() + place;
                    if let Some(maps) = &steps.attention {
                        n_heads = maps.shape()[2];
                        weights.extend(maps.item(2, at));
                    }
                    &steps.x0hat[at * n..][..n]
                }
                (Some(&Place::Noised(i)), _, Some(noised)) => &noised.x0hat[i * n..][..n],
                _ => {
                    return Err(unusable(format!(
                        "its record holds no estimate of this noisy image at t = {:.3}; questions.npz has as many images per \
                         level as compare.floor_draws was then (mosaic external --noised)",
                        level.t
                    )));
                }
            };
            x0.extend(found.iter().map(|&v| f64::from(v)));
        }
        // Only of batches whose images all have maps.
        let n_pixels = arrays.shape.n_pixels();
        let is_whole = n_heads > 0 && weights.len() == x.len() * n_heads * n_pixels * n_pixels;
        let attention = is_whole.then(|| AttentionMaps::new(n_heads, n_pixels, weights));
        Ok(Denoised { attention, ..Denoised::plain(ImageBatch::new(x.shape(), x0)) })
    }
}

fn unusable(problem: String) -> DenoiseError {
    DenoiseError::Unusable { denoiser: NAME.to_owned(), problem }
}
