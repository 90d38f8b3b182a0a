//! The arrays that a model's directory holds, checked against each other and against the data set.
//!
//! ```text
//! noise          [N, C, H, W]         x_T, standard normal
//! samples        [N, C, H, W]         the model's samples from them
//! labels         [N]                  their classes, of conditional models
//! t              [T]                  times of the steps, in any order
//! abar           [T]                  signal power at them, to check the schedule; may be left out
//! states         [N, T, C, H, W]      x_t before each step
//! x0hat          [N, T, C, H, W]      the estimate of the clean image at each
//! attention      [N, T, heads, P, P]  attention weights, P = H W
//! noised         [M, C, H, W]         noised images of the questions
//! noised_t       [M]                  their times
//! noised_x0hat   [M, C, H, W]         the model's estimates
//! ```
//!
//! `noise` and `samples` are needed; the others come together: `states`, `x0hat` and `t`; `noised`, `noised_t` and
//! `noised_x0hat`. Noise and states are in the units of the process; images (`samples`, `x0hat`, `noised_x0hat`) in those
//! that `external.toml` says.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::external_toml::{Channels, ExternalToml, Values};
use crate::arrays::{Array, ArrayFile};
use crate::diffusion::Ddim;
use crate::image::ImageShape;
use crate::network::network_config::NetworkConfig;

/// Names that are read.
const NAMES: [&str; 11] = [
    "abar",
    "noise",
    "samples",
    "labels",
    "t",
    "states",
    "x0hat",
    "attention",
    "noised",
    "noised_t",
    "noised_x0hat",
];

/// How far the times of steps may be from those of the sampler.
const TIME_TOLERANCE: f64 = 1e-3;

/// The arrays of a directory, `[.., C, H, W]` in single precision, images in [-1, 1].
#[derive(Clone, Debug)]
pub struct RecordedArrays {
    pub shape: ImageShape,
    pub n_samples: usize,
    pub noise: Vec<f32>,
    pub samples: Vec<f32>,
    pub labels: Option<Vec<u32>>,
    pub steps: Option<RecordedSteps>,
    pub noised: Option<RecordedNoised>,
}

/// The trajectories.
#[derive(Clone, Debug)]
pub struct RecordedSteps {
    /// The place in the arrays of sampling step `i + 1`, whose t is `(i + 1) / T`.
    pub order: Vec<usize>,
    /// `[N, T, C, H, W]`.
    pub states: Vec<f32>,
    pub x0hat: Vec<f32>,
    /// `[N, T, heads, P, P]`.
    pub attention: Option<Array>,
}

/// Estimates at given noised images.
#[derive(Clone, Debug)]
pub struct RecordedNoised {
    pub t: Vec<f64>,
    pub images: Vec<f32>,
    pub x0hat: Vec<f32>,
}

/// Arrays by name.
struct Found(BTreeMap<String, Array>);

impl Found {
    /// Reads the named arrays of all files. A `.npy` file's array has the name of the file.
    fn read(toml: &ExternalToml, directory: &Path) -> Result<Self> {
        let mut found = BTreeMap::new();
        for path in toml.files(directory)? {
            let file = ArrayFile::open(&path)?;
            for info in file.arrays() {
                let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
                let name = match info.name.as_str() {
                    "" => stem.unwrap_or_default(),
                    name => name.to_owned(),
                };
                if !NAMES.contains(&name.as_str()) {
                    continue;
                }
                let array = file.read(&info.name)?;
                if found.insert(name.clone(), array).is_some() {
                    bail!("'{}' holds the array '{name}' twice", directory.display());
                }
            }
        }
        Ok(Self(found))
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self.0.keys().map(String::as_str).collect();
        if names.is_empty() { "none of them".to_owned() } else { names.join(", ") }
    }

    fn needed(&self, name: &str) -> Result<&Array> {
        self.0.get(name).ok_or_else(|| {
            anyhow!(
                "there is no array '{name}'; of {}, these were found: {}",
                NAMES.join(", "),
                self.names()
            )
        })
    }

