//! What an answer that is no success means.
//!
//! The broker spells errors in eleven shapes, some of them under HTTP 200.
//! This file reads all of them into one code and one text.

use serde_json::Value;

use crate::catalog::{self, Meaning};
use crate::error::Error;
use crate::operation::{Kind, Operation};
use crate::status::Status;
use crate::transport::Answer;

/// What the broker said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Refusal {
    code: Option<String>,
    text: Option<String>,
}

/// The error that an answer without the expected payload stands for.
/// `known` are secrets of the call, to be masked.
pub(crate) fn error(op: &Operation, answer: &Answer, known: &[&str]) -> Error {
    let body = String::from_utf8_lossy(&answer.body);
    let refusal = Refusal::read(&body);
    let said = refusal.as_ref().and_then(|refusal| refusal.text.as_deref());
    let code = refusal.as_ref().and_then(|refusal| refusal.code.clone());
    let status = status(op, answer.http_status, refusal.as_ref());
    let name = op.name;
    let http = answer.http_status;
    let message = match (status, said) {
        (_, Some(said)) => format!("the broker refused {name}: {said}"),
        (Status::Protocol, None) => match (http, &answer.redirect) {
            (300..=399, Some(host)) => {
                format!("the broker redirected {name} to the host {host}, which is not followed")
            }
            (300..=399, None) => format!("the broker redirected {name}, which is not followed"),
            _ if refusal.is_none() => format!("the broker's answer to {name} is not JSON"),
            _ => format!("the broker's answer to {name} is not what it documents"),
        },
        (Status::Unavailable, None) => format!("the broker cannot do {name} now (HTTP {http})"),
        (Status::RateLimited, None) => format!("too many requests: {name} was not done"),
        (_, None) => format!("the broker refused {name} (HTTP {http})"),
    };
    let mut error = Error::new(status, message);
    if status == Status::SessionExpired && code.is_none() {
        error = error.with_hint("The broker does not accept this session any more; log in again.");
    }
    let known_code = code.as_deref().and_then(catalog::find).is_some();
    if known_code || code.is_some() {
        error = error.with_code(code);
    }
    error
        .with_retry_after(answer.retry_after)
        .with_broker(http, &body, known)
}

/// Whether the body says that the request was refused.
pub(crate) fn is_refusal(answer: &Answer) -> bool {
    Refusal::read(&String::from_utf8_lossy(&answer.body))
        .is_some_and(|refusal| refusal != Refusal::default())
}

fn status(op: &Operation, http: u16, refusal: Option<&Refusal>) -> Status {
    let meaning = refusal
        .and_then(|refusal| refusal.code.as_deref())
        .and_then(catalog::find)
        .map(|entry| entry.meaning);
    match http {
        424 | 500..=599 => Status::Unavailable,
        429 => Status::RateLimited,
        300..=399 => Status::Protocol,
        _ if meaning == Some(Meaning::Session) => Status::SessionExpired,
        // A wrong TOTP, MPIN or password: there is no session to expire yet.
        401 | 403 if op.kind == Kind::Login => Status::Rejected,
        401 | 403 => Status::SessionExpired,
        400..=499 => Status::Rejected,
        _ => match refusal {
            Some(Refusal {
                code: None,
                text: None,
            })
            | None => Status::Protocol,
            Some(_) => Status::Rejected,
        },
    }
}

impl Refusal {
    /// `None` if the body is not JSON; empty if it is JSON without an error.
    fn read(body: &str) -> Option<Self> {
        let body: Value = serde_json::from_str(body).ok()?;
        let object = match &body {
            Value::Object(object) => object,
            _ => return Some(Self::default()),
        };
        // A list of errors, one error, or a gateway fault: look inside.
        let inner = match (object.get("error"), object.get("fault")) {
            (Some(Value::Array(list)), _) => list.first().and_then(Value::as_object),
            (Some(Value::Object(one)), _) | (_, Some(Value::Object(one))) => Some(one),
            _ => None,
        };
        let from = inner.unwrap_or(object);
        let take = |keys: &[&str]| {
            keys.iter().find_map(|key| match from.get(*key)? {
                Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
                Value::Number(number) => Some(number.to_string()),
                _ => None,
            })
        };
        let code = take(&["stCode", "errorCode", "code", "error"])
            .filter(|code| !matches!(code.as_str(), "200" | "1000"));
        let mut text = take(&[
            "emsg",
            "errMsg",
            "error_description",
            "message",
            "description",
        ]);
        // Free text under `stat` or `status` tells more than the code alone.
        if let Some(stat) = take(&["stat", "status"]) {
            let plain = ["ok", "not_ok", "success", "failure", "error"];
            let says_more = !plain.contains(&stat.to_lowercase().as_str());
            text = match text {
                Some(text) if says_more && code.is_some() => Some(format!("{text} ({stat})")),
                None if code.is_some() && says_more => Some(stat),
                None if matches!(stat.to_lowercase().as_str(), "not_ok" | "failure" | "error") => {
                    Some(format!("no reason was given (stat {stat})"))
                }
                text => text,
            };
        }
        Some(Self { code, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation;
    use zeroize::Zeroizing;

    fn judged(op: &Operation, http_status: u16, body: &str) -> Error {
        let answer = Answer {
            http_status,
            retry_after: None,
            redirect: None,
            body: Zeroizing::new(body.as_bytes().to_vec()),
        };
        error(op, &answer, &[])
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
}
