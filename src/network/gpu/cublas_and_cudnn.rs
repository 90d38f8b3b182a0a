//! cuBLAS and cuDNN on the stream of an engine: matrix products and convolutions in single precision and bfloat16.
//!
//! Algorithms are chosen and workspaces allocated when the libraries are opened, so that their calls can be recorded.

#![allow(
    unsafe_code,
    reason = "library calls over places that `Plan::check` has found inside their buffers"
)]

use std::collections::HashMap;
use std::ffi::c_void;
use std::marker::PhantomData;
use std::sync::Arc;

use cudarc::cublas::result::{CublasError, gemm_strided_batched_ex};
use cudarc::cublas::sys::{
    cublasComputeType_t, cublasGemmAlgo_t, cublasMath_t, cublasOperation_t, cublasSetMathMode,
    cublasSetWorkspace_v2, cudaDataType,
};
use cudarc::cublas::{CudaBlas, Gemm, GemmConfig, StridedBatchedConfig};
use cudarc::cudnn::sys::{
    cudnnConvolutionBwdDataAlgo_t, cudnnConvolutionBwdFilterAlgo_t, cudnnConvolutionFwdAlgo_t,
    cudnnConvolutionMode_t, cudnnMathType_t, cudnnTensorFormat_t,
};
use cudarc::cudnn::{
    ConvBackwardData, ConvBackwardFilter, ConvDescriptor, ConvForward, Cudnn, CudnnDataType,
    CudnnError, FilterDescriptor, TensorDescriptor,
};
use cudarc::driver::{CudaSlice, CudaStream, DevicePtr, DevicePtrMut, DeviceSlice, SyncOnDrop};
use half::bf16;

use super::command_plan::{Command, Convolution, ConvolutionSizes, Matrix, Pass, Plan, Product};
use super::compute_type::{ComputeType, Storage};
use super::error::{EngineError, no_room};

/// Workspace of cuBLAS: the size that NVIDIA recommends for Hopper.
const BLAS_BYTES: usize = 32 << 20;

/// Values on the GPU from a place to the end of its buffer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operand {
    pub pointer: u64,
    /// Number of values.
    pub len: usize,
    pub storage: Storage,
}

impl Operand {
    /// The values as `T`.
    fn at<T>(self, stream: &Arc<CudaStream>) -> At<'_, T> {
        At { pointer: self.pointer, len: self.len, stream, kept: PhantomData }
    }

    fn data_type(self) -> cudaDataType {
        match self.storage {
            Storage::F32 => cudaDataType::CUDA_R_32F,
            Storage::Bf16 => cudaDataType::CUDA_R_16BF,
        }
    }
}

/// Values of type `T` on the GPU.
struct At<'a, T> {
    pointer: u64,
    len: usize,
    stream: &'a Arc<CudaStream>,
    kept: PhantomData<T>,
}

impl<T> DeviceSlice<T> for At<'_, T> {
    fn len(&self) -> usize {
        self.len
    }

    fn stream(&self) -> &Arc<CudaStream> {
        self.stream
    }
}

impl<T> DevicePtr<T> for At<'_, T> {
    fn device_ptr<'a>(&'a self, _stream: &'a CudaStream) -> (u64, SyncOnDrop<'a>) {
        (self.pointer, SyncOnDrop::Record(None))
    }
}

impl<T> DevicePtrMut<T> for At<'_, T> {
    fn device_ptr_mut<'a>(&'a mut self, _stream: &'a CudaStream) -> (u64, SyncOnDrop<'a>) {
        (self.pointer, SyncOnDrop::Record(None))
    }
}

/// A convolution's descriptors and the algorithms chosen for its three passes.
struct Prepared<T> {
    x: TensorDescriptor<T>,
    w: FilterDescriptor<T>,
    y: TensorDescriptor<T>,
    conv: ConvDescriptor<f32>,
    forward: cudnnConvolutionFwdAlgo_t,
    input: cudnnConvolutionBwdDataAlgo_t,
    weight: cudnnConvolutionBwdFilterAlgo_t,
    workspace: usize,
}

