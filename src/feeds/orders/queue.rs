//! What waits for the caller: bounded, and nothing lost in silence.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::event;
use crate::base::clock::Moment;
use crate::feeds::arrival::{Arrival, Timeline};
use crate::feeds::readers::{self, Cut, News, Waited};

/// How many events are kept for a slow reader.
pub(crate) const CAPACITY: usize = 65_536;
/// How many bytes of events are kept, whatever their number.
const MOST_BYTES: usize = 32 * 1024 * 1024;
/// How many notices in a row are kept before they coalesce.
const NOTICES: usize = 64;

/// An event without its number and times: the members of a JSON object.
struct Event {
    members: Box<str>,
    arrival: Arrival,
    /// How many notices this one stands for; 0 if it is none.
    changes: u64,
}

#[derive(Default)]
struct Inner {
    events: VecDeque<Event>,
    bytes: usize,
    /// The number of the last event that was handed out.
    numbered: u64,
    /// How many of the newest events are notices, one after the other.
    notices: usize,
    /// The reader was too slow: no order event is taken until he has caught
    /// up.
    overflowed: bool,
    closed: Option<Cut>,
    waiting: readers::Waiting,
}

/// A queue that one feed fills and any number of readers empty.
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    filled: Condvar,
    /// Told when a reader has caught up after an overflow.
    pub(crate) drained: Notify,
    capacity: usize,
    timeline: Timeline,
}

impl News for Inner {
    fn is_there(&self) -> bool {
        !self.events.is_empty() || self.closed.is_some()
    }

    fn waiting(&mut self) -> &mut readers::Waiting {
        &mut self.waiting
    }
}

impl Queue {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            inner: Mutex::default(),
            filled: Condvar::new(),
            drained: Notify::new(),
            capacity,
            timeline: Timeline::begin(),
        }
    }

    /// The time now, in the terms of this queue.
    pub(crate) fn now(&self) -> Arrival {
        self.timeline.now()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is room for an event of an order. Without, the one
    /// `overflow` event is put at the end, and the caller must not merge what
    /// it cannot tell.
    pub(crate) fn has_room(&self) -> bool {
        let mut inner = self.lock();
        if inner.overflowed {
            return false;
        }
        if inner.events.len() < self.capacity && inner.bytes < MOST_BYTES {
            return true;
        }
        inner.overflowed = true;
        inner.notices = 0;
        let members = event::overflow(inner.events.len());
        self.push(inner, members, 0);
        false
    }

    /// Adds an event of an order, trade or position.
    pub(crate) fn event(&self, members: String) {
        let mut inner = self.lock();
        inner.notices = 0;
        self.push(inner, members, 0);
    }

    /// Adds a notice: of many in a row the newest stands for those before.
    pub(crate) fn notice(&self, members: String) {
        let mut inner = self.lock();
        if inner.notices < NOTICES {
            inner.notices += 1;
            self.push(inner, members, 1);
        } else if let Some(last) = inner.events.back_mut() {
            let before = std::mem::replace(&mut last.members, members.into());
            last.changes += 1;
            last.arrival = self.now();
            let now = last.members.len();
            inner.bytes = inner.bytes - before.len() + now;
        }
    }

    fn push(&self, mut inner: MutexGuard<'_, Inner>, members: String, changes: u64) {
        if inner.closed.is_none() {
            inner.bytes += members.len();
            inner.events.push_back(Event {
                // Without the room to spare that it was made with.
                members: members.into(),
                arrival: self.now(),
                changes,
            });
            readers::wake(&self.filled, &mut *inner);
        }
    }

    /// Whether the reader is too far behind.
    pub(crate) fn is_overflowed(&self) -> bool {
        self.lock().overflowed
    }

    /// Takes events of orders again, once the reader has read half.
    pub(crate) fn resume(&self) -> bool {
        let mut inner = self.lock();
        let resumed = inner.overflowed && self.is_half_empty(&inner);
        if resumed {
            inner.overflowed = false;
        }
        resumed
    }

    fn is_half_empty(&self, inner: &Inner) -> bool {
        inner.events.len() <= self.capacity / 2 && inner.bytes <= MOST_BYTES / 2
    }

    /// How many events wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().events.len()
    }

    /// The number of the event that was handed out last.
    pub(crate) fn last_number(&self) -> u64 {
        self.lock().numbered
    }

    /// Nothing comes any more. What waits can still be read. The first reason
    /// counts.
    pub(crate) fn close(&self, why: Cut) {
        self.lock().closed.get_or_insert(why);
        self.filled.notify_all();
    }

    /// Whether it was closed, and why.
    pub(crate) fn closed(&self) -> Option<Cut> {
        self.lock().closed
    }

    /// Ends the waits under way, or the next one if there is none.
    pub(crate) fn interrupt(&self) {
        readers::interrupt(&self.filled, &mut *self.lock());
    }

    /// Waits for an event, at most `until` then, and appends it to `out` as
    /// JSON with a comma behind it. 0 means that the wait ended with nothing.
    pub(crate) fn read(&self, until: Option<Moment>, out: &mut String) -> Result<usize, Cut> {
        let (mut inner, waited) = readers::wait(&self.filled, self.lock(), until);
        match waited {
            Waited::Ready => {}
            Waited::InVain => return Ok(0),
            Waited::Interrupted => return Err(Cut::Interrupted),
        }
        let Some(event) = inner.events.pop_front() else {
            return inner.closed.map_or(Ok(0), Err);
        };
        inner.numbered += 1;
        inner.bytes -= event.members.len();
        if inner.events.len() < inner.notices {
            inner.notices = inner.events.len();
        }
        if inner.overflowed && self.is_half_empty(&inner) {
            self.drained.notify_one();
        }
        let number = inner.numbered;
        if !inner.events.is_empty() {
            // Another reader may have them.
            readers::wake(&self.filled, &mut *inner);
        }
        drop(inner);
        event.write(number, self.now(), out);
        Ok(1)
    }
}

