//! The tensors that `mosaic denoise` writes: `x0`, `eps`, `score`, and the posterior of machines that have one.

use clap::ValueEnum;
use safetensors::Dtype;

use crate::arrays::safetensors_file::Array;
use crate::diffusion::{Denoised, NoiseLevel};
use crate::image::{ImageBatch, ImageShape};

/// Element type of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputType {
    F32,
    F64,
}

/// The output for noisy images `x`.
pub fn output_tensors(
    x: &ImageBatch,
    denoised: &Denoised,
    level: NoiseLevel,
    dtype: OutputType,
) -> Vec<Array> {
    let ImageShape { channels, height, width } = x.shape();
    let images = vec![x.len(), channels, height, width];
    let pixels = vec![x.len(), height, width];
    let float = |name: &str, shape: &[usize], values: &[f64]| match dtype {
        OutputType::F32 => {
            let bytes = values.iter().flat_map(|&v| (v as f32).to_le_bytes()).collect();
            (name.to_owned(), Dtype::F32, shape.to_vec(), bytes)
        }
        OutputType::F64 => {
            let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            (name.to_owned(), Dtype::F64, shape.to_vec(), bytes)
        }
    };
    let mut tensors = vec![
        float("x0", &images, denoised.x0.values()),
        float("eps", &images, denoised.eps(x, level).values()),
        float("score", &images, denoised.score(x, level).values()),
    ];
    if let Some(posterior) = &denoised.posterior {
        tensors.push(float("entropy", &pixels, &posterior.entropy_nats));
        let places = posterior.provenance.iter().flat_map(|place| {
            [i64::from(place.image), i64::from(place.row), i64::from(place.column)]
        });
        let bytes = places.flat_map(i64::to_le_bytes).collect();
        let sizes = [&pixels[..], &[3]].concat();
        tensors.push(("provenance".to_owned(), Dtype::I64, sizes, bytes));
        if !posterior.symmetries.is_empty() {
            let numbers = posterior.symmetries.iter().map(|symmetry| i64::from(symmetry.number()));
            let bytes = numbers.flat_map(i64::to_le_bytes).collect();
            tensors.push(("symmetry".to_owned(), Dtype::I64, pixels, bytes));
        }
    }
    tensors
}
