//! Reads gzip files and tar archives into bytes; nothing is dropped silently.
//!
//! As in gunzip, consecutive members are joined and zeros after the last one are padding. Other trailing bytes
//! are left out and reported in the data set's notices. Truncated data and failed checksums are errors.
//!
//! A small file may unpack to any size: of an IDX file, no more is kept than its header specifies, and of any
//! other file no more than memory should hold.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use flate2::bufread::GzDecoder;
use tar::{Archive, EntryType};

use super::error::DatasetError;
use super::ignored_system_files::lies_in_litter;
use crate::files::file_kind::{FileKind, GZIP_MAGIC, is_tar};
use crate::files::read_or_map_file;

/// Number of bytes of trailing garbage that are shown.
const SHOWN: usize = 8;

/// Unpacked content of a file, with notices about it.
#[derive(Debug, PartialEq)]
pub struct Unpacked {
    pub bytes: Bytes,
    /// Number of bytes unpacked beyond those that were kept.
    pub n_more: u64,
    pub was_packed: bool,
    pub notices: Vec<String>,
}

/// Reads a file completely, unpacking it if it is gzipped.
///
/// # Errors
///
/// If it unpacks to more than memory should hold.
pub fn read(path: &Path) -> Result<Unpacked, DatasetError> {
    let unpacked = read_promised(path, &|_| None)?;
    match unpacked.n_more {
        0 => Ok(unpacked),
        _ => Err(DatasetError::reading(path)(too_large())),
    }
}

fn too_large() -> io::Error {
    io::Error::other(format!(
        "it unpacks to more than '{}' bytes, half of this computer's memory; unpack it to a file and name that",
        read_or_map_file::in_memory_max()
    ))
}

/// Like [`read`], but keeps no more of a gzipped file than its first bytes specify: `promise` returns the total
/// length in bytes, or `None` if they do not specify one.
///
/// # Errors
///
/// If the file is not a regular one, cannot be read, or holds truncated or damaged gzip data.
pub fn read_promised(
    path: &Path,
    promise: &dyn Fn(&[u8]) -> Option<u64>,
) -> Result<Unpacked, DatasetError> {
    let file = read_or_map_file::read_regular(path).map_err(DatasetError::reading(path))?;
    if !file.starts_with(&GZIP_MAGIC) {
        return Ok(Unpacked { bytes: file, n_more: 0, was_packed: false, notices: Vec::new() });
    }
    unpack(&file, path, promise)
}

/// Number of bytes passed to `promise`.
const PROMISE: usize = 64;

fn unpack(
    file: &[u8],
    path: &Path,
    promise: &dyn Fn(&[u8]) -> Option<u64>,
) -> Result<Unpacked, DatasetError> {
    let most = read_or_map_file::in_memory_max();
    let (mut plain, mut n_more, mut rest, mut notices) = (Vec::new(), 0, file, Vec::new());
    while rest.starts_with(&GZIP_MAGIC) {
        let mut member = GzDecoder::new(rest);
        let mut take = |n: u64, plain: &mut Vec<u8>| {
            (&mut member).take(n.saturating_sub(plain.len() as u64)).read_to_end(plain)
        };
        let unpacked = take(PROMISE as u64, &mut plain)
            .and_then(|_| {
                let promised = promise(&plain).unwrap_or(most).max(PROMISE as u64);
                take(promised.min(most), &mut plain)
            })
            .and_then(|_| io::copy(&mut member, &mut io::sink()));
        match unpacked {
            Ok(n) => n_more += n,
            Err(source) => {
                let (path, found) = (path.to_owned(), plain.len());
                return Err(DatasetError::Gzip { path, packed: file.len(), found, source });
            }
        }
        rest = member.into_inner();
    }
    let padding = rest.iter().take_while(|&&byte| byte == 0).count();
    let garbage = &rest[padding..];
    if !garbage.is_empty() {
        notices.push(behind(path, "the gzip data", garbage));
    }
    Ok(Unpacked { bytes: plain.into(), n_more, was_packed: true, notices })
}

