//! Data sets from Parquet tables of image files, as the Hugging Face hub ships them.
//!
//! ```text
//! image  {bytes: the content of a PNG, JPEG or WebP file, path}, or bytes alone
//! label  an integer (optional)
//! ```
//!
//! Rows are in the order of the shards. Only chosen images are decoded. What pages claim to unpack to is checked before
//! they are unpacked (`parquet_pages.rs`).

use std::path::{Path, PathBuf};

use bytes::Bytes;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, ByteArrayType, DataType};
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use rayon::prelude::*;

use super::error::{DatasetError, Failures};
use super::fit_to_square::Fit;
use super::image_set::Dataset;
use super::integer_labels::IntegerLabels;
use super::parquet_columns::{self, Column};
use super::parquet_pages;
use super::parquet_shards::{self, Shards};
use super::pictures_to_pixels::{classes_in_words, given_up, sizes, stacked};
use super::png_jpeg_webp::{Picture, decode_picture};
use crate::console::panics_of_decoders::unless_it_panics;
use crate::files::file_kind::FileKind;
use crate::files::read_or_map_file::read_regular;

/// Rows that are read at once.
const BATCH: usize = 64;

/// Where the tables are, and how their images are to be read.
#[derive(Clone, Debug, PartialEq)]
pub struct TableSource {
    /// A file, or a directory of shards.
    pub path: PathBuf,
    /// The part of the set (`train`), if the directory has several.
    pub split: Option<String>,
    /// Recognised if `None`.
    pub image_column: Option<String>,
    /// Recognised if `None`; `none` for no labels.
    pub label_column: Option<String>,
    pub fit: Fit,
}

/// One file of a table.
struct Shard {
    path: PathBuf,
    bytes: Bytes,
    reader: SerializedFileReader<Bytes>,
    n_rows: usize,
    images: Column,
    labels: Option<Column>,
}

/// What is read from shards.
#[derive(Default)]
struct Rows {
    pictures: Vec<Picture>,
    labels: Vec<i64>,
    failures: Vec<(PathBuf, String)>,
}

impl TableSource {
    /// Reads the images that `choice` names, out of their number (`None`: all).
    ///
    /// # Errors
    ///
    /// If files or shards are missing or damaged, if it is not clear which columns are meant, or if images cannot be
    /// used; those are all named.
    pub fn open(
        &self,
        name: &str,
        choice: &dyn Fn(usize) -> Option<Vec<usize>>,
    ) -> Result<Dataset, DatasetError> {
        let Shards { files, notice } = parquet_shards::find(&self.path, self.split.as_deref())?;
        let shards: Vec<Shard> =
            files.iter().map(|file| self.shard(file)).collect::<Result<_, _>>()?;
        let n_rows = shards.iter().map(|shard| shard.n_rows).sum();
        let chosen = choice(n_rows).unwrap_or_else(|| (0..n_rows).collect());
        let mut rows = Rows::default();
        let mut first = 0;
        for shard in &shards {
            let end = first + shard.n_rows;
            let own = chosen.iter().filter(|&&row| (first..end).contains(&row));
            let own: Vec<usize> = own.map(|row| row - first).collect();
            caught(|| shard.read(&own, self.fit, &mut rows))
                .map_err(|problem| content(&shard.path, problem))?;
            first = end;
        }
        if !rows.failures.is_empty() {
            return Err(DatasetError::Images { failures: Failures(rows.failures) });
        }
        let Some(shard) = shards.first().filter(|_| n_rows > 0) else {
            return Err(content(
                &self.path,
                "it holds no rows; name a table with images".to_owned(),
            ));
        };
        let mut facts = vec![format!(
            "{} of {}: images in column '{}'",
            count(n_rows, "row"),
            count(shards.len(), "file"),
            shard.images.name
        )];
        facts.extend(sizes(&rows.pictures, self.fit));
        facts.extend(shard.labels_in_words());
        let labels = match &shard.labels {
            Some(column) => IntegerLabels::new(&format!("column '{}'", column.name), &rows.labels),
            None => IntegerLabels::default(),
        };
        let notices = notice.into_iter().chain(labels.notice).chain(given_up(&rows.pictures));
        let (shape, pixels) = stacked(&rows.pictures, self.fit);
        Ok(Dataset::new(name, shape, pixels, labels.labels)
            .with_notices(notices.collect())
            .with_facts(facts))
    }

