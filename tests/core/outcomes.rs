//! What settles an unknown outcome, and what must not: no order that the
//! broker took is ever called absent, and none that it did not take is called
//! placed.

use std::time::{Duration, Instant};

use kotak_neo::{Client, Status};
use kotak_neo_sandbox::{FaultKind, Sandbox};
use serde_json::{Value, json};

use crate::orders::{number, order, outcome, place, trader, unlimited, with};
use crate::support::{answer, fault, told};

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

/// What the fault of a whole book is: this list of rows, or "no data".
fn shows(rows: &[Value]) -> FaultKind {
    let body = match rows {
        [] => {
            json!({"stCode": 5203, "errMsg": "No Data", "desc": "data not found", "stat": "Not_Ok"})
        }
        rows => json!({"stat": "Ok", "stCode": 200, "data": rows}),
    };
    answer(200, "application/json", &body.to_string())
}

const BOOK: &str = "/quick/user/orders";
const TRADES: &str = "/quick/user/trades";
const POSITIONS: &str = "/portfolio/v2/positions";

/// The true rows of the order book.
fn rows(client: &Client) -> Vec<Value> {
    let book = client.order_report(None).expect("the book can be read");
    let book = crate::support::json(book.json());
    book["data"].as_array().expect("a list").clone()
}

#[test]
fn a_book_that_lacks_a_known_order_proves_nothing() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({"outcome_window_ms": 1000}));
    let known = number(&place(&client, &with(order(), json!({"price": "8.50"}))).expect("taken"));
    // The broker has it, but answers with a book of before.
    let tag = lost(&sandbox, &client, &order(), FaultKind::ResetAfter);
    for lacking in [
        vec![],
        vec![json!({"nOrdNo": "250122000000001", "trdSym": "SBIN-EQ"})],
    ] {
        fault(&sandbox, BOOK, shows(&lacking));
        let found = asked_long(&client, &tag);
        assert_eq!(found["outcome"], "unknown", "{found}");
        let message = found["message"].as_str().expect("a message");
        assert!(message.contains("known to be there"), "{found}");
        sandbox.clear_faults();
    }
    // One that this client changed is known to be there, too.
    let changing = trader(&sandbox, &json!({"outcome_window_ms": 1000}));
    let change = json!({
        "order_id": known, "price": "8.40", "order_type": "L", "quantity": 3, "validity": "DAY",
    });
    changing.modify_order(&change.to_string()).expect("taken");
    let second = lost(&sandbox, &changing, &order(), FaultKind::ResetAfter);
    fault(&sandbox, BOOK, shows(&[]));
    let found = asked_long(&changing, &second);
    assert_eq!(found["outcome"], "unknown", "{found}");
    sandbox.clear_faults();
    let found = outcome(&client, json!({"tag": tag}));
    assert_eq!(found["outcome"], "placed", "{found}");
}

#[test]
fn an_empty_book_counts_only_if_trades_and_positions_agree() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({"outcome_window_ms": 1000}));
    let tag = lost(&sandbox, &client, &order(), FaultKind::ResetBefore);
    // Trades and positions are asked for when nothing else is missing.
    std::thread::sleep(Duration::from_secs(4));
    let trade = json!({"nOrdNo": "250122000000001", "trdSym": "IDEA-EQ", "fldQty": 3});
    let position = json!({"trdSym": "IDEA-EQ", "flBuyQty": "3", "flSellQty": "0"});
    for (path, kind) in [
        (TRADES, answer(503, "text/html", "")),
        (POSITIONS, answer(503, "text/html", "")),
        (
            POSITIONS,
            answer(
                404,
                "application/json",
                r#"{"stCode":5203,"stat":"Not_Ok"}"#,
            ),
        ),
        (TRADES, shows(&[trade])),
        (POSITIONS, shows(&[position])),
    ] {
        sandbox.clear_faults();
        fault(&sandbox, path, kind);
        let found = outcome(&client, json!({"tag": tag, "timeout_ms": 2000}));
        assert_eq!(found["outcome"], "unknown", "{path} {found}");
        let message = found["message"].as_str().expect("a message");
        assert!(message.contains("trades and positions"), "{found}");
    }
    sandbox.clear_faults();
    let found = asked_long(&client, &tag);
    assert_eq!(found["outcome"], "absent", "{found}");
}

/// Only 200 is documented for an empty book.
#[test]
fn an_error_is_no_empty_book() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({"outcome_window_ms": 1000}));
    let tag = lost(&sandbox, &client, &order(), FaultKind::ResetAfter);
    for kind in [
        answer(
            404,
            "application/json",
            r#"{"stCode":5203,"stat":"Not_Ok"}"#,
        ),
        answer(
            200,
            "application/json",
            r#"{"stCode":200,"stat":"Ok","data":null}"#,
        ),
        answer(
            200,
            "application/json",
            r#"{"stCode":1037,"stat":"Not_Ok","data":[]}"#,
        ),
    ] {
        sandbox.clear_faults();
        fault(&sandbox, BOOK, kind);
        let question = json!({"tag": tag, "timeout_ms": 2000}).to_string();
        let failed = client.order_outcome(&question);
        assert!(failed.is_err(), "{failed:?}");
    }
    sandbox.clear_faults();
    let found = outcome(&client, json!({"tag": tag}));
    assert_eq!(found["outcome"], "placed", "{found}");
}

