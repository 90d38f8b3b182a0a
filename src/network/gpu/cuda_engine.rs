//! Execution of a plan on an NVIDIA GPU: kernels and library calls on one stream, recorded as CUDA graphs.
//!
//! The stream and its buffers belong to one engine, so the engine turns off the events that cudarc would keep for each
//! buffer. A list of commands runs one by one the first time, which loads what it needs, and is recorded the second
//! time; later runs launch the recorded graph.

#![allow(
    unsafe_code,
    reason = "launches and library calls, which `Engine::new` asks its caller to answer for"
)]

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};
use cudarc::driver::{
    CudaContext, CudaEvent, CudaFunction, CudaGraph, CudaSlice, CudaStream, DevicePtr, DeviceRepr,
    DriverError, LaunchConfig, PinnedHostSlice, PushKernelArg,
};
use cudarc::nvrtc::Ptx;

use super::command_check::{N_BUFFERS, N_NUMBERS, N_REALS};
use super::command_plan::{Buffer, Command, Convolution, Launch, Place, Plan, Product};
use super::compute_type::{ComputeType, Storage};
use super::cublas_and_cudnn::{Libraries, Operand};
use super::error::{EngineError, failed, no_room};

/// The argument of a kernel, declared in `kernels/values.cuh`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
struct Arguments {
    buffers: [u64; N_BUFFERS],
    numbers: [i32; N_NUMBERS],
    reals: [f32; N_REALS],
    bf16: u32,
}

// SAFETY: `repr(C)`, and field by field the structure `Arguments` of `values.cuh`, which kernels take by value.
unsafe impl DeviceRepr for Arguments {}

/// Number of the next engine of this process.
static N_ENGINES: AtomicU64 = AtomicU64::new(0);

/// Commands that run together on the engine that created the segment; a recorded graph refers to the buffers of that
/// engine.
pub struct Segment {
    engine: u64,
    pub commands: Vec<Command>,
    n_runs: usize,
    graph: Option<CudaGraph>,
}

// SAFETY: a graph may be launched and destroyed from any thread, by one at a time. Nothing but `Engine::run`, which
// takes the segment mutably, launches it, and the segment's owner alone drops it; a `Segment` is not `Sync`.
unsafe impl Send for Segment {}

/// A GPU with the buffers of a plan.
pub struct Engine {
    number: u64,
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    plan: Plan,
    buffers: Vec<Memory>,
    pointers: Vec<u64>,
    functions: HashMap<&'static str, CudaFunction>,
    libraries: Libraries,
    /// Two pinned buffers, one filled while the other is copied, each with the end of its last copy.
    staging: Vec<(PinnedHostSlice<f32>, Option<CudaEvent>)>,
    n_sent: usize,
}

// SAFETY: handles, descriptors and the context object are this engine's own; `run`, `time`, `send` and `Drop` bind the
// context to their thread before they use a handle, and cudarc's calls on the stream, which are all that `write`, `read`
// and `wait` make, do so themselves. An `Engine` is not `Sync`: threads use it one after the other.
unsafe impl Send for Engine {}

impl Drop for Engine {
    fn drop(&mut self) {
        // Libraries give back what they took in the context of the thread they are called from. Where that fails, the
        // context is gone, and all with it.
        let _ = self.context.bind_to_thread();
    }
}

/// A buffer on a GPU.
enum Memory {
    F32(CudaSlice<f32>),
    Bf16(CudaSlice<u16>),
}

impl Memory {
    /// A buffer of zeros.
    fn new(stream: &Arc<CudaStream>, buffer: Buffer) -> Result<Self, DriverError> {
        Ok(match buffer.storage {
            Storage::F32 => Self::F32(stream.alloc_zeros(buffer.len)?),
            Storage::Bf16 => Self::Bf16(stream.alloc_zeros(buffer.len)?),
        })
    }

    fn pointer(&self, stream: &CudaStream) -> u64 {
        match self {
            Self::F32(values) => values.device_ptr(stream).0,
            Self::Bf16(values) => values.device_ptr(stream).0,
        }
    }

    fn singles(&self) -> Result<&CudaSlice<f32>, EngineError> {
        match self {
            Self::F32(values) => Ok(values),
            Self::Bf16(_) => Err(not_singles()),
        }
    }

