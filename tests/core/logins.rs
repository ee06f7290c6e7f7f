//! Every login, against the sandbox, through the plain-Rust core: what is
//! sent, what state the answer gives, and what a failure leaves behind.

use crate::support;
use crate::support::{
    answer, client, client_with, config, fault, info, log_in, password_login, paths, sample,
    sandbox, start, state, status, told, totp_login,
};
use kotak_neo::{Client, Status};
use kotak_neo_sandbox::{
    DeadSession, ErrorShape, FaultKind, NamedBase, Options, Recorded, Switches, TlsMode,
};
use kotak_neo_testing::orders::order;
use serde_json::{Value, json};

fn body(request: &Recorded) -> Value {
    support::json(&request.body_text())
}

#[test]
fn totp_login_of_generation_3() {
    for (environment, steps) in [
        (
            "prod",
            ["/login/1.0/tradeApiLogin", "/login/1.0/tradeApiValidate"],
        ),
        (
            "uat",
            [
                "/api/1.0/login/v6/totp/login",
                "/api/1.0/login/v6/totp/validate",
            ],
        ),
    ] {
        let sandbox = sandbox();
        let user = sandbox.credentials();
        let client = client_with(&sandbox, &json!({"environment": environment}));
        assert_eq!(state(&client), "logged_out");

        let view = totp_login(&sandbox, &client).expect("the credentials are right");
        assert_eq!(state(&client), "view");
        assert_eq!(support::json(view.json())["data"]["kType"], "View");

        let trade = client.totp_validate(&user.mpin).expect("the MPIN is right");
        assert_eq!(support::json(trade.json())["data"]["kType"], "Trade");
        let info = info(&client);
        assert_eq!(info["state"], "trade");
        assert_eq!(
            (&info["generation"], &info["environment"]),
            (&json!(3), &json!(environment))
        );
        assert_eq!(info["ucc"], user.ucc.as_str());
        assert!(info["expires_at"].as_u64() > info["logged_in_at"].as_u64());

        let requests = sandbox.requests();
        assert_eq!(
            paths(&sandbox),
            [steps[0], steps[1], "/5config/config"],
            "{environment}"
        );
        assert_eq!(
            body(&requests[0]),
            json!({
                "mobileNumber": user.mobile_number,
                "ucc": user.ucc,
                "totp": body(&requests[0])["totp"],
            })
        );
        assert_eq!(body(&requests[1]), json!({"mpin": user.mpin}));
        for request in &requests[..2] {
            assert_eq!(
                request.header("authorization"),
                Some(user.consumer_key.as_str())
            );
            assert_eq!(request.header("neo-fin-key"), Some("neotradeapi"));
            assert_eq!(request.header("content-type"), Some("application/json"));
        }
        assert!(requests[0].header("auth").is_none() && requests[1].header("auth").is_some());
        assert!(requests[2].header("authorization").is_none());
        assert_eq!(
            requests[2].query_value("environment"),
            Some(if environment == "uat" { "qa" } else { "prod" })
        );

        let ip = client.whatsmyip().expect("a trade session may ask");
        assert!(support::json(ip.json())["data"][0]["ip"].is_string());
        client.logout().expect("a trade session can end");
        assert_eq!(state(&client), "logged_out");
        assert_eq!(sandbox.requests().len(), 4, "logout sends nothing");
        assert_eq!(status(&client.logout()), Status::NotLoggedIn);
        assert_eq!(status(&client.whatsmyip()), Status::NotLoggedIn);
    }
}

#[test]
fn the_body_is_the_brokers_byte_for_byte() {
    let sandbox = start(Options {
        gzip: true,
        ..Options::default()
    });
    let client = client(&sandbox);
    totp_login(&sandbox, &client).expect("the credentials are right");
    let odd = "{ \"data\" : {\"token\":\"fake.e30.x\", \"sid\":\"s\",\"n\":1.50,\"é\":[ ]} }\n";
    fault(
        &sandbox,
        "/login/1.0/tradeApiValidate",
        answer(200, "application/json", odd),
    );
    let reply = client
        .totp_validate("000000")
        .expect("token and sid are there");
    assert_eq!(reply.json(), odd);
    assert_eq!(reply.http_status(), 200);
    let meta = support::json(&reply.meta());
    assert_eq!(meta["operation"], "totp_validate");
    assert!(meta["elapsed_ms"].as_f64().is_some() && meta["request_id"].is_string());
}

#[test]
fn password_login_of_generation_1() {
    for (environment, first, otp, logout) in [
        (
            "prod",
            "/login/1.0/login/v2/validate",
            "/login/1.0/login/otp/generate",
            "/login/1.0/logout",
        ),
        (
            "uat",
            "/api/1.0/login/v2/validate",
            "/api/1.0/login/otp/generate",
            "/api/1.0/logout",
        ),
    ] {
        let sandbox = sandbox();
        let user = sandbox.credentials().clone();
        let client = client_with(&sandbox, &json!({"environment": environment}));
        let reply = password_login(&sandbox, &client).expect("the password is right");
        assert_eq!(state(&client), "view");
        assert_eq!(
            support::json(&reply.meta())["otp"],
            json!({"requested": true})
        );
        client
            .session_2fa(&user.mpin)
            .expect("six digits are the MPIN");
        let info = info(&client);
        assert_eq!(
            (&info["state"], &info["generation"]),
            (&json!("trade"), &json!(1))
        );
        assert!(info["feed_url"].is_null());
        client.logout().expect("the broker is told");
        assert_eq!(state(&client), "logged_out");

        assert_eq!(
            paths(&sandbox),
            ["/oauth2/token", first, otp, first, logout]
        );
        let requests = sandbox.requests();
        assert!(
            requests[0]
                .header("authorization")
                .is_some_and(|value| value.starts_with("Basic "))
        );
        assert_eq!(
            body(&requests[0]),
            json!({"grant_type": "client_credentials"})
        );
        assert_eq!(
            body(&requests[1]),
            json!({"mobileNumber": user.mobile_number, "password": user.password})
        );
        assert_eq!(
            body(&requests[2]),
            json!({"userId": user.user_id, "sendEmail": true, "isWhitelisted": true})
        );
        assert_eq!(
            body(&requests[3]),
            json!({"mobileNumber": user.mobile_number, "mpin": user.mpin})
        );
        assert!(requests[4].query_value("sId").is_some());
        for request in &requests[1..] {
            assert!(
                request
                    .header("authorization")
                    .is_some_and(|value| value.starts_with("Bearer "))
            );
            assert!(request.header("neo-fin-key").is_none());
            assert!(request.header("x-client-id").is_none());
        }
    }
}

#[test]
fn each_identifier_of_the_password_login() {
    let sandbox = sandbox();
    let user = sandbox.credentials().clone();
    let client = client(&sandbox);

    client
        .login(None, None, Some(&user.pan.to_lowercase()), &user.password)
        .expect("by PAN");
    client.session_2fa(&user.mpin).expect("MPIN with PAN");
    assert_eq!(info(&client)["state"], "trade");
    client
        .login(Some(""), Some(&user.user_id), Some(""), &user.password)
        .expect("by user id");
    client
        .session_2fa(&sandbox.last_otp().expect("an OTP was sent"))
        .expect("OTP with user id");
    client
        .login(Some(&user.mobile_number[3..]), None, None, &user.password)
        .expect("ten digits");
    client
        .session_2fa(&sandbox.last_otp().expect("an OTP was sent"))
        .expect("OTP with mobile");

    let bodies: Vec<Value> = sandbox
        .requests()
        .iter()
        .filter(|request| request.path.ends_with("/v2/validate"))
        .map(body)
        .collect();
    assert_eq!(
        bodies[0],
        json!({"pan": user.pan, "password": user.password})
    );
    assert_eq!(bodies[1], json!({"pan": user.pan, "mpin": user.mpin}));
    assert_eq!(
        bodies[2],
        json!({"userid": user.user_id, "password": user.password})
    );
    assert_eq!(bodies[3]["userId"], user.user_id.as_str());
    assert_eq!(bodies[4]["mobileNumber"], user.mobile_number.as_str());
    assert_eq!(bodies[5]["userId"], user.user_id.as_str());
    let inits = paths(&sandbox)
        .iter()
        .filter(|path| path.as_str() == "/oauth2/token")
        .count();
    assert_eq!(inits, 1, "the bearer token is kept");
}

