//! `control.sock`: the Unix socket through which clients control a worker, with one JSON object per line and
//! one reply per line.
//!
//! The worker's listener replies from its own thread and forwards accepted commands through a channel that the
//! training loop drains between steps, so a client that stalls or floods the socket can never block training.
//! `Accepted` means that the command will be carried out at the next step.
//!
//! One process has control at a time ([`super::control_holder`]). The client's process is identified by the kernel
//! (`SO_PEERCRED`); its display name is its own choice.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::alive_silent_or_lost;
use super::control_holder::{Claim, Holder, claim, my_name};
use super::control_messages::{Act, Command, Reply, Request};
use super::process_identity::ProcessId;
use super::run_dir::RunDir;
use super::run_lock::{self, Lock};
use crate::files::if_there;

/// Read and write timeout on both sides.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Delay between two attempts to connect.
const RETRY: Duration = Duration::from_millis(50);
/// Capacity of the command queue to the training loop; further commands are refused.
const QUEUE: usize = 64;
/// Maximum number of concurrent clients; further connections are closed.
const CLIENTS_MAX: usize = 32;
/// Maximum length of a request line in bytes; commands are short, so a longer line is refused.
const LINE_BYTES_MAX: u64 = 4096;

/// Reason why a command did not reach a worker.
#[derive(Debug, Error)]
pub enum ControlError {
    #[error("run '{run}' has no worker; see 'mosaic ls', or 'mosaic resume {run}'")]
    NoWorker { run: String, source: io::Error },
    #[error("run '{run}' belongs to another user; only its owner can control it")]
    NotYours { run: String },
    #[error("talking to the worker of run '{run}'")]
    Talk { run: String, source: io::Error },
    #[error(
        "the worker of run '{run}' answered '{answer}', which this version does not understand; if another version started the run, use that one"
    )]
    Answer { run: String, answer: String },
}

/// Sends one request in this process's name and waits up to two seconds for the reply.
///
/// # Errors
///
/// If there is no worker, or if it does not reply in time.
pub fn send(run: &RunDir, act: Act) -> Result<Reply, ControlError> {
    let talk = |source: io::Error| ControlError::Talk { run: run.id(), source: late(source) };
    let stream = connect(run).map_err(|source| match source.kind() {
        io::ErrorKind::PermissionDenied => ControlError::NotYours { run: run.id() },
        _ => ControlError::NoWorker { run: run.id(), source },
    })?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(talk)?;
    stream.set_write_timeout(Some(TIMEOUT)).map_err(talk)?;
    let mut line = serde_json::to_vec(&Request::new(my_name(), act))
        .map_err(|error| talk(io::Error::other(error)))?;
    line.push(b'\n');
    (&stream).write_all(&line).map_err(talk)?;
    let mut answer = String::new();
    BufReader::new(stream.take(LINE_BYTES_MAX)).read_line(&mut answer).map_err(talk)?;
    serde_json::from_str(&answer)
        .map_err(|_| ControlError::Answer { run: run.id(), answer: answer.trim().to_owned() })
}

/// Turns the error of an expired timeout ("resource temporarily unavailable") into one that says so.
fn late(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::Error::new(
            io::ErrorKind::TimedOut,
            format!(
                "it did not answer within {} s; it may hang or be suspended",
                TIMEOUT.as_secs()
            ),
        ),
        _ => error,
    }
}

/// Connects to the worker. A worker that has just started takes a moment to listen: until then the socket may
/// be missing, or may be left over from a previous worker.
fn connect(run: &RunDir) -> io::Result<UnixStream> {
    // In a hard-linked copy of the run, the socket leads to the original's worker.
    if !alive_silent_or_lost::settled(run).is_at_work() && run_lock::look(run.path()) != Lock::Held
    {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no worker holds its directory"));
    }
    let until = Instant::now() + TIMEOUT;
    let is_alive = || run.health().is_at_work();
    loop {
        match with_short_path(&run.socket_path(), |path| UnixStream::connect(path)) {
            Err(_) if Instant::now() < until && is_alive() => thread::sleep(RETRY),
            result => return result,
        }
    }
}

