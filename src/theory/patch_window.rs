//! How much each pixel of a patch counts when patches are compared: the window over their offsets.
//!
//! ```text
//! L[n,q,p] = -abar / (2 sigma^2) sum_{c,d} w(d) (x[c, p+d] / sqrt(abar) - phi_n[c, q+d])^2
//! w(d) = 1                                          square: the patches of docs/theory.md section 1
//! w(d) = exp(-(d_row^2 + d_column^2) / (2 s^2))     gaussian: s = width * k pixels, cut off at the patch's border
//! ```
//!
//! A window is a soft query precision vector of Filtered Posterior Mean Collections (Niedoba, Zwartsenberg & Wood, arXiv
//! 2605.24192): each pixel of the query has its own precision, `w(d) abar / sigma^2` instead of `abar / sigma^2` inside the patch
//! and none outside. The response is the patch's centre, as in `els`. Only the paper's abstract is at hand, so the Gaussian and
//! its width are ours.
//!
//! The Gaussian is a product of one over rows and one over columns, which is what makes window sums of it cheap
//! ([`super::cpu_kernels::windows`]).

use super::patch_pools_ls_els_bbels::Window;

/// Standard deviation of the Gaussian window in patch sides: at half a side from the centre weights are .46.
pub const DEFAULT_WINDOW_WIDTH: f64 = 0.4;

/// The weights of the pixels of a patch. The centre has weight 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum PatchWindow {
    /// All pixels alike.
    #[default]
    Square,
    /// Less with the distance from the centre.
    Gaussian {
        /// Standard deviation in patch sides, above 0.
        width: f64,
    },
}

impl PatchWindow {
    /// Whether all pixels count alike.
    pub fn is_square(self) -> bool {
        self == Self::Square
    }

    /// The weights along one axis of the offsets of `window`, for patches of side `k`; `None` if all are 1. The weight of a
    /// pixel is the product of those of its row and its column.
    pub fn weights(self, k: usize, window: Window) -> Option<Vec<f64>> {
        let Self::Gaussian { width } = self else { return None };
        let deviation = width * k as f64;
        let weight = |at: usize| {
            let offset = at as f64 - window.before as f64;
            (-0.5 * (offset / deviation).powi(2)).exp()
        };
        Some((0..window.n_offsets()).map(weight).collect())
    }

    /// A key that differs for windows that do.
    pub(super) fn key(self) -> Option<u64> {
        match self {
            Self::Square => None,
            Self::Gaussian { width } => Some(width.to_bits()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_one_in_the_middle_and_fall_to_both_sides_alike() {
        let window = Window { before: 2, after: 2 };
        assert_eq!(PatchWindow::Square.weights(5, window), None);
        let weights = PatchWindow::Gaussian { width: 0.25 }.weights(5, window).unwrap();
        assert_eq!((weights[2], weights[0], weights[1]), (1.0, weights[4], weights[3]));
        // Two pixels are 1.6 standard deviations of 1.25 pixels.
        assert!((weights[0] - (-0.5 * 1.6_f64.powi(2)).exp()).abs() < 1e-15, "{weights:?}");
    }
}
