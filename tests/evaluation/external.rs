//! `mosaic external` and `compare --external`: a network whose answers are written as arrays has the figures that it has as a
//! run; arrays that are none of a model's are refused.

use std::path::{Path, PathBuf};

use mosaic_lab::arrays::{Array, ArrayFile, ArrayWriter, FileFormat, Numbers};
use mosaic_lab::diffusion::Denoiser;
use mosaic_lab::evaluation::network_and_machines_of_run::Trained;
use mosaic_lab::image::ImageBatch;
use serde_json::Value;

use crate::common::{Lab, stderr};
use crate::plain::level;
use crate::{check_close, open, printed, train};

const MACHINES: &str = "els,attention-trajectory";

/// Arrays of answers, to be changed and written.
#[derive(Clone)]
struct Answers(Vec<(&'static str, Vec<usize>, Vec<f32>)>);

impl Answers {
    fn write(&self, folder: &Path) {
        let all = self.0.iter().fold(ArrayWriter::new(), |writer, (name, shape, values)| {
            writer.array(name, shape, Numbers::F32(values.clone()))
        });
        std::fs::write(folder.join("answers.npz"), all.into_bytes(FileFormat::Npz)).unwrap();
    }

    fn get(&mut self, name: &str) -> &mut (&'static str, Vec<usize>, Vec<f32>) {
        self.0.iter_mut().find(|(known, ..)| *known == name).unwrap()
    }

    fn without(&self, names: &[&str]) -> Self {
        Self(self.0.iter().filter(|(name, ..)| !names.contains(name)).cloned().collect())
    }
}

fn batch(trained: &Trained, array: &Array) -> ImageBatch {
    ImageBatch::new(trained.dataset.shape(), array.f64_values())
}

fn singles(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&v| v as f32).collect()
}

/// What the network of a run answers to the questions in `folder`.
fn answers(trained: &Trained, folder: &Path) -> Answers {
    let questions = ArrayFile::open(&folder.join("questions.npz")).unwrap();
    let read = |name: &str| questions.read(name).unwrap();
    let (noise, shape) = (batch(trained, &read("noise")), trained.dataset.shape());
    let ddim = trained.experiment.ddim();
    let (n, n_steps, n_values) = (noise.len(), ddim.n_steps, shape.n_values());
    let network = trained.network.network().unwrap().clone();
    let network = network.recording(mosaic_lab::network::AttentionDetail::Maps);
    let n_pixels = shape.n_pixels();
    let heads = 2;
    let mut states = vec![0.0; n * n_steps * n_values];
    let mut x0hat = states.clone();
    let mut maps = vec![0.0_f32; n * n_steps * heads * n_pixels * n_pixels];
    let samples = ddim
        .sample(&network, &noise, &mut |step| {
            for i in 0..n {
                // Cleanest first, as in the questions.
                let at = i * n_steps + step.index - 1;
                states[at * n_values..][..n_values].copy_from_slice(&singles(step.state.image(i)));
                let x0 = singles(step.denoised.x0.image(i));
                x0hat[at * n_values..][..n_values].copy_from_slice(&x0);
                let own = step.denoised.attention.as_ref().unwrap().slice(i, 1);
                let each = own.weights().len();
                maps[at * each..][..each].copy_from_slice(own.weights());
            }
            Ok(())
        })
        .unwrap();
    let (noised, times) = (batch(trained, &read("noised")), read("noised_t").f64_values());
    let mut noised_x0hat = Vec::new();
    // Errors beside floors are those of estimates without the clamp.
    let network = network.clamped(false);
    for (i, &t) in times.iter().enumerate() {
        let found = network.denoise(&noised.slice(i, 1), level(t)).unwrap();
        noised_x0hat.extend(singles(found.x0.values()));
    }
    let image = [shape.channels, shape.height, shape.width];
    let with = |leading: &[usize]| [leading, &image[..]].concat();
    let single = |array: &Array| array.f32_values();
    Answers(vec![
        ("noise", with(&[n]), singles(noise.values())),
        ("samples", with(&[n]), singles(samples.values())),
        ("t", vec![n_steps], single(&read("t"))),
        ("states", with(&[n, n_steps]), states),
        ("x0hat", with(&[n, n_steps]), x0hat),
        ("attention", vec![n, n_steps, heads, n_pixels, n_pixels], maps),
        ("noised", with(&[times.len()]), singles(noised.values())),
        ("noised_t", vec![times.len()], singles(&times)),
        ("noised_x0hat", with(&[times.len()]), noised_x0hat),
    ])
}

struct Case {
    lab: Lab,
    trained: Trained,
    folder: PathBuf,
}

/// A trained network without a clamp, and a directory of questions about its experiment.
fn case() -> Case {
    let lab = Lab::new();
    let run = train(&lab, MACHINES);
    // Other commands know experiments of lab files; this one is the run's.
    let trained = open(&run, MACHINES);
    let text = std::fs::read_to_string(run.run_toml_path()).unwrap();
    let sections = text.split_once("\n\n").unwrap().1;
    std::fs::write(lab.place.path().join("lab.toml"), sections).unwrap();
    let folder = lab.place.path().join("my model");
    let name = folder.to_str().unwrap();
    let set = ["--set", "network.clamp=false", "--set", "calibrate.seeds=2"];
    let arguments =
        ["external", name, "--experiment", "glyphs-attention", "--seeds", "6", "--noised", "4"];
    printed(&lab, &[&arguments[..], &set[..]].concat());
    Case { lab, trained, folder }
}

fn compare(case: &Case, what: &[&str], out: &str) -> Value {
    let out = case.lab.place.path().join(out);
    let shared = ["--seeds", "6", "--samples", "6", "--set", "compare.floor_draws=4", "--out"];
    printed(&case.lab, &[&["compare"], what, &shared[..], &[out.to_str().unwrap()]].concat());
    let folder = std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path());
    let report = folder.filter(|path| path.is_dir()).map(|path| path.join("report.json")).next();
    serde_json::from_str(&std::fs::read_to_string(report.unwrap()).unwrap()).unwrap()
}

