//! What settles an unknown outcome, and what must not: no order that the
//! broker took is ever called absent, and none that it did not take is called
//! placed.

use std::time::{Duration, Instant};

use kotak_neo::{Client, Status};
use kotak_neo_sandbox::{FaultKind, Sandbox};
use serde_json::{Value, json};

use crate::orders::{number, order, outcome, place, trader, unlimited, with};
use crate::support::{fault, told};

const PLACE: &str = "/quick/order/rule/ms/place";

/// Places an order whose answer is lost, and gives its tag.
fn lost(sandbox: &Sandbox, client: &Client, order: &Value, kind: FaultKind) -> String {
    sandbox.clear_faults();
    fault(sandbox, PLACE, kind);
    let error = place(client, order).expect_err("the answer is lost");
    sandbox.clear_faults();
    assert_eq!(error.status(), Status::UnknownOutcome, "{error}");
    let tag = told(&error, "tag");
    tag.as_str().expect("the order has a tag").to_owned()
}

/// Asks for so long that an absence would be proved.
fn asked_long(client: &Client, tag: &str) -> Value {
    outcome(client, json!({"tag": tag, "timeout_ms": 8000}))
}

fn rewriting() -> Sandbox {
    let sandbox = unlimited();
    let mut switches = sandbox.switches();
    switches.rewrite_tags = true;
    sandbox.set_switches(switches);
    sandbox
}

#[test]
fn a_change_of_the_order_does_not_hide_it() {
    let sandbox = rewriting();
    let client = trader(&sandbox, &json!({"outcome_window_ms": 1000}));
    let tag = lost(&sandbox, &client, &order(), FaultKind::ResetAfter);
    let id = sandbox.orders()[0].number.clone();
    let change = json!({
        "order_id": id, "price": "8.70", "order_type": "L", "quantity": 3, "validity": "DAY",
    });
    client.modify_order(&change.to_string()).expect("taken");
    assert_ne!(sandbox.orders()[0].tag, tag, "the broker rewrote the tag");
    let found = asked_long(&client, &tag);
    assert_eq!(found["outcome"], "unknown", "{found}");
    assert_eq!(found["candidates"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_question_about_a_candidate_does_not_hide_it() {
    let sandbox = rewriting();
    let client = trader(&sandbox, &json!({"outcome_window_ms": 1000}));
    let tag = lost(&sandbox, &client, &order(), FaultKind::ResetAfter);
    let id = sandbox.orders()[0].number.clone();
    // Somebody else changes it, so that this client does not know of it.
    let other = trader(&sandbox, &json!({}));
    let change = json!({
        "order_id": id, "price": "8.70", "order_type": "L", "quantity": 3, "validity": "DAY",
    });
    other.modify_order(&change.to_string()).expect("taken");
    let rewritten = sandbox.orders()[0].tag.clone();
    let found = outcome(&client, json!({"tag": rewritten}));
    assert_eq!(found["outcome"], "placed", "{found}");
    let found = asked_long(&client, &tag);
    assert_eq!(found["outcome"], "unknown", "{found}");
}

#[test]
fn an_older_order_with_the_same_tag_is_not_taken_for_it() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({"outcome_window_ms": 1000}));
    let tagged = with(order(), json!({"tag": "twice"}));
    let first = number(&place(&client, &tagged).expect("taken"));
    let tag = lost(&sandbox, &client, &tagged, FaultKind::ResetBefore);
    let found = asked_long(&client, &tag);
    assert_ne!(found["order_id"], json!(first), "{found}");
    assert_eq!(found["outcome"], "absent", "{found}");
}

#[test]
fn the_book_of_another_account_proves_nothing() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({"outcome_window_ms": 3000}));
    let tag = lost(&sandbox, &client, &order(), FaultKind::ResetBefore);
    let session = client.session_export().expect("there is a session");
    let other = session.json().replace("\"TEST1\"", "\"OTHER\"");
    assert_ne!(other, session.json());
    sandbox.clear_requests();
    let question = json!({"tag": tag, "timeout_ms": 60_000}).to_string();
    let answer = std::thread::scope(|scope| {
        let asking = scope.spawn(|| client.order_outcome(&question));
        let seen = sandbox.wait_for_requests(1, Duration::from_secs(60));
        assert_eq!(seen.len(), 1, "the book is read");
        client.session_import(&other).expect("a session of today");
        asking.join().expect("no panic")
    });
    let error = answer.expect_err("the session is of another account now");
    assert_eq!(error.status(), Status::InvalidArgument, "{error}");
    assert!(error.message().contains("another account"), "{error}");
    client
        .session_import(session.json())
        .expect("a session of today");
    let found = outcome(&client, json!({"tag": tag, "timeout_ms": 60_000}));
    assert_eq!(found["outcome"], "absent", "{found}");
}

