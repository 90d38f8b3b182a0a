//! Every number of a comparison's report against samples that the test draws itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use mosaic_lab::analysis::creativity_judge::Judge;
use mosaic_lab::config::NamedMachine;
use mosaic_lab::diffusion::{AttentionMaps, Denoiser};
use mosaic_lab::evaluation::network_and_machines_of_run::Trained;
use mosaic_lab::image::ImageBatch;
use mosaic_lab::network::AttentionDetail;
use mosaic_lab::random::noise_seeds;
use mosaic_lab::theory::machine_spec::{
    AttentionSettings, AttentionSource, MachineKind, MachineSpec, PatchSize, Scheduled,
};
use mosaic_lab::theory::patch_pools_ls_els_bbels::Pool;
use mosaic_lab::theory::{
    AttentionProvider, Machine, Precision, RecordedAttention, TrainingImages,
};
use serde_json::{Value, json};

use crate::common::Lab;
use crate::plain::{self, Trajectory, mean, pearson, quantile, r_squared};
use crate::{check_close, open, printed, train};

/// More than one batch of held-out seeds; the network has three more samples that are judged.
const N_SEEDS: usize = 18;
const N_JUDGED: usize = 21;
const T: usize = 4;
const MACHINES: &str = "els,ideal,attention-similarity,attention-trajectory";
/// Machines and networks compute in single precision, in other batches here than there.
const TOLERANCE: f64 = 5e-5;

/// The network and every machine from the held-out seeds, one seed at a time.
struct Samples {
    network: Vec<Trajectory>,
    machines: Vec<(String, Vec<MachineSeed>)>,
}

/// One machine from one seed.
struct MachineSeed {
    sample: Vec<f64>,
    /// x0hat at the network's states, cleanest step first.
    x0_along_network: Vec<Vec<f64>>,
    /// Attention that the machine predicts there.
    predicted: Vec<Option<AttentionMaps>>,
}

fn draw(trained: &Trained, machines: &[NamedMachine], n: usize, n_judged: usize) -> Samples {
    let noise = |i: usize| {
        noise_seeds(trained.experiment.noise_seed, 1000 + i as u64, 1, trained.dataset.shape())
    };
    let network = trained.network.clone().recording(AttentionDetail::Maps);
    let ways: Vec<Trajectory> =
        (0..n_judged).map(|i| plain::sample(&network, &noise(i), T)).collect();
    let images = Arc::new(TrainingImages::from_dataset(&trained.dataset).unwrap());
    let one = |spec: &MachineSpec, i: usize| {
        let mut recorded = RecordedAttention::new();
        for (step, maps) in (1..=T).zip(&ways[i].maps) {
            recorded.push(plain::level(step as f64 / T as f64), maps.clone().unwrap());
        }
        let source = spec.kind.attention_source();
        let provider: Option<Arc<dyn AttentionProvider>> = match source {
            Some(AttentionSource::Trajectory) => Some(Arc::new(recorded)),
            _ => None,
        };
        let predicts = matches!(source, Some(AttentionSource::Similarity { .. }));
        let machine = Machine::new(spec.clone(), images.clone(), Precision::F32, provider).unwrap();
        let machine = machine.with_posterior(predicts);
        let at_network: Vec<_> = (0..T)
            .map(|at| {
                let level = plain::level((at + 1) as f64 / T as f64);
                machine.denoise(&ways[i].states[at], level).unwrap()
            })
            .collect();
        MachineSeed {
            sample: plain::sample(&machine, &noise(i), T).sample,
            predicted: at_network.iter().map(|d| d.attention.clone()).collect(),
            x0_along_network: at_network.into_iter().map(|d| d.x0.into_values()).collect(),
        }
    };
    let machines = machines
        .iter()
        .map(|m| (m.name.clone(), (0..n).map(|i| one(&m.spec, i)).collect()))
        .collect();
    Samples { network: ways, machines }
}

/// The lines of a CSV file below its head, as cells.
fn csv(folder: &Path, name: &str, head: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some(head), "{name}");
    lines.map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

fn number(cell: &str) -> f64 {
    cell.parse().unwrap_or_else(|_| panic!("'{cell}' is no number"))
}

/// The rows of the tables below a heading of a page, without head and rule.
fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let start = page.find(heading).unwrap_or_else(|| panic!("no '{heading}' in {page}"));
    let lines = page[start..].lines().skip_while(|line| !line.starts_with('|'));
    let rows = lines.take_while(|line| line.starts_with('|')).skip(2);
    let cells =
        |line: &str| line.trim_matches('|').split('|').map(|c| c.trim().to_owned()).collect();
    rows.map(cells).collect()
}

