//! Writes arrays that are too large to be held in memory: items come in any order and lie in nameless files until the `.npz` or
//! safetensors file is put together.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use serde_json::{Map, Value, json};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::array_writer::{FileFormat, Numbers};
use super::npy_header::header_bytes;
use crate::files::write_atomically_by;

/// Arrays on their way to a file.
pub struct ArraySpool {
    /// Where the nameless files are: they take as much room as the arrays.
    folder: PathBuf,
    arrays: Vec<Spooled>,
    words: BTreeMap<String, String>,
}

struct Spooled {
    name: String,
    shape: Vec<usize>,
    /// NumPy's and safetensors' words for the type of the numbers.
    types: (&'static str, Dtype),
    file: File,
    /// Bytes of the array, and those written so far.
    n_bytes: u64,
    n_written: u64,
}

impl ArraySpool {
    /// A spool whose files are in `folder`.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), arrays: Vec::new(), words: BTreeMap::new() }
    }

    /// Adds a word to the header of a safetensors file; `.npz` files have no place for it.
    pub fn word(&mut self, key: &str, word: &str) {
        self.words.insert(key.to_owned(), word.to_owned());
    }

    /// The names of the arrays so far.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.arrays.iter().map(|array| array.name.as_str())
    }

    /// Bytes of all arrays.
    pub fn n_bytes(&self) -> u64 {
        self.arrays.iter().map(|array| array.n_bytes).sum()
    }

    /// Writes a whole array.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    ///
    /// # Panics
    ///
    /// As [`Self::put_item`].
    pub fn put(&mut self, name: &str, shape: &[usize], numbers: Numbers) -> io::Result<()> {
        self.put_item(name, (&[], 0), shape, numbers)
    }

    /// Writes the item at `index` (in C order) of the array `[leading.., item..]`, which begins with its first item.
    ///
    /// # Errors
    ///
    /// If a file cannot be made or written, as on a full disk.
    ///
    /// # Panics
    ///
    /// If the numbers do not fill an item, or are of another type or shape than the items before.
    pub fn put_item(
        &mut self,
        name: &str,
        (leading, index): (&[usize], usize),
        item: &[usize],
        numbers: Numbers,
    ) -> io::Result<()> {
        assert_eq!(item.iter().product::<usize>(), numbers.len(), "array '{name}' of {item:?}");
        let shape = [leading, item].concat();
        let types = numbers.types();
        let bytes = numbers.into_bytes();
        let known = self.arrays.iter().position(|array| array.name == name);
        let place = match known {
            Some(place) => place,
            None => {
                let n_items = leading.iter().product::<usize>() as u64;
                self.arrays.push(Spooled {
                    name: name.to_owned(),
                    shape: shape.clone(),
                    types,
                    file: tempfile::tempfile_in(&self.folder)?,
                    n_bytes: n_items * bytes.len() as u64,
                    n_written: 0,
                });
                self.arrays.len() - 1
            }
        };
        let array = &mut self.arrays[place];
        assert_eq!((&array.shape, array.types), (&shape, types), "array '{name}'");
        array.file.seek(SeekFrom::Start(index as u64 * bytes.len() as u64))?;
        array.file.write_all(&bytes)?;
        array.n_written += bytes.len() as u64;
        Ok(())
    }

    /// Puts the arrays into one file at `path`, which is complete or not there. Equal arrays give equal bytes.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    ///
    /// # Panics
    ///
    /// If an item of an array was not written.
    pub fn finish(self, format: FileFormat, path: &Path) -> io::Result<()> {
        for array in &self.arrays {
            assert_eq!(array.n_bytes, array.n_written, "array '{}'", array.name);
        }
        write_atomically_by(path, |file| match format {
            FileFormat::Npz => self.npz(file),
            FileFormat::Safetensors => self.safetensors(file),
        })
    }

    fn npz(self, file: &mut File) -> io::Result<()> {
        let mut zip = ZipWriter::new(BufWriter::new(file));
        for mut array in self.arrays {
            let header = header_bytes(array.types.0, &array.shape);
            let options = SimpleFileOptions::default()
                .compression_method(CompressionMethod::Stored)
                .last_modified_time(DateTime::default())
                .large_file(array.n_bytes + header.len() as u64 > u64::from(u32::MAX));
            zip.start_file(format!("{}.npy", array.name), options)?;
            zip.write_all(&header)?;
            array.file.rewind()?;
            io::copy(&mut array.file, &mut zip)?;
        }
        zip.finish()?.flush()
    }

    /// The format: eight bytes with the length of a JSON object, the object with type, shape and place of each array, padded
    /// to a multiple of eight, and the numbers. The largest numbers come first, so that all are aligned.
    fn safetensors(mut self, file: &mut File) -> io::Result<()> {
        let place = |array: &Spooled| (Reverse(array.types.1.bitsize()), array.name.clone());
        self.arrays.sort_by_key(place);
        let mut header = Map::new();
        if !self.words.is_empty() {
            header.insert("__metadata__".to_owned(), json!(self.words));
        }
        let mut start = 0;
        for array in &self.arrays {
            let end = start + array.n_bytes;
            let entry = json!({
                "dtype": array.types.1.to_string(), "shape": array.shape, "data_offsets": [start, end],
            });
            header.insert(array.name.clone(), entry);
            start = end;
        }
        let mut text = Value::Object(header).to_string();
        let n_padded = text.len().next_multiple_of(8);
        text.extend(std::iter::repeat_n(' ', n_padded - text.len()));
        let mut out = BufWriter::new(file);
        out.write_all(&(text.len() as u64).to_le_bytes())?;
        out.write_all(text.as_bytes())?;
        for array in &mut self.arrays {
            array.file.rewind()?;
            io::copy(&mut array.file, &mut out)?;
        }
        out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrays::{ArrayFile, ArrayWriter};

    #[test]
    fn items_in_any_order_give_the_file_that_is_written_at_once() {
        let folder = tempfile::tempdir().unwrap();
        for format in [FileFormat::Npz, FileFormat::Safetensors] {
            let mut spool = ArraySpool::new(folder.path());
            spool.word("run", "a");
            spool.put("seeds", &[2], Numbers::I64(vec![7, -1])).unwrap();
            spool.put("bytes", &[3], Numbers::U8(vec![1, 2, 255])).unwrap();
            for index in [3, 0, 2, 1] {
                let item = vec![index as f32, 0.5 + index as f32];
                spool.put_item("els/states", (&[2, 2], index), &[2], Numbers::F32(item)).unwrap();
            }
            spool.put("empty", &[0, 3], Numbers::I32(Vec::new())).unwrap();
            spool.put("t", &[1], Numbers::F64(vec![0.25])).unwrap();
            assert_eq!(spool.names().count(), 5);
            assert_eq!(spool.n_bytes(), 16 + 3 + 32 + 8);
            let path = folder.path().join(format!("a.{format}"));
            spool.finish(format, &path).unwrap();
            let at_once = ArrayWriter::new()
                .word("run", "a")
                .array("seeds", &[2], Numbers::I64(vec![7, -1]))
                .array("bytes", &[3], Numbers::U8(vec![1, 2, 255]))
                .array(
                    "els/states",
                    &[2, 2, 2],
                    Numbers::F32(vec![0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5]),
                )
                .array("empty", &[0, 3], Numbers::I32(Vec::new()))
                .array("t", &[1], Numbers::F64(vec![0.25]));
            let expected = folder.path().join(format!("b.{format}"));
            std::fs::write(&expected, at_once.into_bytes(format)).unwrap();
            let (read, expected) =
                (ArrayFile::open(&path).unwrap(), ArrayFile::open(&expected).unwrap());
            assert_eq!(read.arrays().len(), 5);
            for info in expected.arrays() {
                let (a, b) = (read.read(&info.name).unwrap(), expected.read(&info.name).unwrap());
                assert_eq!(a, b, "{} as {format}", info.name);
            }
        }
        let bytes = std::fs::read(folder.path().join("a.safetensors")).unwrap();
        let file = crate::arrays::safetensors_file::TensorFile::parse(&bytes).unwrap();
        assert_eq!(file.word("run").unwrap(), "a");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4, "nothing is left beside");
    }

    #[test]
    #[should_panic(expected = "array 'x'")]
    fn an_array_that_lacks_an_item_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = ArraySpool::new(folder.path());
        spool.put_item("x", (&[2], 1), &[1], Numbers::U8(vec![1])).unwrap();
        let _ = spool.finish(FileFormat::Npz, &folder.path().join("a.npz"));
    }
}
