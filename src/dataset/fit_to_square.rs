//! Makes squares of a given size from images of any size: what is cropped, and how pixels are resampled.
//!
//! Each channel is resampled by itself, on bytes, and rounded to the nearest byte. Pixels are centred
//! (`align_corners = false`). All resampling filters except `bilinear` widen their window when an image shrinks, as PIL
//! and torchvision do on PIL images; `bilinear` does not ([`super::bilinear_resize_of_idx_and_cifar`]).

use ::image::GrayImage;
use ::image::imageops::{FilterType, crop_imm, resize};
use strum::{Display, EnumString, IntoStaticStr, VariantNames};

use super::bilinear_resize_of_idx_and_cifar::bilinear;

/// What becomes of an image that is not square.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, Display, EnumString, IntoStaticStr, VariantNames,
)]
#[strum(serialize_all = "lowercase")]
pub enum Crop {
    /// The square in the middle is taken.
    #[default]
    Centre,
    /// The whole image is squeezed to a square.
    None,
}

/// How pixels of another size are made.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, Display, EnumString, IntoStaticStr, VariantNames,
)]
#[strum(serialize_all = "lowercase")]
pub enum Resample {
    /// Bilinear with antialiasing.
    #[default]
    Antialiased,
    /// Bilinear without antialiasing.
    Bilinear,
    /// Cubic (Catmull-Rom) with antialiasing.
    Bicubic,
    /// Lanczos' windowed sinc of three lobes with antialiasing.
    Lanczos,
    Nearest,
}

/// The squares to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fit {
    /// Pixels a side.
    pub size: usize,
    pub crop: Crop,
    pub resample: Resample,
}

impl Fit {
    /// Squares of `size` pixels by the default crop and resampling.
    pub fn to(size: usize) -> Self {
        Self { size, crop: Crop::default(), resample: Resample::default() }
    }

    /// Fits one plane `[height, width]`.
    pub fn plane(&self, plane: &[u8], height: usize, width: usize) -> Vec<u8> {
        let size = self.size;
        let side = height.min(width);
        let (cropped, height, width) = match self.crop {
            Crop::Centre if height != width => {
                let image = gray(plane, height, width);
                let (x, y) = ((width - side) / 2, (height - side) / 2);
                let [x, y, side_pixels] = [x, y, side].map(|pixels| pixels as u32);
                let middle = crop_imm(&image, x, y, side_pixels, side_pixels).to_image();
                (middle.into_raw(), side, side)
            }
            _ => (plane.to_vec(), height, width),
        };
        if (height, width) == (size, size) {
            return cropped;
        }
        let filter = match self.resample {
            Resample::Bilinear => return bilinear(&cropped, height, width, size),
            Resample::Antialiased => FilterType::Triangle,
            Resample::Bicubic => FilterType::CatmullRom,
            Resample::Lanczos => FilterType::Lanczos3,
            Resample::Nearest => FilterType::Nearest,
        };
        resize(&gray(&cropped, height, width), size as u32, size as u32, filter).into_raw()
    }

    /// What is done with images of several sizes or of another size than asked for.
    pub fn in_words(&self) -> String {
        let crop = match self.crop {
            Crop::Centre => "the square in the middle of each is taken (dataset.crop = 'centre')",
            Crop::None => "each is squeezed to a square (dataset.crop = 'none')",
        };
        let Self { size, resample, .. } = self;
        format!("{crop}, then resampled to {size}x{size} (dataset.resize = '{resample}')")
    }
}

fn gray(plane: &[u8], height: usize, width: usize) -> GrayImage {
    GrayImage::from_raw(width as u32, height as u32, plane.to_vec()).expect("a plane of its size")
}

#[cfg(test)]
mod tests {
    use strum::VariantNames as _;

    use super::*;

    #[test]
    fn a_square_of_the_size_is_unchanged_and_a_constant_stays_one() {
        let square: Vec<u8> = (0..16).map(|i| i * 9).collect();
        for word in Resample::VARIANTS {
            let fit = Fit { resample: word.parse().unwrap(), ..Fit::to(4) };
            assert_eq!(fit.plane(&square, 4, 4), square, "{word}");
            for (height, width) in [(9, 5), (2, 3), (1, 1)] {
                assert_eq!(fit.plane(&vec![77; height * width], height, width), [77; 16], "{word}");
            }
        }
    }

    #[test]
    fn the_middle_is_cropped_or_all_is_squeezed() {
        // Two dark columns at the sides.
        let plane: Vec<u8> = [0, 100, 100, 0].repeat(2);
        assert_eq!(Fit::to(2).plane(&plane, 2, 4), [100; 4]);
        let squeezed = Fit { crop: Crop::None, ..Fit::to(2) }.plane(&plane, 2, 4);
        assert!(squeezed.iter().all(|&value| (40..=60).contains(&value)), "{squeezed:?}");
    }

    #[test]
    fn only_filters_that_antialias_average_fine_stripes() {
        let stripes: Vec<u8> = [0, 0, 0, 200].repeat(4 * 16);
        for (word, averages) in [
            ("antialiased", true),
            ("bicubic", true),
            ("lanczos", true),
            ("bilinear", false),
            ("nearest", false),
        ] {
            let fit = Fit { resample: word.parse().unwrap(), ..Fit::to(4) };
            let small = fit.plane(&stripes, 16, 16);
            let is_average = small.iter().all(|&value| (15..=90).contains(&value));
            assert_eq!(is_average, averages, "{word}: {small:?}");
        }
    }
}
