//! Masks credentials, tokens and personal data in text.
//!
//! The text may be JSON, JSON cut off in the middle, or an HTML page, so
//! nothing here parses. A scanner looks for `"key" : value` and replaces the
//! value where the key is on a list; text that is no JSON passes through it
//! unchanged, but for tokens that can be told by their shape.

use std::borrow::Cow;

use serde::de::IgnoredAny;

const MASK: &str = "***";

/// Keys whose values open a door. Compared without case, `_` and `-`.
const SECRET_KEYS: &[&str] = &[
    "accesstoken",
    "auth",
    "authorization",
    "bearer",
    "consumerkey",
    "consumersecret",
    "cookies",
    "edittoken",
    "idtoken",
    "mpin",
    "neofinkey",
    "otp",
    "ott",
    "password",
    "refreshtoken",
    "rid",
    "searchapikey",
    "secret",
    "sid",
    "token",
    "totp",
    "tradetoken",
    "viewtoken",
];

/// Keys whose values tell who the user is.
const PERSONAL_KEYS: &[&str] = &[
    "actid",
    "brkclnt",
    "email",
    "greetingname",
    "ip",
    "kid",
    "mobilenumber",
    "nap",
    "pan",
    "redirecturl",
    "ucc",
    "userid",
    "usrid",
];

/// `text` without credentials and tokens. `known` are values to mask wherever
/// they stand.
pub(crate) fn secrets<'a>(text: &'a str, known: &[&str]) -> Cow<'a, str> {
    mask(text, known, &[SECRET_KEYS])
}

/// `text` without credentials, tokens and personal data.
pub(crate) fn everything(text: &str) -> Cow<'_, str> {
    mask(text, &[], &[SECRET_KEYS, PERSONAL_KEYS])
}

fn mask<'a>(text: &'a str, known: &[&str], keys: &[&[&str]]) -> Cow<'a, str> {
    let is_json = |text: &str| serde_json::from_str::<IgnoredAny>(text).is_ok();
    let whole = is_json(text);
    let mut out = mask_values(text, keys, true);
    if !whole {
        // One odd quote puts the pairs out of step, so every quote is tried.
        if let Cow::Owned(masked) = mask_values(&out, keys, false) {
            out = Cow::Owned(masked);
        }
    }
    if let Cow::Owned(masked) = mask_jwts(&out) {
        out = Cow::Owned(masked);
    }
    for value in known.iter().filter(|value| value.len() >= 4) {
        for spelled in spellings(value) {
            if out.contains(&spelled) {
                out = Cow::Owned(replace_known(&out, &spelled));
            }
        }
    }
    out
}

/// A secret as it is, and as JSON strings may spell it.
fn spellings(value: &str) -> Vec<String> {
    let quoted = serde_json::Value::from(value).to_string();
    let escaped = &quoted[1..quoted.len() - 1];
    let mut all = vec![value.to_owned()];
    for slashes in [escaped.to_owned(), escaped.replace('/', "\\/")] {
        all.push(ascii_only(&slashes, false));
        all.push(ascii_only(&slashes, true));
        all.push(slashes);
    }
    all.sort();
    all.dedup();
    all
}

/// The text with `\u` escapes for what is not ASCII.
fn ascii_only(text: &str, upper: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            out.push_str(&match upper {
                true => format!("\\u{unit:04X}"),
                false => format!("\\u{unit:04x}"),
            });
        }
    }
    out
}

