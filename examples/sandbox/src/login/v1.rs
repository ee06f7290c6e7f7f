//! Generation 1: password, then OTP or MPIN. Both steps use one path.

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::{
    body_invalid, issue, json_body, logout, needed, ok, require_bearer, require_view, server_id,
    text, wrong_old,
};
use crate::cookies;
use crate::route::{Answer, Call, Route};
use crate::tokens::{Front, Generation, Scope, Session};

pub(super) static ROUTES: &[Route] = &[
    Route {
        method: Method::POST,
        path: "login/1.0/login/v2/validate",
        login_host: true,
        handler: |call| validate(call, Front::Login),
    },
    Route {
        method: Method::POST,
        path: "api/1.0/login/v2/validate",
        login_host: true,
        handler: |call| validate(call, Front::Uat),
    },
    Route {
        method: Method::POST,
        path: "login/1.0/login/otp/generate",
        login_host: true,
        handler: generate_otp,
    },
    Route {
        method: Method::POST,
        path: "api/1.0/login/otp/generate",
        login_host: true,
        handler: generate_otp,
    },
    Route {
        method: Method::POST,
        path: "login/1.0/logout",
        login_host: true,
        handler: logout,
    },
    Route {
        method: Method::POST,
        path: "api/1.0/logout",
        login_host: true,
        handler: logout,
    },
];

/// The second step shows itself by its headers, or by an OTP in the body.
fn validate(call: &Call<'_>, front: Front) -> Result<Answer, Answer> {
    require_bearer(call)?;
    let body = json_body(call)?;
    let second =
        call.header("sid").is_some() || call.header("auth").is_some() || body.contains_key("otp");
    if second {
        second_factor(call, &body, front)
    } else {
        password_login(call, &body, front)
    }
}

fn password_login(
    call: &Call<'_>,
    body: &Map<String, Value>,
    front: Front,
) -> Result<Answer, Answer> {
    let who = &call.state.options.credentials;
    let given = [
        (text(body, "mobileNumber")?, &who.mobile_number),
        (text(body, "pan")?, &who.pan),
        (text(body, "userid")?, &who.user_id),
    ];
    let (identifier, right_one) = only(given, "mobileNumber, pan, userid")?;
    let given = [
        (text(body, "password")?, &who.password),
        (text(body, "mpin")?, &who.mpin),
    ];
    let (secret, right_secret) = only(given, "password, mpin")?;
    if identifier != right_one || secret != right_secret {
        return Err(wrong_old(call, "Invalid credentials"));
    }
    let session = issue(call, Generation::V1, front, Scope::View);
    Ok(ok(&json!({"data": data(call, &session)})))
}

/// The one value that was given; none or several are refused.
fn only<'a, const N: usize>(
    given: [(Option<&'a str>, &'a String); N],
    names: &str,
) -> Result<(&'a str, &'a str), Answer> {
    let mut present = given
        .into_iter()
        .filter_map(|(sent, right)| Some((sent?, right.as_str())));
    match (present.next(), present.next()) {
        (Some(one), None) => Ok(one),
        _ => {
            let message = format!("Exactly one of these is needed: {names}");
            Err(Answer::error(StatusCode::BAD_REQUEST, "400", &message))
        }
    }
}

fn second_factor(
    call: &Call<'_>,
    body: &Map<String, Value>,
    front: Front,
) -> Result<Answer, Answer> {
    cookies::require(call)?;
    require_view(call, Generation::V1, front)?;
    let who = &call.state.options.credentials;
    if body.contains_key("otp") {
        let user_id = needed(body, "userId", "UserId")?;
        let otp = needed(body, "otp", "Otp")?;
        // The OTP is used up only by the right user.
        if user_id != who.user_id || !call.state.tokens.use_otp(otp) {
            return Err(wrong_old(call, "Invalid OTP"));
        }
    } else {
        let given = [
            (text(body, "mobileNumber")?, &who.mobile_number),
            (text(body, "pan")?, &who.pan),
        ];
        let (identifier, right_one) = only(given, "mobileNumber, pan")?;
        if identifier != right_one || needed(body, "mpin", "Mpin")? != who.mpin {
            return Err(wrong_old(call, "Invalid MPIN"));
        }
    }
    let session = issue(call, Generation::V1, front, Scope::Trade);
    Ok(ok(&json!({"data": data(call, &session)})))
}

/// Sends an OTP to the pretend phone.
fn generate_otp(call: &Call<'_>) -> Result<Answer, Answer> {
    require_bearer(call)?;
    let body = json_body(call)?;
    let user_id = needed(&body, "userId", "UserId")?;
    let both = [body.get("sendEmail"), body.get("isWhitelisted")];
    if both.iter().any(|flag| !flag.is_some_and(Value::is_boolean)) {
        return Err(body_invalid());
    }
    let state = call.state;
    if user_id != state.options.credentials.user_id || !state.tokens.has_password_view() {
        return Err(Answer::error(
            StatusCode::BAD_REQUEST,
            "10522",
            "Issues while generating OTP! Try to login again.",
        ));
    }
    let otp = state.tokens.issue_otp();
    if state.options.print_otp {
        println!("OTP for the pretend phone: {otp}");
    }
    Ok(ok(&json!({"data": {"status": "success"}})))
}

/// The `data` of both steps.
fn data(call: &Call<'_>, session: &Session) -> Value {
    let options = &call.state.options;
    let mut data = json!({
        "token": session.token,
        "sid": session.sid,
        "rid": session.rid,
        "ucc": options.credentials.ucc,
        "greetingName": options.credentials.greeting_name,
    });
    if options.seed_login_body {
        data["caches"] = json!({
            "lastUpdatedTS": "1654684389",
            "multiplewatchlists": "1654684389",
            "watchlist": "1638271224",
        });
    } else {
        data["caches"] = json!({
            "baskets": "1687845385",
            "lastUpdatedTS": "1687845385",
            "multiplewatchlists": "1683352919",
            "techchartpreferences": "1683528608",
        });
        data["isUserPwdExpired"] = json!(false);
        data["isTrialAccount"] = json!(false);
        data["dataCenter"] = json!("gdc");
        data["searchAPIKey"] = json!("");
    }
    if let Some(server) = server_id(call, Generation::V1) {
        data["hsServerId"] = json!(server);
    }
    data
}
