//! Which card computes which images.
//!
//! A dictionary is dealt to the cards in equal, contiguous shares. A share that fits stays on its card, as bytes where
//! the images are bytes; a larger one is streamed through in portions, the next one loaded while one is computed with.
//! What cards answer, a few kilobytes a query, is merged here in the order of the images.
//!
//! A card that fails is not asked again by anyone: the reason is reported once, and the CPU computes from there on.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::plan::Launch;
use super::{Card, CardError, Loaded};
use crate::theory::images::TrainingImages;
use crate::theory::kernels::PatchQuery;
use crate::theory::weights::Accumulator;

/// Queries of one launch, so that what blocks find takes little memory.
const QUERIES_MAX: usize = 8;
/// Pairs of pixels of one launch: well under a second, so that a card that also draws a screen stays usable.
const PAIRS_MAX: usize = 100_000_000_000;
/// Kernels number a launch's entries in 32 bits, and its images in 31.
const ENTRIES_MAX: usize = u32::MAX as usize;

/// What is told why cards are no longer used.
type Report = Box<dyn Fn(&str) + Send + Sync>;

/// Cards that work together.
pub struct Cards {
    cards: Vec<Box<dyn Card>>,
    report: Report,
    is_out: AtomicBool,
}

/// A dictionary's cards and where its images are on them.
pub struct OnCards {
    cards: Arc<Cards>,
    placement: Mutex<Placement>,
}

enum Placement {
    /// Nobody asked yet.
    Unplaced,
    Placed(Arc<Vec<Share>>),
    /// These cards cannot take these images.
    Unusable,
}

/// Images that one card answers for.
struct Share {
    card: usize,
    images: Range<usize>,
    held: Held,
}

enum Held {
    /// All of them, for good.
    Whole(Box<dyn Loaded>),
    /// So many at a time; fewer once these did not fit.
    Portions(AtomicUsize),
}

impl Cards {
    /// `report` is told, once, why cards are no longer used.
    pub fn new(cards: Vec<Box<dyn Card>>, report: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { cards, report: Box::new(report), is_out: AtomicBool::new(false) }
    }

    /// Names, separated by commas.
    pub fn names(&self) -> String {
        let names: Vec<String> = self.cards.iter().map(|card| card.name()).collect();
        names.join(", ")
    }

    /// Whether one of them failed.
    pub fn is_out(&self) -> bool {
        self.is_out.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for OnCards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OnCards({})", self.cards.names())
    }
}

impl OnCards {
    pub fn new(cards: Arc<Cards>) -> Self {
        Self { cards, placement: Mutex::new(Placement::Unplaced) }
    }

    pub fn cards(&self) -> &Arc<Cards> {
        &self.cards
    }

