//! Order instructions: what is sent, what is refused locally, what the
//! broker's answers and rejections mean, pacing, and how outcomes are settled.

use std::time::{Duration, Instant};

use kotak_neo::{Client, Error, Reply, Status};
use kotak_neo_sandbox::{FaultKind, Options, Recorded, Rejection, Sandbox};
pub use kotak_neo_testing::orders::{order, with};
use serde_json::{Value, json};

use crate::support::{
    answer, client, client_with, fault, log_in, password_login, sample, sandbox, start, status,
    told,
};

/// A logged-in client of a sandbox without limits.
pub fn trader(sandbox: &Sandbox, more: &Value) -> Client {
    let client = client_with(sandbox, more);
    log_in(sandbox, &client).expect("the login works");
    sandbox.clear_requests();
    client
}

/// Logs in where no answer matters.
pub fn log_in_to(sandbox: &Sandbox, client: &Client) {
    log_in(sandbox, client).expect("the login works");
}

pub fn unlimited() -> Sandbox {
    start(Options {
        orders_per_second: 0,
        ..Options::default()
    })
}

/// One of the three instructions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What {
    Place,
    Modify,
    Cancel,
}

impl What {
    pub fn path(self) -> &'static str {
        match self {
            Self::Place => "/quick/order/rule/ms/place",
            Self::Modify => "/quick/order/vr/modify",
            Self::Cancel => "/quick/order/cancel",
        }
    }

    /// Sends it; `id` is the order that it changes.
    pub fn send(self, client: &Client, id: &str, more: Value) -> Result<Reply, Error> {
        let change = json!({
            "order_id": id, "price": "8.70", "order_type": "L", "quantity": 4, "validity": "DAY",
        });
        match self {
            Self::Place => place(client, &with(order(), more)),
            Self::Modify => client.modify_order(&with(change, more).to_string()),
            Self::Cancel => client.cancel_order(&with(json!({"order_id": id}), more).to_string()),
        }
    }
}

pub fn place(client: &Client, params: &Value) -> Result<Reply, Error> {
    client.place_order(&params.to_string())
}

/// Places an order that stays open and gives its number.
pub fn placed(client: &Client) -> String {
    let reply = place(client, &order()).expect("the order is taken");
    number(&reply)
}

pub fn number(reply: &Reply) -> String {
    let body = crate::support::json(reply.json());
    body["nOrdNo"].as_str().expect("a number").to_owned()
}

pub fn meta(reply: &Reply, key: &str) -> Value {
    crate::support::json(&reply.meta())[key].clone()
}

pub fn outcome(client: &Client, params: Value) -> Value {
    let reply = client.order_outcome(&params.to_string());
    crate::support::json(reply.expect("the book can be read").json())
}

pub fn j_data(request: &Recorded) -> Value {
    let pairs: Vec<_> = url::form_urlencoded::parse(&request.body).collect();
    assert_eq!(pairs.len(), 1, "{}", request.body_text());
    assert_eq!(pairs[0].0, "jData");
    crate::support::json(&pairs[0].1)
}

#[test]
fn generation_3_sends_what_the_sdk_sends() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({}));
    let reply = place(&client, &with(order(), json!({"tag": "t-1"}))).expect("taken");
    assert_eq!(meta(&reply, "tag"), "t-1");
    let id = number(&reply);
    let changed = json!({
        "order_id": id, "price": "8.70", "order_type": "L", "quantity": 5, "validity": "DAY",
    });
    client.modify_order(&changed.to_string()).expect("taken");
    client
        .cancel_order(&json!({ "order_id": id }).to_string())
        .expect("taken");
    let requests = sandbox.requests();
    let shapes: Vec<_> = requests
        .iter()
        .map(|request| (request.method.as_str(), request.path.as_str()))
        .collect();
    assert_eq!(
        shapes,
        [
            ("POST", "/quick/order/rule/ms/place"),
            ("POST", "/quick/order/vr/modify"),
            ("POST", "/quick/order/cancel"),
        ]
    );
    assert_eq!(
        j_data(&requests[0]),
        json!({"am": "NO", "dq": "0", "es": "nse_cm", "mp": "0", "pc": "CNC", "pr": "8.60",
               "pt": "L", "qt": "3", "rt": "DAY", "tp": "0", "ts": "IDEA-EQ", "tt": "B",
               "ig": "t-1", "os": "NEOTRADEAPI"})
    );
    assert_eq!(
        j_data(&requests[1]),
        json!({"no": id, "pr": "8.70", "pt": "L", "qt": "5", "vd": "DAY", "tp": "0", "dq": "0",
               "mp": "0", "am": "NO", "os": "NEOTRADEAPI"})
    );
    assert_eq!(j_data(&requests[2]), json!({"on": id, "am": "NO"}));
    for request in &requests {
        for key in ["authorization", "auth", "sid", "x-request-id"] {
            assert!(request.header(key).is_some(), "{key}");
        }
        assert_eq!(request.header("neo-fin-key"), None);
        assert_eq!(
            request.header("content-type"),
            Some("application/x-www-form-urlencoded")
        );
        assert_eq!(request.query_value("sId"), None);
        assert_eq!(request.http_version, "HTTP/1.1");
    }
    assert_eq!(sandbox.orders()[0].status, "cancelled");
}

