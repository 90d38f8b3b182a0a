//! Overwriting an existing regular file chosen by the user.
//!
//! The file is replaced atomically if that loses nothing, and overwritten in place otherwise. Space is reserved
//! before overwriting in place, so that a full disk does not destroy the old content: only a device error or a
//! crash midway can leave a mixture of old and new.

use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate, listxattr, listxattr_query};
use rustix::io::Errno;

use super::atomic_replacement::Temporary;
use super::error::{OutputError, failed};

/// Replaces the content of `path`, whose metadata is `old` and which was found to be writable.
pub(super) fn write(path: &Path, old: &Metadata, content: &[u8]) -> Result<(), OutputError> {
    match replace(path, old, content)? {
        Replaced::Yes => Ok(()),
        Replaced::NotPossible => write_over(path, old, content, None),
        Replaced::NoRoom(source) => write_over(path, old, content, Some(source)),
    }
}

enum Replaced {
    Yes,
    /// Nothing was changed, and the file can only be overwritten in place.
    NotPossible,
    /// The disk has no space for a second file.
    NoRoom(io::Error),
}

/// Replaces a regular file atomically by one of the same mode and owner, if nothing is lost by that.
fn replace(path: &Path, old: &Metadata, content: &[u8]) -> Result<Replaced, OutputError> {
    if old.nlink() > 1 || has_attributes(path) {
        return Ok(Replaced::NotPossible);
    }
    let Ok(mut beside) = Temporary::beside(path) else { return Ok(Replaced::NotPossible) };
    let is_like_old = |file: &File| -> io::Result<()> {
        let new = file.metadata()?;
        if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
            fchown(file, Some(old.uid()), Some(old.gid()))?;
        }
        file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))
    };
    if is_like_old(&beside.file).is_err() {
        return Ok(Replaced::NotPossible);
    }
    match beside.file.write_all(content) {
        Ok(()) => {}
        Err(error) if is_full(&error) => return Ok(Replaced::NoRoom(error)),
        Err(error) => return Err(failed("writing beside", path)(error)),
    }
    // Fails for a mount point, or in a sticky folder, where only owners may replace files.
    Ok(beside.rename(path).map_or(Replaced::NotPossible, |()| Replaced::Yes))
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// True if a file has ACLs or extended attributes, which a new file would lack. SELinux labels new files by
/// itself.
fn has_attributes(path: &Path) -> bool {
    // An error means that the file system does not support them.
    let Ok(n_bytes) = listxattr_query(path) else { return false };
    let mut names = vec![0; n_bytes];
    match listxattr(path, &mut names[..]) {
        Ok(n_bytes) => names[..n_bytes]
            .split(|&byte| byte == 0)
            .any(|name| !name.is_empty() && name != b"security.selinux"),
        // They are being changed, so there are some.
        Err(_) => true,
    }
}

/// Overwrites a regular file in place. With `no_room`, the error of a second file that did not fit, nothing is
/// overwritten unless the file system can reserve space.
fn write_over(
    path: &Path,
    old: &Metadata,
    content: &[u8],
    no_room: Option<io::Error>,
) -> Result<(), OutputError> {
    let mut file = OpenOptions::new().write(true).open(path).map_err(failed("opening", path))?;
    let n_bytes = content.len() as u64;
    let reserved = match n_bytes {
        0 => Ok(()),
        n_bytes => fallocate(&file, FallocateFlags::KEEP_SIZE, 0, n_bytes),
    };
    match (reserved, no_room) {
        (Ok(()), _) => {}
        (Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL), None) => {}
        (Err(error), no_room) => {
            // Releases the space reserved beyond the end; the content has not been touched.
            let _ = file.set_len(old.len());
            return Err(failed("making room for", path)(no_room.unwrap_or(error.into())));
        }
    }
    let written = file.write_all(content).and_then(|()| file.set_len(n_bytes));
    written.map_err(|source| OutputError::Incomplete { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::{XattrFlags, setxattr};

    use super::super::write_output;
    use super::*;

    fn write(path: &Path, text: &str) {
        write_output(path, text.as_bytes()).unwrap();
    }

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_file_keeps_its_mode_its_other_names_and_its_attributes() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        fs::write(at("secret"), "a longer text than the new one").unwrap();
        fs::set_permissions(at("secret"), Permissions::from_mode(0o640)).unwrap();
        let number = fs::metadata(at("secret")).unwrap().ino();
        write(&at("secret"), "new");
        let about = fs::metadata(at("secret")).unwrap();
        assert_eq!(about.mode() & 0o7777, 0o640);
        assert_ne!(
            about.ino(),
            number,
            "a plain file is replaced, so that readers never see a half"
        );

        fs::hard_link(at("secret"), at("other")).unwrap();
        write(&at("other"), "both");
        assert_eq!((read(&at("secret")), read(&at("other"))), ("both".into(), "both".into()));

        fs::remove_file(at("other")).unwrap();
        if setxattr(at("secret"), "user.note", b"kept", XattrFlags::empty()).is_ok() {
            let number = fs::metadata(at("secret")).unwrap().ino();
            write(&at("secret"), "again");
            assert_eq!(fs::metadata(at("secret")).unwrap().ino(), number);
            assert!(has_attributes(&at("secret")));
        }
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "nothing is left beside");
    }

    #[test]
    fn without_room_for_a_second_file_the_old_one_is_written_over_or_kept() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a");
        fs::write(&path, "old").unwrap();
        let old = fs::metadata(&path).unwrap();
        let full = || Some(io::ErrorKind::StorageFull.into());
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        let promises = fallocate(&file, FallocateFlags::KEEP_SIZE, 0, 1).is_ok();
        let done = write_over(&path, &old, b"new, longer", full());
        match promises {
            true => assert_eq!((done.is_ok(), read(&path)), (true, "new, longer".into())),
            false => assert_eq!((done.is_ok(), read(&path)), (false, "old".into())),
        }
        write_over(&path, &old, b"", None).unwrap();
        assert_eq!(read(&path), "");
    }
}
