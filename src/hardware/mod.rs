//! The resources of this computer: processors, memory, disks, GPUs and their driver, and the limits set by its
//! system.
//!
//! This module does not know what is computed, or on which device.

pub mod system_load;
pub mod device_request;
#[cfg(feature = "cuda")]
pub mod nvidia_driver;
pub mod resource_limits;
pub mod compute_environment;
