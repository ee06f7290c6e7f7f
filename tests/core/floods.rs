//! What HTTP/2 servers, feeds and proxies send without end holds nothing up: no call, no
//! reader of a feed, and not the thread of a feed that is closed.

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kotak_neo::{Client, Error, Feed, OrderFeed, Reply, Status};
use kotak_neo_sandbox::{Options, Sandbox, TlsMode};
use kotak_neo_testing::requests::read_request;
use rustls::ServerConfig;
use serde_json::json;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::deadline::{
    Both, Flood, How, LIMIT, Patient, Server, What, alone, client_of, floods, late, pour, serve,
    serve_with,
};
use crate::support::{start, status, told};

/// So much later something may end here: the machine may be busy with other things. What
/// is promised is a tenth of a second.
const NOISE: Duration = Duration::from_secs(2);
/// Far longer than anything here takes.
const LATE: Duration = Duration::from_secs(60);
/// What is written at once.
const AT_ONCE: usize = 64 * 1024;

fn flood(name: &'static str, first: Vec<u8>, again: Vec<u8>) -> Flood {
    Flood {
        name,
        first,
        again,
        drips: false,
    }
}

fn drip(name: &'static str, first: Vec<u8>, again: Vec<u8>) -> Flood {
    Flood {
        drips: true,
        ..flood(name, first, again)
    }
}