    /// Posteriors over `images` of each query in turn; `None` where the CPU has to compute.
    pub fn posteriors(
        &self,
        images: &TrainingImages,
        queries: &[PatchQuery<'_, f32>],
    ) -> Option<Vec<Accumulator>> {
        let shares = self.shares(images)?;
        match self.of_shares(&shares, images, queries) {
            Ok(found) => Some(found),
            Err(error) => {
                *self.lock() = Placement::Unusable;
                self.give_up(&error);
                None
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Placement> {
        self.placement.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The images' places, found when first asked for.
    fn shares(&self, images: &TrainingImages) -> Option<Arc<Vec<Share>>> {
        if self.cards.is_out() {
            return None;
        }
        let mut placement = self.lock();
        match &*placement {
            Placement::Placed(shares) => return Some(shares.clone()),
            Placement::Unusable => return None,
            Placement::Unplaced => {}
        }
        match self.place(images) {
            Ok(shares) => {
                let shares = Arc::new(shares);
                *placement = Placement::Placed(shares.clone());
                Some(shares)
            }
            Err(error) => {
                *placement = Placement::Unusable;
                self.give_up(&error);
                None
            }
        }
    }

    /// Says why, and has nobody ask cards again that failed; others may suit other images.
    fn give_up(&self, error: &CardError) {
        let failed = matches!(error, CardError::Failed { .. });
        let is_known = failed && self.cards.is_out.swap(true, Ordering::Relaxed);
        if !is_known {
            (self.cards.report)(&format!("theory is computed on the CPU: {error}"));
        }
    }

    fn place(&self, images: &TrainingImages) -> Result<Vec<Share>, CardError> {
        let (n, n_cards) = (images.len(), self.cards.cards.len());
        let mut shares = Vec::with_capacity(n_cards);
        for (number, card) in self.cards.cards.iter().enumerate() {
            let mine = n * number / n_cards..n * (number + 1) / n_cards;
            if mine.is_empty() {
                continue;
            }
            let each = images.bytes_on_card();
            let room = card.room()?;
            let portions = |n: usize| Held::Portions(AtomicUsize::new(n.max(1)));
            let held = if mine.len() * each <= room / 2 {
                match card.load(images.for_card(mine.clone()).pixels()) {
                    Ok(loaded) => Held::Whole(loaded),
                    Err(CardError::OutOfMemory { .. }) => portions(mine.len() / 4),
                    Err(error) => return Err(error),
                }
            } else {
                portions((room / 4 / each).min(mine.len()))
            };
            shares.push(Share { card: number, images: mine, held });
        }
        Ok(shares)
    }

    fn of_shares(
        &self,
        shares: &[Share],
        images: &TrainingImages,
        queries: &[PatchQuery<'_, f32>],
    ) -> Result<Vec<Accumulator>, CardError> {
        let of_share = |share: &Share| {
            let mut sums = Sums::new(images, queries);
            match &share.held {
                Held::Whole(loaded) => sums.add(loaded.as_ref(), share.images.clone())?,
                Held::Portions(n) => self.stream(share, n, &mut sums)?,
            }
            Ok(sums.all)
        };
        let found: Vec<Result<Vec<Accumulator>, CardError>> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                shares.iter().map(|share| scope.spawn(move || of_share(share))).collect();
            let gone = |_| panic!("a thread that talks to a card panicked");
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(gone)).collect()
        });
        let mut all: Option<Vec<Accumulator>> = None;
        for found in found {
            let found = found?;
            match &mut all {
                None => all = Some(found),
                Some(all) => all.iter_mut().zip(&found).for_each(|(all, one)| all.merge(one)),
            }
        }
        Ok(all.unwrap_or_default())
    }

    /// Adds a share portion by portion; portions that do not fit are halved.
    fn stream(
        &self,
        share: &Share,
        per_portion: &AtomicUsize,
        sums: &mut Sums<'_>,
    ) -> Result<(), CardError> {
        let mut next = share.images.start;
        while next < share.images.end {
            let n = per_portion.load(Ordering::Relaxed);
            match self.stream_from(share, &mut next, n, sums) {
                Err(CardError::OutOfMemory { .. }) if n > 1 => {
                    per_portion.store(n.div_ceil(2), Ordering::Relaxed);
                }
                done => done?,
            }
        }
        Ok(())
    }

    /// Goes on from image `next`, which it leaves at the first image that is not added.
    fn stream_from(
        &self,
        share: &Share,
        next: &mut usize,
        n: usize,
        sums: &mut Sums<'_>,
    ) -> Result<(), CardError> {
        let (card, images) = (&self.cards.cards[share.card], sums.images);
        let (first, end) = (*next, share.images.end);
        std::thread::scope(|scope| {
            // Nobody waits in the channel: one portion is on its way while another is computed with.
            let (sender, receiver) = sync_channel(0);
            scope.spawn(move || {
                for first in (first..end).step_by(n) {
                    let portion = first..(first + n).min(end);
                    let loaded = card.load(images.for_card(portion.clone()).pixels());
                    let is_last = loaded.is_err();
                    if sender.send((portion, loaded)).is_err() || is_last {
                        return;
                    }
                }
            });
            for (portion, loaded) in receiver {
                *next = portion.start;
                sums.add(loaded?.as_ref(), portion.clone())?;
                *next = portion.end;
            }
            Ok(())
        })
    }
}

/// Posteriors that images are added to.
struct Sums<'a> {
    images: &'a TrainingImages,
    queries: &'a [PatchQuery<'a, f32>],
    all: Vec<Accumulator>,
}

impl<'a> Sums<'a> {
    fn new(images: &'a TrainingImages, queries: &'a [PatchQuery<'a, f32>]) -> Self {
        let shape = images.shape();
        let all =
            queries.iter().map(|_| Accumulator::new(shape.channels, shape.n_pixels())).collect();
        Self { images, queries, all }
    }

    /// Adds `loaded`, which are the dictionary's `portion`.
    fn add(&mut self, loaded: &dyn Loaded, portion: Range<usize>) -> Result<(), CardError> {
        let n_pixels = self.images.shape().n_pixels();
        let is_bytes = self.images.are_bytes();
        let groups = self.queries.chunks(QUERIES_MAX).zip(self.all.chunks_mut(QUERIES_MAX));
        for (queries, all) in groups {
            let flat: Vec<f32> = queries.iter().flat_map(|query| query.x).copied().collect();
            let by_pairs = PAIRS_MAX / queries.len() / n_pixels / n_pixels;
            let per_launch = by_pairs.min(ENTRIES_MAX / n_pixels).min(i32::MAX as usize).max(1);
            for first in (0..portion.len()).step_by(per_launch) {
                let some = first..(first + per_launch).min(portion.len());
                let first = portion.start + first;
                let launch = Launch::new(&queries[0], some, first, self.images.len(), is_bytes);
                launch.merge(&loaded.posteriors(&launch, &flat)?, all);
            }
        }
        Ok(())
    }
}
