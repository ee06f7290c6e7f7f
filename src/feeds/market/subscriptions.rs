//! What callers want of the market feed, what of it the broker was told, and
//! the frames that bring the one to the other. Pure.

use std::collections::{BTreeSet, VecDeque};

use super::control::{self, Instrument, Intent, MOST_TOKENS, Verb};
use super::packet;
use crate::base::error::Error;
use crate::base::status::Status;

pub(super) type Subscription = (Intent, Instrument);

/// Frames that ask for single values and were not sent yet.
const MOST_SNAPSHOTS: usize = 64;

/// What callers want, and what of it the broker was told.
#[derive(Default)]
pub(super) struct Wanted {
    subscribed: BTreeSet<Subscription>,
    /// Subscribed on this connection.
    sent: BTreeSet<Subscription>,
    /// To be unsubscribed, even if it is wanted again by now: only a new
    /// subscription brings its values again.
    gone: BTreeSet<Subscription>,
    snapshots: VecDeque<String>,
}

impl Wanted {
    /// What counts against the broker's limit.
    pub(super) fn tokens(&self) -> usize {
        self.subscribed.len() - self.count(Intent::Exchange)
    }

    /// How many subscriptions of a kind there are.
    pub(super) fn count(&self, intent: Intent) -> usize {
        let of_kind = self.subscribed.iter().filter(|(one, _)| *one == intent);
        of_kind.count()
    }

    /// Takes subscriptions in, all or none; gives whether one of them is new.
    pub(super) fn add(&mut self, all: Vec<Subscription>) -> Result<bool, Error> {
        let is_new = |one: &&Subscription| !self.subscribed.contains(*one);
        let changes = all.iter().any(|one| is_new(&one));
        let new = all.iter().filter(is_new);
        let new = new
            .filter(|(intent, _)| *intent != Intent::Exchange)
            .count();
        let total = self.tokens() + new;
        if total > MOST_TOKENS {
            return Err(Error::argument(
                "tokens",
                format_args!(
                    "{total} instruments would be subscribed; the broker allows {MOST_TOKENS}"
                ),
            ));
        }
        self.subscribed.extend(all);
        Ok(changes)
    }

    /// Ends subscriptions; gives whether the broker must be told.
    pub(super) fn remove(&mut self, all: &[Subscription]) -> bool {
        let mut changes = false;
        for one in all {
            self.subscribed.remove(one);
            if self.sent.remove(one) {
                self.gone.insert(one.clone());
                changes = true;
            }
        }
        changes
    }

    /// Takes frames in that ask for single values, all or none.
    pub(super) fn ask_once(&mut self, frames: Vec<String>) -> Result<(), Error> {
        if self.snapshots.len() + frames.len() > MOST_SNAPSHOTS {
            let message = "too many snapshots wait to be sent";
            return Err(Error::new(Status::RateLimited, message));
        }
        self.snapshots.extend(frames);
        Ok(())
    }

    /// The broker forgets everything with the connection.
    pub(super) fn reconnected(&mut self) {
        self.sent.clear();
        self.gone.clear();
    }

    /// The frames that bring what the broker was told to what callers want.
    pub(super) fn changes(&mut self) -> Vec<String> {
        let gone = std::mem::take(&mut self.gone);
        let new: Vec<_> = self.subscribed.difference(&self.sent).cloned().collect();
        let mut frames = frames_for(Verb::Unsubscribe, gone.iter());
        frames.extend(frames_for(Verb::Subscribe, new.iter()));
        frames.extend(self.snapshots.drain(..));
        self.sent.extend(new);
        frames
    }

    /// The frames that ask for the values of one batch of what is subscribed.
    pub(super) fn probe(&self) -> Vec<String> {
        snapshot_of_some(&self.sent)
    }

    /// The frames that subscribe once more to all that is subscribed.
    pub(super) fn again(&self) -> Vec<String> {
        frames_for(Verb::Subscribe, self.sent.iter())
    }

    /// The exchanges that should send values on this connection.
    pub(super) fn exchanges(&self) -> BTreeSet<i8> {
        let values = self.sent.iter();
        let values = values.filter(|(intent, _)| *intent != Intent::Exchange);
        values.map(|(_, one)| one.exchange).collect()
    }
}

/// The keys under which the values of a subscription are kept.
pub(super) fn keys((intent, one): &Subscription) -> impl Iterator<Item = u64> + use<> {
    let exchange = one.exchange;
    let token = one.number();
    let planes = intent.planes().iter();
    planes.filter_map(move |plane| Some(packet::key(exchange, *plane, token?)))
}

/// The frames for subscriptions that are in their order.
fn frames_for<'a>(verb: Verb, all: impl Iterator<Item = &'a Subscription>) -> Vec<String> {
    let mut frames = Vec::new();
    let mut group: Vec<Instrument> = Vec::new();
    let mut of = None;
    for (intent, one) in all {
        if let Some(before) = of.filter(|before| before != intent) {
            frames.extend(control::frames(verb, before, &group));
            group.clear();
        }
        of = Some(*intent);
        group.push(one.clone());
    }
    if let Some(intent) = of {
        frames.extend(control::frames(verb, intent, &group));
    }
    frames
}

/// Asks for the values of one batch of what is subscribed; what has no
/// snapshot is subscribed once more.
fn snapshot_of_some(sent: &BTreeSet<Subscription>) -> Vec<String> {
    let mut values = sent.iter().filter(|(one, _)| *one != Intent::Exchange);
    let intent = match values.clone().find(|(intent, _)| intent.has_snapshot()) {
        Some((intent, _)) => *intent,
        None => match values.next() {
            Some((intent, _)) => *intent,
            None => return Vec::new(),
        },
    };
    let verb = match intent.has_snapshot() {
        true => Verb::Snapshot,
        false => Verb::Subscribe,
    };
    let some: Vec<Instrument> = sent
        .iter()
        .filter(|(one, _)| *one == intent)
        .take(control::BATCH)
        .map(|(_, one)| one.clone())
        .collect();
    control::frames(verb, intent, &some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_several_kinds() {
        let one = |intent, token: &str| {
            let token = token.to_owned();
            (intent, Instrument { exchange: 1, token })
        };
        let all = BTreeSet::from([
            one(Intent::Depth, "7"),
            one(Intent::Scrips, "8"),
            one(Intent::Scrips, "9"),
            (
                Intent::Exchange,
                Instrument {
                    exchange: 0,
                    token: String::new(),
                },
            ),
        ]);
        assert_eq!(
            frames_for(Verb::Unsubscribe, all.iter()),
            [
                r#"{"event":"unsubscribeScrips","inputtoken":"nse_cm|8,nse_cm|9"}"#,
                r#"{"event":"unsubscribeDepth","inputtoken":"nse_cm|7"}"#,
                r#"{"event":"unsubscribeExchange"}"#,
            ]
        );
        assert!(snapshot_of_some(&all)[0].contains("snapshotScrips"));
        let full = BTreeSet::from([one(Intent::FullDepth, "7")]);
        assert!(snapshot_of_some(&full)[0].contains("subscribeFullDepth"));
        assert!(snapshot_of_some(&BTreeSet::new()).is_empty());
    }
}
