//! PyTorch beside ours in the tables of `mosaic bench`: the option, who is compared with, and the columns.

use clap::Args;

use crate::bench::pytorch_times::{Peer, PeerTiming};
use crate::errorln;

#[derive(Clone, Debug, Args)]
pub struct PeerArgs {
    /// Do not time the same work in PyTorch, which is done where python3 has it.
    #[arg(long, alias = "no-peer")]
    no_peers: bool,
}

impl PeerArgs {
    /// PyTorch's version by `ask`, or the reason why there are no peers.
    pub fn version(&self, ask: impl FnOnce() -> Result<String, String>) -> Result<String, String> {
        if self.no_peers { Err("not asked for".to_owned()) } else { ask() }
    }
}

/// One line that says why there are no peers.
pub fn no_peers(problem: &str) -> String {
    format!("no PyTorch to compare with: {problem}")
}

/// The line above a table of the CPU: with what is compared, or why there is nothing to compare with.
pub fn compared_with(peers: &Result<String, String>) -> String {
    match peers {
        Ok(version) => format!(
            "PT: {version} on as many threads; ratio: our CPU time over PyTorch's, so below 1 ours is faster"
        ),
        Err(problem) => no_peers(problem),
    }
}

/// Times `peer`. A problem is written to standard error, with the name of the work.
pub fn time(what: &str, peer: &Peer) -> Option<PeerTiming> {
    let timed = peer.time();
    timed.inspect_err(|problem| errorln!("{what} in PyTorch: {problem}")).ok()
}

/// Our CPU time over a peer's, with two digits; '-' without a peer.
pub fn ratio(peer: Option<&PeerTiming>, our_cpu_ms: f64) -> String {
    peer.map_or_else(
        || "-".to_owned(),
        |peer| match our_cpu_ms / peer.cpu_ms {
            ratio if ratio < 0.1 => format!("{ratio:.1e}"),
            ratio => format!("{ratio:.2}"),
        },
    )
}

/// A figure of a peer's; '-' without one.
pub fn cell(
    peer: Option<&PeerTiming>,
    digits: usize,
    figure: impl FnOnce(&PeerTiming) -> f64,
) -> String {
    peer.map_or_else(|| "-".to_owned(), |peer| format!("{:.digits$}", figure(peer)))
}
