//! Both feeds in bad weather, and at full load.
//!
//! - `the_events_of_a_stormy_day_equal_the_books`: random faults at every layer
//!   while orders are placed, changed and filled; in the end what the order
//!   feed told equals the sandbox's books, and every price is the newest.
//!   `KNEO_STORM_SECONDS` is its length, `KNEO_STORM_SEED` repeats a run.
//! - `three_thousand_instruments_at_full_rate`: memory stays within its budget,
//!   and a reader who slept gets every newest value at once.
//!   `KNEO_LOAD_SECONDS` is its length.
#![cfg(target_os = "linux")]

use std::collections::{HashMap, VecDeque};
use std::env;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kotak_neo::{Client, Error, OrderFeed, Reply, Status};
use kotak_neo_sandbox::{
    Fault, FaultKind, Feed as Prices, FeedRate, Handshake, LoginManner, Options,
    OrderFeed as Updates, Refusal, Sandbox, Silence, Socket, Strike, Switches,
};
use kotak_neo_testing::broker::{self, Broker};
use kotak_neo_testing::dice::Dice;
use kotak_neo_testing::memory;
use kotak_neo_testing::orders::with;
use kotak_neo_testing::pace::unpaced;
use serde_json::{Value, json};

/// Far longer than anything here takes.
const LATE: Duration = Duration::from_secs(120);
const SYMBOLS: [(&str, &str); 3] = [
    ("IDEA-EQ", "14366"),
    ("RELIANCE-EQ", "2885"),
    ("HDFCBANK-EQ", "1333"),
];

fn seconds(name: &str, usual: u64) -> Duration {
    let given = env::var(name).map(|text| text.parse().expect("a number of seconds"));
    Duration::from_secs(given.unwrap_or(usual))
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn log_in(sandbox: &Sandbox, client: &Client) -> Result<Reply, Error> {
    let who = sandbox.credentials();
    client.totp_login(&who.mobile_number, &who.ucc, &sandbox.totp_now())?;
    client.totp_validate(&who.mpin)
}

/// Logs in, however often a fault strikes.
fn insist(sandbox: &Sandbox, client: &Client) {
    let begin = Instant::now();
    while log_in(sandbox, client).is_err() {
        assert!(begin.elapsed() < LATE, "no login succeeds");
    }
}

/// Is true when this goes.
struct Raise<'a>(&'a AtomicBool);

impl Drop for Raise<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What the events of an order feed add up to.
#[derive(Default)]
struct Told {
    sequence: u64,
    state: HashMap<String, String>,
    filled: HashMap<String, i64>,
    events: u64,
    recovered: u64,
    connections: u64,
    /// The last events that were no steps of orders.
    others: VecDeque<String>,
}

impl Told {
    fn take(&mut self, event: &Value) {
        let sequence = event["sequence"]
            .as_u64()
            .expect("every event has a number");
        assert_eq!(sequence, self.sequence + 1, "{event}");
        self.sequence = sequence;
        self.events += 1;
        self.recovered += u64::from(event["origin"] == "recovered");
        self.connections += u64::from(event["state"] == "live");
        assert_ne!(event["type"], "overflow", "the reader keeps up: {event}");
        let Some(order) = event["order"].as_str() else {
            if event["type"] != "position" {
                if self.others.len() == 40 {
                    self.others.pop_front();
                }
                self.others.push_back(event.to_string());
            }
            return;
        };
        if let Some(part) = event["fill_quantity"].as_i64() {
            *self.filled.entry(order.to_owned()).or_default() += part;
        }
        let text = event["state_text"].as_str();
        if let Some(text) = text.filter(|_| event["late"] != true) {
            let before = self.state.insert(order.to_owned(), text.to_owned());
            let finished = ["complete", "rejected", "cancelled"];
            if let Some(before) = before.filter(|before| finished.contains(&before.as_str())) {
                assert_eq!(before, text, "an order lives on after its end: {event}");
            }
        }
    }

