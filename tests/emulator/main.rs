//! The CUDA kernels without a GPU: the files that nvcc compiles are run by a C compiler on the CPU
//! (`emulator.h`) and compared with the specification. Covers everything between the kernels and a machine,
//! with GPUs that fail on purpose.

#[path = "../common/skip.rs"]
mod skip;
mod attention;

mod gpu;

mod predictions;
mod published;
mod rounded;
mod steps;

use std::sync::{Arc, Mutex};

use gpu::{Choice, EmulatedGpu, Trouble, program};
use mosaic_lab::diffusion::{Denoiser, Schedule};
use mosaic_lab::image::{Augmentation, ImageBatch, ImageShape, from_byte};
use mosaic_lab::theory::cpu_kernels::{PatchQuery, reference};
use mosaic_lab::theory::gpu::kernel_choice::Module;
use mosaic_lab::theory::gpu::launch_arguments::Launch;
use mosaic_lab::theory::gpu::{Gpu, GpuPixels, Gpus};
use mosaic_lab::theory::machine_spec::{
    AttentionSettings, AttentionSource, MachineKind, MachineSpec, Scheduled,
};
use mosaic_lab::theory::patch_pools_ls_els_bbels::Pool;
use mosaic_lab::theory::patch_window::PatchWindow;
use mosaic_lab::theory::posterior_weights::Accumulator;
use mosaic_lab::theory::{Machine, Precision, TrainingImages};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn random(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

fn values(random: &mut ChaCha8Rng, n: usize) -> Vec<f32> {
    (0..n).map(|_| random.random_range(-1.5..1.5_f32)).collect()
}

/// Images of random bytes, and the floats that they represent.
fn bytes(random: &mut ChaCha8Rng, n: usize) -> (Vec<u8>, Vec<f32>) {
    let bytes: Vec<u8> = (0..n).map(|_| random.random()).collect();
    let values = bytes.iter().map(|&b| from_byte(b) as f32).collect();
    (bytes, values)
}

struct Case {
    shape: ImageShape,
    pool: Pool,
    k: usize,
    logit_scale: f64,
    queries: Vec<Vec<f32>>,
    bytes: Vec<u8>,
    images: Vec<f32>,
}

impl Case {
    fn random(
        seed: u64,
        shape: ImageShape,
        (pool, k): (Pool, usize),
        logit_scale: f64,
        (n_queries, n_images): (usize, usize),
    ) -> Self {
        let random = &mut random(seed);
        let queries = (0..n_queries).map(|_| values(random, shape.n_values())).collect();
        let (bytes, images) = bytes(random, n_images * shape.n_values());
        Self { shape, pool, k, logit_scale, queries, bytes, images }
    }

    fn query<'a>(&self, x: &'a [f32]) -> PatchQuery<'a, f32> {
        PatchQuery {
            shape: self.shape,
            pool: self.pool,
            k: self.k,
            window: PatchWindow::Square,
            x,
            logit_scale: self.logit_scale,
        }
    }

    fn specified(&self, x: &[f32]) -> Accumulator {
        let mut all = Accumulator::new(self.shape.channels, self.shape.n_pixels());
        reference::accumulate(&self.query(x), &self.images, 0, &mut all);
        all
    }

    /// Checks a GPU's results for these images as bytes and as floats; `cuts` splits them into several
    /// launches.
    fn check(&self, gpu: &EmulatedGpu, cuts: &[usize]) {
        self.check_pixels(gpu, cuts, GpuPixels::Bytes(&self.bytes));
        self.check_pixels(gpu, cuts, GpuPixels::Singles(&self.images));
    }

    fn check_pixels(&self, gpu: &EmulatedGpu, cuts: &[usize], pixels: GpuPixels<'_>) {
        let found = self.found(gpu, cuts, pixels, false);
        for (x, found) in self.queries.iter().zip(&found) {
            self.check_query(x, found, gpu);
        }
    }

    /// Checks the kernels that omit entropy and nearest entry.
    fn check_mean(&self, gpu: &EmulatedGpu, cuts: &[usize]) {
        let pixels = GpuPixels::Bytes(&self.bytes);
        let found = self.found(gpu, cuts, pixels, true);
        let launches = gpu.seen.lock().unwrap().launches.clone();
        let name = launches.last().unwrap();
        assert!(name.starts_with("strip_mean") || name.ends_with("4096"), "{launches:?}");
        for (x, found) in self.queries.iter().zip(&found) {
            self.check_sums(found, &self.specified(x), gpu);
        }
    }

    fn found(
        &self,
        gpu: &EmulatedGpu,
        cuts: &[usize],
        pixels: GpuPixels<'_>,
        mean_only: bool,
    ) -> Vec<Accumulator> {
        let (loaded, is_bytes) = (gpu.load(pixels).unwrap(), pixels.is_bytes());
        let n_images = self.images.len() / self.shape.n_values();
        let new = || Accumulator::new(self.shape.channels, self.shape.n_pixels());
        let mut all: Vec<Accumulator> = self.queries.iter().map(|_| new()).collect();
        let mut first = 0;
        for end in cuts.iter().copied().chain([n_images]) {
            let query = self.query(&self.queries[0]);
            let launch = Launch::new(&query, first..end, first, n_images, is_bytes);
            let launch = Launch { mean_only, ..launch };
            launch.merge(&loaded.posteriors(&launch, &self.queries.concat()).unwrap(), &mut all);
            first = end;
        }
        all
    }

    /// Checks mean and log-sum-exp.
    fn check_sums(&self, found: &Accumulator, specified: &Accumulator, gpu: &EmulatedGpu) {
        let label = self.label(gpu);
        let pairs = found.mean().into_iter().zip(specified.mean());
        let mean = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        // Logits are float distances, so errors are relative to their magnitude.
        let logs = (0..specified.n_pixels()).map(|p| {
            let expected = specified.log_sum(p);
            (found.log_sum(p) - expected).abs() / (1.0 + expected.abs())
        });
        let log = logs.fold(0.0, f64::max);
        assert!(mean < 2e-4 && log < 1e-5, "{label}: mean {mean:e} log {log:e}");
    }

    fn label(&self, gpu: &EmulatedGpu) -> String {
        format!(
            "{:?} {:?} k={} logit_scale {} {:?}",
            self.shape, self.pool, self.k, self.logit_scale, gpu.choice
        )
    }

    fn check_query(&self, x: &[f32], found: &Accumulator, gpu: &EmulatedGpu) {
        let label = self.label(gpu);
        let specified = self.specified(x);
        self.check_sums(found, &specified, gpu);
        let pixels = || 0..specified.n_pixels();
        let entropies = pixels().map(|p| (found.entropy(p) - specified.entropy(p)).abs());
        let entropy = entropies.fold(0.0, f64::max);
        assert!(entropy < 1e-3, "{label}: entropy {entropy:e}");
        for p in pixels().filter(|&p| found.best[p] != specified.best[p]) {
            // Single byte-valued pixels may be equally near; any nearest one is correct.
            let image = found.best[p].image as usize * self.shape.n_values();
            let image = &self.images[image..image + self.shape.n_values()];
            let mut alone = Accumulator::new(self.shape.channels, self.shape.n_pixels());
            reference::accumulate(&self.query(x), image, 0, &mut alone);
            let is_nearest = (alone.max[p] - specified.max[p]).abs() < 1e-9;
            assert!(self.k == 1 && is_nearest, "{label}: provenance of pixel {p}");
        }
    }
}

