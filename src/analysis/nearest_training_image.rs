//! Detects copies among samples of real images: the nearest training image, at its place or over all circular shifts.
//!
//! Somepalli-style ratio test: a sample is called a copy if its nearest training image is less than a third as
//! far as the second nearest *other* one, `d1 / d2 < 1/3` (L2 distances). Shifts are included because a
//! translation-equivariant network may copy an image to another position. Images that are each other's circular shifts
//! count as one: otherwise a copy of either would be as near to the other, and never called a copy. Bonnaire et al.
//! (2505.17638) use the same ratio without shifts ([`Shifts::None`]), and so do comparisons with them.

use rayon::prelude::*;

use crate::dataset::Dataset;
use crate::image::{Augmentation, ImageShape, from_byte};

/// Below this ratio a sample counts as a copy.
pub const COPY_RATIO: f64 = 1.0 / 3.0;

/// Where a training image may be found in a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shifts {
    /// At its own place only.
    None,
    /// At every circular shift.
    Every,
}

impl Shifts {
    fn n(self, shape: ImageShape) -> usize {
        match self {
            Self::None => 1,
            Self::Every => shape.n_pixels(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nearest {
    /// Index of the nearest training image.
    pub image: usize,
    /// Shift of the training image, (down, right) with wrap-around.
    pub shift: (usize, usize),
    /// Root-mean-square distance per value, in units of the [-1, 1] range.
    pub distance: f64,
    /// `d1 / d2`, in [0, 1]; `None` without another training image (shifts of the nearest do not count), or if both distances are 0.
    pub ratio: Option<f64>,
}

impl Nearest {
    pub fn is_copy(&self) -> bool {
        self.ratio.is_some_and(|ratio| ratio < COPY_RATIO)
    }
}

/// The nearest training image of `sample` (`[C, H, W]`); `None` if there is none or the sample is not
/// finite. Costs `N * (C H W)` operations for each of the shifts, spread over threads.
///
/// # Panics
///
/// If `sample` does not have the shape of the training images.
pub fn nearest(sample: &[f64], dataset: &Dataset, shifts: Shifts) -> Option<Nearest> {
    let shape = dataset.shape();
    assert_eq!(sample.len(), shape.n_values(), "a sample shaped like the training images");
    if sample.iter().any(|v| !v.is_finite()) {
        return None;
    }
    let best: Vec<(f64, usize)> = (0..dataset.len())
        .into_par_iter()
        .map(|index| {
            let image: Vec<f64> = dataset.image(index).iter().map(|&b| from_byte(b)).collect();
            let mut least = (f64::INFINITY, 0);
            for shift in 0..shifts.n(shape) {
                let at = (shift / shape.width, shift % shape.width);
                let d = squared_distance(sample, &image, at, shape.height, shape.width, least.0);
                if d < least.0 {
                    least = (d, shift);
                }
            }
            least
        })
        .collect();
    let (image, &(d1, shift)) = best.iter().enumerate().min_by(|a, b| a.1.0.total_cmp(&b.1.0))?;
    let is_other = |&(i, (d, _)): &(usize, &(f64, usize))| {
        // Shifts of one image are equally far at their best shifts, up to rounding.
        let may_be_shifted = (d - d1).abs() <= 1e-9 * (1.0 + d1);
        i != image && !(may_be_shifted && are_shifts(dataset, image, i, shifts))
    };
    let others = best.iter().enumerate().filter(is_other).map(|(_, (d, _))| *d);
    let d2 = others.min_by(f64::total_cmp);
    Some(Nearest {
        image,
        shift: (shift / shape.width, shift % shape.width),
        distance: (d1 / shape.n_values() as f64).sqrt(),
        ratio: d2.filter(|&d2| d2 > 0.0).map(|d2| (d1 / d2).sqrt()),
    })
}

/// As [`nearest`], of the symmetry of the sample among those of `augmentation` that has the nearest training image: a network
/// that is trained on mirrored images may copy one of those. Shift and image are those for that symmetry.
///
/// # Panics
///
/// As [`nearest`], and if images of this shape have no such symmetry.
pub fn nearest_of_copies(
    sample: &[f64],
    dataset: &Dataset,
    shifts: Shifts,
    augmentation: Augmentation,
) -> Option<Nearest> {
    // The symmetries are a group: a sample is near a copy of an image where a copy of the sample is near the image.
    let copies = augmentation.symmetries().iter().map(|symmetry| {
        let copy: Vec<f64> = symmetry.of_image(dataset.shape(), sample).collect();
        nearest(&copy, dataset, shifts)
    });
    copies.flatten().min_by(|a, b| a.distance.total_cmp(&b.distance))
}

/// Whether one training image is another at one of the shifts.
fn are_shifts(dataset: &Dataset, a: usize, b: usize, shifts: Shifts) -> bool {
    let shape = dataset.shape();
    let values = |index| dataset.image(index).iter().map(|&b| f64::from(b)).collect::<Vec<_>>();
    let (a, b) = (values(a), values(b));
    (0..shifts.n(shape)).any(|shift| {
        let at = (shift / shape.width, shift % shape.width);
        squared_distance(&a, &b, at, shape.height, shape.width, f64::INFINITY) == 0.0
    })
}

/// The squared distance to the image shifted by `at`; stops early once it exceeds `limit`.
fn squared_distance(
    sample: &[f64],
    image: &[f64],
    at: (usize, usize),
    height: usize,
    width: usize,
    limit: f64,
) -> f64 {
    let mut sum = 0.0;
    for (i, row) in sample.chunks_exact(width).enumerate() {
        let (channel, r) = (i / height, i % height);
        let start = (channel * height + (r + height - at.0) % height) * width;
        let source = &image[start..start + width];
        let (moved, kept) = row.split_at(at.1);
        let pairs = kept.iter().zip(source).chain(moved.iter().zip(&source[width - at.1..]));
        sum += pairs.map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
        if sum >= limit {
            break;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise_set() -> Dataset {
        let pixels: Vec<u8> =
            (0..5 * 36_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        Dataset::new("noise", ImageShape::new(1, 6, 6), pixels, None)
    }

    #[test]
    fn a_shifted_training_image_is_found_and_called_a_copy() {
        let data = noise_set();
        let image = data.batch(3, 1).into_values();
        let shifted: Vec<f64> =
            (0..36).map(|i| image[(i / 6 + 4) % 6 * 6 + (i % 6 + 1) % 6]).collect();
        let found = nearest(&shifted, &data, Shifts::Every).unwrap();
        assert_eq!((found.image, found.shift, found.distance), (3, (2, 5), 0.0));
        assert!(found.is_copy());
    }

    #[test]
    fn a_mirrored_training_image_is_a_copy_where_mirrored_ones_were_drawn() {
        let data = noise_set();
        let image = data.batch(3, 1).into_values();
        let mirrored: Vec<f64> = (0..36).map(|i| image[i / 6 * 6 + 5 - i % 6]).collect();
        let found = |augmentation| {
            nearest_of_copies(&mirrored, &data, Shifts::Every, augmentation).unwrap()
        };
        assert!(!found(Augmentation::None).is_copy());
        for augmentation in [Augmentation::Flip, Augmentation::Dihedral] {
            let found = found(augmentation);
            assert!(found.is_copy() && found.image == 3 && found.distance == 0.0, "{found:?}");
        }
    }

    #[test]
    fn a_copy_of_an_image_that_is_there_twice_is_a_copy() {
        let data = noise_set();
        let image = data.image(3).to_vec();
        let shifted = (0..36).map(|i| image[(i / 6 + 4) % 6 * 6 + (i % 6 + 1) % 6]);
        let pixels: Vec<u8> = data.pixels().iter().copied().chain(shifted).collect();
        let twice = Dataset::new("noise", data.shape(), pixels, None);
        let found = nearest(data.batch(3, 1).values(), &twice, Shifts::Every).unwrap();
        assert!(found.is_copy(), "{found:?}");
    }

    #[test]
    fn at_its_own_place_a_shifted_image_is_no_copy_and_two_equal_images_count_as_one() {
        let data = noise_set();
        let image = data.image(3).to_vec();
        let shifted: Vec<f64> =
            (0..36).map(|i| from_byte(image[(i / 6 + 4) % 6 * 6 + (i % 6 + 1) % 6])).collect();
        assert!(!nearest(&shifted, &data, Shifts::None).unwrap().is_copy());
        let pixels: Vec<u8> = data.pixels().iter().copied().chain(image).collect();
        let twice = Dataset::new("noise", data.shape(), pixels, None);
        let found = nearest(data.batch(3, 1).values(), &twice, Shifts::None).unwrap();
        assert_eq!((found.image, found.shift), (3, (0, 0)));
        assert!(found.is_copy(), "{found:?}");
    }

    #[test]
    fn an_image_between_two_is_no_copy() {
        let data = noise_set();
        let (a, b) = (data.batch(0, 1), data.batch(1, 1));
        let between: Vec<f64> =
            a.values().iter().zip(b.values()).map(|(a, b)| (a + b) / 2.0).collect();
        assert!(!nearest(&between, &data, Shifts::Every).unwrap().is_copy());
        assert!(nearest(&[f64::NAN; 36], &data, Shifts::Every).is_none());
    }
}
