//! Augmentation by symmetries of the square: mirrored and turned copies of images.
//!
//! The copies are those that training often draws at random and that the "source distributions" of Filtered Posterior
//! Mean Collections add (Niedoba, Zwartsenberg & Wood, arXiv 2605.24192). Nothing is interpolated: a copy has the pixels
//! of its image at other places.

use strum::{EnumString, IntoStaticStr, VariantNames};

use super::batch::ImageShape;

/// Which copies of each image there are besides the image itself.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantNames,
)]
#[strum(serialize_all = "lowercase")]
pub enum Augmentation {
    /// None.
    #[default]
    None,
    /// The image mirrored left to right.
    Flip,
    /// All eight symmetries of the square: mirrored, turned by quarter turns, and both.
    Dihedral,
}

/// One symmetry: an image is mirrored left to right, or not, and then turned clockwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Symmetry {
    pub is_mirrored: bool,
    /// Quarter turns clockwise, 0 to 3; odd ones need square images.
    pub quarter_turns: u8,
}

const fn symmetry(is_mirrored: bool, quarter_turns: u8) -> Symmetry {
    Symmetry { is_mirrored, quarter_turns }
}

/// The symmetries of `dihedral`; `flip` has the first two, `none` the first.
const ALL: [Symmetry; 8] = [
    symmetry(false, 0),
    symmetry(true, 0),
    symmetry(false, 1),
    symmetry(true, 1),
    symmetry(false, 2),
    symmetry(true, 2),
    symmetry(false, 3),
    symmetry(true, 3),
];

impl Augmentation {
    /// The symmetries of the copies, the identity first.
    pub fn symmetries(self) -> &'static [Symmetry] {
        match self {
            Self::None => &ALL[..1],
            Self::Flip => &ALL[..2],
            Self::Dihedral => &ALL,
        }
    }

    /// Copies of each image, itself included.
    pub fn n_copies(self) -> usize {
        self.symmetries().len()
    }

    /// Whether images of `shape` have these copies: turned ones need square images.
    pub fn fits(self, shape: ImageShape) -> bool {
        self != Self::Dihedral || shape.height == shape.width
    }

    /// All copies of `images`, `[N, C, H, W]`: the images themselves, then all of them under the second symmetry, and so on.
    ///
    /// # Panics
    ///
    /// If [`Self::fits`] says no.
    pub fn copies<V: Copy>(self, shape: ImageShape, images: &[V]) -> Vec<V> {
        assert!(self.fits(shape), "images of {shape} cannot be turned by a quarter");
        let mut all = Vec::with_capacity(self.n_copies() * images.len());
        all.extend_from_slice(images);
        for symmetry in &self.symmetries()[1..] {
            for image in images.chunks_exact(shape.n_values()) {
                all.extend(symmetry.of_image(shape, image));
            }
        }
        all
    }
}

impl Symmetry {
    /// The copy of `image`, `[C, H, W]`.
    pub fn of_image<V: Copy>(self, shape: ImageShape, image: &[V]) -> impl Iterator<Item = V> {
        let ImageShape { height, width, .. } = shape;
        image.chunks_exact(shape.n_pixels()).flat_map(move |plane| {
            (0..height * width).map(move |p| {
                let (row, column) = self.source((height, width), (p / width, p % width));
                plane[row * width + column]
            })
        })
    }

    /// The place, row and column, in an image of `(height, width)` of what its copy has at `(row, column)`.
    pub fn source(
        self,
        (height, width): (usize, usize),
        (row, column): (usize, usize),
    ) -> (usize, usize) {
        let mut place = (row, column);
        for _ in 0..self.quarter_turns {
            // A clockwise turn brings the left column, from the bottom up, to the top row.
            place = (height - 1 - place.1, place.0);
        }
        match self.is_mirrored {
            true => (place.0, width - 1 - place.1),
            false => place,
        }
    }

    /// What was done to the image, in words; empty for the identity.
    pub fn words(self) -> String {
        let mirrored = self.is_mirrored.then(|| "mirrored".to_owned());
        let turned = (self.quarter_turns > 0)
            .then(|| format!("turned by {} degrees", 90 * u32::from(self.quarter_turns)));
        mirrored.into_iter().chain(turned).collect::<Vec<_>>().join(" and ")
    }

    /// A number below 8: 2 for each quarter turn, and 1 if mirrored.
    pub fn number(self) -> u8 {
        2 * self.quarter_turns + u8::from(self.is_mirrored)
    }

    /// The symmetry of a [`Self::number`].
    pub fn from_number(number: u8) -> Option<Self> {
        ALL.get(usize::from(number)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape { channels: 2, height: 3, width: 3 };

    fn copy(symmetry: Symmetry, image: &[u32]) -> Vec<u32> {
        symmetry.of_image(SHAPE, image).collect()
    }

    #[test]
    fn an_image_is_mirrored_before_it_is_turned() {
        let plane: Vec<u32> = (0..9).collect();
        let of = |is_mirrored, quarter_turns| {
            let shape = ImageShape { channels: 1, ..SHAPE };
            symmetry(is_mirrored, quarter_turns).of_image(shape, &plane).collect::<Vec<u32>>()
        };
        assert_eq!(of(true, 0), [2, 1, 0, 5, 4, 3, 8, 7, 6]);
        assert_eq!(of(false, 1), [6, 3, 0, 7, 4, 1, 8, 5, 2]);
        assert_eq!(of(false, 2), [8, 7, 6, 5, 4, 3, 2, 1, 0]);
        assert_eq!(of(true, 1), [8, 5, 2, 7, 4, 1, 6, 3, 0]);
    }

    #[test]
    fn the_copies_of_a_copy_are_those_of_the_image() {
        let image: Vec<u32> = (0..18).map(|i| i * 7 % 19).collect();
        let sorted = |image: &[u32], augmentation: Augmentation| {
            let all = augmentation.copies(SHAPE, image);
            let mut all: Vec<Vec<u32>> = all.chunks(18).map(<[u32]>::to_vec).collect();
            all.sort();
            all
        };
        for augmentation in [Augmentation::None, Augmentation::Flip, Augmentation::Dihedral] {
            let expected = sorted(&image, augmentation);
            let mut distinct = expected.clone();
            distinct.dedup();
            assert_eq!(distinct.len(), augmentation.n_copies());
            for symmetry in augmentation.symmetries() {
                assert_eq!(sorted(&copy(*symmetry, &image), augmentation), expected);
            }
        }
    }

    #[test]
    fn only_turned_copies_need_square_images() {
        let wide = ImageShape::new(1, 2, 3);
        assert!(Augmentation::Flip.fits(wide) && !Augmentation::Dihedral.fits(wide));
        let copies = Augmentation::Flip.copies(wide, &[1, 2, 3, 4, 5, 6]);
        assert_eq!(copies, [1, 2, 3, 4, 5, 6, 3, 2, 1, 6, 5, 4]);
    }

    #[test]
    fn numbers_and_words_tell_symmetries_apart() {
        for symmetry in ALL {
            assert_eq!(Symmetry::from_number(symmetry.number()), Some(symmetry));
        }
        assert_eq!(Symmetry::from_number(8), None);
        let words: Vec<String> = ALL.iter().map(|symmetry| symmetry.words()).collect();
        assert_eq!(words[..3], ["", "mirrored", "turned by 90 degrees"]);
        assert_eq!(words[7], "mirrored and turned by 270 degrees");
    }
}
