//! How far tests have moved the clock. Not in release builds.

use std::time::Duration;

/// Nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shift {
    pub(super) wall: i64,
    pub(super) moments: i64,
}

impl Shift {
    fn of_ms(wall: i64, moments: i64) -> Self {
        Self {
            wall: wall.saturating_mul(1_000_000),
            moments: moments.saturating_mul(1_000_000),
        }
    }
}

/// The shift of this thread and of this process, together.
pub(super) fn now() -> Shift {
    let shift = process();
    #[cfg(test)]
    let shift = {
        let own = thread::OWN.get();
        Shift {
            wall: shift.wall.saturating_add(own.wall),
            moments: shift.moments.saturating_add(own.moments),
        }
    };
    shift
}

/// A time that was moved; zero if it would be before that.
pub(super) fn add(time: Duration, ns: i64) -> Duration {
    let by = Duration::from_nanos(ns.unsigned_abs());
    match ns < 0 {
        true => time.saturating_sub(by),
        false => time.saturating_add(by),
    }
}

/// What the file says that `KNEO_TEST_CLOCK` names.
#[cfg(debug_assertions)]
fn process() -> Shift {
    use std::path::PathBuf;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicI64, Ordering};
    static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
    static WALL: AtomicI64 = AtomicI64::new(0);
    static MOMENTS: AtomicI64 = AtomicI64::new(0);

    let file = FILE.get_or_init(|| std::env::var_os("KNEO_TEST_CLOCK").map(PathBuf::from));
    let Some(file) = file else {
        return Shift::default();
    };
    let text = std::fs::read_to_string(file).unwrap_or_default();
    if let Some((wall, moments)) = parse(&text) {
        WALL.store(wall, Ordering::Relaxed);
        MOMENTS.store(moments, Ordering::Relaxed);
    }
    Shift::of_ms(
        WALL.load(Ordering::Relaxed),
        MOMENTS.load(Ordering::Relaxed),
    )
}

#[cfg(not(debug_assertions))]
fn process() -> Shift {
    Shift::default()
}

/// Two numbers of milliseconds; `None` while they are half written.
#[cfg(debug_assertions)]
pub(super) fn parse(text: &str) -> Option<(i64, i64)> {
    let (wall, moments) = text.strip_suffix('\n')?.split_once(' ')?;
    Some((wall.parse().ok()?, moments.parse().ok()?))
}

#[cfg(test)]
pub(crate) use thread::{Shifted, shifted};

#[cfg(test)]
mod thread {
    use super::Shift;
    use std::cell::Cell;

    thread_local! {
        pub(super) static OWN: Cell<Shift> = const { Cell::new(Shift { wall: 0, moments: 0 }) };
    }

    /// Shifts the clock of this thread by so many milliseconds, until it is
    /// dropped. Tests run side by side, each in a thread of its own, so other
    /// tests do not see it; nor do the threads that a test starts.
    pub(crate) fn shifted(wall_ms: i64, moments_ms: i64) -> Shifted {
        Shifted(OWN.replace(Shift::of_ms(wall_ms, moments_ms)))
    }

    /// The shift that was there before.
    pub(crate) struct Shifted(Shift);

    impl Drop for Shifted {
        fn drop(&mut self) {
            OWN.set(self.0);
        }
    }
}
