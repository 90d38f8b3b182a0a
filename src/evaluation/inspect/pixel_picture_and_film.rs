//! Traces as pictures: attention and provenance of one pixel, and whole trajectories as a film strip.

use std::path::Path;

use ::image::{Rgb, RgbImage, imageops};
use anyhow::Result;

use super::trace::{Actor, N_LEADING, Trace};
use crate::image::grid;
use crate::image::picture_text::{Label, write_labelled};

/// Size of one cell of a sheet, and of what stands around it.
const CELL: u32 = 108;
const GAP: u32 = 8;
const HEAD: u32 = 26;
const SIDE: u32 = 170;
/// Under each leading image: its number and weight.
const FOOT: u32 = 18;

/// The content of a cell, one per column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum View {
    State,
    Estimate,
    /// The pixel's attention in one head.
    Attention(usize),
    /// Which training image each pixel's likeliest patch comes from.
    Provenance,
    /// Entropy of each pixel's posterior.
    Entropy,
    /// The training image with the largest weight at the pixel, or the next largest, by rank.
    Leading(usize),
}

impl View {
    pub fn name(self) -> String {
        match self {
            Self::State => "x_t".to_owned(),
            Self::Estimate => "x0hat".to_owned(),
            Self::Attention(head) => format!("attention, head {head}"),
            Self::Provenance => "provenance".to_owned(),
            Self::Entropy => "entropy".to_owned(),
            Self::Leading(rank) => format!("image {}", rank + 1),
        }
    }
}

/// A step and a pixel of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct At {
    /// Sampling step, cleanest first, from 0.
    pub index: usize,
    /// Row and column.
    pub pixel: (usize, usize),
}

impl Trace {
    fn number(&self, (row, column): (usize, usize)) -> usize {
        row * self.shape.width + column
    }

    /// One view of one actor at the images' own size; `None` if the actor lacks it.
    pub fn view(&self, actor: &Actor, view: View, at: At) -> Option<RgbImage> {
        let (p, n) = (self.number(at.pixel), self.shape.n_pixels());
        let image = |values: &[f32], scale: f32| {
            let values: Vec<f64> = values.iter().map(|v| f64::from(v * scale)).collect();
            grid::to_rgb(&values, self.shape)
        };
        match view {
            // Noise reaches beyond the pixel range; a third of it shows most of the range.
            View::State => {
                let t = self.levels[at.index] as f32;
                Some(image(self.at(&actor.states, at.index), 1.0 - t * 2.0 / 3.0))
            }
            View::Estimate => Some(image(self.at(&actor.x0, at.index), 1.0)),
            View::Attention(head) => {
                let maps = actor.maps.as_ref().filter(|maps| head < maps.n_heads)?;
                let row = maps.row(n, at.index, head, p);
                let largest = row.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
                Some(self.by_pixel(|q| heat(row[q] / largest)))
            }
            View::Provenance => {
                let inside = actor.posterior.as_ref()?;
                Some(self.by_pixel(|q| colour_of(inside.place(n, at.index, q)[0])))
            }
            View::Entropy => {
                let inside = actor.posterior.as_ref()?;
                let entropy = inside.entropy.get(at.index * n..(at.index + 1) * n)?;
                let most = ((self.n_images * n) as f32).ln();
                Some(self.by_pixel(|q| heat(entropy[q] / most)))
            }
            View::Leading(rank) => {
                let inside = actor.posterior.as_ref()?;
                let (number, _) = *inside.leading(n, at.index, p).get(rank)?;
                Some(image(self.image(number)?, 1.0))
            }
        }
    }

    fn by_pixel(&self, colour: impl Fn(usize) -> [u8; 3]) -> RgbImage {
        let (width, height) = (self.shape.width as u32, self.shape.height as u32);
        RgbImage::from_fn(width, height, |x, y| Rgb(colour((y * width + x) as usize)))
    }

    /// Row and column of the pixel in a view's image, or of the centre of its likeliest patch.
    pub fn mark(&self, actor: &Actor, view: View, at: At) -> Option<(usize, usize)> {
        let View::Leading(rank) = view else { return Some(at.pixel) };
        let (p, n) = (self.number(at.pixel), self.shape.n_pixels());
        let inside = actor.posterior.as_ref()?;
        let [image, row, column] = inside.place(n, at.index, p);
        let (number, _) = *inside.leading(n, at.index, p).get(rank)?;
        (number == image).then_some((row as usize, column as usize))
    }

    /// The views that an actor has.
    pub fn views(&self, actor: &Actor) -> Vec<View> {
        let heads = actor.maps.as_ref().map_or(0, |maps| maps.n_heads);
        let mut views = vec![View::State, View::Estimate];
        views.extend((0..heads).map(View::Attention));
        if let Some(inside) = &actor.posterior {
            views.extend([View::Provenance, View::Entropy]);
            if !inside.leading.is_empty() {
                views.extend((0..N_LEADING.min(self.n_images)).map(View::Leading));
            }
        }
        views
    }
}

