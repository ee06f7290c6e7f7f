//! Keeps SIGPIPE away from the host.
//!
//! Writing to a connection that the other side has reset raises SIGPIPE, and
//! its default ends the process. A Rust program ignores it; a C host may not,
//! and we must not change its handlers. So the signal is blocked for the
//! calling thread while a call runs, and one that was raised is taken away
//! before the thread's mask is restored.

#[cfg(unix)]
pub(super) use unix::Quiet;

#[cfg(unix)]
mod unix {
    use std::mem::MaybeUninit;
    use std::ptr;

    /// While it lives, SIGPIPE cannot reach this thread.
    pub(in crate::ffi) struct Quiet {
        /// The mask to go back to; `None` if SIGPIPE was blocked anyway.
        before: Option<libc::sigset_t>,
    }

    fn only_sigpipe() -> libc::sigset_t {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigemptyset initialises the set that it is given.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            libc::sigaddset(set.as_mut_ptr(), libc::SIGPIPE);
            set.assume_init()
        }
    }

    impl Quiet {
        pub(in crate::ffi) fn new() -> Self {
            let set = only_sigpipe();
            let mut before = MaybeUninit::uninit();
            // SAFETY: both sets are ours; on success the second is written.
            let blocked = unsafe {
                libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, before.as_mut_ptr()) == 0
            };
            if !blocked {
                return Self { before: None };
            }
            // SAFETY: written by the call above.
            let before = unsafe { before.assume_init() };
            // SAFETY: a valid set and a valid signal.
            let was_blocked = unsafe { libc::sigismember(&raw const before, libc::SIGPIPE) == 1 };
            Self {
                before: (!was_blocked).then_some(before),
            }
        }
    }

    impl Drop for Quiet {
        fn drop(&mut self) {
            let Some(before) = &self.before else { return };
            take_away();
            // SAFETY: the mask that this thread had before.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before, ptr::null_mut()) };
        }
    }

    /// Takes a pending SIGPIPE away. It was not blocked before, so a pending
    /// one is of our own writes.
    #[cfg(not(target_vendor = "apple"))]
    fn take_away() {
        let set = only_sigpipe();
        let at_once = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: a valid set, no wish to know more, a valid time.
        unsafe { libc::sigtimedwait(&raw const set, ptr::null_mut(), &raw const at_once) };
    }

    #[cfg(target_vendor = "apple")]
    fn take_away() {
        let set = only_sigpipe();
        let mut pending = only_sigpipe();
        let mut signal = 0;
        // SAFETY: valid sets; sigwait is called only if it returns at once.
        unsafe {
            if libc::sigpending(&raw mut pending) == 0
                && libc::sigismember(&raw const pending, libc::SIGPIPE) == 1
            {
                libc::sigwait(&raw const set, &raw mut signal);
            }
        }
    }
}

/// Other systems have no such signal.
#[cfg(not(unix))]
pub(super) struct Quiet;

#[cfg(not(unix))]
impl Quiet {
    pub(super) fn new() -> Self {
        Self
    }
}
