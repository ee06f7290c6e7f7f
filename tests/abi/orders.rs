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
    let config = c(&sandbox.config_json());
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

/// Shutdown ends every client of a process, so this has one of its own.
#[test]
fn an_order_under_way_is_never_called_unsent() {
    if std::env::var_os(CHILD).is_none() {
        let mut child = Command::new(std::env::current_exe().expect("a test is a file"));
        child.args([
            "--exact",
            "orders::an_order_under_way_is_never_called_unsent",
            "--nocapture",
        ]);
        let ran: Ran = run(child.env(CHILD, "1")).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(ran.code, Some(0), "{ran}");
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
        let handle = client as usize;
        let order = thread::spawn(move || {
            let params = c(
                r#"{"exchange_segment":"nse_cm","product":"CNC","price":"8.60","order_type":"L",
                    "quantity":1,"validity":"DAY","trading_symbol":"IDEA-EQ",
                    "transaction_type":"B"}"#,
            );
            // SAFETY: the text lives until the call returns.
            let response = unsafe { kneo_place_order(handle as *mut kneo_client, params.as_ptr()) };
            response as usize
        });
        let patience = Instant::now() + Duration::from_secs(30);
        while sandbox.requests().is_empty() {
            assert!(Instant::now() < patience, "the order does not arrive");
            thread::sleep(Duration::from_millis(1));
        }
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
