//! The text frames of the market feed: what is asked for, and what the broker
//! answers. Pure.

use serde_json::Value;
use zeroize::Zeroizing;

use super::exchange::{self, exchange_id};
use crate::base::error::Error;
use crate::base::json;
use crate::base::pasted;
use crate::broker::indices::{self, Asked};

/// The broker's limit over all kinds.
pub(crate) const MOST_TOKENS: usize = 3000;
/// Instruments in one frame.
pub(crate) const BATCH: usize = 500;
const LONGEST_NAME: usize = 64;

/// What can be subscribed. The order is that of the frames after a reconnect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Intent {
    Scrips,
    Lite,
    Depth,
    FullDepth,
    Index,
    Exchange,
}

/// All of them.
pub(crate) const INTENTS: [Intent; 6] = [
    Intent::Scrips,
    Intent::Lite,
    Intent::Depth,
    Intent::FullDepth,
    Intent::Index,
    Intent::Exchange,
];

impl Intent {
    /// Reads the argument `kind`.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let found = INTENTS.into_iter().find(|intent| intent.name() == text);
        found.ok_or_else(|| {
            Error::argument(
                "kind",
                "must be one of \"scrips\", \"scrips_lite\", \"depth\", \"full_depth\", \
                 \"index\", \"exchange\"",
            )
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Scrips => "scrips",
            Self::Lite => "scrips_lite",
            Self::Depth => "depth",
            Self::FullDepth => "full_depth",
            Self::Index => "index",
            Self::Exchange => "exchange",
        }
    }

    fn event(self) -> &'static str {
        match self {
            Self::Scrips => "Scrips",
            Self::Lite => "ScripsLite",
            Self::Depth => "Depth",
            Self::FullDepth => "FullDepth",
            Self::Index => "Indices",
            Self::Exchange => "Exchange",
        }
    }

    /// Whether the broker gives single values of it.
    pub(crate) fn has_snapshot(self) -> bool {
        !matches!(self, Self::FullDepth | Self::Exchange)
    }

    /// The keys under which its values are kept.
    pub(crate) fn planes(self) -> &'static [u8] {
        match self {
            Self::Scrips => &[4, 2],
            Self::Lite => &[1],
            Self::Depth => &[8],
            Self::FullDepth => &[16],
            Self::Index | Self::Exchange => &[],
        }
    }
}

/// One instrument, written as the broker wants it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instrument {
    pub(crate) exchange: i8,
    /// A number, or the name of an index.
    pub(crate) token: String,
}

impl Instrument {
    /// Reads `nse_cm|11536`.
    pub(crate) fn parse(name: &str, text: &str, by_name: bool) -> Result<Self, Error> {
        let wrong = |problem: &str| Err(Error::argument(name, problem));
        let text = pasted::trimmed(text);
        let Some((exchange, token)) = text.split_once('|') else {
            let odd = pasted::odd(text).map_or_else(String::new, |odd| format!("; this has {odd}"));
            return wrong(&format!(
                "each entry must be exchange|token, for example nse_cm|11536{odd}"
            ));
        };
        let Some(exchange) = exchange_id(pasted::trimmed(exchange)).filter(|id| *id > 0) else {
            return wrong(
                "the exchange must be one of nse_cm, nse_fo, cde_fo, nse_com, bse_cm, bse_fo, \
                 bse_cd, bse_co, mcx_fo, ncd_co",
            );
        };
        let token = pasted::trimmed(token);
        if let Ok(number) = token.parse::<u32>() {
            let token = number.to_string();
            return Ok(Self { exchange, token });
        }
        if !by_name {
            return match pasted::odd(token) {
                Some(odd) => wrong(&format!("the token must be a number; this has {odd}")),
                None => wrong("the token must be a number"),
            };
        }
        let fits = !token.is_empty()
            && token.len() <= LONGEST_NAME
            && !token.contains(['|', ','])
            && pasted::odd(token).is_none();
        if !fits {
            return wrong("the name of an index is 1 to 64 of ASCII, without | and commas");
        }
        let token = token.to_owned();
        Ok(Self { exchange, token })
    }

    /// As it stands in a frame.
    pub(crate) fn text(&self) -> String {
        format!("{}|{}", exchange::exchange_name(self.exchange), self.token)
    }

    pub(crate) fn number(&self) -> Option<u32> {
        self.token.parse().ok()
    }

    /// Refuses the number of an index, which has no touch line and no depth: the broker
    /// would send nothing, and say nothing.
    pub(crate) fn must_be_no_index(&self, name: &str) -> Result<(), Error> {
        let segment = exchange::exchange_name(self.exchange).to_string();
        match self.number() {
            Some(number) if indices::is_index(&segment, number) => Err(Error::argument(
                name,
                format_args!(
                    "{} is an index: only kind \"index\" and kneo_feed_last have it",
                    self.text()
                ),
            )),
            _ => Ok(()),
        }
    }

