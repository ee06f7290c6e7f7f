//! Generation 1: OAuth2, password, OTP or MPIN, logout.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kotak_neo_sandbox::{ErrorShape, Options, Sandbox};
use serde_json::{Value, json};

use crate::client::Ask;
use crate::fixtures::{assert_same_shape, claims, sample};

pub const PROD: &str = "/login/1.0";
const UAT: &str = "/api/1.0";

fn start() -> Sandbox {
    Sandbox::start(Options::default()).unwrap()
}

/// A documented request with the sandbox's credentials in it.
fn body(name: &str, sandbox: &Sandbox) -> Value {
    let who = sandbox.credentials();
    let mut body = sample(name);
    for (key, value) in [
        ("mobileNumber", &who.mobile_number),
        ("pan", &who.pan),
        ("userid", &who.user_id),
        ("userId", &who.user_id),
        ("password", &who.password),
        ("mpin", &who.mpin),
    ] {
        if let Some(slot) = body.get_mut(key) {
            *slot = json!(value);
        }
    }
    body
}

fn oauth_ask(key: &str, secret: &str) -> Ask {
    Ask::post("/oauth2/token", &sample("v1_oauth_token.request.json")).with(
        "authorization",
        format!("Basic {}", STANDARD.encode(format!("{key}:{secret}"))),
    )
}

/// The value of the `Authorization` header after OAuth2.
pub fn bearer(sandbox: &Sandbox) -> String {
    let who = sandbox.credentials();
    let answer = oauth_ask(&who.consumer_key, &who.consumer_secret)
        .reply(sandbox)
        .expect(200);
    assert_same_shape(&answer, "v1_oauth_token.ok.json");
    assert_eq!(answer["expires_in"], 3600);
    format!("Bearer {}", answer["access_token"].as_str().unwrap())
}

fn login_ask(front: &str, bearer: &str, body: &Value) -> Ask {
    Ask::post(&format!("{front}/login/v2/validate"), body).with("authorization", bearer)
}

fn second_ask(front: &str, bearer: &str, view: &Value, body: &Value) -> Ask {
    login_ask(front, bearer, body)
        .with("sid", view["data"]["sid"].as_str().unwrap())
        .with("auth", view["data"]["token"].as_str().unwrap())
}

fn otp_ask(sandbox: &Sandbox, front: &str, bearer: &str) -> Ask {
    let body = body("v1_otp_generate.request.json", sandbox);
    Ask::post(&format!("{front}/login/otp/generate"), &body).with("authorization", bearer)
}

/// The second factor with the OTP that was sent last.
fn with_otp(sandbox: &Sandbox) -> Value {
    let mut body = body("v1_2fa.request-otp.json", sandbox);
    body["otp"] = json!(sandbox.last_otp().unwrap());
    body
}

pub fn logout_ask(path: &str, bearer: &str, trade: &Value) -> Ask {
    Ask::post(path, &json!({}))
        .body("")
        .with("content-type", "application/x-www-form-urlencoded")
        .with("authorization", bearer)
        .with("sid", trade["data"]["sid"].as_str().unwrap())
        .with("auth", trade["data"]["token"].as_str().unwrap())
}

pub fn view(sandbox: &Sandbox, bearer: &str) -> Value {
    let body = body("v1_login.request-mobile.json", sandbox);
    login_ask(PROD, bearer, &body).reply(sandbox).expect(200)
}

/// A trade session by password and MPIN.
pub fn trade(sandbox: &Sandbox, bearer: &str) -> Value {
    let view = view(sandbox, bearer);
    let body = body("v1_2fa.request-mpin-mobile.json", sandbox);
    second_ask(PROD, bearer, &view, &body)
        .reply(sandbox)
        .expect(200)
}

fn error(code: &str, message: &str) -> Value {
    json!({"error": [{"code": code, "message": message}]})
}

