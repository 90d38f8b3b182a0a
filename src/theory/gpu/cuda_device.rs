//! An NVIDIA GPU: its streams, its kernels and copies to it, through the driver alone.
//!
//! Theory has its own stream on each GPU, and another one for copies: previews run beside training steps instead of
//! between them, and portions are copied while others are processed. Only the driver is needed (no cuBLAS, no NVRTC):
//! the kernels are PTX in this binary, which the driver compiles on first use and caches.
//!
//! cudarc delays each launch until its buffers are ready, and frees a buffer after the launches that use it.

#![allow(
    unsafe_code,
    reason = "launches: numbers and sizes are checked here, what kernels do with them by tests/emulator"
)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use cudarc::driver::sys::{CUdevice_attribute, CUfunction_attribute_enum, CUresult};
use cudarc::driver::{
    CudaContext, CudaFunction, CudaModule, CudaSlice, CudaStream, DeviceRepr, DriverError,
    LaunchConfig, PinnedHostSlice, PushKernelArg,
};
use cudarc::nvrtc::Ptx;

use super::gpu_interface::{Ceilings, GpuError};
use super::kernel_choice::{Kernel, Module};
use super::launch_arguments::{Launch, PosteriorPlan};
use crate::hardware::nvidia_driver::{keep_memory, reason};
use crate::image::ImageShape;

/// Bytes of each of the two buffers that images travel through.
const COPY_BYTES: usize = 16 << 20;
/// The oldest GPUs that the kernels run on (`build.rs`): Ampere.
const CAPABILITY_MIN: (i32, i32) = (8, 0);

// SAFETY: `repr(C)`, and field by field the structure `PosteriorPlan` of `posterior.cuh`, which kernels take by value;
// `launch_arguments.rs` tests its size, and `tests/emulator` hands it to the kernels as it lies in memory.
unsafe impl DeviceRepr for PosteriorPlan {}

/// Bytes that are copied to measure how fast; far more than a GPU's cache.
const COPIED_BYTES: usize = 1 << 30;
/// Chains of a thread, as in `ceilings.cu`.
const CHAINS: usize = 8;

/// An opened GPU.
pub struct CudaGpu {
    pub(super) name: String,
    context: Arc<CudaContext>,
    pub(super) stream: Arc<CudaStream>,
    copies: Arc<CudaStream>,
    n_multiprocessors: usize,
    shared_bytes_max: usize,
    kernels: Mutex<Kernels>,
    buffers: Mutex<Vec<PinnedHostSlice<u8>>>,
}

#[derive(Default)]
struct Kernels {
    modules: HashMap<&'static str, Arc<CudaModule>>,
    /// Functions, by threads and bytes of shared memory, with the blocks of theirs that the GPU can hold.
    functions: HashMap<(Module, &'static str, usize, usize), (CudaFunction, usize)>,
}

/// PTX by module.
fn ptx(module: Module) -> Option<(&'static str, &'static str)> {
    macro_rules! kernels {
        ($name:literal) => {
            Some(($name, include_str!(concat!(env!("OUT_DIR"), "/", $name, ".ptx"))))
        };
    }
    match module {
        Module::General => kernels!("general"),
        Module::Strips(3) => kernels!("strips_3"),
        Module::Strips(5) => kernels!("strips_5"),
        Module::Strips(7) => kernels!("strips_7"),
        Module::Strips(9) => kernels!("strips_9"),
        Module::Strips(11) => kernels!("strips_11"),
        Module::Strips(13) => kernels!("strips_13"),
        Module::Strips(15) => kernels!("strips_15"),
        Module::Strips(_) => None,
        Module::Ceilings => kernels!("ceilings"),
    }
}

impl CudaGpu {
    /// Opens GPU number `ordinal` of those that the driver lists.
    ///
    /// # Errors
    ///
    /// If the driver fails or the GPU is older than Ampere.
    pub fn open(ordinal: usize) -> Result<Arc<Self>, GpuError> {
        let name = format!("cuda:{ordinal}");
        let failed = |error| GpuError::Failed { gpu: name.clone(), problem: reason(error) };
        let context = CudaContext::new(ordinal).map_err(failed)?;
        let capability = context.compute_capability().map_err(failed)?;
        if capability < CAPABILITY_MIN {
            let problem = format!(
                "compute capability {}.{} is older than the kernels' {}.{} (Ampere)",
                capability.0, capability.1, CAPABILITY_MIN.0, CAPABILITY_MIN.1
            );
            return Err(GpuError::Failed { gpu: name, problem });
        }
        keep_memory(&context);
        let attribute =
            |which| context.attribute(which).map(|value| value.max(0) as usize).map_err(failed);
        use CUdevice_attribute::{
            CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
            CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT,
        };
        let n_multiprocessors = attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        let shared_bytes_max = attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?;
        let stream = context.new_stream().map_err(failed)?;
        let copies = context.new_stream().map_err(failed)?;
        Ok(Arc::new(Self {
            context,
            stream,
            copies,
            n_multiprocessors,
            shared_bytes_max,
            kernels: Mutex::default(),
            buffers: Mutex::default(),
            name,
        }))
    }

