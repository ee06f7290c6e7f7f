//! Order instructions: what is taken, what is refused and how, what becomes of an order.

use std::net::Ipv4Addr;

use kotak_neo_sandbox::{Fault, FaultKind, Options, OrderRefusal, Rejection, Sandbox, Switches};
use serde_json::{Value, json};

use crate::client::Ask;
use crate::fixtures::{assert_same_shape, sample};
use crate::trader::{CANCEL, HISTORY, MODIFY, PLACE, Trader, form, order, with};
use crate::v3;

fn switch(trader: &Trader, change: impl FnOnce(&mut Switches)) {
    let mut switches = trader.sandbox.switches();
    change(&mut switches);
    trader.sandbox.set_switches(switches);
}

#[test]
fn acknowledges_with_a_dated_number_of_digits() {
    let trader = Trader::start();
    let answer = trader.post(PLACE, &order(&json!({}))).expect(200);
    assert_same_shape(&answer, "place_order.ok.json");
    let number = answer["nOrdNo"].as_str().unwrap();
    assert_eq!(number.len(), 15);
    assert!(number.bytes().all(|byte| byte.is_ascii_digit()));
    assert_eq!(trader.sandbox.orders_taken(), 1);
    let answer = trader.modify(number, &json!({"pr": "9.38"})).expect(200);
    assert_same_shape(&answer, "modify_order.ok.json");
    assert_eq!(answer["nOrdNo"], number);
    let answer = trader.cancel(number).expect(200);
    assert_same_shape(&answer, "cancel_order.ok.json");
    assert_eq!(trader.sandbox.modifications_taken(), 1);
    assert_eq!(trader.sandbox.cancellations_taken(), 1);
    let order = trader.order(number);
    assert_eq!(
        (&*order.price, &*order.status, order.cancelled),
        ("9.38", "cancelled", 1)
    );
    assert_eq!(
        order.states,
        [
            "put order req received",
            "validation pending",
            "open pending",
            "open",
            "modify validation pending",
            "modify pending",
            "open",
            "cancel pending",
            "cancelled"
        ]
    );
}

#[test]
fn every_documented_request_is_understood() {
    let trader = Trader::start();
    trader.sandbox.set_price("nse_cm", "ITBEES-EQ", "39.36");
    trader
        .post(PLACE, &sample("place_order.request-limit.json"))
        .expect(200);
    trader
        .post(PLACE, &sample("place_order.request-broker-doc.json"))
        .expect(200);
    let body = with(
        sample("place_order.request-sl-tag-amo.json"),
        &json!({"ts": future(&trader.sandbox)}),
    );
    trader.post(PLACE, &body).expect(200);
    let taken = trader.sandbox.orders().pop().unwrap();
    assert_eq!((&*taken.tag, taken.amo), ("strategy-a-0001", true));
    let body = with(
        sample("order_history.request.json"),
        &json!({"nOrdNo": taken.number}),
    );
    let history = trader.post(HISTORY, &body).expect(200);
    assert_eq!(history["data"][0]["ordGenTp"], "AMO");
    // The broker's example of a modification names what it must not change.
    let number = trader.place(&json!({"ts": "TATAPOWER-EQ", "pc": "NRML", "pr": "190"}));
    let body = with(
        sample("modify_order.request-broker-doc.json"),
        &json!({"no": number}),
    );
    trader.post(MODIFY, &body).expect(200);
    let number = trader.place(&json!({"pc": "NRML", "pr": "9.20"}));
    let body = with(
        sample("modify_order.request-v2.json"),
        &json!({"no": number, "pr": "9.30"}),
    );
    trader.post(MODIFY, &body).expect(200);
    assert_eq!(trader.order(&number).price, "9.30");
    for (key, value) in [
        ("es", "bse_cm"),
        ("ts", "TCS-EQ"),
        ("tt", "S"),
        ("pc", "MIS"),
        ("tk", "1"),
    ] {
        let other = with(body.clone(), &json!({key: value}));
        let refusal = trader.post(MODIFY, &other).expect(400);
        assert_eq!(refusal["stCode"], 1002, "{key}");
    }
}

#[test]
fn unreadable_bodies_are_refused() {
    let trader = Trader::start();
    let good = trader.signed(form(PLACE, &order(&json!({}))));
    let invalid = sample("place_order.error-1007-body-invalid.json");
    let bodies = [
        "",
        "jData=",
        "jData=%7B",
        "jData=[]",
        "jData={\"a\":1}&x=1",
        "data={}",
        "{}",
        "jData={\"qt\":1}",
        "jData={}&jData={}",
    ];
    for body in bodies {
        // A number instead of a text is found where it is read.
        let refusal = good.clone().body(body).reply(&trader.sandbox).expect(400);
        if body == "jData={\"qt\":1}" {
            assert_eq!(refusal["stCode"], 1002);
        } else {
            assert_eq!(refusal, invalid, "{body}");
        }
    }
    let number = order(&json!({"qt": 1}));
    assert_eq!(trader.post(PLACE, &number).expect(400), invalid);
    let json_type = good.with("content-type", "application/json");
    json_type.reply(&trader.sandbox).expect(400);
    assert_eq!(trader.sandbox.orders_taken(), 0);
}

