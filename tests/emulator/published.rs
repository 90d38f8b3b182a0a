//! The machines with masks and with overlapping crops, on emulated GPUs.

use std::sync::Arc;

use mosaic_lab::diffusion::{Denoiser, Schedule};
use mosaic_lab::image::{ImageBatch, ImageShape};
use mosaic_lab::theory::gpu::kernel_choice::Module;
use mosaic_lab::theory::machine_spec::{MachineKind, MachineSpec, Scheduled};
use mosaic_lab::theory::{Machine, Precision, TrainingImages};

use crate::attention::{dictionaries, worst};
use crate::gpu::{EmulatedGpu, Trouble, program};
use crate::{fastest, random, values};

#[test]
fn masks_show_on_gpus_what_they_show_on_the_cpu() {
    check(
        &[0.02, 0.15].map(|threshold| {
            MachineSpec::new(MachineKind::Masked { threshold }, Scheduled::Fixed(1))
        }),
    );
}

#[test]
fn crops_mix_on_gpus_to_what_they_mix_to_on_the_cpu() {
    check(&[1, 3, 5].map(|k| MachineSpec::new(MachineKind::Composite, Scheduled::Fixed(k))));
}

fn check(specs: &[MachineSpec]) {
    if program(Module::General).is_none() {
        return;
    }
    // In one load, streamed, and with launches that do not fit; more values than rows in a product's block, and
    // fewer images.
    let gpus = [
        EmulatedGpu { n_blocks: 5, ..fastest() },
        EmulatedGpu { room: 1000, ..fastest() },
        EmulatedGpu { trouble: Trouble::ImagesAtMost(7), ..fastest() },
    ];
    for (shape, gpu, n_gpus) in [
        (ImageShape::new(3, 8, 6), &gpus[0], 1),
        (ImageShape::new(1, 5, 9), &gpus[1], 2),
        (ImageShape::new(2, 5, 3), &gpus[2], 1),
    ] {
        let all = dictionaries(shape, 50, &vec![gpu.clone(); n_gpus]);
        let noise = values(&mut random(4), 3 * shape.n_values());
        for spec in specs.iter().filter(|spec| suits(spec, shape)) {
            let denoise = |images: &Arc<TrainingImages>, t| {
                let level = Schedule::default().level(t);
                let noisy = |(phi, &noise): (f64, &f32)| {
                    level.signal() * phi + level.sigma() * f64::from(noise)
                };
                let x = images.values(20..23).into_iter().zip(&noise).map(noisy).collect();
                let machine = Machine::new(spec.clone(), images.clone(), Precision::F32, None);
                let machine = machine.unwrap().with_posterior(true);
                machine.denoise(&ImageBatch::new(shape, x), level).unwrap()
            };
            for t in [0.1, 0.5, 0.9] {
                let (found, expected) = (denoise(&all.on_gpu, t), denoise(&all.plain, t));
                let mean = worst(found.x0.values(), expected.x0.values());
                let (found, expected) = (found.posterior.unwrap(), expected.posterior.unwrap());
                let entropy = worst(&found.entropy_nats, &expected.entropy_nats);
                let label = format!("{shape}, {spec:?}, t = {t}: {mean:e} {entropy:e}");
                assert!(mean < 2e-5 && entropy < 2e-5, "{label}");
                assert_eq!(found.provenance, expected.provenance, "{label}");
            }
        }
        assert!(!gpu.seen.lock().unwrap().launches.is_empty());
        assert_eq!(*all.reports.lock().unwrap(), Vec::<String>::new());
    }
}

fn suits(spec: &MachineSpec, shape: ImageShape) -> bool {
    *spec.k.at(0.5) <= shape.height.min(shape.width)
}