/// Writes a flood until it is over or the client has gone. What the client answers is read
/// whenever it takes no more, unless the server is deaf. Counts what was written.
fn drown(
    stream: &mut dyn Both,
    flood: &Flood,
    over: &AtomicBool,
    deaf: bool,
    so_far: &AtomicUsize,
) {
    let many = match flood.drips {
        true => flood.again.clone(),
        false => flood.again.repeat(AT_ONCE / flood.again.len().min(AT_ONCE)),
    };
    let mut left = flood.first.clone();
    let mut at = 0;
    let mut read = vec![0; AT_ONCE];
    while !over.load(Ordering::Acquire) {
        if at == left.len() {
            at = 0;
            left.clone_from(&many);
        }
        let end = match flood.drips {
            true => at + 1,
            false => left.len(),
        };
        match stream.write(&left[at..end]) {
            Ok(count) => {
                at += count;
                so_far.fetch_add(count, Ordering::AcqRel);
            }
            Err(error) if waits(&error) && !deaf => {
                for _ in 0..64 {
                    match stream.read(&mut read) {
                        Ok(0) => return,
                        Ok(_) => {}
                        Err(error) if waits(&error) => break,
                        Err(_) => return,
                    }
                }
            }
            Err(error) if waits(&error) => {}
            Err(_) => return,
        }
        if flood.drips {
            // Each in a packet of its own, also under TLS.
            let flushed = stream.flush();
            if flushed.is_err_and(|error| !waits(&error)) {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn waits(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

// HTTP/2

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("it is short");
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags, 0, 0, 0, stream]);
    frame.extend(content);
    frame
}

/// The head of an answer; the status is the ninth of the static table.
fn head(status: &str) -> Vec<u8> {
    let mut block = vec![0x08, 3];
    block.extend(status.as_bytes());
    frame(HEADERS, END_HEADERS, 1, &block)
}

/// A header that no table holds.
const FIELD: &[u8] = &[0, 1, b'a', 1, b'b'];

fn floods_of_http2() -> Vec<Flood> {
    let begun = frame(HEADERS, 0, 1, &[0x88]);
    let table = |size: u8| frame(SETTINGS, 0, 0, &[0, 1, 0, 0, size, 0]);
    vec![
        flood("pings", vec![], frame(PING, 0, 0, &[7; 8])),
        flood("answers to no ping", vec![], frame(PING, 1, 0, &[7; 8])),
        flood("settings", vec![], frame(SETTINGS, 0, 0, &[])),
        flood(
            "settings that change",
            vec![],
            [table(1), table(16)].concat(),
        ),
        flood("interim answers", vec![], head("103")),
        flood(
            "continuations",
            begun.clone(),
            frame(CONTINUATION, 0, 1, FIELD),
        ),
        flood("empty continuations", begun, frame(CONTINUATION, 0, 1, &[])),
        flood("data of one byte", head("200"), frame(DATA, 0, 1, b" ")),
        flood("empty data", head("200"), frame(DATA, 0, 1, &[])),
        // The length of the padding, and no padding.
        flood("padding", head("200"), frame(DATA, 8, 1, &[0])),
        flood("priorities", vec![], frame(2, 0, 1, &[0, 0, 0, 3, 1])),
        flood("room", vec![], frame(8, 0, 0, &[0, 0, 0, 1])),
        flood(
            "goodbyes",
            vec![],
            frame(7, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]),
        ),
        flood("frames of no kind", vec![], frame(0xfa, 0, 0, &[])),
        drip("pings, byte by byte", vec![], frame(PING, 0, 0, &[7; 8])),
        drip(
            "a frame, byte by byte",
            [head("200"), vec![0, 0x40, 0, 0, 0, 0, 0, 0, 1]].concat(),
            b" ".to_vec(),
        ),
    ]
}

/// Speaks HTTP/2 until a request is there, then never stops.
fn speak_http2(
    stream: &mut dyn Both,
    flood: &Flood,
    over: &AtomicBool,
    deaf: bool,
    so_far: &AtomicUsize,
) {
    let mut patient = Patient(&mut *stream, over);
    let mut preface = [0; 24];
    if patient.read_exact(&mut preface).is_err() {
        return;
    }
    assert_eq!(
        &preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "it is HTTP/2"
    );
    let greeting = [frame(SETTINGS, 0, 0, &[]), frame(SETTINGS, 1, 0, &[])];
    if patient
        .write_all(&greeting.concat())
        .and_then(|()| patient.flush())
        .is_err()
    {
        return;
    }
    loop {
        let mut start = [0; 9];
        if patient.read_exact(&mut start).is_err() {
            return;
        }
        let length = u32::from_be_bytes([0, start[0], start[1], start[2]]);
        let mut content = vec![0; length as usize];
        if patient.read_exact(&mut content).is_err() {
            return;
        }
        if start[3] == HEADERS {
            assert_eq!(start[8], 1, "the first request of a connection");
            break;
        }
    }
    drown(stream, flood, over, deaf, so_far);
}

fn check_http2(flood: &Flood, deaf: bool, what: What, how: How, sandbox: &Sandbox) {
    // A deadline that is over before the flood begins shows nothing.
    let shown = (0..20).any(|_| once_http2(flood, deaf, what, how, sandbox));
    assert!(shown, "{} {what:?} {how:?}: no flood came", flood.name);
}

fn once_http2(flood: &Flood, deaf: bool, what: What, how: How, sandbox: &Sandbox) -> bool {
    let _alone = alone();
    let tls = sandbox.server_config().expect("it speaks TLS");
    let so_far = Arc::new(AtomicUsize::new(0));
    let (count, poured) = (Arc::clone(&so_far), flood.clone());
    let server = serve_with(Some(tls), move |stream, over, _| {
        speak_http2(stream, &poured, over, deaf, &count);
    });
    let client = client_of(server.port, sandbox.ca_file());
    let (late, result) = late(&client, &server, what, how);
    let ear = if deaf { "deaf" } else { "attentive" };
    let case = format!("HTTP/2 {} {what:?} {how:?} {ear}", flood.name);
    let status = status(&result);
    let bytes = so_far.load(Ordering::Acquire);
    println!(
        "{:>6} ms late: {case} {status:?} after {bytes} bytes",
        late.as_millis()
    );
    assert!(late < NOISE, "{late:?} late: {case}: {result:?}");
    let error = result.expect_err("nothing is an answer");
    if bytes == 0 && how == How::Deadline {
        return false;
    }
    assert_eq!(told(&error, "sent"), true, "{case}: {error:?}");
    let expected: &[Status] = match how {
        How::Deadline => &[Status::Timeout, Status::Network, Status::Protocol],
        _ => &[Status::Closed, Status::Network, Status::Protocol],
    };
    assert!(expected.contains(&status), "{case}: {error:?}");
    true
}

fn tls(http2: bool) -> Sandbox {
    start(Options {
        tls: TlsMode::Valid,
        http2,
        ..Options::default()
    })
}

#[test]
fn a_call_over_http2_ends_in_time() {
    let sandbox = tls(true);
    for flood in floods_of_http2() {
        for what in [What::Read, What::Login] {
            check_http2(&flood, false, what, How::Deadline, &sandbox);
        }
        check_http2(&flood, true, What::Read, How::Deadline, &sandbox);
    }
}

#[test]
fn a_call_over_http2_that_is_stopped_ends_in_time() {
    let sandbox = tls(true);
    let worst = ["pings", "settings", "interim answers", "empty data"];
    for flood in floods_of_http2() {
        if !worst.contains(&flood.name) {
            continue;
        }
        for how in [How::Interrupt, How::Cancel, How::Free] {
            check_http2(&flood, false, What::Read, how, &sandbox);
        }
    }
}

// Feeds

/// Either feed, as a reader has it.
enum Any {
    Prices(Feed),
    Orders(OrderFeed),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Which {
    Prices,
    Orders,
}

impl Any {
    fn open(which: Which, client: &Client) -> Self {
        let quick = r#"{"reconnect_first_ms": 20, "reconnect_cap_ms": 50}"#;
        match which {
            Which::Prices => Self::Prices(client.feed(Some(quick)).expect("a session")),
            Which::Orders => Self::Orders(client.order_feed(Some(quick)).expect("a session")),
        }
    }

    fn next(&self, wait: Duration) -> Result<Reply, Error> {
        match self {
            Self::Prices(feed) => feed.next(wait),
            Self::Orders(feed) => feed.next(wait),
        }
    }

    fn interrupt(&self) {
        match self {
            Self::Prices(feed) => feed.interrupt(),
            Self::Orders(feed) => feed.interrupt(),
        }
    }

    fn status(&self) -> Result<Reply, Error> {
        match self {
            Self::Prices(feed) => feed.status(),
            Self::Orders(feed) => feed.status(),
        }
    }

    /// Reads until it is told that there is nothing more.
    fn to_the_end(&self) {
        loop {
            match self.next(LATE) {
                Ok(_) => {}
                Err(error) if error.status() == Status::Closed => return,
                Err(error) => assert_eq!(error.status(), Status::End, "{error:?}"),
            }
        }
    }
}

/// What comes after the handshake.
fn floods_of_sockets() -> Vec<Flood> {
    let text = |words: &str| {
        let length = u8::try_from(words.len()).expect("it is short");
        [&[0x81, length], words.as_bytes()].concat()
    };
    // As large as a frame may be.
    let large = |kind: u8| vec![kind, 127, 0, 0, 0, 0, 0, 0x10, 0, 0];
    let filled = |kind: u8, with: &[u8]| {
        let content = with.iter().copied().cycle().take(1 << 20);
        large(kind).into_iter().chain(content).collect::<Vec<_>>()
    };
    // A price of nobody, as short as a packet may be.
    let packet = [9, 0, 0, 0, 1, 3, 0, 0, 0];
    let brackets = filled(0x81, b"[");
    vec![
        flood("pings", vec![], vec![0x89, 0]),
        flood(
            "large pings",
            vec![],
            [&[0x89, 125][..], &[7; 125]].concat(),
        ),
        flood("pongs", vec![], vec![0x8a, 0]),
        flood("empty fragments", vec![0x01, 0], vec![0, 0]),
        flood("fragments of one byte", vec![0x02, 0], vec![0, 1, b' ']),
        flood("empty texts", vec![], text("")),
        flood("texts of one byte", vec![], text("1")),
        flood("empty objects", vec![], text("{}")),
        flood("empty binaries", vec![], vec![0x82, 0]),
        flood("binaries of one byte", vec![], vec![0x82, 1, 0]),
        flood(
            "a packet of no kind",
            vec![],
            [&[0x82, 9][..], &packet].concat(),
        ),
        flood("many packets of no kind", vec![], filled(0x82, &packet)),
        flood(
            "packets of noise",
            vec![],
            filled(0x82, b"\x0c\0\xa7\x5f\xff\x04\x93"),
        ),
        flood("brackets", vec![], brackets),
        flood("objects in objects", vec![], filled(0x81, br#"{"type":"#)),
        flood(
            "a list of objects",
            vec![],
            [
                &large(0x81)[..],
                b"[",
                &br#"{"type":"order"},"#.repeat(61_680),
                b"123456789012345",
            ]
            .concat(),
        ),
        flood(
            "a frame that is too large",
            vec![],
            vec![0x82, 127, 0, 0, 0, 0x40, 0, 0, 0, 0],
        ),
        flood("nothing but ones", vec![], vec![0xff]),
        drip("a large frame, byte by byte", large(0x82), vec![0]),
        drip("pings, byte by byte", vec![], vec![0x89, 1, 7]),
        drip("texts, byte by byte", vec![], text("{}")),
    ]
}

/// Whether the server lets the feed in before it goes on without end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    /// In the place of the answer to the handshake.
    Handshake,
    /// In the place of the answer to the login.
    Login,
    Live,
    /// In the place of the books, while the socket is calm.
    Books,
}

fn serve_feed(
    which: Which,
    flood: &Flood,
    when: When,
    tls: Option<Arc<ServerConfig>>,
    so_far: &Arc<AtomicUsize>,
) -> Server {
    let (flood, so_far) = (flood.clone(), Arc::clone(so_far));
    serve_with(tls, move |stream, over, url| {
        if when == When::Handshake {
            so_far.fetch_add(1, Ordering::AcqRel);
            return pour(stream, &flood, over, url);
        }
        let mut patient = Patient(&mut *stream, over);
        let Some(request) = read_request(&mut patient) else {
            return;
        };
        let key = request.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("sec-websocket-key")
                .then_some(value)
        });
        let Some(key) = key else {
            // A book.
            if when == When::Books {
                so_far.fetch_add(1, Ordering::AcqRel);
                drown(stream, &flood, over, false, &so_far);
            }
            return;
        };
        let key = derive_accept_key(key.trim().as_bytes());
        let mut answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
             sec-websocket-accept: {key}\r\n\r\n"
        )
        .into_bytes();
        let welcome = match which {
            Which::Prices => r#"{"message_code":1117,"exchanges":{"nse_cm":{"divider":100}}}"#,
            Which::Orders => r#"{"ak":"ok","type":"cn","task":"cn","msg":"connected"}"#,
        };
        if when != When::Login {
            answer.extend([0x81, u8::try_from(welcome.len()).expect("it is short")]);
            answer.extend(welcome.as_bytes());
        }
        if patient
            .write_all(&answer)
            .and_then(|()| patient.flush())
            .is_err()
        {
            return;
        }
        if when == When::Books {
            let mut read = [0; 4096];
            while !over.load(Ordering::Acquire) {
                if matches!(patient.read(&mut read), Ok(0) | Err(_)) {
                    return;
                }
            }
            return;
        }
        drown(stream, &flood, over, false, &so_far);
    })
}

