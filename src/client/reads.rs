//! Books, portfolio, market data: operations that change nothing.

use std::sync::Arc;

use serde_json::{Value, json};

use super::call::Call;
use super::exchange::{Place, Target};
use super::{Client, Inner};
use crate::base::error::Error;
use crate::base::json::Fields;
use crate::base::redact::Known;
use crate::base::reply::Reply;
use crate::base::status::Status;
use crate::base::words;
use crate::broker::hosts::Generation;
use crate::broker::operation::{self, Auth, Operation};
use crate::broker::order_book;
use crate::broker::params::{self, Common};
use crate::broker::reads::{
    self, Candles, Expect, Misspelt, NoRows, Parts, Quotes, QuotesOf, Rows,
};
use crate::broker::reasons::{Hint, Hints};
use crate::broker::session::Trade;
use crate::transport::Steps;

/// The key under which the meta of a call tells in which of its requests it ended.
const PART: &str = "part";

/// The operations whose answers have rows of orders.
const SHOW_ORDERS: [&str; 3] = [
    operation::ORDER_REPORT.name,
    operation::ORDER_HISTORY.name,
    operation::ORDER_OUTCOME.name,
];

/// So many rows of a book are looked at before the register takes them: far more than one
/// order has states.
const ROWS_AT_ONCE: usize = 1024;

impl Client {
    /// The address that the broker sees requests come from: the one to
    /// whitelist for orders. Generation 3.
    ///
    /// # Errors
    ///
    /// [`Status::NotLoggedIn`] without a trade session.
    pub fn whatsmyip(&self) -> Result<Reply, Error> {
        self.0.read_plain(&operation::WHATSMYIP, &Common::default())
    }

    /// The order book, or one order of it (generation 3). An empty book is
    /// `{"stat":"Ok","stCode":5203,"data":[]}`.
    ///
    /// # Errors
    ///
    /// [`Status::NotLoggedIn`] without a trade session.
    pub fn order_report(&self, order_id: Option<&str>) -> Result<Reply, Error> {
        self.0.order_report(&Common::default(), order_id)
    }

    /// The states that an order went through, newest first.
    ///
    /// # Errors
    ///
    /// [`Status::NotLoggedIn`] without a trade session.
    pub fn order_history(&self, order_id: &str) -> Result<Reply, Error> {
        self.0.order_history(&Common::default(), order_id)
    }

    /// The trade book.
    ///
    /// # Errors
    ///
    /// [`Status::NotLoggedIn`] without a trade session.
    pub fn trade_report(&self) -> Result<Reply, Error> {
        self.0
            .read_plain(&operation::TRADE_REPORT, &Common::default())
    }

    /// Positions of the day and carried forward.
    ///
    /// # Errors
    ///
    /// [`Status::NotLoggedIn`] without a trade session.
    pub fn positions(&self) -> Result<Reply, Error> {
        self.0.read_plain(&operation::POSITIONS, &Common::default())
    }

    /// Delivery holdings.
    ///
    /// # Errors
    ///
    /// [`Status::NotLoggedIn`] without a trade session.
    pub fn holdings(&self) -> Result<Reply, Error> {
        self.0.read_plain(&operation::HOLDINGS, &Common::default())
    }

    /// Funds and limits. `params`: `segment`, `exchange`, `product`, each
    /// `ALL` unless given.
    ///
    /// # Errors
    ///
    /// [`Status::NotLoggedIn`] without a trade session.
    pub fn limits(&self, params: Option<&str>) -> Result<Reply, Error> {
        let expect = Expect::Key("Net");
        self.0.read_params(
            &operation::LIMITS,
            params.unwrap_or_default(),
            expect,
            reads::limits,
        )
    }

    /// The margin that an order would need.
    ///
    /// # Errors
    ///
    /// [`Status::NotLoggedIn`] without a trade session;
    /// [`Status::InvalidArgument`] naming the parameter.
    pub fn margin_required(&self, params: &str) -> Result<Reply, Error> {
        let expect = Expect::Key("ordMrgn");
        self.0.read_params(
            &operation::MARGIN_REQUIRED,
            params,
            expect,
            reads::margin_required,
        )
    }

