//! The CUDA kernels' arithmetic without a card: the very files that nvcc compiles, run by a C compiler on the CPU
//! (`emulator.h`), against the specification.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use mosaic_lab::image::ImageShape;
use mosaic_lab::theory::kernels::card::{Launch, N_OTHERS, Partial};
use mosaic_lab::theory::kernels::{PatchQuery, reference};
use mosaic_lab::theory::patches::Pool;
use mosaic_lab::theory::weights::Accumulator;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The compiled kernel; `None` where there is no C compiler, which is said.
fn kernel() -> Option<&'static Path> {
    static PLACE: OnceLock<Option<tempfile::TempDir>> = OnceLock::new();
    let place = PLACE.get_or_init(|| {
        let place = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/emulator/posterior.c");
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let program = place.path().join("kernel");
        let mut compile = Command::new(&compiler);
        // Products and sums are rounded apart, as the specification's are.
        compile.args(["-std=gnu11", "-O2", "-ffp-contract=off", "-Wall", "-Werror", "-o"]);
        match compile.arg(&program).arg(source).arg("-lm").output() {
            Ok(done) => {
                assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
                Some(place)
            }
            Err(error) => {
                eprintln!(
                    "skipped: the CUDA kernels are not emulated, for want of '{compiler}': {error}"
                );
                None
            }
        }
    });
    place.as_ref().map(|place| Path::new(place.path()))
}

struct Case {
    shape: ImageShape,
    pool: Pool,
    k: usize,
    precision: f64,
    queries: Vec<Vec<f32>>,
    images: Vec<f32>,
}

impl Case {
    fn random(
        seed: u64,
        shape: ImageShape,
        pool: Pool,
        k: usize,
        precision: f64,
        sizes: (usize, usize),
    ) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut values = |n: usize| (0..n).map(|_| random.random_range(-1.5..1.5_f32)).collect();
        let (n_queries, n_images) = sizes;
        let queries = (0..n_queries).map(|_| values(shape.n_values())).collect();
        let images = values(n_images * shape.n_values());
        Self { shape, pool, k, precision, queries, images }
    }

    fn n_images(&self) -> usize {
        self.images.len() / self.shape.n_values()
    }

    fn query<'a>(&self, x: &'a [f32]) -> PatchQuery<'a, f32> {
        PatchQuery { shape: self.shape, pool: self.pool, k: self.k, x, precision: self.precision }
    }

    fn specified(&self, x: &[f32]) -> Accumulator {
        let mut all = Accumulator::new(self.shape.channels, self.shape.n_pixels());
        reference::accumulate(&self.query(x), &self.images, 0, &mut all);
        all
    }

    /// What the kernel finds, a launch a card: the images are dealt to `cuts.len() + 1` of them.
    fn emulated(
        &self,
        program: &Path,
        n_threads: usize,
        n_blocks: usize,
        cuts: &[usize],
    ) -> Vec<Accumulator> {
        let new = || Accumulator::new(self.shape.channels, self.shape.n_pixels());
        let mut all: Vec<Accumulator> = self.queries.iter().map(|_| new()).collect();
        let ends = cuts.iter().copied().chain([self.n_images()]);
        let mut first = 0;
        for end in ends {
            self.launch(program, n_threads, n_blocks, first..end, &mut all);
            first = end;
        }
        all
    }

    fn launch(
        &self,
        program: &Path,
        n_threads: usize,
        n_blocks: usize,
        images: std::ops::Range<usize>,
        all: &mut [Accumulator],
    ) {
        let n_entries = self.n_images() * self.shape.n_pixels();
        let launch =
            Launch::new(&self.query(&self.queries[0]), images.start, images.len(), n_entries);
        let plan = &launch.plan;
        let mut input = Vec::new();
        let ints = [
            plan.channels,
            plan.height,
            plan.width,
            plan.n_images,
            plan.first_image,
            plan.n_row_stretches,
            plan.n_column_stretches,
        ];
        let sizes = [self.queries.len(), n_threads, n_blocks].map(|size| size as i32);
        let stretches = [&launch.row_stretches, &launch.column_stretches];
        let mut put = |bytes: &[u8]| input.extend_from_slice(bytes);
        ints.iter().chain(&plan.windows).chain([&plan.cut]).for_each(|n| put(&n.to_ne_bytes()));
        [plan.scale, plan.width_of_weights, plan.slack].iter().for_each(|x| put(&x.to_ne_bytes()));
        sizes
            .iter()
            .chain(stretches.into_iter().flatten().flatten())
            .for_each(|n| put(&n.to_ne_bytes()));
        let n_values = self.shape.n_values();
        let dictionary = &self.images[images.start * n_values..images.end * n_values];
        self.queries.iter().flatten().chain(dictionary).for_each(|x| put(&x.to_ne_bytes()));
        let output = run(program, input);
        let n_found = self.queries.len() * n_blocks * self.shape.n_pixels();
        let n_sums = N_OTHERS + self.shape.channels;
        let (sums, rest) = output.split_at(8 * n_found * n_sums);
        let (nearest, best) = rest.split_at(4 * n_found);
        let sums: Vec<f64> =
            sums.chunks_exact(8).map(|b| f64::from_ne_bytes(b.try_into().unwrap())).collect();
        let nearest: Vec<f32> =
            nearest.chunks_exact(4).map(|b| f32::from_ne_bytes(b.try_into().unwrap())).collect();
        let best: Vec<i32> =
            best.chunks_exact(4).map(|b| i32::from_ne_bytes(b.try_into().unwrap())).collect();
        assert!(
            sums.iter().all(|sum| !sum.is_nan()) && nearest.iter().all(|d| !d.is_nan()),
            "poison is left"
        );
        let each = n_blocks * self.shape.n_pixels();
        for (query, all) in all.iter_mut().enumerate() {
            let found = Partial {
                sums: &sums[query * each * n_sums..][..each * n_sums],
                nearest: &nearest[query * each..][..each],
                best: &best[2 * query * each..][..2 * each],
            };
            launch.merge(&found, all);
        }
    }

    fn check(&self, program: &Path, n_threads: usize, n_blocks: usize, cuts: &[usize]) {
        let found = self.emulated(program, n_threads, n_blocks, cuts);
        let label =
            format!("{:?} {:?} k={} precision {}", self.shape, self.pool, self.k, self.precision);
        for (x, found) in self.queries.iter().zip(&found) {
            let specified = self.specified(x);
            let worst = |a: &[f64], b: &[f64]| {
                a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
            };
            let mean = worst(&found.mean(), &specified.mean());
            // Logits of float distances: relative to what they are of.
            let logs = (0..specified.n_pixels()).map(|p| {
                let expected = specified.log_sum(p);
                (found.log_sum(p) - expected).abs() / (1.0 + expected.abs())
            });
            let entropies =
                (0..specified.n_pixels()).map(|p| (found.entropy(p) - specified.entropy(p)).abs());
            let (log, entropy) = (logs.fold(0.0, f64::max), entropies.fold(0.0, f64::max));
            assert!(
                mean < 2e-4 && log < 1e-5 && entropy < 1e-3,
                "{label}: mean {mean:e} log {log:e} entropy {entropy:e}"
            );
            let differing =
                (0..specified.n_pixels()).filter(|&p| found.best[p] != specified.best[p]).count();
            assert_eq!(differing, 0, "{label}: provenance");
        }
    }
}