/// Both libraries, prepared for the commands that they were opened for.
pub(super) struct Libraries {
    stream: Arc<CudaStream>,
    blas: CudaBlas,
    math: cublasMath_t,
    _blas_workspace: CudaSlice<u8>,
    convolutions: HashMap<ConvolutionSizes, Prepared<f32>>,
    bf16_convolutions: HashMap<ConvolutionSizes, Prepared<bf16>>,
    workspace: CudaSlice<u8>,
    compute_type: ComputeType,
}

fn library(doing: &'static str, problem: impl std::fmt::Debug) -> EngineError {
    EngineError::Failed { doing, problem: format!("{problem:?}") }
}

impl Libraries {
    pub fn open(
        stream: &Arc<CudaStream>,
        plan: &Plan,
        commands: &[&[Command]],
        compute_type: ComputeType,
    ) -> Result<Self, EngineError> {
        let take = |bytes: usize| stream.alloc_zeros::<u8>(bytes.max(1)).map_err(no_room(bytes));
        let blas = CudaBlas::new(stream.clone()).map_err(|e| library("opening cuBLAS", e))?;
        let blas_workspace = take(BLAS_BYTES)?;
        let place = blas_workspace.device_ptr(stream).0;
        // SAFETY: the workspace has that many bytes and is kept beside the handle in `Self`; on the same stream, so that
        // its end waits for the products that use it.
        unsafe { cublasSetWorkspace_v2(*blas.handle(), place as *mut _, BLAS_BYTES) }
            .result()
            .map_err(|e| library("opening cuBLAS", e))?;
        let cudnn = Cudnn::new(stream.clone()).map_err(|e| library("opening cuDNN", e))?;
        let (mut convolutions, mut bf16_convolutions) = (HashMap::new(), HashMap::new());
        for command in commands.iter().copied().flatten() {
            let Command::Convolution(Convolution { sizes, x, .. }) = command else { continue };
            match plan.storage(*x) {
                Storage::F32 => prepare(&mut convolutions, &cudnn, sizes, compute_type)?,
                Storage::Bf16 => prepare(&mut bf16_convolutions, &cudnn, sizes, compute_type)?,
            }
        }
        let singles = convolutions.values().map(|prepared| prepared.workspace);
        let halves = bf16_convolutions.values().map(|prepared| prepared.workspace);
        let workspace = take(singles.chain(halves).max().unwrap_or(0))?;
        Ok(Self {
            stream: stream.clone(),
            blas,
            math: cublasMath_t::CUBLAS_DEFAULT_MATH,
            _blas_workspace: blas_workspace,
            convolutions,
            bf16_convolutions,
            workspace,
            compute_type,
        })
    }

