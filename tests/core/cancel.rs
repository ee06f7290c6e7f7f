//! One call is ended by its name, and no other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kotak_neo::{Client, Error, Reply, Status};
use kotak_neo_sandbox::{FaultKind, Sandbox};
use serde_json::{Value, json};

use crate::orders::{meta, order, place, unlimited, with};
use crate::support::{Dice, client_with, fault, json, log_in, sandbox, state, status, told};
use crate::support::{password_login, totp_login};

const PATIENCE: Duration = Duration::from_secs(60);
const PLACE: &str = "/quick/order/rule/ms/place";

/// A client whose calls have an hour, so that only a cancel ends them.
fn patient(sandbox: &Sandbox) -> Client {
    let hour = 3_600_000;
    let timeouts = json!({"login": hour, "order": hour, "read": hour, "download": hour});
    let client = client_with(sandbox, &json!({ "timeouts": timeouts }));
    log_in(sandbox, &client).expect("no fault yet");
    client
}

fn cancel(client: &Client, id: &str) -> bool {
    let reply = client.cancel(id).expect("the client is open");
    assert_eq!(meta(&reply, "operation"), "client_cancel");
    let told = json(reply.json());
    assert_eq!(told.as_object().map(serde_json::Map::len), Some(1));
    told["under_way"].as_bool().expect("a flag")
}

fn call(client: &Client, operation: &str, params: &Value) -> Result<Reply, Error> {
    client.call(operation, Some(&params.to_string()))
}

/// Operations of every class, with what they need besides their name.
fn operations(sandbox: &Sandbox) -> Vec<(&'static str, Value)> {
    let user = sandbox.credentials();
    let login = json!({
        "mobile_number": user.mobile_number, "ucc": user.ucc, "totp": sandbox.totp_now(),
    });
    vec![
        ("totp_login", login),
        ("whatsmyip", json!({})),
        ("order_report", json!({})),
        ("limits", json!({})),
        ("scrip_master", json!({})),
        ("search_scrip", json!({"exchange_segment": "nse_cm"})),
        ("cancel_order", json!({"order_id": "1"})),
        ("order_outcome", json!({"tag": "x"})),
    ]
}

#[test]
fn a_cancel_ends_its_call_and_no_other() {
    let sandbox = sandbox();
    let client = patient(&sandbox);
    fault(&sandbox, "", FaultKind::Hang);
    let mut best = Duration::MAX;
    for (operation, params) in operations(&sandbox) {
        let (mine, other) = (
            with(params, json!({"call_id": "mine"})),
            json!({"call_id": "other"}),
        );
        let before = sandbox.requests().len();
        let other_ended = AtomicBool::new(false);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let result = call(&client, "trade_report", &other);
                other_ended.store(true, Ordering::Release);
                result
            });
            let cancelled = scope.spawn(|| (call(&client, operation, &mine), Instant::now()));
            let seen = sandbox.wait_for_requests(before + 2, PATIENCE).len();
            assert_eq!(seen, before + 2, "both requests arrived");
            let start = Instant::now();
            assert!(cancel(&client, "mine"), "{operation}");
            let (result, end) = cancelled.join().expect("no panic");
            best = best.min(end.duration_since(start));
            let error = result.expect_err(operation);
            let expected = match operation {
                "cancel_order" => Status::UnknownOutcome,
                _ => Status::Closed,
            };
            assert_eq!(error.status(), expected, "{error:?}");
            assert!(
                error
                    .message()
                    .ends_with("the call was ended by its call_id"),
                "{error:?}"
            );
            assert_eq!(told(&error, "sent"), true);
            let shown = json(&error.meta());
            assert_eq!(shown["call_id"], "mine", "{operation}");
            assert_eq!(error.operation(), operation);
            if expected == Status::UnknownOutcome {
                assert!(told(&error, "tag").is_string(), "{error:?}");
            }
            assert!(!other_ended.load(Ordering::Acquire), "after {operation}");
            assert!(cancel(&client, "other"));
            assert_eq!(status(&waiting.join().expect("no panic")), Status::Closed);
        });
    }
    assert!(
        best < Duration::from_millis(100),
        "the fastest took {best:?}"
    );
    sandbox.clear_faults();
    assert_eq!(state(&client), "trade");
    client.whatsmyip().expect("the session stays");
}

#[test]
fn a_cancel_may_come_first() {
    let sandbox = unlimited();
    let client = patient(&sandbox);
    let before = sandbox.requests().len();
    for (operation, params) in operations(&sandbox) {
        assert!(!cancel(&client, operation));
        let params = with(params, json!({ "call_id": operation }));
        let error = call(&client, operation, &params).expect_err(operation);
        assert_eq!(error.status(), Status::Closed, "{error:?}");
        assert_eq!(told(&error, "sent"), false, "{operation}");
    }
    assert_eq!(sandbox.requests().len(), before, "nothing was sent");
    let named = with(order(), json!({"call_id": "early"}));
    assert!(!cancel(&client, "early"));
    assert_eq!(status(&place(&client, &named)), Status::Closed);
    assert_eq!(sandbox.orders_taken(), 0);
    // It counted once. One that comes too late counts for nobody under way.
    place(&client, &named).expect("the name is free again");
    assert!(!cancel(&client, "early"));
    let reply = place(&client, &order()).expect("it has no name");
    assert_eq!(meta(&reply, "call_id"), Value::Null);
}

