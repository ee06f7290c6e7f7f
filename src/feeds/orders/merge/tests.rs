use std::collections::HashSet;

use super::super::event;
use super::*;
use crate::base::redact;
use kotak_neo_testing::dice::Dice;
use kotak_neo_testing::fixtures::sample;
use serde_json::{Value, json};

fn raw(value: &Value) -> Box<RawValue> {
    RawValue::from_string(value.to_string()).expect("it is JSON")
}

fn row(state: &str, filled: u64, stamp: Option<u64>) -> Value {
    let mut row = json!({"nOrdNo": "1", "ordSt": state, "fldQty": filled, "qty": 10});
    if let Some(stamp) = stamp {
        row["updRecvTm"] = stamp.into();
    }
    row
}

fn offer(merge: &mut Merge, state: &str, filled: u64, stamp: Option<u64>) -> Option<Step> {
    merge.order(&raw(&row(state, filled, stamp)), Origin::Live)
}

#[test]
fn drops_what_was_told_and_what_lies_behind() {
    for stamps in [true, false] {
        let mut merge = Merge::default();
        let mut tell = |state: &str, filled: u64, at: u64| {
            offer(&mut merge, state, filled, stamps.then_some(at))
                .map(|step| (step.previous, step.fill))
        };
        assert_eq!(tell("open pending", 0, 3), Some((None, 0)));
        assert_eq!(tell("validation pending", 0, 2), None);
        assert_eq!(tell("open", 0, 4), Some((Some("open_pending"), 0)));
        assert_eq!(tell("open", 0, 4), None);
        assert_eq!(tell("open", 4, 6), Some((Some("open"), 4)));
        assert_eq!(tell("open", 2, 5), None);
        assert_eq!(tell("modify pending", 4, 7), Some((Some("open"), 0)));
        assert_eq!(tell("complete", 10, 9), Some((Some("modify_pending"), 6)));
        assert_eq!(tell("open", 10, 8), None);
        assert_eq!(tell("complete", 10, 9), None);
    }
}

#[test]
fn a_modified_order_may_go_back_to_open() {
    let mut merge = Merge::default();
    assert!(offer(&mut merge, "open", 0, Some(1)).is_some());
    assert!(offer(&mut merge, "modify pending", 0, Some(2)).is_some());
    assert!(offer(&mut merge, "open", 0, Some(3)).is_some());
    // The same without times, told by another price.
    let mut merge = Merge::default();
    assert!(offer(&mut merge, "open", 0, None).is_some());
    assert!(offer(&mut merge, "modify pending", 0, None).is_some());
    let mut changed = row("open", 0, None);
    changed["prc"] = "9.40".into();
    assert!(merge.order(&raw(&changed), Origin::Live).is_some());
    changed["prc"] = "9.4".into();
    assert!(merge.order(&raw(&changed), Origin::Live).is_none());
}

#[test]
fn an_after_market_order_may_wait_before_or_after_its_checks() {
    let waits = "after market order req received";
    for stamps in [true, false] {
        for states in [["validation pending", waits], [waits, "validation pending"]] {
            let mut merge = Merge::default();
            let all = [
                "put order req received",
                states[0],
                states[1],
                "open pending",
            ];
            for (at, state) in (1..).zip(all) {
                let told = offer(&mut merge, state, 0, stamps.then_some(at));
                assert!(told.is_some(), "{state} of {states:?}");
            }
            assert_eq!(offer(&mut merge, waits, 0, stamps.then_some(3)), None);
        }
    }
}

#[test]
fn the_books_row_of_a_told_step_is_no_news() {
    let mut merge = Merge::default();
    assert!(offer(&mut merge, "open", 0, Some(5)).is_some());
    let mut book = row("open", 0, Some(6));
    book["prc"] = "9.39".into();
    assert!(merge.order(&raw(&book), Origin::Recovered).is_none());
    let book = row("complete", 10, Some(9));
    let step = merge
        .order(&raw(&book), Origin::Recovered)
        .expect("it is news");
    assert!(!step.skipped && step.fill == 10);
    let mut other = row("complete", 10, Some(9));
    other["nOrdNo"] = "2".into();
    let step = merge
        .order(&raw(&other), Origin::Recovered)
        .expect("it is new");
    assert!(step.skipped && step.previous.is_none());
}

