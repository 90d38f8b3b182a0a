//! The gradients of the layers as commands, from the last layer to the first.
//!
//! Gradients of parameters are added to the values in their buffers, so that a batch can be computed in pieces. The
//! buffer of the gradient of a value is freed after the gradient of the layer that produced the value.

use super::command_plan::{Launch, Matrix, Pass, Place};
use super::layer_buffers::{Columns, Convolved, Known, Layers, Value};
use super::parameter_layout::rounded;
use crate::network::ops::convolution::Form;

/// Flags of the kernel `fold`.
const ADDS: usize = 1;
const RESIDUAL: usize = 2;
const SUMS: usize = 4;
const WRITES: usize = 8;

impl Layers {
    /// Adds the commands that turn the gradient of `output` into those of all parameters.
    pub fn backward(&mut self) {
        for (gradient, y) in std::mem::take(&mut self.gradients).into_iter().rev() {
            gradient(self);
            if let Some(place) = self.known[y.0].gradient.take() {
                self.give_back(place);
            }
        }
    }

    /// The place of the gradient of `x` and whether to add to it instead of overwriting; `None` if it is not needed.
    pub(super) fn wanted(&mut self, x: Value) -> Option<(Place, bool)> {
        if !self.known[x.0].needs_gradient {
            return None;
        }
        let place = self.gradient(x);
        let adds = std::mem::replace(&mut self.known[x.0].is_begun, true);
        Some((place, adds))
    }

    pub(super) fn relu_gradient(&mut self, (x, y): (Value, Value)) {
        let dy = self.gradient(y);
        let Some((dx, adds)) = self.wanted(x) else { return };
        let (n, buffers) = (self.n_values(x), vec![self.place(y), dy, dx]);
        self.each("relu_gradient", n, buffers, vec![n, usize::from(adds)]);
    }

    pub(super) fn mean_gradient(&mut self, (x, y): (Value, Value)) {
        let dy = self.gradient(y);
        if let Some((dx, adds)) = self.wanted(x) {
            self.mean_into(x, dy, dx, adds);
        }
    }

    pub(super) fn classes_gradient(
        &mut self,
        labels: Place,
        table: usize,
        n_classes: usize,
        y: Value,
    ) {
        let buffers = vec![self.gradient(y), labels, self.gradient_of(table)];
        let width = self.known[y.0].channels();
        let numbers = vec![self.batch, width, n_classes];
        self.each("classes_gradient", n_classes * width, buffers, numbers);
    }

    pub(super) fn linear_gradient(&mut self, (x, y): (Value, Value), weight: usize, bias: usize) {
        let dy = self.gradient(y);
        let (c_in, c_out) = (self.known[x.0].channels(), self.known[y.0].channels());
        let batch = self.batch;
        self.sum_rows((dy, batch, c_out), (self.gradient_of(bias), 0, 1), true);
        let (from, dw) = (self.place(x), self.gradient_of(weight));
        let dy = Matrix::of(dy, c_out);
        let matrices = [dy.transposed(), Matrix::of(from, c_in), Matrix::of(dw, c_in)];
        self.product([c_out, c_in, batch], matrices, true, true);
        if let Some((dx, adds)) = self.wanted(x) {
            let w = Matrix::of(self.parameter(weight), c_in);
            self.product([batch, c_in, c_out], [dy, w, Matrix::of(dx, c_in)], adds, true);
        }
    }

    pub(super) fn pixel_normed(&mut self, (x, y): (Value, Value), inverse: Place) {
        let dy = self.gradient(y);
        let Some((dx, adds)) = self.wanted(x) else { return };
        let known = &self.known[x.0];
        let (n_rows, channels, n_true) =
            (self.batch * known.n_pixels(), known.channels(), known.n_true);
        let numbers = vec![n_rows, channels, n_true, usize::from(adds)];
        let buffers = vec![self.place(y), inverse, dy, dx];
        self.warps("pixel_norm_gradient", n_rows, buffers, numbers, vec![]);
    }

