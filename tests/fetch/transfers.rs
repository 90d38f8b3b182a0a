//! One file from servers that do what servers do.

use std::fs;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mosaic_lab::download::{DownloadError, Existing, Outcome};

use crate::server::{Server, body, file, head, silence, whole};
use crate::{Place, content};

#[test]
fn a_file_is_fetched_once_and_then_known_to_be_there() {
    let bytes = content(300_000);
    let served = bytes.clone();
    let server = Server::start(move |request, stream| file(request, stream, &served, usize::MAX));
    let mut place = Place::new(&bytes);
    place.fetched(&[&server.url("/file.gz")], &bytes);
    assert_eq!(place.told, ["started from 0", "checking"]);
    assert_eq!(place.fetch(&[&server.url("/file.gz")]).unwrap(), Outcome::WasThere);
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].header("accept-encoding"), Some("identity"));
    assert_eq!(requests[0].line, "GET /file.gz HTTP/1.1");
}

#[test]
fn what_breaks_off_or_stalls_goes_on_where_it_stopped_with_the_entity_tag() {
    for stalls in [false, true] {
        let bytes = content(100_000);
        let served = bytes.clone();
        let server = Server::start(move |request, stream| {
            file(request, stream, &served, 40_000);
            if stalls && request.from() < 80_000 {
                silence();
            }
        });
        let mut place = Place::new(&bytes);
        place.fetched(&[&server.url("/a")], &bytes);
        let requests = server.requests();
        let from: Vec<usize> = requests.iter().map(|request| request.from()).collect();
        assert_eq!(from, [0, 40_000, 80_000]);
        assert_eq!(requests[1].header("if-range"), Some("\"one\""));
        let words = if stalls { "nothing came for 1 s" } else { "connection broke" };
        assert!(place.told[1].contains(words), "{:?}", place.told);
    }
}

#[test]
fn a_source_that_brings_next_to_nothing_is_given_up_and_the_next_one_goes_on() {
    let bytes = content(100_000);
    let served = bytes.clone();
    let bad = Server::start(move |request, stream| file(request, stream, &served, 100));
    let served = bytes.clone();
    let good = Server::start(move |request, stream| file(request, stream, &served, usize::MAX));
    let mut place = Place::new(&bytes);
    place.fetched(&[&bad.url("/a"), &good.url("/a")], &bytes);
    assert_eq!(bad.requests().len(), 3);
    assert_eq!(good.requests()[0].from(), 300);
    assert_eq!(good.requests()[0].header("if-range"), None, "the tag of another server");
}

#[test]
fn servers_without_ranges_and_with_another_file_by_now_send_it_from_the_beginning() {
    let bytes = content(50_000);
    let served = bytes.clone();
    let server = Server::start(move |request, stream| {
        head(stream, &["HTTP/1.1 200 OK", "Content-Length: 50000"]);
        body(stream, &served[..if request.number == 0 { 20_000 } else { 50_000 }]);
    });
    let mut place = Place::new(&bytes);
    place.fetched(&[&server.url("/a")], &bytes);
    assert_eq!(server.requests()[1].from(), 20_000);
    assert_eq!(place.told.last().unwrap(), "checking");
    assert_eq!(place.told[2], "started from 0");
}

#[test]
fn a_range_that_is_refused_or_another_one_is_asked_for_as_a_whole() {
    let answers = [
        "HTTP/1.1 416 Range Not Satisfiable",
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-49999/50000",
    ];
    for answer in answers {
        let bytes = content(50_000);
        let served = bytes.clone();
        let server = Server::start(move |request, stream| match request.from() {
            0 => file(request, stream, &served, usize::MAX),
            _ => head(stream, &[answer, "Content-Length: 0"]),
        });
        let mut place = Place::new(&bytes);
        fs::write(place.part(), &bytes[..30_000]).unwrap();
        place.fetched(&[&server.url("/a")], &bytes);
        assert_eq!(server.requests().len(), 2);
    }
}