    /// The name of the model, such as `NVIDIA H200`.
    pub fn model(&self) -> String {
        self.context.name().unwrap_or_else(|_| "a GPU without a name".to_owned())
    }

    pub(super) fn failed(&self, error: DriverError) -> GpuError {
        GpuError::Failed { gpu: self.name.clone(), problem: reason(error) }
    }

    /// Maps a driver error of an allocation of `bytes` to [`GpuError::OutOfMemory`] if memory was full.
    pub(super) fn no_room(&self, bytes: usize) -> impl Fn(DriverError) -> GpuError {
        move |error| match error.0 {
            CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
                GpuError::OutOfMemory { gpu: self.name.clone(), bytes }
            }
            _ => self.failed(error),
        }
    }

    /// The fastest kernel for a launch whose shared memory this GPU has.
    pub(super) fn kernel(&self, launch: &Launch) -> Result<Kernel, GpuError> {
        let kernels = Kernel::all(launch);
        let fits = |kernel: &&Kernel| kernel.shared_bytes <= self.shared_bytes_max;
        if let Some(kernel) = kernels.iter().find(fits) {
            return Ok(*kernel);
        }
        let problem = match kernels.last() {
            Some(kernel) => format!(
                "{} bytes of shared memory, of which it has {}",
                kernel.shared_bytes, self.shared_bytes_max
            ),
            None => "a kernel for so many pixels or channels".to_owned(),
        };
        let plan = &launch.plan;
        let [channels, height, width] =
            [plan.channels, plan.height, plan.width].map(|size| size as usize);
        let shape = ImageShape::new(channels, height, width);
        Err(GpuError::TooLarge { gpu: self.name.clone(), shape, problem })
    }

    /// The function of a kernel, loaded on first use, and the number of its blocks that can be resident at once.
    pub(super) fn function(
        &self,
        module: Module,
        function: &'static str,
        (n_threads, shared_bytes): (usize, usize),
    ) -> Result<(CudaFunction, usize), GpuError> {
        let failed = |error| self.failed(error);
        // Function attributes are queried in the context of the calling thread.
        self.context.bind_to_thread().map_err(failed)?;
        let mut kernels = self.kernels.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (module, function, n_threads, shared_bytes);
        if let Some(found) = kernels.functions.get(&key) {
            return Ok(found.clone());
        }
        let (name, source) = ptx(module).ok_or_else(|| GpuError::Failed {
            gpu: self.name.clone(),
            problem: format!("this build has no kernel '{function}'"),
        })?;
        let loaded = match kernels.modules.get(name) {
            Some(loaded) => loaded.clone(),
            None => {
                let loaded = self.context.load_module(Ptx::from_src(source)).map_err(failed)?;
                kernels.modules.insert(name, loaded.clone());
                loaded
            }
        };
        let found = loaded.load_function(function).map_err(failed)?;
        let opt_in = CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        // Of the function, whatever a launch takes of it.
        found.set_attribute(opt_in, self.shared_bytes_max as i32).map_err(failed)?;
        let n_resident = found
            .occupancy_max_active_blocks_per_multiprocessor(n_threads as u32, shared_bytes, None)
            .map_err(failed)?;
        let found = (found, n_resident as usize * self.n_multiprocessors);
        kernels.functions.insert(key, found.clone());
        Ok(found)
    }

