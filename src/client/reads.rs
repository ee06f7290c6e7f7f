//! Books, portfolio, market data: operations that change nothing.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::hosts::Generation;
use crate::json::Fields;
use crate::judge;
use crate::operation::{self, Auth, Operation};
use crate::reads::{self, Asked, Expect, PARAMS};
use crate::reply::Reply;
use crate::session::Trade;
use crate::status::Status;

use super::call::Call;
use super::exchange::{Place, Target};
use super::{Client, Inner};

/// What an empty book answers, whatever the broker's words for it were.
const NO_DATA: &str = r#"{"stat":"Ok","stCode":5203,"data":[]}"#;
/// The reserved parameter that shortens or lengthens the deadline.
const TIMEOUT: &str = "timeout_ms";
/// An hour, as for the configured timeouts.
const LONGEST_MS: u64 = 3_600_000;

impl Client {
    /// The address that the broker sees requests come from: the one to
    /// whitelist for orders. Generation 3.
    ///
    /// # Errors
    ///
    /// [`Status::NotLoggedIn`] without a trade session.
    pub fn whatsmyip(&self) -> Result<Reply, Error> {
        self.0.read_plain(&operation::WHATSMYIP, Expect::Data)
    }

    /// The order book, or one order of it (generation 3). An empty book is
    /// `{"stat":"Ok","stCode":5203,"data":[]}`.
    ///
    /// # Errors
    ///
    /// [`Status::NotLoggedIn`] without a trade session.
    pub fn order_report(&self, order_id: Option<&str>) -> Result<Reply, Error> {
        self.order_report_within(order_id, None)
    }

    fn order_report_within(
        &self,
        order_id: Option<&str>,
        limit: Option<Duration>,
    ) -> Result<Reply, Error> {
        let op = match order_id {
            None => &operation::ORDER_REPORT,
            Some(_) => &operation::ORDER_BY_ID,
        };
        self.0.read(op, limit, Expect::Data, || match order_id {
            None => Ok(Asked::default()),
            Some(id) => reads::order_id("order_id", id).map(|id| reads::order_by_id(&id)),
        })
    }

    /// The states that an order went through, newest first.
    ///
    /// # Errors
    ///
    /// [`Status::NotLoggedIn`] without a trade session.
    pub fn order_history(&self, order_id: &str) -> Result<Reply, Error> {
        self.order_history_within(order_id, None)
    }

    fn order_history_within(&self, id: &str, limit: Option<Duration>) -> Result<Reply, Error> {
        self.0
            .read(&operation::ORDER_HISTORY, limit, Expect::Data, || {
                reads::order_id("order_id", id).map(|id| reads::order_history(&id))
            })
    }

    /// The trade book.
    ///
    /// # Errors
    ///
    /// [`Status::NotLoggedIn`] without a trade session.
    pub fn trade_report(&self) -> Result<Reply, Error> {
        self.0.read_plain(&operation::TRADE_REPORT, Expect::Data)
    }

    /// Positions of the day and carried forward.
    ///
    /// # Errors
    ///
    /// [`Status::NotLoggedIn`] without a trade session.
    pub fn positions(&self) -> Result<Reply, Error> {
        self.0.read_plain(&operation::POSITIONS, Expect::Data)
    }

    /// Delivery holdings.
    ///
    /// # Errors
    ///
    /// [`Status::NotLoggedIn`] without a trade session.
    pub fn holdings(&self) -> Result<Reply, Error> {
        self.0.read_plain(&operation::HOLDINGS, Expect::Data)
    }

