//! One scrip-master file, indexed: pure.
//!
//! The file's bytes are kept as they are; beside them stand, for each row, what
//! searches compare. Rows become JSON only when they are given out: numbers as
//! numbers, blanks as null, and beside the file's cells what they mean in rupees
//! and units.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt::Write;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};

use memchr::memchr;
use once_cell::sync::OnceCell;

use super::csv::{Column, cells, line, number, text, trim};
use super::read::{Faults, GoOn, Layout, MOST_ROWS, OptionKind, Part, Places, Row, short};
use super::segment::{RUPEE, Scheme, units};
use crate::base::calendar::date_text;
use crate::base::json;

/// More columns than any file has, and a longer header.
const MOST_COLUMNS: usize = 256;
const LONGEST_HEAD: usize = 64 * 1024;
/// The largest answer that is made: several times what all rows of the largest
/// file take.
const LARGEST_LIST: usize = 1 << 30;
/// The most that is set aside for an answer before its length is known.
const MOST_AHEAD: usize = 16 * 1024 * 1024;
/// The members that a row has beside those of the file, at their longest.
const ADDED: usize = 192;

/// More threads than this read no faster than the memory gives.
const MOST_THREADS: usize = 4;
/// The least that is worth a thread.
const LEAST_PART: usize = 1 << 20;

/// Rows that are kept as JSON, some two kilobytes each.
const MOST_WRITTEN: usize = 1024;

/// From this quantity on, and at nought, no order is frozen.
const NO_FREEZE: f64 = 99_999_999.0;

/// Columns that searches ask for.
pub(crate) const TOKEN: &str = "pSymbol";
pub(crate) const SYMBOL: &str = "pTrdSymbol";
pub(crate) const NAME: &str = "pSymbolName";
pub(crate) const OPTION: &str = "pOptionType";
pub(crate) const EXPIRY: &str = "pExpiryDate";
pub(crate) const STRIKE: &str = "dStrikePrice;";

/// Why a file is none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken(pub(crate) String);

/// The rows of one underlying.
struct Group {
    /// In lower case.
    name: String,
    rows: Vec<u32>,
    /// The same by strike, then in the order of the file; made when asked for.
    by_strike: OnceCell<Vec<u32>>,
}

