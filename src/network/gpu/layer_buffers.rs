//! Layers as commands: values, their buffers and gradients, and launches shared by all layers.
//!
//! The formulas are those of [`crate::network::ops`], whose operations on the CPU are the specification. Values are
//! `[B, P, C]` with padded channels, the layout that cuDNN prefers. The gradients of a value that is used in several
//! places are added up; the first one overwrites.
//!
//! If hidden layers store bfloat16, their convolutions and attention read and write bfloat16, gradients included.
//! Images, residual sums, parameters with their gradients, and all sums stay in single precision. The gradient of a
//! value has the number format of the value.

use std::collections::HashMap;

use super::command_plan::{Buffer, Command, Launch, Matrix, Place, Plan, Product};
use super::compute_type::{ComputeType, Storage};
use super::parameter_layout::{Homes, Parameters, rounded};
use crate::network::ops::convolution::Form;

pub(super) const THREADS: usize = Launch::THREADS;
/// Number of blocks that keeps a large GPU busy.
const BLOCKS: usize = 1024;
/// Most channels of a value: a block has a thread for every four channels.
pub const CHANNELS_MAX: usize = 4 * THREADS;
/// PyTorch's default, as on the CPU.
pub(super) const EPSILON: f64 = 1e-5;

/// A value of the network, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value(pub(super) usize);

/// Columns of a value [B, 1, C] that are added to every pixel of another.
#[derive(Clone, Copy, Debug)]
pub struct Columns {
    pub of: Value,
    pub first: usize,
}

/// A convolution over `[B, P, C]`: the name of its parameters, its output channels, the odd side of its kernel, whether
/// images wrap round, and the number format that it computes in; over images, that is single precision.
#[derive(Clone, Copy, Debug)]
pub struct Conv2d<'a> {
    pub name: &'a str,
    pub c_out: usize,
    pub kernel: usize,
    pub is_circular: bool,
    pub inner: Storage,
}

/// The sizes, the buffers and the state of the gradient of a value.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub height: usize,
    pub width: usize,
    /// Channels without padding.
    pub n_true: usize,
    pub place: Place,
    pub storage: Storage,
    pub needs_gradient: bool,
    pub gradient: Option<Place>,
    /// Whether its gradient has been written to.
    pub is_begun: bool,
}

impl Known {
    pub fn n_pixels(&self) -> usize {
        self.height * self.width
    }

    pub fn channels(&self) -> usize {
        rounded(self.n_true)
    }
}

/// The parameters of a convolution: first values of the filters and of the bias.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filters {
    pub weight: usize,
    pub bias: usize,
    pub kernel: usize,
}

/// What the gradient of a convolution needs.
#[derive(Clone, Debug)]
pub(super) struct Convolved {
    pub x: Value,
    pub addend: Option<Columns>,
    /// The convolved input: `x` with the addend and the border.
    pub padded: Place,
    /// Wrapped-around pixels on each side of it.
    pub border: usize,
    pub filters: Filters,
    pub form: Form,
    /// The values of the convolution before `form`.
    pub plain: Place,
}

/// Adds the commands of the gradient of a layer.
type Gradient = Box<dyn FnOnce(&mut Layers)>;

/// The commands of a network for batches of one size, and what its gradient needs.
pub struct Layers {
    pub plan: Plan,
    pub commands: Vec<Command>,
    pub parameters: Parameters,
    /// The buffers of parameters and gradients.
    pub homes: Homes,
    pub(super) compute_type: ComputeType,
    /// Number format of hidden layers.
    pub(super) hidden: Storage,
    /// Images of a batch.
    pub(super) batch: usize,
    pub(super) known: Vec<Known>,
    /// The gradient of each layer, with the value that the layer produced.
    pub(super) gradients: Vec<(Gradient, Value)>,
    /// Buffers that can be reused.
    free: HashMap<Buffer, Vec<Place>>,
}

