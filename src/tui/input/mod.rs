//! Reads the terminal: keys, pastes, the mouse, and reports of the terminal itself.
//!
//! ```text
//! bytes --> sequence (where it ends, what it is) --> decoder (what only time decides) --> reader --> messages
//! ```
//!
//! A terminal answers queries on the channel that keys use, late, in pieces, or unasked. Every control string and control
//! sequence is therefore read as a whole, and only those that name a key become a key. crossterm's reader is not used,
//! because it turns unknown sequences into keys: the letters of a colour, or a cursor report into F3.

pub mod sequence;
pub mod decoder;
pub mod reader;
