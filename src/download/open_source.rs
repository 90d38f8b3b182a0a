//! Opens a source at a position: a request to a server, or a file at a path.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::Path;

use super::failure::Failure;
use super::http_request::{self, Opened};
use super::http_response::Asked;
use super::source::Source;
use super::transfer_settings::TransferSettings;
use crate::files::read_or_map_file::open_regular;

/// Opens a source; what it then gives may start earlier than asked, at the beginning of the file.
///
/// # Errors
///
/// If it cannot be opened, or holds something of another length.
pub fn open(
    source: &Source,
    asked: Asked,
    etag: Option<&str>,
    settings: &TransferSettings,
) -> Result<Opened, Failure> {
    match source {
        Source::Http(url) => http_request::open(url, asked, etag, settings),
        Source::Path(path) => open_path(path, asked),
    }
}

fn open_path(path: &Path, asked: Asked) -> Result<Opened, Failure> {
    let failed = |error: std::io::Error| Failure::refused(error.to_string());
    let mut file: File = open_regular(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?.len();
    if found != asked.length {
        return Err(Failure::refused(format!(
            "the file has {found} bytes instead of {}",
            asked.length
        )));
    }
    file.seek(SeekFrom::Start(asked.from)).map_err(failed)?;
    Ok(Opened { from: asked.from, body: Box::new(file), etag: None, about: String::new() })
}
