//! The state of the dashboard: plain data, and questions that it answers about itself.
//!
//! Nothing here draws, reads a key or touches a file. `update` changes the state; `panels`, `view` and `export` read it.

pub mod notice;
pub mod run_list;
pub mod open_run;
pub mod charts;
pub mod inspector;
pub mod popup;
pub mod screen;
pub mod display;
pub mod app;
pub mod chart_curves;

pub use app::App;
pub use charts::{Crosshair, Dots};
pub use inspector::Inspector;
pub use notice::Notice;
pub use open_run::{OpenRun, ScoredPreview};
pub use popup::{EditForm, FieldsForm, Popup, Purpose};
pub use screen::{Pane, Region};
