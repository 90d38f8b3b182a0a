//! The figures in the units of papers against trajectories that the test draws itself: final samples, and x0hat at each
//! kind of states.

use std::sync::Arc;

use mosaic_lab::diffusion::Denoiser;
use mosaic_lab::evaluation::network_and_machines_of_run::Trained;
use mosaic_lab::random::noise_seeds;
use mosaic_lab::theory::{Machine, Precision, TrainingImages};
use serde_json::Value;

use crate::common::Lab;
use crate::plain::{
    self, Trajectory, mean, pearson, quantile, r_squared, squared_error, student_t,
};
use crate::{check_close, open, printed, train};

const N_SEEDS: usize = 18;
/// On fewer seeds, and more than one batch would be.
const N_ASKED: usize = 17;
const T: usize = 4;
const MACHINES: &str = "els,wiener";
const TOLERANCE: f64 = 5e-5;

type Pair = (Vec<f64>, Vec<f64>);

/// Predictions and targets by kind of states and step (0: final samples), one per seed.
struct Drawn {
    samples: Vec<Pair>,
    own: Vec<Vec<Pair>>,
    network: Vec<Vec<Pair>>,
    machine: Vec<Vec<Pair>>,
}

fn draw(trained: &Trained, machine: &Machine) -> Drawn {
    let level = |step: usize| plain::level((step + 1) as f64 / T as f64);
    let noise = |i: usize| noise_seeds(0, 1000 + i as u64, 1, trained.dataset.shape());
    let ways: Vec<(Trajectory, Trajectory)> = (0..N_SEEDS)
        .map(|i| {
            (plain::sample(machine, &noise(i), T), plain::sample(&trained.network, &noise(i), T))
        })
        .collect();
    let steps = |pair: &dyn Fn(usize, &Trajectory, &Trajectory) -> Pair, n: usize| {
        let step = |at| ways[..n].iter().map(|(made, own)| pair(at, made, own)).collect();
        (0..T).map(step).collect::<Vec<Vec<Pair>>>()
    };
    let ask = |denoiser: &dyn Denoiser, way: &Trajectory, at: usize| {
        denoiser.denoise(&way.states[at], level(at)).unwrap().x0.into_values()
    };
    Drawn {
        samples: ways.iter().map(|(made, own)| (made.sample.clone(), own.sample.clone())).collect(),
        own: steps(&|at, made, own| (made.x0[at].clone(), own.x0[at].clone()), N_SEEDS),
        network: steps(&|at, _, own| (ask(machine, own, at), own.x0[at].clone()), N_SEEDS),
        machine: steps(
            &|at, made, _| (made.x0[at].clone(), ask(&trained.network, made, at)),
            N_ASKED,
        ),
    }
}

