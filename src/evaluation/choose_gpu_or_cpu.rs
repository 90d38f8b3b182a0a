//! Opens the devices for networks and theory, or explains why one cannot be used.
//!
//! Networks compute on one device. Theory uses every GPU that is named: each takes its share of the dictionary.

use std::sync::Arc;

use anyhow::Result;
use candle_core::Device;

use crate::hardware::device_request::DeviceRequest;
use crate::theory::{TrainingImages, gpu::Gpus};

/// A device, opened.
pub struct Opened {
    /// The device of networks.
    pub tensors: Device,
    /// The GPUs that theory uses besides the CPU.
    pub gpus: Option<Arc<Gpus>>,
    /// A description of both.
    pub words: String,
}

impl Opened {
    /// The images, with the GPUs for machines over them.
    pub fn images(&self, images: TrainingImages) -> TrainingImages {
        with_gpus(images, self.gpus.clone())
    }

    /// The same with the CPU as the device of networks.
    pub fn with_network_on_cpu(self) -> Self {
        let words = format!("{}; theory on {}", cpu_in_words(), self.words);
        Self { tensors: Device::Cpu, words, ..self }
    }
}

fn cpu_in_words() -> String {
    format!("cpu ({} threads)", rayon::current_num_threads())
}

/// The images, with GPUs for machines over them if there are any.
pub fn with_gpus(images: TrainingImages, gpus: Option<Arc<Gpus>>) -> TrainingImages {
    match gpus {
        Some(gpus) => images.with_gpus(gpus),
        None => images,
    }
}

/// Opens the requested device. `auto` takes the first GPU if it works and otherwise the CPU, with the reason in
/// [`Opened::words`]. `report` is called with the problem if GPUs are given up later.
///
/// # Errors
/// If a GPU that was requested by number cannot be opened.
pub fn open(
    request: &DeviceRequest,
    report: impl Fn(&str) + Send + Sync + 'static,
) -> Result<Opened> {
    let on_cpu = |words| Opened { tensors: Device::Cpu, gpus: None, words };
    choose(request, on_cpu, |numbers| cuda::open(numbers, report))
}

/// Opens GPUs alone, for theory without a network; also returns a description of what computes.
///
/// # Errors
/// If a GPU that was requested by number cannot be opened.
pub fn open_gpus(
    request: &DeviceRequest,
    report: impl Fn(&str) + Send + Sync + 'static,
) -> Result<(Option<Arc<Gpus>>, String)> {
    let on_gpus = |numbers: &[usize]| {
        cuda::open_gpus(numbers, report).map(|(gpus, words)| (Some(gpus), words))
    };
    choose(request, |words| (None, words), on_gpus)
}

/// Opens the requested GPUs, or the CPU if `auto` finds no GPU that works; `on_cpu` gets a description.
fn choose<T>(
    request: &DeviceRequest,
    on_cpu: impl FnOnce(String) -> T,
    on_gpus: impl FnOnce(&[usize]) -> Result<T>,
) -> Result<T> {
    let cpu = cpu_in_words();
    match request {
        DeviceRequest::Auto if cfg!(feature = "cuda") => {
            Ok(on_gpus(&[0]).unwrap_or_else(|error| on_cpu(format!("{cpu}; no CUDA: {error:#}"))))
        }
        DeviceRequest::Auto | DeviceRequest::Cpu => Ok(on_cpu(cpu)),
        DeviceRequest::Cuda(numbers) => on_gpus(numbers),
    }
}

pub use cuda::ceilings;

/// A build without CUDA opens no GPU.
#[cfg(not(feature = "cuda"))]
mod cuda {
    use super::*;
    use crate::theory::gpu::Ceilings;

    pub fn open_gpus(numbers: &[usize], _: impl Fn(&str)) -> Result<(Arc<Gpus>, String)> {
        let request = DeviceRequest::Cuda(numbers.to_vec());
        anyhow::bail!(
            "device '{request}' needs a build with CUDA: cargo build --release --features cuda (docs/gpu.md)"
        )
    }

    pub fn open(numbers: &[usize], report: impl Fn(&str)) -> Result<Opened> {
        let (gpus, words) = open_gpus(numbers, report)?;
        Ok(Opened { tensors: Device::Cpu, gpus: Some(gpus), words })
    }

    /// The peak rates of the first of these GPUs.
    ///
    /// # Errors
    ///
    /// Always.
    pub fn ceilings(_: &DeviceRequest) -> Result<Ceilings> {
        anyhow::bail!("this build is without CUDA")
    }
}

#[cfg(feature = "cuda")]
mod cuda {
    use super::*;
    use crate::theory::gpu::cuda_device::CudaGpu;
    use crate::theory::gpu::{Ceilings, Gpu};
    use anyhow::Context;

    pub fn open_gpus(
        numbers: &[usize],
        report: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<(Arc<Gpus>, String)> {
        let gpus = numbers.iter().map(|&number| CudaGpu::open(number));
        let gpus: Vec<Arc<CudaGpu>> = gpus.collect::<Result<_, _>>()?;
        let words: Vec<String> =
            gpus.iter().map(|gpu| format!("{} ({})", gpu.name(), gpu.model())).collect();
        let gpus = gpus.into_iter().map(|gpu| -> Box<dyn Gpu> { Box::new(gpu) }).collect();
        Ok((Arc::new(Gpus::new(gpus, report)), words.join(", ")))
    }

    pub fn open(
        numbers: &[usize],
        report: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Opened> {
        let (gpus, words) = open_gpus(numbers, report)?;
        let first = numbers.first().copied().unwrap_or(0);
        // One stream for all threads: candle's default is one per thread, whose work on one tensor could overtake.
        let tensors = Device::new_cuda_with_stream(first)
            .map_err(|error| first_line(&error))
            .with_context(|| format!("opening 'cuda:{first}' for networks"))?;
        Ok(Opened { tensors, gpus: Some(gpus), words })
    }

    /// The peak rates of the first of these GPUs, measured.
    ///
    /// # Errors
    ///
    /// If the GPU cannot be opened or fails.
    pub fn ceilings(request: &DeviceRequest) -> Result<Ceilings> {
        let first = match request {
            DeviceRequest::Cuda(numbers) => numbers.first().copied().unwrap_or(0),
            DeviceRequest::Auto | DeviceRequest::Cpu => 0,
        };
        Ok(CudaGpu::open(first)?.ceilings()?)
    }

    /// candle appends backtraces to its messages.
    fn first_line(error: &candle_core::Error) -> anyhow::Error {
        let text = error.to_string();
        anyhow::anyhow!("{}", text.lines().next().unwrap_or(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> DeviceRequest {
        text.parse().unwrap()
    }

    #[test]
    fn the_cpu_is_always_there_and_auto_never_fails() {
        for text in ["cpu", "auto"] {
            let opened = open(&request(text), |_| {}).unwrap();
            assert!(!opened.words.is_empty());
        }
        assert!(matches!(open(&DeviceRequest::Cpu, |_| {}).unwrap().tensors, Device::Cpu));
        assert!(open_gpus(&DeviceRequest::Cpu, |_| {}).unwrap().0.is_none());
        let gpu = Opened { tensors: Device::Cpu, gpus: None, words: "cuda:0 (X)".into() };
        let words = gpu.with_network_on_cpu().words;
        assert!(words.starts_with("cpu (") && words.ends_with("theory on cuda:0 (X)"), "{words}");
    }
}
