//! One scrip-master file, indexed: pure.
//!
//! The file's bytes are kept as they are; beside them stand, for each row, what
//! searches compare. Rows become JSON only when they are given out, with the
//! types that the official SDK gives them: a column is a number if all its
//! cells are, and blanks are null.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt::Write;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};

use memchr::{memchr, memchr2_iter};
use once_cell::sync::OnceCell;

use crate::json;

/// Seconds from 1 January 1980, Indian time, to the unix epoch's count of the
/// same wall clock.
const NSE_EPOCH: i64 = 315_532_800;
const DAY: i64 = 24 * 3600;
/// More columns than any file has.
const MOST_COLUMNS: usize = 256;
/// One row in so many may be malformed before the file counts as broken.
const TOLERANCE: usize = 100;

/// Rows that are kept as JSON, some two kilobytes each.
const MOST_WRITTEN: usize = 1024;

/// Why a file is none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken(pub(crate) String);

/// What all non-blank cells of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Blank,
    Int,
    Float,
    Flag,
    Text,
}

struct Column {
    kind: Kind,
    /// Whether a cell is blank. A column of integers then holds floats.
    has_blanks: bool,
}

/// What searches compare of a row.
struct Row {
    start: u32,
    end: u32,
    /// In 1/100 of the file's unit, which is 1/100 rupee; `None` if blank.
    strike: Option<i64>,
    /// Days since 1970 in the calendar of the exchange.
    expiry: Option<i32>,
    option: OptionKind,
}

/// Kind of a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OptionKind {
    Call,
    Put,
    Future,
    Other,
}

impl OptionKind {
    pub(crate) fn read(text: &str) -> Self {
        match text.trim() {
            t if t.eq_ignore_ascii_case("ce") => Self::Call,
            t if t.eq_ignore_ascii_case("pe") => Self::Put,
            t if t.eq_ignore_ascii_case("xx") => Self::Future,
            _ => Self::Other,
        }
    }
}

/// The scrips of one segment.
pub(crate) struct Table {
    bytes: Vec<u8>,
    columns: Vec<Column>,
    /// Names of the columns as JSON, each with its colon.
    keys: Vec<String>,
    rows: Vec<Row>,
    /// Names of underlyings in lower case, each once, with their rows by strike.
    groups: Vec<(String, Vec<u32>)>,
    /// Hash and row of every token and trading symbol, sorted. Made when the
    /// first exact lookup asks for it.
    by_token: OnceCell<Vec<(u64, u32)>>,
    by_symbol: OnceCell<Vec<(u64, u32)>>,
    hasher: RandomState,
    /// Rows that were given out, as JSON.
    written: Mutex<HashMap<u32, Box<str>>>,
    at: Places,
    pub(crate) bad_rows: usize,
    dated: bool,
}

/// Where the columns are that searches need.
#[derive(Clone, Copy)]
struct Places {
    token: usize,
    symbol: usize,
    name: Option<usize>,
    option: Option<usize>,
    expiry: Option<usize>,
    strike: Option<usize>,
}

fn trim(cell: &[u8]) -> &[u8] {
    cell.trim_ascii()
}

fn text(cell: &[u8]) -> &str {
    // Checked once for the whole file.
    std::str::from_utf8(cell).unwrap_or("")
}

impl Table {
    /// Reads a file of `segment`.
    pub(crate) fn read(segment: &str, bytes: Vec<u8>) -> Result<Self, Broken> {
        let broken = |why: &str| Err(Broken(why.to_owned()));
        if bytes.trim_ascii().is_empty() {
            return broken("is empty");
        }
        if trim(&bytes).first() == Some(&b'<') {
            return broken("is a page of HTML and no CSV");
        }
        if u32::try_from(bytes.len()).is_err() || std::str::from_utf8(&bytes).is_err() {
            return broken("is no text");
        }
        if bytes.last() != Some(&b'\n') {
            return broken("was cut off: its last line does not end");
        }
        let head = memchr(b'\n', &bytes).unwrap_or(bytes.len());
        let names: Vec<String> = cells(line(&bytes[..head]))
            .map(|name| text(trim(name)).trim_start_matches('\u{feff}').to_owned())
            .collect();
        let place = |name: &str| names.iter().position(|given| given == name);
        let (Some(token), Some(symbol)) = (place("pSymbol"), place("pTrdSymbol")) else {
            return broken("has no header with pSymbol and pTrdSymbol");
        };
        if names.len() > MOST_COLUMNS {
            return broken("has too many columns");
        }
        let at = Places {
            token,
            symbol,
            name: place("pSymbolName"),
            option: place("pOptionType"),
            expiry: place("pExpiryDate"),
            strike: place("dStrikePrice;"),
        };
        let keys = names
            .iter()
            .map(|name| {
                let mut key = String::new();
                json::write_string(&mut key, name);
                key.push(':');
                key
            })
            .collect();
        let columns = names
            .iter()
            .map(|_| Column {
                kind: Kind::Blank,
                has_blanks: false,
            })
            .collect();
        let mut table = Self {
            columns,
            keys,
            rows: Vec::with_capacity(bytes.len() / 256),
            groups: Vec::new(),
            by_token: OnceCell::new(),
            by_symbol: OnceCell::new(),
            hasher: RandomState::new(),
            written: Mutex::default(),
            at,
            bad_rows: 0,
            dated: segment.ends_with("_fo"),
            bytes,
        };
        table.take_rows(segment, head + 1);
        if table.rows.is_empty() {
            return broken("has a header and no scrip");
        }
        if table.bad_rows * TOLERANCE > table.rows.len() {
            return Err(Broken(format!(
                "has {} malformed rows beside {} good ones",
                table.bad_rows,
                table.rows.len()
            )));
        }
        Ok(table)
    }

