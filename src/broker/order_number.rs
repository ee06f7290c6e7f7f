//! Order numbers: what is one, and which answers carry one.
//!
//! Every number that the broker documents is of digits alone, fifteen or so,
//! the date first, under the key `nOrdNo`. Pure.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// Longer than any order number.
const LONGEST: usize = 64;
/// Objects and lists within each other that are looked into. No answer of the
/// broker has more than three.
const DEEPEST: usize = 12;

/// What can stand before `order` in a key. Not the names of a tag (`GuiOrdId`,
/// `clientOrderId`): the caller made that, and a refusal may repeat it.
const BEFORE: &[&str] = &[
    "", "n", "new", "neo", "oms", "broker", "parent", "original", "existing", "ex", "exch",
    "exchange",
];
const AFTER: &[&str] = &[
    "no", "nos", "nr", "id", "ids", "num", "nums", "nbr", "number", "numbers", "ref",
];

/// What an answer has as its order number, whether it can be one or not.
/// `None` if it has none, several, or something that is no plain text.
pub(crate) fn told(body: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Accepted {
        #[serde(rename = "nOrdNo")]
        number: Value,
    }
    let accepted: Accepted = serde_json::from_str(body).ok()?;
    let text = match accepted.number {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    (!text.is_empty() && text.len() <= LONGEST).then_some(text)
}

/// Whether a text can be the number of an order. The broker writes "NA", "--"
/// and 0 where there is none.
pub(crate) fn is_number(text: &str) -> bool {
    text.len() <= LONGEST && text.bytes().all(|b| b.is_ascii_digit()) && has_digit(text)
}

/// Whether an answer has an order number under any name, at any depth. What
/// cannot be read may have one.
pub(crate) fn is_carried(body: &str) -> bool {
    match serde_json::from_str::<&RawValue>(body) {
        Ok(value) => carries(value.get(), "", false, DEEPEST),
        Err(_) => true,
    }
}

/// `under` is the plain form of the key that the value stands under;
/// `named` says that it, or one above it, is that of an order number.
fn carries(value: &str, under: &str, named: bool, depth: usize) -> bool {
    let Some(depth) = depth.checked_sub(1) else {
        return true;
    };
    match value.as_bytes().first() {
        Some(b'{') => match serde_json::from_str::<Members<'_>>(value) {
            Ok(Members(members)) => members.iter().any(|(key, value)| {
                let key = plain(key);
                let named = named || names(&key) || names(&format!("{under}{key}"));
                carries(value.get(), &key, named, depth)
            }),
            Err(_) => true,
        },
        Some(b'[') => match serde_json::from_str::<Vec<&RawValue>>(value) {
            Ok(list) => list
                .iter()
                .any(|value| carries(value.get(), under, named, depth)),
            Err(_) => true,
        },
        Some(b'"') if named || under == "order" => {
            serde_json::from_str::<String>(value).map_or(true, |text| has_digit(&text))
        }
        _ => (named || under == "order") && has_digit(value),
    }
}

/// Whether there is anything in it but zeros, placeholders and words.
fn has_digit(text: &str) -> bool {
    text.chars().any(|c| c.is_numeric() && c != '0')
}

/// A key without case, blanks and punctuation.
fn plain(key: &str) -> String {
    let letters = key.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|c| c.to_ascii_lowercase()).collect()
}

/// Whether a plain key is one for an order number.
fn names(key: &str) -> bool {
    let is_order = |rest: &str| {
        let mut words = ["orders", "order", "ords", "ord"].iter();
        words.any(|word| {
            rest.strip_prefix(word)
                .is_some_and(|end| AFTER.contains(&end))
        })
    };
    let mut before = BEFORE.iter();
    key == "oid" || before.any(|word| key.strip_prefix(word).is_some_and(is_order))
}

