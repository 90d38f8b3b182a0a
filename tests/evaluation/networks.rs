//! `compare --with`: networks of disjoint halves against each other, with figures drawn anew; networks that were not asked the
//! same question are refused.

use std::collections::BTreeSet;

use mosaic_lab::random::noise_seeds;
use mosaic_lab::runs::run_dir::RunDir;
use serde_json::Value;

use crate::common::{Lab, stderr, stdout};
use crate::plain::{Trajectory, mean, pearson, quantile, r_squared, sample, squared_error};
use crate::{check_close, open, printed};

const N: usize = 6;
const T: usize = 4;

/// A network of a few steps' training; `more` are further settings.
fn train(lab: &Lab, more: &[&str]) -> RunDir {
    let settings = [
        "dataset.n=8",
        "dataset.size=12",
        "dataset.gap=3",
        "training.steps=40",
        "preview.every=0",
        "compare.seeds=1",
        "compare.floor_draws=0",
        "calibrate.seeds=0",
        "diffusion.sampling_steps=4",
        "theory.machines=els",
    ];
    let output = lab.run("glyphs-cnn", &[&settings[..], more].concat(), &["--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    RunDir::open(lab.runs().join(report["run"].as_str().unwrap()))
}

#[test]
fn networks_of_disjoint_halves_are_compared_on_the_same_noise() {
    let lab = Lab::new();
    let first = train(&lab, &["dataset.half=first"]);
    let second = train(&lab, &["dataset.half=second"]);
    let again = train(&lab, &["dataset.half=first", "training.seed=1"]);
    let runs = [&first, &second, &again];
    let ids = runs.map(RunDir::id);
    let arguments = ["compare", &ids[0], "--with", &ids[1], &ids[2], "--seeds", "6", "--json"];
    let found: Value = serde_json::from_str(&printed(&lab, &arguments)).unwrap();

    let opened = runs.map(|run| open(run, "els"));
    let images = opened.each_ref().map(|trained| {
        let data = &trained.dataset;
        (0..data.len()).map(|i| data.image(i).to_vec()).collect::<BTreeSet<_>>()
    });
    assert!(images[0].is_disjoint(&images[1]) && images[0] == images[2]);
    let ways: Vec<Vec<Trajectory>> = opened
        .iter()
        .map(|trained| {
            let noise = |i: usize| noise_seeds(0, 1000 + i as u64, 1, trained.dataset.shape());
            (0..N).map(|i| sample(&trained.network, &noise(i), T)).collect()
        })
        .collect();
    for (at, (a, b)) in [(0, 1), (0, 2), (1, 2)].into_iter().enumerate() {
        let pair = &found["pairs"][at];
        assert_eq!(
            (&pair["first"], &pair["second"]),
            (&ids[a].clone().into(), &ids[b].clone().into())
        );
        let is_same = (a, b) == (0, 2);
        assert_eq!(pair["same_images"], is_same);
        assert_eq!(pair["shared_images"], if is_same { 8 } else { 0 });
        let each = |of: &dyn Fn(&Trajectory, &Trajectory) -> f64| -> Vec<f64> {
            ways[b].iter().zip(&ways[a]).map(|(made, target)| of(made, target)).collect()
        };
        let check = |figures: &Value, name: &str, values: &[f64]| {
            let what = format!("{a}, {b}, {name}");
            let estimate = |key: &str| figures[name][key]["estimate"].as_f64().unwrap();
            check_close(estimate("mean"), mean(values), 1e-4, &what);
            check_close(estimate("median"), quantile(values, 0.5), 1e-4, &what);
        };
        let samples = &pair["final"];
        check(samples, "r", &each(&|made, target| pearson(&made.sample, &target.sample)));
        check(samples, "R2", &each(&|made, target| r_squared(&made.sample, &target.sample)));
        check(samples, "mse", &each(&|made, target| squared_error(&made.sample, &target.sample)));
        for step in 0..T {
            let found = &pair["by_step"][step];
            check_close(found["t"].as_f64().unwrap(), (step + 1) as f64 / T as f64, 1e-9, "t");
            let of =
                |made: &Trajectory, own: &Trajectory| squared_error(&made.x0[step], &own.x0[step]);
            check(&found["figures"], "mse", &each(&of));
        }
        let others = (0..N).flat_map(|i| (0..N).filter(move |&j| i != j).map(move |j| (i, j)));
        let chance: Vec<f64> =
            others.map(|(i, j)| pearson(&ways[a][i].sample, &ways[b][j].sample)).collect();
        check_close(pair["chance"].as_f64().unwrap(), quantile(&chance, 0.5), 1e-4, "chance");
    }
    check_nearest(&found, &images.map(Vec::from_iter), &ways);

    let folder = first.report_path();
    let text = std::fs::read_to_string(folder.join("networks.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), found);
    let lines = std::fs::read_to_string(folder.join("networks.csv")).unwrap().lines().count();
    assert_eq!(lines, 1 + 3 * (1 + T) * 5);
    assert!(folder.join("networks.png").is_file());
    let page = printed(&lab, &["report", &ids[0]]);
    for words in
        ["# Networks against each other", "no image in common", "the same images", "(second half)"]
    {
        assert!(page.contains(words), "{words}: {page}");
    }
}

/// The distance to the nearest training image over all shifts, and its correlation with the sample.
fn check_nearest(found: &Value, images: &[Vec<Vec<u8>>; 3], ways: &[Vec<Trajectory>]) {
    const SIDE: usize = 12;
    for (at, (images, ways)) in images.iter().zip(ways).enumerate() {
        let mut distances = Vec::new();
        let mut r = Vec::new();
        for way in ways {
            let shifts = (0..SIDE * SIDE).map(|shift| (shift / SIDE, shift % SIDE));
            let moved = images.iter().flat_map(|image| {
                shifts.clone().map(move |(down, right)| -> Vec<f64> {
                    let value = |i: usize| {
                        let (c, y, x) = (i / (SIDE * SIDE), i / SIDE % SIDE, i % SIDE);
                        let (y, x) = ((y + SIDE - down) % SIDE, (x + SIDE - right) % SIDE);
                        f64::from(image[(c * SIDE + y) * SIDE + x]) / 127.5 - 1.0
                    };
                    (0..3 * SIDE * SIDE).map(value).collect()
                })
            });
            let least = moved
                .map(|image| (squared_error(&image, &way.sample), image))
                .min_by(|a, b| a.0.total_cmp(&b.0))
                .unwrap();
            distances.push(least.0.sqrt());
            r.push(pearson(&least.1, &way.sample));
        }
        let network = &found["networks"][at];
        let estimate = |value: &Value| value["estimate"].as_f64().unwrap();
        check_close(estimate(&network["distance"]), quantile(&distances, 0.5), 1e-4, "distance");
        check_close(estimate(&network["r_with_nearest"]["mean"]), mean(&r), 1e-3, "mean r");
        check_close(
            estimate(&network["r_with_nearest"]["median"]),
            quantile(&r, 0.5),
            1e-3,
            "median r",
        );
    }
}

#[test]
fn networks_that_were_not_asked_the_same_are_refused() {
    let lab = Lab::new();
    let first = train(&lab, &[]).id();
    let refused = |arguments: &[&str], words: &[&str]| {
        let output = lab.mosaic(arguments);
        let error = stderr(&output);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(words.iter().all(|words| error.contains(words)), "{error}");
    };
    for (setting, words) in [
        ("dataset.size=14", "images of '3x12x12' against '3x14x14'"),
        ("diffusion.schedule=ddpm-linear", "noise schedule 'cosine' against 'ddpm-linear'"),
        ("diffusion.sampling_steps=3", "--set diffusion.sampling_steps=N"),
        ("diffusion.noise_seed=7", "noise seed '0' against '7'"),
    ] {
        let other = train(&lab, &[setting]).id();
        refused(&["compare", &first, "--with", &other], &[&first, &other, words]);
        if setting.contains("noise_seed") {
            let set = ["--seeds", "2", "--set", "diffusion.noise_seed=3"];
            printed(&lab, &[&["compare", &first, "--with", &other], &set[..]].concat());
        }
    }
    refused(&["compare", &first, "--with", &first], &["named twice"]);
    refused(&["compare", &first, "--with", "nobody"], &["nobody"]);
    refused(&["compare", &first, "--with", &first, "--at-step", "3"], &["--at-step"]);
    let needed = lab.run("glyphs-cnn", &["dataset.n=4000", "dataset.half=second"], &[]);
    let error = stderr(&needed);
    assert!(
        !needed.status.success()
            && error.contains("two disjoint halves of 'glyphs-cnn' need '8000'"),
        "{error}"
    );
}
