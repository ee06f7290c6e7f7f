//! What the door promises, against a server that counts bytes.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;

use http::{HeaderMap, Method};
use kotak_neo_testing::requests::read_request;
use zeroize::Zeroizing;

use super::*;
use crate::transport::Proxy;

/// What the server does with one connection.
#[derive(Clone, Copy, PartialEq)]
enum Deed {
    /// Answers this many requests, then closes.
    Answer(usize),
    /// Reads a whole request and closes without an answer.
    ReadAndClose,
    /// Reads a whole request and keeps silent.
    ReadAndWait,
}

/// A server for a list of connections. It tells every whole request it got.
struct Server {
    port: u16,
    got: Receiver<String>,
    thread: JoinHandle<()>,
}

fn serve(deeds: Vec<Deed>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let port = listener.local_addr().expect("it is bound").port();
    let (tell, got) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        for deed in deeds {
            let (mut stream, _) = listener.accept().expect("a client connects");
            match deed {
                Deed::Answer(count) => {
                    for _ in 0..count {
                        let Some(request) = read_request(&mut stream) else {
                            break;
                        };
                        tell.send(request).expect("the test listens");
                        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\
                                      set-cookie: a=b; Path=/\r\n\r\n{}";
                        stream
                            .write_all(answer.as_bytes())
                            .expect("the client reads");
                    }
                }
                Deed::ReadAndClose => {
                    let request = read_request(&mut stream).expect("a whole request");
                    tell.send(request).expect("the test listens");
                }
                Deed::ReadAndWait => {
                    let request = read_request(&mut stream).expect("a whole request");
                    tell.send(request).expect("the test listens");
                    // Ends when the client closes.
                    while stream.read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
                }
            }
        }
    });
    Server { port, got, thread }
}

fn door() -> Door {
    let settings =
        Settings::new(None, &Proxy::None, None, Duration::from_secs(30)).expect("no CA file");
    Door::new(Arc::new(settings), Arc::default())
}

fn order(port: u16) -> Request {
    Request {
        method: Method::POST,
        url: Url::parse(&format!("http://127.0.0.1:{port}/order?sId=1")).expect("a URL"),
        headers: HeaderMap::new(),
        body: Some(Zeroizing::new(b"jData=1".to_vec())),
        largest_answer: 1024,
    }
}

/// Sends on a lane of the door, as a call does.
fn send(door: &Door, request: Request, point: &Point) -> Result<Answer, Failure> {
    let mut lane = door.lane().expect("an event loop");
    let line = &mut lane.line;
    let trace = Trace::default();
    let sending = async {
        door.ready(line, &request.url, Way::default(), &trace)
            .await?;
        door.send(line, request, point, &trace).await
    };
    let result = lane.event_loop.drive(sending).expect("it is alive");
    door.keep(lane);
    result
}

