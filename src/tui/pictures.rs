//! Shows pictures: as half-blocks inside ratatui's buffer, or as pixels printed after the frame.
//!
//! Blocks are ordinary cells: they work everywhere, diff like text and can be tested. Pixels are printed
//! over cells that ratatui was told to skip ([`reserve`]), and this is the only file that does so.
//! Kitty's and iTerm2's are written here, sixel's by [`super::sixel`], which knows how large a cell is. None asks the terminal anything.
//! A cell is taken to be twice as high as it is wide. Composing pictures is the work of `crate::image::picture`.

use crate::config::lab_settings::ColourChoice;
use std::io::{self, Cursor, Write};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use image::{DynamicImage, ImageFormat, RgbImage, imageops};
use ratatui::buffer::{Buffer, CellDiffOption};
use ratatui::crossterm::cursor::{MoveTo, RestorePosition, SavePosition};
use ratatui::crossterm::style::{Colors, ResetColor, SetColors};
use ratatui::crossterm::terminal::{BeginSynchronizedUpdate, EndSynchronizedUpdate, size};
use ratatui::crossterm::{execute, queue};
use ratatui::layout::{Rect, Size};
use ratatui::prelude::IntoCrossterm;
use ratatui::style::Color;

use super::probe::Protocol;
use super::sixel;
use super::theme;

const UPPER_HALF_BLOCK: &str = "\u{2580}";
const DELETE_KITTY_PICTURES: &[u8] = b"\x1b_Ga=d,d=A,q=2\x1b\\";
/// 4096 digits of base64, the most that one of kitty's commands may carry.
const KITTY_CHUNK_BYTES: usize = 3072;
const SMALLEST_SIDE: u32 = 32;
/// Enlarging beyond the pixels of a cell only costs bytes.
const PIXELS_PER_CELL: u32 = 8;

/// A picture and the cells it may use.
#[derive(Clone, Debug)]
pub struct Placement {
    pub area: Rect,
    pub image: Arc<RgbImage>,
    /// Identifies the picture's content: equal keys are taken to be equal pictures.
    pub key: u64,
}

/// How colours reach the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    Truecolour,
    /// The 256-colour palette's cube and greys.
    Palette,
    /// The 16 colours that every terminal has, of which each has its own idea.
    Sixteen,
}

/// xterm's 16 colours.
const SIXTEEN: [[u8; 3]; 16] = [
    [0, 0, 0],
    [205, 0, 0],
    [0, 205, 0],
    [205, 205, 0],
    [0, 0, 238],
    [205, 0, 205],
    [0, 205, 205],
    [229, 229, 229],
    [127, 127, 127],
    [255, 0, 0],
    [0, 255, 0],
    [255, 255, 0],
    [92, 92, 255],
    [255, 0, 255],
    [0, 255, 255],
    [255, 255, 255],
];

/// How much text in one of the sixteen colours must stand out: of large or bold text WCAG 2.2 asks as much.
const READABLE_OF_SIXTEEN: f64 = 3.0;

/// Whether a colour has no hue to speak of.
fn is_grey(colour: [u8; 3]) -> bool {
    let [least, most] =
        [colour.iter().min(), colour.iter().max()].map(|end| end.copied().unwrap_or(0));
    most - least < 32
}

impl Depth {
    /// The depth of a setting.
    pub fn new(choice: ColourChoice) -> Self {
        match choice {
            ColourChoice::Truecolour => Self::Truecolour,
            ColourChoice::Indexed256 => Self::Palette,
            ColourChoice::Ansi16 => Self::Sixteen,
            ColourChoice::Auto => {
                let value = |name: &str| std::env::var(name).unwrap_or_default();
                Self::of_environment(&value("COLORTERM"), &value("TERM"))
            }
        }
    }

    /// `$COLORTERM` is the one agreed sign of 24-bit colour, `$TERM` of fewer than 256.
    fn of_environment(colorterm: &str, term: &str) -> Self {
        let few = ["linux", "ansi", "xterm", "screen", "rxvt", "cons25"];
        if colorterm.contains("truecolor") || colorterm.contains("24bit") {
            Self::Truecolour
        } else if few.contains(&term) || term.starts_with("vt") || term.ends_with("-16color") {
            Self::Sixteen
        } else {
            Self::Palette
        }
    }

