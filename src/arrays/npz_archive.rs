//! NumPy's `.npz`: a zip archive whose members are `.npy` files, stored (`numpy.savez`) or deflated
//! (`numpy.savez_compressed`).
//!
//! A stored member shares memory with the file. A deflated one is unpacked in one piece, and never beyond the length
//! that its own header gives. That length has to agree with the archive's, which may be at most [`DEFLATE_RATIO`] times
//! the packed length.

use std::io::{Cursor, Read};
use std::path::Path;

use bytes::Bytes;
use zip::{CompressionMethod, ZipArchive};

use super::array::{Array, Storage};
use super::error::ArrayError;
use super::npy_header::NpyHeader;
use crate::files::read_or_map_file::in_memory_max;

/// Deflate packs at most 1,032 bytes into one.
const DEFLATE_RATIO: u64 = 1032;
/// Most members of an archive, each of which takes memory before it is read.
const MEMBERS_MAX: usize = 100_000;

/// An archive in memory.
pub struct NpzArchive {
    bytes: Bytes,
    zip: ZipArchive<Cursor<Bytes>>,
}

/// A member that is an array.
#[derive(Clone, Debug)]
pub struct Member {
    pub name: String,
    pub header: NpyHeader,
    index: usize,
}

/// The members of an archive.
pub struct Members {
    pub arrays: Vec<Member>,
    /// Names of members that are no arrays.
    pub others: Vec<String>,
}

impl NpzArchive {
    /// Reads the archive's directory.
    ///
    /// # Errors
    ///
    /// If it is damaged, or if two members have one name.
    pub fn open(path: &Path, bytes: Bytes) -> Result<Self, ArrayError> {
        let zip = ZipArchive::new(Cursor::new(bytes.clone())).map_err(|error| {
            let problem = format!(
                "it is a zip archive that is truncated or damaged ({error}); write it or fetch it again"
            );
            ArrayError::file(path, problem)
        })?;
        if zip.has_duplicate_names() {
            let problem = "two arrays in it have the same name, so that one of them would be lost; write it again";
            return Err(ArrayError::file(path, problem));
        }
        if zip.len() > MEMBERS_MAX {
            let problem = format!("it holds {} members; at most {MEMBERS_MAX} are read", zip.len());
            return Err(ArrayError::file(path, problem));
        }
        Ok(Self { bytes, zip })
    }

    /// Lists the members in their order and reads the headers of arrays.
    ///
    /// # Errors
    ///
    /// If a member cannot be unpacked or has a damaged header, or if a name is not UTF-8.
    pub fn members(&mut self, path: &Path) -> Result<Members, ArrayError> {
        let mut members = Members { arrays: Vec::new(), others: Vec::new() };
        for index in 0..self.zip.len() {
            let raw = self.zip.by_index_raw(index).map_err(|error| damaged(path, "", error))?;
            let Ok(full) = String::from_utf8(raw.name_raw().to_vec()) else {
                let name = String::from_utf8_lossy(raw.name_raw()).into_owned();
                let problem = "its name is not UTF-8; write the file again with another name";
                return Err(ArrayError::array(path, &name, problem));
            };
            let is_folder = raw.is_dir();
            drop(raw);
            let Some(name) = full.strip_suffix(".npy").filter(|_| !is_folder) else {
                members.others.extend((!is_folder).then_some(full));
                continue;
            };
            let mut file = self.zip.by_index(index).map_err(|error| damaged(path, name, error))?;
            let header = NpyHeader::read(&mut file)
                .map_err(|problem| ArrayError::array(path, name, problem))?;
            members.arrays.push(Member { name: name.to_owned(), header, index });
        }
        Ok(members)
    }

    /// Reads one array.
    ///
    /// # Errors
    ///
    /// If the lengths of archive and header differ, if the member does not fit into memory, or if it is damaged.
    pub fn read(
        &self,
        path: &Path,
        member: &Member,
        storage: Storage,
    ) -> Result<Array, ArrayError> {
        let refused = |problem: String| ArrayError::array(path, &member.name, problem);
        let n_data = member.header.n_data_bytes(storage).map_err(refused)?;
        let mut zip = self.zip.clone();
        let mut file =
            zip.by_index(member.index).map_err(|error| damaged(path, &member.name, error))?;
        let expected = n_data as u64 + member.header.n_bytes as u64;
        if file.size() != expected {
            return Err(refused(format!(
                "its header claims '{expected}' bytes (shape {:?} of {}), but the archive holds '{}' of it; write it or \
                 fetch it again",
                member.header.shape,
                storage.element,
                file.size()
            )));
        }
        let bytes = match file.compression() {
            CompressionMethod::Stored => {
                let start = file.data_start().and_then(|start| usize::try_from(start).ok());
                let place =
                    start.and_then(|start| Some(start..start.checked_add(expected as usize)?));
                let whole = place.filter(|place| place.end <= self.bytes.len());
                let whole = whole.ok_or_else(|| refused(cut_short(expected)))?;
                let whole = self.bytes.slice(whole);
                if crc32fast::hash(&whole) != file.crc32() {
                    return Err(refused(
                        "its checksum is wrong; write it or fetch it again".to_owned(),
                    ));
                }
                whole.slice(member.header.n_bytes..)
            }
            _ => {
                let packed_max =
                    file.compressed_size().saturating_mul(DEFLATE_RATIO) + DEFLATE_RATIO;
                if expected > packed_max {
                    return Err(refused(format!(
                        "it claims '{expected}' bytes, more than its '{}' packed bytes can hold; write it again",
                        file.compressed_size()
                    )));
                }
                if expected > in_memory_max() {
                    return Err(refused(format!(
                        "it unpacks to '{expected}' bytes, more than half of this computer's memory; write it with \
                         numpy.save, whose files may be larger than memory"
                    )));
                }
                unpacked(&mut file, member.header.n_bytes, n_data).map_err(refused)?.into()
            }
        };
        Ok(Array::new(member.header.shape.clone(), storage, bytes))
    }
}

fn cut_short(expected: u64) -> String {
    format!("it is cut short: '{expected}' bytes are claimed; write it or fetch it again")
}

/// Unpacks `n_data` bytes after a header of `n_header`, and reads to the end, where the checksum is compared.
fn unpacked(file: &mut impl Read, n_header: usize, n_data: usize) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| {
        format!("it is truncated or damaged ({error}); write it or fetch it again")
    };
    let mut header = Vec::new();
    file.take(n_header as u64).read_to_end(&mut header).map_err(failed)?;
    let mut data = Vec::new();
    file.take(n_data as u64 + 1).read_to_end(&mut data).map_err(failed)?;
    match data.len() == n_data {
        true => Ok(data),
        false => Err(cut_short((n_header + n_data) as u64)),
    }
}

fn damaged(path: &Path, name: &str, error: zip::result::ZipError) -> ArrayError {
    use zip::result::ZipError::UnsupportedArchive;
    let problem = match error {
        UnsupportedArchive(what) => {
            format!(
                "it is packed in a way that NumPy does not use ({what}); write it with numpy.savez"
            )
        }
        error => format!("it is truncated or damaged ({error}); write it or fetch it again"),
    };
    ArrayError::array(path, name, problem)
}
