//! The order feed: the official SDK and this library listen on the sandbox's
//! socket side by side, with one session.
//!
//! Both log in with the same bytes, and are told of the same orders. What they
//! hand on is equal but for the rows of one table.

use kotak_neo_sandbox::{Handshake, LoginManner, OrderFeed as Manners, Socket, Strike, Switches};
use kotak_neo_testing::fixtures::sample;
use kotak_neo_testing::orders::{order, with};
use serde_json::{Value, json};

use crate::OK;
use crate::facts::Exception;
use crate::handles::OrderFeed;
use crate::sides::{AGENT, EXTENSIONS, KEY, Sides, event, only_ours, until};

/// The table. A row that no comparison needs fails the test.
const EXCEPTIONS: &[Exception] = &[
    AGENT,
    KEY,
    EXTENSIONS,
    Exception {
        fact: "state",
        holds: only_ours,
        reason: "how the feed is stands among its events; the SDK has calls for a part of it",
    },
    Exception {
        fact: "books",
        holds: only_ours,
        reason: "after every login the books are read, and what they alone say is told",
    },
    Exception {
        fact: "message that was told before",
        holds: |sdk, ours| sdk.is_some() && ours.is_none(),
        reason: "no step of an order and no position is told twice",
    },
    Exception {
        fact: "event data.qty",
        holds: |sdk, ours| sdk == Some("JSON 5") && ours == Some("5"),
        reason: "the SDK makes a number of a text that should be one; here it is as it came",
    },
    Exception {
        fact: "event message",
        holds: |sdk, ours| sdk == Some("bytes 7bff7d") && ours == Some("{\u{fffd}}"),
        reason: "bytes that are no text come as text, with U+FFFD; the SDK gives the bytes",
    },
    Exception {
        fact: "refused login",
        holds: |sdk, ours| sdk == Some("nothing") && ours == Some("refused"),
        reason: "the SDK overlooks the refusal, and the feed looks like a calm one",
    },
    Exception {
        fact: "second form of the login",
        holds: |sdk, ours| sdk.is_none() && ours.is_some_and(|ours| ours.starts_with("{\"")),
        reason: "where the documented form is not taken, JSON is tried; reports say that it is \
                 wanted",
    },
];

/// The two sides' order feeds.
struct Orders {
    sides: Sides,
    feed: OrderFeed,
    fences: u32,
    seen: Vec<String>,
}

impl Orders {
    fn open(mut sides: Sides) -> Self {
        assert_eq!(open_sdk(&mut sides), json!({"answer": null}));
        let feed = sides.library.order_feed(&options());
        let mut orders = Self {
            sides,
            feed,
            fences: 0,
            seen: Vec::new(),
        };
        orders.compare_logins("login");
        orders
    }

    /// Byte for byte; and waits until this library has merged the books.
    fn compare_logins(&mut self, what: &str) {
        let [theirs, ours] = self.sides.texts(what, 1, 1);
        assert_eq!(theirs.len(), 1, "{what}");
        assert!(theirs[0].starts_with("{type:cn,Authorization:"), "{what}");
        // Not shown if it fails: they hold the token.
        assert!(theirs == ours, "{what}: the texts differ");
        let merged = |event: &Value| event["type"] == "books" && event["ok"] == true;
        for event in until(&self.feed, what, merged) {
            let told = match event["type"].as_str() {
                Some("state") => ("state", event["state"].as_str()),
                // Nothing was missed, but trades are known by the books alone.
                Some("trade") if event["fill_quantity"] == 0 => ("books", Some("a trade")),
                other => panic!("{what}: {other:?}: {event}"),
            };
            self.sides.compare_one(what, told.0, None, told.1);
        }
        self.sides.compare_one(what, "books", None, Some("read"));
    }

