//! Reads one PNG, JPEG or WebP image as a square of bytes; incomplete files are refused.
//!
//! Decoders accept a truncated JPEG and leave the rest grey. Therefore the end of a file is searched for first
//! (EOI in JPEG, IEND in PNG, the length in WebP's header), JPEG data are decoded strictly, and their codes are counted
//! separately (`jpeg_completeness.rs`). A PNG is protected by the checksums of its chunks. Images are turned and mirrored
//! as their EXIF orientation asks, as viewers do.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use ::image::metadata::Orientation;
use ::image::{ColorType, DynamicImage, GrayImage, ImageFormat, ImageReader, Limits, RgbImage};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::fit_to_square::{Crop, Fit};
use super::jpeg_completeness;
use super::picture_metadata::Metadata;
use crate::console::panics_of_decoders::unless_it_panics;
use crate::files::file_kind::FileKind;

/// Maximum size in bytes of a decoded image: 180 million grey pixels, or 60 million in three 16-bit channels.
const DECODED_MAX: u64 = 512 << 20;

/// Maximum number of decoded bytes per byte of a file. A header may claim any size, and nothing is allocated
/// beyond what the file can unpack to. Deflate, which PNG uses, packs 1,032 bytes into one, of up to eight
/// pixels each, which decode to at most four bytes. A JPEG needs at least one bit for 64 pixels of a channel
/// (with two of four channels at half resolution: 1,024 bytes of pixels).
const PNG_RATIO: u64 = 1 << 15;
const JPEG_RATIO: u64 = 1 << 11;
/// A WebP image of one colour takes a few bytes at any size, so there is no such limit. This many decoded bytes are
/// allowed anyway (1,182 pixels a side), and the ratio of JPEG for larger images.
const WEBP_DECODED_MIN: u64 = 4 << 20;

/// The square of an image, and a record of the information lost.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// `[3, size, size]`.
    pub planes: Vec<u8>,
    pub is_grey: bool,
    /// Width and height, as viewers show it.
    pub original: (u32, u32),
    pub was_cropped: bool,
    /// True if some pixels are not opaque.
    pub was_transparent: bool,
    /// True if the file has 16 bits per channel.
    pub was_deep: bool,
    /// Other metadata of the file.
    pub metadata: Metadata,
}

/// Reads an image file as a square.
///
/// # Errors
///
/// Explains why the file cannot be used, in words that follow its name in brackets.
pub fn read(path: &Path, fit: Fit) -> Result<Picture, String> {
    decode_picture(&fs::read(path).map_err(|error| error.to_string())?, fit)
}

/// Decodes the content of an image file as a square.
///
/// # Errors
///
/// Explains why it cannot be used, in words that follow a name in brackets.
pub fn decode_picture(bytes: &[u8], fit: Fit) -> Result<Picture, String> {
    let (mut image, metadata) = match FileKind::of(bytes) {
        FileKind::Png => (decode_png(bytes)?, Metadata::of_png(bytes)),
        FileKind::Jpeg => (decode_jpeg(bytes)?, Metadata::of_jpeg(bytes)),
        FileKind::WebP => (decode_webp(bytes)?, Metadata::of_webp(bytes)),
        kind => {
            return Err(format!("it is {kind}, not a PNG, JPEG or WebP image; {}", kind.advice()));
        }
    };
    if let Some(orientation) = Orientation::from_exif(metadata.orientation) {
        image.apply_orientation(orientation);
    }
    let color = image.color();
    let was_deep =
        matches!(color, ColorType::L16 | ColorType::La16 | ColorType::Rgb16 | ColorType::Rgba16);
    let was_transparent =
        color.has_alpha() && image.to_rgba8().pixels().any(|pixel| pixel.0[3] < u8::MAX);
    let image = image.into_rgb8();
    let (width, height) = image.dimensions();
    let square = |channel: usize| {
        let plane: Vec<u8> = image.pixels().map(|pixel| pixel.0[channel]).collect();
        fit.plane(&plane, height as usize, width as usize)
    };
    Ok(Picture {
        planes: (0..3).flat_map(square).collect(),
        is_grey: !color.has_color(),
        original: (width, height),
        was_cropped: width != height && fit.crop == Crop::Centre,
        was_transparent,
        was_deep,
        metadata,
    })
}

