//! The configuration of a client: one JSON object, checked when it opens.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use url::{ParseError, Url};

use crate::base::decimal::Decimal;
use crate::base::error::Error;
use crate::base::json::Fields;
use crate::base::log::{self, Level, Log};
use crate::base::pasted;
use crate::base::secret::Secret;
use crate::broker::gate::Limits;
use crate::broker::hosts::{self, Environment, Generation};
use crate::broker::params::LONGEST_MS;
use crate::broker::words;
use crate::ledger::LedgerSync;
use crate::transport::{Proxy, Settings};

/// A checked configuration. The keys are documented in `docs/guide.md`.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) environment: Environment,
    pub(crate) generation: Option<Generation>,
    pub(crate) consumer_key: Option<Secret>,
    pub(crate) consumer_secret: Option<Secret>,
    pub(crate) access_token: Option<Secret>,
    pub(crate) neo_fin_key: Option<Secret>,
    pub(crate) base_url: Option<Url>,
    pub(crate) timeouts: Timeouts,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) proxy: Proxy,
    pub(crate) local_address: Option<IpAddr>,
    pub(crate) log: Option<log::Settings>,
    pub(crate) orders: Orders,
    pub(crate) reads: Reads,
    pub(crate) cache_dir: Option<PathBuf>,
}

/// How long calls may take, each with everything that belongs to them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) login: Duration,
    pub(crate) order: Duration,
    pub(crate) read: Duration,
    pub(crate) download: Duration,
    pub(crate) connect: Duration,
}

/// What orders keep to.
#[derive(Clone, Debug)]
pub(crate) struct Orders {
    pub(crate) max_per_second: u32,
    pub(crate) ledger_file: Option<PathBuf>,
    pub(crate) ledger_sync: LedgerSync,
    pub(crate) outcome_window: Duration,
    pub(crate) limits: Limits,
    pub(crate) max_per_day: Option<u64>,
}

/// How many reads may leave, of each class: in a second, and of quotes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reads {
    pub(crate) quotes: u32,
    pub(crate) quotes_at_once: u32,
    pub(crate) candles: u32,
    pub(crate) other: u32,
}

const NAME: &str = "config";
/// The largest limit for a second: it limits nothing.
const ANY_NUMBER: u64 = 1_000_000;