/// Draws everything about one pixel at one step, one row per actor, and replaces `path`.
///
/// # Errors
///
/// If drawing fails or the file cannot be written.
pub fn sheet(trace: &Trace, at: At, path: &Path) -> Result<()> {
    let n_columns = trace.actors.iter().map(|actor| trace.views(actor).len()).max().unwrap_or(0);
    let row_height = HEAD + CELL + FOOT + GAP;
    let width = SIDE + n_columns as u32 * (CELL + GAP) + GAP;
    let height = HEAD + trace.actors.len() as u32 * row_height + GAP;
    let mut sheet = RgbImage::from_pixel(width, height, Rgb([255; 3]));
    let mut labels = vec![Label {
        text: format!(
            "{}, training step {}, noise seed {}: t = {:.3}, pixel row {}, column {}",
            trace.run, trace.step, trace.seed, trace.levels[at.index], at.pixel.0, at.pixel.1
        ),
        at: (GAP, 4),
        size: 17,
    }];
    for (row, actor) in trace.actors.iter().enumerate() {
        let top = HEAD + row as u32 * row_height;
        let name = actor.name.clone();
        labels.push(Label { text: name, at: (GAP, top + HEAD + CELL / 2 - 10), size: 17 });
        for (column, view) in trace.views(actor).into_iter().enumerate() {
            let left = SIDE + column as u32 * (CELL + GAP);
            labels.push(Label { text: view.name(), at: (left, top + 6), size: 14 });
            if let Some(image) = trace.view(actor, view, at) {
                let mark = trace.mark(actor, view, at);
                let cell = enlarged(&image, mark, CELL);
                imageops::replace(&mut sheet, &cell, i64::from(left), i64::from(top + HEAD));
            }
            if let Some(text) = trace.figure(actor, view, at) {
                labels.push(Label { text, at: (left, top + HEAD + CELL + 2), size: 13 });
            }
        }
    }
    write_labelled(sheet, &labels, path)
}

impl Trace {
    /// The caption below a view.
    pub fn figure(&self, actor: &Actor, view: View, at: At) -> Option<String> {
        let (p, n) = (self.number(at.pixel), self.shape.n_pixels());
        match view {
            View::Attention(head) => {
                let row = actor.maps.as_ref()?.row(n, at.index, head, p);
                let nats = crate::diffusion::attention_entropy::row_entropy(&row);
                Some(format!("{nats:.2} nats {:.0}px", nats.exp()))
            }
            View::Provenance => {
                let inside = actor.posterior.as_ref()?;
                let [image, row, column] = inside.place(n, at.index, p);
                let symmetry = inside.symmetry(n, at.index, p);
                let separator = if symmetry.is_empty() { "" } else { ", " };
                Some(format!("#{image} at {row},{column}{separator}{symmetry}"))
            }
            View::Entropy => {
                let inside = actor.posterior.as_ref()?;
                let nats = inside.entropy.get(at.index * n + p)?;
                Some(format!("{nats:.2} nats"))
            }
            View::Leading(rank) => {
                let inside = actor.posterior.as_ref()?;
                let (number, weight) = *inside.leading(n, at.index, p).get(rank)?;
                Some(format!("#{number}: {weight:.3}"))
            }
            View::State | View::Estimate => None,
        }
    }
}

/// Draws every actor's clean estimates from noise to sample, one row per actor, and replaces `path`.
///
/// # Errors
///
/// If drawing fails or the file cannot be written.
pub fn film(trace: &Trace, path: &Path) -> Result<()> {
    let n_columns = trace.n_steps() as u32 + 1;
    let cell = (1400 / n_columns).clamp(32, CELL);
    let width = SIDE + n_columns * (cell + 2) + GAP;
    let height = 2 * HEAD + trace.actors.len() as u32 * (cell + GAP) + GAP;
    let mut sheet = RgbImage::from_pixel(width, height, Rgb([255; 3]));
    let mut labels = vec![Label {
        text: format!(
            "{}, training step {}, noise seed {}: x0hat by t, and the sample",
            trace.run, trace.step, trace.seed
        ),
        at: (GAP, 4),
        size: 17,
    }];
    // Every column needs room for its t.
    let every = (34 / (cell + 2) + 1) as usize;
    for column in 0..trace.n_steps() {
        if column % every == 0 {
            let t = trace.levels[trace.n_steps() - 1 - column];
            let at = (SIDE + column as u32 * (cell + 2), HEAD + 4);
            labels.push(Label { text: format!("{t:.2}"), at, size: 13 });
        }
    }
    for (row, actor) in trace.actors.iter().enumerate() {
        let top = 2 * HEAD + row as u32 * (cell + GAP);
        let name = actor.name.clone();
        labels.push(Label { text: name, at: (GAP, top + cell / 2 - 9), size: 17 });
        let steps = (0..trace.n_steps()).rev().map(|index| trace.at(&actor.x0, index));
        for (column, values) in steps.chain([&actor.sample[..]]).enumerate() {
            let values: Vec<f64> = values.iter().map(|v| f64::from(*v)).collect();
            let image = enlarged(&grid::to_rgb(&values, trace.shape), None, cell);
            let left = SIDE + column as u32 * (cell + 2);
            imageops::replace(&mut sheet, &image, i64::from(left), i64::from(top));
        }
    }
    write_labelled(sheet, &labels, path)
}