/// The scrips of one segment.
pub(crate) struct Table {
    bytes: Vec<u8>,
    columns: Vec<Column>,
    /// Names of the columns as JSON, each with its colon.
    keys: Vec<String>,
    rows: Vec<Row>,
    groups: Vec<Group>,
    /// Hash and row of every token and trading symbol, sorted. Made when the
    /// first exact lookup asks for it.
    by_token: OnceCell<Vec<(u64, u32)>>,
    by_symbol: OnceCell<Vec<(u64, u32)>>,
    hasher: RandomState,
    /// Rows that were given out, as JSON.
    written: Mutex<HashMap<u32, Box<str>>>,
    at: Places,
    scheme: Scheme,
    faults: Faults,
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
        go_on: GoOn<'_>,
    ) -> Result<Option<Self>, Broken> {
        let broken = |why: &str| Err(Broken(why.to_owned()));
        if bytes.trim_ascii().is_empty() {
            return broken("is empty");
        }
        if trim(&bytes).first() == Some(&b'<') {
            return broken("is a page of HTML and no CSV");
        }
        if u32::try_from(bytes.len()).is_err() {
            return broken("is too large");
        }
        let head = memchr(b'\n', &bytes).unwrap_or(bytes.len());
        if head > LONGEST_HEAD {
            return broken("has a header that is too long");
        }
        let header = line(&bytes[..head]);
        let header = header.strip_prefix("\u{feff}".as_bytes()).unwrap_or(header);
        let names: Vec<String> = cells(header)
            .take(MOST_COLUMNS + 1)
            .map(|name| text(trim(&name)).to_owned())
            .collect();
        let place = |name: &str| names.iter().position(|given| given == name);
        if names.len() > MOST_COLUMNS {
            return broken("has too many columns");
        }
        if place(TOKEN).is_none() && place(SYMBOL).is_none() {
            return broken("has no header with pSymbol and pTrdSymbol");
        }
        let at = Places {
            token: place(TOKEN),
            symbol: place(SYMBOL),
            name: place(NAME),
            option: place(OPTION),
            expiry: place(EXPIRY),
            strike: place(STRIKE),
            correction: place("pCurrectionTime"),
            tick: place("dTickSize"),
            lot: place("lLotSize"),
            multiplier: place("lMultiplier"),
            numerator: place("dGenNum"),
            denominator: place("dGenDen"),
            freeze: place("lFreezeQty"),
            last_flag: place("CASEligible").filter(|place| place + 1 == names.len()),
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
            scheme: Scheme::of(segment),
            is_text: std::str::from_utf8(&bytes).is_ok(),
        };
        let head = (head + 1).min(bytes.len());
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let parts = cores
            .min(MOST_THREADS)
            .min(1 + (bytes.len() - head) / LEAST_PART);
        let mut all = Part::read_all(parts, &bytes, head, layout, go_on);
        if !go_on() {
            return Ok(None);
        }
        if all.rows.len() > MOST_ROWS {
            return broken("has too many rows");
        }
        if all.is_cut {
            return broken("was cut off: its last line does not end");
        }
        // Some bad rows cost themselves. A file with more of them than others is
        // none of this kind.
        if all.faults.rows > all.rows.len() {
            return Err(Broken(format!(
                "has {} malformed rows beside {} good ones",
                all.faults.rows,
                all.rows.len()
            )));
        }
        if all.rows.is_empty() {
            return broken("has a header and no scrip");
        }
        let correction = all.correction(layout.scheme);
        if correction != layout.scheme.correction {
            layout.redate(&bytes, &mut all.rows, correction, &mut all.faults, go_on);
        }
        if !go_on() {
            return Ok(None);
        }
        let groups = all.groups.all.into_iter();
        Ok(Some(Self {
            columns: names.iter().map(|name| Column::named(name)).collect(),
            keys,
            rows: all.rows,
            groups: groups
                .map(|(name, rows)| Group {
                    name,
                    rows,
                    by_strike: OnceCell::new(),
                })
                .collect(),
            by_token: OnceCell::new(),
            by_symbol: OnceCell::new(),
            hasher: RandomState::new(),
            written: Mutex::default(),
            at,
            scheme: layout.scheme,
            faults: all.faults,
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

    /// What could not be read, or contradicts itself.
    pub(crate) fn faults(&self) -> Faults {
        self.faults
    }

    /// Whether the file has this column, one of those that searches ask for.
    pub(crate) fn has(&self, column: &str) -> bool {
        let place = match column {
            TOKEN => self.at.token,
            SYMBOL => self.at.symbol,
            NAME => self.at.name,
            OPTION => self.at.option,
            EXPIRY => self.at.expiry,
            STRIKE => self.at.strike,
            _ => None,
        };
        place.is_some()
    }

    /// A contract whose date contradicts its name: its trading symbol and its day.
    pub(crate) fn misdated(&self) -> Option<(String, String)> {
        let row = self.faults.first_date?;
        let symbol = self.cell(row, self.at.symbol);
        let day = self.expiry(row).and_then(date_text);
        Some((text(trim(&symbol)).to_owned(), day.unwrap_or_default()))
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
        for group in &self.groups {
            if !part.is_empty() && !group.name.contains(part) {
                continue;
            }
            groups += 1;
            let rows = group.by_strike.get_or_init(|| self.by_strike(&group.rows));
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

    fn by_strike(&self, rows: &[u32]) -> Vec<u32> {
        let strike = |row: &u32| (strike_order(self.rows[*row as usize].strike), *row);
        let mut sorted: Vec<_> = rows.iter().map(strike).collect();
        sorted.sort_unstable();
        sorted.into_iter().map(|(_, row)| row).collect()
    }

    pub(crate) fn with_token(&self, token: &str) -> Vec<u32> {
        let wanted = token.trim().as_bytes();
        self.exact(&self.by_token, self.at.token, wanted, whole)
    }

    /// Rows with this trading symbol, whatever its blanks and its case. If some
    /// have it with the same blanks within, those alone.
    pub(crate) fn with_symbol(&self, symbol: &str) -> Vec<u32> {
        let wanted = bare(symbol.as_bytes());
        let mut rows = self.exact(&self.by_symbol, self.at.symbol, &wanted, bare);
        if rows.len() > 1 {
            let symbol = symbol.trim().as_bytes();
            let same = |row: &u32| {
                let cell = self.cell(*row, self.at.symbol);
                trim(&cell).eq_ignore_ascii_case(symbol)
            };
            if rows.iter().any(same) {
                rows.retain(same);
            }
        }
        rows
    }

    fn exact(
        &self,
        index: &OnceCell<Vec<(u64, u32)>>,
        place: Option<usize>,
        wanted: &[u8],
        key: impl Fn(&[u8]) -> Cow<'_, [u8]>,
    ) -> Vec<u32> {
        if wanted.is_empty() {
            // Nothing is called so; rows whose cell could not be read are not either.
            return Vec::new();
        }
        let index = index.get_or_init(|| {
            let rows = 0..short(self.rows.len());
            let hashed = rows.map(|row| {
                let cell = self.cell(row, place);
                (self.hasher.hash_one(&*key(&cell)), row)
            });
            let mut hashed: Vec<_> = hashed.collect();
            hashed.sort_unstable();
            hashed
        });
        let hash = self.hasher.hash_one(wanted);
        let from = index.partition_point(|(of, _)| *of < hash);
        let alike = index[from..].iter().take_while(|(of, _)| *of == hash);
        let rows = alike.map(|(_, row)| *row);
        rows.filter(|row| *key(&self.cell(*row, place)) == *wanted)
            .collect()
    }

    fn cell(&self, row: u32, place: Option<usize>) -> Cow<'_, [u8]> {
        let found = place.and_then(|place| cells(self.line(row)).nth(place));
        found.unwrap_or_default()
    }

    fn line(&self, row: u32) -> &[u8] {
        let row = &self.rows[row as usize];
        &self.bytes[row.start as usize..row.end as usize]
    }

    /// In 1/[`RUPEE`].
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

    /// Whether a row has this option type, for kinds that are none of the usual.
    pub(crate) fn has_option(&self, row: u32, wanted: &str) -> bool {
        let cell = self.cell(row, self.at.option);
        text(trim(&cell)).eq_ignore_ascii_case(wanted)
    }

    /// The rows as a JSON list; `None` if it would be larger than any that
    /// makes sense.
    pub(crate) fn json(&self, rows: &[u32]) -> Option<String> {
        let keys = &self.keys;
        let most: usize = keys.iter().map(|key| key.len() + 8).sum::<usize>() + ADDED;
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
        let mut numbers = Numbers::default();
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
                _ => self.columns[place].write(out, &cell),
            }
            numbers.meet(&self.at, place, &cell);
        }
        let strike = self.strike(row).filter(|strike| *strike > 0);
        for (name, value) in [
            ("strike_price", strike),
            ("tick_size", numbers.tick(self.scheme)),
            ("lot_size", numbers.lot()),
            ("contract_size", numbers.contract()),
            ("freeze_quantity", numbers.freeze(self.scheme)),
        ] {
            // Writing into a string cannot fail.
            let _ = write!(out, ",\"{name}\":");
            match value {
                Some(value) => write_decimal(out, value),
                None => out.push_str("null"),
            }
        }
        out.push('}');
    }
}

/// The cells of a row that say what its other numbers mean.
#[derive(Default)]
struct Numbers {
    tick: Option<f64>,
    lot: Option<f64>,
    multiplier: Option<f64>,
    numerator: Option<f64>,
    denominator: Option<f64>,
    freeze: Option<f64>,
}

impl Numbers {
    fn meet(&mut self, at: &Places, place: usize, cell: &[u8]) {
        for (wanted, slot) in [
            (at.tick, &mut self.tick),
            (at.lot, &mut self.lot),
            (at.multiplier, &mut self.multiplier),
            (at.numerator, &mut self.numerator),
            (at.denominator, &mut self.denominator),
            (at.freeze, &mut self.freeze),
        ] {
            if wanted == Some(place) {
                // Nought and less stand for none, in each of them.
                *slot = number(cell).filter(|number| *number > 0.0);
            }
        }
    }

    fn tick(&self, scheme: Scheme) -> Option<i64> {
        scheme.price(self.tick?)
    }

    /// The units of the underlying in a lot, as the broker counts them.
    fn lot(&self) -> Option<i64> {
        units(self.lot?, RUPEE)
    }

    /// What a price is multiplied by to give the value of a lot.
    fn contract(&self) -> Option<i64> {
        let multiplier = self.multiplier.unwrap_or(1.0);
        units(
            self.lot? * multiplier * self.numerator? / self.denominator?,
            RUPEE,
        )
    }

    fn freeze(&self, scheme: Scheme) -> Option<i64> {
        let freeze = self.freeze.filter(|freeze| *freeze < NO_FREEZE)?;
        match scheme.freeze_in_lots {
            true => units(freeze * self.lot?, RUPEE),
            false => units(freeze, RUPEE),
        }
    }
}

/// A number of 1/[`RUPEE`] as a plain decimal.
fn write_decimal(out: &mut String, value: i64) {
    let (whole, part) = (value / RUPEE, (value % RUPEE).abs());
    // Writing into a string cannot fail.
    let _ = write!(out, "{whole}");
    if part != 0 {
        let part = format!("{part:07}");
        let _ = write!(out, ".{}", part.trim_end_matches('0'));
    }
}

/// A token as searches name it: a whole number, whatever its form.
fn whole(cell: &[u8]) -> Cow<'_, [u8]> {
    let cell = trim(cell);
    if cell.iter().all(u8::is_ascii_digit) {
        return Cow::Borrowed(cell);
    }
    match number(cell) {
        Some(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
            Cow::Owned(format!("{}", number as i64).into_bytes())
        }
        _ => Cow::Borrowed(cell),
    }
}

/// A name in capitals and without blanks.
fn bare(cell: &[u8]) -> Cow<'_, [u8]> {
    let strange = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_whitespace();
    if !cell.iter().any(strange) {
        return Cow::Borrowed(cell);
    }
    let kept = cell.iter().filter(|byte| !byte.is_ascii_whitespace());
    Cow::Owned(kept.map(u8::to_ascii_uppercase).collect())
}

/// Rows without a strike come last, as in the SDK.
fn strike_order(strike: Option<i64>) -> i64 {
    strike.unwrap_or(i64::MAX)
}