impl Config {
    /// Reads `text`; an empty one means all defaults.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let is_empty = pasted::trimmed(text).is_empty();
        let text = if is_empty { "{}" } else { text };
        let mut fields = Fields::parse(NAME, text)?;
        let environment = fields
            .choice(
                "environment",
                &[("prod", Environment::Prod), ("uat", Environment::Uat)],
                true,
            )?
            .unwrap_or(Environment::Prod);
        let generation = match fields.integer("generation", 1..=3)? {
            None => None,
            Some(1) => Some(Generation::One),
            Some(2) => Some(Generation::Two),
            Some(_) => Some(Generation::Three),
        };
        let base_url = match fields.text("base_url")? {
            None => None,
            Some(text) => {
                let url = hosts::parse_base_url(as_address("base_url", &text)?);
                Some(url.map_err(|problem| Error::argument("config.base_url", problem))?)
            }
        };
        let config = Self {
            environment,
            generation,
            consumer_key: fields.pasted_secret("consumer_key")?,
            consumer_secret: fields.pasted_secret("consumer_secret")?,
            access_token: fields.pasted_secret("access_token")?,
            neo_fin_key: fields.pasted_secret("neo_fin_key")?,
            base_url,
            timeouts: timeouts(&mut fields)?,
            ca_file: path(&mut fields, "ca_file")?,
            proxy: proxy(&mut fields)?,
            local_address: match fields.text("local_address")? {
                None => None,
                Some(text) => Some(pasted::trimmed(&text).parse().map_err(|_| {
                    Error::argument("config.local_address", "must be an IPv4 or IPv6 address")
                })?),
            },
            log: log(&mut fields)?,
            orders: orders(&mut fields)?,
            reads: reads(&mut fields)?,
            cache_dir: path(&mut fields, "cache_dir")?,
        };
        fields.finish()?;
        Ok(config)
    }

    /// What all connections have in common. Reads the CA file.
    pub(crate) fn connection(&self) -> Result<Settings, Error> {
        Settings::new(
            self.ca_file.as_deref(),
            &self.proxy,
            self.local_address,
            self.timeouts.connect,
        )
    }

    /// The log, if the configuration asks for one.
    pub(crate) fn open_log(&self) -> Result<Log, Error> {
        Log::open(self.log.as_ref()).map_err(|problem| Error::argument("config.log.file", problem))
    }

    /// What is in force, defaults included, without any secret.
    pub(crate) fn describe(&self) -> serde_json::Value {
        let ms = |limit: Duration| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let show = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let limits = &self.orders.limits;
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "environment": self.environment.name(),
            "generation": self.generation.map(Generation::number),
            "base_url": self.base_url.as_ref().map(Url::as_str),
            "timeouts": {
                "login": ms(self.timeouts.login),
                "order": ms(self.timeouts.order),
                "read": ms(self.timeouts.read),
                "download": ms(self.timeouts.download),
                "connect": ms(self.timeouts.connect),
            },
            "ca_file": show(&self.ca_file),
            "proxy": self.proxy.shown(),
            "local_address": self.local_address.map(|address| address.to_string()),
            "max_orders_per_second": self.orders.max_per_second,
            "max_reads_per_second": {
                "quotes": self.reads.quotes,
                "candles": self.reads.candles,
                "other": self.reads.other,
            },
            "max_quotes_at_once": self.reads.quotes_at_once,
            "ledger_file": show(&self.orders.ledger_file),
            "ledger_sync": match self.orders.ledger_sync {
                LedgerSync::Process => "process",
                LedgerSync::Disk => "disk",
            },
            "outcome_window_ms": ms(self.orders.outcome_window),
            "cache_dir": show(&self.cache_dir),
            "read_only": limits.read_only,
            "max_order_quantity": limits.max_quantity.as_ref().map(Decimal::to_string),
            "max_order_value": limits.max_value.as_ref().map(Decimal::to_string),
            "max_orders_per_day": self.orders.max_per_day,
            "allowed_segments": limits.segments,
            "log": self.log.as_ref().map(|log| {
                let level = LEVELS.iter().find(|(_, level)| *level == log.level);
                json!({"level": level.map(|(name, _)| name), "file": log.file.display().to_string()})
            }),
        })
    }
}

fn path(fields: &mut Fields, key: &str) -> Result<Option<PathBuf>, Error> {
    match fields.text(key)? {
        None => Ok(None),
        Some(text) => whole_path(&fields.path(key), &text).map(Some),
    }
}

/// A path from the root on: a program that changes its folder later shall not write
/// somewhere else. `name` is what messages call it.
pub(crate) fn whole_path(name: &str, text: &str) -> Result<PathBuf, Error> {
    if let Some(problem) = pasted::no_path(text) {
        return Err(Error::argument(name, problem));
    }
    std::path::absolute(text).map_err(|error| {
        let problem = format!("is relative, and the folder of this process is not known: {error}");
        Error::argument(name, problem)
    })
}

/// An address without blanks around it; one in quotes, or with what does not show,
/// would be told to be no URL and nothing more.
fn as_address<'a>(key: &str, text: &'a str) -> Result<&'a str, Error> {
    let text = pasted::trimmed(text);
    match pasted::unseen(text) {
        None => Ok(text),
        Some(unseen) => Err(Error::argument(
            &format!("{NAME}.{key}"),
            format_args!("has {unseen}"),
        )),
    }
}

fn timeouts(fields: &mut Fields) -> Result<Timeouts, Error> {
    let mut given = fields.object("timeouts")?;
    let mut take = |key: &str, default: u64| -> Result<Duration, Error> {
        let ms = match given.as_mut() {
            None => None,
            Some(given) => given.integer(key, 1..=LONGEST_MS)?,
        };
        Ok(Duration::from_millis(ms.unwrap_or(default)))
    };
    let timeouts = Timeouts {
        login: take("login", 30_000)?,
        order: take("order", 10_000)?,
        read: take("read", 15_000)?,
        download: take("download", 120_000)?,
        connect: take("connect", 5_000)?,
    };
    match given {
        None => Ok(timeouts),
        Some(given) => given.finish().map(|()| timeouts),
    }
}