/// A client with a session, both of whose feeds are at this port.
fn trader(port: u16, ca_file: Option<&std::path::Path>, proxy: Option<u16>) -> Client {
    let (http, ws) = match (ca_file, proxy) {
        (_, Some(_)) => ("https://e43.kotaksecurities.com/".to_owned(), None),
        (Some(_), None) => (
            format!("https://localhost:{port}/"),
            Some(format!("wss://localhost:{port}/apifeed")),
        ),
        (None, None) => (
            format!("http://127.0.0.1:{port}/"),
            Some(format!("ws://127.0.0.1:{port}/apifeed")),
        ),
    };
    let mut config = json!({
        "consumer_key": "fake-key-0000", "ca_file": ca_file,
        "max_orders_per_second": 1_000_000, "timeouts": {"connect": 60_000},
    });
    match proxy {
        Some(port) => config["proxy"] = json!(format!("http://127.0.0.1:{port}")),
        None => config["base_url"] = json!(http),
    }
    let client = Client::open(Some(&config.to_string())).expect("it opens");
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let session = json!({
        "format": "kotak_neo.session", "version": 1, "environment": "prod", "generation": 3,
        "logged_in_at": now.expect("after 1970").as_secs(), "ucc": "TEST1", "base_url": http,
        "feed_url": ws, "token": "fake-token-0000", "sid": "fake-sid-0000",
    });
    client
        .session_import(&session.to_string())
        .expect("it is of today");
    client
}

