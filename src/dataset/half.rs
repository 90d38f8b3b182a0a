//! Disjoint halves of a data set, for two networks that see no image in common (Kadkhodaie et al., arXiv 2310.02557).
//!
//! Every set has a random order: that of the seed of its subset for files, that of the generator for crafted sets. A set of
//! `n` images is its first `n`; the second half is the `n` after them:
//!
//! ```text
//! place in the order   0 ........ n ........ 2n ........ end
//! all                  training   held out ..............
//! first                training   last resort  held out
//! second               last resort  training   held out
//! ```
//!
//! So both halves have `n` images each, and the first half is the same set as `all` with as many images. Held-out images are
//! those in neither half, which neither network has seen, before those of the other half. Without `n` each half is half of
//! everything, rounded down.

use strum::{Display, EnumString, IntoStaticStr, VariantNames};

/// Which part of the random order is the data set.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, Display, EnumString, IntoStaticStr, VariantNames,
)]
#[strum(serialize_all = "lowercase")]
pub enum Half {
    /// No halves: the set may be everything that there is.
    #[default]
    All,
    First,
    Second,
}

/// The halves need more images than there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFew {
    /// Images that both halves need together.
    pub needed: usize,
    pub there: usize,
}

impl Half {
    /// Places of the set in the order of `there` images; `None`: all of them. `n` is the number of images that is asked for.
    ///
    /// # Errors
    ///
    /// If two halves of `n` images do not fit, or there is no image for each.
    pub fn places(
        self,
        there: usize,
        n: Option<usize>,
    ) -> Result<Option<std::ops::Range<usize>>, TooFew> {
        if self == Self::All {
            return Ok(n.filter(|&n| n < there).map(|n| 0..n));
        }
        let size = n.unwrap_or(there / 2).max(1);
        let needed = size.saturating_mul(2);
        if needed > there {
            return Err(TooFew { needed, there });
        }
        Ok(Some(if self == Self::First { 0..size } else { size..needed }))
    }

    /// Places of up to `wanted` images that are not in the set, in order of preference. Empty if there are no others.
    pub fn held_out(self, there: usize, n: Option<usize>, wanted: usize) -> Vec<usize> {
        let Ok(Some(own)) = self.places(there, n) else { return Vec::new() };
        let (beyond, other) = match self {
            Self::All => (own.end..there, 0..0),
            Self::First => (2 * own.end..there, own.end..2 * own.end),
            Self::Second => (own.end..there, 0..own.start),
        };
        beyond.chain(other).take(wanted).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn halves_are_disjoint_equal_and_held_out_images_in_none(
            there in 0_usize..80,
            n in prop::option::of(1_usize..50),
            wanted in 0_usize..90,
        ) {
            let halves = [Half::First, Half::Second].map(|half| half.places(there, n));
            let [Ok(Some(first)), Ok(Some(second))] = halves else {
                let needed = 2 * n.unwrap_or(there / 2).max(1);
                prop_assert_eq!(halves, [Err(TooFew { needed, there }), Err(TooFew { needed, there })]);
                prop_assert!(needed > there);
                return Ok(());
            };
            prop_assert_eq!(first.len(), second.len());
            prop_assert_eq!(first.len(), n.unwrap_or(there / 2));
            prop_assert!(first.end <= second.start && second.end <= there);
            for (half, own, other) in [(Half::First, &first, &second), (Half::Second, &second, &first)] {
                let found = half.held_out(there, n, wanted);
                let set: BTreeSet<usize> = found.iter().copied().collect();
                prop_assert_eq!(set.len(), found.len());
                prop_assert_eq!(found.len(), wanted.min(there - own.len()));
                prop_assert!(found.iter().all(|place| *place < there && !own.contains(place)));
                // The other half comes last.
                let unseen = there - own.len() - other.len();
                prop_assert!(found.iter().take(unseen).all(|place| !other.contains(place)));
            }
            if let Some(n) = n {
                prop_assert_eq!(Half::All.places(there, Some(n)).unwrap().unwrap_or(0..there).start, first.start);
            }
        }
    }

    #[test]
    fn without_halves_all_images_may_be_taken() {
        assert_eq!(Half::All.places(7, None), Ok(None));
        assert_eq!(Half::All.places(7, Some(9)), Ok(None));
        assert_eq!(Half::All.places(7, Some(3)), Ok(Some(0..3)));
        assert_eq!(Half::All.held_out(7, Some(3), 2), [3, 4]);
        assert!(Half::All.held_out(7, None, 2).is_empty());
    }
}
