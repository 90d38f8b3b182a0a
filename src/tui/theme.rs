//! Colours with a meaning: Okabe & Ito's palette, which the colour-blind tell apart, and none at all
//! where `NO_COLOR` is set. Every colour has a mark or a word beside it that says the same.

use ratatui::style::{Color, Modifier, Style};

use crate::lab::event::NoticeLevel;

const ORANGE: Color = Color::Rgb(230, 159, 0);
const SKY: Color = Color::Rgb(86, 180, 233);
const GREEN: Color = Color::Rgb(0, 158, 115);
const BLUE: Color = Color::Rgb(0, 114, 178);
const VERMILLION: Color = Color::Rgb(213, 94, 0);
const PURPLE: Color = Color::Rgb(204, 121, 167);
const GREY: Color = Color::Rgb(128, 128, 128);

/// Which styles to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    colours: bool,
    light: bool,
}

impl Default for Theme {
    fn default() -> Self {
        Self { colours: true, light: false }
    }
}

impl Theme {
    /// `wanted` is lab.toml's theme: `auto`, `dark` or `light`; `no_colour` is whether NO_COLOR is set.
    pub fn new(wanted: &str, no_colour: bool) -> Self {
        Self { colours: !no_colour, light: wanted == "light" }
    }

    pub fn has_colours(self) -> bool {
        self.colours
    }

    pub fn is_light(self) -> bool {
        self.light
    }

    fn colour(self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }

    /// The most important curve or word.
    pub fn strong(self) -> Style {
        self.colour(if self.light { BLUE } else { SKY }).add_modifier(Modifier::BOLD)
    }

    pub fn faint(self) -> Style {
        if self.colours { self.colour(GREY) } else { Style::new().add_modifier(Modifier::DIM) }
    }

    pub fn good(self) -> Style {
        self.colour(GREEN)
    }

    pub fn bad(self) -> Style {
        self.colour(VERMILLION).add_modifier(Modifier::BOLD)
    }

    pub fn warning(self) -> Style {
        self.colour(ORANGE)
    }

    pub fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// Curves that are told apart, in order.
    pub fn curve(self, index: usize) -> Style {
        let yellow = if self.light { VERMILLION } else { Color::Rgb(240, 228, 66) };
        self.colour([SKY, GREEN, yellow, ORANGE, PURPLE, BLUE][index % 6])
    }

    pub fn notice(self, level: NoticeLevel) -> Style {
        match level {
            NoticeLevel::Info => Style::new(),
            NoticeLevel::Warning => self.warning(),
            NoticeLevel::Error => self.bad(),
        }
    }

    /// The colour of a run's state.
    pub fn state(self, state: &str) -> Style {
        match state {
            "training" | "comparing" => self.strong(),
            "finished" => self.good(),
            "failed" | "lost" => self.bad(),
            "queued" | "paused" | "stopped" => self.warning(),
            _ => Style::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_colour_means_no_colour() {
        let plain = Theme::new("auto", true);
        let all = [plain.strong(), plain.good(), plain.bad(), plain.curve(2), plain.state("lost")];
        assert!(all.iter().all(|style| style.fg.is_none() && style.bg.is_none()));
    }
}
