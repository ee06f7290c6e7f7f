//! Both feeds against the sandbox's sockets: what a caller sees of every fault.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use kotak_neo::{Client, Error, Feed, OrderFeed, Reply, Status, Tick};
use kotak_neo_sandbox::{
    Acks, Feed as Prices, FeedRate, Handshake, LoginManner, Options, OrderFeed as Updates, Refusal,
    Sandbox, Silence, Socket, Strike, Switches, TlsMode,
};
use serde_json::{Value, json};

use super::orders::{order, with};
use super::support::{client, json as parse, log_in, sandbox, start};

/// Far longer than anything here takes.
const LATE: Duration = Duration::from_secs(60);
const IDEA: &str = "nse_cm|14366";

/// Answers and silence are judged soon.
const QUICK: &str = r#"{"ping_interval_ms":100,"pong_timeout_ms":600,"stale_after_ms":400,
    "login_timeout_ms":500,"reconnect_first_ms":50,"reconnect_cap_ms":200}"#;
/// Nothing but what the test does changes the state.
const CALM: &str = r#"{"stale_after_ms":3600000,"reconnect_first_ms":50,"reconnect_cap_ms":200}"#;

fn trader(sandbox: &Sandbox) -> Client {
    let client = client(sandbox);
    log_in(sandbox, &client).expect("the credentials are right");
    client
}

fn prices(client: &Client, options: &str) -> Feed {
    client.feed(Some(options)).expect("there is a session")
}

fn orders(client: &Client, more: &Value) -> OrderFeed {
    let mut options = json!({"reconnect_first_ms": 20, "reconnect_cap_ms": 100});
    for (key, value) in more.as_object().expect("options are an object") {
        options[key] = value.clone();
    }
    let opened = client.order_feed(Some(&options.to_string()));
    opened.expect("there is a session")
}

/// The next event that fits; those before it are let go.
fn event(
    next: impl Fn(Duration) -> Result<Reply, Error>,
    what: &str,
    fits: impl Fn(&Value) -> bool,
) -> Value {
    let begin = Instant::now();
    loop {
        let event = parse(next(LATE).expect(what).json());
        if fits(&event) {
            return event;
        }
        assert!(begin.elapsed() < LATE, "{what} never came");
    }
}

fn until(feed: &Feed, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    event(|wait| feed.next(wait), what, fits)
}

fn until_state(feed: &Feed, name: &str) -> Value {
    until(feed, name, |event| event["state"] == name)
}

/// The same for orders.
fn news(feed: &OrderFeed, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    event(|wait| feed.next(wait), what, fits)
}

fn news_state(feed: &OrderFeed, name: &str) -> Value {
    news(feed, name, |event| event["state"] == name)
}

fn number(event: &Value, key: &str) -> f64 {
    event[key]
        .as_f64()
        .unwrap_or_else(|| panic!("{key}: {event}"))
}

fn idea(sandbox: &Sandbox, price: &str) {
    sandbox.set_price("nse_cm", "IDEA-EQ", price);
}

/// A live feed that has sent a price of IDEA.
fn subscribed(sandbox: &Sandbox, client: &Client, options: &str) -> Feed {
    let feed = prices(client, options);
    feed.subscribe("scrips", Some(IDEA)).expect("it is good");
    idea(sandbox, "9.00");
    until(&feed, "a price", |event| event["type"] == "scrip");
    feed
}

fn buy(client: &Client, price: &str, quantity: u32) -> String {
    let this = json!({"product": "NRML", "price": price, "quantity": quantity.to_string()});
    let wish = with(order(), this);
    let placed = client.place_order(&wish.to_string()).expect("it is taken");
    let number = parse(placed.json())["nOrdNo"].clone();
    number.as_str().expect("a number").to_owned()
}

