//! What a text says, however its characters are spelled: with JSON escapes,
//! in percent form, as HTML entities, in any mix, one within the other and as
//! often as somebody liked.
//!
//! One pass, whatever the text is: characters go onto a stack, and what
//! completes a spelling at its top becomes the character that it stands for,
//! which may complete another one.

use zeroize::Zeroizing;

/// No spelling has more characters when all within it are undone.
const LONGEST: usize = 14;

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

/// What a text says, and where in the text each byte of it stands.
pub(crate) struct Meaning<'a> {
    text: &'a str,
    /// UTF-8, but for what the spellings say that is none.
    said: Zeroizing<Vec<u8>>,
    /// The bytes that do not stand for themselves, in order.
    spelled: Vec<Spelled>,
}

struct Spelled {
    at: u32,
    place: Place,
}

/// Where a byte of a meaning stands in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// With the backslashes before it that only escape it.
    from: u32,
    /// Without them.
    core: u32,
    to: u32,
    /// How many backslashes there are: those before it, or those it stands for.
    slashes: u32,
    /// In how many percent forms it is, one within the other.
    percent: u32,
}

impl Place {
    fn plain(at: usize, byte: u8) -> Self {
        let at = at as u32;
        Self {
            from: at,
            core: at,
            to: at + 1,
            slashes: u32::from(byte == b'\\'),
            percent: 0,
        }
    }

    pub(crate) fn start(&self) -> usize {
        self.core as usize
    }

    pub(crate) fn end(&self) -> usize {
        self.to as usize
    }

    pub(crate) fn slashes(&self) -> u32 {
        self.slashes
    }

    pub(crate) fn percent(&self) -> u32 {
        self.percent
    }

    /// With the backslashes before it.
    pub(crate) fn whole(&self) -> std::ops::Range<usize> {
        self.from as usize..self.to as usize
    }
}

impl<'a> Meaning<'a> {
    /// `None` for a text of 4 GiB, which nobody gets here.
    pub(crate) fn of(text: &'a str) -> Option<Self> {
        u32::try_from(text.len()).ok()?;
        let mut meaning = Self {
            text,
            // A meaning is never longer than its text: no copy is left behind.
            said: Zeroizing::new(Vec::with_capacity(text.len())),
            spelled: Vec::new(),
        };
        meaning.read();
        Some(meaning)
    }

    /// What it says.
    pub(crate) fn said(&self) -> &[u8] {
        &self.said
    }

    /// Where the byte `at` stands.
    pub(crate) fn place(&self, at: usize) -> Place {
        let next = self.spelled.partition_point(|one| one.at as usize <= at);
        self.place_after(next, at)
    }

    /// The same, if `next` is the first spelled byte behind it.
    fn place_after(&self, next: usize, at: usize) -> Place {
        match next.checked_sub(1).map(|last| &self.spelled[last]) {
            Some(last) if last.at as usize == at => last.place,
            Some(last) => {
                let text_at = last.place.end() + (at - last.at as usize - 1);
                Place::plain(text_at, self.said[at])
            }
            None => Place::plain(at, self.said[at]),
        }
    }

    fn read(&mut self) {
        let bytes = self.text.as_bytes();
        let mut at = 0;
        // Behind the last character that can begin a spelling.
        let mut begun = None;
        while at < bytes.len() {
            let is_open = begun.is_some_and(|begun| self.said.len() < begun + LONGEST);
            if !is_open {
                let next = memchr::memchr3(b'\\', b'%', b'&', &bytes[at..]);
                let next = next.map_or(bytes.len(), |far| at + far);
                self.said.extend_from_slice(&bytes[at..next]);
                at = next;
                if at == bytes.len() {
                    return;
                }
            }
            let byte = bytes[at];
            self.put(byte, Place::plain(at, byte), false);
            if matches!(self.said.last(), Some(b'\\' | b'%' | b'&')) {
                begun = Some(self.said.len());
            }
            at += 1;
        }
    }

