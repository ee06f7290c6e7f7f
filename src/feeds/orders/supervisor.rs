//! Keeps the connection of an order feed up, for ever, and reads the books.
//!
//! Live events are told at once. The books are read as soon as a login is
//! confirmed, so that everything before that moment is in them, and are merged
//! with what came since.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::sync::{oneshot, watch};
use url::Url;

use super::OrderFeed;
use super::event;
use super::merge::{Merge, Origin};
use super::options::Options;
use super::shared::Shared;
use super::wire::{self, Form, Forms, Message};
use crate::base::calendar::trading_day;
use crate::base::clock;
use crate::base::error::Error;
use crate::base::redact::Known;
use crate::base::reply::Reply;
use crate::base::secret::Secret;
use crate::base::status::Status;
use crate::base::words;
use crate::broker::order_book;
use crate::broker::session::Trade;
use crate::feeds::link::{Retries, Switch, brief, no_thread, other_session, refusal};
use crate::feeds::socket::{Ended, Frame, Socket, within};
use crate::feeds::state::{Change, State};
use crate::transport::{Settings, beside};

/// Who is told of the rows of orders that come live, beside the reader.
pub(crate) trait Witness {
    /// `owner` is the user of the session.
    fn sees(&self, owner: Option<&str>, row: &RawValue);
}

impl Witness for () {
    fn sees(&self, _owner: Option<&str>, _row: &RawValue) {}
}

/// What the feed needs of its client.
pub(crate) trait Account: Witness + Send + Sync + 'static {
    fn settings(&self) -> &Settings;
    /// The session in force, if it is of a generation that has this feed.
    fn session(&self) -> Option<Arc<Trade>>;
    /// Changes with every new session, and when there is none any more.
    fn logins(&self) -> watch::Receiver<u64>;
    /// Where the feed of a session is.
    fn endpoint(&self, session: &Trade) -> Result<Url, String>;
    /// Which form of the login to use.
    fn forms(&self) -> &Forms;
    /// Whether the token of a session says that its time is over.
    fn is_over(&self, session: &Trade) -> bool;
    /// What no event of a session may show.
    fn secrets(&self, session: &Trade) -> Vec<Secret>;
    /// Reads the order book, then the trade book. Blocks; ends early when
    /// `cancel` is turned off.
    fn books(&self, cancel: &Switch) -> Result<[Reply; 2], Error>;
}

/// Owns the socket.
pub(super) struct Supervisor<A> {
    account: Arc<A>,
    logins: watch::Receiver<u64>,
    retries: Retries,
    tries: Tries,
    shared: Arc<Shared>,
    merge: Merge,
    /// Whose orders are merged.
    owner: Option<String>,
    /// What no event may show.
    known: Known,
}

/// How a connection ended.
struct Gone {
    ended: Ended,
    refused: bool,
    /// The other form of the login has its turn now.
    at_once: bool,
}

impl Gone {
    fn down(ended: Ended) -> Self {
        Self {
            refused: ended.is_refusal(),
            ended,
            at_once: false,
        }
    }

    fn refused(words: impl Into<String>) -> Self {
        Self {
            ended: Ended::new(None, words),
            refused: true,
            at_once: false,
        }
    }
}

/// Why a login was not confirmed.
enum Unconfirmed {
    /// The connection ended before.
    Gone(Ended),
    /// The server said no.
    No {
        words: String,
        /// It could read the login, as far as it said.
        understood: bool,
    },
}

/// The forms in which the login of a session was sent without an `ok` since. One
/// refusal alone may be about the form, whatever its words are, so both are tried
/// before a session counts as refused.
#[derive(Default)]
struct Tries {
    raw: bool,
    json: bool,
    /// The one to use now: the server has refused the other.
    next: Option<Form>,
    /// Why a login that could be read was refused.
    words: Option<String>,
}

impl Tries {
    fn failed(&mut self, form: Form) {
        match form {
            Form::Raw => self.raw = true,
            Form::Json => self.json = true,
        }
        self.next = None;
    }

