use super::*;
use crate::broker::operation;
use kotak_neo_testing::fixtures::sample;
use serde_json::json;
use zeroize::Zeroizing;

fn answered(http_status: u16, body: &str) -> Answer {
    Answer {
        http_status,
        retry_after: None,
        date: None,
        redirect: None,
        cookies: Vec::new(),
        body: Zeroizing::new(body.as_bytes().to_vec()),
    }
}

fn judged(op: &Operation, http_status: u16, body: &str) -> Error {
    let answer = answered(http_status, body);
    error(op, op.current.auth, &answer, &[])
}

#[test]
fn every_shape_gives_code_and_text() {
    for (body, code, text) in [
        (
            r#"{"stat":"Not_Ok","emsg":"Invalid session","stCode":1003}"#,
            "1003",
            "Invalid session",
        ),
        (
            r#"{"stCode":100008,"errMsg":"unauthorized","stat":"Not_Ok"}"#,
            "100008",
            "unauthorized",
        ),
        (
            r#"{"stCode":32,"errMsg":"error from core","stat":"Client OrderID already exists"}"#,
            "32",
            "error from core (Client OrderID already exists)",
        ),
        (
            r#"{"error":[{"code":"10512","message":"Required header not found."}]}"#,
            "10512",
            "Required header not found.",
        ),
        (
            r#"{"status":"error","message":"Invalid MPIN.","errorCode":"401"}"#,
            "401",
            "Invalid MPIN.",
        ),
        (
            r#"{"stCode":429,"errMsg":"Invalid UCC","status":"failure"}"#,
            "429",
            "Invalid UCC",
        ),
        (
            r#"{"status":"ERROR","fault":{"code":400,"message":"Invalid interval value"}}"#,
            "400",
            "Invalid interval value",
        ),
        (
            r#"{"fault":{"code":900901,"message":"Invalid Credentials","description":"d"}}"#,
            "900901",
            "Invalid Credentials",
        ),
        (
            r#"{"code":"900901","message":"Invalid Credentials","description":"d"}"#,
            "900901",
            "Invalid Credentials",
        ),
        (
            r#"{"error_description":"invalid_client","error":"invalid_client"}"#,
            "invalid_client",
            "invalid_client",
        ),
    ] {
        let refusal = Refusal::read(body).expect("it is JSON");
        assert_eq!(refusal.code.as_deref(), Some(code), "{body}");
        assert_eq!(refusal.text.as_deref(), Some(text), "{body}");
    }
    let bare = Refusal::read(r#"{"stat":"Not_Ok","message":"Invalid credentials"}"#);
    assert_eq!(
        bare.expect("JSON").text.as_deref(),
        Some("Invalid credentials")
    );
    assert_eq!(Refusal::read("<html>"), None);
    assert_eq!(Refusal::read("{}"), Some(Refusal::default()));
    assert_eq!(
        Refusal::read(r#"{"stat":"Ok","stCode":200}"#),
        Some(Refusal::default())
    );
}

#[test]
fn http_status_and_code_decide() {
    let login = &operation::TOTP_LOGIN;
    let read = &operation::WHATSMYIP;
    let wrong = r#"{"status":"error","message":"Invalid MPIN.","errorCode":"401"}"#;
    let session = r#"{"stat":"Not_Ok","emsg":"Invalid session","stCode":1003}"#;
    for (op, http, body, expected) in [
        (login, 401, wrong, Status::Rejected),
        (login, 403, "", Status::Rejected),
        (login, 403, session, Status::SessionExpired),
        (login, 200, wrong, Status::Rejected),
        (login, 422, "", Status::Rejected),
        (read, 401, "", Status::SessionExpired),
        (read, 403, wrong, Status::SessionExpired),
        (read, 200, session, Status::SessionExpired),
        (read, 200, r#"{"stat":"Not_Ok"}"#, Status::Rejected),
        (read, 200, "{}", Status::Protocol),
        (read, 200, "<html>", Status::Protocol),
        (read, 302, "", Status::Protocol),
        (read, 429, "", Status::RateLimited),
        (read, 424, "", Status::Unavailable),
        (login, 503, "<html></html>", Status::Unavailable),
    ] {
        let error = judged(op, http, body);
        assert_eq!(error.status(), expected, "{http} {body}");
        assert_eq!(error.http_status(), Some(http));
    }
}

#[test]
fn credentials_that_were_sent_decide_what_401_means() {
    for (op, auth, expected) in [
        (&operation::BASE_URL, Auth::None, Status::Rejected),
        (
            &operation::SESSION_INIT,
            Auth::Application,
            Status::Rejected,
        ),
        (
            &operation::QR_CODE_LINK,
            Auth::Bearer,
            Status::SessionExpired,
        ),
        (&operation::LOGIN, Auth::Bearer, Status::Rejected),
        (
            &operation::LOGOUT,
            Auth::BearerTrade,
            Status::SessionExpired,
        ),
        (&operation::POSITIONS, Auth::Trade, Status::SessionExpired),
        (&operation::QUOTES, Auth::Bearer, Status::SessionExpired),
        (&operation::QUOTES, Auth::Key, Status::Rejected),
    ] {
        assert_eq!(status(op, auth, 401, None, None), expected, "{}", op.name);
    }
}

#[test]
fn words_alone_are_no_refusal() {
    let refuses = |body: &str| Refusal::read(body).is_some_and(|refusal| refusal.marked);
    for body in [
        r#"{"State":"OK","message":"You have been successfully logged out"}"#,
        r#"{"status":"success","message":"OTP sent successfully"}"#,
        r#"{"stat":"Ok","stCode":200,"data":[{"stat":"rejected","stCode":1003}]}"#,
        "[]",
        "{}",
    ] {
        assert!(!refuses(body), "{body}");
    }
    for body in [
        r#"{"stat":"Not_Ok","data":[]}"#,
        r#"{"stCode":1003,"data":[]}"#,
        r#"{"error":"x"}"#,
        r#"{"emsg":"x"}"#,
    ] {
        assert!(refuses(body), "{body}");
    }
}

#[test]
fn code_429_has_two_meanings() {
    let hint = |http: u16| {
        let error = judged(
            &operation::TOTP_LOGIN,
            http,
            r#"{"stCode":429,"errMsg":"x"}"#,
        );
        error.hint().expect("there is one").to_owned()
    };
    assert!(hint(200).contains("UCC is wrong"));
    assert!(hint(429).contains("Too many requests"));
}

#[test]
fn a_sentence_is_no_code() {
    let error = judged(
        &operation::TOTP_LOGIN,
        401,
        r#"{"error":"bad consumer key fake-key"}"#,
    );
    assert_eq!(error.code(), None);
    assert!(error.message().contains("bad consumer key"), "{error}");
}

#[test]
fn says_what_the_broker_said() {
    let error = judged(
        &operation::TOTP_VALIDATE,
        401,
        r#"{"message":"Invalid MPIN.","errorCode":"401"}"#,
    );
    assert_eq!(
        error.message(),
        "the broker refused totp_validate: Invalid MPIN."
    );
    assert!(
        error
            .hint()
            .expect("401 is in the catalogue")
            .contains("MPIN")
    );
}

#[test]
fn a_code_that_is_known_has_a_hint() {
    let error = |code: &str| {
        let error = Error::new(Status::Rejected, "no");
        with_code(error, Some(code.to_owned()))
    };
    let json = error("1003").to_json();
    assert!(json.contains(r#""hint":"The session is invalid"#), "{json}");
    assert_eq!(error("no such code").hint(), None);
    let none = with_code(Error::new(Status::Rejected, "no").with_hint("h"), None);
    assert_eq!((none.code(), none.hint()), (None, Some("h")));
}

#[derive(Debug, PartialEq, Eq)]
enum Proof {
    Taken,
    Refused(Status),
    Open,
}

fn proof(op: &Operation, asked: Asked<'_>, http_status: u16, body: &str) -> (Proof, String) {
    let answer = answered(http_status, body);
    match instruction(op, op.current.auth, &answer, asked, &[]) {
        Verdict::Taken(number) => (Proof::Taken, number),
        Verdict::Refused(error) => (Proof::Refused(error.status()), error.message().to_owned()),
        Verdict::Open(error) => (Proof::Open, error.message().to_owned()),
    }
}

#[test]
fn the_number_of_a_success_is_the_one_that_belongs_there() {
    let new = |is_known| Asked::New {
        made_tag: true,
        is_known,
    };
    let change = Asked::Change("250122000624384");
    let cancel = Asked::Cancel("250122000624384", false);
    let ours = r#""250122000624384""#;
    for (asked, number, taken) in [
        (new(false), ours, true),
        (new(false), "250122000624384", true),
        (new(true), ours, false),
        (new(false), r#""-5""#, false),
        (new(false), "-5", false),
        (new(false), r#""0""#, false),
        (new(false), "0", false),
        (new(false), r#"" ""#, false),
        (new(false), r#""""#, false),
        (new(false), "null", false),
        (new(false), r#""NA""#, false),
        (change, ours, true),
        (change, "250122000624384", true),
        (change, r#"" 250122000624384 ""#, true),
        (change, r#""250122000624385""#, false),
        (change, r#""25012200062438""#, false),
        (change, r#""-5""#, false),
        (change, "0", false),
        (change, r#"" ""#, false),
        (change, "null", false),
        (change, r#"["250122000624384"]"#, false),
        (Asked::Change("A-1"), r#""A-1""#, true),
        (cancel, ours, true),
        (cancel, r#""250122000624385""#, false),
        (cancel, "null", false),
    ] {
        let body = format!(r#"{{"stat":"Ok","nOrdNo":{number},"tid":"server1_7","stCode":200}}"#);
        let (op, expected) = match (asked, taken) {
            (Asked::New { .. }, true) => (&operation::PLACE_ORDER, Proof::Taken),
            (Asked::New { .. }, false) => (&operation::PLACE_ORDER, Proof::Open),
            (Asked::Change(_), true) => (&operation::MODIFY_ORDER, Proof::Taken),
            (Asked::Change(_), false) => (&operation::MODIFY_ORDER, Proof::Open),
            (Asked::Cancel(..), true) => (&operation::CANCEL_ORDER, Proof::Taken),
            (Asked::Cancel(..), false) => (&operation::CANCEL_ORDER, Proof::Open),
        };
        let (proof, said) = proof(op, asked, 200, &body);
        assert_eq!(proof, expected, "{asked:?} {number}: {said}");
    }
    let without = r#"{"stat":"Ok","stCode":200}"#;
    for asked in [new(false), change] {
        let (proof, said) = proof(&operation::MODIFY_ORDER, asked, 200, without);
        assert_eq!(proof, Proof::Open, "{said}");
    }
    let body = r#"{"stat":"Ok","nOrdNo":"7","stCode":200}"#;
    let said = |asked| proof(&operation::PLACE_ORDER, asked, 200, body).1;
    assert!(said(new(true)).ends_with("has the number of another order, 7"));
    assert!(said(change).ends_with("has the number 7, and 250122000624384 was asked for"));
}

#[test]
fn a_refusal_with_an_order_number_proves_nothing() {
    let new = Asked::New {
        made_tag: false,
        is_known: false,
    };
    let change = Asked::Change("250122000624384");
    for (more, open) in [
        ("", false),
        (r#","nOrdNo":"0""#, false),
        (r#","nOrdNo":"","orderId":null"#, false),
        (r#","tid":"server5_526372","GuiOrdId":"tag-1""#, false),
        (r#","nOrdNo":"250122000624384""#, true),
        (r#","nordno":250122000624384"#, true),
        (r#","orderId":"250122000624384""#, true),
        (r#","order_id":"250122000624384""#, true),
        (r#","nOrdNo":"1","nOrdNo":"2""#, true),
        (r#","data":{"orderNo":"250122000624384"}"#, true),
        (r#","data":[{"ORDER_ID":"250122000624384"}]"#, true),
        (r#","order":{"id":"250122000624384"}"#, true),
    ] {
        for (code, status) in [
            ("1009", Status::Rejected),
            ("1006", Status::Rejected),
            ("1003", Status::SessionExpired),
        ] {
            let body = format!(r#"{{"stat":"Not_Ok","emsg":"no","stCode":{code}{more}}}"#);
            let expected = if open {
                Proof::Open
            } else {
                Proof::Refused(status)
            };
            for (op, asked) in [
                (&operation::PLACE_ORDER, new),
                (&operation::MODIFY_ORDER, change),
                (
                    &operation::CANCEL_ORDER,
                    Asked::Cancel("250122000624384", true),
                ),
            ] {
                for http in [200, 400, 403] {
                    let (proof, said) = proof(op, asked, http, &body);
                    assert_eq!(proof, expected, "{} {http} {body}: {said}", op.name);
                }
            }
        }
    }
}

/// The codes of the broker's documents, and what each is to mean.
#[derive(serde::Deserialize)]
struct Codes {
    codes: Vec<Code>,
    successes: Vec<Success>,
    http: Vec<Http>,
}

#[derive(serde::Deserialize)]
struct Code {
    code: String,
    meaning: String,
    texts: Vec<String>,
}

#[derive(serde::Deserialize)]
struct Success {
    code: String,
}

#[derive(serde::Deserialize)]
struct Http {
    status: u16,
    read: String,
}

fn codes() -> Codes {
    serde_json::from_str(&sample("codes")).expect("a table of codes")
}

/// A body in every shape of the broker that has room for a code.
fn with_code_in_it(code: &str, text: &str) -> Vec<String> {
    let number = code.parse::<u64>().map_or(json!(code), |code| json!(code));
    let bodies = [
        json!({"stat": "Not_Ok", "emsg": text, "stCode": number}),
        json!({"stCode": code, "errMsg": text, "stat": "Not_Ok", "desc": [], "tid": "server1_7"}),
        json!({"stCode": number, "errMsg": "error from core", "stat": text}),
        json!({"error": [{"code": code, "message": text}]}),
        json!({"error": {"code": number, "message": text}}),
        json!({"status": "error", "message": text, "errorCode": code}),
        json!({"stCode": number, "errMsg": text, "status": "failure"}),
        json!({"status": "ERROR", "fault": {"code": number, "message": text}}),
        json!({"fault": {"code": number, "message": "Failure", "description": text}}),
        json!({"code": code, "message": "Failure", "description": text}),
        json!({"error": code, "error_description": text}),
    ];
    bodies.iter().map(ToString::to_string).collect()
}

/// A body in every shape that has none, and in those that are no object.
fn without_code(text: &str) -> Vec<String> {
    let page = format!("<html><body><h1>{text}</h1></body></html>");
    let bodies = [
        json!({"stat": "Not_Ok", "message": text}),
        json!({"stat": text}),
        json!({"error": text}),
        json!({"error": [{"message": text}]}),
        json!({"message": "Failure", "description": text}),
        json!({"fault": text}),
        json!({"fault": {"message": text}}),
        json!({"stCode": 7, "errMsg": text}),
        json!({"error": [{"code": "424", "message": text}]}),
        json!({"stCode": null, "emsg": text, "data": []}),
        json!(text),
        json!([text]),
    ];
    let mut all: Vec<String> = bodies.iter().map(ToString::to_string).collect();
    all.extend([page, text.to_owned(), text.to_uppercase()]);
    all
}

const REFUSALS: &[u16] = &[200, 400, 401, 403, 422];
const OUTAGES: &[u16] = &[424, 500, 502, 503, 504];

#[test]
fn every_documented_code_is_known_and_every_known_one_documented() {
    let table = codes();
    assert!(table.codes.len() > 30);
    for row in &table.codes {
        let entry = catalog::find(&row.code).unwrap_or_else(|| panic!("{} lacks", row.code));
        let meaning = match entry.meaning {
            Meaning::Refusal => "refusal",
            Meaning::Unproven => "unproven",
            Meaning::Barred => "barred",
            Meaning::Session => "session",
            Meaning::NoData => "no_data",
            Meaning::Fault => "fault",
        };
        assert_eq!(meaning, row.meaning, "{}", row.code);
        assert!(entry.hint.len() > 20, "{}", row.code);
    }
    for code in catalog::codes() {
        let is_documented = table.codes.iter().any(|row| row.code == code);
        assert!(is_documented, "{code} is in no document");
    }
    for success in &table.successes {
        let body = json!({"stat": "Ok", "stCode": success.code, "data": []}).to_string();
        assert_eq!(Refusal::read(&body), Some(Refusal::default()), "{body}");
        assert!(catalog::find(&success.code).is_none());
    }
    for row in &table.http {
        let error = judged(&operation::POSITIONS, row.status, "");
        assert_eq!(error.status().name(), row.read, "{}", row.status);
    }
}

/// What reads, login steps and instructions make of a code, in every shape and under
/// every HTTP status that it may have: for most codes nobody has noted it.
#[test]
fn every_code_is_judged_in_every_shape() {
    let read = &operation::POSITIONS;
    let login = &operation::TOTP_LOGIN;
    let place = Asked::New {
        made_tag: false,
        is_known: false,
    };
    for row in &codes().codes {
        if row.meaning == "no_data" {
            continue;
        }
        let wrong_code = row.code == "401";
        let mut texts: Vec<&str> = row.texts.iter().map(String::as_str).collect();
        texts.push("No");
        for text in texts {
            for body in with_code_in_it(&row.code, text) {
                for http in REFUSALS.iter().chain(OUTAGES).chain(&[429]) {
                    let is_outage = OUTAGES.contains(http);
                    let (of_read, of_login) = match (row.meaning.as_str(), http) {
                        ("session", _) => (Status::SessionExpired, Status::SessionExpired),
                        ("barred", _) => (Status::Rejected, Status::Rejected),
                        (_, 429) => (Status::RateLimited, Status::RateLimited),
                        _ if is_outage => (Status::Unavailable, Status::Unavailable),
                        ("refusal", _) => (Status::Rejected, Status::Rejected),
                        (_, 401 | 403) => (Status::SessionExpired, Status::Rejected),
                        ("fault", _) => (Status::Unavailable, Status::Unavailable),
                        _ if wrong_code => (Status::SessionExpired, Status::Rejected),
                        _ => (Status::Rejected, Status::Rejected),
                    };
                    let told = judged(read, *http, &body);
                    assert_eq!(told.status(), of_read, "{http} {body}");
                    assert_eq!(told.code(), Some(row.code.as_str()), "{body}");
                    let told = judged(login, *http, &body);
                    assert_eq!(told.status(), of_login, "{http} {body}");
                    if !matches!(*http, 429) {
                        assert_eq!(
                            told.hint(),
                            catalog::find(&row.code).map(|entry| entry.hint),
                            "{http} {body}"
                        );
                    }
                    let expected = match row.meaning.as_str() {
                        "refusal" => Proof::Refused(Status::Rejected),
                        "session" => Proof::Refused(Status::SessionExpired),
                        _ => Proof::Open,
                    };
                    let (proof, said) = proof(&operation::PLACE_ORDER, place, *http, &body);
                    assert_eq!(proof, expected, "{http} {body}: {said}");
                }
            }
        }
    }
}

/// Where no code is told the words are what there is. They decide for reads and
/// logins, and prove nothing about an instruction.
#[test]
fn words_decide_where_no_code_does() {
    let place = Asked::New {
        made_tag: false,
        is_known: false,
    };
    for (text, code) in [
        ("Consumer key fake-key-0000 is invalid", "invalid_client"),
        ("Consumer key is invalid", "invalid_client"),
        (
            "Your account is locked, your account locked for today",
            "10525",
        ),
        ("invalid session token", "100022"),
        ("Invalid session", "1003"),
        (
            "Invalid URL. Please verify the 'baseUrl' in the Login Validate API response",
            "200032",
        ),
    ] {
        let entry = catalog::find(code).expect("it is known");
        let expected = match entry.meaning {
            Meaning::Session => Status::SessionExpired,
            _ => Status::Rejected,
        };
        for body in without_code(text) {
            for http in REFUSALS.iter().chain(OUTAGES).chain(&[429]) {
                for op in [
                    &operation::QUOTES,
                    &operation::POSITIONS,
                    &operation::TOTP_LOGIN,
                    &operation::TOTP_VALIDATE,
                ] {
                    let told = judged(op, *http, &body);
                    assert_eq!(told.status(), expected, "{} {http} {body}", op.name);
                    assert_eq!(told.hint(), Some(entry.hint), "{} {http} {body}", op.name);
                    assert!(!told.status().is_transient());
                    // A code that the broker did not say is not told.
                    assert_ne!(told.code(), Some(code));
                }
                let (proof, said) = proof(&operation::PLACE_ORDER, place, *http, &body);
                assert_eq!(proof, Proof::Open, "{http} {body}: {said}");
            }
        }
    }
    // Too far away to be the reason.
    let far = format!("<html>{}invalid session</html>", " ".repeat(MOST_WORDS));
    assert_eq!(
        judged(&operation::POSITIONS, 503, &far).status(),
        Status::Unavailable
    );
}

#[test]
fn a_dead_session_says_unauthorised_in_any_shape() {
    let mut bodies = without_code("unauthorised");
    bodies.extend(with_code_in_it("401", "unauthorised"));
    bodies.extend(["", "{}", "[]", "null", "{", "\u{fffd}"].map(str::to_owned));
    for body in bodies {
        for op in [
            &operation::POSITIONS,
            &operation::ORDER_REPORT,
            &operation::LIMITS,
            &operation::WHATSMYIP,
        ] {
            let told = judged(op, 401, &body);
            assert_eq!(told.status(), Status::SessionExpired, "{body}");
            let hint = told.hint().expect("there is one");
            assert!(hint.contains("log in again"), "{body}: {hint}");
        }
        // The key alone was sent, so no session has ended.
        let told = judged(&operation::QUOTES, 401, &body);
        assert_eq!(told.status(), Status::Rejected, "{body}");
        assert!(told.hint().is_some_and(|hint| hint.contains("key")));
        // A step of a login may have sent a wrong code: it must not be repeated.
        let told = judged(&operation::TOTP_VALIDATE, 401, &body);
        assert_eq!(told.status(), Status::Rejected, "{body}");
        let place = Asked::New {
            made_tag: true,
            is_known: false,
        };
        let (proof, said) = proof(&operation::PLACE_ORDER, place, 401, &body);
        assert_eq!(proof, Proof::Open, "{body}: {said}");
    }
}

/// The samples of refusals: HTTP status, what a read, a login step and an instruction
/// make of them.
type Sample = (&'static str, u16, Status, Status, Proof);

#[test]
fn every_sample_of_a_refusal_is_judged_as_it_is_meant() {
    use Proof::{Open, Refused, Taken};
    use Status::{Protocol, Rejected, SessionExpired, Unavailable};
    let samples: &[Sample] = &[
        (
            "cancel_order.error-1006",
            400,
            Rejected,
            Rejected,
            Refused(Rejected),
        ),
        // It proves to a cancel alone; here it comes to a place order.
        (
            "cancel_order.error-14-amo-flag",
            200,
            Rejected,
            Rejected,
            Open,
        ),
        (
            "cancel_order.error-5204-bad-input",
            200,
            Rejected,
            Rejected,
            Refused(Rejected),
        ),
        (
            "cancel_order.error-91400-not-api",
            400,
            Rejected,
            Rejected,
            Refused(Rejected),
        ),
        (
            "error-200032-base-url",
            200,
            SessionExpired,
            SessionExpired,
            Refused(SessionExpired),
        ),
        (
            "error-gateway-fault",
            401,
            SessionExpired,
            SessionExpired,
            Refused(SessionExpired),
        ),
        (
            "error-gateway-fault-flat",
            401,
            SessionExpired,
            SessionExpired,
            Refused(SessionExpired),
        ),
        (
            "error-invalid-session-1003",
            403,
            SessionExpired,
            SessionExpired,
            Refused(SessionExpired),
        ),
        ("error-non-json.body", 503, Unavailable, Unavailable, Open),
        (
            "historical_data.error-invalid-interval",
            400,
            Rejected,
            Rejected,
            Open,
        ),
        (
            "historical_data.error-no-data",
            400,
            Rejected,
            Rejected,
            Open,
        ),
        (
            "market_data.error-1009-invalid-instrument",
            400,
            Rejected,
            Rejected,
            Refused(Rejected),
        ),
        (
            "market_data.error-400-neosymbol",
            400,
            Rejected,
            Rejected,
            Open,
        ),
        (
            "market_data.error-400-too-many",
            400,
            Rejected,
            Rejected,
            Open,
        ),
        (
            "modify_order.error-1006-executed",
            400,
            Rejected,
            Rejected,
            Refused(Rejected),
        ),
        (
            "modify_order.error-1021-complete",
            200,
            Rejected,
            Rejected,
            Refused(Rejected),
        ),
        ("no_data.v1", 200, Rejected, Rejected, Open),
        ("no_data.v3", 200, Rejected, Rejected, Open),
        ("no_data.v3.desc-list", 200, Rejected, Rejected, Open),
        (
            "place_order.error-100008-ip",
            401,
            Rejected,
            Rejected,
            Refused(Rejected),
        ),
        (
            "place_order.error-100021-access-type",
            400,
            Rejected,
            Rejected,
            Refused(Rejected),
        ),
        (
            "place_order.error-1004-insufficient",
            400,
            Rejected,
            Rejected,
            Refused(Rejected),
        ),
        (
            "place_order.error-1007-body-invalid",
            400,
            Rejected,
            Rejected,
            Refused(Rejected),
        ),
        (
            "place_order.error-1017-algo",
            400,
            Rejected,
            Rejected,
            Refused(Rejected),
        ),
        (
            "place_order.error-1037-session-ip",
            401,
            Rejected,
            Rejected,
            Refused(Rejected),
        ),
        (
            "place_order.error-32-core",
            200,
            Rejected,
            Rejected,
            Refused(Rejected),
        ),
        (
            "place_order.error-5204-duplicate-tag",
            200,
            Rejected,
            Rejected,
            Refused(Rejected),
        ),
        (
            "totp_login.error-invalid-credentials",
            401,
            SessionExpired,
            Rejected,
            Open,
        ),
        (
            "totp_login.error-invalid-totp",
            401,
            SessionExpired,
            Rejected,
            Open,
        ),
        (
            "totp_login.error-invalid-ucc-http200",
            200,
            Rejected,
            Rejected,
            Open,
        ),
        (
            "totp_login.error-missing-field",
            400,
            Rejected,
            Rejected,
            Open,
        ),
        (
            "totp_validate.error-invalid-mpin",
            401,
            SessionExpired,
            Rejected,
            Open,
        ),
        (
            "totp_validate.error-invalid-mpin-http200",
            200,
            SessionExpired,
            Rejected,
            Open,
        ),
        (
            "totp_validate.error-missing-field",
            400,
            Rejected,
            Rejected,
            Open,
        ),
        (
            "v1_login.error-missing-header",
            400,
            Rejected,
            Rejected,
            Open,
        ),
        (
            "v1_oauth_token.error-invalid-client",
            401,
            Rejected,
            Rejected,
            Open,
        ),
        ("v1_otp_generate.error.sdk", 200, Rejected, Rejected, Open),
        // Nothing of an order book says that an instruction was taken.
        ("trade_report.ok", 200, Protocol, Protocol, Open),
        ("place_order.ok", 200, Protocol, Protocol, Taken),
    ];
    let place = Asked::New {
        made_tag: false,
        is_known: false,
    };
    for (name, http, read, login, proved) in samples {
        let body = sample(name);
        let told = judged(&operation::POSITIONS, *http, &body);
        assert_eq!(told.status(), *read, "{name}");
        let told = judged(&operation::TOTP_LOGIN, *http, &body);
        assert_eq!(told.status(), *login, "{name}");
        let (proof, said) = proof(&operation::PLACE_ORDER, place, *http, &body);
        assert_eq!(proof, *proved, "{name}: {said}");
        // An empty book is no refusal to a reading call.
        let empty = is_no_data(&answered(*http, &body));
        assert_eq!(empty, name.starts_with("no_data"), "{name}");
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    let files = std::fs::read_dir(folder).expect("there are fixtures");
    for file in files.flatten() {
        let file = file.file_name().to_string_lossy().into_owned();
        // Those of sockets are no answers to requests.
        let Some(name) = file
            .strip_suffix(".json")
            .filter(|name| !name.contains("_ack"))
        else {
            continue;
        };
        let carries = Refusal::read(&sample(name)).is_some_and(|read| read.marked);
        let is_judged = samples.iter().any(|(judged, ..)| *judged == name);
        assert!(
            !carries || is_judged,
            "{name} is an answer that nobody judges"
        );
    }
}

/// Code 14 is the core's for many errors; one of them was proved to be a refusal.
#[test]
fn only_the_flag_error_of_a_cancel_is_a_refusal() {
    let flag_error = sample("cancel_order.error-14-amo-flag");
    let new = Asked::New {
        made_tag: false,
        is_known: false,
    };
    let id = "250122000624384";
    let (change, cancel) = (Asked::Change(id), Asked::Cancel(id, false));
    let said =
        |text: &str| format!(r#"{{"stCode":14,"errMsg":"error from core","stat":"{text}"}}"#);
    let refused = Proof::Refused(Status::Rejected);
    let with_number = flag_error.replace("{", r#"{"nOrdNo":"250122000624384","#);
    for (op, asked, body, expected) in [
        (
            &operation::CANCEL_ORDER,
            cancel,
            flag_error.clone(),
            &refused,
        ),
        (
            &operation::CANCEL_ORDER,
            Asked::Cancel(id, true),
            flag_error.clone(),
            &refused,
        ),
        (
            &operation::CANCEL_ORDER,
            cancel,
            said("ErrorText( HASH  Error )"),
            &refused,
        ),
        (
            &operation::CANCEL_ORDER,
            cancel,
            said("ErrorText(timeout)"),
            &Proof::Open,
        ),
        (
            &operation::CANCEL_ORDER,
            cancel,
            said("rehash error"),
            &Proof::Open,
        ),
        (&operation::CANCEL_ORDER, cancel, with_number, &Proof::Open),
        (
            &operation::CANCEL_ORDER,
            cancel,
            flag_error.replace("14", "15"),
            &Proof::Open,
        ),
        (
            &operation::MODIFY_ORDER,
            change,
            flag_error.clone(),
            &Proof::Open,
        ),
        (
            &operation::PLACE_ORDER,
            new,
            flag_error.clone(),
            &Proof::Open,
        ),
    ] {
        for http in [200, 400, 500] {
            let (proof, said) = proof(op, asked, http, &body);
            assert_eq!(proof, *expected, "{asked:?} {http} {body}: {said}");
        }
    }
    let hint = |asked| {
        let answer = answered(200, &flag_error);
        let op = &operation::CANCEL_ORDER;
        match instruction(op, op.current.auth, &answer, asked, &[]) {
            Verdict::Refused(error) => error.hint().unwrap_or_default().to_owned(),
            Verdict::Taken(_) | Verdict::Open(_) => String::new(),
        }
    };
    let without = hint(cancel);
    assert!(
        without.contains("after-market order: cancel with amo YES"),
        "{without}"
    );
    let with = hint(Asked::Cancel(id, true));
    assert!(with.contains("cancel with amo NO"), "{with}");
}

/// The broker's words are its own; ours claim nothing of an instruction that may have been
/// taken.
#[test]
fn an_open_answer_is_not_called_a_refusal() {
    let words = r#"{"stat":"Not_Ok","emsg":"refused and rejected","stCode":987654}"#;
    let bodies = [
        "",
        "{}",
        "[]",
        "<html>",
        "7",
        r#"{"stat":"Not_Ok"}"#,
        r#"{"stCode":1005}"#,
        words,
    ];
    for http in [
        200, 201, 204, 302, 400, 401, 403, 404, 408, 424, 429, 500, 502, 503, 504,
    ] {
        for body in bodies {
            for (op, asked) in [
                (
                    &operation::PLACE_ORDER,
                    Asked::New {
                        made_tag: true,
                        is_known: false,
                    },
                ),
                (&operation::MODIFY_ORDER, Asked::Change("1")),
                (&operation::CANCEL_ORDER, Asked::Cancel("1", false)),
            ] {
                let (proof, said) = proof(op, asked, http, body);
                assert_eq!(proof, Proof::Open, "{http} {body}");
                let ours = said
                    .split("the broker's words: ")
                    .next()
                    .unwrap_or_default();
                assert!(ours.contains(op.name), "{said}");
                for claim in [
                    "refuse",
                    "reject",
                    "cannot",
                    "not done",
                    "too many",
                    "not taken",
                ] {
                    assert!(!ours.contains(claim), "{http} {body}: {said}");
                }
            }
        }
    }
}
