//! Checks that the coded data of a JPEG file are complete: as much as its header specifies, and no more.
//!
//! Decoders produce pixels from whatever data they find. This module produces none: it reads the Huffman codes
//! of all scans (ITU-T T.81, annexes F and G) to check that
//!
//! - every code is in its table, no block has more than 64 coefficients, and none is missing at a scan's end;
//! - nothing is left between the last block and the next marker, in a scan and in each restart interval;
//! - restart markers are in the right places and count from 0 to 7;
//! - a progressive file's scans contain every bit of every coefficient.
//!
//! Zeros in place of data are codes too, but they decode to a different number of blocks. Damage that changes
//! pixels but keeps the number of bits is not detected, since JPEG has no checksum. Arithmetic coding, lossless
//! and hierarchical files are not checked; the decoder refuses them.

use super::jpeg_bits::{Bits, Table, damaged};

/// One bit per coefficient of a block, in coding order.
type Mask = u64;

const N_COEFFICIENTS: usize = 64;
/// Lowest bit of a coefficient that no scan has contained yet.
const MISSING: u8 = u8::MAX;
/// Checks a file from its start to its first end marker (EOI).
///
/// # Errors
///
/// Describes the defect in words that follow "it is".
pub fn check(bytes: &[u8]) -> Result<(), String> {
    let mut walk = Walk::default();
    let mut at = 2;
    loop {
        let Some(marker) = next_marker(bytes, &mut at) else { return Ok(()) };
        match marker {
            0xd9 => return walk.check_complete(),
            0x01 | 0xd0..=0xd8 => continue,
            _ => {}
        }
        let Some(length) = bytes.get(at..).and_then(|rest| rest.first_chunk::<2>()) else {
            return Ok(());
        };
        let end = at + usize::from(u16::from_be_bytes(*length));
        let Some(segment) = bytes.get(at + 2..end) else { return Ok(()) };
        at = end;
        let read = match marker {
            0xc0..=0xc2 => walk.frame(segment, marker == 0xc2),
            // Other coding processes.
            0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => return Ok(()),
            0xc4 => walk.tables(segment),
            0xdd => segment.first_chunk::<2>().map(|n| {
                walk.restart_interval = usize::from(u16::from_be_bytes(*n));
            }),
            0xda => match walk.scan_header(segment) {
                // Frames of videos omit standard tables, which decoders know.
                Some(scan) if !walk.has_tables(&scan) => return Ok(()),
                Some(scan) => {
                    at += walk.scan(&scan, &bytes[at..])?;
                    Some(())
                }
                None => None,
            },
            _ => Some(()),
        };
        if read.is_none() {
            return Err("damaged: a JPEG header that does not fit its length".to_owned());
        }
    }
}

/// Finds the next marker and moves past it.
fn next_marker(bytes: &[u8], at: &mut usize) -> Option<u8> {
    loop {
        *at += bytes.get(*at..)?.iter().position(|&byte| byte == 0xff)? + 1;
        match *bytes.get(*at)? {
            // A fill byte; the marker follows.
            0xff => {}
            0 => *at += 1,
            marker => {
                *at += 1;
                return Some(marker);
            }
        }
    }
}

/// A colour component, in blocks of 8x8 pixels.
struct Component {
    id: u8,
    /// Number of blocks in an interleaved unit (MCU), horizontally and vertically.
    sampling: [usize; 2],
    /// Number of blocks that contain pixels, and number in whole units, horizontally and vertically.
    own: [usize; 2],
    padded: [usize; 2],
    /// Non-zero coefficients of each block, in progressive files.
    nonzero: Vec<Mask>,
    /// Lowest bit received so far, for each coefficient.
    low: [u8; N_COEFFICIENTS],
}

/// Header of a scan.
struct Scan {
    /// Components, each with the indices of its tables for the first and for the other coefficients.
    of: Vec<(usize, [usize; 2])>,
    /// First and last coefficient.
    band: [usize; 2],
    /// The lowest bit before and after this scan; `high` is 0 in a first scan.
    high: u8,
    low: u8,
}

