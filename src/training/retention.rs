//! Which checkpoints to keep: a decision, not a deletion.

/// Steps of the checkpoints to delete so that the newest `keep` remain (never fewer than one).
pub fn to_delete(steps: &[u64], keep: usize) -> Vec<u64> {
    let mut newest_first = steps.to_vec();
    newest_first.sort_unstable_by(|a, b| b.cmp(a));
    newest_first.into_iter().skip(keep.max(1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_and_never_none() {
        assert_eq!(to_delete(&[10, 40, 20, 30], 2), [20, 10]);
        assert_eq!(to_delete(&[10, 20], 0), [10]);
        assert_eq!(to_delete(&[10], 3), [0_u64; 0]);
    }
}
