//! Answers that lie: a number that is another order's or none, the answer to
//! something else, a refusal of what was taken. And that we do not lie: what may have been
//! taken is not called refused.

use std::thread;
use std::time::Duration;

use kotak_neo::order_steps::{Step, at};
use kotak_neo::{Client, Error, Status};
use kotak_neo_sandbox::{FaultKind, Options, Sandbox, TlsMode};
use kotak_neo_testing::folder::Folder;
use serde_json::{Value, json};

use crate::orders::{What, log_in_to, number, order, outcome, place, placed, unlimited, with};
use crate::support::{self, client_with, fault, start, told};

fn trader(sandbox: &Sandbox, folder: &Folder) -> Client {
    let more = json!({
        "max_orders_per_second": 1_000_000, "ledger_file": folder.text("ledger"),
    });
    let client = client_with(sandbox, &more);
    log_in_to(sandbox, &client);
    client
}

fn open_tags(client: &Client) -> Vec<Value> {
    let open = support::json(client.open_intents().expect("local").json());
    let intents = open["intents"].as_array().expect("a list");
    intents.iter().map(|intent| intent["tag"].clone()).collect()
}

/// The broker does what it was told, and answers with this.
fn lie(sandbox: &Sandbox, what: What, http: u16, body: &str) {
    let kind = FaultKind::AnswerAfter {
        status: http,
        headers: Vec::new(),
        body: body.as_bytes().to_vec(),
    };
    fault(sandbox, what.path(), kind);
}

/// Tells the lie about an instruction, and looks at all that must follow.
fn is_not_believed(sandbox: &Sandbox, client: &Client, what: What, http: u16, body: &str) {
    let lied = format!("{what:?} {http} {body}");
    let known = placed(client);
    let id = placed(client);
    let body = body.replace("KNOWN", &known).replace("ASKED", &id);
    lie(sandbox, what, http, &body);
    sandbox.clear_requests();
    let error = match what.send(client, &id, json!({})) {
        Err(error) => error,
        Ok(reply) => panic!("{lied}: {}", reply.json()),
    };
    sandbox.clear_faults();
    assert_eq!(error.status(), Status::UnknownOutcome, "{lied}: {error:?}");
    assert_eq!(told(&error, "sent"), true, "{lied}");
    assert_eq!(told(&error, "safe_to_repeat"), false, "{lied}");
    let tag = told(&error, "tag");
    let wanted = match what {
        What::Place => tag.as_str().expect("the order has a tag").to_owned(),
        What::Modify | What::Cancel => id.clone(),
    };
    let hint = error.hint().expect("what to do now");
    assert!(hint.contains(&wanted), "{lied}: {hint}");
    assert_eq!(json!(open_tags(client)), json!([tag]), "{lied}");
    placed(client);
    let connections: Vec<_> = sandbox
        .requests()
        .iter()
        .map(|one| one.connection)
        .collect();
    assert_eq!(connections.len(), 2, "{lied}");
    assert_ne!(connections[0], connections[1], "{lied}");
    let found = outcome(client, json!({ "tag": tag }));
    let expected = match what {
        What::Place => "placed",
        What::Modify | What::Cancel => "applied",
    };
    assert_eq!(found["outcome"], expected, "{lied}: {found}");
    assert_eq!(open_tags(client), [] as [Value; 0], "{lied}");
}

