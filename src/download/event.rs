//! What is told while a file is fetched, and how that ends.

use std::time::Duration;

use super::failure::Failure;
use super::source::Source;

/// Something that happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// A source begins to send, from this byte of the file on.
    Started { source: &'a Source, from: u64 },
    /// So many bytes of the file are there now.
    Progress { n_bytes: u64 },
    /// A source failed and will be asked again after a pause.
    Pausing {
        source: &'a Source,
        failure: &'a Failure,
        pause: Duration,
        n_failed: u32,
        n_tries: u32,
    },
    /// A source failed, and the next one is asked.
    GivenUp { source: &'a Source, failure: &'a Failure },
    /// The bytes of an interrupted transfer are not those of the file, and were dropped.
    Dropped { n_bytes: u64 },
    /// All bytes are there and are compared with the checksum.
    Checking,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The file was there already.
    WasThere,
    /// It is there now.
    Fetched,
    /// It was asked to stop; so many bytes are kept.
    Stopped { n_bytes: u64 },
}
