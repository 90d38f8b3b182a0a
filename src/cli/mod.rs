//! Subcommands and plain-text output.
