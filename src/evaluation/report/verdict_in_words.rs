//! A report in two sentences: whether the network is trained enough, and which machine predicts it best.

use serde_json::Value;

use crate::analysis::excess_over_floor::{Bound, Convergence};

/// What precedes the verdict in `report.md`.
pub const QUOTE: &str = "> ";

/// The sentences, in Markdown, from `report.json`.
pub fn verdict(report: &Value) -> String {
    let floors = &report["floors"];
    let convergence = serde_json::from_value::<Convergence>(floors["convergence"].clone()).ok();
    let bound = serde_json::from_value::<Bound>(floors["bound"].clone()).ok();
    let trained = match (convergence, bound, floors["class_floor"].as_str()) {
        (Some(found), Some(bound), Some(class)) => {
            let word: &str = found.into();
            format!("The network is **{word}**: {}.", found.meaning(class, bound))
        }
        _ => "Whether the network is trained enough was not measured.".to_owned(),
    };
    let r = |machine: &Value| machine["r"].as_f64();
    let machines = report["agreement"].as_object().into_iter().flatten();
    let best = machines
        .filter_map(|(name, machine)| Some((name, r(machine)?)))
        .max_by(|a, b| a.1.total_cmp(&b.1));
    let baseline = report["baseline"].as_str();
    let best = match best {
        Some((name, best)) => {
            let n = report["n_seeds"].as_u64().unwrap_or(0);
            let other = baseline.filter(|baseline| baseline != name);
            let other = other.and_then(|name| Some((name, r(&report["agreement"][name])?)));
            let other = other
                .map_or(String::new(), |(name, r)| format!("; `{name}`, the baseline, has {r:.3}"));
            format!(
                " From the same noise seeds `{name}` predicts its samples best: median r {best:.3} over {n} held-out noise seeds{other}."
            )
        }
        None => " No machine's agreement is defined.".to_owned(),
    };
    trained + &best
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    #[test]
    fn the_verdict_says_what_was_measured() {
        let report = json!({
            "floors": { "convergence": "close", "bound": "exact", "class_floor": "els" },
            "agreement": { "els": { "r": 0.7 }, "<b>": { "r": 0.9 }, "ls": { "r": null } },
            "baseline": "els", "n_seeds": 32,
        });
        let words = verdict(&report);
        assert!(words.contains("**close**: ") && words.contains("`<b>`"), "{words}");
        assert!(words.contains("median r 0.900 over 32") && words.contains("has 0.700"), "{words}");
        let none = verdict(&json!({}));
        assert!(none.contains("not measured") && none.contains("No machine"), "{none}");
    }
}
