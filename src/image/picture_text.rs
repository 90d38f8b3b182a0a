//! Text on pictures.
//!
//! The fonts come with a crate, so that pictures look the same on every host and need no installed font.

use std::path::Path;
use std::sync::Once;

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

use crate::image::picture_file;

/// Name of the proportional font. In SVG files, whose text stays text, it stands for the reader's own.
pub const FONT: &str = "sans-serif";
/// Name of the monospaced font.
pub const FIXED_FONT: &str = "monospace";
/// The colour of text on dark pictures.
const LIGHT: RGBColor = RGBColor(220, 220, 220);
const LETTER_SIZE: i32 = 15;
/// Letters are drawn this many pixels below the top of their place.
const LETTER_TOP: i32 = 4;
static REGISTER: Once = Once::new();

/// What pictures are drawn on.
pub type Area<'a> = DrawingArea<BitMapBackend<'a>, plotters::coord::Shift>;

/// A line of text on a picture; `at` is its upper left corner in pixels.
#[derive(Clone, Debug)]
pub struct Label {
    pub text: String,
    pub at: (u32, u32),
    pub size: u32,
}

/// Draws labels on a picture and writes it to `path`, replacing a file that is there.
///
/// # Errors
///
/// If drawing fails or the file cannot be written.
pub fn write_labelled(picture: image::RgbImage, labels: &[Label], path: &Path) -> Result<()> {
    write_drawn(picture, path, |area| {
        for Label { text, at, size } in labels {
            let style = (FONT, *size).into_text_style(area);
            area.draw_text(text, &style, (at.0 as i32, at.1 as i32))?;
        }
        Ok(())
    })
}

/// One letter of monospaced text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Letter {
    pub letter: char,
    /// Upper left corner of its place, which is 8 x 16 pixels.
    pub at: (u32, u32),
    pub colour: [u8; 3],
}

/// Draws monospaced letters on a picture and writes it to `path`, replacing a file that is there.
///
/// # Errors
///
/// If drawing fails or the file cannot be written.
pub fn write_letters(picture: image::RgbImage, letters: &[Letter], path: &Path) -> Result<()> {
    write_drawn(picture, path, |area| {
        for Letter { letter, at, colour: [red, green, blue] } in letters {
            let colour = RGBColor(*red, *green, *blue);
            let style = (FIXED_FONT, LETTER_SIZE).into_font().color(&colour);
            area.draw_text(&letter.to_string(), &style, (at.0 as i32, at.1 as i32 + LETTER_TOP))?;
        }
        Ok(())
    })
}

/// Draws light labels on a picture.
///
/// # Errors
///
/// If drawing fails.
pub fn with_light_labels(picture: image::RgbImage, labels: &[Label]) -> Result<image::RgbImage> {
    drawn(picture, |area| {
        for Label { text, at, size } in labels {
            let style = (FONT, *size).into_font().color(&LIGHT);
            area.draw_text(text, &style, (at.0 as i32, at.1 as i32))?;
        }
        Ok(())
    })
}

/// Draws on a picture and writes it to `path`, replacing a file that is there.
///
/// # Errors
///
/// If `draw` fails or the file cannot be written.
pub fn write_drawn(
    picture: image::RgbImage,
    path: &Path,
    draw: impl FnOnce(&Area<'_>) -> Result<()>,
) -> Result<()> {
    Ok(picture_file::write(&drawn(picture, draw)?, path)?)
}

fn drawn(
    picture: image::RgbImage,
    draw: impl FnOnce(&Area<'_>) -> Result<()>,
) -> Result<image::RgbImage> {
    register_fonts();
    let (width, height) = picture.dimensions();
    let mut pixels = picture.into_raw();
    {
        let area = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
        draw(&area)?;
        area.present()?;
    }
    Ok(image::RgbImage::from_raw(width, height, pixels).expect("three bytes a pixel"))
}

/// Makes the fonts known to the plotting library, once per process.
pub fn register_fonts() {
    REGISTER.call_once(|| {
        use epaint_default_fonts::{HACK_REGULAR, UBUNTU_LIGHT};
        for (name, font) in [(FONT, UBUNTU_LIGHT), (FIXED_FONT, HACK_REGULAR)] {
            // An error would mean that the font is damaged, and then every drawing fails with a message.
            let _ = register_font(name, FontStyle::Normal, font);
        }
    });
}
