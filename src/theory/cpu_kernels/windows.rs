//! Sliding sums over k neighbours, along a line and down rows, at a cost that does not depend on k.
//!
//! Values are cut into blocks of k. A window covers the tail of one block and the head of the next, so its sum is a
//! running sum from the end of the first block plus one from the start of the second (van Herk; Gil and Werman). That
//! takes three additions per element and no subtraction, so no digits cancel. Sums of up to five neighbours are
//! computed directly, and so are weighted ones ([`super::weighted_windows`]).

use pulp::Simd;

use super::weighted_windows;
use crate::simd::{Buffer, Lane};

/// Window sums along a line of vectors.
#[derive(Debug)]
pub struct LineSums<T> {
    k: usize,
    weights: Option<Vec<T>>,
    tails: Buffer<T>,
}

impl<T: Lane> LineSums<T> {
    /// Sums over `k` neighbours, with weights if there are any.
    ///
    /// # Panics
    ///
    /// If there is not one weight per neighbour.
    pub fn new(k: usize, weights: Option<Vec<f64>>, n_lanes: usize) -> Self {
        Self { k, weights: in_lanes(k, weights), tails: Buffer::zeros(k * n_lanes) }
    }

    /// `out[j] = line[j] + ... + line[j + k - 1]`, each times its weight; `line` has k - 1 vectors more than `out`.
    #[inline(always)]
    pub fn sum<S: Simd>(&mut self, simd: S, line: &[T::Vector<S>], out: &mut [T::Vector<S>]) {
        if let Some(weights) = &self.weights {
            return weighted_windows::along_a_line(simd, weights, line, out);
        }
        match self.k {
            1 => out.copy_from_slice(line),
            2 => direct::<S, T, 2>(simd, line, out),
            3 => direct::<S, T, 3>(simd, line, out),
            4 => direct::<S, T, 4>(simd, line, out),
            5 => direct::<S, T, 5>(simd, line, out),
            _ => self.sum_blocks(simd, line, out),
        }
    }

    #[inline(always)]
    fn sum_blocks<S: Simd>(&mut self, simd: S, line: &[T::Vector<S>], out: &mut [T::Vector<S>]) {
        let k = self.k;
        let tails = &mut T::vectors_mut::<S>(&mut self.tails)[..k];
        for (block, out) in out.chunks_mut(k).enumerate() {
            let line = &line[block * k..];
            let mut sum = line[k - 1];
            tails[k - 1] = sum;
            for (tail, &value) in tails[..k - 1].iter_mut().zip(&line[..k - 1]).rev() {
                sum = T::plus(simd, sum, value);
                *tail = sum;
            }
            out[0] = sum;
            let heads = &line[k..k + out.len() - 1];
            let mut sum = T::splat(simd, T::ZERO);
            for ((out, &tail), &value) in out[1..].iter_mut().zip(&tails[1..]).zip(heads) {
                sum = T::plus(simd, sum, value);
                *out = T::plus(simd, tail, sum);
            }
        }
    }
}

#[inline(always)]
fn direct<S: Simd, T: Lane, const K: usize>(
    simd: S,
    line: &[T::Vector<S>],
    out: &mut [T::Vector<S>],
) {
    for (out, window) in out.iter_mut().zip(line.windows(K)) {
        let mut sum = window[0];
        for &value in &window[1..] {
            sum = T::plus(simd, sum, value);
        }
        *out = sum;
    }
}

/// Window sums down rows of vectors that are added one by one.
#[derive(Debug)]
pub struct RowSums<T> {
    k: usize,
    weights: Option<Vec<T>>,
    /// Vectors in a row.
    n: usize,
    n_lanes: usize,
    /// The last k rows, less at the start; with blocks, rows of the finished block are running sums from its end.
    rows: Buffer<T>,
    head: Buffer<T>,
    /// Rows so far.
    count: usize,
}

impl<T: Lane> RowSums<T> {
    /// Sums over `k` rows of up to `n_max` vectors, with weights if there are any.
    ///
    /// # Panics
    ///
    /// If there is not one weight per row.
    pub fn new(k: usize, weights: Option<Vec<f64>>, n_max: usize, n_lanes: usize) -> Self {
        let rows = Buffer::zeros(k * n_max * n_lanes);
        let (weights, head) = (in_lanes(k, weights), Buffer::zeros(n_max * n_lanes));
        Self { k, weights, n: n_max, n_lanes, rows, head, count: 0 }
    }

    /// Starts again with rows of `n` vectors.
    #[inline(always)]
    pub fn start(&mut self, n: usize) {
        self.n = n;
        self.count = 0;
    }

    /// The memory for the next row.
    #[inline(always)]
    pub fn next_row<S: Simd>(&mut self) -> &mut [T::Vector<S>] {
        let slot = self.count % self.k;
        let each = self.n * self.n_lanes;
        T::vectors_mut::<S>(&mut self.rows[slot * each..(slot + 1) * each])
    }

    /// Adds the row that was written to [`RowSums::next_row`]. From the k-th row on, writes the sum of the last k rows
    /// to `out`, each times its weight, and returns true.
    // No closures: one that is not inlined is compiled for the base instruction set.
    #[inline(always)]
    pub fn push<S: Simd>(&mut self, simd: S, out: &mut [T::Vector<S>]) -> bool {
        if let Some(weights) = &self.weights {
            self.count += 1;
            let rows = &T::vectors::<S>(&self.rows)[..self.k * self.n];
            if self.count >= self.k {
                // The next row will take the place of the first one of the window.
                let first = self.count % self.k;
                weighted_windows::down_rows(simd, weights, rows, first, &mut out[..self.n]);
            }
            return self.count >= self.k;
        }
        match self.k {
            1 => self.push_direct::<S, 1>(simd, out),
            2 => self.push_direct::<S, 2>(simd, out),
            3 => self.push_direct::<S, 3>(simd, out),
            4 => self.push_direct::<S, 4>(simd, out),
            5 => self.push_direct::<S, 5>(simd, out),
            _ => self.push_block(simd, out),
        }
        self.count >= self.k
    }

