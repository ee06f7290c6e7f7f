//! One scrip-master file, indexed: pure.
//!
//! The file's bytes are kept as they are; beside them stand, for each row, what
//! searches compare. Rows become JSON only when they are given out, with the
//! types that the official SDK gives them: a column is a number if all its
//! cells are, and blanks are null.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};

use memchr::{memchr, memchr_iter};
use once_cell::sync::OnceCell;

use super::csv::{Column, Columns, cells, is_float, line, split, text, trim};
use crate::base::calendar::date_text;
use crate::base::json;

/// Seconds from 1 January 1980, Indian time, to the unix epoch's count of the
/// same wall clock.
const NSE_EPOCH: i64 = 315_532_800;
const DAY: i64 = 24 * 3600;
/// More columns than any file has, a longer header, and more rows.
const MOST_COLUMNS: usize = 256;
const LONGEST_HEAD: usize = 64 * 1024;
const MOST_ROWS: usize = 1_000_000;
/// The largest answer that is made: several times what all rows of the largest
/// file take.
const LARGEST_LIST: usize = 1 << 30;
/// The most that is set aside for an answer before its length is known.
const MOST_AHEAD: usize = 16 * 1024 * 1024;
/// One row in so many may be malformed before the file counts as broken.
const TOLERANCE: usize = 100;

/// More threads than this read no faster than the memory gives.
const MOST_THREADS: usize = 4;
/// The least that is worth a thread.
const LEAST_PART: usize = 1 << 20;

/// After so many rows it is asked whether anybody still wants the file.
const STEP: usize = 1024;

/// Rows that are kept as JSON, some two kilobytes each.
const MOST_WRITTEN: usize = 1024;

/// Why a file is none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken(pub(crate) String);

/// What searches compare of a row.
#[derive(Debug, PartialEq)]
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

/// How a segment counts the time.
#[derive(Clone, Copy)]
struct Dates {
    /// Seconds to the unix epoch's count. BSE and MCX count from 1970.
    epoch: i64,
    /// Whether its scrips expire.
    dated: bool,
}

impl Dates {
    fn of(segment: &str) -> Self {
        Self {
            epoch: match segment {
                "nse_fo" | "cde_fo" | "nse_cm" => NSE_EPOCH,
                _ => 0,
            },
            dated: segment.ends_with("_fo"),
        }
    }

    fn day(self, cell: &[u8]) -> Option<i32> {
        if !self.dated {
            return None;
        }
        i32::try_from((seconds(cell)? + self.epoch).div_euclid(DAY)).ok()
    }
}

/// What is known of a file before its rows are read.
#[derive(Clone, Copy)]
struct Layout {
    /// How many columns there are.
    count: usize,
    at: Places,
    dates: Dates,
}

/// Rows by the name of their underlying in lower case.
#[derive(Default)]
struct Groups {
    all: Vec<(String, Vec<u32>)>,
    places: HashMap<String, usize>,
}

impl Groups {
    fn place(&mut self, name: String) -> usize {
        let next = self.all.len();
        *self.places.entry(name).or_insert_with_key(|name| {
            self.all.push((name.clone(), Vec::new()));
            next
        })
    }
}

/// What was read of some lines that follow each other.
struct Part {
    columns: Columns,
    rows: Vec<Row>,
    groups: Groups,
    bad_rows: usize,
}

