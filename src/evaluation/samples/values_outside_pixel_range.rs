//! Values of clean estimates outside the pixel range [-1, 1], to which a network's estimates are clamped.
//!
//! The posterior mean of a machine that weighs patches or images is a mean of pixel values and cannot leave the range; the
//! estimates of linear machines can, and are not clamped.

/// How many values lie outside [-1, 1].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutsideRange {
    pub n_outside: usize,
    pub n_values: usize,
}

/// Single precision rounds a mean of values of 1 to this much above it.
const ROUNDING: f64 = 1e-5;

impl OutsideRange {
    /// Of some values.
    pub fn of(values: &[f64]) -> Self {
        let n_outside = values.iter().filter(|value| value.abs() > 1.0 + ROUNDING).count();
        Self { n_outside, n_values: values.len() }
    }

    pub fn append(&mut self, other: Self) {
        self.n_outside += other.n_outside;
        self.n_values += other.n_values;
    }

    /// The share of values outside; 0 without any.
    pub fn share(self) -> f64 {
        self.n_outside as f64 / self.n_values.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_at_the_ends_are_inside() {
        let mut found = OutsideRange::of(&[-1.0, 1.0, 1.000_001, 1.2]);
        assert_eq!((found.n_outside, found.share()), (1, 0.25));
        found.append(OutsideRange::of(&[-7.0, 0.0, 0.5, 0.1]));
        assert_eq!(found.share(), 0.25);
        assert_eq!(OutsideRange::default().share(), 0.0);
    }
}
