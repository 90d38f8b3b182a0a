//! Holm's correction of p values for the number of tests (Holm 1979): the probability of any false rejection is at most
//! the level at which the corrected values are read, however the tests depend on each other.

/// The corrected p values, in the order of `p_values`:
///
/// ```text
/// p~_(i) = max over j <= i of min(1, (m - j + 1) p_(j))        p_(1) <= .. <= p_(m)
/// ```
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let m = p_values.len();
    let mut order: Vec<usize> = (0..m).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut corrected = vec![0.0; m];
    let mut largest = 0.0_f64;
    for (rank, index) in order.into_iter().enumerate() {
        largest = largest.max(((m - rank) as f64 * p_values[index]).min(1.0));
        corrected[index] = largest;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_agrees_with_the_p_adjust_of_r() {
        // p.adjust(c(.01, .04, .03, .005), "holm")
        let found = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (found, expected) in found.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
        assert_eq!((holm(&[0.2]), holm(&[])), (vec![0.2], Vec::new()));
    }

    proptest! {
        #[test]
        fn no_value_shrinks_and_their_order_stays(p in prop::collection::vec(0.0_f64..=1.0, 1..12)) {
            let found = holm(&p);
            for i in 0..p.len() {
                prop_assert!(found[i] >= p[i] && found[i] <= 1.0);
                for j in 0..p.len() {
                    prop_assert!(p[i] >= p[j] || found[i] <= found[j]);
                }
            }
        }
    }
}
