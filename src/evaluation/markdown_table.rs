//! Tables of reports, and the words of their cells.

use std::fmt::Display;

use serde::Serialize;

use crate::analysis::confidence_intervals::Interval;
use crate::runs::event::{Rate, Rates};

/// A table of a report.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Table {
    pub title: String,
    pub head: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(title: &str, head: &[&str]) -> Self {
        let head = head.iter().map(|word| (*word).to_owned()).collect();
        Self { title: title.to_owned(), head, rows: Vec::new() }
    }

    /// The table as Markdown, without its title.
    pub fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rule: Vec<String> = self.head.iter().map(|_| "---".to_owned()).collect();
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        format!("{}{}{rows}", line(&self.head), line(&rule))
    }

    /// The table as Markdown, under its title.
    pub fn section(&self) -> String {
        format!("## {}\n\n{}", self.title, self.markdown())
    }
}

/// A value as text; `absent` without one.
pub fn text_or(value: Option<impl Display>, absent: &str) -> String {
    value.map_or_else(|| absent.to_owned(), |value| value.to_string())
}

/// A value as text; a dash without one.
pub fn cell(value: Option<impl Display>) -> String {
    text_or(value, "-")
}

/// A number with three decimals; a dash without one.
pub fn number(value: Option<f64>) -> String {
    cell(value.map(|value| format!("{value:.3}")))
}

/// A number with so many decimals and the ends of its interval, if it has one.
pub fn with_ends(value: f64, ends: Option<[f64; 2]>, decimals: usize) -> String {
    match ends {
        Some([low, high]) => format!("{value:.decimals$} [{low:.decimals$}, {high:.decimals$}]"),
        None => format!("{value:.decimals$}"),
    }
}

/// The judged rate called `name` with its interval; a dash without one.
pub fn rate_cell(rates: &Rates, name: &str) -> String {
    let found = rates.named().into_iter().find(|(other, _)| *other == name);
    cell(found.map(|(_, Rate { value, low, high })| Interval { estimate: value, low, high }))
}
