//! PNG and JPEG files to pixels, within limits.
//!
//! A header may claim any size. A file of a few bytes cannot hold the pixels of a large image, however well they are
//! packed, so nothing is allocated for more than its bytes can unpack to. A file is known by what it holds, whatever it
//! is called.

use std::fs;
use std::path::Path;

use ::image::{DynamicImage, ImageFormat, ImageReader, Limits};

use super::source::DatasetError;

/// Bytes of one decoded image at most: 180 million grey pixels, 60 million in three colours of 16 bits.
const DECODED_MAX: u64 = 512 << 20;

/// Bytes of pixels that a byte of a file can stand for. Deflate, which PNG uses, packs 1,032 bytes into one, of up to
/// eight pixels each, which are decoded to four bytes at most. A JPEG needs a bit at least for 64 pixels of a channel
/// (two colours of four kept at half the sides: 1,024 bytes of pixels).
const PNG_RATIO: u64 = 1 << 15;
const JPEG_RATIO: u64 = 1 << 11;

/// Opens one image.
pub fn open(path: &Path) -> Result<DynamicImage, DatasetError> {
    let unread = |source| DatasetError::Read { path: path.to_owned(), source };
    let n_bytes = fs::metadata(path).map_err(unread)?.len();
    let mut reader =
        ImageReader::open(path).and_then(ImageReader::with_guessed_format).map_err(unread)?;
    let ratio = if reader.format() == Some(ImageFormat::Jpeg) { JPEG_RATIO } else { PNG_RATIO };
    let mut limits = Limits::default();
    limits.max_alloc = Some(DECODED_MAX.min(ratio.saturating_mul(n_bytes)));
    reader.limits(limits);
    reader.decode().map_err(|source| DatasetError::Image { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use ::image::{GrayImage, ImageError, RgbImage};

    use super::*;

    /// A PNG whose header claims other sides, with the header's checksum mended.
    fn claiming(mut png: Vec<u8>, width: u32, height: u32) -> Vec<u8> {
        png[16..20].copy_from_slice(&width.to_be_bytes());
        png[20..24].copy_from_slice(&height.to_be_bytes());
        let checksum = crc32fast::hash(&png[12..29]);
        png[29..33].copy_from_slice(&checksum.to_be_bytes());
        png
    }

    #[test]
    fn headers_that_claim_more_than_the_file_can_hold_are_refused() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a.png");
        GrayImage::new(8, 8).save(&path).unwrap();
        let png = fs::read(&path).unwrap();
        for (width, height) in [(65_535, 65_535), (20_000, 20_000), (u32::MAX >> 1, 1)] {
            fs::write(&path, claiming(png.clone(), width, height)).unwrap();
            let refused = open(&path).unwrap_err();
            let is_limit =
                matches!(&refused, DatasetError::Image { source: ImageError::Limits(_), .. });
            assert!(is_limit, "{refused:?}");
        }
        let jpeg = place.path().join("a.jpg");
        RgbImage::new(8, 8).save(&jpeg).unwrap();
        let mut bytes = fs::read(&jpeg).unwrap();
        let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        bytes[frame + 5..frame + 9].fill(0xff);
        fs::write(&jpeg, bytes).unwrap();
        let refused = open(&jpeg).unwrap_err();
        assert!(
            matches!(&refused, DatasetError::Image { source: ImageError::Limits(_), .. }),
            "{refused:?}"
        );
    }

    #[test]
    fn images_that_pack_as_well_as_they_can_are_opened() {
        let place = tempfile::tempdir().unwrap();
        for name in ["a.png", "a.jpg"] {
            let path = place.path().join(name);
            RgbImage::new(1500, 1500).save(&path).unwrap();
            assert_eq!(open(&path).unwrap().into_rgb8().dimensions(), (1500, 1500));
        }
    }
}
