//! An NVIDIA card that obeys a plan: cuBLAS, cuDNN and our kernels on one stream, recorded as CUDA graphs.
//!
//! The stream is this engine's own, and nothing of it is shared with other streams, so the engine turns off the events
//! that cudarc would keep for each buffer. A list of commands runs one by one the first time, which loads what it needs,
//! and is recorded the second time; from then on a card gets it as a whole.

#![allow(
    unsafe_code,
    reason = "launches and library calls: `Plan::check` says that they stay inside their buffers"
)]

use std::collections::HashMap;
use std::sync::Arc;

use cudarc::cublas::sys::{
    cublasMath_t, cublasOperation_t, cublasSetMathMode, cublasSetWorkspace_v2,
};
use cudarc::cublas::{CudaBlas, Gemm, GemmConfig, StridedBatchedConfig};
use cudarc::cudnn::sys::{
    cudnnConvolutionBwdDataAlgo_t, cudnnConvolutionBwdFilterAlgo_t, cudnnConvolutionFwdAlgo_t,
    cudnnConvolutionMode_t, cudnnMathType_t, cudnnTensorFormat_t,
};
use cudarc::cudnn::{
    ConvBackwardData, ConvBackwardFilter, ConvDescriptor, ConvForward, Cudnn, CudnnError,
    FilterDescriptor, TensorDescriptor,
};
use cudarc::driver::sys::{CUgraphInstantiate_flags, CUresult, CUstreamCaptureMode};
use cudarc::driver::{
    CudaContext, CudaEvent, CudaFunction, CudaGraph, CudaSlice, CudaStream, DevicePtr,
    DevicePtrMut, DeviceRepr, DeviceSlice, DriverError, LaunchConfig, PinnedHostSlice,
    PushKernelArg, SyncOnDrop,
};
use cudarc::nvrtc::Ptx;
use thiserror::Error;

use super::plan::{
    Arithmetic, Command, Convolution, ConvolutionSizes, Launch, Matrix, Pass, Place, Plan, Product,
};

/// cuBLAS may use so much memory beside its operands; what NVIDIA recommends for Hopper.
const BLAS_BYTES: usize = 32 << 20;

/// Why a card did not do what it was told.
#[derive(Clone, Debug, Error)]
pub enum EngineError {
    #[error("the card's memory has no room for {megabytes} MB")]
    OutOfMemory { megabytes: usize },
    #[error("a step is too large for a card: {problem}")]
    TooLarge { problem: String },
    #[error("the card failed while {doing}: {problem}")]
    Failed { doing: &'static str, problem: String },
}

/// What a kernel is given, as `kernels/layers.cuh` declares it.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
struct Arguments {
    buffers: [u64; 8],
    numbers: [i32; 10],
    reals: [f32; 4],
}

// SAFETY: the C structure of `layers.cuh`, field by field.
unsafe impl DeviceRepr for Arguments {}

/// Values on the card from a place on.
struct At<'a> {
    pointer: u64,
    len: usize,
    stream: &'a Arc<CudaStream>,
}

impl DeviceSlice<f32> for At<'_> {
    fn len(&self) -> usize {
        self.len
    }

    fn stream(&self) -> &Arc<CudaStream> {
        self.stream
    }
}

impl DevicePtr<f32> for At<'_> {
    fn device_ptr<'a>(&'a self, _stream: &'a CudaStream) -> (u64, SyncOnDrop<'a>) {
        (self.pointer, SyncOnDrop::Record(None))
    }
}

impl DevicePtrMut<f32> for At<'_> {
    fn device_ptr_mut<'a>(&'a mut self, _stream: &'a CudaStream) -> (u64, SyncOnDrop<'a>) {
        (self.pointer, SyncOnDrop::Record(None))
    }
}

/// A convolution's descriptors and the algorithms chosen for its three passes.
struct Prepared {
    x: TensorDescriptor<f32>,
    w: FilterDescriptor<f32>,
    y: TensorDescriptor<f32>,
    conv: ConvDescriptor<f32>,
    forward: cudnnConvolutionFwdAlgo_t,
    input: cudnnConvolutionBwdDataAlgo_t,
    weight: cudnnConvolutionBwdFilterAlgo_t,
    workspace: usize,
}

