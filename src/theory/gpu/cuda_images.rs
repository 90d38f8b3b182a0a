//! Images on an NVIDIA GPU, and the kernels that sum over them: [`Gpu`] and [`Loaded`] for NVIDIA GPUs.
//!
//! A posterior kernel computes one posterior per query and block. For the machines without attention these are merged on
//! the GPU; for the attention machine each block is one image, whose posterior `evidence.cuh` processes further.

#![allow(
    unsafe_code,
    reason = "launches: numbers and sizes are checked here, what kernels do with them by tests/emulator"
)]

use std::sync::Arc;

use thiserror::Error;

use cudarc::driver::{
    CudaFunction, CudaSlice, CudaView, DeviceRepr, DriverError, LaunchArgs, LaunchConfig,
    PushKernelArg,
};

use super::cuda_device::CudaGpu;
use super::evidence::{FoundEvidence, IMAGES_MAX, Mask, Votes, bytes_of_image};
use super::gpu_interface::{Gpu, GpuError, GpuPixels, Loaded};
use super::kernel_choice::{Kernel, Module};
use super::launch_arguments::{Found, Launch, N_OTHERS, PosteriorPlan};

/// Threads of a block with one pixel per thread.
const THREADS: usize = 128;
/// Blocks among which images are divided for mixing.
const MIX_BLOCKS: usize = 64;
/// Tile side of a matrix product, as in `evidence.cuh`.
const PRODUCT_SIDE: usize = 128;
const PRODUCT_THREADS: usize = 256;
const PRODUCT_SHARED_BYTES: usize = 2 * 8 * (PRODUCT_SIDE + 4) * size_of::<f32>();

/// Images in the memory of a GPU.
struct LoadedImages {
    gpu: Arc<CudaGpu>,
    images: CudaSlice<u8>,
    is_bytes: bool,
}

/// Posteriors in the layout of the kernels, `[queries, blocks, ...]`; see [`Found`].
struct Left {
    sums: CudaSlice<f64>,
    nearest: CudaSlice<f32>,
    best: CudaSlice<i32>,
}

/// Evidence of each image; see [`FoundEvidence`].
struct OfImages {
    evidence: CudaSlice<f32>,
    entropies: CudaSlice<f32>,
    estimates: CudaSlice<f32>,
    log_weights: CudaSlice<f32>,
    places: CudaSlice<i32>,
}

/// The posterior kernel of a launch.
struct Posterior {
    kernel: Kernel,
    function: CudaFunction,
    /// Its blocks that can be resident at once.
    n_resident: usize,
}

/// Why a computation failed, before it is known as one of its launch.
#[derive(Debug, Error)]
enum Failure {
    #[error(transparent)]
    Driver(#[from] DriverError),
    #[error(transparent)]
    Gpu(#[from] GpuError),
}

fn grid([columns, rows]: [usize; 2], n_threads: usize, shared_bytes: usize) -> LaunchConfig {
    LaunchConfig {
        grid_dim: (columns as u32, rows as u32, 1),
        block_dim: (n_threads as u32, 1, 1),
        shared_mem_bytes: shared_bytes as u32,
    }
}

impl Gpu for Arc<CudaGpu> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn room(&self) -> Result<usize, GpuError> {
        self.free_bytes()
    }

    fn load(&self, pixels: GpuPixels<'_>) -> Result<Box<dyn Loaded>, GpuError> {
        let bytes = match pixels {
            GpuPixels::Bytes(bytes) => bytes,
            GpuPixels::Singles(values) => pulp::bytemuck::cast_slice(values),
        };
        let (images, is_bytes) = (self.upload(bytes)?, pixels.is_bytes());
        Ok(Box::new(LoadedImages { gpu: self.clone(), images, is_bytes }))
    }
}

impl LoadedImages {
    fn image_bytes(&self, launch: &Launch) -> usize {
        launch.n_values() * if self.is_bytes { 1 } else { size_of::<f32>() }
    }

