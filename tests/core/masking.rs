//! Secrets are masked by what a text means: in whatever spelling a gateway
//! echoes them, none comes out, and nothing else is lost.
//!
//! What is shown is read by a decoder of its own, which knows nothing of how
//! the library looks for secrets.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use kotak_neo::raw::{self, MarketFeed, OrderFeed};
use kotak_neo::{Client, Error, Reply};
use serde_json::{Value, json};

use crate::support::{Dice, client, log_in, sandbox};

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
        let way = *dice.pick(&WAYS[..3]);
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
    const CASES: usize = 10_000;
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
        assert!(!is_json(&text) || is_json(&shown), "{told}");
        assert_eq!(marks(&shown), 2, "{told}");
    }
    assert!(seen > CASES * 9 / 10, "the reader found only {seen}");
}

const TOKEN: &str = "fake+token/0001==&<é>";
const SID: &str = "fake sid\"\\0001";

fn events(feed: &OrderFeed) -> Vec<String> {
    let next = || feed.feed.next(Duration::ZERO).ok();
    std::iter::from_fn(next)
        .map(|reply| reply.json().to_owned())
        .collect()
}

#[test]
fn order_events_show_no_secret_that_a_row_quotes() {
    let mut dice = Dice::new(3);
    for case in 0..300 {
        let mut feed = OrderFeed::new(100, TOKEN, SID).expect("good options");
        let mut quote = || {
            let secret = *dice.pick(&[TOKEN, SID]);
            let share = dice.roll(11);
            dice.pick(&WAYS).write(secret, share, &mut Dice::new(case))
        };
        let number = case.to_string();
        let row = json!({"nOrdNo": number, "ordSt": format!("open {}", quote()), "qty": 5, "rejRsn": quote(),
            "Authorization": "fake-unknown-1", "trdSym": "<mark1>"});
        let trade = json!({"nOrdNo": number, "flId": "1", "fldQty": 5, "text": quote(), "trdSym": "<mark1>"});
        let said =
            json!({"type": "note", "text": quote(), "sid": "fake-unknown-2", "trdSym": "<mark1>"});
        let mut told = vec![
            feed.text(&json!({"type": "order", "data": row}).to_string()),
            feed.text(&json!({"type": "position", "data": row}).to_string()),
            feed.text(&said.to_string()),
            feed.text(
                &json!({"type": "cn", "ak": "nk", "msg": format!("<mark1> {}", quote())})
                    .to_string(),
            ),
        ];
        let book = |row: &Value| json!({"stat": "Ok", "data": [row]}).to_string();
        feed.books(&book(&row), &book(&trade))
            .expect("they are books");
        let events = events(&feed);
        assert_eq!(
            events.len(),
            5,
            "order, position, note, trade, books: {events:?}"
        );
        told.extend(events.into_iter().map(Some));
        for text in told.into_iter().flatten() {
            for secret in [TOKEN, SID, "fake-unknown-1", "fake-unknown-2"] {
                assert!(!shows(&text, secret), "case {case}: {text}");
            }
            assert!(marks(&text) == 1 || text.contains("\"books\""), "{text}");
        }
    }
}

#[test]
fn a_reason_is_masked_before_it_is_cut() {
    let mut feed = MarketFeed::new(None).expect("good options");
    let padding = "x".repeat(190);
    for spelled in ["fake-sid-0000", "fake%2Dsid%2D0000", "&#102;ake-sid-0000"] {
        let words = format!("{padding} {spelled}");
        let refused = json!({"message_code": 1120, "description": words}).to_string();
        let why = feed.text(&refused).expect_err("it is refused");
        assert!(why.contains("x ***") && !why.contains("ake"), "{why}");
        let not_taken = json!({"message_code": 1109, "error_code": 7, "description": words});
        feed.text(&not_taken.to_string())
            .expect("the connection goes on");
        let status = feed.feed.status().expect("it is open");
        assert!(
            status.json().contains("x ***") && !status.json().contains("ake-"),
            "{}",
            status.json()
        );
    }
    let symbols = json!({"message_code": 1109, "error_code": 0,
        "trading_symbols": {"nse_cm|1": "S fake-sid-0000"}});
    feed.text(&symbols.to_string())
        .expect("it is an acknowledgement");
}

/// Everything of a call that somebody may show.
fn shown(result: &Result<Reply, Error>) -> String {
    match result {
        Ok(reply) => format!("{} {} {reply:?}", reply.redacted(), reply.meta()),
        Err(error) => format!("{} {} {error} {error:?}", error.to_json(), error.meta()),
    }
}