/// Logs in as generation 1 and gives the client.
fn older(sandbox: &Sandbox) -> Client {
    let client = client_with(sandbox, &json!({"generation": 1}));
    password_login(sandbox, &client).expect("the first step works");
    client
        .session_2fa(&sandbox.credentials().mpin)
        .expect("the second step works");
    sandbox.clear_requests();
    client
}

#[test]
fn generation_1_trades_too() {
    let sandbox = unlimited();
    let client = older(&sandbox);
    let spelled = json!({
        "exchange_segment": "NSE", "product": "Cash and Carry", "price": "8.60",
        "order_type": "Limit", "quantity": "3", "validity": "DAY", "trading_symbol": "IDEA-EQ",
        "transaction_type": "buy",
    });
    let id = number(&place(&client, &spelled).expect("taken"));
    let changed = json!({
        "order_id": id, "price": "8.70", "order_type": "L", "quantity": 5, "validity": "DAY",
    });
    client.modify_order(&changed.to_string()).expect("taken");
    let cancel = json!({"order_id": id, "isVerify": true});
    client.cancel_order(&cancel.to_string()).expect("taken");
    let requests = sandbox.requests();
    let paths: Vec<_> = requests
        .iter()
        .map(|request| request.path.as_str())
        .collect();
    assert_eq!(
        paths,
        [
            "/Orders/2.0/quick/order/rule/ms/place",
            "/Orders/2.0/quick/user/orders",
            "/Orders/2.0/quick/order/vr/modify",
            "/Orders/2.0/quick/user/orders",
            "/Orders/2.0/quick/order/cancel",
        ]
    );
    let place = j_data(&requests[0]);
    assert_eq!(place["pf"], "N");
    assert_eq!(
        (&place["tt"], &place["es"]),
        (&json!("B"), &json!("nse_cm"))
    );
    assert!(place.get("os").is_none());
    let modify = j_data(&requests[2]);
    for (key, value) in [
        ("tp", "0"),
        ("ts", "IDEA-EQ"),
        ("tt", "B"),
        ("es", "nse_cm"),
        ("pc", "CNC"),
        ("dd", "NA"),
        ("fq", "0"),
        ("qt", "5"),
    ] {
        assert_eq!(modify[key], value, "{key}");
    }
    assert!(modify["tk"].as_str().is_some_and(|token| !token.is_empty()));
    for request in &requests {
        assert!(request.query_value("sId").is_some());
        assert!(request.header("neo-fin-key").is_some());
        let authorization = request.header("authorization").expect("a bearer token");
        assert!(authorization.starts_with("Bearer "));
    }
    sandbox.clear_requests();
    let again = client.cancel_order(&cancel.to_string());
    let error = again.expect_err("it is cancelled already");
    assert_eq!(error.status(), Status::InvalidArgument);
    assert!(error.message().contains("is cancelled"), "{error}");
    assert_eq!(sandbox.requests().len(), 1, "only the book was read");
    assert_eq!(sandbox.cancellations_taken(), 1);
}

/// The book may be late. That must not keep a cancel back.
#[test]
fn a_cancel_is_sent_though_the_book_does_not_show_its_order() {
    let sandbox = unlimited();
    let client = older(&sandbox);
    let cancel = json!({"order_id": "1", "isVerify": true});
    let refused = client.cancel_order(&cancel.to_string());
    assert_eq!(status(&refused), Status::Rejected, "{refused:?}");
    let requests = sandbox.requests();
    assert_eq!(requests.len(), 2, "the book and the cancel");
    assert_eq!(requests[1].path, "/Orders/2.0/quick/order/cancel");
}

