//! How many instructions may leave in any second.
//!
//! A slot is reserved before an instruction is sent and stamped at its point
//! of no return. Reserved slots count as used, so that no second ever sees
//! more than the ceiling, however long a reservation waits for its
//! connection or its disk.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::clock::{self, Moment};

const WINDOW: Duration = Duration::from_secs(1);
/// How soon to look again while reserved slots may come back.
const SOON: Duration = Duration::from_millis(1);

/// What a slot is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Placing or modifying.
    Order,
    /// One slot in ten is kept for these.
    Cancel,
}

/// The ceiling of one client.
pub(crate) struct Pace {
    most: usize,
    kept_for_cancels: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When each instruction of the last second left, oldest first.
    left: VecDeque<(Moment, Use)>,
    /// How many of them were no cancels.
    orders_left: usize,
    reserved_orders: usize,
    reserved_cancels: usize,
}

impl State {
    fn forget(&mut self, now: Moment) {
        while let Some((when, kind)) = self.left.front() {
            if now.saturating_duration_since(*when) < WINDOW {
                return;
            }
            self.orders_left -= usize::from(*kind == Use::Order);
            self.left.pop_front();
        }
    }

    fn reserved(&mut self, kind: Use) -> &mut usize {
        match kind {
            Use::Order => &mut self.reserved_orders,
            Use::Cancel => &mut self.reserved_cancels,
        }
    }
}

impl Pace {
    pub(crate) fn new(most_per_second: u32) -> Self {
        let most = usize::try_from(most_per_second).unwrap_or(usize::MAX);
        Self {
            most,
            kept_for_cancels: most / 10,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot, or how long to wait before asking again.
    pub(crate) fn reserve(self: &Arc<Self>, kind: Use, now: Moment) -> Result<Slot, Duration> {
        let mut state = self.state();
        state.forget(now);
        let orders = state.orders_left + state.reserved_orders;
        let all = state.left.len() + state.reserved_orders + state.reserved_cancels;
        let for_orders = self.most - self.kept_for_cancels;
        if all >= self.most || (kind == Use::Order && orders >= for_orders) {
            let blocks = |of: &&(Moment, Use)| all >= self.most || of.1 == Use::Order;
            let oldest = state.left.iter().find(blocks);
            return Err(oldest.map_or(SOON, |(when, _)| {
                WINDOW.saturating_sub(now.saturating_duration_since(*when))
            }));
        }
        *state.reserved(kind) += 1;
        Ok(Slot {
            pace: Arc::clone(self),
            kind,
            used: AtomicBool::new(false),
        })
    }
}

/// The right to let one instruction leave. Given back when it is dropped
/// unused.
pub(crate) struct Slot {
    pace: Arc<Pace>,
    kind: Use,
    used: AtomicBool,
}

impl Slot {
    /// The instruction leaves now. Counts once, and tells when.
    pub(crate) fn stamp(&self) -> Option<Moment> {
        if self.used.swap(true, Ordering::AcqRel) {
            return None;
        }
        let mut state = self.pace.state();
        *state.reserved(self.kind) -= 1;
        // Taken under the lock: the queue stays in order.
        let now = clock::now();
        state.left.push_back((now, self.kind));
        state.orders_left += usize::from(self.kind == Use::Order);
        Some(now)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !*self.used.get_mut() {
            *self.pace.state().reserved(self.kind) -= 1;
        }
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Slot").field(&self.kind).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leave(pace: &Arc<Pace>, kind: Use) -> bool {
        match pace.reserve(kind, clock::now()) {
            Ok(slot) => slot.stamp().is_some(),
            Err(_) => false,
        }
    }

    #[test]
    fn one_slot_in_ten_is_kept_for_cancels() {
        let pace = Arc::new(Pace::new(10));
        assert_eq!((0..20).filter(|_| leave(&pace, Use::Order)).count(), 9);
        assert!(leave(&pace, Use::Cancel));
        assert!(!leave(&pace, Use::Cancel));
        let pace = Arc::new(Pace::new(10));
        assert_eq!((0..20).filter(|_| leave(&pace, Use::Cancel)).count(), 10);
        assert!(!leave(&pace, Use::Order));
        let pace = Arc::new(Pace::new(1));
        assert!(leave(&pace, Use::Order) && !leave(&pace, Use::Cancel));
    }

    #[test]
    fn a_reserved_slot_counts_and_comes_back() {
        let pace = Arc::new(Pace::new(2));
        let now = clock::now();
        let first = pace.reserve(Use::Order, now).expect("two are free");
        let second = pace.reserve(Use::Order, now).expect("one is free");
        assert_eq!(pace.reserve(Use::Order, now).unwrap_err(), SOON);
        drop(first);
        let third = pace.reserve(Use::Order, now).expect("one came back");
        assert!(second.stamp().is_some() && second.stamp().is_none());
        assert!(third.stamp().is_some());
        drop((second, third));
        let state = pace.state();
        assert_eq!((state.left.len(), state.orders_left), (2, 2));
        assert_eq!((state.reserved_orders, state.reserved_cancels), (0, 0));
    }

    #[test]
    fn the_wait_ends_when_the_oldest_is_a_second_old() {
        let pace = Arc::new(Pace::new(1));
        assert!(leave(&pace, Use::Order));
        let when = pace.state().left[0].0;
        let half = when + Duration::from_millis(400);
        let wait = pace.reserve(Use::Order, half).unwrap_err();
        assert_eq!(wait, Duration::from_millis(600));
        assert!(pace.reserve(Use::Order, half + wait).is_ok());
    }

    /// Slots that are stamped late never put more into a second than allowed.
    #[test]
    fn no_sliding_second_has_more_than_the_ceiling() {
        let pace = Arc::new(Pace::new(5));
        let stamps: Vec<Moment> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4_u64)
                .map(|worker| {
                    let pace = Arc::clone(&pace);
                    scope.spawn(move || {
                        let mut stamps = Vec::new();
                        while stamps.len() < 3 {
                            match pace.reserve(Use::Cancel, clock::now()) {
                                Ok(slot) => {
                                    std::thread::sleep(Duration::from_millis(7 * worker));
                                    stamps.extend(slot.stamp());
                                }
                                Err(wait) => std::thread::sleep(wait),
                            }
                        }
                        stamps
                    })
                })
                .collect();
            let joined = workers.into_iter().map(|worker| worker.join());
            let mut all: Vec<_> = joined
                .flat_map(|stamps| stamps.expect("no panic"))
                .collect();
            all.sort();
            all
        });
        for six in stamps.windows(6) {
            assert!(six[5].saturating_duration_since(six[0]) >= WINDOW);
        }
    }
}