    /// Validates a launch (`check_against_cpu.rs`) and returns its number of queries.
    fn n_queries(&self, launch: &Launch, queries: &[f32]) -> Result<usize, GpuError> {
        launch
            .n_queries(self.images.len(), self.is_bytes, queries.len())
            .ok_or_else(|| self.unsuited())
    }

    /// Validates a launch with one block per image, for which there is one query.
    fn takes_by_image(&self, launch: &Launch, query: &[f32]) -> Result<(), GpuError> {
        let takes = self.n_queries(launch, query)? == 1 && launch.loaded.len() <= IMAGES_MAX;
        if takes { Ok(()) } else { Err(self.unsuited()) }
    }

    /// The posterior kernel of a launch, and the number of queries.
    fn posterior(&self, launch: &Launch, queries: &[f32]) -> Result<(Posterior, usize), GpuError> {
        let n_queries = self.n_queries(launch, queries)?;
        let kernel = self.gpu.kernel(launch)?;
        let sizes = (kernel.n_threads, kernel.shared_bytes);
        let (function, n_resident) = self.gpu.function(kernel.module, kernel.function, sizes)?;
        Ok((Posterior { kernel, function, n_resident }, n_queries))
    }

    fn images_of(&self, launch: &Launch) -> CudaView<'_, u8> {
        let bytes = self.image_bytes(launch);
        self.images.slice(launch.loaded.start * bytes..launch.loaded.end * bytes)
    }

    fn unsuited(&self) -> GpuError {
        let problem = "a launch does not suit the images that were loaded".to_owned();
        GpuError::Failed { gpu: self.gpu.name.clone(), problem }
    }

    fn function(&self, name: &'static str, n_threads: usize) -> Result<CudaFunction, GpuError> {
        let shared = if n_threads == PRODUCT_THREADS { PRODUCT_SHARED_BYTES } else { 0 };
        Ok(self.gpu.function(Module::General, name, (n_threads, shared))?.0)
    }

    fn alloc<T: DeviceRepr>(&self, n: usize) -> Result<CudaSlice<T>, DriverError> {
        // SAFETY: numbers, of which any bits are one. Kernels write what is allocated whole before it is read: in
        // tests/emulator the same memory holds NaN at first, and none is found afterwards.
        unsafe { self.gpu.stream.alloc::<T>(n.max(1)) }
    }

    fn left(&self, n_blocks: usize, n_sums: usize, n_pixels: usize) -> Result<Left, DriverError> {
        Ok(Left {
            sums: self.alloc(n_blocks * n_sums * n_pixels)?,
            nearest: self.alloc(n_blocks * n_pixels)?,
            best: self.alloc(n_blocks * 2 * n_pixels)?,
        })
    }

    fn launch(
        &self,
        launch: &Launch,
        posterior: &Posterior,
        queries: &[f32],
        (n_queries, n_blocks): (usize, usize),
    ) -> Result<Left, DriverError> {
        let stream = &self.gpu.stream;
        let rows = stream.clone_htod(launch.row_stretches.as_flattened())?;
        let columns = stream.clone_htod(launch.column_stretches.as_flattened())?;
        let queries = stream.clone_htod(queries)?;
        let images = self.images_of(launch);
        let n_sums = N_OTHERS + launch.plan.channels as usize;
        let mut left = self.left(n_queries * n_blocks, n_sums, launch.n_pixels())?;
        let Posterior { kernel, function, .. } = posterior;
        let mut arguments = stream.launch_builder(function);
        arguments.arg(&launch.plan).arg(&rows).arg(&columns).arg(&queries).arg(&images);
        arguments.arg(&mut left.sums).arg(&mut left.nearest).arg(&mut left.best);
        let grid = grid([n_blocks, n_queries], kernel.n_threads, kernel.shared_bytes);
        // SAFETY: the kernel's arguments in its order. `n_queries` has checked images, queries, windows and stretches
        // against the plan, and what is written was allocated for as many queries, blocks, sums and pixels as it is
        // told; `Kernel` says threads and shared memory. With such numbers the kernel stays inside, which
        // tests/emulator checks with guards.
        unsafe { arguments.launch(grid) }?;
        Ok(left)
    }

