//! What comes from the terminal: keys, pastes, the mouse, and what the terminal itself says.
//!
//! ```text
//! bytes --> sequence (where does the first one end, what is it?) --> decoder (what time decides) --> messages
//! ```
//!
//! A terminal answers questions on the line that keys come by, late, in pieces, or unasked. Here every control string and control sequence
//! is taken whole, and only those that name a key become one. crossterm's reader, which the dashboard does without, makes keys of what it does not know:
//! the letters of a colour, a cursor report for F3.

pub mod sequence;
pub mod decoder;
pub mod reader;
