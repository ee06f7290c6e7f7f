//! Order instructions and the search of instruments, as both sides do them.

use kotak_neo_sandbox::FaultKind;
use kotak_neo_testing::fixtures::sample;
use kotak_neo_testing::folder::Folder;
use kotak_neo_testing::orders::{self, with};
use serde_json::{Value, json};

use crate::broker::Broker;
use crate::library::Library;
use crate::sdk::Sdk;
use crate::{End, INVALID_ARGUMENT, OK, REJECTED, SESSION_EXPIRED, Scenario, Step, answer, step};

const PLACE: &str = "/quick/order/rule/ms/place";
const MODIFY: &str = "/quick/order/vr/modify";
const CANCEL: &str = "/quick/order/cancel";

/// A limit order that stays open.
fn order(more: Value) -> Value {
    with(orders::order(), more)
}

fn change(id: &str, more: Value) -> Value {
    let base = json!({
        "order_id": id, "price": "8.70", "order_type": "L", "quantity": "4", "validity": "DAY",
    });
    with(base, more)
}

fn fixture(name: &str) -> Value {
    serde_json::from_str(&sample(name)).expect("it is JSON")
}

/// `login` are the steps of a login.
pub fn scenarios(login: impl Fn() -> Vec<Step>, validate_path: &'static str) -> Vec<Scenario> {
    let whole = |steps: Vec<Step>| {
        let mut all = login();
        all.extend(steps);
        all
    };
    let at_home = |scenario: Scenario| {
        let base = "https://e43.kotaksecurities.com".to_owned();
        let feed = "https://sfeed.kotaksecurities.com/apifeed".to_owned();
        scenario
            .with_fault(validate_path, FaultKind::BaseUrl(base))
            .with_fault("/5config/config", FaultKind::FeedUrl(feed))
    };
    let taken = json!({"nOrdNo": "261124000000099", "stat": "Ok", "stCode": 200});
    let placed = |more: Value| step("place_order", order(more), End::Same(OK));
    let modified = |more: Value| {
        step(
            "modify_order",
            change("261124000000099", more),
            End::Same(OK),
        )
    };
    // No two orders have the same number.
    let numbered = |scenario: Scenario| {
        (0..7).fold(scenario, |scenario, at| {
            let number = format!("26112400000010{at}");
            let taken = json!({"nOrdNo": number, "stat": "Ok", "stCode": 200});
            scenario.with_fault_of_a_step(PLACE, answer(200, &taken))
        })
    };
    let mut list = vec![
        numbered(at_home(Scenario::new(
            "orders in every form",
            whole(vec![
                placed(json!({"tag": "parity-1"})),
                placed(json!({"transaction_type": "Buy", "tag": "parity-2"})),
                placed(json!({"transaction_type": "Sell", "product": "MIS", "tag": "parity-3"})),
                placed(json!({"order_type": "MKT", "price": "0", "validity": "IOC"})),
                placed(json!({"order_type": "SL", "trigger_price": "8.55", "tag": "parity-4"})),
                placed(
                    json!({"order_type": "SL-M", "price": "0", "trigger_price": "8.55",
                              "tag": "parity-5"}),
                ),
                placed(
                    json!({"amo": "YES", "disclosed_quantity": "1", "tag": "parity-6",
                              "exchange_segment": "mcx_fo", "product": "NRML"}),
                ),
                modified(json!({})),
                modified(json!({"order_type": "SL", "trigger_price": "8.65", "validity": "IOC"})),
                modified(json!({"order_type": "MKT", "price": "0", "amo": "YES",
                                "disclosed_quantity": "2"})),
                step(
                    "cancel_order",
                    json!({"order_id": "261124000000099"}),
                    End::Same(OK),
                ),
                step(
                    "cancel_order",
                    json!({"order_id": "261124000000099", "isVerify": true}),
                    End::Same(OK),
                ),
            ]),
        )))
        .with_fault(MODIFY, answer(200, &taken))
        .with_fault(CANCEL, answer(200, &taken)),
        at_home(Scenario::new(
            "an order that the sandbox takes from both",
            whole(vec![placed(json!({}))]),
        )),
    ];
    for (path, call, name, status) in [
        (
            PLACE,
            "place_order",
            "place_order.error-100008-ip",
            REJECTED,
        ),
        (
            PLACE,
            "place_order",
            "place_order.error-100021-access-type",
            REJECTED,
        ),
        (
            PLACE,
            "place_order",
            "place_order.error-1004-insufficient",
            REJECTED,
        ),
        (
            PLACE,
            "place_order",
            "place_order.error-1007-body-invalid",
            REJECTED,
        ),
        (
            PLACE,
            "place_order",
            "place_order.error-1017-algo",
            REJECTED,
        ),
        (
            PLACE,
            "place_order",
            "place_order.error-1037-session-ip",
            REJECTED,
        ),
        (PLACE, "place_order", "place_order.error-32-core", REJECTED),
        (
            PLACE,
            "place_order",
            "place_order.error-5204-duplicate-tag",
            REJECTED,
        ),
        (
            PLACE,
            "place_order",
            "error-invalid-session-1003",
            SESSION_EXPIRED,
        ),
        (
            MODIFY,
            "modify_order",
            "modify_order.error-1006-executed",
            REJECTED,
        ),
        (
            MODIFY,
            "modify_order",
            "modify_order.error-1021-complete",
            REJECTED,
        ),
        (CANCEL, "cancel_order", "cancel_order.error-1006", REJECTED),
        (
            CANCEL,
            "cancel_order",
            "cancel_order.error-91400-not-api",
            REJECTED,
        ),
        (
            CANCEL,
            "cancel_order",
            "cancel_order.error-5204-bad-input",
            REJECTED,
        ),
    ] {
        let with = match call {
            "place_order" => order(json!({"tag": "parity-7"})),
            "modify_order" => change("1", json!({})),
            _ => json!({"order_id": "1"}),
        };
        let steps = whole(vec![step(call, with, End::Same(status))]);
        list.push(
            at_home(Scenario::new("a refusal", steps))
                .with_fault(path, answer(200, &fixture(name))),
        );
    }
    list.push(at_home(Scenario::new(
        "what both refuse to send",
        whole(refused_by_both()),
    )));
    list
}