#[test]
fn what_is_wrong_is_named_and_not_sent() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({}));
    let long = "x".repeat(65);
    for (change, expected) in [
        (
            json!({"exchange_segment": null}),
            "params.exchange_segment: is missing",
        ),
        (
            json!({"exchange_segment": "NSE"}),
            "params.exchange_segment: must be one of",
        ),
        (
            json!({"exchange_segment": "cde_fo"}),
            "params.exchange_segment: must be one of",
        ),
        (json!({"product": "XYZ"}), "params.product: must be one of"),
        (
            json!({"product": "CO"}),
            "params.product: cover and bracket orders are not possible",
        ),
        (
            json!({"product": "bo"}),
            "params.product: cover and bracket orders are not possible",
        ),
        (json!({"price": null}), "params.price: is missing"),
        (
            json!({"price": "nan"}),
            "params.price: must be a plain decimal",
        ),
        (
            json!({"price": "inf"}),
            "params.price: must be a plain decimal",
        ),
        (
            json!({"price": "1_0"}),
            "params.price: must be a plain decimal",
        ),
        (
            json!({"price": " 1"}),
            "params.price: must be a plain decimal",
        ),
        (
            json!({"price": "1e2"}),
            "params.price: must be a plain decimal",
        ),
        (
            json!({"price": "-1"}),
            "params.price: must be a plain decimal",
        ),
        (
            json!({"price": -1}),
            "params.price: must be a plain decimal",
        ),
        (
            json!({"price": ""}),
            "params.price: must be a plain decimal",
        ),
        (
            json!({"price": "0.00"}),
            "params.price: must be greater than zero for order_type L",
        ),
        (
            json!({"order_type": "SL", "price": 0}),
            "params.price: must be greater than zero",
        ),
        (
            json!({"order_type": "SL"}),
            "params.trigger_price: must be greater than zero",
        ),
        (
            json!({"order_type": "SL-M", "price": 0}),
            "params.trigger_price: must be greater",
        ),
        (
            json!({"order_type": "Limit"}),
            "params.order_type: must be one of",
        ),
        (
            json!({"quantity": "1.5"}),
            "params.quantity: must be a whole number",
        ),
        (
            json!({"quantity": 0}),
            "params.quantity: must be greater than zero",
        ),
        (
            json!({"quantity": "-3"}),
            "params.quantity: must be a whole number",
        ),
        (
            json!({"validity": "GTC"}),
            "params.validity: must be one of",
        ),
        (
            json!({"exchange_segment": "mcx_fo", "validity": "IOC"}),
            "params.validity: must be one of \"DAY\"",
        ),
        (
            json!({"trading_symbol": " "}),
            "params.trading_symbol: must not be blank",
        ),
        (
            json!({"trading_symbol": null}),
            "params.trading_symbol: is missing",
        ),
        (
            json!({"transaction_type": "BUY"}),
            "params.transaction_type: must be one of",
        ),
        (json!({"amo": "maybe"}), "params.amo: must be one of"),
        (
            json!({"disclosed_quantity": "x"}),
            "params.disclosed_quantity: must be a whole number",
        ),
        (
            json!({"trigger_price": "x"}),
            "params.trigger_price: must be a plain decimal",
        ),
        (json!({"tag": " "}), "params.tag: must be 1 to 64"),
        (json!({"tag": long}), "params.tag: must be 1 to 64"),
        (
            json!({"intent_id": "i-1"}),
            "params.intent_id: needs a ledger",
        ),
        (
            json!({"timeout_ms": 0}),
            "params.timeout_ms: must be an integer",
        ),
        (json!({"colour": "red"}), "params: unknown key \"colour\""),
        (
            json!({"market_protection": "1"}),
            "params: unknown key \"market_protection\"",
        ),
    ] {
        let error = place(&client, &with(order(), change.clone())).expect_err("refused");
        assert_eq!(error.status(), Status::InvalidArgument, "{change}: {error}");
        assert!(error.message().starts_with(expected), "{change}: {error}");
        assert_eq!(told(&error, "sent"), false);
    }
    let change = json!({
        "order_id": "1", "price": "1", "order_type": "L", "quantity": 1, "validity": "DAY",
    });
    for (more, expected) in [
        (json!({"order_id": null}), "params.order_id: is missing"),
        (
            json!({"order_id": "1/../2"}),
            "params.order_id: must be an order number",
        ),
        (
            json!({"order_id": 1.5}),
            "params.order_id: must be a JSON string or a whole number",
        ),
        (
            json!({"price": "0"}),
            "params.price: must be greater than zero",
        ),
        (
            json!({"validity": "EOS"}),
            "params.validity: must be one of",
        ),
        (json!({"trading_symbol": "IDEA-EQ"}), "params: unknown key"),
    ] {
        let result = client.modify_order(&with(change.clone(), more).to_string());
        let error = result.expect_err("refused");
        assert!(error.message().starts_with(expected), "{error}");
    }
    for (params, expected) in [
        (json!({}), "params.order_id: is missing"),
        (
            json!({"order_id": ""}),
            "params.order_id: must be an order number",
        ),
        (
            json!({"order_id": "1", "isVerify": "yes"}),
            "params.isVerify: must be true or false",
        ),
    ] {
        let error = client
            .cancel_order(&params.to_string())
            .expect_err("refused");
        assert!(error.message().starts_with(expected), "{error}");
    }
    for (params, expected) in [
        (json!({}), "params: give either tag or order_id"),
        (
            json!({"tag": "a", "order_id": "1"}),
            "params: give either tag or order_id",
        ),
        (json!({"tag": ""}), "params.tag: must not be blank"),
    ] {
        let error = client
            .order_outcome(&params.to_string())
            .expect_err("refused");
        assert!(error.message().starts_with(expected), "{error}");
    }
    assert!(sandbox.requests().is_empty());
    assert_eq!(
        status(&place(&crate::support::client(&sandbox), &order())),
        Status::NotLoggedIn
    );
}

