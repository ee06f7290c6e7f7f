//! Reads at their pace, through the C ABI.

use std::ffi::CString;
use std::ptr;
use std::thread;
use std::time::Duration;

use kotak_neo::Status;
use kotak_neo::ffi::client::{
    kneo_client, kneo_client_free, kneo_client_interrupt, kneo_client_open,
};
use kotak_neo::ffi::reads::kneo_quotes;
use kotak_neo::ffi::response::{
    kneo_response, kneo_response_free, kneo_response_json, kneo_response_meta, kneo_response_status,
};
use kotak_neo_sandbox::{Fault, FaultKind, Options, Sandbox};

use crate::text;

/// A client as another thread may have it.
#[derive(Clone, Copy)]
struct Handle(*mut kneo_client);

// SAFETY: a handle is an id that any thread may use at any time.
unsafe impl Send for Handle {}

/// Status, JSON and meta of one call.
fn told(response: *mut kneo_response) -> (i32, String, String) {
    let told = (
        kneo_response_status(response),
        text(kneo_response_json(response)).to_owned(),
        text(kneo_response_meta(response)).to_owned(),
    );
    kneo_response_free(response);
    told
}

fn quote(client: Handle, timeout_ms: u32) -> (i32, String, String) {
    let params = format!(
        r#"{{"instrument_tokens":[{{"instrument_token":"11536","exchange_segment":"nse_cm"}}],
            "quote_type":"ltp","timeout_ms":{timeout_ms}}}"#
    );
    let params = CString::new(params).expect("no NUL in it");
    // SAFETY: the text lives until the call returns.
    told(unsafe { kneo_quotes(client.0, params.as_ptr()) })
}

#[test]
fn reads_wait_for_their_turn_until_they_are_ended() {
    let sandbox = Sandbox::start(Options::default()).expect("it starts on loopback");
    let config = CString::new(sandbox.config_json()).expect("no NUL in it");
    let mut client = ptr::null_mut();
    // SAFETY: the text lives until the call returns, `client` is writable.
    let opened = told(unsafe { kneo_client_open(config.as_ptr(), &raw mut client) });
    let most =
        r#""max_quotes_at_once":4,"max_reads_per_second":{"candles":2,"other":10,"quotes":25}"#;
    assert!(opened.1.contains(most), "{opened:?}");
    let client = Handle(client);
    let cells: Vec<_> = (0..30)
        .map(|_| thread::spawn(move || { client }.ask(60_000)))
        .collect();
    let mut waited = 0;
    for cell in cells {
        let (status, json, meta) = cell.join().expect("no panic");
        assert_eq!(status, Status::Ok.code(), "{json}");
        waited += usize::from(meta.contains("\"waited_ms\":"));
    }
    assert!(waited >= 5, "{waited}");
    let peak = sandbox.peak_of_quotes();
    assert!(peak.sliding_second <= 25, "{peak:?}");
    sandbox.set_fault(Fault {
        path: String::new(),
        times: Some(1),
        kind: FaultKind::Answer {
            status: 429,
            headers: vec![("retry-after".to_owned(), "60".to_owned())],
            body: Vec::new(),
        },
    });
    let (status, json, _) = quote(client, 60_000);
    assert_eq!(status, Status::RateLimited.code(), "{json}");
    assert!(json.contains(r#""retry_after_ms":60000"#), "{json}");
    let before = sandbox.requests().len();
    let (status, json, _) = quote(client, 50);
    assert_eq!(status, Status::RateLimited.code(), "{json}");
    assert!(
        json.contains(r#""sent":false,"safe_to_repeat":true"#),
        "{json}"
    );
    for end in [kneo_client_interrupt, kneo_client_free] {
        let waits = thread::spawn(move || { client }.ask(600_000));
        while !waits.is_finished() {
            thread::sleep(Duration::from_millis(50));
            end(client.0);
        }
        let (status, json, _) = waits.join().expect("no panic");
        assert_eq!(status, Status::Closed.code(), "{json}");
    }
    assert_eq!(sandbox.requests().len(), before);
}

impl Handle {
    /// A call of another thread: the whole handle goes there, not the pointer in it.
    fn ask(self, timeout_ms: u32) -> (i32, String, String) {
        quote(self, timeout_ms)
    }
}