    /// What to tell of the name of an index that the broker spells otherwise.
    pub(crate) fn misspelt(&self) -> Option<String> {
        let segment = exchange::exchange_name(self.exchange).to_string();
        let right = indices::spelling(Asked::Feed, &segment, &self.token)?;
        Some(indices::misspelt(&self.token, right))
    }
}

/// Reads a list of instruments, separated by commas.
pub(crate) fn instruments(intent: Intent, tokens: Option<&str>) -> Result<Vec<Instrument>, Error> {
    let is_nothing = |text: &str| pasted::trimmed(text).is_empty();
    let given = tokens.filter(|text| !is_nothing(text));
    match (intent, given) {
        (Intent::Exchange, None) => Ok(Vec::new()),
        (Intent::Exchange, Some(_)) => Err(Error::argument(
            "tokens",
            "must be NULL or empty for kind \"exchange\"",
        )),
        (_, None) => Err(Error::argument("tokens", "must name an instrument")),
        (_, Some(text)) => {
            let mut all = Vec::new();
            for one in text.split(',') {
                // Far more than can be subscribed: no need to read the rest.
                if all.len() > 4 * MOST_TOKENS {
                    return Err(Error::argument("tokens", "has too many entries"));
                }
                // What a list ends with that a program wrote.
                if is_nothing(one) {
                    continue;
                }
                let one = Instrument::parse("tokens", one, intent == Intent::Index)?;
                if intent != Intent::Index {
                    one.must_be_no_index("tokens")?;
                }
                all.push(one);
            }
            if all.is_empty() {
                return Err(Error::argument("tokens", "must name an instrument"));
            }
            all.sort();
            all.dedup();
            Ok(all)
        }
    }
}

/// What is done with instruments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Subscribe,
    Unsubscribe,
    Snapshot,
}

