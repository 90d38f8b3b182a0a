//! Reports of runs as one HTML file that needs nothing else: for a paper's supplement, a browser or a printer.
//!
//! The words and tables are those of `report.md`, which is turned into HTML; charts are the SVG files beside it. Whatever comes
//! from a file is text here: no markup, script or link of a name, a note or a report gets into the page.
//!
//! Reading order: [`page_of_runs`] (the page), `section_of_run` (what it says of a run), `charts_and_pictures`,
//! `settings_and_commands`, `html_text` (escaping, Markdown to HTML), `svg_as_drawn` (which SVG may be part of the page),
//! `calendar_date`.

pub mod page_of_runs;
mod section_of_run;
mod charts_and_pictures;
mod settings_and_commands;
mod html_text;
mod svg_as_drawn;
mod calendar_date;
