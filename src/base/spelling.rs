//! What a text says, however its characters are spelled: with JSON escapes,
//! in percent form, as HTML entities, in any mix, and one within the other.
//!
//! [`Reading`] undoes one layer after the other, so that each has the form that
//! somebody gave it. Where layers are mixed nobody can tell which backslash
//! belonged to which; [`Essence`] is the same for all of them, but has no form.

use std::ops::Range;

use zeroize::Zeroizing;

/// How often a text is read anew: what is spelled more often one within the
/// other is not undone.
const MOST: usize = 12;
/// No entity is longer, from its ampersand to its semicolon.
const LONGEST_ENTITY: usize = 14;

/// The entities of ASCII.
#[rustfmt::skip]
const NAMED: &[(&str, u8)] = &[
    ("amp", b'&'), ("AMP", b'&'), ("apos", b'\''), ("ast", b'*'), ("bsol", b'\\'), ("colon", b':'),
    ("comma", b','), ("commat", b'@'), ("dollar", b'$'), ("equals", b'='), ("excl", b'!'),
    ("grave", b'`'), ("gt", b'>'), ("GT", b'>'), ("Hat", b'^'), ("lbrace", b'{'), ("lbrack", b'['),
    ("lcub", b'{'), ("lowbar", b'_'), ("lpar", b'('), ("lsqb", b'['), ("lt", b'<'), ("LT", b'<'),
    ("NewLine", b'\n'), ("num", b'#'), ("percnt", b'%'), ("period", b'.'), ("plus", b'+'),
    ("quest", b'?'), ("quot", b'"'), ("QUOT", b'"'), ("rbrace", b'}'), ("rbrack", b']'),
    ("rcub", b'}'), ("rpar", b')'), ("rsqb", b']'), ("semi", b';'), ("sol", b'/'), ("Tab", b'\t'),
    ("verbar", b'|'), ("vert", b'|'),
];

/// The entities from U+00A0 on, in order.
const LATIN: &str = "nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg \
    macr deg plusmn sup2 sup3 acute micro para middot cedil sup1 ordm raquo frac14 frac12 frac34 \
    iquest Agrave Aacute Acirc Atilde Auml Aring AElig Ccedil Egrave Eacute Ecirc Euml Igrave \
    Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave Uacute Ucirc \
    Uuml Yacute THORN szlig agrave aacute acirc atilde auml aring aelig ccedil egrave eacute ecirc \
    euml igrave iacute icirc iuml eth ntilde ograve oacute ocirc otilde ouml divide oslash ugrave \
    uacute ucirc uuml yacute thorn yuml";

/// A text, or what it says.
pub(crate) struct Reading {
    /// UTF-8, but for what the spellings say that is none.
    pub(crate) said: Zeroizing<Vec<u8>>,
    /// For each reading before this one, where it stands in the one before.
    layers: Vec<Vec<Spelled>>,
}

/// Bytes that do not stand for themselves.
#[derive(Clone, Copy)]
struct Spelled {
    /// What they say.
    at: u32,
    length: u8,
    /// What the spelling begins with.
    sign: u8,
    /// Where they stand.
    from: u32,
    to: u32,
}

impl Reading {
    /// The text as it stands; `None` for one of 4 GiB, which nobody gets here.
    pub(crate) fn of(text: &str) -> Option<Self> {
        u32::try_from(text.len()).ok()?;
        Some(Self {
            said: Zeroizing::new(text.as_bytes().to_vec()),
            layers: Vec::new(),
        })
    }

    /// Whether there is anything in it that spellings begin with.
    pub(crate) fn may_spell(&self) -> bool {
        memchr::memchr3(b'\\', b'%', b'&', &self.said).is_some()
    }

