//! The order of the axes of an array of images.

use strum::{Display, EnumString, IntoStaticStr, VariantNames};

use crate::image::ImageShape;

/// Order of the axes: number of images, channels, height, width.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, Display, EnumString, IntoStaticStr, VariantNames,
)]
#[strum(serialize_all = "lowercase")]
pub enum ArrayLayout {
    /// Recognised by the shape, where only one order is possible.
    #[default]
    Auto,
    /// Grey images `[N, H, W]`.
    Nhw,
    /// `[N, C, H, W]`, as in PyTorch.
    Nchw,
    /// `[N, H, W, C]`, as in TensorFlow, JAX and PIL.
    Nhwc,
}

/// Images are grey or red, green and blue.
fn is_channels(axis: usize) -> bool {
    axis == 1 || axis == 3
}

impl ArrayLayout {
    /// The layout of an array of this shape, and the shape of its images.
    ///
    /// # Errors
    ///
    /// If the shape is not one of images in this layout, or if it may be of several, in words that follow
    /// "array '...' of '...': ".
    pub fn resolve(self, shape: &[usize]) -> Result<(Self, ImageShape), String> {
        let layout = match self {
            Self::Auto => recognised(shape)?,
            chosen => chosen,
        };
        let image = match (layout, shape) {
            (Self::Nhw, &[_, h, w]) => (1, h, w),
            (Self::Nchw, &[_, c, h, w]) => (c, h, w),
            (Self::Nhwc, &[_, h, w, c]) => (c, h, w),
            _ => {
                return Err(format!(
                    "its shape {shape:?} has {} axes, but dataset.array_layout = '{layout}' has {}",
                    shape.len(),
                    if layout == Self::Nhw { 3 } else { 4 }
                ));
            }
        };
        if !is_channels(image.0) {
            let n = image.0;
            let advice = match n {
                4 => "drop the fourth one (transparency)",
                2 => "save one of them, or three",
                _ => "save one or three, or set dataset.array_layout",
            };
            return Err(format!(
                "its shape {shape:?} means '{n}' channels in the layout '{layout}', but images have 1 (grey) or 3 (red, green, \
                 blue); {advice}"
            ));
        }
        let checked = ImageShape::of_file(image.0, image.1, image.2);
        let image = checked.ok_or_else(|| {
            format!("its shape {shape:?} holds images without pixels; save images of at least 1x1")
        })?;
        Ok((layout, image))
    }

    /// Puts images of this layout into the order `[N, C, H, W]`.
    pub fn to_channels_first<T: Copy>(self, values: &[T], image: ImageShape) -> Vec<T> {
        if self != Self::Nhwc || image.channels == 1 {
            return values.to_vec();
        }
        let planes = |pixels: &[T]| {
            (0..image.channels)
                .flat_map(|c| {
                    pixels.iter().skip(c).step_by(image.channels).copied().collect::<Vec<T>>()
                })
                .collect::<Vec<T>>()
        };
        values.chunks(image.n_values()).flat_map(planes).collect()
    }

    /// True if the order in memory is already `[N, C, H, W]`.
    pub fn is_channels_first(self, image: ImageShape) -> bool {
        self != Self::Nhwc || image.channels == 1
    }

    /// The axes in words.
    pub fn axes(self) -> &'static str {
        match self {
            Self::Auto => "any",
            Self::Nhw => "[count, height, width]",
            Self::Nchw => "[count, channels, height, width]",
            Self::Nhwc => "[count, height, width, channels]",
        }
    }
}

/// The only layout that a shape can have.
fn recognised(shape: &[usize]) -> Result<ArrayLayout, String> {
    let choose = "set dataset.array_layout to 'nhw', 'nchw' or 'nhwc'";
    match *shape {
        [_, h, w] if h > 4 && w > 4 || h == w => Ok(ArrayLayout::Nhw),
        [..] if shape.len() == 3 => Err(format!(
            "its shape {shape:?} may be that of one colour image or of many grey ones; save it as [count, height, width], \
             or set dataset.array_layout to 'nhw'"
        )),
        [_, c, _, last] => match (is_channels(c), is_channels(last)) {
            (true, false) => Ok(ArrayLayout::Nchw),
            (false, true) => Ok(ArrayLayout::Nhwc),
            (true, true) => {
                Err(format!("its shape {shape:?} may have its channels second or last; {choose}"))
            }
            (false, false) if c.min(last) == 4 => Err(format!(
                "its shape {shape:?} has four channels; images have 1 or 3, drop the fourth (transparency)"
            )),
            (false, false) => Err(format!(
                "its shape {shape:?} has 1 or 3 channels neither in its second nor in its last axis; save grey images as \
                 [count, height, width] and colour images as [count, channels, height, width]"
            )),
        },
        _ => Err(format!(
            "its shape {shape:?} has {} axes, but images have [count, height, width], [count, channels, height, width] or \
             [count, height, width, channels]; reshape it",
            shape.len()
        )),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn layouts_are_recognised_where_only_one_is_possible() {
        use ArrayLayout::*;
        for (shape, expected) in [
            (&[9, 28, 28][..], Ok((Nhw, 1, 28, 28))),
            (&[9, 3, 32, 32], Ok((Nchw, 3, 32, 32))),
            (&[9, 1, 32, 20], Ok((Nchw, 1, 32, 20))),
            (&[9, 32, 20, 3], Ok((Nhwc, 3, 32, 20))),
            (&[9, 1, 1], Ok((Nhw, 1, 1, 1))),
            (&[32, 32, 3], Err("one colour image")),
            (&[9, 3, 32, 3], Err("second or last")),
            (&[9, 32, 32, 4], Err("transparency")),
            (&[9, 8, 8, 8], Err("neither")),
            (&[9, 784], Err("2 axes")),
            (&[9, 3, 0, 5], Err("without pixels")),
            (&[9, 3, 1 << 40, 1 << 40], Err("without pixels")),
        ] {
            let found = Auto.resolve(shape);
            match (expected, found) {
                (Ok((layout, c, h, w)), found) => {
                    assert_eq!(found, Ok((layout, ImageShape::new(c, h, w))));
                }
                (Err(words), Err(problem)) => assert!(problem.contains(words), "{problem}"),
                (Err(words), Ok(found)) => panic!("{shape:?} is {found:?}, not '{words}'"),
            }
        }
        assert_eq!(Nhwc.resolve(&[9, 3, 5, 3]), Ok((Nhwc, ImageShape::new(3, 3, 5))));
        assert!(Nchw.resolve(&[9, 32, 32, 3]).unwrap_err().contains("'32' channels"));
        assert!(Nhw.resolve(&[9, 32, 32, 3]).unwrap_err().contains("4 axes"));
    }

    proptest! {
        #[test]
        fn channels_first_holds_the_same_pixels(
            n in 1_usize..4,
            channels in prop::sample::select(vec![1_usize, 3]),
            height in 1_usize..6,
            width in 1_usize..6,
        ) {
            let image = ImageShape::new(channels, height, width);
            let last: Vec<usize> = (0..n * image.n_values()).collect();
            let first = ArrayLayout::Nhwc.to_channels_first(&last, image);
            for i in 0..n {
                for c in 0..channels {
                    for pixel in 0..height * width {
                        let place = i * image.n_values();
                        prop_assert_eq!(
                            first[place + c * height * width + pixel],
                            last[place + pixel * channels + c]
                        );
                    }
                }
            }
        }
    }
}
