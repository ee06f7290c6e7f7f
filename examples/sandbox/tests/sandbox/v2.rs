//! Generation 2: base-URL lookup, TOTP and MPIN behind OAuth2, QR login, logout.

use kotak_neo_sandbox::{ErrorShape, Options, Sandbox};
use serde_json::{Value, json};

use crate::client::Ask;
use crate::fixtures::{assert_same_shape, claims, sample};
use crate::v1::{bearer, logout_ask};

const PROD_KEY: &str = "X6Nk8cQhUgGmJ2vBdWw4sfzrz4L5En";
const UAT_KEY: &str = "bQJNkL5z8m4aGcRgjDvXhHfSx7VpZnE";

/// What stands before `/login/v6/totp/...`, and the key that goes with it.
const FRONTS: [(&str, &str); 3] = [
    ("/apim/login/2.0", PROD_KEY),
    ("/login/1.0", PROD_KEY),
    ("/api/1.0", UAT_KEY),
];

fn start() -> Sandbox {
    Sandbox::start(Options::default()).unwrap()
}

fn login_ask(sandbox: &Sandbox, (front, key): (&str, &str), bearer: &str) -> Ask {
    let who = sandbox.credentials();
    let body = json!({
        "mobileNumber": who.mobile_number,
        "ucc": who.ucc,
        "totp": sandbox.totp_now(),
    });
    Ask::post(&format!("{front}/login/v6/totp/login"), &body)
        .with("authorization", bearer)
        .with("neo-fin-key", key)
}

fn validate_ask(sandbox: &Sandbox, (front, key): (&str, &str), bearer: &str, view: &Value) -> Ask {
    let body = json!({"mpin": sandbox.credentials().mpin});
    Ask::post(&format!("{front}/login/v6/totp/validate"), &body)
        .with("authorization", bearer)
        .with("neo-fin-key", key)
        .with("sid", view["data"]["sid"].as_str().unwrap())
        .with("auth", view["data"]["token"].as_str().unwrap())
}

/// A trade session that was made under this base.
pub fn trade(sandbox: &Sandbox, bearer: &str, front: usize) -> Value {
    let front = FRONTS[front];
    let view = login_ask(sandbox, front, bearer).reply(sandbox).expect(200);
    validate_ask(sandbox, front, bearer, &view)
        .reply(sandbox)
        .expect(200)
}

fn error(code: &str, message: &str) -> Value {
    json!({"error": [{"code": code, "message": message}]})
}

#[test]
fn looks_up_the_base_url() {
    let sandbox = start();
    let reply = Ask::get("/algo-user/v5/get-base-url?id=TEST1").reply(&sandbox);
    assert_eq!(reply.cookie(), None);
    let answer = reply.expect(200);
    assert_same_shape(&answer, "v2_base_url.ok.json");
    assert_eq!(answer["data"]["baseURL"], sandbox.url());
    for query in ["?id=OTHER", "?id=", ""] {
        let reply = Ask::get(&format!("/algo-user/v5/get-base-url{query}")).reply(&sandbox);
        assert_eq!(reply.expect(401), error("401", "Invalid UCC"));
    }
}

#[test]
fn logs_in_under_every_base() {
    let sandbox = start();
    let bearer = bearer(&sandbox);
    for front in FRONTS {
        let view = login_ask(&sandbox, front, &bearer)
            .reply(&sandbox)
            .expect(200);
        assert_same_shape(&view, "v2_totp_login.ok.json");
        assert_eq!(view["data"]["kType"], "View");
        let trade = validate_ask(&sandbox, front, &bearer, &view)
            .reply(&sandbox)
            .expect(200);
        assert_same_shape(&trade, "v2_totp_validate.ok.json");
        assert_eq!(trade["data"]["kType"], "Trade");
        assert_eq!(claims(&trade["data"]["token"])["scope"], json!(["Trade"]));
        let logout = logout_ask("/apim/login/2.0/logout", &bearer, &trade);
        logout.reply(&sandbox).expect(200);
        logout.reply(&sandbox).expect(403);
    }
    assert!(sandbox.requests().iter().all(|request| request.known_route));
}