/// All numbers of two values, side by side.
fn pairs<'a>(a: &'a Value, b: &'a Value, path: String, all: &mut Vec<(String, f64, f64)>) {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            assert!(a.keys().eq(b.keys()), "{path}: {:?} {:?}", a.keys(), b.keys());
            a.iter().for_each(|(key, value)| pairs(value, &b[key], format!("{path}/{key}"), all));
        }
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{path}");
            let both = a.iter().zip(b).enumerate();
            both.for_each(|(i, (a, b))| pairs(a, b, format!("{path}/{i}"), all));
        }
        (Value::Number(a), Value::Number(b)) => {
            all.push((path, a.as_f64().unwrap(), b.as_f64().unwrap()));
        }
        _ => assert_eq!(a, b, "{path}"),
    }
}

#[test]
fn a_network_has_the_same_figures_by_its_record() {
    let case = case();
    let id = case.trained.run.id();
    answers(&case.trained, &case.folder).write(&case.folder);
    let folder = case.folder.to_str().unwrap();
    let of_record = compare(&case, &["--external", folder], "record");
    let set = ["--set", "calibrate.seeds=2", "--set", "compare.controls=true"];
    let of_network = compare(&case, &[&[id.as_str()][..], &set[..]].concat(), "network");
    // The clamp is known of networks alone.
    for key in [
        "agreement",
        "rates",
        "machine_rates",
        "mosaics",
        "floors",
        "attention_entropy_nats",
        "controls",
    ] {
        let (a, b) = (&of_record[key], &of_network[key]);
        let mut all = Vec::new();
        pairs(a, b, key.to_owned(), &mut all);
        for (path, a, b) in all {
            check_close(a, b, 5e-3 * (1.0 + b.abs()), &path);
        }
    }
    assert!(of_record["n_parameters"].is_null());
    let units = &of_record["units_of_papers"];
    assert!(units["absent"].as_str().unwrap().contains("is a record"), "{units}");
    assert!(units["network_seconds"].is_null(), "a record is not timed");
    assert!(units["machines"]["els"]["along"]["own"].is_object(), "{units}");
    assert!(units["machines"]["els"]["along"]["machine"].is_null(), "{units}");
    let found = with_network(&case, &id);
    check_close(found["final"]["r"]["median"]["estimate"].as_f64().unwrap(), 1.0, 1e-4, "r");
    assert!(found["final"]["mse"]["mean"]["estimate"].as_f64().unwrap() < 1e-6, "{found}");
    assert_eq!(found["by_step"].as_array().unwrap().len(), 4);
    assert_eq!(found["same_images"], true);

    // It is a run now: listed, with a preview, and the same one when it is compared again.
    let listed = printed(&case.lab, &["ls"]);
    let name = listed.lines().find(|line| line.contains("my_model")).expect(&listed);
    assert!(name.contains("finished"), "{listed}");
    let n_runs = |listed: &str| listed.lines().count();
    compare(&case, &["--external", folder], "again");
    assert_eq!(n_runs(&printed(&case.lab, &["ls"])), n_runs(&listed));
    let run = name.split_whitespace().find(|word| word.starts_with("my_model")).unwrap();
    printed(&case.lab, &["inspect", run, "--seed", "1001"]);
    let output = case.lab.mosaic(&["inspect", run, "--seed", "1001", "--change", "uniform"]);
    assert!(stderr(&output).contains("is a record"), "{}", stderr(&output));
    let output = case.lab.mosaic(&["inspect", run, "--seed", "4000"]);
    assert!(stderr(&output).contains("no noise seed 4000"), "{}", stderr(&output));
}

