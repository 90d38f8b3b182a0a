//! Tests of data sets from Parquet tables, which are written here.

use std::io::Cursor;
use std::sync::Arc;

use ::image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage};
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::Int64Type;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use tempfile::TempDir;

use super::*;
use crate::dataset::{DatasetSource, Selection, open, open_held_out};

const HUB: &str = "message schema {
    optional group image { optional binary bytes; optional binary path (UTF8); }
    optional int64 label;
}";

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A table in the schema of the hub; rows without bytes or label have nulls.
fn table(rows: &[(Option<Vec<u8>>, Option<i64>)], compression: Compression) -> Vec<u8> {
    let names =
        r#"{"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}"#;
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_key_value_metadata(Some(vec![KeyValue::new(
            "huggingface".to_owned(),
            names.to_owned(),
        )]))
        .build();
    let schema = Arc::new(parse_message_type(HUB).unwrap());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).unwrap();
    // Two rows a group, so that there are several groups.
    for rows in rows.chunks(2) {
        let mut group = writer.next_row_group().unwrap();
        let bytes: Vec<ByteArray> =
            rows.iter().filter_map(|(bytes, _)| bytes.clone().map(ByteArray::from)).collect();
        let levels: Vec<i16> =
            rows.iter().map(|(bytes, _)| 1 + i16::from(bytes.is_some())).collect();
        for values in [&bytes[..], &[]] {
            let levels = if values.is_empty() { vec![1; rows.len()] } else { levels.clone() };
            let mut column = group.next_column().unwrap().unwrap();
            column.typed::<ByteArrayType>().write_batch(values, Some(&levels), None).unwrap();
            column.close().unwrap();
        }
        let labels: Vec<i64> = rows.iter().filter_map(|(_, label)| *label).collect();
        let levels: Vec<i16> = rows.iter().map(|(_, label)| i16::from(label.is_some())).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&labels, Some(&levels), None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.into_inner().unwrap()
}

/// A picture of one brightness.
fn gray(value: u8) -> Vec<u8> {
    encoded(GrayImage::from_pixel(4, 4, Luma([value])), ImageFormat::Png)
}

fn rows(values: std::ops::Range<u8>) -> Vec<(Option<Vec<u8>>, Option<i64>)> {
    values.map(|i| (Some(gray(i * 10)), Some(i64::from(i % 2)))).collect()
}

fn placed(files: &[(&str, Vec<u8>)]) -> (TempDir, TableSource) {
    let place = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(place.path().join(name), bytes).unwrap();
    }
    let path = place.path().to_owned();
    let [split, image_column, label_column] = [None, None, None];
    (place, TableSource { path, split, image_column, label_column, fit: Fit::to(4) })
}

fn problem(bytes: Vec<u8>) -> String {
    let (_place, source) = placed(&[("train.parquet", bytes)]);
    source.open("set", &|_| None).unwrap_err().to_string()
}

#[test]
fn shards_of_every_compression_are_one_set_in_order() {
    let zstd = Compression::ZSTD(ZstdLevel::default());
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(Default::default()),
        zstd,
    ] {
        let (_place, source) = placed(&[
            ("train-00000-of-00002.parquet", table(&rows(0..5), compression)),
            ("train-00001-of-00002.parquet", table(&rows(5..8), compression)),
        ]);
        let data = source.open("set", &|_| None).unwrap();
        let values: Vec<u8> = (0..8).map(|i| data.image(i)[0]).collect();
        assert_eq!(values, [0, 10, 20, 30, 40, 50, 60, 70]);
        assert_eq!(data.labels(), Some(&[0, 1, 0, 1, 0, 1, 0, 1][..]));
        let facts = data.facts().join("\n");
        assert!(facts.contains("8 rows of 2 files: images in column 'image'"), "{facts}");
        assert!(facts.contains("column 'label': 0 'cat', 1 'dog'"), "{facts}");
    }
}

#[test]
fn a_subset_and_its_rest_are_the_whole() {
    let (_place, source) = placed(&[("a.parquet", table(&rows(0..9), Compression::SNAPPY))]);
    let source = DatasetSource::Parquet(source);
    let some = open("set", &source, Selection::of(Some(4), 1)).unwrap();
    let rest = open_held_out("set", &source, Selection::of(Some(4), 1), 99).unwrap().unwrap();
    let mut values: Vec<u8> =
        [&some, &rest].iter().flat_map(|set| (0..set.len()).map(|i| set.image(i)[0])).collect();
    values.sort_unstable();
    assert_eq!(values, (0..9).map(|i| i * 10).collect::<Vec<u8>>());
}