/// The control server's interface to its worker.
pub trait Steered: Send + Sync {
    /// Decides whether a command makes sense in the current state.
    fn decide(&self, command: &Command) -> Reply;
    /// Called when control changes hands, with the new holder and a message for people about the reason.
    fn handed_over(&self, holder: Option<&Holder>, words: &str);
}

/// The worker's end of the socket, which is removed on drop.
#[derive(Debug)]
pub struct ControlServer {
    path: Option<PathBuf>,
    commands: Receiver<Command>,
    /// Keeps the channel open for a server without a listener.
    _sender: SyncSender<Command>,
}

impl ControlServer {
    /// Listens on the run's socket, replacing one left over from a dead worker.
    ///
    /// # Errors
    ///
    /// If an old socket cannot be removed, if the new one cannot be created or restricted to its owner, or if
    /// the thread cannot be started.
    pub fn start(run: &RunDir, worker: Arc<dyn Steered>) -> io::Result<Self> {
        let path = run.socket_path();
        if_there(std::fs::remove_file(&path))?;
        let listener = with_short_path(&path, |path| UnixListener::bind(path))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        let (sender, commands) = mpsc::sync_channel(QUEUE);
        let gate = Arc::new(Gate::new(worker, sender.clone()));
        thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || listen(&listener, &gate))?;
        Ok(Self { path: Some(path), commands, _sender: sender })
    }

    /// A server that receives nothing, for file systems without sockets.
    pub fn deaf() -> Self {
        let (sender, commands) = mpsc::sync_channel(1);
        Self { path: None, commands, _sender: sender }
    }

    /// Returns the next pending command, if any, without waiting.
    pub fn try_next(&self) -> Option<Command> {
        self.commands.try_recv().ok()
    }

    /// Waits up to `limit` for a command (while paused).
    pub fn wait(&self, limit: Duration) -> Option<Command> {
        self.commands.recv_timeout(limit).ok()
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        // Removal may fail if the file no longer exists; that is fine.
        let _ = self.path.as_ref().map(std::fs::remove_file);
    }
}

