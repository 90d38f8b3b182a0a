//! temporary
pub fn start() {}
