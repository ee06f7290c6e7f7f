//! Masks credentials, tokens and personal data in text.
//!
//! The text may be JSON, JSON cut off in the middle, a form, headers, or an
//! HTML page that quotes any of them, so nothing here parses. What is looked
//! for is looked for in every reading of the text, with its spellings undone
//! once, twice and so on (`spelling`), and masked where it stands:
//!
//! - the values that are handed in as known;
//! - what stands behind a key of the lists;
//! - tokens that can be told by their shape.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memmem;
use zeroize::Zeroizing;

use crate::base::spelling::{self, Essence, Reading};

const MASK: &str = "***";
/// Shorter ones are no secrets, and stand everywhere.
const SHORTEST: usize = 4;
/// So much of a secret at the end of a text is the secret, cut off.
const SHORTEST_CUT: usize = 8;
/// A token that is told by its shape; shorter is some other word.
const SHORTEST_TOKEN: usize = 16;
/// Of more bytes a search is prepared for the whole of what is sought.
const SHORT_TEXT: usize = 64 * 1024;
/// A PIN, an OTP.
const LONGEST_CODE: usize = 6;
const SHORTEST_KEY: usize = 2;
/// With its `_` and `-`.
const LONGEST_KEY: usize = 24;
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

/// Values to mask wherever they stand, in any spelling: made once for many
/// texts.
#[derive(Default)]
pub(crate) struct Known {
    /// Each as it is, and as it is read: what looks like a spelling in it is
    /// undone in a text, wherever it came from.
    forms: Vec<Zeroizing<Vec<u8>>>,
    essences: Vec<Zeroizing<Vec<u8>>>,
}

impl Known {
    pub(crate) fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut known = Self::default();
        for value in values {
            let mut reading = Reading::of(value);
            while let Some(form) = reading.filter(|form| form.said.len() >= SHORTEST) {
                known.forms.push(with_blanks(form.said.clone()));
                reading = form.next();
            }
            known.essences.push(Essence::of(value.as_bytes()).left);
        }
        for list in [&mut known.forms, &mut known.essences] {
            list.retain(|value| value.len() >= SHORTEST);
            list.sort_by(|one, other| one[..].cmp(&other[..]));
            list.dedup();
        }
        known
    }

    /// `text` without these, and without what is told to be a credential or a
    /// token by its key or its shape.
    pub(crate) fn mask<'a>(&self, text: &'a str) -> Cow<'a, str> {
        mask(text, self, &[SECRET_KEYS])
    }
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(MASK)
    }
}

/// `text` without credentials and tokens. `known` are values to mask wherever
/// they stand, in any spelling.
pub(crate) fn secrets<'a>(text: &'a str, known: &[&str]) -> Cow<'a, str> {
    Known::new(known.iter().copied()).mask(text)
}

/// `text` without credentials, tokens and personal data.
pub(crate) fn everything<'a>(text: &'a str, known: &[&str]) -> Cow<'a, str> {
    let known = Known::new(known.iter().copied());
    mask(text, &known, &[SECRET_KEYS, PERSONAL_KEYS])
}

fn mask<'a>(text: &'a str, known: &Known, lists: &[&[&str]]) -> Cow<'a, str> {
    let Some(mut reading) = Reading::of(text) else {
        return Cow::Borrowed(MASK);
    };
    let mut found = Vec::new();
    if reading.may_spell() {
        hide_essences(text, &known.essences, &mut found);
    }
    loop {
        let mut search = Search {
            text,
            reading: &reading,
            found,
        };
        search.keys(lists);
        search.tokens();
        search.known(&known.forms);
        found = search.found;
        match reading.next() {
            Some(next) => reading = next,
            None => return replaced(text, found),
        }
    }
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
struct Search<'a, 'r> {
    text: &'a str,
    reading: &'r Reading,
    found: Vec<Found<'a>>,
}

