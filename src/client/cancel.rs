//! Calls that have a name, so that one of them can be ended alone.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use serde_json::json;
use tokio::sync::Notify;

use super::Client;
use super::call::closed;
use crate::base::clock::{self, Moment};
use crate::base::error::Error;
use crate::base::reply::Reply;
use crate::base::status::Status;
use crate::broker::params;

/// How many cancels are remembered that came before their calls.
const MOST_EARLY: usize = 1024;

impl Client {
    /// Ends the call that has this `call_id` with [`Status::Closed`], and no
    /// other. An instruction that may have left ends with
    /// [`Status::UnknownOutcome`]; a login that the broker has granted still
    /// succeeds.
    ///
    /// If no such call is under way, the next one that begins with this id ends
    /// at once and sends nothing. So an id should be used once. 1,024 such
    /// cancels are remembered, the oldest are forgotten.
    ///
    /// The reply is `{"under_way":true}`, or `false` if the cancel is remembered.
    ///
    /// # Errors
    ///
    /// [`Status::InvalidArgument`] unless it has 1 to 64 printable ASCII
    /// characters; [`Status::Closed`] after the client was closed.
    pub fn cancel(&self, call_id: &str) -> Result<Reply, Error> {
        self.0.local("client_cancel", |_| {
            params::check_call_id("call_id", call_id)?;
            let under_way = self.0.named.cancel(call_id);
            Ok(Reply::local(json!({ "under_way": under_way }).to_string()))
        })
    }
}

/// The calls of one client that have a name.
#[derive(Default)]
pub(super) struct Named {
    inside: Mutex<Inside>,
    /// How often all calls were interrupted, for those that do not wait just then.
    interrupts: AtomicU64,
}

#[derive(Default)]
struct Inside {
    under_way: HashMap<String, Arc<Notify>>,
    /// Cancels that came before their calls, the oldest first.
    early: VecDeque<String>,
}

/// A call that is under way, until this is dropped; perhaps without a name.
pub(super) struct UnderWay<'a> {
    /// When it began.
    pub(super) began: Moment,
    named: &'a Named,
    entry: Option<Entry<'a>>,
    /// How often calls had been interrupted when it began.
    interrupts: u64,
}

struct Entry<'a> {
    id: &'a str,
    cancelled: Arc<Notify>,
}

impl Named {
    /// Begins a call. An error if its name is in use, or was cancelled before.
    pub(super) fn begin<'a>(&'a self, call_id: Option<&'a str>) -> Result<UnderWay<'a>, Error> {
        let under_way = |entry| UnderWay {
            began: clock::now(),
            named: self,
            entry,
            interrupts: self.interrupts.load(Ordering::Acquire),
        };
        let Some(id) = call_id else {
            return Ok(under_way(None));
        };
        let mut inside = self.lock();
        if inside.under_way.contains_key(id) {
            let problem = "is the name of a call that is under way";
            return Err(Error::argument("params.call_id", problem));
        }
        if let Some(at) = inside.early.iter().position(|early| early == id) {
            inside.early.remove(at);
            return Err(cancelled());
        }
        let cancelled = Arc::new(Notify::new());
        inside
            .under_way
            .insert(id.to_owned(), Arc::clone(&cancelled));
        Ok(under_way(Some(Entry { id, cancelled })))
    }

    /// All calls under way are to end.
    pub(super) fn interrupt(&self) {
        self.interrupts.fetch_add(1, Ordering::AcqRel);
    }

    /// Ends a call, or the next one of this name. Says whether it is under way.
    fn cancel(&self, id: &str) -> bool {
        let mut inside = self.lock();
        if let Some(call) = inside.under_way.get(id) {
            // Kept for a call that does not wait yet.
            call.notify_one();
            return true;
        }
        if !inside.early.iter().any(|early| early == id) {
            if inside.early.len() == MOST_EARLY {
                inside.early.pop_front();
            }
            inside.early.push_back(id.to_owned());
        }
        false
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnderWay<'_> {
    /// Waits until this call is cancelled; for ever if it has no name.
    pub(super) async fn cancelled(&self) -> Error {
        match &self.entry {
            Some(entry) => entry.cancelled.notified().await,
            None => std::future::pending().await,
        }
        cancelled()
    }

    /// Between two parts of a call, where it waits for nothing: an error if it
    /// was cancelled or interrupted since the last one.
    pub(super) fn must_go_on(&self) -> Result<(), Error> {
        if self.interrupts != self.named.interrupts.load(Ordering::Acquire) {
            return Err(closed());
        }
        match self.cancelled().now_or_never() {
            Some(cancelled) => Err(cancelled),
            None => Ok(()),
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(entry) = &self.entry {
            self.named.lock().under_way.remove(entry.id);
        }
    }
}

fn cancelled() -> Error {
    Error::new(Status::Closed, "the call was ended by its call_id")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(begun: Result<UnderWay<'_>, Error>) -> Option<Status> {
        begun.err().map(|error| error.status())
    }

    #[test]
    fn a_name_is_in_use_until_its_call_ends() {
        let named = Named::default();
        let call = named.begin(Some("a")).expect("nobody has this name");
        assert_eq!(
            status(named.begin(Some("a"))),
            Some(Status::InvalidArgument)
        );
        assert_eq!(status(named.begin(Some("b"))), None);
        assert_eq!(
            (status(named.begin(None)), status(named.begin(None))),
            (None, None)
        );
        assert!(named.cancel("a") && named.cancel("a"));
        drop(call);
        // It was cancelled while it was under way, and that is over.
        assert_eq!(status(named.begin(Some("a"))), None);
        assert!(named.lock().under_way.is_empty());
    }

    #[test]
    fn what_comes_between_two_parts_of_a_call_is_seen() {
        let named = Named::default();
        let call = named.begin(Some("a")).expect("nobody has this name");
        let other = named.begin(Some("b")).expect("nobody has this name");
        let goes_on = |call: &UnderWay<'_>| call.must_go_on().is_ok();
        assert!(goes_on(&call) && goes_on(&other));
        assert!(named.cancel("a"));
        assert!(!goes_on(&call) && goes_on(&other));
        named.interrupt();
        assert!(!goes_on(&other));
        assert!(goes_on(&named.begin(None).expect("it has no name")));
    }

    #[test]
    fn an_early_cancel_counts_once_and_the_oldest_are_forgotten() {
        let named = Named::default();
        assert!(!named.cancel("a") && !named.cancel("a"));
        assert_eq!(status(named.begin(Some("a"))), Some(Status::Closed));
        assert_eq!(status(named.begin(Some("a"))), None);
        for at in 0..=MOST_EARLY {
            assert!(!named.cancel(&at.to_string()));
        }
        assert_eq!(named.lock().early.len(), MOST_EARLY);
        assert_eq!(status(named.begin(Some("0"))), None);
        assert_eq!(status(named.begin(Some("1"))), Some(Status::Closed));
        assert_eq!(status(named.begin(Some("1024"))), Some(Status::Closed));
    }
}