/// The first bytes of a file, unpacked as far as possible, for detecting its kind.
pub fn start(path: &Path) -> Option<Vec<u8>> {
    const LENGTH: u64 = 512;
    let mut packed = Vec::new();
    read_or_map_file::open_regular(path).ok()?.take(1 << 16).read_to_end(&mut packed).ok()?;
    if !packed.starts_with(&GZIP_MAGIC) {
        packed.truncate(LENGTH as usize);
        return Some(packed);
    }
    let mut plain = Vec::new();
    // Truncated data still have a start.
    let _ = GzDecoder::new(&packed[..]).take(LENGTH).read_to_end(&mut plain);
    Some(plain)
}

/// A file in an archive.
#[derive(Debug)]
pub struct Member {
    pub path: PathBuf,
    pub bytes: Bytes,
}

/// Size in bytes of a tar archive's blocks: a header is one block, and data are padded to whole blocks.
const BLOCK: usize = 512;

/// The files of a tar archive in order, without hidden files and litter, and notices about it.
///
/// Two blocks of zeros end an archive, and most programs stop there. Concatenated archives continue after them,
/// and so does an archive with a hole: reading continues as long as headers follow, with a notice. Trailing
/// bytes that are not a header are counted, or are an error if a header comes later.
///
/// # Errors
///
/// If the archive is truncated or damaged.
pub fn members(archive: &Bytes, path: &Path) -> Result<(Vec<Member>, Vec<String>), DatasetError> {
    let broken = |problem: String| DatasetError::Archive {
        path: path.to_owned(),
        found: archive.len(),
        problem,
    };
    let failed = |error: std::io::Error| broken(error.to_string());
    let (mut members, mut notices, mut end, mut n_gaps) = (Vec::new(), Vec::new(), 0_usize, 0);
    let mut reader = Archive::new(&archive[..]);
    reader.set_ignore_zeros(true);
    for entry in reader.entries().map_err(failed)? {
        let gap = zeros_at(archive, end);
        let entry = match entry {
            Ok(entry) => entry,
            // Zeros that do not fill a whole number of blocks.
            Err(_) if archive[end.min(archive.len())..].iter().all(|&byte| byte == 0) => break,
            Err(_) if gap > 0 => {
                notices.push(behind_the_end(archive, end + gap, path).map_err(broken)?);
                break;
            }
            Err(error) => return Err(failed(error)),
        };
        n_gaps += usize::from(gap > 0);
        let name = entry.path().map_err(failed)?.into_owned();
        let start = entry.raw_file_position() as usize;
        let size = entry.header().entry_size().map_err(failed)? as usize;
        let kind = entry.header().entry_type();
        end = start.saturating_add(size).checked_next_multiple_of(BLOCK).unwrap_or(usize::MAX);
        if kind.is_dir() || kind.is_pax_global_extensions() || lies_in_litter(&name) {
            continue;
        }
        if kind != EntryType::Regular && kind != EntryType::Continuous {
            notices.push(format!(
                "'{}': '{}' is left out, which is no plain file but a link or the like",
                path.display(),
                name.display()
            ));
            continue;
        }
        let left = archive.len().saturating_sub(start);
        if size > left {
            return Err(broken(format!(
                "'{}' should have '{size}' bytes, of which '{left}' are there",
                name.display()
            )));
        }
        members.push(Member { path: name, bytes: archive.slice(start..start + size) });
    }
    if n_gaps > 0 {
        notices.push(format!(
            "'{}' goes on behind '{n_gaps}' of its ends (blocks of zeros), and its files there are taken too; if no \
             archives were joined, files may be missing",
            path.display()
        ));
    }
    if archive.len() < end.saturating_add(BLOCK) {
        notices.push(format!(
            "'{}' ends without the mark that ends a tar archive; files may be missing",
            path.display()
        ));
    }
    Ok((members, notices))
}

