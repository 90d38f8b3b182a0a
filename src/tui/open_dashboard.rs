//! Opens the dashboard on a lab: probes the terminal, then starts the watchdog and the shell.

use crate::config::lab_settings::{MouseChoice, ThemeChoice};
use std::time::Instant;

use anyhow::Context;

use super::colour_theme::Theme;
use super::event_loop::Left;
use super::input::decoder::Decoder;
use super::notifications::Bell;
use super::pictures::{Depth, Protocol};
use super::state::{App, Notice, OpenRun};
use super::terminal::Raw;
use super::terminal_probe::Wish;
use super::{event_loop, terminal_probe, watchdog};
use crate::config::Lab;
use crate::runs::runs_dir::RunsDir;

/// Shows the dashboard until the user leaves: first the run of this id, by default the newest live run. If `read_only`,
/// nothing can be launched or steered. Standard input and output must be a terminal.
///
/// # Errors
///
/// If the terminal cannot be set up or written to.
pub fn run(lab: Lab, run: Option<String>, read_only: bool) -> anyhow::Result<Left> {
    let is_built_in = lab.path.is_none();
    let settings = lab.settings;
    let mut app = App::new(lab.experiments, settings.runs_dir.display().to_string());
    if is_built_in {
        let words = "no lab.toml here: built-in experiments are shown; 'mosaic init' writes them";
        app.notify(Notice::info(words));
    }
    app.read_only = read_only;
    app.open_run = run.map(OpenRun::new);
    // An empty NO_COLOR counts as unset (no-color.org).
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    app.display.depth = Depth::new(settings.colours);
    app.display.mouse = settings.mouse == MouseChoice::On;
    watchdog::start();
    // Raw mode from here on: a late answer is read by a decoder that recognises it.
    let mut raw = Raw::enter().context("putting the terminal into raw mode")?;
    let mut decoder = Decoder::new(Instant::now());
    let asks_background = settings.theme == ThemeChoice::Auto && !no_colour;
    let wish = Wish { pictures: settings.images, background: asks_background, cell: true };
    let found = terminal_probe::probe(&wish, &mut raw, &mut decoder);
    app.theme = Theme::new(settings.theme, no_colour, found.answers.background);
    app.display.protocol = found.protocol;
    app.display.protocols = found.available;
    app.display.cell_pixels = found.answers.cell;
    let colours =
        (found.protocol == Protocol::Blocks).then(|| app.display.depth.hint(settings.colours));
    if let Some(note) = found.note {
        app.notify(Notice::warning(note));
    } else if let Some(hint) = colours.flatten().filter(|_| !no_colour && !is_built_in) {
        app.notify(Notice::info(hint));
    }
    let lab = (RunsDir::new(settings.runs_dir), settings.device);
    event_loop::run(&mut app, lab, Bell::new(settings.notify), raw, decoder)
}