    fn shard(&self, path: &Path) -> Result<Shard, DatasetError> {
        let bytes = read_regular(path).map_err(DatasetError::reading(path))?;
        let refused = |problem| content(path, problem);
        let opened =
            caught(|| SerializedFileReader::new(bytes.clone()).map_err(|error| error.to_string()));
        let reader = opened.map_err(|error| match FileKind::of(&bytes) {
            FileKind::Parquet => refused(format!(
                "it is a Parquet file that is truncated or damaged ({error}); fetch it again"
            )),
            kind => refused(format!("it is {kind}, not a Parquet file; {}", kind.advice())),
        })?;
        let schema = reader.metadata().file_metadata().schema_descr();
        let images =
            parquet_columns::images(schema, self.image_column.as_deref()).map_err(refused)?;
        let labels =
            parquet_columns::labels(schema, self.label_column.as_deref()).map_err(refused)?;
        let mut n_rows = 0_usize;
        for group in reader.metadata().row_groups() {
            let n = usize::try_from(group.num_rows()).unwrap_or(usize::MAX);
            n_rows = n_rows.saturating_add(n);
        }
        // Every image takes more than a byte.
        if n_rows > bytes.len() {
            return Err(refused(format!(
                "it claims '{n_rows}' rows, more images than its '{}' bytes can hold; fetch it again",
                bytes.len()
            )));
        }
        Ok(Shard { path: path.to_owned(), bytes, reader, n_rows, images, labels })
    }
}

impl Shard {
    /// Reads the images and labels of the rows `chosen`, in rising order.
    fn read(&self, chosen: &[usize], fit: Fit, rows: &mut Rows) -> Result<(), String> {
        let mut first = 0;
        for group in 0..self.reader.num_row_groups() {
            let about = self.reader.metadata().row_group(group);
            let n = usize::try_from(about.num_rows()).unwrap_or_default();
            let own: Vec<usize> = chosen
                .iter()
                .filter(|&&row| (first..first + n).contains(&row))
                .map(|row| row - first)
                .collect();
            if !own.is_empty() {
                let reader = self.reader.get_row_group(group).map_err(damaged)?;
                self.read_images(group, &*reader, first, &own, fit, rows)?;
                if let Some(column) = &self.labels {
                    self.check_pages(group, column)?;
                    let labels =
                        integers(reader.get_column_reader(column.index).map_err(damaged)?, n)?;
                    for &row in &own {
                        let label = labels.get(row).copied().flatten();
                        rows.labels.push(label.ok_or_else(|| {
                            format!("row {} has no label in column '{}'", first + row, column.name)
                        })?);
                    }
                }
            }
            first += n;
        }
        Ok(())
    }

    /// Decodes the images of a row group whose rows start with row `first` of the file.
    fn read_images(
        &self,
        group: usize,
        reader: &dyn RowGroupReader,
        first: usize,
        own: &[usize],
        fit: Fit,
        rows: &mut Rows,
    ) -> Result<(), String> {
        self.check_pages(group, &self.images)?;
        let ColumnReader::ByteArrayColumnReader(mut column) =
            reader.get_column_reader(self.images.index).map_err(damaged)?
        else {
            return Err(format!("its column '{}' holds no bytes", self.images.name));
        };
        let (mut start, mut left) = (0, own);
        while let Some(&last) = left.last() {
            let n = BATCH.min(last + 1 - start);
            let batch: Vec<Option<ByteArray>> = batch::<ByteArrayType>(&mut column, n)?;
            let (now, later) = left.split_at(left.partition_point(|&row| row < start + n));
            let decode = |&row: &usize| match &batch[row - start] {
                Some(bytes) => decode_picture(bytes.data(), fit).map_err(|reason| (row, reason)),
                None => Err((
                    row,
                    "there are no bytes, perhaps only a path; embed the images in the table"
                        .to_owned(),
                )),
            };
            let decoded: Vec<Result<Picture, (usize, String)>> =
                now.par_iter().map(decode).collect();
            for each in decoded {
                match each {
                    Ok(picture) => rows.pictures.push(picture),
                    Err((row, reason)) => {
                        let reason = format!("row {}: {reason}", first + row);
                        rows.failures.push((self.path.clone(), reason));
                    }
                }
            }
            (start, left) = (start + n, later);
        }
        Ok(())
    }

