//! 3x3 convolutions by Winograd's minimal filtering F(4x4, 3x3), in single precision (Lavin & Gray, arXiv 1509.09308).
//!
//! ```text
//! Y  = A^T [ (G g G^T) * (B^T d B) ] A        one 4x4 tile of one channel; d: the 6x6 pixels that it sees
//! dg = G^T [ (B^T d B) * (A dY A^T) ] G       * is the product of the 36 positions, one by one
//! ```
//!
//! Summed over channels (or, for the weight gradient, over tiles), the products of each position are one matrix product.
//! A tile takes 36 multiplications where a direct convolution takes 144, and the transforms cost little because channels
//! are in the vector lanes. Images are therefore brought into the order `[pixels, lanes]`, lanes being channels rounded
//! up to full vectors.
//!
//! Rounding: relative to the largest value, results are off by about 1e-6 (a direct sum in single precision: 3e-7),
//! because the transforms add values that cancel later. `tests` states the bound. Double precision, which gradients
//! are checked in, always uses the direct convolution.

use pulp::{Arch, Simd, WithSimd};

use super::candle_numbers::Real;
use super::padded_images::{Geometry, beyond};
use super::tensor::channels_last;
use crate::simd::Lane;
use crate::simd::lane::n_lanes;
use crate::simd::matrix_product::{Left, PlaceTable, Right, Write, every, multiply};

/// Side of a tile of outputs, and of the pixels that it sees.
const OUT: usize = 4;
const SEEN: usize = 6;
/// Positions of a transformed tile.
const POSITIONS: usize = SEEN * SEEN;
/// Fewer channels do not fill the vectors.
const CHANNELS_MIN: usize = 16;
/// Tiles of an image, at least, for the weight gradient.
const TILES_MIN: usize = 16;
/// Values of a cache line.
const LINE: usize = 16;
/// Smaller images are mostly the rims of tiles.
const SIDE_MIN: usize = 6;

/// The tiles of images that are transformed together, and the tables of their products.
pub struct Winograd {
    geometry: Geometry,
    /// Of one image.
    n_tiles: usize,
    n_images: usize,
    /// Input and output channels, rounded up to full vectors.
    lanes_in: usize,
    lanes_out: usize,
    /// The input pixels that each tile sees, `[tiles, 36]`; `P` outside the image.
    seen: Vec<usize>,
    /// The output pixels of each tile, `[tiles, 16]`; `P` outside the image.
    made: Vec<usize>,
    // Tables of the products: where tiles, channels and rows of weights start.
    input_rows: PlaceTable,
    output_rows: PlaceTable,
    channels_in: PlaceTable,
    weight_rows: PlaceTable,
}

/// Whether convolutions of this geometry in `T` are computed this way.
pub fn applies<T: Real>(geometry: &Geometry) -> bool {
    size_of::<T>() == size_of::<f32>()
        && geometry.kernel == 3
        && geometry.c_in.min(geometry.c_out) >= CHANNELS_MIN
        && geometry.height.min(geometry.width) >= SIDE_MIN
}

impl Winograd {
    /// Tiles and tables for one image and kernel of `geometry`.
    pub fn new<T: Real>(geometry: &Geometry) -> Self {
        Self::of_images::<T>(geometry, 1)
    }

    /// The same for `n_images` together.
    pub fn of_images<T: Real>(geometry: &Geometry, n_images: usize) -> Self {
        let Geometry { c_in, c_out, height, width, padding, .. } = *geometry;
        let n_pixels = geometry.n_pixels();
        let (down, across) = (height.div_ceil(OUT), width.div_ceil(OUT));
        let (mut seen, mut made) = (Vec::new(), Vec::new());
        for (row, column) in (0..down).flat_map(|row| (0..across).map(move |c| (row, c))) {
            let (top, left) = (row * OUT, column * OUT);
            for (y, x) in (0..POSITIONS).map(|at| (top + at / SEEN, left + at % SEEN)) {
                // Beyond the border of the padded image there are only outputs that are not kept.
                let inside =
                    |at: usize, length| (at < length + 2).then(|| beyond(at, 1, length, padding));
                let place = match (inside(y, height).flatten(), inside(x, width).flatten()) {
                    (Some(y), Some(x)) => y * width + x,
                    _ => n_pixels,
                };
                seen.push(place);
            }
            for (y, x) in (0..OUT * OUT).map(|at| (top + at / OUT, left + at % OUT)) {
                made.push(if y < height && x < width { y * width + x } else { n_pixels });
            }
        }
        let n_tiles = down * across;
        let (lanes_in, lanes_out) =
            (c_in.next_multiple_of(n_lanes::<T>()), c_out.next_multiple_of(n_lanes::<T>()));
        Self {
            geometry: *geometry,
            n_tiles,
            n_images,
            lanes_in,
            lanes_out,
            seen,
            made,
            input_rows: every(lanes_in, n_images * n_tiles),
            output_rows: every(lanes_out, n_images * n_tiles),
            channels_in: every(1, c_in),
            weight_rows: every(lanes_out, c_in),
        }
    }

