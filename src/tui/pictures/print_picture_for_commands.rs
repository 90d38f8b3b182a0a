//! `mosaic show` and others: prints one picture on a plain terminal, for commands: the terminal scrolls, and the cursor ends below the picture.

use std::io::{self, Write};

use image::RgbImage;
use ratatui::buffer::Buffer;
use ratatui::crossterm::queue;
use ratatui::crossterm::style::{Colors, ResetColor, SetColors};
use ratatui::layout::Rect;
use ratatui::prelude::IntoCrossterm;

use super::colour_depth::Depth;
use super::half_blocks::draw_blocks;
use super::kitty_and_iterm2::{send_iterm, send_kitty};
use super::protocol_choice::Protocol;
use super::sixel;

/// Prints a picture at the cursor of a plain terminal, in at most `columns` columns, and leaves the cursor below it.
///
/// # Errors
///
/// If the picture cannot be encoded, or if writing to `out` fails.
pub fn print_plain(
    (protocol, depth): (Protocol, Depth),
    image: &RgbImage,
    columns: u16,
    out: &mut impl Write,
) -> io::Result<()> {
    let (width, height) = image.dimensions();
    let columns = u32::from(columns).min(width).max(1);
    // Cells are about twice as high as wide.
    let rows = (height * columns).div_ceil(2 * width.max(1)).max(1);
    let area = Rect::new(0, 0, columns as u16, rows as u16);
    match protocol {
        Protocol::Off => return Ok(()),
        Protocol::Kitty => send_kitty(image, area, "", out)?,
        Protocol::Iterm => send_iterm(image, area, out)?,
        Protocol::Sixel => {
            let image = sixel::filling(image, area, sixel::cell_size(None));
            out.write_all(sixel::encode(&image)?.as_bytes())?;
        }
        Protocol::Blocks => {
            let mut buffer = Buffer::empty(area);
            draw_blocks(depth, image, area, &mut buffer);
            return print_cells(&buffer, out);
        }
    }
    writeln!(out)?;
    out.flush()
}

/// Prints cells line by line.
fn print_cells(buffer: &Buffer, out: &mut impl Write) -> io::Result<()> {
    for row in buffer.area.rows() {
        for position in row.positions() {
            let Some(cell) = buffer.cell(position) else { continue };
            let colours = Colors::new(cell.fg.into_crossterm(), cell.bg.into_crossterm());
            queue!(out, SetColors(colours))?;
            out.write_all(cell.symbol().as_bytes())?;
        }
        queue!(out, ResetColor)?;
        writeln!(out)?;
    }
    out.flush()
}
