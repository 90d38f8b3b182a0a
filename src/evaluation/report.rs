//! The report of a finished run: tables for programs (CSV, JSON), a page for people (Markdown), and
//! the contact sheet.
//!
//! Every number says which seeds, machines and settings it came from. r, r^2 and R^2 are three
//! columns under their own names: r is Pearson's, r^2 its square, R^2 = 1 - SS_res / SS_tot with the
//! network as target.

use std::io;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::calibration::Calibration;
use super::charts::{self, Marks, Panel, Series};
use super::compare::Comparison;
use super::mosaics::SAME_COLOUR;
use super::samples::{MapFigures, StepAgreement, StepFigures};
use crate::analysis::summary::{Quartiles, quartiles};
use crate::config::noise_seeds::FIRST_HELD_OUT_SEED;
use crate::config::{Experiment, NamedMachine};
use crate::files::{make_folder, write_output};
use crate::image::picture;
use crate::runs::event::{AgreementFigure, LossByLevel, Rate, Rates};
use crate::theory::patches::Pool;
use crate::theory::spec::{
    AttentionSettings, AttentionSource, MachineKind, MachineSpec, PatchSize, Scheduled,
};

/// Rows of the contact sheet.
const SHEET_ROWS: usize = 12;

/// Where the figures come from.
pub struct Context<'a> {
    pub run: String,
    pub experiment: &'a Experiment,
    pub machines: &'a [NamedMachine],
    pub final_loss: Option<f64>,
    /// Over the last steps.
    pub loss_by_level: &'a LossByLevel,
    /// Steps done: fewer than planned if training ended early.
    pub n_steps: u64,
    pub device: String,
    pub n_parameters: usize,
    pub n_training_images: usize,
    /// Where the machines' settings come from, if they were calibrated.
    pub calibration: Option<&'a Calibration>,
}

/// Quartiles over seeds of the three agreements with one machine.
#[derive(Clone, Debug, PartialEq)]
pub struct AgreementRow {
    pub machine: String,
    pub r: Option<Quartiles>,
    pub r2: Option<Quartiles>,
    pub cod: Option<Quartiles>,
    /// Seeds on which R^2 was defined.
    pub n: usize,
    /// Seeds on which r was: of a constant image it is not.
    pub n_r: usize,
}

/// Summarises one machine's figures over seeds.
pub fn agreement_row(figure: &AgreementFigure) -> AgreementRow {
    let r: Vec<f64> = figure.r.iter().flatten().copied().collect();
    let squares: Vec<f64> = r.iter().map(|r| r * r).collect();
    let cod: Vec<f64> = figure.r_squared_cod.iter().flatten().copied().collect();
    AgreementRow {
        machine: figure.machine.clone(),
        r: quartiles(&r),
        r2: quartiles(&squares),
        n: cod.len(),
        n_r: r.len(),
        cod: quartiles(&cod),
    }
}

/// Writes all of the report into `directory`.
pub fn write(directory: &Path, context: &Context<'_>, found: &Comparison) -> io::Result<()> {
    make_folder(directory)?;
    let put = |name: &str, text: String| write_output(&directory.join(name), text.as_bytes());
    put("agreement.csv", agreement_csv(found))?;
    put("rates.csv", rates_csv(found))?;
    put("by_step.csv", by_step_csv(found))?;
    put("predicted_attention.csv", predicted_attention_csv(found))?;
    charts::write(&panels(found), 2, &directory.join("agreement.png")).map_err(io::Error::other)?;
    put("report.md", markdown(context, found))?;
    let samples = &found.samples;
    let sheet =
        picture::contact_sheet(&samples.seeds, &samples.network, &samples.machines, SHEET_ROWS);
    picture::write(&sheet, &directory.join("samples.png"))?;
    // Last: whoever finds it finds the others.
    put("report.json", format!("{:#}\n", to_json(context, found)))?;
    Ok(())
}

fn agreement_csv(found: &Comparison) -> String {
    let mut text = "seed,machine,r,r2,R2\n".to_owned();
    let number = |value: Option<f64>| value.map_or_else(String::new, |v| format!("{v:.6}"));
    for figure in &found.figures {
        for (index, (r, cod)) in figure.r.iter().zip(&figure.r_squared_cod).enumerate() {
            let seed = FIRST_HELD_OUT_SEED + index as u64;
            let square = number(r.map(|r| r * r));
            let (r, cod) = (number(*r), number(*cod));
            text += &format!("{seed},{},{r},{square},{cod}\n", figure.machine);
        }
    }
    text
}

