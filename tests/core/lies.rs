//! Answers that lie: a number that is another order's or none, the answer to
//! something else, a refusal of what was taken.

use kotak_neo::{Client, Status};
use kotak_neo_sandbox::{FaultKind, Sandbox};
use kotak_neo_testing::folder::Folder;
use serde_json::{Value, json};

use crate::orders::{What, log_in_to, number, order, outcome, place, placed, unlimited, with};
use crate::support::{self, client_with, fault, told};

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