    /// The server said no to this form.
    fn refused(&mut self, form: Form, words: String, understood: bool) -> Gone {
        self.failed(form);
        if understood {
            self.words = Some(words.clone());
        }
        if self.raw && self.json {
            let all = std::mem::take(self);
            return Gone::refused(all.words.unwrap_or(words));
        }
        let other = form.other();
        self.next = Some(other);
        let (name, other) = (form.name(), other.name());
        let words = format!("{words} ({name} form); the {other} form is next");
        Gone {
            at_once: true,
            ..Gone::down(Ended::new(None, words))
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
    answer: oneshot::Receiver<Result<[Reply; 2], Error>>,
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.cancel.turn_off();
    }
}

impl<A: Account> Supervisor<A> {
    /// Connects for ever.
    pub(super) async fn run(mut self) {
        let mut before: Option<Arc<Trade>> = None;
        loop {
            let session = self.account.session();
            if before.as_ref().map(Arc::as_ptr) != session.as_ref().map(Arc::as_ptr) {
                self.tries = Tries::default();
            }
            before.clone_from(&session);
            let wait = match &session {
                Some(session) => {
                    let gone = self.connection(session).await;
                    Some(self.tell_end(&gone, session))
                }
                None => {
                    self.tell(State::Refused, "there is no trade session; log in");
                    None
                }
            };
            self.pause(wait.unwrap_or_default(), session.as_ref()).await;
        }
    }

    /// Tells the end of a connection; gives when to connect again.
    fn tell_end(&mut self, gone: &Gone, session: &Arc<Trade>) -> Duration {
        self.shared.facts().reconciled = false;
        let words = &gone.ended.reason;
        if gone.at_once {
            // Nothing is lost yet, and nothing refused.
            self.tell(State::Connecting, words);
            return Duration::ZERO;
        }
        let (state, reason) = match gone.refused {
            true => {
                let is_over = self.account.is_over(session);
                (State::Refused, refusal(words, is_over))
            }
            false => (State::Down, words.clone()),
        };
        let is_same = self.is_current(session);
        let wait = self.retries.after(gone.refused, is_same);
        self.change(Change::after(&gone.ended, state, reason).retry_in(Some(wait)));
        wait
    }

    /// Waits for the next try. A new session is a reason to try at once; with
    /// none there is nothing to try.
    async fn pause(&mut self, wait: Duration, before: Option<&Arc<Trade>>) {
        let mut due = pin!(clock::sleep(wait));
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
        self.known = Known::new(self.account.secrets(session).iter().map(Secret::expose));
        let url = match self.account.endpoint(session) {
            Ok(url) => url,
            Err(problem) => return Gone::down(Ended::new(None, problem)),
        };
        let host = url.host_str().unwrap_or("");
        self.tell(State::Connecting, &format!("connecting to {host}"));
        let mut socket = match Socket::open(self.account.settings(), &url).await {
            Ok(socket) => socket,
            Err(ended) => return Gone::down(ended),
        };
        self.shared.counters.connected();
        let gone = self.talk(&mut socket, session).await;
        socket.close().await;
        gone
    }

    async fn talk(&mut self, socket: &mut Socket, session: &Arc<Trade>) -> Gone {
        let form = self
            .tries
            .next
            .unwrap_or_else(|| self.account.forms().next());
        self.tell(
            State::Authenticating,
            &format!("logging in ({} form)", form.name()),
        );
        let options = &self.shared.options;
        let mut login = wire::login(form, &session.token, &session.sid, &options.source);
        let wait = options.times.login;
        let sent = socket.send(std::mem::take(&mut *login));
        if let Err(ended) = within(wait, sent).await {
            return Gone::down(ended);
        }
        let answer = clock::timeout(wait, self.acknowledgement(socket));
        let first = match answer.await {
            Ok(Ok(first)) => first,
            Ok(Err(Unconfirmed::No { words, understood })) => {
                if !understood {
                    self.account.forms().failed(form, false);
                }
                return self.tries.refused(form, words, understood);
            }
            Ok(Err(Unconfirmed::Gone(ended))) => {
                // It may mean that the other form is wanted.
                self.account.forms().failed(form, true);
                self.tries.failed(form);
                return Gone::down(ended);
            }
            Err(_) => {
                self.account.forms().failed(form, true);
                self.tries.failed(form);
                let words = format!(
                    "the login was not acknowledged within {} ms ({} form)",
                    wait.as_millis(),
                    form.name()
                );
                return Gone::down(Ended::new(None, words));
            }
        };
        self.tries = Tries::default();
        self.account.forms().worked(form);
        self.tell(State::Live, "logged in");
        if let Some(text) = first {
            self.take(&text);
        }
        let since = clock::now();
        let gone = self.live(socket, session).await;
        if since.elapsed() >= self.shared.options.times.ping {
            self.retries.lasted();
        }
        self.shared.counters.lost();
        gone
    }

