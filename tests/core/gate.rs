//! The limits of the configuration and the halt: what they refuse is named and
//! never reaches the broker, whatever else is under way.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kotak_neo::order_steps::{Step, at, clear};
use kotak_neo::{Client, Error, Reply, Status};
use kotak_neo_sandbox::{FaultKind, Sandbox};
use kotak_neo_testing::folder::Folder;
use serde_json::{Value, json};

use crate::orders::{number, order, place, placed, trader, unlimited, with};
use crate::support::{client_with, fault, json, log_in, password_login, status, told};

const PLACE: &str = "/quick/order/rule/ms/place";

fn change(id: &str, more: Value) -> Value {
    let base = json!({
        "order_id": id, "price": "8.70", "order_type": "L", "quantity": 3, "validity": "DAY",
    });
    with(base, more)
}

fn modify(client: &Client, params: &Value) -> Result<Reply, Error> {
    client.modify_order(&params.to_string())
}

fn cancel(client: &Client, id: &str) -> Result<Reply, Error> {
    client.cancel_order(&json!({ "order_id": id }).to_string())
}

/// It is refused with these words, and nothing of it was sent.
fn refuses(sandbox: &Sandbox, result: Result<Reply, Error>, status: Status, words: &str) {
    let error = result.expect_err(words);
    assert_eq!(error.status(), status, "{error}");
    assert!(error.message().contains(words), "{words}: {error}");
    assert!(error.message().ends_with("nothing was sent"), "{error}");
    assert_eq!(told(&error, "sent"), false, "{error}");
    assert_eq!(sandbox.requests().len(), 0, "{error}");
}

fn refuses_argument(sandbox: &Sandbox, result: Result<Reply, Error>, words: &str) {
    refuses(sandbox, result, Status::InvalidArgument, words);
}

#[test]
fn quantity_at_above_and_below() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({"max_order_quantity": 3}));
    let of = |quantity: u32| with(order(), json!({ "quantity": quantity }));
    let id = number(&place(&client, &of(2)).expect("below"));
    place(&client, &of(3)).expect("at the limit");
    modify(&client, &change(&id, json!({}))).expect("at the limit");
    sandbox.clear_requests();
    let words = "params.quantity: 4 is more than config.max_order_quantity (3)";
    refuses_argument(&sandbox, place(&client, &of(4)), words);
    let more = change(&id, json!({"quantity": "4"}));
    refuses_argument(&sandbox, modify(&client, &more), words);
    // A number that no machine word holds.
    let huge = with(order(), json!({"quantity": "18446744073709551617"}));
    refuses_argument(&sandbox, place(&client, &huge), "config.max_order_quantity");
    assert_eq!(sandbox.orders_taken(), 2);
    cancel(&client, &id).expect("a cancel has no quantity");
}

#[test]
fn value_at_above_and_below() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({"max_order_value": "26.10"}));
    let of = |price: &str| with(order(), json!({ "price": price }));
    let id = number(&place(&client, &of("8.60")).expect("below"));
    place(&client, &of("8.70")).expect("at the limit");
    modify(&client, &change(&id, json!({}))).expect("at the limit");
    sandbox.clear_requests();
    let words = "price 8.75 times quantity 3 is 26.25, which is more than \
                 config.max_order_value (26.1)";
    refuses_argument(&sandbox, place(&client, &of("8.75")), words);
    let words = "price 8.7 times quantity 4 is 34.8";
    let more = change(&id, json!({"quantity": 4}));
    // Looked at before the order book is.
    refuses_argument(&sandbox, modify(&client, &more), words);
    cancel(&client, &id).expect("a cancel has no value");
    assert_eq!(sandbox.orders_taken(), 2);
    assert_eq!(sandbox.modifications_taken(), 1);
}

#[test]
fn a_market_order_has_no_value_that_is_known_before() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({"max_order_value": 100000000}));
    let id = placed(&client);
    sandbox.clear_requests();
    for order_type in ["MKT", "SL-M"] {
        let market = json!({"order_type": order_type, "price": "0", "trigger_price": "8.50"});
        let words = format!(
            "params.order_type: {order_type} has no price, so the value is not known before, \
             and config.max_order_value is set"
        );
        let order = with(order(), market.clone());
        refuses_argument(&sandbox, place(&client, &order), &words);
        refuses_argument(&sandbox, modify(&client, &change(&id, market)), &words);
    }
    let metal = with(
        order(),
        json!({"exchange_segment": "mcx_fo", "product": "NRML", "trading_symbol": "GOLD"}),
    );
    let words = "params.exchange_segment: in which unit mcx_fo counts is not documented";
    refuses_argument(&sandbox, place(&client, &metal), words);
    // Without that limit it goes out as it is.
    let free = trader(&sandbox, &json!({"max_order_quantity": 3}));
    let market = json!({"order_type": "MKT", "price": "0"});
    place(&free, &with(order(), market)).expect("its quantity is known");
}

