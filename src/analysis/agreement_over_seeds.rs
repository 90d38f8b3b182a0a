//! Agreement over noise seeds in the units of papers: mean and median of r, r^2, R^2 and the mean squared error per value.
//!
//! ```text
//! R^2 = 1 - sum (target - prediction)^2 / sum (target - mean(target))^2     of each image, then over seeds
//! MSE = mean (target - prediction)^2                                        of values in [-1, 1]; on [0, 1] a quarter
//! ```
//!
//! Papers differ in what they call `r^2`. Kamb & Ganguli (arXiv 2412.20292) print the median over seeds of Pearson's r
//! under that name (`eval_script.py` of Kambm/convolutional_diffusion: the product of normalised images, not squared).
//! GoldDiff (arXiv 2602.16498) prints the mean over samples of R^2, and the MSE on [0, 1] (`services/evaluation.py` of
//! shangxinyi/GoldDiff at 4c0ba1d; the variance of the target there has the divisor n - 1, which changes R^2 by less than
//! (1 - R^2) / n for images of n values).

use super::agreement::{agreement, mean_squared_error};
use super::confidence_intervals::{Interval, mean_interval, median_interval};

/// Agreement of one image with its target; `None` where a figure is undefined.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ImageAgreement {
    pub r: Option<f64>,
    /// `R^2`.
    pub cod: Option<f64>,
    /// Per value, of values in [-1, 1].
    pub mse: Option<f64>,
}

impl ImageAgreement {
    /// Of a prediction with its target, values in [-1, 1].
    ///
    /// # Panics
    ///
    /// If the images differ in length.
    pub fn of(prediction: &[f64], target: &[f64]) -> Self {
        let found = agreement(prediction, target);
        Self { r: found.r, cod: found.cod, mse: mean_squared_error(prediction, target) }
    }
}

/// A figure of papers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
pub enum PaperFigure {
    #[strum(serialize = "r")]
    R,
    #[strum(serialize = "r2")]
    RSquared,
    #[strum(serialize = "R2")]
    Cod,
    /// On values in [-1, 1].
    #[strum(serialize = "mse")]
    Mse,
    /// On values in [0, 1].
    #[strum(serialize = "mse01")]
    MseOfUnitRange,
}

impl PaperFigure {
    /// Of one image.
    pub fn of(self, image: &ImageAgreement) -> Option<f64> {
        match self {
            Self::R => image.r,
            Self::RSquared => image.r.map(|r| r * r),
            Self::Cod => image.cod,
            Self::Mse => image.mse,
            // Half the range is a quarter of its square.
            Self::MseOfUnitRange => image.mse.map(|mse| mse / 4.0),
        }
    }
}

/// Mean (Student's t) and median (between order statistics) over seeds, with 95% intervals; `None` without defined values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OverSeeds {
    /// Number of seeds for which the figure is defined.
    pub n: usize,
    pub mean: Option<Interval>,
    pub median: Option<Interval>,
}

/// One figure over `images`, one per seed.
pub fn over_seeds(images: &[ImageAgreement], figure: PaperFigure) -> OverSeeds {
    let values: Vec<f64> = images.iter().filter_map(|image| figure.of(image)).collect();
    OverSeeds { n: values.len(), mean: mean_interval(&values), median: median_interval(&values) }
}

#[cfg(test)]
mod tests {
    use strum::VariantArray;

    use super::*;

    #[test]
    fn figures_are_those_of_their_definitions() {
        // Target mean 0, sum of squares 4; errors .5 each.
        let found = ImageAgreement::of(&[0.5, -0.5, 0.5, -0.5], &[1.0, -1.0, 1.0, -1.0]);
        let figures: Vec<f64> =
            PaperFigure::VARIANTS.iter().map(|f| f.of(&found).unwrap()).collect();
        for (found, expected) in figures.iter().zip([1.0, 1.0, 0.75, 0.25, 0.0625]) {
            assert!((found - expected).abs() < 1e-12, "{figures:?}");
        }
    }

    #[test]
    fn an_undefined_figure_leaves_the_others() {
        let flat = ImageAgreement::of(&[0.5, -0.5], &[0.25, 0.25]);
        let other = ImageAgreement::of(&[1.0, -1.0], &[1.0, -0.5]);
        let both = [flat, other];
        assert_eq!(over_seeds(&both, PaperFigure::R).n, 1);
        let mse = over_seeds(&both, PaperFigure::Mse);
        assert_eq!(mse.n, 2);
        // (.0625 + .5625) / 2 and .25 / 2.
        assert!((mse.mean.unwrap().estimate - (0.3125 + 0.125) / 2.0).abs() < 1e-12);
        assert_eq!(ImageAgreement::of(&[f64::NAN], &[1.0]).mse, None);
        assert_eq!(over_seeds(&[], PaperFigure::Cod).mean, None);
    }
}
