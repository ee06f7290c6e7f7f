//! After-market orders: the flag of their cancel, by what is known of them, and the
//! broker's answer to a cancel without it.

use std::time::{Duration, Instant};

use kotak_neo::{Client, Reply, Status};
use kotak_neo_sandbox::Sandbox;
use kotak_neo_testing::folder::Folder;
use serde_json::{Value, json};

use crate::orders::{j_data, meta, number, order, outcome, place, trader, unlimited, with};
use crate::support::{
    answer, client_with, fault, json as read, password_login, paths, sample, told,
};

const CANCEL: &str = "/quick/order/cancel";

/// A market that is closed.
fn evening() -> Sandbox {
    let sandbox = unlimited();
    let mut switches = sandbox.switches();
    switches.market_open = false;
    sandbox.set_switches(switches);
    sandbox
}

/// An after-market order that another client has placed.
fn placed_elsewhere(sandbox: &Sandbox) -> String {
    let client = trader(sandbox, &json!({}));
    number(&place(&client, &after_market()).expect("taken"))
}

fn after_market() -> Value {
    with(order(), json!({"amo": "YES"}))
}

fn cancel(client: &Client, id: &str, more: Value) -> Result<Reply, kotak_neo::Error> {
    client.cancel_order(&with(json!({ "order_id": id }), more).to_string())
}

fn notes(reply: &Reply) -> String {
    meta(reply, "notes").to_string()
}

/// The one request that was made since the last look is the cancel; gives its body.
fn only_cancel(sandbox: &Sandbox) -> Value {
    assert_eq!(paths(sandbox), [CANCEL], "nothing was asked for it");
    let body = j_data(&sandbox.requests()[0]);
    sandbox.clear_requests();
    body
}

#[test]
fn a_cancel_without_the_flag_is_refused_for_certain() {
    let sandbox = evening();
    let id = placed_elsewhere(&sandbox);
    let client = trader(&sandbox, &json!({}));
    let error = cancel(&client, &id, json!({})).expect_err("the flag lacks");
    assert_eq!(only_cancel(&sandbox), json!({"on": id, "am": "NO"}));
    assert_eq!(error.status(), Status::Rejected, "{error:?}");
    assert_eq!(error.code(), Some("14"));
    assert_eq!(told(&error, "sent"), true);
    assert_eq!(told(&error, "safe_to_repeat"), false);
    assert_eq!(
        told(&error, "broker"),
        read(&sample("cancel_order.error-14-amo-flag"))
    );
    let hint = error.hint().expect("what to do");
    assert!(
        hint.contains("after-market order: cancel with amo YES"),
        "{hint}"
    );
    let open = client.open_intents().expect("local");
    assert_eq!(open.json(), r#"{"intents":[]}"#, "it is settled");
    // With the flag it is taken, and the symbol is not looked up.
    let reply = cancel(&client, &id, json!({"amo": "YES"})).expect("taken");
    assert_eq!(only_cancel(&sandbox), json!({"on": id, "am": "YES"}));
    assert_eq!(meta(&reply, "amo_set_from"), Value::Null);
    assert_eq!(meta(&reply, "notes"), Value::Null);
    assert_eq!(sandbox.cancellations_taken(), 1);
}

/// Only of a cancel, and only with these words, is it known to be a refusal.
#[test]
fn another_error_of_the_core_proves_nothing() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({}));
    let flag_error = sample("cancel_order.error-14-amo-flag");
    let other = flag_error.replace("hash error", "timeout");
    let modify = json!({
        "order_id": "1", "price": "1", "order_type": "L", "quantity": 1, "validity": "DAY",
    });
    fault(
        &sandbox,
        "/quick/order",
        answer(200, "application/json", &flag_error),
    );
    let results = [
        place(&client, &order()),
        client.modify_order(&modify.to_string()),
    ];
    sandbox.clear_faults();
    fault(&sandbox, CANCEL, answer(200, "application/json", &other));
    let results = results.into_iter().chain([cancel(&client, "2", json!({}))]);
    for result in results {
        let error = result.expect_err("no success");
        assert_eq!(error.status(), Status::UnknownOutcome, "{error:?}");
        assert_eq!(error.code(), Some("14"));
    }
}