#[test]
fn every_documented_refusal_has_its_status() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({}));
    for (name, call, expected, code) in [
        (
            "place_order.error-100008-ip",
            "place",
            Status::Rejected,
            "100008",
        ),
        (
            "place_order.error-100021-access-type",
            "place",
            Status::Rejected,
            "100021",
        ),
        (
            "place_order.error-1004-insufficient",
            "place",
            Status::Rejected,
            "1004",
        ),
        (
            "place_order.error-1007-body-invalid",
            "place",
            Status::Rejected,
            "1007",
        ),
        (
            "place_order.error-1017-algo",
            "place",
            Status::Rejected,
            "1017",
        ),
        (
            "place_order.error-1037-session-ip",
            "place",
            Status::Rejected,
            "1037",
        ),
        ("place_order.error-32-core", "place", Status::Rejected, "32"),
        (
            "place_order.error-5204-duplicate-tag",
            "place",
            Status::Rejected,
            "5204",
        ),
        (
            "modify_order.error-1006-executed",
            "modify",
            Status::Rejected,
            "1006",
        ),
        (
            "modify_order.error-1021-complete",
            "modify",
            Status::Rejected,
            "1021",
        ),
        (
            "cancel_order.error-1006",
            "cancel",
            Status::Rejected,
            "1006",
        ),
        (
            "cancel_order.error-14-amo-flag",
            "cancel",
            Status::Rejected,
            "14",
        ),
        (
            "cancel_order.error-5204-bad-input",
            "cancel",
            Status::Rejected,
            "5204",
        ),
        (
            "cancel_order.error-91400-not-api",
            "cancel",
            Status::Rejected,
            "91400",
        ),
        (
            "error-invalid-session-1003",
            "place",
            Status::SessionExpired,
            "1003",
        ),
        (
            "error-invalid-session-1003",
            "cancel",
            Status::SessionExpired,
            "1003",
        ),
        (
            "error-gateway-fault",
            "place",
            Status::SessionExpired,
            "900901",
        ),
        (
            "error-gateway-fault-flat",
            "modify",
            Status::SessionExpired,
            "900901",
        ),
    ] {
        for http in [200, 400, 403] {
            let path = match call {
                "place" => "/quick/order/rule/ms/place",
                "modify" => "/quick/order/vr/modify",
                _ => "/quick/order/cancel",
            };
            sandbox.clear_faults();
            fault(
                &sandbox,
                path,
                answer(http, "application/json", &sample(name)),
            );
            let result = match call {
                "place" => place(&client, &with(order(), json!({"tag": format!("{name}-{http}")}))),
                "modify" => client.modify_order(
                    r#"{"order_id":"1","price":"1","order_type":"L","quantity":1,"validity":"DAY"}"#,
                ),
                _ => client.cancel_order(r#"{"order_id":"1"}"#),
            };
            let error = result.expect_err(name);
            assert_eq!(error.status(), expected, "{name} {http}: {error:?}");
            assert_eq!(error.code(), Some(code));
            assert_eq!(told(&error, "sent"), true);
            assert_eq!(told(&error, "safe_to_repeat"), false);
            assert!(error.hint().is_some() && told(&error, "tag").is_string());
        }
    }
}