    #[inline(always)]
    fn push_direct<S: Simd, const K: usize>(&mut self, simd: S, out: &mut [T::Vector<S>]) {
        self.count += 1;
        let n = self.n;
        let rows = &T::vectors::<S>(&self.rows)[..K * n];
        for (j, out) in out[..n].iter_mut().enumerate() {
            let mut sum = rows[j];
            for row in 1..K {
                sum = T::plus(simd, sum, rows[row * n + j]);
            }
            *out = sum;
        }
    }

    #[inline(always)]
    fn push_block<S: Simd>(&mut self, simd: S, out: &mut [T::Vector<S>]) {
        let (k, n) = (self.k, self.n);
        let slot = self.count % k;
        self.count += 1;
        let out = &mut out[..n];
        let rows = &mut T::vectors_mut::<S>(&mut self.rows)[..k * n];
        let head = &mut T::vectors_mut::<S>(&mut self.head)[..n];
        let row = &rows[slot * n..(slot + 1) * n];
        if slot == 0 {
            head.copy_from_slice(row);
            // The rest of the window is the block before.
            add_rows::<S, T>(simd, row, &rows[n..2 * n], out);
        } else if slot + 1 < k {
            let tails = &rows[(slot + 1) * n..(slot + 2) * n];
            for (((head, &row), &tail), out) in head.iter_mut().zip(row).zip(tails).zip(out) {
                *head = T::plus(simd, *head, row);
                *out = T::plus(simd, *head, tail);
            }
        } else {
            // The block is full: its sum is the window's, and its rows become sums from its end.
            add_rows::<S, T>(simd, head, row, out);
            for slot in (1..k).rev() {
                let (above, below) = rows.split_at_mut(slot * n);
                let above = &mut above[(slot - 1) * n..];
                for (above, &below) in above.iter_mut().zip(&below[..n]) {
                    *above = T::plus(simd, *above, below);
                }
            }
        }
    }
}

/// One weight per neighbour in the number type of the sums.
fn in_lanes<T: Lane>(k: usize, weights: Option<Vec<f64>>) -> Option<Vec<T>> {
    let weights = weights?;
    assert_eq!(weights.len(), k, "one weight per neighbour");
    Some(weights.into_iter().map(T::from_f64).collect())
}

#[inline(always)]
fn add_rows<S: Simd, T: Lane>(
    simd: S,
    a: &[T::Vector<S>],
    b: &[T::Vector<S>],
    out: &mut [T::Vector<S>],
) {
    for ((&a, &b), out) in a.iter().zip(b).zip(out) {
        *out = T::plus(simd, a, b);
    }
}

#[cfg(test)]
mod tests {
    use pulp::{Arch, WithSimd};

    use super::*;
    use crate::simd::lane::n_lanes;

    /// Window sums of one column of numbers, the same in every lane.
    struct Both<'a> {
        k: usize,
        weights: Option<Vec<f64>>,
        values: &'a [f64],
    }

    impl WithSimd for Both<'_> {
        type Output = (Vec<f64>, Vec<f64>);

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
            let n_lanes = f64::n_lanes::<S>();
            let line: Vec<_> = self.values.iter().map(|&v| f64::splat(simd, v)).collect();
            let n_out = line.len() + 1 - self.k;
            let mut out = vec![f64::splat(simd, 0.0); n_out];
            LineSums::<f64>::new(self.k, self.weights.clone(), n_lanes).sum(simd, &line, &mut out);
            let lane =
                |v: &S::f64s| pulp::bytemuck::cast_slice::<_, f64>(std::slice::from_ref(v))[0];
            let mut rows = RowSums::<f64>::new(self.k, self.weights, 3, n_lanes);
            let mut down = Vec::new();
            // Twice, to see that nothing is left over.
            for n in [3, 2] {
                down.clear();
                rows.start(n);
                for &value in &line {
                    rows.next_row::<S>().fill(value);
                    let mut sums = vec![f64::splat(simd, 0.0); n];
                    if rows.push(simd, &mut sums) {
                        down.push(lane(&sums[n - 1]));
                    }
                }
            }
            (out.iter().map(lane).collect(), down)
        }
    }

    #[test]
    fn sums_are_those_of_the_definition() {
        assert!(n_lanes::<f64>() >= 1);
        let values: Vec<f64> = (0..40).map(|i| f64::from(i * i % 17)).collect();
        for k in 1..=20 {
            let expected: Vec<f64> = values.windows(k).map(|w| w.iter().sum()).collect();
            let (along, down) = Arch::new().dispatch(Both { k, weights: None, values: &values });
            assert_eq!(along, expected, "k = {k}, along");
            assert_eq!(down, expected, "k = {k}, down");
            // Whole numbers, so that no sum is rounded.
            let weights: Vec<f64> = (0..k).map(|o| (o * 5 % 7 + 1) as f64).collect();
            let expected: Vec<f64> = values
                .windows(k)
                .map(|w| w.iter().zip(&weights).map(|(value, weight)| value * weight).sum())
                .collect();
            let weights = Some(weights);
            let (along, down) = Arch::new().dispatch(Both { k, weights, values: &values });
            assert_eq!(along, expected, "k = {k}, weighted, along");
            assert_eq!(down, expected, "k = {k}, weighted, down");
        }
    }
}