/// The members of an object, each as often as it is there.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_of_digits() {
        for (member, text, is) in [
            (r#""250122000624384""#, Some("250122000624384"), true),
            ("250122000624384", Some("250122000624384"), true),
            (r#"" 2200922000576 ""#, Some("2200922000576"), true),
            (r#""007""#, Some("007"), true),
            (r#""-5""#, Some("-5"), false),
            ("-5", Some("-5"), false),
            ("0", Some("0"), false),
            (r#""0""#, Some("0"), false),
            (r#""000""#, Some("000"), false),
            (r#""NA""#, Some("NA"), false),
            (r#""--""#, Some("--"), false),
            ("5.0", Some("5.0"), false),
            ("2.5e14", Some("2.5e+14"), false),
            (r#""+5""#, Some("+5"), false),
            (r#""25 01""#, Some("25 01"), false),
            (r#""1/../2""#, Some("1/../2"), false),
            (r#""A250122""#, Some("A250122"), false),
            (r#""２５""#, Some("２５"), false),
            (r#""""#, None, false),
            (r#"" ""#, None, false),
            ("null", None, false),
            ("true", None, false),
            ("[1]", None, false),
            (r#"{"a":1}"#, None, false),
        ] {
            let body = format!(r#"{{"stat":"Ok","nOrdNo":{member},"stCode":200}}"#);
            let number = told(&body);
            assert_eq!(number.as_deref(), text, "{member}");
            assert_eq!(number.is_some_and(|text| is_number(&text)), is, "{member}");
        }
        assert!(!is_number("") && !is_number(&"1".repeat(LONGEST + 1)));
        for body in [
            r#"{"nOrdNo":"1","nOrdNo":"2"}"#,
            r#"{"nordno":"1"}"#,
            "[]",
            "",
        ] {
            assert_eq!(told(body), None, "{body}");
        }
    }

    #[test]
    fn a_number_is_found_under_any_name_and_at_any_depth() {
        for body in [
            r#"{"nOrdNo":"250122000624384"}"#,
            r#"{"nordno":"250122000624384"}"#,
            r#"{"NORDNO":250122000624384}"#,
            r#"{"n_ord_no":"1"}"#,
            r#"{"orderId":"1"}"#,
            r#"{"order_id":1}"#,
            r#"{"Order-ID":"1"}"#,
            r#"{"order no.":"1"}"#,
            r#"{"orderNo":"1"}"#,
            r#"{"ordNo":"1"}"#,
            r#"{"OrderNumber":"1"}"#,
            r#"{"oid":"1"}"#,
            r#"{"newOrderId":"1"}"#,
            r#"{"exOrdId":"1100000059569867"}"#,
            r#"{"orderIds":["0","1"]}"#,
            r#"{"\u006eOrdNo":"\u0031"}"#,
            r#"{"nOrdNo":"1","nOrdNo":null}"#,
            r#"{"nOrdNo":{"value":"1"}}"#,
            r#"{"data":{"nOrdNo":"1"}}"#,
            r#"{"data":[{"a":1},{"orderId":"1"}]}"#,
            r#"{"error":[{"code":"1009","message":"x","order_id":"1"}]}"#,
            r#"{"order":{"id":"1"}}"#,
            r#"{"orders":[{"number":7}]}"#,
            r#"{"order":"250122000624384"}"#,
            r#"{"order":[1]}"#,
            r#"[{"nOrdNo":"1"}]"#,
            r#"{"nOrdNo":"-5"}"#,
            "not JSON",
        ] {
            assert!(is_carried(body), "{body}");
        }
        let deep = format!("{}1{}", "[".repeat(1000), "]".repeat(1000));
        assert!(is_carried(&deep), "nobody looked to its end");
    }

    #[test]
    fn nothing_else_is_an_order_number() {
        for body in [
            "{}",
            "[]",
            r#"{"nOrdNo":""}"#,
            r#"{"nOrdNo":" "}"#,
            r#"{"nOrdNo":"0"}"#,
            r#"{"nOrdNo":0}"#,
            r#"{"nOrdNo":null}"#,
            r#"{"nOrdNo":"NA","orderId":"--","order_id":[]}"#,
            r#"{"stCode":1009,"tid":"server5_526372","recordId":"7","id":5,"no":"7"}"#,
            r#"{"GuiOrdId":"tag-1","clientOrderId":"tag-1"}"#,
            r#"{"emsg":"Order 5 cannot be modified as it is already executed."}"#,
            r#"{"order":{"qty":5,"trdSym":"X1"},"orders":3}"#,
        ] {
            assert!(!is_carried(body), "{body}");
        }
    }
}
