//! What the callers of an order feed and its supervisor share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::json;

use super::event;
use super::options::Options;
use super::queue::Queue;
use crate::feeds::arrival::Arrival;
use crate::feeds::link::Switch;
use crate::feeds::readers::Cut;
use crate::feeds::state::{Change, Counters, Standing, State};

pub(super) struct Shared {
    pub(super) queue: Queue,
    pub(super) switch: Arc<Switch>,
    pub(super) options: Options,
    pub(super) counters: Counters,
    facts: Mutex<Facts>,
}

/// What the feed tells of itself.
pub(super) struct Facts {
    change: Change,
    /// When the state became what it is.
    since: Arrival,
    /// What a reader who was too slow has not been told; the books have it.
    pub(super) dropped: u64,
    /// What told nothing new: repeated, late, out of order.
    pub(super) stale: u64,
    pub(super) orders: usize,
    pub(super) books_read: u64,
    pub(super) books_failed: u64,
    /// Whether the books have been merged since the last gap.
    pub(super) reconciled: bool,
}

impl Shared {
    /// `capacity` is how many events are kept for a reader.
    pub(super) fn new(capacity: usize, options: Options) -> Self {
        Self {
            queue: Queue::new(capacity),
            switch: Arc::default(),
            options,
            counters: Counters::default(),
            facts: Mutex::new(Facts {
                change: Change::new(State::Connecting, "opened"),
                since: Arrival::default(),
                dropped: 0,
                stale: 0,
                orders: 0,
                books_read: 0,
                books_failed: 0,
                reconciled: false,
            }),
        }
    }

    pub(super) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the feed has ended, if it has.
    pub(super) fn ended(&self) -> Option<Cut> {
        let is_off = self.switch.is_off().then_some(Cut::Closed);
        self.queue.closed().or(is_off)
    }

    pub(super) fn close(&self) {
        self.switch.turn_off();
        self.queue.close(Cut::Closed);
    }

    pub(super) fn state(&self) -> State {
        self.facts().change.state
    }

    /// Tells a new state.
    pub(super) fn change(&self, change: Change) {
        let members = event::state(&change);
        let mut facts = self.facts();
        if change.state != facts.change.state {
            facts.since = self.queue.now();
        }
        facts.change = change;
        drop(facts);
        self.queue.notice(members);
    }

    /// How the feed is, as JSON.
    pub(super) fn status(&self) -> String {
        let facts = self.facts();
        let standing = Standing {
            change: &facts.change,
            state_for: facts.since.age(self.queue.now()),
            counters: &self.counters,
            waiting: self.queue.len(),
            last_sequence: self.queue.last_number(),
            options: self.options.describe(),
        };
        standing.to_json(json!({
            "dropped": facts.dropped,
            "stale_rows": facts.stale,
            "orders": facts.orders,
            "books_read": facts.books_read,
            "books_failed": facts.books_failed,
            "reconciled": facts.reconciled,
        }))
    }
}