#[test]
fn a_name_belongs_to_one_call_at_a_time() {
    let sandbox = sandbox();
    let client = patient(&sandbox);
    fault(&sandbox, "", FaultKind::Hang);
    let before = sandbox.requests().len();
    let named = json!({"call_id": "twin"});
    thread::scope(|scope| {
        let first = scope.spawn(|| call(&client, "trade_report", &named));
        assert!(sandbox.wait_for_requests(before + 1, PATIENCE).len() > before);
        for (operation, params) in operations(&sandbox) {
            let params = with(params, named.clone());
            let error = call(&client, operation, &params).expect_err(operation);
            assert_eq!(
                error.message(),
                "params.call_id: is the name of a call that is under way"
            );
            assert_eq!(error.status(), Status::InvalidArgument);
            assert_eq!(told(&error, "sent"), false);
        }
        assert_eq!(sandbox.requests().len(), before + 1, "nothing was sent");
        assert!(cancel(&client, "twin"));
        assert_eq!(status(&first.join().expect("no panic")), Status::Closed);
    });
}

#[test]
fn a_bad_name_and_a_closed_client_are_told() {
    let sandbox = sandbox();
    let client = crate::support::client(&sandbox);
    for bad in ["", "\u{e9}", "a\nb", &"x".repeat(65)] {
        let error = client.cancel(bad).expect_err("it is wrong");
        assert_eq!(
            error.message(),
            "call_id: must be 1 to 64 printable ASCII characters"
        );
        assert_eq!(error.operation(), "client_cancel");
    }
    assert!(!cancel(&client, &"x".repeat(64)));
    client.close();
    let error = client.cancel("a").expect_err("it is closed");
    assert_eq!(error.status(), Status::Closed);
}

#[test]
fn an_order_that_may_have_left_is_an_unknown_outcome() {
    let sandbox = unlimited();
    let client = patient(&sandbox);
    fault(&sandbox, PLACE, FaultKind::Hang);
    let before = sandbox.requests().len();
    thread::scope(|scope| {
        let named = with(order(), json!({"call_id": "mine", "tag": "its-tag"}));
        let client = &client;
        let ordering = scope.spawn(move || place(client, &named));
        assert!(sandbox.wait_for_requests(before + 1, PATIENCE).len() > before);
        assert!(cancel(client, "mine"));
        let error = ordering.join().expect("no panic").expect_err("cancelled");
        assert_eq!(error.status(), Status::UnknownOutcome, "{error:?}");
        assert_eq!(told(&error, "tag"), "its-tag");
        assert_eq!(told(&error, "safe_to_repeat"), false);
    });
    sandbox.clear_faults();
    let open = json(client.open_intents().expect("local").json());
    assert_eq!(open["intents"][0]["tag"], "its-tag", "{open}");
}

#[test]
fn a_session_that_the_broker_granted_is_kept() {
    let sandbox = sandbox();
    let client = patient(&sandbox);
    totp_login(&sandbox, &client).expect("no fault yet");
    fault(&sandbox, "/5config/", FaultKind::Hang);
    let before = sandbox.requests().len();
    let params = json!({"mpin": sandbox.credentials().mpin, "call_id": "login"});
    thread::scope(|scope| {
        let login = scope.spawn(|| call(&client, "totp_validate", &params));
        assert!(sandbox.wait_for_requests(before + 2, PATIENCE).len() >= before + 2);
        assert!(cancel(&client, "login"));
        login
            .join()
            .expect("no panic")
            .expect("the session was granted");
    });
    assert_eq!(state(&client), "trade");
}

/// Whatever is wrong with a call, it is this call that was named.
#[test]
fn a_call_with_bad_parameters_has_its_name_too() {
    let sandbox = sandbox();
    let client = patient(&sandbox);
    for (operation, params) in operations(&sandbox) {
        let bad = with(params, json!({"call_id": "mine", "colour": 1}));
        assert!(!cancel(&client, "mine"));
        let error = call(&client, operation, &bad).expect_err(operation);
        assert_eq!(error.status(), Status::Closed, "{operation}: {error:?}");
        let error = call(&client, operation, &bad).expect_err(operation);
        assert_eq!(error.status(), Status::InvalidArgument, "{operation}");
        assert_eq!(json(&error.meta())["call_id"], "mine", "{operation}");
    }
}

