//! Posterior weights in the log domain: one streaming log-sum-exp per pixel.
//!
//! Of logits `L_j` and values `v_j`, in any order and grouping, the accumulator keeps
//!
//! ```text
//! max = max_j L_j    total = sum_j w_j    spread = sum_j w_j (L_j - max)    sums = sum_j w_j v_j
//! w_j = exp(L_j - max)
//! ```
//!
//! from which follow the mean `sums / total`, `logsumexp = max + ln total` and the entropy in nats
//! `ln total - spread / total`. All sums are `f64`, whatever precision the logits had.

use crate::diffusion::Provenance;

/// Running sums at `P` pixels with `C` values each.
#[derive(Clone, Debug)]
pub struct Accumulator {
    n_channels: usize,
    pub max: Vec<f64>,
    pub total: Vec<f64>,
    pub spread: Vec<f64>,
    /// `[C, P]`.
    pub sums: Vec<f64>,
    /// The entry of the largest logit; `image` counts in the filtered dictionary.
    pub best: Vec<Provenance>,
}

impl Accumulator {
    /// No entries yet.
    pub fn new(n_channels: usize, n_pixels: usize) -> Self {
        Self {
            n_channels,
            max: vec![f64::NEG_INFINITY; n_pixels],
            total: vec![0.0; n_pixels],
            spread: vec![0.0; n_pixels],
            sums: vec![0.0; n_channels * n_pixels],
            best: vec![Provenance::default(); n_pixels],
        }
    }

    /// Number of pixels, `P`.
    pub fn n_pixels(&self) -> usize {
        self.max.len()
    }

    /// Raises the reference maximum of pixel `p` to `max`; does nothing if it is not higher.
    pub fn raise(&mut self, p: usize, max: f64) {
        let old = self.max[p];
        if max <= old {
            return;
        }
        self.max[p] = max;
        if old == f64::NEG_INFINITY {
            return;
        }
        let scale = (old - max).exp();
        self.spread[p] = scale * (self.spread[p] + self.total[p] * (old - max));
        self.total[p] *= scale;
        let n_pixels = self.n_pixels();
        for c in 0..self.n_channels {
            self.sums[c * n_pixels + p] *= scale;
        }
    }

    /// Adds one entry to pixel `p`: its logit in nats, its place, and its value in each channel.
    pub fn add(&mut self, p: usize, logit: f64, place: Provenance, value: impl Fn(usize) -> f64) {
        if logit > self.max[p] {
            self.raise(p, logit);
            self.best[p] = place;
        }
        let distance = logit - self.max[p];
        let weight = distance.exp();
        self.total[p] += weight;
        self.spread[p] += weight * distance;
        let n_pixels = self.n_pixels();
        for c in 0..self.n_channels {
            self.sums[c * n_pixels + p] += weight * value(c);
        }
    }

    /// Adds all entries of `other`.
    pub fn merge(&mut self, other: &Self) {
        let n_pixels = self.n_pixels();
        for p in 0..n_pixels {
            let max = other.max[p];
            if max == f64::NEG_INFINITY {
                continue;
            }
            if max > self.max[p] {
                self.raise(p, max);
                self.best[p] = other.best[p];
            }
            let shift = max - self.max[p];
            let scale = shift.exp();
            self.total[p] += scale * other.total[p];
            self.spread[p] += scale * (other.spread[p] + other.total[p] * shift);
            for at in (p..self.sums.len()).step_by(n_pixels) {
                self.sums[at] += scale * other.sums[at];
            }
        }
    }

    /// The weighted mean of the values, `[C, P]`.
    pub fn mean(&self) -> Vec<f64> {
        let n_pixels = self.n_pixels();
        self.sums.iter().enumerate().map(|(at, sum)| sum / self.total[at % n_pixels]).collect()
    }

    /// `logsumexp` of the logits of pixel `p`, in nats.
    pub fn log_sum(&self, p: usize) -> f64 {
        self.max[p] + self.total[p].ln()
    }

    /// Entropy of the weights of pixel `p` in nats, at least 0.
    pub fn entropy(&self, p: usize) -> f64 {
        (self.total[p].ln() - self.spread[p] / self.total[p]).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn streamed(entries: &[(f64, f64)]) -> Accumulator {
        let mut all = Accumulator::new(1, 1);
        for (i, &(logit, value)) in entries.iter().enumerate() {
            all.add(0, logit, Provenance { image: i as u32, row: 0, column: 0 }, |_| value);
        }
        all
    }

    proptest! {
        #[test]
        fn streamed_equals_direct(
            entries in prop::collection::vec((-800.0..50.0_f64, -1.0..1.0_f64), 1..40),
            cut in 0..40_usize,
        ) {
            let top = entries.iter().map(|e| e.0).fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = entries.iter().map(|e| (e.0 - top).exp()).collect();
            let total: f64 = weights.iter().sum();
            let mean: f64 = weights.iter().zip(&entries).map(|(w, e)| w * e.1).sum::<f64>() / total;
            // Divided first: the least double divided by 2 or more is 0, whose logarithm is not finite.
            let plogp = |share: f64| if share > 0.0 { -share * share.ln() } else { 0.0 };
            let entropy: f64 = weights.iter().map(|w| plogp(w / total)).sum();

            let cut = cut.min(entries.len());
            let mut parts = streamed(&entries[..cut]);
            parts.merge(&streamed(&entries[cut..]));
            for all in [streamed(&entries), parts] {
                prop_assert!((all.mean()[0] - mean).abs() < 1e-12);
                prop_assert!((all.log_sum(0) - top - total.ln()).abs() < 1e-10);
                prop_assert!((all.entropy(0) - entropy).abs() < 1e-10);
            }
        }
    }
}
