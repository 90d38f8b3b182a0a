//! The panels: each draws one part of [`super::app::App`] into a rectangle and holds nothing.

pub mod readings;
pub mod runs;
pub mod training;
pub mod strip;
pub mod samples;
pub mod heat;
pub mod log;
pub mod look;
pub mod settings;
pub mod system;
pub mod overlay;
