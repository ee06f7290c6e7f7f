//! How many calls a second are let through.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;

use crate::route::Answer;
use crate::tokens::unix_now;

/// A limit over any second that slides along.
pub(crate) struct Pace {
    /// 0 is no limit.
    most: u32,
    passed: Mutex<VecDeque<Instant>>,
}

impl Pace {
    pub(crate) fn new(most: u32) -> Self {
        Self {
            most,
            passed: Mutex::default(),
        }
    }

    /// Counts a call, or says how it is refused. A refused call does not count.
    pub(crate) fn admit(&self) -> Result<(), Answer> {
        if self.most == 0 || self.passes(Instant::now()) {
            Ok(())
        } else {
            Err(self.refusal())
        }
    }

    fn passes(&self, now: Instant) -> bool {
        // Every change is complete in itself, so a panic elsewhere leaves the queue sound.
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        while passed
            .front()
            .is_some_and(|then| now.duration_since(*then) >= Duration::from_secs(1))
        {
            passed.pop_front();
        }
        let fits = passed.len() < self.most as usize;
        if fits {
            passed.push_back(now);
        }
        fits
    }

    fn refusal(&self) -> Answer {
        let body = json!({"stat": "Not_Ok", "emsg": "Too many requests", "stCode": 429});
        let mut answer = Answer::json(StatusCode::TOO_MANY_REQUESTS, &body);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lets_so_many_through_in_any_second() {
        let pace = Pace::new(3);
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        assert!(pace.passes(at(0)) && pace.passes(at(400)) && pace.passes(at(800)));
        assert!(!pace.passes(at(999)));
        assert!(pace.passes(at(1_000)));
        assert!(!pace.passes(at(1_399)));
        assert!(pace.passes(at(1_400)));
        assert!(Pace::new(0).admit().is_ok());
    }
}