#[track_caller]
fn check_interval(found: &Value, name: &str, expected: [f64; 3]) {
    check_close(found[name].as_f64().unwrap(), expected[0], 1e-9, name);
    let ends = &found["intervals95"][name];
    check_close(ends[0].as_f64().unwrap(), expected[1], 1e-9, name);
    check_close(ends[1].as_f64().unwrap(), expected[2], 1e-9, name);
}

#[test]
fn every_number_of_a_report_follows_from_samples_drawn_anew() {
    let lab = Lab::new();
    let run = train(&lab, "els");
    let out = lab.place.path().join("out");
    let (id, out_words) = (run.id(), out.display().to_string());
    let set = format!("theory.machines={MACHINES}");
    let counts = [N_SEEDS, N_JUDGED].map(|n| n.to_string());
    let compared = printed(
        &lab,
        &[
            "compare",
            &id,
            "--seeds",
            &counts[0],
            "--samples",
            &counts[1],
            "--uncalibrated",
            "--set",
            &set,
            "--out",
            &out_words,
            "--json",
        ],
    );
    let folder = out.join(&id);
    let text = std::fs::read_to_string(folder.join("report.json")).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    let compared: Value = serde_json::from_str(&compared).unwrap();
    assert_eq!(compared["experiments"][0]["runs"][0], report, "two places, one report");

    let trained = open(&run, MACHINES);
    let machines: Vec<NamedMachine> = trained.machine_set.machines().cloned().collect();
    let samples = draw(&trained, &machines, N_SEEDS, N_JUDGED);
    check_agreement(&folder, &report, &samples);
    check_by_step(&folder, &report, &samples);
    check_attention(&folder, &report, &samples);
    check_controls(&folder, &report, &samples, &trained);
    check_clamp(&folder, &report, &samples, &trained);
    check_rates(&folder, &report, &samples, &trained);
    check_copies(&report, &samples, &trained);
    check_facts(&report, &trained);
    let page = std::fs::read_to_string(folder.join("report.md")).unwrap();
    check_page(&page, &report, &machines);
    let over_runs = &compared["experiments"][0]["over_runs"];
    for machine in &machines {
        for key in ["r", "r2", "R2", "won", "R2_along_network"] {
            let found = &over_runs[&machine.name][key];
            assert_eq!(found["mean"], report["agreement"][&machine.name][key], "{key}");
            assert!(found["sd"].is_null() && found["runs"] == 1, "{found}");
        }
    }
}

/// agreement.csv and the medians, quartiles and wins of report.json.
fn check_agreement(folder: &Path, report: &Value, samples: &Samples) {
    let lines = csv(folder, "agreement.csv", "seed,machine,r,r2,R2");
    assert_eq!(lines.len(), samples.machines.len() * N_SEEDS);
    let r_of = |made: &[MachineSeed]| -> Vec<f64> {
        made.iter().zip(&samples.network).map(|(m, n)| pearson(&m.sample, &n.sample)).collect()
    };
    let of_els = r_of(&samples.machines[0].1);
    assert_eq!(report["baseline"], "els");
    for (at, (name, made)) in samples.machines.iter().enumerate() {
        let r = r_of(made);
        let squares: Vec<f64> = r.iter().map(|r| r * r).collect();
        let pairs = made.iter().zip(&samples.network);
        let cod: Vec<f64> = pairs.map(|(m, n)| r_squared(&m.sample, &n.sample)).collect();
        for (i, line) in lines[at * N_SEEDS..][..N_SEEDS].iter().enumerate() {
            assert_eq!(line[..2], [(1000 + i).to_string(), name.clone()]);
            for (cell, expected) in line[2..].iter().zip([r[i], squares[i], cod[i]]) {
                check_close(number(cell), expected, TOLERANCE, &format!("{name}, seed {i}"));
            }
        }
        let found = &report["agreement"][name];
        for (key, values) in [("r", &r), ("r2", &squares), ("R2", &cod)] {
            let what = format!("{name} {key}");
            check_close(found[key].as_f64().unwrap(), quantile(values, 0.5), TOLERANCE, &what);
            for (place, share) in [0.25, 0.5, 0.75].into_iter().enumerate() {
                let quartile = found["quartiles"][key][place].as_f64().unwrap();
                check_close(quartile, quantile(values, share), TOLERANCE, &what);
            }
        }
        let won = r.iter().zip(&of_els).filter(|(r, els)| r > els).count();
        check_close(found["won"].as_f64().unwrap(), won as f64 / N_SEEDS as f64, 1e-12, "won");
        assert_eq!((&found["n_seeds"], &found["n_seeds_r"]), (&N_SEEDS.into(), &N_SEEDS.into()));
    }
}

