//! Books, portfolio and market data: what is sent, what is given back, and
//! what is refused locally.

use kotak_neo::{Client, Error, Reply, Status};
use kotak_neo_sandbox::{FaultKind, Options, Recorded, Sandbox};
use serde_json::{Value, json};

use crate::support::{
    answer, client, client_with, fault, log_in, password_login, paths, sample, sandbox, start,
    status, told,
};

/// The decoded form body, `null` where there is none.
fn j_data(request: &Recorded) -> Value {
    match request.body_text().strip_prefix("jData=") {
        Some(text) => {
            let decoded = url::form_urlencoded::parse(format!("j={text}").as_bytes())
                .next()
                .map(|(_, value)| value.into_owned());
            crate::support::json(&decoded.expect("a form field"))
        }
        None => {
            assert!(request.body.is_empty(), "{}", request.body_text());
            Value::Null
        }
    }
}

/// One reading call of generation 3.
struct Read {
    name: &'static str,
    params: Value,
    method: &'static str,
    path: &'static str,
    query: &'static [(&'static str, &'static str)],
    body: Value,
    /// Content type, and whether key and session are sent.
    headers: (&'static str, bool, bool),
    sample: &'static str,
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

fn reads() -> Vec<Read> {
    let margin = json!({
        "exchange_segment": "nse_cm", "price": "2450.50", "order_type": "L", "product": "CNC",
        "quantity": 7, "instrument_token": "11536", "transaction_type": "Buy",
    });
    let read = |name, params, method, path, query, body, headers, sample| Read {
        name,
        params,
        method,
        path,
        query,
        body,
        headers,
        sample,
    };
    let none = || Value::Null;
    vec![
        read(
            "order_report",
            json!({}),
            "GET",
            "/quick/user/orders",
            &[],
            none(),
            (JSON, false, true),
            "order_report.ok",
        ),
        read(
            "order_report",
            json!({"order_id": "250122000624384"}),
            "GET",
            "/quick/user/orders/250122000624384",
            &[],
            none(),
            (JSON, false, true),
            "order_report.ok",
        ),
        read(
            "order_history",
            json!({"order_id": "250122000624384"}),
            "POST",
            "/quick/order/history",
            &[],
            json!({"nOrdNo": "250122000624384"}),
            (FORM, false, true),
            "order_history.ok",
        ),
        read(
            "trade_report",
            json!({}),
            "GET",
            "/quick/user/trades",
            &[],
            none(),
            (JSON, false, true),
            "trade_report.ok",
        ),
        read(
            "positions",
            json!({}),
            "GET",
            "/portfolio/v2/positions",
            &[],
            none(),
            (JSON, false, true),
            "positions.ok",
        ),
        read(
            "holdings",
            json!({}),
            "GET",
            "/portfolio/v1/holdings",
            &[],
            none(),
            (FORM, false, true),
            "holdings.ok",
        ),
        read(
            "limits",
            json!({}),
            "POST",
            "/quick/user/limits",
            &[],
            json!({"seg": "ALL", "exch": "ALL", "prod": "ALL"}),
            (FORM, false, true),
            "limits.ok",
        ),
        read(
            "limits",
            json!({"segment": "CASH", "product": "CNC"}),
            "POST",
            "/quick/user/limits",
            &[],
            json!({"seg": "CASH", "exch": "ALL", "prod": "CNC"}),
            (FORM, false, true),
            "limits.ok",
        ),
        read(
            "margin_required",
            margin,
            "POST",
            "/quick/user/check-margin",
            &[],
            json!({
                "exSeg": "nse_cm", "prc": "2450.50", "prcTp": "L", "prod": "CNC", "qty": "7",
                "tok": "11536", "trnsTp": "B", "trgPrc": null, "brkName": "KOTAK", "brnchId": "ONLINE",
                "slAbsOrTks": null, "slVal": null, "sqrOffAbsOrTks": null, "sqrOffVal": null,
                "trailSL": null, "tSLTks": null,
            }),
            (FORM, false, true),
            "margin.insufficient.ok",
        ),
        read(
            "quotes",
            json!({"instrument_tokens": [
            {"exchange_segment": "nse_cm", "instrument_token": "11536"},
            {"exchange_segment": "nse_cm", "instrument_token": "Nifty 50"},
        ], "quote_type": "ltp"}),
            "GET",
            "/script-details/1.0/quotes/neosymbol/nse_cm|11536,nse_cm|Nifty%2050/ltp",
            &[],
            none(),
            (FORM, true, false),
            "quotes.ok",
        ),
        read(
            "expiries",
            json!({"exchange": "nse_fo", "underlying": "M&M", "instrument_type": "fut"}),
            "GET",
            "/market-data/1.0/watchlist/expiries",
            &[
                ("exchange", "nse_fo"),
                ("underlying", "M&M"),
                ("instrument_type", "fut"),
            ],
            none(),
            (FORM, true, false),
            "expiries.ok",
        ),
        read(
            "option_chain",
            json!({"exchange": "nse_fo", "underlying": "NIFTY", "expiry": "2028-02-29", "count": 20}),
            "GET",
            "/market-data/1.0/watchlist/option-chain",
            &[
                ("exchange", "nse_fo"),
                ("underlying", "NIFTY"),
                ("expiry", "2028-02-29"),
                ("count", "20"),
            ],
            none(),
            (FORM, true, false),
            "option_chain.ok",
        ),
        read(
            "option_chain",
            json!({"exchange": "nse_fo", "underlying": "NIFTY", "instrument_type": "fut"}),
            "GET",
            "/market-data/1.0/watchlist/option-chain",
            &[
                ("exchange", "nse_fo"),
                ("underlying", "NIFTY"),
                ("instrument_type", "fut"),
            ],
            none(),
            (FORM, true, false),
            "option_chain.fut.ok",
        ),
        read(
            "historical_data",
            json!({"neosymbol": "nse_cm|1333", "interval": "D", "from_date": "2026-07-01", "to_date": "2026-07-31"}),
            "GET",
            "/market-data/1.0/historical/details",
            &[
                ("neosymbol", "nse_cm|1333"),
                ("interval", "D"),
                ("fromdate", "2026-07-01"),
                ("todate", "2026-07-31"),
            ],
            none(),
            (FORM, true, false),
            "historical_data.ok",
        ),
        read(
            "scrip_master",
            json!({}),
            "GET",
            "/script-details/1.0/masterscrip/file-paths",
            &[],
            none(),
            (FORM, true, false),
            "scrip_master.ok",
        ),
    ]
}

/// The same call through its own function.
fn direct(client: &Client, name: &str, params: &Value) -> Result<Reply, Error> {
    let text = params.to_string();
    match name {
        "order_report" => client.order_report(params["order_id"].as_str()),
        "order_history" => client.order_history(params["order_id"].as_str().expect("an order")),
        "trade_report" => client.trade_report(),
        "positions" => client.positions(),
        "holdings" => client.holdings(),
        "limits" => client.limits(Some(&text)),
        "margin_required" => client.margin_required(&text),
        "quotes" => client.quotes(&text),
        "expiries" => client.expiries(&text),
        "option_chain" => client.option_chain(&text),
        "historical_data" => client.historical_data(&text),
        "scrip_master" => client.scrip_master(params["exchange_segment"].as_str()),
        other => panic!("{other}"),
    }
}

/// A path as the record shows it, percent-decoded or not.
fn plain(path: &str) -> String {
    path.replace("%20", " ")
        .replace("%7C", "|")
        .replace("%2C", ",")
}

fn logged_in() -> (Sandbox, Client) {
    let sandbox = sandbox();
    let client = client(&sandbox);
    log_in(&sandbox, &client).expect("both steps are right");
    sandbox.clear_requests();
    (sandbox, client)
}

#[test]
fn each_read_sends_what_the_sdk_sends_and_gives_the_body_back() {
    let (sandbox, client) = logged_in();
    let key = sandbox.credentials().consumer_key.clone();
    for read in reads() {
        let body = sample(read.sample);
        sandbox.clear_faults();
        fault(
            &sandbox,
            read.path.split("/nse_cm").next().expect("a path"),
            answer(200, JSON, &body),
        );
        for by_name in [false, true] {
            sandbox.clear_requests();
            let params = read.params.to_string();
            let reply = match by_name {
                false => direct(&client, read.name, &read.params),
                true => client.call(read.name, Some(&params)),
            };
            let reply = reply.unwrap_or_else(|error| panic!("{}: {error:?}", read.name));
            assert_eq!(reply.json(), body, "{}", read.name);
            let requests = sandbox.requests();
            assert_eq!(requests.len(), 1, "{}", read.name);
            let request = &requests[0];
            assert_eq!(
                (request.method.as_str(), plain(&request.path)),
                (read.method, plain(read.path))
            );
            let query: Vec<(&str, &str)> = request
                .query
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str()))
                .collect();
            assert_eq!(query, read.query, "{}", read.name);
            assert_eq!(j_data(request), read.body, "{}", read.name);
            let (kind, with_key, with_session) = read.headers;
            assert_eq!(request.header("content-type"), Some(kind), "{}", read.name);
            assert_eq!(
                request.header("authorization"),
                with_key.then_some(key.as_str()),
                "{}",
                read.name
            );
            assert_eq!(
                request.header("auth").is_some(),
                with_session,
                "{}",
                read.name
            );
            assert_eq!(
                request.header("sid").is_some(),
                with_session,
                "{}",
                read.name
            );
            assert!(request.header("neo-fin-key").is_none());
            let accept = if read.name == "holdings" { "*/*" } else { JSON };
            assert_eq!(request.header("accept"), Some(accept), "{}", read.name);
        }
    }
}