    /// What both have handed on since the last time: messages, without what
    /// this library tells beside them.
    fn told(&mut self, what: &str) -> [Vec<Value>; 2] {
        self.fences += 1;
        let fence = format!("fence {}", self.fences);
        let strike = Strike::Text(fence.clone());
        self.sides.sandbox.strike(Socket::OrderFeed, strike);
        let asked = json!({"feed": "create_order_feed", "fence": fence});
        let theirs = self.sides.sdk.ask("feed_until", asked);
        let theirs = theirs.as_array().expect("messages are a list");
        let theirs = theirs.iter().map(|one| match one["type"].as_str() {
            Some("order" | "position") => one.clone(),
            _ => json!({"message": one}),
        });
        let theirs: Vec<Value> = theirs.collect();
        let events = until(&self.feed, what, |event| event["raw"] == *fence);
        [theirs, events.iter().map(as_sent).collect()]
    }

    fn happens(&mut self, what: &str, act: impl FnOnce(&mut Sides)) {
        act(&mut self.sides);
        let [theirs, ours] = self.told(what);
        let sides = &mut self.sides;
        sides.compare_values(what, "message", &theirs, &ours);
        let states = ours.iter().map(|one| match &one["data"]["ordSt"] {
            Value::String(state) => state.clone(),
            _ => one["type"].to_string(),
        });
        self.seen.extend(states);
    }
}

/// The message behind an event of this library, whose own words are checked.
fn as_sent(event: &Value) -> Value {
    let data = &event["data"];
    match event["type"].as_str() {
        Some("order") => {
            assert_eq!(event["origin"], "live", "{event}");
            assert_eq!(event["order"], data["nOrdNo"], "{event}");
            assert_eq!(event["state_text"], data["ordSt"], "{event}");
            assert_eq!(event["filled"], data["fldQty"], "{event}");
            json!({"type": "order", "data": data})
        }
        Some("position") => json!({"type": "position", "data": data}),
        Some("message") => {
            let raw = event["raw"].as_str().expect("a text");
            let read = serde_json::from_str(raw);
            json!({"message": read.unwrap_or_else(|_| json!(raw))})
        }
        other => panic!("{other:?}: {event}"),
    }
}

fn options() -> Value {
    json!({
        "reconnect_first_ms": 20, "reconnect_cap_ms": 50, "ping_interval_ms": 600_000,
        "login_timeout_ms": 60_000,
    })
}

fn open_sdk(sides: &mut Sides) -> Value {
    let url = sides.url();
    let with = json!({
        "feed": "create_order_feed", "url": url, "reconnect_delay": 0, "ping_interval": 600,
    });
    sides.sdk.ask("feed_open", with)
}

fn close_sdk(sides: &mut Sides) {
    let with = json!({"feed": "create_order_feed"});
    assert_eq!(sides.sdk.ask("feed_close", with), Value::Null);
}

/// A limit order to buy five for 9.30.
fn wish(more: &Value) -> Value {
    let base = json!({"product": "NRML", "price": "9.30", "quantity": "5"});
    with(with(order(), base), more.clone())
}

/// Places by this library, and gives the number.
fn place(sides: &Sides, more: &Value) -> String {
    let placed = sides.library.call("place_order", &wish(more));
    assert_eq!(placed.status, OK, "{}", placed.json);
    let number = placed.json["nOrdNo"].as_str();
    number.expect("an order has a number").to_owned()
}

/// The number of the newest order.
fn newest(sides: &Sides) -> String {
    let orders = sides.sandbox.orders();
    orders.last().expect("there is an order").number.clone()
}

fn price(text: &'static str) -> impl FnOnce(&mut Sides) {
    move |sides| sides.sandbox.set_price("nse_cm", "IDEA-EQ", text)
}

fn switch(change: fn(&mut Switches)) -> impl FnOnce(&mut Sides) {
    move |sides| {
        let mut switches = sides.sandbox.switches();
        change(&mut switches);
        sides.sandbox.set_switches(switches);
    }
}

