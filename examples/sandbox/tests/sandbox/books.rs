//! The books: rows against the samples, and sums that add up.

use kotak_neo_sandbox::{Options, Sandbox};
use serde_json::{Value, json};

use crate::client::Ask;
use crate::fixtures::{assert_same_shape, sample, shape};
use crate::trader::{
    HISTORY, HOLDINGS, LIMITS, MARGIN, ORDERS, PLACE, POSITIONS, TRADES, Trader, form, order, with,
};
use crate::{orders, v1, v2};

fn number(value: &Value) -> f64 {
    match value {
        Value::String(text) => text.parse().unwrap(),
        value => value.as_f64().unwrap(),
    }
}

fn close_to(one: f64, other: f64) -> bool {
    (one - other).abs() < 1e-6
}

#[test]
fn empty_books_say_no_data() {
    let trader = Trader::start();
    trader.sandbox.set_holdings(&[]);
    let nothing = sample("no_data.v3.json");
    for path in [
        ORDERS,
        "/quick/user/orders/1",
        TRADES,
        POSITIONS,
        "/quick/user/positions",
        HOLDINGS,
    ] {
        assert_eq!(trader.get(path).expect(200), nothing, "{path}");
    }
    let history = trader.post(HISTORY, &json!({"nOrdNo": "1"}));
    assert_eq!(history.expect(200), nothing);
}