    /// What this reading says, with every spelling in it undone once. `None`
    /// if there is none.
    pub(crate) fn next(mut self) -> Option<Self> {
        if self.layers.len() == MOST {
            return None;
        }
        // What is said is never longer than its spelling: no copy is left behind.
        let mut said = Zeroizing::new(Vec::with_capacity(self.said.len()));
        let mut layer = Vec::new();
        let mut copied = 0;
        let mut at = 0;
        while let Some(far) = memchr::memchr3(b'\\', b'%', b'&', &self.said[at..]) {
            at += far;
            let undone = match self.said[at..] {
                [b'\\', b'"', ..] if !self.escapes(at, at + 1) => None,
                _ => undone(&self.said[at..]),
            };
            let Some((length, meant)) = undone else {
                at += 1;
                continue;
            };
            said.extend_from_slice(&self.said[copied..at]);
            layer.push(Spelled {
                at: said.len() as u32,
                length: meant.bytes().len() as u8,
                sign: self.said[at],
                from: at as u32,
                to: (at + length) as u32,
            });
            said.extend_from_slice(meant.bytes());
            at += length;
            copied = at;
        }
        if layer.is_empty() {
            return None;
        }
        said.extend_from_slice(&self.said[copied..]);
        self.layers.push(layer);
        let layers = self.layers;
        Some(Self { said, layers })
    }

    /// Where a part of this reading, which is not empty, stands in the text.
    pub(crate) fn place(&self, part: Range<usize>) -> Range<usize> {
        let down = |part: Range<usize>, layer: &Vec<Spelled>| {
            let (first, _) = place_of(layer, part.start);
            let (last, _) = place_of(layer, part.end - 1);
            first.start..last.end
        };
        self.layers.iter().rev().fold(part, down)
    }

    /// Whether a part of this reading is not as it was in the one before.
    pub(crate) fn is_new(&self, part: Range<usize>) -> bool {
        self.layers.last().is_none_or(|layer| {
            let next = layer.partition_point(|one| (one.at as usize) < part.start);
            layer
                .get(next)
                .is_some_and(|one| (one.at as usize) < part.end)
        })
    }

    /// In how many spellings, one within the other, a byte of this reading
    /// stands in the text, and how the innermost begins.
    pub(crate) fn depth(&self, at: usize) -> (usize, Option<u8>) {
        // A spelling may itself be spelled in parts only.
        let last = |place: Range<usize>| place.end - 1;
        let first = self.depth_of(at, |place| place.start);
        first.max(self.depth_of(at, last))
    }

    /// Whether a backslash before a quote escapes it. If it came out of a spelling
    /// and the quote stands there as it is, it is a part of what that encloses.
    pub(crate) fn escapes(&self, slash: usize, quote: usize) -> bool {
        self.depth(quote).0 > 0 || self.depth(slash).0 == 0
    }

    fn depth_of(&self, at: usize, part: fn(Range<usize>) -> usize) -> (usize, Option<u8>) {
        let mut at = at;
        let (mut depth, mut innermost) = (0, None);
        for layer in self.layers.iter().rev() {
            let (place, sign) = place_of(layer, at);
            at = part(place);
            depth += usize::from(sign.is_some());
            innermost = innermost.or(sign);
        }
        (depth, innermost)
    }
}

/// Where one byte stands, and how its spelling begins.
fn place_of(layer: &[Spelled], at: usize) -> (Range<usize>, Option<u8>) {
    let next = layer.partition_point(|one| one.at as usize <= at);
    let Some(last) = next.checked_sub(1).map(|last| &layer[last]) else {
        return (at..at + 1, None);
    };
    let end = last.at as usize + usize::from(last.length);
    match at < end {
        true => (last.from as usize..last.to as usize, Some(last.sign)),
        false => {
            let at = last.to as usize + at - end;
            (at..at + 1, None)
        }
    }
}

/// What is left of a text when all spellings are undone, from the innermost to
/// the outermost, and no backslash counts: what is spelled in two ways has one
/// essence, how deep it may be and whatever stands within what.
pub(crate) struct Essence {
    pub(crate) left: Zeroizing<Vec<u8>>,
    /// The bytes that do not stand right behind the one before them.
    moved: Vec<Moved>,
}

struct Moved {
    at: u32,
    from: u32,
    to: u32,
}

impl Essence {
    /// Bytes that come one behind the other go onto a stack. What completes a
    /// spelling at its top becomes what that says, which may complete another.
    pub(crate) fn of(text: &[u8]) -> Self {
        let mut essence = Self {
            left: Zeroizing::new(Vec::with_capacity(text.len())),
            moved: Vec::new(),
        };
        for (at, byte) in text.iter().enumerate() {
            essence.put(*byte, at..at + 1);
        }
        essence
    }

