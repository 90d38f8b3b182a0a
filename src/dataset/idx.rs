//! IDX files, the format of MNIST and its successors: images (three dimensions) and labels (one).
//!
//! ```text
//! 0 0 8 D   magic: two zeros, the type (8 = unsigned byte), the number of dimensions
//! D x u32   sizes, big-endian
//! bytes     row-major
//! ```
//!
//! Gzipped files are recognised by their first two bytes, not by their name ([`super::gzip_and_tar`]). The length
//! given by the header is checked against the actual one before anything large is allocated; of a gzipped file,
//! no more is kept than its header specifies.

use std::path::Path;

use bytes::Bytes;

use super::error::DatasetError;
use super::gzip_and_tar::{self, Unpacked, wrong_kind};

/// Sizes and bytes of one file.
#[derive(Debug, PartialEq)]
pub struct Idx {
    pub sizes: Vec<usize>,
    pub bytes: Bytes,
    /// Notices about parts of the file that were left out.
    pub notices: Vec<String>,
}

/// Purpose of a file, which determines its number of dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Images,
    Labels,
}

impl Purpose {
    fn n_dimensions(self) -> usize {
        match self {
            Self::Images => 3,
            Self::Labels => 1,
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::Images => "an IDX file of images (unsigned bytes in three dimensions)",
            Self::Labels => "an IDX file of labels (unsigned bytes in one dimension)",
        }
    }

    /// Advice for a file with another number of dimensions.
    fn advice(self, n_found: usize) -> &'static str {
        match (self, n_found) {
            (Self::Images, 1) => "this is a file of labels: name the one of images in dataset.path",
            (Self::Labels, 3) => {
                "this is a file of images: name the one of labels in dataset.labels"
            }
            (Self::Images, 4) => {
                "the lab reads grey images from IDX files, and colour ones from folders and CIFAR"
            }
            _ => "name another file",
        }
    }
}

/// Type code of unsigned bytes in IDX files.
const UNSIGNED_BYTE: u8 = 8;

/// The value type for a type code, in words.
fn type_in_words(code: u8) -> Option<&'static str> {
    Some(match code {
        UNSIGNED_BYTE => "unsigned bytes",
        0x09 => "signed bytes",
        0x0b => "16-bit integers",
        0x0c => "32-bit integers",
        0x0d => "32-bit floats",
        0x0e => "64-bit floats",
        _ => return None,
    })
}

/// Reads a file of unsigned bytes.
///
/// # Errors
///
/// If the file is not IDX (the error says what it is instead), or if its length differs from its header's.
pub fn read(path: &Path, purpose: Purpose) -> Result<Idx, DatasetError> {
    parse(gzip_and_tar::read_promised(path, &promised)?, purpose, path)
}

/// The length of a file in bytes according to its header; 0 if it is not an IDX file.
fn promised(start: &[u8]) -> Option<u64> {
    let [0, 0, _, n_dimensions, ..] = *start else { return Some(0) };
    let header = 4 + 4 * usize::from(n_dimensions);
    let Some(fields) = start.get(4..header) else { return Some(0) };
    let sizes = fields.as_chunks().0.iter().map(|&field| u64::from(u32::from_be_bytes(field)));
    Some(sizes.fold(1_u64, u64::saturating_mul).saturating_add(header as u64))
}

