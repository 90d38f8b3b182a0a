//! Verdicts of a study: whether each statement (finding) holds, fails or is undecided, by 95% intervals of the evidence
//! of its runs, comparison by comparison.

use serde::Serialize;

use crate::analysis::confidence_intervals::Interval;
use crate::evaluation::markdown_table::Table;
use crate::evaluation::png_charts::Panel;

/// The verdict of one comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Holds,
    Fails,
    /// Intervals overlap: more seeds or samples would be needed.
    Undecided,
    /// Some comparisons hold, others fail.
    Mixed,
    /// Nothing to compare.
    Untested,
}

impl Verdict {
    pub fn words(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Fails => "fails",
            Self::Undecided => "undecided",
            Self::Mixed => "mixed",
            Self::Untested => "not tested",
        }
    }

    /// Whether `a` lies above `b`, by their intervals.
    pub fn above(a: Interval, b: Interval) -> Self {
        if a.low > b.high {
            Self::Holds
        } else if a.high < b.low {
            Self::Fails
        } else {
            Self::Undecided
        }
    }

    /// Whether a share lies above one half.
    pub fn above_half(share: Interval) -> Self {
        Self::above(share, Interval { estimate: 0.5, low: 0.5, high: 0.5 })
    }

    /// The verdict on the absence of a difference: holds unless the difference does.
    pub fn unless(difference: Self) -> Self {
        if difference == Self::Holds { Self::Fails } else { Self::Holds }
    }
}

/// One comparison behind a finding.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evidence {
    pub verdict: Verdict,
    /// The figures with their intervals, as text.
    pub words: String,
}

/// A statement and its evidence.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    pub statement: String,
    pub evidence: Vec<Evidence>,
}

impl Finding {
    pub fn new(statement: &str) -> Self {
        Self { statement: statement.to_owned(), evidence: Vec::new() }
    }

    pub fn add(&mut self, verdict: Verdict, words: String) {
        self.evidence.push(Evidence { verdict, words });
    }

    /// Adds whether `a` lies above `b`, if both are known; `words` describes them.
    pub fn add_above(
        &mut self,
        a: Option<Interval>,
        b: Option<Interval>,
        words: impl FnOnce(Interval, Interval) -> String,
    ) {
        if let (Some(a), Some(b)) = (a, b) {
            self.add(Verdict::above(a, b), words(a, b));
        }
    }

    /// Holds if some comparison does and none fails.
    pub fn verdict(&self) -> Verdict {
        let any = |verdict| self.evidence.iter().any(|evidence| evidence.verdict == verdict);
        match (any(Verdict::Holds), any(Verdict::Fails)) {
            (true, true) => Verdict::Mixed,
            (true, false) => Verdict::Holds,
            (false, true) => Verdict::Fails,
            (false, false) if self.evidence.is_empty() => Verdict::Untested,
            (false, false) => Verdict::Undecided,
        }
    }

    /// `holds in 3 of 4 comparisons`.
    pub fn words(&self) -> String {
        let (verdict, n) = (self.verdict(), self.evidence.len());
        let holding = self.evidence.iter().filter(|e| e.verdict == Verdict::Holds).count();
        match verdict {
            Verdict::Untested => verdict.words().to_owned(),
            _ => format!("{} (in {holding} of {n} comparisons)", verdict.words()),
        }
    }
}

/// The result of an analysis.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    pub findings: Vec<Finding>,
    pub tables: Vec<Table>,
    pub panels: Vec<Panel>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_that_overlap_decide_nothing() {
        let at = |low, high| Interval { estimate: (low + high) / 2.0, low, high };
        assert_eq!(Verdict::above(at(0.5, 0.7), at(0.1, 0.4)), Verdict::Holds);
        assert_eq!(Verdict::above(at(0.1, 0.4), at(0.5, 0.7)), Verdict::Fails);
        assert_eq!(Verdict::above(at(0.3, 0.6), at(0.5, 0.7)), Verdict::Undecided);
        assert_eq!(Verdict::above_half(at(0.51, 0.7)), Verdict::Holds);
    }

    #[test]
    fn one_failure_among_successes_is_a_mixed_finding() {
        let mut finding = Finding::new("x");
        assert_eq!(finding.verdict(), Verdict::Untested);
        finding.add(Verdict::Undecided, String::new());
        assert_eq!(finding.verdict(), Verdict::Undecided);
        finding.add(Verdict::Holds, String::new());
        assert_eq!(finding.words(), "holds (in 1 of 2 comparisons)");
        finding.add(Verdict::Fails, String::new());
        assert_eq!(finding.verdict(), Verdict::Mixed);
    }
}
