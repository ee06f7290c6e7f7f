//! The market feed: the official SDK and this library use the sandbox's
//! socket side by side, with one session.
//!
//! Both ask for the same things, and the sandbox sends both the same packets.
//! What they send, and what they make of what they get, is equal but for the
//! rows of one table.

use std::collections::{BTreeMap, BTreeSet};

use kotak_neo_sandbox::{Acks, Feed, LoginManner, Sandbox, Socket, Strike, Switches};
use kotak_neo_testing::dice::Dice;
use kotak_neo_testing::packets::{bytes_of, vectors};
use serde_json::{Value, json};

use crate::facts::{self, Exception, Facts};
use crate::handles::MarketFeed;
use crate::library::Outcome;
use crate::sides::{AGENT, EXTENSIONS, KEY, Sides, event, only_ours, until};
use crate::{INVALID_ARGUMENT, OK};

/// The table. A row that no comparison needs fails the test.
const EXCEPTIONS: &[Exception] = &[
    AGENT,
    KEY,
    EXTENSIONS,
    Exception {
        fact: "frame conn_req_time",
        holds: |sdk, ours| {
            let ms = |text: Option<&str>| {
                let text = text.and_then(|text| text.strip_prefix("JSON "));
                text.and_then(|text| text.parse::<i64>().ok())
            };
            let both = ms(sdk).zip(ms(ours));
            both.is_some_and(|(sdk, ours)| (sdk - ours).abs() < 600_000)
        },
        reason: "the moment of each login, in milliseconds",
    },
    Exception {
        fact: "frame inputtoken",
        holds: |sdk, ours| {
            let tokens =
                |text: &str| -> Vec<String> { text.split(',').map(str::to_owned).collect() };
            let sorted = |text: Option<&str>| {
                let mut all = text.map(tokens).unwrap_or_default();
                all.sort();
                all
            };
            ours.is_some() && sorted(sdk) == sorted(ours)
        },
        reason: "the same instruments in another order, which has no meaning",
    },
    Exception {
        fact: "frames",
        holds: |sdk, ours| sdk == Some("1") && ours == Some("2"),
        reason: "more than 500 instruments go out in frames of 500; no limit of a frame is \
                 documented",
    },
    Exception {
        fact: "asked",
        holds: |sdk, ours| sdk.is_some() && ours.is_none(),
        reason: "what is subscribed is not asked for again, what is not is not ended again",
    },
    Exception {
        fact: "event that was asked for again",
        holds: |sdk, ours| sdk.is_some() && ours.is_none(),
        reason: "so its value comes once more to the SDK",
    },
    Exception {
        fact: "event name",
        holds: |sdk, ours| {
            let separators = |c: char| ('\x1c'..='\x1f').contains(&c);
            ours.is_some_and(|ours| Some(ours.trim_matches(separators)) == sdk)
        },
        reason: "Python takes four more control characters for blanks",
    },
    Exception {
        fact: "event received_ns",
        holds: only_ours,
        reason: "when it came",
    },
    Exception {
        fact: "event age_us",
        holds: only_ours,
        reason: "how long ago that was when it was read",
    },
    Exception {
        fact: "event sequence",
        holds: only_ours,
        reason: "records are numbered",
    },
    Exception {
        fact: "event replaced",
        holds: only_ours,
        reason: "how many values a slow reader has missed",
    },
    Exception {
        fact: "event last_trade_time",
        holds: no_time,
        reason: "never is null; the SDK shows what the exchange writes for it",
    },
    Exception {
        fact: "event last_update_time",
        holds: no_time,
        reason: "never is null; the SDK shows 0",
    },
    Exception {
        fact: "event total_traded_value",
        holds: |sdk, ours| {
            sdk.is_some_and(|sdk| sdk.starts_with("float ")) && ours == Some("JSON null")
        },
        reason: "a value that is no number is null: JSON has no other word for it",
    },
    Exception {
        fact: "event trading_symbol",
        holds: |sdk, ours| {
            sdk == Some("JSON null") && ours.is_some_and(|ours| !ours.starts_with("JSON "))
        },
        reason: "the SDK does not read the acknowledgement that the broker documents",
    },
    Exception {
        fact: "state",
        holds: only_ours,
        reason: "how the feed is stands among its events; the SDK has calls for a part of it",
    },
    Exception {
        fact: "login, refused after 1119",
        holds: |sdk, ours| sdk == Some("taken") && ours == Some("refused"),
        reason: "the SDK takes 1119 for a success, and overlooks the refusal after it",
    },
];

