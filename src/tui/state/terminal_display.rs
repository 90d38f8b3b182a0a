//! What the terminal can show, and what was written to it.

use crate::tui::pictures::{Depth, Protocol};

/// How the dashboard is shown on this terminal.
#[derive(Clone, Debug)]
pub struct Display {
    /// How pictures are shown.
    pub protocol: Protocol,
    /// The protocols that a key cycles through.
    pub protocols: Vec<Protocol>,
    /// Pixels of a cell, across and down, if the terminal reported them.
    pub cell_pixels: Option<(u32, u32)>,
    pub depth: Depth,
    /// Whether clicks and the wheel go to the dashboard, not to the terminal.
    pub mouse: bool,
    pub output: Output,
}

/// What was written to the terminal so far, pictures included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Output {
    pub frames: u64,
    pub bytes: u64,
    /// Bytes of the last frame.
    pub last_bytes: u64,
}

impl Default for Display {
    fn default() -> Self {
        Self {
            protocol: Protocol::Blocks,
            protocols: vec![Protocol::Blocks, Protocol::Off],
            cell_pixels: None,
            depth: Depth::Truecolour,
            mouse: false,
            output: Output::default(),
        }
    }
}
