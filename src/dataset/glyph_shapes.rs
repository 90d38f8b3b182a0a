//! Drawings of crafted sets: glyph bitmaps of every size, and hues.
//!
//! Every shape is 8-connected and touches all four sides of its box, so two shapes of one size are equal up to
//! translation only if they are equal; a test checks both. Even sizes have strokes of width two through the
//! middle, because they have no middle pixel.

/// A glyph's bitmap: `size * size` flags, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    pub name: &'static str,
    pub size: usize,
    pub pixels: Vec<bool>,
}

impl Shape {
    pub fn is_on(&self, row: usize, column: usize) -> bool {
        self.pixels[row * self.size + column]
    }

    /// The bitmap with left and right exchanged.
    pub fn mirrored(&self) -> Self {
        let pixels = (0..self.size * self.size)
            .map(|i| self.is_on(i / self.size, self.size - 1 - i % self.size))
            .collect();
        Self { name: self.name, size: self.size, pixels }
    }
}

/// Shapes of the `glyphs` sets with glyphs of 3x3 pixels or more, in the order used by `n_shapes`.
const GLYPHS: [&str; 12] =
    ["plus", "ring", "cross", "L", "T", "H", "U", "C", "I", "Z", "diagonal", "block"];

/// The same with glyphs of 2x2 pixels, where the others of [`GLYPHS`] are one of these.
const SMALL_GLYPHS: [&str; 3] = ["block", "L", "diagonal"];

/// Shapes of the `mirror` sets with glyphs of 3x3 pixels or more: each differs from its mirror image and from all others' mirror images.
const HANDED: [&str; 5] = ["L", "C", "Z", "diagonal", "P"];

/// The same with glyphs of 2x2 pixels.
const SMALL_HANDED: [&str; 2] = ["L", "diagonal"];

/// Hues in the order used by `n_hues`, as RGB pixel values; the background is -1.
pub const HUES: [(&str, [f64; 3]); 6] = [
    ("red", [1.0, -1.0, -1.0]),
    ("green", [-1.0, 1.0, -1.0]),
    ("blue", [-1.0, -1.0, 1.0]),
    ("yellow", [1.0, 1.0, -1.0]),
    ("magenta", [1.0, -1.0, 1.0]),
    ("cyan", [-1.0, 1.0, 1.0]),
];

/// Names of the shapes of the `glyphs` sets for glyphs of `size` pixels a side, in the order used by `n_shapes`.
pub fn glyph_names(size: usize) -> &'static [&'static str] {
    if size == 2 { &SMALL_GLYPHS } else { &GLYPHS }
}

/// Names of the left-hand shapes of the `mirror` sets for glyphs of `size` pixels a side.
pub fn handed_names(size: usize) -> &'static [&'static str] {
    if size == 2 { &SMALL_HANDED } else { &HANDED }
}

/// Draws a shape of [`glyph_names`] or [`handed_names`]; `None` for any other name.
pub fn draw(name: &str, size: usize) -> Option<Shape> {
    let name = GLYPHS.iter().chain(&HANDED).find(|known| **known == name)?;
    let last = size - 1;
    // The middle row or column: one for odd sizes, two for even ones.
    let mid = |i: usize| (2 * i + 1).abs_diff(size) <= 1;
    let half = size / 2;
    let is_on = |r: usize, c: usize| match *name {
        "plus" => mid(r) || mid(c),
        "ring" => r == 0 || c == 0 || r == last || c == last,
        "cross" => r == c || r + c == last,
        "L" => c == 0 || r == last,
        "T" => r == 0 || mid(c),
        "H" => c == 0 || c == last || mid(r),
        "U" => c == 0 || c == last || r == last,
        "C" => c == 0 || r == 0 || r == last,
        "I" => r == 0 || r == last || mid(c),
        "Z" => (r == 0 && c <= half) || mid(c) || (r == last && c + half >= last),
        "diagonal" => r == c,
        "P" => c == 0 || r == 0 || r == half || (c == last && r < half),
        _ => true,
    };
    let pixels = (0..size * size).map(|i| is_on(i / size, i % size)).collect();
    Some(Shape { name, size, pixels })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(size: usize) -> Vec<Shape> {
        glyph_names(size).iter().map(|name| draw(name, size).unwrap()).collect()
    }

    #[test]
    fn shapes_fill_their_box_and_differ() {
        for size in 2..=7 {
            let shapes = all(size);
            for (i, shape) in shapes.iter().enumerate() {
                let edge = |f: &dyn Fn(usize) -> (usize, usize)| {
                    (0..size).any(|k| shape.is_on(f(k).0, f(k).1))
                };
                assert!(edge(&|k| (0, k)) && edge(&|k| (size - 1, k)), "{} {size}", shape.name);
                assert!(edge(&|k| (k, 0)) && edge(&|k| (k, size - 1)), "{} {size}", shape.name);
                for other in &shapes[..i] {
                    assert_ne!(shape.pixels, other.pixels, "{} {} {size}", shape.name, other.name);
                }
            }
        }
    }

    #[test]
    fn handed_shapes_and_their_mirror_images_all_differ() {
        for size in 2..=7 {
            let mut seen: Vec<Vec<bool>> = Vec::new();
            for name in handed_names(size) {
                let shape = draw(name, size).unwrap();
                for pixels in [shape.pixels.clone(), shape.mirrored().pixels] {
                    assert!(!seen.contains(&pixels), "{name} {size}");
                    seen.push(pixels);
                }
            }
        }
    }

    #[test]
    fn shapes_are_connected() {
        for size in 2..=7 {
            for name in glyph_names(size).iter().chain(handed_names(size)) {
                let shape = draw(name, size).unwrap();
                let on: Vec<usize> = (0..size * size).filter(|&i| shape.pixels[i]).collect();
                let mut reached = vec![on[0]];
                let mut next = 0;
                while next < reached.len() {
                    let (r, c) = (reached[next] / size, reached[next] % size);
                    for &i in &on {
                        let near = r.abs_diff(i / size) <= 1 && c.abs_diff(i % size) <= 1;
                        if near && !reached.contains(&i) {
                            reached.push(i);
                        }
                    }
                    next += 1;
                }
                assert_eq!(reached.len(), on.len(), "{name} {size}");
            }
        }
    }
}
