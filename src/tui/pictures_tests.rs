//! Claims of `pictures`: colours of cells, sizes, and what is printed when.

use crate::config::lab_settings::{ColourChoice, ThemeChoice};
use image::Rgb;
use ratatui::style::Style;

use crate::tui::theme::Theme;

use super::*;

const RED: [u8; 3] = [255, 0, 0];
const GREEN: [u8; 3] = [0, 255, 0];
const BLUE: [u8; 3] = [0, 0, 255];
const WHITE: [u8; 3] = [255; 3];

fn picture(width: u32, pixels: &[[u8; 3]]) -> RgbImage {
    let height = pixels.len() as u32 / width;
    RgbImage::from_fn(width, height, |x, y| Rgb(pixels[(y * width + x) as usize]))
}

fn rgb([red, green, blue]: [u8; 3]) -> Color {
    Color::Rgb(red, green, blue)
}

fn placement(area: Rect, key: u64) -> Placement {
    Placement { area, image: Arc::new(RgbImage::new(8, 8)), key }
}

#[test]
fn two_by_two_fills_two_cells_with_its_four_colours() {
    let mut buffer = Buffer::empty(Rect::new(0, 0, 2, 1));
    draw_blocks(
        Depth::Truecolour,
        &picture(2, &[RED, GREEN, BLUE, WHITE]),
        buffer.area,
        &mut buffer,
    );
    assert_eq!((buffer[(0, 0)].fg, buffer[(0, 0)].bg), (rgb(RED), rgb(BLUE)));
    assert_eq!((buffer[(1, 0)].fg, buffer[(1, 0)].bg), (rgb(GREEN), rgb(WHITE)));
    assert_eq!(buffer[(0, 0)].symbol(), "▀");
}

#[test]
fn enlargement_is_whole_and_centred() {
    let mut buffer = Buffer::empty(Rect::new(0, 0, 7, 4));
    draw_blocks(
        Depth::Truecolour,
        &picture(2, &[RED, GREEN, BLUE, WHITE]),
        Rect::new(1, 0, 6, 3),
        &mut buffer,
    );
    // Three times: 6 x 6 pixels, 6 x 3 cells; the middle row holds the border of the two halves.
    assert_eq!((buffer[(1, 1)].fg, buffer[(1, 1)].bg), (rgb(RED), rgb(BLUE)));
    assert_eq!((buffer[(6, 2)].fg, buffer[(6, 2)].bg), (rgb(WHITE), rgb(WHITE)));
    assert!((0..4).all(|y| buffer[(0, y)].symbol() == " "));
    let mut wide = Buffer::empty(Rect::new(0, 0, 6, 1));
    draw_blocks(Depth::Truecolour, &picture(2, &[RED, GREEN, BLUE, WHITE]), wide.area, &mut wide);
    let drawn: Vec<bool> = (0..6).map(|x| wide[(x, 0)].symbol() == "▀").collect();
    assert_eq!(drawn, [false, false, true, true, false, false]);
}

#[test]
fn an_odd_height_leaves_the_last_half_row_to_the_terminal() {
    let mut buffer = Buffer::empty(Rect::new(0, 0, 1, 2));
    draw_blocks(Depth::Truecolour, &picture(1, &[RED, GREEN, BLUE]), buffer.area, &mut buffer);
    assert_eq!((buffer[(0, 1)].fg, buffer[(0, 1)].bg), (rgb(BLUE), Color::Reset));
}

#[test]
fn shrinking_averages() {
    let mut buffer = Buffer::empty(Rect::new(0, 0, 1, 1));
    let [black, white] = [[0; 3], WHITE];
    let image = picture(2, &[black, white, black, white, RED, RED, RED, RED]);
    draw_blocks(Depth::Truecolour, &image, buffer.area, &mut buffer);
    assert_eq!((buffer[(0, 0)].fg, buffer[(0, 0)].bg), (rgb([128; 3]), rgb(RED)));
}

