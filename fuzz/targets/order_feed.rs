//! An order feed from its beginning: texts of the broker, books, and a reader
//! who may be slow. What is told must add up, whatever came.
//!
//! The first byte says how many events are kept. Then lines: `R` and a
//! number of events to be read; `B`, and order book and trade book in the two
//! lines that follow; anything else is a text of the broker.
#![no_main]

use std::collections::HashMap;
use std::time::Duration;

use kotak_neo::Status;
use kotak_neo::raw::OrderFeed;
use kotak_neo_fuzz::{Input, json, must_be_json};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use serde_json::value::RawValue;

const TOKEN: &str = "fake-token-0001";
const SID: &str = "fake-sid-0001";
/// Notices in a row, before and after the one about the overflow.
const NOTICES: u64 = 130;
/// Enough for everything to happen.
const LINES: usize = 100;

#[derive(Default)]
struct Order {
    filled: u64,
    /// The sum of its trades.
    traded: u64,
    /// The sum of what was told as new.
    added: u64,
    ended: bool,
}

/// What a caller makes of the events.
#[derive(Default)]
struct Caller {
    sequence: u64,
    orders: HashMap<String, Order>,
}

/// What has no number, or a long one, is told as it comes.
fn is_merged(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= 64
}

impl Caller {
    fn read(&mut self, feed: &OrderFeed) -> bool {
        let reply = match feed.feed.next(Duration::ZERO) {
            Ok(reply) => reply,
            Err(error) => {
                assert_eq!(error.status(), Status::End);
                return false;
            }
        };
        let text = reply.json();
        must_be_json(text);
        // The broker's row may be what serde_json does not read.
        let members: HashMap<String, &RawValue> = serde_json::from_str(text).expect("an object");
        let of = |key: &str| members.get(key).map(|raw| json(raw.get()));
        let number = |key: &str| of(key).and_then(|value| value.as_u64());
        self.sequence += 1;
        assert_eq!(number("sequence"), Some(self.sequence));
        let kind = of("type").expect("every event has a type");
        let name = of("order").and_then(|name| name.as_str().map(str::to_owned));
        match kind.as_str() {
            Some("order") => {
                let state = of("state").expect("a state");
                let Some(name) = name.filter(|name| is_merged(name)) else {
                    return true;
                };
                let order = self.orders.entry(name).or_default();
                if let Some(filled) = number("filled") {
                    assert!(filled >= order.filled, "filled went back: {text}");
                    order.filled = filled;
                }
                order.added += number("fill_quantity").expect("a quantity");
                let ended = matches!(
                    state.as_str(),
                    Some("complete" | "rejected" | "cancelled" | "cancelled_after_market_order")
                );
                assert!(ended || !order.ended, "an order came back: {text}");
                order.ended = ended;
            }
            Some("trade") => {
                let name = name.expect("a trade has an order");
                if !is_merged(&name) {
                    return true;
                }
                let order = self.orders.entry(name).or_default();
                let quantity = number("quantity").expect("a quantity");
                order.traded = order.traded.saturating_add(quantity);
                order.added += number("fill_quantity").expect("a quantity");
            }
            Some("message") => {
                let raw = of("raw").unwrap_or(Value::Null);
                let raw = raw.as_str().expect("a text");
                assert!(
                    !raw.contains(TOKEN) && !raw.contains(SID),
                    "a secret: {raw}"
                );
            }
            Some("position" | "books" | "overflow") => {}
            other => panic!("{other:?}"),
        }
        true
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let capacity = usize::from(input.byte()) + 1;
    let mut feed = OrderFeed::new(capacity, TOKEN, SID).expect("good options");
    let mut caller = Caller::default();
    let text = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
    for _ in 0..LINES {
        if input.is_empty() {
            break;
        }
        let line = text(input.line());
        if let Some(count) = line.strip_prefix('R') {
            let count = count.parse().unwrap_or(1).min(1000);
            for _ in 0..count {
                if !caller.read(&feed) {
                    break;
                }
            }
        } else if line == "B" {
            let (orders, trades) = (text(input.line()), text(input.line()));
            if let Err(error) = feed.books(&orders, &trades) {
                assert_eq!(error.status(), Status::Protocol);
            }
        } else if let Some(reason) = feed.text(&line) {
            assert!(!reason.contains(TOKEN) && !reason.contains(SID), "{reason}");
        }
    }
    let status = feed.feed.status().expect("it is open");
    let waiting = json(status.json())["waiting"].as_u64();
    assert!(waiting <= Some(capacity as u64 + NOTICES));
    while caller.read(&feed) {}
    for (name, order) in &caller.orders {
        assert_eq!(order.added, order.filled.max(order.traded), "{name}");
    }
});