#[derive(Default)]
struct Walk {
    is_progressive: bool,
    components: Vec<Component>,
    /// Number of interleaved units (MCUs), horizontally and vertically.
    units: [usize; 2],
    /// Four tables for the first coefficient and four for the others.
    tables: [[Option<Table>; 4]; 2],
    restart_interval: usize,
}

impl Walk {
    fn frame(&mut self, segment: &[u8], is_progressive: bool) -> Option<()> {
        let (head, rest) = segment.split_first_chunk::<6>()?;
        if !self.components.is_empty() {
            return None;
        }
        let size = [head[3..5].try_into().ok()?, head[1..3].try_into().ok()?]
            .map(|side: [u8; 2]| usize::from(u16::from_be_bytes(side)));
        let each: Vec<&[u8]> = rest.chunks_exact(3).take(usize::from(head[5])).collect();
        let sampling = |one: &[u8]| [usize::from(one[1] >> 4), usize::from(one[1] & 15)];
        if each.len() != usize::from(head[5])
            || each.iter().flat_map(|one| sampling(one)).any(|n| !(1..=4).contains(&n))
        {
            return None;
        }
        let most = [0, 1].map(|axis| each.iter().map(|one| sampling(one)[axis]).max().unwrap_or(1));
        self.units = [0, 1].map(|axis| size[axis].div_ceil(8 * most[axis]));
        self.is_progressive = is_progressive;
        let component = |one: &&[u8]| {
            let sampling = sampling(one);
            let own = [0, 1].map(|a| (size[a] * sampling[a]).div_ceil(most[a]).div_ceil(8));
            let padded = [0, 1].map(|a| self.units[a] * sampling[a]);
            let n_kept = if is_progressive { padded[0] * padded[1] } else { 0 };
            let nonzero = vec![0; n_kept];
            Component { id: one[0], sampling, own, padded, nonzero, low: [MISSING; N_COEFFICIENTS] }
        };
        self.components = each.iter().map(component).collect();
        Some(())
    }