/// `R^2` of x0hat along the network's trajectories, mean over seeds.
fn by_step_csv(found: &Comparison) -> String {
    let mut text = "machine,t,R2,seeds\n".to_owned();
    for steps in &found.by_step {
        for ((t, mean), step) in steps.mean().0.iter().zip(&steps.steps) {
            let n = step.r_squared.len();
            text += &format!("{},{t:.6},{mean:.6},{n}\n", steps.machine);
        }
    }
    text
}

/// Entropy of predicted and measured attention and the correlation of the maps, mean over seeds.
fn predicted_attention_csv(found: &Comparison) -> String {
    let mut text = "machine,t,predicted_nats,measured_nats,r_of_log_maps\n".to_owned();
    for machine in found.by_step.iter().filter(|machine| machine.predicts_attention()) {
        for step in &machine.steps {
            let predicted = step.mean_map(|map| map.predicted_nats);
            let measured = step.mean_map(|map| map.measured_nats);
            let r = step.mean_r_of_logs().map_or_else(String::new, |r| format!("{r:.6}"));
            let t = step.t;
            text += &format!("{},{t:.6},{predicted:.6},{measured:.6},{r}\n", machine.machine);
        }
    }
    text
}

/// What machines predict of the network's attention, in words and numbers.
fn predicted_attention(found: &Comparison) -> String {
    let predictions: Vec<&StepAgreement> =
        found.by_step.iter().filter(|machine| machine.predicts_attention()).collect();
    let Some(first) = predictions.first() else { return String::new() };
    let names: Vec<&str> = predictions.iter().map(|machine| machine.machine.as_str()).collect();
    let heads: Vec<String> =
        names.iter().map(|name| format!("{name}: entropy | r of log maps")).collect();
    let mut text = format!(
        "## Attention predicted without the network\n\nAt the network's own states: mean entropy (nats) and Pearson's r of the logarithms of all weights, against the mean over the network's heads; means over seeds. Over all steps, the r of predicted and measured entropy is {}.\n\n| t | measured entropy | {} |\n| --- | ---{} |\n",
        predictions
            .iter()
            .map(|machine| format!("{} ({})", number(machine.r_of_entropies()), machine.machine))
            .collect::<Vec<_>>()
            .join(", "),
        heads.join(" | "),
        " | --- | ---".repeat(names.len())
    );
    for (at, step) in first.steps.iter().enumerate() {
        let cells: Vec<String> = predictions
            .iter()
            .map(|machine| {
                let step = &machine.steps[at];
                let nats = step.mean_map(|map| map.predicted_nats);
                format!("{nats:.3} | {}", number(step.mean_r_of_logs()))
            })
            .collect();
        let measured = step.mean_map(|map| map.measured_nats);
        text += &format!("| {:.3} | {measured:.3} | {} |\n", step.t, cells.join(" | "));
    }
    text + "\n"
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "undefined".to_owned(), |value| format!("{value:.3}"))
}

/// The machine without attention that others are measured against: the one that pairs with a network's padding, of
/// those that there are; without any, the first.
fn baseline(found: &Comparison) -> Option<&AgreementFigure> {
    let named = |name: &str| found.figures.iter().find(|figure| figure.machine == name);
    ["els", "bbels", "els-interior", "ls"].into_iter().find_map(named).or(found.figures.first())
}

/// Share of seeds on which the r of `figure` is larger than that of `other`, of those where both are defined.
fn share_won(figure: &AgreementFigure, other: &AgreementFigure) -> Option<f64> {
    let pairs = figure.r.iter().zip(&other.r).filter_map(|(a, b)| Some(((*a)?, (*b)?)));
    let (won, n) = pairs.fold((0, 0), |(won, n), (a, b)| (won + usize::from(a > b), n + 1));
    (n > 0).then(|| won as f64 / n as f64)
}

