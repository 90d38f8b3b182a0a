//! Current load of the computer: processors, memory, the disk of the runs, NVIDIA GPUs, and one worker.
//!
//! A value that cannot be determined is `None`, never a guess. GPUs are queried through NVML, which is loaded
//! on first use; without a driver, the reading holds an explanation. No CUDA context is ever created here.

use std::path::{Path, PathBuf};

use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// One reading of the computer's load.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Over all processors, 0 to 100; `None` in the first reading.
    pub cpu_percent: Option<f64>,
    pub n_cpus: usize,
    /// The container's memory if it is limited, otherwise the computer's.
    pub memory: Option<Used>,
    /// The file system that holds the runs.
    pub disk: Option<Used>,
    /// The GPUs, or the reason why there are none.
    pub gpus: Result<Vec<Gpu>, String>,
    pub worker: Option<WorkerUse>,
}

/// Used and total amount, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    pub used: u64,
    pub total: u64,
}

impl Used {
    pub fn left(self) -> u64 {
        self.total.saturating_sub(self.used)
    }

    /// The used share, in [0, 1].
    pub fn share(self) -> f64 {
        if self.total == 0 { 0.0 } else { (self.used as f64 / self.total as f64).min(1.0) }
    }
}

/// A GPU, or a MIG instance of one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gpu {
    pub name: String,
    /// Share of time in which a kernel was running, 0 to 100; unknown for MIG instances and for GPUs divided
    /// into them.
    pub percent: Option<f64>,
    pub memory: Option<Used>,
    pub celsius: Option<u32>,
    pub watts: Option<f64>,
    pub watts_limit: Option<f64>,
    /// MIG instances.
    pub parts: Vec<Gpu>,
}

/// Resources used by the worker of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorkerUse {
    pub pid: u32,
    /// 100 means one fully used processor; `None` in the first reading.
    pub cpu_percent: Option<f64>,
    pub memory_bytes: u64,
}

/// Takes readings of the computer's load.
pub struct Monitor {
    system: System,
    /// Directory of the runs, which need not exist yet.
    place: PathBuf,
    driver: Result<Nvml, String>,
    has_looked: bool,
    /// The worker of the last reading; the first CPU share of a new one is meaningless.
    last_worker: Option<u32>,
}

impl Monitor {
    pub fn new(place: impl Into<PathBuf>) -> Self {
        Self {
            system: System::new(),
            place: place.into(),
            driver: Nvml::init().map_err(|error| no_driver(&error)),
            has_looked: false,
            last_worker: None,
        }
    }

    /// Takes a reading. CPU shares cover the time since the last one; `worker` is a process to report on.
    pub fn read(&mut self, worker: Option<u32>) -> Reading {
        self.system.refresh_cpu_usage();
        self.system.refresh_memory();
        let cpu = self.has_looked.then(|| f64::from(self.system.global_cpu_usage()));
        self.has_looked = true;
        Reading {
            cpu_percent: cpu.filter(|percent| percent.is_finite()),
            n_cpus: self.system.cpus().len(),
            memory: self.memory(),
            disk: disk(&self.place),
            gpus: self.driver.as_ref().map_err(Clone::clone).and_then(gpus),
            worker: worker.and_then(|pid| self.worker(pid)),
        }
    }

    fn memory(&self) -> Option<Used> {
        let machine = self.system.total_memory();
        let whole = Used { used: self.system.used_memory(), total: machine };
        let inside = self.system.cgroup_limits().filter(|limits| limits.total_memory < machine);
        let found = inside.map_or(whole, |limits| Used {
            used: limits.total_memory.saturating_sub(limits.free_memory),
            total: limits.total_memory,
        });
        (found.total > 0).then_some(found)
    }

    fn worker(&mut self, pid: u32) -> Option<WorkerUse> {
        let id = Pid::from_u32(pid);
        let what = ProcessRefreshKind::nothing().with_cpu().with_memory();
        self.system.refresh_processes_specifics(ProcessesToUpdate::Some(&[id]), true, what);
        let process = self.system.process(id)?;
        let is_known = self.last_worker.replace(pid) == Some(pid);
        let cpu_percent = is_known.then(|| f64::from(process.cpu_usage()));
        Some(WorkerUse { pid, cpu_percent, memory_bytes: process.memory() })
    }
}

