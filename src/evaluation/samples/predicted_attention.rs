//! Attention that machines predict from the training images alone, without a network.

use super::machine_set::MachineSet;
use crate::diffusion::{AttentionStatistics, DenoiseError, Denoiser, Grid, NoiseLevel};
use crate::image::ImageBatch;

impl MachineSet {
    /// Attention statistics of every machine that predicts attention, by name, on noisy images `x` `[B, C, H, W]`.
    /// `labels` are the images' classes where the set has one dictionary per class.
    ///
    /// # Errors
    ///
    /// If a machine cannot denoise the images, for instance because they have another shape.
    pub fn predicted_attention(
        &self,
        x: &ImageBatch,
        labels: &[u32],
        level: NoiseLevel,
        grid: Grid,
    ) -> Result<Vec<(String, AttentionStatistics)>, DenoiseError> {
        let mut all = Vec::new();
        for entry in self.entries.iter().filter(|entry| entry.predicts_attention()) {
            let mut found = AttentionStatistics::default();
            for index in 0..x.len() {
                let class = labels.get(index).map_or(0, |&label| label as usize);
                let ready = entry.ready.get(class).or(entry.ready.first());
                let Some(machine) = ready else { continue };
                let machine = machine.clone().with_posterior(true);
                let maps = machine.denoise(&x.slice(index, 1), level)?.attention;
                if let Some(one) = maps.and_then(|maps| AttentionStatistics::of_maps(&maps, grid)) {
                    found.merge(&one);
                }
            }
            all.push((entry.machine.name.clone(), found));
        }
        Ok(all)
    }
}
