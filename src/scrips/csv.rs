//! The records of a scrip-master file and their cells, as RFC 4180 has them.
//!
//! A cell with a comma, a quote or a line break in it stands in quotes. Nine rows
//! of ten have none: those are split eight bytes at a time, for a file has
//! millions of cells.

use std::borrow::Cow;
use std::fmt::Write;

use memchr::{memchr, memchr_iter, memchr2};

use crate::base::json;

/// The longest record that may go on over line breaks. A true one has some 1,500
/// bytes; without a bound, a file full of stray quotes would be read once for each.
const LONGEST_RECORD: usize = 16 * 1024;

/// Without the carriage return of another system.
pub(super) fn line(bytes: &[u8]) -> &[u8] {
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

/// The cells of a line without quotes, all at once, or the first so many. Cells
/// are short, so looking at eight bytes a time is several times faster than
/// searching for one comma after another.
pub(super) fn split<'a>(line: &'a [u8], most: usize, cells: &mut Vec<&'a [u8]>) {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const COMMAS: u64 = ONES * b',' as u64;
    const LOW: u64 = ONES * 0x7f;
    let mut start = 0;
    let mut words = line.chunks_exact(8);
    let mut base = 0;
    for word in &mut words {
        let Ok(word) = word.try_into() else { continue };
        let differs = u64::from_le_bytes(word) ^ COMMAS;
        // The highest bit of each byte that is a comma.
        let mut found = !(((differs & LOW) + LOW) | differs | LOW);
        while found != 0 {
            if cells.len() >= most {
                return;
            }
            let at = base + found.trailing_zeros() as usize / 8;
            cells.push(&line[start..at]);
            start = at + 1;
            found &= found - 1;
        }
        base += 8;
    }
    while let Some(more) = memchr(b',', &line[base.max(start)..]) {
        if cells.len() >= most {
            return;
        }
        let at = base.max(start) + more;
        cells.push(&line[start..at]);
        start = at + 1;
    }
    if cells.len() < most {
        cells.push(&line[start..]);
    }
}

/// Why a record has no further cells though it has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A quote that opened a cell has no other to close it.
    Open,
    /// Something follows the quote that closed a cell.
    Stray,
}

/// The cells of a record, one after the other, without their quotes.
pub(super) struct Cells<'a> {
    rest: Option<&'a [u8]>,
    fault: Option<Fault>,
}

impl Cells<'_> {
    /// What was wrong where they ended.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault
    }
}

/// The cells of a record, with quotes or without.
pub(super) fn cells(record: &[u8]) -> Cells<'_> {
    Cells {
        rest: Some(record),
        fault: None,
    }
}

impl<'a> Iterator for Cells<'a> {
    type Item = Cow<'a, [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let now = self.rest.take()?;
        let Some(inside) = now.strip_prefix(b"\"") else {
            let end = memchr(b',', now);
            self.rest = end.map(|at| &now[at + 1..]);
            return Some(Cow::Borrowed(&now[..end.unwrap_or(now.len())]));
        };
        let Some((end, doubled)) = closing(inside) else {
            self.fault = Some(Fault::Open);
            return None;
        };
        self.rest = match &inside[end + 1..] {
            [] => None,
            [b',', rest @ ..] => Some(rest),
            _ => {
                self.fault = Some(Fault::Stray);
                return None;
            }
        };
        let cell = &inside[..end];
        Some(match doubled {
            true => Cow::Owned(undoubled(cell)),
            false => Cow::Borrowed(cell),
        })
    }
}

/// Where the quote is that closes a cell, and whether there are doubled ones
/// before it.
fn closing(inside: &[u8]) -> Option<(usize, bool)> {
    let mut quotes = memchr_iter(b'"', inside);
    let mut doubled = false;
    loop {
        let at = quotes.next()?;
        if inside.get(at + 1) != Some(&b'"') {
            return Some((at, doubled));
        }
        doubled = true;
        quotes.next();
    }
}