#[test]
fn a_given_access_token_needs_no_session_init() {
    let sandbox = sandbox();
    let token = sandbox.issue_access_token();
    let given = json!({"access_token": token, "consumer_key": null, "consumer_secret": null});
    let client = client_with(&sandbox, &given);
    password_login(&sandbox, &client).expect("the token is enough");
    assert!(!paths(&sandbox).contains(&"/oauth2/token".to_owned()));
    let bearer = format!("Bearer {token}");
    assert_eq!(
        sandbox.requests()[0].header("authorization"),
        Some(bearer.as_str())
    );
}

#[test]
fn a_dead_bearer_token_is_replaced_at_the_next_login() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    let reply = client.session_init().expect("key and secret are right");
    assert!(support::json(reply.json())["access_token"].is_string());
    sandbox.expire_bearers();
    let refused = password_login(&sandbox, &client).expect_err("the gateway refuses the token");
    assert_eq!(refused.status(), Status::SessionExpired);
    assert_eq!(refused.code(), Some("900901"));
    password_login(&sandbox, &client).expect("a new token was made");
}

#[test]
fn a_failed_otp_leaves_the_login_valid() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    fault(
        &sandbox,
        "/login/1.0/login/otp/generate",
        answer(500, "text/html", "<html>"),
    );
    let reply = password_login(&sandbox, &client).expect("the login itself is fine");
    let otp = support::json(&reply.meta())["otp"].clone();
    assert_eq!(otp["requested"], false);
    assert!(
        otp["problem"]
            .as_str()
            .is_some_and(|text| text.contains("otp_generate")),
        "{otp}"
    );
    assert_eq!(state(&client), "view");
    client
        .session_2fa(&sandbox.credentials().mpin)
        .expect("the MPIN needs no OTP");
}

#[test]
fn an_otp_that_never_comes_costs_no_login() {
    let sandbox = sandbox();
    let client = client_with(&sandbox, &json!({"timeouts": {"login": 1500}}));
    fault(&sandbox, "/login/1.0/login/otp/generate", FaultKind::Hang);
    let reply = password_login(&sandbox, &client).expect("the login itself is fine");
    assert_eq!(support::json(&reply.meta())["otp"]["requested"], false);
    assert_eq!(state(&client), "view");
}

#[test]
fn totp_login_of_generation_2() {
    // The looked-up base, in place of the sandbox's own name for itself.
    for (base, login, validate, logout) in [
        (
            "https://mnapi.kotaksecurities.com",
            "/apim/login/2.0/login/v6/totp/login",
            "/apim/login/2.0/login/v6/totp/validate",
            Some("/apim/login/2.0/logout"),
        ),
        (
            "https://gw-napi.kotaksecurities.com/",
            "/login/1.0/login/v6/totp/login",
            "/login/1.0/login/v6/totp/validate",
            None,
        ),
    ] {
        let sandbox = sandbox();
        let user = sandbox.credentials().clone();
        let client = client_with(&sandbox, &json!({"generation": 2}));
        fault(&sandbox, "/algo-user/", FaultKind::BaseUrl(base.to_owned()));
        totp_login(&sandbox, &client).expect("the credentials are right");
        client.totp_validate(&user.mpin).expect("the MPIN is right");
        let info = info(&client);
        assert_eq!(
            (&info["state"], &info["generation"]),
            (&json!("trade"), &json!(2))
        );
        assert_eq!(
            paths(&sandbox),
            [
                "/algo-user/v5/get-base-url",
                "/oauth2/token",
                login,
                validate
            ],
            "{base}"
        );
        let requests = sandbox.requests();
        assert_eq!(requests[0].query_value("id"), Some(user.ucc.as_str()));
        assert!(requests[0].header("authorization").is_none());
        for request in &requests[2..] {
            assert_eq!(
                request.header("neo-fin-key"),
                Some("X6Nk8cQhUgGmJ2vBdWw4sfzrz4L5En")
            );
        }
        match logout {
            Some(path) => {
                client.logout().expect("the broker is told");
                assert_eq!(paths(&sandbox)[4], path);
            }
            None => {
                client.logout().expect("there it is only forgotten");
                assert_eq!(sandbox.requests().len(), 4);
                assert_eq!(state(&client), "logged_out");
            }
        }
    }
}

#[test]
fn generation_2_in_uat_has_fixed_hosts() {
    let sandbox = sandbox();
    let client = client_with(&sandbox, &json!({"generation": 2, "environment": "uat"}));
    log_in(&sandbox, &client).expect("both steps are right");
    assert_eq!(
        paths(&sandbox),
        [
            "/oauth2/token",
            "/api/1.0/login/v6/totp/login",
            "/api/1.0/login/v6/totp/validate"
        ]
    );
    let fin_key = sandbox.requests()[1]
        .header("neo-fin-key")
        .map(str::to_owned);
    assert_eq!(fin_key.as_deref(), Some("bQJNkL5z8m4aGcRgjDvXhHfSx7VpZnE"));
    assert_eq!(status(&client.session_init()), Status::Ok);
}

#[test]
fn qr_login() {
    for environment in ["prod", "uat"] {
        let sandbox = sandbox();
        let ucc = sandbox.credentials().ucc.clone();
        let client = client_with(&sandbox, &json!({"environment": environment}));
        let link = client.qr_code_link(&ucc).expect("the UCC is known");
        assert!(support::json(link.json())["data"]["redirectUrl"].is_string());
        assert!(!link.redacted().contains("ott="), "{}", link.redacted());
        let wrong = client
            .qr_code_session("fake-wrong-ott", &ucc)
            .expect_err("nobody approved it");
        assert_eq!(wrong.status(), Status::Rejected);
        assert_eq!(state(&client), "logged_out");
        let ott = sandbox.approve_qr(&ucc);
        client
            .qr_code_session(&ott, &ucc)
            .expect("the token is right");
        let lookups = |sandbox: &kotak_neo_sandbox::Sandbox| {
            let all = paths(sandbox);
            all.iter()
                .filter(|path| path.contains("get-base-url"))
                .count()
        };
        let once = usize::from(environment == "prod");
        assert_eq!(lookups(&sandbox), once, "the link has told the host");
        // The second step in another process has to ask.
        let other = client_with(&sandbox, &json!({"environment": environment}));
        let ott = sandbox.approve_qr(&ucc);
        other
            .qr_code_session(&ott, &ucc)
            .expect("the token is right");
        assert_eq!(lookups(&sandbox), 2 * once);
        let info = info(&client);
        assert_eq!(
            (&info["state"], &info["generation"]),
            (&json!("trade"), &json!(2))
        );
        let session = sandbox
            .requests()
            .into_iter()
            .rfind(|request| request.method == "POST");
        assert_eq!(
            body(&session.expect("the session was asked for")),
            json!({"ott": ott, "id": ucc})
        );
    }
}