    fn tables(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((&which, rest)) = segment.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>()?;
            let n: usize = counts.iter().map(|&n| usize::from(n)).sum();
            let symbols = rest.get(..n)?;
            segment = &rest[n..];
            let place = self.tables.get_mut(usize::from(which >> 4))?;
            *place.get_mut(usize::from(which & 15))? = Some(Table::new(counts, symbols)?);
        }
        Some(())
    }

    fn scan_header(&self, segment: &[u8]) -> Option<Scan> {
        let (&n, rest) = segment.split_first()?;
        let (each, rest) = rest.split_at_checked(2 * usize::from(n))?;
        let of: Vec<(usize, [usize; 2])> = each
            .chunks_exact(2)
            .map(|one| {
                let number = self.components.iter().position(|own| own.id == one[0])?;
                Some((number, [usize::from(one[1] >> 4), usize::from(one[1] & 15)]))
            })
            .collect::<Option<_>>()?;
        let &[first, last, bits, ..] = rest else { return None };
        if of.is_empty() {
            return None;
        }
        if !self.is_progressive {
            return Some(Scan { of, band: [0, N_COEFFICIENTS - 1], high: 0, low: 0 });
        }
        let band = [usize::from(first), usize::from(last)];
        let fits = band[0] <= band[1]
            && band[1] < N_COEFFICIENTS
            && if band[0] == 0 { band[1] == 0 } else { of.len() == 1 };
        fits.then_some(Scan { of, band, high: bits >> 4, low: bits & 15 })
    }

    /// True if all tables that a scan needs are present.
    fn has_tables(&self, scan: &Scan) -> bool {
        let has = |kind: usize, which: usize| matches!(self.tables[kind].get(which), Some(Some(_)));
        let is_first = scan.band[0] == 0;
        let [needs_first, needs_others] = match self.is_progressive {
            true => [is_first && scan.high == 0, !is_first],
            false => [true, true],
        };
        scan.of.iter().all(|&(_, [first, others])| {
            (!needs_first || has(0, first)) && (!needs_others || has(1, others))
        })
    }

    /// Reads a scan's data at the start of `bytes` and returns their length.
    fn scan(&mut self, scan: &Scan, bytes: &[u8]) -> Result<usize, String> {
        self.note_progress(scan)?;
        // With a single component, a unit is one of its own blocks; with several, the interleaved blocks.
        let units = match scan.of[..] {
            [(one, _)] => self.components[one].own,
            _ => self.units,
        };
        let n_units = units[0] * units[1];
        let interval = if self.restart_interval == 0 { n_units } else { self.restart_interval };
        let mut bits = Bits::new(bytes);
        let mut rest_of_band = 0;
        for unit in 0..n_units {
            if unit > 0 && unit % interval == 0 {
                if rest_of_band > 0 {
                    return Err(damaged("a run of blocks goes on behind a restart marker"));
                }
                bits.restart((unit / interval - 1) as u8 % 8)?;
            }
            let place = [unit % units[0], unit / units[0]];
            if let [(one, tables)] = scan.of[..] {
                self.block((one, tables), place, scan, &mut bits, &mut rest_of_band)?;
                continue;
            }
            for &(number, tables) in &scan.of {
                let [across, down] = self.components[number].sampling;
                for i in 0..across * down {
                    let place = [place[0] * across + i % across, place[1] * down + i / across];
                    self.block((number, tables), place, scan, &mut bits, &mut rest_of_band)?;
                }
            }
        }
        if rest_of_band > 0 {
            return Err(damaged("a run of blocks goes on behind the end of the image"));
        }
        let end = bits.end()?;
        // A restart marker here means a surplus interval, with its data.
        match bytes[end..] {
            [0xff, 0xd0..=0xd7, next, ..] if next != 0xff => {
                Err(damaged("a restart interval is left behind its last block"))
            }
            _ => Ok(end),
        }
    }

    /// Records the bits that a scan contains; they must follow those of earlier scans.
    fn note_progress(&mut self, scan: &Scan) -> Result<(), String> {
        for &(number, _) in &scan.of {
            for low in &mut self.components[number].low[scan.band[0]..=scan.band[1]] {
                let is_next = match scan.high {
                    0 => true,
                    high => *low == high,
                };
                if !is_next {
                    return Err(damaged("a scan is missing before another that refines it"));
                }
                *low = scan.low;
            }
        }
        Ok(())
    }

    fn check_complete(&self) -> Result<(), String> {
        match self.components.iter().flat_map(|one| &one.low).all(|&low| low == 0) {
            true => Ok(()),
            false => {
                Err("cut short: scans are missing, which would bring the image's details"
                    .to_owned())
            }
        }
    }

    fn block(
        &mut self,
        (number, [first_table, other_table]): (usize, [usize; 2]),
        place: [usize; 2],
        scan: &Scan,
        bits: &mut Bits<'_>,
        rest_of_band: &mut u32,
    ) -> Result<(), String> {
        let table = |kind: usize, which: usize| {
            self.tables[kind]
                .get(which)
                .and_then(Option::as_ref)
                .ok_or_else(|| damaged("a Huffman table is missing"))
        };
        if !self.is_progressive {
            first_coefficient(bits, table(0, first_table)?)?;
            return other_coefficients(bits, table(1, other_table)?);
        }
        if scan.band[0] == 0 {
            return match scan.high {
                0 => first_coefficient(bits, table(0, first_table)?),
                _ => bits.skip(1),
            };
        }
        let table = table(1, other_table)?;
        let component = &mut self.components[number];
        let nonzero = &mut component.nonzero[place[1] * component.padded[0] + place[0]];
        match scan.high {
            0 => first_bits(bits, table, scan.band, nonzero, rest_of_band),
            _ => next_bit(bits, table, scan.band, nonzero, rest_of_band),
        }
    }
}

/// Reads the difference between a block's first coefficient and the previous one (F.2.2.1).
fn first_coefficient(bits: &mut Bits<'_>, table: &Table) -> Result<(), String> {
    let size = bits.symbol(table)?;
    bits.skip(u32::from(size.min(16)))
}

