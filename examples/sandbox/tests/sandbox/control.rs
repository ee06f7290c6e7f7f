//! The endpoint under `/sandbox/`.

use http::Method;
use serde_json::{Value, json};

use crate::client::Ask;
use crate::trader::Trader;
use crate::{v1, v3};

fn get(path: &str) -> Ask {
    Ask::get(&format!("/sandbox/{path}"))
}

fn post(path: &str, body: &Value) -> Ask {
    Ask::post(&format!("/sandbox/{path}"), body)
}

fn delete(path: &str) -> Ask {
    let mut ask = get(path);
    ask.method = Method::DELETE;
    ask
}

#[test]
fn shows_and_clears_the_record() {
    let sandbox = v3::start();
    v3::view(&sandbox);
    let listed = get("requests").reply(&sandbox).expect(200);
    let recorded = sandbox.requests();
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    let first = &listed[0];
    assert_eq!(first["seq"], 1);
    assert_eq!(first["method"], "POST");
    assert_eq!(first["path"], v3::LOGIN);
    assert_eq!(first["query"], json!([]));
    assert_eq!(first["body"], recorded[0].body_text());
    assert_eq!(first["http_version"], "HTTP/1.1");
    assert_eq!(first["connection"], 1);
    assert_eq!(first["client_addr"], recorded[0].client_addr.to_string());
    assert_eq!(first["known_route"], true);
    assert_eq!(first["answered"], 200);
    let header = json!(["neo-fin-key", "neotradeapi"]);
    assert!(first["headers"].as_array().unwrap().contains(&header));
    {
        use base64::Engine as _;
        let encoded = base64::engine::general_purpose::STANDARD.encode(&recorded[0].body);
        assert_eq!(first["body_base64"], encoded);
    }
    delete("requests").reply(&sandbox).expect(200);
    assert_eq!(get("requests").reply(&sandbox).expect(200), json!([]));
    assert_eq!(sandbox.requests(), []);
}

#[test]
fn sets_and_clears_faults_but_is_spared_by_them() {
    let sandbox = v3::start();
    let fault = json!({"kind": "answer", "status": 503, "body": "down"});
    post("faults", &fault).reply(&sandbox).expect(200);
    let reply = v3::login_ask(&sandbox, v3::LOGIN).reply(&sandbox);
    assert_eq!((reply.status.as_u16(), &*reply.body), (503, &b"down"[..]));
    delete("faults").reply(&sandbox).expect(200);
    v3::view(&sandbox);

    let once =
        json!({"path": "/login", "times": 1, "kind": "base_url", "url": "https://x.invalid"});
    post("faults", &once).reply(&sandbox).expect(200);
    let bad = post("faults", &json!({"kind": "hang", "mood": 1}))
        .reply(&sandbox)
        .expect(400);
    assert_eq!(bad["error"][0]["message"], "unknown key mood");
}

#[test]
fn expires_what_was_issued() {
    let sandbox = v3::start();
    let trade = v3::trade(&sandbox);
    let bearer = v1::bearer(&sandbox);
    post("expire-sessions", &json!({}))
        .reply(&sandbox)
        .expect(200);
    v3::client_ip_ask(&sandbox, &trade)
        .reply(&sandbox)
        .expect(403);
    v1::view(&sandbox, &bearer);
    post("expire-bearers", &json!({}))
        .reply(&sandbox)
        .expect(200);
    v1::logout_ask("/login/1.0/logout", &bearer, &trade)
        .reply(&sandbox)
        .expect(401);
}

#[test]
fn tells_codes_and_credentials() {
    let sandbox = v3::start();
    // The step may change between the two readings, but not twice.
    let before = sandbox.totp_now();
    let told = get("totp").reply(&sandbox).expect(200)["totp"].clone();
    assert!(told == before || told == sandbox.totp_now());
    assert_eq!(get("otp").reply(&sandbox).expect(200)["otp"], Value::Null);
    let bearer = v1::bearer(&sandbox);
    v1::view(&sandbox, &bearer);
    Ask::post(
        "/login/1.0/login/otp/generate",
        &json!({"userId": "fake-user-0000", "sendEmail": true, "isWhitelisted": true}),
    )
    .with("authorization", bearer)
    .reply(&sandbox)
    .expect(200);
    let otp = get("otp").reply(&sandbox).expect(200)["otp"].clone();
    assert_eq!(otp, json!(sandbox.last_otp()));
    let told = get("credentials").reply(&sandbox).expect(200);
    assert_eq!(told["mpin"], sandbox.credentials().mpin);
    assert_eq!(told.as_object().map(serde_json::Map::len), Some(9));
    get("qr").reply(&sandbox).expect(400);
}

#[test]
fn knows_no_other_path() {
    let sandbox = v3::start();
    get("nothing").reply(&sandbox).expect(404);
    post("requests", &json!({})).reply(&sandbox).expect(404);
    assert_eq!(sandbox.requests(), []);
}