/// by_step.csv, and R^2 of all steps and seeds together in report.json.
fn check_by_step(folder: &Path, report: &Value, samples: &Samples) {
    let lines = csv(folder, "by_step.csv", "machine,t,R2,seeds");
    assert_eq!(lines.len(), samples.machines.len() * T);
    for (at, (name, made)) in samples.machines.iter().enumerate() {
        let (mut error, mut deviation) = (0.0, 0.0);
        for step in 0..T {
            let pairs = made.iter().zip(&samples.network);
            let each: Vec<f64> =
                pairs.map(|(m, n)| r_squared(&m.x0_along_network[step], &n.x0[step])).collect();
            for (m, n) in made.iter().zip(&samples.network) {
                let target = &n.x0[step];
                error += plain::squared_error(&m.x0_along_network[step], target);
                deviation += plain::squared_error(&vec![mean(target); target.len()], target);
            }
            let line = &lines[at * T + step];
            assert_eq!((&line[0], line[3].as_str()), (name, "18"));
            check_close(number(&line[1]), (step + 1) as f64 / T as f64, 1e-6, "t");
            check_close(number(&line[2]), mean(&each), TOLERANCE, &format!("{name}, step {step}"));
        }
        let found = report["agreement"][name]["R2_along_network"].as_f64().unwrap();
        check_close(found, 1.0 - error / deviation, TOLERANCE, name);
    }
}

/// controls.csv and the controls of report.json: machines without sharing and with wrong maps, made anew.
fn check_controls(folder: &Path, report: &Value, samples: &Samples, trained: &Trained) {
    let images = Arc::new(TrainingImages::from_dataset(&trained.dataset).unwrap());
    let noise = |i: usize| {
        noise_seeds(trained.experiment.noise_seed, 1000 + i as u64, 1, trained.dataset.shape())
    };
    let attention = |name: &str| {
        let machine = trained.machine_set.machines().find(|machine| machine.name == name).unwrap();
        let MachineKind::Attention { settings: Scheduled::Fixed(settings), .. } =
            &machine.spec.kind
        else {
            panic!("an attention machine with the same settings at every step")
        };
        (*settings, machine.spec.k.clone())
    };
    // r of the machine with other settings, its maps those along the trajectory of seed `from(i)`.
    let r = |settings: AttentionSettings, k: &PatchSize, from: &dyn Fn(usize) -> usize| {
        let one = |i: usize| {
            let mut recorded = RecordedAttention::new();
            for (step, maps) in (1..=T).zip(&samples.network[from(i)].maps) {
                recorded.push(plain::level(step as f64 / T as f64), maps.clone().unwrap());
            }
            let provider: Arc<dyn AttentionProvider> = Arc::new(recorded);
            let settings = Scheduled::Fixed(settings);
            let kind = MachineKind::Attention { pool: Pool::Wrap, settings };
            let spec = MachineSpec::new(kind, k.clone());
            let machine = Machine::new(spec, images.clone(), Precision::F32, Some(provider));
            let made = plain::sample(&machine.unwrap(), &noise(i), T).sample;
            pearson(&made, &samples.network[i].sample)
        };
        (0..N_SEEDS).map(one).collect::<Vec<f64>>()
    };
    let lines = csv(folder, "controls.csv", "seed,machine,control,r");
    let found = |machine: &str, control: &str| -> Vec<f64> {
        let is_it = |line: &&Vec<String>| line[1] == machine && line[2] == control;
        let found: Vec<f64> = lines.iter().filter(is_it).map(|line| number(&line[3])).collect();
        assert_eq!(found.len(), N_SEEDS, "{machine} {control}");
        found
    };
    let check = |machine: &str, control: &str, expected: &[f64]| {
        for (found, expected) in found(machine, control).iter().zip(expected) {
            check_close(*found, *expected, 2e-4, &format!("{machine} {control}"));
        }
    };
    let itself = |i: usize| i;
    for (machine, n_heads) in [("attention-similarity", 1.0), ("attention-trajectory", 2.0)] {
        let (settings, k) = attention(machine);
        check(machine, "none", &r(settings, &k, &itself));
        let identity = AttentionSettings { source: AttentionSource::Identity, ..settings };
        let off = AttentionSettings { lambda: 0.0, gamma: 0.0, ..identity };
        check(machine, "sharing-off", &r(off, &k, &itself));
        let identity = AttentionSettings { lambda: n_heads * settings.lambda, ..identity };
        check(machine, "identity-maps", &r(identity, &k, &itself));
    }
    let (settings, k) = attention("attention-trajectory");
    let others = r(settings, &k, &|i| (i + 1) % N_SEEDS);
    check("attention-trajectory", "other-seeds-maps", &others);
    let shuffled = found("attention-trajectory", "shuffled-maps");
    assert!(shuffled.iter().zip(&r(settings, &k, &itself)).any(|(a, b)| (a - b).abs() > 1e-3));
    assert_eq!(lines.len(), N_SEEDS * (3 + 5));

    let all = report["controls"].as_array().unwrap();
    let row = all.iter().find(|row| row["control"] == "other-seeds-maps").unwrap();
    let median = row["r"]["estimate"].as_f64().unwrap();
    check_close(median, quantile(&others, 0.5), 2e-4, "median r of the control");
    let own = found("attention-trajectory", "none");
    let gaps: Vec<f64> = own.iter().zip(&others).map(|(a, b)| a - b).collect();
    check_close(row["difference"]["estimate"].as_f64().unwrap(), mean(&gaps), 2e-4, "difference");
}

