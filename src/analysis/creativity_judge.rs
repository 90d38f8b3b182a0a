//! The judge of crafted sets: is a sample whole, valid, consistent, novel, creative, and what is its hue purity?
//!
//! - **valid**: there is foreground, and every component is a glyph of the set (`glyph_finder.rs`), or every
//!   window shows a texture of the set (`texture_finder.rs`).
//! - **consistent**: the rule holds across the image, whether or not the glyphs are whole. One hue: every
//!   component has the same leading hue. Mirror: the glyphs form pairs in one row, each the mirror image of the
//!   other (on a torus, neither side is the left one). Texture: one unbroken texture everywhere.
//! - **hue purity**: the share of foreground pixels nearest to the leading hue; with textures, the share of
//!   windows nearest to the leading texture. `None` without foreground.
//! - **novel**: valid, and the arrangement - which glyphs of which hue, at which distances from each other - is
//!   not in the training set at any circular shift. A broken image is not novel, since it has no arrangement to
//!   compare. A texture is novel if no training image shows it.
//! - **creative**: valid, consistent and novel.
//!
//! No feature positions are assumed, since circular convolutions may put them anywhere. A sample of a single
//! glyph is consistent under the one-hue rule, which the chance level accounts for.

use std::collections::HashSet;

use super::confidence_intervals::{Interval, mean_interval, wilson};
use super::glyph_finder::{Pixels, Placed, find_glyphs, nearest_hue};
use super::texture_finder::{TexturesFound, find_textures};
use crate::dataset::{Dataset, crafted_rule::Rule, glyph_shapes::HUES};
use crate::image::{ImageBatch, ImageShape};

/// Judges samples by the rule of the set that was learnt.
#[derive(Clone, Debug)]
pub struct Judge {
    rule: Rule,
    shape: ImageShape,
    known: HashSet<Arrangement>,
    known_textures: HashSet<usize>,
}

/// Glyphs as (shape, hue, row, column), sorted, at the circular shift that comes first in sort order.
type Arrangement = Vec<(usize, usize, usize, usize)>;

/// Judgement of one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    pub valid: bool,
    pub consistent: bool,
    pub novel: bool,
    pub creative: bool,
    pub hue_purity: Option<f64>,
    /// Number of foreground components, or of windows for textures.
    pub n_components: usize,
    pub n_valid_components: usize,
}

/// Judgements of a batch: counts out of `n`, with Wilson 95% intervals.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgedRates {
    pub n: usize,
    pub valid: Rate,
    pub consistent: Rate,
    /// Rate of consistent images among the valid ones.
    pub consistent_of_valid: Rate,
    pub novel: Rate,
    pub creative: Rate,
    /// Mean over images that have foreground.
    pub hue_purity: Option<Interval>,
    /// Rate of whole glyphs among all components; its interval ignores that components share images.
    pub valid_components: Rate,
    /// The rate of `consistent` if the features of an image were independent.
    pub chance_level: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub count: usize,
    pub n: usize,
    pub interval: Interval,
}

impl Rate {
    fn new(count: usize, n: usize) -> Self {
        Self { count, n, interval: wilson(count, n) }
    }
}

impl Judge {
    /// Creates the judge of a crafted set; `None` for sets without a rule.
    pub fn new(dataset: &Dataset) -> Option<Self> {
        let mut judge = Self {
            rule: dataset.rule()?.clone(),
            shape: dataset.shape(),
            known: HashSet::new(),
            known_textures: HashSet::new(),
        };
        for index in 0..dataset.len() {
            let pixels = judge.pixels(dataset.batch(index, 1).image(0));
            match judge.look(&pixels) {
                Features::Glyphs(glyphs) => {
                    judge.known.insert(canonical(&glyphs, judge.shape));
                }
                Features::Textures(found) => {
                    judge.known_textures.insert(found.leading);
                }
            }
        }
        Some(judge)
    }

    /// Judges one image, `[C, H, W]`.
    ///
    /// # Panics
    ///
    /// If the image does not have the shape of the training images.
    pub fn judge(&self, image: &[f64]) -> Judgement {
        let pixels = self.pixels(image);
        match (self.look(&pixels), &self.rule) {
            (Features::Glyphs(glyphs), Rule::Mirror(_)) => {
                let consistent = mirrored_pairs(&glyphs);
                self.judge_glyphs(&pixels, &glyphs, consistent)
            }
            (Features::Glyphs(glyphs), _) => {
                let hues = component_hues(&pixels);
                let consistent = !hues.is_empty() && hues.iter().all(|&h| h == hues[0]);
                self.judge_glyphs(&pixels, &glyphs, consistent)
            }
            (Features::Textures(found), _) => self.judge_textures(&found),
        }
    }

