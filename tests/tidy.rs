//! House rules that a machine can check: module docs, import direction, file size, leftovers.

use std::fs;
use std::path::{Path, PathBuf};

/// Modules of the crate in reading order; each may import only those before it (`src/lib.rs`).
const ORDER: [&str; 20] = [
    "allocator",
    "files",
    "console",
    "simd",
    "image",
    "random",
    "dataset",
    "diffusion",
    "hardware",
    "network",
    "theory",
    "training",
    "analysis",
    "config",
    "runs",
    "evaluation",
    "worker",
    "bench",
    "tui",
    "cli",
];

/// Pairs that the order alone would allow: siblings, and a dashboard that knows no network.
const FORBIDDEN: [(&str, &str); 7] = [
    ("theory", "network"),
    ("training", "theory"),
    ("analysis", "network"),
    ("analysis", "training"),
    ("analysis", "theory"),
    ("tui", "network"),
    ("tui", "training"),
];

/// Lines after which a file is asked whether a second concept moved in.
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

/// The top-level module a file under `src` belongs to, e.g. `theory`.
fn module_of(path: &Path) -> String {
    let part = path.components().nth(1).unwrap().as_os_str().to_string_lossy().into_owned();
    part.trim_end_matches(".rs").to_string()
}

/// The top-level modules named by `crate::NAME` in code (comments and doc links do not count).
fn imports(text: &str) -> Vec<String> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut names = Vec::new();
    for (start, _) in code.match_indices("crate::") {
        let rest = &code[start + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            // `use crate::{a::B, c}`: the first name after the brace and after each top-level comma.
            let mut depth = 0;
            let mut at_name = true;
            for (i, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => at_name = true,
                    c if at_name && c.is_alphabetic() => {
                        names.push(identifier(&group[i..]));
                        at_name = false;
                    }
                    _ => {}
                }
            }
        } else {
            names.push(identifier(rest));
        }
    }
    names
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
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
    let rank = |name: &str| ORDER.iter().position(|m| *m == name);
    let mut n_checked = 0;
    for source in sources("src") {
        let module = module_of(&source.path);
        let Some(own) = rank(&module) else { continue };
        for name in imports(&source.text) {
            let Some(other) = rank(&name) else { continue };
            n_checked += 1;
            assert!(other <= own, "{} imports {name}, which lies below", source.path.display());
            assert!(
                !FORBIDDEN.contains(&(module.as_str(), name.as_str())),
                "{} imports {name}: these two must not know each other",
                source.path.display()
            );
        }
    }
    assert!(n_checked > 10, "the import scan found almost nothing: {n_checked}");
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

/// Text from files and arguments goes through `console`; only the dashboard and pictures write to a terminal themselves.
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
        // Unit tests stand at the end of a file.
        let code = source.text.split("#[cfg(test)]").next().unwrap_or_default();
        for way in ways.map(|halves| halves.concat()) {
            assert!(!prints || !code.contains(&way), "{} holds '{way}'", source.path.display());
        }
    }
}

#[test]
fn no_leftovers() {
    // Spelled in two halves, so that this list does not find itself.
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

#[test]
fn the_import_scan_reads_groups_and_paths() {
    let text = "use crate::{image::{A, B}, random::c};\n// crate::cli\nlet x = crate::lab::y();";
    assert_eq!(imports(text), ["image", "random", "lab"]);
}
