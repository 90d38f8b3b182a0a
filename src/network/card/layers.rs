//! Layers as commands: each forward at once, each gradient once the gradient of the network's output is known.
//!
//! The formulas are those of [`crate::network::ops`], whose operations on the CPU are the specification. Values are
//! [B, P, C] with channels rounded up; images lie as the convolutions of cards like them best. A value used in several
//! places gets its gradients added up, the first of them written in place.

use std::collections::HashMap;

use super::parameters::{Homes, Parameters, rounded};
use super::plan::{Command, Launch, Matrix, Place, Plan, Product};
use crate::network::ops::convolution::Form;

/// Threads of most blocks.
pub(super) const THREADS: usize = 256;
/// Blocks that keep a large card busy.
const BLOCKS: usize = 1024;
/// A tile has a thread for every four channels.
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

#[derive(Clone, Debug)]
pub(super) struct Known {
    pub height: usize,
    pub width: usize,
    /// Without those that were added.
    pub n_true: usize,
    pub place: Place,
    pub needs_gradient: bool,
    pub gradient: Option<Place>,
    /// Whether some of its gradient is there already.
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

/// A convolution's parameters: where the filters and the bias start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filters {
    pub weight: usize,
    pub bias: usize,
    pub kernel: usize,
}

/// What a gradient needs to know of a layer.
#[derive(Clone, Debug)]
pub(super) enum Layer {
    Convolve {
        x: Value,
        addend: Option<Columns>,
        /// What was convolved.
        told: Place,
        /// Wrapped-around pixels on each side of it.
        border: usize,
        filters: Filters,
        form: Form,
        /// The convolution's own values.
        plain: Place,
        y: Value,
    },
    Linear {
        x: Value,
        weight: usize,
        bias: usize,
        y: Value,
    },
    GroupNorm {
        x: Value,
        gamma: usize,
        per_group: usize,
        relu: bool,
        stats: Place,
        y: Value,
    },
    PixelNorm {
        x: Value,
        inverse: Place,
        y: Value,
    },
    Relu {
        x: Value,
        y: Value,
    },
    Add {
        a: Value,
        b: Value,
        y: Value,
    },
    Tell {
        x: Value,
        addend: Columns,
        y: Value,
    },
    Pool {
        x: Value,
        y: Value,
    },
    Upsample {
        x: Value,
        weight: usize,
        bias: usize,
        y: Value,
    },
    Join {
        a: Value,
        b: Value,
        y: Value,
    },
    Attend {
        looking: Value,
        values: Value,
        heads: usize,
        width: usize,
        y: Value,
    },
    Mean {
        x: Value,
        y: Value,
    },
    Classes {
        labels: Place,
        table: usize,
        n_classes: usize,
        y: Value,
    },
}

/// Commands of a network for batches of one size, and what its gradient needs.
pub struct Layers {
    pub plan: Plan,
    pub commands: Vec<Command>,
    pub parameters: Parameters,
    homes: Homes,
    pub(super) batch: usize,
    pub(super) known: Vec<Known>,
    pub(super) layers: Vec<Layer>,
    /// Buffers that may be used again, by size.
    free: HashMap<usize, Vec<Place>>,
}

impl Layers {
    /// Nothing yet, for `batch` images at a time. Buffers 0 and 1 are the parameters and their gradients; their sizes
    /// are known once the network is.
    pub fn new(batch: usize) -> Self {
        let mut plan = Plan::default();
        let homes = Homes { parameters: plan.buffer(0), gradients: plan.buffer(0) };
        Self {
            plan,
            commands: Vec::new(),
            parameters: Parameters::default(),
            homes,
            batch,
            known: Vec::new(),
            layers: Vec::new(),
            free: HashMap::new(),
        }
    }

    pub fn batch(&self) -> usize {
        self.batch
    }

    pub fn homes(&self) -> Homes {
        self.homes
    }

    pub fn place(&self, value: Value) -> Place {
        self.known[value.0].place
    }

    /// Channels without those that were added.
    pub fn n_channels(&self, value: Value) -> usize {
        self.known[value.0].n_true
    }

    /// Where the gradient of a value is.
    pub fn gradient(&mut self, value: Value) -> Place {
        let n = self.n_values(value);
        match self.known[value.0].gradient {
            Some(place) => place,
            None => {
                let place = self.room(n);
                self.known[value.0].gradient = Some(place);
                place
            }
        }
    }

    /// A value that comes from outside.
    pub fn input(&mut self, [height, width]: [usize; 2], n_true: usize) -> Value {
        self.value([height, width], n_true, false)
    }

