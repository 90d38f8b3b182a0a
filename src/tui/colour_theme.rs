//! The colours of the dashboard: Okabe and Ito's palette, which people with colour vision deficiency can tell apart, or none
//! if `NO_COLOR` is set. A character or word beside every colour says the same.

use crate::config::lab_settings::ThemeChoice;
use ratatui::style::{Color, Modifier, Style};

use crate::runs::event::NoticeLevel;
use crate::runs::listed_run_state::ListedState;

const ORANGE: Color = Color::Rgb(230, 159, 0);
const SKY: Color = Color::Rgb(86, 180, 233);
const GREEN: Color = Color::Rgb(0, 158, 115);
const BLUE: Color = Color::Rgb(0, 114, 178);
const VERMILLION: Color = Color::Rgb(213, 94, 0);
const PURPLE: Color = Color::Rgb(204, 121, 167);
const YELLOW: Color = Color::Rgb(240, 228, 66);
const GREY: Color = Color::Rgb(128, 128, 128);

/// The colours of curves.
const CURVES: [Color; 7] = [SKY, GREEN, YELLOW, VERMILLION, PURPLE, ORANGE, BLUE];

/// Ends of the colour ramp of noise levels, and two colours between them.
const LEVELS: [[u8; 3]; 4] = [[140, 41, 129], [222, 73, 104], [254, 159, 109], [252, 253, 191]];

/// What a curve's colour stands for. Noise levels have an order and therefore a ramp of colours of their own, so that they
/// are not mistaken for runs or machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CurveColour {
    OpenRun,
    /// One of several runs, machines or heads.
    Category(usize),
    /// One of `n` noise levels, in the order of t.
    Level {
        index: usize,
        n: usize,
    },
}

/// How the lines of curves of one colour differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strokes {
    #[default]
    Continuous,
    Dashed,
    Dotted,
}

impl Strokes {
    /// For the curve of this index: each kind of strokes has as many curves as there are colours.
    pub fn of_curve(index: usize) -> Self {
        [Self::Continuous, Self::Dashed, Self::Dotted][index / CURVES.len() % 3]
    }

    /// For a curve of this colour. Levels have no colour in common.
    pub fn of(colour: CurveColour) -> Self {
        match colour {
            CurveColour::Category(index) => Self::of_curve(index),
            CurveColour::OpenRun | CurveColour::Level { .. } => Self::Continuous,
        }
    }

    /// Characters of a stroke and of the gap behind it; `None` for a continuous line.
    pub fn lengths(self) -> Option<(f64, f64)> {
        match self {
            Self::Continuous => None,
            Self::Dashed => Some((2.0, 1.0)),
            Self::Dotted => Some((0.5, 1.0)),
        }
    }
}

/// The backgrounds assumed for contrast: a usual dark one, and white.
const BACKGROUNDS: [[u8; 3]; 2] = [[24, 24, 24], [255, 255, 255]];
/// Smallest contrast ratio of text (WCAG 2.2, level AA).
const CONTRAST: f64 = 4.5;

/// The brightness of the terminal's background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Background {
    Dark,
    Light,
}

/// The styles of the dashboard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Theme {
    no_colour: bool,
    light: bool,
}

impl Theme {
    /// The theme of a setting on this background; `no_colour` is whether NO_COLOR is set.
    pub fn new(choice: ThemeChoice, no_colour: bool, background: Option<Background>) -> Self {
        let light = match choice {
            ThemeChoice::Light => true,
            ThemeChoice::Dark => false,
            ThemeChoice::Auto => background == Some(Background::Light),
        };
        Self { no_colour, light }
    }

    pub fn has_colours(self) -> bool {
        !self.no_colour
    }

    pub fn is_light(self) -> bool {
        self.light
    }

    fn colour(self, colour: Color) -> Style {
        if self.no_colour { Style::new() } else { Style::new().fg(self.legible(colour)) }
    }

    /// The colour, darkened or lightened until it is legible on this theme's background.
    fn legible(self, colour: Color) -> Color {
        let Color::Rgb(red, green, blue) = colour else { return colour };
        let (behind, towards) =
            (BACKGROUNDS[usize::from(self.light)], if self.light { 0.0 } else { 255.0 });
        let mixed = |share: f64| {
            [red, green, blue]
                .map(|c| (f64::from(c) + share * (towards - f64::from(c))).round() as u8)
        };
        let shares = (0..=50).map(|step| f64::from(step) / 50.0);
        let found = shares.map(mixed).find(|&mixed| contrast(mixed, behind) >= CONTRAST);
        let [red, green, blue] = found.unwrap_or([red, green, blue]);
        Color::Rgb(red, green, blue)
    }

    /// For the most important curve or word.
    pub fn strong(self) -> Style {
        self.colour(if self.light { BLUE } else { SKY }).add_modifier(Modifier::BOLD)
    }