fn until(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < LATE, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Opens a feed of a server that never stops, and looks how late each wait ends.
fn check_feed(which: Which, case: &str, client: Client, server: &Server, flows: impl Fn() -> bool) {
    let begun = Instant::now();
    let feed = Any::open(which, &client);
    let opened = begun.elapsed();
    until(&format!("no flood came: {case}"), flows);
    // It stays so for a while.
    thread::sleep(LIMIT);

    let begun = Instant::now();
    let read = feed.next(LIMIT);
    let read_late = begun.elapsed().saturating_sub(LIMIT);
    if let Err(error) = read {
        assert_eq!(error.status(), Status::End, "{case}: {error:?}");
    }

    let begun = Instant::now();
    feed.status().expect("it is open");
    let told = begun.elapsed();

    let interrupted = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            feed.to_the_end();
            Instant::now()
        });
        thread::sleep(LIMIT / 3);
        let begun = Instant::now();
        feed.interrupt();
        reader.join().expect("no panic") - begun
    });

    let (closing, closed, gone) = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            feed.to_the_end();
            Instant::now()
        });
        thread::sleep(LIMIT / 3);
        let begun = Instant::now();
        client.close();
        let closing = begun.elapsed();
        let closed = reader.join().expect("no panic") - begun;
        // What is kept for later calls goes with it.
        drop(client);
        until(&format!("the connection stays: {case}"), || {
            server.live.load(Ordering::Acquire) == 0
        });
        (closing, closed, begun.elapsed())
    });
    let all = [
        ("open", opened),
        ("next", read_late),
        ("status", told),
        ("interrupt", interrupted),
        ("free", closing),
        ("end", closed),
        ("gone", gone),
    ];
    let worst = all.iter().map(|(_, late)| *late).max().unwrap_or_default();
    let shown: Vec<String> = all
        .iter()
        .map(|(name, late)| format!("{name} {}", late.as_millis()))
        .collect();
    println!(
        "{:>6} ms late: {case}: {}",
        worst.as_millis(),
        shown.join(", ")
    );
    assert!(worst < NOISE, "{case}: {all:?}");
}

