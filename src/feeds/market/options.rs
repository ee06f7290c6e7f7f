//! The options of `kneo_feed_open`.

use std::time::Duration;

use super::watch::Times;
use crate::error::Error;
use crate::json::Fields;

const OPTIONS: &str = "options_json";

/// How a feed behaves. All times in milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(super) times: Times,
    pub(super) login: Duration,
    pub(super) reconnect_first: Duration,
    pub(super) reconnect_cap: Duration,
    pub(super) history: usize,
}

impl Options {
    /// Reads `options_json`; an empty one means all defaults.
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, Error> {
        let text = text.filter(|text| !text.trim().is_empty()).unwrap_or("{}");
        let mut fields = Fields::parse(OPTIONS, text)?;
        let mut ms = |key: &str, default: u64| -> Result<Duration, Error> {
            let given = fields.integer(key, 50..=3_600_000)?;
            Ok(Duration::from_millis(given.unwrap_or(default)))
        };
        let times = Times {
            ping: ms("ping_interval_ms", 4000)?,
            pong: ms("pong_timeout_ms", 5000)?,
            stale: ms("stale_after_ms", 9000)?,
            probe_cap: ms("probe_cap_ms", 300_000)?,
        };
        let login = ms("login_timeout_ms", 9000)?;
        let reconnect_first = ms("reconnect_first_ms", 500)?;
        let reconnect_cap = ms("reconnect_cap_ms", 30_000)?;
        let history = fields.integer("history_bytes", 0..=67_108_864)?;
        fields.finish()?;
        Ok(Self {
            times,
            login,
            reconnect_first,
            reconnect_cap,
            history: history.map_or(2 << 20, |bytes| bytes as usize),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_options_and_names_the_wrong_one() {
        let options = Options::parse(None).expect("all defaults");
        assert_eq!(options.times.stale, Duration::from_secs(9));
        let options = Options::parse(Some(r#"{"ping_interval_ms":100,"history_bytes":0}"#));
        let options = options.expect("both are known");
        assert_eq!(
            (options.times.ping, options.history),
            (Duration::from_millis(100), 0)
        );
        let wrong = |text| {
            let error = Options::parse(Some(text)).expect_err(text);
            error.message().to_owned()
        };
        assert!(wrong(r#"{"heartbeat":1}"#).starts_with("options_json: unknown key"));
        assert!(wrong(r#"{"stale_after_ms":1}"#).starts_with("options_json.stale_after_ms"));
    }
}