fn parse(unpacked: Unpacked, purpose: Purpose, path: &Path) -> Result<Idx, DatasetError> {
    let file = &unpacked.bytes;
    let found = file.len().saturating_add(usize::try_from(unpacked.n_more).unwrap_or(usize::MAX));
    let length = |expected: u128, sizes: String, advice| DatasetError::Length {
        path: path.to_owned(),
        sizes,
        expected,
        found,
        advice,
    };
    let (kind, n_dimensions) = match file[..] {
        [0, 0, code, n, ..] if n > 0 && type_in_words(code).is_some() => {
            (type_in_words(code).unwrap_or_default(), usize::from(n))
        }
        [0, 0, UNSIGNED_BYTE] => {
            return Err(length(4, "cut short".to_owned(), "the file is truncated, fetch it again"));
        }
        _ => return Err(wrong_kind(path, file, unpacked.was_packed, purpose.in_words())),
    };
    let header = 4 + 4 * n_dimensions;
    let Some(fields) = file.get(4..header) else {
        let sizes = format!("{n_dimensions} dimensions, cut short");
        return Err(length(header as u128, sizes, "the file is truncated, fetch it again"));
    };
    let fields: Vec<[u8; 4]> = fields.as_chunks().0.to_vec();
    let sizes: Vec<u32> = fields.iter().map(|&field| u32::from_be_bytes(field)).collect();
    let in_words = || {
        let sizes: Vec<String> = sizes.iter().map(u32::to_string).collect();
        sizes.join("x")
    };
    if file[2] != UNSIGNED_BYTE || n_dimensions != purpose.n_dimensions() {
        return Err(DatasetError::IdxKind {
            path: path.to_owned(),
            kind,
            sizes: match n_dimensions {
                1 => format!("one dimension ({})", in_words()),
                n => format!("{n} dimensions ({})", in_words()),
            },
            expected: purpose.in_words(),
            advice: match file[2] {
                UNSIGNED_BYTE => purpose.advice(n_dimensions),
                _ => "save its values as unsigned bytes, 0 to 255",
            },
        });
    }
    // Up to three sizes of 32 bits fit; if the product saturates, the file cannot exist.
    let product =
        |sizes: &[u32]| sizes.iter().fold(1_u128, |n, &s| n.saturating_mul(u128::from(s)));
    let n_bytes = product(&sizes);
    let expected = n_bytes.saturating_add(header as u128);
    let found = found as u128;
    if expected != found {
        let swapped: Vec<u32> = fields.iter().map(|&field| u32::from_le_bytes(field)).collect();
        let advice = match () {
            () if product(&swapped).saturating_add(header as u128) == found => {
                "its sizes are little-endian; write them big-endian"
            }
            () if found < expected => "the file is truncated, fetch it again",
            () => {
                "it holds more than its header says and is damaged or another file, fetch it again"
            }
        };
        return Err(length(expected, in_words(), advice));
    }
    if n_bytes == 0 {
        return Err(DatasetError::Empty { path: path.to_owned(), sizes: in_words() });
    }
    let bytes = file.slice(header..);
    let sizes = sizes.into_iter().map(|s| s as usize).collect();
    Ok(Idx { sizes, bytes, notices: unpacked.notices })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn images() -> Vec<u8> {
        let mut file = vec![0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3];
        file.extend([1, 2, 3, 4, 5, 6]);
        file
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    fn read_bytes(bytes: &[u8]) -> Result<Idx, DatasetError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        read(file.path(), Purpose::Images)
    }

    #[test]
    fn gzipped_and_plain_files_hold_the_same() {
        let plain = read_bytes(&images()).unwrap();
        assert_eq!((&plain.sizes[..], plain.bytes.len()), (&[2, 1, 3][..], 6));
        assert_eq!(read_bytes(&gzip(&images())).unwrap(), plain);
    }

    #[test]
    fn truncated_and_overlong_files_are_refused_with_both_lengths() {
        for (length, bytes) in [(21, &images()[..21]), (23, &[&images()[..], &[0]].concat()[..])] {
            let error = read_bytes(bytes).unwrap_err().to_string();
            assert!(error.contains("'22'") && error.contains(&format!("'{length}'")), "{error}");
            assert!(
                error.contains(if length == 21 { "truncated" } else { "more than" }),
                "{error}"
            );
        }
        assert!(matches!(read_bytes(&[0, 0, 8]), Err(DatasetError::Length { .. })));
        let packed = gzip(&images());
        assert!(matches!(read_bytes(&packed[..20]), Err(DatasetError::Gzip { .. })));
    }

    #[test]
    fn foreign_files_are_refused() {
        let png = b"\x89PNG\r\n\x1a\n and a good deal more";
        let error = read_bytes(png).unwrap_err().to_string();
        assert!(error.contains("is a PNG image, not an IDX file of images"), "{error}");
        let twice = read_bytes(&gzip(&gzip(&images()))).unwrap_err().to_string();
        assert!(twice.contains("holds, unpacked, a gzip file"), "{twice}");
        let huge = [&[0, 0, 8, 3][..], &[255; 12]].concat();
        assert!(matches!(read_bytes(&huge), Err(DatasetError::Length { .. })));
    }

    #[test]
    fn other_types_and_dimensions_are_called_by_their_names() {
        let file = |code: u8, sizes: &[u32]| {
            let mut file = vec![0, 0, code, sizes.len() as u8];
            file.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
            file.resize(file.len() + 64, 1);
            file
        };
        for (code, sizes, expected) in [
            (0x09, &[1, 8, 8][..], "signed bytes"),
            (0x0b, &[1, 8, 4], "16-bit integers"),
            (0x0c, &[1, 4, 4], "32-bit integers"),
            (0x0d, &[1, 4, 4], "32-bit floats in 3 dimensions (1x4x4)"),
            (0x0e, &[1, 2, 4], "64-bit floats"),
            (8, &[1, 4, 4, 4], "4 dimensions (1x4x4x4)"),
            (8, &[64], "this is a file of labels"),
            (8, &[8, 8], "2 dimensions (8x8)"),
            (0x0a, &[1, 8, 8], "unknown kind"),
        ] {
            let error = read_bytes(&file(code, sizes)).unwrap_err().to_string();
            assert!(error.contains(expected), "'{error}' lacks '{expected}'");
        }
    }

    #[test]
    fn files_without_items_and_with_swapped_sizes_are_refused() {
        for sizes in [[0_u32, 4, 4], [3, 0, 4]] {
            let mut file = vec![0, 0, 8, 3];
            file.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
            assert!(matches!(read_bytes(&file), Err(DatasetError::Empty { .. })));
        }
        let mut swapped = images();
        swapped[4..16].copy_from_slice(&[2, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0]);
        let error = read_bytes(&swapped).unwrap_err().to_string();
        assert!(error.contains("little-endian"), "{error}");
    }
}
