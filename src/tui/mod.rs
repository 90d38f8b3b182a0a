//! The dashboard: shows runs and steers them; it never trains.
//!
//! ```text
//! input thread (keys, size) --\                               /--> terminal
//!                              +--> update --> state --> view --+
//! lab thread (runs, events) --/   \--> effects --> lab thread
//! ```
//!
//! [`update`] changes the [`state`] according to a [`messages_and_effects::Message`] and returns effects, without input
//! or output. [`screen_layout`] and the [`panels`] draw the state and change nothing. [`event_loop`] owns the terminal,
//! [`run_watcher`] reads the run directories, and [`carry_out_effects_thread`] carries out effects on runs. Networks, machines and
//! training are unknown here, and no run stops because the dashboard ends.
//!
//! The modules below are in reading order; each imports only modules above it.

pub mod number_and_text_format;
pub mod text_field;
pub mod tabs;
pub mod key_table;
pub mod colour_theme;
pub mod multiplexer;
pub mod pictures;
pub mod chart_arithmetic;
pub mod curve_points;
pub mod recorded_curves;
pub mod state;
pub mod terminal_plot;
pub mod command_palette;
pub mod notifications;
pub mod screenshot;
pub mod export;
pub mod messages_and_effects;
pub mod run_watcher;
pub mod panels;
pub mod update;
pub mod screen_layout;
pub mod input;
pub mod terminal;
pub mod terminal_probe;
pub mod watchdog;
pub mod carry_out_effects_thread;
pub mod event_loop;
pub mod open_dashboard;

pub use event_loop::Left;
pub use open_dashboard::run;
