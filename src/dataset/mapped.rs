//! Files as bytes that nobody changes: small ones are read, large ones copied and mapped, so that a data set may be
//! larger than memory.
//!
//! A map of a user's own file would be unsound: whoever writes to the file changes bytes that Rust takes for constant,
//! and whoever cuts it short ends this process at the next look. So what does not fit [`in_memory_max`] is copied into
//! a file without a name, which this process alone has, and the copy is mapped: pages come from the disk when they are
//! looked at and go again when the system needs their room. The copy costs as much disk as the file while the process
//! lives (none where the file system shares blocks, as btrfs and xfs do) and is gone with it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use bytes::Bytes;
use memmap2::Mmap;
use sysinfo::System;

/// The bytes of a file, a pipe or a device, as they were while they were read.
///
/// # Errors
///
/// What the system says of reading; a stream that does not end within [`in_memory_max`]; no room for a copy.
pub fn read(path: &Path) -> io::Result<Bytes> {
    read_within(path, in_memory_max())
}

/// Bytes of a data set that are held in memory at most: half of what the computer has, or of what a container may use.
pub fn in_memory_max() -> u64 {
    let mut system = System::new();
    system.refresh_memory();
    let machine = system.total_memory();
    let limit = system.cgroup_limits().map_or(machine, |limits| limits.total_memory.min(machine));
    // A system that does not tell can surely hold a gigabyte.
    if limit == 0 { 1 << 30 } else { limit / 2 }
}

fn read_within(path: &Path, most: u64) -> io::Result<Bytes> {
    let mut file = File::open(path)?;
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

/// A map of a copy of `file` that has no name.
fn map_copy(file: &mut File, path: &Path) -> io::Result<Bytes> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let beside = folder.unwrap_or(Path::new("."));
    // Beside the file first, where blocks may be shared.
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
    // SAFETY: the file was made above and has no name, so no other process can open, change or shorten it; this one wrote
    // the last byte above and drops its only handle on return, while the map stays. `Bytes` gives it out for reading only.
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
            assert_eq!(read_within(file.path(), most).unwrap(), b"some bytes"[..]);
        }
        assert!(read(Path::new("/no/such/file")).is_err());
        assert!(read(Path::new("/")).is_err(), "a directory has no bytes");
    }

    #[test]
    fn a_file_that_is_changed_or_cut_short_meanwhile_is_none_of_our_business() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&vec![7; 1 << 20]).unwrap();
        let bytes = read_within(file.path(), 1 << 19).unwrap();
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
        let bytes = read_within(&path, 10).unwrap();
        assert_eq!((bytes.len(), std::fs::read_dir(place.path()).unwrap().count()), (100, 1));
    }

    #[test]
    fn a_stream_without_an_end_is_refused_in_time() {
        let error = read_within(Path::new("/dev/zero"), 1 << 20).unwrap_err().to_string();
        assert!(error.contains("1048576 bytes"), "{error}");
        assert!(in_memory_max() > 1 << 20);
    }
}