#[test]
fn wrong_values_are_refused_and_nothing_is_taken() {
    let trader = Trader::start();
    let code = |changes: Value| {
        let refusal = trader.post(PLACE, &order(&changes)).expect(400);
        assert_eq!(refusal["stat"], "Not_Ok");
        refusal["stCode"].as_u64().unwrap()
    };
    for key in ["am", "dq", "es", "mp", "pc", "pt", "rt", "tp", "ts", "tt"] {
        for value in [json!("(out)"), json!(null), json!(""), json!(" ")] {
            assert_eq!(code(json!({ key: value })), 1002, "{key} {value}");
        }
    }
    for (key, value) in [
        ("am", "yes"),
        ("dq", "-1"),
        ("es", "NSE"),
        ("es", "nse_com"),
        ("pc", "cnc"),
        ("pc", "BO"),
        ("pc", "CO"),
        ("pt", "Limit"),
        ("rt", "GTC"),
        ("tt", "Buy"),
        ("pr", "-1"),
        ("pr", "nan"),
        ("pr", "1e1"),
        ("pr", "9,39"),
        ("tp", "x"),
    ] {
        assert_eq!(code(json!({ key: value })), 1002, "{key} {value}");
    }
    for (key, value) in [
        ("qt", "0"),
        ("qt", "-1"),
        ("qt", "1.5"),
        ("qt", ""),
        ("pr", ""),
        ("qt", "100000000"),
    ] {
        assert_eq!(code(json!({ key: value })), 1009, "{key} {value}");
    }
    for symbol in ["IDEA", "idea-EQ", "NIFTY", "Nifty 50"] {
        let refusal = trader
            .post(PLACE, &order(&json!({"ts": symbol})))
            .expect(400);
        assert_eq!(
            refusal,
            sample("market_data.error-1009-invalid-instrument.json")
        );
    }
    for kind in ["SL", "SL-M"] {
        assert_eq!(code(json!({"pt": kind})), 1002);
    }
    let mcx = json!({"es": "mcx_fo", "ts": "GOLDM", "pc": "NRML", "rt": "IOC"});
    assert_eq!(code(mcx), 1002);
    assert_eq!(trader.sandbox.orders_taken(), 0);
}

#[test]
fn either_header_set_is_accepted_and_wrong_ones_are_not() {
    let trader = Trader::start();
    let signed = trader.signed(form(PLACE, &order(&json!({}))));
    let status = |ask: Ask| ask.reply(&trader.sandbox).status.as_u16();
    assert_eq!(status(signed.clone()), 200);
    // The broker's documents: neo-fin-key, no key.
    let documented = signed
        .clone()
        .without("authorization")
        .with("neo-fin-key", "neotradeapi");
    assert_eq!(status(documented.clone()), 200);
    assert_eq!(
        status(signed.clone().with("neo-fin-key", "neotradeapi")),
        200
    );
    for (ask, expected) in [
        (documented.clone().without("neo-fin-key"), 400),
        (documented.with("neo-fin-key", "other"), 401),
        (signed.clone().with("authorization", "other"), 401),
        (signed.clone().without("auth"), 400),
        (signed.clone().without("sid"), 400),
        (signed.clone().with("sid", "other"), 403),
        (signed.clone().with("auth", "other"), 403),
    ] {
        assert_eq!(status(ask), expected);
    }
    // A view token cannot trade.
    let view = v3::view(&trader.sandbox);
    let of = |key: &str| view["data"][key].as_str().unwrap().to_owned();
    let viewer = signed
        .clone()
        .with("auth", of("token"))
        .with("sid", of("sid"));
    assert_eq!(
        viewer.reply(&trader.sandbox).expect(403),
        sample("error-invalid-session-1003.json")
    );
    trader.sandbox.expire_sessions();
    assert_eq!(status(signed), 403);
    assert_eq!(trader.sandbox.orders_taken(), 3);
}