/// Agreement by step, and of final samples against the baseline's seed by seed.
fn panels(found: &Comparison) -> Vec<Panel> {
    let by_step = |(colour, steps): (usize, &StepAgreement)| {
        let points = steps.mean().0;
        Series { name: steps.machine.clone(), colour, points, marks: Marks::Line }
    };
    let steps = Panel {
        title: "x0hat at the network's states: R^2, mean over seeds".to_owned(),
        x: "t (1: pure noise)".to_owned(),
        y_range: Some((-0.5, 1.02)),
        series: found.by_step.iter().enumerate().map(by_step).collect(),
        ..Panel::default()
    };
    let Some(base) = baseline(found) else { return vec![steps] };
    let against = |(colour, figure): (usize, &AgreementFigure)| {
        let pairs = base.r.iter().zip(&figure.r);
        let points = pairs.filter_map(|(base, r)| Some(((*base)?, (*r)?))).collect();
        let series = Series { name: figure.machine.clone(), colour, points, marks: Marks::Dots };
        (figure.machine != base.machine).then_some(series)
    };
    let scatter = Panel {
        title: "final samples: r with the network, a dot a seed".to_owned(),
        x: format!("r of {}", base.machine),
        y: "r of the others".to_owned(),
        series: found.figures.iter().enumerate().filter_map(against).collect(),
        diagonal: true,
        ..Panel::default()
    };
    let mut panels = vec![steps, scatter];
    panels.extend(entropy_panel(found));
    panels
}

/// Entropy of attention over t, measured and predicted.
fn entropy_panel(found: &Comparison) -> Option<Panel> {
    let line = |name: String, colour, steps: &[StepFigures], pick: fn(&MapFigures) -> f64| Series {
        name,
        colour,
        points: steps.iter().map(|step| (step.t, step.mean_map(pick))).collect(),
        marks: Marks::Line,
    };
    let predictions = found.by_step.iter().enumerate();
    let predictions = predictions.filter(|(_, machine)| machine.predicts_attention());
    let mut series: Vec<Series> = predictions
        .clone()
        .map(|(colour, machine)| {
            line(machine.machine.clone(), colour, &machine.steps, |map| map.predicted_nats)
        })
        .collect();
    let (_, first) = predictions.clone().next()?;
    series.push(line("network".into(), 7, &first.steps, |map| map.measured_nats));
    Some(Panel {
        title: "attention entropy at the network's states, nats".to_owned(),
        x: "t (1: pure noise)".to_owned(),
        series,
        ..Panel::default()
    })
}

fn all_rates(found: &Comparison) -> Vec<(&str, &Rates)> {
    let network = found.rates.iter().map(|rates| ("network", rates));
    let machines = found
        .machine_rates
        .iter()
        .filter_map(|(name, rates)| rates.as_ref().map(|rates| (name.as_str(), rates)));
    network.chain(machines).collect()
}

fn rates_csv(found: &Comparison) -> String {
    let mut text = "who,samples,rate,value,low95,high95\n".to_owned();
    for (who, rates) in all_rates(found) {
        for (name, rate) in rates.named() {
            let Rate { value, low, high } = rate;
            text += &format!("{who},{},{name},{value:.4},{low:.4},{high:.4}\n", rates.n_samples);
        }
    }
    text
}

fn quartiles_json(quartiles: &Option<Quartiles>) -> Value {
    quartiles.as_ref().map_or(Value::Null, |q| json!([q.low, q.median, q.high]))
}

