//! The market feed, as its callers see it.
//!
//! - [`supervisor`]: keeps the connection up, for ever; owns the socket.
//! - [`shared`]: what it shares with the callers, and what it does with a frame.
//! - [`control`], [`packet`]: the frames of the broker, texts and binary ones;
//!   [`exchange`] has its numbers of the segments.
//! - [`subscriptions`]: what is wanted, and what the broker was told of it.
//! - [`store`]: what waits to be read, and the newest values; a reader gets a
//!   [`record`] or its JSON, which [`event`] writes.
//! - [`watch`]: whether the other side lives and data flows.

mod control;
mod event;
pub(crate) mod exchange;
mod options;
pub(crate) mod packet;
mod record;
mod shared;
mod store;
mod subscriptions;
mod supervisor;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch::Receiver;

use self::control::{Instrument, Intent, Verb};
use self::exchange::Dividers;
pub(crate) use self::options::Options;
use self::shared::Shared;
use self::subscriptions::{Subscription, keys};
use self::supervisor::{End, Supervisor};
pub(crate) use self::supervisor::{Login, Sessions};
use self::watch::Probes;
use crate::base::clock::Moment;
use crate::base::error::Error;
use crate::base::process;
use crate::base::redact::Known;
use crate::base::reply::Reply;
use crate::base::status::Status;
use crate::feeds::link::{self, Switch};
use crate::feeds::readers::{self, Cut, until};
use crate::feeds::state::State;
use crate::feeds::tick::{Depth, Tick};
use crate::transport::Settings;

/// Records that are written as JSON while the store is held.
const AT_ONCE: usize = 64;

/// A market feed. Clones are the same feed.
///
/// It connects and reconnects on a thread of its own until [`Feed::close`], the
/// end of its client, or until the last clone is dropped. All methods may be
/// called from any thread at any time; several readers share one queue.
#[derive(Clone)]
pub struct Feed(Arc<Owner>);

/// Ends the feed when the last of its callers goes.
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed")
            .field("state", &self.shared().store.state().0.state)
            .finish_non_exhaustive()
    }
}

impl Feed {
    /// Starts a feed. `changed` tells when the client has a new session.
    pub(crate) fn start(
        options: Options,
        settings: Arc<Settings>,
        sessions: Sessions,
        changed: Receiver<u64>,
    ) -> Result<Self, Error> {
        let feed = Self::unconnected(options);
        let shared = Arc::clone(&feed.0.0);
        let supervisor = Supervisor {
            settings,
            sessions,
            changed,
            probes: Probes::default(),
            retries: shared.options.times.retries(),
            shared: Arc::clone(&shared),
        };
        let switch = Arc::clone(&shared.switch);
        link::spawn("kneo-feed", switch, supervisor.run(), move |panicked| {
            shared.store.close(Cut::by_end(panicked));
        })
        .map_err(link::no_thread)?;
        Ok(feed)
    }

    /// A feed without a connection, which takes what it is given.
    pub(crate) fn unconnected(options: Options) -> Self {
        Self(Arc::new(Owner(Arc::new(Shared::new(options)))))
    }

    /// Takes a text frame; the error is why the connection would end.
    pub(crate) fn take_text(
        &self,
        text: &str,
        known: &Known,
        dividers: &mut Dividers,
    ) -> Result<(), String> {
        match self.shared().text(text, known, dividers) {
            Ok(_) => Ok(()),
            Err(End::Refused(why) | End::Lost { why, .. }) => Err(why.reason),
        }
    }

    /// Takes a binary frame.
    pub(crate) fn take_binary(&self, bytes: &[u8], dividers: &Dividers) {
        self.shared().binary(bytes, dividers);
    }

    /// What ends it, for the roster of its client.
    pub(crate) fn switch(&self) -> &Arc<Switch> {
        &self.shared().switch
    }

    fn shared(&self) -> &Shared {
        &self.0.0
    }

    /// Subscribes to instruments, now and after every reconnect.
    ///
    /// `kind` is `scrips`, `scrips_lite`, `depth`, `full_depth`, `index` or
    /// `exchange`; `tokens` is like `nse_cm|11536,nse_fo|44498`, and nothing
    /// for `exchange`. What is subscribed already counts once.
    ///
    /// # Errors
    ///
    /// [`Status::InvalidArgument`], also if more than 3,000 would be
    /// subscribed; then nothing is changed. [`Status::Closed`].
    pub fn subscribe(&self, kind: &str, tokens: Option<&str>) -> Result<Reply, Error> {
        let all = self.read_request(kind, tokens)?;
        let notes = misspelt(&all);
        let keys: Vec<u64> = all.iter().flat_map(keys).collect();
        let mut wanted = self.shared().wanted();
        let changes = wanted.add(all)?;
        self.shared().store.want(keys.into_iter());
        drop(wanted);
        if changes {
            self.shared().changed.notify_one();
        }
        self.told("feed_subscribe", notes)
    }

