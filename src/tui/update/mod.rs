//! How a message changes the state. No input and no output: what must be done in the world is returned as effects.
//!
//! [`handle_messages::update`] is the entry. Below it, each file handles one concern; keys go to the popup, the
//! inspector, the crosshair and the key table, in this order ([`key_presses`]).

pub mod open_run_or_warning;
mod pause_resume_stop_control;
pub mod preview_and_export_requests;
pub mod open_and_mark_runs;
pub mod previews;
mod recompute;
pub mod crosshair;
pub mod sample_note_rename_kill_delete_forms;
pub mod edit_form;
pub mod inspector;
pub mod cursors_and_scrolling;
pub mod key_actions;
pub mod popup_keys;
mod launch_form;
mod read_only_and_refused_actions;
pub mod mouse;
pub mod key_presses;
pub mod handle_messages;

pub use handle_messages::update;
