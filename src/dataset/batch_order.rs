//! The order of training images: endless epochs in a seeded order that can be resumed exactly.
//!
//! The order of epoch `e` is a Fisher-Yates shuffle from `stream(seed, DataOrder, e)`, so the position in the
//! sequence is one number: the images served so far. A batch may straddle two epochs; none is dropped or
//! padded.

use rand::RngExt;

use crate::random::{Purpose, stream};

/// An endless sequence of batches of image indices.
#[derive(Clone, Debug)]
pub struct Batches {
    n_images: usize,
    batch: usize,
    seed: u64,
    position: u64,
    epoch: u64,
    order: Vec<usize>,
}

impl Batches {
    /// Starts at position 0.
    ///
    /// # Panics
    ///
    /// If `n_images` or `batch` is zero; settings are checked before.
    pub fn new(n_images: usize, batch: usize, seed: u64) -> Self {
        assert!(n_images > 0 && batch > 0, "batches of {batch} from {n_images} images");
        Self { n_images, batch, seed, position: 0, epoch: 0, order: order(n_images, seed, 0) }
    }

    /// The indices of the next batch.
    #[expect(clippy::should_implement_trait, reason = "never ends, so `Option` would mislead")]
    pub fn next(&mut self) -> Vec<usize> {
        (0..self.batch).map(|_| self.next_index()).collect()
    }

    /// Number of images served so far; the only state needed to resume.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Continues as if `position` images had been served.
    pub fn seek(&mut self, position: u64) {
        self.position = position;
    }

    fn next_index(&mut self) -> usize {
        let n = self.n_images as u64;
        let epoch = self.position / n;
        if epoch != self.epoch {
            self.epoch = epoch;
            self.order = order(self.n_images, self.seed, epoch);
        }
        let index = self.order[(self.position % n) as usize];
        self.position += 1;
        index
    }
}

fn order(n_images: usize, seed: u64, epoch: u64) -> Vec<usize> {
    shuffled(n_images, &mut stream(seed, Purpose::DataOrder, epoch))
}

/// `0..n` in random order (Fisher-Yates).
pub(super) fn shuffled(n: usize, generator: &mut impl rand::Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        // A range of u64, so that the numbers do not depend on the platform's word size.
        order.swap(i, generator.random_range(0..=i as u64) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_serves_every_image_once() {
        let mut batches = Batches::new(10, 5, 3);
        let epochs: Vec<Vec<usize>> =
            (0..4).map(|_| [batches.next(), batches.next()].concat()).collect();
        for epoch in &epochs {
            let mut sorted = epoch.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        }
        assert_ne!(epochs[0], epochs[1]);
    }

    #[test]
    fn seeking_resumes_the_same_sequence() {
        let mut whole = Batches::new(7, 3, 1);
        for _ in 0..11 {
            whole.next();
        }
        let mut resumed = Batches::new(7, 3, 1);
        resumed.seek(whole.position());
        for _ in 0..9 {
            assert_eq!(resumed.next(), whole.next());
        }
    }

    #[test]
    fn a_batch_may_be_larger_than_the_set() {
        assert_eq!(Batches::new(2, 5, 0).next().len(), 5);
    }
}
