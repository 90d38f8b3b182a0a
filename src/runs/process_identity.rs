//! Process identities that distinguish a process from one that reuses its number later or in another PID
//! namespace.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// Inode number of the initial PID namespace, fixed in the kernel (`PROC_PID_INIT_INO`).
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// Identifies one process; a pid alone may have been reused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat`: start time in clock ticks since boot.
    pub start_ticks: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// Inode number of the PID namespace that `pid` belongs to; containers have their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid_namespace: Option<u64>,
}

/// Whether a process is visible from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// It is running.
    Running,
    /// It has ended.
    Gone,
    /// It belongs to another computer, an earlier boot or another PID namespace, so its state is unknown.
    OutOfSight,
}

/// Identifies a file or directory independently of its name: device and inode number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId {
    device: u64,
    pub(super) inode: u64,
}

impl ProcessId {
    /// Identity of this process.
    pub fn current() -> Self {
        let pid = std::process::id();
        Self {
            pid,
            start_ticks: ticks_in(Path::new("/proc/self")).unwrap_or(0),
            boot_id: boot_id(),
            pid_namespace: pid_namespace(),
        }
    }

    /// The running process with this number in our PID namespace, if there is one.
    pub fn of(pid: u32) -> Option<Self> {
        let start_ticks = start_ticks(pid)?;
        Some(Self { pid, start_ticks, boot_id: boot_id(), pid_namespace: pid_namespace() })
    }

    /// True if it belongs to this computer since its last boot. A container shares both with its host.
    pub fn is_of_this_boot(&self) -> bool {
        !self.boot_id.is_empty() && self.boot_id == boot_id()
    }

    /// Looks for this very process: same number, start time, boot and namespace, and not a zombie.
    pub fn sighting(&self) -> Sighting {
        let is_other = |namespace| pid_namespace().is_some_and(|own| own != namespace);
        if !self.is_of_this_boot() || self.pid_namespace.is_some_and(is_other) {
            return Sighting::OutOfSight;
        }
        match start_ticks(self.pid) == Some(self.start_ticks) {
            true => Sighting::Running,
            false => Sighting::Gone,
        }
    }

    /// True if this very process is visible and running.
    pub fn is_running(&self) -> bool {
        self.sighting() == Sighting::Running
    }

    /// The number of this process in our PID namespace, which must be its own or an enclosing one; `None` if it
    /// is not visible.
    pub fn pid_here(&self) -> Option<u32> {
        match self.sighting() {
            Sighting::Running => Some(self.pid),
            Sighting::Gone => None,
            Sighting::OutOfSight if !self.is_of_this_boot() => None,
            Sighting::OutOfSight => {
                let inner = |pid: &u32| {
                    let folder = PathBuf::from(format!("/proc/{pid}"));
                    innermost_pid(&folder) == Some(self.pid)
                        && ticks_in(&folder) == Some(self.start_ticks)
                };
                all_pids().find(inner)
            }
        }
    }
}

impl FileId {
    /// The identity of the file at `path`, following symbolic links.
    ///
    /// # Errors
    ///
    /// If the file cannot be examined.
    pub fn of(path: &Path) -> io::Result<Self> {
        std::fs::metadata(path).map(|data| Self { device: data.dev(), inode: data.ino() })
    }

    /// The identity of an open file.
    ///
    /// # Errors
    ///
    /// If the file cannot be examined.
    pub fn of_open(file: &File) -> io::Result<Self> {
        file.metadata().map(|data| Self { device: data.dev(), inode: data.ino() })
    }

    /// True if process `pid` has this file or directory open.
    ///
    /// # Errors
    ///
    /// If its descriptors may not be read.
    pub fn is_open_in(&self, pid: u32) -> io::Result<bool> {
        let folder = folder_of(pid).ok_or(io::ErrorKind::NotFound)?;
        let descriptors = std::fs::read_dir(folder.join("fd"))?;
        let open = descriptors.filter_map(Result::ok).filter_map(|fd| Self::of(&fd.path()).ok());
        Ok(open.into_iter().any(|id| id == *self))
    }