/// Usage of the file system of a directory, or of its nearest existing ancestor.
fn disk(place: &Path) -> Option<Used> {
    let place = std::path::absolute(place).ok()?;
    let there = place.ancestors().find(|folder| folder.exists())?;
    let found = rustix::fs::statvfs(there).ok()?;
    let total = found.f_blocks.checked_mul(found.f_frsize)?;
    // Space available to ordinary users, not to root.
    let left = found.f_bavail.checked_mul(found.f_frsize)?;
    (total > 0).then(|| Used { used: total.saturating_sub(left), total })
}

/// Explains why GPUs cannot be queried.
fn no_driver(error: &NvmlError) -> String {
    match error {
        NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound => {
            "no NVIDIA driver on this computer".to_owned()
        }
        NvmlError::DriverNotLoaded => {
            "the NVIDIA driver is installed but not loaded (try nvidia-smi)".to_owned()
        }
        NvmlError::NoPermission => "no permission to query the NVIDIA driver".to_owned(),
        other => format!("the NVIDIA driver does not answer: {other}"),
    }
}

fn gpus(driver: &Nvml) -> Result<Vec<Gpu>, String> {
    let n = driver.device_count().map_err(|error| no_driver(&error))?;
    // A GPU that has fallen off the bus must not hide the others.
    let one = |index| match driver.device_by_index(index) {
        Ok(device) => gpu(&device),
        Err(error) => Gpu { name: format!("GPU {index}: {error}"), ..Gpu::default() },
    };
    match n {
        0 => Err("the NVIDIA driver finds no GPU".to_owned()),
        n => Ok((0..n).map(one).collect()),
    }
}

fn gpu(device: &Device<'_>) -> Gpu {
    let n_parts = match device.mig_mode() {
        Ok(mode) if mode.current == 1 => device.mig_device_count().unwrap_or(0),
        _ => 0,
    };
    let parts = (0..n_parts).filter_map(|index| device.mig_device_by_index(index).ok());
    let watts = |milliwatts: u32| f64::from(milliwatts) / 1000.0;
    Gpu {
        name: device.name().unwrap_or_else(|_| "unnamed".to_owned()),
        percent: device.utilization_rates().ok().map(|rates| f64::from(rates.gpu)),
        memory: device.memory_info().ok().map(|m| Used { used: m.used, total: m.total }),
        celsius: device.temperature(TemperatureSensor::Gpu).ok(),
        watts: device.power_usage().ok().map(watts),
        watts_limit: device.enforced_power_limit().ok().map(watts),
        parts: parts.map(|part| gpu(&part)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_and_this_process_can_be_read() {
        let mut monitor = Monitor::new("/");
        let me = std::process::id();
        let first = monitor.read(Some(me));
        assert!(first.n_cpus > 0 && first.cpu_percent.is_none(), "{first:?}");
        let memory = first.memory.unwrap();
        assert!(memory.used > 0 && memory.used < memory.total, "{memory:?}");
        assert!(first.worker.unwrap().memory_bytes > 1 << 20);
        let second = monitor.read(Some(me));
        assert!((0.0..=100.0).contains(&second.cpu_percent.unwrap()));
        assert!(second.worker.unwrap().cpu_percent.is_some());
        assert_eq!(monitor.read(None).worker, None);
        match second.gpus {
            Ok(gpus) => assert!(!gpus.is_empty()),
            Err(words) => assert!(!words.is_empty()),
        }
    }

    #[test]
    fn the_disk_of_a_folder_to_come_is_that_of_the_one_above() {
        let place = tempfile::tempdir().unwrap();
        let found = disk(&place.path().join("not/yet")).unwrap();
        assert_eq!(found.total, disk(place.path()).unwrap().total);
        assert!(found.left() < found.total && (0.0..=1.0).contains(&found.share()));
    }
}
