//! Predictions on a GPU for sampling: one architecture, any weights, any number of images.
//!
//! Forward passes for a few batch sizes, powers of two, are kept on the GPU; smaller batches are padded with zeros. If a
//! pass does not fit into memory, the batch size is halved.

use std::sync::{Arc, Mutex, PoisonError};

use super::compute_type::ComputeType;
use super::cuda_engine::{Engine, Segment};
use super::error::EngineError;
use super::parameter_layout::Parameter;
use super::sampling_commands::GpuForward;
use crate::network::attention_layer::AttentionDetail;
use crate::network::network_config::NetworkConfig;
use crate::network::ops::attention_statistics::N_FIGURES;

/// Forward passes that are kept on the GPU.
const KEPT: usize = 4;
/// Most values of the activations and recorded maps of a pass.
const VALUES: usize = 1 << 26;
const IMAGES_MAX: usize = 64;

/// Parameters in the order of the GPU.
pub struct Weights(Vec<f32>);

/// The prediction for some images.
#[derive(Default)]
pub struct Predicted {
    /// `eps_hat` [B, C, H, W].
    pub eps: Vec<f64>,
    /// Statistics as in [`crate::network::ops::attention_statistics`], `[B, heads, 4, P]`; empty unless recorded.
    pub figures: Vec<f32>,
    /// Attention maps, `[B, heads, P, P]`; empty unless recorded.
    pub maps: Vec<f32>,
}

/// Noisy images, `[B, C, H, W]`, at one time.
#[derive(Clone, Copy)]
pub struct Query<'a> {
    pub t: f64,
    pub x: &'a [f32],
    pub labels: Option<&'a [u32]>,
    pub detail: AttentionDetail,
}

/// One architecture on one GPU. Memory is allocated at the first prediction.
pub struct Predictor {
    ordinal: usize,
    network: NetworkConfig,
    parameters: Vec<Parameter>,
    n_parameters: usize,
    passes: Mutex<Passes>,
}

struct Passes {
    /// In the order of their last use.
    ready: Vec<Pass>,
    images_max: usize,
}

struct Pass {
    forward: GpuForward,
    detail: AttentionDetail,
    engine: Engine,
    segment: Segment,
    weights: Option<Arc<Weights>>,
}

impl Predictor {
    /// A predictor on GPU `ordinal`; `None` if the network is not supported on GPUs.
    pub fn new(ordinal: usize, network: &NetworkConfig) -> Option<Self> {
        let one = GpuForward::new(network, 1, AttentionDetail::Nothing).ok()?;
        Some(Self {
            ordinal,
            network: network.clone(),
            parameters: one.parameters,
            n_parameters: one.n_parameters,
            passes: Mutex::new(Passes { ready: Vec::new(), images_max: IMAGES_MAX }),
        })
    }

    /// Weights in the order of the GPU; `value` returns those of a name.
    ///
    /// # Errors
    ///
    /// Those of `value`.
    pub fn weights<E>(&self, value: impl Fn(&str) -> Result<Vec<f32>, E>) -> Result<Weights, E> {
        let mut all = vec![0.0; self.n_parameters];
        for parameter in &self.parameters {
            parameter.to_gpu(&value(&parameter.name)?, &mut all);
        }
        Ok(Weights(all))
    }

    /// Most images of a pass.
    pub fn images_max(&self, detail: AttentionDetail) -> usize {
        let n_pixels = self.network.image.n_pixels();
        let features = self.network.n_features() * n_pixels;
        let maps = self.network.attention.filter(|_| detail == AttentionDetail::Maps);
        let maps = maps.map_or(0, |attention| attention.heads * n_pixels * n_pixels);
        let most = (VALUES / (8 * features + maps)).clamp(1, IMAGES_MAX);
        // Rounded down to a power of two.
        1 << most.ilog2()
    }

