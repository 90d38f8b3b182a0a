//! The common property of all images of a crafted set, as plain data for the judge.
//!
//! The rule defines the local features (templates) and a condition across the image. Judging is done by
//! [`crate::analysis::creativity_judge`].

use super::glyph_shapes::Shape;

/// One hue: its name and its pixel value in [-1, 1].
pub type Hue = (&'static str, [f64; 3]);

/// The rule of a crafted set. Backgrounds are -1 in every channel.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// Glyphs of any shapes, all in one hue.
    OneHue(GlyphRule),
    /// Every row of glyphs contains two, each the mirror image of the other; hues are free. `shapes[i]` is the
    /// mirror image of `shapes[i ^ 1]`.
    Mirror(GlyphRule),
    /// One texture everywhere; phases are free.
    OneTexture { textures: Vec<Texture>, period: usize },
}

/// Templates of a set of glyphs.
#[derive(Clone, Debug, PartialEq)]
pub struct GlyphRule {
    pub shapes: Vec<Shape>,
    pub hues: Vec<Hue>,
    /// Side of a glyph in pixels.
    pub glyph: usize,
}

/// Spatial pattern of a texture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pattern {
    Horizontal,
    Vertical,
    Diagonal,
    Antidiagonal,
    Checker,
}

impl Pattern {
    /// In the order used by `n_patterns`.
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
    /// True if the pixel is on; `phase` is the shift of the pattern (row, column).
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
