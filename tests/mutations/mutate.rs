//! Mutations that turn valid samples of a format into damaged inputs.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Maximum number of bytes that one mutation inserts.
const RUN_MAX: usize = 4096;

/// Damages a sample in one to four ways.
pub fn mutated(samples: &[Vec<u8>], is_text: bool, random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut input = pick(samples, random).clone();
    for _ in 0..random.random_range(1..=4) {
        match (random.random_range(0..10), is_text) {
            (0..6, true) => text(&mut input, random),
            (0 | 1, false) => number(&mut input, random),
            (_, _) => bytes(&mut input, samples, random),
        }
    }
    input
}

pub fn pick<'a, T>(all: &'a [T], random: &mut ChaCha8Rng) -> &'a T {
    &all[random.random_range(0..all.len())]
}

/// A position in `input`, including its end; in half of the cases near the start, where headers are.
fn place(input: &[u8], random: &mut ChaCha8Rng) -> usize {
    let end = if random.random_bool(0.5) { input.len().min(64) } else { input.len() };
    random.random_range(0..=end)
}

fn range(input: &[u8], random: &mut ChaCha8Rng) -> std::ops::Range<usize> {
    let start = place(input, random);
    let most = if random.random_bool(0.7) { 16 } else { RUN_MAX };
    start..(start + random.random_range(0..=most)).min(input.len())
}

/// Damage without knowledge of the format.
fn bytes(input: &mut Vec<u8>, samples: &[Vec<u8>], random: &mut ChaCha8Rng) {
    let at = place(input, random);
    match random.random_range(0..8) {
        0 | 1 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << random.random_range(0..8);
            }
        }
        2 => {
            if let Some(byte) = input.get_mut(at) {
                *byte = *pick(&[0, 1, 0x7f, 0x80, 0xfe, 0xff, random.random()], random);
            }
        }
        3 => input.truncate(at),
        4 => drop(input.drain(range(input, random))),
        5 => {
            let again = input[range(input, random)].to_vec();
            input.splice(at..at, again);
        }
        6 => {
            let other = pick(samples, random);
            let from = place(other, random);
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        _ => {
            let n = *pick(&[1, 2, 4, 100, RUN_MAX], random);
            let byte = *pick(&[0, b' ', b'[', 0xff, random.random()], random);
            input.splice(at..at, vec![byte; n]);
        }
    }
}

/// Overwrites a number of some width with extreme values of sizes, offsets and counts.
fn number(input: &mut [u8], random: &mut ChaCha8Rng) {
    let n = input.len() as u64;
    let limits = [0, 1, 2, 255, 256, 65_535, 65_536, 1 << 24, (1 << 31) - 1, 1 << 31, n, n + 1];
    let far = [u64::from(u32::MAX), 1 << 32, 1 << 40, 1 << 62, i64::MAX as u64, 1 << 63, u64::MAX];
    let value = *pick(&[&limits[..], &far[..], &[n.wrapping_sub(1)]].concat(), random);
    let width = *pick(&[1, 2, 4, 8], random);
    let at = place(input, random) & !*pick(&[0, 1, 3, 7], random);
    let Some(place) = input.get_mut(at..at + width) else { return };
    match random.random_bool(0.5) {
        true => place.copy_from_slice(&value.to_le_bytes()[..width]),
        false => place.copy_from_slice(&value.to_be_bytes()[8 - width..]),
    }
}

/// Maximal ranges of `input` whose bytes satisfy `is_part`.
fn parts(input: &[u8], is_part: impl Fn(u8) -> bool) -> Vec<std::ops::Range<usize>> {
    let mut found: Vec<std::ops::Range<usize>> = Vec::new();
    for (at, &byte) in input.iter().enumerate() {
        match found.last_mut() {
            Some(last) if is_part(byte) && last.end == at => last.end += 1,
            _ if is_part(byte) => found.push(at..at + 1),
            _ => {}
        }
    }
    found
}

const NUMBERS: [&str; 19] = [
    "0",
    "-1",
    "1",
    "-0.0",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "1e999",
    "-1e999",
    "1e-999",
    "0.1",
    "NaN",
    "inf",
    "null",
];

/// Damage to numbers, words and lines of a text.
fn text(input: &mut Vec<u8>, random: &mut ChaCha8Rng) {
    let is_number = |b: u8| b.is_ascii_digit() || b"+-.eE".contains(&b);
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b"_-./".contains(&b);
    let parts = match random.random_range(0..3) {
        0 => parts(input, is_number),
        1 => parts(input, is_word),
        _ => parts(input, |byte| byte != b'\n'),
    };
    if parts.is_empty() {
        return;
    }
    let part = pick(&parts, random).clone();
    let new: Vec<u8> = match random.random_range(0..10) {
        0..4 => pick(&NUMBERS, random).as_bytes().to_vec(),
        4 => input[pick(&parts, random).clone()].to_vec(),
        5 => input[part.clone()].repeat(random.random_range(0..4)),
        6 => {
            let (open, close) =
                *pick(&[("[", "]"), ("{\"a\":", "}"), ("{a=", "}"), ("'", "'")], random);
            let n = *pick(&[1, 10, 129, 1000], random);
            (open.repeat(n) + "0" + &close.repeat(n)).into_bytes()
        }
        7 => vec![*pick(&[0, 0x1b, 0x80, 0xc3, 0xff, b'"', b'\\', b'\n'], random)],
        8 => "\\ud800 \u{202e}\u{feff}a\u{301}".into(),
        _ => vec![b'a'; *pick(&[300, RUN_MAX], random)],
    };
    input.splice(part, new);
}
