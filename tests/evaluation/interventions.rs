//! Interventions of a report against samples that the test draws itself, and `inspect --change`.

use mosaic_lab::diffusion::{
    Attending, AttentionMaps, DenoiseError, Denoised, Denoiser, NoiseLevel,
};
use mosaic_lab::evaluation::inspect::{Trace, path_of, path_of_changed};
use mosaic_lab::evaluation::network_or_recorded_model::Model;
use mosaic_lab::image::ImageBatch;
use mosaic_lab::random::noise_seeds;
use serde_json::Value;

use crate::common::{Lab, stderr};
use crate::plain::{mean, pearson, sample};
use crate::{check_close, open, printed, train};

const SEEDS: usize = 4;

/// The network with the same map in every head and image.
struct WithMap<'a> {
    network: &'a Model,
    /// Weight from pixel p to r of n.
    weight: fn(usize, usize, usize) -> f32,
}

impl Denoiser for WithMap<'_> {
    fn denoise(&self, x: &ImageBatch, level: NoiseLevel) -> Result<Denoised, DenoiseError> {
        let n = x.shape().n_pixels();
        let heads = self.network.config().attention.unwrap().heads;
        let map: Vec<f32> = (0..n * n).map(|i| (self.weight)(i / n, i % n, n)).collect();
        let maps = AttentionMaps::new(heads, n, map.repeat(heads * x.len()));
        self.network.denoise_with_maps(x, level, &maps)
    }
}

/// One denoiser above a t, another up to it.
struct Exchanged<'a> {
    above: &'a dyn Denoiser,
    up_to: &'a dyn Denoiser,
    t: f64,
}

impl Denoiser for Exchanged<'_> {
    fn denoise(&self, x: &ImageBatch, level: NoiseLevel) -> Result<Denoised, DenoiseError> {
        let one = if level.t > self.t + 1e-6 { self.above } else { self.up_to };
        one.denoise(x, level)
    }
}

fn row<'a>(report: &'a Value, subject: &str, change: &str, t: Option<f64>) -> &'a Value {
    let rows = report["interventions"]["changes"].as_array().unwrap();
    let is_it = |row: &&Value| {
        row["subject"] == subject
            && row["change"] == change
            && t.is_none_or(|t| (row["t"].as_f64().unwrap() - t).abs() < 1e-9)
    };
    rows.iter().find(is_it).unwrap_or_else(|| panic!("{subject} {change} {t:?}"))
}

#[test]
fn interventions_are_those_of_samples_drawn_anew() {
    let lab = Lab::new();
    let run = train(&lab, "els");
    let out = tempfile::tempdir().unwrap();
    let out = out.path().to_str().unwrap();
    let name = run.id();
    let setting = format!("compare.interventions={SEEDS}");
    printed(
        &lab,
        &["compare", &name, "--set", &setting, "--seeds", "2", "--samples", "2", "--out", out],
    );
    let folder = std::path::Path::new(out).join(&name);
    let text = std::fs::read_to_string(folder.join("report.json")).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["interventions"]["theory"], "els");
    assert!(folder.join("interventions.png").exists());
    let csv = std::fs::read_to_string(folder.join("interventions.csv")).unwrap();
    let n_rows = report["interventions"]["changes"].as_array().unwrap().len();
    assert_eq!(csv.lines().count(), n_rows + 1);

    let trained = open(&run, "els");
    let network = &trained.network;
    let machine = trained.machine_set.of_classes("els").unwrap().remove(0);
    let n_steps = trained.machine_set.ddim().n_steps;
    let shape = trained.dataset.shape();
    let seed = |i: usize| noise_seeds(trained.experiment.noise_seed, 1000 + i as u64, 1, shape);
    let mean_r = |a: &dyn Denoiser, b: &dyn Denoiser| {
        let one = |i| {
            let [a, b] = [a, b].map(|denoiser| sample(denoiser, &seed(i), n_steps).sample);
            pearson(&a, &b)
        };
        mean(&(0..SEEDS).map(one).collect::<Vec<f64>>())
    };
    let uniform = WithMap { network, weight: |_, _, n| 1.0 / n as f32 };
    let identity = WithMap { network, weight: |p, r, _| f32::from(u8::from(p == r)) };
    let middle = |above, up_to| Exchanged { above, up_to, t: 0.5 };
    let cases: [(&str, Option<f64>, &dyn Denoiser); 5] = [
        ("identity-maps", None, &identity),
        ("uniform-above", Some(0.0), &uniform),
        ("uniform-above", Some(0.5), &middle(&uniform, network)),
        ("uniform-up-to", Some(0.5), &middle(network, &uniform)),
        ("other-above", Some(0.5), &middle(&machine, network)),
    ];
    for (change, t, denoiser) in cases {
        let found = row(&report, "network", change, t)["r_own"][0].as_f64().unwrap();
        check_close(found, mean_r(denoiser, network), 2e-3, change);
    }
    let other = row(&report, "els", "other-above", Some(0.5));
    let expected = mean_r(&middle(network, &machine), network);
    check_close(other["r_other"][0].as_f64().unwrap(), expected, 2e-3, "els after the network");
    check_close(
        row(&report, "network", "none", None)["r_own"][0].as_f64().unwrap(),
        1.0,
        1e-9,
        "own",
    );
    // A local machine has no attention to be changed.
    let of_els = report["interventions"]["changes"].as_array().unwrap();
    let changes: std::collections::BTreeSet<&str> = of_els
        .iter()
        .filter(|row| row["subject"] == "els")
        .filter_map(|row| row["change"].as_str())
        .collect();
    assert_eq!(changes, ["branches", "none", "other-above"].into());
    // Branches agree the less, the earlier they part.
    let r = |t| row(&report, "network", "branches", Some(t))["r_own"][0].as_f64().unwrap();
    assert!(r(0.25) > r(1.0) + 0.2, "{} {}", r(0.25), r(1.0));
}

#[test]
fn a_change_by_hand_is_traced_beside_the_unchanged_sample() {
    let lab = Lab::new();
    let run = train(&lab, "els");
    let name = run.id();
    let said = printed(&lab, &["inspect", &name, "--seed", "3", "--change", "identity@0.5..1"]);
    assert!(said.contains("network with identity maps at 0.5 < t <= 1: x0hat"), "{said}");
    assert!(!path_of(&run, 3).exists(), "the seed's own trace is another file");
    let trace = Trace::read(&path_of_changed(&run, 3, "identity-0.5-1")).unwrap();
    let find = |name: &str| trace.actors.iter().find(|actor| actor.name == name).unwrap();
    let (own, changed) = (find("network"), find("network with identity maps at 0.5 < t <= 1"));
    let n = trace.shape.n_pixels();
    let maps = changed.maps.as_ref().unwrap();
    for index in 0..trace.n_steps() {
        let row = maps.row(n, index, 0, 5);
        let is_changed = trace.levels[index] > 0.5;
        assert_eq!(row[5] == 1.0, is_changed, "t = {}", trace.levels[index]);
    }
    assert_ne!(own.sample, changed.sample);

    for (change, words) in [
        ("other", "attention-optimal"),
        ("unform", "is no change of attention"),
        ("uniform@0.7..0.2", "must rise"),
    ] {
        let output = lab.mosaic(&["inspect", &name, "--change", change]);
        assert!(!output.status.success() && stderr(&output).contains(words), "{}", stderr(&output));
    }
}
