//! The market feed: its supervisor, which owns the socket, and what callers
//! do with it.

use std::collections::{BTreeSet, VecDeque};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::Notify;
use tokio::sync::watch::Receiver;
use tokio::time::timeout;
use url::Url;

use super::control::{self, Answer, INTENTS, Instrument, Intent, Verb};
use super::link::{self, Backoff, State, Switch};
use super::packet::{self, Dividers, Kind, Packets, Step};
use super::socket::{Ended, Frame, Socket};
use super::store::{Closed, Store};
use super::tick::{Depth, Tick};
use super::watch::{Due, Probes, Times, Watch};
use crate::error::Error;
use crate::json::Fields;
use crate::process;
use crate::redact;
use crate::reply::{Meta, Reply};
use crate::secret::Secret;
use crate::status::Status;
use crate::transport::Settings;

/// Frames that ask for single values and were not sent yet.
const MOST_SNAPSHOTS: usize = 64;
/// How long a refusal may follow a welcome that promises nothing.
const GRACE: Duration = Duration::from_secs(1);
/// A connection that served this long counts as a success.
const LASTED: Duration = Duration::from_secs(30);

const OPTIONS: &str = "options_json";

/// How a feed behaves. All times in milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    times: Times,
    login: Duration,
    reconnect_first: Duration,
    reconnect_cap: Duration,
    history: usize,
}

impl Options {
    /// Reads `options_json`; an empty one means all defaults.
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, Error> {
        let text = text.filter(|text| !text.trim().is_empty()).unwrap_or("{}");
        let mut fields = Fields::parse(OPTIONS, text)?;
        let mut ms = |key: &str, default: u64| -> Result<Duration, Error> {
            let given = fields.integer(key, 50..=3_600_000)?;
            Ok(Duration::from_millis(given.unwrap_or(default)))
        };
        let times = Times {
            ping: ms("ping_interval_ms", 4000)?,
            pong: ms("pong_timeout_ms", 5000)?,
            stale: ms("stale_after_ms", 9000)?,
            probe_cap: ms("probe_cap_ms", 300_000)?,
        };
        let login = ms("login_timeout_ms", 9000)?;
        let reconnect_first = ms("reconnect_first_ms", 500)?;
        let reconnect_cap = ms("reconnect_cap_ms", 30_000)?;
        let history = fields.integer("history_bytes", 0..=67_108_864)?;
        fields.finish()?;
        Ok(Self {
            times,
            login,
            reconnect_first,
            reconnect_cap,
            history: history.map_or(2 << 20, |bytes| bytes as usize),
        })
    }
}

/// What a connection logs in with.
pub(crate) struct Login {
    pub(crate) url: Url,
    pub(crate) user: String,
    pub(crate) sid: Secret,
}

/// The broker's words, which may quote the session.
fn masked(words: &str, sid: &Secret) -> String {
    redact::secrets(words, &[sid.expose()]).into_owned()
}

/// Gives the session of the client, if it has one.
pub(crate) type Sessions = Box<dyn Fn() -> Option<Login> + Send + Sync>;

/// A market feed. Clones are the same feed.
///
/// It connects and reconnects on a thread of its own until [`Feed::close`] or
/// the end of its client. All methods may be called from any thread at any
/// time; several readers share one queue.
#[derive(Clone)]
pub struct Feed(Arc<Shared>);

struct Shared {
    store: Store,
    switch: Arc<Switch>,
    asked: Mutex<Asked>,
    /// Something was asked for.
    changed: Notify,
    options: Options,
    connects: AtomicU64,
    /// Connections that were lost after they had been live.
    gaps: AtomicU64,
}

type Subscription = (Intent, Instrument);

/// What callers want, and what of it the broker was told.
#[derive(Default)]
struct Asked {
    subscribed: BTreeSet<Subscription>,
    /// Subscribed on this connection.
    sent: BTreeSet<Subscription>,
    /// To be unsubscribed, even if it is wanted again by now: only a new
    /// subscription brings its values again.
    gone: BTreeSet<Subscription>,
    snapshots: VecDeque<String>,
}

