//! The cookie of the login hosts.

use kotak_neo_sandbox::{Options, Sandbox};
use serde_json::Value;

use crate::client::{Ask, Reply};
use crate::{v1, v3};

fn with_cookie(ask: Ask, value: &str) -> Ask {
    ask.with("cookie", format!("other=1; SANDBOXSESSION={value}"))
}

fn refused(reply: &Reply) -> bool {
    reply.status == 400
        && reply.json()["error"][0]["message"]
            .as_str()
            .unwrap()
            .contains("cookie")
}

#[test]
fn is_set_on_every_answer_and_kept_once_sent_back() {
    let sandbox = v3::start();
    let login = v3::login_ask(&sandbox, v3::LOGIN);
    let first = login.reply(&sandbox).cookie().unwrap();
    let second = login.reply(&sandbox).cookie().unwrap();
    assert_ne!(first, second);
    let kept = with_cookie(login.clone(), &first).reply(&sandbox);
    assert_eq!(kept.cookie(), Some(first));
    // Refusals set it too.
    assert!(
        login
            .without("authorization")
            .reply(&sandbox)
            .cookie()
            .is_some()
    );
}

#[test]
fn a_wrong_value_is_refused_everywhere() {
    let sandbox = v3::start();
    let bearer = v1::bearer(&sandbox);
    let view = v3::view(&sandbox);
    let trade = v3::trade(&sandbox);
    for ask in [
        v3::login_ask(&sandbox, v3::LOGIN),
        v3::validate_ask(&sandbox, v3::VALIDATE, &view),
        v3::client_ip_ask(&sandbox, &trade),
        v1::logout_ask("/login/1.0/logout", &bearer, &trade),
    ] {
        let reply = with_cookie(ask, "00000000000000000000000000000000").reply(&sandbox);
        assert!(refused(&reply));
        assert!(reply.cookie().is_some());
    }
    // Two values at once are wrong even if both were given out.
    let login = v3::login_ask(&sandbox, v3::LOGIN);
    let [one, two] = [(); 2].map(|()| login.reply(&sandbox).cookie().unwrap());
    let both = login.with(
        "cookie",
        format!("SANDBOXSESSION={one}; SANDBOXSESSION={two}"),
    );
    assert!(refused(&both.reply(&sandbox)));
}

#[test]
fn can_be_required_of_the_later_steps() {
    let sandbox = Sandbox::start(Options {
        require_cookie: true,
        ..Options::default()
    })
    .unwrap();
    let login = v3::login_ask(&sandbox, v3::LOGIN).reply(&sandbox);
    let cookie = login.cookie().unwrap();
    let passes_with_it_only = |ask: Ask| -> Value {
        assert!(refused(&ask.reply(&sandbox)));
        with_cookie(ask, &cookie).reply(&sandbox).expect(200)
    };
    let trade = passes_with_it_only(v3::validate_ask(&sandbox, v3::VALIDATE, &login.expect(200)));
    passes_with_it_only(v3::client_ip_ask(&sandbox, &trade));

    let bearer = v1::bearer(&sandbox);
    let view = v1::view(&sandbox, &bearer);
    let who = sandbox.credentials();
    let body = serde_json::json!({"mobileNumber": who.mobile_number, "mpin": who.mpin});
    let second = Ask::post("/login/1.0/login/v2/validate", &body)
        .with("authorization", &*bearer)
        .with("sid", view["data"]["sid"].as_str().unwrap())
        .with("auth", view["data"]["token"].as_str().unwrap());
    let trade = passes_with_it_only(second);
    passes_with_it_only(v1::logout_ask("/login/1.0/logout", &bearer, &trade));
}