    /// Merges the posteriors of the blocks of each query.
    fn merged(
        &self,
        left: &Left,
        (n_queries, n_blocks): (usize, usize),
        (channels, n_pixels): (usize, usize),
    ) -> Result<Found, Failure> {
        let merge = self.function("merge_posteriors", THREADS)?;
        let stream = &self.gpu.stream;
        let mut all = self.left(n_queries, N_OTHERS + channels, n_pixels)?;
        let numbers = [n_blocks, channels, n_pixels].map(|number| number as i32);
        let mut arguments = self.arguments(&merge, &numbers);
        arguments.arg(&left.sums).arg(&left.nearest).arg(&left.best);
        arguments.arg(&mut all.sums).arg(&mut all.nearest).arg(&mut all.best);
        // SAFETY: as for posteriors: the kernel's arguments, over what `left` allocated for the numbers that it is told.
        unsafe { arguments.launch(grid([n_pixels.div_ceil(THREADS), n_queries], THREADS, 0)) }?;
        let found = Found {
            sums: stream.clone_dtoh(&all.sums)?,
            nearest: stream.clone_dtoh(&all.nearest)?,
            best: stream.clone_dtoh(&all.best)?,
        };
        stream.synchronize()?;
        Ok(found)
    }

    fn room_for(
        &self,
        n: usize,
        n_channels: usize,
        n_pixels: usize,
    ) -> Result<OfImages, DriverError> {
        Ok(OfImages {
            evidence: self.alloc(n * n_pixels)?,
            entropies: self.alloc(n * n_pixels)?,
            estimates: self.alloc(n * n_channels * n_pixels)?,
            log_weights: self.alloc(n * n_pixels)?,
            places: self.alloc(n * n_pixels)?,
        })
    }

    /// Evidence of each image of a launch for one query.
    fn of_images(&self, launch: &Launch, query: &[f32]) -> Result<OfImages, Failure> {
        let (posterior, _) = self.posterior(launch, query)?;
        let evidence = self.function("image_evidence", THREADS)?;
        let (n, n_channels) = (launch.loaded.len(), launch.plan.channels as usize);
        let n_pixels = launch.n_pixels();
        // One block per image.
        let left = self.launch(launch, &posterior, query, (1, n))?;
        let mut all = self.room_for(n, n_channels, n_pixels)?;
        let numbers = [n_channels, n_pixels].map(|number| number as i32);
        let mut arguments = self.arguments(&evidence, &numbers);
        arguments.arg(&left.sums).arg(&left.best);
        arguments.arg(&mut all.evidence).arg(&mut all.entropies).arg(&mut all.estimates);
        arguments.arg(&mut all.log_weights).arg(&mut all.places);
        // SAFETY: as for posteriors: posteriors of n blocks, and what `room_for` allocated for n images.
        unsafe { arguments.launch(grid([n_pixels.div_ceil(THREADS), n], THREADS, 0)) }?;
        Ok(all)
    }

