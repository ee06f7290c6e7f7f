//! How many reads of each class come to the broker in a second and at once, what a 429 keeps
//! back, and what never waits.

use std::thread;
use std::time::{Duration, Instant, SystemTime};

use kotak_neo::{Client, Error, Reply, Status};
use kotak_neo_sandbox::{Fault, FaultKind, Options, Sandbox};
use kotak_neo_testing::pace::unpaced;
use serde_json::{Value, json};

use crate::orders::{meta, number, order, outcome, place, placed, unlimited, with};
use crate::support::{fault, log_in, sandbox, start, status, told};

const QUOTES: &str = "/script-details/1.0/quotes/neosymbol";
const CANDLES: &str = "/market-data/1.0/historical/details";
const POSITIONS: &str = "/portfolio/v2/positions";
const BOOK: &str = "/quick/user/orders";
const PATIENCE: Duration = Duration::from_secs(60);

/// A client with the usual pace, but for what is given.
fn client_with(sandbox: &Sandbox, more: Value) -> Client {
    let usual = json!({"max_reads_per_second": null, "max_quotes_at_once": null});
    crate::support::client_with(sandbox, &with(usual, more))
}

fn client(sandbox: &Sandbox) -> Client {
    client_with(sandbox, json!({}))
}

fn trader(sandbox: &Sandbox, more: Value) -> Client {
    let client = client_with(sandbox, more);
    log_in(sandbox, &client).expect("the login works");
    sandbox.clear_requests();
    client
}

fn quote(client: &Client, more: Value) -> Result<Reply, Error> {
    let wanted = json!({"instrument_tokens": [
        {"instrument_token": "11536", "exchange_segment": "nse_cm"}], "quote_type": "ltp"});
    client.quotes(&with(wanted, more).to_string())
}

fn candles(client: &Client, more: Value) -> Result<Reply, Error> {
    let wanted = json!({"neosymbol": "nse_cm|1333", "interval": "D",
        "from_date": "2026-07-01", "to_date": "2026-07-31"});
    client.historical_data(&with(wanted, more).to_string())
}

fn positions(client: &Client, more: Value) -> Result<Reply, Error> {
    client.call("positions", Some(&more.to_string()))
}

/// A call that is not sent, since its turn does not come in time.
fn limited(result: Result<Reply, Error>) -> Error {
    let error = result.expect_err("its turn does not come in time");
    assert_eq!(error.status(), Status::RateLimited, "{error:?}");
    assert_eq!(told(&error, "sent"), json!(false), "{error:?}");
    assert_eq!(told(&error, "safe_to_repeat"), json!(true), "{error:?}");
    assert!(told(&error, "retry_after_ms").is_u64(), "{error:?}");
    error
}

/// An answer of the broker that keeps back what has this path, once.
fn once_too_many(sandbox: &Sandbox, path: &str, retry_after: &str) {
    sandbox.set_fault(Fault {
        path: path.to_owned(),
        times: Some(1),
        kind: FaultKind::Answer {
            status: 429,
            headers: vec![("retry-after".to_owned(), retry_after.to_owned())],
            body: Vec::new(),
        },
    });
}

fn seconds(retry_after: &Value) -> f64 {
    retry_after.as_f64().expect("a number of milliseconds") / 1000.0
}

#[test]
fn a_sheet_of_cells_earns_no_429() {
    let sandbox = sandbox();
    let client = &client(&sandbox);
    // So that more than four would be under way at once.
    fault(&sandbox, QUOTES, FaultKind::Slow { ms: 20 });
    let answers: Vec<Reply> = thread::scope(|scope| {
        let cells = (0..60).map(|_| scope.spawn(|| quote(client, json!({"timeout_ms": 60_000}))));
        let cells: Vec<_> = cells.collect();
        let ends = cells.into_iter().map(|cell| cell.join().expect("no panic"));
        ends.map(|end| end.expect("a quote")).collect()
    });
    let peak = sandbox.peak_of_quotes();
    assert!(peak.sliding_second <= 25, "{peak:?}");
    assert!(sandbox.most_quotes_at_once() <= 4);
    let waited = |reply: &&Reply| meta(reply, "waited_ms").as_f64().is_some_and(|ms| ms > 0.0);
    let some = answers.iter().filter(waited).count();
    // Four begin at once; who does not wait says nothing of it.
    assert!((35..=56).contains(&some), "{some}");
    assert_eq!(sandbox.requests().len(), 60);
}