impl Event {
    /// As JSON, with a comma behind it.
    fn write(&self, number: u64, now: Arrival, out: &mut String) {
        // Writing to a String cannot fail.
        let _written = write!(
            out,
            r#"{{"sequence":{number},"received_ns":{},"age_us":{},{}"#,
            self.arrival.ns,
            self.arrival.age_us(now),
            self.members
        );
        if self.changes > 0 {
            let _written = write!(out, r#","changes":{}"#, self.changes);
        }
        out.push_str("},");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feeds::readers::until;
    use serde_json::{Value, json};
    use std::time::Duration;

    /// The next event, without its times.
    fn next(queue: &Queue) -> Value {
        let mut text = String::new();
        assert_eq!(queue.read(None, &mut text), Ok(1), "an event waits");
        assert_eq!(text.pop(), Some(','));
        let mut event: Value = serde_json::from_str(&text).expect("it is JSON");
        for time in ["received_ns", "age_us"] {
            let members = event.as_object_mut().expect("an object");
            assert!(members.remove(time).is_some_and(|time| time.is_i64()));
        }
        event
    }

    fn nothing(queue: &Queue) -> Result<usize, Cut> {
        queue.read(until(Duration::from_millis(1)), &mut String::new())
    }

    #[test]
    fn numbers_without_a_gap_and_ends_by_itself() {
        let queue = Queue::new(8);
        assert_eq!(nothing(&queue), Ok(0));
        queue.event(r#""a":1"#.to_owned());
        queue.event(r#""a":2"#.to_owned());
        assert_eq!(next(&queue), json!({"sequence": 1, "a": 1}));
        queue.close(Cut::Closed);
        queue.event(r#""a":3"#.to_owned());
        assert_eq!(next(&queue), json!({"sequence": 2, "a": 2}));
        assert_eq!(nothing(&queue), Err(Cut::Closed));
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
            json!({"sequence": 5, "type": "overflow", "kept": 4})
        );
        assert_eq!(nothing(&queue), Ok(0));
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
        assert_eq!((&last["n"], &last["changes"]), (&json!(999), &json!(937)));
        queue.notice(r#""n":1"#.to_owned());
        assert_eq!(next(&queue)["sequence"], 65);
    }

    #[test]
    fn closing_wakes_a_reader() {
        let queue = std::sync::Arc::new(Queue::new(4));
        let reader = std::sync::Arc::clone(&queue);
        let waits = std::thread::spawn(move || {
            reader.read(until(Duration::from_secs(600)), &mut String::new())
        });
        queue.close(Cut::Closed);
        let ended = waits.join().expect("the reader does not panic");
        assert_eq!(ended, Err(Cut::Closed));
    }
}
