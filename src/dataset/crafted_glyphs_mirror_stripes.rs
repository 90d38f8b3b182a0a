//! The crafted sets `glyphs`, `mirror` and `stripes`: images drawn by a seeded generator under a known rule.
//!
//! Image `i` is drawn from `stream(seed, Generator, i)`, and drawn again while an earlier image has the same
//! choices. It therefore depends on the seed and on `i` but never on `n`, and no choice repeats until all have
//! been used; then the next round starts. Slots divide a square image evenly:
//!
//! ```text
//! slot k starts at  k * size / slots + (size / slots - glyph) / 2
//! ```
//!
//! so that, including wrap-around, the gap between neighbours is at least `size / slots - glyph`. Whether that
//! suits a network's receptive field is checked elsewhere.

use std::collections::HashSet;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::crafted_rule::{GlyphRule, Hue, Pattern, Rule, Texture};
use super::error::DatasetError;
use super::glyph_shapes::{HUES, Shape, draw, glyph_names, handed_names};
use super::image_set::Dataset;
use crate::image::{ImageShape, to_byte};
use crate::random::{Purpose, stream};

/// A crafted set: its drawings, number of images and seed.
#[derive(Clone, Debug, PartialEq)]
pub struct CraftedSet {
    pub kind: CraftedKind,
    pub n: usize,
    pub seed: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub enum CraftedKind {
    /// Glyphs of any shapes in `slots * slots` slots, all in one hue.
    Glyphs(Glyphs),
    /// Two glyphs in the first and last slot of each of `slots` rows, the right one the mirror image of the left one.
    /// `n_shapes` counts the left-hand shapes; their mirror images are further shapes. Every glyph draws its own hue, so
    /// that one side determines only the shape of the other.
    Mirror(Glyphs),
    /// One of `n_patterns * n_hues` textures at a random phase.
    Stripes(Stripes),
}

/// The layout of an image with glyphs, and what they are drawn from.
#[derive(Clone, Debug, PartialEq)]
pub struct Glyphs {
    /// Side of the image in pixels.
    pub size: usize,
    /// Slots per side, 2 or 3.
    pub slots: usize,
    /// Side of a glyph in pixels, 2 to 7.
    pub glyph: usize,
    /// Minimum gap between glyphs in pixels.
    pub gap: usize,
    pub n_shapes: usize,
    pub n_hues: usize,
    /// Shift each image by a random circular translation.
    pub shift: bool,
}

impl Default for Glyphs {
    fn default() -> Self {
        Self { size: 16, slots: 2, glyph: 3, gap: 5, n_shapes: 4, n_hues: 4, shift: false }
    }
}

/// The layout of an image with a texture, and what it is drawn from.
#[derive(Clone, Debug, PartialEq)]
pub struct Stripes {
    pub size: usize,
    /// Period in pixels; even, and a divisor of `size` so that the texture wraps.
    pub period: usize,
    pub n_patterns: usize,
    pub n_hues: usize,
}

impl Default for Stripes {
    fn default() -> Self {
        Self { size: 16, period: 4, n_patterns: 5, n_hues: 4 }
    }
}

/// All choices that determine one image.
type Choices = Vec<usize>;

impl CraftedSet {
    /// Validates the parameters and draws the set.
    ///
    /// # Errors
    ///
    /// If the parameters are invalid.
    pub fn generate(&self, name: &str) -> Result<Dataset, DatasetError> {
        let rule = self.kind.rule()?;
        let size = self.kind.size();
        let total = self.n_arrangements();
        let mut seen: HashSet<Choices> = HashSet::new();
        let mut pixels = Vec::with_capacity(self.n * 3 * size * size);
        for index in 0..self.n {
            if seen.len() as u128 == total {
                seen.clear();
            }
            let mut generator = stream(self.seed, Purpose::Generator, index as u64);
            let choices = loop {
                let choices = self.kind.choose(&mut generator);
                if seen.insert(choices.clone()) {
                    break choices;
                }
            };
            pixels.extend(self.kind.paint(&rule, &choices));
        }
        let shape = ImageShape::new(3, size, size);
        Ok(Dataset::new(name, shape, pixels, None).with_rule(rule))
    }

    /// The number of different choices. If `n` exceeds it, images repeat, all equally often (to within one).
    /// Different choices may give the same image up to translation: in a set without `shift`, for instance, if
    /// columns of slots are exchanged.
    pub fn n_arrangements(&self) -> u128 {
        if let CraftedKind::Stripes(s) = &self.kind {
            // Distinct phases per pattern: see `normalise_phase`.
            let phases = |pattern: &Pattern| match pattern {
                Pattern::Checker => s.period * s.period / 2,
                _ => s.period,
            };
            let patterns = &Pattern::ALL[..s.n_patterns];
            return (s.n_hues * patterns.iter().map(phases).sum::<usize>()) as u128;
        }
        self.kind.radices().iter().fold(1_u128, |n, &r| n.saturating_mul(r as u128))
    }
}

impl CraftedKind {
    fn size(&self) -> usize {
        match self {
            Self::Glyphs(g) | Self::Mirror(g) => g.size,
            Self::Stripes(s) => s.size,
        }
    }

