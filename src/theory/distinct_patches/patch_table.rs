//! The distinct patches of a dictionary, how often each occurs, and in which images.

use std::collections::HashMap;
use std::ops::Range;

use super::cost_estimate::{self, TableSizes};
use crate::diffusion::Provenance;
use crate::image::ImageShape;
use crate::theory::patch_pools_ls_els_bbels::{PlaceGroup, Pool};
use crate::theory::training_pixels::ImagePixels;

/// Images whose values are read together.
const IMAGES_AT_ONCE: usize = 64;
/// Images after which patches that hardly repeat are given up.
const IMAGES_AT_LEAST: usize = 64;

/// The distinct patches of one pool and patch side, group by group of query pixels.
#[derive(Debug)]
pub struct DistinctPatches {
    pub shape: ImageShape,
    pub n_images: usize,
    pub groups: Vec<GroupTable>,
}

/// The distinct patches that a rectangle of query pixels is compared with. A patch is a column of strips: rows of `w`
/// pixels, of which there are few as well.
#[derive(Debug)]
pub struct GroupTable {
    pub rows: PlaceGroup,
    pub columns: PlaceGroup,
    /// Values of the distinct strips, `[strips, C, w]`.
    pub strips: Vec<f64>,
    /// The strips of each patch from its first row down, `[K, h]`.
    pub patches: Vec<u32>,
    /// Values at the centre of each patch, `[K, C]`.
    pub centres: Vec<f64>,
    /// Where each patch first occurs, `[K]`.
    pub first_places: Vec<Provenance>,
    /// All patches, with the number of their copies in the dictionary.
    pub all: Vec<Entry>,
    /// The patches of each image, with the number of their copies in it, one image after the other.
    entries: Vec<Entry>,
    /// Where each of them first occurs in its image: row and column.
    pub entry_places: Vec<(u16, u16)>,
    /// Where the entries of each image start, and the end, `[N + 1]`.
    starts: Vec<usize>,
}

/// A distinct patch and how often it occurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub patch: u32,
    pub count: u32,
}

impl DistinctPatches {
    /// The distinct patches of `images`; none if sums over all patches are expected to be faster ([`cost_estimate`]).
    pub fn find(images: &ImagePixels, pool: Pool, k: usize) -> Option<Self> {
        let shape = images.shape();
        let n_places = images.len().saturating_mul(shape.n_pixels());
        if pool.is_same_place() || u32::try_from(n_places).is_err() {
            // With one query pixel in a vector, and a table for each pixel, it would hardly pay; and counts are `u32`.
            return None;
        }
        let boxes = |n: usize| cost_estimate::of_boxes(shape, n, pool, k);
        Self::while_worth(images, pool, k, |tables, n| {
            let distinct: f64 = tables.map(|sizes| cost_estimate::of_distinct(shape, &sizes)).sum();
            // Patches that hardly repeat in the first images will not repeat in the others.
            distinct < boxes(images.len()) && (n < IMAGES_AT_LEAST || distinct < 0.8 * boxes(n))
        })
    }

    /// The distinct patches of `images`, whatever their number.
    pub fn of(images: &ImagePixels, pool: Pool, k: usize) -> Self {
        Self::while_worth(images, pool, k, |_, _| true).expect("always worth it")
    }

    /// The distinct patches of `images`; none as soon as `is_worth_it` says no to the tables of the first images.
    fn while_worth(
        images: &ImagePixels,
        pool: Pool,
        k: usize,
        is_worth_it: impl Fn(&mut dyn Iterator<Item = TableSizes>, usize) -> bool,
    ) -> Option<Self> {
        let shape = images.shape();
        let columns = pool.groups(k, shape.width);
        let builder = |(rows, columns)| GroupBuilder::new(rows, columns);
        let mut builders: Vec<GroupBuilder> = pool
            .groups(k, shape.height)
            .into_iter()
            .flat_map(|rows| columns.iter().map(move |columns| (rows.clone(), columns.clone())))
            .map(builder)
            .collect();
        let mut pixels = PixelNumbers::default();
        for first in (0..images.len()).step_by(IMAGES_AT_ONCE) {
            let range = first..(first + IMAGES_AT_ONCE).min(images.len());
            let values = images.values(range.clone());
            for (n, image) in range.zip(values.chunks_exact(shape.n_values())) {
                let numbers = pixels.of(image, shape);
                builders.iter_mut().for_each(|builder| builder.add(n, &numbers, shape));
                if !is_worth_it(&mut builders.iter().map(GroupBuilder::sizes), n + 1) {
                    return None;
                }
            }
        }
        let n_channels = shape.channels;
        let groups = builders.into_iter().map(|b| b.finish(&pixels, n_channels)).collect();
        Some(Self { shape, n_images: images.len(), groups })
    }
}

