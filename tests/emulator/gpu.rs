//! An emulated GPU: the kernels' own source files, compiled by a C compiler, with one process per launch.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};

use crate::skip::skip;
use mosaic_lab::image::ImageShape;
use mosaic_lab::theory::gpu::evidence::{FoundEvidence, Mask, Votes};
use mosaic_lab::theory::gpu::kernel_choice::{Kernel, Module};
use mosaic_lab::theory::gpu::launch_arguments::{Found, Launch};
use mosaic_lab::theory::gpu::{Gpu, GpuError, GpuPixels, Loaded};

/// The compiled kernels of a module; `None` without a C compiler, which is reported as skipped.
pub fn program(module: Module) -> Option<PathBuf> {
    static DONE: Mutex<Option<HashMap<usize, Option<PathBuf>>>> = Mutex::new(None);
    let side = match module {
        Module::General => 0,
        Module::Strips(side) => side,
        Module::Ceilings => panic!("it has a program of its own"),
    };
    let mut done = DONE.lock().unwrap();
    let compile = || compiled("kernels.c", &format!("kernels-{side}"), &[format!("-DSIDE={side}")]);
    done.get_or_insert_default().entry(side).or_insert_with(compile).clone()
}

/// Compiles a C file of this folder to the program `name`; `None` without a C compiler, which is reported as
/// skipped.
pub fn compiled(file: &str, name: &str, flags: &[String]) -> Option<PathBuf> {
    static PLACE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let place = PLACE.get_or_init(|| tempfile::tempdir().unwrap()).path();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/emulator").join(file);
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let program = place.join(name);
    let mut compile = Command::new(&compiler);
    // No contraction: products and sums are rounded separately, as in the specification, except where a kernel
    // asks for a fused operation.
    compile.args(["-std=gnu11", "-O2", "-ffp-contract=off", "-Wall", "-Werror"]);
    // Fortified C libraries mistake jumps between stacks for an error.
    compile.args(["-Wno-unknown-pragmas", "-U_FORTIFY_SOURCE"]).args(flags);
    match compile.arg("-o").arg(&program).arg(source).arg("-lm").output() {
        Ok(done) => {
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            Some(program)
        }
        Err(error) => {
            skip("emulated CUDA kernels", &format!("for want of '{compiler}': {error}"));
            None
        }
    }
}

/// Selection of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    Fastest,
    General,
}

/// Simulated faults of a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    None,
    /// Loads fail above this number of bytes, whatever `room` is.
    LoadsAtMost(usize),
    /// Launches fail after this many successful ones.
    LaunchesAtMost(usize),
    /// Launches that store per-image results fail above this number of images.
    ImagesAtMost(usize),
}

#[derive(Clone, Debug)]
pub struct EmulatedGpu {
    pub name: &'static str,
    pub choice: Choice,
    pub n_blocks: usize,
    /// Uses the general kernel with this number of threads, instead of the automatic choice.
    pub n_threads: Option<usize>,
    pub room: usize,
    pub trouble: Trouble,
    /// Sizes of the loads and names of the launched kernels.
    pub seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
pub struct Seen {
    pub loads: Vec<usize>,
    pub launches: Vec<&'static str>,
}

struct LoadedImages {
    gpu: EmulatedGpu,
    bytes: Vec<u8>,
    is_bytes: bool,
}

impl EmulatedGpu {
    pub fn new(name: &'static str, choice: Choice) -> Self {
        Self {
            name,
            choice,
            n_blocks: 3,
            n_threads: None,
            room: 1 << 30,
            trouble: Trouble::None,
            seen: Arc::default(),
        }
    }

    fn failed(&self, problem: String) -> GpuError {
        GpuError::Failed { gpu: self.name.to_owned(), problem }
    }

    fn kernel(&self, launch: &Launch) -> Result<Kernel, GpuError> {
        let plan = &launch.plan;
        let kernels = Kernel::all(launch);
        let found = match self.choice {
            Choice::Fastest => kernels.first(),
            Choice::General => kernels.iter().find(|kernel| kernel.module == Module::General),
        };
        let mut kernel = *found.ok_or_else(|| GpuError::TooLarge {
            gpu: self.name.to_owned(),
            shape: ImageShape::new(
                plan.channels as usize,
                plan.height as usize,
                plan.width as usize,
            ),
            problem: "no kernel is large enough".to_owned(),
        })?;
        if let Some(n) = self.n_threads.filter(|_| kernel.module == Module::General) {
            kernel.n_threads = n;
            kernel.function = "general_posterior_16";
        }
        Ok(kernel)
    }
}

impl Gpu for EmulatedGpu {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn room(&self) -> Result<usize, GpuError> {
        Ok(self.room)
    }