#[test]
fn no_fill_is_lost_or_told_twice() {
    let trade =
        |id: &str, quantity: u64| raw(&json!({"nOrdNo": "1", "flId": id, "fldQty": quantity}));
    let mut merge = Merge::default();
    assert_eq!(
        offer(&mut merge, "open", 3, Some(1)).map(|step| step.fill),
        Some(3)
    );
    // Told by the order already, then half of one that was not.
    assert_eq!(merge.trade(&trade("a", 3)).map(|fill| fill.fill), Some(0));
    assert_eq!(merge.trade(&trade("b", 4)).map(|fill| fill.fill), Some(4));
    assert_eq!(merge.trade(&trade("b", 4)), None);
    let step = offer(&mut merge, "complete", 10, Some(2)).expect("it is news");
    assert_eq!(step.fill, 3);
    // The end came first, without a quantity; the fill comes late.
    let mut merge = Merge::default();
    let ended = raw(&json!({"nOrdNo": "1", "ordSt": "cancelled", "updRecvTm": 9}));
    assert!(merge.order(&ended, Origin::Live).is_some());
    let late = offer(&mut merge, "open", 4, Some(5)).expect("its fill is news");
    assert_eq!((late.fill, late.late, late.state), (4, true, "cancelled"));
    assert_eq!(offer(&mut merge, "open", 4, Some(5)), None);
    assert_eq!(offer(&mut merge, "cancelled", 2, Some(10)), None);
}

/// A row may know less of the fills than others did; that an order has ended
/// must be told all the same.
#[test]
fn the_end_of_an_order_is_told_whatever_its_row_says_of_fills() {
    for stamps in [true, false] {
        let mut merge = Merge::default();
        let mut tell =
            |state: &str, filled, at| offer(&mut merge, state, filled, stamps.then_some(at));
        assert!(tell("open", 4, 1).is_some());
        let end = tell("cancelled", 0, 2).expect("it has ended");
        assert_eq!((end.state, end.fill, end.late), ("cancelled", 0, false));
        assert_eq!(tell("cancelled", 0, 2), None);
        assert_eq!(tell("open", 4, 1), None);
        let full = tell("cancelled", 5, 3).expect("a fill is news");
        assert_eq!(full.fill, 1);
    }
}

/// What was told live before the first reading of the books is of today, too.
#[test]
fn an_order_that_the_first_books_do_not_show_yet_is_not_forgotten() {
    let mut merge = Merge::on(7);
    assert!(offer(&mut merge, "open", 4, Some(1)).is_some());
    assert!(!merge.enter(7));
    merge.forget_earlier_days();
    assert_eq!(offer(&mut merge, "open", 4, Some(1)), None);
}