    /// A launch of `function` whose first arguments are `numbers`.
    fn arguments<'a>(&'a self, function: &'a CudaFunction, numbers: &'a [i32]) -> LaunchArgs<'a> {
        let mut arguments = self.gpu.stream.launch_builder(function);
        for number in numbers {
            arguments.arg(number);
        }
        arguments
    }

    /// Like [`Self::of_images`], with the probabilities `exp(E[n,p] - log_sums[p])` in place of evidence.
    fn chances(
        &self,
        launch: &Launch,
        query: &[f32],
        log_sums: &[f32],
    ) -> Result<OfImages, Failure> {
        let n_pixels = launch.n_pixels();
        if log_sums.len() != n_pixels {
            return Err(self.unsuited().into());
        }
        let chances = self.function("image_chances", THREADS)?;
        let mut all = self.of_images(launch, query)?;
        let log_sums = self.gpu.stream.clone_htod(log_sums)?;
        let pixels = n_pixels as i32;
        let mut arguments = self.gpu.stream.launch_builder(&chances);
        arguments.arg(&pixels).arg(&log_sums).arg(&mut all.evidence);
        let blocks = [n_pixels.div_ceil(THREADS), launch.loaded.len()];
        // SAFETY: as for posteriors: evidence of each image and pixel, and a sum a pixel, as was checked.
        unsafe { arguments.launch(grid(blocks, THREADS, 0)) }?;
        Ok(all)
    }

    /// `c[m, n] = a[m, k] b[k, n]`; `a` is stored as `[k, m]` if `is_transposed`.
    fn product(
        &self,
        [m, n, k]: [usize; 3],
        is_transposed: bool,
        (a, b, c): (&CudaSlice<f32>, &CudaSlice<f32>, &mut CudaSlice<f32>),
    ) -> Result<(), Failure> {
        assert!(
            a.len() >= m * k && b.len() >= k * n && c.len() >= m * n,
            "factors that do not fit"
        );
        let product = self.function("matrix_product", PRODUCT_THREADS)?;
        let numbers = [m, n, k, usize::from(is_transposed)].map(|number| number as i32);
        let mut arguments = self.arguments(&product, &numbers);
        arguments.arg(a).arg(b).arg(c);
        let blocks = [n.div_ceil(PRODUCT_SIDE), m.div_ceil(PRODUCT_SIDE)];
        // SAFETY: as for posteriors: the factors hold m k and k n values and the product m n, as was just checked.
        unsafe { arguments.launch(grid(blocks, PRODUCT_THREADS, PRODUCT_SHARED_BYTES)) }?;
        Ok(())
    }

    /// The images of a launch mixed by their evidence and votes, as one block.
    fn mix(
        &self,
        launch: &Launch,
        all: &OfImages,
        (kind, lambda, votes): (i32, f32, &CudaSlice<f32>),
        (n_channels, n_pixels): (usize, usize),
    ) -> Result<Found, Failure> {
        let mix = self.function("mix_images", THREADS)?;
        let n = launch.loaded.len();
        let n_blocks = MIX_BLOCKS.min(n.max(1));
        let mut left = self.left(n_blocks, N_OTHERS + n_channels + 1, n_pixels)?;
        let numbers = [n as i32, launch.plan.first_image, n_channels as i32, n_pixels as i32];
        let mut arguments = self.arguments(&mix, &numbers);
        arguments.arg(&kind).arg(&lambda).arg(&all.evidence).arg(votes).arg(&all.entropies);
        arguments.arg(&all.estimates).arg(&all.log_weights).arg(&all.places);
        arguments.arg(&mut left.sums).arg(&mut left.nearest).arg(&mut left.best);
        // SAFETY: as for posteriors: `all` was allocated for the images of the launch, `left` for the blocks; votes are
        // as many as their kind asks for, which callers have checked.
        unsafe { arguments.launch(grid([n_pixels.div_ceil(THREADS), n_blocks], THREADS, 0)) }?;
        self.merged(&left, (1, n_blocks), (n_channels + 1, n_pixels))
    }

    /// Maps a failure of a computation whose temporary buffers have `bytes` bytes.
    fn failed(&self, bytes: usize) -> impl Fn(Failure) -> GpuError {
        move |failure| match failure {
            Failure::Driver(error) => self.gpu.no_room(bytes)(error),
            Failure::Gpu(error) => error,
        }
    }

    /// Like [`Self::failed`], for the temporary buffers of a launch that keeps something of each image.
    fn failed_by_image(&self, launch: &Launch) -> impl Fn(Failure) -> GpuError {
        let each = bytes_of_image(launch.plan.channels as usize, launch.n_pixels());
        self.failed(launch.loaded.len() * each)
    }
}