    /// What differs from the books.
    fn differences(&self, sandbox: &Sandbox) -> Vec<String> {
        let orders = sandbox.orders();
        let mut wrong = Vec::new();
        for order in &orders {
            let state = self.state.get(&order.number);
            let filled = self.filled.get(&order.number).copied().unwrap_or(0);
            if state != Some(&order.status) || filled != order.filled {
                wrong.push(format!("told {state:?}, {filled} filled; true: {order:?}"));
            }
        }
        if self.state.len() > orders.len() {
            wrong.push("an order was told that there is not".to_owned());
        }
        wrong
    }
}

/// Places, changes and cancels until it is over; says how many orders came through for sure, and
/// how many may have.
fn trade(client: &Client, sandbox: &Sandbox, over: &AtomicBool, mut dice: Dice) -> (u64, u64) {
    let (mut sure, mut unsure) = (0, 0);
    let mut mine: Vec<String> = Vec::new();
    while !over.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(dice.roll(12)));
        let (symbol, _) = SYMBOLS[dice.roll(3) as usize];
        let ltp: f64 = sandbox
            .price("nse_cm", symbol)
            .expect("it has a price")
            .parse()
            .expect("a number");
        let tick = if ltp < 250.0 { 0.01 } else { 0.05 };
        let away = (dice.roll(9) as f64 - 4.0) * tick;
        let price = format!("{:.2}", ((ltp + away) / tick).round() * tick);
        let side = *dice.pick(&["B", "S"]);
        let quantity = (1 + dice.roll(40)).to_string();
        match dice.roll(6) {
            0..=2 => {
                let wish = json!({
                    "exchange_segment": "nse_cm", "product": "MIS", "price": price,
                    "order_type": "L", "quantity": quantity, "validity": "DAY",
                    "trading_symbol": symbol, "transaction_type": side, "timeout_ms": 2000,
                });
                match client.place_order(&wish.to_string()) {
                    Ok(reply) => {
                        sure += 1;
                        let number = parse(reply.json())["nOrdNo"].clone();
                        mine.push(number.as_str().expect("a number").to_owned());
                    }
                    Err(error) => {
                        unsure += u64::from(error.status() == Status::UnknownOutcome);
                    }
                }
            }
            3 if !mine.is_empty() => {
                let order = dice.pick(&mine);
                let change = json!({
                    "order_id": order, "price": price, "order_type": "L", "quantity": quantity,
                    "validity": "DAY", "timeout_ms": 2000,
                });
                // Many are finished; then it is refused, and that is as good a test.
                let _either = client.modify_order(&change.to_string());
            }
            4 if !mine.is_empty() => {
                let order = mine.swap_remove(dice.below(mine.len()));
                let wish = json!({"order_id": order, "timeout_ms": 2000});
                let _either = client.cancel_order(&wish.to_string());
            }
            _ => {
                let side = if side == "B" { "B" } else { "S" };
                let _number = sandbox.place_from_app("nse_cm", symbol, side, 3, &price);
                sure += 1;
            }
        }
    }
    (sure, unsure)
}