#[test]
fn rows_have_the_keys_and_types_of_the_samples() {
    let trader = Trader::start();
    let number = trader.place(&json!({"pr": "9.39", "ig": "tag-1"}));
    let book = trader.get(ORDERS).expect(200);
    assert_same_shape(&book, "order_report.ok.json");
    let row = &book["data"][0];
    let documented = sample("order_report.ok.json")["data"][0].clone();
    // Where nothing but the moment differs, the sample's values are met too.
    for key in [
        "avgPrc",
        "brdLtQty",
        "cnlQty",
        "expDt",
        "exSeg",
        "fldQty",
        "nOrdNo",
        "optTp",
        "prc",
        "prcTp",
        "qty",
        "rejRsn",
        "series",
        "stat",
        "ordSt",
        "stkPrc",
        "sym",
        "tckSz",
        "tok",
        "trnsTp",
        "trgPrc",
        "trdSym",
        "unFldSz",
        "vldt",
        "lotSz",
        "precision",
        "it",
        "ordGenTp",
        "minQty",
    ] {
        if key != "nOrdNo" {
            assert_eq!(row[key], documented[key], "{key}");
        }
    }
    assert_eq!(
        (&row["nOrdNo"], &row["GuiOrdId"]),
        (&json!(number), &json!("tag-1"))
    );
    assert_eq!(
        trader.get(&format!("{ORDERS}/{number}")).expect(200),
        json!({"stat": "Ok", "stCode": 200, "data": [row]})
    );
    trader.sandbox.set_price("nse_cm", "IDEA-EQ", "9.39");
    let history = trader.post(HISTORY, &json!({"nOrdNo": number})).expect(200);
    assert_same_shape(&history, "order_history.ok.json");
    let states: Vec<&str> = history["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["ordSt"].as_str().unwrap())
        .collect();
    let documented = sample("order_history.ok.json");
    let documented: Vec<&str> = documented["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["ordSt"].as_str().unwrap())
        .collect();
    assert_eq!(states, documented);
    let newest = &history["data"][0];
    assert_eq!(
        (&newest["avgPrc"], &newest["fldQty"], &newest["unFldSz"]),
        (&json!("9.39"), &json!(1), &json!(0))
    );
    assert!(newest["flDtTm"].as_str().unwrap().contains(": "));
    let oldest = &history["data"][4];
    assert_eq!(
        (&oldest["scripName"], &oldest["exchOrdId"]),
        (&json!(""), &json!("NA"))
    );

    let trades = trader.get(TRADES).expect(200);
    assert_same_shape(&trades, "trade_report.ok.json");
    assert_eq!(trades["stat"], "ok");
    let row = &trades["data"][0];
    assert_eq!(
        (&row["fldQty"], &row["qty"], &row["avgPrc"]),
        (&json!(1), &json!(0), &json!("9.39"))
    );
    assert_eq!(row["nOrdNo"], json!(number));

    assert_same_shape(&trader.get(POSITIONS).expect(200), "positions.ok.json");
    let mut without_price = sample("positions.ok.json");
    without_price["data"][0]
        .as_object_mut()
        .unwrap()
        .remove("ltp");
    let positions = trader.get("/quick/user/positions").expect(200);
    assert_eq!(shape(&positions), shape(&without_price));

    let holdings = trader.get(HOLDINGS).expect(200);
    assert_same_shape(&holdings, "holdings.ok.json");
    assert_same_shape(
        &trader
            .post(LIMITS, &sample("limits.request.json"))
            .expect(200),
        "limits.ok.json",
    );
    assert_same_shape(
        &trader
            .post(MARGIN, &sample("margin.request.json"))
            .expect(200),
        "margin.ok.json",
    );
}

#[test]
fn derivative_rows_tell_the_contract() {
    let trader = Trader::start();
    let symbol = orders::future(&trader.sandbox);
    let order = trader.placed(&json!({
        "es": "nse_fo", "ts": symbol, "pt": "MKT", "pr": "0", "pc": "NRML", "qt": "65",
    }));
    assert_eq!(order.status, "complete", "{}", order.rejection);
    let positions = trader.get(POSITIONS).expect(200);
    assert_same_shape(&positions, "positions.ok.json");
    let row = &positions["data"][0];
    assert_eq!(
        (&row["type"], &row["optTp"], &row["series"]),
        (&json!("FUTIDX"), &json!("XX"), &json!("XX"))
    );
    assert_eq!(number(&row["exp"]) % 86_400.0, 0.0);
    assert_eq!(number(&row["buyAmt"]), 65.0 * number(&json!(order.average)));
    assert_same_shape(&trader.get(ORDERS).expect(200), "order_report.ok.json");
    assert_same_shape(&trader.get(TRADES).expect(200), "trade_report.ok.json");
}

/// As it was seen on 15 September 2026: its keys, their types, and what marks an order of the API.
#[test]
fn an_open_contract_has_the_row_that_was_seen_live() {
    let trader = Trader::start();
    let live = sample("order_report.open-fo.live-2026-09.ok.json");
    let live = live["data"][0].as_object().expect("a row");
    let symbol = orders::future(&trader.sandbox);
    let last = trader.sandbox.price("nse_fo", &symbol);
    let last: f64 = last.expect("a price").parse().expect("a number");
    let limit = format!("{:.1}", last * 0.98);
    let open = trader.placed(&json!({
        "es": "nse_fo", "ts": symbol, "pr": limit, "pc": "NRML", "qt": "65",
    }));
    assert_eq!(open.status, "open", "{}", open.rejection);
    let app = trader
        .sandbox
        .place_from_app("nse_cm", "IDEA-EQ", "B", 1, "9.00");
    let book = trader.get(ORDERS).expect(200);
    let row = |wanted: &str| {
        let mut rows = book["data"].as_array().expect("rows").iter();
        rows.find(|row| row["nOrdNo"] == wanted).expect("its row")
    };
    let ours = row(&open.number);
    for (key, value) in live {
        let alike = ours
            .get(key)
            .is_some_and(|ours| shape(ours) == shape(value));
        assert!(alike, "{key}: {value} seen live, {:?} here", ours.get(key));
    }
    for key in [
        "algId", "ordSrc", "ordGenTp", "rejRsn", "series", "vldt", "ordSt",
    ] {
        assert_eq!(ours[key], live[key], "{key}");
    }
    let app = row(&app);
    assert_eq!(
        (&app["algId"], &app["ordSrc"]),
        (&json!("NA"), &json!("ADMINCPPAPI_MOB"))
    );
}

/// A busy day: buys, sells, parts, rejections, cancellations, in several instruments.
fn busy(trader: &Trader) {
    let mut switches = trader.sandbox.switches();
    switches.liquidity = Some(130);
    trader.sandbox.set_switches(switches);
    let future = orders::future(&trader.sandbox);
    for round in 0..12 {
        let (side, price) = if round % 3 == 0 {
            ("S", "9.00")
        } else {
            ("B", "9.80")
        };
        trader.place(
            &json!({"tt": side, "pr": price, "qt": (round * 20 + 1).to_string(), "pc": "MIS"}),
        );
        let side = if round % 2 == 0 { "B" } else { "S" };
        trader.place(&json!({"es": "nse_fo", "ts": future, "pt": "MKT", "pr": "0", "pc": "NRML", "qt": "65", "tt": side}));
        trader.place(&json!({"tt": "S", "qt": "7", "pr": "9.20", "pc": "CNC"}));
        let resting = trader.place(&json!({"pr": "9.10", "qt": "50"}));
        if round % 4 == 0 {
            trader.cancel(&resting).expect(200);
        }
        trader.sandbox.tick(2);
    }
}

#[test]
fn the_books_add_up() {
    let trader = Trader::start();
    busy(&trader);
    let rows = |path: &str| {
        trader.get(path).expect(200)["data"]
            .as_array()
            .unwrap()
            .clone()
    };
    let (orders, trades, positions) = (rows(ORDERS), rows(TRADES), rows(POSITIONS));
    assert_eq!(orders.len() as u64, trader.sandbox.orders_taken());
    let mut statuses: Vec<&str> = orders
        .iter()
        .map(|row| row["ordSt"].as_str().unwrap())
        .collect();
    statuses.sort_unstable();
    statuses.dedup();
    assert_eq!(statuses, ["cancelled", "complete", "open", "rejected"]);
    for order in &orders {
        let of_order = || {
            trades
                .iter()
                .filter(|trade| trade["nOrdNo"] == order["nOrdNo"])
        };
        let filled: i64 = of_order()
            .map(|trade| trade["fldQty"].as_i64().unwrap())
            .sum();
        assert_eq!(order["fldQty"], filled, "{order}");
        let parts = filled + order["unFldSz"].as_i64().unwrap() + order["cnlQty"].as_i64().unwrap();
        if order["ordSt"] != "rejected" {
            assert_eq!(order["qty"], parts, "{order}");
        }
        assert_eq!(order["ordSt"] == "complete", order["qty"] == filled);
        let spent: f64 = of_order()
            .map(|trade| number(&trade["avgPrc"]) * number(&trade["fldQty"]))
            .sum();
        if filled > 0 {
            assert!((spent / filled as f64 - number(&order["avgPrc"])).abs() < 0.0051);
        }
        let legs: Vec<i64> = of_order()
            .map(|trade| trade["flLeg"].as_i64().unwrap())
            .collect();
        let expected: Vec<i64> = (1..=legs.len() as i64).rev().collect();
        assert_eq!(legs, expected);
    }
    assert!(!trades.is_empty() && positions.len() >= 3);
    for position in &positions {
        for (side, quantity, amount) in [("B", "flBuyQty", "buyAmt"), ("S", "flSellQty", "sellAmt")]
        {
            let of_position = || {
                trades.iter().filter(|trade| {
                    trade["trdSym"] == position["trdSym"]
                        && trade["prod"] == position["prod"]
                        && trade["trnsTp"] == side
                })
            };
            let sum: f64 = of_position().map(|trade| number(&trade["fldQty"])).sum();
            assert_eq!(number(&position[quantity]), sum, "{position}");
            let spent: f64 = of_position()
                .map(|trade| number(&trade["avgPrc"]) * number(&trade["fldQty"]))
                .sum();
            assert!(
                (number(&position[amount]) - spent).abs() < 0.001,
                "{position}"
            );
        }
    }
    // What is sold from holdings and on offer cannot be sold again.
    let holdings = rows(HOLDINGS);
    let idea = holdings.iter().find(|row| row["symbol"] == "IDEA").unwrap();
    let delivered = positions.iter().find(|row| row["prod"] == "CNC").unwrap();
    let sold = number(&delivered["flSellQty"]) - number(&delivered["flBuyQty"]);
    let offered: f64 = orders
        .iter()
        .filter(|row| row["prod"] == "CNC" && row["trnsTp"] == "S")
        .map(|row| number(&row["unFldSz"]))
        .sum();
    assert_eq!(
        number(&idea["sellableQuantity"]),
        (35.0 - sold - offered).clamp(0.0, 35.0)
    );

    let limits = trader
        .post(LIMITS, &sample("limits.request.json"))
        .expect(200);
    let limit = |key: &str| number(&limits[key]);
    assert!(close_to(
        limit("Net"),
        limit("CollateralValue") + limit("RealizedMtomPrsnt") - limit("MarginUsed")
    ));
    assert!(close_to(
        limit("MarginUsed"),
        limit("MarginScripBasketPrsnt")
            + limit("SpanMarginPrsnt")
            + limit("ExposureMarginPrsnt")
            + limit("PremiumPrsnt")
    ));
    assert!(close_to(
        limit("RealizedMtomPrsnt"),
        limit("CashRlsMtomPrsnt") + limit("FoRlsMtomPrsnt")
    ));
    let realised: f64 = trader
        .sandbox
        .positions()
        .iter()
        .map(|p| p.realised.parse::<f64>().unwrap())
        .sum();
    assert!((limit("RealizedMtomPrsnt") - realised).abs() < 0.05);
    assert!(limit("MarginUsed") > 0.0 && realised != 0.0);
}

#[test]
fn money_is_blocked_and_freed() {
    let trader = Trader::start();
    let used = || {
        number(
            &trader
                .post(LIMITS, &sample("limits.request.json"))
                .expect(200)["MarginUsed"],
        )
    };
    assert_eq!(used(), 0.0);
    let number_of = trader.place(&json!({"pr": "9.00", "qt": "100"}));
    assert_eq!(used(), 900.0);
    trader
        .modify(&number_of, &json!({"pr": "9.10", "qt": "200"}))
        .expect(200);
    assert_eq!(used(), 1820.0);
    trader.cancel(&number_of).expect(200);
    assert_eq!(used(), 0.0);
    trader.place(&json!({"qt": "100", "pr": "9.40"}));
    assert_eq!(used(), 940.0);
    // Intraday needs a fifth.
    trader.place(&json!({"qt": "100", "pr": "9.40", "pc": "MIS"}));
    assert_eq!(used(), 1128.0);
    trader.sandbox.set_price("nse_cm", "IDEA-EQ", "9.50");
    trader.place(&json!({"qt": "100", "pr": "9.50", "pc": "MIS", "tt": "S"}));
    assert_eq!(used(), 940.0);
    let position = &trader.sandbox.positions()[1];
    assert_eq!((position.net, &*position.realised), (0, "10.00"));
    let filtered = trader
        .post(
            LIMITS,
            &json!({"seg": "CASH", "exch": "NSE", "prod": "ALL"}),
        )
        .expect(200);
    assert_eq!(
        (&filtered["Net"], &filtered["MarginUsed"]),
        (&json!("0"), &json!("0"))
    );
    for (key, value) in [("seg", "EQ"), ("exch", "MCX"), ("prod", "MTF"), ("seg", "")] {
        let body = with(sample("limits.request.json"), &json!({key: value}));
        assert_eq!(trader.post(LIMITS, &body).expect(400)["stCode"], 1002);
    }
}

#[test]
fn margin_tells_what_an_order_would_need() {
    let trader = Trader::start_with(Options {
        cash_rupees: 10_000,
        orders_per_second: 0,
        ..Options::default()
    });
    let check =
        |changes: Value| trader.post(MARGIN, &with(sample("margin.request.json"), &changes));
    let short = check(json!({})).expect(200);
    assert_same_shape(&short, "margin.insufficient.ok.json");
    let expected = json!({
        "avlCash": "10000.000000", "totMrgnUsd": "12500.000000", "mrgnUsd": "0.000000",
        "ordMrgn": "12500.000000", "rmsVldtd": "NOT_OK", "reqdMrgn": "12500.000000",
        "avlMrgn": "10000.000000", "insufFund": "2500.000000", "stat": "Ok", "stCode": 200,
    });
    assert_eq!(short, expected);
    trader.place(&json!({"pr": "9.00", "qt": "100"}));
    let enough =
        check(json!({"prc": "2000", "brkName": "(out)", "brnchId": "(out)", "trgPrc": "(out)"}))
            .expect(200);
    assert_eq!(
        (&enough["rmsVldtd"], &enough["mrgnUsd"]),
        (&json!("OK"), &json!("900.000000"))
    );
    assert_eq!(
        (&enough["totMrgnUsd"], &enough["insufFund"]),
        (&json!("2900.000000"), &json!("0.000000"))
    );
    // A rejected order of that size says the same.
    assert_eq!(
        trader.placed(&json!({"qt": "1064", "pr": "9.40"})).status,
        "rejected"
    );
    for (changes, code) in [
        (json!({"tok": "1"}), 1009),
        (json!({"tok": "Nifty 50"}), 1009),
        (json!({"qt": "1", "qty": "0"}), 1009),
        (json!({"exSeg": "NSE"}), 1002),
        (json!({"trnsTp": "Buy"}), 1002),
        (json!({"prc": "-1"}), 1002),
        (json!({"prc": "9999999"}), 1002),
        (json!({"trgPrc": 1}), 1007),
    ] {
        assert_eq!(
            check(changes.clone()).expect(400)["stCode"],
            code,
            "{changes}"
        );
    }
}

#[test]
fn carried_positions_are_valued_at_the_close() {
    let trader = Trader::start();
    let future = orders::future(&trader.sandbox);
    trader
        .sandbox
        .carry_forward("nse_fo", &future, "NRML", 65, "24000");
    trader.sandbox.set_price("nse_fo", &future, "24500");
    let row = trader.get(POSITIONS).expect(200)["data"][0].clone();
    assert_eq!(
        (&row["cfBuyQty"], &row["flBuyQty"], &row["ltp"]),
        (&json!("65"), &json!("0"), &json!("24500.00"))
    );
    let path = format!(
        "/script-details/1.0/quotes/neosymbol/nse_fo|{}/ohlc",
        row["tok"].as_str().unwrap()
    );
    let close = trader.look(&path).expect(200)[0]["ohlc"]["close"].clone();
    assert_eq!(number(&row["cfBuyAmt"]), 65.0 * number(&close));
    let limits = trader
        .post(LIMITS, &sample("limits.request.json"))
        .expect(200);
    assert_eq!(limits["UnrealizedMtomPrsnt"], "32500");
    // Selling it needs no margin, and realises the gain.
    trader.place(
        &json!({"es": "nse_fo", "ts": future, "pr": "24500", "pc": "NRML", "qt": "65", "tt": "S"}),
    );
    let limits = trader
        .post(LIMITS, &sample("limits.request.json"))
        .expect(200);
    assert_eq!(
        (&limits["FoRlsMtomPrsnt"], &limits["MarginUsed"]),
        (&json!("32500"), &json!("0"))
    );
}

// ---- Older generations -------------------------------------------------------------------

/// The headers of a post-login call of generation 1 or 2.
fn old(ask: Ask, bearer: &str, trade: &Value, fin_key: &str) -> Ask {
    let of = |key: &str| trade["data"][key].as_str().unwrap().to_owned();
    let mut ask = ask
        .with("authorization", bearer)
        .with("auth", of("token"))
        .with("sid", of("sid"))
        .with("neo-fin-key", fin_key);
    let server = trade["data"]
        .get("hsServerId")
        .map_or("None", |id| id.as_str().unwrap());
    ask.path = format!("{}?sId={server}", ask.path);
    ask
}

const PROD_KEY: &str = "X6Nk8cQhUgGmJ2vBdWw4sfzrz4L5En";
const UAT_KEY: &str = "bQJNkL5z8m4aGcRgjDvXhHfSx7VpZnE";

#[test]
fn generation_1_trades_under_its_own_paths() {
    for hs_server_id in [true, false] {
        let sandbox = Sandbox::start(Options {
            orders_per_second: 0,
            hs_server_id,
            ..Options::default()
        })
        .unwrap();
        sandbox.set_price("nse_cm", "IDEA-EQ", "9.40");
        let bearer = v1::bearer(&sandbox);
        let trade = v1::trade(&sandbox, &bearer);
        let empty = old(
            Ask::get("/Orders/2.0/quick/user/trades"),
            &bearer,
            &trade,
            PROD_KEY,
        );
        assert_same_shape(&empty.reply(&sandbox).expect(200), "no_data.v1.json");
        for (prefix, portfolio, key) in [
            ("/Orders/2.0", "/Portfolio/1.0", PROD_KEY),
            ("/orderapi/1.0", "/portfolio/1.0", UAT_KEY),
        ] {
            let ask = |ask: Ask| old(ask, &bearer, &trade, key);
            let post = |path: &str, body: &Value| {
                ask(form(&format!("{prefix}{path}"), body)).reply(&sandbox)
            };
            let get = |path: &str| ask(Ask::get(&format!("{prefix}{path}"))).reply(&sandbox);
            let body = with(
                order(&json!({"ig": prefix, "pr": "9.40"})),
                &json!({"os": "(out)", "pf": "N"}),
            );
            let answer = post("/quick/order/rule/ms/place", &body).expect(200);
            assert_same_shape(&answer, "place_order.ok-with-tid.json");
            let twice = post("/quick/order/rule/ms/place", &body).expect(200);
            assert_same_shape(&twice, "place_order.error-5204-duplicate-tag.json");
            assert_same_shape(
                &get("/quick/user/orders").expect(200),
                "order_report.v1.ok.json",
            );
            assert_same_shape(
                &get("/quick/user/trades").expect(200),
                "trade_report.v1.ok.json",
            );
            assert_same_shape(
                &get("/quick/user/positions").expect(200),
                "positions.v1.ok.json",
            );
            assert_same_shape(
                &post("/quick/user/limits", &sample("limits.request.json")).expect(200),
                "limits.v1.ok.json",
            );
            let margin =
                post("/quick/user/check-margin", &sample("margin.request.json")).expect(200);
            assert_same_shape(&margin, "margin.v1.ok.json");
            let holdings =
                ask(Ask::get(&format!("{portfolio}/portfolio/v1/holdings"))).without("neo-fin-key");
            assert_same_shape(&holdings.reply(&sandbox).expect(200), "holdings.v1.ok.json");

            // Orders of the app are seen, and not touched.
            let app = sandbox.place_from_app("nse_cm", "IDEA-EQ", "B", 1, "9.00");
            let refusal = sample("cancel_order.error-91400-not-api.json");
            let cancel = post("/quick/order/cancel", &json!({"on": app, "am": "NO"}));
            assert_eq!(cancel.expect(400), refusal);
            let history = post("/quick/order/history", &json!({"nOrdNo": app}));
            assert_eq!(history.expect(400), refusal);
            assert_eq!(
                get("/quick/user/orders").expect(200)["data"][0]["nOrdNo"],
                json!(app)
            );

            // Every header counts, and sId too.
            let good = ask(Ask::get(&format!("{prefix}/quick/user/orders")));
            for (bad, status) in [
                (good.clone().without("authorization"), 401),
                (good.clone().without("neo-fin-key"), 400),
                (good.clone().with("neo-fin-key", "neotradeapi"), 401),
                (good.clone().without("auth"), 400),
                (good.clone().with("sid", "x"), 403),
                (
                    Ask {
                        path: format!("{prefix}/quick/user/orders"),
                        ..good.clone()
                    },
                    400,
                ),
                (
                    Ask {
                        path: format!("{prefix}/quick/user/orders?sId=other"),
                        ..good.clone()
                    },
                    400,
                ),
            ] {
                assert_eq!(bad.reply(&sandbox).status, status, "{:?}", bad.path);
            }
            // The session of one generation is none of another.
            let plain = Ask {
                path: ORDERS.to_owned(),
                ..good
            }
            .without("authorization")
            .without("neo-fin-key");
            plain.reply(&sandbox).expect(403);
        }
        assert_eq!(sandbox.orders_taken(), 4);
        assert!(sandbox.requests().iter().all(|request| request.known_route));
    }
}

#[test]
fn generation_2_trades_under_its_own_paths() {
    let sandbox = Sandbox::start(Options {
        orders_per_second: 0,
        ..Options::default()
    })
    .unwrap();
    sandbox.set_price("nse_cm", "IDEA-EQ", "9.40");
    let bearer = v1::bearer(&sandbox);
    for (front, prefix, history, portfolio, key) in [
        (
            0,
            "/apim/orders/2.0",
            "/apim/order/2.0",
            "/apim/portfolio/2.0",
            PROD_KEY,
        ),
        (1, "/Orders/2.0", "/Orders/2.0", "/Portfolio/1.0", PROD_KEY),
        (
            2,
            "/orderapi/1.0",
            "/orderapi/1.0",
            "/portfolio/1.0",
            UAT_KEY,
        ),
    ] {
        let trade = v2::trade(&sandbox, &bearer, front);
        let ask = |ask: Ask| old(ask, &bearer, &trade, key);
        let place = form(
            &format!("{prefix}/quick/order/rule/ms/place"),
            &order(&json!({"os": "NEOFINTECH001", "pr": "9.40"})),
        );
        let answer = ask(place).reply(&sandbox).expect(200);
        assert_same_shape(&answer, "place_order.ok.json");
        let get = |path: &str| ask(Ask::get(path)).reply(&sandbox).expect(200);
        assert_same_shape(
            &get(&format!("{prefix}/quick/user/orders")),
            "order_report.ok.json",
        );
        assert_same_shape(
            &get(&format!("{prefix}/quick/user/trades")),
            "trade_report.ok.json",
        );
        assert_same_shape(
            &get(&format!("{portfolio}/portfolio/v1/holdings")),
            "holdings.old.ok.json",
        );
        let history = form(
            &format!("{history}/quick/order/history"),
            &json!({"nOrdNo": answer["nOrdNo"]}),
        );
        assert_same_shape(
            &ask(history).reply(&sandbox).expect(200),
            "order_history.ok.json",
        );
        if front != 2 {
            for exit in ["co", "bo"] {
                let body = json!({"on": answer["nOrdNo"], "am": "NO"});
                let exit = form(&format!("{prefix}/quick/order/{exit}/exit"), &body);
                let refusal = ask(exit).reply(&sandbox).expect(400);
                assert!(refusal["emsg"].as_str().unwrap().contains("discontinued"));
            }
        }
    }
    // An apim session is none of generation 1.
    let trade = v1::trade(&sandbox, &bearer);
    let place = form(
        "/apim/orders/2.0/quick/order/rule/ms/place",
        &order(&json!({})),
    );
    old(place, &bearer, &trade, PROD_KEY)
        .reply(&sandbox)
        .expect(403);
    assert_eq!(sandbox.orders_taken(), 3);
}

#[test]
fn the_plain_order_path_is_known() {
    // So that a wrong path in the library shows as an unknown route.
    let trader = Trader::start();
    trader.post(PLACE, &order(&json!({}))).expect(200);
    trader
        .post("/Orders/2.0/quick/order/place", &json!({}))
        .expect(404);
    let known: Vec<bool> = trader
        .sandbox
        .requests()
        .iter()
        .map(|request| request.known_route)
        .collect();
    assert_eq!(known[known.len() - 2..], [true, false]);
}
