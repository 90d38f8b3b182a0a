//! SOAP of one matrix in plain loops and double precision: the specification that [`super::soap`] is tested against.
//!
//! Matrices are lists of rows. Eigenvectors come from Jacobi rotations and QR from Gram and Schmidt, so that no
//! decomposition is shared with the fast path.

use super::soap::REFRESH_EVERY;

const BETA: f64 = 0.95;

pub type Matrix = Vec<Vec<f64>>;

/// SOAP's state for one matrix p of `rows` by `columns` values, which starts at zero.
pub struct PlainSoap {
    pub p: Matrix,
    /// m' and v', in eigenbasis coordinates.
    mean: Matrix,
    square: Matrix,
    /// Second moments and eigenvectors of rows and of columns.
    rows: [Matrix; 2],
    columns: [Matrix; 2],
    n_updates: u64,
}

fn matrix(rows: usize, columns: usize, value: impl Fn(usize, usize) -> f64) -> Matrix {
    (0..rows).map(|i| (0..columns).map(|j| value(i, j)).collect()).collect()
}

fn transposed(a: &Matrix) -> Matrix {
    matrix(a[0].len(), a.len(), |i, j| a[j][i])
}

fn product(a: &Matrix, b: &Matrix) -> Matrix {
    matrix(a.len(), b[0].len(), |i, j| (0..b.len()).map(|k| a[i][k] * b[k][j]).sum())
}

/// `b a + (1 - b) new`.
fn averaged(a: &Matrix, new: &Matrix) -> Matrix {
    matrix(a.len(), a[0].len(), |i, j| BETA * a[i][j] + (1.0 - BETA) * new[i][j])
}

/// Columns of `a` from the largest `key` to the smallest.
fn sorted_columns(a: &Matrix, key: &[f64]) -> Matrix {
    let order = descending(key);
    matrix(a.len(), order.len(), |i, j| a[i][order[j]])
}

fn descending(key: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..key.len()).collect();
    order.sort_by(|&a, &b| key[b].total_cmp(&key[a]));
    order
}

fn diagonal(a: &Matrix) -> Vec<f64> {
    (0..a.len()).map(|i| a[i][i]).collect()
}

/// Eigenvectors of a symmetric matrix, by cyclic Jacobi rotations.
fn eigenvectors(c: &Matrix) -> Matrix {
    let n = c.len();
    let mut c = c.clone();
    let mut vectors = matrix(n, n, |i, j| f64::from(i == j));
    for _ in 0..30 {
        for p in 0..n {
            for q in p + 1..n {
                let angle = 0.5 * (2.0 * c[p][q]).atan2(c[q][q] - c[p][p]);
                let mut rotation = matrix(n, n, |i, j| f64::from(i == j));
                (rotation[p][p], rotation[q][q]) = (angle.cos(), angle.cos());
                (rotation[p][q], rotation[q][p]) = (angle.sin(), -angle.sin());
                c = product(&transposed(&rotation), &product(&c, &rotation));
                vectors = product(&vectors, &rotation);
            }
        }
    }
    sorted_columns(&vectors, &diagonal(&c))
}

/// Columns made orthonormal in their order.
fn orthonormal_columns(a: &Matrix) -> Matrix {
    let mut done: Matrix = Vec::new();
    for mut column in transposed(a) {
        for _ in 0..2 {
            for earlier in &done {
                let scalar: f64 = earlier.iter().zip(&column).map(|(a, b)| a * b).sum();
                column.iter_mut().zip(earlier).for_each(|(c, e)| *c -= scalar * e);
            }
        }
        let length = column.iter().map(|c| c * c).sum::<f64>().sqrt();
        done.push(column.iter().map(|c| c / length).collect());
    }
    transposed(&done)
}

impl PlainSoap {
    pub fn new(rows: usize, columns: usize) -> Self {
        let [p, mean, square] = [(); 3].map(|()| matrix(rows, columns, |_, _| 0.0));
        let side = |n| [(); 2].map(|()| matrix(n, n, |_, _| 0.0));
        Self { p, mean, square, rows: side(rows), columns: side(columns), n_updates: 0 }
    }

    fn in_eigenbasis(&self, a: &Matrix) -> Matrix {
        product(&transposed(&self.rows[1]), &product(a, &self.columns[1]))
    }

    fn in_own_coordinates(&self, a: &Matrix) -> Matrix {
        product(&self.rows[1], &product(a, &transposed(&self.columns[1])))
    }

    /// One update with gradient `g`.
    pub fn update(&mut self, g: &Matrix, rate: f64, weight_decay: f64) {
        self.n_updates += 1;
        let n = self.n_updates - 1;
        if n > 0 {
            let in_basis = self.in_eigenbasis(g);
            let squared = matrix(g.len(), g[0].len(), |i, j| in_basis[i][j].powi(2));
            self.mean = averaged(&self.mean, &in_basis);
            self.square = averaged(&self.square, &squared);
            let unbias = 1.0 - BETA.powf(n as f64);
            let direction = matrix(g.len(), g[0].len(), |i, j| {
                self.mean[i][j] / unbias / ((self.square[i][j] / unbias).sqrt() + 1e-8)
            });
            let direction = self.in_own_coordinates(&direction);
            self.p = matrix(g.len(), g[0].len(), |i, j| {
                self.p[i][j] - rate * (weight_decay * self.p[i][j] + direction[i][j])
            });
        }
        self.rows[0] = averaged(&self.rows[0], &product(g, &transposed(g)));
        self.columns[0] = averaged(&self.columns[0], &product(&transposed(g), g));
        if n == 0 {
            self.rows[1] = eigenvectors(&self.rows[0]);
            self.columns[1] = eigenvectors(&self.columns[0]);
        } else if n.is_multiple_of(REFRESH_EVERY) {
            self.refresh();
        }
    }

    fn refresh(&mut self) {
        let mean = self.in_own_coordinates(&self.mean);
        let next = |[c, q]: &[Matrix; 2]| {
            let c_q = product(c, q);
            let eigenvalues = diagonal(&product(&transposed(q), &c_q));
            (orthonormal_columns(&sorted_columns(&c_q, &eigenvalues)), descending(&eigenvalues))
        };
        let ((rows, row_order), (columns, column_order)) = (next(&self.rows), next(&self.columns));
        let square = |i: usize, j: usize| self.square[row_order[i]][column_order[j]];
        self.square = matrix(mean.len(), mean[0].len(), square);
        (self.rows[1], self.columns[1]) = (rows, columns);
        self.mean = self.in_eigenbasis(&mean);
    }
}