    /// The prediction of the network with these weights.
    ///
    /// # Errors
    ///
    /// If the GPU fails or has no memory for even one image.
    pub fn predict(
        &self,
        weights: &Arc<Weights>,
        query: Query<'_>,
    ) -> Result<Predicted, EngineError> {
        let n_values = self.network.image.n_values();
        let n = query.x.len() / n_values;
        let mut passes = self.passes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = Predicted::default();
        let mut done = 0;
        while done < n {
            let most = self.images_max(query.detail).min(passes.images_max);
            let images = (n - done).min(most);
            let index = match passes.take(self, images.next_power_of_two(), query.detail) {
                Err(EngineError::OutOfMemory { .. }) if passes.halve(images) => continue,
                index => index?,
            };
            let labels = query.labels.map(|labels| &labels[done..done + images]);
            let x = &query.x[done * n_values..(done + images) * n_values];
            let query = Query { x, labels, ..query };
            passes.ready[index].predict(weights, query, images, &mut all)?;
            done += images;
        }
        Ok(all)
    }
}

impl Passes {
    /// The index of the pass for `batch` images, created if it is not kept.
    fn take(
        &mut self,
        of: &Predictor,
        batch: usize,
        detail: AttentionDetail,
    ) -> Result<usize, EngineError> {
        let is_it = |pass: &Pass| pass.forward.batch == batch && pass.detail == detail;
        let pass = match self.ready.iter().position(is_it) {
            Some(index) => self.ready.remove(index),
            None => {
                if self.ready.len() == KEPT {
                    self.ready.remove(0);
                }
                Pass::new(of, batch, detail)?
            }
        };
        self.ready.push(pass);
        Ok(self.ready.len() - 1)
    }

    /// Frees all passes and halves the largest batch size; returns false if it was one.
    fn halve(&mut self, images: usize) -> bool {
        self.ready.clear();
        self.images_max = images.next_power_of_two() / 2;
        self.images_max > 0
    }
}

impl Pass {
    fn new(of: &Predictor, batch: usize, detail: AttentionDetail) -> Result<Self, EngineError> {
        let forward = GpuForward::new(&of.network, batch, detail)
            .map_err(|problem| EngineError::TooLarge { problem })?;
        // As exact as the CPU: what networks make is compared with theory.
        let compute_type = ComputeType::F32;
        #[expect(unsafe_code, reason = "the contract of `Engine::new`")]
        // SAFETY: the commands are those that `GpuForward::new` made over this very plan; its kernels stay inside their
        // buffers, as `tests/emulator/predictions.rs` checks for every kind of network.
        let (engine, [segment]) = unsafe {
            Engine::new(of.ordinal, forward.plan.clone(), [&forward.commands[..]], compute_type)
        }?;
        Ok(Self { forward, detail, engine, segment, weights: None })
    }

    fn predict(
        &mut self,
        weights: &Arc<Weights>,
        query: Query<'_>,
        images: usize,
        all: &mut Predicted,
    ) -> Result<(), EngineError> {
        let (forward, engine) = (&self.forward, &mut self.engine);
        if !self.weights.as_ref().is_some_and(|own| Arc::ptr_eq(own, weights)) {
            self.weights = None;
            engine.write(forward.weights, &weights.0)?;
            self.weights = Some(weights.clone());
        }
        let fill = |out: &mut [f32]| forward.fill(query.t, query.x, query.labels, out);
        engine.send(forward.inputs.x, forward.inputs.n_values, fill)?;
        engine.run(&mut self.segment)?;
        let output = engine.read(forward.output, forward.n_output)?;
        all.eps.extend(forward.eps(query.t, query.x, &output));
        if let Some(watch) = &forward.watch {
            let config = &forward.network;
            let n_pixels = config.image.n_pixels();
            let n_rows = images * config.attention.map_or(0, |a| a.heads) * n_pixels;
            all.figures.extend(engine.read(watch.figures, n_rows * N_FIGURES)?);
            if let Some(maps) = watch.maps {
                all.maps.extend(engine.read(maps, n_rows * n_pixels)?);
            }
        }
        Ok(())
    }
}
