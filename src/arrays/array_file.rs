//! A file of arrays, opened by its content: `.npy`, `.npz` or safetensors.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::array::{Array, Storage};
use super::element_type::ElementType;
use super::error::ArrayError;
use super::npy_header::NpyHeader;
use super::npz_archive::{Member, NpzArchive};
use super::safetensors_file::TensorFile;
use crate::files::file_kind::FileKind;
use crate::files::read_or_map_file;

/// Maximum number of arrays listed in an error.
const LISTED_MAX: usize = 12;

/// Name, shape and type of an array.
#[derive(Clone, Debug, PartialEq)]
pub struct ArrayInfo {
    /// Empty for the only array of a `.npy` file.
    pub name: String,
    pub shape: Vec<usize>,
    /// The type of its numbers, or in words why they are not read.
    pub element: Result<ElementType, String>,
}

/// Where the numbers of an array are.
enum Place {
    Slice(Storage, Bytes),
    Member(Storage, Member),
    /// They are of a type that is not read.
    Unread,
}

/// An open file: its arrays are listed, and read on demand. A file larger than half of the memory is mapped
/// ([`read_or_map_file`]).
pub struct ArrayFile {
    path: PathBuf,
    arrays: Vec<(ArrayInfo, Place)>,
    others: Vec<String>,
    archive: Option<NpzArchive>,
}

impl ArrayFile {
    /// Opens a file and lists its arrays.
    ///
    /// # Errors
    ///
    /// If it cannot be read, is of another kind, is truncated or damaged.
    pub fn open(path: &Path) -> Result<Self, ArrayError> {
        let bytes = read_or_map_file::read(path)
            .map_err(|source| ArrayError::Read { path: path.to_owned(), source })?;
        let mut file =
            Self { path: path.to_owned(), arrays: Vec::new(), others: Vec::new(), archive: None };
        match FileKind::of(&bytes) {
            FileKind::Npy => file.arrays.push(npy(path, bytes)?),
            // An archive may hold no array, or name the first one far behind other members.
            FileKind::Npz | FileKind::Zip => file.list_archive(bytes)?,
            _ => file.list_tensors(&bytes)?,
        }
        Ok(file)
    }

    /// The arrays, in the order of an archive, or by name.
    pub fn arrays(&self) -> impl ExactSizeIterator<Item = &ArrayInfo> {
        self.arrays.iter().map(|(info, _)| info)
    }

    /// Names of members of an archive that are no arrays.
    pub fn others(&self) -> &[String] {
        &self.others
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the array of this name.
    ///
    /// # Errors
    ///
    /// If there is none, if it is of a type that is not read, or if it is damaged or too large for the memory.
    pub fn read(&self, name: &str) -> Result<Array, ArrayError> {
        let found = self.arrays.iter().find(|(info, _)| info.name == name);
        let (info, place) = found.ok_or_else(|| ArrayError::Missing {
            path: self.path.clone(),
            name: name.to_owned(),
            found: self.listing(),
        })?;
        match (place, &info.element, &self.archive) {
            (Place::Slice(storage, bytes), ..) => {
                Ok(Array::new(info.shape.clone(), *storage, bytes.clone()))
            }
            (Place::Member(storage, member), _, Some(archive)) => {
                archive.read(&self.path, member, *storage)
            }
            (_, Err(problem), _) => Err(ArrayError::array(&self.path, name, problem)),
            _ => Err(ArrayError::array(&self.path, name, "it is not read")),
        }
    }

    /// The arrays in words, each with shape and type.
    pub fn listing(&self) -> String {
        let words = |(info, _): &(ArrayInfo, Place)| {
            let element =
                info.element.as_ref().map_or("not numbers".to_owned(), ToString::to_string);
            match info.name.is_empty() {
                true => format!("one array {:?} {element}", info.shape),
                false => format!("'{}' {:?} {element}", info.name, info.shape),
            }
        };
        let all: Vec<String> = self.arrays.iter().take(LISTED_MAX).map(words).collect();
        match self.arrays.len().saturating_sub(LISTED_MAX) {
            0 if all.is_empty() => "no arrays".to_owned(),
            0 => all.join(", "),
            n => format!("{} and {n} more", all.join(", ")),
        }
    }

    fn list_archive(&mut self, bytes: Bytes) -> Result<(), ArrayError> {
        let mut archive = NpzArchive::open(&self.path, bytes)?;
        let members = archive.members(&self.path)?;
        for member in members.arrays {
            let NpyHeader { shape, storage, .. } = member.header.clone();
            let info = info(&member.name, shape, &storage);
            let place = storage.map_or(Place::Unread, |storage| Place::Member(storage, member));
            self.arrays.push((info, place));
        }
        self.others = members.others;
        self.archive = Some(archive);
        if self.arrays.is_empty() {
            let problem = "it is a zip archive without arrays (.npy); write it with numpy.savez";
            return Err(ArrayError::file(&self.path, problem));
        }
        Ok(())
    }

    fn list_tensors(&mut self, bytes: &Bytes) -> Result<(), ArrayError> {
        let refused = |problem| ArrayError::file(&self.path, problem);
        let file = TensorFile::parse(bytes).map_err(|problem| match FileKind::of(bytes) {
            FileKind::Safetensors => refused(problem),
            kind => refused(format!(
                "it is {kind}, not a NumPy (.npy, .npz) or safetensors file; {}",
                kind.advice()
            )),
        })?;
        let mut names: Vec<&str> = file.names().collect();
        names.sort_unstable();
        for name in names {
            let tensor = file.tensor(name).map_err(refused)?;
            let storage = ElementType::of_safetensors(tensor.dtype())
                .map(|element| Storage { element, is_big_endian: false, is_fortran: false })
                .ok_or_else(|| {
                    let kind = tensor.dtype();
                    format!("it holds numbers of the type '{kind:?}'; save it as uint8, int64 or float32")
                });
            let info = info(name, tensor.shape().to_vec(), &storage);
            let place = storage.map_or(Place::Unread, |storage| {
                Place::Slice(storage, bytes.slice_ref(tensor.data()))
            });
            self.arrays.push((info, place));
        }
        Ok(())
    }
}

fn info(name: &str, shape: Vec<usize>, storage: &Result<Storage, String>) -> ArrayInfo {
    let element = storage.as_ref().map(|storage| storage.element).map_err(Clone::clone);
    ArrayInfo { name: name.to_owned(), shape, element }
}

/// The only array of a `.npy` file.
fn npy(path: &Path, bytes: Bytes) -> Result<(ArrayInfo, Place), ArrayError> {
    let refused = |problem| ArrayError::file(path, problem);
    let header = NpyHeader::read(&mut &bytes[..]).map_err(refused)?;
    let NpyHeader { shape, storage, n_bytes } = &header;
    let info = info("", shape.clone(), storage);
    let Ok(storage) = storage else { return Ok((info, Place::Unread)) };
    let (expected, found) =
        (header.n_data_bytes(*storage).map_err(refused)?, bytes.len() - n_bytes);
    if found != expected {
        let advice = match found < expected {
            true => "the file is truncated, write it or fetch it again",
            false => {
                "numpy.save was perhaps called twice on one file; use numpy.savez for several arrays"
            }
        };
        return Err(refused(format!(
            "its header claims '{expected}' bytes (shape {shape:?} of {}), but '{found}' follow; {advice}",
            storage.element
        )));
    }
    Ok((info, Place::Slice(*storage, bytes.slice(n_bytes..))))
}

#[cfg(test)]
#[path = "array_file_tests.rs"]
mod tests;