    /// Local numbers of the processes that hold a lock (`flock`) on this file or directory. The kernel lists
    /// them for everyone, including processes whose descriptors may not be read.
    pub fn lock_holders(&self) -> Vec<u32> {
        // `1: FLOCK  ADVISORY  WRITE 4711 fe:01:131094 0 EOF` (proc_locks(5)). Some file systems report another
        // device number here than `stat` does, so only the inode is compared; callers check the process as
        // well.
        let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
        let holder = |line: &str| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let inode = fields.get(5)?.rsplit(':').next()?.parse::<u64>().ok()?;
            let is_ours = fields.get(1) == Some(&"FLOCK") && inode == self.inode;
            fields.get(4)?.parse().ok().filter(|&pid: &u32| is_ours && pid > 0)
        };
        locks.lines().filter_map(holder).collect()
    }
}

/// True if process `pid` is a worker, judged by its command line.
pub fn is_worker(pid: u32) -> bool {
    let arguments = folder_of(pid).and_then(|folder| std::fs::read(folder.join("cmdline")).ok());
    arguments.is_some_and(|text| text.split(|&byte| byte == 0).nth(1) == Some(b"worker"))
}

/// Local numbers of all visible processes.
pub fn visible() -> impl Iterator<Item = u32> {
    let translated = !proc_is_ours();
    all_pids().filter_map(move |pid| match translated {
        false => Some(pid),
        true => innermost_pid(&PathBuf::from(format!("/proc/{pid}"))),
    })
}

/// Sends `signal` to process `pid` of our namespace if `is_it` still holds once the process is pinned by a
/// pidfd, so that its number cannot be reused in between. Kernels before 5.3 have no pidfd, and there the race
/// remains.
///
/// # Errors
///
/// If `pid` is not a valid process number, or if the system cannot deliver the signal.
pub fn signal_if(pid: u32, signal: Signal, is_it: impl Fn() -> bool) -> io::Result<bool> {
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let raw = raw.ok_or_else(|| io::Error::other(format!("'{pid}' is not a process number")))?;
    match pidfd_open(raw, PidfdFlags::empty()) {
        Ok(pinned) => match is_it() {
            true => pidfd_send_signal(pinned, signal).map(|()| true).map_err(io::Error::from),
            false => Ok(false),
        },
        Err(Errno::SRCH) => Ok(false),
        Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => match is_it() {
            true => kill_process(raw, signal).map(|()| true).map_err(io::Error::from),
            false => Ok(false),
        },
        Err(error) => Err(error.into()),
    }
}

/// Programs that run a whole system as its first process and keep running when others exit.
const INITS: [&str; 8] =
    ["systemd", "init", "runit", "runsvdir", "s6-svscan", "openrc-init", "supervisord", "launchd"];

/// True if all processes started by this one end with it: it is the first process of a container, or a
/// descendant of a first process that is not an init system and so exits when its child does.
pub fn ends_a_container() -> bool {
    if std::process::id() == 1 {
        return true;
    }
    let is_inner = pid_namespace().is_some_and(|own| own != INITIAL_PID_NAMESPACE);
    let first = std::fs::read_to_string("/proc/1/comm").unwrap_or_default();
    // A process that entered from outside (`docker exec`) has no ancestor in the container.
    let mut ancestor = std::os::unix::process::parent_id();
    while ancestor > 1 {
        let Some(parent) = folder_of(ancestor).and_then(|folder| parent_in(&folder)) else { break };
        ancestor = parent;
    }
    is_inner && ancestor == 1 && !INITS.contains(&first.trim())
}

/// Path to this process's executable, valid even after the file was replaced or deleted, as by a new build.
///
/// # Errors
///
/// If `/proc` is missing and the path cannot be determined otherwise.
pub fn this_program() -> io::Result<PathBuf> {
    let own = PathBuf::from("/proc/self/exe");
    if own.exists() {
        return Ok(own);
    }
    std::env::current_exe()
}

/// The name of this computer; empty if it has none.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// True if `/proc` belongs to our PID namespace. A namespace created without mounting its own `/proc` sees an
/// enclosing one.
fn proc_is_ours() -> bool {
    let own = std::fs::read_link("/proc/self").ok();
    own.and_then(|own| own.to_str()?.parse().ok()) == Some(std::process::id())
}

