//! The state of the dashboard: plain data, and questions that it answers about itself.
//!
//! Nothing here draws, reads a key or touches a file. `update` changes the state; `panels`, `screen_layout` and
//! `export` read it.

pub mod notice;
pub mod run_list;
pub mod open_run;
pub mod chart_settings;
pub mod inspector;
pub mod popup;
pub mod focus_and_panes;
pub mod terminal_display;
pub mod app;
pub mod chart_curves;

pub use app::App;
pub use chart_settings::{Crosshair, Dots};
pub use focus_and_panes::{Pane, Region};
pub use inspector::Inspector;
pub use notice::Notice;
pub use open_run::{OpenRun, ScoredPreview};
pub use popup::{EditForm, FieldsForm, LaunchForm, Popup, Purpose};
