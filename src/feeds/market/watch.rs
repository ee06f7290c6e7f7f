//! Whether the other side of a connection lives, and whether data flows: two
//! questions. Pure: the time is told.

use std::time::Duration;

use crate::base::clock::Moment;

/// How long a market feed waits for what.
#[derive(Clone, Debug)]
pub(crate) struct Patience {
    /// Between two pings.
    pub(crate) ping: Duration,
    /// How long a pong may take.
    pub(crate) pong: Duration,
    /// How long what is subscribed may send nothing.
    pub(crate) stale: Duration,
    /// The longest time between two probes of silent subscriptions.
    pub(crate) probe_cap: Duration,
}

/// What is to be done now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Ping,
    /// The other side does not answer any more.
    Dead,
    /// Data stopped.
    Stale,
    /// Silent still: ask again. The number counts from 0 since data last came.
    Probe(u32),
}

/// How often and when silent subscriptions were asked again. It outlives a
/// connection: a reconnect is one way to ask.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    made: u32,
}

/// Watches one connection.
#[derive(Debug)]
pub(crate) struct Watch {
    patience: Patience,
    /// Any sign of life.
    heard: Moment,
    data: Moment,
    /// When the last ping was sent that has no pong.
    asked: Option<Moment>,
    answers_pings: bool,
    next_ping: Moment,
    subscribed: bool,
    /// Not while the exchange is closed.
    may_probe: bool,
    stale: bool,
    next_probe: Moment,
}

impl Watch {
    pub(crate) fn new(patience: Patience, now: Moment) -> Self {
        Self {
            heard: now,
            data: now,
            asked: None,
            answers_pings: false,
            // At once: whether pongs come at all is worth knowing early.
            next_ping: now,
            subscribed: false,
            may_probe: true,
            stale: false,
            next_probe: now,
            patience,
        }
    }

    /// Something came, whatever it was.
    pub(crate) fn heard(&mut self, now: Moment) {
        self.heard = now;
    }

    pub(crate) fn pong(&mut self, now: Moment) {
        self.heard = now;
        self.asked = None;
        self.answers_pings = true;
    }

    /// Values came. `true` if the feed was stale before.
    pub(crate) fn data(&mut self, now: Moment, probes: &mut Probes) -> bool {
        self.heard = now;
        self.data = now;
        probes.made = 0;
        std::mem::take(&mut self.stale)
    }

    /// Whether anything is subscribed that should send values, and whether
    /// asking again makes sense. `true` if the feed was stale and is not any
    /// more, because nothing is expected.
    pub(crate) fn expects(&mut self, subscribed: bool, may_probe: bool, now: Moment) -> bool {
        if subscribed && !self.subscribed {
            self.data = now;
        }
        self.subscribed = subscribed;
        self.may_probe = may_probe;
        !subscribed && std::mem::take(&mut self.stale)
    }

    pub(crate) fn pinged(&mut self, now: Moment) {
        self.asked.get_or_insert(now);
        self.next_ping = now + self.patience.ping;
    }

    /// What is to be done at `now`, if anything.
    pub(crate) fn due(&mut self, now: Moment, probes: &mut Probes) -> Option<Due> {
        if self.is_dead_at().is_some_and(|at| at <= now) {
            return Some(Due::Dead);
        }
        if self.next_ping <= now {
            return Some(Due::Ping);
        }
        if !self.subscribed {
            return None;
        }
        if !self.stale {
            if self.data + self.patience.stale > now {
                return None;
            }
            self.stale = true;
            self.next_probe = now + self.wait(probes);
            return Some(Due::Stale);
        }
        if self.may_probe && self.next_probe <= now {
            let number = probes.made;
            probes.made = probes.made.saturating_add(1);
            self.next_probe = now + self.wait(probes);
            return Some(Due::Probe(number));
        }
        None
    }

    /// When to ask [`due`](Self::due) again.
    pub(crate) fn next(&self) -> Moment {
        let mut next = self.next_ping;
        if let Some(dead) = self.is_dead_at() {
            next = next.min(dead);
        }
        match (self.subscribed, self.stale) {
            (false, _) => next,
            (true, false) => next.min(self.data + self.patience.stale),
            (true, true) if self.may_probe => next.min(self.next_probe),
            (true, true) => next,
        }
    }

