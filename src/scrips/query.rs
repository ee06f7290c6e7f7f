//! What a search asks for, and the rows that answer it: pure.

use super::read::OptionKind;
use super::segment::{RUPEE, Scheme};
use super::table::{self, Table};
use crate::base::calendar::parse_date;
use crate::base::error::Error;
use crate::base::json::Fields;
use crate::base::pasted;
use crate::broker::params;

/// A checked search.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) segment: &'static str,
    find: Find,
    options: Vec<OptionWanted>,
    /// Days since 1970, both included.
    expiry: Option<(i32, i32)>,
    /// In 1/[`RUPEE`], both included.
    strike: Option<(i64, i64)>,
}

#[derive(Debug)]
enum Find {
    /// Part of the underlying's name, in lower case.
    Part(String),
    Token(String),
    Symbol(String),
}

#[derive(Debug)]
enum OptionWanted {
    Kind(OptionKind),
    Text(String),
}

/// A column that a search needs and the file lacks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lacks(pub(crate) &'static str);

impl Query {
    pub(crate) fn read(fields: &mut Fields) -> Result<Self, Error> {
        let segment = fields.required_plain("exchange_segment")?;
        let segment = params::scrip_segment(&fields.path("exchange_segment"), &segment)?;
        let part = fields.text("symbol")?.unwrap_or_default();
        let token = fields.number_or_text("token")?;
        let symbol = fields.text("trading_symbol")?;
        let expiry = fields.plain("expiry")?.filter(|text| !text.is_empty());
        let option = fields.plain("option_type")?.filter(|text| !text.is_empty());
        let strike = strike_text(fields)?.filter(|text| !text.is_empty());
        // Taken for the sake of callers of the SDK, which ignores it too.
        fields.flag("ignore_50multiple")?;
        let dated = Scheme::of(segment).dated;
        if expiry.is_some() && strike.is_some() && !dated {
            let problem = "the given segment has no expiry and no strike price";
            return Err(fields.problem("exchange_segment", problem));
        }
        let find = match (token, symbol) {
            (Some(_), Some(_)) => {
                return Err(fields.problem("token", "give either token or trading_symbol"));
            }
            (Some(token), None) => Find::Token(token),
            (None, Some(symbol)) => Find::Symbol(symbol),
            (None, None) => Find::Part(part.trim().to_lowercase()),
        };
        Ok(Self {
            segment,
            find,
            options: options(option.as_deref().unwrap_or("")),
            expiry: match expiry {
                None => None,
                Some(_) if !dated => {
                    return Err(fields.problem("expiry", "the given segment has no expiry"));
                }
                Some(text) => Some(expiries(fields, &text)?),
            },
            strike: match strike {
                None => None,
                Some(text) => Some(strikes(fields, &text)?),
            },
        })
    }

    /// Why nothing was found, if that may be for how it was written: a typographic dash
    /// is none of a symbol's. The file is asked first, which may have any byte.
    pub(crate) fn doubt(&self) -> Option<Error> {
        let (key, text) = match &self.find {
            Find::Part(part) => ("params.symbol", part),
            Find::Token(token) => ("params.token", token),
            Find::Symbol(symbol) => ("params.trading_symbol", symbol),
        };
        let unseen = pasted::unseen(text)?;
        Some(Error::argument(
            key,
            format_args!("has {unseen}; nothing was found"),
        ))
    }

    /// The rows that match, by strike, then in the order of the file. Where they
    /// cannot be known, for want of a column, none is not the answer.
    pub(crate) fn rows(&self, table: &Table) -> Result<Vec<u32>, Lacks> {
        let find = match &self.find {
            Find::Part(part) if part.is_empty() => None,
            Find::Part(_) => Some(table::NAME),
            Find::Token(_) => Some(table::TOKEN),
            Find::Symbol(_) => Some(table::SYMBOL),
        };
        let needed = [
            find,
            (!self.options.is_empty()).then_some(table::OPTION),
            self.expiry.map(|_| table::EXPIRY),
            self.strike.map(|_| table::STRIKE),
        ];
        if let Some(lacks) = needed.into_iter().flatten().find(|name| !table.has(name)) {
            return Err(Lacks(lacks));
        }
        let fits = |row: u32| self.fits(table, row);
        let mut rows = match &self.find {
            Find::Part(part) => return Ok(table.rows_named(part, self.strike, fits)),
            Find::Token(token) => table.with_token(token),
            Find::Symbol(symbol) => table.with_symbol(symbol),
        };
        rows.retain(|row| fits(*row));
        Ok(rows)
    }

    fn fits(&self, table: &Table, row: u32) -> bool {
        let within = |limits: Option<(i64, i64)>, value: Option<i64>| match (limits, value) {
            (None, _) => true,
            (Some((low, high)), Some(value)) => (low..=high).contains(&value),
            (Some(_), None) => false,
        };
        let expiry = self
            .expiry
            .map(|(from, to)| (i64::from(from), i64::from(to)));
        let is_wanted = |wanted: &OptionWanted| match wanted {
            OptionWanted::Kind(kind) => table.option(row) == *kind,
            OptionWanted::Text(text) => table.has_option(row, text),
        };
        within(self.strike, table.strike(row))
            && within(expiry, table.expiry(row).map(i64::from))
            && (self.options.is_empty() || self.options.iter().any(is_wanted))
    }
}

/// A number is as good as its text.
fn strike_text(fields: &mut Fields) -> Result<Option<String>, Error> {
    const KEY: &str = "strike_price";
    if fields.is_number(KEY) {
        return fields.decimal(KEY);
    }
    fields.plain(KEY)
}

