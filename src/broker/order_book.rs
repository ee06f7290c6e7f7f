//! The order book: its rows, and how they are read.
//!
//! Rows may be short, and have placeholders for "none". Nothing here does I/O.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::base::calendar::india_time;
use crate::broker::words;

/// One row of the order book.
pub(crate) struct Row {
    /// The broker's own text of it.
    pub(crate) raw: String,
    members: HashMap<String, Value>,
}

impl Row {
    /// The text of a member; blank and missing are the same.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        let text = match self.members.get(key)? {
            Value::String(text) => text.trim().to_owned(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        (!text.is_empty()).then_some(text)
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

/// The rows of an order book. `None` if it is no book.
pub(crate) fn rows(book: &str) -> Option<Vec<Row>> {
    #[derive(Deserialize)]
    struct Book<'a> {
        #[serde(borrow)]
        data: Vec<&'a RawValue>,
    }
    let book: Book<'_> = serde_json::from_str(book).ok()?;
    book.data
        .iter()
        .map(|raw| {
            Some(Row {
                raw: raw.get().to_owned(),
                members: serde_json::from_str(raw.get()).ok()?,
            })
        })
        .collect()
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