/// Days follow each other in one process; few days' orders are kept, and none
/// of them is told twice.
#[test]
fn the_orders_of_earlier_days_are_forgotten_when_the_books_are_without_them() {
    let mut merge = Merge::default();
    let of = |number: &str, state: &str, filled: u64| {
        raw(&json!({"nOrdNo": number, "ordSt": state, "fldQty": filled}))
    };
    let trade = raw(&json!({"nOrdNo": "done", "flId": "a", "fldQty": 5}));
    let position = raw(&json!({"sym": "X", "flBuyQty": "5"}));
    assert!(merge.enter(1) && !merge.enter(1));
    assert!(
        merge
            .order(&of("done", "complete", 5), Origin::Live)
            .is_some()
    );
    assert!(merge.trade(&trade).is_some() && merge.position(&position));
    let amo = of("amo", "after market order req received", 0);
    assert!(merge.order(&amo, Origin::Live).is_some());
    merge.forget_earlier_days();
    assert_eq!(merge.orders(), 2);

    // Just after midnight the books may show all of it still.
    assert!(merge.enter(2));
    assert_eq!(merge.trade(&trade), None);
    assert_eq!(
        merge.order(&of("done", "complete", 5), Origin::Recovered),
        None
    );
    assert_eq!(merge.order(&amo, Origin::Recovered), None);
    merge.forget_earlier_days();
    assert_eq!((merge.orders(), merge.trades), (2, 1));
    assert!(merge.position(&position));

    // In the morning they do not, but for the order that waited.
    assert!(merge.enter(3));
    let step = merge.order(&of("amo", "open", 0), Origin::Recovered);
    assert_eq!(
        step.expect("it is news").previous,
        Some("after_market_order_req_received")
    );
    merge.forget_earlier_days();
    assert_eq!((merge.orders(), merge.trades), (2, 1));
    // A late row of the first day, live or in a book that is shown again, is
    // no news; what was not told of it is.
    for origin in [Origin::Live, Origin::Recovered] {
        assert_eq!(merge.order(&of("done", "complete", 5), origin), None);
        assert_eq!(merge.order(&of("done", "open", 4), origin), None);
    }
    assert_eq!(merge.trade(&trade), None);
    let more = merge.order(&of("done", "complete", 6), Origin::Live);
    assert_eq!(more.map(|step| step.fill), Some(1));

    // What has no row for a week is forgotten.
    assert!(merge.enter(3 + KEPT_DAYS));
    merge.forget_earlier_days();
    assert_eq!((merge.orders(), merge.trades), (2, 1));
    assert!(merge.enter(4 + KEPT_DAYS));
    merge.forget_earlier_days();
    assert_eq!((merge.orders(), merge.trades), (0, 0));
}

#[test]
fn a_position_of_yesterday_is_not_told_again() {
    let mut merge = Merge::on(1);
    let at = |time: &str| raw(&json!({"sym": "X", "flBuyQty": "5", "hsUpTm": time}));
    let yesterday = at("2026/02/16 12:29:31");
    assert!(merge.position(&yesterday) && !merge.position(&yesterday));
    assert!(merge.enter(2));
    assert!(!merge.position(&yesterday));
    assert!(merge.position(&at("2026/02/17 12:29:31")));
}

#[test]
fn what_is_kept_of_an_order_does_not_grow_with_its_fields() {
    let long = "x".repeat(1 << 20);
    let mut merge = Merge::default();
    let row = |price: &str| {
        let words = format!("{price}{long}");
        raw(&json!({"nOrdNo": "1", "ordSt": words, "prc": words, "qty": long}))
    };
    let step = merge.order(&row("1"), Origin::Live).expect("it is news");
    assert_eq!(step.words.map(|words| words.len()), Some(LONGEST_WORDS));
    assert_eq!(merge.order(&row("1"), Origin::Live), None);
    assert!(merge.order(&row("2"), Origin::Live).is_some());
    let unnamed = raw(&json!({"nOrdNo": long, "ordSt": "open", "fldQty": 1}));
    for _ in 0..2 {
        let step = merge.order(&unnamed, Origin::Live).expect("it is told");
        assert_eq!((step.order, step.state), (None, "open"));
    }
    assert_eq!(merge.trade(&unnamed), None);
    assert_eq!(merge.orders(), 1);
}

#[test]
fn rows_of_any_shape_are_survived() {
    let mut merge = Merge::default();
    for odd in [
        json!({}),
        json!({"nOrdNo": ""}),
        json!({"nOrdNo": null}),
        json!({"nOrdNo": []}),
        json!({"nOrdNo": "3", "fldQty": "-5", "updRecvTm": -1}),
        json!({"nOrdNo": 3, "ordSt": "new to us", "fldQty": u64::MAX}),
        json!({"nOrdNo": "3", "ordSt": {"a": 1}, "fldQty": 1e300}),
    ] {
        merge.order(&raw(&odd), Origin::Live);
        merge.trade(&raw(&odd));
        merge.position(&raw(&odd));
    }
    assert_eq!(merge.orders(), 1);
}

