//! Generation 3: consumer key, TOTP, MPIN; the config service and the client's address.

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::{
    DISCLOSURE, Wrong, issue, json_body, needed, ok, refuse_locked, require_fin_key,
    require_session, require_view, required_header, totp_is_right, unknown_key, wrong,
};
use crate::clock;
use crate::cookies;
use crate::route::{Answer, Call, Route};
use crate::switches::NamedBase;
use crate::tokens::{Front, Generation, Scope, Session, since_1970};

pub(crate) const FIN_KEY: &str = "neotradeapi";

pub(super) static ROUTES: &[Route] = &[
    Route {
        method: Method::POST,
        path: "login/1.0/tradeApiLogin",
        login_host: true,
        handler: |call| totp_login(call, Front::Login),
    },
    Route {
        method: Method::POST,
        path: "login/1.0/tradeApiValidate",
        login_host: true,
        handler: |call| totp_validate(call, Front::Login),
    },
    Route {
        method: Method::GET,
        path: "login/1.0/get-client-ip",
        login_host: true,
        handler: client_ip,
    },
    Route {
        method: Method::GET,
        path: "5config/config",
        login_host: false,
        handler: config,
    },
];

/// Data centres of the config service and the source that serves them.
const CENTRES: &[(&str, &str)] = &[
    ("E201", "sh"),
    ("E21", "sh"),
    ("E22", "sh"),
    ("E25", "sh"),
    ("E41", "sh"),
    ("E43", "sh"),
    ("E210", "ks"),
    ("E220", "ks"),
    ("E410", "ks"),
    ("E430", "ks"),
];

/// The view token.
pub(super) fn totp_login(call: &Call<'_>, front: Front) -> Result<Answer, Answer> {
    require_key(call)?;
    require_fin_key(call, FIN_KEY)?;
    refuse_locked(call)?;
    let body = json_body(call)?;
    let mobile_number = needed(&body, "mobileNumber", "MobileNumber")?;
    let ucc = needed(&body, "ucc", "Ucc")?;
    let code = needed(&body, "totp", "Totp")?;
    let who = &call.state.options.credentials;
    if ucc != who.ucc {
        return Err(wrong(call, Wrong::Ucc));
    }
    if mobile_number != who.mobile_number || !totp_is_right(call, code) {
        return Err(wrong(call, Wrong::Totp));
    }
    let session = issue(call, Generation::V3, front, Scope::View);
    Ok(ok(&json!({"data": data(call, &session)})))
}

/// The trade token.
pub(super) fn totp_validate(call: &Call<'_>, front: Front) -> Result<Answer, Answer> {
    cookies::require(call)?;
    require_key(call)?;
    require_fin_key(call, FIN_KEY)?;
    refuse_locked(call)?;
    require_view(call, Generation::V3, front)?;
    let body = json_body(call)?;
    if needed(&body, "mpin", "Mpin")? != call.state.options.credentials.mpin {
        return Err(wrong(call, Wrong::Mpin));
    }
    let session = issue(call, Generation::V3, front, Scope::Trade);
    let mut data = data(call, &session);
    let options = &call.state.options;
    let manner = call.state.exchange().switches.base_url;
    match manner {
        // A fault goes before a switch.
        _ if call.named_base.is_some() => data["baseUrl"] = json!(call.base_url()),
        NamedBase::Url => data["baseUrl"] = json!(call.base_url()),
        NamedBase::Bare => {
            let host = options.data_center.to_lowercase();
            let path = &options.base_path;
            data["baseUrl"] = json!(format!("{host}.kotaksecurities.com{path}"));
        }
        NamedBase::Absent => {}
    }
    if options.feed_urls {
        data["feedUrl"] = json!(call.feed_url("/apifeed"));
        data["rtUrl"] = json!(call.feed_url("/realtime"));
    }
    Ok(ok(&json!({"data": data})))
}

/// The address that the broker sees, to be whitelisted for orders.
fn client_ip(call: &Call<'_>) -> Result<Answer, Answer> {
    cookies::require(call)?;
    require_key(call)?;
    require_session(call, Scope::Trade, &[Generation::V3])?;
    let seen = json!({"ip": call.peer.ip().to_string(), "time": clock::india(since_1970())});
    Ok(ok(
        &json!({"data": [seen], "stCode": 1000, "status": "success"}),
    ))
}

/// The feed addresses of the data centres. No authentication.
fn config(call: &Call<'_>) -> Result<Answer, Answer> {
    let environment = call.query("environment");
    if call.query("platform") != Some("api") || !matches!(environment, Some("prod" | "qa")) {
        return Err(Answer::error(
            StatusCode::BAD_REQUEST,
            "400",
            "platform must be api, environment prod or qa",
        ));
    }
    let own = call.state.options.data_center.as_str();
    let mut configs = Map::new();
    let mut add = |centre: &str, source: &str| {
        configs.insert(format!("{centre}_broadcast_source"), json!(source));
        for (source, broadcast, interactive) in [
            ("ks", "/ufeed", "/uinteractive"),
            ("sh", "/apifeed", "/realtime"),
        ] {
            configs.insert(
                format!("{centre}_{source}_broadcast_endpoint"),
                json!(call.feed_url(broadcast)),
            );
            configs.insert(
                format!("{centre}_{source}_interactive_endpoint"),
                json!(call.feed_url(interactive)),
            );
        }
    };
    if !own.is_empty() {
        add(own, "sh");
    }
    for (centre, source) in CENTRES {
        add(centre, source);
    }
    Ok(ok(&json!({"data": {"configs": configs}})))
}

/// The consumer key, plain, without `Bearer`.
pub(crate) fn require_key(call: &Call<'_>) -> Result<(), Answer> {
    if required_header(call, "authorization")? == call.state.options.credentials.consumer_key {
        Ok(())
    } else {
        Err(wrong(call, Wrong::ConsumerKey))
    }
}

/// The same for a call that needs nothing else.
pub(crate) fn require_only_key(call: &Call<'_>) -> Result<(), Answer> {
    let sent = required_header(call, "authorization")?;
    require_key(call).map_err(|_| unknown_key(sent))
}

/// The `data` that both steps share.
fn data(call: &Call<'_>, session: &Session) -> Value {
    let options = &call.state.options;
    json!({
        "token": session.token,
        "sid": session.sid,
        "rid": session.rid,
        "isUserPwdExpired": false,
        "ucc": options.credentials.ucc,
        "greetingName": options.credentials.greeting_name,
        "isTrialAccount": false,
        "dataCenter": options.data_center,
        "derivativesRiskDisclosure": DISCLOSURE,
        "mfAccess": 1,
        "dataCenterMap": null,
        "dormancyStatus": "A",
        "asbaStatus": "",
        "clientType": "RI",
        "isNRI": false,
        "kId": options.credentials.pan,
        "kType": session.scope.word(),
        "status": "success",
        "incRange": 0,
        "incUpdFlag": "",
        "clientGroup": "",
        "kraStatus": "",
        "rcFlag": 0,
    })
}
