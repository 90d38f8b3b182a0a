//! The same work in PyTorch, where python3 has it: the scripts of `benches/peers`, which are part of this binary.

use std::io::Write;
use std::process::{Command, Stdio};

use serde::Deserialize;

/// A script with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    script: &'static str,
    arguments: Vec<String>,
}

/// A training step, or with `--sample` a forward pass.
pub const STEP: &str = include_str!("../../../benches/peers/torch_step.py");
/// The equivariant local machine.
pub const EQUIVARIANT_LOCAL: &str = include_str!("../../../benches/peers/torch_els.py");
/// Prints PyTorch's version if PyTorch sees a GPU.
const ASK: &str = "import torch\nassert torch.cuda.is_available(), 'it sees no GPU'\nprint('PyTorch', torch.__version__)";

#[derive(Deserialize)]
struct Timing {
    median_ms: f64,
}

/// PyTorch's version.
///
/// # Errors
/// The reason why there is none, in one line.
pub fn version() -> Result<String, String> {
    python(ASK, &[])
}

impl Peer {
    /// One of the scripts above, with arguments that are separated by blanks.
    pub fn new(script: &'static str, arguments: &str) -> Self {
        Self { script, arguments: arguments.split(' ').map(str::to_owned).collect() }
    }

    /// Milliseconds of the same work in PyTorch.
    ///
    /// # Errors
    /// The reason why it cannot be timed, in one line.
    pub fn time(&self) -> Result<f64, String> {
        let line = python(self.script, &self.arguments)?;
        let timing: Result<Timing, _> = serde_json::from_str(&line);
        timing.map(|timing| timing.median_ms).map_err(|error| format!("'{line}': {error}"))
    }
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