    fn singles_mut(&mut self) -> Result<&mut CudaSlice<f32>, EngineError> {
        match self {
            Self::F32(values) => Ok(values),
            Self::Bf16(_) => Err(not_singles()),
        }
    }
}

fn not_singles() -> EngineError {
    let problem = "these are kept as bfloat16, which stays on the GPU".to_owned();
    EngineError::Failed { doing: "exchanging values with it", problem }
}

impl Engine {
    /// GPU number `ordinal` with zeroed buffers, and a segment for each list of `commands`.
    ///
    /// # Errors
    ///
    /// If [`Plan::check`] rejects commands, the GPU cannot be opened or its memory is full.
    ///
    /// # Safety
    ///
    /// Every kernel that `commands` launch must stay inside the buffers whose places it is given and inside its shared
    /// memory, with the numbers, blocks and threads that it is launched with. [`Plan::check`], which is asked here,
    /// answers for products and convolutions, and of kernels only for where they start. The lists of `GpuForward` and
    /// `GpuStep` are made for this, and `tests/emulator` runs them over buffers with guards.
    pub unsafe fn new<const N: usize>(
        ordinal: usize,
        plan: Plan,
        commands: [&[Command]; N],
        compute_type: ComputeType,
    ) -> Result<(Self, [Segment; N]), EngineError> {
        let opening = failed("opening it");
        let context = CudaContext::new(ordinal).map_err(&opening)?;
        // SAFETY: this context object is this engine's alone, and all that is allocated with it - the plan's buffers and
        // the libraries' memory - is used on the one stream below, which orders it.
        unsafe { context.disable_event_tracking() };
        crate::hardware::nvidia_driver::keep_memory(&context);
        let stream = context.new_stream().map_err(&opening)?;
        for commands in commands {
            plan.check(commands).map_err(|problem| EngineError::TooLarge { problem })?;
        }
        let all = plan.n_bytes();
        let buffer = |&buffer: &Buffer| Memory::new(&stream, buffer).map_err(no_room(all));
        let buffers = plan.buffers.iter().map(buffer).collect::<Result<Vec<_>, _>>()?;
        let pointers = buffers.iter().map(|buffer| buffer.pointer(&stream)).collect();
        let libraries = Libraries::open(&stream, &plan, &commands, compute_type)?;
        let functions =
            functions(&context, &plan, &commands).map_err(failed("loading its kernels"))?;
        let number = N_ENGINES.fetch_add(1, Ordering::Relaxed);
        let segments = commands.map(|commands| Segment {
            engine: number,
            commands: commands.to_vec(),
            n_runs: 0,
            graph: None,
        });
        let engine = Self {
            number,
            context,
            stream,
            plan,
            buffers,
            pointers,
            functions,
            libraries,
            staging: Vec::new(),
            n_sent: 0,
        };
        Ok((engine, segments))
    }

    /// Checks that `segment` belongs to this engine: the graph of another one would write to its buffers, which may be
    /// freed.
    fn own(&self, segment: &Segment) -> Result<(), EngineError> {
        match segment.engine == self.number {
            true => Ok(()),
            false => Err(EngineError::Failed {
                doing: "running its commands",
                problem: format!(
                    "they were made for engine {}, and this is engine {}",
                    segment.engine, self.number
                ),
            }),
        }
    }

