//! Softmax attention and its gradient as commands; the gradient recomputes the weights.
//!
//! The formulas are those of [`crate::network::ops::softmax_attention`]. In full single precision, for recorded
//! attention and for head widths without a kernel, a few images and one head are processed at a time, so that the maps
//! stay in the cache of the GPU. Otherwise fused kernels compute attention without storing maps
//! (`kernels/attention.cuh`).

use super::command_plan::{Launch, Matrix, Place};
use super::compute_type::{ComputeType, Storage};
use super::layer_buffers::{Layers, Value};
use crate::network::ops::attention_statistics::N_FIGURES;

/// Values of the attention maps of one piece: few enough for the cache of a GPU.
const MAP_VALUES: usize = 1 << 23;

/// Head widths with a fused kernel, `ATTENTION_WIDTHS` of `build.rs`; narrower heads are padded.
const WIDTHS: [usize; 4] = [8, 16, 32, 64];
/// Queries, or keys, of a block.
const TILE: usize = 64;
const THREADS: usize = 128;
/// Most (image, head) pairs of a launch.
const HEADS_MAX: usize = u16::MAX as usize;

/// The kernels for a head's width: forward, gradient of queries, gradients of keys and values.
fn kernels(width: usize) -> Option<(usize, [&'static str; 3])> {
    const NAMES: [[&str; 3]; WIDTHS.len()] = [
        ["attend_8", "attend_gradient_queries_8", "attend_gradient_keys_8"],
        ["attend_16", "attend_gradient_queries_16", "attend_gradient_keys_16"],
        ["attend_32", "attend_gradient_queries_32", "attend_gradient_keys_32"],
        ["attend_64", "attend_gradient_queries_64", "attend_gradient_keys_64"],
    ];
    let which = WIDTHS.iter().position(|&most| width <= most && width.is_multiple_of(4))?;
    Some((WIDTHS[which], NAMES[which]))
}

/// The places where attention is recorded.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// Statistics as in [`crate::network::ops::attention_statistics`], `[B, heads, 4, P]`.
    pub figures: Place,
    /// [B, heads, P, P].
    pub maps: Option<Place>,
    /// Whether images wrap round; affects distances.
    pub circular: bool,
}

impl Layers {
    /// Softmax attention with the queries and keys in the channels of `looking`, one after the other, and `values`.
    pub fn attend(
        &mut self,
        looking: Value,
        values: Value,
        heads: usize,
        width: usize,
        watch: Option<&Watch>,
    ) -> Value {
        let y = self.like(values);
        let parts = self.attention(looking, values, heads, width);
        if watch.is_none() && self.compute_type != ComputeType::F32 && parts.has_kernels() {
            let sums = self.plan.buffer(self.batch * heads * parts.n_pixels);
            let buffers = vec![parts.looking.place, parts.values.place, self.place(y), sums];
            self.fused(&parts, 0, buffers, [false; 2]);
            return self.made(y, move |layers| {
                layers.attended((looking, values), (heads, width), Some(sums), y);
            });
        }
        let maps = self.maps(&parts);
        let image_width = self.known[looking.0].width;
        for piece in parts.pieces() {
            match watch {
                Some(watch) => parts.watched_weights(self, maps.exact, &piece, watch, image_width),
                None => parts.weights(self, [maps.exact, maps.kept], &piece),
            }
            let [_, _, v] = parts.matrices(&piece);
            let out = piece.matrix(self.place(y), parts.values.channels, 0, &parts);
            let sizes = [parts.n_pixels, width, parts.n_pixels];
            self.batched(sizes, [parts.map(maps.kept), v, out], 1.0, false, piece.images);
        }
        self.give_back_maps(maps);
        self.made(y, move |layers| layers.attended((looking, values), (heads, width), None, y))
    }

    /// Launches fused kernel `which`; `adds` says whether it adds to the gradients of `looking` and of `values`.
    fn fused(&mut self, of: &Attention, which: usize, buffers: Vec<Place>, adds: [bool; 2]) {
        let Some((most, names)) = kernels(of.width) else { return };
        let mut numbers =
            vec![of.n_pixels, of.looking.channels, of.values.channels, of.heads, of.width];
        numbers.extend(adds.map(usize::from));
        let blocks = [of.n_pixels.div_ceil(TILE), of.batch * of.heads];
        let shared = 2 * TILE * (most + 4) + if which == 2 { 2 * TILE } else { 0 };
        let launch = Launch::new(names[which], blocks, buffers, numbers);
        self.launch(Launch { threads: THREADS, shared, reals: vec![of.scale()], ..launch });
    }

