//! The colours of the terminal: 24-bit, the 256-colour palette, or 16.

use crate::config::lab_settings::ColourChoice;
use ratatui::buffer::Buffer;
use ratatui::style::Color;

use crate::tui::colour_theme;

/// How many colours the terminal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    Truecolour,
    /// The cube and the greys of the 256-colour palette.
    Palette,
    /// The 16 colours that every terminal has, in shades of its own.
    Sixteen,
}

/// xterm's 16 colours.
const SIXTEEN: [u32; 16] = [
    0x000000, 0xcd0000, 0x00cd00, 0xcdcd00, 0x0000ee, 0xcd00cd, 0x00cdcd, 0xe5e5e5, 0x7f7f7f,
    0xff0000, 0x00ff00, 0xffff00, 0x5c5cff, 0xff00ff, 0x00ffff, 0xffffff,
];

/// Red, green and blue of one of the sixteen colours.
fn of_sixteen(index: u8) -> [u8; 3] {
    let [_, colour @ ..] = SIXTEEN[usize::from(index)].to_be_bytes();
    colour
}

/// Smallest contrast ratio of text in one of the 16 colours: that of large or bold text in WCAG 2.2.
const READABLE_OF_SIXTEEN: f64 = 3.0;

impl Depth {
    /// The depth of a setting.
    pub fn new(choice: ColourChoice) -> Self {
        match choice {
            ColourChoice::Truecolour => Self::Truecolour,
            ColourChoice::Indexed256 => Self::Palette,
            ColourChoice::Ansi16 => Self::Sixteen,
            ColourChoice::Auto => {
                let value = |name: &str| std::env::var(name).unwrap_or_default();
                // tmux takes 24-bit colours, and reduces them itself if the terminal around it has fewer.
                match value("TMUX").is_empty() {
                    true => Self::of_environment(&value("COLORTERM"), &value("TERM")),
                    false => Self::Truecolour,
                }
            }
        }
    }

    /// `$COLORTERM` announces 24-bit colour; some values of `$TERM` mean fewer than 256 colours.
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

