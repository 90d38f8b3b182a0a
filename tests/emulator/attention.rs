//! The attention machine on emulated GPUs: per-image evidence, and the weighted mixture of images.

use std::sync::{Arc, Mutex};

use mosaic_lab::diffusion::{Denoised, Denoiser, NoiseLevel, Schedule};
use mosaic_lab::image::{ImageBatch, ImageShape};
use mosaic_lab::theory::attention_settings_sweep::Sweep;
use mosaic_lab::theory::cpu_kernels::PatchQuery;
use mosaic_lab::theory::evidence_in_portions::Portions;
use mosaic_lab::theory::gpu::kernel_choice::Module;
use mosaic_lab::theory::gpu::{Gpu, Gpus};
use mosaic_lab::theory::image_evidence::Evidence;
use mosaic_lab::theory::machine_spec::{
    AttentionSettings, AttentionSource, MachineKind, MachineSpec, Scheduled,
};
use mosaic_lab::theory::patch_pools_ls_els_bbels::Pool;
use mosaic_lab::theory::patch_window::PatchWindow;
use mosaic_lab::theory::{AttentionProvider, FixedAttention, Machine, Precision, TrainingImages};
use rand::RngExt;

use crate::gpu::{EmulatedGpu, Trouble, program};
use crate::{bytes, fastest, general, random, values};

pub struct Dictionaries {
    pub plain: Arc<TrainingImages>,
    pub on_gpu: Arc<TrainingImages>,
    pub reports: Arc<Mutex<Vec<String>>>,
}

pub fn dictionaries(shape: ImageShape, n: usize, gpus: &[EmulatedGpu]) -> Dictionaries {
    let (bytes, _) = bytes(&mut random(8), n * shape.n_values());
    let images = || TrainingImages::from_bytes(shape, bytes.clone()).unwrap();
    let reports = Arc::new(Mutex::new(Vec::new()));
    let told = reports.clone();
    let boxed = gpus.iter().map(|gpu| -> Box<dyn Gpu> { Box::new(gpu.clone()) }).collect();
    let gpus = Gpus::new(boxed, move |report| told.lock().unwrap().push(report.to_owned()));
    let on_gpu = Arc::new(images().with_gpus(Arc::new(gpus)));
    Dictionaries { plain: Arc::new(images()), on_gpu, reports }
}

