//! The header of NumPy's `.npy` format (`numpy.lib.format`):
//!
//! ```text
//! \x93NUMPY, version (2 bytes), length of the text (u16, from version 2 on u32), little-endian
//! {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }   padded with blanks, a line feed
//! ```
//!
//! The text is a Python literal. It is read by a scanner without recursion, since a literal may be nested deeply enough
//! to exhaust the stack.

use std::io::Read;

use super::array::Storage;
use super::element_type::ElementType;

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Longest text that is read. NumPy itself refuses texts of more than 10,000 characters from strangers.
const TEXT_MAX: usize = 1 << 20;
/// NumPy has at most 64 axes.
const AXES_MAX: usize = 64;

/// What a header says.
#[derive(Clone, Debug, PartialEq)]
pub struct NpyHeader {
    pub shape: Vec<usize>,
    /// The type of the numbers, or in words why they are not read.
    pub storage: Result<Storage, String>,
    /// Length of the header in bytes.
    pub n_bytes: usize,
}

impl NpyHeader {
    /// Reads a header from the start of a file.
    ///
    /// # Errors
    ///
    /// Says what is wrong, in words that follow the file's name.
    pub fn read(file: &mut impl Read) -> Result<Self, String> {
        let cut =
            |_| "it is cut short within its NumPy header; write it or fetch it again".to_owned();
        let mut start = [0; 8];
        file.read_exact(&mut start).map_err(cut)?;
        if !start.starts_with(MAGIC) {
            return Err("it does not start like a NumPy array; write it with numpy.save".to_owned());
        }
        let n_length = match start[6] {
            1 => 2,
            2 | 3 => 4,
            other => {
                return Err(format!(
                    "it has version '{other}' of the .npy format; 1 to 3 are known"
                ));
            }
        };
        let mut length = [0; 4];
        file.read_exact(&mut length[..n_length]).map_err(cut)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > TEXT_MAX {
            return Err(format!(
                "its NumPy header claims '{length}' bytes; at most {TEXT_MAX} are read"
            ));
        }
        let mut text = Vec::new();
        file.take(length as u64).read_to_end(&mut text).map_err(cut)?;
        if text.len() < length {
            return Err(cut(std::io::Error::from(std::io::ErrorKind::UnexpectedEof)));
        }
        let text = String::from_utf8_lossy(&text);
        let mut header = parse(&text).map_err(|problem| {
            let shown: String = text.trim().chars().take(80).collect();
            format!("its NumPy header is damaged ({problem}): '{shown}'")
        })?;
        header.n_bytes = 8 + n_length + length;
        Ok(header)
    }

    /// Number of bytes of the numbers, if they are of a type that is read.
    ///
    /// # Errors
    ///
    /// If no computer can hold that many.
    pub fn n_data_bytes(&self, storage: Storage) -> Result<usize, String> {
        let size =
            self.shape.iter().try_fold(storage.element.n_bytes(), |n, &axis| n.checked_mul(axis));
        size.filter(|&size| isize::try_from(size).is_ok()).ok_or_else(|| {
            format!("its header claims the shape {:?}, which no computer can hold", self.shape)
        })
    }
}

fn parse(text: &str) -> Result<NpyHeader, String> {
    let mut scanner = Scanner { rest: text };
    let (mut descr, mut is_fortran, mut shape) = (None, None, None);
    scanner.expect('{')?;
    while !scanner.take('}') {
        let key = scanner.string()?;
        scanner.expect(':')?;
        let is_new = match key {
            "descr" => descr.replace(scanner.value()?).is_none(),
            "fortran_order" => is_fortran.replace(scanner.boolean()?).is_none(),
            "shape" => shape.replace(scanner.shape()?).is_none(),
            other => return Err(format!("unknown key '{other}'")),
        };
        if !is_new {
            return Err(format!("'{key}' stands there twice"));
        }
        if !scanner.take(',') {
            scanner.expect('}')?;
            break;
        }
    }
    if !scanner.rest.trim().is_empty() {
        return Err("text follows it".to_owned());
    }
    let missing = |key: &str| format!("'{key}' is missing");
    let (descr, is_fortran, shape) = (
        descr.ok_or_else(|| missing("descr"))?,
        is_fortran.ok_or_else(|| missing("fortran_order"))?,
        shape.ok_or_else(|| missing("shape"))?,
    );
    Ok(NpyHeader { shape, storage: storage(descr, is_fortran), n_bytes: 0 })
}

