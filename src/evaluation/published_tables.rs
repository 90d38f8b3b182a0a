//! Published tables that a report can stand beside, and what a report would need to.
//!
//! Only figures that were read in the named source are here. Networks, noise schedules and preprocessing of those papers
//! differ from ours in ways that their figures do not tell, so a table is shown beside a report, never as its expectation.

use crate::config::Experiment;
use crate::image::ImageShape;

/// One data set of one paper.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PublishedTable {
    pub paper: &'static str,
    /// Where the figures were read.
    pub source: &'static str,
    pub data_set: &'static str,
    /// Words in the path or the name of a data set that stand for it.
    names: &'static [&'static str],
    image: ImageShape,
    /// Number of training images; `None` if the source does not say.
    n_training_images: Option<usize>,
    pub sampling_steps: usize,
    pub n_samples: usize,
    /// The network, as far as the source describes it.
    pub network: &'static str,
    pub rows: &'static [PublishedRow],
}

/// One method; the network is the target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PublishedRow {
    pub method: &'static str,
    /// Our machines that are that method or the nearest to it, the nearest first.
    pub machines: &'static [&'static str],
    /// Mean over samples, of values in [0, 1].
    pub mse01: f64,
    /// Mean over samples of R^2 of each (`r^2` in the paper).
    pub cod: f64,
    /// A step, on a GPU that the source does not name.
    pub seconds: f64,
}

/// A report's own conditions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions<'a> {
    pub run: &'a str,
    pub experiment: &'a Experiment,
    pub image: ImageShape,
    pub n_training_images: usize,
    pub n_samples: usize,
}

const PAPER: &str =
    "GoldDiff (Shang et al., Fast and scalable analytical diffusion, arXiv 2602.16498)";
const SOURCE: &str = "docs/results_quantitative.png and services/evaluation.py of github.com/shangxinyi/GoldDiff at 4c0ba1d";
const NETWORK: &str = "DDPM UNet without self-attention";

const OPTIMAL: &[&str] = &["ideal"];
const WIENER: &[&str] = &["wiener"];
const KAMB: &[&str] = &["bbels", "els"];
const PCA: &[&str] = &["ls-wiener"];
const GOLDEN: &[&str] = &["subset"];

const fn row(
    method: &'static str,
    machines: &'static [&'static str],
    [mse01, cod, seconds]: [f64; 3],
) -> PublishedRow {
    PublishedRow { method, machines, mse01, cod, seconds }
}

/// GoldDiff's tables: 128 samples of 10 DDIM steps each.
pub const TABLES: [PublishedTable; 3] = [
    PublishedTable {
        paper: PAPER,
        source: SOURCE,
        data_set: "CIFAR-10",
        names: &["cifar10", "cifar-10", "cifar_10"],
        image: ImageShape { channels: 3, height: 32, width: 32 },
        n_training_images: Some(50_000),
        sampling_steps: 10,
        n_samples: 128,
        network: NETWORK,
        rows: &[
            row("Optimal", OPTIMAL, [0.030, -0.401, 2.353]),
            row("Wiener", WIENER, [0.008, 0.553, 0.011]),
            row("Kamb", KAMB, [0.011, 0.411, 5.980]),
            row("PCA", PCA, [0.008, 0.670, 2.802]),
            row("GoldDiff", GOLDEN, [0.007, 0.683, 0.087]),
        ],
    },
    PublishedTable {
        paper: PAPER,
        source: SOURCE,
        data_set: "CelebA-HQ",
        names: &["celeba-hq", "celeba_hq", "celebahq"],
        image: ImageShape { channels: 3, height: 64, width: 64 },
        n_training_images: None,
        sampling_steps: 10,
        n_samples: 128,
        network: NETWORK,
        rows: &[
            row("Optimal", OPTIMAL, [0.021, 0.010, 1.244]),
            row("Wiener", WIENER, [0.012, 0.781, 0.153]),
            row("Kamb", KAMB, [0.011, 0.720, 37.158]),
            row("PCA", PCA, [0.009, 0.802, 6.040]),
            row("GoldDiff", GOLDEN, [0.008, 0.836, 0.349]),
        ],
    },
    PublishedTable {
        paper: PAPER,
        source: SOURCE,
        data_set: "AFHQ",
        names: &["afhq"],
        image: ImageShape { channels: 3, height: 64, width: 64 },
        n_training_images: None,
        sampling_steps: 10,
        n_samples: 128,
        network: NETWORK,
        rows: &[
            row("Optimal", OPTIMAL, [0.039, -0.713, 0.642]),
            row("Wiener", WIENER, [0.010, 0.687, 0.156]),
            row("Kamb", KAMB, [0.034, 0.576, 15.094]),
            row("PCA", PCA, [0.008, 0.703, 24.896]),
            row("GoldDiff", GOLDEN, [0.007, 0.731, 0.351]),
        ],
    },
];

