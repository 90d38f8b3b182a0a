//! Huffman codes and bits of JPEG data between two markers (ITU-T T.81, annexes C and F); `jpeg_completeness.rs`
//! interprets them.

/// Maximum number of zero bytes after a scan, which some encoders add for word alignment.
const FILL_MAX: usize = 3;

/// A Huffman table: for any 16 bits, the length of the code that they start with (0 if there is none) and its
/// symbol.
pub struct Table(Vec<(u8, u8)>);

impl Table {
    pub fn new(counts: &[u8], symbols: &[u8]) -> Option<Self> {
        let mut entries = vec![(0, 0); 1 << 16];
        let (mut first, mut symbols) = (0, symbols.iter());
        for (length, &count) in (1_u8..).zip(counts) {
            for &symbol in symbols.by_ref().take(usize::from(count)) {
                let n = 1 << (16 - length);
                entries.get_mut(first..first + n)?.fill((length, symbol));
                first += n;
            }
        }
        Some(Self(entries))
    }
}

/// Reader of the bits of coded data, up to a marker.
pub struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The lowest `n` of these bits come next.
    taken: u64,
    n: u32,
}

impl<'a> Bits<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, taken: 0, n: 0 }
    }

    /// The next data byte; a 0xff in the data is followed by a stuffed zero.
    fn byte(&mut self) -> Option<u8> {
        match *self.bytes.get(self.at..)? {
            [0xff, 0, ..] => {
                self.at += 2;
                Some(0xff)
            }
            [byte, ..] if byte != 0xff => {
                self.at += 1;
                Some(byte)
            }
            _ => None,
        }
    }

    fn fill(&mut self) {
        while self.n <= 48 {
            let Some(byte) = self.byte() else { return };
            self.taken = self.taken << 8 | u64::from(byte);
            self.n += 8;
        }
    }

    pub fn symbol(&mut self, table: &Table) -> Result<u8, String> {
        if self.n < 16 {
            self.fill();
        }
        let next = match self.n.checked_sub(16) {
            Some(behind) => self.taken >> behind,
            None => self.taken << (16 - self.n),
        };
        match table.0[(next & 0xffff) as usize] {
            // Fewer than 16 remaining bits may be the start of a valid code.
            (0, _) if self.n >= 16 => Err(damaged("bits that are no code")),
            (0, _) => Err(ended()),
            (length, symbol) => self.skip(u32::from(length)).map(|()| symbol),
        }
    }

    pub fn skip(&mut self, n: u32) -> Result<(), String> {
        self.take(n).map(drop)
    }

    /// Reads a number of up to 16 bits.
    pub fn take(&mut self, n: u32) -> Result<u32, String> {
        if self.n < n {
            self.fill();
        }
        self.n = self.n.checked_sub(n).ok_or_else(ended)?;
        Ok((self.taken >> self.n) as u32 & ((1 << n) - 1))
    }

    /// Skips the padding of the last byte, before a marker; returns the number of bytes read in total.
    pub fn end(&mut self) -> Result<usize, String> {
        // Ones by the standard (F.1.2.3), zeros in some encoders.
        let n = self.n % 8;
        self.n -= n;
        let padding = (self.taken >> self.n) & ((1 << n) - 1);
        if padding != 0 && padding != (1 << n) - 1 {
            return Err(damaged("bits are left behind its last block"));
        }
        let mut n_left = 0;
        let mut only_zeros = true;
        while self.n > 0
            || !matches!(self.bytes.get(self.at), Some(0xff) | None)
            || self.is_stuffed()
        {
            self.fill();
            self.n -= 8;
            n_left += 1;
            only_zeros &= (self.taken >> self.n) & 0xff == 0;
        }
        if n_left > 0 && !(only_zeros && n_left <= FILL_MAX) {
            return Err(damaged(&format!("'{n_left}' bytes are left behind its last block")));
        }
        (self.taken, self.n) = (0, 0);
        Ok(self.at)
    }

    fn is_stuffed(&self) -> bool {
        matches!(self.bytes.get(self.at..), Some([0xff, 0, ..]))
    }

    /// Skips the restart marker with this number.
    pub fn restart(&mut self, number: u8) -> Result<(), String> {
        self.end()?;
        while matches!(self.bytes.get(self.at..), Some([0xff, 0xff, ..])) {
            self.at += 1;
        }
        match self.bytes.get(self.at + 1) {
            Some(&marker) if marker == 0xd0 + number => {
                self.at += 2;
                Ok(())
            }
            Some(0xd0..=0xd7) => Err(damaged("a restart interval is missing")),
            _ => Err(ended()),
        }
    }
}

/// The error for data that no encoder writes, in words that follow "it is".
pub fn damaged(problem: &str) -> String {
    format!("damaged: in its JPEG data {problem}")
}

/// The error for data that end too early.
fn ended() -> String {
    "cut short: the JPEG data end before the image does".to_owned()
}