#[test]
fn a_tag_is_good_once() {
    let trader = Trader::start();
    let tagged = order(&json!({"ig": "one"}));
    trader.post(PLACE, &tagged).expect(200);
    assert_eq!(
        trader.post(PLACE, &tagged).expect(200),
        sample("place_order.error-32-core.json")
    );
    switch(&trader, |switches| switches.duplicate_tag_5204 = true);
    let refusal = trader.post(PLACE, &tagged).expect(200);
    assert_same_shape(&refusal, "place_order.error-5204-duplicate-tag.json");
    assert_eq!(refusal["stCode"], 5204);
    // A rejected order has used its tag; a refused one has not.
    trader.place(&json!({"ig": "two", "pr": "1"}));
    assert_eq!(
        trader
            .post(PLACE, &order(&json!({"ig": "two"})))
            .expect(200)["stCode"],
        5204
    );
    trader
        .post(PLACE, &order(&json!({"ig": "three", "qt": "0"})))
        .expect(400);
    trader.place(&json!({"ig": "three"}));
    assert_eq!(trader.sandbox.orders_taken(), 3);
    let tags: Vec<String> = trader
        .sandbox
        .orders()
        .into_iter()
        .map(|order| order.tag)
        .collect();
    assert_eq!(tags, ["one", "two", "three"]);
}

/// Seen live: it is made of the UCC and a UUID, and is each order's own.
#[test]
fn an_order_without_a_tag_gets_one_of_the_broker() {
    let trader = Trader::start();
    let ucc = &trader.sandbox.credentials().ucc;
    let tags: Vec<String> = [json!({}), json!({"ig": null}), json!({"ig": ""})]
        .iter()
        .map(|without| trader.order(&trader.place(without)).tag)
        .collect();
    for (at, tag) in tags.iter().enumerate() {
        let rest = tag.strip_prefix(&format!("{ucc}-"));
        let rest = rest.unwrap_or_else(|| panic!("{tag} does not begin with the UCC"));
        let lengths: Vec<usize> = rest.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{tag}");
        assert!(!tags[..at].contains(tag), "{tag} stands twice");
    }
}

#[test]
fn the_broker_may_rewrite_tags() {
    let trader = Trader::start();
    let number = trader.place(&json!({"ig": "mine", "pr": "9.30"}));
    trader.modify(&number, &json!({"pr": "9.31"})).expect(200);
    assert_eq!(trader.order(&number).tag, "mine");
    switch(&trader, |switches| switches.rewrite_tags = true);
    trader.modify(&number, &json!({"pr": "9.32"})).expect(200);
    let tag = trader.order(&number).tag;
    assert!(!tag.is_empty() && tag != "mine");
}

#[test]
fn finished_and_unknown_orders_cannot_be_changed() {
    let trader = Trader::start();
    let done = trader.place(&json!({"pr": "9.40"}));
    assert_eq!(trader.order(&done).status, "complete");
    let finished = sample("modify_order.error-1021-complete.json");
    assert_eq!(trader.modify(&done, &json!({})).expect(200), finished);
    assert_eq!(trader.cancel(&done).expect(200), finished);
    switch(&trader, |switches| switches.finished_1006 = true);
    assert_eq!(
        trader.modify(&done, &json!({})).expect(400),
        sample("modify_order.error-1006-executed.json")
    );
    let not_found = sample("cancel_order.error-1006.json");
    assert_eq!(trader.cancel(&done).expect(400), not_found);
    assert_eq!(trader.cancel("1").expect(400), not_found);
    assert_eq!(trader.modify("1", &json!({})).expect(400), not_found);
    assert_eq!(trader.sandbox.modifications_taken(), 0);
    assert_eq!(trader.sandbox.cancellations_taken(), 0);
    let mut bodies = vec![
        json!({"am": "NO"}),
        json!({"on": done}),
        json!({"on": "", "am": "NO"}),
    ];
    for body in bodies.drain(..) {
        assert_eq!(trader.post(CANCEL, &body).expect(400)["stCode"], 1002);
    }
}

#[test]
fn refusals_can_be_switched_on() {
    let trader = Trader::start();
    for (refusal, status, name) in [
        (
            OrderRefusal::InsufficientBalance,
            400,
            "place_order.error-1004-insufficient.json",
        ),
        (
            OrderRefusal::AlgoNotAllowed,
            400,
            "place_order.error-1017-algo.json",
        ),
        (
            OrderRefusal::SessionAddress,
            401,
            "place_order.error-1037-session-ip.json",
        ),
        (
            OrderRefusal::Unauthorized,
            401,
            "place_order.error-100008-ip.json",
        ),
        (
            OrderRefusal::AccessType,
            400,
            "place_order.error-100021-access-type.json",
        ),
    ] {
        switch(&trader, |switches| switches.refuse_orders = Some(refusal));
        let body = sample(name);
        assert_eq!(trader.post(PLACE, &order(&json!({}))).expect(status), body);
        assert_eq!(trader.modify("1", &json!({})).expect(status), body);
        assert_eq!(trader.cancel("1").expect(status), body);
    }
    switch(&trader, |switches| switches.refuse_orders = None);
    switch(&trader, |switches| {
        switches.allowed_addresses = Some(vec![[10, 0, 0, 1].into()])
    });
    assert_eq!(
        trader.post(PLACE, &order(&json!({}))).expect(401),
        sample("place_order.error-100008-ip.json")
    );
    // Reports are not checked.
    trader.get(crate::trader::HOLDINGS).expect(200);
    switch(&trader, |switches| {
        switches.allowed_addresses = Some(vec![Ipv4Addr::LOCALHOST.into()]);
    });
    trader.place(&json!({}));
}

