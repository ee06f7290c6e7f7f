//! Secrets are masked by what a text means: in whatever spelling a gateway
//! echoes them, none comes out, and nothing else is lost.
//!
//! What is shown is read by a decoder of its own, which knows nothing of how
//! the library looks for secrets.

use kotak_neo::raw;
use serde_json::{Value, json};

use crate::support::Dice;

/// Ways to write a text within another one.
#[derive(Clone, Copy, Debug)]
enum Way {
    Json,
    Percent,
    Html,
    /// Each character in another way.
    Mixed,
}

const WAYS: [Way; 4] = [Way::Json, Way::Percent, Way::Html, Way::Mixed];

impl Way {
    /// Whether the text would mean something else if the character stood for
    /// itself.
    fn must(self, c: char) -> bool {
        match self {
            Self::Json => matches!(c, '"' | '\\') || c.is_control(),
            Self::Percent => !(c.is_ascii_alphanumeric() || "-_.~".contains(c)),
            Self::Html => matches!(c, '&' | '<' | '>' | '"' | '\''),
            Self::Mixed => "\"\\%&<>+' =".contains(c) || c.is_control(),
        }
    }

    fn spell(self, c: char, dice: &mut Dice, out: &mut String) {
        let upper = dice.roll(2) == 0;
        let hex = |number: u32, width: usize| match upper {
            true => format!("{number:0width$X}"),
            false => format!("{number:0width$x}"),
        };
        match self {
            Self::Json => {
                let short = match c {
                    '"' | '\\' | '/' => Some(c),
                    '\n' => Some('n'),
                    '\t' => Some('t'),
                    '\r' => Some('r'),
                    _ => None,
                };
                match short.filter(|_| dice.roll(2) == 0) {
                    Some(short) => out.extend(['\\', short]),
                    None => {
                        for unit in c.encode_utf16(&mut [0; 2]) {
                            *out += &format!("\\u{}", hex((*unit).into(), 4));
                        }
                    }
                }
            }
            Self::Percent => {
                for byte in c.to_string().bytes() {
                    *out += &format!("%{}", hex(byte.into(), 2));
                }
            }
            Self::Html => {
                let name = match c {
                    '&' => "amp",
                    '<' => "lt",
                    '>' => "gt",
                    '"' => "quot",
                    'é' => "eacute",
                    _ => "",
                };
                match (name, dice.roll(3)) {
                    ("", 0) | (_, 1) => *out += &format!("&#{};", u32::from(c)),
                    ("", _) | (_, 2) => *out += &format!("&#x{};", hex(c.into(), 2)),
                    (name, _) => *out += &format!("&{name};"),
                }
            }
            Self::Mixed => {
                let way = WAYS[dice.below(3)];
                way.spell(c, dice, out);
            }
        }
    }

    /// The text in this way; `share` of ten of what need not be spelled is.
    fn write(self, text: &str, share: u64, dice: &mut Dice) -> String {
        let mut out = String::new();
        for c in text.chars() {
            match self.must(c) || dice.roll(10) < share {
                true => self.spell(c, dice, &mut out),
                false => out.push(c),
            }
        }
        out
    }
}

/// The text within others, up to three deep.
fn nested(text: &str, dice: &mut Dice) -> String {
    let mut text = text.to_owned();
    for _ in 0..dice.roll(4) {
        let share = *dice.pick(&[0, 0, 2, 10]);
        text = dice.pick(&WAYS).write(&text, share, dice);
    }
    text
}

/// The same as programs do it, which spell a character in one way; or within
/// one other, however that is spelled.
fn usually_nested(text: &str, dice: &mut Dice) -> String {
    if dice.roll(2) == 0 {
        let share = dice.roll(11);
        let way = *dice.pick(&WAYS);
        return way.write(text, share, dice);
    }
    let mut text = text.to_owned();
    for _ in 0..dice.roll(4) {
        text = match dice.roll(4) {
            0 => {
                let quoted = Value::from(text).to_string();
                quoted[1..quoted.len() - 1].to_owned()
            }
            1 => text
                .replace('\\', "\\\\")
                .replace('"', "\\u0022")
                .replace('&', "\\u0026"),
            2 => form_urlencoded(&text),
            _ => {
                let plain = [
                    ('&', "&amp;"),
                    ('<', "&lt;"),
                    ('>', "&gt;"),
                    ('"', "&quot;"),
                ];
                plain
                    .iter()
                    .fold(text, |text, (c, name)| text.replace(*c, name))
            }
        };
    }
    text
}

