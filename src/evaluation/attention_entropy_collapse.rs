//! Entropy collapse: attention so sharp that training may diverge.
//!
//! Zhai et al. (arXiv 2303.06296) find that attention entropy falls to pathologically low values before transformers'
//! training diverges. In diffusion low entropy is right where an image is nearly clean, so the watch looks at
//! the noisiest level of the probe only (t = 0.9, where `sqrt(abar)` is 0.17): a pixel that attends to fewer than two
//! others there, `exp(H) < 2`, follows the noise of a single pixel. A head is reported once, and again after it
//! has recovered to four pixels. `top1` and `identity` attention have no entropy by construction and are not watched.

use crate::network::network_config::AttentionVariant;
use crate::runs::event::AttentionMetrics;

/// Fewer effective pixels than this is a collapse; more than [`RECOVERED`] ends it.
const COLLAPSED: f64 = 2.0;
const RECOVERED: f64 = 4.0;

/// Watches the attention probe of one run.
#[derive(Clone, Debug, Default)]
pub struct CollapseWatch {
    /// Per head, whether it has been reported.
    collapsed: Vec<bool>,
}

impl CollapseWatch {
    /// Returns a warning for every head that has collapsed since the last measurements.
    pub fn look(&mut self, variant: AttentionVariant, metrics: &AttentionMetrics) -> Vec<String> {
        let has_entropy = matches!(variant, AttentionVariant::Softmax | AttentionVariant::Uniform);
        let Some(noisiest) = metrics.levels.last().filter(|_| has_entropy) else {
            return Vec::new();
        };
        self.collapsed.resize(noisiest.entropy_nats.len(), false);
        let mut texts = Vec::new();
        for (head, (nats, collapsed)) in
            noisiest.entropy_nats.iter().zip(&mut self.collapsed).enumerate()
        {
            let pixels = nats.exp();
            if *collapsed {
                *collapsed = pixels < RECOVERED;
            } else if pixels < COLLAPSED {
                *collapsed = true;
                texts.push(format!(
                    "entropy collapse: at t = {} head {head} attends to {pixels:.2} of {} pixels (entropy {nats:.2} nats; fewer than {COLLAPSED} at this noise counts as a collapse); try a lower training.learning_rate, a longer training.warmup or network.normalise = true",
                    noisiest.t, metrics.n_pixels
                ));
            }
        }
        texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::event::AttentionAtLevel;

    fn metrics(heads: &[f64]) -> AttentionMetrics {
        let level = |t, entropy_nats: Vec<f64>| AttentionAtLevel {
            t,
            distance_pixels: vec![1.0; entropy_nats.len()],
            entropy_nats,
            largest_logit: Vec::new(),
            sink: Vec::new(),
        };
        let clean = vec![0.0; heads.len()];
        AttentionMetrics {
            n_pixels: 64,
            levels: vec![level(0.1, clean), level(0.9, heads.to_vec())],
        }
    }

    #[test]
    fn a_sharp_head_at_high_noise_is_reported_once_until_it_recovers() {
        let mut watch = CollapseWatch::default();
        let mut look = |heads: &[f64]| watch.look(AttentionVariant::Softmax, &metrics(heads));
        assert!(look(&[3.0, 2.0]).is_empty(), "sharp at low noise only");
        let texts = look(&[3.0, 0.5]);
        assert!(texts.len() == 1 && texts[0].contains("head 1 attends to 1.65 of 64"), "{texts:?}");
        assert!(look(&[3.0, 0.4]).is_empty(), "told already");
        assert!(look(&[3.0, 1.0]).is_empty(), "better, but not recovered");
        assert!(look(&[3.0, 0.4]).is_empty());
        look(&[3.0, 3.0]);
        assert_eq!(look(&[0.1, 0.1]).len(), 2);
    }

    #[test]
    fn attention_without_entropy_by_construction_is_not_watched() {
        let mut watch = CollapseWatch::default();
        assert!(watch.look(AttentionVariant::Top1, &metrics(&[0.0])).is_empty());
        assert!(watch.look(AttentionVariant::Identity, &metrics(&[0.0])).is_empty());
    }
}
