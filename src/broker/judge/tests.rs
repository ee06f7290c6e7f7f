use super::*;
use crate::broker::operation;
use kotak_neo_testing::fixtures::sample;
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
    ] {
        assert_eq!(status(op, auth, 401, None), expected, "{}", op.name);
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
