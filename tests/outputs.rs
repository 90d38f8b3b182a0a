//! Where outputs go: devices, pipes, links and files that users name, with the real binary.

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
    /// With images and an input for `denoise`.
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
        // A file that something else has begun, and ends.
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
    assert!(String::from_utf8(output.stderr).unwrap().contains("64 images"));
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
    // The output in the place of an input.
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
        ("folder", "'folder' is a directory; name a file in it"),
        ("folder/", "is a directory"),
        ("missing/out", "'missing' does not exist; make it first"),
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
