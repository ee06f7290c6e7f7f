//! The guard around every export: no panic reaches the host.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};

use super::signals;
use crate::base::error::Error;
use crate::base::reply::Meta;
use crate::base::status::Status;

thread_local! {
    // Both live for the time of one export only; nothing is kept between
    // calls. The hook has no other way to know whose panic it sees.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `work`, which may close connections; a panic gives `fallback`.
pub(super) fn guard_writes<T>(fallback: T, work: impl FnOnce() -> T) -> T {
    let _quiet = signals::Quiet::new();
    guard(fallback, work)
}

/// Runs `work`; a panic gives `fallback`.
pub(super) fn guard<T>(fallback: T, work: impl FnOnce() -> T) -> T {
    caught(|| struck(work)).unwrap_or(fallback)
}

/// Runs `work`; a panic is told from its result.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, ()> {
    silence_panics();
    let outer = GUARDED.replace(true);
    // What a panic may have left half done is behind locks that are taken
    // over, or is dropped with the call.
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    result.map_err(drop)
}

/// `work`, unless a test asked for a panic in its place.
pub(super) fn struck<T>(work: impl FnOnce() -> T) -> T {
    #[cfg(debug_assertions)]
    fault::strike();
    work()
}

/// The place of a panic is told, its message is not: it may quote anything.
pub(super) fn internal() -> Error {
    let place = PLACE
        .take()
        .unwrap_or_else(|| "an unknown place".to_owned());
    Error::new(
        Status::Internal,
        format!("a defect in this library, at {place}; please report it"),
    )
    .finished(true, false, Meta::default())
}

/// Keeps panics inside the guard off the host's stderr. All others go where
/// they went before.
fn silence_panics() {
    // No Once: a child forked while another thread is in one waits for ever.
    static DONE: AtomicBool = AtomicBool::new(false);
    if DONE.swap(true, Ordering::AcqRel) {
        return;
    }
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let ours = GUARDED.try_with(Cell::get).unwrap_or(false)
            || std::thread::current()
                .name()
                .is_some_and(|name| name.starts_with("kneo-"));
        if !ours {
            before(info);
            return;
        }
        let place = info
            .location()
            .map(|at| format!("{}:{}", at.file(), at.line()));
        // A thread that is ending has no place to keep it: then it is lost.
        let _kept = PLACE.try_with(|slot| slot.replace(place));
    }));
}

/// Lets tests see what a panic does. Not in release builds.
#[cfg(debug_assertions)]
pub mod fault {
    use std::cell::Cell;

    thread_local! {
        static NEXT: Cell<Option<String>> = const { Cell::new(None) };
    }

    /// Makes the next guarded work of this thread panic with `message`.
    pub fn panic_next(message: &str) {
        NEXT.set(Some(message.to_owned()));
    }

    pub(super) fn strike() {
        if let Some(message) = NEXT.take() {
            std::panic::panic_any(message);
        }
    }
}
