//! Metadata of image files: the orientation, and further images in the file, which the lab does not read.
//!
//! ```text
//! JPEG: APP1 'Exif' and a TIFF header: tag 0x0112 is the orientation, 1 for upright
//!       APP2 'MPF' and a TIFF header:  tag 0xb001 is the number of pictures (CIPA DC-007)
//! PNG:  chunk eXIf, the same TIFF header; chunk acTL, the frames of an animation
//! WebP: chunk EXIF, the same TIFF header, often after 'Exif'; chunks ANMF, one for each frame of an animation
//! ```

/// Metadata of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// How the image is to be turned or mirrored, 1 to 8 as in EXIF; 1 for upright.
    pub orientation: u8,
    /// The file contains further frames or pictures.
    pub has_more: bool,
}

impl Default for Metadata {
    fn default() -> Self {
        Self { orientation: 1, has_more: false }
    }
}

const ORIENTATION: u16 = 0x0112;
const N_PICTURES: u16 = 0xb001;

impl Metadata {
    /// The image has to be turned or mirrored.
    pub fn is_turned(&self) -> bool {
        self.orientation != 1
    }

    fn orient(&mut self, tiff: &[u8]) {
        let found = tag(tiff, ORIENTATION).and_then(|value| u8::try_from(value).ok());
        if let Some(orientation) = found.filter(|value| (2..=8).contains(value)) {
            self.orientation = orientation;
        }
    }

    pub fn of_webp(bytes: &[u8]) -> Self {
        let mut found = Self::default();
        let mut n_frames = 0;
        let mut rest = bytes.get(12..).unwrap_or_default();
        while let Some((name, after)) = rest.split_first_chunk::<4>() {
            let Some((length, after)) = after.split_first_chunk::<4>() else { break };
            let size = u32::from_le_bytes(*length) as usize;
            let Some(data) = after.get(..size) else { break };
            match name {
                b"ANMF" => n_frames += 1,
                b"EXIF" => found.orient(data.strip_prefix(b"Exif\0\0").unwrap_or(data)),
                _ => {}
            }
            // Chunks are padded to even lengths.
            rest = after.get(size.saturating_add(size % 2)..).unwrap_or_default();
        }
        found.has_more = n_frames > 1;
        found
    }

    pub fn of_png(bytes: &[u8]) -> Self {
        let mut found = Self::default();
        let mut rest = bytes.get(8..).unwrap_or_default();
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let size = u32::from_be_bytes(*length) as usize;
            let Some(data) = after.get(4..size.saturating_add(4)) else { break };
            match &after[..4] {
                b"acTL" => {
                    found.has_more |= data.first_chunk().is_some_and(|n| u32::from_be_bytes(*n) > 1)
                }
                b"eXIf" => found.orient(data),
                _ => {}
            }
            rest = after.get(size.saturating_add(8)..).unwrap_or_default();
        }
        found
    }

    pub fn of_jpeg(bytes: &[u8]) -> Self {
        let mut found = Self::default();
        let mut rest = bytes.get(2..).unwrap_or_default();
        // Up to the first scan; there may be fill bytes between segments.
        while let Some((&[0xff, marker], after)) = rest.split_first_chunk::<2>() {
            if marker == 0xff {
                rest = &rest[1..];
                continue;
            }
            let Some(length) = after.first_chunk::<2>() else { break };
            let length = usize::from(u16::from_be_bytes(*length));
            let (0xc0..=0xd7 | 0xdb..=0xfe, Some(data)) = (marker, after.get(2..length)) else {
                break;
            };
            match marker {
                0xe1 => {
                    if let Some(tiff) = data.strip_prefix(b"Exif\0\0") {
                        found.orient(tiff);
                    }
                }
                0xe2 => {
                    let n = data.strip_prefix(b"MPF\0").map(|tiff| tag(tiff, N_PICTURES));
                    found.has_more |= n.is_some_and(|n| n != Some(1));
                }
                _ => {}
            }
            rest = &after[length..];
        }
        found
    }
}