#[test]
fn no_size_of_picture_or_area_panics() {
    let image = |width, height| RgbImage::new(width, height);
    for sizes in [(0, 0), (0, 3), (3, 0), (1, 1), (100, 1), (1, 100), (33, 17)] {
        for (width, height) in [(0, 0), (1, 0), (0, 1), (1, 1), (2, 1), (200, 200)] {
            let mut buffer = Buffer::empty(Rect::new(3, 3, 5, 2));
            let area = Rect::new(2, 4, width, height);
            draw_blocks(Depth::Truecolour, &image(sizes.0, sizes.1), area, &mut buffer);
            draw_blocks(Depth::Palette, &image(sizes.0, sizes.1), area, &mut buffer);
            reserve(area, &mut buffer);
            let one = Placement { area, image: Arc::new(image(sizes.0, sizes.1)), key: 0 };
            for screen in [Size::new(0, 0), Size::new(1, 1), Size::new(80, 24)] {
                for (_, filled) in placed(Protocol::Kitty, std::slice::from_ref(&one), screen) {
                    assert!(filled.bottom() < screen.height && filled.right() <= screen.width);
                    assert!(!filled.is_empty() && area.intersection(filled) == filled);
                }
            }
        }
    }
}

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
            let Color::Indexed(index) = found else { panic!("{style:?} has none in {wanted:?}") };
            let colour = SIXTEEN[usize::from(index)];
            assert!(!is_grey(colour) && theme::stands_out(colour, theme.is_light(), 3.0));
            seen.insert(index);
        }
        assert!(seen.len() >= n_hues, "{wanted:?}: {seen:?}");
        let faint = theme.faint().fg;
        let Some(Color::Rgb(red, green, blue)) = faint else { panic!("{faint:?}") };
        let grey = Depth::Sixteen.text_colour([red, green, blue], theme.is_light());
        assert!(matches!(grey, Color::Indexed(7 | 8)), "{wanted:?}: {grey:?}");
    }
}

#[test]
fn reserved_cells_are_skipped_and_come_back_when_released() {
    let area = Rect::new(0, 0, 3, 1);
    let plain = Buffer::empty(area);
    let mut reserved = Buffer::empty(area);
    reserve(Rect::new(1, 0, 9, 9), &mut reserved);
    assert!(plain.diff(&reserved).is_empty());
    let back: Vec<u16> = reserved.diff(&plain).iter().map(|(x, _, _)| *x).collect();
    assert_eq!(back, [1, 2]);
    // A frame that needs no pictures after all takes its reservations back.
    let mut again = reserved.clone();
    release(&mut again);
    assert_eq!(reserved.diff(&again).len(), 2);
}

#[test]
fn printing_happens_only_on_a_change() {
    let screen = Size::new(80, 24);
    let wanted = |key, x| -> Shown {
        let one = placement(Rect::new(x, 2, 10, 5), key);
        placed(Protocol::Kitty, &[one], screen).iter().map(|(p, a)| (p.key, *a)).collect()
    };
    let printer = Printer { shown: Some((Protocol::Kitty, wanted(1, 0))), cell: None };
    assert!(!printer.must_print(Protocol::Kitty, &wanted(1, 0)));
    assert!(printer.must_print(Protocol::Kitty, &wanted(2, 0)));
    assert!(printer.must_print(Protocol::Kitty, &wanted(1, 1)));
    assert!(printer.must_print(Protocol::Sixel, &wanted(1, 0)));
    assert!(printer.must_print(Protocol::Blocks, &Shown::new()));
    assert!(!Printer::new(None).must_print(Protocol::Blocks, &Shown::new()));
}

#[test]
fn clear_deletes_kitty_pictures_once_and_forgets() {
    let shown = vec![(1, Rect::new(0, 0, 2, 1))];
    let mut printer = Printer { shown: Some((Protocol::Kitty, shown.clone())), cell: None };
    let mut out = Vec::new();
    printer.clear(&mut out).unwrap();
    printer.clear(&mut out).unwrap();
    assert_eq!(out, DELETE_KITTY_PICTURES);
    assert!(printer.must_print(Protocol::Kitty, &shown));
}

#[test]
fn a_kitty_picture_is_sent_whole_and_ended() {
    let mut out = Vec::new();
    print_kitty(&RgbImage::new(64, 64), Rect::new(2, 3, 8, 4), &mut out).unwrap();
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
