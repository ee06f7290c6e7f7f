//! Endurance: thousands of calls through the C ABI leave nothing behind, no
//! file descriptor, no memory, no handle, also when the broker misbehaves.
//!
//! The sandboxes run in processes of their own, so that what is measured is
//! the library's alone.
//!
//! `KNEO_SOAK_MINUTES` makes the same run last that long and print figures;
//! `.ci/soak` does it.
#![cfg(target_os = "linux")]

#[path = "parity/library.rs"]
mod library;

use std::env;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kotak_neo::ffi::library::kneo_live_handles;
use kotak_neo_sandbox::{Fault, FaultKind, Options, Sandbox};
use kotak_neo_testing::broker::{self, Broker};
use kotak_neo_testing::memory;
use kotak_neo_testing::orders::{order, with};
use kotak_neo_testing::pace::unpaced;
use serde_json::{Value, json};

use library::Library;

const THREADS: usize = 2;
/// Calls before the first measurement: caches and pools fill.
const WARM_UP: usize = 2_000;
const CALLS: usize = 10_000;
/// What memory may grow by between the two measurements.
const GROWTH_KIB: u64 = 1024;
const UNKNOWN_OUTCOME: i32 = 9;

/// Not a test of its own: the process that is a sandbox.
#[test]
fn broker() {
    if !broker::is_here() {
        return;
    }
    let sandbox = Sandbox::start(Options {
        record_limit: 0,
        orders_per_second: 0,
        quotes_per_second: 0,
        quotes_at_once: 0,
        candles_per_second: 0,
        cash_rupees: 2_000_000_000,
        ..Options::default()
    })
    .expect("the sandbox starts");
    let who = sandbox.credentials();
    broker::serve(|asked| match (asked.as_str(), asked["fault"].as_u64()) {
        (Some("who"), _) => json!({
            "mobile_number": who.mobile_number, "ucc": who.ucc, "mpin": who.mpin,
            "password": who.password,
        }),
        (Some("config"), _) => serde_json::from_str(&sandbox.config_json()).expect("it is JSON"),
        (Some("totp"), _) => json!(sandbox.totp_now()),
        (Some("mend"), _) => {
            sandbox.clear_faults();
            Value::Null
        }
        (Some("expire"), _) => {
            sandbox.expire_sessions();
            sandbox.expire_bearers();
            Value::Null
        }
        (_, Some(day)) => {
            for path in ["/login", "/quick/order/rule"] {
                let kind = fault(usize::try_from(day).expect("a day")).0;
                sandbox.set_fault(Fault {
                    path: path.to_owned(),
                    times: None,
                    kind,
                });
            }
            Value::Null
        }
        _ => panic!("unknown: {asked}"),
    });
}

/// What the process holds while no client is open.
#[derive(Debug)]
struct Held {
    descriptors: usize,
    memory_kib: u64,
    handles: i32,
}

impl Held {
    fn now() -> Self {
        Self {
            descriptors: fs::read_dir("/proc/self/fd")
                .expect("Linux shows it")
                .count(),
            memory_kib: memory::resident_kib(),
            handles: kneo_live_handles(),
        }
    }
}

#[test]
fn thousands_of_calls_leave_nothing_behind() {
    let minutes = env::var("KNEO_SOAK_MINUTES")
        .map(|text| text.parse::<u64>().expect("KNEO_SOAK_MINUTES is a number"));
    let brokers: Vec<Mutex<Broker>> = (0..THREADS).map(|_| Mutex::new(Broker::start())).collect();

    run(&brokers, |calls| calls < WARM_UP);
    let before = Held::now();
    match minutes {
        Err(_) => {
            run(&brokers, |calls| calls < CALLS);
        }
        Ok(minutes) => {
            println!("warm: {before:?}");
            let end = Instant::now() + Duration::from_secs(60 * minutes);
            let mut total = 0;
            while Instant::now() < end {
                let begin = Instant::now();
                let pause = end.min(begin + Duration::from_secs(10));
                let calls = run(&brokers, |_| Instant::now() < pause);
                total += calls;
                let rate = calls as f64 / begin.elapsed().as_secs_f64();
                println!("{total} calls, {rate:.0} a second, {:?}", Held::now());
            }
        }
    }
    let after = Held::now();
    assert_eq!(after.handles, 0, "handles that nobody freed");
    assert_eq!(
        after.descriptors, before.descriptors,
        "{before:?}, {after:?}"
    );
    assert!(
        after.memory_kib <= before.memory_kib + GROWTH_KIB,
        "memory grew: {before:?}, {after:?}"
    );
}

/// Plays days on all threads while `more` wants more than the calls made so
/// far, and gives their number.
fn run(brokers: &[Mutex<Broker>], more: impl Fn(usize) -> bool + Sync) -> usize {
    let calls = AtomicUsize::new(0);
    thread::scope(|scope| {
        for broker in brokers {
            scope.spawn(|| {
                let mut broker = broker.lock().expect("no day has failed");
                let mut day = 0;
                while more(calls.load(Ordering::Relaxed)) {
                    calls.fetch_add(play(&mut broker, day), Ordering::Relaxed);
                    day += 1;
                }
            });
        }
    });
    calls.into_inner()
}

