//! Detects the kind of a file from its bytes, so that readers' errors can name a file of the wrong kind.
//!
//! Machine learning formats and typical failed downloads are recognised here; archives, pictures, documents,
//! audio and video by the crate `infer`. Nothing is decoded, and a guess never decides how a file is read, with
//! two exceptions whose first bytes define the format: gzip and tar.

use std::fmt;

use strum::Display;

/// The kind of a file, detected from its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Display)]
pub enum FileKind {
    #[strum(to_string = "an empty file")]
    Empty,
    /// Nothing but zero bytes.
    #[strum(to_string = "a file of nothing but zeros")]
    Zeros,
    #[strum(to_string = "a git-lfs pointer")]
    LfsPointer,
    #[strum(to_string = "a git-annex pointer")]
    AnnexPointer,
    #[strum(to_string = "an HTML page")]
    Html,
    #[strum(to_string = "an XML document")]
    Xml,
    #[strum(to_string = "a JSON text")]
    Json,
    /// PyTorch's `.pt` and `.pth`, which are zip archives of a pickle and tensors.
    #[strum(to_string = "a PyTorch file (.pt, a zip archive with a pickle)")]
    Torch,
    #[strum(to_string = "a Python pickle")]
    Pickle,
    #[strum(to_string = "a NumPy array (.npy)")]
    Npy,
    #[strum(to_string = "a NumPy archive (.npz)")]
    Npz,
    #[strum(to_string = "a zip archive")]
    Zip,
    #[strum(to_string = "an HDF5 file")]
    Hdf5,
    #[strum(to_string = "a MATLAB file (.mat)")]
    Matlab,
    #[strum(to_string = "a Parquet file")]
    Parquet,
    #[strum(to_string = "an Arrow file")]
    Arrow,
    #[strum(to_string = "a GGUF file")]
    Gguf,
    #[strum(to_string = "a safetensors file")]
    Safetensors,
    #[strum(to_string = "an IDX file")]
    Idx,
    #[strum(to_string = "a tar archive")]
    Tar,
    #[strum(to_string = "an AppleDouble file (macOS metadata)")]
    AppleDouble,
    #[strum(to_string = "a gzip file")]
    Gzip,
    #[strum(to_string = "a PNG image")]
    Png,
    #[strum(to_string = "a JPEG image")]
    Jpeg,
    #[strum(to_string = "a WebP image")]
    WebP,
    /// A kind known to the crate `infer`, as a phrase.
    #[strum(to_string = "{0}")]
    Known(&'static str),
    /// Readable text, with its first line.
    #[strum(to_string = "a text that starts '{0}'")]
    Text(String),
    /// None of these, with the first bytes.
    #[strum(to_string = "a file of an unknown kind that starts with the bytes {0:?}")]
    Unknown(Vec<u8>),
}

/// Kinds identified by a magic number at the start of the file.
const MAGIC: [(&[u8], FileKind); 16] = [
    (b"version https://git-lfs", FileKind::LfsPointer),
    (b"version https://hawser", FileKind::LfsPointer),
    (b"/annex/objects/", FileKind::AnnexPointer),
    (b"\x89HDF\r\n\x1a\n", FileKind::Hdf5),
    (b"MATLAB 5.0 MAT-file", FileKind::Matlab),
    (b"MATLAB 7.3 MAT-file", FileKind::Matlab),
    (b"\x93NUMPY", FileKind::Npy),
    (b"PAR1", FileKind::Parquet),
    (b"ARROW1", FileKind::Arrow),
    (b"GGUF", FileKind::Gguf),
    (b"\0\x05\x16\x07", FileKind::AppleDouble),
    (b"\0\x05\x16\0", FileKind::AppleDouble),
    (&GZIP_MAGIC, FileKind::Gzip),
    (b"\x89PNG\r\n\x1a\n", FileKind::Png),
    (b"\xff\xd8\xff", FileKind::Jpeg),
    (b"MAT1", FileKind::Matlab),
];

/// RFC 1952, section 2.3.1.
pub const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Extensions by which `infer` identifies a kind, and the phrase for each.
const KNOWN: [(&str, &str); 29] = [
    ("gif", "a GIF image"),
    ("bmp", "a BMP image"),
    ("tif", "a TIFF image"),
    ("cr2", "a raw photograph"),
    ("heif", "an HEIF image"),
    ("avif", "an AVIF image"),
    ("jxl", "a JPEG XL image"),
    ("jp2", "a JPEG 2000 image"),
    ("jxr", "a JPEG XR image"),
    ("psd", "a Photoshop image"),
    ("bz2", "a bzip2 archive"),
    ("xz", "an xz archive"),
    ("zst", "a zstd archive"),
    ("lz4", "an lz4 archive"),
    ("lz", "an lzip archive"),
    ("Z", "a compress (.Z) archive"),
    ("7z", "a 7-Zip archive"),
    ("rar", "a RAR archive"),
    ("cab", "a CAB archive"),
    ("elf", "a program (ELF)"),
    ("exe", "a Windows program"),
    ("dll", "a Windows library"),
    ("sqlite", "an SQLite database"),
    ("pdf", "a PDF document"),
    ("docx", "a Word document"),
    ("xlsx", "an Excel table"),
    ("mp4", "an MP4 film"),
    ("avi", "an AVI film"),
    ("wav", "a WAV recording"),
];

/// Number of bytes examined, except for the search for zeros.
const LOOKED_AT: usize = 8 << 10;

impl FileKind {
    /// Detects the kind of a file from its content or first bytes.
    pub fn of(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::Empty;
        }
        if bytes.iter().all(|&byte| byte == 0) {
            return Self::Zeros;
        }
        if let Some((_, kind)) = MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic)) {
            return kind.clone();
        }
        let start = &bytes[..bytes.len().min(LOOKED_AT)];
        if start.starts_with(b"RIFF") && start.get(8..12) == Some(b"WEBP") {
            return Self::WebP;
        }
        if let Some(kind) = zip_kind(start) {
            return kind;
        }
        if is_pickle(start) {
            return Self::Pickle;
        }
        if is_safetensors(start) {
            return Self::Safetensors;
        }
        if is_tar(start) {
            return Self::Tar;
        }
        if matches!(*start, [0, 0, 8 | 9 | 0x0b..=0x0e, 1..=8, ..]) {
            return Self::Idx;
        }
        let text = text_kind(start);
        let known = infer::get(start).map(|found| found.extension());
        // The two letters that mark a BMP image may also begin a text.
        let known = known.filter(|end| *end != "bmp" || text.is_none());
        match known.and_then(|end| KNOWN.iter().find(|(known, _)| *known == end)) {
            Some((_, words)) => Self::Known(words),
            None => text.unwrap_or_else(|| Self::Unknown(start[..start.len().min(4)].to_vec())),
        }
    }

    /// Advice for a file of this kind if another kind was needed.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Empty | Self::Zeros => "fetch it again",
            Self::LfsPointer => "'git lfs pull' fetches the file itself",
            Self::AnnexPointer => "'git annex get' fetches the file itself",
            Self::Text(line) if is_refusal(line) => {
                "perhaps a server's answer in place of the file; fetch it again"
            }
            Self::Html | Self::Xml | Self::Json => {
                "perhaps a server's answer in place of the file; fetch it again"
            }
            Self::Torch | Self::Pickle => {
                "pickles are programs, which the lab does not run; save arrays with numpy.savez or safetensors"
            }
            Self::Zip | Self::Tar | Self::Gzip => "unpack it and name what is inside",
            Self::Known(words) if words.ends_with("archive") => "unpack it and name what is inside",
            Self::Known(words) if words.ends_with("image") => "convert it to PNG",
            Self::Png | Self::Jpeg | Self::WebP => {
                "images in files of their own are read from a folder of them"
            }
            Self::AppleDouble => "it accompanies a file of the same name without '._'; name that",
            Self::Npy | Self::Npz | Self::Safetensors => {
                "arrays of images are read with dataset.kind = 'arrays'"
            }
            Self::Parquet => "tables of images are read with dataset.kind = 'parquet'",
            Self::Hdf5 | Self::Matlab | Self::Arrow => "convert it, for example to .npz",
            _ => "name another file",
        }
    }
}