    /// Turns the colours of a whole screen's text into those that the terminal has; `light` is what is behind it.
    pub fn reduce(self, light: bool, buffer: &mut Buffer) {
        if self == Self::Truecolour {
            return;
        }
        let mut last = None;
        let mut reduced = |colour: Color| {
            let Color::Rgb(red, green, blue) = colour else { return colour };
            // Neighbours are mostly of one colour.
            match last {
                Some((known, found)) if known == colour => found,
                _ => {
                    let found = self.text_colour([red, green, blue], light);
                    last = Some((colour, found));
                    found
                }
            }
        };
        for cell in &mut buffer.content {
            cell.fg = reduced(cell.fg);
            cell.bg = reduced(cell.bg);
        }
    }

    /// The nearest colour for text. Of sixteen, a colour never turns grey, and none is taken that could not be read.
    fn text_colour(self, colour: [u8; 3], light: bool) -> Color {
        if self != Depth::Sixteen {
            return self.colour(colour);
        }
        let readable = |one: [u8; 3]| theme::stands_out(one, light, READABLE_OF_SIXTEEN);
        let fits = |one: [u8; 3]| is_grey(one) == is_grey(colour) && readable(one);
        let numbered = (0..16_u8).map(|index| (index, SIXTEEN[usize::from(index)]));
        let nearest =
            numbered.filter(|&(_, one)| fits(one)).min_by_key(|&(_, one)| distance(colour, one));
        nearest.map_or(Color::Reset, |(index, _)| Color::Indexed(index))
    }

    /// The nearest colour that the terminal has.
    pub fn colour(self, [red, green, blue]: [u8; 3]) -> Color {
        match self {
            Depth::Truecolour => Color::Rgb(red, green, blue),
            Depth::Palette => Color::Indexed(nearest_in_palette([red, green, blue])),
            Depth::Sixteen => {
                let nearest = (0..16_u8)
                    .min_by_key(|&index| distance([red, green, blue], SIXTEEN[usize::from(index)]));
                Color::Indexed(nearest.unwrap_or(7))
            }
        }
    }
}

/// Draws `image` as half-blocks, centred in `area`, in the colours of `depth`: enlarged by a whole
/// number if it fits, otherwise shrunk.
pub fn draw_blocks(depth: Depth, image: &RgbImage, area: Rect, buffer: &mut Buffer) {
    let area = area.intersection(buffer.area);
    let bounds = (u32::from(area.width), 2 * u32::from(area.height));
    let Some((width, height)) = block_size(image.dimensions(), bounds) else { return };
    let left = (bounds.0 - width) / 2;
    let top = (u32::from(area.height) - height.div_ceil(2)) / 2;
    let colour = |column, row| depth.colour(mean_of_part(image, (width, height), (column, row)));
    for row in 0..height.div_ceil(2) {
        for column in 0..width {
            let position = (offset(area.x, left + column), offset(area.y, top + row));
            let Some(cell) = buffer.cell_mut(position) else { continue };
            cell.reset();
            cell.set_symbol(UPPER_HALF_BLOCK).set_fg(colour(column, 2 * row));
            if 2 * row + 1 < height {
                cell.set_bg(colour(column, 2 * row + 1));
            }
        }
    }
}

/// Screen coordinates fit in 16 bits; saturation is only there for arithmetic's sake.
fn offset(origin: u16, distance: u32) -> u16 {
    origin.saturating_add(u16::try_from(distance).unwrap_or(u16::MAX))
}

/// The size in (square) block pixels, or nothing if either side has none.
fn block_size((width, height): (u32, u32), bounds: (u32, u32)) -> Option<(u32, u32)> {
    if width == 0 || height == 0 || bounds.0 == 0 || bounds.1 == 0 {
        return None;
    }
    match (bounds.0 / width).min(bounds.1 / height) {
        0 => Some(shrunk((width, height), bounds)),
        factor => Some((width * factor, height * factor)),
    }
}

/// The largest size of the same shape within `bounds`, each side at least 1. Nothing may be zero.
fn shrunk((width, height): (u32, u32), bounds: (u32, u32)) -> (u32, u32) {
    let scaled = |side: u32, by: u32, of: u32| {
        let rounded = (u64::from(side) * u64::from(by) + u64::from(of) / 2) / u64::from(of);
        u32::try_from(rounded).unwrap_or(u32::MAX)
    };
    if u64::from(bounds.0) * u64::from(height) <= u64::from(bounds.1) * u64::from(width) {
        (bounds.0, scaled(height, bounds.0, width).clamp(1, bounds.1))
    } else {
        (scaled(width, bounds.1, height).clamp(1, bounds.0), bounds.1)
    }
}

