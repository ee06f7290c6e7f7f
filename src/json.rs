//! Reads the JSON objects that callers pass: every key known, none twice.

use std::fmt;
use std::ops::RangeInclusive;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::secret::Secret;

/// The members of one object, as raw text. Each is taken out by name, so
/// that what is left over at the end is unknown.
pub(crate) struct Fields {
    /// What the caller calls this object, for messages.
    name: String,
    members: Vec<(String, Zeroizing<String>)>,
}

impl Fields {
    /// Reads `text`, which messages call `name`.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, Error> {
        let Members(members) = serde_json::from_str(text)
            .map_err(|error| Error::argument(name, format_args!("not a JSON object: {error}")))?;
        for (at, (key, _)) in members.iter().enumerate() {
            if members[..at].iter().any(|(other, _)| other == key) {
                return Err(Error::argument(
                    name,
                    format_args!("the key \"{key}\" stands twice"),
                ));
            }
        }
        Ok(Self {
            name: name.to_owned(),
            members,
        })
    }

    /// The raw text of a member; null means absent.
    fn take(&mut self, key: &str) -> Option<Zeroizing<String>> {
        let at = self.members.iter().position(|(name, _)| name == key)?;
        let (_, raw) = self.members.swap_remove(at);
        (raw.as_str() != "null").then_some(raw)
    }

    fn path(&self, key: &str) -> String {
        format!("{}.{key}", self.name)
    }

    fn wrong(&self, key: &str, problem: impl fmt::Display) -> Error {
        Error::argument(&self.path(key), problem)
    }

    pub(crate) fn text(&mut self, key: &str) -> Result<Option<String>, Error> {
        let Some(raw) = self.take(key) else {
            return Ok(None);
        };
        serde_json::from_str(&raw)
            .map(Some)
            .map_err(|_| self.wrong(key, "must be a JSON string"))
    }

    /// A credential: a string that is not blank and fits an HTTP header.
    pub(crate) fn secret(&mut self, key: &str) -> Result<Option<Secret>, Error> {
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        let secret = Secret::new(text);
        if secret.expose().trim().is_empty() {
            return Err(self.wrong(key, "must not be blank"));
        }
        if !secret.expose().bytes().all(|b| (0x20..0x7f).contains(&b)) {
            return Err(self.wrong(key, "must be printable ASCII; an HTTP header carries it"));
        }
        Ok(Some(secret))
    }

    pub(crate) fn integer(
        &mut self,
        key: &str,
        allowed: RangeInclusive<u64>,
    ) -> Result<Option<u64>, Error> {
        let Some(raw) = self.take(key) else {
            return Ok(None);
        };
        match raw.parse::<u64>() {
            Ok(number) if allowed.contains(&number) => Ok(Some(number)),
            _ => Err(self.wrong(
                key,
                format_args!(
                    "must be an integer from {} to {}",
                    allowed.start(),
                    allowed.end()
                ),
            )),
        }
    }

    /// One of the named choices; spelling is exact unless `fold` lower-cases
    /// and trims it first.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        key: &str,
        choices: &[(&str, T)],
        fold: bool,
    ) -> Result<Option<T>, Error> {
        let Some(mut given) = self.text(key)? else {
            return Ok(None);
        };
        if fold {
            given = given.trim().to_lowercase();
        }
        match choices.iter().find(|(name, _)| *name == given) {
            Some((_, value)) => Ok(Some(*value)),
            None => {
                let names: Vec<_> = choices
                    .iter()
                    .map(|(name, _)| format!("\"{name}\""))
                    .collect();
                Err(self.wrong(key, format_args!("must be one of {}", names.join(", "))))
            }
        }
    }

    pub(crate) fn object(&mut self, key: &str) -> Result<Option<Self>, Error> {
        let Some(raw) = self.take(key) else {
            return Ok(None);
        };
        Self::parse(&self.path(key), &raw).map(Some)
    }

    /// Fails if a member was not taken.
    pub(crate) fn finish(self) -> Result<(), Error> {
        match self.members.first() {
            None => Ok(()),
            Some((key, _)) => Err(Error::argument(
                &self.name,
                format_args!("unknown key \"{key}\""),
            )),
        }
    }
}

struct Members(Vec<(String, Zeroizing<String>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some((key, raw)) = map.next_entry::<String, Box<RawValue>>()? {
                    // Taken over as it is: no second copy of a secret.
                    members.push((key, Zeroizing::new(String::from(Box::<str>::from(raw)))));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

/// A JSON object of strings as bytes, written once into a buffer that never
/// moves, so that wiping it leaves no copy behind.
pub(crate) fn string_object(members: &[(&str, &str)]) -> Zeroizing<Vec<u8>> {
    // The longest escape turns one byte into six.
    let most = members
        .iter()
        .map(|(key, value)| 6 * (key.len() + value.len()) + 6)
        .sum::<usize>();
    let mut out = Zeroizing::new(Vec::with_capacity(most + 2));
    for (at, (key, value)) in members.iter().enumerate() {
        out.push(if at == 0 { b'{' } else { b',' });
        write_string(&mut out, key);
        out.push(b':');
        write_string(&mut out, value);
    }
    if members.is_empty() {
        out.push(b'{');
    }
    out.push(b'}');
    out
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0x00..=0x1f => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&digits);
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_is_wrong() {
        let wrong = |text: &str| match Fields::parse("config", text) {
            Err(error) => error.message().to_owned(),
            Ok(fields) => fields
                .finish()
                .expect_err("nothing was taken")
                .message()
                .to_owned(),
        };
        assert_eq!(wrong(r#"{"a":1}"#), "config: unknown key \"a\"");
        assert_eq!(
            wrong(r#"{"a":1,"a":1}"#),
            "config: the key \"a\" stands twice"
        );
        assert!(wrong("[]").starts_with("config: not a JSON object"));
        assert!(wrong("{").starts_with("config: not a JSON object"));
    }

    #[test]
    fn checks_kinds_and_ranges() {
        let mut fields =
            Fields::parse("c", r#"{"n":0,"t":7,"x":null,"o":{"k":1},"f":1.5,"s":"é"}"#)
                .expect("this is an object");
        let message = |error: Error| error.message().to_owned();
        assert_eq!(
            message(fields.integer("n", 1..=5).unwrap_err()),
            "c.n: must be an integer from 1 to 5"
        );
        assert_eq!(
            message(fields.integer("f", 1..=5).unwrap_err()),
            "c.f: must be an integer from 1 to 5"
        );
        assert_eq!(
            message(fields.text("t").unwrap_err()),
            "c.t: must be a JSON string"
        );
        assert!(
            message(fields.secret("s").unwrap_err()).starts_with("c.s: must be printable ASCII")
        );
        assert!(fields.text("x").expect("null means absent").is_none());
        let inner = fields
            .object("o")
            .expect("o is an object")
            .expect("o is there");
        assert_eq!(
            message(inner.finish().unwrap_err()),
            "c.o: unknown key \"k\""
        );
        fields.finish().expect("all were taken");
    }

    #[test]
    fn writes_any_text() {
        let text = "a\"\\\u{1}\n\u{7f}é";
        let bytes = string_object(&[("k\"", text), ("l", "")]);
        let value: serde_json::Value = serde_json::from_slice(&bytes).expect("it is JSON");
        assert_eq!(value, serde_json::json!({"k\"": text, "l": ""}));
        assert_eq!(string_object(&[]).as_slice(), b"{}");
    }
}
