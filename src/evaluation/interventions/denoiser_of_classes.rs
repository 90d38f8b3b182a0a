//! One denoiser out of one for each class, by the classes of noise seeds.

use crate::diffusion::{Attending, AttentionMaps, DenoiseError, Denoised, Denoiser, NoiseLevel};
use crate::image::ImageBatch;
use crate::theory::Machine;

/// Score machines over the training images of each class; without classes there is one.
pub struct MachineOfClasses {
    /// In the order of classes, at least one.
    machines: Vec<Machine>,
    /// The noise seed of the first image of a batch: seed i is of class `i mod n_classes`.
    first_seed: u64,
}

impl MachineOfClasses {
    /// The machines for batches of consecutive noise seeds from `first_seed` on; `None` without machines.
    pub fn new(machines: Vec<Machine>, first_seed: u64) -> Option<Self> {
        (!machines.is_empty()).then_some(Self { machines, first_seed })
    }

    /// Parts of a batch of `n` images that are of one class, each with its machine: (first image, number, machine).
    fn parts(&self, n: usize) -> impl Iterator<Item = (usize, usize, &Machine)> {
        let each = if self.machines.len() > 1 { 1 } else { n.max(1) };
        (0..n).step_by(each).map(move |at| {
            let class = (self.first_seed + at as u64) % self.machines.len() as u64;
            (at, each.min(n - at), &self.machines[class as usize])
        })
    }
}

impl Denoiser for MachineOfClasses {
    fn denoise(&self, x: &ImageBatch, level: NoiseLevel) -> Result<Denoised, DenoiseError> {
        let mut x0 = ImageBatch::zeros(x.shape(), 0);
        for (at, n, machine) in self.parts(x.len()) {
            x0.append(&machine.denoise(&x.slice(at, n), level)?.x0);
        }
        Ok(Denoised::plain(x0))
    }
}

impl Attending for MachineOfClasses {
    /// `None` if the machine of any class does not attend.
    fn own_maps(
        &self,
        x: &ImageBatch,
        level: NoiseLevel,
    ) -> Result<Option<AttentionMaps>, DenoiseError> {
        let mut n_heads = 1;
        let mut weights = Vec::new();
        for (at, n, machine) in self.parts(x.len()) {
            let Some(maps) = machine.own_maps(&x.slice(at, n), level)? else { return Ok(None) };
            n_heads = maps.n_heads();
            weights.extend_from_slice(maps.weights());
        }
        Ok(Some(AttentionMaps::new(n_heads, x.shape().n_pixels(), weights)))
    }

    fn denoise_with_maps(
        &self,
        x: &ImageBatch,
        level: NoiseLevel,
        maps: &AttentionMaps,
    ) -> Result<Denoised, DenoiseError> {
        let mut x0 = ImageBatch::zeros(x.shape(), 0);
        for (at, n, machine) in self.parts(x.len()) {
            let maps = maps.slice(at, n);
            x0.append(&machine.denoise_with_maps(&x.slice(at, n), level, &maps)?.x0);
        }
        Ok(Denoised::plain(x0))
    }
}
