//! Answers to an order as bytes: whatever a server, a gateway or a proxy
//! writes, the order is sent once, and only a true answer to it is believed.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kotak_neo::{Client, Error, Reply, Status};
use kotak_neo_testing::requests::read_request;
use serde_json::json;

use crate::orders::{number, order, place, with};
use crate::support::{status, told};

/// What the server does on one connection, step by step.
#[derive(Clone)]
enum Deed {
    /// Reads one request and writes these bytes.
    Answer(Vec<u8>),
    /// Writes these bytes unasked.
    Write(Vec<u8>),
    /// Waits until the test says so.
    Wait,
    /// Says that it will write nothing more.
    HalfClose,
}

struct Server {
    port: u16,
    /// The requests, in order, with the number of their connection.
    got: Receiver<(usize, String)>,
    /// How often something was written, or ended, unasked.
    unasked: Arc<AtomicUsize>,
    /// Lets the connections go on that wait.
    go: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Server {
    /// Ends it, and gives what it got.
    fn end(self) -> Vec<(usize, String)> {
        self.go.store(true, Ordering::Release);
        self.thread.join().expect("no panic");
        self.got.iter().collect()
    }
}

fn until(done: impl Fn() -> bool) -> bool {
    let patience = Instant::now() + Duration::from_secs(60);
    while !done() {
        if Instant::now() > patience {
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
    true
}

/// A server for a list of connections, all of which must be made.
fn serve(connections: Vec<Vec<Deed>>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let port = listener.local_addr().expect("it is bound").port();
    let (tell, got) = mpsc::channel();
    let (go, unasked) = (Arc::new(AtomicBool::new(false)), Arc::default());
    let (may_go, done) = (Arc::clone(&go), Arc::clone(&unasked));
    let thread = thread::spawn(move || {
        thread::scope(|scope| {
            for (at, deeds) in connections.into_iter().enumerate() {
                let (stream, _) = listener.accept().expect("a client connects");
                let (tell, go, done) = (tell.clone(), Arc::clone(&may_go), Arc::clone(&done));
                scope.spawn(move || one(at, stream, deeds, &tell, &go, &done));
            }
        });
    });
    Server {
        port,
        got,
        unasked,
        go,
        thread,
    }
}

fn one(
    at: usize,
    mut stream: TcpStream,
    deeds: Vec<Deed>,
    tell: &mpsc::Sender<(usize, String)>,
    go: &AtomicBool,
    unasked: &AtomicUsize,
) {
    for deed in deeds {
        let is_unasked = matches!(deed, Deed::Write(_) | Deed::HalfClose);
        match deed {
            Deed::Answer(bytes) => {
                let Some(request) = read_request(&mut stream) else {
                    return;
                };
                tell.send((at, request)).expect("the test listens");
                // The client may have had enough of it.
                let _ = stream.write_all(&bytes);
            }
            Deed::Write(bytes) => stream.write_all(&bytes).expect("it is read"),
            Deed::Wait => assert!(until(|| go.load(Ordering::Acquire)), "nobody says so"),
            Deed::HalfClose => stream.shutdown(Shutdown::Write).expect("it is open"),
        }
        unasked.fetch_add(usize::from(is_unasked), Ordering::AcqRel);
    }
}

/// A session that no login made.
fn session(base_url: &str) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    json!({
        "format": "kotak_neo.session", "version": 1, "environment": "prod", "generation": 3,
        "logged_in_at": now.as_secs(), "ucc": "TEST1", "base_url": base_url,
        "token": "fake-token-0000", "sid": "fake-sid-0000",
    })
    .to_string()
}

fn trader(port: u16) -> Client {
    let base = format!("http://127.0.0.1:{port}/");
    let config = json!({
        "base_url": base, "consumer_key": "fake-key-0000", "timeouts": {"order": 30_000},
        "max_orders_per_second": 1_000_000,
    });
    let client = Client::open(Some(&config.to_string())).expect("it opens");
    client
        .session_import(&session(&base))
        .expect("it is of today");
    client
}

const TAKEN: &str = r#"{"nOrdNo":"250122000624384","stat":"Ok","stCode":200}"#;
const SECOND: &str = r#"{"nOrdNo":"250122000624385","stat":"Ok","stCode":200}"#;
const OTHER: &str = r#"{"nOrdNo":"250122000999999","stat":"Ok","stCode":200}"#;

fn answer(head: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
}

fn ok(body: &str) -> Vec<u8> {
    answer("200 OK", body)
}

/// Places one order with a server that answers with these bytes and closes.
/// A body of gzip, stored as it is.
fn packed(body: &str) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("it is short");
    let mut gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    gzip.extend(length.to_le_bytes());
    gzip.extend((!length).to_le_bytes());
    gzip.extend(body.as_bytes());
    gzip.extend(crc32fast::hash(body.as_bytes()).to_le_bytes());
    gzip.extend(u32::from(length).to_le_bytes());
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        gzip.len()
    );
    [head.as_bytes(), &gzip].concat()
}