/// clamp.csv, and the agreement with the network without its clamp.
fn check_clamp(folder: &Path, report: &Value, samples: &Samples, trained: &Trained) {
    let lines = csv(folder, "clamp.csv", "who,t,outside");
    assert_eq!(lines.len(), T * (1 + samples.machines.len()));
    let free = trained.network.clone().clamped(false);
    for (step, line) in lines[..T].iter().enumerate() {
        let (mut n_outside, mut n_values) = (0, 0);
        for way in &samples.network[..N_SEEDS] {
            let level = plain::level((step + 1) as f64 / T as f64);
            let x0 = free.denoise(&way.states[step], level).unwrap().x0.into_values();
            n_outside += x0.iter().filter(|v| v.abs() > 1.0).count();
            n_values += x0.len();
        }
        assert_eq!(line[0], "network");
        check_close(number(&line[2]), n_outside as f64 / n_values as f64, 1e-3, "clamped");
    }
    assert!(lines[..T].iter().any(|line| number(&line[2]) > 0.0), "something is clamped");
    assert!(lines[T..].iter().all(|line| number(&line[2]) == 0.0), "posterior means are not");

    let rows = report["clamp"]["without_clamp"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["who"].as_str().unwrap()).collect();
    assert_eq!(names, ["network", "els", "ideal", "attention-similarity"]);
    let noise = |i: usize| {
        noise_seeds(trained.experiment.noise_seed, 1000 + i as u64, 1, trained.dataset.shape())
    };
    let of_network = (0..N_SEEDS).map(|i| plain::sample(&free, &noise(i), T).sample);
    let made = samples.machines[0].1.iter();
    let r: Vec<f64> = of_network.zip(made).map(|(n, m)| pearson(&m.sample, &n)).collect();
    let median = rows[1]["r_without_clamp"]["estimate"].as_f64().unwrap();
    check_close(median, quantile(&r, 0.5), TOLERANCE, "r without the clamp");
}

