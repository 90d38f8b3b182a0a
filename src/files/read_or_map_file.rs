//! Immutable bytes of files: small files are read, large ones are copied and mapped, so that a data set may be
//! larger than memory.
//!
//! Mapping a user's own file would be unsound: another process may change bytes that Rust takes for constant,
//! or truncate the file, which would end this process on the next access. Therefore a file that exceeds
//! [`in_memory_max`] is copied into an unnamed file that only this process can access, and the copy is mapped:
//! pages are loaded from disk on access and evicted when the system needs memory. While the process lives, the
//! copy takes as much disk space as the file (none if the file system can share blocks, as btrfs and xfs do).

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use bytes::Bytes;
use memmap2::Mmap;
use sysinfo::System;

/// Reads the bytes of a file, or of a pipe until its other end is closed.
///
/// # Errors
///
/// Directories and devices; errors of reading; a pipe that does not end within [`in_memory_max`]; no disk space
/// for a copy.
pub fn read(path: &Path) -> io::Result<Bytes> {
    let kind = fs::metadata(path)?.file_type();
    if kind.is_dir() || kind.is_block_device() || kind.is_char_device() {
        return Err(not_a_file(kind));
    }
    read_within(File::open(path)?, path, in_memory_max())
}

/// Reads a regular file.
///
/// # Errors
///
/// Anything else is an error, since reading a pipe that has no writer would block forever. Also errors of
/// reading; no disk space for a copy.
pub fn read_regular(path: &Path) -> io::Result<Bytes> {
    read_within(open_regular(path)?, path, in_memory_max())
}

/// Opens a regular file.
///
/// # Errors
///
/// Anything else is an error; so is a file that cannot be opened.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let kind = fs::metadata(path)?.file_type();
    if kind.is_file() { File::open(path) } else { Err(not_a_file(kind)) }
}

/// Describes a directory entry that is neither a file nor a directory.
pub fn special_kind(kind: fs::FileType) -> &'static str {
    match kind {
        kind if kind.is_fifo() => "a pipe",
        kind if kind.is_socket() => "a socket",
        kind if kind.is_symlink() => "a link",
        _ => "a device",
    }
}

fn not_a_file(kind: fs::FileType) -> io::Error {
    let words = if kind.is_dir() { "a directory" } else { special_kind(kind) };
    io::Error::new(io::ErrorKind::InvalidInput, format!("it is {words}, not a file"))
}

/// Most bytes of a data set that are held in memory: half of the memory of the host, or of the limit of its container.
pub fn in_memory_max() -> u64 {
    let mut system = System::new();
    system.refresh_memory();
    let host = system.total_memory();
    let limit = system.cgroup_limits().map_or(host, |limits| limits.total_memory.min(host));
    // A system that does not tell can surely hold a gigabyte.
    if limit == 0 { 1 << 30 } else { limit / 2 }
}

fn read_within(mut file: File, path: &Path, most: u64) -> io::Result<Bytes> {
    let about = file.metadata()?;
    if about.is_file() && about.len() > most {
        return map_copy(&mut file, path);
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(about.len()).map_err(io::Error::other)?)?;
    (&mut file).take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!(
            "it goes on after {most} bytes, half of this computer's memory; name a regular file, which may be larger"
        )));
    }
    Ok(bytes.into())
}

/// Maps an unnamed copy of `file`.
fn map_copy(file: &mut File, path: &Path) -> io::Result<Bytes> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let beside = folder.unwrap_or(Path::new("."));
    // First tries the file's own folder, where blocks may be shared.
    let (mut copy, place) = match tempfile::tempfile_in(beside) {
        Ok(copy) => (copy, beside.to_owned()),
        Err(_) => (tempfile::tempfile()?, std::env::temp_dir()),
    };
    io::copy(file, &mut copy).map_err(|error| {
        let kind = error.kind();
        io::Error::new(
            kind,
            format!(
                "it is larger than half of this computer's memory, and a copy of it that cannot change found no room \
                 in '{}' ({error}); make room there, or train on fewer images in a smaller file",
                place.display()
            ),
        )
    })?;
    // SAFETY: the file was made above and has no name, so no other process can open, change or shorten it; this
    // one wrote the last byte above and drops its only handle on return, while the map stays. `Bytes` gives it
    // out for reading only.
    #[allow(unsafe_code)]
    let map = unsafe { Mmap::map(&copy) }?;
    Ok(Bytes::from_owner(map))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn mapped_and_read_files_hold_the_same() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"some bytes").unwrap();
        for most in [0, 9, 10, 100] {
            let opened = File::open(file.path()).unwrap();
            assert_eq!(read_within(opened, file.path(), most).unwrap(), b"some bytes"[..]);
        }
        assert!(read(Path::new("/no/such/file")).is_err());
    }

    #[test]
    fn directories_devices_and_pipes_are_no_files() {
        let says = |path: &str| read_regular(Path::new(path)).unwrap_err().to_string();
        assert_eq!(says("/"), "it is a directory, not a file");
        assert_eq!(says("/dev/zero"), "it is a device, not a file");
        assert!(read(Path::new("/dev/zero")).is_err(), "it has no end");
    }

    #[test]
    fn a_file_that_is_changed_or_cut_short_meanwhile_is_none_of_our_business() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&vec![7; 1 << 20]).unwrap();
        let bytes = read_within(File::open(file.path()).unwrap(), file.path(), 1 << 19).unwrap();
        file.as_file().set_len(0).unwrap();
        file.as_file().set_len(10).unwrap();
        assert_eq!(bytes.len(), 1 << 20);
        assert!(bytes.iter().all(|&byte| byte == 7));
    }

    #[test]
    fn the_copy_leaves_no_name_behind() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("images");
        std::fs::write(&path, [1; 100]).unwrap();
        let bytes = read_within(File::open(&path).unwrap(), &path, 10).unwrap();
        assert_eq!((bytes.len(), std::fs::read_dir(place.path()).unwrap().count()), (100, 1));
    }

    #[test]
    fn a_stream_without_an_end_is_refused_in_time() {
        let zeros = Path::new("/dev/zero");
        let error =
            read_within(File::open(zeros).unwrap(), zeros, 1 << 20).unwrap_err().to_string();
        assert!(error.contains("1048576 bytes"), "{error}");
        assert!(in_memory_max() > 1 << 20);
    }
}
