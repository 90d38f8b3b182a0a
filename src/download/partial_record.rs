//! `NAME.part.json`: where the bytes of a partial file came from.
//!
//! A server that is asked for the rest gets the entity tag back (`If-Range`), and sends the whole file if its file is
//! another one by now. Nothing depends on this record: without it the rest is asked for anyway, and the checksum decides.

use serde::{Deserialize, Serialize};

use super::source::Source;

/// Longest record that is read, in bytes.
pub const LENGTH_MAX: usize = 1 << 14;

/// Where bytes came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartialRecord {
    pub source: String,
    pub etag: String,
}

impl PartialRecord {
    /// Reads a record; `None` if these bytes are none.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let record: Self =
            serde_json::from_slice(bytes.get(..bytes.len().min(LENGTH_MAX))?).ok()?;
        // A tag is sent in a header.
        let is_tag = record.etag.starts_with('"')
            && record.etag.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        is_tag.then_some(record)
    }

    /// The tag, if the bytes came from this source.
    pub fn etag_of(&self, source: &Source) -> Option<&str> {
        (self.source == source.to_string()).then_some(&self.etag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_counts_for_its_source_only() {
        let record = PartialRecord { source: "https://host/a".into(), etag: "\"1\"".into() };
        let bytes = serde_json::to_vec(&record).unwrap();
        assert_eq!(PartialRecord::parse(&bytes), Some(record.clone()));
        let source = |text| Source::parse(text).unwrap();
        assert_eq!(record.etag_of(&source("https://host/a")), Some("\"1\""));
        assert_eq!(record.etag_of(&source("https://host/b")), None);
    }

    #[test]
    fn what_is_no_record_is_passed_over() {
        let long =
            format!("{{\"source\": \"a\", \"etag\": \"\\\"{}\\\"\"}}", "x".repeat(LENGTH_MAX));
        for text in ["", "{}", "[1]", r#"{"source": "a", "etag": "\"a\r\nb: c\""}"#, &long] {
            assert_eq!(PartialRecord::parse(text.as_bytes()), None, "{text}");
        }
    }
}