fn general() -> EmulatedGpu {
    EmulatedGpu::new("general", Choice::General)
}

fn fastest() -> EmulatedGpu {
    EmulatedGpu::new("fastest", Choice::Fastest)
}

#[test]
fn what_measures_a_gpu_does_what_is_counted() {
    let Some(program) = gpu::compiled("ceilings.c", "ceilings", &[]) else { return };
    let output = gpu::run(&program, Vec::new()).unwrap();
    let values: Vec<f32> =
        output.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let (copied, sums) = values.split_at(4000);
    assert!(copied.iter().enumerate().all(|(i, value)| *value == i as f32));
    let (multiplied, raised) = sums.split_at(128);
    for thread in 0..128 {
        let x = (thread % 32) as f32;
        let chain =
            |first: f32, step: fn(f32, f32) -> f32| (0..5).fold(first, |value, _| step(value, x));
        let expected: f32 =
            (0..8).map(|i| chain(i as f32, |value, x| value.mul_add(0.999, 1e-3 * x))).sum();
        assert!((multiplied[thread] - expected).abs() < 1e-4, "{expected}");
        let first = |i: usize| -0.1 * i as f32 - 1e-3 * x;
        let expected: f32 = (0..8).map(|i| chain(first(i), |value, _| (-value).exp2())).sum();
        assert!((raised[thread] - expected).abs() < 1e-4, "{expected}");
    }
}