    /// Either all arrays of these names or none.
    fn together<const N: usize>(&self, names: [&str; N]) -> Result<Option<[&Array; N]>> {
        let n_found = names.iter().filter(|name| self.0.contains_key(**name)).count();
        ensure!(
            n_found == 0 || n_found == N,
            "the arrays {} belong together, but only {n_found} of them are there ({})",
            names.join(", "),
            self.names()
        );
        Ok((n_found == N).then(|| names.map(|name| &self.0[name])))
    }
}

/// The images of an array `[leading.., C, H, W]` or `[leading.., H, W, C]`, channels first.
fn images(
    name: &str,
    array: &Array,
    (leading, shape): (&[usize], ImageShape),
    toml: &ExternalToml,
    of: impl Fn(f64) -> f64,
) -> Result<Vec<f32>> {
    let ImageShape { channels: c, height: h, width: w } = shape;
    let last: Vec<usize> = match toml.channels {
        Channels::First => vec![c, h, w],
        Channels::Last => vec![h, w, c],
    };
    let expected: Vec<usize> = leading.iter().copied().chain(last).collect();
    ensure!(
        array.shape() == expected,
        "array '{name}' is {:?}, but {expected:?} is expected: the data set's images are {shape}{}",
        array.shape(),
        match toml.channels {
            Channels::First => ", and channels = \"first\"",
            Channels::Last => ", and channels = \"last\"",
        }
    );
    let values = array.map(|value| of(value) as f32);
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        bail!("value {at} of array '{name}' is '{}', which is not a finite number", values[at]);
    }
    if toml.channels == Channels::First || c == 1 {
        return Ok(values);
    }
    let plane = |image: &[f32]| {
        (0..c)
            .flat_map(|at| image.iter().skip(at).step_by(c).copied().collect::<Vec<f32>>())
            .collect::<Vec<f32>>()
    };
    Ok(values.chunks(shape.n_values()).flat_map(plane).collect())
}

/// Refuses images whose values are clearly of another range than `external.toml` says. Estimates of bad models may lie
/// anywhere, so that only what looks exactly like another range is refused.
fn check_range(name: &str, array: &Array, stated: Option<Values>) -> Result<()> {
    let is_stated = stated.is_some();
    let stated = stated.unwrap_or_default();
    let values = array.f64_values();
    let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
    let looks_like = match stated {
        Values::Signed | Values::Unit if low >= -0.5 && high > 100.0 && high < 256.0 => "0..255",
        Values::Signed if !is_stated && name == "samples" && low >= -0.02 && high <= 1.02 => "0..1",
        Values::Unit if low < -0.5 && low > -1.5 && high < 1.5 => "-1..1",
        Values::Bytes if low < -0.5 && low > -1.5 && high < 1.5 => "-1..1",
        Values::Bytes if low >= -0.5 && high < 1.5 => "0..1",
        _ => return Ok(()),
    };
    bail!(
        "the values of '{name}' lie between {low:.3} and {high:.3}, which looks like {looks_like}; say value_range = \"{looks_like}\" in \
         external.toml if that is so, value_range = \"{}\" if not, or convert them",
        stated.word()
    )
}

impl RecordedArrays {
    /// Reads the arrays of a directory, for the images, classes and heads of `config` and the sampler `ddim`.
    ///
    /// # Errors
    ///
    /// If an array is missing, damaged, of another shape or range, or not a number somewhere.
    pub fn read(
        directory: &Path,
        toml: &ExternalToml,
        config: &NetworkConfig,
        ddim: Ddim,
    ) -> Result<Self> {
        Self::of(&Found::read(toml, directory)?, toml, config, ddim)
            .with_context(|| format!("reading the arrays of '{}'", directory.display()))
    }