/// The record against the network `id`, by `compare --with`.
fn with_network(case: &Case, id: &str) -> Value {
    let (folder, out) = (case.folder.to_str().unwrap(), case.lab.place.path().join("networks"));
    let out = out.to_str().unwrap();
    let arguments = ["compare", "--external", folder, "--with", id, "--json", "--out", out];
    let found: Value = serde_json::from_str(&printed(&case.lab, &arguments)).unwrap();
    // As many seeds as the record holds.
    assert_eq!(found["n_seeds"], 6);
    found["pairs"][0].clone()
}

#[test]
fn samples_alone_are_compared_by_samples() {
    let case = case();
    let all = answers(&case.trained, &case.folder);
    all.without(&["t", "states", "x0hat", "attention", "noised", "noised_t", "noised_x0hat"])
        .write(&case.folder);
    let report = compare(
        &case,
        &["--external", case.folder.to_str().unwrap(), "--set", "theory.machines=els"],
        "samples",
    );
    assert!(report["floors"].is_null());
    assert!(report["agreement"]["els"]["r"].as_f64().is_some(), "{report}");
    let absent = report["units_of_papers"]["absent"].as_str().unwrap();
    assert!(absent.contains("no trajectories"), "{absent}");
    let found = with_network(&case, &case.trained.run.id());
    assert!(found["by_step"].as_array().unwrap().is_empty(), "{found}");
    check_close(found["final"]["r"]["median"]["estimate"].as_f64().unwrap(), 1.0, 1e-4, "r");
}

#[test]
fn other_orders_of_axes_and_ranges_are_read() {
    let case = case();
    let mut all = answers(&case.trained, &case.folder).without(&["attention"]);
    let folder = case.folder.to_str().unwrap();
    all.write(&case.folder);
    let expected = compare(&case, &["--external", folder, "--set", "theory.machines=els"], "first");
    for (name, shape, values) in &mut all.0 {
        let [.., c, h, w] = shape[..] else { continue };
        let last = values
            .chunks(c * h * w)
            .flat_map(|image| {
                (0..h * w).flat_map(move |p| (0..c).map(move |at| image[at * h * w + p]))
            })
            .collect();
        *values = last;
        let n = shape.len();
        shape[n - 3..].copy_from_slice(&[h, w, c]);
        if matches!(*name, "samples" | "x0hat" | "noised_x0hat") {
            values.iter_mut().for_each(|v| *v = (*v + 1.0) * 127.5);
        }
    }
    // Times may come in any order.
    for (name, shape, values) in &mut all.0 {
        let each = match *name {
            "t" => 1,
            "states" | "x0hat" => shape[2..].iter().product(),
            _ => continue,
        };
        let n_steps = 4;
        for sample in values.chunks_mut(n_steps * each) {
            let turned: Vec<f32> = sample.chunks(each).rev().flatten().copied().collect();
            sample.copy_from_slice(&turned);
        }
    }
    all.write(&case.folder);
    let path = case.folder.join("external.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let text = format!("value_range = \"0..255\"\n{}", text.replace("\"first\"", "\"last\""));
    std::fs::write(&path, text).unwrap();
    let found = compare(&case, &["--external", folder, "--set", "theory.machines=els"], "last");
    for key in ["agreement", "floors"] {
        let mut both = Vec::new();
        pairs(&found[key], &expected[key], key.to_owned(), &mut both);
        both.iter().for_each(|(path, a, b)| check_close(*a, *b, 1e-3, path));
    }
}