impl Asked {
    fn tokens(&self) -> usize {
        let is_exchange = self
            .subscribed
            .iter()
            .any(|(intent, _)| *intent == Intent::Exchange);
        self.subscribed.len() - usize::from(is_exchange)
    }
}

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
        let wanted = self.read_request(kind, tokens)?;
        let mut asked = self.0.asked();
        let is_new = |one: &&Subscription| !asked.subscribed.contains(*one);
        let changes = wanted.iter().any(|one| is_new(&one));
        let new = wanted
            .iter()
            .filter(is_new)
            .filter(|(intent, _)| *intent != Intent::Exchange)
            .count();
        let total = asked.tokens() + new;
        if total > control::MOST_TOKENS {
            return Err(Error::argument(
                "tokens",
                format_args!(
                    "{total} instruments would be subscribed; the broker allows {}",
                    control::MOST_TOKENS
                ),
            ));
        }
        self.0.store.want(wanted.iter().flat_map(keys));
        asked.subscribed.extend(wanted);
        drop(asked);
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
        let mut asked = self.0.asked();
        let mut changes = false;
        for one in &unwanted {
            asked.subscribed.remove(one);
            if asked.sent.remove(one) {
                asked.gone.insert(one.clone());
                changes = true;
            }
        }
        let going: Vec<u64> = unwanted.iter().flat_map(keys).collect();
        let indices: Vec<(i8, String)> = unwanted
            .into_iter()
            .filter(|(intent, _)| *intent == Intent::Index)
            .map(|(_, one)| (one.exchange, one.token))
            .collect();
        // Before anybody can subscribe to them again.
        self.0.store.forget(&going, &indices);
        drop(asked);
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
        let mut asked = self.0.asked();
        if asked.snapshots.len() + frames.len() > MOST_SNAPSHOTS {
            return Err(Error::new(
                Status::RateLimited,
                "too many snapshots wait to be sent",
            ));
        }
        asked.snapshots.extend(frames);
        drop(asked);
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
        let asked = shared.asked();
        let count = |intent: Intent| {
            let of = asked.subscribed.iter().filter(|(one, _)| *one == intent);
            of.count()
        };
        let kinds: serde_json::Map<_, _> = INTENTS
            .into_iter()
            .map(|intent| (intent.name().to_owned(), count(intent).into()))
            .collect();
        let now = shared.store.now();
        let json = json!({
            "state": state.state.name(),
            "reason": state.reason,
            "close_code": state.close_code,
            "retry_in_ms": state.retry_in.map(|wait| wait.as_millis() as u64),
            "subscribed": asked.tokens(),
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

/// The keys under which the values of a subscription are kept.
fn keys((intent, one): &Subscription) -> impl Iterator<Item = u64> + use<> {
    let exchange = one.exchange;
    let token = one.number();
    let planes = intent.planes().iter();
    planes.filter_map(move |plane| Some(packet::key(exchange, *plane, token?)))
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

impl Shared {
    fn new(options: Options) -> Self {
        Self {
            store: Store::new(options.history),
            switch: Arc::default(),
            asked: Mutex::default(),
            changed: Notify::new(),
            options,
            connects: AtomicU64::new(0),
            gaps: AtomicU64::new(0),
        }
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a text frame; gives whether it is a welcome, and a sure one.
    /// The broker's words may quote the session id, which is masked.
    fn text(&self, text: &str, sid: &Secret, dividers: &mut Dividers) -> Result<Option<bool>, End> {
        match control::answer(text) {
            Answer::Welcome {
                sure,
                dividers: told,
            } => {
                for (exchange, divider) in told {
                    dividers.set(exchange, divider);
                }
                return Ok(Some(sure));
            }
            Answer::Refused(words) => {
                let reason = format!("the broker refused the login: {words}");
                return Err(End::Refused(Ended::new(None, reason)));
            }
            Answer::Fallback => {
                let reason = "the broker chose a format that this library does not read";
                return Err(Ended::new(None, reason).into());
            }
            Answer::Symbols(all) => {
                self.store.name(&all);
            }
            Answer::NotSubscribed(words) => {
                let words = masked(&words, sid);
                let reason = format!("the broker did not take a subscription: {words}");
                let state = self.store.state().state;
                self.store.change(state, &reason, None, None);
            }
            Answer::Other => {}
        }
        Ok(None)
    }

    /// Takes the packets of a frame in.
    fn binary(&self, bytes: &[u8], dividers: &Dividers) -> Came {
        let mut came = Came::default();
        let mut writer = self.store.write();
        for step in Packets::new(bytes) {
            match step {
                Step::Packet(packet) => {
                    match packet.kind() {
                        Kind::Status => came.status = true,
                        _ => came.values = true,
                    }
                    writer.put(packet, dividers.of(packet.exchange()));
                }
                // Nobody sees it, so it is no sign of values either.
                Step::Ignored => writer.ignored(),
                Step::Malformed => writer.malformed(),
            }
        }
        came
    }
}

/// Owns the socket.
struct Supervisor {
    shared: Arc<Shared>,
    settings: Arc<Settings>,
    sessions: Sessions,
    changed: Receiver<u64>,
    probes: Probes,
}

/// How a connection ended.
enum End {
    /// The broker does not let us in: a new login is needed.
    Refused(Ended),
    Lost {
        why: Ended,
        lasted: bool,
    },
}

impl End {
    fn why(&self) -> &Ended {
        match self {
            Self::Refused(why) | Self::Lost { why, .. } => why,
        }
    }
}

impl From<Ended> for End {
    fn from(why: Ended) -> Self {
        match why.is_refusal() {
            true => Self::Refused(why),
            false => Self::Lost { why, lasted: false },
        }
    }
}

impl Supervisor {
    /// Connects for ever. Ends only with the client.
    async fn run(mut self) {
        let options = &self.shared.options;
        let mut backoff = Backoff::new(options.reconnect_first, options.reconnect_cap);
        // A refusal may be a mistake, so the same session is tried again; but
        // rarely, for the broker has said no.
        let rarely = options.reconnect_cap * 2;
        let mut rarely = Backoff::new(rarely, rarely);
        loop {
            self.changed.borrow_and_update();
            let Some(login) = (self.sessions)() else {
                self.tell(State::Refused, "there is no session; log in", None, None);
                if self.changed.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let end = self.connection(&login).await;
            let words = masked(&end.why().reason, &login.sid);
            let (state, reason, wait) = match &end {
                End::Refused(_) => {
                    let reason = format!("{words}; log in again");
                    (State::Refused, reason, rarely.next())
                }
                End::Lost { lasted, .. } => {
                    if *lasted {
                        backoff.reset();
                    }
                    (State::Down, words, backoff.next())
                }
            };
            // Another session is tried at once, and that there is none any more
            // is told at once.
            let next = (self.sessions)();
            let is_same = next.is_some_and(|next| next.sid == login.sid);
            let wait = if is_same { wait } else { Duration::ZERO };
            self.tell(state, &reason, end.why().code, Some(wait));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                told = self.changed.changed() => {
                    if told.is_err() {
                        return;
                    }
                    backoff.reset();
                }
            }
        }
    }

    fn tell(&self, state: State, reason: &str, code: Option<u16>, retry_in: Option<Duration>) {
        self.shared.store.change(state, reason, code, retry_in);
    }

    /// One connection, from its beginning to its end.
    async fn connection(&mut self, login: &Login) -> End {
        let host = login.url.host_str().unwrap_or("");
        self.tell(
            State::Connecting,
            &format!("connecting to {host}"),
            None,
            None,
        );
        let mut socket = match Socket::open(&self.settings, &login.url).await {
            Ok(socket) => socket,
            Err(why) => return why.into(),
        };
        self.tell(State::Authenticating, "logging in", None, None);
        let mut dividers = Dividers::default();
        if let Err(end) = self.log_in(&mut socket, login, &mut dividers).await {
            socket.close().await;
            return end;
        }
        self.shared.connects.fetch_add(1, Ordering::Relaxed);
        self.tell(State::Live, "logged in", None, None);
        let since = Instant::now();
        let mut end = self.serve(&mut socket, login, &mut dividers).await;
        if let End::Lost { lasted, .. } = &mut end {
            *lasted |= since.elapsed() >= LASTED;
        }
        self.shared.gaps.fetch_add(1, Ordering::Relaxed);
        socket.close().await;
        end
    }

    /// Sends the login and waits until it is confirmed.
    async fn log_in(
        &self,
        socket: &mut Socket,
        login: &Login,
        dividers: &mut Dividers,
    ) -> Result<(), End> {
        let now_ms = self.shared.store.now().ns / 1_000_000;
        let mut text = control::login(
            &login.user,
            login.sid.expose(),
            u128::try_from(now_ms).unwrap_or(0),
        );
        let limit = self.shared.options.login;
        let mut deadline = Instant::now() + limit;
        self.put(socket, std::mem::take(&mut *text)).await?;
        let mut welcomed = false;
        loop {
            let frame = tokio::time::timeout_at(deadline.into(), socket.next()).await;
            match frame {
                // A welcome that promises nothing, and then no refusal.
                Err(_) if welcomed => return Ok(()),
                Err(_) => {
                    let reason = format!("no answer to the login in {} ms", limit.as_millis());
                    return Err(Ended::new(None, reason).into());
                }
                Ok(Err(why)) => return Err(why.into()),
                Ok(Ok(Frame::Text(text))) => {
                    match self.shared.text(&text, &login.sid, dividers)? {
                        Some(true) => return Ok(()),
                        Some(false) if !welcomed => {
                            welcomed = true;
                            deadline = deadline.min(Instant::now() + GRACE);
                        }
                        _ => {}
                    };
                }
                Ok(Ok(Frame::Binary(bytes))) if welcomed => {
                    self.shared.binary(&bytes, dividers);
                }
                // Without dividers there are no prices.
                Ok(Ok(Frame::Binary(_) | Frame::Pong)) => {}
            }
        }
    }

    /// Serves a connection that is logged in.
    async fn serve(&mut self, socket: &mut Socket, login: &Login, dividers: &mut Dividers) -> End {
        let shared = Arc::clone(&self.shared);
        let mut watch = Watch::new(shared.options.times.clone(), Instant::now());
        let mut wake = pin!(tokio::time::sleep(Duration::ZERO));
        {
            // The broker forgets everything with the connection.
            let mut asked = shared.asked();
            asked.sent.clear();
            asked.gone.clear();
        }
        // What is subscribed already is sent at once.
        shared.changed.notify_one();
        loop {
            tokio::select! {
                () = shared.changed.notified() => {
                    if let Err(end) = self.send_what_changed(socket).await {
                        return end;
                    }
                    self.expect(&mut watch);
                    wake.as_mut().reset(watch.next().into());
                }
                () = &mut wake => {
                    // What is known of the exchanges grows old.
                    self.expect(&mut watch);
                    while let Some(due) = watch.due(Instant::now(), &mut self.probes) {
                        if let Err(end) = self.act(due, socket, &mut watch).await {
                            return end;
                        }
                    }
                    wake.as_mut().reset(watch.next().into());
                }
                told = self.changed.changed() => {
                    let now = (self.sessions)();
                    if told.is_err() || now.is_none_or(|now| now.user != login.user) {
                        let reason = "the session of this connection is no longer in force";
                        return Ended::new(None, reason).into();
                    }
                }
                frame = socket.next() => match frame {
                    Ok(Frame::Binary(bytes)) => {
                        let now = Instant::now();
                        let came = self.shared.binary(&bytes, dividers);
                        if came.status {
                            self.expect(&mut watch);
                        }
                        match came.values {
                            true if watch.data(now, &mut self.probes) => {
                                self.tell(State::Live, "values come again", None, None);
                            }
                            true => {}
                            false => watch.heard(now),
                        }
                    }
                    Ok(Frame::Text(text)) => {
                        watch.heard(Instant::now());
                        if let Err(end) = self.shared.text(&text, &login.sid, dividers) {
                            return end;
                        }
                    }
                    Ok(Frame::Pong) => watch.pong(Instant::now()),
                    Err(why) => return why.into(),
                },
            }
        }
    }

    async fn act(&self, due: Due, socket: &mut Socket, watch: &mut Watch) -> Result<(), End> {
        let times = &self.shared.options.times;
        match due {
            Due::Ping => {
                self.within(socket.ping()).await?;
                watch.pinged(Instant::now());
            }
            Due::Dead => {
                let reason = format!("no answer to a ping in {} ms", times.pong.as_millis());
                return Err(Ended::new(Some(1006), reason).into());
            }
            Due::Stale => {
                let ms = times.stale.as_millis();
                let reason = format!("nothing came for {ms} ms of what is subscribed");
                self.tell(State::Stale, &reason, None, None);
            }
            Due::Probe(0) => {
                let frames = snapshot_of_some(&self.shared.asked().sent);
                for frame in frames {
                    self.put(socket, frame).await?;
                }
            }
            Due::Probe(1) => {
                let frames = frames_for(Verb::Subscribe, self.shared.asked().sent.iter());
                for frame in frames {
                    self.put(socket, frame).await?;
                }
            }
            Due::Probe(_) => {
                return Err(End::Lost {
                    why: Ended::new(None, "the subscriptions stay silent; connecting anew"),
                    lasted: true,
                });
            }
        }
        Ok(())
    }

    /// Brings the broker's subscriptions to what callers want.
    async fn send_what_changed(&self, socket: &mut Socket) -> Result<(), End> {
        let frames = {
            let mut asked = self.shared.asked();
            let gone = std::mem::take(&mut asked.gone);
            let new: Vec<_> = asked.subscribed.difference(&asked.sent).cloned().collect();
            let mut frames = frames_for(Verb::Unsubscribe, gone.iter());
            frames.extend(frames_for(Verb::Subscribe, new.iter()));
            frames.extend(asked.snapshots.drain(..));
            asked.sent.extend(new);
            frames
        };
        for frame in frames {
            self.put(socket, frame).await?;
        }
        Ok(())
    }

    /// Tells the watch what to expect now.
    fn expect(&self, watch: &mut Watch) {
        let mut exchanges = BTreeSet::new();
        for (intent, one) in &self.shared.asked().sent {
            if *intent != Intent::Exchange {
                exchanges.insert(one.exchange);
            }
        }
        let store = &self.shared.store;
        let open = exchanges.iter().any(|one| !store.is_closed(*one));
        if watch.expects(!exchanges.is_empty(), open, Instant::now()) {
            self.tell(State::Live, "nothing is subscribed", None, None);
        }
    }

    async fn put(&self, socket: &mut Socket, text: String) -> Result<(), End> {
        self.within(socket.send(text)).await
    }

    /// A server that takes nothing any more must not hold us up.
    async fn within(&self, work: impl Future<Output = Result<(), Ended>>) -> Result<(), End> {
        match timeout(self.shared.options.times.pong, work).await {
            Ok(done) => done.map_err(End::from),
            Err(_) => Err(Ended::new(Some(1006), "the server takes nothing any more").into()),
        }
    }
}

/// What a frame had in it.
#[derive(Default)]
struct Came {
    values: bool,
    status: bool,
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
    use crate::transport::Proxy;

    #[test]
    fn reads_options_and_names_the_wrong_one() {
        let options = Options::parse(None).expect("all defaults");
        assert_eq!(options.times.stale, Duration::from_secs(9));
        let options = Options::parse(Some(r#"{"ping_interval_ms":100,"history_bytes":0}"#));
        let options = options.expect("both are known");
        assert_eq!(
            (options.times.ping, options.history),
            (Duration::from_millis(100), 0)
        );
        let wrong = |text| {
            let error = Options::parse(Some(text)).expect_err(text);
            error.message().to_owned()
        };
        assert!(wrong(r#"{"heartbeat":1}"#).starts_with("options_json: unknown key"));
        assert!(wrong(r#"{"stale_after_ms":1}"#).starts_with("options_json.stale_after_ms"));
    }

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

    #[test]
    fn any_wait_can_be_asked_for() {
        assert_eq!(until(Duration::ZERO), None);
        assert!(until(Duration::MAX) > until(Duration::from_secs(3600)));
    }

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