/// 0, a time before 1970, or one that no calendar reaches.
fn no_time(sdk: Option<&str>, ours: Option<&str>) -> bool {
    let time = sdk.and_then(|sdk| sdk.strip_prefix("JSON "));
    let time = time.and_then(|time| time.parse::<i128>().ok());
    ours == Some("JSON null") && time.is_some_and(|time| i64::try_from(time).unwrap_or(0) <= 0)
}

/// What one side has asked for with one event, in one frame or several.
struct Wish {
    frames: usize,
    facts: Facts,
}

/// Control frames, by what they ask for.
fn wishes(frames: &[String]) -> BTreeMap<String, Wish> {
    let mut all: BTreeMap<String, Wish> = BTreeMap::new();
    for text in frames {
        let frame: Value = serde_json::from_str(text).expect("a control frame is JSON");
        let event = frame["event"].as_str().unwrap_or("login").to_owned();
        let mut facts = facts::of_value("frame", &frame);
        facts.insert("frame keys".to_owned(), keys_in_order(text, &frame));
        match all.get_mut(&event) {
            None => {
                let frames = 1;
                all.insert(event, Wish { frames, facts });
            }
            Some(wish) => {
                wish.frames += 1;
                for (name, value) in facts {
                    let before = wish.facts.entry(name.clone()).or_default();
                    if name == "frame inputtoken" {
                        before.push_str(&format!(",{value}"));
                    } else if *before != value {
                        before.push_str(&format!(" and {value}"));
                    }
                }
            }
        }
    }
    all
}

/// The keys as they stand in the text, which has no object in an object.
fn keys_in_order(text: &str, frame: &Value) -> String {
    let keys = frame.as_object().expect("a frame is an object").keys();
    let mut places: Vec<(usize, &str)> = keys
        .map(|key| {
            let place = text.find(&format!("\"{key}\":"));
            (place.expect("the key stands there"), key.as_str())
        })
        .collect();
    places.sort_unstable();
    let keys: Vec<&str> = places.iter().map(|(_, key)| *key).collect();
    keys.join(" ")
}

