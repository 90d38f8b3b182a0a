//! Buffers that the threads of one operation take and give back.
//!
//! rayon's `map_init` makes new ones for each part into which it cuts the work, which for a small batch is as many as
//! there are images: setting them to zero then takes as long as the operation's sums.

use std::sync::{Mutex, PoisonError};

/// The buffers that no thread uses at the moment.
#[derive(Debug)]
pub struct SpareBuffers<B>(Mutex<Vec<B>>);

impl<B> Default for SpareBuffers<B> {
    /// None yet.
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl<B> SpareBuffers<B> {
    /// Runs `work` with buffers that were used before or that `make` makes: what they hold is unknown.
    pub fn with<R>(&self, make: impl FnOnce() -> B, work: impl FnOnce(&mut B) -> R) -> R {
        let all = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let spare = all().pop();
        let mut buffers = spare.unwrap_or_else(make);
        let result = work(&mut buffers);
        all().push(buffers);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_made_only_while_none_is_spare() {
        let spare = SpareBuffers::default();
        let take = |work: &dyn Fn(&mut usize)| spare.with(|| 0, |buffer| work(buffer));
        take(&|buffer| *buffer += 1);
        take(&|outer| {
            assert_eq!(*outer, 1);
            take(&|inner| assert_eq!(*inner, 0));
        });
    }
}
