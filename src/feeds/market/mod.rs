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
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::watch::Receiver;

use self::control::{INTENTS, Instrument, Intent, Verb};
use self::exchange::Dividers;
pub(crate) use self::options::Options;
use self::shared::Shared;
use self::store::Closed;
use self::subscriptions::{Subscription, keys};
use self::supervisor::{End, Supervisor};
pub(crate) use self::supervisor::{Login, Sessions};
use self::watch::Probes;
use crate::error::Error;
use crate::feeds::link::{self, State, Switch};
use crate::feeds::tick::{Depth, Tick};
use crate::process;
use crate::reply::{Meta, Reply};
use crate::secret::Secret;
use crate::status::Status;
use crate::transport::Settings;

/// A market feed. Clones are the same feed.
///
/// It connects and reconnects on a thread of its own until [`Feed::close`] or
/// the end of its client. All methods may be called from any thread at any
/// time; several readers share one queue.
#[derive(Clone)]
pub struct Feed(Arc<Shared>);

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed")
            .field("state", &self.0.store.state().state)
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
        let shared = Arc::new(Shared::new(options));
        let supervisor = Supervisor {
            shared: Arc::clone(&shared),
            settings,
            sessions,
            changed,
            probes: Probes::default(),
        };
        let at_end = Arc::clone(&shared);
        link::spawn(
            "kneo-feed",
            Arc::clone(&shared.switch),
            supervisor.run(),
            move |panicked| {
                at_end.store.close(match panicked {
                    true => Closed::Defect,
                    false => Closed::ByCaller,
                });
            },
        )
        .map_err(|error| {
            Error::new(
                Status::Internal,
                format!("no thread for the feed could be had: {error}"),
            )
        })?;
        Ok(Self(shared))
    }

    /// A feed without a connection, which takes what it is given.
    pub(crate) fn unconnected(options: Options) -> Self {
        Self(Arc::new(Shared::new(options)))
    }

    /// Takes a text frame; the error is why the connection would end.
    pub(crate) fn take_text(
        &self,
        text: &str,
        sid: &Secret,
        dividers: &mut Dividers,
    ) -> Result<(), String> {
        match self.0.text(text, sid, dividers) {
            Ok(_) => Ok(()),
            Err(End::Refused(why) | End::Lost { why, .. }) => Err(why.reason),
        }
    }

    /// Takes a binary frame.
    pub(crate) fn take_binary(&self, bytes: &[u8], dividers: &Dividers) {
        self.0.binary(bytes, dividers);
    }

    /// The answer of `kneo_feed_open`.
    pub(crate) fn opened(&self) -> Reply {
        self.answer("feed_open")
    }

    /// What ends it, for the roster of its client.
    pub(crate) fn switch(&self) -> &Arc<Switch> {
        &self.0.switch
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
        let keys: Vec<u64> = all.iter().flat_map(keys).collect();
        let mut wanted = self.0.wanted();
        let changes = wanted.add(all)?;
        self.0.store.want(keys.into_iter());
        drop(wanted);
        if changes {
            self.0.changed.notify_one();
        }
        Ok(self.answer("feed_subscribe"))
    }

    /// Ends subscriptions, and forgets what came of them. Instruments that
    /// were not subscribed are no error.
    ///
    /// # Errors
    ///
    /// [`Status::InvalidArgument`]; [`Status::Closed`].
    pub fn unsubscribe(&self, kind: &str, tokens: Option<&str>) -> Result<Reply, Error> {
        let unwanted = self.read_request(kind, tokens)?;
        let mut wanted = self.0.wanted();
        let changes = wanted.remove(&unwanted);
        let going: Vec<u64> = unwanted.iter().flat_map(keys).collect();
        let indices: Vec<(i8, String)> = unwanted
            .into_iter()
            .filter(|(intent, _)| *intent == Intent::Index)
            .map(|(_, one)| (one.exchange, one.token))
            .collect();
        // Before anybody can subscribe to them again.
        self.0.store.forget(&going, &indices);
        drop(wanted);
        if changes {
            self.0.changed.notify_one();
        }
        Ok(self.answer("feed_unsubscribe"))
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
        let state = self.0.store.state().state;
        if !matches!(state, State::Live | State::Stale) {
            return Err(Error::new(
                Status::Network,
                format!(
                    "the feed is {}; a snapshot needs a connection",
                    state.name()
                ),
            ));
        }
        let all: Vec<Instrument> = wanted.into_iter().map(|(_, one)| one).collect();
        let frames = control::frames(Verb::Snapshot, intent, &all);
        self.0.wanted().ask_once(frames)?;
        self.0.changed.notify_one();
        Ok(self.answer("feed_snapshot"))
    }

    /// The next event as JSON. Zero does not wait.
    ///
    /// # Errors
    ///
    /// [`Status::End`] if there was none in time; [`Status::Closed`].
    pub fn next(&self, wait: Duration) -> Result<Reply, Error> {
        let _counted = process::shared().calls.count();
        let mut json = String::new();
        let read = self.0.store.read(until(wait), 1, |record, _, now| {
            record.to_json(now, &mut json)
        });
        match read {
            Ok(0) => Err(Error::new(Status::End, "no event in time")),
            Ok(_) => Ok(local("feed_next", json)),
            Err(why) => Err(closed(why)),
        }
    }

    /// Reads up to `most` records, oldest first, and gives each to `take`.
    /// Waits for the first one; zero does not wait. Allocates nothing.
    ///
    /// # Errors
    ///
    /// [`Status::Closed`].
    pub fn read(
        &self,
        most: usize,
        wait: Duration,
        mut take: impl FnMut(&Tick),
    ) -> Result<usize, Error> {
        let _counted = process::shared().calls.count();
        let mut tick = Tick::default();
        let read = self.0.store.read(until(wait), most, |record, state, now| {
            record.to_tick(state, now, &mut tick);
            take(&tick);
        });
        read.map_err(closed)
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
            .0
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
            .0
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
        self.must_be_open()?;
        Ok(self.answer("feed_status"))
    }

    /// Ends the feed and all waits on it. Takes no time.
    pub fn close(&self) {
        self.0.switch.turn_off();
        self.0.store.close(Closed::ByCaller);
    }

    fn answer(&self, operation: &'static str) -> Reply {
        let shared = &self.0;
        let state = shared.store.state();
        let (counts, newest, waiting, instruments) = shared.store.counts();
        let wanted = shared.wanted();
        let kinds: serde_json::Map<_, _> = INTENTS
            .into_iter()
            .map(|intent| (intent.name().to_owned(), wanted.count(intent).into()))
            .collect();
        let now = shared.store.now();
        let json = json!({
            "state": state.state.name(),
            "reason": state.reason,
            "close_code": state.close_code,
            "retry_in_ms": state.retry_in.map(|wait| wait.as_millis() as u64),
            "subscribed": wanted.tokens(),
            "allowed": control::MOST_TOKENS,
            "subscriptions": kinds,
            "connects": shared.connects.load(Ordering::Relaxed),
            "gaps": shared.gaps.load(Ordering::Relaxed),
            "frames": counts.frames,
            "packets": counts.packets,
            "ignored": counts.ignored,
            "malformed": counts.malformed,
            "replaced": counts.replaced,
            "no_room": counts.no_room,
            "waiting": waiting,
            "instruments": instruments,
            "newest_age_ms": newest.map(|newest| now.us.saturating_sub(newest.us) / 1000),
        });
        local(operation, json.to_string())
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
        self.must_be_open()?;
        Instrument::parse("instrument", text, by_name)
    }

    fn must_be_open(&self) -> Result<(), Error> {
        match self.0.store.closed() {
            Some(why) => Err(closed(why)),
            None if self.0.switch.is_off() => Err(closed(Closed::ByCaller)),
            None => Ok(()),
        }
    }
}

fn until(wait: Duration) -> Option<Instant> {
    // As good as for ever, and no more than a clock can tell.
    const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    (!wait.is_zero()).then(|| Instant::now() + wait.min(LONGEST))
}

fn local(operation: &'static str, json: String) -> Reply {
    Reply {
        meta: Meta {
            operation,
            ..Meta::default()
        },
        ..Reply::local(json)
    }
}

fn closed(why: Closed) -> Error {
    match why {
        Closed::ByCaller => Error::new(Status::Closed, "the feed was closed"),
        Closed::Defect => Error::new(
            Status::Internal,
            "a defect in this library has ended the feed; please report it",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_defect_is_told_by_every_call() {
        let config = crate::config::Config::parse("").expect("all defaults");
        let settings = Settings::new(&config).expect("they are good");
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

    #[test]
    fn any_wait_can_be_asked_for() {
        assert_eq!(until(Duration::ZERO), None);
        assert!(until(Duration::MAX) > until(Duration::from_secs(3600)));
    }
}