pub fn worst(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn each_image_says_on_a_gpu_what_it_says_on_the_cpu() {
    if program(Module::General).is_none() {
        return;
    }
    let small = ImageShape::new(3, 8, 8);
    let odd = ImageShape::new(1, 5, 9);
    for (shape, k) in [(small, 3), (odd, 3), (odd, 1)] {
        for pool in Pool::ALL {
            for gpu in [fastest(), general()] {
                let all = dictionaries(shape, 13, &[gpu.clone(), gpu]);
                let x = values(&mut random(9), shape.n_values());
                let exact: Vec<f64> = x.iter().map(|&value| value.into()).collect();
                let query = PatchQuery {
                    shape,
                    pool,
                    k,
                    window: PatchWindow::Square,
                    x: &x[..],
                    logit_scale: 0.8,
                };
                let on_gpu = Portions::new(&all.on_gpu, query);
                let on_cpu = Portions::new(&all.plain, query.with_values(&exact));
                on_gpu.each(|found| on_cpu.each(|expected| check(found, expected)));
                assert!(all.reports.lock().unwrap().is_empty());
            }
        }
    }
}

fn check(found: &Evidence, expected: &Evidence) {
    let log = worst(&found.log_evidence, &expected.log_evidence);
    let estimates = worst(&found.estimates, &expected.estimates);
    let entropies = worst(&found.inner_entropy, &expected.inner_entropy);
    assert!(
        log < 1e-3 && estimates < 2e-4 && entropies < 1e-3,
        "{log:e} {estimates:e} {entropies:e}"
    );
    for (found, expected) in found.inner_best.iter().zip(&expected.inner_best) {
        // Two patches may be equally near.
        assert!(found.0.image == expected.0.image && (found.1 - expected.1).abs() < 1e-3);
    }
}

const SOURCES: [AttentionSource; 6] = [
    AttentionSource::Measured,
    AttentionSource::Uniform,
    AttentionSource::Identity,
    AttentionSource::CoOrigin,
    AttentionSource::Similarity { tau: 0.3 },
    AttentionSource::Pooled,
];

/// Random attention maps with two heads.
fn maps(n_pixels: usize) -> Arc<dyn AttentionProvider> {
    let mut random = random(10);
    let mut weights = Vec::new();
    for _ in 0..2 * n_pixels {
        let row: Vec<f64> = (0..n_pixels).map(|_| random.random_range(0.0..1.0)).collect();
        let sum: f64 = row.iter().sum();
        weights.extend(row.into_iter().map(|weight| weight / sum));
    }
    Arc::new(FixedAttention::new(2, n_pixels, weights).unwrap())
}

fn denoised(
    images: &Arc<TrainingImages>,
    precision: Precision,
    settings: AttentionSettings,
    (x, level): (&ImageBatch, NoiseLevel),
) -> Denoised {
    let kind = MachineKind::Attention { pool: Pool::Wrap, settings: Scheduled::Fixed(settings) };
    let spec = MachineSpec::new(kind, Scheduled::Fixed(3));
    let maps = Some(maps(images.shape().n_pixels()));
    let machine = Machine::new(spec, images.clone(), precision, maps).unwrap();
    machine.with_posterior(true).denoise(x, level).unwrap()
}

#[test]
fn the_attention_machine_says_the_same_with_gpus_whatever_attention_comes_from() {
    if program(Module::General).is_none() {
        return;
    }
    let wide = ImageShape::new(1, 12, 12);
    let colour = ImageShape::new(3, 8, 8);
    // Matrix product tiles are 128 wide, so twelve by twelve pixels need more than one; 1,000 bytes of memory
    // force streaming.
    let few = Trouble::ImagesAtMost(3);
    for (shape, n, gpus, room, trouble) in
        [(wide, 9, 1, 1 << 20, few), (colour, 11, 2, 1000, Trouble::None)]
    {
        let gpu = EmulatedGpu { room, trouble, ..fastest() };
        let all = dictionaries(shape, n, &vec![gpu.clone(); gpus]);
        let x = values(&mut random(11), shape.n_values()).into_iter().map(f64::from).collect();
        let x = ImageBatch::new(shape, x);
        for source in SOURCES {
            for (t, lambda, gamma) in [(0.3, 0.0, 0.5), (0.6, 1.5, 0.0)] {
                let settings = AttentionSettings { lambda, gamma, source };
                let at = (&x, Schedule::Cosine.level(t));
                let before = gpu.seen.lock().unwrap().launches.len();
                let found = denoised(&all.on_gpu, Precision::F32, settings, at);
                assert!(gpu.seen.lock().unwrap().launches.len() > before, "no GPU was asked");
                let expected = denoised(&all.plain, Precision::F64, settings, at);
                let mean = worst(found.x0.values(), expected.x0.values());
                let attention = found.attention.unwrap().weights().to_vec();
                let maps = attention.iter().zip(expected.attention.unwrap().weights().to_vec());
                let maps = maps.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                let (found, expected) = (found.posterior.unwrap(), expected.posterior.unwrap());
                let entropy = worst(&found.entropy_nats, &expected.entropy_nats);
                assert!(
                    mean < 5e-4 && entropy < 3e-3 && maps < 1e-4,
                    "{source:?} t={t} {shape}: mean {mean:e} entropy {entropy:e} maps {maps:e}"
                );
                let pairs = found.provenance.iter().zip(&expected.provenance);
                let moved = pairs.filter(|(a, b)| a != b).count();
                assert!(moved * 50 <= shape.n_pixels(), "{source:?}: {moved} have another origin");
            }
        }
        assert_eq!(*all.reports.lock().unwrap(), Vec::<String>::new());
    }
}

#[test]
fn a_sweep_over_settings_says_the_same_with_gpus() {
    if program(Module::General).is_none() {
        return;
    }
    let shape = ImageShape::new(3, 6, 8);
    let gpu = fastest();
    let all = dictionaries(shape, 10, std::slice::from_ref(&gpu));
    let x: Vec<f64> =
        values(&mut random(13), shape.n_values()).into_iter().map(f64::from).collect();
    let level = Schedule::Cosine.level(0.4);
    let run = |images: &TrainingImages| {
        let (pool, window) = (Pool::Wrap, PatchWindow::Square);
        let sweep = Sweep { images, pool, k: 3, window, level, x: &x, maps: None };
        let sources = [AttentionSource::Uniform, AttentionSource::Similarity { tau: 0.3 }];
        let mixtures = sweep.mixtures(&sources, &[0.0, 1.0, 4.0]);
        let leading = sweep.leading(AttentionSource::Uniform, 1.0, 3);
        (mixtures, leading)
    };
    let ((found, found_leading), (expected, expected_leading)) =
        (run(&all.on_gpu), run(&all.plain));
    for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
        assert!(worst(&found.z, &expected.z) < 5e-4);
        assert!(worst(&found.attended, &expected.attended) < 5e-4);
    }
    for (found, expected) in found_leading.iter().zip(&expected_leading) {
        assert!(found[0].0 == expected[0].0 && (found[0].1 - expected[0].1).abs() < 2e-3);
    }
    // The mixture without attention, then three lambdas per source; evidence for the leading images.
    assert!(gpu.seen.lock().unwrap().launches.len() >= 7);
    assert!(all.reports.lock().unwrap().is_empty());
}

#[test]
fn images_of_four_channels_are_mixed_on_the_cpu_by_what_gpus_say() {
    if program(Module::General).is_none() {
        return;
    }
    let shape = ImageShape::new(4, 4, 6);
    let all = dictionaries(shape, 7, &[fastest()]);
    let x = values(&mut random(12), shape.n_values()).into_iter().map(f64::from).collect();
    let x = ImageBatch::new(shape, x);
    let settings = AttentionSettings { lambda: 1.0, gamma: 0.2, source: AttentionSource::Uniform };
    let at = (&x, Schedule::Cosine.level(0.5));
    let found = denoised(&all.on_gpu, Precision::F32, settings, at);
    let expected = denoised(&all.plain, Precision::F64, settings, at);
    assert!(worst(found.x0.values(), expected.x0.values()) < 5e-4);
    assert!(all.reports.lock().unwrap().is_empty());
}