/// The type of numbers that a `descr` means: a byte order, a letter and a number of bytes.
fn storage(descr: &str, is_fortran: bool) -> Result<Storage, String> {
    let text = descr.trim_matches(['\'', '"']);
    let code = text.trim_start_matches(['<', '>', '|', '=']);
    if let (Some(element), false) = (ElementType::of_numpy(code), descr.starts_with('[')) {
        return Ok(Storage { element, is_big_endian: text.starts_with('>'), is_fortran });
    }
    let shown: String = text.chars().take(40).collect();
    Err(match code.chars().next() {
        _ if descr.starts_with('[') => {
            format!("it has named fields ({shown}); save each field as an array of its own")
        }
        Some('O') => "it holds Python objects (a pickle, which is a program that the lab does not run); save it as an \
                      array of numbers, for example with numpy.stack"
            .to_owned(),
        Some('U' | 'S' | 'a') => format!("it holds text ('{shown}'), not numbers"),
        Some('c') => format!("it holds complex numbers ('{shown}'); save real ones"),
        Some('M' | 'm') => format!("it holds dates ('{shown}'), not numbers"),
        Some('V') => {
            format!("it holds raw bytes ('{shown}'), perhaps bfloat16; save it with .astype(numpy.float32)")
        }
        _ => format!("it holds numbers of the type '{shown}'; save it as uint8, int64, float32 or float64"),
    })
}