    /// Buffers for the maps of a piece.
    fn maps(&mut self, of: &Attention) -> Maps {
        let exact = self.room(of.map_values());
        let kept = match of.storage {
            Storage::F32 => exact,
            other => self.room_of(of.map_values(), other),
        };
        Maps { exact, kept }
    }

    fn give_back_maps(&mut self, maps: Maps) {
        self.give_back(maps.exact);
        if maps.kept != maps.exact {
            self.give_back(maps.kept);
        }
    }

    fn attention(&self, looking: Value, values: Value, heads: usize, width: usize) -> Attention {
        let (n_pixels, storage) = (self.known[looking.0].n_pixels(), self.known[values.0].storage);
        let [looking, values] = [looking, values].map(|value| {
            let known = &self.known[value.0];
            Part { place: known.place, channels: known.channels() }
        });
        let per_piece = (MAP_VALUES / (n_pixels * n_pixels)).clamp(1, self.batch);
        let batch = self.batch;
        Attention { looking, values, storage, heads, width, n_pixels, batch, per_piece }
    }

    /// The gradient of [`Layers::attend`]; `sums` are the sums of exponentials of each query, if the forward pass kept
    /// them.
    pub(super) fn attended(
        &mut self,
        (looking, values): (Value, Value),
        (heads, width): (usize, usize),
        sums: Option<Place>,
        y: Value,
    ) {
        let parts = self.attention(looking, values, heads, width);
        let dy = self.gradient(y);
        let (Some((dlooking, looking_adds)), Some((dvalues, values_adds))) =
            (self.wanted(looking), self.wanted(values))
        else {
            return;
        };
        if let Some(sums) = sums {
            let products = self.room(self.batch * heads * parts.n_pixels);
            let (from, of) = (parts.looking.place, parts.values.place);
            let adds = [looking_adds, values_adds];
            let buffers = vec![from, of, self.place(y), dy, sums, dlooking, products];
            self.fused(&parts, 1, buffers, adds);
            let buffers = vec![from, of, dy, sums, products, dlooking, dvalues];
            self.fused(&parts, 2, buffers, adds);
            self.give_back(products);
            return;
        }
        let (n, scale) = (parts.n_pixels, parts.scale());
        let [weights, gradients] = [(); 2].map(|()| self.maps(&parts));
        for piece in parts.pieces() {
            parts.weights(self, [weights.exact, weights.kept], &piece);
            let [q, k, v] = parts.matrices(&piece);
            let (wide, narrow) = (parts.looking.channels, parts.values.channels);
            let dout = piece.matrix(dy, narrow, 0, &parts);
            let (a, da) = (parts.map(weights.kept), parts.map(gradients.exact));
            let dv = piece.matrix(dvalues, narrow, 0, &parts);
            self.batched([n, width, n], [a.transposed(), dout, dv], 1.0, values_adds, piece.images);
            self.batched([n, n, width], [dout, v.transposed(), da], 1.0, false, piece.images);
            let n_rows = piece.images * n;
            self.warps(
                "softmax_gradient",
                n_rows,
                vec![weights.kept, gradients.exact, gradients.kept],
                vec![n_rows, n],
                vec![scale],
            );
            let ds = parts.map(gradients.kept);
            let dq = piece.matrix(dlooking, wide, 0, &parts);
            let dk = piece.matrix(dlooking, wide, wide / 2, &parts);
            self.batched([n, width, n], [ds, k, dq], 1.0, looking_adds, piece.images);
            self.batched([n, width, n], [ds.transposed(), q, dk], 1.0, looking_adds, piece.images);
        }
        self.give_back_maps(weights);
        self.give_back_maps(gradients);
    }
}

/// The maps of a piece in single precision and in the number format of the values; the same buffer if that is single
/// precision.
#[derive(Clone, Copy, Debug)]
struct Maps {
    exact: Place,
    kept: Place,
}

