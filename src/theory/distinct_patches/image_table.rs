//! The distinct patches of single images.
//!
//! In images with flat parts, nearly all repetition is within an image: of the patches of side 5 of 2,048 MNIST digits
//! 41% are distinct, and 44% of those of one digit. A table of each image therefore does nearly as well as one of all
//! images, and its strips stay in the cache for any number of images.

use std::ops::Range;

use super::cost_estimate::{self, TableSizes};
use crate::image::ImageShape;
use crate::theory::patch_pools_ls_els_bbels::{PlaceGroup, Pool};
use crate::theory::training_pixels::ImagePixels;

/// Images that show whether tables pay.
const IMAGES_TRIED: usize = 64;
/// The expected time is at most this share of that of sums over all patches: tables take about as long to make as a tenth
/// to a quarter of the sums for one query.
const SHARE_MAX: f64 = 0.9;
/// Bytes of all tables, at most.
const BYTES_MAX: usize = 256 << 20;

/// The distinct patches of each image of a dictionary, for one pool and patch side.
#[derive(Debug)]
pub struct ImageTables {
    pub groups: Vec<Group>,
    /// `[N][groups]`.
    pub images: Vec<Vec<ImageTable>>,
}

/// A rectangle of query pixels and the training places that they are compared with.
#[derive(Clone, Debug)]
pub struct Group {
    pub rows: PlaceGroup,
    pub columns: PlaceGroup,
}

/// The distinct patches of one image that one group is compared with. Places are numbered along the rows of the group's
/// training rectangle.
#[derive(Debug, PartialEq, Eq)]
pub struct ImageTable {
    /// Where each distinct strip first occurs, `[strips]`. The strips of a patch are those at its own place and at the
    /// places below it, so their rows go on for `h - 1` rows below the rectangle.
    pub strips: Vec<u16>,
    /// The number of the strip at each place, `[rows + h - 1, columns]`.
    pub strip_at: Vec<u16>,
    /// Where each distinct patch first occurs, and the number of its copies.
    pub patches: Vec<(u16, u16)>,
}

impl Group {
    /// The groups of all query pixels of images of `shape`.
    fn all(shape: ImageShape, pool: Pool, k: usize) -> Vec<Self> {
        let columns = pool.groups(k, shape.width);
        let of_rows = |rows: PlaceGroup| {
            let group =
                |columns: &PlaceGroup| Self { rows: rows.clone(), columns: columns.clone() };
            columns.iter().map(group).collect::<Vec<_>>()
        };
        pool.groups(k, shape.height).into_iter().flat_map(of_rows).collect()
    }

    /// Query pixels.
    pub fn n_queries(&self) -> usize {
        self.rows.queries.len() * self.columns.queries.len()
    }

    /// Training places in an image.
    pub fn n_places(&self) -> usize {
        self.rows.training.len() * self.columns.training.len()
    }

    /// Row and column of a training place in its image.
    pub fn place(&self, place: usize) -> (usize, usize) {
        let across = self.columns.training.len();
        (self.rows.training.start + place / across, self.columns.training.start + place % across)
    }

    /// The pixel of query `query`.
    pub fn query_pixel(&self, query: usize, shape: ImageShape) -> usize {
        let (rows, columns) = (&self.rows.queries, &self.columns.queries);
        let (row, column) = (query / columns.len(), query % columns.len());
        (rows.start + row) * shape.width + columns.start + column
    }

    /// The pixels of the strip at a place, which may wrap round, `[w]`.
    pub fn strip_pixels(&self, place: usize, shape: ImageShape) -> impl Iterator<Item = usize> {
        let (row, column) = self.place(place);
        let row = (shape.height + row - self.rows.before) % shape.height;
        let column = shape.width + column - self.columns.before;
        let offsets = 0..self.columns.n_offsets;
        offsets.map(move |o| row * shape.width + (column + o) % shape.width)
    }
}

impl ImageTables {
    /// The tables of `images`; none if sums over all patches are expected to be faster ([`super::cost_estimate`]), or if the tables
    /// would take more than 256 MB.
    pub fn find(images: &ImagePixels, pool: Pool, k: usize) -> Option<Self> {
        let shape = images.shape();
        if pool.is_same_place() || shape.n_pixels() + k * shape.width > usize::from(u16::MAX) {
            // With a group for each pixel nothing repeats, and places have 16 bits.
            return None;
        }
        let groups = Group::all(shape, pool, k);
        let tried = images.len().min(IMAGES_TRIED);
        let sample = tables(&groups, images, spread_out(images.len(), tried));
        let each = sample.iter().flat_map(|image| groups.iter().zip(image));
        let found: f64 =
            each.map(|(group, table)| cost_estimate::of_image(shape, &table.sizes(group))).sum();
        let bytes: usize = sample.iter().flatten().map(ImageTable::bytes).sum();
        let is_worth_it = found < SHARE_MAX * cost_estimate::of_boxes(shape, tried, pool, k)
            && bytes.saturating_mul(images.len()) / tried.max(1) <= BYTES_MAX;
        is_worth_it.then(|| Self::of(images, pool, k))
    }