#[test]
fn partial_files_that_are_wrong_too_long_or_complete_cost_at_most_one_more_transfer() {
    let bytes = content(50_000);
    for (part, n_requests) in
        [(vec![0; 30_000], 2), (content(60_000), 1), (vec![0; 50_000], 1), (bytes.clone(), 0)]
    {
        let served = bytes.clone();
        let server =
            Server::start(move |request, stream| file(request, stream, &served, usize::MAX));
        let mut place = Place::new(&bytes);
        fs::write(place.part(), &part).unwrap();
        fs::write(place.folder.path().join("file.gz.part.json"), "no record").unwrap();
        place.fetched(&[&server.url("/a")], &bytes);
        assert_eq!(server.requests().len(), n_requests, "{} {:?}", part.len(), place.told);
    }
}

#[test]
fn wrong_bytes_are_never_put_in_place_and_the_next_source_is_asked() {
    let bytes = content(50_000);
    let mut wrong = bytes.clone();
    wrong[49_999] ^= 1;
    let bad = Server::start(move |request, stream| file(request, stream, &wrong, usize::MAX));
    let mut place = Place::new(&bytes);
    let error = place.refused(&[&bad.url("/a")]);
    assert!(
        error.contains("it sent another file") && error.contains(&place.wanted.sha256),
        "{error}"
    );
    assert!(place.names().is_empty(), "{:?}", place.names());
    let served = bytes.clone();
    let good = Server::start(move |request, stream| file(request, stream, &served, usize::MAX));
    place.fetched(&[&bad.url("/a"), &good.url("/a")], &bytes);
    assert_eq!(good.requests()[0].from(), 0, "nothing of the wrong file is used");
}

#[test]
fn a_server_that_resumes_with_wrong_bytes_is_asked_once_more_and_then_given_up() {
    let bytes = content(50_000);
    let mut wrong = bytes.clone();
    wrong[49_999] ^= 1;
    let server = Server::start(move |request, stream| file(request, stream, &wrong, 30_000));
    let mut place = Place::new(&bytes);
    assert!(place.refused(&[&server.url("/a")]).contains("another file"));
    assert!(server.requests().len() <= 4, "{}", server.requests().len());
}

#[test]
fn lengths_that_are_not_the_files_are_refused_with_both() {
    let bytes = content(1000);
    for claimed in [999, 1001, 0] {
        let served = bytes.clone();
        let server = Server::start(move |_, stream| {
            let length = format!("Content-Length: {claimed}");
            head(stream, &["HTTP/1.1 200 OK", &length, "Content-Type: text/html"]);
            body(stream, &served);
        });
        let mut place = Place::new(&bytes);
        let error = place.refused(&[&server.url("/a")]);
        let expected = format!("has {claimed} bytes instead of 1000, of type 'text/html'");
        assert!(error.contains(&expected), "{error}");
        assert_eq!(server.requests().len(), 1);
    }
    // Without a length: too little is a broken transfer, too much is another file.
    for (n, expected, n_requests) in
        [(999, "it ended after 999 of 1000", 3), (1001, "more than the 1000 bytes", 1)]
    {
        let server = Server::start(move |_, stream| {
            head(stream, &["HTTP/1.0 200 OK"]);
            body(stream, &content(n));
        });
        let mut place = Place::new(&bytes);
        let error = place.refused(&[&server.url("/a")]);
        assert!(error.contains(expected), "{error}");
        assert_eq!(server.requests().len(), n_requests);
    }
}

#[test]
fn an_endless_body_is_cut_off() {
    let bytes = content(1000);
    let server = Server::start(move |_, stream| {
        head(stream, &["HTTP/1.1 200 OK", "Transfer-Encoding: chunked"]);
        while stream.write_all(b"400\r\n").and_then(|()| stream.write_all(&[b'x'; 1024])).is_ok() {
            if stream.write_all(b"\r\n").is_err() {
                return;
            }
        }
    });
    let mut place = Place::new(&bytes);
    assert!(place.refused(&[&server.url("/a")]).contains("more than the 1000 bytes"));
}