    /// Waits until the login is confirmed. An order or a position proves it
    /// as well, and is given back.
    async fn acknowledgement(&self, socket: &mut Socket) -> Result<Option<String>, Unconfirmed> {
        let no = |words, understood| Err(Unconfirmed::No { words, understood });
        loop {
            let text = match socket.next().await.map_err(Unconfirmed::Gone)? {
                Frame::Text(text) => text.as_str().to_owned(),
                Frame::Binary(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                Frame::Pong => continue,
            };
            self.shared.counters.frame();
            match wire::read(&text) {
                Message::Accepted => return Ok(None),
                Message::Refused(words) => return no(words, true),
                Message::NotUnderstood(words) => return no(words, false),
                Message::Order(_) | Message::Position(_) => return Ok(Some(text)),
                Message::Other => self.tell_message(&text),
            }
        }
    }

    async fn live(&mut self, socket: &mut Socket, session: &Arc<Trade>) -> Gone {
        let shared = Arc::clone(&self.shared);
        let ping = shared.options.times.ping;
        // At once: whether pongs come at all is worth knowing early.
        let mut beat = pin!(clock::sleep(Duration::ZERO));
        let mut life = Life::default();
        let mut reading: Option<Reading> = None;
        let mut wanted = true;
        let mut next_reading = clock::now();
        let mut patience = shared.options.times.backoff();
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
                            shared.counters.frame();
                            if let Some(gone) = self.take(&text) {
                                return gone;
                            }
                        }
                        Ok(Frame::Binary(bytes)) => {
                            shared.counters.frame();
                            let text = String::from_utf8_lossy(&bytes);
                            if let Some(gone) = self.take(&text) {
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
                        return Gone::down(other_session());
                    }
                    match answer.and_then(|books| self.merge_books(&books)) {
                        Ok(complete) => {
                            wanted = !complete;
                            patience.reset();
                        }
                        Err(error) => {
                            let wait = patience.next();
                            next_reading = clock::now() + wait;
                            self.tell_failed_books(&error, wait);
                        }
                    }
                }
                () = clock::sleep_until(next_reading), if due => {
                    match self.begin_reading() {
                        Ok(begun) => reading = Some(begun),
                        Err(error) => {
                            let wait = patience.next();
                            next_reading = clock::now() + wait;
                            self.tell_failed_books(&error, wait);
                        }
                    }
                }
                _ = self.logins.changed() => {
                    if !self.is_current(session) {
                        return Gone::down(other_session());
                    }
                }
                () = shared.queue.drained.notified(), if overflowed => {
                    shared.queue.resume();
                }
                () = &mut beat => {
                    beat.set(clock::sleep(ping));
                    if !self.is_current(session) {
                        return Gone::down(other_session());
                    }
                    if self.merge.enter(today()) {
                        // The orders of the day before are gone from the books.
                        wanted = true;
                    }
                    if life.is_over() {
                        let words = format!("no answer to a ping in {} ms", ping.as_millis());
                        return Gone::down(Ended::new(None, words));
                    }
                    if let Err(ended) = within(ping, socket.ping()).await {
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

    fn begin_reading(&self) -> Result<Reading, Error> {
        let cancel = Arc::new(Switch::default());
        let (account, stop) = (Arc::clone(&self.account), Arc::clone(&cancel));
        let answer = beside("kneo-books", move || account.books(&stop));
        let answer = answer.map_err(no_thread)?;
        Ok(Reading { cancel, answer })
    }
}

impl<A: Witness> Supervisor<A> {
    pub(super) fn new(account: A, logins: watch::Receiver<u64>, shared: Arc<Shared>) -> Self {
        Self {
            account: Arc::new(account),
            logins,
            retries: shared.options.times.retries(),
            tries: Tries::default(),
            shared,
            merge: Merge::on(today()),
            owner: None,
            known: Known::default(),
        }
    }

    /// Takes one message of the live feed.
    fn take(&mut self, text: &str) -> Option<Gone> {
        match wire::read(text) {
            Message::Order(row) => {
                self.account.sees(self.owner.as_deref(), row);
                self.take_order(row, Origin::Live);
            }
            Message::Position(row) => {
                if !self.shared.queue.has_room() {
                    self.shared.facts().dropped += 1;
                } else if self.merge.position(row) {
                    self.shared.queue.event(event::position(row, &self.known));
                } else {
                    self.shared.facts().stale += 1;
                }
            }
            // Said again; nothing new.
            Message::Accepted => {}
            Message::Refused(words) => return Some(Gone::refused(words)),
            Message::NotUnderstood(_) | Message::Other => self.tell_message(text),
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
            Some(step) => self
                .shared
                .queue
                .event(event::order(&step, row, origin, &self.known)),
            None if origin == Origin::Live => facts.stale += 1,
            None => {}
        }
        true
    }

    /// Tells what the books say that is new; `false` if there was no room for
    /// all of it.
    fn merge_books(&mut self, books: &[Reply; 2]) -> Result<bool, Error> {
        let [orders, trades] = books.each_ref().map(|book| order_book::list(book.json()));
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
                self.shared
                    .queue
                    .event(event::trade(&fill, row, &self.known));
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
        let told = event::books(orders.len(), trades.len());
        self.shared.queue.notice(told);
        Ok(true)
    }

    fn tell_failed_books(&self, error: &Error, wait: Duration) {
        self.shared.facts().books_failed += 1;
        self.shared.queue.notice(event::failed_books(error, wait));
    }

    fn tell(&self, state: State, reason: &str) {
        self.change(Change::new(state, reason));
    }

    fn change(&self, mut change: Change) {
        // It may be the server's words.
        change.reason = brief(&change.reason, &self.known);
        let attempt = self.retries.attempt();
        self.shared.change(change.attempt(attempt));
    }

    /// Passes on what is neither order nor position.
    fn tell_message(&self, text: &str) {
        if !self.shared.queue.has_room() {
            self.shared.facts().dropped += 1;
            return;
        }
        let text = self.known.mask(text);
        let text = words::body(&text);
        self.shared.queue.event(event::message(&text));
    }
}

/// The supervisor of a feed without a connection, which takes what it is given.
pub(crate) struct Unconnected(Supervisor<()>);

impl Unconnected {
    /// A feed that keeps `capacity` events for its reader, and masks these secrets.
    pub(crate) fn new(capacity: usize, secrets: &[&str]) -> Result<(Self, OrderFeed), Error> {
        let shared = Arc::new(Shared::new(capacity, Options::parse(None)?));
        let (_, logins) = watch::channel(0);
        let mut supervisor = Supervisor::new((), logins, Arc::clone(&shared));
        supervisor.known = Known::new(secrets.iter().copied());
        Ok((Self(supervisor), OrderFeed::of(shared)))
    }

    /// Takes one message; gives why the connection would end.
    pub(crate) fn take(&mut self, text: &str) -> Option<String> {
        self.0.shared.queue.resume();
        let gone = self.0.take(text)?;
        Some(brief(&gone.ended.reason, &self.0.known))
    }

    /// Takes order book and trade book.
    pub(crate) fn books(&mut self, books: &[Reply; 2]) -> Result<bool, Error> {
        self.0.shared.queue.resume();
        self.0.merge_books(books)
    }
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

/// The day in India.
fn today() -> u64 {
    trading_day(clock::unix_seconds())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRETS: &[&str] = &["fake-token-0000", "fake-sid-0000"];
    const DAY_MS: i64 = 24 * 3600 * 1000;

    /// What waits to be read of one type.
    fn told(feed: &OrderFeed, kind: &str) -> Vec<serde_json::Value> {
        let events = std::iter::from_fn(|| feed.next(Duration::ZERO).ok());
        let events = events.map(|event| {
            serde_json::from_str::<serde_json::Value>(event.json()).expect("it is JSON")
        });
        events.filter(|event| event["type"] == kind).collect()
    }

    #[test]
    fn a_late_row_of_yesterday_is_not_told_again() {
        let (mut line, feed) = Unconnected::new(100, SECRETS).expect("the options are good");
        let row = r#"{"nOrdNo":"1","ordSt":"complete","fldQty":5,
            "ordDtTm":"27-Nov-2026 15:29:59"}"#;
        let frame = format!(r#"{{"type":"order","data":{row}}}"#);
        let book = |rows: &str| Reply::local(format!(r#"{{"data":[{rows}]}}"#));
        assert_eq!(line.take(&frame), None);
        assert_eq!(told(&feed, "order").len(), 1);
        for days in [1, 3] {
            let _later = clock::shifted(days * DAY_MS, days * DAY_MS);
            let complete = line.books(&[book(""), book("")]).expect("they are books");
            assert!(complete);
            assert_eq!(line.take(&frame), None);
            assert!(line.books(&[book(row), book("")]).expect("they are books"));
            assert_eq!(told(&feed, "order").len(), 0, "after {days} days");
        }
    }

    #[test]
    fn a_message_is_cut_when_it_is_masked() {
        let (mut line, feed) = Unconnected::new(100, SECRETS).expect("the options are good");
        let text = format!(
            "{} fake-token-0000 {}",
            "x".repeat(65_530),
            "y".repeat(900_000)
        );
        assert_eq!(line.take(&text), None);
        let events = told(&feed, "message");
        let raw = events[0]["raw"].as_str().expect("a text");
        let end = &raw[65_531..];
        assert_eq!(
            end,
            format!("*** y ... (cut; {} bytes in all)", 65_530 + 5 + 900_000)
        );
    }
}