impl Part {
    /// Reads all lines of `body`, which begins at `offset` of the file, in so
    /// many parts, each on a thread. The threads end before this returns, and
    /// soon if `go_on` says no.
    fn read_all(
        parts: usize,
        body: &[u8],
        offset: usize,
        layout: Layout,
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Self {
        let mut pieces = Vec::with_capacity(parts);
        let mut start = 0;
        for part in 1..=parts {
            let wanted = body.len() / parts * part;
            let end = match memchr(b'\n', body.get(wanted..).unwrap_or_default()) {
                Some(more) if part < parts => wanted + more + 1,
                _ => body.len(),
            };
            pieces.push((&body[start..end.max(start)], offset + start));
            start = end.max(start);
        }
        let read = |(lines, offset): (&[u8], usize)| Self::read(lines, offset, layout, go_on);
        std::thread::scope(|scope| {
            let mut pieces = pieces.into_iter();
            let first = pieces.next();
            let others: Vec<_> = pieces
                .map(|piece| {
                    let helper = std::thread::Builder::new().name("kneo-scrips".to_owned());
                    (piece, helper.spawn_scoped(scope, move || read(piece)))
                })
                .collect();
            let mut all = read(first.unwrap_or((b"", offset)));
            for (piece, helper) in others {
                all.append(match helper {
                    Ok(helper) => match helper.join() {
                        Ok(part) => part,
                        Err(panic) => std::panic::resume_unwind(panic),
                    },
                    // The system gives no thread.
                    Err(_) => read(piece),
                });
            }
            all
        })
    }

    fn read(
        lines: &[u8],
        offset: usize,
        layout: Layout,
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Self {
        let Layout { count, at, dates } = layout;
        let mut part = Self {
            columns: Columns::new(count),
            rows: Vec::with_capacity((lines.len() / 256).min(MOST_ROWS)),
            groups: Groups::default(),
            bad_rows: 0,
        };
        let mut found: Vec<&[u8]> = Vec::with_capacity(count);
        let mut start = 0;
        let mut last: Option<(&[u8], usize)> = None;
        for (at_line, end) in memchr_iter(b'\n', lines).enumerate() {
            if part.rows.len() > MOST_ROWS || (at_line % STEP == 0 && !go_on()) {
                // Nobody wants the rest.
                break;
            }
            let row = line(&lines[start..end]);
            let from = offset + start;
            start = end + 1;
            found.clear();
            // One too many is enough to know a malformed row.
            split(row, count + 1, &mut found);
            if found.len() != count {
                part.bad_rows += usize::from(!row.is_empty());
                continue;
            }
            part.columns.meet(&found);
            let cell = |place: Option<usize>| place.map_or(&b""[..], |at| trim(found[at]));
            let name = cell(at.name);
            // Scrips of one underlying follow each other.
            let group = match last {
                Some((last, group)) if name == last => group,
                _ => part.groups.place(text(name).to_lowercase()),
            };
            last = Some((name, group));
            part.groups.all[group].1.push(short(part.rows.len()));
            part.rows.push(Row {
                start: short(from),
                end: short(from + row.len()),
                strike: hundredths(text(cell(at.strike))),
                expiry: dates.day(cell(at.expiry)),
                option: OptionKind::read(text(cell(at.option))),
            });
        }
        part
    }

    /// Takes in what was read of the lines that follow.
    fn append(&mut self, next: Self) {
        let base = short(self.rows.len());
        self.rows.extend(next.rows);
        self.columns.join(&next.columns);
        self.bad_rows += next.bad_rows;
        for (name, rows) in next.groups.all {
            let place = self.groups.place(name);
            let rows = rows.into_iter().map(|row| base.saturating_add(row));
            self.groups.all[place].1.extend(rows);
        }
    }
}

/// Numbers of rows and places in a file fit: its size was looked at first.
fn short(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl Table {
    /// Reads a file of `segment`.
    pub(crate) fn read(segment: &str, bytes: Vec<u8>) -> Result<Self, Broken> {
        let read = Self::read_while(segment, bytes, &|| true)?;
        read.ok_or_else(|| Broken("was not read to its end".to_owned()))
    }

    /// The same, unless `go_on` says no meanwhile: then there is none.
    pub(crate) fn read_while(
        segment: &str,
        bytes: Vec<u8>,
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Self>, Broken> {
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
        if head > LONGEST_HEAD {
            return broken("has a header that is too long");
        }
        let names: Vec<String> = cells(line(&bytes[..head]))
            .take(MOST_COLUMNS + 1)
            .map(|name| text(trim(name)).trim_start_matches('\u{feff}').to_owned())
            .collect();
        let place = |name: &str| names.iter().position(|given| given == name);
        if names.len() > MOST_COLUMNS {
            return broken("has too many columns");
        }
        let (Some(token), Some(symbol)) = (place("pSymbol"), place("pTrdSymbol")) else {
            return broken("has no header with pSymbol and pTrdSymbol");
        };
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
        let layout = Layout {
            count: names.len(),
            at,
            dates: Dates::of(segment),
        };
        let body = bytes.get(head + 1..).unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let parts = cores.min(MOST_THREADS).min(1 + body.len() / LEAST_PART);
        let mut all = Part::read_all(parts, body, head + 1, layout, go_on);
        if !go_on() {
            return Ok(None);
        }
        if all.rows.len() > MOST_ROWS {
            return broken("has too many rows");
        }
        if all.rows.is_empty() {
            return broken("has a header and no scrip");
        }
        if all.bad_rows * TOLERANCE > all.rows.len() {
            return Err(Broken(format!(
                "has {} malformed rows beside {} good ones",
                all.bad_rows,
                all.rows.len()
            )));
        }
        for (_, rows) in &mut all.groups.all {
            rows.sort_by_key(|row| strike_order(all.rows[*row as usize].strike));
        }
        Ok(Some(Self {
            columns: all.columns.all,
            keys,
            rows: all.rows,
            groups: all.groups.all,
            by_token: OnceCell::new(),
            by_symbol: OnceCell::new(),
            hasher: RandomState::new(),
            written: Mutex::default(),
            at,
            bad_rows: all.bad_rows,
            bytes,
        }))
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

    /// The rows as a JSON list; `None` if it would be larger than any that
    /// makes sense.
    pub(crate) fn json(&self, rows: &[u32]) -> Option<String> {
        let keys = &self.keys;
        let most: usize = keys.iter().map(|key| key.len() + 8).sum();
        let values: usize = rows.iter().map(|row| self.line(*row).len()).sum();
        if rows.len().saturating_mul(most).saturating_add(values) > LARGEST_LIST {
            return None;
        }
        let ahead = rows.len().saturating_mul(most).min(MOST_AHEAD);
        let mut out = String::with_capacity(ahead + 2);
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
        Some(out)
    }

    fn write_row(&self, out: &mut String, keys: &[String], row: u32) {
        let expiry = self.expiry(row).and_then(date_text);
        out.push('{');
        for (place, cell) in cells(self.line(row)).enumerate() {
            if place > 0 {
                out.push(',');
            }
            out.push_str(&keys[place]);
            match &expiry {
                Some(day) if self.at.expiry == Some(place) => {
                    out.push('"');
                    out.push_str(day);
                    out.push('"');
                }
                _ => self.columns[place].write(out, cell),
            }
        }
        out.push('}');
    }
}

/// Rows without a strike come last, as in the SDK.
fn strike_order(strike: Option<i64>) -> i64 {
    strike.unwrap_or(i64::MAX)
}

/// A time of the file, which is written as a number of any form.
fn seconds(cell: &[u8]) -> Option<i64> {
    let number: f64 = text(cell).parse().ok()?;
    (is_float(cell) && number.abs() < 1e12).then_some(number as i64)
}

/// A number of the file in 1/100 of its unit.
fn hundredths(text: &str) -> Option<i64> {
    let number: f64 = text.parse().ok()?;
    (number.abs() < 1e15).then(|| (number * 100.0).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::super::csv::Kind;
    use super::*;

    #[test]
    fn parts_add_up_to_the_whole() {
        let mut body = String::new();
        for row in 0..200 {
            let blank = if row == 150 { "" } else { "7" };
            let late = if row == 199 { "x" } else { "1" };
            let flag = if row % 2 == 0 { "true" } else { "false" };
            let name = ["NIFTY", "TCS", "nifty"][row % 3];
            body += &format!("{row},{name},CE,{row}.5,{blank},{late},{flag},\n");
            if row % 60 == 0 {
                body += "too,short\n\n";
            }
        }
        let layout = Layout {
            count: 8,
            at: Places {
                token: 0,
                symbol: 1,
                name: Some(1),
                option: Some(2),
                expiry: Some(0),
                strike: Some(3),
            },
            dates: Dates::of("nse_fo"),
        };
        let none = Part::read_all(2, body.as_bytes(), 10, layout, &|| false);
        assert!(none.rows.is_empty(), "nobody wants it");
        let whole = Part::read(body.as_bytes(), 10, layout, &|| true);
        let kinds: Vec<_> = whole.columns.all.iter().map(|one| one.kind).collect();
        let expected = [
            Kind::Int,
            Kind::Text,
            Kind::Text,
            Kind::Float,
            Kind::Int,
            Kind::Text,
            Kind::Flag,
            Kind::Blank,
        ];
        assert_eq!((kinds, whole.rows.len()), (expected.to_vec(), 200));
        assert_eq!((whole.bad_rows, whole.groups.all.len()), (4, 2));
        assert!(whole.columns.all[4].has_blanks && !whole.columns.all[0].has_blanks);
        for parts in 1..=9 {
            let added = Part::read_all(parts, body.as_bytes(), 10, layout, &|| true);
            assert_eq!(added.rows, whole.rows, "{parts}");
            assert_eq!(added.columns.all, whole.columns.all, "{parts}");
            assert_eq!(added.groups.all, whole.groups.all, "{parts}");
            assert_eq!(added.bad_rows, whole.bad_rows, "{parts}");
        }
    }
}
