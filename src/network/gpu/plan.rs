//! Commands for a GPU as data, over numbered buffers of values.
//!
//! A plan is built without a GPU and executed on one (`cuda`), or by the same kernels compiled as C in `tests/emulator`.
//! Sizes are fixed, so a GPU can record the commands once and replay them.

use strum::{EnumString, IntoStaticStr, VariantNames};

use std::collections::HashMap;

/// The buffers of a list of commands.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub buffers: Vec<Buffer>,
}

/// A buffer of `len` values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Buffer {
    pub len: usize,
    pub storage: Storage,
}

/// The number format of stored values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Storage {
    F32,
    /// The upper half of single precision: its range with eight bits of mantissa.
    Bf16,
}

impl Storage {
    /// Bytes of a value.
    pub fn n_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }
}

/// A place in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub buffer: usize,
    pub first: usize,
}

impl Place {
    /// The place `n` values further.
    pub fn after(self, n: usize) -> Self {
        Self { first: self.first + n, ..self }
    }
}

impl Buffer {
    /// Size in bytes.
    pub fn n_bytes(self) -> usize {
        self.len * self.storage.n_bytes()
    }
}

impl Plan {
    /// Adds a buffer of single-precision values.
    pub fn buffer(&mut self, n_values: usize) -> Place {
        self.buffer_of(n_values, Storage::F32)
    }

    /// Adds a buffer.
    pub fn buffer_of(&mut self, n_values: usize, storage: Storage) -> Place {
        self.buffers.push(Buffer { len: n_values.max(1), storage });
        Place { buffer: self.buffers.len() - 1, first: 0 }
    }

    /// The number format of the values at a place.
    pub fn storage(&self, place: Place) -> Storage {
        self.buffers[place.buffer].storage
    }

    /// Whether any buffer is bfloat16.
    pub fn has_bf16(&self) -> bool {
        self.buffers.iter().any(|buffer| buffer.storage == Storage::Bf16)
    }

    /// Bytes of all buffers.
    pub fn n_bytes(&self) -> usize {
        self.buffers.iter().map(|buffer| buffer.n_bytes()).sum()
    }
}

/// The number format in which a GPU multiplies matrices and convolves. On the CPU, [`Self::Tf32`] is [`Self::F32`], and
/// [`Self::Bf16`] is [`crate::network::Network::multiply_in_bf16`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum ComputeType {
    /// Single precision.
    F32,
    /// TensorFloat-32: factors with ten bits of mantissa, sums in single precision.
    Tf32,
    /// Hidden layers' convolutions and attention read and write bfloat16 and sum in single precision; the rest is
    /// [`Self::Tf32`].
    Bf16,
}

impl ComputeType {
    pub const ALL: [Self; 3] = [Self::Tf32, Self::F32, Self::Bf16];

    /// The name in settings.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The number format that hidden layers store.
    pub fn hidden(self) -> Storage {
        match self {
            Self::F32 | Self::Tf32 => Storage::F32,
            Self::Bf16 => Storage::Bf16,
        }
    }
}

/// A command; commands run one after the other.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Launch(Launch),
    Product(Product),
    Convolution(Convolution),
}

/// The launch of a kernel of `kernels/*.cuh`, where its arguments are documented. Kernels that are not in `TAKE_BF16`
/// take single precision only.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    pub kernel: &'static str,
    pub blocks: [usize; 2],
    pub threads: usize,
    /// Shared memory in 4-byte values.
    pub shared: usize,
    pub buffers: Vec<Place>,
    pub numbers: Vec<usize>,
    pub reals: Vec<f64>,
}

impl Launch {
    /// Threads of most blocks.
    pub const THREADS: usize = 256;

    /// A launch of blocks of [`Self::THREADS`] threads without shared memory and reals.
    pub fn new(
        kernel: &'static str,
        blocks: [usize; 2],
        buffers: Vec<Place>,
        numbers: Vec<usize>,
    ) -> Self {
        let (threads, shared, reals) = (Self::THREADS, 0, Vec::new());
        Self { kernel, blocks, threads, shared, buffers, numbers, reals }
    }
}

/// `count` products of row-major matrices, `c[m, n] = alpha op(a)[m, k] op(b)[k, n] + beta c`; each matrix of the next
/// product starts `stride` values later. `a` and `b` have the same number format.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Product {
    pub sizes: [usize; 3],
    pub a: Matrix,
    pub b: Matrix,
    pub c: Matrix,
    pub alpha: f64,
    pub beta: f64,
    pub count: usize,
    /// Whether to multiply in full single precision for any [`ComputeType`].
    pub exact: bool,
}

/// A row-major matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix {
    pub place: Place,
    /// Values from the start of a stored row to that of the next.
    pub row: usize,
    /// Values from the matrix of one product to that of the next.
    pub stride: usize,
    /// Whether the product is with the transposed matrix.
    pub transposed: bool,
}

