//! The figures of papers over noise seeds, in every format: cells of a table, lines of a CSV, JSON.

use serde_json::{Value, json};
use strum::VariantArray;

use super::markdown_table::cell;
use crate::analysis::agreement_over_seeds::{ImageAgreement, OverSeeds, PaperFigure, over_seeds};
use crate::analysis::confidence_intervals::Interval;

/// Headings of a table, in the order of [`PaperFigure`].
pub const HEADINGS: [&str; 5] = ["r", "r^2", "R^2", "MSE, [-1, 1]", "MSE, [0, 1]"];

/// Columns of [`Figures::csv`].
pub const CSV_HEAD: &str =
    "figure,seeds,mean,mean_low95,mean_high95,median,median_low95,median_high95";

/// Every figure, in the order of [`PaperFigure`].
#[derive(Clone, Debug, PartialEq)]
pub struct Figures(Vec<(PaperFigure, OverSeeds)>);

impl Figures {
    /// Of images, one per seed.
    pub fn of(images: &[ImageAgreement]) -> Self {
        let entry = |&figure: &PaperFigure| (figure, over_seeds(images, figure));
        Self(PaperFigure::VARIANTS.iter().map(entry).collect())
    }

    /// One figure.
    pub fn get(&self, figure: PaperFigure) -> Option<OverSeeds> {
        self.0.iter().find(|(found, _)| *found == figure).map(|(_, over)| *over)
    }

    /// Rows of a table: a word, and a cell per figure.
    pub fn rows(&self) -> [(&'static str, Vec<String>); 2] {
        let row = |of: fn(&OverSeeds) -> Option<Interval>| {
            self.0.iter().map(|(figure, over)| words(*figure, of(over))).collect()
        };
        [("mean", row(|over| over.mean)), ("median", row(|over| over.median))]
    }

    /// Lines of a CSV, one per figure, that begin with `place`. Ends of unbounded intervals are empty.
    pub fn csv(&self, place: &str) -> String {
        let number =
            |value: f64| if value.is_finite() { format!("{value:.8}") } else { String::new() };
        let ends = |found: Option<Interval>| match found {
            Some(Interval { estimate, low, high }) => {
                format!("{},{},{}", number(estimate), number(low), number(high))
            }
            None => ",,".to_owned(),
        };
        let line = |(figure, found): &(PaperFigure, OverSeeds)| {
            let name = <&str>::from(*figure);
            format!("{place},{name},{},{},{}\n", found.n, ends(found.mean), ends(found.median))
        };
        self.0.iter().map(line).collect()
    }

    /// By name; infinite ends of intervals become null.
    pub fn to_json(&self) -> Value {
        let interval = |found: Interval| json!({ "estimate": found.estimate, "interval95": [found.low, found.high] });
        let entry = |(figure, found): &(PaperFigure, OverSeeds)| {
            let value = json!({
                "seeds": found.n,
                "mean": found.mean.map(interval),
                "median": found.median.map(interval),
            });
            (<&str>::from(*figure).to_owned(), value)
        };
        Value::Object(self.0.iter().map(entry).collect())
    }
}

/// An estimate with its interval, if that is bounded; errors have a decimal more.
fn words(figure: PaperFigure, found: Option<Interval>) -> String {
    let decimals = match figure {
        PaperFigure::Mse | PaperFigure::MseOfUnitRange => 4,
        _ => 3,
    };
    cell(found.map(|Interval { estimate, low, high }| match low.is_finite() && high.is_finite() {
        true => format!("{estimate:.decimals$} [{low:.decimals$}, {high:.decimals$}]"),
        false => format!("{estimate:.decimals$}"),
    }))
}