#[test]
fn a_login_of_another_generation_is_refused_locally() {
    let sandbox = sandbox();
    let user = sandbox.credentials();
    let one = client_with(&sandbox, &json!({"generation": 1}));
    assert_eq!(status(&totp_login(&sandbox, &one)), Status::InvalidArgument);
    assert_eq!(
        status(&one.qr_code_link(&user.ucc)),
        Status::InvalidArgument
    );
    let three = client_with(&sandbox, &json!({"generation": 3}));
    assert_eq!(
        status(&password_login(&sandbox, &three)),
        Status::InvalidArgument
    );
    assert_eq!(status(&three.session_init()), Status::InvalidArgument);
    let two = client_with(&sandbox, &json!({"generation": 2}));
    let error = two.session_init().expect_err("its host depends on the UCC");
    assert!(error.message().contains("UCC"), "{error}");
    assert!(sandbox.requests().is_empty());
}

#[test]
fn a_second_step_needs_its_own_first_step() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    let mpin = sandbox.credentials().mpin.clone();
    assert_eq!(status(&client.totp_validate(&mpin)), Status::NotLoggedIn);
    assert_eq!(status(&client.session_2fa(&mpin)), Status::NotLoggedIn);
    totp_login(&sandbox, &client).expect("the credentials are right");
    let error = client
        .session_2fa(&mpin)
        .expect_err("that is the other login's second step");
    assert_eq!(error.status(), Status::NotLoggedIn);
    assert!(error.message().contains("kneo_login"), "{error}");
    assert_eq!(sandbox.requests().len(), 1);
}