fn drown_feed(which: Which, flood: &Flood, when: When, sandbox: Option<&Sandbox>) {
    let _alone = alone();
    let config = sandbox.map(|sandbox| sandbox.server_config().expect("it speaks TLS"));
    let so_far = Arc::new(AtomicUsize::new(0));
    let server = serve_feed(which, flood, when, config, &so_far);
    let client = trader(server.port, sandbox.and_then(Sandbox::ca_file), None);
    let tls = if sandbox.is_some() { "TLS" } else { "plain" };
    let case = format!("{which:?} {when:?} {} {tls}", flood.name);
    check_feed(which, &case, client, &server, || {
        so_far.load(Ordering::Acquire) > 0
    });
    println!("          {} bytes", so_far.load(Ordering::Acquire));
}

#[test]
fn a_handshake_without_end_holds_no_feed_up() {
    let sandbox = tls(false);
    for flood in floods() {
        drown_feed(Which::Prices, &flood, When::Handshake, Some(&sandbox));
        drown_feed(Which::Orders, &flood, When::Handshake, None);
    }
}

#[test]
fn a_socket_without_end_holds_no_market_feed_up() {
    let sandbox = tls(false);
    for flood in floods_of_sockets() {
        drown_feed(Which::Prices, &flood, When::Login, None);
        drown_feed(Which::Prices, &flood, When::Live, None);
        drown_feed(Which::Prices, &flood, When::Live, Some(&sandbox));
    }
}