    /// The set's rule.
    ///
    /// # Errors
    ///
    /// If the parameters are invalid.
    pub fn rule(&self) -> Result<Rule, DatasetError> {
        match self {
            Self::Glyphs(g) => Ok(Rule::OneHue(g.rule(g.shapes(glyph_names(g.glyph))?)?)),
            Self::Mirror(g) => {
                let left = g.shapes(handed_names(g.glyph))?.into_iter();
                let shapes = left.flat_map(|s| [s.clone(), s.mirrored()]).collect();
                Ok(Rule::Mirror(g.rule(shapes)?))
            }
            Self::Stripes(s) => {
                DatasetError::check("size", s.size, 4, 256)?;
                DatasetError::check("n_patterns", s.n_patterns, 1, Pattern::ALL.len())?;
                if s.period < 4 || s.period % 2 != 0 || s.size % s.period != 0 {
                    return Err(DatasetError::Layout {
                        problem: format!(
                            "stripes of period '{}' do not wrap in an image of size '{}'; choose an \
                             even period of 4 or more that divides the size",
                            s.period, s.size
                        ),
                    });
                }
                let hues = hues(s.n_hues)?;
                let textures = Pattern::ALL[..s.n_patterns]
                    .iter()
                    .flat_map(|&pattern| hues.iter().map(move |&hue| Texture { pattern, hue }))
                    .collect();
                Ok(Rule::OneTexture { textures, period: s.period })
            }
        }
    }

    /// The number of values for each choice.
    fn radices(&self) -> Vec<usize> {
        let shifts = |g: &Glyphs| if g.shift { vec![g.size; 2] } else { vec![] };
        match self {
            Self::Glyphs(g) => {
                let shapes = vec![g.n_shapes; g.slots * g.slots];
                [vec![g.n_hues], shapes, shifts(g)].concat()
            }
            Self::Mirror(g) => {
                let row = [g.n_shapes, g.n_hues, g.n_hues];
                [row.repeat(g.slots), shifts(g)].concat()
            }
            Self::Stripes(s) => vec![s.n_patterns, s.n_hues, s.period, s.period],
        }
    }

    fn choose(&self, generator: &mut ChaCha8Rng) -> Choices {
        let draw = |radix: usize| generator.random_range(0..radix as u64) as usize;
        let mut choices: Choices = self.radices().into_iter().map(draw).collect();
        if let Self::Stripes(s) = self {
            normalise_phase(&mut choices, s.period);
        }
        choices
    }

    fn paint(&self, rule: &Rule, choices: &Choices) -> Vec<u8> {
        let mut canvas = Canvas::new(self.size());
        match (self, rule) {
            (Self::Glyphs(g), Rule::OneHue(r)) => {
                canvas.shift = g.shift_of(choices);
                for slot in 0..g.slots * g.slots {
                    let at = |k| g.slot_start(k);
                    let shape = &r.shapes[choices[1 + slot]];
                    canvas.stamp(shape, r.hues[choices[0]], at(slot / g.slots), at(slot % g.slots));
                }
            }
            (Self::Mirror(g), Rule::Mirror(r)) => {
                canvas.shift = g.shift_of(choices);
                let at = |k| g.slot_start(k);
                for (row, choice) in choices.chunks_exact(3).take(g.slots).enumerate() {
                    let left = 2 * choice[0];
                    canvas.stamp(&r.shapes[left], r.hues[choice[1]], at(row), at(0));
                    let right = at(g.slots - 1);
                    canvas.stamp(&r.shapes[left + 1], r.hues[choice[2]], at(row), right);
                }
            }
            (Self::Stripes(s), Rule::OneTexture { textures, period }) => {
                let texture = &textures[choices[0] * s.n_hues + choices[1]];
                let phase = (choices[2], choices[3]);
                for i in 0..s.size * s.size {
                    let (r, c) = (i / s.size, i % s.size);
                    if texture.is_on(r, c, phase, *period) {
                        canvas.put(r, c, texture.hue);
                    }
                }
            }
            _ => unreachable!("a kind paints under the rule that it made itself"),
        }
        canvas.pixels
    }
}

impl Glyphs {
    /// Checks the layout and draws the first `n_shapes` of the named shapes.
    fn shapes(&self, names: &[&str]) -> Result<Vec<Shape>, DatasetError> {
        let Self { size, slots, glyph, gap, n_shapes, .. } = *self;
        DatasetError::check("size", size, 8, 256)?;
        DatasetError::check("slots", slots, 2, 3)?;
        DatasetError::check("glyph", glyph, 2, 7)?;
        // Closer glyphs would form one component for the judge, whose window extends one pixel beyond a glyph.
        DatasetError::check("gap", gap, 2, 64)?;
        let needed = slots * (glyph + gap);
        if needed > size {
            return Err(DatasetError::Layout {
                problem: format!(
                    "{slots} glyphs of '{glyph}' pixels with gaps of '{gap}' need '{needed}' pixels but the \
                     image has '{size}'; enlarge the image or shrink the gap"
                ),
            });
        }
        DatasetError::check("n_shapes", n_shapes, 1, names.len())?;
        Ok(names[..n_shapes].iter().filter_map(|name| draw(name, glyph)).collect())
    }

