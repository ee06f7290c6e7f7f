//! Generation 2: base-URL lookup, TOTP and MPIN behind an OAuth2 bearer, and the QR login.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    issue, json_body, logout, missing_field, needed, ok, require_bearer, require_fin_key,
    require_view, server_id, totp_is_right, wrong_old,
};
use crate::control;
use crate::cookies;
use crate::route::{Answer, Call, Route};
use crate::tokens::{Front, Generation, Scope, Session};

/// The public constants of the official SDK.
pub(crate) const PROD_FIN_KEY: &str = "X6Nk8cQhUgGmJ2vBdWw4sfzrz4L5En";
pub(crate) const UAT_FIN_KEY: &str = "bQJNkL5z8m4aGcRgjDvXhHfSx7VpZnE";

pub(super) static ROUTES: &[Route] = &[
    Route {
        method: Method::GET,
        path: "algo-user/v5/get-base-url",
        login_host: false,
        handler: base_url,
    },
    Route {
        method: Method::POST,
        path: "apim/login/2.0/login/v6/totp/login",
        login_host: true,
        handler: |call| totp_login(call, Front::Apim),
    },
    Route {
        method: Method::POST,
        path: "apim/login/2.0/login/v6/totp/validate",
        login_host: true,
        handler: |call| totp_validate(call, Front::Apim),
    },
    Route {
        method: Method::POST,
        path: "login/1.0/login/v6/totp/login",
        login_host: true,
        handler: |call| totp_login(call, Front::Login),
    },
    Route {
        method: Method::POST,
        path: "login/1.0/login/v6/totp/validate",
        login_host: true,
        handler: |call| totp_validate(call, Front::Login),
    },
    Route {
        method: Method::GET,
        path: "apim/login/2.0/algo-user/v5/login/authorization/dialog",
        login_host: true,
        handler: qr_link,
    },
    Route {
        method: Method::GET,
        path: "login/1.0/algo-user/v5/login/authorization/dialog",
        login_host: true,
        handler: qr_link,
    },
    Route {
        method: Method::POST,
        path: "apim/login/2.0/algo-user/v5/login/generate-session-token",
        login_host: true,
        handler: |call| qr_session(call, Front::Apim),
    },
    Route {
        method: Method::POST,
        path: "login/1.0/algo-user/v5/login/generate-session-token",
        login_host: true,
        handler: |call| qr_session(call, Front::Login),
    },
    Route {
        method: Method::POST,
        path: "apim/login/2.0/logout",
        login_host: true,
        handler: logout,
    },
];

/// Names the API host of an account. No authentication.
fn base_url(call: &Call<'_>) -> Result<Answer, Answer> {
    if call.query("id") != Some(&call.state.options.credentials.ucc) {
        return Err(Answer::error(
            StatusCode::UNAUTHORIZED,
            "401",
            "Invalid UCC",
        ));
    }
    Ok(ok(&json!({"data": {"baseURL": call.base_url()}})))
}

/// The view token.
pub(super) fn totp_login(call: &Call<'_>, front: Front) -> Result<Answer, Answer> {
    require_bearer(call)?;
    fin_key(call, &[front])?;
    let body = json_body(call)?;
    let mobile_number = needed(&body, "mobileNumber", "MobileNumber")?;
    let ucc = needed(&body, "ucc", "Ucc")?;
    let code = needed(&body, "totp", "Totp")?;
    let who = &call.state.options.credentials;
    if ucc != who.ucc || mobile_number != who.mobile_number || !totp_is_right(call, code) {
        return Err(wrong_old(call, "Invalid credentials or TOTP."));
    }
    let session = issue(call, Generation::V2, front, Scope::View);
    Ok(ok(&json!({"data": totp_data(call, &session)})))
}

