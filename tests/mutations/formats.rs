//! Valid samples of each format, and repairs that let damaged ones pass checksums.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use image::{GrayImage, ImageFormat, RgbImage, RgbaImage};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

/// Unpacks a gzip file as far as possible; returns other bytes unchanged.
fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let _ = GzDecoder::new(bytes).take(1 << 20).read_to_end(&mut plain);
    if plain.is_empty() { bytes.to_vec() } else { plain }
}

pub fn idx(n: u32, side: u32) -> Vec<u8> {
    let mut file = vec![0, 0, 8, 3];
    [n, side, side].iter().for_each(|size| file.extend(size.to_be_bytes()));
    file.extend((0..n * side * side).map(|i| (i * 31 % 251) as u8));
    file
}

pub fn cifar(n: u8, fine: bool) -> Vec<u8> {
    records(0..n, fine)
}

fn records(which: std::ops::Range<u8>, fine: bool) -> Vec<u8> {
    let labels = |i: u8| if fine { vec![i % 20, i % 100] } else { vec![i % 10] };
    let record =
        |i: u8| [labels(i), (0..3072_u32).map(|p| (p * 7 % 256) as u8 ^ i).collect()].concat();
    which.flat_map(record).collect()
}

fn tar(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    archive.into_inner().unwrap()
}

pub fn archives() -> Vec<Vec<u8>> {
    let [one, two] = [records(0..2, false), records(2..3, false)];
    let names = ["cifar/data_batch_1.bin", "cifar/readme.html", "cifar/data_batch_2.bin"];
    let files = [(names[0], one), (names[1], b"<html>".to_vec()), (names[2], two)];
    let long = format!("{}/train.bin", "long".repeat(40));
    vec![tar(&files), tar(&[(&long, cifar(1, true))])]
}

/// Corrects the headers' checksums; otherwise every damaged archive would be refused at its first header.
pub fn mend_tar(mut bytes: Vec<u8>, random: &mut ChaCha8Rng) -> Vec<u8> {
    if random.random_bool(0.2) {
        return gzip(&bytes);
    }
    for block in bytes.chunks_exact_mut(512).filter(|block| block[257..262] == *b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    gzip(&bytes)
}

/// In half of the cases, repacks the unpacked data, so that the damage is inside rather than in the
/// compression.
pub fn mend_gzip(bytes: Vec<u8>, random: &mut ChaCha8Rng) -> Vec<u8> {
    if random.random_bool(0.5) { bytes } else { gzip(&gunzip(&bytes)) }
}

pub fn pictures(format: ImageFormat) -> Vec<Vec<u8>> {
    let colours = RgbImage::from_fn(9, 7, |x, y| image::Rgb([x as u8 * 25, y as u8 * 30, 99]));
    let grey = GrayImage::from_fn(16, 16, |x, y| image::Luma([(x * y) as u8]));
    let encoded = |picture: image::DynamicImage| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    };
    let mut all = vec![encoded(colours.into()), encoded(grey.clone().into())];
    if format != ImageFormat::Jpeg {
        all.push(encoded(RgbaImage::new(5, 5).into()));
    }
    if format == ImageFormat::Png {
        all.push(encoded(image::DynamicImage::ImageLuma8(grey).into_luma16().into()));
    }
    all
}

/// Corrects the checksums of the chunks.
pub fn mend_png(mut bytes: Vec<u8>, random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut at = 8;
    while random.random_bool(0.95) && at + 12 <= bytes.len() {
        let n = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        let Some(end) = (at + 8).checked_add(n).filter(|end| end + 4 <= bytes.len()) else { break };
        let sum = crc32fast::hash(&bytes[at + 4..end]);
        bytes[end..end + 4].copy_from_slice(&sum.to_be_bytes());
        at = end + 4;
    }
    bytes
}

pub fn tensors(all: &[(&str, Dtype, &[usize])], header: &[(&str, &str)]) -> Vec<u8> {
    let data: Vec<Vec<u8>> = all
        .iter()
        .map(|(_, dtype, shape)| {
            let n: usize = shape.iter().product();
            match dtype {
                Dtype::F32 => (0..n).flat_map(|i| (i as f32 * 0.3).sin().to_le_bytes()).collect(),
                Dtype::F64 => (0..n).flat_map(|i| (i as f64 * 0.3).cos().to_le_bytes()).collect(),
                _ => (0..n * dtype.bitsize() / 8).map(|i| (i % 3) as u8).collect(),
            }
        })
        .collect();
    let views = all.iter().zip(&data).map(|((name, dtype, shape), data)| {
        (*name, TensorView::new(*dtype, shape.to_vec(), data).unwrap())
    });
    let words = header.iter().map(|(key, word)| ((*key).to_owned(), (*word).to_owned()));
    safetensors::serialize(views.collect::<Vec<_>>(), Some(words.collect())).unwrap()
}

/// Corrects the length of the header.
pub fn mend_tensors(bytes: Vec<u8>, random: &mut ChaCha8Rng) -> Vec<u8> {
    if random.random_bool(0.3) || bytes.len() < 8 {
        return bytes;
    }
    // The header ends at its last brace before the data.
    let end = bytes.windows(2).position(|pair| pair == b"}}").map_or(bytes.len(), |at| at + 2);
    if end < 8 {
        return bytes;
    }
    let mut header = bytes[8..end].to_vec();
    header.resize(header.len().next_multiple_of(8), b' ');
    let data = bytes[end..].iter().copied().skip_while(|&byte| byte == b' ');
    let mut mended = (header.len() as u64).to_le_bytes().to_vec();
    mended.extend(header);
    mended.extend(data);
    mended
}

