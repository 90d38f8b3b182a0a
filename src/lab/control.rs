//! `control.sock`: how the world talks to a worker - one JSON object a line, one reply a line.
//!
//! The worker's listener answers from a thread of its own and passes accepted commands on through a
//! channel that the training loop drains between steps; a client that stalls or floods can therefore
//! never hold up training. `Accepted` means that the command will be carried out at the next step.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread;
use std::time::Duration;

use thiserror::Error;

use super::command::{Command, Reply};
use super::run_dir::RunDir;

/// How long either side waits for the other.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Commands waiting for the training loop; more are refused.
const QUEUE: usize = 64;
/// Clients served at once; more are turned away.
const CLIENTS_MAX: usize = 32;
/// A command is a short line; more is not one.
const LINE_BYTES_MAX: u64 = 4096;

/// Why a command did not reach a worker.
#[derive(Debug, Error)]
pub enum ControlError {
    #[error(
        "run '{run}' has no worker that listens; see 'mosaic ls', and 'mosaic resume {run}' to go on with it"
    )]
    NoWorker { run: String, source: io::Error },
    #[error("talking to the worker of run '{run}'")]
    Talk { run: String, source: io::Error },
    #[error("the worker of run '{run}' answered '{answer}', which is no reply")]
    Answer { run: String, answer: String },
}

/// Sends one command and waits for the answer, two seconds at most.
pub fn send(run: &RunDir, command: &Command) -> Result<Reply, ControlError> {
    let talk = |source| ControlError::Talk { run: run.id(), source };
    let stream = with_short_path(&run.socket_path(), |path| UnixStream::connect(path))
        .map_err(|source| ControlError::NoWorker { run: run.id(), source })?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(talk)?;
    stream.set_write_timeout(Some(TIMEOUT)).map_err(talk)?;
    let mut line = serde_json::to_vec(command).map_err(|error| talk(io::Error::other(error)))?;
    line.push(b'\n');
    (&stream).write_all(&line).map_err(talk)?;
    let mut answer = String::new();
    BufReader::new(stream.take(LINE_BYTES_MAX)).read_line(&mut answer).map_err(talk)?;
    serde_json::from_str(&answer)
        .map_err(|_| ControlError::Answer { run: run.id(), answer: answer.trim().to_owned() })
}

/// Decides whether a command makes sense now.
pub type Decide = dyn Fn(&Command) -> Reply + Send + Sync;

/// The worker's end; the socket is removed when this is dropped.
#[derive(Debug)]
pub struct ControlServer {
    path: PathBuf,
    commands: Receiver<Command>,
}