    fn load(&self, pixels: GpuPixels<'_>) -> Result<Box<dyn Loaded>, GpuError> {
        self.seen.lock().unwrap().loads.push(pixels.n_bytes());
        if let Trouble::LoadsAtMost(limit) = self.trouble
            && pixels.n_bytes() > limit
        {
            return Err(GpuError::OutOfMemory {
                gpu: self.name.to_owned(),
                bytes: pixels.n_bytes(),
            });
        }
        let bytes = match pixels {
            GpuPixels::Bytes(bytes) => bytes.to_vec(),
            GpuPixels::Singles(values) => values.iter().flat_map(|v| v.to_ne_bytes()).collect(),
        };
        let (gpu, is_bytes) = (self.clone(), pixels.is_bytes());
        Ok(Box::new(LoadedImages { gpu, bytes, is_bytes }))
    }
}

/// The purpose of a launch, numbered as in `kernels.c`, with the arguments that follow the images.
struct Purpose {
    what: i32,
    votes: i32,
    lambda: f32,
    given: Vec<[u8; 4]>,
}

const POSTERIOR: Purpose = Purpose { what: 0, votes: 0, lambda: 0.0, given: Vec::new() };
const EVIDENCE: Purpose = Purpose { what: 1, votes: 0, lambda: 0.0, given: Vec::new() };

impl Loaded for LoadedImages {
    fn posteriors(&self, launch: &Launch, queries: &[f32]) -> Result<Found, GpuError> {
        let output = self.launch(launch, queries, &POSTERIOR)?;
        let n_queries = queries.len() / launch.n_values();
        Ok(found(&output, n_queries * launch.n_pixels(), 3 + launch.plan.channels as usize))
    }

    fn evidence(&self, launch: &Launch, query: &[f32]) -> Result<FoundEvidence, GpuError> {
        let output = self.launch(launch, query, &EVIDENCE)?;
        let n_each = launch.loaded.len() * launch.n_pixels();
        let mut rest = &output[..];
        let mut take = |n: usize| {
            let (mine, others) = rest.split_at(4 * n);
            rest = others;
            mine
        };
        let singles = |bytes| {
            let found = numbers(bytes, f32::from_ne_bytes);
            assert!(found.iter().all(|value| value.is_finite()), "poison is left");
            found
        };
        let n_channels = launch.plan.channels as usize;
        Ok(FoundEvidence {
            log_sums: singles(take(n_each)),
            entropies: singles(take(n_each)),
            estimates: singles(take(n_each * n_channels)),
            log_weights: singles(take(n_each)),
            places: numbers(take(n_each), i32::from_ne_bytes),
        })
    }

    fn mixed(
        &self,
        launch: &Launch,
        query: &[f32],
        votes: Votes<'_>,
        lambda: f32,
    ) -> Result<Found, GpuError> {
        let (votes, given) = match votes {
            Votes::Nothing => (0, Vec::new()),
            Votes::Own => (1, Vec::new()),
            Votes::Images(votes) => (2, words(votes)),
            Votes::Shared(weights) => (3, words(weights)),
        };
        let output = self.launch(launch, query, &Purpose { what: 2, votes, lambda, given })?;
        Ok(found(&output, launch.n_pixels(), 4 + launch.plan.channels as usize))
    }

    fn masked(&self, launch: &Launch, query: &[f32], mask: Mask<'_>) -> Result<Found, GpuError> {
        let given = mask.bits.iter().map(|word| word.to_ne_bytes()).collect();
        let purpose = Purpose { what: 4, votes: 0, lambda: mask.logit_scale, given };
        Ok(found(&self.launch(launch, query, &purpose)?, launch.n_values(), 5))
    }

    fn crops(&self, launch: &Launch, query: &[f32], log_sums: &[f32]) -> Result<Found, GpuError> {
        let purpose = Purpose { what: 5, given: words(log_sums), ..POSTERIOR };
        let output = self.launch(launch, query, &purpose)?;
        Ok(found(&output, launch.n_pixels(), 4 + launch.plan.channels as usize))
    }