    /// Where a part of the essence, which is not empty, stands.
    pub(crate) fn place(&self, part: Range<usize>) -> Range<usize> {
        let of = |at: usize| {
            let next = self.moved.partition_point(|one| one.at as usize <= at);
            self.place_after(next, at)
        };
        of(part.start).start..of(part.end - 1).end
    }

    /// Where one byte stands, if `next` is the first moved one behind it.
    fn place_after(&self, next: usize, at: usize) -> Range<usize> {
        let Some(last) = next.checked_sub(1).map(|last| &self.moved[last]) else {
            return at..at + 1;
        };
        if last.at as usize == at {
            return last.from as usize..last.to as usize;
        }
        let from = last.to as usize + at - last.at as usize - 1;
        from..from + 1
    }

    fn put(&mut self, byte: u8, place: Range<usize>) {
        let byte = match byte {
            b'\\' => return,
            // Without its backslash an escape is its letter.
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0c => b'f',
            // In a form a blank is a plus.
            b'+' => b' ',
            other => other,
        };
        let at = self.left.len();
        if self.place_after(self.moved.len(), at) != place {
            let [at, from, to] = [at, place.start, place.end].map(|number| number as u32);
            self.moved.push(Moved { at, from, to });
        }
        self.left.push(byte);
        match byte {
            b';' => self.undo_entity(),
            byte if byte.is_ascii_hexdigit() => self.undo_number(),
            _ => {}
        }
    }

    /// Takes bytes from the top; gives where they stood.
    fn take(&mut self, count: usize) -> Range<usize> {
        let start = self.left.len() - count;
        let place = self.place(start..self.left.len());
        while self
            .moved
            .last()
            .is_some_and(|last| last.at as usize >= start)
        {
            self.moved.pop();
        }
        self.left.truncate(start);
        place
    }

    /// `%26`, `u0026`.
    fn undo_number(&mut self) {
        if let [.., b'%', a, b] = self.left[..] {
            if let Some(byte) = hex(&[a, b]) {
                let place = self.take(3);
                self.put(byte as u8, place);
            }
        } else if let [.., b'u' | b'U', a, b, c, d] = self.left[..] {
            if let Some(code) = hex(&[a, b, c, d]) {
                self.swap(5, code);
            }
        }
    }

    fn undo_entity(&mut self) {
        let tail = &self.left[self.left.len().saturating_sub(LONGEST_ENTITY)..];
        let begin = memchr::memrchr(b'&', tail);
        let name = begin.and_then(|at| std::str::from_utf8(&tail[at + 1..tail.len() - 1]).ok());
        if let Some((name, code)) = name.and_then(|name| Some((name, entity(name)?))) {
            self.swap(name.len() + 2, code);
        }
    }

    /// Puts a character, or half of one, in the place of the last bytes.
    fn swap(&mut self, count: usize, code: u32) {
        let (mut count, mut code) = (count, code);
        if (0xdc00..0xe000).contains(&code) {
            let before = &self.left[..self.left.len() - count];
            if let [.., 0xed, high @ 0xa0..=0xaf, low @ 0x80..=0xbf] = *before {
                let high = (u32::from(high) & 0xf) << 6 | u32::from(low) & 0x3f;
                code = 0x1_0000 + (high << 10) + (code - 0xdc00);
                count += 3;
            }
        }
        let half = |code: u32| {
            // As UTF-8 would write it, did it write halves.
            let parts = [
                0xe0 | code >> 12,
                0x80 | code >> 6 & 0x3f,
                0x80 | code & 0x3f,
            ];
            Meant::Text([parts[0] as u8, parts[1] as u8, parts[2] as u8, 0], 3)
        };
        let whole = Meant::character(code);
        let half = || (code < 0x1_0000).then(|| half(code));
        if let Some(meant) = whole.or_else(half) {
            let place = self.take(count);
            for byte in meant.bytes() {
                self.put(*byte, place.clone());
            }
        }
    }
}

/// What one spelling says.
enum Meant {
    Byte([u8; 1]),
    Text([u8; 4], usize),
}

impl Meant {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Byte(byte) => byte,
            Self::Text(bytes, length) => &bytes[..*length],
        }
    }

    fn character(code: u32) -> Option<Self> {
        let mut bytes = [0; 4];
        let length = char::from_u32(code)?.encode_utf8(&mut bytes).len();
        Some(Self::Text(bytes, length))
    }
}

