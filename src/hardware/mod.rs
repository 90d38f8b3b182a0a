//! What this computer has: processors, memory, disks, GPUs and their driver, and the limits that its system sets.
//!
//! Deliberately absent: what is computed, and on what.

pub mod system;
pub mod device;
pub mod driver;
pub mod resource_limits;
