//! The texts of the order feed, both ways. Reading is total: any bytes give a
//! message, and nothing that the server sends is lost on the way.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};

use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::base::json;
use crate::base::secret::Secret;

/// The text that logs in comes in two forms. The broker's documents ask for
/// the one without quotes; there is a report that only JSON is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Raw,
    Json,
}

impl Form {
    fn bit(self) -> u8 {
        match self {
            Self::Raw => 0,
            Self::Json => JSON,
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Raw => Self::Json,
            Self::Json => Self::Raw,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Json => "json",
        }
    }
}

/// Which form to use next: the one that worked last. Shared by the feeds of a
/// client.
#[derive(Default)]
pub(crate) struct Forms(AtomicU8);

const JSON: u8 = 1;
/// It was acknowledged, and has not failed since.
const PROVEN: u8 = 2;

impl Forms {
    pub(crate) fn next(&self) -> Form {
        match self.0.load(Ordering::Relaxed) & JSON {
            0 => Form::Raw,
            _ => Form::Json,
        }
    }

    pub(crate) fn worked(&self, form: Form) {
        self.0.store(form.bit() | PROVEN, Ordering::Relaxed);
    }

    /// A login in this form was not acknowledged. One that was acknowledged
    /// before has a second try, for the line may be to blame; unless the server
    /// said that it does not `understand`.
    pub(crate) fn failed(&self, form: Form, understood: bool) {
        let before = self.0.load(Ordering::Relaxed);
        if before & JSON != form.bit() {
            // Another feed has changed it meanwhile.
            return;
        }
        let after = match before & PROVEN != 0 && understood {
            true => form.bit(),
            false => form.other().bit(),
        };
        self.0.store(after, Ordering::Relaxed);
    }
}

/// The first text of a connection.
pub(crate) fn login(form: Form, token: &Secret, sid: &Secret, source: &str) -> Zeroizing<String> {
    let (token, sid) = (token.expose(), sid.expose());
    match form {
        Form::Raw => {
            let parts = [
                "{type:cn,Authorization:",
                token,
                ",Sid:",
                sid,
                ",src:",
                source,
                "}",
            ];
            // Room for all of it, so that no copy of a token is left behind.
            let length = parts.iter().map(|part| part.len()).sum();
            let mut text = Zeroizing::new(String::with_capacity(length));
            for part in parts {
                text.push_str(part);
            }
            text
        }
        Form::Json => json::object(&[
            ("type", "cn".into()),
            ("Authorization", token.into()),
            ("Sid", sid.into()),
            ("src", source.into()),
        ]),
    }
}

/// What the server sent.
#[derive(Debug)]
pub(crate) enum Message<'a> {
    /// The login is accepted.
    Accepted,
    /// The login is refused, in the server's words.
    Refused(String),
    /// The server did not take what was sent, in its words: it could not read it, or
    /// says something that is not known.
    NotUnderstood(String),
    /// The row of an order.
    Order(&'a RawValue),
    /// The row of a position.
    Position(&'a RawValue),
    /// Anything else.
    Other,
}

/// Reads one frame.
pub(crate) fn read(text: &str) -> Message<'_> {
    let Some(members) = members(text) else {
        return Message::Other;
    };
    let of = |key: &str| members.get(key).and_then(|raw| plain(raw));
    let kind = of("type");
    let kind = kind.as_deref().map_or("", str::trim);
    let is = |name: &str| kind.eq_ignore_ascii_case(name);
    if let Some(ack) = of("ak") {
        if ack.trim().eq_ignore_ascii_case("ok") {
            return Message::Accepted;
        }
        let is_login = is("cn");
        let words = words(members.get("msg"))
            .or_else(|| (!is_login && !kind.is_empty()).then(|| kind.to_owned()))
            .unwrap_or_else(|| "no reason given".to_owned());
        return match is_login || is("failed to connect") {
            true => Message::Refused(words),
            false => Message::NotUnderstood(words),
        };
    }
    match members.get("data") {
        Some(row) if row.get().starts_with('{') && is("order") => Message::Order(row),
        Some(row) if row.get().starts_with('{') && is("position") => Message::Position(row),
        _ => Message::Other,
    }
}

/// What stands under a key, in words: a text, or whatever else it is as it came.
fn words(raw: Option<&&RawValue>) -> Option<String> {
    let raw = raw?;
    let said = plain(raw).or_else(|| (raw.get() != "null").then(|| raw.get().to_owned()))?;
    (!said.trim().is_empty()).then_some(said)
}

/// The members of a JSON object, as raw text. Of a key that stands twice the
/// last one counts.
pub(crate) fn members(text: &str) -> Option<HashMap<String, &RawValue>> {
    serde_json::from_str(text).ok()
}

/// The text of a member that is a string or a number.
pub(crate) fn plain(raw: &RawValue) -> Option<String> {
    let text = raw.get();
    match text.as_bytes().first()? {
        b'"' => serde_json::from_str(text).ok(),
        b'-' | b'0'..=b'9' => Some(text.to_owned()),
        _ => None,
    }
}

