//! The forward passes of the layers as commands. Each is given the function of its gradient, with what that needs.

use super::command_plan::{
    Command, Convolution, ConvolutionSizes, Launch, Matrix, Pass, Place, Product,
};
use super::compute_type::Storage;
use super::layer_buffers::{
    CHANNELS_MAX, Columns, Conv2d, Convolved, EPSILON, Filters, Known, Layers, THREADS, Value,
    group_threads,
};
use super::parameter_layout::{Order, rounded};
use crate::network::ops::convolution::Form;

impl Layers {
    /// A convolution, as [`crate::network::ops::convolution::convolve`].
    pub fn convolve(
        &mut self,
        x: Value,
        addend: Option<Columns>,
        conv: Conv2d<'_>,
        form: Form,
    ) -> Value {
        let Conv2d { name, c_out, kernel, is_circular, inner } = conv;
        let known = &self.known[x.0];
        let inner = if known.needs_gradient { inner } else { known.storage };
        let dims = [c_out, known.n_true, kernel, kernel];
        let weight = self.parameters.add(format!("{name}.weight"), &dims, Order::Filters);
        let bias = self.parameters.add(format!("{name}.bias"), &[c_out], Order::Vector);
        let filters = Filters { weight, bias, kernel };
        self.convolve_with(x, addend, filters, (c_out, inner), is_circular, form)
    }

    /// Two 1x1 convolutions of one value, side by side: `c_out` channels each.
    pub fn pointwise_pair(&mut self, x: Value, names: [&str; 2], c_out: usize) -> Value {
        let c_in = self.known[x.0].n_true;
        let mut add = |part: &str, dims: &[usize], order| {
            let all = names.map(|name| (format!("{name}.{part}"), dims.to_vec()));
            self.parameters.add_all(all, order)
        };
        let weight = add("weight", &[c_out, c_in, 1, 1], Order::Filters);
        let bias = add("bias", &[c_out], Order::Vector);
        let filters = Filters { weight, bias, kernel: 1 };
        let c_out = (2 * rounded(c_out), self.hidden);
        self.convolve_with(x, None, filters, c_out, false, Form::Plain)
    }

    fn convolve_with(
        &mut self,
        x: Value,
        addend: Option<Columns>,
        filters: Filters,
        (c_out, inner): (usize, Storage),
        is_circular: bool,
        form: Form,
    ) -> Value {
        let known = self.known[x.0].clone();
        let sides = [known.height, known.width];
        let border = if is_circular { filters.kernel / 2 } else { 0 };
        let padded = match addend {
            None if border == 0 && known.storage == inner => known.place,
            _ => self.padded(x, addend, border, inner),
        };
        let n_rows = self.batch * known.n_pixels();
        let plain = self.plan.buffer_of(n_rows * rounded(c_out), inner);
        self.convolution(Pass::Forward, &known, border, &filters, c_out, [padded, plain], false);
        let y = match form {
            Form::Residual => self.value(sides, c_out, known.storage),
            _ => self.value_at(plain, sides, c_out, true),
        };
        let (n_pixels, channels) = (known.n_pixels(), rounded(c_out));
        let buffers = vec![plain, self.parameter(filters.bias), known.place, self.place(y)];
        let blocks = self.tiles(n_pixels, channels);
        self.tiled("finish", blocks, 0, buffers, vec![n_pixels, channels, form as usize]);
        let layer = Convolved { x, addend, padded, border, filters, form, plain };
        self.made(y, move |layers| layers.convolved(&layer, y))
    }

    /// `x` with an addend on every pixel and `border` wrapped-around pixels on each side, in number format `inner`.
    fn padded(
        &mut self,
        x: Value,
        addend: Option<Columns>,
        border: usize,
        inner: Storage,
    ) -> Place {
        let known = self.known[x.0].clone();
        let channels = known.channels();
        let n_out = (known.height + 2 * border) * (known.width + 2 * border);
        let padded = self.plan.buffer_of(self.batch * n_out * channels, inner);
        self.pad_into(&known, addend, border, padded);
        padded
    }