/// A key and what stands between it and its value.
struct Key {
    name: String,
    /// Where it begins, with its quote, or with what parts it from the word
    /// before.
    start: usize,
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
        let fits = (SHORTEST_KEY..=LONGEST_KEY).contains(&length);
        (fits && is_whole).then(|| Self {
            name: said[start..end]
                .iter()
                .filter(|byte| !matches!(byte, b'_' | b'-'))
                .map(|byte| char::from(byte.to_ascii_lowercase()))
                .collect(),
            start: start.saturating_sub(1),
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

impl<'a, 'r> Search<'a, 'r> {
    fn said(&self) -> &'r [u8] {
        &self.reading.said
    }

    /// How the text spells a byte of the reading.
    fn spelled(&self, at: usize) -> &'a str {
        &self.text[self.reading.place(at..at + 1)]
    }

    /// Finds the values of listed keys.
    fn keys(&mut self, lists: &[&[&str]]) {
        let said = self.said();
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
        let said = self.said();
        let blanks = said[key.sign + 1..]
            .iter()
            .take_while(|byte| match key.quote {
                Some(_) => byte.is_ascii_whitespace(),
                None => matches!(byte, b' ' | b'\t'),
            });
        let start = key.sign + 1 + blanks.count();
        if !self.reading.is_new(key.start..start + 1) {
            // It was found in the reading before, where its value had its form.
            return start;
        }
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
        let mut behind = self.said()[at + 1..].iter();
        let next = behind.find(|byte| !byte.is_ascii_whitespace());
        next.is_none_or(|byte| matches!(byte, b',' | b':' | b'}' | b']' | b'<' | b'>'))
    }

    fn string(&mut self, start: usize) -> usize {
        let said = self.said();
        let (end, next, after) = match self.closing(start) {
            Some(end) => (end, end + 1, ""),
            // It was cut.
            None => (said.len(), said.len(), self.spelled(start)),
        };
        let value = &said[start + 1..end];
        if !matches!(value, b"" | b"***") {
            let (at, before) = (self.reading.place(start + 1..end), "");
            self.found.push(Found { at, before, after });
        }
        next
    }

    /// The quote that ends what the one at `start` begins. Quotes within the
    /// value are escaped, or were.
    fn closing(&self, start: usize) -> Option<usize> {
        let said = self.said();
        let depth = |at: usize| self.reading.depth(at).0;
        let own = depth(start);
        // A backslash that was spelled itself when the quote was not is none
        // that escapes it.
        let is_free = |at: &usize| {
            let before = (start + 1..*at).rev();
            let slashes = before.take_while(|at| said[*at] == b'\\' && depth(*at) <= own);
            slashes.count() % 2 == 0
        };
        memchr::memchr_iter(said[start], &said[start + 1..])
            .map(|far| start + 1 + far)
            .find(|at| depth(*at) == own && is_free(at))
    }

    /// A list or an object, with all that is in it.
    fn container(&mut self, key: &Key, start: usize) -> usize {
        let said = self.said();
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
        let said = self.said();
        let is_pair = said[key.sign] == b'=';
        let is_header = key.quote.is_none() && !is_pair && key.is_in(HEADERS);
        let has_login = key.name.ends_with("authorization");
        let (level, _) = self.reading.depth(key.sign);
        let ends = |byte: u8, last: usize| match byte {
            b'\r' | b'\n' | b'<' => true,
            b'"' | b'\'' if is_header => self.ends_with_quote(last),
            b',' | b'}' if is_header => has_login,
            _ if is_header => false,
            b'"' | b'\'' | b',' | b'}' | b']' => true,
            b'&' | b';' | b'>' | b')' => key.quote.is_none(),
            byte => byte.is_ascii_whitespace(),
        };
        let mut end = start;
        while end < said.len() {
            let spelled = spelling::says(&said[end..]);
            let is_end = match (spelled, said[end]) {
                // No header has two lines.
                (Some((_, b'\r' | b'\n')), _) | (_, b'\r' | b'\n') if !is_pair => true,
                (Some((length, byte)), b'\\' | b'&') => ends(byte, end + length - 1),
                (_, byte) => {
                    // What was in percent form within a value does not end it.
                    let is_value = || {
                        let (depth, sign) = self.reading.depth(end);
                        depth > level && sign == Some(b'%')
                    };
                    ends(byte, end) && !is_value()
                }
            };
            if is_end {
                break;
            }
            end += spelled.map_or(1, |(length, _)| length);
        }
        let value = &said[start..end];
        // "token: none" is a sentence.
        let is_word = key.quote.is_none() && !is_pair && !is_header;
        let is_plain = value.len() < SHORTEST_TOKEN && !value.iter().any(u8::is_ascii_digit);
        if !(is_empty(value) || is_word && is_plain) {
            self.found_bare(key, start..end);
        }
        end
    }

    /// A value without quotes. Where the key has them, so has the mask.
    fn found_bare(&mut self, key: &Key, said: Range<usize>) {
        let at = self.reading.place(said);
        let quote = key.quote.map_or("", |quote| self.spelled(quote));
        let (before, after) = (quote, quote);
        self.found.push(Found { at, before, after });
    }

    /// Finds what looks like a JSON Web Token, also a cut one.
    fn tokens(&mut self) {
        let said = self.said();
        let mut at = 0;
        while let Some(far) = memmem::find(&said[at..], b"eyJ") {
            let start = at + far;
            let token = said[start..].iter();
            let length = token
                .take_while(|byte| byte.is_ascii_alphanumeric() || b"-_.=".contains(byte))
                .count();
            at = start + length;
            if length >= SHORTEST_TOKEN {
                let (before, after) = ("", "");
                let at = self.reading.place(start..at);
                self.found.push(Found { at, before, after });
            }
        }
    }

    /// Finds known values.
    /// What was cut off of one may stand at the end.
    fn known(&mut self, forms: &[Zeroizing<Vec<u8>>]) {
        if forms.is_empty() {
            return;
        }
        let text = with_blanks(self.reading.said.clone());
        for form in forms {
            for at in places(&text, form) {
                self.found.push(hidden(self.text, self.reading.place(at)));
            }
        }
    }
}

/// Where a known value stands; the beginning of one at the end of a text is the
/// value, cut off.
fn places(text: &[u8], known: &[u8]) -> Vec<Range<usize>> {
    // To get ready for all of a token costs more than to search a short text.
    let is_short = text.len() < SHORT_TEXT;
    let beginning = &known[..known.len().min(SHORTEST_CUT)];
    let sought = memmem::Finder::new(if is_short { beginning } else { known });
    let mut all = Vec::new();
    let mut at = 0;
    while let Some(far) = sought.find(&text[at..]) {
        at += far;
        if text[at..].starts_with(known) {
            all.push(at..at + known.len());
        }
        at += 1;
    }
    let mut at = text.len().saturating_sub(known.len() - 1);
    let beginning = memmem::Finder::new(beginning);
    while let Some(far) = beginning.find(&text[at..]) {
        at += far;
        if text.len() - at < known.len() && known.starts_with(&text[at..]) {
            all.push(at..text.len());
            break;
        }
        at += 1;
    }
    all.retain(|at| !is_in_number(text, at));
    all
}

/// Finds known values whatever they are spelled like.
fn hide_essences<'a>(text: &'a str, known: &[Zeroizing<Vec<u8>>], found: &mut Vec<Found<'a>>) {
    if known.is_empty() {
        return;
    }
    let whole = Essence::of(text.as_bytes());
    for value in known {
        for at in places(&whole.left, value) {
            found.push(hidden(text, whole.place(at)));
        }
    }
}

