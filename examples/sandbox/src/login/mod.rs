//! The login services of all three generations.
//!
//! This file holds what they share: reading a request, and the refusals. Each generation has
//! a file of its own with its route table.

mod oauth;
mod v1;
pub(crate) mod v2;
pub(crate) mod v3;

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::ErrorShape;
use crate::cookies;
use crate::route::{Answer, Call, Route};
use crate::switches::DeadSession;
use crate::tokens::{Front, Generation, Issue, Scope, Session, Subject, unix_now};
use crate::totp;

/// The route tables of the login services.
pub(crate) static TABLES: &[&[Route]] =
    &[oauth::ROUTES, v1::ROUTES, v2::ROUTES, v3::ROUTES, SHARED];

/// UAT gives generations 2 and 3 the same paths; the kind of `Authorization` tells them apart.
static SHARED: &[Route] = &[
    Route {
        method: http::Method::POST,
        path: "api/1.0/login/v6/totp/login",
        login_host: true,
        handler: |call| {
            if says_bearer(call) {
                v2::totp_login(call, Front::Uat)
            } else {
                v3::totp_login(call, Front::Uat)
            }
        },
    },
    Route {
        method: http::Method::POST,
        path: "api/1.0/login/v6/totp/validate",
        login_host: true,
        handler: |call| {
            if says_bearer(call) {
                v2::totp_validate(call, Front::Uat)
            } else {
                v3::totp_validate(call, Front::Uat)
            }
        },
    },
];

/// The broker's risk text is about 1 kB with line breaks and bullets, and so is this one.
const DISCLOSURE: &str = "(SANDBOX: a pretend risk disclosure)\n\n\
    • Nothing that is bought or sold here exists. No order reaches an exchange, no money moves.\n\
    • Whoever loses pretend money loses 100% of nothing; whoever wins it keeps ₹ 0.00 of it, \
    before pretend brokerage and pretend taxes.\n\
    • Past performance of the pretend market says nothing, as its prices come from a generator \
    of random numbers that does not remember them either.\n\n\
    The text is long because the text of the broker is long: about a thousand bytes, with line \
    breaks, bullets, per cent signs, \"quotes\", a \\ backslash and the ₹ sign, so that a client \
    which cannot carry them through is found out here and not on a trading day. A screen that \
    shows the first line only, or cuts the text in the middle of a letter of several bytes, is \
    found out too. It has no other meaning, and no authority wrote it.\n";

fn says_bearer(call: &Call<'_>) -> bool {
    call.header("authorization")
        .is_some_and(|value| value.starts_with("Bearer"))
}

// ---- Reading a request -------------------------------------------------------------------

/// The body, which must be a JSON object and say so.
fn json_body(call: &Call<'_>) -> Result<Map<String, Value>, Answer> {
    require_content_type(call, "application/json")?;
    match serde_json::from_slice(call.body) {
        Ok(Value::Object(map)) => Ok(map),
        _ => Err(body_invalid()),
    }
}

pub(crate) fn require_content_type(call: &Call<'_>, wanted: &str) -> Result<(), Answer> {
    let sent = call.header("content-type").unwrap_or("");
    let essence = sent.split(';').next().unwrap_or("").trim();
    if essence.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    let message = format!("Content-Type must be {wanted}");
    Err(Answer::error(StatusCode::BAD_REQUEST, "400", &message))
}

/// A text of the body; `None` if it is absent, null or empty. Other types are refused.
fn text<'a>(body: &'a Map<String, Value>, key: &str) -> Result<Option<&'a str>, Answer> {
    match body.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(_) => Err(body_invalid()),
    }
}

/// A text of the body that must be there; `name` is what the refusal calls it.
fn needed<'a>(body: &'a Map<String, Value>, key: &str, name: &str) -> Result<&'a str, Answer> {
    text(body, key)?.ok_or_else(|| missing_field(name))
}

pub(crate) fn required_header<'a>(call: &'a Call<'_>, name: &str) -> Result<&'a str, Answer> {
    call.header(name).ok_or_else(|| {
        Answer::error(
            StatusCode::BAD_REQUEST,
            "10512",
            "Required header not found.",
        )
    })
}

/// Checks `neo-fin-key` against the one that was set, or the official default.
pub(crate) fn require_fin_key(call: &Call<'_>, default: &str) -> Result<(), Answer> {
    let sent = required_header(call, "neo-fin-key")?;
    if sent == call.state.options.neo_fin_key.as_deref().unwrap_or(default) {
        Ok(())
    } else {
        Err(not_ok())
    }
}

