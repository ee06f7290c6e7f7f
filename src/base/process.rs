//! State that belongs to one process and must not be touched after `fork`,
//! and the count of what runs in it, which a shutdown waits for.
//!
//! A lock that another thread held at the moment of `fork` stays locked in
//! the child for ever. So nothing inherited is ever locked: a child notices
//! by its process id that the state is not its own, and starts an empty one.
//! The parent's copy is left alone, not even dropped.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use once_cell::race::OnceBox;

use crate::base::clock::{self, Moment};

/// One `T` for each process of a chain of forks.
pub(crate) struct PerProcess<T> {
    first: OnceBox<Node<T>>,
}

struct Node<T> {
    pid: u32,
    value: T,
    next: OnceBox<Node<T>>,
}

impl<T: Default> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        Self {
            first: OnceBox::new(),
        }
    }

    /// The value of the running process. Takes no lock.
    pub(crate) fn get(&self) -> &T {
        let pid = std::process::id();
        let mut node = self.first.get_or_init(|| Node::boxed(pid));
        // Only the newest entry can be ours: older ones are of ancestors.
        while let Some(next) = node.next.get() {
            node = next;
        }
        while node.pid != pid {
            node = node.next.get_or_init(|| Node::boxed(pid));
        }
        &node.value
    }
}

impl<T: Default> Node<T> {
    fn boxed(pid: u32) -> Box<Self> {
        Box::new(Self {
            pid,
            value: T::default(),
            next: OnceBox::new(),
        })
    }
}

/// Counts things that are alive, and lets a thread wait until none is left.
#[derive(Default)]
pub(crate) struct Census {
    counts: Mutex<Counts>,
    none_left: Condvar,
}

#[derive(Default)]
struct Counts {
    alive: usize,
    /// Threads that wait for the last one. Without any, nobody is woken: that
    /// would be a system call at the end of every call.
    waiting: usize,
}

impl Census {
    pub(crate) fn enter(&self) {
        self.lock().alive += 1;
    }

    pub(crate) fn leave(&self) {
        let mut counts = self.lock();
        counts.alive -= 1;
        if counts.alive == 0 && counts.waiting > 0 {
            self.none_left.notify_all();
        }
    }

    /// Counts one more until the returned guard is dropped.
    pub(crate) fn count(&self) -> Counted<'_> {
        self.enter();
        Counted(self)
    }

    /// Waits until nothing is alive; `false` if `deadline` came first.
    pub(crate) fn wait_until_empty(&self, deadline: Moment) -> bool {
        let mut counts = self.lock();
        while counts.alive > 0 {
            let left = deadline.saturating_duration_since(clock::now());
            if left.is_zero() {
                return false;
            }
            counts.waiting += 1;
            counts = self
                .none_left
                .wait_timeout(counts, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            counts.waiting -= 1;
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct Counted<'a>(&'a Census);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// What the core keeps for the whole process.
#[derive(Default)]
pub(crate) struct Shared {
    /// Threads of ours: feeds, and system name lookups.
    pub(crate) threads: Census,
    /// Calls that are under way.
    pub(crate) calls: Census,
}

static SHARED: PerProcess<Shared> = PerProcess::new();

/// What the core keeps for the running process.
pub(crate) fn shared() -> &'static Shared {
    SHARED.get()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn waits_for_the_last_one() {
        let census = Arc::new(Census::default());
        assert!(census.wait_until_empty(clock::now()));
        let counted = census.count();
        assert!(!census.wait_until_empty(clock::now() + Duration::from_millis(5)));
        let other = Arc::clone(&census);
        let waiter = std::thread::spawn(move || {
            other.wait_until_empty(clock::now() + Duration::from_secs(60))
        });
        drop(counted);
        assert!(waiter.join().expect("the waiter must not panic"));
    }

    #[test]
    fn one_value_for_one_process() {
        static CELL: PerProcess<Mutex<u32>> = PerProcess::new();
        *CELL.get().lock().expect("no thread panics holding it") += 1;
        assert_eq!(*CELL.get().lock().expect("no thread panics holding it"), 1);
    }
}