#[test]
fn logs_in_by_every_identifier_and_second_factor() {
    let sandbox = start();
    let bearer = bearer(&sandbox);
    for front in [PROD, UAT] {
        for (identifier, second) in [
            (
                "v1_login.request-mobile.json",
                "v1_2fa.request-mpin-mobile.json",
            ),
            ("v1_login.request-pan.json", "v1_2fa.request-mpin-pan.json"),
            ("v1_login.request-userid.json", "v1_2fa.request-otp.json"),
        ] {
            let first = login_ask(front, &bearer, &body(identifier, &sandbox));
            let view = first.reply(&sandbox).expect(200);
            assert_same_shape(&view, "v1_login.ok.json");
            let claim = claims(&view["data"]["token"]);
            assert_eq!(claim["scope"], json!(["View"]));
            assert_eq!(claim["sub"], sandbox.credentials().user_id);

            otp_ask(&sandbox, front, &bearer)
                .reply(&sandbox)
                .expect(200);
            let second = match second {
                "v1_2fa.request-otp.json" => with_otp(&sandbox),
                name => body(name, &sandbox),
            };
            let ask = second_ask(front, &bearer, &view, &second);
            let trade = ask.reply(&sandbox).expect(200);
            assert_same_shape(&trade, "v1_2fa.ok.json");
            assert_eq!(claims(&trade["data"]["token"])["scope"], json!(["Trade"]));

            let path = format!("{front}/logout");
            logout_ask(&path, &bearer, &trade)
                .reply(&sandbox)
                .expect(200);
            // It is over now.
            let reply = logout_ask(&path, &bearer, &trade).reply(&sandbox);
            assert_eq!(reply.expect(403), sample("error-invalid-session-1003.json"));
        }
    }
    // The MPIN in place of the password gives a view token too.
    let by_mpin = json!({
        "mobileNumber": sandbox.credentials().mobile_number,
        "mpin": sandbox.credentials().mpin,
    });
    login_ask(PROD, &bearer, &by_mpin)
        .reply(&sandbox)
        .expect(200);
    assert!(sandbox.requests().iter().all(|request| request.known_route));
}