/// From every answer and event that shows it, and never by a request of its own.
#[test]
fn what_shows_an_after_market_order_sets_the_flag() {
    type Look = fn(&Client, &str);
    let looks: [(&str, Look); 5] = [
        ("order_report", |client, _| {
            client.order_report(None).expect("the book");
        }),
        ("order_report", |client, id| {
            client.order_report(Some(id)).expect("one order");
        }),
        ("order_history", |client, id| {
            client.order_history(id).expect("its states");
        }),
        ("order_outcome", |client, id| {
            outcome(client, json!({ "order_id": id }));
        }),
        ("order_report", |client, _| {
            // The feed reads the book when it begins.
            let feed = client.order_feed(None).expect("a session");
            let until = Instant::now() + Duration::from_secs(60);
            while Instant::now() < until {
                let event = feed.next(Duration::from_secs(1));
                if event.is_ok_and(|event| event.json().contains(r#""type":"books""#)) {
                    return;
                }
            }
            panic!("the books were not read");
        }),
    ];
    let sandbox = evening();
    for (from, look) in looks {
        let id = placed_elsewhere(&sandbox);
        let client = trader(&sandbox, &json!({}));
        look(&client, &id);
        sandbox.clear_requests();
        let reply = cancel(&client, &id, json!({})).expect(from);
        let sent = only_cancel(&sandbox);
        assert_eq!(
            sent,
            json!({"on": id, "am": "YES", "ts": "IDEA-EQ"}),
            "{from}"
        );
        assert_eq!(meta(&reply, "amo_set_from"), from);
        let told = format!("known from {from}: amo was set to YES");
        assert!(notes(&reply).contains(&told), "{}", notes(&reply));
    }
    let taken = u64::try_from(looks.len()).expect("a few");
    assert_eq!(sandbox.cancellations_taken(), taken);
}

#[test]
fn an_event_of_the_order_feed_sets_the_flag() {
    let sandbox = evening();
    let client = trader(&sandbox, &json!({}));
    let feed = client.order_feed(None).expect("a session");
    let wait_for = |what: &dyn Fn(&Value) -> bool| {
        let until = Instant::now() + Duration::from_secs(60);
        while Instant::now() < until {
            if let Ok(event) = feed.next(Duration::from_secs(1)) {
                if what(&read(event.json())) {
                    return;
                }
            }
        }
        panic!("the event did not come");
    };
    wait_for(&|event| event["type"] == "books");
    let id = placed_elsewhere(&sandbox);
    wait_for(&|event| event["order"] == json!(id) && event["origin"] == "live");
    sandbox.clear_requests();
    let reply = cancel(&client, &id, json!({})).expect("taken");
    let sent = only_cancel(&sandbox);
    assert_eq!(sent, json!({"on": id, "am": "YES", "ts": "IDEA-EQ"}));
    assert_eq!(meta(&reply, "amo_set_from"), "order_feed");
}

/// The client's own orders, and those that its ledger has of an earlier process.
#[test]
fn an_order_that_was_placed_as_one_sets_the_flag() {
    let (sandbox, folder) = (evening(), Folder::new("after-market"));
    let config = json!({"ledger_file": folder.text("ledger")});
    let client = trader(&sandbox, &config);
    let ids = [(); 2].map(|()| number(&place(&client, &after_market()).expect("taken")));
    sandbox.clear_requests();
    let reply = cancel(&client, &ids[0], json!({})).expect("taken");
    assert_eq!(only_cancel(&sandbox)["am"], "YES");
    assert_eq!(meta(&reply, "amo_set_from"), "place_order");
    drop(client);
    let client = trader(&sandbox, &config);
    let reply = cancel(&client, &ids[1], json!({})).expect("taken");
    let sent = only_cancel(&sandbox);
    assert_eq!(sent, json!({"on": ids[1], "am": "YES", "ts": "IDEA-EQ"}));
    assert_eq!(meta(&reply, "amo_set_from"), "ledger_file");
}

#[test]
fn the_callers_word_counts() {
    let sandbox = evening();
    let id = placed_elsewhere(&sandbox);
    let client = trader(&sandbox, &json!({}));
    client.order_report(None).expect("the book");
    sandbox.clear_requests();
    let error = cancel(&client, &id, json!({"amo": "NO"})).expect_err("the flag lacks");
    assert_eq!(only_cancel(&sandbox), json!({"on": id, "am": "NO"}));
    assert_eq!(error.status(), Status::Rejected, "{error:?}");
    let told = error.meta();
    assert!(told.contains("amo NO was sent as it was given"), "{told}");
    assert!(!told.contains("amo_set_from"), "{told}");
    // His symbol too; what is known is added to his flag, silently: it changes nothing.
    let other = placed_elsewhere(&sandbox);
    client.order_report(None).expect("the book");
    sandbox.clear_requests();
    let given = json!({"amo": "YES", "trading_symbol": "TCS-EQ"});
    let error = cancel(&client, &other, given).expect_err("another symbol");
    assert_eq!(
        only_cancel(&sandbox),
        json!({"on": other, "am": "YES", "ts": "TCS-EQ"})
    );
    assert_eq!(error.code(), Some("5204"), "{error:?}");
    let reply = cancel(&client, &other, json!({"amo": "YES"})).expect("taken");
    assert_eq!(
        only_cancel(&sandbox),
        json!({"on": other, "am": "YES", "ts": "IDEA-EQ"})
    );
    assert_eq!(meta(&reply, "amo_set_from"), Value::Null);
}

#[test]
fn an_order_of_the_day_has_no_flag() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({}));
    let id = number(&place(&client, &order()).expect("taken"));
    client.order_report(None).expect("the book");
    sandbox.clear_requests();
    let reply = cancel(&client, &id, json!({})).expect("taken");
    assert_eq!(only_cancel(&sandbox), json!({"on": id, "am": "NO"}));
    assert_eq!(meta(&reply, "notes"), Value::Null);
}

