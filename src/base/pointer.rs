//! Finds values in a JSON text by JSON Pointer (RFC 6901), after one reading.
//!
//! The reading copies the text once and notes where each value lies. Strings
//! are unescaped and everything that is no list or object gets its NUL inside
//! of that copy, so that looking one up copies nothing.

use std::borrow::Cow;
use std::ffi::CStr;
use std::ops::Range;

use serde::de::IgnoredAny;
use zeroize::Zeroizing;

/// A JSON text, read. It may carry tokens: the copy is wiped on drop.
pub(crate) struct Index {
    text: Zeroizing<Vec<u8>>,
    /// The members of each list and object side by side; those of objects are
    /// sorted by key, each key once.
    nodes: Vec<Node>,
    root: Node,
}

/// What a pointer leads to.
pub(crate) enum Found<'a> {
    /// A string without its quotes, or a number, `true`, `false`, `null`.
    Text(&'a CStr),
    /// A list or object: where it lies in the text that was read.
    Json(Range<usize>),
}

/// Offsets have 32 bits: a book of orders has a million values.
#[derive(Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

#[derive(Clone, Copy)]
struct Node {
    /// The key without quotes and escapes; empty outside of an object.
    key: Span,
    /// A text lies in the copy, a list or object in the text that was read.
    value: Span,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    List(Span),
    Object(Span),
}

/// A list or object whose end has not been read yet.
struct Open {
    key: Span,
    start: usize,
    is_object: bool,
    /// Where its members begin among those that wait.
    first: usize,
}

impl Span {
    const EMPTY: Self = Self { start: 0, end: 0 };

    fn new(start: usize, end: usize) -> Self {
        // `Index::new` refuses texts whose offsets need more bits.
        Self {
            start: start as u32,
            end: end as u32,
        }
    }

    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl Index {
    /// Reads `json`. `None` if it is no JSON. Needs no stack, however deep
    /// the text is nested.
    pub(crate) fn new(json: &str) -> Option<Self> {
        serde_json::from_str::<IgnoredAny>(json).ok()?;
        u32::try_from(json.len()).ok()?;
        let mut text = Zeroizing::new(Vec::with_capacity(json.len() + 1));
        text.extend_from_slice(json.as_bytes());
        text.push(0);
        let mut index = Self {
            text,
            nodes: Vec::new(),
            root: Node {
                key: Span::EMPTY,
                value: Span::EMPTY,
                kind: Kind::Text,
            },
        };
        index.root = index.read(json.as_bytes())?;
        index.nodes.shrink_to_fit();
        Some(index)
    }

    /// Walks through a text that is known to be JSON.
    fn read(&mut self, json: &[u8]) -> Option<Node> {
        let mut open: Vec<Open> = Vec::new();
        let mut waiting: Vec<Node> = Vec::new();
        let mut key = None;
        let mut at = 0;
        while let Some(byte) = json.get(at) {
            let start = at;
            let node = match byte {
                b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' => {
                    at += 1;
                    continue;
                }
                b'{' | b'[' => {
                    at += 1;
                    open.push(Open {
                        key: key.take().unwrap_or(Span::EMPTY),
                        start,
                        is_object: *byte == b'{',
                        first: waiting.len(),
                    });
                    continue;
                }
                b'}' | b']' => {
                    at += 1;
                    self.close(&open.pop()?, at, &mut waiting)
                }
                b'"' => {
                    at = string_end(json, start)?;
                    let is_key = key.is_none() && open.last().is_some_and(|last| last.is_object);
                    let value = self.string(start + 1..at - 1, is_key)?;
                    if is_key {
                        key = Some(value);
                        continue;
                    }
                    self.scalar(key.take(), value)
                }
                _ => {
                    let rest = json[at..].iter();
                    at += rest.take_while(|byte| is_bare(**byte)).count().max(1);
                    self.scalar(key.take(), Span::new(start, at))
                }
            };
            waiting.push(node);
        }
        counted(json.len());
        waiting.pop()
    }