/// A known value. One that stands as a bare JSON number gets quotes, so that
/// the text stays JSON.
fn hidden(text: &str, at: Range<usize>) -> Found<'_> {
    let at = escaped_from(text, at.start)..escaped_to(text, at.end);
    let before = text.as_bytes()[..at.start].trim_ascii_end().last();
    let after = text.as_bytes()[at.end..].trim_ascii_start().first();
    let opens = matches!(before, Some(b':' | b'[' | b','));
    let closes = matches!(after, Some(b',' | b'}' | b']'));
    let quote = if opens && closes { "\"" } else { "" };
    let (before, after) = (quote, quote);
    Found { at, before, after }
}

/// Whether a code is a part of a longer number: there it is chance, and tells
/// nothing.
fn is_in_number(text: &[u8], at: &Range<usize>) -> bool {
    if at.len() > LONGEST_CODE || !text[at.clone()].iter().all(u8::is_ascii_digit) {
        return false;
    }
    let goes_on = |near: Option<&u8>, far: Option<&u8>| match near {
        Some(b'.') => far.is_some_and(u8::is_ascii_digit),
        near => near.is_some_and(u8::is_ascii_digit),
    };
    let mut before = text[..at.start].iter().rev();
    let mut after = text[at.end..].iter();
    goes_on(before.next(), before.next()) || goes_on(after.next(), after.next())
}

