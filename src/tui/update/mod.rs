//! How a message changes the state. No input and no output: what must be done in the world is returned as effects.
//!
//! [`messages::update`] is the entry. Below it, each file handles one concern; keys go to the popup, the inspector, the
//! crosshair and the key table, in this order ([`keys`]).

pub mod steering;
pub mod requests;
pub mod runs;
pub mod samples;
pub mod crosshair;
pub mod run_forms;
pub mod edit_form;
pub mod inspector;
pub mod cursors;
pub mod actions;
pub mod popups;
pub mod mouse;
pub mod keys;
pub mod messages;

pub use messages::update;
