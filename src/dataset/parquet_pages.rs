//! Checks what the pages of a Parquet column claim to unpack to, before anything is unpacked.
//!
//! The crate `parquet` allocates what the header of a page claims. A header is a structure of Thrift's compact protocol
//! (`parquet.thrift`): field 2 is the unpacked size, field 3 the packed size, field 1 of field 7 the number of entries of
//! a dictionary.

/// Unpacked bytes allowed for any page; most writers make pages of 1 MiB.
const UNPACKED_MIN: u64 = 8 << 20;
/// Most unpacked bytes per packed byte of larger pages: that of deflate. Images hardly shrink at all.
const RATIO: u64 = 1032;
/// An entry of a dictionary of byte strings starts with its length; entries of numbers are not smaller.
const ENTRY_BYTES_MIN: u64 = 4;
/// Structures in structures; Parquet's are at most three deep.
const DEPTH_MAX: usize = 8;

/// The sizes in the header of a page, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Page {
    unpacked: u64,
    packed: u64,
    n_dictionary_entries: u64,
    header: u64,
}

/// Checks the pages of a column's bytes.
///
/// # Errors
///
/// If a page claims more than its bytes can hold, or if headers and bytes do not fit together, in words that follow a
/// name.
pub fn check(column: &[u8]) -> Result<(), String> {
    let mut rest = column;
    while !rest.is_empty() {
        let page = Scanner { rest }.page().ok_or("the header of a page is damaged")?;
        if page.unpacked > UNPACKED_MIN.max(page.packed.saturating_mul(RATIO)) {
            return Err(format!(
                "a page of '{}' bytes claims to unpack to '{}' bytes; write the file again",
                page.packed, page.unpacked
            ));
        }
        if page.n_dictionary_entries.saturating_mul(ENTRY_BYTES_MIN) > page.unpacked {
            return Err(format!(
                "a dictionary of '{}' bytes claims '{}' entries; write the file again",
                page.unpacked, page.n_dictionary_entries
            ));
        }
        let length = usize::try_from(page.header.saturating_add(page.packed)).unwrap_or(usize::MAX);
        rest = rest.get(length..).ok_or("a page is cut short")?;
    }
    Ok(())
}

struct Scanner<'a> {
    rest: &'a [u8],
}

impl Scanner<'_> {
    /// The header at the start; `None` if it is damaged.
    fn page(mut self) -> Option<Page> {
        let mut page = Page::default();
        let before = self.rest.len();
        self.fields(&mut |path, value| {
            let value = u64::try_from(value).ok()?;
            match path {
                [2] => page.unpacked = value,
                [3] => page.packed = value,
                [7, 1] => page.n_dictionary_entries = value,
                _ => {}
            }
            Some(())
        })?;
        page.header = (before - self.rest.len()) as u64;
        Some(page)
    }

    /// Walks the fields of a structure and reports the integers of sizes by their path of field numbers.
    fn fields(&mut self, report: &mut dyn FnMut(&[i64], i64) -> Option<()>) -> Option<()> {
        let mut path = vec![0_i64];
        loop {
            let head = self.byte()?;
            if head == 0 {
                path.pop();
                if path.is_empty() {
                    return Some(());
                }
                continue;
            }
            let last = path.last_mut()?;
            *last = match head >> 4 {
                0 => self.zigzag()?,
                step => last.checked_add(i64::from(step))?,
            };
            match head & 0xf {
                5 => {
                    let value = self.zigzag()?;
                    if matches!(path[..], [2 | 3] | [7, 1]) {
                        report(&path, value)?;
                    }
                }
                12 if path.len() < DEPTH_MAX => path.push(0),
                kind => self.skip(kind)?,
            }
        }
    }

    /// Skips a value that is no structure. Headers of pages hold no lists and maps.
    fn skip(&mut self, kind: u8) -> Option<()> {
        match kind {
            1 | 2 => Some(()),
            3 => self.byte().map(drop),
            4..=6 => self.varint().map(drop),
            7 => self.take(8),
            8 => {
                let length = self.varint()?;
                self.take(length)
            }
            _ => None,
        }
    }

    fn take(&mut self, length: u64) -> Option<()> {
        self.rest = self.rest.get(usize::try_from(length).ok()?..)?;
        Some(())
    }

    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// Seven bits a byte, the lowest first.
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn zigzag(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn varint(mut value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    }

    /// A dictionary page: type 2, sizes, {entries, encoding 0}, and its bytes.
    fn dictionary(unpacked: u64, packed: u64, n_entries: u64, n_bytes: usize) -> Vec<u8> {
        let [unpacked, packed, n_entries] = [unpacked, packed, n_entries].map(|n| varint(2 * n));
        let header = [
            &[0x15, 4, 0x15][..],
            &unpacked,
            &[0x15],
            &packed,
            &[0x4c, 0x15],
            &n_entries,
            &[0x15, 0, 0, 0],
        ];
        [header.concat(), vec![7; n_bytes]].concat()
    }

    #[test]
    fn claims_of_pages_are_compared_with_their_bytes() {
        let good = dictionary(100, 10, 25, 10);
        assert_eq!(check(&[good.clone(), good.clone()].concat()), Ok(()));
        assert_eq!(check(&[]), Ok(()));
        for (page, words) in [
            (dictionary(100, 10, 26, 10), "claims '26' entries"),
            (dictionary(1 << 30, 10, 1, 10), "claims to unpack to '1073741824'"),
            (dictionary(100, 11, 1, 10), "cut short"),
            (good[..5].to_vec(), "damaged"),
            (vec![0xff; 40], "damaged"),
        ] {
            assert!(check(&page).unwrap_err().contains(words), "{words}");
        }
    }

    #[test]
    fn large_pages_are_allowed_what_they_can_hold() {
        assert_eq!(check(&dictionary(1032 * 20_000, 20_000, 1, 20_000)), Ok(()));
        assert!(check(&dictionary(1033 * 20_000, 20_000, 1, 20_000)).is_err());
    }
}
