//! PyTorch's files: the bytes of the pickle and of each storage, from `torch.save`'s zip archives (since PyTorch 1.6), from
//! its older format, or from a plain pickle without tensors.
//!
//! ```text
//! zip     NAME/data.pkl, NAME/data/KEY (one per storage), NAME/version, NAME/byteorder; stored, not compressed
//! older   pickle of a magic number, of the version, of the system, of the object, of the storages' keys;
//!         then for each key the number of elements, 8 bytes, and their bytes
//! ```

use std::collections::BTreeMap;
use std::io::Cursor;

use bytes::Bytes;
use zip::{CompressionMethod, ZipArchive};

use super::error::WeightsError;
use super::number_type::NumberType;
use super::permitted_calls::KEY_BYTES_MAX;
use super::pickle_machine::{self, Pickled};
use super::pickle_objects::{Object, Objects, StorageName};

/// First bytes of a zip archive.
pub const ZIP_MAGIC: &[u8] = b"PK\x03\x04";
/// First byte of pickles of protocol 2 and later.
pub const PICKLE_MAGIC: u8 = 0x80;
/// The pickles of `0x1950a86a20f9469cfc6c` and of version 1001.
const OLDER_MAGIC: &[u8] =
    b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.";
/// Most entries of an archive that are looked at.
const ENTRIES_MAX: usize = 50_000;

/// The content of a file.
pub struct TorchFile {
    pub pickled: Pickled,
    storages: BTreeMap<String, Bytes>,
}

impl TorchFile {
    /// Reads a file's bytes.
    ///
    /// # Errors
    ///
    /// If they are damaged, or the pickle is refused.
    pub fn parse(bytes: &Bytes) -> Result<Self, WeightsError> {
        if bytes.starts_with(ZIP_MAGIC) {
            return of_archive(bytes);
        }
        if bytes.starts_with(OLDER_MAGIC) {
            return of_older_format(bytes);
        }
        Ok(Self { pickled: pickle_machine::read(bytes)?, storages: BTreeMap::new() })
    }

    /// The bytes of a storage.
    ///
    /// # Errors
    ///
    /// If the file has none, or fewer bytes than the pickle claims.
    pub fn storage(&self, storage: &StorageName) -> Result<(NumberType, Bytes), WeightsError> {
        let StorageName { key, kind, n_elements } = storage;
        let Some(number_type) = NumberType::of_storage(kind) else {
            let what = format!("tensors of the type '{}'", kind.escape_debug());
            return Err(WeightsError::Unsupported { what });
        };
        let found = self.storages.get(key);
        let found = found.ok_or_else(|| {
            WeightsError::damaged(format!("the numbers '{}' are missing", key.escape_debug()))
        })?;
        let n_bytes = n_elements.checked_mul(number_type.n_bytes());
        match n_bytes {
            Some(n_bytes) if n_bytes <= found.len() => Ok((number_type, found.slice(..n_bytes))),
            _ => Err(WeightsError::damaged(format!(
                "'{}' should hold {n_elements} numbers of {} bytes, but has {} bytes",
                key.escape_debug(),
                number_type.n_bytes(),
                found.len()
            ))),
        }
    }
}

