//! JSON in two directions: reads the objects that callers pass, where every
//! key must be known and none may stand twice, and writes small ones without
//! leaving a copy of a secret behind.

use std::fmt;
use std::ops::RangeInclusive;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::base::error::Error;
use crate::base::pasted;
use crate::base::secret::{LONGEST_HEADER, Secret};

/// Far more than any object here has; keeps a huge one from taking long.
const MOST_KEYS: usize = 256;

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
        // The parser's own message may quote the text, which may be a secret.
        let text = pasted::document(text);
        let Members(members) = serde_json::from_str(text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let why = pasted::no_json(text).map_or_else(String::new, |why| format!(": {why}"));
            let problem = format!("not a JSON object (line {line}, column {column}){why}");
            Error::argument(name, problem)
        })?;
        if members.len() > MOST_KEYS {
            let problem = format!("has more than {MOST_KEYS} keys");
            return Err(Error::argument(name, problem));
        }
        for (at, (key, _)) in members.iter().enumerate() {
            if members[..at].iter().any(|(other, _)| other == key) {
                return Err(Error::argument(
                    name,
                    format_args!("the key {} stands twice", shown(key)),
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

    /// Whether a member is there and not null.
    pub(crate) fn has(&self, key: &str) -> bool {
        let mut members = self.members.iter();
        members.any(|(name, raw)| name == key && raw.as_str() != "null")
    }

    /// Whether a member is there and written as a JSON number.
    pub(crate) fn is_number(&self, key: &str) -> bool {
        let member = self.members.iter().find(|(name, _)| name == key);
        member.is_some_and(|(_, raw)| raw.starts_with(|c: char| c.is_ascii_digit() || c == '-'))
    }

    pub(crate) fn flag(&mut self, key: &str) -> Result<Option<bool>, Error> {
        match self.take(key).as_ref().map(|raw| raw.as_str()) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(self.wrong(key, "must be true or false")),
        }
    }

    /// A text, or a whole number as its text: order numbers come as both.
    pub(crate) fn number_or_text(&mut self, key: &str) -> Result<Option<String>, Error> {
        let Some(raw) = self.take(key) else {
            return Ok(None);
        };
        if is_digits(&raw) {
            return Ok(Some(raw.as_str().to_owned()));
        }
        serde_json::from_str(&raw)
            .map(Some)
            .map_err(|_| self.wrong(key, "must be a JSON string or a whole number"))
    }

    /// What messages call a member.
    pub(crate) fn path(&self, key: &str) -> String {
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

    /// What the broker knows by a name of plain ASCII: a symbol, a segment, a number
    /// as text, a date. Blanks around it say nothing.
    pub(crate) fn plain(&mut self, key: &str) -> Result<Option<String>, Error> {
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        let plain = pasted::trimmed(&text);
        match pasted::odd(plain) {
            // As it mostly is: no second copy.
            None if plain.len() == text.len() => Ok(Some(text)),
            None => Ok(Some(plain.to_owned())),
            Some(odd) => Err(self.wrong(key, format_args!("has {odd}, and must be plain ASCII"))),
        }
    }

    /// The same of what must be there and not be blank.
    pub(crate) fn required_plain(&mut self, key: &str) -> Result<String, Error> {
        let text = self.plain(key)?;
        self.present(key, text)
    }

    /// A credential: a string that [`Secret::fits_header`].
    pub(crate) fn secret(&mut self, key: &str) -> Result<Option<Secret>, Error> {
        let text = self.text(key)?;
        self.credential(key, text.map(Zeroizing::new), false)
    }

    /// The same as somebody pasted it: blanks around it are no part of it.
    pub(crate) fn pasted_secret(&mut self, key: &str) -> Result<Option<Secret>, Error> {
        let text = self.text(key)?;
        self.credential(key, text.map(Zeroizing::new), true)
    }

    fn credential(
        &self,
        key: &str,
        text: Option<Zeroizing<String>>,
        is_pasted: bool,
    ) -> Result<Option<Secret>, Error> {
        let Some(mut text) = text else {
            return Ok(None);
        };
        if is_pasted {
            let plain = pasted::trimmed(&text);
            if plain.len() < text.len() {
                text = Zeroizing::new(plain.to_owned());
            }
            if text.starts_with(['"', '\'']) || text.ends_with(['"', '\'']) {
                return Err(self.wrong(key, "stands in quotes of its own; leave them away"));
            }
        }
        let secret = Secret::new(std::mem::take(&mut *text));
        if secret.expose().trim().is_empty() {
            return Err(self.wrong(key, "must not be blank"));
        }
        if !secret.fits_header() {
            let mut problem = format!(
                "must be printable ASCII of at most {LONGEST_HEADER} bytes; an HTTP header carries it"
            );
            if let Some(unseen) = pasted::unseen(secret.expose()) {
                problem.push_str(&format!("; it has {unseen}"));
            }
            return Err(self.wrong(key, problem));
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

    fn present(&self, key: &str, text: Option<String>) -> Result<String, Error> {
        match text {
            Some(text) if !pasted::trimmed(&text).is_empty() => Ok(text),
            Some(_) => Err(self.wrong(key, "must not be blank")),
            None => Err(self.wrong(key, "is missing")),
        }
    }

    /// A number as the exact decimal text that was given, as a JSON number or
    /// a string. It never goes through binary floating point.
    pub(crate) fn decimal(&mut self, key: &str) -> Result<Option<String>, Error> {
        let form = "must be a plain decimal number like 2450.50, without sign, exponent or blanks";
        self.digits(key, form, |text| {
            let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
            is_digits(whole) && is_digits(fraction)
        })
    }

    /// A whole number as the exact text that was given.
    pub(crate) fn whole(&mut self, key: &str) -> Result<Option<String>, Error> {
        let form = "must be a whole number like 25, without sign, point or blanks";
        self.digits(key, form, is_digits)
    }

    fn digits(
        &mut self,
        key: &str,
        form: &str,
        fits: impl FnOnce(&str) -> bool,
    ) -> Result<Option<String>, Error> {
        let Some(raw) = self.take(key) else {
            return Ok(None);
        };
        let text = if raw.starts_with('"') {
            serde_json::from_str(&raw).unwrap_or_default()
        } else {
            raw.as_str().to_owned()
        };
        // Longer than any price or quantity of an exchange.
        if text.len() <= 24 && fits(&text) {
            return Ok(Some(text));
        }
        let why = pasted::no_number(&text);
        let why = why.map_or_else(String::new, |why| format!("; it has {why}"));
        Err(self.wrong(key, format_args!("{form}{why}")))
    }

    /// A list of objects.
    pub(crate) fn objects(&mut self, key: &str) -> Result<Option<Vec<Self>>, Error> {
        let Some(raw) = self.take(key) else {
            return Ok(None);
        };
        let list: Vec<Box<RawValue>> =
            serde_json::from_str(&raw).map_err(|_| self.wrong(key, "must be a list of objects"))?;
        let path = self.path(key);
        let objects = list.iter().enumerate();
        let objects = objects.map(|(at, text)| Self::inner(&format!("{path}[{at}]"), text.get()));
        objects.collect::<Result<_, _>>().map(Some)
    }

    /// A list of strings.
    pub(crate) fn texts(&mut self, key: &str) -> Result<Option<Vec<String>>, Error> {
        let Some(raw) = self.take(key) else {
            return Ok(None);
        };
        serde_json::from_str(&raw)
            .map(Some)
            .map_err(|_| self.wrong(key, "must be a list of strings"))
    }

    /// What was wrong with a member, in the name that the caller knows.
    pub(crate) fn problem(&self, key: &str, problem: impl fmt::Display) -> Error {
        self.wrong(key, problem)
    }

    /// One of the named choices, blanks around it aside; spelling is exact unless
    /// `fold` lower-cases it first.
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
            given = given.to_lowercase();
        }
        self.pick(key, choices, &given).map(Some)
    }

    /// The choice that `given` names.
    pub(crate) fn pick<T: Copy>(
        &self,
        key: &str,
        choices: &[(&str, T)],
        given: &str,
    ) -> Result<T, Error> {
        let given = pasted::trimmed(given);
        match choices.iter().find(|(name, _)| *name == given) {
            Some((_, value)) => Ok(*value),
            None => {
                let names: Vec<_> = choices
                    .iter()
                    .map(|(name, _)| format!("\"{name}\""))
                    .collect();
                let unseen = pasted::unseen(given);
                let unseen = unseen.map_or_else(String::new, |it| format!("; it has {it}"));
                let names = names.join(", ");
                Err(self.wrong(key, format_args!("must be one of {names}{unseen}")))
            }
        }
    }

    pub(crate) fn object(&mut self, key: &str) -> Result<Option<Self>, Error> {
        let Some(raw) = self.take(key) else {
            return Ok(None);
        };
        Self::inner(&self.path(key), &raw).map(Some)
    }

    /// An object inside another one. A place in it would be taken for one in the whole text,
    /// so none is told.
    fn inner(name: &str, raw: &str) -> Result<Self, Error> {
        match raw.starts_with('{') {
            true => Self::parse(name, raw),
            false => Err(Error::argument(name, "must be a JSON object")),
        }
    }

    /// Fails if a member was not taken.
    pub(crate) fn finish(self) -> Result<(), Error> {
        match self.members.first() {
            None => Ok(()),
            Some((key, _)) => Err(Error::argument(
                &self.name,
                format_args!("unknown key {}", shown(key)),
            )),
        }
    }
}

/// A key for a message. What does not look like a key may be a secret that
/// was put in its place.
fn shown(key: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b' ');
    if key.len() <= 32 && key.bytes().all(plain) {
        return format!("\"{key}\"");
    }
    let unseen = pasted::unseen(key).map_or_else(String::new, |it| format!(", with {it}"));
    format!("of {} bytes (not shown{unseen})", key.len())
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
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

/// A value of an object that we write.
#[derive(Clone, Copy)]
pub(crate) enum Member<'a> {
    Text(&'a str),
    Number(u64),
    Flag(bool),
    Null,
}

impl<'a> From<&'a str> for Member<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<Option<&'a str>> for Member<'a> {
    fn from(text: Option<&'a str>) -> Self {
        text.map_or(Self::Null, Self::Text)
    }
}

impl<'a> From<&'a Option<String>> for Member<'a> {
    fn from(text: &'a Option<String>) -> Self {
        text.as_deref().into()
    }
}

impl From<u64> for Member<'_> {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

/// A JSON object, written once into a buffer that never moves, so that wiping
/// it leaves no copy behind.
pub(crate) fn object(members: &[(&str, Member<'_>)]) -> Zeroizing<String> {
    // The longest escape turns one byte into six; 20 digits are the most.
    let length = |value: &Member<'_>| match value {
        Member::Text(text) => 6 * text.len() + 2,
        _ => 20,
    };
    let most: usize = members
        .iter()
        .map(|(key, value)| 6 * key.len() + 4 + length(value))
        .sum();
    let mut out = Zeroizing::new(String::with_capacity(most + 2));
    out.push('{');
    for (at, (key, value)) in members.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_string(&mut out, key);
        out.push(':');
        match value {
            Member::Text(text) => write_string(&mut out, text),
            Member::Number(number) => out.push_str(&number.to_string()),
            Member::Flag(flag) => out.push_str(if *flag { "true" } else { "false" }),
            Member::Null => out.push_str("null"),
        }
    }
    out.push('}');
    out
}

/// Some members of a JSON object, as raw text: what else it has is passed over
/// and takes no memory. Of a key that stands twice the last one counts. `None`
/// if it is no object.
pub(crate) fn members<'a, const N: usize>(
    text: &'a str,
    keys: [&str; N],
) -> Option<[Option<&'a RawValue>; N]> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let found = Wanted(keys).deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    Some(found)
}

/// One of them; `None` also where there is none.
pub(crate) fn member<'a>(text: &'a str, key: &str) -> Option<&'a RawValue> {
    let [found] = members(text, [key])?;
    found
}