/// One user's day on a client of its own; gives the number of calls.
fn play(broker: &mut Broker, day: usize) -> usize {
    let who = broker.ask(&json!("who"));
    let mut config = broker.ask(&json!("config"));
    config["max_orders_per_second"] = json!(1_000_000);
    let mut config = with(config, unpaced());
    // Short enough for the days that hang, long enough for a busy machine.
    config["timeouts"] = json!({"read": 3000});
    let mut library = Day {
        library: Library::open(&config),
        calls: 1,
    };
    let totp = json!({"mobile_number": who["mobile_number"], "ucc": who["ucc"], "totp": broker.ask(&json!("totp"))});
    let with = |key: &str, value: &str| {
        let mut changed = totp.clone();
        changed[key] = json!(value);
        changed
    };
    let mpin = json!({"mpin": who["mpin"]});

    for _ in 0..5 {
        library.expect("session_info", &json!({}), 0);
    }
    library.expect("totp_validate", &mpin, 3);
    library.expect("totp_login", &with("totp", "12 34"), 1);
    library.expect("totp_login", &with("ucc", "WRONG"), 5);
    library.expect("totp_login", &totp, 0);
    library.expect("totp_validate", &json!({"mpin": "000000"}), 5);
    library.expect("totp_validate", &mpin, 0);
    library.expect("session_export", &json!({}), 0);
    library.expect("whatsmyip", &json!({}), 0);

    for _ in 0..3 {
        let id = library.place();
        let change = json!({
            "order_id": id, "price": "8.65", "order_type": "L", "quantity": 2, "validity": "DAY",
        });
        library.expect("modify_order", &change, 0);
        library.expect("order_report", &json!({"order_id": id}), 0);
        library.expect("cancel_order", &json!({"order_id": id}), 0);
        let tokens = json!([{"exchange_segment": "nse_cm", "instrument_token": "14366"}]);
        library.expect("quotes", &json!({"instrument_tokens": tokens}), 0);
        library.expect("limits", &json!({}), 0);
    }

    let (_, statuses) = fault(day);
    broker.ask(&json!({"fault": day}));
    let status = library.call("whatsmyip", &json!({}));
    assert!(statuses.contains(&status), "day {day}: status {status}");
    // Whatever it is, an order tells the truth about it.
    let status = library.call("place_order", &one());
    let known = if statuses == [0] { 0 } else { UNKNOWN_OUTCOME };
    assert_eq!(status, known, "day {day}");
    broker.ask(&json!("mend"));

    library.expect("whatsmyip", &json!({}), 0);
    library.expect("logout", &json!({}), 0);
    library.expect("whatsmyip", &json!({}), 3);

    let password = json!({"mobile_number": who["mobile_number"], "password": who["password"]});
    library.expect("login", &password, 0);
    library.expect("session_2fa", &json!({"otp": who["mpin"]}), 0);
    library.expect("logout", &json!({}), 0);
    broker.ask(&json!("expire"));
    library.calls
}

/// An order of one.
fn one() -> Value {
    with(order(), json!({"quantity": 1, "timeout_ms": 3000}))
}

struct Day {
    library: Library,
    calls: usize,
}

impl Day {
    /// Places an order that stays open, and gives its number.
    fn place(&mut self) -> String {
        self.calls += 1;
        let outcome = self.library.call("place_order", &one());
        let number = outcome.json["nOrdNo"].as_str();
        number
            .unwrap_or_else(|| panic!("{}", outcome.json))
            .to_owned()
    }

    fn call(&mut self, name: &str, with: &Value) -> i32 {
        self.calls += 1;
        self.library.call(name, with).status
    }

    fn expect(&mut self, name: &str, with: &Value, status: i32) {
        self.calls += 1;
        let outcome = self.library.call(name, with);
        assert_eq!(outcome.status, status, "{name}: {}", outcome.json);
    }
}

/// A fault for this day, and the statuses that it may give.
fn fault(day: usize) -> (FaultKind, Vec<i32>) {
    const TIMEOUT: i32 = 7;
    const NETWORK: i32 = 8;
    const PROTOCOL: i32 = 10;
    const UNAVAILABLE: i32 = 11;
    let html = || FaultKind::Answer {
        status: 503,
        headers: vec![("content-type".to_owned(), "text/html".to_owned())],
        body: b"<html>503</html>".to_vec(),
    };
    match day % 8 {
        0 => (FaultKind::ResetBefore, vec![NETWORK]),
        1 => (FaultKind::ResetAfter, vec![NETWORK]),
        2 => (html(), vec![UNAVAILABLE]),
        3 => (FaultKind::CutJson, vec![PROTOCOL]),
        4 => (FaultKind::WrongContentLength, vec![NETWORK]),
        5 => (
            FaultKind::Redirect("https://evil.example/".to_owned()),
            vec![PROTOCOL],
        ),
        6 => (FaultKind::Slow { ms: 20 }, vec![0]),
        // Only now and then: it costs the whole deadline.
        _ if day % 40 == 7 => (FaultKind::Hang, vec![TIMEOUT]),
        _ => (FaultKind::Trickle { ms: 0 }, vec![0]),
    }
}