/// Length in bytes of the whole blocks of zeros at `start`.
fn zeros_at(archive: &[u8], start: usize) -> usize {
    let rest = archive.get(start..).unwrap_or_default();
    rest.chunks_exact(BLOCK).take_while(|block| block.iter().all(|&byte| byte == 0)).count() * BLOCK
}

/// A notice about bytes after an archive's end that do not start a header; `Err` if a header comes later,
/// because then they are the remains of a damaged one.
fn behind_the_end(archive: &[u8], start: usize, path: &Path) -> Result<String, String> {
    let garbage = &archive[start..];
    if let Some(block) = garbage.chunks(BLOCK).position(is_tar) {
        return Err(format!(
            "between a block of zeros and a file's header there are '{}' bytes that belong to no file",
            block * BLOCK
        ));
    }
    Ok(behind(path, "the archive", garbage))
}

/// A notice about bytes behind the end of what a file should hold.
fn behind(path: &Path, what: &str, garbage: &[u8]) -> String {
    format!(
        "'{}': {} bytes behind the end of {what} are left out; they start {:?}",
        path.display(),
        garbage.len(),
        &garbage[..garbage.len().min(SHOWN)]
    )
}

/// The error for a file of the wrong kind.
pub fn wrong_kind(
    path: &Path,
    bytes: &[u8],
    was_packed: bool,
    expected: &'static str,
) -> DatasetError {
    let kind = FileKind::of(bytes);
    DatasetError::WrongKind {
        path: path.to_owned(),
        expected,
        holds: if was_packed { "holds, unpacked," } else { "is" },
        advice: kind.advice(),
        kind,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::best());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    fn check(file: &[u8]) -> Result<(Bytes, Vec<String>), DatasetError> {
        let found = unpack(file, Path::new("x.gz"), &|_| None)?;
        assert_eq!(found.n_more, 0);
        Ok((found.bytes, found.notices))
    }

    #[test]
    fn no_more_is_kept_than_the_first_bytes_promise() {
        let file = [gzip(&[1; 90]), gzip(&[2; 50])].concat();
        for (promised, kept) in [(100, 100), (0, PROMISE), (1000, 140)] {
            let found = unpack(&file, Path::new("x.gz"), &|_| Some(promised)).unwrap();
            assert_eq!((found.bytes.len(), found.n_more), (kept, 140 - kept as u64));
        }
    }

    #[test]
    fn members_are_joined_and_zeros_behind_them_are_padding() {
        let two = [gzip(b"one "), gzip(b"two"), vec![0; 600]].concat();
        assert_eq!(check(&two).unwrap(), (Bytes::from_static(b"one two"), vec![]));
    }

    #[test]
    fn other_bytes_behind_the_end_are_counted_and_shown() {
        for garbage in [&b"\r\n"[..], b"\0\0\r\n"] {
            let (bytes, notices) = check(&[&gzip(b"one")[..], garbage].concat()).unwrap();
            assert_eq!(bytes, b"one"[..]);
            assert!(notices[0].contains("2 bytes behind") && notices[0].contains("[13, 10]"));
        }
    }

    #[test]
    fn what_breaks_off_or_fails_its_checksum_is_to_be_fetched_again() {
        let whole = gzip(&[7; 100]);
        let mut wrong_sum = whole.clone();
        wrong_sum[whole.len() - 6] ^= 1;
        let second_cut = [&whole[..], &whole[..12]].concat();
        for file in [&whole[..5], &whole[..whole.len() - 1], &wrong_sum, &second_cut] {
            let error = check(file).unwrap_err();
            assert!(matches!(error, DatasetError::Gzip { .. }));
            assert!(error.to_string().contains("fetch it again"), "{error}");
        }
    }

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, bytes) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o600);
            archive.append_data(&mut header, name, *bytes).unwrap();
        }
        archive.into_inner().unwrap()
    }

    #[test]
    fn archives_give_their_files_without_litter() {
        let bytes: Bytes =
            archive(&[("c/b", b"12"), ("c/._b", b"mac"), ("__MACOSX/c/b", b"x"), ("c/a", b"3")])
                .into();
        let (found, notices) = members(&bytes, Path::new("a.tar")).unwrap();
        let names: Vec<_> =
            found.iter().map(|m| (m.path.to_str().unwrap(), &m.bytes[..])).collect();
        assert_eq!(names, [("c/b", &b"12"[..]), ("c/a", b"3")]);
        assert!(notices.is_empty(), "{notices:?}");
    }

    #[test]
    fn a_cut_archive_is_refused_or_said_to_lack_its_end() {
        let whole = archive(&[("a", &[1; 700]), ("b", &[2; 700])]);
        let cut = |n: usize| members(&Bytes::copy_from_slice(&whole[..n]), Path::new("a.tar"));
        let error = cut(512 + 1024 + 512 + 100).unwrap_err().to_string();
        assert!(error.contains("'700' bytes, of which '100'"), "{error}");
        let (found, notices) = cut(512 + 1024).unwrap();
        assert!(found.len() == 1 && notices[0].contains("without the mark"), "{notices:?}");
    }

    fn names(archive: Vec<u8>) -> Result<(String, String), String> {
        let (found, notices) =
            members(&archive.into(), Path::new("a.tar")).map_err(|error| error.to_string())?;
        let names: Vec<_> = found.iter().map(|member| member.path.to_str().unwrap()).collect();
        Ok((names.join(" "), notices.join("\n")))
    }

    #[test]
    fn archives_that_were_joined_are_read_to_their_end() {
        let [first, second] = [archive(&[("a", &[1; 700])]), archive(&[("b", b"2"), ("c", b"")])];
        for zeros in [0, 512, 10 * 512] {
            let joined = [&first[..], &vec![0; zeros], &second].concat();
            let (names, notices) = names(joined).unwrap();
            assert_eq!(names, "a b c");
            assert!(notices.contains("goes on behind '1' of its ends"), "{notices}");
        }
        // With one block of zeros between them, and with none.
        let one_block = [&first[..first.len() - 512], &second].concat();
        assert_eq!(names(one_block).unwrap().0, "a b c");
        let (all, notices) = names([&first[..first.len() - 1024], &second].concat()).unwrap();
        assert_eq!((&all[..], &notices[..]), ("a b c", ""));
        assert_eq!(names([first, vec![0; 9000]].concat()).unwrap(), ("a".into(), String::new()));
    }

    #[test]
    fn bytes_behind_the_end_are_said_and_files_that_are_lost_there_refused() {
        let whole = archive(&[("a", &[1; 700]), ("b", b"2"), ("c", b"3")]);
        for tail in [&b"tail"[..], &[7; 512], &[7; 1300]] {
            let (names, notices) = names([&whole[..], tail].concat()).unwrap();
            assert_eq!(names, "a b c");
            let expected = format!("{} bytes behind the end", tail.len());
            assert!(notices.contains(&expected), "{notices}");
        }
        // Zeros replace the header of b; its data follow.
        let header = 512 + 1024;
        let mut holed = whole.clone();
        holed[header..header + 512].fill(0);
        let error = names(holed).unwrap_err();
        assert!(error.contains("belong to no file") && error.contains("fetch it again"), "{error}");
        // Zeros replace all of b: the hole is the only trace of it.
        let mut holed = whole;
        holed[header..header + 1024].fill(0);
        let (names, notices) = names(holed).unwrap();
        assert!(names == "a c" && notices.contains("files may be missing"), "{notices}");
    }

    #[test]
    fn joined_gzipped_archives_are_read_to_their_end() {
        let [first, second] = [archive(&[("a", b"1")]), archive(&[("b", b"2")])];
        let (plain, _) = check(&[gzip(&first), gzip(&second)].concat()).unwrap();
        assert_eq!(names(plain.to_vec()).unwrap().0, "a b");
    }
}