    /// Whether the weight gradient is faster this way: its sums, four times those of the direct way, are read and
    /// written once per image, which takes as long as the products of few tiles.
    pub fn pays_for_weights(&self) -> bool {
        self.n_tiles >= TILES_MIN
    }

    /// Tiles of one image.
    pub fn n_tiles(&self) -> usize {
        self.n_tiles
    }

    /// Pixels of an image, `P`.
    pub fn n_pixels(&self) -> usize {
        self.geometry.n_pixels()
    }

    /// Output channels, rounded up to full vectors.
    pub fn lanes_out(&self) -> usize {
        self.lanes_out
    }

    /// Values of a transformed input, `[36, tiles, lanes]`.
    pub fn input_values(&self) -> usize {
        POSITIONS * self.input_stride()
    }

    /// Values of a transformed output or of products, `[36, tiles, lanes]`.
    pub fn output_values(&self) -> usize {
        POSITIONS * self.output_stride()
    }

    // From one position to the next there is a cache line more than the values take: with strides of a power of two,
    // all positions of a tile would share the same few lines of the cache.

    /// Values from one position of a transformed input to the next.
    pub fn input_stride(&self) -> usize {
        self.n_images * self.n_tiles * self.lanes_in + LINE
    }

    /// Values from one position of a transformed output to the next.
    pub fn output_stride(&self) -> usize {
        self.n_images * self.n_tiles * self.lanes_out + LINE
    }

    /// Values from one position of transformed weights to the next.
    pub fn weight_stride(&self) -> usize {
        self.geometry.c_in * self.lanes_out + LINE
    }

    /// Values of an input in the order `[P + 1, lanes]`, the last row of zeros.
    pub fn last_in(&self) -> usize {
        (self.geometry.n_pixels() + 1) * self.lanes_in
    }

    /// Values of an output in the order `[P + 1, lanes]`, the last row of zeros or of no meaning.
    pub fn last_out(&self) -> usize {
        (self.geometry.n_pixels() + 1) * self.lanes_out
    }

    /// Values of transformed weights, `[36, I, lanes]`.
    pub fn weight_values(&self) -> usize {
        POSITIONS * self.weight_stride()
    }

    /// `G g G^T` of weights `[O, I, 3, 3]`.
    pub fn weights<T: Real>(&self, weight: &[T]) -> Vec<T> {
        let (depth, lanes) = (self.geometry.depth(), self.lanes_out);
        let mut last = vec![T::ZERO; depth * lanes];
        channels_last(weight, depth, &mut last, lanes);
        self.weights_last(&last)
    }

    /// The same of weights `[I, 3, 3, lanes]`.
    pub fn weights_last<T: Real>(&self, last: &[T]) -> Vec<T> {
        let lanes = self.lanes_out;
        let mut out = vec![T::ZERO; self.weight_values()];
        let places: Vec<usize> = (0..self.geometry.depth()).collect();
        transform::<T, Weights, 3, SEEN>((last, &places), (&mut out, self.weight_stride()), lanes);
        out
    }