/// Explains, in words that follow the file's name, why bytes cannot be read as a safetensors file.
pub fn not_safetensors(bytes: &[u8], error: impl fmt::Display) -> String {
    let kind = FileKind::of(bytes);
    let advice = match kind {
        FileKind::Safetensors => {
            return format!(
                "it is a safetensors file that is truncated or damaged ({error}); write it or fetch it again"
            );
        }
        FileKind::Torch | FileKind::Pickle => "write it with safetensors.torch.save_file",
        FileKind::Npy | FileKind::Npz => "write it with safetensors.numpy.save_file",
        ref other => other.advice(),
    };
    format!("it is {kind}, not a safetensors file; {advice}")
}

/// Recognises zip archives of known content by the names of their members, which are stored uncompressed before
/// the data.
fn zip_kind(start: &[u8]) -> Option<FileKind> {
    if !(start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06")) {
        return None;
    }
    let holds = |name: &[u8]| start.windows(name.len()).any(|window| window == name);
    Some(match () {
        () if holds(b"data.pkl") || holds(b"/.format_version") => FileKind::Torch,
        () if holds(b".npy") => FileKind::Npz,
        () => match infer::get(start).map(|found| found.extension()) {
            Some("docx") => FileKind::Known("a Word document"),
            Some("xlsx") => FileKind::Known("an Excel table"),
            _ => FileKind::Zip,
        },
    })
}