/// predicted_attention.csv, its correlation over steps, and the network's own attention in report.json.
fn check_attention(folder: &Path, report: &Value, samples: &Samples) {
    let lines = csv(
        folder,
        "predicted_attention.csv",
        "machine,t,predicted_nats,measured_nats,r_of_log_maps",
    );
    assert_eq!(lines.len(), T, "one machine predicts attention");
    let (name, made) = samples.machines.iter().find(|(name, _)| name.ends_with("arity")).unwrap();
    let logs =
        |map: &[f32]| -> Vec<f64> { map.iter().map(|&w| f64::from(w.max(1e-9)).ln()).collect() };
    let (mut predicted, mut measured) = (Vec::new(), Vec::new());
    for (step, line) in lines.iter().enumerate() {
        let (mut nats, mut of_network, mut r) = (Vec::new(), Vec::new(), Vec::new());
        for (machine, network) in made.iter().zip(&samples.network) {
            let map = machine.predicted[step].as_ref().unwrap().map(0, 0);
            let maps = network.maps[step].as_ref().unwrap();
            let heads = [maps.map(0, 0), maps.map(0, 1)];
            let both: Vec<f32> =
                heads[0].iter().zip(heads[1]).map(|(a, b)| (a + b) / 2.0).collect();
            nats.push(plain::map_entropy(map));
            of_network.push(mean(&heads.map(plain::map_entropy)));
            r.push(pearson(&logs(map), &logs(&both)));
        }
        predicted.push(mean(&nats));
        measured.push(mean(&of_network));
        assert_eq!(&line[0], name);
        check_close(number(&line[2]), predicted[step], TOLERANCE, "predicted nats");
        check_close(number(&line[3]), measured[step], TOLERANCE, "measured nats");
        check_close(number(&line[4]), mean(&r), 2e-3, "r of the logarithms");
    }
    let found = &report["agreement"][name]["r_of_predicted_entropy"];
    check_close(found.as_f64().unwrap(), pearson(&predicted, &measured), 1e-2, "r of entropies");
    assert!(report["agreement"]["els"]["r_of_predicted_entropy"].is_null());

    let side = 12;
    let distance = |p: usize, q: usize| {
        let along = |a: usize, b: usize| a.abs_diff(b).min(side - a.abs_diff(b)) as f64;
        along(p / side, q / side).hypot(along(p % side, q % side))
    };
    let n = side * side;
    assert_eq!(report["attention"]["n_pixels"], n);
    let mut all = Vec::new();
    for (step, found) in report["attention"]["levels"].as_array().unwrap().iter().enumerate() {
        check_close(found["t"].as_f64().unwrap(), (step + 1) as f64 / T as f64, 1e-6, "t");
        for head in 0..2 {
            let maps: Vec<&[f32]> = samples.network[..N_SEEDS]
                .iter()
                .map(|way| way.maps[step].as_ref().unwrap().map(0, head))
                .collect();
            let over_seeds = |figure: &dyn Fn(&[f32]) -> f64| {
                mean(&maps.iter().map(|map| figure(map)).collect::<Vec<_>>())
            };
            let entropy = over_seeds(&plain::map_entropy);
            let far = over_seeds(&|map| {
                (0..n * n).map(|i| f64::from(map[i]) * distance(i / n, i % n)).sum::<f64>()
                    / n as f64
            });
            let sink = over_seeds(&|map| {
                let received = |q: usize| (0..n).map(|p| f64::from(map[p * n + q])).sum::<f64>();
                (0..n).map(received).fold(0.0, f64::max) / n as f64
            });
            for (key, expected) in
                [("entropy_nats", entropy), ("distance_pixels", far), ("sink", sink)]
            {
                check_close(found[key][head].as_f64().unwrap(), expected, TOLERANCE, key);
            }
            assert!(found["largest_logit"][head].as_f64().unwrap().is_finite());
            all.push(entropy);
        }
    }
    assert_eq!(all.len(), 2 * T);
    let found = report["attention_entropy_nats"].as_f64().unwrap();
    check_close(found, mean(&all), TOLERANCE, "mean entropy");
}