    pub(super) fn pooled(&mut self, (x, y): (Value, Value)) {
        let dy = self.gradient(y);
        let Some((dx, adds)) = self.wanted(x) else { return };
        let (known, n) = (&self.known[x.0], self.n_values(y));
        let numbers =
            vec![self.batch, known.height, known.width, known.channels(), usize::from(adds)];
        self.each("pool_gradient", n, vec![known.place, dy, dx], numbers);
    }

    pub(super) fn joined(&mut self, parts: [Value; 2], y: Value) {
        let (dy, all) = (self.gradient(y), self.known[y.0].channels());
        let mut first = 0;
        for part in parts {
            let known = &self.known[part.0];
            let (n, n_rows) = (known.channels(), self.batch * known.n_pixels());
            if let Some((dx, adds)) = self.wanted(part) {
                let numbers = vec![n_rows, n, all, first, n, 0, usize::from(adds)];
                self.each("columns", n_rows * n, vec![dy, dx], numbers);
            }
            first += n;
        }
    }

    /// Adds the gradient of `y` to that of `x`.
    pub(super) fn pass_on(&mut self, y: Value, x: Value) {
        let dy = self.gradient(y);
        if let Some((dx, adds)) = self.wanted(x) {
            self.copy(self.n_values(x), [dy, dx], adds);
        }
    }

    pub(super) fn convolved(&mut self, of: &Convolved, y: Value) {
        let x = self.known[of.x.0].clone();
        let dout = self.gradient(y);
        let (n, channels, n_pixels) = (self.n_values(y), self.known[y.0].channels(), x.n_pixels());
        let inner = self.plan.storage(of.plain);
        let dy = if of.form == Form::Residual { self.room_of(n, inner) } else { dout };
        self.unfinished([dout, of.plain, dy], (n_pixels, channels), of.filters.bias, of.form);
        self.convolution(Pass::Weight, &x, of.border, &of.filters, channels, [of.padded, dy], true);

        let is_direct = of.padded == x.place && of.form != Form::Residual;
        if is_direct {
            if let Some((dx, adds)) = self.wanted(of.x) {
                self.convolution(Pass::Input, &x, 0, &of.filters, channels, [dx, dy], adds);
            }
        } else if x.needs_gradient || of.addend.is_some() {
            let n_padded =
                self.batch * (x.height + 2 * of.border) * (x.width + 2 * of.border) * x.channels();
            let dpadded = self.room_of(n_padded, inner);
            let places = [dpadded, dy];
            self.convolution(Pass::Input, &x, of.border, &of.filters, channels, places, false);
            let residual = (of.form == Form::Residual).then_some(y);
            self.folded(of.x, of.addend, (dpadded, of.border), residual);
            self.give_back(dpadded);
        }
        if of.form == Form::Residual {
            self.give_back(dy);
        }
    }

    /// From the gradient `dout` after bias and `form` to that of the values `plain` before them, `dy`, and of the bias.
    fn unfinished(
        &mut self,
        [dout, plain, dy]: [Place; 3],
        (n_pixels, channels): (usize, usize),
        bias: usize,
        form: Form,
    ) {
        let blocks = self.tiles(n_pixels, channels);
        let n_slices = blocks[0] * blocks[1];
        let sums = self.room(n_slices * channels);
        let buffers = vec![dout, plain, self.parameter(bias), dy, sums];
        let numbers = vec![n_pixels, channels, form as usize];
        self.tiled("finish_gradient", blocks, 4, buffers, numbers);
        self.sum_rows((sums, n_slices, channels), (self.gradient_of(bias), 0, 1), true);
        self.give_back(sums);
    }