    fn rule(&self, shapes: Vec<Shape>) -> Result<GlyphRule, DatasetError> {
        Ok(GlyphRule { shapes, hues: hues(self.n_hues)?, glyph: self.glyph })
    }

    /// Position at which slot `k` of a side starts.
    fn slot_start(&self, k: usize) -> usize {
        k * self.size / self.slots + (self.size / self.slots - self.glyph) / 2
    }

    fn shift_of(&self, choices: &Choices) -> (usize, usize) {
        match choices[..] {
            [.., row, column] if self.shift => (row, column),
            _ => (0, 0),
        }
    }
}

/// Keeps one of several phases that draw the same picture (vertical stripes, for instance, do not depend on the
/// row).
fn normalise_phase(choices: &mut Choices, period: usize) {
    let (row, column) = (choices[2], choices[3]);
    (choices[2], choices[3]) = match Pattern::ALL[choices[0]] {
        Pattern::Horizontal => (row, 0),
        Pattern::Vertical => (0, column),
        Pattern::Diagonal => (0, (column + period - row) % period),
        Pattern::Antidiagonal => (0, (row + column) % period),
        // Shifting a checkerboard by half a period both ways leaves it unchanged.
        Pattern::Checker if row >= period / 2 => (row - period / 2, (column + period / 2) % period),
        Pattern::Checker => (row, column),
    };
}

fn hues(n: usize) -> Result<Vec<Hue>, DatasetError> {
    DatasetError::check("n_hues", n, 1, HUES.len())?;
    Ok(HUES[..n].to_vec())
}

/// A black image being drawn on, with a circular shift applied to everything.
struct Canvas {
    size: usize,
    shift: (usize, usize),
    pixels: Vec<u8>,
}

impl Canvas {
    fn new(size: usize) -> Self {
        Self { size, shift: (0, 0), pixels: vec![0; 3 * size * size] }
    }

    fn put(&mut self, row: usize, column: usize, hue: Hue) {
        let row = (row + self.shift.0) % self.size;
        let column = (column + self.shift.1) % self.size;
        for (channel, &value) in hue.1.iter().enumerate() {
            self.pixels[(channel * self.size + row) * self.size + column] = to_byte(value);
        }
    }

    fn stamp(&mut self, shape: &Shape, hue: Hue, row: usize, column: usize) {
        for r in 0..shape.size {
            for c in (0..shape.size).filter(|&c| shape.is_on(r, c)) {
                self.put(row + r, column + c, hue);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(kind: CraftedKind, n: usize) -> CraftedSet {
        CraftedSet { kind, n, seed: 5 }
    }

    fn kinds() -> [CraftedKind; 4] {
        [
            CraftedKind::Glyphs(Glyphs::default()),
            CraftedKind::Glyphs(Glyphs { shift: true, slots: 3, size: 27, ..Glyphs::default() }),
            CraftedKind::Mirror(Glyphs { n_shapes: 3, n_hues: 2, ..Glyphs::default() }),
            CraftedKind::Stripes(Stripes::default()),
        ]
    }

    #[test]
    fn an_image_does_not_depend_on_how_many_are_drawn() {
        for kind in kinds() {
            let few = set(kind.clone(), 20).generate("few").unwrap();
            let many = set(kind, 50).generate("many").unwrap();
            assert_eq!(few.pixels(), &many.pixels()[..few.pixels().len()]);
        }
    }

    #[test]
    fn another_seed_gives_another_set() {
        let one = set(kinds()[0].clone(), 20);
        let other = CraftedSet { seed: 6, ..one.clone() };
        assert_ne!(one.generate("a").unwrap().pixels(), other.generate("a").unwrap().pixels());
    }

    #[test]
    fn images_differ_until_all_arrangements_are_drawn() {
        let glyphs = Glyphs { n_shapes: 2, n_hues: 2, ..Glyphs::default() };
        let set = set(CraftedKind::Glyphs(glyphs), 64);
        assert_eq!(set.n_arrangements(), 32);
        let data = set.generate("small").unwrap();
        for half in [0..32, 32..64] {
            let images: HashSet<&[u8]> = half.map(|i| data.image(i)).collect();
            assert_eq!(images.len(), 32);
        }
    }

    #[test]
    fn every_glyph_image_has_one_hue() {
        let data = set(kinds()[0].clone(), 200).generate("g").unwrap();
        for i in 0..data.len() {
            let image = data.image(i);
            let n = data.shape().n_pixels();
            let colours: HashSet<[u8; 3]> =
                (0..n).map(|p| [image[p], image[n + p], image[2 * n + p]]).collect();
            assert_eq!(colours.len(), 2, "one hue and the background");
        }
    }

    #[test]
    fn impossible_layouts_are_refused_with_the_numbers() {
        let glyphs = Glyphs { size: 15, ..Glyphs::default() };
        let error = set(CraftedKind::Glyphs(glyphs), 1).generate("g").unwrap_err().to_string();
        assert!(error.contains("'16'") && error.contains("'15'"), "{error}");
    }
}