#[test]
fn anything_else_is_an_unknown_outcome() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({}));
    let taken = r#"{"nOrdNo":"1","stat":"Ok","stCode":200}"#;
    for (http, body) in [
        (200, ""),
        (200, "{}"),
        (200, "[]"),
        (200, "<html></html>"),
        (200, r#"{"stat":"Ok","stCode":200}"#),
        (200, r#"{"stat":"Ok","stCode":200,"nOrdNo":""}"#),
        (200, r#"{"stat":"Ok","stCode":200,"nOrdNo":null}"#),
        (200, r#"{"stat":"Not_Ok","emsg":"something"}"#),
        (
            200,
            r#"{"stat":"Not_Ok","emsg":"something","stCode":987654}"#,
        ),
        (200, r#"{"stat":"Not_Ok","emsg":"internal","stCode":1005}"#),
        // Says yes and no at once.
        (
            200,
            r#"{"nOrdNo":"1","stat":"Not_Ok","stCode":1009,"emsg":"x"}"#,
        ),
        (201, taken),
        (302, taken),
        (401, r#"{"stat":"Not_Ok","message":"Invalid credentials"}"#),
        (403, ""),
        (404, "{}"),
        (424, "{}"),
        (429, "{}"),
        (429, r#"{"stCode":429,"errMsg":"too many"}"#),
        (500, "<html></html>"),
        (502, taken),
        (503, "{}"),
        (504, ""),
    ] {
        sandbox.clear_faults();
        fault(
            &sandbox,
            "/quick/order/rule/ms/place",
            answer(http, "application/json", body),
        );
        let error = place(&client, &order()).expect_err(body);
        assert_eq!(
            error.status(),
            Status::UnknownOutcome,
            "{http} {body}: {error:?}"
        );
        assert_eq!(told(&error, "sent"), true);
        assert_eq!(told(&error, "safe_to_repeat"), false);
        let tag = told(&error, "tag");
        let tag = tag.as_str().expect("the order has a tag");
        assert!(
            error.hint().is_some_and(|hint| hint.contains(tag)),
            "{error:?}"
        );
    }
    // A tag that we made for one order can only be in use by that order.
    sandbox.clear_faults();
    let body = sample("place_order.error-5204-duplicate-tag");
    fault(
        &sandbox,
        "/quick/order/rule/ms/place",
        answer(200, "application/json", &body),
    );
    assert_eq!(status(&place(&client, &order())), Status::UnknownOutcome);
}

#[test]
fn every_order_has_a_tag_of_its_own() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({}));
    let mut tags: Vec<_> = (0..50)
        .map(|_| meta(&place(&client, &order()).expect("taken"), "tag").to_string())
        .collect();
    let mut sent: Vec<_> = sandbox
        .orders()
        .iter()
        .map(|order| format!("\"{}\"", order.tag))
        .collect();
    tags.sort();
    sent.sort();
    assert_eq!(tags, sent);
    tags.dedup();
    assert_eq!(tags.len(), 50);
}

#[test]
fn numbers_are_sent_as_they_were_given() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({}));
    for (price, text) in [
        ("8.70", "8.70"),
        ("\"8.70\"", "8.70"),
        ("8.7000000000000000001", "8.7000000000000000001"),
        ("\"008.60\"", "008.60"),
        ("9007199254740993", "9007199254740993"),
    ] {
        sandbox.clear_requests();
        let mut params = order();
        params["price"] = json!("PRICE");
        let params = params.to_string().replace("\"PRICE\"", price);
        // Whether the sandbox likes the price does not matter here.
        let result = client.place_order(&params);
        assert!(
            matches!(status(&result), Status::Ok | Status::Rejected),
            "{result:?}"
        );
        assert_eq!(j_data(&sandbox.requests()[0])["pr"], text);
    }
}

/// Where zero is meant, the broker takes `0` alone.
#[test]
fn zero_is_sent_as_0_however_it_was_written() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({}));
    let sent = || {
        let sent = j_data(&sandbox.requests()[0]);
        sandbox.clear_requests();
        sent
    };
    let limit = placed(&client);
    for zero in [
        "0",
        "0.0",
        "0.00",
        "\"0\"",
        "\"0.0\"",
        "\"00\"",
        "\"000.000\"",
    ] {
        sandbox.clear_requests();
        let zero: Value = serde_json::from_str(zero).expect("it is JSON");
        // Disclosed quantities are whole numbers.
        let whole = zero.as_str().is_some_and(|text| text == "00");
        let mut more = json!({"order_type": "MKT", "price": zero, "trigger_price": zero});
        if whole {
            more["disclosed_quantity"] = zero.clone();
        }
        place(&client, &with(order(), more.clone())).expect("taken");
        let body = sent();
        for key in ["pr", "tp", "dq", "mp"] {
            assert_eq!(body[key], "0", "{zero} {key}");
        }
        let change = json!({"order_id": limit, "order_type": "L", "quantity": 4, "price": "8.70",
                            "validity": "DAY", "trigger_price": zero});
        client.modify_order(&change.to_string()).expect("taken");
        assert_eq!(sent()["tp"], "0", "{zero}");
        let margin = json!({
            "exchange_segment": "nse_cm", "product": "CNC", "order_type": "MKT", "price": zero,
            "quantity": 1, "instrument_token": "14366", "transaction_type": "B",
            "trigger_price": zero, "stop_loss_value": zero, "square_off_value": zero,
            "trailing_sl_value": zero,
        });
        client
            .margin_required(&margin.to_string())
            .expect("it is read");
        let body = sent();
        for key in ["prc", "trgPrc", "slVal", "sqrOffVal", "tSLTks"] {
            assert_eq!(body[key], "0", "{zero} {key}");
        }
    }
    // The text of a number survives: JSON numbers too.
    let params = with(order(), json!({"order_type": "MKT"})).to_string();
    let params = params.replace(r#""8.60""#, "0.000");
    client.place_order(&params).expect("taken");
    assert_eq!(sent()["pr"], "0");
    let older = older(&sandbox);
    let more = json!({"order_type": "MKT", "price": "0.0", "market_protection": "0.0",
                      "exchange_segment": "NSE"});
    place(&older, &with(order(), more)).expect("taken");
    let body = sent();
    assert_eq!((&body["pr"], &body["mp"]), (&json!("0"), &json!("0")));
}

/// The broker takes such an order, and its risk check rejects it, every time.
#[test]
fn a_stop_market_order_is_told_to_be_rejected() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({}));
    let told = |reply: &Reply| meta(reply, "notes").to_string();
    let stop = json!({"order_type": "SL-M", "price": "0", "trigger_price": "9.80"});
    let reply = place(&client, &with(order(), stop.clone())).expect("it is not refused here");
    for part in [
        "SL-M",
        "always rejected",
        "send SL with a limit price beyond the trigger",
    ] {
        assert!(told(&reply).contains(part), "{}", told(&reply));
    }
    let rejected = &sandbox.orders()[0];
    assert_eq!(rejected.status, "rejected");
    assert_eq!(rejected.rejection, "Market order with Algo Id not allowed");
    let id = placed(&client);
    let change = with(
        stop,
        json!({"order_id": id, "quantity": 3, "validity": "DAY"}),
    );
    let reply = client.modify_order(&change.to_string()).expect("taken");
    assert!(told(&reply).contains("always rejected"), "{}", told(&reply));
    let reply = place(
        &client,
        &with(order(), json!({"order_type": "MKT", "price": 0})),
    );
    assert_eq!(meta(&reply.expect("taken"), "notes"), Value::Null);
    let older = older(&sandbox);
    let alias = json!({"order_type": "Stop loss market", "price": "0", "trigger_price": "9.80"});
    let reply = place(&older, &with(order(), alias)).expect("taken");
    assert!(told(&reply).contains("always rejected"), "{}", told(&reply));
    // Of one that may have been taken nothing is claimed.
    fault(&sandbox, What::Place.path(), FaultKind::ResetAfter);
    let stop = json!({"order_type": "SL-M", "price": "0", "trigger_price": "9.80"});
    let error = place(&client, &with(order(), stop)).expect_err("no answer");
    assert_eq!(error.status(), Status::UnknownOutcome, "{error}");
    assert!(!error.meta().contains("rejected"), "{}", error.meta());
}