fn listen(listener: &UnixListener, gate: &Arc<Gate>) {
    let n_clients = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming().filter_map(Result::ok) {
        if n_clients.fetch_add(1, Ordering::SeqCst) >= CLIENTS_MAX {
            n_clients.fetch_sub(1, Ordering::SeqCst);
            continue;
        }
        let (gate, count) = (gate.clone(), n_clients.clone());
        let serve = move || {
            // A client that disconnects is not an error of the worker's.
            let _ = answer(&stream, &gate);
            count.fetch_sub(1, Ordering::SeqCst);
        };
        if thread::Builder::new().name("control client".to_owned()).spawn(serve).is_err() {
            n_clients.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Serves one client: handles each line as a request until the client disconnects or stalls.
fn answer(stream: &UnixStream, gate: &Gate) -> io::Result<()> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let process = peer(stream);
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        if reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        // The rest of an overlong line is not a request of its own.
        let is_cut = line.len() as u64 == LINE_BYTES_MAX && !line.ends_with(b"\n");
        // Bytes that are not UTF-8 are not a request either; the reply says so.
        let line = String::from_utf8_lossy(&line);
        let request = match is_cut {
            true => Err(format!("a request is a line of less than {LINE_BYTES_MAX} bytes")),
            false => Request::parse(&line),
        };
        let reply = match request {
            Err(reason) => Reply::Refused { reason },
            Ok(Request { from, act, .. }) => {
                let client = process.clone().map(|process| Holder::new(&from, process));
                gate.admit(client, act)
            }
        };
        let mut text = serde_json::to_vec(&reply).map_err(io::Error::other)?;
        text.push(b'\n');
        (&*stream).write_all(&text)?;
        if is_cut {
            return Ok(());
        }
    }
}

/// The process at the other end; `None` if it is not visible from here (in another container).
fn peer(stream: &UnixStream) -> Option<ProcessId> {
    let credentials = rustix::net::sockopt::socket_peercred(stream).ok()?;
    ProcessId::of(u32::try_from(credentials.pid.as_raw_nonzero().get()).ok()?)
}

/// Admits requests to the worker one at a time.
struct Gate {
    worker: Arc<dyn Steered>,
    sender: SyncSender<Command>,
    holder: Mutex<Option<Holder>>,
}

impl Gate {
    fn new(worker: Arc<dyn Steered>, sender: SyncSender<Command>) -> Self {
        Self { worker, sender, holder: Mutex::new(None) }
    }

    /// Decides whether `client` may do this. A client whose process is not visible may command a worker that
    /// has no holder, but never becomes the holder.
    fn admit(&self, client: Option<Holder>, act: Act) -> Reply {
        // The lock is kept until the end, so that of two concurrent clients one is first.
        let mut holder = self.holder.lock().unwrap_or_else(PoisonError::into_inner);
        let take = matches!(act, Act::Hold | Act::Steer { take: true, .. });
        let nobody =
            ProcessId { pid: 0, start_ticks: 0, boot_id: String::new(), pid_namespace: None };
        let process = client.as_ref().map_or(&nobody, |client| &client.process);
        let claim = claim(holder.as_ref(), process, take);
        let reply = match (&claim, act) {
            (Claim::Kept, Act::Release) => {
                *holder = None;
                let words = client.map_or(String::new(), |client| client.words());
                self.worker.handed_over(None, &format!("{words} gave up control"));
                return Reply::Accepted;
            }
            (_, Act::Release) => Reply::Refused { reason: "control is not yours".to_owned() },
            (Claim::Refused(other), _) => Reply::Held { by: other.words() },
            (_, Act::Hold) if client.is_none() => {
                Reply::Refused { reason: "your process is not visible to the worker".to_owned() }
            }
            (_, Act::Hold) => Reply::Accepted,
            (_, Act::Steer { command, .. }) => self.pass(command),
        };
        if reply == Reply::Accepted && claim != Claim::Kept {
            let words = client.as_ref().map_or("someone unseen".to_owned(), Holder::words);
            *holder = client;
            let words = match claim {
                Claim::TakenFrom(other) => {
                    format!("{words} took control from {}", other.words())
                }
                _ => format!("{words} has control"),
            };
            self.worker.handed_over(holder.as_ref(), &words);
        }
        reply
    }

    /// Forwards a command whose sender was admitted.
    fn pass(&self, command: Command) -> Reply {
        let refused = |reason: &str| Reply::Refused { reason: reason.to_owned() };
        match self.worker.decide(&command) {
            Reply::Accepted => match self.sender.try_send(command) {
                Ok(()) => Reply::Accepted,
                Err(TrySendError::Full(_)) => refused("too many commands are waiting"),
                Err(TrySendError::Disconnected(_)) => refused("the worker is ending"),
            },
            other => other,
        }
    }
}

/// Socket addresses are limited to 107 bytes; a longer path is reached through a descriptor of its directory.
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
    use crate::runs::run_lock::RunLock;
    use crate::runs::runs_dir::RunsDir;
    use crate::runs::status_json::{RunState, Status};

    /// Creates a run whose worker is this process.
    fn run_in(place: &Path) -> (RunDir, RunLock) {
        let run = RunsDir::new(place).create("x").unwrap();
        let lock = RunLock::take(run.path()).unwrap().unwrap();
        (run, lock)
    }

    fn steer(command: Command) -> Act {
        Act::Steer { command, take: false }
    }

    /// A worker that is never paused and records the changes of control reported to it.
    #[derive(Default)]
    struct Worker {
        told: Mutex<Vec<(Option<String>, String)>>,
    }

    impl Steered for Worker {
        fn decide(&self, command: &Command) -> Reply {
            match command {
                Command::Resume => Reply::Refused { reason: "it is not paused".to_owned() },
                _ => Reply::Accepted,
            }
        }

        fn handed_over(&self, holder: Option<&Holder>, words: &str) {
            let name = holder.map(|holder| holder.name.clone());
            self.told.lock().unwrap().push((name, words.to_owned()));
        }
    }

    fn serve(run: &RunDir) -> ControlServer {
        ControlServer::start(run, Arc::new(Worker::default())).unwrap()
    }

    #[test]
    fn commands_arrive_in_order_and_refusals_do_not() {
        let place = tempfile::tempdir().unwrap();
        let (run, _lock) = run_in(place.path());
        let server = serve(&run);
        let mode = std::fs::metadata(run.socket_path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(send(&run, steer(Command::Pause)).unwrap(), Reply::Accepted);
        assert!(matches!(send(&run, steer(Command::Resume)).unwrap(), Reply::Refused { .. }));
        let cadence = Command::PreviewEvery { steps: 9 };
        assert_eq!(send(&run, steer(cadence.clone())).unwrap(), Reply::Accepted);
        assert_eq!(server.wait(TIMEOUT), Some(Command::Pause));
        assert_eq!(server.wait(TIMEOUT), Some(cadence));
        assert_eq!(server.try_next(), None);
        drop(server);
        assert!(matches!(send(&run, steer(Command::Stop)), Err(ControlError::NoWorker { .. })));
    }

    #[test]
    fn the_end_of_an_overlong_line_is_no_command() {
        let place = tempfile::tempdir().unwrap();
        let (run, _lock) = run_in(place.path());
        let server = serve(&run);
        let mut client = UnixStream::connect(run.socket_path()).unwrap();
        let mut line = vec![b' '; LINE_BYTES_MAX as usize];
        line.extend(b"{\"command\":\"stop\"}\n");
        client.write_all(&line).unwrap();
        let mut answers = String::new();
        // The worker may hang up while the rest is still being sent.
        let _ = client.read_to_string(&mut answers);
        assert_eq!(server.wait(Duration::from_millis(100)), None);
        assert!(answers.is_empty() || answers.contains("less than 4096 bytes"), "{answers}");
        let mut client = UnixStream::connect(run.socket_path()).unwrap();
        client.write_all(b"\xff\xfe\n{\"command\":\"stop\"}\n").unwrap();
        assert_eq!(server.wait(TIMEOUT), Some(Command::Stop), "a line after a broken one counts");
    }

    #[test]
    fn a_stalled_client_holds_up_nobody() {
        let place = tempfile::tempdir().unwrap();
        let (run, _lock) = run_in(place.path());
        let server = serve(&run);
        let mut stalled = UnixStream::connect(run.socket_path()).unwrap();
        stalled.write_all(b"{\"comm").unwrap();
        assert_eq!(send(&run, steer(Command::Stop)).unwrap(), Reply::Accepted);
        assert_eq!(server.wait(TIMEOUT), Some(Command::Stop));
    }

    #[test]
    fn a_worker_that_has_just_begun_is_waited_for() {
        let place = tempfile::tempdir().unwrap();
        let (run, _lock) = run_in(place.path());
        // The state after a killed worker: a stale socket, and a new worker that does not listen yet.
        drop(UnixListener::bind(run.socket_path()).unwrap());
        assert!(matches!(send(&run, steer(Command::Stop)), Err(ControlError::NoWorker { .. })));
        Status::new(RunState::Starting, 1).write(&run.status_path()).unwrap();
        let late = run.clone();
        let server = thread::spawn(move || {
            thread::sleep(4 * RETRY);
            serve(&late)
        });
        assert_eq!(send(&run, steer(Command::Stop)).unwrap(), Reply::Accepted);
        assert_eq!(server.join().unwrap().wait(TIMEOUT), Some(Command::Stop));
    }

    #[test]
    fn a_long_path_can_be_listened_on() {
        let place = tempfile::tempdir().unwrap();
        let (run, _lock) = run_in(&place.path().join("d".repeat(120)));
        let server = serve(&run);
        assert_eq!(send(&run, steer(Command::Stop)).unwrap(), Reply::Accepted);
        assert_eq!(server.wait(TIMEOUT), Some(Command::Stop));
    }

    #[test]
    fn other_ages_of_the_protocol_are_answered_in_words() {
        let place = tempfile::tempdir().unwrap();
        let (run, _lock) = run_in(place.path());
        let server = serve(&run);
        let ask = |line: &str| {
            let mut stream = UnixStream::connect(run.socket_path()).unwrap();
            writeln!(stream, "{line}").unwrap();
            let mut answer = String::new();
            BufReader::new(stream).read_line(&mut answer).unwrap();
            answer
        };
        assert_eq!(ask(r#"{"command":"pause"}"#).trim(), r#"{"reply":"accepted"}"#);
        assert_eq!(server.wait(TIMEOUT), Some(Command::Pause));
        let newer = ask(r#"{"v":7,"from":"ana","act":"levitate"}"#);
        assert!(newer.contains("a newer mosaic") && newer.contains("format 7"), "{newer}");
        assert_eq!(server.try_next(), None);
    }

    #[test]
    fn one_client_steers_until_it_gives_control_back_dies_or_is_relieved() {
        let worker = Arc::new(Worker::default());
        let (sender, commands) = mpsc::sync_channel(QUEUE);
        let gate = Gate::new(worker.clone(), sender);
        let mut children =
            [0, 1].map(|_| std::process::Command::new("sleep").arg("60").spawn().unwrap());
        let [ana, ben] = [("ana", &children[0]), ("ben", &children[1])]
            .map(|(name, child)| Some(Holder::new(name, ProcessId::of(child.id()).unwrap())));
        let held = |by: &Option<Holder>| Reply::Held { by: by.as_ref().unwrap().words() };
        let take = |command| Act::Steer { command, take: true };
        // A refused command does not give control.
        assert!(matches!(gate.admit(ana.clone(), steer(Command::Resume)), Reply::Refused { .. }));
        assert!(matches!(gate.admit(ana.clone(), Act::Release), Reply::Refused { .. }));
        assert_eq!(gate.admit(ana.clone(), steer(Command::Pause)), Reply::Accepted);
        assert_eq!(gate.admit(ben.clone(), steer(Command::Stop)), held(&ana));
        assert_eq!(gate.admit(None, steer(Command::Stop)), held(&ana));
        assert_eq!(gate.admit(ben.clone(), Act::Hold), Reply::Accepted);
        assert_eq!(gate.admit(ana.clone(), steer(Command::Stop)), held(&ben));
        assert_eq!(gate.admit(ben.clone(), Act::Release), Reply::Accepted);
        assert_eq!(gate.admit(None, steer(Command::Checkpoint)), Reply::Accepted);
        assert_eq!(gate.admit(ana.clone(), take(Command::Checkpoint)), Reply::Accepted);
        // A killed holder no longer holds control.
        children[0].kill().unwrap();
        children[0].wait().unwrap();
        assert_eq!(gate.admit(ben.clone(), steer(Command::Stop)), Reply::Accepted);
        children[1].kill().unwrap();
        children[1].wait().unwrap();
        drop(gate);
        let passed: Vec<_> = commands.iter().collect();
        let checkpoint = Command::Checkpoint;
        assert_eq!(passed, [Command::Pause, checkpoint.clone(), checkpoint, Command::Stop]);
        let told = worker.told.lock().unwrap();
        let names: Vec<_> = told.iter().map(|(name, _)| name.as_deref()).collect();
        assert_eq!(names, [Some("ana"), Some("ben"), None, None, Some("ana"), Some("ben")]);
        assert!(told[1].1.starts_with("ben") && told[1].1.contains("took control from ana"));
    }
}
