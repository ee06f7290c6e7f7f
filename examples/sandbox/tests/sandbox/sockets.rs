//! The two WebSockets, over a plain client.

use std::collections::HashMap;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use kotak_neo_sandbox::{
    Acks, Feed, FeedRate, Handshake, LoginManner, OrderFeed, Refusal, Sandbox, Silence, Socket,
    Strike, Switches,
};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use crate::client::{self, Ask};
use crate::fixtures::sample;
use crate::trader::Trader;
use crate::v3;

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
const IDEA: &str = "nse_cm|14366";
const FENCE: &str = "the end of what came before";
const BOTH: [Socket; 2] = [Socket::Feed, Socket::OrderFeed];

fn path(socket: Socket) -> &'static str {
    match socket {
        Socket::Feed => "/apifeed",
        Socket::OrderFeed => "/realtime",
    }
}

/// The client's end of a socket.
struct Wire {
    socket: Socket,
    stream: WebSocket<TcpStream>,
}

/// How a socket ended.
#[derive(Debug, PartialEq)]
enum End {
    Closed(u16, String),
    /// Without a close frame.
    Lost,
}

impl Wire {
    fn open(sandbox: &Sandbox, socket: Socket) -> Self {
        Self::open_at(sandbox, socket, path(socket))
    }

    fn open_at(sandbox: &Sandbox, socket: Socket, path: &str) -> Self {
        let stream = TcpStream::connect(client::address(sandbox)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let url = format!("{}{path}", sandbox.url().replace("http", "ws"));
        let (stream, _) = tungstenite::client(url, stream).unwrap();
        Self { socket, stream }
    }

    /// A price feed that is logged in.
    fn prices(sandbox: &Sandbox) -> Self {
        let mut wire = Self::open(sandbox, Socket::Feed);
        wire.send(&feed_login(sandbox, &session(sandbox).1));
        assert_eq!(wire.json()["message_code"], 1117);
        wire
    }

    /// An order feed that is logged in.
    fn orders(sandbox: &Sandbox) -> Self {
        let mut wire = Self::open(sandbox, Socket::OrderFeed);
        let (token, sid) = session(sandbox);
        wire.send(&raw_login(&token, &sid));
        assert_eq!(wire.json()["ak"], "ok");
        wire
    }

    fn logged_in(sandbox: &Sandbox, socket: Socket) -> Self {
        match socket {
            Socket::Feed => Self::prices(sandbox),
            Socket::OrderFeed => Self::orders(sandbox),
        }
    }

    fn send(&mut self, text: &str) {
        self.stream.send(Message::text(text)).unwrap();
    }

    fn ask(&mut self, event: &str, tokens: &str) {
        let ask = json!({"event": event, "inputtoken": tokens, "ack_symbol": true});
        self.send(&ask.to_string());
    }

    /// The next message, or how the socket ended.
    fn next(&mut self) -> Result<Message, End> {
        match self.stream.read() {
            Ok(Message::Close(frame)) => {
                let frame = frame.expect("a close has a code");
                Err(End::Closed(frame.code.into(), frame.reason.to_string()))
            }
            Ok(message) => Ok(message),
            Err(tungstenite::Error::Io(error)) => {
                assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "nothing came");
                Err(End::Lost)
            }
            Err(_) => Err(End::Lost),
        }
    }

    fn text(&mut self) -> String {
        match self.next() {
            Ok(Message::Text(text)) => text.to_string(),
            other => panic!("a text was expected: {other:?}"),
        }
    }