fn answered(bytes: Vec<u8>) -> Result<Reply, Error> {
    let server = serve(vec![vec![Deed::Answer(bytes)]]);
    let client = trader(server.port);
    let result = place(&client, &order());
    drop(client);
    assert_eq!(server.end().len(), 1, "the order was sent once");
    result
}

#[test]
fn every_true_answer_is_believed() {
    let chunked = |chunks: &str| {
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}").into_bytes()
    };
    let two = format!(
        "10\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
        &TAKEN[..16],
        TAKEN.len() - 16,
        &TAKEN[16..]
    );
    let after = |first: &str| [first.as_bytes(), &ok(TAKEN)].concat();
    for bytes in [
        ok(TAKEN),
        ok(&format!("\r\n {TAKEN} \n")),
        answer("200 OK\r\nconnection: close", TAKEN),
        chunked(&two),
        after("HTTP/1.1 100 Continue\r\n\r\n"),
        after("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"),
        format!("HTTP/1.0 200 OK\r\n\r\n{TAKEN}").into_bytes(),
        ok(r#"{"nOrdNo":250122000624384,"stat":"Ok","stCode":200}"#),
        ok(&format!("\u{feff}{TAKEN}")),
        // Nobody asked for it, and it says what it is.
        packed(TAKEN),
    ] {
        let what = String::from_utf8_lossy(&bytes).into_owned();
        let reply = answered(bytes).unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert!(reply.json().contains("250122000624384"), "{what}");
        assert_eq!(reply.http_status(), 200);
    }
}

#[test]
fn anything_else_is_an_unknown_outcome() {
    let cut = |text: String| text.into_bytes();
    let long = "x".repeat(4_000_000);
    let huge = format!("{}{}", TAKEN, " ".repeat(17 * 1024 * 1024));
    let mut cases = vec![
        Vec::new(),
        cut("HTTP/1.1 200 OK\r\ncontent-le".to_owned()),
        cut(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: 400\r\n\r\n{TAKEN}"
        )),
        cut(format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{TAKEN}\r\n",
            TAKEN.len()
        )),
        cut(format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{TAKEN}\r\n0\r\n\r\n"
        )),
        cut(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 53\r\n\r\n{TAKEN}"
        )),
        cut(format!("HTTP/1.0 200 OK\r\n\r\n{}", &TAKEN[..30])),
        cut(format!(
            "HTTP/1.1 200 OK\r\nx: {long}\r\ncontent-length: 53\r\n\r\n{TAKEN}"
        )),
        cut(format!("{TAKEN}\r\n\r\n")),
        cut("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        cut("HTTP/1.1 100 Continue\r\n\r\n".to_owned()),
        cut("HTTP/1.1 204 No Content\r\n\r\n".to_owned()),
        cut("HTTP/1.1 304 Not Modified\r\n\r\n".to_owned()),
        cut(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"
                .to_owned(),
        ),
        answer("408 Request Timeout\r\nconnection: close", ""),
        answer("205 Reset Content", TAKEN),
        ok(&huge),
        ok(&TAKEN[..TAKEN.len() - 1]),
        ok(&format!("\u{feff}\u{feff}{TAKEN}")),
    ];
    // No order has such a number.
    for number in [
        r#""NA""#,
        r#""--""#,
        r#""0""#,
        "0",
        r#"" ""#,
        "{}",
        "true",
        r#""1/../2""#,
        r#""-5""#,
        "-5",
        r#""000""#,
        "5.0",
        r#""A250122000624384""#,
    ] {
        cases.push(ok(&format!(
            r#"{{"nOrdNo":{number},"stat":"Ok","stCode":200}}"#
        )));
    }
    cases.push(ok(
        r#"{"nOrdNo":"1","nOrdNo":"2","stat":"Ok","stCode":200}"#,
    ));
    for bytes in cases {
        let what = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
        let error = match answered(bytes) {
            Err(error) => error,
            Ok(reply) => panic!("{what}: {}", reply.json()),
        };
        assert_eq!(error.status(), Status::UnknownOutcome, "{what}: {error:?}");
        assert_eq!(told(&error, "sent"), true, "{what}");
        assert_eq!(told(&error, "safe_to_repeat"), false, "{what}");
        assert!(told(&error, "tag").is_string(), "{what}");
    }
}