    /// Quotes of up to 3,000 instruments. Needs no login in generation 3.
    ///
    /// More than 49 are asked for in several requests, one after the other,
    /// within the one deadline; their rows are given as one list. If one of
    /// them fails, the call fails, and says which.
    ///
    /// # Errors
    ///
    /// [`Status::InvalidArgument`] naming the parameter.
    pub fn quotes(&self, params: &str) -> Result<Reply, Error> {
        let op = &operation::QUOTES;
        let (common, asked) = params::read(params, reads::quotes);
        self.0.call(op, &common, async |call| {
            self.0.ask_quotes(call, op, asked?).await
        })
    }

    /// Expiry dates of an underlying. Needs no login.
    ///
    /// # Errors
    ///
    /// [`Status::InvalidArgument`] naming the parameter.
    pub fn expiries(&self, params: &str) -> Result<Reply, Error> {
        let expect = Expect::Key("expiries");
        self.0
            .read_params(&operation::EXPIRIES, params, expect, reads::expiries)
    }

    /// Option or futures chain of an underlying. Needs no login.
    ///
    /// # Errors
    ///
    /// [`Status::InvalidArgument`] naming the parameter.
    pub fn option_chain(&self, params: &str) -> Result<Reply, Error> {
        self.0.read_params(
            &operation::OPTION_CHAIN,
            params,
            Expect::Data,
            reads::option_chain,
        )
    }

    /// Candles of an instrument. Needs no login. A range without any is an
    /// empty list.
    ///
    /// # Errors
    ///
    /// [`Status::InvalidArgument`] naming the parameter.
    pub fn historical_data(&self, params: &str) -> Result<Reply, Error> {
        let op = &operation::HISTORICAL_DATA;
        let (common, asked) = params::read(params, reads::historical_data);
        self.0.call(op, &common, async |call| {
            let Candles {
                parts,
                interval,
                misspelt,
            } = asked?;
            call.notes.borrow_mut().extend_from_slice(misspelt.notes());
            let answered = self.0.ask(call, op, Expect::Candles(interval), parts).await;
            answered.map_err(|error| explained(error, &misspelt))
        })
    }

    /// Where the scrip-master files of today are; with a segment, the URL of
    /// its file as `{"exchange_segment","url"}`. Needs no login in
    /// generation 3.
    ///
    /// # Errors
    ///
    /// [`Status::InvalidArgument`] for an unknown segment.
    pub fn scrip_master(&self, exchange_segment: Option<&str>) -> Result<Reply, Error> {
        self.0.scrip_master(&Common::default(), exchange_segment)
    }
}

impl Inner {
    /// Makes a read that has no parameters of its own.
    pub(super) fn read_plain(
        &self,
        op: &'static Operation,
        common: &Common,
    ) -> Result<Reply, Error> {
        self.read(op, common, Expect::Data, || Ok(Parts::default()))
    }

    /// Makes a read whose parameters are a JSON object.
    fn read_params(
        &self,
        op: &'static Operation,
        params: &str,
        expect: Expect,
        check: impl FnOnce(&mut Fields) -> Result<Parts, Error>,
    ) -> Result<Reply, Error> {
        let (common, parts) = params::read(params, check);
        self.read(op, &common, expect, || parts)
    }

    fn read(
        &self,
        op: &'static Operation,
        common: &Common,
        expect: Expect,
        parts: impl FnOnce() -> Result<Parts, Error> + Send,
    ) -> Result<Reply, Error> {
        self.call(op, common, async |call| {
            self.ask(call, op, expect, parts()?).await
        })
    }

    /// Remembers which orders of a book are after-market orders, and tells what is known of the
    /// reasons for which orders were rejected. In steps: a book may be large.
    async fn look_at_orders(
        &self,
        call: &Call,
        from: &'static str,
        account: Option<&str>,
        book: &str,
    ) {
        let all = self.register().knows_after_market();
        // Who settles an order, and the order feed, tell of the rows themselves.
        let tells = !call.is_urgent.get();
        let rows = order_book::list(book).unwrap_or_default();
        let (mut hints, mut steps) = (Hints::default(), Steps::new());
        for rows in rows.chunks(ROWS_AT_ONCE) {
            let rows = || rows.iter().map(|row| row.get());
            // What says that it is none matters of those only that were taken for some.
            let seen = rows().filter_map(order_book::seen);
            let seen: Vec<_> = seen.filter(|row| all || row.after_market).collect();
            if !seen.is_empty() {
                self.register().see(account, seen, from);
            }
            if tells {
                hints.add(rows());
            }
            steps.next().await;
        }
        self.tell_hints(call, &hints);
    }

