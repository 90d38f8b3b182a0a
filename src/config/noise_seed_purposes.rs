//! Ranges of noise seeds, each reserved for one purpose, so that nothing is evaluated on seeds that something
//! was fitted to or that someone has looked at.
//!
//! ```text
//!     0 ..   500   previews and manual inspection
//!   500 ..  1000   calibration of machines
//!  1000 .. 10000   held out: comparisons and reports
//! 10000 ..         previews and manual inspection
//! ```

use std::fmt;
use std::ops::Range;

use thiserror::Error;

const CALIBRATION: Range<u64> = 500..1_000;
const HELD_OUT: Range<u64> = 1_000..10_000;

/// Consecutive noise seeds with one purpose: the indices of the images x_T of one `diffusion.noise_seed`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NoiseSeeds(Range<u64>);

/// Error for seeds that are reserved for another purpose.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "noise seeds {}..{} cannot be previewed: {}..{} are reserved for calibration and {}..{} are held out for comparisons; \
     choose seeds below {} or from {}",
    .0.start, .0.end, CALIBRATION.start, CALIBRATION.end, HELD_OUT.start, HELD_OUT.end, CALIBRATION.start, HELD_OUT.end
)]
pub struct ReservedSeeds(Range<u64>);

/// As users type them: first seed, and one past the last.
impl fmt::Display for NoiseSeeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.0.start, self.0.end)
    }
}

impl NoiseSeeds {
    /// Maximum number of seeds of one preview.
    pub const PREVIEW_MAX: usize = 64;
    /// Maximum number of seeds for a calibration.
    pub const CALIBRATION_MAX: usize = (CALIBRATION.end - CALIBRATION.start) as usize;
    /// Maximum number of seeds for a comparison.
    pub const HELD_OUT_MAX: usize = (HELD_OUT.end - HELD_OUT.start) as usize;

    /// Seeds for previews and manual inspection.
    ///
    /// # Errors
    ///
    /// If the range overlaps the seeds reserved for calibration or comparisons.
    pub fn preview(range: Range<u64>) -> Result<Self, ReservedSeeds> {
        let reserved = CALIBRATION.start..HELD_OUT.end;
        let range = range.start..range.end.max(range.start);
        match range.start < reserved.end && reserved.start < range.end {
            true => Err(ReservedSeeds(range)),
            false => Ok(Self(range)),
        }
    }

    /// The first `n` preview seeds, at most 500.
    pub fn first_previews(n: usize) -> Self {
        Self::first_of(0..CALIBRATION.start, n)
    }

    /// The first `n` calibration seeds, at most [`Self::CALIBRATION_MAX`].
    pub fn calibration(n: usize) -> Self {
        Self::first_of(CALIBRATION, n)
    }

    /// The first `n` held-out seeds, at most [`Self::HELD_OUT_MAX`].
    pub fn held_out(n: usize) -> Self {
        Self::first_of(HELD_OUT, n)
    }

    /// The held-out seeds in `range`, which no longer count as unseen once someone looks at them.
    pub fn held_out_among(range: &Range<u64>) -> Range<u64> {
        range.start.max(HELD_OUT.start)..range.end.min(HELD_OUT.end)
    }

    fn first_of(range: Range<u64>, n: usize) -> Self {
        Self(range.start..range.end.min(range.start.saturating_add(n as u64)))
    }

    /// These seeds in consecutive parts of at most `n`.
    pub fn parts(&self, n: usize) -> impl Iterator<Item = Self> {
        let Range { start, end } = self.0;
        (start..end)
            .step_by(n.max(1))
            .map(move |first| Self(first..end.min(first.saturating_add(n as u64))))
    }

    /// These seeds without the first `n`.
    pub fn skip(&self, n: usize) -> Self {
        let Range { start, end } = self.0;
        Self(end.min(start.saturating_add(n as u64))..end)
    }

    pub fn range(&self) -> Range<u64> {
        self.0.clone()
    }

    /// The first seed.
    pub fn first(&self) -> u64 {
        self.0.start
    }

    /// The last seed; equal to the first if the range is empty.
    pub fn last(&self) -> u64 {
        self.0.end.saturating_sub(1).max(self.0.start)
    }

    pub fn len(&self) -> usize {
        (self.0.end - self.0.start) as usize
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_seeds_cannot_be_previewed() {
        for range in [0..500, 0..4, 499..500, 10_000..10_064, u64::MAX - 1..u64::MAX] {
            assert_eq!(NoiseSeeds::preview(range.clone()).unwrap().range(), range);
        }
        for range in
            [1003..1004, 499..501, 500..501, 999..1000, 9_999..10_000, 9_999..10_001, 0..20_000]
        {
            let error = NoiseSeeds::preview(range.clone()).unwrap_err();
            let found = format!("noise seeds {}..{} cannot", range.start, range.end);
            assert!(error.to_string().starts_with(&found), "{error}");
        }
    }

    #[test]
    fn purposes_do_not_meet() {
        let (most, least) = (NoiseSeeds::calibration(usize::MAX), NoiseSeeds::held_out(1));
        assert_eq!((most.len(), most.last()), (NoiseSeeds::CALIBRATION_MAX, 999));
        assert_eq!(least.range(), 1000..1001);
        assert_eq!(NoiseSeeds::held_out(usize::MAX).last(), 9_999);
    }

    #[test]
    fn parts_cover_every_seed_once() {
        let seeds = NoiseSeeds::held_out(7);
        let parts: Vec<_> = seeds.parts(3).map(|part| part.range()).collect();
        assert_eq!(parts, [1000..1003, 1003..1006, 1006..1007]);
        assert_eq!((seeds.skip(5).range(), seeds.skip(9).is_empty()), (1005..1007, true));
    }
}