#[test]
fn closes_connections() {
    let sandbox = v3::start();
    // The answer may be cut off by what was asked for.
    let _ = post("close-connections", &json!({})).send(&sandbox);
    v3::view(&sandbox);
    assert_eq!(sandbox.connections(), 2);
}

#[test]
fn shows_the_books_and_counts() {
    let trader = Trader::start();
    let number = trader.place(&json!({"pr": "9.40", "ig": "mine", "qt": "2"}));
    let show = |path: &str| get(path).reply(&trader.sandbox).expect(200);
    let orders = show("orders");
    assert_eq!(orders[0]["number"], json!(number));
    for (key, value) in [
        ("tag", json!("mine")),
        ("symbol", json!("IDEA-EQ")),
        ("status", json!("complete")),
        ("filled", json!(2)),
        ("price", json!("9.40")),
    ] {
        assert_eq!(orders[0][key], value);
    }
    assert_eq!(show("trades")[0]["order"], json!(number));
    assert_eq!(show("positions")[0]["bought_for"], "18.80");
    assert_eq!(
        show("counts"),
        json!({
            "orders": 1, "modifications": 0, "cancellations": 0,
            "peak": {"sliding_second": 1, "clock_second": 1},
        })
    );
}

#[test]
fn moves_the_market_and_the_account() {
    let trader = Trader::start();
    let tell = |path: &str, body: Value| post(path, &body).reply(&trader.sandbox).expect(200);
    let number = trader.place(&json!({"pr": "9.30"}));
    tell(
        "price",
        json!({"segment": "nse_cm", "symbol": "IDEA-EQ", "price": "9.20"}),
    );
    assert_eq!(trader.order(&number).status, "complete");
    tell("tick", json!({"times": 20}));
    assert_ne!(
        trader.sandbox.price("nse_cm", "IDEA-EQ").as_deref(),
        Some("9.20")
    );
    tell("tick", json!({}));
    let switches = tell("switches", json!({"market_open": false, "liquidity": 5}));
    assert_eq!(
        (&switches["market_open"], &switches["liquidity"]),
        (&json!(false), &json!(5))
    );
    assert_eq!(get("switches").reply(&trader.sandbox).expect(200), switches);
    assert!(!trader.sandbox.switches().market_open);
    tell("switches", json!({"market_open": true, "liquidity": null}));
    tell(
        "carry-forward",
        json!({"segment": "nse_cm", "symbol": "TCS-EQ", "product": "NRML", "quantity": -3, "price": "2100"}),
    );
    let carried = trader.sandbox.positions();
    assert!(
        carried
            .iter()
            .any(|position| position.symbol == "TCS-EQ" && position.net == -3)
    );
    tell(
        "holdings",
        json!({"holdings": [{"segment": "nse_cm", "symbol": "TCS-EQ", "quantity": 3, "price": "2000"}]}),
    );
    let holdings = trader.get(crate::trader::HOLDINGS).expect(200);
    assert_eq!(holdings["data"][0]["symbol"], "TCS");
    let placed = tell(
        "app-order",
        json!({"segment": "nse_cm", "symbol": "IDEA-EQ", "side": "B", "quantity": 2, "price": "9.00"}),
    );
    let order = trader.order(placed["number"].as_str().unwrap());
    assert_eq!(order.quantity, 2);
    assert!(order.tag.starts_with("TEST1-"), "{}", order.tag);

    for (path, body, word) in [
        (
            "price",
            json!({"segment": "nse_cm", "symbol": "NOBODY", "price": "1"}),
            "NOBODY",
        ),
        (
            "price",
            json!({"segment": "x", "symbol": "IDEA-EQ", "price": "1"}),
            "segment x",
        ),
        (
            "price",
            json!({"segment": "nse_cm", "symbol": "IDEA-EQ", "price": "-1"}),
            "-1",
        ),
        (
            "price",
            json!({"segment": "nse_cm", "symbol": "IDEA-EQ", "price": "1", "mood": 1}),
            "mood",
        ),
        ("tick", json!({"times": -1}), "times"),
        ("switches", json!({"mood": 1}), "mood"),
        ("holdings", json!({}), "holdings"),
        (
            "carry-forward",
            json!({"segment": "nse_cm", "symbol": "TCS-EQ", "product": "X", "quantity": 1, "price": "1"}),
            "product X",
        ),
        (
            "app-order",
            json!({"segment": "nse_cm", "symbol": "TCS-EQ", "side": "X", "quantity": 1, "price": "1"}),
            "side X",
        ),
    ] {
        let refusal = post(path, &body).reply(&trader.sandbox).expect(400);
        let message = refusal["error"][0]["message"].as_str().unwrap();
        assert!(message.contains(word), "{path}: {message}");
    }
}
