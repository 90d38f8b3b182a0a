//! Data sets from files, as reported by `mosaic data show`, `theory` and `run`: everything left out is
//! reported, and files of the wrong kind are named.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image::{GrayImage, Luma};
use mosaic_lab::arrays::{ArrayWriter, FileFormat, Numbers};
use mosaic_lab::runs::runs_dir::RunsDir;

/// An empty directory in which commands are run.
struct Lab {
    place: tempfile::TempDir,
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

impl Lab {
    fn new() -> Self {
        Self { place: tempfile::tempdir().unwrap() }
    }

    fn runs(&self) -> PathBuf {
        self.place.path().join("runs")
    }

    fn mosaic(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mosaic"));
        command.args(arguments).arg("--runs-dir").arg(self.runs());
        command.current_dir(self.place.path()).output().unwrap()
    }

    /// Trains for two steps and follows the run to its end.
    fn run(&self, settings: &[&str]) -> Output {
        let quick = [
            "training.steps=2",
            "training.batch=2",
            "network.width=16",
            "network.head_width=4",
            "diffusion.sampling_steps=2",
            "preview.seeds=1",
            "compare.seeds=2",
            "calibrate.seeds=0",
        ];
        let pairs = quick.iter().chain(settings).flat_map(|setting| ["--set", *setting]);
        self.mosaic(&["run", "glyphs-attention"].into_iter().chain(pairs).collect::<Vec<_>>())
    }

    fn pipe(&self, name: &str) {
        assert!(Command::new("mkfifo").arg(self.at(name)).status().unwrap().success());
    }

    fn at(&self, name: &str) -> PathBuf {
        let path = self.place.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.at(name), bytes).unwrap();
    }

    fn image(&self, name: &str) {
        let image = GrayImage::from_fn(8, 8, |x, y| Luma([(x * 31 + y * 17) as u8]));
        image.save(self.at(name)).unwrap();
    }

    fn show(&self, name: &str) -> Output {
        self.mosaic(&["data", "show", name])
    }
}

