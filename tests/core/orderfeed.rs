//! The order feed, against a socket that does whatever a test wants, in front
//! of a sandbox that has the books.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use kotak_neo::{Client, OrderFeed, Status};
use kotak_neo_sandbox::{Sandbox, Switches};
use kotak_neo_testing::dice::Dice;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use crate::support::{answer, client_with, fault, json, log_in, sandbox};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Listens before a sandbox: sockets go to the test, all else to the sandbox.
struct Front {
    sandbox: Sandbox,
    address: String,
    sockets: Receiver<Wire>,
}

/// The server's end of a socket.
struct Wire(WebSocket<TcpStream>);

impl Front {
    fn new() -> Self {
        let sandbox = sandbox();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it listens").to_string();
        let target = host_of(sandbox.url());
        let (give, sockets) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (give, target) = (give.clone(), target.clone());
                thread::spawn(move || {
                    if is_socket(&stream) {
                        if let Ok(socket) = tungstenite::accept(stream) {
                            // The test may be over.
                            let _over = give.send(Wire(socket));
                        }
                    } else {
                        pass_on(stream, &target);
                    }
                });
            }
        });
        Self {
            sandbox,
            address,
            sockets,
        }
    }

    /// A client with a session, all of whose requests come through here.
    fn client(&self) -> Client {
        let more = json!({"base_url": format!("http://{}", self.address)});
        let client = client_with(&self.sandbox, &more);
        self.log_in(&client);
        client
    }

    fn log_in(&self, client: &Client) {
        let other = client_with(&self.sandbox, &json!({}));
        log_in(&self.sandbox, &other).expect("the credentials are right");
        let session = other.session_export().expect("there is a session");
        let host = host_of(self.sandbox.url());
        let session = session.json().replace(&host, &self.address);
        client.session_import(&session).expect("it is of today");
    }

    fn socket(&self) -> Wire {
        let wire = self.sockets.recv_timeout(PATIENCE);
        wire.expect("the feed connects")
    }

    /// A socket whose login is confirmed.
    fn confirmed(&self) -> Wire {
        let mut wire = self.socket();
        wire.text();
        wire.send(ACCEPTED);
        wire
    }

    /// Says no to both forms of a login, in these words; gives the forms.
    fn refuses(&self, no: [&str; 2]) -> [String; 2] {
        no.map(|no| {
            let mut wire = self.socket();
            let login = wire.text();
            wire.send(no);
            form_of(&login).to_owned()
        })
    }

    /// The rows of the order book, or of another.
    fn rows(&self, client: &Client) -> Vec<Value> {
        let book = client.order_report(None).expect("the sandbox answers");
        let rows = json(book.json())["data"].take();
        rows.as_array().expect("a book is a list").clone()
    }
}

const ACCEPTED: &str = r#"{"ak":"ok","type":"cn","task":"cn","msg":"connected"}"#;

/// What is told of the first two.
const REFUSED: &str = "Authentication Failed; log in again";
/// The three forms of a refusal on the wire.
const NO_LOGIN: &str = r#"{"ak":"nk","type":"cn","task":"cn","msg":"Authentication Failed"}"#;
const NO_CONNECTION: &str =
    r#"{"ak":"nk","type":"failed to connect","msg":"Authentication Failed"}"#;
const NO_FORMAT: &str =
    r#"{"ak":"nk","type":"failed to process request","task":"nk","msg":"invalid request format"}"#;

fn form_of(login: &str) -> &'static str {
    match login.starts_with("{type:cn,") {
        true => "raw",
        false => {
            assert_eq!(json(login)["type"], "cn");
            "json"
        }
    }
}

fn host_of(url: &str) -> String {
    url.trim_start_matches("http://").to_owned()
}

fn is_socket(stream: &TcpStream) -> bool {
    let wanted = b"GET /realtime";
    let mut first = [0; 13];
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        match stream.peek(&mut first) {
            Ok(0) | Err(_) => return false,
            Ok(length) if length < wanted.len() && first[..length] == wanted[..length] => {
                thread::sleep(Duration::from_millis(1));
            }
            Ok(length) => return first[..length] == wanted[..],
        }
    }
    false
}