    /// An image, `[I, P]`, with `addend`, `[I]` or nothing, on every pixel, in the order `[P, lanes]`.
    pub fn input_last<T: Real>(&self, image: &[T], addend: &[T], last: &mut [T]) {
        let (n_pixels, lanes) = (self.n_pixels(), self.lanes_in);
        channels_last(image, n_pixels, last, lanes);
        if !addend.is_empty() {
            for row in last[..n_pixels * lanes].chunks_exact_mut(lanes) {
                row.iter_mut().zip(addend).for_each(|(v, &addend)| *v += addend);
            }
        }
    }

    /// `B^T d B` of an input `[P + 1, lanes]`, image `image` of those together.
    pub fn input<T: Real>(&self, image: usize, last: &[T], out: &mut [T]) {
        let out = (&mut out[image * self.n_tiles * self.lanes_in..], self.input_stride());
        transform::<T, Input, SEEN, SEEN>((last, &self.seen), out, self.lanes_in);
    }

    /// The products of transformed weights and a transformed input.
    pub fn multiply<T: Real>(&self, weights: &[T], input: &[T], out: &mut [T]) {
        let inputs = input.chunks_exact(self.input_stride());
        let weights = weights.chunks_exact(self.weight_stride());
        let outs = out.chunks_exact_mut(self.output_stride());
        for ((input, weights), out) in inputs.zip(weights).zip(outs) {
            let left = Left {
                values: input,
                rows: self.input_rows.all(),
                columns: self.channels_in.all(),
            };
            let right = Right { values: weights, rows: self.weight_rows.all() };
            multiply(Write::Overwrite, self.lanes_out, (out, self.output_rows.all()), left, right);
        }
    }

    /// `A^T m A` of products: an output `[P + 1, lanes]`.
    pub fn output<T: Real>(&self, products: &[T], last: &mut [T]) {
        let products = (products, self.output_stride());
        scatter::<T, Output, SEEN, OUT>(products, (last, &self.made), self.lanes_out);
    }

    /// `A dY A^T` of an output gradient `[P + 1, lanes]`, image `image` of those together.
    pub fn output_gradient<T: Real>(&self, image: usize, last: &[T], out: &mut [T]) {
        let out = (&mut out[image * self.n_tiles * self.lanes_out..], self.output_stride());
        transform::<T, OutputGradient, OUT, SEEN>((last, &self.made), out, self.lanes_out);
    }

    /// Writes or adds the products of transformed inputs and output gradients of the first `n_images` to `sums`,
    /// `[36, I, lanes]`.
    pub fn weight_products<T: Real>(
        &self,
        how: Write,
        n_images: usize,
        [input, gradient]: [&[T]; 2],
        sums: &mut [T],
    ) {
        let tiles = 0..n_images * self.n_tiles;
        let (input_rows, output_rows) =
            (self.input_rows.part(tiles.clone()), self.output_rows.part(tiles));
        let inputs = input.chunks_exact(self.input_stride());
        let gradients = gradient.chunks_exact(self.output_stride());
        let sums = sums.chunks_exact_mut(self.weight_stride());
        for ((input, gradient), sums) in inputs.zip(gradients).zip(sums) {
            let left = Left { values: input, rows: self.channels_in.all(), columns: input_rows };
            let right = Right { values: gradient, rows: output_rows };
            multiply(how, self.lanes_out, (sums, self.weight_rows.all()), left, right);
        }
    }

    /// `G^T u G` of sums: the weight gradient, `[I, 3, 3, lanes]`.
    pub fn weight_gradient<T: Real>(&self, sums: &[T]) -> Vec<T> {
        let (depth, lanes) = (self.geometry.depth(), self.lanes_out);
        let mut out = vec![T::ZERO; depth * lanes];
        let places: Vec<usize> = (0..depth).collect();
        let sums = (sums, self.weight_stride());
        scatter::<T, WeightGradient, SEEN, 3>(sums, (&mut out, &places), lanes);
        out
    }
}

/// A transform of one line of `N` values into `M`, with one channel per lane.
trait Line<const N: usize, const M: usize> {
    fn line<T: Lane, S: Simd>(simd: S, d: [T::Vector<S>; N]) -> [T::Vector<S>; M];
}

/// The operations of lines.
struct Maths<T, S>(std::marker::PhantomData<T>, S);

impl<T: Lane, S: Simd> Maths<T, S> {
    #[inline(always)]
    fn add(&self, a: T::Vector<S>, b: T::Vector<S>) -> T::Vector<S> {
        T::plus(self.1, a, b)
    }

