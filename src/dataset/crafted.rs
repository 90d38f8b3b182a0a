//! Crafted sets: images drawn by a seeded generator under a known rule.
//!
//! Image `i` is drawn from `stream(seed, Generator, i)` and drawn again while an earlier image has the
//! same choices, so it depends on the seed and on `i` but never on `n`, and no choice comes twice until
//! all have come; then the next round starts. Slots divide a square image evenly:
//!
//! ```text
//! slot k starts at  k * size / slots + (size / slots - glyph) / 2
//! ```
//!
//! so that with wrap-around the free distance between neighbours is `size / slots - glyph` or more.
//! Whether that suits the receptive field of a network is not checked here.

use std::collections::HashSet;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::error::DatasetError;
use super::rule::{GlyphRule, Hue, Pattern, Rule, Texture};
use super::set::Dataset;
use super::shapes::{GLYPHS, HANDED, HUES, Shape, draw};
use crate::image::{ImageShape, to_byte};
use crate::random::{Purpose, stream};

/// A crafted set: what to draw, the number of images, the rng seed.
#[derive(Clone, Debug, PartialEq)]
pub struct CraftedSet {
    pub kind: CraftedKind,
    pub n: usize,
    pub seed: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub enum CraftedKind {
    Glyphs(Glyphs),
    Mirror(Mirror),
    Stripes(Stripes),
}

/// Glyphs of free shapes in `slots * slots` slots, all in one hue.
#[derive(Clone, Debug, PartialEq)]
pub struct Glyphs {
    /// Side of the image, pixels.
    pub size: usize,
    /// Slots per side, 2 or 3.
    pub slots: usize,
    /// Side of a glyph, 3 to 7 pixels.
    pub glyph: usize,
    /// Smallest free distance between glyphs, pixels.
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

/// In each of `slots` rows two glyphs, the right one the left one's mirror image; every glyph draws
/// its own hue, so that the other side determines only the shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Mirror {
    pub size: usize,
    /// Rows of glyphs, 2 or 3; of each row the first and the last slot are used.
    pub slots: usize,
    pub glyph: usize,
    pub gap: usize,
    /// Left-hand shapes; their mirror images are further shapes.
    pub n_shapes: usize,
    pub n_hues: usize,
    pub shift: bool,
}

impl Default for Mirror {
    fn default() -> Self {
        Self { size: 16, slots: 2, glyph: 3, gap: 5, n_shapes: 3, n_hues: 2, shift: false }
    }
}

/// One of `n_patterns * n_hues` textures at a random phase.
#[derive(Clone, Debug, PartialEq)]
pub struct Stripes {
    pub size: usize,
    /// Pixels from stripe to stripe; even, and a divisor of `size` so that the texture wraps.
    pub period: usize,
    pub n_patterns: usize,
    pub n_hues: usize,
}

impl Default for Stripes {
    fn default() -> Self {
        Self { size: 16, period: 4, n_patterns: 5, n_hues: 4 }
    }
}

/// All choices that make one image.
type Choices = Vec<usize>;

impl CraftedSet {
    /// Checks the parameters and draws the set.
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

