//! Pictures in terminals: as half-blocks inside ratatui's buffer, or as pixels printed after the frame.
//!
//! Composing pictures is the work of `crate::image::contact_sheet`; here they are only shown.

pub mod protocol;
pub mod colour_depth;
pub mod blocks;
pub mod placement;
pub mod sixel;
pub mod encode;
pub mod printer;
pub mod print_once;

pub use colour_depth::Depth;
pub use placement::Placement;
pub use protocol::Protocol;
