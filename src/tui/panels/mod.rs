//! The panels: each draws one part of the state into a rectangle and holds nothing.

pub mod picture_row;
pub mod header;
pub mod footer;
pub mod runs;
pub mod crosshair_readings;
pub mod entropy_map;
pub mod charts;
pub mod samples;
pub mod inspector;
pub mod settings;
pub mod log;
pub mod results;
pub mod system;
pub mod popups;
