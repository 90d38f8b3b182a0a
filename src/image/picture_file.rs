//! Writing pictures as PNG or JPEG.

use std::io;
use std::path::Path;

use ::image::{ImageFormat, RgbImage};

use crate::files::{FileError, OutputError, is_stream, write_output};

/// Writes a picture to a path chosen by the user, as PNG or, by its extension, as JPEG.
///
/// # Errors
///
/// Those of [`write_output`], or if encoding fails.
pub fn write(picture: &RgbImage, path: &Path) -> Result<(), OutputError> {
    let mut bytes = io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format_of(path).unwrap_or(ImageFormat::Png)).map_err(|error| {
        let source = io::Error::other(error);
        OutputError::Io(FileError::of("encoding the picture for", path)(source))
    })?;
    write_output(path, &bytes.into_inner())
}

/// The picture format for a file name: by its extension, PNG for devices and pipes, `None` if the extension is
/// neither PNG's nor JPEG's.
pub fn format_of(path: &Path) -> Option<ImageFormat> {
    let extension = path.extension().map(|end| end.to_string_lossy().to_ascii_lowercase());
    match extension.as_deref() {
        Some("png") => Some(ImageFormat::Png),
        Some("jpg" | "jpeg") => Some(ImageFormat::Jpeg),
        _ => is_stream(path).then_some(ImageFormat::Png),
    }
}