    /// From the gradient of the padded input of a convolution to those of its image and of its addend. The gradient of
    /// `residual`, if any, is added to that of the image as well.
    pub(super) fn folded(
        &mut self,
        x: Value,
        addend: Option<Columns>,
        (dpadded, border): (Place, usize),
        residual: Option<Value>,
    ) {
        let known = self.known[x.0].clone();
        let (n_pixels, channels) = (known.n_pixels(), known.channels());
        let blocks = self.tiles(n_pixels, channels);
        let n_slices = blocks[0] * blocks[1];
        let mut flags = 0;
        let from = match residual {
            Some(y) if known.needs_gradient => {
                flags |= RESIDUAL;
                let from = self.gradient(y);
                if !known.is_begun {
                    // In place: each thread reads a value before it writes it.
                    self.hand_over(y, x);
                }
                from
            }
            _ => dpadded,
        };
        let dx = match self.wanted(x) {
            Some((dx, adds)) => {
                flags |= WRITES | if adds { ADDS } else { 0 };
                dx
            }
            None => dpadded,
        };
        let sums = self.room(n_slices * channels);
        flags |= if addend.is_some() { SUMS } else { 0 };
        let numbers = vec![known.height, known.width, channels, border, flags];
        self.tiled("fold", blocks, 4, vec![dpadded, from, dx, sums], numbers);
        if let Some(columns) = addend {
            let stride = self.known[columns.of.0].channels();
            if let Some((gradient, _)) = self.wanted(columns.of) {
                let out = (gradient.after(columns.first), stride, self.batch);
                self.sum_rows((sums, blocks[0], channels), out, false);
            }
        }
        self.give_back(sums);
    }

    /// Makes the place of the gradient of `y` that of `x`.
    fn hand_over(&mut self, y: Value, x: Value) {
        let place = self.known[y.0].gradient.take();
        let unused = std::mem::replace(&mut self.known[x.0].gradient, place);
        if let Some(unused) = unused {
            self.give_back(unused);
        }
    }

    pub(super) fn group_normed(
        &mut self,
        (x, y): (Value, Value),
        gamma: usize,
        per_group: usize,
        relu: bool,
        stats: Place,
    ) {
        let known: Known = self.known[x.0].clone();
        let (n_pixels, channels, dy) = (known.n_pixels(), known.channels(), self.gradient(y));
        let Some((dx, adds)) = self.wanted(x) else { return };
        let batch = self.batch;
        let sums = self.room(2 * batch * channels);
        let threads = super::layer_buffers::group_threads(per_group, n_pixels);
        let buffers = vec![known.place, self.parameter(gamma), self.place(y), dy, stats, dx, sums];
        let numbers = vec![n_pixels, channels, per_group, usize::from(relu), usize::from(adds)];
        let blocks = [channels / per_group, batch];
        let launch = Launch::new("group_norm_gradient", blocks, buffers, numbers);
        self.launch(Launch { threads, shared: 2 * threads, ..launch });
        // The gradient of beta is stored after that of gamma.
        self.sum_rows((sums, batch, 2 * channels), (self.gradient_of(gamma), 0, 1), true);
        self.give_back(sums);
    }

    pub(super) fn upsampled(&mut self, (x, y): (Value, Value), weight: usize, bias: usize) {
        let (known, out) = (self.known[x.0].clone(), self.known[y.0].clone());
        let (c_in, channels) = (known.channels(), rounded(out.n_true));
        let n_rows = self.batch * known.n_pixels();
        let dy = self.gradient(y);
        self.unfinished([dy; 3], (out.n_pixels(), channels), bias, Form::Plain);
        let dealt = self.room_of(n_rows * 4 * channels, known.storage);
        let numbers = vec![self.batch, known.height, known.width, channels];
        self.each("deal_gradient", n_rows * 4 * channels, vec![dy, dealt], numbers);
        let d = Matrix::of(dealt, 4 * channels);
        let dw = Matrix::of(self.gradient_of(weight), c_in);
        let matrices = [d.transposed(), Matrix::of(known.place, c_in), dw];
        self.product([4 * channels, c_in, n_rows], matrices, true, false);
        if let Some((dx, adds)) = self.wanted(x) {
            let w = Matrix::of(self.factor(weight, known.storage), c_in);
            self.product([n_rows, c_in, 4 * channels], [d, w, Matrix::of(dx, c_in)], adds, false);
        }
        self.give_back(dealt);
    }
}