/// What follows an answer unasked is not the answer to the next order.
#[test]
fn the_rest_of_an_answer_is_no_answer() {
    let with_rest = [ok(TAKEN), ok(OTHER)].concat();
    let server = serve(vec![
        vec![Deed::Answer(with_rest), Deed::Wait],
        vec![Deed::Answer(ok(SECOND))],
    ]);
    let client = trader(server.port);
    for expected in ["250122000624384", "250122000624385"] {
        let reply = place(&client, &order()).expect("taken");
        assert_eq!(number(&reply), expected);
    }
    drop(client);
    let connections: Vec<_> = server.end().iter().map(|(at, _)| *at).collect();
    assert_eq!(connections, [0, 1]);
}

/// Nor is what comes while the connection is idle: a late answer, a 408, a
/// close of one side.
#[test]
fn what_comes_unasked_ends_the_connection() {
    let timeout = answer("408 Request Timeout\r\nconnection: close", "");
    for unasked in [
        Deed::Write(ok(OTHER)),
        Deed::Write(timeout),
        Deed::Write(b"\r\n".to_vec()),
        Deed::HalfClose,
    ] {
        let server = serve(vec![
            vec![
                Deed::Answer(ok(TAKEN)),
                unasked,
                Deed::Wait,
                // Must not be asked for.
                Deed::Answer(ok(OTHER)),
            ],
            vec![Deed::Answer(ok(SECOND))],
        ]);
        let client = trader(server.port);
        number(&place(&client, &order()).expect("taken"));
        // Over loopback it is there when it was written.
        assert!(until(|| server.unasked.load(Ordering::Acquire) == 1));
        let reply = place(&client, &order()).expect("taken");
        assert_eq!(number(&reply), "250122000624385");
        drop(client);
        let connections: Vec<_> = server.end().iter().map(|(at, _)| *at).collect();
        assert_eq!(connections, [0, 1]);
    }
}

/// An answer that comes twice, the second time when the next order waits, is
/// not that one's; the true answer that follows is nobody's.
#[test]
fn an_answer_that_comes_twice_counts_once() {
    let server = serve(vec![
        vec![
            Deed::Answer(ok(TAKEN)),
            Deed::Answer([ok(TAKEN), ok(OTHER)].concat()),
            Deed::Wait,
        ],
        vec![Deed::Answer(ok(SECOND))],
    ]);
    let client = trader(server.port);
    number(&place(&client, &order()).expect("taken"));
    let error = place(&client, &order()).expect_err("it is the first one's");
    assert_eq!(error.status(), Status::UnknownOutcome, "{error:?}");
    assert_eq!(told(&error, "sent"), true);
    assert_eq!(
        number(&place(&client, &order()).expect("taken")),
        "250122000624385"
    );
    drop(client);
    let connections: Vec<_> = server.end().iter().map(|(at, _)| *at).collect();
    assert_eq!(connections, [0, 0, 1]);
}