#[test]
fn arrays_that_cannot_be_a_models_answers_are_refused_by_name() {
    let case = case();
    let all = answers(&case.trained, &case.folder);
    let folder = case.folder.to_str().unwrap();
    let refusal = |change: &dyn Fn(&mut Answers)| {
        let mut changed = all.clone();
        change(&mut changed);
        changed.write(&case.folder);
        let output = case.lab.mosaic(&["compare", "--external", folder]);
        assert!(!output.status.success(), "it should be refused");
        let listed = printed(&case.lab, &["ls"]);
        assert!(!listed.contains("my_model"), "no run is left: {listed}");
        stderr(&output)
    };
    let no_samples = refusal(&|all| *all = all.without(&["samples"]));
    assert!(
        no_samples.contains("no array 'samples'") && no_samples.contains("noise"),
        "{no_samples}"
    );
    let half = refusal(&|all| *all = all.without(&["states"]));
    assert!(half.contains("t, states, x0hat belong together"), "{half}");
    let shape = refusal(&|all| all.get("samples").1.swap(1, 3));
    assert!(shape.contains("'samples'") && shape.contains("is expected"), "{shape}");
    let nan = refusal(&|all| all.get("x0hat").2[7] = f32::NAN);
    assert!(nan.contains("value 7 of array 'x0hat' is 'NaN'"), "{nan}");
    let scaled = refusal(&|all| all.get("noise").2.iter_mut().for_each(|v| *v *= 3.0));
    assert!(scaled.contains("standard normal"), "{scaled}");
    let range =
        refusal(&|all| all.get("samples").2.iter_mut().for_each(|v| *v = *v * 127.5 + 127.5));
    assert!(range.contains("value_range"), "{range}");
    let unit = refusal(&|all| {
        all.get("samples").2.iter_mut().for_each(|v| *v = (*v * 0.5 + 0.5).clamp(0.0, 1.0));
    });
    assert!(unit.contains("looks like 0..1"), "{unit}");
    let equal = refusal(&|all| {
        let noise = &mut all.get("noise").2;
        let n = noise.len() / 8;
        noise.copy_within(n..2 * n, 0);
    });
    assert!(equal.contains("rows 0 and 1 of 'noise' are equal"), "{equal}");
    let late = refusal(&|all| all.get("states").2.iter_mut().for_each(|v| *v *= 0.9));
    assert!(late.contains("the state of sample 0 at t = 1 differs from its noise"), "{late}");
    let schedule = refusal(&|all| {
        let t = all.get("t").2.clone();
        all.0.push(("abar", vec![4], t.iter().map(|t| 1.0 - t).collect()));
    });
    assert!(schedule.contains("diffusion.schedule"), "{schedule}");
    let times = refusal(&|all| all.get("t").2[0] = 0.3);
    assert!(times.contains("no time 0.2500") && times.contains("sampling_steps"), "{times}");
    let maps = refusal(&|all| all.get("attention").1 = vec![8, 4, 1, 2 * 144, 144]);
    assert!(maps.contains("'attention' is"), "{maps}");
    let path = case.folder.join("answers.npz");
    all.write(&case.folder);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let output = case.lab.mosaic(&["compare", "--external", folder]);
    assert!(stderr(&output).contains("answers.npz"), "{}", stderr(&output));
    std::fs::remove_file(&path).unwrap();
    let output = case.lab.mosaic(&["compare", "--external", folder]);
    assert!(stderr(&output).contains("with the model's samples"), "{}", stderr(&output));
    let again = case.lab.mosaic(&["external", folder, "--experiment", "glyphs-attention"]);
    assert!(stderr(&again).contains("there already"), "{}", stderr(&again));
}