/// At whatever moment an order is cancelled, also while it waits for its turn: what
/// is said of it is true.
#[test]
fn what_is_said_of_a_cancelled_order_is_true() {
    const ORDERS: u64 = 300;
    let sandbox = unlimited();
    let client = client_with(&sandbox, &json!({"max_orders_per_second": 60}));
    log_in(&sandbox, &client).expect("no fault yet");
    thread::scope(|scope| {
        for seed in 0..6 {
            let (client, sandbox) = (&client, &sandbox);
            scope.spawn(move || {
                let mut dice = Dice::new(seed);
                for at in 0..ORDERS / 6 {
                    let id = format!("o{seed}x{at}");
                    let wait = Duration::from_micros(dice.roll(30_000));
                    let named = with(order(), json!({"call_id": id, "tag": id}));
                    let placed = thread::scope(|scope| {
                        let placing = scope.spawn(|| place(client, &named));
                        thread::sleep(wait);
                        drop(client.cancel(&id));
                        placing.join().expect("no panic")
                    });
                    let status = status(&placed);
                    let taken = || {
                        let orders = sandbox.orders();
                        orders.iter().filter(|order| order.tag == id).count()
                    };
                    match status {
                        Status::Ok => assert_eq!(taken(), 1),
                        Status::Closed => {
                            thread::sleep(Duration::from_millis(5));
                            assert_eq!(taken(), 0, "{placed:?}");
                        }
                        Status::UnknownOutcome => assert!(taken() <= 1),
                        other => panic!("{other:?}: {placed:?}"),
                    }
                }
            });
        }
    });
    assert!(sandbox.orders_taken() <= ORDERS);
}

/// A search asks, reads a file and looks into it: to the outside that is one call.
#[test]
fn a_search_keeps_its_name_while_it_reads_its_file() {
    let sandbox = sandbox();
    let named = json!({"exchange_segment": "nse_fo", "call_id": "mine", "token": "1"});
    for ending in ["cancel", "interrupt"] {
        let client = client_with(&sandbox, &json!({}));
        thread::scope(|scope| {
            let searching = scope.spawn(|| call(&client, "search_scrip", &named));
            let end = Instant::now() + PATIENCE;
            while !client
                .scrip_status()
                .expect("open")
                .json()
                .contains("\"indexing\"")
            {
                assert!(!searching.is_finished() && Instant::now() < end);
                thread::yield_now();
            }
            let twin = call(&client, "scrip_master", &json!({"call_id": "mine"}));
            assert_eq!(status(&twin), Status::InvalidArgument, "{ending}");
            match ending {
                "cancel" => assert!(cancel(&client, "mine")),
                _ => client.interrupt(),
            }
            let error = searching.join().expect("no panic").expect_err(ending);
            assert_eq!(error.status(), Status::Closed, "{error:?}");
            assert_eq!(json(&error.meta())["call_id"], "mine");
        });
        // What nobody wanted any more is fetched anew.
        call(&client, "search_scrip", &named).expect("the name is free");
    }
}

/// Calls, cancels and interrupts of many threads on few names, until the client
/// is closed under them.
#[test]
fn cancels_race_with_calls_interrupts_and_the_end() {
    let sandbox = unlimited();
    let client = patient(&sandbox);
    let running = AtomicBool::new(true);
    thread::scope(|scope| {
        for seed in 0..12 {
            let (client, running) = (&client, &running);
            scope.spawn(move || {
                let mut dice = Dice::new(seed);
                while running.load(Ordering::Acquire) {
                    let id = format!("call {}", dice.roll(6));
                    match dice.roll(8) {
                        0..3 => drop(client.cancel(&id)),
                        3 if dice.roll(10) == 0 => client.interrupt(),
                        4 => {
                            let named = with(order(), json!({ "call_id": id }));
                            let status = status(&place(client, &named));
                            assert!(is_expected(status), "{status:?}");
                        }
                        _ => {
                            let named = json!({ "call_id": id });
                            let status = status(&call(client, "whatsmyip", &named));
                            assert!(is_expected(status), "{status:?}");
                        }
                    }
                }
            });
        }
        thread::sleep(Duration::from_millis(1500));
        client.interrupt();
        running.store(false, Ordering::Release);
    });
    // No name is left in use.
    for at in 0..6 {
        let named = json!({"call_id": format!("call {at}")});
        let mut results = (0..2).map(|_| call(&client, "whatsmyip", &named));
        assert!(results.any(|result| result.is_ok()), "call {at}");
    }
}

fn is_expected(status: Status) -> bool {
    matches!(
        status,
        Status::Ok | Status::Closed | Status::InvalidArgument | Status::UnknownOutcome
    )
}

#[test]
fn the_otp_of_a_login_can_be_given_up() {
    let sandbox = sandbox();
    let client = patient(&sandbox);
    password_login(&sandbox, &client).expect("no fault yet");
    fault(&sandbox, "/login/1.0/login/otp/", FaultKind::Hang);
    let user = sandbox.credentials();
    let params = json!({
        "mobile_number": user.mobile_number, "password": user.password, "call_id": "login",
    });
    let before = sandbox.requests().len();
    thread::scope(|scope| {
        let login = scope.spawn(|| call(&client, "login", &params));
        // The request for the OTP, after the login's own.
        while !sandbox.requests()[before..]
            .iter()
            .any(|it| it.path.contains("/otp/"))
        {
            thread::sleep(Duration::from_millis(1));
        }
        assert!(cancel(&client, "login"));
        let reply = login.join().expect("no panic").expect("the login is valid");
        assert_eq!(json(&reply.meta())["otp"]["requested"], false);
    });
}