/// Replaces a known value; one that stands as a bare JSON number gets quotes,
/// so that the text stays JSON.
fn replace_known(text: &str, value: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(value) {
        let after = &rest[at + value.len()..];
        let before = rest[..at].trim_end().chars().next_back();
        let opens = matches!(before, Some(':' | '[' | ','));
        let closes = matches!(after.trim_start().chars().next(), Some(',' | '}' | ']'));
        out.push_str(&rest[..at]);
        out.push_str(if opens && closes { "\"***\"" } else { MASK });
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Replaces the values of listed keys, and looks into strings that hold
/// quoted JSON. `paired` steps from string to string; else every quote may
/// start a key.
fn mask_values<'a>(text: &'a str, keys: &[&[&str]], paired: bool) -> Cow<'a, str> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'"' {
            at += 1;
            continue;
        }
        let begin = at;
        let end = match paired {
            true => string_end(bytes, begin),
            // No listed key has a quote in it. To look further would take time
            // that grows with the square of the text.
            false => next_quote(bytes, begin),
        };
        let string = &text[begin..end];
        let colon = skip_blanks(bytes, end);
        if bytes.get(colon) != Some(&b':') || !is_listed(string, keys) {
            at = if paired { end } else { begin + 1 };
            if let Some(masked) = mask_inside(string, keys).filter(|_| paired) {
                out.push_str(&text[copied..begin]);
                out.push_str(&masked);
                copied = end;
            }
            continue;
        }
        let start = skip_blanks(bytes, colon + 1);
        let end = value_end(bytes, start);
        at = end.max(begin + 1);
        let value = &text[start..end];
        if !matches!(value, "" | "null" | "true" | "false" | "\"\"" | "\"***\"") {
            out.push_str(&text[copied..start]);
            out.push('"');
            out.push_str(MASK);
            out.push('"');
            copied = end;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// A string that holds JSON of its own, with what is secret in that masked.
fn mask_inside(string: &str, keys: &[&[&str]]) -> Option<String> {
    if !string.contains("\\\"") {
        return None;
    }
    let inner: String = serde_json::from_str(string).ok()?;
    match mask(&inner, &[], keys) {
        Cow::Owned(masked) => Some(serde_json::Value::from(masked).to_string()),
        Cow::Borrowed(_) => None,
    }
}

fn is_listed(quoted: &str, keys: &[&[&str]]) -> bool {
    // A key may be spelled with escapes.
    let unescaped = serde_json::from_str::<String>(quoted);
    let key = unescaped.as_deref().unwrap_or(quoted);
    let plain: String = key
        .chars()
        .filter(|c| !matches!(c, '"' | '\\' | '_' | '-'))
        .map(|c| c.to_ascii_lowercase())
        .collect();
    keys.iter().any(|list| list.contains(&plain.as_str()))
}

/// The end of the string that starts at `at`, or of the text if it is cut.
fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut i = at + 1;
    while i < bytes.len() {
        match bytes[i] {
            b'\\' => i += 2,
            b'"' => return i + 1,
            _ => i += 1,
        }
    }
    bytes.len()
}

/// The end of what the quote at `at` and the next one enclose.
fn next_quote(bytes: &[u8], at: usize) -> usize {
    match memchr::memchr(b'"', &bytes[at + 1..]) {
        Some(length) => at + length + 2,
        None => bytes.len(),
    }
}

fn skip_blanks(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    at
}

/// The end of the JSON value that starts at `at`: a string, a container with
/// all that is in it, or a bare word.
fn value_end(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at) {
        Some(b'"') => string_end(bytes, at),
        // JSON in a string that was cut.
        Some(b'\\') if bytes.get(at + 1) == Some(&b'"') => next_quote(bytes, at + 1),
        Some(b'{' | b'[') => {
            let mut depth = 0_usize;
            let mut i = at;
            while i < bytes.len() {
                match bytes[i] {
                    b'"' => {
                        i = string_end(bytes, i);
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => {
                        depth -= 1;
                        if depth == 0 {
                            return i + 1;
                        }
                    }
                    _ => {}
                }
                i += 1;
            }
            bytes.len()
        }
        _ => {
            let mut i = at;
            while i < bytes.len()
                && !matches!(bytes[i], b',' | b'}' | b']')
                && !bytes[i].is_ascii_whitespace()
                && bytes[i].is_ascii()
            {
                i += 1;
            }
            i
        }
    }
}

