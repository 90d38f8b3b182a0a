//! Paths that name an open descriptor of this process: `/dev/stdout`, `/dev/fd/N`, `/proc/self/fd/N`.
//!
//! Opening such a path again is not the same as writing to the descriptor: a regular file would be written from
//! its start instead of from the current offset, set by the shell's `>>` or an earlier command, and a socket
//! cannot be opened at all. Therefore the descriptor itself is duplicated.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::RawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

/// The kind of a link in `/proc/.../fd/`, whose target is not a path that can be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Magic {
    /// A descriptor of this process.
    Own(RawFd),
    /// Any other link below `/proc`.
    Foreign,
}

/// True if standard output was closed (`>&-`) when the process started. The standard library opens `/dev/null`
/// in its place before `main`, so that output would be discarded without an error.
static IS_STDOUT_CLOSED: AtomicBool = AtomicBool::new(false);

/// The loader calls this before the standard library's startup code.
#[expect(unsafe_code, reason = "a place in .init_array, whose functions take no arguments of ours")]
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK_AT_STDOUT: extern "C" fn() = {
    extern "C" fn look() {
        let folder = Path::new("/proc/self/fd");
        let is_closed = folder.is_dir() && fs::symlink_metadata(folder.join("1")).is_err();
        IS_STDOUT_CLOSED.store(is_closed, Ordering::Relaxed);
    }
    look
};

/// True if output to the descriptor would be discarded.
pub(super) fn is_closed(number: RawFd) -> bool {
    number == 1 && is_stdout_closed()
}

/// True if standard output was closed when the process started. A program that replaces this one by `exec` cannot
/// find out.
pub fn is_stdout_closed() -> bool {
    IS_STDOUT_CLOSED.load(Ordering::Relaxed)
}

/// True if two descriptors refer to the same file, pipe or device.
pub(super) fn are_same(one: RawFd, other: RawFd) -> bool {
    let about = |number: RawFd| {
        let about = fs::metadata(format!("/proc/self/fd/{number}")).ok()?;
        Some((about.dev(), about.ino()))
    };
    one == other || about(one).is_some_and(|one| about(other) == Some(one))
}

/// The kind of a magic link in `/proc`; `None` for an ordinary link.
pub(super) fn magic(link: &Path) -> Option<Magic> {
    let folder = link.parent()?.canonicalize().ok()?;
    if !folder.starts_with("/proc") || folder == Path::new("/proc") {
        // Links directly in `/proc`, such as `self`, are ordinary ones.
        return None;
    }
    let own = PathBuf::from(format!("/proc/{}", std::process::id()));
    let is_own = folder.strip_prefix(&own).is_ok_and(|rest| rest.ends_with("fd"));
    let number = link.file_name()?.to_str()?.parse().ok();
    Some(match number {
        Some(number) if is_own => Magic::Own(number),
        _ => Magic::Foreign,
    })
}

/// Writes to a descriptor at its current offset.
pub(super) fn write(number: RawFd, content: &[u8]) -> io::Result<()> {
    // Uses the standard library's handles, so that earlier output comes first.
    match number {
        1 => {
            let mut stdout = io::stdout().lock();
            stdout.write_all(content)?;
            stdout.flush()
        }
        2 => io::stderr().lock().write_all(content),
        _ => duplicate(number)?.write_all(content),
    }
}

fn duplicate(number: RawFd) -> io::Result<File> {
    let own = pidfd_open(getpid(), PidfdFlags::empty());
    let copy = own.and_then(|own| pidfd_getfd(own, number, PidfdGetfdFlags::empty()));
    match copy {
        Ok(copy) => Ok(File::from(copy)),
        Err(error) if error == rustix::io::Errno::BADF => Err(error.into()),
        // The kernel is older than 5.6 or a container forbids the call. Append mode preserves the file's
        // content.
        Err(_) => OpenOptions::new().append(true).open(format!("/proc/self/fd/{number}")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn links_to_descriptors_are_told_from_other_links() {
        assert_eq!(magic(Path::new("/proc/self/fd/1")), Some(Magic::Own(1)));
        assert_eq!(magic(Path::new("/proc/thread-self/fd/2")), Some(Magic::Own(2)));
        assert_eq!(magic(Path::new("/dev/fd/7")), Some(Magic::Own(7)));
        assert_eq!(magic(Path::new("/proc/1/fd/1")), Some(Magic::Foreign));
        assert_eq!(magic(Path::new("/proc/self/cwd")), Some(Magic::Foreign));
        assert_eq!(magic(Path::new("/proc/self")), None);
        assert_eq!(magic(Path::new("/tmp/1")), None);
    }

    #[test]
    fn a_descriptor_is_written_where_it_stands() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"head ").unwrap();
        write(file.as_raw_fd(), b"body ").unwrap();
        file.write_all(b"tail").unwrap();
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "head body tail");
        assert!(write(9999, b"x").is_err());
    }
}
