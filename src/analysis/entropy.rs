//! What attention maps look like in numbers: entropy, distance, largest weight.
//!
//! ```text
//! entropy of row p   -sum_q A(p, q) ln A(p, q)     nats; uniform attention over P pixels has ln P
//! distance of row p   sum_q A(p, q) |p - q|        Euclidean, in pixels, on the torus if circular
//! ```

use crate::diffusion::AttentionMaps;

/// Means over rows and images, one entry per head.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionStatistics {
    pub entropy_nats: Vec<f64>,
    pub distance_pixels: Vec<f64>,
    pub largest_weight: Vec<f64>,
}

/// Statistics of maps over images of `height * width` pixels; `None` without maps or if sizes differ.
pub fn attention_statistics(
    maps: &AttentionMaps,
    height: usize,
    width: usize,
    circular: bool,
) -> Option<AttentionStatistics> {
    if maps.is_empty() || maps.n_pixels() != height * width {
        return None;
    }
    let per_axis = |d: usize, n: usize| if circular { d.min(n - d) } else { d } as f64;
    // Distances depend on the offsets alone.
    let distances: Vec<f64> = (0..height * width)
        .map(|i| per_axis(i / width, height).hypot(per_axis(i % width, width)))
        .collect();
    let n_rows = (maps.len() * maps.n_pixels()) as f64;
    let mut all = AttentionStatistics {
        entropy_nats: Vec::new(),
        distance_pixels: Vec::new(),
        largest_weight: Vec::new(),
    };
    for head in 0..maps.n_heads() {
        let (mut entropy, mut distance, mut largest) = (0.0, 0.0, 0.0);
        for image in 0..maps.len() {
            for (p, row) in maps.map(image, head).chunks_exact(maps.n_pixels()).enumerate() {
                entropy += row_entropy(row);
                largest += f64::from(row.iter().copied().fold(0.0, f32::max));
                for (q, &weight) in row.iter().enumerate() {
                    let (dr, dc) =
                        ((p / width).abs_diff(q / width), (p % width).abs_diff(q % width));
                    distance += f64::from(weight) * distances[dr * width + dc];
                }
            }
        }
        all.entropy_nats.push(entropy / n_rows);
        all.distance_pixels.push(distance / n_rows);
        all.largest_weight.push(largest / n_rows);
    }
    Some(all)
}

/// Entropy of one row in nats; weights of zero contribute nothing.
pub fn row_entropy(row: &[f32]) -> f64 {
    row.iter().map(|&w| f64::from(w)).filter(|&w| w > 0.0).map(|w| -w * w.ln()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_attention_has_the_logarithm_of_the_pixels() {
        let maps = AttentionMaps::new(2, 16, vec![1.0 / 16.0; 2 * 256]);
        let s = attention_statistics(&maps, 4, 4, true).unwrap();
        assert!((s.entropy_nats[1] - 16_f64.ln()).abs() < 1e-6);
        assert!((s.largest_weight[0] - 1.0 / 16.0).abs() < 1e-9);
        // Offsets per axis on a ring of four: 0, 1, 2, 1.
        let axis = [0.0_f64, 1.0, 2.0, 1.0];
        let mean = axis.iter().flat_map(|a| axis.map(|b| a.hypot(b))).sum::<f64>() / 16.0;
        assert!((s.distance_pixels[0] - mean).abs() < 1e-6);
    }

    #[test]
    fn the_identity_has_neither_entropy_nor_distance() {
        let eye = (0..81).map(|i| if i % 10 == 0 { 1.0 } else { 0.0 }).collect();
        let s = attention_statistics(&AttentionMaps::new(1, 9, eye), 3, 3, false).unwrap();
        assert_eq!((s.entropy_nats[0], s.distance_pixels[0], s.largest_weight[0]), (0.0, 0.0, 1.0));
    }

    #[test]
    fn maps_of_another_size_have_no_statistics() {
        assert!(
            attention_statistics(&AttentionMaps::new(1, 4, vec![0.25; 16]), 3, 3, true).is_none()
        );
    }
}