impl Matrix {
    /// A matrix with rows of `row` values, for a single product.
    pub fn of(place: Place, row: usize) -> Self {
        Self { place, row, stride: 0, transposed: false }
    }

    /// The transposed matrix.
    pub fn transposed(self) -> Self {
        Self { transposed: true, ..self }
    }

    /// One matrix every `stride` values, for several products.
    pub fn every(self, stride: usize) -> Self {
        Self { stride, ..self }
    }
}

/// One of the three computations of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    /// y from x and w.
    Forward,
    /// The gradient of x, from w and the gradient of y.
    Input,
    /// The gradient of w, from x and the gradient of y.
    Weight,
}

/// A cross-correlation with stride 1 of x, `[B, H, W, I]`, with w, `[O, k, k, I]`, to y, `[B, H', W', O]`, or one of
/// their gradients; all have the same number format.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Convolution {
    pub pass: Pass,
    pub sizes: ConvolutionSizes,
    pub x: Place,
    pub w: Place,
    pub y: Place,
    /// Whether the result is added to the values in its place.
    pub adds: bool,
}

/// The sizes of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvolutionSizes {
    pub batch: usize,
    /// Height of x.
    pub height: usize,
    pub width: usize,
    pub c_in: usize,
    pub c_out: usize,
    pub kernel: usize,
    /// Zeros around x.
    pub border: usize,
}

impl ConvolutionSizes {
    /// Height and width of y.
    pub fn sides_out(&self) -> [usize; 2] {
        [self.height, self.width].map(|side| side + 2 * self.border + 1 - self.kernel)
    }
}

impl Launch {
    /// Whether the kernel reads or writes bfloat16 in its buffer number `which`.
    pub(super) fn takes_bf16(&self, which: usize) -> bool {
        let name = self.without_width();
        TAKE_BF16.iter().any(|(kernel, taken)| *kernel == name && taken.contains(&which))
    }

    /// The kernel's name without the width that it is compiled for.
    fn without_width(&self) -> &'static str {
        match self.kernel.rsplit_once('_') {
            Some((name, width)) if width.parse::<usize>().is_ok() => name,
            _ => self.kernel,
        }
    }

    /// Multiply-adds that an attention kernel needs at least.
    fn multiply_adds(&self) -> usize {
        let products = match self.without_width() {
            "attend" => 2,
            // Logits again, gradients of weights, of queries; of keys and of values.
            "attend_gradient_queries" => 3,
            "attend_gradient_keys" => 2,
            _ => return 0,
        };
        let (n_pixels, width) = (self.numbers[0], self.numbers[4]);
        products * n_pixels * n_pixels * width * self.blocks[1]
    }
}

impl Command {
    /// The places that it reads and writes.
    fn places(&mut self) -> Vec<&mut Place> {
        match self {
            Self::Launch(launch) => launch.buffers.iter_mut().collect(),
            Self::Product(Product { a, b, c, .. }) => {
                vec![&mut a.place, &mut b.place, &mut c.place]
            }
            Self::Convolution(Convolution { x, w, y, .. }) => vec![x, w, y],
        }
    }

    /// Floating-point operations of products, convolutions and attention, two per multiply-add.
    pub fn operations(&self) -> f64 {
        let multiply_adds: usize = match self {
            Self::Launch(launch) => launch.multiply_adds(),
            Self::Product(Product { sizes: [m, n, k], count, .. }) => m * n * k * count,
            Self::Convolution(Convolution { sizes, .. }) => {
                let [high, wide] = sizes.sides_out();
                let each = sizes.c_in * sizes.c_out * sizes.kernel * sizes.kernel;
                sizes.batch * high * wide * each
            }
        };
        2.0 * multiply_adds as f64
    }

    /// Bytes that are read and written at least: the operands of products and convolutions, each buffer of a launch
    /// once.
    pub fn n_bytes(&self, plan: &Plan) -> f64 {
        let each = |place: Place| plan.storage(place).n_bytes();
        let bytes: usize = match self {
            Self::Launch(launch) => {
                let mut buffers: Vec<usize> =
                    launch.buffers.iter().map(|place| place.buffer).collect();
                buffers.sort_unstable();
                buffers.dedup();
                buffers.into_iter().map(|buffer| plan.buffers[buffer].n_bytes()).sum()
            }
            Self::Product(Product { sizes: [m, n, k], a, b, c, count, .. }) => {
                let [a, b, c] = [a, b, c].map(|matrix| each(matrix.place));
                count * (m * k * a + k * n * b + m * n * c)
            }
            Self::Convolution(Convolution { sizes, x, w, y, .. }) => {
                let [high, wide] = sizes.sides_out();
                let ConvolutionSizes { batch, height, width, c_in, c_out, kernel, .. } = sizes;
                batch * height * width * c_in * each(*x)
                    + c_out * kernel * kernel * c_in * each(*w)
                    + batch * high * wide * c_out * each(*y)
            }
        };
        bytes as f64
    }
}