#[test]
fn only_allowed_segments() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({"allowed_segments": ["BSE", "nse_fo"]}));
    let words = "params.exchange_segment: nse_cm is not in config.allowed_segments";
    refuses_argument(&sandbox, place(&client, &order()), words);
    // An order of the broker's own app: the book tells its segment.
    let app = trader(&sandbox, &json!({}));
    let id = placed(&app);
    sandbox.clear_requests();
    let error = modify(&client, &change(&id, json!({}))).expect_err(words);
    assert_eq!(error.status(), Status::InvalidArgument);
    assert!(error.message().starts_with(words), "{error}");
    let paths = crate::support::paths(&sandbox);
    assert_eq!(paths, ["/quick/user/orders"], "only the book was read");
    assert_eq!(sandbox.modifications_taken(), 0);
    cancel(&client, &id).expect("cancels of all segments leave");

    let id = placed(&app);
    let client = trader(&sandbox, &json!({"allowed_segments": ["NSE"]}));
    modify(&client, &change(&id, json!({}))).expect("the segment is allowed");
    assert_eq!(sandbox.modifications_taken(), 1);
    place(&client, &order()).expect("the segment is allowed");
}

#[test]
fn the_older_generations_are_held_too() {
    let sandbox = unlimited();
    let free = trader(&sandbox, &json!({}));
    let id = placed(&free);
    let more = json!({"generation": 1, "allowed_segments": ["bse_cm"]});
    let client = client_with(&sandbox, &more);
    password_login(&sandbox, &client).expect("the first step works");
    let mpin = &sandbox.credentials().mpin;
    client.session_2fa(mpin).expect("the second step works");
    sandbox.clear_requests();
    let spelled = with(order(), json!({"exchange_segment": "NSE"}));
    let words = "nse_cm is not in config.allowed_segments";
    refuses_argument(&sandbox, place(&client, &spelled), words);
    // What the caller leaves out is read from the book, and then looked at.
    let error = modify(&client, &change(&id, json!({}))).expect_err(words);
    assert!(error.message().contains(words), "{error}");
    assert_eq!(sandbox.requests().len(), 1, "only the book was read");
    assert_eq!(sandbox.modifications_taken(), 0);
}

#[test]
fn read_only_lets_no_instruction_leave_and_all_reads() {
    let sandbox = unlimited();
    let id = placed(&trader(&sandbox, &json!({})));
    let client = trader(&sandbox, &json!({"read_only": true}));
    let words = "config.read_only: this client sends no instructions";
    refuses_argument(&sandbox, place(&client, &order()), words);
    refuses_argument(&sandbox, modify(&client, &change(&id, json!({}))), words);
    refuses_argument(&sandbox, cancel(&client, &id), words);
    let by_name = client.call("place_order", Some(&order().to_string()));
    refuses_argument(&sandbox, by_name, words);
    client.order_report(None).expect("a read");
    assert_eq!((sandbox.orders_taken(), sandbox.orders().len()), (1, 1));
}

#[test]
fn the_day_counts_new_orders_that_may_have_left() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({"max_orders_per_day": 2}));
    // One that never left does not count.
    let gone = with(order(), json!({"timeout_ms": 20, "tag": "gone"}));
    at(Step::Paced, || thread::sleep(Duration::from_millis(40)));
    assert_eq!(status(&place(&client, &gone)), Status::Timeout);
    let id = placed(&client);
    // One without an answer does.
    fault(&sandbox, PLACE, FaultKind::ResetAfter);
    let lost = place(&client, &order());
    assert_eq!(status(&lost), Status::UnknownOutcome);
    sandbox.clear_faults();
    sandbox.clear_requests();
    let words = "config.max_orders_per_day: 2 is used up for this trading day";
    refuses_argument(&sandbox, place(&client, &order()), words);
    modify(&client, &change(&id, json!({}))).expect("it is no new order");
    cancel(&client, &id).expect("it is no new order");
    assert_eq!(sandbox.orders_taken(), 2);
}

#[test]
fn of_orders_at_once_no_more_leave_than_the_day_has() {
    let sandbox = unlimited();
    let more = json!({"max_orders_per_day": 5, "max_orders_per_second": 1000});
    let client = trader(&sandbox, &more);
    let taken = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| match place(&client, &order()) {
                Ok(_) => drop(taken.fetch_add(1, Ordering::Relaxed)),
                Err(error) => {
                    assert_eq!(error.status(), Status::InvalidArgument, "{error}");
                    assert_eq!(told(&error, "sent"), false, "{error}");
                }
            });
        }
    });
    assert_eq!((taken.into_inner(), sandbox.orders_taken()), (5, 5));
    assert_eq!(sandbox.requests().len(), 5);
}

#[test]
fn the_day_counts_what_the_ledger_knows() {
    let sandbox = unlimited();
    let folder = Folder::new("gate");
    let more = json!({"ledger_file": folder.text("ledger"), "max_orders_per_day": 3});
    let first = trader(&sandbox, &more);
    let id = placed(&first);
    modify(&first, &change(&id, json!({}))).expect("it does not count");
    placed(&first);
    // Written down, and then not sent.
    let client = first.clone();
    at(Step::Leaving, move || drop(client.halt().expect("open")));
    assert_eq!(status(&place(&first, &order())), Status::Closed);
    assert!(!clear());
    first.close();
    drop(first);
    let next = trader(&sandbox, &more);
    placed(&next);
    sandbox.clear_requests();
    let words = "config.max_orders_per_day: 3 is used up";
    refuses_argument(&sandbox, place(&next, &order()), words);
    assert_eq!(sandbox.orders_taken(), 3);
}