/// Builds an IDX file of unsigned bytes.
fn idx(sizes: &[u32], bytes: &[u8]) -> Vec<u8> {
    let sizes_bytes = sizes.iter().flat_map(|size| size.to_be_bytes());
    [0, 0, 8, sizes.len() as u8]
        .into_iter()
        .chain(sizes_bytes)
        .chain(bytes.iter().copied())
        .collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

#[test]
fn what_a_folder_leaves_out_is_said_by_every_command_that_opens_it() {
    let lab = Lab::new();
    for i in 0..6 {
        lab.image(&format!("photos/{i}.png"));
    }
    lab.image("photos/.cache/0.png");
    lab.write("photos/6.gif", b"GIF89a\x01\0\x01\0");
    // A pipe without a writer: opening it blocks forever.
    lab.pipe("photos/7.png");
    let gif = "1 image in formats other than PNG, JPEG and WebP: 1 GIF image ('6.gif')";
    let expected = [gif, "1 special file (a pipe) ('7.png')"];

    let shown = stdout(&lab.show("photos"));
    assert!(shown.contains("6 images of 1x32x32"), "{shown}");
    let theory = ["theory", "photos", "--machine", "ideal", "--seeds", "0..1", "--steps", "2"];
    let theory = stderr(&lab.mosaic(&theory));
    let path = format!("dataset.path={}", lab.at("photos").display());
    let run = lab.run(&["dataset.kind=folder", &path, "dataset.size=16", "dataset.n=0"]);
    assert!(run.status.success(), "{}", stderr(&run));
    let runs = RunsDir::new(lab.runs()).list();
    let events = runs[0].dir.events_path();
    let events = fs::read_to_string(events).unwrap();
    for words in expected {
        for (who, said) in
            [("show", &shown), ("theory", &theory), ("run", &stderr(&run)), ("events", &events)]
        {
            assert!(said.contains(words), "{who} does not say '{words}':\n{said}");
            assert!(!said.contains(".cache"), "{who} speaks of hidden files");
        }
    }
}

#[test]
fn labels_have_the_range_that_occurs() {
    let lab = Lab::new();
    let pixels: Vec<u8> = (0..26 * 16).map(|i| (i % 251) as u8).collect();
    let labels: Vec<u8> = (1..=26).collect();
    lab.write("images", &idx(&[26, 4, 4], &pixels));
    lab.write("labels", &idx(&[26], &labels));
    lab.write(
        "lab.toml",
        b"[experiment.letters]\ndataset.kind = 'idx'\ndataset.path = 'images'\ndataset.labels = 'labels'\n\
          dataset.n = 0\ndataset.size = 0\nnetwork.attention = 'none'\nnetwork.padding = 'zeros'\n\
          theory.machines = ['ideal']\n",
    );
    let shown = stdout(&lab.show("letters"));
    assert!(shown.contains("\nlabels 1 to 26\n"), "{shown}");
    let one = lab.mosaic(&["data", "show", "letters", "--set", "dataset.n=1"]);
    let line = stdout(&one).lines().find(|line| line.starts_with("labels")).unwrap().to_owned();
    let (low, high) = line.strip_prefix("labels ").unwrap().split_once(" to ").unwrap();
    assert_eq!(low, high, "one image has one label");
}

#[test]
fn files_of_the_wrong_kind_are_called_by_their_names() {
    let lab = Lab::new();
    let whole = idx(&[2, 2, 2], &[1, 200, 3, 40, 5, 60, 250, 8]);
    let packed = gzip(&whole);
    for (name, bytes, expected) in [
        (
            "lfs.gz",
            &b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"[..],
            "git-lfs pointer",
        ),
        ("page.gz", b"<!DOCTYPE html><html>", "HTML page"),
        ("zip.idx", b"PK\x03\x04\x14\0\0\0\x08\0", "zip archive"),
        ("model.pt", b"PK\x03\x04\0\0\x08\x08\0\0archive/data.pkl", "PyTorch"),
        ("h5", b"\x89HDF\r\n\x1a\n\0\0", "HDF5"),
        ("npy", b"\x93NUMPY\x01\0", "NumPy"),
        ("empty", b"", "an empty file"),
        ("zeros", &[0; 100], "nothing but zeros"),
        ("float", &[&[0, 0, 13, 3][..], &whole[4..16], &[0; 32]].concat(), "32-bit floats"),
        ("four", &idx(&[1, 1, 2, 2], &[1; 4]), "4 dimensions (1x1x2x2)"),
        ("twice.gz", &gzip(&packed), "gzip"),
        ("cut.gz", &packed[..packed.len() - 5], "fetch it again"),
        ("a.tar.bz2", b"BZh91AY&SY", "bzip2"),
        ("a.tar.xz", b"\xfd7zXZ\0\0", "xz archive"),
        ("half.tar.gz", &packed[..20], "fetch it again"),
    ] {
        lab.write(name, bytes);
        let output = lab.show(name);
        assert_eq!(output.status.code(), Some(1), "{name}: {}", stdout(&output));
        assert!(stderr(&output).contains(expected), "{name}: {}", stderr(&output));
        assert!(!stderr(&output).contains("check the path"), "{name}: {}", stderr(&output));
    }
    for (tail, words) in [(&[0; 512][..], None), (b"\r\n", Some("2 bytes behind the end"))] {
        lab.write("tail.gz", &[&packed[..], tail].concat());
        let shown = stdout(&lab.show("tail.gz"));
        assert!(shown.contains("2 images of 1x2x2"), "{shown}");
        assert_eq!(shown.contains("warning:"), words.is_some(), "{shown}");
        assert!(words.is_none_or(|words| shown.contains(words)), "{shown}");
    }
}

#[test]
fn samples_of_a_hidden_file_get_a_folder_of_their_own() {
    let lab = Lab::new();
    lab.write(".hidden.idx", &idx(&[2, 5, 5], &[7; 50]));
    let arguments =
        ["theory", ".hidden.idx", "--machine", "ideal", "--seeds", "0..1", "--steps", "2"];
    let output = lab.mosaic(&arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(lab.at("theory/hidden/samples.png").is_file());
    assert!(!lab.at("theory/samples.png").exists());
}

#[test]
fn pipes_and_directories_in_place_of_files_are_refused_at_once() {
    let lab = Lab::new();
    fs::create_dir_all(lab.at("folder.bin")).unwrap();
    for name in ["pipe.bin", "pipe.idx", "pipe.tar.gz"] {
        lab.pipe(name);
        let output = lab.show(name);
        assert_eq!(output.status.code(), Some(1));
        let said = stderr(&output);
        assert!(
            said.contains("pipe or a device") || said.contains("neither a directory nor a file"),
            "{said}"
        );
    }
    let set = ["data", "show", "digits-attention", "--set", "dataset.path=."];
    let said = stderr(&lab.mosaic(&set));
    assert!(said.contains("which is a directory"), "{said}");
}

/// Grey images `[5, 6, 6]` and labels, as floats from 0 to 1.
fn arrays(lab: &Lab, name: &str) {
    let pixels = (0..5 * 36).map(|i| (i * 13 % 256) as f32 / 255.0).collect();
    let writer = ArrayWriter::new()
        .array("x_train", &[5, 6, 6], Numbers::F32(pixels))
        .array("x_test", &[5, 6, 6], Numbers::F32(vec![0.5; 180]))
        .array("y_train", &[5], Numbers::I64(vec![3, 0, 1, 0, 3]));
    let format = FileFormat::of_path(Path::new(name)).unwrap();
    lab.write(name, &writer.into_bytes(format));
}

#[test]
fn arrays_are_shown_with_what_was_understood_and_read_back_after_an_export() {
    let lab = Lab::new();
    for (name, copy) in [("a.npz", "b.safetensors"), ("a.safetensors", "b.npz")] {
        arrays(&lab, name);
        let shown = stdout(&lab.show(name));
        for words in [
            "a: 5 images of 1x6x6",
            "array 'x_train' [5, 6, 6] of float32: [count, height, width] (nhw)",
            "where 0 is black (-1) and 1 is white (1)",
            "labels: array 'y_train' of ",
            "arrays that are not read: 'x_test'",
            "labels 0 to 3, 1 of them without images: 2",
            "warning: the values lie in [0, 1], from which '0..1' (black..white) is assumed",
        ] {
            assert!(shown.contains(words), "'{words}' is not in\n{shown}");
        }
        let copy = lab.at(copy).display().to_string();
        let export = ["data", "export", name, "--out", &copy];
        let said = stdout(&lab.mosaic(&export));
        assert!(said.contains("wrote 5 images of 1x6x6"), "{said}");
        let again = lab.mosaic(&export);
        assert!(stderr(&again).contains("already exists; use --force"), "{}", stderr(&again));
        let forced = [&export[..], &["--force", "--images", "2", "--values", "signed"]].concat();
        assert!(stdout(&lab.mosaic(&forced)).contains("wrote 2 images"));
        let shown = stdout(&lab.show(&copy));
        assert!(shown.contains("array 'images' [2, 1, 6, 6] of float32"), "{shown}");
        assert!(shown.contains("'-1..1' (black..white) is assumed"), "{shown}");
    }
    let refused = stderr(&lab.mosaic(&["data", "export", "a.npz", "--out", "x.npy"]));
    assert!(refused.contains("'x.npy' must end in .npz or .safetensors"), "{refused}");
}

#[test]
fn parts_of_a_folder_are_read_by_their_names() {
    let lab = Lab::new();
    for name in ["train/cat/1.png", "train/dog/1.png", "train/dog/2.png", "val/cat/9.png"] {
        lab.image(&format!("photos/{name}"));
    }
    let show = |settings: &[&str]| {
        let sets: Vec<&str> = settings.iter().flat_map(|pair| ["--set", pair]).collect();
        lab.mosaic(&[&["data", "show", "photos"][..], &sets].concat())
    };
    let shown =
        stdout(&show(&["dataset.split=train", "dataset.crop=none", "dataset.resize=lanczos"]));
    for words in [
        "photos: 3 images of 1x32x32",
        "images of 8x8 pixels: each is squeezed to a square (dataset.crop = 'none'), then resampled to 32x32 \
         (dataset.resize = 'lanczos')",
        "0 'cat', 1 'dog'",
        "warning: the class folders of 'train' and 'val' have different names",
    ] {
        assert!(shown.contains(words), "'{words}' is not in\n{shown}");
    }
    let refused = stderr(&show(&["dataset.split=test"]));
    assert!(
        refused.contains("no sub-folder 'test' (dataset.split); it has 'train', 'val'"),
        "{refused}"
    );
}