/// What an event is about: only values of the same thing come in an order.
fn key(event: &Value) -> String {
    ["type", "level", "exchange_segment", "instrument_token"]
        .map(|key| match &event[key] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
        .join(" ")
}

/// The two sides' market feeds.
struct Market {
    sides: Sides,
    feed: MarketFeed,
    fences: u32,
    /// How many events of each kind both have understood.
    seen: BTreeMap<String, usize>,
}

/// Nothing but what the test does changes a state or sends a frame.
fn calm() -> Value {
    json!({
        "stale_after_ms": 3_600_000, "pong_timeout_ms": 3_600_000, "login_timeout_ms": 60_000,
        "reconnect_first_ms": 50, "reconnect_cap_ms": 50,
    })
}

impl Market {
    /// Opens both feeds and compares how they log in.
    fn open(mut sides: Sides) -> Self {
        let url = sides.url();
        // It tries again at once, as this library does, and a slow machine does not hurry it.
        let with = json!({
            "feed": "create_websocket", "url": url, "reconnect_delay": 0,
            "ack_wait_timeout": 60.0, "ping_interval": 600,
        });
        let opened = sides.sdk.ask("feed_open", with);
        assert_eq!(opened, json!({"answer": null}));
        let feed = sides.library.feed(&calm());
        let mut market = Self {
            sides,
            feed,
            fences: 0,
            seen: BTreeMap::new(),
        };
        market.compare_frames("login", (1, 1));
        market.live("login");
        market
    }

    /// Waits until this library is live.
    fn live(&mut self, what: &str) {
        for event in until(&self.feed, what, |event| event["state"] == "live") {
            let state = event["state"].as_str();
            self.sides.compare_one(what, "state", None, state);
        }
    }

    fn sdk(&mut self, call: &str, more: Value) -> Value {
        let mut with = json!({"feed": "create_websocket", "call": call});
        for (key, value) in more.as_object().expect("arguments are an object") {
            with[key] = value.clone();
        }
        self.sides.sdk.ask("feed_call", with)
    }

    /// Has both ask for the same, and gives how that ended.
    fn ask(&mut self, verb: &str, kind: &str, tokens: &[&str]) -> (Value, Outcome) {
        let (call, more) = match verb {
            "snapshot" => (
                "snapshot".to_owned(),
                json!({"tokens": tokens, "intent": kind}),
            ),
            _ if kind == "exchange" => (format!("{verb}_{kind}"), json!({})),
            _ => (format!("{verb}_{kind}"), json!({"tokens": tokens})),
        };
        let theirs = self.sdk(&call, more);
        (theirs, self.feed.ask(verb, kind, tokens))
    }

    /// Both ask for the same, and it is granted.
    fn asks(&mut self, verb: &str, kind: &str, tokens: &[&str]) {
        self.asks_in(verb, kind, tokens, (1, 1), "event");
    }

    /// The same, with so many frames; `missing` names an event that one side lacks.
    fn asks_in(
        &mut self,
        verb: &str,
        kind: &str,
        tokens: &[&str],
        frames: (usize, usize),
        missing: &str,
    ) {
        let what = format!("{verb} {kind}");
        let (theirs, ours) = self.ask(verb, kind, tokens);
        assert_eq!(theirs, json!({"answer": null}), "{what}");
        assert_eq!(ours.status, OK, "{what}: {}", ours.json);
        self.compare_frames(&what, frames);
        self.compare_events(&what, missing);
    }

    /// Both refuse to ask, and send nothing.
    fn refuse(&mut self, verb: &str, kind: &str, tokens: &[&str]) {
        let what = format!("{verb} {kind}, refused");
        let (theirs, ours) = self.ask(verb, kind, tokens);
        assert_eq!(theirs, json!({"raised": "SubscriptionError"}), "{what}");
        assert_eq!(ours.status, INVALID_ARGUMENT, "{what}: {}", ours.json);
        assert_eq!(ours.json["error"]["sent"], false);
        self.compare_frames(&what, (0, 0));
    }

    fn compare_frames(&mut self, what: &str, (theirs, ours): (usize, usize)) {
        let sides = &mut self.sides;
        let [theirs, ours] = sides.texts(what, theirs, ours).map(|all| wishes(&all));
        let events: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
        for event in events {
            let what = format!("{what}: {event}");
            match (theirs.get(event), ours.get(event)) {
                (Some(theirs), Some(ours)) => {
                    let count = |wish: &Wish| wish.frames.to_string();
                    let (theirs_count, ours_count) = (count(theirs), count(ours));
                    sides.compare_one(&what, "frames", Some(&theirs_count), Some(&ours_count));
                    sides.compare(&what, &theirs.facts, &ours.facts);
                }
                (theirs, ours) => {
                    let there = |wish: Option<&Wish>| wish.map(|_| event.as_str());
                    sides.compare_one(&what, "asked", there(theirs), there(ours));
                }
            }
        }
    }

    /// A packet that stands after all that was sent before, for a token that is no instrument.
    fn fence(&mut self) -> String {
        self.fences += 1;
        let token = 4_000_000_000 + self.fences;
        let mut bytes = vec![0; 54];
        bytes[..2].copy_from_slice(&54_u16.to_le_bytes());
        bytes[4..6].copy_from_slice(&[1, 1]);
        bytes[9..13].copy_from_slice(&token.to_le_bytes());
        self.strike(bytes);
        token.to_string()
    }

    fn strike(&self, bytes: Vec<u8>) {
        let strike = Strike::Binary(bytes);
        self.sides.sandbox.strike(Socket::Feed, strike);
    }

    /// What both have understood since the last time.
    fn told(&mut self, what: &str) -> [Vec<Value>; 2] {
        let fence = self.fence();
        let theirs = self.sides.sdk.ask(
            "feed_until",
            json!({"feed": "create_websocket", "fence": fence}),
        );
        let theirs = theirs.as_array().expect("messages are a list").clone();
        let events = until(&self.feed, what, |event| {
            event["instrument_token"] == *fence
        });
        let mut ours = Vec::new();
        for event in events {
            match event["state"].as_str() {
                Some(state) => panic!("{what}: the state is {state}"),
                None => ours.push(event),
            }
        }
        let by_value = |all: Vec<Value>| all.iter().map(facts::by_value).collect();
        [by_value(theirs), by_value(ours)]
    }

    fn compare_events(&mut self, what: &str, missing: &str) {
        let mut keys: BTreeMap<String, [Vec<Value>; 2]> = BTreeMap::new();
        for (side, events) in self.told(what).into_iter().enumerate() {
            for event in events {
                keys.entry(key(&event)).or_default()[side].push(event);
            }
        }
        for (key, [theirs, ours]) in keys {
            let what = format!("{what}: {key}");
            self.sides.compare_values(&what, missing, &theirs, &ours);
            let kind: Vec<&str> = key.split(' ').take(2).collect();
            *self.seen.entry(kind.join(" ")).or_default() += theirs.len().min(ours.len());
        }
    }

    /// Something happens, and both understand the same of it.
    fn happens(&mut self, what: &str, act: impl FnOnce(&Sandbox)) {
        act(&self.sides.sandbox);
        self.compare_events(what, "event");
    }

    /// Ends both connections; both come back and ask for everything again.
    fn reconnect(&mut self, subscribed: usize) {
        self.sides.sandbox.strike(Socket::Feed, Strike::Drop);
        let frames = 1 + subscribed;
        self.compare_frames("reconnect", (frames, frames));
        self.live("reconnect");
        self.compare_events("reconnect", "event");
    }
}

/// Every documented packet is to both what the fixture says.
fn documented_packets(market: &mut Market) {
    for vector in vectors() {
        let name = vector["name"].as_str().expect("a name");
        market.strike(bytes_of(&vector));
        let [theirs, ours] = market.told(name);
        let expected = vector["expected"].as_array().expect("a list").iter();
        let expected: Vec<Value> = expected
            .filter(|one| !one.is_null())
            .map(facts::by_value)
            .collect();
        assert_eq!(theirs, expected, "{name}");
        market.sides.compare_values(name, "event", &theirs, &ours);
    }
}

/// Documented packets with bytes changed, cut, and put together.
fn damaged_packets(market: &mut Market) {
    let seeds: Vec<Vec<u8>> = vectors().iter().map(bytes_of).collect();
    let mut dice = Dice::new(7);
    let mut understood = 0;
    for round in 0..10 {
        for _ in 0..200 {
            let mut frame = dice.pick(&seeds).clone();
            if dice.roll(4) == 0 {
                frame.extend(dice.pick(&seeds));
            }
            for _ in 0..dice.roll(6) {
                let at = dice.below(frame.len());
                frame[at] = dice.byte();
            }
            if dice.roll(4) == 0 {
                frame.truncate(1 + dice.below(frame.len()));
            }
            market.strike(frame);
        }
        let what = format!("damaged packets, {round}");
        let [theirs, ours] = market.told(&what);
        understood += theirs.len();
        // One stream to each, so one order.
        market.sides.compare_values(&what, "event", &theirs, &ours);
    }
    assert!(understood > 1000, "{understood}");
}

/// A packet of each kind whose odd values are likely to be told differently.
fn odd_values(market: &mut Market) {
    let of = |name: &str| {
        let vectors = vectors();
        let found = vectors.iter().find(|vector| vector["name"] == name);
        bytes_of(found.expect("there is such a vector"))
    };
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, f64::MAX] {
        let mut bytes = of("depth.level8");
        bytes[107..115].copy_from_slice(&value.to_le_bytes());
        market.strike(bytes);
    }
    for time in [0, -1, i64::MIN, i64::MAX] {
        let mut bytes = of("depth.level8");
        bytes[37..45].copy_from_slice(&time.to_le_bytes());
        bytes[45..53].copy_from_slice(&time.to_le_bytes());
        market.strike(bytes);
        let mut bytes = of("index");
        bytes[33..41].copy_from_slice(&time.to_le_bytes());
        market.strike(bytes);
    }
    for name in [
        &b"\xff\xfeNifty\xe2\x82"[..],
        b" \t Nifty 50 \r\n",
        b"\x1cNifty\x1f",
        "\u{a0}निफ्टी\u{2003}".as_bytes(),
        b"\x00hidden",
    ] {
        let mut bytes = of("index");
        bytes[66..87].fill(0);
        let length = name.len().min(21);
        bytes[66..66 + length].copy_from_slice(&name[..length]);
        market.strike(bytes);
    }
    let [theirs, ours] = market.told("odd values");
    let sides = &mut market.sides;
    sides.compare_values("odd values", "event", &theirs, &ours);
}