/// The text of a member that is a string, or the digits of a number.
pub(crate) fn scalar(raw: &str) -> Option<String> {
    match raw.as_bytes().first()? {
        b'"' => serde_json::from_str(raw).ok(),
        b'-' | b'0'..=b'9' => serde_json::from_str(raw)
            .ok()
            .map(|number: serde_json::Number| number.to_string()),
        _ => None,
    }
}

/// The keys of the members to read.
struct Wanted<'k, const N: usize>([&'k str; N]);

impl<'de, const N: usize> DeserializeSeed<'de> for Wanted<'_, N> {
    type Value = [Option<&'de RawValue>; N];

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Wanted<'_, N> {
    type Value = [Option<&'de RawValue>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = [None; N];
        while let Some(at) = map.next_key_seed(Key(&self.0))? {
            match at.and_then(|at| found.get_mut(at)) {
                Some(place) => *place = Some(map.next_value()?),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }
}

/// Which of these a key is.
struct Key<'k>(&'k [&'k str]);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|wanted| *wanted == key))
    }
}

/// Writes `text` as a JSON string, quotes included.
pub(crate) fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\0'..='\u{1f}' => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                let code = c as usize;
                out.push_str("\\u00");
                out.push(char::from(HEX[code >> 4]));
                out.push(char::from(HEX[code & 15]));
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_and_the_rest_is_passed_over() {
        let text = r#" {"a":1,"\u0062":"x","c":{"a":7},"a":[2] , "\ud83d\ude00":null} "#;
        let [a, b, none, face] = members(text, ["a", "b", "d", "\u{1f600}"]).expect("an object");
        assert_eq!(a.map(RawValue::get), Some("[2]"));
        assert_eq!(b.and_then(|b| scalar(b.get())).as_deref(), Some("x"));
        assert_eq!(
            (none.is_none(), face.map(RawValue::get)),
            (true, Some("null"))
        );
        assert_eq!(member(text, "c").map(RawValue::get), Some(r#"{"a":7}"#));
        for odd in [
            "",
            "[]",
            "7",
            "{",
            "{}x",
            r#"{"a":1,}"#,
            r#"{"\ud800":1}"#,
            r#"{"a" 1}"#,
        ] {
            assert!(members(odd, ["a"]).is_none(), "{odd}");
        }
        for (raw, plain) in [
            ("5", Some("5")),
            ("-1.50", Some("-1.50")),
            (r#""\u0041""#, Some("A")),
            ("true", None),
            ("null", None),
            ("[1]", None),
            (r#""\ud800""#, None),
        ] {
            assert_eq!(scalar(raw).as_deref(), plain, "{raw}");
        }
    }

    #[test]
    fn decimals_keep_their_text() {
        let text = |raw: &str| {
            let mut fields = Fields::parse("p", &format!(r#"{{"n":{raw}}}"#))?;
            fields.decimal("n").map(|given| given.unwrap_or_default())
        };
        for (raw, same) in [
            ("2450.50", "2450.50"),
            ("\"2450.50\"", "2450.50"),
            ("0.1000000000000000055", "0.1000000000000000055"),
            ("7", "7"),
            ("\"007\"", "007"),
            ("null", ""),
        ] {
            assert_eq!(text(raw).expect(raw), same);
        }
        for bad in [
            "-1",
            "1e5",
            "1E5",
            "\"1e5\"",
            "\"nan\"",
            "\"inf\"",
            "\"1_0\"",
            "\" 1\"",
            "\"1 \"",
            "\"\"",
            "\".5\"",
            "\"5.\"",
            "\"+5\"",
            "\"1,000\"",
            "\"१\"",
            "true",
            "[]",
            "{}",
            "\"1.2.3\"",
            "1234567890123456789012345",
        ] {
            let error = text(bad).expect_err(bad);
            assert!(
                error.message().starts_with("p.n: must be a plain decimal"),
                "{error}"
            );
        }
    }

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
        let jwt = format!(r#"{{"{}":1}}"#, "eyJ.fake.token.".repeat(9));
        assert_eq!(wrong(&jwt), "config: unknown key of 135 bytes (not shown)");
        assert_eq!(
            wrong(r#"{"a":1,"a":1}"#),
            "config: the key \"a\" stands twice"
        );
        assert_eq!(
            wrong("\"fake-secret\""),
            "config: not a JSON object (line 1, column 13)"
        );
        let many: Vec<_> = (0..300).map(|at| format!("\"k{at}\":1")).collect();
        assert_eq!(
            wrong(&format!("{{{}}}", many.join(","))),
            "config: has more than 256 keys"
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
        let members = [
            ("k\"", text.into()),
            ("l", "".into()),
            ("n", None.into()),
            ("u", 7.into()),
        ];
        let written = object(&members);
        let value: serde_json::Value = serde_json::from_str(&written).expect("it is JSON");
        assert_eq!(
            value,
            serde_json::json!({"k\"": text, "l": "", "n": null, "u": 7})
        );
        assert!(written.capacity() >= 2 && object(&[]).as_str() == "{}");
    }
}
