//! Requests for compute devices and their syntax. [`crate::evaluation::choose_gpu_or_cpu`] opens the devices.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Description of the values accepted by settings and `--device`.
pub const ACCEPTED: &str = "auto, cpu, cuda:N or cuda:N,M,...";

/// A requested device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeviceRequest {
    /// The first working GPU, otherwise the CPU.
    #[default]
    Auto,
    Cpu,
    /// GPUs by index, at least one; networks use the first.
    Cuda(Vec<usize>),
}

#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("unknown device '{found}'; use {ACCEPTED}")]
pub struct UnknownDevice {
    found: String,
}

impl FromStr for DeviceRequest {
    type Err = UnknownDevice;

    fn from_str(text: &str) -> Result<Self, UnknownDevice> {
        let unknown = || UnknownDevice { found: text.to_owned() };
        match text {
            "auto" => return Ok(Self::Auto),
            "cpu" => return Ok(Self::Cpu),
            _ => {}
        }
        let numbers = text.strip_prefix("cuda:").ok_or_else(unknown)?.split(',');
        let numbers: Vec<u16> = numbers
            .map(|number| number.trim().parse().map_err(|_| unknown()))
            .collect::<Result<_, _>>()?;
        let is_repeated = |(i, number): (usize, &u16)| numbers[..i].contains(number);
        if numbers.iter().enumerate().any(is_repeated) {
            return Err(unknown());
        }
        Ok(Self::Cuda(numbers.into_iter().map(usize::from).collect()))
    }
}

impl fmt::Display for DeviceRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => write!(f, "auto"),
            Self::Cpu => write!(f, "cpu"),
            Self::Cuda(numbers) => {
                let numbers: Vec<String> = numbers.iter().map(usize::to_string).collect();
                write!(f, "cuda:{}", numbers.join(","))
            }
        }
    }
}

impl DeviceRequest {
    /// True if two requests may resolve to the same device.
    pub fn may_share(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Auto, _) | (_, Self::Auto) | (Self::Cpu, Self::Cpu) => true,
            (Self::Cuda(a), Self::Cuda(b)) => a.iter().any(|number| b.contains(number)),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(text: &str) -> DeviceRequest {
        text.parse().unwrap()
    }

    #[test]
    fn devices_are_read_and_written_alike() {
        for text in ["auto", "cpu", "cuda:0", "cuda:3,1"] {
            assert_eq!(wanted(text).to_string(), text);
        }
        assert_eq!(wanted("cuda:0, 1"), DeviceRequest::Cuda(vec![0, 1]));
        for text in ["", "gpu", "cuda", "cuda:", "cuda:x", "cuda:0,", "cuda:1,1", "cuda:-1"] {
            let error = text.parse::<DeviceRequest>().unwrap_err().to_string();
            assert!(error.contains(&format!("'{text}'")) && error.contains(ACCEPTED), "{error}");
        }
    }

    #[test]
    fn devices_are_shared_by_those_that_may_meet() {
        let shares = |a: &str, b: &str| wanted(a).may_share(&wanted(b));
        assert!(shares("cuda:0", "cuda:0") && shares("auto", "cuda:1") && shares("cpu", "auto"));
        assert!(shares("cuda:0,1", "cuda:1,2") && shares("cpu", "cpu"));
        assert!(!shares("cuda:0", "cuda:1") && !shares("cpu", "cuda:0"));
    }
}