fn undoubled(cell: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(cell.len());
    let mut rest = cell;
    while let Some(at) = memchr(b'"', rest) {
        out.extend_from_slice(&rest[..=at]);
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}

/// Where a record of `count` cells ends that begins with `bytes` and goes on over
/// line breaks in quotes; its own line break is not counted. `None` where a quote
/// is a stray one: the record is not well formed then, or would swallow a line
/// that is a row by itself.
pub(super) fn long_record(bytes: &[u8], count: usize) -> Option<usize> {
    let near = &bytes[..bytes.len().min(LONGEST_RECORD)];
    let whole = near.len() == bytes.len();
    let mut at = 0;
    for found in 1..=count {
        if near.get(at) == Some(&b'"') {
            at += 1 + closing(&near[at + 1..])?.0 + 1;
            if near.get(at..at + 2) == Some(b"\r\n") {
                at += 1;
            }
        } else {
            let end = memchr2(b',', b'\n', &near[at..]);
            at = end.map_or(near.len(), |more| at + more);
        }
        match near.get(at) {
            Some(b',') if found < count => at += 1,
            Some(b'\n') if found == count => {}
            None if found == count && whole => {}
            _ => return None,
        }
    }
    let mut lines = near[..at].split(|byte| *byte == b'\n').skip(1);
    let swallows = lines.any(|one| is_row(line(one), count));
    (!swallows).then_some(at)
}

/// Whether a line is a row without any quote that is out of place. The first cell
/// of a row has a token.
fn is_row(line: &[u8], count: usize) -> bool {
    if line.starts_with(b",") {
        return false;
    }
    let mut all = cells(line);
    let mut rest = Some(line);
    let mut found = 0;
    while let Some(now) = rest {
        let Some(cell) = all.next() else { return false };
        if !now.starts_with(b"\"") && memchr(b'"', &cell).is_some() {
            return false;
        }
        found += 1;
        rest = all.rest;
    }
    found == count
}

/// A cell without the blanks around it.
pub(super) fn trim(cell: &[u8]) -> &[u8] {
    cell.trim_ascii()
}

/// A cell as text; nothing if a byte of it is none.
pub(super) fn text(cell: &[u8]) -> &str {
    std::str::from_utf8(cell).unwrap_or("")
}

/// What a column holds, by its name. What a single cell holds is judged cell by
/// cell: a foreign one must not change how all others look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// Text, also where it looks like a number.
    Text,
    /// Whole numbers.
    Whole,
    /// What it looks like.
    Any,
}

/// Columns of text.
const TEXTS: &[&str] = &[
    "pGroup",
    "pExchSeg",
    "pInstType",
    "pSymbolName",
    "pTrdSymbol",
    "pOptionType",
    "pScripRefKey",
    "pISIN",
    "pCombinedSymbol",
    "pDesc",
    "pExchange",
    "pInstName",
    "pCreditRating",
    "pDeliveryUnits",
    "pPriceUnits",
    "pInstrumentInfo",
    "pRemarksText",
    "pSegment",
    "pTrdUnits",
    "pSettlementType",
    "surveillanceMessage",
];

impl Column {
    pub(super) fn named(name: &str) -> Self {
        match name {
            name if TEXTS.contains(&name) => Self::Text,
            "pSymbol" | "pAssetCode" => Self::Whole,
            // The broker's prefixes of integers.
            name if name.starts_with(['l', 'i']) => Self::Whole,
            _ => Self::Any,
        }
    }

    pub(super) fn write(self, out: &mut String, cell: &[u8]) {
        let Ok(given) = std::str::from_utf8(cell) else {
            out.push_str("null");
            return;
        };
        let bare = given.trim_ascii();
        if given.is_empty() {
            out.push_str("null");
        } else if self == Self::Text {
            json::write_string(out, given);
        } else if is_int(bare.as_bytes()) {
            // Of 18 digits at most, so it fits.
            let number: i64 = bare.parse().unwrap_or_default();
            let _ = write!(out, "{number}");
        } else if let Some(number) = number(bare.as_bytes()) {
            // Writing into a string cannot fail.
            let _ = match self == Self::Whole && number.fract() == 0.0 && number.abs() < 1e15 {
                true => write!(out, "{}", number as i64),
                false => write!(out, "{number:?}"),
            };
        } else if is_flag(bare) {
            let is_true = bare.eq_ignore_ascii_case("true");
            out.push_str(if is_true { "true" } else { "false" });
        } else {
            json::write_string(out, given);
        }
    }
}

/// The number in a cell: digits, perhaps with a sign, a point and an exponent.
pub(super) fn number(cell: &[u8]) -> Option<f64> {
    let cell = trim(cell);
    if cell.len() <= 15 && is_int(cell) {
        let (minus, digits) = match cell {
            [b'-', digits @ ..] => (true, digits),
            [b'+', digits @ ..] => (false, digits),
            digits => (false, digits),
        };
        let digit = |sum: i64, byte: &u8| sum * 10 + i64::from(byte - b'0');
        let size = digits.iter().fold(0, digit) as f64;
        return Some(if minus { -size } else { size });
    }
    let number: f64 = is_float(cell).then(|| text(cell).parse().ok())??;
    number.is_finite().then_some(number)
}

fn is_int(cell: &[u8]) -> bool {
    let digits = match cell {
        [b'-' | b'+', rest @ ..] => rest,
        all => all,
    };
    (1..=18).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
}

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

