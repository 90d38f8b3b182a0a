//! The section "In the units of papers" of a report: mean and median over noise seeds of r, r^2, R^2 and the mean squared
//! error, of final samples and of x0hat at every step, and the seconds that a step takes.

use rayon::current_num_threads;
use serde_json::{Map, Value, json};
use strum::VariantArray;

use crate::analysis::agreement_over_seeds::{ImageAgreement, PaperFigure};
use crate::analysis::confidence_intervals::{mean_interval, quartiles};
use crate::evaluation::figures_in_paper_units::{CSV_HEAD, Figures, HEADINGS};
use crate::evaluation::final_comparison_of_a_run::Comparison;
use crate::evaluation::markdown_table::{Table, cell};
use crate::evaluation::samples::step_seconds::MedianStep;
use crate::evaluation::samples::{StatesOf, StepAgreement};
use crate::image::ImageBatch;

/// Figures as papers print them.
pub struct PaperUnits<'a> {
    /// In the order of the comparison.
    pub machines: Vec<MachineInPaperUnits<'a>>,
    network_seconds: Option<MedianStep>,
    network_records_maps: bool,
    /// Noise seeds on which the network was asked at the machines' states.
    n_asked: usize,
    /// Why there are no figures at some states; `None` if there are.
    absent: Option<&'static str>,
    n_threads: usize,
    device: &'a str,
}

/// One machine.
pub struct MachineInPaperUnits<'a> {
    pub name: &'a str,
    /// Of final samples.
    pub samples: Figures,
    /// Of x0hat, cleanest step first; steps without seeds are left out.
    pub steps: Vec<FiguresOfStep>,
    /// Of x0hat over all steps and seeds together.
    overall: Vec<(StatesOf, Overall)>,
    seconds: Option<MedianStep>,
}

/// One step at one kind of states.
pub struct FiguresOfStep {
    pub states: StatesOf,
    pub t: f64,
    pub figures: Figures,
}

/// x0hat over all steps and seeds together.
struct Overall {
    median_r: Option<f64>,
    median_cod: Option<f64>,
    mean_mse: Option<f64>,
}

impl Overall {
    /// `None` without images.
    fn new(steps: &StepAgreement, states: StatesOf) -> Option<Self> {
        let all: Vec<ImageAgreement> =
            steps.steps.iter().flat_map(|step| step.at(states)).copied().collect();
        let values = |figure: PaperFigure| -> Vec<f64> {
            all.iter().filter_map(|image| figure.of(image)).collect()
        };
        let median = |figure| quartiles(&values(figure)).map(|found| found.median);
        (!all.is_empty()).then(|| Self {
            median_r: median(PaperFigure::R),
            median_cod: median(PaperFigure::Cod),
            mean_mse: mean_interval(&values(PaperFigure::Mse)).map(|found| found.estimate),
        })
    }

    fn to_json(&self) -> Value {
        json!({
            "median_r": self.median_r,
            "median_R2": self.median_cod,
            "mean_mse": self.mean_mse,
            "mean_mse01": self.mean_mse.map(|mse| mse / 4.0),
        })
    }
}

impl<'a> MachineInPaperUnits<'a> {
    fn new(
        name: &'a str,
        made: &ImageBatch,
        network: &ImageBatch,
        steps: Option<&StepAgreement>,
    ) -> Self {
        let samples: Vec<ImageAgreement> =
            made.iter().zip(network.iter()).map(|(m, n)| ImageAgreement::of(m, n)).collect();
        let kinds = || StatesOf::VARIANTS.iter().copied();
        let by_step = kinds().flat_map(|states| {
            let some = steps.iter().flat_map(|steps| &steps.steps);
            let some = some.filter(move |step| !step.at(states).is_empty());
            some.map(move |step| FiguresOfStep {
                states,
                t: step.t,
                figures: Figures::of(step.at(states)),
            })
        });
        Self {
            name,
            samples: Figures::of(&samples),
            steps: by_step.collect(),
            overall: kinds()
                .filter_map(|states| Some((states, Overall::new(steps?, states)?)))
                .collect(),
            seconds: steps.and_then(|steps| steps.seconds.median()),
        }
    }
}

impl<'a> PaperUnits<'a> {
    /// Of a comparison that `device` made; `is_record` if the model is known by its record alone.
    pub fn new(comparison: &'a Comparison, device: &'a str, is_record: bool) -> Self {
        let by_step = &comparison.by_step;
        let samples = &comparison.samples;
        let machine = |(index, (name, made)): (usize, &'a (String, ImageBatch))| {
            let steps = by_step.machines.get(index);
            MachineInPaperUnits::new(name, made, &samples.network, steps)
        };
        let is_known =
            |machine: &StepAgreement| machine.steps.iter().any(|step| !step.at_network.is_empty());
        let has_steps = by_step.machines.iter().any(is_known);
        let absent = match (has_steps, is_record) {
            (false, true) => Some("the record holds final samples and no trajectories"),
            (true, true) => {
                Some("the model is a record, which has no answers at the machines' states")
            }
            _ if by_step.n_asked == 0 => Some("compare.states is 0"),
            _ => None,
        };
        Self {
            machines: samples.machines.iter().enumerate().map(machine).collect(),
            network_seconds: by_step.network_seconds.median(),
            network_records_maps: comparison.attention.is_some(),
            n_asked: by_step.n_asked,
            absent,
            n_threads: current_num_threads(),
            device,
        }
    }

