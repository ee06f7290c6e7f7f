//! Generation 3: consumer key, TOTP, MPIN, client address, config service.

use kotak_neo_sandbox::{
    Credentials, DeadSession, ErrorShape, NamedBase, Options, Sandbox, Switches,
};
use serde_json::{Value, json};

use crate::client::Ask;
use crate::fixtures::{assert_same_shape, claims, sample, shape};

pub const LOGIN: &str = "/login/1.0/tradeApiLogin";
pub const VALIDATE: &str = "/login/1.0/tradeApiValidate";
const UAT_LOGIN: &str = "/api/1.0/login/v6/totp/login";
const UAT_VALIDATE: &str = "/api/1.0/login/v6/totp/validate";
pub const CLIENT_IP: &str = "/login/1.0/get-client-ip";

pub fn start() -> Sandbox {
    Sandbox::start(Options::default()).unwrap()
}

fn start_with(login_errors: ErrorShape) -> Sandbox {
    Sandbox::start(Options {
        login_errors,
        ..Options::default()
    })
    .unwrap()
}

/// A documented request with the sandbox's credentials in it.
fn body(name: &str, sandbox: &Sandbox) -> Value {
    let who = sandbox.credentials();
    let mut body = sample(name);
    for (key, value) in [
        ("mobileNumber", who.mobile_number.clone()),
        ("ucc", who.ucc.clone()),
        ("totp", sandbox.totp_now()),
        ("mpin", who.mpin.clone()),
    ] {
        if let Some(slot) = body.get_mut(key) {
            *slot = json!(value);
        }
    }
    body
}

pub fn login_ask(sandbox: &Sandbox, path: &str) -> Ask {
    Ask::post(path, &body("totp_login.request.json", sandbox))
        .with("authorization", &*sandbox.credentials().consumer_key)
        .with("neo-fin-key", "neotradeapi")
}

pub fn validate_ask(sandbox: &Sandbox, path: &str, view: &Value) -> Ask {
    Ask::post(path, &body("totp_validate.request.json", sandbox))
        .with("authorization", &*sandbox.credentials().consumer_key)
        .with("neo-fin-key", "neotradeapi")
        .with("sid", view["data"]["sid"].as_str().unwrap())
        .with("auth", view["data"]["token"].as_str().unwrap())
}

pub fn client_ip_ask(sandbox: &Sandbox, trade: &Value) -> Ask {
    Ask::get(CLIENT_IP)
        .with("authorization", &*sandbox.credentials().consumer_key)
        .with("sid", trade["data"]["sid"].as_str().unwrap())
        .with("auth", trade["data"]["token"].as_str().unwrap())
}

pub fn view(sandbox: &Sandbox) -> Value {
    login_ask(sandbox, LOGIN).reply(sandbox).expect(200)
}

pub fn trade(sandbox: &Sandbox) -> Value {
    validate_ask(sandbox, VALIDATE, &view(sandbox))
        .reply(sandbox)
        .expect(200)
}

fn without_key(mut body: Value, key: &str) -> Value {
    body.as_object_mut().unwrap().remove(key).unwrap();
    body
}

fn with_key(mut body: Value, key: &str, value: Value) -> Value {
    body[key] = value;
    body
}

#[test]
fn logs_in_through_both_environments() {
    let sandbox = start();
    for (login, validate) in [(LOGIN, VALIDATE), (UAT_LOGIN, UAT_VALIDATE)] {
        let view = login_ask(&sandbox, login).reply(&sandbox).expect(200);
        assert_same_shape(&view, "totp_login.ok.json");
        assert_eq!(view["data"]["kType"], "View");
        assert_eq!(view["data"]["ucc"], "TEST1");
        let claim = claims(&view["data"]["token"]);
        assert_eq!(claim["scope"], json!(["View"]));
        assert_eq!(
            shape(&claim),
            shape(&claims(&sample("totp_login.ok.json")["data"]["token"]))
        );

        let trade = validate_ask(&sandbox, validate, &view)
            .reply(&sandbox)
            .expect(200);
        assert_same_shape(&trade, "totp_validate.ok.json");
        assert_eq!(trade["data"]["kType"], "Trade");
        assert_eq!(trade["data"]["baseUrl"], sandbox.url());
        assert_eq!(
            trade["data"]["feedUrl"],
            format!("{}/apifeed", sandbox.url())
        );
        assert_eq!(
            trade["data"]["rtUrl"],
            format!("{}/realtime", sandbox.url())
        );
        assert_eq!(claims(&trade["data"]["token"])["scope"], json!(["Trade"]));
        for key in ["token", "sid", "rid"] {
            assert_ne!(view["data"][key], trade["data"][key], "{key}");
        }

        let seen = client_ip_ask(&sandbox, &trade).reply(&sandbox).expect(200);
        assert_same_shape(&seen, "whatsmyip.ok.json");
        assert_eq!(seen["data"][0]["ip"], "127.0.0.1");
    }
    assert!(sandbox.requests().iter().all(|request| request.known_route));
}