/// Orders through every state that the sandbox knows.
fn lives_of_orders(orders: &mut Orders) {
    orders.happens("placed by the SDK", |sides| {
        let said = sides.sdk.ask("place_order", wish(&json!({})));
        assert_eq!(said["answer"]["stat"], "Ok", "{said}");
    });
    orders.happens("little is on offer", switch(|all| all.liquidity = Some(2)));
    orders.happens("a part is filled", price("9.25"));
    orders.happens("modified by the library", |sides| {
        let changes = json!({
            "order_id": newest(sides), "price": "9.20", "order_type": "L", "quantity": "8",
            "validity": "DAY",
        });
        let modified = sides.library.call("modify_order", &changes);
        assert_eq!(modified.status, OK, "{}", modified.json);
    });
    orders.happens("another part", |sides| {
        sides.sandbox.tick(1);
        price("9.15")(sides);
    });
    orders.happens("cancelled by the SDK", |sides| {
        let said = sides
            .sdk
            .ask("cancel_order", json!({"order_id": newest(sides)}));
        assert_eq!(said["answer"]["stat"], "Ok", "{said}");
    });
    orders.happens("rejected", |sides| {
        place(sides, &json!({"price": "900.00"}));
    });
    orders.happens("all is on offer", switch(|all| all.liquidity = None));
    orders.happens("sold at once", |sides| {
        place(sides, &json!({"transaction_type": "S", "price": "9.00"}));
    });
    orders.happens("at market", |sides| {
        place(sides, &json!({"order_type": "MKT", "price": "0"}));
    });
    orders.happens("immediate or cancel", |sides| {
        place(sides, &json!({"validity": "IOC", "price": "8.90"}));
    });
    orders.happens("a stop", |sides| {
        let stop = json!({"order_type": "SL", "price": "9.40", "trigger_price": "9.35"});
        place(sides, &stop);
    });
    orders.happens("the stop is reached", price("9.35"));
    orders.happens("from the broker's app", |sides| {
        let _ = sides
            .sandbox
            .place_from_app("nse_cm", "IDEA-EQ", "S", 3, "9.30");
    });
    orders.happens("the market closes", switch(|all| all.market_open = false));
    orders.happens("after the market", |sides| {
        place(sides, &json!({"amo": "YES"}));
    });
    orders.happens("the market opens", switch(|all| all.market_open = true));
    for state in [
        "put order req received",
        "validation pending",
        "open pending",
        "open",
        "complete",
        "rejected",
        "cancelled",
        "modify validation pending",
        "modify pending",
        "cancel pending",
        "trigger pending",
        "after market order req received",
        "\"position\"",
    ] {
        let seen = orders.seen.iter().any(|seen| seen == state);
        assert!(seen, "{state}: {:?}", orders.seen);
    }
}

/// Whatever a text is, both hand it on.
fn odd_messages(orders: &mut Orders) {
    for text in [
        sample("orderfeed_order.complete"),
        sample("orderfeed_order.minimal"),
        sample("orderfeed_position"),
        sample("orderfeed_ack.error-format"),
        // Dropped by both.
        sample("orderfeed_ack.ok"),
        "hello".to_owned(),
        String::new(),
        "[1,\"a\",null]".to_owned(),
        "7".to_owned(),
        r#"{"type":"notice","data":{"text":"डाटा"}}"#.to_owned(),
        r#"{"data":{"nOrdNo":"7"}}"#.to_owned(),
        r#"{"type":"order","data":{"nOrdNo":"71","ordSt":"open","qty":"5"}}"#.to_owned(),
        // The SDK's model does not take it, and the message is handed on as it came.
        r#"{"type":"order","data":{"nOrdNo":"72","ordSt":"open","qty":"five"}}"#.to_owned(),
        r#"{"type":"order","data":{"nOrdNo":"73","ordSt":"a new word","news":[1,{"a":2}]}}"#
            .to_owned(),
        r#"{"type":"position","data":{"sym":"X","flBuyQty":"1","news":null}}"#.to_owned(),
    ] {
        orders.happens(&format!("odd: {text:.60}"), |sides| {
            let strike = Strike::Text(text.clone());
            sides.sandbox.strike(Socket::OrderFeed, strike);
        });
    }
    for bytes in [
        br#"{"type":"order","data":{"nOrdNo":"74","ordSt":"open"}}"#.to_vec(),
        b"{\xff}".to_vec(),
    ] {
        orders.happens("odd: bytes", |sides| {
            let strike = Strike::Binary(bytes);
            sides.sandbox.strike(Socket::OrderFeed, strike);
        });
    }
}

