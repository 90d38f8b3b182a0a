//! What a tab shows, as files: figures (CSV), charts and pictures (PNG, charts also SVG), the screen
//! (text).
//!
//! Files go into `exports/` of the run's directory, numbered, so that none is overwritten. Tables of this computer or of
//! all runs, and everything that a read-only dashboard exports, go into the current directory. A thread of its own
//! writes them; an export that fails leaves nothing behind.

pub mod exported_tables_and_curves;
pub mod write_csv_text_and_png;
