//! How a feed is: its states, their changes, and what its status says of them.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::options::millis;
use super::socket::Ended;
use super::tick;
use crate::base::json::write_string;

/// How a feed is. The names are those of the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum State {
    /// A connection is being made.
    Connecting = tick::KNEO_STATE_CONNECTING,
    /// Connected; the server has not confirmed the login yet.
    Authenticating = tick::KNEO_STATE_AUTHENTICATING,
    /// Logged in, and the connection lives.
    Live = tick::KNEO_STATE_LIVE,
    /// The connection lives, but what is subscribed sends nothing.
    Stale = tick::KNEO_STATE_STALE,
    /// No connection; the next try is under way or due.
    Down = tick::KNEO_STATE_DOWN,
    /// The server does not accept the login. The caller must log in again.
    Refused = tick::KNEO_STATE_REFUSED,
}

impl State {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Authenticating => "authenticating",
            Self::Live => "live",
            Self::Stale => "stale",
            Self::Down => "down",
            Self::Refused => "refused",
        }
    }
}

/// A change of the state, or of the reason for it.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) state: State,
    pub(crate) reason: String,
    pub(crate) close_code: Option<u16>,
    /// With which the server refused the handshake.
    pub(crate) http_status: Option<u16>,
    /// Without it nothing is tried before a new login.
    pub(crate) retry_in: Option<Duration>,
    /// How often it was tried since a connection lasted.
    pub(crate) attempt: u32,
}

impl Change {
    pub(crate) fn new(state: State, reason: impl Into<String>) -> Self {
        Self {
            state,
            reason: reason.into(),
            close_code: None,
            http_status: None,
            retry_in: None,
            attempt: 0,
        }
    }

    /// After the end of a connection.
    pub(crate) fn after(ended: &Ended, state: State, reason: String) -> Self {
        Self {
            close_code: ended.code,
            http_status: ended.http_status,
            ..Self::new(state, reason)
        }
    }

    #[must_use]
    pub(crate) fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    #[must_use]
    pub(crate) fn retry_in(mut self, wait: Option<Duration>) -> Self {
        self.retry_in = wait;
        self
    }

    /// Writes the members of the event, without braces.
    pub(crate) fn write_members(&self, out: &mut String) {
        out.push_str("\"type\":\"state\",\"state\":\"");
        out.push_str(self.state.name());
        out.push_str("\",\"reason\":");
        write_string(out, &self.reason);
        let or_null = |number: Option<u64>| match number {
            Some(number) => number.to_string(),
            None => "null".to_owned(),
        };
        // Writing to a String cannot fail.
        let _written = write!(
            out,
            ",\"close_code\":{},\"http_status\":{},\"retry_in_ms\":{},\"attempt\":{}",
            or_null(self.close_code.map(u64::from)),
            or_null(self.http_status.map(u64::from)),
            or_null(self.retry_in.map(millis)),
            self.attempt,
        );
    }
}

/// What every feed counts.
#[derive(Default)]
pub(crate) struct Counters {
    /// Connections that were made.
    pub(crate) connections: AtomicU64,
    /// Connections that were lost after they had been live.
    pub(crate) gaps: AtomicU64,
    /// Frames that the server sent, texts and binary ones.
    pub(crate) frames: AtomicU64,
}

impl Counters {
    pub(crate) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn lost(&self) {
        self.gaps.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn frame(&self) {
        self.frames.fetch_add(1, Ordering::Relaxed);
    }
}

/// What the status of every feed says.
pub(crate) struct Standing<'a> {
    pub(crate) change: &'a Change,
    /// How long the state has been what it is.
    pub(crate) state_for: Duration,
    pub(crate) counters: &'a Counters,
    /// Events that wait to be read.
    pub(crate) waiting: usize,
    /// The number of the event that was read last.
    pub(crate) last_sequence: u64,
    /// Those in force.
    pub(crate) options: Map<String, Value>,
}

impl Standing<'_> {
    /// The status as JSON, with what only one of the feeds has in `more`.
    pub(crate) fn to_json(&self, more: Value) -> String {
        let change = self.change;
        let mut all = json!({
            "state": change.state.name(),
            "reason": change.reason,
            "close_code": change.close_code,
            "http_status": change.http_status,
            "retry_in_ms": change.retry_in.map(millis),
            "attempt": change.attempt,
            "state_for_ms": millis(self.state_for),
            "connections": self.counters.connections.load(Ordering::Relaxed),
            "gaps": self.counters.gaps.load(Ordering::Relaxed),
            "frames": self.counters.frames.load(Ordering::Relaxed),
            "waiting": self.waiting,
            "last_sequence": self.last_sequence,
            "options": self.options,
        });
        if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
            all.extend(more);
        }
        all.to_string()
    }
}