/// rates.csv and the rates of report.json.
fn check_rates(folder: &Path, report: &Value, samples: &Samples, trained: &Trained) {
    let judge = Judge::new(&trained.dataset).unwrap();
    let lines = csv(folder, "rates.csv", "who,samples,rate,value,low95,high95");
    let network: Vec<&[f64]> = samples.network.iter().map(|way| &way.sample[..]).collect();
    let mut all = vec![("network", network, &report["rates"])];
    for (name, made) in &samples.machines {
        let images = made.iter().map(|seed| &seed.sample[..]).collect();
        all.push((name, images, &report["machine_rates"][name]));
    }
    let mut n_lines = 0;
    for (who, images, found) in all {
        let n = images.len();
        assert_eq!(found["n_samples"], n, "{who}");
        let judged: Vec<_> = images.iter().map(|image| judge.judge(image)).collect();
        let count = |holds: &dyn Fn(usize) -> bool| (0..n).filter(|i| holds(*i)).count();
        let valid = count(&|i| judged[i].valid);
        let components: usize = judged.iter().map(|j| j.n_components).sum();
        let whole: usize = judged.iter().map(|j| j.n_valid_components).sum();
        let mut expected = BTreeMap::from([
            ("valid", plain::wilson(valid, n)),
            ("consistent", plain::wilson(count(&|i| judged[i].consistent), n)),
            ("novel", plain::wilson(count(&|i| judged[i].novel), n)),
            ("creative", plain::wilson(count(&|i| judged[i].creative), n)),
        ]);
        if components > 0 {
            expected.insert("whole", plain::wilson(whole, components));
        }
        if valid > 0 {
            let both = count(&|i| judged[i].valid && judged[i].consistent);
            expected.insert("consistent_of_valid", plain::wilson(both, valid));
        }
        let purity: Vec<f64> = judged.iter().filter_map(|j| j.hue_purity).collect();
        if !purity.is_empty() {
            expected.insert("hue_purity", plain::mean_of_shares(&purity));
        }
        let values = images.concat();
        let chance = judge.chance_level(&ImageBatch::new(trained.dataset.shape(), values));
        assert_eq!(found["chance"].is_null(), chance.is_none(), "{who}");
        check_close(found["chance"].as_f64().unwrap_or(0.0), chance.unwrap_or(0.0), 1e-9, who);
        for (rate, interval) in &expected {
            check_interval(found, rate, *interval);
            let line = lines.iter().find(|line| line[0] == who && line[2] == *rate).unwrap();
            assert_eq!(line[1], n.to_string());
            let cells: Vec<String> = interval.iter().map(|value| format!("{value:.4}")).collect();
            assert_eq!(line[3..], cells, "{who} {rate}");
        }
        for rate in ["whole", "consistent_of_valid", "hue_purity"] {
            assert_eq!(found.get(rate).is_some(), expected.contains_key(rate), "{who} {rate}");
        }
        n_lines += expected.len();
    }
    assert_eq!(lines.len(), n_lines);
    assert_eq!(report["judged_seeds"], N_JUDGED);
}

/// Copies and distances: the nearest training image over all circular shifts.
fn check_copies(report: &Value, samples: &Samples, trained: &Trained) {
    let (shape, side) = (trained.dataset.shape(), 12);
    let data = trained.dataset.batch(0, trained.dataset.len());
    let network = samples.network.iter().map(|way| &way.sample[..]).collect();
    let mut all: Vec<(&str, Vec<&[f64]>)> = vec![("network", network)];
    for (name, made) in &samples.machines {
        all.push((name, made.iter().map(|seed| &seed.sample[..]).collect()));
    }
    assert_eq!(report["mosaics"].as_array().unwrap().len(), all.len());
    for ((who, images), found) in all.iter().zip(report["mosaics"].as_array().unwrap()) {
        // All judged samples of the network, and all of the machines.
        let n = if *who == "network" { N_JUDGED } else { N_SEEDS };
        assert_eq!((&found["who"], &found["n"]), (&(*who).into(), &n.into()));
        assert_eq!((images.len(), &found["n_patches"]), (n, &n.into()));
        let (mut n_copies, mut nearest) = (0, Vec::new());
        for image in images {
            let least = |training: &[f64]| {
                let shifted = |s: usize| -> f64 {
                    let value = |i: usize| {
                        let (c, r, x) = (i / (side * side), i / side % side, i % side);
                        let (r, x) = ((r + s / side) % side, (x + s % side) % side);
                        image[(c * side + r) * side + x]
                    };
                    training.iter().enumerate().map(|(i, t)| (value(i) - t).powi(2)).sum()
                };
                (0..side * side).map(shifted).fold(f64::INFINITY, f64::min)
            };
            let mut distances: Vec<f64> = data.iter().map(least).collect();
            distances.sort_by(|a, b| a.partial_cmp(b).unwrap());
            n_copies += usize::from(distances[0].sqrt() / distances[1].sqrt() < 1.0 / 3.0);
            nearest.push((distances[0] / shape.n_values() as f64).sqrt());
        }
        let copies = plain::wilson(n_copies, images.len());
        for (place, expected) in copies.into_iter().enumerate() {
            check_close(found["copies"][place].as_f64().unwrap(), expected, 1e-9, who);
        }
        let median = quantile(&nearest, 0.5);
        check_close(found["distance"].as_f64().unwrap(), median, TOLERANCE, who);
        // Conover's tables of the sign test: ranks 5 and 14 of 18, 6 and 16 of 21.
        nearest.sort_by(f64::total_cmp);
        let ranks = if n == 18 { [4, 13] } else { [5, 15] };
        for (end, rank) in ranks.into_iter().enumerate() {
            let found = found["intervals95"]["distance"][end].as_f64().unwrap();
            check_close(found, nearest[rank], TOLERANCE, who);
        }
    }
}

