//! How charts are shown: quantity, window, smoothing, scale, marker and crosshair.

use crate::tui::chart_arithmetic::Window;
use crate::tui::recorded_curves::Quantity;

/// Share of its past that the moving average keeps per point; 0 is no smoothing.
const SMOOTHINGS: [f64; 4] = [0.9, 0.98, 0.995, 0.0];

/// The settings of the charts.
#[derive(Clone, Debug, Default)]
pub struct ChartSettings {
    /// The quantity of the upper chart.
    pub quantity: Quantity,
    /// The part of the run that is drawn.
    pub window: Window,
    /// Index into [`SMOOTHINGS`].
    smoothing: usize,
    /// Whether all axes are linear, even those of quantities of many magnitudes.
    pub linear_scale: bool,
    pub dots: Dots,
    /// Whether attention entropy is drawn as a map over training steps and t instead of curves.
    pub entropy_map: bool,
    pub crosshair: Option<Crosshair>,
}

/// A vertical line through the charts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crosshair {
    pub x: f64,
    /// The place that differences are computed from.
    pub anchor: Option<f64>,
}

/// The characters that curves are drawn with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Dots {
    #[default]
    Braille,
    /// For fonts without braille.
    Blocks,
    /// For terminals without either.
    Dots,
}

impl ChartSettings {
    pub fn cycle_smoothing(&mut self) {
        self.smoothing = (self.smoothing + 1) % SMOOTHINGS.len();
    }

    /// The share of its past that the moving average of a quantity keeps per point; 0 if it is not smoothed.
    pub fn smoothing_of(&self, quantity: Quantity) -> f64 {
        if quantity.is_smoothed() { SMOOTHINGS[self.smoothing] } else { 0.0 }
    }
}

impl Dots {
    pub fn next(self) -> Self {
        [Self::Blocks, Self::Dots, Self::Braille][self as usize]
    }

    pub fn name(self) -> &'static str {
        self.into()
    }
}
