//! What an export writes, collected from the state when the user asks for it.

use std::sync::Arc;

use crate::evaluation::inspect::Trace;
use crate::evaluation::inspect::picture::At;
use crate::runs::preview::Preview;
use crate::tui::curves::Quantity;
use crate::tui::screenshot::Screenshot;
use crate::tui::state::Pane;

/// A tab to write; work that takes time is left to the writer.
#[derive(Clone, Debug, PartialEq)]
pub struct Export {
    /// The run whose directory it is written to; `None` for the current directory.
    pub run: Option<String>,
    /// The files' name, before number and extension.
    pub stem: String,
    pub content: Content,
    /// The pane that `screen` shows; `None` for the whole screen.
    pub pane: Option<Pane>,
    /// Filled in by the shell, which knows the size of the screen.
    pub screen: Screenshot,
}

/// What is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    Charts(Vec<ExportedCurve>),
    /// A preview, and seed, column, r, R^2 and label of every sample.
    Samples(Box<Preview>, Vec<[String; 5]>),
    /// Rows, the head first; the picture is the screen.
    Table(Vec<Vec<String>>),
    /// A step and pixel of a noise seed's trace.
    Inside(Arc<Trace>, At),
    /// Rows of readings of this computer, and processor and memory use in percent for the picture.
    Machine(Vec<Vec<String>>, Vec<[f64; 2]>),
}

/// One curve with all of its points.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportedCurve {
    pub run: String,
    pub quantity: Quantity,
    pub name: String,
    /// Index of its colour and letter.
    pub index: usize,
    pub points: Vec<(f64, f64)>,
    /// How the picture shows it; `None` for curves that are in the table only.
    pub drawn: Option<DrawnCurve>,
}

/// How the picture of an export shows a curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DrawnCurve {
    /// Share of its past that the moving average keeps per point.
    pub smoothing: f64,
    /// First and last x.
    pub range: [f64; 2],
    pub log_scale: bool,
}
