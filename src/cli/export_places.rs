//! Where exported results go and in which format: checked before anything is computed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use strum::{Display, EnumString, VariantNames};

use crate::arrays::FileFormat;
use crate::evaluation::export::export_parts::ExportPart;
use crate::evaluation::external::external_toml;
use crate::files::{check_output, is_stream};

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumString, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum ResultFormat {
    Npz,
    Safetensors,
    Csv,
}

impl ResultFormat {
    fn of_path(path: &Path) -> Option<Self> {
        path.extension()?.to_str()?.to_ascii_lowercase().parse().ok()
    }

    /// The format of arrays; `None` for tables.
    pub fn of_arrays(self) -> Option<FileFormat> {
        match self {
            Self::Npz => Some(FileFormat::Npz),
            Self::Safetensors => Some(FileFormat::Safetensors),
            Self::Csv => None,
        }
    }
}

/// Where results go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    File(PathBuf),
    Directory(PathBuf),
}

/// A name with one of the known endings is a file, any other a directory.
///
/// # Errors
///
/// If name and format contradict each other, or if the name is that of a stream or has another ending.
pub fn place_and_format(out: &Path, asked: Option<ResultFormat>) -> Result<(Place, ResultFormat)> {
    let of_name = ResultFormat::of_path(out).filter(|_| !out.is_dir());
    match (of_name, asked) {
        (Some(of_name), Some(asked)) if of_name != asked => bail!(
            "--out '{}' ends in .{of_name}, but --format is {asked}; leave one out",
            out.display()
        ),
        (Some(format), _) => Ok((Place::File(out.to_owned()), format)),
        (None, _) if is_stream(out) => bail!(
            "'{}' is a device or a pipe, but arrays and tables are put together in files; name a file or a directory",
            out.display()
        ),
        (None, asked) => {
            ensure!(
                !out.is_file() && (out.extension().is_none() || out.is_dir() || asked.is_some()),
                "--out '{}' must end in .npz, .safetensors or .csv, or be a directory",
                out.display()
            );
            Ok((Place::Directory(out.to_owned()), asked.unwrap_or(ResultFormat::Npz)))
        }
    }
}

/// Refuses parts that cannot be written in a format.
///
/// # Errors
///
/// The reason, in words.
pub fn check_parts(
    parts: &BTreeSet<ExportPart>,
    place: &Place,
    format: ResultFormat,
) -> Result<()> {
    for part in parts {
        let (why, other) = match format {
            ResultFormat::Csv => (part.why_no_table(), "npz or safetensors"),
            _ => (part.why_no_arrays(), "csv"),
        };
        if let Some(why) = why {
            bail!("'{part}' cannot be written as {format}: {why}; choose --format {other}");
        }
    }
    if let (Place::File(path), ResultFormat::Csv, 2..) = (place, format, parts.len()) {
        bail!(
            "'{}' can hold one table, but {} were asked for; name a directory, with --format csv",
            path.display(),
            parts.len()
        );
    }
    Ok(())
}

/// The files that will be written, that of arrays first.
pub fn names_of_files(
    parts: &BTreeSet<ExportPart>,
    place: &Place,
    format: ResultFormat,
) -> Vec<PathBuf> {
    match (place, format) {
        (Place::File(path), _) => vec![path.clone()],
        (Place::Directory(folder), ResultFormat::Csv) => {
            parts.iter().map(|part| folder.join(format!("{part}.csv"))).collect()
        }
        (Place::Directory(folder), format) => {
            let mut names = vec![folder.join(format!("arrays.{format}"))];
            if parts.contains(&ExportPart::Samples) {
                names.push(folder.join(external_toml::FILE));
            }
            names
        }
    }
}

/// Refuses outputs that cannot be written, or that are there already.
///
/// # Errors
///
/// As [`check_output`], and if a file is there and `force` is not set.
pub fn check_names(names: &[PathBuf], force: bool) -> Result<()> {
    for name in names {
        ensure!(
            force || !name.exists(),
            "'{}' already exists; use --force to replace it",
            name.display()
        );
        check_output(name).with_context(|| format!("writing '{}'", name.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_decide_between_a_file_and_a_directory() {
        let folder = tempfile::tempdir().unwrap();
        let of = |name: &str, asked| place_and_format(&folder.path().join(name), asked);
        let path = |name: &str| folder.path().join(name);
        for (name, asked, expected) in [
            ("a.npz", None, (Place::File(path("a.npz")), ResultFormat::Npz)),
            ("a.CSV", None, (Place::File(path("a.CSV")), ResultFormat::Csv)),
            ("a", None, (Place::Directory(path("a")), ResultFormat::Npz)),
            ("a", Some(ResultFormat::Csv), (Place::Directory(path("a")), ResultFormat::Csv)),
            (
                "run.1",
                Some(ResultFormat::Npz),
                (Place::Directory(path("run.1")), ResultFormat::Npz),
            ),
        ] {
            assert_eq!(of(name, asked).unwrap(), expected);
        }
        std::fs::create_dir(path("b.npz")).unwrap();
        assert_eq!(of("b.npz", None).unwrap().0, Place::Directory(path("b.npz")));
        std::fs::write(path("c"), "").unwrap();
        for (name, asked, words) in [
            ("a.txt", None, ".safetensors"),
            ("a.npz", Some(ResultFormat::Csv), "--format is csv"),
            ("c", None, "be a directory"),
        ] {
            let error = of(name, asked).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let error = place_and_format(Path::new("/dev/null"), None).unwrap_err().to_string();
        assert!(error.contains("device"), "{error}");
    }
}
