//! Whose turn it is to send: the slots of one account and the queue for them. Pure: the time
//! is handed in.
//!
//! A slot is used from the moment at which it is given until one second after the answer to
//! its request came. The broker had the request by then, and gets the next one of this
//! slot after that second: so no second of the broker's, wherever it begins, sees two of one
//! slot, however long either was on its way.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use tokio::sync::Notify;

use super::{Ceiling, Use};
use crate::base::clock::Moment;

/// The slots of one account, and who waits for one.
#[derive(Default)]
pub(super) struct Turns {
    of: [Kind; 2],
    /// The next ticket: the order in which they came.
    next: u64,
    /// Until then the broker wants none of them.
    held: Option<Moment>,
}

/// What there is of one [`Use`].
#[derive(Default)]
struct Kind {
    /// Slots whose request has not left yet, or has no answer yet.
    taken: usize,
    /// When each of the other used slots is free again, the soonest first, and whether its
    /// request was lost.
    free_at: BinaryHeap<Reverse<(Moment, bool)>>,
    /// How many of those were lost: the broker may be at work on them.
    lost: usize,
    /// Who waits, first come first.
    waiting: VecDeque<Waiter>,
}

struct Waiter {
    ticket: u64,
    ceiling: Ceiling,
    bell: Arc<Notify>,
    /// What it was told last.
    told: Option<When>,
}

/// When somebody's turn is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Now,
    /// A slot is free then. An earlier one may be, if one is given back or answered.
    At(Moment),
    /// Not before one is given back or answered.
    Later,
}

impl Kind {
    fn used(&self) -> usize {
        self.taken + self.free_at.len()
    }

    /// How many the broker may be at work on.
    fn under_way(&self) -> usize {
        self.taken + self.lost
    }

    fn soonest(&self) -> Option<Moment> {
        self.free_at.peek().map(|Reverse((at, _))| *at)
    }
}

impl Turns {
    /// A slot for one that has just come, if nobody of its kind waits before it.
    pub(super) fn take(&mut self, kind: Use, ceiling: Ceiling, now: Moment) -> bool {
        self.forget(now);
        let nobody = self.of(kind).waiting.is_empty();
        let its_turn = nobody && self.when(kind, ceiling, self.next) == When::Now;
        if its_turn {
            self.of_mut(kind).taken += 1;
        }
        its_turn
    }

    /// A slot for one that may not wait: there may be more of them than the ceiling says.
    pub(super) fn take_anyway(&mut self, kind: Use) {
        self.of_mut(kind).taken += 1;
    }

    /// Puts somebody at the end of the queue, and gives its ticket. Its bell rings when it has
    /// to look again.
    pub(super) fn queue(&mut self, kind: Use, ceiling: Ceiling, bell: Arc<Notify>) -> u64 {
        let ticket = self.next;
        self.next += 1;
        self.of_mut(kind).waiting.push_back(Waiter {
            ticket,
            ceiling,
            bell,
            told: None,
        });
        ticket
    }

    /// When the turn of one that waits is. If it is now, it has a slot and has left the queue.
    pub(super) fn ask(&mut self, kind: Use, ticket: u64, now: Moment) -> When {
        self.forget(now);
        let Some(first) = self.of(kind).waiting.front() else {
            return When::Later;
        };
        if first.ticket != ticket {
            return When::Later;
        }
        let when = self.when(kind, first.ceiling, ticket);
        let of = self.of_mut(kind);
        if when == When::Now {
            of.taken += 1;
            of.waiting.pop_front();
            self.ring(now);
        } else if let Some(first) = of.waiting.front_mut() {
            first.told = Some(when);
        }
        when
    }

    /// Somebody waits no longer.
    pub(super) fn leave(&mut self, kind: Use, ticket: u64, now: Moment) {
        let waiting = &mut self.of_mut(kind).waiting;
        if let Ok(at) = waiting.binary_search_by_key(&ticket, |waiter| waiter.ticket) {
            waiting.remove(at);
            self.ring(now);
        }
    }

    /// Nothing left by this slot.
    pub(super) fn give_back(&mut self, kind: Use, now: Moment) {
        self.of_mut(kind).taken -= 1;
        self.ring(now);
    }