impl GroupTable {
    /// Distinct patches, `K`.
    pub fn n_patches(&self) -> usize {
        self.all.len()
    }

    /// Query pixels.
    pub fn n_queries(&self) -> usize {
        self.rows.queries.len() * self.columns.queries.len()
    }

    /// The lanes of vector `at` of query pixels, with the pixel of each in an image `width` wide.
    pub fn query_pixels(
        &self,
        at: usize,
        n_lanes: usize,
        width: usize,
    ) -> impl Iterator<Item = (usize, usize)> {
        let (rows, columns) = (&self.rows.queries, &self.columns.queries);
        let queries = at * n_lanes..((at + 1) * n_lanes).min(self.n_queries());
        queries.enumerate().map(move |(lane, query)| {
            let (row, column) = (query / columns.len(), query % columns.len());
            (lane, (rows.start + row) * width + columns.start + column)
        })
    }

    /// Patches that one query is compared with.
    pub fn n_compared(&self, n_images: usize) -> usize {
        n_images * self.rows.training.len() * self.columns.training.len()
    }

    /// Where the entries of image `n` are.
    fn of_image(&self, n: usize) -> Range<usize> {
        self.starts[n]..self.starts[n + 1]
    }

    /// The patches of image `n`, and where each first occurs.
    pub fn image(&self, n: usize) -> (&[Entry], &[(u16, u16)]) {
        let range = self.of_image(n);
        (&self.entries[range.clone()], &self.entry_places[range])
    }
}

/// Numbers of distinct pixels: the values of all channels.
#[derive(Default)]
struct PixelNumbers {
    numbers: HashMap<Vec<u64>, u32>,
    /// `[pixels, C]`.
    values: Vec<f64>,
}

impl PixelNumbers {
    /// The numbers of the pixels of `image`, `[C, H, W]`.
    fn of(&mut self, image: &[f64], shape: ImageShape) -> Vec<u32> {
        let (n_channels, n_pixels) = (shape.channels, shape.n_pixels());
        let mut key = vec![0; n_channels];
        let number = |p: usize| {
            for (c, key) in key.iter_mut().enumerate() {
                *key = image[c * n_pixels + p].to_bits();
            }
            let (number, is_new) = numbered(&mut self.numbers, &key);
            if is_new {
                self.values.extend((0..n_channels).map(|c| image[c * n_pixels + p]));
            }
            number
        };
        (0..n_pixels).map(number).collect()
    }
}

/// The number of `key`, and whether it is a new one, which gets the next number.
fn numbered<T: Clone + Eq + std::hash::Hash>(
    numbers: &mut HashMap<Vec<T>, u32>,
    key: &[T],
) -> (u32, bool) {
    if let Some(number) = numbers.get(key) {
        return (*number, false);
    }
    let number = numbers.len() as u32;
    numbers.insert(key.to_vec(), number);
    (number, true)
}

/// A [`GroupTable`] of the images so far.
struct GroupBuilder {
    rows: PlaceGroup,
    columns: PlaceGroup,
    /// By the numbers of their pixels, `[w]`.
    strips: HashMap<Vec<u32>, u32>,
    strip_pixels: Vec<u32>,
    /// By the numbers of their strips, `[h]`.
    numbers: HashMap<Vec<u32>, u32>,
    patches: Vec<u32>,
    first_places: Vec<Provenance>,
    all: Vec<Entry>,
    entries: Vec<Entry>,
    entry_places: Vec<(u16, u16)>,
    starts: Vec<usize>,
    /// For each patch the last entry made of it.
    last_entry: Vec<usize>,
}

