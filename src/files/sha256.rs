//! SHA-256 (FIPS 180-4), to say which file something came from, and whether a file is the one that was wanted.

use std::io::{self, Read};

/// The checksum in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    let mut sum = Sha256::new();
    sum.update(bytes);
    sum.finish()
}

/// Number of bytes read and its checksum, to the end of `reader`.
///
/// # Errors
///
/// Those of reading.
pub fn sha256_of_reader(reader: &mut impl Read) -> io::Result<(u64, String)> {
    let (mut sum, mut n_bytes) = (Sha256::new(), 0);
    let mut buffer = vec![0; 1 << 18];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok((n_bytes, sum.finish())),
            Ok(n) => {
                sum.update(&buffer[..n]);
                n_bytes += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A checksum of bytes that come in pieces.
struct Sha256 {
    state: [u32; 8],
    constants: [u32; 64],
    /// The bytes after the last whole block; fewer than 64.
    rest: Vec<u8>,
    n_bytes: u64,
}

impl Sha256 {
    fn new() -> Self {
        let state = [
            0x6a09_e667_u32,
            0xbb67_ae85,
            0x3c6e_f372,
            0xa54f_f53a,
            0x510e_527f,
            0x9b05_688c,
            0x1f83_d9ab,
            0x5be0_cd19,
        ];
        Self { state, constants: constants(), rest: Vec::new(), n_bytes: 0 }
    }

    fn update(&mut self, mut bytes: &[u8]) {
        self.n_bytes += bytes.len() as u64;
        if !self.rest.is_empty() {
            let (first, others) = bytes.split_at(bytes.len().min(64 - self.rest.len()));
            self.rest.extend(first);
            bytes = others;
        }
        self.mix_blocks_of_rest();
        if self.rest.is_empty() {
            let (blocks, rest) = bytes.as_chunks::<64>();
            blocks.iter().for_each(|block| mix(&mut self.state, block, &self.constants));
            self.rest.extend(rest);
        }
    }

    fn finish(mut self) -> String {
        // The end: a one bit, zeros, and the number of bits in 8 bytes.
        self.rest.push(0x80);
        self.rest.resize(if self.rest.len() > 56 { 120 } else { 56 }, 0);
        self.rest.extend((8 * self.n_bytes).to_be_bytes());
        self.mix_blocks_of_rest();
        self.state.iter().map(|word| format!("{word:08x}")).collect()
    }

    fn mix_blocks_of_rest(&mut self) {
        let (blocks, rest) = self.rest.as_chunks::<64>();
        blocks.iter().for_each(|block| mix(&mut self.state, block, &self.constants));
        self.rest = rest.to_vec();
    }
}

/// Section 6.2.2, with the names of that section.
fn mix(state: &mut [u32; 8], block: &[u8; 64], constants: &[u32; 64]) {
    let mut w = [0_u32; 64];
    for (word, bytes) in w.iter_mut().zip(block.as_chunks::<4>().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    for t in 16..64 {
        let s0 = w[t - 15].rotate_right(7) ^ w[t - 15].rotate_right(18) ^ (w[t - 15] >> 3);
        let s1 = w[t - 2].rotate_right(17) ^ w[t - 2].rotate_right(19) ^ (w[t - 2] >> 10);
        w[t] = w[t - 16].wrapping_add(s0).wrapping_add(w[t - 7]).wrapping_add(s1);
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    for (&k, w) in constants.iter().zip(w) {
        let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let choice = (e & f) ^ (!e & g);
        let t1 = h.wrapping_add(s1).wrapping_add(choice).wrapping_add(k).wrapping_add(w);
        let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let majority = (a & b) ^ (a & c) ^ (b & c);
        (h, g, f, e) = (g, f, e, d.wrapping_add(t1));
        (d, c, b, a) = (c, b, a, t1.wrapping_add(s0).wrapping_add(majority));
    }
    for (old, new) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *old = old.wrapping_add(new);
    }
}

/// Section 4.2.2: the first 32 bits of the fractions of the cube roots of the first 64 primes.
fn constants() -> [u32; 64] {
    let is_prime = |n: &u128| (2..*n).take_while(|d| d * d <= *n).all(|d| !n.is_multiple_of(d));
    let mut primes = (2_u128..).filter(is_prime);
    std::array::from_fn(|_| {
        let prime = primes.next().unwrap_or_default();
        // The largest r with r^3 <= prime 2^96 is the cube root times 2^32; its low bits are the fraction.
        let (mut low, mut high) = (0_u128, 1 << 35);
        while high - low > 1 {
            let middle = u128::midpoint(low, high);
            if middle * middle * middle <= prime << 96 { low = middle } else { high = middle }
        }
        low as u32
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4's examples, and lengths around the end of a block (from Python's hashlib).
    #[test]
    fn checksums_are_the_standards() {
        for (text, expected) in [
            (String::new(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc".into(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            ("a".repeat(55), "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318"),
            ("a".repeat(56), "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a"),
            ("a".repeat(64), "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb"),
            (
                "a".repeat(1_000_000),
                "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
            ),
        ] {
            assert_eq!(sha256(text.as_bytes()), expected, "{} bytes", text.len());
        }
    }

    #[test]
    fn pieces_of_any_length_give_the_checksum_of_the_whole() {
        let whole: Vec<u8> = (0..1000_u32).map(|i| (i * i % 251) as u8).collect();
        for piece in [1, 3, 55, 63, 64, 65, 127, 128, 999, 1000] {
            let mut sum = Sha256::new();
            whole.chunks(piece).for_each(|bytes| sum.update(bytes));
            assert_eq!(sum.finish(), sha256(&whole), "pieces of {piece}");
        }
        assert_eq!(sha256_of_reader(&mut &whole[..]).unwrap(), (1000, sha256(&whole)));
    }
}
