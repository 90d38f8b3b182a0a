//! The tables of a report as CSV.

use super::report_figures::Report;
use crate::analysis::excess_over_floor::MeanSquaredError;
use crate::config::noise_seed_purposes::NoiseSeeds;
use crate::evaluation::floors::NetworkFloors;
use crate::evaluation::markdown_table::text_or;
use crate::runs::event::Rate;

/// `agreement.csv`: agreement of final samples, one line per machine and seed; undefined values are empty.
pub fn agreement(report: &Report<'_>) -> String {
    let mut text = "seed,machine,r,r2,R2\n".to_owned();
    for machine in &report.machines {
        let pairs = machine.agreement.r.iter().zip(&machine.agreement.r_squared_cod);
        for (seed, (r, cod)) in NoiseSeeds::held_out(machine.agreement.r.len()).range().zip(pairs) {
            let square = number(r.map(|r| r * r));
            let (r, cod) = (number(*r), number(*cod));
            text += &format!("{seed},{},{r},{square},{cod}\n", machine.name);
        }
    }
    text
}

/// `by_step.csv`: `R^2` of x0hat along the network's trajectories, mean over seeds.
pub fn by_step(report: &Report<'_>) -> String {
    let mut text = "machine,t,R2,seeds\n".to_owned();
    for machine in &report.machines {
        for step in &machine.by_step {
            let (t, mean, n) = (step.t, step.r_squared, step.n_seeds);
            text += &format!("{},{t:.6},{mean:.6},{n}\n", machine.name);
        }
    }
    text
}

/// `floors.csv`: mean squared errors of the clean estimate by noise level: network, its excess, and the floors.
pub fn floors(found: &NetworkFloors) -> String {
    let mut text = "t,who,mse,se\n".to_owned();
    for (floor, level) in found.floors.levels.iter().zip(&found.levels) {
        let of_network = [
            ("network", Some(level.network)),
            ("held_out", level.held_out),
            ("excess", Some(level.excess)),
        ];
        let of_network = of_network.into_iter().filter_map(|(who, error)| Some((who, error?)));
        for (who, MeanSquaredError { mse, se }) in of_network.chain(floor.means()) {
            text += &format!("{},{who},{mse:.8},{se:.8}\n", level.t);
        }
    }
    text
}

/// `predicted_attention.csv`: entropy of predicted and measured attention and the correlation of the maps, mean over
/// seeds.
pub fn predicted_attention(report: &Report<'_>) -> String {
    let mut text = "machine,t,predicted_nats,measured_nats,r_of_log_maps\n".to_owned();
    for (_, machine) in report.predictors() {
        for (t, map) in machine.attention() {
            let (predicted, measured) = (map.predicted_nats, map.measured_nats);
            let r = number(map.r_of_logs);
            text += &format!("{},{t:.6},{predicted:.6},{measured:.6},{r}\n", machine.name);
        }
    }
    text
}

/// `rates.csv`: judged rates with their 95% intervals.
pub fn rates(report: &Report<'_>) -> String {
    let mut text = "who,samples,rate,value,low95,high95\n".to_owned();
    for (who, rates) in &report.rates {
        for (name, rate) in rates.named() {
            let Rate { value, low, high } = rate;
            text += &format!("{who},{},{name},{value:.4},{low:.4},{high:.4}\n", rates.n_samples);
        }
    }
    text
}

fn number(value: Option<f64>) -> String {
    text_or(value.map(|value| format!("{value:.6}")), "")
}
