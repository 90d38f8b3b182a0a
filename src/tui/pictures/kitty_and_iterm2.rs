//! Pictures as bytes for the protocols of kitty and iTerm2. The terminal scales them to cells and is asked nothing.

use std::io::{self, Cursor, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use image::{ImageFormat, RgbImage, imageops};
use ratatui::crossterm::cursor::{MoveTo, RestorePosition, SavePosition};
use ratatui::crossterm::queue;
use ratatui::layout::Rect;

use super::protocol_choice::Protocol;

/// Bytes of 4096 base64 digits, the most that one kitty command may carry.
const KITTY_CHUNK_BYTES: usize = 3072;

const SMALLEST_SIDE: u32 = 32;

/// Enlarging beyond the pixels of a cell would only cost bytes.
const PIXELS_PER_CELL: u32 = 8;

/// Prints one picture over the cells of `area` in kitty's protocol (without moving the cursor, `C=1`) or in iTerm2's. The
/// cursor returns.
///
/// # Errors
///
/// If the picture cannot be encoded as PNG, or if writing to `out` fails.
pub fn print(
    protocol: Protocol,
    image: &RgbImage,
    area: Rect,
    out: &mut impl Write,
) -> io::Result<()> {
    queue!(out, SavePosition, MoveTo(area.x, area.y))?;
    match protocol {
        Protocol::Kitty => send_kitty(image, area, "C=1,", out)?,
        _ => send_iterm(image, area, out)?,
    }
    queue!(out, RestorePosition)?;
    out.flush()
}

/// Prints a picture at the cursor, over as many cells as `area` has, in kitty's protocol: 24-bit pixels (`f=24`) in base64,
/// scaled by the terminal, without an answer (`q=2`). `more_keys` must end in a comma.
///
/// # Errors
///
/// If writing to `out` fails.
pub fn send_kitty(
    image: &RgbImage,
    area: Rect,
    more_keys: &str,
    out: &mut impl Write,
) -> io::Result<()> {
    let bitmap = enlarged(image, area);
    let (width, height) = bitmap.dimensions();
    let Rect { width: columns, height: rows, .. } = area;
    let mut chunks = bitmap.as_raw().chunks(KITTY_CHUNK_BYTES).peekable();
    let mut keys = format!("a=T,f=24,s={width},v={height},c={columns},r={rows},{more_keys}");
    while let Some(chunk) = chunks.next() {
        let more = u8::from(chunks.peek().is_some());
        write!(out, "\x1b_G{keys}q=2,m={more};{}\x1b\\", BASE64.encode(chunk))?;
        keys.clear();
    }
    Ok(())
}

/// Prints a PNG file at the cursor, over as many cells as `area` has (iTerm2, "Images").
///
/// # Errors
///
/// If the picture cannot be encoded as PNG, or if writing to `out` fails.
pub fn send_iterm(image: &RgbImage, area: Rect, out: &mut impl Write) -> io::Result<()> {
    let mut file = Cursor::new(Vec::new());
    enlarged(image, area).write_to(&mut file, ImageFormat::Png).map_err(io::Error::other)?;
    let file = file.into_inner();
    write!(
        out,
        "\x1b]1337;File=inline=1;preserveAspectRatio=0;size={};width={};height={}:{}\x07",
        file.len(),
        area.width,
        area.height,
        BASE64.encode(file)
    )
}

/// Enlarges by a whole number, so that pixels stay sharp squares when the terminal scales the rest.
fn enlarged(image: &RgbImage, area: Rect) -> RgbImage {
    let (width, height) = image.dimensions();
    let sharp = (PIXELS_PER_CELL * u32::from(area.width)).div_ceil(width.max(1));
    let smallest = SMALLEST_SIDE.div_ceil(width.min(height).max(1));
    let factor = sharp.max(smallest).max(1);
    imageops::resize(image, width * factor, height * factor, imageops::FilterType::Nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kitty_picture_is_sent_whole_and_ended() {
        let mut out = Vec::new();
        print(Protocol::Kitty, &RgbImage::new(64, 64), Rect::new(2, 3, 8, 4), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let commands: Vec<&str> = text.split("\x1b_G").skip(1).collect();
        assert!(text.contains("\x1b[4;3H\x1b_Ga=T,f=24,s=64,v=64,c=8,r=4,C=1,q=2,m=1;"));
        let digits = |one: &&str| one.split_once(';').unwrap().1.find('\x1b').unwrap();
        assert_eq!(commands.iter().map(digits).sum::<usize>(), 64 * 64 * 3 / 3 * 4);
        assert!(commands.iter().all(|one| digits(one) <= 4096));
        let ends: Vec<bool> = commands.iter().map(|one| one.contains("m=0;")).collect();
        assert_eq!(ends, [false, false, false, true]);
    }

    #[test]
    fn bitmaps_are_whole_multiples_of_at_least_32_pixels() {
        for (width, height) in [(1, 1), (16, 16), (28, 28), (40, 9)] {
            let bitmap = enlarged(&RgbImage::new(width, height), Rect::new(0, 0, 10, 5));
            assert!(bitmap.width() >= 32 && bitmap.height() >= 32);
            assert_eq!((bitmap.width() % width, bitmap.height() % height), (0, 0));
        }
    }
}
