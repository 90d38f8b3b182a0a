//! House rules checked automatically: module docs, import direction, file size, leftovers.

use std::fs;
use std::path::{Path, PathBuf};

mod imports;
use imports::Module;

/// Modules of the crate in reading order; each may import only those before it (`src/lib.rs`).
const ORDER: [&str; 24] = [
    "allocator",
    "files",
    "console",
    "download",
    "simd",
    "image",
    "random",
    "arrays",
    "dataset",
    "diffusion",
    "hardware",
    "network",
    "weights",
    "theory",
    "training",
    "optimum",
    "analysis",
    "config",
    "runs",
    "evaluation",
    "worker",
    "bench",
    "tui",
    "cli",
];

/// Pairs that the order alone would allow: siblings, and the dashboard, which must not know networks.
const FORBIDDEN: [(&str, &str); 9] = [
    ("theory", "network"),
    ("training", "theory"),
    ("analysis", "network"),
    ("analysis", "training"),
    ("analysis", "theory"),
    ("analysis", "optimum"),
    ("tui", "optimum"),
    ("tui", "network"),
    ("tui", "training"),
];

/// Maximum file length; a longer file probably holds a second concept.
const LINES_MAX: usize = 600;

struct Source {
    path: PathBuf,
    text: String,
}

fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut pending = vec![root];
    let mut found = Vec::new();
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_path_buf();
                found.push(Source { path, text });
            }
        }
    }
    assert!(!found.is_empty(), "no sources under {folder}");
    found
}

/// The module of a file under `src`, e.g. `theory::gpu`; empty for `lib.rs` and `main.rs`.
fn module_of(path: &Path) -> Module {
    let parts = path.with_extension("");
    let parts =
        parts.components().skip(1).map(|part| part.as_os_str().to_string_lossy().into_owned());
    let mut module: Module = parts.collect();
    if module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    if module == ["lib"] || module == ["main"] { Module::new() } else { module }
}

/// The graph of files, without `lib.rs` and `main.rs`.
fn graph() -> imports::Graph {
    let files = sources("src").into_iter().map(|source| (module_of(&source.path), source.text));
    let files: Vec<_> = files.filter(|(module, _)| !module.is_empty()).collect();
    imports::graph(&files)
}

#[test]
fn every_module_says_what_it_is_for() {
    for source in sources("src").iter().chain(&sources("tests")) {
        let first = source.text.lines().next().unwrap_or("");
        assert!(
            first.starts_with("//! ") && first.len() > 12,
            "{} does not open with a //! line that says what it is for",
            source.path.display()
        );
    }
}

#[test]
fn imports_point_to_modules_above() {
    let rank = |module: &Module| ORDER.iter().position(|name| module[0] == *name);
    let mut n_checked = 0;
    for (module, uses) in graph() {
        for used in uses {
            let (own, other) = (rank(&module), rank(&used));
            assert!(own.is_some() && other.is_some(), "{module:?} or {used:?} is in no room");
            n_checked += 1;
            let words = format!("{} uses {}", module.join("::"), used.join("::"));
            assert!(other <= own, "{words}, which lies above it");
            let pair = (module[0].as_str(), used[0].as_str());
            assert!(!FORBIDDEN.contains(&pair), "{words}: these two must not know each other");
        }
    }
    assert!(n_checked > 500, "the scan found almost nothing: {n_checked}");
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let words = |circle: &Vec<Module>| {
        let names: Vec<String> = circle.iter().map(|module| module.join("::")).collect();
        names.join(", ")
    };
    let circles: Vec<String> = imports::circles(&graph()).iter().map(words).collect();
    assert!(circles.is_empty(), "circles of files: {circles:#?}");
}

#[test]
fn the_map_in_lib_rs_is_the_module_order() {
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let declared: Vec<&str> =
        lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert_eq!(declared, ORDER);
    let mapped: Vec<&str> = lib
        .lines()
        .filter_map(|line| line.strip_prefix("//! | [`")?.split('`').next())
        .map(|name| name.trim_start_matches("mod@"))
        .collect();
    assert_eq!(mapped, ORDER);
}

#[test]
fn no_file_has_grown_huge() {
    for source in sources("src") {
        let lines = source.text.lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines", source.path.display());
    }
}

/// Text from files and arguments goes through `console`; only the dashboard and pictures write to a terminal
/// directly.
#[test]
fn commands_print_through_the_console() {
    let ways =
        [["print", "ln!("], ["print", "!("], ["io::stdout(", ").lock"], ["io::stderr(", ").lock"]];
    for source in sources("src") {
        let prints = [
            "src/cli",
            "src/config",
            "src/runs",
            "src/evaluation",
            "src/worker",
            "src/bench",
            "src/hardware",
            "src/main.rs",
        ]
        .iter()
        .any(|room| source.path.starts_with(room));
        // Unit tests are at the end of a file.
        let code = source.text.split("#[cfg(test)]").next().unwrap_or_default();
        for way in ways.map(|halves| halves.concat()) {
            assert!(!prints || !code.contains(&way), "{} holds '{way}'", source.path.display());
        }
    }
}

/// Whoever prints an error prints its sources after it.
#[test]
fn no_error_repeats_its_source() {
    let mut n_messages = 0;
    for source in sources("src") {
        for message in source.text.split("#[error(").skip(1) {
            let message = message.split(")]").next().unwrap_or_default();
            n_messages += 1;
            let repeats =
                ["{source}", "{source:", ".source"].iter().any(|field| message.contains(field));
            assert!(!repeats, "{} repeats its source: {message}", source.path.display());
        }
    }
    assert!(n_messages > 50, "the scan found almost nothing: {n_messages}");
}

#[test]
fn no_leftovers() {
    // Split into halves, so that this list does not match itself.
    let leftovers = [
        ["todo", "!("],
        ["unimplemented", "!("],
        ["dbg", "!("],
        ["FIX", "ME"],
        ["X", "XX"],
        ["allow(", "dead_code)"],
        ["#[", "ignore"],
    ];
    for source in sources("src").iter().chain(&sources("tests")) {
        for leftover in leftovers.map(|halves| halves.concat()) {
            assert!(
                !source.text.contains(&leftover),
                "{} holds '{leftover}'",
                source.path.display()
            );
        }
    }
}