/// Commands that are obeyed together.
pub struct Segment {
    commands: Vec<Command>,
    n_runs: usize,
    graph: Option<CudaGraph>,
}

impl Segment {
    pub fn commands(&self) -> &[Command] {
        &self.commands
    }
}

// SAFETY: a graph may be launched from any thread, one at a time; only `Engine::run`, which takes both mutably, does.
unsafe impl Send for Segment {}

/// A card with a plan's buffers.
pub struct Engine {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    plan: Plan,
    buffers: Vec<CudaSlice<f32>>,
    pointers: Vec<u64>,
    functions: HashMap<&'static str, CudaFunction>,
    blas: CudaBlas,
    math: cublasMath_t,
    _blas_workspace: CudaSlice<u8>,
    cudnn: Arc<Cudnn>,
    convolutions: HashMap<ConvolutionSizes, Prepared>,
    workspace: CudaSlice<u8>,
    arithmetic: Arithmetic,
    /// Two of them, one filled while the other travels; with the end of its last journey.
    staging: Vec<(PinnedHostSlice<f32>, Option<CudaEvent>)>,
    n_sent: usize,
}

// SAFETY: handles, descriptors and the context object are this engine's own, and every call that uses them binds the
// context to its thread first.
unsafe impl Send for Engine {}

impl Drop for Engine {
    fn drop(&mut self) {
        // Libraries give back what they took in the context of the thread they are called from. Where that fails, the
        // context is gone, and all with it.
        let _ = self.context.bind_to_thread();
    }
}

fn failed(doing: &'static str) -> impl Fn(DriverError) -> EngineError {
    move |error| EngineError::Failed { doing, problem: crate::driver::reason(error) }
}

fn library(doing: &'static str, problem: impl std::fmt::Debug) -> EngineError {
    EngineError::Failed { doing, problem: format!("{problem:?}") }
}