/// The length of the spelling that these bytes begin with, and what it says.
fn undone(bytes: &[u8]) -> Option<(usize, Meant)> {
    let byte = |length: usize, byte: u8| Some((length, Meant::Byte([byte])));
    match *bytes {
        [b'\\', b'u', ..] => unit(bytes, b'\\'),
        [b'%', b'u' | b'U', ..] => unit(bytes, b'%'),
        [b'\\', b'x', ..] => byte(4, hex(bytes.get(2..4)?)? as u8),
        [b'%', ..] => byte(3, hex(bytes.get(1..3)?)? as u8),
        [b'\\', sign @ (b'"' | b'\'' | b'\\' | b'/'), ..] => byte(2, sign),
        [b'\\', b'b', ..] => byte(2, 0x08),
        [b'\\', b'f', ..] => byte(2, 0x0c),
        [b'\\', b'n', ..] => byte(2, b'\n'),
        [b'\\', b'r', ..] => byte(2, b'\r'),
        [b'\\', b't', ..] => byte(2, b'\t'),
        [b'&', ..] => {
            let near = &bytes[..bytes.len().min(LONGEST_ENTITY)];
            let end = memchr::memchr(b';', near)?;
            let code = entity(std::str::from_utf8(&bytes[1..end]).ok()?)?;
            Some((end + 1, Meant::character(code)?))
        }
        _ => None,
    }
}

/// The length of the spelling that these bytes begin with, and the first byte
/// of what it says.
pub(crate) fn says(bytes: &[u8]) -> Option<(usize, u8)> {
    let (length, meant) = undone(bytes)?;
    Some((length, *meant.bytes().first()?))
}

/// `\u0026`, or two of them for a character beyond 16 bits. Half of one says
/// nothing.
fn unit(bytes: &[u8], sign: u8) -> Option<(usize, Meant)> {
    let of = |bytes: &[u8]| match *bytes {
        [first, b'u' | b'U', a, b, c, d, ..] if first == sign => hex(&[a, b, c, d]),
        _ => None,
    };
    let code = of(bytes)?;
    if !(0xd800..0xdc00).contains(&code) {
        return Some((6, Meant::character(code)?));
    }
    let low = of(&bytes[6..]).filter(|low| (0xdc00..0xe000).contains(low))?;
    let code = 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    Some((12, Meant::character(code)?))
}

fn hex(digits: &[u8]) -> Option<u32> {
    let all = digits.iter().all(u8::is_ascii_hexdigit);
    let digits = std::str::from_utf8(digits).ok().filter(|_| all)?;
    u32::from_str_radix(digits, 16).ok()
}

