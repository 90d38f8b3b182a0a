//! The eigenbasis of one axis of a parameter, which SOAP ([`super::soap`]) computes Adam's update in.
//!
//! ```text
//! G = gradient, unfolded to [n, rest]: row i holds all values at index i of the axis
//! C = b C + (1 - b) G G^T          second moments [n, n], b = SECOND_MOMENTS_DECAY
//! Q = eigenvectors of C            [n, n], column j is eigenvector j, largest eigenvalue first
//! ```
//!
//! Q is computed exactly once ([`Eigenbasis::decompose`]) and then improved by one step of power iteration at a time,
//! Q = QR(C Q) ([`Eigenbasis::refresh`]; Vyas et al., arXiv 2409.11321, algorithm 4). Decompositions are in double
//! precision, everything that is kept and all other products in single. Large products are distributed over threads by
//! rows, so that the bits do not depend on the number of threads.

use candle_core::{Error, Result, Tensor};
use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::linalg::householder::{
    apply_block_householder_sequence_on_the_left_in_place_scratch as apply_scratch,
    apply_block_householder_sequence_on_the_left_in_place_with_conj as apply_householder,
};
use faer::linalg::qr::no_pivoting::factor::{
    qr_in_place, qr_in_place_scratch, recommended_block_size,
};
use faer::{Conj, Mat, MatRef, Par};
use rayon::prelude::*;

use crate::network::ops::tensor::channels_last;
use crate::simd::Lane;
use crate::simd::matrix_product::{Left, Right, Write, every, multiply};

/// b, the paper's shampoo beta.
const SECOND_MOMENTS_DECAY: f32 = 0.95;

/// Axes shorter than this, such as the 9 places of a 3x3 kernel, are too narrow for the columns of [`multiply`].
const FEW: usize = 16;

/// Rows of a product that are one piece of work.
const ROWS: usize = 32;

/// Direction of a change of coordinates along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the parameter's coordinates to those of the eigenbasis.
    Into,
    /// Back to the parameter's coordinates.
    OutOf,
}

/// Second moments of the gradient along one axis, and their eigenvectors.
#[derive(Clone, Debug)]
pub struct Eigenbasis {
    n: usize,
    /// C, row by row, `[n, n]`.
    second_moments: Vec<f32>,
    /// Q, row by row, `[n, n]`.
    vectors: Vec<f32>,
    /// Q^T.
    transposed_vectors: Vec<f32>,
}

impl Eigenbasis {
    /// Second moments of zero, and the parameter's own coordinates as the basis.
    pub fn new(n: usize) -> Self {
        let vectors: Vec<f32> =
            (0..n * n).map(|i| if i % (n + 1) == 0 { 1.0 } else { 0.0 }).collect();
        let transposed_vectors = vectors.clone();
        Self { n, second_moments: vec![0.0; n * n], vectors, transposed_vectors }
    }

    fn set_vectors(&mut self, vectors: Vec<f32>) {
        self.transposed_vectors = transposed(&vectors, self.n);
        self.vectors = vectors;
    }

    /// Adds a gradient G, `[n, rest]`, to the second moments, and returns G^T.
    pub fn accumulate(&mut self, gradient: &[f32]) -> Vec<f32> {
        let n = self.n;
        let transposed = transposed(gradient, n);
        let product = if n < FEW {
            scalar_products_of_rows(gradient, n)
        } else {
            scalar_products_of_columns(&transposed, n)
        };
        for (c, new) in self.second_moments.iter_mut().zip(product) {
            *c += (1.0 - SECOND_MOMENTS_DECAY) * (new - *c);
        }
        transposed
    }

    /// `values`, `[n, rest]`, in the other coordinates and with the axis last, `[rest, n]`.
    pub fn rotate(&self, values: &[f32], direction: Direction) -> Vec<f32> {
        let matrix = match direction {
            Direction::Into => &self.vectors,
            Direction::OutOf => &self.transposed_vectors,
        };
        transposed_product(values, matrix, self.n)
    }