#[test]
fn the_general_kernel_agrees_with_the_specification_on_every_dictionary() {
    if program(Module::General).is_none() {
        return;
    }
    let shapes = [(1, 1, 1), (1, 5, 7), (3, 8, 8), (2, 9, 4), (4, 6, 11)];
    for (seed, &(channels, height, width)) in shapes.iter().enumerate() {
        let shape = ImageShape::new(channels, height, width);
        for pool in Pool::ALL {
            for k in [1, 3, 5, 9, 13] {
                if pool == Pool::Interior && k > height.min(width) {
                    continue;
                }
                let logit_scale = [0.02, 0.4, 6.0][(seed + k) % 3];
                let case = Case::random(seed as u64, shape, (pool, k), logit_scale, (2, 5));
                case.check(&general(), &[]);
            }
        }
    }
}

#[test]
fn kernels_of_small_images_agree_with_the_specification_on_every_dictionary() {
    if program(Module::General).is_none() {
        return;
    }
    // Rows of 4 to 20 lanes, one to four groups of rows per warp, with lanes and groups left over.
    let shapes = [(1, 8, 8), (3, 8, 16), (3, 16, 12), (1, 20, 40), (1, 28, 28)];
    for (seed, &(channels, height, width)) in shapes.iter().enumerate() {
        let shape = ImageShape::new(channels, height, width);
        for pool in Pool::ALL {
            for k in [3, 5, 7, 9, 15] {
                if k > height.min(width) || (width > 16 && (pool, k) != (Pool::Wrap, 7)) {
                    continue;
                }
                let logit_scale = [0.02, 0.4, 6.0][(seed + k) % 3];
                let gpu = fastest();
                let case = Case::random(seed as u64, shape, (pool, k), logit_scale, (1, 2));
                // Kernels treat bytes and floats alike, reading them once per image, so each case tests one of
                // them.
                let is_bytes = (seed + k / 2).is_multiple_of(2);
                case.check_pixels(
                    &gpu,
                    &[],
                    if is_bytes {
                        GpuPixels::Bytes(&case.bytes)
                    } else {
                        GpuPixels::Singles(&case.images)
                    },
                );
                let name = if pool == Pool::Wrap { "strip_whole" } else { "strip_some" };
                if pool == Pool::Wrap {
                    case.check_mean(&fastest(), &[1]);
                }
                let seen = gpu.seen.lock().unwrap();
                assert!(seen.launches.iter().all(|f| f.starts_with(name)), "{:?}", seen.launches);
            }
        }
    }
}

#[test]
fn images_of_more_than_1024_pixels_agree_with_the_specification() {
    if program(Module::General).is_none() {
        return;
    }
    for (shape, k) in [((1, 36, 30), 3), ((1, 17, 64), 3)] {
        let shape = ImageShape::new(shape.0, shape.1, shape.2);
        for gpu in [fastest(), general()] {
            let case = Case::random(1, shape, (Pool::Interior, k), 0.5, (1, 2));
            case.check_pixels(&gpu, &[], GpuPixels::Bytes(&case.bytes));
        }
    }
}

#[test]
fn low_noise_many_images_and_several_launches_lose_no_digit() {
    if program(Module::General).is_none() {
        return;
    }
    for logit_scale in [1e-4, 1.0, 40.0, 3000.0] {
        let odd = ImageShape::new(3, 6, 6);
        let case = Case::random(5, odd, (Pool::Wrap, 3), logit_scale, (2, 60));
        // More blocks than images, fewer threads than pixels, and uneven splits.
        for (n_threads, n_blocks, cuts) in [(36, 1, &[][..]), (9, 7, &[1, 50]), (64, 80, &[30])] {
            case.check(&EmulatedGpu { n_threads: Some(n_threads), n_blocks, ..general() }, cuts);
        }
        let even = ImageShape::new(3, 8, 4);
        let case = Case::random(6, even, (Pool::Wrap, 3), logit_scale, (2, 60));
        for (n_blocks, cuts) in [(1, &[][..]), (7, &[1, 50]), (80, &[30])] {
            case.check(&EmulatedGpu { n_blocks, ..fastest() }, cuts);
            case.check_mean(&EmulatedGpu { n_blocks, ..fastest() }, cuts);
        }
    }
}