/// One call with one wrong argument.
type Wrong = (&'static str, Box<dyn Fn(&Client) -> kotak_neo::Error>);

#[test]
fn wrong_input_is_named_and_nothing_is_sent() {
    fn totp(
        mobile: &'static str,
        ucc: &'static str,
        totp: &'static str,
    ) -> Box<dyn Fn(&Client) -> kotak_neo::Error> {
        Box::new(move |client| {
            client
                .totp_login(mobile, ucc, totp)
                .expect_err("it is wrong")
        })
    }
    fn login(
        mobile: Option<&'static str>,
        user: Option<&'static str>,
        pan: Option<&'static str>,
        password: &'static str,
    ) -> Box<dyn Fn(&Client) -> kotak_neo::Error> {
        Box::new(move |client| {
            client
                .login(mobile, user, pan, password)
                .expect_err("it is wrong")
        })
    }
    let sandbox = sandbox();
    let client = client(&sandbox);
    let good = "+919999999999";
    let cases: Vec<Wrong> = vec![
        ("mobile_number", totp("", "TEST1", "123456")),
        ("mobile_number", totp("449999999999", "TEST1", "123456")),
        ("ucc", totp(good, "", "123456")),
        ("ucc", totp(good, "TEST 1", "123456")),
        ("totp", totp(good, "TEST1", "")),
        ("totp", totp(good, "TEST1", "12345x")),
        (
            "mpin",
            Box::new(|client| client.totp_validate("12345").expect_err("it is wrong")),
        ),
        (
            "otp",
            Box::new(|client| client.session_2fa("12345").expect_err("it is wrong")),
        ),
        ("mobile_number, user_id, pan", login(None, None, None, "p")),
        (
            "mobile_number, user_id, pan",
            login(Some(good), Some("u"), None, "p"),
        ),
        (
            "mobile_number, user_id, pan",
            login(Some(""), Some(""), Some(""), "p"),
        ),
        ("mobile_number", login(Some("12"), None, None, "p")),
        ("user_id", login(None, Some(" "), None, "p")),
        ("pan", login(None, None, Some("XXXX"), "p")),
        ("password", login(Some(good), None, None, " ")),
        (
            "ucc",
            Box::new(|client| client.qr_code_link("").expect_err("it is wrong")),
        ),
        (
            "ott",
            Box::new(|client| {
                client
                    .qr_code_session("", "TEST1")
                    .expect_err("it is wrong")
            }),
        ),
        (
            "session",
            Box::new(|client| client.session_import("x").expect_err("it is wrong")),
        ),
    ];
    for (name, call) in cases {
        let error = call(&client);
        assert_eq!(error.status(), Status::InvalidArgument, "{name}");
        assert!(
            error.message().starts_with(&format!("{name}: ")),
            "{name}: {error}"
        );
        assert_eq!(told(&error, "sent"), false);
        assert_eq!(told(&error, "safe_to_repeat"), false);
    }
    let bare = Client::open(Some(&json!({"base_url": sandbox.url()}).to_string())).expect("valid");
    for (error, name) in [
        (
            totp_login(&sandbox, &bare).expect_err("no consumer key"),
            "config.consumer_key",
        ),
        (
            password_login(&sandbox, &bare).expect_err("no key, no secret"),
            "config.consumer_key",
        ),
    ] {
        assert_eq!(error.status(), Status::InvalidArgument);
        assert!(error.message().starts_with(name), "{error}");
    }
    let half = client_with(&sandbox, &json!({"generation": 2, "consumer_secret": null}));
    let error = totp_login(&sandbox, &half).expect_err("no secret");
    assert!(
        error.message().starts_with("config.consumer_secret"),
        "{error}"
    );
    assert!(sandbox.requests().is_empty());
}

/// The documented bodies of refused logins, as files.
const SAMPLES: &[(&str, u16, Status)] = &[
    ("totp_login.error-invalid-totp", 401, Status::Rejected),
    (
        "totp_login.error-invalid-credentials",
        401,
        Status::Rejected,
    ),
    (
        "totp_login.error-invalid-ucc-http200",
        200,
        Status::Rejected,
    ),
    ("totp_login.error-missing-field", 400, Status::Rejected),
    ("totp_validate.error-invalid-mpin", 401, Status::Rejected),
    (
        "totp_validate.error-invalid-mpin-http200",
        200,
        Status::Rejected,
    ),
    ("totp_validate.error-missing-field", 400, Status::Rejected),
    ("v1_login.error-missing-header", 400, Status::Rejected),
    ("v1_oauth_token.error-invalid-client", 401, Status::Rejected),
    ("error-gateway-fault", 401, Status::SessionExpired),
    ("error-gateway-fault-flat", 401, Status::SessionExpired),
    ("error-invalid-session-1003", 403, Status::SessionExpired),
    ("place_order.error-100008-ip", 403, Status::Rejected),
    ("error-non-json.body", 503, Status::Unavailable),
    ("error-non-json.body", 200, Status::Protocol),
    ("error-non-json.body", 429, Status::RateLimited),
    ("error-non-json.body", 424, Status::Unavailable),
    ("error-non-json.body", 422, Status::Rejected),
    ("error-non-json.body", 403, Status::Rejected),
];

/// A call that the sandbox refuses.
type Refused<'a> = &'a dyn Fn(&Client) -> kotak_neo::Error;

#[test]
fn every_documented_refusal_keeps_the_brokers_body_and_the_state() {
    let sandbox = sandbox();
    let mpin = sandbox.credentials().mpin.clone();
    for (name, http, expected) in SAMPLES {
        let text = sample(name);
        let kind = if text.starts_with('<') {
            "text/html"
        } else {
            "application/json"
        };
        let calls: [(&str, &str, Refused<'_>); 3] = [
            ("/login/1.0/tradeApiLogin", "view", &|client| {
                totp_login(&sandbox, client).expect_err("the sandbox refuses")
            }),
            ("/login/1.0/tradeApiValidate", "view", &|client| {
                client
                    .totp_validate(&mpin)
                    .expect_err("the sandbox refuses")
            }),
            ("/login/1.0/login/v2/validate", "view", &|client| {
                password_login(&sandbox, client).expect_err("the sandbox refuses")
            }),
        ];
        for (path, before, call) in calls {
            let client = client(&sandbox);
            totp_login(&sandbox, &client).expect("no fault yet");
            sandbox.clear_requests();
            fault(&sandbox, path, answer(*http, kind, &text));
            let error = call(&client);
            sandbox.clear_faults();
            assert_eq!(error.status(), *expected, "{name} {http} {path}: {error:?}");
            assert_eq!(error.http_status(), Some(*http));
            assert_eq!(state(&client), before, "{name} {path}");
            let body = error.to_json();
            match kind {
                "application/json" => assert!(body.contains(text.trim()), "{body}"),
                _ => assert_eq!(told(&error, "broker"), text.as_str()),
            }
            assert_eq!(told(&error, "sent"), true);
            assert_eq!(
                told(&error, "safe_to_repeat"),
                false,
                "a login step was sent"
            );
            let tries = paths(&sandbox)
                .iter()
                .filter(|asked| asked.as_str() == path)
                .count();
            assert_eq!(tries, 1, "{name} {path}");
        }
    }
}

#[test]
fn wrong_credentials_are_rejected_in_every_documented_form() {
    for shape in [
        ErrorShape::Http401,
        ErrorShape::Http200,
        ErrorShape::NotOk401,
    ] {
        let sandbox = start(Options {
            login_errors: shape,
            ..Options::default()
        });
        let user = sandbox.credentials().clone();
        let client = client(&sandbox);
        let wrong = if sandbox.totp_now() == "000000" {
            "000001"
        } else {
            "000000"
        };
        let mut errors = vec![
            client
                .totp_login(&user.mobile_number, &user.ucc, wrong)
                .expect_err("wrong TOTP"),
            client
                .totp_login(&user.mobile_number, "OTHER1", &sandbox.totp_now())
                .expect_err("wrong UCC"),
            client
                .login(Some(&user.mobile_number), None, None, "fake-wrong")
                .expect_err("wrong password"),
        ];
        assert_eq!(state(&client), "logged_out");
        totp_login(&sandbox, &client).expect("the credentials are right");
        errors.push(client.totp_validate("999999").expect_err("wrong MPIN"));
        assert_eq!(state(&client), "view");
        client
            .totp_validate(&user.mpin)
            .expect("the view session is still good");
        password_login(&sandbox, &client).expect("the password is right");
        errors.push(client.session_2fa("999999").expect_err("wrong MPIN"));
        for error in errors {
            assert_eq!(error.status(), Status::Rejected, "{error:?}");
            assert!(!error.message().is_empty() && !error.safe_to_repeat());
        }
    }
    let sandbox = sandbox();
    let client = client_with(&sandbox, &json!({"consumer_secret": "fake-wrong"}));
    let error = password_login(&sandbox, &client).expect_err("wrong secret");
    assert_eq!(
        (error.status(), error.code()),
        (Status::Rejected, Some("invalid_client"))
    );
    assert_eq!(error.operation(), "login");
    assert!(error.message().contains("session_init"), "{error}");
}

#[test]
fn feed_urls_come_from_the_service_then_the_answer_then_the_default() {
    let validated = |client: &Client| {
        let info = info(client);
        let text = |key: &str| info[key].as_str().expect("a feed URL").to_owned();
        (text("feed_url"), text("order_feed_url"))
    };
    let bad_service = "/5config/config";
    let named = |sandbox: &kotak_neo_sandbox::Sandbox, what: &str| {
        let port = sandbox.url().rsplit(':').next().expect("a port").to_owned();
        format!("ws://127.0.0.1:{port}/{what}")
    };

    let service = sandbox();
    let one = client(&service);
    // The service names other paths than the answer does.
    let configs = json!({"data": {"configs": {
        "E43_broadcast_source": "sh",
        "E43_sh_broadcast_endpoint": "https://sfeed.kotaksecurities.com/from-service",
        "E43_sh_interactive_endpoint": "https://e43.kotaksecurities.com/orders-from-service",
    }}});
    fault(
        &service,
        bad_service,
        answer(200, "application/json", &configs.to_string()),
    );
    log_in(&service, &one).expect("both steps are right");
    let center = info(&one)["data_center"].clone();
    assert_eq!(center, "E43", "the sandbox's default data centre");
    assert_eq!(
        validated(&one),
        (
            named(&service, "from-service"),
            named(&service, "orders-from-service")
        )
    );

    for (body, http) in [
        ("<html>", 503),
        ("{", 200),
        (r#"{"data":{"configs":{}}}"#, 200),
    ] {
        let service = sandbox();
        let two = client(&service);
        fault(
            &service,
            bad_service,
            answer(http, "application/json", body),
        );
        let reply = log_in(&service, &two).expect("the service is best effort");
        let notes = support::json(&reply.meta())["notes"].to_string();
        assert!(notes.contains("config service"), "{notes}");
        let (feed, orders) = validated(&two);
        assert!(feed.starts_with("ws://127.0.0.1:") && orders.starts_with("ws://127.0.0.1:"));
        assert!(!feed.contains("from-service"));
    }

    let silent = start(Options {
        feed_urls: false,
        data_center: String::new(),
        ..Options::default()
    });
    let three = client(&silent);
    log_in(&silent, &three).expect("both steps are right");
    assert_eq!(paths(&silent).len(), 2, "no data centre, no lookup");
    assert_eq!(
        validated(&three),
        (named(&silent, "apifeed"), named(&silent, "realtime"))
    );
}

#[test]
fn a_base_url_may_carry_a_path() {
    let sandbox = start(Options {
        base_path: "/xyz".to_owned(),
        ..Options::default()
    });
    let client = client(&sandbox);
    log_in(&sandbox, &client).expect("both steps are right");
    let base = info(&client)["base_url"].clone();
    assert!(
        base.as_str()
            .is_some_and(|url| url.trim_end_matches('/').ends_with("/xyz")),
        "{base}"
    );
    sandbox.clear_requests();
    client.positions().expect("it goes to that path");
    assert_eq!(sandbox.requests()[0].path, "/xyz/portfolio/v2/positions");
}

#[test]
fn another_users_login_ends_the_session_of_the_first() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    log_in(&sandbox, &client).expect("both steps are right");
    totp_login(&sandbox, &client).expect("the same user logs in again");
    assert_eq!(
        state(&client),
        "trade",
        "until the second step the session goes on"
    );
    let other = r#"{"data":{"token":"fake.e30.x","sid":"s","ucc":"OTHER1"}}"#;
    fault(
        &sandbox,
        "/login/1.0/tradeApiLogin",
        answer(200, "application/json", other),
    );
    totp_login(&sandbox, &client).expect("another user logs in");
    assert_eq!(
        state(&client),
        "view",
        "no order may go to the first user's account"
    );
}

#[test]
fn a_session_moves_to_another_client() {
    let sandbox = sandbox();
    let first = client(&sandbox);
    assert_eq!(status(&first.session_export()), Status::NotLoggedIn);
    log_in(&sandbox, &first).expect("both steps are right");
    let document = first.session_export().expect("there is a session");
    assert!(
        !document
            .json()
            .contains(&sandbox.credentials().consumer_key)
    );
    for secret in ["token", "sid", "cookies"] {
        assert_eq!(
            support::json(&document.redacted())[secret],
            "***",
            "{secret}"
        );
    }

    let second = client(&sandbox);
    second
        .session_import(document.json())
        .expect("it is of today");
    assert_eq!(info(&second), info(&first));
    second.whatsmyip().expect("the broker knows the session");

    let uat = client_with(&sandbox, &json!({"environment": "uat"}));
    assert_eq!(
        status(&uat.session_import(document.json())),
        Status::InvalidArgument
    );
    let elsewhere = Client::open(Some(r#"{"consumer_key":"fake"}"#)).expect("valid");
    let error = elsewhere
        .session_import(document.json())
        .expect_err("a foreign host");
    assert!(error.message().contains("base_url"), "{error}");
    assert_eq!(state(&elsewhere), "logged_out");
}

#[test]
fn an_expired_session_is_told() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    log_in(&sandbox, &client).expect("both steps are right");
    sandbox.expire_sessions();
    let error = client.whatsmyip().expect_err("the session is gone");
    assert_eq!(error.status(), Status::SessionExpired);
    assert!(
        error
            .hint()
            .is_some_and(|hint| hint.contains("log in again")),
        "{error:?}"
    );
}

#[test]
fn cookies_are_kept() {
    let sandbox = start(Options {
        require_cookie: true,
        ..Options::default()
    });
    let client = client(&sandbox);
    log_in(&sandbox, &client).expect("the second step brings the cookie");
    client.whatsmyip().expect("and so does every later call");
    let document = client.session_export().expect("there is a session");
    let second = support::client(&sandbox);
    second
        .session_import(document.json())
        .expect("it is of today");
    second
        .whatsmyip()
        .expect("the cookies moved with the session");
}

#[test]
fn connections_are_reused() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    for _ in 0..3 {
        log_in(&sandbox, &client).expect("both steps are right");
        client.whatsmyip().expect("the session is good");
    }
    assert_eq!(sandbox.connections(), 1);
}

#[test]
fn an_unknown_configuration_key_is_named() {
    let sandbox = sandbox();
    let error =
        Client::open(Some(&config(&sandbox, &json!({"consumer-key": "x"})))).expect_err("a typo");
    assert_eq!(error.message(), "config: unknown key \"consumer-key\"");
    assert_eq!(told(&error, "operation"), "client_open");
}

#[test]
fn words_of_success_are_no_refusal() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    let sent = r#"{"status":"success","message":"OTP sent successfully"}"#;
    fault(
        &sandbox,
        "/login/1.0/login/otp/generate",
        answer(200, "application/json", sent),
    );
    let reply = password_login(&sandbox, &client).expect("the password is right");
    assert_eq!(
        support::json(&reply.meta())["otp"],
        json!({"requested": true})
    );
    client
        .session_2fa(&sandbox.credentials().mpin)
        .expect("the MPIN is right");
    let bye = r#"{"State":"OK","message":"You have been successfully logged out"}"#;
    fault(
        &sandbox,
        "/login/1.0/logout",
        answer(200, "application/json", bye),
    );
    assert_eq!(client.logout().expect("the broker said OK").json(), bye);
    assert_eq!(state(&client), "logged_out");
}

#[test]
fn a_payload_does_not_hide_a_refusal() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    log_in(&sandbox, &client).expect("both steps are right");
    let body = r#"{"stat":"Not_Ok","stCode":1003,"errMsg":"Invalid session","data":[]}"#;
    fault(
        &sandbox,
        "/login/1.0/get-client-ip",
        answer(200, "application/json", body),
    );
    assert_eq!(status(&client.whatsmyip()), Status::SessionExpired);
}