/// The character of `&#38;`, `&#x26;`, `&amp;`.
fn entity(name: &str) -> Option<u32> {
    if let Some(number) = name.strip_prefix('#') {
        return match number.strip_prefix(['x', 'X']) {
            Some(digits) => hex(digits.as_bytes()),
            None => number.parse().ok(),
        };
    }
    let ascii = NAMED.iter().find(|(known, _)| *known == name);
    let latin = || LATIN.split(' ').position(|known| known == name);
    match ascii {
        Some((_, byte)) => Some((*byte).into()),
        None => Some(latin()? as u32 + 0xa0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last reading.
    fn said(text: &str) -> String {
        let mut reading = Reading::of(text).expect("it is short");
        loop {
            let said = reading.said.to_vec();
            // Every byte has a place, one behind the other.
            let mut end = 0;
            for at in 0..said.len() {
                let place = reading.place(at..at + 1);
                assert!(place.start >= end || place.end == end, "{text}");
                assert!(!place.is_empty() && place.end <= text.len(), "{text}");
                end = place.end;
            }
            match reading.next() {
                Some(next) => reading = next,
                None => return String::from_utf8(said).expect("it is UTF-8"),
            }
        }
    }

    #[test]
    fn undoes_every_spelling() {
        for text in [
            "a&b",
            r"a\u0026b",
            "a%26b",
            "a&amp;b",
            "a&#38;b",
            "a&#x26;b",
            "a&#X000026;b",
            r"a\\u0026b",
            r"a\\\\u0026b",
            "a%2526b",
            "a%252526b",
            "a&amp;amp;b",
            "a&amp;#38;b",
            r"\u0061\u0026\u0062",
            "%61%26%62",
            "&#97;&#38;&#98;",
            r"a\x26b",
            "a%u0026b",
            r"a%5Cu0026b",
            r"a%5cu0026b",
            r"a\u0025\u0032\u0036b",
            "a%25%32%36b",
            r"a%2\u0036b",
            r"a&\u0061mp;b",
            "a&#3&#56;;b",
            r"a\u005cu0026b",
            r"\u005c\u0075\u0030\u0030\u0036\u0031&b",
        ] {
            assert_eq!(said(text), "a&b", "{text}");
        }
        assert_eq!(said(r#"\"\/\n\t"#), "\"/\n\t");
        assert_eq!(said(r"\u00e9%C3%A9&eacute;&#233;\u00E9"), "ééééé");
        assert_eq!(said(r"\ud83d\ude00 &#128512; %F0%9F%98%80"), "😀 😀 😀");
    }

    #[test]
    fn what_is_no_spelling_stays() {
        for text in [
            "",
            "a",
            "100%",
            "5%,",
            "%zz%2",
            "&",
            "&&;",
            "&nosuch;",
            "&#;",
            "&#x;",
            "&#99999999;",
            "a & b; c",
            r"\u00",
            r"\user",
            r"\ud83d",
            r"\",
            "R&D; 5% é",
        ] {
            assert_eq!(said(text), text, "{text}");
        }
    }

    #[test]
    fn a_place_is_that_of_the_spelling() {
        let text = r#"x\\\"é%2526&amp;y"#;
        let first = Reading::of(text).expect("it is short").next();
        let second = first.expect("there are spellings").next();
        let second = second.expect("there are more");
        assert_eq!(&second.said[..], "x\"é&&y".as_bytes());
        let shown = |part: Range<usize>| &text[second.place(part)];
        assert_eq!((shown(0..1), shown(1..2)), ("x", r#"\\\""#));
        assert_eq!((shown(4..5), shown(5..6)), ("%2526", "&amp;"));
        assert_eq!((shown(2..4), shown(0..7)), ("é", text));
        assert_eq!(second.depth(0), (0, None));
        assert_eq!(second.depth(1), (2, Some(b'\\')));
        assert_eq!(second.depth(4), (2, Some(b'%')));
        assert_eq!(second.depth(5), (1, Some(b'&')));
        assert!(second.next().is_none());
    }

    #[test]
    fn all_spellings_have_one_essence() {
        let essence = |text: &str| {
            let essence = Essence::of(text.as_bytes());
            let mut end = 0;
            for at in 0..essence.left.len() {
                let place = essence.place(at..at + 1);
                assert!(place.start >= end || place.end == end, "{text}");
                assert!(!place.is_empty() && place.end <= text.len(), "{text}");
                end = place.end;
            }
            String::from_utf8(essence.left.to_vec()).expect("it is UTF-8")
        };
        for text in [
            r"a\&+😀n",
            r"a\\&+\ud83d\ude00\n",
            r"a\u005c\u0026+\\uD83D\\uDE00\u000a",
            "a%5C%26 %F0%9F%98%80%0A",
            "a&bsol;&amp;%2b&#x1F600;&#10;",
            r"a&#x5c;\u005c%5C\\\u0026%2520&#55357;&#56832;n",
            r"a\u005c\u0075\u0030\u0030\u0032\u0036+\\ud83d\\ude00n",
            r"a\\\u00750026+&#12&#56;512;n",
        ] {
            assert_eq!(essence(text), "a& 😀n", "{text}");
        }
        assert_eq!(essence(&format!("%{}26", "25".repeat(1 << 19))), "&");
        assert_eq!(essence(&format!("&{}", "amp;".repeat(1 << 18))), "&");
        assert_eq!(essence(&format!("{}\"", "\\".repeat(1 << 20))), "\"");
    }

    #[test]
    fn a_deep_nest_takes_no_time() {
        for text in [
            format!("%{}26", "25".repeat(1 << 19)),
            format!("&{}", "amp;".repeat(1 << 18)),
            format!("{}\"", "\\".repeat(1 << 20)),
        ] {
            let mut reading = Reading::of(&text);
            let mut count = 0;
            while let Some(next) = reading.and_then(Reading::next) {
                count += 1;
                reading = Some(next);
            }
            assert_eq!(count, MOST);
        }
    }
}