/// The trade token.
pub(super) fn totp_validate(call: &Call<'_>, front: Front) -> Result<Answer, Answer> {
    cookies::require(call)?;
    require_bearer(call)?;
    fin_key(call, &[front])?;
    require_view(call, Generation::V2, front)?;
    let body = json_body(call)?;
    if needed(&body, "mpin", "Mpin")? != call.state.options.credentials.mpin {
        return Err(wrong_old(call, "Invalid MPIN."));
    }
    let session = issue(call, Generation::V2, front, Scope::Trade);
    Ok(ok(&json!({"data": totp_data(call, &session)})))
}

/// The link that the user opens on a phone.
fn qr_link(call: &Call<'_>) -> Result<Answer, Answer> {
    require_bearer(call)?;
    let ucc = call.query("id").ok_or_else(|| missing_field("Ucc"))?;
    if ucc != call.state.options.credentials.ucc {
        return Err(wrong_old(call, "Invalid UCC"));
    }
    // Opening the link is the approval; the page shows the one-time token.
    let link = format!("{}{}?id={ucc}", call.state.url, control::QR_PAGE);
    Ok(ok(
        &json!({"data": {"baseDomain": call.base_url(), "redirectUrl": link}}),
    ))
}

/// The trade token for a one-time token that an approval gave.
fn qr_session(call: &Call<'_>, front: Front) -> Result<Answer, Answer> {
    require_bearer(call)?;
    // UAT uses the `apim` path too, on a host of its own and with its own key.
    let fronts = [
        front,
        if front == Front::Apim {
            Front::Uat
        } else {
            front
        },
    ];
    fin_key(call, &fronts)?;
    let body = json_body(call)?;
    let ott = needed(&body, "ott", "Ott")?;
    let ucc = needed(&body, "id", "Id")?;
    if ucc != call.state.options.credentials.ucc || !call.state.tokens.use_ott(ott, ucc) {
        return Err(wrong_old(call, "Invalid OTT"));
    }
    let session = issue(call, Generation::V2, front, Scope::Trade);
    let mut data = common_data(call, &session);
    data["caches"] = json!({"baskets": "", "lastUpdatedTS": "", "multiplewatchlists": ""});
    Ok(ok(&json!({"data": data})))
}

/// Checks `neo-fin-key`, whose default depends on the environment.
fn fin_key(call: &Call<'_>, fronts: &[Front]) -> Result<(), Answer> {
    let default = |front: &Front| match front {
        Front::Uat => UAT_FIN_KEY,
        Front::Login | Front::Apim => PROD_FIN_KEY,
    };
    let mut checks = fronts
        .iter()
        .map(|front| require_fin_key(call, default(front)));
    let first = checks.next().unwrap_or(Ok(()));
    checks.fold(first, Result::or)
}

/// The `data` of the TOTP and MPIN steps.
fn totp_data(call: &Call<'_>, session: &Session) -> Value {
    let mut data = common_data(call, session);
    data["kId"] = json!(call.state.options.credentials.pan);
    data["kType"] = json!(session.scope.word());
    data["status"] = json!("success");
    data["incRange"] = json!(0);
    data["incUpdFlag"] = json!("");
    data["clientGroup"] = json!("");
    data
}

fn common_data(call: &Call<'_>, session: &Session) -> Value {
    let options = &call.state.options;
    let mut data = json!({
        "token": session.token,
        "sid": session.sid,
        "rid": session.rid,
        "isUserPwdExpired": false,
        "ucc": options.credentials.ucc,
        "greetingName": options.credentials.greeting_name,
        "isTrialAccount": false,
        "dataCenter": "gdc",
        "searchAPIKey": "",
        "derivativesRiskDisclosure": "",
        "mfAccess": 1,
        "dataCenterMap": null,
        "dormancyStatus": "A",
        "asbaStatus": "",
        "clientType": "RI",
        "isNRI": false,
    });
    if let Some(server) = server_id(call, Generation::V2) {
        data["hsServerId"] = json!(server);
    }
    data
}
