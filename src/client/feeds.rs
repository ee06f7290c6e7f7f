//! Opens the feeds of a client.

use std::sync::Arc;

use crate::error::Error;
use crate::feeds::market::{Feed, Login, Options};
use crate::hosts::Generation;
use crate::session::Trade;
use crate::status::Status;

use super::{Client, Inner, meta};

impl Client {
    /// Opens the market feed. It connects in the background; what happens
    /// comes as events. `options` is a JSON object; its keys are in
    /// `docs/guide.md`.
    ///
    /// The feed ends with [`Feed::close`] and with its client. A session that
    /// the broker refuses is told by an event; after a new login the feed goes
    /// on by itself.
    ///
    /// # Errors
    ///
    /// [`Status::NotLoggedIn`] without a trade session;
    /// [`Status::InvalidArgument`] naming the option that is wrong, and for a
    /// session of generation 1 or 2, whose feeds are not built.
    pub fn feed(&self, options: Option<&str>) -> Result<Feed, Error> {
        self.0
            .open_feed(options)
            .map_err(|error| error.finished(false, false, meta("feed_open")))
    }
}

impl Inner {
    fn open_feed(self: &Arc<Self>, options: Option<&str>) -> Result<Feed, Error> {
        self.must_be_open()?;
        let options = Options::parse(options)?;
        let trade = self.trade()?;
        must_be_current(&trade)?;
        let client = Arc::downgrade(self);
        let sessions = Box::new(move || {
            let client = client.upgrade()?;
            let trade = client.trade().ok()?;
            must_be_current(&trade).ok()?;
            Some(Login {
                url: trade
                    .feed_url
                    .clone()
                    .unwrap_or_else(|| client.hosts.default_feed()),
                user: trade.ucc.clone().unwrap_or_else(|| "neome".to_owned()),
                sid: trade.sid.clone(),
            })
        });
        let settings = Arc::clone(&self.settings);
        let feed = Feed::start(options, settings, sessions, self.feeds.sessions())?;
        self.feeds.add(feed.switch());
        // One that closed meanwhile has looked at its roster before.
        if let Err(error) = self.must_be_open() {
            feed.close();
            return Err(error);
        }
        Ok(feed)
    }
}

fn must_be_current(trade: &Trade) -> Result<(), Error> {
    if trade.generation == Generation::Three {
        return Ok(());
    }
    let message = format!(
        "feeds are built for generation 3; this session is of generation {}, whose streams the \
         broker announced to end on 15 September 2026",
        trade.generation.number()
    );
    Err(Error::new(Status::InvalidArgument, message))
}
