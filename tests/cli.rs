//! End-to-end tests of the real binary on tiny experiments: launch, follow, control, kill, resume.

mod common;
#[path = "common/run.rs"]
mod run;
mod old_runs;
mod science;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{Lab, stderr, stdout, wait_for};
use mosaic_lab::runs::alive_silent_or_lost::Health;
use mosaic_lab::runs::preview_files::Preview;
use mosaic_lab::runs::run_dir::RunDir;
use mosaic_lab::runs::runs_dir::RunsDir;
use mosaic_lab::runs::status_json::RunState;
use run::{state, weights};
use safetensors::SafeTensors;
use serde_json::Value;

/// The handwritten digits in the repository.
const DIGITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/datasets/digits/images-idx3-ubyte.gz");
const LABELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/datasets/digits/labels-idx1-ubyte.gz");

#[test]
fn a_run_ends_with_one_json_object_that_holds_what_scripts_rely_on() {
    let lab = Lab::new();
    let output = lab.run("glyphs-attention", &[], &["--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert!(report["final_loss"].as_f64().unwrap() > 0.0);
    assert!(report["attention_entropy_nats"].as_f64().unwrap() > 0.0);
    for machine in ["ideal", "wiener", "els", "attention-similarity", "attention-trajectory"] {
        for figure in ["r", "r2", "R2"] {
            assert!(report["agreement"][machine][figure].is_number(), "{machine} {figure}");
        }
    }
    for rate in ["valid", "consistent", "novel", "creative"] {
        assert!((0.0..=1.0).contains(&report["rates"][rate].as_f64().unwrap()), "{rate}");
    }
    let run = RunDir::open(lab.runs().join(report["run"].as_str().unwrap()));
    for name in ["agreement.csv", "rates.csv", "report.md", "samples.png", "agreement.png"] {
        assert!(run.report_path().join(name).is_file(), "{name}");
    }
    assert!(run.calibration_path().is_file());
    assert_eq!(report["calibration_seeds"], serde_json::json!([500, 2]));
    assert!(report["agreement"]["attention-similarity"]["won"].is_number());
    assert_eq!(run.health(), Health::Over);
    assert!(!run.socket_path().exists());
    let samples = lab.place.path().join("s.safetensors");
    let sampled =
        lab.mosaic(&["sample", &run.id(), "--seeds", "3..5", "--out", samples.to_str().unwrap()]);
    assert!(sampled.status.success(), "{}", stderr(&sampled));
    assert!(samples.is_file());
}

#[test]
fn runs_are_calibrated_and_compared_again_on_other_seeds() {
    let lab = Lab::new();
    let output =
        lab.run("glyphs-attention", &["calibrate.seeds=0", "preview.every=0"], &["--json"]);
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let run = RunDir::open(lab.runs().join(report["run"].as_str().unwrap()));
    assert!(!run.calibration_path().exists(), "{}", stderr(&output));
    assert!(report["calibration_seeds"].is_null());

    let small = ["calibrate.seeds=2", "calibrate.k=3,5", "calibrate.lambda=0,1", "calibrate.tau=1"];
    let small = small.map(|setting| ["--set", setting]).concat();
    let found = lab.mosaic(&[&["calibrate", &run.id(), "--json"], &small[..]].concat());
    assert!(found.status.success(), "{}", stderr(&found));
    let found: Value = serde_json::from_str(&stdout(&found)).unwrap();
    let n_steps = found["n_steps"].as_u64().unwrap();
    for machine in found["machines"].as_array().unwrap() {
        assert_eq!(machine["steps"].as_array().unwrap().len() as u64, n_steps);
    }
    assert!(run.calibration_path().with_extension("png").is_file());

    let out = lab.place.path().join("out");
    let out = ["--out", out.to_str().unwrap(), "--seeds", "3", "--samples", "4", "--json"];
    let id = run.id();
    let compared = lab.mosaic(&[&["compare", &id, &id], &out[..]].concat());
    assert!(compared.status.success(), "{}", stderr(&compared));
    assert!(!stderr(&compared).contains("calibrating"), "it had a calibration");
    let compared: Value = serde_json::from_str(&stdout(&compared)).unwrap();
    let over_runs = &compared["experiments"][0]["over_runs"];
    assert_eq!(over_runs["els"]["r"]["runs"], 1, "the same run twice is one training seed");
    assert_eq!(compared["repeated"][0].as_str(), Some(id.as_str()));
    assert!(lab.place.path().join("out").join(&id).join("predicted_attention.csv").is_file());

    let whole = ["--set", "theory.machines=ideal,wiener"];
    let nothing = lab.mosaic(&[&["calibrate", &id], &small[..], &whole].concat());
    assert!(
        stderr(&nothing).contains("(ideal, wiener) has settings to calibrate"),
        "{}",
        stderr(&nothing)
    );
    let compared = lab.mosaic(&[&["compare", &id], &out[..], &whole, &small].concat());
    assert!(compared.status.success(), "{}", stderr(&compared));
    let report = lab.place.path().join("out").join(&id);
    let text = std::fs::read_to_string(report.join("report.md")).unwrap();
    assert!(!text.contains("were calibrated"), "{text}");

    let refused = lab.mosaic(&["compare", &id, "--set", "network.width=32"]);
    assert!(stderr(&refused).contains("'network.width' made the network"), "{}", stderr(&refused));
    std::fs::write(run.calibration_path(), "{\"format\": 1").unwrap();
    let broken = lab.mosaic(&[&["compare", &id], &out[..]].concat());
    assert!(stderr(&broken).contains("'mosaic calibrate' writes it anew"), "{}", stderr(&broken));
}

#[test]
fn a_network_without_attention_reports_no_entropy() {
    let lab = Lab::new();
    let output = lab.run("glyphs-cnn", &["training.steps=5"], &["--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert!(report["attention_entropy_nats"].is_null());
    assert!(report["agreement"].get("attention-trajectory").is_none());
}

#[test]
fn a_killed_worker_resumes_to_the_weights_of_an_uninterrupted_run() {
    let lab = Lab::new();
    let settings = ["training.steps=400", "training.checkpoint_every=25", "preview.every=0"];
    let whole = lab.detach(&settings);
    wait_for("the uninterrupted run", || state(&whole) == Some(RunState::Finished));
    let killed = lab.detach(&settings);
    wait_for("a checkpoint", || killed.state_path().join("step-000025").exists());
    assert!(lab.mosaic(&["kill", &killed.id()]).status.success());
    wait_for("the worker's end", || killed.health() == Health::Lost);
    let step_at_kill = killed.status().unwrap().step;
    assert!(step_at_kill < 400, "killed too late to tell anything");
    let listed = stdout(&lab.mosaic(&["ls"]));
    assert!(listed.contains("lost"), "{listed}");
    assert!(lab.mosaic(&["resume", &killed.id()]).status.success());
    wait_for("the resumed run", || state(&killed) == Some(RunState::Finished));
    assert_eq!(weights(&killed, 400), weights(&whole, 400));
}

#[test]
fn pause_resume_and_stop_do_what_they_say() {
    let lab = Lab::new();
    let run = lab.detach(&["training.steps=100000", "preview.every=0"]);
    wait_for("training", || run.status().is_some_and(|status| status.step > 3));
    assert!(lab.mosaic(&["pause", &run.id()]).status.success());
    wait_for("the pause", || state(&run) == Some(RunState::Paused));
    let again = lab.mosaic(&["pause", &run.id()]);
    assert!(!again.status.success() && stderr(&again).contains("paused already"));
    assert!(lab.mosaic(&["resume", &run.id()]).status.success());
    wait_for("training again", || state(&run) == Some(RunState::Training));
    let removed = lab.mosaic(&["rm", &run.id()]);
    assert!(!removed.status.success() && stderr(&removed).contains("stop it first"));
    assert!(lab.mosaic(&["stop", &run.id()]).status.success());
    wait_for("the stop", || state(&run) == Some(RunState::Stopped));
    wait_for("the end of the socket", || !run.socket_path().exists());
    assert!(lab.mosaic(&["rm", &run.id()]).status.success());
    assert!(RunsDir::new(lab.runs()).list().is_empty());
}

#[test]
fn training_is_not_continued_under_another_noise_schedule() {
    let lab = Lab::new();
    let settings = ["training.steps=100000", "preview.every=0", "diffusion.schedule=edm"];
    let run = lab.detach(&settings);
    wait_for("a checkpoint", || run.state_path().join("step-000010").exists());
    assert!(lab.mosaic(&["stop", &run.id()]).status.success());
    wait_for("the stop", || state(&run) == Some(RunState::Stopped));
    wait_for("the end of the socket", || !run.socket_path().exists());
    let text = std::fs::read_to_string(run.run_toml_path()).unwrap();
    let other = text.replace("schedule = \"edm\"", "schedule = \"ddpm-linear\"");
    assert_ne!(other, text);
    std::fs::write(run.run_toml_path(), other).unwrap();
    assert!(lab.mosaic(&["resume", &run.id()]).status.success());
    wait_for("the worker to fail", || state(&run) == Some(RunState::Failed));
    wait_for("the reason in the log", || {
        let logs = stdout(&lab.mosaic(&["logs", &run.id()]));
        logs.contains("diffusion.schedule is 'edm' but this run's is 'ddpm-linear'")
    });
}

#[test]
fn what_cannot_be_run_is_refused_before_anything_is_launched() {
    let lab = Lab::new();
    let cases = [
        ("glyphs-atention", "training.steps=5", "did you mean 'glyphs-attention'?"),
        ("glyphs-cnn", "training.stepz=5", "did you mean 'training.steps'?"),
        ("glyphs-cnn", "training.steps=0", "a whole number of at least 1"),
        ("fashion-attention", "training.steps=5", "which does not exist"),
    ];
    for (experiment, setting, expected) in cases {
        let output = lab.run(experiment, &[setting], &[]);
        assert_eq!(output.status.code(), Some(1), "{experiment} {setting}");
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    }
    assert!(!Path::new(&lab.runs()).exists());
}

#[test]
fn a_network_that_is_told_the_class_trains_with_attention_and_is_compared() {
    let lab = Lab::new();
    let path = format!("dataset.path={DIGITS}");
    let labels = format!("dataset.labels={}", DIGITS.replace("images-idx3", "labels-idx1"));
    let settings = [
        &path,
        &labels,
        "dataset.n=40",
        "network.conditional=true",
        "training.steps=5",
        "theory.machines=ls,bbels",
    ];
    let output = lab.run("digits-attention", &settings, &["--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert!(report["agreement"]["bbels"]["r2"].is_number(), "{report}");
}

#[test]
fn a_conditional_network_needs_images_of_every_class() {
    let lab = Lab::new();
    let path = format!("dataset.path={DIGITS}");
    let labels = format!("dataset.labels={LABELS}");
    // Six images cannot have all ten digits.
    let settings = [&path, &labels, "network.conditional=true", "dataset.n=6"];
    let output = lab.run("digits-attention", &settings, &["--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    let message = stderr(&output);
    assert!(message.contains("have no images: ") && message.contains("consecutively"), "{message}");
}

#[test]
fn bench_theory_prints_one_object_a_row_and_refuses_the_impossible_first() {
    let lab = Lab::new();
    let bench = |more: &[&str]| {
        lab.mosaic(&[&["bench", "theory", "--data", DIGITS, "--n", "20"], more].concat())
    };
    let output = bench(&["--machine", "els,ideal", "--k", "3", "--size", "8", "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let rows: Vec<Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((rows.len(), &rows[0]["machine"], &rows[0]["k"]), (2, &"els".into(), &3.into()));
    assert!(rows.iter().all(|row| row["cpu_s"].as_f64().unwrap() >= 0.0));
    for (arguments, expected) in [
        (["--machine", "els,els-interior", "--k", "3,15", "--size", "8"], "k = '15'"),
        (["--machine", "els", "--k", "4", "--size", "8"], "patch sides are odd"),
    ] {
        let output = bench(&arguments);
        assert!(!output.status.success() && stdout(&output).is_empty(), "{}", stdout(&output));
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    }
}

#[test]
fn bench_gpu_without_a_gpu_says_so_in_one_line() {
    let output = Lab::new().mosaic(&["bench", "gpu", "--device", "cpu", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(
        said.starts_with("error: no GPU to benchmark: cpu") && said.lines().count() == 1,
        "{said}"
    );
    assert!(stdout(&output).is_empty(), "{}", stdout(&output));
}

#[test]
fn without_a_terminal_the_dashboard_says_what_to_run_instead() {
    let output = Lab::new().mosaic(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("mosaic run EXPERIMENT"), "{}", stderr(&output));
}

#[test]
fn the_doctor_says_what_works_and_fails_where_something_asked_for_does_not() {
    let lab = Lab::new();
    let output = lab.mosaic(&["doctor", "--json"]);
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    let findings: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let of = |findings: &Value, about: &str| {
        let all = findings.as_array().unwrap();
        all.iter().find(|finding| finding["about"] == about).unwrap()["verdict"].clone()
    };
    for about in ["version", "lab file", "terminal", "processors", "memory", "runs", "device"] {
        assert_eq!(of(&findings, about), "good", "{findings:#}");
    }
    std::fs::write(lab.place.path().join("lab.toml"), "[lab]\ndevice = 3\n").unwrap();
    let output = lab.mosaic(&["doctor", "--json"]);
    assert!(!output.status.success());
    assert_eq!(of(&serde_json::from_str(&stdout(&output)).unwrap(), "lab file"), "bad");
}

#[test]
fn a_preview_of_a_finished_run_is_made_of_chosen_seeds_in_chosen_steps() {
    let lab = Lab::new();
    let done = lab.run("glyphs-attention", &[], &["--json"]);
    assert!(done.status.success(), "{}", stderr(&done));
    let refused = lab.mosaic(&["preview", "glyphs", "--seeds", "9..9"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains("seeds 9..9: a preview has 1 to 64 seeds"),
        "{}",
        stderr(&refused)
    );
    let made = lab.mosaic(&["preview", "glyphs", "--seeds", "8..11", "--steps", "6"]);
    assert!(made.status.success(), "{}", stderr(&made));
    let place = PathBuf::from(String::from_utf8_lossy(&made.stdout).trim());
    let preview = Preview::read(&place).unwrap();
    assert_eq!((preview.first_seed, preview.sampling_steps, preview.seeds.len()), (8, 6, 3));
    assert_eq!(preview.labels_of("network").map(<[_]>::len), Some(3));
    // Seed 8 is the same noise in any batch.
    let again = lab.mosaic(&["preview", "glyphs", "--seeds", "8"]);
    assert!(again.status.success(), "{}", stderr(&again));
    let alone = Preview::read(&place).unwrap();
    assert_eq!((alone.seeds.len(), alone.sampling_steps), (1, 4));
    assert_eq!(alone.seeds.image(0), preview.seeds.image(0));
    assert_ne!(alone.network.image(0), preview.network.image(0), "in other steps");
}

#[test]
fn runs_are_noted_renamed_and_deleted() {
    let lab = Lab::new();
    let run = RunsDir::new(lab.runs()).create("glyphs-cnn").unwrap();
    std::fs::write(run.run_toml_path(), "").unwrap();
    let said = |arguments: &[&str]| {
        let output = lab.mosaic(arguments);
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    assert!(
        said(&["note", "glyphs", "a lower rate", "--tag", "keep"]).contains("a lower rate [keep]")
    );
    assert!(said(&["ls"]).contains("#keep  a lower rate"));
    let runs: Value = serde_json::from_str(&said(&["ls", "--json"])).unwrap();
    assert_eq!(runs[0]["tags"][0], "keep");
    assert!(said(&["note", "glyphs", "--untag", "keep"]).contains("a lower rate []"));
    assert!(!lab.mosaic(&["note", "glyphs", "--tag", "two words"]).status.success());
    let renamed = said(&["rename", "glyphs", "baseline"]);
    assert!(renamed.contains(" is now baseline-"), "{renamed}");
    said(&["rm", "baseline"]);
    assert!(RunsDir::new(lab.runs()).list().is_empty());
}

#[test]
fn what_cannot_be_shown_or_attached_to_is_named() {
    let lab = Lab::new();
    let output = lab.mosaic(&["show", "nothing"]);
    assert!(!output.status.success());
    assert!(
        stderr(&output).contains("'nothing' is neither a file nor a run"),
        "{}",
        stderr(&output)
    );
    let text = lab.place.path().join("text.png");
    std::fs::write(&text, "no picture").unwrap();
    let output = lab.mosaic(&["show", text.to_str().unwrap()]);
    assert!(stderr(&output).contains("as PNG"), "{}", stderr(&output));
    let picture = lab.place.path().join("picture.png");
    image::RgbImage::new(4, 4).save(&picture).unwrap();
    let output = lab.mosaic(&["show", picture.to_str().unwrap()]);
    assert!(stderr(&output).contains("the terminal cannot show"), "{}", stderr(&output));
    let output = lab.mosaic(&["attach"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn init_writes_a_lab_file_that_reads_and_never_overwrites_one() {
    let place = tempfile::tempdir().unwrap();
    let mosaic = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mosaic"));
        command.args(arguments).current_dir(place.path()).output().unwrap()
    };
    assert!(mosaic(&["init"]).status.success());
    assert!(mosaic(&["experiments"]).status.success());
    std::fs::write(place.path().join("lab.toml"), "# mine").unwrap();
    let again = mosaic(&["init"]);
    assert!(!again.status.success());
    assert!(String::from_utf8_lossy(&again.stderr).contains("'lab.toml' already exists"));
    assert_eq!(std::fs::read_to_string(place.path().join("lab.toml")).unwrap(), "# mine");
}

/// Slow enough to be interrupted.
const SLOW: &[&str] = &["--machine", "bbels", "--k", "3", "--seeds", "0..2", "--steps", "30"];
const SLOW_SET: &[&str] = &["--set", "dataset.n=200", "--set", "dataset.size=24"];

fn theory(lab: &Lab, out: &Path, arguments: &[&str]) -> Output {
    let out = ["--out", out.to_str().unwrap()];
    lab.mosaic(&[&["theory", DIGITS][..], &out, arguments].concat())
}

#[test]
fn a_killed_process_is_gone_on_with_to_the_same_samples() {
    let lab = Lab::new();
    let (whole, parts) = (lab.place.path().join("whole"), lab.place.path().join("parts"));
    let arguments = [SLOW, SLOW_SET].concat();
    let output = theory(&lab, &whole, &arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    let mut child = Command::new(env!("CARGO_BIN_EXE_mosaic"))
        .args(["theory", DIGITS, "--out", parts.to_str().unwrap()])
        .args(&arguments)
        .current_dir(lab.place.path())
        .spawn()
        .unwrap();
    let partial = parts.join("bbels.partial.safetensors");
    wait_for("the first steps", || partial.is_file());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!parts.join("bbels.safetensors").is_file(), "killed too late to test anything");
    let output = theory(&lab, &parts, &arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    // Whole files are not compared, because the order of a header's entries varies.
    let samples = |folder: &Path| {
        let bytes = std::fs::read(folder.join("bbels.safetensors")).unwrap();
        SafeTensors::deserialize(&bytes).unwrap().tensor("samples").unwrap().data().to_vec()
    };
    assert!(samples(&whole) == samples(&parts), "samples differ");
    assert!(!partial.exists() && parts.join("samples.png").is_file());
}

#[test]
fn samples_of_other_settings_are_refused_and_labels_restrict() {
    let lab = Lab::new();
    let out = lab.place.path().join("out");
    let arguments = ["--machine", "ideal", "wiener", "--seeds", "0..3", "--steps", "4", "--json"];
    let output = theory(&lab, &out, &arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    let found: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(found["machines"]["ideal"]["settings"]["images"], "1797 of 1x8x8");
    assert!(out.join("ideal.safetensors").is_file() && out.join("wiener.safetensors").is_file());
    let labels = format!("dataset.labels={LABELS}");
    let label = [&arguments[..], &["--set", &labels, "--label", "3"]].concat();
    let output = theory(&lab, &out, &label);
    assert!(stderr(&output).contains("label is 'any' there and '3' here"), "{}", stderr(&output));
    let output = theory(&lab, &lab.place.path().join("threes"), &label);
    let found: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(found["machines"]["ideal"]["settings"]["images"], "183 of 1x8x8");
}

#[test]
fn colour_images_of_cifar_with_their_classes_are_trained_on_and_compared() {
    let lab = Lab::new();
    let path = "dataset.path=cifar-10-batches-bin";
    let settings = [path, "dataset.size=8", "dataset.n=0", "network.conditional=true"];
    let missing = lab.run("cifar-attention", &settings, &["--json"]);
    assert!(stderr(&missing).contains("mosaic data fetch cifar10"), "{}", stderr(&missing));
    let folder = lab.place.path().join("cifar-10-batches-bin");
    std::fs::create_dir_all(&folder).unwrap();
    let record = |i: usize| (0..3073).map(move |v| if v == 0 { i % 10 } else { i * v % 251 } as u8);
    std::fs::write(folder.join("data_batch_1.bin"), (0..24).flat_map(record).collect::<Vec<_>>())
        .unwrap();
    let output = lab.run("cifar-attention", &settings, &["--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert!(report["final_loss"].as_f64().unwrap() > 0.0);
    assert!(report["agreement"]["bbels"]["r"].is_number());
    let shown = lab.mosaic(&["data", "show", "cifar-attention", "--set", path]);
    assert!(stdout(&shown).contains("24 images of 3x32x32"), "{}", stdout(&shown));
}

#[test]
fn theory_takes_folders_of_images() {
    let lab = Lab::new();
    let photos = lab.place.path().join("photos");
    std::fs::create_dir(&photos).unwrap();
    for i in 0..5_u8 {
        let image = image::RgbImage::from_fn(12, 10, |x, y| {
            image::Rgb([20 * i, 20 * x as u8, 25 * y as u8])
        });
        image.save(photos.join(format!("{i}.png"))).unwrap();
    }
    let out = lab.place.path().join("out");
    let arguments = ["--machine", "ls", "--k", "3", "--seeds", "0..2", "--steps", "3", "--json"];
    let place = ["theory", "photos", "--set", "dataset.size=8", "--out", out.to_str().unwrap()];
    let output = lab.mosaic(&[&place[..], &arguments].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let found: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(found["machines"]["ls"]["settings"]["images"], "5 of 3x8x8");
    let drawn = lab.place.path().join("photos.png");
    let show = ["data", "show", "photos", "--set", "dataset.n=3", "--out", drawn.to_str().unwrap()];
    let shown = lab.mosaic(&show);
    assert!(stdout(&shown).contains("photos: 3 images of 3x32x32"), "{}", stderr(&shown));
    assert!(image::open(&drawn).unwrap().width() > 3 * 64);
    std::fs::create_dir(photos.join("none")).unwrap();
    let output = lab.mosaic(&["theory", "photos/none", "--out", out.to_str().unwrap()]);
    assert!(stderr(&output).contains("no PNG, JPEG or WebP"), "{}", stderr(&output));
}

#[test]
fn held_out_seeds_that_were_looked_at_are_named_in_every_later_report() {
    let lab = Lab::new();
    let small =
        ["calibrate.seeds=0", "preview.every=0", "training.steps=10", "theory.machines=wiener"];
    let output = lab.run("glyphs-attention", &small, &["--json"]);
    let report: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(report["seen_seeds"], serde_json::json!([]), "{report}");
    let id = report["run"].as_str().unwrap();
    for seeds in ["1003", "498..502", "990..1001"] {
        let refused = lab.mosaic(&["preview", id, "--seeds", seeds]);
        assert!(!refused.status.success() && stderr(&refused).contains("held out"), "{seeds}");
    }
    assert!(lab.mosaic(&["preview", id, "--seeds", "10000..10002"]).status.success());
    let out = lab.place.path().join("samples.safetensors");
    let out = out.to_str().unwrap();
    assert!(lab.mosaic(&["sample", id, "--seeds", "990..1002", "--out", out]).status.success());
    assert!(lab.mosaic(&["inspect", id, "--seed", "1003"]).status.success());
    let compare = |more: &[&str]| {
        let folder = lab.place.path().join(format!("compared-{}", more.len()));
        let base = ["compare", id, "--seeds", "4", "--samples", "4", "--uncalibrated", "--out"];
        let output = lab.mosaic(&[&base[..], &[folder.to_str().unwrap()], more].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        (read(&format!("{id}/report.md")), read("summary.md"))
    };
    let (page, summary) = compare(&[]);
    for text in [page, summary] {
        assert!(text.contains("**Seen before:** seeds 1000 to 1001, 1003"), "{text}");
    }
    // Other noise was never seen.
    let (page, _) = compare(&["--set", "diffusion.noise_seed=9"]);
    assert!(!page.contains("Seen before"), "{page}");
}

#[test]
fn wrong_use_is_answered_in_words() {
    let lab = Lab::new();
    let out = lab.place.path().join("out");
    for (arguments, expected) in [
        (&["--machine", "elss"][..], "did you mean 'els'"),
        (&["--machine", "attention-trajectory"], "needs a network's attention maps"),
        (&["--machine", "els", "--k", "4"], "4"),
        (&["--label", "3"], "no labels"),
        (&["--steps", "6", "--set", "theory.scales=[3, 5]"], "theory.scales"),
    ] {
        let output = theory(&lab, &out, arguments);
        assert!(!output.status.success());
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
    }
    let output = lab.mosaic(&["theory", "no-such-thing"]);
    assert!(stderr(&output).contains("neither a file nor an experiment"), "{}", stderr(&output));
}