#[test]
fn ten_instructions_a_second_then_429() {
    let trader = Trader::start_with(Options::default());
    let mut refused = 0;
    // However slow the machine is, some of a quick hundred come within one second.
    let mut client = crate::client::Client::open(&trader.sandbox, false).unwrap();
    let ask = trader.signed(form(PLACE, &order(&json!({}))));
    for _ in 0..100 {
        let reply = client.send(&ask).unwrap();
        if reply.status == 429 {
            refused += 1;
            for (name, value) in [
                ("retry-after", "1"),
                ("x-ratelimit-limit", "10"),
                ("x-ratelimit-remaining", "0"),
            ] {
                assert_eq!(reply.headers[name], value);
            }
            assert_eq!(reply.json()["stCode"], 429);
        } else {
            reply.expect(200);
        }
    }
    assert_eq!(trader.sandbox.orders_taken(), 100 - refused);
    // What was refused came all the same.
    let peak = trader.sandbox.peak();
    assert!(peak.sliding_second > 10, "{peak:?}");
    assert!(
        (1..=peak.sliding_second).contains(&peak.clock_second),
        "{peak:?}"
    );
    assert!(refused > 0);
}

#[test]
fn rms_rejects_after_the_acknowledgement() {
    let trader = Trader::start();
    for (changes, word) in [
        (
            json!({"pr": "9.395"}),
            "16283: Order price is not a multiple of tick size",
        ),
        (json!({"pr": "20"}), "circuit limit"),
        // A limit of 0 becomes 1 rupee, which is out of the band here.
        (json!({"pr": "0"}), "circuit limit"),
        (json!({"qt": "99999999"}), "Margin Exceeds"),
        (json!({"tt": "S", "qt": "36"}), "holdings"),
        (json!({"dq": "2"}), "Disclosed"),
        (
            json!({"pt": "SL", "pr": "9.45", "tp": "9.50"}),
            "wrong side",
        ),
        (
            json!({"es": "nse_fo", "ts": "FUT", "qt": "1", "pc": "NRML"}),
            "lot size",
        ),
        (
            json!({"es": "nse_fo", "ts": "FUT", "qt": "6500", "pc": "NRML"}),
            "freeze",
        ),
        (
            json!({"es": "nse_fo", "ts": "FUT", "qt": "65", "pr": "24300"}),
            "not allowed in this segment",
        ),
    ] {
        let mut changes = changes;
        if changes["ts"] == "FUT" {
            changes["ts"] = json!(future(&trader.sandbox));
        }
        let order = trader.placed(&changes);
        assert_eq!(order.status, "rejected", "{changes}");
        assert!(
            order.rejection.contains(word),
            "{changes}: {}",
            order.rejection
        );
        assert_eq!(order.states.len(), 3);
        let rows = trader
            .post(HISTORY, &json!({"nOrdNo": order.number}))
            .expect(200);
        assert_eq!(rows["data"][0]["ordSt"], "rejected");
        assert_eq!(rows["data"][0]["rejRsn"], order.rejection);
    }
    assert_eq!(trader.sandbox.orders_taken(), 10);
    assert!(trader.sandbox.trades().is_empty());
    switch(&trader, |switches| switches.uncovered_1004 = true);
    let refusal = trader
        .post(PLACE, &order(&json!({"qt": "99999999"})))
        .expect(400);
    assert_eq!(refusal, sample("place_order.error-1004-insufficient.json"));
    assert_eq!(trader.sandbox.orders_taken(), 10);
}

