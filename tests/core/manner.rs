//! Both feeds have one manner: the same names in status and states, the same
//! options, the same ends, interrupts and batches.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use kotak_neo::{Client, Error, Feed, OrderFeed, Reply, Status};
use kotak_neo_sandbox::Socket;
use serde_json::{Value, json};

use crate::support::{client, json as parse, log_in, sandbox};

const LATE: Duration = Duration::from_secs(60);

/// What callers do with either.
trait Manner: Clone + Send + 'static {
    fn next(&self, wait: Duration) -> Result<Reply, Error>;
    fn next_batch(&self, most: usize, wait: Duration) -> Result<Reply, Error>;
    fn interrupt(&self);
    fn status(&self) -> Result<Reply, Error>;
    fn close(&self);
}

macro_rules! has_manner {
    ($feed:ty) => {
        impl Manner for $feed {
            fn next(&self, wait: Duration) -> Result<Reply, Error> {
                self.next(wait)
            }
            fn next_batch(&self, most: usize, wait: Duration) -> Result<Reply, Error> {
                self.next_batch(most, wait)
            }
            fn interrupt(&self) {
                self.interrupt();
            }
            fn status(&self) -> Result<Reply, Error> {
                self.status()
            }
            fn close(&self) {
                self.close();
            }
        }
    };
}

has_manner!(Feed);
has_manner!(OrderFeed);

fn opened(client: &Client, options: Option<&str>) -> (Feed, OrderFeed) {
    let market = client.feed(options).expect("there is a session");
    let orders = client.order_feed(options).expect("there is a session");
    (market, orders)
}

/// Reads until the state; gives its event.
fn until_state(feed: &impl Manner, name: &str) -> Value {
    loop {
        let event = parse(feed.next(LATE).expect("an event in time").json());
        if event["state"] == name {
            return event;
        }
    }
}

fn keys(value: &Value) -> BTreeSet<&str> {
    let members = value.as_object().expect("an object");
    members.keys().map(String::as_str).collect()
}

fn status(feed: &impl Manner) -> Value {
    parse(feed.status().expect("it is open").json())
}

#[test]
fn states_status_and_options_have_the_same_names() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    log_in(&sandbox, &client).expect("the sandbox lets us in");
    let given = r#"{"ping_interval_ms":60000,"login_timeout_ms":3600000,
        "reconnect_first_ms":10,"reconnect_cap_ms":20}"#;
    let (market, orders) = opened(&client, Some(given));
    let (one, other) = (until_state(&market, "live"), until_state(&orders, "live"));
    assert_eq!(keys(&one), keys(&other));
    let wanted = [
        "age_us",
        "attempt",
        "changes",
        "close_code",
        "http_status",
        "reason",
        "received_ns",
        "retry_in_ms",
        "sequence",
        "state",
        "type",
    ];
    assert_eq!(keys(&one), BTreeSet::from(wanted));
    assert_eq!(
        (&one["reason"], &one["changes"]),
        (&other["reason"], &json!(1))
    );
    assert_eq!(
        (&one["sequence"], &other["sequence"]),
        (&json!(3), &json!(3))
    );

    let (one, other) = (status(&market), status(&orders));
    for status in [&one, &other] {
        for key in [
            "state",
            "reason",
            "close_code",
            "http_status",
            "retry_in_ms",
            "attempt",
            "state_for_ms",
            "connections",
            "gaps",
            "frames",
            "waiting",
            "last_sequence",
            "options",
        ] {
            assert!(status.get(key).is_some(), "{key}: {status}");
        }
        assert_eq!(
            (&status["connections"], &status["gaps"]),
            (&json!(1), &json!(0))
        );
        assert!(status["frames"].as_u64() >= Some(1), "{status}");
        let given = parse(given);
        for key in keys(&given) {
            assert_eq!(status["options"][key], given[key], "{key}");
        }
    }
    // A calm market, so nothing else came.
    assert_eq!(one["last_sequence"], 3);

    let defaults = opened(&client, None);
    let (one, other) = (status(&defaults.0), status(&defaults.1));
    let same: BTreeSet<_> = keys(&one["options"]);
    let same = same
        .intersection(&keys(&other["options"]))
        .copied()
        .collect::<Vec<_>>();
    assert_eq!(same.len(), 4, "{same:?}");
    for key in same {
        assert_eq!(one["options"][key], other["options"][key], "{key}");
        for wrong in [9, 3_600_001] {
            let text = json!({key: wrong}).to_string();
            let errors = [
                client.feed(Some(&text)).expect_err("out of range"),
                client.order_feed(Some(&text)).expect_err("out of range"),
            ];
            let message = format!("options.{key}: must be an integer from 10 to 3600000");
            for error in errors {
                assert_eq!(error.status(), Status::InvalidArgument);
                assert_eq!(error.message(), message);
            }
        }
    }
}

