//! When something came: by the wall clock for callers, and by the one that
//! nobody sets, for ages.

use std::time::Duration;

use crate::base::clock::{self, Moment};

/// When something arrived.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Arrival {
    /// Unix nanoseconds.
    pub(crate) ns: i64,
    /// Microseconds since the feed was opened, by a clock that nobody sets and
    /// that goes on while the machine sleeps.
    pub(crate) us: u64,
}

impl Arrival {
    /// How long before `now` it was.
    pub(crate) fn age(self, now: Self) -> Duration {
        Duration::from_micros(now.us.saturating_sub(self.us))
    }

    /// The same in microseconds.
    pub(crate) fn age_us(self, now: Self) -> i64 {
        i64::try_from(now.us.saturating_sub(self.us)).unwrap_or(i64::MAX)
    }
}

/// The time of one feed, since it was opened.
pub(crate) struct Timeline(Moment);

impl Timeline {
    pub(crate) fn begin() -> Self {
        Self(clock::now())
    }

    pub(crate) fn now(&self) -> Arrival {
        Arrival {
            ns: i64::try_from(clock::unix_ns()).unwrap_or(i64::MAX),
            us: u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX),
        }
    }
}
