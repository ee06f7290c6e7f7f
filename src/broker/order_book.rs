//! The order book: its rows, and how they are read.
//!
//! Rows may be short, and have placeholders for "none". Nothing here does I/O.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::base::calendar::india_time;
use crate::base::json;
use crate::broker::words;

/// More rows than anybody can place orders in a day. A book with more is none:
/// the rows of a body may be as small as the broker likes.
const MOST_ROWS: usize = 262_144;

/// One row of the order book. Its members are read when they are asked for:
/// all of them at once take many times the memory of the body.
pub(crate) struct Row {
    /// The broker's own text of it.
    pub(crate) raw: String,
}

impl Row {
    /// `None` if it cannot be read to its end.
    fn read(raw: &RawValue) -> Option<Self> {
        let raw = raw.get();
        is_sound(raw).then(|| Self {
            raw: raw.to_owned(),
        })
    }

    /// The text of a member; blank and missing are the same.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        let text = json::scalar(json::member(&self.raw, key)?.get())?;
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    pub(crate) fn number(&self) -> String {
        self.text("nOrdNo").unwrap_or_default()
    }

    pub(crate) fn tag(&self) -> String {
        self.text("GuiOrdId").unwrap_or_default()
    }

    /// The state in lower case.
    pub(crate) fn state(&self) -> String {
        self.text("ordSt").unwrap_or_default().to_lowercase()
    }

    /// Unix seconds at which the order came in, where the row tells.
    pub(crate) fn entered_at(&self) -> Option<u64> {
        ["ordEntTm", "ordDtTm"]
            .iter()
            .find_map(|key| india_time(&self.text(key)?))
    }

    /// Whether a member is what was asked for. `None` if the row does not
    /// tell: short rows are documented, and placeholders for "none".
    pub(crate) fn is(&self, key: &str, asked: &str) -> Option<bool> {
        let text = self.text(key)?;
        let asked = asked.trim();
        if same_number(&text, asked) || text.eq_ignore_ascii_case(asked) {
            return Some(true);
        }
        let placeholder = matches!(text.as_str(), "NA" | "--" | "-");
        let no_number = normal(asked).is_some() && normal(&text).is_none();
        (!placeholder && !no_number).then_some(false)
    }

    /// The same for the side, in any spelling.
    pub(crate) fn is_side(&self, asked: &str) -> Option<bool> {
        self.is_word("trnsTp", asked, words::side)
    }

    /// The same for the order type, in any spelling.
    pub(crate) fn is_order_type(&self, asked: &str) -> Option<bool> {
        self.is_word("prcTp", asked, words::order_type)
    }

    /// A word that is not known tells nothing.
    fn is_word(
        &self,
        key: &str,
        asked: &str,
        code: fn(&str) -> Option<&'static str>,
    ) -> Option<bool> {
        Some(code(&self.text(key)?)? == code(asked)?)
    }
}

/// The rows of an order book. `None` if it is no book, or if a row of it
/// cannot be read to its end: what it hides may be an order.
pub(crate) fn rows(book: &str) -> Option<Vec<Row>> {
    list(book)?.into_iter().map(Row::read).collect()
}

/// The first row of an order, if the book has one. No other is kept.
pub(crate) fn find(book: &str, number: &str) -> Option<Option<Row>> {
    let mut found = None;
    for raw in list(book)? {
        let row = Row::read(raw)?;
        if found.is_none() && row.number() == number {
            found = Some(row);
        }
    }
    Some(found)
}

/// The rows of any book as they stand in it.
pub(crate) fn list(book: &str) -> Option<Vec<&RawValue>> {
    #[derive(Deserialize)]
    struct Book<'a> {
        #[serde(borrow)]
        data: Rows<'a>,
    }
    let book: Book<'_> = serde_json::from_str(book).ok()?;
    Some(book.data.0)
}

struct Rows<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Rows<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Rows<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of rows")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut rows = Vec::new();
                while let Some(row) = seq.next_element()? {
                    if rows.len() == MOST_ROWS {
                        return Err(A::Error::custom("too many rows"));
                    }
                    rows.push(row);
                }
                Ok(Rows(rows))
            }
        }

        deserializer.deserialize_seq(Reader)
    }
}

