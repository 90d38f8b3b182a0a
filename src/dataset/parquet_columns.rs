//! Which columns of a Parquet table are images and labels.
//!
//! Hugging Face's feature `Image` is a column with two fields, the bytes of an image file and its path; its feature
//! `ClassLabel` is a column of integers, whose names are in the file's metadata as JSON.

use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::file::metadata::FileMetaData;
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};
use serde_json::Value;

/// Usual names of labels.
const LABELS: [&str; 10] = [
    "label",
    "labels",
    "fine_label",
    "class",
    "class_label",
    "target",
    "targets",
    "y",
    "digit",
    "category",
];
/// Usual names of images, for tables with several columns of bytes.
const IMAGES: [&str; 6] = ["image", "img", "images", "picture", "photo", "jpg"];

/// A column by its number and its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    pub index: usize,
    pub name: String,
}

/// All columns in words.
pub fn listing(schema: &SchemaDescriptor) -> String {
    let words = |column: &std::sync::Arc<ColumnDescriptor>| {
        format!("'{}' {}", column.path().string(), column.physical_type())
    };
    schema.columns().iter().map(words).collect::<Vec<_>>().join(", ")
}

/// The column that a user means by `name`: itself, or its field of bytes.
fn is_called(column: &ColumnDescriptor, name: &str) -> bool {
    matches!(column.path().parts(), [first] | [first, _] if first == name)
}

/// Bytes that are not said to be a text.
fn can_be_image(column: &ColumnDescriptor) -> bool {
    let is_text = column.converted_type() == ConvertedType::UTF8
        || matches!(column.logical_type_ref(), Some(LogicalType::String));
    let is_field = match column.path().parts() {
        [_] => true,
        [_, field] => field == "bytes",
        _ => false,
    };
    column.physical_type() == Type::BYTE_ARRAY && !is_text && is_field
}

fn name_of(column: &ColumnDescriptor) -> &str {
    column.path().parts().first().map_or("", String::as_str)
}

/// The only column of `candidates`, or the only one with a usual name.
fn only<'a>(
    candidates: &[(usize, &'a ColumnDescriptor)],
    usual: &[&str],
) -> Option<(usize, &'a ColumnDescriptor)> {
    let known: Vec<_> =
        candidates.iter().filter(|(_, column)| usual.contains(&name_of(column))).copied().collect();
    match (candidates, &known[..]) {
        ([only], _) | (_, [only]) => Some(*only),
        _ => None,
    }
}

fn column((index, column): (usize, &ColumnDescriptor)) -> Column {
    Column { index, name: name_of(column).to_owned() }
}

fn all(schema: &SchemaDescriptor) -> impl Iterator<Item = (usize, &ColumnDescriptor)> {
    schema.columns().iter().map(AsRef::as_ref).enumerate()
}

/// The column of images.
///
/// # Errors
///
/// If it is not there, holds something else, or if several may be meant, in words that follow the file's name.
pub fn images(schema: &SchemaDescriptor, name: Option<&str>) -> Result<Column, String> {
    let named = all(schema).filter(|(_, column)| name.is_none_or(|name| is_called(column, name)));
    let (lists, flat): (Vec<_>, Vec<_>) = named.partition(|(_, column)| column.max_rep_level() > 0);
    let candidates: Vec<_> = flat.into_iter().filter(|(_, column)| can_be_image(column)).collect();
    if let Some(found) = only(&candidates, &IMAGES) {
        return Ok(column(found));
    }
    Err(match (name, candidates.is_empty()) {
        (Some(name), true) if lists.iter().any(|(_, column)| is_called(column, name)) => {
            format!("its column '{name}' holds lists; images are one file of bytes a row")
        }
        (Some(name), _) => format!(
            "it has no column '{name}' of image files (dataset.array); its columns are {}",
            listing(schema)
        ),
        (None, true) => format!(
            "it has no column of image files (bytes, or 'image' with a field 'bytes'); its columns are {}",
            listing(schema)
        ),
        (None, false) => format!(
            "several of its columns may be images; set dataset.array to the name of one: {}",
            listing(schema)
        ),
    })
}

fn can_be_labels(column: &ColumnDescriptor) -> bool {
    column.path().parts().len() == 1
        && column.max_rep_level() == 0
        && matches!(column.physical_type(), Type::INT32 | Type::INT64 | Type::BOOLEAN)
}

/// The column of labels; `None` if the table has none, or for the name `none`.
///
/// # Errors
///
/// If it is not there, holds something else, or if several may be meant, in words that follow the file's name.
pub fn labels(schema: &SchemaDescriptor, name: Option<&str>) -> Result<Option<Column>, String> {
    let integers = || all(schema).filter(|(_, column)| can_be_labels(column));
    match name {
        Some("none") => Ok(None),
        Some(name) => match integers().find(|(_, column)| name_of(column) == name) {
            Some(found) => Ok(Some(column(found))),
            None => Err(format!(
                "it has no column '{name}' of integers (dataset.label_array); its columns are {}",
                listing(schema)
            )),
        },
        None => {
            let usual: Vec<_> =
                integers().filter(|(_, column)| LABELS.contains(&name_of(column))).collect();
            match usual[..] {
                [] => Ok(None),
                [only] => Ok(Some(column(only))),
                _ => Err(format!(
                    "several of its columns may be labels; set dataset.label_array to the name of one, or to 'none': {}",
                    listing(schema)
                )),
            }
        }
    }
}

/// The names of a column's classes, if the file's metadata list them.
pub fn class_names(file: &FileMetaData, column: &str) -> Option<Vec<String>> {
    let all = file.key_value_metadata()?;
    let text = all.iter().find(|pair| pair.key == "huggingface")?.value.as_deref()?;
    let json: Value = serde_json::from_str(text).ok()?;
    let names = json.get("info")?.get("features")?.get(column)?.get("names")?.as_array()?;
    names.iter().map(|name| name.as_str().map(str::to_owned)).collect()
}