    /// Images [B, Ct, H, W] as a value.
    pub fn enter(&mut self, images: Place, sides: [usize; 2], n_true: usize) -> Value {
        let y = self.input(sides, n_true);
        let known = &self.known[y.0];
        let (n_pixels, channels, out) = (known.n_pixels(), known.channels(), known.place);
        self.launch(Launch {
            kernel: "enter",
            blocks: [n_pixels.div_ceil(THREADS), self.batch],
            threads: THREADS,
            shared: 0,
            buffers: vec![images, out],
            numbers: vec![n_pixels, n_true, channels],
            reals: vec![],
        });
        y
    }

    pub(super) fn value(
        &mut self,
        [height, width]: [usize; 2],
        n_true: usize,
        needs_gradient: bool,
    ) -> Value {
        let place = self.plan.buffer(self.batch * height * width * rounded(n_true));
        self.value_at(place, [height, width], n_true, needs_gradient)
    }

    pub(super) fn value_at(
        &mut self,
        place: Place,
        [height, width]: [usize; 2],
        n_true: usize,
        needs_gradient: bool,
    ) -> Value {
        let (gradient, is_begun) = (None, false);
        let known = Known { height, width, n_true, place, needs_gradient, gradient, is_begun };
        self.known.push(known);
        Value(self.known.len() - 1)
    }

    /// A value shaped like another.
    pub(super) fn like(&mut self, x: Value) -> Value {
        let known = &self.known[x.0];
        let (sides, n_true) = ([known.height, known.width], known.n_true);
        self.value(sides, n_true, true)
    }

    pub(super) fn n_values(&self, value: Value) -> usize {
        let known = &self.known[value.0];
        self.batch * known.n_pixels() * known.channels()
    }

    /// A buffer that was used before, or a new one.
    pub(super) fn room(&mut self, n: usize) -> Place {
        self.free.get_mut(&n).and_then(Vec::pop).unwrap_or_else(|| self.plan.buffer(n))
    }

    pub(super) fn give_back(&mut self, n: usize, place: Place) {
        self.free.entry(n).or_default().push(place);
    }

    pub(super) fn launch(&mut self, launch: Launch) {
        self.commands.push(Command::Launch(launch));
    }

    pub(super) fn parameter(&self, first: usize) -> Place {
        self.homes.parameters.after(first)
    }

    pub(super) fn gradient_of(&self, first: usize) -> Place {
        self.homes.gradients.after(first)
    }

    /// Blocks over an image's rows of channels: slices of an image, images.
    pub(super) fn tiles(&self, n_pixels: usize, channels: usize) -> [usize; 2] {
        let rows = THREADS / (channels / 4);
        [BLOCKS.div_ceil(self.batch).clamp(1, n_pixels.div_ceil(rows)), self.batch]
    }

    /// A launch over all of a value's pixels, four channels a thread.
    pub(super) fn tiled(
        &mut self,
        kernel: &'static str,
        blocks: [usize; 2],
        shared: usize,
        buffers: Vec<Place>,
        numbers: Vec<usize>,
    ) {
        let shared = shared * THREADS;
        self.launch(Launch {
            kernel,
            blocks,
            threads: THREADS,
            shared,
            buffers,
            numbers,
            reals: vec![],
        });
    }

    /// A launch over `n` values; `numbers` as the kernel wants them.
    pub(super) fn each(
        &mut self,
        kernel: &'static str,
        n: usize,
        buffers: Vec<Place>,
        numbers: Vec<usize>,
    ) {
        let blocks = [n.div_ceil(THREADS).min(4 * BLOCKS), 1];
        self.launch(Launch {
            kernel,
            blocks,
            threads: THREADS,
            shared: 0,
            buffers,
            numbers,
            reals: vec![],
        });
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

    /// `c[rows, n] (+)= a[rows, k] b`: a product with every pixel.
    pub(super) fn product(
        &mut self,
        sizes: [usize; 3],
        [a, b, c]: [Matrix; 3],
        adds: bool,
        exact: bool,
    ) {
        let beta = if adds { 1.0 } else { 0.0 };
        self.commands.push(Command::Product(Product {
            sizes,
            a,
            b,
            c,
            alpha: 1.0,
            beta,
            count: 1,
            exact,
        }));
    }
}

/// Threads of a block that normalises a group: whole rows of its channels.
pub(super) fn group_threads(per_group: usize, n_pixels: usize) -> usize {
    per_group * (THREADS / per_group).clamp(1, n_pixels)
}
