//! Cells of the screen as text and as a picture, for exports.

use std::path::Path;

use anyhow::Result;
use image::{Rgb, RgbImage};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};

use super::number_and_text_format::columns;
use super::pictures::{Depth, Protocol};
use super::screen_layout::view;
use super::state::{App, Pane};
use crate::image::picture_text::{Letter, write_letters};

/// Pixels of a cell, across and down: half a cell is a square.
const CELL: (u32, u32) = (8, 16);
/// Colours of background and text, of a dark and of a light screen.
const GROUNDS: [[[u8; 3]; 2]; 2] = [[[24; 3], [220; 3]], [[255; 3], [20; 3]]];

/// A part of the screen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Screenshot {
    buffer: Buffer,
    is_light: bool,
}

impl Screenshot {
    /// The cells as text: one line per row, without trailing blanks.
    pub fn text(&self) -> String {
        let area = self.buffer.area;
        let line = |y: u16| {
            let mut text = String::new();
            let mut x = area.left();
            while x < area.right() {
                let symbol = self.buffer[(x, y)].symbol();
                text += symbol;
                // The cell behind a wide letter is not another one.
                x += columns(symbol).max(1) as u16;
            }
            text.trim_end().to_owned() + "\n"
        };
        (area.top()..area.bottom()).map(line).collect()
    }

    /// Draws the cells into a PNG file.
    ///
    /// # Errors
    ///
    /// If the picture cannot be drawn, or if the file cannot be written.
    pub fn draw(&self, path: &Path) -> Result<()> {
        let Rect { x: left, y: top, width, height } = self.buffer.area;
        let size = [(width, CELL.0), (height, CELL.1)].map(|(n, side)| u32::from(n.max(1)) * side);
        let [ground, ink] = GROUNDS[usize::from(self.is_light)];
        let mut picture = RgbImage::from_pixel(size[0], size[1], Rgb(ground));
        let mut letters = Vec::new();
        for place in self.buffer.area.positions() {
            let cell = &self.buffer[place];
            let (ink, ground) = colours(cell, ink, ground);
            let at = (u32::from(place.x - left) * CELL.0, u32::from(place.y - top) * CELL.1);
            let mut fill = |x: u32, y: u32, [red, green, blue]: [u8; 3]| {
                picture.put_pixel(at.0 + x, at.1 + y, Rgb([red, green, blue]));
            };
            each_pixel(|x, y| fill(x, y, ground));
            let Some(letter) = cell.symbol().chars().next().filter(|letter| *letter != ' ') else {
                continue;
            };
            match shape(letter) {
                Some(share) => each_pixel(|x, y| fill(x, y, mixed(ground, ink, share(x, y)))),
                None => letters.push(Letter { letter, at, colour: ink }),
            }
        }
        write_letters(picture, &letters, path)
    }
}

/// Draws a pane, or the whole screen, as if it had `width` x `height` cells, all colours, and pictures as half-blocks.
pub fn capture(app: &mut App, (width, height): (u16, u16), pane: Option<Pane>) -> Screenshot {
    let Ok(mut terminal) = Terminal::new(TestBackend::new(width, height));
    let usual = (app.display.protocol, app.display.depth);
    (app.display.protocol, app.display.depth) = (Protocol::Blocks, Depth::Truecolour);
    let mut regions = Vec::new();
    let Ok(drawn) = terminal.draw(|frame| regions = view(app, frame).regions);
    (app.display.protocol, app.display.depth) = usual;
    let found = regions.iter().rev().find(|region| Some(region.pane) == pane);
    let area = found.map_or(drawn.area, |region| region.area).intersection(drawn.area);
    let mut buffer = Buffer::empty(area);
    area.positions().for_each(|place| buffer[place] = drawn.buffer[place].clone());
    Screenshot { buffer, is_light: app.theme.is_light() }
}

fn each_pixel(mut what: impl FnMut(u32, u32)) {
    (0..CELL.1).for_each(|y| (0..CELL.0).for_each(|x| what(x, y)));
}

/// The colours of a cell's text and background.
fn colours(cell: &Cell, ink: [u8; 3], ground: [u8; 3]) -> ([u8; 3], [u8; 3]) {
    let of = |colour: Color, otherwise| match colour {
        Color::Rgb(red, green, blue) => [red, green, blue],
        _ => otherwise,
    };
    let (mut letter, mut behind) = (of(cell.fg, ink), of(cell.bg, ground));
    if cell.modifier.contains(Modifier::REVERSED) {
        std::mem::swap(&mut letter, &mut behind);
    }
    if cell.modifier.contains(Modifier::DIM) {
        letter = mixed(behind, letter, 0.6);
    }
    (letter, behind)
}

fn mixed(from: [u8; 3], to: [u8; 3], share: f32) -> [u8; 3] {
    std::array::from_fn(|c| {
        (f32::from(from[c]) + share * (f32::from(to[c]) - f32::from(from[c]))).round() as u8
    })
}

