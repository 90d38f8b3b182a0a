//! The same work in PyTorch, where python3 has it: the scripts of `benches/peers`, which are part of this binary.

use std::io::Write;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::image::ImageShape;
use crate::network::network_config::{Architecture, NetworkConfig};

/// A script with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    script: &'static str,
    arguments: Vec<String>,
}

/// PyTorch's answer: medians per step, and for theory per step and query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerTiming {
    /// Of all threads.
    pub cpu_ms: f64,
    pub wall_ms: f64,
    /// PyTorch's version.
    pub torch: String,
    /// The optimizer of a training step: AdamW also where SOAP was asked for and its package is not installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optimizer: Option<String>,
}

impl PeerTiming {
    /// Of `n` queries, from the time of one.
    #[must_use]
    pub fn times(self, n: usize) -> Self {
        let n = n as f64;
        Self { cpu_ms: self.cpu_ms * n, wall_ms: self.wall_ms * n, ..self }
    }
}

/// A training step, or with `--sample` a forward pass, or the operation of attention alone.
pub const STEP: &str = include_str!("../../benches/peers/torch_step.py");
/// The equivariant local machine.
pub const EQUIVARIANT_LOCAL: &str = include_str!("../../benches/peers/torch_els.py");
/// Prints PyTorch's version.
const ASK: &str = "import torch\nprint('PyTorch', torch.__version__)";
/// The same, if PyTorch sees a GPU.
const ASK_ON_GPU: &str = "import torch\nassert torch.cuda.is_available(), 'it sees no GPU'\nprint('PyTorch', torch.__version__)";

/// PyTorch's version.
///
/// # Errors
/// The reason why there is none, in one line.
pub fn version() -> Result<String, String> {
    python(ASK, &[])
}

/// PyTorch's version, if it can compute on a GPU.
///
/// # Errors
/// The reason why it cannot, in one line.
pub fn version_on_gpu() -> Result<String, String> {
    python(ASK_ON_GPU, &[])
}

impl Peer {
    /// One of the scripts above, with arguments that are separated by blanks.
    pub fn new(script: &'static str, arguments: &str) -> Self {
        Self { script, arguments: Vec::new() }.with(arguments)
    }

    /// A training step of `network`, without normalisation and classes, on a batch of square images.
    pub fn training_step(network: &NetworkConfig, batch: usize) -> Self {
        let words =
            |numbers: &[usize]| numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(" ");
        let body = match &network.architecture {
            Architecture::ResNet { width, kernels } => {
                format!("--net resnet --width {width} --kernels {}", words(kernels))
            }
            Architecture::UNet { widths, embedding } => {
                format!("--net unet --widths {} --embedding {embedding}", words(widths))
            }
        };
        let ImageShape { channels, width: size, .. } = network.image;
        let (padding, output): (&str, &str) = (network.padding.into(), network.output.into());
        let last_kernel = network.last_kernel;
        let peer = Self::new(STEP, &body).with(&format!(
            "--batch {batch} --channels {channels} --size {size} --padding {padding} --output {output} \
             --last-kernel {last_kernel}"
        ));
        match network.attention {
            Some(of) => peer.with(&format!("--heads {} --head-width {}", of.heads, of.head_width)),
            None => peer,
        }
    }

    /// The equivariant local machine with patches of side `k`, over `n` images and for so many queries at time `t`.
    pub fn equivariant_local(
        shape: ImageShape,
        n: usize,
        k: usize,
        n_queries: usize,
        t: f64,
    ) -> Self {
        let ImageShape { channels, height, width } = shape;
        let arguments = format!(
            "--k {k} --images {n} --channels {channels} --size {height} {width} --t {t} --queries {n_queries}"
        );
        Self::new(EQUIVARIANT_LOCAL, &arguments)
    }

    /// With more arguments, separated by blanks.
    #[must_use]
    pub fn with(mut self, arguments: &str) -> Self {
        self.arguments.extend(arguments.split(' ').map(str::to_owned));
        self
    }

    /// On the CPU instead of a GPU, with so many threads, as the median of so many repeats.
    #[must_use]
    pub fn on_cpu(self, threads: usize, repeats: usize) -> Self {
        self.with(&format!("--device cpu --threads {threads} --repeats {repeats}"))
    }

    /// Times the same work in PyTorch.
    ///
    /// # Errors
    /// The reason why it cannot be timed, in one line.
    pub fn time(&self) -> Result<PeerTiming, String> {
        answer(&python(self.script, &self.arguments)?)
    }
}

fn answer(line: &str) -> Result<PeerTiming, String> {
    serde_json::from_str(line).map_err(|error| format!("'{line}': {error}"))
}

/// The last line that a script prints.
fn python(script: &str, arguments: &[String]) -> Result<String, String> {
    let mut command = Command::new("python3");
    command.arg("-").args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut run = || {
        let mut child = command.spawn()?;
        // A script that ends early has read enough of itself.
        let written = child.stdin.take().map(|mut stdin| stdin.write_all(script.as_bytes()));
        let output = child.wait_with_output()?;
        if output.status.success() {
            written.transpose()?;
        }
        Ok::<_, std::io::Error>(output)
    };
    let output = run().map_err(|error| format!("running python3: {error}"))?;
    let last = |text: &[u8]| {
        let text = String::from_utf8_lossy(text);
        text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().to_owned()
    };
    if output.status.success() { Ok(last(&output.stdout)) } else { Err(last(&output.stderr)) }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

    use super::*;

    #[test]
    fn an_answer_holds_both_times_and_the_version() {
        let line = r#"{"wall_ms": 2.5, "cpu_ms": 5.0, "torch": "2.15.0"}"#;
        let (torch, optimizer) = ("2.15.0".to_owned(), None);
        let timing = PeerTiming { cpu_ms: 5.0, wall_ms: 2.5, torch, optimizer };
        assert_eq!(answer(line), Ok(timing.clone()));
        let line = r#"{"wall_ms": 2.5, "cpu_ms": 5.0, "torch": "2.15.0", "optimizer": "soap"}"#;
        assert_eq!(answer(line).unwrap().optimizer.as_deref(), Some("soap"));
        assert_eq!(timing.times(2).cpu_ms, 10.0);
        assert!(answer("Killed").unwrap_err().starts_with("'Killed': "));
    }

    #[test]
    fn what_python_says_is_the_answer_or_the_reason() {
        if Command::new("python3").arg("--version").output().is_err() {
            let _ = writeln!(io::stderr(), "SKIPPED peers in Python: there is no python3");
            return;
        }
        let arguments = ["7".to_owned()];
        let script = "import sys\nprint('noise')\nprint(sys.argv[1])";
        assert_eq!(python(script, &arguments), Ok("7".to_owned()));
        assert_eq!(python("raise ValueError('no GPU')", &[]), Err("ValueError: no GPU".to_owned()));
    }
}
