//! Safetensors files: arrays by name, and a header of words. Which ones a file holds is up to its writer.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};

use crate::files::file_kind::not_safetensors;

/// The content of a file.
pub struct TensorFile<'a> {
    tensors: SafeTensors<'a>,
    header: HashMap<String, String>,
}

impl<'a> TensorFile<'a> {
    /// Reads the content of a file.
    ///
    /// # Errors
    ///
    /// Says what the file is instead, in words that follow its name.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        let failed = |error| not_safetensors(bytes, error);
        let tensors = SafeTensors::deserialize(bytes).map_err(failed)?;
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(failed)?;
        Ok(Self { tensors, header: metadata.metadata().clone().unwrap_or_default() })
    }

    /// A word of the header.
    ///
    /// # Errors
    ///
    /// If there is none of this key.
    pub fn word(&self, key: &str) -> Result<&String, String> {
        self.header.get(key).ok_or_else(|| format!("its header lacks '{key}'"))
    }

    /// The names of all arrays.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.names().into_iter()
    }

    /// The array of this name.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn tensor(&self, name: &str) -> Result<TensorView<'a>, String> {
        self.tensors.tensor(name).map_err(|error| error.to_string())
    }
}

/// An array to write: its name, the type of its numbers, its sizes, and its numbers in little-endian bytes.
pub type Array = (String, Dtype, Vec<usize>, Vec<u8>);

/// The content of a file with these arrays.
///
/// # Errors
///
/// If the bytes of an array are not those of its sizes.
pub fn to_bytes(
    arrays: &[Array],
    header: Option<HashMap<String, String>>,
) -> Result<Vec<u8>, SafeTensorError> {
    let views = arrays.iter().map(|(name, dtype, sizes, bytes)| {
        Ok((name.as_str(), TensorView::new(*dtype, sizes.clone(), bytes)?))
    });
    safetensors::serialize(views.collect::<Result<Vec<_>, SafeTensorError>>()?, header)
}