    /// Copies `n` values, written by `fill`, to a place; does not wait for the copy.
    ///
    /// # Errors
    ///
    /// If the place is not a whole single-precision buffer of `n` values, or the GPU fails.
    pub fn send(
        &mut self,
        place: Place,
        n: usize,
        fill: impl FnOnce(&mut [f32]),
    ) -> Result<(), EngineError> {
        let sending = failed("sending it values");
        self.context.bind_to_thread().map_err(&sending)?;
        if self.staging.first().is_none_or(|(buffer, _)| buffer.len() < n) {
            self.staging.clear();
            for _ in 0..2 {
                // SAFETY: filled with zeros by the next line, before anything reads it.
                let mut buffer =
                    unsafe { self.context.alloc_pinned::<f32>(n) }.map_err(&sending)?;
                buffer.as_mut_slice().map_err(&sending)?.fill(0.0);
                self.staging.push((buffer, None));
            }
        }
        let which = self.n_sent % 2;
        self.n_sent += 1;
        let (buffer, last) = &mut self.staging[which];
        if let Some(last) = last.take() {
            last.synchronize().map_err(&sending)?;
        }
        fill(&mut buffer.as_mut_slice().map_err(&sending)?[..n]);
        let mut to = self.buffers[place.buffer].singles_mut()?.slice_mut(place.first..);
        if buffer.len() != to.len() {
            let problem = format!("{} values for a place of {}", buffer.len(), to.len());
            return Err(EngineError::Failed { doing: "sending it values", problem });
        }
        self.stream.memcpy_htod(&*buffer, &mut to).map_err(&sending)?;
        *last = Some(self.stream.record_event(None).map_err(&sending)?);
        Ok(())
    }

    /// Copies values to a place, and waits.
    ///
    /// # Errors
    ///
    /// If the GPU fails.
    pub fn write(&mut self, place: Place, values: &[f32]) -> Result<(), EngineError> {
        let doing = failed("sending it values");
        let n = values.len();
        let singles = self.buffers[place.buffer].singles_mut()?;
        let mut to = singles.slice_mut(place.first..place.first + n);
        self.stream.memcpy_htod(values, &mut to).map_err(&doing)?;
        self.stream.synchronize().map_err(doing)
    }

    /// Copies `n` values from a place after all earlier commands.
    ///
    /// # Errors
    ///
    /// If the GPU fails.
    pub fn read(&self, place: Place, n: usize) -> Result<Vec<f32>, EngineError> {
        let doing = failed("reading its values");
        let from = self.buffers[place.buffer].singles()?.slice(place.first..place.first + n);
        let values = self.stream.clone_dtoh(&from).map_err(&doing)?;
        self.stream.synchronize().map_err(doing)?;
        Ok(values)
    }

    /// Runs commands; returns before they have finished.
    ///
    /// # Errors
    ///
    /// If the segment belongs to another engine or the GPU fails.
    pub fn run(&mut self, segment: &mut Segment) -> Result<(), EngineError> {
        self.own(segment)?;
        let doing = failed("running its commands");
        self.context.bind_to_thread().map_err(&doing)?;
        segment.n_runs += 1;
        if segment.n_runs == 2 {
            let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
            self.stream.begin_capture(mode).map_err(&doing)?;
            let done = self.execute(&segment.commands);
            let graph = self.stream.end_capture(CUgraphInstantiate_flags(0)).map_err(&doing);
            done?;
            segment.graph = graph?;
        }
        match &segment.graph {
            Some(graph) => graph.launch().map_err(doing),
            None => self.execute(&segment.commands),
        }
    }

    /// Milliseconds of each command, the median of `repeats` runs.
    ///
    /// # Errors
    ///
    /// As [`Engine::run`].
    pub fn time(&mut self, segment: &Segment, repeats: usize) -> Result<Vec<f64>, EngineError> {
        self.own(segment)?;
        let doing = failed("timing its commands");
        self.context.bind_to_thread().map_err(&doing)?;
        let flags = Some(cudarc::driver::sys::CUevent_flags::CU_EVENT_DEFAULT);
        let mut all: Vec<Vec<f64>> = vec![Vec::new(); segment.commands.len()];
        for _ in 0..repeats {
            let mut marks = vec![self.stream.record_event(flags).map_err(&doing)?];
            for command in &segment.commands {
                self.execute(std::slice::from_ref(command))?;
                marks.push(self.stream.record_event(flags).map_err(&doing)?);
            }
            self.stream.synchronize().map_err(&doing)?;
            for (times, pair) in all.iter_mut().zip(marks.windows(2)) {
                times.push(f64::from(pair[0].elapsed_ms(&pair[1]).map_err(&doing)?));
            }
        }
        let median = |times: &mut Vec<f64>| {
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        };
        Ok(all.iter_mut().map(median).collect())
    }

    /// Waits for all commands.
    ///
    /// # Errors
    ///
    /// If the GPU has failed.
    pub fn wait(&self) -> Result<(), EngineError> {
        self.stream.synchronize().map_err(failed("running its commands"))
    }

