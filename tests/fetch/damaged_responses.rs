//! Responses with random damage: whatever a server sends, a file is right or absent, and there is an answer in time.

use std::io::Write;
use std::time::{Duration, Instant};

use mosaic_lab::random::{Purpose, stream};
use rand::RngExt;

use crate::server::Server;
use crate::{Place, content};

/// A response to a request for 2000 bytes, with damage.
fn damaged(bytes: &[u8], number: usize, from: usize) -> Vec<u8> {
    let mut random = stream(7, Purpose::Subset, number as u64);
    let head = match from {
        0 => "HTTP/1.1 200 OK\r\nContent-Length: 2000\r\nETag: \"a\"\r\n\r\n".to_owned(),
        from => format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {from}-1999/2000\r\n\r\n",
            2000 - from
        ),
    };
    let mut response = [head.as_bytes(), &bytes[from..]].concat();
    let in_head = random.random_bool(0.7);
    let end = if in_head { head.len() } else { response.len() };
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..end.min(response.len()));
        match random.random_range(0..4) {
            0 => response[at] = random.random(),
            1 => response.truncate(at),
            2 => response.insert(at, random.random()),
            _ => {
                let digit = b'0' + random.random_range(0..10_u8);
                response[at] = digit;
            }
        }
        if response.is_empty() {
            break;
        }
    }
    response
}

#[test]
fn damaged_responses_bring_the_right_file_or_none() {
    let n =
        std::env::var("MOSAIC_MUTATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(150);
    let bytes = content(2000);
    let served = bytes.clone();
    let server = Server::start(move |request, stream| {
        let _ = stream.write_all(&damaged(&served, request.number, request.from()));
    });
    let mut n_right = 0;
    for case in 0..n {
        let mut place = Place::new(&bytes);
        place.settings.first_pause = Duration::from_millis(1);
        let started = Instant::now();
        let outcome = place.fetch(&[&server.url("/a")]);
        assert!(started.elapsed() < Duration::from_secs(10), "case {case}");
        match outcome {
            Ok(_) => {
                n_right += 1;
                assert_eq!(std::fs::read(&place.wanted.path).unwrap(), bytes, "case {case}");
            }
            Err(_) => assert!(!place.wanted.path.exists(), "case {case}"),
        }
    }
    assert!(
        n_right > n / 20 && n_right < n,
        "{n_right} of {n}: the damage is too small or too great"
    );
}