    /// Ends subscriptions, and forgets what came of them. Instruments that
    /// were not subscribed are no error.
    ///
    /// # Errors
    ///
    /// [`Status::InvalidArgument`]; [`Status::Closed`].
    pub fn unsubscribe(&self, kind: &str, tokens: Option<&str>) -> Result<Reply, Error> {
        let unwanted = self.read_request(kind, tokens)?;
        let mut wanted = self.shared().wanted();
        let changes = wanted.remove(&unwanted);
        let going: Vec<u64> = unwanted.iter().flat_map(keys).collect();
        let indices: Vec<(i8, String)> = unwanted
            .into_iter()
            .filter(|(intent, _)| *intent == Intent::Index)
            .map(|(_, one)| (one.exchange, one.token))
            .collect();
        // Before anybody can subscribe to them again.
        self.shared().store.forget(&going, &indices);
        drop(wanted);
        if changes {
            self.shared().changed.notify_one();
        }
        self.told("feed_unsubscribe", Vec::new())
    }

    /// Asks for the values of instruments once. They come as records.
    ///
    /// # Errors
    ///
    /// [`Status::InvalidArgument`], also for `full_depth` and `exchange`, of
    /// which the broker gives none; [`Status::Network`] while the feed is not
    /// connected; [`Status::RateLimited`] while many wait to be sent;
    /// [`Status::Closed`].
    pub fn snapshot(&self, kind: &str, tokens: Option<&str>) -> Result<Reply, Error> {
        let wanted = self.read_request(kind, tokens)?;
        let intent = Intent::parse(kind)?;
        if !intent.has_snapshot() {
            return Err(Error::argument("kind", "the broker has no snapshot of it"));
        }
        let state = self.shared().store.state().0.state;
        if !matches!(state, State::Live | State::Stale) {
            return Err(Error::new(
                Status::Network,
                format!(
                    "the feed is {}; a snapshot needs a connection",
                    state.name()
                ),
            ));
        }
        let notes = misspelt(&wanted);
        let all: Vec<Instrument> = wanted.into_iter().map(|(_, one)| one).collect();
        let frames = control::frames(Verb::Snapshot, intent, &all);
        self.shared().wanted().ask_once(frames)?;
        self.shared().changed.notify_one();
        self.told("feed_snapshot", notes)
    }

    /// The next event as JSON. Zero does not wait.
    ///
    /// # Errors
    ///
    /// [`Status::End`] if there was none in time; [`Status::Closed`] after an
    /// interrupt, and after the end of the feed when all was read.
    pub fn next(&self, wait: Duration) -> Result<Reply, Error> {
        let event = readers::event(wait, |until, most, json| self.events(until, most, json));
        readers::answer("feed_next", event)
    }

    /// Up to `most` events (1 to 65,536) as one JSON array, or fewer that are
    /// some 4 MiB together. Waits for the first one; zero does not wait.
    ///
    /// # Errors
    ///
    /// [`Status::InvalidArgument`] naming `most`; else those of [`Feed::next`].
    pub fn next_batch(&self, most: usize, wait: Duration) -> Result<Reply, Error> {
        let events = readers::batch(most, wait, |until, most, json| {
            // The supervisor must not wait while all of them are written.
            self.events(until, most.min(AT_ONCE), json)
        });
        readers::answer("feed_next_batch", events)
    }

    /// Ends the waits of other threads that are under way with
    /// [`Status::Closed`], or the next one if there is none. The feed goes on.
    pub fn interrupt(&self) {
        self.shared().store.interrupt();
    }

    fn events(&self, until: Option<Moment>, most: usize, json: &mut String) -> Result<usize, Cut> {
        let store = &self.shared().store;
        store.read(until, most, |record, _, now| {
            record.to_json(now, json);
            json.push(',');
        })
    }

    /// Reads up to `most` records, oldest first, and gives each to `take`.
    /// Waits for the first one; zero does not wait. Allocates nothing.
    ///
    /// # Errors
    ///
    /// [`Status::Closed`] after an interrupt, and after the end of the feed when
    /// all was read.
    pub fn read(
        &self,
        most: usize,
        wait: Duration,
        mut take: impl FnMut(&Tick),
    ) -> Result<usize, Error> {
        let _counted = process::shared().calls.count();
        let mut tick = Tick::default();
        let read = self
            .shared()
            .store
            .read(until(wait), most, |record, state, now| {
                record.to_tick(state, now, &mut tick);
                take(&tick);
            });
        read.map_err(Cut::error)
    }