#[test]
fn images_of_all_kinds_and_sizes_are_read() {
    let red = RgbImage::from_pixel(9, 5, Rgb([200, 0, 0]));
    let deep = ::image::ImageBuffer::<Luma<u16>, _>::from_pixel(1, 1, Luma([40_000_u16]));
    let files = [
        encoded(red.clone(), ImageFormat::Png),
        encoded(red.clone(), ImageFormat::WebP),
        encoded(red, ImageFormat::Jpeg),
        encoded(deep, ImageFormat::Png),
    ];
    let rows: Vec<_> = files.into_iter().map(|bytes| (Some(bytes), None)).collect();
    let (_place, mut source) = placed(&[("a.parquet", table(&rows, Compression::SNAPPY))]);
    let refused = source.open("set", &|_| None).unwrap_err().to_string();
    assert!(refused.contains("row 0 has no label in column 'label'"), "{refused}");
    source.label_column = Some("none".to_owned());
    let data = source.open("set", &|_| None).unwrap();
    assert_eq!((data.len(), data.labels()), (4, None));
    assert_eq!(data.image(0), data.image(1));
    assert_eq!(data.image(3)[0], 156);
    assert!(data.facts().join("\n").contains("1x1 to 9x5 pixels"), "{:?}", data.facts());
    assert!(data.notices().join("\n").contains("16 bits"), "{:?}", data.notices());
}

#[test]
fn rows_that_cannot_be_used_are_named() {
    let rows = [(Some(gray(1)), Some(0)), (None, Some(1)), (Some(b"GIF89a".to_vec()), Some(0))];
    let found = problem(table(&rows, Compression::SNAPPY));
    for words in ["2 files", "row 1: there are no bytes", "row 2: it is a GIF image"] {
        assert!(found.contains(words), "{found}");
    }
    assert!(problem(table(&[], Compression::SNAPPY)).contains("no rows"));
    let nothing = [(None, Some(0)), (None, Some(0))];
    assert!(problem(table(&nothing, Compression::SNAPPY)).contains("row 0: there are no bytes"));
}

#[test]
fn what_is_no_table_of_images_is_refused_in_words() {
    let whole = table(&rows(0..3), Compression::SNAPPY);
    assert!(problem(whole[..whole.len() - 9].to_vec()).contains("truncated or damaged"));
    assert!(problem(b"<!doctype html>".to_vec()).contains("an HTML page"));
    let (_place, source) = placed(&[("a.parquet", whole)]);
    let refused = |source: TableSource| source.open("set", &|_| None).unwrap_err().to_string();
    let other = TableSource { image_column: Some("picture".to_owned()), ..source.clone() };
    let words = refused(other);
    assert!(
        words.contains("no column 'picture'") && words.contains("'image.bytes' BYTE_ARRAY"),
        "{words}"
    );
    let other = TableSource { label_column: Some("image".to_owned()), ..source };
    assert!(refused(other).contains("no column 'image' of integers"));
}

#[test]
fn columns_are_recognised_or_asked_for() {
    let schema = |fields: &str| {
        let text = format!("message schema {{ {fields} }}");
        parquet::schema::types::SchemaDescriptor::new(Arc::new(parse_message_type(&text).unwrap()))
    };
    for (fields, expected) in [
        ("required binary img; required int32 fine_label;", Ok(("img", Some("fine_label")))),
        ("required binary a; required binary image; required int64 id;", Ok(("image", None))),
        ("required binary a; required binary b;", Err("several of its columns may be images")),
        ("required binary text (UTF8); required int64 label;", Err("no column of image files")),
        ("repeated binary image; required int64 label;", Err("no column of image files")),
        ("required binary x; required int64 label; required int32 y;", Err("may be labels")),
    ] {
        let schema = schema(fields);
        let found = parquet_columns::images(&schema, None).and_then(|images| {
            let labels = parquet_columns::labels(&schema, None)?;
            Ok((images.name, labels.map(|column| column.name)))
        });
        match expected {
            Ok((image, label)) => {
                assert_eq!(found, Ok((image.to_owned(), label.map(str::to_owned))), "{fields}");
            }
            Err(words) => assert!(found.unwrap_err().contains(words), "{fields}"),
        }
    }
    let lists = schema("repeated binary image;");
    let refused = parquet_columns::images(&lists, Some("image")).unwrap_err();
    assert!(refused.contains("holds lists"), "{refused}");
}