    fn of(found: &Found, toml: &ExternalToml, config: &NetworkConfig, ddim: Ddim) -> Result<Self> {
        let (shape, n_classes, n_steps) = (config.image, config.n_classes, ddim.n_steps);
        let range = toml.value_range.unwrap_or_default();
        let n_samples = found.needed("noise")?.shape().first().copied().unwrap_or(0);
        ensure!(n_samples > 1, "array 'noise' holds '{n_samples}' images; at least 2 are needed");
        let process = |name: &str, array: &Array, leading: &[usize]| {
            images(name, array, (leading, shape), toml, |value| value)
        };
        let clean = |name: &str, array: &Array, leading: &[usize]| {
            check_range(name, array, toml.value_range)?;
            images(name, array, (leading, shape), toml, |v| range.to_signed(v))
        };
        let noise = process("noise", found.needed("noise")?, &[n_samples])?;
        let power = noise.iter().map(|v| f64::from(v * v)).sum::<f64>() / noise.len() as f64;
        ensure!(
            (0.8..1.25).contains(&power),
            "the mean square of 'noise' is {power:.3}, but the process starts from standard normal noise (1)"
        );
        let mut known: HashMap<Vec<u32>, usize> = HashMap::new();
        for (i, row) in noise.chunks_exact(shape.n_values()).enumerate() {
            let bits = row.iter().map(|value| value.to_bits()).collect();
            if let Some(first) = known.insert(bits, i) {
                bail!(
                    "rows {first} and {i} of 'noise' are equal; each sample needs noise of its own"
                );
            }
        }
        drop(known);
        let steps = found.together(["t", "states", "x0hat"])?;
        let steps = steps.map(|[t, states, x0hat]| {
            let leading = [n_samples, n_steps];
            let order = order_of_times(&t.f64_values(), ddim)?;
            check_schedule(found, &order, ddim)?;
            let states = process("states", states, &leading)?;
            check_first_states(&states, &noise, shape.n_values(), (order[n_steps - 1], n_steps))?;
            anyhow::Ok(RecordedSteps {
                order,
                states,
                x0hat: clean("x0hat", x0hat, &leading)?,
                attention: attention(found, (n_samples, n_steps, shape.n_pixels()), config)?,
            })
        });
        let noised = found.together(["noised", "noised_t", "noised_x0hat"])?;
        let noised = noised.map(|[images, t, x0hat]| {
            let m = t.len();
            anyhow::Ok(RecordedNoised {
                t: t.f64_values(),
                images: process("noised", images, &[m])?,
                x0hat: clean("noised_x0hat", x0hat, &[m])?,
            })
        });
        Ok(Self {
            shape,
            n_samples,
            noise,
            samples: clean("samples", found.needed("samples")?, &[n_samples])?,
            labels: labels(found, n_samples, n_classes)?,
            steps: steps.transpose()?,
            noised: noised.transpose()?,
        })
    }

    /// The same with the samples in another order, some of them left out.
    pub fn select(&self, order: &[usize]) -> Self {
        let n = self.shape.n_values();
        let pick = |values: &[f32], each: usize| -> Vec<f32> {
            order.iter().flat_map(|&i| values[i * each..][..each].iter().copied()).collect()
        };
        let steps = self.steps.as_ref().map(|steps| RecordedSteps {
            order: steps.order.clone(),
            states: pick(&steps.states, n * steps.order.len()),
            x0hat: pick(&steps.x0hat, n * steps.order.len()),
            attention: steps.attention.as_ref().map(|all| all.select(order)),
        });
        Self {
            n_samples: order.len(),
            noise: pick(&self.noise, n),
            samples: pick(&self.samples, n),
            labels: self.labels.as_ref().map(|all| order.iter().map(|&i| all[i]).collect()),
            steps,
            ..self.clone()
        }
    }
}

/// The place of the time of each step i among the times, for i = 1..T.
fn order_of_times(t: &[f64], ddim: Ddim) -> Result<Vec<usize>> {
    let n_steps = ddim.n_steps;
    let place = |i: usize| {
        let wanted = ddim.level(i).t;
        let distance = |at: &usize| (t[*at] - wanted).abs();
        let nearest = (0..t.len()).min_by(|a, b| distance(a).total_cmp(&distance(b)));
        // Less than half of the distance to the next time.
        let next = (ddim.level(i - 1).t - wanted).abs();
        nearest.filter(|at| distance(at) < TIME_TOLERANCE.min(0.25 * next)).with_context(|| {
            format!(
                "array 't' has no time {wanted:.4}, that of step {i} of {n_steps} in the schedule '{}'; set \
                 diffusion.sampling_steps and diffusion.schedule in external.toml to those of the model (the times are in \
                 the array 't' that 'mosaic external' writes)",
                ddim.schedule.word()
            )
        })
    };
    ensure!(
        t.len() == n_steps,
        "array 't' holds {} times, but diffusion.sampling_steps is {n_steps}; set it in external.toml",
        t.len()
    );
    (1..=n_steps).map(place).collect()
}