    /// The section of the page; nothing without machines.
    pub fn section(&self) -> String {
        if self.machines.is_empty() {
            return String::new();
        }
        let mut table = Table::new("In the units of papers", &["machine", "over seeds"]);
        table.head.extend(HEADINGS.map(str::to_owned));
        for machine in &self.machines {
            for (word, cells) in machine.samples.rows() {
                let first = [machine.name.to_owned(), word.to_owned()].into_iter();
                table.rows.push(first.chain(cells).collect());
            }
        }
        table.section() + DEFINITIONS + &self.steps_table() + &self.seconds_table()
    }

    /// x0hat over all steps and seeds, at each kind of states.
    fn steps_table(&self) -> String {
        let head = [
            "machine",
            "states",
            "median r",
            "median R^2",
            "mean MSE, [-1, 1]",
            "mean MSE, [0, 1]",
        ];
        let mut table = Table::new("", &head);
        for machine in &self.machines {
            for (states, found) in &machine.overall {
                let three = |value: Option<f64>| cell(value.map(|value| format!("{value:.3}")));
                let four = |value: Option<f64>| cell(value.map(|value| format!("{value:.4}")));
                table.rows.push(vec![
                    machine.name.to_owned(),
                    states_in_words(*states).to_owned(),
                    three(found.median_r),
                    three(found.median_cod),
                    four(found.mean_mse),
                    four(found.mean_mse.map(|mse| mse / 4.0)),
                ]);
            }
        }
        let reason = self.absent.map_or_else(
            || format!(" The network was asked at the machine's states on {} seeds.", self.n_asked),
            |why| format!(" Without the states that are missing: {why}."),
        );
        if table.rows.is_empty() {
            return format!(
                "No figures along trajectories: {}.\n\n",
                self.absent.unwrap_or("there are no steps")
            );
        }
        format!(
            "x0hat along whole trajectories, over all steps and seeds together; units_of_papers.csv has it step by step, with intervals over seeds.{reason}\n\n{}\n",
            table.markdown()
        )
    }

    fn seconds_table(&self) -> String {
        let mut table =
            Table::new("", &["who", "ms a step", "images at once", "ms a step and image"]);
        let network = self.network_seconds.map(|found| ("network", found));
        let machines = self.machines.iter();
        let machines = machines.filter_map(|machine| Some((machine.name, machine.seconds?)));
        for (who, found) in network.into_iter().chain(machines) {
            let each = found.seconds / found.batch as f64;
            table.rows.push(vec![
                who.to_owned(),
                format!("{:.2}", 1e3 * found.seconds),
                found.batch.to_string(),
                format!("{:.3}", 1e3 * each),
            ]);
        }
        if table.rows.is_empty() {
            return String::new();
        }
        let maps = match self.network_records_maps && self.network_seconds.is_some() {
            true => {
                " The network records its attention maps meanwhile, which costs time of its own."
            }
            false => "",
        };
        format!(
            "Time of a step while these samples were made, median over steps, wall clock, {} threads, {}: of this computer and what else it was doing, not of the methods.{maps}\n\n{}\n",
            self.n_threads,
            self.device,
            table.markdown()
        )
    }

    /// `units_of_papers.csv`: one line per machine, states, step and figure; `final` and an empty t for final samples, empty
    /// ends for intervals that are unbounded.
    pub fn csv(&self) -> String {
        let mut text = format!("machine,states,t,{CSV_HEAD}\n");
        for machine in &self.machines {
            text += &machine.samples.csv(&format!("{},final,", machine.name));
            for step in &machine.steps {
                let word: &str = step.states.into();
                let place = format!("{},{word},{:.6}", machine.name, step.t);
                text += &step.figures.csv(&place);
            }
        }
        text
    }

    /// In `report.json`: final samples, and x0hat over all steps and seeds together.
    pub fn to_json(&self) -> Value {
        let machine = |machine: &MachineInPaperUnits<'_>| {
            let along = machine.overall.iter();
            let along =
                along.map(|(states, found)| (<&str>::from(states).to_owned(), found.to_json()));
            let found = json!({
                "final": machine.samples.to_json(),
                "along": along.collect::<Map<String, Value>>(),
                "seconds": machine.seconds.map(seconds),
            });
            (machine.name.to_owned(), found)
        };
        json!({
            "machines": self.machines.iter().map(machine).collect::<Map<String, Value>>(),
            "network_seconds": self.network_seconds.map(seconds),
            "network_records_maps": self.network_records_maps,
            "seeds_at_machine_states": self.n_asked,
            "absent": self.absent,
            "threads": self.n_threads,
        })
    }
}

const DEFINITIONS: &str = "\nOf final samples, with 95% intervals over noise seeds; the network's image is the target. r: Pearson's of one image. R^2 = 1 - sum of squared errors / sum of squared deviations of one image. MSE: per value, of values in [-1, 1] and on [0, 1], a quarter of it. Papers print one of these as r^2: Kamb & Ganguli's script the median of r, GoldDiff's the mean of R^2 and the MSE on [0, 1].\n\n";

fn states_in_words(states: StatesOf) -> &'static str {
    match states {
        StatesOf::Own => "each its own",
        StatesOf::Network => "the network's",
        StatesOf::Machine => "the machine's",
    }
}

fn seconds(found: MedianStep) -> Value {
    json!({ "step": found.seconds, "batch": found.batch, "steps": found.n })
}
