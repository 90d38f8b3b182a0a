//! The picture of floors: the errors of a network and of the floors by noise level, and beside it the network's excess
//! over the floor of its class with the limits of the word for it. Of one run, or of several training seeds of a network.

use serde_json::Value;

use crate::analysis::excess_over_floor::{Convergence, MeanSquaredError, counts};
use crate::diffusion::Schedule;
use crate::evaluation::chart_curves::{BLACK, GREY};
use crate::evaluation::chart_panels::{Marks, Panel, Series};
use crate::evaluation::spread_over_runs::Spread;

/// Number of the colour of the error on held-out images and of the first floor.
const HELD_OUT: usize = 1;
const FIRST_FLOOR: usize = 2;
/// How far the axis goes below the smallest error of a network: floors vanish with the noise.
const ROOM_BELOW: f64 = 0.2;

/// An error by noise level, with the ends of its band.
#[derive(Clone, Debug)]
struct ErrorCurve {
    who: String,
    /// t, error, and lower and upper end.
    points: Vec<(f64, f64, f64, f64)>,
}

impl ErrorCurve {
    fn series(&self, name: &str, colour: usize) -> Series {
        let points = self.points.iter().map(|&(t, error, ..)| (t, error)).collect();
        let mut series = Series::line(name, colour, points);
        series.band = self.points.iter().map(|&(_, _, low, high)| (low, high)).collect();
        series
    }

    fn errors(&self) -> impl Iterator<Item = f64> {
        self.points.iter().map(|point| point.1)
    }
}

/// What the picture shows of a network or of several training seeds of it.
#[derive(Clone, Debug)]
pub struct FloorsChart {
    /// In the order of the levels' figures: the network's, held out, excess, floors.
    curves: Vec<ErrorCurve>,
    class_floor: String,
    schedule: Schedule,
    /// What a band is, in words.
    band: &'static str,
}

impl FloorsChart {
    /// The picture of reports (`report.json`) with floors: of one report with standard errors over noised images; of
    /// several, means with 95% intervals over them. `None` without floors, or if a report has none.
    pub fn new(reports: &[&Value], schedule: Schedule) -> Option<Self> {
        let levels = |report: &Value| report["floors"]["levels"].as_array().cloned();
        let all = reports.iter().map(|report| levels(report)).collect::<Option<Vec<_>>>()?;
        let first = all.first()?.first()?.as_object()?;
        let names = first.keys().filter(|key| *key != "t");
        let curve = |who: &String| {
            let point = |at: &Value| {
                let t = at["t"].as_f64()?;
                let of = |levels: &Vec<Value>| {
                    let same = levels.iter().find(|level| level["t"] == at["t"])?;
                    serde_json::from_value::<MeanSquaredError>(same[who].clone()).ok()
                };
                let found = all.iter().map(of).collect::<Option<Vec<_>>>()?;
                let (error, low, high) = mean_and_ends(&found)?;
                Some((t, error, low, high))
            };
            let points: Vec<_> = all[0].iter().filter_map(point).collect();
            (!points.is_empty()).then(|| ErrorCurve { who: who.clone(), points })
        };
        let curves = names.filter_map(curve).collect();
        let band = match reports.len() {
            1 => "1 standard error",
            _ => "95% over training seeds",
        };
        let class_floor = reports[0]["floors"]["class_floor"].as_str()?.to_owned();
        Some(Self { curves, class_floor, schedule, band })
    }

    fn curve(&self, who: &str) -> Option<&ErrorCurve> {
        self.curves.iter().find(|curve| curve.who == who)
    }

    /// Errors and excess; `of` says of whom, empty for a single network.
    pub fn panels(&self, of: &str) -> Vec<Panel> {
        [self.errors(of), self.excess(of)].into_iter().flatten().collect()
    }

    fn errors(&self, of: &str) -> Option<Panel> {
        let network = self.curve("network")?;
        let mut series = vec![network.series("network, training images", BLACK)];
        if let Some(held_out) = self.curve("held_out") {
            series.push(held_out.series("network, held-out images", HELD_OUT));
        }
        let is_floor =
            |curve: &&ErrorCurve| !["network", "held_out", "excess"].contains(&curve.who.as_str());
        for (i, floor) in self.curves.iter().filter(is_floor).enumerate() {
            series.push(floor.series(&floor_in_words(&floor.who), FIRST_FLOOR + i));
        }
        let smallest = positive_min(network.errors())?;
        let largest = self.curves.iter().flat_map(ErrorCurve::errors).fold(0.0, f64::max);
        Some(Panel {
            title: titled("error of the clean estimate", of),
            x: format!("noise level t (1: pure noise); bands: {}", self.band),
            y: "mean squared error per value, images in [-1, 1]".to_owned(),
            series,
            y_range: Some((ROOM_BELOW * smallest, 1.5 * largest)),
            is_log: true,
            ..Panel::default()
        })
    }

