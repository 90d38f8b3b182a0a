//! `mosaic data fetch`, the command itself: what it prints, how it ends, and that what it prints works.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use mosaic_lab::files::sha256;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::server::{Server, file, silence};

const DIGITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/datasets/digits/images-idx3-ubyte.gz");
const LABELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/datasets/digits/labels-idx1-ubyte.gz");

/// A directory to work in, and a list with one set, the digits of this repository, that has this URL.
struct Lab {
    place: TempDir,
}

impl Lab {
    fn new(url: &str) -> Self {
        let place = tempfile::tempdir().unwrap();
        let entry = |path: &str| {
            let (bytes, name) = (fs::read(path).unwrap(), path.rsplit('/').next().unwrap());
            let sum = sha256(&bytes);
            format!("{{ name = \"{name}\", bytes = {}, sha256 = \"{sum}\" }}", bytes.len())
        };
        let list = format!(
            "[[set]]\nname = 'digits-2'\nabout = 'digits'\nimages = 1797\nsize = [1, 8, 8]\nclasses = 10\nby = 'UCI'\n\
             licence = 'CC BY 4.0'\nchecksums = 'here'\nkind = 'idx'\npath = 'images-idx3-ubyte.gz'\n\
             labels = 'labels-idx1-ubyte.gz'\nurls = ['{url}']\nfile = [{}, {}]\n",
            entry(DIGITS),
            entry(LABELS)
        );
        fs::write(place.path().join("sets.toml"), list).unwrap();
        Self { place }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mosaic"));
        command.args(arguments).current_dir(self.place.path());
        for variable in [
            "http_proxy",
            "HTTP_PROXY",
            "https_proxy",
            "HTTPS_PROXY",
            "all_proxy",
            "ALL_PROXY",
            "no_proxy",
            "NO_PROXY",
        ] {
            command.env_remove(variable);
        }
        command
    }

