//! The comparison of networks with each other in files: `networks.md`, `networks.json`, `networks.csv` and `networks.png`.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::network_against_network::{NetworkComparison, NetworkFigures, PairFigures};
use crate::analysis::agreement_over_seeds::PaperFigure;
use crate::analysis::confidence_intervals::Interval;
use crate::config::noise_seed_purposes::NoiseSeeds;
use crate::evaluation::figures_in_paper_units::{CSV_HEAD, HEADINGS};
use crate::evaluation::markdown_table::{Table, cell, number};
use crate::evaluation::spread_over_runs::format_interval;
use crate::files::{make_folder, write_output};
use crate::image::{ImageBatch, contact_sheet, picture_file};

/// Name of the page in a report's folder.
pub const PAGE: &str = "networks.md";
/// Rows of the picture.
const SHEET_ROWS: usize = 12;

impl NetworkComparison {
    /// Writes all files into `folder`, which is made if it is missing; `networks.json` last.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        make_folder(folder).with_context(|| format!("making '{}'", folder.display()))?;
        let put = |name: &str, text: String| {
            let path = folder.join(name);
            write_output(&path, text.as_bytes())
                .with_context(|| format!("writing '{}'", path.display()))
        };
        put(PAGE, self.page())?;
        put("networks.csv", self.csv())?;
        picture_file::write(&self.picture(), &folder.join("networks.png"))?;
        put("networks.json", format!("{:#}\n", self.to_json()))
    }

    /// `networks.md`.
    pub fn page(&self) -> String {
        let seeds = NoiseSeeds::held_out(self.noise.len());
        let heading = format!(
            "# Networks against each other\n\nSamples from held-out noise seeds {} to {}, the same for all.\n\n",
            seeds.first(),
            seeds.last()
        );
        let columns: Vec<&str> =
            self.networks.iter().flat_map(|of| [of.run.as_str(), "its nearest image"]).collect();
        let picture = format!(
            "`networks.png`: the first {} seeds, a row each; columns: seed, {}.\n",
            self.noise.len().min(SHEET_ROWS),
            columns.join(", ")
        );
        heading + &self.pairs_table() + &self.copies_table() + &picture
    }

    fn pairs_table(&self) -> String {
        let mut table = Table::new("Agreement", &["networks", "training images", "over seeds"]);
        table.head.extend(HEADINGS.map(str::to_owned));
        table.head.push("chance (r)".to_owned());
        for pair in &self.pairs {
            for (word, cells) in pair.samples.rows() {
                let first = [self.names(pair), pair.shared.words(), word.to_owned()];
                let chance = [number(pair.chance)];
                table.rows.push(first.into_iter().chain(cells).chain(chance).collect());
            }
        }
        let steps: Vec<String> =
            self.pairs.iter().filter_map(|pair| self.steps_in_words(pair)).collect();
        let steps = match steps.is_empty() {
            true => {
                "No figures by step: a record without trajectories is among them.\n\n".to_owned()
            }
            false => format!("{}\n\n", steps.join("\n")),
        };
        table.section()
            + "\nFinal samples, with 95% intervals over noise seeds; the target of R^2 is the first network. Chance: median r of samples from different noise seeds. networks.csv has x0hat step by step, each network on its own trajectory.\n\n"
            + &steps
    }

    /// Median r of x0hat at the noisiest step, in the middle and at the cleanest; `None` without steps.
    fn steps_in_words(&self, pair: &PairFigures) -> Option<String> {
        let n = pair.by_step.len();
        let at = |i: usize| {
            let (t, figures) = &pair.by_step[i];
            let median = figures.get(PaperFigure::R).and_then(|over| over.median);
            format!(
                "{} at t = {t:.2}",
                cell(median.map(|median| format!("{:.3}", median.estimate)))
            )
        };
        let (last, middle) = (n.checked_sub(1)?, n / 2);
        Some(format!(
            "- {}: median r of x0hat {}, {}, {}.",
            self.names(pair),
            at(last),
            at(middle),
            at(0)
        ))
    }

    fn copies_table(&self) -> String {
        let head = [
            "network",
            "training images",
            "training seed",
            "searched",
            "copies",
            "distance",
            "mean r",
            "median r",
        ];
        let mut table = Table::new("Each network and its own nearest training images", &head);
        for of in &self.networks {
            let images = match of.half {
                "all" => of.n_training_images.to_string(),
                half => format!("{} ({half} half)", of.n_training_images),
            };
            let three = |found: Option<Interval>| {
                cell(found.map(|found| format_interval(found.estimate, Some(found))))
            };
            table.rows.push(vec![
                of.run.clone(),
                images,
                of.training_seed.to_string(),
                of.n_searched.to_string(),
                of.copies.to_string(),
                three(of.distance),
                three(of.mean_r),
                three(of.median_r),
            ]);
        }
        table.section()
            + "\nOver all circular shifts. Copies: the nearest training image is less than a third as far as the second nearest. Distance: root mean square, values in [-1, 1], median. r: Pearson's, of a sample and its nearest training image. Networks of disjoint halves that agree with each other more than with their own images did not learn those images by heart (Kadkhodaie et al., arXiv 2310.02557).\n\n"
    }

    fn names(&self, pair: &PairFigures) -> String {
        format!("{}, {}", self.networks[pair.first].run, self.networks[pair.second].run)
    }

    /// `networks.csv`: one line per pair, step and figure; t is empty for final samples.
    pub fn csv(&self) -> String {
        let mut text = format!("first,second,t,{CSV_HEAD}\n");
        for pair in &self.pairs {
            let [first, second] = [pair.first, pair.second].map(|i| self.networks[i].run.as_str());
            text += &pair.samples.csv(&format!("{first},{second},"));
            for (t, figures) in &pair.by_step {
                text += &figures.csv(&format!("{first},{second},{t:.6}"));
            }
        }
        text
    }

    /// `networks.json`.
    pub fn to_json(&self) -> Value {
        let seeds = NoiseSeeds::held_out(self.noise.len());
        let pair = |pair: &PairFigures| {
            let steps = pair.by_step.iter();
            let steps = steps.map(|(t, figures)| json!({ "t": t, "figures": figures.to_json() }));
            json!({
                "first": self.networks[pair.first].run,
                "second": self.networks[pair.second].run,
                "shared_images": pair.shared.n_shared,
                "same_images": pair.shared.is_same_set,
                "final": pair.samples.to_json(),
                "r": pair.r,
                "by_step": steps.collect::<Vec<Value>>(),
                "chance": pair.chance,
            })
        };
        json!({
            "format": 1,
            "first_seed": seeds.first(),
            "n_seeds": seeds.len(),
            "networks": self.networks.iter().map(network_json).collect::<Vec<Value>>(),
            "pairs": self.pairs.iter().map(pair).collect::<Vec<Value>>(),
        })
    }

    fn picture(&self) -> ::image::RgbImage {
        let rows = self.noise.len().min(SHEET_ROWS);
        let columns: Vec<(String, ImageBatch)> = self
            .networks
            .iter()
            .enumerate()
            .flat_map(|(number, of)| {
                let name = format!("network {}", number + 1);
                let both = [of.samples.slice(0, rows), of.nearest.slice(0, rows)];
                both.into_iter().zip([name, "nearest image".to_owned()])
            })
            .map(|(batch, name)| (name, batch))
            .collect();
        let first = NoiseSeeds::held_out(rows).first();
        contact_sheet::columns((first, &self.noise.slice(0, rows)), &columns, rows)
    }
}

fn network_json(of: &NetworkFigures) -> Value {
    let interval = |found: Interval| json!({ "estimate": found.estimate, "interval95": [found.low, found.high] });
    json!({
        "run": of.run,
        "experiment": of.experiment,
        "half": of.half,
        "n_training_images": of.n_training_images,
        "training_seed": of.training_seed,
        "n_searched": of.n_searched,
        "copies": interval(of.copies),
        "distance": of.distance.map(interval),
        "r_with_nearest": { "mean": of.mean_r.map(interval), "median": of.median_r.map(interval) },
    })
}
