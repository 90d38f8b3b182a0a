//! Writing output to a path chosen by the user: a file, a link, a pipe or a device.
//!
//! ```text
//! no such file           creates a new file, complete or not at all
//! symbolic link          the same for the link's target; the link stays
//! regular file           replaced atomically, keeping mode and owner; or overwritten in place if replacing would lose
//!                        something (other hard links, ACLs and extended attributes) or is not possible (the folder is
//!                        read-only, the file is a mount point, its owner cannot be kept)
//! device, pipe           opened and written to
//! /dev/stdout, /dev/fd/N written to at the descriptor's current offset
//! ```

use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, OFlags, access};
use rustix::io::Errno;

use super::atomic_replacement::write_atomically;
use super::descriptor_paths::{self, Magic};
use super::error::{LINKS_MAX, OutputError, failed};
use super::overwrite_existing_file;

/// The file, stream or descriptor that a path resolves to.
enum Target {
    /// A descriptor of this process.
    Descriptor(RawFd),
    /// A device, a pipe, or a file that is reachable only through `/proc`.
    Stream(PathBuf),
    File(PathBuf, Metadata),
    /// The path of a new file in an existing directory.
    New(PathBuf),
}

/// Writes all of `content` to `path`; the module documentation says how existing files are treated.
///
/// # Errors
///
/// Those of [`check_output`], and failures of writing itself. An existing regular file is unchanged then,
/// except after [`OutputError::Incomplete`].
pub fn write_output(path: &Path, content: &[u8]) -> Result<(), OutputError> {
    match target(path)? {
        Target::Descriptor(number) => {
            descriptor_paths::write(number, content).map_err(failed("writing to", path))
        }
        Target::Stream(stream) => write_stream(&stream, content),
        Target::New(file) => write_atomically(&file, content).map_err(failed("writing", &file)),
        Target::File(file, old) => overwrite_existing_file::write(&file, &old, content),
    }
}

/// Checks, as far as possible without touching anything, whether an output can be written to `path`; meant to
/// be called before a long computation whose result goes there.
///
/// # Errors
///
/// An empty name, a directory, a missing or protected directory, a protected file, a loop of links.
pub fn check_output(path: &Path) -> Result<(), OutputError> {
    if let Target::New(file) = target(path)? {
        let folder = folder_of(&file);
        access(folder, Access::WRITE_OK | Access::EXEC_OK)
            .map_err(|_| OutputError::NoFileIn { path: folder.to_owned() })?;
    }
    Ok(())
}

/// True if `path` resolves to this process's standard output, or to the same file (`>FILE 2>&1`).
pub fn is_stdout(path: &Path) -> bool {
    matches!(target(path), Ok(Target::Descriptor(number)) if descriptor_paths::are_same(number, 1))
}

/// True if `path` resolves to this process's standard error, or to the same file.
pub fn is_stderr(path: &Path) -> bool {
    matches!(target(path), Ok(Target::Descriptor(number)) if descriptor_paths::are_same(number, 2))
}

/// True if writing two outputs would overwrite or mix them. Devices, which store nothing, do not count.
pub fn is_same_output(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    let identity = |about: &Metadata| (about.dev(), about.ino());
    let stream =
        |path: &Path| fs::metadata(path).ok().filter(|about| !about.file_type().is_char_device());
    let new =
        |path: &Path| Some((folder_of(path).canonicalize().ok()?, path.file_name()?.to_owned()));
    match (target(one), target(other)) {
        (Ok(Target::Descriptor(one)), Ok(Target::Descriptor(other))) => {
            descriptor_paths::are_same(one, other)
        }
        (Ok(Target::File(_, one)), Ok(Target::File(_, other))) => {
            identity(&one) == identity(&other)
        }
        (Ok(Target::Stream(one)), Ok(Target::Stream(other))) => stream(&one).is_some_and(|one| {
            stream(&other).is_some_and(|other| identity(&one) == identity(&other))
        }),
        (Ok(Target::New(one)), Ok(Target::New(other))) => {
            new(&one).is_some() && new(&one) == new(&other)
        }
        _ => false,
    }
}

/// True if `path` resolves to a device, a pipe or an open descriptor, whose name does not indicate a format.
pub fn is_stream(path: &Path) -> bool {
    matches!(target(path), Ok(Target::Descriptor(_) | Target::Stream(_)))
}