#[test]
fn ten_candles_in_a_row_earn_no_429() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    for _ in 0..10 {
        candles(&client, json!({})).expect("candles");
    }
    let peak = sandbox.peak_of_candles();
    assert!(peak.sliding_second <= 2, "{peak:?}");
}

#[test]
fn books_come_at_their_pace_and_share_it_with_all_other_reads() {
    let sandbox = start(Options {
        reads_per_second: 10,
        ..Options::default()
    });
    let client = &client(&sandbox);
    log_in(&sandbox, client).expect("the login works");
    thread::scope(|scope| {
        for at in 0..24 {
            scope.spawn(move || {
                let done = match at % 4 {
                    0 => positions(client, json!({})),
                    1 => client.order_report(None),
                    2 => client.limits(None),
                    _ => client.scrip_master(None),
                };
                done.expect("it is read");
            });
        }
    });
    let peak = sandbox.peak_of_reads();
    assert!(peak.sliding_second <= 10, "{peak:?}");
}

/// What the limits are for: without them the broker refuses.
#[test]
fn a_429_without_a_time_holds_its_class_for_a_second() {
    let sandbox = sandbox();
    let client = client_with(&sandbox, unpaced());
    let start = Instant::now();
    let error = (0..100)
        .find_map(|_| candles(&client, json!({})).err())
        .expect("the broker refuses the sixth of a second");
    assert_eq!(error.status(), Status::RateLimited, "{error:?}");
    let of = |key| told(&error, key);
    assert_eq!((of("sent"), of("http_status")), (json!(true), json!(429)));
    assert_eq!(of("retry_after_ms"), 1000);
    let reply = candles(&client, json!({})).expect("it waits");
    assert!(meta(&reply, "waited_ms").is_f64() || start.elapsed() > Duration::from_secs(1));
    assert!(start.elapsed() >= Duration::from_secs(1));
}

#[test]
fn what_a_429_says_is_obeyed_by_its_class_alone() {
    let later = |seconds| httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(seconds));
    for (is_date, least) in [(false, 3.0), (true, 3.5)] {
        let told_to = match is_date {
            false => "3".to_owned(),
            true => later(5),
        };
        let sandbox = sandbox();
        let client = client(&sandbox);
        once_too_many(&sandbox, QUOTES, &told_to);
        let start = Instant::now();
        let error = quote(&client, json!({})).expect_err("the broker refuses it");
        let wait = seconds(&told(&error, "retry_after_ms"));
        assert!((least..=6.0).contains(&wait), "{error:?}");
        // Who has no time for that is told at once, and nothing is sent.
        let hasty = limited(quote(&client, json!({"timeout_ms": 100})));
        let class = "holds quotes, expiries and chains back";
        assert!(hasty.message().contains(class), "{hasty}");
        assert!(seconds(&told(&hasty, "retry_after_ms")) <= wait);
        assert_eq!(sandbox.requests().len(), 1);
        // Candles are another class.
        let reply = candles(&client, json!({})).expect("candles");
        assert_eq!(meta(&reply, "waited_ms"), Value::Null);
        // Who has, waits.
        let reply = quote(&client, json!({})).expect("a quote");
        let waited = seconds(&meta(&reply, "waited_ms"));
        assert!(waited <= wait, "{waited}");
        assert!(start.elapsed().as_secs_f64() >= wait, "{told_to}");
    }
}