fn proxy(fields: &mut Fields) -> Result<Proxy, Error> {
    let wrong = |problem| Err(Error::argument("config.proxy", problem));
    let text = fields.text("proxy")?;
    let text = text.as_deref();
    match text.map(|text| as_address("proxy", text)).transpose()? {
        None => Ok(Proxy::None),
        Some("system") => Ok(Proxy::System),
        Some(text) => match Url::parse(text) {
            Ok(url) if url.scheme() == "http" && url.has_host() => Ok(Proxy::Url(url)),
            Ok(_) => wrong("must be \"system\" or a URL like http://user:password@host:3128"),
            Err(ParseError::IdnaError) => wrong(hosts::BEYOND_ASCII),
            Err(_) => wrong("must be \"system\" or a URL"),
        },
    }
}

const LEVELS: [(&str, Level); 6] = [
    ("off", Level::Off),
    ("error", Level::Error),
    ("warn", Level::Warn),
    ("info", Level::Info),
    ("debug", Level::Debug),
    ("trace", Level::Trace),
];

fn log(fields: &mut Fields) -> Result<Option<log::Settings>, Error> {
    let Some(mut given) = fields.object("log")? else {
        return Ok(None);
    };
    let level = given
        .choice("level", &LEVELS, false)?
        .unwrap_or(Level::Info);
    let file = given.text("file")?.filter(|path| !path.is_empty());
    let file = match file {
        Some(file) => whole_path("config.log.file", &file)?,
        None => return Err(Error::argument("config.log.file", "must name a file")),
    };
    given.finish()?;
    Ok(Some(log::Settings { level, file }))
}

fn orders(fields: &mut Fields) -> Result<Orders, Error> {
    let max = fields
        .integer("max_orders_per_second", 1..=ANY_NUMBER)?
        .unwrap_or(10);
    Ok(Orders {
        max_per_second: u32::try_from(max).unwrap_or(u32::MAX),
        ledger_file: path(fields, "ledger_file")?,
        ledger_sync: fields
            .choice(
                "ledger_sync",
                &[("process", LedgerSync::Process), ("disk", LedgerSync::Disk)],
                false,
            )?
            .unwrap_or(LedgerSync::Process),
        outcome_window: Duration::from_millis(
            fields
                .integer("outcome_window_ms", 1_000..=LONGEST_MS)?
                .unwrap_or(120_000),
        ),
        limits: limits(fields)?,
        max_per_day: fields.integer("max_orders_per_day", 1..=1_000_000)?,
    })
}

fn reads(fields: &mut Fields) -> Result<Reads, Error> {
    let at_once = fields.integer("max_quotes_at_once", 1..=ANY_NUMBER)?;
    let mut given = fields.object("max_reads_per_second")?;
    let mut take = |key: &str, default: u32| -> Result<u32, Error> {
        let most = match given.as_mut() {
            None => None,
            Some(given) => given.integer(key, 1..=ANY_NUMBER)?,
        };
        Ok(most.map_or(default, |most| u32::try_from(most).unwrap_or(u32::MAX)))
    };
    let reads = Reads {
        quotes: take("quotes", 25)?,
        quotes_at_once: at_once.map_or(4, |most| u32::try_from(most).unwrap_or(u32::MAX)),
        candles: take("candles", 2)?,
        other: take("other", 10)?,
    };
    match given {
        None => Ok(reads),
        Some(given) => given.finish().map(|()| reads),
    }
}

fn limits(fields: &mut Fields) -> Result<Limits, Error> {
    let more_than_zero = |key: &str, given: Option<String>| {
        let number = given.as_deref().and_then(Decimal::parse);
        if number.as_ref().is_some_and(Decimal::is_zero) {
            let problem = "must be greater than zero";
            return Err(Error::argument(&format!("{NAME}.{key}"), problem));
        }
        Ok(number)
    };
    let quantity = fields.whole("max_order_quantity")?;
    let value = fields.decimal("max_order_value")?;
    Ok(Limits {
        read_only: fields.flag("read_only")?.unwrap_or(false),
        max_quantity: more_than_zero("max_order_quantity", quantity)?,
        max_value: more_than_zero("max_order_value", value)?,
        segments: segments(fields)?,
    })
}