/// Each figure of papers, by its name in the report.
fn expected(pairs: &[Pair]) -> [(&'static str, Vec<f64>); 5] {
    let each = |figure: &dyn Fn(&[f64], &[f64]) -> f64| -> Vec<f64> {
        pairs.iter().map(|(prediction, target)| figure(prediction, target)).collect()
    };
    let unit = |values: &[f64]| values.iter().map(|v| (v + 1.0) / 2.0).collect::<Vec<f64>>();
    [
        ("r", each(&pearson)),
        ("r2", each(&|a, b| pearson(a, b).powi(2))),
        ("R2", each(&r_squared)),
        ("mse", each(&squared_error)),
        ("mse01", each(&|a, b| squared_error(&unit(a), &unit(b)))),
    ]
}

/// Checks lines of the CSV: figure, seeds, mean with its interval, median with its interval.
fn check(lines: &[&str], pairs: &[Pair], what: &str) {
    assert_eq!(lines.len(), 5, "{what}");
    for (line, (name, values)) in lines.iter().zip(expected(pairs)) {
        let n = values.len() as f64;
        let what = format!("{what}, {name}");
        let cells: Vec<&str> = line.split(',').skip(3).collect();
        assert_eq!(cells[..2], [name, &values.len().to_string()], "{what}");
        let of = |key: &str, place: usize| -> f64 {
            let first = if key == "mean" { 2 } else { 5 };
            cells[first + place].parse().unwrap()
        };
        check_close(of("mean", 0), mean(&values), TOLERANCE, &what);
        check_close(of("median", 0), quantile(&values, 0.5), TOLERANCE, &what);
        let variance = values.iter().map(|v| (v - mean(&values)).powi(2)).sum::<f64>() / (n - 1.0);
        let half = student_t(n - 1.0) * (variance / n).sqrt();
        check_close(of("mean", 1), mean(&values) - half, 10.0 * TOLERANCE, &what);
        // Of 17 and of 18 values, the fifth from each end (Conover's table A3).
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        check_close(of("median", 1), sorted[4], TOLERANCE, &what);
        check_close(of("median", 2), sorted[sorted.len() - 5], TOLERANCE, &what);
    }
}

#[test]
fn figures_of_papers_follow_from_trajectories_drawn_anew() {
    let lab = Lab::new();
    let run = train(&lab, "els");
    let (id, out) = (run.id(), lab.place.path().join("out"));
    let set = format!("theory.machines={MACHINES}");
    let asked = format!("compare.states={N_ASKED}");
    let compare = |out: &str, extra: &[&str]| {
        let shared = ["--seeds", "18", "--samples", "18", "--uncalibrated", "--set", &set];
        let out = ["--set", "compare.floor_draws=0", "--out", out];
        printed(&lab, &[&["compare", &id], &shared[..], &out, extra].concat());
    };
    compare(out.to_str().unwrap(), &["--set", &asked]);
    let folder = out.join(&id);
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let report: Value = serde_json::from_str(&read("report.json")).unwrap();
    let units = &report["units_of_papers"];
    assert_eq!(units["seeds_at_machine_states"], N_ASKED);
    assert!(units["absent"].is_null(), "{units}");
    assert!(units["network_seconds"]["step"].as_f64().unwrap() > 0.0);
    assert_eq!(units["network_seconds"]["batch"], 16);

    let trained = open(&run, MACHINES);
    let images = Arc::new(TrainingImages::from_dataset(&trained.dataset).unwrap());
    for named in trained.machine_set.machines() {
        let machine =
            Machine::new(named.spec.clone(), images.clone(), Precision::F32, None).unwrap();
        let drawn = draw(&trained, &machine);
        let found = &units["machines"][&named.name];
        assert!(found["seconds"]["step"].as_f64().unwrap() > 0.0);
        let text = read("units_of_papers.csv");
        let lines_at = |states: &str, t: &str| -> Vec<&str> {
            let place = format!("{},{states},{t},", named.name);
            text.lines().filter(|line| line.starts_with(&place)).collect()
        };
        check(&lines_at("final", ""), &drawn.samples, &named.name);
        let mean_r2 = mean(&expected(&drawn.samples)[2].1);
        let in_json = found["final"]["R2"]["mean"]["estimate"].as_f64().unwrap();
        check_close(in_json, mean_r2, TOLERANCE, "mean R^2");
        for (states, steps) in
            [("own", &drawn.own), ("network", &drawn.network), ("machine", &drawn.machine)]
        {
            for (at, pairs) in steps.iter().enumerate() {
                let t = format!("{:.6}", (at + 1) as f64 / T as f64);
                let what = format!("{}, {states}, t = {t}", named.name);
                check(&lines_at(states, &t), pairs, &what);
            }
            let all: Vec<Pair> = steps.concat();
            let [(_, r), _, (_, cod), (_, mse), _] = expected(&all);
            let along = &found["along"][states];
            let value = |key: &str| along[key].as_f64().unwrap();
            check_close(value("median_r"), quantile(&r, 0.5), TOLERANCE, states);
            check_close(value("median_R2"), quantile(&cod, 0.5), TOLERANCE, states);
            check_close(value("mean_mse"), mean(&mse), TOLERANCE, states);
        }
    }
    // Two machines at final samples and T steps of three kinds of states, five figures each.
    let lines = read("units_of_papers.csv").lines().count();
    assert_eq!(lines, 1 + 2 * (1 + 3 * T) * 5);
    let page = read("report.md");
    assert!(
        page.contains("on 17 seeds") && page.contains("none at hand is of this data set"),
        "{page}"
    );

    let without = lab.place.path().join("without");
    compare(without.to_str().unwrap(), &["--set", "compare.states=0"]);
    let text = std::fs::read_to_string(without.join(&id).join("report.json")).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    let units = &report["units_of_papers"];
    assert_eq!(units["absent"], "compare.states is 0");
    assert!(units["machines"]["els"]["along"]["machine"].is_null());
    assert!(units["machines"]["els"]["along"]["own"].is_object());
}
