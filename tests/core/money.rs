//! Every fault, on every kind of connection, with every way to end a call in
//! the middle: the broker takes at most one order, nothing is sent after the
//! call has returned, and the status tells the truth.

use std::thread;
use std::time::{Duration, Instant};

use kotak_neo::order_steps::{Step, at};
use kotak_neo::{Client, Status};
use kotak_neo_sandbox::{Fault, FaultKind, Options, Sandbox, TlsMode};
use serde_json::json;

use crate::orders::{What, meta, number, order, outcome, place, placed, with};
use crate::support::{answer, client_with, log_in, start, status, told};

/// The connection that the order finds.
#[derive(Clone, Copy, Debug)]
enum Line {
    Fresh,
    Warm,
    /// The broker closes it while it is idle.
    ClosedWhileIdle,
}

/// What cuts the call short, so many milliseconds after its start.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Nothing,
    Deadline(u64),
    Interrupt(u64),
    Free(u64),
}

const CUTS: &[Cut] = &[
    Cut::Nothing,
    Cut::Deadline(1),
    Cut::Deadline(40),
    Cut::Interrupt(0),
    Cut::Interrupt(2),
    Cut::Interrupt(40),
    Cut::Free(0),
    Cut::Free(2),
    Cut::Free(40),
];

impl What {
    fn taken(self, sandbox: &Sandbox) -> u64 {
        match self {
            Self::Place => sandbox.orders_taken(),
            Self::Modify => sandbox.modifications_taken(),
            Self::Cancel => sandbox.cancellations_taken(),
        }
    }
}

fn faults() -> Vec<Option<FaultKind>> {
    let after = |status: u16, body: &str| FaultKind::AnswerAfter {
        status,
        headers: Vec::new(),
        body: body.as_bytes().to_vec(),
    };
    vec![
        None,
        Some(FaultKind::Hang),
        Some(FaultKind::ResetBefore),
        Some(FaultKind::ResetAfter),
        Some(after(504, "<html>gateway timeout</html>")),
        Some(after(429, "{}")),
        Some(after(200, "")),
        Some(answer(503, "text/html", "<html></html>")),
        Some(answer(
            200,
            "application/json",
            r#"{"stat":"Not_Ok","stCode":1009,"emsg":"x"}"#,
        )),
        Some(FaultKind::CutJson),
        Some(FaultKind::WrongContentLength),
        Some(FaultKind::Redirect("/quick/order/cancel".to_owned())),
        Some(FaultKind::Slow { ms: 60 }),
        Some(FaultKind::Late { ms: 60 }),
        Some(FaultKind::Trickle { ms: 2 }),
        Some(FaultKind::RefuseStream),
    ]
}

fn every_fault(what: What, line: Line, tls: TlsMode) {
    let sandbox = start(Options {
        orders_per_second: 0,
        tls,
        ..Options::default()
    });
    for fault in faults() {
        for cut in CUTS {
            one(&sandbox, what, line, fault.as_ref(), *cut);
        }
    }
}

fn trader(sandbox: &Sandbox) -> Client {
    let config = json!({
        "max_orders_per_second": 1_000_000,
        "timeouts": {"order": 400, "read": 30_000},
    });
    let client = client_with(sandbox, &config);
    log_in(sandbox, &client).expect("the login works");
    client
}

fn one(sandbox: &Sandbox, kind: What, line: Line, fault: Option<&FaultKind>, cut: Cut) {
    sandbox.clear_faults();
    let client = trader(sandbox);
    let mut id = String::new();
    if !matches!(line, Line::Fresh) {
        id = placed_in_time(&client);
    }
    if matches!(line, Line::ClosedWhileIdle) {
        sandbox.close_connections();
    }
    sandbox.clear_requests();
    let before = kind.taken(sandbox);
    if let Some(fault) = fault {
        sandbox.set_fault(Fault {
            path: kind.path().to_owned(),
            times: None,
            kind: fault.clone(),
        });
    }
    let more = match cut {
        Cut::Deadline(ms) => json!({ "timeout_ms": ms }),
        _ => json!({}),
    };
    let result = thread::scope(|scope| {
        let call = scope.spawn(|| kind.send(&client, &id, more));
        match cut {
            Cut::Nothing | Cut::Deadline(_) => {}
            Cut::Interrupt(ms) => {
                thread::sleep(Duration::from_millis(ms));
                client.interrupt();
            }
            Cut::Free(ms) => {
                thread::sleep(Duration::from_millis(ms));
                client.close();
            }
        }
        call.join().expect("no panic")
    });
    let what = format!("{kind:?} {line:?} {fault:?} {cut:?}: {result:?}");
    drop(client);
    // What is on its way to the sandbox arrives; its connection is closed.
    let patience = Instant::now() + Duration::from_secs(30);
    while sandbox.open_connections() > 0 {
        assert!(Instant::now() < patience, "a connection stays open: {what}");
        thread::sleep(Duration::from_millis(1));
    }
    if matches!(fault, Some(FaultKind::Late { .. })) {
        thread::sleep(Duration::from_millis(150));
    }
    let taken = kind.taken(sandbox) - before;
    let requests = sandbox.requests().len();
    assert!(taken <= 1 && requests <= 1, "{taken} of {requests}: {what}");
    match &result {
        Ok(reply) => {
            assert_eq!(taken, 1, "{what}");
            if kind != What::Place {
                assert_eq!(number(reply), id, "{what}");
                return;
            }
            let orders = sandbox.orders();
            let last = orders.iter().max_by_key(|order| &order.number);
            assert_eq!(Some(number(reply)), last.map(|order| order.number.clone()));
            assert_eq!(Some(meta(reply, "tag")), last.map(|order| json!(order.tag)));
        }
        Err(error) => {
            match error.status() {
                Status::Rejected => assert_eq!(taken, 0, "{what}"),
                Status::UnknownOutcome => assert_eq!(told(error, "sent"), true, "{what}"),
                Status::Timeout | Status::Closed | Status::Network => {
                    assert_eq!(told(error, "sent"), false, "{what}");
                    assert_eq!((taken, requests), (0, 0), "{what}");
                }
                _ => panic!("{what}"),
            }
            assert_eq!(
                told(error, "safe_to_repeat"),
                matches!(
                    error.status(),
                    Status::Timeout | Status::Closed | Status::Network
                ),
                "{what}"
            );
        }
    }
}