    fn check_pages(&self, group: usize, column: &Column) -> Result<(), String> {
        let (start, length) =
            self.reader.metadata().row_group(group).column(column.index).byte_range();
        let range =
            usize::try_from(start).ok().zip(usize::try_from(start.saturating_add(length)).ok());
        let bytes = range.and_then(|(start, end)| self.bytes.get(start..end));
        let bytes = bytes
            .ok_or_else(|| format!("its column '{}' is cut short; fetch it again", column.name))?;
        parquet_pages::check(bytes)
            .map_err(|problem| format!("column '{}': {problem}", column.name))
    }

    fn labels_in_words(&self) -> Option<String> {
        let column = &self.labels.as_ref()?.name;
        let names = parquet_columns::class_names(self.reader.metadata().file_metadata(), column);
        classes_in_words(&format!("column '{column}'"), &names.unwrap_or_default())
            .or_else(|| Some(format!("labels: column '{column}', numbers as they are")))
    }
}

/// The next `n` values of a column, `None` for those that are null.
fn batch<T: DataType>(
    column: &mut ColumnReaderImpl<T>,
    n: usize,
) -> Result<Vec<Option<T::T>>, String> {
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    let (found, n_values, n_levels) =
        column.read_records(n, Some(&mut levels), None, &mut values).map_err(damaged)?;
    if found != n {
        return Err(format!("its rows end early: {found} of {n} are there; fetch it again"));
    }
    if n_values == n_levels {
        return Ok(values.into_iter().map(Some).collect());
    }
    let full = levels.iter().copied().max().unwrap_or_default();
    let mut values = values.into_iter();
    // With all values null, no level is that of a value.
    Ok(levels.iter().map(|&level| if level == full { values.next() } else { None }).collect())
}

/// All `n` values of a column of integers.
fn integers(column: ColumnReader, n: usize) -> Result<Vec<Option<i64>>, String> {
    fn widened<T: DataType>(
        mut column: ColumnReaderImpl<T>,
        n: usize,
        of: impl Fn(T::T) -> i64,
    ) -> Result<Vec<Option<i64>>, String> {
        let mut all = Vec::new();
        while all.len() < n {
            let next = batch::<T>(&mut column, BATCH.min(n - all.len()))?;
            all.extend(next.into_iter().map(|value| value.map(&of)));
        }
        Ok(all)
    }
    match column {
        ColumnReader::BoolColumnReader(column) => widened(column, n, i64::from),
        ColumnReader::Int32ColumnReader(column) => widened(column, n, i64::from),
        ColumnReader::Int64ColumnReader(column) => widened(column, n, |value| value),
        _ => Err("its labels are no integers".to_owned()),
    }
}

fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

fn content(path: &Path, problem: String) -> DatasetError {
    DatasetError::Content { path: path.to_owned(), problem }
}

fn damaged(error: parquet::errors::ParquetError) -> String {
    let words = error.to_string();
    if let Some((_, codec)) = words.split_once("Disabled feature at compile time: ") {
        return format!(
            "it is packed with {codec}; write it with snappy, gzip or zstd, which are read"
        );
    }
    format!("it is damaged ({error}); fetch it again")
}

/// Panics of the crate `parquet` on damaged files must not end the process.
fn caught<T>(read: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    unless_it_panics(read).unwrap_or_else(|| {
        Err("it is damaged in a way that its reader fails on; fetch it again".to_owned())
    })
}

/// True for a file that ends in .parquet, and for a directory with such files.
pub fn is_likely(path: &Path) -> bool {
    match path.is_dir() {
        true => parquet_shards::has_tables(path),
        false => path.extension().is_some_and(|ending| ending == "parquet"),
    }
}

#[cfg(test)]
#[path = "parquet_images_tests.rs"]
mod tests;