impl GroupBuilder {
    fn new(rows: PlaceGroup, columns: PlaceGroup) -> Self {
        Self {
            rows,
            columns,
            strips: HashMap::new(),
            strip_pixels: Vec::new(),
            numbers: HashMap::new(),
            patches: Vec::new(),
            first_places: Vec::new(),
            all: Vec::new(),
            entries: Vec::new(),
            entry_places: Vec::new(),
            starts: vec![0],
            last_entry: Vec::new(),
        }
    }

    fn sizes(&self) -> TableSizes {
        TableSizes {
            n_strips: self.strips.len(),
            n_patches: self.all.len(),
            n_entries: self.entries.len(),
            height: self.rows.n_offsets,
            width: self.columns.n_offsets,
            n_rows: self.rows.queries.len(),
            n_columns: self.columns.queries.len(),
        }
    }

    /// Adds the patches of image `n`, given the numbers of its pixels.
    fn add(&mut self, n: usize, pixels: &[u32], shape: ImageShape) {
        let (rows, columns) = (&self.rows, &self.columns);
        let (h, w) = (rows.n_offsets, columns.n_offsets);
        let across = columns.training.len();
        let first_row = shape.height + rows.training.start - rows.before;
        let first_column = shape.width + columns.training.start - columns.before;
        let mut strips = Vec::with_capacity((rows.training.len() + h - 1) * across);
        let mut key = Vec::with_capacity(h.max(w));
        for row in 0..rows.training.len() + h - 1 {
            let line = &pixels[(first_row + row) % shape.height * shape.width..][..shape.width];
            for column in 0..across {
                key.clear();
                key.extend((0..w).map(|o| line[(first_column + column + o) % shape.width]));
                let (number, is_new) = numbered(&mut self.strips, &key);
                if is_new {
                    self.strip_pixels.extend(&key);
                }
                strips.push(number);
            }
        }
        let image_start = self.entries.len();
        for row in 0..rows.training.len() {
            for column in 0..across {
                key.clear();
                key.extend((0..h).map(|o| strips[(row + o) * across + column]));
                let (patch, is_new) = numbered(&mut self.numbers, &key);
                let place =
                    ((rows.training.start + row) as u16, (columns.training.start + column) as u16);
                if is_new {
                    self.patches.extend(&key);
                    self.first_places.push(Provenance {
                        image: n as u32,
                        row: place.0,
                        column: place.1,
                    });
                    self.all.push(Entry { patch, count: 0 });
                    self.last_entry.push(usize::MAX);
                }
                let patch_index = patch as usize;
                self.all[patch_index].count += 1;
                let last = self.last_entry[patch_index];
                if last != usize::MAX && last >= image_start {
                    self.entries[last].count += 1;
                } else {
                    self.last_entry[patch_index] = self.entries.len();
                    self.entries.push(Entry { patch, count: 1 });
                    self.entry_places.push(place);
                }
            }
        }
        self.starts.push(self.entries.len());
    }

    fn finish(self, pixels: &PixelNumbers, n_channels: usize) -> GroupTable {
        let (rows, columns) = (self.rows, self.columns);
        let (h, w) = (rows.n_offsets, columns.n_offsets);
        let value = |pixel: u32, c: usize| pixels.values[pixel as usize * n_channels + c];
        let strip = |strip: usize| &self.strip_pixels[strip * w..(strip + 1) * w];
        let strips = (0..self.strips.len())
            .flat_map(|number| {
                (0..n_channels).flat_map(move |c| strip(number).iter().map(move |p| value(*p, c)))
            })
            .collect();
        let centre = |patch: &[u32]| strip(patch[rows.before] as usize)[columns.before];
        let centres = self
            .patches
            .chunks_exact(h)
            .flat_map(|patch| (0..n_channels).map(move |c| value(centre(patch), c)))
            .collect();
        GroupTable {
            strips,
            centres,
            patches: self.patches,
            first_places: self.first_places,
            all: self.all,
            entries: self.entries,
            entry_places: self.entry_places,
            starts: self.starts,
            rows,
            columns,
        }
    }
}
