//! What the reading operations send, made of checked parameters.
//!
//! Parameters have the keyword names of the official SDK. Nothing here does
//! I/O.

use serde::Deserialize;
use serde::de::IgnoredAny;
use zeroize::Zeroizing;

use crate::base::calendar::parse_iso_day;
use crate::base::error::Error;
use crate::base::json::{self, Fields};
use crate::broker::params::{form, must, positive};
use crate::broker::words::{ORDER_TYPES, PRODUCTS, SEGMENTS, SIDES, quoted};

/// The most instruments that one call for quotes may name; the broker's rule.
const MOST_QUOTES: usize = 50;

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
    let price = fields.decimal("price")?;
    let price = must(fields, "price", price)?;
    let quantity = positive(fields, "quantity")?;
    let token = positive(fields, "instrument_token")?;
    let trigger = fields.decimal("trigger_price")?;
    let mut name = |key: &str, default: &str| match fields.text(key)? {
        Some(text) if text.trim().is_empty() => Err(fields.problem(key, "must not be blank")),
        given => Ok(given.unwrap_or_else(|| default.to_owned())),
    };
    let broker = name("broker_name", "KOTAK")?;
    let branch = name("branch_id", "ONLINE")?;
    let stop_loss_type = fields.text("stop_loss_type")?;
    let stop_loss_value = fields.decimal("stop_loss_value")?;
    let square_off_type = fields.text("square_off_type")?;
    let square_off_value = fields.decimal("square_off_value")?;
    let trailing_stop_loss = fields.text("trailing_stop_loss")?;
    let trailing_sl_value = fields.decimal("trailing_sl_value")?;
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

pub(crate) fn quotes(fields: &mut Fields) -> Result<Parts, Error> {
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
    let mut symbols = Vec::with_capacity(list.len());
    for mut item in list {
        let segment = item.required_plain("exchange_segment")?;
        let segment = word(&item, "exchange_segment", segment)?;
        // A search gives a token as a number.
        let token = match item.is_number("instrument_token") {
            true => item.number_or_text("instrument_token")?.unwrap_or_default(),
            false => item.required_plain("instrument_token")?,
        };
        if token.contains(['|', ',']) || token.len() > 64 {
            let problem = "must be a pSymbol or an index name, without | and ,";
            return Err(item.problem("instrument_token", problem));
        }
        let token = quoted(&segment, &token)
            .map_err(|why| item.problem("instrument_token", why))?
            .to_owned();
        item.finish()?;
        symbols.push(encode_path(&format!("{segment}|{token}")));
    }
    let kind = fields
        .plain("quote_type")?
        .unwrap_or_else(|| "all".to_owned());
    let kind = word(fields, "quote_type", kind)?;
    Ok(Parts {
        path: format!("/{}/{kind}", symbols.join(",")),
        ..Parts::default()
    })
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

pub(crate) fn historical_data(fields: &mut Fields) -> Result<Parts, Error> {
    let symbol = fields.required_plain("neosymbol")?;
    let parts = symbol.split_once('|');
    let parts = parts.map(|(segment, token)| (segment.trim(), token.trim()));
    let parts = parts.filter(|(segment, token)| !segment.is_empty() && !token.is_empty());
    let Some((segment, token)) = parts else {
        return Err(fields.problem("neosymbol", "must be like nse_cm|1333: segment, bar, token"));
    };
    let token = quoted(segment, token).map_err(|why| fields.problem("neosymbol", why))?;
    let symbol = format!("{segment}|{token}");
    let interval = fields.choice("interval", INTERVALS, false)?;
    let interval = must(fields, "interval", interval)?.to_owned();
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
        ("interval", interval),
        ("fromdate", from),
        ("todate", to),
    ];
    Ok(Parts {
        query,
        ..Parts::default()
    })
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

/// What a successful answer of an operation looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// An object with `data`.
    Data,
    /// An object with this key.
    Key(&'static str),
    /// A list.
    List,
}

impl Expect {
    pub(crate) fn holds(self, body: &[u8]) -> bool {
        let has = |key: &str| {
            let text = std::str::from_utf8(body).ok();
            let member = text.and_then(|text| json::member(text, key));
            member.is_some_and(|value| value.get() != "null")
        };
        match self {
            Self::Data => has("data"),
            Self::Key(key) => has(key),
            Self::List => serde_json::from_slice::<Vec<IgnoredAny>>(body).is_ok(),
        }
    }
}