/// Makes one kind of trouble.
fn trouble(sandbox: &Sandbox, client: &Client, dice: &mut Dice) {
    let socket = *dice.pick(&[Socket::Feed, Socket::OrderFeed]);
    match dice.roll(13) {
        0 => sandbox.strike(socket, Strike::Drop),
        1 => sandbox.strike(socket, Strike::Reset),
        2 => sandbox.strike(socket, Strike::CutFrame),
        3 => sandbox.strike(
            socket,
            Strike::Close {
                code: 4000 + dice.roll(900) as u16,
                reason: "weather".to_owned(),
            },
        ),
        4 => sandbox.strike(socket, Strike::Garbage),
        5 => sandbox.strike(socket, Strike::CutMessage),
        6 => sandbox.strike(socket, Strike::WrongLength),
        7 => {
            // Lost ones come with the next connection, of which there is one before the end.
            sandbox.set_order_feed(Updates {
                duplicate_every: dice.roll(5) as u32,
                swap_every: dice.roll(5) as u32,
                lose_every: dice.roll(7) as u32,
                handshake: *dice.pick(&[Handshake::Both, Handshake::Raw, Handshake::Json]),
                ..Updates::default()
            });
        }
        8 => {
            let silence = *dice.pick(&[Silence::None, Silence::Mute, Silence::Hang]);
            sandbox.set_order_feed(Updates {
                silence,
                ..sandbox.order_feed()
            });
            sandbox.set_feed(Prices {
                silence,
                rate: *dice.pick(&[FeedRate::Steps, FeedRate::PerSecond(5_000)]),
                ..sandbox.feed()
            });
        }
        9 => {
            let login = *dice.pick(&[
                LoginManner::Check,
                LoginManner::RefuseOpen,
                LoginManner::RefuseClose,
                LoginManner::Ignore,
                LoginManner::Initial,
                LoginManner::InitialThenRefuse,
            ]);
            sandbox.set_order_feed(Updates {
                login,
                refusal: *dice.pick(&[Refusal::Login, Refusal::Connection, Refusal::Format]),
                ..sandbox.order_feed()
            });
            sandbox.set_feed(Prices {
                login,
                ..sandbox.feed()
            });
            sandbox.strike(socket, Strike::Drop);
        }
        10 => {
            sandbox.expire_sessions();
            insist(sandbox, client);
        }
        11 => {
            let kind = match dice.roll(5) {
                0 => FaultKind::ResetBefore,
                1 => FaultKind::ResetAfter,
                2 => FaultKind::CutJson,
                3 => FaultKind::Slow { ms: 50 },
                _ => FaultKind::AnswerAfter {
                    status: 504,
                    headers: Vec::new(),
                    body: b"<html>".to_vec(),
                },
            };
            // Orders, books, logins, and the upgrade of the sockets.
            let path = ["/quick", "/realtime", "/apifeed", "/quick/user", ""];
            sandbox.set_fault(Fault {
                path: path[dice.roll(5) as usize].to_owned(),
                times: Some(1 + dice.roll(3) as u32),
                kind,
            });
        }
        _ => sandbox.close_connections(),
    }
}

fn calm(sandbox: &Sandbox, client: &Client) {
    sandbox.clear_faults();
    sandbox.set_order_feed(Updates::default());
    sandbox.set_feed(Prices::default());
    sandbox.expire_sessions();
    insist(sandbox, client);
}

/// Reads what comes until `done` says that it is enough.
fn listen(feed: &OrderFeed, told: &mut Told, done: impl Fn(&Told) -> bool) {
    loop {
        match feed.next(Duration::from_millis(100)) {
            Ok(reply) => told.take(&parse(reply.json())),
            Err(error) => assert_eq!(error.status(), Status::End, "{}", error.to_json()),
        }
        if done(told) {
            return;
        }
    }
}

