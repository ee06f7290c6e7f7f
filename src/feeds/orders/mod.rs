//! The order feed, as its callers see it: what happens to the orders and
//! positions of an account.
//!
//! - [`supervisor`]: keeps the connection up, for ever; reads the books.
//! - [`shared`]: what it shares with the callers.
//! - [`wire`]: the texts of the protocol, both ways: pure.
//! - [`merge`]: live events and books made into one history: pure.
//! - [`event`]: what is told of it, as JSON: pure.
//! - [`queue`]: what waits for the caller; bounded.

mod event;
mod merge;
mod options;
mod queue;
mod shared;
mod supervisor;
pub(crate) mod wire;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::options::Options;
use self::queue::CAPACITY;
use self::shared::Shared;
use self::supervisor::Supervisor;
pub(crate) use self::supervisor::{Account, Unconnected, Witness};
use crate::base::error::Error;
use crate::base::reply::Reply;
use crate::feeds::link::{self, Switch};
use crate::feeds::readers::{self, Cut};

/// What happens to the orders and positions of an account, as it happens.
/// Clones are the same feed.
///
/// It connects and reconnects on a thread of its own until
/// [`OrderFeed::close`], the end of its client, or until the last clone is
/// dropped. All methods may be called from any thread at any time; several
/// readers share one queue.
#[derive(Clone)]
pub struct OrderFeed(Arc<Owner>);

/// Ends the feed when the last of its callers goes.
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl std::fmt::Debug for OrderFeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OrderFeed")
            .field("state", &self.shared().state())
            .finish_non_exhaustive()
    }
}

impl OrderFeed {
    /// Starts a feed.
    pub(crate) fn start(account: impl Account, options: Options) -> Result<Self, Error> {
        let shared = Arc::new(Shared::new(CAPACITY, options));
        let logins = account.logins();
        let supervisor = Supervisor::new(account, logins, Arc::clone(&shared));
        let feed = Self::of(Arc::clone(&shared));
        let switch = Arc::clone(&shared.switch);
        link::spawn("kneo-orders", switch, supervisor.run(), move |panicked| {
            shared.queue.close(Cut::by_end(panicked));
        })
        .map_err(link::no_thread)?;
        Ok(feed)
    }

    fn of(shared: Arc<Shared>) -> Self {
        Self(Arc::new(Owner(shared)))
    }

    fn shared(&self) -> &Shared {
        &self.0.0
    }

    /// What ends it, for the roster of its client.
    pub(crate) fn switch(&self) -> &Arc<Switch> {
        &self.shared().switch
    }

    /// The next event as JSON. Zero does not wait.
    ///
    /// # Errors
    ///
    /// [`Status::End`](crate::Status::End) if there was none in time;
    /// [`Status::Closed`](crate::Status::Closed) after an interrupt, and after
    /// the end of the feed when all was read.
    pub fn next(&self, wait: Duration) -> Result<Reply, Error> {
        let queue = &self.shared().queue;
        let event = readers::event(wait, |until, _, json| queue.read(until, json));
        readers::answer("order_feed_next", event)
    }

    /// Up to `most` events (1 to 65,536) as one JSON array, or fewer that are
    /// some 4 MiB together. Waits for the first one; zero does not wait.
    ///
    /// # Errors
    ///
    /// [`Status::InvalidArgument`](crate::Status::InvalidArgument) naming
    /// `most`; else those of [`OrderFeed::next`].
    pub fn next_batch(&self, most: usize, wait: Duration) -> Result<Reply, Error> {
        let queue = &self.shared().queue;
        let events = readers::batch(most, wait, |until, _, json| queue.read(until, json));
        readers::answer("order_feed_next_batch", events)
    }

    /// Ends the waits of other threads that are under way with
    /// [`Status::Closed`](crate::Status::Closed), or the next one if there is
    /// none. The feed goes on.
    pub fn interrupt(&self) {
        self.shared().queue.interrupt();
    }

    /// How the feed is: its state and why, the options in force, counts.
    ///
    /// # Errors
    ///
    /// [`Status::Closed`](crate::Status::Closed).
    pub fn status(&self) -> Result<Reply, Error> {
        let status = match self.shared().ended() {
            Some(why) => Err(why.error()),
            None => Ok(self.shared().status()),
        };
        readers::answer("order_feed_status", status)
    }

    /// Ends the feed and all waits on it. Takes no time. What waits to be read
    /// can still be read.
    pub fn close(&self) {
        self.shared().close();
    }
}