pub(super) fn is_flag(text: &str) -> bool {
    matches!(text, "true" | "false" | "True" | "False" | "TRUE" | "FALSE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_between_commas() {
        for text in [
            "",
            ",",
            "a",
            "a,b",
            ",,,,,,,,,,",
            "12345678",
            "1234567,",
            "abcdefgh,ijklmnopq,r",
            "é,ü,,ö",
        ] {
            let mut found = Vec::new();
            split(text.as_bytes(), 100, &mut found);
            let plain: Vec<_> = text.split(',').map(str::as_bytes).collect();
            assert_eq!(found, plain, "{text}");
            let all: Vec<_> = cells(text.as_bytes()).collect();
            assert_eq!(all, plain, "{text}");
            found.clear();
            split(text.as_bytes(), 3, &mut found);
            assert_eq!(found, plain[..plain.len().min(3)], "{text}");
        }
    }

    #[test]
    fn quotes_hold_commas() {
        for (text, wanted, fault) in [
            (r#""""#, &[""][..], None),
            (r#""a""#, &["a"], None),
            (r#"a,"b,c",d"#, &["a", "b,c", "d"], None),
            (r#""a","","b""c""""#, &["a", "", "b\"c\""], None),
            (r#""a","#, &["a", ""], None),
            ("\"a\nb\",c", &["a\nb", "c"], None),
            // Within a cell a quote is a character.
            (r#"5" pipe,b"#, &["5\" pipe", "b"], None),
            (r#"a, "b", c"#, &["a", " \"b\"", " c"], None),
            (r#"a,"b,c"#, &["a"], Some(Fault::Open)),
            (r#"a,"b,c"""#, &["a"], Some(Fault::Open)),
            (r#"a,"b"c,d"#, &["a"], Some(Fault::Stray)),
        ] {
            let mut found = cells(text.as_bytes());
            let all: Vec<_> = found.by_ref().collect();
            let wanted: Vec<_> = wanted.iter().map(|cell| cell.as_bytes()).collect();
            assert_eq!(all, wanted, "{text}");
            assert_eq!(found.fault(), fault, "{text}");
        }
    }

    #[test]
    fn a_record_goes_on_only_where_it_is_one() {
        for (text, count, end) in [
            ("a,\"b\nc\"\nd,e\n", 2, Some(7)),
            ("a,\"b\nc\"", 2, Some(7)),
            ("a,\"b\r\nc\"\r\nd,e\n", 2, Some(9)),
            ("\"a\n\",b\n", 2, Some(6)),
            ("\"a\n\",\n", 2, Some(5)),
            ("\"a\n\",b,c\n", 2, None),
            ("\"a\n\",b,\n", 2, None),
            ("\"a\n\"\n", 2, None),
            // Nothing closes it, or what does opens another cell.
            ("a,\"b\nc,d\n", 2, None),
            ("a,\"b\nc,\"d\"\n", 2, None),
            // A line between would be swallowed.
            ("a,\"b\nc,d\ne\"\n", 2, None),
        ] {
            assert_eq!(long_record(text.as_bytes(), count), end, "{text:?}");
        }
        let far = format!("a,\"b{}\nc\"\n", " ".repeat(LONGEST_RECORD));
        assert_eq!(long_record(far.as_bytes(), 2), None);
    }

    #[test]
    fn a_cell_is_what_it_looks_like() {
        let written = |name: &str, cell: &str| {
            let mut out = String::new();
            Column::named(name).write(&mut out, cell.as_bytes());
            out
        };
        for (name, cell, json) in [
            ("pSymbol", "50002", "50002"),
            ("pSymbol", "5.0002e+04", "50002"),
            ("pSymbol", "n/a", "\"n/a\""),
            ("pSymbol", "", "null"),
            ("pTrdSymbol", "50002", "\"50002\""),
            ("pTrdSymbol", "1E5", "\"1E5\""),
            ("pSymbolName", " NIFTY ", "\" NIFTY \""),
            ("dTickSize", "5", "5"),
            ("dTickSize", "5.5", "5.5"),
            ("dTickSize", " 7 ", "7"),
            ("dStrikePrice;", "2.2e+06", "2200000.0"),
            ("lFreezeQty", "1e+08", "100000000"),
            ("iMaxOrderSize", "1801.00", "1801"),
            ("lLotSize", "2.5", "2.5"),
            ("CASEligible", "false", "false"),
            ("CASEligible", "True", "true"),
            ("pRecordDate", "2024-09-24", "\"2024-09-24\""),
            ("pFaceValue", "nan", "\"nan\""),
            ("pFaceValue", "1e400", "\"1e400\""),
            ("pFaceValue", "99999999999999999999", "1e20"),
        ] {
            assert_eq!(written(name, cell), json, "{name} {cell}");
        }
        let mut out = String::new();
        Column::Text.write(&mut out, b"a\xff");
        assert_eq!(out, "null");
    }
}
