//! Which training images each GPU holds, and how those that do not fit are streamed through its memory.
//!
//! Each GPU gets an equal, contiguous share of the images. A share that fits stays on its GPU (as bytes if the images
//! are bytes); a larger one is streamed in portions, each loaded while the previous one is processed.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;

use super::gpu_interface::{Gpu, GpuError, Loaded};
use crate::theory::training_pixels::ImagePixels;

/// Receives the reason why GPUs are no longer used.
type Report = Box<dyn Fn(&str) + Send + Sync>;

/// GPUs that work together.
pub struct Gpus {
    gpus: Vec<Box<dyn Gpu>>,
    report: Report,
    is_out: AtomicBool,
}

/// The images of one GPU.
pub(super) struct Share {
    gpu: usize,
    images: Range<usize>,
    held: Held,
}

/// Some images of the dictionary, which are at `place` among those loaded.
pub(super) struct Part<'a> {
    pub loaded: &'a dyn Loaded,
    pub place: Range<usize>,
    pub images: Range<usize>,
}

enum Held {
    /// All of them stay on the GPU.
    Whole(Box<dyn Loaded>),
    /// This many at a time; halved when they do not fit.
    Portions(AtomicUsize),
}

impl Gpus {
    /// GPUs that share a dictionary; `report` is called once with the reason if they are no longer used.
    pub fn new(gpus: Vec<Box<dyn Gpu>>, report: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { gpus, report: Box::new(report), is_out: AtomicBool::new(false) }
    }

    /// Names of the GPUs, separated by commas.
    pub fn names(&self) -> String {
        let names: Vec<String> = self.gpus.iter().map(|gpu| gpu.name()).collect();
        names.join(", ")
    }

    /// Whether one of them has failed.
    pub fn is_out(&self) -> bool {
        self.is_out.load(Ordering::Relaxed)
    }

    /// Reports why GPUs are not used. After a failure they are never used again; a dictionary that is too large does not
    /// keep them from others.
    pub(super) fn give_up(&self, error: &GpuError) {
        let failed = matches!(error, GpuError::Failed { .. });
        let is_known = failed && self.is_out.swap(true, Ordering::Relaxed);
        if !is_known {
            (self.report)(&format!("theory is computed on the CPU: {error}"));
        }
    }

    /// Loads each GPU's share of the images, as far as it fits.
    ///
    /// # Errors
    ///
    /// If a GPU fails.
    pub(super) fn place(&self, images: &ImagePixels) -> Result<Vec<Share>, GpuError> {
        let (n, n_gpus) = (images.len(), self.gpus.len());
        let mut shares = Vec::with_capacity(n_gpus);
        for (number, gpu) in self.gpus.iter().enumerate() {
            let mine = n * number / n_gpus..n * (number + 1) / n_gpus;
            if mine.is_empty() {
                continue;
            }
            let each = images.bytes_on_gpu();
            let room = gpu.room()?;
            let portions = |n: usize| Held::Portions(AtomicUsize::new(n.max(1)));
            let held = if mine.len() * each <= room / 2 {
                match images.load(gpu.as_ref(), mine.clone()) {
                    Ok(loaded) => Held::Whole(loaded),
                    Err(GpuError::OutOfMemory { .. }) => portions(mine.len() / 4),
                    Err(error) => return Err(error),
                }
            } else {
                portions((room / 4 / each).min(mine.len()))
            };
            shares.push(Share { gpu: number, images: mine, held });
        }
        Ok(shares)
    }

    /// Lets each GPU `add` the images `some` of its share to a result of its own; the results in the order of the images.
    ///
    /// # Errors
    ///
    /// If `add` fails.
    ///
    /// # Panics
    ///
    /// If a thread panics.
    pub(super) fn of_shares<A: Send>(
        &self,
        shares: &[Share],
        images: &ImagePixels,
        some: Range<usize>,
        new: impl Fn() -> A + Sync,
        add: impl Fn(&mut A, Part<'_>) -> Result<(), GpuError> + Sync,
    ) -> Result<Vec<A>, GpuError> {
        let of_share = |share: &Share| {
            let mut all = new();
            let mut add = |part: Part<'_>| add(&mut all, part);
            let mine = share.images.start.max(some.start)..share.images.end.min(some.end);
            match &share.held {
                _ if mine.is_empty() => {}
                Held::Whole(loaded) => {
                    let place = mine.start - share.images.start..mine.end - share.images.start;
                    add(Part { loaded: loaded.as_ref(), place, images: mine })?;
                }
                Held::Portions(n) => self.stream(images, share.gpu, mine, n, &mut add)?,
            }
            Ok(all)
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                shares.iter().map(|share| scope.spawn(|| of_share(share))).collect();
            let gone = |_| panic!("a thread that talks to a GPU panicked");
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(gone)).collect()
        })
    }

    /// Processes images portion by portion; portions that do not fit are halved.
    fn stream(
        &self,
        images: &ImagePixels,
        gpu: usize,
        mine: Range<usize>,
        per_portion: &AtomicUsize,
        add: &mut impl FnMut(Part<'_>) -> Result<(), GpuError>,
    ) -> Result<(), GpuError> {
        let mut next = mine.start;
        while next < mine.end {
            let n = per_portion.load(Ordering::Relaxed);
            match self.stream_from(images, gpu, (&mut next, mine.end), n, add) {
                Err(GpuError::OutOfMemory { .. }) if n > 1 => {
                    per_portion.store(n.div_ceil(2), Ordering::Relaxed);
                }
                done => done?,
            }
        }
        Ok(())
    }

    /// Continues at image `next` and leaves there the first image that was not processed.
    fn stream_from(
        &self,
        images: &ImagePixels,
        gpu: usize,
        (next, end): (&mut usize, usize),
        n: usize,
        add: &mut impl FnMut(Part<'_>) -> Result<(), GpuError>,
    ) -> Result<(), GpuError> {
        let gpu = &self.gpus[gpu];
        let first = *next;
        std::thread::scope(|scope| {
            // No buffer: one portion is loaded while another is processed.
            let (sender, receiver) = sync_channel(0);
            scope.spawn(move || {
                for first in (first..end).step_by(n) {
                    let portion = first..(first + n).min(end);
                    let loaded = images.load(gpu.as_ref(), portion.clone());
                    let is_last = loaded.is_err();
                    if sender.send((portion, loaded)).is_err() || is_last {
                        return;
                    }
                }
            });
            for (portion, loaded) in receiver {
                *next = portion.start;
                let (place, end) = (0..portion.len(), portion.end);
                add(Part { loaded: loaded?.as_ref(), place, images: portion })?;
                *next = end;
            }
            Ok(())
        })
    }
}
