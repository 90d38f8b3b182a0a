//! Tests of reading and writing files of arrays.

use std::fs;
use std::io::Write as _;

use proptest::prelude::*;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::super::array_writer::{ArrayWriter, FileFormat, Numbers};
use super::super::npy_header::header_bytes;
use super::*;

fn open(bytes: &[u8]) -> Result<ArrayFile, ArrayError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    ArrayFile::open(file.path())
}

fn problem(bytes: &[u8]) -> String {
    let opened = open(bytes);
    let read = opened.and_then(|file| {
        let names: Vec<String> = file.arrays().map(|info| info.name.clone()).collect();
        names.iter().try_for_each(|name| file.read(name).map(drop))
    });
    read.expect_err("a file that is refused").to_string()
}

fn zipped(members: &[(&str, Vec<u8>)], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in members {
        match name.strip_suffix('/') {
            Some(folder) => zip.add_directory(folder, options).unwrap(),
            None => zip.start_file(*name, options).unwrap(),
        }
        zip.write_all(bytes).unwrap_or_default();
    }
    zip.finish().unwrap().into_inner()
}

fn npy(descr: &str, shape: &[usize], data: &[u8]) -> Vec<u8> {
    [&header_bytes(descr, shape)[..], data].concat()
}

fn numbers() -> impl Strategy<Value = (Vec<usize>, Numbers)> {
    proptest::collection::vec(0_usize..4, 0..4).prop_flat_map(|shape| {
        let n = shape.iter().product::<usize>();
        let all = proptest::collection::vec(any::<f64>(), n);
        (Just(shape), all, 0..5).prop_map(|(shape, all, kind)| {
            let numbers = match kind {
                0 => Numbers::U8(all.iter().map(|v| v.to_bits() as u8).collect()),
                1 => Numbers::I64(all.iter().map(|v| v.to_bits().cast_signed()).collect()),
                2 => Numbers::F32(all.iter().map(|v| *v as f32).collect()),
                3 => Numbers::I32(all.iter().map(|v| v.to_bits() as i32).collect()),
                _ => Numbers::F64(all),
            };
            (shape, numbers)
        })
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        (shape, first) in numbers(),
        (other, second) in numbers(),
        is_npz in any::<bool>(),
    ) {
        let format = if is_npz { FileFormat::Npz } else { FileFormat::Safetensors };
        let bytes = ArrayWriter::new()
            .array("first", &shape, first.clone())
            .array("second", &other, second.clone())
            .into_bytes(format);
        let file = open(&bytes).unwrap();
        for (name, shape, numbers) in [("first", &shape, first), ("second", &other, second)] {
            let array = file.read(name).unwrap();
            prop_assert_eq!(array.shape(), &shape[..]);
            // Bit patterns are compared, since some are NaN.
            let bits = |all: &[f64]| all.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            match numbers {
                Numbers::U8(all) => prop_assert_eq!(array.shared_bytes().unwrap(), all),
                Numbers::I64(all) => prop_assert_eq!(array.i64_values().unwrap(), all),
                Numbers::I32(all) => {
                    let all: Vec<i64> = all.into_iter().map(i64::from).collect();
                    prop_assert_eq!(array.i64_values().unwrap(), all);
                }
                Numbers::F32(all) => {
                    prop_assert_eq!(array.element_type(), ElementType::F32);
                    let all: Vec<f64> = all.into_iter().map(f64::from).collect();
                    prop_assert_eq!(bits(&array.f64_values()), bits(&all));
                }
                Numbers::F64(all) => prop_assert_eq!(bits(&array.f64_values()), bits(&all)),
            }
        }
    }
}

#[test]
fn packed_archives_with_folders_and_other_files_are_read() {
    let data: Vec<u8> = (0..6).collect();
    let members = [
        ("folder/", Vec::new()),
        ("notes.txt", b"words".to_vec()),
        ("folder/x.npy", npy("|u1", &[2, 3], &data)),
        ("names.npy", npy("<U4", &[1], &[0; 16])),
    ];
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let file = open(&zipped(&members, method)).unwrap();
        assert_eq!(file.others(), ["notes.txt"]);
        assert_eq!(file.read("folder/x").unwrap().shared_bytes().unwrap(), data);
        assert!(file.read("names").unwrap_err().to_string().contains("text ('<U4')"));
        let missing = file.read("x").unwrap_err().to_string();
        assert!(missing.contains("'folder/x' [2, 3] uint8, 'names' [1] not numbers"), "{missing}");
    }
}