/// A gateway that quotes the whole request, and its own cookie, each time in
/// another spelling.
fn echoing_gateway() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    thread::spawn(move || {
        let mut dice = Dice::new(5);
        for count in 0.. {
            let Ok((mut stream, _)) = listener.accept() else {
                return;
            };
            let mut request = Vec::new();
            let mut piece = [0; 16 * 1024];
            // All bodies here end with the brace of an object.
            while !request.ends_with(b"}") {
                match stream.read(&mut piece) {
                    Ok(0) | Err(_) => break,
                    Ok(length) => request.extend_from_slice(&piece[..length]),
                }
            }
            let cookie = "x=fake+cookie/0001==; Path=/; HttpOnly";
            let quoted = format!(
                "{}\r\nSet-Cookie: {cookie}",
                String::from_utf8_lossy(&request)
            );
            let share = dice.roll(11);
            let way = *dice.pick(&WAYS);
            let spelled = way.write(&quoted, share, &mut dice);
            let (status, page) = match count % 4 {
                0 => (
                    200,
                    json!({"stat": "Not_Ok", "emsg": spelled, "stCode": 1002}).to_string(),
                ),
                1 => (401, format!("<html><pre>{spelled}</pre></html>")),
                2 => (503, spelled),
                _ => (
                    400,
                    json!({"error": {"message": spelled, "code": "x", "echo": quoted}}).to_string(),
                ),
            };
            let head = format!(
                "HTTP/1.1 {status} x\r\nconnection: close\r\nset-cookie: {cookie}\r\ncontent-length: {}\r\n\r\n",
                page.len()
            );
            let sent = stream
                .write_all(head.as_bytes())
                .and_then(|()| stream.write_all(page.as_bytes()));
            sent.expect("the library reads");
        }
    });
    url
}

#[test]
fn a_gateway_that_echoes_in_any_spelling_gives_nothing_away() {
    let log = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("masking-{}.log", std::process::id()));
    let config = json!({
        "base_url": echoing_gateway(),
        "consumer_key": "fake&key=0001",
        "consumer_secret": "fake\"secret\\0001",
        "log": {"level": "trace", "file": log},
    });
    let key_only = Client::open(Some(&config.to_string())).expect("valid");
    let mut with_token = config;
    with_token["access_token"] = json!("fake+access/token==");
    let with_token = Client::open(Some(&with_token.to_string())).expect("valid");
    let mut texts = String::new();
    for _ in 0..30 {
        for result in [
            key_only.totp_login("9999999999", "TEST1", "135790"),
            with_token.login(Some("9999999999"), None, None, "fake <pass> & \"word\\é"),
            key_only.session_init(),
        ] {
            assert!(result.is_err(), "nobody is let in");
            texts += &format!("{}\n", shown(&result));
        }
    }
    let log = {
        let text = std::fs::read_to_string(&log).expect("the log was written");
        std::fs::remove_file(&log).expect("it is there");
        text
    };
    let basic = base64(b"fake&key=0001:fake\"secret\\0001");
    for line in texts.lines().chain(log.lines()) {
        for secret in [
            "fake&key=0001",
            "fake\"secret\\0001",
            "135790",
            "fake <pass> & \"word\\é",
            "fake+access/token==",
            "fake+cookie/0001==",
            basic.as_str(),
        ] {
            assert!(!shows(line, secret), "{secret} stands in {line}");
        }
    }
    assert!(texts.matches("***").count() > 90 && log.matches("***").count() > 30);
}

fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let number = three
            .iter()
            .fold(0_u32, |number, byte| number << 8 | u32::from(*byte))
            << (8 * (3 - three.len()));
        for at in 0..4 {
            let sign = SIGNS[(number >> (18 - 6 * at) & 63) as usize];
            out.push(if at > three.len() { '=' } else { sign.into() });
        }
    }
    out
}

#[test]
fn the_redacted_form_of_a_good_answer_shows_no_secret_either() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    log_in(&sandbox, &client).expect("both steps are right");
    let token = {
        let all = sandbox.requests();
        let key = all
            .iter()
            .find_map(|request| request.header("authorization").map(str::to_owned));
        key.expect("the consumer key was sent")
    };
    let mut dice = Dice::new(9);
    for _ in 0..20 {
        let share = dice.roll(11);
        let way = *dice.pick(&WAYS);
        let spelled = way.write(&token, share, &mut dice);
        let body = json!({"stat": "Ok", "stCode": 200, "data": [{"trdSym": "<mark1>", "remark": spelled}]});
        crate::support::fault(
            &sandbox,
            "",
            crate::support::answer(200, "application/json", &body.to_string()),
        );
        let reply = client.positions().expect("a list of positions");
        assert!(
            shows(reply.json(), &token),
            "it is the broker's, byte for byte"
        );
        assert!(!shows(&reply.redacted(), &token), "{}", reply.redacted());
        assert_eq!(marks(&reply.redacted()), 1);
    }
}