#[test]
fn market_data_needs_no_login_and_books_do() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    for read in reads() {
        let needs_session = read.headers.2;
        fault(
            &sandbox,
            read.path.split("/nse_cm").next().expect("a path"),
            answer(200, JSON, &sample(read.sample)),
        );
        let result = direct(&client, read.name, &read.params);
        let expected = if needs_session {
            Status::NotLoggedIn
        } else {
            Status::Ok
        };
        assert_eq!(status(&result), expected, "{}: {result:?}", read.name);
        sandbox.clear_faults();
    }
    assert!(
        paths(&sandbox).iter().all(|path| path.contains("/1.0/")),
        "{:?}",
        paths(&sandbox)
    );
}

#[test]
fn an_empty_book_is_an_empty_list() {
    let (sandbox, client) = logged_in();
    for (name, http) in [
        ("no_data.v3", 200),
        ("no_data.v1", 200),
        ("no_data.v3", 400),
    ] {
        fault(&sandbox, "/", answer(http, JSON, &sample(name)));
        for reply in [
            client.order_report(None),
            client.trade_report(),
            client.positions(),
            client.holdings(),
        ] {
            let reply = reply.expect("an empty book is no error");
            assert_eq!(reply.json(), r#"{"stat":"Ok","stCode":5203,"data":[]}"#);
            assert_eq!(reply.http_status(), http);
        }
        sandbox.clear_faults();
    }
}

#[test]
fn refusals_keep_the_brokers_words() {
    let (sandbox, client) = logged_in();
    let quotes =
        json!({"instrument_tokens": [{"exchange_segment": "nse_cm", "instrument_token": "1"}]});
    let candles = json!({"neosymbol": "nse_cm|1", "interval": "D", "from_date": "2026-07-01", "to_date": "2026-07-01"});
    for (name, http, params, call, expected) in [
        (
            "market_data.error-1009-invalid-instrument",
            400,
            &quotes,
            "quotes",
            Status::Rejected,
        ),
        (
            "market_data.error-1009-invalid-instrument",
            200,
            &quotes,
            "quotes",
            Status::Rejected,
        ),
        (
            "historical_data.error-invalid-interval",
            400,
            &candles,
            "historical_data",
            Status::Rejected,
        ),
        (
            "error-invalid-session-1003",
            200,
            &json!({}),
            "positions",
            Status::SessionExpired,
        ),
        (
            "error-invalid-session-1003",
            403,
            &json!({}),
            "order_report",
            Status::SessionExpired,
        ),
        (
            "error-non-json.body",
            503,
            &json!({}),
            "holdings",
            Status::Unavailable,
        ),
        (
            "error-non-json.body",
            200,
            &json!({}),
            "limits",
            Status::Protocol,
        ),
        (
            "error-gateway-fault",
            401,
            &json!({}),
            "trade_report",
            Status::SessionExpired,
        ),
    ] {
        fault(&sandbox, "/", answer(http, JSON, &sample(name)));
        let error = direct(&client, call, params).expect_err("the sandbox refuses");
        assert_eq!(error.status(), expected, "{name}: {error:?}");
        assert_eq!(told(&error, "operation"), call);
        sandbox.clear_faults();
    }
}

#[test]
fn a_read_is_repeated_once_with_the_same_body() {
    let (sandbox, client) = logged_in();
    fault(&sandbox, "/quick/user/limits", FaultKind::ResetAfter);
    let error = client
        .limits(None)
        .expect_err("the connection breaks twice");
    assert_eq!(
        (error.status(), error.safe_to_repeat()),
        (Status::Network, true)
    );
    let bodies: Vec<Value> = sandbox.requests().iter().map(j_data).collect();
    assert_eq!(
        bodies,
        [
            json!({"seg": "ALL", "exch": "ALL", "prod": "ALL"}),
            bodies[0].clone()
        ]
    );
}

#[test]
fn a_deadline_for_one_call() {
    let (sandbox, client) = logged_in();
    fault(&sandbox, "/", FaultKind::Hang);
    for result in [
        client.limits(Some(r#"{"timeout_ms":300}"#)),
        client.call("positions", Some(r#"{"timeout_ms":300}"#)),
    ] {
        let error = result.expect_err("no answer in time");
        assert!(error.message().contains("300 ms"), "{error}");
    }
    let error = client
        .limits(Some(r#"{"timeout_ms":0}"#))
        .expect_err("no time at all");
    assert_eq!(
        error.message(),
        "params.timeout_ms: must be an integer from 1 to 3600000"
    );
}

#[test]
fn older_sessions_use_their_own_paths_and_headers() {
    let sandbox = sandbox();
    let one = client(&sandbox);
    password_login(&sandbox, &one).expect("the password is right");
    one.session_2fa(&sandbox.credentials().mpin)
        .expect("the MPIN is right");
    let two = client_with(&sandbox, &json!({"generation": 2, "environment": "uat"}));
    log_in(&sandbox, &two).expect("both steps are right");
    let plain_two = client_with(&sandbox, &json!({"generation": 2}));
    log_in(&sandbox, &plain_two).expect("both steps are right");
    for (client, name, path, fin_key) in [
        (&one, "order_report", "/Orders/2.0/quick/user/orders", true),
        (
            &one,
            "holdings",
            "/Portfolio/1.0/portfolio/v1/holdings",
            false,
        ),
        (&one, "limits", "/Orders/2.0/quick/user/limits", true),
        (&one, "positions", "/Orders/2.0/quick/user/positions", true),
        (
            &one,
            "scrip_master",
            "/Files/1.0/masterscrip/v1/file-paths",
            false,
        ),
        (
            &two,
            "trade_report",
            "/orderapi/1.0/quick/user/trades",
            true,
        ),
        (
            &two,
            "scrip_master",
            "/scrip/1.0/masterscrip/file-paths",
            false,
        ),
        (
            &plain_two,
            "order_history",
            "/apim/order/2.0/quick/order/history",
            true,
        ),
        (
            &plain_two,
            "positions",
            "/apim/orders/2.0/quick/user/positions",
            true,
        ),
    ] {
        sandbox.clear_requests();
        let body = match name {
            "scrip_master" => sample("scrip_master.ok"),
            "limits" => sample("limits.ok"),
            _ => sample("order_report.ok"),
        };
        fault(&sandbox, path, answer(200, JSON, &body));
        direct(
            client,
            name,
            &json!({"order_id": null})
                .as_object()
                .map(|_| {
                    if name == "order_history" {
                        json!({"order_id": "1"})
                    } else {
                        json!({})
                    }
                })
                .expect("an object"),
        )
        .unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let requests = sandbox.requests();
        assert_eq!(requests[0].path, path);
        assert!(requests[0].query_value("sId").is_some(), "{name}");
        assert!(
            requests[0]
                .header("authorization")
                .is_some_and(|value| value.starts_with("Bearer "))
        );
        assert_eq!(
            requests[0].header("neo-fin-key").is_some(),
            fin_key,
            "{name}"
        );
        sandbox.clear_faults();
    }
    sandbox.clear_requests();
    for (client, name, params) in [
        (
            &one,
            "quotes",
            json!({"instrument_tokens": [{"exchange_segment": "nse_cm", "instrument_token": "1"}]}),
        ),
        (
            &one,
            "expiries",
            json!({"exchange": "nse_fo", "underlying": "NIFTY"}),
        ),
        (&two, "order_report", json!({"order_id": "1"})),
        (&two, "whatsmyip", json!({})),
    ] {
        let error = client
            .call(name, Some(&params.to_string()))
            .expect_err("not in this generation");
        assert_eq!(error.status(), Status::InvalidArgument, "{name}: {error:?}");
    }
    assert!(sandbox.requests().is_empty());
}

#[test]
fn wrong_parameters_are_named_and_nothing_is_sent() {
    let (sandbox, client) = logged_in();
    let margin = |key: &str, value: Value| {
        let mut all = json!({
            "exchange_segment": "nse_cm", "price": "0", "order_type": "MKT", "product": "CNC",
            "quantity": "1", "instrument_token": "11536", "transaction_type": "B",
        });
        all[key] = value;
        all.to_string()
    };
    let token = |item: Value| json!({"instrument_tokens": [item]}).to_string();
    let many = json!({"instrument_tokens": vec![json!({"exchange_segment": "nse_cm", "instrument_token": "1"}); 3001]});
    let candles = |from: &str, to: &str| {
        json!({"neosymbol": "nse_cm|1", "interval": "D", "from_date": from, "to_date": to})
            .to_string()
    };
    let cases = [
        (
            "margin_required",
            margin("exchange_segment", json!("NSE")),
            "params.exchange_segment: must be one of",
        ),
        (
            "margin_required",
            margin("product", json!("Normal")),
            "params.product: must be one of",
        ),
        (
            "margin_required",
            margin("order_type", json!("Limit")),
            "params.order_type: must be one of",
        ),
        (
            "margin_required",
            margin("transaction_type", json!("buy")),
            "params.transaction_type: must be one of",
        ),
        (
            "margin_required",
            margin("price", json!("nan")),
            "params.price: must be a plain decimal",
        ),
        (
            "margin_required",
            margin("price", json!(-1)),
            "params.price: must be a plain decimal",
        ),
        (
            "margin_required",
            margin("price", Value::Null),
            "params.price: is missing",
        ),
        (
            "margin_required",
            margin("quantity", json!("10.5")),
            "params.quantity: must be a whole number",
        ),
        (
            "margin_required",
            margin("quantity", json!(0)),
            "params.quantity: must be greater than zero",
        ),
        (
            "margin_required",
            margin("instrument_token", json!("x")),
            "params.instrument_token: must be a whole",
        ),
        (
            "margin_required",
            margin("broker_name", json!(" ")),
            "params.broker_name: must not be blank",
        ),
        (
            "margin_required",
            margin("qty", json!(1)),
            "params: unknown key \"qty\"",
        ),
        (
            "quotes",
            "{}".to_owned(),
            "params.instrument_tokens: is missing",
        ),
        (
            "quotes",
            json!({"instrument_tokens": []}).to_string(),
            "params.instrument_tokens: must name 1 to 3000",
        ),
        (
            "quotes",
            many.to_string(),
            "params.instrument_tokens: must name 1 to 3000 instruments, 3001 were given",
        ),
        (
            "quotes",
            json!({"instrument_tokens": "nse_cm|1"}).to_string(),
            "params.instrument_tokens: must be a list",
        ),
        (
            "quotes",
            token(json!({"exchange_segment": "nse_cm"})),
            "params.instrument_tokens[0].instrument_token: is missing",
        ),
        (
            "quotes",
            token(json!({"exchange_segment": "nse/cm", "instrument_token": "1"})),
            "params.instrument_tokens[0].exchange_segment: must be",
        ),
        (
            "quotes",
            token(json!({"exchange_segment": "nse_cm", "instrument_token": "1|2"})),
            "params.instrument_tokens[0].instrument_token: must be",
        ),
        (
            "quotes",
            token(json!({"exchange_segment": "nse_cm", "instrument_token": " "})),
            "params.instrument_tokens[0].instrument_token: must not be blank",
        ),
        (
            "historical_data",
            candles("2026-07-01", "2026-07-01").replace("nse_cm|1", "nse_cm| "),
            "params.neosymbol: must be like nse_cm|1333",
        ),
        (
            "quotes",
            token(json!({"exchange_segment": "nse_cm", "instrument_token": "1", "x": 1})),
            "params.instrument_tokens[0]: unknown key",
        ),
        (
            "expiries",
            json!({"exchange": "nse_fo"}).to_string(),
            "params.underlying: is missing",
        ),
        (
            "expiries",
            json!({"exchange": "nse_fo", "underlying": "N", "instrument_type": "opt"}).to_string(),
            "params.instrument_type: must be one of",
        ),
        (
            "option_chain",
            json!({"exchange": "nse_fo", "underlying": "N", "expiry": "2027-02-29"}).to_string(),
            "params.expiry: must be a date",
        ),
        (
            "option_chain",
            json!({"exchange": "nse_fo", "underlying": "N", "count": 15}).to_string(),
            "params.count: must be a multiple of 10",
        ),
        (
            "option_chain",
            json!({"exchange": "nse_fo", "underlying": "N", "count": 0}).to_string(),
            "params.count: must be a multiple of 10",
        ),
        (
            "historical_data",
            candles("2026-07-02", "2026-07-01"),
            "params.from_date: must not be later",
        ),
        (
            "historical_data",
            candles("2026-7-2", "2026-07-01"),
            "params.from_date: must be a date",
        ),
        (
            "historical_data",
            candles("2026-07-01", "2026-13-01"),
            "params.to_date: must be a date",
        ),
        (
            "limits",
            json!({"segment": "EQ"}).to_string(),
            "params.segment: must be one of",
        ),
        (
            "order_report",
            json!({"order_id": "../limits"}).to_string(),
            "order_id: must be an order number",
        ),
        (
            "order_history",
            json!({"order_id": ""}).to_string(),
            "order_id: must be an order number",
        ),
        (
            "scrip_master",
            json!({"exchange_segment": "nasdaq"}).to_string(),
            "exchange_segment: must be one of",
        ),
        (
            "positions",
            json!({"x": 1}).to_string(),
            "params: unknown key \"x\"",
        ),
        (
            "place_orders",
            "{}".to_owned(),
            "operation: is no operation",
        ),
        ("", "{}".to_owned(), "operation: is no operation"),
        ("quotes", "[]".to_owned(), "params: not a JSON object"),
    ];
    for (name, params, start) in cases {
        let error = client.call(name, Some(&params)).expect_err(start);
        assert_eq!(
            error.status(),
            Status::InvalidArgument,
            "{name} {params}: {error:?}"
        );
        assert!(
            error.message().starts_with(start),
            "{name} {params}: {error}"
        );
    }
    assert!(sandbox.requests().is_empty());
}

#[test]
fn the_file_of_a_segment() {
    let (sandbox, client) = logged_in();
    fault(
        &sandbox,
        "/script-details/",
        answer(200, JSON, &sample("scrip_master.ok")),
    );
    for name in ["nse_cm", "NSE", "nse"] {
        let reply = client.scrip_master(Some(name)).expect("the list has it");
        let value = crate::support::json(reply.json());
        assert_eq!(value["exchange_segment"], "nse_cm");
        assert!(
            value["url"]
                .as_str()
                .is_some_and(|url| url.contains("nse_cm")),
            "{value}"
        );
    }
    sandbox.clear_faults();
    fault(
        &sandbox,
        "/script-details/",
        answer(200, JSON, r#"{"data":{"filesPaths":[]}}"#),
    );
    let error = client
        .scrip_master(Some("nse_cm"))
        .expect_err("the list is empty");
    assert_eq!(error.status(), Status::Protocol);
}

#[test]
fn logins_by_name() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    let user = sandbox.credentials();
    let call = |name: &str, params: Value| client.call(name, Some(&params.to_string()));
    call(
        "totp_login",
        json!({
            "mobile_number": user.mobile_number, "ucc": user.ucc, "totp": sandbox.totp_now(),
        }),
    )
    .expect("the credentials are right");
    call("totp_validate", json!({"mpin": user.mpin})).expect("the MPIN is right");
    let session = client
        .call("session_export", None)
        .expect("there is a session");
    call("session_import", json!({"session": session.json()})).expect("it is of today");
    call("whatsmyip", json!({"timeout_ms": 5000})).expect("the session is good");
    client
        .call("session_info", Some(""))
        .expect("no parameters");
    client
        .call("logout", None)
        .expect("a trade session can end");
    call("login", json!({"pan": user.pan, "password": user.password})).expect("by PAN");
    call("session_2fa", json!({"otp": user.mpin})).expect("the MPIN is right");
    let error = call("totp_login", json!({"ucc": user.ucc})).expect_err("two are missing");
    assert!(error.message().starts_with("mobile_number: "), "{error}");
}

/// A login that nobody answers would wait for half a minute.
#[test]
fn every_operation_by_name_has_a_deadline_and_a_name() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    fault(&sandbox, "/", FaultKind::Hang);
    let user = sandbox.credentials();
    for (name, mut params) in [
        (
            "totp_login",
            json!({"mobile_number": user.mobile_number, "ucc": user.ucc, "totp": "000000"}),
        ),
        ("login", json!({"pan": user.pan, "password": user.password})),
        ("session_init", json!({})),
        ("qr_code_link", json!({"ucc": user.ucc})),
        (
            "quotes",
            json!({"instrument_tokens": [
            {"exchange_segment": "nse_cm", "instrument_token": "11536"}]}),
        ),
        (
            "search_scrip",
            json!({"exchange_segment": "nse_cm", "symbol": "tcs"}),
        ),
    ] {
        params["timeout_ms"] = 200.into();
        params["call_id"] = "a name".into();
        let error = client.call(name, Some(&params.to_string()));
        let error = error.expect_err("no answer in time");
        assert_eq!(error.status(), Status::Timeout, "{name}: {error}");
        // A search first waits for its turn: less is left for the file.
        let told = error.message().contains("200 ms") || name == "search_scrip";
        assert!(told, "{name}: {error}");
        let meta = crate::support::json(&error.meta());
        assert_eq!(meta["call_id"], "a name", "{name}");
    }
    for name in ["session_info", "whatsmyip", "logout", "place_order"] {
        let error = client.call(name, Some(r#"{"call_id":""}"#));
        let error = error.expect_err("no name at all");
        assert_eq!(error.status(), Status::InvalidArgument, "{name}");
        assert_eq!(
            error.message(),
            "params.call_id: must be 1 to 64 printable ASCII characters"
        );
    }
    let unused = r#"{"timeout_ms":1,"call_id":"x"}"#;
    let reply = client.call("session_info", Some(unused));
    assert!(reply.is_ok(), "it waits for nothing: {reply:?}");
}

/// A day on the sandbox's own market: what it holds is what the calls tell.
#[test]
fn the_books_of_the_sandbox() {
    let (sandbox, client) = logged_in();
    let read = |name: &str, params: Value| {
        let reply = client.call(name, Some(&params.to_string()));
        let reply = reply.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        crate::support::json(reply.json())
    };
    for name in ["order_report", "trade_report", "positions"] {
        assert_eq!(
            read(name, json!({}))["data"],
            json!([]),
            "{name}: nothing was traded yet"
        );
    }

    sandbox.set_price("nse_cm", "IDEA-EQ", "9.40");
    let number = sandbox.place_from_app("nse_cm", "IDEA-EQ", "B", 10, "9.60");
    sandbox.tick(1);
    let trades = sandbox.trades();
    assert!(!trades.is_empty(), "a bid above the market is filled");
    let book = read("order_report", json!({}));
    let row = book["data"]
        .as_array()
        .expect("a list")
        .first()
        .expect("one order")
        .clone();
    assert_eq!(
        (&row["nOrdNo"], &row["trdSym"]),
        (&json!(number), &json!("IDEA-EQ"))
    );
    let rows = read("trade_report", json!({}))["data"]
        .as_array()
        .expect("a list")
        .len();
    assert_eq!(rows, trades.len());
    let history = read("order_history", json!({"order_id": number}));
    assert!(
        history["data"]
            .as_array()
            .is_some_and(|states| states.len() > 1),
        "{history}"
    );
    let positions = read("positions", json!({}));
    assert_eq!(positions["data"][0]["trdSym"], "IDEA-EQ", "{positions}");

    assert!(read("limits", json!({}))["Net"].is_string());
    let token = row["tok"].as_str().expect("a token").to_owned();
    let quotes = read(
        "quotes",
        json!({"instrument_tokens": [
            {"exchange_segment": "nse_cm", "instrument_token": token},
            {"exchange_segment": "nse_cm", "instrument_token": "Nifty 50"},
        ]}),
    );
    assert_eq!(quotes.as_array().map(Vec::len), Some(2), "{quotes}");
    let margin = read(
        "margin_required",
        json!({
            "exchange_segment": "nse_cm", "price": "9.40", "order_type": "L", "product": "CNC",
            "quantity": 10, "instrument_token": token, "transaction_type": "B",
        }),
    );
    assert!(margin["ordMrgn"].is_string(), "{margin}");
    let expiries = read(
        "expiries",
        json!({"exchange": "nse_fo", "underlying": "NIFTY"}),
    );
    let expiry = expiries["expiries"][0].as_str().expect("a date").to_owned();
    let chain = read(
        "option_chain",
        json!({
            "exchange": "nse_fo", "underlying": "NIFTY", "expiry": expiry, "count": 10,
        }),
    );
    assert_eq!(
        chain["data"]["call"].as_array().map(Vec::len),
        Some(10),
        "{chain}"
    );
    let files = read("scrip_master", json!({"exchange_segment": "NFO"}));
    assert!(
        files["url"]
            .as_str()
            .is_some_and(|url| url.starts_with(sandbox.url())),
        "{files}"
    );
    let unknown = sandbox
        .requests()
        .into_iter()
        .find(|request| !request.known_route);
    assert!(unknown.is_none(), "{unknown:?}");
}

#[test]
fn how_large_an_answer_may_be() {
    const MIB: usize = 1024 * 1024;
    let sandbox = sandbox();
    let client = client(&sandbox);
    log_in(&sandbox, &client).expect("both steps are right");
    let of = |size: usize, rows: &str| {
        let start = format!(r#"{{"stat":"Ok","stCode":200,"data":[{rows}],"x":""#);
        let fill = "x".repeat(size - start.len() - 2);
        answer(200, "application/json", &format!("{start}{fill}\"}}"))
    };
    let ask = |size: usize, ask: &dyn Fn() -> Result<Reply, Error>| {
        fault(&sandbox, "", of(size, ""));
        let answered = ask();
        sandbox.clear_faults();
        if let Err(error) = &answered {
            assert_eq!(error.status(), Status::Protocol, "{error:?}");
            let told = format!("the answer is larger than {} bytes", (size - 1) / MIB * MIB);
            assert_eq!(error.message(), told);
        }
        answered.map(|reply| reply.json().len()).ok()
    };
    let book = || client.order_report(None);
    assert_eq!(ask(32 * MIB, &book), Some(32 * MIB));
    assert_eq!(ask(32 * MIB + 1, &book), None);
    let history = || client.order_history("250122000624384");
    assert_eq!(ask(16 * MIB + 1, &history), None);
}

/// What a call for quotes of these instruments of `nse_cm` is given.
fn of(tokens: &[&str]) -> Value {
    let tokens = tokens.iter();
    let tokens: Vec<Value> = tokens
        .map(|token| json!({"exchange_segment": "nse_cm", "instrument_token": token}))
        .collect();
    json!({"instrument_tokens": tokens})
}

/// The symbols that each request named.
fn symbols(sandbox: &Sandbox) -> Vec<Vec<String>> {
    let requests = sandbox.requests();
    let named = requests.iter().map(|request| {
        let path = plain(&request.path);
        let (_, symbols) = path.split_once("/neosymbol/").expect("it asks for quotes");
        let (symbols, kind) = symbols.rsplit_once('/').expect("a kind");
        assert_eq!(kind, "ltp");
        symbols.split(',').map(str::to_owned).collect()
    });
    named.collect()
}

fn unlimited() -> Sandbox {
    start(Options {
        quotes_per_second: 0,
        candles_per_second: 0,
        ..Options::default()
    })
}

/// The tokens of so many shares.
fn shares(client: &Client, count: usize) -> Vec<String> {
    let params = r#"{"exchange_segment":"nse_cm"}"#;
    let found = crate::support::json(client.search_scrip(params).expect("a file").json());
    let rows = found.as_array().expect("a list").iter();
    let shares = rows.filter(|row| row["pSymbol"].as_u64().is_some_and(|token| token < 26_000));
    let tokens: Vec<String> = shares
        .map(|row| row["pSymbol"].to_string())
        .take(count)
        .collect();
    assert_eq!(tokens.len(), count, "the sandbox has so many");
    tokens
}

fn ltp(client: &Client, tokens: &[&str], more: Value) -> Result<Reply, Error> {
    let mut params = of(tokens);
    params["quote_type"] = "ltp".into();
    for (key, value) in more.as_object().expect("an object") {
        params[key] = value.clone();
    }
    client.quotes(&params.to_string())
}

/// The broker refuses 50, and takes 49.
#[test]
fn many_quotes_are_asked_for_in_parts_and_given_as_one_list() {
    let sandbox = unlimited();
    let client = client(&sandbox);
    let shares = shares(&client, 99);
    let shares: Vec<&str> = shares.iter().map(String::as_str).collect();
    for (count, parts) in [
        (1, &[1][..]),
        (49, &[49]),
        (50, &[49, 1]),
        (98, &[49, 49]),
        (99, &[49, 49, 1]),
    ] {
        sandbox.clear_requests();
        let reply = ltp(&client, &shares[..count], json!({})).expect("all are known");
        let asked = symbols(&sandbox);
        let sizes: Vec<usize> = asked.iter().map(Vec::len).collect();
        assert_eq!(sizes, parts);
        let wanted = shares[..count]
            .iter()
            .map(|token| format!("nse_cm|{token}"));
        assert_eq!(asked.concat(), wanted.collect::<Vec<_>>());
        let rows = crate::support::json(reply.json());
        let rows = rows.as_array().expect("a list").iter();
        let given: Vec<&str> = rows
            .map(|row| row["exchange_token"].as_str().expect("a text"))
            .collect();
        assert_eq!(given, &shares[..count]);
        assert_eq!(reply.http_status(), 200);
        let meta = crate::support::json(&reply.meta());
        assert_eq!(
            (&meta["requests"], &meta["instruments"]),
            (&json!(parts.len()), &json!(count))
        );
        assert!(meta["notes"].is_null() && meta["part"].is_null(), "{meta}");
        // One after the other, on one connection.
        let lines = sandbox.requests();
        assert!(
            lines
                .iter()
                .all(|one| one.connection == lines[0].connection)
        );
    }
    // Rows stand in the list as they came, and so does a list that needs no other.
    let quotes = "/script-details/1.0/quotes";
    let odd = "[ {\"a\" : 1.50} ,\n{\"b\":\"\\u0041\"} ]\n";
    fault(&sandbox, quotes, answer(200, JSON, odd));
    let reply = ltp(&client, &shares[..2], json!({})).expect("a list");
    assert_eq!(reply.json(), odd);
    let reply = ltp(&client, &shares[..50], json!({})).expect("two lists");
    let both = "[{\"a\" : 1.50} ,\n{\"b\":\"\\u0041\"},{\"a\" : 1.50} ,\n{\"b\":\"\\u0041\"}]";
    assert_eq!(reply.json(), both);
    let notes = crate::support::json(&reply.meta())["notes"].clone();
    assert_eq!(notes, json!(["the broker gave 4 rows for 50 instruments"]));
    sandbox.clear_faults();
    fault(&sandbox, quotes, answer(200, JSON, "[]"));
    let reply = ltp(&client, &shares, json!({})).expect("three empty lists");
    assert_eq!(reply.json(), "[]");
    // As many as a feed can have.
    sandbox.clear_faults();
    fault(&sandbox, quotes, answer(200, JSON, "[{}]"));
    sandbox.clear_requests();
    let most: Vec<String> = (1..=3000).map(|number| number.to_string()).collect();
    let most: Vec<&str> = most.iter().map(String::as_str).collect();
    let reply = ltp(&client, &most, json!({"timeout_ms": 120_000})).expect("62 lists");
    assert_eq!(
        crate::support::json(reply.json()),
        json!(vec![json!({}); 62])
    );
    assert_eq!(symbols(&sandbox).concat().len(), 3000);
}

/// The broker's answer is not in the order of the request: a row more would tell nobody
/// anything.
#[test]
fn an_instrument_that_stands_twice_is_asked_for_once() {
    let sandbox = unlimited();
    let client = client(&sandbox);
    let mut tokens = vec!["11536"; 120];
    tokens.extend(["Nifty 50", "26000", " 11536 ", "1333"]);
    let reply = ltp(&client, &tokens, json!({})).expect("three are known");
    let named = ["nse_cm|11536", "nse_cm|Nifty 50", "nse_cm|1333"];
    assert_eq!(symbols(&sandbox), [named]);
    let meta = crate::support::json(&reply.meta());
    assert_eq!(
        (&meta["requests"], &meta["instruments"]),
        (&json!(1), &json!(3))
    );
    let note = "121 of the instruments stood in the list before";
    assert_eq!(meta["notes"], json!([note]));
}

/// Nothing is passed off as all of it.
#[test]
fn quotes_of_which_a_part_fails_fail_and_name_it() {
    let sandbox = unlimited();
    let client = client(&sandbox);
    let shares = shares(&client, 120);
    let shares: Vec<&str> = shares.iter().map(String::as_str).collect();
    let second = format!("/script-details/1.0/quotes/neosymbol/nse_cm|{}", shares[49]);
    let part = "part 2 of 3 (instruments 50 to 98): ";
    let fails = |kind: FaultKind, expected: Status, sent: usize| {
        sandbox.clear_faults();
        sandbox.clear_requests();
        fault(&sandbox, &second, kind.clone());
        let error = ltp(&client, &shares, json!({"timeout_ms": 3000}));
        let error = error.expect_err("the second part fails");
        assert_eq!(error.status(), expected, "{kind:?}: {error:?}");
        assert_eq!(sandbox.requests().len(), sent, "{kind:?}");
        let meta = crate::support::json(&error.meta());
        assert_eq!((&meta["part"], &meta["requests"]), (&json!(2), &json!(3)));
        assert_eq!(
            (told(&error, "sent"), error.safe_to_repeat()),
            (
                json!(true),
                expected != Status::Rejected && expected != Status::Protocol
            )
        );
        error
    };
    let refused = sample("market_data.error-400-neosymbol");
    for (kind, expected, sent) in [
        (answer(400, JSON, &refused), Status::Rejected, 2),
        (answer(503, JSON, "{}"), Status::Unavailable, 2),
        (answer(429, JSON, ""), Status::RateLimited, 2),
        (answer(200, JSON, "{}"), Status::Protocol, 2),
        (answer(200, JSON, "[1"), Status::Protocol, 2),
        (FaultKind::ResetAfter, Status::Network, 3),
    ] {
        let error = fails(kind, expected, sent);
        assert!(error.message().starts_with(part), "{error}");
    }
    let error = fails(answer(400, JSON, &refused), Status::Rejected, 2);
    assert_eq!(told(&error, "broker")["fault"]["code"], 400);
    // One deadline for all of it, and one name.
    let error = fails(FaultKind::Hang, Status::Timeout, 2);
    assert!(error.message().contains("within 3000 ms"), "{error}");
    sandbox.clear_faults();
    sandbox.clear_requests();
    fault(&sandbox, &second, FaultKind::Hang);
    std::thread::scope(|scope| {
        let call = scope.spawn(|| {
            ltp(
                &client,
                &shares,
                json!({"call_id": "it", "timeout_ms": 600_000}),
            )
        });
        let patience = std::time::Duration::from_secs(60);
        assert_eq!(sandbox.wait_for_requests(2, patience).len(), 2);
        client.cancel("it").expect("the client is open");
        let error = call.join().expect("no panic").expect_err("it is cancelled");
        assert_eq!(error.status(), Status::Closed, "{error:?}");
        assert_eq!(crate::support::json(&error.meta())["part"], 2);
    });
    // What the session does not have is wrong with the call.
    let older = client_with(&sandbox, &json!({"generation": 1}));
    let error = ltp(&older, &shares, json!({})).expect_err("not in this generation");
    assert_eq!(error.status(), Status::InvalidArgument);
    assert!(
        error.message().starts_with("the broker has no quotes"),
        "{error}"
    );
}

/// All parts together are held to the size of one answer.
#[test]
fn quotes_without_end_are_too_large_together() {
    let sandbox = unlimited();
    let client = client(&sandbox);
    let large = format!("[\"{}\"]", "x".repeat(9 << 20));
    fault(&sandbox, "", answer(200, JSON, &large));
    let tokens: Vec<String> = (1..=99).map(|number| number.to_string()).collect();
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    let reply = ltp(&client, &tokens[..49], json!({})).expect("one of them fits");
    assert_eq!(reply.json().len(), large.len());
    sandbox.clear_requests();
    let error = ltp(&client, &tokens, json!({"timeout_ms": 60_000})).expect_err("two do not");
    assert_eq!(error.status(), Status::Protocol, "{error:?}");
    let told =
        "part 2 of 3 (instruments 50 to 98): the answers together are larger than 16777216 bytes";
    assert_eq!(error.message(), told);
    assert_eq!(sandbox.requests().len(), 2);
}

/// Live, a weekend and today before the open are errors.
#[test]
fn a_range_without_candles_is_an_empty_list() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    let ask = |interval: &str| {
        let params = json!({"neosymbol": "nse_cm|11536", "interval": interval,
                            "from_date": "2026-06-06", "to_date": "2026-06-07"});
        client.historical_data(&params.to_string())
    };
    let empty = |interval: &str| {
        format!(r#"{{"status":"success","interval":"{interval}","data":{{"candles":[]}}}}"#)
    };
    // The sandbox does it as the broker, of itself.
    let reply = ask("5min").expect("an empty range is no error");
    assert_eq!(
        (reply.json(), reply.http_status()),
        (&empty("5min")[..], 400)
    );
    let notes = crate::support::json(&reply.meta())["notes"].clone();
    let note = "the broker has no candles of this range: No data found for the given duration";
    assert_eq!(notes, json!([note]));
    let path = "/market-data/1.0/historical";
    let fault_of = |http: u16, words: &str| {
        sandbox.clear_faults();
        let body = json!({"status": "ERROR", "fault": {"code": http, "message": words}});
        fault(&sandbox, path, answer(http, JSON, &body.to_string()));
        ask("D")
    };
    for words in [
        "no  DATA found",
        "Data not available for 2026-09-28. Market has not yet opened",
    ] {
        let reply = fault_of(400, words).expect("an empty range is no error");
        assert_eq!(reply.json(), empty("D"));
        let notes = crate::support::json(&reply.meta())["notes"].to_string();
        assert!(notes.contains(words), "{notes}");
    }
    for (http, words, expected) in [
        (400, "Invalid interval value", Status::Rejected),
        (400, "No data found for the given symbol", Status::Rejected),
        (400, "Data not available", Status::Rejected),
        (422, "Invalid neosymbol", Status::Rejected),
        (429, "No data found", Status::RateLimited),
        (401, "No data found", Status::Rejected),
        (
            503,
            "No data found for the given duration",
            Status::Unavailable,
        ),
    ] {
        let error = fault_of(http, words).expect_err(words);
        assert_eq!(error.status(), expected, "{words}: {error:?}");
    }
    // Candles are given as they come.
    sandbox.clear_faults();
    fault(
        &sandbox,
        path,
        answer(200, JSON, &sample("historical_data.ok")),
    );
    assert_eq!(
        ask("1min").expect("candles").json(),
        sample("historical_data.ok")
    );
}

/// Each call has its own names for indices, and they are exact.
#[test]
fn indices_go_by_what_each_call_calls_them() {
    let sandbox = unlimited();
    let client = client(&sandbox);
    let quote = |segment: &str, token: Value| {
        let params = json!({"instrument_tokens": [
            {"exchange_segment": segment, "instrument_token": token}]});
        client.quotes(&params.to_string())
    };
    let candles = |symbol: &str| {
        let params = json!({"neosymbol": symbol, "interval": "D",
                            "from_date": "2026-06-01", "to_date": "2026-06-30"});
        client.historical_data(&params.to_string())
    };
    let notes = |reply: &Reply| crate::support::json(&reply.meta())["notes"].clone();
    for (segment, token, name) in [
        ("nse_cm", json!(26_000), "Nifty 50"),
        ("nse_cm", json!(" 26009 "), "Nifty Bank"),
        ("nse_cm", json!(" Nifty 50 "), "Nifty 50"),
        ("nse_cm", json!("India VIX"), "India VIX"),
        ("bse_cm", json!("SENSEX"), "SENSEX"),
        ("bse_cm", json!(1), "SENSEX"),
    ] {
        let reply = quote(segment, token.clone());
        let reply = reply.unwrap_or_else(|error| panic!("{token}: {error:?}"));
        let row = crate::support::json(reply.json())[0].clone();
        assert_eq!(row["exchange_token"], name);
        assert!(notes(&reply).is_null(), "{token}");
    }
    for symbol in [
        "nse_cm|26000",
        " nse_cm | Nifty 50 ",
        "nse_cm|INDIA VIX",
        "bse_cm|1",
    ] {
        let reply = candles(symbol);
        let reply = reply.unwrap_or_else(|error| panic!("{symbol}: {error:?}"));
        assert!(notes(&reply).is_null(), "{symbol}");
    }
    // MCX goes by number, and is asked for as it is given.
    sandbox.clear_requests();
    assert!(
        quote("mcx_fo", json!(567)).is_err(),
        "the sandbox has no such index"
    );
    assert!(plain(&sandbox.requests()[0].path).contains("/mcx_fo|567/"));
    // What the broker does not know it refuses; how it spells it is told.
    for (name, right, told_by) in [
        ("nifty 50", "Nifty 50", "quotes"),
        ("NIFTY", "Nifty 50", "quotes"),
        ("INDIA VIX", "India VIX", "quotes"),
        ("India VIX", "INDIA VIX", "historical_data"),
        ("nifty bank", "Nifty Bank", "historical_data"),
    ] {
        let asked = match told_by {
            "quotes" => quote("nse_cm", json!(name)),
            _ => candles(&format!("nse_cm|{name}")),
        };
        let error = asked.expect_err(name);
        assert_eq!(error.status(), Status::Rejected, "{error:?}");
        let hint = told(&error, "hint").as_str().expect("a hint").to_owned();
        for part in [
            "exact name",
            "by number",
            &format!("\"{name}\""),
            &format!("\"{right}\""),
        ] {
            assert!(hint.contains(part), "{hint}");
        }
        let notes = crate::support::json(&error.meta())["notes"].to_string();
        assert!(notes.contains(right), "{notes}");
    }
    // Among others it may be left out: that is told too.
    let reply = ltp(&client, &["11536", "nifty 50"], json!({})).expect("one is known");
    let told = notes(&reply).to_string();
    assert!(
        told.contains("Nifty 50") && told.contains("1 rows for 2 instruments"),
        "{told}"
    );
    let error = candles("nse_cm|1").expect_err("no such share");
    let hint = error.hint().expect("a hint");
    assert!(
        hint.contains("pSymbol of today's scrip file") && !hint.contains('"'),
        "{hint}"
    );
    sandbox.clear_requests();
    for wrong in [quote("nse_cm", json!(26_017)), candles("nse_cm|26017")] {
        let error = wrong.expect_err("a number without a name");
        assert!(error.message().contains("by its name"), "{error}");
    }
    assert!(sandbox.requests().is_empty());
}

/// A modification reads the book for its segment, where the limits need that. A row can
/// be as small as the broker likes: there is an end to their number.
#[test]
fn a_book_of_tiny_rows_is_no_book() {
    let sandbox = sandbox();
    let client = client_with(&sandbox, &json!({"allowed_segments": ["nse_cm"]}));
    log_in(&sandbox, &client).expect("both steps are right");
    let modify = |rows: &str| {
        let body = format!(r#"{{"stat":"Ok","stCode":200,"data":[{rows}]}}"#);
        fault(
            &sandbox,
            "/quick/user/orders",
            answer(200, "application/json", &body),
        );
        let params = json!({
            "order_id": "250122000624384", "price": "1", "order_type": "L", "quantity": 1,
            "validity": "DAY",
        });
        let modified = client.modify_order(&params.to_string());
        sandbox.clear_faults();
        modified.expect_err("the order is not there")
    };
    let tiny = vec!["{}"; 300_000].join(",");
    let error = modify(&tiny);
    assert_eq!(error.status(), Status::Protocol, "{error}");
    assert!(
        error
            .message()
            .contains("the order book, which is needed first"),
        "{error}"
    );
    assert!(
        error.message().contains("is not what it documents"),
        "{error}"
    );
    let error = modify(&vec!["{}"; 200_000].join(","));
    assert_eq!(error.status(), Status::InvalidArgument, "{error}");
    assert!(
        error
            .message()
            .contains("is not in the order book of today"),
        "{error}"
    );
    // The row is found between others, however large they are.
    let other = format!(r#"{{"nOrdNo":"1","rejRsn":"{}"}}"#, "x".repeat(1600));
    let others = vec![other; 9_000].join(",");
    let row = r#"{"nOrdNo":"250122000624384","ordSt":"rejected","rejRsn":"no funds"}"#;
    let error = modify(&format!("{others},{row},{others}"));
    assert!(error.message().contains("rejected (no funds)"), "{error}");
    assert!(
        sandbox
            .requests()
            .iter()
            .all(|asked| !asked.path.contains("modify"))
    );
}
