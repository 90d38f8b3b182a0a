//! One attempt: a source's bytes into the partial file, until all are there or something fails.
//!
//! A thread asks and reads, because a lookup, a connection or a read can last as long as the others like; this one
//! writes, and looks several times a second whether it is to stop. A thread that is left behind ends with its next byte
//! or time limit.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use super::event::Event;
use super::failure::Failure;
use super::http_request::of_broken_connection;
use super::http_response::Asked;
use super::open_source::open;
use super::partial_file::PartialFile;
use super::source::Source;
use super::transfer_settings::TransferSettings;

/// Most bytes read at once.
const PIECE: usize = 1 << 16;
/// Pieces that may wait for the disk.
const PIECES_WAITING: usize = 16;
/// Time between two looks at the request to stop.
pub const POLL: Duration = Duration::from_millis(50);

/// How an attempt ended.
#[derive(Debug)]
pub enum End {
    /// As many bytes as the file has are there; the first of this attempt was this one.
    Complete {
        from: u64,
    },
    Stopped,
    Failed(Failure),
    /// The partial file could not be written.
    Unwritten(io::Error),
}

/// What the reading thread tells.
enum Message {
    Opened { from: u64, etag: Option<String>, about: String },
    Piece(Vec<u8>),
    End,
    Failed(Failure),
}

/// Fetches the rest of a file of `length` bytes.
pub fn transfer(
    source: &Source,
    length: u64,
    part: &mut PartialFile,
    settings: &TransferSettings,
    stop: &AtomicBool,
    report: &mut dyn FnMut(Event<'_>),
) -> End {
    let (sender, receiver) = sync_channel(PIECES_WAITING);
    let (of_thread, its_settings) = (source.clone(), settings.clone());
    let asked = Asked { from: part.length(), length };
    let etag = part.etag_of(source);
    let reading = move || read(&of_thread, asked, etag.as_deref(), &its_settings, &sender);
    if let Err(error) = thread::Builder::new().name("fetch".into()).spawn(reading) {
        return End::Failed(Failure::refused(format!("no thread could be started: {error}")));
    }
    write(source, length, part, &receiver, stop, report)
}

/// The reading thread. It ends when nobody receives any more.
fn read(
    source: &Source,
    asked: Asked,
    etag: Option<&str>,
    settings: &TransferSettings,
    to: &SyncSender<Message>,
) {
    let mut opened = match open(source, asked, etag, settings) {
        Ok(opened) => opened,
        Err(failure) => return drop(to.send(Message::Failed(failure))),
    };
    let (from, about) = (opened.from, opened.about);
    if to.send(Message::Opened { from, etag: opened.etag, about }).is_err() {
        return;
    }
    let mut buffer = vec![0; PIECE];
    loop {
        let message = match opened.body.read(&mut buffer) {
            Ok(0) => Message::End,
            Ok(n) => Message::Piece(buffer[..n].to_vec()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Message::Failed(of_broken_connection(&error, settings)),
        };
        let is_last = !matches!(message, Message::Piece(_));
        if to.send(message).is_err() || is_last {
            return;
        }
    }
}

/// Writes what the reading thread sends.
fn write(
    source: &Source,
    length: u64,
    part: &mut PartialFile,
    receiver: &Receiver<Message>,
    stop: &AtomicBool,
    report: &mut dyn FnMut(Event<'_>),
) -> End {
    let mut first = part.length();
    let mut about_it = String::new();
    loop {
        if stop.load(Ordering::SeqCst) {
            return End::Stopped;
        }
        match receiver.recv_timeout(POLL) {
            Ok(Message::Opened { from, etag, about }) => {
                // The source starts anew.
                if from == 0
                    && part.length() > 0
                    && let Err(error) = part.restart()
                {
                    return End::Unwritten(error);
                }
                (first, about_it) = (from, about);
                part.note(source, etag.as_deref());
                report(Event::Started { source, from });
            }
            Ok(Message::Piece(bytes)) => {
                if part.length() + bytes.len() as u64 > length {
                    return too_long(length, part, &about_it);
                }
                if let Err(error) = part.append(&bytes) {
                    return End::Unwritten(error);
                }
                report(Event::Progress { n_bytes: part.length() });
            }
            Ok(Message::End) if part.length() == length => return End::Complete { from: first },
            Ok(Message::End) => {
                return End::Failed(Failure::interrupted(format!(
                    "it ended after {} of {length} bytes{about_it}",
                    part.length()
                )));
            }
            Ok(Message::Failed(failure)) => return End::Failed(failure),
            Err(RecvTimeoutError::Timeout) => report(Event::Progress { n_bytes: part.length() }),
            Err(RecvTimeoutError::Disconnected) => {
                return End::Failed(Failure::refused("the reading thread ended unexpectedly"));
            }
        }
    }
}

/// More bytes came than the file has, so that it is another file.
fn too_long(length: u64, part: &mut PartialFile, about: &str) -> End {
    match part.restart() {
        Ok(()) => End::Failed(Failure::refused(format!(
            "it sends more than the {length} bytes that the file has{about}"
        ))),
        Err(error) => End::Unwritten(error),
    }
}
