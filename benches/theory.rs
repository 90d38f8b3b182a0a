//! One bench per machine: the posterior of one 32x32 image against 256, at a middle and a low noise level.
//!
//! `cargo bench --bench theory -- els/k7` runs those whose name contains `els/k7`. For whole data sets,
//! memory and CPU time see `mosaic bench theory`.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use mosaic_lab::diffusion::{Denoiser, Schedule};
use mosaic_lab::image::{ImageBatch, ImageShape};
use mosaic_lab::random::noise_seeds;
use mosaic_lab::theory::machine_spec::{MachineKind, MachineSpec, PatchSize};
use mosaic_lab::theory::{Machine, Precision, TrainingImages};

const SHAPE: ImageShape = ImageShape { channels: 1, height: 32, width: 32 };
const N: usize = 256;

/// Smooth blobs in noise: the same on every machine.
fn images() -> Arc<TrainingImages> {
    let noise = noise_seeds(7, 0, N, SHAPE);
    let byte = |(i, noise): (usize, &f64)| {
        let (image, p) = (i / SHAPE.n_values(), i % SHAPE.n_values());
        let (row, column) = ((p / SHAPE.width) as f64, (p % SHAPE.width) as f64);
        let angle = image as f64;
        let blob = (0.3 * row + angle.sin()).sin() * (0.25 * column + angle.cos()).cos();
        (127.5 + 100.0 * blob + 10.0 * noise).clamp(0.0, 255.0) as u8
    };
    let pixels: Vec<u8> = noise.values().iter().enumerate().map(byte).collect();
    Arc::new(TrainingImages::from_bytes(SHAPE, pixels).expect("whole images"))
}

fn query(images: &TrainingImages, t: f64) -> ImageBatch {
    let level = Schedule::Cosine.level(t);
    let noise = noise_seeds(1, 0, 1, SHAPE);
    let values = images.values(0..1);
    let pairs = values.iter().zip(noise.values());
    let x = pairs.map(|(phi, eps)| level.signal() * phi + level.sigma() * eps).collect();
    ImageBatch::new(SHAPE, x)
}

fn machines(c: &mut Criterion) {
    let images = images();
    for name in MachineKind::names() {
        let kind = MachineKind::parse(name).expect("a name of the table");
        let sides: &[usize] = if kind.uses_patches() { &[3, 7, 15] } else { &[1] };
        let mut group = c.benchmark_group(name);
        group.sample_size(10);
        for &k in sides {
            let spec = MachineSpec::new(kind.clone(), PatchSize::Fixed(k));
            let machine = Machine::new(spec, images.clone(), Precision::F32, None)
                .expect("every machine of the table fits these images");
            for t in [0.5, 0.1] {
                let (x, level) = (query(&images, t), Schedule::Cosine.level(t));
                let id = if kind.uses_patches() { format!("k{k} t{t}") } else { format!("t{t}") };
                group.bench_function(id, |bencher| {
                    bencher.iter(|| black_box(machine.denoise(&x, level).expect("a sound query")));
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, machines);
criterion_main!(benches);