/// The mean colour of the part of `image` that one of `size` pixels stands for; when enlarging by a
/// whole number this is exactly one pixel.
fn mean_of_part(image: &RgbImage, size: (u32, u32), at: (u32, u32)) -> [u8; 3] {
    let part = |side: u32, count: u32, index: u32| {
        let start = u64::from(index) * u64::from(side) / u64::from(count);
        let end = (u64::from(index) + 1) * u64::from(side) / u64::from(count);
        // Both are at most `side`, a u32.
        (start as u32, end.max(start + 1) as u32)
    };
    let (left, right) = part(image.width(), size.0, at.0);
    let (top, bottom) = part(image.height(), size.1, at.1);
    let mut sums = [0_u64; 3];
    for y in top..bottom {
        for x in left..right {
            let pixel = image.get_pixel(x, y).0;
            sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += u64::from(value));
        }
    }
    let count = u64::from(right - left) * u64::from(bottom - top);
    // A mean of bytes is a byte.
    sums.map(|sum| ((sum + count / 2) / count) as u8)
}

/// The closest of the palette's 6 x 6 x 6 cube (16-231) and 24 greys (232-255); the first 16 colours are
/// the user's own and mean nothing certain.
fn nearest_in_palette(colour: [u8; 3]) -> u8 {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let steps = colour.map(|value| {
        (0..6_u8).min_by_key(|&step| LEVELS[usize::from(step)].abs_diff(value)).unwrap_or(0)
    });
    let in_cube = steps.map(|step| LEVELS[usize::from(step)]);
    let mean = colour.iter().map(|&value| u16::from(value)).sum::<u16>() / 3;
    // At most (255 - 3) / 10 = 25, cut to the last grey.
    let grey_step = (mean.saturating_sub(3) / 10).min(23) as u8;
    if distance(colour, [8 + 10 * grey_step; 3]) < distance(colour, in_cube) {
        232 + grey_step
    } else {
        16 + 36 * steps[0] + 6 * steps[1] + steps[2]
    }
}

/// Squared, in RGB.
fn distance(one: [u8; 3], other: [u8; 3]) -> u32 {
    one.into_iter().zip(other).map(|(one, two)| u32::from(one.abs_diff(two)).pow(2)).sum()
}

/// Tells ratatui to leave these cells alone: pixels will be there.
///
/// When a later frame no longer reserves them, they differ from what was there and are drawn again.
pub fn reserve(area: Rect, buffer: &mut Buffer) {
    let area = area.intersection(buffer.area);
    for position in area.positions() {
        if let Some(cell) = buffer.cell_mut(position) {
            cell.reset();
            cell.set_diff_option(CellDiffOption::Skip);
        }
    }
}

/// Takes every reservation back: there will be no pictures in this frame, and no cell may keep what it held.
pub fn release(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        if cell.diff_option == CellDiffOption::Skip {
            cell.set_diff_option(CellDiffOption::None);
        }
    }
}

/// What is on the screen: enough to know whether anything has to be printed.
type Shown = Vec<(u64, Rect)>;

/// Prints pictures after a frame, and only when they changed.
#[derive(Debug, Default)]
pub struct Printer {
    shown: Option<(Protocol, Shown)>,
    /// Pixels of a cell, as the terminal answered.
    cell: Option<(u32, u32)>,
}

impl Printer {
    /// `cell` is what the terminal answered when it was asked for the pixels of a cell.
    pub fn new(cell: Option<(u32, u32)>) -> Self {
        Self { shown: None, cell }
    }

    /// Brings the screen in line with `placements`. Call it after each frame; blocks and off only remove what an earlier
    /// protocol left.
    pub fn show(
        &mut self,
        protocol: Protocol,
        placements: &[Placement],
        out: &mut impl Write,
    ) -> io::Result<()> {
        let screen = screen()?;
        let placed = placed(protocol, placements, screen);
        let request = identity(&placed);
        if !self.must_print(protocol, &request) {
            return Ok(());
        }
        // Reserved cells still hold what they held before: text of another tab, or the rim of a larger picture.
        let erase: Vec<Rect> =
            placed.iter().map(|(one, _)| above_last_row(one.area, screen)).collect();
        let cell = sixel::cell_size(self.cell);
        execute!(out, BeginSynchronizedUpdate, SavePosition)?;
        let printed = self.remove_kitty(out).and_then(|()| blank(&erase, out)).and_then(|()| {
            placed.iter().try_for_each(|(one, area)| match protocol {
                Protocol::Kitty => print_kitty(&one.image, *area, out),
                Protocol::Sixel => sixel::print(&one.image, *area, cell, out),
                _ => print_iterm(&one.image, *area, out),
            })
        });
        execute!(out, RestorePosition, EndSynchronizedUpdate)?;
        self.shown = (!request.is_empty()).then_some((protocol, request));
        printed
    }

