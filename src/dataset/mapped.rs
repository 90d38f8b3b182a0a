//! Files as bytes: small ones are read, large ones mapped, so that a data set may be larger than memory.
//!
//! Pages of a mapped file come from the disk when they are looked at and go again when the system needs
//! their room. A mapped file must not change while it is in use: bytes would change under the reader, and a
//! file that is cut short ends the process when its missing pages are asked for. Data sets do not change.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use bytes::Bytes;
use memmap2::Mmap;

/// Files from this size on are mapped.
const MAPPED_FROM: u64 = 64 << 20;

/// The bytes of a file.
pub fn read(path: &Path) -> io::Result<Bytes> {
    read_with(path, MAPPED_FROM)
}

fn read_with(path: &Path, mapped_from: u64) -> io::Result<Bytes> {
    let mut file = File::open(path)?;
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
            assert_eq!(read_with(file.path(), mapped_from).unwrap(), b"some bytes"[..]);
        }
        assert!(read(Path::new("/no/such/file")).is_err());
        assert!(read(Path::new("/")).is_err(), "a directory has no bytes");
    }
}