#[test]
fn oauth_checks_key_secret_and_grant() {
    let sandbox = start();
    let who = sandbox.credentials();
    let right = oauth_ask(&who.consumer_key, &who.consumer_secret);
    for ask in [
        oauth_ask("another", &who.consumer_secret),
        oauth_ask(&who.consumer_key, "another"),
        right.clone().without("authorization"),
        right.clone().with("authorization", "Basic ***"),
        right
            .clone()
            .with("authorization", format!("Bearer {}", who.consumer_key)),
    ] {
        assert_eq!(
            ask.reply(&sandbox).expect(401),
            sample("v1_oauth_token.error-invalid-client.json")
        );
    }
    let grant = right
        .clone()
        .body(r#"{"grant_type":"password"}"#)
        .reply(&sandbox)
        .expect(400);
    assert_eq!(grant["error"], "unsupported_grant_type");
    // The broker's OAuth2 takes JSON, not the form of the standard.
    right
        .clone()
        .with("content-type", "application/x-www-form-urlencoded")
        .body("grant_type=client_credentials")
        .reply(&sandbox)
        .expect(400);
}

#[test]
fn the_gateway_refuses_a_bad_bearer_in_both_shapes() {
    for (flat, name) in [
        (false, "error-gateway-fault.json"),
        (true, "error-gateway-fault-flat.json"),
    ] {
        let options = Options {
            flat_gateway_fault: flat,
            ..Options::default()
        };
        let sandbox = Sandbox::start(options).unwrap();
        let good = bearer(&sandbox);
        let body = body("v1_login.request-mobile.json", &sandbox);
        let mut expected = sample(name);
        let fault = if flat {
            &mut expected
        } else {
            &mut expected["fault"]
        };
        // The sample is of the order service; the text names the service.
        fault["description"] = json!(
            fault["description"]
                .as_str()
                .unwrap()
                .replace("/Orders/2.0, version: 2.0", "/login/1.0, version: 1.0")
        );
        for bad in ["Bearer nonsense", &good["Bearer ".len()..], "Bearer "] {
            let ask = login_ask(PROD, bad, &body);
            assert_eq!(ask.reply(&sandbox).expect(401), expected, "{bad}");
        }
        let ask = login_ask(PROD, &good, &body).without("authorization");
        assert_eq!(ask.reply(&sandbox).expect(401), expected);
        assert_eq!(
            otp_ask(&sandbox, PROD, "x").reply(&sandbox).expect(401),
            expected
        );

        // An expired one is no better, and one that was issued directly is good.
        sandbox.expire_bearers();
        assert_eq!(
            login_ask(PROD, &good, &body).reply(&sandbox).expect(401),
            expected
        );
        let issued = format!("Bearer {}", sandbox.issue_access_token());
        login_ask(PROD, &issued, &body).reply(&sandbox).expect(200);
    }
}

#[test]
fn wrong_identifiers_and_passwords_are_refused() {
    for (login_errors, status) in [
        (ErrorShape::Http401, 401),
        (ErrorShape::NotOk401, 401),
        (ErrorShape::Http200, 200),
    ] {
        let sandbox = Sandbox::start(Options {
            login_errors,
            ..Options::default()
        })
        .unwrap();
        let bearer = bearer(&sandbox);
        for (name, key) in [
            ("v1_login.request-mobile.json", "mobileNumber"),
            ("v1_login.request-pan.json", "pan"),
            ("v1_login.request-userid.json", "userid"),
            ("v1_login.request-userid.json", "password"),
        ] {
            let mut body = body(name, &sandbox);
            body[key] = json!("wrong");
            let reply = login_ask(PROD, &bearer, &body).reply(&sandbox);
            assert_eq!(reply.expect(status), error("401", "Invalid credentials"));
        }
    }
}

#[test]
fn exactly_one_identifier_and_one_secret_are_taken() {
    let sandbox = start();
    let bearer = bearer(&sandbox);
    let who = sandbox.credentials().clone();
    for body in [
        json!({"password": who.password}),
        json!({"mobileNumber": who.mobile_number}),
        json!({"mobileNumber": who.mobile_number, "pan": who.pan, "password": who.password}),
        json!({"pan": who.pan, "password": who.password, "mpin": who.mpin}),
        // The body key is all lower case.
        json!({"userId": who.user_id, "password": who.password}),
        json!({}),
    ] {
        let refusal = login_ask(PROD, &bearer, &body).reply(&sandbox).expect(400);
        assert_eq!(refusal["error"][0]["code"], "400", "{body}");
    }
    let number = json!({"mobileNumber": 919_999_999_999_u64, "password": who.password});
    assert_eq!(
        login_ask(PROD, &bearer, &number)
            .reply(&sandbox)
            .expect(400)["stCode"],
        1007
    );
}

#[test]
fn the_second_factor_is_checked() {
    let sandbox = start();
    let bearer = bearer(&sandbox);
    let view = view(&sandbox, &bearer);
    let second = |body: &Value| second_ask(PROD, &bearer, &view, body).reply(&sandbox);

    // No OTP has been sent yet.
    let mut otp = body("v1_2fa.request-otp.json", &sandbox);
    assert_eq!(second(&otp).expect(401), error("401", "Invalid OTP"));
    otp_ask(&sandbox, PROD, &bearer).reply(&sandbox).expect(200);
    let first = with_otp(&sandbox);
    assert_eq!(first["otp"].as_str().unwrap().len(), 4);
    otp_ask(&sandbox, PROD, &bearer).reply(&sandbox).expect(200);
    let newer = with_otp(&sandbox);
    assert_ne!(first, newer);
    // The MPIN is no OTP, the old OTP is dead, and a wrong user does not use up the new one.
    otp["otp"] = json!(sandbox.credentials().mpin);
    assert_eq!(second(&otp).expect(401), error("401", "Invalid OTP"));
    assert_eq!(second(&first).expect(401), error("401", "Invalid OTP"));
    let mut other_user = newer.clone();
    other_user["userId"] = json!("another");
    assert_eq!(second(&other_user).expect(401), error("401", "Invalid OTP"));
    second(&newer).expect(200);
    assert_eq!(second(&newer).expect(401), error("401", "Invalid OTP"));

    for (name, key) in [
        ("v1_2fa.request-mpin-mobile.json", "mpin"),
        ("v1_2fa.request-mpin-mobile.json", "mobileNumber"),
        ("v1_2fa.request-mpin-pan.json", "pan"),
    ] {
        let mut body = body(name, &sandbox);
        body[key] = json!("wrong");
        assert_eq!(second(&body).expect(401), error("401", "Invalid MPIN"));
    }
    let missing = error("400", "Missing required field 'Mpin'");
    let alone = json!({"pan": sandbox.credentials().pan});
    assert_eq!(second(&alone).expect(400), missing);
}

#[test]
fn the_second_step_needs_its_headers_and_a_view_session() {
    let sandbox = start();
    let bearer = bearer(&sandbox);
    let view = view(&sandbox, &bearer);
    let mpin = body("v1_2fa.request-mpin-mobile.json", &sandbox);
    let ask = second_ask(PROD, &bearer, &view, &mpin);
    let no_header = sample("v1_login.error-missing-header.json");
    for name in ["sid", "auth"] {
        assert_eq!(
            ask.clone().without(name).reply(&sandbox).expect(400),
            no_header
        );
    }
    otp_ask(&sandbox, PROD, &bearer).reply(&sandbox).expect(200);
    let otp = login_ask(PROD, &bearer, &with_otp(&sandbox));
    assert_eq!(otp.reply(&sandbox).expect(400), no_header);

    let refused = sample("error-invalid-session-1003.json");
    let trade = ask.reply(&sandbox).expect(200);
    let with_trade = second_ask(PROD, &bearer, &trade, &mpin).reply(&sandbox);
    assert_eq!(with_trade.expect(403), refused);
    let in_uat = second_ask(UAT, &bearer, &view, &mpin).reply(&sandbox);
    assert_eq!(in_uat.expect(403), refused);
    let of_v3 = crate::v3::view(&sandbox);
    let foreign = second_ask(PROD, &bearer, &of_v3, &mpin).reply(&sandbox);
    assert_eq!(foreign.expect(403), refused);
    let with_view = logout_ask("/login/1.0/logout", &bearer, &view).reply(&sandbox);
    assert_eq!(with_view.expect(403), refused);
    sandbox.expire_sessions();
    assert_eq!(ask.reply(&sandbox).expect(403), refused);
}

#[test]
fn otps_are_sent_to_the_right_user_after_a_login_only() {
    let sandbox = start();
    let bearer = bearer(&sandbox);
    let refused = error("10522", "Issues while generating OTP! Try to login again.");
    let ask = otp_ask(&sandbox, PROD, &bearer);
    assert_eq!(ask.reply(&sandbox).expect(400), refused);
    view(&sandbox, &bearer);
    let other = ask
        .clone()
        .body(r#"{"userId":"another","sendEmail":true,"isWhitelisted":true}"#);
    assert_eq!(other.reply(&sandbox).expect(400), refused);
    let no_flag = ask
        .clone()
        .body(r#"{"userId":"fake-user-0000","sendEmail":true}"#);
    assert_eq!(no_flag.reply(&sandbox).expect(400)["stCode"], 1007);
    assert_eq!(sandbox.last_otp(), None);
    ask.reply(&sandbox).expect(200);
    assert!(sandbox.last_otp().is_some());
    sandbox.expire_sessions();
    assert_eq!(ask.reply(&sandbox).expect(400), refused);
}

#[test]
fn logout_needs_its_form_headers_and_bearer() {
    let sandbox = start();
    let bearer = bearer(&sandbox);
    let view = view(&sandbox, &bearer);
    let mpin = body("v1_2fa.request-mpin-mobile.json", &sandbox);
    let trade = second_ask(PROD, &bearer, &view, &mpin)
        .reply(&sandbox)
        .expect(200);
    let ask = logout_ask("/login/1.0/logout", &bearer, &trade);
    ask.clone()
        .with("content-type", "application/json")
        .reply(&sandbox)
        .expect(400);
    ask.clone()
        .with("authorization", "Bearer x")
        .reply(&sandbox)
        .expect(401);
    for name in ["sid", "auth"] {
        assert_eq!(
            ask.clone().without(name).reply(&sandbox).expect(400),
            sample("v1_login.error-missing-header.json")
        );
    }
    ask.reply(&sandbox).expect(200);
}

#[test]
fn options_give_the_older_bodies() {
    let seed = Options {
        seed_login_body: true,
        ..Options::default()
    };
    let sandbox = Sandbox::start(seed).unwrap();
    let bearer_of_seed = bearer(&sandbox);
    assert_same_shape(&view(&sandbox, &bearer_of_seed), "v1_login.seed.ok.json");

    let bare = Options {
        hs_server_id: false,
        ..Options::default()
    };
    let sandbox = Sandbox::start(bare).unwrap();
    let bearer = bearer(&sandbox);
    assert_eq!(view(&sandbox, &bearer)["data"].get("hsServerId"), None);
}
