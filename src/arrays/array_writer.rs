//! Writes arrays by name to `.npz` or safetensors files, which other programs read.

use std::collections::HashMap;
use std::io::{Cursor, Write};
use std::path::Path;

use safetensors::Dtype;
use strum::{Display, EnumString, IntoStaticStr};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::npy_header::header_bytes;
use super::safetensors_file;

/// A format of files of arrays, called by the ending of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumString, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum FileFormat {
    /// Not compressed, as by `numpy.savez`.
    Npz,
    Safetensors,
}

impl FileFormat {
    /// The format for a file of this name; `None` if its ending is of neither.
    pub fn of_path(path: &Path) -> Option<Self> {
        path.extension()?.to_str()?.to_ascii_lowercase().parse().ok()
    }
}

/// Numbers of an array in C order.
#[derive(Clone, Debug, PartialEq)]
pub enum Numbers {
    U8(Vec<u8>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl Numbers {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::U8(all) => all.len(),
            Self::I32(all) => all.len(),
            Self::I64(all) => all.len(),
            Self::F32(all) => all.len(),
            Self::F64(all) => all.len(),
        }
    }

    /// NumPy's and safetensors' words for the type.
    pub(super) fn types(&self) -> (&'static str, Dtype) {
        match self {
            Self::U8(_) => ("|u1", Dtype::U8),
            Self::I32(_) => ("<i4", Dtype::I32),
            Self::I64(_) => ("<i8", Dtype::I64),
            Self::F32(_) => ("<f4", Dtype::F32),
            Self::F64(_) => ("<f8", Dtype::F64),
        }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::U8(all) => all,
            Self::I32(all) => all.into_iter().flat_map(i32::to_le_bytes).collect(),
            Self::I64(all) => all.into_iter().flat_map(i64::to_le_bytes).collect(),
            Self::F32(all) => all.into_iter().flat_map(f32::to_le_bytes).collect(),
            Self::F64(all) => all.into_iter().flat_map(f64::to_le_bytes).collect(),
        }
    }
}

/// Arrays to be written to one file, which is made in memory.
#[derive(Clone, Debug, Default)]
pub struct ArrayWriter {
    arrays: Vec<(String, Vec<usize>, Numbers)>,
    words: HashMap<String, String>,
}

impl ArrayWriter {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an array.
    ///
    /// # Panics
    ///
    /// If the numbers do not fill the shape, or if there is an array of that name.
    pub fn array(mut self, name: &str, shape: &[usize], numbers: Numbers) -> Self {
        assert_eq!(shape.iter().product::<usize>(), numbers.len(), "array '{name}' of {shape:?}");
        assert!(self.arrays.iter().all(|(known, ..)| known != name), "two arrays '{name}'");
        self.arrays.push((name.to_owned(), shape.to_vec(), numbers));
        self
    }

    /// Adds a word to the header of a safetensors file; `.npz` files have no place for it.
    pub fn word(mut self, key: &str, word: &str) -> Self {
        self.words.insert(key.to_owned(), word.to_owned());
        self
    }

    /// The content of the file. Equal arrays give equal bytes.
    pub fn into_bytes(self, format: FileFormat) -> Vec<u8> {
        match format {
            FileFormat::Npz => self.npz(),
            FileFormat::Safetensors => self.safetensors(),
        }
    }

    fn npz(self) -> Vec<u8> {
        // Writing to memory cannot fail, and names and sizes are those of arrays that exist.
        const INFALLIBLE: &str = "an archive in memory";
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, shape, numbers) in self.arrays {
            let header = header_bytes(numbers.types().0, &shape);
            let bytes = numbers.into_bytes();
            let options = SimpleFileOptions::default()
                .compression_method(CompressionMethod::Stored)
                .last_modified_time(DateTime::default())
                .large_file(bytes.len() + header.len() > u32::MAX as usize);
            zip.start_file(format!("{name}.npy"), options).expect(INFALLIBLE);
            zip.write_all(&header).expect(INFALLIBLE);
            zip.write_all(&bytes).expect(INFALLIBLE);
        }
        zip.finish().expect(INFALLIBLE).into_inner()
    }

    fn safetensors(self) -> Vec<u8> {
        let of = |(name, shape, numbers): (String, Vec<usize>, Numbers)| {
            let dtype = numbers.types().1;
            (name, dtype, shape, numbers.into_bytes())
        };
        let arrays: Vec<safetensors_file::Array> = self.arrays.into_iter().map(of).collect();
        let words = (!self.words.is_empty()).then_some(self.words);
        safetensors_file::to_bytes(&arrays, words).expect("bytes that fill the shapes")
    }
}
