//! Every reader of externally written files or lines, from bytes to result.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use image::ImageFormat;
use mosaic_lab::arrays::ArrayFile;
use mosaic_lab::cli::denoise::{self, DenoiseArgs, OutputType};
use mosaic_lab::config;
use mosaic_lab::dataset::array_images::ArraySource;
use mosaic_lab::dataset::fit_to_square::Fit;
use mosaic_lab::dataset::image_folder::Folder;
use mosaic_lab::dataset::parquet_images::TableSource;
use mosaic_lab::dataset::published_sets;
use mosaic_lab::dataset::{self, DatasetSource, Selection};
use mosaic_lab::diffusion::Schedule;
use mosaic_lab::download::partial_record::PartialRecord;
use mosaic_lab::evaluation::calibration::Calibration;
use mosaic_lab::evaluation::inspect::Trace;
use mosaic_lab::hardware::device_request::DeviceRequest;
use mosaic_lab::image::ImageShape;
use mosaic_lab::random::noise_seeds;
use mosaic_lab::runs::control_messages::{Act, Command, Request};
use mosaic_lab::runs::event_log::EventTail;
use mosaic_lab::runs::note_and_tags::About;
use mosaic_lab::runs::preview_files::Preview;
use mosaic_lab::runs::run_dir::RunDir;
use mosaic_lab::runs::run_toml::{self, RunToml};
use mosaic_lab::runs::status_json::{RunState, Status};
use mosaic_lab::training::checkpoint::{self, Checkpoint, Contents};
use mosaic_lab::training::checkpoint_settings::{Identity, SavedIdentity};
use mosaic_lab::training::early_end_of_training::Progress;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use safetensors::Dtype;

use crate::formats::{self, mend_gzip, mend_png, mend_tar, mend_tensors};
use crate::mutate::mutated;

/// One reader and the generator of its inputs. Errors and results are equally fine; panics, hangs and excessive
/// memory use are not.
pub struct Reader {
    pub name: &'static str,
    pub input: Input,
    pub read: Read,
}

type Input = Box<dyn Fn(&mut ChaCha8Rng) -> Vec<u8> + Send>;
type Read = Box<dyn Fn(&[u8]) + Send>;

type Mend = fn(Vec<u8>, &mut ChaCha8Rng) -> Vec<u8>;

pub fn keep(input: Vec<u8>, _: &mut ChaCha8Rng) -> Vec<u8> {
    input
}

/// A reader whose inputs are mutated and repaired samples; asserts that it accepts every sample.
pub fn reader(
    name: &'static str,
    samples: Vec<Vec<u8>>,
    is_text: bool,
    mend: Mend,
    read: impl Fn(&[u8]) -> bool + Send + 'static,
) -> Reader {
    for (number, sample) in samples.iter().enumerate() {
        assert!(read(sample), "sample {number} of {name} is one that is read");
    }
    Reader {
        name,
        input: Box::new(move |random| mend(mutated(&samples, is_text, random), random)),
        read: Box::new(move |input| {
            read(input);
        }),
    }
}

/// Like [`reader`], with contradicting shapes among the inputs.
pub fn tensor_reader(
    name: &'static str,
    samples: Vec<Vec<u8>>,
    read: impl Fn(&[u8]) -> bool + Send + 'static,
) -> Reader {
    let originals = samples.clone();
    let plain = reader(name, samples, false, mend_tensors, read);
    let input = move |random: &mut ChaCha8Rng| match random.random_bool(0.4) {
        true => formats::reshaped(crate::mutate::pick::<Vec<u8>>(&originals, random), random),
        false => (plain.input)(random),
    };
    Reader { name, input: Box::new(input), read: plain.read }
}