    /// Removes the pictures and forgets them, so that the next [`Printer::show`] prints again. For popups,
    /// a tab change, a resize, a redraw and the end; the cells below come back with the next frame.
    pub fn clear(&mut self, out: &mut impl Write) -> io::Result<()> {
        let result = self.remove_kitty(out);
        self.shown = None;
        result
    }

    /// Whether the next [`Printer::show`] replaces or drops pictures that lie in the cells themselves
    /// (sixel, iTerm2). `show` and released cells cover them; a caller may clear the screen as well.
    pub fn leaves_traces(&self, protocol: Protocol, placements: &[Placement]) -> bool {
        let in_cells = matches!(self.shown, Some((Protocol::Sixel | Protocol::Iterm, _)));
        let changed =
            |screen| self.must_print(protocol, &identity(&placed(protocol, placements, screen)));
        in_cells && screen().is_ok_and(changed)
    }

    fn must_print(&self, protocol: Protocol, request: &Shown) -> bool {
        match &self.shown {
            Some((before, shown)) => *before != protocol || shown != request,
            None => !request.is_empty(),
        }
    }

    fn remove_kitty(&self, out: &mut impl Write) -> io::Result<()> {
        if matches!(self.shown, Some((Protocol::Kitty, _))) {
            out.write_all(DELETE_KITTY_PICTURES)?;
        }
        out.flush()
    }
}

fn screen() -> io::Result<Size> {
    let (width, height) = size()?;
    Ok(Size { width, height })
}

fn identity(placed: &[(&Placement, Rect)]) -> Shown {
    placed.iter().map(|(one, area)| (one.key, *area)).collect()
}

/// The placements that can be printed, each with the exact cells it will fill.
fn placed(protocol: Protocol, placements: &[Placement], screen: Size) -> Vec<(&Placement, Rect)> {
    if !protocol.is_graphical() {
        return Vec::new();
    }
    let fitted = |one| Some((one, fit(one, above_last_row(one.area, screen))?));
    placements.iter().filter_map(fitted).collect()
}

/// The part of `area` that is on the screen and not in its last row.
fn above_last_row(area: Rect, screen: Size) -> Rect {
    area.intersection(Rect::new(0, 0, screen.width, screen.height.saturating_sub(1)))
}

/// The largest centred rectangle of the picture's shape in `area`.
fn fit(placement: &Placement, area: Rect) -> Option<Rect> {
    let (width, height) = placement.image.dimensions();
    if area.is_empty() || width == 0 || height == 0 {
        return None;
    }
    let bounds = (u32::from(area.width), 2 * u32::from(area.height));
    let (across, down) = shrunk((width, height), bounds);
    // Both are within `area`, whose sides are u16.
    let (across, down) = (across as u16, down.div_ceil(2) as u16);
    let left = area.x + (area.width - across) / 2;
    let top = area.y + (area.height - down) / 2;
    Some(Rect::new(left, top, across, down))
}

fn blank(areas: &[Rect], out: &mut impl Write) -> io::Result<()> {
    if areas.is_empty() {
        return Ok(());
    }
    // Reset colours first: a frame may have ended in any of them.
    out.write_all(b"\x1b[0m")?;
    for area in areas {
        let line = " ".repeat(area.width.into());
        for row in area.rows() {
            queue!(out, MoveTo(row.x, row.y))?;
            out.write_all(line.as_bytes())?;
        }
    }
    out.flush()
}

/// Prints one picture in kitty's protocol: 24-bit pixels (`f=24`) in base64, scaled to `area`'s cells by
/// the terminal, without an answer (`q=2`) and without moving the cursor (`C=1`).
fn print_kitty(image: &RgbImage, area: Rect, out: &mut impl Write) -> io::Result<()> {
    let bitmap = enlarged(image, area);
    queue!(out, SavePosition, MoveTo(area.x, area.y))?;
    // C=1: the cursor stays.
    send_kitty(&bitmap, (area.width, area.height), "C=1,", out)?;
    queue!(out, RestorePosition)?;
    out.flush()
}