    #[inline(always)]
    fn sub(&self, a: T::Vector<S>, b: T::Vector<S>) -> T::Vector<S> {
        T::minus(self.1, a, b)
    }

    /// `factor a + b`
    #[inline(always)]
    fn fma(&self, factor: f64, a: T::Vector<S>, b: T::Vector<S>) -> T::Vector<S> {
        T::mul_add(self.1, T::splat(self.1, T::from_f64(factor)), a, b)
    }

    #[inline(always)]
    fn scale(&self, factor: f64, a: T::Vector<S>) -> T::Vector<S> {
        T::times(self.1, T::splat(self.1, T::from_f64(factor)), a)
    }
}

/// The interpolation points besides 0 and infinity are -B, -A, A and B. The usual 1 and 2 double the rounding errors.
const A: f64 = 0.75;
const B: f64 = 1.5;
const A2: f64 = A * A;
const B2: f64 = B * B;
/// What the polynomials that are zero at all other points are at 0, at A and -A, and at B and -B.
const AT_0: f64 = A2 * B2;
const AT_A: f64 = 2.0 * A2 * (A2 - B2);
const AT_B: f64 = 2.0 * B2 * (B2 - A2);

/// `B^T`
struct Input;

impl Line<SEEN, SEEN> for Input {
    #[inline(always)]
    fn line<T: Lane, S: Simd>(simd: S, d: [T::Vector<S>; SEEN]) -> [T::Vector<S>; SEEN] {
        let m = Maths::<T, S>(std::marker::PhantomData, simd);
        let (even_a, odd_a) = (m.fma(-B2, d[2], d[4]), m.fma(-B2, d[1], d[3]));
        let (even_b, odd_b) = (m.fma(-A2, d[2], d[4]), m.fma(-A2, d[1], d[3]));
        [
            m.fma(A2 * B2, d[0], m.fma(-(A2 + B2), d[2], d[4])),
            m.fma(A, odd_a, even_a),
            m.fma(-A, odd_a, even_a),
            m.fma(B, odd_b, even_b),
            m.fma(-B, odd_b, even_b),
            m.fma(A2 * B2, d[1], m.fma(-(A2 + B2), d[3], d[5])),
        ]
    }
}

/// `A^T`
struct Output;

impl Line<SEEN, OUT> for Output {
    #[inline(always)]
    fn line<T: Lane, S: Simd>(simd: S, d: [T::Vector<S>; SEEN]) -> [T::Vector<S>; OUT] {
        let m = Maths::<T, S>(std::marker::PhantomData, simd);
        let (near, near_odd) = (m.add(d[1], d[2]), m.sub(d[1], d[2]));
        let (far, far_odd) = (m.add(d[3], d[4]), m.sub(d[3], d[4]));
        [
            m.add(m.add(d[0], near), far),
            m.fma(B, far_odd, m.scale(A, near_odd)),
            m.fma(B2, far, m.scale(A2, near)),
            m.fma(B2 * B, far_odd, m.fma(A2 * A, near_odd, d[5])),
        ]
    }
}

/// `A`
struct OutputGradient;

impl Line<OUT, SEEN> for OutputGradient {
    #[inline(always)]
    fn line<T: Lane, S: Simd>(simd: S, d: [T::Vector<S>; OUT]) -> [T::Vector<S>; SEEN] {
        let m = Maths::<T, S>(std::marker::PhantomData, simd);
        let (even_a, odd_a) = (m.fma(A2, d[2], d[0]), m.fma(A2, d[3], d[1]));
        let (even_b, odd_b) = (m.fma(B2, d[2], d[0]), m.fma(B2, d[3], d[1]));
        [
            d[0],
            m.fma(A, odd_a, even_a),
            m.fma(-A, odd_a, even_a),
            m.fma(B, odd_b, even_b),
            m.fma(-B, odd_b, even_b),
            d[3],
        ]
    }
}

/// `G`
struct Weights;