/// Protocols 2 to 5 begin with their number, followed by an instruction of the pickle machine.
fn is_pickle(start: &[u8]) -> bool {
    matches!(*start, [0x80, 2..=5, next, ..] if b"\x8a\x95(}])cXK}q\x8c".contains(&next))
        || start == [0x80, 2]
}

/// Safetensors begin with a length of eight bytes and a JSON object.
fn is_safetensors(start: &[u8]) -> bool {
    matches!(start.split_first_chunk::<8>(), Some((length, [b'{', ..]))
        if u64::from_le_bytes(*length) < 100 << 20)
}

/// Recognises tar by its magic or, in formats older than that, by the checksum of its first header. A damaged
/// header keeps its magic.
pub fn is_tar(start: &[u8]) -> bool {
    let Some(block) = start.get(..512) else { return false };
    if block[257..].starts_with(b"ustar") {
        return true;
    }
    let header = tar::Header::from_byte_slice(block);
    let sum: u32 = block
        .iter()
        .enumerate()
        // The checksum field itself counts as blanks.
        .map(|(i, &byte)| u32::from(if (148..156).contains(&i) { b' ' } else { byte }))
        .sum();
    block[0] != 0 && header.cksum().is_ok_and(|found| found == sum)
}

/// True if a text starts like a server's refusal: an HTTP status, or typical words.
fn is_refusal(line: &str) -> bool {
    const WORDS: [&str; 8] = [
        "not found",
        "forbidden",
        "unauthorized",
        "access denied",
        "bad gateway",
        "service unavailable",
        "too many requests",
        "internal server error",
    ];
    let line = line.trim().to_ascii_lowercase();
    let status = line.strip_prefix("error").unwrap_or(&line).trim_start_matches([' ', ':']);
    let is_status = matches!(status.as_bytes(), [b'3'..=b'5', b'0'..=b'9', b'0'..=b'9', next, ..]
        if matches!(next, b':' | b' '))
        && status[3..].chars().any(char::is_alphabetic);
    line.starts_with("http/1")
        || line.starts_with("http/2")
        || is_status
        || WORDS.iter().any(|words| line.starts_with(words))
}

