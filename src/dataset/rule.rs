//! The rule that all images of a crafted set obey, as plain data for the judge.
//!
//! The rule defines which local features exist (templates) and what must hold across the image. For judging see
//! [`crate::analysis::consistency`].

use super::shapes::Shape;

/// One hue: its name and its pixel value in [-1, 1].
pub type Hue = (&'static str, [f64; 3]);

/// The rule of a crafted set. Backgrounds are -1 in every channel.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// Glyphs of free shapes, all in one hue.
    OneHue(GlyphRule),
    /// In every row of glyphs there are two, and each is the other's mirror image; hues are free.
    /// `shapes[i]` is the mirror image of `shapes[i ^ 1]`.
    Mirror(GlyphRule),
    /// One texture everywhere; phases are free.
    OneTexture { textures: Vec<Texture>, period: usize },
}

impl Rule {
    /// The rule in one sentence, for captions.
    pub fn sentence(&self) -> &'static str {
        match self {
            Self::OneHue(_) => "every glyph of an image has the same hue",
            Self::Mirror(_) => "in each row the right glyph is the left one's mirror image",
            Self::OneTexture { .. } => "one texture covers the whole image",
        }
    }
}

/// Templates and layout of a set of glyphs.
#[derive(Clone, Debug, PartialEq)]
pub struct GlyphRule {
    pub shapes: Vec<Shape>,
    pub hues: Vec<Hue>,
    /// Side of a glyph, pixels.
    pub glyph: usize,
    /// Smallest free distance between neighbouring glyphs, wrap-around included, pixels.
    pub gap: usize,
    /// Slots per side.
    pub slots: usize,
}

/// Directions of a texture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pattern {
    Horizontal,
    Vertical,
    Diagonal,
    Antidiagonal,
    Checker,
}

impl Pattern {
    /// In the order in which `n_patterns` takes them.
    pub const ALL: [Self; 5] =
        [Self::Horizontal, Self::Vertical, Self::Diagonal, Self::Antidiagonal, Self::Checker];
}

/// A pattern in a hue: half of each period is on, half is background.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Texture {
    pub pattern: Pattern,
    pub hue: Hue,
}

impl Texture {
    /// Whether the pixel is on, `phase` (row, column) being the shift of the pattern.
    pub fn is_on(&self, row: usize, column: usize, phase: (usize, usize), period: usize) -> bool {
        let r = (row + period - phase.0 % period) % period;
        let c = (column + period - phase.1 % period) % period;
        let half = period / 2;
        match self.pattern {
            Pattern::Horizontal => r < half,
            Pattern::Vertical => c < half,
            Pattern::Diagonal => (c + period - r) % period < half,
            Pattern::Antidiagonal => (r + c) % period < half,
            Pattern::Checker => (r < half) == (c < half),
        }
    }
}
