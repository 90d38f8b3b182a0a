//! Which devices an experiment can be trained on.

use super::error::SettingError;
use super::experiment_settings::Experiment;
use crate::hardware::device_request::DeviceRequest;
use crate::training::training_config::OptimizerKind;

impl Experiment {
    /// True if training works on the CPU only.
    pub fn trains_on_cpu_only(&self) -> bool {
        match self.training.optimizer {
            OptimizerKind::AdamW => false,
            OptimizerKind::Soap => true,
        }
    }

    /// Refuses a GPU that was asked for by number where training works on the CPU only. (With `auto`, the network is
    /// then trained on the CPU.)
    ///
    /// # Errors
    ///
    /// Names the setting that does not work on GPUs.
    pub fn check_device(&self, device: &DeviceRequest) -> Result<(), SettingError> {
        match device {
            DeviceRequest::Cuda(_) if self.trains_on_cpu_only() => {
                let optimizer: &str = self.training.optimizer.into();
                let problem = format!(
                    "'{optimizer}' trains on the CPU only, but the device is '{device}'; use training.optimizer=adamw, or --device cpu"
                );
                Err(SettingError::combination("training.optimizer", problem))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soap_is_refused_on_gpus_that_were_asked_for() {
        let mut experiment = Experiment::default();
        let gpu: DeviceRequest = "cuda:0,1".parse().unwrap();
        assert_eq!(experiment.check_device(&gpu), Ok(()));
        experiment.set_pair("training.optimizer=soap").unwrap();
        for device in [DeviceRequest::Auto, DeviceRequest::Cpu] {
            assert_eq!(experiment.check_device(&device), Ok(()));
        }
        let error = experiment.check_device(&gpu).unwrap_err().to_string();
        for words in ["'soap'", "'cuda:0,1'", "training.optimizer=adamw", "--device cpu"] {
            assert!(error.contains(words), "{error}");
        }
    }
}