#[test]
fn a_rewritten_row_of_another_quantity_or_spelling_may_be_it() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({"outcome_window_ms": 1000}));
    let tag = lost(&sandbox, &client, &order(), FaultKind::ResetAfter);
    let row = rows(&client).remove(0);
    let rewritten = with(row, json!({"GuiOrdId": "TEST1-00000000"}));
    for more in [
        json!({"qty": 7}),
        json!({"trdSym": "IDEA"}),
        json!({"trdSym": "IDEA EQ", "qty": 1}),
        json!({"trdSym": "idea-be"}),
        json!({"trdSym": "VODAFONE IDEA", "sym": "IDEA"}),
        json!({"trnsTp": "--"}),
    ] {
        sandbox.clear_faults();
        fault(
            &sandbox,
            BOOK,
            shows(&[with(rewritten.clone(), more.clone())]),
        );
        let found = outcome(&client, json!({"tag": tag, "timeout_ms": 2000}));
        assert_eq!(found["outcome"], "unknown", "{more} {found}");
        assert_eq!(
            found["candidates"].as_array().map(Vec::len),
            Some(1),
            "{found}"
        );
    }
}

/// The answer's own `Date` says of which day a book is.
#[test]
fn a_book_of_another_day_or_hour_proves_nothing() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({"outcome_window_ms": 1000}));
    let tag = lost(&sandbox, &client, &order(), FaultKind::ResetAfter);
    for hours in [1, -1, 5, 24, -24] {
        let now = std::time::SystemTime::now();
        let hour = Duration::from_secs(3600 * u64::from(i32::unsigned_abs(hours)));
        let date = if hours > 0 { now + hour } else { now - hour };
        sandbox.clear_faults();
        fault(
            &sandbox,
            BOOK,
            FaultKind::Answer {
                status: 200,
                headers: vec![("date".to_owned(), httpdate::fmt_http_date(date))],
                body: br#"{"stCode":5203,"errMsg":"No Data","stat":"Not_Ok"}"#.to_vec(),
            },
        );
        let found = outcome(&client, json!({"tag": tag, "timeout_ms": 2000}));
        assert_eq!(found["outcome"], "unknown", "{hours} {found}");
        assert_eq!(found["ask_again_after_ms"], Value::Null, "{found}");
    }
}

#[test]
fn a_change_whose_order_is_not_in_the_book_is_unknown() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({"outcome_window_ms": 1000}));
    let id = number(&place(&client, &order()).expect("taken"));
    fault(&sandbox, "/quick/order/cancel", FaultKind::ResetBefore);
    let cancel = json!({ "order_id": id }).to_string();
    let error = client.cancel_order(&cancel).expect_err("no answer");
    assert_eq!(error.status(), Status::UnknownOutcome, "{error}");
    sandbox.clear_faults();
    let row = rows(&client).remove(0);
    let of = |more: Value| with(row.clone(), more);
    for (book, expected) in [
        (vec![], "unknown"),
        (vec![of(json!({"nOrdNo": "250122000000001"}))], "unknown"),
        (vec![of(json!({"ordSt": "cancel req received"}))], "unknown"),
        (vec![of(json!({"ordSt": "of a new kind"}))], "unknown"),
        (vec![of(json!({"ordSt": null}))], "unknown"),
        (
            vec![of(json!({})), of(json!({"ordSt": "canceled"}))],
            "unknown",
        ),
        (vec![of(json!({})), of(json!({"nOrdNo": ""}))], "unknown"),
        (vec![of(json!({}))], "absent"),
    ] {
        sandbox.clear_faults();
        fault(&sandbox, BOOK, shows(&book));
        let found = outcome(&client, json!({"order_id": id, "timeout_ms": 2000}));
        assert_eq!(found["outcome"], expected, "{found}");
    }
}

/// The later of two orders with one tag was refused: the row is of the earlier one.
#[test]
fn a_refused_order_is_not_called_placed_for_an_earlier_one() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({}));
    let tagged = with(order(), json!({"tag": "again"}));
    place(&client, &tagged).expect("taken");
    let found = outcome(&client, json!({"tag": "again"}));
    assert_eq!(found["outcome"], "placed", "{found}");
    let refused = place(&client, &tagged).expect_err("the tag was used");
    assert_eq!(refused.status(), Status::Rejected, "{refused}");
    let found = outcome(&client, json!({"tag": "again"}));
    assert_eq!(found["outcome"], "absent", "{found}");
}
