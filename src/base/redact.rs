//! Masks credentials, tokens and personal data in text.
//!
//! The text may be JSON, JSON cut off in the middle, a form, headers, or an
//! HTML page that quotes any of them, so nothing here parses. What is looked
//! for is looked for in what the text says (`spelling`), and masked where it
//! stands:
//!
//! - the values that are handed in as known;
//! - what stands behind a key of the lists;
//! - tokens that can be told by their shape.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memmem::Finder;
use zeroize::Zeroizing;

use crate::base::spelling::Meaning;

const MASK: &str = "***";
/// Shorter ones are no secrets, and stand everywhere.
const SHORTEST: usize = 4;
/// So much of a secret at the end of a text is the secret, cut off.
const SHORTEST_CUT: usize = 8;
/// A token that is told by its shape; shorter is some other word.
const SHORTEST_TOKEN: usize = 16;
const LONGEST_KEY: usize = 40;
/// Blanks between a key and its colon.
const MOST_BLANKS: usize = 64;

/// Keys whose values open a door. Compared without case, `_` and `-`.
const SECRET_KEYS: &[&str] = &[
    "accesstoken",
    "apikey",
    "auth",
    "authorization",
    "authtoken",
    "bearer",
    "clientsecret",
    "consumerkey",
    "consumersecret",
    "cookie",
    "cookies",
    "edittoken",
    "idtoken",
    "jsessionid",
    "jwt",
    "jwttoken",
    "mpin",
    "neofinkey",
    "otp",
    "ott",
    "passwd",
    "password",
    "proxyauthorization",
    "pwd",
    "redirecturl",
    "refreshtoken",
    "rid",
    "searchapikey",
    "secret",
    "sessionid",
    "sessiontoken",
    "setcookie",
    "sid",
    "token",
    "totp",
    "totpsecret",
    "tradetoken",
    "viewtoken",
    "xapikey",
];

/// Those of them that are headers, whose values have blanks.
const HEADERS: &[&str] = &["authorization", "cookie", "proxyauthorization", "setcookie"];

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
    "ucc",
    "userid",
    "usrid",
];

/// `text` without credentials and tokens. `known` are values to mask wherever
/// they stand, in any spelling.
pub(crate) fn secrets<'a>(text: &'a str, known: &[&str]) -> Cow<'a, str> {
    mask(text, known, &[SECRET_KEYS])
}

/// `text` without credentials, tokens and personal data.
pub(crate) fn everything<'a>(text: &'a str, known: &[&str]) -> Cow<'a, str> {
    mask(text, known, &[SECRET_KEYS, PERSONAL_KEYS])
}

fn mask<'a>(text: &'a str, known: &[&str], lists: &[&[&str]]) -> Cow<'a, str> {
    let Some(meaning) = Meaning::of(text) else {
        return Cow::Borrowed(MASK);
    };
    let mut search = Search {
        text,
        meaning: &meaning,
        found: Vec::new(),
    };
    search.keys(lists);
    search.tokens();
    search.known(known);
    replaced(text, search.found)
}

/// Something to mask.
struct Found<'a> {
    at: Range<usize>,
    /// What stands around the mask: quotes, where it takes the place of a
    /// value that had none, or had them inside of `at`.
    before: &'a str,
    after: &'a str,
}