/// So it is between a change and a new order, in both directions.
#[test]
fn answers_do_not_cross_kinds() {
    let server = serve(vec![
        vec![Deed::Answer(ok(TAKEN)), Deed::Answer(ok(TAKEN)), Deed::Wait],
        vec![Deed::Answer(ok(OTHER)), Deed::Answer(ok(OTHER)), Deed::Wait],
    ]);
    let client = trader(server.port);
    let cancel = r#"{"order_id":"250122000624384"}"#;
    client.cancel_order(cancel).expect("taken");
    let error = place(&client, &order()).expect_err("it is the cancel's");
    assert_eq!(error.status(), Status::UnknownOutcome, "{error:?}");
    number(&place(&client, &order()).expect("taken"));
    let error = client.cancel_order(cancel).expect_err("it is the order's");
    assert_eq!(error.status(), Status::UnknownOutcome, "{error:?}");
    assert!(
        error
            .hint()
            .is_some_and(|hint| hint.contains("250122000624384"))
    );
    drop(client);
    assert_eq!(server.end().len(), 4);
}

/// A request that does not fit the system's buffers could not be sent whole at
/// once: the rest would leave later.
#[test]
fn a_request_that_is_too_large_is_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let address = listener.local_addr().expect("it is bound");
    let base = format!("http://{address}/{}/", "x".repeat(20_000));
    let config = json!({"base_url": base, "consumer_key": "fake-key-0000"});
    let client = Client::open(Some(&config.to_string())).expect("it opens");
    let large = session(&base).replace("fake-token-0000", &"fake".repeat(1025));
    let error = client
        .session_import(&large)
        .expect_err("no order could carry it");
    assert!(
        error.message().starts_with("session.token: must be"),
        "{error}"
    );
    client
        .session_import(&session(&base))
        .expect("it is of today");
    let error = place(&client, &order()).expect_err("it is too large");
    assert_eq!(error.status(), Status::Internal, "{error}");
    assert!(error.message().contains("nothing was sent"), "{error}");
    assert_eq!(told(&error, "sent"), false);
    let mut stream = listener.accept().expect("it has connected").0;
    drop(client);
    let mut sent = Vec::new();
    stream.read_to_end(&mut sent).expect("it is closed");
    assert_eq!(String::from_utf8_lossy(&sent), "");
}

/// A proxy that refuses, keeps silent, talks nonsense or is no way to the
/// broker: nothing of the order has left.
#[test]
fn what_a_proxy_does_sends_nothing() {
    let established = b"HTTP/1.1 200 Connection established\r\n\r\n".to_vec();
    let refused = answer("407 Proxy Authentication Required", "");
    for (deeds, limit, expected) in [
        (vec![Deed::Answer(refused)], 30_000, Status::Network),
        (vec![Deed::Answer(Vec::new())], 30_000, Status::Network),
        (
            vec![Deed::Answer(b"nonsense\r\n\r\n".to_vec())],
            30_000,
            Status::Network,
        ),
        (vec![Deed::Wait], 300, Status::Timeout),
        (
            vec![Deed::Answer(established.clone()), Deed::Wait],
            300,
            Status::Timeout,
        ),
        // A server behind it that does not speak TLS.
        (
            vec![Deed::Answer(established), Deed::Write(ok(TAKEN))],
            30_000,
            Status::Network,
        ),
    ] {
        let server = serve(vec![deeds]);
        let config = json!({
            "consumer_key": "fake-key-0000",
            "proxy": format!("http://127.0.0.1:{}", server.port),
        });
        let client = Client::open(Some(&config.to_string())).expect("it opens");
        client
            .session_import(&session("https://e43.kotaksecurities.com/"))
            .expect("it is of today");
        let started = Instant::now();
        let result = place(&client, &with(order(), json!({"timeout_ms": limit})));
        assert_eq!(status(&result), expected, "{result:?}");
        let error = result.expect_err("nothing was sent");
        assert_eq!(told(&error, "sent"), false, "{error:?}");
        assert_eq!(told(&error, "safe_to_repeat"), true, "{error:?}");
        assert!(started.elapsed() < Duration::from_secs(25), "{error:?}");
        drop(client);
        for (_, request) in server.end() {
            assert!(
                request.starts_with("CONNECT e43.kotaksecurities.com:443"),
                "{request}"
            );
            assert!(!request.contains("jData"), "{request}");
        }
    }
}