#[test]
fn a_logout_that_the_broker_does_not_know_ends_the_session() {
    for http in [401, 403] {
        let sandbox = sandbox();
        let client = client(&sandbox);
        password_login(&sandbox, &client).expect("the password is right");
        client
            .session_2fa(&sandbox.credentials().mpin)
            .expect("the MPIN is right");
        fault(
            &sandbox,
            "/login/1.0/logout",
            answer(http, "application/json", "{}"),
        );
        let error = client.logout().expect_err("the broker refuses");
        assert_eq!(error.status(), Status::SessionExpired, "{error:?}");
        assert_eq!(told(&error, "sent"), true);
        assert_eq!(state(&client), "logged_out");
    }
}

#[test]
fn a_failed_lookup_of_the_base_url_is_a_rejection() {
    let sandbox = sandbox();
    let client = client_with(&sandbox, &json!({"generation": 2}));
    fault(
        &sandbox,
        "/algo-user/",
        answer(401, "application/json", r#"{"message":"unknown"}"#),
    );
    let error = totp_login(&sandbox, &client).expect_err("the UCC is not known");
    assert_eq!(error.status(), Status::Rejected, "{error:?}");
    assert!(error.message().contains("base_url"), "{error}");
}

#[test]
fn a_refused_bearer_token_is_made_anew_in_generation_2() {
    let sandbox = sandbox();
    let client = client_with(&sandbox, &json!({"generation": 2}));
    totp_login(&sandbox, &client).expect("the credentials are right");
    let path = "/apim/login/2.0/login/v6/totp/login";
    fault(&sandbox, path, answer(401, "application/json", "{}"));
    assert_eq!(status(&totp_login(&sandbox, &client)), Status::Rejected);
    sandbox.clear_faults();
    totp_login(&sandbox, &client).expect("with a new token");
    let inits = paths(&sandbox)
        .iter()
        .filter(|path| path.as_str() == "/oauth2/token")
        .count();
    assert_eq!(inits, 2);
}

#[test]
fn cookies_end_with_their_session() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    let first_cookie = |index: usize| {
        sandbox.requests()[index]
            .header("cookie")
            .map(str::to_owned)
    };
    log_in(&sandbox, &client).expect("both steps are right");
    assert!(
        first_cookie(1).is_some(),
        "the second step brings the cookie"
    );
    client.logout().expect("a trade session can end");
    sandbox.clear_requests();
    totp_login(&sandbox, &client).expect("the credentials are right");
    assert_eq!(first_cookie(0), None, "logout forgets cookies");
    sandbox.clear_requests();
    let other = client.totp_login("9999999999", "OTHER1", "123456");
    assert_eq!(status(&other), Status::Rejected);
    assert_eq!(first_cookie(0), None, "another user's login brings none");
}

#[test]
fn the_order_feed_is_on_the_host_of_the_base_url() {
    for (environment, name) in [("prod", "E43"), ("uat", "E43")] {
        let sandbox = start(Options {
            feed_urls: false,
            base_path: "/xyz".to_owned(),
            ..Options::default()
        });
        let client = client_with(&sandbox, &json!({"environment": environment}));
        fault(
            &sandbox,
            "/5config/config",
            answer(404, "application/json", "{}"),
        );
        log_in(&sandbox, &client).expect("both steps are right");
        let info = info(&client);
        assert_eq!(info["data_center"], name);
        let feed = format!("{}/realtime", sandbox.url().replace("http://", "ws://"));
        assert_eq!(info["order_feed_url"], feed.as_str(), "{environment}");
    }
}

#[test]
fn cookies_never_keep_an_order_back() {
    let large: Vec<String> = (0..4)
        .map(|at| format!("big{at}={}; Path=/", "v".repeat(4000)))
        .collect();
    let small: Vec<String> = (0..200)
        .map(|at| format!("small{at}={}; Path=/", "v".repeat(90)))
        .collect();
    for cookies in [large, small] {
        let sandbox = sandbox();
        let client = client(&sandbox);
        log_in(&sandbox, &client).expect("both steps are right");
        // An answer with more than a hundred headers is not read.
        for some in cookies.chunks(80) {
            let headers = some
                .iter()
                .map(|line| ("set-cookie".to_owned(), line.clone()));
            let kind = FaultKind::AnswerAfter {
                status: 200,
                headers: headers.collect(),
                body: br#"{"data":{"client-ip":"192.0.2.1"}}"#.to_vec(),
            };
            fault(&sandbox, "/login/1.0/get-client-ip", kind);
            client.whatsmyip().expect("it brings cookies");
            sandbox.clear_faults();
        }
        sandbox.clear_requests();

        let placed = client.place_order(&order().to_string()).expect("it leaves");
        let number = support::json(placed.json())["nOrdNo"].clone();
        let notes = support::json(&placed.meta())["notes"][0].to_string();
        assert!(notes.contains("were left out"), "{notes}");
        let params = json!({"order_id": number}).to_string();
        client.cancel_order(&params).expect("it leaves");
        let book = client.order_report(None).expect("reads go on too");
        assert!(support::json(&book.meta())["notes"][0].is_string());
        let asked = sandbox.requests();
        assert_eq!(asked.len(), 3);
        for request in asked {
            let sent = request.header("cookie").expect("the newest are sent");
            assert!(sent.len() <= 8192, "{}", sent.len());
            let last = cookies[cookies.len() - 1].split(';').next();
            assert!(last.is_some_and(|last| sent.contains(last)), "{sent:.60}");
        }
    }
}

