//! Decides which checkpoints to keep; deletes nothing itself.

use std::num::NonZeroUsize;

/// Steps of the checkpoints to delete so that the newest `keep` remain (at least one), and those at multiples
/// of `keep_every`.
pub fn to_delete(steps: &[u64], keep: usize, keep_every: Option<NonZeroUsize>) -> Vec<u64> {
    let mut newest_first = steps.to_vec();
    newest_first.sort_unstable_by(|a, b| b.cmp(a));
    let is_milestone = |step: &u64| keep_every.is_some_and(|n| step.is_multiple_of(n.get() as u64));
    newest_first.into_iter().skip(keep.max(1)).filter(|step| !is_milestone(step)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_and_never_none() {
        assert_eq!(to_delete(&[10, 40, 20, 30], 2, None), [20, 10]);
        assert_eq!(to_delete(&[10, 20], 0, None), [10]);
        assert_eq!(to_delete(&[10], 3, None), [0_u64; 0]);
        assert_eq!(to_delete(&[10, 40, 20, 30, 50], 1, NonZeroUsize::new(20)), [30, 10]);
    }
}