impl Engine {
    /// Card number `ordinal` with zeroed buffers, ready for `commands`.
    pub fn new(
        ordinal: usize,
        plan: Plan,
        commands: &[&[Command]],
        arithmetic: Arithmetic,
    ) -> Result<Self, EngineError> {
        let opening = failed("opening it");
        let context = CudaContext::new(ordinal).map_err(&opening)?;
        // SAFETY: every buffer of this context object is used on the one stream below.
        unsafe { context.disable_event_tracking() };
        crate::driver::keep_memory(&context);
        let stream = context.new_stream().map_err(&opening)?;
        for commands in commands {
            plan.check(commands).map_err(|problem| EngineError::TooLarge { problem })?;
        }
        let no_room = |bytes: usize| {
            move |error: DriverError| match error.0 {
                CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
                    EngineError::OutOfMemory { megabytes: bytes >> 20 }
                }
                _ => failed("taking memory")(error),
            }
        };
        let all = plan.n_bytes();
        let buffer = |&n: &usize| stream.alloc_zeros::<f32>(n).map_err(no_room(all));
        let buffers = plan.buffers.iter().map(buffer).collect::<Result<Vec<_>, _>>()?;
        let pointers = buffers.iter().map(|buffer| buffer.device_ptr(&stream).0).collect();
        let blas = CudaBlas::new(stream.clone()).map_err(|e| library("opening cuBLAS", e))?;
        let blas_workspace = stream.alloc_zeros::<u8>(BLAS_BYTES).map_err(no_room(BLAS_BYTES))?;
        let place = blas_workspace.device_ptr(&stream).0;
        // SAFETY: the workspace lives as long as the handle.
        unsafe { cublasSetWorkspace_v2(*blas.handle(), place as *mut _, BLAS_BYTES) }
            .result()
            .map_err(|e| library("opening cuBLAS", e))?;
        let cudnn = Cudnn::new(stream.clone()).map_err(|e| library("opening cuDNN", e))?;
        let mut convolutions = HashMap::new();
        for command in commands.iter().copied().flatten() {
            if let Command::Convolution(Convolution { sizes, .. }) = command
                && !convolutions.contains_key(sizes)
            {
                let prepared = Prepared::new(&cudnn, sizes, arithmetic)
                    .map_err(|e| library("asking cuDNN for a convolution", e))?;
                convolutions.insert(*sizes, prepared);
            }
        }
        let bytes = convolutions.values().map(|prepared| prepared.workspace).max().unwrap_or(0);
        let workspace = stream.alloc_zeros::<u8>(bytes.max(1)).map_err(no_room(bytes))?;
        let functions = functions(&context).map_err(failed("loading its kernels"))?;
        Ok(Self {
            context,
            stream,
            plan,
            buffers,
            pointers,
            functions,
            blas,
            math: cublasMath_t::CUBLAS_DEFAULT_MATH,
            _blas_workspace: blas_workspace,
            cudnn,
            convolutions,
            workspace,
            arithmetic,
            staging: Vec::new(),
            n_sent: 0,
        })
    }

    /// Commands to be run many times; they must be among those that the engine was made for.
    pub fn segment(commands: Vec<Command>) -> Segment {
        Segment { commands, n_runs: 0, graph: None }
    }

    /// Puts values on the card; waits for nothing but room to write them.
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
                // SAFETY: written before it is read.
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
        let mut to = self.buffers[place.buffer].slice_mut(place.first..);
        if buffer.len() != to.len() {
            let problem = format!("{} values for a place of {}", buffer.len(), to.len());
            return Err(EngineError::Failed { doing: "sending it values", problem });
        }
        self.stream.memcpy_htod(&*buffer, &mut to).map_err(&sending)?;
        *last = Some(self.stream.record_event(None).map_err(&sending)?);
        Ok(())
    }

    /// Overwrites a whole buffer, and waits.
    pub fn write(&mut self, place: Place, values: &[f32]) -> Result<(), EngineError> {
        let doing = failed("sending it values");
        let n = values.len();
        let mut to = self.buffers[place.buffer].slice_mut(place.first..place.first + n);
        self.stream.memcpy_htod(values, &mut to).map_err(&doing)?;
        self.stream.synchronize().map_err(doing)
    }

    /// What is at a place once everything before is done.
    pub fn read(&self, place: Place, n: usize) -> Result<Vec<f32>, EngineError> {
        let doing = failed("reading its values");
        let from = self.buffers[place.buffer].slice(place.first..place.first + n);
        let values = self.stream.clone_dtoh(&from).map_err(&doing)?;
        self.stream.synchronize().map_err(doing)?;
        Ok(values)
    }

    /// Has the card obey; returns before it has.
    pub fn run(&mut self, segment: &mut Segment) -> Result<(), EngineError> {
        let doing = failed("running its commands");
        self.context.bind_to_thread().map_err(&doing)?;
        segment.n_runs += 1;
        if segment.n_runs == 2 {
            let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
            self.stream.begin_capture(mode).map_err(&doing)?;
            let done = self.obey(&segment.commands);
            let graph = self.stream.end_capture(CUgraphInstantiate_flags(0)).map_err(&doing);
            done?;
            segment.graph = graph?;
        }
        match &segment.graph {
            Some(graph) => graph.launch().map_err(doing),
            None => self.obey(&segment.commands),
        }
    }

    /// Milliseconds of every command, the median of `repeats` runs.
    pub fn time(&mut self, segment: &Segment, repeats: usize) -> Result<Vec<f64>, EngineError> {
        let doing = failed("timing its commands");
        self.context.bind_to_thread().map_err(&doing)?;
        let flags = Some(cudarc::driver::sys::CUevent_flags::CU_EVENT_DEFAULT);
        let mut all: Vec<Vec<f64>> = vec![Vec::new(); segment.commands.len()];
        for _ in 0..repeats {
            let mut marks = vec![self.stream.record_event(flags).map_err(&doing)?];
            for command in &segment.commands {
                self.obey(std::slice::from_ref(command))?;
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

    /// Waits until everything is done.
    pub fn wait(&self) -> Result<(), EngineError> {
        self.stream.synchronize().map_err(failed("running its commands"))
    }

    fn obey(&mut self, commands: &[Command]) -> Result<(), EngineError> {
        for command in commands {
            match command {
                Command::Launch(launch) => self.launch(launch)?,
                Command::Product(product) => self.product(product)?,
                Command::Convolution(convolution) => self.convolution(convolution)?,
            }
        }
        Ok(())
    }

    fn pointer(&self, place: Place) -> u64 {
        self.pointers[place.buffer] + (place.first * size_of::<f32>()) as u64
    }

    fn at(&self, place: Place) -> At<'_> {
        let len = self.plan.buffers[place.buffer] - place.first;
        At { pointer: self.pointer(place), len, stream: &self.stream }
    }

    fn launch(&self, launch: &Launch) -> Result<(), EngineError> {
        let mut arguments = Arguments::default();
        let buffers = arguments.buffers.iter_mut().zip(&launch.buffers);
        buffers.for_each(|(to, &place)| *to = self.pointer(place));
        let numbers = arguments.numbers.iter_mut().zip(&launch.numbers);
        numbers.for_each(|(to, &number)| *to = i32::try_from(number).unwrap_or(i32::MAX));
        let reals = arguments.reals.iter_mut().zip(&launch.reals);
        reals.for_each(|(to, &real)| *to = real as f32);
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
        // SAFETY: the kernel's one argument; its places are inside their buffers.
        unsafe { builder.launch(shape) }.map_err(failed("launching a kernel"))?;
        Ok(())
    }

    fn product(&mut self, product: &Product) -> Result<(), EngineError> {
        let doing = "multiplying matrices";
        let math = match self.arithmetic {
            Arithmetic::Tf32 if !product.exact => cublasMath_t::CUBLAS_TF32_TENSOR_OP_MATH,
            _ => cublasMath_t::CUBLAS_DEFAULT_MATH,
        };
        if math != self.math {
            // SAFETY: the handle is open.
            let set = unsafe { cublasSetMathMode(*self.blas.handle(), math) };
            set.result().map_err(|e| library(doing, e))?;
            self.math = math;
        }
        // cuBLAS counts by columns: what it sees are our transposed matrices, so the factors change places.
        let Product { sizes: [m, n, k], a, b, c, alpha, beta, count, .. } = *product;
        let operation = |matrix: Matrix| match matrix.transposed {
            true => cublasOperation_t::CUBLAS_OP_T,
            false => cublasOperation_t::CUBLAS_OP_N,
        };
        let gemm = GemmConfig {
            transa: operation(b),
            transb: operation(a),
            m: n as i32,
            n: m as i32,
            k: k as i32,
            alpha: alpha as f32,
            lda: b.row as i32,
            ldb: a.row as i32,
            beta: beta as f32,
            ldc: c.row as i32,
        };
        let (left, right) = (self.at(b.place), self.at(a.place));
        let mut out = self.at(c.place);
        // SAFETY: the matrices lie inside their buffers, which `Plan::check` saw to.
        let done = unsafe {
            if count == 1 {
                self.blas.gemm(gemm, &left, &right, &mut out)
            } else {
                let strided = StridedBatchedConfig {
                    gemm,
                    batch_size: count as i32,
                    stride_a: b.stride as i64,
                    stride_b: a.stride as i64,
                    stride_c: c.stride as i64,
                };
                self.blas.gemm_strided_batched(strided, &left, &right, &mut out)
            }
        };
        done.map_err(|e| library(doing, e))
    }

    fn convolution(&mut self, convolution: &Convolution) -> Result<(), EngineError> {
        let doing = "convolving";
        let Convolution { pass, sizes, x, w, y, adds } = *convolution;
        let prepared = self.convolutions.get(&sizes).ok_or_else(|| EngineError::Failed {
            doing,
            problem: format!("the engine was not made for {sizes:?}"),
        })?;
        let scales = (1.0, if adds { 1.0 } else { 0.0 });
        let at = |place: Place| {
            let len = self.plan.buffers[place.buffer] - place.first;
            let pointer = self.pointers[place.buffer] + (place.first * size_of::<f32>()) as u64;
            At { pointer, len, stream: &self.stream }
        };
        let (mut x, mut w, mut y) = (at(x), at(w), at(y));
        let workspace = Some(&mut self.workspace);
        let Prepared { x: dx, w: dw, y: dy, conv, forward, input, weight, .. } = prepared;
        // SAFETY: as for products; the workspace is as large as the largest that was asked for.
        let done = unsafe {
            match pass {
                Pass::Forward => ConvForward { conv, x: dx, w: dw, y: dy }
                    .launch(*forward, workspace, scales, &x, &w, &mut y),
                Pass::Input => ConvBackwardData { conv, dx, w: dw, dy }
                    .launch(*input, workspace, scales, &mut x, &w, &y),
                Pass::Weight => ConvBackwardFilter { conv, x: dx, dw, dy }
                    .launch(*weight, workspace, scales, &x, &mut w, &y),
            }
        };
        done.map_err(|e| library(doing, e))
    }

    /// cuDNN's version, such as 91002.
    pub fn cudnn_version(&self) -> usize {
        let _ = &self.cudnn;
        cudarc::cudnn::result::get_version()
    }
}

fn functions(
    context: &Arc<CudaContext>,
) -> Result<HashMap<&'static str, CudaFunction>, DriverError> {
    let source = include_str!(concat!(env!("OUT_DIR"), "/layers.ptx"));
    let module = context.load_module(Ptx::from_src(source))?;
    KERNELS.iter().map(|&name| Ok((name, module.load_function(name)?))).collect()
}