/// A whole number, as a JSON number or a string, such as `5`, `"5"`, `"5.00"`.
pub(crate) fn whole(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    (digits(number) && fraction.bytes().all(|byte| byte == b'0'))
        .then(|| number.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use kotak_neo_testing::dice::Dice;
    use kotak_neo_testing::fixtures::sample;

    use super::*;

    #[test]
    fn logs_in_as_documented() {
        let (token, sid) = ("fake.token-1".to_owned(), "fake-sid-1".to_owned());
        let (token, sid) = (Secret::new(token), Secret::new(sid));
        assert_eq!(
            *login(Form::Raw, &token, &sid, "WEB"),
            "{type:cn,Authorization:fake.token-1,Sid:fake-sid-1,src:WEB}"
        );
        let json: serde_json::Value =
            serde_json::from_str(&login(Form::Json, &token, &sid, "WEB")).expect("it is JSON");
        let wanted = serde_json::json!(
            {"type": "cn", "Authorization": "fake.token-1", "Sid": "fake-sid-1", "src": "WEB"});
        assert_eq!(json, wanted);
    }

    #[test]
    fn reads_what_is_documented() {
        let ok = sample("orderfeed_ack.ok");
        assert!(matches!(read(&ok), Message::Accepted));
        let refused = sample("orderfeed_ack.error-auth");
        assert!(
            matches!(read(&refused), Message::Refused(words) if words == "Authentication Failed")
        );
        let connect = sample("orderfeed_ack.error-failed-to-connect");
        assert!(
            matches!(read(&connect), Message::Refused(words) if words == "Authentication Failed")
        );
        let odd = sample("orderfeed_ack.error-format");
        assert!(
            matches!(read(&odd), Message::NotUnderstood(words) if words == "invalid request format")
        );
        let order = sample("orderfeed_order.complete");
        let Message::Order(row) = read(&order) else {
            panic!("an order");
        };
        assert!(order.contains(row.get()));
        let position = sample("orderfeed_position");
        assert!(matches!(read(&position), Message::Position(_)));
    }

    #[test]
    fn reads_refusals_however_they_are_written() {
        let ok = [
            r#"{"ak":"ok"}"#,
            r#"{"ak":"OK","type":"x"}"#,
            r#"{"ak":" Ok "}"#,
        ];
        for text in ok {
            assert!(matches!(read(text), Message::Accepted), "{text}");
        }
        for no in ["nk", "NK", "Nk", " nk", "no", ""] {
            for (kind, is_login, name) in [
                (r#""cn""#, true, "no reason given"),
                (r#""CN""#, true, "no reason given"),
                (r#""failed to connect""#, true, "failed to connect"),
                (r#"" Failed To Connect ""#, true, "Failed To Connect"),
                (
                    r#""failed to process request""#,
                    false,
                    "failed to process request",
                ),
                (r#""else""#, false, "else"),
                (r#""""#, false, "no reason given"),
                ("null", false, "no reason given"),
                (r#"["cn"]"#, false, "no reason given"),
            ] {
                for (msg, said) in [
                    ("", None),
                    (r#","msg":null"#, None),
                    (r#","msg":"""#, None),
                    (r#","msg":" ""#, None),
                    (
                        r#","msg":"Authentication Failed""#,
                        Some("Authentication Failed"),
                    ),
                    (r#","MSG":"other""#, None),
                    (r#","msg":401"#, Some("401")),
                    (r#","msg":false"#, Some("false")),
                    (r#","msg":{"code":1003}"#, Some(r#"{"code":1003}"#)),
                    (r#","msg":["a","b"]"#, Some(r#"["a","b"]"#)),
                ] {
                    let text = format!(r#"{{"ak":"{no}","type":{kind}{msg}}}"#);
                    let words = match (read(&text), is_login) {
                        (Message::Refused(words), true) => words,
                        (Message::NotUnderstood(words), false) => words,
                        (other, _) => panic!("{text}: {other:?}"),
                    };
                    assert_eq!(words, said.unwrap_or(name), "{text}");
                }
            }
        }
    }

    #[test]
    fn survives_anything() {
        let deep = "[".repeat(100_000);
        let nested = format!(r#"{{"type":"order","data":{{"x":{deep}"#);
        for text in [
            "",
            "null",
            "7",
            "\"",
            "{",
            "{}",
            "[]",
            "hello",
            "{type:hb}",
            r#"{"type":"order"}"#,
            r#"{"type":"order","data":7}"#,
            r#"{"type":["order"],"data":{}}"#,
            r#"{"ak":null}"#,
            &deep,
            &nested,
        ] {
            assert!(matches!(read(text), Message::Other), "{:.60}", text);
        }
        let mut dice = Dice::new(7);
        let good = sample("orderfeed_order.complete").into_bytes();
        for _ in 0..20_000 {
            let mut bytes = good.clone();
            for _ in 0..3 {
                let at = dice.below(bytes.len());
                bytes[at] = dice.byte();
            }
            let text = String::from_utf8_lossy(&bytes);
            if let Message::Order(row) = read(&text) {
                assert!(members(row.get()).is_some());
            }
        }
    }

    #[test]
    fn reads_numbers_of_both_kinds() {
        for (text, number) in [
            ("5", Some(5)),
            ("5.00", Some(5)),
            (" 7 ", Some(7)),
            ("0", Some(0)),
            ("", None),
            ("-1", None),
            ("5.5", None),
            ("1e3", None),
            ("NA", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(whole(text), number, "{text}");
        }
    }
}