#[test]
fn npy_files_hold_one_array_without_a_name() {
    let file = open(&npy(">i2", &[2], &[0, 1, 255, 255])).unwrap();
    assert_eq!(file.arrays().next().unwrap().name, "");
    assert_eq!(file.read("").unwrap().i64_values(), Ok(vec![1, -1]));
}

#[test]
fn stored_arrays_share_the_memory_of_their_file() {
    let bytes = ArrayWriter::new()
        .array("x", &[4], Numbers::U8(vec![1, 2, 3, 4]))
        .into_bytes(FileFormat::Npz);
    let file = open(&bytes).unwrap();
    let [one, two] = [0, 1].map(|_| file.read("x").unwrap().shared_bytes().unwrap().as_ptr());
    assert_eq!(one, two);
}

#[test]
fn files_that_are_no_arrays_are_called_by_their_names() {
    for (bytes, words) in [
        (&b""[..], "an empty file"),
        (b"\x80\x04\x95\x10", "pickles are programs"),
        (b"<!DOCTYPE html>", "an HTML page"),
        (b"\x93NUMPY\x01\0", "cut short"),
        (b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "without arrays"),
        (b"PK\x03\x04 and nothing else", "truncated or damaged"),
        (b"\x10\0\0\0\0\0\0\0{\"a\":1}", "safetensors file that is truncated or damaged"),
    ] {
        let found = problem(bytes);
        assert!(found.contains(words), "{found}");
    }
    let missing = ArrayFile::open(Path::new("/no/such.npy")).err().unwrap().to_string();
    assert!(missing.contains("/no/such.npy"), "{missing}");
}

#[test]
fn pickled_objects_are_refused_by_name() {
    let pickle = npy("|O", &[1], b"\x80\x04K\x01.");
    assert!(problem(&pickle).contains("Python objects"));
    let found = problem(&zipped(&[("bad.npy", pickle)], CompressionMethod::Stored));
    assert!(found.contains("array 'bad'") && found.contains("Python objects"), "{found}");
}

#[test]
fn headers_that_claim_more_or_less_than_there_is_are_refused() {
    let short = npy("<f4", &[3], &[0; 8]);
    assert!(problem(&short).contains("'12' bytes (shape [3] of float32), but '8' follow"));
    assert!(problem(&npy("<f4", &[3], &[0; 16])).contains("called twice"));
    assert!(problem(&npy("<f8", &[1 << 50], &[])).contains("truncated"));
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let found = problem(&zipped(&[("x.npy", short.clone())], method));
        assert!(found.contains("claims '140' bytes") && found.contains("holds '136'"), "{found}");
    }
}

#[test]
fn changed_and_cut_archives_are_refused() {
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let data: Vec<u8> = (0..200_u32).map(|i| (i * i % 251) as u8).collect();
        let whole = zipped(&[("x.npy", npy("|u1", &[200], &data))], method);
        let mut changed = whole.clone();
        changed[150] ^= 4;
        let found = problem(&changed);
        assert!(found.contains("checksum") || found.contains("damaged"), "{found}");
        for length in [10, 100, whole.len() - 30, whole.len() - 1] {
            assert!(problem(&whole[..length]).contains("damaged"), "{length}");
        }
    }
}

#[test]
fn two_members_of_one_name_are_refused() {
    let x = npy("|u1", &[1], &[1]);
    let mut bytes = zipped(&[("x.npy", x.clone()), ("y.npy", x)], CompressionMethod::Stored);
    while let Some(at) = bytes.windows(5).position(|name| name == b"y.npy") {
        bytes[at] = b'x';
    }
    assert!(problem(&bytes).contains("the same name"));
    let mut foreign = zipped(&[("x.npy", npy("|u1", &[1], &[1]))], CompressionMethod::Stored);
    while let Some(at) = foreign.windows(5).position(|name| name == b"x.npy") {
        foreign[at] = 0xff;
    }
    assert!(problem(&foreign).contains("not UTF-8"));
}
