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
mod tests;