    /// What an image of the rule has only one of: the hue nearest to most of its foreground, or its leading texture.
    /// `None` without foreground, and for the mirror rule, which sets no such feature.
    ///
    /// # Panics
    ///
    /// As [`Self::judge`].
    pub fn global_feature(&self, image: &[f64]) -> Option<usize> {
        let pixels = self.pixels(image);
        match &self.rule {
            Rule::OneHue(_) => {
                let foreground = (0..pixels.rgb.len()).filter(|&p| pixels.is_foreground(p));
                let counts = hue_counts(&pixels, foreground);
                (counts.iter().sum::<usize>() > 0).then(|| leading(&counts).0)
            }
            Rule::Mirror(_) => None,
            Rule::OneTexture { textures, period } => {
                Some(find_textures(&pixels, textures, *period).leading)
            }
        }
    }

    /// Judges a batch and counts the outcomes.
    pub fn rates(&self, images: &ImageBatch) -> JudgedRates {
        let judged: Vec<Judgement> = images.iter().map(|image| self.judge(image)).collect();
        let count = |f: fn(&Judgement) -> bool| judged.iter().filter(|j| f(j)).count();
        let rate = |f| Rate::new(count(f), judged.len());
        let purity: Vec<f64> = judged.iter().filter_map(|j| j.hue_purity).collect();
        let n_components = judged.iter().map(|j| j.n_components).sum();
        JudgedRates {
            n: judged.len(),
            valid: rate(|j| j.valid),
            consistent: rate(|j| j.consistent),
            consistent_of_valid: Rate::new(count(|j| j.valid && j.consistent), count(|j| j.valid)),
            novel: rate(|j| j.novel),
            creative: rate(|j| j.creative),
            hue_purity: mean_interval(&purity),
            valid_components: Rate::new(
                judged.iter().map(|j| j.n_valid_components).sum(),
                n_components,
            ),
            chance_level: self.chance_level(images),
        }
    }

    /// The rate of consistent images if features were assigned to images at random: each image keeps its number
    /// of components (pairs, tiles of one period), whose hues (shapes, textures) are drawn independently from
    /// the whole batch. This is the exact expectation, so no random numbers are needed. `None` without
    /// features.
    pub fn chance_level(&self, images: &ImageBatch) -> Option<f64> {
        let mut pool = vec![0_usize; self.n_kinds()];
        let mut numbers = Vec::new();
        for image in images.iter() {
            let pixels = self.pixels(image);
            match (self.look(&pixels), &self.rule) {
                (Features::Glyphs(glyphs), Rule::Mirror(_)) => {
                    glyphs.iter().for_each(|g| pool[g.shape] += 1);
                    // An odd glyph has no partner, whatever the shapes.
                    let is_even = glyphs.len() % 2 == 0;
                    numbers.push(if is_even { glyphs.len() / 2 } else { 0 });
                }
                (Features::Glyphs(_), _) => {
                    let hues = component_hues(&pixels);
                    hues.iter().for_each(|&h| pool[h] += 1);
                    numbers.push(hues.len());
                }
                (Features::Textures(found), Rule::OneTexture { period, .. }) => {
                    found.counts.iter().zip(&mut pool).for_each(|(n, sum)| *sum += n);
                    numbers.push(found.n_windows / (period * period));
                }
                (Features::Textures(_), _) => {}
            }
        }
        let total: usize = pool.iter().sum();
        if total == 0 {
            return None;
        }
        let share = |kind: usize| pool[kind] as f64 / total as f64;
        let kinds = 0..pool.len();
        let chance = |n: usize| match self.rule {
            _ if n == 0 => 0.0,
            Rule::Mirror(_) => {
                let pair: f64 = kinds.clone().map(|s| share(s) * share(s ^ 1)).sum();
                pair.powi(n as i32)
            }
            _ => kinds.clone().map(|kind| share(kind).powi(n as i32)).sum(),
        };
        Some(numbers.iter().map(|&n| chance(n)).sum::<f64>() / numbers.len() as f64)
    }