    /// The newest price of an instrument, like `nse_cm|11536`, or of an index,
    /// also by name, like `nse_cm|Nifty 50`. `false` if none came yet.
    ///
    /// # Errors
    ///
    /// [`Status::InvalidArgument`]; [`Status::Closed`].
    pub fn last(&self, instrument: &str, out: &mut Tick) -> Result<bool, Error> {
        let wanted = self.read_instrument(instrument, true)?;
        let token = wanted.number().ok_or(wanted.token.as_str());
        Ok(self
            .shared()
            .store
            .last(wanted.exchange, token, |record, state, now| {
                record.to_tick(state, now, out);
            }))
    }

    /// The newest market depth of an instrument, or its touch line if it has
    /// no more. `false` if none came yet.
    ///
    /// # Errors
    ///
    /// [`Status::InvalidArgument`]; [`Status::Closed`].
    pub fn depth(&self, instrument: &str, out: &mut Depth) -> Result<bool, Error> {
        let wanted = self.read_instrument(instrument, false)?;
        let Some(token) = wanted.number() else {
            return Ok(false);
        };
        Ok(self
            .shared()
            .store
            .depth(wanted.exchange, token, |record, state, now| {
                record.to_depth(state, now, out);
            }))
    }

    /// How the feed is: its state and why, what is subscribed, counts.
    ///
    /// # Errors
    ///
    /// [`Status::Closed`].
    pub fn status(&self) -> Result<Reply, Error> {
        let open = self.must_be_open();
        readers::answer("feed_status", open.map(|()| self.shared().status()))
    }

    /// Ends the feed and all waits on it. Takes no time. What waits to be read
    /// can still be read.
    pub fn close(&self) {
        self.shared().close();
    }

    /// The answer of what changes what is subscribed.
    fn told(&self, operation: &'static str, notes: Vec<String>) -> Result<Reply, Error> {
        let mut reply = readers::answer(operation, Ok(self.shared().status()))?;
        if !notes.is_empty() {
            reply.meta.extra.insert("notes".to_owned(), notes.into());
        }
        Ok(reply)
    }

    fn read_request(&self, kind: &str, tokens: Option<&str>) -> Result<Vec<Subscription>, Error> {
        self.must_be_open()?;
        let intent = Intent::parse(kind)?;
        let mut all = control::instruments(intent, tokens)?;
        if intent == Intent::Exchange {
            all.push(Instrument {
                exchange: 0,
                token: String::new(),
            });
        }
        Ok(all.into_iter().map(|one| (intent, one)).collect())
    }

    fn read_instrument(&self, text: &str, by_name: bool) -> Result<Instrument, Error> {
        const NAME: &str = "instrument";
        self.must_be_open()?;
        let one = Instrument::parse(NAME, text, by_name)?;
        if !by_name {
            one.must_be_no_index(NAME)?;
        }
        Ok(one)
    }

    fn must_be_open(&self) -> Result<(), Error> {
        match self.shared().ended() {
            Some(why) => Err(why.error()),
            None => Ok(()),
        }
    }
}

/// Of how many names that the broker spells otherwise is told.
const MOST_MISSPELT: usize = 5;

/// What to tell of the names of indices that the broker spells otherwise. It answers
/// nothing to a name that it does not know.
fn misspelt(all: &[Subscription]) -> Vec<String> {
    let notes = all.iter().filter(|(intent, _)| *intent == Intent::Index);
    let notes = notes.filter_map(|(_, one)| one.misspelt());
    notes.take(MOST_MISSPELT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Proxy;

    #[test]
    fn a_defect_is_told_by_every_call() {
        let settings = Settings::new(None, &Proxy::None, None, Duration::from_secs(5));
        let settings = settings.expect("no CA file, no problem");
        let options = Options::parse(None).expect("all defaults");
        let sessions = Box::new(|| std::panic::panic_any("a defect"));
        let changed = link::Roster::default().sessions();
        let feed = Feed::start(options, Arc::new(settings), sessions, changed);
        let feed = feed.expect("a thread can be had");
        let error = feed.next(Duration::from_secs(60)).expect_err("it ended");
        assert_eq!(error.status(), Status::Internal);
        feed.close();
        let calls = [
            feed.read(1, Duration::ZERO, |_| {}).map(drop),
            feed.status().map(drop),
            feed.subscribe("exchange", None).map(drop),
        ];
        for ended in calls {
            assert_eq!(ended.expect_err("it ended").status(), Status::Internal);
        }
    }
}