/// Input that neither side sends; the SDK's words, and the name in ours.
fn refused_by_both() -> Vec<Step> {
    let refused = |call, with, words: &str, name| {
        // As Python quotes it.
        let quote = if words.contains('\'') { '"' } else { '\'' };
        let said = json!({"Error": format!("ApiValueError({quote}{words}{quote})")});
        step(call, with, End::Unsent(said, INVALID_ARGUMENT, name))
    };
    let place = |more, words, name| refused("place_order", order(more), words, name);
    let modify = |more, words, name| refused("modify_order", change("1", more), words, name);
    vec![
        place(
            json!({"exchange_segment": "NSE"}),
            "Invalid exchange segment. Allowed values are nse_cm, bse_cm, nse_fo, bse_fo, mcx_fo.",
            "exchange_segment",
        ),
        place(
            json!({"product": "XYZ"}),
            "Invalid product. Allowed values are CNC, NRML, MIS, MTF.",
            "product",
        ),
        place(
            json!({"product": "CO"}),
            "Invalid product. Allowed values are CNC, NRML, MIS, MTF.",
            "1 April 2026",
        ),
        place(
            json!({"price": "abc"}),
            "price must be a valid number, got 'abc'.",
            "price",
        ),
        place(json!({"price": "-1"}), "price cannot be negative.", "price"),
        place(
            json!({"price": " "}),
            "price is mandatory and cannot be blank.",
            "price",
        ),
        place(
            json!({"price": "0"}),
            "price must be greater than zero for order_type 'L'.",
            "price",
        ),
        place(
            json!({"order_type": "Limit"}),
            "Invalid order type. Allowed values are L, MKT, SL, SL-M.",
            "order_type",
        ),
        place(
            json!({"quantity": "0"}),
            "quantity must be greater than zero.",
            "quantity",
        ),
        place(
            json!({"quantity": "1.5"}),
            "quantity must be a valid integer, got '1.5'.",
            "quantity",
        ),
        place(
            json!({"validity": "GTC"}),
            "Invalid validity 'GTC' for exchange segment 'nse_cm'. Allowed values are DAY, IOC.",
            "validity",
        ),
        place(
            json!({"trading_symbol": ""}),
            "trading_symbol is mandatory and cannot be blank.",
            "trading_symbol",
        ),
        place(
            json!({"transaction_type": "BUY"}),
            "Invalid transaction type. Allowed values are B or Buy, S or Sell.",
            "transaction_type",
        ),
        modify(
            json!({"price": "0"}),
            "price must be greater than zero for order_type 'L'.",
            "price",
        ),
        modify(
            json!({"quantity": "0"}),
            "quantity must be greater than zero.",
            "quantity",
        ),
        modify(
            json!({"trigger_price": "x"}),
            "trigger_price must be a valid number, got 'x'.",
            "trigger_price",
        ),
        modify(
            json!({"disclosed_quantity": "-1"}),
            "disclosed_quantity cannot be negative.",
            "disclosed_quantity",
        ),
    ]
}

/// What a search by the SDK and by this library may differ in, and why.
const DIFFERENCES: &[(&str, &str)] = &[
    (
        "pOptionType",
        "the SDK gives it in lower case when it filters by it",
    ),
    (
        "no match",
        "the SDK gives an object with a message, this library an empty list",
    ),
    (
        "strike_price, tick_size, lot_size, contract_size, freeze_quantity",
        "this library gives them beside the file's cells, in rupees and units",
    ),
    (
        "order",
        "the SDK's sort by strike leaves equal strikes in any order",
    ),
];