/// Reads the other coefficients in a sequential file (F.2.2.2): a number of zeros, then the size of one
/// coefficient.
fn other_coefficients(bits: &mut Bits<'_>, table: &Table) -> Result<(), String> {
    let mut k = 1;
    while k < N_COEFFICIENTS {
        let symbol = bits.symbol(table)?;
        let (zeros, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
        match (zeros, size) {
            (15, 0) => {}
            (_, 0) => break,
            _ => bits.skip(size)?,
        }
        k = next(k + zeros, N_COEFFICIENTS - 1, size)? + 1;
    }
    Ok(())
}

/// Checks that a position is in the block if a coefficient is stored there.
fn next(k: usize, last: usize, size: u32) -> Result<usize, String> {
    match k > last && size > 0 {
        true => Err(damaged("a block has more coefficients than there are")),
        false => Ok(k),
    }
}

/// Reads the first bits of coefficients in a progressive file (G.1.2.2) and records the non-zero ones.
fn first_bits(
    bits: &mut Bits<'_>,
    table: &Table,
    [first, last]: [usize; 2],
    nonzero: &mut Mask,
    rest_of_band: &mut u32,
) -> Result<(), String> {
    if *rest_of_band > 0 {
        *rest_of_band -= 1;
        return Ok(());
    }
    let mut k = first;
    while k <= last {
        let symbol = bits.symbol(table)?;
        let (zeros, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
        if size == 0 && zeros < 15 {
            *rest_of_band = (1 << zeros) - 1 + bits.take(zeros as u32)?;
            break;
        }
        k = next(k + zeros, last, size)?;
        if size > 0 {
            bits.skip(size)?;
            *nonzero |= 1 << k;
        }
        k += 1;
    }
    Ok(())
}

/// Reads one more bit of coefficients (G.1.2.3): of those that were non-zero before, and of those that become
/// so.
fn next_bit(
    bits: &mut Bits<'_>,
    table: &Table,
    [first, last]: [usize; 2],
    nonzero: &mut Mask,
    rest_of_band: &mut u32,
) -> Result<(), String> {
    let mut k = first;
    while *rest_of_band == 0 && k <= last {
        let symbol = bits.symbol(table)?;
        let (mut zeros, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        match size {
            0 if zeros < 15 => {
                *rest_of_band = (1 << zeros) + bits.take(zeros)?;
                break;
            }
            0 => {}
            // Skips the sign.
            1 => bits.skip(1)?,
            _ => return Err(damaged("a coefficient grows by more than a bit")),
        }
        while k <= last {
            if *nonzero >> k & 1 == 1 {
                bits.skip(1)?;
            } else if zeros == 0 {
                break;
            } else {
                zeros -= 1;
            }
            k += 1;
        }
        k = next(k, last, size)?;
        if size == 1 {
            *nonzero |= 1 << k;
        }
        k += 1;
    }
    if *rest_of_band > 0 {
        for k in k..=last {
            bits.skip(u32::from(*nonzero >> k & 1 == 1))?;
        }
        *rest_of_band -= 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use base64::Engine;

    use super::*;

    /// Colour, 40x24, quality 75, a restart marker after every second unit, by libjpeg.
    const RESTARTS: &str = "\
        /9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkSEw8UHRofHh0aHBwgJC4nICIsIxwcKDcpLDAxNDQ0\
        Hyc5PTgyPC4zNDL/2wBDAQkJCQwLDBgNDRgyIRwhMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIy\
        MjL/wAARCAAYACgDAREAAhEBAxEB/8QAGQAAAgMBAAAAAAAAAAAAAAAABQYCAwQH/8QALBAAAQMCBQMDAwUAAAAAAAAAAQIEEQMFAAYS\
        EyEUIjEjMkEVQlFhcYGhsf/EABgBAQEBAQEAAAAAAAAAAAAAAAUEBgMH/8QAKhEAAQIEBAUFAQEAAAAAAAAAAQMEAAIRIRIxQVEFE2GR\
        oSIycbHwgdH/3QAEAAL/2gAMAwEAAhEDEQA/AOTNW25HGPU3E9KiOEnpgy2tG5HbgNy5peKpF8Mf/9BYbZZ3I7MNuH1IskfYdYMNsl7k\
        el/WAnHFKaxVJxTDrH//0ZnJTRpSTVeVKLempWkLrLCAT+JP7HAqnFFJzROpPS5jSN+KqKHCkDMel/qOdWdtuaeMewvVKRlFPTH/0oWe\
        0bmntwy+c01gpRfDBZ9crfYaqWuwp290hRooIAR496vgkSQIP8SDgMIKupTNXDL+7xWxZLPBzK4ZNzr8DXuP7SP/07qVbMF3UJdKbUyo\
        KFNqNsAgR5HcR8wSf8xEvK0QuBU7m/jLxDCSDJsPbiO81/GXYRpRl602jbFxcU6KlxCIKlkGedIBMcHmIwYs8XXrygT+3P1CiLty5ryZ\
        Saa5DubV6R//1FXLLbc0cY3nE1KVMcXfph8uT+pYbTRDVKetdKKKRUJ0ADuX4gkSBB/M8gEYyMqIdKnH7Rn12HSIuHtA8WPM9ktz12H9\
        v20rH//Vty7l6mmlu1dKKaE6lLUYSkDyScdOIvSTQX/eYucuyThluTG36m8fV1NbKNhp7eo0erU4IJE+0c8fdwDI8YJVQTSGNxebbT94\
        hFBikjKFHV5ttB/p300oc4//1iFanZsrN19VTW4dU0hXT0UyRI7dR8CTH68gxGM9MXD00ktLucrZ/P1amca5d6pyJnU5wpjXe4FANTfo\
        K5kR/9k=";
    /// Colour, 24x16, progressive, ten scans, by libjpeg.
    const PROGRESSIVE: &str = "\
        /9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAUDBAQEAwUEBAQFBQUGBwwIBwcHBw8LCwkMEQ8SEhEPERETFhwXExQaFRERGCEYGh0dHx8f\
        ExciJCIeJBweHx7/2wBDAQUFBQcGBw4ICA4eFBEUHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4e\
        Hh7/wgARCAAQABgDASIAAhEBAxEB/8QAGAAAAwEBAAAAAAAAAAAAAAAAAAUGAQf/xAAWAQEBAQAAAAAAAAAAAAAAAAAGAwT/2gAMAwEA\
        AhADEAAAAecM8smsERXhHb//xAAYEAADAQEAAAAAAAAAAAAAAAAAAwQRAv/aAAgBAQABBQJfGi59Fw6ScaST6PemTr//xAAcEQABAwUA\
        AAAAAAAAAAAAAAADAAECBBITIYH/2gAIAQMBAT8Bc2FBNVkjdCOuL//EAB0RAAAFBQAAAAAAAAAAAAAAAAABAgMEBRITIYH/2gAIAQIB\
        AT8BqcvGHJUhZ3JLXB//xAAdEAABAwUBAAAAAAAAAAAAAAAAAQMxEBITQVJx/9oACAEBAAY/AiCK47Fcd5TXp//EABsQAAICAwEAAAAA\
        AAAAAAAAAAAhAREQQVFx/9oACAEBAAE/IefPWqLogyFdlR6aR//aAAwDAQACAAMAAAAQc8//xAAZEQEAAgMAAAAAAAAAAAAAAAABABEx\
        YZH/2gAIAQMBAT8QgCoVi0X1Gtz/xAAZEQADAAMAAAAAAAAAAAAAAAAAASERMbH/2gAIAQIBAT8QxXSubaqdP//EABwQAQADAAIDAAAA\
        AAAAAAAAAAEAESExYUFRgf/aAAgBAQABPxDIamLl8mTlfU8bc97vqBOrsw1K5bKUAXC6EZ//2Q==";

    fn bytes(text: &str) -> Vec<u8> {
        base64::engine::general_purpose::STANDARD.decode(text).unwrap()
    }

    /// Start and end of each scan's data.
    fn scans(file: &[u8]) -> Vec<[usize; 2]> {
        let (mut found, mut at) = (Vec::new(), 2);
        while let Some(marker) = next_marker(file, &mut at) {
            let is_scan = marker == 0xda;
            if matches!(marker, 0xc0..=0xcf | 0xda..=0xfe) {
                at += usize::from(u16::from_be_bytes([file[at], file[at + 1]]));
            }
            if is_scan {
                let mut end = at;
                while matches!(file[end..], [0xff, 0 | 0xd0..=0xd7, ..] | [0..=0xfe, ..]) {
                    end += 1;
                }
                found.push([at, end]);
            }
        }
        found
    }

    fn refused(file: &[u8], what: &str) {
        let found = check(file);
        assert!(found.is_err(), "{what} is taken for whole");
    }

    #[test]
    fn whole_files_are_whole() {
        for text in [RESTARTS, PROGRESSIVE] {
            assert_eq!(check(&bytes(text)), Ok(()));
        }
        // Zeros up to a word boundary, and fill bytes before a marker.
        let whole = bytes(RESTARTS);
        let end = whole.len() - 2;
        for fill in [&[0][..], &[0; 3], &[0xff; 5], &[0, 0xff]] {
            assert_eq!(check(&[&whole[..end], fill, &whole[end..]].concat()), Ok(()));
        }
    }

    #[test]
    fn holes_are_found() {
        let whole = bytes(RESTARTS);
        let [start, end] = scans(&whole)[0];
        let mut half = whole.clone();
        half[(start + end) / 2..end].fill(0);
        refused(&half, "second half of zeros");
        let mut few = whole.clone();
        few[start + 40..start + 80].fill(0);
        refused(&few, "zeros in the middle");
        refused(&[&whole[..start + 50], &whole[start + 60..]].concat(), "a cut in the middle");
        refused(&[&whole[..end], &[7; 4], &whole[end..]].concat(), "data behind the last block");
    }

    #[test]
    fn restart_intervals_that_are_missing_or_too_many_are_found() {
        let whole = bytes(RESTARTS);
        let [start, end] = scans(&whole)[0];
        let markers: Vec<usize> = (start..end - 1)
            .filter(|&at| whole[at] == 0xff && (0xd0..=0xd7).contains(&whole[at + 1]))
            .collect();
        assert!(markers.len() >= 3, "{markers:?}");
        for pair in markers.windows(2) {
            refused(&[&whole[..pair[0]], &whole[pair[1]..]].concat(), "a file without an interval");
        }
        let last = &whole[markers[markers.len() - 1]..end];
        refused(&[&whole[..end], last, &whole[end..]].concat(), "an interval twice");
        for &at in &markers {
            for left in [1, 2] {
                refused(&[&whole[..at - left], &whole[at..]].concat(), "a short interval");
            }
            refused(&[&whole[..at], &[9], &whole[at..]].concat(), "a long interval");
        }
    }

    #[test]
    fn scans_that_are_missing_are_found() {
        let whole = bytes(PROGRESSIVE);
        let scans = scans(&whole);
        assert!(scans.len() > 5);
        for (i, &[_, end]) in scans[..scans.len() - 1].iter().enumerate() {
            refused(&[&whole[..end], b"\xff\xd9"].concat(), "a file with its first scans");
            let next = scans[i + 1][1];
            refused(&[&whole[..end], &whole[next..]].concat(), "a file without a scan");
        }
        for [start, end] in scans {
            let mut zeros = whole.clone();
            zeros[start..end].fill(0);
            // A scan of three bytes or fewer may consist of zeros.
            if end - start > 6 {
                refused(&zeros, "a scan of zeros");
            }
            refused(&[&whole[..end - 1], &whole[end..]].concat(), "a scan without its last byte");
        }
    }

    #[test]
    fn no_bytes_are_too_odd() {
        for text in [RESTARTS, PROGRESSIVE] {
            let whole = bytes(text);
            for at in 0..whole.len() {
                for value in [0, 1, 0x7f, 0xff, whole[at] ^ 0x10] {
                    let mut odd = whole.clone();
                    odd[at] = value;
                    // Any result is fine, as long as there is no panic.
                    let _ = check(&odd);
                }
                let _ = check(&whole[..at]);
            }
        }
    }
}
