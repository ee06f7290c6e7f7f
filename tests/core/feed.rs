//! The market feed, against a server of a few lines that does what each test
//! wants.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt, StreamExt};
use kotak_neo::{Client, Depth, Feed, Status, Tick};
use kotak_neo_testing::packets::{bytes_of, lite, vectors};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::support::{client, json as parse, log_in, sandbox};

/// Long enough for the slowest machine.
const LATE: Duration = Duration::from_secs(60);
const WELCOME: &str = r#"{"message_code":1117,"exchanges":{"nse_cm":{"divider":100}}}"#;

type Socket = WebSocketStream<TcpStream>;

/// Counts what the thread that reads allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: all is done by the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _gone = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A server that serves each connection with `serve`; it tells the texts that
/// it gets.
struct Server {
    address: SocketAddr,
    texts: Receiver<String>,
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    fn start<F>(serve: impl Fn(Socket, usize, Sender<String>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let (tell, texts) = channel();
        runtime.spawn(async move {
            let mut number = 0;
            while let Ok((stream, _)) = listener.accept().await {
                number += 1;
                if let Ok(socket) = tokio_tungstenite::accept_async(stream).await {
                    tokio::spawn(serve(socket, number, tell.clone()));
                }
            }
        });
        Self {
            address,
            texts,
            _runtime: runtime,
        }
    }

    /// A client with a session whose feed is this server.
    fn client(&self) -> Client {
        let base = format!("http://{}", self.address);
        let client = Client::open(Some(&json!({"base_url": base}).to_string()));
        let client = client.expect("the configuration is valid");
        self.new_session(&client);
        client
    }

    fn new_session(&self, client: &Client) {
        self.session_of(client, "FAKE1", "fake-sid");
    }

    fn session_of(&self, client: &Client, ucc: &str, sid: &str) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970");
        let session = json!({
            "format": "kotak_neo.session", "version": 1, "environment": "prod",
            "generation": 3, "logged_in_at": now.as_secs(), "ucc": ucc,
            "base_url": format!("http://{}", self.address),
            "feed_url": format!("ws://{}/apifeed", self.address),
            "token": "fake-token", "sid": sid,
        });
        client
            .session_import(&session.to_string())
            .expect("the session is good");
    }

    /// The next text that the server got.
    fn text(&self) -> Value {
        parse(&self.texts.recv_timeout(LATE).expect("a text in time"))
    }
}

/// Logs the client in, then tells every text and answers nothing.
async fn greet(socket: &mut Socket, tell: &Sender<String>) {
    next_text(socket, tell).await;
    send(socket, WELCOME).await;
}

async fn next_text(socket: &mut Socket, tell: &Sender<String>) -> bool {
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Text(text) = message {
            // The test may be over.
            let _over = tell.send(text.to_string());
            return true;
        }
    }
    false
}

async fn send(socket: &mut Socket, text: &str) {
    // The client may be gone.
    let _gone = socket.send(Message::text(text)).await;
}

/// The bytes of a documented packet.
fn vector(name: &str) -> Vec<u8> {
    let found = vectors().into_iter().find(|one| one["name"] == name);
    bytes_of(&found.expect(name))
}

fn event(feed: &Feed) -> Value {
    parse(feed.next(LATE).expect("an event in time").json())
}

/// The next event of a kind; the others before it are let go.
fn until(feed: &Feed, fits: impl Fn(&Value) -> bool) -> Value {
    let start = Instant::now();
    loop {
        let event = event(feed);
        if fits(&event) {
            return event;
        }
        assert!(start.elapsed() < LATE, "it never came");
    }
}

fn state(name: &str) -> impl Fn(&Value) -> bool {
    move |event| event["type"] == "state" && event["state"] == name
}

fn quick() -> Option<&'static str> {
    Some(
        r#"{"ping_interval_ms":100,"pong_timeout_ms":400,"stale_after_ms":300,
            "reconnect_first_ms":50,"reconnect_cap_ms":100}"#,
    )
}