/// The rows stay the broker's, byte for byte; what is known of them stands beside.
#[test]
fn known_reasons_of_rejections_have_hints() {
    let sandbox = start(Options {
        orders_per_second: 0,
        cash_rupees: 1000,
        ..Options::default()
    });
    let client = trader(&sandbox, &json!({}));
    let mut expected = Vec::new();
    let mut reject = |more: Value, reason: &str, hint: &str| {
        let reply = place(&client, &with(order(), more)).expect("taken");
        expected.insert(0, (number(&reply), reason.to_owned(), hint.to_owned()));
    };
    reject(
        json!({"price": "8.605"}),
        "16283: Order price is not",
        "multiples of",
    );
    reject(
        json!({"order_type": "SL-M", "price": "0", "trigger_price": "9.80"}),
        "Market order with Algo Id not allowed",
        "send SL with a limit",
    );
    reject(
        json!({"quantity": 900}),
        "RMS:Margin Exceeds,Cash Available:",
        "funds",
    );
    for (rejection, reason, hint) in [
        (
            Rejection::CasTransition,
            "OMS: Trading session is in",
            "a little later",
        ),
        (
            Rejection::AdapterLoggedOff,
            "Adapter is Logged Off",
            "no connection to this exchange",
        ),
    ] {
        let mut switches = sandbox.switches();
        switches.reject_orders = Some(rejection);
        sandbox.set_switches(switches);
        reject(json!({}), reason, hint);
    }
    sandbox.set_switches(kotak_neo_sandbox::Switches::default());
    let open = placed(&client);
    let holds = |reply: &Reply, wanted: &[(String, String, String)]| {
        let hints = meta(reply, "hints");
        let hints = hints.as_array().expect("a list").clone();
        assert_eq!(hints.len(), wanted.len(), "{hints:?}");
        for (told, (id, reason, hint)) in hints.iter().zip(wanted) {
            assert_eq!(told["order_id"], json!(id));
            let starts = |key: &str| told[key].as_str().expect("a text").to_owned();
            assert!(starts("reason").starts_with(reason), "{told}");
            assert!(starts("hint").contains(hint), "{told}");
        }
        assert_eq!(meta(reply, "hints_left_out"), Value::Null);
    };
    let book = client.order_report(None).expect("the book");
    holds(&book, &expected);
    let ucc = &sandbox.credentials().ucc;
    assert!(
        book.json().contains(ucc) && !book.meta().contains(ucc),
        "{}",
        book.meta()
    );
    for one in &expected {
        let wanted = std::slice::from_ref(one);
        holds(
            &client.order_report(Some(&one.0)).expect("one order"),
            wanted,
        );
        holds(&client.order_history(&one.0).expect("its states"), wanted);
        let reply = client.order_outcome(&json!({"order_id": one.0}).to_string());
        let reply = reply.expect("the book is read");
        holds(&reply, wanted);
        let found = crate::support::json(reply.json());
        assert!(
            found["hint"]
                .as_str()
                .is_some_and(|hint| hint.contains(&one.2)),
            "{found}"
        );
    }
    let reply = client.order_report(Some(&open)).expect("one order");
    assert_eq!(meta(&reply, "hints"), Value::Null);
    assert_eq!(
        outcome(&client, json!({"order_id": open}))["hint"],
        Value::Null
    );
}

#[test]
fn a_book_with_hints_is_passed_on_byte_for_byte() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({}));
    let rejected = sample("order_history.rejected.ok");
    fault(
        &sandbox,
        "/quick/",
        answer(200, "application/json", &rejected),
    );
    for reply in [
        client.order_history("250720000007242"),
        client.order_report(None),
        client.order_report(Some("250720000007242")),
    ] {
        let reply = reply.expect("it is a book");
        assert_eq!(reply.json(), rejected);
        let hints = meta(&reply, "hints");
        assert_eq!(hints.as_array().map(Vec::len), Some(1), "{hints}");
        assert_eq!(hints[0]["reason"], "ADAPTER is down");
    }
    // A hundred rows with reasons: some are told, and how many not.
    sandbox.clear_faults();
    let row = |at: usize| format!(r#"{{"nOrdNo":"{at}","rejRsn":"ADAPTER  is down"}}"#);
    let rows: Vec<_> = (0..100).map(row).collect();
    let book = format!(
        r#"{{"stat":"Ok","stCode":200,"data":[{}]}}"#,
        rows.join(", ")
    );
    fault(&sandbox, "/quick/", answer(200, "application/json", &book));
    let reply = client.order_report(None).expect("it is a book");
    assert_eq!(reply.json(), book);
    assert_eq!(meta(&reply, "hints").as_array().map(Vec::len), Some(64));
    assert_eq!(meta(&reply, "hints_left_out"), 36);
}

