//! How many instructions come to the broker in a second, whatever the network does, and who
//! of those that wait is served first.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use kotak_neo::{Client, Status};
use kotak_neo_sandbox::{FaultKind, Sandbox};
use serde_json::{Value, json};

use crate::orders::{log_in_to, order, place, placed, trader, unlimited, with};
use crate::support::{Dice, client_with, fault, sandbox, status, told};

const PLACE: &str = "/quick/order/rule/ms/place";

/// A line to a sandbox on which everything takes its time. Its threads end with its
/// connections.
struct Line {
    url: String,
}

/// Up to how many milliseconds each packet takes to the sandbox and back.
#[derive(Clone, Copy)]
struct Delay {
    there: u64,
    back: u64,
}

impl Line {
    fn to(sandbox: &Sandbox, delay: Delay) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let port = listener.local_addr().expect("it is bound").port();
        let url = format!("http://127.0.0.1:{port}");
        let to = sandbox.url().trim_start_matches("http://").to_owned();
        thread::spawn(move || {
            for (seed, client) in (0..).zip(listener.incoming()) {
                let client = client.expect("a client");
                let broker = TcpStream::connect(&to).expect("the sandbox listens");
                let ends = |stream: &TcpStream| {
                    stream.set_nodelay(true).expect("it is open");
                    stream.try_clone().expect("a descriptor")
                };
                let (from_client, from_broker) = (ends(&client), ends(&broker));
                thread::spawn(move || pass(from_client, broker, delay.there, seed));
                thread::spawn(move || pass(from_broker, client, delay.back, seed + 1000));
            }
        });
        // The answers of a login name this as the host of the session.
        let named = FaultKind::BaseUrl(url.clone());
        fault(sandbox, "/login", named);
        Self { url }
    }

    /// A client that is logged in over the line.
    fn client(&self, sandbox: &Sandbox) -> Client {
        let client = client_with(sandbox, &json!({"base_url": self.url}));
        log_in_to(sandbox, &client);
        client
    }
}

/// Hands on what comes, each packet later than it came.
fn pass(mut from: TcpStream, mut to: TcpStream, most: u64, seed: u64) {
    let mut dice = Dice::new(seed);
    let mut bytes = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        thread::sleep(Duration::from_millis(dice.roll(most + 1)));
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    // One end is gone, so is the other.
    drop(to.shutdown(std::net::Shutdown::Both));
    drop(from.shutdown(std::net::Shutdown::Both));
}

/// Orders, changes and cancels that the network bunches, some of which are given up before
/// they come.
fn never_more_than_the_ceiling(clients: usize) {
    const THREADS: usize = 16;
    let sandbox = sandbox();
    let line = Line::to(
        &sandbox,
        Delay {
            there: 300,
            back: 30,
        },
    );
    let clients: Vec<_> = (0..clients).map(|_| line.client(&sandbox)).collect();
    let victim = &placed(&clients[0]);
    let params = |more: Value| with(json!({"timeout_ms": 60_000}), more).to_string();
    thread::scope(|scope| {
        for at in 0..THREADS {
            let client = &clients[at % clients.len()];
            let refused_by_pace = "429";
            scope.spawn(move || {
                for turn in 0..4 {
                    let hasty = at == 3;
                    let done = match (at + turn) % 7 {
                        _ if hasty => place(client, &with(order(), json!({"timeout_ms": 150}))),
                        0 => client.cancel_order(&params(json!({"order_id": victim}))),
                        1 => client.modify_order(&params(json!({
                            "order_id": victim, "price": "8.70", "order_type": "L",
                            "quantity": 5, "validity": "DAY",
                        }))),
                        _ => client.place_order(&params(order())),
                    };
                    let code = done.as_ref().err().and_then(|error| error.code());
                    assert_ne!(code, Some(refused_by_pace), "{done:?}");
                    // A change of what is cancelled is refused for that.
                    let fine = matches!(status(&done), Status::Ok | Status::Rejected);
                    assert!(fine || hasty, "{done:?}");
                }
            });
        }
    });
    let peak = sandbox.peak();
    assert!(peak.sliding_second <= 10, "{peak:?}");
    assert!(peak.clock_second <= 10, "{peak:?}");
    // They came about as fast as they may, or the test says nothing.
    assert!(peak.sliding_second >= 8, "{peak:?}");
}

#[test]
fn whatever_the_network_does_no_second_sees_more_than_the_ceiling() {
    never_more_than_the_ceiling(1);
}

#[test]
fn several_clients_of_one_account_share_the_ceiling() {
    never_more_than_the_ceiling(3);
}