#[test]
fn a_password_login_of_another_user_brings_no_cookies() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    let cookie = |index: usize| {
        let request = &sandbox.requests()[index];
        request.header("cookie").map(str::to_owned)
    };
    password_login(&sandbox, &client).expect("the password is right");
    sandbox.clear_requests();
    password_login(&sandbox, &client).expect("the password is right");
    assert!(cookie(0).is_some(), "the same user");
    for (mobile, id, pan) in [
        (Some("9999999998"), None, None),
        (None, Some("fake-user-0000"), None),
        (None, Some("fake-user-0001"), None),
        (None, None, Some("XXXXX0000X")),
    ] {
        password_login(&sandbox, &client).expect("the password is right");
        sandbox.clear_requests();
        let other = client.login(mobile, id, pan, "fake-password");
        assert_ne!(status(&other), Status::InvalidArgument);
        let login = sandbox
            .requests()
            .iter()
            .position(|one| one.path.contains("validate"));
        assert_eq!(
            cookie(login.expect("it was sent")),
            None,
            "{mobile:?} {id:?} {pan:?}"
        );
    }
}

#[test]
fn a_token_that_no_request_can_carry_fails_its_login() {
    let long = "fake-".repeat(1000);
    for (key, value) in [
        ("token", "fake-line\nbreak"),
        ("token", "fake-t\u{f6}ken"),
        ("token", &long),
        ("sid", "fake-\u{0}"),
        ("rid", "fake-\u{7f}"),
        ("hsServerId", &long),
        ("dataCenter", "fake-\r"),
        ("baseUrl", &long),
    ] {
        let sandbox = sandbox();
        let client = client(&sandbox);
        totp_login(&sandbox, &client).expect("the credentials are right");
        let mut data = json!({"token": "fake-a", "sid": "fake-b", "kType": "Trade"});
        data[key] = value.into();
        let body = json!({ "data": data }).to_string();
        let path = "/login/1.0/tradeApiValidate";
        fault(&sandbox, path, answer(200, "application/json", &body));
        let error = client
            .totp_validate(&sandbox.credentials().mpin)
            .expect_err("no order could be sent");
        assert_eq!(error.status(), Status::Protocol, "{error:?}");
        assert!(
            error.message().contains(&format!("has a {key} ")),
            "{error}"
        );
        assert!(!error.to_json().contains("fake-"), "{error:?}");
        assert_eq!(
            (told(&error, "http_status"), told(&error, "sent")),
            (200.into(), true.into())
        );
        assert_eq!(state(&client), "view");
        sandbox.clear_faults();
        client
            .totp_validate(&sandbox.credentials().mpin)
            .expect("the first step still holds");
    }
    let sandbox = sandbox();
    let client = client(&sandbox);
    let body = json!({"access_token": "fake-\n", "expires_in": 3600}).to_string();
    fault(
        &sandbox,
        "/oauth2/token",
        answer(200, "application/json", &body),
    );
    let error = password_login(&sandbox, &client).expect_err("no bearer token");
    assert_eq!(error.status(), Status::Protocol, "{error:?}");
    assert!(error.message().contains("has a access_token"), "{error}");
}

#[test]
fn the_brokers_words_are_bounded() {
    let folder = kotak_neo_testing::folder::Folder::new("words");
    let log = folder.path("log");
    let sandbox = sandbox();
    let client = client_with(&sandbox, &json!({"log": {"level": "trace", "file": log}}));
    let key = sandbox.credentials().consumer_key.clone();
    // The key stands where the sentence ends, and where the body does.
    for (before, after) in [(950, 800_000), (65_500, 800_000), (0, 0)] {
        let text = format!("{}{key}{}", "x".repeat(before), "y".repeat(after));
        let body = json!({"stCode": 1009, "stat": "Not_Ok", "emsg": text}).to_string();
        fault(&sandbox, "", answer(400, "application/json", &body));
        let error = totp_login(&sandbox, &client).expect_err("it is refused");
        assert_eq!(
            (error.status(), error.code()),
            (Status::Rejected, Some("1009"))
        );
        assert!(
            error.message().chars().count() < 1100,
            "{}",
            error.message().len()
        );
        assert!(
            error.to_json().len() < 70 * 1024,
            "{}",
            error.to_json().len()
        );
        for shown in [error.to_json(), error.meta(), error.message().to_owned()] {
            assert!(!shown.contains(&key[..8]), "{shown:.2000}");
        }
        let kept = told(&error, "broker");
        match after {
            0 => assert_eq!(kept["emsg"], "***"),
            _ => assert!(
                kept.as_str()
                    .is_some_and(|text| text.contains(" ... (cut; "))
            ),
        }
        assert_eq!(error.message().ends_with(" bytes in all)"), after > 0);
        sandbox.clear_faults();
    }
    let log = std::fs::read_to_string(log).expect("it is written");
    assert!(log.lines().all(|line| line.len() < 10_000));
    assert!(!log.contains(&key[..8]));
}