#[test]
fn after_a_halt_only_cancels_leave() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({}));
    let id = placed(&client);
    sandbox.clear_requests();
    for _ in 0..2 {
        let reply = client.halt().expect("the client is open");
        assert_eq!(json(reply.json()), json!({"halted": true, "under_way": 0}));
    }
    let words = "the client was halted";
    let closed = |result| refuses(&sandbox, result, Status::Closed, words);
    closed(place(&client, &order()));
    closed(modify(&client, &change(&id, json!({}))));
    closed(client.call("place_order", Some(&order().to_string())));
    client.interrupt();
    client.order_report(None).expect("reads go on");
    log_in(&sandbox, &client).expect("logins go on");
    sandbox.clear_requests();
    closed(place(&client, &order()));
    cancel(&client, &id).expect("cancels go on");
    assert_eq!(sandbox.orders_taken(), 1);
    assert_eq!(sandbox.cancellations_taken(), 1);
    // Another client is not halted.
    placed(&trader(&sandbox, &json!({})));
}

#[test]
fn a_halt_stops_an_order_at_every_step_before_the_point_of_no_return() {
    let sandbox = unlimited();
    let folder = Folder::new("halt");
    let more = json!({"ledger_file": folder.text("ledger"), "max_orders_per_second": 1000});
    for step in Step::ALL {
        let late = matches!(
            step,
            Step::Answered | Step::Judged | Step::Ended | Step::Settled
        );
        let client = trader(&sandbox, &more);
        let before = sandbox.orders_taken();
        let it = client.clone();
        at(step, move || drop(it.halt().expect("it is open")));
        let params = with(order(), json!({"intent_id": format!("{step:?}")}));
        let result = place(&client, &params);
        assert!(!clear(), "{step:?}");
        if late {
            result.expect("it had left");
        } else {
            refuses(&sandbox, result, Status::Closed, "the client was halted");
        }
        let taken = u64::from(late);
        assert_eq!(sandbox.orders_taken() - before, taken, "{step:?}");
        let open = json(client.open_intents().expect("local").json());
        assert_eq!(open["intents"], json!([]), "{step:?}");
        client.close();
        drop(client);
        // The same intent, by a client that was opened anew.
        let next = trader(&sandbox, &more);
        place(&next, &params).expect("it may be sent now, or was");
        assert_eq!(sandbox.orders_taken() - before, 1, "{step:?}");
        next.close();
    }
}

/// Orders that wait for their slot when the halt comes.
#[test]
fn a_halt_races_orders_that_wait_for_their_slot() {
    let sandbox = unlimited();
    for round in 0..4 {
        let client = trader(&sandbox, &json!({"max_orders_per_second": 4}));
        let before = sandbox.orders_taken();
        let results: Vec<_> = thread::scope(|scope| {
            let run = || place(&client, &with(order(), json!({"timeout_ms": 60000})));
            let calls: Vec<_> = (0..12).map(|_| scope.spawn(run)).collect();
            let patience = Instant::now() + Duration::from_secs(30);
            while sandbox.orders_taken() - before < 1 {
                assert!(Instant::now() < patience, "no order came");
                thread::sleep(Duration::from_millis(1));
            }
            thread::sleep(Duration::from_millis(round));
            client.halt().expect("it is open");
            let halted = Instant::now();
            let results = calls.into_iter().map(|call| call.join().expect("no panic"));
            let results = results.collect();
            assert!(halted.elapsed() < Duration::from_secs(20), "they waited on");
            results
        });
        let mut taken = 0;
        for result in &results {
            match result {
                Ok(_) => taken += 1,
                Err(error) => {
                    assert_eq!(error.status(), Status::Closed, "{error}");
                    assert_eq!(told(error, "sent"), false, "{error}");
                }
            }
        }
        // At this pace no more than the first second's could have left.
        assert!((1..=4).contains(&taken), "{taken}");
        assert_eq!(sandbox.orders_taken() - before, taken);
        client.close();
    }
}

/// An order that hangs at the broker is under way, and ends as always.
#[test]
fn a_halt_tells_what_is_under_way() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({}));
    fault(&sandbox, PLACE, FaultKind::Hang);
    let params = with(order(), json!({"timeout_ms": 3000}));
    thread::scope(|scope| {
        let call = scope.spawn(|| place(&client, &params));
        let arrived = sandbox.wait_for_requests(1, Duration::from_secs(30));
        assert_eq!(arrived.len(), 1);
        let told = json(client.halt().expect("it is open").json());
        assert_eq!(told, json!({"halted": true, "under_way": 1}));
        let ended = call.join().expect("no panic");
        assert_eq!(status(&ended), Status::UnknownOutcome);
    });
}

#[test]
fn a_closed_client_says_so() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({}));
    client.close();
    assert_eq!(status(&client.halt()), Status::Closed);
}