/// All kernels of `kernels/`.
const KERNELS: [&str; 30] = [
    "enter",
    "tell",
    "finish",
    "finish_gradient",
    "fold",
    "sum_rows",
    "group_norm",
    "group_norm_gradient",
    "pixel_norm",
    "pixel_norm_gradient",
    "softmax",
    "softmax_gradient",
    "watched_softmax",
    "received",
    "mean_pixels",
    "relu",
    "relu_gradient",
    "add_values",
    "add_to_rows",
    "columns",
    "pool",
    "pool_gradient",
    "deal",
    "deal_gradient",
    "classes",
    "classes_gradient",
    "noise_loss",
    "square_sums",
    "decide",
    "update",
];

impl Prepared {
    fn new(
        cudnn: &Arc<Cudnn>,
        sizes: &ConvolutionSizes,
        arithmetic: Arithmetic,
    ) -> Result<Self, CudnnError> {
        use cudnnConvolutionBwdDataAlgo_t::CUDNN_CONVOLUTION_BWD_DATA_ALGO_1;
        use cudnnConvolutionBwdFilterAlgo_t::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1;
        use cudnnConvolutionFwdAlgo_t::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;
        let nhwc = cudnnTensorFormat_t::CUDNN_TENSOR_NHWC;
        let ConvolutionSizes { batch, height, width, c_in, c_out, kernel, border } = *sizes;
        let dims = |sizes: [usize; 4]| sizes.map(|size| size as i32);
        let [high, wide] = sizes.sides_out();
        let x = cudnn.create_4d_tensor::<f32>(nhwc, dims([batch, c_in, height, width]))?;
        let w = cudnn.create_4d_filter::<f32>(nhwc, dims([c_out, c_in, kernel, kernel]))?;
        let y = cudnn.create_4d_tensor::<f32>(nhwc, dims([batch, c_out, high, wide]))?;
        let cross = cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
        let mut conv = cudnn.create_conv2d::<f32>([border as i32; 2], [1; 2], [1; 2], cross)?;
        conv.set_math_type(match arithmetic {
            Arithmetic::Full => cudnnMathType_t::CUDNN_FMA_MATH,
            Arithmetic::Tf32 => cudnnMathType_t::CUDNN_TENSOR_OP_MATH,
        })?;
        // Those that give the same bits each time; where a shape has none, what cuDNN would take.
        let op = ConvForward { conv: &conv, x: &x, w: &w, y: &y };
        let mut forward = CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;
        let mut workspace = match op.get_workspace_size(forward) {
            Ok(bytes) => bytes,
            Err(_) => {
                forward = op.pick_algorithm()?;
                op.get_workspace_size(forward)?
            }
        };
        let op = ConvBackwardData { conv: &conv, dx: &x, w: &w, dy: &y };
        let mut input = CUDNN_CONVOLUTION_BWD_DATA_ALGO_1;
        workspace = workspace.max(match op.get_workspace_size(input) {
            Ok(bytes) => bytes,
            Err(_) => {
                input = op.pick_algorithm()?;
                op.get_workspace_size(input)?
            }
        });
        let op = ConvBackwardFilter { conv: &conv, x: &x, dw: &w, dy: &y };
        let mut weight = CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1;
        workspace = workspace.max(match op.get_workspace_size(weight) {
            Ok(bytes) => bytes,
            Err(_) => {
                weight = op.pick_algorithm()?;
                op.get_workspace_size(weight)?
            }
        });
        Ok(Self { x, w, y, conv, forward, input, weight, workspace })
    }
}