    fn pad_into(&mut self, x: &Known, addend: Option<Columns>, border: usize, out: Place) {
        let channels = x.channels();
        let n_out = (x.height + 2 * border) * (x.width + 2 * border);
        let (from, stride) = match addend {
            Some(columns) => {
                let of = &self.known[columns.of.0];
                (of.place.after(columns.first), of.channels())
            }
            None => (self.homes.parameters, 0),
        };
        let has_addend = usize::from(addend.is_some());
        let numbers = vec![x.height, x.width, channels, border, stride, has_addend];
        let blocks = self.tiles(n_out, channels);
        self.tiled("pad", blocks, 0, vec![x.place, from, out], numbers);
    }

    /// One of the three passes of a convolution over `padded`, `[.., c_in]`, and `y`, `[.., c_out]`.
    #[expect(clippy::too_many_arguments, reason = "a convolution has that many sizes")]
    pub(super) fn convolution(
        &mut self,
        pass: Pass,
        x: &Known,
        border: usize,
        filters: &Filters,
        c_out: usize,
        [padded, y]: [Place; 2],
        adds: bool,
    ) {
        let (c_in, c_out, kernel) = (x.channels(), rounded(c_out), filters.kernel);
        let inner = self.plan.storage(y);
        let w = match pass {
            Pass::Weight => self.gradient_of(filters.weight),
            _ => self.factor(filters.weight, inner),
        };
        if kernel == 1 {
            let n_rows = self.batch * x.n_pixels();
            let [padded, y, w] =
                [Matrix::of(padded, c_in), Matrix::of(y, c_out), Matrix::of(w, c_in)];
            match pass {
                Pass::Forward => {
                    self.product([n_rows, c_out, c_in], [padded, w.transposed(), y], adds, false)
                }
                Pass::Input => self.product([n_rows, c_in, c_out], [y, w, padded], adds, false),
                Pass::Weight => {
                    self.product([c_out, c_in, n_rows], [y.transposed(), padded, w], adds, false)
                }
            }
            return;
        }
        let sizes = ConvolutionSizes {
            batch: self.batch,
            height: x.height + 2 * border,
            width: x.width + 2 * border,
            c_in,
            c_out,
            kernel,
            border: kernel / 2 - border,
        };
        let mut convolution = Convolution { pass, sizes, x: padded, w, y, adds };
        if inner == self.plan.storage(w) {
            self.commands.push(Command::Convolution(convolution));
            return;
        }
        // cuDNN writes the gradient of the filters in the number format of its inputs.
        let n_filters = c_out * kernel * kernel * c_in;
        let found = self.room_of(n_filters, inner);
        (convolution.w, convolution.adds) = (found, false);
        self.commands.push(Command::Convolution(convolution));
        self.copy(n_filters, [found, w], adds);
        self.give_back(found);
    }

    /// Linear maps of one value [B, 1, C], side by side: names and widths. Each takes `rounded` columns.
    pub fn linear(&mut self, x: Value, maps: &[(String, usize)]) -> Value {
        let c_in = self.known[x.0].n_true;
        let parameters = &mut self.parameters;
        let weights =
            maps.iter().map(|(name, c_out)| (format!("{name}.weight"), vec![*c_out, c_in]));
        let weight = parameters.add_all(weights, Order::Filters);
        let biases = maps.iter().map(|(name, c_out)| (format!("{name}.bias"), vec![*c_out]));
        let bias = parameters.add_all(biases, Order::Vector);
        let c_out: usize = maps.iter().map(|(_, c_out)| rounded(*c_out)).sum();
        let y = self.value([1, 1], c_out, Storage::F32);
        let (from, to) = (self.place(x), self.place(y));
        let c_in = rounded(c_in);
        let w = Matrix::of(self.parameter(weight), c_in).transposed();
        let matrices = [Matrix::of(from, c_in), w, Matrix::of(to, c_out)];
        self.product([self.batch, c_out, c_in], matrices, false, true);
        let n = self.batch * c_out;
        self.each("add_to_rows", n, vec![self.parameter(bias), to], vec![n, c_out]);
        self.made(y, move |layers| layers.linear_gradient((x, y), weight, bias))
    }