/// Creates a directory chosen by the user, with its parents, following symbolic links to missing directories.
///
/// # Errors
///
/// If a file is in the way, or if the system refuses.
pub fn make_folder(path: &Path) -> Result<(), OutputError> {
    if path.as_os_str().is_empty() {
        return Err(OutputError::Empty);
    }
    let mut at = path.to_owned();
    for _ in 0..LINKS_MAX {
        let is_dangling = fs::symlink_metadata(&at).is_ok_and(|about| about.is_symlink());
        if !is_dangling || at.is_dir() {
            return match fs::create_dir_all(&at) {
                Err(_) if at.exists() && !at.is_dir() => {
                    Err(OutputError::NotADirectory { path: at })
                }
                done => done.map_err(failed("making the directory", &at)),
            };
        }
        at = followed(&at)?;
    }
    Err(OutputError::Loop)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Follows a link by one step.
fn followed(link: &Path) -> Result<PathBuf, OutputError> {
    let to = fs::read_link(link).map_err(failed("reading the link", link))?;
    Ok(folder_of(link).join(to))
}

fn target(path: &Path) -> Result<Target, OutputError> {
    if path.as_os_str().is_empty() {
        return Err(OutputError::Empty);
    }
    let mut at = path.to_owned();
    for _ in 0..=LINKS_MAX {
        let about = match fs::symlink_metadata(&at) {
            Ok(about) => about,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return new(at),
            Err(error) => return Err(failed("finding", &at)(error)),
        };
        if !about.is_symlink() {
            return there(at, about);
        }
        match descriptor_paths::magic(&at) {
            Some(Magic::Own(number)) if descriptor_paths::is_closed(number) => {
                return Err(OutputError::NotOpen { number });
            }
            Some(Magic::Own(number)) => return Ok(Target::Descriptor(number)),
            Some(Magic::Foreign) if !at.is_dir() => return Ok(Target::Stream(at)),
            _ => at = followed(&at)?,
        }
    }
    Err(OutputError::Loop)
}

/// Resolves an existing path that does not end in a link.
fn there(path: PathBuf, about: Metadata) -> Result<Target, OutputError> {
    if about.is_dir() {
        return Err(OutputError::Directory { path });
    }
    match access(&path, Access::WRITE_OK) {
        Ok(()) => {}
        Err(Errno::ACCESS | Errno::PERM) => {
            let (mode, owner) = (about.mode() & 0o7777, about.uid());
            return Err(OutputError::Protected { path, mode, owner });
        }
        Err(error) => return Err(failed("opening", &path)(error.into())),
    }
    Ok(if about.is_file() { Target::File(path, about) } else { Target::Stream(path) })
}

fn new(path: PathBuf) -> Result<Target, OutputError> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.ends_with(b"/") || bytes.ends_with(b"/.") || path.file_name().is_none() {
        return Err(OutputError::Directory { path });
    }
    if let Some(Magic::Own(number)) = descriptor_paths::magic(&path) {
        return Err(OutputError::NotOpen { number });
    }
    let folder = folder_of(&path);
    match folder.is_dir() {
        true => Ok(Target::New(path)),
        false => Err(OutputError::NoDirectory { path: folder.to_owned() }),
    }
}