#[test]
fn every_kind_shows_what_the_market_says() {
    for acks in [Acks::Sdk, Acks::BrokerDoc] {
        let sandbox = sandbox();
        sandbox.set_feed(Prices {
            acks,
            batch: 3,
            ..sandbox.feed()
        });
        idea(&sandbox, "9.05");
        let client = trader(&sandbox);
        let feed = prices(&client, CALM);
        for kind in ["scrips_lite", "scrips", "depth", "full_depth"] {
            feed.subscribe(kind, Some(IDEA)).expect(kind);
        }
        feed.subscribe("index", Some("nse_cm|Nifty 50"))
            .expect("an index");
        feed.subscribe("exchange", None).expect("all exchanges");
        let mut seen: HashMap<String, Value> = HashMap::new();
        let all = ["scrip_lite", "scrip 4", "scrip 8", "scrip 16", "index"];
        let complete = |seen: &HashMap<String, Value>| {
            all.iter().all(|kind| {
                seen.get(*kind)
                    .is_some_and(|e| e["trading_symbol"] != json!(null))
            }) && seen.contains_key("market_status")
        };
        let begin = Instant::now();
        while !complete(&seen) {
            assert!(begin.elapsed() < LATE, "missing: {:?}", seen.keys());
            let event = parse(feed.next(LATE).expect("an event").json());
            let kind = event["type"].as_str().expect("a type");
            let kind = match event["level"].as_i64() {
                Some(level) => format!("{kind} {level}"),
                None => kind.to_owned(),
            };
            if kind.starts_with("scrip") && event["trading_symbol"].is_null() {
                // Its acknowledgement came later; ask for the next.
                sandbox.tick(1);
                idea(&sandbox, "9.05");
            }
            seen.insert(kind, event);
        }
        for kind in &all[..4] {
            let event = &seen[*kind];
            assert_eq!(event["trading_symbol"], "IDEA-EQ", "{acks:?} {kind}");
            assert!(number(event, "last_traded_price") > 8.0, "{event}");
        }
        for (kind, rows) in [("scrip 4", 1), ("scrip 8", 5), ("scrip 16", 20)] {
            for side in ["buy", "sell"] {
                let depth = seen[kind][side].as_array().expect("rows");
                assert_eq!(depth.len(), rows, "{kind} {side}");
                assert!(number(&depth[0], "quantity") > 0.0);
            }
            let (bid, ask) = (&seen[kind]["buy"][0], &seen[kind]["sell"][0]);
            assert!(number(bid, "price") < number(ask, "price"));
        }
        assert_eq!(seen["index"]["name"], "Nifty 50");
        assert!(number(&seen["index"], "last_traded_price") > 20_000.0);
        assert_eq!(seen["market_status"]["status_code"], 1);

        // The last word is the market's.
        idea(&sandbox, "9.15");
        until(&feed, "the new price", |event| {
            event["type"] == "scrip" && event["last_traded_price"] == 9.15
        });
        sandbox.set_switches(Switches {
            market_open: false,
            ..sandbox.switches()
        });
        until(&feed, "the close", |event| {
            event["type"] == "market_status" && event["status_code"] == 2
        });
        // Unsubscribed is quiet, and a snapshot comes once.
        for kind in ["scrips_lite", "scrips", "depth", "full_depth"] {
            feed.unsubscribe(kind, Some(IDEA)).expect(kind);
        }
        feed.snapshot("scrips_lite", Some(IDEA)).expect("a kind");
        until(&feed, "the snapshot", |event| event["type"] == "scrip_lite");
        idea(&sandbox, "9.25");
        let later = feed.next(Duration::from_millis(300));
        assert_eq!(later.expect_err("it is quiet").status(), Status::End);
        assert_eq!(sandbox.live_sockets(Socket::Feed), 1);
    }
}

#[test]
fn logins_end_as_the_broker_says() {
    for (login, state, words) in [
        (LoginManner::Initial, "live", ""),
        (LoginManner::InitialOnly, "live", ""),
        (LoginManner::RefuseOpen, "refused", "Auth failed"),
        (LoginManner::RefuseClose, "refused", "Auth failed"),
        (LoginManner::InitialThenRefuse, "refused", "Auth failed"),
        (LoginManner::Ignore, "down", "login"),
        (LoginManner::Fallback, "down", "format"),
    ] {
        let sandbox = sandbox();
        sandbox.set_feed(Prices {
            login,
            ..sandbox.feed()
        });
        let client = trader(&sandbox);
        let feed = prices(&client, QUICK);
        let event = until(&feed, state, |event| {
            ["live", "refused", "down"]
                .iter()
                .any(|name| event["state"] == *name)
        });
        assert_eq!(event["state"], state, "{login:?}: {event}");
        let reason = event["reason"].as_str().unwrap_or("");
        assert!(reason.contains(words), "{login:?}: {event}");
        if state == "live" {
            continue;
        }
        // When the broker changes its mind, a new session (or the next try) goes on.
        sandbox.set_feed(Prices {
            login: LoginManner::Check,
            ..sandbox.feed()
        });
        if state == "refused" {
            log_in(&sandbox, &client).expect("the credentials are right");
        }
        until_state(&feed, "live");
    }
}