/// A word too large does not end the reading for a day.
#[test]
fn at_most_a_minute_is_held_back() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    once_too_many(&sandbox, QUOTES, "86400");
    let error = quote(&client, json!({})).expect_err("the broker refuses it");
    assert_eq!(told(&error, "retry_after_ms"), 86_400_000);
    let error = limited(quote(&client, json!({"timeout_ms": 100})));
    let wait = seconds(&told(&error, "retry_after_ms"));
    assert!((1.0..=60.0).contains(&wait), "{wait}");
}

#[test]
fn one_that_waits_is_ended_by_interrupt_cancel_and_close() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    once_too_many(&sandbox, QUOTES, "60");
    quote(&client, json!({})).expect_err("the broker refuses it");
    let end = |how: &str| match how {
        "interrupted" => client.interrupt(),
        "cancelled" => drop(client.cancel("it").expect("it is open")),
        _ => client.close(),
    };
    for how in ["interrupted", "cancelled", "closed"] {
        let patient = json!({"timeout_ms": 600_000, "call_id": "it"});
        let ended = thread::scope(|scope| {
            let waits = scope.spawn(|| quote(&client, patient));
            while !waits.is_finished() {
                // It may not have begun.
                thread::sleep(Duration::from_millis(50));
                end(how);
            }
            waits.join().expect("no panic")
        });
        let error = ended.expect_err(how);
        assert_eq!(error.status(), Status::Closed, "{how}: {error:?}");
        assert_eq!(told(&error, "sent"), json!(false), "{how}");
        // A cancel that came after the end waits for the next call of this name.
        drop(quote(&client, json!({"timeout_ms": 1, "call_id": "it"})));
    }
    assert_eq!(sandbox.requests().len(), 1);
}

#[test]
fn clients_of_one_account_share_its_turns() {
    let sandbox = sandbox();
    let few = json!({"max_reads_per_second": {"candles": 1, "other": 1, "quotes": 1}});
    let one = &trader(&sandbox, few.clone());
    let two = trader(&sandbox, few.clone());
    sandbox.clear_requests();
    type Read = fn(&Client, Value) -> Result<Reply, Error>;
    let reads = [
        (QUOTES, quote as Read),
        (CANDLES, candles),
        (POSITIONS, positions),
    ];
    for (path, read) in reads {
        fault(&sandbox, path, FaultKind::Hang);
        thread::scope(|scope| {
            let hangs = scope.spawn(|| read(one, json!({"timeout_ms": 60_000})));
            let seen = sandbox.wait_for_requests(1, PATIENCE);
            assert_eq!(seen.len(), 1);
            limited(read(&two, json!({"timeout_ms": 50})));
            // One that may send more may.
            let more = client(&sandbox);
            if path != POSITIONS {
                sandbox.clear_faults();
                read(&more, json!({})).expect("it has turns left");
            }
            // So may another application.
            let other = client_with(&sandbox, with(few.clone(), json!({"consumer_key": "fake"})));
            let refused = status(&read(&other, json!({})));
            assert_ne!(refused, Status::RateLimited);
            one.interrupt();
            let ended = status(&hangs.join().expect("no panic"));
            assert_eq!(ended, Status::Closed);
        });
        sandbox.clear_faults();
        // It gives its turn back.
        read(&two, json!({})).expect("its turn comes");
        sandbox.clear_requests();
    }
}