impl Line<3, SEEN> for Weights {
    #[inline(always)]
    fn line<T: Lane, S: Simd>(simd: S, d: [T::Vector<S>; 3]) -> [T::Vector<S>; SEEN] {
        let m = Maths::<T, S>(std::marker::PhantomData, simd);
        let even_a = m.fma(A2 / AT_A, d[2], m.scale(1.0 / AT_A, d[0]));
        let even_b = m.fma(B2 / AT_B, d[2], m.scale(1.0 / AT_B, d[0]));
        [
            m.scale(1.0 / AT_0, d[0]),
            m.fma(A / AT_A, d[1], even_a),
            m.fma(-A / AT_A, d[1], even_a),
            m.fma(B / AT_B, d[1], even_b),
            m.fma(-B / AT_B, d[1], even_b),
            d[2],
        ]
    }
}

/// `G^T`
struct WeightGradient;

impl Line<SEEN, 3> for WeightGradient {
    #[inline(always)]
    fn line<T: Lane, S: Simd>(simd: S, d: [T::Vector<S>; SEEN]) -> [T::Vector<S>; 3] {
        let m = Maths::<T, S>(std::marker::PhantomData, simd);
        let (near, near_odd) = (m.add(d[1], d[2]), m.sub(d[1], d[2]));
        let (far, far_odd) = (m.add(d[3], d[4]), m.sub(d[3], d[4]));
        [
            m.fma(1.0 / AT_0, d[0], m.fma(1.0 / AT_A, near, m.scale(1.0 / AT_B, far))),
            m.fma(A / AT_A, near_odd, m.scale(B / AT_B, far_odd)),
            m.fma(A2 / AT_A, near, m.fma(B2 / AT_B, far, d[5])),
        ]
    }
}

/// Columns, then rows, of a square.
#[inline(always)]
fn both<T: Lane, S: Simd, L: Line<N, M>, const N: usize, const M: usize>(
    simd: S,
    square: &[[T::Vector<S>; N]; N],
) -> [[T::Vector<S>; M]; M] {
    let zero = T::splat(simd, T::ZERO);
    let mut half = [[zero; N]; M];
    for x in 0..N {
        let mut column = [zero; N];
        for y in 0..N {
            column[y] = square[y][x];
        }
        let column = L::line::<T, S>(simd, column);
        for y in 0..M {
            half[y][x] = column[y];
        }
    }
    let mut out = [[zero; M]; M];
    for y in 0..M {
        out[y] = L::line::<T, S>(simd, half[y]);
    }
    out
}

/// Transforms squares of `N x N` rows of `last`, `[.., lanes]`, named by `places`, `[squares, N N]`, into
/// `[M M, squares, lanes]`, with a stride from position to position.
fn transform<T: Lane, L: Line<N, M>, const N: usize, const M: usize>(
    (last, places): (&[T], &[usize]),
    (out, stride): (&mut [T], usize),
    lanes: usize,
) {
    let line = std::marker::PhantomData::<L>;
    Arch::new().dispatch(Transform::<T, L, N, M> { last, places, out, stride, lanes, line });
}

struct Transform<'a, T, L, const N: usize, const M: usize> {
    last: &'a [T],
    places: &'a [usize],
    out: &'a mut [T],
    stride: usize,
    lanes: usize,
    line: std::marker::PhantomData<L>,
}

impl<T: Lane, L: Line<N, M>, const N: usize, const M: usize> WithSimd
    for Transform<'_, T, L, N, M>
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let n_vectors = self.lanes / T::n_lanes::<S>();
        let stride = self.stride / T::n_lanes::<S>();
        let last = T::vectors::<S>(self.last);
        let out = T::vectors_mut::<S>(self.out);
        let zero = T::splat(simd, T::ZERO);
        for (square, places) in self.places.chunks_exact(N * N).enumerate() {
            for v in 0..n_vectors {
                let mut values = [[zero; N]; N];
                for y in 0..N {
                    for x in 0..N {
                        values[y][x] = last[places[y * N + x] * n_vectors + v];
                    }
                }
                let values = both::<T, S, L, N, M>(simd, &values);
                for y in 0..M {
                    for x in 0..M {
                        out[(y * M + x) * stride + square * n_vectors + v] = values[y][x];
                    }
                }
            }
        }
    }
}

