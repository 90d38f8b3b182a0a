//! Renaming or exchanging directories in one step, with fallbacks for file systems that do not support the
//! flags of `renameat2` (NFS, 9p and some FUSE file systems return EINVAL or ENOSYS).

use std::ffi::OsString;
use std::path::Path;
use std::{fs, io};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

/// Renames directory `from` to `to`, which must not exist.
///
/// # Errors
///
/// If `to` exists, or if the directory cannot be renamed.
pub fn rename_to_free(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(error) if refuses_flags(error) => claim_then_rename(from, to),
        result => Ok(result?),
    }
}

/// Creating an empty directory reserves the name, and `rename` replaces only an empty directory.
fn claim_then_rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    fs::rename(from, to).inspect_err(|_| {
        // The first error is the one to report.
        let _ = fs::remove_dir(to);
    })
}

/// Replaces directory `old` by `new` and deletes `old`. Readers find one or the other at any time; on file
/// systems without atomic exchange, for a moment they find neither.
///
/// # Errors
///
/// If a directory cannot be renamed, exchanged or deleted.
pub fn replace(new: &Path, old: &Path) -> io::Result<()> {
    if !old.exists() {
        return fs::rename(new, old);
    }
    match renameat_with(CWD, new, CWD, old, RenameFlags::EXCHANGE) {
        Err(error) if refuses_flags(error) => move_aside(new, old),
        Err(error) => Err(error.into()),
        Ok(()) => fs::remove_dir_all(new),
    }
}

fn move_aside(new: &Path, old: &Path) -> io::Result<()> {
    let mut name: OsString = old.file_name().unwrap_or_default().to_owned();
    name.push(".replaced");
    let aside = old.with_file_name(name);
    if aside.exists() {
        fs::remove_dir_all(&aside)?;
    }
    fs::rename(old, &aside)?;
    fs::rename(new, old).inspect_err(|_| {
        // The first error is the one to report.
        let _ = fs::rename(&aside, old);
    })?;
    fs::remove_dir_all(&aside)
}

fn refuses_flags(error: Errno) -> bool {
    matches!(error, Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Act = fn(&Path, &Path) -> io::Result<()>;

    #[test]
    fn a_name_that_is_taken_is_never_replaced() {
        for rename in [rename_to_free as Act, claim_then_rename] {
            let place = tempfile::tempdir().unwrap();
            let [from, to] = ["from", "to"].map(|name| place.path().join(name));
            fs::create_dir(&from).unwrap();
            fs::write(from.join("mine"), "x").unwrap();
            fs::create_dir(&to).unwrap();
            assert_eq!(rename(&from, &to).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
            fs::remove_dir(&to).unwrap();
            rename(&from, &to).unwrap();
            assert!(to.join("mine").exists() && !from.exists());
            assert!(rename(&from, &place.path().join("third")).is_err());
            assert!(!place.path().join("third").exists(), "a failure leaves no claim behind");
        }
    }

    #[test]
    fn a_replaced_directory_is_gone_and_the_new_one_whole() {
        for replace in [replace as Act, move_aside] {
            let place = tempfile::tempdir().unwrap();
            let [new, old] = ["new", "old"].map(|name| place.path().join(name));
            for (path, file) in [(&new, "fresh"), (&old, "stale")] {
                fs::create_dir(path).unwrap();
                fs::write(path.join(file), "x").unwrap();
            }
            replace(&new, &old).unwrap();
            assert!(old.join("fresh").exists() && !old.join("stale").exists());
            assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
        }
    }
}
