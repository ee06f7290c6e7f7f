//! The guard: a panic inside an export comes back as a status.

use std::ffi::CString;
use std::process::Command;
use std::ptr;

use kotak_neo::Status;
use kotak_neo::ffi::client::{kneo_client_free, kneo_client_open};
use kotak_neo::ffi::fault::panic_next;
use kotak_neo::ffi::library::{kneo_live_handles, kneo_shutdown, kneo_version};
use kotak_neo::ffi::login::{kneo_session_info, kneo_totp_generate};
use kotak_neo::ffi::response::{
    kneo_response, kneo_response_free, kneo_response_json, kneo_response_json_len,
    kneo_response_message, kneo_response_meta, kneo_response_status,
};

use crate::hosts::{Ran, run};
use crate::text;

fn panicked(response: *mut kneo_response) {
    assert_eq!(kneo_response_status(response), Status::Internal.code());
    let json = text(kneo_response_json(response)).to_owned();
    assert_eq!(json.len(), kneo_response_json_len(response));
    for shown in [
        &json,
        text(kneo_response_message(response)),
        text(kneo_response_meta(response)),
    ] {
        assert!(!shown.contains("fake-secret"), "{shown}");
    }
    assert!(
        json.contains("src/ffi/guard.rs:"),
        "the place is told: {json}"
    );
    kneo_response_free(response);
}

/// Runs in a process of its own, so that its stderr can be looked at.
#[test]
fn a_panic_reaches_neither_host_nor_stderr() {
    const CHILD: &str = "KNEO_TEST_PANIC_CHILD";
    if std::env::var_os(CHILD).is_none() {
        let me = std::env::current_exe().expect("a test is a file");
        let mut child = Command::new(me);
        child.args([
            "--exact",
            "panics::a_panic_reaches_neither_host_nor_stderr",
            "--nocapture",
        ]);
        let ran: Ran = run(child.env(CHILD, "1")).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(ran.code, Some(0), "{ran}");
        assert!(ran.stdout.contains("1 passed"), "{ran}");
        assert!(!ran.to_string().contains("fake-secret"), "{ran}");
        assert_eq!(
            ran.stderr.matches("panicked at").count(),
            1,
            "only the host's own: {ran}"
        );
        return;
    }
    let secret = "fake-secret in a panic";
    let base32 = CString::new("MZXW6").expect("no NUL in it");

    panic_next(secret);
    // SAFETY: the text lives until the call returns.
    panicked(unsafe { kneo_totp_generate(base32.as_ptr()) });
    let mut client = ptr::null_mut();
    panic_next(secret);
    // SAFETY: NULL is allowed, `client` is writable.
    panicked(unsafe { kneo_client_open(ptr::null(), &raw mut client) });
    // SAFETY: as above.
    kneo_response_free(unsafe { kneo_client_open(ptr::null(), &raw mut client) });
    panic_next(secret);
    panicked(kneo_session_info(client));
    panic_next(secret);
    assert_eq!(kneo_shutdown(0), Status::Internal.code());
    panic_next(secret);
    assert_eq!(kneo_live_handles(), 0);
    panic_next(secret);
    assert_eq!(text(kneo_version()), env!("CARGO_PKG_VERSION"));
    panic_next(secret);
    kneo_client_free(client);
    assert_eq!(
        kneo_live_handles(),
        1,
        "the free that panicked freed nothing"
    );
    panic_next(secret);
    let response = kneo_session_info(client);
    panic_next(secret);
    assert_eq!(kneo_response_status(response), Status::InvalidHandle.code());
    panicked(response);
    kneo_client_free(client);
    assert_eq!(kneo_live_handles(), 0);

    // The host's own panics go where they always went.
    let own = std::thread::spawn(|| panic!("the host's own"));
    assert!(own.join().is_err());
}