#[test]
fn on_a_fresh_connection() {
    every_fault(What::Place, Line::Fresh, TlsMode::Off);
}

#[test]
fn on_a_warm_connection() {
    every_fault(What::Place, Line::Warm, TlsMode::Off);
}

#[test]
fn on_a_connection_that_was_closed_while_idle() {
    every_fault(What::Place, Line::ClosedWhileIdle, TlsMode::Off);
}

#[test]
fn over_tls() {
    every_fault(What::Place, Line::Warm, TlsMode::Valid);
}

#[test]
fn over_tls_on_a_fresh_connection() {
    every_fault(What::Place, Line::Fresh, TlsMode::Valid);
}

#[test]
fn over_tls_on_a_connection_that_was_closed_while_idle() {
    every_fault(What::Place, Line::ClosedWhileIdle, TlsMode::Valid);
}

#[test]
fn modifications() {
    every_fault(What::Modify, Line::Warm, TlsMode::Off);
}

#[test]
fn cancels() {
    every_fault(What::Cancel, Line::ClosedWhileIdle, TlsMode::Off);
}

/// The exact end of an unknown outcome is found for every fault.
#[test]
fn every_unknown_outcome_can_be_settled() {
    let sandbox = start(Options {
        orders_per_second: 0,
        ..Options::default()
    });
    let client = client_with(
        &sandbox,
        &json!({
            "max_orders_per_second": 1_000_000, "outcome_window_ms": 1000,
            "timeouts": {"order": 300, "read": 30_000},
        }),
    );
    log_in(&sandbox, &client).expect("the login works");
    let mut settled = 0;
    for kind in faults().into_iter().flatten() {
        sandbox.clear_faults();
        let before = sandbox.orders_taken();
        sandbox.set_fault(Fault {
            path: "/quick/order/rule/ms/place".to_owned(),
            times: None,
            kind: kind.clone(),
        });
        let Err(error) = place(&client, &order()) else {
            continue;
        };
        if error.status() != Status::UnknownOutcome {
            continue;
        }
        let found = outcome(&client, json!({"tag": told(&error, "tag")}));
        let taken = sandbox.orders_taken() - before;
        let expected = if taken == 1 { "placed" } else { "absent" };
        assert_eq!(found["outcome"], expected, "{kind:?}: {found}");
        settled += 1;
    }
    assert!(
        settled >= 8,
        "most faults leave the outcome open: {settled}"
    );
}

/// Two closes of the connection, one after the other, must not make it send
/// the order on the next connection again.
#[test]
fn a_broken_connection_is_no_second_try() {
    let sandbox = start(Options {
        orders_per_second: 0,
        ..Options::default()
    });
    let client = trader(&sandbox);
    placed(&client);
    for kind in [FaultKind::ResetBefore, FaultKind::ResetAfter] {
        sandbox.clear_requests();
        sandbox.set_fault(Fault {
            path: "/quick/order/rule/ms/place".to_owned(),
            times: Some(1),
            kind,
        });
        assert_eq!(status(&place(&client, &order())), Status::UnknownOutcome);
        assert!(sandbox.requests().len() <= 1);
    }
    assert_eq!(sandbox.orders_taken(), 2);
}

#[test]
fn many_threads_place_many_orders_once_each() {
    const THREADS: usize = 8;
    const EACH: usize = 25;
    let sandbox = start(Options {
        orders_per_second: 0,
        ..Options::default()
    });
    let client = trader(&sandbox);
    let numbers: Vec<String> = thread::scope(|scope| {
        let work = || {
            (0..EACH)
                .map(|_| placed_in_time(&client))
                .collect::<Vec<_>>()
        };
        let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        let joined = workers.into_iter().map(|worker| worker.join());
        joined
            .flat_map(|numbers| numbers.expect("no panic"))
            .collect()
    });
    let mut sorted = numbers.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(sorted.len(), THREADS * EACH);
    assert_eq!(sandbox.orders_taken(), (THREADS * EACH) as u64);
}

fn placed_in_time(client: &Client) -> String {
    let params = with(order(), json!({"timeout_ms": 30_000}));
    number(&place(client, &params).expect("the order is taken"))
}

#[test]
fn a_defect_after_the_sending_is_an_unknown_outcome() {
    let sandbox = start(Options {
        orders_per_second: 0,
        ..Options::default()
    });
    let client = trader(&sandbox);
    at(Step::Answered, || {
        std::panic::panic_any("a defect that a test asked for")
    });
    let error = place(&client, &order()).expect_err("it panicked");
    assert_eq!(error.status(), Status::UnknownOutcome, "{error}");
    assert_eq!(sandbox.orders_taken(), 1);
    let found = outcome(&client, json!({"tag": told(&error, "tag")}));
    assert_eq!(found["outcome"], "placed", "{found}");
    // The client is as good as before.
    placed(&client);
}