/// Checks the OAuth2 access token of generations 1 and 2, as the gateway before them does.
pub(crate) fn require_bearer(call: &Call<'_>) -> Result<(), Answer> {
    let token = call
        .header("authorization")
        .and_then(|value| value.strip_prefix("Bearer "));
    match token {
        Some(token) if call.state.tokens.bearer_is_valid(token) => Ok(()),
        _ => Err(gateway_fault(call)),
    }
}

/// Finds the session that the headers `sid` and `Auth` name.
pub(crate) fn require_session(
    call: &Call<'_>,
    scope: Scope,
    generations: &[Generation],
) -> Result<Arc<Session>, Answer> {
    let sid = required_header(call, "sid")?;
    let token = required_header(call, "auth")?;
    call.state
        .tokens
        .session(sid, token)
        .filter(|session| session.scope == scope && generations.contains(&session.generation))
        .ok_or_else(|| invalid_session(call))
}

/// The view session of the step before, which must have come through the same paths.
fn require_view(
    call: &Call<'_>,
    generation: Generation,
    front: Front,
) -> Result<Arc<Session>, Answer> {
    let session = require_session(call, Scope::View, &[generation])?;
    if session.front == front {
        Ok(session)
    } else {
        Err(invalid_session(call))
    }
}

/// The `hsServerId` that a login of this generation names, if it does.
pub(crate) fn server_id(call: &Call<'_>, generation: Generation) -> Option<&'static str> {
    let options = &call.state.options;
    match generation {
        _ if !options.hs_server_id => None,
        Generation::V1 if options.seed_login_body => Some("server1"),
        Generation::V1 => Some("server2"),
        Generation::V2 => Some("server4"),
        Generation::V3 => None,
    }
}

fn totp_is_right(call: &Call<'_>, code: &str) -> bool {
    totp::accepts(&call.state.totp_secret, unix_now(), code)
}

fn issue(call: &Call<'_>, generation: Generation, front: Front, scope: Scope) -> Arc<Session> {
    let state = call.state;
    let who = &state.options.credentials;
    let subject = Subject {
        user_id: &who.user_id,
        ucc: &who.ucc,
        pan: &who.pan,
    };
    let issue = Issue {
        generation,
        front,
        scope,
        address: call.peer.ip(),
    };
    state
        .tokens
        .issue_session(issue, &subject, state.options.token_lifetime)
}

pub(crate) fn ok(body: &Value) -> Answer {
    Answer::json(StatusCode::OK, body)
}

// ---- Logout of generations 1 and 2 -------------------------------------------------------

/// Ends the trade session. The SDK posts an empty form.
fn logout(call: &Call<'_>) -> Result<Answer, Answer> {
    cookies::require(call)?;
    require_bearer(call)?;
    require_content_type(call, "application/x-www-form-urlencoded")?;
    let session = require_session(call, Scope::Trade, &[Generation::V1, Generation::V2])?;
    call.state.tokens.end_session(&session.sid);
    Ok(ok(&json!({"stat": "Ok", "stCode": 200})))
}

// ---- Refusals ----------------------------------------------------------------------------

/// A wrong credential.
#[derive(Clone, Copy)]
enum Wrong {
    ConsumerKey,
    Ucc,
    Totp,
    Mpin,
}

/// A wrong credential at generation 3: three shapes are documented.
fn wrong(call: &Call<'_>, what: Wrong) -> Answer {
    let failure = |code: i32, message: &str| {
        ok(&json!({"stCode": code, "errMsg": message, "status": "failure"}))
    };
    let unauthorized = |message: &str| {
        let body = json!({"status": "error", "message": message, "errorCode": "401"});
        Answer::json(StatusCode::UNAUTHORIZED, &body)
    };
    match (call.state.options.login_errors, what) {
        (ErrorShape::NotOk401, _) | (_, Wrong::ConsumerKey) => not_ok(),
        (ErrorShape::Http401, Wrong::Mpin) => unauthorized("Invalid MPIN."),
        (ErrorShape::Http401, Wrong::Ucc | Wrong::Totp) => {
            unauthorized("Invalid credentials or TOTP.")
        }
        (ErrorShape::Http200, Wrong::Ucc) => failure(429, "Invalid UCC"),
        (ErrorShape::Http200, Wrong::Totp) => failure(401, "Invalid credentials or TOTP"),
        (ErrorShape::Http200, Wrong::Mpin) => failure(401, "Invalid MPIN"),
    }
}

/// A wrong credential at generations 1 and 2: the list with one error.
fn wrong_old(call: &Call<'_>, message: &str) -> Answer {
    let status = match call.state.options.login_errors {
        ErrorShape::Http200 => StatusCode::OK,
        ErrorShape::Http401 | ErrorShape::NotOk401 => StatusCode::UNAUTHORIZED,
    };
    Answer::error(status, "401", message)
}

fn not_ok() -> Answer {
    let body = json!({"stat": "Not_Ok", "message": "Invalid credentials"});
    Answer::json(StatusCode::UNAUTHORIZED, &body)
}

fn missing_field(name: &str) -> Answer {
    let message = format!("Missing required field '{name}'");
    Answer::error(StatusCode::BAD_REQUEST, "400", &message)
}

pub(crate) fn body_invalid() -> Answer {
    let body = json!({"stCode": 1007, "errMsg": "body invalid", "stat": "bad request"});
    Answer::json(StatusCode::BAD_REQUEST, &body)
}

fn invalid_session(call: &Call<'_>) -> Answer {
    let manner = call.state.exchange().switches.dead_session;
    let (status, body) = match manner {
        DeadSession::Code1003 => (
            StatusCode::FORBIDDEN,
            json!({"stat": "Not_Ok", "emsg": "Invalid session", "stCode": 1003}),
        ),
        DeadSession::Code100022 => (
            StatusCode::FORBIDDEN,
            json!({"stCode": 100_022, "errMsg": "invalid session token", "stat": "Not_Ok"}),
        ),
        DeadSession::Unauthorised => (
            StatusCode::UNAUTHORIZED,
            json!({"stat": "Not_Ok", "message": "unauthorised"}),
        ),
    };
    Answer::json(status, &body)
}

/// What a locked account gets, in the shape of the login services.
fn refuse_locked(call: &Call<'_>) -> Result<(), Answer> {
    const MESSAGE: &str = "Your account is locked, your account locked for today";
    let is_locked = call.state.exchange().switches.account_locked;
    match is_locked {
        true => Err(Answer::error(StatusCode::BAD_REQUEST, "10525", MESSAGE)),
        false => Ok(()),
    }
}

/// What a call gets that went to another host than the login named.
pub(crate) fn require_base(call: &Call<'_>) -> Result<(), Answer> {
    const MESSAGE: &str =
        "Invalid URL. Please verify the 'baseUrl' in the Login Validate API response";
    if call.on_base && !call.state.exchange().switches.other_host {
        return Ok(());
    }
    let body = json!({"stCode": 200_032, "errMsg": MESSAGE, "stat": "Not_Ok"});
    Err(ok(&body))
}

/// What the live service says to a key that is not one, where the key is all that is asked for.
pub(crate) fn unknown_key(sent: &str) -> Answer {
    let begin: String = sent.chars().take(8).collect();
    let message = format!("Consumer key {begin}*** is invalid");
    Answer::error(StatusCode::FAILED_DEPENDENCY, "424", &message)
}

/// What the API gateway before generations 1 and 2 says about a bad bearer.
fn gateway_fault(call: &Call<'_>) -> Answer {
    const MESSAGE: &str = "Invalid Credentials";
    // The gateway names an API by its context, which ends with its version.
    let is_version = |segment: &&str| {
        segment.split_once('.').is_some_and(|(major, minor)| {
            major.parse::<u8>().is_ok() && minor.parse::<u8>().is_ok()
        })
    };
    let version = call.path.split('/').find(is_version).unwrap_or("1.0");
    let context = match call.path.find(version) {
        Some(at) => &call.path[..at + version.len()],
        None => call.path,
    };
    let description = format!(
        "Access failure for API: {context}, version: {version} status: (900901) - {MESSAGE}. \
         Make sure you have provided the correct security credentials"
    );
    let body = if call.state.options.flat_gateway_fault {
        json!({"code": "900901", "message": MESSAGE, "description": description})
    } else {
        json!({"fault": {"code": 900_901, "message": MESSAGE, "description": description}})
    };
    Answer::json(StatusCode::UNAUTHORIZED, &body)
}