fn write_stream(path: &Path, content: &[u8]) -> Result<(), OutputError> {
    // Opening a terminal must not make it this process's controlling terminal. A file that is reachable only
    // through `/proc` belongs to another process and keeps its content.
    let flags = OFlags::NOCTTY.bits().cast_signed();
    let mut how = OpenOptions::new();
    how.write(true).append(path.is_file()).custom_flags(flags);
    let stream = how.open(path);
    match stream.and_then(|mut stream| stream.write_all(content)) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            Err(OutputError::ReaderGone { path: path.to_owned(), n_bytes: content.len() })
        }
        done => done.map_err(failed("writing to", path)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, Permissions};
    use std::io::Read;
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    fn write(path: &Path, text: &str) {
        write_output(path, text.as_bytes()).unwrap();
    }

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    fn refusal(path: &Path) -> String {
        let (early, late) =
            (check_output(path).unwrap_err(), write_output(path, b"x").unwrap_err());
        assert_eq!(early.to_string(), late.to_string(), "both say the same");
        late.to_string()
    }

    #[test]
    fn two_names_of_one_output_are_known_as_such() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        fs::create_dir(at("folder")).unwrap();
        fs::write(at("file"), "old").unwrap();
        fs::hard_link(at("file"), at("hard")).unwrap();
        symlink("file", at("link")).unwrap();
        symlink("new", at("dangling")).unwrap();
        for (one, other) in [
            ("file", "file"),
            ("file", "link"),
            ("file", "hard"),
            ("new", "folder/../new"),
            ("new", "dangling"),
        ] {
            assert!(is_same_output(&at(one), &at(other)), "{one} {other}");
        }
        assert!(
            !is_same_output(&at("file"), &at("new")) && !is_same_output(&at("new"), &at("newer"))
        );
        let null = Path::new("/dev/null");
        assert!(!is_same_output(null, null));
        let [out, same] = ["/dev/stdout", "/proc/self/fd/1"].map(Path::new);
        assert!(is_same_output(out, same));
    }

    #[test]
    fn links_stay_links_and_what_they_lead_to_is_replaced() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        fs::create_dir(at("folder")).unwrap();
        fs::write(at("folder/file"), "old").unwrap();
        symlink("folder/file", at("one")).unwrap();
        symlink("one", at("two")).unwrap();
        symlink("../new", at("folder/dangling")).unwrap();
        symlink("folder", at("way")).unwrap();
        for (path, file) in
            [("two", "folder/file"), ("folder/dangling", "new"), ("way/x", "folder/x")]
        {
            write(&at(path), path);
            assert_eq!(read(&at(file)), path);
        }
        for link in ["one", "two", "folder/dangling", "way"] {
            assert!(fs::symlink_metadata(at(link)).unwrap().is_symlink(), "{link}");
        }
    }

    #[test]
    fn pipes_and_devices_are_written_through() {
        let place = tempfile::tempdir().unwrap();
        let pipe = place.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let reader = {
            let pipe = pipe.clone();
            std::thread::spawn(move || {
                let mut text = String::new();
                File::open(pipe).unwrap().read_to_string(&mut text).unwrap();
                text
            })
        };
        write(&pipe, "through");
        assert_eq!(reader.join().unwrap(), "through");
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
        write(Path::new("/dev/null"), "nothing");
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        let full = write_output(Path::new("/dev/full"), b"x").unwrap_err().to_string();
        assert_eq!(full, "writing to '/dev/full'");
        assert!(is_stream(&pipe) && is_stream(Path::new("/dev/null")));
        assert!(is_stdout(Path::new("/dev/stdout")) && is_stdout(Path::new("/proc/self/fd/1")));
        // Whether it is also standard output depends on how the tests are run.
        assert!(is_stderr(Path::new("/dev/stderr")) && !is_stream(place.path()));
    }

    #[test]
    fn a_reader_that_leaves_is_an_error() {
        let place = tempfile::tempdir().unwrap();
        let pipe = place.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let reader = {
            let pipe = pipe.clone();
            std::thread::spawn(move || drop(File::open(pipe).unwrap()))
        };
        // More than a pipe's capacity.
        let error = write_output(&pipe, &vec![0; 4 << 20]).unwrap_err();
        reader.join().unwrap();
        assert!(matches!(error, OutputError::ReaderGone { .. }), "{error}");
    }

    #[test]
    fn places_that_cannot_hold_a_file_are_refused_before_any_work() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        fs::write(at("file"), "").unwrap();
        symlink("b", at("a")).unwrap();
        symlink("a", at("b")).unwrap();
        for (path, words) in [
            (PathBuf::new(), "the name is empty"),
            (place.path().to_owned(), "is a directory; give a file name in it"),
            (at("new/"), "is a directory; give a file name in it"),
            (at("missing/new"), "missing' does not exist; create it first"),
            (at("a"), "more than 40 symbolic links"),
            (at("file/new"), "finding '"),
            (at(&"n".repeat(256)), "finding '"),
            (PathBuf::from("/dev/fd/9999"), "descriptor 9999 is not open"),
        ] {
            let error = refusal(&path);
            assert!(error.contains(words), "{error}");
        }
        // Root may write everywhere.
        if !rustix::process::geteuid().is_root() {
            fs::set_permissions(at("file"), Permissions::from_mode(0o444)).unwrap();
            assert!(refusal(&at("file")).contains("write-protected (mode 0444"));
        }
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 3, "nothing was made");
    }

    #[test]
    fn folders_are_made_also_behind_links_and_never_over_files() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        make_folder(&at("a/b")).unwrap();
        make_folder(&at("a/b")).unwrap();
        symlink("a/c", at("link")).unwrap();
        make_folder(&at("link")).unwrap();
        assert!(at("a/c").is_dir());
        fs::write(at("file"), "").unwrap();
        let error = make_folder(&at("file")).unwrap_err();
        assert!(matches!(error, OutputError::NotADirectory { .. }), "{error}");
        assert!(make_folder(&at("file/below")).is_err());
    }
}
