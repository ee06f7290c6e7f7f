//! The feeds of a client: opens them, and gives them what they need of it.

use std::sync::Arc;

use serde_json::value::RawValue;
use tokio::sync::watch;
use url::Url;

use super::{Client, Inner};
use crate::base::error::Error;
use crate::base::redact::Known;
use crate::base::reply::Reply;
use crate::base::secret::Secret;
use crate::base::status::Status;
use crate::broker::hosts::Generation;
use crate::broker::message;
use crate::broker::operation::{self, Operation};
use crate::broker::order_book;
use crate::broker::params::Common;
use crate::broker::reads::{Expect, Parts};
use crate::broker::session::Trade;
use crate::feeds::link::Switch;
use crate::feeds::market::{self, Feed, Login};
use crate::feeds::orders::wire::Forms;
use crate::feeds::orders::{self, Account, OrderFeed, Witness};
use crate::transport::Settings;

impl Client {
    /// Opens the market feed. It connects in the background; what happens
    /// comes as events. `options` is a JSON object; its keys are in
    /// `docs/guide.md`.
    ///
    /// A session that the broker refuses is told by an event; after a new
    /// login the feed goes on by itself.
    ///
    /// # Errors
    ///
    /// [`Status::NotLoggedIn`] without a trade session;
    /// [`Status::InvalidArgument`] naming the option that is wrong, and for a
    /// session of generation 1 or 2, whose feeds are not built.
    pub fn feed(&self, options: Option<&str>) -> Result<Feed, Error> {
        self.open_feed(options).map(|(feed, _)| feed)
    }

    /// Opens the order feed, in the same manner.
    ///
    /// # Errors
    ///
    /// As for [`Client::feed`].
    pub fn order_feed(&self, options: Option<&str>) -> Result<OrderFeed, Error> {
        self.open_order_feed(options).map(|(feed, _)| feed)
    }

    /// The same with the answer of `kneo_feed_open`.
    pub(crate) fn open_feed(&self, options: Option<&str>) -> Result<(Feed, Reply), Error> {
        self.0.opened("feed_open", || {
            let options = market::Options::parse(options)?;
            let feed = self.0.start_market(options)?;
            self.0.feeds.add(feed.switch());
            let status = feed.status();
            Ok((feed, status))
        })
    }

    /// The same with the answer of `kneo_order_feed_open`.
    pub(crate) fn open_order_feed(
        &self,
        options: Option<&str>,
    ) -> Result<(OrderFeed, Reply), Error> {
        self.0.opened("order_feed_open", || {
            let options = orders::Options::parse(options)?;
            must_be_current(&*self.0.trade()?)?;
            let feed = OrderFeed::start(Arc::clone(&self.0), options)?;
            self.0.feeds.add(feed.switch());
            let status = feed.status();
            Ok((feed, status))
        })
    }
}

impl Inner {
    /// Opens a feed; `open` gives it and its status.
    fn opened<F>(
        &self,
        operation: &'static str,
        open: impl FnOnce() -> Result<(F, Result<Reply, Error>), Error>,
    ) -> Result<(F, Reply), Error> {
        let mut opened = None;
        let reply = self.local(operation, |_| {
            let (feed, status) = open()?;
            // One that closed meanwhile has looked at its roster before. The
            // feed ends here, with its only owner.
            self.must_be_open()?;
            opened = Some(feed);
            status
        })?;
        match opened {
            Some(feed) => Ok((feed, reply)),
            None => Err(Error::new(Status::Internal, "the feed was not made")),
        }
    }

    fn start_market(self: &Arc<Self>, options: market::Options) -> Result<Feed, Error> {
        must_be_current(&*self.trade()?)?;
        let client = Arc::clone(self);
        let sessions = Box::new(move || {
            let trade = client.session()?;
            Some(Login {
                url: trade
                    .feed_url
                    .clone()
                    .unwrap_or_else(|| client.hosts.default_feed()),
                user: trade.ucc.clone().unwrap_or_else(|| "neome".to_owned()),
                sid: trade.sid.clone(),
                is_over: client.has_expired(&trade) == Some(true),
                known: Known::new(secrets_of(&client, &trade).iter().map(Secret::expose)),
            })
        });
        let settings = Arc::clone(&self.settings);
        Feed::start(options, settings, sessions, self.feeds.sessions())
    }
}

/// All that a feed of this session may not show.
fn secrets_of(client: &Inner, trade: &Trade) -> Vec<Secret> {
    let cookies = client.jar.cookies(&trade.base);
    let mut all = trade.secrets();
    all.extend(cookies.iter().flat_map(message::cookie_values));
    all.extend(client.secrets());
    all
}

fn must_be_current(trade: &Trade) -> Result<(), Error> {
    if trade.generation == Generation::Three {
        return Ok(());
    }
    let message = format!(
        "feeds are built for generation 3; this session is of generation {}, whose streams the \
         broker announced to end on 15 September 2026; log in with kneo_totp_login and \
         kneo_totp_validate",
        trade.generation.number()
    );
    Err(Error::new(Status::InvalidArgument, message))
}

impl Witness for Arc<Inner> {
    fn sees(&self, owner: Option<&str>, row: &RawValue) {
        let seen = order_book::seen(row.get()).into_iter().collect();
        self.register().see(owner, seen, "order_feed");
    }
}

impl Account for Arc<Inner> {
    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn session(&self) -> Option<Arc<Trade>> {
        let trade = self.state().trade.clone();
        trade.filter(|trade| trade.generation == Generation::Three)
    }

    fn logins(&self) -> watch::Receiver<u64> {
        self.feeds.sessions()
    }

    fn endpoint(&self, session: &Trade) -> Result<Url, String> {
        match &session.order_feed_url {
            Some(url) => Ok(url.clone()),
            None => self.hosts.order_feed_on(session.base.as_str()),
        }
    }

    fn forms(&self) -> &Forms {
        &self.forms
    }

    fn is_over(&self, session: &Trade) -> bool {
        self.has_expired(session) == Some(true)
    }

    fn secrets(&self, session: &Trade) -> Vec<Secret> {
        secrets_of(self, session)
    }

    fn books(&self, cancel: &Switch) -> Result<[Reply; 2], Error> {
        let read = |op: &'static Operation| {
            self.call(op, &Common::default(), async |call| {
                call.is_urgent.set(true);
                tokio::select! {
                    biased;
                    () = cancel.wait() => {
                        Err(Error::new(Status::Closed, "the order feed was closed"))
                    }
                    answer = self.ask(call, op, Expect::Data, Parts::default()) => answer,
                }
            })
        };
        // What fills meanwhile is in the trades at least.
        Ok([
            read(&operation::ORDER_REPORT)?,
            read(&operation::TRADE_REPORT)?,
        ])
    }
}