#[test]
fn the_ceiling_holds_in_every_sliding_second() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({"max_orders_per_second": 10}));
    let started = Instant::now();
    for _ in 0..9 {
        placed(&client);
    }
    // The tenth slot is for cancels.
    let in_no_time = with(order(), json!({"timeout_ms": 50}));
    if started.elapsed() < Duration::from_millis(800) {
        let error = place(&client, &in_no_time).expect_err("nine are used up");
        assert_eq!(error.status(), Status::RateLimited);
        assert!(
            told(&error, "retry_after_ms")
                .as_u64()
                .is_some_and(|ms| ms <= 1000)
        );
        assert_eq!(
            (told(&error, "sent"), told(&error, "safe_to_repeat")),
            (json!(false), json!(true))
        );
        let id = sandbox.orders()[0].number.clone();
        client
            .cancel_order(&json!({"order_id": id, "timeout_ms": 500}).to_string())
            .expect("the cancel's slot is free");
    }
    // With a longer deadline it waits instead.
    placed(&client);
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(sandbox.orders_taken(), 10);
}

/// Threads that wait for a slot all get one, and cancels are not kept waiting
/// by orders.
#[test]
fn every_thread_gets_its_turn() {
    const THREADS: usize = 6;
    const EACH: usize = 4;
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({"max_orders_per_second": 10}));
    let victim = placed(&client);
    let patient = with(order(), json!({"timeout_ms": 60_000}));
    std::thread::scope(|scope| {
        let work = || {
            for _ in 0..EACH {
                place(&client, &patient).expect("it gets a slot");
            }
        };
        let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        // All others want more than there is.
        let seen = sandbox.wait_for_requests(9, Duration::from_secs(60));
        assert!(seen.len() >= 9, "the slots of the first second are used");
        let cancel = json!({"order_id": victim, "timeout_ms": 60_000});
        client.cancel_order(&cancel.to_string()).expect("taken");
        let done = workers.iter().filter(|worker| worker.is_finished()).count();
        assert!(done < THREADS, "orders were still waiting");
        for worker in workers {
            worker.join().expect("no panic");
        }
    });
    assert_eq!(sandbox.orders_taken(), (THREADS * EACH + 1) as u64);
    assert_eq!(sandbox.cancellations_taken(), 1);
}

#[test]
fn an_unknown_outcome_is_settled_as_placed() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({}));
    fault(
        &sandbox,
        "/quick/order/rule/ms/place",
        FaultKind::ResetAfter,
    );
    let error = place(&client, &order()).expect_err("no answer");
    assert_eq!(error.status(), Status::UnknownOutcome, "{error}");
    let tag = told(&error, "tag");
    let open = crate::support::json(client.open_intents().expect("local").json());
    assert_eq!(open["intents"][0]["tag"], tag);
    assert_eq!(open["intents"][0]["request"]["ts"], "IDEA-EQ");
    let twice = place(&client, &with(order(), json!({"tag": tag}))).expect_err("still open");
    assert_eq!(twice.status(), Status::InvalidArgument);
    let found = outcome(&client, json!({"tag": tag}));
    assert_eq!(found["outcome"], "placed");
    assert_eq!(found["order_id"], json!(sandbox.orders()[0].number));
    assert_eq!(found["row"]["GuiOrdId"], tag);
    assert_eq!(found["state"], "open");
    let open = crate::support::json(client.open_intents().expect("local").json());
    assert_eq!(open["intents"], json!([]));
    assert_eq!(sandbox.orders_taken(), 1);
    // It may be asked again.
    assert_eq!(outcome(&client, json!({"tag": tag}))["outcome"], "placed");
}

#[test]
fn an_unknown_outcome_is_settled_as_absent_after_the_window() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({"outcome_window_ms": 1500}));
    // Rows that must not be taken for it.
    placed(&client);
    place(&client, &with(order(), json!({"quantity": 7}))).expect("taken");
    fault(
        &sandbox,
        "/quick/order/rule/ms/place",
        FaultKind::ResetBefore,
    );
    let error = place(&client, &order()).expect_err("no answer");
    assert_eq!(error.status(), Status::UnknownOutcome, "{error}");
    let tag = told(&error, "tag");
    let found = outcome(&client, json!({"tag": tag, "timeout_ms": 100}));
    assert_eq!(found["outcome"], "unknown", "{found}");
    assert!(found["ask_again_after_ms"].as_u64().is_some());
    let found = outcome(&client, json!({"tag": tag, "timeout_ms": 30_000}));
    assert_eq!(found["outcome"], "absent", "{found}");
    assert!(found["reads"].as_u64().is_some_and(|reads| reads >= 2));
    assert_eq!(outcome(&client, json!({"tag": tag}))["outcome"], "absent");
    assert_eq!(sandbox.orders_taken(), 2);
}