#[test]
fn wrong_credentials_are_refused_in_each_shape() {
    for (shape, ucc, totp, mpin, key) in [
        (
            ErrorShape::Http401,
            (401, sample("totp_login.error-invalid-totp.json")),
            (401, sample("totp_login.error-invalid-totp.json")),
            (401, sample("totp_validate.error-invalid-mpin.json")),
            (401, sample("totp_login.error-invalid-credentials.json")),
        ),
        (
            ErrorShape::Http200,
            (200, sample("totp_login.error-invalid-ucc-http200.json")),
            (
                200,
                json!({"stCode": 401, "errMsg": "Invalid credentials or TOTP", "status": "failure"}),
            ),
            (200, sample("totp_validate.error-invalid-mpin-http200.json")),
            (401, sample("totp_login.error-invalid-credentials.json")),
        ),
        (
            ErrorShape::NotOk401,
            (401, sample("totp_login.error-invalid-credentials.json")),
            (401, sample("totp_login.error-invalid-credentials.json")),
            (401, sample("totp_login.error-invalid-credentials.json")),
            (401, sample("totp_login.error-invalid-credentials.json")),
        ),
    ] {
        let sandbox = start_with(shape);
        let right = login_ask(&sandbox, LOGIN);
        let changed = |key: &str, value: &Value| {
            let body = with_key(
                body("totp_login.request.json", &sandbox),
                key,
                value.clone(),
            );
            right.clone().body(&body.to_string()).reply(&sandbox)
        };
        assert_eq!(changed("ucc", &json!("OTHER")).expect(ucc.0), ucc.1);
        assert_eq!(changed("ucc", &json!("test1")).expect(ucc.0), ucc.1);
        assert_eq!(changed("totp", &json!("00000")).expect(totp.0), totp.1);
        assert_eq!(
            changed("mobileNumber", &json!("+910000000000")).expect(totp.0),
            totp.1
        );
        assert_eq!(
            changed("mobileNumber", &json!("9999999999")).expect(totp.0),
            totp.1
        );

        let key_asks = [
            right.clone().with("authorization", "another key"),
            right.clone().with(
                "authorization",
                format!("Bearer {}", sandbox.credentials().consumer_key),
            ),
            right.clone().with("neo-fin-key", "another"),
        ];
        for ask in key_asks {
            assert_eq!(ask.reply(&sandbox).expect(key.0), key.1);
        }

        let wrong_mpin = validate_ask(&sandbox, VALIDATE, &view(&sandbox))
            .body(r#"{"mpin":"000000"}"#)
            .reply(&sandbox);
        assert_eq!(wrong_mpin.expect(mpin.0), mpin.1);
    }
}

#[test]
fn missing_fields_are_named_in_the_documented_order() {
    let sandbox = start();
    let whole = body("totp_login.request.json", &sandbox);
    let refused = |body: &Value, name: &str| {
        let mut expected = sample("totp_login.error-missing-field.json");
        expected["error"][0]["message"] = json!(format!("Missing required field '{name}'"));
        let reply = login_ask(&sandbox, LOGIN)
            .body(&body.to_string())
            .reply(&sandbox);
        assert_eq!(reply.expect(400), expected, "{body}");
    };
    for (key, name) in [
        ("mobileNumber", "MobileNumber"),
        ("ucc", "Ucc"),
        ("totp", "Totp"),
    ] {
        refused(&without_key(whole.clone(), key), name);
        refused(&with_key(whole.clone(), key, json!("")), name);
        refused(&with_key(whole.clone(), key, Value::Null), name);
    }
    refused(&json!({}), "MobileNumber");
    refused(&json!({"mobileNumber": "x"}), "Ucc");
    refused(&json!({"mobileNumber": "x", "ucc": "y"}), "Totp");

    let reply = validate_ask(&sandbox, VALIDATE, &view(&sandbox))
        .body("{}")
        .reply(&sandbox);
    assert_eq!(
        reply.expect(400),
        sample("totp_validate.error-missing-field.json")
    );
}

#[test]
fn malformed_requests_are_refused() {
    let sandbox = start();
    let login = login_ask(&sandbox, LOGIN);
    let no_header = sample("v1_login.error-missing-header.json");
    for name in ["authorization", "neo-fin-key"] {
        assert_eq!(
            login.clone().without(name).reply(&sandbox).expect(400),
            no_header
        );
    }
    let validate = validate_ask(&sandbox, VALIDATE, &view(&sandbox));
    for name in ["authorization", "neo-fin-key", "sid", "auth"] {
        assert_eq!(
            validate.clone().without(name).reply(&sandbox).expect(400),
            no_header
        );
    }
    // A header given twice is as good as none.
    let mut twice = login.clone();
    twice
        .headers
        .push(("neo-fin-key", "neotradeapi".to_owned()));
    assert_eq!(twice.reply(&sandbox).expect(400), no_header);

    for ask in [
        login.clone().without("content-type"),
        login
            .clone()
            .with("content-type", "application/x-www-form-urlencoded"),
    ] {
        let refusal = ask.reply(&sandbox).expect(400);
        assert_eq!(
            refusal["error"][0]["message"],
            "Content-Type must be application/json"
        );
    }
    login
        .clone()
        .with("content-type", "application/json; charset=utf-8")
        .reply(&sandbox)
        .expect(200);
    for body in ["", "{", "[]", "\"x\"", r#"{"mobileNumber":919999999999}"#] {
        let refusal = login.clone().body(body).reply(&sandbox).expect(400);
        assert_eq!(refusal["stCode"], 1007, "{body}");
    }
    let mut get = login.clone();
    get.method = http::Method::GET;
    let reply = get.reply(&sandbox);
    reply.expect(405);
    assert_eq!(reply.headers["allow"], "POST");
    assert_eq!(
        sandbox.requests().last().map(|last| last.known_route),
        Some(false)
    );
}

#[test]
fn a_session_is_good_for_its_own_step_only() {
    let sandbox = start();
    let refused = sample("error-invalid-session-1003.json");
    let view = view(&sandbox);
    let trade = trade(&sandbox);

    // A trade token is no view token, and the other way round.
    let reply = validate_ask(&sandbox, VALIDATE, &trade).reply(&sandbox);
    assert_eq!(reply.expect(403), refused);
    assert_eq!(
        client_ip_ask(&sandbox, &view).reply(&sandbox).expect(403),
        refused
    );
    // Token and sid must belong together.
    let mixed = json!({"data": {"sid": view["data"]["sid"], "token": trade["data"]["token"]}});
    assert_eq!(
        client_ip_ask(&sandbox, &mixed).reply(&sandbox).expect(403),
        refused
    );
    // A view token of production is not good in UAT.
    let reply = validate_ask(&sandbox, UAT_VALIDATE, &view).reply(&sandbox);
    assert_eq!(reply.expect(403), refused);

    client_ip_ask(&sandbox, &trade).reply(&sandbox).expect(200);
    let another_key = client_ip_ask(&sandbox, &trade).with("authorization", "another");
    assert_eq!(
        another_key.reply(&sandbox).expect(401),
        sample("totp_login.error-invalid-credentials.json")
    );

    sandbox.expire_sessions();
    assert_eq!(
        client_ip_ask(&sandbox, &trade).reply(&sandbox).expect(403),
        refused
    );
    let reply = validate_ask(&sandbox, VALIDATE, &view).reply(&sandbox);
    assert_eq!(reply.expect(403), refused);
}

#[test]
fn tokens_expire_by_the_clock() {
    let options = Options {
        token_lifetime: std::time::Duration::ZERO,
        ..Options::default()
    };
    let sandbox = Sandbox::start(options).unwrap();
    let view = view(&sandbox);
    let claim = claims(&view["data"]["token"]);
    assert_eq!(claim["exp"], claim["iat"]);
    let reply = validate_ask(&sandbox, VALIDATE, &view).reply(&sandbox);
    assert_eq!(reply.expect(403), sample("error-invalid-session-1003.json"));
}

#[test]
fn the_config_service_names_the_feeds() {
    let sandbox = start();
    for environment in ["prod", "qa"] {
        let path =
            format!("/5config/config?appVersion=3.0.9&platform=api&environment={environment}");
        let reply = Ask::get(&path).reply(&sandbox);
        assert_eq!(reply.cookie(), None);
        let answer = reply.expect(200);
        let configs = answer["data"]["configs"].as_object().unwrap();
        let documented = sample("config_service.ok.json");
        for key in documented["data"]["configs"].as_object().unwrap().keys() {
            assert!(configs.contains_key(key), "{key}");
        }
        assert_eq!(configs["E43_broadcast_source"], "sh");
        assert_eq!(
            configs["E43_sh_broadcast_endpoint"],
            format!("{}/apifeed", sandbox.url())
        );
        assert_eq!(
            configs["E43_sh_interactive_endpoint"],
            format!("{}/realtime", sandbox.url())
        );
        assert_eq!(configs["E430_broadcast_source"], "ks");
        assert_eq!(
            configs["E430_ks_broadcast_endpoint"],
            format!("{}/ufeed", sandbox.url())
        );
    }
    for query in [
        "",
        "?platform=web&environment=prod",
        "?platform=api&environment=uat",
    ] {
        Ask::get(&format!("/5config/config{query}"))
            .reply(&sandbox)
            .expect(400);
    }
}

#[test]
fn options_change_the_answers() {
    let sandbox = Sandbox::start(Options {
        feed_urls: false,
        data_center: String::new(),
        base_path: "/xyz".to_owned(),
        neo_fin_key: Some("mine".to_owned()),
        credentials: Credentials {
            ucc: "OTHER9".to_owned(),
            ..Credentials::default()
        },
        ..Options::default()
    })
    .unwrap();
    let login = login_ask(&sandbox, LOGIN);
    login.reply(&sandbox).expect(401);
    let view = login
        .with("neo-fin-key", "mine")
        .reply(&sandbox)
        .expect(200);
    assert_eq!(view["data"]["ucc"], "OTHER9");
    assert_eq!(view["data"]["dataCenter"], "");
    // Calls are answered under the path of the base URL too.
    let trade = validate_ask(&sandbox, &format!("/xyz{VALIDATE}"), &view)
        .with("neo-fin-key", "mine")
        .reply(&sandbox)
        .expect(200);
    assert_eq!(trade["data"]["baseUrl"], format!("{}/xyz", sandbox.url()));
    assert_eq!(trade["data"].get("feedUrl"), None);
    assert_eq!(trade["data"].get("rtUrl"), None);
    Ask::get("/xyzlogin/1.0/get-client-ip")
        .reply(&sandbox)
        .expect(404);
}

/// What the live service was seen to do, by switches.
#[test]
fn a_host_may_be_named_otherwise_or_not_at_all() {
    let sandbox = Sandbox::start(Options {
        base_path: "/xyz".to_owned(),
        ..Options::default()
    })
    .unwrap();
    let set = |base_url, other_host| {
        sandbox.set_switches(Switches {
            base_url,
            other_host,
            ..Switches::default()
        });
    };
    let login = |base_url| {
        set(base_url, false);
        let trade = validate_ask(&sandbox, VALIDATE, &view(&sandbox));
        trade.reply(&sandbox).expect(200)
    };
    let named = login(NamedBase::Url);
    assert_eq!(named["data"]["baseUrl"], format!("{}/xyz", sandbox.url()));
    let bare = login(NamedBase::Bare);
    assert_eq!(bare["data"]["baseUrl"], "e43.kotaksecurities.com/xyz");
    let trade = login(NamedBase::Absent);
    assert_eq!(trade["data"].get("baseUrl"), None);

    let ask = |path: &str| {
        let text = |key: &str| trade["data"][key].as_str().unwrap();
        let ask = Ask::get(path).with("auth", text("token"));
        ask.with("sid", text("sid")).reply(&sandbox)
    };
    const BOOK: &str = "/quick/user/orders";
    let elsewhere = sample("error-200032-base-url.json");
    assert_eq!(ask(&format!("/xyz{BOOK}")).expect(200)["stCode"], 5203);
    assert_eq!(ask(BOOK).expect(200), elsewhere, "another host");
    set(NamedBase::Url, true);
    assert_eq!(ask(&format!("/xyz{BOOK}")).expect(200), elsewhere);
}

#[test]
fn dead_sessions_and_locked_accounts_are_told_as_it_was_seen() {
    let sandbox = start();
    let ask = || {
        let ask = Ask::get("/quick/user/orders").with("auth", "nothing");
        ask.with("sid", "nobody").reply(&sandbox)
    };
    let set = |dead_session, account_locked| {
        sandbox.set_switches(Switches {
            dead_session,
            account_locked,
            ..Switches::default()
        });
    };
    assert_eq!(ask().expect(403)["stCode"], 1003);
    set(DeadSession::Code100022, false);
    assert_eq!(ask().expect(403)["stCode"], 100_022);
    set(DeadSession::Unauthorised, false);
    assert_eq!(ask().expect(401)["message"], "unauthorised");
    let step = view(&sandbox);
    set(DeadSession::Unauthorised, true);
    let first = login_ask(&sandbox, LOGIN).reply(&sandbox).expect(400);
    assert_eq!(first["error"][0]["code"], "10525");
    let second = validate_ask(&sandbox, VALIDATE, &step).reply(&sandbox);
    assert_eq!(second.expect(400), first);
}
