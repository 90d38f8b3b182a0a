//! Textures in an image: the one that surrounds each pixel.
//!
//! A window of side `period + 1` is placed around every pixel and compared with every texture at every phase.
//! It is valid if no pixel in it differs from the nearest texture by more than
//! [`super::glyph_finder::WORST_PIXEL`]. Phases are relative to the image's corner, so all windows of one unbroken
//! texture have the same phase.

use std::collections::HashMap;

use super::glyph_finder::{Pixels, WORST_PIXEL, squared};
use crate::dataset::crafted_rule::Texture;

/// Textures in the windows of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct TexturesFound {
    /// Number of windows without a wrong pixel, and of all windows.
    pub n_valid: usize,
    pub n_windows: usize,
    /// The texture nearest to the most windows, at any phase.
    pub leading: usize,
    /// Number of windows nearest to it.
    pub n_leading: usize,
    /// Number of windows nearest to each texture.
    pub counts: Vec<usize>,
    /// True if one texture at one phase is nearest in every window.
    pub is_unbroken: bool,
}

pub fn find_textures(pixels: &Pixels, textures: &[Texture], period: usize) -> TexturesFound {
    let candidates = candidates(textures, period);
    let mut votes: HashMap<usize, usize> = HashMap::new();
    let mut counts = vec![0; textures.len()];
    let mut n_valid = 0;
    // Squared distance of every pixel to every candidate, computed once.
    let n = pixels.rgb.len();
    let distance = |candidate: &Candidate, p: usize| {
        let (r, c) = (p / pixels.width % period, p % pixels.width % period);
        let is_on = candidate.is_on[r * period + c];
        let expected = if is_on { textures[candidate.texture].hue.1 } else { [-1.0; 3] };
        squared(pixels.rgb[p], expected)
    };
    let tables: Vec<Vec<f64>> =
        candidates.iter().map(|c| (0..n).map(|p| distance(c, p)).collect()).collect();
    for p in 0..n {
        let window = window(p, period, pixels.height, pixels.width);
        let sum = |i: &usize| window.iter().map(|&q| tables[*i][q]).sum::<f64>();
        let best = (0..candidates.len())
            .map(|i| (sum(&i), i))
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .map_or(0, |(_, i)| i);
        let worst = window.iter().map(|&q| tables[best][q]).fold(0.0, f64::max);
        n_valid += usize::from(worst <= WORST_PIXEL * WORST_PIXEL);
        *votes.entry(best).or_default() += 1;
        counts[candidates[best].texture] += 1;
    }
    let leading = (0..counts.len()).max_by_key(|&t| counts[t]).unwrap_or(0);
    TexturesFound {
        n_valid,
        n_windows: n,
        leading,
        n_leading: counts[leading],
        counts,
        is_unbroken: votes.len() == 1,
    }
}

/// A texture at one phase, drawn once: `[period, period]`.
struct Candidate {
    texture: usize,
    is_on: Vec<bool>,
}

/// All distinct drawings of every texture.
fn candidates(textures: &[Texture], period: usize) -> Vec<Candidate> {
    let mut all: Vec<Candidate> = Vec::new();
    for (texture, drawing) in textures.iter().enumerate() {
        for phase in 0..period * period {
            let at = (phase / period, phase % period);
            let is_on: Vec<bool> = (0..period * period)
                .map(|i| drawing.is_on(i / period, i % period, at, period))
                .collect();
            if !all.iter().any(|c| c.texture == texture && c.is_on == is_on) {
                all.push(Candidate { texture, is_on });
            }
        }
    }
    all
}

/// Pixels around `p` on the torus: `period + 1` in each direction, centred as well as an even width allows.
fn window(p: usize, period: usize, height: usize, width: usize) -> Vec<usize> {
    let (r, c, side) = (p / width, p % width, period + 1);
    (0..side * side)
        .map(|i| {
            let row = (r + height + i / side - period / 2) % height;
            row * width + (c + width + i % side - period / 2) % width
        })
        .collect()
}