#[test]
fn a_row_alike_with_another_tag_keeps_it_unknown() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({"outcome_window_ms": 1000}));
    fault(
        &sandbox,
        "/quick/order/rule/ms/place",
        FaultKind::ResetBefore,
    );
    let error = place(&client, &order()).expect_err("no answer");
    let tag = told(&error, "tag");
    let other = sandbox.place_from_app("nse_cm", "IDEA-EQ", "B", 3, "8.60");
    assert!(!other.is_empty());
    let found = outcome(&client, json!({"tag": tag, "timeout_ms": 6000}));
    assert_eq!(found["outcome"], "unknown", "{found}");
    assert_eq!(found["candidates"].as_array().map(Vec::len), Some(1));
}

#[test]
fn changes_are_settled_by_the_state_of_the_order() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({"outcome_window_ms": 1000}));
    let id = placed(&client);
    let change = json!({
        "order_id": id, "price": "8.70", "order_type": "L", "quantity": 4, "validity": "DAY",
    });
    for (fault_kind, expected) in [
        (FaultKind::ResetBefore, "absent"),
        (FaultKind::ResetAfter, "applied"),
    ] {
        sandbox.clear_faults();
        fault(&sandbox, "/quick/order/vr/modify", fault_kind);
        let error = client
            .modify_order(&change.to_string())
            .expect_err("no answer");
        assert_eq!(error.status(), Status::UnknownOutcome, "{error}");
        assert!(
            error.hint().is_some_and(|hint| hint.contains(&id)),
            "{error:?}"
        );
        let found = outcome(&client, json!({"order_id": id, "timeout_ms": 30_000}));
        assert_eq!(found["outcome"], expected, "{found}");
        assert_eq!(found["operation"], "modify_order");
        // Asked again, it is not called placed because the order is there.
        let again = outcome(&client, json!({"order_id": id}));
        assert_eq!(again["outcome"], "unknown", "{again}");
        assert_eq!(again["row"]["nOrdNo"], json!(id));
        let tag = told(&error, "tag");
        let again = outcome(&client, json!({"tag": tag}));
        if expected == "absent" {
            assert_eq!(again["outcome"], "absent", "{again}");
        } else {
            let message = again["message"].as_str().expect("a message");
            assert!(message.contains("settled before as taken"), "{again}");
        }
    }
    assert_eq!(sandbox.modifications_taken(), 1);
    let cancel = json!({ "order_id": id }).to_string();
    for (fault_kind, expected) in [
        (FaultKind::ResetBefore, "absent"),
        (FaultKind::ResetAfter, "applied"),
    ] {
        sandbox.clear_faults();
        fault(&sandbox, "/quick/order/cancel", fault_kind);
        let error = client.cancel_order(&cancel).expect_err("no answer");
        assert_eq!(error.status(), Status::UnknownOutcome, "{error}");
        let tag = told(&error, "tag");
        let found = outcome(&client, json!({"tag": tag, "timeout_ms": 30_000}));
        assert_eq!(found["outcome"], expected, "{found}");
    }
    assert_eq!(sandbox.cancellations_taken(), 1);
}

#[test]
fn what_nobody_sent_is_not_called_absent() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({}));
    let found = outcome(&client, json!({"tag": "never-heard-of"}));
    assert_eq!(found["outcome"], "unknown", "{found}");
    let id = placed(&client);
    // That the order is there says nothing of a change of it.
    let found = outcome(&client, json!({"order_id": id}));
    assert_eq!(found["outcome"], "unknown", "{found}");
    assert_eq!(found["row"]["nOrdNo"], json!(id));
    assert_eq!(found["state"], "open");
    assert_eq!(found["ask_again_after_ms"], Value::Null);
    fault(&sandbox, "/quick/user/orders", answer(503, "text/html", ""));
    let failed = client.order_outcome(r#"{"tag":"x","timeout_ms":100}"#);
    assert_eq!(status(&failed), Status::Unavailable);
}

#[test]
fn a_slow_report_delays_no_order() {
    let sandbox = unlimited();
    let client = trader(&sandbox, &json!({}));
    placed(&client);
    fault(&sandbox, "/quick/user/trades", FaultKind::Hang);
    fault(
        &sandbox,
        "/quick/user/orders",
        FaultKind::Trickle { ms: 20 },
    );
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| client.trade_report());
        let trickle = scope.spawn(|| client.order_report(None));
        let seen = sandbox.wait_for_requests(3, Duration::from_secs(30));
        assert!(seen.len() >= 3, "both reports are under way");
        for _ in 0..5 {
            placed(&client);
        }
        client.interrupt();
        let slow = slow.join().expect("no panic");
        assert_eq!(status(&slow), Status::Closed, "it waited all the time");
        drop(trickle.join().expect("no panic"));
    });
    assert_eq!(sandbox.orders_taken(), 6);
}

#[test]
fn the_session_is_needed_and_may_be_of_the_view_kind_no_longer() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    crate::support::totp_login(&sandbox, &client).expect("the first step works");
    sandbox.clear_requests();
    let results = [
        place(&client, &order()),
        client.cancel_order(r#"{"order_id":"1"}"#),
        client.order_outcome(r#"{"tag":"x"}"#),
    ];
    for result in results {
        assert_eq!(status(&result), Status::NotLoggedIn);
    }
    assert!(sandbox.requests().is_empty());
}