    /// Puts a byte on the top, and undoes the spelling that it completes.
    fn put(&mut self, byte: u8, place: Place, is_spelled: bool) {
        let (mut byte, mut place, mut is_spelled) = (byte, place, is_spelled);
        // What may begin or go on with a spelling keeps its backslash for now.
        while self.ends_with(b"\\") && !matches!(byte, b'u' | b'x' | b'%' | b'&') {
            // A run of backslashes is one; but one that is spelled out stands
            // for itself where others escape.
            if byte == b'\\' && !self.is_spelled_alike(place) {
                break;
            }
            let (_, slash) = self.pop();
            is_spelled = true;
            place.from = slash.from;
            place.slashes += slash.slashes;
            place.percent = place.percent.max(slash.percent);
            byte = match byte {
                b'b' => 0x08,
                b'f' => 0x0c,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                other => other,
            };
        }
        if is_spelled {
            let at = self.said.len() as u32;
            self.spelled.push(Spelled { at, place });
        }
        self.said.push(byte);
        if byte.is_ascii_hexdigit() {
            self.undo_number();
        } else if byte == b';' {
            self.undo_entity();
        }
    }

    fn ends_with(&self, end: &[u8]) -> bool {
        self.said.ends_with(end)
    }

    /// Whether the backslash at the top is spelled as the one at `place`.
    fn is_spelled_alike(&self, place: Place) -> bool {
        let top = self.place_after(self.spelled.len(), self.said.len() - 1);
        self.text[top.start()..top.end()] == self.text[place.start()..place.end()]
    }

    fn pop(&mut self) -> (u8, Place) {
        let at = self.said.len() - 1;
        let place = self.place_after(self.spelled.len(), at);
        if self
            .spelled
            .last()
            .is_some_and(|last| last.at as usize == at)
        {
            self.spelled.pop();
        }
        (self.said.pop().unwrap_or_default(), place)
    }

    /// `%26`, `\x26`, `\u0026`, `%u0026`.
    fn undo_number(&mut self) {
        let begins = |far: usize, with: &[u8]| {
            let start = self.said.len().checked_sub(far + with.len())?;
            let rest = self.said[start..].strip_prefix(with)?;
            let digits = std::str::from_utf8(rest).ok()?;
            let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            is_hex.then(|| u32::from_str_radix(digits, 16).ok())?
        };
        if let Some(byte) = begins(2, b"%") {
            self.swap(3, &[byte as u8], 1);
        } else if let Some(byte) = begins(2, b"\\x") {
            self.swap(4, &[byte as u8], 0);
        } else if let Some(unit) = begins(4, b"\\u") {
            self.undo_unit(6, unit, 0);
        } else if let Some(unit) = begins(4, b"%u") {
            self.undo_unit(6, unit, 1);
        }
    }

    /// `&#38;`, `&#x26;`, `&amp;`.
    fn undo_entity(&mut self) {
        let tail = &self.said[self.said.len().saturating_sub(LONGEST)..];
        let Some(length) = memchr::memrchr(b'&', tail).map(|at| tail.len() - at) else {
            return;
        };
        let Ok(name) = std::str::from_utf8(&tail[tail.len() - length + 1..tail.len() - 1]) else {
            return;
        };
        let code = match name.strip_prefix('#').map(|number| {
            let hex = number.strip_prefix(['x', 'X']);
            let (digits, radix) = hex.map_or((number, 10), |digits| (digits, 16));
            u32::from_str_radix(digits, radix)
        }) {
            Some(number) => number.ok(),
            None => {
                let ascii = NAMED.iter().find(|(known, _)| *known == name);
                let latin = || LATIN.split(' ').position(|known| known == name);
                let ascii = ascii.map(|(_, byte)| u32::from(*byte));
                ascii.or_else(|| Some(latin()? as u32 + 0xa0))
            }
        };
        if let Some(code) = code {
            self.undo_unit(length, code, 0);
        }
    }