/// The share of ink of each pixel of a cell, for characters that must fill it exactly or that the font lacks.
fn shape(letter: char) -> Option<Box<dyn Fn(u32, u32) -> f32>> {
    let (width, height) = CELL;
    let inside = |is: bool| if is { 1.0 } else { 0.0 };
    let code = letter as u32;
    Some(match letter {
        '█' => Box::new(|_, _| 1.0),
        '▀' => Box::new(move |_, y| inside(y < height / 2)),
        '▁'..='▇' => {
            let eighths = code - '▁' as u32 + 1;
            Box::new(move |_, y| inside((height - y) * 8 <= eighths * height))
        }
        '▌' => Box::new(move |x, _| inside(x < width / 2)),
        '▐' => Box::new(move |x, _| inside(x >= width / 2)),
        '░' => Box::new(|_, _| 0.25),
        '▒' => Box::new(|_, _| 0.5),
        '▓' => Box::new(|_, _| 0.75),
        '⠀'..='⣿' => {
            let dots = code - '⠀' as u32;
            Box::new(move |x, y| {
                // Dots 1 to 6 go down the columns of three, 7 and 8 are the last row.
                let (column, row) = (x / (width / 2), y / (height / 4));
                let dot = if row < 3 { 3 * column + row } else { 6 + column };
                let (dx, dy) = (x % (width / 2), y % (height / 4));
                let is_centre = (1..3).contains(&dx) && (1..3).contains(&dy);
                inside(is_centre && dots >> dot & 1 == 1)
            })
        }
        '✓' | '✗' => {
            let strokes: &[[i32; 4]] = match letter {
                '✓' => &[[1, 8, 3, 11], [3, 11, 7, 3]],
                _ => &[[1, 4, 7, 12], [7, 4, 1, 12]],
            };
            Box::new(move |x, y| {
                let is_near = |[x0, y0, x1, y1]: &[i32; 4]| {
                    let (px, py) = (x as i32 - x0, y as i32 - y0);
                    let (dx, dy) = (x1 - x0, y1 - y0);
                    let along = px * dx + py * dy;
                    let length = dx * dx + dy * dy;
                    (px * dy - py * dx).pow(2) <= length && (0..=length).contains(&along)
                };
                inside(strokes.iter().any(is_near))
            })
        }
        _ => {
            // Up, down, left, right of the middle.
            let ways = match letter {
                '─' => [false, false, true, true],
                '│' => [true, true, false, false],
                '┌' => [false, true, false, true],
                '┐' => [false, true, true, false],
                '└' => [true, false, false, true],
                '┘' => [true, false, true, false],
                _ => return None,
            };
            Box::new(move |x, y| {
                let (middle_x, middle_y) = (width / 2, height / 2);
                let [up, down, left, right] = ways;
                let vertical = x == middle_x && (up && y <= middle_y || down && y >= middle_y);
                let across = y == middle_y && (left && x <= middle_x || right && x >= middle_x);
                inside(vertical || across)
            })
        }
    })
}

#[cfg(test)]
mod tests {
    use ratatui::style::Style;

    use super::*;

    fn drawn(symbol: &str, style: Style) -> RgbImage {
        let mut buffer = Buffer::empty(Rect::new(3, 2, 1, 1));
        buffer.set_string(3, 2, symbol, style);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("screen.png");
        Screenshot { buffer, is_light: false }.draw(&path).unwrap();
        image::open(&path).unwrap().into_rgb8()
    }

    #[test]
    fn half_blocks_are_squares_of_their_colours() {
        let style = Style::new().fg(Color::Rgb(255, 0, 0)).bg(Color::Rgb(0, 0, 255));
        let picture = drawn("▀", style);
        assert_eq!(picture.dimensions(), CELL);
        assert_eq!((picture[(7, 7)].0, picture[(0, 8)].0), ([255, 0, 0], [0, 0, 255]));
        let turned = drawn("▀", style.add_modifier(Modifier::REVERSED));
        assert_eq!((turned[(7, 7)].0, turned[(0, 8)].0), ([0, 0, 255], [255, 0, 0]));
    }

    #[test]
    fn dots_lines_and_letters_have_ink_where_they_should() {
        let ink = |symbol: &str, places: &[(u32, u32)]| -> Vec<bool> {
            let picture = drawn(symbol, Style::new().fg(Color::Rgb(255, 255, 255)));
            places.iter().map(|place| picture[*place].0 == [255; 3]).collect()
        };
        let dots: Vec<(u32, u32)> =
            (0..4).flat_map(|row| [(1, 4 * row + 1), (5, 4 * row + 1)]).collect();
        assert_eq!(ink("⠁", &dots), [true, false, false, false, false, false, false, false]);
        assert_eq!(ink("⢠", &dots), [false, false, false, false, false, true, false, true]);
        assert_eq!(ink("└", &[(4, 0), (7, 8), (0, 8), (4, 15)]), [true, true, false, false]);
        let letter = drawn("M", Style::new());
        assert!(letter.pixels().filter(|pixel| pixel.0[0] > 150).count() > 20, "a letter is seen");
        assert_eq!(drawn(" ", Style::new()), drawn("\u{a0}", Style::new()));
    }
}