    /// Unescapes a string where it lies in the copy.
    fn string(&mut self, inside: Range<usize>, is_key: bool) -> Option<Span> {
        let start = inside.start;
        let text = self.text.get_mut(inside)?;
        let length = unescape(text);
        if !is_key {
            // A C text ends at its first NUL.
            let nuls = text[..length].iter_mut().filter(|byte| **byte == 0);
            nuls.for_each(|byte| *byte = b'?');
        }
        Some(Span::new(start, start + length))
    }

    /// Ends a text in the copy with its NUL: in place of the closing quote or
    /// of whatever follows a number, both of which have been read.
    fn scalar(&mut self, key: Option<Span>, value: Span) -> Node {
        if let Some(end) = self.text.get_mut(value.end as usize) {
            *end = 0;
        }
        Node {
            key: key.unwrap_or(Span::EMPTY),
            value,
            kind: Kind::Text,
        }
    }

    /// Takes the members of a list or object from those that wait.
    fn close(&mut self, open: &Open, end: usize, waiting: &mut Vec<Node>) -> Node {
        let first = self.nodes.len();
        let members = &mut waiting[open.first..];
        if open.is_object {
            let key = |node: &Node| &self.text[node.key.range()];
            // Stable: of equal keys the last one counts, as for serde_json.
            members.sort_by(|one, other| key(one).cmp(key(other)));
            for (at, node) in members.iter().enumerate() {
                let next = members.get(at + 1);
                if next.is_none_or(|next| key(next) != key(node)) {
                    self.nodes.push(*node);
                }
            }
        } else {
            self.nodes.extend_from_slice(members);
        }
        waiting.truncate(open.first);
        let members = Span::new(first, self.nodes.len());
        Node {
            key: open.key,
            value: Span::new(open.start, end),
            kind: match open.is_object {
                true => Kind::Object(members),
                false => Kind::List(members),
            },
        }
    }

    /// What `pointer` leads to; `None` also for one that is malformed.
    pub(crate) fn field(&self, pointer: &str) -> Option<Found<'_>> {
        let node = self.find(pointer)?;
        let range = node.value.range();
        match node.kind {
            Kind::Text => {
                let text = self.text.get(range.start..=range.end)?;
                CStr::from_bytes_with_nul(text).ok().map(Found::Text)
            }
            Kind::List(_) | Kind::Object(_) => Some(Found::Json(range)),
        }
    }

    /// How many members the list or object has that `pointer` leads to.
    pub(crate) fn length(&self, pointer: &str) -> Option<usize> {
        match self.find(pointer)?.kind {
            Kind::Text => None,
            Kind::List(members) | Kind::Object(members) => Some(members.range().len()),
        }
    }

    fn find(&self, pointer: &str) -> Option<&Node> {
        let mut node = &self.root;
        if pointer.is_empty() {
            return Some(node);
        }
        for token in pointer.strip_prefix('/')?.split('/') {
            counted(token.len() + 1);
            node = match node.kind {
                Kind::Text => return None,
                Kind::List(members) => self.nodes[members.range()].get(list_index(token)?)?,
                Kind::Object(members) => {
                    let members = &self.nodes[members.range()];
                    let wanted = unescape_token(token)?;
                    let key = |node: &Node| {
                        counted(wanted.len().min(node.key.range().len()) + 1);
                        self.text[node.key.range()].cmp(wanted.as_bytes())
                    };
                    &members[members.binary_search_by(key).ok()?]
                }
            };
        }
        Some(node)
    }
}