    fn json(&mut self) -> Value {
        let text = self.text();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    fn frame(&mut self) -> Vec<u8> {
        match self.next() {
            Ok(Message::Binary(bytes)) => bytes.to_vec(),
            other => panic!("packets were expected: {other:?}"),
        }
    }

    fn end(&mut self) -> End {
        loop {
            if let Err(end) = self.next() {
                return end;
            }
        }
    }

    /// What came before this moment.
    fn so_far(&mut self, sandbox: &Sandbox) -> Vec<Message> {
        sandbox.strike(self.socket, Strike::Text(FENCE.to_owned()));
        let mut all = Vec::new();
        loop {
            match self.next() {
                Ok(Message::Text(text)) if text.as_str() == FENCE => return all,
                Ok(message) => all.push(message),
                Err(end) => panic!("{end:?} after {all:?}"),
            }
        }
    }

    /// The packets that came before this moment, which must be all that came.
    fn packets(&mut self, sandbox: &Sandbox) -> Vec<Packet> {
        let all = self.so_far(sandbox).into_iter();
        let frames = all.map(|message| match message {
            Message::Binary(bytes) => split(&bytes),
            other => panic!("packets were expected: {other:?}"),
        });
        frames.flatten().collect()
    }

    /// The texts of orders and positions that came before this moment.
    fn news(&mut self, sandbox: &Sandbox) -> Vec<Value> {
        let all = self.so_far(sandbox).into_iter();
        all.map(|message| serde_json::from_str(message.to_text().unwrap()).unwrap())
            .collect()
    }
}

/// The token and session id of a fresh session.
fn session(sandbox: &Sandbox) -> (String, String) {
    let trade = v3::trade(sandbox);
    let of = |key: &str| trade["data"][key].as_str().unwrap().to_owned();
    (of("token"), of("sid"))
}

/// The documented login of the price feed.
fn feed_login(sandbox: &Sandbox, sid: &str) -> String {
    changed_login(sandbox, sid, "platform", "Web")
}

fn changed_login(sandbox: &Sandbox, sid: &str, key: &str, value: &str) -> String {
    let mut login = sample("feed_auth.request.json");
    login["user"] = json!(sandbox.credentials().ucc);
    login["auth"] = json!(sid);
    login[key] = json!(value);
    login.to_string()
}

fn raw_login(token: &str, sid: &str) -> String {
    format!("{{type:cn,Authorization:{token},Sid:{sid},src:WEB}}")
}

fn json_login(token: &str, sid: &str) -> String {
    json!({"type": "cn", "Authorization": token, "Sid": sid, "src": "WEB"}).to_string()
}

/// Waits until the sandbox has taken so many texts.
fn heard(sandbox: &Sandbox, count: usize) {
    let end = Instant::now() + PATIENCE;
    while sandbox.socket_messages().len() < count {
        assert!(Instant::now() < end, "{:?}", sandbox.socket_messages());
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn live(sandbox: &Sandbox, socket: Socket, count: u64) {
    let end = Instant::now() + PATIENCE;
    while sandbox.live_sockets(socket) != count {
        assert!(Instant::now() < end, "{}", sandbox.live_sockets(socket));
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What the tests look at in a packet.
#[derive(Clone, Debug, PartialEq)]
struct Packet {
    code: u16,
    exchange: u8,
    level: u8,
    auction: u8,
    bytes: Vec<u8>,
}

impl Packet {
    fn token(&self) -> u32 {
        self.u32(9)
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().unwrap())
    }

    fn status(&self) -> u16 {
        assert_eq!(self.code, 105);
        u16::from_le_bytes(self.bytes[9..11].try_into().unwrap())
    }

    /// The bytes without the number in the socket's sequence.
    fn content(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes[7] = 0;
        bytes
    }
}

/// The packets of a frame, whose lengths must add up.
fn split(mut frame: &[u8]) -> Vec<Packet> {
    let mut all = Vec::new();
    while !frame.is_empty() {
        let length = usize::from(u16::from_le_bytes([frame[0], frame[1]]));
        let (packet, rest) = frame.split_at(length);
        all.push(Packet {
            code: u16::from_le_bytes([packet[2], packet[3]]),
            exchange: packet[4],
            level: packet[5],
            auction: packet[6],
            bytes: packet.to_vec(),
        });
        frame = rest;
    }
    all
}

fn keys(value: &Value) -> Vec<&String> {
    let mut keys: Vec<_> = value.as_object().unwrap().keys().collect();
    keys.sort();
    keys
}

fn idea(sandbox: &Sandbox, price: &str) {
    sandbox.set_price("nse_cm", "IDEA-EQ", price);
}

fn switch(sandbox: &Sandbox, change: impl FnOnce(&mut Switches)) {
    let mut switches = sandbox.switches();
    change(&mut switches);
    sandbox.set_switches(switches);
}

#[test]
fn prices_are_for_those_who_log_in_rightly() {
    let sandbox = v3::start();
    let (token, sid) = session(&sandbox);
    for path in ["/apifeed", "/ufeed"] {
        let mut wire = Wire::open_at(&sandbox, Socket::Feed, path);
        wire.send(&feed_login(&sandbox, &sid));
        let answer = wire.json();
        assert_eq!(keys(&answer), keys(&sample("feed_auth.1117.json")));
        assert_eq!(answer["exchanges"]["cde_fo"]["divider"], 10_000_000);
        live(&sandbox, Socket::Feed, 1);
        drop(wire);
        live(&sandbox, Socket::Feed, 0);
    }
    let view = v3::view(&sandbox);
    let view = view["data"]["sid"].as_str().unwrap();
    for wrong in [
        feed_login(&sandbox, view),
        feed_login(&sandbox, &token),
        changed_login(&sandbox, &sid, "user", "NOBODY"),
        changed_login(&sandbox, &sid, "format", "json"),
        changed_login(&sandbox, &sid, "source", "ME"),
        json!({"event": "subscribeScrips", "inputtoken": IDEA}).to_string(),
        "hello".to_owned(),
    ] {
        let mut wire = Wire::open(&sandbox, Socket::Feed);
        wire.send(&wrong);
        let answer = wire.json();
        assert_eq!(answer["message_code"], 1120, "{wrong}");
        assert_eq!(keys(&answer), keys(&sample("feed_auth.1120.json")));
        assert_eq!(wire.end(), End::Closed(1000, String::new()), "{wrong}");
    }
    assert_eq!(sandbox.live_sockets(Socket::Feed), 0);
    assert!(sandbox.requests().iter().all(|request| request.known_route));
}

#[test]
fn orders_are_for_those_who_log_in_rightly() {
    let accepted = sample("orderfeed_ack.ok.json");
    let refused = sample("orderfeed_ack.error-auth.json");
    let connection = sample("orderfeed_ack.error-failed-to-connect.json");
    let unreadable = sample("orderfeed_ack.error-format.json");
    let sandbox = v3::start();
    let (token, sid) = session(&sandbox);
    let (raw, json) = (raw_login(&token, &sid), json_login(&token, &sid));
    for (handshake, of_raw, of_json) in [
        (Handshake::Both, &accepted, &accepted),
        (Handshake::Raw, &accepted, &unreadable),
        (Handshake::Json, &unreadable, &accepted),
    ] {
        sandbox.set_order_feed(OrderFeed {
            handshake,
            ..OrderFeed::default()
        });
        for (login, expected) in [(&raw, of_raw), (&json, of_json)] {
            for path in ["/realtime", "/uinteractive"] {
                let mut wire = Wire::open_at(&sandbox, Socket::OrderFeed, path);
                wire.send(login);
                assert_eq!(wire.json(), *expected, "{handshake:?} {login}");
                live(
                    &sandbox,
                    Socket::OrderFeed,
                    u64::from(*expected == accepted),
                );
                // It takes nothing more, as was seen of heartbeats.
                if *expected == accepted {
                    wire.send("{type:hb}");
                    assert_eq!(wire.json(), unreadable);
                }
                drop(wire);
                live(&sandbox, Socket::OrderFeed, 0);
            }
        }
    }
    sandbox.set_order_feed(OrderFeed::default());
    let view = v3::view(&sandbox);
    let view = |key: &str| view["data"][key].as_str().unwrap().to_owned();
    let spaced = raw.replace(',', ", ");
    for (login, expected) in [
        (raw_login(&token, "nobody"), &refused),
        (raw_login("nothing", &sid), &refused),
        (raw_login(&view("token"), &view("sid")), &refused),
        (json_login(&token, "nobody"), &refused),
        (spaced, &unreadable),
        ("{type:cn}".to_owned(), &unreadable),
        (String::new(), &unreadable),
    ] {
        let mut wire = Wire::open(&sandbox, Socket::OrderFeed);
        wire.send(&login);
        assert_eq!(wire.json(), *expected, "{login}");
        // The socket stays open, and another try is good.
        wire.send(&raw);
        assert_eq!(wire.json(), accepted);
    }
    for (refusal, login, expected) in [
        (Refusal::Login, LoginManner::Check, &refused),
        (Refusal::Connection, LoginManner::Check, &connection),
        (Refusal::Connection, LoginManner::RefuseOpen, &connection),
        (Refusal::Connection, LoginManner::RefuseClose, &connection),
        (Refusal::Format, LoginManner::Check, &unreadable),
        (Refusal::Format, LoginManner::RefuseClose, &unreadable),
    ] {
        sandbox.set_order_feed(OrderFeed {
            refusal,
            login,
            ..OrderFeed::default()
        });
        let mut wire = Wire::open(&sandbox, Socket::OrderFeed);
        wire.send(&raw_login(&token, "nobody"));
        assert_eq!(wire.json(), *expected, "{refusal:?} {login:?}");
    }
}

#[test]
fn a_socket_begins_with_the_right_request() {
    let sandbox = v3::start();
    for socket in BOTH {
        let plain = Ask::get(path(socket)).reply(&sandbox);
        assert!(plain.status.is_client_error(), "{}", plain.status);
        let upgrade = |version: &str| {
            Ask::get(path(socket))
                .with("connection", "Upgrade")
                .with("upgrade", "websocket")
                .with("sec-websocket-version", version)
        };
        let without_key = upgrade("13").reply(&sandbox);
        assert_eq!(without_key.status, 426);
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        let old = upgrade("8").with("sec-websocket-key", key);
        assert_eq!(old.reply(&sandbox).status, 426);
        let good = upgrade("13").with("sec-websocket-key", key).reply(&sandbox);
        assert_eq!(good.status, 101);
        // From the standard.
        assert_eq!(
            good.headers["sec-websocket-accept"],
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }
}

#[test]
fn every_manner_of_a_login_is_shown() {
    let sandbox = v3::start();
    let (token, sid) = session(&sandbox);
    let login = feed_login(&sandbox, &sid);
    for (manner, codes, closes) in [
        (LoginManner::Check, &[1117][..], false),
        (LoginManner::Initial, &[1119, 1117], false),
        (LoginManner::InitialOnly, &[1119], false),
        (LoginManner::Fallback, &[1117], false),
        (LoginManner::RefuseOpen, &[1120], false),
        (LoginManner::RefuseClose, &[1120], true),
        (LoginManner::InitialThenRefuse, &[1119, 1120], true),
        (LoginManner::Ignore, &[], false),
    ] {
        sandbox.set_feed(Feed {
            login: manner,
            ..sandbox.feed()
        });
        let mut wire = Wire::open(&sandbox, Socket::Feed);
        let before = sandbox.socket_messages().len();
        wire.send(&login);
        for code in codes {
            let answer = wire.json();
            assert_eq!(answer["message_code"], *code, "{manner:?}");
            if *code == 1119 {
                assert_eq!(keys(&answer), keys(&sample("feed_auth.1119.json")));
            }
            if *code == 1117 {
                let fallback = manner == LoginManner::Fallback;
                let format = if fallback {
                    "native_fallback"
                } else {
                    "native_batch"
                };
                assert_eq!(answer["format"], format);
            }
        }
        if closes {
            assert_eq!(wire.end(), End::Closed(1000, String::new()), "{manner:?}");
            continue;
        }
        heard(&sandbox, before + 1);
        assert!(wire.so_far(&sandbox).is_empty(), "{manner:?}");
    }

    for (manner, answer, closes) in [
        (LoginManner::Check, "ok", false),
        (LoginManner::Initial, "ok", false),
        (LoginManner::Fallback, "ok", false),
        (LoginManner::InitialOnly, "", false),
        (LoginManner::RefuseOpen, "nk", false),
        (LoginManner::RefuseClose, "nk", true),
        (LoginManner::InitialThenRefuse, "nk", true),
        (LoginManner::Ignore, "", false),
    ] {
        sandbox.set_order_feed(OrderFeed {
            login: manner,
            ..sandbox.order_feed()
        });
        let mut wire = Wire::open(&sandbox, Socket::OrderFeed);
        let before = sandbox.socket_messages().len();
        wire.send(&raw_login(&token, &sid));
        if !answer.is_empty() {
            assert_eq!(wire.json()["ak"], answer, "{manner:?}");
        }
        if closes {
            assert_eq!(wire.end(), End::Closed(1000, String::new()), "{manner:?}");
            continue;
        }
        heard(&sandbox, before + 1);
        // Served or not, whether it was answered or not.
        let _ = sandbox.place_from_app("nse_cm", "IDEA-EQ", "B", 1, "9.00");
        let served = !matches!(manner, LoginManner::RefuseOpen | LoginManner::Ignore);
        assert_eq!(!wire.news(&sandbox).is_empty(), served, "{manner:?}");
    }
}

#[test]
fn each_kind_comes_in_its_packets() {
    let sandbox = v3::start();
    idea(&sandbox, "9.05");
    let mut wire = Wire::prices(&sandbox);
    for (kind, level, length) in [
        ("ScripsLite", 1, 54),
        ("Scrips", 4, 144 + 2 * 16),
        ("Depth", 8, 144 + 10 * 16),
        ("FullDepth", 16, 144 + 40 * 16),
    ] {
        wire.ask(&format!("subscribe{kind}"), IDEA);
        assert_eq!(wire.json()["trading_symbols"], json!({IDEA: "IDEA-EQ"}));
        let ltp_at = if level == 1 { 21 } else { 69 };
        // The value of now, and every change.
        for (price, raw) in [("", 905), ("9.10", 910), ("9.05", 905)] {
            if !price.is_empty() {
                idea(&sandbox, price);
            }
            let packets = wire.packets(&sandbox);
            let [packet] = &packets[..] else {
                panic!("{kind}: {packets:?}");
            };
            assert_eq!(
                (packet.code, packet.level, packet.exchange),
                (7208, level, 1)
            );
            assert_eq!(
                (packet.bytes.len(), packet.token()),
                (length, 14_366),
                "{kind}"
            );
            assert_eq!((packet.u32(ltp_at), packet.auction), (raw, 0), "{kind}");
        }
        // Another instrument is none of its business.
        sandbox.set_price("nse_cm", "TCS-EQ", "2100.00");
        assert_eq!(wire.packets(&sandbox), []);
        wire.send(&json!({"event": format!("unsubscribe{kind}"), "inputtoken": IDEA}).to_string());
        wire.ask("snapshotScripsLite", IDEA);
        wire.json();
        assert_eq!(wire.packets(&sandbox).len(), 1);
        idea(&sandbox, "9.20");
        assert_eq!(wire.packets(&sandbox), [], "{kind}");
        idea(&sandbox, "9.05");
    }
    // An index by name and by number; it has no trading symbol but its name.
    for (token, number) in [("nse_cm|Nifty 50", 26_000), ("nse_cm|26009", 26_009)] {
        wire.ask("subscribeIndices", token);
        let symbols = wire.json()["trading_symbols"].clone();
        assert!(
            symbols[token].as_str().unwrap().starts_with("Nifty"),
            "{symbols}"
        );
        let packets = wire.packets(&sandbox);
        assert_eq!((packets[0].code, packets[0].bytes.len()), (7207, 87));
        assert_eq!(packets[0].token(), number);
    }
    // What no packet is for: a share as an index, an index as a share, unknown ones.
    for (event, token) in [
        ("subscribeIndices", IDEA),
        ("subscribeScrips", "nse_cm|Nifty 50"),
        ("subscribeScrips", "nse_cm|999999999"),
        ("subscribeScrips", "moon|1"),
        ("subscribeScrips", ""),
    ] {
        wire.ask(event, token);
        assert_eq!(wire.json()["trading_symbols"], json!({}), "{event} {token}");
        assert_eq!(wire.packets(&sandbox), []);
    }
    for (wrong, word) in [
        ("hello", "not JSON"),
        ("{}", "event"),
        (
            r#"{"event":"subscribeMoon","inputtoken":"nse_cm|1"}"#,
            "subscribeMoon",
        ),
        (
            r#"{"event":"snapshotFullDepth","inputtoken":"nse_cm|1"}"#,
            "snapshotFullDepth",
        ),
        (r#"{"event":"subscribeScrips"}"#, "inputtoken"),
    ] {
        wire.send(wrong);
        let answer = wire.json();
        assert_eq!(
            (&answer["message_code"], &answer["error_code"]),
            (&json!(1109), &json!(1))
        );
        assert!(
            answer["description"].as_str().unwrap().contains(word),
            "{answer}"
        );
    }
}

#[test]
fn all_sockets_get_the_same_packets() {
    let sandbox = v3::start();
    let mut wires = [Wire::prices(&sandbox), Wire::prices(&sandbox)];
    for wire in &mut wires {
        wire.ask("subscribeDepth", "nse_cm|14366,nse_cm|2885,cde_fo|30001");
        wire.json();
    }
    for step in 0..4 {
        if step > 0 {
            sandbox.tick(1);
        }
        sandbox.strike(Socket::Feed, Strike::Text(FENCE.to_owned()));
        let [one, other] = wires.each_mut().map(|wire| {
            let mut all = Vec::new();
            loop {
                match wire.next() {
                    Ok(Message::Binary(bytes)) => all.extend(split(&bytes)),
                    Ok(Message::Text(text)) if text.as_str() == FENCE => return all,
                    other => panic!("{other:?}"),
                }
            }
        });
        assert_eq!(one.len(), 3);
        for (one, other) in one.iter().zip(&other) {
            assert_eq!(one.content(), other.content());
        }
    }
}

#[test]
fn acknowledgements_have_the_shape_that_is_asked_for() {
    let sandbox = v3::start();
    let mut wire = Wire::prices(&sandbox);
    for (acks, name) in [
        (Acks::Sdk, "feed_ack_1109.sdk-shape.json"),
        (Acks::BrokerDoc, "feed_ack_1109.broker-doc-shape.json"),
    ] {
        sandbox.set_feed(Feed {
            acks,
            ..sandbox.feed()
        });
        let sample = sample(name);
        let list = sample.get("data").or(sample.get("trading_symbols"));
        let token = keys(list.unwrap())[0].clone();
        wire.ask("subscribeScripsLite", &token);
        let answer = wire.json();
        assert_eq!(answer, sample, "{acks:?}");
        wire.packets(&sandbox);
    }
    // None, by the manner or because none was asked for.
    for (acks, wanted) in [(Acks::None, true), (Acks::Sdk, false)] {
        sandbox.set_feed(Feed {
            acks,
            ..sandbox.feed()
        });
        let ask = json!({"event": "snapshotScrips", "inputtoken": IDEA, "ack_symbol": wanted});
        wire.send(&ask.to_string());
        assert_eq!(split(&wire.frame()).len(), 1, "{acks:?}");
    }
}

#[test]
fn at_most_three_thousand_instruments_are_taken() {
    let sandbox = v3::start();
    let mut wire = Wire::prices(&sandbox);
    // The rule of the tokens of contracts.
    let all: Vec<String> = (0..3_000_u64)
        .map(|index| format!("nse_fo|{}", 30_001 + index * 7_919 % 99_991))
        .collect();
    wire.ask("subscribeScripsLite", &all[..2_900].join(","));
    let answer = wire.json();
    assert_eq!(answer["trading_symbols"].as_object().unwrap().len(), 2_900);
    assert_eq!(wire.packets(&sandbox).len(), 2_900);
    // The same again counts once; another kind counts too.
    wire.ask("subscribeScripsLite", &all[..10].join(","));
    wire.json();
    assert_eq!(wire.packets(&sandbox).len(), 10);
    wire.ask("subscribeDepth", &all[..101].join(","));
    let refused = wire.json();
    assert_eq!(refused["error_code"], 1);
    assert_eq!(refused["description"], "too many tokens");
    assert_eq!(wire.packets(&sandbox), []);
    wire.ask("subscribeDepth", &all[..100].join(","));
    assert!(wire.json().get("error_code").is_none());
    assert_eq!(wire.packets(&sandbox).len(), 100);
    // Snapshots do not count.
    wire.ask("snapshotScrips", &all.join(","));
    assert!(wire.json().get("error_code").is_none());
    assert_eq!(wire.packets(&sandbox).len(), 3_000);

    // A message of more than a mebibyte ends the socket.
    wire.stream
        .send(Message::text("x".repeat((1 << 20) + 1)))
        .unwrap();
    assert_eq!(wire.end(), End::Lost);
}

#[test]
fn frames_hold_as_many_packets_as_they_should() {
    let sandbox = v3::start();
    let mut wire = Wire::prices(&sandbox);
    wire.ask(
        "subscribeScrips",
        "nse_cm|14366,nse_cm|2885,nse_cm|1333,nse_cm|11536",
    );
    wire.json();
    wire.packets(&sandbox);
    for (batch, expected) in [(1, &[1, 1, 1, 1][..]), (3, &[3, 1]), (16, &[4])] {
        sandbox.set_feed(Feed {
            batch,
            ..sandbox.feed()
        });
        sandbox.tick(1);
        let sizes: Vec<usize> = wire
            .so_far(&sandbox)
            .into_iter()
            .map(|message| split(&message.into_data()).len())
            .collect();
        assert_eq!(sizes, expected, "{batch}");
    }
}

#[test]
fn rates_bring_packets_without_a_tick() {
    for rate in [FeedRate::PerSecond(2_000), FeedRate::Flood] {
        let sandbox = v3::start();
        sandbox.set_feed(Feed {
            rate,
            ..sandbox.feed()
        });
        let mut wire = Wire::prices(&sandbox);
        // Nothing is subscribed, so nothing comes.
        assert_eq!(wire.packets(&sandbox), []);
        wire.ask("subscribeScripsLite", "nse_cm|14366,nse_cm|2885");
        wire.json();
        let mut counts: HashMap<u32, u32> = HashMap::new();
        while counts.values().sum::<u32>() < 1_000 {
            for packet in split(&wire.frame()) {
                *counts.entry(packet.token()).or_default() += 1;
            }
        }
        let [one, other] = [14_366, 2_885].map(|token| counts[&token]);
        assert!(one.abs_diff(other) <= 2, "{rate:?}: {counts:?}");
        // And back to the steps of the market.
        sandbox.set_feed(Feed::default());
        wire.packets(&sandbox);
        assert_eq!(wire.packets(&sandbox), [], "{rate:?}");
        sandbox.tick(1);
        assert_eq!(wire.packets(&sandbox).len(), 2, "{rate:?}");
    }
}

#[test]
fn the_states_of_the_exchanges_are_told() {
    let sandbox = v3::start();
    let mut wire = Wire::prices(&sandbox);
    let states = |packets: &[Packet], code: u16| {
        let of_code = packets.iter().filter(|one| one.code == code);
        of_code.map(|one| one.exchange).collect::<Vec<_>>()
    };
    let all = [1, 5, 2, 6, 9, 3, 4];
    wire.send(r#"{"event":"subscribeExchange"}"#);
    let packets = split(&wire.frame());
    assert_eq!(states(&packets, 105), all);
    assert!(
        packets
            .iter()
            .all(|one| one.status() == 1 && one.bytes.len() == 16)
    );

    wire.ask("subscribeScripsLite", "nse_cm|14366,mcx_fo|30001");
    wire.json();
    wire.packets(&sandbox);
    for (open, code, status) in [(false, 6521, 2), (true, 6511, 1)] {
        switch(&sandbox, |all| all.market_open = open);
        let packets = wire.packets(&sandbox);
        // Those that have a subscription, in a header alone; and all to who asked for all.
        assert_eq!(states(&packets, code), [1, 9]);
        assert_eq!(states(&packets, 105), all);
        for packet in &packets {
            match packet.code {
                105 => assert_eq!(packet.status(), status),
                _ => assert_eq!(packet.bytes.len(), 9),
            }
        }
    }
    wire.send(r#"{"event":"unsubscribeExchange"}"#);
    heard(&sandbox, 4);
    switch(&sandbox, |all| all.market_open = false);
    let packets = wire.packets(&sandbox);
    assert_eq!((states(&packets, 6521), packets.len()), (vec![1, 9], 2));
}

#[test]
fn the_closing_auction_brings_reference_prices() {
    let sandbox = v3::start();
    idea(&sandbox, "9.05");
    let mut wire = Wire::prices(&sandbox);
    wire.send(r#"{"event":"subscribeExchange"}"#);
    wire.frame();
    for (kind, tokens) in [
        ("Scrips", "nse_cm|14366,nse_fo|30001"),
        ("Depth", "nse_cm|14366,nse_cm|2885"),
        ("ScripsLite", "nse_cm|1333"),
        ("FullDepth", "nse_cm|1333"),
    ] {
        wire.ask(&format!("subscribe{kind}"), tokens);
        wire.json();
        wire.packets(&sandbox);
    }
    let references = |packets: &[Packet]| -> Vec<(u32, u32)> {
        let cas = packets.iter().filter(|one| one.code == 104);
        cas.map(|one| {
            assert_eq!(one.bytes.len(), 33);
            (one.token(), one.u32(13))
        })
        .collect()
    };
    let statuses = |packets: &[Packet]| -> Vec<(u8, u16)> {
        let status = packets.iter().filter(|one| one.code == 105);
        status.map(|one| (one.exchange, one.status())).collect()
    };
    sandbox.set_price("nse_cm", "RELIANCE-EQ", "1400.00");
    wire.packets(&sandbox);
    switch(&sandbox, |all| all.closing_auction = true);
    let packets = wire.packets(&sandbox);
    assert_eq!(statuses(&packets), [(1, 10), (5, 10)]);
    // Once of each share with a touch line or a depth.
    assert_eq!(references(&packets), [(14_366, 905), (2_885, 140_000)]);
    idea(&sandbox, "9.10");
    let packets = wire.packets(&sandbox);
    assert_eq!(references(&packets), [(14_366, 910)]);
    assert_eq!(packets.len(), 3);
    assert!(packets.iter().all(|one| one.auction == 1));
    // Who comes later is told too.
    wire.send(r#"{"event":"subscribeExchange"}"#);
    let late = statuses(&split(&wire.frame()));
    assert_eq!(
        late,
        [(1, 10), (5, 10), (2, 1), (6, 1), (9, 1), (3, 1), (4, 1)]
    );
    wire.ask("snapshotScrips", "nse_cm|11536");
    wire.json();
    assert_eq!(wire.packets(&sandbox).len(), 2);

    switch(&sandbox, |all| all.closing_auction = false);
    let packets = wire.packets(&sandbox);
    assert_eq!(statuses(&packets), [(1, 12), (5, 12)]);
    assert_eq!(references(&packets), [(14_366, 0), (2_885, 0)]);
    let zeros = packets.iter().filter(|one| one.code == 104);
    assert!(zeros.clone().all(|one| one.bytes[13..] == [0; 20]));
    idea(&sandbox, "9.05");
    let packets = wire.packets(&sandbox);
    assert_eq!(packets.len(), 2);
    assert!(packets.iter().all(|one| one.auction == 0));
}

#[test]
fn silence_is_kept_as_asked() {
    let sandbox = v3::start();
    let silences = |silence: Silence| {
        sandbox.set_feed(Feed {
            silence,
            ..sandbox.feed()
        });
        sandbox.set_order_feed(OrderFeed {
            silence,
            ..sandbox.order_feed()
        });
    };
    for socket in BOTH {
        let mut wire = Wire::logged_in(&sandbox, socket);
        if socket == Socket::Feed {
            wire.ask("subscribeScripsLite", IDEA);
            wire.json();
            wire.packets(&sandbox);
        }
        let something_happens = || {
            sandbox.tick(1);
            let _ = sandbox.place_from_app("nse_cm", "IDEA-EQ", "B", 1, "9.00");
        };
        // Pings are answered, texts are read and not answered, and nothing is told.
        silences(Silence::Mute);
        let before = sandbox.socket_messages().len();
        wire.send("a text");
        heard(&sandbox, before + 1);
        something_happens();
        wire.stream.send(Message::Ping("1".into())).unwrap();
        assert_eq!(wire.next(), Ok(Message::Pong("1".into())), "{socket:?}");
        assert_eq!(wire.so_far(&sandbox), [], "{socket:?}");
        // Nothing at all is read.
        silences(Silence::Hang);
        assert_eq!(wire.so_far(&sandbox), [], "{socket:?}");
        wire.stream.send(Message::Ping("2".into())).unwrap();
        assert_eq!(wire.so_far(&sandbox), [], "{socket:?}");
        // What was missed comes at the end of the silence.
        silences(Silence::None);
        let pong = Message::Pong("2".into());
        let mut missed = Vec::new();
        let end = Instant::now() + PATIENCE;
        while !missed.contains(&pong) || missed.len() < 2 {
            assert!(Instant::now() < end, "{socket:?}: {missed:?}");
            missed.extend(wire.so_far(&sandbox));
        }
    }
}

#[test]
fn a_slow_reader_loses_nothing() {
    let sandbox = v3::start();
    let mut wire = Wire::prices(&sandbox);
    sandbox.set_feed(Feed {
        read_pause_ms: 20,
        ..sandbox.feed()
    });
    let tokens = ["nse_cm|14366", "nse_cm|2885", "nse_cm|1333", "nse_cm|11536"];
    for token in tokens {
        wire.ask("subscribeScripsLite", token);
    }
    let mut acks = Vec::new();
    while acks.len() < tokens.len() {
        if let Ok(Message::Text(text)) = wire.next() {
            let ack: Value = serde_json::from_str(&text).unwrap();
            acks.push(keys(&ack["trading_symbols"])[0].clone());
        }
    }
    assert_eq!(acks, tokens);
}

#[test]
fn strikes_do_what_they_say() {
    let sandbox = v3::start();
    for socket in BOTH {
        let struck = |strike: Strike| {
            let wire = Wire::logged_in(&sandbox, socket);
            sandbox.strike(socket, strike);
            wire
        };
        let reason = "login elsewhere";
        let mut wire = struck(Strike::Close {
            code: 4001,
            reason: reason.to_owned(),
        });
        assert_eq!(wire.end(), End::Closed(4001, reason.to_owned()));
        for strike in [Strike::Drop, Strike::Reset, Strike::CutFrame] {
            let mut wire = struck(strike.clone());
            assert_eq!(wire.end(), End::Lost, "{socket:?} {strike:?}");
        }
        live(&sandbox, socket, 0);

        let next = |strike: Strike| struck(strike).next().unwrap();
        let text = Strike::Text("{no json".to_owned());
        assert_eq!(next(text), Message::text("{no json"));
        let binary = Strike::Binary(vec![0, 255, 7]);
        assert_eq!(next(binary), Message::binary(vec![0, 255, 7]));
        let garbage = next(Strike::Garbage);
        assert_eq!((garbage.is_binary(), garbage.len()), (true, 97));
        let (cut, wrong) = (next(Strike::CutMessage), next(Strike::WrongLength));
        match socket {
            Socket::Feed => {
                let length = |at: usize, bytes: &[u8]| {
                    usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
                };
                let (cut, wrong) = (cut.into_data(), wrong.into_data());
                assert!(length(0, &cut) > cut.len());
                assert_eq!(length(0, &wrong), 65_535);
            }
            Socket::OrderFeed => {
                let cut = cut.into_text().unwrap();
                assert!(serde_json::from_str::<Value>(&cut).is_err());
                assert_eq!(wrong, Message::text(""));
            }
        }
        live(&sandbox, socket, 0);
    }
    // A strike is for one of the two sockets, and after what happened before it.
    let mut wires = BOTH.map(|socket| Wire::logged_in(&sandbox, socket));
    wires[0].ask("subscribeScripsLite", IDEA);
    wires[0].json();
    wires[0].packets(&sandbox);
    sandbox.tick(3);
    sandbox.strike(Socket::Feed, Strike::Drop);
    assert_eq!(split(&wires[0].frame()).len(), 1);
    assert_eq!(wires[0].end(), End::Lost);
    assert_eq!(wires[1].so_far(&sandbox), []);
}

#[test]
#[should_panic(expected = "code 1006 cannot be sent")]
fn a_close_needs_a_code_that_can_be_sent() {
    let reason = String::new();
    v3::start().strike(Socket::Feed, Strike::Close { code: 1006, reason });
}

#[test]
fn sessions_and_connections_end_sockets() {
    let sandbox = v3::start();
    let mut wires = BOTH.map(|socket| Wire::logged_in(&sandbox, socket));
    sandbox.expire_sessions();
    for wire in &mut wires {
        let expired = End::Closed(1008, "session expired".to_owned());
        assert_eq!(wire.end(), expired);
    }
    let mut wires = BOTH.map(|socket| Wire::logged_in(&sandbox, socket));
    sandbox.close_connections();
    for wire in &mut wires {
        assert_eq!(wire.end(), End::Lost);
    }
    for socket in BOTH {
        live(&sandbox, socket, 0);
    }
}

#[test]
fn an_order_is_told_in_each_of_its_states() {
    let trader = Trader::start();
    let sandbox = &trader.sandbox;
    let before = trader.place(&json!({"pr": "9.00"}));
    let mut wire = Wire::orders(sandbox);
    switch(sandbox, |all| all.liquidity = Some(2));
    let number = trader.place(&json!({"pr": "9.30", "qt": "5"}));
    idea(sandbox, "9.20");
    trader
        .modify(&number, &json!({"pr": "9.10", "qt": "4"}))
        .expect(200);
    trader.cancel(&number).expect(200);
    let news = wire.news(sandbox);
    let order = |one: &&Value| one["type"] == "order";
    let states: Vec<&str> = news
        .iter()
        .filter(order)
        .map(|one| one["data"]["ordSt"].as_str().unwrap())
        .collect();
    assert_eq!(states, trader.order(&number).states);
    // What was in the books before is not told again.
    assert!(
        news.iter()
            .all(|one| one["data"]["nOrdNo"] != json!(before))
    );

    // The keys and types of the samples, once the exchange has the order.
    let same = |message: &Value, name: &str| {
        for (key, value) in sample(name)["data"].as_object().unwrap() {
            let there = &message["data"][key];
            let alike =
                there.is_string() == value.is_string() && there.is_number() == value.is_number();
            assert!(alike, "{name} {key}: {message}");
        }
    };
    let filled = news.iter().find(|one| one["data"]["fldQty"] == 2);
    let filled = filled.expect("a part was filled");
    same(filled, "orderfeed_order.complete.json");
    assert_eq!(filled["data"]["avgPrc"], "9.30");
    assert_eq!(filled["data"]["unFldSz"], 3);
    let positions: Vec<&Value> = news
        .iter()
        .filter(|one| one["type"] == "position")
        .collect();
    assert_eq!(positions.len(), 1);
    same(positions[0], "orderfeed_position.json");
    assert_eq!(positions[0]["data"]["flBuyQty"], "2");
    // The fill, then what it makes of the position.
    let place = |wanted: &Value| news.iter().position(|one| one == wanted);
    assert!(place(filled) < place(positions[0]));
    let stamps: Vec<u64> = news
        .iter()
        .filter(order)
        .map(|one| one["data"]["updRecvTm"].as_u64().unwrap())
        .collect();
    assert!(stamps.is_sorted_by(|one, next| one < next), "{stamps:?}");

    let rejected = trader.place(&json!({"pr": "900.00"}));
    let news = wire.news(sandbox);
    let last = &news.last().unwrap()["data"];
    assert_eq!(
        (&last["nOrdNo"], &last["ordSt"]),
        (&json!(rejected), &json!("rejected"))
    );
    assert!(!last["rejRsn"].as_str().unwrap().is_empty());
}

#[test]
fn order_messages_are_doubled_swapped_and_lost() {
    let sandbox = v3::start();
    idea(&sandbox, "9.40");
    let mut wire = Wire::orders(&sandbox);
    let mut states = |manners: OrderFeed| -> Vec<String> {
        sandbox.set_order_feed(manners);
        let _ = sandbox.place_from_app("nse_cm", "IDEA-EQ", "B", 1, "9.00");
        let mut news = wire.news(&sandbox);
        // What is held back for its follower goes out when that manner ends.
        sandbox.set_order_feed(OrderFeed::default());
        news.extend(wire.news(&sandbox));
        let state = |one: &Value| one["data"]["ordSt"].as_str().unwrap().to_owned();
        news.iter().map(state).collect()
    };
    let usual = OrderFeed::default();
    let all = states(usual);
    assert_eq!(all.len(), 4);
    let doubled = states(OrderFeed {
        duplicate_every: 1,
        ..usual
    });
    let twice: Vec<String> = all
        .iter()
        .flat_map(|one| [one.clone(), one.clone()])
        .collect();
    assert_eq!(doubled, twice);
    // Messages 9 to 12 by now.
    let swapped = states(OrderFeed {
        swap_every: 3,
        ..usual
    });
    let [one, two, three, four] = &all[..] else {
        unreachable!()
    };
    assert_eq!(swapped, [two, one, three, four].map(String::clone));
    let lost = states(OrderFeed {
        lose_every: 2,
        ..usual
    });
    assert_eq!(lost, [one, three].map(String::clone));
}

#[test]
fn the_control_endpoint_shows_and_changes_the_sockets() {
    let sandbox = v3::start();
    let get = |path: &str| Ask::get(&format!("/sandbox/{path}")).reply(&sandbox);
    let post =
        |path: &str, body: Value| Ask::post(&format!("/sandbox/{path}"), &body).reply(&sandbox);
    let feed = json!({
        "login": "check", "silence": "none", "rate": "steps", "batch": 16, "acks": "sdk",
        "read_pause_ms": 0, "stamp": false,
    });
    assert_eq!(get("feed").expect(200), feed);
    let order_feed = json!({
        "login": "check", "silence": "none", "handshake": "both", "refusal": "login", "duplicate_every": 0,
        "swap_every": 0, "lose_every": 0, "read_pause_ms": 0,
    });
    assert_eq!(get("order-feed").expect(200), order_feed);

    // What is named is changed, and the answer has all of it.
    let changed = post(
        "feed",
        json!({"rate": {"per_second": 500}, "acks": "broker_doc"}),
    );
    assert_eq!(changed.expect(200)["rate"], json!({"per_second": 500}));
    let now = sandbox.feed();
    assert_eq!(
        (now.rate, now.acks, now.batch),
        (FeedRate::PerSecond(500), Acks::BrokerDoc, 16)
    );
    post(
        "feed",
        json!({"rate": "flood", "login": "initial_then_refuse"}),
    )
    .expect(200);
    assert_eq!(sandbox.feed().login, LoginManner::InitialThenRefuse);
    let changed = post("order-feed", json!({"handshake": "json", "swap_every": 3}));
    assert_eq!(changed.expect(200)["swap_every"], 3);
    assert_eq!(sandbox.order_feed().handshake, Handshake::Json);
    sandbox.set_feed(Feed::default());
    sandbox.set_order_feed(OrderFeed::default());

    let mut wires = BOTH.map(|socket| Wire::logged_in(&sandbox, socket));
    let messages = get("socket-messages").expect(200);
    assert_eq!(messages.as_array().unwrap().len(), 2);
    assert_eq!(messages[0]["socket"], "feed");
    assert!(
        messages[0]["text"]
            .as_str()
            .unwrap()
            .contains("native_batch")
    );
    assert_eq!(messages[1]["socket"], "order_feed");
    let upgrade = sandbox.requests();
    let upgrade = upgrade.iter().find(|one| one.path == "/realtime").unwrap();
    assert_eq!(messages[1]["connection"], upgrade.connection);
    let clear = Ask {
        method: http::Method::DELETE,
        ..Ask::get("/sandbox/requests")
    };
    clear.reply(&sandbox).expect(200);
    assert_eq!(get("socket-messages").expect(200), json!([]));

    let strike =
        |socket: &str, strike: Value| post("strike", json!({"socket": socket, "strike": strike}));
    assert_eq!(
        strike("feed", json!({"text": "hi"})).expect(200),
        json!({"live": 1})
    );
    assert_eq!(wires[0].text(), "hi");
    strike("feed", json!({"binary": "AP8H"})).expect(200);
    assert_eq!(wires[0].frame(), [0, 255, 7]);
    strike("order_feed", json!("garbage")).expect(200);
    assert_eq!(wires[1].frame().len(), 97);
    strike("feed", json!({"close": {"code": 4001, "reason": "enough"}})).expect(200);
    assert_eq!(wires[0].end(), End::Closed(4001, "enough".to_owned()));
    for simple in ["drop", "reset", "cut_frame", "cut_message", "wrong_length"] {
        strike("order_feed", json!(simple)).expect(200);
    }
    assert_eq!(wires[1].end(), End::Lost);

    for (path, body, word) in [
        ("feed", json!([]), "object"),
        ("feed", json!({"mood": 1}), "mood"),
        ("feed", json!({"batch": 0}), "batch"),
        ("feed", json!({"batch": 301}), "batch"),
        ("feed", json!({"rate": {"per_second": 0}}), "per_second"),
        ("feed", json!({"login": "odd"}), "odd"),
        ("order-feed", json!({"handshake": 1}), "handshake"),
        ("order-feed", json!({"lose_every": -1}), "lose_every"),
        ("strike", json!({"socket": "feed"}), "strike"),
        (
            "strike",
            json!({"socket": "moon", "strike": "drop"}),
            "moon",
        ),
        ("strike", json!({"socket": "feed", "strike": "hug"}), "hug"),
        (
            "strike",
            json!({"socket": "feed", "strike": {"binary": "*"}}),
            "Invalid",
        ),
        (
            "strike",
            json!({"socket": "feed", "strike": {"close": {"code": 999, "reason": ""}}}),
            "999",
        ),
        (
            "strike",
            json!({"socket": "feed", "strike": {"close": {"code": 1000, "reason": "x".repeat(124)}}}),
            "123",
        ),
    ] {
        let refusal = post(path, body).expect(400);
        let message = refusal["error"][0]["message"].as_str().unwrap();
        assert!(message.contains(word), "{path}: {message}");
    }
    assert_eq!(
        (sandbox.feed(), sandbox.order_feed()),
        (Feed::default(), OrderFeed::default())
    );
}