impl Loaded for LoadedImages {
    fn posteriors(&self, launch: &Launch, queries: &[f32]) -> Result<Found, GpuError> {
        let (posterior, n_queries) = self.posterior(launch, queries)?;
        // As many blocks as the GPU holds at once; each takes every n_blocks-th image.
        let n_blocks = (posterior.n_resident / n_queries).clamp(1, launch.loaded.len().max(1));
        let (channels, n_pixels) = (launch.plan.channels as usize, launch.n_pixels());
        let each = n_pixels * (8 * (N_OTHERS + channels) + 12);
        let counts = (n_queries, n_blocks);
        let run = || {
            let left = self.launch(launch, &posterior, queries, counts)?;
            self.merged(&left, counts, (channels, n_pixels))
        };
        run().map_err(self.failed(n_queries * n_blocks * each))
    }

    fn evidence(&self, launch: &Launch, query: &[f32]) -> Result<FoundEvidence, GpuError> {
        self.takes_by_image(launch, query)?;
        let stream = &self.gpu.stream;
        let run = || {
            let all = self.of_images(launch, query)?;
            let found = FoundEvidence {
                log_sums: stream.clone_dtoh(&all.evidence)?,
                entropies: stream.clone_dtoh(&all.entropies)?,
                estimates: stream.clone_dtoh(&all.estimates)?,
                log_weights: stream.clone_dtoh(&all.log_weights)?,
                places: stream.clone_dtoh(&all.places)?,
            };
            stream.synchronize()?;
            Ok(found)
        };
        run().map_err(self.failed_by_image(launch))
    }

    fn mixed(
        &self,
        launch: &Launch,
        query: &[f32],
        votes: Votes<'_>,
        lambda: f32,
    ) -> Result<Found, GpuError> {
        self.takes_by_image(launch, query)?;
        let (n, n_channels) = (launch.loaded.len(), launch.plan.channels as usize);
        let n_pixels = launch.n_pixels();
        let (kind, given): (i32, &[f32]) = match votes {
            Votes::Nothing => (0, &[]),
            Votes::Own => (1, &[]),
            Votes::Images(votes) => (2, votes),
            Votes::Shared(weights) => (3, weights),
        };
        let n_given = [0, 0, n, n_pixels * n_pixels][kind as usize];
        if given.len() != n_given {
            return Err(self.unsuited());
        }
        let stream = &self.gpu.stream;
        let run = || {
            let all = self.of_images(launch, query)?;
            // Kernels do not read votes of a kind without any.
            let given = stream.clone_htod(if given.is_empty() { &[0.0][..] } else { given })?;
            let votes = if kind == 3 {
                let mut votes = self.alloc(n * n_pixels)?;
                let factors = (&all.evidence, &given, &mut votes);
                self.product([n, n_pixels, n_pixels], false, factors)?;
                votes
            } else {
                given
            };
            self.mix(launch, &all, (kind, lambda, &votes), (n_channels, n_pixels))
        };
        run().map_err(self.failed_by_image(launch))
    }