fn decode_png(bytes: &[u8]) -> Result<DynamicImage, String> {
    check_png_end(bytes)?;
    decode_limited(
        bytes,
        ImageFormat::Png,
        DECODED_MAX.min(PNG_RATIO.saturating_mul(bytes.len() as u64)),
    )
}

/// Walks from chunk to chunk (length, type, data, checksum) to IEND.
fn check_png_end(bytes: &[u8]) -> Result<(), String> {
    let mut rest = &bytes[8..];
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let size = u32::from_be_bytes(*length) as usize;
        match after.get(size.saturating_add(8)..) {
            Some(_) if after.starts_with(b"IEND") => return Ok(()),
            Some(next) => rest = next,
            None => break,
        }
    }
    Err(format!("it is cut short: a PNG image without its end in '{}' bytes", bytes.len()))
}

fn decode_webp(bytes: &[u8]) -> Result<DynamicImage, String> {
    // RIFF, the length of what follows (u32), WEBP.
    let claimed = bytes.get(4..).and_then(|rest| rest.first_chunk::<4>());
    let claimed = claimed.map_or(0, |length| u64::from(u32::from_le_bytes(*length)));
    if claimed + 8 > bytes.len() as u64 {
        return Err(format!(
            "it is cut short: a WebP image of '{}' bytes by its header in '{}' bytes",
            claimed + 8,
            bytes.len()
        ));
    }
    let decoded_max = JPEG_RATIO.saturating_mul(bytes.len() as u64).max(WEBP_DECODED_MIN);
    decode_limited(bytes, ImageFormat::WebP, DECODED_MAX.min(decoded_max))
}

/// Decodes an image of which at most `decoded_max` bytes are allocated. A panic of the decoder is an error.
fn decode_limited(
    bytes: &[u8],
    format: ImageFormat,
    decoded_max: u64,
) -> Result<DynamicImage, String> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(decoded_max);
    reader.limits(limits);
    let decoded = unless_it_panics(|| reader.decode());
    let decoded = decoded.ok_or_else(|| "the decoder fails on it; convert it to PNG".to_owned())?;
    decoded.map_err(|error| format!("it is damaged: {error}"))
}

fn decode_jpeg(bytes: &[u8]) -> Result<DynamicImage, String> {
    if jpeg_end(bytes).is_none() {
        return Err(format!(
            "it is cut short: a JPEG image without its end in '{}' bytes",
            bytes.len()
        ));
    }
    let damaged = |error: String| format!("it is damaged: {error}");
    let image = decode(bytes).map_err(damaged)?;
    // Runs after the decoder, which refuses headers that claim more than the file can hold.
    jpeg_completeness::check(bytes).map_err(|problem| format!("it is {problem}"))?;
    image.ok_or_else(|| damaged("its pixels do not fill its size".to_owned()))
}

/// Position of the end marker. Segments are skipped as a whole, because a preview inside one has its own end
/// marker.
fn jpeg_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 2;
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| byte == 0xff)?;
        match *bytes.get(at + 1)? {
            0xd9 => return Some(at),
            // A fill byte; the marker follows.
            0xff => at += 1,
            // A data byte 0xff, or a marker without a segment.
            0x00 | 0x01 | 0xd0..=0xd8 => at += 2,
            _ => {
                let length = bytes.get(at + 2..)?.first_chunk::<2>()?;
                at += 2 + usize::from(u16::from_be_bytes(*length));
            }
        }
    }
}

/// The image, or `None` if its pixels do not fill its size.
fn decode(bytes: &[u8]) -> Result<Option<DynamicImage>, String> {
    match decode_with(bytes, true) {
        // Bytes between headers do not affect any pixel.
        Err(error) if error.contains("Extra bytes between headers") => decode_with(bytes, false),
        other => other,
    }
}

