//! When an instruction may be forgotten: by the broker's clock alone.
//!
//! An answer of the broker carries its time, a `Date`. With the clock that nobody
//! sets it tells at what time of the broker's an instruction of the same boot had
//! begun at the latest; of another boot it tells that it was before that `Date`.
//! The instruction is over once a later `Date` shows another trading day, and an
//! hour has passed.

use crate::base::calendar::{IST_OFFSET, trading_day};

/// So long an instruction is remembered, also over midnight: no call and no
/// settling takes longer.
const LEAST: u64 = 3600;

/// Two times that differ by no more say the same.
const AGREE: u64 = 900;

/// A clock of this machine that is ahead keeps an instruction for longer, but not
/// for ever.
const MOST_AHEAD: u64 = 7 * 24 * 3600;

/// The boots and processes whose moments can be compared, numbered.
pub(super) type Clock = usize;

/// A `Date` of the broker, in unix seconds, and when it was seen. Moments are
/// milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sight {
    pub(super) at: u64,
    /// `None` if nothing can be compared with it.
    pub(super) seen: Option<Seen>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) clock: Clock,
    /// When the question was asked: the broker looked at its clock after it.
    pub(super) asked_ms: i64,
    /// When the answer was there.
    pub(super) ms: i64,
}

impl Sight {
    /// The broker's time of a moment of that clock, at the latest.
    fn latest(&self, clock: Option<Clock>, ms: i64) -> Option<u64> {
        let seen = self.seen.filter(|seen| Some(seen.clock) == clock)?;
        // A `Date` has no fractions.
        Some(shifted(self.at, ms.saturating_sub(seen.asked_ms)).saturating_add(2))
    }

    /// Whether another `Date` goes on where this one was.
    pub(super) fn agrees_with(&self, later: &Self) -> bool {
        let ms = |seen: Seen| self.latest(Some(seen.clock), seen.ms);
        let expected = later.seen.and_then(ms);
        expected.is_some_and(|expected| agree(expected, later.at))
    }

    pub(super) fn day(&self) -> u64 {
        trading_day(self.at)
    }
}

/// Whether two times say the same.
pub(super) fn agree(one: u64, other: u64) -> bool {
    one.abs_diff(other) <= AGREE
}

fn shifted(at: u64, ms: i64) -> u64 {
    let seconds = ms.div_euclid(1000);
    at.saturating_add_signed(seconds)
}

/// What is known of the time at which an instruction was begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Age {
    clock: Option<Clock>,
    ms: i64,
    /// By the broker's clock it had begun at this time at the latest.
    by: Option<u64>,
    /// Whether a `Date` that came after it has told.
    told: bool,
    /// The broker's time at which it had begun, where a `Date` of the same boot tells;
    /// some seconds late at the most.
    began: Option<u64>,
}

impl Age {
    /// `moment` is of a clock that can be compared, `by` what was guessed when it
    /// began, and `earlier` the last `Date` before.
    pub(super) fn new(
        moment: Option<(Clock, i64)>,
        by: Option<u64>,
        earlier: Option<Sight>,
    ) -> Self {
        let began = moment.zip(earlier);
        let began = began.and_then(|((clock, ms), sight)| sight.latest(Some(clock), ms));
        Self {
            began,
            clock: moment.map(|(clock, _)| clock),
            ms: moment.map_or(0, |(_, ms)| ms),
            by,
            told: false,
        }
    }

    /// The broker's time of something that begins now, as far as an earlier
    /// `Date` tells. A wall clock that is ahead of that only keeps it for longer.
    pub(super) fn guess(earlier: Option<Sight>, clock: Clock, ms: i64, wall: u64) -> Option<u64> {
        let by = earlier?.latest(Some(clock), ms)?;
        Some(by.max(wall.min(by.saturating_add(MOST_AHEAD))))
    }

    /// The same with what a `Date` tells that came after it.
    #[must_use]
    pub(super) fn with(mut self, sight: &Sight) -> Self {
        if self.told {
            return self;
        }
        self.told = true;
        let began = sight.latest(self.clock, self.ms);
        self.began = self.began.or(began);
        let before_it = sight.at.saturating_add(2);
        let consistent = sight.seen.is_some_and(|seen| self.ms <= seen.ms);
        self.by = match sight.latest(self.clock, self.ms) {
            Some(by) if consistent => Some(by),
            Some(_) => Some(before_it),
            None => Some(self.by.map_or(before_it, |by| by.min(before_it))),
        };
        self
    }

    /// Whether what the `Date` tells should be written down.
    pub(super) fn gains_by(self, sight: &Sight) -> bool {
        match (self.by, self.with(sight).by) {
            (Some(before), Some(after)) => !agree(before, after),
            (before, after) => before != after,
        }
    }

    pub(super) fn began(self) -> Option<u64> {
        self.began
    }

    pub(super) fn is_told(self) -> bool {
        self.told
    }

    /// From which time of the broker on it is over, if that is known.
    pub(super) fn over_at(self) -> Option<u64> {
        let by = self.by?;
        let next_day = trading_day(by).saturating_add(1).saturating_mul(24 * 3600);
        let midnight = next_day.saturating_sub(IST_OFFSET);
        Some(midnight.max(by.saturating_add(LEAST)))
    }

    pub(super) fn is_over(self, at: u64) -> bool {
        self.over_at().is_some_and(|over_at| at >= over_at)
    }
}
