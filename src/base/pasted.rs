//! Text that a person pasted or an editor saved: what in it says nothing, what cannot
//! be meant, and how a character is named that does not show or looks like another.
//!
//! What has one certain meaning is taken: a blank around a code, dashes in a mobile
//! number, the mark with which editors begin a file. What may mean two things is
//! refused in words that name the character and its place: `1,00,000` and `8,60` as
//! numbers, a dash in a symbol that is none of ASCII. Of a secret no character is
//! ever named but those that cannot be a part of it.
//!
//! All of it is pure.

use std::fmt;

use zeroize::Zeroizing;

/// Characters that do not show, or are taken for others, and what Unicode calls them.
#[rustfmt::skip]
const NAMES: &[(char, &str)] = &[
    ('\0', "NULL"), ('\t', "CHARACTER TABULATION"), ('\n', "LINE FEED"), ('\u{b}', "LINE TABULATION"),
    ('\u{c}', "FORM FEED"), ('\r', "CARRIAGE RETURN"), ('\u{85}', "NEXT LINE"), (' ', "SPACE"),
    ('"', "QUOTATION MARK"), ('\'', "APOSTROPHE"),
    ('\u{a0}', "NO-BREAK SPACE"), ('\u{ad}', "SOFT HYPHEN"), ('\u{1680}', "OGHAM SPACE MARK"),
    ('\u{180e}', "MONGOLIAN VOWEL SEPARATOR"), ('\u{2000}', "EN QUAD"), ('\u{2001}', "EM QUAD"),
    ('\u{2002}', "EN SPACE"), ('\u{2003}', "EM SPACE"), ('\u{2004}', "THREE-PER-EM SPACE"),
    ('\u{2005}', "FOUR-PER-EM SPACE"), ('\u{2006}', "SIX-PER-EM SPACE"), ('\u{2007}', "FIGURE SPACE"),
    ('\u{2008}', "PUNCTUATION SPACE"), ('\u{2009}', "THIN SPACE"), ('\u{200a}', "HAIR SPACE"),
    ('\u{200b}', "ZERO WIDTH SPACE"), ('\u{200c}', "ZERO WIDTH NON-JOINER"),
    ('\u{200d}', "ZERO WIDTH JOINER"), ('\u{200e}', "LEFT-TO-RIGHT MARK"),
    ('\u{200f}', "RIGHT-TO-LEFT MARK"), ('\u{2010}', "HYPHEN"), ('\u{2011}', "NON-BREAKING HYPHEN"),
    ('\u{2012}', "FIGURE DASH"), ('\u{2013}', "EN DASH"), ('\u{2014}', "EM DASH"),
    ('\u{2015}', "HORIZONTAL BAR"), ('\u{2018}', "LEFT SINGLE QUOTATION MARK"),
    ('\u{2019}', "RIGHT SINGLE QUOTATION MARK"), ('\u{201a}', "SINGLE LOW-9 QUOTATION MARK"),
    ('\u{201b}', "SINGLE HIGH-REVERSED-9 QUOTATION MARK"), ('\u{201c}', "LEFT DOUBLE QUOTATION MARK"),
    ('\u{201d}', "RIGHT DOUBLE QUOTATION MARK"), ('\u{201e}', "DOUBLE LOW-9 QUOTATION MARK"),
    ('\u{201f}', "DOUBLE HIGH-REVERSED-9 QUOTATION MARK"), ('\u{2028}', "LINE SEPARATOR"),
    ('\u{2029}', "PARAGRAPH SEPARATOR"), ('\u{202a}', "LEFT-TO-RIGHT EMBEDDING"),
    ('\u{202b}', "RIGHT-TO-LEFT EMBEDDING"), ('\u{202c}', "POP DIRECTIONAL FORMATTING"),
    ('\u{202d}', "LEFT-TO-RIGHT OVERRIDE"), ('\u{202e}', "RIGHT-TO-LEFT OVERRIDE"),
    ('\u{202f}', "NARROW NO-BREAK SPACE"), ('\u{2039}', "SINGLE LEFT-POINTING ANGLE QUOTATION MARK"),
    ('\u{203a}', "SINGLE RIGHT-POINTING ANGLE QUOTATION MARK"), ('\u{2044}', "FRACTION SLASH"),
    ('\u{205f}', "MEDIUM MATHEMATICAL SPACE"), ('\u{2060}', "WORD JOINER"),
    ('\u{2066}', "LEFT-TO-RIGHT ISOLATE"), ('\u{2067}', "RIGHT-TO-LEFT ISOLATE"),
    ('\u{2068}', "FIRST STRONG ISOLATE"), ('\u{2069}', "POP DIRECTIONAL ISOLATE"),
    ('\u{20b9}', "INDIAN RUPEE SIGN"), ('\u{2212}', "MINUS SIGN"), ('\u{2215}', "DIVISION SLASH"),
    ('\u{2223}', "DIVIDES"), ('\u{2502}', "BOX DRAWINGS LIGHT VERTICAL"), ('\u{3000}', "IDEOGRAPHIC SPACE"),
    ('\u{ab}', "LEFT-POINTING DOUBLE ANGLE QUOTATION MARK"),
    ('\u{bb}', "RIGHT-POINTING DOUBLE ANGLE QUOTATION MARK"), ('\u{fe58}', "SMALL EM DASH"),
    ('\u{fe63}', "SMALL HYPHEN-MINUS"), ('\u{feff}', "ZERO WIDTH NO-BREAK SPACE (byte order mark)"),
    ('\u{ff02}', "FULLWIDTH QUOTATION MARK"), ('\u{ff07}', "FULLWIDTH APOSTROPHE"),
    ('\u{ff0b}', "FULLWIDTH PLUS SIGN"), ('\u{ff0c}', "FULLWIDTH COMMA"),
    ('\u{ff0d}', "FULLWIDTH HYPHEN-MINUS"), ('\u{ff0e}', "FULLWIDTH FULL STOP"),
    ('\u{ff1a}', "FULLWIDTH COLON"), ('\u{ff5c}', "FULLWIDTH VERTICAL LINE"),
    ('\u{fffd}', "REPLACEMENT CHARACTER"),
];