/// The value of a tag in a TIFF header's first directory.
fn tag(tiff: &[u8], wanted: u16) -> Option<u32> {
    let is_little = match tiff.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let short = |at: usize| {
        let bytes = *tiff.get(at..)?.first_chunk::<2>()?;
        Some(if is_little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let long = |at: usize| {
        let bytes = *tiff.get(at..)?.first_chunk::<4>()?;
        Some(if is_little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    };
    let directory = long(4)? as usize;
    // Entries of 12 bytes: tag, type, count, value.
    let entries = (0..usize::from(short(directory)?)).map(|i| directory + 2 + 12 * i);
    let entry = entries.into_iter().find(|&at| short(at) == Some(wanted))?;
    match short(entry + 2)? {
        3 => short(entry + 8).map(u32::from),
        4 => long(entry + 8),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A TIFF header with one tag, of type SHORT or LONG, in both byte orders.
    fn headers(tag: u16, kind: u16, value: u32) -> [Vec<u8>; 2] {
        let little = [
            &b"II*\0\x08\0\0\0\x01\0"[..],
            &tag.to_le_bytes(),
            &kind.to_le_bytes(),
            &[1, 0, 0, 0],
            &value.to_le_bytes(),
        ];
        let big_value = if kind == 3 { value << 16 } else { value };
        let big = [
            &b"MM\0*\0\0\0\x08\0\x01"[..],
            &tag.to_be_bytes(),
            &kind.to_be_bytes(),
            &[0, 0, 0, 1],
            &big_value.to_be_bytes(),
        ];
        [little.concat(), big.concat()]
    }

    fn jpeg(marker: u8, name: &[u8], tiff: &[u8]) -> Metadata {
        let length = ((2 + name.len() + tiff.len()) as u16).to_be_bytes();
        let start = &b"\xff\xd8\xff\xe0\0\x04ab"[..];
        Metadata::of_jpeg(
            &[start, &[0xff, 0xff, marker], &length, name, tiff, b"\xff\xda"].concat(),
        )
    }

    fn webp(chunks: &[(&[u8; 4], &[u8])]) -> Metadata {
        let mut bytes = b"RIFF\0\0\0\0WEBP".to_vec();
        for (name, data) in chunks {
            bytes.extend([&name[..], &(data.len() as u32).to_le_bytes(), data].concat());
            bytes.resize(bytes.len().next_multiple_of(2), 0);
        }
        Metadata::of_webp(&bytes)
    }

    fn png(name: &[u8], data: &[u8]) -> Metadata {
        let length = (data.len() as u32).to_be_bytes();
        let start = &b"\x89PNG\r\n\x1a\n\0\0\0\x01tEXtxCRC."[..];
        Metadata::of_png(&[start, &length, name, data, b"CRC."].concat())
    }

    #[test]
    fn orientations_are_found_in_both_orders_of_bytes() {
        for (value, orientation) in [(1, 1), (3, 3), (6, 6), (8, 8), (9, 1), (0, 1)] {
            for tiff in headers(ORIENTATION, 3, value) {
                let expected = Metadata { orientation, has_more: false };
                for name in [&b""[..], b"Exif\0\0"] {
                    assert_eq!(webp(&[(b"EXIF", &[name, &tiff].concat())]), expected);
                }
                assert_eq!(jpeg(0xe1, b"Exif\0\0", &tiff), expected);
                assert_eq!(png(b"eXIf", &tiff), expected);
                assert_eq!(jpeg(0xe1, b"Exif\0\0", &tiff[..15]), Metadata::default());
            }
        }
    }

    #[test]
    fn further_frames_and_pictures_are_found() {
        for (n, has_more) in [(1, false), (2, true)] {
            let expected = Metadata { orientation: 1, has_more };
            for tiff in headers(N_PICTURES, 4, n) {
                assert_eq!(jpeg(0xe2, b"MPF\0", &tiff), expected);
            }
            assert_eq!(webp(&vec![(b"ANMF", &b"odd"[..]); n as usize]), expected);
            assert_eq!(png(b"acTL", &[0, 0, 0, n as u8, 0, 0, 0, 0]), expected);
        }
    }
}