    fn mosaic(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn fetch(&self, arguments: &[&str]) -> Output {
        let all = ["data", "fetch", "digits-2", "--sets", "sets.toml", "--tries", "2"];
        self.mosaic(&[&all[..], arguments].concat())
    }
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Serves the digits.
fn digits(name: &str) -> Vec<u8> {
    fs::read(if name.contains("labels") { LABELS } else { DIGITS }).unwrap()
}

fn server() -> Server {
    Server::start(|request, stream| file(request, stream, &digits(&request.line), usize::MAX))
}

#[test]
fn what_it_prints_is_an_experiment_that_reads_what_it_fetched() {
    let server = server();
    let lab = Lab::new(&server.url("/"));
    assert!(lab.mosaic(&["init"]).status.success());
    let output = lab.fetch(&[]);
    assert!(output.status.success(), "{}", err(&output));
    assert!(err(&output).contains("images-idx3-ubyte.gz: fetched, with the right checksum"));
    assert!(out(&output).contains("dataset.path = \"datasets/digits-2/images-idx3-ubyte.gz\""));
    let both = fs::read_to_string(lab.path("lab.toml")).unwrap() + "\n" + &out(&output);
    fs::write(lab.path("lab.toml"), both).unwrap();
    let shown = lab.mosaic(&["data", "show", "digits-2"]);
    assert!(out(&shown).contains("1000 images of 1x32x32"), "{}{}", out(&shown), err(&shown));
    let again = lab.fetch(&[]);
    assert!(err(&again).contains("is there, with the right checksum"), "{}", err(&again));
    assert!(out(&again).contains("# used by digits-2"), "{}", out(&again));
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_lab_file_elsewhere_and_a_directory_of_ones_own_are_followed() {
    let server = server();
    let lab = Lab::new("https://unused.invalid/");
    fs::create_dir(lab.path("sub")).unwrap();
    fs::write(lab.path("sub/lab.toml"), "[experiment.a]\n").unwrap();
    let from = server.url("/mirror");
    let output = lab.fetch(&["--lab", "sub/lab.toml", "--from", &from]);
    assert!(output.status.success(), "{}", err(&output));
    assert!(lab.path("sub/datasets/digits-2/images-idx3-ubyte.gz").exists());
    assert!(out(&output).contains("network.padding"), "without the built-in experiments");
    let folder = Path::new(DIGITS).parent().unwrap().to_str().unwrap();
    let output = lab.fetch(&["--from", folder, "--to", "else where"]);
    assert!(output.status.success(), "{}", err(&output));
    assert!(out(&output).contains("dataset.path = \"else where/images-idx3-ubyte.gz\""));
    let lines = out(&output);
    fs::write(lab.path("lab.toml"), format!("[experiment.a]\n{lines}")).unwrap();
    let shown = lab.mosaic(&["data", "show", "digits-2"]);
    assert!(out(&shown).contains("1000 images"), "{}{}", err(&shown), lines);
}

#[test]
fn offline_it_says_which_files_are_needed_and_where() {
    let lab = Lab::new("http://no-such-host.invalid/x/");
    let output = lab.fetch(&["--to", "here"]);
    assert_eq!(output.status.code(), Some(1));
    let words = err(&output);
    let sum = sha256(&digits("images"));
    for expected in
        ["seems to be offline", "HTTPS_PROXY", "/here'", &sum, "invalid/x/labels-idx1-ubyte.gz"]
    {
        assert!(words.contains(expected), "'{expected}' is missing: {words}");
    }
    assert_eq!(fs::read_dir(lab.path("here")).unwrap().count(), 0);
}

#[test]
fn names_that_are_not_offered_are_refused_with_the_reason() {
    let lab = Lab::new("https://unused.invalid/");
    for (arguments, expected) in [
        (&["data", "fetch", "fashion"][..], "did you mean 'fashion-mnist'?"),
        (&["data", "fetch", "emnist"], "'emnist' is not offered: it comes as a zip archive"),
        (&["data", "fetch", "x", "--from", "ftp://a/"], "no data set 'x'"),
        (&["data", "fetch", "mnist", "--from", "ftp://a/"], "'ftp' is not supported"),
        (&["data", "fetch", "mnist", "--to", "sets.toml"], "not a directory"),
        (&["data", "fetch", "mnist", "--sets", "none.toml"], "none.toml"),
        (&["data", "fetch", "mnist", "--sets", "sets.toml"], "no data set 'mnist'"),
    ] {
        let output = lab.mosaic(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(err(&output).contains(expected), "{arguments:?}: {}", err(&output));
    }
    for wrong in [&["data", "fetch"][..], &["data", "fetch", "mnist", "--stall", "0"]] {
        assert_eq!(lab.mosaic(wrong).status.code(), Some(2));
    }
    let listed = out(&lab.mosaic(&["data", "fetch", "--list"]));
    assert!(listed.contains("fashion-mnist") && listed.contains("170.05 MB"), "{listed}");
    let listed = out(&lab.mosaic(&["data", "fetch", "--list", "CIFAR-10"]));
    assert!(listed.contains("c4a38c50a1bc5f3a1c5537f2155ab9d6"), "{listed}");
}

#[test]
fn a_missing_data_set_names_the_command_that_fetches_it() {
    let lab = Lab::new("https://unused.invalid/");
    let show = |setting: &str, experiment: &str| {
        err(&lab.mosaic(&["data", "show", experiment, "--set", setting]))
    };
    assert!(show("dataset.n=9", "fashion-attention").contains("'mosaic data fetch fashion-mnist'"));
    assert!(show("dataset.n=9", "cifar-small").contains("'mosaic data fetch cifar10'"));
    let elsewhere = show("dataset.path=/no/KMNIST/train-images-idx3-ubyte.gz", "fashion-small");
    assert!(elsewhere.contains("mosaic data fetch kmnist --to '/no/KMNIST'"), "{elsewhere}");
    let unpacked = show("dataset.path=cifar-10-batches-bin", "cifar-small");
    assert!(unpacked.contains("fetches 'cifar-10-binary.tar.gz': name that"), "{unpacked}");
    let unknown = show("dataset.path=a/b.gz", "fashion-small");
    assert!(!unknown.contains("fetch"), "{unknown}");
}

/// Waits until a file has so many bytes.
fn wait_for(path: &Path, n_bytes: u64) {
    let started = Instant::now();
    while !fs::metadata(path).is_ok_and(|about| about.len() >= n_bytes) {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "waited in vain for {}",
            path.display()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn killed_or_interrupted_it_goes_on_from_there_and_a_second_one_is_kept_out() {
    let server = Server::start(|request, stream| {
        let is_last = request.from() == 20_000 || request.line.contains("labels");
        let n_sent = if is_last { usize::MAX } else { 10_000 };
        file(request, stream, &digits(&request.line), n_sent);
        if !is_last {
            silence();
        }
    });
    let lab = Lab::new(&server.url("/"));
    let arguments = ["data", "fetch", "digits-2", "--sets", "sets.toml", "--to", "d"];
    for (signal, n_bytes, code) in [(Signal::KILL, 10_000, None), (Signal::INT, 20_000, Some(3))] {
        let mut command = lab.command(&arguments);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for(&lab.path("d/images-idx3-ubyte.gz.part"), n_bytes);
        let second = lab.mosaic(&arguments);
        assert_eq!(second.status.code(), Some(1));
        assert!(err(&second).contains("another process is fetching it"), "{}", err(&second));
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), code);
        if code.is_some() {
            assert!(err(&output).contains("stopped by SIGINT at 20000 of"), "{}", err(&output));
        }
    }
    let output = lab.mosaic(&arguments);
    assert!(output.status.success(), "{}", err(&output));
    assert!(err(&output).contains("from byte 20000 on"), "{}", err(&output));
    assert_eq!(fs::read(lab.path("d/images-idx3-ubyte.gz")).unwrap(), digits("images"));
    assert_eq!(fs::read_dir(lab.path("d")).unwrap().count(), 2);
}

/// A limit on the size of files stands for a full disk: writes come back short and then fail.
#[test]
fn a_disk_that_fills_up_is_named_and_what_was_written_is_kept() {
    let server = server();
    let lab = Lab::new(&server.url("/"));
    let program = env!("CARGO_BIN_EXE_mosaic");
    let script =
        format!("ulimit -f 16; exec '{program}' data fetch digits-2 --sets sets.toml --to d");
    let output =
        Command::new("bash").args(["-c", &script]).current_dir(lab.place.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let words = err(&output);
    assert!(words.contains("make room, and the same command goes on"), "{words}");
    let part = fs::metadata(lab.path("d/images-idx3-ubyte.gz.part")).unwrap().len();
    assert!(part > 0 && words.contains(&format!("after {part} bytes")), "{part}: {words}");
    let output = lab.fetch(&["--to", "d"]);
    assert!(output.status.success(), "{}", err(&output));
    assert_eq!(server.requests()[1].from() as u64, part);
}

#[test]
fn the_proxies_of_the_environment_are_used() {
    let (server, proxy) = (server(), crate::server::proxy());
    let lab = Lab::new(&server.url("/"));
    let address = format!("http://127.0.0.1:{}", proxy.port);
    let mut command = lab.command(&["data", "fetch", "digits-2", "--sets", "sets.toml"]);
    let output =
        command.env("http_proxy", address).env("NO_PROXY", "example.com").output().unwrap();
    assert!(output.status.success(), "{}", err(&output));
    assert_eq!(proxy.requests().len(), 2);
}
