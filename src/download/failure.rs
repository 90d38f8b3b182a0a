//! Why one attempt at one source did not bring the file, and so what is to be done next.

use std::time::Duration;

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub kind: FailureKind,
    /// The cause, for people: a fragment without a full stop.
    pub words: String,
}

/// The kinds of failures, by what may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// Nobody answered: no such host, no route, connection refused. If it is so with all sources, this computer is
    /// probably offline.
    Unreachable,
    /// The source answered, and does not have the file: asking again would bring the same answer.
    Refused,
    /// The transfer broke off or the server was busy: the same request may succeed after a pause, of this length if the
    /// server named one.
    Interrupted { pause: Option<Duration> },
}

impl Failure {
    pub fn unreachable(words: impl Into<String>) -> Self {
        Self { kind: FailureKind::Unreachable, words: words.into() }
    }

    pub fn refused(words: impl Into<String>) -> Self {
        Self { kind: FailureKind::Refused, words: words.into() }
    }

    pub fn interrupted(words: impl Into<String>) -> Self {
        Self { kind: FailureKind::Interrupted { pause: None }, words: words.into() }
    }
}