    /// Replaces the basis by the eigenvectors of the second moments.
    ///
    /// # Errors
    ///
    /// If the eigenvalues do not converge.
    pub fn decompose(&mut self) -> Result<()> {
        let n = self.n;
        let matrix = Mat::from_fn(n, n, |i, j| f64::from(self.second_moments[i * n + j]));
        let (mut values, mut vectors) = (Diag::<f64>::zeros(n), Mat::<f64>::zeros(n, n));
        let (compute, params) = (ComputeEigenvectors::Yes, Default::default());
        let needed = self_adjoint_evd_scratch::<f64>(n, compute, Par::Seq, params);
        let mut memory = MemBuffer::new(needed);
        let stack = MemStack::new(&mut memory);
        let (s, u) = (values.as_mut(), Some(vectors.as_mut()));
        self_adjoint_evd(matrix.as_ref(), s, u, Par::Seq, stack, params).map_err(|problem| {
            let attempt = "decomposing a gradient's second moments";
            Error::Msg(format!(
                "{attempt} of side '{n}': {problem:?}; use training.optimizer=adamw"
            ))
        })?;
        // faer sorts eigenvalues from the smallest to the largest.
        self.set_vectors((0..n * n).map(|i| vectors[(i / n, n - 1 - i % n)] as f32).collect());
        Ok(())
    }

    /// Improves the basis by one step of power iteration, with the vectors sorted by their estimated eigenvalues.
    /// Returns the sorted order: new vector j continues old vector `order[j]`.
    pub fn refresh(&mut self) -> Vec<usize> {
        let n = self.n;
        let double = |values: &[f32]| -> Vec<f64> { values.iter().map(|&v| v.into()).collect() };
        let old = double(&self.vectors);
        // C is symmetric, so that its transpose is as good.
        let product = transposed_product(&double(&self.second_moments), &old, n);
        let mut eigenvalues = vec![0.0; n];
        for (q, c_q) in old.chunks_exact(n).zip(product.chunks_exact(n)) {
            eigenvalues.iter_mut().zip(q.iter().zip(c_q)).for_each(|(sum, (q, c))| *sum += q * c);
        }
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&a, &b| eigenvalues[b].total_cmp(&eigenvalues[a]));
        let sorted = Mat::from_fn(n, n, |i, j| product[i * n + order[j]]);
        let vectors = orthonormal_columns(sorted);
        self.set_vectors((0..n * n).map(|i| vectors[(i / n, i % n)] as f32).collect());
        order
    }

    /// The second moments and the basis, `[n, n]` each.
    ///
    /// # Errors
    ///
    /// If a tensor cannot be created.
    pub fn tensors(&self) -> Result<[Tensor; 2]> {
        let tensor =
            |values| Tensor::from_slice(values, (self.n, self.n), &candle_core::Device::Cpu);
        Ok([tensor(&self.second_moments)?, tensor(&self.vectors)?])
    }

    /// The eigenbasis whose [`Self::tensors`] these are.
    ///
    /// # Errors
    ///
    /// If they are not square matrices of one size in single precision.
    pub fn from_tensors([second_moments, vectors]: [&Tensor; 2]) -> Result<Self> {
        let (n, columns) = second_moments.dims2()?;
        if n != columns || vectors.dims() != [n, n] {
            return Err(Error::Msg("an eigenbasis is not square".into()));
        }
        let values = |tensor: &Tensor| tensor.flatten_all()?.to_vec1();
        let mut basis = Self { second_moments: values(second_moments)?, ..Self::new(n) };
        basis.set_vectors(values(vectors)?);
        Ok(basis)
    }
}

/// `values^T matrix`, `[rest, n]`, for `values` `[n, rest]` and `matrix` `[n, n]`.
fn transposed_product<T: Lane>(values: &[T], matrix: &[T], n: usize) -> Vec<T> {
    let rest = values.len() / n;
    if n < FEW && rest > n {
        return transposed(&few_rows_product(matrix, values, n), n);
    }
    let (columns, matrix_rows, out_rows) = (every(rest, n), every(n, n), every(n, ROWS));
    let mut out = vec![T::ZERO; values.len()];
    let pieces = out.par_chunks_mut(ROWS * n).with_min_len(pieces_at_least(ROWS * n * n));
    pieces.enumerate().for_each(|(piece, out)| {
        let rows = every(1, out.len() / n);
        let (values, out_rows) = (&values[piece * ROWS..], out_rows.part(0..out.len() / n));
        let left = Left { values, rows: rows.all(), columns: columns.all() };
        let right = Right { values: matrix, rows: matrix_rows.all() };
        multiply(Write::Overwrite, n, (out, out_rows), left, right);
    });
    out
}