/// A day of prices in every kind of subscription.
fn prices(market: &mut Market) {
    const SHARES: [&str; 2] = ["nse_cm|2885", "nse_cm|14366"];
    let price = |segment: &'static str, symbol: &'static str, price: &'static str| {
        move |sandbox: &Sandbox| sandbox.set_price(segment, symbol, price)
    };
    for kind in ["scrips", "scrips_lite", "depth", "full_depth"] {
        market.asks("subscribe", kind, &SHARES);
    }
    market.asks("subscribe", "index", &["nse_cm|Nifty 50", "nse_cm|26009"]);
    market.asks("subscribe", "exchange", &[]);
    // The first contract of every segment, with its divider.
    let contracts = [
        "bse_cm|30001",
        "bse_fo|30001",
        "cde_fo|30001",
        "mcx_fo|30001",
        "nse_com|30001",
        "nse_fo|30001",
    ];
    market.asks("subscribe", "depth", &contracts);
    market.asks("subscribe", "scrips_lite", &contracts);

    market.happens("a price", price("nse_cm", "IDEA-EQ", "9.05"));
    market.happens("an index", price("nse_cm", "Nifty 50", "24501.35"));
    market.happens("no price any more", price("nse_cm", "IDEA-EQ", "0"));
    market.happens("a price again", price("nse_cm", "IDEA-EQ", "9.40"));
    for step in 0..5 {
        market.happens(&format!("step {step}"), |sandbox| sandbox.tick(1));
    }
    market.happens("a trade of ours", |sandbox| {
        let _ = sandbox.place_from_app("nse_cm", "IDEA-EQ", "B", 10, "9.60");
    });
    let switch = |change: fn(&mut Switches)| {
        move |sandbox: &Sandbox| {
            let mut switches = sandbox.switches();
            change(&mut switches);
            sandbox.set_switches(switches);
        }
    };
    market.happens(
        "the auction begins",
        switch(|all| all.closing_auction = true),
    );
    market.happens("an auction price", price("nse_cm", "IDEA-EQ", "9.45"));
    market.happens(
        "the auction ends",
        switch(|all| all.closing_auction = false),
    );
    market.happens("the market closes", switch(|all| all.market_open = false));
    market.happens("the market opens", switch(|all| all.market_open = true));

    for kind in ["scrips", "scrips_lite", "depth"] {
        market.asks("snapshot", kind, &["nse_cm|11536", "nse_cm|1333"]);
    }
    market.asks("snapshot", "index", &["nse_cm|Nifty IT"]);
    market.refuse("snapshot", "full_depth", &SHARES);

    // The same again, and the end of what never was.
    let again = "event that was asked for again";
    market.asks_in("subscribe", "scrips", &SHARES, (1, 0), again);
    market.asks_in("unsubscribe", "scrips", &["nse_cm|1333"], (1, 0), "event");

    let many: Vec<String> = (0..600)
        .map(|at| format!("nse_fo|{}", 900_000 + at))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    market.asks_in("subscribe", "full_depth", &many, (1, 2), "event");
    let too_many: Vec<String> = (0..3000)
        .map(|at| format!("mcx_fo|{}", 900_000 + at))
        .collect();
    let too_many: Vec<&str> = too_many.iter().map(String::as_str).collect();
    market.refuse("subscribe", "scrips", &too_many);
    market.asks_in("unsubscribe", "full_depth", &many, (1, 2), "event");

    market.reconnect(6);
    market.happens("a price after that", price("nse_cm", "IDEA-EQ", "9.55"));
    for kind in ["scrips", "scrips_lite", "depth", "full_depth"] {
        market.asks("unsubscribe", kind, &["nse_cm|14366"]);
        market.happens("fewer prices", price("nse_cm", "IDEA-EQ", "9.60"));
        market.happens("fewer prices", |sandbox| sandbox.tick(1));
    }
    market.asks("unsubscribe", "index", &["nse_cm|Nifty 50"]);
    market.asks("unsubscribe", "exchange", &[]);
    market.happens(
        "the market closes unseen",
        switch(|all| all.market_open = false),
    );
    market.happens(
        "the market opens unseen",
        switch(|all| all.market_open = true),
    );
}

