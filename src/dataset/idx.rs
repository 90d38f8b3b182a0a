//! IDX files, the format of MNIST and its descendants: images (three dimensions) and labels (one).
//!
//! ```text
//! 0 0 8 D   magic: two zeros, the type (8 = unsigned byte), the number of dimensions
//! D x u32   sizes, big-endian
//! bytes     row-major
//! ```
//!
//! Gzipped files are recognised by their first two bytes, not by their name. The length that the
//! header promises is checked against what is there, before anything large is allocated; of a gzipped file no more is
//! kept than its header promises.

use std::io::{self, Read};
use std::path::Path;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;

use super::mapped;
use super::source::DatasetError;

/// Sizes and bytes of one file.
#[derive(Debug, PartialEq)]
pub struct Idx {
    pub sizes: Vec<usize>,
    pub bytes: Bytes,
}

/// Reads a file that must hold unsigned bytes in `n_dimensions` dimensions.
pub fn read(path: &Path, n_dimensions: usize) -> Result<Idx, DatasetError> {
    parse(&read_file(path, n_dimensions)?, n_dimensions, path)
}

fn read_file(path: &Path, n_dimensions: usize) -> Result<Bytes, DatasetError> {
    let failed = |source| DatasetError::Read { path: path.to_owned(), source };
    let file = mapped::read(path).map_err(failed)?;
    if !file.starts_with(&[0x1f, 0x8b]) {
        return Ok(file);
    }
    let mut plain = Vec::new();
    match unpack(&file, n_dimensions, &mut plain) {
        Ok(0) => Ok(plain.into()),
        Ok(n_more) => Err(DatasetError::Length {
            path: path.to_owned(),
            expected: plain.len() as u128,
            found: plain.len() + n_more,
        }),
        Err(source) => Err(DatasetError::Gzip {
            path: path.to_owned(),
            packed: file.len(),
            found: plain.len(),
            source,
        }),
    }
}

/// Unpacks what the header promises, and returns how many bytes there are beyond it, which are not kept. Of what is no
/// IDX file, the first bytes.
fn unpack(file: &[u8], n_dimensions: usize, plain: &mut Vec<u8>) -> io::Result<usize> {
    let mut packed = MultiGzDecoder::new(file);
    let header = 4 + 4 * n_dimensions;
    (&mut packed).take(header as u64).read_to_end(plain)?;
    let is_ours = plain.len() == header && plain[..4] == [0, 0, 8, n_dimensions as u8];
    if !is_ours {
        return Ok(0);
    }
    let sizes = plain[4..].chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    let n_bytes = sizes.fold(1_u64, |n, size| n.saturating_mul(u64::from(size)));
    let most = mapped::in_memory_max();
    let n_kept = (&mut packed).take(n_bytes.min(most)).read_to_end(plain)? as u64;
    let n_more = io::copy(&mut packed, &mut io::sink())?;
    if n_kept < n_bytes && n_more > 0 {
        let problem = format!(
            "it unpacks to more than {most} bytes, half of this computer's memory; unpack it"
        );
        return Err(io::Error::other(problem));
    }
    Ok(usize::try_from(n_more).unwrap_or(usize::MAX))
}

fn parse(file: &Bytes, n_dimensions: usize, path: &Path) -> Result<Idx, DatasetError> {
    let path = || path.to_owned();
    let header = 4 + 4 * n_dimensions;
    if file.len() < header {
        return Err(DatasetError::Length {
            path: path(),
            expected: header as u128,
            found: file.len(),
        });
    }
    let magic = [file[0], file[1], file[2], file[3]];
    let expected = [0, 0, 8, n_dimensions as u8];
    if magic != expected {
        return Err(DatasetError::Magic { path: path(), expected, found: magic });
    }
    let size = |b: &[u8]| u32::from_be_bytes([b[0], b[1], b[2], b[3]]);
    let sizes: Vec<u32> = file[4..header].chunks_exact(4).map(size).collect();
    // Four billion cubed fits; a product that does not is no file of ours.
    let n_bytes = sizes.iter().fold(1_u128, |n, &s| n.saturating_mul(u128::from(s)));
    let expected = n_bytes.saturating_add(header as u128);
    if expected != file.len() as u128 {
        return Err(DatasetError::Length { path: path(), expected, found: file.len() });
    }
    if n_bytes == 0 {
        return Err(DatasetError::Empty { path: path() });
    }
    let sizes = sizes.into_iter().map(|s| s as usize).collect();
    Ok(Idx { sizes, bytes: file.slice(header..) })
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
        read(file.path(), 3)
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
        }
        assert!(matches!(read_bytes(&[0, 0, 8]), Err(DatasetError::Length { .. })));
        let packed = gzip(&images());
        assert!(matches!(read_bytes(&packed[..20]), Err(DatasetError::Gzip { .. })));
    }

    #[test]
    fn more_than_the_header_promises_is_counted_but_not_kept() {
        let bomb = gzip(&[images(), vec![0; 40 << 20]].concat());
        assert!(bomb.len() < 50_000);
        let mut plain = Vec::new();
        assert_eq!(unpack(&bomb, 3, &mut plain).unwrap(), 40 << 20);
        assert!(plain.len() == 22 && plain.capacity() < 1 << 16, "{}", plain.capacity());
        let error = read_bytes(&bomb).unwrap_err().to_string();
        assert!(error.contains("'22'") && error.contains("'41943062'"), "{error}");
    }

    #[test]
    fn foreign_files_are_refused() {
        let png = b"\x89PNG\r\n\x1a\n and a good deal more";
        assert!(matches!(read_bytes(png), Err(DatasetError::Magic { .. })));
        let huge = [&[0, 0, 8, 3][..], &[255; 12]].concat();
        assert!(matches!(read_bytes(&huge), Err(DatasetError::Length { .. })));
    }
}