    /// A product of the matrices at `a`, `b` and `c`.
    pub fn product(
        &mut self,
        product: &Product,
        [a_at, b_at, c_at]: [Operand; 3],
    ) -> Result<(), EngineError> {
        let doing = "multiplying matrices";
        let is_full = product.exact || self.compute_type == ComputeType::F32;
        let is_bf16 = a_at.storage == Storage::Bf16;
        let math = match is_full {
            _ if is_bf16 => cublasMath_t::CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION,
            true => cublasMath_t::CUBLAS_DEFAULT_MATH,
            false => cublasMath_t::CUBLAS_TF32_TENSOR_OP_MATH,
        };
        if math != self.math {
            // SAFETY: the handle is open.
            let set = unsafe { cublasSetMathMode(*self.blas.handle(), math) };
            set.result().map_err(|e| library(doing, e))?;
            self.math = math;
        }
        // cuBLAS is column-major and sees our matrices transposed, so the factors change places.
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
        if is_bf16 {
            let done = self.bf16_product(product, gemm, [a_at, b_at, c_at]);
            return done.map_err(|e| library(doing, e));
        }
        let [left, right] = [b_at, a_at].map(|operand| operand.at::<f32>(&self.stream));
        let mut out = c_at.at::<f32>(&self.stream);
        // SAFETY: commands come from a segment, so `Plan::check` has seen that each matrix, `count` of them included,
        // lies inside its buffer, that rows are as long as they are said to be, that all sizes fit 32 bits, and that
        // what is written in single precision is kept so.
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

    /// A product of bfloat16 matrices, summed in single precision and stored in the number format of `c`.
    fn bf16_product(
        &self,
        product: &Product,
        gemm: GemmConfig<f32>,
        [a, b, c]: [Operand; 3],
    ) -> Result<(), CublasError> {
        let pointer = |operand: Operand| operand.pointer as *mut c_void;
        // SAFETY: as for products of single precision, each matrix with the type that its buffer keeps; scales are on
        // the host and `f32`, the type that sums are made in.
        unsafe {
            gemm_strided_batched_ex(
                *self.blas.handle(),
                gemm.transa,
                gemm.transb,
                gemm.m,
                gemm.n,
                gemm.k,
                (&raw const gemm.alpha).cast(),
                pointer(b),
                b.data_type(),
                gemm.lda,
                product.b.stride as i64,
                pointer(a),
                a.data_type(),
                gemm.ldb,
                product.a.stride as i64,
                (&raw const gemm.beta).cast(),
                pointer(c),
                c.data_type(),
                gemm.ldc,
                product.c.stride as i64,
                product.count as i32,
                cublasComputeType_t::CUBLAS_COMPUTE_32F,
                cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        }
    }

    /// Runs one pass of a convolution over x, w and y.
    pub fn convolution(
        &mut self,
        convolution: &Convolution,
        [x, w, y]: [Operand; 3],
    ) -> Result<(), EngineError> {
        let Convolution { sizes, .. } = convolution;
        let unprepared = || EngineError::Failed {
            doing: "convolving",
            problem: format!("the engine was not made for {sizes:?}"),
        };
        let (stream, workspace) = (&self.stream, &mut self.workspace);
        let done = match x.storage {
            Storage::F32 => {
                let prepared = self.convolutions.get(sizes).ok_or_else(unprepared)?;
                prepared.launch(convolution, [x, w, y].map(|of| of.at(stream)), workspace)
            }
            Storage::Bf16 => {
                let prepared = self.bf16_convolutions.get(sizes).ok_or_else(unprepared)?;
                prepared.launch(convolution, [x, w, y].map(|of| of.at(stream)), workspace)
            }
        };
        done.map_err(|e| library("convolving", e))
    }
}

fn prepare<T: CudnnDataType>(
    all: &mut HashMap<ConvolutionSizes, Prepared<T>>,
    cudnn: &Arc<Cudnn>,
    sizes: &ConvolutionSizes,
    compute_type: ComputeType,
) -> Result<(), EngineError> {
    if !all.contains_key(sizes) {
        let prepared = Prepared::new(cudnn, sizes, compute_type)
            .map_err(|e| library("asking cuDNN for a convolution", e))?;
        all.insert(*sizes, prepared);
    }
    Ok(())
}

impl<T: CudnnDataType + From<bf16>> Prepared<T> {
    /// One of the three passes, over x, w and y.
    fn launch(
        &self,
        convolution: &Convolution,
        [mut x, mut w, mut y]: [At<'_, T>; 3],
        workspace: &mut CudaSlice<u8>,
    ) -> Result<(), CudnnError> {
        let beta = if convolution.adds { bf16::ONE } else { bf16::ZERO };
        let scales = (T::from(bf16::ONE), T::from(beta));
        let workspace = Some(workspace);
        let Self { x: dx, w: dw, y: dy, conv, forward, input, weight, .. } = self;
        // SAFETY: `Plan::check` has seen that x, w and y of these sizes lie inside their buffers and are all kept as
        // `T`; the descriptors were made for the same sizes. The workspace has as many bytes as the hungriest of all
        // prepared convolutions asked for.
        unsafe {
            match convolution.pass {
                Pass::Forward => ConvForward { conv, x: dx, w: dw, y: dy }
                    .launch(*forward, workspace, scales, &x, &w, &mut y),
                Pass::Input => ConvBackwardData { conv, dx, w: dw, dy }
                    .launch(*input, workspace, scales, &mut x, &w, &y),
                Pass::Weight => ConvBackwardFilter { conv, x: dx, dw, dy }
                    .launch(*weight, workspace, scales, &x, &mut w, &y),
            }
        }
    }
}

impl<T: CudnnDataType> Prepared<T> {
    fn new(
        cudnn: &Arc<Cudnn>,
        sizes: &ConvolutionSizes,
        compute_type: ComputeType,
    ) -> Result<Self, CudnnError> {
        use cudnnConvolutionBwdDataAlgo_t::CUDNN_CONVOLUTION_BWD_DATA_ALGO_1;
        use cudnnConvolutionBwdFilterAlgo_t::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1;
        use cudnnConvolutionFwdAlgo_t::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;
        let nhwc = cudnnTensorFormat_t::CUDNN_TENSOR_NHWC;
        let ConvolutionSizes { batch, height, width, c_in, c_out, kernel, border } = *sizes;
        let dims = |sizes: [usize; 4]| sizes.map(|size| size as i32);
        let [high, wide] = sizes.sides_out();
        let x = cudnn.create_4d_tensor::<T>(nhwc, dims([batch, c_in, height, width]))?;
        let w = cudnn.create_4d_filter::<T>(nhwc, dims([c_out, c_in, kernel, kernel]))?;
        let y = cudnn.create_4d_tensor::<T>(nhwc, dims([batch, c_out, high, wide]))?;
        let cross = cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
        let mut conv = cudnn.create_conv2d::<f32>([border as i32; 2], [1; 2], [1; 2], cross)?;
        conv.set_math_type(match compute_type {
            ComputeType::F32 => cudnnMathType_t::CUDNN_FMA_MATH,
            ComputeType::Tf32 | ComputeType::Bf16 => cudnnMathType_t::CUDNN_TENSOR_OP_MATH,
        })?;
        let op = ConvForward { conv: &conv, x: &x, w: &w, y: &y };
        let (forward, room) = algorithm(
            CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM,
            |which| op.get_workspace_size(which),
            || op.pick_algorithm(),
        )?;
        let op = ConvBackwardData { conv: &conv, dx: &x, w: &w, dy: &y };
        let (input, room_of_input) = algorithm(
            CUDNN_CONVOLUTION_BWD_DATA_ALGO_1,
            |which| op.get_workspace_size(which),
            || op.pick_algorithm(),
        )?;
        let op = ConvBackwardFilter { conv: &conv, x: &x, dw: &w, dy: &y };
        let (weight, room_of_weight) = algorithm(
            CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1,
            |which| op.get_workspace_size(which),
            || op.pick_algorithm(),
        )?;
        let workspace = room.max(room_of_input).max(room_of_weight);
        Ok(Self { x, w, y, conv, forward, input, weight, workspace })
    }
}

/// The algorithm `reproducible`, which returns the same bits each time, or if it does not support the shape the one that
/// cuDNN picks; and the bytes of its workspace.
fn algorithm<A: Copy>(
    reproducible: A,
    bytes_of: impl Fn(A) -> Result<usize, CudnnError>,
    pick: impl Fn() -> Result<A, CudnnError>,
) -> Result<(A, usize), CudnnError> {
    match bytes_of(reproducible) {
        Ok(bytes) => Ok((reproducible, bytes)),
        Err(_) => {
            let picked = pick()?;
            Ok((picked, bytes_of(picked)?))
        }
    }
}
