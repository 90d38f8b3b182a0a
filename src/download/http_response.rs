//! What a server's answer to a request for a file means: the file from its beginning, from the byte that was asked for,
//! or a reason why not.

use std::time::Duration;

use ureq::http::{HeaderMap, StatusCode, header};

use super::failure::{Failure, FailureKind};

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The first byte; 0 for the whole file.
    pub from: u64,
    /// Length of the whole file.
    pub length: u64,
}

/// The parts of an answer that count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    pub status: u16,
    pub content_length: Option<u64>,
    /// First byte and length of the whole, of `Content-Range`; the latter is `None` for `*`.
    pub range: Option<(u64, Option<u64>)>,
    /// A strong entity tag: equal tags mean equal bytes.
    pub etag: Option<String>,
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    pub retry_after: Option<Duration>,
}

/// A usable answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The bytes of the file from this one on follow.
    From(u64),
    /// The server does not continue from there: ask for the whole file.
    AskForAll,
}

impl Headers {
    pub fn new(status: StatusCode, headers: &HeaderMap) -> Self {
        let get = |name: header::HeaderName| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(|text| text.trim().to_owned())
        };
        let etag = get(header::ETAG).filter(|tag| tag.len() <= 200 && tag.starts_with('"'));
        let seconds = get(header::RETRY_AFTER).and_then(|text| text.parse().ok());
        Self {
            status: status.as_u16(),
            content_length: get(header::CONTENT_LENGTH).and_then(|text| text.parse().ok()),
            range: get(header::CONTENT_RANGE).and_then(|text| range_of(&text)),
            etag,
            content_type: get(header::CONTENT_TYPE),
            content_encoding: get(header::CONTENT_ENCODING).filter(|name| name != "identity"),
            retry_after: seconds.map(Duration::from_secs),
        }
    }

    /// # Errors
    ///
    /// If the server refuses or is busy, or if what it would send has another length than the file.
    pub fn meaning(&self, asked: Asked) -> Result<Meaning, Failure> {
        let expected = match (self.status, self.range) {
            (206, Some((from, total)))
                if from == asked.from && total.is_none_or(|total| total == asked.length) =>
            {
                asked.length - from
            }
            (206 | 416, _) if asked.from > 0 => return Ok(Meaning::AskForAll),
            (200, _) => asked.length,
            _ => return Err(self.refusal()),
        };
        match self.content_length {
            Some(found) if found != expected => {
                let whole = found.saturating_add(asked.length - expected);
                Err(Failure::refused(format!(
                    "the server's file has {whole} bytes instead of {}{}",
                    asked.length,
                    self.in_words()
                )))
            }
            _ => Ok(Meaning::From(asked.length - expected)),
        }
    }

    fn refusal(&self) -> Failure {
        let reason =
            StatusCode::from_u16(self.status).ok().and_then(|code| code.canonical_reason());
        let words =
            format!("the server answers {} ({})", self.status, reason.unwrap_or("unknown status"));
        match self.status {
            // Too early, too many requests, request timeout, and troubles of the server.
            408 | 425 | 429 | 500..=599 => {
                let kind = FailureKind::Interrupted { pause: self.retry_after };
                Failure { kind, words }
            }
            407 => Failure::refused(format!(
                "{words}; put user name and password into the proxy's URL: http://user:password@host:port"
            )),
            _ => Failure::refused(words),
        }
    }

    /// What else is known of what the server sends: `, of type 'text/html'`.
    pub fn in_words(&self) -> String {
        let part = |before: &str, text: &Option<String>| {
            text.as_ref().map(|text| format!("{before} '{text}'")).unwrap_or_default()
        };
        part(", of type", &self.content_type) + &part(", encoded as", &self.content_encoding)
    }
}

/// Reads `bytes 5-9/10`.
fn range_of(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes")?.trim_start().split_once('/')?;
    let (from, to) = range.trim().split_once('-')?;
    let (from, to): (u64, u64) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
    let total = match total.trim() {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    // The rest of the file was asked for, so that it has to end with the file.
    let is_whole = total.is_none_or(|total: u64| to.checked_add(1) == Some(total));
    (from <= to && is_whole).then_some((from, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(status: u16, lines: &[(&'static str, &str)]) -> Headers {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.insert(*name, value.parse().unwrap());
        }
        Headers::new(StatusCode::from_u16(status).unwrap(), &map)
    }

    fn meaning(
        status: u16,
        lines: &[(&'static str, &str)],
        from: u64,
    ) -> Result<Meaning, FailureKind> {
        headers(status, lines).meaning(Asked { from, length: 10 }).map_err(|failure| failure.kind)
    }

    #[test]
    fn an_answer_is_the_file_from_its_beginning_or_from_where_it_was_asked_for() {
        let range = |text| ("content-range", text);
        for (status, lines, from, expected) in [
            (200, &[][..], 0, Meaning::From(0)),
            (200, &[("content-length", "10")], 0, Meaning::From(0)),
            (200, &[("content-length", "10")], 4, Meaning::From(0)),
            (206, &[range("bytes 4-9/10")], 4, Meaning::From(4)),
            (206, &[range("bytes 4-9/*"), ("content-length", "6")], 4, Meaning::From(4)),
            (206, &[range("bytes 3-9/10")], 4, Meaning::AskForAll),
            (206, &[range("bytes 4-8/10")], 4, Meaning::AskForAll),
            (206, &[range("bytes 4-10/11")], 4, Meaning::AskForAll),
            (206, &[range("bytes 4-18446744073709551615/1")], 4, Meaning::AskForAll),
            (206, &[range("bites 4-9/10")], 4, Meaning::AskForAll),
            (206, &[], 4, Meaning::AskForAll),
            (416, &[range("bytes */10")], 4, Meaning::AskForAll),
        ] {
            assert_eq!(meaning(status, lines, from), Ok(expected), "{status} {lines:?}");
        }
    }

    #[test]
    fn other_lengths_and_statuses_are_refused_and_busy_servers_asked_again() {
        for (status, lines, from) in [
            (200, &[("content-length", "9")][..], 0),
            (200, &[("content-length", "11")], 4),
            (206, &[("content-range", "bytes 4-9/10"), ("content-length", "5")], 4),
            (206, &[("content-range", "bytes 4-9/10")], 0),
            (204, &[], 0),
            (404, &[], 4),
            (416, &[], 0),
            (999, &[], 0),
        ] {
            assert_eq!(
                meaning(status, lines, from),
                Err(FailureKind::Refused),
                "{status} {lines:?}"
            );
        }
        let pause = Some(Duration::from_secs(7));
        let busy = meaning(503, &[("retry-after", "7")], 0);
        assert_eq!(busy, Err(FailureKind::Interrupted { pause }));
        assert_eq!(meaning(500, &[], 4), Err(FailureKind::Interrupted { pause: None }));
        let page = headers(200, &[("content-length", "3"), ("content-type", "text/html")]);
        let words = page.meaning(Asked { from: 0, length: 10 }).unwrap_err().words;
        assert_eq!(words, "the server's file has 3 bytes instead of 10, of type 'text/html'");
    }

    #[test]
    fn only_strong_tags_are_kept() {
        assert_eq!(headers(200, &[("etag", "\"a\"")]).etag.as_deref(), Some("\"a\""));
        assert_eq!(headers(200, &[("etag", "W/\"a\"")]).etag, None);
    }
}
