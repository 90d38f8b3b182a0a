//! Tests of data sets from files of arrays.

use tempfile::TempDir;

use super::*;
use crate::arrays::{ArrayWriter, FileFormat, Numbers};
use crate::dataset::{DatasetSource, Selection, open, open_held_out};

/// Images `[3, 2, 2, 3]`, channels last, of rising bytes, and labels.
fn written(numbers: impl Fn(Vec<u8>) -> Numbers) -> (TempDir, ArraySource) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("set.npz");
    let bytes = ArrayWriter::new()
        .array("x", &[3, 2, 2, 3], numbers((0..36).map(|i| i * 7).collect()))
        .array("y", &[3], Numbers::I64(vec![5, 0, 2]))
        .into_bytes(FileFormat::Npz);
    std::fs::write(&path, bytes).unwrap();
    (place, ArraySource { path, layout: ArrayLayout::Nhwc, ..ArraySource::default() })
}

fn all(source: &ArraySource) -> Dataset {
    source.open("set", &|_| None).unwrap()
}

#[test]
fn floats_and_bytes_of_any_layout_are_the_same_images() {
    let (_place, bytes) = written(Numbers::U8);
    let expected = all(&bytes);
    assert_eq!(expected.shape(), ImageShape::new(3, 2, 2));
    assert_eq!(expected.image(0)[..4], [0, 21, 42, 63], "the red ones of the first image");
    assert_eq!(expected.labels(), Some(&[5, 0, 2][..]));
    assert!(expected.notices().is_empty(), "{:?}", expected.notices());
    assert!(
        expected.facts()[0].contains("'x' [3, 2, 2, 3] of uint8: [count, height, width, channels]")
    );
    let (_place, floats) =
        written(|bytes| Numbers::F32(bytes.iter().map(|&b| f32::from(b) / 255.0).collect()));
    let found = all(&floats);
    assert_eq!(found.pixels(), expected.pixels());
    assert!(found.notices()[0].contains("'0..1'"), "{:?}", found.notices());
}

#[test]
fn a_subset_and_its_rest_are_read_as_the_whole() {
    let (_place, source) =
        written(|bytes| Numbers::F64(bytes.iter().map(|&b| f64::from(b) / 127.5 - 1.0).collect()));
    let whole = all(&source);
    let source = DatasetSource::Arrays(source);
    let some = open("set", &source, Selection::of(Some(2), 1)).unwrap();
    let rest = open_held_out("set", &source, Selection::of(Some(2), 1), 9).unwrap().unwrap();
    assert_eq!((some.len(), rest.len()), (2, 1));
    let mut images: Vec<(Vec<u8>, u8)> = [&some, &rest]
        .iter()
        .flat_map(|set| (0..set.len()).map(|i| (set.image(i).to_vec(), set.labels().unwrap()[i])))
        .collect();
    images.sort();
    let mut expected: Vec<(Vec<u8>, u8)> =
        (0..3).map(|i| (whole.image(i).to_vec(), whole.labels().unwrap()[i])).collect();
    expected.sort();
    assert_eq!(images, expected);
}

#[test]
fn labels_come_from_another_file_or_from_none() {
    let (place, source) = written(Numbers::U8);
    let none = ArraySource { label_array: Some("none".to_owned()), ..source.clone() };
    assert_eq!(all(&none).labels(), None);
    let path = place.path().join("labels.npz");
    let write = |labels: Numbers, n: usize| {
        let bytes = ArrayWriter::new().array("a", &[n], labels).into_bytes(FileFormat::Npz);
        std::fs::write(&path, bytes).unwrap();
    };
    let other = ArraySource { labels_path: Some(path.clone()), ..source };
    write(Numbers::U8(vec![9, 8, 7]), 3);
    assert_eq!(all(&other).labels(), Some(&[9, 8, 7][..]));
    for (labels, n, words) in [
        (Numbers::U8(vec![9, 8]), 2, "[3] is needed"),
        (Numbers::F32(vec![9.0; 3]), 3, "integers are needed"),
    ] {
        write(labels, n);
        let problem = other.open("set", &|_| None).unwrap_err().to_string();
        assert!(problem.contains(words) && problem.contains("labels.npz"), "{problem}");
    }
    write(Numbers::I64(vec![0, 1000, 3]), 3);
    let many = all(&other);
    assert_eq!(many.labels(), None);
    assert!(many.notices()[0].contains("'1000' at index 1"), "{:?}", many.notices());
}

#[test]
fn images_of_another_size_are_fitted_and_it_is_said() {
    let (_place, source) = written(Numbers::U8);
    let fitted = all(&ArraySource { fit: Some(Fit::to(4)), ..source });
    assert_eq!(fitted.shape(), ImageShape::new(3, 4, 4));
    let facts = fitted.facts().join("\n");
    assert!(facts.contains("images of 2x2") && facts.contains("resampled to 4x4"), "{facts}");
}

#[test]
fn what_is_not_clear_is_asked_for() {
    let (_place, source) = written(Numbers::U8);
    let problem = |source: ArraySource| source.open("set", &|_| None).unwrap_err().to_string();
    let unclear = ArraySource { array: Some("y".to_owned()), ..source.clone() };
    assert!(problem(unclear).contains("dataset.array_layout = 'nhwc' has 4"));
    let missing = ArraySource { array: Some("z".to_owned()), ..source.clone() };
    assert!(problem(missing).contains("it holds 'x' [3, 2, 2, 3] uint8, 'y' [3] int64"));
    let signed = ArraySource { range: ValueRange::Signed, ..source };
    assert!(problem(signed).contains("outside of dataset.value_range = '-1..1'"));
}