/// The `/proc` directory of process `pid` of our namespace.
fn folder_of(pid: u32) -> Option<PathBuf> {
    let folder = |pid: u32| PathBuf::from(format!("/proc/{pid}"));
    if proc_is_ours() {
        return Some(folder(pid));
    }
    let namespace =
        |folder: &Path| std::fs::metadata(folder.join("ns/pid")).map(|data| data.ino()).ok();
    all_pids()
        .map(folder)
        .find(|folder| innermost_pid(folder) == Some(pid) && namespace(folder) == pid_namespace())
}

fn start_ticks(pid: u32) -> Option<u64> {
    ticks_in(&folder_of(pid)?)
}

/// The fields of `/proc/PID/stat` from the third on; `None` if there is no such process or it is a zombie.
fn stat_in(folder: &Path) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
    // The second field is the name in parentheses, which may itself contain spaces and parentheses.
    let fields: Vec<String> =
        stat.get(stat.rfind(')')? + 1..)?.split_whitespace().map(str::to_owned).collect();
    let is_dead = matches!(fields.first().map(String::as_str), Some("Z" | "X"));
    (!is_dead).then_some(fields)
}

/// Field 22: start time in clock ticks since boot.
fn ticks_in(folder: &Path) -> Option<u64> {
    stat_in(folder)?.get(19)?.parse().ok()
}

/// Field 4: the parent's process number.
fn parent_in(folder: &Path) -> Option<u32> {
    stat_in(folder)?.get(1)?.parse().ok()
}

/// The number of a process in its own, innermost PID namespace: the last one on the `NSpid` line.
fn innermost_pid(folder: &Path) -> Option<u32> {
    let status = std::fs::read_to_string(folder.join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_whitespace().last()?.parse().ok()
}

fn all_pids() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

fn pid_namespace() -> Option<u64> {
    std::fs::metadata("/proc/self/ns/pid").map(|data| data.ino()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_runs_and_its_namesakes_do_not() {
        let me = ProcessId::current();
        assert_eq!(me.sighting(), Sighting::Running);
        assert_eq!(me.pid_here(), Some(me.pid));
        let earlier = ProcessId { start_ticks: me.start_ticks + 1, ..me.clone() };
        assert_eq!((earlier.sighting(), earlier.pid_here()), (Sighting::Gone, None));
        assert_eq!(ProcessId::of(me.pid), Some(me.clone()));
        for boot_id in ["another boot", ""] {
            let other = ProcessId { boot_id: boot_id.to_owned(), ..me.clone() };
            assert_eq!((other.sighting(), other.pid_here()), (Sighting::OutOfSight, None));
        }
        let inner = ProcessId { pid_namespace: Some(1), ..me };
        assert_eq!(inner.sighting(), Sighting::OutOfSight);
    }

    #[test]
    fn an_open_directory_is_found_and_a_closed_one_is_not() {
        let place = tempfile::tempdir().unwrap();
        let id = FileId::of(place.path()).unwrap();
        let me = std::process::id();
        assert!(!id.is_open_in(me).unwrap());
        let open = File::open(place.path()).unwrap();
        assert_eq!(FileId::of_open(&open).unwrap(), id);
        assert!(id.is_open_in(me).unwrap());
        assert!(!id.lock_holders().contains(&me));
        rustix::fs::flock(&open, rustix::fs::FlockOperation::LockExclusive).unwrap();
        assert!(id.lock_holders().contains(&me));
        assert!(visible().any(|pid| pid == me) && !is_worker(me));
    }

    #[test]
    fn a_signal_reaches_only_the_process_that_was_meant() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let id = ProcessId::of(child.id()).unwrap();
        let other = ProcessId { start_ticks: id.start_ticks + 1, ..id.clone() };
        assert!(!signal_if(child.id(), Signal::KILL, || other.is_running()).unwrap());
        assert!(child.try_wait().unwrap().is_none(), "it was not the one");
        assert!(signal_if(child.id(), Signal::KILL, || id.is_running()).unwrap());
        assert!(!child.wait().unwrap().success());
        assert!(!signal_if(child.id(), Signal::KILL, || id.is_running()).unwrap());
    }
}