fn rates_json(rates: &Rates) -> Value {
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

/// `report.json`, and what `mosaic run --json` prints.
pub fn to_json(context: &Context<'_>, found: &Comparison) -> Value {
    let mut agreement = Map::new();
    let base = baseline(found);
    for (index, figure) in found.figures.iter().enumerate() {
        let row = agreement_row(figure);
        let median = |q: &Option<Quartiles>| q.as_ref().map(|q| q.median);
        let entry = json!({
            "r": median(&row.r),
            "r2": median(&row.r2),
            "R2": median(&row.cod),
            "quartiles": {
                "r": quartiles_json(&row.r),
                "r2": quartiles_json(&row.r2),
                "R2": quartiles_json(&row.cod),
            },
            "n_seeds": row.n,
            "n_seeds_r": row.n_r,
            "won": base.and_then(|base| share_won(figure, base)),
            "r_of_predicted_entropy": found.by_step.get(index).and_then(StepAgreement::r_of_entropies),
            "R2_along_network": found.by_step.get(index).map(|steps| steps.mean().1),
        });
        agreement.insert(row.machine, entry);
    }
    let machine_rates: Map<String, Value> = found
        .machine_rates
        .iter()
        .filter_map(|(name, rates)| Some((name.clone(), rates_json(rates.as_ref()?))))
        .collect();
    let settings: Map<String, Value> = context
        .machines
        .iter()
        .map(|machine| (machine.name.clone(), json!(in_words(&machine.spec))))
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
        "noise_seed": found.noise_seed,
        "first_seed": FIRST_HELD_OUT_SEED,
        "n_seeds": found.n_seeds,
        "judged_seeds": found.rates.as_ref().map(|rates| rates.n_samples),
        "machines": settings,
        "calibration_seeds": context.calibration.map(|found| json!([found.first_seed, found.n_seeds])),
        "agreement": agreement,
        "baseline": base.map(|base| &base.machine),
        "rates": found.rates.as_ref().map(rates_json),
        "machine_rates": machine_rates,
        "mosaics": found.mosaics,
        "attention_entropy_nats": found.entropy.as_ref().and_then(|sum| sum.mean_nats()),
        "attention": found.entropy.as_ref().map(|sum| sum.metrics()),
    })
}

/// A machine's settings as a caption.
fn in_words(spec: &MachineSpec) -> String {
    let k = match &spec.k {
        PatchSize::Fixed(k) => format!("k = {k}"),
        PatchSize::PerStep(scales) => format!("k per step, cleanest first: {scales:?}"),
    };
    match &spec.kind {
        MachineKind::Ideal => "whole training images".to_owned(),
        MachineKind::EquivariantIdeal => "whole training images at every shift".to_owned(),
        MachineKind::Local => format!("patches at the same place, {k}"),
        MachineKind::EquivariantLocal => format!("patches anywhere, wrapping round, {k}"),
        MachineKind::EquivariantLocalInterior => {
            format!("patches anywhere inside, {k}")
        }
        MachineKind::BoundaryBroken => {
            format!("patches with the same overlap with the border, {k}")
        }
        MachineKind::Masked { threshold } => format!(
            "training images at the same place, through masks of the Wiener filter (threshold {threshold})"
        ),
        MachineKind::Composite => format!("overlapping patches at the same place, averaged, {k}"),
        MachineKind::Wiener => "the Gaussian with the data's mean and covariance".to_owned(),
        MachineKind::Attention { pool, settings } => format!(
            "attention machine over {} (this lab's own derivation, not a published formula), attention: {}, {k}",
            pool_in_words(*pool),
            sharing_in_words(settings)
        ),
    }
}

fn pool_in_words(pool: Pool) -> &'static str {
    match pool {
        Pool::Wrap => "wrapped patches",
        Pool::Interior => "patches inside",
        Pool::SamePlace => "patches at the same place",
        Pool::SameBorder => "patches with the same overlap with the border",
    }
}

