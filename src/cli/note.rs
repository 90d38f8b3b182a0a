//! `mosaic note`: sets or shows a run's note and tags.

use std::io::Write;

use anyhow::{Context, Result, anyhow};
use clap::Args;

use super::lab_and_runs_dir_options::LabPaths;
use crate::console;
use crate::runs::note_and_tags::About;

#[derive(Clone, Debug, Args)]
pub struct NoteArgs {
    /// Run name, or a unique prefix of it.
    pub run: String,
    /// New note, one line; an empty one deletes it. Without text and tags, prints the current ones.
    pub text: Option<String>,
    /// Add a tag; repeatable.
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<String>,
    /// Remove a tag; repeatable.
    #[arg(long, value_name = "TAG")]
    pub untag: Vec<String>,
}

/// Changes a run's note and tags if any are given, and prints them.
///
/// # Errors
///
/// If the lab file is unusable, if the runs cannot be read, if no run or several runs match, if the note or a
/// tag is invalid, or if the note's file or standard output cannot be written.
pub fn run(paths: &LabPaths, args: &NoteArgs) -> Result<()> {
    let run = paths.run(&args.run)?;
    let mut about = run.about;
    if args.text.is_some() || !args.tag.is_empty() || !args.untag.is_empty() {
        let text = args.text.as_deref().unwrap_or(&about.note);
        about = About::new(text, &about.tags.join(" ")).map_err(|problem| anyhow!(problem))?;
        for tag in &args.tag {
            about.add(tag).map_err(|problem| anyhow!(problem))?;
        }
        about.tags.retain(|tag| !args.untag.contains(tag));
        let path = run.dir.about_path();
        about.write(&path).with_context(|| format!("writing '{}'", path.display()))?;
    }
    let words = format!("{}: {} [{}]", run.id, about.note, about.tags.join(" "));
    writeln!(console::stdout(), "{}", console::line(&words))?;
    Ok(())
}