/// A book that the caller asks for before the cancel shows it too.
#[test]
fn the_book_of_is_verify_sets_the_flag() {
    let sandbox = evening();
    let id = placed_elsewhere(&sandbox);
    let client = client_with(&sandbox, &json!({"generation": 1}));
    password_login(&sandbox, &client).expect("the first step");
    let mpin = sandbox.credentials().mpin.clone();
    client.session_2fa(&mpin).expect("the second step");
    sandbox.clear_requests();
    cancel(&client, &id, json!({"isVerify": true})).expect("taken");
    let seen = paths(&sandbox);
    assert_eq!(
        seen,
        [
            "/Orders/2.0/quick/user/orders",
            "/Orders/2.0/quick/order/cancel"
        ]
    );
    let sent = j_data(&sandbox.requests()[1]);
    assert_eq!(sent, json!({"on": id, "am": "YES", "ts": "IDEA-EQ"}));
}

/// The same intent is the same, whatever has become known of its order.
#[test]
fn an_intent_does_not_change_with_what_is_known() {
    let (sandbox, folder) = (evening(), Folder::new("after-market-intent"));
    let config = json!({"ledger_file": folder.text("ledger")});
    let client = trader(&sandbox, &config);
    let id = placed_elsewhere(&sandbox);
    let wish = json!({"intent_id": "once"});
    let refused = cancel(&client, &id, wish.clone()).expect_err("the flag lacks");
    client.order_report(None).expect("the book");
    sandbox.clear_requests();
    let again = cancel(&client, &id, wish).expect_err("it was answered before");
    assert_eq!(
        (again.status(), again.code()),
        (refused.status(), refused.code())
    );
    assert!(
        again
            .hint()
            .is_some_and(|hint| hint.contains("cancel with amo YES"))
    );
    assert!(
        sandbox.requests().is_empty(),
        "nothing is sent a second time"
    );
}

/// Modifications of an after-market order were taken without the flag.
#[test]
fn a_modification_is_sent_as_it_is() {
    let sandbox = evening();
    let client = trader(&sandbox, &json!({}));
    let id = number(&place(&client, &after_market()).expect("taken"));
    client.order_report(None).expect("the book");
    sandbox.clear_requests();
    let change = json!({
        "order_id": id, "price": "8.70", "order_type": "L", "quantity": 5, "validity": "DAY",
    });
    client.modify_order(&change.to_string()).expect("taken");
    assert_eq!(j_data(&sandbox.requests()[0])["am"], "NO");
}
