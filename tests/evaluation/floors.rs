//! Floors and excess against Monte Carlo with the test's own noise and posteriors written down from their definitions.

use mosaic_lab::dataset::Dataset;
use mosaic_lab::diffusion::Denoiser;
use mosaic_lab::image::ImageBatch;
use mosaic_lab::random::noise_seeds;
use serde_json::Value;

use crate::common::Lab;
use crate::plain::{level, mean, squared_error};
use crate::{open, printed, train};

/// A mean and its standard error.
struct Estimate(f64, f64);

fn estimate(values: &[f64]) -> Estimate {
    let (n, centre) = (values.len() as f64, mean(values));
    let variance = values.iter().map(|v| (v - centre).powi(2)).sum::<f64>() / (n - 1.0);
    Estimate(centre, (variance / n).sqrt())
}

#[track_caller]
fn check_equal(found: &Value, expected: &Estimate, what: &str) {
    let (mse, se) = (found["mse"].as_f64().unwrap(), found["se"].as_f64().unwrap());
    let limit = 5.0 * (se.powi(2) + expected.1.powi(2)).sqrt() + 1e-7;
    assert!(
        (mse - expected.0).abs() < limit,
        "{what}: {mse} ({se}), {} ({})",
        expected.0,
        expected.1
    );
}

/// Images with values in [-1, 1].
fn images(dataset: &Dataset) -> Vec<Vec<f64>> {
    dataset.batch(0, dataset.len()).iter().map(<[f64]>::to_vec).collect()
}

/// The posterior mean over `candidates`: for each, what is compared with the noisy values, and what it would make of the
/// clean ones.
fn posterior_mean(candidates: &[(Vec<f64>, Vec<f64>)], noisy: &[f64], abar: f64) -> Vec<f64> {
    let logit = |(seen, _): &(Vec<f64>, Vec<f64>)| -> f64 {
        let pairs = seen.iter().zip(noisy);
        -pairs.map(|(c, x)| (x - abar.sqrt() * c).powi(2)).sum::<f64>() / (2.0 * (1.0 - abar))
    };
    let logits: Vec<f64> = candidates.iter().map(logit).collect();
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let n = candidates[0].1.len();
    (0..n)
        .map(|v| candidates.iter().zip(&weights).map(|(c, w)| w * c.1[v]).sum::<f64>() / sum)
        .collect()
}

/// The values of a square of side k around a pixel, with wrap-around, all channels.
fn patch(image: &[f64], side: usize, k: usize, (row, column): (usize, usize)) -> Vec<f64> {
    let mut values = Vec::new();
    for channel in 0..3 {
        for down in 0..k {
            for right in 0..k {
                let r = (row + side + down - k / 2) % side;
                let c = (column + side + right - k / 2) % side;
                values.push(image[(channel * side + r) * side + c]);
            }
        }
    }
    values
}

fn shifted(image: &[f64], side: usize, by: (usize, usize)) -> Vec<f64> {
    let mut moved = vec![0.0; image.len()];
    for channel in 0..3 {
        for row in 0..side {
            for column in 0..side {
                let to = ((row + by.0) % side) * side + (column + by.1) % side;
                moved[channel * side * side + to] = image[(channel * side + row) * side + column];
            }
        }
    }
    moved
}

#[test]
fn floors_are_errors_of_posterior_means() {
    const SIDE: usize = 12;
    const K: usize = 3;
    let lab = Lab::new();
    let settings =
        ["dataset.n=3", "dataset.size=12", "dataset.glyph=3", "dataset.gap=3", "dataset.shapes=4"];
    let mut arguments = vec!["theory", "glyphs-attention", "--floors", "--json", "--t", "0.5,0.8"];
    arguments.extend(["--k", "3", "--draws", "300"]);
    settings.iter().for_each(|pair| arguments.extend(["--set", pair]));
    let text = printed(&lab, &arguments);
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);

    let set = mosaic_lab::dataset::CraftedSet {
        kind: mosaic_lab::dataset::CraftedKind::Glyphs(mosaic_lab::dataset::Glyphs {
            size: SIDE,
            gap: 3,
            ..Default::default()
        }),
        n: 3,
        seed: 0,
    };
    let dataset = set.generate("test").unwrap();
    let training = images(&dataset);
    let places = || (0..SIDE).flat_map(|row| (0..SIDE).map(move |column| (row, column)));
    let whole: Vec<_> = training.iter().map(|image| (image.clone(), image.clone())).collect();
    let moved: Vec<_> = training
        .iter()
        .flat_map(|image| places().map(|by| shifted(image, SIDE, by)))
        .map(|image| (image.clone(), image))
        .collect();
    let patches: Vec<_> = training
        .iter()
        .flat_map(|image| places().map(|at| (patch(image, SIDE, K, at), patch(image, SIDE, 1, at))))
        .collect();
    for (line, t) in lines.iter().zip([0.5, 0.8]) {
        let abar = level(t).abar;
        assert_eq!(line["t"].as_f64(), Some(t));
        let (mut ideal, mut es, mut els) = (Vec::new(), Vec::new(), Vec::new());
        for draw in 0..45 {
            let clean = &training[draw % 3];
            let noise = noise_seeds(77, draw as u64, 1, dataset.shape()).into_values();
            let noisy: Vec<f64> = clean
                .iter()
                .zip(&noise)
                .map(|(x, e)| abar.sqrt() * x + (1.0 - abar).sqrt() * e)
                .collect();
            ideal.push(squared_error(&posterior_mean(&whole, &noisy, abar), clean));
            // Moving the image moves the estimates of es and els: the errors need no moved images.
            es.push(squared_error(&posterior_mean(&moved, &noisy, abar), clean));
            let mut local = vec![0.0; clean.len()];
            for at in places() {
                let colour = posterior_mean(&patches, &patch(&noisy, SIDE, K, at), abar);
                (0..3).for_each(|c| local[(c * SIDE + at.0) * SIDE + at.1] = colour[c]);
            }
            els.push(squared_error(&local, clean));
        }
        for (name, errors) in [("ideal", ideal), ("es", es), ("els", els)] {
            check_equal(&line[name], &estimate(&errors), &format!("{name} at {t}"));
        }
    }
}

