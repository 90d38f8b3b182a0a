//! Glyphs in an image, at any position: components matched to (shape, hue) templates.
//!
//! Foreground is every pixel whose brightest channel exceeds [`FOREGROUND`]. Its 8-connected components on the
//! torus are compared with every template at every offset that overlaps the component's box as far as possible,
//! over the template's box and a border of one pixel. The template with the least squared difference is the
//! match, and it is *valid* if no pixel of that window is further from it than [`WORST_PIXEL`] in RGB. The
//! worst pixel decides, not the mean: one wrong pixel of a 7x7 glyph adds 0.016 to the mean square while noise
//! of sd 0.2 adds 0.04, but 2.0 and about 0.8 to the worst.

use super::connected_components::{Component, Connectivity, components};
use crate::dataset::{crafted_rule::GlyphRule, glyph_shapes::HUES};

/// Half-way between the background (-1) and a hue's bright channels (1).
pub const FOREGROUND: f64 = 0.0;

/// The largest Euclidean RGB distance of a valid pixel, in units of the [-1, 1] range: six standard
/// deviations of noise of 0.2, and well below the 2.0 of a pixel that is on instead of off.
pub const WORST_PIXEL: f64 = 1.2;

/// A component and its nearest template. Indices refer to the rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placed {
    pub shape: usize,
    pub hue: usize,
    pub row: usize,
    pub column: usize,
    pub is_valid: bool,
}

/// One RGB image with sanitised pixels: values outside [-1, 1] are clamped, NaN becomes background.
pub struct Pixels {
    pub height: usize,
    pub width: usize,
    pub rgb: Vec<[f64; 3]>,
}

impl Pixels {
    pub fn new(image: &[f64], height: usize, width: usize) -> Self {
        let n = height * width;
        let clean = |v: f64| if v.is_nan() { -1.0 } else { v.clamp(-1.0, 1.0) };
        let rgb = (0..n).map(|p| [0, 1, 2].map(|c| clean(image[c * n + p]))).collect();
        Self { height, width, rgb }
    }

    pub fn is_foreground(&self, p: usize) -> bool {
        self.rgb[p].iter().any(|&v| v > FOREGROUND)
    }

    /// The 8-connected components of the foreground.
    pub fn foreground(&self) -> Vec<Component> {
        let labels: Vec<Option<()>> =
            (0..self.rgb.len()).map(|p| self.is_foreground(p).then_some(())).collect();
        components(&labels, self.height, self.width, Connectivity::Eight)
    }
}

/// The squared RGB distance.
pub fn squared(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// The nearest of all known hues, whether or not the rule uses them: an image of a foreign hue must not pass
/// for one of the rule's. The rule's hues come first and have the rule's indices.
pub fn nearest_hue(rgb: [f64; 3]) -> usize {
    let distance = |i: &usize| squared(rgb, HUES[*i].1);
    (0..HUES.len()).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(0)
}

/// All glyphs of an image, one for each component; fragments of one valid glyph count once.
pub fn find_glyphs(pixels: &Pixels, rule: &GlyphRule) -> Vec<Placed> {
    let mut placed: Vec<Placed> = Vec::new();
    for component in pixels.foreground() {
        let glyph = place(pixels, &component, rule);
        if !(glyph.is_valid && placed.contains(&glyph)) {
            placed.push(glyph);
        }
    }
    placed
}

fn place(pixels: &Pixels, component: &Component, rule: &GlyphRule) -> Placed {
    let mut best = (f64::INFINITY, 0.0, 0, 0, 0, 0);
    for row in offsets(component.top, component.height, rule.glyph, pixels.height) {
        for column in offsets(component.left, component.width, rule.glyph, pixels.width) {
            for shape in 0..rule.shapes.len() {
                for hue in 0..rule.hues.len() {
                    let (sum, worst) = distance(pixels, rule, shape, hue, (row, column));
                    if sum < best.0 {
                        best = (sum, worst, shape, hue, row, column);
                    }
                }
            }
        }
    }
    let (_, worst, shape, hue, row, column) = best;
    // The window does not cover all of a large component.
    let fits = component.height <= rule.glyph && component.width <= rule.glyph;
    let is_valid = fits && worst <= WORST_PIXEL * WORST_PIXEL;
    Placed { shape, hue, row, column, is_valid }
}

/// Positions at which a template's box covers the component's, or lies within it if the component is larger.
fn offsets(start: usize, length: usize, glyph: usize, n: usize) -> impl Iterator<Item = usize> {
    let first = (start + n + length.min(glyph) - glyph) % n;
    (0..=length.abs_diff(glyph)).map(move |d| (first + d) % n)
}

/// Sum and maximum of the pixels' squared distances over the template's box and its border.
fn distance(
    pixels: &Pixels,
    rule: &GlyphRule,
    shape: usize,
    hue: usize,
    (row, column): (usize, usize),
) -> (f64, f64) {
    let glyph = rule.glyph;
    let (mut sum, mut worst) = (0.0, 0.0_f64);
    for i in 0..(glyph + 2) * (glyph + 2) {
        let (r, c) = (i / (glyph + 2), i % (glyph + 2));
        let in_box = (1..=glyph).contains(&r) && (1..=glyph).contains(&c);
        let is_on = in_box && rule.shapes[shape].is_on(r - 1, c - 1);
        let y = (row + r + pixels.height - 1) % pixels.height;
        let x = (column + c + pixels.width - 1) % pixels.width;
        let expected = if is_on { rule.hues[hue].1 } else { [-1.0; 3] };
        let d = squared(pixels.rgb[y * pixels.width + x], expected);
        sum += d;
        worst = worst.max(d);
    }
    (sum, worst)
}