/// Places where an answer names a host, and what each is called in `session_info`.
#[test]
fn a_host_without_a_scheme_is_taken_wherever_an_answer_names_one() {
    let sandbox = sandbox();
    let of = |path: &str| format!("{}{path}", sandbox.url());
    let socket = |path: &str| of(path).replace("http://", "ws://");

    // baseUrl, as the sandbox's switch names it: seen live.
    sandbox.set_switches(Switches {
        base_url: NamedBase::Bare,
        ..sandbox.switches()
    });
    let one = client(&sandbox);
    let reply = log_in(&sandbox, &one).expect("the host is the broker's");
    assert!(
        support::json(reply.json())["data"]["baseUrl"] == "e43.kotaksecurities.com",
        "the body is the broker's own"
    );
    assert!(support::json(&reply.meta()).get("notes").is_none());
    let told = info(&one);
    assert_eq!(told["base_url"], of("/").as_str());
    assert_eq!(told["base_url_from"], "answer");
    one.positions().expect("calls go there");
    one.place_order(&order().to_string()).expect("orders too");

    // The order feed of a bare baseUrl, where nothing else names one.
    fault(&sandbox, "/5config", answer(404, "application/json", "{}"));
    let bare = json!({"data": {"token": "fake-t", "sid": "fake-s", "dataCenter": "E43",
        "baseUrl": "neo-gw.kotaksecurities.com/xyz"}});
    let validate = "/login/1.0/tradeApiValidate";
    let named = |client: &Client, body: &Value| {
        totp_login(&sandbox, client).expect("the credentials are right");
        let body = answer(200, "application/json", &body.to_string());
        fault(&sandbox, validate, body);
        let reply = client.totp_validate("000000").expect("it grants a session");
        sandbox.clear_faults();
        fault(&sandbox, "/5config", answer(404, "application/json", "{}"));
        (info(client), support::json(&reply.meta())["notes"].clone())
    };
    let two = client(&sandbox);
    let (told, _) = named(&two, &bare);
    assert_eq!(told["base_url"], of("/xyz").as_str());
    assert_eq!(told["order_feed_url"], socket("/realtime").as_str());

    // feedUrl and rtUrl of the answer.
    let mut feeds = bare.clone();
    feeds["data"]["feedUrl"] = json!("sfeed.kotaksecurities.com/one");
    feeds["data"]["rtUrl"] = json!("e43.kotaksecurities.com:443/two");
    let (told, _) = named(&two, &feeds);
    assert_eq!(told["feed_url"], socket("/one").as_str());
    assert_eq!(told["order_feed_url"], socket("/two").as_str());

    // A foreign one is passed over and told, and a foreign base fails the login.
    feeds["data"]["feedUrl"] = json!("evil.example/one");
    feeds["data"]["rtUrl"] = json!("e43.kotaksecurities.com:8443");
    let (told, notes) = named(&two, &feeds);
    assert_eq!(told["feed_url"], socket("/apifeed").as_str());
    assert_eq!(told["order_feed_url"], socket("/realtime").as_str());
    let notes = notes.to_string();
    assert!(notes.contains("evil.example") && notes.contains("port is not 443"));
    sandbox.clear_faults();
    for foreign in ["evil.example", "e43.kotaksecurities.com:8443", "u@x"] {
        let three = client(&sandbox);
        totp_login(&sandbox, &three).expect("the credentials are right");
        fault(&sandbox, validate, FaultKind::BaseUrl(foreign.to_owned()));
        let error = three
            .totp_validate(&sandbox.credentials().mpin)
            .expect_err("no host of the broker");
        assert_eq!(error.status(), Status::Protocol, "{error:?}");
        assert_eq!(state(&three), "view");
        sandbox.clear_faults();
    }

    // The config service.
    let configs = json!({"data": {"configs": {
        "E43_broadcast_source": "hs",
        "E43_hs_broadcast_endpoint": "hsfeed.kotaksecurities.com/prices",
        "E43_hs_interactive_endpoint": "e43.kotaksecurities.com/orders",
    }}});
    fault(
        &sandbox,
        "/5config",
        answer(200, "application/json", &configs.to_string()),
    );
    let four = client(&sandbox);
    log_in(&sandbox, &four).expect("both steps are right");
    let told = info(&four);
    assert_eq!(told["feed_url"], socket("/prices").as_str());
    assert_eq!(told["order_feed_url"], socket("/orders").as_str());
    sandbox.clear_faults();

    // The lookup of generation 2: which paths it uses depends on the host.
    for (base, login) in [
        (
            "mnapi.kotaksecurities.com",
            "/apim/login/2.0/login/v6/totp/login",
        ),
        (
            "gw-napi.kotaksecurities.com",
            "/login/1.0/login/v6/totp/login",
        ),
    ] {
        fault(&sandbox, "/algo-user/", FaultKind::BaseUrl(base.to_owned()));
        sandbox.clear_requests();
        let old = client_with(&sandbox, &json!({"generation": 2}));
        log_in(&sandbox, &old).expect("both steps are right");
        assert!(paths(&sandbox).iter().any(|path| path == login), "{base}");
        assert_eq!(info(&old)["base_url_from"], "answer");
        sandbox.clear_faults();
    }

    // A session of another process.
    let document = one.session_export().expect("there is a session");
    let mut document = support::json(document.json());
    assert_eq!(document["base_url_from"], "answer");
    for (key, host) in [
        ("base_url", "e43.kotaksecurities.com"),
        ("feed_url", "sfeed.kotaksecurities.com/apifeed"),
        ("order_feed_url", "e43.kotaksecurities.com/realtime"),
    ] {
        document[key] = json!(host);
    }
    let five = client(&sandbox);
    five.session_import(&document.to_string())
        .expect("the hosts are the broker's");
    assert_eq!(info(&five)["order_feed_url"], socket("/realtime").as_str());
    five.positions().expect("calls go there");

    // The paths of the scrip files.
    let list = json!({"data": {"filesPaths": ["lapi.kotaksecurities.com/fake/nse_cm.csv"]}});
    fault(
        &sandbox,
        "/script-details/1.0/masterscrip/file-paths",
        answer(200, "application/json", &list.to_string()),
    );
    fault(&sandbox, "/fake/nse_cm.csv", answer(404, "text/plain", ""));
    sandbox.clear_requests();
    let error = five
        .search_scrip(r#"{"exchange_segment":"nse_cm","symbol":"TCS"}"#)
        .expect_err("there is no such file");
    assert!(error.message().contains("HTTP 404"), "{error}");
    assert_eq!(paths(&sandbox)[1], "/fake/nse_cm.csv");
}

/// A host of this machine has no other scheme than that of `base_url`.
#[test]
fn a_bare_host_is_https_for_a_configured_base_too() {
    let sandbox = start(Options {
        tls: TlsMode::Valid,
        ..Options::default()
    });
    let bare = sandbox.url().replace("https://", "");
    let client = client(&sandbox);
    let validate = "/login/1.0/tradeApiValidate";
    fault(&sandbox, validate, FaultKind::BaseUrl(bare));
    log_in(&sandbox, &client).expect("it is the configured base");
    assert_eq!(info(&client)["base_url_from"], "answer");
    client.positions().expect("calls go there");
}

/// A session whose answer named no host: the host of the login may serve it, or refuse
/// all that it is asked.
#[test]
fn an_answer_without_a_base_url_is_told() {
    let absent = |sandbox: &kotak_neo_sandbox::Sandbox| {
        sandbox.set_switches(Switches {
            base_url: NamedBase::Absent,
            ..sandbox.switches()
        });
        let client = client(sandbox);
        let reply = log_in(sandbox, &client).expect("both steps are right");
        let note = support::json(&reply.meta())["notes"][0].clone();
        let note = note.as_str().expect("a sentence").to_owned();
        for word in ["names no baseUrl", "127.0.0.1", "200032", "log in again"] {
            assert!(note.contains(word), "{note}");
        }
        assert_eq!(info(&client)["base_url_from"], "login");
        client
    };

    // One that serves.
    let kind = sandbox();
    let client = absent(&kind);
    client.positions().expect("it serves");
    client.place_order(&order().to_string()).expect("it serves");
    let document = client.session_export().expect("there is a session");
    let other = support::client(&kind);
    other
        .session_import(document.json())
        .expect("it is of today");
    assert_eq!(info(&other)["base_url_from"], "login");

    // One that refuses: its session is on another path.
    let strict = start(Options {
        base_path: "/xyz".to_owned(),
        ..Options::default()
    });
    let client = absent(&strict);
    let read = client
        .positions()
        .expect_err("it is not the session's host");
    let placed = client.place_order(&order().to_string());
    let placed = placed.expect_err("it is not the session's host");
    for error in [&read, &placed] {
        assert_eq!(error.status(), Status::SessionExpired, "{error:?}");
        assert_eq!(error.code(), Some("200032"));
        assert!(
            error
                .hint()
                .is_some_and(|hint| hint.contains("log in again"))
        );
        assert_eq!(told(error, "sent"), true);
        assert_eq!(told(error, "safe_to_repeat"), false);
        assert!(error.message().contains("baseUrl"), "{error}");
    }
    assert_eq!(strict.orders_taken(), 0);
    let open = client.open_intents().expect("a list");
    let open = support::json(open.json())["intents"].clone();
    assert_eq!(open, json!([]), "it is settled");
    // The login host itself still answers, and another login mends it.
    client.whatsmyip().expect("that asks the host of the login");
    strict.set_switches(Switches::default());
    log_in(&strict, &client).expect("both steps are right");
    assert_eq!(info(&client)["base_url_from"], "answer");
    client.positions().expect("this is the session's host");
    client
        .place_order(&order().to_string())
        .expect("orders too");

    // A blank one, or what is no text, names none.
    for odd in [json!(""), json!(" "), json!(null), json!(7), json!({})] {
        let sandbox = sandbox();
        let client = support::client(&sandbox);
        totp_login(&sandbox, &client).expect("the credentials are right");
        let body = json!({"data": {"token": "fake-t", "sid": "fake-s", "baseUrl": odd}});
        let body = answer(200, "application/json", &body.to_string());
        fault(&sandbox, "/login/1.0/tradeApiValidate", body);
        let reply = client.totp_validate("000000").expect("it grants a session");
        let notes = support::json(&reply.meta())["notes"].to_string();
        assert!(notes.contains("names no baseUrl"), "{odd}: {notes}");
    }

    // Where there is one host for all, nothing is missing.
    for (more, generation) in [
        (json!({"environment": "uat"}), 3),
        (json!({"environment": "uat", "generation": 2}), 2),
    ] {
        let sandbox = sandbox();
        sandbox.set_switches(Switches {
            base_url: NamedBase::Absent,
            ..Switches::default()
        });
        let client = client_with(&sandbox, &more);
        let reply = log_in(&sandbox, &client).expect("both steps are right");
        assert!(support::json(&reply.meta()).get("notes").is_none());
        assert_eq!(info(&client)["base_url_from"], "fixed");
        assert_eq!(info(&client)["generation"], generation);
    }
}

#[test]
fn the_host_of_another_session_ends_this_one_for_reads_and_orders() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    log_in(&sandbox, &client).expect("both steps are right");
    sandbox.set_switches(Switches {
        other_host: true,
        ..sandbox.switches()
    });
    let order_id = r#"{"order_id":"250122000624384"}"#;
    for result in [
        client.positions(),
        client.holdings(),
        client.limits(None),
        client.order_report(None),
        client.place_order(&order().to_string()),
        client.cancel_order(order_id),
    ] {
        let error = result.expect_err("it is another host");
        assert_eq!(error.status(), Status::SessionExpired, "{error:?}");
        assert_eq!(error.code(), Some("200032"));
        assert!(!error.safe_to_repeat());
    }
    // Calls that need the key only are nobody's session.
    let quotes =
        r#"{"instrument_tokens":[{"exchange_segment":"nse_cm","instrument_token":"11536"}]}"#;
    client.quotes(quotes).expect("the key is enough");
}