#[test]
fn the_events_of_a_stormy_day_equal_the_books() {
    let length = seconds("KNEO_STORM_SECONDS", 8);
    let seed = env::var("KNEO_STORM_SEED").map_or_else(
        |_| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            now.expect("after 1970").subsec_nanos() as u64
        },
        |text| text.parse().expect("a number"),
    );
    println!("KNEO_STORM_SEED={seed}");
    let dice = |salt: u64| Dice::new((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt);

    let sandbox = Sandbox::start(Options {
        orders_per_second: 0,
        quotes_at_once: 0,
        candles_per_second: 0,
        cash_rupees: 2_000_000_000,
        record_limit: 0,
        ..Options::default()
    })
    .expect("the sandbox starts");
    sandbox.set_switches(Switches {
        liquidity: Some(15),
        ..sandbox.switches()
    });
    let mut config = parse(&sandbox.config_json());
    config["max_orders_per_second"] = json!(1_000_000);
    let config = with(config, unpaced());
    let client = Client::open(Some(&config.to_string())).expect("it is valid");
    insist(&sandbox, &client);
    let quick = json!({"reconnect_first_ms": 10, "reconnect_cap_ms": 100, "login_timeout_ms": 300,
        "ping_interval_ms": 1500});
    let feed = client.order_feed(Some(&quick.to_string()));
    let feed = feed.expect("there is a session");
    let quick = json!({"reconnect_first_ms": 50, "reconnect_cap_ms": 100, "login_timeout_ms": 300,
        "ping_interval_ms": 100, "pong_timeout_ms": 1500, "stale_after_ms": 400});
    let prices = client.feed(Some(&quick.to_string()));
    let prices = prices.expect("there is a session");
    let wanted = SYMBOLS.map(|(_, token)| format!("nse_cm|{token}"));
    prices
        .subscribe("scrips", Some(&wanted.join(",")))
        .expect("they are good");

    let over = AtomicBool::new(false);
    let calmed = AtomicBool::new(false);
    let ticks = AtomicU64::new(0);
    let end = Instant::now() + length;
    thread::scope(|scope| {
        let trader = scope.spawn(|| trade(&client, &sandbox, &over, dice(1)));
        let weather = scope.spawn(|| {
            let mut dice = dice(2);
            let mut troubles = 0_u64;
            while Instant::now() < end {
                thread::sleep(Duration::from_millis(1 + dice.roll(40)));
                sandbox.tick(1);
                if dice.roll(3) == 0 {
                    trouble(&sandbox, &client, &mut dice);
                    troubles += 1;
                }
                if dice.roll(20) == 0 {
                    calm(&sandbox, &client);
                }
            }
            over.store(true, Ordering::Relaxed);
            troubles
        });
        let reader = scope.spawn(|| {
            let mut newest: HashMap<u32, f64> = HashMap::new();
            while !calmed.load(Ordering::Relaxed) {
                let read = prices.read(64, Duration::from_millis(20), |tick| {
                    if tick.level == 4 {
                        newest.insert(tick.token, tick.last_traded_price);
                        ticks.fetch_add(1, Ordering::Relaxed);
                    }
                });
                read.expect("the feed is open");
            }
            newest
        });
        // A failure from here on must not leave the threads waiting.
        let _ends = (Raise(&over), Raise(&calmed));
        let mut told = Told::default();
        listen(&feed, &mut told, |_| over.load(Ordering::Relaxed));
        let (sure, unsure) = trader.join().expect("the trader ends");
        let troubles = weather.join().expect("the weather ends");

        // The sun comes out. One last connection brings what was lost without a gap.
        calm(&sandbox, &client);
        sandbox.strike(Socket::OrderFeed, Strike::Drop);
        sandbox.tick(1);
        let begin = Instant::now();
        listen(&feed, &mut told, |told| {
            let wrong = told.differences(&sandbox);
            if begin.elapsed() > LATE {
                let status = feed.status().expect("it is open");
                let (all, some) = (wrong.len(), &wrong[..wrong.len().min(3)]);
                let others = &told.others;
                let status = status.json();
                panic!("seed {seed}: {status}\n{others:#?}\n{all} wrong, among them {some:#?}");
            }
            wrong.is_empty()
        });
        let taken = sandbox.orders_taken();
        assert!(
            (sure..=sure + unsure).contains(&taken),
            "{sure} sure, {unsure} unsure, {taken} taken"
        );

        // Prices: the last that was read is the last that was sent.
        let begin = Instant::now();
        let wanted: Vec<f64> = SYMBOLS
            .iter()
            .map(|(symbol, _)| {
                let price = sandbox.price("nse_cm", symbol).expect("it has a price");
                price.parse().expect("a number")
            })
            .collect();
        let newest = |token: &str| {
            let mut last = kotak_neo::Tick::default();
            let known = prices.last(&format!("nse_cm|{token}"), &mut last);
            known.expect("it is good").then_some(last.last_traded_price)
        };
        while SYMBOLS
            .iter()
            .zip(&wanted)
            .any(|((_, token), price)| newest(token) != Some(*price))
        {
            assert!(begin.elapsed() < LATE, "seed {seed}: a price stays old");
            thread::sleep(Duration::from_millis(5));
        }
        thread::sleep(Duration::from_millis(100));
        calmed.store(true, Ordering::Relaxed);
        let read = reader.join().expect("the reader ends");
        for ((_, token), price) in SYMBOLS.iter().zip(&wanted) {
            let token = token.parse().expect("a number");
            assert_eq!(read.get(&token), Some(price), "seed {seed}");
        }
        println!(
            "{} s, {troubles} troubles: {taken} orders, {unsure} with an unknown outcome, {} \
             trades; {} order events ({} recovered) over {} connections; {} prices",
            length.as_secs(),
            sandbox.trades().len(),
            told.events,
            told.recovered,
            told.connections,
            ticks.load(Ordering::Relaxed)
        );
    });
}

// ---- Full load ---------------------------------------------------------------------------