/// `.npy` files: the header of NumPy, and numbers.
pub fn npy(descr: &str, is_fortran: bool, shape: &[usize], data: &[u8]) -> Vec<u8> {
    let order = if is_fortran { "True" } else { "False" };
    let sizes: String = shape.iter().map(|size| format!("{size}, ")).collect();
    let text = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': ({sizes}), }}");
    let text = format!("{text:<117}\n");
    [&b"\x93NUMPY\x01\0"[..], &(text.len() as u16).to_le_bytes(), text.as_bytes(), data].concat()
}

/// Arrays of images of several types and orders.
pub fn npys() -> Vec<Vec<u8>> {
    let bytes: Vec<u8> = (0..3 * 6 * 5).map(|i| (i * 7 % 256) as u8).collect();
    let floats: Vec<u8> =
        (0..2 * 6 * 6 * 3_u32).flat_map(|i| (i as f32 / 215.0).to_be_bytes()).collect();
    vec![
        npy("|u1", false, &[3, 6, 5], &bytes),
        npy("|u1", true, &[3, 6, 5], &bytes),
        npy(">f4", false, &[2, 6, 6, 3], &floats),
        npy("<f4", true, &[2, 3, 6, 6], &vec![0; 864]),
    ]
}

/// A zip archive of a member of each array, stored or deflated.
pub fn npzs() -> Vec<Vec<u8>> {
    use zip::CompressionMethod::{Deflated, Stored};
    [Stored, Deflated].map(|method| npz(&npys()[0], method)).to_vec()
}

/// Images and labels.
pub fn npz(images: &[u8], method: zip::CompressionMethod) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in
        [("images.npy", images), ("labels.npy", &npy("|u1", false, &[3], &[0, 1, 2]))]
    {
        archive.start_file(name, options).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// Tables of two images and labels.
pub fn tables() -> Vec<Vec<u8>> {
    use parquet::basic::Compression;
    let zstd = Compression::ZSTD(Default::default());
    let gzip = Compression::GZIP(Default::default());
    [Compression::UNCOMPRESSED, Compression::SNAPPY, gzip, zstd].map(table).to_vec()
}

fn table(compression: parquet::basic::Compression) -> Vec<u8> {
    use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
    use parquet::file::properties::WriterProperties;
    let schema = "message schema { required binary image; optional int64 label; }";
    let schema = parquet::schema::parser::parse_message_type(schema).unwrap();
    let properties = WriterProperties::builder().set_compression(compression).build();
    let (schema, properties) = (std::sync::Arc::new(schema), std::sync::Arc::new(properties));
    let mut file =
        parquet::file::writer::SerializedFileWriter::new(Vec::new(), schema, properties).unwrap();
    let mut group = file.next_row_group().unwrap();
    let images = pictures(ImageFormat::Png).into_iter().take(2).map(ByteArray::from);
    let images: Vec<ByteArray> = images.collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&images, None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&[0, 1], Some(&[1, 1]), None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    file.into_inner().unwrap()
}

/// Contradicting shapes and offsets: sizes in the header are replaced, with no data or with all of it.
pub fn reshaped(bytes: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let n = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + n]).unwrap();
    let names: Vec<String> = header.as_object().unwrap().keys().cloned().collect();
    let name = super::mutate::pick(&names, random);
    let sizes = [0, 1, 2, 3, 4, 16, 65_536, 1 << 31, 1 << 32, 1 << 61, u64::MAX];
    if name != "__metadata__" {
        let n_axes = random.random_range(0..=5);
        let shape: Vec<u64> = (0..n_axes).map(|_| *super::mutate::pick(&sizes, random)).collect();
        header[name]["shape"] = shape.into();
        if n_axes > 0 && random.random_bool(0.6) {
            // A tensor without data is valid if one size is 0, whatever the others are.
            let start = header[name]["data_offsets"][0].clone();
            header[name]["shape"][0] = 0.into();
            header[name]["data_offsets"][1] = start;
            return only(header, name);
        }
    } else {
        let words = ["", "0", "-1", "18446744073709551615", "network,,network", "zzz"];
        let keys: Vec<String> = header[name].as_object().unwrap().keys().cloned().collect();
        // Also keys that no reader uses.
        let key = if keys.is_empty() { "format" } else { super::mutate::pick(&keys, random) };
        header[name][key] = (*super::mutate::pick(&words, random)).into();
    }
    let mut made = header.to_string().into_bytes();
    made.resize(made.len().next_multiple_of(8), b' ');
    [&(made.len() as u64).to_le_bytes()[..], &made, &bytes[8 + n..]].concat()
}

/// Makes all tensors of the header empty, with the shape of one.
fn only(mut header: serde_json::Value, name: &str) -> Vec<u8> {
    let shape = header[name]["shape"].clone();
    for (key, tensor) in header.as_object_mut().unwrap() {
        if key != "__metadata__" {
            tensor["shape"] = shape.clone();
            tensor["data_offsets"] = serde_json::json!([0, 0]);
        }
    }
    let mut made = header.to_string().into_bytes();
    made.resize(made.len().next_multiple_of(8), b' ');
    [&(made.len() as u64).to_le_bytes()[..], &made].concat()
}
