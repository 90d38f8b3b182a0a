//! What several training seeds of one network do by themselves: judged rates of their samples, and their errors above the
//! floor by noise level. Run by run, and their means with 95% intervals over training seeds.

use serde_json::{Map, Value, json};

use super::markdown_table::{Table, cell};
use super::spread_over_runs::Spread;
use crate::analysis::confidence_intervals::Interval;

/// Judged rates of a network: key in a report and heading.
const RATES: [(&str, &str); 6] = [
    ("whole", "whole"),
    ("valid", "valid"),
    ("consistent", "consistent"),
    ("novel", "novel"),
    ("creative", "creative"),
    ("hue_purity", "hue purity"),
];

/// A judged rate of one report's network with its interval over samples, as a cell.
fn rate(report: &Value, name: &str) -> String {
    let rates = &report["rates"];
    let ends = &rates["intervals95"][name];
    let interval = || {
        let (low, high) = (ends[0].as_f64()?, ends[1].as_f64()?);
        Some(Interval { estimate: rates[name].as_f64()?, low, high })
    };
    cell(interval())
}

/// The spread of a judged rate; `None` if nothing was judged.
fn spread_of_rate(reports: &[&Value], name: &str) -> Option<Spread> {
    let values: Vec<f64> =
        reports.iter().filter_map(|report| report["rates"][name].as_f64()).collect();
    Spread::within(&values, 0.0..=1.0)
}

/// Mean judged rates; `null` where nothing was judged.
pub fn rates_over_runs(reports: &[&Value]) -> Value {
    let entry = |(key, _): (&str, &str)| {
        (key.to_owned(), json!(spread_of_rate(reports, key).map(Spread::to_json)))
    };
    Value::Object(RATES.map(entry).into_iter().collect::<Map<_, _>>())
}

/// Judged rates and the word on each network's training, a row for each report and one for their mean. Empty if the
/// reports have neither.
pub fn rates_table(names: &[&str], reports: &[&Value]) -> String {
    let mut head = vec!["network of", "trained enough?", "judged"];
    head.extend(RATES.map(|(_, heading)| heading));
    let mut table = Table::new("Judged samples", &head);
    for (name, report) in names.iter().zip(reports) {
        if !report["rates"].is_object() && !report["floors"].is_object() {
            continue;
        }
        let word = cell(report["floors"]["convergence"].as_str());
        let judged = cell(report["rates"]["n_samples"].as_u64());
        let mut row = vec![(*name).to_owned(), word, judged];
        row.extend(RATES.map(|(key, _)| rate(report, key)));
        table.rows.push(row);
    }
    if table.rows.is_empty() {
        return String::new();
    }
    if table.rows.len() > 1 {
        let mut row = vec!["*mean over training seeds*".to_owned(), "-".into(), "-".into()];
        row.extend(RATES.map(|(key, _)| cell(spread_of_rate(reports, key))));
        table.rows.push(row);
    }
    table.markdown() + "\n"
}

/// One noise level over several networks.
struct Level {
    t: f64,
    network: Spread,
    floor: Spread,
    excess: Spread,
}

impl Level {
    /// The mean excess in per cent of the floor; `None` where the floor is too small for it to mean anything.
    fn percent(&self) -> Option<f64> {
        (self.floor.mean > 1e-4).then(|| 100.0 * self.excess.mean / self.floor.mean)
    }
}

/// Noise levels that all reports have, in their order; none if a report has no floors.
fn levels(reports: &[&Value]) -> Vec<Level> {
    let of = |report: &Value| report["floors"]["levels"].as_array().cloned().unwrap_or_default();
    let all: Vec<Vec<Value>> = reports.iter().map(|report| of(report)).collect();
    let Some(first) = all.first() else { return Vec::new() };
    let level = |at: &Value| {
        let figure = |key: &str| {
            let value = |levels: &Vec<Value>| {
                let same = levels.iter().find(|other| other["t"] == at["t"])?;
                same[key]["mse"].as_f64()
            };
            Spread::of(&all.iter().map(value).collect::<Option<Vec<f64>>>()?)
        };
        let (network, floor, excess) = (figure("network")?, figure("floor")?, figure("excess")?);
        Some(Level { t: at["t"].as_f64()?, network, floor, excess })
    };
    first.iter().filter_map(level).collect()
}

