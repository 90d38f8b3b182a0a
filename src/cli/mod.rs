//! Subcommands and plain-text output.

pub mod denoise;