/// A row without what may differ.
fn plain(row: &Value) -> String {
    let mut row = row.clone();
    let option = row["pOptionType"].as_str().map(str::to_uppercase);
    row["pOptionType"] = json!(option);
    let members = row.as_object_mut().expect("a row is an object");
    for added in [
        "strike_price",
        "tick_size",
        "lot_size",
        "contract_size",
        "freeze_quantity",
    ] {
        members.remove(added);
    }
    // 5 and 5.0 are the same number.
    for value in members.values_mut() {
        if let Some(number) = value.as_f64() {
            *value = json!(number);
        }
    }
    row.to_string()
}

#[test]
fn searches_find_the_same_rows() {
    let broker = Broker::start();
    let folder = Folder::new("parity");
    let cache = folder.text("sdk");
    // The SDK downloads the file past its transport.
    let environment = [
        ("SSL_CERT_FILE", broker.ca_file()),
        ("NEO_SCRIP_CACHE_DIR", cache.as_str()),
    ];
    let Some(mut sdk) = Sdk::start_in(
        "searches like the official SDK's",
        broker.sandbox.url(),
        broker.ca_file(),
        &environment,
    ) else {
        return;
    };
    let key = &broker.sandbox.credentials().consumer_key;
    sdk.ask("open", json!({"environment": "prod", "consumer_key": key}));
    let library = Library::open(&json!({
        "environment": "prod", "consumer_key": key, "ca_file": broker.ca_file(),
        "base_url": broker.sandbox.url(),
    }));
    let expiries = library.call(
        "expiries",
        &json!({"exchange": "nse_fo", "underlying": "NIFTY"}),
    );
    let first = expiries.json["expiries"][0]
        .as_str()
        .expect("a day")
        .to_owned();
    let months = [
        "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
    ];
    let month: usize = first[5..7].parse().expect("a month");
    let day = format!("{}{}{}", &first[8..], months[month - 1], &first[..4]);
    let range = format!("{day}-31DEC2027");
    let mut rows_seen = 0;
    for (segment, search) in [
        ("nse_cm", json!({"symbol": "idea"})),
        ("NSE", json!({"symbol": "TCS"})),
        ("nse_cm", json!({})),
        ("nse_cm", json!({"symbol": "no such name"})),
        (
            "nse_fo",
            json!({"symbol": "nifty", "expiry": day, "option_type": "CE"}),
        ),
        (
            "nse_fo",
            json!({"symbol": "NIFTY", "expiry": day, "option_type": "CE,PE"}),
        ),
        ("nse_fo", json!({"symbol": "nifty", "option_type": "FUT"})),
        (
            "nse_fo",
            json!({"symbol": "nifty", "expiry": range, "option_type": "pe"}),
        ),
        (
            "nse_fo",
            json!({"symbol": "nifty", "expiry": day, "strike_price": ">24000"}),
        ),
        (
            "nse_fo",
            json!({"symbol": "nifty", "expiry": day, "strike_price": "<24000"}),
        ),
        (
            "nse_fo",
            json!({"symbol": "nifty", "strike_price": "24000-24500"}),
        ),
        (
            "nse_fo",
            json!({"symbol": "banknifty", "strike_price": "52000"}),
        ),
        ("nse_fo", json!({"symbol": "nifty", "strike_price": "0.01"})),
        ("mcx_fo", json!({"option_type": "FUT"})),
        ("bse_fo", json!({"option_type": "CE"})),
        ("bse_cm", json!({"symbol": "a"})),
    ] {
        let with = with(search, json!({"exchange_segment": segment}));
        let theirs = sdk.ask("search_scrip", with.clone());
        let ours = library.call("search_scrip", &with);
        assert_eq!(ours.status, OK, "{with}: {}", ours.json);
        let ours = ours.json.as_array().expect("a list").clone();
        let theirs = match theirs["answer"].as_array() {
            Some(rows) => rows.clone(),
            None => {
                assert!(theirs["answer"]["message"].is_string(), "{with}: {theirs}");
                Vec::new()
            }
        };
        rows_seen += ours.len();
        let sorted = |rows: &[Value]| {
            let mut all: Vec<_> = rows.iter().map(plain).collect();
            all.sort();
            all
        };
        let (ours, theirs) = (sorted(&ours), sorted(&theirs));
        assert_eq!(ours.len(), theirs.len(), "{with}");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours, theirs, "{with}");
        }
    }
    assert!(rows_seen > 1000, "the searches found {rows_seen} rows");
    // Where the SDK fails, this library works.
    for search in [
        json!({"exchange_segment": "nse_fo", "symbol": "NIFTY("}),
        json!({"exchange_segment": "nse_fo", "symbol": "nifty", "strike_price": ">24000.5"}),
    ] {
        let theirs = sdk.ask("search_scrip", search.clone());
        assert!(theirs["answer"].get(0).is_none(), "{search}: {theirs}");
        assert_eq!(library.call("search_scrip", &search).status, OK);
    }
    println!("| what may differ | why |\n|---|---|");
    for (what, why) in DIFFERENCES {
        println!("| {what} | {why} |");
    }
}
