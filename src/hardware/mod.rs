//! The resources of this computer: processors, memory, disks, GPUs and their driver, and the limits set by its
//! system.
//!
//! This module does not know what is computed, or on which device.

pub mod system;
pub mod device_request;
#[cfg(feature = "cuda")]
pub mod driver;
pub mod resource_limits;
pub mod compute_environment;