/// One past the closing quote of the string that starts at `at`.
fn string_end(json: &[u8], at: usize) -> Option<usize> {
    let mut end = at + 1;
    loop {
        match json.get(end)? {
            b'"' => return Some(end + 1),
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
}

/// Whether a byte belongs to a number, `true`, `false` or `null`.
fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// Removes the escapes of a string where it lies; how long it is then.
fn unescape(text: &mut [u8]) -> usize {
    let Some(first) = text.iter().position(|byte| *byte == b'\\') else {
        return text.len();
    };
    let (mut from, mut to) = (first, first);
    while let Some(&byte) = text.get(from) {
        let next = text.get(from + 1).copied();
        let (c, length) = match (byte, next) {
            (b'\\', Some(b'u')) => unicode(&text[from..]),
            (b'\\', Some(b'b')) => ('\u{8}', 2),
            (b'\\', Some(b'f')) => ('\u{c}', 2),
            (b'\\', Some(b'n')) => ('\n', 2),
            (b'\\', Some(b'r')) => ('\r', 2),
            (b'\\', Some(b't')) => ('\t', 2),
            (b'\\', Some(other)) => (char::from(other), 2),
            _ => {
                text[to] = byte;
                (from, to) = (from + 1, to + 1);
                continue;
            }
        };
        // Every escape is at least as long as its character.
        to += c.encode_utf8(&mut text[to..]).len();
        from += length;
    }
    to
}

/// The character that `\uXXXX`, or two of them, stand for, and their length.
/// Half a character becomes the mark for one that is broken.
fn unicode(text: &[u8]) -> (char, usize) {
    let unit = |at: usize| {
        let escape = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u32::from_str_radix(std::str::from_utf8(escape).ok()?, 16).ok()
    };
    match (unit(0), unit(6)) {
        (Some(high @ 0xd800..=0xdbff), Some(low @ 0xdc00..=0xdfff)) => {
            let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            (char::from_u32(code).unwrap_or('\u{fffd}'), 12)
        }
        (code, _) => (code.and_then(char::from_u32).unwrap_or('\u{fffd}'), 6),
    }
}

/// The place that a token of a pointer names in a list.
fn list_index(token: &str) -> Option<usize> {
    let is_plain = token.bytes().all(|byte| byte.is_ascii_digit());
    let has_zeros = token.len() > 1 && token.starts_with('0');
    (is_plain && !has_zeros).then(|| token.parse().ok())?
}

/// A token of a pointer without its escapes: `~1` is `/`, `~0` is `~`.
fn unescape_token(token: &str) -> Option<Cow<'_, str>> {
    if !token.contains('~') {
        return Some(token.into());
    }
    let mut parts = token.split('~');
    let mut out = parts.next()?.to_owned();
    for part in parts {
        let (c, rest) = match part.as_bytes().first()? {
            b'0' => ('~', &part[1..]),
            b'1' => ('/', &part[1..]),
            _ => return None,
        };
        out.push(c);
        out.push_str(rest);
    }
    Some(out.into())
}

/// Tests count how many bytes are looked at.
#[cfg(not(test))]
fn counted(_bytes: usize) {}

#[cfg(test)]
use tests::counted;

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fmt::Write;

    use kotak_neo_testing::dice::Dice;
    use serde_json::{Map, Value, json};

    use super::*;

    thread_local! {
        static COUNTED: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn counted(bytes: usize) {
        COUNTED.set(COUNTED.get() + bytes);
    }

    /// What an index gives for a pointer, as text.
    fn got(index: &Index, json: &str, pointer: &str) -> Option<String> {
        Some(match index.field(pointer)? {
            Found::Text(text) => text.to_str().expect("it is UTF-8").to_owned(),
            Found::Json(range) => json[range].to_owned(),
        })
    }

    fn field(json: &str, pointer: &str) -> Option<String> {
        got(&Index::new(json).expect("it is JSON"), json, pointer)
    }

    #[test]
    fn the_examples_of_the_rfc() {
        let json = r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,
            "i\\j":5,"k\"l":6," ":7,"m~n":8}"#;
        for (pointer, value) in [
            ("", json),
            ("/foo", r#"["bar","baz"]"#),
            ("/foo/0", "bar"),
            ("/", "0"),
            ("/a~1b", "1"),
            ("/c%d", "2"),
            ("/e^f", "3"),
            ("/g|h", "4"),
            ("/i\\j", "5"),
            ("/k\"l", "6"),
            ("/ ", "7"),
            ("/m~0n", "8"),
        ] {
            assert_eq!(field(json, pointer).as_deref(), Some(value), "{pointer}");
        }
        for pointer in [
            "foo",
            "/foo/2",
            "/foo/-",
            "/foo/00",
            "/foo/+1",
            "/foo/",
            "/foo/0/x",
            "/m~n",
            "/m~2n",
            "/m~",
            "/x",
            "/foo/99999999999999999999",
            "meta:/foo",
            "#/foo",
        ] {
            assert_eq!(field(json, pointer), None, "{pointer}");
        }
    }

    #[test]
    fn every_kind_of_value_has_its_text() {
        let json = r#" { "n" : -1.50E+03 , "t":true,"f":false,"z":null,"e":"","l":[ ],
            "s":"a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é","half":"\ud83dx\ude00","nul":"a\u0000b"} "#;
        for (pointer, value) in [
            ("/n", "-1.50E+03"),
            ("/t", "true"),
            ("/f", "false"),
            ("/z", "null"),
            ("/e", ""),
            ("/l", "[ ]"),
            ("/s", "a\"\\/\u{8}\u{c}\n\r\té😀é"),
            ("/half", "\u{fffd}x\u{fffd}"),
            ("/nul", "a?b"),
        ] {
            assert_eq!(field(json, pointer).as_deref(), Some(value), "{pointer}");
        }
        assert_eq!(field(json, "").as_deref(), Some(json.trim()));
        for (json, value) in [("7", "7"), (" \"x\" ", "x"), ("null\n", "null")] {
            assert_eq!(field(json, "").as_deref(), Some(value));
        }
    }

    #[test]
    fn of_equal_keys_the_last_counts() {
        let json = r#"{"a":1,"b":[1,2,3],"\u0061":{"c":2},"b":4}"#;
        assert_eq!(field(json, "/a/c").as_deref(), Some("2"));
        let index = Index::new(json).expect("it is JSON");
        assert_eq!(index.length(""), Some(2));
        assert_eq!((index.length("/b"), index.length("/a")), (None, Some(1)));
        assert_eq!((index.length("/x"), index.length("a")), (None, None));
    }

    #[test]
    fn what_is_no_json_has_no_index() {
        for text in [
            "", " ", "{", "[1 2]", "{\"a\"}", "\"\\x\"", "1 2", "nul", "{]",
        ] {
            assert!(Index::new(text).is_none(), "{text}");
        }
    }

    /// As deep as the text is long, on the smallest stack that hosts have.
    #[test]
    fn no_depth_needs_a_stack() {
        let small = std::thread::Builder::new().stack_size(128 * 1024);
        let deep = small.spawn(|| {
            let json = format!("{}7{}", "[".repeat(500_000), "]".repeat(500_000));
            let index = Index::new(&json).expect("it is JSON");
            let pointer = "/0".repeat(500_000);
            assert_eq!(got(&index, &json, &pointer).as_deref(), Some("7"));
            let json = format!("{}7{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
            let index = Index::new(&json).expect("it is JSON");
            assert_eq!(index.length(&"/a".repeat(99_999)), Some(1));
        });
        deep.expect("a thread starts").join().expect("it ends well");
    }

    /// Any values, nested, with keys and strings that need escapes.
    struct Values(Dice);

    impl Values {
        fn text(&mut self) -> String {
            const PARTS: [&str; 12] = [
                "a", "b", "~", "/", "\"", "\\", "\0", "é", "😀", "\n", "0", "~1",
            ];
            let length = self.0.roll(4);
            (0..length).map(|_| *self.0.pick(&PARTS)).collect()
        }

        fn value(&mut self, depth: u64) -> Value {
            match self.0.roll(if depth == 0 { 5 } else { 8 }) {
                0 => Value::Null,
                1 => json!(self.0.roll(2) == 0),
                2 => json!(self.0.roll(1000)),
                3 => json!(self.0.roll(1000) as f64 / -8.0),
                4 => json!(self.text()),
                5 => (0..self.0.roll(4)).map(|_| self.value(depth - 1)).collect(),
                _ => {
                    let members = (0..self.0.roll(6)).map(|_| (self.text(), self.value(depth - 1)));
                    Value::Object(members.collect::<Map<_, _>>())
                }
            }
        }

        /// The same with escapes and blanks that nobody needs.
        fn spelled(&mut self, value: &Value, out: &mut String) {
            let blank = *self.0.pick(&[" ", "", "\n"]);
            out.push_str(blank);
            match value {
                Value::String(text) => self.string(text, out),
                Value::Array(members) => {
                    out.push('[');
                    for (at, member) in members.iter().enumerate() {
                        out.push_str(if at > 0 { "," } else { "" });
                        self.spelled(member, out);
                    }
                    out.push(']');
                }
                Value::Object(members) => {
                    out.push('{');
                    for (at, (key, member)) in members.iter().enumerate() {
                        out.push_str(if at > 0 { "," } else { "" });
                        self.string(key, out);
                        out.push(':');
                        self.spelled(member, out);
                    }
                    out.push('}');
                }
                plain => out.push_str(&plain.to_string()),
            }
            out.push_str(blank);
        }

        fn string(&mut self, text: &str, out: &mut String) {
            if self.0.roll(2) == 0 {
                out.push_str(&Value::from(text).to_string());
                return;
            }
            out.push('"');
            for unit in text.encode_utf16() {
                write!(out, "\\u{unit:04x}").expect("a String takes it");
            }
            out.push('"');
        }
    }

    /// Every pointer into a value.
    fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
        all.push(at.to_owned());
        match value {
            Value::Array(members) => {
                for (place, member) in members.iter().enumerate() {
                    pointers(member, &format!("{at}/{place}"), all);
                }
                all.push(format!("{at}/{}", members.len()));
            }
            Value::Object(members) => {
                for (key, member) in members {
                    let token = key.replace('~', "~0").replace('/', "~1");
                    pointers(member, &format!("{at}/{token}"), all);
                }
                all.push(format!("{at}/nobody"));
            }
            _ => all.push(format!("{at}/0")),
        }
    }

    #[test]
    fn finds_what_serde_json_finds() {
        let mut values = Values(Dice::new(1));
        for _ in 0..3_000 {
            let value = values.value(4);
            let mut json = String::new();
            values.spelled(&value, &mut json);
            let index = Index::new(&json).expect("it is JSON");
            let mut all = Vec::new();
            pointers(&value, "", &mut all);
            for pointer in &all {
                let expected = value.pointer(pointer);
                let found = got(&index, &json, pointer);
                match expected {
                    Some(Value::String(text)) => assert_eq!(found, Some(text.replace('\0', "?"))),
                    Some(value @ (Value::Array(_) | Value::Object(_))) => {
                        let found = found.and_then(|text| serde_json::from_str(&text).ok());
                        assert_eq!(found.as_ref(), Some(value), "{json} {pointer}");
                    }
                    other => assert_eq!(found, other.map(Value::to_string), "{json} {pointer}"),
                }
                let length = match expected {
                    Some(Value::Array(members)) => Some(members.len()),
                    Some(Value::Object(members)) => Some(members.len()),
                    _ => None,
                };
                assert_eq!(index.length(pointer), length, "{json} {pointer}");
            }
        }
    }

    /// Bytes looked at while every field of every row is read.
    fn bytes_for(rows: usize) -> usize {
        const FIELDS: usize = 30;
        let row: Vec<String> = (0..FIELDS)
            .map(|at| format!("\"key{at}\":\"v{at}\""))
            .collect();
        let rows_json = vec![format!("{{{}}}", row.join(",")); rows].join(",");
        let json = format!("{{\"stat\":\"Ok\",\"data\":[{rows_json}]}}");
        COUNTED.set(0);
        let index = Index::new(&json).expect("it is JSON");
        assert_eq!(index.length("/data"), Some(rows));
        for row in 0..rows {
            for at in 0..FIELDS {
                let pointer = format!("/data/{row}/key{at}");
                let Some(Found::Text(text)) = index.field(&pointer) else {
                    panic!("{pointer} is a text");
                };
                assert_eq!(text.to_bytes()[0], b'v');
            }
        }
        COUNTED.get()
    }

    #[test]
    fn ten_times_the_rows_take_ten_times_the_work() {
        let (small, large) = (bytes_for(2_000), bytes_for(20_000));
        assert!(small > 1_000_000, "nothing was counted: {small}");
        assert!(large < small * 11, "{small} grew to {large}");
    }

    /// An object with many keys is searched, not walked through.
    #[test]
    fn many_keys_are_found_quickly() {
        let members: Vec<String> = (0..20_000).map(|at| format!("\"k{at}\":{at}")).collect();
        let index = Index::new(&format!("{{{}}}", members.join(","))).expect("it is JSON");
        COUNTED.set(0);
        for at in 0..20_000 {
            assert!(index.field(&format!("/k{at}")).is_some());
        }
        assert!(COUNTED.get() < 20_000 * 200, "{}", COUNTED.get());
    }
}