    fn take_rows(&mut self, segment: &str, body: usize) {
        // BSE and MCX count from 1970.
        let epoch = match segment {
            "nse_fo" | "cde_fo" | "nse_cm" => NSE_EPOCH,
            _ => 0,
        };
        let bytes = std::mem::take(&mut self.bytes);
        let count = self.columns.len();
        let mut groups: HashMap<Vec<u8>, u32> = HashMap::new();
        let mut names: Vec<(String, Vec<u32>)> = Vec::new();
        let mut found: Vec<&[u8]> = Vec::with_capacity(count);
        let mut start = body;
        let mut cell_start = body;
        let (mut last_name, mut last_group): (&[u8], Option<u32>) = (b"", None);
        for at in memchr2_iter(b',', b'\n', &bytes[body..]).map(|at| at + body) {
            if bytes[at] == b',' {
                found.push(&bytes[cell_start..at]);
                cell_start = at + 1;
                continue;
            }
            let row = line(&bytes[start..at]);
            let from = start;
            // The last cell, without the carriage return of another system.
            found.push(&bytes[cell_start.min(from + row.len())..from + row.len()]);
            (start, cell_start) = (at + 1, at + 1);
            if found.len() != count {
                self.bad_rows += usize::from(!row.is_empty());
                found.clear();
                continue;
            }
            for (column, cell) in self.columns.iter_mut().zip(&found) {
                column.meet(cell);
            }
            let cell = |place: Option<usize>| place.map_or(&b""[..], |at| trim(found[at]));
            let name = cell(self.at.name);
            let group = match last_group {
                Some(group) if name == last_name => group,
                _ => {
                    let lower = text(name).to_lowercase();
                    *groups.entry(lower.clone().into_bytes()).or_insert_with(|| {
                        names.push((lower, Vec::new()));
                        u32::try_from(names.len() - 1).unwrap_or(u32::MAX)
                    })
                }
            };
            (last_name, last_group) = (name, Some(group));
            let number = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
            if let Some((_, rows)) = names.get_mut(group as usize) {
                rows.push(number);
            }
            let seconds = text(cell(self.at.expiry)).parse::<f64>().ok();
            self.rows.push(Row {
                start: u32::try_from(from).unwrap_or(u32::MAX),
                end: u32::try_from(from + row.len()).unwrap_or(u32::MAX),
                strike: hundredths(text(cell(self.at.strike))),
                expiry: seconds.filter(|_| self.dated).and_then(|seconds| {
                    i32::try_from((seconds as i64 + epoch).div_euclid(DAY)).ok()
                }),
                option: OptionKind::read(text(cell(self.at.option))),
            });
            found.clear();
        }
        for (_, rows) in &mut names {
            rows.sort_by_key(|row| strike_order(self.rows[*row as usize].strike));
        }
        self.groups = names;
        self.bytes = bytes;
    }

