//! A file of weights, of any format that is read: PyTorch's, by what is in it, or safetensors.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use bytes::Bytes;
use safetensors::SafeTensors;

use super::error::WeightsError;
use super::exported_weights::{ExportedHeader, HEADER_KEY};
use super::network_among_tensors::{self, FoundNetwork};
use super::number_type::NumberType;
use super::settings_of_tensors::{self, SettingsOfTensors};
use super::stored_tensor::StoredTensor;
use super::tensors_by_path::{self, NamedTensors};
use super::torch_file::{PICKLE_MAGIC, TorchFile, ZIP_MAGIC};
use crate::files::file_kind::FileKind;
use crate::files::read_or_map_file;

/// A network in a file.
pub struct WeightsFile {
    pub network: FoundNetwork,
    pub told: SettingsOfTensors,
    /// What mosaic wrote about weights that it exported.
    pub header: Option<ExportedHeader>,
}

/// The bytes of a file. They are held in memory or in a copy, so they do not change meanwhile.
///
/// # Errors
///
/// If it cannot be read.
pub fn read(path: &Path) -> io::Result<Bytes> {
    read_or_map_file::read_regular(path)
}

impl WeightsFile {
    /// Finds the network in a file's bytes.
    ///
    /// # Errors
    ///
    /// If the file is of another kind, damaged, wants anything executed, or holds no network that is computed here.
    pub fn parse(bytes: &Bytes) -> Result<Self, WeightsError> {
        let (mut named, header) = match bytes.first() {
            _ if bytes.starts_with(ZIP_MAGIC) => (of_torch(bytes)?, None),
            Some(&PICKLE_MAGIC) => (of_torch(bytes)?, None),
            _ => of_safetensors(bytes)?,
        };
        let tensors = std::mem::take(&mut named.tensors);
        let network = network_among_tensors::find(tensors)?;
        let told =
            settings_of_tensors::read(&network.tensors, &named, &network.prefix, header.is_some())?;
        check_amount(&network.tensors, bytes.len())?;
        Ok(Self { network, told, header })
    }
}

fn of_torch(bytes: &Bytes) -> Result<NamedTensors, WeightsError> {
    tensors_by_path::collect(&TorchFile::parse(bytes)?)
}

fn of_safetensors(bytes: &Bytes) -> Result<(NamedTensors, Option<ExportedHeader>), WeightsError> {
    let not_weights = || WeightsError::NotWeights { found: FileKind::of(bytes).to_string() };
    let Ok(file) = SafeTensors::deserialize(bytes) else {
        return Err(match FileKind::of(bytes) {
            FileKind::Safetensors => {
                WeightsError::damaged("its safetensors header does not fit its size")
            }
            _ => not_weights(),
        });
    };
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|_| not_weights())?;
    let words = metadata.metadata().as_ref().and_then(|words| words.get(HEADER_KEY));
    let header = words.map(|words| ExportedHeader::parse(words)).transpose()?;
    let mut named = NamedTensors::default();
    for (name, view) in file.tensors() {
        let Some(kind) = NumberType::of_safetensors(view.dtype()) else {
            return Err(WeightsError::tensor(
                &name,
                format!("holds numbers of type {:?}", view.dtype()),
            ));
        };
        let tensor = StoredTensor::row_major(kind, view.shape(), bytes.slice_ref(view.data()))
            .map_err(|problem| WeightsError::tensor(&name, problem))?;
        named.tensors.insert(name, tensor);
    }
    Ok((named, header))
}

/// Refuses tensors that share numbers so often that they would take far more memory than the file.
fn check_amount(
    tensors: &BTreeMap<String, StoredTensor>,
    n_bytes: usize,
) -> Result<(), WeightsError> {
    let n_values: usize = tensors.values().map(StoredTensor::n_values).sum();
    match n_values <= n_bytes {
        true => Ok(()),
        false => Err(WeightsError::damaged(format!(
            "its tensors have {n_values} values, but the file has only {n_bytes} bytes"
        ))),
    }
}