    /// Puts the character with this number, or half of one, in the place of
    /// the last `count` bytes.
    fn undo_unit(&mut self, count: usize, code: u32, percent: u32) {
        let mut count = count;
        let mut code = code;
        if (0xdc00..0xe000).contains(&code) {
            // The second half of a character whose first half is there.
            let end = self.said.len() - count;
            if let [.., 0xed, high @ 0xa0..=0xaf, low @ 0x80..=0xbf] = self.said[..end] {
                let high = (u32::from(high) & 0xf) << 6 | u32::from(low) & 0x3f;
                code = 0x1_0000 + (high << 10) + (code - 0xdc00);
                count += 3;
            }
        }
        match char::from_u32(code) {
            Some(c) => self.swap(count, c.encode_utf8(&mut [0; 4]).as_bytes(), percent),
            // Half a character, in the form that UTF-8 would have for it.
            None if code < 0x1_0000 => {
                let half = [
                    0xe0 | (code >> 12) as u8,
                    0x80 | (code >> 6 & 0x3f) as u8,
                    0x80 | (code & 0x3f) as u8,
                ];
                self.swap(count, &half, percent);
            }
            None => {}
        }
    }

    fn swap(&mut self, count: usize, bytes: &[u8], percent: u32) {
        let (_, last) = self.pop();
        let (mut first, mut deepest) = (last, last.percent);
        let mut byte = 0;
        for _ in 1..count {
            (byte, first) = self.pop();
            deepest = deepest.max(first.percent);
        }
        let mut slashes = 0;
        if byte == b'\\' {
            slashes = first.slashes - 1;
            // Undone again and again, a run halves until its last one is that
            // of the spelling. What is left of it then stands for itself.
            let left = first.slashes >> first.slashes.trailing_zeros() >> 1;
            if left > 0 {
                let rest = Place {
                    core: first.from,
                    to: first.core,
                    slashes: left,
                    ..first
                };
                self.put(b'\\', rest, true);
                first.from = first.core;
                slashes = 0;
            }
        }
        let place = Place {
            to: last.to,
            slashes,
            percent: deepest + percent,
            ..first
        };
        for byte in bytes {
            let mut place = place;
            // A backslash counts itself.
            place.slashes += u32::from(*byte == b'\\');
            self.put(*byte, place, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        let meaning = Meaning::of(text).expect("it is short");
        let said = String::from_utf8(meaning.said().to_vec()).expect("it is UTF-8");
        // Every byte has a place, one behind the other.
        let mut end = 0;
        for at in 0..meaning.said().len() {
            let place = meaning.place(at);
            assert!(
                place.whole().start >= end || place.whole().end == end,
                "{text}"
            );
            assert!(
                place.start() < place.end() && place.end() <= text.len(),
                "{text}"
            );
            end = place.end();
        }
        said
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
        assert_eq!(said(r#"\"\/\\\n\t"#), "\"/\n\t");
        assert_eq!(said(r"\u00e9%C3%A9&eacute;&#233;\u00E9"), "ééééé");
        assert_eq!(
            said(r"\ud83d\ude00 &#55357;&#56832; &#128512; %F0%9F%98%80"),
            "😀 😀 😀 😀"
        );
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
            "R&D; 5% é",
        ] {
            assert_eq!(said(text), text, "{text}");
        }
    }

    #[test]
    fn a_place_is_that_of_the_spelling() {
        let text = r#"x\\\"é%2526&amp;y"#;
        let meaning = Meaning::of(text).expect("it is short");
        assert_eq!(meaning.said(), "x\"é&&y".as_bytes());
        let shown = |at: usize| &text[meaning.place(at).whole()];
        assert_eq!((shown(0), shown(1)), ("x", r#"\\\""#));
        assert_eq!((shown(4), shown(5), shown(6)), ("%2526", "&amp;", "y"));
        let quote = meaning.place(1);
        assert_eq!(
            (quote.slashes(), &text[quote.start()..quote.end()]),
            (3, "\"")
        );
        assert_eq!(
            (meaning.place(4).percent(), meaning.place(5).percent()),
            (2, 0)
        );
    }

    /// Takes hours if each layer is a pass of its own.
    #[test]
    fn a_deep_nest_takes_no_time() {
        assert_eq!(said(&format!("%{}26", "25".repeat(1 << 19))), "&");
        assert_eq!(said(&format!("&{}", "amp;".repeat(1 << 18))), "&");
        assert_eq!(said(&format!("{}\"", "\\".repeat(1 << 20))), "\"");
    }
}