/// `matrix^T values`, `[n, rest]`: [`transposed_product`] with rows long enough for vectors.
fn few_rows_product<T: Lane>(matrix: &[T], values: &[T], n: usize) -> Vec<T> {
    let rest = values.len() / n;
    let (columns, matrix_rows, rows) = (every(1, n), every(n, n), every(rest, n));
    let left = Left { values: matrix, rows: columns.all(), columns: matrix_rows.all() };
    let right = Right { values, rows: rows.all() };
    let mut out = vec![T::ZERO; values.len()];
    multiply(Write::Overwrite, rest, (&mut out, rows.all()), left, right);
    out
}

/// `values^T values`, `[n, n]`, for `values` `[rest, n]`: each pair of columns once.
fn scalar_products_of_columns(values: &[f32], n: usize) -> Vec<f32> {
    let terms = every(n, values.len() / n);
    let (all, rows) = (every(1, n), every(n, ROWS));
    let mut out = vec![0.0; n * n];
    let pieces = out.par_chunks_mut(ROWS * n).with_min_len(pieces_at_least(ROWS * values.len()));
    pieces.enumerate().for_each(|(piece, out)| {
        let (first, n_rows) = (piece * ROWS, out.len() / n);
        let left = Left { values, rows: all.part(first..first + n_rows), columns: terms.all() };
        let right = Right { values: &values[first..], rows: terms.all() };
        let out = (&mut out[first..], rows.part(0..n_rows));
        multiply(Write::Overwrite, n - first, out, left, right);
    });
    for i in 0..n {
        for j in 0..i / ROWS * ROWS {
            out[i * n + j] = out[j * n + i];
        }
    }
    out
}

/// Pieces of `n_products` multiplications each that are worth waking a thread for.
fn pieces_at_least(n_products: usize) -> usize {
    const PRODUCTS_MIN: usize = 1 << 19;
    PRODUCTS_MIN.div_ceil(n_products.max(1))
}

/// `values values^T`, `[n, n]`, for `values` `[n, rest]`.
fn scalar_products_of_rows(values: &[f32], n: usize) -> Vec<f32> {
    const LANES: usize = 16;
    let rest = values.len() / n;
    let row = |i: usize| &values[i * rest..][..rest];
    let mut out = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..=i {
            let (a, b) = (row(i).chunks_exact(LANES), row(j).chunks_exact(LANES));
            let last = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum::<f32>();
            let mut sums = [0.0_f32; LANES];
            for (a, b) in a.zip(b) {
                sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
            }
            let product = sums.iter().sum::<f32>() + last;
            (out[i * n + j], out[j * n + i]) = (product, product);
        }
    }
    out
}

/// `values`, `[n, rest]`, as `[rest, n]`.
pub fn transposed<T: Lane>(values: &[T], n: usize) -> Vec<T> {
    let mut out = vec![T::ZERO; values.len()];
    channels_last(values, values.len() / n, &mut out, n);
    out
}