    fn n_kinds(&self) -> usize {
        match &self.rule {
            Rule::OneHue(_) => HUES.len(),
            Rule::Mirror(rule) => rule.shapes.len(),
            Rule::OneTexture { textures, .. } => textures.len(),
        }
    }

    fn pixels(&self, image: &[f64]) -> Pixels {
        assert_eq!(image.len(), self.shape.n_values(), "a sample of the training images' shape");
        Pixels::new(image, self.shape.height, self.shape.width)
    }

    fn look(&self, pixels: &Pixels) -> Features {
        match &self.rule {
            Rule::OneHue(rule) | Rule::Mirror(rule) => Features::Glyphs(find_glyphs(pixels, rule)),
            Rule::OneTexture { textures, period } => {
                Features::Textures(find_textures(pixels, textures, *period))
            }
        }
    }

    fn judge_glyphs(&self, pixels: &Pixels, glyphs: &[Placed], consistent: bool) -> Judgement {
        let n_valid_components = glyphs.iter().filter(|g| g.is_valid).count();
        let valid = !glyphs.is_empty() && n_valid_components == glyphs.len();
        let novel = valid && !self.known.contains(&canonical(glyphs, self.shape));
        Judgement {
            valid,
            consistent,
            novel,
            creative: valid && consistent && novel,
            hue_purity: hue_purity(pixels),
            n_components: glyphs.len(),
            n_valid_components,
        }
    }

    fn judge_textures(&self, found: &TexturesFound) -> Judgement {
        let valid = found.n_valid == found.n_windows;
        let novel = valid && !self.known_textures.contains(&found.leading);
        Judgement {
            valid,
            consistent: found.is_unbroken,
            novel,
            creative: valid && found.is_unbroken && novel,
            hue_purity: Some(found.n_leading as f64 / found.n_windows as f64),
            n_components: found.n_windows,
            n_valid_components: found.n_valid,
        }
    }
}

enum Features {
    Glyphs(Vec<Placed>),
    Textures(TexturesFound),
}

fn component_hues(pixels: &Pixels) -> Vec<usize> {
    pixels
        .foreground()
        .iter()
        .map(|component| leading(&hue_counts(pixels, component.pixels.iter().copied())).0)
        .collect()
}

fn hue_purity(pixels: &Pixels) -> Option<f64> {
    let foreground = (0..pixels.rgb.len()).filter(|&p| pixels.is_foreground(p));
    let counts = hue_counts(pixels, foreground);
    let total: usize = counts.iter().sum();
    (total > 0).then(|| leading(&counts).1 as f64 / total as f64)
}

fn hue_counts(pixels: &Pixels, which: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut counts = vec![0; HUES.len()];
    which.for_each(|p| counts[nearest_hue(pixels.rgb[p])] += 1);
    counts
}

/// Index and count of the largest entry; the first of equal ones.
fn leading(counts: &[usize]) -> (usize, usize) {
    let most = counts.iter().copied().max().unwrap_or(0);
    (counts.iter().position(|&n| n == most).unwrap_or(0), most)
}

/// True if every row with glyphs contains exactly two, each the mirror image of the other.
fn mirrored_pairs(glyphs: &[Placed]) -> bool {
    let in_row = |row: usize| glyphs.iter().filter(move |g| g.row == row).collect::<Vec<_>>();
    !glyphs.is_empty()
        && glyphs.iter().all(|g| match in_row(g.row)[..] {
            [a, b] => a.shape == b.shape ^ 1,
            _ => false,
        })
}

/// The smallest of the arrangements in which one of the glyphs is moved to the corner; it is the same for all
/// circular shifts of one image.
fn canonical(glyphs: &[Placed], shape: ImageShape) -> Arrangement {
    let moved = |origin: &Placed| {
        let back = |place: usize, by: usize, n: usize| (place + n - by) % n;
        let mut arrangement: Arrangement = glyphs
            .iter()
            .map(|g| {
                let row = back(g.row, origin.row, shape.height);
                (g.shape, g.hue, row, back(g.column, origin.column, shape.width))
            })
            .collect();
        arrangement.sort_unstable();
        arrangement
    };
    glyphs.iter().map(moved).min().unwrap_or_default()
}