#[test]
fn a_socket_without_end_holds_no_order_feed_up() {
    let sandbox = tls(false);
    for flood in floods_of_sockets() {
        drown_feed(Which::Orders, &flood, When::Login, None);
        drown_feed(Which::Orders, &flood, When::Live, None);
        drown_feed(Which::Orders, &flood, When::Live, Some(&sandbox));
    }
}

#[test]
fn books_without_end_hold_no_order_feed_up() {
    for flood in floods() {
        drown_feed(Which::Orders, &flood, When::Books, None);
    }
}

// Proxies

fn floods_of_proxies() -> Vec<Flood> {
    let mut all = floods();
    let begun = b"HTTP/1.1 200 Connection established\r\n".to_vec();
    all.push(drip(
        "headers, byte by byte",
        begun.clone(),
        b"a: b\r\n".to_vec(),
    ));
    all.push(drip("blank lines, byte by byte", vec![], b"\r\n".to_vec()));
    all.push(drip(
        "a version, byte by byte",
        b"HTTP/1.1 200 ".to_vec(),
        b"x".to_vec(),
    ));
    // A record of TLS that is never whole.
    let begun = [begun, b"\r\n\x16\x03\x03\x3f\xff".to_vec()].concat();
    all.push(drip("TLS, byte by byte", begun.clone(), vec![2]));
    all
}

fn through(port: u16) -> Client {
    trader(0, None, Some(port))
}

#[test]
fn a_proxy_without_end_holds_no_call_up() {
    for flood in floods_of_proxies() {
        let hows: &[How] = match flood.drips {
            true => &[How::Deadline, How::Interrupt, How::Cancel, How::Free],
            false => &[How::Deadline],
        };
        for what in [What::Order, What::Read] {
            for how in hows {
                let _alone = alone();
                let server = serve(flood.clone(), None);
                let client = through(server.port);
                let (late, result) = late(&client, &server, what, *how);
                let case = format!("proxy {} {what:?} {how:?}", flood.name);
                println!(
                    "{:>6} ms late: {case} {:?}",
                    late.as_millis(),
                    status(&result)
                );
                assert!(late < NOISE, "{late:?} late: {case}: {result:?}");
                let error = result.expect_err("there is no way through it");
                assert_eq!(told(&error, "sent"), false, "{case}: {error:?}");
                let expected = match how {
                    How::Deadline => Status::Timeout,
                    _ => Status::Closed,
                };
                let known = [expected, Status::Network];
                assert!(known.contains(&error.status()), "{case}: {error:?}");
            }
        }
    }
}

#[test]
fn a_proxy_without_end_holds_no_feed_up() {
    for flood in floods_of_proxies() {
        for which in [Which::Prices, Which::Orders] {
            let _alone = alone();
            let asked = Arc::new(AtomicUsize::new(0));
            let (count, poured) = (Arc::clone(&asked), flood.clone());
            let server = serve_with(None, move |stream, over, url| {
                count.fetch_add(1, Ordering::AcqRel);
                pour(stream, &poured, over, url);
            });
            let client = through(server.port);
            let case = format!("{which:?} proxy {}", flood.name);
            check_feed(which, &case, client, &server, || {
                asked.load(Ordering::Acquire) > 0
            });
        }
    }
}
