//! Reports where figures are undefined: constant images, seeds without r, no judge, no attention.

use mosaic_lab::config::{Experiment, NamedMachine};
use mosaic_lab::evaluation::agreement_and_rates::agreement_figures;
use mosaic_lab::evaluation::approximation_error::{ApproximationError, LevelError};
use mosaic_lab::evaluation::final_comparison_of_a_run::Comparison;
use mosaic_lab::evaluation::report::{Report, ReportContext};
use mosaic_lab::evaluation::samples::{AgreementByStep, SampleSet};
use mosaic_lab::image::{ImageBatch, ImageShape};
use mosaic_lab::random::noise_seeds;
use mosaic_lab::runs::event::LossByLevel;
use mosaic_lab::theory::machine_spec::{MachineKind, MachineSpec, PatchSize};
use serde_json::{Value, json};

use crate::check_close;
use crate::plain::{pearson, r_squared};

#[test]
fn undefined_figures_are_left_out_and_ties_are_not_won() {
    let shape = ImageShape::new(1, 4, 4);
    let draw = |seed| noise_seeds(seed, 0, 3, shape);
    let network = draw(1);
    // The local machine is constant for seed 1; the ideal one equals it for seed 0 and is the network for seed 2.
    let mut local = draw(2);
    local.values_mut()[16..32].fill(0.25);
    let other = draw(3);
    let ideal = [local.image(0), other.image(1), network.image(2)].concat();
    let machines =
        vec![("ideal".to_owned(), ImageBatch::new(shape, ideal)), ("ls".to_owned(), local.clone())];
    let samples = SampleSet { seeds: draw(0), network: network.clone(), machines };
    let approximation = ApproximationError {
        machine: "ls".to_owned(),
        of: "ideal".to_owned(),
        draws: 9,
        levels: vec![LevelError { t: 0.25, rms: 0.0625, images: 0.5 }],
    };
    let comparison = Comparison {
        noise_seed: 7,
        n_seeds: 3,
        figures: agreement_figures(&samples),
        samples,
        rates: None,
        machine_rates: vec![("ideal".to_owned(), None), ("ls".to_owned(), None)],
        approximations: vec![approximation],
        by_step: AgreementByStep::default(),
        controls: Vec::new(),
        unclamped: None,
        mosaics: Vec::new(),
        attention: None,
    };
    let experiment = Experiment::named("e").unwrap();
    let spec = |kind| MachineSpec::new(kind, PatchSize::Fixed(3));
    let machines = [("ideal", MachineKind::Ideal), ("ls", MachineKind::Local)];
    let machines =
        machines.map(|(name, kind)| NamedMachine { name: name.into(), spec: spec(kind) });
    let context = ReportContext {
        run: "r".to_owned(),
        experiment: &experiment,
        machines: machines.into(),
        final_loss: None,
        loss_by_level: &LossByLevel { loss: vec![Some(0.5), None, None, Some(0.125)] },
        floors: None,
        over_training: &[],
        interventions: None,
        novel_by_chance: None,
        n_steps: 5,
        device: "cpu".to_owned(),
        n_parameters: Some(1),
        n_training_images: 2,
        calibration: None,
        seen_seeds: Vec::new(),
    };
    let folder = tempfile::tempdir().unwrap();
    Report::new(&context, &comparison).write(folder.path()).unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();

    let csv = read("agreement.csv");
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 7);
    assert!(lines[5].starts_with("1001,ls,,,-"), "no r, but an R^2: {csv}");
    let cod = r_squared(local.image(1), network.image(1));
    check_close(lines[5].rsplit(',').next().unwrap().parse().unwrap(), cod, 1e-6, "R^2");
    assert!(lines[3].starts_with("1002,ideal,1.000000,1.000000,1.000000"), "{csv}");
    for (name, head) in [
        ("rates.csv", "who,samples,rate,value,low95,high95\n"),
        ("by_step.csv", "machine,t,R2,seeds\n"),
        ("controls.csv", "seed,machine,control,r\n"),
        ("clamp.csv", "who,t,outside\n"),
        ("predicted_attention.csv", "machine,t,predicted_nats,measured_nats,r_of_log_maps\n"),
    ] {
        assert_eq!(read(name), head);
    }

    let report: Value = serde_json::from_str(&read("report.json")).unwrap();
    let (ideal, ls) = (&report["agreement"]["ideal"], &report["agreement"]["ls"]);
    assert_eq!((&ls["n_seeds"], &ls["n_seeds_r"]), (&json!(3), &json!(2)));
    // Both have an r for seeds 0 and 2; the first is a tie.
    assert_eq!(
        (&report["baseline"], &ideal["won"], &ls["won"]),
        (&json!("ls"), &json!(0.5), &json!(0.0))
    );
    let r = [0, 2].map(|i| pearson(local.image(i), network.image(i)));
    check_close(ls["r"].as_f64().unwrap(), (r[0] + r[1]) / 2.0, 1e-9, "median of two");
    for key in ["rates", "judged_seeds", "attention", "attention_entropy_nats", "final_loss"] {
        assert!(report[key].is_null(), "{key}");
    }
    assert!(ls["R2_along_network"].is_null() && ls["r_of_predicted_entropy"].is_null());
    assert_eq!(report["loss_by_level"], json!([0.5, null, null, 0.125]));

    let level = json!({ "t": 0.25, "rms": 0.0625, "images": 0.5 });
    let error = json!({ "of": "ideal", "draws": 9, "levels": [level] });
    assert_eq!(report["approximation_error"], json!({ "ls": error }));

    let page = read("report.md");
    for words in [
        "Final loss -; by noise level, 0.50000 up to t = 0.2, 0.12500 up to t = 1.0.",
        "5 of 4000 planned steps",
        "| seeds (R^2) | won against ls |",
        "| 2 (3) | - | - |",
        "| 3 | 50% | - |",
        "| ls (approximate) |",
        "\n\nls is approximate: rms difference of x0hat per value from ideal, the exact posterior mean, on 9 noised",
        "(training images compared with): 0.25 6.2e-2 (50.00%).\n\n",
        "Held-out noise seeds 1000 to 1002 of noise seed 7",
    ] {
        assert!(page.contains(words), "'{words}' is not in {page}");
    }
    assert!(!page.contains("## Judged samples") && !page.contains("## Attention"), "{page}");
}
