//! An instruction is cut short at every step, in every way: the broker takes it
//! at most once, the status tells the truth, and so does the ledger to the
//! next process.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use kotak_neo::order_steps::{Step, at, clear};
use kotak_neo::{Client, Error, Reply, Status};
use kotak_neo_sandbox::{FaultKind, Sandbox};
use kotak_neo_testing::folder::Folder;
use serde_json::{Value, json};

use crate::orders::{meta, order, outcome, place, unlimited, with};
use crate::support::{client_with, fault, json, log_in, status, told};

const PLACE: &str = "/quick/order/rule/ms/place";

/// How a call is cut short.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cut {
    Interrupt,
    Cancel,
    Free,
    Deadline,
    Panic,
}

/// A logged-in client whose connection for orders is warm.
fn trader(sandbox: &Sandbox, folder: &Folder) -> Client {
    let more = json!({
        "max_orders_per_second": 1_000_000, "ledger_file": folder.text("ledger"),
        "outcome_window_ms": 1000,
    });
    let client = client_with(sandbox, &more);
    log_in(sandbox, &client).expect("the login works");
    let dear = with(order(), json!({"quantity": 1}));
    place(&client, &dear).expect("the first order is taken");
    client
}

fn open_tags(client: &Client) -> Vec<String> {
    let open = json(client.open_intents().expect("local").json());
    let intents = open["intents"].as_array().expect("a list").clone();
    let tag = |intent: &Value| intent["tag"].as_str().expect("a tag").to_owned();
    intents.iter().map(tag).collect()
}

/// What is asked for, and what came of it.
struct Tried {
    what: String,
    params: Value,
    /// `None` after a panic that reached the caller.
    result: Option<Result<Reply, Error>>,
    /// Orders and requests before.
    before: (u64, usize),
}

fn cut(sandbox: &Sandbox, client: &Client, id: &str, step: Step, cut: Cut) -> Tried {
    let before = (sandbox.orders_taken(), sandbox.requests().len());
    let limit = if cut == Cut::Deadline { 100 } else { 30_000 };
    let params = with(order(), json!({"intent_id": id}));
    let tried = with(params.clone(), json!({"timeout_ms": limit, "call_id": id}));
    let name = id.to_owned();
    let it = client.clone();
    at(step, move || match cut {
        Cut::Interrupt => it.interrupt(),
        Cut::Cancel => drop(it.cancel(&name).expect("the client is open")),
        Cut::Free => it.close(),
        Cut::Deadline => thread::sleep(Duration::from_millis(150)),
        Cut::Panic => std::panic::panic_any("a defect that a test asked for"),
    });
    let result = catch_unwind(AssertUnwindSafe(|| place(client, &tried))).ok();
    assert!(
        !clear() || matches!(step, Step::Judged),
        "it came to {step:?}"
    );
    Tried {
        what: format!("{step:?} {cut:?}: {result:?}"),
        params,
        result,
        before,
    }
}

/// Whether the point of no return lies before a step.
fn is_late(step: Step) -> bool {
    use Step::{Answered, Ended, Judged, Settled};
    matches!(step, Answered | Judged | Ended | Settled)
}

fn check(sandbox: &Sandbox, folder: &Folder, client: Client, tried: &Tried) {
    let Tried {
        what,
        params,
        result,
        before,
    } = tried;
    drop(client);
    // What was handed to the system arrives.
    let patience = Instant::now() + Duration::from_secs(60);
    while sandbox.open_connections() > 0 {
        assert!(Instant::now() < patience, "a connection stays open: {what}");
        thread::sleep(Duration::from_millis(1));
    }
    sandbox.clear_faults();
    let requests = sandbox.requests().len() - before.1;
    let taken = sandbox.orders_taken() - before.0;
    assert!(taken <= 1 && requests <= 1, "{taken} of {requests}: {what}");
    // The next process, whatever has become of this one.
    let next = client_with(
        sandbox,
        &json!({
            "max_orders_per_second": 1_000_000, "ledger_file": folder.text("ledger"),
            "outcome_window_ms": 1000,
        }),
    );
    log_in(sandbox, &next).expect("the login works");
    let before = sandbox.orders_taken();
    let open = open_tags(&next);
    let again = |expected: Status| {
        let again = place(&next, params);
        assert_eq!(status(&again), expected, "{what}, then {again:?}");
        again
    };
    match result {
        Some(Ok(reply)) => {
            assert_eq!((taken, open.len()), (1, 0), "{what}");
            let earlier = again(Status::Ok).expect("it is OK");
            assert_eq!(earlier.json(), reply.json(), "{what}");
            assert_eq!(meta(&earlier, "earlier_answer"), true);
            assert_eq!(meta(&earlier, "tag"), meta(reply, "tag"));
            assert_eq!(sandbox.orders_taken(), before, "{what}");
        }
        Some(Err(error)) if error.status() == Status::UnknownOutcome => {
            assert_eq!(told(error, "sent"), true, "{what}");
            assert_eq!(told(error, "safe_to_repeat"), false, "{what}");
            let tag = told(error, "tag");
            assert!(tag.is_string(), "{what}");
            if open.is_empty() {
                // A defect after all was written down.
                let earlier = again(Status::Ok).expect("it is OK");
                assert_eq!(meta(&earlier, "tag"), tag, "{what}");
            } else {
                assert_eq!(json!(open), json!([tag]), "{what}");
                let earlier = again(Status::UnknownOutcome).expect_err("it is open");
                assert_eq!(told(&earlier, "tag"), tag, "{what}");
                assert_eq!(told(&earlier, "sent"), true, "{earlier:?}");
                assert_eq!(told(&earlier, "safe_to_repeat"), false, "{earlier:?}");
            }
            if taken == 1 {
                let found = outcome(&next, json!({ "tag": tag }));
                assert_eq!(found["outcome"], "placed", "{what}: {found}");
            }
            assert_eq!(sandbox.orders_taken(), before, "{what}");
        }
        // Nothing was sent: the same intent may be tried again.
        Some(Err(error)) => {
            assert!(
                matches!(error.status(), Status::Timeout | Status::Closed),
                "{what}"
            );
            assert_eq!(told(error, "sent"), false, "{what}");
            assert_eq!(told(error, "safe_to_repeat"), true, "{what}");
            assert_eq!((taken, open.len()), (0, 0), "{what}");
            again(Status::Ok).expect("it is OK");
            assert_eq!(sandbox.orders_taken(), before + 1, "{what}");
        }
        None => {
            assert_eq!((taken, open.len()), (0, 0), "{what}");
            again(Status::Ok).expect("it is OK");
            assert_eq!(sandbox.orders_taken(), before + 1, "{what}");
        }
    }
}