/// Replaces what looks like a JSON Web Token, also a cut one.
fn mask_jwts(text: &str) -> Cow<'_, str> {
    const START: &str = "eyJ";
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(START) {
        let length = rest[at..]
            .bytes()
            .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'='))
            .count();
        let token = &rest[at..at + length];
        out.push_str(&rest[..at]);
        // Shorter than a JWT header alone can be: some other word.
        out.push_str(if length < 16 { token } else { MASK });
        rest = &rest[at + length..];
    }
    if out.is_empty() {
        return Cow::Borrowed(text);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_tokens_and_keeps_the_rest() {
        let body = r#"{ "data" : {"token": "a\"b", "sid":"s", "kType":"View", "rcFlag":0}}"#;
        assert_eq!(
            secrets(body, &[]),
            r#"{ "data" : {"token": "***", "sid":"***", "kType":"View", "rcFlag":0}}"#
        );
    }

    #[test]
    fn a_body_without_secrets_is_untouched() {
        let body = r#"{"stCode":1003,"emsg":"Invalid session","token":null,"sid":""}"#;
        assert!(matches!(everything(body), Cow::Borrowed(same) if same == body));
    }

    #[test]
    fn personal_data_goes_only_where_asked() {
        let body = r#"{"ucc":"TEST1","greetingName":"TEST"}"#;
        assert_eq!(secrets(body, &[]), body);
        assert_eq!(everything(body), r#"{"ucc":"***","greetingName":"***"}"#);
    }

    #[test]
    fn cut_json_shows_no_half_token() {
        assert_eq!(
            secrets(r#"{"data":{"token":"fake-tok"#, &[]),
            r#"{"data":{"token":"***""#
        );
        assert_eq!(
            secrets(r#"{"data":{"sid" : [1,{"x"#, &[]),
            r#"{"data":{"sid" : "***""#
        );
        assert_eq!(secrets(r#"{"otp":123"#, &[]), r#"{"otp":"***""#);
        assert_eq!(secrets(r#"{"token":"#, &[]), r#"{"token":"#);
    }

    #[test]
    fn containers_and_numbers_are_masked_whole() {
        assert_eq!(
            secrets(r#"{"cookies":{"h":"a=b]}"},"mpin":123456,"x":1}"#, &[]),
            r#"{"cookies":"***","mpin":"***","x":1}"#
        );
    }

    #[test]
    fn known_values_and_jwts_go_from_any_text() {
        let page = "<p>key fake-key-0001, bearer eyJhbGciOiJI.eyJzdWIi.c2ln</p> eyJ";
        assert_eq!(
            secrets(page, &["fake-key-0001"]),
            "<p>key ***, bearer ***</p> eyJ"
        );
    }

    #[test]
    fn escapes_do_not_hide_a_key_or_a_value() {
        let body = r#"{"data":{"tok\u0065n":"fake-t","s\u0069d":"fake-s","k":1}}"#;
        let masked = r#"{"data":{"tok\u0065n":"***","s\u0069d":"***","k":1}}"#;
        assert_eq!(secrets(body, &[]), masked);
        let password = "pa\"ss\\word-é/1";
        for spelled in [
            serde_json::json!({ "m": password }).to_string(),
            r#"{"m":"pa\"ss\\word-\u00e9\/1"}"#.to_owned(),
            r#"{"m":"pa\"ss\\word-\u00E9/1"}"#.to_owned(),
        ] {
            let shown = secrets(&spelled, &[password]).into_owned();
            assert!(!shown.contains("word-"), "{shown}");
        }
    }

    #[test]
    fn json_in_a_string_and_after_an_odd_quote() {
        let page =
            serde_json::json!({"broker": r#"{"data":{"token":"fake-t","kId":"X"#}).to_string();
        let shown = everything(&page).into_owned();
        assert!(
            !shown.contains("fake-t") && !shown.contains("\\\"X"),
            "{shown}"
        );
        let odd = r#"15" {"data":{"token":"fake-t","sid":"fake-s"}}"#;
        assert_eq!(
            secrets(odd, &[]),
            r#"15" {"data":{"token":"***","sid":"***"}}"#
        );
    }

    #[test]
    fn json_in_a_cut_string_is_masked_too() {
        let cut = r#"{"broker":"{\"token\":\"fake t,1\",\"k\":1,\"sid\" : \"fake"#;
        assert_eq!(
            secrets(cut, &[]),
            r#"{"broker":"{\"token\":"***",\"k\":1,\"sid\" : "***""#
        );
    }

    /// Takes minutes if every quote is followed to the end of the text.
    #[test]
    fn many_escaped_quotes_take_no_time() {
        for end in ["", "\"", "\":"] {
            let page = format!("\"{}{end}", "\\\"".repeat(300_000));
            assert_eq!(secrets(&page, &[]), page);
        }
    }

    #[test]
    fn a_masked_number_leaves_json() {
        let body = r#"{"stCode":123456,"list":[123456, 1],"text":"code 123456"}"#;
        let masked = r#"{"stCode":"***","list":["***", 1],"text":"code ***"}"#;
        assert_eq!(secrets(body, &["123456"]), masked);
    }

    #[test]
    fn any_text_is_survived() {
        for text in [
            "\"",
            "\"token\"",
            "\"token\":",
            "\"token\":é",
            "{\"sid\":\"\\",
            "\"sid\":[}",
        ] {
            assert!(!everything(text).is_empty());
        }
    }
}