#[test]
fn one_connection_serves_many() {
    let server = serve(vec![Deed::Answer(3)]);
    let door = door();
    for turn in 0..3 {
        let point = Point::default();
        let answer = send(&door, order(server.port), &point).expect("an answer");
        assert_eq!(
            (answer.http_status, answer.body.as_slice()),
            (200, b"{}".as_slice())
        );
        assert!(point.passed());
        let request = server.got.recv().expect("the server got it");
        assert!(
            request.starts_with("POST /order?sId=1 HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(request.ends_with("\r\n\r\njData=1"), "{request}");
        assert_eq!(request.contains("cookie: a=b\r\n"), turn > 0, "{request}");
    }
    server.thread.join().expect("one connection was enough");
}

#[test]
fn a_close_while_idle_costs_nothing() {
    let server = serve(vec![Deed::Answer(1), Deed::Answer(1)]);
    let door = door();
    for _ in 0..2 {
        send(&door, order(server.port), &Point::default()).expect("an answer");
        server.got.recv().expect("the server got it");
        // The close of the first connection has to arrive.
        std::thread::sleep(Duration::from_millis(300));
    }
    server
        .thread
        .join()
        .expect("two connections, one request each");
    assert!(server.got.try_recv().is_err());
}

#[test]
fn a_connection_that_was_idle_for_long_is_replaced() {
    let server = serve(vec![Deed::Answer(2), Deed::Answer(1)]);
    let door = door();
    send(&door, order(server.port), &Point::default()).expect("an answer");
    // Also if the machine slept meanwhile, which a clock of std may not count.
    let _later = clock::shifted(0, 21_000);
    send(&door, order(server.port), &Point::default()).expect("an answer");
    server
        .thread
        .join()
        .expect("the first one was closed unused");
    assert_eq!(server.got.iter().count(), 2);
}

#[test]
fn no_answer_is_no_second_try() {
    let server = serve(vec![Deed::ReadAndClose]);
    let door = door();
    let point = Point::default();
    let failure = send(&door, order(server.port), &point)
        .err()
        .expect("no answer");
    assert_eq!(failure.status, Status::Network);
    assert!(failure.sent && point.passed(), "{failure:?}");
    server.thread.join().expect("one connection");
    assert_eq!(server.got.iter().count(), 1);
}

#[test]
fn a_dropped_call_closes_its_connection() {
    let server = serve(vec![Deed::ReadAndWait]);
    let door = door();
    let point = Point::default();
    let mut lane = door.lane().expect("an event loop");
    let trace = Trace::default();
    let waited = lane.event_loop.drive(async {
        let order = order(server.port);
        door.ready(&mut lane.line, &order.url, Way::default(), &trace)
            .await
            .expect("it connects");
        let limit = Duration::from_millis(200);
        let late =
            tokio::time::timeout(limit, door.send(&mut lane.line, order, &point, &trace)).await;
        assert!(late.is_err(), "the server never answers");
    });
    assert!(waited.is_some());
    assert!(point.passed());
    server.thread.join().expect("the server saw the close");
    assert_eq!(server.got.iter().count(), 1);
}

#[test]
fn after_the_deadline_nothing_leaves() {
    let server = serve(vec![Deed::Answer(1)]);
    let door = door();
    let point = Point::not_after(crate::base::clock::now());
    let failure = send(&door, order(server.port), &point)
        .err()
        .expect("too late");
    assert_eq!(failure.status, Status::Timeout);
    assert!(!failure.sent && !point.passed());
    server
        .thread
        .join()
        .expect("the server saw a connection without a request");
    assert_eq!(server.got.iter().count(), 0);
}

#[test]
fn no_server_is_told_as_not_sent() {
    let port = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("bound")
        .port();
    let point = Point::default();
    let failure = send(&door(), order(port), &point)
        .err()
        .expect("nobody listens");
    assert_eq!((failure.status, failure.sent), (Status::Network, false));
    assert!(
        failure.message.contains("nothing was sent"),
        "{}",
        failure.message
    );
}

#[test]
fn over_tls_it_stays_with_http_1() {
    use kotak_neo_sandbox::{Options, Sandbox, TlsMode};
    let sandbox = Sandbox::start(Options {
        tls: TlsMode::Valid,
        http2: true,
        ..Options::default()
    });
    let sandbox = sandbox.expect("the sandbox starts");
    let limit = Duration::from_secs(30);
    let settings = Settings::new(sandbox.ca_file(), &Proxy::None, None, limit);
    let door = Door::new(
        Arc::new(settings.expect("the CA file is good")),
        Arc::default(),
    );
    for _ in 0..2 {
        let mut request = order(0);
        request.url = Url::parse(&format!("{}/order", sandbox.url())).expect("a URL");
        let answer = send(&door, request, &Point::default()).expect("an answer");
        assert_eq!(answer.http_status, 404, "the sandbox has no such path");
    }
    let requests = sandbox.requests();
    assert!(
        requests
            .iter()
            .all(|request| request.http_version == "HTTP/1.1")
    );
    assert!(requests.iter().all(|request| request.body == b"jData=1"));
    assert_eq!((requests.len(), sandbox.connections()), (2, 1));
}