fn run(place: &Path, input: Vec<u8>) -> Vec<u8> {
    let mut program = Command::new(place.join("kernel"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = program.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&input).unwrap());
    let output = program.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    output.stdout
}

#[test]
fn the_posterior_kernel_agrees_with_the_specification_on_every_dictionary() {
    let Some(program) = kernel() else { return };
    let shapes = [(1, 1, 1), (1, 5, 7), (3, 8, 8), (2, 9, 4), (4, 6, 11)];
    let pools = [Pool::Wrap, Pool::Interior, Pool::SamePlace, Pool::SameBorder];
    for (seed, &(channels, height, width)) in shapes.iter().enumerate() {
        let shape = ImageShape::new(channels, height, width);
        for pool in pools {
            for k in [1, 3, 5, 9, 13] {
                if pool == Pool::Interior && k > height.min(width) {
                    continue;
                }
                let precision = [0.02, 0.4, 6.0][(seed + k) % 3];
                let case = Case::random(seed as u64, shape, pool, k, precision, (2, 5));
                case.check(program, 32, 3, &[]);
            }
        }
    }
}

#[test]
fn low_noise_many_images_and_several_cards_lose_no_digit() {
    let Some(program) = kernel() else { return };
    let shape = ImageShape::new(3, 6, 6);
    for precision in [1e-4, 1.0, 40.0, 3000.0] {
        let case = Case::random(5, shape, Pool::Wrap, 3, precision, (2, 60));
        // More blocks than images, fewer threads than pixels, and images dealt unevenly.
        for (n_threads, n_blocks, cuts) in [(36, 1, &[][..]), (9, 7, &[1, 50]), (64, 80, &[30])] {
            case.check(program, n_threads, n_blocks, cuts);
        }
    }
}