fn decode_with(bytes: &[u8], is_strict: bool) -> Result<Option<DynamicImage>, String> {
    let words = |error: zune_jpeg::errors::DecodeErrors| error.to_string();
    let options = DecoderOptions::default()
        .set_strict_mode(is_strict)
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(words)?;
    let is_grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let (width, height) = decoder.dimensions().unwrap_or_default();
    let decoded = (width as u64).saturating_mul(height as u64).saturating_mul(3);
    if decoded > DECODED_MAX.min(JPEG_RATIO.saturating_mul(bytes.len() as u64)) {
        return Err(format!(
            "its header claims {width}x{height} pixels, more than {} bytes can hold",
            bytes.len()
        ));
    }
    let wanted = if is_grey { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(options.jpeg_set_out_colorspace(wanted));
    // The decoder panics on some rare kinds of chroma subsampling, which must not end the process.
    let decoded = unless_it_panics(|| decoder.decode());
    let pixels = decoded.ok_or_else(|| "the decoder fails on it; convert it to PNG".to_owned())?;
    let pixels = pixels.map_err(words)?;
    let (width, height) = (width as u32, height as u32);
    Ok(match is_grey {
        true => GrayImage::from_raw(width, height, pixels).map(DynamicImage::from),
        false => RgbImage::from_raw(width, height, pixels).map(DynamicImage::from),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use ::image::{ImageBuffer, Luma, Rgb, Rgba};
    use base64::Engine;

    use super::*;

    /// Grey, 16x16, progressive, seven scans, by Pillow.
    const PROGRESSIVE: &str = "\
        /9j/4AAQSkZJRgABAQAAAQABAAD/2wBDACgcHiMeGSgjISMtKygwPGRBPDc3PHtYXUlkkYCZlo+AjIqgtObDoKrarYqMyP/L2u71\
        ////m8H////6/+b9//j/wgALCAAQABABAREA/8QAFQABAQAAAAAAAAAAAAAAAAAAAAH/2gAIAQEAAAABiv/EABUQAQEAAAAAAAAA\
        AAAAAAAAAABB/9oACAEBAAEFAkX/xAAUEAEAAAAAAAAAAAAAAAAAAAAg/9oACAEBAAY/Ah//xAAeEAABBAEFAAAAAAAAAAAAAAAB\
        ABEhkXExQVFhgf/aAAgBAQABPyEAN1wIFqMKCnfx9aU5WV//2gAIAQEAAAAQ3//EAB4QAAICAgIDAAAAAAAAAAAAAAERITEAQXGR\
        UWHR/9oACAEBAAE/EGaSlHyCkrvjJMR6haXVmq6wyBGVAXTQQK4whJLDUh8QJa6z/9k=";

    /// 8x8, progressive, with fewer samples of luma than of chroma, by libjpeg: the decoder panics.
    const THINNED: &str = "\
        /9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAYEBQYFBAYGBQYHBwYIChAKCgkJChQODwwQFxQYGBcUFhYaHSUfGhsjHBYWICwgIyYnKSop\
        GR8tMC0oMCUoKSj/2wBDAQcHBwoIChMKChMoGhYaKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgo\
        KCj/wgARCAAIAAgDAREAAiIBAyIB/8QAFAABAAAAAAAAAAAAAAAAAAAAA//EABYBAQEBAAAAAAAAAAAAAAAAAAABAv/aAAwDAQACEAMQ\
        AAABODI//8QAFRABAQAAAAAAAAAAAAAAAAAAAQL/2gAIAQEAAQUCJKf/xAAYEQACAwAAAAAAAAAAAAAAAAAAAREiMf/aAAgBAwEBPwF2\
        UPT/xAAZEQACAwEAAAAAAAAAAAAAAAABAwAREjH/2gAIAQIBAT8BTSTo9n//xAAWEAADAAAAAAAAAAAAAAAAAAAAAhH/2gAIAQEABj8C\
        an//xAAWEAADAAAAAAAAAAAAAAAAAAAAAVH/2gAIAQEAAT8hcVH/2gAMAwEAAgADAAAAEP8A/wD/xAAWEQEBAQAAAAAAAAAAAAAAAAAB\
        IQD/2gAIAQMBAT8QACRN/8QAFREBAQAAAAAAAAAAAAAAAAAAAAH/2gAIAQIBAT8QtV//xAAXEAADAQAAAAAAAAAAAAAAAAAAASER/9oA\
        CAEBAAE/EFgVZh//2Q==";

    fn noise(x: u32, y: u32) -> u8 {
        (x * 53 + y * 91 + x * y * 7) as u8
    }

    fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn baseline() -> Vec<u8> {
        let image = RgbImage::from_fn(24, 17, |x, y| Rgb([noise(x, y), noise(y, x), 90]));
        encoded(&image.into(), ImageFormat::Jpeg)
    }

    fn progressive() -> Vec<u8> {
        base64::engine::general_purpose::STANDARD.decode(PROGRESSIVE).unwrap()
    }

    fn check(bytes: &[u8]) -> Result<Picture, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        read(file.path(), Fit::to(8))
    }

    #[test]
    fn headers_that_claim_more_than_the_file_can_hold_are_refused() {
        let png = encoded(&GrayImage::new(8, 8).into(), ImageFormat::Png);
        for (width, height) in [(65_535_u32, 65_535_u32), (20_000, 20_000), (u32::MAX >> 1, 1)] {
            let mut png = png.clone();
            png[16..20].copy_from_slice(&width.to_be_bytes());
            png[20..24].copy_from_slice(&height.to_be_bytes());
            let checksum = crc32fast::hash(&png[12..29]);
            png[29..33].copy_from_slice(&checksum.to_be_bytes());
            let refused = check(&png).unwrap_err();
            assert!(refused.contains("damaged"), "{refused}");
        }
        let mut jpeg = baseline();
        let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        jpeg[frame + 5..frame + 9].fill(0xff);
        let refused = check(&jpeg).unwrap_err();
        assert!(refused.contains("65535x65535"), "{refused}");
    }

    #[test]
    fn images_that_pack_as_well_as_they_can_are_opened() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg] {
            check(&encoded(&RgbImage::new(1500, 1500).into(), format)).unwrap();
        }
    }

    #[test]
    fn whole_jpegs_are_taken_also_with_bytes_behind_their_end() {
        for (bytes, is_grey) in [(baseline(), false), (progressive(), true)] {
            let whole = check(&bytes).unwrap();
            assert_eq!(whole.is_grey, is_grey);
            assert_eq!(check(&[&bytes[..], b"\0\0and more\xff\xd9"].concat()), Ok(whole));
        }
    }

    #[test]
    fn a_jpeg_that_was_cut_anywhere_is_refused() {
        for bytes in [baseline(), progressive()] {
            for length in (0..bytes.len()).step_by(7).chain(bytes.len() - 3..bytes.len()) {
                let error = check(&bytes[..length]).unwrap_err();
                assert!(length < 3 || error.contains("cut short"), "{length}: {error}");
            }
            let holed = [&bytes[..bytes.len() / 2], &vec![0; bytes.len() / 2]].concat();
            assert!(check(&holed).unwrap_err().contains("cut short"), "zeros in place of its end");
        }
    }

    #[test]
    fn a_cut_jpeg_that_was_given_an_end_is_refused() {
        let bytes = baseline();
        for left in [40, 100, 200] {
            let cut = [&bytes[..bytes.len() - left], b"\xff\xd9"].concat();
            let error = check(&cut).unwrap_err();
            assert!(error.contains("cut short") || error.contains("damaged"), "{error}");
        }
    }

    #[test]
    fn the_end_of_a_preview_within_is_not_the_end() {
        let bytes = baseline();
        let preview = [&b"\xff\xe1\0\x0eExif\0\0"[..], b"\xff\xd8\xff\xd9\0\0"].concat();
        let with = [&bytes[..2], &preview, &bytes[2..]].concat();
        assert_eq!(check(&with), check(&bytes));
        assert!(check(&with[..with.len() - 2]).unwrap_err().contains("cut short"));
    }

    #[test]
    fn a_png_that_was_cut_or_changed_is_refused() {
        let image = GrayImage::from_fn(16, 16, |x, y| Luma([noise(x, y)]));
        let bytes = encoded(&image.into(), ImageFormat::Png);
        assert!(check(&bytes).is_ok());
        assert!(check(&[&bytes[..], b"tail"].concat()).is_ok());
        for length in 8..bytes.len() {
            assert!(check(&bytes[..length]).unwrap_err().contains("cut short"), "{length}");
        }
        for at in [20, bytes.len() / 2] {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(check(&changed).unwrap_err().contains("damaged"), "{at}");
        }
    }

    #[test]
    fn webp_images_are_read_as_png_and_cut_ones_are_refused() {
        let image: DynamicImage =
            RgbImage::from_fn(24, 17, |x, y| Rgb([noise(x, y), noise(y, x), 90])).into();
        let webp = encoded(&image, ImageFormat::WebP);
        assert_eq!(check(&webp), check(&encoded(&image, ImageFormat::Png)));
        for length in (12..webp.len()).step_by(7) {
            let refused = check(&webp[..length]).unwrap_err();
            assert!(refused.contains("cut short"), "{length}: {refused}");
        }
        // Images of one colour take a few bytes.
        let flat = |side| encoded(&RgbImage::new(side, side).into(), ImageFormat::WebP);
        assert!(check(&flat(1000)).is_ok());
        let refused = check(&flat(2000)).unwrap_err();
        assert!(refused.contains("Memory limit exceeded"), "{refused}");
    }

    #[test]
    fn turned_images_are_turned_back() {
        // Red on the left, blue on the right; orientation 6: viewers turn it clockwise by a quarter.
        let image = RgbImage::from_fn(8, 8, |x, _| Rgb([if x < 4 { 255 } else { 0 }, 0, 255]));
        let png = encoded(&image.into(), ImageFormat::Png);
        let exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        let sum = crc32fast::hash(&[&b"eXIf"[..], exif].concat()).to_be_bytes();
        let length = (exif.len() as u32).to_be_bytes();
        let turned = [&png[..33], &length, b"eXIf", exif, &sum, &png[33..]].concat();
        let (stored, turned) = (check(&png).unwrap(), check(&turned).unwrap());
        assert_eq!((turned.metadata.orientation, stored.metadata.orientation), (6, 1));
        for place in 0..64 {
            let (row, column) = (place / 8, place % 8);
            assert_eq!(turned.planes[place], stored.planes[(7 - column) * 8 + row], "{place}");
        }
    }

    #[test]
    fn a_panic_of_the_decoder_is_a_refusal() {
        let bytes = base64::engine::general_purpose::STANDARD.decode(THINNED).unwrap();
        let error = check(&bytes).unwrap_err();
        assert!(error.contains("convert it to PNG"), "{error}");
    }

    #[test]
    fn what_is_given_up_is_noted() {
        let png = |image: DynamicImage| check(&encoded(&image, ImageFormat::Png)).unwrap();
        let deep = png(ImageBuffer::from_pixel(4, 4, Luma([40_000_u16])).into());
        assert!(deep.was_deep && deep.is_grey && deep.planes[0] == 156);
        let opaque = png(ImageBuffer::from_pixel(4, 4, Rgba([1_u8, 2, 3, 255])).into());
        assert!(!opaque.was_transparent && !opaque.was_cropped && !opaque.was_deep);
        assert!(png(ImageBuffer::from_pixel(4, 5, Rgba([1_u8, 2, 3, 9])).into()).was_transparent);
        assert!(png(ImageBuffer::from_pixel(4, 5, Luma([1_u8])).into()).was_cropped);
    }

    #[test]
    fn other_kinds_are_called_by_their_names() {
        for (bytes, kind) in [
            (&b""[..], "an empty file"),
            (b"GIF89a\x01\0\x01\0", "a GIF image"),
            (b"RIFF\x10\0\0\0WEBPVP8 ", "cut short: a WebP image"),
            (b"<!doctype html>", "an HTML page"),
            (b"version https://git-lfs.github.com/spec/v1\n", "a git-lfs pointer"),
        ] {
            let error = check(bytes).unwrap_err();
            assert!(error.contains(kind), "'{error}' lacks '{kind}'");
        }
    }
}