/// The path of a file with this name in its own folder.
fn at(place: &Path, name: &str) -> PathBuf {
    let folder = place.join(name.replace('.', "-"));
    fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

/// All readers; they work in the directory `place`.
pub fn all(place: &Path) -> Vec<Reader> {
    let mut all = images(place);
    all.extend(arrays(place));
    all.extend(denoisers(place));
    all.extend(records(place));
    all.extend(fetching());
    all.extend(made(place));
    all.extend(crate::weights::all(place));
    all
}

fn images(place: &Path) -> Vec<Reader> {
    let idx = |path: PathBuf| {
        move |input: &[u8]| {
            fs::write(&path, input).unwrap();
            let source = DatasetSource::Idx { images: path.clone(), labels: None, size: Some(8) };
            dataset::open("x", &source, Selection::all()).is_ok()
        }
    };
    let cifar = |path: PathBuf| {
        move |input: &[u8]| {
            fs::write(&path, input).unwrap();
            let source = DatasetSource::Cifar { path: path.clone(), size: None };
            dataset::open("x", &source, Selection::all()).is_ok()
        }
    };
    let picture = |path: PathBuf| {
        move |input: &[u8]| {
            fs::write(&path, input).unwrap();
            let folder = Folder::list(path.parent().unwrap());
            folder.is_ok_and(|folder| folder.open("x", &[0], Fit::to(8)).is_ok())
        }
    };
    let plain = vec![formats::idx(3, 5), formats::idx(1, 8)];
    let packed = plain.iter().map(|file| formats::gzip(file)).collect();
    // Archives are damaged before they are compressed.
    let archives = formats::archives();
    let read_archive = cifar(at(place, "a.tar.gz"));
    assert!(archives.iter().all(|archive| read_archive(&formats::gzip(archive))));
    let bins = vec![formats::cifar(2, false), formats::cifar(1, true)];
    let pngs = formats::pictures(ImageFormat::Png);
    let jpegs = formats::pictures(ImageFormat::Jpeg);
    vec![
        reader("idx", plain, false, keep, idx(at(place, "idx3-ubyte"))),
        reader("idx.gz", packed, false, mend_gzip, idx(at(place, "idx3-ubyte.gz"))),
        reader("cifar.bin", bins, false, keep, cifar(at(place, "data_batch_1.bin"))),
        Reader {
            name: "cifar.tar.gz",
            input: Box::new(move |random| mend_tar(mutated(&archives, false, random), random)),
            read: Box::new(move |input| {
                read_archive(input);
            }),
        },
        reader("png", pngs, false, mend_png, picture(at(place, "a.png"))),
        reader("jpeg", jpegs, false, keep, picture(at(place, "a.jpg"))),
        reader(
            "webp",
            formats::pictures(ImageFormat::WebP),
            false,
            keep,
            picture(at(place, "a.webp")),
        ),
    ]
}

/// Files of arrays, read as images and array by array, and tables of images.
fn arrays(place: &Path) -> Vec<Reader> {
    let array = |path: PathBuf| {
        move |input: &[u8]| {
            fs::write(&path, input).unwrap();
            if let Ok(file) = ArrayFile::open(&path) {
                for info in file.arrays() {
                    let _ = file.read(&info.name).map(|array| array.f32_values());
                }
            }
            let source = ArraySource { path: path.clone(), ..ArraySource::default() };
            dataset::open("x", &DatasetSource::Arrays(source), Selection::all()).is_ok()
        }
    };
    let table = |path: PathBuf| {
        move |input: &[u8]| {
            fs::write(&path, input).unwrap();
            let [split, image_column, label_column] = [None, None, None];
            let (path, fit) = (path.clone(), Fit::to(8));
            let source = TableSource { path, split, image_column, label_column, fit };
            dataset::open("x", &DatasetSource::Parquet(source), Selection::all()).is_ok()
        }
    };
    let labelled = [("images", Dtype::F32, &[3, 1, 6, 6][..]), ("labels", Dtype::I64, &[3])];
    let tensors = vec![
        formats::tensors(&[("x", Dtype::U8, &[2, 6, 6])], &[]),
        formats::tensors(&labelled, &[]),
    ];
    vec![
        reader("npy", formats::npys(), false, keep, array(at(place, "a.npy"))),
        reader("npz", formats::npzs(), false, keep, array(at(place, "a.npz"))),
        tensor_reader("arrays in safetensors", tensors, array(at(place, "a.safetensors"))),
        reader("parquet", formats::tables(), false, keep, table(at(place, "a.parquet"))),
    ]
}

/// The list of data sets that can be fetched, and the record beside a partial file.
fn fetching() -> Vec<Reader> {
    let list = include_bytes!("../../src/dataset/published_sets.toml").to_vec();
    let record = br#"{"source":"https://host/a.gz","etag":"\"5e-3\""}"#.to_vec();
    vec![
        reader("list of data sets", vec![list], true, keep, |input| {
            let parsed = std::str::from_utf8(input).map(published_sets::parse);
            parsed.is_ok_and(|list| list.is_ok())
        }),
        reader("record of a partial file", vec![record], true, keep, |input| {
            PartialRecord::parse(input).is_some()
        }),
    ]
}

/// Each of the three files that `mosaic denoise` reads, with the other two intact.
fn denoisers(place: &Path) -> Vec<Reader> {
    let labelled = [("images", Dtype::U8, &[3, 1, 2, 2][..]), ("labels", Dtype::I64, &[3])];
    let samples = [
        vec![
            formats::tensors(&labelled, &[]),
            formats::tensors(&[("images", Dtype::F32, &[2, 1, 2, 2])], &[]),
            formats::tensors(&[("images", Dtype::F64, &[2, 1, 2, 2])], &[]),
        ],
        vec![
            formats::tensors(&[("x", Dtype::F64, &[2, 1, 2, 2])], &[]),
            formats::tensors(&[("x", Dtype::F32, &[1, 1, 2, 2])], &[]),
        ],
        vec![uniform_maps()],
    ];
    let names = ["denoise --images", "denoise --input", "denoise --attention"];
    let folder = place.join("denoise");
    fs::create_dir_all(&folder).unwrap();
    let paths = [0, 1, 2].map(|which| folder.join(format!("{which}.safetensors")));
    let (good, output) = (samples.clone().map(|mut all| all.remove(0)), folder.join("out"));
    let made = samples.into_iter().zip(names).enumerate();
    made.map(|(which, (samples, name))| {
        let (paths, good, output) = (paths.clone(), good.clone(), output.clone());
        tensor_reader(name, samples, move |input| {
            for (number, path) in paths.iter().enumerate() {
                fs::write(path, if number == which { input } else { &good[number] }).unwrap();
            }
            let attention = (which == 2).then(|| paths[2].clone());
            denoise::with_machine(&arguments(&paths, attention, &output)).is_ok()
        })
    })
    .collect()
}

/// Attention maps with rows that sum to one.
fn uniform_maps() -> Vec<u8> {
    let mut file = formats::tensors(&[("attention", Dtype::F64, &[4, 4])], &[]);
    let n = file.len();
    let quarters: Vec<u8> = [0.25_f64; 16].iter().flat_map(|v| v.to_le_bytes()).collect();
    file[n - 128..].copy_from_slice(&quarters);
    file
}

fn arguments(paths: &[PathBuf; 3], attention: Option<PathBuf>, output: &Path) -> DenoiseArgs {
    let machine = if attention.is_some() { "attention" } else { "els" };
    DenoiseArgs {
        images: Some(paths[0].clone()),
        machine: Some(machine.to_owned()),
        run: None,
        k: Some(1),
        t: 0.5,
        input: paths[1].clone(),
        output: output.to_owned(),
        dtype: OutputType::F64,
        schedule: Schedule::Cosine,
        device: "cpu".parse().unwrap(),
        attention,
        lambda: None,
        gamma: None,
        tau: None,
        attention_source: None,
        mask: None,
        smoothing: None,
        smoothing_samples: None,
        subset: None,
        window: None,
        window_width: None,
        augment: None,
        label: None,
        posterior: true,
    }
}

/// Text files of runs written by users and workers.
fn records(place: &Path) -> Vec<Reader> {
    let lab = at(place, "lab.toml");
    let run = RunDir::open(place.join("run-0001"));
    fs::create_dir_all(run.path()).unwrap();
    let built_in = config::BUILT_IN.as_bytes().to_vec();
    let small =
        b"[experiment.a]\ndataset.kind = \"glyphs\"\ntraining.steps = 5\ntheory.patch_size = 5\n";
    let experiment = config::load(None).unwrap().experiments.remove(0);
    let toml = RunToml {
        parent: None,
        created_ms: 1,
        version: "0.1.0".to_owned(),
        device: DeviceRequest::Cpu,
        origin: mosaic_lab::runs::run_toml::Origin::Trained,
        experiment,
    };
    run_toml::write(&run.run_toml_path(), &toml).unwrap();
    let toml = fs::read(run.run_toml_path()).unwrap();
    let mut status = Status::new(RunState::Training, 100);
    (status.loss, status.eta_s, status.message) = (Some(0.5), Some(9.0), Some("on it".to_owned()));
    let status = serde_json::to_vec(&status).unwrap();
    let request = Request::new("me".to_owned(), Act::Steer { command: Command::Stop, take: true });
    let requests = vec![
        serde_json::to_vec(&request).unwrap(),
        b"{\"command\":\"sample\",\"seeds\":[1,9],\"steps\":5}".to_vec(),
    ];
    let about = br#"{"v":1,"note":"a note","tags":["one","two"]}"#.to_vec();
    let events =
        br#"{"v":1,"time_ms":1,"step":1,"body":{"kind":"notice","level":"info","text":"a"}}
{"v":1,"time_ms":2,"step":1,"body":{"kind":"checkpoint","path":"state/step-1","seconds":0.5}}
{"v":1,"time_ms":3,"step":2,"body":{"kind":"state","state":"finished","reason":null}}
"#;
    let calibration = br#"{"format":1,"step":3,"noise_seed":0,"first_seed":500,"n_seeds":2,"n_steps":4,"machines":[]}"#;
    let dir = run.clone();
    let [about_at, events_at, calibration_at] =
        ["about.json", "events.jsonl", "calibration.json"].map(|name| at(place, name));
    vec![
        reader("lab.toml", vec![built_in, small.to_vec()], true, keep, move |input| {
            fs::write(&lab, input).unwrap();
            let loaded = config::load(Some(&lab));
            let checked = loaded.as_ref().map(|lab| {
                // Impossible settings must be reported, not tried.
                let checks = lab.experiments.iter().map(|experiment| experiment.check().is_ok());
                checks.count()
            });
            checked.is_ok()
        }),
        reader("run.toml", vec![toml], true, keep, {
            let run = run.clone();
            move |input| {
                fs::write(run.run_toml_path(), input).unwrap();
                run_toml::read(&run.run_toml_path()).is_ok()
            }
        }),
        reader("status.json", vec![status], true, keep, move |input| {
            fs::write(dir.status_path(), input).unwrap();
            let is_read = matches!(dir.readable_status(), Ok(Some(_)));
            drop((dir.health(), dir.summary()));
            is_read
        }),
        reader("events.jsonl", vec![events.to_vec()], true, keep, move |input| {
            fs::write(&events_at, input).unwrap();
            EventTail::new(&events_at).poll().is_ok_and(|events| events.len() == 3)
        }),
        reader("about.json", vec![about], true, keep, move |input| {
            fs::write(&about_at, input).unwrap();
            About::read(&about_at).note == "a note"
        }),
        reader("control.sock", requests, true, keep, |input| {
            Request::parse(&String::from_utf8_lossy(input)).is_ok()
        }),
        reader("calibration.json", vec![calibration.to_vec()], true, keep, move |input| {
            fs::write(&calibration_at, input).unwrap();
            matches!(Calibration::read(&calibration_at), Ok(Some(_)))
        }),
    ]
}

/// Output files of a run: previews, traces, checkpoints.
fn made(place: &Path) -> Vec<Reader> {
    let shape = ImageShape::new(1, 2, 3);
    let preview_at = place.join("step-000040");
    let preview = Preview {
        step: 40,
        first_seed: 7,
        sampling_steps: 4,
        seeds: noise_seeds(1, 0, 2, shape),
        network: noise_seeds(2, 0, 2, shape),
        machines: vec![("els".to_owned(), noise_seeds(3, 0, 2, shape))],
        labels: Vec::new(),
    };
    preview.write(&preview_at).unwrap();
    let samples_at = preview_at.join("samples.safetensors");
    let preview = fs::read(&samples_at).unwrap();
    let trace_at = at(place, "seed-1.safetensors");
    let (image, image2) = ([1, 1, 2, 2], [2, 1, 2, 2]);
    let all: [(&str, Dtype, &[usize]); 11] = [
        ("levels", Dtype::F64, &[2]),
        ("images/numbers", Dtype::U32, &[1]),
        ("images/pixels", Dtype::F32, &image),
        ("network/states", Dtype::F32, &image2),
        ("network/x0", Dtype::F32, &image2),
        ("network/sample", Dtype::F32, &image[1..]),
        ("network/attention", Dtype::F16, &[2, 1, 4, 4]),
        ("network/entropy", Dtype::F32, &[2, 4]),
        ("network/places", Dtype::U32, &[2, 4, 3]),
        ("network/leading", Dtype::U32, &[2, 4, 0]),
        ("network/weights", Dtype::F32, &[2, 4, 0]),
    ];
    let words = [
        ("format", "1"),
        ("run", "a"),
        ("step", "9"),
        ("seed", "1"),
        ("training_images", "4"),
        ("actors", "network"),
    ];
    let trace = formats::tensors(&all, &words);
    let mut readers = vec![
        tensor_reader("preview", vec![preview], move |input| {
            fs::write(&samples_at, input).unwrap();
            Preview::read(&preview_at).is_ok()
        }),
        tensor_reader("trace", vec![trace], move |input| {
            fs::write(&trace_at, input).unwrap();
            Trace::read(&trace_at).is_ok()
        }),
    ];
    readers.extend(checkpoints(&place.join("state")));
    readers
}

fn checkpoints(state: &Path) -> Vec<Reader> {
    let map = |n: usize| {
        let tensor = Tensor::arange(0.0_f32, n as f32, &Device::Cpu).unwrap();
        [("w".to_owned(), tensor.reshape((2, n / 2)).unwrap())].into_iter().collect()
    };
    let contents = Contents {
        step: 5,
        n_updates: 5,
        progress: Progress::default(),
        identity: SavedIdentity::V2(Identity::default()),
        weights: map(8),
        ema: map(6),
        optimizer: map(4),
    };
    let made = checkpoint::write(state, &contents).unwrap();
    let manifest_at = made.path.join("manifest.json");
    let manifest = fs::read(&manifest_at).unwrap();
    let weights_at = made.path.join("weights.safetensors");
    let weights = fs::read(&weights_at).unwrap();
    let (of_weights, of_manifest) = (made.clone(), made);
    let (good_manifest, good_weights) = (manifest.clone(), weights.clone());
    let weights_again = weights_at.clone();
    let manifest_again = manifest_at.clone();
    vec![
        tensor_reader("checkpoint's tensors", vec![weights], move |input| {
            fs::write(&weights_at, input).unwrap();
            // With matching checksums, so that the content is actually read.
            fs::write(&manifest_at, resealed(&good_manifest, &good_weights, input)).unwrap();
            is_whole(&of_weights)
        }),
        reader("checkpoint's manifest", vec![manifest], true, keep, {
            let good = fs::read(&weights_again).unwrap();
            move |input| {
                fs::write(&weights_again, &good).unwrap();
                fs::write(&manifest_again, input).unwrap();
                is_whole(&of_manifest)
            }
        }),
    ]
}

fn is_whole(checkpoint: &Checkpoint) -> bool {
    checkpoint.load().is_ok_and(|contents| contents.not_finite().is_ok())
}

/// A manifest with the record of one file, and its own checksum, updated for a new file.
fn resealed(manifest: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(manifest).unwrap();
    let sum = |bytes: &[u8]| format!("\"crc32\": {}", crc32fast::hash(bytes));
    let bytes = |n: usize| format!("\"bytes\": {n}");
    let record = |of: &[u8]| format!("{},\n        {}", bytes(of.len()), sum(of));
    let changed = text.replacen(&record(old), &record(new), 1);
    // The checksum is that of the compact form; its strings contain no blanks.
    let body = changed.split_once("\"manifest\": ").unwrap().1;
    let body: String = body.chars().filter(|c| !c.is_whitespace()).collect();
    let body = body.strip_suffix('}').unwrap();
    let own = text.split_once("\"crc32\": ").unwrap().1.split_once(',').unwrap().0.to_owned();
    let seal = crc32fast::hash(body.as_bytes()).to_string();
    changed.replacen(&own, &seal, 1).into_bytes()
}