    /// Group normalisations of equally wide parts of one value, side by side, as
    /// [`crate::network::ops::group_norm::group_norm`]; `groups` in each.
    pub fn group_norm(&mut self, x: Value, names: &[String], groups: usize, relu: bool) -> Value {
        let known = self.known[x.0].clone();
        let (n_pixels, channels) = (known.n_pixels(), known.channels());
        let width = known.n_true / names.len();
        let [gamma, beta] = ["weight", "bias"].map(|part| {
            let all = names.iter().map(|name| (format!("{name}.{part}"), vec![width]));
            self.parameters.add_all(all, Order::Vector)
        });
        let (n_groups, per_group) = (groups * names.len(), width / groups);
        let y = self.like(x);
        let stats = self.plan.buffer(2 * self.batch * n_groups);
        let threads = group_threads(per_group, n_pixels);
        let buffers =
            vec![known.place, self.parameter(gamma), self.parameter(beta), self.place(y), stats];
        let numbers = vec![n_pixels, channels, per_group, usize::from(relu)];
        let launch = Launch::new("group_norm", [n_groups, self.batch], buffers, numbers);
        self.launch(Launch { threads, shared: threads, reals: vec![EPSILON], ..launch });
        self.made(y, move |layers| layers.group_normed((x, y), gamma, per_group, relu, stats))
    }

    /// As [`crate::network::ops::pixel_norm::pixel_norm`], for hidden layers.
    pub fn pixel_norm(&mut self, x: Value) -> Value {
        let known = self.known[x.0].clone();
        let n_rows = self.batch * known.n_pixels();
        let y = self.shaped_like(x, self.hidden);
        let inverse = self.plan.buffer(n_rows);
        let numbers = vec![n_rows, known.channels(), known.n_true];
        let buffers = vec![known.place, self.place(y), inverse];
        self.warps("pixel_norm", n_rows, buffers, numbers, vec![EPSILON]);
        self.made(y, move |layers| layers.pixel_normed((x, y), inverse))
    }

    /// A launch with one warp per row.
    pub(super) fn warps(
        &mut self,
        kernel: &'static str,
        n_rows: usize,
        buffers: Vec<Place>,
        numbers: Vec<usize>,
        reals: Vec<f64>,
    ) {
        let blocks = [n_rows.div_ceil(THREADS / 32), 1];
        self.launch(Launch { reals, ..Launch::new(kernel, blocks, buffers, numbers) });
    }

    pub fn relu(&mut self, x: Value) -> Value {
        let n = self.n_values(x);
        let y = self.like(x);
        self.known[y.0].needs_gradient = self.known[x.0].needs_gradient;
        self.each("relu", n, vec![self.place(x), self.place(y)], vec![n]);
        self.made(y, move |layers| layers.relu_gradient((x, y)))
    }

    pub fn add(&mut self, a: Value, b: Value) -> Value {
        let n = self.n_values(a);
        let y = self.like(a);
        self.each("add_values", n, vec![self.place(a), self.place(b), self.place(y)], vec![n]);
        self.made(y, move |layers| [a, b].into_iter().for_each(|x| layers.pass_on(y, x)))
    }

    /// `x` with an addend on every pixel.
    pub fn add_per_channel(&mut self, x: Value, addend: Columns) -> Value {
        let known = self.known[x.0].clone();
        let y = self.like(x);
        self.pad_into(&known, Some(addend), 0, self.known[y.0].place);
        self.made(y, move |layers| {
            let dy = layers.gradient(y);
            layers.folded(x, Some(addend), (dy, 0), None);
        })
    }

    /// Largest of each 2x2 block.
    pub fn max_pool(&mut self, x: Value) -> Value {
        let known = self.known[x.0].clone();
        let y = self.value([known.height / 2, known.width / 2], known.n_true, known.storage);
        let n = self.n_values(y);
        let numbers = vec![self.batch, known.height, known.width, known.channels()];
        self.each("pool", n, vec![known.place, self.place(y)], numbers);
        self.made(y, move |layers| layers.pooled((x, y)))
    }