/// One a second, and three that want it: none is served twice while another waits.
#[test]
fn none_of_those_that_wait_starves() {
    const EACH: usize = 3;
    let sandbox = unlimited();
    let client = &trader(&sandbox, &json!({"max_orders_per_second": 1}));
    // Keeps the slot until all three wait for it.
    fault(&sandbox, PLACE, FaultKind::Slow { ms: 2000 });
    thread::scope(|scope| {
        scope.spawn(|| place(client, &with(order(), json!({"tag": "first"}))).expect("taken"));
        let seen = sandbox.wait_for_requests(1, Duration::from_secs(60));
        assert_eq!(seen.len(), 1);
        sandbox.clear_faults();
        for name in ["a", "b", "c"] {
            scope.spawn(move || {
                for turn in 0..EACH {
                    let tag = json!({"tag": format!("{name}-{turn}"), "timeout_ms": 60_000});
                    place(client, &with(order(), tag)).expect("its turn comes");
                }
            });
        }
    });
    let orders = sandbox.orders();
    let names: Vec<&str> = orders.iter().map(|order| &order.tag[..1]).collect();
    let names = &names[1..];
    assert_eq!(names.len(), 3 * EACH);
    let one_round = &names[..3];
    for round in names.chunks(3) {
        assert_eq!(round, one_round, "{names:?}");
    }
}

/// The same account by whichever client, and no other one.
#[test]
fn what_one_client_sent_counts_for_the_next() {
    let sandbox = unlimited();
    let one = trader(&sandbox, &json!({"max_orders_per_second": 1}));
    let two = trader(&sandbox, &json!({"max_orders_per_second": 1}));
    let session = one.session_export().expect("it is logged in");
    // Of an answer that never comes, so that the slot is used for long.
    fault(&sandbox, PLACE, FaultKind::Hang);
    let lost = place(
        &one,
        &with(order(), json!({"timeout_ms": 5000, "call_id": "it"})),
    );
    assert_eq!(status(&lost), Status::UnknownOutcome);
    sandbox.clear_faults();
    let in_no_time = with(order(), json!({"timeout_ms": 20}));
    let limited = |client: &Client| {
        let error = place(client, &in_no_time).expect_err("the slot is used");
        assert_eq!(error.status(), Status::RateLimited, "{error}");
        assert_eq!(told(&error, "sent"), json!(false));
        let wait = told(&error, "retry_after_ms").as_u64();
        // The system tries for 5 s after the deadline; and a second.
        assert!(wait.is_some_and(|ms| (1..=6000).contains(&ms)), "{error}");
    };
    limited(&one);
    limited(&two);
    one.close();
    drop(one);
    limited(&two);
    let next = trader(&sandbox, &json!({"max_orders_per_second": 1}));
    limited(&next);
    // Another account has its own, and one that comes back finds what it sent.
    let other = session.json().replace("\"TEST1\"", "\"TEST2\"");
    next.session_import(&other).expect("it is whole");
    placed(&next);
    next.session_import(session.json()).expect("it is whole");
    limited(&next);
    // A client that may send more may.
    placed(&trader(&sandbox, &json!({"max_orders_per_second": 2})));
    // In the end it is over for those that wait.
    placed(&two);
}

/// The broker has what it has begun to answer, though the answer is never whole.
#[test]
fn an_answer_that_breaks_off_is_one() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({"max_orders_per_second": 1}));
    fault(&sandbox, PLACE, FaultKind::WrongContentLength);
    let lost = place(&client, &with(order(), json!({"timeout_ms": 5000})));
    assert_eq!(status(&lost), Status::UnknownOutcome);
    sandbox.clear_faults();
    match place(&client, &with(order(), json!({"timeout_ms": 20}))) {
        Ok(_) => {}
        Err(error) => {
            assert_eq!(error.status(), Status::RateLimited, "{error}");
            // If it had none, it would be more than five.
            let wait = told(&error, "retry_after_ms").as_u64();
            assert!(wait.is_some_and(|ms| ms <= 1000), "{error}");
        }
    }
}

/// What waits behind an order that hangs is ended by a halt, and by a cancel of its call.
#[test]
fn one_that_waits_for_its_turn_can_be_ended() {
    let sandbox = unlimited();
    let client = &trader(&sandbox, &json!({"max_orders_per_second": 1}));
    fault(&sandbox, PLACE, FaultKind::Hang);
    let patient = |id: &str| with(order(), json!({"timeout_ms": 600_000, "call_id": id}));
    thread::scope(|scope| {
        let call = |id: &str| {
            let params = patient(id);
            scope.spawn(move || place(client, &params))
        };
        let hangs = call("hangs");
        let seen = sandbox.wait_for_requests(1, Duration::from_secs(60));
        assert_eq!(seen.len(), 1);
        let (cancelled, halted) = (call("cancelled"), call("halted"));
        client.cancel("cancelled").expect("it is open");
        let ended = cancelled.join().expect("no panic");
        assert_eq!(status(&ended), Status::Closed);
        client.halt().expect("it is open");
        let ended = halted.join().expect("no panic");
        assert_eq!(status(&ended), Status::Closed);
        client.cancel("hangs").expect("it is open");
        let ended = hangs.join().expect("no panic");
        assert_eq!(status(&ended), Status::UnknownOutcome);
    });
    assert_eq!(sandbox.peak().sliding_second, 1);
}