#[test]
fn a_locked_account_is_not_tried_again() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    totp_login(&sandbox, &client).expect("the credentials are right");
    sandbox.set_switches(Switches {
        account_locked: true,
        ..sandbox.switches()
    });
    sandbox.clear_requests();
    for result in [
        totp_login(&sandbox, &client),
        client.totp_validate(&sandbox.credentials().mpin),
    ] {
        let error = result.expect_err("the account is locked");
        assert_eq!(error.status(), Status::Rejected, "{error:?}");
        assert_eq!(error.code(), Some("10525"));
        assert!(error.message().contains("locked for today"), "{error}");
        assert!(
            error
                .hint()
                .is_some_and(|hint| hint.contains("do not try again"))
        );
        assert_eq!(told(&error, "safe_to_repeat"), false);
    }
    assert_eq!(sandbox.requests().len(), 2, "each was sent once");
    assert_eq!(state(&client), "view");
}

#[test]
fn a_dead_session_is_told_however_the_broker_says_it() {
    for (manner, code, of_order) in [
        (DeadSession::Code1003, Some("1003"), Status::SessionExpired),
        (
            DeadSession::Code100022,
            Some("100022"),
            Status::SessionExpired,
        ),
        // No code, so no proof of what became of an order.
        (DeadSession::Unauthorised, None, Status::UnknownOutcome),
    ] {
        let sandbox = sandbox();
        let client = client(&sandbox);
        log_in(&sandbox, &client).expect("both steps are right");
        sandbox.set_switches(Switches {
            dead_session: manner,
            ..sandbox.switches()
        });
        sandbox.expire_sessions();
        for result in [
            client.positions(),
            client.order_report(None),
            client.limits(None),
            client.whatsmyip(),
        ] {
            let error = result.expect_err("the session is gone");
            assert_eq!(error.status(), Status::SessionExpired, "{error:?}");
            assert_eq!(error.code(), code);
            assert!(
                error
                    .hint()
                    .is_some_and(|hint| hint.contains("log in again"))
            );
            assert_eq!(told(&error, "safe_to_repeat"), false);
        }
        let placed = client.place_order(&order().to_string());
        let error = placed.expect_err("the session is gone");
        assert_eq!(error.status(), of_order, "{error:?}");
        assert_eq!(told(&error, "safe_to_repeat"), false);
        assert_eq!(sandbox.orders_taken(), 0);
        log_in(&sandbox, &client).expect("a new session");
        client.positions().expect("the session is good");
    }
}

#[test]
fn a_wrong_consumer_key_is_no_outage() {
    let sandbox = sandbox();
    let client = client_with(&sandbox, &json!({"consumer_key": "fake-other-key-0000"}));
    let quotes =
        r#"{"instrument_tokens":[{"exchange_segment":"nse_cm","instrument_token":"11536"}]}"#;
    let error = client.quotes(quotes).expect_err("the key is wrong");
    assert_eq!(error.http_status(), Some(424), "as it was seen live");
    assert_eq!(error.status(), Status::Rejected, "{error:?}");
    assert!(
        error
            .hint()
            .is_some_and(|hint| hint.contains("consumer key"))
    );
    assert_eq!(told(&error, "safe_to_repeat"), false);
    assert!(!error.to_json().contains("fake-other-key"), "{error:?}");
    // The same status without these words is an outage, and worth another try.
    let quiet = answer(424, "application/json", r#"{"message":"try later"}"#);
    fault(&sandbox, "/script-details", quiet);
    let error = client.quotes(quotes).expect_err("a dependency fails");
    assert_eq!(error.status(), Status::Unavailable, "{error:?}");
    assert_eq!(told(&error, "safe_to_repeat"), true);
}

/// Codes that mean the same under any HTTP status, and what may be repeated.
#[test]
fn what_may_be_repeated_does_not_depend_on_the_http_status() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    log_in(&sandbox, &client).expect("both steps are right");
    for (body, of_read, of_order) in [
        (
            sample("error-200032-base-url"),
            Status::SessionExpired,
            Status::SessionExpired,
        ),
        (
            r#"{"error":[{"code":"100022","message":"invalid session token"}]}"#.to_owned(),
            Status::SessionExpired,
            Status::SessionExpired,
        ),
        (
            r#"{"error":[{"code":"10525","message":"Your account is locked"}]}"#.to_owned(),
            Status::Rejected,
            Status::UnknownOutcome,
        ),
        (
            "Consumer key fake is invalid".to_owned(),
            Status::Rejected,
            Status::UnknownOutcome,
        ),
    ] {
        for http in [200, 400, 401, 403, 424, 429, 500, 503] {
            fault(&sandbox, "/", answer(http, "application/json", &body));
            let read = client.positions().expect_err("it is refused");
            let placed = client.place_order(&order().to_string());
            let placed = placed.expect_err("it is refused");
            let step = totp_login(&sandbox, &client).expect_err("it is refused");
            sandbox.clear_faults();
            assert_eq!(read.status(), of_read, "{http} {body}");
            assert_eq!(step.status(), of_read, "{http} {body}");
            assert_eq!(placed.status(), of_order, "{http} {body}");
            for error in [read, placed, step] {
                assert_eq!(told(&error, "safe_to_repeat"), false, "{http} {body}");
                assert_eq!(told(&error, "sent"), true);
            }
        }
    }
}