fn every_step(name: &str, kind: Option<FaultKind>) {
    let sandbox = unlimited();
    for step in Step::ALL {
        for how in [
            Cut::Interrupt,
            Cut::Cancel,
            Cut::Free,
            Cut::Deadline,
            Cut::Panic,
        ] {
            let folder = Folder::new(name);
            let client = trader(&sandbox, &folder);
            if let Some(kind) = &kind {
                fault(&sandbox, PLACE, kind.clone());
            }
            let tried = cut(&sandbox, &client, &format!("{step:?}-{how:?}"), step, how);
            if how == Cut::Panic {
                // Before the point it is the caller's to see, after it an outcome.
                assert_eq!(tried.result.is_some(), is_late(step), "{}", tried.what);
            }
            check(&sandbox, &folder, client, &tried);
        }
    }
}

#[test]
fn cut_short_at_every_step() {
    every_step("steps", None);
}

#[test]
fn cut_short_at_every_step_without_an_answer() {
    every_step("steps-lost", Some(FaultKind::ResetAfter));
}

#[test]
fn cut_short_at_every_step_before_it_was_taken() {
    every_step("steps-unread", Some(FaultKind::ResetBefore));
}

/// A defect must not leave an instruction under way for ever: then it could
/// never be settled.
#[test]
fn after_a_defect_nothing_is_under_way() {
    let sandbox = unlimited();
    let client = client_with(&sandbox, &json!({"outcome_window_ms": 1000}));
    log_in(&sandbox, &client).expect("the login works");
    for step in Step::ALL {
        let tag = format!("tag-{step:?}");
        let params = with(order(), json!({ "tag": tag }));
        fault(&sandbox, PLACE, FaultKind::ResetBefore);
        at(step, || {
            std::panic::panic_any("a defect that a test asked for")
        });
        let result = catch_unwind(AssertUnwindSafe(|| place(&client, &params)));
        clear();
        sandbox.clear_faults();
        let found = outcome(&client, json!({"tag": tag, "timeout_ms": 30_000}));
        let known = !matches!(step, Step::Checked | Step::Connected | Step::Paced);
        let expected = if known { "absent" } else { "unknown" };
        assert_eq!(found["outcome"], expected, "{step:?}: {found} {result:?}");
    }
    assert_eq!(sandbox.orders_taken(), 0);
}

/// The same intent with the same tag, while another thread is sending it: it
/// is not sent, and is not called wrong either.
#[test]
fn an_intent_that_is_under_way_is_an_unknown_outcome() {
    let sandbox = unlimited();
    let folder = Folder::new("steps-twice");
    for step in Step::ALL {
        let client = trader(&sandbox, &folder);
        let before = sandbox.orders_taken();
        let name = format!("{step:?}");
        let params = with(order(), json!({"tag": name, "intent_id": name}));
        let (tell, told_there) = mpsc::channel();
        let (go, may_go) = mpsc::channel();
        thread::scope(|scope| {
            let first = scope.spawn(|| {
                at(step, move || {
                    tell.send(()).expect("the other thread waits");
                    may_go.recv().expect("the other thread says so");
                });
                place(&client, &params)
            });
            told_there.recv().expect("it comes to the step");
            let second = place(&client, &params);
            go.send(()).expect("the first thread waits");
            let first = first.join().expect("no panic");
            let what = format!("{step:?}: {first:?} {second:?}");
            match step {
                // The second was faster.
                Step::Checked | Step::Connected | Step::Paced => {
                    let (first, second) = (first.expect(&what), second.expect(&what));
                    assert_eq!(first.json(), second.json());
                    assert_eq!(meta(&first, "earlier_answer"), true);
                }
                Step::Settled => {
                    let (first, second) = (first.expect(&what), second.expect(&what));
                    assert_eq!(first.json(), second.json());
                    assert_eq!(meta(&second, "earlier_answer"), true);
                }
                _ => {
                    first.expect(&what);
                    let error = second.expect_err(&what);
                    assert_eq!(error.status(), Status::UnknownOutcome, "{what}");
                    assert_eq!(told(&error, "tag"), json!(name));
                    assert_eq!(told(&error, "sent"), true);
                }
            }
        });
        assert_eq!(sandbox.orders_taken(), before + 1, "{step:?}");
        // Neither attempt spoils what is known of the tag.
        assert_eq!(outcome(&client, json!({"tag": name}))["outcome"], "placed");
    }
}