    /// How many scrips there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The rows of every underlying whose name contains `part` (lower case)
    /// with a strike in the given limits, if `fits`; by strike, then in the
    /// order of the file.
    pub(crate) fn rows_named(
        &self,
        part: &str,
        strikes: Option<(i64, i64)>,
        fits: impl Fn(u32) -> bool,
    ) -> Vec<u32> {
        let mut found = Vec::new();
        let mut groups = 0;
        for (name, rows) in &self.groups {
            if !part.is_empty() && !name.contains(part) {
                continue;
            }
            groups += 1;
            let rows = match strikes {
                None => &rows[..],
                Some((low, high)) => {
                    let strike = |row: &u32| strike_order(self.rows[*row as usize].strike);
                    let from = rows.partition_point(|row| strike(row) < low);
                    let to = rows.partition_point(|row| strike(row) <= high);
                    &rows[from..to.max(from)]
                }
            };
            found.extend(rows.iter().copied().filter(|row| fits(*row)));
        }
        if groups > 1 {
            found.sort_unstable_by_key(|row| (strike_order(self.rows[*row as usize].strike), *row));
        }
        found
    }

    pub(crate) fn with_token(&self, token: &str) -> Vec<u32> {
        self.exact(&self.by_token, self.at.token, token)
    }

    pub(crate) fn with_symbol(&self, symbol: &str) -> Vec<u32> {
        self.exact(&self.by_symbol, self.at.symbol, symbol)
    }

    fn exact(&self, index: &OnceCell<Vec<(u64, u32)>>, place: usize, wanted: &str) -> Vec<u32> {
        let index = index.get_or_init(|| {
            let rows = 0..u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
            let hashed = rows.map(|row| (self.hasher.hash_one(trim(self.cell(row, place))), row));
            let mut hashed: Vec<_> = hashed.collect();
            hashed.sort_unstable();
            hashed
        });
        let hash = self.hasher.hash_one(wanted.as_bytes());
        let from = index.partition_point(|(of, _)| *of < hash);
        let alike = index[from..].iter().take_while(|(of, _)| *of == hash);
        let rows = alike.map(|(_, row)| *row);
        rows.filter(|row| trim(self.cell(*row, place)) == wanted.as_bytes())
            .collect()
    }

    fn cell(&self, row: u32, place: usize) -> &[u8] {
        cells(self.line(row)).nth(place).unwrap_or(b"")
    }

    fn line(&self, row: u32) -> &[u8] {
        let row = &self.rows[row as usize];
        &self.bytes[row.start as usize..row.end as usize]
    }

    /// In 1/10000 rupee.
    pub(crate) fn strike(&self, row: u32) -> Option<i64> {
        self.rows[row as usize].strike
    }

    /// Days since 1970.
    pub(crate) fn expiry(&self, row: u32) -> Option<i32> {
        self.rows[row as usize].expiry
    }

    pub(crate) fn option(&self, row: u32) -> OptionKind {
        self.rows[row as usize].option
    }

    /// The text of the option type, for kinds that are none of the usual.
    pub(crate) fn option_text(&self, row: u32) -> &str {
        self.at
            .option
            .map_or("", |place| text(trim(self.cell(row, place))))
    }

    /// The rows as a JSON list.
    pub(crate) fn json(&self, rows: &[u32]) -> String {
        let keys = &self.keys;
        let most: usize = keys.iter().map(|key| key.len() + 8).sum();
        let mut out = String::with_capacity(rows.len() * most + 2);
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        out.push('[');
        for (at, row) in rows.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            if let Some(text) = written.get(row) {
                out.push_str(text);
                continue;
            }
            let from = out.len();
            self.write_row(&mut out, keys, *row);
            if written.len() < MOST_WRITTEN {
                written.insert(*row, out[from..].into());
            }
        }
        out.push(']');
        out
    }

    fn write_row(&self, out: &mut String, keys: &[String], row: u32) {
        let expiry = self.expiry(row);
        out.push('{');
        for (place, cell) in cells(self.line(row)).enumerate() {
            if place > 0 {
                out.push(',');
            }
            out.push_str(&keys[place]);
            match expiry {
                Some(day) if self.at.expiry == Some(place) => {
                    out.push('"');
                    out.push_str(&date_text(day));
                    out.push('"');
                }
                _ => self.columns[place].write(out, cell),
            }
        }
        out.push('}');
    }
}

/// Without the carriage return of another system.
fn line(bytes: &[u8]) -> &[u8] {
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

fn cells(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let now = rest?;
        match memchr(b',', now) {
            Some(at) => {
                rest = Some(&now[at + 1..]);
                Some(&now[..at])
            }
            None => {
                rest = None;
                Some(now)
            }
        }
    })
}

/// Rows without a strike come last, as in the SDK.
fn strike_order(strike: Option<i64>) -> i64 {
    strike.unwrap_or(i64::MAX)
}

/// A number of the file in 1/100 of its unit.
fn hundredths(text: &str) -> Option<i64> {
    let number: f64 = text.parse().ok()?;
    (number.abs() < 1e15).then(|| (number * 100.0).round() as i64)
}