    /// Tells what is known of the reasons for which orders were rejected. The rows stay as
    /// the broker wrote them.
    pub(super) fn tell_hints(&self, call: &Call, hints: &Hints) {
        if hints.list.is_empty() {
            return;
        }
        // Some reasons name the account, and what is told of a call goes into the log.
        let ucc = self.state().trade.as_ref().and_then(|it| it.ucc.clone());
        let shown = self.with_secrets(call, |known| {
            let known = Known::new(known.iter().copied().chain(ucc.as_deref()));
            let shown = |hint: &Hint| {
                // Masked before it is cut: a part of a secret would not be found.
                let reason = known.mask(&hint.reason);
                json!({
                    "order_id": hint.order_id,
                    "reason": words::message(&reason),
                    "hint": hint.hint,
                })
            };
            hints.list.iter().map(shown).collect::<Value>()
        });
        let mut extra = call.extra.borrow_mut();
        extra.insert("hints".to_owned(), shown);
        if hints.left_out > 0 {
            extra.insert("hints_left_out".to_owned(), hints.left_out.into());
        }
    }

    pub(super) fn order_report(
        &self,
        common: &Common,
        order_id: Option<&str>,
    ) -> Result<Reply, Error> {
        let Some(id) = order_id else {
            return self.read_plain(&operation::ORDER_REPORT, common);
        };
        self.read(&operation::ORDER_BY_ID, common, Expect::Data, || {
            params::order_id("order_id", id).map(|id| reads::order_by_id(&id))
        })
    }

    pub(super) fn order_history(&self, common: &Common, id: &str) -> Result<Reply, Error> {
        self.read(&operation::ORDER_HISTORY, common, Expect::Data, || {
            params::order_id("order_id", id).map(|id| reads::order_history(&id))
        })
    }

    pub(super) fn scrip_master(
        &self,
        common: &Common,
        exchange_segment: Option<&str>,
    ) -> Result<Reply, Error> {
        let op = &operation::SCRIP_MASTER;
        self.call(op, common, async |call| {
            let segment = match exchange_segment {
                None => None,
                Some(name) => Some(params::scrip_segment("exchange_segment", name)?),
            };
            let reply = self.ask(call, op, Expect::Data, Parts::default()).await?;
            let Some(segment) = segment else {
                return Ok(reply);
            };
            match reads::scrip_file(reply.json().as_bytes(), segment) {
                Some(url) => {
                    let json = serde_json::json!({"exchange_segment": segment, "url": url});
                    Ok(Reply {
                        http_status: reply.http_status,
                        ..Reply::local(json.to_string())
                    })
                }
                None => {
                    let message =
                        format!("the broker's list of scrip files has none for {segment}");
                    Err(Error::new(Status::Protocol, message))
                }
            }
        })
    }

    /// Asks for quotes, for many in several requests.
    async fn ask_quotes(
        &self,
        call: &Call,
        op: &'static Operation,
        asked: Quotes,
    ) -> Result<Reply, Error> {
        let Quotes {
            mut requests,
            instruments,
            repeated,
            misspelt,
        } = asked;
        let tell = |key: &str, number: usize| {
            let mut extra = call.extra.borrow_mut();
            extra.insert(key.to_owned(), number.into());
        };
        tell("requests", requests.len());
        tell("instruments", instruments);
        call.notes.borrow_mut().extend_from_slice(misspelt.notes());
        if repeated > 0 {
            let note = format!("{repeated} of the instruments stood in the list before");
            call.notes.borrow_mut().push(note);
        }
        let (reply, rows) = match requests.pop() {
            // As it comes.
            Some(only) if requests.is_empty() => {
                let asked = self.ask(call, op, Expect::List, only.parts).await;
                let reply = asked.map_err(|error| explained(error, &misspelt))?;
                let rows = reads::rows(reply.json()).unwrap_or(0);
                (reply, rows)
            }
            last => {
                requests.extend(last);
                // In a box: few calls need it, and all would have its size on the stack.
                let rows = Box::pin(self.ask_in_turn(call, op, requests, &misspelt)).await?;
                call.extra.borrow_mut().remove(PART);
                rows
            }
        };
        if rows < instruments {
            let note = format!("the broker gave {rows} rows for {instruments} instruments");
            call.notes.borrow_mut().push(note);
        }
        Ok(reply)
    }