    /// A transposed 2x2 convolution with stride 2.
    pub fn upsample(&mut self, x: Value, name: &str, c_out: usize) -> Value {
        let known = self.known[x.0].clone();
        let dims = [known.n_true, c_out, 2, 2];
        let weight = self.parameters.add(format!("{name}.weight"), &dims, Order::Dealt);
        let bias = self.parameters.add(format!("{name}.bias"), &[c_out], Order::Vector);
        let (c_in, channels) = (known.channels(), rounded(c_out));
        let n_rows = self.batch * known.n_pixels();
        let dealt = self.room_of(n_rows * 4 * channels, known.storage);
        let w = Matrix::of(self.factor(weight, known.storage), c_in).transposed();
        let matrices = [Matrix::of(known.place, c_in), w, Matrix::of(dealt, 4 * channels)];
        self.product([n_rows, 4 * channels, c_in], matrices, false, false);
        let y = self.value([2 * known.height, 2 * known.width], c_out, known.storage);
        let numbers = vec![self.batch, known.height, known.width, channels];
        let buffers = vec![dealt, self.parameter(bias), self.place(y)];
        self.each("deal", n_rows * 4 * channels, buffers, numbers);
        self.give_back(dealt);
        self.made(y, move |layers| layers.upsampled((x, y), weight, bias))
    }

    /// The channels of `a`, then those of `b`.
    pub fn join(&mut self, a: Value, b: Value) -> Value {
        let (left, right) = (self.known[a.0].clone(), self.known[b.0].clone());
        let (c_a, c_b) = (left.channels(), right.channels());
        let y = self.value([left.height, left.width], c_a + c_b, left.storage);
        let n_rows = self.batch * left.n_pixels();
        for (from, n, first) in [(left.place, c_a, 0), (right.place, c_b, c_a)] {
            let numbers = vec![n_rows, n, n, 0, c_a + c_b, first, 0];
            self.each("columns", n_rows * n, vec![from, self.place(y)], numbers);
        }
        self.made(y, move |layers| layers.joined([a, b], y))
    }

    pub(super) fn batched(
        &mut self,
        sizes: [usize; 3],
        [a, b, c]: [Matrix; 3],
        alpha: f64,
        adds: bool,
        count: usize,
    ) {
        let (beta, exact) = (if adds { 1.0 } else { 0.0 }, false);
        self.commands.push(Command::Product(Product { sizes, a, b, c, alpha, beta, count, exact }));
    }

    /// The mean over an image's pixels, at every pixel.
    pub fn mean(&mut self, x: Value) -> Value {
        let y = self.like(x);
        self.mean_into(x, self.place(x), self.place(y), false);
        self.made(y, move |layers| layers.mean_gradient((x, y)))
    }

    pub(super) fn mean_into(&mut self, like: Value, from: Place, to: Place, adds: bool) {
        let known = &self.known[like.0];
        let numbers = vec![known.n_pixels(), known.channels(), usize::from(adds)];
        let (blocks, shared) = ([1, self.batch], 4 + CHANNELS_MAX / THREADS);
        self.tiled("mean_pixels", blocks, shared, vec![from, to], numbers);
    }

    /// Adds the vector of its class to that of each image.
    pub fn classes(
        &mut self,
        waves: Place,
        labels: Place,
        name: &str,
        n_classes: usize,
        width: usize,
    ) -> Value {
        let table = self.parameters.add(name.to_owned(), &[n_classes, width], Order::Table);
        let y = self.value([1, 1], width, Storage::F32);
        let n = self.n_values(y);
        let buffers = vec![waves, labels, self.parameter(table), self.place(y)];
        self.each("classes", n, buffers, vec![self.batch, rounded(width)]);
        self.made(y, move |layers| layers.classes_gradient(labels, table, n_classes, y))
    }
}