/// A machine over random bytes, with and without GPUs, and the GPUs' reports.
struct Setting {
    plain: Machine,
    on_gpu: Machine,
    reports: Arc<Mutex<Vec<String>>>,
}

fn setting(kind: MachineKind, gpus: &[EmulatedGpu]) -> Setting {
    let shape = ImageShape::new(1, 8, 8);
    let (bytes, _) = bytes(&mut random(3), 40 * shape.n_values());
    let images = || TrainingImages::from_bytes(shape, bytes.clone()).unwrap();
    let reports = Arc::new(Mutex::new(Vec::new()));
    let told = reports.clone();
    let boxed = gpus.iter().map(|gpu| -> Box<dyn Gpu> { Box::new(gpu.clone()) }).collect();
    let gpus = Gpus::new(boxed, move |report| told.lock().unwrap().push(report.to_owned()));
    let spec = MachineSpec::new(kind, Scheduled::Fixed(3));
    let machine = |images| {
        let machine = Machine::new(spec.clone(), Arc::new(images), Precision::F32, None).unwrap();
        machine.with_posterior(true)
    };
    Setting {
        plain: machine(images()),
        on_gpu: machine(images().with_gpus(Arc::new(gpus))),
        reports,
    }
}

impl Setting {
    /// Largest difference between the machine with GPUs and the one without.
    fn differences(&self) -> f64 {
        let shape = ImageShape::new(1, 8, 8);
        let mut random = random(4);
        let x = values(&mut random, 11 * shape.n_values()).into_iter().map(f64::from).collect();
        let x = ImageBatch::new(shape, x);
        let mut worst: f64 = 0.0;
        for t in [0.1, 0.5, 0.9] {
            let level = Schedule::default().level(t);
            let plain = self.plain.denoise(&x, level).unwrap();
            let on_gpu = self.on_gpu.denoise(&x, level).unwrap();
            let pairs = plain.x0.values().iter().zip(on_gpu.x0.values());
            worst = pairs.map(|(a, b)| (a - b).abs()).fold(worst, f64::max);
            let (plain, on_gpu) = (plain.posterior.unwrap(), on_gpu.posterior.unwrap());
            assert_eq!(plain.provenance, on_gpu.provenance);
        }
        worst
    }
}

#[test]
fn a_machine_says_the_same_on_one_gpu_and_on_three_streamed_through_or_not() {
    if program(Module::General).is_none() {
        return;
    }
    use MachineKind::{BoundaryBroken, EquivariantIdeal, EquivariantLocal, Ideal, Local};
    for kind in [EquivariantLocal, BoundaryBroken, Local, Ideal, EquivariantIdeal] {
        for (n_gpus, room) in [(1, 1 << 20), (3, 1 << 20), (2, 1000)] {
            let gpu = EmulatedGpu { room, ..fastest() };
            let setting = setting(kind.clone(), &vec![gpu.clone(); n_gpus]);
            let worst = setting.differences();
            assert!(worst < 1e-4, "{kind:?} on {n_gpus} GPUs: {worst:e}");
            assert_eq!(*setting.reports.lock().unwrap(), Vec::<String>::new());
            // Eleven queries need two launches for each of three levels and each portion.
            let seen = gpu.seen.lock().unwrap();
            let (n_loads, n_portions) =
                if room == 1000 { (2 * 7 * 3, 2 * 7) } else { (n_gpus, n_gpus) };
            assert_eq!((seen.loads.len(), seen.launches.len()), (n_loads, 6 * n_portions));
        }
    }
}

