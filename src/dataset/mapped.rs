//! Files as bytes: small ones are read, large ones mapped, so that a data set may be larger than memory.
//!
//! Pages of a mapped file come from the disk when they are looked at and go again when the system needs
//! their room. A mapped file must not change while it is in use: bytes would change under the reader, and a
//! file that is cut short ends the process when its missing pages are asked for. Data sets do not change.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use bytes::Bytes;
use memmap2::Mmap;

/// Files from this size on are mapped.
const MAPPED_FROM: u64 = 64 << 20;

/// The bytes of a file, or of a pipe until its other end is closed.
///
/// # Errors
/// Directories and devices, and what the system refuses.
pub fn read(path: &Path) -> io::Result<Bytes> {
    let kind = fs::metadata(path)?.file_type();
    if kind.is_dir() || kind.is_block_device() || kind.is_char_device() {
        return Err(not_a_file(kind));
    }
    read_with(File::open(path)?, MAPPED_FROM)
}

/// The bytes of a plain file: to wait for a pipe that nobody writes to would be to wait for ever.
pub fn read_regular(path: &Path) -> io::Result<Bytes> {
    read_with(open_regular(path)?, MAPPED_FROM)
}

/// Opens a plain file, and nothing else.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let kind = fs::metadata(path)?.file_type();
    if kind.is_file() { File::open(path) } else { Err(not_a_file(kind)) }
}

/// What an entry of a directory is that is neither a file nor a directory.
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

fn read_with(mut file: File, mapped_from: u64) -> io::Result<Bytes> {
    let about = file.metadata()?;
    if about.is_file() && about.len() >= mapped_from {
        // SAFETY: nothing here writes to data sets; what others must not do to them is said above.
        #[allow(unsafe_code)]
        let map = unsafe { Mmap::map(&file) }?;
        return Ok(Bytes::from_owner(map));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn mapped_and_read_files_hold_the_same() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"some bytes").unwrap();
        for mapped_from in [1, 100] {
            let opened = File::open(file.path()).unwrap();
            assert_eq!(read_with(opened, mapped_from).unwrap(), b"some bytes"[..]);
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
}