fn form_urlencoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            byte if is_plain(byte) => out.push(byte.into()),
            byte => out += &format!("%{byte:02X}"),
        }
    }
    out
}

fn marks(text: &str) -> usize {
    let plain = readings(text).pop().expect("one");
    plain.matches("<mark1>").count() + plain.matches("<mark2>").count()
}

/// Undoes one layer of every spelling, in a pass for each.
fn decoded(text: &str, way: Way) -> String {
    let bytes = text.as_bytes();
    let mut out: Vec<u8> = Vec::new();
    let mut at = 0;
    let hex = |from: usize, count: usize| {
        let digits = text.get(from..from + count)?;
        let all = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        all.then(|| u32::from_str_radix(digits, 16).ok())?
    };
    let unit = |at: usize| text[at..].starts_with("\\u").then(|| hex(at + 2, 4))?;
    while at < bytes.len() {
        let mut taken = 1;
        let mut meant = vec![bytes[at]];
        match (way, bytes[at]) {
            (Way::Json, b'\\') => {
                let first = unit(at);
                let second = first.and_then(|_| unit(at + 6));
                let pair: Vec<u16> = [first, second]
                    .iter()
                    .flatten()
                    .map(|n| *n as u16)
                    .collect();
                let units = char::decode_utf16(pair.iter().copied()).next();
                if let Some(Ok(c)) = units {
                    taken = 6 * c.len_utf16();
                    meant = c.to_string().into_bytes();
                } else if let Some(next @ (b'"' | b'\\' | b'/')) = bytes.get(at + 1) {
                    (taken, meant) = (2, vec![*next]);
                } else if let Some(letter @ (b'n' | b't' | b'r')) = bytes.get(at + 1) {
                    let plain = [b'\n', b'\t', b'\r']
                        [b"ntr".iter().position(|l| l == letter).expect("one")];
                    (taken, meant) = (2, vec![plain]);
                }
            }
            (Way::Percent, b'%') => {
                if let Some(byte) = hex(at + 1, 2) {
                    (taken, meant) = (3, vec![byte as u8]);
                }
            }
            (Way::Html, b'&') => {
                let name = text[at + 1..].split(';').next().unwrap_or("");
                let code = match name {
                    "amp" => Some(38),
                    "lt" => Some(60),
                    "gt" => Some(62),
                    "quot" => Some(34),
                    "eacute" => Some(233),
                    _ => name
                        .strip_prefix('#')
                        .and_then(|number| match number.strip_prefix('x') {
                            Some(digits) => u32::from_str_radix(digits, 16).ok(),
                            None => number.parse().ok(),
                        }),
                };
                if let Some(c) = code.and_then(char::from_u32) {
                    (taken, meant) = (name.len() + 2, c.to_string().into_bytes());
                }
            }
            _ => {}
        }
        out.extend(meant);
        at += taken;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The text, and what is left of it after each undoing, until none is left.
fn readings(text: &str) -> Vec<String> {
    let mut all = vec![text.to_owned()];
    loop {
        let before = all.last().expect("one").clone();
        for way in [Way::Json, Way::Percent, Way::Html] {
            let next = decoded(all.last().expect("one"), way);
            all.push(next);
        }
        if all.last() == Some(&before) {
            return all;
        }
    }
}

/// Whether a reader of the text finds the secret.
fn shows(text: &str, secret: &str) -> bool {
    let plain = readings(secret).pop().expect("one");
    let all = readings(text);
    all.iter().any(|one| one.contains(secret)) || all.last().expect("one").contains(&plain)
}

const ALPHABET: &[char] = &[
    'a', 'b', 'c', 'f', 'k', 'n', 'r', 't', 'u', 'x', 'z', 'A', 'E', 'J', 'Q', '0', '1', '2', '3',
    '6', '7', '9', '+', '/', '=', '&', '"', '\\', '<', '>', '%', ';', '#', ':', ',', '-', '_', '.',
    '~', '{', '}', '[', ']', ' ', '\'', 'é', 'ß', '₹', '😀',
];

fn secret(dice: &mut Dice) -> String {
    let length = 6 + dice.below(24);
    let inner: String = (0..length).map(|_| *dice.pick(ALPHABET)).collect();
    // Nothing that stands before or behind it can belong to it.
    format!("Z{inner}Q")
}

/// Texts around a secret, with marks that have to stay.
fn framed(secret: &str, dice: &mut Dice) -> String {
    let quoted = Value::from(secret).to_string();
    let form = Way::Percent.write(secret, 0, dice);
    let page = Way::Html.write(secret, 0, dice);
    match dice.roll(8) {
        0 => format!(r#"{{"first":"<mark1>","echo":{quoted},"last":"<mark2>"}}"#),
        1 => format!(r#"{{"first":"<mark1>","list":[1,{quoted}],"last":"<mark2>"}}"#),
        2 => format!("X-First: <mark1>\r\nX-Echo: {secret}\r\nX-Last: <mark2>\r\n"),
        3 => format!("<html><b><mark1></b><pre>{page}</pre><i><mark2></i></html>"),
        4 => format!("first=<mark1>&echo={form}&last=<mark2>"),
        5 => format!("the gateway <mark1> said ({secret}) to <mark2>"),
        6 => {
            let inner = json!({"echo": secret}).to_string();
            json!({"first": "<mark1>", "echo": inner, "last": "<mark2>"}).to_string()
        }
        _ => {
            let mixed = Way::Mixed.write(secret, 5, dice);
            format!("<mark1>|{mixed}|<mark2>")
        }
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

#[test]
fn no_spelling_of_a_secret_comes_through() {
    let mut dice = Dice::new(20_261_128);
    let mut seen = 0;
    const CASES: usize = 12_000;
    for case in 0..CASES {
        let secret = secret(&mut dice);
        let text = nested(&framed(&secret, &mut dice), &mut dice);
        seen += usize::from(shows(&text, &secret));
        let shown = raw::masked(&text, &[&secret, "fake-other-0001"]);
        let told = format!("case {case}\nsecret {secret}\ntext   {text}\nshown  {shown}");
        assert!(!shows(&shown, &secret), "{told}");
        assert_eq!(marks(&shown), marks(&text), "{told}");
        if is_json(&text) {
            assert!(is_json(&shown), "{told}");
        }
        // What is masked stays as it is.
        assert_eq!(raw::masked(&shown, &[&secret]), shown, "{told}");
    }
    assert!(seen > CASES * 9 / 10, "the reader found only {seen}");
}

#[test]
fn a_text_without_a_secret_stays_as_it_is() {
    let mut dice = Dice::new(7);
    for case in 0..8_000 {
        let (one, other) = (secret(&mut dice), secret(&mut dice));
        let text = nested(&framed(&one, &mut dice), &mut dice);
        // The beginning of a secret at the end of a text is masked as well.
        let shown = raw::masked(&text, &[&other, "fake-known-0001"]);
        assert_eq!(shown, text, "case {case}");
    }
}

#[test]
fn a_key_hides_its_value_in_every_spelling() {
    let mut dice = Dice::new(11);
    const KEYS: [&str; 8] = [
        "token",
        "sid",
        "Authorization",
        "access_token",
        "mpin",
        "rid",
        "X-Api-Key",
        "Set-Cookie",
    ];
    let mut seen = 0;
    const CASES: usize = 8_000;
    for case in 0..CASES {
        let key = *dice.pick(&KEYS);
        // Nobody knows it; it has what values of such keys have.
        let value: String = (0..20)
            .map(|_| *dice.pick(&['a', 'Z', '7', '+', '/', '-', '_', '.']))
            .collect();
        let value = format!("Z1{value}Q");
        let text = match dice.roll(4) {
            0 => json!({"first": "<mark1>", "inner": {(key): value}, "last": "<mark2>"}).to_string(),
            1 => format!("first=<mark1>&{key}={}&last=<mark2>", Way::Percent.write(&value, 0, &mut dice)),
            2 => format!("X-First: <mark1>\r\n{key}: {value}\r\nX-Last: <mark2>\r\n"),
            _ => json!({"first": "<mark1>", "inner": json!({(key): value}).to_string(), "last": "<mark2>"}).to_string(),
        };
        let text = usually_nested(&text, &mut dice);
        seen += usize::from(shows(&text, &value));
        let shown = raw::masked(&text, &[]);
        let told = format!(
            "case {case}\nvalue {value}\ntext  {text}\nshown {shown}\nmeans {:?}",
            readings(&text).last()
        );
        assert!(!shows(&shown, &value), "{told}");
        assert_eq!(marks(&shown), 2, "{told}");
    }
    assert!(seen > CASES * 9 / 10, "the reader found only {seen}");
}
