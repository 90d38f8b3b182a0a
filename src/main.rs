//! The `mosaic` binary: parses, dispatches, prints one error.

fn main() {}
