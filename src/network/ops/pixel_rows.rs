//! Images with channels last: one row of `lanes` values per pixel, lanes being channels rounded up to full vectors.
//!
//! ```text
//! [P, lanes] or [P + 1, lanes]        row P: zeros, the pixel outside an image with a border of zeros
//! ```
//!
//! Values of lanes beyond the last channel are zero and stay zero.

use pulp::Arch;

use super::candle_numbers::Real;

/// `to = from + addend` in every row; `addend` is one row.
pub fn add_row<T: Real>(from: &[T], addend: &[T], to: &mut [T]) {
    let lanes = addend.len();
    Arch::new().dispatch(|| {
        for (from, to) in from.chunks_exact(lanes).zip(to.chunks_exact_mut(lanes)) {
            for ((to, &from), &addend) in to.iter_mut().zip(from).zip(addend) {
                *to = from + addend;
            }
        }
    });
}

/// `values += addend` in every row.
pub fn add_row_in_place<T: Real>(values: &mut [T], addend: &[T]) {
    Arch::new().dispatch(|| {
        for row in values.chunks_exact_mut(addend.len()) {
            row.iter_mut().zip(addend).for_each(|(value, &addend)| *value += addend);
        }
    });
}

/// `state += relu(values + bias)`; stores where the argument of ReLU is above zero in `is_active`, unless that is empty.
pub fn add_activation<T: Real>(values: &[T], bias: &[T], state: &mut [T], is_active: &mut [bool]) {
    let lanes = bias.len();
    Arch::new().dispatch(|| {
        let rows = values.chunks_exact(lanes).zip(state.chunks_exact_mut(lanes));
        if is_active.is_empty() {
            for (values, state) in rows {
                for ((state, &value), &bias) in state.iter_mut().zip(values).zip(bias) {
                    *state += (value + bias).larger(T::ZERO);
                }
            }
            return;
        }
        for ((values, state), is_active) in rows.zip(is_active.chunks_exact_mut(lanes)) {
            let outputs = state.iter_mut().zip(is_active);
            for (((state, is_active), &value), &bias) in outputs.zip(values).zip(bias) {
                *state += (value + bias).larger(T::ZERO);
                *is_active = value + bias > T::ZERO;
            }
        }
    });
}

/// `to = from` where `is_active`, else zero.
pub fn keep_active<T: Real>(from: &[T], is_active: &[bool], to: &mut [T]) {
    Arch::new().dispatch(|| {
        for ((to, &from), &is_active) in to.iter_mut().zip(from).zip(is_active) {
            *to = if is_active { from } else { T::ZERO };
        }
    });
}

/// `total += values`.
pub fn accumulate<T: Real>(total: &mut [T], values: &[T]) {
    Arch::new().dispatch(|| {
        total.iter_mut().zip(values).for_each(|(total, &value)| *total += value);
    });
}

/// `sums += ` the sum of all rows of `values`, in the order of the rows.
pub fn add_column_sums<T: Real>(values: &[T], sums: &mut [T]) {
    let lanes = sums.len();
    Arch::new().dispatch(|| {
        for row in values.chunks_exact(lanes) {
            sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += value);
        }
    });
}

/// `values` followed by zeros, `lanes` in all.
pub fn padded_row<T: Real>(values: &[T], lanes: usize) -> Vec<T> {
    let mut row = vec![T::ZERO; lanes];
    row[..values.len()].copy_from_slice(values);
    row
}

/// The first `n` values of a buffer, which grows if it has fewer.
pub fn first_of<T: Copy + Default>(buffer: &mut Vec<T>, n: usize) -> &mut [T] {
    if buffer.len() < n {
        buffer.resize(n, T::default());
    }
    &mut buffer[..n]
}