fn options(text: &str) -> Vec<OptionWanted> {
    let parts = text.split(',').map(str::trim);
    let parts = parts.filter(|part| !part.is_empty());
    parts
        .map(|part| match OptionKind::read(part) {
            _ if part.eq_ignore_ascii_case("fut") => OptionWanted::Kind(OptionKind::Future),
            OptionKind::Other => OptionWanted::Text(part.to_owned()),
            kind => OptionWanted::Kind(kind),
        })
        .collect()
}

fn expiries(fields: &Fields, text: &str) -> Result<(i32, i32), Error> {
    const KEY: &str = "expiry";
    let parts: Vec<&str> = text.split('-').map(str::trim).collect();
    let day = |part: &str| {
        parse_date(part).ok_or_else(|| {
            fields.problem(
                KEY,
                "must be a day like 22SEP2026 or a range like 01SEP2026-30SEP2026",
            )
        })
    };
    match parts[..] {
        [one] => day(one).map(|day| (day, day)),
        [from, to] => Ok((day(from)?, day(to)?)),
        _ => Err(fields.problem(
            KEY,
            "must be a day like 22SEP2026 or a range like 01SEP2026-30SEP2026",
        )),
    }
}

fn strikes(fields: &Fields, text: &str) -> Result<(i64, i64), Error> {
    const KEY: &str = "strike_price";
    let wrong = |problem: &str| fields.problem(KEY, problem);
    let form = "must be one value, a range like 24000-25000, or >24000 or <24000 (both included)";
    let number = |part: &str| rupees(part.trim()).ok_or_else(|| wrong(form));
    let after = |sign: char| {
        text.split_once(sign)
            .map(|(before, after)| (before.trim(), after))
    };
    if let Some(("", after)) = after('>') {
        return Ok((number(after.strip_prefix('=').unwrap_or(after))?, i64::MAX));
    }
    if let Some(("", after)) = after('<') {
        return Ok((i64::MIN, number(after.strip_prefix('=').unwrap_or(after))?));
    }
    let parts: Vec<&str> = text.split('-').collect();
    match parts[..] {
        [one] => match number(one)? {
            0 => Err(wrong("must be greater than zero")),
            value => Ok((value, value)),
        },
        [from, to] => {
            let (from, to) = (number(from)?, number(to)?);
            if from > to {
                return Err(wrong("the minimum must not be greater than the maximum"));
            }
            Ok((from, to))
        }
        _ => Err(wrong(form)),
    }
}

/// A plain decimal in 1/[`RUPEE`].
fn rupees(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let kept = fraction.trim_end_matches('0');
    if kept.len() > 7 {
        return None;
    }
    let part: i64 = format!("{kept:0<7}").parse().ok()?;
    whole
        .parse::<i64>()
        .ok()?
        .checked_mul(RUPEE)?
        .checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Result<Query, Error> {
        let mut fields = Fields::parse("params", text)?;
        let query = Query::read(&mut fields)?;
        fields.finish()?;
        Ok(query)
    }

    #[test]
    fn strikes_in_all_their_forms() {
        let strike = |text: &str| {
            let text = format!(r#"{{"exchange_segment":"nse_fo","strike_price":{text}}}"#);
            query(&text).map(|query| query.strike)
        };
        for (text, low, high) in [
            ("\"24000\"", 240_000_000_000, 240_000_000_000),
            ("24000.5", 240_005_000_000, 240_005_000_000),
            ("\">24000.5\"", 240_005_000_000, i64::MAX),
            ("\">=24000\"", 240_000_000_000, i64::MAX),
            ("\"<24000\"", i64::MIN, 240_000_000_000),
            ("\"24000-25000\"", 240_000_000_000, 250_000_000_000),
            ("\"24000 - 25000\"", 240_000_000_000, 250_000_000_000),
        ] {
            assert_eq!(strike(text).expect(text), Some((low, high)), "{text}");
        }
        for (text, problem) in [
            ("\"0\"", "greater than zero"),
            ("\"abc\"", "must be one value"),
            ("\"1-2-3\"", "must be one value"),
            ("\"5>3\"", "must be one value"),
            ("\"2-1\"", "the minimum must not be greater"),
            ("\">nan\"", "must be one value"),
            ("\"1e5\"", "must be one value"),
            ("1e5", "plain decimal"),
            ("-5", "plain decimal"),
        ] {
            let error = strike(text).expect_err(text);
            assert!(error.message().contains(problem), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, start) in [
            ("{}", "params.exchange_segment: is missing"),
            (
                r#"{"exchange_segment":"abc"}"#,
                "params.exchange_segment: must be one of",
            ),
            (
                r#"{"exchange_segment":"NSE","expiry":"22SEP2026","strike_price":"1"}"#,
                "params.exchange_segment: the given segment has no expiry and no strike",
            ),
            (
                r#"{"exchange_segment":"NSE","expiry":"22SEP2026"}"#,
                "params.expiry: the given segment has no expiry",
            ),
            (
                r#"{"exchange_segment":"NFO","expiry":"2026-09-22"}"#,
                "params.expiry: must be a day like",
            ),
            (
                r#"{"exchange_segment":"NFO","expiry":"31FEB2026"}"#,
                "params.expiry: must be a day like",
            ),
            (
                r#"{"exchange_segment":"NFO","token":1,"trading_symbol":"x"}"#,
                "params.token: give either",
            ),
            (
                r#"{"exchange_segment":"NFO","colour":1}"#,
                "params: unknown key",
            ),
        ] {
            let error = query(text).expect_err(text);
            assert!(error.message().starts_with(start), "{text}: {error}");
        }
    }
}
