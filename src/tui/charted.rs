//! Which curves the upper chart shows, and what the crosshair reads from them.
//!
//! Readings are of the recorded points, never of the screen. The crosshair moves from point to point of the first
//! curve; other curves are read at their last point before it.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::app::{App, CHARTS, SMOOTHINGS};
use super::curves::Quantity;
use super::plot::{bounds, letter};
use super::series::Series;
use crate::runs::event::NoticeLevel;

/// A window is crossed in so many steps of the crosshair, or in a tenth of them.
const STEPS_ACROSS: usize = 200;
const FAST: usize = 10;

/// One curve of the upper chart.
pub struct Charted<'a> {
    /// A run or what the curve is of; empty where there is only one.
    pub name: String,
    pub letter: Option<char>,
    /// Number of its colour; `None` is the run on screen.
    pub colour: Option<usize>,
    pub series: &'a Series,
}

/// A vertical line through the charts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crosshair {
    pub x: f64,
    /// Where a difference is read from.
    pub anchor: Option<f64>,
}

/// What a curve is at one place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Value {
    /// The recorded place, at the one asked for or before it.
    pub x: f64,
    pub raw: f64,
    /// Where curves are smoothed.
    pub smoothed: Option<f64>,
}

/// What the crosshair reads from one curve; `None` where it does not reach.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    pub name: String,
    pub letter: Option<char>,
    pub colour: Option<usize>,
    pub here: Option<Value>,
    pub anchor: Option<Value>,
}

/// The first and last place of any of these curves.
pub fn whole_part(charted: &[Charted<'_>]) -> [f64; 2] {
    let ends = charted.iter().flat_map(|curve| [curve.series.first(), curve.series.last()]);
    bounds(ends.flatten().map(|point| point.0), 0.0)
}

impl App {
    /// The curves of the upper chart, the one that the crosshair follows first.
    pub fn charted(&self) -> Vec<Charted<'_>> {
        self.charted_of(self.quantity)
    }

    /// The curves of any quantity: of the run on screen and, where it is a single one, of the marked runs.
    pub fn charted_of(&self, quantity: Quantity) -> Vec<Charted<'_>> {
        let Some(watched) = &self.watched else { return Vec::new() };
        if !quantity.is_single() {
            let all = watched.curves.of(quantity).enumerate();
            let curve = all.map(|(index, recorded)| Charted {
                name: recorded.name.clone(),
                letter: Some(letter(index)),
                colour: Some(index),
                series: &recorded.series,
            });
            return curve.collect();
        }
        let is_alone = self.beside().next().is_none();
        let number = self.marked.iter().position(|run| run.id == watched.id);
        let own = watched.curves.of(quantity).map(|recorded| Charted {
            name: if is_alone { String::new() } else { watched.id.clone() },
            letter: number.filter(|_| !is_alone).map(letter),
            colour: None,
            series: &recorded.series,
        });
        let others = self.beside().flat_map(|(number, run)| {
            run.curves.of(quantity).map(move |recorded| Charted {
                name: run.id.clone(),
                letter: Some(letter(number)),
                colour: Some(number + 1),
                series: &recorded.series,
            })
        });
        own.chain(others).collect()
    }

    /// How much smoothing a quantity's curves get.
    pub fn past(&self, quantity: Quantity) -> f64 {
        if quantity.is_smoothed() { SMOOTHINGS[self.smoothing] } else { 0.0 }
    }

    /// The ends of the upper chart.
    pub fn seen_part(&self, charted: &[Charted<'_>]) -> [f64; 2] {
        self.window.of(whole_part(charted))
    }

    /// What the crosshair reads.
    pub fn readings(&self) -> Vec<Reading> {
        let Some(crosshair) = self.crosshair else { return Vec::new() };
        let past = self.past(self.quantity);
        let value = |series: &Series, x: f64| {
            let place = series.place_at(x)?;
            let smoothed = series.smoothed(past, place).filter(|_| past > 0.0);
            Some(Value { x: series[place].0, raw: series[place].1, smoothed })
        };
        let reading = |curve: Charted<'_>| Reading {
            here: value(curve.series, crosshair.x),
            anchor: crosshair.anchor.and_then(|x| value(curve.series, x)),
            name: curve.name,
            letter: curve.letter,
            colour: curve.colour,
        };
        self.charted().into_iter().map(reading).collect()
    }

    /// No crosshair, one, one with a place that differences are read from, none.
    pub(super) fn turn_crosshair(&mut self) {
        let newest = {
            let charted = self.charted();
            let end = self.seen_part(&charted)[1];
            charted.first().and_then(|curve| {
                let place = curve.series.partition_point(|point| point.0 <= end).checked_sub(1)?;
                Some(curve.series[place].0)
            })
        };
        let Some(newest) = newest else {
            self.say(NoticeLevel::Warning, "there is no curve yet that a crosshair could read");
            return;
        };
        self.tab = CHARTS;
        self.crosshair = match self.crosshair {
            None => Some(Crosshair { x: newest, anchor: None }),
            Some(Crosshair { x, anchor: None }) => Some(Crosshair { x, anchor: Some(x) }),
            Some(_) => None,
        };
        let words = match self.crosshair {
            Some(Crosshair { anchor: None, .. }) => {
                "crosshair: Left and Right move it, with Shift faster; c reads differences from here; Esc ends it"
            }
            Some(_) => "differences are read from here; c ends it",
            None => "no crosshair",
        };
        self.say(NoticeLevel::Info, words);
    }

    /// A key while there is a crosshair on screen; false if it is not for it.
    pub(super) fn crosshair_key(&mut self, key: KeyEvent) -> bool {
        let Some(crosshair) = self.crosshair.filter(|_| self.tab == CHARTS) else { return false };
        let shift = key.modifiers == KeyModifiers::SHIFT;
        if !shift && !key.modifiers.is_empty() {
            return false;
        }
        let (right, fast) = match key.code {
            KeyCode::Left | KeyCode::Char('h') => (false, shift),
            KeyCode::Right | KeyCode::Char('l') => (true, shift),
            KeyCode::Char('H') => (false, true),
            KeyCode::Char('L') => (true, true),
            KeyCode::Esc => {
                self.crosshair = None;
                return true;
            }
            _ => return false,
        };
        if let Some(x) = self.moved(crosshair.x, right, fast) {
            self.crosshair = Some(Crosshair { x, ..crosshair });
        }
        true
    }

    /// From `x` to another point of the first curve, within the window.
    fn moved(&self, x: f64, right: bool, fast: bool) -> Option<f64> {
        let charted = self.charted();
        let part = self.seen_part(&charted);
        let points: &[(f64, f64)] = charted.first()?.series;
        let first = points.partition_point(|point| point.0 < part[0]);
        let last = points.partition_point(|point| point.0 <= part[1]).checked_sub(1)?;
        let now = points.partition_point(|point| point.0 <= x).saturating_sub(1);
        let stride = ((last + 1).saturating_sub(first) / STEPS_ACROSS).max(1);
        let stride = if fast { FAST * stride } else { stride };
        let next = if right { now + stride } else { now.saturating_sub(stride) };
        Some(points[next.clamp(first.min(last), last)].0)
    }
}