    fn masked(&self, launch: &Launch, query: &[f32], mask: Mask<'_>) -> Result<Found, GpuError> {
        self.takes_by_image(launch, query)?;
        let (n, n_values) = (launch.loaded.len(), launch.n_values());
        if mask.bits.len() != n_values * n_values.div_ceil(u32::BITS as usize) {
            return Err(self.unsuited());
        }
        let matrix = self.function("mask_matrix", THREADS)?;
        let values = self.function("coordinate_values", THREADS)?;
        let stream = &self.gpu.stream;
        let blocks = n_values.div_ceil(THREADS);
        let run = || {
            let bits = stream.clone_htod(mask.bits)?;
            let mut sees = self.alloc(n_values * n_values)?;
            let n_rows = n_values as i32;
            let mut arguments = stream.launch_builder(&matrix);
            arguments.arg(&n_rows).arg(&mask.logit_scale).arg(&bits).arg(&mut sees);
            // SAFETY: as for posteriors: a square of n_values, and as many bits as was checked.
            unsafe { arguments.launch(grid([blocks, n_values], THREADS, 0)) }?;

            let query = stream.clone_htod(query)?;
            let images = self.images_of(launch);
            let mut squares = self.alloc(n * n_values)?;
            let mut all = self.room_for(n, 1, n_values)?;
            let numbers = [launch.plan.channels, launch.n_pixels() as i32, launch.plan.is_bytes];
            let mut arguments = self.arguments(&values, &numbers);
            let typical = mask.typical();
            arguments.arg(&typical).arg(&query).arg(&images);
            arguments.arg(&mut squares).arg(&mut all.entropies);
            arguments.arg(&mut all.estimates).arg(&mut all.log_weights).arg(&mut all.places);
            // SAFETY: as for posteriors: the loaded images, one query, and what was allocated for n images of n_values.
            unsafe { arguments.launch(grid([blocks, n], THREADS, 0)) }?;

            let factors = (&squares, &sees, &mut all.evidence);
            self.product([n, n_values, n_values], false, factors)?;
            // Kernels do not read votes of a kind without any.
            let no_votes = (0, 0.0, &squares);
            self.mix(launch, &all, no_votes, (1, n_values))
        };
        let n_bytes = n_values * (n_values + 7 * n) * size_of::<f32>();
        run().map_err(self.failed(n_bytes))
    }

    fn crops(&self, launch: &Launch, query: &[f32], log_sums: &[f32]) -> Result<Found, GpuError> {
        self.takes_by_image(launch, query)?;
        let (n, n_pixels) = (launch.loaded.len(), launch.n_pixels());
        let mix = self.function("mix_crops", THREADS)?;
        let run = || {
            let all = self.chances(launch, query, log_sums)?;
            let images = self.images_of(launch);
            let channels = launch.plan.channels;
            let n_sums = channels as usize + 1;
            let n_blocks = MIX_BLOCKS.min(n.max(1));
            let mut left = self.left(n_blocks, N_OTHERS + n_sums, n_pixels)?;
            let PosteriorPlan { first_image, height, width, is_bytes, .. } = launch.plan;
            let half = (launch.k / 2) as i32;
            let numbers = [n as i32, first_image, channels, height, width, half, is_bytes];
            let mut arguments = self.arguments(&mix, &numbers);
            arguments.arg(&all.evidence).arg(&images);
            arguments.arg(&mut left.sums).arg(&mut left.nearest).arg(&mut left.best);
            // SAFETY: as for posteriors: chances of each image and pixel, the loaded images, and blocks that `left`
            // allocated.
            unsafe { arguments.launch(grid([n_pixels.div_ceil(THREADS), n_blocks], THREADS, 0)) }?;
            self.merged(&left, (1, n_blocks), (n_sums, n_pixels))
        };
        run().map_err(self.failed_by_image(launch))
    }

    fn co_origin(
        &self,
        launch: &Launch,
        query: &[f32],
        log_sums: &[f32],
    ) -> Result<Vec<f32>, GpuError> {
        self.takes_by_image(launch, query)?;
        let (n, n_pixels) = (launch.loaded.len(), launch.n_pixels());
        let stream = &self.gpu.stream;
        let run = || {
            let all = self.chances(launch, query, log_sums)?;
            let mut pairs = self.alloc(n_pixels * n_pixels)?;
            let factors = (&all.evidence, &all.evidence, &mut pairs);
            self.product([n_pixels, n_pixels, n], true, factors)?;
            let found = stream.clone_dtoh(&pairs)?;
            stream.synchronize()?;
            Ok(found)
        };
        run().map_err(self.failed_by_image(launch))
    }
}
