//! Valid and invalid `lab.toml` files, with the expected message for each invalid one.
//!
//! The files are in `tests/configs/`; an invalid one starts with `# expect: ` and the message.

use std::error::Error;
use std::path::{Path, PathBuf};

use mosaic_lab::config;

fn files(kind: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs").join(kind);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// Formats an error with its causes, as `mosaic` prints it.
fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

#[test]
fn every_wrong_file_is_answered_with_place_key_and_remedy() {
    for path in files("invalid") {
        let text = std::fs::read_to_string(&path).unwrap();
        let expected = text.lines().next().unwrap().strip_prefix("# expect: ").unwrap();
        let found = in_full(&config::load(Some(&path)).unwrap_err());
        let directory = format!("{}/", path.parent().unwrap().display());
        let found = found.replace(&directory, "");
        assert!(found.starts_with(expected), "\nexpected: {expected}\nfound:    {found}");
    }
}

#[test]
fn every_right_file_is_taken() {
    for path in files("valid") {
        config::load(Some(&path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

#[test]
fn a_missing_data_set_is_told_with_the_line_that_names_it() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("lab.toml");
    let text = "[experiment.a]\ndataset.kind = 'idx'\ndataset.path = 'gone.gz'\n";
    std::fs::write(&path, text).unwrap();
    let lab = config::load(Some(&path)).unwrap();
    let found = in_full(&lab.experiments[0].check_files().unwrap_err());
    let expected = format!(
        "{}:3: 'experiment.a.dataset.path' names '{}', which does not exist; paths start at the \
         directory of the lab file",
        path.display(),
        place.path().join("gone.gz").display()
    );
    assert_eq!(found, expected);
}

#[test]
fn a_missing_file_is_named() {
    let error = config::load(Some(Path::new("no/such/lab.toml"))).unwrap_err();
    assert!(in_full(&error).starts_with("reading 'no/such/lab.toml': "), "{}", in_full(&error));
}