/// Errors above the floor by noise level, means over networks.
pub fn excess_over_runs(reports: &[&Value]) -> Value {
    let entry = |level: &Level| {
        json!({
            "t": level.t,
            "network": level.network.to_json(),
            "floor": level.floor.to_json(),
            "excess": level.excess.to_json(),
        })
    };
    levels(reports).iter().map(entry).collect()
}

/// The same as a table; empty without floors or with a single report, whose own page has them.
pub fn excess_table(reports: &[&Value]) -> String {
    let levels = levels(reports);
    if levels.is_empty() || reports.len() < 2 {
        return String::new();
    }
    let name = reports[0]["floors"]["class_floor"].as_str().unwrap_or("floor");
    let mut table =
        Table::new("Errors above the floor", &["t", "network", name, "excess", "of the floor"]);
    for level in &levels {
        let error = |spread: Spread| match spread.interval {
            Some(found) => format!("{:.5} [{:.5}, {:.5}]", spread.mean, found.low, found.high),
            None => format!("{:.5}", spread.mean),
        };
        table.rows.push(vec![
            format!("{}", level.t),
            format!("{:.5}", level.network.mean),
            format!("{:.5}", level.floor.mean),
            error(level.excess),
            cell(level.percent().map(|percent| format!("{percent:.0}%"))),
        ]);
    }
    format!(
        "Mean squared error of the clean estimate, and the network's excess over `{name}` with its 95% interval over training seeds (floors.png, if this summary was written into a folder):\n\n{}\n",
        table.markdown()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(whole: f64, excess: f64) -> Value {
        let level = |t: f64| {
            json!({ "t": t, "network": { "mse": 0.01 + excess }, "floor": { "mse": 0.01 },
                "excess": { "mse": excess } })
        };
        json!({
            "rates": { "n_samples": 9, "whole": whole },
            "floors": { "class_floor": "els", "convergence": "close", "levels": [level(0.5), level(0.7)] },
        })
    }

    #[test]
    fn means_have_intervals_over_training_seeds() {
        let (a, b) = (report(0.8, 0.001), report(0.9, 0.003));
        let both = [&a, &b];
        let rates = rates_over_runs(&both);
        let number = |value: &Value| value.as_f64().unwrap();
        assert!((number(&rates["whole"]["mean"]) - 0.85).abs() < 1e-12);
        // The standard error is .05, and Student's t of one degree of freedom 12.706; a share is at most one.
        assert!((number(&rates["whole"]["interval95"][0]) - 0.85 + 0.6353).abs() < 1e-4);
        assert_eq!(rates["whole"]["interval95"][1].as_f64(), Some(1.0));
        assert_eq!(rates["valid"], Value::Null);
        let excess = excess_over_runs(&both);
        assert_eq!((excess[1]["t"].as_f64(), excess.as_array().unwrap().len()), (Some(0.7), 2));
        assert!((number(&excess[0]["excess"]["mean"]) - 0.002).abs() < 1e-12);
        let page = rates_table(&["run-a", "run-b"], &both);
        assert!(
            page.contains("| *mean over training seeds* | - | - | 0.850 [0.215, 1.000] | - |"),
            "{page}"
        );
        let page = excess_table(&both);
        assert!(page.contains("| 0.5 | 0.01200 | 0.01000 | 0.00200 ["), "{page}");
        assert!(page.contains("| 20% |"), "{page}");
    }

    #[test]
    fn one_report_or_none_with_floors_has_no_means() {
        let (a, bare) = (report(0.8, 0.001), json!({ "rates": null }));
        assert_eq!(excess_table(&[&a]), "");
        assert_eq!(excess_table(&[&a, &bare]), "");
        assert_eq!(rates_table(&["x"], &[&bare]), "");
        assert!(!rates_table(&["x"], &[&a]).contains("mean"));
    }
}