/// What the row of an order tells of the way it is to be cancelled.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) number: String,
    /// Whether it is an after-market order.
    pub(crate) after_market: bool,
    pub(crate) symbol: Option<String>,
}

/// The longest order number and trading symbol that are kept.
const LONGEST_NAME: usize = 64;

/// Reads that of a row; `None` if it does not tell.
pub(crate) fn seen(row: &str) -> Option<Seen> {
    let [number, generated, state, symbol] =
        json::members(row, ["nOrdNo", "ordGenTp", "ordSt", "trdSym"])?;
    let text = |raw: Option<&RawValue>| {
        let text = json::scalar(raw?.get())?;
        Some(text.trim().to_owned())
    };
    let name =
        |raw: Option<&RawValue>| text(raw).filter(|text| (1..=LONGEST_NAME).contains(&text.len()));
    let told = text(generated).map(|word| word.eq_ignore_ascii_case("AMO"));
    // Short rows are documented that have a state and not this word.
    let waits = || text(state).is_some_and(|state| words::find(&state).is_after_market());
    let after_market = match told {
        Some(true) => true,
        _ if waits() => true,
        told => told?,
    };
    Some(Seen {
        number: name(number)?,
        after_market,
        symbol: name(symbol).filter(|symbol| !symbol.chars().any(char::is_control)),
    })
}

/// Whether a row is an object whose keys and texts can all be read.
fn is_sound(raw: &str) -> bool {
    let mut reader = serde_json::Deserializer::from_str(raw);
    raw.starts_with('{') && Sound.deserialize(&mut reader).is_ok()
}

/// Reads all of a value and keeps nothing.
struct Sound;

impl<'de> DeserializeSeed<'de> for Sound {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Sound {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Sound)?.is_some() {}
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    /// A number too, if it has a fraction or many digits.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key_seed(Sound)?.is_some() {
            map.next_value_seed(Sound)?;
        }
        Ok(())
    }
}

/// Whether two trading symbols may be spellings of one. Only what is certainly another
/// underlying, kind, or strike excludes it.
pub(crate) fn may_be_symbol(a: &str, b: &str) -> bool {
    let (a, b) = (a.to_ascii_uppercase(), b.to_ascii_uppercase());
    let plain = |text: &str| text.replace(|c: char| !c.is_ascii_alphanumeric(), "");
    // Of shares the series may be another, or lack: `TCS-EQ`, `TCS`, `TCS EQ`.
    let bare = |text: &str| plain(text.rsplit_once(['-', ' ']).map_or(text, |(name, _)| name));
    let forms = |text: &str| [plain(text), bare(text)];
    let (first, second) = (forms(&a), forms(&b));
    let same = |one: &String| !one.is_empty() && second.contains(one);
    first.iter().any(|one| one.is_empty()) || first.iter().any(same) || {
        match (Contract::read(&first[0]), Contract::read(&second[0])) {
            (Some(one), Some(other)) => {
                // A strike with a point may be written with more zeros or fewer.
                let whole = !a.contains('.') && !b.contains('.');
                one.may_be(&other, whole)
            }
            // Some write the expiry last: such a one is no contract to us.
            (Some(one), None) => {
                one.may_be_in(&second[0]) || second.iter().any(|one| one.is_empty())
            }
            (None, Some(other)) => other.may_be_in(&first[0]),
            (None, None) => second.iter().any(|one| one.is_empty()),
        }
    }
}

/// A future or option, as far as its symbol tells in any spelling: the expiry is written
/// in several ways.
struct Contract<'a> {
    underlying: &'a str,
    kind: &'a str,
    /// Expiry and strike; which digits are which differs.
    digits: &'a str,
}

impl<'a> Contract<'a> {
    /// `symbol` is in capitals and digits.
    fn read(symbol: &'a str) -> Option<Self> {
        let kinds = ["FUT", "CE", "PE"];
        let kind = kinds.into_iter().find(|kind| symbol.ends_with(kind))?;
        let (before, kind) = symbol.split_at(symbol.len() - kind.len());
        let underlying = before.trim_end_matches(|c: char| c.is_ascii_digit());
        let digits = &before[underlying.len()..];
        // Up to the digits of the expiry; a name may begin with some.
        let name = underlying.trim_start_matches(|c: char| c.is_ascii_digit());
        let skipped = underlying.len() - name.len();
        let end = name.find(|c: char| c.is_ascii_digit());
        let underlying = end.map_or(underlying, |end| &underlying[..skipped + end]);
        before.bytes().any(|b| b.is_ascii_digit()).then_some(Self {
            underlying,
            kind,
            digits,
        })
    }