/// What is on its way when a call ends may arrive for some seconds more: the window begins
/// after that, and not when the order left.
#[test]
fn the_window_begins_after_the_end_of_the_call() {
    const CALL: Duration = Duration::from_millis(1500);
    const ON_ITS_WAY: Duration = Duration::from_secs(3);
    const WINDOW: Duration = Duration::from_secs(1);
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({"outcome_window_ms": 1000}));
    let slow = with(order(), json!({"timeout_ms": 1500}));
    let began = Instant::now();
    let tag = lost(&sandbox, &client, &slow, FaultKind::Hang);
    let found = outcome(&client, json!({"tag": tag, "timeout_ms": 60_000}));
    assert_eq!(found["outcome"], "absent", "{found}");
    let after = began.elapsed();
    assert!(after >= CALL + ON_ITS_WAY + WINDOW, "{after:?}");
}

/// What a proxy holds of an order nobody can take back.
#[test]
fn behind_a_proxy_the_window_begins_later() {
    let sandbox = unlimited();
    let more = json!({"outcome_window_ms": 1000, "proxy": "http://127.0.0.1:9"});
    let client = trader(&sandbox, &more);
    let tag = lost(&sandbox, &client, &order(), FaultKind::ResetBefore);
    let found = outcome(&client, json!({"tag": tag, "timeout_ms": 2000}));
    assert_eq!(found["outcome"], "unknown", "{found}");
    let wait = found["ask_again_after_ms"].as_u64();
    let two_minutes = 60_000..=124_000;
    assert!(wait.is_some_and(|ms| two_minutes.contains(&ms)), "{found}");
}

/// A book that hangs costs the call its deadline, and not what it saw before.
#[test]
fn a_book_that_hangs_does_not_outlast_the_deadline() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({"outcome_window_ms": 600_000}));
    let tag = lost(&sandbox, &client, &order(), FaultKind::ResetBefore);
    fault(&sandbox, "/quick/user/orders", FaultKind::Hang);
    let question = json!({"tag": tag, "timeout_ms": 200}).to_string();
    let error = client
        .order_outcome(&question)
        .expect_err("nothing was read");
    assert_eq!(error.status(), Status::Timeout, "{error}");
    assert_eq!(told(&error, "tag"), json!(tag));
    sandbox.clear_faults();
    sandbox.clear_requests();
    let question = json!({"tag": tag, "timeout_ms": 3000}).to_string();
    let answer = std::thread::scope(|scope| {
        let asking = scope.spawn(|| client.order_outcome(&question));
        let seen = sandbox.wait_for_requests(2, Duration::from_secs(60));
        assert!(seen.len() >= 2, "the book is read again");
        fault(&sandbox, "/quick/user/orders", FaultKind::Hang);
        asking.join().expect("no panic")
    });
    let found = crate::support::json(answer.expect("something was seen").json());
    assert_eq!(found["outcome"], "unknown", "{found}");
    assert!(found["reads"].as_u64() >= Some(1), "{found}");
    let wait = found["ask_again_after_ms"].as_u64();
    assert!(
        wait.is_some_and(|ms| (500_000..=603_000).contains(&ms)),
        "{found}"
    );
}
