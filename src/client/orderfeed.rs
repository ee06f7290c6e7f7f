//! The order feed of a client.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use url::Url;

use super::{Client, Inner};
use crate::error::Error;
use crate::feed::link::Switch;
use crate::hosts::Generation;
use crate::operation::{self, Operation};
use crate::orderfeed::feed::{Account, Feed, Options};
use crate::orderfeed::wire::Forms;
use crate::params::Common;
use crate::process;
use crate::reads::{Expect, Parts};
use crate::reply::{Meta, Reply};
use crate::session::Trade;
use crate::status::Status;
use crate::transport::Settings;

/// What happens to the orders and positions of an account, as it happens.
///
/// Clones are the same feed. It ends when the last one is dropped, when it is
/// closed, or when its client is closed.
#[derive(Clone)]
pub struct OrderFeed(Arc<Feed>);

impl Client {
    /// Starts the order feed. It connects on a thread of its own, and again
    /// whenever the connection ends. The reply has the options in force.
    ///
    /// `options_json`: one JSON object or nothing. `ping_interval_ms` (5000),
    /// `login_timeout_ms` (10000), `reconnect_first_ms` (500), `reconnect_cap_ms`
    /// (30000), `source` (`WEB`).
    ///
    /// # Errors
    ///
    /// [`Status::NotLoggedIn`] without a trade session;
    /// [`Status::InvalidArgument`] naming the option that is wrong, and for a
    /// session of the older generations: their feeds have ended.
    pub fn order_feed(&self, options_json: Option<&str>) -> Result<(OrderFeed, Reply), Error> {
        let mut opened = None;
        let reply = self.0.local("order_feed_open", |_| {
            let options = Options::parse(options_json.unwrap_or(""))?;
            if self.0.trade()?.generation != Generation::Three {
                let message = "the order feed of generations 1 and 2 is not built: the broker \
                               announced its end for 15 September 2026; log in with \
                               kneo_totp_login and kneo_totp_validate";
                return Err(Error::new(Status::InvalidArgument, message));
            }
            let switch = Arc::new(Switch::default());
            self.0.feeds.add(&switch);
            // A client that is closed meanwhile has ended what it knew of.
            if self.0.closed.load(Ordering::Acquire) {
                switch.turn_off();
            }
            let account = Arc::clone(&self.0);
            let (feed, described) = Feed::start(account, options, switch)?;
            opened = Some(OrderFeed(Arc::new(feed)));
            Ok(Reply::local(described))
        })?;
        match opened {
            Some(feed) => Ok((feed, reply)),
            None => Err(Error::new(Status::Internal, "the feed was not made")),
        }
    }
}

impl OrderFeed {
    /// The next event, as JSON. Waits for it no longer than `timeout_ms`
    /// milliseconds; 0 does not wait.
    ///
    /// # Errors
    ///
    /// [`Status::End`] if none came in time, [`Status::Closed`] after the
    /// feed or its client was closed and all events were read,
    /// [`Status::InvalidArgument`] for a negative timeout.
    pub fn next(&self, timeout_ms: i32) -> Result<Reply, Error> {
        let meta = || Meta {
            operation: "order_feed_next",
            ..Meta::default()
        };
        let _counted = process::shared().calls.count();
        let timeout = u64::try_from(timeout_ms)
            .map_err(|_| Error::argument("timeout_ms", "must be 0 or more milliseconds"));
        let event = timeout.and_then(|ms| self.0.next(Duration::from_millis(ms)));
        match event {
            Ok(json) => {
                let mut reply = Reply::local(json);
                reply.meta = meta();
                Ok(reply)
            }
            Err(error) => Err(error.finished(false, true, meta())),
        }
    }

    /// How the feed is: state, reason, counts.
    #[must_use]
    pub fn status(&self) -> Reply {
        let mut reply = Reply::local(self.0.status());
        reply.meta.operation = "order_feed_status";
        reply
    }

    /// Ends the feed and wakes its readers. Does not wait for the network.
    pub fn close(&self) {
        self.0.close();
    }
}

impl std::fmt::Debug for OrderFeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("OrderFeed").field(&self.0.status()).finish()
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

    fn books(&self, cancel: &Switch) -> Result<[Reply; 2], Error> {
        let read = |op: &'static Operation| {
            self.call(op, &Common::default(), async |call| {
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
