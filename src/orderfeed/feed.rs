//! The connection of an order feed: made again for ever, and what it tells.
//!
//! Live events are told at once. The books are read as soon as a login is
//! confirmed, so that everything before that moment is in them, and are merged
//! with what came since.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use url::Url;

use super::merge::{Fill, Merge, Origin, Step};
use super::queue::{CAPACITY, Queue};
use super::wire::{self, Forms, Message};
use crate::calendar::trading_day;
use crate::clock;
use crate::error::Error;
use crate::feed::link::{self, Backoff, State, Switch};
use crate::feed::socket::{Ended, Frame, Socket};
use crate::json::Fields;
use crate::redact;
use crate::reply::Reply;
use crate::session::Trade;
use crate::status::Status;
use crate::transport::Settings;

/// What the feed needs of its client.
pub(crate) trait Account: Send + Sync + 'static {
    fn settings(&self) -> &Settings;
    /// The session in force, if it is of a generation that has this feed.
    fn session(&self) -> Option<Arc<Trade>>;
    /// Changes with every new session, and when there is none any more.
    fn logins(&self) -> watch::Receiver<u64>;
    /// Where the feed of a session is.
    fn endpoint(&self, session: &Trade) -> Result<Url, String>;
    /// Which form of the login to use.
    fn forms(&self) -> &Forms;
    /// Reads the order book, then the trade book. Blocks; ends early when
    /// `cancel` is turned off.
    fn books(&self, cancel: &Switch) -> Result<[Reply; 2], Error>;
}

/// The options of `kneo_order_feed_open`.
pub(crate) struct Options {
    heartbeat: Duration,
    acknowledgement: Duration,
    first_wait: Duration,
    longest_wait: Duration,
    source: String,
}

impl Options {
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let text = if text.trim().is_empty() { "{}" } else { text };
        let mut fields = Fields::parse("options_json", text)?;
        let mut time = |key: &str, least: u64, usual: u64| {
            let given = fields.integer(key, least..=600_000)?;
            Ok::<_, Error>(Duration::from_millis(given.unwrap_or(usual)))
        };
        let options = Self {
            heartbeat: time("ping_interval_ms", 100, 5_000)?,
            acknowledgement: time("login_timeout_ms", 100, 10_000)?,
            first_wait: time("reconnect_first_ms", 10, 500)?,
            longest_wait: time("reconnect_cap_ms", 10, 30_000)?,
            source: fields.text("source")?.unwrap_or_else(|| "WEB".to_owned()),
        };
        let fits = options.source.bytes().all(|b| b.is_ascii_alphanumeric());
        if !fits || !(1..=16).contains(&options.source.len()) {
            return Err(fields.problem("source", "must be 1 to 16 letters and digits"));
        }
        fields.finish()?;
        Ok(options)
    }

    fn describe(&self) -> String {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        json!({
            "ping_interval_ms": ms(self.heartbeat),
            "login_timeout_ms": ms(self.acknowledgement),
            "reconnect_first_ms": ms(self.first_wait),
            "reconnect_cap_ms": ms(self.longest_wait),
            "source": self.source,
        })
        .to_string()
    }
}

/// What a feed tells of itself.
struct Facts {
    state: State,
    since: Instant,
    reason: String,
    code: Option<u16>,
    connections: u64,
    messages: u64,
    /// What a reader who was too slow has not been told; the books have it.
    dropped: u64,
    /// What told nothing new: repeated, late, out of order.
    stale: u64,
    orders: usize,
    books_read: u64,
    books_failed: u64,
    /// Whether the books have been merged since the last gap.
    reconciled: bool,
}

struct Shared {
    queue: Queue,
    facts: Mutex<Facts>,
    switch: Arc<Switch>,
}