#[test]
fn the_market_feed_asks_and_understands_the_same() {
    let test = "market feed like the official SDK's";
    let Some(sides) = Sides::start(test, Socket::Feed, EXCEPTIONS) else {
        return;
    };
    let mut market = Market::open(sides);
    market.sides.compare_handshakes();
    // Before anything has a trading symbol, as the vectors want it.
    documented_packets(&mut market);
    odd_values(&mut market);
    damaged_packets(&mut market);
    market.sides.sandbox.set_feed(Feed {
        batch: 3,
        ..market.sides.sandbox.feed()
    });
    prices(&mut market);
    for kind in [
        "scrip 4",
        "scrip 8",
        "scrip 16",
        "scrip_lite null",
        "index null",
        "market_status null",
        "cas_change null",
    ] {
        let seen = market.seen.get(kind).copied().unwrap_or(0);
        assert!(seen > 1, "{kind}: {:?}", market.seen);
    }

    // The acknowledgement as the broker documents it; until here both had all symbols.
    let symbols = "event trading_symbol";
    let unused = market.sides.used.unused();
    assert!(unused.iter().any(|row| row.starts_with(symbols)));
    market.sides.sandbox.set_feed(Feed {
        acks: Acks::BrokerDoc,
        ..market.sides.sandbox.feed()
    });
    market.asks("subscribe", "scrips", &["nse_cm|1594"]);
    let Market {
        mut sides, feed, ..
    } = market;
    drop(feed);
    sides
        .sdk
        .ask("feed_close", json!({"feed": "create_websocket"}));
    logins(&mut sides);
    sides.finish();
}

