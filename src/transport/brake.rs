//! What can hold an instruction back at its point of no return: the halt of
//! its client, and the count of the day.
//!
//! Both are looked at under the lock under which the point is passed. So once
//! a halt has returned nothing but cancels passes it, and of orders that come
//! there at once no more pass than the count allows.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::base::calendar::trading_day;
use crate::base::clock;
use crate::base::status::Status;

/// What is about to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    NewOrder,
    Change,
    Cancel,
}

/// Why something does not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    Halted,
    /// As many new orders may have left on this trading day.
    DayIsFull(u64),
}

impl Held {
    pub(crate) fn status(self) -> Status {
        match self {
            Self::Halted => Status::Closed,
            Self::DayIsFull(_) => Status::InvalidArgument,
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Halted => f.write_str(
                "the client was halted: nothing but cancels leaves until it is opened anew; \
                 nothing was sent",
            ),
            Self::DayIsFull(most) => write!(
                f,
                "config.max_orders_per_day: {most} is used up for this trading day; nothing was sent"
            ),
        }
    }
}

/// The brake of one client.
#[derive(Debug)]
pub(crate) struct Brake {
    most_per_day: Option<u64>,
    state: Mutex<State>,
    /// Wakes what waits for something else.
    halts: Notify,
}

#[derive(Debug, Default)]
struct State {
    halted: bool,
    /// How many new orders may have left, by trading day. Every day is kept,
    /// so that a clock that is set forth and back frees nothing.
    new_orders: BTreeMap<u64, u64>,
}

impl Brake {
    /// `left` has what is known to have left already, by trading day.
    pub(crate) fn new(most_per_day: Option<u64>, left: BTreeMap<u64, u64>) -> Self {
        Self {
            most_per_day,
            state: Mutex::new(State {
                halted: false,
                new_orders: left,
            }),
            halts: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on nothing but cancels leaves.
    pub(crate) fn halt(&self) {
        self.state().halted = true;
        self.halts.notify_waiters();
    }

    /// Waits until a halt holds something back; what never is held back, for ever.
    pub(crate) async fn holds(&self, what: Leaving) -> Held {
        loop {
            let mut halted = pin!(self.halts.notified());
            // From here on a halt is seen; an earlier one shows in the check.
            halted.as_mut().enable();
            if let Err(held) = self.check(what) {
                return held;
            }
            halted.await;
        }
    }

    /// Whether something would be held back if it left now.
    pub(crate) fn check(&self, what: Leaving) -> Result<(), Held> {
        self.state().check(what, today(), self.most_per_day)
    }

    /// Lets something leave, which `leave` does, unless it is held back.
    pub(crate) fn pass(&self, what: Leaving, leave: impl FnOnce()) -> Result<(), Held> {
        let mut state = self.state();
        let day = today();
        state.check(what, day, self.most_per_day)?;
        if what == Leaving::NewOrder {
            let left = state.new_orders.entry(day).or_default();
            *left = left.saturating_add(1);
        }
        leave();
        Ok(())
    }
}

fn today() -> u64 {
    trading_day(clock::unix_seconds())
}

impl State {
    fn check(&self, what: Leaving, day: u64, most_per_day: Option<u64>) -> Result<(), Held> {
        if what == Leaving::Cancel {
            return Ok(());
        }
        if self.halted {
            return Err(Held::Halted);
        }
        let left = self.new_orders.get(&day).copied().unwrap_or(0);
        match most_per_day {
            Some(most) if what == Leaving::NewOrder && left >= most => Err(Held::DayIsFull(most)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::calendar::IST_OFFSET;
    use crate::base::clock::shifted;
    use std::thread;

    const DAY: i64 = 86_400;

    fn leaves(brake: &Brake, what: Leaving) -> bool {
        let mut left = false;
        let passed = brake.pass(what, || left = true);
        assert_eq!(passed.is_ok(), left);
        left
    }

    #[test]
    fn after_a_halt_only_cancels_leave() {
        let brake = Brake::new(None, BTreeMap::new());
        let all = [Leaving::NewOrder, Leaving::Change, Leaving::Cancel];
        assert!(all.iter().all(|what| leaves(&brake, *what)));
        brake.halt();
        brake.halt();
        assert_eq!(brake.check(Leaving::NewOrder), Err(Held::Halted));
        assert_eq!(all.map(|what| leaves(&brake, what)), [false, false, true]);
    }

    #[test]
    fn the_day_counts_new_orders_and_begins_at_midnight_in_india() {
        // So many seconds from now until the next midnight in India.
        let now = i64::try_from(clock::unix_seconds() + IST_OFFSET).expect("a time");
        let midnight = DAY - now % DAY;
        let brake = Brake::new(Some(2), BTreeMap::new());
        let at = |second: i64| shifted(second * 1000, 0);
        {
            let _before = at(midnight - 60);
            assert!(leaves(&brake, Leaving::NewOrder));
            assert!(leaves(&brake, Leaving::Change));
            assert!(leaves(&brake, Leaving::NewOrder));
            assert_eq!(brake.check(Leaving::NewOrder), Err(Held::DayIsFull(2)));
            assert!(!leaves(&brake, Leaving::NewOrder));
            assert!(leaves(&brake, Leaving::Change) && leaves(&brake, Leaving::Cancel));
        }
        {
            let _after = at(midnight + 60);
            assert!(leaves(&brake, Leaving::NewOrder) && leaves(&brake, Leaving::NewOrder));
            assert!(!leaves(&brake, Leaving::NewOrder));
        }
        // Set back: that day is full yet.
        let _before = at(midnight - 60);
        assert!(!leaves(&brake, Leaving::NewOrder));
    }

    #[test]
    fn what_had_left_before_counts() {
        let brake = Brake::new(Some(3), BTreeMap::from([(today(), 2), (today() - 1, 9)]));
        assert!(leaves(&brake, Leaving::NewOrder));
        assert!(!leaves(&brake, Leaving::NewOrder));
    }

    #[test]
    fn of_many_at_once_as_many_leave_as_may() {
        let brake = Brake::new(Some(100), BTreeMap::new());
        let left: usize = thread::scope(|scope| {
            let run = || {
                (0..50)
                    .filter(|_| leaves(&brake, Leaving::NewOrder))
                    .count()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(run)).collect();
            let counts = threads.into_iter().map(|one| one.join().expect("no panic"));
            counts.sum()
        });
        assert_eq!(left, 100);
    }
}
