//! NVIDIA driver support shared by networks and theory: error messages and the memory pool. Built only with
//! the feature `cuda`.

#![allow(unsafe_code, reason = "two calls that cudarc has no safe words for")]

use cudarc::driver::sys::{
    CUmemPool_attribute, CUresult, cuDeviceGetDefaultMemPool, cuMemPoolSetAttribute,
};
use cudarc::driver::{CudaContext, DriverError};

/// A one-line explanation of a driver error for the user.
pub fn reason(error: DriverError) -> String {
    let words = match error.0 {
        CUresult::CUDA_ERROR_STUB_LIBRARY | CUresult::CUDA_ERROR_SHARED_OBJECT_INIT_FAILED => {
            "no NVIDIA driver on this computer (libcuda.so.1 was not found)"
        }
        CUresult::CUDA_ERROR_NO_DEVICE => {
            "the driver sees no GPU (see nvidia-smi; CUDA_VISIBLE_DEVICES may hide it)"
        }
        CUresult::CUDA_ERROR_INVALID_DEVICE => {
            "there is no GPU with that number (see nvidia-smi -L)"
        }
        CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION
        | CUresult::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH
        | CUresult::CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE => {
            "the driver is older than the CUDA toolkit of this build; update it, or build with its toolkit"
        }
        CUresult::CUDA_ERROR_DEVICE_UNAVAILABLE => {
            "another process uses the GPU exclusively (nvidia-smi -c shows its compute mode)"
        }
        CUresult::CUDA_ERROR_OUT_OF_MEMORY => "the GPU's memory is full (see nvidia-smi)",
        CUresult::CUDA_ERROR_NOT_INITIALIZED | CUresult::CUDA_ERROR_UNKNOWN => {
            "the driver does not start (see nvidia-smi; a reboot often helps)"
        }
        _ => "",
    };
    let code = format!("{:?}", error.0);
    if words.is_empty() { code } else { format!("{words} [{code}]") }
}

/// Keeps freed memory in the process's pool: allocating it again from the system costs more than most launches.
pub fn keep_memory(context: &CudaContext) {
    let mut pool = std::ptr::null_mut();
    let mut threshold = u64::MAX;
    // SAFETY: the driver writes the pool's handle to `pool` and reads a `u64`, the type of this attribute, from
    // `threshold`; both outlive the calls. The handle is used only if the driver returned one.
    unsafe {
        if cuDeviceGetDefaultMemPool(&mut pool, context.cu_device()) == CUresult::CUDA_SUCCESS {
            let which = CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
            cuMemPoolSetAttribute(pool, which, std::ptr::from_mut(&mut threshold).cast());
        }
    }
}