#[test]
fn chunks_are_joined_and_an_encoding_that_the_file_has_itself_is_left() {
    let bytes = content(1000);
    let served = bytes.clone();
    let server = Server::start(move |request, stream| {
        if request.line.contains("chunked") {
            head(stream, &["HTTP/1.1 200 OK", "Transfer-Encoding: chunked"]);
            for chunk in served.chunks(300) {
                body(stream, format!("{:x}\r\n", chunk.len()).as_bytes());
                body(stream, chunk);
                body(stream, b"\r\n");
            }
            body(stream, b"0\r\n\r\n");
        } else {
            // Of a .gz file some servers say so.
            whole(stream, "200 OK", &["Content-Encoding: gzip"], &served);
        }
    });
    for path in ["/chunked", "/encoded"] {
        Place::new(&bytes).fetched(&[&server.url(path)], &bytes);
    }
}

#[test]
fn missing_files_are_not_asked_for_again_and_busy_servers_are() {
    let bytes = content(1000);
    let server = Server::start(move |request, stream| {
        let is_ready = request.number >= 2 && !request.line.contains("gone");
        match (&request.line[..], is_ready) {
            (_, true) => file(request, stream, &content(1000), usize::MAX),
            (line, _) if line.contains("gone") => whole(stream, "404 Not Found", &[], b"no"),
            _ => whole(stream, "503 Busy", &["Retry-After: 0"], b"later"),
        }
    });
    let mut place = Place::new(&bytes);
    place.fetched(&[&server.url("/busy")], &bytes);
    assert_eq!(server.requests().len(), 3);
    assert!(place.told[0].contains("503 (Service Unavailable)"), "{:?}", place.told);
    let mut place = Place::new(&bytes);
    let error = place.refused(&[&server.url("/gone")]);
    assert!(error.contains("404 (Not Found)") && error.contains("/gone"), "{error}");
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn redirects_are_followed_to_an_end_and_not_in_circles() {
    let bytes = content(1000);
    let server = Server::start(move |request, stream| {
        let path = request.line.split(' ').nth(1).unwrap();
        match path {
            "/file" => file(request, stream, &content(1000), usize::MAX),
            "/circle" => whole(stream, "302 Found", &["Location: /circle"], b""),
            "/nowhere" => whole(stream, "302 Found", &[], b""),
            _ => whole(stream, "301 Moved", &["Location: sub/../file?", "Location: /file"], b""),
        }
    });
    let mut place = Place::new(&bytes);
    assert!(place.refused(&[&server.url("/circle")]).contains("more than 10 redirects"));
    assert_eq!(server.requests().len(), 11);
    assert!(place.refused(&[&server.url("/nowhere")]).contains("does not say where to"));
    let other = Server::start(move |_, stream| {
        whole(stream, "307 Over there", &["Location: /unused"], b"");
    });
    drop(other);
    let port = server.port;
    let first = Server::start(move |_, stream| {
        let location = format!("Location: http://127.0.0.1:{port}/file");
        whole(stream, "308 Permanent Redirect", &[&location], b"");
    });
    place.fetched(&[&first.url("/a")], &bytes);
}

#[test]
fn a_slow_drip_is_no_stall() {
    let bytes = content(12);
    let served = bytes.clone();
    let server = Server::start(move |_, stream| {
        head(stream, &["HTTP/1.1 200 OK", "Content-Length: 12"]);
        for byte in &served {
            body(stream, &[*byte]);
            thread::sleep(Duration::from_millis(200));
        }
    });
    let mut place = Place::new(&bytes);
    let started = Instant::now();
    place.fetched(&[&server.url("/a")], &bytes);
    assert!(started.elapsed() > 2 * place.settings.stall);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_server_that_never_answers_stalls_too() {
    let bytes = content(12);
    let server = Server::start(|_, _| silence());
    let mut place = Place::new(&bytes);
    let error = place.refused(&[&server.url("/a")]);
    assert!(error.contains("nothing came for 1 s"), "{error}");
    assert_eq!(server.requests().len(), 3);
    assert!(place.names().is_empty());
}

#[test]
fn nobody_at_home_and_no_such_host_are_known_at_once() {
    let bytes = content(12);
    let free_port = {
        let server = Server::start(|_, _| {});
        server.port
    };
    thread::sleep(Duration::from_millis(50));
    let mut place = Place::new(&bytes);
    let error =
        place.fetch(&[&format!("http://127.0.0.1:{free_port}/a"), "http://no-such-host.invalid/a"]);
    let Err(DownloadError::NoSource { failures }) = error else { panic!("{error:?}") };
    let kinds: Vec<_> = failures.iter().map(|(_, failure)| failure.kind).collect();
    assert_eq!(kinds, [mosaic_lab::download::FailureKind::Unreachable; 2], "{failures:?}");
    assert!(failures[1].1.words.contains("'no-such-host.invalid'"), "{failures:?}");
    assert!(place.told.iter().all(|told| told.starts_with("given up")), "{:?}", place.told);
}

#[test]
fn stopping_keeps_what_is_there_and_the_next_call_goes_on() {
    let bytes = content(100_000);
    let served = bytes.clone();
    let server = Server::start(move |request, stream| {
        file(request, stream, &served, if request.number == 0 { 60_000 } else { usize::MAX });
        if request.number == 0 {
            silence();
        }
    });
    let mut place = Place::new(&bytes);
    place.settings.stall = Duration::from_secs(30);
    let stop = Arc::new(AtomicBool::new(false));
    let (part, asked) = (place.part(), stop.clone());
    let watching = thread::spawn(move || {
        while !fs::metadata(&part).is_ok_and(|about| about.len() == 60_000) {
            thread::sleep(Duration::from_millis(5));
        }
        asked.store(true, Ordering::SeqCst);
        Instant::now()
    });
    let outcome = place.fetch_until(&[&server.url("/a")], &stop).unwrap();
    let waited = watching.join().unwrap().elapsed();
    assert_eq!(outcome, Outcome::Stopped { n_bytes: 60_000 });
    assert!(waited < Duration::from_secs(5), "{waited:?}");
    assert_eq!(place.names(), ["file.gz.part", "file.gz.part.json"]);
    place.fetched(&[&server.url("/a")], &bytes);
    assert_eq!(server.requests()[1].from(), 60_000);
}

#[test]
fn another_file_at_the_place_is_kept_or_replaced_as_asked() {
    let bytes = content(1000);
    let served = bytes.clone();
    let server = Server::start(move |request, stream| file(request, stream, &served, usize::MAX));
    let mut place = Place::new(&bytes);
    for other in [&content(999)[..], &[7; 1000]] {
        fs::write(&place.wanted.path, other).unwrap();
        let error = place.fetch(&[&server.url("/a")]).unwrap_err().to_string();
        assert!(error.contains("is another file") && error.contains("--force"), "{error}");
        assert_eq!(fs::read(&place.wanted.path).unwrap(), other);
    }
    assert!(server.requests().is_empty());
    place.existing = Existing::Replace;
    place.fetched(&[&server.url("/a")], &bytes);
}

#[test]
fn a_copy_at_hand_is_checked_like_any_other_source() {
    let bytes = content(200_000);
    let mut place = Place::new(&bytes);
    let other = tempfile::tempdir().unwrap();
    let copy = other.path().join("file.gz");
    let source = copy.to_str().unwrap();
    assert!(place.refused(&[source]).contains("No such file"));
    fs::write(&copy, &bytes[1..]).unwrap();
    assert!(place.refused(&[source]).contains("has 199999 bytes instead of 200000"));
    fs::write(&copy, [0; 200_000]).unwrap();
    assert!(place.refused(&[source]).contains("another file"));
    assert!(place.refused(&["/dev/zero"]).contains("a device, not a file"));
    fs::write(&copy, &bytes).unwrap();
    fs::write(place.part(), &bytes[..70_000]).unwrap();
    place.fetched(&[&format!("file://{source}")], &bytes);
    assert_eq!(place.told.iter().filter(|told| *told == "started from 70000").count(), 1);
}
