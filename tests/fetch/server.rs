//! A web server on the loopback interface that behaves as badly as a test asks, and a proxy that is one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET /path HTTP/1.1`.
    pub line: String,
    headers: Vec<(String, String)>,
    /// How many requests came before.
    pub number: usize,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| &value[..])
    }

    /// The first byte that is asked for.
    pub fn from(&self) -> usize {
        let range = self.header("range").and_then(|range| range.strip_prefix("bytes="));
        range.map_or(0, |range| range.trim_end_matches('-').parse().unwrap())
    }
}

/// A server; it stops listening when it is dropped.
pub struct Server {
    pub port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
    is_over: Arc<AtomicBool>,
}

impl Server {
    /// Starts a server that answers each request, one a connection, with `answer`.
    pub fn start(answer: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let is_over = Arc::new(AtomicBool::new(false));
        let (answer, count) = (Arc::new(answer), Arc::new(AtomicUsize::new(0)));
        let (seen, over) = (requests.clone(), is_over.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(mut stream), answer) = (stream, answer.clone()) else { continue };
                let (seen, count) = (seen.clone(), count.clone());
                thread::spawn(move || {
                    let Some(mut request) = read(&stream) else { return };
                    request.number = count.fetch_add(1, Ordering::SeqCst);
                    seen.lock().unwrap().push(request.clone());
                    answer(&request, &mut stream);
                });
            }
        });
        Self { port, requests, is_over }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the thread that listens.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let line = lines.next()?.ok()?;
    let mut headers = Vec::new();
    for header in lines {
        let header = header.ok()?;
        let Some((key, value)) = header.split_once(':') else { break };
        headers.push((key.to_owned(), value.trim().to_owned()));
    }
    Some(Request { line, headers, number: 0 })
}

/// Sends a head of these lines. What the other side no longer wants to hear is no matter.
pub fn head(stream: &mut TcpStream, lines: &[&str]) {
    let _ = stream.write_all(format!("{}\r\n\r\n", lines.join("\r\n")).as_bytes());
}

pub fn body(stream: &mut TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes);
}

/// What an ordinary server with ranges answers; only the first `n_sent` bytes of the body, if it is longer.
pub fn file(request: &Request, stream: &mut TcpStream, content: &[u8], n_sent: usize) {
    let (from, total) = (request.from(), content.len());
    let length = format!("Content-Length: {}", total - from);
    let range = format!("Content-Range: bytes {from}-{}/{total}", total - 1);
    match from {
        0 => head(stream, &["HTTP/1.1 200 OK", &length, "ETag: \"one\""]),
        _ => head(stream, &["HTTP/1.1 206 Partial Content", &length, &range, "ETag: \"one\""]),
    }
    let end = from.saturating_add(n_sent).min(total);
    body(stream, &content[from..end]);
}

/// A whole file, of this status and with these headers.
pub fn whole(stream: &mut TcpStream, status: &str, headers: &[&str], content: &[u8]) {
    let length = format!("Content-Length: {}", content.len());
    head(stream, &[&[&format!("HTTP/1.1 {status}")[..], &length], headers].concat());
    body(stream, content);
}

/// Says nothing for longer than any client waits in these tests.
pub fn silence() {
    thread::sleep(Duration::from_secs(20));
}

/// A proxy for both kinds of requests: it forwards `GET http://...` and opens tunnels.
pub fn proxy() -> Server {
    Server::start(|request, stream| {
        let mut words = request.line.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let host = match method {
            "CONNECT" => target,
            _ => {
                let Some(rest) = target.strip_prefix("http://") else {
                    return whole(stream, "400 Bad Request", &[], b"");
                };
                rest.split('/').next().unwrap()
            }
        };
        let mut peer = TcpStream::connect(host).unwrap();
        if method == "CONNECT" {
            head(stream, &["HTTP/1.1 200 Connection established"]);
            let (mut from, mut to) = (stream.try_clone().unwrap(), peer.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut from, &mut to));
        } else {
            let path = target.trim_start_matches("http://").trim_start_matches(host);
            let mut lines = vec![format!("GET {path} HTTP/1.1")];
            let kept = request.headers.iter().filter(|(key, _)| !key.starts_with("proxy"));
            lines.extend(kept.map(|(key, value)| format!("{key}: {value}")));
            head(&mut peer, &lines.iter().map(|line| &line[..]).collect::<Vec<_>>());
        }
        let mut buffer = vec![0; 1 << 14];
        while let Ok(n @ 1..) = peer.read(&mut buffer) {
            if stream.write_all(&buffer[..n]).is_err() {
                return;
            }
        }
    })
}