/// Neither those that read nor what a 429 says keep an order back, nor what it has to read
/// first; nor a login.
#[test]
fn orders_and_logins_never_wait_for_reads() {
    let sandbox = unlimited();
    let client = trader(&sandbox, json!({}));
    let mut switches = sandbox.switches();
    switches.market_open = false;
    sandbox.set_switches(switches);
    let amo = with(order(), json!({"amo": "YES"}));
    let id = number(&place(&client, &amo).expect("taken"));
    for path in [QUOTES, CANDLES, BOOK] {
        once_too_many(&sandbox, path, "60");
    }
    quote(&client, json!({})).expect_err("the broker refuses it");
    candles(&client, json!({})).expect_err("the broker refuses it");
    client
        .order_report(None)
        .expect_err("the broker refuses it");
    limited(positions(&client, json!({"timeout_ms": 1000})));
    let cancel = json!({"order_id": id, "amo": "YES"}).to_string();
    for reply in [place(&client, &amo), client.cancel_order(&cancel)] {
        let reply = reply.expect("it is taken");
        assert_eq!(meta(&reply, "waited_ms"), Value::Null);
    }
    let reply = log_in(&sandbox, &client).expect("the login works");
    assert_eq!(meta(&reply, "waited_ms"), Value::Null);
    limited(positions(&client, json!({"timeout_ms": 1000})));
}

/// The book that an order needs is not delayed, but those that read wait for it.
#[test]
fn what_an_order_reads_is_counted() {
    let sandbox = unlimited();
    // Where the segment counts, a modification looks it up.
    let few = json!({"max_reads_per_second": {"other": 1}, "allowed_segments": ["nse_cm"]});
    let client = &trader(&sandbox, few);
    fault(&sandbox, BOOK, FaultKind::Hang);
    thread::scope(|scope| {
        let modify = json!({"order_id": "1", "price": "1", "order_type": "L", "quantity": 1,
                            "validity": "DAY", "timeout_ms": 60_000});
        let modify = modify.to_string();
        let hangs = scope.spawn(move || client.modify_order(&modify));
        let seen = sandbox.wait_for_requests(1, PATIENCE);
        assert_eq!(seen.len(), 1);
        limited(positions(client, json!({"timeout_ms": 50})));
        client.interrupt();
        let ended = status(&hangs.join().expect("no panic"));
        assert_eq!(ended, Status::Closed);
    });
}

/// One turn in ten is kept for those that settle an order.
#[test]
fn an_outcome_is_read_while_all_others_wait() {
    let sandbox = unlimited();
    let client = &trader(&sandbox, json!({}));
    placed(client);
    let tag = sandbox.orders()[0].tag.clone();
    sandbox.clear_requests();
    fault(&sandbox, POSITIONS, FaultKind::Hang);
    thread::scope(|scope| {
        for _ in 0..9 {
            scope.spawn(|| positions(client, json!({"timeout_ms": 60_000})));
        }
        let seen = sandbox.wait_for_requests(9, PATIENCE);
        assert_eq!(seen.len(), 9);
        limited(positions(client, json!({"timeout_ms": 50})));
        let found = outcome(client, json!({ "tag": tag }));
        assert_eq!(found["outcome"], "placed", "{found}");
        client.interrupt();
    });
}

/// A read is sent once more only at its turn; if there is none, the call says what happened.
#[test]
fn the_second_sending_takes_a_turn_too() {
    let sandbox = sandbox();
    let few = json!({"max_reads_per_second": {"quotes": 1}});
    let client = client_with(&sandbox, few);
    let broken = || {
        sandbox.set_fault(Fault {
            path: QUOTES.to_owned(),
            times: Some(1),
            kind: FaultKind::ResetAfter,
        });
    };
    broken();
    let error = quote(&client, json!({"timeout_ms": 400})).expect_err("there is no time");
    assert_eq!(error.status(), Status::Network, "{error:?}");
    assert_eq!(told(&error, "sent"), json!(true));
    broken();
    let reply = quote(&client, json!({})).expect("the second time");
    assert!(meta(&reply, "waited_ms").is_f64(), "{}", reply.meta());
    let peak = sandbox.peak_of_quotes();
    assert_eq!(peak.sliding_second, 1, "{peak:?}");
    assert_eq!(sandbox.requests().len(), 3);
}