#[test]
fn the_order_feed_says_and_hands_on_the_same() {
    let test = "order feed like the official SDK's";
    let Some(sides) = Sides::start(test, Socket::OrderFeed, EXCEPTIONS) else {
        return;
    };
    sides.sandbox.set_price("nse_cm", "IDEA-EQ", "9.50");
    let mut orders = Orders::open(sides);
    orders.sides.compare_handshakes();
    lives_of_orders(&mut orders);
    odd_messages(&mut orders);

    // Both come back after a loss, with the same bytes again.
    orders.sides.sandbox.strike(Socket::OrderFeed, Strike::Drop);
    orders.compare_logins("reconnect");
    orders.happens("after a loss", |sides| {
        place(sides, &json!({"price": "8.80"}));
    });

    // Every message twice.
    let twice = Manners {
        duplicate_every: 1,
        ..orders.sides.sandbox.order_feed()
    };
    orders.sides.sandbox.set_order_feed(twice);
    place(&orders.sides, &json!({"price": "9.40"}));
    let [theirs, ours] = orders.told("twice");
    let halves: [Vec<Value>; 2] = [0, 1].map(|odd| {
        let half = theirs.iter().skip(odd).step_by(2);
        half.cloned().collect()
    });
    assert!(halves[0].len() > 4 && halves[0] == halves[1], "{theirs:?}");
    let sides = &mut orders.sides;
    sides.compare_values("twice", "message", &halves[0], &ours);
    sides.compare_values("twice", "message that was told before", &halves[1], &[]);

    let Orders {
        mut sides, feed, ..
    } = orders;
    drop(feed);
    close_sdk(&mut sides);
    refused(&mut sides);
    other_form(&mut sides);
    sides.finish();
}

/// A login that is refused.
fn refused(sides: &mut Sides) {
    sides.sandbox.set_order_feed(Manners {
        login: LoginManner::RefuseOpen,
        ..Manners::default()
    });
    assert_eq!(open_sdk(sides), json!({"answer": null}));
    // It does not try again before it is closed.
    let once = json!({"reconnect_first_ms": 600_000, "reconnect_cap_ms": 600_000});
    let feed = sides.library.order_feed(&once);
    let ours = loop {
        let event = event(&feed);
        if let Some(state @ ("live" | "refused" | "down")) = event["state"].as_str() {
            break state.to_owned();
        }
    };
    let [theirs, ours_sent] = sides.texts("refused login", 1, 2);
    assert!(theirs[0] == ours_sent[0], "the first forms differ");
    let second = ours_sent.get(1).map(String::as_str);
    let fact = "second form of the login";
    sides.compare_one("refused login", fact, None, second);
    sides
        .sandbox
        .strike(Socket::OrderFeed, Strike::Text("fence".to_owned()));
    let asked = json!({"feed": "create_order_feed", "fence": "fence"});
    let heard = sides.sdk.ask("feed_until", asked);
    let theirs = match heard.as_array().expect("a list").is_empty() {
        true => "nothing".to_owned(),
        false => heard.to_string(),
    };
    sides.compare_one("refused login", "refused login", Some(&theirs), Some(&ours));
    close_sdk(sides);
}

/// A server that understands JSON alone.
fn other_form(sides: &mut Sides) {
    sides.sandbox.set_order_feed(Manners {
        handshake: Handshake::Json,
        ..Manners::default()
    });
    assert_eq!(open_sdk(sides), json!({"answer": null}));
    let feed = sides.library.order_feed(&options());
    let [theirs, ours] = sides.texts("other form", 1, 2);
    assert!(theirs[0] == ours[0], "the first forms differ");
    let second = |texts: &[String]| texts.get(1).cloned();
    let (theirs, ours) = (second(&theirs), second(&ours));
    let fact = "second form of the login";
    sides.compare_one("other form", fact, theirs.as_deref(), ours.as_deref());
    until(&feed, "other form", |event| event["state"] == "live");
    close_sdk(sides);
}
