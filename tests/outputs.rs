//! Destinations of outputs: devices, pipes, links and files given by users, with the real binary.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

struct Place(tempfile::TempDir);

impl Place {
    /// Creates images and an input for `denoise`.
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let save = |file: &str, name: &str, n: usize| {
            let bytes: Vec<u8> =
                (0..n * 16).flat_map(|i| (i as f32 * 0.3).sin().to_le_bytes()).collect();
            let view = TensorView::new(Dtype::F32, vec![n, 1, 4, 4], &bytes).unwrap();
            fs::write(place.at(file), safetensors::serialize([(name, view)], None).unwrap())
                .unwrap();
        };
        save("images", "images", 3);
        save("x", "x", 2);
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn mosaic(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mosaic"));
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    fn denoise(&self, output: &str) -> Command {
        let inputs = ["denoise", "--images", "images", "--input", "x", "--machine", "ideal"];
        self.mosaic(&[&inputs[..], &["--t", "0.5", "--device", "cpu", "--output", output]].concat())
    }
}

fn done(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn refusal(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

fn is_result(bytes: &[u8]) -> bool {
    SafeTensors::deserialize(bytes).is_ok_and(|file| file.tensor("x0").is_ok())
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).unwrap().is_symlink()
}

#[test]
fn standard_output_is_written_where_it_stands() {
    let place = Place::new();
    for name in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        assert!(is_result(&done(&mut place.denoise(name)).stdout), "{name} as a pipe");
        // A file that another program has begun, and will complete.
        let mut file = File::create(place.at("all")).unwrap();
        file.write_all(b"head").unwrap();
        done(place.denoise(name).stdout(file.try_clone().unwrap()).stderr(Stdio::piped()));
        file.write_all(b"tail").unwrap();
        let all = fs::read(place.at("all")).unwrap();
        let body = all.strip_prefix(b"head").and_then(|rest| rest.strip_suffix(b"tail"));
        assert!(body.is_some_and(is_result), "{name} as a file of {} bytes", all.len());
    }
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    done(place.denoise("/dev/stdout").stdout(std::os::fd::OwnedFd::from(theirs)));
    ours.shutdown(std::net::Shutdown::Write).unwrap();
}

#[test]
fn pictures_and_words_do_not_share_standard_output() {
    let place = Place::new();
    let output = done(&mut place.mosaic(&["data", "show", "glyphs-cnn", "--out", "/dev/stdout"]));
    image::load_from_memory_with_format(&output.stdout, image::ImageFormat::Png).unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("16 images"));
}