fn of_archive(bytes: &Bytes) -> Result<TorchFile, WeightsError> {
    let broken = |error: zip::result::ZipError| {
        WeightsError::damaged(format!("its zip archive cannot be read ({error})"))
    };
    let mut archive = ZipArchive::new(Cursor::new(&bytes[..])).map_err(broken)?;
    if archive.len() > ENTRIES_MAX {
        return Err(WeightsError::TooMany { most: ENTRIES_MAX, what: "entries" });
    }
    let mut pickle = None;
    let mut is_program = false;
    // Entries of an archive do not overlap, so checking them takes no longer than reading the file.
    let mut n_bytes_left = bytes.len();
    let mut storages = BTreeMap::new();
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(broken)?;
        let name = entry.name().map_err(broken)?.into_owned();
        let Some((_, inner)) = name.split_once('/') else { continue };
        is_program |= inner.starts_with("code/");
        let key = inner.strip_prefix("data/");
        if !matches!(inner, "data.pkl" | "byteorder") && key.is_none() {
            continue;
        }
        if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
            let what = format!("a compressed or encrypted entry, '{}'", name.escape_debug());
            return Err(WeightsError::Unsupported { what });
        }
        let data = data_of(bytes, entry.data_start(), entry.size());
        let data = data.filter(|data| {
            let left = n_bytes_left.checked_sub(data.len());
            n_bytes_left = left.unwrap_or(0);
            left.is_some() && crc32fast::hash(data) == entry.crc32()
        });
        let data = data.ok_or_else(|| {
            let problem = format!("'{}' in it is cut short or changed", name.escape_debug());
            WeightsError::damaged(problem)
        })?;
        match (inner, key) {
            ("data.pkl", _) if pickle.is_none() => pickle = Some(data),
            ("byteorder", _) if data.trim_ascii() == b"big" => return Err(big_endian()),
            (_, Some(key)) => drop(storages.insert(key.to_owned(), data)),
            _ => {}
        }
    }
    if is_program {
        let what = "TorchScript, a compiled program,".to_owned();
        return Err(WeightsError::Unsupported { what });
    }
    let pickle = pickle.ok_or_else(|| WeightsError::NotWeights {
        found: "a zip archive without 'data.pkl'".to_owned(),
    })?;
    Ok(TorchFile { pickled: pickle_machine::read(&pickle)?, storages })
}

/// The bytes of an archive's entry, shared with the file's.
fn data_of(bytes: &Bytes, start: Option<u64>, size: u64) -> Option<Bytes> {
    let start = usize::try_from(start?).ok()?;
    let end = start.checked_add(usize::try_from(size).ok()?)?;
    (end <= bytes.len()).then(|| bytes.slice(start..end))
}

fn big_endian() -> WeightsError {
    WeightsError::Unsupported { what: "numbers in big-endian order".to_owned() }
}

fn of_older_format(bytes: &Bytes) -> Result<TorchFile, WeightsError> {
    let mut rest = bytes.slice(OLDER_MAGIC.len()..);
    let system = pickle_machine::read(&rest)?;
    let order = system.objects.entry(system.root, "little_endian");
    if order.is_some_and(|order| *system.objects.get(order) == Object::Bool(false)) {
        return Err(big_endian());
    }
    rest = rest.slice(system.n_bytes..);
    let pickled = pickle_machine::read(&rest)?;
    rest = rest.slice(pickled.n_bytes..);
    let keys = pickle_machine::read(&rest)?;
    rest = rest.slice(keys.n_bytes..);
    let types = types_of_storages(&pickled.objects);
    let mut storages = BTreeMap::new();
    for &key in keys.objects.items(keys.root).unwrap_or_default() {
        let key = match keys.objects.get(key) {
            Object::Text(key) if key.len() <= KEY_BYTES_MAX => key.to_string(),
            Object::Int(key) => key.to_string(),
            _ => return Err(WeightsError::damaged("its list of storages is none")),
        };
        // Without its type, the size of what follows is unknown.
        let kind = types.get(&key).and_then(|kind| NumberType::of_storage(kind));
        let kind = kind.ok_or_else(|| WeightsError::Unsupported {
            what: format!("the storage '{}' of an unknown type", key.escape_debug()),
        })?;
        let n = rest.first_chunk::<8>().map(|n| u64::from_le_bytes(*n));
        let end =
            n.and_then(|n| usize::try_from(n).ok()?.checked_mul(kind.n_bytes())?.checked_add(8));
        let end = end.filter(|&end| end <= rest.len()).ok_or_else(|| {
            WeightsError::damaged(format!("it ends within the numbers '{}'", key.escape_debug()))
        })?;
        storages.insert(key, rest.slice(8..end));
        rest = rest.slice(end..);
    }
    Ok(TorchFile { pickled, storages })
}

/// The types of all storages by their keys.
fn types_of_storages(objects: &Objects) -> BTreeMap<String, String> {
    let storages = objects.all().filter_map(|object| match object {
        Object::Storage(storage) => Some((storage.key.clone(), storage.kind.clone())),
        _ => None,
    });
    storages.collect()
}