/// Recognises kinds of readable text.
fn text_kind(start: &[u8]) -> Option<FileKind> {
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        // The text is cut within a character.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&start[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.is_empty() || text.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    let is_html = ["<!doctype html", "<html", "<head", "<body"].iter().any(|tag| match *tag {
        "<html" => lower.starts_with('<') && lower.contains(tag),
        tag => lower.starts_with(tag),
    });
    Some(match () {
        () if is_html => FileKind::Html,
        () if text.starts_with("<?xml") || text.starts_with("<Error>") => FileKind::Xml,
        () if text.starts_with("{\"") || text.starts_with("[{") || text.starts_with("{\n") => {
            FileKind::Json
        }
        () => {
            let line = text.lines().next().unwrap_or_default();
            FileKind::Text(line.chars().filter(|c| !c.is_control()).take(40).collect())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar_header() -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_old();
        header.set_size(3);
        header.set_cksum();
        archive.append_data(&mut header, "a", &b"abc"[..]).unwrap();
        archive.into_inner().unwrap()
    }

    #[test]
    fn files_are_called_by_their_names() {
        let npy = b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0x.npy";
        let torch =
            b"PK\x03\x04\0\0\x08\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\0\0\0m/data.pkl";
        for (bytes, expected) in [
            (&b""[..], "empty"),
            (&[0; 700], "zeros"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:7", "git-lfs pointer"),
            (b"/annex/objects/MD5E-s1--0.gz\n", "git-annex"),
            (b"\r\n<!DOCTYPE html><p>404", "HTML page"),
            (b"<html>", "HTML page"),
            (b"<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code>", "XML"),
            (b"{\"error\": \"rate limit\"}", "JSON"),
            (torch, "PyTorch"),
            (npy, ".npz"),
            (b"PK\x03\x04\x14\0\0\0", "zip archive"),
            (b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", "pickle"),
            (b"\x80\x04\x95\x10\0\0\0\0\0\0\0}.", "pickle"),
            (b"\x80\x02}q\0.", "pickle"),
            (b"\x93NUMPY\x01\0v\0{'descr': '<f4'", ".npy"),
            (b"\x89HDF\r\n\x1a\n\0\0\0\0", "HDF5"),
            (b"MATLAB 5.0 MAT-file, Platform: GLNXA64", "MATLAB"),
            (b"PAR1\x15\x04", "Parquet"),
            (b"\x02\0\0\0\0\0\0\0{}", "safetensors"),
            (b"\0\0\x0d\x03\0\0\0\x01", "IDX"),
            (&tar_header(), "tar archive"),
            (b"\0\x05\x16\x07\0\x02\0\0Mac OS X", "AppleDouble"),
            (b"\x1f\x8b\x08\0", "gzip"),
            (b"BZh91AY&SY", "bzip2"),
            (b"\xfd7zXZ\0\0", "xz"),
            (b"\x28\xb5\x2f\xfd\x04", "zstd"),
            (b"7z\xbc\xaf\x27\x1c\0\x04", "7-Zip"),
            (b"\x89PNG\r\n\x1a\n", "PNG"),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", "JPEG"),
            (b"GIF89a\x01\0\x01\0\x80", "GIF"),
            (b"RIFF\x10\0\0\0WEBPVP8 ", "WebP"),
            (b"BM\x3a\0\0\0\0\0\0\0\x36\0\0\0", "BMP"),
            (b"II*\0\x08\0\0\0\0\0", "TIFF"),
            (b"MM\0*\0\0\0\x08\0\0", "TIFF"),
            (b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x40\0", "ELF"),
            (b"%PDF-1.7\n\xe2\xe3\xcf\xd3", "PDF"),
            (b"label,pixel0,pixel1\n5,0,0\n", "text that starts 'label,pixel0,pixel1'"),
            (b"\x01\x02\x03\x04\x05", "[1, 2, 3, 4]"),
        ] {
            let found = FileKind::of(bytes).to_string();
            assert!(found.contains(expected), "'{found}' lacks '{expected}'");
        }
    }

    #[test]
    fn a_server_s_refusal_in_place_of_a_file_is_to_be_fetched_again() {
        let advice = |text: &str| FileKind::of(text.as_bytes()).advice();
        for text in [
            "404: Not Found",
            "404 page not found\n",
            "Not Found",
            "Error 503: backend",
            "HTTP/1.1 302 Found",
            "Forbidden",
            "Too Many Requests",
        ] {
            assert!(advice(text).contains("fetch it again"), "{text}");
        }
        for text in ["404,1,2\n", "500 1 2\n", "label,pixel0", "Notes on data"] {
            assert_eq!(advice(text), "name another file", "{text}");
        }
    }

    #[test]
    fn a_tar_with_a_damaged_header_is_still_one() {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(3);
        archive.append_data(&mut header, "a", &b"abc"[..]).unwrap();
        let mut bytes = archive.into_inner().unwrap();
        bytes[0] = 0;
        assert_eq!(FileKind::of(&bytes), FileKind::Tar);
        bytes[..100].fill(0xfe);
        assert_eq!(FileKind::of(&bytes), FileKind::Tar);
    }

    #[test]
    fn images_and_text_are_not_taken_for_containers() {
        // A CIFAR record, a tiny IDX file and text cut within a character.
        let record: Vec<u8> = (0..3073_u32).map(|i| (i * 7 % 251) as u8 | 1).collect();
        assert!(matches!(FileKind::of(&record), FileKind::Unknown(_)));
        assert_eq!(FileKind::of(&[0, 0, 8, 3, 0, 0, 0, 1]), FileKind::Idx);
        assert_eq!(
            FileKind::of("caf\u{e9}".as_bytes().split_last().unwrap().1),
            FileKind::Text("caf".into())
        );
    }
}
