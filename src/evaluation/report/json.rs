//! A report as JSON.

use std::ops::Range;

use serde_json::{Map, Value, json};

use super::controls_section;
use super::machine_settings_caption;
use super::report_figures::{MachineReport, Report};
use crate::analysis::confidence_intervals::Quartiles;
use crate::analysis::excess_over_floor::LevelExcess;
use crate::config::noise_seed_purposes::NoiseSeeds;
use crate::evaluation::calibration::Calibration;
use crate::evaluation::floors::NetworkFloors;
use crate::evaluation::floors::floors_file::FloorErrors;
use crate::runs::event::Rates;

/// `report.json`, which `mosaic run --json` prints too.
pub fn to_json(report: &Report<'_>) -> Value {
    let (context, comparison) = (report.context, report.comparison);
    let machines = report.machines.iter();
    let agreement: Map<String, Value> =
        machines.map(|machine| (machine.name.to_owned(), agreement(machine))).collect();
    let settings: Map<String, Value> = context
        .machines
        .iter()
        .map(|machine| {
            (machine.name.clone(), json!(machine_settings_caption::words(&machine.spec)))
        })
        .collect();
    let of_machines = comparison.machine_rates.iter();
    let machine_rates: Map<String, Value> = of_machines
        .filter_map(|(name, found)| Some((name.clone(), rates(found.as_ref()?))))
        .collect();
    let approximations: Map<String, Value> = comparison
        .approximations
        .iter()
        .map(|error| (error.machine.clone(), json!(error)))
        .collect();
    json!({
        "format": 1,
        "run": context.run,
        "experiment": &*context.experiment.name,
        "device": context.device,
        "steps": context.n_steps,
        "steps_planned": context.experiment.training.steps,
        "n_parameters": context.n_parameters,
        "n_training_images": context.n_training_images,
        "final_loss": context.final_loss,
        "loss_by_level": context.loss_by_level.loss,
        "floors": context.floors.map(floors),
        "noise_seed": comparison.noise_seed,
        "first_seed": NoiseSeeds::held_out(comparison.n_seeds).first(),
        "n_seeds": comparison.n_seeds,
        "seen_seeds": report.seen_seeds().iter().map(|seen| (seen.start, seen.end)).collect::<Vec<_>>(),
        "judged_seeds": comparison.rates.as_ref().map(|rates| rates.n_samples),
        "machines": settings,
        "calibration_seeds": context.calibration.map(|found| json!([found.first_seed, found.n_seeds])),
        "calibration_sides": context.calibration.map(calibration_sides),
        "agreement": agreement,
        "approximation_error": approximations,
        "controls": controls_section::to_json(&report.controls),
        "clamp": report.clamp.to_json(),
        "units_of_papers": report.paper_units.to_json(),
        "published": report.published.to_json(&report.paper_units.machines),
        "baseline": report.baseline_name(),
        "rates": comparison.rates.as_ref().map(rates),
        "novel_by_chance": context.novel_by_chance.map(|share| json!({ "rate": share.estimate, "interval95": [share.low, share.high] })),
        "machine_rates": machine_rates,
        "mosaics": comparison.mosaics,
        "over_training": context.over_training,
        "interventions": context.interventions,
        "attention_entropy_nats": comparison.attention.as_ref().and_then(|sum| sum.mean_nats()),
        "attention": report.attention,
    })
}

/// The patch sides that competed, by machine.
fn calibration_sides(found: &Calibration) -> Map<String, Value> {
    let machines = found.machines.iter();
    machines.map(|machine| (machine.machine.clone(), json!(machine.sides))).collect()
}

/// Mean squared errors of the clean estimate per value, for images in [-1, 1], level by level.
fn floors(found: &NetworkFloors) -> Value {
    let level = |(floor, level): (&FloorErrors, &LevelExcess)| {
        let mut object: Map<String, Value> =
            floor.means().map(|(name, error)| (name.to_owned(), json!(error))).collect();
        object.insert("t".to_owned(), json!(level.t));
        object.insert("network".to_owned(), json!(level.network));
        object.insert("held_out".to_owned(), json!(level.held_out));
        object.insert("excess".to_owned(), json!(level.excess));
        Value::Object(object)
    };
    json!({
        "class_floor": found.class_floor,
        "bound": found.bound,
        "patch_size": found.floors.patch_side,
        "draws": found.floors.n_draws(),
        "convergence": found.convergence,
        "levels": found.floors.levels.iter().zip(&found.levels).map(level).collect::<Vec<_>>(),
    })
}

/// The seeds that a report names as seen before; none in reports of versions that did not record them.
pub fn seen_seeds(report: &Value) -> Vec<Range<u64>> {
    let range = |pair: &Value| Some(pair[0].as_u64()?..pair[1].as_u64()?);
    report["seen_seeds"].as_array().into_iter().flatten().filter_map(range).collect()
}

fn agreement(machine: &MachineReport<'_>) -> Value {
    let median = |quartiles: &Option<Quartiles>| quartiles.as_ref().map(|q| q.median);
    json!({
        "r": median(&machine.r),
        "r2": median(&machine.r2),
        "R2": median(&machine.cod),
        "quartiles": {
            "r": quartiles(&machine.r),
            "r2": quartiles(&machine.r2),
            "R2": quartiles(&machine.cod),
        },
        "n_seeds": machine.n_seeds,
        "n_seeds_r": machine.n_seeds_r,
        "won": machine.won,
        "r_of_predicted_entropy": machine.r_of_predicted_entropy,
        "R2_along_network": machine.r_squared_along_network,
    })
}

fn quartiles(quartiles: &Option<Quartiles>) -> Option<[f64; 3]> {
    quartiles.as_ref().map(|q| [q.low, q.median, q.high])
}

fn rates(rates: &Rates) -> Value {
    let mut object = Map::new();
    let mut intervals = Map::new();
    for (name, rate) in rates.named() {
        object.insert(name.to_owned(), json!(rate.value));
        intervals.insert(name.to_owned(), json!([rate.low, rate.high]));
    }
    object.insert("n_samples".to_owned(), json!(rates.n_samples));
    object.insert("chance".to_owned(), json!(rates.chance));
    object.insert("intervals95".to_owned(), Value::Object(intervals));
    Value::Object(object)
}