#[test]
fn a_price_comes_as_event_as_struct_and_as_newest_value() {
    let depth = vector("depth.level8");
    let server = Server::start(move |mut socket, _, tell| {
        let depth = depth.clone();
        async move {
            greet(&mut socket, &tell).await;
            next_text(&mut socket, &tell).await;
            send(
                &mut socket,
                r#"{"message_code":1109,"trading_symbols":{"nse_cm|11536":"TCS-EQ"}}"#,
            )
            .await;
            let frame = [depth, lite(7, 1234)].concat();
            let _gone = socket.send(Message::Binary(frame.into())).await;
            while next_text(&mut socket, &tell).await {}
        }
    });
    let client = server.client();
    let feed = client.feed(None).expect("there is a session");
    feed.subscribe("depth", Some("nse_cm|11536"))
        .expect("it is a good instrument");
    let login = server.text();
    assert_eq!(
        (&login["user"], &login["auth"]),
        (&json!("FAKE1"), &json!("fake-sid"))
    );
    assert_eq!(
        server.text(),
        json!({"event": "subscribeDepth", "inputtoken": "nse_cm|11536", "ack_symbol": true})
    );
    let names: Vec<Value> = (0..3).map(|_| event(&feed)["state"].clone()).collect();
    assert_eq!(names, ["connecting", "authenticating", "live"]);

    let price = event(&feed);
    assert_eq!(price["trading_symbol"], "TCS-EQ");
    assert_eq!(price["last_traded_price"], 1500.5);
    assert_eq!(price["buy"].as_array().map(Vec::len), Some(5));

    let mut read = Vec::new();
    let count = feed.read(10, LATE, |tick| read.push(*tick));
    assert_eq!(count.expect("it is open"), 1);
    assert_eq!((read[0].token, read[0].last_traded_price), (7, 12.34));

    let mut tick = Tick::default();
    assert!(feed.last("nse_cm|11536", &mut tick).expect("it is open"));
    assert_eq!(
        (tick.buy_price, tick.buy_price_raw, tick.divider),
        (1500.0, 150_000, 100)
    );
    assert!(tick.received_ns > 0 && tick.age_us >= 0);
    let mut rows = Depth::default();
    assert!(feed.depth("nse_cm|11536", &mut rows).expect("it is open"));
    assert_eq!((rows.buy_rows, rows.sell[0].price), (5, 1505.0));
    assert!(!feed.last("nse_cm|1", &mut tick).expect("it is open"));

    let status = parse(feed.status().expect("it is open").json());
    assert_eq!(
        (&status["state"], &status["packets"]),
        (&json!("live"), &json!(2))
    );
    let error = feed.next(Duration::ZERO).expect_err("nothing is left");
    assert_eq!(error.status(), Status::End);
}

