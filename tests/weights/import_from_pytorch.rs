//! Files that PyTorch wrote give the outputs here that they give there.

use std::path::Path;

use mosaic_lab::config::Arm;
use mosaic_lab::evaluation::network_and_machines_of_run::Trained;
use mosaic_lab::evaluation::studies::study_runs::{self, ArmState};
use mosaic_lab::runs::run_dir::RunDir;
use mosaic_lab::runs::run_toml::{self, Origin};
use mosaic_lab::runs::runs_dir::RunsDir;

use super::common::Lab;
use super::{
    drawn_set, fixtures, has_pytorch, here, python, refusal, relative_error, succeed, tensors,
};

/// Files of [`fixtures`], and what their tensors do not tell.
const NETWORKS: [(&str, &[&str]); 5] = [
    ("resnet_module", &[]),
    ("resnet_normalised_module_older", &[]),
    ("unet_ddim_older", &[]),
    ("checkpoint_bfloat16", &["--set", "network.padding=zeros"]),
    ("state_dict_views", &["--set", "network.padding=zeros"]),
];

fn import(lab: &Lab, file: &Path, more: &[&str]) -> (String, String) {
    let data = drawn_set(lab, 8);
    let data: Vec<&str> = data.iter().map(String::as_str).collect();
    succeed(lab, &[&["import", file.to_str().unwrap()], &data[..], more].concat())
}

/// Imports every file of `make_fixtures.py` in a folder and compares the networks' outputs.
fn check_outputs(folder: &Path) {
    let lab = Lab::new();
    let expected = tensors(&folder.join("expected.safetensors"));
    // The file holds the input `x`, too.
    let input = folder.join("expected.safetensors");
    for (name, more) in NETWORKS {
        let (run, _) = import(&lab, &folder.join(format!("{name}.pt")), more);
        let out = lab.place.path().join("out.safetensors");
        let [input, out_text] = [&input, &out].map(|path| path.to_str().unwrap());
        let question =
            ["denoise", "--run", &run, "--t", "0.4", "--input", input, "--output", out_text];
        let label: &[&str] = if name.starts_with("unet_ddim") { &["--label", "2"] } else { &[] };
        for (dtype, tolerance) in [("f64", 1e-12), ("f32", 1e-5)] {
            succeed(&lab, &[&question[..], &["--device", "cpu", "--dtype", dtype], label].concat());
            let error = relative_error(&tensors(&out)["eps"], &expected[name]);
            assert!(error < tolerance, "{name} in {dtype}: {error:e}");
        }
    }
}

#[test]
fn committed_files_give_the_outputs_that_pytorch_computed() {
    check_outputs(&fixtures());
}

#[test]
fn files_written_by_this_computers_pytorch_give_its_outputs() {
    if !has_pytorch("weights of this computer's PyTorch") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = here().join("make_fixtures.py");
    let [script, out] =
        [script.as_path(), folder.path()].map(|path| path.to_str().unwrap().to_owned());
    // The published class definitions, if they are at hand.
    let models = std::env::var("MOSAIC_PUBLIC_MODELS").ok();
    python(&[&[script.as_str(), out.as_str()], models.as_deref().as_slice()].concat());
    check_outputs(folder.path());
}

#[test]
fn an_imported_run_says_where_it_came_from_and_works_like_a_finished_one() {
    let lab = Lab::new();
    let file = fixtures().join("resnet_module.pt");
    let (run, told) = import(&lab, &file, &["--as", "theirs"]);
    assert!(run.starts_with("theirs-") && told.contains("network.width=16"), "{run}: {told}");
    let dir = RunDir::open(lab.runs().join(&run));
    let Origin::Imported(from) = run_toml::read(&dir.run_toml_path()).unwrap().origin else {
        panic!("not an imported run")
    };
    assert!(from.file.ends_with("resnet_module.pt") && from.sha256.len() == 64, "{from:?}");
    let (log, _) = succeed(&lab, &["logs", &run]);
    assert!(log.contains("weights imported from") && log.contains(&from.sha256), "{log}");
    assert!(succeed(&lab, &["ls"]).0.contains("finished"));
    assert!(refusal(&lab, &["resume", &run]).contains("finished; nothing to resume"));
    let out = lab.place.path().join("out.safetensors");
    let out = out.to_str().unwrap();
    succeed(&lab, &["sample", &run, "--seeds", "0..2", "--steps", "2", "--out", out]);
    succeed(&lab, &["preview", &run]);
    succeed(&lab, &["inspect", &run]);
    let small = ["--set", "calibrate.seeds=1", "--set", "diffusion.sampling_steps=2"];
    succeed(&lab, &[&["calibrate", run.as_str()], &small[..]].concat());
    let small = [&small[..], &["--set", "compare.floor_draws=2", "--seeds", "2", "--samples", "2"]]
        .concat();
    succeed(&lab, &[&["compare", run.as_str()], &small[..]].concat());
    let (report, _) = succeed(&lab, &["report", &run]);
    assert!(
        report.contains("weights imported from") && report.contains("not trained here"),
        "{report}"
    );
    // A study of the same settings trains its own runs.
    let experiment = dir.experiment().unwrap();
    let arm =
        Arm { experiment, base: "theirs".to_owned(), label: String::new(), varied: Vec::new() };
    let found = study_runs::found(&RunsDir::new(lab.runs()), &arm);
    assert!(matches!(found, ArmState::Waiting), "{found:?}");
}

