//! Limits set by the system on this process - memory, processes, open files, file sizes - and advice for users
//! when one is reached.

use std::error::Error;
use std::io;

use rayon::{ThreadPoolBuildError, ThreadPoolBuilder};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use thiserror::Error;

/// Compute threads could not be started.
#[derive(Debug, Error)]
#[error("starting {n} threads to compute with; RAYON_NUM_THREADS=N sets a lower number")]
pub struct ThreadsError {
    n: usize,
    source: io::Error,
}

/// Starts the compute threads of theory and networks: one per processor, or as many as `RAYON_NUM_THREADS`
/// specifies. Later calls do nothing.
///
/// # Errors
///
/// If the system refuses to start a thread.
pub fn start_threads() -> Result<(), ThreadsError> {
    let wanted = std::env::var("RAYON_NUM_THREADS").ok().and_then(|text| text.parse().ok());
    let n = wanted
        .filter(|&n| n > 0)
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    let started = ThreadPoolBuilder::new().build_global();
    // Any other error means that the threads were already started.
    match started.err().as_ref().and_then(refusal) {
        Some(source) => Err(ThreadsError { n, source }),
        None => Ok(()),
    }
}

/// The system's error if it refused to start a thread.
fn refusal(error: &ThreadPoolBuildError) -> Option<io::Error> {
    let error = error.source()?.downcast_ref::<io::Error>()?;
    Some(
        error
            .raw_os_error()
            .map_or_else(|| io::Error::other(error.to_string()), io::Error::from_raw_os_error),
    )
}

/// Formats an error with its causes, and with advice if a system limit caused it.
pub fn in_words(error: &anyhow::Error) -> String {
    match remedy(error.as_ref()) {
        Some(remedy) => format!("{error:#}; {remedy}"),
        None => format!("{error:#}"),
    }
}

/// Advice for an error caused by a system limit; `None` for any other.
pub fn remedy(error: &(dyn Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let code = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        let code = code.or_else(|| error.downcast_ref::<Errno>().map(|errno| errno.raw_os_error()));
        if let Some(words) = code.map(Errno::from_raw_os_error).and_then(of_code) {
            return Some(words);
        }
        cause = error.source();
    }
    None
}

fn of_code(code: Errno) -> Option<String> {
    match code {
        Errno::FBIG => Some(limit(Resource::Fsize).map_or_else(
            || "the file system does not support files of this size".to_owned(),
            |n| format!("the size of files is limited to {n} bytes: 'ulimit -f unlimited' in the shell that starts mosaic lifts the limit"),
        )),
        Errno::MFILE => limit(Resource::Nofile).map(|n| {
            format!("the number of open files is limited to {n}: 'ulimit -n 4096' raises the limit")
        }),
        Errno::AGAIN => processes(),
        Errno::NOMEM => Some(memory()),
        _ => None,
    }
}

/// Advice if a process or thread could not be started.
fn processes() -> Option<String> {
    let own = limit(Resource::Nproc)
        .map(|n| format!("processes and threads of this user are limited to {n} ('ulimit -u' shows and raises it)"));
    let group = cgroup_value("pids.max")
        .map(|n| format!("processes and threads of this container or job are limited to {n}"));
    let memory = limit(Resource::As).map(|n| {
        format!("memory is limited to {} MiB, stacks of threads included ('ulimit -v')", n >> 20)
    });
    let known: Vec<String> = [own, group, memory].into_iter().flatten().collect();
    (!known.is_empty()).then(|| format!(
            "{}; end other processes, raise the limit, or compute with fewer threads (RAYON_NUM_THREADS=1)",
            known.join(", ")
    ))
}

/// Advice if memory is exhausted.
pub fn memory() -> String {
    let own = [(Resource::As, "ulimit -v"), (Resource::Data, "ulimit -d")];
    let own = own.into_iter().find_map(|(resource, name)| Some((limit(resource)?, name)));
    let words = match (own, cgroup_value("memory.max")) {
        (Some((n, name)), _) => format!(
            "the memory of a process is limited to {} MiB: '{name} unlimited' in the shell that starts mosaic lifts the limit",
            n >> 20
        ),
        (None, Some(n)) => format!(
            "the memory of this container or job is limited to {} MiB: ask for more",
            n >> 20
        ),
        (None, None) => "the computer is out of memory".to_owned(),
    };
    format!("{words}; a smaller training.batch, dataset.n or network.width needs less")
}

fn limit(resource: Resource) -> Option<u64> {
    getrlimit(resource).current
}

/// A limit of this process's control group (version 2); `None` if there is none.
fn cgroup_value(name: &str) -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    // Inside a container, the group appears as the root.
    let paths = [format!("/sys/fs/cgroup/{group}/{name}"), format!("/sys/fs/cgroup/{name}")];
    paths.iter().find_map(|path| std::fs::read_to_string(path).ok()?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_limits_get_a_remedy_and_others_none() {
        let words = |code: Errno| remedy(&io::Error::from(code));
        assert!(words(Errno::NOMEM).unwrap().contains("memory"));
        assert!(words(Errno::FBIG).unwrap().contains("size"));
        assert!(words(Errno::MFILE).unwrap().contains("ulimit -n"));
        assert_eq!(words(Errno::NOENT), None);
    }
}