fn ends_alike(feed: &impl Manner) {
    until_state(feed, "live");
    let reader = feed.clone();
    let waits = thread::spawn(move || {
        loop {
            if let Err(error) = reader.next(LATE) {
                return error.status();
            }
        }
    });
    feed.close();
    assert_eq!(waits.join().expect("no panic"), Status::Closed);
    while feed.next_batch(9, LATE).is_ok() {}
    let ends = [
        feed.next(LATE),
        feed.next(Duration::ZERO),
        feed.next_batch(9, LATE),
        feed.status(),
    ];
    for end in ends {
        let error = end.expect_err("it was closed");
        assert_eq!(error.status(), Status::Closed);
        assert_eq!(error.message(), "the feed or its client was closed");
    }
}

#[test]
fn both_end_alike() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    log_in(&sandbox, &client).expect("the sandbox lets us in");
    let (market, orders) = opened(&client, None);
    ends_alike(&market);
    ends_alike(&orders);
}

#[test]
fn the_last_clone_takes_the_connection_along() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    log_in(&sandbox, &client).expect("the sandbox lets us in");
    let (market, orders) = opened(&client, None);
    until_state(&market, "live");
    until_state(&orders, "live");
    drop((market.clone(), orders.clone()));
    assert_eq!(status(&market)["state"], "live");
    let open = || [Socket::Feed, Socket::OrderFeed].map(|one| sandbox.live_sockets(one));
    let until_open = |number| {
        let end = Instant::now() + LATE;
        while open() != [number; 2] {
            assert!(Instant::now() < end, "{:?}", open());
            thread::sleep(Duration::from_millis(1));
        }
    };
    until_open(1);
    drop((market, orders));
    until_open(0);
}

fn interrupts_alike(feed: &impl Manner) {
    until_state(feed, "live");
    // Whatever else is told at the beginning.
    while feed.next(Duration::from_millis(200)).is_ok() {}
    // Before the wait.
    feed.interrupt();
    let polled = feed.next(Duration::ZERO).expect_err("nothing waits");
    assert_eq!(polled.status(), Status::End);
    let cut = feed.next_batch(5, LATE).expect_err("it was interrupted");
    assert_eq!(cut.status(), Status::Closed);
    assert_eq!(cut.message(), "the wait was interrupted");
    // While two wait: a third interrupt may come before one of them does.
    let waits: Vec<_> = (0..2)
        .map(|_| {
            let feed = feed.clone();
            thread::spawn(move || feed.next(LATE).map(|_| ()))
        })
        .collect();
    while waits.iter().any(|wait| !wait.is_finished()) {
        feed.interrupt();
        thread::sleep(Duration::from_millis(1));
    }
    for wait in waits {
        let cut = wait.join().expect("no panic").expect_err("interrupted");
        assert_eq!(cut.status(), Status::Closed);
    }
    assert_eq!(status(feed)["state"], "live");
}

#[test]
fn an_interrupt_ends_waits_and_leaves_the_feed() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    log_in(&sandbox, &client).expect("the sandbox lets us in");
    let (market, orders) = opened(&client, None);
    interrupts_alike(&market);
    interrupts_alike(&orders);
}

fn batches_alike(feed: &impl Manner) {
    let mut states: Vec<Value> = Vec::new();
    while states.last().is_none_or(|last| last != "live") {
        let batch = feed.next_batch(2, LATE).expect("events in time");
        let batch = parse(batch.json());
        let events = batch.as_array().expect("an array");
        assert!((1..=2).contains(&events.len()), "{batch}");
        let told = events.iter().filter(|event| event["type"] == "state");
        states.extend(told.map(|event| event["state"].clone()));
    }
    assert_eq!(states, ["connecting", "authenticating", "live"]);
    while feed.next(Duration::from_millis(200)).is_ok() {}
    let none = feed
        .next_batch(65_536, Duration::ZERO)
        .expect_err("nothing");
    assert_eq!(none.status(), Status::End);
    for most in [0, 65_537] {
        let error = feed.next_batch(most, LATE).expect_err("out of range");
        assert_eq!(error.message(), "most: must be from 1 to 65536");
    }
}

#[test]
fn batches_have_what_single_events_have() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    log_in(&sandbox, &client).expect("the sandbox lets us in");
    let (market, orders) = opened(&client, None);
    batches_alike(&market);
    batches_alike(&orders);
}