/// What the report says of the run itself.
fn check_facts(report: &Value, trained: &Trained) {
    let n_parameters: usize = trained
        .network
        .network()
        .unwrap()
        .network()
        .parameters()
        .iter()
        .map(|(_, tensor)| tensor.elem_count())
        .sum();
    let facts: [(&str, Value); 11] = [
        ("run", trained.run.id().into()),
        ("experiment", "glyphs-attention".into()),
        ("steps", 30.into()),
        ("steps_planned", 30.into()),
        ("n_parameters", n_parameters.into()),
        ("n_training_images", 8.into()),
        ("final_loss", trained.run.status().unwrap().loss.into()),
        ("noise_seed", trained.experiment.noise_seed.into()),
        ("first_seed", 1000.into()),
        ("n_seeds", N_SEEDS.into()),
        ("calibration_seeds", Value::Null),
    ];
    for (key, expected) in facts {
        assert_eq!(report[key], expected, "{key}");
    }
}

/// report.md holds the numbers of report.json, rounded.
fn check_page(page: &str, report: &Value, machines: &[NamedMachine]) {
    let value = |value: &Value| value.as_f64().unwrap();
    let rows = table(page, "## Agreement with the network");
    assert_eq!(rows.len(), machines.len());
    for (row, machine) in rows.iter().zip(machines) {
        let found = &report["agreement"][&machine.name];
        let quartiles = |key: &str| {
            let q = &found["quartiles"][key];
            format!("{:.3} [{:.3}, {:.3}]", value(&found[key]), value(&q[0]), value(&q[2]))
        };
        let won = match machine.name.as_str() {
            "els" => "-".to_owned(),
            _ => format!("{:.0}%", 100.0 * value(&found["won"])),
        };
        let along = format!("{:.3}", value(&found["R2_along_network"]));
        let [r, r2, cod] = ["r", "r2", "R2"].map(quartiles);
        assert_eq!(row[..], [machine.name.clone(), r, r2, cod, "18".into(), won, along]);
    }
    let rows = table(page, "## Judged samples");
    assert_eq!(rows.len(), machines.len() + 1);
    for row in rows {
        let found = match row[0].as_str() {
            "network" => &report["rates"],
            machine => &report["machine_rates"][machine],
        };
        let cell = |name: &str| match found.get(name) {
            Some(rate) => {
                let ends = &found["intervals95"][name];
                format!("{:.2} [{:.2}, {:.2}]", value(rate), value(&ends[0]), value(&ends[1]))
            }
            None => "-".to_owned(),
        };
        let names = [
            "whole",
            "valid",
            "consistent",
            "consistent_of_valid",
            "novel",
            "creative",
            "hue_purity",
        ];
        let mut expected = vec![found["n_samples"].to_string()];
        expected.extend(names.map(cell));
        expected.push(found["chance"].as_f64().map_or("-".into(), |chance| format!("{chance:.2}")));
        assert_eq!(row[1..], expected);
    }
    let rows = table(page, "## Mosaics and copies");
    for (row, found) in rows.iter().zip(report["mosaics"].as_array().unwrap()) {
        let copies = [0, 1, 2].map(|at| value(&found["copies"][at]));
        let with_ends = |key: &str, n: usize| {
            let [low, high] = [0, 1].map(|at| value(&found["intervals95"][key][at]));
            format!("{:.n$} [{low:.n$}, {high:.n$}]", value(&found[key]))
        };
        let expected = [
            found["who"].as_str().unwrap().to_owned(),
            found["n"].to_string(),
            format!("{:.2} [{:.2}, {:.2}]", copies[0], copies[1], copies[2]),
            with_ends("distance", 3),
            found["n_patches"].to_string(),
            with_ends("centres", 2),
            with_ends("leading_share", 2),
            with_ends("images_used", 1),
            with_ends("region_area", 1),
        ];
        assert_eq!(row[..], expected);
    }
    let rows = table(page, "## Attention along the network's own trajectories");
    for (row, found) in rows.iter().zip(report["attention"]["levels"].as_array().unwrap()) {
        let list =
            |key: &str| format!("{:.3}, {:.3}", value(&found[key][0]), value(&found[key][1]));
        let mut expected = vec![format!("{:.3}", value(&found["t"]))];
        expected.extend(["entropy_nats", "distance_pixels", "sink", "largest_logit"].map(list));
        assert_eq!(row[..], expected);
    }
    assert!(page.contains(&format!("Final loss {:.5}.", value(&report["final_loss"]))));
    assert!(page.contains(
        "Held-out noise seeds 1000 to 1017 of noise seed 0 (for the network's rates: to 1020)"
    ));
    for machine in machines {
        let words = report["machines"][&machine.name].as_str().unwrap();
        assert!(page.contains(&format!("- **{}**: {words}\n", machine.name)));
    }
}