    fn excess(&self, of: &str) -> Option<Panel> {
        let (excess, floor) = (self.curve("excess")?, self.curve(&self.class_floor)?);
        let counted = floor.points.iter().filter(|point| counts(point.0, self.schedule));
        let limits: Vec<(f64, [(Convergence, f64); 2])> =
            counted.map(|point| (point.0, Convergence::limits(point.1))).collect();
        let limit = |which: usize| {
            let points = limits.iter().map(|(t, limits)| (*t, limits[which].1)).collect();
            let word: &str = Convergence::limits(0.0)[which].0.into();
            Series::new(
                &format!("largest excess of a '{word}' network"),
                GREY,
                points,
                Marks::Curve,
            )
        };
        // The limits grow far beyond the excess of a well-trained network; the axis shows where they are smallest.
        let largest = excess.points.iter().map(|point| point.3);
        let largest = largest.fold(Convergence::limits(0.0)[1].1, f64::max);
        let smallest = excess.points.iter().map(|point| point.2).fold(0.0, f64::min);
        Some(Panel {
            title: titled(&format!("excess over {}", self.class_floor), of),
            x: format!("noise level t (1: pure noise); bands: {}", self.band),
            y: "error of the network minus the floor".to_owned(),
            series: vec![excess.series("excess of the network", BLACK), limit(0), limit(1)],
            y_range: Some((1.2 * smallest, 1.2 * largest)),
            ..Panel::default()
        })
    }
}

/// A mean and the ends of its band: one standard error for a single error; for several their 95% interval.
fn mean_and_ends(errors: &[MeanSquaredError]) -> Option<(f64, f64, f64)> {
    if let [MeanSquaredError { mse, se }] = errors {
        return Some((*mse, mse - se, mse + se));
    }
    let values: Vec<f64> = errors.iter().map(|error| error.mse).collect();
    let spread = Spread::of(&values)?;
    let interval = spread.interval?;
    Some((spread.mean, interval.low, interval.high))
}

/// A floor's name with the class of denoisers that it bounds.
fn floor_in_words(machine: &str) -> String {
    let class = match machine {
        "ideal" => "any denoiser",
        "es" => "any that commutes with translations",
        "els" | "bbels" => "local ones, without attention",
        "attention-optimal" => "best known with attention",
        _ => return machine.to_owned(),
    };
    format!("floor {machine}: {class}")
}

fn titled(what: &str, of: &str) -> String {
    if of.is_empty() { what.to_owned() } else { format!("{of}: {what}") }
}

/// The smallest positive value.
fn positive_min(values: impl Iterator<Item = f64>) -> Option<f64> {
    values.filter(|value| *value > 0.0).reduce(f64::min)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(excess: f64) -> Value {
        let level = |t: f64| {
            let error = |mse: f64| json!({ "mse": mse, "se": 0.001 });
            json!({ "t": t, "network": error(0.02 + excess), "held_out": null, "els": error(0.02),
                "ideal": error(0.0), "excess": error(excess) })
        };
        let levels = [level(0.5), level(1.0)];
        json!({ "floors": { "class_floor": "els", "levels": levels } })
    }

    fn chart(reports: &[&Value]) -> Vec<Panel> {
        FloorsChart::new(reports, Schedule::Cosine).unwrap().panels("")
    }

    #[test]
    fn one_run_has_standard_errors_and_limits_where_levels_count() {
        let panels = chart(&[&report(0.004)]);
        let names: Vec<&str> = panels[0].series.iter().map(|series| series.name.as_str()).collect();
        let floors = ["floor els: local ones, without attention", "floor ideal: any denoiser"];
        assert_eq!(names, ["network, training images", floors[0], floors[1]]);
        assert!(panels[0].is_log && !panels[1].is_log);
        let [excess, converged, close] = &panels[1].series[..] else { panic!("{panels:?}") };
        assert_eq!(excess.points, [(0.5, 0.004), (1.0, 0.004)]);
        assert!(
            (excess.band[0].0 - 0.003).abs() < 1e-12 && (excess.band[0].1 - 0.005).abs() < 1e-12
        );
        // 15% of .02 and 50% of it; nothing at t = 1.
        assert_eq!(
            (&converged.points[..], &close.points[..]),
            (&[(0.5, 0.003)][..], &[(0.5, 0.01)][..])
        );
    }

    #[test]
    fn training_seeds_have_means_with_their_interval() {
        let panels = chart(&[&report(0.001), &report(-0.003)]);
        let excess = &panels[1].series[0];
        assert!((excess.points[0].1 + 0.001).abs() < 1e-12, "{excess:?}");
        // The standard error is .002, and Student's t of one degree of freedom 12.706.
        assert!((excess.band[0].1 - 0.02441).abs() < 1e-4, "{excess:?}");
        assert!(panels[1].y_range.unwrap().0 < -0.026);
        let bare = json!({ "floors": null });
        assert!(FloorsChart::new(&[&report(0.1), &bare], Schedule::Cosine).is_none());
        assert!(FloorsChart::new(&[], Schedule::Cosine).is_none());
    }
}