/// The table of a report's data set, which is recognised by its shape and by the name of its files or of the experiment;
/// `None` if there is none.
pub fn table_of(conditions: &Conditions<'_>) -> Option<&'static PublishedTable> {
    let Conditions { experiment, image, .. } = *conditions;
    if !experiment.dataset.kind.is_read() {
        return None;
    }
    let path = experiment.dataset.path.as_deref().map(|path| path.to_string_lossy().to_lowercase());
    let words = format!("{} {}", experiment.name, path.unwrap_or_default()).to_lowercase();
    // CIFAR-100 has the same shape, and 'cifar-10' begins its name.
    let words = words.replace("cifar-100", "").replace("cifar100", "").replace("cifar_100", "");
    let is_of = |table: &&PublishedTable| {
        table.image == image && table.names.iter().any(|name| words.contains(name))
    };
    TABLES.iter().find(is_of)
}

impl PublishedTable {
    /// What keeps a report of this data set from standing beside the table, each with what to do; empty if nothing does.
    pub fn differences(&self, conditions: &Conditions<'_>) -> Vec<String> {
        let Conditions { run, experiment, n_training_images, n_samples, .. } = *conditions;
        let mut found = Vec::new();
        let mut flags = String::new();
        if n_samples != self.n_samples {
            found.push(format!("{n_samples} samples here, {} there", self.n_samples));
            flags += &format!(" --seeds {}", self.n_samples);
        }
        if experiment.sampling_steps != self.sampling_steps {
            found.push(format!(
                "{} steps here, {} there",
                experiment.sampling_steps, self.sampling_steps
            ));
            flags += &format!(" --set diffusion.sampling_steps={}", self.sampling_steps);
        }
        if !flags.is_empty() {
            found.push(format!("set by: mosaic compare {run}{flags}"));
        }
        if let Some(n) = self.n_training_images.filter(|n| *n != n_training_images) {
            found.push(format!(
                "{n_training_images} training images here, {n} there (another run, with dataset.n = 0)"
            ));
        }
        if experiment.network.conditional {
            found.push(
                "a network with classes here, without there (another run, with network.conditional = false)"
                    .to_owned(),
            );
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn experiment(pairs: &[&str]) -> Experiment {
        let mut experiment = Experiment::default();
        let pairs: Vec<String> = pairs.iter().map(|pair| (*pair).to_owned()).collect();
        experiment.set_pairs(&pairs).unwrap();
        experiment
    }

    fn conditions(experiment: &Experiment) -> Conditions<'_> {
        let image = ImageShape::new(3, 32, 32);
        Conditions { run: "r-1", experiment, image, n_training_images: 50_000, n_samples: 128 }
    }

    #[test]
    fn a_data_set_is_recognised_by_its_shape_and_name() {
        let ten = experiment(&["dataset.kind=cifar", "dataset.path=data/cifar-10-binary.tar.gz"]);
        let found = table_of(&conditions(&ten)).unwrap();
        assert_eq!(found.data_set, "CIFAR-10");
        let small = Conditions { image: ImageShape::new(3, 16, 16), ..conditions(&ten) };
        assert!(table_of(&small).is_none());
        let hundred = experiment(&["dataset.kind=cifar", "dataset.path=cifar-100-binary.tar.gz"]);
        assert!(table_of(&conditions(&hundred)).is_none());
        let drawn = experiment(&[]);
        assert!(table_of(&conditions(&drawn)).is_none());
        let faces = experiment(&["dataset.kind=folder", "dataset.path=data/celeba_hq"]);
        let faces = Conditions { image: ImageShape::new(3, 64, 64), ..conditions(&faces) };
        assert_eq!(table_of(&faces).unwrap().data_set, "CelebA-HQ");
    }

    #[test]
    fn differences_say_what_to_set() {
        let path = "dataset.path=cifar10";
        let same = experiment(&["dataset.kind=cifar", path, "diffusion.sampling_steps=10"]);
        let same = conditions(&same);
        assert_eq!(TABLES[0].differences(&same), Vec::<String>::new());
        let other = experiment(&["dataset.kind=cifar", path, "diffusion.sampling_steps=20"]);
        let other = Conditions { n_samples: 32, n_training_images: 900, ..conditions(&other) };
        let found = TABLES[0].differences(&other).join("; ");
        let command = "mosaic compare r-1 --seeds 128 --set diffusion.sampling_steps=10";
        assert!(
            found.contains(command) && found.contains("900 training images here, 50000 there"),
            "{found}"
        );
    }
}
