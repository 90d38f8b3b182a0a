//! Pictures in terminals: as half-blocks inside ratatui's buffer, or as pixels printed after the frame.
//!
//! Composing pictures is the work of `crate::image::contact_sheet`; here they are only shown.

pub mod protocol_choice;
pub mod colour_depth;
pub mod half_blocks;
pub mod placement;
pub mod sixel;
pub mod kitty_and_iterm2;
pub mod print_dashboard_pictures;
pub mod print_picture_for_commands;

pub use colour_depth::Depth;
pub use placement::Placement;
pub use protocol_choice::Protocol;