    pub fn faint(self) -> Style {
        if self.no_colour { Style::new().add_modifier(Modifier::DIM) } else { self.colour(GREY) }
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

    /// For the curve of this index. Curves after the seventh have the same colours and other [`Strokes`].
    pub fn curve(self, index: usize) -> Style {
        self.colour(CURVES[index % CURVES.len()])
    }

    /// For a curve whose colour stands for this.
    pub fn curve_colour(self, colour: CurveColour) -> Style {
        match colour {
            CurveColour::OpenRun => self.strong(),
            CurveColour::Category(index) => self.curve(index),
            CurveColour::Level { index, n } => self.colour(level_colour(index, n)),
        }
    }

    pub fn notice(self, level: NoticeLevel) -> Style {
        match level {
            NoticeLevel::Info => Style::new(),
            NoticeLevel::Warning => self.warning(),
            NoticeLevel::Error => self.bad(),
        }
    }

    /// For the listed state of a run.
    pub fn listed_state(self, state: ListedState) -> Style {
        match state {
            ListedState::Training | ListedState::Comparing => self.strong(),
            ListedState::Finished => self.good(),
            ListedState::Failed | ListedState::Lost => self.bad(),
            ListedState::Queued
            | ListedState::Paused
            | ListedState::Stopped
            | ListedState::Newer => self.warning(),
            _ => Style::new(),
        }
    }
}

/// The colour of a noise level on the ramp.
fn level_colour(index: usize, n: usize) -> Color {
    let last = LEVELS.len() - 1;
    let place = last as f64 * index as f64 / n.saturating_sub(1).max(1) as f64;
    let below = (place as usize).min(last - 1);
    let share = (place - below as f64).clamp(0.0, 1.0);
    let mixed = |channel: usize| {
        let [from, to] = [below, below + 1].map(|at| f64::from(LEVELS[at][channel]));
        (from + share * (to - from)).round() as u8
    };
    Color::Rgb(mixed(0), mixed(1), mixed(2))
}

/// Whether text of a colour has at least this contrast ratio on a light or dark background.
pub fn stands_out(colour: [u8; 3], light: bool, ratio: f64) -> bool {
    contrast(colour, BACKGROUNDS[usize::from(light)]) >= ratio
}

/// The contrast ratio of two colours, 1 to 21 (WCAG 2.2).
fn contrast(one: [u8; 3], other: [u8; 3]) -> f64 {
    let luminance = |colour: [u8; 3]| -> f64 {
        let linear = colour.map(|value| {
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    };
    let (a, b) = (luminance(one) + 0.05, luminance(other) + 0.05);
    a.max(b) / a.min(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_colour_can_be_read_on_its_background() {
        assert!((contrast([0; 3], [255; 3]) - 21.0).abs() < 1e-9);
        for (light, behind) in [(false, BACKGROUNDS[0]), (true, BACKGROUNDS[1])] {
            let theme = Theme { no_colour: false, light };
            let named = [theme.strong(), theme.faint(), theme.good(), theme.bad(), theme.warning()];
            let curves: Vec<_> = (0..7).map(|index| theme.curve(index)).collect();
            for style in named.iter().chain(&curves) {
                let Some(Color::Rgb(red, green, blue)) = style.fg else { panic!("{style:?}") };
                assert!(contrast([red, green, blue], behind) >= CONTRAST, "{style:?} {light}");
            }
            let distinct: std::collections::HashSet<_> =
                curves.iter().map(|style| style.fg).collect();
            assert_eq!(distinct.len(), 7);
            let levels =
                (0..10).map(|index| theme.curve_colour(CurveColour::Level { index, n: 10 }));
            let levels: Vec<_> = levels.map(|style| style.fg).collect();
            assert!(levels.iter().all(|level| !distinct.contains(level)));
            assert_eq!(levels.iter().collect::<std::collections::HashSet<_>>().len(), 10);
        }
    }

    #[test]
    fn the_terminal_decides_where_lab_toml_leaves_it_open() {
        let light = |request, background| Theme::new(request, false, background).is_light();
        assert!(
            light(ThemeChoice::Auto, Some(Background::Light))
                && !light(ThemeChoice::Auto, Some(Background::Dark))
        );
        assert!(
            !light(ThemeChoice::Auto, None) && !light(ThemeChoice::Dark, Some(Background::Light))
        );
        assert!(light(ThemeChoice::Light, None));
    }

    #[test]
    fn no_two_of_many_curves_look_alike() {
        let theme = Theme { no_colour: false, light: false };
        let look = |index| format!("{:?} {:?}", theme.curve(index), Strokes::of_curve(index));
        let all: std::collections::HashSet<_> = (0..21).map(look).collect();
        assert_eq!(all.len(), 21);
    }

    #[test]
    fn no_colour_means_no_colour() {
        let plain = Theme::new(ThemeChoice::Auto, true, None);
        let all = [
            plain.strong(),
            plain.good(),
            plain.bad(),
            plain.curve(2),
            plain.listed_state(ListedState::Lost),
        ];
        assert!(all.iter().all(|style| style.fg.is_none() && style.bg.is_none()));
    }
}