fn sharing_in_words(settings: &Scheduled<AttentionSettings>) -> String {
    let tau = |settings: &AttentionSettings| match settings.source {
        AttentionSource::Similarity { tau } => Some(tau),
        _ => None,
    };
    match settings {
        Scheduled::Fixed(settings) => format!(
            "{}{}, lambda = {}, gamma = {}",
            settings.source.name(),
            tau(settings).map_or_else(String::new, |tau| format!(" (tau = {tau})")),
            settings.lambda,
            settings.gamma
        ),
        Scheduled::PerStep(all) => {
            let list = |number: &dyn Fn(&AttentionSettings) -> f64| {
                all.iter()
                    .map(|settings| number(settings).to_string())
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            let tau = match all.iter().any(|settings| tau(settings).is_some()) {
                true => format!(", tau {}", list(&|settings| tau(settings).unwrap_or(f64::NAN))),
                false => String::new(),
            };
            format!(
                "{} per step, cleanest first: lambda {}; gamma {}{tau}",
                all.first().map_or("", |settings| settings.source.name()),
                list(&|settings| settings.lambda),
                list(&|settings| settings.gamma)
            )
        }
    }
}

/// The loss in ranges of t, as the rest of a sentence.
fn levels_in_words(levels: &LossByLevel) -> String {
    let words: Vec<String> =
        levels.ranges().map(|(end, loss)| format!("{loss:.5} up to t = {end:.1}")).collect();
    if words.is_empty() { String::new() } else { format!("; by noise level, {}", words.join(", ")) }
}

/// `report.md`.
pub fn markdown(context: &Context<'_>, found: &Comparison) -> String {
    let experiment = context.experiment;
    let last = FIRST_HELD_OUT_SEED + found.n_seeds as u64 - 1;
    let n_judged = found.rates.as_ref().map_or(found.n_seeds, |rates| rates.n_samples);
    let loss = context.final_loss.map_or_else(|| "-".to_owned(), |loss| format!("{loss:.5}"));
    let mut text = format!(
        "# {}\n\nExperiment `{}` ({}), {}{} steps of {} images, {} training images, {} parameters, {}.\nFinal loss {loss}{}.\n\n",
        context.run,
        experiment.name,
        experiment.description,
        context.n_steps,
        match experiment.training.steps as u64 {
            planned if planned != context.n_steps => format!(" of {planned} planned"),
            _ => String::new(),
        },
        experiment.training.batch,
        context.n_training_images,
        context.n_parameters,
        context.device,
        levels_in_words(context.loss_by_level),
    );
    text += &format!(
        "Held-out noise seeds {FIRST_HELD_OUT_SEED} to {last} of noise seed {} (for the network's rates: to {}); {} DDIM steps for network and machines alike.\n\n",
        found.noise_seed,
        FIRST_HELD_OUT_SEED + n_judged as u64 - 1,
        experiment.sampling_steps
    );
    text += &agreement_table(found);
    text += &rates_table(found);
    text += &mosaics_table(found);
    if let Some(sum) = &found.entropy {
        text += &entropy_table(sum);
    }
    text += &predicted_attention(found);
    text += "## Machines\n\n";
    for machine in context.machines {
        text += &format!("- **{}**: {}\n", machine.name, in_words(&machine.spec));
    }
    text += &origin_of_settings(context);
    let n_rows = found.n_seeds.min(SHEET_ROWS);
    text +=
        &format!("\n`samples.png`: the first {n_rows} seeds, a row each; columns: seed, network, ");
    let names: Vec<&str> = context.machines.iter().map(|machine| machine.name.as_str()).collect();
    text += &format!("{}, then machine minus network in the same order.\n", names.join(", "));
    text
}

/// Which seeds the settings have seen, and what the maps of a trajectory give away.
fn origin_of_settings(context: &Context<'_>) -> String {
    let mut text = String::new();
    if let Some(found) = context.calibration {
        let last = found.first_seed + found.n_seeds as u64 - 1;
        text += &format!(
            "\nSettings per step were calibrated on noise seeds {} to {last}, none of which is used above (calibration.png, the run's calibration.json).\n",
            found.first_seed
        );
    }
    let is_trajectory = |machine: &NamedMachine| {
        machine.spec.kind.attention_source() == Some(AttentionSource::Trajectory)
    };
    if context.machines.iter().any(is_trajectory) {
        text += "\nThe source `trajectory` is told where the network looked on its way to the very sample that is predicted, and so which pixels end alike; machines of other sources know the noise seed alone.\n";
    }
    text
}

fn agreement_table(found: &Comparison) -> String {
    let base = baseline(found);
    let name = base.map_or("the first", |base| base.machine.as_str());
    let mut text = format!(
        "## Agreement with the network (median [quartiles] over seeds)\n\n| machine | r | r^2 | R^2 | seeds (R^2) | won against {name} | R^2 of x0hat |\n| --- | --- | --- | --- | --- | --- | --- |\n"
    );
    let cell = |quartiles: &Option<Quartiles>| match quartiles {
        Some(q) => format!("{:.3} [{:.3}, {:.3}]", q.median, q.low, q.high),
        None => "undefined".to_owned(),
    };
    for (index, figure) in found.figures.iter().enumerate() {
        let row = agreement_row(figure);
        let (r, r2, cod) = (cell(&row.r), cell(&row.r2), cell(&row.cod));
        let seeds =
            if row.n_r == row.n { row.n.to_string() } else { format!("{} ({})", row.n_r, row.n) };
        let won = base.filter(|base| base.machine != row.machine);
        let won = won.and_then(|base| share_won(figure, base));
        let won = won.map_or_else(|| "-".to_owned(), |share| format!("{:.0}%", 100.0 * share));
        let steps = found.by_step.get(index);
        let steps = steps.map_or_else(|| "-".to_owned(), |steps| format!("{:.3}", steps.mean().1));
        text += &format!("| {} | {r} | {r2} | {cod} | {seeds} | {won} | {steps} |\n", row.machine);
    }
    text + "\nOf final samples but for the last column, which is the mean over seeds and steps of R^2 of x0hat at the network's own states (by_step.csv, agreement.png).\n\n"
}

/// Rates of the report's table and their headings.
const COLUMNS: [(&str, &str); 7] = [
    ("whole", "whole"),
    ("valid", "valid"),
    ("consistent", "consistent"),
    ("consistent_of_valid", "of valid ones"),
    ("novel", "novel"),
    ("creative", "creative"),
    ("hue_purity", "hue purity"),
];

fn rates_table(found: &Comparison) -> String {
    let rows = all_rates(found);
    if rows.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = COLUMNS.iter().map(|(_, heading)| *heading).collect();
    let mut text = format!(
        "## Judged samples (share [95% interval])\n\n| who | n | {} | chance |\n| --- | ---{} | --- |\n",
        names.join(" | "),
        " | ---".repeat(names.len())
    );
    for (who, rates) in rows {
        let found = rates.named();
        let cell = |(name, _): &(&str, &str)| match found.iter().find(|(other, _)| other == name) {
            Some((_, Rate { value, low, high })) => format!("{value:.2} [{low:.2}, {high:.2}]"),
            None => "-".to_owned(),
        };
        let cells: Vec<String> = COLUMNS.iter().map(cell).collect();
        let chance = rates.chance.map_or_else(|| "-".to_owned(), |chance| format!("{chance:.2}"));
        text += &format!("| {who} | {} | {} | {chance} |\n", rates.n_samples, cells.join(" | "));
    }
    text + "\nWhole: share of components that are a feature of the set. Valid: all of an image's are. Chance: what consistent would be if the same features were dealt to images at random.\n\n"
}

fn mosaics_table(found: &Comparison) -> String {
    let n = found.mosaics.first().map_or(0, |figures| figures.n);
    let mut text = format!(
        "## Mosaics and copies (the first {n} samples of each)\n\n| who | copies | distance | patch centres | leading image | images used | region |\n| --- | --- | --- | --- | --- | --- | --- |\n"
    );
    for figures in &found.mosaics {
        let [share, low, high] = figures.copies;
        text += &format!(
            "| {} | {share:.2} [{low:.2}, {high:.2}] | {} | {:.2} | {:.2} | {:.1} | {:.1} |\n",
            figures.who,
            number(figures.distance),
            figures.centres,
            figures.leading_share,
            figures.images_used,
            figures.region_area
        );
    }
    text + &format!(
        "\nCopies: the nearest training image, over all shifts, is less than a third as far as the second nearest. Distance: to the nearest, root mean square, median. Patch centres: pixels within {SAME_COLOUR} of the centre of their nearest training patch (Kamb & Ganguli, Theorem 4.1). Leading image: share of pixels whose nearest patch comes from the image most used. Region: pixels in a connected region from one image.\n\n"
    )
}

fn entropy_table(sum: &super::entropy::EntropySum) -> String {
    let metrics = sum.metrics();
    let uniform = (metrics.n_pixels as f64).ln();
    let mut text = format!(
        "## Attention along the network's own trajectories\n\nPer head: entropy in nats (uniform attention: {uniform:.3}), mean distance in pixels, the share of all attention that an image's most attended pixel receives and the largest logit (of softmax attention).\n\n| t | entropy | distance | sink | largest logit |\n| --- | --- | --- | --- | --- |\n"
    );
    let list = |values: &[f64]| {
        values.iter().map(|value| format!("{value:.3}")).collect::<Vec<_>>().join(", ")
    };
    for level in &metrics.levels {
        let figures =
            [&level.entropy_nats, &level.distance_pixels, &level.sink, &level.largest_logit];
        let cells = figures.map(|values| list(values)).join(" | ");
        text += &format!("| {:.3} | {cells} |\n", level.t);
    }
    text + "\n"
}