#[derive(Clone, Copy, Debug)]
struct Part {
    pub place: Place,
    pub channels: usize,
}

/// The operands and sizes of attention.
#[derive(Clone, Copy, Debug)]
struct Attention {
    pub looking: Part,
    pub values: Part,
    /// Number format of all of them.
    storage: Storage,
    heads: usize,
    pub width: usize,
    pub n_pixels: usize,
    batch: usize,
    per_piece: usize,
}

/// One head of some images.
#[derive(Clone, Copy, Debug)]
struct Piece {
    head: usize,
    first: usize,
    pub images: usize,
}

impl Piece {
    /// The columns of this piece, from `first_column` on, in a value with `channels` channels.
    pub fn matrix(
        &self,
        place: Place,
        channels: usize,
        first_column: usize,
        of: &Attention,
    ) -> Matrix {
        let per_image = of.n_pixels * channels;
        let place = place.after(self.first * per_image + first_column + self.head * of.width);
        Matrix::of(place, channels).every(per_image)
    }
}

impl Attention {
    /// Whether fused kernels can compute it.
    pub fn has_kernels(&self) -> bool {
        kernels(self.width).is_some() && self.batch * self.heads <= HEADS_MAX
    }

    pub fn pieces(&self) -> Vec<Piece> {
        let of_head = |head| {
            (0..self.batch).step_by(self.per_piece).map(move |first| Piece {
                head,
                first,
                images: self.per_piece.min(self.batch - first),
            })
        };
        (0..self.heads).flat_map(of_head).collect()
    }

    pub fn map_values(&self) -> usize {
        self.per_piece * self.n_pixels * self.n_pixels
    }

    pub fn map(&self, room: Place) -> Matrix {
        Matrix::of(room, self.n_pixels).every(self.n_pixels * self.n_pixels)
    }

    /// Queries, keys, values of a piece.
    pub fn matrices(&self, piece: &Piece) -> [Matrix; 3] {
        let Self { looking, values, .. } = self;
        [
            piece.matrix(looking.place, looking.channels, 0, self),
            piece.matrix(looking.place, looking.channels, looking.channels / 2, self),
            piece.matrix(values.place, values.channels, 0, self),
        ]
    }

    pub fn scale(&self) -> f64 {
        (self.width as f64).sqrt().recip()
    }

    /// Computes the logits and then the weights `A` of a piece.
    pub fn weights(&self, layers: &mut Layers, [logits, weights]: [Place; 2], piece: &Piece) {
        self.logits(layers, logits, piece);
        let n_rows = piece.images * self.n_pixels;
        let numbers = vec![n_rows, self.n_pixels];
        layers.warps("softmax", n_rows, vec![logits, weights], numbers, vec![]);
    }

    /// Like [`Self::weights`], and records them in `watch`.
    fn watched_weights(
        &self,
        layers: &mut Layers,
        room: Place,
        piece: &Piece,
        watch: &Watch,
        image_width: usize,
    ) {
        self.logits(layers, room, piece);
        let (n, area) = (self.n_pixels, self.n_pixels * self.n_pixels);
        let n_rows = piece.images * n;
        let first = piece.first * self.heads + piece.head;
        let per_image = self.heads * N_FIGURES * n;
        let figures = watch.figures.after(first * N_FIGURES * n);
        let numbers = vec![n_rows, n, image_width, usize::from(watch.circular), per_image];
        layers.warps("watched_softmax", n_rows, vec![room, figures], numbers, vec![]);
        let numbers = vec![piece.images, n, per_image];
        layers.each("received", n_rows, vec![room, figures.after(3 * n)], numbers);
        if let Some(maps) = watch.maps {
            let maps = maps.after(first * area);
            let numbers = vec![piece.images, area, area, 0, self.heads * area, 0, 0];
            layers.each("columns", piece.images * area, vec![room, maps], numbers);
        }
    }

    fn logits(&self, layers: &mut Layers, room: Place, piece: &Piece) {
        let [q, k, _] = self.matrices(piece);
        let n = self.n_pixels;
        layers.batched(
            [n, n, self.width],
            [q, k.transposed(), self.map(room)],
            self.scale(),
            false,
            piece.images,
        );
    }
}