impl Layers {
    /// No layers yet, for `batch` images at a time. The first buffers are the parameters and their gradients, whose
    /// sizes [`Self::complete`] sets.
    pub fn new(batch: usize, compute_type: ComputeType) -> Self {
        let (mut plan, hidden) = (Plan::default(), compute_type.hidden());
        let [parameters, gradients] = [(); 2].map(|()| plan.buffer(0));
        let rounded = match hidden {
            Storage::F32 => parameters,
            Storage::Bf16 => plan.buffer_of(0, hidden),
        };
        let homes = Homes { parameters, gradients, rounded };
        Self {
            plan,
            commands: Vec::new(),
            parameters: Parameters::default(),
            homes,
            compute_type,
            hidden,
            batch,
            known: Vec::new(),
            gradients: Vec::new(),
            free: HashMap::new(),
        }
    }

    /// Sets the sizes of the parameter buffers; to be called after the last layer.
    pub fn complete(&mut self) {
        let n = self.parameters.n_values();
        let Homes { parameters, gradients, rounded } = self.homes;
        for home in [parameters, gradients, rounded] {
            self.plan.buffers[home.buffer].len = n;
        }
        if rounded != parameters {
            self.copy(n, [parameters, rounded], false);
            self.commands.rotate_right(1);
        }
    }

    /// The place of a value.
    pub fn place(&self, value: Value) -> Place {
        self.known[value.0].place
    }

    /// The place of the gradient of a value.
    pub fn gradient(&mut self, value: Value) -> Place {
        let (n, storage) = (self.n_values(value), self.known[value.0].storage);
        match self.known[value.0].gradient {
            Some(place) => place,
            None => {
                let place = self.room_of(n, storage);
                self.known[value.0].gradient = Some(place);
                place
            }
        }
    }

    /// `y`, whose layer has the gradient that `gradient` adds the commands of.
    pub(super) fn made(&mut self, y: Value, gradient: impl FnOnce(&mut Self) + 'static) -> Value {
        self.gradients.push((Box::new(gradient), y));
        y
    }

    /// An input of the network, in single precision.
    pub fn input(&mut self, sides: [usize; 2], n_true: usize) -> Value {
        let value = self.value(sides, n_true, Storage::F32);
        self.known[value.0].needs_gradient = false;
        value
    }

    /// Converts images `[B, C, H, W]` to a value.
    pub fn enter(&mut self, images: Place, sides: [usize; 2], n_true: usize) -> Value {
        let y = self.input(sides, n_true);
        let known = &self.known[y.0];
        let (n_pixels, channels, out) = (known.n_pixels(), known.channels(), known.place);
        let blocks = [n_pixels.div_ceil(THREADS), self.batch];
        let numbers = vec![n_pixels, n_true, channels];
        self.tiled("enter", blocks, 0, vec![images, out], numbers);
        y
    }

    pub(super) fn value(
        &mut self,
        [height, width]: [usize; 2],
        n_true: usize,
        storage: Storage,
    ) -> Value {
        let n = self.batch * height * width * rounded(n_true);
        let place = self.plan.buffer_of(n, storage);
        self.value_at(place, [height, width], n_true, true)
    }

    pub(super) fn value_at(
        &mut self,
        place: Place,
        [height, width]: [usize; 2],
        n_true: usize,
        needs_gradient: bool,
    ) -> Value {
        let (gradient, is_begun, storage) = (None, false, self.plan.storage(place));
        let known =
            Known { height, width, n_true, place, storage, needs_gradient, gradient, is_begun };
        self.known.push(known);
        Value(self.known.len() - 1)
    }

    /// A value with the shape and number format of another.
    pub(super) fn like(&mut self, x: Value) -> Value {
        let storage = self.known[x.0].storage;
        self.shaped_like(x, storage)
    }

    pub(super) fn shaped_like(&mut self, x: Value, storage: Storage) -> Value {
        let known = &self.known[x.0];
        let (sides, n_true) = ([known.height, known.width], known.n_true);
        self.value(sides, n_true, storage)
    }