/// An image enlarged by a whole factor to about `side`, with a frame around one pixel.
pub fn enlarged(image: &RgbImage, mark: Option<(usize, usize)>, side: u32) -> RgbImage {
    let factor = (side / image.width().max(image.height()).max(1)).max(1);
    let size = (image.width() * factor, image.height() * factor);
    let mut large = imageops::resize(image, size.0, size.1, imageops::FilterType::Nearest);
    if let Some((row, column)) = mark {
        let (left, top) = (column as u32 * factor, row as u32 * factor);
        for i in 0..factor {
            for (x, y) in [
                (left + i, top),
                (left + i, top + factor - 1),
                (left, top + i),
                (left + factor - 1, top + i),
            ] {
                large.put_pixel(x, y, Rgb([255, 0, 255]));
            }
        }
    }
    large
}

/// Black over red and yellow to white, for shares from 0 to 1.
pub fn heat(share: f32) -> [u8; 3] {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    [0.0, 1.0, 2.0].map(|part: f32| ((share * 3.0 - part).clamp(0.0, 1.0) * 255.0).round() as u8)
}

/// A colour for a training image: neighbours in number are far apart in hue.
pub fn colour_of(number: u32) -> [u8; 3] {
    // The golden ratio spreads hues evenly whatever their number.
    let hue = (f64::from(number) * 0.618_033_988_749_895).fract() * 6.0;
    let bright = [1.0, 0.72, 0.88][number as usize % 3];
    let channel = |offset: f64| {
        let distance = ((hue + offset) % 6.0 - 3.0).abs() - 1.0;
        ((0.15 + 0.85 * distance.clamp(0.0, 1.0)) * bright * 255.0).round() as u8
    };
    [channel(0.0), channel(4.0), channel(2.0)]
}

#[cfg(test)]
mod tests {
    use super::super::trace_for_tests::example;
    use super::*;

    const AT: At = At { index: 1, pixel: (1, 0) };

    #[test]
    fn actors_show_what_they_have() {
        let trace = example();
        let [network, machine] = &trace.actors[..] else { panic!() };
        let views = trace.views(network);
        assert_eq!(views[2..], [View::Attention(0), View::Attention(1)]);
        assert!(trace.view(network, View::Provenance, AT).is_none());
        let attention = trace.view(network, View::Attention(1), AT).unwrap();
        assert_eq!(attention.get_pixel(0, 0).0, [255; 3]);
        assert_eq!(attention.get_pixel(1, 1).0, [0; 3]);
        assert_eq!(trace.figure(machine, View::Leading(0), AT).unwrap(), "#0: 0.500");
        assert_eq!(trace.figure(machine, View::Provenance, AT).unwrap(), "#0 at 1,0");
        // The likeliest patch lies in the image of the first rank only.
        assert_eq!(trace.mark(machine, View::Leading(0), AT), Some((1, 0)));
        assert_eq!(trace.mark(machine, View::Leading(1), AT), None);
        assert!(trace.view(machine, View::Leading(4), AT).is_none());
    }

    #[test]
    fn a_mark_is_a_frame_around_its_pixel() {
        let image = RgbImage::from_pixel(2, 2, Rgb([0; 3]));
        let large = enlarged(&image, Some((1, 0)), 8);
        assert_eq!(large.dimensions(), (8, 8));
        let marked = large.enumerate_pixels().filter(|(_, _, p)| p.0 == [255, 0, 255]);
        assert!(marked.clone().all(|(x, y, _)| x < 4 && y >= 4) && marked.count() == 12);
    }

    #[test]
    fn sheets_are_drawn_whatever_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        sheet(&example(), AT, &path).unwrap();
        let size = ::image::open(&path).unwrap().into_rgb8().dimensions();
        assert!(size.0 > SIDE + 7 * CELL && size.1 > 2 * CELL, "{size:?}");
        film(&example(), &path).unwrap();
    }

    #[test]
    fn neighbouring_images_have_colours_of_their_own() {
        let apart = |a: u32, b: u32| {
            let pairs = colour_of(a).into_iter().zip(colour_of(b));
            pairs.map(|(a, b)| u32::from(a.abs_diff(b))).sum::<u32>()
        };
        assert!((0..100).all(|n| apart(n, n + 1) > 60));
    }
}