#[test]
fn a_repeated_position_is_told_once() {
    let mut merge = Merge::default();
    let position = |bought: &str| raw(&json!({"sym": "X", "prod": "NRML", "flBuyQty": bought}));
    assert!(merge.position(&position("1")));
    assert!(!merge.position(&position("1")));
    assert!(merge.position(&position("2")));
    assert!(merge.position(&position("1")));
}

/// What a caller adds up from the events.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    state: String,
    filled: u64,
    added: u64,
    phases: Vec<Phase>,
    stamp: u64,
}

/// A day of orders, told through a bad line: events are lost, doubled,
/// delayed and shuffled, and the books are read now and then. In the end all
/// is as the books say, and nothing was told twice or went back.
#[test]
fn whatever_the_delivery_the_end_is_what_the_books_say() {
    for seed in 0..400 {
        one_day(seed, seed % 2 == 0);
    }
}

fn one_day(seed: u64, stamped: bool) {
    let mut random = Dice::new(seed + 1);
    let mut clock = 1_000;
    let mut book: Vec<Value> = Vec::new();
    let mut trades: Vec<Value> = Vec::new();
    let mut line: Vec<Value> = Vec::new();
    let mut merge = Merge::default();
    let mut seen: HashMap<String, Seen> = HashMap::new();
    let mut told_trades = HashSet::new();
    for _ in 0..400 {
        clock += 1;
        // The broker's day goes on by one step.
        let at = random.below(book.len() + 1);
        if at == book.len() && book.len() < 12 {
            book.push(
                json!({"nOrdNo": format!("{seed}-{at}"), "ordSt": "put order req received",
                "fldQty": 0, "qty": 10, "prc": "10.00"}),
            );
        }
        let at = at.min(book.len() - 1);
        let row = &mut book[at];
        let before = row.clone();
        advance(row, &mut random, &mut trades, clock, stamped);
        if *row == before {
            continue;
        }
        if stamped {
            row["updRecvTm"] = clock.into();
        }
        // The line loses, doubles and keeps back.
        for _ in 0..[1, 1, 1, 0, 2][random.below(5)] {
            line.push(row.clone());
        }
        while !line.is_empty() && random.below(3) > 0 {
            let row = line.swap_remove(random.below(line.len()));
            take(&mut seen, &row, merge.order(&raw(&row), Origin::Live));
        }
        if random.below(40) == 0 {
            read_books(&mut merge, &book, &trades, &mut seen, &mut told_trades);
        }
    }
    read_books(&mut merge, &book, &trades, &mut seen, &mut told_trades);
    // What is still on its way comes after the books.
    for row in line.drain(..) {
        take(&mut seen, &row, merge.order(&raw(&row), Origin::Live));
    }
    read_books(&mut merge, &book, &trades, &mut seen, &mut told_trades);
    assert_eq!(seen.len(), book.len(), "seed {seed}");
    assert_eq!(told_trades.len(), trades.len(), "seed {seed}");
    for row in &book {
        let seen = &seen[row["nOrdNo"].as_str().expect("a number")];
        let state = words::find(row["ordSt"].as_str().expect("a state")).name;
        assert_eq!(seen.state, state, "seed {seed}: {row}");
        assert_eq!(
            Some(seen.filled),
            row["fldQty"].as_u64(),
            "seed {seed}: {row}"
        );
        assert_eq!(seen.added, seen.filled, "seed {seed}: {row}");
    }
}