/// A character for a message. Of one that has no name here only the number.
pub(crate) struct Named(pub(crate) char);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "U+{:04X}", u32::from(self.0))?;
        match NAMES.iter().find(|(c, _)| *c == self.0) {
            Some((_, name)) => write!(f, " {name}"),
            None => Ok(()),
        }
    }
}

/// A character and its place: `U+2011 NON-BREAKING HYPHEN at character 4`.
pub(crate) struct Found {
    c: char,
    /// From 1.
    at: usize,
}

impl Found {
    fn first(text: &str, is_it: impl Fn(char) -> bool) -> Option<Self> {
        let mut all = text.chars().enumerate();
        let (at, c) = all.find(|(_, c)| is_it(*c))?;
        Some(Self { c, at: at + 1 })
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at character {}", Named(self.c), self.at)
    }
}

/// Whether a character is no ink at all: a blank of any width, a line end, a mark of
/// layout.
pub(crate) fn is_blank(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

pub(crate) fn is_dash(c: char) -> bool {
    matches!(
        c,
        '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}'
    )
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\'') || is_curly(c)
}

/// A quotation mark that is none of ASCII.
fn is_curly(c: char) -> bool {
    matches!(
        c,
        '\u{ab}' | '\u{bb}' | '\u{2018}'
            ..='\u{201f}' | '\u{2039}' | '\u{203a}' | '\u{ff02}' | '\u{ff07}'
    )
}

/// Without what editors write before a text.
pub(crate) fn document(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Without blanks around it, whatever their kind.
pub(crate) fn trimmed(text: &str) -> &str {
    text.trim_matches(is_blank)
}

/// Without blanks and dashes, wherever they stand: for what has none, like a code. The
/// buffer never moves, and is wiped.
pub(crate) fn bare(text: &str) -> Zeroizing<String> {
    let mut left = Zeroizing::new(String::with_capacity(text.len()));
    left.extend(text.chars().filter(|c| !is_blank(*c) && !is_dash(*c)));
    left
}

/// The first character that no identifier of the broker has: anything but printable
/// ASCII.
pub(crate) fn odd(text: &str) -> Option<Found> {
    Found::first(text, |c| c != ' ' && !c.is_ascii_graphic())
}

/// The same as the end of a message; empty if there is none.
pub(crate) fn named_odd(text: &str) -> String {
    odd(text).map_or_else(String::new, |odd| format!("; it has {odd}"))
}

/// The first character that is taken for another, or does not show.
pub(crate) fn unseen(text: &str) -> Option<Found> {
    Found::first(text, |c| {
        c.is_control() || !c.is_ascii() && NAMES.iter().any(|(named, _)| *named == c)
    })
}

/// Why a text is no number as it is written here; `None` if nothing helpful can be said.
pub(crate) fn no_number(text: &str) -> Option<String> {
    let is_it = |c: char| !matches!(c, '0'..='9' | '.');
    let found = Found::first(text, is_it)?;
    Some(match found.c {
        ',' => format!(
            "a comma at character {}: it may part thousands or decimals, so neither is guessed",
            found.at
        ),
        '\u{20b9}' => format!("{found}: leave the currency away"),
        c if is_blank(c) || !c.is_ascii() => found.to_string(),
        _ => return None,
    })
}

/// What in a password cannot be meant; named, and not its place. It is never changed.
pub(crate) fn no_password(text: &str) -> Option<String> {
    let is_it = |c: &char| c.is_control() || (*c != ' ' && is_blank(*c));
    let mut all = text.chars();
    let (last, first) = (all.clone().next_back(), all.clone().next());
    let (place, c) = match (last.filter(is_it), first.filter(is_it)) {
        (Some(last), _) => ("ends with", last),
        (None, Some(first)) => ("begins with", first),
        (None, None) => ("has within", all.find(is_it)?),
    };
    Some(format!(
        "{place} {}, which nobody types: a file or the clipboard added it; give the password \
         without it",
        Named(c)
    ))
}

/// What in a path cannot be meant, or would not mean what it does in a shell.
pub(crate) fn no_path(text: &str) -> Option<String> {
    let (Some(first), Some(last)) = (text.chars().next(), text.chars().next_back()) else {
        return Some("must not be empty".to_owned());
    };
    let hidden = |c: char| c.is_control() || (is_blank(c) && !c.is_whitespace());
    if let Some(found) = Found::first(text, hidden) {
        let hint = match found.c.is_ascii() {
            true => "; in JSON a backslash is written twice",
            false => "",
        };
        return Some(format!("has {found}{hint}"));
    }
    for (c, place) in [(first, "begins"), (last, "ends")] {
        if is_blank(c) || is_quote(c) {
            let problem = format!("{place} with {}, which belongs to no path", Named(c));
            return Some(problem);
        }
    }
    if first == '~' {
        return Some("begins with ~, which only a shell replaces: write the folder".to_owned());
    }
    let name = |text: &str| text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '{');
    if first == '$' && name(&text[1..]) || first == '%' && text[1..].contains('%') {
        let problem =
            "begins with a variable, which only a shell replaces: write what it stands for";
        return Some(problem.to_owned());
    }
    let scheme = text.get(..5).unwrap_or_default();
    if scheme.eq_ignore_ascii_case("file:") {
        return Some("is an address: write the path, without file://".to_owned());
    }
    None
}

