//! `show`: draws a PNG file or a run's newest preview in the terminal.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::lab_and_runs_dir_options::LabPaths;
use crate::config::lab_settings::{ColourChoice, ImageChoice};
use crate::console;
use crate::console::terminal_abilities;
use crate::runs::preview_files;
use crate::tui::pictures::print_picture_for_commands::print_plain;
use crate::tui::pictures::{Depth, Protocol};
use crate::tui::terminal_probe::{Wish, probe_once};

/// Width if the terminal does not report its own.
const COLUMNS: u16 = 80;

#[derive(Clone, Debug, Args)]
pub struct ShowArgs {
    /// A PNG file, or a run (name or unique prefix) whose newest preview is shown.
    pub what: String,
    /// The preview of this training step.
    #[arg(long, value_name = "N")]
    pub step: Option<u64>,
    /// Maximum width in cells [default: the terminal's width].
    #[arg(long, value_name = "CELLS", value_parser = clap::value_parser!(u16).range(1..))]
    pub width: Option<u16>,
}

pub fn run(paths: &LabPaths, args: &ShowArgs) -> Result<()> {
    let path = match Path::new(&args.what) {
        file if file.is_file() && args.step.is_none() => file.to_owned(),
        _ => preview_of(paths, args)?,
    };
    let image = image::open(&path)
        .with_context(|| format!("reading '{}' as PNG", path.display()))?
        .to_rgb8();
    if let Some(lack) = terminal_abilities::lack_of_screen() {
        bail!("the terminal cannot show '{}': {lack}", path.display());
    }
    let pictures = paths.lab().map_or(ImageChoice::Auto, |lab| lab.settings.images);
    // Kept until the end, so that the picture does not wait for a late answer.
    let (found, _asked) = probe_once(&Wish { pictures, background: false, cell: false });
    // The user asks for a picture explicitly, even if the dashboard is set to show none.
    let protocol = match found.protocol {
        Protocol::Off => Protocol::Blocks,
        other => other,
    };
    let terminal = ratatui::crossterm::terminal::size().map_or(COLUMNS, |(width, _)| width);
    let depth = Depth::new(ColourChoice::Auto);
    print_plain((protocol, depth), &image, args.width.unwrap_or(terminal), &mut io::stdout())
        .with_context(|| format!("showing '{}' as {}", path.display(), protocol.name()))?;
    writeln!(console::stdout(), "{}", console::line(&path.display().to_string()))?;
    Ok(())
}

/// Path of the composed picture in a run's preview.
fn preview_of(paths: &LabPaths, args: &ShowArgs) -> Result<PathBuf> {
    let run = paths
        .run(&args.what)
        .with_context(|| format!("'{}' is neither a file nor a run", args.what))?;
    let all = preview_files::list(&run.dir.previews_path());
    let wanted = match args.step {
        Some(step) => all.iter().find(|(other, _)| *other == step),
        None => all.last(),
    };
    let Some((_, folder)) = wanted else {
        let steps: Vec<String> = all.iter().map(|(step, _)| step.to_string()).collect();
        match args.step {
            Some(step) if !steps.is_empty() => bail!(
                "run '{}' has no preview of step {step}; it has those of {}",
                run.id,
                steps.join(", ")
            ),
            _ => bail!(
                "run '{}' has no preview yet; make one with 'mosaic preview {}'",
                run.id,
                run.id
            ),
        }
    };
    Ok(folder.join(preview_files::PICTURE))
}