fn segments(fields: &mut Fields) -> Result<Option<Vec<&'static str>>, Error> {
    const KEY: &str = "allowed_segments";
    let Some(given) = fields.texts(KEY)? else {
        return Ok(None);
    };
    if given.is_empty() {
        let problem = "must name a segment; read_only lets no order leave";
        return Err(fields.problem(KEY, problem));
    }
    let code = |text: &String| {
        let text = pasted::trimmed(text);
        words::segment(text).ok_or_else(|| {
            let odd = pasted::odd(text).map_or_else(String::new, |odd| format!("; one has {odd}"));
            let problem = format!("must be a list of segments like \"nse_cm\" or \"NFO\"{odd}");
            fields.problem(KEY, problem)
        })
    };
    let mut codes = given.iter().map(code).collect::<Result<Vec<_>, _>>()?;
    codes.sort_unstable();
    codes.dedup();
    Ok(Some(codes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        let error = Config::parse(text).expect_err(text);
        error.message().to_owned()
    }

    #[test]
    fn nothing_given_means_the_defaults() {
        for text in ["", "  ", "{}", r#"{"base_url":null,"timeouts":{}}"#] {
            let config = Config::parse(text).expect("all defaults");
            assert_eq!(config.environment, Environment::Prod);
            assert_eq!(config.generation, None);
            assert_eq!(config.timeouts.login, Duration::from_secs(30));
            assert_eq!(config.timeouts.connect, Duration::from_secs(5));
            assert_eq!(config.orders.max_per_second, 10);
            let reads = Reads {
                quotes: 25,
                quotes_at_once: 4,
                candles: 2,
                other: 10,
            };
            assert_eq!(config.reads, reads);
            assert_eq!(config.orders.ledger_sync, LedgerSync::Process);
            assert_eq!(config.orders.outcome_window, Duration::from_secs(120));
            assert_eq!(config.proxy, Proxy::None);
            let limits = &config.orders.limits;
            assert!(!limits.read_only && limits.segments.is_none());
            assert!(limits.max_quantity.is_none() && limits.max_value.is_none());
            assert_eq!(config.orders.max_per_day, None);
        }
    }

    #[test]
    fn reads_every_key() {
        let config = Config::parse(
            r#"{"environment":" UAT ","generation":2,"consumer_key":"k","consumer_secret":"s",
                "access_token":"a","neo_fin_key":"n","base_url":"http://127.0.0.1:9",
                "timeouts":{"login":1,"order":2,"read":3,"download":4,"connect":5},
                "ca_file":"ca.pem","proxy":"http://u:p@localhost:3128","local_address":"::1",
                "max_reads_per_second":{"quotes":24,"candles":3,"other":9},"max_quotes_at_once":2,
                "max_orders_per_second":7,"ledger_file":"l","ledger_sync":"disk",
                "outcome_window_ms":5000,"cache_dir":"d","read_only":true,
                "max_order_quantity":"75","max_order_value":250000.50,"max_orders_per_day":40,
                "allowed_segments":["NFO","nse_cm","nse_fo"],"log":{"level":"debug","file":"f"}}"#,
        )
        .expect("every key is known");
        assert_eq!(config.environment, Environment::Uat);
        assert_eq!(config.generation, Some(Generation::Two));
        assert_eq!(config.timeouts.download, Duration::from_millis(4));
        assert_eq!(config.orders.max_per_second, 7);
        assert_eq!(config.orders.ledger_sync, LedgerSync::Disk);
        let shown = config.describe();
        let most = json!({"quotes": 24, "candles": 3, "other": 9});
        assert_eq!(shown["max_reads_per_second"], most);
        assert_eq!(shown["max_quotes_at_once"], 2);
        assert_eq!(shown["read_only"], true);
        assert_eq!(shown["max_order_quantity"], "75");
        assert_eq!(shown["max_order_value"], "250000.5");
        assert_eq!(shown["max_orders_per_day"], 40);
        assert_eq!(shown["allowed_segments"], json!(["nse_cm", "nse_fo"]));
        assert!(
            config.log.is_some()
                && config.cache_dir.is_some()
                && config.orders.ledger_file.is_some()
        );
    }

    #[test]
    fn names_the_wrong_key() {
        for (text, expected) in [
            (
                r#"{"envoironment":"prod"}"#,
                "config: unknown key \"envoironment\"",
            ),
            (
                r#"{"environment":"live"}"#,
                "config.environment: must be one of \"prod\", \"uat\"",
            ),
            (
                r#"{"generation":4}"#,
                "config.generation: must be an integer from 1 to 3",
            ),
            (
                r#"{"timeouts":{"login":0}}"#,
                "config.timeouts.login: must be an integer from 1 to 3600000",
            ),
            (
                r#"{"timeouts":{"logon":1}}"#,
                "config.timeouts: unknown key \"logon\"",
            ),
            (
                r#"{"consumer_key":" "}"#,
                "config.consumer_key: must not be blank",
            ),
            (
                r#"{"local_address":"here"}"#,
                "config.local_address: must be an IPv4 or IPv6 address",
            ),
            (
                r#"{"proxy":"socks5://h:1"}"#,
                "config.proxy: must be \"system\" or a URL like",
            ),
            (
                r#"{"proxy":"http://b\u00fccher.example:3128"}"#,
                "config.proxy: has a host name beyond ASCII",
            ),
            (
                r#"{"max_orders_per_second":0}"#,
                "config.max_orders_per_second: must be",
            ),
            (
                r#"{"ledger_sync":"often"}"#,
                "config.ledger_sync: must be one of",
            ),
            (
                r#"{"max_reads_per_second":10}"#,
                "config.max_reads_per_second: must be a JSON object",
            ),
            (
                r#"{"max_reads_per_second":{"candles":0}}"#,
                "config.max_reads_per_second.candles: must be an integer from 1 to 1000000",
            ),
            (
                r#"{"max_reads_per_second":{"all":10}}"#,
                "config.max_reads_per_second: unknown key \"all\"",
            ),
            (
                r#"{"max_quotes_at_once":0}"#,
                "config.max_quotes_at_once: must be an integer from 1 to 1000000",
            ),
            (
                r#"{"read_only":"yes"}"#,
                "config.read_only: must be true or false",
            ),
            (
                r#"{"max_order_quantity":0}"#,
                "config.max_order_quantity: must be greater than zero",
            ),
            (
                r#"{"max_order_quantity":1.5}"#,
                "config.max_order_quantity: must be a whole number",
            ),
            (
                r#"{"max_order_value":"0.00"}"#,
                "config.max_order_value: must be greater than zero",
            ),
            (
                r#"{"max_order_value":1e5}"#,
                "config.max_order_value: must be a plain decimal number",
            ),
            (
                r#"{"max_orders_per_day":0}"#,
                "config.max_orders_per_day: must be an integer from 1 to 1000000",
            ),
            (
                r#"{"allowed_segments":[]}"#,
                "config.allowed_segments: must name a segment",
            ),
            (
                r#"{"allowed_segments":"nse_cm"}"#,
                "config.allowed_segments: must be a list of strings",
            ),
            (
                r#"{"allowed_segments":["nse_cm","nyse"]}"#,
                "config.allowed_segments: must be a list of segments",
            ),
            (
                r#"{"base_url":"http://example.com"}"#,
                "config.base_url: plain http",
            ),
        ] {
            let message = wrong(text);
            assert!(message.starts_with(expected), "{text}: {message}");
        }
    }

    #[test]
    fn shows_no_secret() {
        let config = Config::parse(
            r#"{"consumer_key":"fake-key-1","consumer_secret":"fake-secret-1","access_token":"fake-token-1",
                "proxy":"http://fake-user:fake-password@localhost:1"}"#,
        )
        .expect("three secrets");
        let shown = format!("{config:?} {}", config.describe());
        assert!(!shown.contains("fake-"), "{shown}");
    }
}