#[test]
fn a_report_says_how_far_the_network_is_above_its_floor() {
    let lab = Lab::new();
    let run = train(&lab, "els");
    let mut arguments = vec!["compare", "--uncalibrated", "--seeds", "2", "--samples", "2"];
    let id = run.id();
    arguments.extend([&id, "--set", "theory.machines=els", "--set", "compare.floor_draws=512"]);
    printed(&lab, &arguments);
    let report: Value = serde_json::from_str(
        &std::fs::read_to_string(run.report_path().join("report.json")).unwrap(),
    )
    .unwrap();
    let floors = &report["floors"];
    assert_eq!(floors["class_floor"], "els");
    assert_eq!((floors["patch_size"].as_u64(), floors["draws"].as_u64()), (Some(7), Some(512)));
    let levels = floors["levels"].as_array().unwrap();
    assert_eq!(levels.len(), 10);
    let trained = open(&run, "els");
    let network = trained.network.clone().clamped(false);
    let csv = std::fs::read_to_string(run.report_path().join("floors.csv")).unwrap();
    let picture = image::open(run.report_path().join("floors.png")).unwrap();
    assert!(picture.width() > 1000, "two panels: {picture:?}");
    let number = |value: &Value| value.as_f64().unwrap();
    let (mut is_converged, mut is_close) = (true, true);
    for entry in levels {
        let t = number(&entry["t"]);
        let (excess, floor) = (number(&entry["excess"]["mse"]), number(&entry["els"]["mse"]));
        // Floors are kept with seven digits.
        assert!((number(&entry["network"]["mse"]) - floor - excess).abs() < 1e-6, "{entry}");
        // At pure noise the clean estimate does not count.
        let counts = t < 1.0;
        let noise = 2.5 * number(&entry["excess"]["se"]);
        let is_within = |limit: f64| excess <= limit + noise.min(limit);
        is_converged &= !counts || is_within(f64::max(0.001, 0.15 * floor));
        is_close &= !counts || is_within(f64::max(0.005, 0.5 * floor));
        let line = format!("{t},excess,{excess:.8},");
        assert!(csv.contains(&line), "{line} in {csv}");
        // The same error with other noise.
        let at = level(t);
        let n = 160;
        let noise = noise_seeds(78, 0, n, trained.dataset.shape());
        let of_draw = |draw: usize| trained.dataset.batch(draw % trained.dataset.len(), 1);
        let clean: Vec<f64> = (0..n).flat_map(|draw| of_draw(draw).into_values()).collect();
        let noisy = clean.iter().zip(noise.values());
        let noisy = noisy.map(|(x, e)| at.abar.sqrt() * x + (1.0 - at.abar).sqrt() * e).collect();
        let x0 = network.denoise(&ImageBatch::new(noise.shape(), noisy), at).unwrap().x0;
        let clean = ImageBatch::new(noise.shape(), clean);
        let errors: Vec<f64> =
            clean.iter().zip(x0.iter()).map(|(phi, x0)| squared_error(phi, x0)).collect();
        check_equal(&entry["network"], &estimate(&errors), &format!("network at {t}"));
        assert!(number(&entry["held_out"]["mse"]) > 0.0);
    }
    let word = if is_converged {
        "converged"
    } else if is_close {
        "close"
    } else {
        "far"
    };
    assert_eq!(floors["convergence"], word);
    // Thirty steps are not enough, and the page says so.
    assert_eq!(word, "far");
    let page = std::fs::read_to_string(run.report_path().join("report.md")).unwrap();
    assert!(page.contains("**far**: the network is far from the error of `els`"), "{page}");
    let log = printed(&lab, &["logs", &run.id()]);
    assert!(log.contains("floors (error of the clean estimate): t 0.1 "), "{log}");
}

#[test]
fn floors_refuse_levels_without_noise() {
    let lab = Lab::new();
    for (t, words) in
        [("0", "must lie above 0"), ("1.5", "must lie above 0"), ("x", "not a number")]
    {
        let output = lab.mosaic(&["theory", "glyphs-attention", "--floors", "--t", t]);
        assert_eq!(output.status.code(), Some(2), "{t}");
        assert!(
            crate::common::stderr(&output).contains(words),
            "{}",
            crate::common::stderr(&output)
        );
    }
    let output = lab.mosaic(&["theory", "glyphs-attention", "--t", "0.5"]);
    assert_eq!(output.status.code(), Some(2));
}