#[test]
fn silence_is_told_and_ends() {
    for (silence, state, words) in [
        (Silence::Mute, "stale", ""),
        (Silence::Hang, "down", "ping"),
    ] {
        let sandbox = sandbox();
        let client = trader(&sandbox);
        let feed = subscribed(&sandbox, &client, QUICK);
        // One pong at least came before.
        std::thread::sleep(Duration::from_millis(400));
        sandbox.set_feed(Prices {
            silence,
            ..sandbox.feed()
        });
        let told = until_state(&feed, state);
        let reason = told["reason"].as_str().unwrap_or("");
        assert!(reason.contains(words), "{told}");
        // An old price is still there, with the state of the feed beside it.
        let mut last = Tick::default();
        assert!(feed.last(IDEA, &mut last).expect("the feed is open"));
        sandbox.set_feed(Prices {
            silence: Silence::None,
            ..sandbox.feed()
        });
        let begin = Instant::now();
        let mut paise = 0;
        loop {
            assert!(begin.elapsed() < LATE, "no price after the silence");
            paise = (paise + 1) % 90;
            idea(&sandbox, &format!("9.{:02}", 10 + paise));
            let next = feed.next(Duration::from_millis(100));
            let event = next.map(|reply| parse(reply.json())).unwrap_or_default();
            if event["type"] == "scrip" {
                break;
            }
        }
    }
}

#[test]
fn a_connection_that_ends_says_how_and_comes_back() {
    for (strike, code, words) in [
        (
            Strike::Close {
                code: 4001,
                reason: "login elsewhere".to_owned(),
            },
            json!(4001),
            "login elsewhere",
        ),
        (
            Strike::Close {
                code: 1000,
                reason: String::new(),
            },
            json!(1000),
            "",
        ),
        (Strike::Drop, json!(1006), ""),
        (Strike::Reset, json!(1006), ""),
        (Strike::CutFrame, json!(1006), ""),
    ] {
        let sandbox = sandbox();
        let client = trader(&sandbox);
        let feed = subscribed(&sandbox, &client, CALM);
        let updates = orders(&client, &json!({}));
        news_state(&updates, "live");
        for socket in [Socket::Feed, Socket::OrderFeed] {
            sandbox.strike(socket, strike.clone());
        }
        let down = until_state(&feed, "down");
        assert_eq!(down["close_code"], code, "{strike:?}: {down}");
        let reason = down["reason"].as_str().expect("a reason");
        assert!(reason.contains(words) && !reason.is_empty(), "{down}");
        until_state(&feed, "live");
        // The subscription is there again.
        until(&feed, "a price", |event| event["type"] == "scrip");
        let down = news_state(&updates, "down");
        assert_eq!(down["close_code"], code, "{strike:?}: {down}");
        news_state(&updates, "live");
    }
}

#[test]
fn nonsense_is_counted_and_the_prices_go_on() {
    let sandbox = sandbox();
    let client = trader(&sandbox);
    let feed = subscribed(&sandbox, &client, CALM);
    let updates = orders(&client, &json!({}));
    news_state(&updates, "live");
    let strikes = [
        Strike::Garbage,
        Strike::CutMessage,
        Strike::WrongLength,
        Strike::Text("{no json".to_owned()),
    ];
    for strike in &strikes {
        sandbox.strike(Socket::Feed, strike.clone());
        sandbox.strike(Socket::OrderFeed, strike.clone());
    }
    idea(&sandbox, "9.45");
    until(&feed, "the price after it", |event| {
        assert!(
            event["state"].is_null() || event["state"] == "live",
            "{event}"
        );
        event["last_traded_price"] == 9.45
    });
    let begin = Instant::now();
    loop {
        let status = parse(feed.status().expect("it is open").json());
        // Random bytes may happen to be a packet of an unknown kind; the others never are.
        if number(&status, "malformed") >= 3.0 {
            break;
        }
        assert!(begin.elapsed() < LATE, "{status}");
        std::thread::sleep(Duration::from_millis(5));
    }
    let placed = buy(&client, "9.00", 1);
    news(&updates, "the order after it", |event| {
        assert!(event["state"] != "down", "{event}");
        event["order"] == json!(placed) && event["state"] == "open"
    });
}

#[test]
fn a_session_that_ends_is_told_and_a_new_one_goes_on() {
    let sandbox = sandbox();
    let client = trader(&sandbox);
    let feed = subscribed(&sandbox, &client, CALM);
    let updates = orders(&client, &json!({}));
    news_state(&updates, "live");
    sandbox.expire_sessions();
    until_state(&feed, "refused");
    news_state(&updates, "refused");
    log_in(&sandbox, &client).expect("the credentials are right");
    until_state(&feed, "live");
    until(&feed, "a price", |event| event["type"] == "scrip");
    news_state(&updates, "live");
}