#[test]
fn images_that_do_not_fit_after_all_are_taken_in_smaller_portions() {
    if program(Module::General).is_none() {
        return;
    }
    let gpu = EmulatedGpu { trouble: Trouble::LoadsAtMost(300), ..fastest() };
    let setting = setting(MachineKind::EquivariantLocal, std::slice::from_ref(&gpu));
    assert!(setting.differences() < 1e-4);
    assert_eq!(*setting.reports.lock().unwrap(), Vec::<String>::new());
    let seen = gpu.seen.lock().unwrap();
    // All forty, then ten, five, three; then always three, and one that is left.
    let expected: Vec<usize> = [40, 10, 5].into_iter().chain([3; 13]).chain([1]).collect();
    let images: Vec<usize> = seen.loads.iter().map(|bytes| bytes / 64).collect();
    assert_eq!(images[..17], expected);
    assert_eq!(images.len(), 3 + 3 * 14);
}

#[test]
fn a_gpu_that_fails_is_reported_once_and_the_cpu_goes_on() {
    if program(Module::General).is_none() {
        return;
    }
    for (trouble, n_launches) in [
        (Trouble::LaunchesAtMost(0), 0),
        (Trouble::LaunchesAtMost(3), 3),
        (Trouble::LoadsAtMost(10), 0),
    ] {
        let gpu = EmulatedGpu { trouble, ..fastest() };
        let setting = setting(MachineKind::EquivariantLocal, std::slice::from_ref(&gpu));
        assert!(setting.differences() < 1e-4);
        let reports = setting.reports.lock().unwrap().clone();
        let expected = if trouble == Trouble::LoadsAtMost(10) {
            "theory is computed on the CPU: fastest has no room for 64 bytes"
        } else {
            "theory is computed on the CPU: fastest failed: an unspecified launch failure"
        };
        assert_eq!(reports, [expected]);
        assert_eq!(gpu.seen.lock().unwrap().launches.len(), n_launches);
    }
}

#[test]
fn double_precision_and_images_too_large_stay_on_the_cpu() {
    let gpu = fastest();
    let gpus = Gpus::new(vec![Box::new(gpu.clone())], |_| {});
    let shape = ImageShape::new(1, 4, 4);
    let images = TrainingImages::from_bytes(shape, vec![7; 32]).unwrap().with_gpus(Arc::new(gpus));
    let kind = MachineKind::EquivariantLocal;
    let spec = MachineSpec::new(kind, Scheduled::Fixed(3));
    let machine = Machine::new(spec, Arc::new(images), Precision::F64, None).unwrap();
    machine
        .denoise(&ImageBatch::new(shape, vec![0.5; 16]), Schedule::default().level(0.5))
        .unwrap();
    assert!(gpu.seen.lock().unwrap().loads.is_empty());
}

#[test]
fn gaussian_windows_stay_on_the_cpu_and_mirrored_copies_do_not() {
    let shape = ImageShape::new(1, 8, 8);
    let (bytes, _) = bytes(&mut random(5), 20 * shape.n_values());
    let x = values(&mut random(6), shape.n_values()).into_iter().map(f64::from).collect();
    let (x, level) = (ImageBatch::new(shape, x), Schedule::default().level(0.5));
    let settings = AttentionSettings { lambda: 1.0, gamma: 0.2, source: AttentionSource::CoOrigin };
    let attention =
        MachineKind::Attention { pool: Pool::Wrap, settings: Scheduled::Fixed(settings) };
    for kind in [MachineKind::EquivariantLocal, attention] {
        for window in [PatchWindow::Square, PatchWindow::Gaussian { width: 0.3 }] {
            let gpu = fastest();
            let gpus = Gpus::new(vec![Box::new(gpu.clone())], |_| {});
            let images = || {
                let images = TrainingImages::from_bytes(shape, bytes.clone()).unwrap();
                images.augmented(Augmentation::Flip).unwrap()
            };
            let spec = MachineSpec::new(kind.clone(), Scheduled::Fixed(3)).with_window(window);
            let estimate = |images| {
                let machine = Machine::new(spec.clone(), Arc::new(images), Precision::F32, None);
                machine.unwrap().denoise(&x, level).unwrap().x0.into_values()
            };
            let (plain, found) = (estimate(images()), estimate(images().with_gpus(Arc::new(gpus))));
            let is_used = !gpu.seen.lock().unwrap().loads.is_empty();
            assert_eq!(is_used, window == PatchWindow::Square, "{kind:?}, {window:?}");
            let gap = plain.iter().zip(&found).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(gap <= if is_used { 1e-3 } else { 0.0 }, "{kind:?}, {window:?}: {gap}");
        }
    }
}