    /// Funds and limits. `params`: `segment`, `exchange`, `product`, each
    /// `ALL` unless given.
    ///
    /// # Errors
    ///
    /// [`Status::NotLoggedIn`] without a trade session.
    pub fn limits(&self, params: Option<&str>) -> Result<Reply, Error> {
        let expect = Expect::Key("Net");
        self.0
            .read_params(&operation::LIMITS, params, expect, reads::limits)
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
            Some(params),
            expect,
            reads::margin_required,
        )
    }

    /// Quotes of up to 50 instruments. Needs no login in generation 3.
    ///
    /// # Errors
    ///
    /// [`Status::InvalidArgument`] naming the parameter.
    pub fn quotes(&self, params: &str) -> Result<Reply, Error> {
        self.0.read_params(
            &operation::QUOTES,
            Some(params),
            Expect::List,
            reads::quotes,
        )
    }

    /// Expiry dates of an underlying. Needs no login.
    ///
    /// # Errors
    ///
    /// [`Status::InvalidArgument`] naming the parameter.
    pub fn expiries(&self, params: &str) -> Result<Reply, Error> {
        let expect = Expect::Key("expiries");
        self.0
            .read_params(&operation::EXPIRIES, Some(params), expect, reads::expiries)
    }

    /// Option or futures chain of an underlying. Needs no login.
    ///
    /// # Errors
    ///
    /// [`Status::InvalidArgument`] naming the parameter.
    pub fn option_chain(&self, params: &str) -> Result<Reply, Error> {
        self.0.read_params(
            &operation::OPTION_CHAIN,
            Some(params),
            Expect::Data,
            reads::option_chain,
        )
    }

    /// Candles of an instrument. Needs no login.
    ///
    /// # Errors
    ///
    /// [`Status::InvalidArgument`] naming the parameter.
    pub fn historical_data(&self, params: &str) -> Result<Reply, Error> {
        let op = &operation::HISTORICAL_DATA;
        self.0
            .read_params(op, Some(params), Expect::Data, reads::historical_data)
    }

    /// Where the scrip-master files of today are; with a segment, the URL of
    /// its file as `{"exchange_segment","url"}`. Needs no login in
    /// generation 3.
    ///
    /// # Errors
    ///
    /// [`Status::InvalidArgument`] for an unknown segment.
    pub fn scrip_master(&self, exchange_segment: Option<&str>) -> Result<Reply, Error> {
        self.scrip_master_within(exchange_segment, None)
    }

    fn scrip_master_within(
        &self,
        exchange_segment: Option<&str>,
        limit: Option<Duration>,
    ) -> Result<Reply, Error> {
        let op = &operation::SCRIP_MASTER;
        let limit = limit.unwrap_or_else(|| op.time.of(&self.0.config.timeouts));
        self.0.call_within(op, limit, async |call| {
            let segment = match exchange_segment {
                None => None,
                Some(name) => Some(reads::segment("exchange_segment", name)?),
            };
            let reply = self.0.ask(call, op, Expect::Data, Asked::default()).await?;
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

    /// Any operation by its name, with its arguments as one JSON object:
    /// `{"ucc":"...","totp":"..."}`. The reserved key `timeout_ms` sets the
    /// deadline of a reading operation.
    ///
    /// # Errors
    ///
    /// [`Status::InvalidArgument`] for an unknown operation or parameter.
    pub fn call(&self, operation: &str, params: Option<&str>) -> Result<Reply, Error> {
        let params = params.filter(|text| !text.trim().is_empty());
        match operation {
            "limits" => return self.limits(params),
            "margin_required" => return self.margin_required(params.unwrap_or("{}")),
            "quotes" => return self.quotes(params.unwrap_or("{}")),
            "expiries" => return self.expiries(params.unwrap_or("{}")),
            "option_chain" => return self.option_chain(params.unwrap_or("{}")),
            "historical_data" => return self.historical_data(params.unwrap_or("{}")),
            "place_order" => return self.place_order(params.unwrap_or("{}")),
            "modify_order" => return self.modify_order(params.unwrap_or("{}")),
            "cancel_order" => return self.cancel_order(params.unwrap_or("{}")),
            "search_scrip" => return self.search_scrip(params.unwrap_or("{}")),
            "order_outcome" => return self.order_outcome(params.unwrap_or("{}")),
            _ => {}
        }
        let mut fields = Fields::parse(PARAMS, params.unwrap_or("{}"))?;
        let limit = match operation {
            "whatsmyip" | "order_report" | "order_history" | "trade_report" | "positions"
            | "holdings" | "scrip_master" => deadline(&mut fields)?,
            _ => None,
        };
        let mut text = |key: &str| fields.text(key);
        let taken = match operation {
            "totp_login" => [text("mobile_number")?, text("ucc")?, text("totp")?, None],
            "totp_validate" => [text("mpin")?, None, None, None],
            "login" => [
                text("mobile_number")?,
                text("user_id")?,
                text("pan")?,
                text("password")?,
            ],
            "session_2fa" => [text("otp")?, None, None, None],
            "totp_generate" => [text("secret_base32")?, None, None, None],
            "qr_code_link" => [text("ucc")?, None, None, None],
            "qr_code_session" => [text("ott")?, text("ucc")?, None, None],
            "session_import" => [text("session_json")?, None, None, None],
            "order_report" | "order_history" => [text("order_id")?, None, None, None],
            "scrip_master" => [text("exchange_segment")?, None, None, None],
            _ => [None, None, None, None],
        };
        fields.finish()?;
        let [first, second, third, fourth] = taken.each_ref().map(Option::as_deref);
        let or_empty = |given: Option<&'_ str>| given.unwrap_or("").to_owned();
        match operation {
            "totp_login" => self.totp_login(&or_empty(first), &or_empty(second), &or_empty(third)),
            "totp_validate" => self.totp_validate(&or_empty(first)),
            "login" => self.login(first, second, third, &or_empty(fourth)),
            "session_2fa" => self.session_2fa(&or_empty(first)),
            "totp_generate" => crate::totp::generate(&or_empty(first)),
            "session_init" => self.session_init(),
            "qr_code_link" => self.qr_code_link(&or_empty(first)),
            "qr_code_session" => self.qr_code_session(&or_empty(first), &or_empty(second)),
            "scrip_status" => self.scrip_status(),
            "open_intents" => self.open_intents(),
            "session_info" => self.session_info(),
            "session_export" => self.session_export(),
            "session_import" => self.session_import(&or_empty(first)),
            "logout" => self.logout(),
            "whatsmyip" => self
                .0
                .read(&operation::WHATSMYIP, limit, Expect::Data, nothing),
            "order_report" => self.order_report_within(first, limit),
            "order_history" => self.order_history_within(&or_empty(first), limit),
            "trade_report" => self
                .0
                .read(&operation::TRADE_REPORT, limit, Expect::Data, nothing),
            "positions" => self
                .0
                .read(&operation::POSITIONS, limit, Expect::Data, nothing),
            "holdings" => self
                .0
                .read(&operation::HOLDINGS, limit, Expect::Data, nothing),
            "scrip_master" => self.scrip_master_within(first, limit),
            _ => Err(Error::argument(
                "operation",
                "is no operation of this library",
            )),
        }
    }
}

fn nothing() -> Result<Asked, Error> {
    Ok(Asked::default())
}

pub(super) fn deadline(fields: &mut Fields) -> Result<Option<Duration>, Error> {
    Ok(fields
        .integer(TIMEOUT, 1..=LONGEST_MS)?
        .map(Duration::from_millis))
}

impl Inner {
    fn read_plain(&self, op: &'static Operation, expect: Expect) -> Result<Reply, Error> {
        self.read(op, None, expect, nothing)
    }

    /// Makes a read whose parameters are a JSON object.
    fn read_params(
        &self,
        op: &'static Operation,
        params: Option<&str>,
        expect: Expect,
        check: impl FnOnce(&mut Fields) -> Result<Asked, Error>,
    ) -> Result<Reply, Error> {
        let params = params
            .filter(|text| !text.trim().is_empty())
            .unwrap_or("{}");
        let checked = Fields::parse(PARAMS, params).and_then(|mut fields| {
            let limit = deadline(&mut fields)?;
            let asked = check(&mut fields)?;
            fields.finish()?;
            Ok((limit, asked))
        });
        let limit = checked.as_ref().map_or(None, |(limit, _)| *limit);
        self.read(op, limit, expect, || checked.map(|(_, asked)| asked))
    }

    fn read(
        &self,
        op: &'static Operation,
        limit: Option<Duration>,
        expect: Expect,
        ask: impl FnOnce() -> Result<Asked, Error> + Send,
    ) -> Result<Reply, Error> {
        let limit = limit.unwrap_or_else(|| op.time.of(&self.config.timeouts));
        self.call_within(op, limit, async |call| {
            self.ask(call, op, expect, ask()?).await
        })
    }

    pub(super) async fn ask(
        &self,
        call: &Call,
        op: &'static Operation,
        expect: Expect,
        asked: Asked,
    ) -> Result<Reply, Error> {
        let trade = self.state().trade.clone();
        self.ask_of(call, op, expect, asked, trade).await
    }

    /// Asks in the name of a session, or of none.
    pub(super) async fn ask_of(
        &self,
        call: &Call,
        op: &'static Operation,
        expect: Expect,
        asked: Asked,
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
        let mut asked = asked;
        let body = asked.body.take();
        let mut credentials = self.credentials();
        credentials.bearer = self.config.access_token.as_ref();
        let mut target = match &trade {
            Some(trade) => {
                credentials = credentials.with_trade(trade);
                self.target(op, trade, asked)
            }
            None => {
                let mut target = Target::new(op, generation, &Place::fixed(home.clone()));
                target.suffix = asked.path;
                target.query = asked.query;
                target
            }
        };
        if op.name == operation::WHATSMYIP.name {
            target.base = home;
        }
        let answer = self.exchange(call, &target, &credentials, body).await?;
        if judge::is_no_data(&answer) {
            return Ok(Reply {
                http_status: answer.http_status,
                date: answer.date,
                ..Reply::local(NO_DATA.to_owned())
            });
        }
        let read = |body: &[u8]| expect.holds(body).then_some(());
        self.accept(call, &target, answer, read)
            .map(|(reply, ())| reply)
    }
}
