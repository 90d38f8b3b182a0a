//! Decoders of other crates, a few of which panic on damaged files: a panic is answered with an error and not reported.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    /// True while a panic of this thread will be answered with an error.
    static IS_ANSWERED: Cell<bool> = const { Cell::new(false) };
}

/// The result of `decode`, or `None` if it panics. A panic in another thread is not caught.
pub fn unless_it_panics<T>(decode: impl FnOnce() -> T) -> Option<T> {
    let before = IS_ANSWERED.replace(true);
    let decoded = catch_unwind(AssertUnwindSafe(decode));
    IS_ANSWERED.set(before);
    decoded.ok()
}

/// True if a panic of this thread needs no report.
pub(super) fn is_answered() -> bool {
    IS_ANSWERED.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_no_result_and_needs_no_report() {
        assert_eq!(unless_it_panics(is_answered), Some(true));
        let nested = unless_it_panics(|| {
            assert_eq!(unless_it_panics(|| panic!("damaged")), None::<()>);
            is_answered()
        });
        assert_eq!((nested, is_answered()), (Some(true), false));
    }
}