    /// Asks for quotes by one request after the other. Gives all rows as one list, and how
    /// many there are.
    async fn ask_in_turn(
        &self,
        call: &Call,
        op: &'static Operation,
        requests: Vec<QuotesOf>,
        misspelt: &Misspelt,
    ) -> Result<(Reply, usize), Error> {
        let (of, largest) = (requests.len(), op.largest_answer());
        let mut rows = Rows::default();
        let (mut http_status, mut date) = (0, None);
        for (part, request) in (1..).zip(requests) {
            let QuotesOf { parts, first, last } = request;
            let in_part = |error: Error| {
                let error = explained(error, misspelt);
                // What no request was made for is not wrong with this one.
                match error.status() {
                    Status::InvalidArgument | Status::NotLoggedIn => error,
                    _ => error.within(&format!(
                        "part {part} of {of} (instruments {first} to {last})"
                    )),
                }
            };
            // Also told of a call that is cut short.
            call.extra.borrow_mut().insert(PART.to_owned(), part.into());
            let asked = self.ask(call, op, Expect::List, parts).await;
            let reply = asked.map_err(in_part)?;
            rows.add(reply.json(), largest).map_err(|why| {
                let message = match why {
                    NoRows::NoList => "the broker's answer to quotes is no list".to_owned(),
                    NoRows::TooLarge => {
                        format!("the answers together are larger than {largest} bytes")
                    }
                };
                in_part(Error::new(Status::Protocol, message))
            })?;
            (http_status, date) = (reply.http_status, reply.date);
        }
        let count = rows.count();
        let reply = Reply {
            http_status,
            date,
            ..Reply::local(rows.into_json())
        };
        Ok((reply, count))
    }

    pub(super) async fn ask(
        &self,
        call: &Call,
        op: &'static Operation,
        expect: Expect,
        parts: Parts,
    ) -> Result<Reply, Error> {
        let trade = self.state().trade.clone();
        self.ask_of(call, op, expect, parts, trade).await
    }

    /// Asks in the name of a session, or of none.
    pub(super) async fn ask_of(
        &self,
        call: &Call,
        op: &'static Operation,
        expect: Expect,
        parts: Parts,
        trade: Option<Arc<Trade>>,
    ) -> Result<Reply, Error> {
        let generation = match &trade {
            Some(trade) => trade.generation,
            None => self.config.generation.unwrap_or(Generation::Three),
        };
        let auth = op.headers(generation).auth;
        if trade.is_none() && matches!(auth, Auth::Trade | Auth::KeyTrade | Auth::BearerTrade) {
            return Err(super::not_logged_in());
        }
        let current = generation == Generation::Three;
        let home = if current {
            self.hosts.session()
        } else {
            self.hosts.gateway()
        };
        let mut parts = parts;
        let body = parts.body.take();
        let mut credentials = self.credentials();
        credentials.bearer = self.config.access_token.as_ref();
        let mut target = match &trade {
            Some(trade) => {
                credentials = credentials.with_trade(trade);
                self.target(op, trade, parts)
            }
            None => {
                let mut target = Target::new(op, generation, &Place::fixed(home.clone()));
                target.suffix = parts.path;
                target.query = parts.query;
                target
            }
        };
        if op.name == operation::WHATSMYIP.name {
            target.base = home;
        }
        let answer = self.exchange(call, &target, &credentials, body).await?;
        if let Some(nothing) = expect.nothing(&answer) {
            call.notes.borrow_mut().extend(nothing.note);
            return Ok(Reply {
                http_status: answer.http_status,
                date: answer.date,
                ..Reply::local(nothing.json)
            });
        }
        let read = |body: &[u8]| expect.holds(body).then_some(());
        let (reply, ()) = self.accept(call, &target, answer, read)?;
        if SHOW_ORDERS.contains(&op.name) {
            let account = trade.as_ref().and_then(|trade| trade.ucc.as_deref());
            self.look_at_orders(call, op.name, account, reply.json())
                .await;
        }
        Ok(reply)
    }
}

/// The error with what to do about it, if the broker does not know an instrument.
fn explained(error: Error, misspelt: &Misspelt) -> Error {
    match error.status() == Status::Rejected && reads::is_unknown_symbol(error.message()) {
        true => error.with_hint(&misspelt.hint()),
        false => error,
    }
}