    /// The tables of `images`, whatever their size.
    ///
    /// # Panics
    ///
    /// If an image has more places than 16 bits can number, which [`Self::find`] checks.
    pub fn of(images: &ImagePixels, pool: Pool, k: usize) -> Self {
        let groups = Group::all(images.shape(), pool, k);
        let images = tables(&groups, images, (0..images.len()).collect());
        Self { groups, images }
    }
}

/// `n_taken` numbers below `n`, evenly spread: files may be sorted by class.
fn spread_out(n: usize, n_taken: usize) -> Vec<usize> {
    (0..n_taken).map(|i| i * n / n_taken).collect()
}

/// The tables of some images. Made without other threads: a thread that waits for them under the lock of
/// [`super::DistinctCache`] could be given a job that asks for the same tables.
fn tables(groups: &[Group], images: &ImagePixels, numbers: Vec<usize>) -> Vec<Vec<ImageTable>> {
    let of_image = |n: usize| {
        let values = images.values(n..n + 1);
        groups.iter().map(|group| ImageTable::new(group, &values, images.shape())).collect()
    };
    numbers.into_iter().map(of_image).collect()
}

impl ImageTable {
    /// The distinct patches of one image of `values`, `[C, H, W]`.
    fn new(group: &Group, values: &[f64], shape: ImageShape) -> Self {
        let (h, across) = (group.rows.n_offsets, group.columns.training.len());
        let n_strips = (group.rows.training.len() + h - 1) * across;
        let bits = |place: usize| {
            let pixels = move |plane: &'_ [f64]| -> Vec<u64> {
                group.strip_pixels(place, shape).map(|p| plane[p].to_bits()).collect()
            };
            values.chunks_exact(shape.n_pixels()).flat_map(pixels)
        };
        let w = group.columns.n_offsets * shape.channels;
        let keys: Vec<u64> = (0..n_strips).flat_map(bits).collect();
        let key = |place: usize| &keys[place * w..(place + 1) * w];
        let (strip_at, strips) = numbered(0..n_strips, |place| key(place).iter().copied());
        let strips_of = |place: usize| (0..h).map(move |o| place + o * across);
        let places = 0..group.n_places();
        let (patch_at, firsts) =
            numbered(places, |place| strips_of(place).map(|at| u64::from(strip_at[at])));
        let mut patches: Vec<(u16, u16)> = firsts.into_iter().map(|place| (place, 0)).collect();
        patch_at.iter().for_each(|&patch| patches[usize::from(patch)].1 += 1);
        Self { strips, strip_at, patches }
    }

    /// The strips of the patch at `place`, from its first row down, in a group `across` places wide.
    pub fn strips_of(&self, place: u16, h: usize, across: usize) -> impl Iterator<Item = usize> {
        let strips = self.strip_at[usize::from(place)..].iter().step_by(across).take(h);
        strips.map(|strip| usize::from(*strip))
    }

    fn sizes(&self, group: &Group) -> TableSizes {
        TableSizes {
            n_strips: self.strips.len(),
            n_patches: self.patches.len(),
            n_entries: self.patches.len(),
            height: group.rows.n_offsets,
            width: group.columns.n_offsets,
            n_rows: group.rows.queries.len(),
            n_columns: group.columns.queries.len(),
        }
    }

    fn bytes(&self) -> usize {
        size_of_val(&self.strips[..])
            + size_of_val(&self.strip_at[..])
            + size_of_val(&self.patches[..])
            + size_of::<Self>()
    }
}

/// Numbers things with equal keys alike, in the order of their first occurrence: the number of each, and the first thing
/// of each number.
fn numbered<K: Iterator<Item = u64>>(
    all: Range<usize>,
    key: impl Fn(usize) -> K,
) -> (Vec<u16>, Vec<u16>) {
    const EMPTY: u16 = u16::MAX;
    // Open addressing, at most half full.
    let n_slots = (2 * all.len()).next_power_of_two();
    let mut slots = vec![EMPTY; n_slots];
    let (mut numbers, mut firsts) = (Vec::with_capacity(all.len()), Vec::new());
    for at in all {
        let hash = key(at).fold(0_u64, |hash, key| {
            (hash.rotate_left(5) ^ key).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        });
        let mut slot = (hash >> 32) as usize % n_slots;
        let number = loop {
            match slots[slot] {
                EMPTY => {
                    slots[slot] = firsts.len() as u16;
                    firsts.push(at as u16);
                    break slots[slot];
                }
                number if key(usize::from(firsts[usize::from(number)])).eq(key(at)) => {
                    break number;
                }
                _ => slot = (slot + 1) % n_slots,
            }
        };
        numbers.push(number);
    }
    (numbers, firsts)
}
