//! Readers of weights from elsewhere: everything that `mosaic import` does before it writes a run.

use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use mosaic_lab::config::experiment_name::ExperimentName;
use mosaic_lab::evaluation::imported_run::ImportChoices;
use mosaic_lab::weights::{WeightsFile, patch_sides};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::formats;
use crate::mutate::{mutated, pick};
use crate::readers::{Reader, keep, reader, tensor_reader};

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/weights/fixtures");
    fs::read(folder.join(name)).unwrap()
}

/// The entries of an archive.
type Entries = Vec<(String, Vec<u8>)>;

fn unpack(archive: &[u8]) -> Entries {
    let mut archive = ZipArchive::new(Cursor::new(archive)).unwrap();
    let n_entries = archive.len();
    let entry = |index| {
        let mut entry = archive.by_index(index).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.name().unwrap().into_owned(), bytes)
    };
    (0..n_entries).map(entry).collect()
}

/// An archive with right checksums, so that damaged entries are read.
fn pack(entries: &Entries) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in entries {
        writer.start_file(name.as_str(), stored).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Archives in which the pickle is damaged, in some also the numbers.
fn damaged_inside(archives: Vec<Entries>) -> impl Fn(&mut ChaCha8Rng) -> Vec<u8> + Send {
    move |random| {
        let mut entries = pick::<Entries>(&archives, random).clone();
        for (name, bytes) in &mut entries {
            let is_hit = name.ends_with("data.pkl") || random.random_bool(0.1);
            if is_hit {
                *bytes = mutated(std::slice::from_ref(bytes), false, random);
            }
        }
        pack(&entries)
    }
}

/// `mosaic import` up to the writing of a run.
fn import(root: PathBuf, settings: &'static [&str]) -> impl Fn(&[u8]) -> bool + Send + 'static {
    let settings: Vec<String> = ["dataset.kind=idx", "dataset.path=images", "dataset.size=0"]
        .iter()
        .chain(settings)
        .map(|pair| (*pair).to_owned())
        .collect();
    move |input| {
        let Ok(file) = WeightsFile::parse(&Bytes::copy_from_slice(input)) else { return false };
        let name = ExperimentName::like("weights");
        let (root, settings) = (&root, &settings[..]);
        let choices = ImportChoices { experiment: None, name, root, settings, patch_sides: None };
        choices.apply(&file).is_ok()
    }
}

pub fn all(place: &Path) -> Vec<Reader> {
    fs::write(place.join("images"), formats::idx(3, 8)).unwrap();
    let labels = [&[0, 0, 8, 1, 0, 0, 0, 3][..], &[0, 1, 2]].concat();
    fs::write(place.join("labels"), labels).unwrap();
    const TOLD: &[&str] = &[];
    const ZEROS: &[&str] = &["network.padding=zeros"];
    let import = |settings| import(place.to_owned(), settings);
    let states = vec![fixture("checkpoint_bfloat16.pt"), fixture("state_dict_views.pt")];
    let modules = vec![fixture("resnet_module.pt")];
    let older = vec![fixture("resnet_normalised_module_older.pt")];
    let classes = vec![fixture("unet_ddim_older.pt")];
    let inside: Vec<Entries> = states.iter().chain(&modules).map(|file| unpack(file)).collect();
    let scales = ["scales_list.pt", "scales_tensor.pt"].map(fixture);
    let read_inside = import(ZEROS);
    assert!(inside.iter().all(|entries| read_inside(&pack(entries))));
    let sides: Vec<Entries> = scales.iter().map(|file| unpack(file)).collect();
    let read_sides = |input: &[u8]| patch_sides::read(&Bytes::copy_from_slice(input)).is_ok();
    assert!(sides.iter().all(|entries| read_sides(&pack(entries))));
    vec![
        reader("state_dicts.pt", states.clone(), false, keep, import(ZEROS)),
        reader("modules.pt", modules, false, keep, import(TOLD)),
        reader("older modules.pt", older, false, keep, import(TOLD)),
        reader(
            "older modules with classes.pt",
            classes,
            false,
            keep,
            import(&["dataset.labels=labels"]),
        ),
        Reader {
            name: "pickles in archives",
            input: Box::new(damaged_inside(inside)),
            read: Box::new(move |input| {
                read_inside(input);
            }),
        },
        Reader {
            name: "scales.pt",
            input: Box::new(damaged_inside(sides)),
            read: Box::new(move |input| {
                read_sides(input);
            }),
        },
        tensor_reader("weights.safetensors", vec![as_safetensors(&states[1])], import(ZEROS)),
    ]
}

/// The tensors of a PyTorch file as a safetensors file.
fn as_safetensors(file: &[u8]) -> Vec<u8> {
    let file = WeightsFile::parse(&Bytes::copy_from_slice(file)).unwrap();
    let tensors = file.network.tensors.iter();
    let tensors = tensors.map(|(name, tensor)| (name.clone(), tensor.weights(name).unwrap()));
    safetensors::serialize(tensors.collect::<Vec<_>>(), None).unwrap()
}