/// The factor Q of the QR decomposition; orthonormal also if the matrix is singular.
fn orthonormal_columns(mut matrix: Mat<f64>) -> Mat<f64> {
    let n = matrix.nrows();
    let block = recommended_block_size::<f64>(n, n);
    let mut coefficients = Mat::<f64>::zeros(block, n);
    let needed = qr_in_place_scratch::<f64>(n, n, block, Par::Seq, Default::default());
    let mut memory = MemBuffer::new(needed.or(apply_scratch::<f64>(n, block, n)));
    let stack = MemStack::new(&mut memory);
    qr_in_place(matrix.as_mut(), coefficients.as_mut(), Par::Seq, stack, Default::default());
    let mut q = Mat::<f64>::identity(n, n);
    let (basis, coefficients): (MatRef<'_, f64>, _) = (matrix.as_ref(), coefficients.as_ref());
    apply_householder(basis, coefficients, Conj::No, q.as_mut(), Par::Seq, stack);
    q
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gradients `[n, rest]` whose rows shrink, so that all eigenvalues differ.
    fn gradient(n: usize, rest: usize, seed: u64) -> Vec<f32> {
        let mut values = vec![0.0; n * rest];
        let mut stream = crate::random::stream(seed, crate::random::Purpose::Weights, 5);
        crate::random::fill_normal(&mut stream, &mut values);
        for (i, row) in values.chunks_exact_mut(rest).enumerate() {
            row.iter_mut().for_each(|v| *v /= (1 + i) as f32);
        }
        values
    }

    /// `(Q^T C Q)[i][j]` and `(Q^T Q)[i][j]`, by plain sums.
    fn in_basis(basis: &Eigenbasis, i: usize, j: usize) -> (f64, f64) {
        let n = basis.n;
        let at = |values: &[f32], row: usize, column: usize| f64::from(values[row * n + column]);
        let (mut product, mut scalar) = (0.0, 0.0);
        for a in 0..n {
            scalar += at(&basis.vectors, a, i) * at(&basis.vectors, a, j);
            for b in 0..n {
                let c = at(&basis.second_moments, a, b);
                product += at(&basis.vectors, a, i) * c * at(&basis.vectors, b, j);
            }
        }
        (product, scalar)
    }

    #[test]
    fn the_second_moments_are_those_of_plain_sums() {
        for (n, rest) in [(5, 7), (3, 37), (FEW, 7)] {
            let (first, second) = (gradient(n, rest, 1), gradient(n, rest, 2));
            let mut basis = Eigenbasis::new(n);
            for gradient in [&first, &second] {
                assert_eq!(basis.accumulate(gradient), transposed(gradient, n));
            }
            for i in 0..n {
                for j in 0..n {
                    let of = |g: &[f32]| -> f32 {
                        (0..rest).map(|r| g[i * rest + r] * g[j * rest + r]).sum()
                    };
                    let expected = 0.05 * (0.95 * of(&first) + of(&second));
                    assert!((basis.second_moments[i * n + j] - expected).abs() < 1e-6);
                }
            }
        }
    }

    #[test]
    fn power_iteration_converges_to_the_eigenvectors_largest_first() {
        let n = 9;
        let mut exact = Eigenbasis::new(n);
        exact.accumulate(&gradient(n, 40, 3));
        let mut iterated = exact.clone();
        exact.decompose().unwrap();
        (0..200).for_each(|_| drop(iterated.refresh()));
        for i in 0..n {
            for basis in [&exact, &iterated] {
                let mut last = f64::INFINITY;
                for j in 0..n {
                    let (product, scalar) = in_basis(basis, i, j);
                    let expected = if i == j { 1.0 } else { 0.0 };
                    assert!((scalar - expected).abs() < 1e-6, "{i} {j}: {scalar}");
                    assert!(i == j || product.abs() < 1e-6, "{i} {j}: {product}");
                    let eigenvalue = in_basis(basis, j, j).0;
                    assert!(eigenvalue <= last);
                    last = eigenvalue;
                }
            }
        }
    }

    #[test]
    fn coordinates_change_there_and_back() {
        let (n, rest) = (6, 11);
        let values = gradient(n, rest, 4);
        let mut basis = Eigenbasis::new(n);
        basis.accumulate(&values);
        basis.decompose().unwrap();
        let inside = transposed(&basis.rotate(&values, Direction::Into), rest);
        let back = transposed(&basis.rotate(&inside, Direction::OutOf), rest);
        assert!(back.iter().zip(&values).all(|(a, b)| (a - b).abs() < 1e-5));
        // A rotation with another length or direction of a row would change the sum of squares of a column.
        let square = |values: &[f32]| -> f32 { values.iter().step_by(rest).map(|v| v * v).sum() };
        assert!((square(&inside) - square(&values)).abs() < 1e-4);
        assert!(inside.iter().zip(&values).any(|(a, b)| (a - b).abs() > 0.1));
    }

    #[test]
    fn second_moments_of_zero_or_of_low_rank_give_an_orthonormal_basis() {
        let n = 7;
        for row in [vec![0.0; n], vec![0.0, 1.0, 2.0, 0.0, 0.0, -1.0, 0.0]] {
            let mut basis = Eigenbasis::new(n);
            basis.accumulate(&row);
            basis.decompose().unwrap();
            (0..3).for_each(|_| drop(basis.refresh()));
            for i in 0..n {
                for j in 0..n {
                    let expected = if i == j { 1.0 } else { 0.0 };
                    let scalar = in_basis(&basis, i, j).1;
                    assert!((scalar - expected).abs() < 1e-6, "{i} {j}: {scalar}");
                }
            }
        }
    }
}