/// Kernels that take bfloat16, of any width, and the numbers of the buffers that may hold it.
const TAKE_BF16: [(&str, &[usize]); 20] = [
    ("attend", &[0, 1, 2]),
    ("attend_gradient_queries", &[0, 1, 2, 3, 5]),
    ("attend_gradient_keys", &[0, 1, 2, 5, 6]),
    ("pad", &[0, 2]),
    ("finish", &[0, 2, 3]),
    ("finish_gradient", &[0, 1, 3]),
    ("fold", &[0, 1, 2]),
    ("group_norm", &[0, 3]),
    ("group_norm_gradient", &[0, 2, 3, 5]),
    ("pixel_norm", &[0, 1]),
    ("pixel_norm_gradient", &[0, 2, 3]),
    ("softmax", &[1]),
    ("softmax_gradient", &[0, 2]),
    ("mean_pixels", &[0, 1]),
    ("add_values", &[0, 1, 2]),
    ("columns", &[0, 1]),
    ("pool", &[0, 1]),
    ("pool_gradient", &[0, 1, 2]),
    ("deal", &[0, 2]),
    ("deal_gradient", &[0, 1]),
];

impl Plan {
    /// Lets buffers of the same size and format share memory if they are never in use at the same time. Buffers `kept`
    /// stay as they are; buffers without any use left shrink to one value.
    pub fn share(&mut self, commands: &mut [Command], kept: &[usize]) {
        let mut used_last = vec![0; self.buffers.len()];
        for (index, command) in commands.iter_mut().enumerate() {
            command.places().iter().for_each(|place| used_last[place.buffer] = index);
        }
        let mut place_of: Vec<Option<usize>> = vec![None; self.buffers.len()];
        kept.iter().for_each(|&buffer| place_of[buffer] = Some(buffer));
        let mut free: HashMap<Buffer, Vec<usize>> = HashMap::new();
        for (index, command) in commands.iter_mut().enumerate() {
            let mut ended = Vec::new();
            for place in command.places() {
                let (buffer, kind) = (place.buffer, self.buffers[place.buffer]);
                let found = *place_of[buffer].get_or_insert_with(|| {
                    free.get_mut(&kind).and_then(Vec::pop).unwrap_or(buffer)
                });
                place.buffer = found;
                if used_last[buffer] == index && !kept.contains(&buffer) {
                    ended.push(found);
                }
            }
            ended.sort_unstable();
            ended.dedup();
            for buffer in ended {
                free.entry(self.buffers[buffer]).or_default().push(buffer);
            }
        }
        for buffer in 0..self.buffers.len() {
            if !place_of.contains(&Some(buffer)) {
                self.buffers[buffer].len = 1;
            }
        }
    }

    /// The numbers of the buffers of a launch that hold bfloat16.
    pub fn bf16_of(&self, launch: &Launch) -> Vec<usize> {
        let places = launch.buffers.iter().enumerate();
        let bf16 = places.filter(|(_, place)| self.storage(**place) == Storage::Bf16);
        bf16.map(|(which, _)| which).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_and_bytes_are_those_of_the_sizes() {
        let mut plan = Plan::default();
        let [x, w, y] = [2 * 4 * 4 * 8, 16 * 9 * 8, 2 * 4 * 4 * 16].map(|n| plan.buffer(n));
        let sizes = ConvolutionSizes {
            batch: 2,
            height: 4,
            width: 4,
            c_in: 8,
            c_out: 16,
            kernel: 3,
            border: 1,
        };
        let convolution = Convolution { pass: Pass::Forward, sizes, x, w, y, adds: false };
        let command = Command::Convolution(convolution);
        assert_eq!(command.operations(), 2.0 * (2 * 16 * 8 * 16 * 9) as f64);
        assert_eq!(command.n_bytes(&plan), plan.n_bytes() as f64);
    }

    #[test]
    fn buffers_are_shared_by_values_that_never_meet() {
        let mut plan = Plan::default();
        let [input, a, b, c, output] = [8, 8, 8, 8, 8].map(|n| plan.buffer(n));
        let relu = |from, to| {
            Command::Launch(Launch {
                kernel: "relu",
                blocks: [1, 1],
                threads: 8,
                shared: 0,
                buffers: vec![from, to],
                numbers: vec![8],
                reals: vec![],
            })
        };
        let mut commands = [relu(input, a), relu(a, b), relu(b, c), relu(c, output)];
        plan.share(&mut commands, &[input.buffer, output.buffer]);
        assert_eq!(commands, [relu(input, a), relu(a, b), relu(b, a), relu(a, output)]);
        let lengths: Vec<usize> = plan.buffers.iter().map(|buffer| buffer.len).collect();
        assert_eq!(lengths, [8, 8, 8, 1, 8]);
    }
}
