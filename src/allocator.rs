//! The program's allocator: mimalloc, with an error report instead of an abort when memory is exhausted.
//!
//! The system's allocator returns the memory of large short-lived tensors to the kernel and faults it in again;
//! mimalloc keeps it. If memory is limited (`ulimit -v`, a job's limit), an allocation may fail, and the
//! standard library then aborts the process (SIGABRT): a training run would be lost without a reason. Commands
//! that compute therefore register a handler for that case ([`when_exhausted`]).

#![expect(unsafe_code, reason = "a global allocator is unsafe to implement")]

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use mimalloc::MiMalloc;

/// Memory held back to be freed for the final report.
const RESERVE_BYTES: usize = 1 << 20;

static LAST_WORDS: OnceLock<fn(usize)> = OnceLock::new();
static RESERVE: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static IS_ENDING: AtomicBool = AtomicBool::new(false);

/// The allocator, for `#[global_allocator]`.
#[derive(Debug)]
pub struct Allocator;

/// Registers `last_words`, which is called with the size in bytes of a failed allocation before the process
/// ends with exit code 1. It may allocate a little, but must not wait for locks, which the failing thread may
/// hold.
pub fn when_exhausted(last_words: fn(usize)) {
    *RESERVE.lock().unwrap_or_else(PoisonError::into_inner) = vec![1; RESERVE_BYTES];
    let _ = LAST_WORDS.set(last_words);
}

/// Ends the process if a handler is registered; otherwise the caller reports the failure as usual.
#[cold]
fn exhausted(bytes: usize) {
    let Some(last_words) = LAST_WORDS.get() else { return };
    // Only the first failure is reported; a failure during the report ends the process as usual.
    if IS_ENDING.swap(true, Ordering::SeqCst) {
        return;
    }
    if let Ok(mut reserve) = RESERVE.try_lock() {
        drop(std::mem::take(&mut *reserve));
    }
    // An allocator must not unwind.
    let _ = std::panic::catch_unwind(|| last_words(bytes));
    std::process::exit(1);
}

fn checked(pointer: *mut u8, bytes: usize) -> *mut u8 {
    if pointer.is_null() {
        exhausted(bytes);
    }
    pointer
}

// SAFETY: every call is forwarded to mimalloc with unchanged arguments, and its result is returned unchanged.
// `exhausted` neither unwinds (it catches panics of `last_words`) nor touches the memory in question.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds the contract of `GlobalAlloc::alloc`, which is mimalloc's.
        checked(unsafe { MiMalloc.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        checked(unsafe { MiMalloc.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from mimalloc, through one of the functions here, with this layout.
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the pointer came from mimalloc with this layout, and the caller upholds the rest of the
        // contract.
        checked(unsafe { MiMalloc.realloc(pointer, layout, new_size) }, new_size)
    }
}