impl ControlServer {
    /// Listens on the run's socket, replacing one that a dead worker left.
    pub fn start(run: &RunDir, decide: Arc<Decide>) -> io::Result<Self> {
        let path = run.socket_path();
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = with_short_path(&path, |path| UnixListener::bind(path))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        let (sender, commands) = mpsc::sync_channel(QUEUE);
        thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || listen(&listener, &decide, &sender))?;
        Ok(Self { path, commands })
    }

    /// A command that has come, if any.
    pub fn try_next(&self) -> Option<Command> {
        self.commands.try_recv().ok()
    }

    /// Waits for a command, up to a limit (while paused).
    pub fn wait(&self, limit: Duration) -> Option<Command> {
        self.commands.recv_timeout(limit).ok()
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        // Nothing to be done if it is gone already.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn listen(listener: &UnixListener, decide: &Arc<Decide>, sender: &SyncSender<Command>) {
    let n_clients = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming().filter_map(Result::ok) {
        if n_clients.fetch_add(1, Ordering::SeqCst) >= CLIENTS_MAX {
            n_clients.fetch_sub(1, Ordering::SeqCst);
            continue;
        }
        let (decide, sender, count) = (decide.clone(), sender.clone(), n_clients.clone());
        let serve = move || {
            // A client that went away is its own affair.
            let _ = answer(&stream, &*decide, &sender);
            count.fetch_sub(1, Ordering::SeqCst);
        };
        if thread::Builder::new().name("control client".to_owned()).spawn(serve).is_err() {
            n_clients.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Serves one client: every line a command, until it hangs up or stalls.
fn answer(stream: &UnixStream, decide: &Decide, sender: &SyncSender<Command>) -> io::Result<()> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.by_ref().take(LINE_BYTES_MAX).read_line(&mut line)? == 0 {
            return Ok(());
        }
        let reply = match serde_json::from_str::<Command>(&line) {
            Err(error) => Reply::Refused { reason: format!("not a command: {error}") },
            Ok(command) => match decide(&command) {
                Reply::Accepted => match sender.try_send(command) {
                    Ok(()) => Reply::Accepted,
                    Err(TrySendError::Full(_)) => {
                        Reply::Refused { reason: "too many commands are waiting".to_owned() }
                    }
                    Err(TrySendError::Disconnected(_)) => {
                        Reply::Refused { reason: "the worker is ending".to_owned() }
                    }
                },
                refused => refused,
            },
        };
        let mut text = serde_json::to_vec(&reply).map_err(io::Error::other)?;
        text.push(b'\n');
        (&*stream).write_all(&text)?;
    }
}

/// Socket addresses hold 107 bytes; a longer path is reached through its directory's descriptor.
fn with_short_path<T>(path: &Path, act: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
    if path.as_os_str().len() <= 100 {
        return act(path);
    }
    let directory = std::fs::File::open(path.parent().unwrap_or(Path::new(".")))?;
    let name = path.file_name().unwrap_or_default();
    act(&Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::run_dir::RunsDir;

    fn run_in(place: &Path) -> RunDir {
        RunsDir::new(place).create("x").unwrap()
    }

    #[test]
    fn commands_arrive_in_order_and_refusals_do_not() {
        let place = tempfile::tempdir().unwrap();
        let run = run_in(place.path());
        let decide = |command: &Command| match command {
            Command::Resume => Reply::Refused { reason: "it is not paused".to_owned() },
            _ => Reply::Accepted,
        };
        let server = ControlServer::start(&run, Arc::new(decide)).unwrap();
        let mode = std::fs::metadata(run.socket_path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(send(&run, &Command::Pause).unwrap(), Reply::Accepted);
        assert!(matches!(send(&run, &Command::Resume).unwrap(), Reply::Refused { .. }));
        assert_eq!(send(&run, &Command::PreviewEvery { steps: 9 }).unwrap(), Reply::Accepted);
        assert_eq!(server.wait(TIMEOUT), Some(Command::Pause));
        assert_eq!(server.wait(TIMEOUT), Some(Command::PreviewEvery { steps: 9 }));
        assert_eq!(server.try_next(), None);
        drop(server);
        assert!(matches!(send(&run, &Command::Stop), Err(ControlError::NoWorker { .. })));
    }

    #[test]
    fn a_stalled_client_holds_up_nobody() {
        let place = tempfile::tempdir().unwrap();
        let run = run_in(place.path());
        let server = ControlServer::start(&run, Arc::new(|_: &Command| Reply::Accepted)).unwrap();
        let mut stalled = UnixStream::connect(run.socket_path()).unwrap();
        stalled.write_all(b"{\"comm").unwrap();
        assert_eq!(send(&run, &Command::Stop).unwrap(), Reply::Accepted);
        assert_eq!(server.wait(TIMEOUT), Some(Command::Stop));
    }

    #[test]
    fn a_long_path_can_be_listened_on() {
        let place = tempfile::tempdir().unwrap();
        let run = run_in(&place.path().join("d".repeat(120)));
        let server = ControlServer::start(&run, Arc::new(|_: &Command| Reply::Accepted)).unwrap();
        assert_eq!(send(&run, &Command::Stop).unwrap(), Reply::Accepted);
        assert_eq!(server.wait(TIMEOUT), Some(Command::Stop));
    }
}