    fn co_origin(
        &self,
        launch: &Launch,
        query: &[f32],
        log_sums: &[f32],
    ) -> Result<Vec<f32>, GpuError> {
        let purpose = Purpose { what: 3, given: words(log_sums), ..POSTERIOR };
        Ok(numbers(&self.launch(launch, query, &purpose)?, f32::from_ne_bytes))
    }
}

fn words(values: &[f32]) -> Vec<[u8; 4]> {
    values.iter().map(|value| value.to_ne_bytes()).collect()
}

/// Unpacks sums, distances and places of `n_found` pixels.
fn found(output: &[u8], n_found: usize, n_sums: usize) -> Found {
    let (sums, rest) = output.split_at(8 * n_found * n_sums);
    let (nearest, best) = rest.split_at(4 * n_found);
    let found = Found {
        sums: numbers(sums, f64::from_ne_bytes),
        nearest: numbers(nearest, f32::from_ne_bytes),
        best: numbers(best, i32::from_ne_bytes),
    };
    let is_poisoned = found.sums.iter().any(|sum| sum.is_nan())
        || found.nearest.iter().any(|distance| distance.is_nan());
    assert!(!is_poisoned, "poison is left");
    found
}

impl LoadedImages {
    fn launch(
        &self,
        launch: &Launch,
        queries: &[f32],
        purpose: &Purpose,
    ) -> Result<Vec<u8>, GpuError> {
        let gpu = &self.gpu;
        let n_launches = gpu.seen.lock().unwrap().launches.len();
        if gpu.trouble == Trouble::LaunchesAtMost(n_launches) {
            return Err(gpu.failed("an unspecified launch failure".to_owned()));
        }
        if let Trouble::ImagesAtMost(limit) = gpu.trouble
            && purpose.what != POSTERIOR.what
            && launch.loaded.len() > limit
        {
            let bytes = launch.loaded.len();
            return Err(GpuError::OutOfMemory { gpu: gpu.name.to_owned(), bytes });
        }
        let kernel = gpu.kernel(launch)?;
        gpu.seen.lock().unwrap().launches.push(kernel.function);
        let program = program(kernel.module).expect("a test that needs no compiler");
        assert_eq!(launch.plan.is_bytes != 0, self.is_bytes);
        run(&program, self.input(launch, kernel, queries, purpose))
            .map_err(|problem| gpu.failed(problem))
    }

    fn input(
        &self,
        launch: &Launch,
        kernel: Kernel,
        queries: &[f32],
        purpose: &Purpose,
    ) -> Vec<u8> {
        let plan = &launch.plan;
        let mut input = kernel.function.as_bytes().to_vec();
        input.resize(32, 0);
        let n_queries = queries.len() / launch.n_values();
        let sizes = [n_queries, kernel.n_threads, self.gpu.n_blocks, kernel.shared_bytes];
        let mut put = |bytes: &[u8]| input.extend_from_slice(bytes);
        sizes.iter().for_each(|&size| put(&(size as i32).to_ne_bytes()));
        [purpose.what, purpose.votes].iter().for_each(|n| put(&n.to_ne_bytes()));
        put(&purpose.lambda.to_ne_bytes());
        let ints = [
            plan.channels,
            plan.height,
            plan.width,
            plan.n_images,
            plan.first_image,
            plan.is_bytes,
            plan.n_row_stretches,
            plan.n_column_stretches,
        ];
        ints.iter().chain(&plan.windows).chain([&plan.cut]).for_each(|n| put(&n.to_ne_bytes()));
        [plan.scale, plan.width_of_weights].iter().for_each(|x| put(&x.to_ne_bytes()));
        let stretches = [&launch.row_stretches, &launch.column_stretches];
        stretches.into_iter().flatten().flatten().for_each(|n| put(&n.to_ne_bytes()));
        queries.iter().for_each(|x| put(&x.to_ne_bytes()));
        let each = launch.n_values() * if self.is_bytes { 1 } else { 4 };
        put(&self.bytes[launch.loaded.start * each..launch.loaded.end * each]);
        purpose.given.iter().for_each(|word| put(word));
        input
    }
}

fn numbers<T, const N: usize>(bytes: &[u8], number: fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks().0.iter().map(|&bytes| number(bytes)).collect()
}

pub fn run(program: &Path, input: Vec<u8>) -> Result<Vec<u8>, String> {
    let mut program = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = program.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&input).is_ok());
    let output = program.wait_with_output().unwrap();
    writer.join().unwrap();
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}