/// Moves an order on by one step, as the broker would.
fn advance(row: &mut Value, random: &mut Dice, trades: &mut Vec<Value>, clock: u64, stamped: bool) {
    let state = row["ordSt"].as_str().expect("a state").to_owned();
    let filled = row["fldQty"].as_u64().expect("a quantity");
    let next = match state.as_str() {
        "put order req received" => "validation pending",
        "validation pending" if random.below(8) == 0 => "rejected",
        "validation pending" => "open pending",
        "open pending" => "open",
        // Without times a way back cannot be told from a late row.
        "open" if stamped && random.below(4) == 0 => "modify pending",
        "modify pending" => "open",
        "open" if random.below(6) == 0 => "cancelled",
        "open" => {
            let part = 1 + random.below(4) as u64;
            let part = part.min(10 - filled);
            trades.push(json!({"nOrdNo": row["nOrdNo"], "flId": format!("t{clock}"),
                "fldQty": part}));
            row["fldQty"] = (filled + part).into();
            if filled + part == 10 {
                "complete"
            } else {
                "open"
            }
        }
        ended => ended,
    };
    row["ordSt"] = next.into();
}

fn take(seen: &mut HashMap<String, Seen>, row: &Value, step: Option<Step>) {
    let Some(step) = step else { return };
    let number = step.order.expect("every row has a number");
    let seen = seen.entry(number).or_default();
    if !step.late {
        let filled = step.filled.expect("every row has a quantity");
        assert!(filled >= seen.filled, "{row}");
        assert!(
            (&seen.state, seen.filled) != (&step.state.to_owned(), filled),
            "twice: {row}"
        );
        let phase = words::find(row["ordSt"].as_str().expect("a state")).phase;
        assert!(
            seen.phases.last().is_none_or(|last| *last <= phase),
            "{row}"
        );
        seen.phases.push(phase);
        if let Some(stamp) = row["updRecvTm"].as_u64() {
            assert!(stamp > seen.stamp, "older than what was told: {row}");
            seen.stamp = stamp;
        }
        seen.filled = filled;
        step.state.clone_into(&mut seen.state);
    }
    seen.added += step.fill;
}

fn read_books(
    merge: &mut Merge,
    book: &[Value],
    trades: &[Value],
    seen: &mut HashMap<String, Seen>,
    told: &mut HashSet<String>,
) {
    for trade in trades {
        if let Some(fill) = merge.trade(&raw(trade)) {
            assert!(told.insert(fill.trade.expect("every trade has an id")));
            seen.entry(fill.order).or_default().added += fill.fill;
        }
    }
    for row in book {
        take(seen, row, merge.order(&raw(row), Origin::Recovered));
    }
}

/// The broker's row is passed on as it came; what is known of its reason stands beside.
#[test]
fn a_known_reason_of_a_rejection_has_a_hint() {
    let text = sample("orderfeed_order.rejected.live-2026-01");
    let wire::Message::Order(row) = wire::read(&text) else {
        panic!("an order");
    };
    let none = redact::Known::default();
    let mut merge = Merge::on(1);
    let step = merge.order(row, Origin::Live).expect("it is new");
    let told = event::order(&step, row, Origin::Live, &none);
    let told: serde_json::Value = serde_json::from_str(&format!("{{{told}}}")).expect("JSON");
    let hint = told["hint"].as_str().expect("a hint");
    assert!(hint.contains("no connection to this exchange"), "{hint}");
    let given: serde_json::Value = serde_json::from_str(row.get()).expect("JSON");
    assert_eq!(told["data"], given);
    assert_eq!(told["data"]["rejRsn"], "Adapter is Logged Off");
    for reason in ["--", "something new", ""] {
        let row = json!({"nOrdNo": reason, "ordSt": "rejected", "rejRsn": reason}).to_string();
        let row: &RawValue = serde_json::from_str(&row).expect("JSON");
        let step = merge.order(row, Origin::Live).expect("it is new");
        assert_eq!(step.hint, None, "{reason}");
        let told = event::order(&step, row, Origin::Live, &none);
        assert!(!told.contains("hint"), "{told}");
    }
}