/// The most that the broker allows.
const INSTRUMENTS: usize = 3_000;
/// What the client's whole process may hold.
const MEMORY_KIB: u64 = 24 * 1024;

/// Not a test of its own: the process that is a sandbox.
#[test]
fn broker() {
    if !broker::is_here() {
        return;
    }
    let sandbox = Sandbox::start(Options {
        record_limit: 0,
        ..Options::default()
    })
    .expect("the sandbox starts");
    let who = sandbox.credentials();
    broker::serve(|asked| {
        let rate = asked["rate"].as_u64().expect("a rate");
        sandbox.set_feed(Prices {
            rate: FeedRate::PerSecond(u32::try_from(rate).expect("a rate")),
            ..sandbox.feed()
        });
        json!({
            "config": parse(&sandbox.config_json()), "mobile_number": who.mobile_number,
            "ucc": who.ucc, "mpin": who.mpin, "totp": sandbox.totp_now(),
            "tokens": sandbox.tokens("nse_fo", INSTRUMENTS),
        })
    });
}

#[test]
fn three_thousand_instruments_at_full_rate() {
    // A build without optimisation is not what anybody runs at this rate.
    let rate = if cfg!(debug_assertions) {
        10_000
    } else {
        50_000
    };
    let length = seconds("KNEO_LOAD_SECONDS", 3);
    let mut broker = Broker::start();
    let facts = broker.ask(&json!({ "rate": rate }));
    let text = |key: &str| facts[key].as_str().expect(key).to_owned();
    let client = Client::open(Some(&facts["config"].to_string())).expect("it is valid");
    client
        .totp_login(&text("mobile_number"), &text("ucc"), &text("totp"))
        .and_then(|_| client.totp_validate(&text("mpin")))
        .expect("the credentials are right");
    let feed = client.feed(None).expect("there is a session");
    let tokens = facts["tokens"].as_array().expect("a list");
    let tokens: Vec<&str> = tokens.iter().filter_map(Value::as_str).collect();
    assert_eq!(tokens.len(), INSTRUMENTS);
    feed.subscribe("scrips", Some(&tokens.join(",")))
        .expect("they are good");

    let mut seen = std::collections::HashSet::new();
    let (mut ticks, mut most) = (0_u64, 0_u64);
    let read = |seen: &mut std::collections::HashSet<u32>| {
        let read = feed.read(512, LATE, |tick| {
            if tick.level == 4 {
                seen.insert(tick.token);
            }
        });
        read.expect("the feed is open") as u64
    };
    while seen.len() < INSTRUMENTS {
        read(&mut seen);
    }
    let begin = Instant::now();
    let mut next_look = begin;
    while begin.elapsed() < length {
        ticks += read(&mut seen);
        if Instant::now() > next_look {
            most = most.max(memory::resident_kib());
            next_look += Duration::from_secs(1);
        }
    }
    let rate = ticks as f64 / begin.elapsed().as_secs_f64();

    // A reader who sleeps for five seconds gets every newest value at once.
    thread::sleep(Duration::from_secs(5));
    most = most.max(memory::resident_kib());
    let mut oldest: HashMap<u32, i64> = HashMap::new();
    let mut first = HashMap::new();
    let caught_up = Instant::now();
    while first.len() < INSTRUMENTS {
        let read = feed.read(4_096, LATE, |tick| {
            if tick.level == 4 {
                first.entry(tick.token).or_insert(tick.age_us);
                oldest.insert(tick.token, tick.age_us);
            }
        });
        read.expect("the feed is open");
    }
    let pause = caught_up.elapsed();
    most = most.max(memory::resident_kib());
    let status = parse(feed.status().expect("it is open").json());
    println!(
        "{INSTRUMENTS} instruments for {} s: {rate:.0} ticks a second read, {most} KiB at most, \
         all newest values {} ms after a sleep of 5 s, {} values replaced meanwhile",
        length.as_secs(),
        pause.as_millis(),
        status["replaced"]
    );
    // Without optimisation and with the test's own code it is more than users have; the budget is
    // for the build that they get.
    if !cfg!(debug_assertions) {
        assert!(most < MEMORY_KIB, "{most} KiB");
    }
    assert_eq!(status["malformed"], 0);
    assert_eq!(status["state"], "live");
}
