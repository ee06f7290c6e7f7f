//! The options that both feeds have: one set of names, ranges and defaults.

use std::time::Duration;

use serde_json::{Map, Value};

use super::link::{Backoff, Retries};
use crate::base::error::Error;
use crate::base::json::Fields;

/// What messages call the argument.
const OPTIONS: &str = "options";

/// The times of every feed.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    /// Between two pings.
    pub(crate) ping: Duration,
    /// For the server's answer to the login.
    pub(crate) login: Duration,
    reconnect_first: Duration,
    reconnect_cap: Duration,
}

impl Times {
    pub(crate) fn take(fields: &mut Fields) -> Result<Self, Error> {
        Ok(Self {
            ping: ms(fields, "ping_interval_ms", 4000)?,
            login: ms(fields, "login_timeout_ms", 9000)?,
            reconnect_first: ms(fields, "reconnect_first_ms", 500)?,
            reconnect_cap: ms(fields, "reconnect_cap_ms", 30_000)?,
        })
    }

    /// When to connect again.
    pub(crate) fn retries(&self) -> Retries {
        Retries::new(self.reconnect_first, self.reconnect_cap)
    }

    /// When to ask again for what failed, on one connection.
    pub(crate) fn backoff(&self) -> Backoff {
        Backoff::new(self.reconnect_first, self.reconnect_cap)
    }

    pub(crate) fn describe(&self) -> Map<String, Value> {
        let all = [
            ("ping_interval_ms", self.ping),
            ("login_timeout_ms", self.login),
            ("reconnect_first_ms", self.reconnect_first),
            ("reconnect_cap_ms", self.reconnect_cap),
        ];
        let shown = |(key, time): (&str, Duration)| (key.to_owned(), millis(time).into());
        all.into_iter().map(shown).collect()
    }
}

/// Reads the argument; an empty one means all defaults.
pub(crate) fn parse(text: Option<&str>) -> Result<Fields, Error> {
    let text = text.filter(|text| !text.trim().is_empty());
    Fields::parse(OPTIONS, text.unwrap_or("{}"))
}

/// A time in milliseconds.
pub(crate) fn ms(fields: &mut Fields, key: &str, default: u64) -> Result<Duration, Error> {
    let given = fields.integer(key, 10..=3_600_000)?;
    Ok(Duration::from_millis(given.unwrap_or(default)))
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