/// The frames that ask for `instruments`, some hundred in each.
pub(crate) fn frames(verb: Verb, intent: Intent, instruments: &[Instrument]) -> Vec<String> {
    let (word, ack) = match verb {
        Verb::Subscribe => ("subscribe", r#","ack_symbol":true"#),
        Verb::Unsubscribe => ("unsubscribe", ""),
        Verb::Snapshot => ("snapshot", r#","ack_symbol":true"#),
    };
    let event = intent.event();
    if intent == Intent::Exchange {
        return vec![format!(r#"{{"event":"{word}{event}"}}"#)];
    }
    let batches = instruments.chunks(BATCH).map(|batch| {
        let all: Vec<String> = batch.iter().map(Instrument::text).collect();
        let mut frame = format!(r#"{{"event":"{word}{event}","inputtoken":"#);
        json::write_string(&mut frame, &all.join(","));
        frame.push_str(ack);
        frame.push('}');
        frame
    });
    batches.collect()
}

/// The login. It carries the session id.
pub(crate) fn login(user: &str, sid: &str, now_ms: u128) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(512));
    text.push_str(r#"{"user":"#);
    json::write_string(&mut text, user);
    text.push_str(r#","auth":"#);
    json::write_string(&mut text, sid);
    text.push_str(&format!(
        r#","format":"native_batch","source":"NEOTRADEAPI","platform":"Web","version":"1.2.3","sdk_version":2,"sdk_date":"2026-08-07T09:41:17.667Z","conn_req_time":{now_ms},"sessionValidation":false}}"#
    ));
    text
}

/// What a text frame of the broker says.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    /// The login is good (1117), or so it seems (1119).
    Welcome {
        sure: bool,
        dividers: Vec<(i8, i64)>,
    },
    /// The login is not accepted, in the broker's words.
    Refused(String),
    /// A format that this library does not read.
    Fallback,
    /// Instruments and their trading symbols.
    Symbols(Vec<(String, String)>),
    /// A subscription was not taken, in the broker's words.
    NotSubscribed(String),
    Other,
}

/// Reads a text frame. Whatever cannot be read is [`Answer::Other`].
pub(crate) fn answer(text: &str) -> Answer {
    let Ok(Value::Object(body)) = serde_json::from_str::<Value>(text) else {
        return Answer::Other;
    };
    let words = || {
        let said = ["description", "message", "error", "reason"]
            .iter()
            .find_map(|key| body.get(*key).and_then(Value::as_str))
            .unwrap_or("no reason given");
        said.to_owned()
    };
    match body.get("message_code").and_then(whole) {
        Some(code @ (1117 | 1119)) => {
            if body.get("format").and_then(Value::as_str) == Some("native_fallback") {
                return Answer::Fallback;
            }
            let exchanges = body.get("exchanges").and_then(Value::as_object);
            let dividers = exchanges
                .into_iter()
                .flatten()
                .filter_map(|(name, about)| {
                    let given = about.get("value").and_then(whole);
                    let id = match given {
                        Some(id) => i8::try_from(id).ok()?,
                        None => exchange_id(name)?,
                    };
                    let divider = about.get("divider").and_then(whole);
                    Some((
                        id,
                        divider.unwrap_or_else(|| exchange::USUAL_DIVIDER.into()),
                    ))
                })
                .collect();
            Answer::Welcome {
                sure: code == 1117,
                dividers,
            }
        }
        Some(1120) => Answer::Refused(words()),
        Some(1109) => {
            let code = body.get("error_code").and_then(whole).unwrap_or(0);
            if code != 0 {
                return Answer::NotSubscribed(format!("{code}: {}", words()));
            }
            Answer::Symbols(symbols(&body))
        }
        _ => Answer::Other,
    }
}

/// Both shapes that are known.
fn symbols(body: &serde_json::Map<String, Value>) -> Vec<(String, String)> {
    let plain = body.get("trading_symbols").and_then(Value::as_object);
    let nested = body.get("data").and_then(Value::as_object);
    let named = |(key, value): (&String, &Value)| {
        let symbol = value.as_str().or_else(|| {
            let inner = value.get("trading_symbols").or(value.get("trading_symbol"));
            inner?.as_str()
        })?;
        (!symbol.is_empty() && symbol.len() < 256 && key.len() < 256)
            .then(|| (key.clone(), symbol.to_owned()))
    };
    let all = plain.into_iter().chain(nested).flatten();
    all.filter_map(named).collect()
}

/// A whole number, also one that is written as `100.0`, or a text of one.
fn whole(value: &Value) -> Option<i64> {
    let written_as_fraction = || {
        let number = value.as_f64()?;
        // No number here comes near it; beyond it a cast would not be exact.
        (number.fract() == 0.0 && number.abs() < 1e15).then_some(number as i64)
    };
    let text = || value.as_str()?.parse().ok();
    value.as_i64().or_else(written_as_fraction).or_else(text)
}

#[cfg(test)]
mod tests {
    use kotak_neo_testing::fixtures::sample;

    use super::*;

    #[test]
    fn reads_the_documented_answers() {
        let welcome = |name: &str| match answer(&sample(name)) {
            Answer::Welcome { sure, dividers } => (sure, dividers),
            other => panic!("{name}: {other:?}"),
        };
        let (sure, dividers) = welcome("feed_auth.1117");
        assert!(sure && dividers.contains(&(3, 10_000_000)) && dividers.contains(&(2, 100)));
        let (sure, dividers) = welcome("feed_auth.1119");
        assert!(!sure && dividers.contains(&(7, 10_000_000)));
        assert_eq!(
            answer(&sample("feed_auth.1120")),
            Answer::Refused("Auth failed ...".to_owned())
        );
        assert_eq!(
            answer(&sample("feed_ack_1109.sdk-shape")),
            Answer::Symbols(vec![("nse_cm|2885".to_owned(), "RELIANCE-EQ".to_owned())])
        );
        assert_eq!(
            answer(&sample("feed_ack_1109.broker-doc-shape")),
            Answer::Symbols(vec![("nse_cm|1333".to_owned(), "HDFCBANK-EQ".to_owned())])
        );
        assert_eq!(
            answer(r#"{"message_code":1117,"format":"native_fallback"}"#),
            Answer::Fallback
        );
        assert_eq!(
            answer(r#"{"message_code":1109,"error_code":7,"description":"bad token"}"#),
            Answer::NotSubscribed("7: bad token".to_owned())
        );
        for odd in [
            "",
            "[]",
            "null",
            "{",
            r#"{"message_code":{}}"#,
            r#"{"message_code":1}"#,
        ] {
            assert_eq!(answer(odd), Answer::Other, "{odd}");
        }
    }

    #[test]
    fn dividers_without_a_number_are_the_usual_one() {
        let text = r#"{"message_code":1117,"exchanges":{"nse_cm":{},"moon":{"divider":5},"x":{"value":300}}}"#;
        let dividers = vec![(1, 100)];
        assert_eq!(
            answer(text),
            Answer::Welcome {
                sure: true,
                dividers
            }
        );
    }

    #[test]
    fn a_divider_may_be_written_as_a_fraction() {
        let text = r#"{"message_code":1117.0,"exchanges":{"cde_fo":{"divider":10000000.0},"x":{"value":4.0,"divider":1e4}}}"#;
        let Answer::Welcome { dividers, .. } = answer(text) else {
            panic!("{:?}", answer(text));
        };
        assert_eq!(dividers, [(3, 10_000_000), (4, 10_000)]);
    }

    #[test]
    fn reads_instruments() {
        let all = instruments(
            Intent::Scrips,
            Some(" nse_fo|44500,\r\n\u{a0}nse_cm | 011536\u{200b} ,, nse_fo|44500,\n"),
        );
        let all = all.expect("they are good");
        let texts: Vec<String> = all.iter().map(Instrument::text).collect();
        assert_eq!(texts, ["nse_cm|11536", "nse_fo|44500"]);
        let index = instruments(Intent::Index, Some("nse_cm|Nifty 50")).expect("a name is good");
        assert_eq!(index[0].text(), "nse_cm|Nifty 50");
        assert_eq!(index[0].number(), None);
        assert!(instruments(Intent::Exchange, Some("")).is_ok_and(|all| all.is_empty()));
        let odd = |text| {
            let all = instruments(Intent::Index, Some(text)).expect("a name is good");
            all[0].misspelt()
        };
        assert!(odd("nse_cm|nifty 50").is_some_and(|note| note.contains("\"Nifty 50\"")));
        for right in [
            "nse_cm|Nifty 50",
            "nse_cm|26000",
            "mcx_fo|567",
            "bse_cm|Moon",
        ] {
            assert_eq!(odd(right), None, "{right}");
        }
        for (intent, text) in [
            (Intent::Index, "nse_cm|26000"),
            (Intent::Scrips, "nse_fo|26000"),
            (Intent::Depth, "bse_cm|26000"),
            (Intent::Scrips, "mcx_fo|567"),
        ] {
            assert!(instruments(intent, Some(text)).is_ok(), "{text}");
        }
        for (intent, text) in [
            (Intent::Scrips, ""),
            (Intent::Scrips, "nse_cm"),
            (Intent::Scrips, "nse_cm|"),
            (Intent::Scrips, " ,\n,"),
            (Intent::Index, "nse_cm|Nifty\u{a0}50"),
            (Intent::Scrips, "none|1"),
            (Intent::Scrips, "nyse|1"),
            (Intent::Scrips, "nse_cm|Nifty 50"),
            (Intent::Scrips, "nse_cm|4294967296"),
            (Intent::Scrips, "nse_cm|26000"),
            (Intent::Lite, "nse_cm|11536, nse_cm|026009"),
            (Intent::Depth, "nse_cm|26017"),
            (Intent::FullDepth, "bse_cm|1"),
            (Intent::Index, "nse_cm|a|b"),
            (Intent::Exchange, "nse_cm|1"),
        ] {
            assert!(instruments(intent, Some(text)).is_err(), "{text}");
        }
        for (text, told) in [
            (
                "nse_cm|1,nse_fo\u{ff5c}2",
                "this has U+FF5C FULLWIDTH VERTICAL LINE at character 7",
            ),
            (
                "nse_cm|1\u{ff0c}nse_fo|2",
                "this has U+FF0C FULLWIDTH COMMA at character 2",
            ),
            (
                "nse_cm|1\u{a0}1",
                "this has U+00A0 NO-BREAK SPACE at character 2",
            ),
        ] {
            let error = instruments(Intent::Scrips, Some(text)).expect_err(text);
            assert!(error.message().ends_with(told), "{error}");
        }
    }

    #[test]
    fn writes_frames_in_batches() {
        let all: Vec<Instrument> = (0..1200)
            .map(|token| Instrument {
                exchange: 1,
                token: token.to_string(),
            })
            .collect();
        let sent = frames(Verb::Subscribe, Intent::Scrips, &all);
        let counts: Vec<usize> = sent
            .iter()
            .map(|frame| {
                let frame: Value = serde_json::from_str(frame).expect("it is JSON");
                assert_eq!(frame["event"], "subscribeScrips");
                assert_eq!(frame["ack_symbol"], true);
                frame["inputtoken"]
                    .as_str()
                    .expect("a text")
                    .split(',')
                    .count()
            })
            .collect();
        assert_eq!(counts, [500, 500, 200]);
        assert_eq!(
            frames(Verb::Unsubscribe, Intent::Index, &all[..2]),
            [r#"{"event":"unsubscribeIndices","inputtoken":"nse_cm|0,nse_cm|1"}"#]
        );
        assert_eq!(
            frames(Verb::Subscribe, Intent::Exchange, &[]),
            [r#"{"event":"subscribeExchange"}"#]
        );
    }

    #[test]
    fn the_login_has_the_keys_of_the_sdk() {
        let frame: Value = serde_json::from_str(&login("U\"1", "fake-sid", 5)).expect("JSON");
        assert_eq!(frame["user"], "U\"1");
        assert_eq!(frame["auth"], "fake-sid");
        assert_eq!(frame["conn_req_time"].to_string(), "5");
        assert_eq!(frame.as_object().map(serde_json::Map::len), Some(10));
    }
}