/// Transforms squares of `[N N, squares, lanes]`, with a stride from position to position, into the rows of `last`,
/// `[.., lanes]`, named by `places`, `[squares, M M]`.
fn scatter<T: Lane, L: Line<N, M>, const N: usize, const M: usize>(
    (squares, stride): (&[T], usize),
    (last, places): (&mut [T], &[usize]),
    lanes: usize,
) {
    let line = std::marker::PhantomData::<L>;
    Arch::new().dispatch(Scatter::<T, L, N, M> { squares, stride, last, places, lanes, line });
}

struct Scatter<'a, T, L, const N: usize, const M: usize> {
    squares: &'a [T],
    stride: usize,
    last: &'a mut [T],
    places: &'a [usize],
    lanes: usize,
    line: std::marker::PhantomData<L>,
}

impl<T: Lane, L: Line<N, M>, const N: usize, const M: usize> WithSimd for Scatter<'_, T, L, N, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let n_vectors = self.lanes / T::n_lanes::<S>();
        let stride = self.stride / T::n_lanes::<S>();
        let squares = T::vectors::<S>(self.squares);
        let last = T::vectors_mut::<S>(self.last);
        let zero = T::splat(simd, T::ZERO);
        for (square, places) in self.places.chunks_exact(M * M).enumerate() {
            for v in 0..n_vectors {
                let mut values = [[zero; N]; N];
                for y in 0..N {
                    for x in 0..N {
                        values[y][x] = squares[(y * N + x) * stride + square * n_vectors + v];
                    }
                }
                let values = both::<T, S, L, N, M>(simd, &values);
                for y in 0..M {
                    for x in 0..M {
                        last[places[y * M + x] * n_vectors + v] = values[y][x];
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Tensor};

    use super::*;
    use crate::network::network_config::Padding;
    use crate::network::ops::convolution::{Form, convolve};
    use crate::network::ops::tensor::check;

    /// The largest difference between two tensors, relative to the largest value of the second.
    fn error(found: &Tensor, exact: &Tensor) -> f64 {
        let values = |tensor: &Tensor| -> Vec<f64> {
            tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
        };
        let (found, exact) = (values(found), values(exact));
        let largest = exact.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
        let gaps = found.iter().zip(&exact).map(|(a, b)| (a - b).abs());
        gaps.fold(0.0, f64::max) / largest
    }

    /// Single precision, computed this way, against double, computed directly: values and all gradients.
    #[test]
    fn values_and_gradients_are_those_of_the_direct_convolution() {
        for [batch, c_in, c_out, height, width] in
            [[3, 16, 16, 6, 6], [2, 64, 64, 18, 18], [1, 32, 48, 9, 14], [5, 17, 20, 7, 8]]
        {
            for padding in [Padding::Zeros, Padding::Circular] {
                for form in [Form::Plain, Form::Relu, Form::Residual] {
                    let c_out = if form == Form::Residual { c_in } else { c_out };
                    let inputs = [
                        check::pseudo_random(&[batch, c_in, height, width], 1),
                        check::pseudo_random(&[c_out, c_in, 3, 3], 2),
                        check::pseudo_random(&[c_out], 3),
                        check::pseudo_random(&[batch, c_in], 4),
                    ];
                    let geometry = Geometry { c_in, c_out, height, width, kernel: 3, padding };
                    assert!(applies::<f32>(&geometry) && !applies::<f64>(&geometry));
                    let all = |inputs: &[Tensor]| {
                        let run = |v: &[Tensor]| {
                            convolve(&v[0], &v[1], &v[2], Some(&v[3]), padding, form)
                        };
                        let mut found = check::gradients(inputs, run);
                        found.push(run(inputs).unwrap());
                        found
                    };
                    let exact: Vec<Tensor> =
                        inputs.iter().map(|v| v.to_dtype(DType::F64).unwrap()).collect();
                    let single: Vec<Tensor> =
                        inputs.iter().map(|v| v.to_dtype(DType::F32).unwrap()).collect();
                    for (at, (found, exact)) in all(&single).iter().zip(&all(&exact)).enumerate() {
                        let error = error(found, exact);
                        assert!(
                            error < 1e-5,
                            "{at}: {error} ({c_in} x {height}, {padding:?}, {form:?})"
                        );
                    }
                }
            }
        }
    }
}