/// How both take every answer to a login.
fn logins(sides: &mut Sides) {
    for manner in [
        LoginManner::Check,
        LoginManner::Initial,
        LoginManner::InitialOnly,
        LoginManner::RefuseOpen,
        LoginManner::RefuseClose,
        LoginManner::Fallback,
        LoginManner::InitialThenRefuse,
    ] {
        sides.sandbox.set_feed(Feed {
            login: manner,
            ..sides.sandbox.feed()
        });
        let url = sides.url();
        let with = json!({"feed": "create_websocket", "url": url, "max_connect_retries": 0});
        let theirs = sides.sdk.ask("feed_open", with);
        let theirs = match theirs["raised"].as_str() {
            None => "taken",
            Some("AuthenticationError") => "refused",
            Some(other) => panic!("{manner:?}: {other}"),
        };
        sides
            .sdk
            .ask("feed_close", json!({"feed": "create_websocket"}));
        let feed = sides.library.feed(&calm());
        let ours = loop {
            match event(&feed)["state"].as_str() {
                Some("live") => break "taken",
                Some("refused" | "down") => break "refused",
                _ => {}
            }
        };
        let what = format!("login, {manner:?}");
        let fact = match manner {
            LoginManner::InitialThenRefuse => "login, refused after 1119",
            _ => "login",
        };
        sides.compare_one(&what, fact, Some(theirs), Some(ours));
    }
}