#[test]
fn subscriptions_come_back_after_a_reconnect_in_batches() {
    let server = Server::start(|mut socket, number, tell| async move {
        greet(&mut socket, &tell).await;
        for _ in 0..4 {
            next_text(&mut socket, &tell).await;
        }
        if number == 1 {
            let _gone = socket.close(None).await;
        }
        while next_text(&mut socket, &tell).await {}
    });
    let client = server.client();
    let feed = client
        .feed(Some(r#"{"reconnect_first_ms":50}"#))
        .expect("there is a session");
    let list = |from: u32, to: u32| -> String {
        let all: Vec<String> = (from..to).map(|token| format!("nse_fo|{token}")).collect();
        all.join(",")
    };
    feed.subscribe("scrips", Some(&list(0, 1200)))
        .expect("it is within the limit");
    feed.subscribe("exchange", None).expect("it has no tokens");
    let error = feed.subscribe("depth", Some(&list(0, 1801)));
    let error = error.expect_err("one too many");
    assert_eq!(error.status(), Status::InvalidArgument);
    assert!(error.message().contains("3001"), "{}", error.message());

    for round in 0..2 {
        assert_eq!(server.text()["format"], "native_batch", "{round}");
        let mut tokens = 0;
        let mut exchange = false;
        while tokens < 1200 || !exchange {
            let frame = server.text();
            match frame["inputtoken"].as_str() {
                Some(list) => {
                    assert!(list.split(',').count() <= 500);
                    tokens += list.split(',').count();
                }
                None => exchange = frame["event"] == "subscribeExchange",
            }
        }
        assert_eq!(tokens, 1200);
    }
    let down = until(&feed, state("down"));
    assert!(down["close_code"].is_number() && down["retry_in_ms"].is_number());
    until(&feed, state("live"));
    feed.unsubscribe("scrips", Some(&list(0, 1)))
        .expect("it was subscribed");
    let frame = server.text();
    assert_eq!(
        frame,
        json!({"event": "unsubscribeScrips", "inputtoken": "nse_fo|0"})
    );
    let status = parse(feed.status().expect("it is open").json());
    assert_eq!(
        (&status["subscribed"], &status["gaps"]),
        (&json!(1199), &json!(1))
    );
}

#[test]
fn a_refused_login_is_told_and_a_new_session_goes_on() {
    let server = Server::start(|mut socket, number, tell| async move {
        next_text(&mut socket, &tell).await;
        if number == 1 {
            // A welcome that promises nothing, then the refusal.
            send(&mut socket, r#"{"message_code":1119,"exchanges":{}}"#).await;
            send(&mut socket, r#"{"message_code":1120,"message":"no"}"#).await;
        } else {
            send(&mut socket, WELCOME).await;
        }
        while next_text(&mut socket, &tell).await {}
    });
    let client = server.client();
    let feed = client.feed(quick()).expect("there is a session");
    let refused = until(&feed, state("refused"));
    let reason = refused["reason"].as_str().expect("a text");
    assert!(
        reason.contains("no") && reason.contains("log in again"),
        "{reason}"
    );
    let error = feed.snapshot("scrips", Some("nse_cm|1"));
    assert_eq!(error.expect_err("no socket").status(), Status::Network);
    server.new_session(&client);
    until(&feed, state("live"));
}

#[test]
fn a_refusal_by_mistake_does_not_last() {
    let server = Server::start(|mut socket, number, tell| async move {
        next_text(&mut socket, &tell).await;
        let refusal = r#"{"message_code":1120,"message":"no"}"#;
        send(&mut socket, if number < 3 { refusal } else { WELCOME }).await;
        while next_text(&mut socket, &tell).await {}
    });
    let client = server.client();
    let feed = client.feed(quick()).expect("there is a session");
    for _ in 0..2 {
        let refused = until(&feed, state("refused"));
        // The cap is 100: a refusal is never tried again before.
        let wait = refused["retry_in_ms"].as_u64();
        assert!(
            wait.is_some_and(|ms| (100..=200).contains(&ms)),
            "{refused}"
        );
    }
    until(&feed, state("live"));
}

#[test]
fn a_server_that_accepts_and_closes_is_tried_ever_more_rarely() {
    let server = Server::start(|mut socket, number, tell| async move {
        if number % 2 == 0 {
            greet(&mut socket, &tell).await;
        }
        let _gone = socket.close(None).await;
    });
    let client = server.client();
    let options = r#"{"reconnect_first_ms":50,"reconnect_cap_ms":400}"#;
    let feed = client.feed(Some(options)).expect("there is a session");
    for full in [50, 100, 200, 400, 400] {
        let down = until(&feed, state("down"));
        let wait = down["retry_in_ms"].as_u64();
        assert!(
            wait.is_some_and(|ms| (full / 2..=full).contains(&ms)),
            "{full}: {down}"
        );
    }
}

/// Waits as long as the test may last unless there is a reason to go on.
const PATIENT: &str = r#"{"reconnect_first_ms":3600000,"reconnect_cap_ms":3600000}"#;

#[test]
fn a_new_session_takes_over_when_the_old_one_ends() {
    let server = Server::start(|mut socket, number, tell| async move {
        greet(&mut socket, &tell).await;
        if number == 1 {
            next_text(&mut socket, &tell).await;
            send(
                &mut socket,
                r#"{"message_code":1120,"message":"login elsewhere"}"#,
            )
            .await;
        }
        while next_text(&mut socket, &tell).await {}
    });
    let client = server.client();
    let feed = client.feed(Some(PATIENT)).expect("there is a session");
    until(&feed, state("live"));
    assert_eq!(server.text()["auth"], "fake-sid");
    server.session_of(&client, "FAKE1", "fake-sid-2");
    // The connection of the same user serves on, until the broker ends it.
    feed.subscribe("exchange", None).expect("it is open");
    assert_eq!(server.text()["event"], "subscribeExchange");
    let refused = until(&feed, |event| event["type"] == "state");
    assert_eq!(refused["state"], "refused");
    until(&feed, state("live"));
    assert_eq!(server.text()["auth"], "fake-sid-2");
    assert_eq!(server.text()["event"], "subscribeExchange");
}

#[test]
fn the_session_of_another_user_and_a_logout_end_the_connection() {
    let server = Server::start(|mut socket, _, tell| async move {
        greet(&mut socket, &tell).await;
        while next_text(&mut socket, &tell).await {}
    });
    let client = server.client();
    let feed = client.feed(Some(PATIENT)).expect("there is a session");
    until(&feed, state("live"));
    assert_eq!(server.text()["user"], "FAKE1");
    server.session_of(&client, "FAKE2", "fake-sid-2");
    until(&feed, state("down"));
    until(&feed, state("live"));
    assert_eq!(server.text()["user"], "FAKE2");
    client.logout().expect("there is a session");
    let refused = until(&feed, state("refused"));
    assert_eq!(refused["retry_in_ms"], json!(null));
    server.session_of(&client, "FAKE1", "fake-sid-3");
    until(&feed, state("live"));
    assert_eq!(server.text()["auth"], "fake-sid-3");
}

#[test]
fn what_is_left_and_taken_up_in_one_breath_is_asked_for_again() {
    let server = Server::start(|mut socket, _, tell| async move {
        greet(&mut socket, &tell).await;
        while next_text(&mut socket, &tell).await {}
    });
    let client = server.client();
    let feed = client.feed(None).expect("there is a session");
    feed.subscribe("scrips", Some("nse_cm|7,nse_cm|8"))
        .expect("they are good");
    assert_eq!(server.text()["format"], "native_batch");
    assert_eq!(server.text()["event"], "subscribeScrips");
    feed.unsubscribe("scrips", Some("nse_cm|7,nse_cm|9"))
        .expect("it is open");
    feed.subscribe("scrips", Some("nse_cm|7"))
        .expect("it is open");
    for verb in ["unsubscribe", "subscribe"] {
        let frame = server.text();
        assert_eq!(frame["event"], format!("{verb}Scrips"));
        assert_eq!(frame["inputtoken"], "nse_cm|7");
    }
}

#[test]
fn packets_with_nothing_in_them_do_not_hide_a_silence() {
    let server = Server::start(|mut socket, _, tell| async move {
        greet(&mut socket, &tell).await;
        next_text(&mut socket, &tell).await;
        // Sent all day for every instrument; outside the closing auction all is 0.
        let mut nothing = vec![0_u8; 33];
        nothing[0] = 33;
        nothing[2] = 104;
        nothing[4] = 1;
        while socket
            .send(Message::Binary(nothing.clone().into()))
            .await
            .is_ok()
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let client = server.client();
    let feed = client.feed(quick()).expect("there is a session");
    feed.subscribe("scrips", Some("nse_cm|7")).expect("good");
    until(&feed, state("stale"));
}

#[test]
fn the_words_of_the_broker_do_not_show_the_session() {
    let server = Server::start(|mut socket, number, tell| async move {
        next_text(&mut socket, &tell).await;
        match number {
            1 => {
                let words = r#"{"message_code":1120,"message":"bad session fake-sid-9"}"#;
                send(&mut socket, words).await;
            }
            2 => {
                let frame = CloseFrame {
                    code: 4001.into(),
                    reason: "end of fake-sid-9".into(),
                };
                let _gone = socket.close(Some(frame)).await;
            }
            _ => {
                send(&mut socket, WELCOME).await;
                let words =
                    r#"{"message_code":1109,"error_code":5,"message":"not for fake-sid-9"}"#;
                send(&mut socket, words).await;
            }
        }
        while next_text(&mut socket, &tell).await {}
    });
    let client = server.client();
    server.session_of(&client, "FAKE1", "fake-sid-9");
    let feed = client.feed(quick()).expect("there is a session");
    for words in ["bad session", "end of", "not for"] {
        let told = until(&feed, |event| {
            event["reason"]
                .as_str()
                .is_some_and(|reason| reason.contains(words))
        });
        assert!(!told.to_string().contains("fake-sid-9"), "{told}");
        assert!(told.to_string().contains("***"), "{told}");
    }
}

#[test]
fn a_server_that_takes_nothing_any_more_is_left() {
    let server = Server::start(|mut socket, number, tell| async move {
        greet(&mut socket, &tell).await;
        if number == 1 {
            // The connection stays, and nobody reads.
            tokio::time::sleep(LATE * 2).await;
        }
        while next_text(&mut socket, &tell).await {}
    });
    let client = server.client();
    let options = r#"{"pong_timeout_ms":400,"reconnect_first_ms":50,"reconnect_cap_ms":100}"#;
    let feed = client.feed(Some(options)).expect("there is a session");
    until(&feed, state("live"));
    let all: Vec<String> = (0..3000).map(|token| format!("nse_fo|{token}")).collect();
    let all = all.join(",");
    let start = Instant::now();
    let down = loop {
        assert!(start.elapsed() < LATE, "it took everything");
        feed.subscribe("scrips", Some(&all)).expect("it is open");
        feed.unsubscribe("scrips", Some(&all)).expect("it is open");
        let event = feed.next(Duration::ZERO).map(|reply| parse(reply.json()));
        if let Some(event) = event.ok().filter(|event| event["state"] == "down") {
            break event;
        }
    };
    let reason = down["reason"].as_str().expect("a reason");
    assert!(reason.contains("takes nothing"), "{reason}");
    until(&feed, state("live"));
}

#[test]
fn silence_with_pongs_is_stale_and_is_probed() {
    let server = Server::start(|mut socket, _, tell| async move {
        greet(&mut socket, &tell).await;
        while next_text(&mut socket, &tell).await {}
    });
    let client = server.client();
    let feed = client
        .feed(Some(r#"{"stale_after_ms":300,"reconnect_first_ms":50}"#))
        .expect("there is a session");
    feed.subscribe("scrips_lite", Some("nse_cm|7"))
        .expect("a good instrument");
    until(&feed, state("stale"));
    let events: Vec<Value> = (0..4).map(|_| server.text()["event"].clone()).collect();
    assert_eq!(
        events,
        [
            json!(null),
            json!("subscribeScripsLite"),
            json!("snapshotScripsLite"),
            json!("subscribeScripsLite")
        ]
    );
    let down = until(&feed, state("down"));
    assert!(
        down["reason"]
            .as_str()
            .is_some_and(|r| r.contains("silent"))
    );
    until(&feed, state("live"));
}

#[test]
fn no_pong_any_more_is_down() {
    let server = Server::start(|mut socket, _, tell| async move {
        greet(&mut socket, &tell).await;
        // Answers pings for a moment, then holds the connection in silence.
        let lively = async { while next_text(&mut socket, &tell).await {} };
        let _time = tokio::time::timeout(Duration::from_millis(400), lively).await;
        tokio::time::sleep(LATE).await;
    });
    let client = server.client();
    let feed = client.feed(quick()).expect("there is a session");
    let down = until(&feed, state("down"));
    let reason = down["reason"].as_str().expect("a text");
    assert!(reason.contains("ping"), "{reason}");
}

#[test]
fn no_answer_to_the_login_is_down() {
    let server =
        Server::start(
            |mut socket, _, tell| async move { while next_text(&mut socket, &tell).await {} },
        );
    let client = server.client();
    let feed = client
        .feed(Some(
            r#"{"login_timeout_ms":100,"reconnect_first_ms":60000}"#,
        ))
        .expect("there is a session");
    let down = until(&feed, state("down"));
    assert!(down["reason"].as_str().is_some_and(|r| r.contains("login")));
    feed.close();
    let error = feed.next(LATE).expect_err("it is closed");
    assert_eq!(error.status(), Status::Closed);
}

#[test]
fn garbage_is_counted_and_does_no_harm() {
    let server = Server::start(|mut socket, _, tell| async move {
        greet(&mut socket, &tell).await;
        send(&mut socket, "{not json").await;
        for garbage in [&[1_u8][..], &[0; 40], &[255; 90]] {
            let _gone = socket.send(Message::Binary(garbage.to_vec().into())).await;
        }
        let good = [lite(7, 5), vec![200, 0, 1]].concat();
        let _gone = socket.send(Message::Binary(good.into())).await;
        while next_text(&mut socket, &tell).await {}
    });
    let client = server.client();
    let feed = client.feed(None).expect("there is a session");
    let price = until(&feed, |event| event["type"] == "scrip_lite");
    assert_eq!(price["last_traded_price"], 0.05);
    let status = parse(feed.status().expect("it is open").json());
    assert_eq!(
        (&status["malformed"], &status["state"]),
        (&json!(4), &json!("live"))
    );
}

#[test]
fn reading_structs_allocates_nothing() {
    let server = Server::start(|mut socket, _, tell| async move {
        greet(&mut socket, &tell).await;
        for price in 0..2000 {
            let frame: Vec<u8> = (0..5).flat_map(|token| lite(token, price)).collect();
            if socket.send(Message::Binary(frame.into())).await.is_err() {
                return;
            }
        }
        while next_text(&mut socket, &tell).await {}
    });
    let client = server.client();
    let feed = client.feed(None).expect("there is a session");
    until(&feed, state("live"));
    let (mut prices, mut replaced) = (0, 0);
    let mut sum = 0.0;
    let start = Instant::now();
    let before = ALLOCATIONS.get();
    while prices + replaced < 10_000 && start.elapsed() < LATE {
        let read = feed.read(64, Duration::from_secs(5), |tick| {
            prices += 1;
            replaced += tick.replaced;
            sum += tick.last_traded_price;
        });
        assert!(read.is_ok());
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
    assert_eq!(prices + replaced, 10_000);
    assert!(sum > 0.0);
}

#[test]
fn the_end_of_the_client_ends_its_feeds() {
    let server = Server::start(|mut socket, _, tell| async move {
        greet(&mut socket, &tell).await;
        while next_text(&mut socket, &tell).await {}
    });
    let client = server.client();
    let feed = client.feed(None).expect("there is a session");
    until(&feed, state("live"));
    let other = feed.clone();
    let waiter = std::thread::spawn(move || other.next(LATE).map(|_| ()));
    client.close();
    let error = waiter.join().expect("it must not panic");
    assert_eq!(error.expect_err("it ended").status(), Status::Closed);
    let error = client.feed(None).expect_err("the client is closed");
    assert_eq!(error.status(), Status::Closed);
}

#[test]
fn a_feed_needs_a_session_of_the_current_generation() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    let error = client.feed(None).expect_err("nobody is logged in");
    assert_eq!(error.status(), Status::NotLoggedIn);
    log_in(&sandbox, &client).expect("the sandbox lets us in");
    let error = client
        .feed(Some(r#"{"heartbeat":1}"#))
        .expect_err("unknown");
    assert_eq!(error.status(), Status::InvalidArgument);
    assert_eq!(error.operation(), "feed_open");

    let old = super::support::client_with(&sandbox, &json!({"generation": 2}));
    log_in(&sandbox, &old).expect("the sandbox knows generation 2");
    let error = old.feed(None).expect_err("its streams are not built");
    assert_eq!(error.status(), Status::InvalidArgument);
    assert!(error.message().contains("generation 2"));
}
