//! What the reading operations send, made of checked parameters.
//!
//! Parameters have the keyword names of the official SDK. Nothing here does
//! I/O.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::IgnoredAny;
use zeroize::Zeroizing;

use crate::base::calendar::parse_iso_day;
use crate::base::error::Error;
use crate::base::json::{self, Fields};
use crate::broker::indices::{self, Asked};
use crate::broker::judge;
use crate::broker::message::Answer;
use crate::broker::params::{self, form, must, positive};
use crate::broker::words::{self, ORDER_TYPES, PRODUCTS, SEGMENTS, SIDES};

/// The most instruments that one request for quotes names. The broker says 50, and live it
/// refuses 50.
const QUOTES_AT_ONCE: usize = 49;
/// The most that one call may name, as many as a feed may subscribe.
const MOST_QUOTES: usize = 3000;
const LONGEST_TOKEN: usize = 64;
/// Of how many misspelt names is told.
const MOST_TOLD: usize = 5;

/// The part of a request that depends on its parameters.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// Follows the path of the table, percent-encoded.
    pub(crate) path: String,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) body: Option<Zeroizing<Vec<u8>>>,
}

/// Leaves what the SDK leaves as it is: unreserved characters and the two
/// that separate instruments.
fn encode_path(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'|' | b',' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

pub(crate) fn order_by_id(id: &str) -> Parts {
    Parts {
        path: format!("/{id}"),
        ..Parts::default()
    }
}

pub(crate) fn order_history(id: &str) -> Parts {
    Parts {
        body: Some(form(&[("nOrdNo", id.into())])),
        ..Parts::default()
    }
}

/// Generation 3 is always asked for everything, as the SDK does: a filtered
/// call was seen to answer with zeros.
pub(crate) fn limits(fields: &mut Fields) -> Result<Parts, Error> {
    let mut one_of = |key: &str, choices: &[&'static str]| {
        let choices: Vec<(&str, &'static str)> =
            choices.iter().map(|name| (*name, *name)).collect();
        fields
            .choice(key, &choices, false)
            .map(|chosen| chosen.unwrap_or("ALL"))
    };
    let segment = one_of("segment", &["ALL", "CASH", "CUR", "FO"])?;
    let exchange = one_of("exchange", &["ALL", "NSE", "BSE"])?;
    let product = one_of("product", &["ALL", "NRML", "CNC", "MIS"])?;
    let object = [
        ("seg", segment.into()),
        ("exch", exchange.into()),
        ("prod", product.into()),
    ];
    Ok(Parts {
        body: Some(form(&object)),
        ..Parts::default()
    })
}

pub(crate) fn margin_required(fields: &mut Fields) -> Result<Parts, Error> {
    let mut code = |key: &str, choices: &[(&str, &'static str)]| {
        let chosen = fields.choice(key, choices, false)?;
        must(fields, key, chosen)
    };
    let segment = code("exchange_segment", SEGMENTS)?;
    let product = code("product", PRODUCTS)?;
    let order_type = code("order_type", ORDER_TYPES)?;
    let side = code("transaction_type", SIDES)?;
    let price = params::decimal(fields, "price")?;
    let price = must(fields, "price", price)?;
    let quantity = positive(fields, "quantity")?;
    let token = positive(fields, "instrument_token")?;
    let trigger = params::decimal(fields, "trigger_price")?;
    let mut name = |key: &str, default: &str| match fields.text(key)? {
        Some(text) if text.trim().is_empty() => Err(fields.problem(key, "must not be blank")),
        given => Ok(given.unwrap_or_else(|| default.to_owned())),
    };
    let broker = name("broker_name", "KOTAK")?;
    let branch = name("branch_id", "ONLINE")?;
    let stop_loss_type = fields.text("stop_loss_type")?;
    let stop_loss_value = params::decimal(fields, "stop_loss_value")?;
    let square_off_type = fields.text("square_off_type")?;
    let square_off_value = params::decimal(fields, "square_off_value")?;
    let trailing_stop_loss = fields.text("trailing_stop_loss")?;
    let trailing_sl_value = params::decimal(fields, "trailing_sl_value")?;
    let object = [
        ("exSeg", segment.into()),
        ("prc", price.as_str().into()),
        ("prcTp", order_type.into()),
        ("prod", product.into()),
        ("qty", quantity.as_str().into()),
        ("tok", token.as_str().into()),
        ("trnsTp", side.into()),
        ("trgPrc", trigger.as_deref().into()),
        ("brkName", broker.as_str().into()),
        ("brnchId", branch.as_str().into()),
        ("slAbsOrTks", stop_loss_type.as_deref().into()),
        ("slVal", stop_loss_value.as_deref().into()),
        ("sqrOffAbsOrTks", square_off_type.as_deref().into()),
        ("sqrOffVal", square_off_value.as_deref().into()),
        ("trailSL", trailing_stop_loss.as_deref().into()),
        ("tSLTks", trailing_sl_value.as_deref().into()),
    ];
    Ok(Parts {
        body: Some(form(&object)),
        ..Parts::default()
    })
}

/// A word that goes into a path or a query: a segment, a quote type.
fn word(fields: &Fields, key: &str, text: String) -> Result<String, Error> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    if (1..=32).contains(&text.len()) && text.bytes().all(plain) {
        return Ok(text);
    }
    Err(fields.problem(key, "must be 1 to 32 letters, digits, _ and -"))
}

/// What is said of the instruments of a call: names that the broker spells otherwise.
#[derive(Debug, Default)]
pub(crate) struct Misspelt(Vec<String>);

impl Misspelt {
    /// Looks at one name.
    fn look(&mut self, asked: Asked, segment: &str, name: &str) {
        if self.0.len() < MOST_TOLD {
            let right = indices::spelling(asked, segment, name);
            self.0
                .extend(right.map(|right| indices::misspelt(name, right)));
        }
    }

    pub(crate) fn notes(&self) -> &[String] {
        &self.0
    }

    /// What to do where the broker says that it does not know an instrument.
    pub(crate) fn hint(&self) -> String {
        let mut hint = "The broker does not know an instrument of this request: shares and \
                        contracts go by the pSymbol of today's scrip file, indices of NSE and \
                        BSE by their exact name (Nifty 50, SENSEX), those of MCX by number."
            .to_owned();
        for note in &self.0 {
            hint.push(' ');
            hint.push_str(note);
            hint.push('.');
        }
        hint
    }
}

/// Whether the broker's words say that it does not know an instrument.
pub(crate) fn is_unknown_symbol(message: &str) -> bool {
    let said = words::plain(message, usize::MAX);
    words::says(&said, "invalid neosymbol") || words::says(&said, "invalid instrument code")
}

/// A call for quotes: one request, or several for many instruments.
#[derive(Debug)]
pub(crate) struct Quotes {
    pub(crate) requests: Vec<QuotesOf>,
    /// How many instruments are asked for.
    pub(crate) instruments: usize,
    /// How many stood in the list once more.
    pub(crate) repeated: usize,
    pub(crate) misspelt: Misspelt,
}

/// One of its requests.
#[derive(Debug)]
pub(crate) struct QuotesOf {
    pub(crate) parts: Parts,
    /// Which of the instruments, counted from 1; both included.
    pub(crate) first: usize,
    pub(crate) last: usize,
}

pub(crate) fn quotes(fields: &mut Fields) -> Result<Quotes, Error> {
    const KEY: &str = "instrument_tokens";
    let list = fields.objects(KEY)?;
    let list = must(fields, KEY, list)?;
    if list.is_empty() || list.len() > MOST_QUOTES {
        let problem = format!(
            "must name 1 to {MOST_QUOTES} instruments, {} were given",
            list.len()
        );
        return Err(fields.problem(KEY, problem));
    }
    let given = list.len();
    let mut misspelt = Misspelt::default();
    let mut symbols = Vec::with_capacity(given);
    let mut seen = BTreeSet::new();
    for mut item in list {
        let segment = item.required_plain("exchange_segment")?;
        let segment = word(&item, "exchange_segment", segment)?;
        // A search gives a token as a number.
        let token = match item.is_number("instrument_token") {
            true => item.number_or_text("instrument_token")?.unwrap_or_default(),
            false => item.required_plain("instrument_token")?,
        };
        let token = token.trim();
        if token.contains(['|', ',']) || token.len() > LONGEST_TOKEN {
            let problem = "must be a pSymbol or an index name, without | and ,";
            return Err(item.problem("instrument_token", problem));
        }
        let token = indices::named(&segment, token)
            .map_err(|why| item.problem("instrument_token", why))?
            .to_owned();
        item.finish()?;
        misspelt.look(Asked::Quotes, &segment, &token);
        let symbol = encode_path(&format!("{segment}|{token}"));
        if seen.insert(symbol.clone()) {
            symbols.push(symbol);
        }
    }
    let kind = fields
        .plain("quote_type")?
        .unwrap_or_else(|| "all".to_owned());
    let kind = word(fields, "quote_type", kind)?;
    let chunks = symbols.chunks(QUOTES_AT_ONCE).enumerate();
    let requests = chunks.map(|(at, chunk)| QuotesOf {
        parts: Parts {
            path: format!("/{}/{kind}", chunk.join(",")),
            ..Parts::default()
        },
        first: at * QUOTES_AT_ONCE + 1,
        last: at * QUOTES_AT_ONCE + chunk.len(),
    });
    Ok(Quotes {
        requests: requests.collect(),
        instruments: symbols.len(),
        repeated: given - symbols.len(),
        misspelt,
    })
}

/// How many rows a list has; `None` if it is none.
pub(crate) fn rows(list: &str) -> Option<usize> {
    let rows: Vec<IgnoredAny> = serde_json::from_str(list).ok()?;
    Some(rows.len())
}

/// Lists of rows, put together: each row as it came, in the order of the lists.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    json: String,
    count: usize,
}

impl Rows {
    /// Takes the rows of one more list.
    ///
    /// # Errors
    ///
    /// It is no list, or all together would be more than `largest` bytes.
    pub(crate) fn add(&mut self, list: &str, largest: usize) -> Result<(), NoRows> {
        let rows = rows(list).ok_or(NoRows::NoList)?;
        let inside = list.trim().strip_prefix('[');
        let inside = inside.and_then(|text| text.strip_suffix(']'));
        let inside = inside.ok_or(NoRows::NoList)?.trim();
        // With a bracket or comma before, and a bracket behind.
        if self.json.len() + inside.len() + 2 > largest {
            return Err(NoRows::TooLarge);
        }
        if rows > 0 {
            self.json.push(if self.count == 0 { '[' } else { ',' });
            self.json.push_str(inside);
        }
        self.count += rows;
        Ok(())
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// All of them as one list.
    pub(crate) fn into_json(mut self) -> String {
        if self.count == 0 {
            self.json.push('[');
        }
        self.json.push(']');
        self.json
    }
}

/// Why a list cannot be put to the others.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoRows {
    NoList,
    TooLarge,
}

const INSTRUMENT_TYPES: &[(&str, &str)] = &[("option", "option"), ("fut", "fut")];

/// Exchange and underlying, which expiries and chains have in common.
fn underlying(fields: &mut Fields) -> Result<Vec<(&'static str, String)>, Error> {
    let exchange = fields.required_plain("exchange")?;
    let exchange = word(fields, "exchange", exchange)?;
    let underlying = fields.required_plain("underlying")?;
    Ok(vec![("exchange", exchange), ("underlying", underlying)])
}

fn instrument_type(fields: &mut Fields) -> Result<Option<String>, Error> {
    let chosen = fields.choice("instrument_type", INSTRUMENT_TYPES, false)?;
    Ok(chosen.map(str::to_owned))
}

pub(crate) fn expiries(fields: &mut Fields) -> Result<Parts, Error> {
    let mut query = underlying(fields)?;
    query.extend(instrument_type(fields)?.map(|kind| ("instrument_type", kind)));
    Ok(Parts {
        query,
        ..Parts::default()
    })
}

pub(crate) fn option_chain(fields: &mut Fields) -> Result<Parts, Error> {
    let mut query = underlying(fields)?;
    if let Some(expiry) = fields.plain("expiry")? {
        query.push(("expiry", date(fields, "expiry", expiry)?));
    }
    query.extend(instrument_type(fields)?.map(|kind| ("instrument_type", kind)));
    if let Some(count) = fields.whole("count")? {
        let tens = count.ends_with('0') && count.bytes().any(|b| b != b'0');
        if !tens {
            return Err(fields.problem("count", "must be a multiple of 10, from 10 on"));
        }
        query.push(("count", count));
    }
    Ok(Parts {
        query,
        ..Parts::default()
    })
}

const INTERVALS: &[(&str, &str)] = &[
    ("1min", "1min"),
    ("3min", "3min"),
    ("5min", "5min"),
    ("10min", "10min"),
    ("15min", "15min"),
    ("30min", "30min"),
    ("60min", "60min"),
    ("D", "D"),
    ("W", "W"),
];

/// A call for candles.
#[derive(Debug)]
pub(crate) struct Candles {
    pub(crate) parts: Parts,
    pub(crate) interval: &'static str,
    pub(crate) misspelt: Misspelt,
}

pub(crate) fn historical_data(fields: &mut Fields) -> Result<Candles, Error> {
    let symbol = fields.required_plain("neosymbol")?;
    let parts = symbol.split_once('|');
    let parts = parts.map(|(segment, token)| (segment.trim(), token.trim()));
    let parts = parts.filter(|(segment, token)| !segment.is_empty() && !token.is_empty());
    let Some((segment, token)) = parts else {
        return Err(fields.problem("neosymbol", "must be like nse_cm|1333: segment, bar, token"));
    };
    let token = indices::named(segment, token).map_err(|why| fields.problem("neosymbol", why))?;
    let mut misspelt = Misspelt::default();
    misspelt.look(Asked::Candles, segment, token);
    let symbol = format!("{segment}|{token}");
    let interval = fields.choice("interval", INTERVALS, false)?;
    let interval = must(fields, "interval", interval)?;
    let mut day = |key: &str| {
        let text = fields.required_plain(key)?;
        date(fields, key, text)
    };
    let (from, to) = (day("from_date")?, day("to_date")?);
    if from > to {
        return Err(fields.problem("from_date", "must not be later than to_date"));
    }
    let query = vec![
        ("neosymbol", symbol),
        ("interval", interval.to_owned()),
        ("fromdate", from),
        ("todate", to),
    ];
    let parts = Parts {
        query,
        ..Parts::default()
    };
    Ok(Candles {
        parts,
        interval,
        misspelt,
    })
}

/// Whether the broker's words say that a range has no candles, and not that the request is
/// wrong. Known are `No data found for the given duration` (a weekend) and `Data not
/// available ... Market has not yet opened` (today before the open).
fn is_empty_range(sentence: &str) -> bool {
    let said = words::plain(sentence, usize::MAX);
    // What is not there may be the instrument: that is no empty range.
    let of_instrument = ["symbol", "instrument", "scrip", "token"];
    if of_instrument.iter().any(|name| said.contains(name)) {
        return false;
    }
    said.starts_with(" no data found ")
        || said.starts_with(" data not available ")
            && words::says(&said, "market has not yet opened")
}

/// A date in the form `YYYY-MM-DD` that exists.
fn date(fields: &Fields, key: &str, text: String) -> Result<String, Error> {
    match parse_iso_day(&text) {
        Some(_) => Ok(text),
        None => Err(fields.problem(key, "must be a date like 2026-07-28")),
    }
}

/// The file of a segment in an answer of scrip_master: the first URL with the
/// segment's code in it.
pub(crate) fn scrip_file(body: &[u8], segment: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Answer {
        data: Data,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        files_paths: Vec<String>,
    }
    let answer: Answer = serde_json::from_slice(body).ok()?;
    answer
        .data
        .files_paths
        .into_iter()
        .find(|url| url.to_lowercase().contains(segment))
}

/// The day that the URL of a scrip file names, in days since 1970: its folder is that of
/// the day on which it was made.
pub(crate) fn scrip_file_day(url: &str) -> Option<u64> {
    let mut parts = url.split(['/', '?', '#']).rev();
    let day = parts.find_map(parse_iso_day)?;
    u64::try_from(day).ok()
}

/// What an empty book answers, whatever the broker's words for it were.
const NO_DATA: &str = r#"{"stat":"Ok","stCode":5203,"data":[]}"#;

/// What a successful answer of an operation looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// An object with `data`.
    Data,
    /// An object with this key.
    Key(&'static str),
    /// A list.
    List,
    /// An object with `data`: candles of this interval.
    Candles(&'static str),
}

/// An answer that says that there is nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Nothing {
    /// An empty answer as the call documents it.
    pub(crate) json: String,
    /// What is to be told with it.
    pub(crate) note: Option<String>,
}

impl Expect {
    pub(crate) fn holds(self, body: &[u8]) -> bool {
        let has = |key: &str| {
            let text = std::str::from_utf8(body).ok();
            let member = text.and_then(|text| json::member(text, key));
            member.is_some_and(|value| value.get() != "null")
        };
        match self {
            Self::Data | Self::Candles(_) => has("data"),
            Self::Key(key) => has(key),
            Self::List => serde_json::from_slice::<Vec<IgnoredAny>>(body).is_ok(),
        }
    }

    /// Whether the broker says that there is nothing to give; it says so as an error.
    pub(crate) fn nothing(self, answer: &Answer) -> Option<Nothing> {
        let is_no_data = judge::is_no_data(answer);
        let Self::Candles(interval) = self else {
            let json = match self {
                Self::List => "[]",
                _ => NO_DATA,
            };
            return is_no_data.then(|| Nothing {
                json: json.to_owned(),
                note: None,
            });
        };
        // Seen with 400; the broker is known to give refusals with 200 too.
        let words = judge::words_of(answer).unwrap_or_default();
        let is_empty = matches!(answer.http_status, 200 | 400) && is_empty_range(&words);
        (is_no_data || is_empty).then(|| Nothing {
            json: format!(
                r#"{{"status":"success","interval":"{interval}","data":{{"candles":[]}}}}"#
            ),
            note: Some(format!("the broker has no candles of this range: {words}")),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderMap;
    use kotak_neo_testing::fixtures::sample;

    use super::*;

    fn answer(http: u16, body: &str) -> Answer {
        let mut answer = Answer::from_head(http, &HeaderMap::new(), Duration::ZERO);
        answer.push(body.as_bytes(), body.len()).expect("it fits");
        answer
    }

    #[test]
    fn only_the_known_words_say_that_a_range_is_empty() {
        for words in [
            "No data found for the given duration",
            "No data found",
            " NO  DATA\tFOUND. ",
            "no data found: weekend",
            "Data not available for today. Market has not yet opened",
            "Data not available for 2026-09-28, market has not  yet OPENED.",
        ] {
            assert!(is_empty_range(words), "{words}");
        }
        for words in [
            "",
            "Invalid interval value",
            "Invalid neosymbol",
            "No data",
            "Nodata found",
            "Data not available",
            "Data not available, try again later",
            "Market has not yet opened",
            "Data not available. Market has not opened",
            "Error: No data found",
            "No data found for the given symbol",
            "No data found: invalid instrument",
            "No data found for neosymbol nse_cm|1",
            "Something went wrong",
        ] {
            assert!(!is_empty_range(words), "{words}");
        }
    }

    #[test]
    fn what_an_empty_answer_gives() {
        let empty = sample("historical_data.error-no-data");
        let candles = Expect::Candles("5min");
        for http in [200, 400] {
            let nothing = candles.nothing(&answer(http, &empty)).expect("it says so");
            assert_eq!(
                nothing.json,
                r#"{"status":"success","interval":"5min","data":{"candles":[]}}"#
            );
            let note = nothing.note.expect("it is told");
            assert!(
                note.ends_with("No data found for the given duration"),
                "{note}"
            );
        }
        for http in [401, 403, 404, 422, 424, 429, 500, 503] {
            assert_eq!(candles.nothing(&answer(http, &empty)), None, "{http}");
        }
        let other = sample("historical_data.error-invalid-interval");
        assert_eq!(candles.nothing(&answer(400, &other)), None);
        // Without the mark of an error they are a word of the broker's in an answer.
        let words = r#"{"message":"No data found","data":{"candles":[]}}"#;
        assert_eq!(candles.nothing(&answer(200, words)), None);
        for expect in [Expect::Data, Expect::List, Expect::Key("Net")] {
            assert_eq!(expect.nothing(&answer(400, &empty)), None, "{expect:?}");
        }
        let book = sample("no_data.v3");
        for (expect, json) in [
            (Expect::Data, NO_DATA),
            (Expect::List, "[]"),
            (
                candles,
                r#"{"status":"success","interval":"5min","data":{"candles":[]}}"#,
            ),
        ] {
            for book in [&book[..], r#"{"stCode":5203}"#] {
                let nothing = expect.nothing(&answer(200, book)).expect("it says so");
                assert_eq!(nothing.json, json);
            }
        }
    }

    #[test]
    fn the_day_of_a_file_stands_in_its_url() {
        for (url, day) in [
            (
                "https://h/v1/prod/1970-01-11/transformed/nse_fo.csv",
                Some(10),
            ),
            ("https://h/1970-01-05/1970-01-11/x.csv?y=1", Some(10)),
            ("https://h/v1/prod/transformed/nse_fo.csv", None),
            ("https://h/1970-02-30/x.csv", None),
            ("https://h/1969-12-31/x.csv", None),
            ("", None),
        ] {
            assert_eq!(scrip_file_day(url), day, "{url}");
        }
    }

    #[test]
    fn lists_are_put_together() {
        let joined = |lists: &[&str]| {
            let mut rows = Rows::default();
            for list in lists {
                rows.add(list, 100).expect(list);
            }
            (rows.count(), rows.into_json())
        };
        for (lists, count, json) in [
            (&["[]"][..], 0, "[]"),
            (&["[]", " [ ] "], 0, "[]"),
            (&[r#"[{"a":"]"}]"#], 1, r#"[{"a":"]"}]"#),
            (&["[1]", "[ 2 , 3.0 ]"], 3, "[1,2 , 3.0]"),
            (&["[]", "[1]", "[]", "[2]"], 2, "[1,2]"),
            (&["\n[1,\n2]\n", "[[],{}]"], 4, "[1,\n2,[],{}]"),
        ] {
            assert_eq!(joined(lists), (count, json.to_owned()), "{lists:?}");
        }
        let mut rows = Rows::default();
        for none in ["", "{}", "[1", "[1]]", "null"] {
            assert_eq!(rows.add(none, 100), Err(NoRows::NoList), "{none}");
        }
        assert_eq!(rows.add("[12345]", 6), Err(NoRows::TooLarge));
        assert_eq!(rows.add("[12345]", 7), Ok(()));
        assert_eq!(rows.add("[6]", 8), Err(NoRows::TooLarge));
        assert_eq!(rows.add("[6]", 9), Ok(()));
        assert_eq!(rows.into_json(), "[12345,6]");
    }
}