    /// Whether a text that cannot be read as a contract may be this one.
    fn may_be_in(&self, text: &str) -> bool {
        text.is_empty()
            || text
                .strip_prefix(self.underlying)
                .is_some_and(|rest| rest.contains(self.kind))
    }

    fn may_be(&self, other: &Self, whole: bool) -> bool {
        let strikes = self.digits.ends_with(other.digits) || other.digits.ends_with(self.digits);
        self.underlying == other.underlying
            && self.kind == other.kind
            && (strikes || !whole || self.kind == "FUT")
    }
}

/// Whether two plain decimals are the same number.
fn same_number(a: &str, b: &str) -> bool {
    match (normal(a), normal(b)) {
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

/// Digits before and after the point, without needless zeros.
fn normal(text: &str) -> Option<(&str, &str)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if text.is_empty() || text == "." || !digits(whole) || !digits(fraction) {
        return None;
    }
    Some((
        whole.trim_start_matches('0'),
        fraction.trim_end_matches('0'),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kotak_neo_testing::fixtures::sample;

    #[test]
    fn a_book_is_read_row_by_row() {
        let book = r#"{"stat":"Ok","data":[
            {"nOrdNo":"1","GuiOrdId":" tag ","qty":10,"prc":1.50,"x":[{"nOrdNo":"7"}],"y":null},
            {"nOrdNo":"2","nOrdNo":"3","\u006frdSt":"Open","qty":" "}, {}]}"#;
        let rows = rows(book).expect("it is a book");
        let [first, second, third] = &rows[..] else {
            panic!("three rows");
        };
        let text = |key| first.text(key);
        assert_eq!(
            (first.number(), first.tag()),
            ("1".to_owned(), "tag".to_owned())
        );
        assert_eq!(
            (text("qty").as_deref(), text("prc").as_deref()),
            (Some("10"), Some("1.50"))
        );
        assert_eq!((text("x"), text("y"), text("z")), (None, None, None));
        assert_eq!(
            (second.number(), second.state()),
            ("3".to_owned(), "open".to_owned())
        );
        assert_eq!(second.text("qty"), None);
        assert_eq!((third.raw.as_str(), third.number()), ("{}", String::new()));
        let found = |number| find(book, number).expect("it is a book").map(|row| row.raw);
        assert_eq!(found("1").as_deref(), Some(first.raw.as_str()));
        assert_eq!(found("4"), None);
    }

    #[test]
    fn what_cannot_be_read_to_its_end_is_no_book() {
        for row in [
            "7",
            "[]",
            "null",
            r#"{"a":"\ud800"}"#,
            r#"{"a":["\ud800"]}"#,
            r#"{"\ud800":1}"#,
            r#"{"a":1"#,
        ] {
            let book = format!(r#"{{"data":[{{"nOrdNo":"1"}},{row}]}}"#);
            assert!(rows(&book).is_none() && find(&book, "1").is_none(), "{row}");
        }
        for book in ["", "[]", "{}", r#"{"data":{}}"#, r#"{"data":null}"#] {
            assert!(rows(book).is_none(), "{book}");
        }
        let of = |count| format!(r#"{{"data":[{}]}}"#, vec!["{}"; count].join(","));
        assert_eq!(rows(&of(MOST_ROWS)).map(|rows| rows.len()), Some(MOST_ROWS));
        assert!(rows(&of(MOST_ROWS + 1)).is_none());
    }

    #[test]
    fn a_symbol_has_several_spellings() {
        for (a, b, may) in [
            ("TCS-EQ", "TCS-EQ", true),
            ("TCS-EQ", "tcs-eq", true),
            ("TCS-EQ", "TCS", true),
            ("TCS-EQ", "TCS EQ", true),
            ("TCS-EQ", "TCSEQ", true),
            ("TCS-EQ", "TCS-BE", true),
            ("TCS-EQ", "INFY-EQ", false),
            ("IDEA-EQ", "IDEAFORGE-EQ", false),
            ("M&M-EQ", "M&M", true),
            ("M&M-EQ", "MM-EQ", true),
            ("M&M-EQ", "M&MFIN-EQ", false),
            ("BAJAJ-AUTO-EQ", "BAJAJ-AUTO", true),
            ("BAJAJ-AUTO-EQ", "BAJAJAUTO-EQ", true),
            ("TCS-EQ", "--", true),
            ("--", "TCS-EQ", true),
            ("NIFTY26SEP24000CE", "NIFTY26SEP24000CE", true),
            ("NIFTY26SEP24000CE", "NIFTY 26 SEP 24000 CE", true),
            ("NIFTY26SEP24000CE", "NIFTY2692424000CE", true),
            ("NIFTY26SEP24000CE", "NIFTY 24000 CE 26SEP", true),
            ("NIFTY26SEPFUT", "NIFTY FUT 26SEP", true),
            ("NIFTY26SEP24000CE", "NIFTY 24000 PE 26SEP", false),
            ("NIFTY26SEP24000CE", "NIFTY26SEP24100CE", false),
            ("NIFTY26SEP24000CE", "NIFTY26SEP24000PE", false),
            ("NIFTY26SEP24000CE", "BANKNIFTY26SEP24000CE", false),
            ("NIFTY26SEPFUT", "NIFTY26SEP24000CE", false),
            ("NIFTY26SEPFUT", "NIFTY24SEP26FUT", true),
            ("NIFTY24SEP26FUT", "NIFTY26SEP24FUT", true),
            ("ITC26SEP402.5CE", "ITC26SEP402.50CE", true),
            ("NIFTY26SEPFUT", "NIFTY-EQ", false),
            ("3MINDIA-EQ", "3MINDIA", true),
            // Shares whose names end like options.
            ("RELIANCE-EQ", "RELIANCE", true),
            ("RELIANCE-EQ", "BAJFINANCE-EQ", false),
        ] {
            assert_eq!(may_be_symbol(a, b), may, "{a} {b}");
            assert_eq!(may_be_symbol(b, a), may, "{b} {a}");
        }
    }

    #[test]
    fn a_row_tells_an_after_market_order() {
        let told = |row: &str| seen(row).map(|seen| seen.after_market);
        for (rest, is) in [
            (r#""ordGenTp":"AMO""#, Some(true)),
            (r#""ordGenTp":" amo ","ordSt":"open""#, Some(true)),
            (r#""ordGenTp":"NA""#, Some(false)),
            (r#""ordGenTp":"--""#, Some(false)),
            (r#""ordGenTp":"""#, Some(false)),
            (r#""ordSt":"After  Market Order req received""#, Some(true)),
            (
                r#""ordGenTp":"NA","ordSt":"modify after market order req received""#,
                Some(true),
            ),
            (r#""ordSt":"open""#, None),
            (r#""ordGenTp":null"#, None),
            (r#""ordGenTp":["AMO"]"#, None),
        ] {
            let row = format!(r#"{{"nOrdNo":"7",{rest}}}"#);
            assert_eq!(told(&row), is, "{row}");
        }
        // The broker's short rows have a state and not the word.
        let book = sample("order_report.rejected-and-amo.ok");
        let rows = list(&book).expect("it is a book");
        let all: Vec<_> = rows.iter().map(|row| told(row.get())).collect();
        assert_eq!(all, [None, Some(true)]);
        assert_eq!(told(r#"{"ordGenTp":"AMO"}"#), None, "of which order?");
        assert_eq!(told("[]"), None);
        let long = "x".repeat(65);
        let row = format!(r#"{{"nOrdNo":7,"ordGenTp":"AMO","trdSym":"{long}"}}"#);
        let seen = seen(&row).expect("it tells");
        assert_eq!((&*seen.number, seen.symbol), ("7", None));
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        for (a, b, same) in [
            ("10", "10.00", true),
            ("007", "7", true),
            ("0.50", ".5", true),
            ("10", "100", false),
            ("1.05", "1.5", false),
            ("", "0", false),
            ("1e1", "10", false),
        ] {
            assert_eq!(same_number(a, b), same, "{a} {b}");
        }
    }
}