    /// Measures the peak rates of the GPU; takes some tenths of a second.
    ///
    /// # Errors
    ///
    /// If the GPU fails.
    pub fn ceilings(&self) -> Result<Ceilings, GpuError> {
        const THREADS: usize = 256;
        const ROUNDS: i32 = 8192;
        let function = |name| self.function(Module::Ceilings, name, (THREADS, 0));
        let (copy, n_resident) = function("copy_groups")?;
        let (multiply, n_multiply) = function("multiply_adds")?;
        let (raise, n_raise) = function("exponentials")?;
        let grid = |n_blocks: usize| LaunchConfig {
            grid_dim: (n_blocks as u32, 1, 1),
            block_dim: (THREADS as u32, 1, 1),
            shared_mem_bytes: 0,
        };
        let run = || -> Result<Ceilings, DriverError> {
            let stream = &self.stream;
            let from = stream.alloc_zeros::<f32>(COPIED_BYTES / size_of::<f32>())?;
            let mut to = stream.alloc_zeros::<f32>(COPIED_BYTES / size_of::<f32>())?;
            let n_groups = COPIED_BYTES / (4 * size_of::<f32>());
            let copied = self.fastest(|| {
                let mut arguments = stream.launch_builder(&copy);
                arguments.arg(&n_groups).arg(&from).arg(&mut to);
                // SAFETY: the kernel's arguments in its order; both buffers hold n_groups groups of four floats, and no
                // thread goes beyond n_groups.
                unsafe { arguments.launch(grid(n_resident)) }.map(drop)
            })?;
            let mut chains = |function: &CudaFunction, n_blocks: usize| {
                // A buffer of floats, one a thread; no GPU holds nearly as many threads.
                let n_blocks = n_blocks.min(COPIED_BYTES / size_of::<f32>() / THREADS);
                let seconds = self.fastest(|| {
                    let mut arguments = stream.launch_builder(function);
                    arguments.arg(&ROUNDS).arg(&mut to);
                    // SAFETY: the kernel's arguments in its order; each thread writes the float of its number, and
                    // there are `n_blocks` of `THREADS` threads: as many as the buffer holds, as was checked.
                    unsafe { arguments.launch(grid(n_blocks)) }.map(drop)
                })?;
                Ok::<f64, DriverError>(
                    (n_blocks * THREADS * ROUNDS as usize * CHAINS) as f64 / seconds,
                )
            };
            Ok(Ceilings {
                bytes_per_s: 2.0 * COPIED_BYTES as f64 / copied,
                multiply_adds_per_s: chains(&multiply, n_multiply)?,
                exponentials_per_s: chains(&raise, n_raise)?,
            })
        };
        run().map_err(self.no_room(2 * COPIED_BYTES))
    }

    /// Seconds of the fastest of five runs after one warm-up run.
    fn fastest(
        &self,
        mut run: impl FnMut() -> Result<(), DriverError>,
    ) -> Result<f64, DriverError> {
        let mut fastest = f64::INFINITY;
        for round in 0..6 {
            self.stream.synchronize()?;
            let begun = Instant::now();
            run()?;
            self.stream.synchronize()?;
            if round > 0 {
                fastest = fastest.min(begun.elapsed().as_secs_f64());
            }
        }
        Ok(fastest)
    }

    /// Bytes of memory that are free now.
    pub(super) fn free_bytes(&self) -> Result<usize, GpuError> {
        self.context.mem_get_info().map(|(free, _)| free).map_err(|error| self.failed(error))
    }

    /// Copies `bytes` to the GPU, on the stream for copies.
    pub(super) fn upload(&self, bytes: &[u8]) -> Result<CudaSlice<u8>, GpuError> {
        let no_room = self.no_room(bytes.len());
        // SAFETY: `send` writes all of them or fails, and then they are dropped; nothing reads them before.
        let mut images = unsafe { self.copies.alloc::<u8>(bytes.len()) }.map_err(&no_room)?;
        self.send(bytes, &mut images).map_err(no_room)?;
        Ok(images)
    }

    /// Copies bytes to the GPU through two pinned buffers, one filled while the other is copied.
    fn send(&self, bytes: &[u8], place: &mut CudaSlice<u8>) -> Result<(), DriverError> {
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        if buffers.is_empty() {
            for _ in 0..2 {
                // SAFETY: bytes of any kind; a portion is copied over all of them before they travel.
                buffers.push(unsafe { self.context.alloc_pinned::<u8>(COPY_BYTES) }?);
            }
        }
        for (number, portion) in bytes.chunks(COPY_BYTES).enumerate() {
            let first = number * COPY_BYTES;
            let mut place = place.slice_mut(first..first + portion.len());
            if portion.len() < COPY_BYTES {
                // Pinned buffers are copied whole; the rest is not worth one.
                self.copies.memcpy_htod(portion, &mut place)?;
                continue;
            }
            let buffer = &mut buffers[number % 2];
            // Waits until its last copy has finished.
            buffer.as_mut_slice()?.copy_from_slice(portion);
            self.copies.memcpy_htod(&*buffer, &mut place)?;
        }
        // The caller may free `bytes` once this returns.
        self.copies.synchronize()
    }
}
