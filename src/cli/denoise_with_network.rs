//! `mosaic denoise --run`: a run's network on given tensors. Other programs' networks, once imported, are compared with
//! their own outputs this way.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device};

use super::denoise_input::read_input;
use super::denoise_output::{OutputType, output_tensors};
use crate::arrays::safetensors_file::to_bytes;
use crate::diffusion::Denoiser;
use crate::errorln;
use crate::evaluation::choose_gpu_or_cpu;
use crate::evaluation::load_networks_and_data::{load_checkpoint, network_of};
use crate::files::{check_output, write_output};
use crate::hardware::device_request::DeviceRequest;
use crate::network::network_config::NetworkConfig;
use crate::network::parameters::Source;
use crate::network::{Network, NetworkDenoiser};
use crate::runs::run_dir::RunDir;

/// Which network, and what it is asked.
pub struct NetworkQuestion<'a> {
    pub run: &'a RunDir,
    /// Time in (0, 1].
    pub t: f64,
    /// Class of all images, for class-conditional networks.
    pub label: Option<i64>,
    pub input: &'a Path,
    pub output: &'a Path,
    pub dtype: OutputType,
    pub device: &'a DeviceRequest,
}

impl NetworkQuestion<'_> {
    /// Runs the network and writes its output.
    ///
    /// # Errors
    ///
    /// If the run has no checkpoint or its data set cannot be opened, if the input does not fit the network, or if the
    /// output cannot be written.
    pub fn answer(&self) -> Result<()> {
        let cannot = || format!("cannot write the output '{}'", self.output.display());
        check_output(self.output).with_context(cannot)?;
        let (config, _) = network_of(&self.run.experiment()?)?;
        let x = read_input(self.input)?;
        let label = self.class(&config)?;
        let (_, saved) = load_checkpoint(self.run, None)?;
        let (dtype, device) = match self.dtype {
            OutputType::F64 => (DType::F64, Device::Cpu),
            OutputType::F32 => {
                let opened = choose_gpu_or_cpu::open(self.device, |problem| errorln!("{problem}"))?;
                (DType::F32, opened.tensors)
            }
        };
        let network = Network::build(&config, Source::Frozen(&saved.ema), dtype, &device)?;
        let mut denoiser = NetworkDenoiser::new(Arc::new(network));
        if let Some(label) = label {
            denoiser = denoiser.with_labels(vec![label; x.len()]);
        }
        let level = config.schedule.level(self.t);
        let denoised = denoiser.denoise(&x, level)?;
        let tensors = output_tensors(&x, &denoised, level, self.dtype);
        write_output(self.output, &to_bytes(&tensors, None)?).with_context(cannot)
    }

    fn class(&self, config: &NetworkConfig) -> Result<Option<u32>> {
        let id = self.run.id();
        match (config.n_classes, self.label) {
            (None, None) => Ok(None),
            (None, Some(_)) => {
                bail!("--label cannot be given: the network of run '{id}' has no classes")
            }
            (Some(n), None) => {
                bail!("the network of run '{id}' has {n} classes; give one with --label")
            }
            (Some(n), Some(label)) => {
                let label = u32::try_from(label).ok().filter(|&label| (label as usize) < n);
                ensure!(label.is_some(), "--label must be one of 0 to {}", n - 1);
                Ok(label)
            }
        }
    }
}