#[test]
fn a_calibrated_comparison_uses_the_schedules_of_the_calibration() {
    // Sides, lambdas, gammas and taus, cleanest step first; none reads the same backwards.
    let of_els =
        [[7.0, 0.0, 0.0, 0.0], [3.0, 0.0, 0.0, 0.0], [5.0, 0.0, 0.0, 0.0], [5.0, 0.0, 0.0, 0.0]];
    let of_attention =
        [[3.0, 0.5, 0.1, 0.3], [5.0, 2.0, 0.4, 1.0], [7.0, 1.0, 0.2, 0.5], [5.0, 4.0, 0.0, 2.0]];
    let machine = |name: &str, steps: [[f64; 4]; T]| {
        let settings = steps.map(|[k, lambda, gamma, tau]| {
            json!({ "k": k as usize, "lambda": lambda, "gamma": gamma, "tau": tau })
        });
        let fit = json!({ "t": 0.0, "cosine": 0.0, "r_squared": 0.0, "r_squared_sd": 0.0 });
        let candidate = json!({
            "origin": "own", "boost": 1.0, "error": 0.0, "r": 0.0, "r_mean": 0.0, "settings": settings,
        });
        // Not the sides of a run's own report, which a comparison widens.
        let sides = [3, 5, 7, 9];
        json!({ "machine": name, "sides": sides, "candidates": [candidate], "steps": vec![fit; T] })
    };
    let calibration = json!({
        "format": 1, "step": 30, "noise_seed": 0, "first_seed": 500, "n_seeds": 2, "n_steps": T,
        "machines": [machine("els", of_els), machine("attention-similarity", of_attention)],
    });
    let lab = Lab::new();
    let run = train(&lab, "els,attention-similarity");
    std::fs::write(run.calibration_path(), calibration.to_string()).unwrap();
    let out = lab.place.path().join("out");
    let (id, out_words) = (run.id(), out.display().to_string());
    printed(&lab, &["compare", &id, "--seeds", "3", "--out", &out_words]);
    let folder = out.join(&id);
    let read = |name: &str| -> Value {
        serde_json::from_str(&std::fs::read_to_string(folder.join(name)).unwrap()).unwrap()
    };
    assert_eq!(read("calibration.json"), calibration, "taken as it is");
    assert_eq!(read("report.json")["calibration_seeds"], json!([500, 2]));

    let sides =
        |steps: [[f64; 4]; T]| PatchSize::PerStep(steps.map(|step| step[0] as usize).into());
    let sharing = of_attention.map(|[_, lambda, gamma, tau]| AttentionSettings {
        lambda,
        gamma,
        source: AttentionSource::Similarity { tau },
    });
    let attention =
        MachineKind::Attention { pool: Pool::Wrap, settings: Scheduled::PerStep(sharing.into()) };
    let specs = [
        MachineSpec::new(MachineKind::EquivariantLocal, sides(of_els)),
        MachineSpec::new(attention, sides(of_attention)),
    ];
    let trained = open(&run, "els");
    let images = Arc::new(TrainingImages::from_dataset(&trained.dataset).unwrap());
    let lines = csv(&folder, "agreement.csv", "seed,machine,r,r2,R2");
    for (at, spec) in specs.into_iter().enumerate() {
        let machine = Machine::new(spec, images.clone(), Precision::F32, None).unwrap();
        for i in 0..3 {
            let noise_seed = trained.experiment.noise_seed;
            let noise = noise_seeds(noise_seed, 1000 + i, 1, trained.dataset.shape());
            let (a, b) =
                (plain::sample(&machine, &noise, T), plain::sample(&trained.network, &noise, T));
            let found = number(&lines[at * 3 + i as usize][2]);
            check_close(found, pearson(&a.sample, &b.sample), TOLERANCE, &format!("machine {at}"));
        }
    }
}
