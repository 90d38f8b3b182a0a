//! `NAME.part`: the bytes of a file that is being fetched, locked by the process that writes it.
//!
//! The lock (`flock`) is on the file itself and goes with it when it is renamed, so nothing is left behind. Whoever gets
//! the lock checks that the file still has its name: the process that held it may have put it in place meanwhile.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::partial_record::{self, PartialRecord};
use super::source::Source;
use crate::files::read_or_map_file::{open_regular, special_kind};
use crate::files::{if_there, sha256_of_reader, write_atomically};

/// A partial file, locked until it is dropped.
#[derive(Debug)]
pub struct PartialFile {
    file: File,
    path: PathBuf,
    length: u64,
}

impl PartialFile {
    /// The path of the partial file of `path`.
    pub fn path_of(path: &Path) -> PathBuf {
        with_suffix(path, ".part")
    }

    /// Opens or creates the partial file of `path`; `None` if another process has locked it.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened. File systems without locks are no error.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        let path = Self::path_of(path);
        loop {
            if let Some(about) = if_there(fs::metadata(&path))?
                && !about.is_file()
            {
                let kind =
                    if about.is_dir() { "a directory" } else { special_kind(about.file_type()) };
                return Err(io::Error::other(format!("it is {kind}; remove it")));
            }
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)?;
            if flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
                return Ok(None);
            }
            let own = file.metadata()?;
            let named = if_there(fs::metadata(&path))?;
            if named.is_some_and(|named| (named.dev(), named.ino()) == (own.dev(), own.ino())) {
                return Ok(Some(Self { file, path, length: own.len() }));
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of bytes so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Appends bytes. If that fails, for example because the disk is full, as many as there is room for stay.
    ///
    /// # Errors
    ///
    /// Those of writing.
    pub fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.length))?;
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.length += n as u64;
                    bytes = &bytes[n..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Removes all bytes.
    ///
    /// # Errors
    ///
    /// If the file cannot be truncated.
    pub fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.length = 0;
        self.forget_record();
        Ok(())
    }

    /// Writes all bytes to disk and computes their SHA-256.
    ///
    /// # Errors
    ///
    /// Those of writing and reading.
    pub fn sync_and_checksum(&mut self) -> io::Result<String> {
        self.file.sync_all()?;
        self.file.seek(SeekFrom::Start(0))?;
        Ok(sha256_of_reader(&mut self.file)?.1)
    }

    /// Gives the file its final name, also on disk.
    ///
    /// # Errors
    ///
    /// If it cannot be renamed.
    pub fn place(self, path: &Path) -> io::Result<()> {
        self.forget_record();
        fs::rename(&self.path, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        // Not every file system can sync directories; the file itself has been.
        let _ = File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
        Ok(())
    }

    /// Deletes the file.
    ///
    /// # Errors
    ///
    /// If it cannot be deleted.
    pub fn delete(self) -> io::Result<()> {
        self.forget_record();
        fs::remove_file(&self.path)
    }

    /// The entity tag of the bytes so far, if they came from this source.
    pub fn etag_of(&self, source: &Source) -> Option<String> {
        let mut bytes = Vec::new();
        let file = open_regular(&self.record_path()).ok()?;
        file.take(partial_record::LENGTH_MAX as u64).read_to_end(&mut bytes).ok()?;
        let record = PartialRecord::parse(&bytes)?;
        record.etag_of(source).map(str::to_owned)
    }

    /// Notes where the bytes come from. Failures are harmless.
    pub fn note(&self, source: &Source, etag: Option<&str>) {
        let Some(etag) = etag else { return self.forget_record() };
        let record = PartialRecord { source: source.to_string(), etag: etag.to_owned() };
        if let Ok(bytes) = serde_json::to_vec(&record) {
            let _ = write_atomically(&self.record_path(), &bytes);
        }
    }

    fn forget_record(&self) {
        let _ = fs::remove_file(self.record_path());
    }

    fn record_path(&self) -> PathBuf {
        with_suffix(&self.path, ".json")
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::sha256;

    #[test]
    fn bytes_are_kept_between_openings_and_placed_with_nothing_left_behind() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a.gz");
        let mut part = PartialFile::open(&path).unwrap().unwrap();
        part.append(b"some ").unwrap();
        let source = Source::parse("https://host/a.gz").unwrap();
        part.note(&source, Some("\"1\""));
        drop(part);
        let mut part = PartialFile::open(&path).unwrap().unwrap();
        assert_eq!((part.length(), part.etag_of(&source).as_deref()), (5, Some("\"1\"")));
        part.append(b"bytes").unwrap();
        assert_eq!(part.sync_and_checksum().unwrap(), sha256(b"some bytes"));
        part.place(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"some bytes");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_second_process_is_kept_out_until_the_first_has_ended() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a");
        let first = PartialFile::open(&path).unwrap().unwrap();
        assert!(PartialFile::open(&path).unwrap().is_none());
        first.place(&path).unwrap();
        let second = PartialFile::open(&path).unwrap().unwrap();
        assert_eq!(second.length(), 0, "not the file that was placed");
        second.delete().unwrap();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_or_a_pipe_in_the_way_is_an_error() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("a.part")).unwrap();
        let error = PartialFile::open(&place.path().join("a")).unwrap_err();
        assert!(error.to_string().contains("a directory"), "{error}");
    }
}
