//! The record of the requests that arrived, for tests to look at.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Counts up from 1 over the life of the sandbox.
    pub seq: u64,
    /// `GET`, `POST`, ...
    pub method: String,
    /// The path as sent, without the query.
    pub path: String,
    /// The decoded query parameters, in order.
    pub query: Vec<(String, String)>,
    /// The headers, names in lower case. A value that is not UTF-8 is shown with `U+FFFD`.
    pub headers: Vec<(String, String)>,
    /// The body. Empty until it has been read to its end, and for good if it never is.
    pub body: Vec<u8>,
    /// `HTTP/1.1`, `HTTP/2`, ...
    pub http_version: String,
    /// Which connection it came over, counted from 1 in the order of acceptance.
    pub connection: u64,
    /// Where it came from.
    pub client_addr: SocketAddr,
    /// Whether the sandbox knows method and path. A test should treat `false` as a failure.
    pub known_route: bool,
    /// The HTTP status that the sandbox set out to answer with; `None` if it gave no answer.
    pub answered: Option<u16>,
}

impl Recorded {
    /// The value of the first header with this name (in lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// The value of the first query parameter with this name.
    #[must_use]
    pub fn query_value(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text; bytes that are not UTF-8 are shown with `U+FFFD`.
    #[must_use]
    pub fn body_text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The requests, oldest first, at most `limit` of them.
pub(crate) struct Records {
    limit: usize,
    kept: Mutex<Kept>,
}

struct Kept {
    next_seq: u64,
    list: VecDeque<Recorded>,
}

impl Records {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            kept: Mutex::new(Kept {
                next_seq: 1,
                list: VecDeque::new(),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Every change is complete in itself, so a panic elsewhere leaves the list sound.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a request and gives its number. `make` is not called if nothing is kept.
    pub(crate) fn add(&self, make: impl FnOnce(u64) -> Recorded) -> u64 {
        let mut kept = self.lock();
        let seq = kept.next_seq;
        kept.next_seq += 1;
        if self.limit > 0 {
            if kept.list.len() == self.limit {
                kept.list.pop_front();
            }
            kept.list.push_back(make(seq));
        }
        seq
    }

    /// Changes the request with this number, if it is still kept.
    pub(crate) fn update(&self, seq: u64, change: impl FnOnce(&mut Recorded)) {
        let mut kept = self.lock();
        if let Ok(at) = kept.list.binary_search_by_key(&seq, |entry| entry.seq) {
            change(&mut kept.list[at]);
        }
    }

    pub(crate) fn all(&self) -> Vec<Recorded> {
        self.lock().list.iter().cloned().collect()
    }

    pub(crate) fn clear(&self) {
        self.lock().list.clear();
    }
}
