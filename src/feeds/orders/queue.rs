//! What waits for the caller: bounded, and nothing lost in silence.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::error::Error;
use crate::status::Status;

/// How many events are kept for a slow reader.
pub(crate) const CAPACITY: usize = 65_536;
/// How many bytes of events are kept, whatever their number.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// How many notices in a row are kept before they coalesce.
const NOTICES: usize = 64;

/// An event without its number: the members of a JSON object.
struct Event {
    members: Box<str>,
    /// How many earlier notices this one stands for.
    coalesced: u64,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<Event>,
    bytes: usize,
    /// The number of the last event that was handed out.
    numbered: u64,
    /// How many of the newest events are notices, one after the other.
    notices: usize,
    /// The reader was too slow: no order event is taken until he has caught
    /// up.
    overflowed: bool,
    closed: Option<(Status, &'static str)>,
}

/// A queue that one feed fills and any number of readers empty.
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    filled: Condvar,
    /// Told when a reader has caught up after an overflow.
    pub(crate) drained: Notify,
    capacity: usize,
}

impl Queue {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            filled: Condvar::new(),
            drained: Notify::new(),
            capacity,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is room for an event of an order. Without, the one
    /// `overflow` event is put at the end, and the caller must not merge what
    /// it cannot tell.
    pub(crate) fn has_room(&self) -> bool {
        let mut waiting = self.lock();
        if waiting.overflowed {
            return false;
        }
        if waiting.events.len() < self.capacity && waiting.bytes < MOST_BYTES {
            return true;
        }
        waiting.overflowed = true;
        waiting.notices = 0;
        let kept = waiting.events.len();
        let members = format!(r#""type":"overflow","kept":{kept}"#);
        self.push(waiting, members);
        false
    }

    /// Adds an event of an order, trade or position.
    pub(crate) fn event(&self, members: String) {
        let mut waiting = self.lock();
        waiting.notices = 0;
        self.push(waiting, members);
    }

    /// Adds a notice: of many in a row the newest stands for those before.
    pub(crate) fn notice(&self, members: String) {
        let mut waiting = self.lock();
        if waiting.notices < NOTICES {
            waiting.notices += 1;
            self.push(waiting, members);
        } else if let Some(last) = waiting.events.back_mut() {
            let before = std::mem::replace(&mut last.members, members.into());
            last.coalesced += 1;
            let now = last.members.len();
            waiting.bytes = waiting.bytes - before.len() + now;
        }
    }

    fn push(&self, mut waiting: MutexGuard<'_, Waiting>, members: String) {
        if waiting.closed.is_none() {
            waiting.bytes += members.len();
            waiting.events.push_back(Event {
                // Without the room to spare that it was made with.
                members: members.into(),
                coalesced: 0,
            });
            drop(waiting);
            self.filled.notify_one();
        }
    }

    /// Whether the reader is too far behind.
    pub(crate) fn is_overflowed(&self) -> bool {
        self.lock().overflowed
    }

    /// Takes events of orders again, once the reader has read half.
    pub(crate) fn resume(&self) -> bool {
        let mut waiting = self.lock();
        let resumed = waiting.overflowed && self.is_half_empty(&waiting);
        if resumed {
            waiting.overflowed = false;
        }
        resumed
    }

    fn is_half_empty(&self, waiting: &Waiting) -> bool {
        waiting.events.len() <= self.capacity / 2 && waiting.bytes <= MOST_BYTES / 2
    }

    /// How many events wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().events.len()
    }

    /// The number of the event that was handed out last.
    pub(crate) fn last_number(&self) -> u64 {
        self.lock().numbered
    }

    /// Nothing comes any more. What waits can still be read.
    pub(crate) fn close(&self, status: Status, why: &'static str) {
        let mut waiting = self.lock();
        waiting.closed.get_or_insert((status, why));
        drop(waiting);
        self.filled.notify_all();
    }