#[test]
fn a_reader_who_slept_gets_the_newest_value_of_all() {
    let sandbox = sandbox();
    let tokens = ["14366", "2885", "1333", "11536"];
    let client = trader(&sandbox);
    let options = r#"{"history_bytes":0,"stale_after_ms":3600000}"#;
    let feed = prices(&client, options);
    let wanted: Vec<String> = tokens.iter().map(|t| format!("nse_cm|{t}")).collect();
    feed.subscribe("scrips", Some(&wanted.join(",")))
        .expect("they are good");
    until_state(&feed, "live");
    sandbox.set_feed(Prices {
        rate: FeedRate::Flood,
        ..sandbox.feed()
    });
    std::thread::sleep(Duration::from_secs(1));
    sandbox.set_feed(Prices {
        rate: FeedRate::Steps,
        ..sandbox.feed()
    });
    idea(&sandbox, "8.75");
    // The last price of each is the first that is read, soon after it was sent.
    let begin = Instant::now();
    let mut newest: HashMap<String, f64> = HashMap::new();
    while newest.get("14366") != Some(&8.75) || newest.len() < tokens.len() {
        assert!(begin.elapsed() < LATE, "{newest:?}");
        let read = feed.read(64, LATE, |tick| {
            if tick.level == 4 {
                newest.insert(tick.token.to_string(), tick.last_traded_price);
            }
        });
        read.expect("the feed is open");
    }
    let status = parse(feed.status().expect("it is open").json());
    assert!(number(&status, "replaced") > 0.0, "{status}");
}

#[test]
fn rates_are_kept_and_shared() {
    let sandbox = sandbox();
    sandbox.set_feed(Prices {
        rate: FeedRate::PerSecond(1_000),
        ..sandbox.feed()
    });
    let client = trader(&sandbox);
    let feed = prices(&client, CALM);
    feed.subscribe("scrips_lite", Some("nse_cm|14366,nse_cm|2885"))
        .expect("they are good");
    let mut counts: HashMap<String, u32> = HashMap::new();
    let begin = Instant::now();
    while counts.values().sum::<u32>() < 1_000 {
        let event = parse(feed.next(LATE).expect("a price").json());
        if event["type"] == "scrip_lite" {
            let token = event["instrument_token"].as_str().expect("a token");
            *counts.entry(token.to_owned()).or_default() += 1;
        }
    }
    // A thousand take a second: never less, whatever the machine does.
    assert!(begin.elapsed() > Duration::from_millis(700));
    assert!(counts.values().all(|count| *count >= 400), "{counts:?}");
}

#[test]
fn an_order_is_told_from_its_first_state_to_its_position() {
    for handshake in [Handshake::Both, Handshake::Raw, Handshake::Json] {
        let sandbox = sandbox();
        sandbox.set_order_feed(Updates {
            handshake,
            ..sandbox.order_feed()
        });
        idea(&sandbox, "9.50");
        let client = trader(&sandbox);
        let feed = orders(&client, &json!({}));
        news(&feed, "the books", |event| {
            event["type"] == "books" && event["ok"] == true
        });
        let placed = buy(&client, "9.30", 5);
        let open = news(&feed, "open", |event| event["state"] == "open");
        assert_eq!(open["order"], json!(placed), "{handshake:?}");
        assert_eq!(open["origin"], "live");
        idea(&sandbox, "9.20");
        let done = news(&feed, "complete", |event| event["state"] == "complete");
        assert_eq!(
            (&done["order"], &done["fill_quantity"]),
            (&json!(placed), &json!(5))
        );
        let position = news(&feed, "a position", |event| event["type"] == "position");
        assert_eq!(position["data"]["flBuyQty"], "5");
    }
}

#[test]
fn order_logins_end_as_the_broker_says() {
    for (login, refusal, state) in [
        (LoginManner::RefuseOpen, Refusal::Login, "refused"),
        (LoginManner::RefuseClose, Refusal::Login, "refused"),
        (LoginManner::RefuseOpen, Refusal::Connection, "refused"),
        (LoginManner::RefuseClose, Refusal::Connection, "refused"),
        (LoginManner::RefuseOpen, Refusal::Format, "refused"),
        (LoginManner::RefuseClose, Refusal::Format, "refused"),
        (LoginManner::Ignore, Refusal::Login, "down"),
    ] {
        let sandbox = sandbox();
        sandbox.set_order_feed(Updates {
            login,
            refusal,
            ..sandbox.order_feed()
        });
        let client = trader(&sandbox);
        let feed = orders(&client, &json!({"login_timeout_ms": 300}));
        let event = news(&feed, state, |event| {
            ["live", "refused", "down"]
                .iter()
                .any(|name| event["state"] == *name)
        });
        assert_eq!(event["state"], state, "{login:?} {refusal:?}: {event}");
        sandbox.set_order_feed(Updates::default());
        news_state(&feed, "live");
    }
}

