//! Masks credentials, tokens and personal data in text.
//!
//! The text may be JSON, JSON cut off in the middle, or an HTML page, so
//! nothing here parses. A scanner looks for `"key" : value` and replaces the
//! value where the key is on a list; text that is no JSON passes through it
//! unchanged, but for tokens that can be told by their shape.

use std::borrow::Cow;

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
    "mpin",
    "neofinkey",
    "otp",
    "ott",
    "password",
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
    let mut out = mask_values(text, keys);
    if let Cow::Owned(masked) = mask_jwts(&out) {
        out = Cow::Owned(masked);
    }
    for value in known.iter().filter(|value| value.len() >= 4) {
        if out.contains(value) {
            out = Cow::Owned(out.replace(value, MASK));
        }
    }
    out
}

/// Replaces the values of listed keys.
fn mask_values<'a>(text: &'a str, keys: &[&[&str]]) -> Cow<'a, str> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'"' {
            at += 1;
            continue;
        }
        let end = string_end(bytes, at);
        let key = &text[at..end];
        at = end;
        let colon = skip_blanks(bytes, at);
        if bytes.get(colon) != Some(&b':') || !is_listed(key, keys) {
            continue;
        }
        let start = skip_blanks(bytes, colon + 1);
        let end = value_end(bytes, start);
        at = end;
        if start < end && !matches!(&text[start..end], "null" | "true" | "false" | "\"\"") {
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

fn is_listed(quoted: &str, keys: &[&[&str]]) -> bool {
    let plain: String = quoted
        .chars()
        .filter(|c| !matches!(c, '"' | '_' | '-'))
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