impl Shared {
    fn new(capacity: usize, switch: Arc<Switch>) -> Self {
        Self {
            queue: Queue::new(capacity),
            facts: Mutex::new(Facts {
                state: State::Connecting,
                since: Instant::now(),
                reason: String::new(),
                code: None,
                connections: 0,
                messages: 0,
                dropped: 0,
                stale: 0,
                orders: 0,
                books_read: 0,
                books_failed: 0,
                reconciled: false,
            }),
            switch,
        }
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A feed. It ends when it is dropped.
pub(crate) struct Feed(Arc<Shared>);

impl Feed {
    /// Starts a feed on a thread of its own.
    pub(crate) fn start(
        account: impl Account,
        options: Options,
        switch: Arc<Switch>,
    ) -> Result<(Self, String), Error> {
        let described = options.describe();
        let shared = Arc::new(Shared::new(CAPACITY, Arc::clone(&switch)));
        let logins = account.logins();
        let worker = Worker::new(account, logins, options, Arc::clone(&shared));
        let last = Arc::clone(&shared);
        let ended = move |panicked: bool| {
            if panicked {
                let why = "a defect in this library has ended the order feed; please report it";
                last.queue.close(Status::Internal, why);
            } else {
                last.queue.close(Status::Closed, CLOSED);
            }
        };
        link::spawn("kneo-orders", switch, worker.run(), ended).map_err(|error| {
            let message = format!("no thread could be made for the feed: {error}");
            Error::new(Status::Internal, message)
        })?;
        Ok((Self(shared), described))
    }

    pub(crate) fn next(&self, timeout: Duration) -> Result<String, Error> {
        self.0.queue.next(timeout)
    }

    pub(crate) fn status(&self) -> String {
        let facts = self.0.facts();
        let since = u64::try_from(facts.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        json!({
            "state": facts.state.name(),
            "reason": facts.reason,
            "close_code": facts.code,
            "state_for_ms": since,
            "connections": facts.connections,
            "messages": facts.messages,
            "queued": self.0.queue.len(),
            "last_seq": self.0.queue.last_number(),
            "dropped": facts.dropped,
            "stale_rows": facts.stale,
            "orders": facts.orders,
            "books_read": facts.books_read,
            "books_failed": facts.books_failed,
            "reconciled": facts.reconciled,
        })
        .to_string()
    }

    pub(crate) fn close(&self) {
        self.0.switch.turn_off();
        self.0.queue.close(Status::Closed, CLOSED);
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.close();
    }
}

const CLOSED: &str = "the order feed or its client was closed";

struct Worker<A> {
    account: Arc<A>,
    logins: watch::Receiver<u64>,
    options: Options,
    backoff: Backoff,
    /// A refusal may be a mistake, so the same session is tried again; but
    /// rarely, for the broker has said no.
    rarely: Backoff,
    shared: Arc<Shared>,
    merge: Merge,
    /// How often it was tried since a connection lasted.
    tries: u32,
    /// Whose orders are merged.
    owner: Option<String>,
}

/// How a connection ended.
struct Gone {
    ended: Ended,
    refused: bool,
    /// Whether the server could read the login, as far as it said.
    understood: bool,
}

impl Gone {
    fn down(ended: Ended) -> Self {
        Self {
            refused: ended.is_refusal(),
            ended,
            understood: true,
        }
    }

    fn refused(words: impl Into<String>) -> Self {
        Self {
            ended: Ended::new(None, words),
            refused: true,
            understood: true,
        }
    }
}

/// Whether the other side lives.
#[derive(Default)]
struct Life {
    /// A ping was sent, and nothing came since.
    asked: bool,
    /// A ping was answered on this connection. A server that never answered
    /// one may not know how.
    answers: bool,
}

impl Life {
    fn heard(&mut self) {
        self.asked = false;
    }

    /// Seen when the next ping is due.
    fn is_over(&self) -> bool {
        self.asked && self.answers
    }
}

/// Books that are being read. Dropping it ends the reading.
struct Reading {
    cancel: Arc<Switch>,
    answer: JoinHandle<Result<[Reply; 2], Error>>,
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.cancel.turn_off();
    }
}

impl<A: Account> Worker<A> {
    async fn run(mut self) {
        loop {
            let session = self.account.session();
            let mut gone = match &session {
                Some(session) => self.connection(session).await,
                None => Gone::refused("there is no trade session; log in"),
            };
            self.shared.facts().reconciled = false;
            let state = match gone.refused {
                true => State::Refused,
                false => State::Down,
            };
            let wait = match &session {
                None => None,
                Some(session) => {
                    gone.ended.reason = brief(&gone.ended.reason, session);
                    Some(self.wait_after(&gone, session))
                }
            };
            self.tries = self.tries.saturating_add(1);
            self.tell_state(state, &gone.ended, wait);
            self.pause(wait.unwrap_or_default(), session.as_ref()).await;
        }
    }

    fn wait_after(&mut self, gone: &Gone, session: &Arc<Trade>) -> Duration {
        if !self.is_current(session) {
            Duration::ZERO
        } else if gone.refused {
            self.rarely.next()
        } else {
            self.backoff.next()
        }
    }

    /// Waits for the next try. A new session is a reason to try at once; with
    /// none there is nothing to try.
    async fn pause(&mut self, wait: Duration, before: Option<&Arc<Trade>>) {
        let mut due = std::pin::pin!(tokio::time::sleep(wait));
        let mut over = false;
        loop {
            self.logins.mark_unchanged();
            let now = self.account.session();
            let changed = match (&now, before) {
                (Some(now), Some(before)) => !Arc::ptr_eq(now, before),
                (None, None) => false,
                // There is one now, or there is none any more.
                (Some(_), None) | (None, Some(_)) => true,
            };
            if changed || (over && now.is_some()) {
                return;
            }
            tokio::select! {
                () = &mut due, if !over => over = true,
                // The account outlives its feed, so there is a sender.
                _ = self.logins.changed() => {}
            }
        }
    }

    /// One connection, from the first byte to its end.
    async fn connection(&mut self, session: &Arc<Trade>) -> Gone {
        if session.ucc != self.owner {
            // Another account: its orders have nothing to do with those before.
            self.merge = Merge::on(today());
            self.owner.clone_from(&session.ucc);
        }
        self.tell_state(State::Connecting, &Ended::new(None, ""), None);
        let url = match self.account.endpoint(session) {
            Ok(url) => url,
            Err(problem) => return Gone::down(Ended::new(None, problem)),
        };
        let mut socket = match Socket::open(self.account.settings(), &url).await {
            Ok(socket) => socket,
            Err(ended) => return Gone::down(ended),
        };
        self.shared.facts().connections += 1;
        let gone = self.talk(&mut socket, session).await;
        socket.close().await;
        gone
    }

    async fn talk(&mut self, socket: &mut Socket, session: &Arc<Trade>) -> Gone {
        let form = self.account.forms().next();
        let words = format!("login sent ({} form)", form.name());
        self.tell_state(State::Authenticating, &Ended::new(None, words), None);
        let mut login = wire::login(form, &session.token, &session.sid, &self.options.source);
        let wait = self.options.acknowledgement;
        let sent = socket.send(std::mem::take(&mut *login));
        if let Err(ended) = within(wait, sent).await {
            return Gone::down(ended);
        }
        let answer = tokio::time::timeout(wait, self.acknowledgement(socket, session));
        let first = match answer.await {
            Ok(Ok(first)) => first,
            Ok(Err(gone)) => {
                // A refusal was read and understood; anything else may mean
                // that the other form is wanted.
                if !gone.refused {
                    self.account.forms().failed(form, gone.understood);
                }
                return gone;
            }
            Err(_) => {
                self.account.forms().failed(form, true);
                let words = format!(
                    "the login was not acknowledged within {} ms ({} form)",
                    wait.as_millis(),
                    form.name()
                );
                return Gone::down(Ended::new(None, words));
            }
        };
        self.account.forms().worked(form);
        self.tell_state(State::Live, &Ended::new(None, "login confirmed"), None);
        if let Some(text) = first {
            self.take(&text, session);
        }
        let since = Instant::now();
        let gone = self.live(socket, session).await;
        if since.elapsed() >= self.options.heartbeat {
            self.backoff.reset();
            self.tries = 0;
        }
        gone
    }

    /// Waits until the login is confirmed. An order or a position proves it
    /// as well, and is given back.
    async fn acknowledgement(
        &self,
        socket: &mut Socket,
        session: &Trade,
    ) -> Result<Option<String>, Gone> {
        loop {
            let text = match socket.next().await.map_err(Gone::down)? {
                Frame::Text(text) => text.as_str().to_owned(),
                Frame::Binary(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                Frame::Pong => continue,
            };
            match wire::read(&text) {
                Message::Accepted => return Ok(None),
                Message::Refused(words) => return Err(Gone::refused(words)),
                Message::NotUnderstood(words) => {
                    let mut gone = Gone::down(Ended::new(None, words));
                    gone.understood = false;
                    return Err(gone);
                }
                Message::Order(_) | Message::Position(_) => return Ok(Some(text)),
                Message::Other => self.tell_message(&text, session),
            }
        }
    }

    async fn live(&mut self, socket: &mut Socket, session: &Arc<Trade>) -> Gone {
        let shared = Arc::clone(&self.shared);
        let mut beat = tokio::time::interval(self.options.heartbeat);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut life = Life::default();
        let mut reading: Option<Reading> = None;
        let mut wanted = true;
        let mut next_reading = tokio::time::Instant::now();
        let mut patience = Backoff::new(self.options.first_wait, self.options.longest_wait);
        loop {
            let overflowed = shared.queue.is_overflowed();
            if overflowed {
                // What is dropped meanwhile is in the books that are read
                // when the reader has caught up.
                wanted = true;
                reading = None;
            }
            let due = wanted && !overflowed && reading.is_none();
            tokio::select! {
                frame = socket.next() => {
                    life.heard();
                    match frame {
                        Ok(Frame::Text(text)) => {
                            if let Some(gone) = self.take(&text, session) {
                                return gone;
                            }
                        }
                        Ok(Frame::Binary(bytes)) => {
                            let text = String::from_utf8_lossy(&bytes);
                            if let Some(gone) = self.take(&text, session) {
                                return gone;
                            }
                        }
                        Ok(Frame::Pong) => life.answers = true,
                        Err(ended) => return Gone::down(ended),
                    }
                }
                answer = answer_of(&mut reading) => {
                    reading = None;
                    if !self.is_current(session) {
                        return other_session();
                    }
                    match answer.and_then(|books| self.merge_books(&books)) {
                        Ok(complete) => {
                            wanted = !complete;
                            patience.reset();
                        }
                        Err(error) => {
                            let wait = patience.next();
                            next_reading = tokio::time::Instant::now() + wait;
                            self.tell_failed_books(&error, wait);
                        }
                    }
                }
                () = tokio::time::sleep_until(next_reading), if due => {
                    reading = Some(self.begin_reading());
                }
                _ = self.logins.changed() => {
                    if !self.is_current(session) {
                        return other_session();
                    }
                }
                () = shared.queue.drained.notified(), if overflowed => {
                    shared.queue.resume();
                }
                _ = beat.tick() => {
                    if !self.is_current(session) {
                        return other_session();
                    }
                    if self.merge.enter(today()) {
                        // The orders of the day before are gone from the books.
                        wanted = true;
                    }
                    if life.is_over() {
                        let ms = self.options.heartbeat.as_millis();
                        let words = format!("no answer to a ping within {ms} ms");
                        return Gone::down(Ended::new(None, words));
                    }
                    if let Err(ended) = within(self.options.heartbeat, socket.ping()).await {
                        return Gone::down(ended);
                    }
                    life.asked = true;
                }
            }
        }
    }

    fn is_current(&self, session: &Arc<Trade>) -> bool {
        let now = self.account.session();
        now.is_some_and(|now| Arc::ptr_eq(&now, session))
    }

    fn begin_reading(&self) -> Reading {
        let cancel = Arc::new(Switch::default());
        let (account, stop) = (Arc::clone(&self.account), Arc::clone(&cancel));
        Reading {
            cancel,
            answer: tokio::task::spawn_blocking(move || account.books(&stop)),
        }
    }
}

impl<A> Worker<A> {
    fn new(
        account: A,
        logins: watch::Receiver<u64>,
        options: Options,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            account: Arc::new(account),
            logins,
            backoff: Backoff::new(options.first_wait, options.longest_wait),
            rarely: Backoff::new(options.longest_wait * 2, options.longest_wait * 2),
            options,
            shared,
            merge: Merge::on(today()),
            tries: 0,
            owner: None,
        }
    }

    /// Takes one message of the live feed.
    fn take(&mut self, text: &str, session: &Trade) -> Option<Gone> {
        self.shared.facts().messages += 1;
        match wire::read(text) {
            Message::Order(row) => {
                self.take_order(row, Origin::Live);
            }
            Message::Position(row) => {
                if !self.shared.queue.has_room() {
                    self.shared.facts().dropped += 1;
                } else if self.merge.position(row) {
                    let row = row.get();
                    let members =
                        format!(r#""type":"position","origin":"live",{},"data":{row}"#, at());
                    self.shared.queue.event(members);
                } else {
                    self.shared.facts().stale += 1;
                }
            }
            // Said again; nothing new.
            Message::Accepted => {}
            Message::Refused(words) => return Some(Gone::refused(words)),
            Message::NotUnderstood(_) | Message::Other => self.tell_message(text, session),
        }
        None
    }

    /// Tells what a row says that is new; `false` if there is no room.
    fn take_order(&mut self, row: &RawValue, origin: Origin) -> bool {
        if !self.shared.queue.has_room() {
            self.shared.facts().dropped += 1;
            return false;
        }
        let step = self.merge.order(row, origin);
        let mut facts = self.shared.facts();
        facts.orders = self.merge.orders();
        match step {
            Some(step) => self.shared.queue.event(order_event(&step, row, origin)),
            None if origin == Origin::Live => facts.stale += 1,
            None => {}
        }
        true
    }

    /// Tells what the books say that is new; `false` if there was no room for
    /// all of it.
    fn merge_books(&mut self, books: &[Reply; 2]) -> Result<bool, Error> {
        let [orders, trades] = books.each_ref().map(|book| wire::rows(book.json()));
        let (Some(orders), Some(trades)) = (orders, trades) else {
            let message = "a book has no list of rows";
            return Err(Error::new(Status::Protocol, message));
        };
        self.merge.enter(today());
        // The fills first: a trade tells more than the sum in an order's row.
        for row in &trades {
            if !self.shared.queue.has_room() {
                return Ok(false);
            }
            if let Some(fill) = self.merge.trade(row) {
                self.shared.queue.event(trade_event(&fill, row));
            }
        }
        for row in &orders {
            if !self.take_order(row, Origin::Recovered) {
                return Ok(false);
            }
        }
        self.merge.forget_earlier_days();
        let mut facts = self.shared.facts();
        facts.orders = self.merge.orders();
        facts.books_read += 1;
        facts.reconciled = true;
        drop(facts);
        let members = format!(
            r#""type":"books","ok":true,{},"orders":{},"trades":{}"#,
            at(),
            orders.len(),
            trades.len()
        );
        self.shared.queue.notice(members);
        Ok(true)
    }

    fn tell_failed_books(&self, error: &Error, wait: Duration) {
        self.shared.facts().books_failed += 1;
        let members = format!(
            r#""type":"books","ok":false,{},"status":"{}","reason":{},"retry_in_ms":{}"#,
            at(),
            error.status().name(),
            quoted(error.message()),
            wait.as_millis()
        );
        self.shared.queue.notice(members);
    }

    fn tell_state(&self, state: State, ended: &Ended, wait: Option<Duration>) {
        let mut facts = self.shared.facts();
        facts.state = state;
        facts.since = Instant::now();
        facts.reason.clone_from(&ended.reason);
        facts.code = ended.code;
        drop(facts);
        let number = |value: Option<u128>| value.map_or("null".to_owned(), |n| n.to_string());
        let members = format!(
            r#""type":"state","state":"{}",{},"reason":{},"close_code":{},"http_status":{},"retry_in_ms":{},"attempt":{}"#,
            state.name(),
            at(),
            quoted(&ended.reason),
            number(ended.code.map(Into::into)),
            number(ended.http_status.map(Into::into)),
            number(wait.map(|wait| wait.as_millis())),
            self.tries
        );
        self.shared.queue.notice(members);
    }

    /// Passes on what is neither order nor position.
    fn tell_message(&self, text: &str, session: &Trade) {
        if !self.shared.queue.has_room() {
            self.shared.facts().dropped += 1;
            return;
        }
        let text = quoted(&masked(text, session));
        let members = format!(r#""type":"message","origin":"live",{},"raw":{text}"#, at());
        self.shared.queue.event(members);
    }
}

/// A server that takes nothing any more must not hold the feed up.
async fn within(
    limit: Duration,
    work: impl Future<Output = Result<(), Ended>>,
) -> Result<(), Ended> {
    let late = |_| Ended::new(Some(1006), "the server takes nothing any more");
    tokio::time::timeout(limit, work).await.map_err(late)?
}

/// The worker of a feed without a connection, which takes what it is given.
pub(crate) struct Unconnected(Worker<()>);

impl Unconnected {
    /// A feed that keeps `capacity` events for its reader.
    pub(crate) fn new(capacity: usize) -> Result<(Self, Feed), Error> {
        let shared = Arc::new(Shared::new(capacity, Arc::default()));
        let (_, logins) = watch::channel(0);
        let worker = Worker::new((), logins, Options::parse("")?, Arc::clone(&shared));
        Ok((Self(worker), Feed(shared)))
    }

    /// Takes one message; gives why the connection would end.
    pub(crate) fn take(&mut self, text: &str, session: &Trade) -> Option<String> {
        self.0.shared.queue.resume();
        let gone = self.0.take(text, session)?;
        Some(brief(&gone.ended.reason, session))
    }

    /// Takes order book and trade book.
    pub(crate) fn books(&mut self, books: &[Reply; 2]) -> Result<bool, Error> {
        self.0.shared.queue.resume();
        self.0.merge_books(books)
    }
}

/// Books of one session must never be merged with events of another.
fn other_session() -> Gone {
    let words = "the session of this connection is no longer in force";
    Gone::down(Ended::new(None, words))
}

async fn answer_of(reading: &mut Option<Reading>) -> Result<[Reply; 2], Error> {
    match reading {
        None => std::future::pending().await,
        Some(reading) => (&mut reading.answer).await.unwrap_or_else(|_| {
            let message = "a defect in this library, while the books were read";
            Err(Error::new(Status::Internal, message))
        }),
    }
}

fn order_event(step: &Step, row: &RawValue, origin: Origin) -> String {
    let optional = |text: Option<&str>| text.map_or("null".to_owned(), quoted);
    let mut members = format!(
        r#""type":"order","origin":"{}",{},"order":{},"state":"{}","state_text":{},"previous":{},"filled":{},"fill_quantity":{}"#,
        match origin {
            Origin::Live => "live",
            Origin::Recovered => "recovered",
        },
        at(),
        optional(step.order.as_deref()),
        step.state,
        optional(step.words.as_deref()),
        optional(step.previous),
        step.filled.map_or("null".to_owned(), |n| n.to_string()),
        step.fill,
    );
    if step.skipped {
        members.push_str(r#","skipped":true"#);
    }
    if step.late {
        members.push_str(r#","late":true"#);
    }
    members.push_str(r#","data":"#);
    members.push_str(row.get());
    members
}

fn trade_event(fill: &Fill, row: &RawValue) -> String {
    format!(
        r#""type":"trade","origin":"recovered",{},"order":{},"trade":{},"quantity":{},"fill_quantity":{},"data":{}"#,
        at(),
        quoted(&fill.order),
        fill.trade.as_deref().map_or("null".to_owned(), quoted),
        fill.quantity,
        fill.fill,
        row.get()
    )
}

/// The day in India.
fn today() -> u64 {
    trading_day(clock::unix_seconds())
}

/// When it was told, in milliseconds since 1970.
fn at() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    format!(r#""at_ms":{}"#, now.unwrap_or_default().as_millis())
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The beginning of the server's words: a reason is a sentence.
fn brief(words: &str, session: &Trade) -> String {
    masked(words, session).chars().take(200).collect()
}

/// The server's words without the secrets of the session.
fn masked(text: &str, session: &Trade) -> String {
    let known = [session.token.expose(), session.sid.expose()];
    redact::secrets(text, &known).into_owned()
}