    /// A connection that never answered a ping is not judged by pings, and
    /// whoever sends anything after a ping is not dead.
    fn is_dead_at(&self) -> Option<Moment> {
        let asked = self.asked.filter(|_| self.answers_pings)?;
        Some(asked.max(self.heard) + self.patience.pong)
    }

    /// The first question comes at once, the next ones each twice as late.
    fn wait(&self, probes: &Probes) -> Duration {
        match probes.made {
            0 => Duration::ZERO,
            made => self
                .patience
                .stale
                .saturating_mul(1 << (made - 1).min(20))
                .min(self.patience.probe_cap),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn patience() -> Patience {
        Patience {
            ping: ms(4000),
            pong: ms(5000),
            stale: ms(9000),
            probe_cap: ms(300_000),
        }
    }

    /// Runs for `length`, the other side answering pings or not; what was due
    /// when, in milliseconds, without the pings.
    fn run(watch: &mut Watch, start: Moment, length: u64, pongs: bool) -> Vec<(u128, Due)> {
        let mut probes = Probes::default();
        let mut seen = Vec::new();
        let mut now = start;
        while now < start + ms(length) {
            while let Some(due) = watch.due(now, &mut probes) {
                match due {
                    Due::Ping => {
                        watch.pinged(now);
                        if pongs {
                            watch.pong(now);
                        }
                    }
                    Due::Dead => {
                        seen.push((now.saturating_duration_since(start).as_millis(), due));
                        return seen;
                    }
                    other => seen.push((now.saturating_duration_since(start).as_millis(), other)),
                }
            }
            assert!(watch.next() > now, "it would spin");
            now = watch.next();
        }
        seen
    }

    #[test]
    fn silence_is_told_within_ten_seconds() {
        let start = clock::now();
        let mut watch = Watch::new(patience(), start);
        watch.pinged(start);
        watch.pong(start);
        assert_eq!(run(&mut watch, start, 60_000, false), [(9000, Due::Dead)]);
    }

    #[test]
    fn who_never_answered_a_ping_is_not_judged_by_pings() {
        let start = clock::now();
        let mut watch = Watch::new(patience(), start);
        assert_eq!(run(&mut watch, start, 60_000, false), []);
        watch.expects(true, true, start);
        let seen = run(&mut watch, start, 10_000, false);
        assert_eq!(seen[0].1, Due::Stale);
    }

    #[test]
    fn pongs_without_data_are_probed_ever_more_rarely() {
        let start = clock::now();
        let mut watch = Watch::new(patience(), start);
        watch.expects(true, true, start);
        let seen = run(&mut watch, start, 3_600_000, true);
        let begin = [
            (9000, Due::Stale),
            (9000, Due::Probe(0)),
            (18_000, Due::Probe(1)),
            (36_000, Due::Probe(2)),
        ];
        assert_eq!(seen[..4], begin);
        let last = &seen[seen.len() - 2..];
        assert_eq!(last[1].0 - last[0].0, 300_000);
    }

    #[test]
    fn a_closed_exchange_is_not_probed() {
        let start = clock::now();
        let mut watch = Watch::new(patience(), start);
        watch.expects(true, false, start);
        assert_eq!(
            run(&mut watch, start, 3_600_000, true),
            [(9000, Due::Stale)]
        );
        let mut probes = Probes::default();
        assert!(watch.data(start, &mut probes), "it was stale");
        assert!(!watch.data(start, &mut probes));
    }

    #[test]
    fn data_is_a_sign_of_life_as_good_as_a_pong() {
        let start = clock::now();
        let mut watch = Watch::new(patience(), start);
        watch.pinged(start);
        watch.pong(start);
        watch.pinged(start + ms(4000));
        watch.heard(start + ms(8000));
        let mut probes = Probes::default();
        assert_eq!(watch.due(start + ms(9500), &mut probes), Some(Due::Ping));
        watch.pinged(start + ms(9500));
        assert_eq!(watch.due(start + ms(13_000), &mut probes), Some(Due::Dead));
    }
}