fn pass_on(client: TcpStream, target: &str) {
    let Ok(server) = TcpStream::connect(target) else {
        return;
    };
    let copy = |from: &TcpStream, to: &TcpStream| {
        let (mut from, mut to) = (from, to);
        // Either end may leave at any time.
        let _left = io::copy(&mut from, &mut to);
        let _left = to.shutdown(Shutdown::Write);
    };
    thread::scope(|scope| {
        scope.spawn(|| copy(&client, &server));
        copy(&server, &client);
    });
}

impl Wire {
    fn send(&mut self, text: &str) {
        self.0.send(Message::text(text)).expect("the feed listens");
    }

    fn order(&mut self, row: &Value) {
        self.send(&json!({"type": "order", "data": row}).to_string());
    }

    /// The next text of the client.
    fn text(&mut self) -> String {
        loop {
            match self.0.read().expect("the client is there") {
                Message::Text(text) => return text.as_str().to_owned(),
                Message::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn close(mut self, code: u16, reason: &str) {
        let frame = CloseFrame {
            code: code.into(),
            reason: reason.to_owned().into(),
        };
        self.0.close(Some(frame)).expect("the feed listens");
        while self.0.read().is_ok() {}
    }
}

fn feed(client: &Client, options: &Value) -> OrderFeed {
    let mut all = json!({"reconnect_first_ms": 10, "reconnect_cap_ms": 50});
    for (key, value) in options.as_object().expect("options are an object") {
        all[key] = value.clone();
    }
    let opened = client.order_feed(Some(&all.to_string()));
    opened.expect("there is a session")
}

fn next(feed: &OrderFeed) -> Value {
    let event = feed.next(PATIENCE).expect("an event comes");
    json(event.json())
}

fn status(feed: &OrderFeed) -> Value {
    json(feed.status().expect("it is open").json())
}

/// The next event that `fits`; those before it go to `passed`.
fn until(feed: &OrderFeed, passed: &mut Vec<Value>, fits: impl Fn(&Value) -> bool) -> Value {
    loop {
        let event = next(feed);
        if fits(&event) {
            return event;
        }
        passed.push(event);
    }
}

fn state(feed: &OrderFeed, name: &str) -> Value {
    until(feed, &mut Vec::new(), |event| event["state"] == name)
}

fn books(feed: &OrderFeed) -> Vec<Value> {
    let mut passed = Vec::new();
    until(feed, &mut passed, |event| {
        event["type"] == "books" && event["ok"] == true
    });
    passed
}

#[test]
fn tells_each_step_once_and_recovers_a_gap() {
    let front = Front::new();
    let client = front.client();
    front.sandbox.set_price("nse_cm", "IDEA-EQ", "9.50");
    let number = front
        .sandbox
        .place_from_app("nse_cm", "IDEA-EQ", "B", 5, "9.30");
    let feed = feed(&client, &json!({}));
    let mut wire = front.socket();
    let login = wire.text();
    assert!(login.starts_with("{type:cn,Authorization:") && login.ends_with(",src:WEB}"));
    wire.send(ACCEPTED);
    let names: Vec<_> = (0..3).map(|_| next(&feed)["state"].clone()).collect();
    assert_eq!(names, ["connecting", "authenticating", "live"]);
    let first = next(&feed);
    assert_eq!(first["order"], json!(number));
    let told = (
        &first["origin"],
        &first["state"],
        &first["skipped"],
        &first["sequence"],
    );
    assert_eq!(
        told,
        (&json!("recovered"), &json!("open"), &json!(true), &json!(4))
    );
    assert!(books(&feed).is_empty());

    // The same again is nothing new; a position is.
    let row = front.rows(&client).remove(0);
    assert_eq!(first["data"], row);
    wire.order(&row);
    wire.send(r#"{"type":"position","data":{"sym":"IDEA","flBuyQty":"5"}}"#);
    wire.send("hello");
    assert_eq!(next(&feed)["type"], "position");
    assert_eq!(next(&feed)["raw"], "hello");

    wire.close(4001, "login elsewhere");
    let down = state(&feed, "down");
    let told = (&down["close_code"], &down["reason"]);
    assert_eq!(told, (&json!(4001), &json!("login elsewhere")));
    front.sandbox.set_price("nse_cm", "IDEA-EQ", "9.20");
    let _wire = front.confirmed();
    state(&feed, "live");
    let recovered = books(&feed);
    let kinds: Vec<_> = recovered.iter().map(|event| &event["type"]).collect();
    assert_eq!(kinds, ["trade", "order"]);
    let filled: u64 = recovered
        .iter()
        .filter_map(|event| event["fill_quantity"].as_u64())
        .sum();
    let last = &recovered[1];
    assert_eq!(
        (filled, &last["state"], &last["previous"]),
        (5, &json!("complete"), &json!("open"))
    );
    assert!(last.get("skipped").is_none(), "{last}");
    let status = status(&feed);
    assert_eq!(
        (&status["state"], &status["reconciled"]),
        (&json!("live"), &json!(true))
    );
    assert_eq!(status["connections"], 2);
}

#[test]
fn a_refusal_is_told_and_a_new_login_ends_it() {
    let front = Front::new();
    let client = front.client();
    let feed = feed(
        &client,
        &json!({"reconnect_first_ms": 600_000, "reconnect_cap_ms": 600_000}),
    );
    // The second form has its turn at once, not after the wait of a lost line.
    assert_eq!(front.refuses([NO_LOGIN; 2]), ["raw", "json"]);
    let mut passed = Vec::new();
    let refused = until(&feed, &mut passed, |event| event["state"] == "refused");
    assert_eq!(refused["reason"], "Authentication Failed; log in again");
    let between = "Authentication Failed (raw form); the json form is next";
    let next = passed.iter().find(|event| event["reason"] == between);
    assert_eq!(next.expect("it is told")["state"], "connecting");
    assert!(passed.iter().all(|event| event["state"] != "down"));
    front.log_in(&client);
    let _wire = front.confirmed();
    state(&feed, "live");
}

#[test]
fn every_form_of_a_refusal_is_one_after_both_forms_of_the_login() {
    let told = "Authentication Failed";
    let bare = r#"{"ak":"NK","type":"Failed to connect","msg":null}"#;
    let odd = r#"{"ak":"nk","type":"failed to connect","msg":{"code":7}}"#;
    let format = "invalid request format";
    for (no, reason) in [
        ([NO_LOGIN, NO_CONNECTION], told),
        ([NO_CONNECTION, NO_CONNECTION], told),
        ([NO_CONNECTION, NO_LOGIN], told),
        ([NO_FORMAT, NO_FORMAT], format),
        // What was understood tells more than what was not.
        ([NO_FORMAT, NO_CONNECTION], told),
        ([NO_CONNECTION, NO_FORMAT], told),
        ([NO_LOGIN, NO_FORMAT], told),
        ([bare, bare], "Failed to connect"),
        ([odd, odd], r#"{"code":7}"#),
        ([r#"{"ak":"nk"}"#, r#"{"ak":"nk"}"#], "no reason given"),
    ] {
        let front = Front::new();
        let client = front.client();
        let feed = feed(&client, &json!({"reconnect_cap_ms": 200}));
        let mut forms = front.refuses(no);
        let mut passed = Vec::new();
        let refused = until(&feed, &mut passed, |event| event["state"] == "refused");
        assert_eq!(
            refused["reason"],
            format!("{reason}; log in again"),
            "{no:?}"
        );
        let wait = refused["retry_in_ms"].as_u64();
        assert!(wait.is_some_and(|ms| ms >= 200), "{refused}");
        let states: Vec<_> = passed.iter().map(|event| &event["state"]).collect();
        let tries = ["connecting", "authenticating"];
        assert_eq!(states[..2], tries, "{no:?}");
        assert_eq!(states[2], "connecting");
        assert_eq!(states[3..], tries, "{no:?}");
        forms.sort();
        assert_eq!(forms, ["json", "raw"], "{no:?}");
        // It was a mistake of the server's: both forms have their turn again.
        let mut wire = front.socket();
        let first = form_of(&wire.text());
        wire.send(NO_LOGIN);
        let mut wire = front.socket();
        assert_ne!(form_of(&wire.text()), first);
        wire.send(ACCEPTED);
        state(&feed, "live");
    }
}

#[test]
fn a_server_that_takes_one_form_only_refuses_nobody() {
    for no in [NO_LOGIN, NO_CONNECTION, NO_FORMAT] {
        let front = Front::new();
        let client = front.client();
        let patient = json!({"reconnect_first_ms": 600_000, "reconnect_cap_ms": 600_000});
        let feed = feed(&client, &patient);
        let mut wire = front.socket();
        assert_eq!(form_of(&wire.text()), "raw");
        wire.send(no);
        let mut wire = front.socket();
        assert_eq!(form_of(&wire.text()), "json");
        wire.send(r#"{"ak":"OK","type":"cn"}"#);
        let mut passed = Vec::new();
        until(&feed, &mut passed, |event| event["state"] == "live");
        assert!(passed.iter().all(|event| event["state"] != "refused"));
    }
}

#[test]
fn a_form_that_gets_no_answer_is_tried_too() {
    let front = Front::new();
    let client = front.client();
    let feed = feed(&client, &json!({}));
    let mut wire = front.socket();
    assert_eq!(form_of(&wire.text()), "raw");
    drop(wire);
    let mut wire = front.socket();
    assert_eq!(form_of(&wire.text()), "json");
    wire.send(NO_CONNECTION);
    let refused = state(&feed, "refused");
    assert_eq!(refused["reason"], REFUSED);
}

#[test]
fn after_the_first_ok_a_refusal_is_judged_by_what_it_answers() {
    let front = Front::new();
    let client = front.client();
    let feed = feed(&client, &json!({}));
    let mut wire = front.confirmed();
    state(&feed, "live");
    // The server did not understand something: the login still stands.
    for no in [NO_FORMAT, r#"{"ak":"nk","msg":"what?"}"#] {
        wire.send(no);
        let message = until(&feed, &mut Vec::new(), |event| event["type"] == "message");
        assert_eq!(message["raw"], no);
    }
    wire.order(&json!({"nOrdNo": "1", "ordSt": "open"}));
    until(&feed, &mut Vec::new(), |event| event["order"] == "1");
    // The connection or the login does not stand any more.
    wire.send(NO_CONNECTION);
    assert_eq!(state(&feed, "refused")["reason"], REFUSED);
    let mut wire = front.confirmed();
    state(&feed, "live");
    wire.send(NO_LOGIN);
    assert_eq!(state(&feed, "refused")["reason"], REFUSED);
}

#[test]
fn a_refusal_by_mistake_does_not_last() {
    let front = Front::new();
    let client = front.client();
    let feed = feed(&client, &json!({}));
    front.refuses([NO_LOGIN; 2]);
    let refused = state(&feed, "refused");
    // The longest wait is 50: a refusal is never tried again before.
    let wait = refused["retry_in_ms"].as_u64();
    assert!(wait.is_some_and(|ms| (50..=100).contains(&ms)), "{refused}");
    let _wire = front.confirmed();
    state(&feed, "live");
    client.logout().expect("there is a session");
    let refused = state(&feed, "refused");
    assert_eq!(refused["retry_in_ms"], json!(null));
    front.log_in(&client);
    let _wire = front.confirmed();
    state(&feed, "live");
}

#[test]
fn a_session_of_another_generation_is_not_shown_to_the_feed() {
    let front = Front::new();
    let client = front.client();
    let feed = feed(&client, &json!({}));
    let _wire = front.confirmed();
    state(&feed, "live");
    let mut session = json(client.session_export().expect("there is one").json());
    session["generation"] = json!(2);
    session["bearer"] = json!("fake-bearer");
    client
        .session_import(&session.to_string())
        .expect("it is of today");
    assert_eq!(state(&feed, "refused")["retry_in_ms"], json!(null));
    front.log_in(&client);
    let _wire = front.confirmed();
    state(&feed, "live");
}

#[test]
fn the_words_of_the_server_are_short_and_show_no_session() {
    let front = Front::new();
    let client = front.client();
    let session = json(client.session_export().expect("there is one").json());
    let sid = session["sid"].as_str().expect("a text");
    let feed = feed(&client, &json!({}));
    let long = format!("no, {sid} {}", "x".repeat(900_000));
    let mut wire = front.socket();
    wire.text();
    wire.send(&json!({"ak": "nk", "type": "x", "msg": long}).to_string());
    let mut wire = front.socket();
    wire.text();
    wire.send(&json!({"ak": "nk", "type": "cn", "msg": long}).to_string());
    let mut passed = Vec::new();
    let refused = until(&feed, &mut passed, |event| event["state"] == "refused");
    for event in [&refused, &passed[2]] {
        let reason = event["reason"].as_str().expect("a reason");
        assert!(reason.starts_with("no, *** xxx"), "{reason:.80}");
        assert!(reason.len() < 1000, "{}", reason.len());
    }
    front.confirmed().close(4001, &format!("end of {sid}"));
    state(&feed, "live");
    assert_eq!(state(&feed, "down")["reason"], "end of ***");
}

#[test]
fn one_failure_does_not_bring_back_a_form_that_never_worked() {
    let front = Front::new();
    let client = front.client();
    let feed = feed(&client, &json!({}));
    let mut wire = front.socket();
    assert!(wire.text().starts_with("{type:cn,"));
    wire.send(ACCEPTED);
    state(&feed, "live");
    drop(wire);
    // The server restarts: one connection ends before its login is answered.
    let mut wire = front.socket();
    assert!(wire.text().starts_with("{type:cn,"));
    drop(wire);
    let mut wire = front.socket();
    assert!(wire.text().starts_with("{type:cn,"));
    drop(wire);
    // Twice is no accident.
    let mut wire = front.socket();
    assert!(wire.text().starts_with(r#"{""#));
}

#[test]
fn the_form_that_was_acknowledged_is_tried_first() {
    let front = Front::new();
    let client = front.client();
    let first = feed(&client, &json!({"login_timeout_ms": 1500}));
    // Dropped at once, then not understood, then silence, each has its turn.
    let mut wire = front.socket();
    assert!(wire.text().starts_with("{type:cn,"));
    drop(wire);
    let mut wire = front.socket();
    assert_eq!(json(&wire.text())["type"], "cn");
    wire.send(NO_FORMAT);
    let mut wire = front.socket();
    assert!(wire.text().starts_with("{type:cn,"));
    let silent = until(&first, &mut Vec::new(), |event| {
        event["reason"]
            .as_str()
            .is_some_and(|text| text.contains("not acknowledged"))
    });
    assert_eq!(silent["state"], "down");
    drop(wire);
    let mut wire = front.socket();
    assert!(wire.text().starts_with(r#"{""#));
    wire.send(ACCEPTED);
    state(&first, "live");
    let second = feed(&client, &json!({}));
    let mut wire = front.socket();
    assert!(wire.text().starts_with(r#"{""#));
    // An order proves the login as well.
    wire.send(r#"{"type":"order","data":{"nOrdNo":"1","ordSt":"open"}}"#);
    state(&second, "live");
    assert_eq!(next(&second)["order"], "1");
}

#[test]
fn books_that_cannot_be_read_are_told_and_read_again() {
    let front = Front::new();
    let client = front.client();
    fault(
        &front.sandbox,
        "/quick/user/trades",
        answer(503, "text/html", "<html>"),
    );
    let feed = feed(&client, &json!({}));
    let mut wire = front.confirmed();
    let failed = until(&feed, &mut Vec::new(), |event| event["type"] == "books");
    assert_eq!(
        (&failed["ok"], &failed["status"]),
        (&json!(false), &json!("UNAVAILABLE"))
    );
    // Live events do not wait for the books.
    wire.send(r#"{"type":"order","data":{"nOrdNo":"1","ordSt":"open"}}"#);
    until(&feed, &mut Vec::new(), |event| event["order"] == "1");
    front.sandbox.clear_faults();
    books(&feed);
}

#[test]
fn a_connection_that_stops_answering_pings_is_down() {
    let front = Front::new();
    let client = front.client();
    let feed = feed(&client, &json!({"ping_interval_ms": 200}));
    let mut wire = front.confirmed();
    // Reading answers the first ping; then nobody reads any more.
    assert!(matches!(wire.0.read(), Ok(Message::Ping(_))));
    wire.0.flush().expect("the feed listens");
    let down = state(&feed, "down");
    assert!(
        down["reason"]
            .as_str()
            .is_some_and(|text| text.contains("ping")),
        "{down}"
    );
    let _again = front.confirmed();
    state(&feed, "live");
}

#[test]
fn ends_at_once_whatever_the_network_does() {
    let front = Front::new();
    let client = front.client();
    let one = feed(&client, &json!({}));
    // Nobody ever answers the login.
    let _wire = front.socket();
    state(&one, "authenticating");
    let reader = one.clone();
    let waits = thread::spawn(move || {
        loop {
            if let Err(error) = reader.next(10 * PATIENCE) {
                return error.status();
            }
        }
    });
    one.close();
    assert_eq!(waits.join().expect("no panic"), Status::Closed);
    let other = feed(&client, &json!({}));
    client.close();
    while other.next(PATIENCE).is_ok() {}
    let ended = other
        .next(Duration::ZERO)
        .expect_err("the client is closed");
    assert_eq!(ended.status(), Status::Closed);
    let late = client.order_feed(None).expect_err("the client is closed");
    assert_eq!(late.status(), Status::Closed);
}

#[test]
fn opening_says_what_is_missing() {
    let front = Front::new();
    let nobody = client_with(&front.sandbox, &json!({}));
    let status = |options: &str| {
        nobody
            .order_feed(Some(options))
            .expect_err("no session")
            .status()
    };
    assert_eq!(status(""), Status::NotLoggedIn);
    for wrong in [
        "[]",
        r#"{"x":1}"#,
        r#"{"ping_interval_ms":1}"#,
        r#"{"source":"a,b"}"#,
        r#"{"source":""}"#,
    ] {
        assert_eq!(status(wrong), Status::InvalidArgument, "{wrong}");
    }
    let older = client_with(&front.sandbox, &json!({"generation": 1}));
    crate::support::password_login(&front.sandbox, &older).expect("the credentials are right");
    older
        .session_2fa(&front.sandbox.credentials().mpin)
        .expect("the MPIN is right");
    let error = older.order_feed(None).expect_err("it is not built");
    assert!(error.message().contains("15 September 2026"), "{error}");
}

#[test]
fn another_session_gets_a_connection_of_its_own() {
    let front = Front::new();
    let client = front.client();
    let feed = feed(&client, &json!({}));
    let mut wire = front.socket();
    let before = wire.text();
    wire.send(ACCEPTED);
    state(&feed, "live");
    front.log_in(&client);
    state(&feed, "down");
    let mut wire = front.socket();
    assert_ne!(wire.text(), before);
    wire.send(ACCEPTED);
    state(&feed, "live");
}

#[test]
fn a_slow_reader_is_told_and_gets_what_he_missed_from_the_books() {
    const KEPT: u64 = 65_536;
    let front = Front::new();
    let client = front.client();
    let feed = feed(&client, &json!({}));
    let mut wire = front.confirmed();
    books(&feed);
    for at in 0..KEPT {
        wire.send(&format!(
            r#"{{"type":"order","data":{{"nOrdNo":"x{at}","ordSt":"open"}}}}"#
        ));
    }
    let missed = front
        .sandbox
        .place_from_app("nse_cm", "IDEA-EQ", "B", 5, "9.00");
    wire.order(&front.rows(&client).remove(0));
    wire.send(r#"{"type":"position","data":{}}"#);
    let end = Instant::now() + PATIENCE;
    while status(&feed)["dropped"] != 2 {
        assert!(Instant::now() < end, "{}", status(&feed));
        thread::sleep(Duration::from_millis(5));
    }
    let mut kept = Vec::new();
    let overflow = until(&feed, &mut kept, |event| event["type"] == "overflow");
    assert_eq!((kept.len() as u64, &overflow["kept"]), (KEPT, &json!(KEPT)));
    assert!(kept.iter().all(|event| event["type"] == "order"));
    let recovered = books(&feed);
    assert_eq!(recovered.len(), 1);
    assert_eq!(recovered[0]["order"], json!(missed));
}

#[test]
fn what_the_broker_says_of_the_books_is_cut() {
    let front = Front::new();
    let client = front.client();
    let said = json!({"stat": "Not_Ok", "stCode": 1009, "emsg": "x".repeat(500_000)});
    let refusal = answer(400, "application/json", &said.to_string());
    fault(&front.sandbox, "/quick/user/orders", refusal);
    let feed = feed(&client, &json!({}));
    let _wire = front.confirmed();
    let failed = until(&feed, &mut Vec::new(), |event| event["type"] == "books");
    assert_eq!(failed["ok"], false);
    let reason = failed["reason"].as_str().expect("a sentence");
    assert!(
        reason.starts_with("the broker refused order_report: xxx"),
        "{reason:.60}"
    );
    assert!(
        reason.len() < 1100 && reason.ends_with(" bytes in all)"),
        "{}",
        reason.len()
    );
}

/// A day of orders over a bad line: events lost, doubled and late, and the
/// connection cut. In the end the events add up to the books.
#[test]
fn after_a_bad_day_the_events_add_up_to_the_books() {
    let front = Front::new();
    let client = front.client();
    let liquid = Switches {
        liquidity: Some(3),
        ..front.sandbox.switches()
    };
    front.sandbox.set_switches(liquid);
    let feed = feed(&client, &json!({}));
    let mut dice = Dice::new(42);
    let mut events = Vec::new();
    let mut late: Vec<Value> = Vec::new();
    for _connection in 0..6 {
        let mut wire = front.confirmed();
        until(&feed, &mut events, |event| event["state"] == "live");
        for _step in 0..15 {
            if dice.roll(3) == 0 {
                let side = *dice.pick(&["B", "S"]);
                let quantity = *dice.pick(&[1, 2, 3, 4, 5, 6, 7, 8, 9]);
                let price = *dice.pick(&["9.30", "9.40", "9.50"]);
                let _ = front
                    .sandbox
                    .place_from_app("nse_cm", "IDEA-EQ", side, quantity, price);
            }
            front.sandbox.tick(1);
            for row in front.rows(&client) {
                for _copy in 0..*dice.pick(&[0, 1, 1, 2]) {
                    wire.order(&row);
                }
                if dice.roll(4) == 0 {
                    late.push(row);
                }
            }
            if !late.is_empty() && dice.roll(2) == 0 {
                let at = dice.below(late.len());
                wire.order(&late.swap_remove(at));
            }
        }
        wire.close(1011, "try again");
        until(&feed, &mut events, |event| event["state"] == "down");
        front.sandbox.tick(2);
    }
    let mut wire = front.confirmed();
    events.extend(books(&feed));
    for row in &late {
        wire.order(row);
    }
    wire.send("the end");
    until(&feed, &mut events, |event| event["raw"] == "the end");

    let rows = front.rows(&client);
    assert!(rows.len() > 10);
    let mut last: HashMap<&str, &Value> = HashMap::new();
    let mut filled: HashMap<&str, u64> = HashMap::new();
    let mut trades = HashSet::new();
    for (at, event) in events.iter().enumerate() {
        if at > 0 {
            assert!(event["sequence"].as_u64() > events[at - 1]["sequence"].as_u64());
        }
        let Some(number) = event["order"].as_str() else {
            continue;
        };
        *filled.entry(number).or_default() += event["fill_quantity"].as_u64().expect("a number");
        if event["type"] == "trade" {
            assert!(trades.insert((number, event["trade"].as_str())), "{event}");
        } else if let Some(before) = last.insert(number, event) {
            assert!(
                event["filled"].as_u64() >= before["filled"].as_u64(),
                "{event}"
            );
            let same = event["filled"] == before["filled"] && event["state"] == before["state"];
            assert!(!same, "{before} {event}");
        }
    }
    assert_eq!(last.len(), rows.len());
    for row in &rows {
        let number = row["nOrdNo"].as_str().expect("a number");
        assert_eq!(last[number]["state_text"], row["ordSt"]);
        assert_eq!(last[number]["filled"], row["fldQty"]);
        assert_eq!(
            filled[number],
            row["fldQty"].as_u64().expect("a number"),
            "{row}"
        );
    }
    assert_eq!(trades.len(), front.sandbox.trades().len());
}