    fn execute(&mut self, commands: &[Command]) -> Result<(), EngineError> {
        for command in commands {
            match command {
                Command::Launch(launch) => self.launch(launch)?,
                Command::Product(product) => {
                    let Product { a, b, c, .. } = product;
                    let operands = [a, b, c].map(|matrix| self.operand(matrix.place));
                    self.libraries.product(product, operands)?;
                }
                Command::Convolution(convolution) => {
                    let Convolution { x, w, y, .. } = *convolution;
                    let operands = [x, w, y].map(|place| self.operand(place));
                    self.libraries.convolution(convolution, operands)?;
                }
            }
        }
        Ok(())
    }

    fn pointer(&self, place: Place) -> u64 {
        let first = place.first * self.plan.storage(place).n_bytes();
        self.pointers[place.buffer] + first as u64
    }

    fn operand(&self, place: Place) -> Operand {
        let Buffer { len, storage } = self.plan.buffers[place.buffer];
        Operand { pointer: self.pointer(place), len: len - place.first, storage }
    }

    fn launch(&self, launch: &Launch) -> Result<(), EngineError> {
        let mut arguments = Arguments::default();
        let buffers = arguments.buffers.iter_mut().zip(&launch.buffers);
        buffers.for_each(|(to, &place)| *to = self.pointer(place));
        let numbers = arguments.numbers.iter_mut().zip(&launch.numbers);
        numbers.for_each(|(to, &number)| *to = i32::try_from(number).unwrap_or(i32::MAX));
        let reals = arguments.reals.iter_mut().zip(&launch.reals);
        reals.for_each(|(to, &real)| *to = real as f32);
        self.plan.bf16_of(launch).iter().for_each(|which| arguments.bf16 |= 1 << which);
        let function = self.functions.get(launch.kernel).ok_or_else(|| EngineError::Failed {
            doing: "launching a kernel",
            problem: format!("this build has no kernel '{}'", launch.kernel),
        })?;
        let [x, y] = launch.blocks.map(|n| n as u32);
        let shape = LaunchConfig {
            grid_dim: (x, y, 1),
            block_dim: (launch.threads as u32, 1, 1),
            shared_mem_bytes: (launch.shared * size_of::<f32>()) as u32,
        };
        let mut builder = self.stream.launch_builder(function);
        builder.arg(&arguments);
        // SAFETY: every kernel takes one `Arguments`. `Plan::check` saw that its places start inside their buffers and
        // that nothing was cut off above; that it stays inside is what the caller of `Engine::new` answers for.
        unsafe { builder.launch(shape) }.map_err(failed("launching a kernel"))?;
        Ok(())
    }
}

/// The kernels that `commands` launch.
fn functions(
    context: &Arc<CudaContext>,
    plan: &Plan,
    commands: &[&[Command]],
) -> Result<HashMap<&'static str, CudaFunction>, DriverError> {
    let mut modules = HashMap::new();
    let mut functions = HashMap::new();
    for command in commands.iter().copied().flatten() {
        let Command::Launch(Launch { kernel, .. }) = command else { continue };
        if functions.contains_key(kernel) {
            continue;
        }
        let source = source(kernel, plan.has_bf16());
        let module = match modules.entry(source.as_ptr()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(context.load_module(Ptx::from_src(source))?),
        };
        functions.insert(*kernel, module.load_function(kernel)?);
    }
    Ok(functions)
}

/// PTX of the module of a kernel.
macro_rules! ptx {
    ($name:literal, $bf16:expr) => {
        match $bf16 {
            true => include_str!(concat!(env!("OUT_DIR"), "/", $name, "_bf16.ptx")),
            false => include_str!(concat!(env!("OUT_DIR"), "/", $name, ".ptx")),
        }
    };
}

fn source(kernel: &str, bf16: bool) -> &'static str {
    let width = kernel.starts_with("attend_").then(|| kernel.rsplit('_').next()).flatten();
    match width {
        Some("8") => ptx!("attention_8", bf16),
        Some("16") => ptx!("attention_16", bf16),
        Some("32") => ptx!("attention_32", bf16),
        Some("64") => ptx!("attention_64", bf16),
        _ => ptx!("layers", bf16),
    }
}