#[test]
fn a_new_order_has_a_number_of_its_own() {
    let (sandbox, folder) = (unlimited(), Folder::new("lies-place"));
    let client = trader(&sandbox, &folder);
    for number in [
        r#""KNOWN""#,
        r#"" KNOWN ""#,
        "KNOWN",
        r#""-5""#,
        "-5",
        r#""0""#,
        "0",
        r#""""#,
        r#"" ""#,
        "null",
    ] {
        let body = format!(r#"{{"stat":"Ok","nOrdNo":{number},"stCode":200}}"#);
        is_not_believed(&sandbox, &client, What::Place, 200, &body);
    }
}

#[test]
fn the_answer_to_a_change_has_the_number_that_was_asked_for() {
    let (sandbox, folder) = (unlimited(), Folder::new("lies-change"));
    let client = trader(&sandbox, &folder);
    for what in [What::Modify, What::Cancel] {
        for member in [
            r#""nOrdNo":"KNOWN","#,
            r#""nOrdNo":"9","#,
            r#""nOrdNo":"-5","#,
            r#""nOrdNo":"0","#,
            r#""nOrdNo":" ","#,
            "",
        ] {
            let body = format!(r#"{{"stat":"Ok",{member}"stCode":200}}"#);
            is_not_believed(&sandbox, &client, what, 200, &body);
        }
    }
}

#[test]
fn a_refusal_has_no_order_number() {
    let (sandbox, folder) = (unlimited(), Folder::new("lies-refusal"));
    let client = trader(&sandbox, &folder);
    for what in [What::Place, What::Modify, What::Cancel] {
        for (http, member) in [
            (200, r#""nOrdNo":"ASKED""#),
            (200, r#""nordno":"ASKED""#),
            (400, r#""orderId":ASKED"#),
            (403, r#""order_id":"9""#),
            (200, r#""nOrdNo":"1","nOrdNo":"2""#),
            (200, r#""data":{"orderNo":"ASKED"}"#),
            (400, r#""data":[{"Order-Id":"ASKED"}]"#),
        ] {
            let body = format!(r#"{{"stat":"Not_Ok","emsg":"x","stCode":1009,{member}}}"#);
            is_not_believed(&sandbox, &client, what, http, &body);
        }
    }
}

/// What an earlier process was told, the ledger knows: new orders, and those
/// that were changed.
#[test]
fn the_ledger_knows_the_numbers_of_an_earlier_process() {
    let (sandbox, folder) = (unlimited(), Folder::new("lies-ledger"));
    let client = trader(&sandbox, &folder);
    let new = placed(&client);
    let changed = sandbox.place_from_app("nse_cm", "IDEA-EQ", "B", 3, "8.60");
    What::Modify
        .send(&client, &changed, json!({}))
        .expect("taken");
    drop(client);
    let client = trader(&sandbox, &folder);
    for number in [&new, &changed] {
        let body = json!({"stat": "Ok", "nOrdNo": number, "stCode": 200});
        lie(&sandbox, What::Place, 200, &body.to_string());
        let error = place(&client, &order()).expect_err("it is another order's");
        assert_eq!(error.status(), Status::UnknownOutcome, "{error:?}");
        assert!(
            error.message().contains("number of another order"),
            "{error}"
        );
        sandbox.clear_faults();
    }
    assert_eq!(open_tags(&client).len(), 2);
}

/// An intent whose answer lied is not sent anew.
#[test]
fn an_intent_stays_open() {
    let (sandbox, folder) = (unlimited(), Folder::new("lies-intent"));
    let client = trader(&sandbox, &folder);
    lie(
        &sandbox,
        What::Place,
        200,
        r#"{"stat":"Ok","nOrdNo":"-5","stCode":200}"#,
    );
    let wish = with(order(), json!({"intent_id": "once"}));
    for _ in 0..2 {
        let error = place(&client, &wish).expect_err("no order has this number");
        assert_eq!(error.status(), Status::UnknownOutcome, "{error:?}");
        sandbox.clear_faults();
    }
    assert_eq!(sandbox.orders_taken(), 1);
    let reply = place(&client, &order()).expect("taken");
    assert!(!number(&reply).is_empty());
}

/// What would tell that an instruction was not done.
const CLAIMS: &[&str] = &[
    "refus",
    "reject",
    "denied",
    "declin",
    "forbid",
    "unauthor",
    "not allowed",
    "not accept",
    "not sent",
    "nothing was sent",
    "never",
    "not done",
    "not made",
    "not placed",
    "not taken",
    "not received",
    "not executed",
    "not processed",
    "cannot",
    "can not",
    "absent",
    "too many",
    "invalid",
    "fail",
    "unsuccess",
    "was cancelled",
    "aborted",
    "not exist",
];
/// What stands before words that are the broker's.
const QUOTED: &str = "the broker's words: ";

/// An instruction that may have been taken: none of our own words says that it was not.
fn claims_nothing(what: &str, error: &Error) {
    assert_eq!(error.status(), Status::UnknownOutcome, "{what}: {error:?}");
    let message = error.message();
    assert!(message.contains("may have been taken"), "{what}: {message}");
    let ours = message.split(QUOTED).next().unwrap_or_default();
    let meta = support::json(&error.meta());
    let hint = error.hint().expect("what to do now");
    for text in [ours, hint, &meta["notes"].to_string()] {
        let text = text.to_lowercase();
        let claim = CLAIMS.iter().find(|claim| text.contains(**claim));
        assert_eq!(claim, None, "{what}: {text}");
    }
}

/// Bodies with every word that a broker may have for a refusal, and none.
fn bodies() -> Vec<(u16, String)> {
    let bodies = [
        "",
        "{}",
        "[]",
        "null",
        "<html>refused</html>",
        r#"{"stat":"Ok","stCode":200}"#,
        r#"{"stat":"Ok","nOrdNo":"-5","stCode":200}"#,
        r#"{"stat":"Not_Ok"}"#,
        r#"{"stat":"Not_Ok","emsg":"order refused, rejected, denied"}"#,
        r#"{"stat":"Not_Ok","emsg":"Unauthorized, not placed","stCode":987654}"#,
        r#"{"stat":"Not_Ok","emsg":"internal","stCode":1005}"#,
        r#"{"stCode":14,"errMsg":"error from core","stat":"ErrorText(rejected)"}"#,
        r#"{"stat":"Not_Ok","emsg":"invalid","stCode":1009,"nOrdNo":"7"}"#,
        r#"{"error":[{"code":"401","message":"access denied"}]}"#,
        r#"{"status":"ERROR","fault":{"code":400,"message":"failed"}}"#,
    ];
    let codes = [
        200, 201, 204, 301, 400, 401, 403, 404, 405, 408, 409, 422, 424, 429, 500, 502, 503, 504,
    ];
    let of = |code: u16| bodies.iter().map(move |body| (code, (*body).to_owned()));
    codes.into_iter().flat_map(of).collect()
}

const WHATS: [What; 3] = [What::Place, What::Modify, What::Cancel];

#[test]
fn what_may_have_been_taken_is_not_called_refused_by_its_answer() {
    let sandbox = unlimited();
    let client = client_with(&sandbox, &json!({"max_orders_per_second": 1_000_000}));
    log_in_to(&sandbox, &client);
    for what in WHATS {
        for (http, body) in bodies() {
            sandbox.clear_faults();
            fault(
                &sandbox,
                what.path(),
                support::answer(http, "application/json", &body),
            );
            let told = format!("{what:?} {http} {body}");
            let error = match what.send(&client, "250122000624384", json!({})) {
                Err(error) => error,
                Ok(reply) => panic!("{told}: {}", reply.json()),
            };
            claims_nothing(&told, &error);
        }
    }
}

#[test]
fn what_may_have_been_taken_is_not_called_refused_by_its_connection() {
    let packed = |body: &[u8]| FaultKind::Answer {
        status: 200,
        headers: vec![("content-encoding".to_owned(), "gzip".to_owned())],
        body: body.to_vec(),
    };
    let faults = [
        FaultKind::Hang,
        FaultKind::ResetBefore,
        FaultKind::ResetAfter,
        FaultKind::CutJson,
        FaultKind::WrongContentLength,
        FaultKind::Redirect("https://example.com/".to_owned()),
        FaultKind::Redirect("/elsewhere".to_owned()),
        FaultKind::Slow { ms: 1500 },
        FaultKind::Late { ms: 1500 },
        FaultKind::Trickle { ms: 200 },
        FaultKind::RefuseStream,
        packed(b"not packed"),
        support::answer(200, "text/plain", &"x".repeat(17 << 20)),
    ];
    for tls in [TlsMode::Off, TlsMode::Valid] {
        let sandbox = start(Options {
            orders_per_second: 0,
            tls,
            ..Options::default()
        });
        let client = client_with(&sandbox, &json!({"max_orders_per_second": 1_000_000}));
        log_in_to(&sandbox, &client);
        for what in WHATS {
            let id = placed(&client);
            for kind in &faults {
                fault(&sandbox, what.path(), kind.clone());
                let size = matches!(kind, FaultKind::Answer { body, .. } if body.len() > 1 << 20);
                let limit = if size { 30_000 } else { 600 };
                let result = what.send(&client, &id, json!({"timeout_ms": limit}));
                sandbox.clear_faults();
                let told = format!("{what:?} {tls:?} {:.80}", format!("{kind:?}"));
                claims_nothing(&told, &result.expect_err(&told));
            }
        }
    }
}

#[test]
fn what_may_have_been_taken_is_not_called_refused_by_our_own_end() {
    let sandbox = unlimited();
    type End = fn(&Client);
    let ends: [(&str, End); 3] = [
        ("interrupted", |client| client.interrupt()),
        ("closed", |client| client.close()),
        ("cancelled", |client| {
            client.cancel("mine").expect("it is named");
        }),
    ];
    for what in WHATS {
        for (name, end) in ends {
            let client = client_with(&sandbox, &json!({}));
            log_in_to(&sandbox, &client);
            let id = placed(&client);
            fault(&sandbox, what.path(), FaultKind::Hang);
            sandbox.clear_requests();
            let result = thread::scope(|scope| {
                let named = json!({"call_id": "mine", "timeout_ms": 60_000});
                let call = scope.spawn(|| what.send(&client, &id, named));
                let seen = sandbox.wait_for_requests(1, Duration::from_secs(30));
                assert_eq!(seen.len(), 1, "it has come");
                end(&client);
                call.join().expect("no panic")
            });
            sandbox.clear_faults();
            claims_nothing(&format!("{what:?} {name}"), &result.expect_err(name));
        }
        let client = client_with(&sandbox, &json!({}));
        log_in_to(&sandbox, &client);
        let id = placed(&client);
        at(Step::Answered, || {
            std::panic::panic_any("a defect that a test asked for")
        });
        let result = what.send(&client, &id, json!({}));
        claims_nothing(
            &format!("{what:?} defect"),
            &result.expect_err("it panicked"),
        );
    }
    // The same intent, asked again.
    let folder = Folder::new("lies-again");
    let client = trader(&sandbox, &folder);
    fault(&sandbox, What::Place.path(), FaultKind::ResetAfter);
    let wish = with(order(), json!({"intent_id": "once"}));
    for _ in 0..2 {
        let error = place(&client, &wish).expect_err("no answer");
        claims_nothing("intent", &error);
        sandbox.clear_faults();
    }
}