#[test]
fn what_standard_error_gets_is_the_picture_alone() {
    let place = Place::new();
    let show = ["data", "show", "glyphs-cnn", "--out", "/dev/stderr"];
    let output = done(&mut place.mosaic(&show));
    image::load_from_memory_with_format(&output.stderr, image::ImageFormat::Png).unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("16 images"));
    // Both streams go to one file, so there is no separate place for messages.
    let file = File::create(place.at("both")).unwrap();
    let show = ["data", "show", "glyphs-cnn", "--out", "/dev/stdout"];
    let mut both = place.mosaic(&show);
    assert!(both.stdout(file.try_clone().unwrap()).stderr(file).status().unwrap().success());
    let ends_as_png = fs::read(place.at("both")).unwrap().ends_with(b"IEND\xaeB\x60\x82");
    assert!(ends_as_png);
    assert!(fs::read(place.at("both")).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn a_run_draws_no_two_pictures_into_one_file_and_says_nothing_among_tensors() {
    let place = Place::new();
    let small = ["training.steps=2", "training.batch=4", "training.warmup=1", "dataset.n=8"];
    let rest = ["network.width=16", "network.head_width=4", "preview.every=0", "calibrate.seeds=0"];
    let mut run = place.mosaic(&["run", "glyphs-cnn", "--runs-dir", "runs", "--detach"]);
    for setting in small.iter().chain(&rest).chain(&["compare.seeds=2"]) {
        run.args(["--set", setting]);
    }
    let id = String::from_utf8(done(&mut run).stdout).unwrap().trim().to_owned();
    let started = std::time::Instant::now();
    let status = place.at("runs").join(&id).join("status.json");
    while !fs::read_to_string(&status).is_ok_and(|text| text.contains("finished")) {
        assert!(started.elapsed().as_secs() < 120, "it does not finish");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let of_run = |arguments: &[&str]| {
        place.mosaic(&[&[arguments[0], &id, "--runs-dir", "runs"], &arguments[1..]].concat())
    };
    let error = refusal(&mut of_run(&["inspect", "--out", "a.png", "--film", "./a.png"]));
    assert!(error.contains("are the same file") && !place.at("a.png").exists(), "{error}");
    let output = done(&mut of_run(&["inspect", "--out", "/dev/stderr"]));
    image::load_from_memory_with_format(&output.stderr, image::ImageFormat::Png).unwrap();
    let output = done(&mut of_run(&["sample", "--seeds", "0..2", "--out", "/dev/stderr"]));
    SafeTensors::deserialize(&output.stderr).unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("2 samples"));
}

#[test]
fn output_that_nobody_gets_is_a_failure() {
    let place = Place::new();
    let shell = |redirection: &str, arguments: &str| {
        let line = format!("exec \"$0\" {arguments} {redirection}");
        let mut command = Command::new("sh");
        command.args(["-c", &line, env!("CARGO_BIN_EXE_mosaic")]).current_dir(place.0.path());
        command
    };
    let denoise = "denoise --images images --input x --machine ideal --t 0.5 --device cpu";
    let error = refusal(&mut shell(">&-", &format!("{denoise} --output /dev/stdout")));
    assert!(error.contains("descriptor 1 is not open"), "{error}");
    done(&mut shell(">/dev/null", &format!("{denoise} --output /dev/stdout")));
    for arguments in ["--help", "completions bash", "experiments --json", "data ls"] {
        let error = refusal(&mut shell(">/dev/full", arguments));
        assert!(error.contains("No space left"), "{arguments}: {error}");
    }
}

#[test]
fn a_place_for_runs_may_be_a_link_to_come_and_not_a_file() {
    let place = Place::new();
    symlink("disk", place.at("runs")).unwrap();
    let created = mosaic_lab::runs::runs_dir::RunsDir::new(place.at("runs")).create("a").unwrap();
    assert!(place.at("disk").join(created.id()).is_dir());
    fs::write(place.at("file"), "x").unwrap();
    for arguments in [&["ls"][..], &["logs", "a"], &["run", "glyphs-cnn", "--detach"]] {
        let error = refusal(&mut place.mosaic(&[arguments, &["--runs-dir", "file"]].concat()));
        assert!(error.contains("'file' is not a directory"), "{arguments:?} {error}");
    }
}

#[test]
fn what_is_no_file_stays_what_it_is() {
    let place = Place::new();
    let pipe = place.at("pipe.png");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let reader = {
        let pipe = pipe.clone();
        std::thread::spawn(move || fs::read(pipe).unwrap())
    };
    done(&mut place.mosaic(&["data", "show", "glyphs-cnn", "--out", "pipe.png"]));
    assert!(reader.join().unwrap().starts_with(b"\x89PNG"));
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    done(&mut place.denoise("/dev/null"));
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    let full = refusal(&mut place.denoise("/dev/full"));
    assert!(full.contains("'/dev/full'") && full.contains("No space left"), "{full}");
}

#[test]
fn files_keep_links_modes_and_other_names() {
    let place = Place::new();
    fs::write(place.at("real"), "old").unwrap();
    fs::set_permissions(place.at("real"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("real", place.at("link")).unwrap();
    symlink("new", place.at("dangling")).unwrap();
    done(&mut place.denoise("link"));
    done(&mut place.denoise("dangling"));
    assert!(is_link(&place.at("link")) && is_link(&place.at("dangling")));
    assert!(is_result(&fs::read(place.at("real")).unwrap()));
    assert!(is_result(&fs::read(place.at("new")).unwrap()));
    assert_eq!(fs::metadata(place.at("real")).unwrap().mode() & 0o777, 0o640);
    fs::hard_link(place.at("real"), place.at("twin")).unwrap();
    fs::write(place.at("twin"), "both").unwrap();
    done(&mut place.denoise("real"));
    assert!(is_result(&fs::read(place.at("twin")).unwrap()), "the other name sees the new content");
    // The output replaces an input.
    done(&mut place.denoise("images"));
    assert!(is_result(&fs::read(place.at("images")).unwrap()));

    symlink("elsewhere.toml", place.at("lab.toml")).unwrap();
    done(&mut place.mosaic(&["init", "--force"]));
    assert!(is_link(&place.at("lab.toml")) && place.at("elsewhere.toml").is_file());
}

#[test]
fn a_folder_of_outputs_may_be_a_link_with_links_in_it() {
    let place = Place::new();
    symlink("disk", place.at("out")).unwrap();
    let theory = ["theory", "glyphs-cnn", "--machine", "wiener", "--seeds", "0..1", "--steps", "2"];
    let theory = [&theory[..], &["--device", "cpu", "--out", "out"]].concat();
    done(&mut place.mosaic(&theory));
    assert!(is_link(&place.at("out")) && place.at("disk/wiener.safetensors").is_file());
    fs::rename(place.at("disk/samples.png"), place.at("picture")).unwrap();
    symlink("../picture", place.at("disk/samples.png")).unwrap();
    fs::write(place.at("picture"), "old").unwrap();
    done(&mut place.mosaic(&theory));
    assert!(is_link(&place.at("disk/samples.png")));
    assert!(fs::read(place.at("picture")).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn places_that_can_hold_no_file_are_named_with_what_to_do() {
    let place = Place::new();
    fs::create_dir(place.at("folder")).unwrap();
    symlink("loop", place.at("loop")).unwrap();
    for (output, words) in [
        ("folder", "'folder' is a directory; give a file name in it"),
        ("folder/", "is a directory"),
        ("missing/out", "'missing' does not exist; create it first"),
        ("loop", "symbolic links"),
        ("/dev/fd/77", "descriptor 77 is not open"),
    ] {
        let error = refusal(&mut place.denoise(output));
        assert!(error.contains(words), "{error}");
    }
    let name = "n".repeat(255);
    done(&mut place.denoise(&name));
    let error = refusal(&mut place.mosaic(&["data", "show", "glyphs-cnn", "--out", "a.bmp"]));
    assert!(error.contains("must end in .png or .jpg"), "{error}");
    let error = refusal(&mut place.mosaic(&["theory", "glyphs-cnn", "--out", "images"]));
    assert!(error.contains("'images' is not a directory"), "{error}");
}
