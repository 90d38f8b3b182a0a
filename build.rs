//! With the feature `cuda`: our kernels (`src/*/gpu/kernels`) from CUDA C++ to PTX, by nvcc.
//!
//! nvcc is what `NVCC` names, else `$CUDA_HOME/bin/nvcc` (or `$CUDA_PATH`'s), else `nvcc`. The PTX is for compute
//! capability 8.0 and later, whatever GPU is in this machine: the driver compiles it for the GPU that it finds.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Patch sides with a kernel of their own, as `STRIP_SIDES` of `src/theory/gpu/kernel_choice.rs`.
const STRIP_SIDES: [usize; 7] = [3, 5, 7, 9, 11, 13, 15];

/// Channels of attention heads with kernels of their own, as `WIDTHS` of `src/network/gpu/attention_commands.rs`.
const ATTENTION_WIDTHS: [usize; 4] = [8, 16, 32, 64];

fn main() {
    let kernels = Path::new("src/theory/gpu/kernels");
    let layers = Path::new("src/network/gpu/kernels");
    println!("cargo:rerun-if-changed=build.rs");
    for folder in [kernels, layers] {
        println!("cargo:rerun-if-changed={}", folder.display());
    }
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    for name in ["NVCC", "CUDA_HOME", "CUDA_PATH"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    compile(&kernels.join("general.cu"), &out.join("general.ptx"), &[]);
    compile(&kernels.join("ceilings.cu"), &out.join("ceilings.ptx"), &[]);
    for (suffix, bf16) in [("", None), ("_bf16", Some(("BF16", "1")))] {
        let definitions: Vec<_> = bf16.into_iter().collect();
        compile(&layers.join("layers.cu"), &out.join(format!("layers{suffix}.ptx")), &definitions);
        for width in ATTENTION_WIDTHS {
            let width = width.to_string();
            let definitions: Vec<_> = bf16.into_iter().chain([("WIDTH", width.as_str())]).collect();
            let ptx = out.join(format!("attention_{width}{suffix}.ptx"));
            compile(&layers.join("attention.cu"), &ptx, &definitions);
        }
    }
    for side in STRIP_SIDES {
        let side = side.to_string();
        compile(
            &kernels.join("strips.cu"),
            &out.join(format!("strips_{side}.ptx")),
            &[("SIDE", &side)],
        );
    }
}

fn nvcc() -> PathBuf {
    let toolkit = || env::var_os("CUDA_HOME").or_else(|| env::var_os("CUDA_PATH"));
    match env::var_os("NVCC") {
        Some(nvcc) => nvcc.into(),
        None => toolkit().map_or("nvcc".into(), |home| PathBuf::from(home).join("bin/nvcc")),
    }
}

fn compile(source: &Path, ptx: &Path, definitions: &[(&str, &str)]) {
    let nvcc = nvcc();
    let mut command = Command::new(&nvcc);
    // Flushing denormals makes an exponential one instruction; no sum of ours is that small.
    command.args(["-std=c++17", "-O3", "-ftz=true", "--ptx", "-arch=compute_80"]);
    command.args(definitions.iter().map(|(name, value)| format!("-D{name}={value}")));
    let done = command.arg("-o").arg(ptx).arg(source).status();
    match done {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("'{}' failed on '{}' with {status}", nvcc.display(), source.display()),
        Err(error) => panic!(
            "the feature 'cuda' needs nvcc, but '{}' cannot be run: {error}; install a CUDA toolkit and put its bin \
             folder on the path, or set CUDA_HOME or NVCC",
            nvcc.display()
        ),
    }
}