    /// How many different choices there are; when `n` exceeds this, images repeat, each equally often
    /// (to within one). Different choices may be one image up to translation: on a set without
    /// `shift`, exchanging the columns of slots is one.
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
            Self::Glyphs(g) => g.size,
            Self::Mirror(m) => m.size,
            Self::Stripes(s) => s.size,
        }
    }

    /// The rule, or what is wrong with the parameters.
    pub fn rule(&self) -> Result<Rule, DatasetError> {
        match self {
            Self::Glyphs(g) => {
                check_layout(g.size, g.slots, g.glyph, g.gap)?;
                check("n_shapes", g.n_shapes, 1, GLYPHS.len())?;
                let shapes = GLYPHS[..g.n_shapes].iter().filter_map(|s| draw(s, g.glyph)).collect();
                Ok(Rule::OneHue(glyph_rule(shapes, g.n_hues, g.glyph, g.gap, g.slots)?))
            }
            Self::Mirror(m) => {
                check_layout(m.size, m.slots, m.glyph, m.gap)?;
                check("n_shapes", m.n_shapes, 1, HANDED.len())?;
                let left = HANDED[..m.n_shapes].iter().filter_map(|s| draw(s, m.glyph));
                let shapes = left.flat_map(|s| [s.clone(), s.mirrored()]).collect();
                Ok(Rule::Mirror(glyph_rule(shapes, m.n_hues, m.glyph, m.gap, m.slots)?))
            }
            Self::Stripes(s) => {
                check("size", s.size, 4, 256)?;
                check("n_patterns", s.n_patterns, 1, Pattern::ALL.len())?;
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

    /// The number of values of each choice.
    fn radices(&self) -> Vec<usize> {
        let shifts = |shift: bool, size: usize| if shift { vec![size; 2] } else { vec![] };
        match self {
            Self::Glyphs(g) => {
                let shapes = vec![g.n_shapes; g.slots * g.slots];
                [vec![g.n_hues], shapes, shifts(g.shift, g.size)].concat()
            }
            Self::Mirror(m) => {
                let row = [m.n_shapes, m.n_hues, m.n_hues];
                [row.repeat(m.slots), shifts(m.shift, m.size)].concat()
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
                canvas.shift = shift_of(g.shift, choices);
                for slot in 0..g.slots * g.slots {
                    let at = |k| slot_start(g.size, g.slots, g.glyph, k);
                    let shape = &r.shapes[choices[1 + slot]];
                    canvas.stamp(shape, r.hues[choices[0]], at(slot / g.slots), at(slot % g.slots));
                }
            }
            (Self::Mirror(m), Rule::Mirror(r)) => {
                canvas.shift = shift_of(m.shift, choices);
                let at = |k| slot_start(m.size, m.slots, m.glyph, k);
                for (row, choice) in choices.chunks_exact(3).take(m.slots).enumerate() {
                    let left = 2 * choice[0];
                    canvas.stamp(&r.shapes[left], r.hues[choice[1]], at(row), at(0));
                    let right = at(m.slots - 1);
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

/// Where slot `k` of a side starts.
pub fn slot_start(size: usize, slots: usize, glyph: usize, k: usize) -> usize {
    k * size / slots + (size / slots - glyph) / 2
}

fn shift_of(shift: bool, choices: &Choices) -> (usize, usize) {
    match choices[..] {
        [.., row, column] if shift => (row, column),
        _ => (0, 0),
    }
}

/// Several phases draw one picture (rows do not matter to vertical stripes): keep one of them.
fn normalise_phase(choices: &mut Choices, period: usize) {
    let (row, column) = (choices[2], choices[3]);
    (choices[2], choices[3]) = match Pattern::ALL[choices[0]] {
        Pattern::Horizontal => (row, 0),
        Pattern::Vertical => (0, column),
        Pattern::Diagonal => (0, (column + period - row) % period),
        Pattern::Antidiagonal => (0, (row + column) % period),
        // A shift by half a period both ways leaves the checkers as they are.
        Pattern::Checker if row >= period / 2 => (row - period / 2, (column + period / 2) % period),
        Pattern::Checker => (row, column),
    };
}

fn hues(n: usize) -> Result<Vec<Hue>, DatasetError> {
    check("n_hues", n, 1, HUES.len())?;
    Ok(HUES[..n].to_vec())
}

fn glyph_rule(
    shapes: Vec<Shape>,
    n_hues: usize,
    glyph: usize,
    gap: usize,
    slots: usize,
) -> Result<GlyphRule, DatasetError> {
    Ok(GlyphRule { shapes, hues: hues(n_hues)?, glyph, gap, slots })
}

fn check(name: &'static str, value: usize, low: usize, high: usize) -> Result<(), DatasetError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(DatasetError::Setting { name, value, low, high })
}

fn check_layout(size: usize, slots: usize, glyph: usize, gap: usize) -> Result<(), DatasetError> {
    check("size", size, 8, 256)?;
    check("slots", slots, 2, 3)?;
    check("glyph", glyph, 3, 7)?;
    // Closer glyphs would be one component to the judge, whose window reaches one pixel further.
    check("gap", gap, 2, 64)?;
    if slots * (glyph + gap) > size {
        return Err(DatasetError::Layout {
            problem: format!(
                "{slots} glyphs of '{glyph}' pixels with gaps of '{gap}' need '{}' pixels but the \
                 image has '{size}'; enlarge the image or shrink the gap",
                slots * (glyph + gap)
            ),
        });
    }
    Ok(())
}

/// A black image being drawn, with a circular shift applied to everything.
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
            CraftedKind::Mirror(Mirror::default()),
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