impl Column {
    fn meet(&mut self, cell: &[u8]) {
        if cell.is_empty() {
            self.has_blanks = true;
            return;
        }
        let met = match self.kind {
            Kind::Text => return,
            Kind::Int if is_int(cell) => return,
            Kind::Float if is_float(trim(cell)) => return,
            Kind::Flag if is_flag(cell) => return,
            Kind::Blank if is_int(cell) => Kind::Int,
            Kind::Blank | Kind::Int if is_float(trim(cell)) => Kind::Float,
            Kind::Blank if is_flag(cell) => Kind::Flag,
            _ => Kind::Text,
        };
        self.kind = met;
    }

    fn write(&self, out: &mut String, cell: &[u8]) {
        if cell.is_empty() {
            out.push_str("null");
            return;
        }
        let given = text(trim(cell));
        // Writing into a string cannot fail.
        let _ = match self.kind {
            Kind::Int if !self.has_blanks => match given.parse::<i64>() {
                Ok(number) => write!(out, "{number}"),
                Err(_) => write!(out, "null"),
            },
            Kind::Int | Kind::Float => match given.parse::<f64>() {
                Ok(number) if number.is_finite() => write!(out, "{number:?}"),
                _ => write!(out, "null"),
            },
            Kind::Flag => write!(out, "{}", given.eq_ignore_ascii_case("true")),
            Kind::Blank | Kind::Text => {
                json::write_string(out, text(cell));
                Ok(())
            }
        };
    }
}

fn is_int(cell: &[u8]) -> bool {
    let digits = match cell {
        [b'-' | b'+', rest @ ..] => rest,
        all => all,
    };
    (1..=18).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
}

/// Digits, perhaps with a sign, a point and an exponent.
fn is_float(cell: &[u8]) -> bool {
    let sign = |bytes: &mut &[u8]| {
        if let [b'-' | b'+', rest @ ..] = *bytes {
            *bytes = rest;
        }
    };
    let digits = |bytes: &mut &[u8]| {
        let count = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
        *bytes = &bytes[count..];
        count
    };
    let mut rest = cell;
    sign(&mut rest);
    let mut count = digits(&mut rest);
    if let [b'.', after @ ..] = rest {
        rest = after;
        count += digits(&mut rest);
    }
    if let ([b'e' | b'E', after @ ..], true) = (rest, count > 0) {
        rest = after;
        sign(&mut rest);
        count = digits(&mut rest);
    }
    count > 0 && rest.is_empty()
}

fn is_flag(cell: &[u8]) -> bool {
    matches!(
        cell,
        b"true" | b"false" | b"True" | b"False" | b"TRUE" | b"FALSE"
    )
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// A day since 1970 as `22Sep2026`.
pub(crate) fn date_text(day: i32) -> String {
    // Counted from 1 March of the year 0, so that leap days come last.
    let day = i64::from(day) + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month + 2) / 5 + 1;
    let month = (month + 2) % 12;
    let year = year_of_era + era * 400 + i64::from(month < 2);
    let name = MONTHS[usize::try_from(month).unwrap_or(0)];
    format!("{date:02}{name}{year}")
}

/// The day since 1970 of `22SEP2026`, `22 Sep 2026` or `20260922`.
pub(crate) fn parse_date(text: &str) -> Option<i32> {
    let plain: String = text.chars().filter(|c| *c != ' ').collect();
    if !plain.is_ascii() {
        return None;
    }
    let number = |part: &str| -> Option<i64> {
        let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| part.parse().ok())?
    };
    let (year, month, date) = if plain.len() == 8 && number(&plain).is_some() {
        (
            number(&plain[..4])?,
            number(&plain[4..6])?,
            number(&plain[6..])?,
        )
    } else {
        let digits = plain.bytes().take_while(u8::is_ascii_digit).count();
        let (date, rest) = plain.split_at(digits);
        let (name, year) = rest.split_at_checked(3)?;
        let month = MONTHS
            .iter()
            .position(|known| known.eq_ignore_ascii_case(name))?;
        if year.len() != 4 || date.len() > 2 {
            return None;
        }
        (number(year)?, i64::try_from(month).ok()? + 1, number(date)?)
    };
    if !(1..=12).contains(&month) || !(1..=31).contains(&date) {
        return None;
    }
    let shifted = year - i64::from(month <= 2);
    let era = shifted.div_euclid(400);
    let of_era = shifted.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + date - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let days = i32::try_from(days).ok()?;
    // 31 February is no date.
    let written = date_text(days);
    (written.get(..2)? == format!("{date:02}")).then_some(days)
}