/// In a form a blank is a plus.
fn with_blanks(mut said: Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
    let mut at = 0;
    while let Some(far) = memchr::memchr(b'+', &said[at..]) {
        at += far;
        said[at] = b' ';
    }
    said
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
    fn a_code_inside_a_longer_number_is_none() {
        let body = r#"{"price":1234.5,"ltp":99.1234,"time":17912349,"otps":"1234","m":"is 1234."}"#;
        let masked = r#"{"price":1234.5,"ltp":99.1234,"time":17912349,"otps":"***","m":"is ***."}"#;
        assert_eq!(secrets(body, &["1234"]), masked);
        assert_eq!(
            secrets("pin%3D1234%20and%201234", &["1234"]),
            "pin%3D***%20and%20***"
        );
    }

    #[test]
    fn forms_and_headers_have_keys_too() {
        for (text, masked) in [
            (
                "GET /x?sId=fake-1&a=1&token=fake%26t&b",
                "GET /x?sId=***&a=1&token=***&b",
            ),
            ("sid%3Dfake%2526s%26a%3D1", "sid%3D***%26a%3D1"),
            (
                "Cookie: a=fake; b=\"fake\"\r\nHost: h",
                "Cookie: ***\r\nHost: h",
            ),
            (
                "Authorization: Bearer fake 1\nsid: fake-2, otp: 123456",
                "Authorization: ***\nsid: ***, otp: ***",
            ),
            (
                "{type:cn,Authorization:fake,Sid:fake-1,src:WEB}",
                "{type:cn,Authorization:***,Sid:***,src:WEB}",
            ),
            (
                r#"{"m":"Cookie: a=fake\r\nHost: h","n":1}"#,
                r#"{"m":"Cookie: ***\r\nHost: h","n":1}"#,
            ),
            (
                "{&quot;token&quot;:&quot;fake\\&quot;t&quot;,&quot;n&quot;:1}",
                "{&quot;token&quot;:&quot;***&quot;,&quot;n&quot;:1}",
            ),
            (
                "%7B%22sid%22%3A%22fake%22%2C%22n%22%3A1%7D",
                "%7B%22sid%22%3A%22***%22%2C%22n%22%3A1%7D",
            ),
            (
                r#"{"a":"{\"b\":\"{\\\"mpin\\\":123456,\\\"n\\\":1}\"}"}"#,
                r#"{"a":"{\"b\":\"{\\\"mpin\\\":\\\"***\\\",\\\"n\\\":1}\"}"}"#,
            ),
            (
                r#"{"token":"fake\\","n":"\\"}"#,
                r#"{"token":"***","n":"\\"}"#,
            ),
            ("{'token': 'fake', 'n': 1}", "{'token': '***', 'n': 1}"),
        ] {
            assert_eq!(secrets(text, &[]), masked);
            assert!(matches!(secrets(masked, &[]), Cow::Borrowed(_)), "{masked}");
        }
    }

    #[test]
    fn a_sentence_about_a_key_is_no_key() {
        for text in [
            r#"{"emsg":"Invalid token: expired","stCode":1}"#,
            r#"{"emsg":"Enter OTP:","stCode":1,"text":"a b"}"#,
            r#"{"emsg":"no token","code":"token","list":["sid","otp"]}"#,
            "https://example.com:443/token?a=b at 12:30, tokens: 12, my-sid: 5",
        ] {
            assert_eq!(secrets(text, &[]), text);
        }
    }

    #[test]
    fn a_secret_that_was_cut_is_masked() {
        let known = "fake-session-id-0001";
        assert_eq!(secrets("refused: fake-session-", &[known]), "refused: ***");
        assert_eq!(
            secrets("refused: fake%2Dsession%2D", &[known]),
            "refused: ***"
        );
        assert_eq!(secrets("refused: fake-s", &[known]), "refused: fake-s");
    }

    #[test]
    fn no_half_of_an_escape_is_left() {
        for (text, known) in [
            (r#"{"m":"\"fake-1"}"#, "\"fake-1"),
            (r#"{"m":"x\\fake-1\\"}"#, r"fake-1\"),
            (r#"{"m":"\u0041bcde"}"#, "41bcde"),
            (r#"{"m":"fake-\u0041"}"#, "fake-\\u00"),
            (r#"{"m":"fake-1\u002b\u002b"}"#, "fake-1++"),
        ] {
            let shown = secrets(text, &[known]);
            assert!(shown.contains(MASK), "{shown}");
            let json: Result<serde_json::Value, _> = serde_json::from_str(&shown);
            assert!(json.is_ok(), "{shown}");
        }
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
