//! Messages from clients to a worker over `control.sock`: one JSON object per line, with one reply per line.

use serde::{Deserialize, Serialize};

use super::format_versions::{self, CONTROL_FORMAT};

/// A command for a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    Pause,
    Resume,
    /// Write a checkpoint and exit; the run can be resumed.
    Stop,
    /// Write a checkpoint and continue.
    Checkpoint,
    /// Make a preview at the current step. Omitted fields default to the run's own seeds and number of sampling
    /// steps.
    Sample {
        /// First noise seed and one past the last.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seeds: Option<(u64, u64)>,
        /// Sampling steps.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        steps: Option<usize>,
    },
    /// Change the number of steps between previews.
    PreviewEvery {
        steps: u64,
    },
}

/// An action requested by a client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Carry out a command; the client holds control afterwards.
    Steer {
        command: Command,
        /// Take control even if another client holds it.
        take: bool,
    },
    /// Take control, even if another client holds it.
    Hold,
    /// Give control back.
    Release,
}

/// One request line sent to a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The client's [`CONTROL_FORMAT`].
    pub v: u32,
    /// Name of the client, for display.
    pub from: String,
    pub act: Act,
}

impl Request {
    pub fn new(from: String, act: Act) -> Self {
        Self { v: CONTROL_FORMAT, from, act }
    }

    /// Parses a line: a request, or a bare command as in format 1, whose sender has no name.
    ///
    /// # Errors
    ///
    /// Returns a message for the user if the line is neither.
    pub fn parse(line: &str) -> Result<Self, String> {
        let bad = |error: serde_json::Error| format!("not a request: {error}");
        let value: serde_json::Value = serde_json::from_str(line).map_err(bad)?;
        let Some(version) = value.get("v") else {
            let command = serde_json::from_value(value).map_err(bad)?;
            return Ok(Self::new("a script".to_owned(), Act::Steer { command, take: false }));
        };
        let version = version.as_u64().and_then(|v| u32::try_from(v).ok());
        let version = version.ok_or("not a request: 'v' must be a whole number")?;
        format_versions::check(version, CONTROL_FORMAT, None)
            .map_err(|error| format!("a request: {error}"))?;
        serde_json::from_value(value).map_err(bad)
    }
}

/// The worker's reply to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    Accepted,
    Refused {
        reason: String,
    },
    /// Another client holds control; `by` names it.
    Held {
        by: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_three_ages_are_told_apart() {
        let now = Request::new("ana".to_owned(), Act::Steer { command: Command::Stop, take: true });
        assert_eq!(Request::parse(&serde_json::to_string(&now).unwrap()), Ok(now));
        let old = Request::parse(r#"{"command":"pause"}"#).unwrap();
        assert_eq!(old.act, Act::Steer { command: Command::Pause, take: false });
        let new = Request::parse(r#"{"v":9,"spell":"dance"}"#).unwrap_err();
        assert!(new.contains("format 9") && new.contains("up to 2"), "{new}");
        for junk in
            ["", "[]", "{}", r#"{"v":"x"}"#, r#"{"v":2,"from":"a"}"#, r#"{"command":"fly"}"#]
        {
            assert!(Request::parse(junk).unwrap_err().contains("not a request"), "{junk}");
        }
    }
}
