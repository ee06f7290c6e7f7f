//! Orders under way when the library is shut down or their client freed.

use std::ffi::CString;
use std::process::Command;
use std::ptr;
use std::thread;
use std::time::{Duration, Instant};

use kotak_neo::Status;
use kotak_neo::ffi::client::{kneo_client, kneo_client_free, kneo_client_open};
use kotak_neo::ffi::library::{kneo_live_handles, kneo_shutdown};
use kotak_neo::ffi::login::{kneo_totp_login, kneo_totp_validate};
use kotak_neo::ffi::orders::kneo_place_order;
use kotak_neo::ffi::response::{
    kneo_response, kneo_response_free, kneo_response_json, kneo_response_status,
};
use kotak_neo_sandbox::{Fault, FaultKind, Options, Sandbox};

use crate::hosts::{Ran, run};
use crate::text;

const CHILD: &str = "KNEO_TEST_SHUTDOWN_CHILD";

fn c(text: &str) -> CString {
    CString::new(text).expect("no NUL in it")
}

fn done(response: *mut kneo_response) {
    let json = text(kneo_response_json(response)).to_owned();
    assert_eq!(kneo_response_status(response), Status::Ok.code(), "{json}");
    kneo_response_free(response);
}

fn trader(sandbox: &Sandbox) -> *mut kneo_client {
    let who = sandbox.credentials();
    // Those that are lost here would hold up the later ones.
    let config = sandbox.config_json();
    let config = c(&config.replacen('{', r#"{"max_orders_per_second":1000000,"#, 1));
    let (mobile, ucc) = (c(&who.mobile_number), c(&who.ucc));
    let (totp, mpin) = (c(&sandbox.totp_now()), c(&who.mpin));
    let mut client = ptr::null_mut();
    // SAFETY: the texts live until the calls return, `client` is writable.
    unsafe {
        done(kneo_client_open(config.as_ptr(), &raw mut client));
        done(kneo_totp_login(
            client,
            mobile.as_ptr(),
            ucc.as_ptr(),
            totp.as_ptr(),
        ));
        done(kneo_totp_validate(client, mpin.as_ptr()));
    }
    client
}

/// Runs a test in a process of its own, since shutdown ends every client of a
/// process. `false` in that process.
fn is_parent(name: &str) -> bool {
    if std::env::var_os(CHILD).is_some() {
        return false;
    }
    let mut child = Command::new(std::env::current_exe().expect("a test is a file"));
    child.args(["--exact", name, "--nocapture"]);
    let ran: Ran = run(child.env(CHILD, "1")).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!(ran.stdout.contains("1 passed"), "{ran}");
    true
}

/// Places an order in a thread of its own; gives the response.
fn place(client: *mut kneo_client) -> thread::JoinHandle<usize> {
    let handle = client as usize;
    thread::spawn(move || {
        let params = c(
            r#"{"exchange_segment":"nse_cm","product":"CNC","price":"8.60","order_type":"L",
                "quantity":1,"validity":"DAY","trading_symbol":"IDEA-EQ",
                "transaction_type":"B"}"#,
        );
        // SAFETY: the text lives until the call returns.
        let response = unsafe { kneo_place_order(handle as *mut kneo_client, params.as_ptr()) };
        response as usize
    })
}

fn until(what: &str, done: impl Fn() -> bool) {
    let patience = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < patience, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Whatever the broker does, and whenever the library is shut down: at most one
/// order, and a true status.
#[test]
fn a_shutdown_at_any_moment_tells_the_truth() {
    if is_parent("orders::a_shutdown_at_any_moment_tells_the_truth") {
        return;
    }
    let sandbox = Sandbox::start(Options {
        orders_per_second: 0,
        ..Options::default()
    });
    let sandbox = sandbox.expect("the sandbox starts");
    let answer = |status: u16, body: &[u8]| FaultKind::AnswerAfter {
        status,
        headers: Vec::new(),
        body: body.to_vec(),
    };
    let faults = [
        None,
        Some(FaultKind::Hang),
        Some(FaultKind::ResetBefore),
        Some(FaultKind::ResetAfter),
        Some(FaultKind::Slow { ms: 30 }),
        Some(FaultKind::Trickle { ms: 2 }),
        Some(FaultKind::CutJson),
        Some(answer(504, b"<html>")),
        Some(answer(200, b"{}")),
    ];
    for fault in &faults {
        for (warm, wait) in [
            (false, 0),
            (true, 0),
            (true, 1),
            (false, 3),
            (true, 5),
            (true, 40),
        ] {
            sandbox.clear_faults();
            let client = trader(&sandbox);
            if warm {
                done(place(client).join().expect("no panic") as *mut kneo_response);
            }
            sandbox.clear_requests();
            let before = sandbox.orders_taken();
            if let Some(kind) = fault {
                sandbox.set_fault(Fault {
                    path: "/quick/order/rule/ms/place".to_owned(),
                    times: None,
                    kind: kind.clone(),
                });
            }
            let order = place(client);
            thread::sleep(Duration::from_millis(wait));
            assert_eq!(kneo_shutdown(30_000), Status::Ok.code());
            let response = order.join().expect("no panic") as *mut kneo_response;
            let json = text(kneo_response_json(response)).to_owned();
            let status = kneo_response_status(response);
            kneo_response_free(response);
            let what = format!("{fault:?} warm {warm}, {wait} ms: {status} {json}");
            until(&what, || sandbox.open_connections() == 0);
            let (taken, sent) = (sandbox.orders_taken() - before, sandbox.requests().len());
            assert!(taken <= 1 && sent <= 1, "{taken} of {sent}: {what}");
            let is = |one: Status| status == one.code();
            if is(Status::Ok) {
                assert_eq!(taken, 1, "{what}");
            } else if is(Status::UnknownOutcome) {
                assert!(json.contains(r#""sent":true"#), "{what}");
                assert!(json.contains(r#""tag":"kn"#), "{what}");
            } else {
                assert!(is(Status::Closed) || is(Status::InvalidHandle), "{what}");
                assert!(json.contains(r#""sent":false"#), "{what}");
                assert_eq!((taken, sent), (0, 0), "{what}");
            }
        }
    }
    assert_eq!(kneo_live_handles(), 0);
}

#[test]
fn an_order_under_way_is_never_called_unsent() {
    if is_parent("orders::an_order_under_way_is_never_called_unsent") {
        return;
    }
    let sandbox = Sandbox::start(Options::default()).expect("the sandbox starts");
    for free in [true, false] {
        let client = trader(&sandbox);
        sandbox.clear_requests();
        sandbox.set_fault(Fault {
            path: "/quick/order/rule/ms/place".to_owned(),
            times: Some(1),
            kind: FaultKind::Hang,
        });
        let order = place(client);
        until("the order does not arrive", || {
            !sandbox.requests().is_empty()
        });
        if free {
            kneo_client_free(client);
        } else {
            assert_eq!(kneo_shutdown(10_000), Status::Ok.code());
        }
        let response = order.join().expect("no panic") as *mut kneo_response;
        let json = text(kneo_response_json(response)).to_owned();
        assert_eq!(
            kneo_response_status(response),
            Status::UnknownOutcome.code(),
            "{json}"
        );
        assert!(
            json.contains(r#""sent":true"#) && json.contains(r#""tag":"kn"#),
            "{json}"
        );
        kneo_response_free(response);
        assert_eq!(sandbox.requests().len(), 1);
    }
    assert_eq!(kneo_live_handles(), 0);
    // And it can be used again.
    let client = trader(&sandbox);
    kneo_client_free(client);
    assert_eq!(kneo_live_handles(), 0);
}
