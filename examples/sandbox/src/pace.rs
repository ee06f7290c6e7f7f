//! How many calls a second are let through, and how many came.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;

use crate::route::Answer;
use crate::tokens::{since_1970, unix_now};

/// A limit over any second that slides along.
///
/// A clock second is one of them, by the same clock: what fits in the first fits in the second.
/// Both are counted all the same, so that a test can see either.
pub(crate) struct Pace {
    /// 0 is no limit.
    most: u32,
    /// The clock by which seconds begin, in time since 1970.
    started: (Instant, Duration),
    seen: Mutex<Seen>,
}

/// The most that came in one second, those included that were refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peak {
    /// In any second that slides along; its end does not belong to it.
    pub sliding_second: u32,
    /// In a second of the clock, from full to full.
    pub clock_second: u32,
}

#[derive(Default)]
struct Seen {
    /// What came within the last second, and whether it was let through.
    came: VecDeque<(Instant, bool)>,
    let_through: u32,
    /// The clock second that is counted, and how many came in it.
    second: (u64, u32),
    peak: Peak,
}

impl Pace {
    pub(crate) fn new(most: u32) -> Self {
        Self {
            most,
            started: (Instant::now(), since_1970()),
            seen: Mutex::default(),
        }
    }

    /// Counts a call that comes now, and says whether it is let through.
    pub(crate) fn comes(&self) -> bool {
        self.comes_at(Instant::now())
    }

    pub(crate) fn peak(&self) -> Peak {
        self.seen().peak
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Every change is complete in itself, so a panic elsewhere leaves the counts sound.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn comes_at(&self, now: Instant) -> bool {
        let (start, since_1970) = self.started;
        let second = (since_1970 + now.duration_since(start)).as_secs();
        let mut seen = self.seen();
        let seen = &mut *seen;
        while let Some((then, let_through)) = seen.came.front() {
            if now.duration_since(*then) < Duration::from_secs(1) {
                break;
            }
            seen.let_through -= u32::from(*let_through);
            seen.came.pop_front();
        }
        let let_through = self.most == 0 || seen.let_through < self.most;
        seen.let_through += u32::from(let_through);
        seen.came.push_back((now, let_through));
        if seen.second.0 != second {
            seen.second = (second, 0);
        }
        seen.second.1 += 1;
        let came = u32::try_from(seen.came.len()).unwrap_or(u32::MAX);
        seen.peak.sliding_second = seen.peak.sliding_second.max(came);
        seen.peak.clock_second = seen.peak.clock_second.max(seen.second.1);
        let_through
    }

    /// With the headers that the official SDK reads.
    pub(crate) fn refusal(&self) -> Answer {
        let mut answer = refusal();
        let number = |number: u64| HeaderValue::from(number);
        let name = HeaderName::from_static;
        answer.headers.extend([
            (header::RETRY_AFTER, number(1)),
            (name("x-ratelimit-limit"), number(self.most.into())),
            (name("x-ratelimit-remaining"), number(0)),
            (name("x-ratelimit-reset"), number(unix_now() + 1)),
        ]);
        answer
    }
}

/// A refusal that says nothing of the time to wait.
pub(crate) fn refusal() -> Answer {
    let body = json!({"stat": "Not_Ok", "emsg": "Too many requests", "stCode": 429});
    Answer::json(StatusCode::TOO_MANY_REQUESTS, &body)
}

/// A limit over what is answered at once.
pub(crate) struct AtOnce {
    /// 0 is no limit.
    most: u32,
    under_way: AtomicU32,
    peak: AtomicU32,
}

/// A call that is under way as long as this is kept.
pub(crate) struct UnderWay<'a> {
    all: &'a AtOnce,
    pub(crate) let_through: bool,
}

impl AtOnce {
    pub(crate) fn new(most: u32) -> Self {
        Self {
            most,
            under_way: AtomicU32::new(0),
            peak: AtomicU32::new(0),
        }
    }

    pub(crate) fn comes(&self) -> UnderWay<'_> {
        let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.peak.fetch_max(now, Ordering::SeqCst);
        UnderWay {
            all: self,
            let_through: self.most == 0 || now <= self.most,
        }
    }

    /// The most at once, those included that were refused.
    pub(crate) fn peak(&self) -> u32 {
        self.peak.load(Ordering::SeqCst)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.all.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lets_so_many_through_in_any_second() {
        let pace = Pace::new(3);
        let at = |ms: u64| pace.started.0 + Duration::from_millis(ms);
        let comes = |ms: u64| pace.comes_at(at(ms));
        assert!(comes(0) && comes(400) && comes(800));
        assert!(!comes(999));
        assert!(comes(1_000));
        assert!(!comes(1_399));
        assert!(comes(1_400));
        assert!(Pace::new(0).comes());
    }

    #[test]
    fn lets_so_many_through_at_once() {
        let all = AtOnce::new(2);
        let (first, second) = (all.comes(), all.comes());
        assert!(first.let_through && second.let_through);
        assert!(!all.comes().let_through);
        drop(first);
        assert!(all.comes().let_through);
        assert_eq!(all.peak(), 3);
        let none = AtOnce::new(0);
        let many: Vec<_> = (0..9).map(|_| none.comes()).collect();
        assert!(many.iter().all(|one| one.let_through));
    }

    #[test]
    fn counts_what_comes_by_both_kinds_of_seconds() {
        for most in [0, 2] {
            let mut pace = Pace::new(most);
            // A second of the clock begins 300 ms after the start.
            pace.started.1 = Duration::from_millis(5_700);
            let start = pace.started.0;
            let comes = |ms: u64| pace.comes_at(start + Duration::from_millis(ms));
            let peak = |sliding_second, clock_second| Peak {
                sliding_second,
                clock_second,
            };
            assert_eq!(pace.peak(), peak(0, 0));
            assert!(comes(0) && comes(299));
            assert_eq!(pace.peak(), peak(2, 2));
            // Another clock second, the same sliding one; refused ones came too.
            assert_eq!((comes(300), comes(999)), (most == 0, most == 0));
            assert_eq!(pace.peak(), peak(4, 2));
            assert!(comes(1_299));
            assert_eq!(pace.peak(), peak(4, 3));
            // The second behind has no say any more.
            assert!(comes(1_300));
            assert_eq!(pace.peak(), peak(4, 3));
        }
    }
}