/// A picture where the cursor is, over so many cells; `more_keys` end in a comma.
fn send_kitty(
    bitmap: &RgbImage,
    (columns, rows): (u16, u16),
    more_keys: &str,
    out: &mut impl Write,
) -> io::Result<()> {
    let (width, height) = bitmap.dimensions();
    let mut chunks = bitmap.as_raw().chunks(KITTY_CHUNK_BYTES).peekable();
    let mut keys = format!("a=T,f=24,s={width},v={height},c={columns},r={rows},{more_keys}");
    while let Some(chunk) = chunks.next() {
        let more = u8::from(chunks.peek().is_some());
        write!(out, "\x1b_G{keys}q=2,m={more};{}\x1b\\", BASE64.encode(chunk))?;
        keys.clear();
    }
    Ok(())
}

/// Prints a picture below the cursor of a plain terminal, which scrolls, over at most `columns` cells in width, and
/// leaves the cursor under it.
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
    let cells = (columns as u16, rows as u16);
    match protocol {
        Protocol::Off => Ok(()),
        Protocol::Kitty => {
            let area = Rect::new(0, 0, cells.0, cells.1);
            send_kitty(&enlarged(image, area), cells, "", out)?;
            writeln!(out)?;
            out.flush()
        }
        Protocol::Sixel => {
            let cell = sixel::cell_size(None);
            let size = (u32::from(cells.0) * cell.0, u32::from(cells.1) * cell.1);
            let image = imageops::resize(image, size.0, size.1, imageops::FilterType::Nearest);
            writeln!(out, "{}", sixel::encode(&image)?)?;
            out.flush()
        }
        Protocol::Iterm => {
            let area = Rect::new(0, 0, cells.0, cells.1);
            send_iterm(&enlarged(image, area), cells, out)?;
            writeln!(out)?;
            out.flush()
        }
        Protocol::Blocks if depth != Depth::Sixteen => {
            out.flush()?;
            print_with_viuer(image, cells, depth)
        }
        // Viuer knows no sixteen colours.
        Protocol::Blocks => {
            let mut buffer = Buffer::empty(Rect::new(0, 0, cells.0, cells.1));
            draw_blocks(depth, image, buffer.area, &mut buffer);
            print_cells(&buffer, out)
        }
    }
}

/// Prints one picture over the cells of `area`. The cursor comes back.
fn print_iterm(image: &RgbImage, area: Rect, out: &mut impl Write) -> io::Result<()> {
    queue!(out, SavePosition, MoveTo(area.x, area.y))?;
    send_iterm(&enlarged(image, area), (area.width, area.height), out)?;
    queue!(out, RestorePosition)?;
    out.flush()
}

/// A PNG file where the cursor is, over so many cells (iTerm2, "Images").
fn send_iterm(
    bitmap: &RgbImage,
    (columns, rows): (u16, u16),
    out: &mut impl Write,
) -> io::Result<()> {
    let mut file = Cursor::new(Vec::new());
    bitmap.write_to(&mut file, ImageFormat::Png).map_err(io::Error::other)?;
    let file = file.into_inner();
    write!(
        out,
        "\x1b]1337;File=inline=1;preserveAspectRatio=0;size={};width={columns};height={rows}:{}\x07",
        file.len(),
        BASE64.encode(file)
    )
}

/// Half-blocks at the cursor. Of viuer's printers this is the one that asks the terminal nothing.
fn print_with_viuer(image: &RgbImage, (columns, rows): (u16, u16), depth: Depth) -> io::Result<()> {
    let config = viuer::Config {
        absolute_offset: false,
        width: Some(columns.into()),
        height: Some(rows.into()),
        truecolor: depth == Depth::Truecolour,
        use_kitty: false,
        use_iterm: false,
        ..viuer::Config::default()
    };
    match viuer::print(&DynamicImage::ImageRgb8(image.clone()), &config) {
        Ok(_) => Ok(()),
        Err(viuer::ViuError::Io(error)) => Err(error),
        Err(error) => Err(io::Error::other(format!("printing a picture: {error}"))),
    }
}

/// Cells line by line, as plain output.
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

/// Enlarges by a whole number, so that pixels stay sharp squares when the terminal scales the rest.
fn enlarged(image: &RgbImage, area: Rect) -> RgbImage {
    let (width, height) = image.dimensions();
    let sharp = (PIXELS_PER_CELL * u32::from(area.width)).div_ceil(width.max(1));
    let smallest = SMALLEST_SIDE.div_ceil(width.min(height).max(1));
    let factor = sharp.max(smallest).max(1);
    imageops::resize(image, width * factor, height * factor, imageops::FilterType::Nearest)
}

#[cfg(test)]
#[path = "pictures_tests.rs"]
mod tests;