    pub(super) fn n_values(&self, value: Value) -> usize {
        let known = &self.known[value.0];
        self.batch * known.n_pixels() * known.channels()
    }

    /// A temporary buffer of single precision, reused or new.
    pub(super) fn room(&mut self, n: usize) -> Place {
        self.room_of(n, Storage::F32)
    }

    pub(super) fn room_of(&mut self, len: usize, storage: Storage) -> Place {
        let free = self.free.get_mut(&Buffer { len, storage }).and_then(Vec::pop);
        free.unwrap_or_else(|| self.plan.buffer_of(len, storage))
    }

    /// Marks the buffer of `place` as free for reuse.
    pub(super) fn give_back(&mut self, place: Place) {
        self.free.entry(self.plan.buffers[place.buffer]).or_default().push(place);
    }

    pub(super) fn launch(&mut self, launch: Launch) {
        self.commands.push(Command::Launch(launch));
    }

    pub(super) fn parameter(&self, first: usize) -> Place {
        self.homes.parameters.after(first)
    }

    /// A parameter in the number format of the values that it is multiplied with.
    pub(super) fn factor(&self, first: usize, storage: Storage) -> Place {
        match storage {
            Storage::F32 => self.parameter(first),
            Storage::Bf16 => self.homes.rounded.after(first),
        }
    }

    pub(super) fn gradient_of(&self, first: usize) -> Place {
        self.homes.gradients.after(first)
    }

    /// Blocks of a launch over all pixels, four channels per thread: slices of an image, images.
    pub(super) fn tiles(&self, n_pixels: usize, channels: usize) -> [usize; 2] {
        let rows = THREADS / (channels / 4);
        [BLOCKS.div_ceil(self.batch).clamp(1, n_pixels.div_ceil(rows)), self.batch]
    }

    /// A launch of blocks of [`THREADS`] threads with `shared` values of shared memory per thread.
    pub(super) fn tiled(
        &mut self,
        kernel: &'static str,
        blocks: [usize; 2],
        shared: usize,
        buffers: Vec<Place>,
        numbers: Vec<usize>,
    ) {
        let shared = shared * THREADS;
        self.launch(Launch { shared, ..Launch::new(kernel, blocks, buffers, numbers) });
    }

    /// A launch over `n` values.
    pub(super) fn each(
        &mut self,
        kernel: &'static str,
        n: usize,
        buffers: Vec<Place>,
        numbers: Vec<usize>,
    ) {
        self.tiled(kernel, [n.div_ceil(THREADS).min(4 * BLOCKS), 1], 0, buffers, numbers);
    }

    /// `to[n] (+)= from[n]`, converting between number formats.
    pub(super) fn copy(&mut self, n: usize, [from, to]: [Place; 2], adds: bool) {
        self.each("columns", n, vec![from, to], vec![1, n, n, 0, n, 0, usize::from(adds)]);
    }

    /// `out[b, stride] (+)= sum of rows[b, n, channels]` for `count` b.
    pub(super) fn sum_rows(
        &mut self,
        (rows, n, channels): (Place, usize, usize),
        (out, stride, count): (Place, usize, usize),
        adds: bool,
    ) {
        let numbers = vec![n, channels, stride, usize::from(adds)];
        self.tiled("sum_rows", [channels.div_ceil(16), count], 4, vec![rows, out], numbers);
    }

    /// `c[m, n] (+)= a[m, k] b[k, n]`.
    pub(super) fn product(
        &mut self,
        sizes: [usize; 3],
        [a, b, c]: [Matrix; 3],
        adds: bool,
        exact: bool,
    ) {
        let (alpha, beta, count) = (1.0, if adds { 1.0 } else { 0.0 }, 1);
        self.commands.push(Command::Product(Product { sizes, a, b, c, alpha, beta, count, exact }));
    }
}

/// Threads of a block that normalises a group: a multiple of its channels.
pub(super) fn group_threads(per_group: usize, n_pixels: usize) -> usize {
    per_group * (THREADS / per_group).clamp(1, n_pixels)
}
