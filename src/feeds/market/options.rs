//! The options of `kneo_feed_open`.

use serde_json::{Map, Value};

use super::watch::Patience;
use crate::base::error::Error;
use crate::feeds::options::{self, Times, millis, ms};

/// What is kept for readers, in bytes.
const HISTORY: u64 = 2 << 20;
const MOST_HISTORY: u64 = 64 << 20;

/// How a market feed behaves.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(super) times: Times,
    pub(super) patience: Patience,
    pub(super) history: usize,
}

impl Options {
    /// Reads the argument; an empty one means all defaults.
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, Error> {
        let mut fields = options::parse(text)?;
        let times = Times::take(&mut fields)?;
        let patience = Patience {
            ping: times.ping,
            pong: ms(&mut fields, "pong_timeout_ms", 5000)?,
            stale: ms(&mut fields, "stale_after_ms", 9000)?,
            probe_cap: ms(&mut fields, "probe_cap_ms", 300_000)?,
        };
        let history = fields.integer("history_bytes", 0..=MOST_HISTORY)?;
        fields.finish()?;
        Ok(Self {
            times,
            patience,
            history: history.unwrap_or(HISTORY) as usize,
        })
    }

    /// Those in force.
    pub(super) fn describe(&self) -> Map<String, Value> {
        let mut all = self.times.describe();
        for (key, time) in [
            ("pong_timeout_ms", self.patience.pong),
            ("stale_after_ms", self.patience.stale),
            ("probe_cap_ms", self.patience.probe_cap),
        ] {
            all.insert(key.to_owned(), millis(time).into());
        }
        all.insert("history_bytes".to_owned(), self.history.into());
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn reads_options_and_names_the_wrong_one() {
        let options = Options::parse(None).expect("all defaults");
        assert_eq!(options.patience.stale, Duration::from_secs(9));
        let options = Options::parse(Some(r#"{"ping_interval_ms":100,"history_bytes":0}"#));
        let options = options.expect("both are known");
        assert_eq!(
            (options.times.ping, options.patience.ping, options.history),
            (Duration::from_millis(100), Duration::from_millis(100), 0)
        );
        let wrong = |text| {
            let error = Options::parse(Some(text)).expect_err(text);
            error.message().to_owned()
        };
        assert!(wrong(r#"{"heartbeat":1}"#).starts_with("options: unknown key"));
        assert!(wrong(r#"{"stale_after_ms":1}"#).starts_with("options.stale_after_ms"));
    }

    #[test]
    fn what_is_described_can_be_given() {
        let options = Options::parse(Some(r#"{"probe_cap_ms":10,"login_timeout_ms":3600000}"#));
        let described = options.expect("they are good").describe();
        assert_eq!(described.len(), 8);
        let again = Value::from(described.clone()).to_string();
        let again = Options::parse(Some(&again)).expect("they are good");
        assert_eq!(again.describe(), described);
    }
}