    /// It is known when this slot is free: its request was answered.
    pub(super) fn free_at(&mut self, kind: Use, at: Moment, now: Moment) {
        self.free(kind, at, false, now);
    }

    /// No answer will come to the request of this slot. Until `at` the broker may be at work
    /// on it.
    pub(super) fn lost(&mut self, kind: Use, at: Moment, now: Moment) {
        self.of_mut(kind).lost += 1;
        self.free(kind, at, true, now);
    }

    fn free(&mut self, kind: Use, at: Moment, is_lost: bool, now: Moment) {
        let of = self.of_mut(kind);
        of.taken -= 1;
        of.free_at.push(Reverse((at, is_lost)));
        self.ring(now);
    }

    /// The broker wants none of them before `until`.
    pub(super) fn hold(&mut self, until: Moment, now: Moment) {
        self.held = self.held.max(Some(until));
        self.ring(now);
    }

    /// Until when the broker wants none of them, if it said so.
    pub(super) fn held(&mut self, now: Moment) -> Option<Moment> {
        self.forget(now);
        self.held
    }

    /// When a slot is free that nobody can have sooner, if that is sure.
    pub(super) fn surely_not_before(&self, kind: Use, ceiling: Ceiling) -> Option<Moment> {
        if self.of.iter().any(|of| of.taken > 0) {
            return self.held;
        }
        // As if nobody waited before.
        match self.when(kind, ceiling, 0) {
            When::At(moment) => Some(moment),
            When::Now | When::Later => None,
        }
    }

    /// Whether no slot is used, nobody waits and nothing is held back.
    pub(super) fn at_rest(&mut self, now: Moment) -> bool {
        self.forget(now);
        let at_rest = |of: &Kind| of.used() == 0 && of.waiting.is_empty();
        self.held.is_none() && self.of.iter().all(at_rest)
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.of.iter().map(|of| of.waiting.len()).sum()
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.of.iter().map(Kind::used).sum()
    }

    fn of(&self, kind: Use) -> &Kind {
        &self.of[kind as usize]
    }

    fn of_mut(&mut self, kind: Use) -> &mut Kind {
        &mut self.of[kind as usize]
    }

    fn forget(&mut self, now: Moment) {
        self.held = self.held.filter(|until| *until > now);
        for of in &mut self.of {
            while of.soonest().is_some_and(|at| at <= now) {
                let is_lost = of.free_at.pop().is_some_and(|Reverse((_, lost))| lost);
                of.lost -= usize::from(is_lost);
            }
        }
    }

    /// When the turn of the first of its kind is.
    fn when(&self, kind: Use, ceiling: Ceiling, ticket: u64) -> When {
        let other = kind.other();
        let mut used = [Use::Usual, Use::Urgent].map(|kind| self.of(kind).used());
        let mut under_way = self.of.iter().map(Kind::under_way).sum();
        // Who came before and may go now is about to.
        let first = self.of(other).waiting.front();
        if first.is_some_and(|it| it.ticket < ticket && it.ceiling.admits(other, used, under_way)) {
            used[other as usize] += 1;
            under_way += 1;
        }
        if let Some(until) = self.held {
            return When::At(until);
        }
        if ceiling.admits(kind, used, under_way) {
            return When::Now;
        }
        let none_is_lost = self.of.iter().all(|of| of.lost == 0);
        if under_way >= ceiling.at_once && none_is_lost {
            return When::Later;
        }
        let soonest = self.of.each_ref().map(Kind::soonest);
        let of_usual = soonest[Use::Usual as usize];
        let mut next = soonest.into_iter().flatten().min();
        if kind == Use::Usual && !ceiling.admits(kind, [used[Use::Usual as usize], 0], 0) {
            next = of_usual;
        }
        next.map_or(When::Later, When::At)
    }

    /// Wakes those whose turn has changed.
    fn ring(&mut self, now: Moment) {
        self.forget(now);
        for kind in [Use::Usual, Use::Urgent] {
            let Some(first) = self.of(kind).waiting.front() else {
                continue;
            };
            let when = self.when(kind, first.ceiling, first.ticket);
            if first.told != Some(when) {
                first.bell.notify_one();
            }
        }
    }
}