#[test]
fn refuses_what_is_wrong() {
    for (login_errors, status) in [(ErrorShape::Http401, 401), (ErrorShape::Http200, 200)] {
        let sandbox = Sandbox::start(Options {
            login_errors,
            ..Options::default()
        })
        .unwrap();
        let bearer = bearer(&sandbox);
        let right = login_ask(&sandbox, FRONTS[0], &bearer);
        for (key, value) in [
            ("mobileNumber", "+910"),
            ("ucc", "OTHER"),
            ("totp", "00000"),
        ] {
            let mut body: Value = serde_json::from_str(&right.body).unwrap();
            body[key] = json!(value);
            let reply = right.clone().body(&body.to_string()).reply(&sandbox);
            assert_eq!(
                reply.expect(status),
                error("401", "Invalid credentials or TOTP.")
            );
        }
        let view = right.reply(&sandbox).expect(200);
        let validate = validate_ask(&sandbox, FRONTS[0], &bearer, &view);
        let reply = validate.body(r#"{"mpin":"000000"}"#).reply(&sandbox);
        assert_eq!(reply.expect(status), error("401", "Invalid MPIN."));
    }
}

#[test]
fn needs_every_header_and_field() {
    let sandbox = start();
    let bearer = bearer(&sandbox);
    let no_header = sample("v1_login.error-missing-header.json");
    let login = login_ask(&sandbox, FRONTS[0], &bearer);
    assert_eq!(
        login
            .clone()
            .without("neo-fin-key")
            .reply(&sandbox)
            .expect(400),
        no_header
    );
    login
        .clone()
        .with("neo-fin-key", UAT_KEY)
        .reply(&sandbox)
        .expect(401);
    let fault = login
        .clone()
        .without("authorization")
        .reply(&sandbox)
        .expect(401);
    let description = fault["fault"]["description"].as_str().unwrap();
    assert!(
        description.contains("/apim/login/2.0, version: 2.0 status"),
        "{description}"
    );
    let refusal = login.clone().body("{}").reply(&sandbox).expect(400);
    assert_eq!(refusal, sample("totp_login.error-missing-field.json"));

    let view = login.reply(&sandbox).expect(200);
    let validate = validate_ask(&sandbox, FRONTS[0], &bearer, &view);
    for name in ["neo-fin-key", "sid", "auth"] {
        assert_eq!(
            validate.clone().without(name).reply(&sandbox).expect(400),
            no_header
        );
    }
    let refusal = validate.clone().body("{}").reply(&sandbox).expect(400);
    assert_eq!(refusal, sample("totp_validate.error-missing-field.json"));
    // The view token of one base is not good under another.
    let elsewhere = validate_ask(&sandbox, FRONTS[1], &bearer, &view).reply(&sandbox);
    assert_eq!(
        elsewhere.expect(403),
        sample("error-invalid-session-1003.json")
    );
}

#[test]
fn uat_paths_tell_the_generations_apart() {
    let sandbox = start();
    let bearer = bearer(&sandbox);
    let of_v2 = login_ask(&sandbox, FRONTS[2], &bearer)
        .reply(&sandbox)
        .expect(200);
    assert!(of_v2["data"].get("hsServerId").is_some());
    let of_v3 = crate::v3::login_ask(&sandbox, "/api/1.0/login/v6/totp/login");
    let of_v3 = of_v3.reply(&sandbox).expect(200);
    assert!(of_v3["data"].get("hsServerId").is_none());
    // The view session of the one is not good for the other.
    let crossed = validate_ask(&sandbox, FRONTS[2], &bearer, &of_v3).reply(&sandbox);
    assert_eq!(
        crossed.expect(403),
        sample("error-invalid-session-1003.json")
    );
}

#[test]
fn logs_in_by_qr_code() {
    let sandbox = start();
    let bearer = bearer(&sandbox);
    for front in ["/apim/login/2.0", "/login/1.0"] {
        let dialog = format!("{front}/algo-user/v5/login/authorization/dialog");
        let link_ask =
            |query: &str| Ask::get(&format!("{dialog}{query}")).with("authorization", &*bearer);
        let link = link_ask("?id=TEST1").reply(&sandbox).expect(200);
        assert_same_shape(&link, "v2_qr_link.ok.json");
        assert_eq!(link["data"]["baseDomain"], sandbox.url());
        link_ask("?id=OTHER").reply(&sandbox).expect(401);
        link_ask("").reply(&sandbox).expect(400);
        link_ask("?id=TEST1")
            .without("authorization")
            .reply(&sandbox)
            .expect(401);

        let session = format!("{front}/algo-user/v5/login/generate-session-token");
        let session_ask = |ott: &str, ucc: &str| {
            let mut body = sample("v2_qr_session.request.json");
            body["ott"] = json!(ott);
            body["id"] = json!(ucc);
            Ask::post(&session, &body)
                .with("authorization", &*bearer)
                .with("neo-fin-key", PROD_KEY)
        };
        // Opening the link approves, and shows the token.
        let page = link["data"]["redirectUrl"].as_str().unwrap();
        let page = page.strip_prefix(sandbox.url()).unwrap();
        let shown = Ask::get(page).reply(&sandbox).expect(200);
        for ott in [shown["ott"].as_str().unwrap(), &sandbox.approve_qr("TEST1")] {
            let wrong = error("401", "Invalid OTT");
            assert_eq!(
                session_ask("none", "TEST1").reply(&sandbox).expect(401),
                wrong
            );
            assert_eq!(session_ask(ott, "OTHER").reply(&sandbox).expect(401), wrong);
            let trade = session_ask(ott, "TEST1").reply(&sandbox).expect(200);
            assert_same_shape(&trade, "v2_qr_session.ok.json");
            assert_eq!(claims(&trade["data"]["token"])["scope"], json!(["Trade"]));
            // It works once.
            assert_eq!(session_ask(ott, "TEST1").reply(&sandbox).expect(401), wrong);
            logout_ask("/apim/login/2.0/logout", &bearer, &trade)
                .reply(&sandbox)
                .expect(200);
        }
        assert_eq!(
            session_ask("x", "TEST1")
                .without("neo-fin-key")
                .reply(&sandbox)
                .expect(400),
            sample("v1_login.error-missing-header.json")
        );
        session_ask("", "TEST1").reply(&sandbox).expect(400);
        session_ask("x", "").reply(&sandbox).expect(400);
    }
    // UAT takes the `apim` path with its own key.
    let body = json!({"ott": sandbox.approve_qr("TEST1"), "id": "TEST1"});
    Ask::post(
        "/apim/login/2.0/algo-user/v5/login/generate-session-token",
        &body,
    )
    .with("authorization", &*bearer)
    .with("neo-fin-key", UAT_KEY)
    .reply(&sandbox)
    .expect(200);
}