    /// The next event as JSON, or [`Status::End`] after `timeout`.
    pub(crate) fn next(&self, timeout: Duration) -> Result<String, Error> {
        let end = Instant::now() + timeout;
        let mut waiting = self.lock();
        loop {
            if let Some(event) = waiting.events.pop_front() {
                waiting.numbered += 1;
                waiting.bytes -= event.members.len();
                if waiting.events.len() < waiting.notices {
                    waiting.notices = waiting.events.len();
                }
                if waiting.overflowed && self.is_half_empty(&waiting) {
                    self.drained.notify_one();
                }
                let number = waiting.numbered;
                drop(waiting);
                let Event { members, coalesced } = event;
                return Ok(match coalesced {
                    0 => format!(r#"{{"seq":{number},{members}}}"#),
                    more => format!(r#"{{"seq":{number},{members},"coalesced":{more}}}"#),
                });
            }
            if let Some((status, why)) = waiting.closed {
                return Err(Error::new(status, why));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::new(Status::End, "no event in time"));
            }
            let woken = self.filled.wait_timeout(waiting, left);
            waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn next(queue: &Queue) -> Value {
        let text = queue.next(Duration::ZERO).expect("an event waits");
        serde_json::from_str(&text).expect("it is JSON")
    }

    fn status(queue: &Queue) -> Status {
        let ended = queue.next(Duration::from_millis(1));
        ended.expect_err("nothing waits").status()
    }

    #[test]
    fn numbers_without_a_gap_and_ends_by_itself() {
        let queue = Queue::new(8);
        assert_eq!(status(&queue), Status::End);
        queue.event(r#""a":1"#.to_owned());
        queue.event(r#""a":2"#.to_owned());
        assert_eq!(next(&queue), json!({"seq": 1, "a": 1}));
        queue.close(Status::Closed, "closed");
        queue.event(r#""a":3"#.to_owned());
        assert_eq!(next(&queue), json!({"seq": 2, "a": 2}));
        assert_eq!(status(&queue), Status::Closed);
    }

    #[test]
    fn a_slow_reader_is_told_once_and_goes_on_after_half() {
        let queue = Queue::new(4);
        for at in 0..4 {
            assert!(queue.has_room());
            queue.event(format!(r#""a":{at}"#));
        }
        assert!(!queue.has_room() && !queue.has_room() && !queue.resume());
        assert_eq!(queue.len(), 5);
        for at in 0..3 {
            assert_eq!(next(&queue)["a"], at);
        }
        assert!(queue.resume() && !queue.is_overflowed() && queue.has_room());
        assert_eq!(next(&queue)["a"], 3);
        assert_eq!(
            next(&queue),
            json!({"seq": 5, "type": "overflow", "kept": 4})
        );
        assert_eq!(status(&queue), Status::End);
    }

    #[test]
    fn large_events_fill_the_queue_before_it_has_its_number() {
        let queue = Queue::new(CAPACITY);
        let large = format!(r#""a":"{}""#, "x".repeat(1 << 20));
        let mut kept = 0;
        while queue.has_room() {
            queue.event(large.clone());
            kept += 1;
        }
        assert!(kept < 70, "{kept}");
        for _ in 0..kept {
            assert!(next(&queue)["a"].is_string());
        }
        assert_eq!(next(&queue)["kept"], kept);
    }

    #[test]
    fn notices_in_a_row_coalesce() {
        let queue = Queue::new(4);
        for at in 0..1000 {
            queue.notice(format!(r#""n":{at}"#));
        }
        assert_eq!(queue.len(), NOTICES);
        for at in 0..NOTICES - 1 {
            assert_eq!(next(&queue)["n"], at);
        }
        let last = next(&queue);
        assert_eq!((&last["n"], &last["coalesced"]), (&json!(999), &json!(936)));
        queue.notice(r#""n":1"#.to_owned());
        assert_eq!(next(&queue)["seq"], 65);
    }

    #[test]
    fn closing_wakes_a_reader() {
        let queue = std::sync::Arc::new(Queue::new(4));
        let reader = std::sync::Arc::clone(&queue);
        let waits = std::thread::spawn(move || reader.next(Duration::from_secs(600)));
        queue.close(Status::Closed, "closed");
        let ended = waits.join().expect("the reader does not panic");
        assert_eq!(ended.expect_err("nothing came").status(), Status::Closed);
    }
}
