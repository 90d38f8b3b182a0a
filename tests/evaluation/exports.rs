//! `mosaic export --what`: what is exported can be compared again with the same figures, and is what the run's denoisers do.

use mosaic_lab::arrays::{Array, ArrayFile};
use serde_json::Value;

use crate::common::{Lab, stderr};
use crate::{check_close, printed, train};

fn report(folder: &std::path::Path) -> Value {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let path = entries.map(|path| path.join("report.json")).find(|path| path.is_file()).unwrap();
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn an_exported_run_compared_as_an_external_model_has_the_same_r() {
    let lab = Lab::new();
    let run = train(&lab, "els,ideal,attention-trajectory,attention-similarity");
    let id = run.id();
    let at = |name: &str| lab.place.path().join(name).to_str().unwrap().to_owned();
    let folder = at("exported");
    let what = ["--what", "samples,states,x0hat,maps", "--seeds", "1000..1006"];
    printed(&lab, &[&["export", &id, "--out", &folder], &what[..]].concat());
    let shared = ["--seeds", "6", "--samples", "6", "--set", "compare.floor_draws=0", "--out"];
    printed(&lab, &[&["compare", &id], &shared[..], &[&at("own")]].concat());
    printed(&lab, &[&["compare", "--external", &folder], &shared[..], &[&at("external")]].concat());
    let (own, external) = (report(at("own").as_ref()), report(at("external").as_ref()));
    let machines = own["agreement"].as_object().unwrap();
    assert_eq!(machines.len(), 4);
    for (machine, figures) in machines {
        for key in ["r", "R2", "R2_along_network"] {
            let other = external["agreement"][machine][key].as_f64();
            let other = other.unwrap_or_else(|| panic!("no {key} of {machine}"));
            let found = figures[key].as_f64().unwrap();
            check_close(other, found, 1e-5, &format!("{key} of {machine}"));
        }
    }
}

/// The value of an array at these indices.
fn at(array: &Array, index: &[usize]) -> f64 {
    let place = index.iter().zip(array.shape()).fold(0, |place, (i, axis)| place * axis + i);
    array.f64_values()[place]
}

#[test]
fn provenance_names_the_training_pixels_that_a_machine_copies() {
    let lab = Lab::new();
    let run = train(&lab, "els,ideal");
    let out = lab.place.path().join("out.safetensors");
    let name = out.to_str().unwrap();
    let what = "data,samples,states,x0hat,provenance";
    let export = ["export", &run.id(), "--what", what, "--machine", "els", "--seeds", "0..3"];
    printed(&lab, &[&export[..], &["--out", name]].concat());
    let file = ArrayFile::open(&out).unwrap();
    let read = |name: &str| file.read(name).unwrap();
    let (x0hat, images) = (read("els/x0hat"), read("training_images"));
    let (places, nats, t) = (read("els/provenance"), read("els/entropy"), read("t"));
    let n_steps = t.len();
    assert_eq!(x0hat.shape(), [3, n_steps, 3, 12, 12]);
    assert_eq!(places.shape(), [3, n_steps, 12, 12, 3]);
    assert_eq!(nats.shape(), [3, n_steps, 12, 12]);
    assert!(nats.f64_values().iter().all(|&nats| (-1e-6..20.0).contains(&nats)));
    assert_eq!(read("seeds").i64_values().unwrap(), [0, 1, 2]);
    assert!(t.f64_values().is_sorted(), "cleanest first");
    // Near the end of sampling an estimate is the centre of the likeliest patch, but for few pixels between two.
    let mut n_copied = 0;
    for pixel in 0..3 * 144 {
        let (seed, row, column) = (pixel / 144, pixel / 12 % 12, pixel % 12);
        let place = |axis| at(&places, &[seed, 0, row, column, axis]) as usize;
        let is_copied = (0..3).all(|c| {
            let source = at(&images, &[place(0), c, place(1), place(2)]) / 127.5 - 1.0;
            (at(&x0hat, &[seed, 0, c, row, column]) - source).abs() < 0.1
        });
        n_copied += usize::from(is_copied);
    }
    assert!(n_copied > 400, "{n_copied} of 432 pixels");
    let bright = images.f64_values().iter().filter(|&&byte| byte > 128.0).count();
    assert!(bright > 50, "the images are not all background");
    // The state at t = 1 is the noise, for network and machine alike.
    for name in ["states", "els/states"] {
        let (states, noise) = (read(name), read("noise"));
        assert_eq!(states.item(2, n_steps - 1), noise.item(1, 0), "{name}");
    }
}

#[test]
fn what_cannot_be_exported_is_refused_with_the_reason() {
    let lab = Lab::new();
    let run = train(&lab, "els,wiener");
    let id = run.id();
    let out = |name: &str| lab.place.path().join(name).to_str().unwrap().to_owned();
    let csv = out("a.csv");
    printed(
        &lab,
        &["export", &id, "--what", "rates", "--seeds", "0..3", "--machine", "els", "--out", &csv],
    );
    let table = std::fs::read_to_string(&csv).unwrap();
    assert_eq!(table.lines().count(), 7, "{table}");
    assert!(table.lines().nth(4).unwrap().starts_with("0,els,"), "{table}");
    for (what, path, more, words) in [
        ("samples", out("b.csv"), vec![], "images have no rows and columns"),
        ("rates", out("b.npz"), vec![], "--format csv"),
        ("calibration", out("b.npz"), vec![], "mosaic calibrate"),
        ("provenance", out("b.npz"), vec!["--machine", "wiener"], "weighs training images"),
        ("samples", out("b.npz"), vec!["--machine", "lab"], "els, wiener, or all"),
        ("rates", csv, vec![], "--force"),
        ("data,rates", out("b.csv"), vec![], "name a directory"),
        ("samples", out("b.txt"), vec![], ".safetensors"),
        ("samples", out("none/b.npz"), vec![], "does not exist"),
        ("samples", out("b.npz"), vec!["--seeds", "3..3"], "3..3"),
    ] {
        let arguments = [&["export", &id, "--what", what, "--out", &path], &more[..]].concat();
        let output = lab.mosaic(&arguments);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(stderr(&output).contains(words), "{arguments:?}: {}", stderr(&output));
        assert!(!std::path::Path::new(&out("b.npz")).exists());
    }
}