#[test]
fn doubled_swapped_and_lost_updates_end_in_the_truth() {
    let sandbox = start(Options {
        orders_per_second: 0,
        ..Options::default()
    });
    idea(&sandbox, "9.50");
    sandbox.set_order_feed(Updates {
        duplicate_every: 3,
        swap_every: 4,
        lose_every: 5,
        ..sandbox.order_feed()
    });
    let client = trader(&sandbox);
    let feed = orders(&client, &json!({}));
    news(&feed, "the books", |event| {
        event["type"] == "books" && event["ok"] == true
    });
    for _ in 0..10 {
        buy(&client, "9.30", 5);
    }
    idea(&sandbox, "9.20");
    // What was lost without a gap is found at the next connection.
    sandbox.set_order_feed(Updates::default());
    sandbox.strike(Socket::OrderFeed, Strike::Drop);
    let mut filled: HashMap<String, i64> = HashMap::new();
    let mut states: HashMap<String, String> = HashMap::new();
    let mut down = false;
    loop {
        let event = parse(feed.next(LATE).expect("an event").json());
        down |= event["state"] == "down";
        if let (Some(order), Some(part)) =
            (event["order"].as_str(), event["fill_quantity"].as_i64())
        {
            *filled.entry(order.to_owned()).or_default() += part;
        }
        if let (Some(order), Some(state)) = (event["order"].as_str(), event["state"].as_str()) {
            let before = states.insert(order.to_owned(), state.to_owned());
            assert_ne!(before.as_deref(), Some("complete"), "{event}");
        }
        if down && event["type"] == "books" && event["ok"] == true {
            break;
        }
    }
    for order in sandbox.orders() {
        assert_eq!(filled.get(&order.number), Some(&order.filled), "{order:?}");
        assert_eq!(states.get(&order.number), Some(&order.status), "{order:?}");
    }
}

#[test]
fn feeds_work_over_tls_and_trust_no_other_authority() {
    let sandbox = start(Options {
        tls: TlsMode::Valid,
        ..Options::default()
    });
    let client = trader(&sandbox);
    let feed = subscribed(&sandbox, &client, CALM);
    let updates = orders(&client, &json!({}));
    news_state(&updates, "live");
    drop((feed, updates));

    for tls in [TlsMode::Expired, TlsMode::WrongHost] {
        let bad = start(Options {
            tls,
            ..Options::default()
        });
        let host = |sandbox: &Sandbox| sandbox.url().replace("https", "wss");
        // A session of the good one, whose feeds are at the bad one.
        let session = client.session_export().expect("there is a session");
        let mut session = parse(session.json());
        session["feed_url"] = json!(format!("{}/apifeed", host(&bad)));
        session["order_feed_url"] = json!(format!("{}/realtime", host(&bad)));
        let mut config = parse(&bad.config_json());
        config["base_url"] = json!(bad.url());
        session["base_url"] = json!(bad.url());
        let other = Client::open(Some(&config.to_string())).expect("it is valid");
        other
            .session_import(&session.to_string())
            .expect("it is of today");
        let feed = prices(&other, QUICK);
        let down = until_state(&feed, "down");
        let reason = down["reason"].as_str().expect("a reason");
        assert!(reason.contains("certificate"), "{down}");
        assert_eq!(bad.live_sockets(Socket::Feed), 0);
        assert!(bad.socket_messages().is_empty(), "the session went out");
    }
}

#[test]
fn a_slow_server_holds_nobody_up() {
    let sandbox = sandbox();
    sandbox.set_feed(Prices {
        read_pause_ms: 300,
        ..sandbox.feed()
    });
    let client = trader(&sandbox);
    let feed = prices(&client, CALM);
    // None of these waits for the network.
    for token in ["14366", "2885", "1333"] {
        feed.subscribe("scrips", Some(&format!("nse_cm|{token}")))
            .expect("it is good");
    }
    let mut seen = std::collections::HashSet::new();
    while seen.len() < 3 {
        let event = until(&feed, "a price", |event| event["type"] == "scrip");
        seen.insert(event["instrument_token"].to_string());
    }
}