    /// Words on what is missing in pictures of text cells, and what would bring it; `None` if nothing is.
    pub fn hint(self, choice: ColourChoice) -> Option<&'static str> {
        if choice != ColourChoice::Auto {
            return None;
        }
        match self {
            Self::Palette => Some(
                "256 colours: pictures lose detail; with 24-bit colour, set COLORTERM=truecolor (SSH does not pass it on)",
            ),
            Self::Sixteen => {
                Some("16 colours: pictures are coarse; a terminal with 24-bit colour shows them")
            }
            Self::Truecolour if tmux_reduces_colours() => Some(
                "tmux reduces pictures to 256 colours; in ~/.tmux.conf: set -as terminal-features \",*:RGB\"",
            ),
            Self::Truecolour => None,
        }
    }

    /// Replaces the colours of all cells by those that the terminal has; `light` is whether the background is light.
    pub fn reduce(self, light: bool, buffer: &mut Buffer) {
        if self == Self::Truecolour {
            return;
        }
        let mut last = None;
        let mut reduced = |colour: Color| {
            let Color::Rgb(red, green, blue) = colour else { return colour };
            // Neighbouring cells mostly have the same colour.
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

    /// The nearest colour for text. Of 16 colours, only legible ones are used, and a colour does not become grey.
    fn text_colour(self, colour: [u8; 3], light: bool) -> Color {
        if self != Depth::Sixteen {
            return self.colour(colour);
        }
        let readable = |one: [u8; 3]| colour_theme::stands_out(one, light, READABLE_OF_SIXTEEN);
        let fits = |one: [u8; 3]| is_grey(one) == is_grey(colour) && readable(one);
        nearest_of_sixteen(colour, fits)
    }

    /// The nearest colour that the terminal has.
    pub fn colour(self, [red, green, blue]: [u8; 3]) -> Color {
        match self {
            Depth::Truecolour => Color::Rgb(red, green, blue),
            Depth::Palette => Color::Indexed(nearest_in_palette([red, green, blue])),
            Depth::Sixteen => nearest_of_sixteen([red, green, blue], |_| true),
        }
    }
}

/// Whether this runs in tmux, and tmux does not know that the terminal around it has 24-bit colour.
fn tmux_reduces_colours() -> bool {
    if std::env::var_os("TMUX").is_none_or(|value| value.is_empty()) {
        return false;
    }
    let mut ask = std::process::Command::new("tmux");
    ask.args(["display-message", "-p", "#{client_termfeatures}"])
        .stdin(std::process::Stdio::null());
    // An old tmux does not know the word and answers with an empty line.
    ask.output().is_ok_and(|found| {
        let features = String::from_utf8_lossy(&found.stdout);
        !features.trim().is_empty() && !features.contains("RGB")
    })
}

/// The nearest of the 16 colours that fit.
fn nearest_of_sixteen(colour: [u8; 3], fits: impl Fn([u8; 3]) -> bool) -> Color {
    let fitting = (0..16_u8).filter(|&index| fits(of_sixteen(index)));
    let nearest = fitting.min_by_key(|&index| distance(colour, of_sixteen(index)));
    nearest.map_or(Color::Reset, Color::Indexed)
}

/// Whether a colour has hardly any hue.
fn is_grey(colour: [u8; 3]) -> bool {
    let [least, most] =
        [colour.iter().min(), colour.iter().max()].map(|end| end.copied().unwrap_or(0));
    most - least < 32
}

/// The nearest colour of the palette's 6 x 6 x 6 cube (16-231) and 24 greys (232-255). The first 16 colours differ from
/// terminal to terminal.
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

/// Squared distance of two colours in RGB.
fn distance(one: [u8; 3], other: [u8; 3]) -> u32 {
    one.into_iter().zip(other).map(|(one, two)| u32::from(one.abs_diff(two)).pow(2)).sum()
}

#[cfg(test)]
mod tests {
    use crate::config::lab_settings::ThemeChoice;
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;
    use crate::tui::colour_theme::Theme;

    const RED: [u8; 3] = [255, 0, 0];
    const WHITE: [u8; 3] = [255; 3];

    #[test]
    fn the_palette_keeps_pure_colours_and_greys() {
        assert_eq!(nearest_in_palette([0; 3]), 16);
        assert_eq!(nearest_in_palette(WHITE), 231);
        assert_eq!(nearest_in_palette(RED), 196);
        assert_eq!(nearest_in_palette([95, 135, 175]), 67);
        assert_eq!(nearest_in_palette([128; 3]), 244);
        let of = Depth::of_environment;
        assert_eq!(of("truecolor", "xterm"), Depth::Truecolour);
        assert_eq!(of("24bit", "screen-256color"), Depth::Truecolour);
        assert_eq!(of("", "xterm-256color"), Depth::Palette);
        assert_eq!(of("", "tmux-256color"), Depth::Palette);
        assert_eq!([of("", "linux"), of("", "vt220")], [Depth::Sixteen; 2]);
        assert_eq!(Depth::new(ColourChoice::Ansi16), Depth::Sixteen);
    }

    #[test]
    fn a_screen_is_reduced_to_the_colours_that_there_are() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 2, 1));
        buffer.content[0].set_fg(Color::Rgb(250, 10, 10)).set_bg(Color::Reset);
        buffer.content[1].set_fg(Color::Rgb(0, 158, 115)).set_bg(Color::Rgb(1, 1, 1));
        let reduced = |depth: Depth| {
            let mut buffer = buffer.clone();
            depth.reduce(false, &mut buffer);
            buffer.content.iter().flat_map(|cell| [cell.fg, cell.bg]).collect::<Vec<_>>()
        };
        assert_eq!(reduced(Depth::Truecolour)[0], Color::Rgb(250, 10, 10));
        assert_eq!(reduced(Depth::Sixteen)[..2], [Color::Indexed(9), Color::Reset]);
        for depth in [Depth::Palette, Depth::Sixteen] {
            assert!(reduced(depth).iter().all(|colour| !matches!(colour, Color::Rgb(..))));
        }
    }

    #[test]
    fn every_colour_of_either_theme_can_be_read_in_sixteen_and_keeps_its_hue() {
        for (wanted, n_hues) in [(ThemeChoice::Dark, 5), (ThemeChoice::Light, 3)] {
            let theme = Theme::new(wanted, false, None);
            let curves: Vec<Style> = (0..7).map(|index| theme.curve(index)).collect();
            let named = [theme.strong(), theme.good(), theme.bad(), theme.warning()];
            let mut seen = std::collections::HashSet::new();
            for style in curves.iter().chain(&named) {
                let Some(Color::Rgb(red, green, blue)) = style.fg else { panic!("{style:?}") };
                let found = Depth::Sixteen.text_colour([red, green, blue], theme.is_light());
                let Color::Indexed(index) = found else {
                    panic!("{style:?} has none in {wanted:?}")
                };
                let colour = of_sixteen(index);
                assert!(
                    !is_grey(colour) && colour_theme::stands_out(colour, theme.is_light(), 3.0)
                );
                seen.insert(index);
            }
            assert!(seen.len() >= n_hues, "{wanted:?}: {seen:?}");
            let faint = theme.faint().fg;
            let Some(Color::Rgb(red, green, blue)) = faint else { panic!("{faint:?}") };
            let grey = Depth::Sixteen.text_colour([red, green, blue], theme.is_light());
            assert!(matches!(grey, Color::Indexed(7 | 8)), "{wanted:?}: {grey:?}");
        }
    }
}