/// The nearest future on NIFTY.
pub fn future(sandbox: &Sandbox) -> String {
    let path = "/market-data/1.0/watchlist/option-chain?exchange=nse_fo&underlying=NIFTY&instrument_type=fut";
    let chain = Ask::get(path)
        .with("authorization", &*sandbox.credentials().consumer_key)
        .reply(sandbox)
        .expect(200);
    chain["data"]["fut"][0]["inst"]["symbol"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn limits_rest_until_the_price_comes_to_them() {
    let trader = Trader::start();
    let buy = trader.place(&json!({"pr": "9.30", "qt": "10"}));
    let sell = trader.place(&json!({"tt": "S", "pr": "9.50", "qt": "5"}));
    trader.sandbox.set_price("nse_cm", "IDEA-EQ", "9.31");
    assert!(trader.sandbox.trades().is_empty());
    trader.sandbox.set_price("nse_cm", "IDEA-EQ", "9.25");
    let order = trader.order(&buy);
    // One that rested gets its own price.
    assert_eq!(
        (&*order.status, order.filled, &*order.average),
        ("complete", 10, "9.30")
    );
    assert_eq!(trader.order(&sell).status, "open");
    trader.sandbox.set_price("nse_cm", "IDEA-EQ", "9.60");
    assert_eq!(trader.order(&sell).average, "9.50");
    // One that arrives gets the last price, if that is better.
    let order = trader.placed(&json!({"pr": "9.80"}));
    assert_eq!((&*order.status, &*order.average), ("complete", "9.60"));
}

#[test]
fn market_orders_become_limits_in_the_band() {
    let trader = Trader::start();
    let market = |symbol: &str, ltp: &str, side: &str| {
        trader.sandbox.set_holdings(&[("nse_cm", symbol, 10, "1")]);
        trader.sandbox.set_price("nse_cm", symbol, ltp);
        let order = trader.placed(&json!({"ts": symbol, "pt": "MKT", "pr": "0", "tt": side}));
        assert_eq!(
            (&*order.status, &*order.price_type),
            ("complete", "L"),
            "{}",
            order.rejection
        );
        assert_eq!(order.average, ltp);
        order.price
    };
    // Below 100: 2%, to 500: 1%, above: 0.5%; rounded towards the last price.
    assert_eq!(market("IDEA-EQ", "9.40", "B"), "9.58");
    assert_eq!(market("IDEA-EQ", "9.40", "S"), "9.22");
    assert_eq!(market("TATAPOWER-EQ", "200.00", "B"), "202.00");
    assert_eq!(market("TATAPOWER-EQ", "200.00", "S"), "198.00");
    assert_eq!(market("TCS-EQ", "2100.00", "B"), "2110.50");
    assert_eq!(market("TCS-EQ", "2100.00", "S"), "2089.50");

    let symbol = crate::market::option(&trader, "CE", "OTM");
    let option = |ltp: &str| {
        trader.sandbox.set_price("nse_fo", &symbol, ltp);
        trader.placed(&json!({
            "es": "nse_fo", "ts": symbol, "pt": "MKT", "pr": "0", "pc": "NRML", "qt": "65",
        }))
    };
    for (ltp, limit) in [
        ("0.50", "0.60"),
        ("2.00", "2.20"),
        ("8.00", "8.40"),
        ("50.00", "51.50"),
        ("200.00", "204.00"),
        ("600.00", "606.00"),
    ] {
        let order = option(ltp);
        assert_eq!(order.price, limit, "{ltp} {}", order.rejection);
    }
    let order = option("0");
    assert_eq!(order.status, "rejected");
    assert!(order.rejection.contains("last traded price"));
}

#[test]
fn stop_orders_wait_for_their_trigger() {
    let trader = Trader::start();
    switch(&trader, |switches| switches.sl_m_allowed = true);
    let buy = trader.place(&json!({"pt": "SL", "pr": "9.60", "tp": "9.50", "qt": "2"}));
    let sell = trader.place(&json!({"pt": "SL-M", "pr": "0", "tp": "9.20", "tt": "S", "qt": "3"}));
    for number in [&buy, &sell] {
        assert_eq!(trader.order(number).status, "trigger pending");
    }
    trader.sandbox.set_price("nse_cm", "IDEA-EQ", "9.49");
    assert!(trader.sandbox.trades().is_empty());
    trader.sandbox.set_price("nse_cm", "IDEA-EQ", "9.55");
    let order = trader.order(&buy);
    assert_eq!((&*order.status, &*order.average), ("complete", "9.55"));
    assert_eq!(order.states[3..], ["trigger pending", "open", "complete"]);
    trader.sandbox.set_price("nse_cm", "IDEA-EQ", "9.10");
    let order = trader.order(&sell);
    assert_eq!((&*order.status, &*order.average), ("complete", "9.10"));
    // Triggered, but the limit is passed already: it rests, and a change leaves it triggered.
    let gap = trader.place(&json!({"pt": "SL", "pr": "9.25", "tp": "9.20", "qt": "2"}));
    trader.sandbox.set_price("nse_cm", "IDEA-EQ", "9.40");
    assert_eq!(trader.order(&gap).status, "open");
    trader
        .modify(
            &gap,
            &json!({"pt": "SL", "pr": "9.30", "tp": "9.20", "qt": "2"}),
        )
        .expect(200);
    assert_eq!(trader.order(&gap).status, "open");
    trader.sandbox.set_price("nse_cm", "IDEA-EQ", "9.30");
    assert_eq!(trader.order(&gap).status, "complete");
    // One whose trigger is reached on arrival goes at once.
    let order = trader.placed(&json!({"pt": "SL", "pr": "9.40", "tp": "9.30"}));
    assert_eq!(order.status, "complete");
}

#[test]
fn thin_markets_fill_in_parts_by_price_and_time() {
    let trader = Trader::start();
    switch(&trader, |switches| switches.liquidity = Some(4));
    let number = trader.place(&json!({"pr": "9.45", "qt": "10"}));
    let order = trader.order(&number);
    assert_eq!((&*order.status, order.filled), ("open", 4));
    let row = trader
        .get(&format!("/quick/user/orders/{number}"))
        .expect(200)["data"][0]
        .clone();
    assert_eq!((&row["fldQty"], &row["unFldSz"]), (&json!(4), &json!(6)));
    // Nothing is left until the next tick.
    let better = trader.place(&json!({"pr": "9.50", "qt": "3"}));
    assert_eq!(trader.order(&better).filled, 0);
    trader.sandbox.set_price("nse_cm", "IDEA-EQ", "9.30");
    assert_eq!(trader.order(&better).filled, 0);
    trader.sandbox.tick(1);
    // The better price goes first.
    assert_eq!(trader.order(&better).status, "complete");
    assert_eq!(trader.order(&number).filled, 5);
    trader.sandbox.tick(2);
    let order = trader.order(&number);
    assert_eq!((&*order.status, order.filled), ("complete", 10));
    let legs: Vec<i64> = trader
        .sandbox
        .trades()
        .iter()
        .filter(|trade| trade.order == number)
        .map(|trade| trade.quantity)
        .collect();
    assert_eq!(legs, [4, 1, 4, 1]);

    // Immediate or cancel takes what there is.
    trader.sandbox.tick(1);
    trader.sandbox.set_price("nse_cm", "IDEA-EQ", "9.40");
    let order = trader.placed(&json!({"rt": "IOC", "pr": "9.40", "qt": "9"}));
    assert_eq!(
        (&*order.status, order.filled, order.cancelled),
        ("cancelled", 4, 5)
    );
    let order = trader.placed(&json!({"rt": "IOC", "pr": "9.20", "qt": "9"}));
    assert_eq!(
        (&*order.status, order.filled, order.cancelled),
        ("cancelled", 0, 9)
    );
    // What is filled cannot be taken back.
    trader.sandbox.tick(1);
    trader.sandbox.set_price("nse_cm", "IDEA-EQ", "9.40");
    let number = trader.place(&json!({"pr": "9.40", "qt": "9"}));
    let refusal = trader
        .modify(&number, &json!({"pr": "9.40", "qt": "4"}))
        .expect(400);
    assert_eq!(refusal["stCode"], 1009);
    trader.cancel(&number).expect(200);
    let order = trader.order(&number);
    assert_eq!(
        (&*order.status, order.filled, order.cancelled),
        ("cancelled", 4, 5)
    );
}

#[test]
fn after_market_orders_wait_for_the_opening() {
    let trader = Trader::start();
    switch(&trader, |switches| switches.market_open = false);
    let refusal = trader.post(PLACE, &order(&json!({}))).expect(400);
    assert_eq!(refusal["stCode"], 1008);
    let limit = trader.place(&json!({"am": "YES", "pr": "9.45"}));
    let market = trader.place(&json!({"am": "YES", "pt": "MKT", "pr": "0"}));
    let other = trader.place(&json!({"am": "YES"}));
    assert_eq!(
        trader.order(&limit).status,
        "after market order req received"
    );
    trader
        .modify(&limit, &json!({"am": "YES", "pr": "9.46"}))
        .expect(200);
    assert_eq!(
        trader.order(&limit).status,
        "modify after market order req received"
    );
    trader.sandbox.tick(3);
    assert!(trader.sandbox.trades().is_empty());

    let flag_error = sample("cancel_order.error-14-amo-flag.json");
    let bad_input = sample("cancel_order.error-5204-bad-input.json");
    for body in [
        json!({"on": other, "am": "NO"}),
        json!({"on": other, "am": "NO", "ts": "IDEA-EQ"}),
    ] {
        assert_eq!(trader.post(CANCEL, &body).expect(200), flag_error, "{body}");
    }
    let wrong_symbol = json!({"on": other, "am": "YES", "ts": "TCS-EQ"});
    let no_symbol = json!({"on": other, "am": "YES"});
    switch(&trader, |switches| switches.amo_cancel_needs_symbol = true);
    for body in [&wrong_symbol, &no_symbol] {
        let refusal = trader.post(CANCEL, body).expect(200);
        assert_eq!(refusal["errMsg"], bad_input["errMsg"], "{body}");
        assert_same_shape(&refusal, "cancel_order.error-5204-bad-input.json");
    }
    switch(&trader, |switches| switches.amo_cancel_needs_symbol = false);
    assert_eq!(
        trader.post(CANCEL, &wrong_symbol).expect(200)["stCode"],
        5204
    );
    assert_eq!(trader.sandbox.cancellations_taken(), 0);
    let plain = trader.place(&json!({"am": "YES"}));
    trader
        .post(CANCEL, &json!({"on": plain, "am": "YES"}))
        .expect(200);
    assert_eq!(trader.order(&plain).status, "cancelled after market order");
    let body = with(
        sample("cancel_order.request-amo.json"),
        &json!({"on": other}),
    );
    trader.post(CANCEL, &body).expect(200);
    assert_eq!(trader.order(&other).status, "cancelled after market order");

    trader.sandbox.set_price("nse_cm", "IDEA-EQ", "9.40");
    switch(&trader, |switches| switches.market_open = true);
    for number in [&limit, &market] {
        let order = trader.order(number);
        assert_eq!(
            (&*order.status, &*order.average),
            ("complete", "9.40"),
            "{}",
            order.rejection
        );
        assert!(order.amo);
    }
    // A normal order is cancelled without the flag.
    let number = trader.place(&json!({}));
    let body = json!({"on": number, "am": "YES", "ts": "IDEA-EQ"});
    assert_eq!(trader.post(CANCEL, &body).expect(200)["stCode"], 5204);
    // One that has gone out is cancelled with either.
    for flag in ["YES", "NO"] {
        let number = trader.place(&json!({"am": "YES"}));
        switch(&trader, |switches| switches.market_open = false);
        switch(&trader, |switches| switches.market_open = true);
        assert_eq!(trader.order(&number).status, "open");
        trader
            .post(CANCEL, &json!({"on": number, "am": flag}))
            .expect(200);
    }
}

#[test]
fn stop_market_orders_are_taken_and_then_rejected() {
    let trader = Trader::start();
    let stop = json!({"pt": "SL-M", "pr": "0", "tp": "9.20", "tt": "S", "qt": "3"});
    let number = trader.place(&stop);
    let order = trader.order(&number);
    assert_eq!(
        (&*order.status, &*order.rejection),
        ("rejected", "Market order with Algo Id not allowed")
    );
    let number = trader.place(&json!({"tt": "S", "pr": "9.80", "qt": "3"}));
    trader.modify(&number, &stop).expect(200);
    let order = trader.order(&number);
    assert_eq!((&*order.status, &*order.price_type), ("open", "L"));
    assert_eq!(order.rejection, "Market order with Algo Id not allowed");
    switch(&trader, |switches| switches.sl_m_allowed = true);
    assert_eq!(trader.placed(&stop).status, "trigger pending");
}

#[test]
fn a_switch_rejects_every_order_that_goes_out() {
    let trader = Trader::start();
    for (rejection, text) in [
        (
            Rejection::CasTransition,
            "OMS: Trading session is in Transition to CAS session",
        ),
        (Rejection::AdapterLoggedOff, "Adapter is Logged Off"),
    ] {
        switch(&trader, |switches| {
            switches.market_open = false;
            switches.reject_orders = Some(rejection);
        });
        let waits = trader.place(&json!({"am": "YES"}));
        assert_eq!(
            trader.order(&waits).status,
            "after market order req received"
        );
        switch(&trader, |switches| switches.market_open = true);
        for number in [waits, trader.place(&json!({}))] {
            let order = trader.order(&number);
            assert_eq!((&*order.status, &*order.rejection), ("rejected", text));
        }
    }
}

/// Other spellings of zero are refused where zero is meant, as by the live service.
#[test]
fn zero_is_0() {
    let trader = Trader::start();
    let market = order(&json!({"pt": "MKT", "pr": "0"}));
    for (key, value) in [
        ("pr", "0.0"),
        ("pr", "0.00"),
        ("pr", "00"),
        ("tp", "0.0"),
        ("dq", "00"),
        ("mp", "0.0"),
    ] {
        let body = with(market.clone(), &json!({key: value}));
        let refusal = trader.post(PLACE, &body).expect(400);
        assert_eq!(refusal["stCode"], 1002, "{key} {value}");
    }
    trader.post(PLACE, &market).expect(200);
    let number = trader.place(&json!({}));
    for key in ["tp", "mp"] {
        let refusal = trader.modify(&number, &json!({key: "0.0"})).expect(400);
        assert_eq!(refusal["stCode"], 1002, "{key}");
    }
    assert_eq!(trader.sandbox.modifications_taken(), 0);
}

#[test]
fn a_modification_that_is_rejected_leaves_the_order_as_it_was() {
    let trader = Trader::start();
    let number = trader.place(&json!({"pr": "9.30", "qt": "2"}));
    trader
        .modify(&number, &json!({"pr": "99", "qt": "2"}))
        .expect(200);
    let order = trader.order(&number);
    assert_eq!((&*order.status, &*order.price), ("open", "9.30"));
    assert!(order.rejection.contains("circuit limit"));
    // Shares that an order offers can be offered again by itself, and by no other.
    let offer = json!({"tt": "S", "pr": "9.90", "qt": "35"});
    let sell = trader.place(&offer);
    trader
        .modify(&sell, &json!({"pr": "9.80", "qt": "35"}))
        .expect(200);
    assert_eq!(trader.order(&sell).price, "9.80");
    trader
        .modify(&sell, &json!({"pr": "9.70", "qt": "36"}))
        .expect(200);
    assert!(trader.order(&sell).rejection.contains("holdings"));
    assert_eq!(trader.order(&sell).quantity, 35);
    assert_eq!(trader.placed(&offer).status, "rejected");
    // A modification that crosses the market fills at once.
    trader
        .modify(&number, &json!({"pr": "9.40", "qt": "3"}))
        .expect(200);
    let order = trader.order(&number);
    assert_eq!((&*order.status, order.filled), ("complete", 3));
    // And to market.
    let number = trader.place(&json!({"pr": "9.30"}));
    trader
        .modify(&number, &json!({"pt": "MKT", "pr": "0"}))
        .expect(200);
    let order = trader.order(&number);
    assert_eq!((&*order.status, &*order.price), ("complete", "9.58"));
}

#[test]
fn faults_strike_before_and_after_an_order_is_taken() {
    let trader = Trader::start();
    let gateway = |after: bool| {
        let (status, headers, body) = (504, Vec::new(), b"gateway timeout".to_vec());
        if after {
            FaultKind::AnswerAfter {
                status,
                headers,
                body,
            }
        } else {
            FaultKind::Answer {
                status,
                headers,
                body,
            }
        }
    };
    let too_many = FaultKind::Answer {
        status: 429,
        headers: vec![("retry-after".to_owned(), "3".to_owned())],
        body: b"{}".to_vec(),
    };
    for (kind, status, taken) in [
        (FaultKind::ResetBefore, None, 0),
        (FaultKind::ResetAfter, None, 1),
        (gateway(false), Some(504), 0),
        (gateway(true), Some(504), 1),
        (too_many, Some(429), 0),
        (FaultKind::Slow { ms: 20 }, Some(200), 1),
        (FaultKind::Late { ms: 20 }, Some(200), 1),
        (FaultKind::CutJson, Some(200), 1),
        (FaultKind::WrongContentLength, None, 1),
    ] {
        let before = trader.sandbox.orders_taken();
        trader.sandbox.set_fault(Fault {
            path: PLACE.to_owned(),
            times: Some(1),
            kind: kind.clone(),
        });
        let reply = trader
            .signed(form(PLACE, &order(&json!({}))))
            .send(&trader.sandbox);
        let seen = reply.as_ref().ok().map(|reply| reply.status.as_u16());
        assert_eq!(seen, status, "{kind:?}");
        if let (Ok(reply), Some(429)) = (&reply, status) {
            assert_eq!(reply.headers["retry-after"], "3");
        }
        assert_eq!(trader.sandbox.orders_taken() - before, taken, "{kind:?}");
    }
    assert_eq!(trader.sandbox.orders().len(), 6);
}

#[test]
fn a_late_order_is_taken_after_its_client_has_left() {
    use std::io::Write as _;
    let trader = Trader::start();
    trader.sandbox.set_fault(Fault {
        path: PLACE.to_owned(),
        times: Some(1),
        kind: FaultKind::Late { ms: 200 },
    });
    let request = raw(&trader.signed(form(PLACE, &order(&json!({"ig": "late"})))));
    let mut stream = std::net::TcpStream::connect(crate::client::address(&trader.sandbox)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let seen = trader.sandbox.wait_for_requests(3, crate::faults::PATIENCE);
    assert_eq!(seen[2].path, PLACE);
    drop(stream);
    let end = std::time::Instant::now() + crate::faults::PATIENCE;
    while trader.sandbox.orders_taken() == 0 {
        assert!(std::time::Instant::now() < end);
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert_eq!(trader.sandbox.orders()[0].tag, "late");
}

/// A request as the bytes of HTTP/1.1.
fn raw(ask: &Ask) -> String {
    let mut text = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n",
        ask.path
    );
    for (name, value) in &ask.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    format!(
        "{text}content-length: {}\r\n\r\n{}",
        ask.body.len(),
        ask.body
    )
}

#[test]
fn a_session_from_another_address_cannot_send_orders() {
    use std::io::{Read as _, Write as _};
    let trader = Trader::start();
    let request = raw(&trader.signed(form(PLACE, &order(&json!({})))));
    // Another address of this machine, from which no session was made.
    let from_there = || crate::client::connect_from([127, 0, 0, 2], &trader.sandbox);
    let Some(mut stream) = from_there() else {
        println!("skipped: session address: this machine has no second loopback address");
        assert!(
            std::env::var("KNEO_TEST_REQUIRE").as_deref() != Ok("all")
                || cfg!(not(target_os = "linux"))
        );
        return;
    };
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(answer.contains("session ip doesnt match with reqest ip"));
    assert_eq!(trader.sandbox.orders_taken(), 0);
    // Unless the broker does not mind.
    switch(&trader, |switches| switches.any_address = true);
    let mut stream = from_there().unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(trader.sandbox.orders_taken(), 1);
}
