//! Bilinear resizing of grey images.
//!
//! Convention: half-pixel centres (`align_corners = false`), the two nearest pixels per axis, edges repeated,
//! **no antialiasing**: `source = (i + 0.5) * from / to - 0.5`. This matches
//! `torch.nn.functional.interpolate(mode="bilinear")`, and `torchvision.transforms.Resize` on tensors with
//! `antialias=False`. On PIL images torchvision always antialiases, so shrunk images differ from such
//! pipelines. Results are rounded to the nearest byte.

/// Resizes one `height * width` plane to `size * size`.
pub fn bilinear(plane: &[u8], height: usize, width: usize, size: usize) -> Vec<u8> {
    let (rows, columns) = (taps(height, size), taps(width, size));
    let mut resized = Vec::with_capacity(size * size);
    for &(r0, r1, fr) in &rows {
        for &(c0, c1, fc) in &columns {
            let at = |r: usize, c: usize| f64::from(plane[r * width + c]);
            let upper = at(r0, c0) * (1.0 - fc) + at(r0, c1) * fc;
            let lower = at(r1, c0) * (1.0 - fc) + at(r1, c1) * fc;
            resized.push((upper * (1.0 - fr) + lower * fr).round() as u8);
        }
    }
    resized
}

/// The two source positions of each target position and the weight of the second.
fn taps(from: usize, to: usize) -> Vec<(usize, usize, f64)> {
    let tap = |i: usize| {
        let source = ((i as f64 + 0.5) * from as f64 / to as f64 - 0.5).max(0.0);
        let first = (source as usize).min(from - 1);
        (first, (first + 1).min(from - 1), source - first as f64)
    };
    (0..to).map(tap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_size_changes_nothing() {
        let plane: Vec<u8> = (0..25).map(|i| i * 10).collect();
        assert_eq!(bilinear(&plane, 5, 5, 5), plane);
    }

    #[test]
    fn halving_averages_pairs_and_doubling_interpolates() {
        assert_eq!(bilinear(&[0, 100, 200, 40], 2, 2, 1), [85]);
        assert_eq!(bilinear(&[0, 100, 0, 100], 2, 2, 4)[..4], [0, 25, 75, 100]);
    }
}