/// The part of the text that has not been read.
struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    /// Skips blanks and `wanted`; false if something else is next.
    fn take(&mut self, wanted: char) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        if self.take(wanted) { Ok(()) } else { Err(format!("'{wanted}' is missing")) }
    }

    /// A string in single or double quotes, as it is written.
    fn string(&mut self) -> Result<&'a str, String> {
        self.rest = self.rest.trim_start();
        let quote = self.rest.chars().next().filter(|c| matches!(c, '\'' | '"'));
        let quote = quote.ok_or("a string is missing")?;
        let inside = &self.rest[1..];
        let end = inside.find(quote).ok_or("a string does not end")?;
        self.rest = &inside[end + 1..];
        Ok(&inside[..end])
    }

    /// A string, or a list up to its closing bracket.
    fn value(&mut self) -> Result<&'a str, String> {
        self.rest = self.rest.trim_start();
        let whole = self.rest;
        if !whole.starts_with('[') {
            return self.string();
        }
        let mut depth = 0_usize;
        let mut quote = None;
        for (at, c) in whole.char_indices() {
            match (quote, c) {
                (Some(open), _) => quote = (c != open).then_some(open),
                (None, '\'' | '"') => quote = Some(c),
                (None, '[' | '(') => depth += 1,
                (None, ']' | ')') => {
                    depth = depth.checked_sub(1).ok_or("a bracket is closed twice")?;
                    if depth == 0 {
                        self.rest = &whole[at + 1..];
                        return Ok(&whole[..=at]);
                    }
                }
                _ => {}
            }
        }
        Err("a list does not end".to_owned())
    }

    fn boolean(&mut self) -> Result<bool, String> {
        self.rest = self.rest.trim_start();
        for (word, value) in [("True", true), ("False", false)] {
            if let Some(rest) = self.rest.strip_prefix(word) {
                self.rest = rest;
                return Ok(value);
            }
        }
        Err("'True' or 'False' is missing".to_owned())
    }

    /// A tuple of sizes. Python 2 wrote them with an `L`.
    fn shape(&mut self) -> Result<Vec<usize>, String> {
        self.expect('(')?;
        let mut sizes = Vec::new();
        while !self.take(')') {
            self.rest = self.rest.trim_start();
            let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
            let size = self.rest[..end].parse().map_err(|_| "a size of the shape is no number")?;
            self.rest = self.rest[end..].trim_start_matches('L');
            sizes.push(size);
            if sizes.len() > AXES_MAX {
                return Err(format!("the shape has more than {AXES_MAX} axes"));
            }
            if !self.take(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(sizes)
    }
}

/// The header of an array in C order, padded so that the numbers start at a multiple of 64 bytes.
pub fn header_bytes(descr: &str, shape: &[usize]) -> Vec<u8> {
    let sizes: String = shape.iter().map(|size| format!("{size}, ")).collect();
    let sizes = if shape.len() == 1 { sizes.trim_end() } else { sizes.trim_end_matches(", ") };
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({sizes}), }}");
    let n_before = MAGIC.len() + 4;
    let length = (n_before + text.len() + 1).next_multiple_of(64) - n_before;
    text.extend(std::iter::repeat_n(' ', length - 1 - text.len()));
    text.push('\n');
    // At most 64 axes of 22 characters.
    let length = u16::try_from(length).expect("a short header");
    [&MAGIC[..], &[1, 0], &length.to_le_bytes(), text.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Vec<u8> {
        [&MAGIC[..], &[1, 0], &(text.len() as u16).to_le_bytes(), text.as_bytes()].concat()
    }

    fn read(text: &str) -> Result<NpyHeader, String> {
        NpyHeader::read(&mut &file(text)[..])
    }

    #[test]
    fn headers_as_numpy_writes_them_are_read() {
        // numpy.save(file, numpy.zeros((2, 3), dtype='>f4', order='F')), NumPy 2.4.
        let text = "{'descr': '>f4', 'fortran_order': True, 'shape': (2, 3), }";
        let header = read(&format!("{text:<117}\n")).unwrap();
        let storage = Storage { element: ElementType::F32, is_big_endian: true, is_fortran: true };
        let expected = NpyHeader { shape: vec![2, 3], storage: Ok(storage), n_bytes: 128 };
        assert_eq!(header, expected);
        for (shape, expected) in
            [("()", &[][..]), ("(5,)", &[5]), ("(5L, 1L)", &[5, 1]), ("(0, 7)", &[0, 7])]
        {
            let text = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}");
            assert_eq!(read(&text).unwrap().shape, expected);
        }
    }

    #[test]
    fn written_headers_are_read_and_aligned() {
        for shape in [&[][..], &[7], &[2, 3], &[1_000_000_000, 1, 28, 28]] {
            let bytes = header_bytes("<f8", shape);
            let header = NpyHeader::read(&mut &bytes[..]).unwrap();
            assert_eq!((&header.shape[..], header.n_bytes), (shape, bytes.len()));
            assert_eq!(header.storage.unwrap().element, ElementType::F64);
            assert!(bytes.len().is_multiple_of(64) && bytes.ends_with(b"\n"));
        }
    }

    #[test]
    fn types_that_are_not_read_are_called_by_their_names() {
        for (descr, words) in [
            ("'|O'", "Python objects"),
            ("'<U5'", "text ('<U5')"),
            ("'<c8'", "complex"),
            ("'|V2'", "bfloat16"),
            ("'<f16'", "'<f16'"),
            ("[('a', '<f4'), ('b', '<i2', (3,))]", "named fields"),
            ("'<M8[ns]'", "dates"),
        ] {
            let text = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (3,), }}");
            let problem = read(&text).unwrap().storage.unwrap_err();
            assert!(problem.contains(words), "{descr}: {problem}");
        }
    }

    #[test]
    fn damaged_headers_are_refused_in_words() {
        let nested = "[".repeat(60_000);
        for (text, words) in [
            ("", "'{' is missing"),
            ("{'descr': '<f4', 'fortran_order': False, }", "'shape' is missing"),
            ("{'descr': '<f4', 'descr': '<f4'}", "twice"),
            ("{'descr': '<f4', 'fortran_order': 0", "'True' or 'False'"),
            ("{'shape': (-1,)}", "no number"),
            ("{'shape': (99999999999999999999,)}", "no number"),
            ("{'shape': (1 2)}", "')' is missing"),
            ("{'other': 1}", "unknown key 'other'"),
            (&format!("{{'descr': {nested}"), "does not end"),
        ] {
            let problem = read(text).unwrap_err();
            assert!(problem.contains(words), "{text:.60}: {problem}");
        }
        assert!(
            NpyHeader::read(&mut &b"\x93NUMPY\x09\0\0\0"[..]).unwrap_err().contains("version '9'")
        );
        assert!(
            NpyHeader::read(&mut &b"\x93NUMPY\x02\0\xff\xff\xff\xff"[..])
                .unwrap_err()
                .contains("claims")
        );
        assert!(NpyHeader::read(&mut &file("{'descr'")[..15]).unwrap_err().contains("cut short"));
    }

    #[test]
    fn shapes_beyond_any_memory_are_refused() {
        let huge =
            read("{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296), }")
                .unwrap();
        let storage = huge.storage.clone().unwrap();
        assert!(huge.n_data_bytes(storage).unwrap_err().contains("no computer"));
    }
}