#[test]
fn published_patch_sides_become_those_of_each_step() {
    let lab = Lab::new();
    let sides = |scales: &str, more: &[&str]| {
        let scales = fixtures().join(scales);
        let more = [&["--scales", scales.to_str().unwrap()], more].concat();
        let (run, told) = import(&lab, &fixtures().join("resnet_module.pt"), &more);
        assert!(told.contains("patch sides by step"), "{told}");
        let trained = Trained::open(&RunDir::open(lab.runs().join(run)), &[]).unwrap();
        assert_eq!(trained.experiment.sampling_steps, 4);
        assert_eq!(trained.experiment.calibrate.seeds, None, "a calibration would replace them");
        trained.experiment.theory.scales
    };
    // Entry i - 1 belongs to t = i/n, where it was calibrated; KG's sampler reads entry i.
    assert_eq!(sides("scales_list.pt", &[]), [3, 3, 5, 7]);
    assert_eq!(sides("scales_tensor.pt", &["--scales-order", "published"]), [3, 5, 7, 7]);
}

#[test]
fn averaged_weights_are_chosen_and_what_is_left_out_is_told() {
    let lab = Lab::new();
    let file = fixtures().join("checkpoint_bfloat16.pt");
    let (_, told) = import(&lab, &file, &["--set", "network.padding=zeros"]);
    assert!(told.contains("took the averaged weights ('ema_model'), not 'model'"), "{told}");
    assert!(told.contains("left out 1 tensors of 'optimizer'"), "{told}");
}

#[test]
fn each_wrong_use_is_answered_in_words() {
    let lab = Lab::new();
    let data = drawn_set(&lab, 8);
    let data: Vec<&str> = data.iter().map(String::as_str).collect();
    let path = |name: &str| fixtures().join(name).to_str().unwrap().to_owned();
    let (module, views) = (path("resnet_module.pt"), path("state_dict_views.pt"));
    let (classes, scales) = (path("unet_ddim_older.pt"), path("scales_list.pt"));
    std::fs::write(lab.place.path().join("notes.pt"), "my weights are elsewhere").unwrap();
    let whole = std::fs::read(&module).unwrap();
    std::fs::write(lab.place.path().join("short.pt"), &whole[..9000]).unwrap();
    let cases: [(&str, &[&str], &str); 12] = [
        ("nowhere.pt", &[], "No such file"),
        ("notes.pt", &[], "a text that starts 'my weights are elsewhere', not weights"),
        ("short.pt", &[], "it is damaged: its zip archive cannot be read"),
        (&scales, &[], "it holds no tensors"),
        (&views, &[], "give --set network.padding=zeros or --set network.padding=circular"),
        (&module, &["--set", "network.padding=circular"], "which have 'zeros'; leave it out"),
        (&module, &["--set", "network.width=32"], "the shapes of the weights say '16'"),
        (
            &module,
            &["--set", "network.attention=softmax"],
            "'attention.q.weight' [32, 16, 1, 1] is missing",
        ),
        (&module, &["--scales", &module], "it holds no list of patch sides"),
        (&module, &["--as", "a/b"], "letters, digits"),
        (&module, &["--experiment", "cifar-smal"], "did you mean 'cifar-small'"),
        (&classes, &["--set", "dataset.labels="], "needs classes"),
    ];
    for (file, more, expected) in cases {
        let error = refusal(&lab, &[&["import", file], &data[..], more].concat());
        assert!(error.contains(expected), "{file} {more:?}: {error}");
    }
    let error = refusal(&lab, &["import", &module]);
    assert!(error.contains("do not say which images") && error.contains("--experiment"), "{error}");
    let error = refusal(&lab, &["import", &module, "--set", "dataset.kind=glyphs"]);
    assert!(error.contains("images of 1 channels") && error.contains("are 3x18x18"), "{error}");
    assert_eq!(
        std::fs::read_dir(lab.runs()).map_or(0, Iterator::count),
        0,
        "no run is left behind"
    );
}