/// Refuses a record of another schedule, if it says its signal powers.
fn check_schedule(found: &Found, order: &[usize], ddim: Ddim) -> Result<()> {
    let Some(array) = found.0.get("abar") else { return Ok(()) };
    let abar = array.f64_values();
    ensure!(
        abar.len() == order.len(),
        "array 'abar' holds {} numbers for {} times",
        abar.len(),
        order.len()
    );
    for (i, &place) in order.iter().enumerate() {
        let level = ddim.level(i + 1);
        ensure!(
            (abar[place] - level.abar).abs() < 1e-4,
            "array 'abar' says '{}' at t = {:.3}, but diffusion.schedule gives {:.6} there; set diffusion.schedule in external.toml \
             to that of the model",
            abar[place],
            level.t,
            level.abar
        );
    }
    Ok(())
}

/// Refuses trajectories that do not start from the noise; `place` of `n_steps` is that of t = 1.
fn check_first_states(
    states: &[f32],
    noise: &[f32],
    n: usize,
    (place, n_steps): (usize, usize),
) -> Result<()> {
    for (sample, noise) in noise.chunks_exact(n).enumerate() {
        let first = &states[(sample * n_steps + place) * n..][..n];
        let squares: f64 = first.iter().zip(noise).map(|(a, b)| f64::from(a - b).powi(2)).sum();
        let apart = (squares / n as f64).sqrt();
        ensure!(
            apart < 0.01,
            "the state of sample {sample} at t = 1 differs from its noise by {apart:.3} (root mean square): 'states' are x_t before \
             each step, at the times 't', and begin with 'noise'"
        );
    }
    Ok(())
}

fn attention(
    found: &Found,
    (n_samples, n_steps, n_pixels): (usize, usize, usize),
    config: &NetworkConfig,
) -> Result<Option<Array>> {
    let Some(array) = found.0.get("attention") else { return Ok(None) };
    let shape = array.shape();
    let is_right = shape.len() == 5
        && shape[..2] == [n_samples, n_steps]
        && shape[3..] == [n_pixels, n_pixels]
        && shape[2] > 0;
    ensure!(
        is_right,
        "array 'attention' is {shape:?}, but [{n_samples}, {n_steps}, heads, {n_pixels}, {n_pixels}] is expected: one map over \
         the pixels of the image for each sample, step and head"
    );
    let heads = config.attention.map_or(0, |layer| layer.heads);
    ensure!(
        heads == shape[2],
        "array 'attention' has {} heads, but the experiment says {heads}; set network.attention and network.heads in external.toml",
        shape[2]
    );
    for row in array.item(2, 0).chunks_exact(n_pixels) {
        let sum: f64 = row.iter().map(|&weight| f64::from(weight)).sum();
        ensure!(
            (sum - 1.0).abs() < 0.02,
            "a row of array 'attention' sums to {sum:.3}, not to 1: weights are [.., query pixel, attended pixel]"
        );
    }
    Ok(Some(array.clone()))
}

fn labels(found: &Found, n_samples: usize, n_classes: Option<usize>) -> Result<Option<Vec<u32>>> {
    let Some(n_classes) = n_classes else { return Ok(None) };
    let array = found.needed("labels").context("the experiment's network is class-conditional")?;
    let labels = array.i64_values().map_err(|problem| anyhow!("array 'labels': {problem}"))?;
    ensure!(
        labels.len() == n_samples,
        "array 'labels' holds {} labels for {n_samples} samples",
        labels.len()
    );
    let label = |(i, label): (usize, i64)| {
        let known = u32::try_from(label).ok().filter(|label| (*label as usize) < n_classes);
        known.with_context(|| {
            format!(
                "label {i} is '{label}', but the data set has the classes 0 to {}",
                n_classes - 1
            )
        })
    };
    labels.into_iter().enumerate().map(label).collect::<Result<Vec<u32>>>().map(Some)
}