/// Why a text is no JSON, as far as that can be seen: the first thing that people and
/// editors write and JSON does not have. It names no character that may be a part of
/// a secret.
pub(crate) fn no_json(text: &str) -> Option<String> {
    Json {
        line: 1,
        column: 0,
        left: text.chars().peekable(),
    }
    .fault()
}

struct Json<'a> {
    line: usize,
    column: usize,
    left: std::iter::Peekable<std::str::Chars<'a>>,
}

impl Json<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.left.next()?;
        match c {
            '\n' => (self.line, self.column) = (self.line + 1, 0),
            _ => self.column += 1,
        }
        Some(c)
    }

    fn place(&self) -> String {
        format!("at line {}, column {}", self.line, self.column)
    }

    fn fault(mut self) -> Option<String> {
        let (mut depth, mut comma) = (0_usize, None);
        while let Some(c) = self.next() {
            let place = self.place();
            let before = comma.take();
            match c {
                ' ' | '\t' | '\r' | '\n' => comma = before,
                '"' => {
                    if let Some(fault) = self.string(&place) {
                        return Some(fault);
                    }
                }
                '{' | '[' => depth += 1,
                '}' | ']' => {
                    if let Some(place) = before {
                        return Some(format!("a comma before {c} {place}; JSON has none there"));
                    }
                    depth = depth.saturating_sub(1);
                }
                ',' => comma = Some(place),
                ':' => {}
                '#' => return Some(format!("a comment {place}; JSON has none")),
                '/' if matches!(self.left.peek(), Some('/' | '*')) => {
                    return Some(format!("a comment {place}; JSON has none"));
                }
                c if c == '\'' || is_curly(c) => {
                    let named = Named(c);
                    return Some(format!("{named} {place}; JSON wants the straight quote \""));
                }
                c if is_blank(c) || is_dash(c) && c != '-' || c.is_control() => {
                    return Some(format!("{} {place}, where nothing may stand", Named(c)));
                }
                '-' | '0'..='9' => drop(self.word(c)),
                c if c.is_alphanumeric() || matches!(c, '_' | '$' | '\\') => {
                    if !matches!(self.word(c).as_str(), "true" | "false" | "null") {
                        return Some(format!("a word without quotes {place}"));
                    }
                }
                _ => return Some(format!("a character that does not belong there, {place}")),
            }
        }
        if depth == 0 {
            return None;
        }
        Some(
            "it ends before its last bracket; a text in UTF-16 looks so too: save it as UTF-8"
                .into(),
        )
    }

    /// A word or number that begins so; of a long one the beginning.
    fn word(&mut self, first: char) -> Zeroizing<String> {
        let mut word = Zeroizing::new(String::with_capacity(16));
        word.push(first);
        let goes_on = |c: &char| c.is_alphanumeric() || matches!(c, '_' | '.' | '+' | '-');
        while self.left.peek().is_some_and(goes_on) {
            let next = self.next().filter(|_| word.len() < 8);
            word.extend(next);
        }
        word
    }

    /// To the end of a string.
    fn string(&mut self, began: &str) -> Option<String> {
        while let Some(c) = self.next() {
            match c {
                '"' => return None,
                '\\' => {
                    let escaped = self.next();
                    if !matches!(
                        escaped,
                        Some('"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't' | 'u')
                    ) {
                        let place = self.place();
                        return Some(format!(
                            "a single backslash before the character {place}; in JSON it is \
                             written twice"
                        ));
                    }
                }
                '\n' => {
                    return Some(format!(
                        "the text that begins {began} has no end in its line"
                    ));
                }
                c if u32::from(c) < 0x20 => {
                    let place = self.place();
                    return Some(format!("{} {place}, within a text", Named(c)));
                }
                _ => {}
            }
        }
        Some(format!("the text that begins {began} has no end"))
    }
}

#[cfg(test)]
mod tests;