/// The text with masks in all these places.
fn replaced<'a>(text: &'a str, mut found: Vec<Found<'_>>) -> Cow<'a, str> {
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    // Of those that begin alike the longest first: it has the others in it.
    found.sort_by_key(|one| (one.at.start, usize::MAX - one.at.end));
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    let mut rest = found.into_iter().peekable();
    while let Some(mut one) = rest.next() {
        while let Some(next) = rest.next_if(|next| next.at.start < one.at.end) {
            if next.at.end > one.at.end {
                one.at.end = next.at.end;
                one.after = next.after;
            }
        }
        let (mut start, mut end) = (one.at.start.max(copied), one.at.end);
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        while !text.is_char_boundary(end) {
            end += 1;
        }
        out.push_str(&text[copied..start]);
        out.push_str(one.before);
        out.push_str(MASK);
        out.push_str(one.after);
        copied = end;
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// One search in one text.
struct Search<'a, 'm> {
    text: &'a str,
    meaning: &'m Meaning<'a>,
    found: Vec<Found<'a>>,
}

/// A key and what stands between it and its value.
struct Key {
    name: String,
    /// Where its closing quote is, if it has quotes.
    quote: Option<usize>,
    /// Its colon or equals sign.
    sign: usize,
}

impl Key {
    /// The key before a colon or an equals sign.
    fn before(said: &[u8], sign: usize) -> Option<Self> {
        let blanks = said[..sign].iter().rev().take(MOST_BLANKS);
        let mut end = sign - blanks.take_while(|byte| byte.is_ascii_whitespace()).count();
        let quote = (end.checked_sub(1)).filter(|at| is_quote(said[*at]));
        end = quote.unwrap_or(end);
        let word = said[..end].iter().rev().take(LONGEST_KEY + 1);
        let length = word.take_while(|byte| is_word(**byte)).count();
        let start = end - length;
        let mark = quote.map(|at| said[at]);
        let is_whole = mark.is_none() || start > 0 && Some(said[start - 1]) == mark;
        let fits = (1..=LONGEST_KEY).contains(&length);
        (fits && is_whole).then(|| Self {
            name: said[start..end]
                .iter()
                .filter(|byte| !matches!(byte, b'_' | b'-'))
                .map(|byte| char::from(byte.to_ascii_lowercase()))
                .collect(),
            quote,
            sign,
        })
    }

    fn is_in(&self, list: &[&str]) -> bool {
        list.contains(&self.name.as_str())
    }
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'')
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// What a value is that hides nothing, or is hidden already.
fn is_empty(value: &[u8]) -> bool {
    matches!(value, b"" | b"null" | b"true" | b"false" | b"***")
}

impl<'a> Search<'a, '_> {
    /// Finds the values of listed keys.
    fn keys(&mut self, lists: &[&[&str]]) {
        let said = self.meaning.said();
        let mut at = 0;
        while let Some(far) = memchr::memchr2(b':', b'=', &said[at..]) {
            at += far + 1;
            let key = Key::before(said, at - 1);
            if let Some(key) = key.filter(|key| lists.iter().any(|list| key.is_in(list))) {
                at = self.value(&key).max(at);
            }
        }
    }

    /// Finds the value of a key; gives where the search goes on.
    fn value(&mut self, key: &Key) -> usize {
        let said = self.meaning.said();
        let blanks = said[key.sign + 1..]
            .iter()
            .take_while(|byte| match key.quote {
                Some(_) => byte.is_ascii_whitespace(),
                None => matches!(byte, b' ' | b'\t'),
            });
        let start = key.sign + 1 + blanks.count();
        match said.get(start) {
            None => start,
            Some(b'"' | b'\'') if key.quote.is_some() || !self.ends_with_quote(start) => {
                self.string(start)
            }
            Some(b'{' | b'[') if said[key.sign] == b':' => self.container(key, start),
            Some(_) => self.bare(key, start),
        }
    }

    /// Whether the quote at `at` rather ends a text than begins one.
    fn ends_with_quote(&self, at: usize) -> bool {
        let mut behind = self.meaning.said()[at + 1..].iter();
        let next = behind.find(|byte| !byte.is_ascii_whitespace());
        next.is_none_or(|byte| matches!(byte, b',' | b':' | b'}' | b']' | b'<' | b'>'))
    }

    fn string(&mut self, start: usize) -> usize {
        let open = self.meaning.place(start);
        let from = open.end();
        let (to, after, next) = match self.closing(start) {
            Some(at) => {
                let close = self.meaning.place(at);
                // Backslashes of the value may stand before those of its quote.
                let to = match close.slashes() == open.slashes() {
                    true => close.whole().start,
                    false => close.start() - open.slashes() as usize,
                };
                (to, "", at + 1)
            }
            // It was cut.
            None => {
                let quote = &self.text[open.whole()];
                (self.text.len(), quote, self.meaning.said().len())
            }
        };
        if from < to && &self.text[from..to] != MASK {
            let (at, before) = (from..to, "");
            self.found.push(Found { at, before, after });
        }
        next
    }

    /// The quote that ends what the one at `start` begins: one in the same
    /// spelling. Quotes within the value have more backslashes, or are spelled
    /// in another way.
    fn closing(&self, start: usize) -> Option<usize> {
        let said = self.meaning.said();
        let open = self.meaning.place(start);
        let spelled = &self.text[open.start()..open.end()];
        let slashes = u64::from(open.slashes());
        memchr::memchr_iter(said[start], &said[start + 1..])
            .map(|far| start + 1 + far)
            .find(|at| {
                let place = self.meaning.place(*at);
                let is_alike = self.text[place.start()..place.end()].eq_ignore_ascii_case(spelled);
                let count = u64::from(place.slashes());
                let is_next = spelled.len() == 1 && count % (2 * (slashes + 1)) == slashes;
                is_alike && (count == slashes || is_next)
            })
    }

    /// A list or an object, with all that is in it.
    fn container(&mut self, key: &Key, start: usize) -> usize {
        let said = self.meaning.said();
        let (mut depth, mut at) = (0_usize, start);
        while at < said.len() {
            match said[at] {
                b'"' => at = self.closing(at).unwrap_or(said.len()),
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            at += 1;
            if depth == 0 {
                break;
            }
        }
        let end = at.min(said.len());
        self.found_bare(key, start..end);
        end
    }

    /// A number, a word, a value of a form, a line of headers.
    fn bare(&mut self, key: &Key, start: usize) -> usize {
        let said = self.meaning.said();
        let is_pair = said[key.sign] == b'=';
        let is_header = key.quote.is_none() && !is_pair && key.is_in(HEADERS);
        let has_login = key.name.ends_with("authorization");
        let level = self.meaning.place(key.sign).percent();
        let ends = |at: usize| match said[at] {
            b'\r' | b'\n' | b'<' => true,
            b'"' | b'\'' if is_header => self.ends_with_quote(at),
            b',' | b'}' if is_header => has_login,
            _ if is_header => false,
            b'"' | b'\'' | b',' | b'}' | b']' => true,
            b'&' | b';' | b'>' | b')' => key.quote.is_none(),
            byte => byte.is_ascii_whitespace(),
        };
        // What is in percent form within a value does not end it.
        let is_end = |at: &usize| ends(*at) && self.meaning.place(*at).percent() <= level;
        let end = (start..said.len()).find(is_end).unwrap_or(said.len());
        let value = &said[start..end];
        // "token: none" is a sentence.
        let is_word = key.quote.is_none() && !is_pair && !is_header;
        let is_plain = value.len() < SHORTEST_TOKEN && !value.iter().any(u8::is_ascii_digit);
        if !is_empty(value) && !(is_word && is_plain) {
            self.found_bare(key, start..end);
        }
        end
    }

    /// A value without quotes. Where the key has them, so has the mask.
    fn found_bare(&mut self, key: &Key, said: Range<usize>) {
        let Some(last) = said.end.checked_sub(1) else {
            return;
        };
        let at = self.meaning.place(said.start).start()..self.meaning.place(last).end();
        let quote = key
            .quote
            .map_or("", |quote| &self.text[self.meaning.place(quote).whole()]);
        let (before, after) = (quote, quote);
        self.found.push(Found { at, before, after });
    }

    /// Finds what looks like a JSON Web Token, also a cut one.
    fn tokens(&mut self) {
        let said = self.meaning.said();
        let mut at = 0;
        while let Some(far) = memchr::memmem::find(&said[at..], b"eyJ") {
            let start = at + far;
            let token = said[start..].iter();
            let length = token
                .take_while(|byte| byte.is_ascii_alphanumeric() || b"-_.=".contains(byte))
                .count();
            at = start + length;
            if length >= SHORTEST_TOKEN {
                let places = [start, at - 1].map(|at| self.meaning.place(at));
                self.found.push(Found {
                    at: places[0].start()..places[1].end(),
                    before: "",
                    after: "",
                });
            }
        }
    }

    /// Finds known values.
    fn known(&mut self, known: &[&str]) {
        let known = known.iter().filter(|value| value.len() >= SHORTEST);
        let mut text = None;
        for value in known {
            let as_it_is = Finder::new(value.as_bytes());
            for at in as_it_is.find_iter(self.text.as_bytes()) {
                self.hide(at..at + value.len());
            }
            let text = text.get_or_insert_with(|| with_blanks(self.meaning.said()));
            let Some(value) = Meaning::of(value).map(|meaning| with_blanks(meaning.said())) else {
                continue;
            };
            // One at the end may belong to what follows in the text.
            let length = value
                .iter()
                .rposition(|byte| *byte != b'\\')
                .map_or(0, |at| at + 1);
            let value = &value[..length];
            if length < SHORTEST {
                continue;
            }
            for at in Finder::new(value).find_iter(text) {
                let places = [at, at + length - 1].map(|at| self.meaning.place(at));
                self.hide(places[0].start()..places[1].end());
            }
            let cut = (SHORTEST_CUT..length)
                .rev()
                .find(|cut| text.ends_with(&value[..*cut]));
            if let Some(cut) = cut {
                self.hide(self.meaning.place(text.len() - cut).start()..self.text.len());
            }
        }
    }

    /// Hides a known value. One that stands as a bare JSON number gets quotes,
    /// so that the text stays JSON.
    fn hide(&mut self, at: Range<usize>) {
        let at = escaped_from(self.text, at.start)..escaped_to(self.text, at.end);
        let before = self.text[..at.start].trim_end().chars().next_back();
        let after = self.text[at.end..].trim_start().chars().next();
        let opens = matches!(before, Some(':' | '[' | ','));
        let closes = matches!(after, Some(',' | '}' | ']'));
        let quote = if opens && closes { "\"" } else { "" };
        let (before, after) = (quote, quote);
        self.found.push(Found { at, before, after });
    }
}

/// In a form a blank is a plus.
fn with_blanks(said: &[u8]) -> Zeroizing<Vec<u8>> {
    let plain = |byte: &u8| if *byte == b'+' { b' ' } else { *byte };
    Zeroizing::new(said.iter().map(plain).collect())
}

/// Whether an odd number of backslashes ends at `at`: the last one escapes
/// what follows.
fn is_escaped(bytes: &[u8], at: usize) -> bool {
    let slashes = bytes[..at].iter().rev().take_while(|byte| **byte == b'\\');
    slashes.count() % 2 == 1
}

/// The beginning of the JSON escape that `at` is within: no half of one may be
/// left.
fn escape_around(bytes: &[u8], at: usize) -> Option<usize> {
    if is_escaped(bytes, at) {
        return Some(at - 1);
    }
    let digits = bytes[..at].iter().rev().take(4);
    let digits = digits.take_while(|byte| byte.is_ascii_hexdigit()).count();
    let letter = at.checked_sub(digits + 1)?;
    let is_unit = digits < 4 && bytes[letter] == b'u' && is_escaped(bytes, letter);
    is_unit.then(|| letter - 1)
}

fn escaped_from(text: &str, at: usize) -> usize {
    escape_around(text.as_bytes(), at).unwrap_or(at)
}

fn escaped_to(text: &str, at: usize) -> usize {
    let bytes = text.as_bytes();
    let Some(start) = escape_around(bytes, at) else {
        return at;
    };
    let digits = match bytes.get(start + 1) {
        None => return bytes.len(),
        Some(b'u') => bytes[start + 2..].iter().take(4),
        Some(_) => {
            let next = text[start + 1..].chars().next();
            return start + 1 + next.map_or(0, char::len_utf8);
        }
    };
    let digits = digits.take_while(|byte| byte.is_ascii_hexdigit());
    at.max(start + 2 + digits.count())
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
        assert!(matches!(everything(body, &[]), Cow::Borrowed(same) if same == body));
    }

    #[test]
    fn personal_data_goes_only_where_asked() {
        let body = r#"{"ucc":"TEST1","greetingName":"TEST"}"#;
        assert_eq!(secrets(body, &[]), body);
        assert_eq!(
            everything(body, &[]),
            r#"{"ucc":"***","greetingName":"***"}"#
        );
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
        let shown = everything(&page, &[]).into_owned();
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
            r#"{"broker":"{\"token\":\"***\",\"k\":1,\"sid\" : \"***\""#
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
            assert!(!everything(text, &[]).is_empty());
        }
    }
}
