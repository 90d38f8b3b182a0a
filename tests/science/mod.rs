//! Studies and inspection, end to end with the real binary on tiny experiments.

use mosaic_lab::evaluation::inspect::Trace;
use mosaic_lab::runs::run_dir::RunDir;
use mosaic_lab::runs::runs_dir::RunsDir;
use serde_json::Value;

use super::common::{Lab, stderr, stdout};

const STUDY: &str = r#"
[experiment.tiny]
dataset.n = 8
dataset.size = 12
dataset.gap = 3
network.width = 16
network.kernels = [3]
training.steps = 12
training.batch = 4
training.checkpoint_every = 6
diffusion.sampling_steps = 3
theory.machines = ["els", "attention-pooled"]
preview.every = 0
compare.samples = 4
compare.seeds = 3
calibrate.seeds = 0

[experiment.absent]
base = "tiny"
dataset.kind = "idx"
dataset.path = "nowhere.gz"

[study.attention]
claim = "attention matters"
analysis = "theory"
experiments = ["tiny"]
vary.network.attention = ["softmax", "none"]
vary.training.seed = [0, 1]
quick.vary.training.seed = [0]

[study.again]
claim = "and again"
analysis = "consistency"
experiments = ["tiny"]
vary.network.attention = ["softmax", "none"]

[study.missing]
claim = "of a file that is not there"
analysis = "copying"
experiments = ["absent", "tiny"]
"#;

fn reproduce(lab: &Lab, arguments: &[&str]) -> (Value, String) {
    let output = lab.mosaic(&[&["reproduce", "--json"], arguments].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    (serde_json::from_str(&stdout(&output)).unwrap(), stderr(&output))
}

#[test]
fn a_study_ends_with_verdicts_and_its_runs_are_used_again() {
    let lab = Lab::new();
    let file = lab.place.path().join("lab.toml");
    std::fs::write(&file, STUDY).unwrap();
    let file = ["--lab", file.to_str().unwrap()];
    let with = |arguments: &[&'static str]| {
        let all: Vec<&str> = file.iter().copied().chain(arguments.iter().copied()).collect();
        reproduce(&lab, &all)
    };
    let (listed, _) = with(&[]);
    assert_eq!((listed[0]["runs"].as_u64(), listed[0]["quick_runs"].as_u64()), (Some(4), Some(2)));

    let (report, _) = with(&["attention", "--quick"]);
    let findings = report["findings"].as_array().unwrap();
    assert!(findings.iter().all(|finding| finding["verdict"].is_string()));
    assert_eq!(findings[0]["evidence"].as_array().unwrap().len(), 1, "{report}");
    assert_eq!(findings[0]["verdict"], "not_tested_over_networks");
    assert_eq!(report["runs"].as_array().unwrap().len(), 2);
    let folder = lab.runs().join("studies").join("attention-quick");
    for name in ["report.md", "report.json", "figures.png"] {
        assert!(folder.join(name).is_file(), "{name}");
    }

    // Two of the four runs of the full form exist already, as do those of another study.
    let (report, _) = with(&["attention", "--jobs", "2"]);
    let evidence = &report["findings"][0]["evidence"];
    assert_eq!((&evidence[0]["training_seeds"], &evidence[1]), (&2.into(), &Value::Null));
    assert_ne!(report["findings"][0]["verdict"], "not_tested_over_networks");
    let n_runs = || RunsDir::new(lab.runs()).list().len();
    assert_eq!(n_runs(), 4);
    let (report, _) = with(&["again"]);
    assert_eq!((n_runs(), report["study"].as_str()), (4, Some("again")));

    // A run that cannot be built is omitted and named in the report; the others count.
    let (report, _) = with(&["missing"]);
    let missing = report["missing"].as_array().unwrap();
    assert!(
        missing.len() == 1 && missing[0]["reason"].as_str().unwrap().contains("nowhere.gz"),
        "{report}"
    );

    let wrong = lab.mosaic(&["reproduce", "atention", file[0], file[1]]);
    assert!(stderr(&wrong).contains("did you mean 'attention'"), "{}", stderr(&wrong));
}

#[test]
fn a_seed_is_looked_into_from_the_command_line() {
    let lab = Lab::new();
    let output =
        lab.run("glyphs-attention", &["calibrate.seeds=0", "preview.every=0"], &["--json"]);
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let id = report["run"].as_str().unwrap();
    let run = RunDir::open(lab.runs().join(id));
    let picture = lab.place.path().join("a.png");
    let film = lab.place.path().join("b.png");
    let (picture, film) = (picture.to_str().unwrap(), film.to_str().unwrap());
    let output = lab.mosaic(&[
        "inspect", id, "--seed", "3", "--pixel", "2,5", "--step", "1", "--out", picture, "--film",
        film, "--json",
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    let found: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let network = &found["actors"][0];
    assert_eq!(network["who"], "network");
    assert_eq!(network["attention"].as_array().unwrap().len(), 2, "two heads");
    let els = found["actors"].as_array().unwrap().iter().find(|a| a["who"] == "els").unwrap();
    let weights = els["posterior"]["images"].as_array().unwrap();
    let sum: f64 = weights.iter().map(|image| image["weight"].as_f64().unwrap()).sum();
    assert!(sum > 0.0 && sum < 1.0 + 1e-5, "{sum}");

    let trace = Trace::read(&mosaic_lab::evaluation::inspect::path_of(&run, 3)).unwrap();
    assert!(mosaic_lab::evaluation::inspect::is_current(&run, 3));
    // Every row of every map is a distribution, and the sampling path ends at the sample.
    let n = trace.shape.n_pixels();
    let maps = trace.actors[0].maps.as_ref().unwrap();
    for (index, head) in [(0, 0), (trace.n_steps() - 1, 1)] {
        let sum: f32 = maps.row(n, index, head, 7).iter().sum();
        assert!((sum - 1.0).abs() < 2e-2, "{sum}");
    }
    let samples = lab.place.path().join("s.safetensors");
    let samples = samples.to_str().unwrap();
    lab.mosaic(&["sample", id, "--seeds", "3..4", "--out", samples]);
    let bytes = std::fs::read(samples).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let (expected, _) = tensors.tensor("samples").unwrap().data().as_chunks::<4>();
    let gap = |(a, b): (&f32, &[u8; 4])| (a - f32::from_le_bytes(*b)).abs();
    assert!(trace.actors[0].sample.iter().zip(expected).map(gap).fold(0.0, f32::max) < 1e-4);
    for path in [picture, film] {
        assert!(image::open(path).unwrap().width() > 300);
    }

    for (arguments, words) in
        [(["--pixel", "99,0"], "lies outside the image"), (["--step", "0"], "out of range")]
    {
        let refused = lab.mosaic(&[&["inspect", id], &arguments[..]].concat());
        assert!(stderr(&refused).contains(words), "{}", stderr(&refused));
    }
}
